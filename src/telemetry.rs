//! Logging set-up and the names of all metrics.
//!
//! Metrics carry base units and are described here, once, so that `promtool check metrics` has nothing to say;
//! whoever measures something takes the name from here. Who serves the metrics is [`crate::admin`]'s business.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Counter: runs ended, by `job` and `outcome`.
pub const RUNS: &str = "cadenced_runs_total";
/// Histogram: how long runs took, by `job`.
pub const RUN_DURATION: &str = "cadenced_run_duration_seconds";
/// Counter: records, by `job` and `what` became of them: `read`, `written`, `unchanged`, `rejected`, `removed`.
pub const RECORDS: &str = "cadenced_records_total";
/// Gauge: when the last run that went through ended, by `job`.
pub const JOB_LAST_SUCCESS: &str = "cadenced_job_last_success_timestamp_seconds";
/// Gauge: the first slot after the last run that went through ended, by `job`: how far behind its own timetable a job is.
pub const JOB_SUCCESS_DUE: &str = "cadenced_job_success_due_timestamp_seconds";
/// Gauge: the next slot, by `job`.
pub const JOB_NEXT_SLOT: &str = "cadenced_job_next_slot_timestamp_seconds";
/// Gauge: failed runs since the last that went through, by `job`.
pub const JOB_CONSECUTIVE_FAILURES: &str = "cadenced_job_consecutive_failures";
/// Gauge: 1 while the job runs, by `job`.
pub const JOB_RUNNING: &str = "cadenced_job_running";
/// Gauge: 1 while the job is paused, by `job`.
pub const JOB_PAUSED: &str = "cadenced_job_paused";
/// Histogram: how long after its slot a due run started, by `job`.
pub const SLOT_LATENESS: &str = "cadenced_slot_lateness_seconds";
/// Counter: slots that ended, by `job` and `outcome`.
pub const SLOTS: &str = "cadenced_slots_total";
/// Counter: HTTP requests sent, by `connection` and `status` (the code, or `error` where no answer came).
pub const REQUESTS: &str = "cadenced_requests_total";
/// Histogram: how long requests took, by `connection`.
pub const REQUEST_DURATION: &str = "cadenced_request_duration_seconds";
/// Counter: time spent waiting for a quota, by `connection`; written by [`quota_waited`].
pub const QUOTA_WAIT: &str = "cadenced_quota_wait_seconds_total";
/// Counter: requests that were tried again, by `connection`.
pub const RETRIES: &str = "cadenced_retries_total";
/// Counter: files that records carried, by `connection` and `outcome`: `completed`, `resumed` (after an interruption), `known`
/// (the platform has it already), `refused`, `later`.
pub const UPLOADS: &str = "cadenced_uploads_total";
/// Counter: bytes of the files whose upload was completed, by `connection`.
pub const UPLOADED: &str = "cadenced_uploaded_bytes_total";
/// Gauge: requests that a quota lets through now, by `connection` and `quota`.
pub const QUOTA_LEFT: &str = "cadenced_quota_left";
/// Gauge: until when nothing is sent for a quota or the platform's own wish, by `connection`; 0 while there is no such wait.
pub const WAITS_UNTIL: &str = "cadenced_connection_waits_until_timestamp_seconds";
/// Counter: calls of platforms answered, by `caller` and `status`.
pub const CALLS: &str = "cadenced_calls_total";
/// Histogram: how long the ERP took for calls, by `job`.
pub const CALL_DURATION: &str = "cadenced_call_duration_seconds";
/// Gauge: 1 while the platform is left alone because requests failed, by `connection`.
pub const BREAKER_OPEN: &str = "cadenced_breaker_open";
/// Gauge: rejects kept, by `job`.
pub const REJECTS: &str = "cadenced_rejects";
/// Gauge: how far the source has been read, by `job`.
pub const WATERMARK: &str = "cadenced_watermark_timestamp_seconds";
/// Gauge: 1 if the last reload was accepted.
pub const CONFIG_RELOAD_SUCCESS: &str = "cadenced_config_reload_success";
/// Gauge: when a configuration was last accepted.
pub const CONFIG_RELOAD_TIME: &str = "cadenced_config_last_reload_success_timestamp_seconds";
/// Counter: steps of the host's clock that were noticed, by `direction`: `forward`, `back`.
pub const CLOCK_STEPS: &str = "cadenced_clock_steps_total";
/// Gauge: 1, with the `version`.
pub const BUILD_INFO: &str = "cadenced_build_info";

