//! `push`: how a platform is told, and how its answers are read.

use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::ends::{self, Connections, Kind, unfillable};
use super::layers::METHOD_KEYS;
use super::map;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::map::plain_text;
use crate::job::push::{Lists, Matched, Method, ReadBack, ResultCounts, Taken, Words};
use crate::job::{Parent, Push, PushGone, Results, Saved, Send, Shaping, Verify};
use crate::words::{FieldPath, Template};

/// A body of this size is built in memory without harm.
const BATCH_BYTES: u64 = 4 << 20;
/// The largest body that may be asked for.
const LARGEST: u64 = 256 << 20;

/// Which accepted records are read back.
const READ_BACK: [(&str, ReadBack); 3] =
    [("off", ReadBack::Off), ("sample", ReadBack::Sample), ("all", ReadBack::All)];

/// Whether a column is in the key of the read; the problem otherwise.
pub(super) type InKey<'k> = &'k dyn Fn(&str, String) -> Result<(), Wrong>;

/// How a platform is told. `key` are the columns of the read's key, if those are known.
pub(super) fn read(
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
    let request = request(table, Some(&group_by));
    let (batch_records, batch_bytes) = batch(table);
    let mut places = Places::default();
    let body = match table.take("body") {
        Some(node) => body(table, node, &in_key, &mut places),
        None => "$records".into(),
    };
    if places.record && batch_records != Some(1) {
        let wrong = Wrong::new("`$record` is the one record of a request")
            .help(Some("write batch = { records = 1 }, or \"$records\" for the array".to_owned()));
        table.error(Some("body"), &table.place("body"), wrong);
    }
    let send = table.get("send", |node| send(table, node)).unwrap_or_default();
    let on_gone = on_gone(table, connections, &in_key, &places);
    let idempotent = table.get("idempotent", units::flag);
    let results = results(table);
    let verify = table.table("verify").map(|table| verify(&table));
    let save = table.entries("save", saved);
    let parent = table.table("parent").map(|table| parent(&table, connections));
    let words = words(table);
    let unless_taken = table.table("unless-taken").map(|table| taken(&table));
    if unless_taken.is_some() && !places.record {
        let wrong = Wrong::new("asks for one record before each request, and requests hold several")
            .help(Some("write batch = { records = 1 } and body = \"$record\"".to_owned()));
        table.error(Some("unless-taken"), &table.place("unless-taken"), wrong);
    }
    let stop_when = table.get("stop-when", stop_when);
    if let (Some(forms), None) = (&results, &verify)
        && forms.iter().any(|form| form.read_back.is_some_and(|read_back| read_back != ReadBack::Off))
    {
        let wrong = Wrong::new("read back, but nothing says how; add `verify`");
        table.error(Some("results"), &table.place("results"), wrong);
    }
    table.finish();
    let (method, path) = request?;
    Some(Push {
        to: to?,
        method,
        path,
        group_by,
        batch_records: batch_records.unwrap_or(1_000),
        batch_bytes: batch_bytes.unwrap_or(BATCH_BYTES as usize),
        body,
        shaping,
        send,
        on_gone: on_gone?,
        idempotent: idempotent.unwrap_or(method.is_idempotent()),
        results: results?,
        verify: lift(verify)?,
        save: save.unwrap_or_default(),
        creates: false,
        parent: lift(parent)?,
        words,
        unless_taken: lift(unless_taken)?,
        stop_when,
        upload: None,
    })
}

/// What words of a refusal mean.
pub(super) fn words(table: &Table<'_>) -> Words {
    Words {
        waiting: table.list("waiting-when", units::words).unwrap_or_default(),
        transient: table.list("transient-when", units::words).unwrap_or_default(),
        too_large: table.list("too-large-when", units::words).unwrap_or_default(),
        refused: table.list("refused-when", units::words).unwrap_or_default(),
        unserved: table.list("unserved-when", units::words).unwrap_or_default(),
    }
}

/// Where the platform says what is saved: one place, several that are tried in turn, or one and what stands before it.
pub(super) fn saved(table: &Table<'_>, name: &str, node: &Node) -> Result<Saved, Wrong> {
    if !matches!(node.value, Value::Table(_)) {
        let places = node.elements().iter().map(units::field_path).collect::<Result<Vec<_>, _>>()?;
        return Ok(Saved { places, after: None });
    }
    let Some(table) = table.node.get(name).and_then(|node| table.below(name, node)) else {
        return Err(Wrong::new("expected a table"));
    };
    let places = table.some("field", units::field_path);
    let after = table.get("after", units::words);
    table.finish();
    // What is wrong with them has been reported.
    Ok(Saved { places: places.unwrap_or_default(), after })
}

