//! `cadenced import`: the first run of every job, in the order they need each other, with a progress bar on a terminal. A
//! daemon that runs does it; else it is done here, on the state directory itself.

use super::args::{Format, Import as Args};
use super::launch::{Report, holder, interrupted, print_report, start_logging};
use super::output::{Exit, Stop, counted, json_line, say};
use super::place::Place;
use super::runtime;
use crate::admin::control::{Again, Refusal, Triggered, Wait};
use crate::admin::{ClientError, ControlClient};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::daemon::{Import, Planned, StartError, import_plan};
use crate::job::Job;
use crate::run::{Counts, Outcome};
use crate::runner::{self, Ended, Progress};
use crate::state::StateError;
use crate::words::{ConnectionName, JobName};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// A job that goes on in the daemon is asked about again after this.
const LATER: Duration = Duration::from_secs(1);
/// A job that only waits for its turn is asked for so often again.
const PATIENCE: u32 = 5;

/// Who imports.
enum Importer {
    Daemon(ControlClient),
    Here(Box<Import>),
}

pub(super) fn import(place: &Place, args: &Args, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let connection = args.connection.as_deref().map(|name| connection(&loaded, name)).transpose()?;
    let planned = import_plan(&loaded, connection.as_ref());
    start_logging(loaded.settings.log.format, "warn,cadenced::runner=error")?;
    let bar = bar();
    let exit = runtime()?.block_on(async {
        let importer = match Import::start(&loaded, Arc::new(SystemClock), shown(&bar)).await {
            Err(StartError::State(StateError::Held { .. })) => {
                say("the daemon imports");
                Importer::Daemon(holder(&loaded).await?)
            }
            here => Importer::Here(Box::new(here?)),
        };
        let exit = import_all(&importer, &loaded, &planned, args.format, &bar, out).await;
        if let Importer::Here(import) = importer {
            import.end().await;
        }
        exit
    });
    bar.finish_and_clear();
    exit
}

fn connection(loaded: &Loaded, name: &str) -> Result<ConnectionName, Stop> {
    let named = ConnectionName::new(name).ok().filter(|name| loaded.connections.contains_key(name));
    named.ok_or_else(|| Stop::new(Exit::Usage, format!("there is no connection `{name}`")))
}

/// A job that fails holds up those that need it, and no others.
async fn import_all(
    importer: &Importer,
    loaded: &Loaded,
    planned: &[Planned],
    format: Format,
    bar: &ProgressBar,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let stop = interrupted();
    let (mut missing, mut exit) = (BTreeSet::new(), Exit::Ok);
    let mut done = 0_u64;
    for Planned { job, needs } in planned {
        let name = job.as_str();
        let Some(job) = loaded.jobs.get(job) else { continue };
        if importer.is_done(&job.name).await? {
            done += 1;
            continue;
        }
        if let Some(need) = needs.iter().find(|need| missing.contains(*need)) {
            missing.insert(job.name.clone());
            let why = format!("waits for {need}, which has not gone through");
            bar.suspend(|| match format {
                Format::Json => json_line(out, &json!({"job": name, "outcome": "skipped", "message": why})),
                Format::Text => Ok(writeln!(out, "{name}: skipped: {why}")?),
            })?;
            continue;
        }
        bar.reset();
        bar.set_length(0);
        bar.set_prefix(name.to_owned());
        let Ended { outcome, counts, message } = importer.run(job, stop.clone()).await?;
        let report = Report { job: name, outcome, counts, message };
        let one = bar.suspend(|| print_report(&report, format, out))?;
        out.flush()?;
        match one {
            Exit::Ok => {}
            Exit::Partial if exit == Exit::Ok => exit = Exit::Partial,
            Exit::Partial => {}
            _ => {
                missing.insert(job.name.clone());
                exit = Exit::Failed;
            }
        }
        if *stop.borrow() {
            say("stopped; the same command goes on from here");
            return Ok(Exit::Failed);
        }
    }
    if done > 0 {
        say(format!("{} had been imported before", counted(done, "job")));
    }
    Ok(exit)
}

impl Importer {
    async fn is_done(&self, job: &JobName) -> Result<bool, Stop> {
        match self {
            Self::Here(import) => Ok(import.is_done(job).await?),
            Self::Daemon(daemon) => {
                let jobs = daemon.status().await?;
                Ok(jobs.iter().any(|status| status.job == *job && status.health.last_success.is_some()))
            }
        }
    }

    async fn run(&self, job: &Job, mut stop: runner::Stop) -> Result<Ended, Stop> {
        match self {
            Self::Here(import) => Ok(import.run(job, stop).await?),
            Self::Daemon(daemon) => tokio::select! {
                ended = self.of_daemon(daemon, &job.name) => ended,
                changed = stop.wait_for(|stop| *stop) => {
                    drop(changed);
                    let why = "nobody waits for it any more; the daemon finishes the run";
                    Ok(Ended::interrupted(why))
                }
            },
        }
    }

    /// A run in the daemon ends with its time-out; as long as each brings something, the next one goes on.
    async fn of_daemon(&self, daemon: &ControlClient, job: &JobName) -> Result<Ended, Stop> {
        let mut sum = Counts::default();
        let mut idle = 0;
        loop {
            let run = match daemon.trigger(job.as_str(), Again::No, Wait::Yes).await {
                Ok(Triggered { run, .. }) => {
                    run.ok_or_else(|| Stop::new(Exit::Internal, "the daemon does not say how the run ended"))?
                }
                // Its own slot's run goes on, or its lock is another's: that may be all there is to do.
                Err(ClientError::Refused(Refusal::Busy { message })) => {
                    // Looked at once: between two looks the run may have ended.
                    let jobs = daemon.status().await?;
                    let status = jobs.iter().find(|status| status.job == *job);
                    let runs = status.is_some_and(|status| status.running.is_some());
                    if !runs && status.is_some_and(|status| status.health.last_success.is_some()) {
                        return Ok(Ended { outcome: Outcome::Ok, counts: sum, message: None });
                    }
                    idle = if runs { 0 } else { idle + 1 };
                    if idle > PATIENCE {
                        return Ok(Ended { outcome: Outcome::Failed, counts: sum, message: Some(message) });
                    }
                    tokio::time::sleep(LATER).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            sum.add(&run.counts);
            let outcome = run.outcome.unwrap_or(Outcome::Interrupted);
            if outcome != Outcome::Failed || run.counts.written == 0 {
                return Ok(Ended { outcome, counts: sum, message: run.message });
            }
        }
    }
}

/// Rows dealt with, of how many, how fast, and how long it will still take. Drawn on stderr, and only on a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} rows, {per_sec}, {eta} left");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn shown(bar: &ProgressBar) -> Progress {
    let bar = bar.clone();
    Arc::new(move |rows, total| {
        bar.set_length(total.unwrap_or(rows));
        bar.set_position(rows);
    })
}
