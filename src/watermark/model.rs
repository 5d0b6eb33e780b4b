//! The walk against a platform that changes between any two pages, as a model without I/O: a list of rows, the real
//! [`Walk`], and a map of what was delivered. Rows are re-dated (one or a few hundred at once), edited and edited back,
//! inserted, committed late, dated in the future and back, deleted; the list is sorted by date either way or by id; pages
//! are small, totals right, constantly wrong or missing; runs are cut off after any page and taken up again. Once the
//! platform is quiet, two more runs must have brought every row there is with its latest content.
//!
//! `WALK_SEEDS=10000 cargo test --lib watermark::model` tries as many worlds; `WALK_SEED=17` that one.

use super::walk::{Next, PageFacts, Position, RowFact, Steps, Stuck, Walk, WalkRules, Walked};
use super::{Cursor, CursorFormat};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, HashSet};

const SETTLE: i64 = 60_000;
const OVERLAP: i64 = 600_000;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    content: u64,
    cursor: Cursor,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sort {
    Ascending,
    Descending,
    ById,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Totals {
    Exact,
    /// So many items more, or fewer, than there are; the number of pages is right.
    ItemsOff(i64),
    /// So many items more, and the pages to go with them.
    TooHigh(u64),
    Missing,
}

struct Platform {
    dice: StdRng,
    rows: BTreeMap<u64, Row>,
    /// The platform's clock, in milliseconds.
    now: i64,
    sort: Sort,
    totals: Totals,
    size: u64,
    next_id: u64,
    /// A row that goes and one that was committed late in the same breath leave no trace in a total.
    deletes: bool,
    busy: bool,
    /// How likely something changes between two pages.
    pace: f64,
}

struct Job {
    watermark: Option<Cursor>,
    known: BTreeMap<u64, Row>,
    erp: BTreeMap<u64, u64>,
    kept: Option<String>,
    stuck: Option<Stuck>,
    rules: WalkRules,
}

#[derive(Debug, PartialEq)]
enum Run {
    Proved,
    Unproved,
    Failed,
    CutOff,
}

impl Platform {
    fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let sort = [Sort::Ascending, Sort::Descending, Sort::ById][dice.random_range(0..3)];
        let totals = match dice.random_range(0..5) {
            0 | 1 => Totals::Exact,
            2 => Totals::ItemsOff([-1, 1, 3][dice.random_range(0..3)]),
            3 => Totals::TooHigh(dice.random_range(1..4)),
            _ => Totals::Missing,
        };
        let size = dice.random_range(1..8);
        let deletes = dice.random_bool(0.5);
        let pace = [0.03, 0.1, 0.4][dice.random_range(0..3)];
        let mut platform = Self {
            dice,
            rows: BTreeMap::new(),
            now: 1_000_000_000,
            sort,
            totals,
            size,
            next_id: 1,
            deletes,
            busy: true,
            pace,
        };
        for _ in 0..platform.dice.random_range(0..40) {
            let age = platform.dice.random_range(0..100_000_000);
            platform.insert(-age);
        }
        platform
    }

    /// Rows are dated in whole seconds.
    fn date(&self, offset: i64) -> Cursor {
        Cursor((self.now + offset).div_euclid(1000) * 1000)
    }

    fn insert(&mut self, offset: i64) {
        let row = Row { content: self.dice.random(), cursor: self.date(offset) };
        self.rows.insert(self.next_id, row);
        self.next_id += 1;
    }

    fn any(&mut self) -> Option<u64> {
        let at = self.dice.random_range(0..self.rows.len().max(1));
        self.rows.keys().nth(at).copied()
    }

    fn redate(&mut self) {
        let (now, ahead) = (self.date(0), self.date(5_000_000));
        let future = self.dice.random_bool(0.03);
        let change = self.dice.random_range(0..3);
        let Some(id) = self.any() else { return };
        if let Some(row) = self.rows.get_mut(&id) {
            row.cursor = if future { ahead } else { now };
            row.content = match change {
                0 => row.content,
                1 => row.content.wrapping_add(1),
                _ => row.content.wrapping_sub(1),
            };
        }
    }

    fn change(&mut self) {
        self.now += self.dice.random_range(1..3_000);
        if !self.busy || !self.dice.random_bool(self.pace) {
            return;
        }
        for _ in 0..self.dice.random_range(1..3) {
            match self.dice.random_range(0..10) {
                0..4 => self.redate(),
                4 => (0..self.dice.random_range(2..30)).for_each(|_| self.redate()),
                5 | 6 => self.insert(0),
                7 if self.deletes => {
                    if let Some(id) = self.any() {
                        self.rows.remove(&id);
                    }
                }
                7 => {
                    let late = self.dice.random_range(0..OVERLAP - SETTLE);
                    self.insert(-late);
                }
                8 => self.insert(5_000_000),
                _ => self.now += self.dice.random_range(0..100_000),
            }
        }
    }

    fn page(&mut self, low: Cursor, at: &Position, rules: &WalkRules) -> (PageFacts, Vec<(u64, Row)>) {
        let took = self.dice.random_range(0..2_000);
        let server_time = Cursor(self.date(0).0 - took);
        let mut rows: Vec<(u64, Row)> =
            self.rows.iter().filter(|(_, row)| row.cursor >= low).map(|(id, row)| (*id, *row)).collect();
        match self.sort {
            Sort::Ascending => rows.sort_by_key(|(id, row)| (row.cursor, *id)),
            Sort::Descending => rows.sort_by_key(|(id, row)| std::cmp::Reverse((row.cursor, *id))),
            Sort::ById => {}
        }
        let items = rows.len() as u64;
        let Position::Number(at) = *at else { panic!("pages are numbered here") };
        let skip = if rules.steps == Steps::Counted { (at - 1) * self.size } else { at };
        let told = skip + self.size;
        let next = if told < items { Next::At(Position::Number(told)) } else { Next::End };
        let (items, pages) = match self.totals {
            Totals::Exact => (Some(items), Some(items.div_ceil(self.size))),
            // Offsets have nothing but the number of rows: one that is too low ends the list early.
            Totals::ItemsOff(off) if off < 0 && rules.steps == Steps::Rows => (None, None),
            Totals::ItemsOff(off) => {
                (Some(items.saturating_add_signed(off)), Some(items.div_ceil(self.size)))
            }
            Totals::TooHigh(more) => (Some(items + more), Some((items + more).div_ceil(self.size))),
            Totals::Missing => (None, None),
        };
        let facts = PageFacts {
            server_time: Some(CursorFormat::EpochSeconds.floor(server_time)),
            total_pages: pages.filter(|_| rules.steps == Steps::Counted),
            total_items: items,
            next,
            ..PageFacts::default()
        };
        let page = rows.into_iter().skip(usize::try_from(skip).unwrap());
        (facts, page.take(usize::try_from(self.size).unwrap()).collect())
    }
}

