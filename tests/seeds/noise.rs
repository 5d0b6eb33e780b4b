//! What a platform does while it is read: its rows change between two pages, and the next answer is not what was asked
//! for. Each is drawn from the seed alone.

use super::Tally;
use cadenced::sandbox::{B2Market, Fault, Totals};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// As late as a row may appear: it is promised to be found within the overlap.
pub(super) const LATEST: u64 = 600;

/// The changes and faults of one seed.
pub(super) struct Noise {
    dice: StdRng,
    /// How probable it is that something changes between two pages, in percent.
    changes: u32,
    /// How probable it is that the next answer is wrong, in percent.
    faults: u32,
    /// Changes still to come: a list that grew faster than it is read would never end.
    left: u32,
    quiet: Arc<AtomicBool>,
    tally: Tally,
    /// Rows dated in the future that nobody has edited yet.
    ahead: Vec<String>,
    /// A row that is edited and may be rolled back.
    young: Option<(String, Shown)>,
}

/// What is seen of a row.
enum Shown {
    AsItIs,
    Uncommitted,
}

impl Noise {
    pub(super) fn new(seed: u64, quiet: &Arc<AtomicBool>, tally: &Tally) -> Self {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x6e6f_6973_6500_0000);
        let level = |dice: &mut StdRng, levels: [u32; 4]| levels[dice.random_range(0..4)];
        let (changes, faults) = (level(&mut dice, [0, 15, 40, 90]), level(&mut dice, [0, 2, 6, 15]));
        let (quiet, tally) = (Arc::clone(quiet), tally.clone());
        Self { dice, changes, faults, left: 100, quiet, tally, ahead: Vec::new(), young: None }
    }

    /// Between one page and the next.
    pub(super) fn between_pages(&mut self, market: &B2Market) {
        if self.quiet.load(Ordering::Relaxed) {
            return;
        }
        // Less than `settle` altogether: the answer at hand is dated after this.
        market.wire.clock().advance(Duration::from_secs(self.dice.random_range(0..=20)));
        if self.chance(self.changes) {
            for _ in 0..self.dice.random_range(1..=3) {
                self.change(market);
            }
        }
        if self.chance(self.faults) {
            self.fault(market);
        }
    }

    /// Between one run and the next.
    pub(super) fn between_runs(&mut self, market: &B2Market) {
        for _ in 0..self.dice.random_range(0..=5) {
            self.change(market);
            market.wire.clock().advance(Duration::from_secs(self.dice.random_range(0..=200)));
        }
        if self.chance(self.faults) {
            self.fault(market);
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    fn any(&mut self, market: &B2Market) -> String {
        self.dice.random_range(1..=market.len()).to_string()
    }

    fn change(&mut self, market: &B2Market) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        let id = self.any(market);
        let what = match self.dice.random_range(0..100) {
            0..20 => {
                market.edit(&id);
                "edit"
            }
            20..30 => match self.young.take() {
                None => {
                    let id = market.late_commit(Duration::from_secs(self.dice.random_range(0..=30)));
                    self.young = Some((id, Shown::AsItIs));
                    "late commit"
                }
                Some((id, Shown::AsItIs)) => {
                    market.edit(&id);
                    self.young = Some((id, Shown::Uncommitted));
                    "edit shown before its commit"
                }
                // A → B → A to the letter: the row is as it was, and dated as it was.
                Some((id, Shown::Uncommitted)) => {
                    if market.roll_back(&id, Duration::from_secs(LATEST)) {
                        "edit rolled back"
                    } else {
                        "edit committed"
                    }
                }
            },
            30..37 => {
                // A → B → A: taken back what may have been read, or not, in between.
                market.undo(&id);
                "edit taken back"
            }
            37..45 => {
                market.redate(&id);
                "row dated anew"
            }
            45..55 => {
                for _ in 0..self.dice.random_range(3..=8) {
                    let id = self.any(market);
                    market.edit(&id);
                }
                "rows edited in the same second"
            }
            55..67 => {
                market.insert(self.dice.random_range(1..=3));
                "insert"
            }
            67..79 => {
                market.late_commit(Duration::from_secs(self.dice.random_range(0..=LATEST)));
                "late commit"
            }
            79..84 => {
                let ahead = Duration::from_secs(self.dice.random_range(30..=7200));
                self.ahead.push(market.future_dated(ahead));
                "row dated in the future"
            }
            84..90 => match self.ahead.pop() {
                Some(id) => {
                    market.edit(&id);
                    "row dated in the future edited"
                }
                None => {
                    market.withdraw(&id);
                    "row withdrawn"
                }
            },
            90..95 => {
                market.expire_tokens();
                "tokens expired"
            }
            95..97 => {
                market.set_max_page_size(self.dice.random_range(3..=12));
                "page size capped anew"
            }
            _ => {
                market.set_totals(self.totals());
                "totals told another way"
            }
        };
        self.tally.count(what);
    }

    /// What the platform says of its totals.
    pub(super) fn totals(&mut self) -> Totals {
        match self.dice.random_range(0..4) {
            0 | 1 => Totals::Exact,
            2 => Totals::OneTooHigh,
            _ => Totals::Missing,
        }
    }

    /// The next answers are not what was asked for; three failures in a row are more than the client bears.
    fn fault(&mut self, market: &B2Market) {
        let times = if self.chance(25) { 3 } else { 1 };
        let (what, fault) = match self.dice.random_range(0..10) {
            0 | 1 => ("500", Fault::status(500)),
            2 => ("429", Fault::too_many_requests("0")),
            3 => ("connection reset", Fault::Reset),
            4 => ("answer lost", Fault::AnswerLost),
            5 | 6 => ("body cut short", Fault::Truncated),
            7 => ("HTML with 200", Fault::html()),
            8 => ("error with 200", Fault::error_in_ok()),
            _ => ("200 without data", Fault::missing_data()),
        };
        market.wire.fail_next(times, "/Order/", fault);
        self.tally.count(what);
    }
}
