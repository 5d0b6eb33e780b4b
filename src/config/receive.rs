//! `receive`: where a platform calls, what it may send, and what it is answered.

use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::ends;
use super::layers::TRIGGER_KEYS;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::receive::{BodyFormat, CallMethod, ID, Receive, Reply};
use crate::job::{FieldMap, Job, OnGone, Target, Work, Write};
use crate::words::JobName;
use std::collections::BTreeMap;

/// Keys of a job that are about slots and runs, of which a job that receives has none.
const OF_SLOTS: &[&str] =
    &["catch-up", "catch-up-window", "overlap", "rerun", "timeout", "lock", "steps", "estimate"];

/// What a platform calls; `job` is the table around it, `write` what is done with the records.
pub(super) fn read(table: &Table<'_>, job: &Table<'_>, write: Option<&Write>) -> Option<Receive> {
    for key in TRIGGER_KEYS.iter().chain(OF_SLOTS).filter(|key| job.node.get(key).is_some()) {
        let wrong = Wrong::new("is about slots, and a job that receives has none: its platform starts it");
        job.error(Some(key), &job.place(key), wrong);
    }
    if job.node.get("where").is_some() {
        let wrong = Wrong::new("leaves records out, and a call has to be answered");
        job.error(Some("where"), &job.place("where"), wrong);
    }
    if write.is_some_and(|write| write.on_gone != OnGone::Ignore) {
        let wrong = Wrong::new("nothing is ever gone from what a platform calls with");
        job.error(Some("write"), &job.place("write"), wrong);
    }
    let path = table.require("path", path);
    let methods = [("POST", CallMethod::Post), ("GET", CallMethod::Get)];
    let methods = table.some_if_given("methods", |node| units::one_of(node, &methods));
    let formats = [("json", BodyFormat::Json), ("xml", BodyFormat::Xml)];
    let formats = table.some_if_given("formats", |node| units::one_of(node, &formats));
    let from = table.some_if_given("from", units::words);
    let rows = table.get("rows", units::field_path).filter(|path| !path.steps().is_empty());
    let answer = table.require("answer", |node| reply(table, "answer", node));
    let row_answer = table.get("row-answer", |node| reply(table, "row-answer", node));
    let is_list = table.node.get("rows").is_some();
    if row_answer.is_some() && !is_list {
        let wrong = Wrong::new("is of the entries of a list: say where it is with `rows`");
        table.error(Some("row-answer"), &table.place("row-answer"), wrong);
    }
    for (key, reply, per_record) in [("answer", &answer, !is_list), ("row-answer", &row_answer, true)] {
        if let (Some(reply), Some(write)) = (reply, write) {
            check_placeholders(table, key, reply, write, per_record);
        }
    }
    table.finish();
    let flag = || Reply::Object(vec![("success".to_owned(), Reply::Success)]);
    Some(Receive {
        path: path?,
        methods: methods.unwrap_or_else(|| vec![CallMethod::Post, CallMethod::Get]),
        formats: formats.unwrap_or_else(|| vec![BodyFormat::Json, BodyFormat::Xml]),
        from: from.unwrap_or_default(),
        row_answer: row_answer.or_else(|| rows.as_ref().map(|_| flag())),
        rows,
        answer: answer?,
    })
}

/// Two jobs can't take the same calls, and those that may call exist.
pub(super) fn check(all: &Table<'_>, jobs: &BTreeMap<JobName, Job>, callers: Option<&Node>) {
    let receiving = jobs.values().filter_map(|job| match &job.work {
        Work::Receive(receive, _) if job.enabled => Some((&job.name, receive)),
        _ => None,
    });
    let place = |job: &JobName, key: &str| {
        let node = all.node.get(job.as_str()).and_then(|job| job.get("receive")?.get(key));
        node.map_or_else(|| all.node.at.clone(), |node| node.at.clone())
    };
    let mut taken: BTreeMap<&str, &JobName> = BTreeMap::new();
    for (name, receive) in receiving {
        if let Some(other) = taken.insert(&receive.path, name) {
            let wrong = Wrong::new(format!("is the path of {other} too; a path belongs to one job"));
            all.error(Some(&format!("{name}.receive.path")), &place(name, "path"), wrong);
        }
        let Some(callers) = callers else { continue };
        for from in receive.from.iter().filter(|from| callers.get(from).is_none()) {
            let help = did_you_mean(from, callers.entries().iter().map(|(name, _)| name.as_str()));
            let wrong = Wrong::new(format!("there is no caller `{from}` in `inbound.caller`")).help(help);
            all.error(Some(&format!("{name}.receive.from")), &place(name, "from"), wrong);
        }
    }
}

fn path(node: &Node) -> Result<String, Wrong> {
    let text = units::text(node)?;
    let path = text.trim_matches('/').to_ascii_lowercase();
    if !text.starts_with('/') || path.is_empty() {
        return Err(Wrong::new("a path starts with `/` and names something: \"/createOrder\""));
    }
    if path.contains(['?', '#', '{', ' ']) {
        return Err(Wrong::new("a path is taken as it is: no query, no placeholders, no space"));
    }
    Ok(path)
}

fn reply(table: &Table<'_>, key: &str, node: &Node) -> Result<Reply, Wrong> {
    match &node.value {
        Value::Table(entries) => {
            let field = |(name, node): &(String, Node)| Ok((name.clone(), reply(table, key, node)?));
            entries.iter().map(field).collect::<Result<_, _>>().map(Reply::Object)
        }
        Value::Array(entries) => {
            entries.iter().map(|node| reply(table, key, node)).collect::<Result<_, _>>().map(Reply::List)
        }
        Value::Text(text) => match text.as_str() {
            "$success" => Ok(Reply::Success),
            "$message" => Ok(Reply::Message),
            "$rows" if key == "answer" && table.node.get("rows").is_some() => Ok(Reply::Rows),
            "$rows" => Err(Wrong::new("there are no rows: say where the list is with `rows`").at(node.at.clone())),
            other if other.starts_with('$') => {
                Err(Wrong::new(format!("nothing fills `{other}`")).at(node.at.clone()).help(Some(
                    "an answer may hold \"$success\", \"$message\", \"$rows\", \"{id}\" and fields of the record"
                        .to_owned(),
                )))
            }
            _ => units::template(node).map(Reply::Template).map_err(|wrong| wrong.at(node.at.clone())),
        },
        _ => Ok(Reply::Constant(ends::json(node, &mut |_, _| {}))),
    }
}

/// A placeholder is a field that the map makes, or the id that a statement returns.
fn check_placeholders(table: &Table<'_>, key: &str, reply: &Reply, write: &Write, per_record: bool) {
    let names = |FieldMap(fields): &FieldMap| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let made = write.shaping.map.as_ref().map(names);
    let gives_id = matches!(write.target, Target::Statement { .. });
    for name in reply.placeholders() {
        let first = name.split('.').next().unwrap_or_default();
        let is_made = made.as_ref().is_none_or(|made| made.iter().any(|made| made == name || made == first));
        let wrong = if !per_record {
            Wrong::new(format!(
                "`{{{name}}}` is of one record, and `rows` makes many: it belongs into `row-answer`"
            ))
        } else if name == ID && gives_id || is_made {
            continue;
        } else if name == ID {
            Wrong::new("`{id}` is what a `statement` returns, and a table returns nothing")
                .help(Some("name a field that the map makes, or write with a statement".to_owned()))
        } else {
            let help = did_you_mean(name, made.iter().flatten().map(String::as_str));
            Wrong::new(format!("`map` makes no field `{name}`")).help(help)
        };
        table.error(Some(key), &table.place(key), wrong);
    }
}
