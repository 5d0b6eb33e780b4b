//! Pure decisions: facts and a time in, actions out. The planner does no I/O and never reads a clock, so that whole
//! days, nights when the clocks change and crashes are ordinary unit tests.
//!
//! It promises that every nominal slot of a live job is named exactly once: started, or written down as skipped or
//! missed with a reason. The scheduler performs a [`Plan`]: it writes it to the ledger, then starts its runs. What a
//! corrected clock makes the planner name again, the ledger refuses slot by slot.

mod job_state;

use crate::job::{Job, Trigger, Work};
use crate::run::{Cause, Entry, Outcome, Slot, SlotRange};
use crate::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use job_state::{JobState, Waiting};
use std::collections::{BTreeMap, BTreeSet};

/// A slot that is late by more than this is missed: what happens to it is a matter of catch-up.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);
/// The clock stepping back further than this arms every job anew.
pub const STEP_BACK: TimeDelta = TimeDelta::hours(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What the ledger knows of a job when the daemon starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Every nominal slot up to here has been written down. Nothing for a job never seen before.
    pub accounted: Option<DateTime<Utc>>,
    /// Slots whose run was open when the last process ended.
    pub interrupted: Vec<DateTime<Utc>>,
    /// Slots that waited for their run when the last process ended.
    pub pending: Vec<(DateTime<Utc>, Cause)>,
    /// The slot of the latest run, if that failed: its instant, attempts made, and when the last one ended.
    pub failed: Option<(DateTime<Utc>, u32, DateTime<Utc>)>,
    /// Paused, and why.
    pub paused: Option<String>,
    /// The job has had a successful run; an `initial` one is then never due again.
    pub initial_done: bool,
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// For which slot.
    pub slot: Slot,
    /// Why.
    pub cause: Cause,
}

/// What to do now: first write `entries` and claim `starts`, in one batch; then start the runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What goes into the ledger.
    pub entries: Vec<Entry>,
    /// What to run.
    pub starts: Vec<Start>,
    /// The clock was seen to step by this much (negative: back).
    pub clock_step: Option<TimeDelta>,
}

/// Why a job's slots can't run now: its platform lets nothing through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// In an operator's words.
    pub reason: String,
    /// Until then, if that is known.
    pub until: Option<DateTime<Utc>>,
}

/// Why a person's request can't be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such job.
    #[error("there is no job `{0}`; see: cadenced status")]
    Unknown(JobName),
    /// Its ends are not configured.
    #[error("{0} can't run: its ends are still to be configured")]
    Unconfigured(JobName),
    /// Its platform starts it.
    #[error("{0} can't be started by hand: it receives what its platform calls with")]
    Receives(JobName),
    /// It is running, or waits for its turn.
    #[error("{0} is already running or waiting for its turn, for the slot {1}; wait for it to end")]
    Busy(JobName, DateTime<Utc>),
    /// An `initial` job that has had its successful run.
    #[error("{0} has had its one successful run; to run it again: cadenced trigger {0} --again")]
    Done(JobName),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// A plan in the making.
#[derive(Debug, Default)]
struct Draft {
    plan: Plan,
    /// Slots that ran, didn't go through and get no other attempt: what follows them is not due.
    given_up: Vec<(Slot, Outcome)>,
}

impl Draft {
    fn entry(&mut self, entry: Entry) {
        self.plan.entries.push(entry);
    }
}

/// Decides what runs when.
#[derive(Debug)]
pub struct Planner {
    jobs: BTreeMap<JobName, JobState>,
    /// Jobs that follow another, by that other.
    children: BTreeMap<JobName, BTreeSet<JobName>>,
    /// Jobs that have had a successful run, whether they are part of the set or not.
    succeeded: BTreeSet<JobName>,
    last: DateTime<Utc>,
    stopping: bool,
}