impl Job {
    fn new(steps: Steps) -> Self {
        let first = Position::Number(u64::from(steps == Steps::Counted));
        let rules = WalkRules { first, steps, settle: SETTLE, ..WalkRules::default() };
        Self { watermark: None, known: BTreeMap::new(), erp: BTreeMap::new(), kept: None, stuck: None, rules }
    }

    /// One run, as the checkpoint of a pull performs it.
    fn run(&mut self, platform: &mut Platform) -> Run {
        let low = self.watermark.map_or(Cursor(0), |mark| mark.minus(OVERLAP));
        let mut walk = match self.kept.take() {
            Some(kept) => serde_json::from_str::<Walk>(&kept).unwrap().resumed(),
            None => Walk::new(Some(low), &self.rules),
        };
        let (mut seen, mut pass) = (HashSet::new(), 0);
        while let Some(at) = walk.ask().cloned() {
            platform.change();
            let (facts, rows) = platform.page(walk.low().unwrap(), &at, &self.rules);
            if pass != walk.pass() {
                pass = walk.pass();
                seen.clear();
            }
            let fact = |(id, row): &(u64, Row)| RowFact {
                cursor: Some(row.cursor),
                fingerprint: (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ row.content)
                    .wrapping_add(row.cursor.0.cast_unsigned().wrapping_mul(0xff51_afd7_ed55_8ccd)),
                seen: !seen.insert(*id),
            };
            let facts_of_rows: Vec<RowFact> = rows.iter().map(fact).collect();
            if let Err(stuck) = walk.page(&facts, facts_of_rows, &self.rules) {
                self.stuck = Some(stuck);
                self.kept = None;
                return Run::Failed;
            }
            for (id, row) in rows {
                if self.known.get(&id) != Some(&row) {
                    self.erp.insert(id, row.content);
                    self.known.insert(id, row);
                }
            }
            if walk.ask().is_some() {
                self.kept = Some(serde_json::to_string(&walk).unwrap());
                if platform.busy && platform.dice.random_bool(0.02) {
                    return Run::CutOff;
                }
            }
        }
        self.kept = None;
        match walk.walked() {
            Some(Walked::Proved(reached)) => {
                if let Some(reached) = reached.filter(|reached| self.watermark < Some(*reached)) {
                    self.watermark = Some(reached);
                    self.known.retain(|_, row| row.cursor >= reached.minus(OVERLAP));
                }
                Run::Proved
            }
            _ => Run::Unproved,
        }
    }
}

