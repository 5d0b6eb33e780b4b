//! A day of all jobs laid over the quotas of their connections: does it fit, and where does it not?
//!
//! Pure: jobs, connections, what a run costs and a date in, a [`Report`] out. Every slot of the date runs once and costs
//! what its job's runs cost; a run's requests are spread evenly over its time. What waits for a quota waits in the order
//! it came, and nothing is skipped for it, so that the report says how much too much there is. Failures, reruns and
//! catch-up are left out, and so is what a platform takes to answer: a quota used to its last request is a quota too small.
//!
//! The day breaks where a request would wait for as long as a slot may be late ([`GRACE`](crate::planner::GRACE)), and
//! where slots are skipped because the run before still goes. Shorter waits are only told.

mod demand;
mod figures;
mod layout;
#[cfg(test)]
mod tests;

pub use figures::{Figures, Source};

use crate::connection::{Connection, ConnectionKind};
use crate::job::{Estimate, Job, Trigger, Work};
use crate::planner::GRACE;
use crate::quota::Quota;
use crate::schedule;
use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;
use demand::Demand;
use layout::{Day, lay};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How a day of all jobs goes. Instants carry the offset of the zone it was laid out in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The local date.
    pub date: NaiveDate,
    /// The zone whose date it is.
    pub timezone: &'static str,
    /// Whether everything fits, runs costing what they usually do.
    pub fits: bool,
    /// Whether it does even if every run costs as much as the worst one did.
    pub fits_at_worst: bool,
    /// What does not fit, what would not at worst, what has to wait; in this order.
    pub findings: Vec<Finding>,
    /// The minute in which most jobs start.
    pub peak: Option<Peak>,
    /// The platforms, in name order.
    pub connections: Vec<ConnectionDay>,
    /// The jobs that were laid out, in name order.
    pub jobs: Vec<JobDay>,
    /// Enabled jobs that no calendar makes due.
    pub left_out: Vec<JobName>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The cadence can't hold.
    Breaks,
    /// It can't when runs cost as much as the worst one did.
    BreaksAtWorst,
    /// Something waits, and the cadence holds.
    Waits,
}

/// Something that does not fit, or only just.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub weight: Weight,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// The jobs of a connection want more requests than one of its quotas allows.
    Quota {
        /// The connection.
        connection: ConnectionName,
        /// The quota, as it is written.
        quota: String,
        /// The quota's window, in seconds.
        window_seconds: u64,
        /// Where the first of the fullest windows starts.
        at: DateTime<Tz>,
        /// The requests in it.
        requests: u64,
        /// How many of them are too many.
        over: u64,
        /// When a request first has to wait.
        first: DateTime<Tz>,
        /// How long a request waits at most.
        longest_wait_seconds: u64,
        /// How many still wait when the day is over.
        waiting_at_end: u64,
    },
    /// Runs of a job are still going when its next slot comes.
    Overlap {
        /// The job.
        job: JobName,
        /// The first slot that comes too early.
        first: DateTime<Tz>,
        /// How many do.
        late: u64,
        /// How many of them never run.
        skipped: u64,
        /// Of how many.
        slots: u64,
        /// How long after a slot the run before it ends, at most.
        longest_seconds: u64,
    },
}

/// The minute in which most jobs start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peak {
    /// The first such minute.
    pub at: DateTime<Tz>,
    /// The jobs that start in it.
    pub jobs: Vec<JobName>,
    /// In how many minutes of the day so many jobs start.
    pub minutes: usize,
}

/// The day of a platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionDay {
    /// Its name.
    pub connection: ConnectionName,
    /// Its quotas, as they are written.
    pub quota: Vec<String>,
    /// The first of its busiest minutes, if it has any request.
    pub busiest: Option<DateTime<Tz>>,
    /// The requests in it.
    pub busiest_requests: u64,
    /// The requests of the day.
    pub requests: u64,
}

/// The day of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDay {
    /// Its name.
    pub job: JobName,
    /// The platform its requests were counted for.
    pub connection: Option<ConnectionName>,
    /// Whether that is only its name's beginning, because its ends are still to be configured.
    pub connection_assumed: bool,
    /// Its slots.
    pub slots: u64,
    /// The requests of a run, usually.
    pub requests: u64,
    /// The requests of a run, at worst.
    pub requests_at_worst: u64,
    /// How long a run takes, usually.
    pub seconds: f64,
    /// How long a run takes, at worst.
    pub seconds_at_worst: f64,
    /// How that is known: `measured`, `given` or `assumed`.
    pub figures: &'static str,
    /// From how many runs, where it was measured.
    pub runs: usize,
}

