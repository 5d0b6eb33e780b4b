//! A platform's list or feed as a [`Source`]: asks for what the [`Walk`] or the [`Feed`] wants and turns the rows into
//! records. Rows stay the bytes they came as; only their key and cursor are looked at. A page is read whole and found valid
//! before any of its rows is handed on. When a walk is proved is the walk's business, when the watermark moves the
//! checkpoint's.

mod follow;
mod page;
mod witness;

use super::{Client, Request, expand_path};
use crate::clock::SharedClock;
use crate::job::pull::{NextKind, Told};
use crate::job::{Pages, Pull};
use crate::transfer::{Chunk, Class, Failure, Record, Source};
use crate::watermark::{Broken, Cursor, CursorFormat, Feed, PageFacts, Position, Steps, Walk, WalkRules};
use crate::words::Template;
use futures_util::future::BoxFuture;
use page::ListPage;
use reqwest::Url;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use follow::waiting_row;
pub use witness::Witnesses;

/// What stands between the parts of a key of several fields.
pub const KEY_SEPARATOR: char = '\u{1f}';

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

/// What says where to read.
#[derive(Debug)]
pub enum Reader {
    /// A list of pages.
    Walk(SharedWalk),
    /// A feed of events.
    Feed(Feed),
}

/// The rules of the walk that a pull describes.
#[must_use]
pub fn walk_rules(pull: &Pull) -> WalkRules {
    let (first, steps) = match &pull.pages {
        Pages::Numbered { first, .. } => (Position::Number(*first), Steps::Counted),
        Pages::Offsets { first, .. } => (Position::Number(*first), Steps::Rows),
        Pages::Single => (Position::Number(1), Steps::Counted),
        Pages::Told(told) => (told.first.map_or(Position::Token(None), Position::Number), Steps::Told),
    };
    let settle = match pull.changed() {
        Some(changed) if changed.format != CursorFormat::Integer => changed.settle,
        _ => 0,
    };
    WalkRules { settle, first, steps, ..WalkRules::default() }
}

/// Is told of each page: what it said, which page of the pass it is, how many rows it has.
pub type Watch = Arc<dyn Fn(&PageFacts, u64, u64) + Send + Sync>;

/// Reads a platform's list page by page, or a feed answer by answer.
pub struct PullSource {
    client: Client,
    pull: Arc<Pull>,
    reader: Reader,
    clock: SharedClock,
    until: Option<Cursor>,
    /// Rows whose follow-up failed in earlier runs, by key.
    waiting: BTreeMap<String, Record>,
    witnesses: Witnesses,
    /// The request of the page at hand.
    asked: Option<Request>,
    /// The page at hand, while it has rows to hand on.
    open: Option<ListPage>,
    watch: Option<Watch>,
    turns: Arc<tokio::sync::Mutex<()>>,
    turn: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl PullSource {
    /// Reads what `reader` asks for. `turns` is shared by everything that reads for this job: from the request of a page
    /// until the next is asked for, nobody else does, so that an older answer never overwrites a newer one.
    #[must_use]
    pub fn new(
        client: &Client,
        pull: Arc<Pull>,
        reader: Reader,
        clock: SharedClock,
        turns: Arc<tokio::sync::Mutex<()>>,
    ) -> Self {
        Self {
            client: client.for_run(),
            pull,
            reader,
            clock,
            until: None,
            waiting: BTreeMap::new(),
            witnesses: Witnesses::default(),
            asked: None,
            open: None,
            watch: None,
            turns,
            turn: None,
        }
    }

    /// Follows these rows up as well, once the list or the feed is read to its end; see [`waiting_row`].
    #[must_use]
    pub fn with_waiting(mut self, rows: Vec<Record>) -> Self {
        self.waiting = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        self
    }

    /// Where every follow-up of this run says that its record is gone, these are asked for too.
    #[must_use]
    pub fn with_witnesses(mut self, witnesses: Witnesses) -> Self {
        self.witnesses = witnesses;
        self
    }

    /// Fills `{until}`, and tells of each page.
    #[must_use]
    pub fn bounded(mut self, until: Cursor, watch: Option<Watch>) -> Self {
        self.until = Some(until);
        self.watch = watch;
        self
    }

    /// The request for what is to be read next, if anything is.
    ///
    /// # Errors
    /// [`Class::Config`]: nothing fills one of its placeholders.
    pub fn next_request(&self) -> Result<Option<Request>, Failure> {
        Ok(self.ask()?.map(|(request, _)| request))
    }

    /// The same, with what is asked for in an operator's words.
    fn ask(&self) -> Result<Option<(Request, String)>, Failure> {
        let (position, since) = match &self.reader {
            Reader::Walk(walk) => {
                let Some((position, low)) = walk.with(|walk| Some((walk.ask()?.clone(), walk.low()))) else {
                    return Ok(None);
                };
                let since = self.pull.changed().zip(low);
                let since = since.map(|(changed, low)| changed.format.write_low(low));
                (Some(position), since)
            }
            Reader::Feed(feed) => match feed.ask() {
                Some(id) => (None, Some(id.to_string())),
                None => return Ok(None),
            },
        };
        let at = match (&position, &since) {
            (Some(position), _) => format!("{} {position}", self.pages_go_by()),
            (None, since) => format!("the events from id {}", since.as_deref().unwrap_or_default()),
        };
        Ok(Some((self.request(position.as_ref(), since)?, at)))
    }

    async fn next_chunk(&mut self) -> Result<Option<Chunk>, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                // Given back and taken again: who waits has its turn now.
                self.turn = None;
                self.turn = Some(Arc::clone(&self.turns).lock_owned().await);
                let Some((request, at)) = self.ask()? else { return Ok(self.waiting_chunk()) };
                self.open(request, at).await?
            }
        };
        let chunk = open.window().await.map_err(|failure| open.located(failure))?;
        if chunk.progress.is_none() {
            self.open = Some(open);
        }
        Ok(Some(chunk))
    }

    fn waiting_chunk(&mut self) -> Option<Chunk> {
        let waiting = std::mem::take(&mut self.waiting);
        (!waiting.is_empty()).then(|| Chunk { records: waiting.into_values().collect(), ..Chunk::default() })
    }

    async fn open(&mut self, request: Request, at: String) -> Result<ListPage, Failure> {
        let shown = request.shown();
        let located = |failure| page::located(&shown, &at, failure);
        let answer = self.client.call(&request).await.map_err(located)?;
        if !answer.is_success() {
            return Err(located(answer.refusal()));
        }
        let address = self.client.address(&request).map_err(|error| Failure::new(Class::Config, error))?;
        let now = self.clock.now();
        let mut page = ListPage::open(&self.pull, answer, &address, (shown.clone(), at.clone()), now)
            .await
            .map_err(located)?;
        self.asked = Some(request);
        if let (Some(watch), Reader::Walk(walk)) = (&self.watch, &self.reader) {
            watch(&page.facts, walk.with(|walk| walk.pages()) + 1, page.rows);
        }
        if let Reader::Feed(feed) = &mut self.reader {
            let broken = |broken: Broken| located(Failure::new(Class::Answer, broken.to_string()));
            page.reached = Some(feed.page(page.next_id, page.rows).map_err(broken)?);
        }
        Ok(page)
    }

    /// What a position is, in an operator's words.
    fn pages_go_by(&self) -> &'static str {
        match &self.pull.pages {
            Pages::Told(Told { kind: NextKind::Value, first: Some(_), .. }) | Pages::Offsets { .. } => {
                "offset"
            }
            _ => "page",
        }
    }

    fn request(&self, position: Option<&Position>, since: Option<String>) -> Result<Request, Failure> {
        let until = self.until.zip(self.pull.changed());
        let until = until.map(|(until, changed)| changed.format.write_high(until));
        let value = |name: &str| match (name, position) {
            ("since", _) => since.clone(),
            ("until", _) => until.clone(),
            ("page" | "offset" | "cursor", Some(Position::Number(number))) => Some(number.to_string()),
            ("page" | "offset" | "cursor", Some(Position::Token(token))) => token.clone(),
            _ => None,
        };
        request(&self.pull.get, &self.pull.params, value)
    }
}

