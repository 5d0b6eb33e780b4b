//! From readings to slots: the zone rules.
//!
//! A walk goes along the zone's stretches in the order of time, never along the local calendar: inside a stretch
//! readings and instants run in step, and what a clock change does happens at a stretch's first instant. So the
//! slots come out increasing, and a walk may start anywhere, in the middle of an overlap too.

use super::cron::Rhythm;
use super::readings::{DAY, FIRST_DAY, LAST_DAY, Readings};
use super::timetable::Rules;
use super::zone::{REACH, Stretch};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use std::sync::Arc;

/// The slots of a timetable between two instants; see [`Timetable::slots`](super::Timetable::slots).
#[derive(Debug, Clone)]
pub struct Slots {
    rules: Arc<Rules>,
    walks: Vec<Walk>,
    until: i64,
}

impl Slots {
    pub(super) fn new(rules: Arc<Rules>, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let from = first_second(from).max((FIRST_DAY - 2) * DAY);
        let until = first_second(until).min((LAST_DAY + 2) * DAY);
        let stretch = Stretch::around(rules.spec.zone, from.min(until));
        let start = Walk { at: from, stretch, slot: None };
        let mut walks = Vec::new();
        for readings in rules.readings() {
            let mut walk = start;
            walk.slot = walk.advance(rules.spec.zone, readings, until);
            walks.push(walk);
        }
        Self { rules, walks, until }
    }
}

impl Iterator for Slots {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        let slot = self.walks.iter().filter_map(|walk| walk.slot).min()?;
        for (walk, readings) in self.walks.iter_mut().zip(self.rules.readings()) {
            if walk.slot == Some(slot) {
                walk.slot = walk.advance(self.rules.spec.zone, readings, self.until);
            }
        }
        DateTime::from_timestamp(slot, 0)
    }
}

/// The first whole second at or after an instant.
fn first_second(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() + i64::from(instant.timestamp_subsec_nanos() > 0)
}

/// How far the slots of one beat were found.
#[derive(Debug, Clone, Copy)]
struct Walk {
    /// The next instant to look at.
    at: i64,
    stretch: Stretch,
    /// The slot found last, not yet given out.
    slot: Option<i64>,
}

impl Walk {
    /// The first slot at or after where the walk stands; it then stands behind that slot.
    fn advance(&mut self, zone: Tz, readings: Readings<'_>, until: i64) -> Option<i64> {
        while self.at < until {
            if self.at >= self.stretch.end {
                self.stretch = self.stretch.next(zone);
            }
            if let Some(slot) = self.here(readings) {
                self.at = slot + 1;
                return (slot < until).then_some(slot);
            }
            self.at = self.stretch.end;
            // Nothing can be due before the next reading comes within reach, whatever the clock does until
            // then: a yearly job needn't walk the year. Readings a little back count too, for a clock that is
            // set back repeats them.
            let reading = readings.next(self.at + self.stretch.offset - REACH)?;
            if reading - REACH > self.at {
                self.at = reading - REACH;
                self.stretch = Stretch::around(zone, self.at);
            }
        }
        None
    }

    /// The first slot left in this stretch.
    fn here(&self, readings: Readings<'_>) -> Option<i64> {
        let Stretch { start, end, offset, .. } = self.stretch;
        let mut reading = self.at + offset;
        if readings.beat.rhythm() == Rhythm::Fixed {
            if self.at == start && self.stretch.gap().is_some_and(|gap| names_one_of(readings, gap)) {
                return Some(start);
            }
            reading = reading.max(self.stretch.first_new_reading());
        }
        readings.next(reading).map(|reading| reading - offset).filter(|slot| *slot < end)
    }
}

/// Whether a reading inside the gap is named, on a date that has another reading outside it: a date that is
/// missing altogether has no slots.
fn names_one_of(readings: Readings<'_>, gap: std::ops::Range<i64>) -> bool {
    let mut from = gap.start;
    while let Some(reading) = readings.next(from).filter(|reading| gap.contains(reading)) {
        let midnight = reading.div_euclid(DAY) * DAY;
        if midnight < gap.start || gap.end < midnight + DAY {
            return true;
        }
        from = midnight + DAY;
    }
    false
}
