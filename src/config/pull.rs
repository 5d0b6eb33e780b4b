//! `[job.NAME.pull]`: what is asked of a platform, how its pages hang together, how the job goes on, and what is asked
//! for each row.

use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::ends::{Connections, Kind, unfillable};
use super::reader::Table;
use super::units::{self, Wrong};
use super::{cursor, trigger};
use crate::job::pull::{Each, Echo, FeedSince, NextKind, Told, XmlTypes};
use crate::job::{Changed, CursorFormat, Pages, Pull, Since, Write};
use crate::schedule::{Beats, Timetable, TimetableSpec};
use crate::watermark::FeedRules;
use crate::words::{FieldPath, JobName, Template};
use chrono_tz::Tz;
use std::time::Duration;

/// The placeholders that say which page is asked for.
const POSITIONS: [&str; 3] = ["page", "offset", "cursor"];

/// `pages` as it is written; what it comes to depends on the parameters.
struct PagesTable {
    first: Option<u64>,
    total: Option<FieldPath>,
    items: Option<FieldPath>,
    next: Option<FieldPath>,
    next_url: Option<FieldPath>,
}

/// What is asked of a platform. `zone` is the job's.
pub(super) fn read(table: &Table<'_>, zone: Tz, connections: &Connections<'_>) -> Option<Pull> {
    let since = table.table("since").map(|table| since(&table));
    let pages = table.table("pages").map(|table| pages(&table));
    let mut fillable: Vec<&str> = Vec::new();
    fillable.extend(since.is_some().then_some("since"));
    fillable.extend(matches!(since, Some(Some(Since::Changed(_)))).then_some("until"));
    match &pages {
        Some(Some(pages)) if pages.next.is_some() || pages.next_url.is_some() => fillable.extend(POSITIONS),
        Some(_) => fillable.extend(["page", "offset"]),
        None => {}
    }
    let fill = |node: &Node, template: Template| {
        let strange = template.placeholders().into_iter().find(|name| !fillable.contains(name));
        if let Some(name) = strange {
            let help = match name {
                "since" => Some("`{since}` needs `since = { … }`".to_owned()),
                "page" => Some("`{page}` needs `pages = { … }`".to_owned()),
                "offset" => Some("`{offset}` needs `pages = { … }`".to_owned()),
                "cursor" => Some("`{cursor}` needs `pages = { next = … }`".to_owned()),
                other => did_you_mean(other, fillable.iter().copied()),
            };
            return Err(unfillable(node, name).help(help));
        }
        Ok(template)
    };
    let from = table.require("from", |node| connections.named(node, Kind::Rest));
    let get = table.require("get", |node| fill(node, units::path_template(node)?));
    let params = table.entries("params", |_, _, node| {
        let template = fill(node, units::template(node)?)?;
        let absent = template.placeholders().into_iter().find(|name| matches!(*name, "until" | "cursor"));
        match absent {
            Some(name) if template.sole_placeholder().is_none() => Err(Wrong::new(format!(
                "`{{{name}}}` is not always there, and must be the whole parameter, which is left out then"
            ))),
            _ => Ok(template),
        }
    });
    let params = params.unwrap_or_default();
    let rows = table.get("rows", units::field_path).unwrap_or_default();
    let key = table.some("key", units::field_path);
    let each = table.table("each").map(|table| each(&table));
    let is_full = table.get("mode", |node| units::one_of(node, &[("full", true), ("incremental", false)]));
    let sweep = table.list("sweep", trigger::cron).filter(|sweep| !sweep.is_empty());
    let xml = table.table("xml").map(|table| xml(&table)).unwrap_or_default();
    let skip_when = table.entries("skip-when", |table, name, node| {
        let field = FieldPath::new(name).map_err(units::refused)?;
        let texts = node.elements().iter().filter_map(|node| table.read(name, node, scalar));
        Ok((field, texts.collect()))
    });
    let skip_when = skip_when.unwrap_or_default().into_iter().map(|(_, condition)| condition).collect();
    let echo = table.get("echo-of", |node| JobName::new(units::text(node)?).map_err(units::refused));
    let max_gone = table.get("max-gone", units::share).unwrap_or(0.1);
    table.finish();

    let asks = |name: &str| {
        let all = get.iter().chain(params.iter().map(|(_, template)| template));
        all.flat_map(Template::placeholders).any(|placeholder| placeholder == name)
    };
    if since.is_some() && get.is_some() && !asks("since") {
        let wrong = Wrong::new("no parameter says `{since}`: every run reads everything again");
        table.warn(Some("since"), &table.place("since"), wrong);
    }
    match (is_full, &since) {
        (Some(true), Some(_)) => {
            let wrong = Wrong::new("a full walk reads everything, and `since` says where to go on");
            table.error(
                Some("mode"),
                &table.place("mode"),
                wrong.help(Some(
                    "leave one of them out; a full walk \
                beside the runs that read on is `sweep = \"0 40 2 * * *\"`"
                        .to_owned(),
                )),
            );
        }
        (Some(false), None) => {
            let wrong = Wrong::new("nothing says where to go on; add `since = { … }`");
            table.error(Some("mode"), &table.place("mode"), wrong);
        }
        _ => {}
    }
    let is_changed = matches!(since, Some(Some(Since::Changed(_))));
    if sweep.is_some() && matches!(since, None | Some(Some(Since::Feed(_)))) {
        let wrong =
            Wrong::new("a sweep walks from `start` beside runs that read on by `since = { field = … }`");
        table.error(Some("sweep"), &table.place("sweep"), wrong);
    }
    let sweep = sweep.filter(|_| is_changed).and_then(|crons| {
        let timetable = Timetable::new(TimetableSpec::new(Beats::Cron(crons), zone));
        timetable
            .map_err(|never| table.error(Some("sweep"), &table.place("sweep"), units::refused(never)))
            .ok()
    });
    if pages.is_some() && matches!(since, Some(Some(Since::Feed(_)))) {
        let wrong = Wrong::new("a feed has no pages: each answer says which id comes next");
        table.error(Some("pages"), &table.place("pages"), wrong);
    }
    let pages = match (pages, &get) {
        (None, _) => Pages::Single,
        (Some(pages), Some(get)) => hang_together(table, pages?, get, &params)?,
        (Some(_), None) => return None,
    };
    Some(Pull {
        from: from?,
        get: get?,
        params,
        rows,
        key: key?,
        pages,
        since: match since {
            Some(since) => Some(since?),
            None => None,
        },
        each: match each {
            Some(each) => Some(each?),
            None => None,
        },
        sweep,
        max_gone,
        xml,
        skip_when,
        // Which fields it sends is known once all jobs are read.
        echo: echo.map(|job| Echo { job, fields: Vec::new(), key: Vec::new() }),
    })
}

