//! JSON values as what a column takes. Nothing is rounded on the way: a number goes over as an integer or as its own
//! text, and where a column could not keep its digits, the record is refused.

use crate::connection::Dialect;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::Value;
use serde_json::value::RawValue;

/// A value as it is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What matters of a column's type to what is bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything the rules below don't name.
    Plain,
    /// Numbers, of a database that keeps their digits.
    Number,
    /// SQLite's INTEGER and NUMERIC affinities: 64-bit integers, or floats.
    IntegerOrFloat,
    /// SQLite's REAL affinity.
    Float,
    /// Bytes, base64 in JSON.
    Bytes,
    /// JSON documents.
    Json,
    /// MySQL's DATETIME and TIMESTAMP, which take no zone in a text: they get UTC, the session's zone.
    Instant,
}

/// The value for a column of this kind, as [`cell`] makes it, straight from the text of the JSON where it says it all.
pub(super) fn raw_cell(dialect: Dialect, kind: Kind, raw: &RawValue) -> Result<Cell, String> {
    let text = raw.get();
    let wrong = |error: serde_json::Error| error.to_string();
    match (kind, text.as_bytes().first()) {
        (Kind::Plain, Some(b'"')) => Ok(Cell::Text(serde_json::from_str(text).map_err(wrong)?)),
        (Kind::Plain | Kind::Json, Some(b'{' | b'[')) if is_plain(text) => Ok(Cell::Text(text.to_owned())),
        _ => cell(dialect, kind, &serde_json::from_str(text).map_err(wrong)?),
    }
}

/// Whether writing the parsed JSON would give this text again: no white space between its parts, nothing escaped.
fn is_plain(text: &str) -> bool {
    let mut in_text = false;
    text.bytes().all(|byte| {
        in_text ^= byte == b'"';
        byte != b'\\' && (in_text || !byte.is_ascii_whitespace())
    })
}

/// The value for a column of this kind, or why it does not fit.
pub(super) fn cell(dialect: Dialect, kind: Kind, value: &Value) -> Result<Cell, String> {
    let cell = match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (Kind::Json, value) => Cell::Text(value.to_string()),
        (Kind::Number, Value::Bool(value)) => Cell::Integer(i64::from(*value)),
        (_, Value::Bool(value)) if dialect == Dialect::Postgres => Cell::Text(value.to_string()),
        (_, Value::Bool(value)) => Cell::Integer(i64::from(*value)),
        (Kind::IntegerOrFloat | Kind::Float, Value::Number(number)) => native_number(kind, number.as_str())?,
        // SQLite would turn the text into a number by itself, and round it.
        (Kind::IntegerOrFloat | Kind::Float, Value::String(text)) if Digits::of(text).is_some() => {
            native_number(kind, text)?
        }
        (_, Value::Number(number)) => {
            let text = number.as_str();
            text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Integer)
        }
        (Kind::Bytes, Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Cell::Bytes(bytes),
            Err(_) => return Err("it holds bytes, and the value is not base64".to_owned()),
        },
        (Kind::Instant, Value::String(text)) => match DateTime::parse_from_rfc3339(text) {
            Ok(instant) => Cell::Text(instant.naive_utc().format("%Y-%m-%d %H:%M:%S%.f").to_string()),
            Err(_) => Cell::Text(text.clone()),
        },
        (_, Value::String(text)) => Cell::Text(text.clone()),
        (_, Value::Array(_) | Value::Object(_)) => Cell::Text(value.to_string()),
    };
    Ok(match (dialect, cell) {
        // PostgreSQL takes every value as text and casts it in the statement: exact, and one prepared statement for all.
        (Dialect::Postgres, Cell::Integer(number)) => Cell::Text(number.to_string()),
        (Dialect::Postgres, Cell::Bytes(bytes)) => Cell::Text(STANDARD.encode(bytes)),
        (_, cell) => cell,
    })
}

/// A number for SQLite, which has integers of 64 bits and floats, and rounds without a word.
fn native_number(kind: Kind, text: &str) -> Result<Cell, String> {
    if kind == Kind::IntegerOrFloat
        && let Ok(integer) = text.parse()
    {
        return Ok(Cell::Integer(integer));
    }
    match text.parse::<f64>() {
        Ok(float) if Digits::of(&format!("{float:e}")) == Digits::of(text) => Ok(Cell::Float(float)),
        _ => Err(format!("it would round {text}; declare it TEXT to keep every digit")),
    }
}

/// A decimal number without its notation: `12.50`, `12.5` and `125e-1` are equal.
#[derive(Debug, PartialEq, Eq)]
struct Digits {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Digits {
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_end_matches('0');
        let exponent = exponent.parse::<i64>().ok()?;
        let shift =
            i64::try_from(all.len() - significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent: exponent.checked_add(shift)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_equal_when_the_numbers_are() {
        for (one, other) in
            [("12.50", "125e-1"), ("0", "-0.00"), ("+007", "7"), ("1e3", "1000"), (".5", "0.5")]
        {
            assert_eq!(Digits::of(one), Digits::of(other), "{one} {other}");
            assert!(Digits::of(one).is_some(), "{one}");
        }
        assert_ne!(Digits::of("1"), Digits::of("-1"));
        for text in ["", ".", "A-17", "1 2", "0x1f", "1e", "inf", "NaN"] {
            assert_eq!(Digits::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_sqlite_would_round_is_refused_and_no_other() {
        for exact in ["0.1", "12.50", "0.30000000000000004", "1e300"] {
            assert!(native_number(Kind::IntegerOrFloat, exact).is_ok(), "{exact}");
        }
        for rounded in ["12345678901234567890.10", "9223372036854775809", "0.1234567890123456789"] {
            assert!(native_number(Kind::IntegerOrFloat, rounded).is_err(), "{rounded}");
        }
        assert_eq!(
            native_number(Kind::IntegerOrFloat, "9007199254740993"),
            Ok(Cell::Integer(9_007_199_254_740_993))
        );
        assert!(native_number(Kind::Float, "9007199254740993").is_err());
    }

    #[test]
    fn a_cell_is_the_same_whether_the_json_was_parsed_or_not() {
        let texts = [
            r#""Zaragoza \u00e9\n""#,
            "\"plain\"",
            r#"{"a":[1,2.50,"x y"],"b":null}"#,
            r#"{ "a" : "b" }"#,
            r#"["tab\there","q\"uote"]"#,
            "[]",
            "1.10",
            "-7",
            "true",
            "null",
        ];
        let kinds = [Kind::Plain, Kind::Number, Kind::IntegerOrFloat, Kind::Float, Kind::Json, Kind::Instant];
        for (text, kind) in texts.into_iter().flat_map(|text| kinds.map(|kind| (text, kind))) {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let value: Value = serde_json::from_str(text).unwrap();
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
                let parsed = cell(dialect, kind, &value);
                assert_eq!(raw_cell(dialect, kind, &raw), parsed, "{text} {kind:?} {dialect:?}");
            }
        }
    }

    #[test]
    fn a_zoned_time_reaches_a_zoneless_mysql_column_as_utc() {
        let value = Value::from("2026-03-29T03:00:00.250+02:00");
        let expected = Cell::Text("2026-03-29 01:00:00.250".to_owned());
        assert_eq!(cell(Dialect::Mysql, Kind::Instant, &value), Ok(expected));
        let local = Value::from("2026-03-29 03:00:00");
        assert_eq!(
            cell(Dialect::Mysql, Kind::Instant, &local),
            Ok(Cell::Text("2026-03-29 03:00:00".to_owned()))
        );
    }
}
