//! Backfills in a daemon: each reads a stretch of the past of a job beside the job's own runs, for as long as somebody
//! listens and the daemon is not told to stop. One at a time for each job.

use super::Once;
use super::once::backfill_beside;
use crate::admin::control::{Answer, PageRead, Refusal, Step};
use crate::connectors::{Backfill, Connectors};
use crate::job::{Job, Work};
use crate::rest::Watch;
use crate::run::{Counts, Outcome};
use crate::runner::Ended;
use crate::state::Store;
use crate::watermark::{Cursor, PageFacts};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// Pages that wait to be told.
const STEPS: usize = 64;

type Jobs = Arc<Mutex<BTreeSet<JobName>>>;

/// The backfills that go on.
pub(super) struct Backfills {
    store: Store,
    jobs: Jobs,
    stops: watch::Sender<bool>,
}

/// A job's place among those that are being backfilled.
struct Place {
    jobs: Jobs,
    job: JobName,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.job);
    }
}

impl Backfills {
    pub(super) fn new(store: Store) -> Self {
        Self { store, jobs: Jobs::default(), stops: watch::Sender::new(false) }
    }

    /// Cuts all off; what they read is kept.
    pub(super) fn stop(&self) {
        self.stops.send_replace(true);
    }

    /// Begins one; what it tells comes as it goes.
    pub(super) fn start(
        &self,
        job: Job,
        connectors: Arc<Connectors>,
        since: Cursor,
        until: Cursor,
        now: DateTime<Utc>,
    ) -> Answer<mpsc::Receiver<Step>> {
        let name = &job.name;
        if !matches!(&job.work, Work::Pull(pull, _) if pull.changed().is_some()) {
            let message = format!("{name} has no past to fill in: it does not pull by the time of change");
            return Err(Refusal::BadRequest { message });
        }
        if !self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            return Err(Refusal::Busy { message: format!("{name} is being backfilled already") });
        }
        let place = Place { jobs: Arc::clone(&self.jobs), job: name.clone() };
        let (tell, steps) = mpsc::channel(STEPS);
        let backfill = Backfill { since, until, watch: Some(telling(tell.clone())) };
        let (store, mut stops) = (self.store.clone(), self.stops.subscribe());
        tokio::spawn(async move {
            let (stop, stopped) = watch::channel(false);
            let run = backfill_beside(&store, connectors, &job, backfill, now, stopped);
            tokio::pin!(run);
            let ended = tokio::select! {
                ended = &mut run => ended,
                () = over(&tell, &mut stops) => {
                    stop.send_replace(true);
                    run.await
                }
            };
            let step = match ended {
                Ok(Once { ended: Ended { outcome, counts, message }, .. }) => {
                    Step::Ended { outcome, counts, message }
                }
                Err(error) => {
                    let (outcome, counts) = (Outcome::Failed, Counts::default());
                    Step::Ended { outcome, counts, message: Some(error.to_string()) }
                }
            };
            drop(place);
            // Nobody may be listening any more; the ledger says how it ended.
            tell.send(step).await.unwrap_or_default();
        });
        Ok(steps)
    }
}

fn telling(tell: mpsc::Sender<Step>) -> Watch {
    let read = Mutex::new(PageRead::default());
    Arc::new(move |facts: &PageFacts, page, rows| {
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = read.then(facts, page, rows);
        // A slow listener misses some; each says all that is to say.
        tell.try_send(Step::Page(*read)).unwrap_or_default();
    })
}

/// Nobody listens, or the daemon stops.
async fn over(tell: &mpsc::Sender<Step>, stops: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tell.closed() => {}
        changed = stops.wait_for(|stop| *stop) => drop(changed),
    }
}
