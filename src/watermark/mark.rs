//! A watermark as it is kept and as people read it: an instant, or an id. The two are told apart by their JSON, so that a
//! job whose configuration changed from one to the other is noticed instead of reading from 1970.

use super::Cursor;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::fmt;

/// How far a job has read its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Up to this instant: a JSON number of milliseconds since 1970.
    At(Cursor),
    /// Up to this id: its digits as JSON text.
    Id(i64),
}

/// A watermark that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no watermark: write an instant such as 2026-03-29T03:00:00+02:00, or the id of a feed")]
pub struct BadMark(String);

impl Mark {
    /// Reads what a person typed: RFC 3339 with any offset, or an id.
    pub fn from_text(text: &str) -> Result<Self, BadMark> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Self::At(Cursor::at(instant.with_timezone(&Utc))))
            .map_err(|_| BadMark(text.to_owned()))
    }

    /// Reads what was kept.
    pub fn from_value(value: &Value) -> Result<Self, BadMark> {
        let id = || value.as_str().and_then(|text| text.parse().ok()).map(Self::Id);
        let at = value.as_i64().map(|millis| Self::At(Cursor(millis)));
        at.or_else(id).ok_or_else(|| BadMark(value.to_string()))
    }

    /// The cursor it stands for.
    #[must_use]
    pub fn cursor(self) -> Cursor {
        match self {
            Self::At(cursor) => cursor,
            Self::Id(id) => Cursor(id),
        }
    }

    /// What is kept.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::At(cursor) => cursor.0.into(),
            Self::Id(id) => id.to_string().into(),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::At(cursor) => match cursor.instant() {
                Some(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                None => write!(f, "{} ms", cursor.0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_and_an_id_come_back_as_what_they_were() {
        for (text, shown) in [
            ("2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00.5Z", "2026-03-29T01:00:00.500Z"),
            ("1774746000000", "1774746000000"),
            (" 17 ", "17"),
        ] {
            let mark = Mark::from_text(text).unwrap();
            assert_eq!(mark.to_string(), shown);
            assert_eq!(Mark::from_value(&mark.to_value()), Ok(mark), "{text}");
        }
        assert!(Mark::from_text("yesterday").is_err());
        assert!(Mark::from_value(&Value::Null).is_err());
    }
}
