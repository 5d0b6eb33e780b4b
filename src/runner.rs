//! One run of a job: builds its two ends, copies, and says how it went in an operator's words. A run never fails as
//! such and never takes its neighbours with it; what went wrong is in its outcome.

mod watched;

pub use crate::connectors::Progress;

use crate::connectors::{Backfill, Connectors, Ends};
use crate::job::{Job, Work};
use crate::planner::Closed;
use crate::rest::Client;
use crate::run::{Counts, Outcome};
use crate::state::{Token, Watermark};
use crate::telemetry;
use crate::transfer::{Class, Failure, copy};
use futures_util::future::BoxFuture;
use metrics::histogram;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;
use watched::{Meter, Metered};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome; never `skipped` or `missed`.
    pub outcome: Outcome,
    /// What it did.
    pub counts: Counts,
    /// What an operator should know.
    pub message: Option<String>,
}

impl Ended {
    /// A run that was cut off.
    #[must_use]
    pub fn interrupted(message: &str) -> Self {
        Self { outcome: Outcome::Interrupted, counts: Counts::default(), message: Some(message.to_owned()) }
    }
}

/// Turns true when runs are to stop.
pub type Stop = watch::Receiver<bool>;

/// The seam between when and what: performs one run.
pub trait Perform: Send + Sync + 'static {
    /// Runs the job for the claimed slot. It never fails as such: what went wrong is in the outcome.
    fn perform(&self, job: Arc<Job>, token: Token, stop: Stop) -> BoxFuture<'static, Ended>;

    /// Why a run of the job should not be started now; asked once a second.
    fn closed(&self, _job: &Job) -> Option<Closed> {
        None
    }
}

/// Is told of each run that ended, and how far its job has read its source by then.
pub type Observer = Arc<dyn Fn(&Token, &Ended, Option<&Watermark>) + Send + Sync>;

/// Runs jobs over their connections.
pub struct Runner {
    connectors: RwLock<Arc<Connectors>>,
    observer: Option<Observer>,
    backfill: Option<Backfill>,
    progress: Option<Progress>,
}

impl Runner {
    /// Runs jobs over these connections.
    #[must_use]
    pub fn new(connectors: Arc<Connectors>, observer: Option<Observer>) -> Self {
        Self { connectors: RwLock::new(connectors), observer, backfill: None, progress: None }
    }

    /// Reads a stretch of the past again instead of reading on.
    #[must_use]
    pub fn backfilling(connectors: Arc<Connectors>, backfill: Backfill) -> Self {
        Self { backfill: Some(backfill), ..Self::new(connectors, None) }
    }