/// Runs last from a fraction of a second (nothing changed) to hours (a first import).
const RUN_BUCKETS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];
/// Lateness is milliseconds when all is well; everything above a second is worth seeing.
const LATENESS_BUCKETS: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
const REQUEST_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// The process's metrics, ready to be rendered. The first call installs the recorder; all later calls, from tests
/// too, give the same one.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let full = |name: &str| Matcher::Full(name.to_owned());
        // The only error is an empty list of buckets.
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(full(RUN_DURATION), RUN_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(full(SLOT_LATENESS), LATENESS_BUCKETS))
            .and_then(|builder| builder.set_buckets_for_metric(full(REQUEST_DURATION), REQUEST_BUCKETS))
            .and_then(|builder| builder.set_buckets_for_metric(full(CALL_DURATION), REQUEST_BUCKETS))
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        // Fails only if another recorder is installed: then the metrics go there and ours stay empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics will be empty");
        }
        describe();
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}

fn describe() {
    describe_counter!(RUNS, Unit::Count, "Runs ended, by job and outcome.");
    describe_histogram!(RUN_DURATION, Unit::Seconds, "How long runs took.");
    describe_counter!(RECORDS, Unit::Count, "Records, by job and what became of them.");
    describe_gauge!(
        JOB_LAST_SUCCESS,
        Unit::Seconds,
        "When the job's last run that went through ended; NaN before."
    );
    describe_gauge!(
        JOB_SUCCESS_DUE,
        Unit::Seconds,
        "The job's first slot since its last run that went through ended; NaN without one."
    );
    describe_gauge!(JOB_NEXT_SLOT, Unit::Seconds, "The job's next slot; NaN without one.");
    describe_gauge!(
        JOB_CONSECUTIVE_FAILURES,
        Unit::Count,
        "Failed runs of the job since the last that went through."
    );
    describe_gauge!(JOB_RUNNING, Unit::Count, "1 while the job runs.");
    describe_gauge!(JOB_PAUSED, Unit::Count, "1 while the job is paused.");
    describe_histogram!(SLOT_LATENESS, Unit::Seconds, "How long after its slot a due run started.");
    describe_counter!(SLOTS, Unit::Count, "Slots that ended, by job and outcome.");
    describe_counter!(REQUESTS, Unit::Count, "HTTP requests sent, by connection and status.");
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "How long HTTP requests took.");
    describe_counter!(QUOTA_WAIT, Unit::Seconds, "Time spent waiting for a quota, by connection.");
    describe_counter!(RETRIES, Unit::Count, "HTTP requests that were tried again.");
    describe_counter!(UPLOADS, Unit::Count, "Files that records carried, by what became of them.");
    describe_counter!(UPLOADED, Unit::Bytes, "Bytes of the files whose upload was completed.");
    describe_gauge!(QUOTA_LEFT, Unit::Count, "Requests that a quota lets through now.");
    describe_gauge!(WAITS_UNTIL, Unit::Seconds, "Until when nothing is sent, 0 without such a wait.");
    describe_counter!(CALLS, Unit::Count, "Calls of platforms answered, by caller and status.");
    describe_histogram!(CALL_DURATION, Unit::Seconds, "How long the ERP took for calls, by job.");
    describe_gauge!(BREAKER_OPEN, Unit::Count, "1 while the platform is left alone because requests failed.");
    describe_gauge!(REJECTS, Unit::Count, "Rejects kept for the job.");
    describe_gauge!(WATERMARK, Unit::Seconds, "How far the job has read its source; NaN without a time.");
    describe_gauge!(CONFIG_RELOAD_SUCCESS, Unit::Count, "1 if the last reload was accepted.");
    describe_gauge!(CONFIG_RELOAD_TIME, Unit::Seconds, "When a configuration was last accepted.");
    describe_counter!(CLOCK_STEPS, Unit::Count, "Steps of the host's clock that were noticed.");
    describe_gauge!(BUILD_INFO, Unit::Count, "1, with the version of the daemon.");
}

