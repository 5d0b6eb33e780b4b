//! `[job.NAME]`: the limits of a job, its trigger and its two ends, and what jobs say about each other.

use super::diagnostic::{OriginKind, did_you_mean};
use super::document::{Node, Value};
use super::ends::{self, Connections};
use super::reader::Table;
use super::units::{self, Wrong};
use super::{Loaded, map, pull, push, receive, steps, trigger, upload};
use crate::job::pull::Echo;
use crate::job::{Estimate, Job, Trigger, Work};
use crate::schedule::{CatchUp, Overlap, Policy, Rerun};
use crate::words::JobName;
use chrono_tz::Tz;
use std::collections::{BTreeMap, BTreeSet};

/// Reads all jobs into `loaded`; those with a mistake are left out.
pub(super) fn read(all: &Table<'_>, zone: Tz, connections: &Connections<'_>, loaded: &mut Loaded) {
    for (text, node) in all.node.entries() {
        let name = all.read(text, node, |node| {
            JobName::new(text).map_err(|bad| units::refused(bad).at(node.key_at.clone()))
        });
        let (Some(name), Some(table)) = (name, all.below(text, node)) else { continue };
        if node.key_at.kind != OriginKind::File && !connections.incomplete {
            let help = did_you_mean(text, connections.job_names().filter(|other| other != text));
            let problem = "no file describes this job; variables and flags only change jobs";
            all.error(Some(text), &node.key_at, Wrong::new(problem).help(help));
            continue;
        }
        let estimate = estimate(&table);
        let import = table.get("import", import);
        if let Some(job) = job(&table, name.clone(), zone, connections) {
            loaded.imports.extend(import.map(|import| (name.clone(), import)));
            loaded.estimates.extend(estimate.map(|estimate| (name.clone(), estimate)));
            loaded.jobs.insert(name, job);
        }
    }
    parents(all, connections);
    echoes(all, loaded);
    steps::continued(all, connections.incomplete, loaded);
}

/// Lets pulls know what the pushes send whose echoes they drop.
fn echoes(all: &Table<'_>, loaded: &mut Loaded) {
    let mut heard = Vec::new();
    for (name, job) in &loaded.jobs {
        let Work::Pull(pull, _) = &job.work else { continue };
        let Some(echo) = &pull.echo else { continue };
        let found = match loaded.jobs.get(&echo.job).map(|other| &other.work) {
            Some(Work::Push(read, push)) if push.to == pull.from => {
                Echo::of(&echo.job, read, push).ok_or("needs a `map` that sends its key, to be recognised by")
            }
            Some(_) => Err("is no push to the platform this job pulls from"),
            None => Err("is no job, or one with a mistake"),
        };
        heard.push((name.clone(), echo.job.clone(), found));
    }
    for (name, echo, found) in heard {
        match (found, loaded.jobs.get_mut(&name).map(|job| &mut job.work)) {
            (Ok(echo), Some(Work::Pull(pull, _))) => pull.echo = Some(echo),
            (Err(problem), _) => {
                let node = all.node.get(name.as_str()).and_then(|job| job.get("pull")?.get("echo-of"));
                let place = node.map_or(&all.node.at, |node| &node.at);
                let others = loaded.jobs.keys().map(JobName::as_str).filter(|other| *other != name.as_str());
                let help = did_you_mean(echo.as_str(), others);
                let wrong = Wrong::new(format!("`{echo}` {problem}")).help(help);
                all.error(Some(&format!("{name}.pull.echo-of")), place, wrong);
            }
            (Ok(_), _) => {}
        }
    }
}

fn job(table: &Table<'_>, name: JobName, zone: Tz, connections: &Connections<'_>) -> Option<Job> {
    let errors = table.errors();
    let summary = table.get("summary", |node| units::text(node).map(str::to_owned)).unwrap_or_default();
    let enabled = table.get("enabled", units::flag).unwrap_or(true);
    let trigger = trigger::read(table, zone);
    let policy = policy(table);
    let own_zone = table.node.get("timezone").and_then(|node| units::zone(node).ok());
    let work = work(table, own_zone.unwrap_or(zone), connections);
    table.finish();
    let (Some(trigger), Some(work), true) = (trigger, work, table.is_clean_since(errors)) else {
        return None;
    };
    timeout_fits(table, &trigger, &policy);
    Some(Job { name, summary, enabled, trigger, policy, work })
}

