//! The commands that run jobs in this process: the daemon, a single run.

use super::args::{Format, Once, Try};
use super::control::exit_of;
use super::dry_run;
use super::output::{Exit, Stop, counted, json_line, say};
use super::place::{Place, job};
use super::runtime;
use crate::admin::control::{Again, Triggered, Wait};
use crate::admin::{ClientError, ControlClient};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::connectors::Preview;
use crate::daemon::{self, StartError};
use crate::job::Job;
use crate::run::{Counts, Outcome};
use crate::runner::Ended;
use crate::state::StateError;
use crate::telemetry::{self, LogFormat};
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
    telemetry::start_logging(format, filter).map_err(|error| Stop::new(Exit::Config, error.to_string()))
}

/// How a single run ended, as `--format json` writes it.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) job: &'a str,
    pub(super) outcome: Outcome,
    pub(super) counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// `cadenced once`.
pub(super) fn once(place: &Place, args: &Once, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let job = job(&loaded, &args.job)?;
    // How the run ended is printed below.
    start_logging(loaded.settings.log.format, "warn,cadenced::runner=error")?;
    let runtime = runtime()?;
    if args.dry_run {
        let preview = runtime.block_on(preview(&loaded, job, None))?;
        return dry_run::print(&preview, args.format, out);
    }
    let report = runtime.block_on(run_once(&loaded, job))?;
    print_report(&report, args.format, out)
}

/// `cadenced try`.
pub(super) fn try_job(place: &Place, args: &Try, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let job = job(&loaded, &args.job)?;
    start_logging(loaded.settings.log.format, "warn")?;
    let preview = runtime()?.block_on(preview(&loaded, job, Some(args.limit)))?;
    dry_run::print_tried(&preview, args.format, out)
}

/// Prints how a run ended; the exit code is its outcome.
pub(super) fn print_report(report: &Report<'_>, format: Format, out: &mut impl Write) -> Result<Exit, Stop> {
    match format {
        Format::Json => json_line(out, report)?,
        Format::Text => {
            let Counts { read, written, unchanged, rejected, removed, requests, .. } = report.counts;
            let (job, outcome, requests) = (report.job, report.outcome, counted(requests, "request"));
            writeln!(
                out,
                "{job}: {outcome}: {read} read, {written} written, {unchanged} unchanged, {rejected} rejected, {removed} \
                 removed, {requests}"
            )?;
            if let Some(message) = &report.message {
                say(message);
            }
        }
    }
    Ok(exit_of(report.outcome))
}

/// Turns true when a person asks to stop; kept until the run has ended: a closed channel would look like a stop.
pub(super) fn interrupted() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        daemon::until_told_to_stop().await;
        stop.send_replace(true);
        std::future::pending::<()>().await;
    });
    stopped
}

async fn run_once<'a>(loaded: &Loaded, job: &'a Job) -> Result<Report<'a>, Stop> {
    let once = daemon::once(loaded, job, Arc::new(SystemClock), interrupted()).await;
    match once {
        Ok(once) => {
            let Ended { outcome, counts, message } = once.ended;
            Ok(Report { job: job.name.as_str(), outcome, counts, message })
        }
        // The daemon has the state: it runs the job, so that quotas and locks stay shared.
        Err(StartError::State(StateError::Held { .. })) => {
            let daemon = holder(loaded).await?;
            say(format!("{}: the daemon runs it", job.name));
            let Triggered { run, .. } = daemon.trigger(job.name.as_str(), Again::No, Wait::Yes).await?;
            let run =
                run.ok_or_else(|| Stop::new(Exit::Internal, "the daemon does not say how the run ended"))?;
            let outcome = run.outcome.unwrap_or(Outcome::Interrupted);
            Ok(Report { job: job.name.as_str(), outcome, counts: run.counts, message: run.message })
        }
        Err(error) => Err(error.into()),
    }
}

async fn preview(loaded: &Loaded, job: &Job, rows: Option<usize>) -> Result<Preview, Stop> {
    match daemon::preview(loaded, job, rows, Arc::new(SystemClock)).await {
        Err(StartError::State(StateError::Held { .. })) => {
            Ok(holder(loaded).await?.dry_run(job.name.as_str(), rows).await?)
        }
        preview => Ok(preview?),
    }
}

/// The daemon that holds the state directory.
pub(super) async fn holder(loaded: &Loaded) -> Result<ControlClient, Stop> {
    match ControlClient::connect(&loaded.settings.state).await {
        Err(ClientError::NoDaemon { .. }) => {
            let text = "another command holds the state directory; try again when it has ended";
            Err(Stop::new(Exit::Failed, text))
        }
        daemon => Ok(daemon?),
    }
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Self {
        let exit = match error {
            // Not that there is none: there is one already.
            StartError::State(StateError::Held { .. }) => Exit::Failed,
            StartError::State(error) => return error.into(),
            StartError::Connection(_) => Exit::Config,
            StartError::Job(_) | StartError::Listen { .. } | StartError::Inbound(_) => Exit::Failed,
            StartError::Socket { .. } | StartError::Signals(_) | StartError::Broken(_) => Exit::Internal,
        };
        Self::new(exit, error.to_string())
    }
}
