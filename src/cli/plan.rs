//! `cadenced plan`: a day of all jobs laid over the quotas of their connections. Here the facts are gathered and the
//! report is written; what fits is decided by [`plan`](crate::plan).

use super::args::{Format, Plan};
use super::control::took;
use super::keep::Keeper;
use super::output::{Exit, NOTHING, Stop, Table, counted, json_line, say};
use super::place::Place;
use crate::config::Loaded;
use crate::job::Job;
use crate::plan::{self, Figures, Finding, Report, Weight, What};
use crate::run::RunRecord;
use crate::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::io::Write;

/// How many of a job's last runs are looked at.
const RUNS: usize = 100;

pub(super) async fn plan(
    place: &Place,
    args: &Plan,
    now: DateTime<Utc>,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let zone = loaded.settings.timezone;
    let date = args.date.unwrap_or_else(|| now.with_timezone(&zone).date_naive());
    let measured = measured(&loaded).await.unwrap_or_else(|stop| {
        say(format!("no runs to measure by: {}", stop.message));
        BTreeMap::new()
    });
    let figures: BTreeMap<JobName, Figures> = (loaded.jobs.keys())
        .filter_map(|job| {
            let given = || loaded.estimates.get(job).copied().map(Figures::given);
            Some((job.clone(), measured.get(job).copied().or_else(given)?))
        })
        .collect();
    let report = plan::day(&loaded.jobs, &loaded.connections, &figures, date, zone);
    match args.format {
        Format::Json => json_line(out, &report)?,
        Format::Text => print(&report, out)?,
    }
    Ok(if report.fits { Exit::Ok } else { Exit::Failed })
}

/// What the runs of live jobs cost so far, from whoever holds the state.
async fn measured(loaded: &Loaded) -> Result<BTreeMap<JobName, Figures>, Stop> {
    let keeper = Keeper::find(&loaded.settings.state).await?;
    let mut figures = BTreeMap::new();
    for job in loaded.jobs.values().filter(|job| job.is_live()) {
        if let Some(measured) = Figures::measured(&runs(&keeper, job).await?) {
            figures.insert(job.name.clone(), measured);
        }
    }
    Ok(figures)
}

async fn runs(keeper: &Keeper, job: &Job) -> Result<Vec<RunRecord>, Stop> {
    Ok(match keeper {
        Keeper::Daemon(daemon) => daemon.history(Some(job.name.as_str()), RUNS).await?,
        Keeper::Here(store) => store.runs(Some(&job.name), RUNS).await?,
    })
}

fn print(report: &Report, out: &mut impl Write) -> Result<(), Stop> {
    let verdict = match (report.fits, report.fits_at_worst) {
        (true, true) => "fits",
        (true, false) => "fits, but not if every run is as long as the worst one was",
        (false, _) => "does not fit",
    };
    writeln!(out, "{} in {}: {verdict}", report.date, report.timezone)?;
    for finding in &report.findings {
        writeln!(out, "{}", sentence(finding))?;
    }
    if let Some(peak) = &report.peak {
        let others = match peak.minutes {
            1 => String::new(),
            minutes => format!(", and as many in {} other minutes", minutes - 1),
        };
        let at = peak.at.format("%H:%M");
        writeln!(out, "most starts: {} jobs at {at}{others}: {}", peak.jobs.len(), names(&peak.jobs))?;
    }
    print_connections(report, out)?;
    print_grounds(report, out)
}

fn sentence(finding: &Finding) -> String {
    let when = match finding.weight {
        Weight::Breaks => "",
        Weight::BreaksAtWorst => "at worst, ",
        Weight::Waits => "only just: ",
    };
    match &finding.what {
        What::Quota {
            connection,
            quota,
            window_seconds,
            at,
            requests,
            over,
            first,
            longest_wait_seconds,
            waiting_at_end,
        } => {
            let wait = match waiting_at_end {
                0 => format!(", up to {}", seconds(*longest_wait_seconds)),
                left => format!("; {left} still wait when the day is over"),
            };
            format!(
                "{connection}: {when}{requests} requests in the {} from {}, {over} more than {quota} allows; from {} on \
                 requests wait{wait}",
                window(*window_seconds),
                clock(at),
                clock(first),
            )
        }
        What::Overlap { job, first, late, skipped, slots, longest_seconds } => {
            let what = match skipped {
                0 => format!("{late} of {slots} slots wait for the run before"),
                skipped => {
                    format!("{skipped} of {slots} slots are skipped because the run before still goes")
                }
            };
            format!(
                "{job}: {when}{what}, first at {}, up to {} too long",
                clock(first),
                seconds(*longest_seconds)
            )
        }
    }
}