/// Lays a local date out. A job without `figures` is assumed to cost a request and a second.
#[must_use]
pub fn day(
    jobs: &BTreeMap<JobName, Job>,
    connections: &BTreeMap<ConnectionName, Connection>,
    figures: &BTreeMap<JobName, Figures>,
    date: NaiveDate,
    zone: Tz,
) -> Report {
    let planned: Vec<Planned<'_>> = (jobs.values())
        .filter(|job| job.enabled && is_due(job, jobs))
        .map(|job| Planned::new(job, connections, figures))
        .collect();
    let span = schedule::day(date, zone);
    let usual = Outlook::new(&planned, connections, &span, |figures| figures.usual);
    let worst = Outlook::new(&planned, connections, &span, |figures| figures.worst);
    let findings = weigh(usual.findings(zone), worst.findings(zone));
    let has = |weight| findings.iter().any(|finding| finding.weight == weight);
    let left_out = jobs.values().filter(|job| job.enabled && !is_due(job, jobs));
    Report {
        date,
        timezone: zone.name(),
        fits: !has(Weight::Breaks),
        fits_at_worst: !has(Weight::Breaks) && !has(Weight::BreaksAtWorst),
        peak: usual.peak(zone),
        connections: usual.connections(zone),
        jobs: planned.iter().map(|planned| planned.day(&usual)).collect(),
        left_out: left_out.map(|job| job.name.clone()).collect(),
        findings,
    }
}

/// Whether a calendar makes the job due, by itself or through those it follows.
fn is_due(job: &Job, jobs: &BTreeMap<JobName, Job>) -> bool {
    match &job.trigger {
        Trigger::Timetable(_) => true,
        // Configuration refuses circles.
        Trigger::After(parents) => parents
            .iter()
            .filter_map(|parent| jobs.get(parent))
            .any(|parent| parent.enabled && is_due(parent, jobs)),
        Trigger::Initial(_) | Trigger::Manual => false,
    }
}

/// A job that is laid out.
struct Planned<'a> {
    job: &'a Job,
    connection: Option<&'a ConnectionName>,
    figures: Figures,
}

impl<'a> Planned<'a> {
    fn new(
        job: &'a Job,
        connections: &'a BTreeMap<ConnectionName, Connection>,
        figures: &BTreeMap<JobName, Figures>,
    ) -> Self {
        let connection = match &job.work {
            Work::Pull(pull, _) => Some(&pull.from),
            Work::Push(_, push) => Some(&push.to),
            Work::Steps(_, steps) => Some(&steps.to),
            // Calls come when they come, and cost the platform's connection nothing.
            Work::Receive(..) => None,
            Work::Unconfigured => namesake(job, connections),
        };
        Self { job, connection, figures: figures.get(&job.name).copied().unwrap_or_default() }
    }

    fn day(&self, outlook: &Outlook<'_>) -> JobDay {
        let Figures { usual, worst, source } = self.figures;
        JobDay {
            job: self.job.name.clone(),
            connection: self.connection.cloned(),
            connection_assumed: self.connection.is_some() && matches!(self.job.work, Work::Unconfigured),
            slots: outlook.days.get(&self.job.name).map_or(0, |day| day.slots),
            requests: usual.requests,
            requests_at_worst: worst.requests,
            seconds: usual.duration.as_secs_f64(),
            seconds_at_worst: worst.duration.as_secs_f64(),
            figures: source.as_str(),
            runs: if let Source::Measured(runs) = source { runs } else { 0 },
        }
    }
}

/// The platform a job without ends is probably for: `one-orders` for `one`.
fn namesake<'a>(
    job: &Job,
    connections: &'a BTreeMap<ConnectionName, Connection>,
) -> Option<&'a ConnectionName> {
    let (beginning, _) = job.name.as_str().split_once('-')?;
    connections.keys().find(|connection| connection.as_str() == beginning)
}

/// The day, if runs cost so much.
struct Outlook<'a> {
    span: Range<DateTime<Utc>>,
    days: BTreeMap<&'a JobName, Day>,
    demands: BTreeMap<&'a ConnectionName, (Demand, &'a [Quota])>,
}

