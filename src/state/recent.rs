//! What became of the last slots of jobs, for people to look at: a look back from the newest, bounded by a number of
//! slots and not by time, since a job due every second has 86,400 a day. Slots in a row that were not run for the same
//! reason count as one: a paused job still shows its last run.

use super::draft::from_json;
use super::error::Fault;
use super::{Inner, StateError, Store, keys};
use crate::run::{Outcome, RunRecord, SlotRange, SlotRecord};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// As many slots of a job are looked at, however many share a fate.
const LOOK_BACK: usize = 200;

/// A slot that was decided, or a stretch of slots that share a fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSlot {
    /// The nominal instant; of a stretch, the last.
    pub at: DateTime<Utc>,
    /// How many slots it stands for.
    pub slots: u64,
    /// How it ended; nothing while a run of it goes.
    pub outcome: Option<Outcome>,
    /// Runs started for it.
    pub attempts: u32,
    /// Why it was not run, or failed.
    pub reason: Option<String>,
    /// The last run started for it.
    pub run: Option<RunRecord>,
}

impl Store {
    /// The last slots of each of these jobs before an instant, the newest first, `limit` at most.
    pub async fn last_slots(
        &self,
        jobs: Vec<JobName>,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<BTreeMap<JobName, Vec<LastSlot>>, StateError> {
        let read = move |inner: &Inner| {
            let of = |job: JobName| inner.last_slots(&job, before, limit).map(|slots| (job, slots));
            jobs.into_iter().map(of).collect()
        };
        self.reading(read).await
    }
}

impl Inner {
    fn last_slots(&self, job: &JobName, before: DateTime<Utc>, limit: usize) -> Result<Vec<LastSlot>, Fault> {
        let mut slots: Vec<LastSlot> = Vec::new();
        let entries = |kind| {
            let until = keys::instant(kind, job, before);
            self.database.tree.range(keys::job(kind, job)..until).rev()
        };
        for entry in entries(keys::SLOT).take(LOOK_BACK) {
            let (key, value) = entry?;
            let at = keys::slot_of(&key)?.at;
            let SlotRecord { outcome, attempts, reason, run, .. } = from_json(&key, &value)?;
            if let Some(later) = slots.last_mut()
                && (run, later.attempts) == (None, 0)
                && (later.outcome, &later.reason) == (outcome, &reason)
            {
                later.slots += 1;
                continue;
            }
            if slots.len() == limit {
                break;
            }
            let run = run.map(|id| self.draft().json(&keys::run(id))).transpose()?.flatten();
            slots.push(LastSlot { at, slots: 1, outcome, attempts, reason, run });
        }
        for entry in entries(keys::RANGE).take(limit) {
            let (key, value) = entry?;
            let SlotRange { last, slots: count, outcome, reason, .. } = from_json(&key, &value)?;
            let (outcome, reason) = (Some(outcome), Some(reason));
            slots.push(LastSlot { at: last, slots: count, outcome, attempts: 0, reason, run: None });
        }
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.at));
        slots.truncate(limit);
        Ok(slots)
    }
}
