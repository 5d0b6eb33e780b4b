//! Asks a database what a map looks up. The values stand in the query as quoted literals: as such a database takes them
//! for whatever type the other side of the comparison has, and answers in the same protocol, and so with the same types,
//! as the queries that are read. The quoting below leaves no character a meaning.

use super::Database;
use super::database::Access;
use super::failure::failure;
use super::session::{Connection, Session};
use crate::connection::Dialect;
use crate::job::map::{LookupSource, plain_text};
use crate::transfer::{Class, Failure};
use futures_util::TryStreamExt;
use serde_json::Value;
use std::fmt::Write as _;

/// A lookup that finds more rows than this is not a lookup.
const ROWS: usize = 10_000;

/// The rows that a lookup finds by a key.
pub(super) async fn ask(
    session: &mut Session,
    source: &LookupSource,
    key: &[Value],
) -> Result<Vec<Value>, Failure> {
    let dialect = session.connection.dialect();
    let sql = match source {
        LookupSource::Sql(sql) => filled(sql, key, dialect)
            .map_err(|problem| Failure::new(Class::Config, format!("the lookup {problem}")))?,
        LookupSource::Links(job) => {
            let key: Vec<String> = key.iter().map(plain_text).collect();
            let key = [Value::from(job.as_str()), Value::from(key.join("\u{1f}"))];
            let column = if dialect == Dialect::Mysql { "`key`" } else { "\"key\"" };
            filled(&format!("select id from cadenced_links where job = ? and {column} = ?"), &key, dialect)
                .unwrap_or_default()
        }
        LookupSource::Saved(_) => {
            return Err(Failure::new(Class::Config, "what platforms have given is in no database"));
        }
    };
    let limit = session.statement_timeout();
    let read = read(&mut session.connection, &sql);
    Session::within(limit, read).await?
}

/// A session for lookups.
pub(super) async fn open(database: &Database) -> Result<Session, Failure> {
    database.connect(Access::Read).await
}

async fn read(connection: &mut Connection, sql: &str) -> Result<Vec<Value>, Failure> {
    let refused = |error| failure(error, "a lookup could not be made");
    let mut found = Vec::new();
    let mut rows = connection.rows(sql);
    while let Some(row) = rows.try_next().await.map_err(refused)? {
        if let Some(problem) = row.problem {
            return Err(Failure::new(Class::Config, format!("a lookup found what it can't use: {problem}")));
        }
        if found.len() == ROWS {
            return Err(Failure::new(Class::Config, format!("a lookup found more than {ROWS} rows")));
        }
        found.push(Value::Object(row.columns));
    }
    Ok(found)
}

/// The query with its `?` outside of quotes and comments replaced by these values.
fn filled(sql: &str, key: &[Value], dialect: Dialect) -> Result<String, String> {
    let mut text = String::with_capacity(sql.len() + 64);
    let mut values = key.iter();
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '\'' | '"' | '`' => rest[1..].find(next).map_or(rest.len(), |end| end + 2),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '?' => {
                let value = values.next().ok_or("has more `?` than `by` has fields")?;
                text.push_str(&literal(value, dialect));
                rest = &rest[1..];
                continue;
            }
            other => other.len_utf8(),
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    if values.next().is_some() { Err("has fewer `?` than `by` has fields".to_owned()) } else { Ok(text) }
}

/// A value as SQL has it. PostgreSQL and MySQL make of a quoted text what they compare it with; SQLite only where that is
/// a column, so that its numbers are numbers. No database has texts with a NUL inside: what follows it is cut.
fn literal(value: &Value, dialect: Dialect) -> String {
    let whole = plain_text(value);
    let text = whole.split('\0').next().unwrap_or_default();
    match dialect {
        Dialect::Sqlite if value.is_number() => text.to_owned(),
        Dialect::Sqlite => format!("'{}'", text.replace('\'', "''")),
        // Read the same whether or not the server lets backslashes escape in plain quotes.
        Dialect::Postgres => format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        Dialect::Mysql if text.is_empty() => "''".to_owned(),
        Dialect::Mysql => {
            let mut hex = String::with_capacity(text.len() * 2);
            for byte in text.bytes() {
                let _ = write!(hex, "{byte:02x}");
            }
            format!("_utf8mb4 x'{hex}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_stand_where_the_question_marks_do_and_mean_nothing_else() {
        let key = [json!("O'Hara\\"), serde_json::from_str("0.10").unwrap()];
        let sql = "select id, '?' from t where name = ? and price = ? -- ?";
        for (dialect, expected) in [
            (Dialect::Sqlite, r"select id, '?' from t where name = 'O''Hara\' and price = 0.10 -- ?"),
            (Dialect::Postgres, r"select id, '?' from t where name = E'O''Hara\\' and price = E'0.10' -- ?"),
            (
                Dialect::Mysql,
                "select id, '?' from t where name = _utf8mb4 x'4f27486172615c' and price = _utf8mb4 x'302e3130' -- ?",
            ),
        ] {
            assert_eq!(filled(sql, &key, dialect).unwrap(), expected);
        }
        assert_eq!(literal(&json!("a\0' or 1=1"), Dialect::Sqlite), "'a'");
        assert!(filled("select ?", &[], Dialect::Sqlite).unwrap_err().starts_with("has more"));
        assert!(filled("select 1", &key, Dialect::Sqlite).unwrap_err().starts_with("has fewer"));
    }
}