/// A GET of this path and query. A parameter that is nothing but a placeholder without a value is left out.
fn request(
    get: &Template,
    params: &[(String, Template)],
    value: impl Fn(&str) -> Option<String>,
) -> Result<Request, Failure> {
    let mut query = Vec::with_capacity(params.len());
    for (name, template) in params {
        match template.fill(&value) {
            Ok(text) => query.push((name.clone(), text)),
            Err(_) if template.sole_placeholder().is_some() => {}
            Err(placeholder) => {
                let message = format!("nothing fills the placeholder `{{{placeholder}}}` of `{name}`");
                return Err(Failure::new(Class::Config, message));
            }
        }
    }
    let path = expand_path(get, value).map_err(|error| Failure::new(Class::Config, error.to_string()))?;
    Ok(Request::get(path, query))
}

/// The value to ask the next page with: of its address, which must be the list's own, one parameter.
fn of_address(asked: &Url, next: &str, parameter: &str) -> Result<String, String> {
    let target =
        asked.join(next).map_err(|error| format!("the next page's address can't be read: {error}"))?;
    if target.origin() != asked.origin() || target.path() != asked.path() {
        return Err(format!(
            "the next page is said to be at {}{}, which is not the list that was asked for; nothing is sent there",
            target.origin().ascii_serialization(),
            target.path()
        ));
    }
    let value = target.query_pairs().find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned());
    value.ok_or_else(|| format!("the next page's address has no parameter `{parameter}`"))
}

impl Source for PullSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(self.next_chunk())
    }

    fn follow<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.follow_up(chunk))
    }

    fn requests(&self) -> u64 {
        self.client.requests_sent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_next_address_only_the_parameter_is_taken() {
        let asked = Url::parse("https://b2.example.com/api/Order/updatedFrom?date=x&page=1").unwrap();
        let of = |next: &str| of_address(&asked, next, "page");
        assert_eq!(of("/api/Order/updatedFrom?date=y&page=2&token=z"), Ok("2".to_owned()));
        assert_eq!(of("?page=a%2Fb"), Ok("a/b".to_owned()));
        for elsewhere in [
            "https://evil.example.com/api/Order/updatedFrom?page=2&date=secret",
            "http://b2.example.com/api/Order/updatedFrom?page=2&date=secret",
            "//b2.example.com:8443/api/Order/updatedFrom?page=2&date=secret",
            "/api/Client/all?page=2&date=secret",
        ] {
            let refused = of(elsewhere).unwrap_err();
            assert!(refused.contains("nothing is sent there") && !refused.contains("secret"), "{refused}");
        }
        assert!(of("/api/Order/updatedFrom?offset=2").unwrap_err().contains("no parameter `page`"));
    }
}
