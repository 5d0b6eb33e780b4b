//! The status page: what an ERP's administrator opens when something seems wrong. At the top how it is and why, then
//! what needs attention and the command for it, then every job, then the connections and their quotas.
//!
//! It is one HTML document without scripts or anything to load, so that it works in any browser and behind any proxy,
//! and it shows no more kinds of facts than `/health` and the history. What it shows is data found out elsewhere
//! ([`Overview`]); here it is only put into words.

mod concerns;
mod html;
mod tables;
#[cfg(test)]
mod tests;

use super::control::{Condition, Health, Readiness};
use super::overview::Overview;
use axum::http::{HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use concerns::{Concern, Level, Of, concerns};
use html::{Clock, Html, counted, rough};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;
use tables::{connections, jobs, off};

/// The query that asks for a page that doesn't refresh itself.
pub(super) const STILL: &str = "still";

/// As many concerns are listed, and as many jobs of one concern named.
const CONCERNS: usize = 50;
const JOBS_NAMED: usize = 6;

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded or run, nothing can be sent, and no other page may frame this one.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// Whether the browser asks for the page again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Every half a minute.
    Often,
    /// It stands still: for whoever reads with a screen reader, or wants to copy something.
    Never,
}

/// What goes with the page.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 5] {
    let fixed = HeaderValue::from_static;
    [
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone().unwrap_or(fixed("default-src 'none'"))),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::CACHE_CONTROL, fixed("no-store")),
    ]
}

/// The whole page.
pub(super) fn render(overview: &Overview, refresh: Refresh) -> String {
    let mut html = Html::default();
    let clock = Clock::new(overview.at, &overview.timezone);
    head(&mut html, overview, refresh);
    summary(&mut html, overview, &clock, refresh);
    html.markup("<main>");
    attention(&mut html, &concerns(overview), &clock);
    jobs(&mut html, overview);
    connections(&mut html, overview, &clock);
    off(&mut html, overview);
    html.markup("</main><footer><p>Commands are typed on this server, with <code>--config FILE</code> where the daemon's file is not the usual one. ");
    html.markup("The same facts for programs: <a href=health>health</a>, <a href=metrics>metrics</a>.</p></footer></body></html>\n");
    html.done()
}

fn head(html: &mut Html, overview: &Overview, refresh: Refresh) {
    let status = overview.health.status;
    html.markup("<!doctype html>\n<html lang=en><head><meta charset=utf-8>");
    html.markup("<meta name=viewport content=\"width=device-width,initial-scale=1\">");
    html.markup("<meta name=color-scheme content=\"light dark\">");
    if refresh == Refresh::Often {
        html.markup("<meta http-equiv=refresh content=30>");
    }
    html.markup("<title>").text(status).markup(" · cadenced</title><link rel=icon href=\"");
    html.markup(icon(status)).markup("\"><style>").markup(STYLE).markup("</style></head><body>");
}

/// The condition as a browser's tab shows it: a form of its own for each, and a colour.
fn icon(status: Condition) -> &'static str {
    match status {
        Condition::Failing => {
            "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect width='16' height='16' rx='3' fill='%23c62828'/><path d='M4 4l8 8m0-8l-8 8' stroke='white' stroke-width='2.5'/></svg>"
        }
        Condition::Degraded => {
            "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M8 1l8 14H0z' fill='%23c77700'/><path d='M8 6v4m0 1.500v1.500' stroke='white' stroke-width='2'/></svg>"
        }
        Condition::Ok | Condition::Off => {
            "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='8' fill='%232e7d32'/><path d='M4 8.500l3 3 5-6' fill='none' stroke='white' stroke-width='2'/></svg>"
        }
    }
}

fn summary(html: &mut Html, overview: &Overview, clock: &Clock, refresh: Refresh) {
    let health = &overview.health;
    html.markup("<header class=").markup(health.status.as_str()).markup("><p class=top><b>cadenced</b> ");
    html.text(&health.version).markup(", up for ");
    let uptime = i64::try_from(health.uptime_seconds).unwrap_or(i64::MAX / 1000);
    html.text(rough(chrono::TimeDelta::seconds(uptime))).markup("; as of ").instant(overview.at, clock);
    html.markup(match refresh {
        Refresh::Often => ". Refreshes itself; <a href=\"?still\">stop that</a>.",
        Refresh::Never => ". <a href=\"?still\">Refresh</a>; <a href=\"?\">refresh by itself</a>.",
    });
    html.markup("</p><h1><span class=mark></span>").text(health.status).markup("</h1><p class=why>");
    html.markup(match overview.readiness {
        Readiness::Starting => "The daemon is starting. ",
        Readiness::Draining => "The daemon is stopping: running jobs are let end, no other is started. ",
        Readiness::Ready => "",
    });
    html.text(sentence(overview)).markup("</p>");
    let running = overview.jobs.iter().filter(|job| job.status.running.is_some()).count();
    html.markup("<ul class=counts>");
    for (condition, word) in [
        (Condition::Failing, "failing"),
        (Condition::Degraded, "degraded"),
        (Condition::Ok, "ok"),
        (Condition::Off, "off"),
    ] {
        let count = count(health, condition);
        if count > 0 {
            html.markup("<li class=").markup(word).markup("><b>").text(count).markup("</b> ").markup(word);
        }
    }
    if running > 0 {
        html.markup("<li class=running><b>").text(running).markup("</b> running now");
    }
    html.markup("</ul><nav aria-label=\"This page\"><a href=\"#jobs\">Jobs</a>");
    if !health.connections.is_empty() {
        html.markup(" <a href=\"#connections\">Connections and quotas</a>");
    }
    if count(health, Condition::Off) > 0 {
        html.markup(" <a href=\"#off\">Jobs that are off</a>");
    }
    html.markup("</nav></header>");
}

