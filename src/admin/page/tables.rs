//! The tables: every job, the connections, the jobs that are off.

use super::super::control::{Condition, ConnectionHealth, QuotaHealth};
use super::super::overview::{JobOverview, Overview};
use super::html::{Clock, Html};
use crate::quota::Quota;
use crate::run::Outcome;
use crate::state::LastSlot;
use crate::words::ConnectionName;

/// With more jobs than this only the last few slots of each are shown, so that the page stays within a megabyte.
const MANY_JOBS: usize = 250;
const FEW_SLOTS: usize = 3;

/// Every job that is on, the worst first.
pub(super) fn jobs(html: &mut Html, overview: &Overview) {
    let mut jobs: Vec<&JobOverview> = overview.jobs.iter().filter(|job| !is_off(job)).collect();
    jobs.sort_by_key(|job| match job.status.health.status {
        Condition::Failing => 0,
        Condition::Degraded => 1,
        Condition::Ok | Condition::Off => 2,
    });
    html.markup("<section aria-labelledby=jobs><h2 id=jobs>Jobs</h2>");
    if jobs.is_empty() {
        html.markup("<p>None is on.</p></section>");
        return;
    }
    html.markup("<p class=note>Times are those of each job's own zone. Last runs: the newest first, with records new or changed of those read.</p>");
    html.markup("<table role=table class=jobs><thead role=rowgroup><tr role=row>");
    for title in ["Job", "Status", "Last runs", "Last success", "Next slots", "Watermark", "Rejects"] {
        html.markup("<th role=columnheader scope=col>").markup(title);
    }
    html.markup("<tbody role=rowgroup>");
    let slots = if jobs.len() > MANY_JOBS { FEW_SLOTS } else { usize::MAX };
    for job in jobs {
        row(html, job, &Clock::new(overview.at, &job.status.timezone), slots);
    }
    html.markup("</table></section>");
}

fn is_off(job: &JobOverview) -> bool {
    job.status.health.status == Condition::Off
}

fn row(html: &mut Html, job: &JobOverview, clock: &Clock, slots: usize) {
    let status = &job.status;
    let health = &status.health;
    name(html, job);

    cell(html, "Status").markup("<span class=\"badge ").markup(health.status.as_str()).markup("\">");
    html.markup(health.status.as_str()).markup("</span>");
    if status.running.is_some() {
        html.markup(" <span class=\"badge running\">running</span>");
    }
    if status.paused.is_some() {
        html.markup(" <span class=\"badge paused\">paused</span>");
    }
    if health.consecutive_failures > 1 {
        html.markup("<small>").text(health.consecutive_failures).markup(" failures in a row</small>");
    }

    cell(html, "Last runs");
    if job.last.is_empty() {
        html.markup("<span class=none>none yet</span>");
    } else {
        html.markup("<ol class=last>");
        job.last.iter().take(slots).for_each(|slot| last(html, slot, clock));
        html.markup("</ol>");
    }

    cell(html, "Last success");
    match health.last_success {
        Some(at) => html.instant(at, clock).distance(at, clock),
        None => html.markup("<span class=none>never</span>"),
    };

    cell(html, "Next slots");
    let mut next = job.next.iter();
    match next.next() {
        Some(first) => {
            html.instant(*first, clock).distance(*first, clock);
            for (at, slot) in next.enumerate() {
                html.markup(if at == 0 { "<small>then " } else { ", " }).text(clock.reading(*slot));
            }
            html.markup(if job.next.len() > 1 { "</small>" } else { "" });
        }
        None => {
            html.markup("<span class=none>none of its own</span>");
        }
    }

    match &health.watermark {
        Some(mark) => html.markup("<td role=cell data-of=Watermark class=mark>").text(mark),
        None => html.markup("<td role=cell data-of=Watermark class=empty><span class=none>none</span>"),
    };

    cell(html, "Rejects");
    match health.rejects {
        0 => html.markup("0"),
        rejects => html.markup("<b class=rejects>").text(rejects).markup("</b>"),
    };
    html.markup("\n");
}

fn name(html: &mut Html, job: &JobOverview) {
    let name = &job.status.job;
    html.markup("<tr role=row id=\"job-").text(name).markup("\"><th role=rowheader scope=row>").text(name);
    if !job.status.summary.is_empty() {
        html.markup("<span class=summary>").text(&job.status.summary).markup("</span>");
    }
    html.markup("<span class=due>").text(&job.due).markup("</span>");
}

/// A cell, and the title of its column for where there is no room for a row of titles.
fn cell<'a>(html: &'a mut Html, title: &'static str) -> &'a mut Html {
    html.markup("<td role=cell data-of=\"").markup(title).markup("\">")
}

