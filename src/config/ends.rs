//! The ends of a job but for `pull`, which has a file of its own: `write`, `read` and `push`, what stands between them is in `map`.

use super::connections;
use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::layers::METHOD_KEYS;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::push::Method;
use crate::job::{FieldMap, OnGone, Push, Read, Shaping, Write};
use crate::words::{ConnectionName, Template};
use serde_json::Number;

/// The `[connection]` tables, for the jobs that name them.
pub(super) struct Connections<'a> {
    /// The table of all.
    pub(super) tables: Option<&'a Node>,
    /// Not every file could be read: what is missing may be there.
    pub(super) incomplete: bool,
}

impl Connections<'_> {
    pub(super) fn named(&self, node: &Node, wanted: Kind) -> Result<ConnectionName, Wrong> {
        let text = units::text(node)?;
        let name = ConnectionName::new(text).map_err(units::refused)?;
        let entries = self.tables.map(Node::entries).unwrap_or_default();
        let Some((_, table)) = entries.iter().find(|(name, _)| name == text) else {
            if self.incomplete {
                return Ok(name);
            }
            let help = did_you_mean(text, entries.iter().map(|(name, _)| name.as_str()))
                .unwrap_or_else(|| format!("describe it: [connection.{text}]"));
            return Err(Wrong::new(format!("there is no connection `{text}`")).help(Some(help)));
        };
        match (wanted, connections::is_sql(table)) {
            (Kind::Sql, Some(false)) => {
                Err(Wrong::new(format!("`{text}` is a REST API; an SQL database is needed here")))
            }
            (Kind::Rest, Some(true)) => {
                Err(Wrong::new(format!("`{text}` is an SQL database; a REST API is needed here")))
            }
            _ => Ok(name),
        }
    }
}

/// What is on the other end of a connection.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// An SQL database.
    Sql,
    /// A REST API.
    Rest,
}

pub(super) fn unfillable(node: &Node, name: &str) -> Wrong {
    let wrong = Wrong::new(format!("nothing fills the placeholder `{{{name}}}`"));
    let text = if let Value::Text(text) = &node.value { text.as_str() } else { "" };
    match text.find(&format!("{{{name}}}")) {
        Some(byte) => wrong.at(node.column(text[..byte].chars().count())),
        None => wrong,
    }
}

/// Where pulled rows go.
pub(super) fn write(table: &Table<'_>, connections: &Connections<'_>, shaping: Shaping) -> Option<Write> {
    let to = table.require("to", |node| connections.named(node, Kind::Sql));
    let name = table.require("table", units::words);
    let upsert_by = table.some("upsert-by", |node| {
        let column = units::words(node)?;
        match &shaping.map {
            Some(FieldMap(fields)) if !fields.iter().any(|(field, _)| *field == column) => {
                let help = did_you_mean(&column, fields.iter().map(|(field, _)| field.as_str()));
                Err(Wrong::new(format!("`map` makes no column `{column}`")).help(help))
            }
            _ => Ok(column),
        }
    });
    let on_gone = table.get("on-gone", |node| match &node.value {
        Value::Table(_) => {
            let set = table.below("on-gone", node).and_then(|table| {
                let set = table.entries("set", |_, _, node| Ok(json(node, &mut |_, _| {})));
                if set.as_ref().is_none_or(Vec::is_empty) {
                    let help = "name columns and their values: on-gone = { set = { active = false } }";
                    let wrong = Wrong::new("sets nothing").help(Some(help.to_owned()));
                    table.error(None, &table.node.at, wrong);
                }
                table.finish();
                set
            });
            Ok(set.map_or(OnGone::Ignore, |set| OnGone::Set(set.into_iter().collect())))
        }
        _ => units::one_of(node, &[("ignore", false), ("delete", true)])
            .map(|delete| if delete { OnGone::Delete } else { OnGone::Ignore }),
    });
    table.finish();
    let on_gone = on_gone.unwrap_or_default();
    Some(Write { to: to?, table: name?, upsert_by: upsert_by?, shaping, on_gone })
}

/// Which rows are read from the ERP.
pub(super) fn read(table: &Table<'_>, connections: &Connections<'_>) -> Option<Read> {
    let from = table.require("from", |node| connections.named(node, Kind::Sql));
    let sql = table.require("sql", units::words);
    let key = table.some("key", units::words);
    let max_gone = table.get("max-gone", units::share).unwrap_or(0.1);
    table.finish();
    Some(Read { from: from?, sql: sql?, key: key?, max_gone })
}

