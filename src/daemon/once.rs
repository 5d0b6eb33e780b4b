//! One run now, without the daemon, or a look at what it would do. It takes the state directory like the daemon would, claims a slot like the daemon
//! would, and leaves the same traces.

use super::{StartError, blocking, open_store};
use crate::clock::SharedClock;
use crate::config::Loaded;
use crate::connectors::{Backfill, Connectors, Preview, RECEIVES};
use crate::job::{Job, Work};
use crate::rest::Ping;
use crate::run::{Cause, Slot};
use crate::runner::{Ended, Perform as _, Runner};
use crate::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store};
use crate::words::ConnectionName;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    match job.work {
        Work::Unconfigured => {
            return Err(StartError::Job(format!("{}: its ends are still to be configured", job.name)));
        }
        Work::Receive(..) => return Err(StartError::Job(format!("{}: {RECEIVES}", job.name))),
        _ => {}
    }
    let store = open_store(&loaded.settings.state, &clock).await?;
    let runner = Runner::new(connect(loaded, &store, &clock).await?, None);
    let once = run(&store, &runner, job, seconds_from(clock.now()), stop).await;
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
    let connectors = connect(loaded, &store, &clock).await?;
    let once = fill(&store, connectors, job, backfill, seconds_from(clock.now()), stop).await;
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

/// Asks a connection whether it works; nothing if there is no such connection.
pub async fn ping(
    loaded: &Loaded,
    name: &ConnectionName,
    clock: SharedClock,
) -> Result<Option<Ping>, StartError> {
    let store = open_store(&loaded.settings.state, &clock).await?;
    let connectors = connect(loaded, &store, &clock).await?;
    let ping = connectors.ping(name).await;
    drop(connectors);
    drop(blocking(move || drop(store)).await);
    Ok(ping)
}

pub(super) async fn connect(
    loaded: &Loaded,
    store: &Store,
    clock: &SharedClock,
) -> Result<Arc<Connectors>, StartError> {
    let (connections, store, clock) = (loaded.connections.clone(), store.clone(), clock.clone());
    Ok(Arc::new(blocking(move || Connectors::open(&connections, None, store, clock)).await??))
}

/// The same in a daemon, beside the job's own runs: none of them comes to need its second.
pub(super) async fn backfill_beside(
    store: &Store,
    connectors: Arc<Connectors>,
    job: &Job,
    backfill: Backfill,
    now: DateTime<Utc>,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    let timetable = job.trigger.timetable();
    let is_slot = |at: DateTime<Utc>| {
        timetable.is_some_and(|timetable| timetable.slots(at, at + TimeDelta::seconds(1)).next().is_some())
    };
    let past = || (60..).map(|seconds| now.trunc_subsecs(0) - TimeDelta::seconds(seconds));
    // A job that is due every second has used them all; then the ledger says which are free.
    let between = past().take(3600).filter(|at| !is_slot(*at));
    fill(store, connectors, job, backfill, between.chain(past()), stop).await
}

async fn fill(
    store: &Store,
    connectors: Arc<Connectors>,
    job: &Job,
    backfill: Backfill,
    seconds: impl Iterator<Item = DateTime<Utc>>,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    let runner = Runner::backfilling(connectors, backfill);
    // Years of orders take longer than any run may; whoever asked for them can stop it.
    let mut job = job.clone();
    job.policy.timeout = LONGEST;
    run(store, &runner, &job, seconds, stop).await
}

pub(super) fn seconds_from(now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    (0..).map(move |seconds| now.trunc_subsecs(0) + TimeDelta::seconds(seconds))
}

/// A run for the first of these seconds that is free: one that the job's own slots have used is not.
pub(super) async fn run(
    store: &Store,
    runner: &Runner,
    job: &Job,
    mut seconds: impl Iterator<Item = DateTime<Utc>>,
    stop: watch::Receiver<bool>,
) -> Result<Once, StartError> {
    let token = loop {
        let Some(at) = seconds.next() else {
            return Err(StartError::Job(format!("{}: no second is free for its run", job.name)));
        };
        let slot = Slot { job: job.name.clone(), at };
        let claims = vec![Claim { slot, cause: Cause::Manual }];
        if let Some(Claimed::Granted(token)) =
            store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await?.pop()
        {
            break token;
        }
    };
    let ended = runner.perform(Arc::new(job.clone()), token.clone(), stop).await;
    let slot = token.slot.clone();
    let Ended { outcome, counts, message } = ended.clone();
    let closings = vec![Closing { token, outcome, counts, message }];
    store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await?;
    Ok(Once { slot, ended })
}