/// What became of a slot: outcome, time and counts; the rest as its tool tip.
fn last(html: &mut Html, slot: &LastSlot, clock: &Clock) {
    let outcome = slot.outcome.map_or("running", Outcome::as_str);
    let run = slot.run.as_ref();
    html.markup("<li class=").markup(outcome).markup(" title=\"");
    html.text(clock.local(slot.at).format("%Y-%m-%d %H:%M:%S %Z"));
    if slot.attempts > 1 {
        html.markup(", ").text(slot.attempts).markup(" attempts");
    }
    if let Some(said) = run.and_then(|run| run.message.as_ref()).or(slot.reason.as_ref()) {
        html.markup(": ").text(said);
    }
    html.markup("\"><b>");
    if slot.slots > 1 {
        html.text(slot.slots).markup(" ");
    }
    html.markup(outcome).markup("</b> ").text(clock.reading(slot.at));
    if let Some(run) = run.filter(|_| slot.outcome.is_some()) {
        html.markup("<small>").text(run.counts.written).markup(" of ").text(run.counts.read);
        if run.counts.rejected > 0 {
            html.markup(", ").text(run.counts.rejected).markup(" rejected");
        }
        html.markup("</small>");
    }
}

/// The platforms, and what of their quotas is used.
pub(super) fn connections(html: &mut Html, overview: &Overview, clock: &Clock) {
    if overview.health.connections.is_empty() {
        return;
    }
    html.markup("<section aria-labelledby=connections><h2 id=connections>Connections</h2>");
    html.markup("<table role=table class=connections><thead role=rowgroup><tr role=row>");
    for title in ["Connection", "Status", "Quota used", "Sends", "Why"] {
        html.markup("<th role=columnheader scope=col>").markup(title);
    }
    html.markup("<tbody role=rowgroup>");
    for (name, health) in &overview.health.connections {
        connection(html, name, health, clock);
    }
    html.markup("</table></section>");
}

fn connection(html: &mut Html, name: &ConnectionName, health: &ConnectionHealth, clock: &Clock) {
    html.markup("<tr role=row id=\"connection-")
        .text(name)
        .markup("\"><th role=rowheader scope=row>")
        .text(name);
    cell(html, "Status").markup("<span class=\"badge ").markup(health.status.as_str()).markup("\">");
    html.markup(health.status.as_str()).markup("</span>");
    cell(html, "Quota used");
    if health.quotas.is_empty() {
        html.markup("<span class=none>no quota</span>");
    }
    health.quotas.iter().for_each(|quota| used(html, quota, clock));
    cell(html, "Sends");
    match (health.parked_until, health.waits_until, health.open_since) {
        (Some(at), ..) => html.markup("parked until ").instant(at, clock),
        (None, _, Some(at)) => html.markup("left alone since ").instant(at, clock),
        (None, Some(at), None) => html.markup("waits until ").instant(at, clock),
        (None, None, None) if health.status == Condition::Ok => html.markup("now"),
        (None, None, None) => html.markup("not now"),
    };
    if let Some(at) = health.next_probe {
        html.markup("<small>asked again at ").instant(at, clock).markup("</small>");
    }
    cell(html, "Why").text(health.why.as_deref().unwrap_or_default()).markup("\n");
}

/// `37 of 100/day` as words and as a bar.
fn used(html: &mut Html, of: &QuotaHealth, clock: &Clock) {
    html.markup("<div class=quota>");
    match of.quota.parse::<Quota>() {
        Ok(quota) => {
            let used = quota.requests.saturating_sub(of.left);
            html.markup("<meter aria-hidden=true min=0 max=")
                .text(quota.requests)
                .markup(" value=")
                .text(used);
            html.markup(" high=")
                .text(quota.requests / 10 * 9)
                .markup("></meter> ")
                .text(used)
                .markup(" of ");
            html.text(&of.quota);
        }
        Err(_) => {
            html.text(of.left).markup(" left of ").text(&of.quota);
        }
    }
    if let Some(at) = of.next {
        html.markup("<small>the next at ").instant(at, clock).markup("</small>");
    }
    html.markup("</div>");
}

/// Jobs that never start by themselves, and why.
pub(super) fn off(html: &mut Html, overview: &Overview) {
    let jobs: Vec<&JobOverview> = overview.jobs.iter().filter(|job| is_off(job)).collect();
    if jobs.is_empty() {
        return;
    }
    html.markup("<section aria-labelledby=off><h2 id=off>Off</h2>");
    html.markup("<p class=note>Jobs that never start by themselves.</p>");
    html.markup("<table role=table class=off><thead role=rowgroup><tr role=row>");
    for title in ["Job", "Why"] {
        html.markup("<th role=columnheader scope=col>").markup(title);
    }
    html.markup("<tbody role=rowgroup>");
    for job in jobs {
        name(html, job);
        cell(html, "Why").text(job.status.health.why.as_deref().unwrap_or_default()).markup("\n");
    }
    html.markup("</table></section>");
}