/// Nothing given is fine, something wrong is not.
pub(super) fn lift<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn batch(table: &Table<'_>) -> (Option<usize>, Option<usize>) {
    let Some(batch) = table.table("batch") else { return (None, None) };
    let records = batch.get("records", |node| units::whole(node, 1, 1_000_000));
    let bytes = batch.get("bytes", |node| match units::size(node)? {
        bytes if bytes <= LARGEST => Ok(bytes),
        _ => Err(Wrong::new("must not be more than 256 MiB: a body is built in memory")),
    });
    batch.finish();
    let whole = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    (whole(records), whole(bytes))
}

/// The method and the path, whose placeholders are those of `group_by` where these are all there is.
pub(super) fn request(table: &Table<'_>, group_by: Option<&[String]>) -> Option<(Method, Template)> {
    let methods = [Method::Post, Method::Put, Method::Patch, Method::Delete];
    let mut found = Vec::new();
    for (key, method) in METHOD_KEYS.iter().zip(methods) {
        let path = |node: &Node| {
            let template = units::path_template(node)?;
            let shared =
                |name: &&str| group_by.is_none_or(|group_by| group_by.iter().any(|column| column == name));
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

/// What the body has places for.
#[derive(Default)]
pub(super) struct Places {
    pub(super) record: bool,
    pub(super) gone: bool,
}

/// The body as JSON; what starts with `$` must be something that can be put there.
pub(super) fn body(
    table: &Table<'_>,
    node: &Node,
    in_key: InKey<'_>,
    places: &mut Places,
) -> serde_json::Value {
    let mut tells = false;
    let json = ends::json(node, &mut |node, text| {
        let column = text.strip_prefix("$gone.");
        places.record |= text == "$record";
        places.gone |= column.is_some();
        tells |= matches!(text, "$records" | "$record") || column.is_some();
        let wrong = match column {
            Some(column) => {
                in_key(column, format!("of a row that is gone only the key is known, not `{column}`")).err()
            }
            None if text.starts_with('$') && !matches!(text, "$records" | "$record") => Some(
                Wrong::new(format!("nothing fills `{text}`"))
                    .help(Some("a body may hold \"$records\", \"$record\" and \"$gone.column\"".to_owned())),
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

pub(super) fn send(table: &Table<'_>, node: &Node) -> Result<Send, Wrong> {
    if !matches!(node.value, Value::Table(_)) {
        let words = [("changed", &Send::Changed), ("all", &Send::All), ("once", &Send::Once)];
        return units::one_of(node, &words).cloned();
    }
    let Some(table) = table.below("send", node) else { return Ok(Send::Changed) };
    let column = table.require("since", |node| {
        let column = units::words(node)?;
        // It stands in the query as it is written.
        let fits = column.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !column.starts_with(|first: char| first.is_ascii_digit());
        if fits { Ok(column) } else { Err(Wrong::new("must be a column's name of letters, digits and `_`")) }
    });
    table.finish();
    Ok(column.map_or(Send::Changed, Send::Since))
}

/// What the platform is told of rows that are gone: by default what the body has a place for.
fn on_gone(
    table: &Table<'_>,
    connections: &Connections<'_>,
    in_key: InKey<'_>,
    places: &Places,
) -> Option<PushGone> {
    let in_body = if places.gone { PushGone::Body } else { PushGone::Ignore };
    let Some(node) = table.take("on-gone") else { return Some(in_body) };
    let refuse = |problem: &str, help: &str| {
        table.error(Some("on-gone"), &node.at, Wrong::new(problem).help(Some(help.to_owned())));
        None
    };
    if !matches!(node.value, Value::Table(_)) {
        let words = [("ignore", 0), ("delete", 1), ("zero", 2)];
        return match table.read("on-gone", node, |node| units::one_of(node, &words))? {
            0 => Some(PushGone::Ignore),
            1 if places.gone => Some(in_body),
            1 => refuse(
                "nothing says how the platform is told",
                "put \"$gone.column\" into `body`, or write on-gone = { delete = \"/path/{column}\" }",
            ),
            _ => refuse(
                "nothing says what a gone row is sent as",
                "write the record, made of key columns: on-gone = { zero = { sku = \"{sku}\", quantity = 0 } }",
            ),
        };
    }
    let gone = table.below("on-gone", node)?;
    let placeholders = |template: &Template, node: &Node| -> Result<(), Wrong> {
        template.placeholders().into_iter().try_for_each(|name| {
            in_key(name, format!("of a row that is gone only the key is known, not `{name}`"))
                .map_err(|wrong| wrong.at(node.at.clone()))
        })
    };
    let delete = gone.get("delete", |node| {
        let path = units::path_template(node)?;
        placeholders(&path, node)?;
        Ok(path)
    });
    let zero = map::plain(&gone, "zero", connections);
    gone.finish();
    match (delete, zero) {
        (Some(path), None) => Some(PushGone::Delete(path)),
        (None, Some(map)) => Some(PushGone::Zero(map)),
        (None, None) if gone.node.get("delete").is_some() => None,
        _ => refuse("is one of `delete` and `zero`", "write on-gone = { delete = \"/path/{column}\" }"),
    }
}

/// Where answers say what became of each record, in each of the forms they come in.
pub(super) fn results(table: &Table<'_>) -> Option<Vec<Results>> {
    let forms = table.list("results", |node| Ok(table.below("results", node).and_then(|table| form(&table))));
    forms.unwrap_or_default().into_iter().collect()
}

fn form(table: &Table<'_>) -> Option<Results> {
    let rows = table.require("rows", units::field_path);
    let lists = [("all", Lists::All), ("failures", Lists::Failures)];
    let lists = table.get("lists", |node| units::one_of(node, &lists)).unwrap_or_default();
    let matched = table.require("match", |node| matched(table, node));
    let ok_when = table.entries("ok-when", |_, name, node| {
        let path = FieldPath::new(name).map_err(units::refused)?;
        let values = node.elements().iter().map(|node| plain_text(&ends::json(node, &mut |_, _| {})));
        Ok((path, values.collect()))
    });
    let error = table.get("error", units::field_path);
    let counts = table.table("counts").map(|table| {
        let paths = |key| table.list(key, units::field_path).unwrap_or_default();
        let counts =
            ResultCounts { total: paths("total"), accepted: paths("accepted"), failed: paths("failed") };
        table.finish();
        counts
    });
    if lists == Lists::Failures && counts.is_none() {
        let wrong = Wrong::new("a list of failures proves nothing of the others").help(Some(
            "say where the answer counts: counts = { accepted = \"created\", failed = \"failed\" }"
                .to_owned(),
        ));
        table.error(Some("lists"), &table.place("lists"), wrong);
    }
    let read_back = table.get("read-back", |node| units::one_of(node, &READ_BACK));
    table.finish();
    Some(Results {
        rows: rows?,
        lists,
        matched: matched??,
        ok_when: ok_when.unwrap_or_default().into_iter().map(|(_, rule)| rule).collect(),
        error: error.unwrap_or_else(|| FieldPath::new("error").unwrap_or_default()),
        counts: counts.unwrap_or_default(),
        read_back,
    })
}

fn taken(table: &Table<'_>) -> Option<Taken> {
    let fields = table.some("fields", units::field_path);
    let at = table.get("at", units::field_path).unwrap_or_default();
    table.finish();
    Some(Taken { fields: fields?, at })
}

fn matched(table: &Table<'_>, node: &Node) -> Result<Option<Matched>, Wrong> {
    if let Value::Table(_) = node.value {
        let Some(table) = table.below("match", node) else { return Ok(None) };
        let (result, record) =
            (table.require("result", units::field_path), table.require("record", units::field_path));
        table.finish();
        return Ok(result.zip(record).map(|(result, record)| Matched::Key { result, record }));
    }
    Ok(Some(match units::text(node)? {
        "position" => Matched::Position,
        _ => {
            let field = units::field_path(node)?;
            Matched::Key { result: field.clone(), record: field }
        }
    }))
}

pub(super) fn verify(table: &Table<'_>) -> Option<Verify> {
    let get = table.require("get", units::path_template);
    let params = table.entries("params", |_, _, node| units::template(node));
    let rows = table.get("rows", units::field_path);
    let found_when = table.some("found-when", units::field_path);
    let read_back = table.get("read-back", |node| units::one_of(node, &READ_BACK));
    let first = table.get("first", units::flag);
    table.finish();
    Some(Verify {
        get: get?,
        params: params.unwrap_or_default(),
        rows: rows.unwrap_or_default(),
        found_when: found_when?,
        read_back: read_back.unwrap_or_default(),
        first: first.unwrap_or(false),
    })
}

pub(super) fn parent(table: &Table<'_>, connections: &Connections<'_>) -> Option<Parent> {
    let job = table.require("job", |node| connections.job(node));
    let key = table.some("key", units::field_path);
    table.finish();
    Some(Parent { job: job?, key: key? })
}

/// `"20% rejected"`.
pub(super) fn stop_when(node: &Node) -> Result<f64, Wrong> {
    let wrong = || Wrong::new("expected a share of refused records, such as \"20% rejected\"");
    let share = units::text(node)?.trim().strip_suffix("rejected").ok_or_else(wrong)?.trim();
    let percent = share.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.map(|percent| percent / 100.0).ok_or_else(wrong)
}
