//! One run now, without the daemon, or a look at what it would do. It takes the state directory like the daemon would, claims a slot like the daemon
//! would, and leaves the same traces.

use super::{StartError, blocking, open_store};
use crate::clock::SharedClock;
use crate::config::Loaded;
use crate::connectors::{Backfill, Connectors, Preview};
use crate::job::{Job, Work};
use crate::run::{Cause, Slot};
use crate::runner::{Ended, Perform as _, Runner};
use crate::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store};
use chrono::{SubsecRound as _, TimeDelta};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LONGEST_BACKFILL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A run that was made.
#[derive(Debug)]
pub struct Once {
    /// For which slot.
    pub slot: Slot,
    /// How it ended.
    pub ended: Ended,
}

/// Runs `job` once. `stop` turns true when the run is to be cut off.
pub async fn once(
    loaded: &Loaded,
    job: &Job,
    clock: SharedClock,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    if matches!(job.work, Work::Unconfigured) {
        return Err(StartError::Job(format!("{}: its ends are still to be configured", job.name)));
    }
    let store = open_store(&loaded.settings.state, &clock).await?;
    let runner = Runner::new(connect(loaded, &store, &clock).await?, None);
    let once = run(&store, &runner, job, &clock, stop).await;
    drop(runner);
    drop(blocking(move || drop(store)).await);
    once
}

/// Reads a stretch of the past of `job` again, delivers what differs, and leaves its watermark alone. Cut off, the same
/// stretch goes on where it was.
pub async fn backfill(
    loaded: &Loaded,
    job: &Job,
    backfill: Backfill,
    clock: SharedClock,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    let store = open_store(&loaded.settings.state, &clock).await?;
    let runner = Runner::backfilling(connect(loaded, &store, &clock).await?, backfill);
    // Years of orders take longer than any run may; whoever asked for them can stop it.
    let mut job = job.clone();
    job.policy.timeout = LONGEST_BACKFILL;
    let once = run(&store, &runner, &job, &clock, stop).await;
    drop(runner);
    drop(blocking(move || drop(store)).await);
    once
}

/// What a run of `job` would do, without doing it, or, with `rows`, what becomes of that many rows of its source. A state directory that isn't there yet is not created for it.
pub async fn preview(
    loaded: &Loaded,
    job: &Job,
    rows: Option<usize>,
    clock: SharedClock,
) -> Result<Preview, StartError> {
    let state = &loaded.settings.state;
    let nothing_yet =
        tempfile::tempdir().map_err(|error| StartError::Job(format!("{}: {error}", job.name)))?;
    let dir = if state.join("db").exists() { state } else { nothing_yet.path() };
    let store = open_store(dir, &clock).await?;
    let connectors = connect(loaded, &store, &clock).await?;
    let preview = match rows {
        None => connectors.preview(job).await,
        Some(rows) => connectors.try_rows(job, rows).await,
    };
    drop(connectors);
    drop(blocking(move || drop(store)).await);
    preview.map_err(|failure| StartError::Job(format!("{}: a run would fail: {failure}", job.name)))
}

async fn connect(loaded: &Loaded, store: &Store, clock: &SharedClock) -> Result<Arc<Connectors>, StartError> {
    let (connections, store, clock) = (loaded.connections.clone(), store.clone(), clock.clone());
    Ok(Arc::new(blocking(move || Connectors::open(&connections, None, store, clock)).await??))
}

async fn run(
    store: &Store,
    runner: &Runner,
    job: &Job,
    clock: &SharedClock,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    // A second that the job's own slots have used is not free; the next one is.
    let mut at = clock.now().trunc_subsecs(0);
    let token = loop {
        let slot = Slot { job: job.name.clone(), at };
        let claims = vec![Claim { slot, cause: Cause::Manual }];
        match store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await?.pop() {
            Some(Claimed::Granted(token)) => break token,
            Some(Claimed::Refused(_)) | None => at += TimeDelta::seconds(1),
        }
    };
    let ended = runner.perform(Arc::new(job.clone()), token.clone(), stop).await;
    let slot = token.slot.clone();
    let Ended { outcome, counts, message } = ended.clone();
    let closings = vec![Closing { token, outcome, counts, message }];
    store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await?;
    Ok(Once { slot, ended })
}
