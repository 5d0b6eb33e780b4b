//! What the planner keeps of one job, and what each event does to it.

use super::{GRACE, JobFacts, Plan, STEP_BACK, Start};
use crate::job::{Job, Trigger};
use crate::run::{Cause, Entry, Outcome, Slot, SlotRange};
use crate::schedule::{CatchUp, Overlap, Policy, Timetable};
use crate::words::JobName;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use std::collections::VecDeque;

/// `all` makes up for this many slots at most, the latest.
const CATCH_UP_MOST: usize = 100;
/// As many of a job's last instants are remembered to keep a new one from falling on one of them.
const REMEMBERED: usize = 16;
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// A slot that is due and not yet started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) at: DateTime<Utc>,
    pub(super) cause: Cause,
    /// The ledger knows that it waits.
    pub(super) written: bool,
}

impl Waiting {
    pub(super) fn new(at: DateTime<Utc>, cause: Cause) -> Self {
        Self { at, cause, written: false }
    }
}

/// A failed slot that gets another attempt.
#[derive(Debug, Clone, Copy)]
struct Again {
    at: DateTime<Utc>,
    when: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct JobState {
    timetable: Option<Timetable>,
    window: TimeDelta,
    initial: bool,
    pub(super) policy: Policy,
    pub(super) parents: Vec<JobName>,
    /// Every nominal slot up to here is written down.
    accounted: DateTime<Utc>,
    /// The first nominal slot after `accounted`.
    pub(super) next: Option<DateTime<Utc>>,
    pub(super) running: Option<DateTime<Utc>>,
    pub(super) held: Option<String>,
    /// In nominal order.
    pub(super) waiting: VecDeque<Waiting>,
    again: Option<Again>,
    pub(super) paused: Option<String>,
    pub(super) initial_done: bool,
    last_instants: VecDeque<DateTime<Utc>>,
    /// Not, or no longer, part of the set; only its run is awaited.
    pub(super) retired: bool,
}

impl JobState {
    /// Takes the job up where the ledger says it was left.
    pub(super) fn new(job: &Job, facts: JobFacts, now: DateTime<Utc>, plan: &mut Plan) -> Self {
        let mut state = Self::bare(job, now);
        state.paused = facts.paused;
        state.initial_done = facts.initial_done;
        match facts.accounted {
            // Written down by a clock that was wrong, and has been corrected since.
            Some(accounted) if accounted - now > STEP_BACK => {
                plan.clock_step = Some(now - accounted);
                plan.entries.push(Entry::Accounted { job: job.name.clone(), at: now });
            }
            Some(accounted) => state.accounted = accounted,
            None => plan.entries.push(Entry::Accounted { job: job.name.clone(), at: now }),
        }
        state.compute_next();
        for at in facts.interrupted {
            if state.policy.catch_up != CatchUp::Skip && state.in_window(at, now) {
                state.waiting.push_back(Waiting { at, cause: Cause::CatchUp, written: true });
            } else {
                plan.entries.push(Entry::Interrupted { slot: Slot { job: job.name.clone(), at } });
            }
        }
        for (at, cause) in facts.pending {
            if state.in_window(at, now) {
                state.waiting.push_back(Waiting { at, cause, written: true });
            } else {
                let reason = "the daemon was down until its catch-up window had passed";
                plan.entries.push(Entry::skipped(&job.name, at, cause, reason));
            }
        }
        state.waiting.make_contiguous().sort_by_key(|waiting| waiting.at);
        if let (Some((at, attempts, ended)), Some(rerun)) = (facts.failed, state.policy.rerun)
            && attempts <= rerun.times
        {
            let every = TimeDelta::from_std(rerun.every).unwrap_or(TimeDelta::MAX);
            state.again = ended.checked_add_signed(every).map(|when| Again { at, when });
        }
        if state.initial && !state.initial_done && state.waiting.is_empty() && state.again.is_none() {
            state.waiting.push_back(Waiting::new(now.trunc_subsecs(0), Cause::Due));
        }
        state
    }

    /// A job outside the plan, for the one run a person asked for.
    pub(super) fn for_one_run(job: &Job, now: DateTime<Utc>) -> Self {
        let mut state = Self::bare(job, now);
        state.retire();
        state
    }