impl Planner {
    /// Takes up the jobs where the ledger says the last process left them.
    #[must_use]
    pub fn start(
        jobs: &BTreeMap<JobName, Job>,
        facts: &BTreeMap<JobName, JobFacts>,
        now: DateTime<Utc>,
    ) -> (Self, Plan) {
        let done = facts.iter().filter(|(_, facts)| facts.initial_done);
        let mut planner = Self {
            jobs: BTreeMap::new(),
            children: BTreeMap::new(),
            succeeded: done.map(|(name, _)| name.clone()).collect(),
            last: now,
            stopping: false,
        };
        let mut draft = Draft::default();
        for job in live(jobs) {
            let facts = facts.get(&job.name).cloned().unwrap_or_default();
            let state = JobState::new(job, facts, now, &mut draft);
            planner.jobs.insert(job.name.clone(), state);
        }
        for (name, facts) in facts.iter().filter(|(name, _)| !planner.jobs.contains_key(*name)) {
            leave(name, facts, why_gone(jobs, name), &mut draft);
        }
        planner.link();
        planner.tick(now, &mut draft);
        let plan = planner.conclude(draft, now);
        (planner, plan)
    }

    /// Swaps the set of jobs; `facts` are those of jobs that were not in the old set. An unchanged job keeps all it
    /// had; a changed one keeps its run and what waits, and its new slots count from now; a removed one's run ends by
    /// itself.
    pub fn replace(
        &mut self,
        jobs: &BTreeMap<JobName, Job>,
        facts: &BTreeMap<JobName, JobFacts>,
        now: DateTime<Utc>,
    ) -> Plan {
        let mut draft = Draft::default();
        // What is due under the old set is decided under the old set.
        self.tick(now, &mut draft);
        let done = facts.iter().filter(|(_, facts)| facts.initial_done);
        self.succeeded.extend(done.map(|(name, _)| name.clone()));
        let mut old = std::mem::take(&mut self.jobs);
        for job in live(jobs) {
            let mut facts = facts.get(&job.name).cloned().unwrap_or_default();
            let state = match old.remove(&job.name) {
                Some(mut state) => {
                    state.change(job, facts.paused, self.succeeded.contains(&job.name), now, &mut draft);
                    state
                }
                None => {
                    // It was not part of the set until now: nothing of it was missed.
                    facts.accounted = None;
                    JobState::new(job, facts, now, &mut draft)
                }
            };
            self.jobs.insert(job.name.clone(), state);
        }
        for (name, mut state) in old {
            state.retire(why_gone(jobs, &name), jobs.contains_key(&name), &mut draft);
            if !state.is_idle() {
                self.jobs.insert(name, state);
            }
        }
        self.link();
        self.conclude(draft, now)
    }

    fn link(&mut self) {
        self.children.clear();
        for (name, state) in &self.jobs {
            for parent in &state.parents {
                self.children.entry(parent.clone()).or_default().insert(name.clone());
            }
        }
    }

    /// What is due at `now`. Call it at least once a second: that is how steps of the clock are seen.
    pub fn on_timer(&mut self, now: DateTime<Utc>) -> Plan {
        let mut draft = Draft::default();
        self.tick(now, &mut draft);
        self.conclude(draft, now)
    }

    /// Which jobs' platforms let nothing through now. Their slots wait, each until the next is due; those that would be
    /// overtaken in any case are skipped at once.
    pub fn close(&mut self, closed: &BTreeMap<JobName, Closed>) {
        for (name, state) in &mut self.jobs {
            state.closed = closed.get(name).cloned();
        }
    }

    /// Time passes and nothing can be decided, because nothing can be written down: what comes due meanwhile is late.
    pub fn hold(&mut self, now: DateTime<Utc>) {
        self.last = now;
    }

    fn tick(&mut self, now: DateTime<Utc>, draft: &mut Draft) {
        let back = self.last - now;
        if back > SECOND || -back > GRACE {
            draft.plan.clock_step = Some(-back);
        }
        self.last = now;
        for state in self.jobs.values_mut() {
            // Small steps back may add up to a large one.
            if back > STEP_BACK || state.is_ahead(now) {
                state.rearm(now, draft);
            }
            state.on_due(now, draft);
        }
    }

    /// A run ended, the slot's attempt number `attempt`. The plan's entries belong into the same batch as the run's own closing.
    pub fn on_finished(&mut self, slot: &Slot, outcome: Outcome, attempt: u32, now: DateTime<Utc>) -> Plan {
        self.on_all_finished([(slot, outcome, attempt)], now)
    }

