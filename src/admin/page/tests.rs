//! What the page says of a daemon that was made up for it: a job in each state, and texts that would like to be more
//! than texts.

use super::*;
use crate::admin::control::{ConnectionHealth, JobHealth, JobStatus, QuotaHealth, ReloadHealth};
use crate::admin::overview::JobOverview;
use crate::run::{Cause, Counts, Outcome, RunId, RunRecord, Slot};
use crate::state::LastSlot;
use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// What a platform could have said.
const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror='y'>\" onmouseover=\"z";

fn now() -> DateTime<Utc> {
    "2026-03-29T10:00:00Z".parse().unwrap()
}

fn job(name: &str) -> JobOverview {
    let health = JobHealth {
        status: Condition::Ok,
        last_run: Some(now() - TimeDelta::minutes(2)),
        last_success: Some(now() - TimeDelta::minutes(2)),
        next_slot: Some(now() + TimeDelta::minutes(2)),
        watermark: None,
        consecutive_failures: 0,
        rejects: 0,
        why: None,
    };
    let status = JobStatus {
        job: JobName::new(name).unwrap(),
        summary: "Stock levels, ERP to ONe".to_owned(),
        timezone: "Europe/Warsaw".to_owned(),
        health,
        last_outcome: Some(Outcome::Ok),
        running: None,
        paused: None,
    };
    let next = (1..=3).map(|slot| now() + TimeDelta::minutes(2 * slot)).collect();
    let due = "`0 */2 * * * *` in Europe/Warsaw, usually 2m apart".to_owned();
    let last = (0..8).map(|slot| ran(name, TimeDelta::minutes(2 * slot), Outcome::Ok)).collect();
    JobOverview { status, due, is_called: false, last, next }
}

fn degraded(name: &str, why: &str) -> JobOverview {
    let mut job = job(name);
    (job.status.health.status, job.status.health.why) = (Condition::Degraded, Some(why.to_owned()));
    job
}

fn ran(job: &str, ago: TimeDelta, outcome: Outcome) -> LastSlot {
    let at = now() - ago;
    let run = RunRecord {
        id: RunId(1),
        slot: Slot { job: JobName::new(job).unwrap(), at },
        attempt: 1,
        cause: Cause::Due,
        started: at,
        ended: Some(at),
        outcome: Some(outcome),
        counts: Counts { read: 214, written: 12, unchanged: 202, ..Counts::default() },
        message: None,
    };
    LastSlot { at, slots: 1, outcome: Some(outcome), attempts: 1, reason: None, run: Some(run) }
}

fn not_run(ago: TimeDelta, outcome: Outcome, reason: &str) -> LastSlot {
    let (outcome, reason) = (Some(outcome), Some(reason.to_owned()));
    LastSlot { at: now() - ago, slots: 38, outcome, attempts: 0, reason, run: None }
}

fn connection(left: u32) -> ConnectionHealth {
    ConnectionHealth {
        status: Condition::Ok,
        quotas: vec![QuotaHealth { quota: "300/min".to_owned(), left, next: None }],
        waits_until: None,
        parked_until: None,
        breaker: "closed".to_owned(),
        open_since: None,
        next_probe: None,
        why: None,
    }
}

fn overview(jobs: Vec<JobOverview>) -> Overview {
    let health = jobs.iter().map(|job| (job.status.job.clone(), job.status.health.clone())).collect();
    let connections = BTreeMap::from([(ConnectionName::new("one").unwrap(), connection(263))]);
    let health = Health::new(61, health, ReloadHealth { ok: true, why: None }).with_connections(connections);
    let timezone = "Europe/Warsaw".to_owned();
    Overview { at: now(), timezone, readiness: Readiness::Ready, health, jobs }
}

fn page(overview: &Overview) -> String {
    render(overview, Refresh::Often)
}

