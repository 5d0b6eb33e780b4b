//! A ledger in memory that keeps the rules of [`Coordinator`]: all of a batch or nothing, claims by the exact slot.

use cadenced::clock::SharedClock;
use cadenced::planner::JobFacts;
use cadenced::run::{Cause, Entry, Outcome, RunId, Slot, SlotRange};
use cadenced::state::{
    Claimed, Closing, Coordinator, LedgerBatch, NewMark, Refusal, StateError, Token, Watermark,
};
use cadenced::words::JobName;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// One slot.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Nothing while its run goes.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) attempts: u32,
    pub(crate) reason: Option<Box<str>>,
    run: u64,
    updated: DateTime<Utc>,
}

/// All there is of one job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) accounted: Option<DateTime<Utc>>,
    pub(crate) slots: BTreeMap<DateTime<Utc>, Record>,
    pub(crate) ranges: Vec<SlotRange>,
    pub(crate) pending: BTreeMap<DateTime<Utc>, Cause>,
    pub(crate) paused: Option<String>,
    open: BTreeSet<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    succeeded: bool,
}

impl Page {
    /// How a slot ended; an entry of its own is right where a range covers it too.
    pub(crate) fn outcome(&self, at: DateTime<Utc>) -> Option<Outcome> {
        let covers = |range: &&SlotRange| (range.first..=range.last).contains(&at);
        match self.slots.get(&at) {
            Some(record) => record.outcome,
            None => self.ranges.iter().find(covers).map(|range| range.outcome),
        }
    }
}

/// The ledger of all jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    pub(crate) jobs: BTreeMap<JobName, Page>,
    runs: u64,
}

impl Books {
    pub(crate) fn page(&mut self, job: &JobName) -> &mut Page {
        if !self.jobs.contains_key(job) {
            self.jobs.insert(job.clone(), Page::default());
        }
        self.jobs.get_mut(job).unwrap()
    }

    pub(crate) fn write(&mut self, batch: LedgerBatch, now: DateTime<Utc>) -> Vec<Claimed> {
        for Closing { token, outcome, message, .. } in batch.closings {
            let page = self.page(&token.slot.job);
            let record = page.slots.get_mut(&token.slot.at).unwrap();
            assert_eq!((record.run, record.outcome), (token.run.0, None), "{} is not its run's", token.slot);
            (record.outcome, record.updated) = (Some(outcome), now);
            record.reason = message.map(Into::into);
            page.open.remove(&token.slot.at);
            page.succeeded |= outcome.went_through();
        }
        for entry in batch.entries {
            self.enter(entry, now);
        }
        batch.claims.into_iter().map(|claim| self.claim(claim.slot, now)).collect()
    }

    fn enter(&mut self, entry: Entry, now: DateTime<Utc>) {
        let page = self.page(entry.job());
        let (slot, outcome, reason) = match entry {
            Entry::Accounted { at, .. } => {
                page.accounted = Some(at);
                return;
            }
            Entry::Range(range) => {
                page.ranges.push(range);
                return;
            }
            Entry::Pending { slot, cause } => {
                page.pending.insert(slot.at, cause);
                return;
            }
            Entry::Skipped { slot, reason, .. } => (slot, Outcome::Skipped, reason),
            Entry::Interrupted { slot } => (slot, Outcome::Interrupted, String::new()),
        };
        page.pending.remove(&slot.at);
        page.open.remove(&slot.at);
        let before = page.slots.get(&slot.at);
        if before.is_some_and(|record| record.outcome.is_some()) {
            return;
        }
        let (attempts, run) = before.map_or((0, 0), |record| (record.attempts, record.run));
        let reason = Some(reason.into());
        page.slots.insert(slot.at, Record { outcome: Some(outcome), attempts, reason, run, updated: now });
    }

    fn claim(&mut self, slot: Slot, now: DateTime<Utc>) -> Claimed {
        let run = self.runs + 1;
        let page = self.page(&slot.job);
        page.pending.remove(&slot.at);
        let before = page.slots.get(&slot.at);
        match before.and_then(|record| record.outcome) {
            None | Some(Outcome::Failed | Outcome::Interrupted) => {}
            Some(outcome) => return Claimed::Refused(Refusal::Ended(outcome)),
        }
        let attempt = before.map_or(0, |record| record.attempts) + 1;
        let record = Record { outcome: None, attempts: attempt, reason: None, run, updated: now };
        page.slots.insert(slot.at, record);
        page.open.insert(slot.at);
        page.last = Some(slot.at);
        self.runs = run;
        Claimed::Granted(Token { run: RunId(run), slot, attempt })
    }

    /// What a new process is told.
    pub(crate) fn facts(&self) -> BTreeMap<JobName, JobFacts> {
        let facts = |page: &Page| JobFacts {
            accounted: page.accounted,
            interrupted: page.open.iter().copied().collect(),
            pending: page.pending.iter().map(|(at, cause)| (*at, *cause)).collect(),
            failed: page.last.and_then(|at| {
                let record = &page.slots[&at];
                (record.outcome == Some(Outcome::Failed)).then_some((at, record.attempts, record.updated))
            }),
            paused: page.paused.clone(),
            initial_done: page.succeeded,
        };
        self.jobs.iter().map(|(job, page)| (job.clone(), facts(page))).collect()
    }
}

/// The books as a coordinator, which can be made to fail.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    books: Books,
    batches: Vec<LedgerBatch>,
    failing: bool,
    attempts: usize,
}

impl Ledger {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn books(&self) -> Books {
        self.state().books.clone()
    }

    /// What was written, batch by batch.
    pub(crate) fn batches(&self) -> Vec<LedgerBatch> {
        self.state().batches.clone()
    }

    /// How often somebody tried to write.
    pub(crate) fn attempts(&self) -> usize {
        self.state().attempts
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// Writes down what a former process left behind.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Books)) {
        change(&mut self.state().books);
    }
}

impl Coordinator for Ledger {
    fn write(&self, batch: LedgerBatch) -> BoxFuture<'_, Result<Vec<Claimed>, StateError>> {
        Box::pin(async move {
            let mut state = self.state();
            state.attempts += 1;
            if state.failing {
                return Err(StateError::Stopping);
            }
            state.batches.push(batch.clone());
            Ok(state.books.write(batch, self.clock.now()))
        })
    }

    fn watermark<'a>(
        &'a self,
        _: &'a JobName,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Watermark>, StateError>> {
        Box::pin(async { Ok(None) })
    }

    fn commit_watermark<'a>(&'a self, _: &'a Token, _: NewMark) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }
}