    /// Tells how far its runs are.
    #[must_use]
    pub fn watched(self, progress: Progress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The connections of runs that start now.
    #[must_use]
    pub fn connectors(&self) -> Arc<Connectors> {
        Arc::clone(&self.connectors.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs that start from now on use these connections; those under way keep theirs.
    pub fn swap(&self, connectors: Arc<Connectors>) {
        *self.connectors.write().unwrap_or_else(PoisonError::into_inner) = connectors;
    }
}

impl Perform for Runner {
    fn perform(&self, job: Arc<Job>, token: Token, stop: Stop) -> BoxFuture<'static, Ended> {
        let connectors = self.connectors();
        let observer = self.observer.clone();
        let (backfill, progress) = (self.backfill.clone(), self.progress.clone());
        let span = tracing::info_span!("run", job = %job.name, slot = %token.slot.at, run = %token.run);
        let run = async move {
            let started = Instant::now();
            let ended = run(&connectors, &job, &token, (backfill, progress), stop).await;
            histogram!(telemetry::RUN_DURATION, "job" => job.name.to_string()).record(started.elapsed());
            if let Some(observer) = observer {
                let mark = connectors.watermark(&job.name).await.ok().flatten();
                observer(&token, &ended, mark.as_ref());
            }
            ended
        };
        Box::pin(run.instrument(span))
    }

    fn closed(&self, job: &Job) -> Option<Closed> {
        self.connectors().closed(job)
    }
}

async fn run(
    connectors: &Connectors,
    job: &Job,
    token: &Token,
    (backfill, progress): (Option<Backfill>, Option<Progress>),
    mut stop: Stop,
) -> Ended {
    tracing::info!(attempt = token.attempt, "run started");
    let mut counts = Counts::default();
    let requests = OnceLock::new();
    let moved = {
        let moving = transfer(connectors, job, token, (backfill, progress), &mut counts, &requests);
        tokio::select! {
            moved = tokio::time::timeout(job.policy.timeout, moving) => moved.unwrap_or_else(|_| {
                let seconds = job.policy.timeout.as_secs();
                Err(Failure::new(
                    Class::Transient,
                    format!("stopped after its time-out of {seconds} s; what was settled by then is kept"),
                ))
            }),
            changed = stop.wait_for(|stop| *stop) => {
                drop(changed);
                Err(Failure::new(Class::Stopped, "the daemon stopped before the run had ended"))
            }
        }
    };
    // A run that was cut off could not say itself what it had sent.
    counts.requests = requests.get().map_or(0, Client::requests_sent);
    let ended = match moved {
        Ok(said) => conclude(job, counts, said),
        Err(failure) if failure.class == Class::Stopped => {
            Ended { outcome: Outcome::Interrupted, counts, message: Some(failure.message) }
        }
        Err(failure) => {
            Ended { outcome: Outcome::Failed, counts, message: Some(format!("{}: {failure}", job.name)) }
        }
    };
    report(&ended);
    ended
}

/// Moves the records; gives what is to be said of a run that reached its end.
async fn transfer(
    connectors: &Connectors,
    job: &Job,
    token: &Token,
    (backfill, progress): (Option<Backfill>, Option<Progress>),
    counts: &mut Counts,
    requests: &OnceLock<Client>,
) -> Result<Said, Failure> {
    if let (Work::Steps(..), None) = (&job.work, &backfill) {
        let mut chain = connectors.chain(job, token)?;
        requests.get_or_init(|| chain.requests.clone());
        chain.run(counts, progress.as_ref()).await?;
        return Ok(Said { note: None, remark: None });
    }
    let mut ends: Ends = match backfill {
        None => connectors.ends(job, token).await?,
        Some(backfill) => connectors.backfill(job, token, backfill).await?,
    };
    requests.get_or_init(|| ends.requests.clone());
    if let Some(progress) = progress {
        let meter = Meter::new(progress);
        ends.source = Box::new(Metered { inner: ends.source, meter: meter.clone() });
        ends.checkpoint = Box::new(Metered { inner: ends.checkpoint, meter });
    }
    copy(ends.source.as_mut(), ends.sink.as_mut(), ends.checkpoint.as_mut(), counts).await?;
    Ok(Said { note: ends.checkpoint.note(), remark: ends.checkpoint.remark() })
}

/// What is to be said of a run that reached its end.
struct Said {
    /// It did not do all it should.
    note: Option<String>,
    /// It did, and something is worth knowing.
    remark: Option<String>,
}

fn conclude(job: &Job, counts: Counts, Said { note, remark }: Said) -> Ended {
    let name = &job.name;
    let rejected = (counts.rejected > 0).then(|| {
        let (total, were) = (counts.read, if counts.rejected == 1 { "was" } else { "were" });
        format!("{} of {total} records {were} refused; see: cadenced rejects list {name}", counts.rejected)
    });
    let outcome = if rejected.is_none() && note.is_none() { Outcome::Ok } else { Outcome::Partial };
    let said: Vec<String> = rejected.into_iter().chain(note).chain(remark).collect();
    let message = (!said.is_empty()).then(|| format!("{name}: {}", said.join("; ")));
    Ended { outcome, counts, message }
}

fn report(ended: &Ended) {
    let Counts { read, written, unchanged, rejected, removed, requests, .. } = ended.counts;
    let message = ended.message.as_deref().unwrap_or_default();
    match ended.outcome {
        Outcome::Ok => tracing::info!(
            read,
            written,
            unchanged,
            removed,
            requests,
            "run ended: ok{}{message}",
            if message.is_empty() { "" } else { ": " }
        ),
        outcome => {
            tracing::warn!(
                read,
                written,
                unchanged,
                rejected,
                removed,
                requests,
                "run ended: {outcome}: {message}"
            );
        }
    }
}