/// A text, a number, true or false, as a text.
fn scalar(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Float(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Wrong::kind("a text, a number, true or false", node)),
    }
}

fn xml(table: &Table<'_>) -> XmlTypes {
    let paths = |key| table.list(key, units::field_path).unwrap_or_default();
    let types = XmlTypes { lists: paths("lists"), numbers: paths("numbers"), booleans: paths("booleans") };
    table.finish();
    types
}

fn pages(table: &Table<'_>) -> Option<PagesTable> {
    let errors = table.errors();
    let pages = PagesTable {
        first: table.get("first", |node| units::whole(node, 0, u64::MAX)),
        total: table.get("total", units::field_path),
        items: table.get("items", units::field_path),
        next: table.get("next", units::field_path),
        next_url: table.get("next-url", units::field_path),
    };
    table.finish();
    if pages.next.is_some() && pages.next_url.is_some() {
        let wrong = Wrong::new("`next-url` says already where the next page is");
        table.error(Some("next"), &table.place("next"), wrong);
    }
    let has = |key: &str| table.node.get(key).is_some();
    if !["total", "items", "next", "next-url"].into_iter().any(has) {
        let help = "say where the answer holds the number of pages (total) or of rows (items), or what comes next \
            (next, next-url)";
        let wrong = Wrong::new("nothing says how many pages there are").help(Some(help.to_owned()));
        table.error(None, &table.node.at, wrong);
    }
    table.is_clean_since(errors).then_some(pages)
}

/// What `pages` comes to with these parameters.
fn hang_together(
    table: &Table<'_>,
    pages: PagesTable,
    get: &Template,
    params: &[(String, Template)],
) -> Option<Pages> {
    let PagesTable { first, total, items, next, next_url } = pages;
    let wrong = |problem: &str, help: &str| {
        let wrong = Wrong::new(problem).help(Some(help.to_owned()));
        table.error(Some("pages"), &table.place("pages"), wrong);
    };
    let (next, is_url) = match (next, next_url) {
        (Some(next), _) => (next, false),
        (None, Some(next)) => (next, true),
        (None, None) => {
            let all = params.iter().map(|(_, template)| template).chain([get]);
            let asked: Vec<&str> = all.flat_map(Template::placeholders).collect();
            let (pages, offsets) = (asked.contains(&"page"), asked.contains(&"offset"));
            if offsets && !pages && total.is_none() {
                return Some(Pages::Offsets { first: first.unwrap_or(0), items });
            }
            if offsets {
                let help = "say how many rows there are: pages = { items = \"total\" }";
                wrong("an offset counts rows, and these are pages", help);
                return None;
            }
            if !pages {
                let problem = "no parameter says `{page}`: every request would ask for the same page";
                wrong(problem, "send the page's number: params = { page = \"{page}\" }");
                return None;
            }
            return Some(Pages::Numbered { first: first.unwrap_or(1), total, items });
        }
    };
    let mut asking = params.iter().filter_map(|(parameter, template)| {
        let name = template.sole_placeholder().filter(|name| POSITIONS.contains(name))?;
        Some((parameter, name))
    });
    let (Some((parameter, name)), None) = (asking.next(), asking.next()) else {
        wrong(
            "not one parameter, and one only, asks for the next page",
            "send an offset, a page's number or a token: params = { offset = \"{offset}\" }, page = \"{page}\" or \
             cursor = \"{cursor}\"",
        );
        return None;
    };
    let first = match name {
        "page" => Some(first.unwrap_or(1)),
        "offset" => Some(first.unwrap_or(0)),
        _ => None,
    };
    let kind = if is_url { NextKind::Address { parameter: parameter.clone() } } else { NextKind::Value };
    Some(Pages::Told(Told { next, kind, first, total, items }))
}

