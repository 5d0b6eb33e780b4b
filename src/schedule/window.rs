//! `between = "08:00-20:00"`: the part of the local day in which slots count.

use chrono::{NaiveTime, Timelike};
use std::fmt;

/// A part of the local day, both ends included: 20:00 means 20:00:00. A window whose end is before its start
/// goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: u32,
    to: u32,
}

/// A window that isn't one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a part of the day: write two times of a 24-hour clock with a hyphen, such as `08:00-20:00` or `22:00-05:59:59`"
)]
pub struct BadWindow(String);

impl Window {
    /// Reads `HH:MM-HH:MM`; each time may have seconds.
    pub fn new(text: &str) -> Result<Self, BadWindow> {
        text.split_once('-')
            .and_then(|(from, to)| Some(Self { from: second_of_day(from)?, to: second_of_day(to)? }))
            .ok_or_else(|| BadWindow(text.to_owned()))
    }

    /// The first second of the day at or after `second` that lies inside.
    pub(super) fn next_within(self, second: u32) -> Option<u32> {
        if self.from <= self.to {
            (second <= self.to).then_some(second.max(self.from))
        } else if second <= self.to {
            Some(second)
        } else {
            Some(second.max(self.from))
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", clock_text(self.from), clock_text(self.to))
    }
}

fn second_of_day(text: &str) -> Option<u32> {
    let text = text.trim();
    let time =
        ["%H:%M", "%H:%M:%S"].into_iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())?;
    // chrono reads `:60` as a leap second; no local day of ours has one.
    (time.nanosecond() < 1_000_000_000).then_some(time.num_seconds_from_midnight())
}

fn clock_text(second: u32) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}
