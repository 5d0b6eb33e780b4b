//! The table for `create = true`: made once, where there is none, from the first rows that come. A column takes what all
//! those rows have in its field: whole numbers, decimals of every digit, true and false, and text for all else. Nothing
//! is read out of a text's look: a code of digits stays a text, and so does a date. What comes later never changes it.

use super::cell::Digits;
use super::failure::failure;
use super::session::Session;
use super::table::{quote, quote_table};
use crate::connection::Dialect;
use crate::transfer::{Class, Failure};
use serde_json::{Map, Value};

/// The digits after the point that MySQL's decimals get at least.
const MYSQL_SCALE: usize = 10;
/// Numbers with more digits than this on one side of the point become texts.
const MOST_DIGITS: usize = 30;

/// Creates the table.
///
/// # Errors
/// When the rows lack a field of the key, or the database refuses.
pub(super) async fn table(
    session: &mut Session,
    name: &str,
    upsert_by: &[String],
    rows: &[Map<String, Value>],
) -> Result<(), Failure> {
    let sql = statement(session.connection.dialect(), name, upsert_by, rows)?;
    let limit = session.statement_timeout();
    Session::within(limit, session.connection.run(&sql))
        .await?
        .map_err(|error| failure(error, &format!("table `{name}` could not be created")))?;
    tracing::info!(table = name, "created the table: {sql}");
    Ok(())
}

fn statement(
    dialect: Dialect,
    name: &str,
    upsert_by: &[String],
    rows: &[Map<String, Value>],
) -> Result<String, Failure> {
    let mut columns: Vec<(&str, Shape)> = Vec::new();
    for (field, value) in rows.iter().flatten() {
        // Names that differ in case only are one column to most databases.
        match columns.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(field)) {
            Some((_, shape)) => *shape = shape.with(value),
            None => columns.push((field, Shape::Unknown.with(value))),
        }
    }
    let mut key = Vec::new();
    for wanted in upsert_by {
        let found = columns.iter().find(|(field, _)| field.eq_ignore_ascii_case(wanted));
        let Some((field, _)) = found else {
            let problem = format!(
                "table `{name}` can't be created: the first records have no `{wanted}`, which `upsert-by` names"
            );
            return Err(Failure::new(Class::Config, problem));
        };
        key.push(*field);
    }
    let mut lines: Vec<String> = columns
        .iter()
        .map(|(field, shape)| {
            let is_key = key.contains(field);
            let not_null = if is_key { " not null" } else { "" };
            format!("{} {}{not_null}", quote(dialect, field), shape.declared(dialect, is_key))
        })
        .collect();
    let key: Vec<_> = key.iter().map(|field| quote(dialect, field)).collect();
    lines.push(format!("primary key ({})", key.join(", ")));
    let options = if dialect == Dialect::Mysql { " engine = InnoDB character set utf8mb4" } else { "" };
    let table = quote_table(dialect, name);
    Ok(format!("create table if not exists {table} ({}){options}", lines.join(", ")))
}

/// What all values of a field so far have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Only nulls.
    Unknown,
    Bool,
    Whole,
    /// With so many digits after the point at most.
    Decimal(usize),
    Text,
}

impl Shape {
    fn with(self, value: &Value) -> Self {
        let other = match value {
            Value::Null => return self,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Whole,
            Value::Number(number) => match Digits::of(number.as_str()).map(|digits| digits.sides()) {
                Some((whole, fraction)) if whole.max(fraction) <= MOST_DIGITS => Self::Decimal(fraction),
                _ => Self::Text,
            },
            Value::String(_) | Value::Array(_) | Value::Object(_) => Self::Text,
        };
        match (self, other) {
            (Self::Unknown, other) => other,
            (one, other) if one == other => one,
            (Self::Decimal(one), Self::Decimal(other)) => Self::Decimal(one.max(other)),
            (Self::Decimal(scale), Self::Whole) | (Self::Whole, Self::Decimal(scale)) => Self::Decimal(scale),
            _ => Self::Text,
        }
    }

    fn declared(self, dialect: Dialect, is_key: bool) -> String {
        match (dialect, self) {
            (_, Self::Whole) => "bigint".to_owned(),
            (_, Self::Bool) => "boolean".to_owned(),
            (Dialect::Postgres, Self::Decimal(_)) => "numeric".to_owned(),
            (Dialect::Mysql, Self::Decimal(scale)) if !is_key => {
                format!("decimal(65, {})", scale.max(MYSQL_SCALE))
            }
            // MySQL indexes no text without a length, and takes `a` and `A` for the same unless told otherwise.
            (Dialect::Mysql, _) if is_key => "varchar(255) collate utf8mb4_bin".to_owned(),
            (Dialect::Mysql, _) => "longtext".to_owned(),
            // SQLite's own decimals are floats.
            _ => "text".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_take_what_all_first_rows_have() {
        let rows = [
            r#"{"id":"A-1","n":1,"price":12.5,"flag":true,"mixed":1,"nothing":null,"lines":[1],"big":18446744073709551615}"#,
            r#"{"ID":"A-2","n":-7,"price":3,"flag":null,"mixed":"x","extra":0.123456789012}"#,
        ];
        let rows: Vec<Map<String, Value>> =
            rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let statements = [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql]
            .map(|dialect| statement(dialect, "own.t", &["id".to_owned(), "n".to_owned()], &rows).unwrap());
        insta::assert_snapshot!(statements.join("\n"), @r#"
        create table if not exists "own"."t" ("id" text not null, "n" bigint not null, "price" text, "flag" boolean, "mixed" text, "nothing" text, "lines" text, "big" text, "extra" text, primary key ("id", "n"))
        create table if not exists "own"."t" ("id" text not null, "n" bigint not null, "price" numeric, "flag" boolean, "mixed" text, "nothing" text, "lines" text, "big" numeric, "extra" numeric, primary key ("id", "n"))
        create table if not exists `own`.`t` (`id` varchar(255) collate utf8mb4_bin not null, `n` bigint not null, `price` decimal(65, 10), `flag` boolean, `mixed` longtext, `nothing` longtext, `lines` longtext, `big` decimal(65, 10), `extra` decimal(65, 12), primary key (`id`, `n`)) engine = InnoDB character set utf8mb4
        "#);
        let refused = statement(Dialect::Sqlite, "t", &["number".to_owned()], &rows).unwrap_err();
        assert_eq!(
            refused.message,
            "table `t` can't be created: the first records have no `number`, which `upsert-by` names"
        );
    }
}
