//! One answer as a page: its rows as records, and what it says beside them.

use super::super::Answer;
use super::super::rows::{fields_of, read_page};
use super::{KEY_SEPARATOR, of_address};
use crate::job::map::plain_text;
use crate::job::pull::{NextKind, Told};
use crate::job::{CursorFormat, Pages, Pull};
use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected};
use crate::watermark::{Cursor, Next, PageFacts, Position};
use crate::words::FieldPath;
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::Value;
use serde_json::value::RawValue;

/// As much of a refused row is kept with its reject.
const KEPT_OF_A_ROW: usize = 4096;
/// A record dated further ahead of the server's clock than this is from the future, in milliseconds.
const FUTURE: i64 = 60_000;

/// What one answer holds.
pub(super) struct Page {
    pub(super) chunk: Chunk,
    pub(super) facts: PageFacts,
    /// The next id of a feed.
    pub(super) next_id: Option<u64>,
}

/// Reads an answer to the request that was sent to `asked`. A server that tells no time is taken to have ours.
pub(super) fn read(
    pull: &Pull,
    mut answer: Answer,
    asked: &Url,
    at: &str,
    now: DateTime<Utc>,
) -> Result<Page, Failure> {
    let date = Cursor::at(answer.date.unwrap_or(now));
    let took = i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX);
    let clock = pull.changed().filter(|changed| changed.format != CursorFormat::Integer);
    let (total, items, next) = match (&pull.pages, pull.feed()) {
        (_, Some(feed)) => (None, None, Some(&feed.next)),
        (Pages::Numbered { total, items, .. }, None) => (total.as_ref(), items.as_ref(), None),
        (Pages::Told(Told { next, total, items, .. }), None) => (total.as_ref(), items.as_ref(), Some(next)),
        (Pages::Single, None) => (None, None, None),
    };
    let wanted: Vec<FieldPath> = [total, items, next].into_iter().flatten().cloned().collect();
    let mut fields = pull.key.clone();
    fields.extend(pull.changed().map(|changed| changed.field.clone()));

    let mut chunk = Chunk::default();
    let mut facts = PageFacts::default();
    let mut row = 0;
    let body = answer.body.reader().map_err(|error| {
        Failure::new(Class::State, format!("the temporary file of a page can't be read: {error}"))
    })?;
    let found = read_page(body, &pull.rows, &wanted, |content| {
        row += 1;
        match read_row(pull, &fields, content) {
            Ok(record) => {
                let ahead = record.cursor.filter(|cursor| clock.is_some() && cursor.minus(FUTURE) > date);
                facts.future += u64::from(ahead.is_some());
                facts.latest = facts.latest.max(ahead);
                chunk.records.push(record);
            }
            Err((content, reason)) => {
                let content = content.get().chars().take(KEPT_OF_A_ROW).collect();
                chunk.rejected.push(Rejected { key: format!("row {row} of {at}"), content, reason });
            }
        }
        Ok(())
    })?;
    if let Some(error) = found.error_hint {
        return Err(Failure::new(Class::Answer, format!("the platform answered with an error: {error}")));
    }
    let mut found = found.found.into_iter();
    let mut said = |path: Option<&FieldPath>| path.and_then(|path| Some((path.clone(), found.next()??)));
    let number =
        |said: Option<(FieldPath, Value)>| said.map(|(path, value)| whole(&path, &value)).transpose();
    facts.total_pages = number(said(total))?;
    facts.total_items = number(said(items))?;
    let next = said(next);
    let next_id = match (pull.feed(), &next) {
        (Some(_), Some((path, value))) if !value.is_null() => Some(whole(path, value)?),
        _ => None,
    };
    match &pull.pages {
        Pages::Single => facts.total_pages = Some(1),
        Pages::Told(told) => facts.next = next_of(told, next, asked)?,
        Pages::Numbered { .. } => {}
    }
    facts.server_time = Some(match pull.changed() {
        Some(changed) if clock.is_some() => changed.format.floor(date.minus(took)),
        // No id is younger than the clock.
        Some(_) => Cursor(i64::MAX),
        None => date.minus(took),
    });
    facts.keyless = chunk.rejected.len() as u64;
    let rows = row.to_string();
    let asks_for_rows =
        |template: &crate::words::Template| template.fill(|_| None).is_ok_and(|text| text == rows);
    facts.full = row > 0 && pull.params.iter().any(|(_, template)| asks_for_rows(template));
    Ok(Page { chunk, facts, next_id })
}

fn whole(path: &FieldPath, value: &Value) -> Result<u64, Failure> {
    let text = plain_text(value);
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        Failure::new(Class::Answer, format!("`{path}` is {shown}, not a whole number"))
    })
}

/// What an answer says of the next page. `null`, `false` and an empty text say that there is none.
fn next_of(told: &Told, said: Option<(FieldPath, Value)>, asked: &Url) -> Result<Next, Failure> {
    let Some((path, value)) = said else { return Ok(Next::Unsaid) };
    if matches!(value, Value::Null | Value::Bool(false)) || value.as_str().is_some_and(str::is_empty) {
        return Ok(Next::End);
    }
    let text = match &told.kind {
        NextKind::Value => plain_text(&value),
        NextKind::Address { parameter } => of_address(asked, &plain_text(&value), parameter)
            .map_err(|problem| Failure::new(Class::Answer, problem))?,
    };
    Ok(Next::At(match told.first {
        Some(_) => Position::Number(whole(&path, &Value::from(text))?),
        None => Position::Token(Some(text)),
    }))
}

fn read_row(
    pull: &Pull,
    fields: &[FieldPath],
    content: Box<RawValue>,
) -> Result<Record, (Box<RawValue>, String)> {
    let values = fields_of(&content, fields);
    let mut key = String::new();
    for (path, value) in pull.key.iter().zip(&values) {
        let part = match value {
            None | Some(Value::Null) => {
                return Err((content, format!("the row has no `{path}`, which is its key")));
            }
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err((content, format!("`{path}`, the row's key, is neither text nor number")));
            }
            Some(scalar) => plain_text(scalar),
        };
        if part.is_empty() {
            return Err((content, format!("`{path}`, the row's key, is empty")));
        }
        if !key.is_empty() {
            key.push(KEY_SEPARATOR);
        }
        key.push_str(&part);
    }
    let cursor = match (pull.changed(), values.get(pull.key.len())) {
        (Some(changed), Some(Some(value))) => changed.format.read(value),
        _ => None,
    };
    let digest = Digest::of(content.get().as_bytes());
    Ok(Record { key, cursor, content, digest, group: Vec::new() })
}
