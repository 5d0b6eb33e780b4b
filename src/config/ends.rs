//! The ends of a job but for `pull` and `push`, which have files of their own: `write` and `read`; what stands between them
//! is in `map`.

use super::connections;
use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::layers::resolve_path;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::{FieldMap, OnGone, Read, Shaping, Target, Write};
use crate::words::{ConnectionName, JobName};
use serde_json::Number;

/// The `[connection]` and `[job]` tables, for the jobs that name them.
pub(super) struct Connections<'a> {
    /// The table of all.
    pub(super) tables: Option<&'a Node>,
    /// The tables of all jobs, for what they say about each other.
    pub(super) jobs: &'a Node,
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

    /// The name of a job there is.
    pub(super) fn job(&self, node: &Node) -> Result<JobName, Wrong> {
        let text = units::text(node)?;
        let name = JobName::new(text).map_err(units::refused)?;
        if self.incomplete || self.jobs.get(text).is_some() { Ok(name) } else { Err(self.no_job(text)) }
    }

    /// Says that there is no such job.
    pub(super) fn no_job(&self, text: &str) -> Wrong {
        let help = did_you_mean(text, self.job_names());
        Wrong::new(format!("there is no job `{text}`")).help(help)
    }

    /// The names of all jobs, in the order they were written in.
    pub(super) fn job_names(&self) -> impl Iterator<Item = &str> {
        self.jobs.entries().iter().map(|(name, _)| name.as_str())
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
    let made = |node: &Node| {
        let name = units::words(node)?;
        match &shaping.map {
            Some(FieldMap(fields)) if !fields.iter().any(|(field, _)| *field == name) => {
                let help = did_you_mean(&name, fields.iter().map(|(field, _)| field.as_str()));
                Err(Wrong::new(format!("`map` makes no column `{name}`")).help(help))
            }
            _ => Ok(name),
        }
    };
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
    let target = if table.node.get("statement").is_none() {
        let name = table.require("table", units::words);
        let create = table.get("create", units::flag).unwrap_or(false);
        let upsert_by = table.some("upsert-by", made);
        // Known, so that it is suggested.
        table.take("statement");
        name.zip(upsert_by).map(|(name, upsert_by)| Target::Table { name, upsert_by, create })
    } else {
        let text = table.require("statement", units::words);
        let key = table.some("key", made);
        for other in ["table", "upsert-by", "create", "on-gone"] {
            if table.take(other).is_some() {
                let wrong = Wrong::new("belongs to a table, and `statement` says what is run instead");
                table.error(Some(other), &table.place(other), wrong);
            }
        }
        text.zip(key).map(|(text, key)| Target::Statement { text, key })
    };
    table.finish();
    Some(Write { to: to?, target: target?, shaping, on_gone: on_gone.unwrap_or_default() })
}

/// Which rows are read from the ERP.
pub(super) fn read(table: &Table<'_>, connections: &Connections<'_>) -> Option<Read> {
    let from = table.require("from", |node| connections.named(node, Kind::Sql));
    let sql = match (table.node.get("sql"), table.node.get("sql-file")) {
        (Some(_), Some(file)) => {
            let wrong = Wrong::new("a read has one query, and `sql` gives another");
            table.error(Some("sql-file"), &file.at, wrong);
            table.take("sql").and(table.take("sql-file")).and(None)
        }
        (None, Some(_)) => table.get("sql-file", query_file),
        _ => {
            table.take("sql-file");
            table.require("sql", units::words)
        }
    };
    let key = table.some("key", units::words);
    let max_gone = table.get("max-gone", units::share).unwrap_or(0.1);
    table.finish();
    Some(Read { from: from?, sql: sql?, key: key?, max_gone })
}

/// The query in a file beside the one that names it.
fn query_file(node: &Node) -> Result<String, Wrong> {
    let path = resolve_path(&node.at, &units::words(node)?);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Wrong::new(format!("{} can't be read: {error}", path.display())))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(Wrong::new(format!("{} is empty", path.display())));
    }
    Ok(text.trim_end_matches(';').to_owned())
}

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
