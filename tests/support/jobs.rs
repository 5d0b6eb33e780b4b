//! Jobs for tests of when, not of what: their ends are never asked for.

use cadenced::job::{Job, Pages, Pull, Target, Trigger, Work, Write};
use cadenced::schedule::{Policy, Timetable};
use cadenced::words::{ConnectionName, FieldPath, JobName, Template};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// An instant: `10:00` and `10:00:05` are of 2026-03-02, `03-29 01:00` of that year.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    let seconds = if text.matches(':').count() == 1 { ":00" } else { "" };
    let date = match text.find(':') {
        Some(2) => "2026-03-02 ",
        Some(8) => "2026-",
        _ => "",
    };
    format!("{date}{text}{seconds}Z").replace(' ', "T").parse().unwrap()
}

pub(crate) fn name(text: &str) -> JobName {
    JobName::new(text).unwrap()
}

pub(crate) fn names(texts: &[&str]) -> Vec<JobName> {
    texts.iter().copied().map(name).collect()
}

pub(crate) fn by_name(jobs: &[Job]) -> BTreeMap<JobName, Job> {
    jobs.iter().map(|job| (job.name.clone(), job.clone())).collect()
}

/// Two ends that nobody will reach for.
pub(crate) fn work() -> Work {
    let pull = Pull {
        each: None,
        sweep: None,
        max_gone: 0.1,
        from: ConnectionName::new("platform").unwrap(),
        get: Template::new("/rows").unwrap(),
        params: Vec::new(),
        rows: FieldPath::new("data").unwrap(),
        key: Vec::new(),
        pages: Pages::Single,
        since: None,
        xml: Default::default(),
        skip_when: Vec::new(),
        echo: None,
    };
    let write = Write {
        on_gone: cadenced::job::OnGone::default(),
        to: ConnectionName::new("erp").unwrap(),
        target: Target::Table { name: "rows".to_owned(), upsert_by: Vec::new(), create: false },
        shaping: Default::default(),
    };
    Work::Pull(Box::new(pull), Box::new(write))
}

pub(crate) fn job(text: &str, trigger: Trigger) -> Job {
    let summary = String::new();
    Job { name: name(text), summary, enabled: true, trigger, policy: Policy::default(), work: work() }
}

/// A job due by a cron expression, in UTC.
pub(crate) fn cron(name: &str, expression: &str) -> Job {
    job(name, Trigger::Timetable(Timetable::cron(expression, Tz::UTC).unwrap()))
}

pub(crate) fn after(name: &str, parents: &[&str]) -> Job {
    job(name, Trigger::After(names(parents)))
}

pub(crate) fn initial(name: &str, parents: &[&str]) -> Job {
    job(name, Trigger::Initial(names(parents)))
}

/// The same job under another policy.
pub(crate) fn with(mut job: Job, change: impl FnOnce(&mut Policy)) -> Job {
    change(&mut job.policy);
    job
}

pub(crate) fn disabled(mut job: Job) -> Job {
    job.enabled = false;
    job
}
