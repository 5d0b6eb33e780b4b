//! The commands that talk to the running daemon: status, history, slots, trigger, pause, resume, reload.

use super::args::{Format, History, OneJob, Pause, Reload, Shown, Slots, Trigger};
use super::output::{Exit, NOTHING, Stop, Table, json_line, or_nothing, say, shown};
use crate::admin::control::{Again, Condition, ConnectionHealth, JobStatus, SlotRow, Wait};
use crate::admin::{ClientError, ControlClient, Refusal};
use crate::run::{Outcome, RunRecord};
use crate::words::{ConnectionName, JobName};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::io::Write;

pub(super) async fn status(daemon: &ControlClient, args: &Shown, out: &mut impl Write) -> Result<Exit, Stop> {
    let jobs = daemon.status().await?;
    if args.format == Format::Json {
        jobs.iter().try_for_each(|job| json_line(out, job))?;
        return Ok(Exit::Ok);
    }
    print_status(&jobs, out)?;
    print_connections(&daemon.connections().await?, out)?;
    Ok(Exit::Ok)
}

fn print_connections(
    connections: &BTreeMap<ConnectionName, ConnectionHealth>,
    out: &mut impl Write,
) -> Result<(), Stop> {
    if connections.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(["CONNECTION", "STATUS", "QUOTA LEFT", "WAITS UNTIL", "BREAKER", "WHY"]);
    for (name, health) in connections {
        let left: Vec<String> =
            health.quotas.iter().map(|of| format!("{} of {}", of.left, of.quota)).collect();
        table.row([
            name.to_string(),
            health.status.to_string(),
            or_nothing((!left.is_empty()).then(|| left.join(", "))),
            or_nothing(health.waits_until.map(|at| shown(at, Tz::UTC))),
            health.breaker.clone(),
            health.why.clone().unwrap_or_default(),
        ]);
    }
    table.print(out)
}

