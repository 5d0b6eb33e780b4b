//! A platform's list as a [`Source`]: asks for the pages that the [`Walk`] wants and turns their rows into records.
//! Rows stay the bytes they came as; only their key and cursor are looked at. A page is read whole and found valid
//! before any of its rows is handed on. When the walk is proved is the walk's business, when the watermark moves the
//! checkpoint's.

use super::client::{Answer, Client, Request};
use super::rows::{PageError, fields_of, read_page};
use crate::clock::SharedClock;
use crate::job::map::plain_text;
use crate::job::{Pages, Pull};
use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected, Source};
use crate::watermark::{Ask, Cursor, PageFacts, Walk, WalkRules};
use crate::words::FieldPath;
use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands between the parts of a key of several fields.
pub const KEY_SEPARATOR: char = '\u{1f}';
/// As much of a refused row is kept with its reject.
const KEPT_OF_A_ROW: usize = 4096;

/// A walk that its source and its checkpoint look at in turns: the source asks it for the next page, the checkpoint
/// tells it what the page held.
#[derive(Debug, Clone)]
pub struct SharedWalk(Arc<Mutex<Walk>>);

impl SharedWalk {
    /// Shares a walk.
    #[must_use]
    pub fn new(walk: Walk) -> Self {
        Self(Arc::new(Mutex::new(walk)))
    }

    /// Looks at the walk, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Walk) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rules of the walk that a pull describes.
#[must_use]
pub fn walk_rules(pull: &Pull) -> WalkRules {
    let settle = pull.since.as_ref().map_or(0, |since| since.settle.as_millis());
    let first_page = match &pull.pages {
        Pages::Numbered { first, .. } => *first,
        Pages::Single => 1,
    };
    WalkRules { settle: i64::try_from(settle).unwrap_or(i64::MAX), first_page, ..WalkRules::default() }
}

/// Reads a platform's list page by page.
pub struct PullSource {
    client: Arc<Client>,
    pull: Arc<Pull>,
    walk: SharedWalk,
    clock: SharedClock,
    sent_before: u64,
    sent: u64,
}

impl PullSource {
    /// Reads what `walk` asks for.
    #[must_use]
    pub fn new(client: Arc<Client>, pull: Arc<Pull>, walk: SharedWalk, clock: SharedClock) -> Self {
        let sent_before = client.requests_sent();
        Self { client, pull, walk, clock, sent_before, sent: 0 }
    }

    async fn next_page(&mut self) -> Result<Option<Chunk>, Failure> {
        let (ask, low) = self.walk.with(|walk| (walk.ask(), walk.low()));
        let Ask::Page(page) = ask else { return Ok(None) };
        let request = self.request(page, low)?;
        let answer = self.client.call(&request).await;
        self.sent = self.client.requests_sent() - self.sent_before;
        let answer = answer?;
        if !answer.is_success() {
            return Err(answer.refusal(&request));
        }
        let asked = format!("{} page {page}", self.pull.get_text());
        let pull = Arc::clone(&self.pull);
        let chunk = tokio::task::spawn_blocking(move || read_chunk(&pull, answer, page))
            .await
            .map_err(|error| Failure::new(Class::Answer, format!("{asked}: reading it broke off: {error}")))?
            .map_err(|error| Failure::new(Class::Answer, format!("{asked}: {error}")))?;
        Ok(Some(chunk))
    }

    fn request(&self, page: u64, low: Option<Cursor>) -> Result<Request, Failure> {
        let since = match (&self.pull.since, low) {
            (Some(since), Some(low)) => Some(since.format.write_low(low, self.clock.now())),
            _ => None,
        };
        let value = |name: &str| match name {
            "since" => since.clone(),
            "page" => Some(page.to_string()),
            _ => None,
        };
        let unknown = |name: &str| {
            Failure::new(Class::Config, format!("nothing fills the placeholder `{{{name}}}` of this pull"))
        };
        let mut query = Vec::with_capacity(self.pull.params.len());
        for (name, template) in &self.pull.params {
            query.push((name.clone(), template.fill(value).map_err(unknown)?));
        }
        let path = super::client::expand_path(&self.pull.get, value)
            .map_err(|error| Failure::new(Class::Config, error.to_string()))?;
        Ok(Request::get(path, query))
    }
}

impl Source for PullSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(self.next_page())
    }

    fn requests(&self) -> u64 {
        self.sent
    }
}

fn read_chunk(pull: &Pull, answer: Answer, page: u64) -> Result<Chunk, PageError> {
    let (total, items) = match &pull.pages {
        Pages::Numbered { total, items, .. } => (total.clone(), items.clone()),
        Pages::Single => (None, None),
    };
    let wanted: Vec<FieldPath> = [total.clone(), items.clone()].into_iter().flatten().collect();
    let mut fields = pull.key.clone();
    fields.extend(pull.since.as_ref().map(|since| since.field.clone()));
    let mut chunk = Chunk::default();
    let server_time = answer.server_time().map(Cursor::at);
    let mut row = 0;
    let facts = read_page(answer.into_reader(), &pull.rows, &wanted, |content| {
        row += 1;
        match read_row(pull, &fields, content) {
            Ok(record) => chunk.records.push(record),
            Err((content, reason)) => {
                let content = content.get().chars().take(KEPT_OF_A_ROW).collect();
                chunk.rejected.push(Rejected { key: format!("row {row} of page {page}"), content, reason });
            }
        }
        Ok(())
    })?;
    let mut found = facts.found.into_iter();
    let mut number = |path: &Option<FieldPath>| match path {
        Some(path) => found.next().flatten().map(|value| read_number(path, &value)).transpose(),
        None => Ok(None),
    };
    let (mut total_pages, total_items) = (number(&total)?, number(&items)?);
    if pull.pages == Pages::Single {
        total_pages = Some(1);
    }
    let keyless = chunk.rejected.len() as u64;
    chunk.progress = Some(PageFacts { server_time, total_pages, total_items, keyless });
    Ok(chunk)
}

fn read_number(path: &FieldPath, value: &Value) -> Result<u64, PageError> {
    let text = plain_text(value);
    text.trim().parse().map_err(|_| {
        PageError::Field(format!("`{path}` is {}, not a whole number", text.chars().take(40).collect::<String>()))
    })
}

fn read_row(
    pull: &Pull,
    fields: &[FieldPath],
    content: Box<RawValue>,
) -> Result<Record, (Box<RawValue>, String)> {
    let values = match fields_of(&content, fields) {
        Ok(values) => values,
        Err(error) => return Err((content, error.to_string())),
    };
    let mut key = String::new();
    for (path, value) in pull.key.iter().zip(&values) {
        let part = match value {
            None | Some(Value::Null) => return Err((content, format!("the row has no `{path}`, which is its key"))),
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
    let cursor = match (&pull.since, values.get(pull.key.len())) {
        (Some(since), Some(Some(value))) => since.format.read(value),
        _ => None,
    };
    let digest = Digest::of(content.get().as_bytes());
    Ok(Record { key, cursor, content, digest, group: Vec::new() })
}