/// Adds to the time a connection's requests waited for their quota. Counters count whole numbers, so that the
/// fractions are kept here until they make a second: ten waits of 0.3 s are 3 s, not nothing.
pub fn quota_waited(connection: &str, waited: Duration) {
    static WAITED: LazyLock<Mutex<HashMap<String, Duration>>> = LazyLock::new(Mutex::default);
    let mut all = WAITED.lock().unwrap_or_else(PoisonError::into_inner);
    let total = all.entry(connection.to_owned()).or_default();
    *total = total.saturating_add(waited);
    counter!(QUOTA_WAIT, "connection" => connection.to_owned()).absolute(total.as_secs());
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people and journald.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A log filter that is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is not a log filter: write a level such as `info`, or `info,cadenced::rest=debug`")]
pub struct BadFilter {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging to stderr. `filter` is a level, or directives as `info,cadenced::rest=debug`. When a subscriber is
/// set already, as in tests, that one stays.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), BadFilter> {
    // What these log below `warn` is about themselves; a later directive of the operator's for them still wins.
    let filter = EnvFilter::builder()
        .parse(format!("sled=warn,tokio_cron_scheduler=warn,{filter}"))
        .map_err(|source| BadFilter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => tracing_subscriber::util::SubscriberInitExt::try_init(lines),
        LogFormat::Json => tracing_subscriber::util::SubscriberInitExt::try_init(lines.json()),
    };
    if started.is_err() {
        tracing::debug!("logging is already set up");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::histogram;

    #[test]
    fn every_metric_has_its_help_and_counters_alone_end_in_total() {
        let handle = metrics();
        for name in [RUNS, RECORDS, SLOTS, REQUESTS, RETRIES, UPLOADS, UPLOADED, CLOCK_STEPS] {
            counter!(name, "job" => "names").increment(1);
        }
        for name in [RUN_DURATION, SLOT_LATENESS, REQUEST_DURATION] {
            histogram!(name, "job" => "names").record(0.2);
        }
        for name in [
            JOB_LAST_SUCCESS,
            JOB_SUCCESS_DUE,
            JOB_NEXT_SLOT,
            JOB_CONSECUTIVE_FAILURES,
            JOB_RUNNING,
            JOB_PAUSED,
            QUOTA_LEFT,
            WAITS_UNTIL,
            BREAKER_OPEN,
            REJECTS,
            WATERMARK,
            CONFIG_RELOAD_SUCCESS,
            CONFIG_RELOAD_TIME,
        ] {
            gauge!(name, "job" => "names").set(1.0);
        }
        quota_waited("names", Duration::from_secs(1));

        let text = handle.render();
        let types: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        assert!(types.len() >= 25, "{text}");
        for (name, kind) in types {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert_ne!(kind, "summary", "{name} has no buckets");
        }
        assert!(
            text.contains(&format!("cadenced_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")))
        );
    }

    #[test]
    fn short_waits_add_up_to_seconds() {
        let handle = metrics();
        for _ in 0..10 {
            quota_waited("short-waits", Duration::from_millis(300));
        }
        assert!(
            handle.render().contains("cadenced_quota_wait_seconds_total{connection=\"short-waits\"} 3"),
            "{}",
            handle.render()
        );
    }

    #[test]
    fn logging_can_be_set_up_twice_and_refuses_what_is_not_a_filter() {
        assert!(start_logging(LogFormat::Text, "info").is_ok());
        assert!(start_logging(LogFormat::Json, "warn,cadenced=debug").is_ok());
        let message = start_logging(LogFormat::Text, "cadenced=loud").map_err(|bad| bad.to_string());
        assert!(message.is_err_and(|message| message.contains("cadenced=loud")));
    }
}