fn print_status(jobs: &[JobStatus], out: &mut impl Write) -> Result<(), Stop> {
    let mut table =
        Table::new(["JOB", "STATUS", "LAST RUN", "OUTCOME", "NEXT SLOT", "WATERMARK", "REJECTS", "WHY"]);
    for job in jobs {
        let zone = zone(&job.timezone);
        let health = &job.health;
        let status = match (&job.running, &job.paused) {
            (Some(_), _) => format!("{} (running)", health.status),
            (None, Some(_)) => format!("{} (paused)", health.status),
            (None, None) => health.status.to_string(),
        };
        let why = match (&health.why, &job.paused) {
            (Some(why), _) => why.clone(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => String::new(),
        };
        table.row([
            job.job.to_string(),
            status,
            or_nothing(health.last_run.map(|at| shown(at, zone))),
            or_nothing(job.last_outcome),
            or_nothing(health.next_slot.map(|at| shown(at, zone))),
            or_nothing(health.watermark.as_ref()),
            health.rejects.to_string(),
            why,
        ]);
    }
    table.print(out)?;
    let of = |condition: Condition| {
        let count = jobs.iter().filter(|job| job.health.status == condition).count();
        (count > 0).then(|| format!("{count} {condition}"))
    };
    let parts: Vec<String> = [Condition::Failing, Condition::Degraded, Condition::Ok, Condition::Off]
        .into_iter()
        .filter_map(of)
        .collect();
    let jobs = if jobs.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", jobs.len()) };
    Ok(writeln!(out, "\n{jobs}: {}", parts.join(", "))?)
}

pub(super) async fn history(
    daemon: &ControlClient,
    args: &History,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let runs = daemon.history(args.job.as_deref(), args.limit).await?;
    if args.format == Format::Json {
        runs.iter().try_for_each(|run| json_line(out, run))?;
        return Ok(Exit::Ok);
    }
    let zones: BTreeMap<JobName, Tz> =
        daemon.status().await?.into_iter().map(|job| (job.job, zone(&job.timezone))).collect();
    print_history(&runs, &zones, out)?;
    Ok(Exit::Ok)
}

fn print_history(
    runs: &[RunRecord],
    zones: &BTreeMap<JobName, Tz>,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let mut table = Table::new([
        "RUN",
        "JOB",
        "SLOT",
        "TOOK",
        "OUTCOME",
        "READ",
        "WRITTEN",
        "UNCHANGED",
        "REJECTED",
        "REMOVED",
        "MESSAGE",
    ]);
    for run in runs {
        // A job that was taken out of the configuration has runs, but no zone any more.
        let zone = zones.get(&run.slot.job).copied().unwrap_or(Tz::UTC);
        table.row([
            run.id.to_string(),
            run.slot.job.to_string(),
            shown(run.slot.at, zone),
            run.ended.map_or_else(|| NOTHING.to_owned(), |ended| took(ended - run.started)),
            run.outcome.map_or("running", Outcome::as_str).to_owned(),
            run.counts.read.to_string(),
            run.counts.written.to_string(),
            run.counts.unchanged.to_string(),
            run.counts.rejected.to_string(),
            run.counts.removed.to_string(),
            run.message.clone().unwrap_or_default(),
        ]);
    }
    table.print(out)
}

/// `0.2s`, `12s`, `3m05s`, `2h07m`.
pub(super) fn took(time: chrono::TimeDelta) -> String {
    // A clock stepped back during the run gives a negative time.
    let seconds = time.num_seconds().max(0);
    match seconds {
        0..10 => format!("{:.1}s", time.num_milliseconds().max(0) as f64 / 1000.0),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

pub(super) async fn slots(daemon: &ControlClient, args: &Slots, out: &mut impl Write) -> Result<Exit, Stop> {
    let rows = daemon.slots(&args.job, args.date).await?;
    if args.format == Format::Json {
        rows.iter().try_for_each(|row| json_line(out, row))?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        say(format!("{}: no slots on that day", args.job));
    } else {
        print_slots(&rows, out)?;
    }
    Ok(Exit::Ok)
}

fn print_slots(rows: &[SlotRow], out: &mut impl Write) -> Result<(), Stop> {
    let mut table = Table::new(["SLOT", "OUTCOME", "ATTEMPTS", "RUN", "REASON"]);
    for row in rows {
        let zone = zone(&row.timezone);
        let at = match row.until {
            Some(until) => format!("{} … {} ({} slots)", shown(row.at, zone), shown(until, zone), row.slots),
            None => shown(row.at, zone),
        };
        let outcome = match (row.outcome, row.attempts) {
            (Some(outcome), _) => outcome.as_str(),
            (None, 0) => "to come",
            (None, _) => "running",
        };
        table.row([
            at,
            outcome.to_owned(),
            row.attempts.to_string(),
            or_nothing(row.run),
            row.reason.clone().unwrap_or_default(),
        ]);
    }
    table.print(out)
}

pub(super) async fn trigger(daemon: &ControlClient, args: &Trigger) -> Result<Exit, Stop> {
    let again = if args.again { Again::Yes } else { Again::No };
    let wait = if args.wait { Wait::Yes } else { Wait::No };
    let triggered = daemon.trigger(&args.job, again, wait).await?;
    let Some(run) = triggered.run else {
        say(format!("{}: started; see: cadenced history {}", args.job, args.job));
        return Ok(Exit::Ok);
    };
    let outcome = run.outcome.unwrap_or(Outcome::Interrupted);
    let message = run.message.map(|message| format!(": {message}")).unwrap_or_default();
    say(format!(
        "{}: {outcome}, {} read, {} written{message}",
        args.job, run.counts.read, run.counts.written
    ));
    Ok(exit_of(outcome))
}

/// The exit code of a run.
pub(super) fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Ok => Exit::Ok,
        Outcome::Partial => Exit::Partial,
        Outcome::Failed | Outcome::Skipped | Outcome::Interrupted | Outcome::Missed => Exit::Failed,
    }
}

pub(super) async fn pause(daemon: &ControlClient, args: &Pause) -> Result<Exit, Stop> {
    daemon.pause(&args.job, args.reason.as_deref()).await?;
    say(format!("{}: paused; its slots are skipped until: cadenced resume {}", args.job, args.job));
    Ok(Exit::Ok)
}

pub(super) async fn resume(daemon: &ControlClient, args: &OneJob) -> Result<Exit, Stop> {
    daemon.resume(&args.job).await?;
    say(format!("{}: resumed", args.job));
    Ok(Exit::Ok)
}

pub(super) async fn reload(daemon: &ControlClient, args: &Reload) -> Result<Exit, Stop> {
    let wait = if args.wait { Wait::Yes } else { Wait::No };
    let reloaded = match daemon.reload(wait).await {
        Err(ClientError::Refused(Refusal::Config { problems })) => {
            problems.iter().for_each(say);
            return Err(Stop::new(Exit::Failed, "the configuration was refused, the old one stays"));
        }
        reloaded => reloaded?,
    };
    reloaded.warnings.iter().for_each(|warning| say(format!("warning: {warning}")));
    say(match reloaded.jobs {
        Some(jobs) => format!("reloaded: {jobs} jobs"),
        None => "the daemon reads its configuration again; see: cadenced status".to_owned(),
    });
    Ok(Exit::Ok)
}

/// A zone this build doesn't know is shown in UTC: the daemon may be newer.
fn zone(name: &str) -> Tz {
    name.parse().unwrap_or(Tz::UTC)
}
