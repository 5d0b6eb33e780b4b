//! Cursors: points in a platform's time, and how a platform writes them. The surprising case first: where the format
//! has no zone, the repeated hour of autumn makes two instants read the same, so a lower bound is sent as the smallest
//! local reading of any instant from it on, be it still to come, and an ambiguous reading is taken as the earlier
//! instant. Both err towards reading twice; neither can lose a row.

use chrono::{
    DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A point in a platform's order of change: milliseconds since 1970-01-01T00:00:00Z, or an id where the platform counts
/// instead ([`CursorFormat::Integer`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub i64);

impl Cursor {
    /// The cursor of an instant; what is below a millisecond is cut off.
    #[must_use]
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_millis())
    }

    /// The instant, if a calendar can show it.
    #[must_use]
    pub fn instant(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }

    /// This much earlier: milliseconds, or ids.
    #[must_use]
    pub fn minus(self, distance: i64) -> Self {
        Self(self.0.saturating_sub(distance))
    }
}

/// How a cursor is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorFormat {
    /// A strftime pattern read in a zone: `%Y-%m-%d %H:%M:%S` in Europe/Madrid.
    Local {
        /// The pattern.
        pattern: String,
        /// The zone the platform writes local times in.
        timezone: Tz,
    },
    /// RFC 3339, with an offset.
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A number that rises with every change and is no time: nothing here is compared with a clock.
    Integer,
}

impl CursorFormat {
    /// The lower bound to ask for so that no instant from `low` on is left out, rounded down to what the format can say.
    /// Instants still to come count: a row may be dated ahead into the hour that autumn repeats, where it reads earlier
    /// than now.
    #[must_use]
    pub fn write_low(&self, low: Cursor) -> String {
        match (self, low.instant()) {
            (Self::Local { pattern, timezone }, Some(instant)) => {
                smallest_reading(instant, *timezone).format(pattern).to_string()
            }
            _ => self.write(low),
        }
    }

    fn write(&self, cursor: Cursor) -> String {
        match (self, cursor.instant()) {
            (Self::EpochSeconds, _) => cursor.0.div_euclid(1000).to_string(),
            (Self::Rfc3339, Some(instant)) => instant.to_rfc3339_opts(SecondsFormat::Secs, true),
            (Self::Local { pattern, timezone }, Some(instant)) => {
                instant.with_timezone(timezone).format(pattern).to_string()
            }
            _ => cursor.0.to_string(),
        }
    }

    /// The upper bound to ask for so that no instant before `high` is left out, rounded up to what the format can say.
    #[must_use]
    pub fn write_high(&self, high: Cursor) -> String {
        let of = |instant: DateTime<Utc>| match self {
            Self::Local { pattern, timezone } => {
                largest_reading(instant, *timezone).format(pattern).to_string()
            }
            _ => self.write(Cursor::at(instant)),
        };
        let Some(instant) = high.instant().filter(|_| *self != Self::Integer) else {
            return high.0.to_string();
        };
        // A platform that dates by the day is asked for the whole of the last one.
        let rounded = [0, 1, 60, 3600, 86_400].map(|seconds| of(instant + TimeDelta::seconds(seconds)));
        let is_enough = |text: &&String| self.read_text(text).is_none_or(|cursor| cursor >= high);
        rounded.iter().find(is_enough).unwrap_or(&rounded[4]).clone()
    }

    /// The smallest cursor that is written like this one. A platform that dates by the day changes rows all day long
    /// under one cursor.
    #[must_use]
    pub fn floor(&self, cursor: Cursor) -> Cursor {
        self.read_text(&self.write(cursor)).map_or(cursor, |floor| floor.min(cursor))
    }

    /// The smallest cursor that asking from `low` brings.
    #[must_use]
    pub fn lowest(&self, low: Cursor) -> Cursor {
        self.read_text(&self.write_low(low)).map_or(low, |lowest| lowest.min(low))
    }

    /// Reads a cursor as the platform wrote it. Besides its own format, ISO 8601 with or without an offset is
    /// understood, since platforms mix them. `None` where it can't be read.
    #[must_use]
    pub fn read(&self, value: &Value) -> Option<Cursor> {
        let text = match value {
            Value::String(text) => text.trim(),
            Value::Number(number) => return self.read_text(&number.to_string()),
            _ => return None,
        };
        self.read_text(text)
    }

