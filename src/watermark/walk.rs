//! A walk: reading all pages from a lower bound while the platform goes on changing. Rows that are edited move between
//! pages, and what moves from an unread page to a read one is missed without a trace; so a walk of several pages must be
//! *proved* before the watermark moves. [`Walk`] is told what each page held and says what to ask for next.
//!
//! A pass is clean when the platform's totals are there and the same on every page, no key came twice, the distinct keys
//! (rows without a key counted) are as many as the total says, no row is dated after the first response, and the pass was
//! not resumed after a crash. If it is not clean, the same lower bound is walked again, until a pass is clean or two passes
//! in a row brought exactly the same rows (a total may lie constantly). After [`WalkRules::passes`] the walk ends unproved:
//! everything read was delivered, but the watermark stays.

use super::Cursor;
use serde::{Deserialize, Serialize};

/// The limits of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkRules {
    /// Passes before a walk is given up as unproved.
    pub passes: u32,
    /// Pages in a row that bring nothing new before the platform is said to be going round in circles.
    pub idle_pages: u32,
    /// The number of the first page.
    pub first_page: u64,
    /// What is younger than the server's clock less this may still be moving, in milliseconds.
    pub settle: i64,
}

impl Default for WalkRules {
    fn default() -> Self {
        Self { passes: 5, idle_pages: 5, first_page: 1, settle: 60_000 }
    }
}

/// What one response said beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageFacts {
    /// The server's clock when it began to answer: the Date header less the time the request took.
    pub server_time: Option<Cursor>,
    /// The number of pages, as this page tells it.
    pub total_pages: Option<u64>,
    /// The number of rows in all pages, as this page tells it.
    pub total_items: Option<u64>,
    /// Rows on this page that have no key.
    pub keyless: u64,
}

/// How far the source has been read once the records of its chunk are safe: the facts of the page they came on.
pub type Progress = PageFacts;

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

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Ask for this page.
    Page(u64),
    /// The walk is over.
    Done,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// Nothing was missed: the watermark may move here, if it lies ahead.
    Proved(Option<Cursor>),
    /// No pass could be proved; the watermark stays.
    Unproved,
}

/// The platform sends page after page with nothing new on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the platform goes round in circles: {0} pages in a row brought only rows that were there before")]
pub struct Stuck(pub u32);

/// A walk under way. Serialised with each page's records, so that a crash resumes at the next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Rows seen in a pass carry this number.
    stamp: u64,
    /// Where it asks from.
    low: Option<Cursor>,
    /// The watermark goes no further than this: the server's clock at the start, less `settle`.
    high: Option<Cursor>,
    /// The highest cursor of any row.
    highest: Option<Cursor>,
    /// 1 for the first pass.
    pass: u32,
    /// The page to ask for next.
    page: u64,
    done: Option<bool>,
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
    idle: u32,
    started: Option<Cursor>,
    total_items: Option<u64>,
    total_pages: Option<u64>,
    /// Anything that spoils the proof: totals that moved or lacked, a key twice, a row from the future, a resumption.
    spoiled: bool,
}

impl Walk {
    /// A new walk from `low` (inclusive). `stamp` must be higher than that of any walk before, and leave room for as
    /// many passes as the rules allow.
    #[must_use]
    pub fn new(stamp: u64, low: Option<Cursor>, rules: &WalkRules) -> Self {
        Self {
            stamp,
            low,
            high: None,
            highest: None,
            pass: 1,
            page: rules.first_page,
            done: None,
            current: Pass::default(),
            previous: None,
        }
    }

