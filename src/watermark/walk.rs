//! A walk: reading all pages from a lower bound while the platform goes on changing. Rows that are edited move between
//! pages, and what moves from an unread page to a read one is missed without a trace; so a walk of several pages must be
//! *proved* before the watermark moves. [`Walk`] is told what each page held and says what to ask for next.
//!
//! A pass is clean when the platform's totals are there and the same on every page, no key came twice, the distinct keys
//! (rows without a key counted) are as many as the total says, no row is dated after the first response, and the pass was
//! not resumed after a crash. If it is not clean, the same lower bound is walked again, until a pass is clean or two passes
//! in a row brought exactly the same rows (a total may lie constantly). After [`WalkRules::passes`] the walk ends unproved:
//! everything read was delivered, but the watermark stays.
//!
//! Rows that come again are no sign of trouble: 500 rows re-dated in the middle of a walk push what was read before them
//! onto 50 later pages. What is: the same page three times in a row, a next page that lies before its own, empty pages
//! without end. Those stop the walk ([`Stuck`]).

use super::Cursor;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The limits of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkRules {
    /// Passes before a walk is given up as unproved.
    pub passes: u32,
    /// Empty pages in a row, and pages beyond the promised ones, before the platform is said to be stuck.
    pub idle_pages: u32,
    /// The first page.
    pub first: Position,
    /// How pages follow each other.
    pub steps: Steps,
    /// What is younger than the server's clock less this may still be moving, in milliseconds.
    pub settle: i64,
}

impl Default for WalkRules {
    fn default() -> Self {
        Self { passes: 5, idle_pages: 5, first: Position::Number(1), steps: Steps::Counted, settle: 60_000 }
    }
}

/// How pages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// By ones; totals, or an empty page, say where the end is.
    Counted,
    /// By the rows each page had: positions are offsets. The total of rows, or an empty page, says where the end is.
    Rows,
    /// Each page says what comes next, until one does not.
    Told,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// A page's number, or an offset.
    Number(u64),
    /// What the page before said stands for the next; nothing for the first page.
    Token(Option<String>),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Token(token) => f.write_str(token.as_deref().unwrap_or("the first")),
        }
    }
}

/// What a page says about the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Next {
    /// Nothing.
    #[default]
    Unsaid,
    /// That there is none.
    End,
    /// Which it is.
    At(Position),
}

/// What one response said beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageFacts {
    /// The server's clock when it began to answer: the Date header less the time the request took, rounded down to what
    /// the platform's cursors can say.
    pub server_time: Option<Cursor>,
    /// The number of pages, as this page tells it.
    pub total_pages: Option<u64>,
    /// The number of rows in all pages, as this page tells it.
    pub total_items: Option<u64>,
    /// Rows on this page that have no key.
    pub keyless: u64,
    /// What comes next, as this page tells it.
    pub next: Next,
    /// Whether it has as many rows as were asked for.
    pub full: bool,
    /// Rows dated after the server's clock.
    pub future: u64,
    /// The latest of their cursors.
    pub latest: Option<Cursor>,
}

/// What matters of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowFact {
    /// Its cursor, where it has a readable one.
    pub cursor: Option<Cursor>,
    /// The first eight bytes of the digest of its key and content.
    pub fingerprint: u64,
    /// Whether its key came before in this pass.
    pub seen: bool,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// Nothing was missed: the watermark may move here, if it lies ahead.
    Proved(Option<Cursor>),
    /// No pass could be proved; the watermark stays.
    Unproved,
}

/// Why the pages lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Whatever page is asked for, the same one comes.
    #[error(
        "page {page} of the list has the same rows as the page before it, though the platform promises more: does it know the \
         parameter that asks for a page?"
    )]
    Same {
        /// How many pages into the pass.
        page: u64,
    },
    /// The next page lies at or before its own.
    #[error("page {page} of the list, at {at}, says that {next} comes next: the list goes round in circles")]
    Back {
        /// How many pages into the pass.
        page: u64,
        /// Where it is.
        at: Position,
        /// What it says comes next.
        next: Position,
    },
    /// Empty pages that promise more.
    #[error(
        "{pages} pages of the list in a row are empty, and still the platform promises more (the last at {at})"
    )]
    Empty {
        /// How many.
        pages: u32,
        /// Where the last of them is.
        at: Position,
    },
    /// More pages than there should be.
    #[error("page {page} of the list promises more, though {promised} pages are all there should be")]
    Beyond {
        /// How many pages into the pass.
        page: u64,
        /// How many the platform promised.
        promised: u64,
    },
}

