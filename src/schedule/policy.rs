//! What is to happen to slots that can't simply run: missed ones, late ones, failed ones. Only what was asked
//! for; the planner decides by it.

use super::Timetable;
use std::time::Duration;

/// What happens to slots that can't simply run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Slots missed while the daemon was down.
    pub catch_up: CatchUp,
    /// Older missed slots than this are never made up for; without one, [`Policy::catch_up_window`] says how
    /// old.
    pub catch_up_window: Option<Duration>,
    /// A slot that comes while the last run still goes.
    pub overlap: Overlap,
    /// More attempts for a failed slot, until the next slot is due.
    pub rerun: Option<Rerun>,
    /// A run that takes longer is stopped and fails.
    pub timeout: Duration,
    /// Jobs of the same lock never run at the same time.
    pub lock: Option<String>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Policy {
    /// Catch up with the latest missed slot, skip while a run goes, stop a run after an hour.
    fn default() -> Self {
        Self {
            catch_up: CatchUp::default(),
            catch_up_window: None,
            overlap: Overlap::default(),
            rerun: None,
            timeout: Duration::from_secs(60 * 60),
            lock: None,
        }
    }
}

impl Policy {
    /// How old a missed slot may be and still be made up for: as configured, else a day or twice the time
    /// between two slots, whichever is longer, so that a weekly job survives a weekend.
    #[must_use]
    pub fn catch_up_window(&self, timetable: Option<&Timetable>) -> Duration {
        self.catch_up_window.unwrap_or_else(|| {
            let interval = timetable.map_or(Duration::ZERO, Timetable::interval_hint);
            DAY.max(interval.saturating_mul(2))
        })
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
