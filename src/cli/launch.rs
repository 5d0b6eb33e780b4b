//! The commands that run jobs in this process: the daemon, a single run.

use super::args::{Format, Once};
use super::control::exit_of;
use super::output::{Exit, Stop, json_line, say};
use super::place::Place;
use super::runtime;
use crate::admin::control::{Again, Triggered, Wait};
use crate::admin::{ClientError, ControlClient};
use crate::clock::SystemClock;
use crate::config::{Loaded, LogFormat};
use crate::daemon::{self, StartError};
use crate::run::{Counts, Outcome};
use crate::state::StateError;
use crate::telemetry;
use serde::Serialize;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::watch;

/// `cadenced run`.
pub(super) fn run(place: &Place) -> Result<Exit, Stop> {
    let sources = place.sources()?;
    let loaded = place.load()?;
    let log = loaded.settings.log;
    start_logging(log.format, &log.level.to_string())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime()?;
    runtime.block_on(daemon::run(loaded, sources, Arc::new(SystemClock), None))?;
    Ok(Exit::Ok)
}

/// Logging goes to stderr.
pub(super) fn start_logging(format: LogFormat, filter: &str) -> Result<(), Stop> {
    let format = match format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    telemetry::start_logging(format, filter).map_err(|error| Stop::new(Exit::Config, error.to_string()))
}

/// How a single run ended, as `--format json` writes it.
#[derive(Serialize)]
struct Report<'a> {
    job: &'a str,
    outcome: Outcome,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// `cadenced once`.
pub(super) fn once(place: &Place, args: &Once, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let job = loaded.jobs.values().find(|job| job.name.as_str() == args.job).ok_or_else(|| {
        Stop::new(Exit::Usage, format!("there is no job `{}`; see: cadenced check", args.job))
    })?;
    start_logging(loaded.settings.log.format, "warn")?;
    let runtime = runtime()?;
    let report = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let interrupt = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.send_replace(true);
            }
            // Kept until the run has ended: a closed channel would look like a stop.
            std::future::pending::<()>().await;
        });
        let once = daemon::once(&loaded, job, Arc::new(SystemClock), stopped).await;
        interrupt.abort();
        match once {
            Ok(once) => {
                let ended = once.ended;
                Ok(Report {
                    job: &args.job,
                    outcome: ended.outcome,
                    counts: ended.counts,
                    message: ended.message,
                })
            }
            // The daemon has the state: it runs the job, so that quotas and locks stay shared.
            Err(StartError::State(StateError::Held { .. })) => through_daemon(&loaded, &args.job).await,
            Err(error) => Err(error.into()),
        }
    })?;
    match args.format {
        Format::Json => json_line(out, &report)?,
        Format::Text => {
            let Counts { read, written, unchanged, rejected, removed, requests, .. } = report.counts;
            let outcome = report.outcome;
            writeln!(
                out,
                "{}: {outcome}: {read} read, {written} written, {unchanged} unchanged, {rejected} rejected, {removed} \
                 removed, {requests} requests",
                args.job
            )?;
            if let Some(message) = &report.message {
                say(message);
            }
        }
    }
    Ok(exit_of(report.outcome))
}

async fn through_daemon<'a>(loaded: &Loaded, job: &'a str) -> Result<Report<'a>, Stop> {
    let daemon = match ControlClient::connect(&loaded.settings.state).await {
        Ok(daemon) => daemon,
        Err(ClientError::NoDaemon { .. }) => {
            let text = "another command holds the state directory; try again when it has ended";
            return Err(Stop::new(Exit::Failed, text));
        }
        Err(error) => return Err(error.into()),
    };
    let Triggered { run, .. } = daemon.trigger(job, Again::No, Wait::Yes).await?;
    let run = run.ok_or_else(|| Stop::new(Exit::Internal, "the daemon does not say how the run ended"))?;
    let outcome = run.outcome.unwrap_or(Outcome::Interrupted);
    Ok(Report { job, outcome, counts: run.counts, message: run.message })
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Self {
        let exit = match error {
            StartError::State(error) => return error.into(),
            StartError::Connection(_) => Exit::Config,
            StartError::Listen { .. } => Exit::Failed,
            StartError::Socket { .. } | StartError::Signals(_) | StartError::Broken(_) => Exit::Internal,
        };
        Self::new(exit, error.to_string())
    }
}