fn policy(table: &Table<'_>) -> Policy {
    let default = Policy::default();
    let catch_up = [("skip", CatchUp::Skip), ("latest", CatchUp::Latest), ("all", CatchUp::All)];
    let overlap = [("skip", Overlap::Skip), ("queue", Overlap::Queue)];
    Policy {
        catch_up: table.get("catch-up", |node| units::one_of(node, &catch_up)).unwrap_or(default.catch_up),
        catch_up_window: table.get("catch-up-window", units::duration),
        overlap: table.get("overlap", |node| units::one_of(node, &overlap)).unwrap_or(default.overlap),
        rerun: table.table("rerun").and_then(|rerun| {
            let times = rerun.require("times", |node| units::whole(node, 1, 1_000));
            let every = rerun.require("every", units::some_time);
            rerun.finish();
            Some(Rerun { times: u32::try_from(times?).ok()?, every: every? })
        }),
        timeout: table.get("timeout", units::some_time).unwrap_or(default.timeout),
        lock: table.get("lock", units::words),
    }
}

/// The place in a first import, or `false`.
fn import(node: &Node) -> Result<Option<u64>, Wrong> {
    match node.value {
        Value::Bool(false) => Ok(None),
        Value::Bool(true) => Err(Wrong::new("expected a number, smaller ones first, or false")),
        _ => units::whole(node, 0, 1_000_000).map(Some),
    }
}

/// What a run costs, as long as none was measured.
fn estimate(table: &Table<'_>) -> Option<Estimate> {
    let estimate = table.table("estimate")?;
    let default = Estimate::default();
    let requests = estimate.get("requests", |node| units::whole(node, 0, 1_000_000));
    let duration = estimate.get("duration", units::duration);
    estimate.finish();
    Some(Estimate {
        requests: requests.unwrap_or(default.requests),
        duration: duration.unwrap_or(default.duration),
    })
}

/// A time-out somebody chose that is longer than the interval makes runs swallow slots.
fn timeout_fits(table: &Table<'_>, trigger: &Trigger, policy: &Policy) {
    let Some(interval) = trigger.timetable().map(|timetable| timetable.interval_hint()) else { return };
    if table.node.get("timeout").is_some() && policy.timeout > interval && policy.overlap == Overlap::Skip {
        let wrong = Wrong::new(format!("is longer than the {} s between two slots", interval.as_secs()))
            .help(Some("slots that come while a run goes are skipped; see `overlap`".to_owned()));
        table.warn(Some("timeout"), &table.place("timeout"), wrong);
    }
}