    /// Goes on with a walk that a crash interrupted: the pass can't be clean any more.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        if self.current.pages > 0 {
            self.current.spoiled = true;
        }
        self
    }

    /// The mark of rows seen in the current pass.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.stamp
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

    /// What to do next.
    #[must_use]
    pub fn ask(&self) -> Ask {
        if self.done.is_some() { Ask::Done } else { Ask::Page(self.page) }
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

    /// Takes in one page, just read from the number [`Walk::ask`] gave.
    pub fn page(
        &mut self,
        facts: &PageFacts,
        rows: impl IntoIterator<Item = RowFact>,
        rules: &WalkRules,
    ) -> Result<(), Stuck> {
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
        let (mut fresh, mut on_page) = (0, 0);
        for row in rows {
            on_page += 1;
            pass.rows += 1;
            // Wrapping addition: equal for equal rows in whatever order they came.
            pass.fingerprint = pass.fingerprint.wrapping_add(row.fingerprint);
            if row.seen {
                pass.spoiled = true;
            } else {
                pass.distinct += 1;
                fresh += 1;
            }
            if row.cursor.is_some_and(|cursor| pass.started.is_none_or(|started| cursor >= started)) {
                pass.spoiled = true;
            }
            self.highest = self.highest.max(row.cursor);
        }
        pass.rows += facts.keyless;
        pass.keyless += facts.keyless;
        pass.idle = if fresh + facts.keyless > 0 { 0 } else { pass.idle + 1 };
        if self.last_page(facts, on_page + facts.keyless, rules) {
            self.end_pass(rules);
        } else if self.current.idle >= rules.idle_pages {
            return Err(Stuck(self.current.idle));
        } else {
            self.page += 1;
        }
        Ok(())
    }

    /// The server's own totals say where the end is, never a short page; only where it tells none, an empty page does.
    fn last_page(&self, facts: &PageFacts, on_page: u64, rules: &WalkRules) -> bool {
        match (facts.total_pages, facts.total_items) {
            (Some(pages), _) => self.page + 1 >= rules.first_page + pages,
            (None, Some(items)) => self.current.rows >= items || on_page == 0,
            (None, None) => on_page == 0,
        }
    }

    fn end_pass(&mut self, rules: &WalkRules) {
        let pass = &self.current;
        let counted = pass.total_items == Some(pass.distinct + pass.keyless);
        // One response is one moment of the platform: nothing can move between its rows.
        let clean = pass.pages == 1 || (counted && !pass.spoiled);
        let sum = (pass.rows, pass.fingerprint);
        if clean || self.previous == Some(sum) {
            self.done = Some(true);
        } else if self.pass >= rules.passes {
            self.done = Some(false);
        } else {
            self.previous = Some(sum);
            self.pass += 1;
            self.stamp += 1;
            self.page = rules.first_page;
            self.current = Pass::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: WalkRules = WalkRules { passes: 5, idle_pages: 5, first_page: 1, settle: 60_000 };

    fn facts(pages: u64, items: u64) -> PageFacts {
        PageFacts {
            server_time: Some(Cursor(10_000_000)),
            total_pages: Some(pages),
            total_items: Some(items),
            keyless: 0,
        }
    }

    fn row(n: u64) -> RowFact {
        RowFact { cursor: Some(Cursor(1_000 + n.cast_signed())), fingerprint: n, seen: false }
    }

    fn again(n: u64) -> RowFact {
        RowFact { seen: true, ..row(n) }
    }

    fn walk() -> Walk {
        Walk::new(7 << 8, Some(Cursor(0)), &RULES)
    }

    #[test]
    fn a_clean_walk_moves_the_watermark_to_its_highest_row() {
        let mut walk = walk();
        walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
        assert_eq!(walk.ask(), Ask::Page(2));
        walk.page(&facts(2, 3), [row(3)], &RULES).unwrap();
        assert_eq!(walk.ask(), Ask::Done);
        assert_eq!(walk.walked(), Some(Walked::Proved(Some(Cursor(1_003)))));
    }

    #[test]
    fn a_row_from_the_future_does_not_drag_the_watermark() {
        let mut walk = walk();
        let future = RowFact { cursor: Some(Cursor(99_000_000)), fingerprint: 9, seen: false };
        walk.page(&facts(1, 2), [row(1), future], &RULES).unwrap();
        assert_eq!(walk.walked(), Some(Walked::Proved(Some(Cursor(10_000_000 - 60_000)))));
    }

    #[test]
    fn a_missing_row_makes_another_pass() {
        let mut walk = walk();
        walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
        // Row 4 moved to page 1 while page 2 was on its way.
        walk.page(&facts(2, 4), [row(3)], &RULES).unwrap();
        assert_eq!((walk.pass(), walk.ask(), walk.stamp()), (2, Ask::Page(1), (7 << 8) + 1));
        walk.page(&facts(2, 4), [row(4), row(1)], &RULES).unwrap();
        walk.page(&facts(2, 4), [row(2), row(3)], &RULES).unwrap();
        assert_eq!(walk.ask(), Ask::Done);
    }

    #[test]
    fn a_total_that_always_lies_is_believed_after_two_equal_passes() {
        let mut walk = walk();
        for _ in 0..2 {
            assert_ne!(walk.ask(), Ask::Done);
            walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
            walk.page(&facts(2, 4), [row(3)], &RULES).unwrap();
        }
        assert!(matches!(walk.walked(), Some(Walked::Proved(_))));
    }

    #[test]
    fn a_platform_that_never_holds_still_leaves_the_watermark() {
        let mut walk = walk();
        for pass in 0..5 {
            walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
            walk.page(&facts(2, 4), [row(10 + pass)], &RULES).unwrap();
        }
        assert_eq!(walk.walked(), Some(Walked::Unproved));
    }

    #[test]
    fn a_key_that_comes_twice_or_a_total_that_moves_spoils_the_pass() {
        let mut twice = walk();
        twice.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
        twice.page(&facts(2, 3), [again(2), row(3)], &RULES).unwrap();
        assert_eq!(twice.pass(), 2);
        let mut moved = walk();
        moved.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
        moved.page(&facts(2, 4), [row(3), row(4)], &RULES).unwrap();
        assert_eq!(moved.pass(), 2);
    }

    #[test]
    fn a_resumed_pass_is_never_clean() {
        let mut walk = walk();
        walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
        let text = serde_json::to_string(&walk).unwrap();
        let mut walk = serde_json::from_str::<Walk>(&text).unwrap().resumed();
        assert_eq!(walk.ask(), Ask::Page(2));
        walk.page(&facts(2, 3), [row(3)], &RULES).unwrap();
        assert_eq!((walk.pass(), walk.ask()), (2, Ask::Page(1)));
    }

    #[test]
    fn rows_without_a_key_count_towards_the_total() {
        let mut walk = walk();
        walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
        walk.page(&PageFacts { keyless: 1, ..facts(2, 3) }, [], &RULES).unwrap();
        assert_eq!(walk.ask(), Ask::Done);
    }

    #[test]
    fn pages_that_bring_nothing_new_are_a_circle() {
        let mut walk = walk();
        let endless = facts(1_000, 9_999);
        walk.page(&endless, [row(1)], &RULES).unwrap();
        let stuck = (0..5).find_map(|_| walk.page(&endless, [again(1)], &RULES).err());
        assert_eq!(stuck, Some(Stuck(5)));
    }

    #[test]
    fn without_totals_an_empty_page_ends_the_pass_and_a_second_pass_proves_it() {
        let mut walk = walk();
        let none = PageFacts { total_pages: None, total_items: None, ..facts(0, 0) };
        for _ in 0..2 {
            walk.page(&none, [row(1)], &RULES).unwrap();
            walk.page(&none, [], &RULES).unwrap();
        }
        assert!(matches!(walk.walked(), Some(Walked::Proved(_))));
    }
}