    /// Reads a cursor from text; see [`CursorFormat::read`].
    #[must_use]
    pub fn read_text(&self, text: &str) -> Option<Cursor> {
        match self {
            Self::EpochMillis | Self::Integer => text.parse().ok().map(Cursor),
            Self::EpochSeconds => text.parse::<i64>().ok()?.checked_mul(1000).map(Cursor),
            Self::Rfc3339 => iso(text, Tz::UTC),
            Self::Local { pattern, timezone } => match parse_naive(text, pattern) {
                Some(reading) => Some(Cursor::at(earliest(reading, *timezone))),
                None => iso(text, *timezone),
            },
        }
    }
}

fn parse_naive(text: &str, pattern: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, pattern).ok().or_else(|| {
        let date = NaiveDate::parse_from_str(text, pattern).ok()?;
        Some(date.and_time(NaiveTime::MIN))
    })
}

/// ISO 8601; a text without an offset is read in `timezone`.
fn iso(text: &str, timezone: Tz) -> Option<Cursor> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(Cursor::at(instant.with_timezone(&Utc)));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d"]
        .iter()
        .find_map(|pattern| parse_naive(text, pattern))
        .map(|reading| Cursor::at(earliest(reading, timezone)))
}

/// The earlier instant of an ambiguous reading; for a reading inside a gap, the instant it would be by the offset
/// after the gap, which is the earlier of the two one could mean.
fn earliest(reading: NaiveDateTime, timezone: Tz) -> DateTime<Utc> {
    if let Some(instant) = timezone.from_local_datetime(&reading).earliest() {
        return instant.with_timezone(&Utc);
    }
    let offset_at = |naive: NaiveDateTime| timezone.offset_from_utc_datetime(&naive).fix().local_minus_utc();
    let day = TimeDelta::days(1);
    let widest = offset_at(reading - day).max(offset_at(reading + day));
    (reading - TimeDelta::seconds(i64::from(widest))).and_utc()
}

const QUARTER: i64 = 15 * 60;

/// The smallest local reading of any instant from `low` on. Readings only fall when clocks are set back, by less than a
/// day, at whole quarters of an hour.
fn smallest_reading(low: DateTime<Utc>, timezone: Tz) -> NaiveDateTime {
    let first = (low.timestamp().div_euclid(QUARTER) + 1) * QUARTER;
    let readings = readings(low, first, low + TimeDelta::hours(26), timezone);
    readings.min().unwrap_or_else(|| low.naive_utc())
}

/// The largest local reading of any instant up to `high`: the last one before clocks were set back, if that is later.
fn largest_reading(high: DateTime<Utc>, timezone: Tz) -> NaiveDateTime {
    let from = high - TimeDelta::hours(26);
    let first = (from.timestamp().div_euclid(QUARTER) + 1) * QUARTER;
    // Clocks are set back at a quarter: the second before it has the largest reading.
    let before = readings(high, first - 1, high, timezone);
    before.max().unwrap_or_else(|| high.naive_utc())
}

