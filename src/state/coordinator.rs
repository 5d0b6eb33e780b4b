//! The one narrow place for claims and commits. [`Store`] implements it for one machine; an implementation over a
//! shared database will let several daemons divide the work. So nothing here assumes being alone: a claim may be
//! refused because somebody else has the slot, and a commit because its claim was lost.

use super::{StateError, Store};
use crate::run::{Cause, Counts, Entry, Outcome, RunId, Slot};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Hands out slots and keeps watermarks.
pub trait Coordinator: Send + Sync + std::fmt::Debug {
    /// Writes to the ledger, all or nothing, in one flush: first the closings, then the entries, then the claims. One
    /// answer for each claim, in order. A slot is refused if that very slot has ended for good (ok, partial, skipped,
    /// missed) or is being run; slots that failed or were interrupted may be claimed again. Later slots never matter: a
    /// clock that was wrong and was corrected silences nothing. An entry leaves a slot that has an outcome, or is being
    /// run, as it is. Fails with [`StateError::Fenced`] if a closing's slot is no longer its run's.
    fn write(&self, batch: LedgerBatch) -> BoxFuture<'_, Result<Vec<Claimed>, StateError>>;

    /// How far a job has read an entity.
    fn watermark<'a>(
        &'a self,
        job: &'a JobName,
        entity: &'a str,
    ) -> BoxFuture<'a, Result<Option<Watermark>, StateError>>;

    /// Moves a watermark under a claim. Fails with [`StateError::Fenced`] if the slot is no longer this run's.
    fn commit_watermark<'a>(
        &'a self,
        token: &'a Token,
        mark: NewMark,
    ) -> BoxFuture<'a, Result<(), StateError>>;
}

/// A slot somebody wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The slot.
    pub slot: Slot,
    /// Why.
    pub cause: Cause,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The slot is the caller's, until it closes it.
    Granted(Token),
    /// It is not.
    Refused(Refusal),
}

/// Why a slot can't be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended for good.
    #[error("this slot has already ended: {0}")]
    Ended(Outcome),
    /// It is being run.
    #[error("run {0} is working on this slot")]
    Open(RunId),
}

/// The right to close a slot and to commit for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The run that was opened.
    pub run: RunId,
    /// Its slot.
    pub slot: Slot,
    /// 1 for the slot's first run.
    pub attempt: u32,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Closing {
    /// The claim it ran under.
    pub token: Token,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    pub counts: Counts,
    /// What an operator should know about how it ended.
    pub message: Option<String>,
}

/// What goes into the ledger at one moment.
#[derive(Debug, Clone, Default)]
pub struct LedgerBatch {
    /// Runs that ended.
    pub closings: Vec<Closing>,
    /// What happened to slots without a run.
    pub entries: Vec<Entry>,
    /// Slots to be run.
    pub claims: Vec<Claim>,
}

/// How far a job has read one entity of its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    /// A cursor or an id, as the job's own rules write it; null once a person took it away.
    pub value: Value,
    /// When it was written.
    pub updated: DateTime<Utc>,
    /// The run that moved it; nothing where a person set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The values before it, the latest first; ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PastMark>,
}

/// A value a watermark had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastMark {
    /// The value.
    pub value: Value,
    /// When it was written.
    pub updated: DateTime<Utc>,
    /// The run that wrote it; nothing where a person set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// A watermark to commit.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMark {
    /// What of the source was read; `""` where a job reads one thing.
    pub entity: String,
    /// How far.
    pub value: Value,
    /// What becomes of the unfinished walk at the same moment.
    pub walk: Walk,
}

/// What becomes of an unfinished walk.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Walk {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is now here.
    Save(Value),
    /// It is finished, or given up.
    Clear,
}

/// How long after they were made claims are written in full, if nothing else is written before.
const IN_FULL: Duration = Duration::from_millis(100);

impl Coordinator for Store {
    fn write(&self, batch: LedgerBatch) -> BoxFuture<'_, Result<Vec<Claimed>, StateError>> {
        let store = self.clone();
        Box::pin(async move {
            let has_claims = !batch.claims.is_empty();
            let answers = store.blocking(move |inner| inner.write(batch)).await?;
            if has_claims {
                // Not waited for, and not at once: first the runs start. Should it fail, whoever writes next tries again
                // and says so.
                let inner = Arc::downgrade(&store.0);
                tokio::spawn(async move {
                    tokio::time::sleep(IN_FULL).await;
                    let in_full = move || inner.upgrade().and_then(|inner| inner.writer().map(drop).ok());
                    tokio::task::spawn_blocking(in_full).await.unwrap_or_default();
                });
            }
            Ok(answers)
        })
    }

    fn watermark<'a>(
        &'a self,
        job: &'a JobName,
        entity: &'a str,
    ) -> BoxFuture<'a, Result<Option<Watermark>, StateError>> {
        let (job, entity) = (job.clone(), entity.to_owned());
        Box::pin(self.blocking(move |inner| inner.watermark(&job, &entity)))
    }

    fn commit_watermark<'a>(
        &'a self,
        token: &'a Token,
        mark: NewMark,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        let token = token.clone();
        Box::pin(self.blocking(move |inner| inner.commit_watermark(&token, mark)))
    }
}