/// What a page says without its markup, one space between words.
fn said(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let texts = body.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let words: Vec<&str> = texts.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[test]
fn a_sound_daemon_has_nothing_that_needs_attention() {
    let said = said(&page(&overview(vec![job("one-stocks"), job("one-prices")])));
    assert!(said.contains("ok All 2 jobs are as they should be. 2 ok"), "{said}");
    assert!(said.contains("Needs attention Nothing. Jobs"), "{said}");
    let row = "one-prices Stock levels, ERP to ONe `0 */2 * * * *` in Europe/Warsaw, usually 2m apart ok \
               ok 12:00 12 of 214 ok 11:58 12 of 214";
    assert!(said.contains(row), "{said}");
    assert!(said.contains("11:58 CEST 2 min ago 12:02 CEST in 2 min then 12:04, 12:06 none 0"), "{said}");
    assert!(said.contains("one ok 37 of 300/min now"), "{said}");
}

#[test]
fn a_job_in_each_state_says_so_in_words_and_comes_with_its_command() {
    let mut failing = degraded("failing-one", "3 runs in a row failed; the last: no answer");
    failing.status.health.status = Condition::Failing;
    failing.status.health.consecutive_failures = 3;
    failing.status.last_outcome = Some(Outcome::Failed);
    failing.last = vec![ran("failing-one", TimeDelta::zero(), Outcome::Failed)];
    let mut partial = degraded("partial-one", "2 of 40 records were refused");
    partial.status.health.rejects = 2;
    partial.status.last_outcome = Some(Outcome::Partial);
    let mut called = degraded("called-one", "1 record waits as a reject");
    (called.is_called, called.status.health.rejects) = (true, 1);
    called.next = Vec::new();
    let mut paused = degraded("paused-one", "paused: stocktaking");
    paused.status.paused = Some("stocktaking".to_owned());
    paused.last = vec![not_run(TimeDelta::minutes(1), Outcome::Skipped, "paused: stocktaking")];
    let mut running = job("running-one");
    running.status.running = Some(RunId(7));
    running.last.insert(0, LastSlot { outcome: None, ..ran("running-one", TimeDelta::zero(), Outcome::Ok) });
    let mut skipped = job("skipped-one");
    skipped.last = vec![not_run(TimeDelta::hours(23), Outcome::Missed, "the daemon was down")];
    let mut long_ago = job("long-ago");
    long_ago.last = vec![not_run(TimeDelta::hours(25), Outcome::Missed, "the daemon was down for long")];
    let mut new = job("new-one");
    (new.last, new.next, new.status.health.last_success) = (Vec::new(), Vec::new(), None);
    new.status.health.watermark = Some("2026-03-29T09:58:00Z".to_owned());
    let mut off = job("off-one");
    (off.status.health.status, off.status.health.why) = (Condition::Off, Some("disabled".to_owned()));

    let jobs = vec![off, new, long_ago, skipped, running, paused, called, partial, failing];
    let page = page(&overview(jobs));
    let text = said(&page);
    for what in [
        "1 of 8 jobs fails (failing-one) and 3 of 8 jobs need a look (called-one, partial-one, paused-one).",
        "1 failing 3 degraded 4 ok 1 off 1 running now",
        // The worst first; the order among equals is that of the daemon.
        "Needs attention failing failing-one 3 runs in a row failed; the last: no answer \
         see its last runs: cadenced history failing-one \
         once mended, run it now: cadenced trigger failing-one --wait \
         degraded paused-one paused: stocktaking let it run again: cadenced resume paused-one \
         degraded called-one 1 record waits as a reject \
         see which records, and why: cadenced rejects list called-one \
         degraded partial-one 2 of 40 records were refused \
         see which records, and why: cadenced rejects list partial-one \
         once mended, send them again: cadenced rejects retry partial-one --all \
         skipped skipped-one slots were not run: the daemon was down \
         see its slots of today: cadenced slots skipped-one Jobs",
        "failing 3 failures in a row failed 12:00 12 of 214",
        "degraded paused 38 skipped 11:59",
        "ok running running 12:00 ok 12:00",
        "38 missed 28 Mar 12:00",
        "none yet never none of its own 2026-03-29T09:58:00Z 0",
        "Off Jobs that never start by themselves. Job Why off-one Stock levels, ERP to ONe \
         `0 */2 * * * *` in Europe/Warsaw, usually 2m apart disabled",
    ] {
        assert!(text.contains(what), "{what}\nis not said by\n{text}");
    }
    assert!(
        !text.contains("down for long;") && !text.contains("not run: the daemon was down for long"),
        "{text}"
    );
    assert!(page.contains("<title>failing · cadenced</title>"));
}

#[test]
fn closed_connections_and_a_refused_configuration_come_with_their_commands() {
    let mut overview = overview(vec![job("one-stocks")]);
    overview.health.status = Condition::Degraded;
    overview.health.reload =
        ReloadHealth { ok: false, why: Some("a.toml:1:2: job.x.cron: bad\nb.toml:3:4: more".to_owned()) };
    let closed = ConnectionHealth {
        status: Condition::Degraded,
        breaker: "open".to_owned(),
        open_since: Some(now() - TimeDelta::minutes(5)),
        next_probe: Some(now() + TimeDelta::minutes(1)),
        why: Some("left alone: no answer".to_owned()),
        ..connection(0)
    };
    let parked = ConnectionHealth {
        status: Condition::Degraded,
        parked_until: Some(now() + TimeDelta::hours(3)),
        quotas: vec![QuotaHealth {
            quota: "100/day".to_owned(),
            left: 0,
            next: Some(now() + TimeDelta::hours(3)),
        }],
        why: Some("its quota is used up".to_owned()),
        ..connection(0)
    };
    for (name, health) in [("one", closed), ("shop", parked)] {
        overview.health.connections.insert(ConnectionName::new(name).unwrap(), health);
    }
    let text = said(&page(&overview));
    for what in [
        "2 connections are closed and a new configuration was refused, the old one serves.",
        "the configuration was refused, the old one serves a.toml:1:2: job.x.cron: bad b.toml:3:4: more \
         see every problem: cadenced check once mended, take it up: cadenced reload --wait",
        "connection one left alone: no answer left alone since 11:55 CEST asked again at 12:01 CEST in 60 s \
         ask it now: cadenced ping one",
        "connection shop its quota is used up asked again at 15:00 CEST in 3 h ask it now: cadenced ping shop",
        "one degraded 300 of 300/min left alone since 11:55 CEST asked again at 12:01 CEST left alone: no answer",
        "shop degraded 100 of 100/day the next at 15:00 CEST parked until 15:00 CEST its quota is used up",
    ] {
        assert!(text.contains(what), "{what}\nis not said by\n{text}");
    }
}

#[test]
fn a_state_that_cant_be_read_is_what_the_page_is_about() {
    let mut overview = overview(Vec::new());
    overview.health.status = Condition::Failing;
    overview.health.reload.why = Some("the store is damaged".to_owned());
    let text = said(&page(&overview));
    assert!(text.contains("failing The state can&#39;t be read."), "{text}");
    assert!(
        text.contains(
            "the state can't be read the store is damaged \
                see the daemon's log: journalctl -u cadenced Jobs"
        ),
        "{text}"
    );
}

#[test]
fn no_text_gets_out_of_its_place() {
    let mut job = degraded("one-stocks", HOSTILE);
    job.status.summary = HOSTILE.to_owned();
    job.status.timezone = HOSTILE.to_owned();
    job.status.health.watermark = Some(HOSTILE.to_owned());
    job.due = HOSTILE.to_owned();
    job.last = vec![not_run(TimeDelta::zero(), Outcome::Skipped, HOSTILE), {
        let mut slot = ran("one-stocks", TimeDelta::zero(), Outcome::Failed);
        slot.run.as_mut().unwrap().message = Some(HOSTILE.to_owned());
        slot
    }];
    let mut overview = overview(vec![job]);
    overview.timezone = HOSTILE.to_owned();
    overview.health.version = HOSTILE.to_owned();
    overview.health.reload.why = Some(HOSTILE.to_owned());
    let connection = ConnectionHealth {
        status: Condition::Degraded,
        why: Some(HOSTILE.to_owned()),
        quotas: vec![QuotaHealth { quota: HOSTILE.to_owned(), left: 1, next: None }],
        ..connection(1)
    };
    overview.health.connections.insert(ConnectionName::new("one").unwrap(), connection);
    let page = page(&overview);
    // Whatever came in is there as text, as often as it is shown.
    assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count(), 11);
    for markup in ["<script", "<img", " onerror='", "\" onmouseover"] {
        assert!(!page.contains(markup), "{markup}");
    }
}

