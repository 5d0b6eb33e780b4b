//! A statement of the integrator's own, run once for each record: an insert, an update, a call of a procedure. `:field`
//! stands for a field of the record, each as a bound parameter; `:cadenced_id` for the id that the ERP gave the record
//! when it was created, null before. What a statement returns first is that id (`links`).
//!
//! PostgreSQL is asked which types it expects and gets them, so that no cast has to be written. Other databases get whole
//! numbers as such and all else as text.

use super::cell::{Cell, Kind, cell};
use super::failure::failure;
use super::links::Link;
use super::session::Session;
use super::table::kind;
use crate::connection::Dialect;
use crate::job::map::{find, plain_text};
use crate::transfer::{Class, Failure};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The parameter that is no field: the id the record has in the ERP.
const ID: &str = "cadenced_id";

/// A statement that the database has accepted.
pub(super) struct Statement {
    dialect: Dialect,
    sql: Arc<str>,
    parameters: Vec<Parameter>,
    key: Vec<String>,
    /// Whether it may return, or take, an id.
    pub(super) keeps_links: bool,
    /// Whether it returns one, as the database, or its text, says before it is run.
    pub(super) returns: bool,
}

/// The statement with the values of one record.
pub(super) struct Call {
    pub(super) sql: Arc<str>,
    pub(super) cells: Vec<Cell>,
    /// The id that the ERP gives the record, where it gives one.
    pub(super) link: Option<Link>,
}

struct Parameter {
    field: String,
    kind: Kind,
}

impl Statement {
    /// Has the database prepare the statement.
    ///
    /// # Errors
    /// What the database has against it.
    pub(super) async fn prepare(session: &mut Session, text: &str, key: &[String]) -> Result<Self, Failure> {
        let limit = session.statement_timeout();
        let connection = &mut session.connection;
        let dialect = connection.dialect();
        let pieces = Pieces::of(text, dialect);
        let prepare = async {
            let plain =
                pieces.sql(|n| if dialect == Dialect::Postgres { format!("${n}") } else { "?".into() });
            let types = connection.parameter_types(&plain).await?;
            // A text that was prepared keeps the types it was prepared with: what is run later must be another one.
            let returns =
                connection.columns(&plain).await?.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
            let sql = match dialect {
                Dialect::Postgres => pieces.sql(|n| cast(types.get(n - 1).map_or("TEXT", String::as_str), n)),
                _ => plain,
            };
            Ok((sql, types, returns))
        };
        let (sql, types, returns) = Session::within(limit, prepare)
            .await?
            .map_err(|error| failure(error, "the statement was refused"))?;
        let parameters = pieces.fields.iter().enumerate().map(|(at, field)| {
            let kind = types.get(at).map_or(Kind::Plain, |name| kind(dialect, name, None));
            Parameter { field: (*field).to_owned(), kind }
        });
        // MySQL knows what a procedure returns only once it has run, and MariaDB the same of `returning`.
        let mut words =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let calls = words.next().is_some_and(|word| word.eq_ignore_ascii_case("call"));
        let returns = !returns.is_empty()
            || dialect == Dialect::Mysql && words.any(|word| word.eq_ignore_ascii_case("returning"));
        let keeps_links = returns || calls || pieces.fields.contains(&ID);
        if keeps_links && key.is_empty() {
            return Err(Failure::new(Class::Config, "a statement that returns an id needs a `key`"));
        }
        Ok(Self {
            dialect,
            sql: sql.into(),
            parameters: parameters.collect(),
            key: key.to_vec(),
            keeps_links,
            returns,
        })
    }

    /// The fields of a record that it takes.
    pub(super) fn takes(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| parameter.field.as_str()).filter(|field| *field != ID)
    }

    /// The statement for one record, or why there can't be one for it.
    pub(super) fn call(&self, job: &str, fields: &Map<String, Value>) -> Result<Call, String> {
        let mut cells = Vec::with_capacity(self.parameters.len());
        let mut takes_id = Vec::new();
        for (at, Parameter { field, kind }) in self.parameters.iter().enumerate() {
            if field == ID {
                takes_id.push(at);
                cells.push(Cell::Null);
                continue;
            }
            let value = find(fields, field)
                .ok_or_else(|| format!("the statement takes `:{field}`, which the record doesn't have"))?;
            cells.push(cell(self.dialect, *kind, value).map_err(|reason| format!("`:{field}`: {reason}"))?);
        }
        let link = if self.keeps_links {
            let value = |field: &String| match find(fields, field) {
                None | Some(Value::Null) => {
                    Err(format!("the record has no value for `{field}`, which `key` names"))
                }
                Some(value) => Ok(plain_text(value)),
            };
            let key = self.key.iter().map(value).collect::<Result<Vec<_>, _>>()?.join("\u{1f}");
            Some(Link { job: job.to_owned(), key, takes_id })
        } else {
            None
        };
        Ok(Call { sql: Arc::clone(&self.sql), cells, link })
    }
}

