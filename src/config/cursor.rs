//! How a platform writes its cursors, and where a first run starts.

use super::document::{Node, Value};
use super::units::{self, Wrong};
use crate::job::{Cursor, CursorFormat};
use chrono::format::{Fixed, Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

/// `rfc3339`, `epoch-seconds`, `epoch-millis`, `integer`, or a strftime pattern read in `zone`.
pub(super) fn format(node: &Node, zone: Option<Tz>) -> Result<CursorFormat, Wrong> {
    let words = [
        ("rfc3339", CursorFormat::Rfc3339),
        ("epoch-seconds", CursorFormat::EpochSeconds),
        ("epoch-millis", CursorFormat::EpochMillis),
        ("integer", CursorFormat::Integer),
    ];
    let text = units::text(node)?;
    if let Some((_, format)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(format.clone());
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(text).collect();
    if !text.contains('%') || items.contains(&Item::Error) {
        let help =
            "write rfc3339, epoch-seconds, epoch-millis, integer, or a pattern such as \"%Y-%m-%d %H:%M:%S\"";
        return Err(Wrong::new(format!("`{text}` is not a format of times")).help(Some(help.to_owned())));
    }
    let is_offset = |item: &Item<'_>| {
        use Fixed::{
            RFC2822, RFC3339, TimezoneName, TimezoneOffset, TimezoneOffsetColon, TimezoneOffsetColonZ,
        };
        use Fixed::{TimezoneOffsetDoubleColon, TimezoneOffsetTripleColon, TimezoneOffsetZ};
        matches!(
            item,
            Item::Fixed(
                TimezoneName
                    | TimezoneOffset
                    | TimezoneOffsetColon
                    | TimezoneOffsetColonZ
                    | TimezoneOffsetZ
                    | TimezoneOffsetDoubleColon
                    | TimezoneOffsetTripleColon
                    | RFC2822
                    | RFC3339
            )
        )
    };
    if items.iter().any(is_offset) {
        let help = "where the times carry an offset, write format = \"rfc3339\"";
        return Err(Wrong::new("a pattern is of local times, without an offset").help(Some(help.to_owned())));
    }
    let timezone = zone.ok_or_else(|| {
        Wrong::new("a pattern is of local times, and no zone is given")
            .help(Some("add the zone the platform writes in: timezone = \"Europe/Madrid\"".to_owned()))
    })?;
    Ok(CursorFormat::Local { pattern: text.to_owned(), timezone })
}

/// Where the first run starts, written as the platform would.
pub(super) fn start(node: &Node, format: &CursorFormat) -> Result<Cursor, Wrong> {
    let text = match &node.value {
        Value::Text(text) | Value::Datetime(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => units::words(node)?,
    };
    let epoch = |unit: i64| text.parse::<i64>().ok().and_then(|number| number.checked_mul(unit));
    let (millis, written) = match format {
        CursorFormat::EpochMillis => (epoch(1), "a number of milliseconds"),
        CursorFormat::Integer => (epoch(1), "a whole number"),
        CursorFormat::EpochSeconds => (epoch(1_000), "a number of seconds"),
        CursorFormat::Rfc3339 => {
            let instant = DateTime::parse_from_rfc3339(&text).ok();
            (instant.map(|instant| instant.timestamp_millis()), "written as 1999-01-01T00:00:00Z")
        }
        CursorFormat::Local { pattern, timezone } => {
            let local = NaiveDateTime::parse_from_str(&text, pattern).ok().or_else(|| {
                NaiveDate::parse_from_str(&text, pattern).ok().map(|date| date.and_time(NaiveTime::MIN))
            });
            let instant = local.and_then(|local| timezone.from_local_datetime(&local).earliest());
            (instant.map(|instant| instant.timestamp_millis()), "a local time as `format` writes it")
        }
    };
    millis.map(Cursor).ok_or_else(|| Wrong::new(format!("`{text}` is not {written}")))
}
