//! Writing the ledger: claims, ends, what happened without a run, pauses, and what is too old to keep.

use super::coordinator::{Claim, Claimed, Closing, LedgerBatch, Refusal, Token};
use super::draft::{Draft, from_json};
use super::error::Fault;
use super::{Inner, StateError, Store, Weight, Writer, keys};
use crate::run::{Cause, Counts, Entry, Outcome, RunId, RunRecord, Slot, SlotRecord};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A job that a person stopped from starting by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, if the person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is kept of a job for as long as the state directory lasts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accounted: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_success: Option<RunRecord>,
    #[serde(default)]
    pub(super) consecutive_failures: u32,
    #[serde(default)]
    pub(super) rejects: u64,
}

impl Store {
    /// Stops a job from starting by itself, over restarts, until it is resumed.
    pub async fn pause(&self, job: &JobName, reason: Option<String>) -> Result<(), StateError> {
        let key = keys::job(keys::PAUSE, job);
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            draft.put_json(key, &Pause { since: inner.now(), reason })?;
            inner.commit(&mut writer, draft, Weight::Milestone)
        })
        .await
    }

    /// Lets a job start by itself again; says whether it was paused.
    pub async fn resume(&self, job: &JobName) -> Result<bool, StateError> {
        let key = keys::job(keys::PAUSE, job);
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            let was_paused = draft.contains(&key)?;
            if was_paused {
                draft.remove(key);
            }
            inner.commit(&mut writer, draft, Weight::Milestone)?;
            Ok(was_paused)
        })
        .await
    }

    /// Removes slots, ranges and runs that were last written before this instant; gives how many. What is open, a
    /// job's last run and its last success stay.
    pub async fn prune_history(&self, before: DateTime<Utc>) -> Result<u64, StateError> {
        self.blocking(move |inner| inner.prune_history(before)).await
    }
}

impl Inner {
    pub(super) fn write(&self, batch: LedgerBatch) -> Result<Vec<Claimed>, Fault> {
        let now = self.now();
        let mut writer = self.writer()?;
        let mut draft = self.draft();
        let mut closed = Vec::with_capacity(batch.closings.len());
        for closing in batch.closings {
            closed.push(self.close(&mut writer, &mut draft, closing, now)?);
        }
        write_entries(&mut draft, &writer, batch.entries, now)?;
        let mut opened: Vec<(Vec<u8>, RunId)> = Vec::new();
        let mut answers = Vec::with_capacity(batch.claims.len());
        for claim in batch.claims {
            answers.push(claim_slot(&mut draft, &writer, &closed, &mut opened, claim, now)?);
        }
        let last_run = opened.last().map_or(writer.last_run, |(_, run)| run.0);
        if last_run != writer.last_run {
            draft.put(keys::META_RUN.to_vec(), last_run.to_be_bytes().to_vec());
        }
        if !draft.is_empty() {
            self.commit(&mut writer, draft, Weight::Milestone)?;
        }
        writer.last_run = last_run;
        for key in &closed {
            writer.open.remove(key);
        }
        writer.open.extend(opened);
        drop(writer);
        for key in closed {
            self.close_logs(&keys::slot_of(&key)?.job);
        }
        Ok(answers)
    }