fn print_connections(report: &Report, out: &mut impl Write) -> Result<(), Stop> {
    if report.connections.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["CONNECTION", "QUOTA", "BUSIEST MINUTE", "REQUESTS", "REQUESTS A DAY"]);
    for day in &report.connections {
        table.row([
            day.connection.to_string(),
            if day.quota.is_empty() { NOTHING.to_owned() } else { day.quota.join(", ") },
            day.busiest.as_ref().map_or_else(|| NOTHING.to_owned(), clock),
            day.busiest_requests.to_string(),
            day.requests.to_string(),
        ]);
    }
    writeln!(out)?;
    table.print(out)
}

/// What all of it rests on.
fn print_grounds(report: &Report, out: &mut impl Write) -> Result<(), Stop> {
    let those = |of: &dyn Fn(&plan::JobDay) -> bool| {
        let jobs: Vec<JobName> =
            report.jobs.iter().filter(|job| of(job)).map(|job| job.job.clone()).collect();
        (!jobs.is_empty()).then(|| names(&jobs))
    };
    let mut lines = Vec::new();
    for job in report.jobs.iter().filter(|job| job.figures == plan::Source::Measured(0).as_str()) {
        lines.push(format!(
            "{}: measured in {}: {} and {} usually, {} and {} at worst",
            job.job,
            counted(job.runs as u64, "run"),
            counted(job.requests, "request"),
            length(job.seconds),
            job.requests_at_worst,
            length(job.seconds_at_worst),
        ));
    }
    let given = those(&|job| job.figures == plan::Source::Given.as_str());
    lines.extend(given.map(|jobs| format!("as `estimate` says: {jobs}")));
    let assumed = those(&|job| job.figures == plan::Source::Assumed.as_str());
    lines.extend(
        assumed.map(|jobs| {
            format!("assumed, 1 request and 1 s a run (nothing measured, no `estimate`): {jobs}")
        }),
    );
    let namesakes = those(&|job| job.connection_assumed);
    lines.extend(
        namesakes.map(|jobs| {
            format!("without ends yet, counted for the connection their name begins with: {jobs}")
        }),
    );
    let nowhere = those(&|job| job.connection.is_none());
    lines.extend(nowhere.map(|jobs| format!("without ends yet, counted for no connection: {jobs}")));
    if !report.left_out.is_empty() {
        lines.push(format!("left out, no calendar makes them due: {}", names(&report.left_out)));
    }
    if !lines.is_empty() {
        writeln!(out)?;
    }
    Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
}

fn names(jobs: &[JobName]) -> String {
    jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")
}

/// `08:00:00`, and of an hour that comes twice, which one: `02:30:00 CEST`.
fn clock(at: &DateTime<Tz>) -> String {
    let local = at.naive_local();
    let twice = !matches!(local.and_local_timezone(at.timezone()), chrono::MappedLocalTime::Single(_));
    at.format(if twice { "%H:%M:%S %Z" } else { "%H:%M:%S" }).to_string()
}

fn window(seconds: u64) -> String {
    match seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "24 hours".to_owned(),
        86_401.. => format!("{} days", seconds / 86_400),
        _ => format!("{seconds} seconds"),
    }
}

fn seconds(seconds: u64) -> String {
    took(TimeDelta::try_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(TimeDelta::MAX))
}

fn length(seconds: f64) -> String {
    took(
        std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|time| TimeDelta::from_std(time).ok())
            .unwrap_or_default(),
    )
}