    /// As [`Planner::on_finished`], for runs that ended at once: what follows from them is looked for only once.
    pub fn on_all_finished<'s>(
        &mut self,
        ended: impl IntoIterator<Item = (&'s Slot, Outcome, u32)>,
        now: DateTime<Utc>,
    ) -> Plan {
        let mut draft = Draft::default();
        for (slot, outcome, attempt) in ended {
            self.finish(slot, outcome, attempt, now, &mut draft);
        }
        self.conclude(draft, now)
    }

    fn finish(&mut self, slot: &Slot, outcome: Outcome, attempt: u32, now: DateTime<Utc>, draft: &mut Draft) {
        let Some(state) = self.jobs.get_mut(&slot.job) else { return };
        if !state.free(slot.at) {
            return;
        }
        let goes_on = match outcome {
            // The daemon stops before the run is done: the next one takes the slot up.
            Outcome::Interrupted => self.stopping && state.postpone(slot.at),
            Outcome::Failed => state.try_again(slot.at, attempt, now, now),
            _ => false,
        };
        if outcome.went_through() {
            state.armed = false;
            self.succeeded.insert(slot.job.clone());
            self.bear(slot, draft);
        } else if !goes_on {
            draft.given_up.push((slot.clone(), outcome));
        }
        self.drop_if_over(&slot.job);
    }

    /// The ledger refused the claim of a start: that very slot has had its outcome before, or somebody else runs it.
    pub fn on_refused(&mut self, slot: &Slot, cause: Cause, now: DateTime<Utc>) -> Plan {
        let mut draft = Draft::default();
        let Some(state) = self.jobs.get_mut(&slot.job) else { return draft.plan };
        if !state.free(slot.at) {
            return draft.plan;
        }
        if cause == Cause::After {
            // Another parent's slot of the same instant stands there; this parent's follows a second later.
            state.adopt(slot.at, &mut draft);
        } else if !self.succeeded.contains(&slot.job) {
            state.arm();
        }
        self.drop_if_over(&slot.job);
        self.conclude(draft, now)
    }

