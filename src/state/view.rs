//! Reading the ledger: what the scheduler must know when it starts, and what people ask for.

use super::draft::from_json;
use super::error::Fault;
use super::ledger::{Head, Pause};
use super::{Inner, StateError, Store, keys};
use crate::run::{Cause, RunId, RunRecord, Slot, SlotRange, SlotRecord};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// How many of a job's last runs the view at start looks back.
const RECENT_RUNS: usize = 20;

/// What the ledger holds of one job, as far as decisions need it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobView {
    /// Every nominal slot up to this instant, included, has been written down.
    pub accounted: Option<DateTime<Utc>>,
    /// Slots a process that has ended left claimed and not closed: interrupted, in nominal order.
    pub interrupted: Vec<(DateTime<Utc>, SlotRecord)>,
    /// Slots that are due and wait for their run, with why they run, in nominal order.
    pub pending: Vec<(DateTime<Utc>, Cause)>,
    /// The slots of the job's last 20 runs, the latest run first, each slot once. `updated` is when it ended.
    pub recent: Vec<(DateTime<Utc>, SlotRecord)>,
    /// Set while a person has the job paused.
    pub paused: Option<Pause>,
    /// The last run that ended ok or partial, however long ago.
    pub last_success: Option<RunRecord>,
    /// Failed runs since then.
    pub consecutive_failures: u32,
    /// Rejects kept.
    pub rejects: u64,
}

/// The ledger of a job between two instants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// Slots with an entry of their own, in nominal order. Such an entry is right where a range covers it too.
    pub records: Vec<(DateTime<Utc>, SlotRecord)>,
    /// Stretches that overlap the asked time.
    pub ranges: Vec<SlotRange>,
}

impl Store {
    /// All jobs the ledger knows.
    pub async fn ledger_view(&self) -> Result<BTreeMap<JobName, JobView>, StateError> {
        self.reading(Inner::ledger_view).await
    }

    /// One job, as [`Store::ledger_view`] shows it; what is empty where the ledger does not know it.
    pub async fn job_view(&self, job: &JobName) -> Result<JobView, StateError> {
        let job = job.clone();
        self.reading(move |inner| {
            let head = inner.draft().json(&keys::job(keys::HEAD, &job))?.unwrap_or_default();
            inner.job_view(&job, head)
        })
        .await
    }

    /// What the ledger holds of this very slot.
    pub async fn slot(&self, slot: &Slot) -> Result<Option<SlotRecord>, StateError> {
        let key = keys::slot(keys::SLOT, slot);
        self.reading(move |inner| inner.draft().json(&key)).await
    }

    /// The ledger of a job at or after `from` and before `until`.
    pub async fn slots(
        &self,
        job: &JobName,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Slots, StateError> {
        let job = job.clone();
        self.reading(move |inner| inner.slots(&job, from, until)).await
    }

    /// The last runs, of one job or of all, the newest first.
    pub async fn runs(&self, job: Option<&JobName>, limit: usize) -> Result<Vec<RunRecord>, StateError> {
        let job = job.cloned();
        self.reading(move |inner| match job {
            Some(job) => inner.runs_of(&job, limit),
            None => {
                let runs = inner.database.tree.scan_prefix([keys::RUN]).rev().take(limit);
                runs.map(|entry| entry.map_err(Fault::from).and_then(|(k, v)| from_json(&k, &v))).collect()
            }
        })
        .await
    }

    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StateError> {
        self.reading(move |inner| inner.draft().json(&keys::run(id))).await
    }

    /// The last run of a job that ended ok or partial, however long ago.
    pub async fn last_success(&self, job: &JobName) -> Result<Option<RunRecord>, StateError> {
        Ok(self.head(job).await?.last_success)
    }

    /// The last run of a job.
    pub async fn last_run(&self, job: &JobName) -> Result<Option<RunRecord>, StateError> {
        Ok(self.runs(Some(job), 1).await?.pop())
    }

    /// Failed runs of a job since its last success.
    pub async fn consecutive_failures(&self, job: &JobName) -> Result<u32, StateError> {
        Ok(self.head(job).await?.consecutive_failures)
    }

    /// The paused jobs.
    pub async fn pauses(&self) -> Result<BTreeMap<JobName, Pause>, StateError> {
        self.blocking(|inner| {
            let mut pauses = BTreeMap::new();
            for entry in inner.database.tree.scan_prefix([keys::PAUSE]) {
                let (key, value) = entry?;
                pauses.insert(keys::job_of(&key)?.0, from_json(&key, &value)?);
            }
            Ok(pauses)
        })
        .await
    }

    /// Reads the ledger once all claims stand there in full.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StateError> {
        self.blocking(move |inner| {
            drop(inner.writer()?);
            read(inner)
        })
        .await
    }

