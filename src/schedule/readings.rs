//! The local calendar on its own, without a zone: which readings of the wall clock a rule names, in order.
//!
//! A reading is a number: the seconds from 1970-01-01 00:00:00 on the same local calendar. It becomes an instant
//! only in `slots`, where the zone comes in. The calendar goes from year 1 to year 9999, the dates that RFC 3339
//! can write.

use super::cron::{CronExpr, Rhythm};
use super::every::Every;
use super::except::{DateRange, last_day_off};
use super::window::Window;
use chrono::{Datelike, NaiveDate};

/// Seconds of a calendar day.
pub(super) const DAY: i64 = 24 * 60 * 60;

/// The days from 0001-01-01 to 1970-01-01.
const EPOCH_FROM_CE: i64 = 719_163;

/// 0001-01-01 and 9999-12-31, as days from 1970-01-01.
pub(super) const FIRST_DAY: i64 = 1 - EPOCH_FROM_CE;
pub(super) const LAST_DAY: i64 = 3_652_059 - EPOCH_FROM_CE;

/// A date as days from 1970-01-01.
pub(super) fn day_number(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - EPOCH_FROM_CE
}

fn date_of(day: i64) -> Option<NaiveDate> {
    i32::try_from(day + EPOCH_FROM_CE).ok().and_then(NaiveDate::from_num_days_from_ce_opt)
}

/// What names the readings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beat<'a> {
    Cron(&'a CronExpr),
    Every(Every),
}

impl Beat<'_> {
    pub(super) fn rhythm(self) -> Rhythm {
        match self {
            Self::Cron(cron) => cron.rhythm(),
            Self::Every(_) => Rhythm::Interval,
        }
    }

    fn next_time(self, second: u32) -> Option<u32> {
        match self {
            Self::Cron(cron) => cron.next_time(second),
            Self::Every(every) => every.next_time(second),
        }
    }

    fn days_to_candidate(self, date: NaiveDate) -> i64 {
        match self {
            Self::Cron(cron) => cron.days_to_candidate(date),
            Self::Every(_) => 0,
        }
    }
}

/// The readings one beat names, less those outside the window and on days off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readings<'a> {
    pub(super) beat: Beat<'a>,
    pub(super) between: Option<Window>,
    /// In order, as [`super::except::in_order`] leaves them.
    pub(super) except: &'a [DateRange],
}

impl Readings<'_> {
    /// The first reading at or after `reading`.
    pub(super) fn next(self, reading: i64) -> Option<i64> {
        let from = reading.div_euclid(DAY);
        let day = self.next_day(from)?;
        if day == from
            && let Ok(second) = u32::try_from(reading.rem_euclid(DAY))
            && let Some(second) = self.next_time(second)
        {
            return Some(day * DAY + i64::from(second));
        }
        let day = if day == from { self.next_day(from + 1)? } else { day };
        Some(day * DAY + i64::from(self.next_time(0)?))
    }

    /// The first second of a day at or after `second`.
    pub(super) fn next_time(self, mut second: u32) -> Option<u32> {
        loop {
            let named = self.beat.next_time(second)?;
            let Some(window) = self.between else { return Some(named) };
            second = window.next_within(named)?;
            if second == named {
                return Some(named);
            }
        }
    }

    /// The first day at or after `day`, days off left out.
    pub(super) fn next_day(self, day: i64) -> Option<i64> {
        let mut day = day.max(FIRST_DAY);
        while day <= LAST_DAY {
            let date = date_of(day)?;
            let ahead = self.beat.days_to_candidate(date);
            if ahead > 0 {
                day += ahead;
            } else if let Some(last) = last_day_off(self.except, date) {
                day = last + 1;
            } else {
                return Some(day);
            }
        }
        None
    }
}