/// How its runs ended before it was quiet.
fn world(seed: u64) -> Vec<Run> {
    let mut platform = Platform::new(seed);
    let steps = match platform.dice.random_range(0..10) {
        0..3 => Steps::Told,
        3..5 => Steps::Rows,
        _ => Steps::Counted,
    };
    let mut job = Job::new(steps);
    let mut runs = Vec::new();
    for _ in 0..platform.dice.random_range(1..12) {
        runs.push(job.run(&mut platform));
        platform.now += platform.dice.random_range(0..400_000);
    }
    platform.busy = false;
    platform.now += SETTLE;
    // The first may be the rest of a walk that was cut off in its last pass.
    job.run(&mut platform);
    let run = job.run(&mut platform);
    let why = &job.stuck;
    assert_eq!(run, Run::Proved, "seed {seed}: a quiet platform must be read to its end: {why:?}");
    for (id, row) in &platform.rows {
        let Platform { sort, totals, size, .. } = platform;
        assert_eq!(
            job.erp.get(id),
            Some(&row.content),
            "seed {seed}: row {id}, dated {:?}, was missed; watermark {:?}, {sort:?}, {totals:?}, {size} a page, {steps:?}",
            row.cursor,
            job.watermark
        );
    }
    let now = Cursor(platform.now);
    assert!(
        job.watermark.is_none_or(|mark| mark <= now),
        "seed {seed}: a row from the future dragged the watermark"
    );
    runs
}

#[test]
fn whatever_a_list_does_while_it_is_walked_nothing_is_missed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("WALK_SEED") {
        world(seed);
        return;
    }
    let mut ends = BTreeMap::<String, u64>::new();
    let seeds = number("WALK_SEEDS").unwrap_or(200);
    for seed in 0..seeds {
        for run in world(seed) {
            *ends.entry(format!("{run:?}")).or_default() += 1;
        }
    }
    // A model in which nothing goes wrong tests nothing.
    if seeds >= 200 {
        assert!(["CutOff", "Proved", "Unproved"].iter().all(|end| ends.contains_key(*end)), "{ends:?}");
        assert!(
            ends.get("Failed").is_none_or(|failed| failed * 100 < ends["Proved"]),
            "the guards stop too many walks that only move: {ends:?}"
        );
    }
}
