//! Pure decisions: facts and a time in, actions out. The planner does no I/O and never reads a clock, so that whole
//! days, nights when the clocks change and crashes are ordinary unit tests.
//!
//! It promises that every nominal slot of a live job is named exactly once in a [`Plan`]: started, or written down as
//! skipped or missed with a reason. The scheduler performs a plan: it writes it to the ledger, then starts its runs.

mod job_state;
#[cfg(test)]
mod tests;

use crate::job::{Job, Trigger};
use crate::run::{Cause, Entry, Outcome, Slot};
use crate::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use job_state::{JobState, Waiting};
use std::collections::{BTreeMap, BTreeSet};

/// A slot that is late by more than this is missed: what happens to it is a matter of catch-up.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);
/// The clock stepping back further than this arms every job anew.
pub const STEP_BACK: TimeDelta = TimeDelta::hours(1);

/// What the ledger knows of a job when the daemon starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Every nominal slot up to here has been written down. Nothing for a job never seen before.
    pub accounted: Option<DateTime<Utc>>,
    /// Slots whose run was open when the last process ended.
    pub interrupted: Vec<DateTime<Utc>>,
    /// Slots that waited for their run when the last process ended.
    pub pending: Vec<(DateTime<Utc>, Cause)>,
    /// The latest slot, if it failed: its instant, attempts made, and when the last one ended.
    pub failed: Option<(DateTime<Utc>, u32, DateTime<Utc>)>,
    /// Paused, and why.
    pub paused: Option<String>,
    /// An `initial` job that has had its one successful run.
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

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.starts.is_empty() && self.clock_step.is_none()
    }
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

