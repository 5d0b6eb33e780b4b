//! `upload`: a push whose records carry a file each, begun, transferred and completed.

use super::diagnostic::did_you_mean;
use super::document::Node;
use super::ends::{self, Connections, Kind, unfillable};
use super::layers::{METHOD_KEYS, resolve_path};
use super::push;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::push::{Method, Words};
use crate::job::upload::{Call, FileRule, FileType, Multipart, Transfer, UPLOAD_ID};
use crate::job::{FieldMap, Push, PushGone, Shaping, Upload};
use crate::words::{FieldPath, Template};
use reqwest::Url;

/// The largest file, unless the job says otherwise.
const LARGEST: u64 = 10 << 20;
/// The largest that may be asked for: a file in a column, or in the completion's body, goes through memory.
const MOST: u64 = 256 << 20;
/// What a platform answers where an upload was completed before.
const CONFLICT: u16 = 409;

/// How a platform is given files.
pub(super) fn read(table: &Table<'_>, connections: &Connections<'_>, shaping: Shaping) -> Option<Push> {
    let to = table.require("to", |node| connections.named(node, Kind::Rest));
    let map = shaping.map.as_ref().filter(|_| shaping.filter.is_none());
    let file = table.require("file", Ok).and_then(|node| file(&table.below("file", node)?, map));
    let begin = table.require("begin", Ok).and_then(|node| call(&table.below("begin", node)?, map, false));
    let id = table.get("id", units::field_path);
    let ways = [("url", Transfer::Url), ("inline", Transfer::Inline), ("multipart", Transfer::Multipart)];
    let transfer = table.some_if_given("transfer", |node| units::one_of(node, &ways));
    let transfer = transfer.unwrap_or_else(|| vec![Transfer::Url]);
    let url = table.some_if_given("url", units::field_path);
    let url_origins = table.list("url-origins", origin).unwrap_or_default();
    let inline = table.get("inline", units::words);
    let multipart = table.table("multipart").map(|table| multipart(&table, map));
    if transfer.contains(&Transfer::Multipart) && multipart.is_none() {
        let wrong = Wrong::new("bytes are to go as multipart, and nothing says where")
            .help(Some("say it: multipart = { post = \"/files/{upload}\", part = \"file\" }".to_owned()));
        table.error(Some("transfer"), &table.place("transfer"), wrong);
    }
    let mut done_on = None;
    let complete = table.require("complete", Ok).and_then(|node| {
        let table = table.below("complete", node)?;
        done_on = table.list("done-on", |node| units::whole(node, 400, 499));
        call(&table, map, true)
    });
    let abort = table.table("abort").map(|table| call(&table, map, true));
    let send = table.get("send", |node| push::send(table, node)).unwrap_or_default();
    if send == crate::job::Send::All {
        let wrong = Wrong::new("a file is not uploaded twice: write \"changed\", or { since = \"column\" }");
        table.error(Some("send"), &table.place("send"), wrong);
    }
    let verify = table.table("verify").map(|table| push::verify(&table));
    let parent = table.table("parent").map(|table| push::parent(&table, connections));
    let words = Words {
        waiting: table.list("waiting-when", units::words).unwrap_or_default(),
        transient: table.list("transient-when", units::words).unwrap_or_default(),
        too_large: Vec::new(),
        refused: Vec::new(),
        unserved: Vec::new(),
    };
    table.finish();
    let Call { method, path, body } = begin?;
    let done_on =
        done_on.map(|codes| codes.into_iter().filter_map(|code| u16::try_from(code).ok()).collect());
    let upload = Upload {
        file: file?,
        id: id.or_else(|| FieldPath::new("uploadId").ok())?,
        transfer,
        url: url.unwrap_or_else(|| {
            ["uploadUrl", "url"].iter().filter_map(|path| FieldPath::new(path).ok()).collect()
        }),
        url_origins,
        inline: inline.unwrap_or_else(|| "content".to_owned()),
        multipart: push::lift(multipart)?,
        complete: complete?,
        done_on: done_on.unwrap_or_else(|| vec![CONFLICT]),
        abort: push::lift(abort)?,
    };
    Some(Push {
        to: to?,
        method,
        path,
        group_by: Vec::new(),
        batch_records: 1,
        batch_bytes: 1,
        body,
        shaping,
        send,
        on_gone: PushGone::Ignore,
        // A begun upload is no document, and what follows it is written down step by step.
        idempotent: true,
        results: Vec::new(),
        verify: push::lift(verify)?,
        save: Vec::new(),
        creates: false,
        parent: push::lift(parent)?,
        words,
        unless_taken: None,
        stop_when: None,
        upload: Some(Box::new(upload)),
    })
}