    /// A person asks for a run now. Let [`Planner::on_timer`] decide what is due first.
    pub fn trigger(&mut self, job: &Job, again: bool, now: DateTime<Utc>) -> Result<(Slot, Plan), Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        match job.work {
            Work::Unconfigured => return Err(Refusal::Unconfigured(job.name.clone())),
            Work::Receive(..) => return Err(Refusal::Receives(job.name.clone())),
            _ => {}
        }
        if matches!(job.trigger, Trigger::Initial(_)) && self.succeeded.contains(&job.name) && !again {
            return Err(Refusal::Done(job.name.clone()));
        }
        // A disabled job is not planned, but a person may run it: it lives for that one run.
        let state = self.jobs.entry(job.name.clone()).or_insert_with(|| JobState::for_one_run(job, now));
        if let Some(busy) = state.busy() {
            return Err(Refusal::Busy(job.name.clone(), busy));
        }
        let at = state.free_instant(now);
        state.waiting.push_back(Waiting::new(at, Cause::Manual));
        let plan = self.conclude(Draft::default(), now);
        Ok((Slot { job: job.name.clone(), at }, plan))
    }

    /// From now on the job's slots are skipped, those that wait for their run too.
    pub fn pause(&mut self, job: &JobName, reason: &str, now: DateTime<Utc>) -> Plan {
        let mut draft = Draft::default();
        self.tick(now, &mut draft);
        if let Some(state) = self.jobs.get_mut(job) {
            state.pause(reason, &mut draft);
        }
        self.conclude(draft, now)
    }

    /// The job's slots count again, from the next one on.
    pub fn resume(&mut self, job: &JobName, now: DateTime<Utc>) -> Plan {
        let mut draft = Draft::default();
        self.tick(now, &mut draft);
        if let Some(state) = self.jobs.get_mut(job)
            && state.paused.take().is_some()
            && !self.succeeded.contains(job)
        {
            state.arm();
        }
        self.conclude(draft, now)
    }

    /// No more starts.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// When there will next be something to do, if time alone decides.
    #[must_use]
    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.jobs.values().filter_map(|state| state.wake(self.last)).min()
    }

    /// The job's next slot.
    #[must_use]
    pub fn next_slot(&self, job: &JobName) -> Option<DateTime<Utc>> {
        self.jobs.get(job).and_then(|state| state.next)
    }

    /// The slots running now.
    pub fn running(&self) -> impl Iterator<Item = Slot> + '_ {
        self.jobs.iter().filter_map(|(job, state)| state.running.map(|at| Slot { job: job.clone(), at }))
    }

    fn drop_if_over(&mut self, job: &JobName) {
        if self.jobs.get(job).is_some_and(|state| state.retired && state.is_idle()) {
            self.jobs.remove(job);
        }
    }

    /// A parent's slot went through: each child has one of the same instant.
    fn bear(&mut self, parent: &Slot, draft: &mut Draft) {
        for child in self.children.get(&parent.job).into_iter().flatten() {
            if let Some(state) = self.jobs.get_mut(child) {
                state.adopt(parent.at, draft);
            }
        }
    }

    /// Starts what may start, writes down what must wait, and lets the children of what doesn't run know.
    fn conclude(&mut self, mut draft: Draft, now: DateTime<Utc>) -> Plan {
        self.dispatch(now, &mut draft);
        for (slot, outcome) in std::mem::take(&mut draft.given_up) {
            let how = if outcome == Outcome::Failed { "failed" } else { "was interrupted" };
            self.skip_children(&slot, how, &mut draft);
        }
        // The entries of children are looked at in their turn, for they may have children too.
        let mut looked_at = 0;
        while let Some(entry) = draft.plan.entries.get(looked_at) {
            looked_at += 1;
            if !self.children.contains_key(entry.job()) {
                continue;
            }
            match entry.clone() {
                Entry::Skipped { slot, .. } => self.skip_children(&slot, "was skipped", &mut draft),
                Entry::Interrupted { slot } => self.skip_children(&slot, "was interrupted", &mut draft),
                Entry::Range(range) => self.skip_children_of(&range, &mut draft),
                Entry::Accounted { .. } | Entry::Pending { .. } => {}
            }
        }
        draft.plan
    }

    fn skip_children(&mut self, parent: &Slot, how: &str, draft: &mut Draft) {
        for child in self.children.get(&parent.job).into_iter().flatten() {
            let Some(state) = self.jobs.get_mut(child) else { continue };
            let at = state.free_instant(parent.at);
            state.skip(at, Cause::After, &format!("its parent {} {how}", parent.job), draft);
        }
    }

    fn skip_children_of(&self, parents: &SlotRange, draft: &mut Draft) {
        for child in self.children.get(&parents.job).into_iter().flatten() {
            draft.entry(Entry::Range(SlotRange {
                job: child.clone(),
                outcome: Outcome::Skipped,
                reason: format!("its parent {} was {}", parents.job, parents.outcome),
                ..parents.clone()
            }));
        }
    }

    /// Starts what may start, in nominal order, and writes down what must wait.
    fn dispatch(&mut self, now: DateTime<Utc>, draft: &mut Draft) {
        let mut ready = Vec::new();
        for (name, state) in self.jobs.iter_mut().filter(|_| !self.stopping) {
            state.name_first_run(&self.succeeded, now);
            ready.extend(state.ready(now).map(|at| (at, name.clone())));
        }
        ready.sort_unstable();
        for (_, name) in ready {
            let lock = self.jobs.get(&name).and_then(|state| state.policy.lock.as_deref());
            if lock.is_some_and(|lock| self.jobs.values().any(|state| state.holds(lock))) {
                continue;
            }
            if let Some(state) = self.jobs.get_mut(&name) {
                state.begin(draft);
            }
        }
        for state in self.jobs.values_mut().filter(|state| !state.waiting.is_empty()) {
            state.write_waiting(draft);
        }
    }
}

fn live(jobs: &BTreeMap<JobName, Job>) -> impl Iterator<Item = &Job> {
    jobs.values().filter(|job| job.is_live())
}

fn why_gone(jobs: &BTreeMap<JobName, Job>, name: &JobName) -> &'static str {
    if jobs.contains_key(name) { "the job was disabled" } else { "the job was removed" }
}

/// Ends what the last process left open of a job that is no longer part of the set.
fn leave(name: &JobName, facts: &JobFacts, why: &str, draft: &mut Draft) {
    for at in &facts.interrupted {
        draft.entry(Entry::Interrupted { slot: Slot { job: name.clone(), at: *at } });
    }
    for (at, cause) in &facts.pending {
        draft.entry(Entry::skipped(name, *at, *cause, why));
    }
}
