//! `except = ["2026-12-25", "2026-12-24..2027-01-01"]`: local dates without slots, such as holidays.

use super::readings::day_number;
use chrono::NaiveDate;
use std::fmt;

/// One or several local dates in a row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateRange {
    first: NaiveDate,
    last: NaiveDate,
}

/// A range of dates that isn't one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDateRange {
    /// Not dates at all.
    #[error("`{0}` is not a date or a range of dates: write `2026-12-25` or `2026-12-24..2027-01-01`")]
    NotDates(String),
    /// It ends before it starts.
    #[error("`{0}` ends before it starts; both its ends are included, the earlier one comes first")]
    Backwards(String),
}

impl DateRange {
    /// Reads `2026-12-25` or `2026-12-24..2027-01-01`.
    pub fn new(text: &str) -> Result<Self, BadDateRange> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let date = |text: &str| text.trim().parse::<NaiveDate>();
        match (date(first), date(last)) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            (Ok(_), Ok(_)) => Err(BadDateRange::Backwards(text.to_owned())),
            _ => Err(BadDateRange::NotDates(text.to_owned())),
        }
    }

    /// The range and `next`, which starts no earlier, as one, if there is no date between them.
    fn joined(self, next: Self) -> Option<Self> {
        (next.first <= self.last.succ_opt().unwrap_or(self.last))
            .then_some(Self { first: self.first, last: self.last.max(next.last) })
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last > self.first {
            write!(f, "..{}", self.last)?;
        }
        Ok(())
    }
}

/// The ranges in order, those that touch made one, so that a binary search finds the one a date is in.
pub(super) fn in_order(mut ranges: Vec<DateRange>) -> Vec<DateRange> {
    ranges.sort_unstable();
    let mut ordered: Vec<DateRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match ordered.last_mut() {
            Some(last) if last.joined(range).is_some() => *last = last.joined(range).unwrap_or(*last),
            _ => ordered.push(range),
        }
    }
    ordered
}

/// The number of the last day of the range among `ordered` that holds `date`.
pub(super) fn last_day_off(ordered: &[DateRange], date: NaiveDate) -> Option<i64> {
    let before = ordered.partition_point(|range| range.first <= date);
    let range = ordered.get(before.checked_sub(1)?)?;
    (date <= range.last).then(|| day_number(range.last))
}