fn file(table: &Table<'_>, map: Option<&FieldMap>) -> Option<FileRule> {
    let field = |node: &Node| {
        let name = units::words(node)?;
        made(&name, map)?;
        Ok(name)
    };
    let (bytes, path) = (table.get("bytes", field), table.get("path", field));
    let root = table.get("root", |node| Ok(resolve_path(&node.at, &units::words(node)?)));
    let kinds = FileType::ALL.map(|kind| (kind.media_type(), kind));
    let kind = table.get("type", |node| units::one_of(node, &kinds));
    let name = table.get("name", |node| {
        let template = units::template(node)?;
        placeholders(node, &template, map, false)?;
        Ok(template)
    });
    let max_size = table.get("max-size", |node| match units::size(node)? {
        size if size <= MOST => Ok(size),
        _ => Err(Wrong::new("must not be more than 256 MiB")),
    });
    let refuse = |key, problem: &str, help: &str| {
        let wrong = Wrong::new(problem).help(Some(help.to_owned()));
        table.error(key, &table.node.at, wrong);
    };
    let has = |key: &str| table.node.get(key).is_some();
    if !has("bytes") && !has("path") {
        refuse(
            None,
            "does not say where the bytes are",
            "name the field that holds them: bytes = \"content\", or a path: path = \"path\", root = \"/srv/files\"",
        );
    }
    if has("path") && !has("root") {
        refuse(
            Some("path"),
            "any file of this host could be asked for",
            "say which directory all files are in: root = \"/srv/files\"",
        );
    }
    table.finish();
    Some(FileRule {
        bytes,
        path,
        root,
        name,
        kind: kind.unwrap_or(FileType::Pdf),
        max_size: max_size.unwrap_or(LARGEST),
    })
}

/// One request; `has_id` says whether the upload has an id by then.
fn call(table: &Table<'_>, map: Option<&FieldMap>, has_id: bool) -> Option<Call> {
    let methods = [Method::Post, Method::Put, Method::Patch, Method::Delete];
    let mut found = Vec::new();
    for (key, method) in METHOD_KEYS.iter().zip(methods) {
        if table.node.get(key).is_some() {
            found.push((method, table.get(key, |node| path(node, map, has_id))));
        } else {
            table.take(key);
        }
    }
    let body = table.take("body").map_or(serde_json::Value::Null, |node| {
        ends::json(node, &mut |node, text| {
            let checked = Template::new(text).map_err(units::refused);
            let checked = checked.and_then(|template| placeholders(node, &template, map, has_id));
            if let Err(wrong) = checked {
                table.error(Some("body"), &node.at, wrong);
            }
        })
    });
    table.finish();
    let [(method, path)] = <[_; 1]>::try_from(found)
        .map_err(|found| {
            let problem =
                if found.is_empty() { "has no method and path" } else { "has more than one method" };
            let help = "write one of post, put, patch, delete: post = \"/path\"".to_owned();
            table.error(None, &table.node.key_at, Wrong::new(problem).help(Some(help)));
        })
        .ok()?;
    Some(Call { method, path: path?, body })
}

fn path(node: &Node, map: Option<&FieldMap>, has_id: bool) -> Result<Template, Wrong> {
    let template = units::path_template(node)?;
    placeholders(node, &template, map, has_id)?;
    Ok(template)
}

fn multipart(table: &Table<'_>, map: Option<&FieldMap>) -> Option<Multipart> {
    let path = table.require("post", |node| path(node, map, true));
    let part = table.get("part", units::words);
    table.finish();
    Some(Multipart { path: path?, part: part.unwrap_or_else(|| "file".to_owned()) })
}

/// Refuses placeholders that nothing fills, as far as the record's fields are known.
fn placeholders(node: &Node, template: &Template, map: Option<&FieldMap>, has_id: bool) -> Result<(), Wrong> {
    for name in template.placeholders() {
        if name == UPLOAD_ID {
            if !has_id {
                let help = "the platform gives the upload its id in its answer to `begin`".to_owned();
                return Err(unfillable(node, name).help(Some(help)));
            }
        } else if name.split('.').next() != Some("file") {
            made(name.split('.').next().unwrap_or_default(), map)
                .map_err(|wrong| unfillable(node, name).help(wrong.help))?;
        }
    }
    Ok(())
}

/// Refuses the name of a field that the map does not make.
fn made(name: &str, map: Option<&FieldMap>) -> Result<(), Wrong> {
    match map {
        Some(FieldMap(fields)) if !fields.iter().any(|(field, _)| field == name) => {
            let help = did_you_mean(name, fields.iter().map(|(field, _)| field.as_str()));
            Err(Wrong::new(format!("`map` makes no field `{name}`")).help(help))
        }
        _ => Ok(()),
    }
}

/// `https://files.example.com`.
fn origin(node: &Node) -> Result<String, Wrong> {
    let text = units::text(node)?;
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == text.trim_end_matches('/') && origin.starts_with("http") => Ok(origin),
        _ => Err(Wrong::new("expected a scheme and a host, with its port if it is not the usual one")
            .help(Some("write it as \"https://files.example.com\"".to_owned()))),
    }
}
