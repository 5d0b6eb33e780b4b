//! When a job is due: pure functions of two instants. Slots are computed, never remembered by a timer.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// The instants at which a job is due, as far as a calendar and a clock can tell.
#[derive(Debug, Clone)]
pub struct Timetable {}

impl Timetable {
    /// The slots at or after `from` and before `until`, strictly increasing.
    pub fn slots(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let _ = (from, until);
        std::iter::empty()
    }
}

/// What happens to slots that can't simply run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Slots missed while the daemon was down.
    pub catch_up: CatchUp,
    /// Older missed slots than this are never made up for.
    pub catch_up_window: Duration,
    /// A slot that comes while the last run still goes.
    pub overlap: Overlap,
    /// More attempts for a failed slot, until the next slot is due.
    pub rerun: Option<Rerun>,
    /// A run that takes longer is stopped and fails.
    pub timeout: Duration,
    /// Jobs of the same lock never run at the same time.
    pub lock: Option<String>,
}

impl Policy {
    /// The catch-up window in force.
    #[must_use]
    pub fn catch_up_window(&self, _: Option<&Timetable>) -> Duration {
        self.catch_up_window
    }
}

/// What happens to slots missed while the daemon was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are written down as missed.
    Skip,
    /// The latest one runs, the others are written down as missed.
    #[default]
    Latest,
    /// Each runs, in order; at most 100, the latest.
    All,
}

/// What happens when a slot comes while the last run still goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It is written down as skipped.
    #[default]
    Skip,
    /// It waits; one slot at most, the latest.
    Queue,
}

/// More attempts for a failed slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rerun {
    /// How many more.
    pub times: u32,
    /// How long after the failed attempt ended.
    pub every: Duration,
}
