//! `every = "30m"`: a step that divides the day, counted from local midnight.

use super::readings::DAY;
use std::fmt;
use std::time::Duration;

/// A step of whole seconds that divides 24 hours, from local midnight plus an offset. It follows the wall clock
/// as an interval expression does: none of its slots lie in a spring gap, and both passes of an autumn overlap
/// have theirs. A time of day that must never be lost belongs in a cron expression instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    step: u32,
    offset: u32,
}

/// A step that isn't one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEvery {
    /// The readings would differ from day to day.
    #[error(
        "{} does not divide 24 hours into equal parts, so its times would drift from day to day; use a step such as 5m, 30m, 2h or 24h, or a cron expression",
        duration_text(.0)
    )]
    Uneven(Duration),
    /// The first slot of the day would be none of the day's.
    #[error("the offset {} must be whole seconds and shorter than the step, {}", duration_text(.offset), duration_text(.every))]
    Offset {
        /// The step.
        every: Duration,
        /// The offset refused.
        offset: Duration,
    },
}

impl Every {
    /// Refuses a step that is not whole seconds dividing 24 hours, and an offset that is not whole seconds
    /// shorter than the step.
    pub fn new(every: Duration, offset: Duration) -> Result<Self, BadEvery> {
        let step = whole_seconds(every).filter(|step| *step > 0 && DAY % i64::from(*step) == 0);
        let step = step.ok_or(BadEvery::Uneven(every))?;
        let first = whole_seconds(offset).filter(|first| *first < step);
        let offset = first.ok_or(BadEvery::Offset { every, offset })?;
        Ok(Self { step, offset })
    }

    /// The time between two slots.
    #[must_use]
    pub fn step(self) -> Duration {
        Duration::from_secs(self.step.into())
    }

    /// The first of its seconds of the day at or after `second`.
    pub(super) fn next_time(self, second: u32) -> Option<u32> {
        let steps = second.saturating_sub(self.offset).div_ceil(self.step);
        let next = self.offset + steps * self.step;
        (i64::from(next) < DAY).then_some(next)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {}", duration_text(&self.step()))?;
        if self.offset > 0 {
            write!(f, " from {} past midnight", duration_text(&Duration::from_secs(self.offset.into())))?;
        }
        Ok(())
    }
}

fn whole_seconds(duration: Duration) -> Option<u32> {
    u32::try_from(duration.as_secs()).ok().filter(|_| duration.subsec_nanos() == 0)
}

/// A duration as configuration writes it: `1h30m`.
pub(super) fn duration_text(duration: &Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 || seconds == 0 {
        return format!("{duration:?}");
    }
    [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}