/// Decides what runs when.
#[derive(Debug)]
pub struct Planner {
    jobs: BTreeMap<JobName, JobState>,
    /// Jobs that follow another, by that other.
    children: BTreeMap<JobName, BTreeSet<JobName>>,
    /// Held locks and who holds them.
    locks: BTreeMap<String, JobName>,
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
        let mut planner = Self {
            jobs: BTreeMap::new(),
            children: BTreeMap::new(),
            locks: BTreeMap::new(),
            last: now,
            stopping: false,
        };
        let mut plan = Plan::default();
        for job in jobs.values().filter(|job| job.is_live()) {
            let facts = facts.get(&job.name).cloned().unwrap_or_default();
            let state = JobState::new(job, facts, now, &mut plan);
            planner.jobs.insert(job.name.clone(), state);
        }
        planner.link();
        for entry in plan.entries.clone() {
            planner.pass_on(&entry, &mut plan);
        }
        planner.dispatch(now, &mut plan);
        (planner, plan)
    }

    /// Swaps the set of jobs. An unchanged job keeps all it had; a changed one keeps its run and what is written down,
    /// so that no slot is invented or lost; a removed one's run ends by itself.
    pub fn replace(
        &mut self,
        jobs: &BTreeMap<JobName, Job>,
        facts: &BTreeMap<JobName, JobFacts>,
        now: DateTime<Utc>,
    ) -> Plan {
        // What is due under the old set is decided under the old set.
        let mut plan = self.on_timer(now);
        let mut old = std::mem::take(&mut self.jobs);
        for job in jobs.values().filter(|job| job.is_live()) {
            let state = match old.remove(&job.name) {
                Some(mut state) => {
                    state.change(job, now);
                    state
                }
                None => {
                    let mut facts = facts.get(&job.name).cloned().unwrap_or_default();
                    // It was not part of the set until now: nothing of it was missed.
                    facts.accounted = Some(now);
                    JobState::new(job, facts, now, &mut plan)
                }
            };
            self.jobs.insert(job.name.clone(), state);
        }
        for (name, mut state) in old {
            for waiting in state.waiting.drain(..) {
                plan.entries.push(Entry::skipped(&name, waiting.at, waiting.cause, "the job was removed"));
            }
            if state.running.is_some() {
                state.retire();
                self.jobs.insert(name, state);
            }
        }
        self.link();
        self.dispatch(now, &mut plan);
        plan
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
        let mut plan = Plan::default();
        if self.last - now > STEP_BACK {
            plan.clock_step = Some(now - self.last);
            for (name, state) in &mut self.jobs {
                state.rearm(name, now, &mut plan);
            }
        } else if now - self.last > GRACE || now < self.last {
            plan.clock_step = Some(now - self.last);
        }
        self.last = now;
        let due: Vec<JobName> =
            self.jobs.iter().filter(|(_, state)| state.is_due(now)).map(|(name, _)| name.clone()).collect();
        for name in due {
            let Some(state) = self.jobs.get_mut(&name) else { continue };
            let before = plan.entries.len();
            let gave_up = state.on_due(&name, now, &mut plan);
            let fresh: Vec<Entry> = plan.entries[before..].to_vec();
            for entry in fresh {
                self.pass_on(&entry, &mut plan);
            }
            if let Some(at) = gave_up {
                self.bear_children(&Slot { job: name, at }, Some("failed"), &mut plan);
            }
        }
        self.dispatch(now, &mut plan);
        plan
    }

    /// A run ended, the slot's attempt number `attempt`. The plan's entries belong into the same batch as the run's own closing.
    pub fn on_finished(&mut self, slot: &Slot, outcome: Outcome, attempt: u32, now: DateTime<Utc>) -> Plan {
        let mut plan = Plan::default();
        let Some(state) = self.jobs.get_mut(&slot.job) else { return plan };
        if let Some(lock) = &state.held {
            self.locks.remove(lock);
            state.held = None;
        }
        let again = state.on_finished(outcome, attempt, now);
        if state.retired {
            self.jobs.remove(&slot.job);
        }
        match outcome {
            Outcome::Ok | Outcome::Partial => self.bear_children(slot, None, &mut plan),
            Outcome::Failed if !again => self.bear_children(slot, Some("failed"), &mut plan),
            _ => {}
        }
        self.dispatch(now, &mut plan);
        plan
    }

    /// The ledger refused a claim: the slot has had its outcome before.
    pub fn on_refused(&mut self, slot: &Slot) {
        if let Some(state) = self.jobs.get_mut(&slot.job) {
            if let Some(lock) = state.held.take() {
                self.locks.remove(&lock);
            }
            state.running = None;
            if state.retired {
                self.jobs.remove(&slot.job);
            }
        }
    }

    /// A person asks for a run now.
    pub fn trigger(&mut self, job: &Job, again: bool, now: DateTime<Utc>) -> Result<(Slot, Plan), Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        if matches!(job.work, crate::job::Work::Unconfigured) {
            return Err(Refusal::Unconfigured(job.name.clone()));
        }
        // A disabled job is not planned, but a person may run it: it lives for that one run.
        let state = self.jobs.entry(job.name.clone()).or_insert_with(|| JobState::for_one_run(job, now));
        if let Some(busy) = state.running.or_else(|| state.waiting.front().map(|waiting| waiting.at)) {
            return Err(Refusal::Busy(job.name.clone(), busy));
        }
        if matches!(job.trigger, Trigger::Initial) && state.initial_done && !again {
            return Err(Refusal::Done(job.name.clone()));
        }
        let at = state.free_instant(now);
        state.waiting.push_back(Waiting::new(at, Cause::Manual));
        let mut plan = Plan::default();
        self.dispatch(now, &mut plan);
        Ok((Slot { job: job.name.clone(), at }, plan))
    }

    /// From now on the job's slots are skipped.
    pub fn pause(&mut self, job: &JobName, reason: &str) {
        if let Some(state) = self.jobs.get_mut(job) {
            state.paused = Some(reason.to_owned());
        }
    }

    /// The job's slots count again, from the next one on.
    pub fn resume(&mut self, job: &JobName) {
        if let Some(state) = self.jobs.get_mut(job) {
            state.paused = None;
        }
    }

    /// No more starts.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// When there will next be something to do, if time alone decides.
    #[must_use]
    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.jobs.values().filter_map(JobState::wake).min()
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

    /// Whether the job is paused, and why.
    #[must_use]
    pub fn paused(&self, job: &JobName) -> Option<&str> {
        self.jobs.get(job).and_then(|state| state.paused.as_deref())
    }

    /// A parent's slot ended without running: its children's slots end with it.
    fn pass_on(&mut self, entry: &Entry, plan: &mut Plan) {
        let Some(children) = self.children.get(entry.job()) else { return };
        for child in children {
            if let Some(entry) = entry.for_child(child) {
                plan.entries.push(entry);
            }
        }
        let grandchildren: Vec<Entry> = children.iter().filter_map(|child| entry.for_child(child)).collect();
        for entry in grandchildren {
            self.pass_on(&entry, plan);
        }
    }

    /// Gives each child the slot of its parent, or writes down why it has none.
    fn bear_children(&mut self, parent: &Slot, why_not: Option<&str>, plan: &mut Plan) {
        let children = self.children.get(&parent.job).cloned().unwrap_or_default();
        for child in children {
            let Some(state) = self.jobs.get_mut(&child) else { continue };
            let paused = state.paused.as_ref().map(|reason| format!("paused: {reason}"));
            let reason = why_not.map(|how| format!("its parent {} {how}", parent.job)).or(paused);
            if let Some(reason) = reason {
                let entry = Entry::skipped(&child, parent.at, Cause::After, &reason);
                plan.entries.push(entry.clone());
                self.pass_on(&entry, plan);
            } else {
                state.adopt(&child, parent.at, plan);
            }
        }
    }

    /// Starts what may start, in nominal order, and writes down what must wait.
    fn dispatch(&mut self, now: DateTime<Utc>, plan: &mut Plan) {
        let mut ready: Vec<(DateTime<Utc>, JobName)> = self
            .jobs
            .iter()
            .filter(|_| !self.stopping)
            .filter_map(|(name, state)| Some((state.ready(now)?, name.clone())))
            .collect();
        ready.sort();
        for (_, name) in ready {
            let Some(state) = self.jobs.get_mut(&name) else { continue };
            if let Some(lock) = &state.policy.lock {
                if self.locks.contains_key(lock) {
                    continue;
                }
                self.locks.insert(lock.clone(), name.clone());
                state.held = Some(lock.clone());
            }
            plan.starts.extend(state.begin(&name));
        }
        for (name, state) in &mut self.jobs {
            state.write_waiting(name, plan);
        }
    }
}