/// A walk under way. Serialised with each page's records, so that a crash resumes at the next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Where it asks from.
    low: Option<Cursor>,
    /// The watermark goes no further than this: the server's clock at the start, less `settle`.
    high: Option<Cursor>,
    /// The highest cursor of any row.
    highest: Option<Cursor>,
    /// 1 for the first pass.
    pass: u32,
    /// What to ask for next.
    at: Position,
    done: Option<bool>,
    /// Whether it was taken up after a crash and has not read a page since.
    idle: bool,
    current: Pass,
    /// Rows and fingerprint of the pass before.
    previous: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pass {
    pages: u64,
    rows: u64,
    distinct: u64,
    keyless: u64,
    fingerprint: u64,
    started: Option<Cursor>,
    total_items: Option<u64>,
    total_pages: Option<u64>,
    /// Anything that spoils the proof: totals that moved or lacked, a key twice, a row from the future, a resumption.
    spoiled: bool,
    resumed: bool,
    /// Rows and fingerprint of the page before.
    last: (u64, u64),
    /// How often in a row the same page came again.
    same: u32,
    /// Whether some page came again right after itself.
    repeated: bool,
    /// Empty pages in a row.
    empty: u32,
    /// A token that was given earlier, and for how many pages it is kept: a circle comes back to it (Brent).
    token: Option<(String, u64)>,
}

impl Walk {
    /// A new walk from `low` (inclusive).
    #[must_use]
    pub fn new(low: Option<Cursor>, rules: &WalkRules) -> Self {
        Self {
            low,
            high: None,
            highest: None,
            pass: 1,
            at: rules.first.clone(),
            done: None,
            idle: false,
            current: Pass::default(),
            previous: None,
        }
    }