/// How `instant` reads, and each quarter of an hour from the second `first` on.
fn readings(
    instant: DateTime<Utc>,
    first: i64,
    until: DateTime<Utc>,
    timezone: Tz,
) -> impl Iterator<Item = NaiveDateTime> {
    let step = usize::try_from(QUARTER).unwrap_or(usize::MAX);
    let quarters = (first..=until.timestamp()).step_by(step);
    let instants = quarters.filter_map(|second| DateTime::from_timestamp(second, 0)).chain([instant]);
    instants.map(move |instant| instant.with_timezone(&timezone).naive_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn madrid() -> CursorFormat {
        CursorFormat::Local { pattern: "%Y-%m-%d %H:%M:%S".to_owned(), timezone: chrono_tz::Europe::Madrid }
    }

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn the_repeated_hour_of_autumn_loses_nothing() {
        // At 03:00 summer time clocks go back to 02:00: a later instant may read 02:00, be it still to come.
        for (low, asked) in [
            ("2026-10-24T23:59:59Z", "2026-10-25 01:59:59"),
            ("2026-10-25T00:30:00Z", "2026-10-25 02:00:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25 02:30:00"),
        ] {
            assert_eq!(madrid().write_low(Cursor::at(utc(low))), asked, "{low}");
        }
        let low = Cursor::at(utc("2026-10-25T00:30:00Z"));
        // What is brought is also remembered; the clock itself is read as it stands.
        assert_eq!(madrid().lowest(low), Cursor::at(utc("2026-10-25T00:00:00Z")));
        assert_eq!(madrid().floor(low), low);
        assert_eq!(madrid().read_text("2026-10-25 02:30:00"), Some(low));
    }

    #[test]
    fn an_upper_bound_leaves_nothing_out_either() {
        // What was written at 02:50 before clocks were set back is older than what reads 02:10 after it.
        let second_pass = Cursor::at(utc("2026-10-25T01:10:00Z"));
        assert_eq!(madrid().write_high(second_pass), "2026-10-25 03:10:00");
        assert_eq!(madrid().write_high(Cursor::at(utc("2026-10-25T00:30:00Z"))), "2026-10-25 02:30:00");
        assert_eq!(madrid().write_high(Cursor::at(utc("2026-10-25T12:00:00.5Z"))), "2026-10-25 13:00:01");
        let date = CursorFormat::Local { pattern: "%Y-%m-%d".to_owned(), timezone: Tz::UTC };
        assert_eq!(date.write_high(Cursor::at(utc("2026-03-02T11:20:05Z"))), "2026-03-03");
        assert_eq!(date.write_high(Cursor::at(utc("2026-03-02T00:00:00Z"))), "2026-03-02");
        assert_eq!(CursorFormat::EpochSeconds.write_high(Cursor(1_001)), "2");
        assert_eq!(CursorFormat::Rfc3339.write_high(Cursor(1_001)), "1970-01-01T00:00:02Z");
        assert_eq!(CursorFormat::EpochMillis.write_high(Cursor(1_001)), "1001");
    }

    #[test]
    fn a_reading_inside_the_spring_gap_is_taken_as_the_earlier_instant() {
        assert_eq!(madrid().read_text("2026-03-29 02:30:00"), Some(Cursor::at(utc("2026-03-29T00:30:00Z"))));
    }

    #[test]
    fn a_lower_bound_is_rounded_down() {
        let low = Cursor::at(utc("2026-03-02T11:20:05.900Z"));
        assert_eq!(madrid().write_low(low), "2026-03-02 12:20:05");
        assert_eq!(CursorFormat::EpochSeconds.write_low(low), low.0.div_euclid(1000).to_string());
        assert_eq!(CursorFormat::Rfc3339.write_low(low), "2026-03-02T11:20:05Z");
        let date = CursorFormat::Local { pattern: "%Y-%m-%d".to_owned(), timezone: Tz::UTC };
        assert_eq!(date.write_low(low), "2026-03-02");
    }

    #[test]
    fn a_format_without_a_time_of_day_reads_the_whole_day_again() {
        let date =
            CursorFormat::Local { pattern: "%Y-%m-%d".to_owned(), timezone: chrono_tz::Europe::Madrid };
        let noon = Cursor::at(utc("2026-03-02T12:00:00Z"));
        assert_eq!(date.floor(noon), Cursor::at(utc("2026-03-01T23:00:00Z")));
        assert_eq!(date.lowest(noon), date.floor(noon));
        assert_eq!(date.read_text("2026-03-02"), Some(date.floor(noon)));
        assert_eq!(madrid().floor(Cursor(noon.0 + 999)), noon);
        assert_eq!(CursorFormat::Integer.floor(Cursor(17)), Cursor(17));
        // The second pass of the repeated hour reads as the first.
        let second_pass = Cursor::at(utc("2026-10-25T01:30:00Z"));
        assert_eq!(madrid().floor(second_pass), Cursor::at(utc("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn mixed_forms_of_one_platform_are_read() {
        let expected = Some(Cursor::at(utc("2026-03-02T10:20:05Z")));
        for text in [
            "2026-03-02 11:20:05",
            "2026-03-02T11:20:05",
            "2026-03-02T10:20:05Z",
            "2026-03-02T11:20:05+01:00",
        ] {
            assert_eq!(madrid().read_text(text), expected, "{text}");
        }
        assert_eq!(madrid().read_text("yesterday"), None);
        assert_eq!(CursorFormat::EpochSeconds.read(&serde_json::json!(12)), Some(Cursor(12_000)));
    }
}