#[test]
fn jobs_that_share_a_reason_are_one_concern() {
    let jobs: Vec<_> = (0..1000)
        .map(|at| degraded(&format!("job-{at:04}"), "no run is started: the disk is full"))
        .collect();
    let overview = overview(jobs);
    let concerns = concerns(&overview);
    assert_eq!(concerns.len(), 1);
    let text = said(&page(&overview));
    let what = "1000 of 1000 jobs need a look.";
    assert!(text.contains(what), "{what}");
    let what = "job-0004 , job-0005 and 994 more jobs no run is started: the disk is full";
    assert!(text.contains(what), "{what}");
}

#[test]
fn a_thousand_jobs_with_a_trouble_of_their_own_fit_a_megabyte_and_a_half() {
    let all: Vec<_> = (0..1000)
        .map(|at| degraded(&format!("job-{at:04}"), &format!("{at} of 2000 records were refused")))
        .collect();
    let page = page(&overview(all));
    assert_eq!(page.matches("<tr role=row id=\"job-").count(), 1000);
    assert!(page.len() < 1_500_000, "{}", page.len());
    assert!(said(&page).contains("And 950 others; see the table below"));
}

#[test]
fn the_policy_allows_the_style_and_nothing_else() {
    let page = page(&overview(Vec::new()));
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = BASE64_STANDARD.encode(Sha256::digest(style));
    let headers = headers();
    let policy = headers.iter().find(|(name, _)| name == header::CONTENT_SECURITY_POLICY).unwrap();
    let policy = policy.1.to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{digest}';")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}
