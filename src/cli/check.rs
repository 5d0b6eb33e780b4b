//! `cadenced check`: every problem of the configuration, or what it comes to.

use super::output::{Exit, NOTHING, Stop, Table, counted, say, shown};
use super::place::Place;
use super::{args, runtime};
use crate::config::{Loaded, Settings};
use crate::connectors;
use crate::job::{Job, Work};
use chrono::{DateTime, Utc};
use std::io::Write;

pub(super) fn check(
    place: &Place,
    args: &args::Check,
    now: DateTime<Utc>,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    loaded.warnings.iter().for_each(|warning| say(format!("warning: {warning}")));
    print(&loaded, now, out)?;
    let waiting = loaded.jobs.values().filter(|job| matches!(job.work, Work::Unconfigured)).count();
    let waiting = if waiting > 0 { format!(" ({waiting} still to be configured)") } else { String::new() };
    say(format!(
        "{}{waiting} and {}; state in {}",
        counted(loaded.jobs.len() as u64, "job"),
        counted(loaded.connections.len() as u64, "connection"),
        loaded.settings.state.display()
    ));
    if args.connect { connect(&loaded) } else { Ok(Exit::Ok) }
}

/// Asks the databases whether they could do what the jobs want of them.
fn connect(loaded: &Loaded) -> Result<Exit, Stop> {
    let problems = runtime()?.block_on(connectors::check(&loaded.connections, &loaded.jobs));
    problems.iter().for_each(say);
    if !problems.is_empty() {
        let problems = counted(problems.len() as u64, "problem");
        return Err(Stop::new(Exit::Config, format!("the databases were asked: {problems}")));
    }
    say("the databases were asked: every query, statement and table is as the jobs need it");
    Ok(Exit::Ok)
}

fn print(loaded: &Loaded, now: DateTime<Utc>, out: &mut impl Write) -> Result<(), Stop> {
    let mut table = Table::new(["JOB", "IS", "NEXT SLOT", "THEN", "THEN", "DUE", "SET BY"]);
    for job in loaded.jobs.values() {
        let mut slots = next_slots(job, now).into_iter();
        let mut slot = || slots.next().unwrap_or_else(|| NOTHING.to_owned());
        table.row([
            job.name.to_string(),
            is(job, &loaded.settings).to_owned(),
            slot(),
            slot(),
            slot(),
            job.when(),
            set_by(loaded, job),
        ]);
    }
    table.print(out)
}

fn next_slots(job: &Job, now: DateTime<Utc>) -> Vec<String> {
    job.trigger.timetable().map_or_else(Vec::new, |timetable| {
        let slots = timetable.slots(now, DateTime::<Utc>::MAX_UTC);
        slots.take(3).map(|at| shown(at, timetable.zone())).collect()
    })
}

fn is(job: &Job, settings: &Settings) -> &'static str {
    match (job.enabled, &job.work) {
        (false, _) => "disabled",
        (true, Work::Receive(..)) if settings.inbound.is_none() => "no [inbound]",
        (true, Work::Unconfigured) => "unconfigured",
        (true, _) => "on",
    }
}

/// The files (or variables) that set keys of the job, in name order.
fn set_by(loaded: &Loaded, job: &Job) -> String {
    let prefix = format!("job.{}.", job.name);
    let mut places: Vec<&str> = loaded
        .origins
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix))
        .map(|(_, place)| place.file.as_ref())
        .collect();
    places.sort_unstable();
    places.dedup();
    places.join(", ")
}