    /// Goes on with a walk that a crash interrupted: the pass can't be clean any more.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.idle = true;
        if self.current.pages > 0 {
            self.current.spoiled = true;
            self.current.resumed = true;
        }
        self
    }

    /// Whether it asks as these rules say; a changed configuration may make an unfinished walk senseless.
    #[must_use]
    pub fn fits(&self, rules: &WalkRules) -> bool {
        self.done.is_none()
            && matches!(self.at, Position::Number(_)) == matches!(rules.first, Position::Number(_))
    }

    /// Whether it was taken up after a crash and has not read a page since: should that page fail, the list may have
    /// become shorter than where the walk stood.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// The lower bound, inclusive.
    #[must_use]
    pub fn low(&self) -> Option<Cursor> {
        self.low
    }

    /// The current pass, from 1.
    #[must_use]
    pub fn pass(&self) -> u32 {
        self.pass
    }

    /// How many pages of the current pass were read.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.current.pages
    }

    /// The page to ask for next; nothing at the end.
    #[must_use]
    pub fn ask(&self) -> Option<&Position> {
        self.done.is_none().then_some(&self.at)
    }

    /// How the walk ended, once it has.
    #[must_use]
    pub fn walked(&self) -> Option<Walked> {
        match self.done? {
            true => Some(Walked::Proved(match (self.highest, self.high) {
                (Some(highest), Some(high)) => Some(highest.min(high)),
                _ => None,
            })),
            false => Some(Walked::Unproved),
        }
    }

    /// Whether the last pass, proved and not resumed, saw every row there is by its key: only then is a key that it did
    /// not see absent. An empty list is no proof of absence.
    #[must_use]
    pub fn saw_everything(&self) -> bool {
        let pass = &self.current;
        self.done == Some(true) && !pass.resumed && pass.keyless == 0 && pass.distinct > 0
    }

    /// Takes in one page, just read from where [`Walk::ask`] said.
    pub fn page(
        &mut self,
        facts: &PageFacts,
        rows: impl IntoIterator<Item = RowFact>,
        rules: &WalkRules,
    ) -> Result<(), Stuck> {
        self.idle = false;
        let pass = &mut self.current;
        pass.pages += 1;
        if pass.pages == 1 {
            pass.started = facts.server_time;
            pass.total_items = facts.total_items;
            pass.total_pages = facts.total_pages;
            if self.high.is_none() {
                self.high = facts.server_time.map(|time| time.minus(rules.settle));
            }
        } else if (pass.total_items, pass.total_pages) != (facts.total_items, facts.total_pages) {
            pass.spoiled = true;
        }
        let (mut keyed, mut fingerprint) = (0, 0_u64);
        for row in rows {
            keyed += 1;
            // Wrapping addition: equal for equal rows in whatever order they came.
            fingerprint = fingerprint.wrapping_add(row.fingerprint);
            if row.seen {
                pass.spoiled = true;
            } else {
                pass.distinct += 1;
            }
            if row.cursor.is_some_and(|cursor| pass.started.is_none_or(|started| cursor >= started)) {
                pass.spoiled = true;
            }
            self.highest = self.highest.max(row.cursor);
        }
        let on_page = keyed + facts.keyless;
        let same = keyed > 0 && pass.pages > 1 && pass.last == (on_page, fingerprint);
        pass.same = if same { pass.same + 1 } else { 0 };
        pass.repeated |= same;
        pass.empty = if on_page == 0 { pass.empty + 1 } else { 0 };
        pass.last = (on_page, fingerprint);
        pass.rows += on_page;
        pass.keyless += facts.keyless;
        pass.fingerprint = pass.fingerprint.wrapping_add(fingerprint);
        match self.following(facts, on_page, rules)? {
            Some(next) => self.at = next,
            None => self.end_pass(rules)?,
        }
        Ok(())
    }

    /// The next page. The server's own words say where the end is, never a short page; only where it says nothing, an
    /// empty page does.
    fn following(
        &mut self,
        facts: &PageFacts,
        on_page: u64,
        rules: &WalkRules,
    ) -> Result<Option<Position>, Stuck> {
        let pass = &mut self.current;
        let page = pass.pages;
        let next = match (rules.steps, &self.at, &rules.first) {
            (Steps::Counted, Position::Number(at), Position::Number(first)) => {
                let is_last = match (facts.total_pages, facts.total_items) {
                    (Some(pages), _) => at.saturating_add(1) >= first.saturating_add(pages),
                    (None, Some(items)) => pass.rows >= items || on_page == 0,
                    (None, None) => on_page == 0,
                };
                (!is_last).then(|| Position::Number(at.saturating_add(1)))
            }
            // However many rows were asked for: a platform that gives fewer at a time must not have some left out.
            (Steps::Rows, Position::Number(at), _) => {
                let is_last = on_page == 0 || facts.total_items.is_some_and(|items| pass.rows >= items);
                (!is_last).then(|| Position::Number(at.saturating_add(on_page)))
            }
            _ => match &facts.next {
                Next::At(next) => Some(next.clone()),
                Next::End | Next::Unsaid => None,
            },
        };
        let Some(next) = next else { return Ok(None) };
        let back = || Stuck::Back { page, at: self.at.clone(), next: next.clone() };
        match (&self.at, &next) {
            (Position::Number(at), Position::Number(next)) if next <= at => return Err(back()),
            (_, Position::Token(Some(token))) if pass.comes_back_to(token) => return Err(back()),
            _ => {}
        }
        // A shift by exactly a page shows one page twice, a second one thrice; nothing shifts like that time after time.
        if pass.same >= rules.idle_pages {
            return Err(Stuck::Same { page });
        }
        let promised =
            pass.total_pages.filter(|promised| page > promised.saturating_add(rules.idle_pages.into()));
        match (rules.steps, promised) {
            // A list that grows while it is read has more pages than were promised at first, but they have rows.
            (Steps::Counted, Some(promised)) if pass.empty > rules.idle_pages => {
                Err(Stuck::Beyond { page, promised })
            }
            (Steps::Told, Some(promised)) => Err(Stuck::Beyond { page, promised }),
            (Steps::Told, None) if pass.empty > rules.idle_pages => {
                Err(Stuck::Empty { pages: pass.empty, at: self.at.clone() })
            }
            _ => Ok(Some(next)),
        }
    }

    fn end_pass(&mut self, rules: &WalkRules) -> Result<(), Stuck> {
        let pass = &self.current;
        let counts = |seen: u64| pass.total_items.map(|total| total == seen);
        // One response is one moment of the platform: nothing can move between its rows.
        let clean = if pass.pages == 1 {
            counts(pass.rows) != Some(false)
        } else {
            counts(pass.distinct + pass.keyless) == Some(true) && !pass.spoiled
        };
        let sum = (pass.rows, pass.fingerprint);
        let equal = self.previous == Some(sum);
        if !clean && equal && pass.repeated {
            // Not a list that moved: it is quiet, and one of its pages hides behind another.
            return Err(Stuck::Same { page: pass.pages });
        }
        if clean || equal {
            self.done = Some(true);
        } else if self.pass >= rules.passes {
            self.done = Some(false);
        } else {
            self.previous = Some(sum);
            self.pass += 1;
            self.at = rules.first.clone();
            self.current = Pass::default();
        }
        Ok(())
    }
}

impl Pass {
    /// Whether this token was given before in this pass. One token is kept for twice as many pages as the one before
    /// it, so that a circle of any length comes back to one in time.
    fn comes_back_to(&mut self, token: &str) -> bool {
        match &mut self.token {
            Some((kept, _)) if kept == token => return true,
            Some((_, until)) if self.pages < *until => {}
            kept => *kept = Some((token.to_owned(), self.pages.saturating_mul(2).max(1))),
        }
        false
    }
}

#[cfg(test)]
mod tests;
