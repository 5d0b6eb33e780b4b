//! Cron expressions: six fields, seconds first, or five without them, or a nickname such as `@daily`.
//!
//! The grammar is checked here, entry by entry, so that an error can point at the characters that are wrong;
//! croner then expands the fields and knows which dates `L`, `W` and `#` mean. What a zone does to the readings
//! is left to `slots`.

mod grammar;

use chrono::{Datelike, NaiveDate};
use croner::parser::{CronParser, Seconds, Year};
use croner::{CronComponent, CronPattern, Weekday};
use std::fmt;
use std::sync::Arc;

/// A cron expression that can be due. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronExpr(Arc<Expr>);

#[derive(Debug, PartialEq, Eq)]
struct Expr {
    text: String,
    rhythm: Rhythm,
    pattern: CronPattern,
    // The same fields as croner's, as bits: a slot costs a few shifts instead of a walk through vectors.
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
}

/// How an expression meets a clock change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rhythm {
    /// It keeps elapsing: slots in both passes of an overlap, none inside a gap. Has a `*`, a range or a step in
    /// second, minute or hour.
    Interval,
    /// Times of the day: once in an overlap, at the first pass; one inside a gap comes right after it.
    Fixed,
}

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronField {
    /// Not one field but the whole.
    Expression,
    /// 0-59.
    Second,
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// 1-31.
    DayOfMonth,
    /// 1-12 or names.
    Month,
    /// 0-7 or names; 0 and 7 are both Sunday.
    DayOfWeek,
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expression => "expression",
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        })
    }
}

/// An expression that isn't one, or that could never be due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}, character {}: {reason}", .offset + 1)]
pub struct BadCron {
    /// The field that is wrong.
    pub field: CronField,
    /// Where the wrong part starts in the expression, in characters, from 0.
    pub offset: usize,
    /// How many characters it has.
    pub length: usize,
    /// What is wrong and what to write instead.
    pub reason: String,
}

impl CronExpr {
    /// Reads an expression. Names are case-insensitive, lists, ranges, steps (`5/10` too), `L`, `LW`, `15W`,
    /// `5L` and `MON#2` are those of the Open Cron Pattern Specification; ranges don't wrap. Day-of-month and
    /// day-of-week both given means either. Refuses what can never be due, such as 30 February.
    pub fn new(text: &str) -> Result<Self, BadCron> {
        let read = grammar::read(text)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        let whole = |reason: String| BadCron {
            field: CronField::Expression,
            offset: 0,
            length: text.chars().count(),
            reason,
        };
        let pattern = parser.parse(&read.canonical).map_err(|error| whole(error.to_string()))?.pattern;
        let expr = Expr {
            text: text.trim().to_owned(),
            rhythm: read.rhythm,
            seconds: bits(&pattern.seconds),
            minutes: bits(&pattern.minutes),
            hours: bits(&pattern.hours),
            months: bits(&pattern.months),
            pattern,
        };
        if !expr.has_dates() {
            let (offset, length) = read.day_of_month;
            let reason = "no such date ever comes in the months given, so it would never be due".to_owned();
            return Err(BadCron { field: CronField::DayOfMonth, offset, length, reason });
        }
        Ok(Self(Arc::new(expr)))
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// How it meets a clock change.
    #[must_use]
    pub fn rhythm(&self) -> Rhythm {
        self.0.rhythm
    }

    /// The first second of the day at or after `second` that it names.
    pub(super) fn next_time(&self, second: u32) -> Option<u32> {
        let Expr { seconds, minutes, hours, .. } = *self.0;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let first = |bits: u64| bits.trailing_zeros();
        let time = |hour: u32, minute: u32, second: u32| hour * 3600 + minute * 60 + second;
        if hours >> hour & 1 == 1 {
            if minutes >> minute & 1 == 1
                && let Some(second) = next_bit(seconds, second)
            {
                return Some(time(hour, minute, second));
            }
            if let Some(minute) = next_bit(minutes, minute + 1) {
                return Some(time(hour, minute, first(seconds)));
            }
        }
        next_bit(hours, hour + 1).map(|hour| time(hour, first(minutes), first(seconds)))
    }

    /// 0 if it names times of this date, else how many days ahead the next date is that is worth a look.
    pub(super) fn days_to_candidate(&self, date: NaiveDate) -> i64 {
        self.0.days_to_candidate(date)
    }
}

impl Expr {
    fn days_to_candidate(&self, date: NaiveDate) -> i64 {
        let (month, day) = (date.month(), date.day());
        if self.months >> month & 1 == 0 {
            // Every month has a 28th, so this leaps over most of a month and never over the next one's first.
            return i64::from(28_u32.saturating_sub(day).max(1));
        }
        let weekday = Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
        // croner refuses dates that don't exist; this one does.
        let matches = self.pattern.day_match(date.year(), month, day, weekday).unwrap_or(false);
        i64::from(!matches)
    }

    /// Whether a date ever comes: 28 years in a row have every kind of year, by length and first weekday.
    fn has_dates(&self) -> bool {
        let start = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
        let mut days = start.iter_days().take(28 * 366);
        days.any(|date| self.days_to_candidate(date) == 0)
    }
}

fn bits(component: &CronComponent) -> u64 {
    component.values().into_iter().fold(0, |bits, value| bits | 1 << value)
}

/// The lowest bit set at or above `from`.
fn next_bit(bits: u64, from: u32) -> Option<u32> {
    let above = bits.checked_shr(from)?;
    (above != 0).then(|| from + above.trailing_zeros())
}