    fn bare(job: &Job, now: DateTime<Utc>) -> Self {
        let timetable = job.trigger.timetable().cloned();
        let window = job.policy.catch_up_window(timetable.as_ref());
        let parents = match &job.trigger {
            Trigger::After(parents) => parents.clone(),
            _ => Vec::new(),
        };
        let mut state = Self {
            timetable,
            window: TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX),
            initial: matches!(job.trigger, Trigger::Initial),
            policy: job.policy.clone(),
            parents,
            accounted: now,
            next: None,
            running: None,
            held: None,
            waiting: VecDeque::new(),
            again: None,
            paused: None,
            initial_done: false,
            last_instants: VecDeque::new(),
            retired: false,
        };
        state.compute_next();
        state
    }

    /// The job's definition changed: what is written down and what runs stays.
    pub(super) fn change(&mut self, job: &Job, now: DateTime<Utc>) {
        let fresh = Self::bare(job, now);
        self.timetable = fresh.timetable;
        self.window = fresh.window;
        self.initial = fresh.initial;
        self.policy = fresh.policy;
        self.parents = fresh.parents;
        self.retired = false;
        self.compute_next();
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.timetable = None;
        self.next = None;
        self.again = None;
        self.parents.clear();
    }

    fn in_window(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - at <= self.window
    }

    fn compute_next(&mut self) {
        let from = self.accounted.trunc_subsecs(0) + SECOND;
        self.next = self.timetable.as_ref().and_then(|t| t.slots(from, DateTime::<Utc>::MAX_UTC).next());
    }

    /// The clock went back a long way: arm from now. Slots that ran before are refused by the ledger, one by one.
    pub(super) fn rearm(&mut self, name: &JobName, now: DateTime<Utc>, plan: &mut Plan) {
        if self.accounted > now {
            self.accounted = now;
            self.compute_next();
            plan.entries.push(Entry::Accounted { job: name.clone(), at: now });
        }
        if let Some(again) = &mut self.again {
            again.when = again.when.min(now);
        }
    }

    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Decides about every nominal slot up to `now`. Gives the failed slot whose further attempts end here, if any.
    pub(super) fn on_due(
        &mut self,
        name: &JobName,
        now: DateTime<Utc>,
        plan: &mut Plan,
    ) -> Option<DateTime<Utc>> {
        let timetable = self.timetable.clone()?;
        let from = self.accounted.trunc_subsecs(0) + SECOND;
        // The latest are decided one by one; what lies before them is one stretch, whatever its length.
        let (mut recent, mut lost) = (VecDeque::new(), Stretch::default());
        for at in timetable.slots(from, now + TimeDelta::nanoseconds(1)) {
            recent.push_back(at);
            if recent.len() > CATCH_UP_MOST + 1 {
                lost.extend(recent.pop_front());
            }
        }
        self.accounted = now;
        self.compute_next();
        if let Some(reason) = &self.paused {
            lost.extend(recent);
            lost.write(name, Outcome::Skipped, &format!("paused: {reason}"), plan);
        } else {
            let on_time = recent.pop_back_if(|at| now - *at <= GRACE);
            let most = match self.policy.catch_up {
                CatchUp::Skip => 0,
                CatchUp::Latest => usize::from(on_time.is_none()),
                CatchUp::All => CATCH_UP_MOST,
            };
            let in_window = recent.partition_point(|at| !self.in_window(*at, now));
            let made_up = recent.split_off(in_window.max(recent.len().saturating_sub(most)));
            lost.extend(recent);
            let reason = match self.policy.catch_up {
                CatchUp::Skip => "came due while nobody could run it; catch-up is `skip`",
                CatchUp::Latest => "came due while nobody could run it; catch-up runs the latest slot only",
                CatchUp::All => "came due while nobody could run it; older than catch-up reaches",
            };
            lost.write(name, Outcome::Missed, reason, plan);
            self.waiting.extend(made_up.into_iter().map(|at| Waiting::new(at, Cause::CatchUp)));
            if let Some(at) = on_time {
                self.on_time(name, at, plan);
            }
        }
        plan.entries.push(Entry::Accounted { job: name.clone(), at: now });
        self.again.take().map(|again| again.at)
    }

    fn on_time(&mut self, name: &JobName, at: DateTime<Utc>, plan: &mut Plan) {
        match (self.running, self.policy.overlap) {
            (Some(running), Overlap::Skip) => {
                let running = running.format("%Y-%m-%dT%H:%M:%SZ");
                let reason = format!("overlap: the run for the slot {running} was still going");
                plan.entries.push(Entry::skipped(name, at, Cause::Due, &reason));
            }
            _ => self.queue(name, Waiting::new(at, Cause::Due), plan),
        }
    }