fn since(table: &Table<'_>) -> Option<Since> {
    if table.node.get("next").is_some() {
        let next = table.require("next", units::field_path);
        let start = table.get("start", |node| units::whole(node, 0, i64::MAX.unsigned_abs())).unwrap_or(1);
        let reread = table.get("reread", |node| units::whole(node, 0, 1_000_000)).unwrap_or(0);
        table.finish();
        return Some(Since::Feed(FeedSince { next: next?, rules: FeedRules { start, reread } }));
    }
    let zone = table.get("timezone", units::zone);
    let field = table.require("field", units::field_path);
    let format = table.require("format", |node| cursor::format(node, zone));
    let start = match &format {
        Some(format) => table.require("start", |node| cursor::start(node, format)),
        // Without its format a start can't be judged.
        None => table.take("start").and(None),
    };
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let (overlap, settle) = if format == Some(CursorFormat::Integer) {
        let reread = table.get("reread", |node| units::whole(node, 0, 1_000_000)).unwrap_or(50);
        (i64::try_from(reread).unwrap_or(i64::MAX), 0)
    } else {
        let overlap = table.get("overlap", units::duration).unwrap_or(Duration::from_secs(600));
        let settle = table.get("settle", units::duration).unwrap_or(Duration::from_secs(60));
        (millis(overlap), millis(settle))
    };
    table.finish();
    Some(Since::Changed(Changed { field: field?, format: format?, start: start?, overlap, settle }))
}

fn each(table: &Table<'_>) -> Option<Each> {
    // Placeholders are fields of the row; which it has, only the platform knows.
    let fields = |template: Template| {
        let strange = template.placeholders().into_iter().find(|name| FieldPath::new(name).is_err());
        match strange.map(str::to_owned) {
            Some(name) => Err(Wrong::new(format!("`{name}` is no field of a row"))),
            None => Ok(template),
        }
    };
    let get = table.require("get", |node| fields(units::path_template(node)?));
    let params = table.entries("params", |_, _, node| fields(units::template(node)?)).unwrap_or_default();
    let record = table.get("record", units::field_path).unwrap_or_default();
    let status = |node| units::whole(node, 400, 499).map(|status| u16::try_from(status).unwrap_or(404));
    let gone_on = table.list("gone-on", status).unwrap_or_default();
    table.finish();
    let get = get?;
    if get.placeholders().is_empty() && params.iter().all(|(_, param)| param.placeholders().is_empty()) {
        let help = "name a field of the row: get = \"/clients/{clientId}\"";
        let wrong = Wrong::new("asks the same for every row").help(Some(help.to_owned()));
        table.error(Some("get"), &table.place("get"), wrong);
    }
    Some(Each { get, params, record, gone_on })
}

/// What is gone can be found again in the ERP, and somebody finds out that it is gone.
pub(super) fn check_gone(table: &Table<'_>, pull: &Pull, write: &Write) {
    let Some(node) = table.node.get("write").filter(|_| write.on_gone.matters()) else { return };
    let place = node.get("on-gone").map_or(&node.at, |node| &node.at);
    if pull.key_columns(write.key()).is_none() {
        let wrong = Wrong::new(
            "the rows of what is gone can't be found: of a record that is gone only its key is known",
        );
        let help = "let `upsert-by` name the same fields as the pull's `key`";
        table.error(Some("write.on-gone"), place, wrong.help(Some(help.to_owned())));
    }
    let follows = pull.each.as_ref().is_some_and(|each| !each.gone_on.is_empty());
    if !pull.reads_all() && !follows {
        let wrong = Wrong::new("nothing finds out what is gone: no run reads the whole list");
        let help = "add `sweep = \"0 40 2 * * *\"` to the pull, or leave `since` out";
        table.warn(Some("write.on-gone"), place, wrong.help(Some(help.to_owned())));
    }
}
