//! How a job and a connection are doing, as `/health` tells it and the gauges show it.

use crate::admin::control::{Condition, ConnectionHealth, JobHealth, QuotaHealth, WatermarkRow};
use crate::job::{Job, Work};
use crate::quota::QuotaUse;
use crate::rest::ConnectionView;
use crate::run::{Outcome, RunId, RunRecord};
use crate::scheduler::View;
use crate::state::{JobView, Watermark};
use crate::telemetry;
use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, TimeDelta, Utc};
use metrics::gauge;

/// As many failures in a row need a person.
const FAILING_AFTER: u32 = 3;

/// What `status` shows beside a job's health.
pub(super) struct Extra {
    pub(super) last_outcome: Option<Outcome>,
    pub(super) running: bool,
    pub(super) paused: Option<String>,
    pub(super) run: Option<RunId>,
}

pub(super) fn condition(
    job: &Job,
    ledger: &JobView,
    runs: &[RunRecord],
    mark: Option<&Watermark>,
    view: &View,
) -> (JobHealth, Extra) {
    let paused = ledger.paused.as_ref().map(|pause| pause.reason.clone().unwrap_or_default());
    let ended = runs.iter().find(|run| run.outcome.is_some());
    let last_outcome = ended.and_then(|run| run.outcome);
    let said = || ended.and_then(|run| run.message.clone());
    let (status, why) = if matches!(job.work, Work::Unconfigured) {
        (Condition::Off, Some("its ends are still to be configured".to_owned()))
    } else if !job.enabled {
        (Condition::Off, Some("disabled".to_owned()))
    } else if let Some(stuck) = &view.stuck {
        (Condition::Failing, Some(format!("no run is started: {stuck}")))
    } else if ledger.consecutive_failures >= FAILING_AFTER {
        let failures = ledger.consecutive_failures;
        let said = said().unwrap_or_default();
        (Condition::Failing, Some(format!("{failures} runs in a row failed; the last: {said}")))
    } else if let Some(reason) = &paused {
        let reason = if reason.is_empty() { "no reason given" } else { reason };
        (Condition::Degraded, Some(format!("paused: {reason}")))
    } else if matches!(last_outcome, Some(Outcome::Failed | Outcome::Partial)) {
        (Condition::Degraded, said())
    } else if ledger.rejects > 0 {
        let name = &job.name;
        let records = if ledger.rejects == 1 {
            "1 record waits as a reject"
        } else {
            &format!("{} records wait as rejects", ledger.rejects)
        };
        let why = format!("{records}; see: cadenced rejects list {name}");
        (Condition::Degraded, Some(why))
    } else {
        (Condition::Ok, None)
    };
    let health = JobHealth {
        status,
        last_run: runs.first().map(|run| run.started),
        last_success: ledger.last_success.as_ref().and_then(|run| run.ended),
        next_slot: view.next.get(&job.name).copied(),
        watermark: mark.and_then(|mark| WatermarkRow::new(job.name.clone(), mark).watermark),
        consecutive_failures: ledger.consecutive_failures,
        rejects: ledger.rejects,
        why,
    };
    let running = view.running.iter().any(|slot| slot.job == job.name);
    let run = runs.first().filter(|run| running && run.ended.is_none()).map(|run| run.id);
    (health, Extra { last_outcome, running, paused, run })
}

pub(super) fn of_connection(view: ConnectionView, now: DateTime<Utc>) -> ConnectionHealth {
    let ConnectionView { quotas, waits_until, closed, open_since, probe_at } = view;
    let next = |wait: std::time::Duration| {
        let wait = TimeDelta::from_std(wait).ok().filter(|wait| !wait.is_zero())?;
        now.checked_add_signed(wait)
    };
    let quota =
        |of: QuotaUse| QuotaHealth { quota: of.quota.to_string(), left: of.left, next: next(of.wait) };
    ConnectionHealth {
        status: if closed.is_some() { Condition::Degraded } else { Condition::Ok },
        quotas: quotas.into_iter().map(quota).collect(),
        waits_until,
        parked_until: closed.as_ref().and_then(|closed| closed.until),
        breaker: if open_since.is_some() { "open" } else { "closed" }.to_owned(),
        open_since,
        next_probe: probe_at,
        why: closed.map(|closed| closed.reason),
    }
}

/// Keeps the gauges of a connection up to date.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float for millions of years")]
pub(super) fn measure_connection(name: &ConnectionName, health: &ConnectionHealth) {
    let name = name.to_string();
    for of in &health.quotas {
        let labels = [("connection", name.clone()), ("quota", of.quota.clone())];
        gauge!(telemetry::QUOTA_LEFT, &labels).set(f64::from(of.left));
    }
    let until = health.waits_until.map_or(0, |until| until.timestamp());
    gauge!(telemetry::WAITS_UNTIL, "connection" => name.clone()).set(until as f64);
    let open = f64::from(u8::from(health.open_since.is_some()));
    gauge!(telemetry::BREAKER_OPEN, "connection" => name).set(open);
}

/// The job's first slot since it last went through. Once it is past, the job is behind, however often it is due.
pub(super) fn success_due(job: &Job, health: &JobHealth) -> Option<DateTime<Utc>> {
    let since = health.last_success.filter(|_| job.is_live())?;
    job.trigger.timetable()?.slots(since, DateTime::<Utc>::MAX_UTC).next()
}

/// Keeps the gauges of a job up to date. An instant that there is not is set to NaN, since a gauge that was set once can't be
/// taken away, and an alert on what it said then would never end.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds and counts fit a float far beyond what they will ever be"
)]
pub(super) fn measure(
    job: &JobName,
    health: &JobHealth,
    extra: &Extra,
    mark: Option<&Watermark>,
    due: Option<DateTime<Utc>>,
) {
    let job = job.to_string();
    let set = |name: &'static str, value: f64| gauge!(name, "job" => job.clone()).set(value);
    let instant =
        |name, at: Option<DateTime<Utc>>| set(name, at.map_or(f64::NAN, |at| at.timestamp() as f64));
    instant(telemetry::JOB_LAST_SUCCESS, health.last_success);
    instant(telemetry::JOB_SUCCESS_DUE, due);
    instant(telemetry::JOB_NEXT_SLOT, health.next_slot);
    let millis = mark.and_then(|mark| mark.value.as_i64());
    set(telemetry::WATERMARK, millis.map_or(f64::NAN, |millis| millis as f64 / 1000.0));
    // What was turned off is nothing to be woken up for.
    let failures = if health.status == Condition::Off { 0 } else { health.consecutive_failures };
    set(telemetry::JOB_CONSECUTIVE_FAILURES, f64::from(failures));
    set(telemetry::JOB_RUNNING, f64::from(u8::from(extra.running)));
    set(telemetry::JOB_PAUSED, f64::from(u8::from(extra.paused.is_some())));
    set(telemetry::REJECTS, health.rejects as f64);
}

/// Nothing is known any more of a job that serves no longer.
pub(super) fn measure_no_more(job: &JobName) {
    let health = JobHealth {
        status: Condition::Off,
        last_run: None,
        last_success: None,
        next_slot: None,
        watermark: None,
        consecutive_failures: 0,
        rejects: 0,
        why: None,
    };
    let extra = Extra { last_outcome: None, running: false, paused: None, run: None };
    measure(job, &health, &extra, None, None);
}
