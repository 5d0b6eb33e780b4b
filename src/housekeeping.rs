//! The daemon's own chores, once a day in UTC: old history goes, so do digests that no pull will ask for again, and the
//! state is exported.
//!
//! They run on tokio-cron-scheduler, unlike the slots of jobs: it may fire half a second late, or not at all on a day on
//! which the machine stood still, and a chore does not mind. What it does not offer is made up for here: chores are
//! added one after the other, run one at a time, and a stop waits for the one that runs. Its tasks outlive its own
//! shutdown, so they never hold the state itself, only the desk that [`Housekeeping::stop`] clears.

use crate::clock::SharedClock;
use crate::job::Work;
use crate::scheduler::Jobs;
use crate::state::{Coordinator as _, Forget, StateError, Store};
use crate::watermark::Mark;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job as CronJob, JobScheduler, JobSchedulerError};

/// What a job reads, where it reads one thing.
const ENTITY: &str = "";

/// When the daemon does its chores, in UTC: cron with seconds first. The export comes last, of what is left.
pub const DAILY: [(Chore, &str); 3] =
    [(Chore::History, "0 7 1 * * *"), (Chore::Digests, "0 17 1 * * *"), (Chore::Export, "0 27 1 * * *")];

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The age at which slots and runs are forgotten.
    pub history: Duration,
    /// How many daily exports of the state are kept; 0 makes none.
    pub exports: usize,
}

impl Default for Rules {
    /// 90 days of history, 14 exports.
    fn default() -> Self {
        Self { history: Duration::from_secs(90 * 24 * 60 * 60), exports: 14 }
    }
}

/// Something to be done regularly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Forget slots and runs that are old.
    History,
    /// Forget what was delivered so long ago that no pull asks for it again.
    Digests,
    /// Export the state into its directory.
    Export,
}

/// Gives the jobs that serve right now.
pub type JobsNow = Box<dyn Fn() -> Jobs + Send + Sync>;

/// What chores are done with.
pub struct Desk {
    /// What is tidied up.
    pub store: Store,
    /// How long things are kept.
    pub rules: Rules,
    /// The jobs whose digests are looked at.
    pub jobs: JobsNow,
    /// Says how old things are.
    pub clock: SharedClock,
}

impl Desk {
    /// Does a chore; gives how many entries were removed.
    pub async fn perform(&self, chore: Chore) -> Result<u64, StateError> {
        match chore {
            Chore::History => self.store.prune_history(self.long_ago()).await,
            Chore::Digests => self.forget_digests().await,
            Chore::Export if self.rules.exports == 0 => Ok(0),
            Chore::Export => self.store.export_to_directory(self.rules.exports).await.map(|_| 0),
        }
    }

    /// Where history begins.
    fn long_ago(&self) -> DateTime<Utc> {
        let kept = TimeDelta::from_std(self.rules.history).unwrap_or(TimeDelta::MAX);
        self.clock.now().checked_sub_signed(kept).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// A pull asks for what is as old as its watermark less its overlap, and never for anything older.
    async fn forget_digests(&self) -> Result<u64, StateError> {
        let mut removed = 0;
        for job in (self.jobs)().into_values() {
            let Work::Pull(pull, _) = &job.work else { continue };
            let Some(mark) = self.store.watermark(&job.name, ENTITY).await? else { continue };
            let Ok(mark) = Mark::from_value(&mark.value) else { continue };
            let Some(forget) = pull.forgets_before(mark.cursor()).map(Forget::Before) else { continue };
            removed += self.store.prune_delivered(&job.name, ENTITY, forget).await?;
        }
        Ok(removed)
    }

    async fn perform_and_report(&self, chore: Chore) {
        match self.perform(chore).await {
            Ok(removed) => tracing::info!(?chore, removed, "housekeeping done"),
            Err(error) => tracing::error!(?chore, %error, "housekeeping failed; it is tried again tomorrow"),
        }
    }
}

/// Does chores until it is stopped.
pub struct Housekeeping {
    /// Nothing where it could not be started.
    scheduler: Option<JobScheduler>,
    desk: SharedDesk,
}

type SharedDesk = Arc<Mutex<Option<Desk>>>;

impl Housekeeping {
    /// Does each of these chores at its times, [`DAILY`] for a daemon. A daemon that can't do its chores serves all
    /// the same.
    pub async fn start(desk: Desk, times: &[(Chore, &str)]) -> Self {
        let desk = Arc::new(Mutex::new(Some(desk)));
        let scheduler = schedule(&desk, times).await.inspect_err(|error| {
            tracing::error!(%error, "there is no housekeeping; restart the daemon");
        });
        Self { scheduler: scheduler.ok(), desk }
    }

    /// Waits for the chore that runs, and lets go of the state.
    pub async fn stop(self) {
        if let Some(mut scheduler) = self.scheduler
            && let Err(error) = scheduler.shutdown().await
        {
            tracing::warn!(%error, "housekeeping could not be told to stop");
        }
        drop(self.desk.lock().await.take());
    }
}

async fn schedule(desk: &SharedDesk, times: &[(Chore, &str)]) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    for (chore, cron) in times {
        let (chore, desk) = (*chore, Arc::clone(desk));
        let job = CronJob::new_async(*cron, move |_, _| {
            let desk = Arc::clone(&desk);
            Box::pin(async move {
                // Held until the chore is done: one at a time.
                if let Some(desk) = desk.lock().await.as_ref() {
                    desk.perform_and_report(chore).await;
                }
            })
        })?;
        scheduler.add(job).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}
