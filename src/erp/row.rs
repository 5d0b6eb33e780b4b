//! Rows of a query as JSON objects, in the query's column order, with exact types: integers stay integers, decimals
//! keep their digits, a REAL is its shortest text that reads back the same. Dates and times are ISO 8601 texts, with
//! `Z` where the type knows its zone. Bytes are base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, MySql, Row as _, Type, TypeInfo, ValueRef};

/// A row of a query.
pub(super) struct Row {
    pub(super) columns: Map<String, Value>,
    /// Why a column is null here and not in the database: JSON has no form for its value.
    pub(super) problem: Option<String>,
}

/// A row of SQLite, by what is stored: declared types are only hints there, so that a `BOOLEAN` is 0 or 1.
pub(super) fn sqlite(row: &SqliteRow) -> Row {
    each_column(row, |i| {
        let value = row.try_get_raw(i)?;
        let stored = value.type_info().name().to_owned();
        Ok(match stored.as_str() {
            _ if value.is_null() => Some(Value::Null),
            "INTEGER" => Some(Value::from(row.try_get_unchecked::<i64, _>(i)?)),
            "REAL" => Number::from_f64(row.try_get_unchecked(i)?).map(Value::Number),
            "TEXT" => text(row.try_get_unchecked(i)?),
            _ => Some(bytes(row.try_get_unchecked(i)?)),
        })
    })
}

/// A row of PostgreSQL in the text protocol.
pub(super) fn postgres(row: &PgRow) -> Row {
    each_column(row, |i| {
        let value = row.try_get_raw(i)?;
        if value.is_null() {
            return Ok(Some(Value::Null));
        }
        let kind = value.type_info().name().to_owned();
        let written = value.as_str().map_err(sqlx::Error::Decode)?;
        Ok(match kind.as_str() {
            "BOOL" => Some(Value::Bool(written == "t")),
            "INT2" | "INT4" | "INT8" | "OID" | "NUMERIC" | "FLOAT4" | "FLOAT8" => number(written),
            "JSON" | "JSONB" => serde_json::from_str(written).ok(),
            "TIMESTAMP" => Some(Value::String(written.replacen(' ', "T", 1))),
            "TIMESTAMPTZ" => Some(Value::String(utc(written))),
            "BYTEA" => written.strip_prefix("\\x").and_then(unhex).map(|found| bytes(&found)),
            _ => Some(Value::String(written.to_owned())),
        })
    })
}

/// A row of MySQL or MariaDB in the text protocol.
pub(super) fn mysql(row: &MySqlRow) -> Row {
    each_column(row, |i| {
        let value = row.try_get_raw(i)?;
        if value.is_null() {
            return Ok(Some(Value::Null));
        }
        let type_info = value.type_info();
        let found: &[u8] = row.try_get_unchecked(i)?;
        let written = || std::str::from_utf8(found).ok();
        Ok(match type_info.name() {
            // A TINYINT(1) may hold other numbers too.
            "BOOLEAN" if found == b"0" || found == b"1" => Some(Value::Bool(found == b"1")),
            "BIT" => Some(Value::from(found.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)))),
            "DATE" | "DATETIME" | "TIMESTAMP" if found.starts_with(b"0000-00-00") => Some(Value::Null),
            "DATETIME" => written().map(|text| Value::String(text.replacen(' ', "T", 1))),
            "TIMESTAMP" => written().map(|text| Value::String(text.replacen(' ', "T", 1) + "Z")),
            "JSON" => serde_json::from_slice(found).ok(),
            "DECIMAL" | "FLOAT" | "DOUBLE" | "YEAR" | "BOOLEAN" => written().and_then(number),
            name if name.contains("INT") => written().and_then(number),
            "DATE" | "TIME" | "SET" | "ENUM" => text(found),
            // A text of a `_bin` collation looks like bytes by its flags, but not by its collation.
            _ if <str as Type<MySql>>::compatible(&type_info) => text(found),
            _ => Some(bytes(found)),
        })
    })
}

