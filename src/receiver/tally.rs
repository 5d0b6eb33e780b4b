//! What jobs received, for people: a run in the ledger for what came within a minute, so that history, health and metrics
//! know calls as they know runs. The first call of a while is written down at once, later ones with the minute. A kill
//! loses the count of the last minute, and nothing else: the records are in the ERP.

use crate::clock::SharedClock;
use crate::connectors::Outcomes;
use crate::run::{Cause, Counts, Outcome, Slot};
use crate::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, StateError, Store};
use crate::telemetry;
use crate::transfer::Failure;
use crate::words::JobName;
use chrono::{SubsecRound as _, TimeDelta};
use metrics::counter;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What comes within this time is one run.
const WINDOW: Duration = Duration::from_secs(60);
/// How often it is looked whether a window is over.
const LOOK: Duration = Duration::from_secs(1);
/// A second that is another run's is passed over; this many are, before the count is given up.
const SECONDS: i64 = 60;

/// Counts what is received.
#[derive(Debug, Default)]
pub(super) struct Tally {
    windows: Mutex<BTreeMap<JobName, Window>>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Window {
    counts: Counts,
    calls: u64,
    failed: u64,
    /// Why the last one failed.
    why: Option<String>,
    /// When the window before was written down.
    written: Option<Instant>,
}

impl Tally {
    /// A call was answered.
    pub(super) fn taken(&self, job: &JobName, outcomes: &Outcomes) {
        let rejected = outcomes.iter().filter(|outcome| outcome.is_err()).count() as u64;
        let read = outcomes.len() as u64;
        let written = read - rejected;
        for (what, number) in [("read", read), ("written", written), ("rejected", rejected)] {
            counter!(telemetry::RECORDS, "job" => job.to_string(), "what" => what).increment(number);
        }
        self.count(job, |window| window.counts.add(&Counts { read, written, rejected, ..Counts::default() }));
    }

    /// A call could not be taken.
    pub(super) fn failed(&self, job: &JobName, failure: &Failure) {
        self.count(job, |window| {
            window.failed += 1;
            window.why = Some(failure.to_string());
        });
    }

    fn count(&self, job: &JobName, add: impl FnOnce(&mut Window)) {
        let mut windows = self.windows();
        let window = windows.entry(job.clone()).or_default();
        window.calls += 1;
        add(window);
        self.news.notify_one();
    }

    /// Writes windows down as they end, until `stop` turns true; then all.
    pub(super) async fn keep_books(
        &self,
        store: &Store,
        clock: &SharedClock,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let waiting = self.windows().values().any(|window| window.calls > 0);
            let stopped = tokio::select! {
                biased;
                changed = stop.wait_for(|stop| *stop) => {
                    drop(changed);
                    true
                }
                () = tokio::time::sleep(LOOK), if waiting => false,
                () = self.news.notified(), if !waiting => false,
            };
            self.write_down(store, clock, if stopped { Duration::ZERO } else { WINDOW }).await;
            if stopped {
                return;
            }
        }
    }

    /// Writes down the windows that began so long ago.
    async fn write_down(&self, store: &Store, clock: &SharedClock, age: Duration) {
        let over = |window: &&mut Window| {
            window.calls > 0 && window.written.is_none_or(|written| written.elapsed() >= age)
        };
        let next = || Window { written: Some(Instant::now()), ..Window::default() };
        let ended: Vec<(JobName, Window)> = {
            let mut windows = self.windows();
            let ended = windows.iter_mut().filter(|(_, window)| over(window));
            ended.map(|(job, window)| (job.clone(), std::mem::replace(window, next()))).collect()
        };
        for (job, window) in ended {
            if let Err(error) = write(store, clock, &job, window).await {
                tracing::error!(%job, %error, "what was received could not be written into the ledger");
            }
        }
    }

    fn windows(&self) -> MutexGuard<'_, BTreeMap<JobName, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(store: &Store, clock: &SharedClock, job: &JobName, window: Window) -> Result<(), StateError> {
    let (outcome, message) = window.conclude(job);
    counter!(telemetry::RUNS, "job" => job.to_string(), "outcome" => outcome.as_str()).increment(1);
    let now = clock.now().trunc_subsecs(0);
    for seconds in 0..SECONDS {
        let slot = Slot { job: job.clone(), at: now + TimeDelta::seconds(seconds) };
        let claims = vec![Claim { slot, cause: Cause::Called }];
        let claimed = store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await?;
        if let Some(Claimed::Granted(token)) = claimed.into_iter().next() {
            let closings = vec![Closing { token, outcome, counts: window.counts, message }];
            return store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.map(drop);
        }
    }
    tracing::warn!(%job, "what was received has no free second in the ledger");
    Ok(())
}

impl Window {
    fn conclude(&self, job: &JobName) -> (Outcome, Option<String>) {
        let Self { counts, calls, failed, why, .. } = self;
        let failures = why.as_ref().map(|why| format!("{failed} of {calls} calls could not be taken: {why}"));
        let rejects = (counts.rejected > 0).then(|| {
            let (rejected, read) = (counts.rejected, counts.read);
            format!("{rejected} of {read} records were refused; see: cadenced rejects list {job}")
        });
        let outcome = match (&failures, &rejects) {
            (None, None) => Outcome::Ok,
            (Some(_), _) if counts.written == 0 => Outcome::Failed,
            _ => Outcome::Partial,
        };
        let said: Vec<String> = failures.into_iter().chain(rejects).collect();
        (outcome, (!said.is_empty()).then(|| format!("{job}: {}", said.join("; "))))
    }
}