/// The two ends; nothing if any of them is wrong.
fn work(table: &Table<'_>, zone: Tz, connections: &Connections<'_>) -> Option<Work> {
    if table.node.get("step").is_some() {
        return steps::read(table, connections);
    }
    // A chain that is still to be described is a complete schedule.
    for key in ["steps", "to", "continues"] {
        table.take(key);
    }
    let shaping = map::shaping(table, connections);
    let [pull, write, read, push, upload, receive] =
        ["pull", "write", "read", "push", "upload", "receive"].map(|key| table.table(key));
    let has = |key: &str| table.node.get(key).is_some();

    let pull_end = pull.as_ref().map(|pull| pull::read(pull, zone, connections));
    let write_end = write.as_ref().map(|write| ends::write(write, connections, shaping.clone()));
    let read_end = read.as_ref().map(|read| ends::read(read, connections));
    let key = read_end.as_ref().and_then(Option::as_ref).map(|read| read.key.as_slice());
    let push_end = match (&push, &upload) {
        (Some(push), _) => Some(push::read(push, connections, key, shaping)),
        (None, Some(upload)) => Some(upload::read(upload, connections, shaping)),
        (None, None) => None,
    };
    if let (Some(_), Some(upload)) = (&push, &upload) {
        let wrong = Wrong::new("stands beside `push`: a job sends its records one way")
            .help(Some("make it two jobs, the one with the files `after` the other".to_owned()));
        table.error(Some("upload"), &upload.node.key_at, wrong);
        return None;
    }

    let receive_end = receive.as_ref().map(|receive| {
        let write = write_end.as_ref().and_then(Option::as_ref);
        receive::read(receive, table, write)
    });

    if has("receive") && (has("pull") || has("read") || has("push") || has("upload")) {
        let wrong = Wrong::new("is called, and calls too; make it two jobs")
            .help(Some("a job that a platform calls has `receive` and `write`, and no other end".to_owned()));
        table.error(None, &table.node.key_at, wrong);
        return None;
    }
    if (has("pull") || has("write")) && (has("read") || has("push") || has("upload")) {
        let wrong = Wrong::new("moves records both ways")
            .help(Some("a job is `pull` and `write`, or `read` and `push`; make it two jobs".to_owned()));
        table.error(None, &table.node.key_at, wrong);
        return None;
    }
    for (one, other, side) in [
        ("pull", "write", "where its rows go"),
        ("receive", "write", "where its records go"),
        ("write", if has("receive") { "receive" } else { "pull" }, "where its rows come from"),
        ("read", "push", "where its rows go"),
        ("push", "read", "where its rows come from"),
        ("upload", "read", "where its rows come from"),
    ] {
        if has(one) && !has(other) && !(one == "read" && (has("steps") || has("upload"))) {
            let wrong = Wrong::new(format!("needs `{other}` to say {side}"));
            table.error(Some(one), &table.node.get(one)?.key_at, wrong);
        }
    }
    if let (Some(end), Some(write)) = (&receive_end, &write_end) {
        return Some(Work::Receive(Box::new(end.clone()?), Box::new(write.clone()?)));
    }
    match (pull_end, write_end, read_end, push_end) {
        (Some(end), Some(write), ..) => {
            let (end, write) = (end?, write?);
            pull::check_gone(table, &end, &write);
            Some(Work::Pull(Box::new(end), Box::new(write)))
        }
        (.., Some(read), Some(push)) => Some(Work::Push(Box::new(read?), Box::new(push?))),
        (None, None, None, None) if !trigger::is_given(table.node) && receive_end.is_none() => {
            let name = table.name();
            let others = connections.job_names().filter(|other| *other != name);
            let help = did_you_mean(name, others).unwrap_or_else(|| {
                "a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)"
                    .to_owned()
            });
            let wrong = Wrong::new("has neither a trigger nor ends").help(Some(help));
            table.error(None, &table.node.key_at, wrong);
            None
        }
        _ => Some(Work::Unconfigured),
    }
}

/// `after` names jobs that exist, and no job waits for itself.
fn parents(all: &Table<'_>, connections: &Connections<'_>) {
    let entries = all.node.entries();
    let jobs: BTreeMap<&str, &[Node]> = entries
        .iter()
        .map(|(name, job)| (name.as_str(), job.get("after").map_or(&[][..], Node::elements)))
        .collect();
    for (name, job) in entries.iter().filter(|(_, job)| job.get("after").is_some()) {
        let Some(table) = all.below(name, job) else { continue };
        for parent in jobs[name.as_str()] {
            let Ok(text) = units::text(parent) else { continue };
            if !jobs.contains_key(text) && !connections.incomplete {
                table.error(Some("after"), &parent.at, connections.no_job(text));
            } else if let Some(circle) = circle(name, text, &jobs) {
                let wrong = Wrong::new(format!("runs in a circle: {}", circle.join(" after ")));
                table.error(Some("after"), &parent.at, wrong);
            }
        }
    }
}

/// The way from a job through one of its parents back to itself, if it is the first by name on that way: a circle is
/// reported once.
fn circle<'a>(job: &'a str, parent: &'a str, jobs: &BTreeMap<&'a str, &[Node]>) -> Option<Vec<String>> {
    let mut ways = vec![vec![job.to_owned(), parent.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way.last()?.clone();
        if last == job {
            return way.iter().all(|step| step.as_str() >= job).then_some(way);
        }
        if seen.insert(last.clone()) {
            let parents = jobs
                .get(last.as_str())
                .copied()
                .into_iter()
                .flatten()
                .filter_map(|node| units::text(node).ok());
            ways.extend(parents.map(|parent| way.iter().cloned().chain([parent.to_owned()]).collect()));
        }
    }
    None
}
