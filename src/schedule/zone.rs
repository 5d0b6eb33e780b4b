//! A zone as a row of stretches, each with one offset from UTC: what makes a local reading an instant.
//!
//! chrono-tz answers for one instant at a time and keeps its table of changes to itself, so a change is found by
//! asking at both ends of a few days and halving. Its data ends in 2099: from then on a zone keeps the offset it
//! has.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// How far ahead a stretch looks. No zone of the data ever kept an offset for less than 6 days and 23 hours
/// (Brazil in October 2000), so that two changes can't hide between two looks.
pub(super) const LOOK_AHEAD: i64 = 4 * 24 * 60 * 60;

/// No clock ever moved by more than a day (Alaska 1867, Samoa 2011), and no offset is larger: further away than
/// this, a reading and an instant have nothing to do with each other.
pub(super) const REACH: i64 = 26 * 60 * 60;

/// Some seconds in a row with one offset. Instants are seconds from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Its first instant.
    pub(super) start: i64,
    /// The first instant after it; the offset may or may not change there.
    pub(super) end: i64,
    /// Seconds east of UTC.
    pub(super) offset: i64,
    /// The offset before it, if the clock was moved at its start.
    before: Option<i64>,
}

impl Stretch {
    /// The stretch that holds `instant`, aware of a clock change that still has to do with it.
    pub(super) fn around(zone: Tz, instant: i64) -> Self {
        let mut stretch = Self::from(zone, instant - REACH);
        while stretch.end <= instant {
            stretch = stretch.next(zone);
        }
        stretch
    }

    /// The stretch after this one.
    pub(super) fn next(self, zone: Tz) -> Self {
        let next = Self::from(zone, self.end);
        Self { before: (next.offset != self.offset).then_some(self.offset), ..next }
    }

    /// The readings that the clock left out when it was moved forward to start this stretch.
    pub(super) fn gap(self) -> Option<std::ops::Range<i64>> {
        self.before
            .filter(|before| *before < self.offset)
            .map(|before| self.start + before..self.start + self.offset)
    }

    /// The first reading of this stretch that no earlier instant had.
    pub(super) fn first_new_reading(self) -> i64 {
        self.start + self.before.map_or(self.offset, |before| before.max(self.offset))
    }

    fn from(zone: Tz, start: i64) -> Self {
        let offset = offset_at(zone, start);
        let mut end = start + LOOK_AHEAD;
        if offset_at(zone, end) != offset {
            let mut same = start;
            while end - same > 1 {
                let middle = same + (end - same) / 2;
                if offset_at(zone, middle) == offset { same = middle } else { end = middle }
            }
        }
        Self { start, end, offset, before: None }
    }
}

fn offset_at(zone: Tz, instant: i64) -> i64 {
    DateTime::from_timestamp(instant, 0)
        .map_or(0, |utc| zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc().into())
}