/// How PostgreSQL makes parameter `n` of a text. Types of a length of their own (`char`, `bit`) are named so that they
/// have none: a cast to one character would cut silently.
fn cast(kind: &str, n: usize) -> String {
    match kind {
        "BYTEA" => format!("decode(${n}, 'base64')"),
        "TIMESTAMP" => format!("${n}::timestamptz::timestamp"),
        "CHAR" => format!("${n}::bpchar"),
        "BIT" => format!("${n}::varbit"),
        "UNKNOWN" => format!("${n}::text"),
        kind => format!("${n}::{kind}"),
    }
}

/// A statement's text, taken apart where fields go. There is one more text than there are fields.
#[derive(Debug, PartialEq, Eq)]
struct Pieces<'a> {
    texts: Vec<&'a str>,
    fields: Vec<&'a str>,
}

impl<'a> Pieces<'a> {
    /// Finds `:field` outside of quotes and comments. A cast (`::int`) and an assignment (`:=`) are none.
    fn of(text: &'a str, dialect: Dialect) -> Self {
        let mut pieces = Self { texts: Vec::new(), fields: Vec::new() };
        let (mut from, mut at) = (0, 0);
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            let skipped = match next {
                '\'' | '"' | '`' => quoted(rest, next, dialect),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                '#' if dialect == Dialect::Mysql => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
                '$' if dialect == Dialect::Postgres => dollar_quoted(rest),
                ':' if rest.starts_with("::") => 2,
                ':' => {
                    let field = field_name(&rest[1..]);
                    if !field.is_empty() {
                        pieces.texts.push(&text[from..at]);
                        pieces.fields.push(field);
                        from = at + 1 + field.len();
                    }
                    1 + field.len()
                }
                other => other.len_utf8(),
            };
            at += skipped;
        }
        pieces.texts.push(&text[from..]);
        pieces
    }

    /// The text with `parameter(n)` for the field of number `n`, counted from 1.
    fn sql(&self, parameter: impl Fn(usize) -> String) -> String {
        let mut sql = String::new();
        for (at, text) in self.texts.iter().enumerate() {
            if at > 0 {
                sql.push_str(&parameter(at));
            }
            sql.push_str(text);
        }
        sql
    }
}

/// The length of what a quote begins. A doubled quote ends one and begins the next, which comes to the same.
fn quoted(rest: &str, quote: char, dialect: Dialect) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if dialect == Dialect::Mysql && quote != '`' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a `$tag$ … $tag$`, or of the dollar alone.
fn dollar_quoted(rest: &str) -> usize {
    let tag_end = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').map(|end| end + 1);
    match tag_end {
        Some(end) if rest[end..].starts_with('$') => {
            let tag = &rest[..=end];
            rest[tag.len()..].find(tag).map_or(rest.len(), |close| close + 2 * tag.len())
        }
        _ => 1,
    }
}

/// The name a text begins with, if it does: words with dots between them.
fn field_name(text: &str) -> &str {
    if !text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return "";
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_outside_of_quotes_comments_and_casts() {
        let fields = |text, dialect| {
            let pieces = Pieces::of(text, dialect);
            (pieces.sql(|n| format!("<{n}>")), pieces.fields.join(" "))
        };
        for (text, sql, names) in [
            ("insert into t values (:id, :client.name)", "insert into t values (<1>, <2>)", "id client.name"),
            (
                "select :a::int, ':b', \":c\" -- :d\n, :a /* :e */",
                "select <1>::int, ':b', \":c\" -- :d\n, <2> /* :e */",
                "a a",
            ),
            ("select 'it''s :x', '12:30', :ąę_1.", "select 'it''s :x', '12:30', <1>.", "ąę_1"),
            ("select a[1:2], :", "select a[1:2], :", ""),
        ] {
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
                assert_eq!(fields(text, dialect), (sql.to_owned(), names.to_owned()), "{text}");
            }
        }
        let dollars = "do $x$ :a $$ :b $x$ :c";
        assert_eq!(
            fields(dollars, Dialect::Postgres),
            ("do $x$ :a $$ :b $x$ <1>".to_owned(), "c".to_owned())
        );
        let escaped = r"select 'it\':a', :b, @c := :d # :e";
        let expected = r"select 'it\':a', <1>, @c := <2> # :e";
        assert_eq!(fields(escaped, Dialect::Mysql), (expected.to_owned(), "b d".to_owned()));
    }
}