    /// Ends a run and its slot; gives the slot's key.
    fn close(
        &self,
        writer: &mut Writer,
        draft: &mut Draft<'_>,
        closing: Closing,
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, Fault> {
        let Closing { token, outcome, counts, message } = closing;
        let key = keys::slot(keys::SLOT, &token.slot);
        let mut record = self.held(writer, draft, &token)?;
        record.outcome = Some(outcome);
        record.reason.clone_from(&message);
        record.updated = now;
        draft.put_json(key.clone(), &record)?;
        draft.remove(keys::slot(keys::OPEN, &token.slot));
        let run_key = keys::run(token.run);
        let mut run: RunRecord =
            draft.json(&run_key)?.ok_or_else(|| Fault::Value(format!("run {} has no record", token.run)))?;
        (run.ended, run.outcome, run.counts, run.message) = (Some(now), Some(outcome), counts, message);
        draft.put_json(run_key, &run)?;
        change_head(draft, &token.slot.job, |head| {
            if outcome.went_through() {
                head.last_success = Some(run);
                head.consecutive_failures = 0;
            } else if outcome == Outcome::Failed {
                head.consecutive_failures += 1;
            }
        })?;
        Ok(key)
    }

    /// The record of a slot that this token still holds.
    pub(super) fn held(
        &self,
        writer: &mut Writer,
        draft: &Draft<'_>,
        token: &Token,
    ) -> Result<SlotRecord, Fault> {
        let key = keys::slot(keys::SLOT, &token.slot);
        let record: Option<SlotRecord> = draft.json(&key)?;
        match record {
            Some(record) if record.run == Some(token.run) && record.outcome.is_none() => Ok(record),
            _ => {
                // Whoever lost the slot has no claim left to keep others out with.
                if writer.open.get(&key) == Some(&token.run) {
                    writer.open.remove(&key);
                }
                Err(StateError::Fenced { slot: token.slot.clone(), run: token.run }.into())
            }
        }
    }

    fn prune_history(&self, before: DateTime<Utc>) -> Result<u64, Fault> {
        const BATCH: usize = 1000;
        let tree = &self.database.tree;
        let mut stale = Vec::new();
        for entry in tree.scan_prefix([keys::SLOT]) {
            let (key, value) = entry?;
            let record: SlotRecord = from_json(&key, &value)?;
            if record.outcome.is_some() && record.updated < before {
                stale.push(key.to_vec());
            }
        }
        for entry in tree.scan_prefix([keys::RANGE]) {
            let (key, value) = entry?;
            let range: crate::run::SlotRange = from_json(&key, &value)?;
            if range.last < before {
                stale.push(key.to_vec());
            }
        }
        let mut newest: Option<(JobName, RunId)> = None;
        for entry in tree.scan_prefix([keys::JOB_RUN]).rev() {
            let (key, _) = entry?;
            let (job, id) = keys::job_of(&key)?;
            let id = RunId(keys::number(id)?);
            if newest.as_ref().is_none_or(|(newest, _)| *newest != job) {
                newest = Some((job, id));
                continue;
            }
            let run_key = keys::run(id);
            let run: Option<RunRecord> = self.draft().json(&run_key)?;
            if run.is_none_or(|run| run.ended.is_some_and(|ended| ended < before)) {
                stale.push(key.to_vec());
                stale.push(run_key);
            }
        }
        let removed = stale.len() as u64;
        for keys in stale.chunks(BATCH) {
            let mut writer = self.writer()?;
            let mut draft = self.draft();
            for key in keys {
                // A failed slot may have been claimed again since it was looked at.
                let reopened = key.first() == Some(&keys::SLOT)
                    && draft.json::<SlotRecord>(key)?.is_some_and(|record| record.updated >= before);
                if !reopened {
                    draft.remove(key.clone());
                }
            }
            self.commit(&mut writer, draft, Weight::Step)?;
        }
        Ok(removed)
    }
}

/// Changes a job's head within a draft.
pub(super) fn change_head(
    draft: &mut Draft<'_>,
    job: &JobName,
    change: impl FnOnce(&mut Head),
) -> Result<(), Fault> {
    let key = keys::job(keys::HEAD, job);
    let before: Option<Head> = draft.json(&key)?;
    let mut head = before.clone().unwrap_or_default();
    change(&mut head);
    if before.as_ref() != Some(&head) {
        draft.put_json(key, &head)?;
    }
    Ok(())
}

/// Whether no further attempt can follow.
fn is_final(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Failed | Outcome::Interrupted)
}

/// Ends the run of a process that never came to do it.
fn interrupt_run(draft: &mut Draft<'_>, slot: &SlotRecord, now: DateTime<Utc>) -> Result<(), Fault> {
    let Some(id) = slot.run else { return Ok(()) };
    let Some(mut run) = draft.json::<RunRecord>(&keys::run(id))? else { return Ok(()) };
    run.ended = Some(now);
    run.outcome = Some(Outcome::Interrupted);
    draft.put_json(keys::run(id), &run)
}