impl<'a> Outlook<'a> {
    fn new(
        planned: &[Planned<'a>],
        connections: &'a BTreeMap<ConnectionName, Connection>,
        span: &Range<DateTime<Utc>>,
        cost: impl Fn(&Figures) -> Estimate,
    ) -> Self {
        let costs: Vec<(&Job, Estimate)> =
            planned.iter().map(|planned| (planned.job, cost(&planned.figures))).collect();
        let days = lay(&costs, span);
        let mut demands = BTreeMap::new();
        for (name, connection) in connections {
            if let ConnectionKind::Rest(rest) = &connection.kind {
                demands.insert(name, (Demand::new(span.start.timestamp()), rest.quota.as_slice()));
            }
        }
        for planned in planned {
            let demand = planned.connection.and_then(|name| demands.get_mut(name));
            if let (Some((demand, _)), Some(day)) = (demand, days.get(&planned.job.name)) {
                day.runs.iter().for_each(|run| demand.add(*run, cost(&planned.figures).requests));
            }
        }
        Self { span: span.clone(), days, demands }
    }

    /// What does not fit; nothing of it is `BreaksAtWorst` yet.
    fn findings(&self, zone: Tz) -> Vec<Finding> {
        let mut findings = Vec::new();
        let day_seconds = u64::try_from((self.span.end - self.span.start).num_seconds()).unwrap_or(0);
        for (connection, (demand, quotas)) in &self.demands {
            for quota in *quotas {
                let Some(excess) = demand.excess(*quota, day_seconds) else { continue };
                let grace = GRACE.num_seconds().unsigned_abs();
                let weight = if excess.longest >= grace { Weight::Breaks } else { Weight::Waits };
                let what = What::Quota {
                    connection: (*connection).clone(),
                    quota: quota.to_string(),
                    window_seconds: quota.window.as_secs(),
                    at: at(excess.at, zone),
                    requests: excess.requests,
                    over: excess.requests - u64::from(quota.requests),
                    first: at(excess.first, zone),
                    longest_wait_seconds: excess.longest,
                    waiting_at_end: excess.left,
                };
                findings.push(Finding { weight, what });
            }
        }
        for (job, day) in &self.days {
            let Some(late) = day.late else { continue };
            let weight = if late.skipped > 0 { Weight::Breaks } else { Weight::Waits };
            let what = What::Overlap {
                job: (*job).clone(),
                first: at(late.first.div_euclid(1000), zone),
                late: late.slots,
                skipped: late.skipped,
                slots: day.slots,
                longest_seconds: u64::try_from(late.longest).unwrap_or(0).div_ceil(1000),
            };
            findings.push(Finding { weight, what });
        }
        findings
    }

    /// The minute in which most jobs start, if ever two do.
    fn peak(&self, zone: Tz) -> Option<Peak> {
        let mut minutes: BTreeMap<i64, BTreeSet<&JobName>> = BTreeMap::new();
        for (job, day) in &self.days {
            for run in &day.runs {
                minutes.entry(run.begin.div_euclid(60_000)).or_default().insert(job);
            }
        }
        let most = minutes.values().map(BTreeSet::len).max().filter(|most| *most > 1)?;
        let mut peaks = minutes.iter().filter(|(_, jobs)| jobs.len() == most);
        let (minute, jobs) = peaks.next()?;
        let jobs = jobs.iter().map(|job| (*job).clone()).collect();
        Some(Peak { at: at(minute * 60, zone), jobs, minutes: 1 + peaks.count() })
    }

    fn connections(&self, zone: Tz) -> Vec<ConnectionDay> {
        let day = |(name, (demand, quotas)): (&&ConnectionName, &(Demand, &[Quota]))| {
            let busiest = demand.busiest_minute();
            ConnectionDay {
                connection: (*name).clone(),
                quota: quotas.iter().map(ToString::to_string).collect(),
                busiest: busiest.map(|(minute, _)| at(minute, zone)),
                busiest_requests: busiest.map_or(0, |(_, requests)| requests),
                requests: demand.total,
            }
        };
        self.demands.iter().map(day).collect()
    }
}

/// What is usual, and of what is worst only what would break.
fn weigh(usual: Vec<Finding>, worst: Vec<Finding>) -> Vec<Finding> {
    let breaks = |finding: &&Finding| finding.weight == Weight::Breaks;
    let broken: Vec<Finding> = usual.iter().filter(breaks).cloned().collect();
    let at_worst: Vec<Finding> = (worst.into_iter())
        .filter(|finding| breaks(&finding) && !broken.iter().any(|other| other.what.is_about(&finding.what)))
        .map(|finding| Finding { weight: Weight::BreaksAtWorst, ..finding })
        .collect();
    let waits = usual.into_iter().filter(|finding| {
        finding.weight == Weight::Waits && !at_worst.iter().any(|other| other.what.is_about(&finding.what))
    });
    let waits: Vec<Finding> = waits.collect();
    broken.into_iter().chain(at_worst).chain(waits).collect()
}

impl What {
    /// Whether both are about the same quota or the same job.
    fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Quota { connection, quota, .. },
                Self::Quota { connection: other_connection, quota: other_quota, .. },
            ) => (connection, quota) == (other_connection, other_quota),
            (Self::Overlap { job, .. }, Self::Overlap { job: other, .. }) => job == other,
            _ => false,
        }
    }
}

fn at(second: i64, zone: Tz) -> DateTime<Tz> {
    let at = DateTime::from_timestamp(second, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    zone.from_utc_datetime(&at.naive_utc())
}