/// The first column of a row that a prepared statement returned: PostgreSQL's binary protocol, in which only some types
/// are read here.
pub(super) fn returned_by_postgres(row: &PgRow) -> sqlx::Result<Option<String>> {
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok(None);
    }
    let kind = value.type_info().name().to_owned();
    Ok(Some(match kind.as_str() {
        "INT2" => row.try_get::<i16, _>(0)?.to_string(),
        "INT4" => row.try_get::<i32, _>(0)?.to_string(),
        "INT8" => row.try_get::<i64, _>(0)?.to_string(),
        "UUID" => uuid(value.as_bytes().map_err(sqlx::Error::Decode)?),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" => row.try_get_unchecked(0)?,
        _ => {
            let problem = format!("the statement returns an id of type {kind}; return it as text: `::text`");
            return Err(sqlx::Error::ColumnDecode { index: "0".to_owned(), source: problem.into() });
        }
    }))
}

/// The same of MySQL or MariaDB, whose binary protocol has texts for all but numbers and times.
pub(super) fn returned_by_mysql(row: &MySqlRow) -> sqlx::Result<Option<String>> {
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok(None);
    }
    let kind = value.type_info().name().to_owned();
    Ok(Some(match kind.as_str() {
        "BIGINT UNSIGNED" => row.try_get_unchecked::<u64, _>(0)?.to_string(),
        name if name.contains("INT") => row.try_get_unchecked::<i64, _>(0)?.to_string(),
        "CHAR" | "VARCHAR" | "TEXT" | "DECIMAL" => row.try_get_unchecked(0)?,
        _ => {
            let problem =
                format!("the statement returns an id of type {kind}; return it as text: `cast(… as char)`");
            return Err(sqlx::Error::ColumnDecode { index: "0".to_owned(), source: problem.into() });
        }
    }))
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
    }
    text
}

fn each_column<R: sqlx::Row>(row: &R, value: impl Fn(usize) -> sqlx::Result<Option<Value>>) -> Row {
    let mut columns = Map::with_capacity(row.len());
    let mut problem = None;
    for column in row.columns() {
        let name = column.name();
        let found = value(column.ordinal()).unwrap_or_else(|error| {
            problem = Some(format!("column `{name}`: {error}"));
            Some(Value::Null)
        });
        let found = found.unwrap_or_else(|| {
            problem = Some(format!("column `{name}` holds a value that JSON has no form for"));
            Value::Null
        });
        columns.insert(name.to_owned(), found);
    }
    Row { columns, problem }
}

fn text(found: &[u8]) -> Option<Value> {
    std::str::from_utf8(found).ok().map(Value::from)
}

fn bytes(found: &[u8]) -> Value {
    Value::String(STANDARD.encode(found))
}

/// A number as written; leading zeros (ZEROFILL) go, as JSON has none. NaN and the infinities are no numbers.
fn number(written: &str) -> Option<Value> {
    let digits = written.trim_start_matches('0');
    let digits = if digits.starts_with(|c: char| c.is_ascii_digit()) {
        digits.to_owned()
    } else {
        format!("0{digits}")
    };
    let digits = if written.starts_with('0') { &digits } else { written };
    serde_json::from_str(digits).ok().map(Value::Number)
}

/// `2026-03-29 01:00:00.5+00` as RFC 3339. The session's zone is UTC; what is no plain date (`infinity`) stays.
fn utc(written: &str) -> String {
    match written.strip_suffix("+00") {
        Some(reading) => reading.replacen(' ', "T", 1) + "Z",
        None => written.to_owned(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_text_and_loses_only_leading_zeros() {
        for (written, expected) in [
            ("0", "0"),
            ("000", "0"),
            ("00042", "42"),
            ("0.10", "0.10"),
            ("-0.50", "-0.50"),
            ("1e+20", "1e+20"),
        ] {
            assert_eq!(number(written).unwrap().to_string(), expected);
        }
        for written in ["NaN", "Infinity", "-inf", ""] {
            assert_eq!(number(written), None, "{written}");
        }
    }

    #[test]
    fn a_time_with_a_zone_is_rfc_3339_and_infinity_stays() {
        assert_eq!(utc("2026-03-29 01:00:00.5+00"), "2026-03-29T01:00:00.5Z");
        assert_eq!(utc("infinity"), "infinity");
        assert_eq!(unhex("00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(unhex("0g"), None);
    }
}
