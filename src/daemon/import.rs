//! The first import: each job's first run, one after the other, what others need before those others. What is done is in
//! the ledger: a job that has had a successful run is never imported again, so that an import that was cut off goes on
//! where it was, and one beside a daemon leaves alone what the daemon has done.

use super::once::{LONGEST, connect, run, seconds_from};
use super::{StartError, blocking, open_store};
use crate::clock::SharedClock;
use crate::config::Loaded;
use crate::job::map::LookupSource;
use crate::job::{Job, Shaping, Trigger, Work};
use crate::runner::{Ended, Progress, Runner, Stop};
use crate::state::Store;
use crate::words::{ConnectionName, JobName};
use std::collections::BTreeSet;

/// A job to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The job.
    pub job: JobName,
    /// The jobs of this import that have to go through first.
    pub needs: Vec<JobName>,
}

/// Where a job that doesn't say stands among the others.
const ANYWHERE: u64 = 100;

/// The jobs of a first import, in order: those others need before them, `initial` ones before the rest, then by `import`
/// and by name. Jobs that only a person starts are no part of it, unless they say `import`.
#[must_use]
pub fn import_plan(loaded: &Loaded, connection: Option<&ConnectionName>) -> Vec<Planned> {
    let place = |job: &Job| match loaded.imports.get(&job.name) {
        Some(place) => *place,
        None => (!matches!(job.trigger, Trigger::Manual)).then_some(ANYWHERE),
    };
    let is_part = |job: &&Job| {
        let over = connection.is_none_or(|connection| connections(job).contains(&connection));
        job.is_live() && over && place(job).is_some()
    };
    let mut left: Vec<&Job> = loaded.jobs.values().filter(is_part).collect();
    let rank = |job: &Job| {
        (!matches!(job.trigger, Trigger::Initial(_)), place(job).unwrap_or(ANYWHERE), job.name.clone())
    };
    left.sort_by_key(|job| rank(job));
    let part: BTreeSet<JobName> = left.iter().map(|job| job.name.clone()).collect();
    let mut planned: Vec<Planned> = Vec::new();
    while !left.is_empty() {
        let is_free = |job: &&Job| !needs(job).iter().any(|need| left.iter().any(|job| job.name == *need));
        // Of a circle somebody goes first.
        let job = left.remove(left.iter().position(is_free).unwrap_or_default());
        let done = |need: &JobName| part.contains(need) && planned.iter().any(|planned| planned.job == *need);
        planned.push(Planned { job: job.name.clone(), needs: needs(job).into_iter().filter(done).collect() });
    }
    planned
}

fn connections(job: &Job) -> Vec<&ConnectionName> {
    match &job.work {
        Work::Pull(pull, write) => vec![&pull.from, &write.to],
        Work::Push(read, push) => vec![&read.from, &push.to],
        Work::Steps(read, steps) => vec![&read.from, &steps.to],
        Work::Receive(..) | Work::Unconfigured => Vec::new(),
    }
}

/// The jobs that bring what this one needs.
fn needs(job: &Job) -> BTreeSet<JobName> {
    let mut needs = BTreeSet::new();
    if let Trigger::After(parents) | Trigger::Initial(parents) = &job.trigger {
        needs.extend(parents.iter().cloned());
    }
    let mut look_up = |shaping: &Shaping| {
        needs.extend(shaping.lookups.iter().filter_map(|lookup| match &lookup.source {
            LookupSource::Links(job) => Some(job.clone()),
            LookupSource::Saved(link) => Some(link.job.clone()),
            LookupSource::Sql(_) => None,
        }));
    };
    match &job.work {
        Work::Pull(_, write) => look_up(&write.shaping),
        Work::Push(_, push) => {
            look_up(&push.shaping);
            needs.extend(push.parent.iter().map(|parent| parent.job.clone()));
        }
        Work::Steps(_, steps) => {
            steps.steps.iter().for_each(|step| look_up(&step.push.shaping));
            needs.extend(steps.continues.clone());
        }
        Work::Receive(..) | Work::Unconfigured => {}
    }
    needs.remove(&job.name);
    needs
}

/// The state of an import that no daemon does.
pub struct Import {
    store: Store,
    runner: Runner,
    clock: SharedClock,
}

impl Import {
    /// Takes the state directory like the daemon would. `progress` is told how far each run is.
    ///
    /// # Errors
    /// The state is held by another process, or a connection can't be made ready.
    pub async fn start(loaded: &Loaded, clock: SharedClock, progress: Progress) -> Result<Self, StartError> {
        let store = open_store(&loaded.settings.state, &clock).await?;
        let connectors = connect(loaded, &store, &clock).await?;
        let runner = Runner::new(connectors, None).watched(progress);
        Ok(Self { store, runner, clock })
    }

    /// Whether the job has had its first successful run.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn is_done(&self, job: &JobName) -> Result<bool, StartError> {
        Ok(self.store.last_success(job).await?.is_some())
    }

    /// The job's first run, however long it takes: whoever asked for it can stop it.
    ///
    /// # Errors
    /// The state can't be written.
    pub async fn run(&self, job: &Job, stop: Stop) -> Result<Ended, StartError> {
        let mut job = job.clone();
        job.policy.timeout = LONGEST;
        let once = run(&self.store, &self.runner, &job, seconds_from(self.clock.now()), stop).await?;
        Ok(once.ended)
    }

    /// Gives the state directory back.
    pub async fn end(self) {
        let Self { store, runner, .. } = self;
        drop(runner);
        drop(blocking(move || drop(store)).await);
    }
}