/// Opens a run for a slot, or says why not. `closed` are slots that end within the same draft, `opened` those claimed.
fn claim_slot(
    draft: &mut Draft<'_>,
    writer: &Writer,
    closed: &[Vec<u8>],
    opened: &mut Vec<(Vec<u8>, RunId)>,
    Claim { slot, cause }: Claim,
    now: DateTime<Utc>,
) -> Result<Claimed, Fault> {
    let key = keys::slot(keys::SLOT, &slot);
    let before: Option<SlotRecord> = draft.json(&key)?;
    let ours = opened.iter().find(|(open, _)| *open == key).map(|(_, run)| *run);
    let others = writer.open.get(&key).copied().filter(|_| !closed.contains(&key));
    if let Some(run) = ours.or(others) {
        return Ok(Claimed::Refused(Refusal::Open(run)));
    }
    if let Some(outcome) = before.as_ref().and_then(|record| record.outcome).filter(|o| is_final(*o)) {
        // It no longer waits either, or each start would ask for it again.
        draft.remove(keys::slot(keys::PENDING, &slot));
        return Ok(Claimed::Refused(Refusal::Ended(outcome)));
    }
    let run = RunId(writer.last_run + opened.len() as u64 + 1);
    let attempt = before.as_ref().map_or(0, |record| record.attempts) + 1;
    if let Some(before) = before.as_ref().filter(|record| record.outcome.is_none()) {
        interrupt_run(draft, before, now)?;
    }
    let record = SlotRecord {
        outcome: None,
        attempts: attempt,
        cause: before.map_or(cause, |record| record.cause),
        reason: None,
        run: Some(run),
        updated: now,
    };
    draft.put_json(key.clone(), &record)?;
    draft.put(keys::slot(keys::OPEN, &slot), run.0.to_be_bytes().to_vec());
    draft.remove(keys::slot(keys::PENDING, &slot));
    draft.put(keys::job_run(&slot.job, run), Vec::new());
    let begun = RunRecord {
        id: run,
        slot: slot.clone(),
        attempt,
        cause,
        started: now,
        ended: None,
        outcome: None,
        counts: Counts::default(),
        message: None,
    };
    draft.put_json(keys::run(run), &begun)?;
    change_head(draft, &slot.job, |_| {})?;
    opened.push((key, run));
    Ok(Claimed::Granted(Token { run, slot, attempt }))
}

fn write_entries(
    draft: &mut Draft<'_>,
    writer: &Writer,
    entries: Vec<Entry>,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    for entry in entries {
        match entry {
            Entry::Skipped { slot, cause, reason } => {
                end_slot(draft, writer, &slot, Outcome::Skipped, cause, reason, now)?;
            }
            Entry::Interrupted { slot } => {
                let reason = "the daemon ended before its run did, and catch-up gives it no other".to_owned();
                end_slot(draft, writer, &slot, Outcome::Interrupted, Cause::Due, reason, now)?;
            }
            Entry::Range(range) => {
                let mut key = keys::instant(keys::RANGE, &range.job, range.first);
                key.extend_from_slice(&keys::ordered(range.last));
                draft.put_json(key, &range)?;
                change_head(draft, &range.job, |_| {})?;
            }
            Entry::Accounted { job, at } => change_head(draft, &job, |head| head.accounted = Some(at))?,
            Entry::Pending { slot, cause } => {
                draft.put_json(keys::slot(keys::PENDING, &slot), &cause)?;
                change_head(draft, &slot.job, |_| {})?;
            }
        }
    }
    Ok(())
}

/// Ends a slot that has no run going; one that has its outcome keeps it.
fn end_slot(
    draft: &mut Draft<'_>,
    writer: &Writer,
    slot: &Slot,
    outcome: Outcome,
    cause: Cause,
    reason: String,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let key = keys::slot(keys::SLOT, slot);
    let before: Option<SlotRecord> = draft.json(&key)?;
    draft.remove(keys::slot(keys::PENDING, slot));
    if before.as_ref().is_some_and(|record| record.outcome.is_some()) || writer.open.contains_key(&key) {
        tracing::debug!(%slot, %outcome, "the slot already has its place in the ledger");
        return Ok(());
    }
    if let Some(before) = &before {
        interrupt_run(draft, before, now)?;
    }
    let record = SlotRecord {
        outcome: Some(outcome),
        attempts: before.as_ref().map_or(0, |record| record.attempts),
        cause: before.as_ref().map_or(cause, |record| record.cause),
        reason: Some(reason),
        run: before.and_then(|record| record.run),
        updated: now,
    };
    draft.put_json(key, &record)?;
    draft.remove(keys::slot(keys::OPEN, slot));
    change_head(draft, &slot.job, |_| {})
}
