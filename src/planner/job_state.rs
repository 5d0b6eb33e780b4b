//! What the planner keeps of one job, and what each event does to it.

use super::{Closed, Draft, GRACE, JobFacts, SECOND, STEP_BACK, Start};
use crate::job::{Job, Trigger};
use crate::run::{Cause, Entry, Outcome, Slot, SlotRange};
use crate::schedule::{CatchUp, Overlap, Policy, Slots, Timetable};
use crate::words::JobName;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use std::collections::{BTreeSet, VecDeque};

/// `all` makes up for this many slots at most, the latest.
const CATCH_UP_MOST: usize = 100;
/// As many of a job's last instants are remembered to keep a new one from falling on one of them.
const REMEMBERED: usize = 16;

/// A slot that is due and not yet started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    at: DateTime<Utc>,
    cause: Cause,
    /// The ledger knows that it waits.
    written: bool,
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
    name: JobName,
    timetable: Option<Timetable>,
    window: TimeDelta,
    pub(super) policy: Policy,
    /// Whose slots this job follows.
    pub(super) parents: Vec<JobName>,
    /// Of an `initial` job: who must have had a successful run before.
    initial: Option<Vec<JobName>>,
    /// An `initial` job that gets its run as soon as that is so.
    pub(super) armed: bool,
    /// Every nominal slot up to here is written down.
    accounted: DateTime<Utc>,
    /// The first nominal slot after `accounted`.
    pub(super) next: Option<DateTime<Utc>>,
    /// The slots after `next`.
    upcoming: Option<Slots>,
    pub(super) running: Option<DateTime<Utc>>,
    /// The lock its run was started under; a reload may have given the job another since.
    held: Option<String>,
    /// In nominal order.
    pub(super) waiting: VecDeque<Waiting>,
    again: Option<Again>,
    pub(super) paused: Option<String>,
    /// Its platform lets nothing through.
    pub(super) closed: Option<Closed>,
    last_instants: VecDeque<DateTime<Utc>>,
    /// Not, or no longer, part of the set; only its run is awaited.
    pub(super) retired: bool,
}

impl JobState {
    /// Takes the job up where the ledger says it was left.
    pub(super) fn new(job: &Job, facts: JobFacts, now: DateTime<Utc>, draft: &mut Draft) -> Self {
        let mut state = Self::bare(job, now);
        state.paused = facts.paused;
        match facts.accounted {
            Some(accounted) if accounted - now <= STEP_BACK => state.accounted = accounted,
            // Never seen before, or written down by a clock that was wrong and has been corrected since.
            before => {
                draft.plan.clock_step = before.map(|accounted| now - accounted).or(draft.plan.clock_step);
                state.write_accounted(draft);
            }
        }
        state.seek();
        for at in facts.interrupted {
            if state.makes_up_for(at, now) {
                state.waiting.push_back(Waiting { at, cause: Cause::CatchUp, written: true });
            } else {
                draft.entry(Entry::Interrupted { slot: Slot { job: job.name.clone(), at } });
            }
        }
        for (at, cause) in facts.pending {
            if now - at <= GRACE && state.paused.is_none() || state.makes_up_for(at, now) {
                // Under `latest` a later slot takes the place of one that waits, under `all` none does.
                let all = cause == Cause::Due && state.policy.catch_up == CatchUp::All;
                let cause = if all { Cause::CatchUp } else { cause };
                state.waiting.push_back(Waiting { at, cause, written: true });
            } else {
                let reason = match (state.why_paused(), state.policy.catch_up) {
                    (Some(paused), _) => paused,
                    (_, CatchUp::Skip) => {
                        "the daemon was down when its turn came; catch-up is `skip`".to_owned()
                    }
                    _ => "the daemon was down until its catch-up window had passed".to_owned(),
                };
                state.skip(at, cause, &reason, draft);
            }
        }
        state.waiting.make_contiguous().sort_by_key(|waiting| waiting.at);
        if let Some((at, attempts, ended)) = facts.failed
            && !state.try_again(at, attempts, ended, now)
        {
            // The last process may have ended before it came to tell the children; telling them twice does no harm.
            draft.given_up.push((Slot { job: job.name.clone(), at }, Outcome::Failed));
        }
        if !facts.initial_done {
            state.arm();
        }
        state
    }

