//! What the status page shows, as data. The facts are those of `/health`, `cadenced status` and the ledger, found out
//! once for all jobs.

use super::control::{Condition, Health, JobStatus, Readiness};
use crate::state::LastSlot;
use chrono::{DateTime, Utc};

/// How many of a job's last slots it holds.
pub const LAST_SLOTS: usize = 8;
/// How many of a job's next slots it holds.
pub const NEXT_SLOTS: usize = 3;

/// The daemon and its jobs at one moment.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When.
    pub at: DateTime<Utc>,
    /// The zone that the daemon's own times are shown in: an IANA name.
    pub timezone: String,
    /// Whether the daemon serves its jobs.
    pub readiness: Readiness,
    /// What `/health` says.
    pub health: Health,
    /// Every job in name order; none if the state can't be read.
    pub jobs: Vec<JobOverview>,
}

impl Overview {
    /// Whether the state could not be read: `/health` then fails without naming a job, and says why where it otherwise
    /// says why a reload was refused.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.health.status == Condition::Failing && self.health.jobs.is_empty()
    }
}

/// What a job did last and does next.
#[derive(Debug, Clone)]
pub struct JobOverview {
    /// What `cadenced status` says.
    pub status: JobStatus,
    /// When it is due, in words.
    pub due: String,
    /// Whether its platform starts it, by calling.
    pub is_called: bool,
    /// What became of its last slots, the newest first.
    pub last: Vec<LastSlot>,
    /// Its next slots, as far as they can be computed.
    pub next: Vec<DateTime<Utc>>,
}
