//! Dates and times in a map: read in one format and zone, written in another. A time without a zone is never taken for
//! UTC by itself: the rule says which zone it is in, or the row is rejected. The surprising case: a local time that
//! comes twice in autumn is taken as the earlier one, one that is left out in spring is refused.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde_json::{Number, Value};
use std::fmt::Write as _;

/// How a date or time is read and written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MomentRule {
    /// How the source writes it; without one, ISO 8601 is read.
    pub from: Option<MomentFormat>,
    /// The zone of what the source writes without one.
    pub from_zone: Option<Tz>,
    /// How the record has it; without one, ISO 8601 is written: a date as `2026-03-29`, a time as
    /// `2026-03-29T01:00:00Z`.
    pub to: Option<MomentFormat>,
    /// The zone it is written in; UTC without one.
    pub to_zone: Option<Tz>,
}

/// A way to write a date or a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MomentFormat {
    /// RFC 3339, with an offset.
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A strftime pattern.
    Pattern {
        /// The pattern.
        pattern: String,
        /// Whether it has a place for the offset.
        has_offset: bool,
    },
}

impl MomentRule {
    /// A time; the error says what is wrong with it.
    pub(super) fn timestamp(&self, text: &str) -> Result<Value, String> {
        let instant = self.instant(text)?;
        let zone = self.to_zone.unwrap_or(Tz::UTC);
        let local = instant.with_timezone(&zone);
        Ok(match &self.to {
            None | Some(MomentFormat::Rfc3339) => {
                Value::String(local.to_rfc3339_opts(SecondsFormat::AutoSi, self.to_zone.is_none()))
            }
            Some(MomentFormat::EpochSeconds) => Value::Number(Number::from(instant.timestamp())),
            Some(MomentFormat::EpochMillis) => Value::Number(Number::from(instant.timestamp_millis())),
            Some(MomentFormat::Pattern { pattern, .. }) => written(local.format(pattern))?,
        })
    }

    /// A date. A time with an offset has a date only in a zone.
    pub(super) fn date(&self, text: &str) -> Result<Value, String> {
        let date = self.day(text)?;
        match &self.to {
            Some(MomentFormat::Pattern { pattern, .. }) => written(date.format(pattern)),
            _ => Ok(Value::String(date.format("%Y-%m-%d").to_string())),
        }
    }

    fn day(&self, text: &str) -> Result<NaiveDate, String> {
        let in_zone = |instant: DateTime<Utc>| match self.to_zone {
            Some(zone) => Ok(instant.with_timezone(&zone).date_naive()),
            None => {
                Err("a time with an offset, whose date depends on the zone: add `to-timezone`".to_owned())
            }
        };
        match &self.from {
            None => {
                if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
                    return Ok(date);
                }
                if let Some(local) = iso_local(text) {
                    return Ok(local.date());
                }
                let instant = DateTime::parse_from_rfc3339(text).map_err(|_| "not a date".to_owned())?;
                in_zone(instant.with_timezone(&Utc))
            }
            Some(MomentFormat::Pattern { pattern, has_offset: false }) => {
                NaiveDate::parse_from_str(text, pattern)
                    .map_err(|_| format!("not a date as `{pattern}` has it"))
            }
            Some(_) => in_zone(self.instant(text)?),
        }
    }

    fn instant(&self, text: &str) -> Result<DateTime<Utc>, String> {
        let epoch = || text.parse::<i64>().map_err(|_| "not a whole number, as an epoch is".to_owned());
        let outside = || "outside of every calendar".to_owned();
        match &self.from {
            None => match DateTime::parse_from_rfc3339(text) {
                Ok(instant) => Ok(instant.with_timezone(&Utc)),
                Err(_) => self.in_zone(iso_local(text).ok_or("not a time")?),
            },
            Some(MomentFormat::Rfc3339) => DateTime::parse_from_rfc3339(text)
                .map(|instant| instant.with_timezone(&Utc))
                .map_err(|_| "not a time with an offset, as RFC 3339 has it".to_owned()),
            Some(MomentFormat::EpochSeconds) => DateTime::from_timestamp(epoch()?, 0).ok_or_else(outside),
            Some(MomentFormat::EpochMillis) => DateTime::from_timestamp_millis(epoch()?).ok_or_else(outside),
            Some(MomentFormat::Pattern { pattern, has_offset }) => {
                let strange = || format!("not a time as `{pattern}` has it");
                if *has_offset {
                    let instant = DateTime::parse_from_str(text, pattern).map_err(|_| strange())?;
                    return Ok(instant.with_timezone(&Utc));
                }
                let local = NaiveDateTime::parse_from_str(text, pattern).or_else(|_| {
                    NaiveDate::parse_from_str(text, pattern).map(|date| date.and_time(NaiveTime::MIN))
                });
                self.in_zone(local.map_err(|_| strange())?)
            }
        }
    }

    fn in_zone(&self, local: NaiveDateTime) -> Result<DateTime<Utc>, String> {
        let zone = self.from_zone.ok_or("a time without a zone: say which one with `from-timezone`")?;
        let instant = zone.from_local_datetime(&local).earliest();
        let instant = instant.ok_or_else(|| format!("a time that the clocks in {zone} leave out"))?;
        Ok(instant.with_timezone(&Utc))
    }
}

