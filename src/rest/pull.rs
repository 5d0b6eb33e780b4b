//! A platform's list as a [`Source`]: asks for the pages that the [`Walk`] wants and turns their rows into records.
//! Rows stay the bytes they came as; only their key and cursor are looked at. A page is read whole and found valid
//! before any of its rows is handed on. When the walk is proved is the walk's business, when the watermark moves the
//! checkpoint's.

use super::rows::{Reading, fields_of, read_page};
use super::{Answer, Client, Request, expand_path};
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
    client: Client,
    pull: Arc<Pull>,
    walk: SharedWalk,
    clock: SharedClock,
}

impl PullSource {
    /// Reads what `walk` asks for.
    #[must_use]
    pub fn new(client: &Client, pull: Arc<Pull>, walk: SharedWalk, clock: SharedClock) -> Self {
        Self { client: client.for_run(), pull, walk, clock }
    }

    /// The request that the walk wants next, if any.
    ///
    /// # Errors
    /// [`Class::Config`]: nothing fills one of its placeholders.
    pub fn next_request(&self) -> Result<Option<Request>, Failure> {
        let (ask, low) = self.walk.with(|walk| (walk.ask(), walk.low()));
        let Ask::Page(page) = ask else { return Ok(None) };
        self.request(page, low).map(Some)
    }

    async fn next_page(&mut self) -> Result<Option<Chunk>, Failure> {
        let (ask, low) = self.walk.with(|walk| (walk.ask(), walk.low()));
        let Ask::Page(page) = ask else { return Ok(None) };
        let request = self.request(page, low)?;
        let asked = request.shown();
        let on_page = |Failure { class, message }: Failure| {
            let rest = message.strip_prefix(&asked).map_or_else(|| format!(": {message}"), str::to_owned);
            Failure::new(class, format!("{asked}, page {page}{rest}"))
        };
        let answer = self.client.call(&request).await.map_err(on_page)?;
        if !answer.is_success() {
            return Err(on_page(answer.refusal()));
        }
        let pull = Arc::clone(&self.pull);
        let chunk = tokio::task::spawn_blocking(move || read_chunk(&pull, answer, page))
            .await
            .map_err(|error| Failure::new(Class::Answer, format!("reading it broke off: {error}")))
            .flatten();
        chunk.map(Some).map_err(on_page)
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
        let path = expand_path(&self.pull.get, value)
            .map_err(|error| Failure::new(Class::Config, error.to_string()))?;
        Ok(Request::get(path, query))
    }
}

impl Source for PullSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(self.next_page())
    }

    fn requests(&self) -> u64 {
        self.client.requests_sent()
    }
}

fn read_chunk(pull: &Pull, mut answer: Answer, page: u64) -> Result<Chunk, Failure> {
    let (total, items) = match &pull.pages {
        Pages::Numbered { total, items, .. } => (total.clone(), items.clone()),
        Pages::Single => (None, None),
    };
    let wanted: Vec<FieldPath> = [total.clone(), items.clone()].into_iter().flatten().collect();
    let mut fields = pull.key.clone();
    fields.extend(pull.since.as_ref().map(|since| since.field.clone()));
    let mut chunk = Chunk::default();
    let took = i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX);
    let server_time = answer.date.map(|date| Cursor::at(date).minus(took));
    let mut row = 0;
    let body = answer.body.reader().map_err(|error| {
        Failure::new(Class::State, format!("the temporary file of a page can't be read: {error}"))
    })?;
    let reading = Reading { rows: pull.rows.clone(), wanted, xml: pull.xml.clone() };
    let facts = read_page(body, None, &reading, |content| {
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
    if let Some(error) = facts.error_hint {
        return Err(Failure::new(Class::Answer, format!("the platform answered with an error: {error}")));
    }
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

fn read_number(path: &FieldPath, value: &Value) -> Result<u64, Failure> {
    let text = plain_text(value);
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        Failure::new(Class::Answer, format!("`{path}` is {shown}, not a whole number"))
    })
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
    let cursor = match (&pull.since, values.get(pull.key.len())) {
        (Some(since), Some(Some(value))) => since.format.read(value),
        _ => None,
    };
    let digest = Digest::of(content.get().as_bytes());
    Ok(Record { key, cursor, content, digest, group: Vec::new() })
}