/// How a platform is told. `key` are the columns of the read's key, if those are known.
pub(super) fn push(
    table: &Table<'_>,
    connections: &Connections<'_>,
    key: Option<&[String]>,
    shaping: Shaping,
) -> Option<Push> {
    let to = table.require("to", |node| connections.named(node, Kind::Rest));
    let in_key = |column: &str, problem: String| match key {
        Some(key) if !key.iter().any(|name| name == column) => {
            Err(Wrong::new(problem).help(did_you_mean(column, key.iter().map(String::as_str))))
        }
        _ => Ok(()),
    };
    let group_by = table
        .list("group-by", |node| {
            let column = units::words(node)?;
            in_key(&column, format!("`{column}` is not in the `key` of `read`"))?;
            Ok(column)
        })
        .unwrap_or_default();
    let request = request(table, &group_by);
    let batch = table.table("batch").and_then(|batch| {
        let records = batch.get("records", |node| units::whole(node, 1, 1_000_000));
        batch.finish();
        records.and_then(|records| usize::try_from(records).ok())
    });
    let body = match table.take("body") {
        Some(node) => body(table, node, &in_key),
        None => "$records".into(),
    };
    table.finish();
    let (method, path) = request?;
    Some(Push { to: to?, method, path, group_by, batch_records: batch.unwrap_or(1_000), body, shaping })
}

fn request(table: &Table<'_>, group_by: &[String]) -> Option<(Method, Template)> {
    let methods = [Method::Post, Method::Put, Method::Patch, Method::Delete];
    let mut found = Vec::new();
    for (key, method) in METHOD_KEYS.iter().zip(methods) {
        let path = |node: &Node| {
            let template = units::path_template(node)?;
            let shared = |name: &&str| group_by.iter().any(|column| column == name);
            let strange = template.placeholders().into_iter().find(|name| !shared(name)).map(str::to_owned);
            let Some(name) = strange else { return Ok(template) };
            let help = format!("the records of one request share only `group-by`: add `{name}` to it");
            Err(unfillable(node, &name).help(Some(help)))
        };
        if table.node.get(key).is_some() {
            found.push((key, method, table.get(key, path)));
        } else {
            table.take(key);
        }
    }
    if let [_, (key, ..), ..] = found.as_slice() {
        let wrong = Wrong::new("a push has one method, and another one is given too");
        table.error(Some(key), &table.place(key), wrong);
        return None;
    }
    let Some((_, method, path)) = found.pop() else {
        let wrong = Wrong::new("has no method and path")
            .help(Some("write one of post, put, patch, delete: put = \"/path\"".to_owned()));
        table.error(None, &table.node.key_at, wrong);
        return None;
    };
    Some((method, path?))
}

/// The body as JSON; what starts with `$` must be something that can be put there.
fn body(
    table: &Table<'_>,
    node: &Node,
    in_key: &dyn Fn(&str, String) -> Result<(), Wrong>,
) -> serde_json::Value {
    let mut tells = false;
    let json = json(node, &mut |node, text| {
        let column = text.strip_prefix("$gone.");
        tells |= text == "$records" || column.is_some();
        let wrong = match column {
            Some(column) => {
                in_key(column, format!("of a row that is gone only the key is known, not `{column}`")).err()
            }
            None if text.starts_with('$') && text != "$records" => Some(
                Wrong::new(format!("nothing fills `{text}`"))
                    .help(Some("a body may hold \"$records\" and \"$gone.column\"".to_owned())),
            ),
            None => None,
        };
        if let Some(wrong) = wrong {
            table.error(Some("body"), &node.at, wrong);
        }
    });
    if !tells {
        let wrong = Wrong::new("holds no \"$records\": the platform would be told nothing");
        table.error(Some("body"), &node.at, wrong);
    }
    json
}

/// A value as JSON, digit for digit; `seen` is told of each text.
pub(super) fn json(node: &Node, seen: &mut dyn FnMut(&Node, &str)) -> serde_json::Value {
    match &node.value {
        Value::Text(text) => {
            seen(node, text);
            text.as_str().into()
        }
        Value::Datetime(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        // Digit for digit; what JSON can't hold (inf, nan) stays text.
        Value::Float(text) => serde_json::from_str::<Number>(text.trim_start_matches('+'))
            .map_or_else(|_| text.as_str().into(), Into::into),
        Value::Bool(value) => (*value).into(),
        Value::Array(list) => list.iter().map(|node| json(node, seen)).collect(),
        Value::Table(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node, seen))).collect(),
    }
}
