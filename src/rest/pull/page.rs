//! One answer as a page: its rows as records, and what it says beside them.

use super::super::Answer;
use super::super::page::Page;
use super::super::rows::{Reading, fields_of};
use super::{KEY_SEPARATOR, of_address};
use crate::job::map::plain_text;
use crate::job::pull::{NextKind, Told};
use crate::job::{CursorFormat, Pages, Pull};
use crate::transfer::{Chunk, Class, Digest, Failure, Progress, Record, Rejected};
use crate::watermark::{Cursor, Next, PageFacts, Position};
use crate::words::{FieldPath, Template};
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// As much of a refused row is kept with its reject.
const KEPT_OF_A_ROW: usize = 4096;
/// A record dated further ahead of the server's clock than this is from the future, in milliseconds.
const FUTURE: i64 = 60_000;

/// One answer, its rows handed on in windows.
pub(super) struct ListPage {
    /// What it says beside its rows.
    pub(super) facts: PageFacts,
    pub(super) rows: u64,
    /// The next id of a feed, and what the feed makes of it.
    pub(super) next_id: Option<u64>,
    pub(super) reached: Option<Option<u64>>,
    page: Page<Result<Record, Rejected>>,
    /// What is dated after this is from the future.
    future: Option<Cursor>,
    /// The request and the place in the list, for an operator.
    place: (String, String),
}

/// The failure with the request and the place in the list it is about.
pub(super) fn located(shown: &str, at: &str, Failure { class, message }: Failure) -> Failure {
    let rest = message.strip_prefix(shown).map_or_else(|| format!(": {message}"), str::to_owned);
    Failure::new(class, format!("{shown}, {at}{rest}"))
}

impl ListPage {
    /// Reads an answer to the request that was sent to `asked`. A server that tells no time is taken to have ours.
    pub(super) async fn open(
        pull: &Arc<Pull>,
        answer: Answer,
        asked: &Url,
        place: (String, String),
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let date = Cursor::at(answer.date.unwrap_or(now));
        let began = date.minus(i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX));
        let (total, items, next) = match (&pull.pages, pull.feed()) {
            (_, Some(feed)) => (None, None, Some(&feed.next)),
            (Pages::Numbered { total, items, .. }, None) => (total.as_ref(), items.as_ref(), None),
            (Pages::Offsets { items, .. }, None) => (None, items.as_ref(), None),
            (Pages::Told(Told { next, total, items, .. }), None) => {
                (total.as_ref(), items.as_ref(), Some(next))
            }
            (Pages::Single, None) => (None, None, None),
        };
        let wanted = [total, items, next].into_iter().flatten().cloned().collect();
        let reading = Reading { rows: pull.rows.clone(), wanted, xml: pull.xml.clone() };
        let mut fields = pull.key.clone();
        fields.extend(pull.changed().map(|changed| changed.field.clone()));
        let (of_rows, at) = (Arc::clone(pull), place.1.clone());
        let make = move |row, content| {
            read_row(&of_rows, &fields, content).map_err(|(content, reason)| {
                let content: String = content.get().chars().take(KEPT_OF_A_ROW).collect();
                Rejected::new(format!("row {row} of {at}"), content, reason)
            })
        };
        let mut page = Page::open(answer, reading, make).await?;

        let mut found = std::mem::take(&mut page.facts.found).into_iter();
        let mut said = |path: Option<&FieldPath>| path.and_then(|path| Some((path.clone(), found.next()??)));
        let number =
            |said: Option<(FieldPath, Value)>| said.map(|(path, value)| whole(&path, &value)).transpose();
        let mut facts = PageFacts {
            total_pages: number(said(total))?,
            total_items: number(said(items))?,
            ..PageFacts::default()
        };
        let next = said(next);
        let next_id = match (pull.feed(), &next) {
            (Some(_), Some((path, value))) if !value.is_null() => Some(whole(path, value)?),
            _ => None,
        };
        match &pull.pages {
            Pages::Single => facts.total_pages = Some(1),
            Pages::Told(told) => facts.next = next_of(told, next, asked)?,
            Pages::Numbered { .. } | Pages::Offsets { .. } => {}
        }
        let by_time = pull.changed().filter(|changed| changed.format != CursorFormat::Integer);
        facts.server_time = Some(match (pull.changed(), by_time) {
            (_, Some(changed)) => changed.format.floor(began),
            // No id is younger than the clock.
            (Some(_), None) => Cursor(i64::MAX),
            (None, None) => began,
        });
        let rows = page.facts.rows;
        let asks_for_rows =
            |template: &Template| template.fill(|_| None).is_ok_and(|text| text == rows.to_string());
        facts.full = rows > 0 && pull.params.iter().any(|(_, template)| asks_for_rows(template));
        let future = by_time.map(|_| date.minus(-FUTURE));
        Ok(Self { facts, rows: rows as u64, next_id, reached: None, page, future, place })
    }

    /// The next rows; with the last of them, how far the source is read.
    pub(super) async fn window(&mut self) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::default();
        let window = self.page.next().await?;
        let is_last = window.as_ref().is_none_or(|window| window.is_last);
        for row in window.into_iter().flat_map(|window| window.rows) {
            match row {
                Ok(record) => {
                    let ahead =
                        record.cursor.filter(|cursor| self.future.is_some_and(|future| *cursor > future));
                    self.facts.future += u64::from(ahead.is_some());
                    self.facts.latest = self.facts.latest.max(ahead);
                    chunk.records.push(record);
                }
                Err(rejected) => chunk.rejected.push(rejected),
            }
        }
        self.facts.keyless += chunk.rejected.len() as u64;
        if is_last {
            let facts = std::mem::take(&mut self.facts);
            chunk.progress = Some(match self.reached {
                Some(reached) => Progress::Feed { reached },
                None => Progress::Page(facts),
            });
        }
        Ok(chunk)
    }

    pub(super) fn located(&self, failure: Failure) -> Failure {
        located(&self.place.0, &self.place.1, failure)
    }
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