fn count(health: &Health, condition: Condition) -> usize {
    health.jobs.values().filter(|job| job.status == condition).count()
}

/// How it is and why, in a sentence.
fn sentence(overview: &Overview) -> String {
    let health = &overview.health;
    let on = health.jobs.len() - count(health, Condition::Off);
    let mut parts = Vec::new();
    for (condition, one, several) in
        [(Condition::Failing, "fails", "fail"), (Condition::Degraded, "needs a look", "need a look")]
    {
        let of = health.jobs.iter().filter(|(_, job)| job.status == condition);
        let of: Vec<&str> = of.map(|(name, _)| name.as_str()).collect();
        let named = if of.len() <= JOBS_NAMED { format!(" ({})", of.join(", ")) } else { String::new() };
        match of.len() {
            0 => {}
            1 => parts.push(format!("1 of {} {one}{named}", counted(on, "job"))),
            count => parts.push(format!("{count} of {} {several}{named}", counted(on, "job"))),
        }
    }
    match health.connections.values().filter(|of| of.status != Condition::Ok).count() {
        0 => {}
        1 => parts.push("a connection is closed".to_owned()),
        closed => parts.push(format!("{closed} connections are closed")),
    }
    match &health.reload.why {
        Some(_) if overview.is_blind() => parts.push("the state can't be read".to_owned()),
        Some(_) => parts.push("a new configuration was refused, the old one serves".to_owned()),
        None => {}
    }
    match (parts.split_last(), on) {
        (Some((last, [])), _) => capital(last),
        (Some((last, others)), _) => capital(&format!("{} and {last}", others.join(", "))),
        (None, 0) if health.jobs.is_empty() => "There are no jobs yet.".to_owned(),
        (None, 0) => "All jobs are off.".to_owned(),
        (None, 1) => "The one job is as it should be.".to_owned(),
        (None, on) => format!("All {on} jobs are as they should be."),
    }
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| format!("{}{}.", first.to_uppercase(), rest.as_str())).unwrap_or_default()
}

fn attention(html: &mut Html, concerns: &[Concern<'_>], clock: &Clock) {
    html.markup("<section aria-labelledby=attention><h2 id=attention>Needs attention</h2>");
    if concerns.is_empty() {
        html.markup("<p>Nothing.</p></section>");
        return;
    }
    html.markup("<ul class=concerns>");
    for concern in concerns.iter().take(CONCERNS) {
        one_concern(html, concern, clock);
    }
    html.markup("</ul>");
    if let Some(more) = concerns.len().checked_sub(CONCERNS).filter(|more| *more > 0) {
        html.markup("<p>And ")
            .text(counted(more, "other"))
            .markup("; see the table below, or <code>cadenced status</code>.</p>");
    }
    html.markup("</section>");
}

fn one_concern(html: &mut Html, concern: &Concern<'_>, clock: &Clock) {
    let level = concern.level.as_str();
    html.markup("<li class=")
        .markup(level)
        .markup("><p><span class=badge>")
        .markup(level)
        .markup("</span> <b>");
    let name = match &concern.of {
        Of::Configuration => {
            html.markup("the configuration was refused, the old one serves");
            ""
        }
        Of::State => {
            html.markup("the state can't be read");
            ""
        }
        Of::Connection(name, _) => {
            html.markup("connection <a href=\"#connection-")
                .text(name)
                .markup("\">")
                .text(name)
                .markup("</a>");
            name.as_str()
        }
        Of::Jobs(jobs) => {
            for (at, job) in jobs.iter().take(JOBS_NAMED).enumerate() {
                html.markup(if at > 0 { ", " } else { "" });
                html.markup("<a href=\"#job-").text(job).markup("\">").text(job).markup("</a>");
            }
            if let Some(more) = jobs.len().checked_sub(JOBS_NAMED).filter(|more| *more > 0) {
                html.markup(" and ").text(counted(more, "more job"));
            }
            match jobs.as_slice() {
                [job] => job.as_str(),
                _ => "JOB",
            }
        }
    };
    let skipped = if concern.level == Level::Skipped { "slots were not run: " } else { "" };
    html.markup("</b></p><p class=reason>").markup(skipped).text(concern.why).markup("</p>");
    if let Of::Connection(_, health) = &concern.of {
        if let Some(at) = health.open_since {
            html.markup("<p>left alone since ").instant(at, clock).markup("</p>");
        }
        if let Some(at) = health.next_probe.or(health.parked_until) {
            html.markup("<p>asked again at ")
                .instant(at, clock)
                .markup(" ")
                .distance(at, clock)
                .markup("</p>");
        }
    }
    if !concern.todo.is_empty() {
        html.markup("<ul class=todo>");
        for todo in &concern.todo {
            let (before, after) = todo.command;
            html.markup("<li>").markup(todo.to).markup(": <code>").markup(before).text(name).markup(after);
            html.markup("</code>");
        }
        html.markup("</ul>");
    }
    html.markup("</li>");
}
