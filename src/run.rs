//! The ledger's types. A slot is one instant at which a job is due; a run is one execution for a slot. Every
//! slot ends in exactly one [`Outcome`]; it may take several runs to get there.

use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One instant at which a job is due: the unit of accounting. Claims are compared by the exact slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The job that is due.
    pub job: JobName,
    /// The nominal instant, in whole seconds.
    pub at: DateTime<Utc>,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.job, self.at.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// How a slot, or one run of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything went through.
    Ok,
    /// Some records were rejected; the others went through.
    Partial,
    /// The run stopped early; the watermark covers only what was stored.
    Failed,
    /// Not run, with a reason.
    Skipped,
    /// The process ended, or was told to stop, before the run did.
    Interrupted,
    /// Came due while the daemon was down, and policy ran a later slot, or none, in its place.
    Missed,
}

impl Outcome {
    /// The word used in logs, metrics, JSON and the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
            Self::Missed => "missed",
        }
    }

    /// Whether dependents may follow: the job did what it could.
    #[must_use]
    pub fn went_through(self) -> bool {
        matches!(self, Self::Ok | Self::Partial)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a run did, in records. Kept in the ledger and exported as metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read from the source, repeats included.
    pub read: u64,
    /// Records the other side accepted.
    pub written: u64,
    /// Records left alone because their content was delivered before.
    pub unchanged: u64,
    /// Records refused and kept as rejects.
    pub rejected: u64,
    /// Records removed on the other side because they are gone from the source.
    pub removed: u64,
    /// Pages read of a platform's list.
    pub pages: u64,
    /// HTTP requests sent, retries and logins included.
    pub requests: u64,
}

impl Counts {
    /// Adds what another part of the run did.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.written += other.written;
        self.unchanged += other.unchanged;
        self.rejected += other.rejected;
        self.removed += other.removed;
        self.pages += other.pages;
        self.requests += other.requests;
    }
}

/// Why a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its slot came due.
    Due,
    /// Its slot was missed or interrupted and is made up for.
    CatchUp,
    /// Its slot failed before and `rerun` gives it another attempt.
    Rerun,
    /// A parent's slot ended.
    After,
    /// A person asked for it.
    Manual,
    /// A platform called; the run is what it called with within a minute.
    Called,
}

/// The identity of a run: rises by one with each run of this state directory, and fences its commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the ledger holds of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The outcome, or nothing while a run of it is open.
    pub outcome: Option<Outcome>,
    /// Runs started for it so far.
    pub attempts: u32,
    /// Why its first run started (or would have).
    pub cause: Cause,
    /// For skipped, missed and failed slots: why, in an operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last run started for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// When this record was last written.
    pub updated: DateTime<Utc>,
}

/// What the ledger holds of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its identity.
    pub id: RunId,
    /// The slot it ran for.
    pub slot: Slot,
    /// 1 for the slot's first run.
    pub attempt: u32,
    /// Why it started.
    pub cause: Cause,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended; nothing while it goes.
    #[serde(default)]
    pub ended: Option<DateTime<Utc>>,
    /// How it ended; nothing while it goes.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// What it did.
    #[serde(default)]
    pub counts: Counts,
    /// What an operator should know about how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A stretch of slots that were not run, written as one entry: after a long outage there may be thousands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRange {
    /// The job.
    pub job: JobName,
    /// The first nominal instant of the stretch.
    pub first: DateTime<Utc>,
    /// The last nominal instant of the stretch, included.
    pub last: DateTime<Utc>,
    /// How many slots it stands for.
    pub slots: u64,
    /// [`Outcome::Missed`] or [`Outcome::Skipped`].
    pub outcome: Outcome,
    /// Why, in an operator's words.
    pub reason: String,
}

/// One line for the ledger, beside claims and closings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Every nominal slot of the job up to here has been decided.
    Accounted {
        /// The job.
        job: JobName,
        /// Up to here, included.
        at: DateTime<Utc>,
    },
    /// A slot that will not run.
    Skipped {
        /// The slot.
        slot: Slot,
        /// Why it would have run.
        cause: Cause,
        /// Why it does not.
        reason: String,
    },
    /// A stretch of slots that will not run.
    Range(SlotRange),
    /// A slot that is due and waits for its run.
    Pending {
        /// The slot.
        slot: Slot,
        /// Why it runs.
        cause: Cause,
    },
    /// A slot whose run was cut off and gets no other.
    Interrupted {
        /// The slot.
        slot: Slot,
    },
}

impl Entry {
    /// A slot that will not run, and why.
    #[must_use]
    pub fn skipped(job: &JobName, at: DateTime<Utc>, cause: Cause, reason: &str) -> Self {
        Self::Skipped { slot: Slot { job: job.clone(), at }, cause, reason: reason.to_owned() }
    }

    /// The job it is about.
    #[must_use]
    pub fn job(&self) -> &JobName {
        match self {
            Self::Accounted { job, .. } => job,
            Self::Skipped { slot, .. } | Self::Pending { slot, .. } | Self::Interrupted { slot } => &slot.job,
            Self::Range(range) => &range.job,
        }
    }
}