/// ISO 8601 without an offset; a date alone is its first moment.
fn iso_local(text: &str) -> Option<NaiveDateTime> {
    let patterns = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let time = patterns.iter().find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok());
    time.or_else(|| Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN)))
}

/// A pattern that asks a date for its hour has no answer.
fn written(moment: impl std::fmt::Display) -> Result<Value, String> {
    let mut text = String::new();
    match write!(text, "{moment}") {
        Ok(()) => Ok(Value::String(text)),
        Err(_) => Err("not enough for what `to-format` asks for".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Europe::{Madrid, Warsaw};

    fn pattern(pattern: &str) -> Option<MomentFormat> {
        Some(MomentFormat::Pattern { pattern: pattern.to_owned(), has_offset: pattern.contains("%z") })
    }

    fn shown(made: Result<Value, String>) -> String {
        match made {
            Ok(Value::String(text)) => text,
            Ok(other) => other.to_string(),
            Err(reason) => format!("error: {reason}"),
        }
    }

    #[test]
    fn times_are_read_in_one_zone_and_written_in_another() {
        let iso = MomentRule::default();
        let warsaw = MomentRule { from_zone: Some(Warsaw), ..MomentRule::default() };
        let out = |to: Option<MomentFormat>, to_zone| MomentRule { to, to_zone, ..warsaw.clone() };
        let polish = MomentRule { from: pattern("%d.%m.%Y %H:%M"), ..warsaw.clone() };
        let offset = MomentRule { from: pattern("%Y%m%dT%H%M%S%z"), ..MomentRule::default() };
        let epoch = MomentRule { from: Some(MomentFormat::EpochMillis), ..MomentRule::default() };
        for (rule, text, expected) in [
            (&iso, "2026-03-29T03:00:00.250+02:00", "2026-03-29T01:00:00.250Z"),
            (&iso, "2026-03-29 03:00:00", "error: a time without a zone: say which one with `from-timezone`"),
            (&iso, "yesterday", "error: not a time"),
            (&warsaw, "2026-01-15 12:00:00", "2026-01-15T11:00:00Z"),
            (&warsaw, "2026-07-15T12:00:00Z", "2026-07-15T12:00:00Z"),
            (&warsaw, "2026-07-15", "2026-07-14T22:00:00Z"),
            // Twice: the first time. Never: refused.
            (&warsaw, "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
            (&warsaw, "2026-03-29 02:30:00", "error: a time that the clocks in Europe/Warsaw leave out"),
            (&out(None, Some(Madrid)), "2026-07-15 12:00:00", "2026-07-15T12:00:00+02:00"),
            (&out(pattern("%d/%m/%Y %H:%M"), Some(Tz::UTC)), "2026-07-15 12:00:00", "15/07/2026 10:00"),
            (&out(Some(MomentFormat::EpochSeconds), None), "1970-01-02 01:00:00", "86400"),
            (&out(Some(MomentFormat::EpochMillis), None), "1970-01-02 01:00:00", "86400000"),
            (&polish, "15.01.2026 12:00", "2026-01-15T11:00:00Z"),
            (&polish, "2026-01-15 12:00", "error: not a time as `%d.%m.%Y %H:%M` has it"),
            (&offset, "20260115T120000+0100", "2026-01-15T11:00:00Z"),
            (&epoch, "86400000", "1970-01-02T00:00:00Z"),
            (&epoch, "soon", "error: not a whole number, as an epoch is"),
        ] {
            assert_eq!(shown(rule.timestamp(text)), expected, "{text} by {rule:?}");
        }
    }

    #[test]
    fn a_date_is_the_one_written_and_of_an_instant_the_one_in_the_zone() {
        let iso = MomentRule::default();
        let polish = MomentRule { from: pattern("%d.%m.%Y"), to: pattern("%Y%m%d"), ..MomentRule::default() };
        let zoned = MomentRule { to_zone: Some(Warsaw), ..MomentRule::default() };
        let hours = MomentRule { to: pattern("%H:%M"), ..MomentRule::default() };
        for (rule, text, expected) in [
            (&iso, "2026-03-29", "2026-03-29"),
            (&iso, "2026-03-29T23:30:00", "2026-03-29"),
            (&iso, "2026-02-30", "error: not a date"),
            (
                &iso,
                "2026-03-29T23:30:00Z",
                "error: a time with an offset, whose date depends on the zone: add `to-timezone`",
            ),
            (&zoned, "2026-03-29T23:30:00Z", "2026-03-30"),
            (&polish, "29.03.2026", "20260329"),
            (&polish, "2026-03-29", "error: not a date as `%d.%m.%Y` has it"),
            (&hours, "2026-03-29", "error: not enough for what `to-format` asks for"),
        ] {
            assert_eq!(shown(rule.date(text)), expected, "{text} by {rule:?}");
        }
    }
}