    /// Lets a slot wait for its run. One at most waits besides those that are made up for: the latest.
    fn queue(&mut self, name: &JobName, newest: Waiting, plan: &mut Plan) {
        let why = match &self.policy.lock {
            Some(lock) if self.running.is_none() => {
                format!("lock: `{lock}` was held until the next slot was due")
            }
            _ => "overlap: a later slot took its place in the queue".to_owned(),
        };
        self.waiting.retain(|waiting| {
            let stays = waiting.cause != newest.cause;
            if !stays {
                plan.entries.push(Entry::skipped(name, waiting.at, waiting.cause, &why));
            }
            stays
        });
        self.waiting.push_back(newest);
    }

    /// A parent's slot gives this job one; two parents' slots at the same instant are two slots, a second apart, unless
    /// the first still waits.
    pub(super) fn adopt(&mut self, name: &JobName, at: DateTime<Utc>, plan: &mut Plan) {
        if self.waiting.iter().any(|waiting| waiting.at == at) {
            return;
        }
        let at = self.free_instant(at);
        self.queue(name, Waiting::new(at, Cause::After), plan);
    }

    /// The first whole second from `at` on that none of the job's last slots stands on.
    pub(super) fn free_instant(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let mut at = at.trunc_subsecs(0);
        while self.last_instants.contains(&at) || self.running == Some(at) {
            at += SECOND;
        }
        at
    }

    /// The nominal instant of what may start now.
    pub(super) fn ready(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.running.is_some() {
            return None;
        }
        let again = self.again.filter(|again| again.when <= now).map(|again| again.at);
        self.waiting.front().map(|waiting| waiting.at).or(again)
    }

    /// Starts what [`JobState::ready`] named.
    pub(super) fn begin(&mut self, name: &JobName) -> Option<Start> {
        let (at, cause) = match self.waiting.pop_front() {
            Some(waiting) => (waiting.at, waiting.cause),
            None => (self.again.take()?.at, Cause::Rerun),
        };
        self.running = Some(at);
        self.last_instants.push_back(at);
        if self.last_instants.len() > REMEMBERED {
            self.last_instants.pop_front();
        }
        Some(Start { slot: Slot { job: name.clone(), at }, cause })
    }

    /// Its run ended. Says whether the slot gets another attempt.
    pub(super) fn on_finished(&mut self, outcome: Outcome, attempt: u32, now: DateTime<Utc>) -> bool {
        let at = self.running.take();
        self.initial_done |= self.initial && outcome.went_through();
        let (Some(at), Some(rerun), Outcome::Failed, false) = (at, self.policy.rerun, outcome, self.retired)
        else {
            return false;
        };
        let every = TimeDelta::from_std(rerun.every).unwrap_or(TimeDelta::MAX);
        let when = now.checked_add_signed(every).filter(|when| self.next.is_none_or(|next| *when < next));
        self.again = when.filter(|_| attempt <= rerun.times).map(|when| Again { at, when });
        self.again.is_some()
    }

    /// Writes down what waits, so that a crash doesn't forget it.
    pub(super) fn write_waiting(&mut self, name: &JobName, plan: &mut Plan) {
        for waiting in self.waiting.iter_mut().filter(|waiting| !waiting.written) {
            waiting.written = true;
            let slot = Slot { job: name.clone(), at: waiting.at };
            plan.entries.push(Entry::Pending { slot, cause: waiting.cause });
        }
    }

    /// When there is next something to do, if time alone decides.
    pub(super) fn wake(&self) -> Option<DateTime<Utc>> {
        let again = self.again.filter(|_| self.running.is_none()).map(|again| again.when);
        [self.next, again].into_iter().flatten().min()
    }
}

/// A run of neighbouring slots with the same outcome.
#[derive(Debug, Default)]
struct Stretch {
    ends: Option<(DateTime<Utc>, DateTime<Utc>)>,
    slots: u64,
}

impl Stretch {
    fn extend(&mut self, slots: impl IntoIterator<Item = DateTime<Utc>>) {
        for at in slots {
            self.ends = Some((self.ends.map_or(at, |(first, _)| first), at));
            self.slots += 1;
        }
    }

    fn write(&self, job: &JobName, outcome: Outcome, reason: &str, plan: &mut Plan) {
        if let Some((first, last)) = self.ends {
            let reason = reason.to_owned();
            let range = SlotRange { job: job.clone(), first, last, slots: self.slots, outcome, reason };
            plan.entries.push(Entry::Range(range));
        }
    }
}