    pub(super) async fn head(&self, job: &JobName) -> Result<Head, StateError> {
        let key = keys::job(keys::HEAD, job);
        self.blocking(move |inner| Ok(inner.draft().json(&key)?.unwrap_or_default())).await
    }
}

impl Inner {
    fn ledger_view(&self) -> Result<BTreeMap<JobName, JobView>, Fault> {
        let mut jobs = BTreeMap::new();
        for prefix in [keys::HEAD, keys::PAUSE] {
            for entry in self.database.tree.scan_prefix([prefix]) {
                let (job, _) = keys::job_of(&entry?.0)?;
                let head = self.draft().json(&keys::job(keys::HEAD, &job))?.unwrap_or_default();
                let view = self.job_view(&job, head)?;
                jobs.insert(job, view);
            }
        }
        Ok(jobs)
    }

    fn job_view(&self, job: &JobName, head: Head) -> Result<JobView, Fault> {
        let mut recent: Vec<(DateTime<Utc>, SlotRecord)> = Vec::new();
        for run in self.runs_of(job, RECENT_RUNS)? {
            let slot = run.slot;
            if recent.iter().all(|(at, _)| *at != slot.at)
                && let Some(record) = self.draft().json(&keys::slot(keys::SLOT, &slot))?
            {
                recent.push((slot.at, record));
            }
        }
        let ours = self.writer()?.open.clone();
        let mut interrupted = Vec::new();
        for entry in self.database.tree.scan_prefix(keys::job(keys::OPEN, job)) {
            let slot = keys::slot_of(&entry?.0)?;
            let key = keys::slot(keys::SLOT, &slot);
            if !ours.contains_key(&key)
                && let Some(record) = self.draft().json(&key)?
            {
                interrupted.push((slot.at, record));
            }
        }
        Ok(JobView {
            accounted: head.accounted,
            interrupted,
            pending: self.timeline(keys::PENDING, job, None)?,
            recent,
            paused: self.draft().json(&keys::job(keys::PAUSE, job))?,
            last_success: head.last_success,
            consecutive_failures: head.consecutive_failures,
            rejects: head.rejects,
        })
    }

    /// The entries of one kind that a job has by instant, all or those of a stretch of time.
    fn timeline<T: DeserializeOwned>(
        &self,
        kind: u8,
        job: &JobName,
        stretch: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ) -> Result<Vec<(DateTime<Utc>, T)>, Fault> {
        let entries = match stretch {
            None => self.database.tree.scan_prefix(keys::job(kind, job)),
            Some((from, until)) if from >= until => return Ok(Vec::new()),
            Some((from, until)) => {
                self.database.tree.range(keys::instant(kind, job, from)..keys::instant(kind, job, until))
            }
        };
        entries
            .map(|entry| {
                let (key, value) = entry?;
                Ok((keys::slot_of(&key)?.at, from_json(&key, &value)?))
            })
            .collect()
    }

    fn slots(&self, job: &JobName, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Slots, Fault> {
        let records = self.timeline(keys::SLOT, job, Some((from, until)))?;
        let mut ranges = Vec::new();
        for entry in self.database.tree.scan_prefix(keys::job(keys::RANGE, job)) {
            let (key, value) = entry?;
            let range: SlotRange = from_json(&key, &value)?;
            if range.first < until && range.last >= from {
                ranges.push(range);
            }
        }
        Ok(Slots { records, ranges })
    }

    fn runs_of(&self, job: &JobName, limit: usize) -> Result<Vec<RunRecord>, Fault> {
        let mut runs = Vec::new();
        for entry in self.database.tree.scan_prefix(keys::job(keys::JOB_RUN, job)).rev().take(limit) {
            let (key, _) = entry?;
            let id = RunId(keys::number(keys::job_of(&key)?.1)?);
            runs.extend(self.draft().json::<RunRecord>(&keys::run(id))?);
        }
        Ok(runs)
    }
}