    /// A job outside the plan, for the one run a person asked for.
    pub(super) fn for_one_run(job: &Job, now: DateTime<Utc>) -> Self {
        let mut state = Self::bare(job, now);
        state.leave_the_set();
        state
    }

    /// A job with nothing behind it; [`JobState::seek`] is still to find its next slot.
    fn bare(job: &Job, now: DateTime<Utc>) -> Self {
        let timetable = job.trigger.timetable().cloned();
        let window = job.policy.catch_up_window(timetable.as_ref());
        Self {
            name: job.name.clone(),
            timetable,
            window: TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX),
            policy: job.policy.clone(),
            parents: match &job.trigger {
                Trigger::After(parents) => parents.clone(),
                _ => Vec::new(),
            },
            initial: match &job.trigger {
                Trigger::Initial(parents) => Some(parents.clone()),
                _ => None,
            },
            armed: false,
            accounted: now,
            next: None,
            upcoming: None,
            running: None,
            held: None,
            waiting: VecDeque::new(),
            again: None,
            paused: None,
            closed: None,
            last_instants: VecDeque::new(),
            retired: false,
        }
    }

    /// The job may have a new definition: what runs and what waits stays. Slots of a new timetable count from now.
    pub(super) fn change(
        &mut self,
        job: &Job,
        paused: Option<String>,
        succeeded: bool,
        now: DateTime<Utc>,
        draft: &mut Draft,
    ) {
        let fresh = Self::bare(job, now);
        let joins = std::mem::replace(&mut self.retired, false);
        let moved = self.timetable != fresh.timetable;
        let becomes_initial = self.initial.is_none() || joins;
        (self.timetable, self.window, self.policy) = (fresh.timetable, fresh.window, fresh.policy);
        (self.parents, self.initial) = (fresh.parents, fresh.initial);
        if joins {
            self.paused = paused;
        }
        if joins || moved {
            self.accounted = now;
            self.write_accounted(draft);
            self.seek();
        }
        if self.policy.rerun.is_none() {
            self.give_up(draft);
        }
        if self.initial.is_none() || succeeded {
            self.armed = false;
        } else if becomes_initial {
            self.arm();
        }
    }

    /// The job is no longer part of the set. Its run goes on; what waits ends here, but for a run that a person asked
    /// for, of a job that is `still_known`.
    pub(super) fn retire(&mut self, why: &str, still_known: bool, draft: &mut Draft) {
        self.skip_waiting(|waiting| !(still_known && waiting.cause == Cause::Manual), why, draft);
        self.give_up(draft);
        self.leave_the_set();
    }

    fn leave_the_set(&mut self) {
        self.retired = true;
        self.armed = false;
        (self.timetable, self.next, self.upcoming, self.initial) = (None, None, None, None);
        self.parents.clear();
    }

    fn in_window(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - at <= self.window
    }

    /// Whether a slot that the last process left behind is taken up.
    fn makes_up_for(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.policy.catch_up != CatchUp::Skip && self.paused.is_none() && self.in_window(at, now)
    }

    fn why_paused(&self) -> Option<String> {
        let reason = self.paused.as_deref()?;
        Some(if reason.is_empty() { "paused".to_owned() } else { format!("paused: {reason}") })
    }

    fn write_accounted(&self, draft: &mut Draft) {
        draft.entry(Entry::Accounted { job: self.name.clone(), at: self.accounted });
    }

    /// Finds the first slot after `accounted`.
    fn seek(&mut self) {
        let from = self.accounted.trunc_subsecs(0) + SECOND;
        self.upcoming = self.timetable.as_ref().map(|t| t.slots(from, DateTime::<Utc>::MAX_UTC));
        self.next = self.upcoming.as_mut().and_then(Iterator::next);
    }

    /// Whether the clock has gone back behind what was written down by more than a slew.
    pub(super) fn is_ahead(&self, now: DateTime<Utc>) -> bool {
        self.accounted - now > STEP_BACK
    }

    /// The clock went back a long way: arm from now. Slots that ran before are refused by the ledger, one by one.
    pub(super) fn rearm(&mut self, now: DateTime<Utc>, draft: &mut Draft) {
        if self.accounted > now {
            self.accounted = now;
            self.write_accounted(draft);
            self.seek();
        }
        if let (Some(again), Some(every)) = (&mut self.again, self.policy.rerun.map(|rerun| rerun.every)) {
            again.when = again.when.min(later(now, every));
        }
    }

    /// Decides about every nominal slot up to `now`.
    pub(super) fn on_due(&mut self, now: DateTime<Utc>, draft: &mut Draft) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        // The latest are decided one by one; what lies before them is one stretch, whatever its length.
        let (mut recent, mut lost) = (VecDeque::new(), Stretch::default());
        while let Some(at) = self.next.filter(|at| *at <= now) {
            self.next = self.upcoming.as_mut().and_then(Iterator::next);
            // A slot that has its run already stands for itself.
            if !self.is_taken(at) {
                recent.push_back(at);
            }
            if recent.len() > CATCH_UP_MOST + 1 {
                lost.extend(recent.pop_front());
            }
        }
        self.accounted = now;
        self.write_accounted(draft);
        self.give_up(draft);
        if let Some(reason) = self.why_paused() {
            lost.extend(recent);
            lost.write(&self.name, Outcome::Skipped, &reason, draft);
            return;
        }
        let on_time = recent.pop_back_if(|at| now - *at <= GRACE);
        let overlaps = self.running.is_some() && self.policy.overlap == Overlap::Skip;
        if !overlaps {
            self.make_room(Cause::Due, draft);
        }
        let (most, reason) = match self.policy.catch_up {
            CatchUp::Skip => (0, "catch-up is `skip`"),
            CatchUp::Latest => (usize::from(on_time.is_none()), "catch-up runs the latest slot only"),
            CatchUp::All => (CATCH_UP_MOST, "older than catch-up reaches"),
        };
        let in_window = recent.partition_point(|at| !self.in_window(*at, now));
        let made_up = recent.split_off(in_window.max(recent.len().saturating_sub(most)));
        lost.extend(recent);
        let reason = format!("came due while nobody could run it; {reason}");
        lost.write(&self.name, Outcome::Missed, &reason, draft);
        self.waiting.extend(made_up.into_iter().map(|at| Waiting::new(at, Cause::CatchUp)));
        match (on_time, self.running) {
            (Some(at), Some(running)) if overlaps => {
                let running = running.format("%Y-%m-%dT%H:%M:%SZ");
                let reason = format!("overlap: the run for the slot {running} was still going");
                self.skip(at, Cause::Due, &reason, draft);
            }
            (Some(at), _) => match self.overtaken() {
                Some(reason) => self.skip(at, Cause::Due, &reason, draft),
                None => self.waiting.push_back(Waiting::new(at, Cause::Due)),
            },
            (None, _) => {}
        }
    }

    /// Why a slot that is due now can't start before the next one is.
    fn overtaken(&self) -> Option<String> {
        let closed = self.closed.as_ref()?;
        let until = closed.until?;
        self.next.is_some_and(|next| next <= until).then(|| closed.reason.clone())
    }

    /// A parent's slot gives this job one of the same instant, or, where another parent's stands there, of the second
    /// after it. It waits for a run that goes, whatever `overlap` says: nothing else would ever make up for it.
    pub(super) fn adopt(&mut self, at: DateTime<Utc>, draft: &mut Draft) {
        let at = self.free_instant(at);
        if let Some(reason) = self.why_paused() {
            return self.skip(at, Cause::After, &reason, draft);
        }
        self.make_room(Cause::After, draft);
        self.waiting.push_back(Waiting::new(at, Cause::After));
    }

    /// One slot at most waits besides those that are made up for: the latest.
    fn make_room(&mut self, cause: Cause, draft: &mut Draft) {
        if self.waiting.is_empty() {
            return;
        }
        let why = match (&self.closed, &self.policy.lock) {
            (Some(closed), _) if self.running.is_none() => closed.reason.clone(),
            (_, Some(lock)) if self.running.is_none() => {
                format!("lock: `{lock}` was held until the next slot was due")
            }
            _ => "overlap: a later slot took its place in the queue".to_owned(),
        };
        self.skip_waiting(|waiting| waiting.cause == cause, &why, draft);
    }

    fn skip_waiting(&mut self, which: impl Fn(&Waiting) -> bool, why: &str, draft: &mut Draft) {
        let (skipped, stay): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(which);
        self.waiting = stay;
        for waiting in skipped {
            self.skip(waiting.at, waiting.cause, why, draft);
        }
    }

    pub(super) fn skip(&mut self, at: DateTime<Utc>, cause: Cause, why: &str, draft: &mut Draft) {
        self.remember(at);
        draft.entry(Entry::skipped(&self.name, at, cause, why));
    }

    fn remember(&mut self, at: DateTime<Utc>) {
        self.last_instants.push_back(at);
        if self.last_instants.len() > REMEMBERED {
            self.last_instants.pop_front();
        }
    }

    fn is_taken(&self, at: DateTime<Utc>) -> bool {
        self.last_instants.contains(&at) || self.waiting.iter().any(|waiting| waiting.at == at)
    }

    /// The first whole second from `at` on on which no slot of the job stands or will stand. A job that is due every
    /// second has none: its nominal slot is then run by hand, and not again.
    pub(super) fn free_instant(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let is_nominal = |at: DateTime<Utc>| {
            self.timetable.as_ref().is_some_and(|timetable| timetable.slots(at, at + SECOND).next().is_some())
        };
        let from = at.trunc_subsecs(0);
        let seconds =
            || (0..).map(|seconds| from + TimeDelta::seconds(seconds)).filter(|at| !self.is_taken(*at));
        seconds().take(60).find(|at| !is_nominal(*at)).or_else(|| seconds().next()).unwrap_or(from)
    }

    /// From now on its slots are skipped, those that wait too; only what a person asked for still runs.
    pub(super) fn pause(&mut self, reason: &str, draft: &mut Draft) {
        self.paused = Some(reason.to_owned());
        let why = self.why_paused().unwrap_or_default();
        self.skip_waiting(|waiting| waiting.cause != Cause::Manual, &why, draft);
        self.give_up(draft);
    }

    /// Lets an `initial` job that has had no successful run have its run, unless it is about to.
    pub(super) fn arm(&mut self) {
        self.armed = self.initial.is_some() && self.is_idle() && self.again.is_none();
    }

    /// Names the slot of an `initial` job whose time has come.
    pub(super) fn name_first_run(&mut self, succeeded: &BTreeSet<JobName>, now: DateTime<Utc>) {
        if self.armed
            && self.paused.is_none()
            && self.initial.iter().flatten().all(|job| succeeded.contains(job))
        {
            self.armed = false;
            self.waiting.push_back(Waiting::new(self.free_instant(now), Cause::Due));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.busy().is_none()
    }

    /// The slot that runs, or else the one that waits.
    pub(super) fn busy(&self) -> Option<DateTime<Utc>> {
        self.running.or_else(|| self.waiting.front().map(|waiting| waiting.at))
    }

    pub(super) fn holds(&self, lock: &str) -> bool {
        let locks = [&self.held, &self.policy.lock];
        self.running.is_some() && locks.into_iter().flatten().any(|held| held == lock)
    }

    /// The nominal instant of what may start now.
    pub(super) fn ready(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.running.is_some() {
            return None;
        }
        let front = self.waiting.front();
        // Whoever asked for a run by hand is told by it what is wrong.
        if self.closed.is_some() && front.is_none_or(|waiting| waiting.cause != Cause::Manual) {
            return None;
        }
        let again = self.again.filter(|again| again.when <= now).map(|again| again.at);
        self.waiting.front().map(|waiting| waiting.at).or(again)
    }

    /// Starts what [`JobState::ready`] named. A later slot's run ends the attempts of a failed one.
    pub(super) fn begin(&mut self, draft: &mut Draft) {
        let (at, cause) = match self.waiting.pop_front() {
            Some(waiting) => {
                self.give_up(draft);
                (waiting.at, waiting.cause)
            }
            None => match self.again.take() {
                Some(again) => (again.at, Cause::Rerun),
                None => return,
            },
        };
        self.running = Some(at);
        self.armed = false;
        self.held.clone_from(&self.policy.lock);
        self.remember(at);
        draft.plan.starts.push(Start { slot: Slot { job: self.name.clone(), at }, cause });
    }

    /// No run goes for this slot any more; says whether one did.
    pub(super) fn free(&mut self, at: DateTime<Utc>) -> bool {
        let went = self.running == Some(at);
        if went {
            self.running = None;
            self.held = None;
        }
        went
    }

    /// Leaves a slot that was cut off to the next process; says whether that will take it up.
    pub(super) fn postpone(&mut self, at: DateTime<Utc>) -> bool {
        let postponed = self.policy.catch_up != CatchUp::Skip && !self.retired;
        if postponed {
            self.waiting.push_front(Waiting::new(at, Cause::CatchUp));
        }
        postponed
    }

    /// Whether a failed slot gets another attempt: as `rerun` says, until the next slot is due.
    pub(super) fn try_again(
        &mut self,
        at: DateTime<Utc>,
        attempts: u32,
        ended: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(rerun) = self.policy.rerun.filter(|rerun| attempts <= rerun.times) else { return false };
        if self.paused.is_some() || self.retired {
            return false;
        }
        // An end in the future was written down by a clock that was wrong.
        let when = later(ended, rerun.every).min(later(now, rerun.every));
        let mut after = self.timetable.iter().flat_map(|t| t.slots(at + SECOND, DateTime::<Utc>::MAX_UTC));
        if after.next().is_some_and(|next| next <= when.max(now)) {
            return false;
        }
        self.again = Some(Again { at, when });
        true
    }

    /// A failed slot gets no other attempt.
    fn give_up(&mut self, draft: &mut Draft) {
        if let Some(Again { at, .. }) = self.again.take() {
            draft.given_up.push((Slot { job: self.name.clone(), at }, Outcome::Failed));
        }
    }

    /// Writes down what waits, so that a crash doesn't forget it.
    pub(super) fn write_waiting(&mut self, draft: &mut Draft) {
        for waiting in self.waiting.iter_mut().filter(|waiting| !waiting.written) {
            waiting.written = true;
            let slot = Slot { job: self.name.clone(), at: waiting.at };
            draft.plan.entries.push(Entry::Pending { slot, cause: waiting.cause });
        }
    }

    /// When there is next something to do after `now`, if time alone decides.
    pub(super) fn wake(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // An attempt whose time has come waits for a lock or a run, not for the clock.
        match self.again {
            Some(Again { when, .. }) if when > now => Some(self.next.map_or(when, |next| next.min(when))),
            _ => self.next,
        }
    }
}

fn later(at: DateTime<Utc>, by: std::time::Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
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

    fn write(&self, job: &JobName, outcome: Outcome, reason: &str, draft: &mut Draft) {
        if let Some((first, last)) = self.ends {
            let reason = reason.to_owned();
            let range = SlotRange { job: job.clone(), first, last, slots: self.slots, outcome, reason };
            draft.entry(Entry::Range(range));
        }
    }
}
