//! Waits, claims, starts, joins: performs what the [`planner`](crate::planner) decides. The ledger comes before the
//! dispatch: whatever a plan says is written down, in one batch and one flush for all slots due at an instant, before
//! any of its runs starts. While the ledger can't be written nothing is started; the batch is tried again every second.

use crate::clock::SharedClock;
use crate::crash;
use crate::job::Job;
use crate::planner::{JobFacts, Plan, Planner, Refusal};
use crate::run::{Cause, Counts, Entry, Outcome, RunId, Slot};
use crate::runner::{Ended, Perform};
use crate::schedule::splay_of;
use crate::state::{Claim, Claimed, Closing, Coordinator, LedgerBatch, StateError, Token};
use crate::telemetry;
use crate::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, histogram};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// The longest sleep: a step of the clock is seen within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How many commands may wait for their turn.
const COMMANDS: usize = 64;
/// How long a run that was told to stop may take to do so.
const LAST_CALL: Duration = Duration::from_secs(3);

/// What can be asked of a running scheduler.
enum Command {
    Trigger { job: JobName, again: bool, reply: oneshot::Sender<Result<Triggered, Refusal>> },
    Pause { job: JobName, reason: String, reply: oneshot::Sender<()> },
    Resume { job: JobName, reply: oneshot::Sender<()> },
    Replace { jobs: Jobs, facts: BTreeMap<JobName, JobFacts>, with: Swap, reply: oneshot::Sender<()> },
    View { reply: oneshot::Sender<View> },
}

/// What is swapped at the same moment as the jobs: their connections.
type Swap = Box<dyn FnOnce() + Send>;
/// Runs begin under this lock, each with its job as it is then, so that none begins with the jobs of one set and the
/// connections of another.
type Serving = Arc<RwLock<BTreeMap<JobName, Arc<Job>>>>;

/// The jobs by name.
pub type Jobs = BTreeMap<JobName, Job>;

/// A run that a person asked for.
#[derive(Debug)]
pub struct Triggered {
    /// Its slot.
    pub slot: Slot,
    /// Gives the run and how it ended.
    pub ended: oneshot::Receiver<(Token, Ended)>,
}

/// What the scheduler knows right now.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The next slot of each job that has one.
    pub next: BTreeMap<JobName, DateTime<Utc>>,
    /// The slots running now.
    pub running: Vec<Slot>,
    /// Why the ledger can't be written, while it can't.
    pub stuck: Option<String>,
}

/// Is told which run it was and how it ended.
type Waiter = oneshot::Sender<(Token, Ended)>;

/// Speaks to the scheduler; cheap to clone.
#[derive(Debug, Clone)]
pub struct SchedulerHandle(mpsc::Sender<Command>);

impl SchedulerHandle {
    /// Starts a run now.
    pub async fn trigger(&self, job: JobName, again: bool) -> Result<Triggered, Refusal> {
        self.ask(|reply| Command::Trigger { job, again, reply }).await.unwrap_or(Err(Refusal::Stopping))
    }

    /// From now on the job's slots are skipped. The pause itself is kept by the state.
    pub async fn pause(&self, job: JobName, reason: String) {
        self.ask(|reply| Command::Pause { job, reason, reply }).await.unwrap_or_default();
    }

    /// The job's slots count again.
    pub async fn resume(&self, job: JobName) {
        self.ask(|reply| Command::Resume { job, reply }).await.unwrap_or_default();
    }

    /// Swaps the set of jobs, and with it whatever `with` swaps: no run begins in between. `facts` are those of jobs
    /// that were not in the old set.
    pub async fn replace(
        &self,
        jobs: Jobs,
        facts: BTreeMap<JobName, JobFacts>,
        with: impl FnOnce() + Send + 'static,
    ) {
        let with = Box::new(with);
        self.ask(|reply| Command::Replace { jobs, facts, with, reply }).await.unwrap_or_default();
    }

    /// What the scheduler knows right now; nothing once it has stopped.
    pub async fn view(&self) -> Option<View> {
        self.ask(|reply| Command::View { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// Waits, claims, starts, joins.
pub struct Scheduler {
    planner: Planner,
    jobs: Serving,
    coordinator: Arc<dyn Coordinator>,
    perform: Arc<dyn Perform>,
    clock: SharedClock,
    commands: mpsc::Receiver<Command>,
    runs: JoinSet<(Token, Ended)>,
    /// Runs by task, so that one that panics still closes its slot.
    tasks: HashMap<tokio::task::Id, Token>,
    waiters: HashMap<Slot, Waiter>,
    /// Everything that is still to be written; nothing overtakes.
    unwritten: LedgerBatch,
    /// Who is told how a run ended once that is written.
    told: Vec<(Waiter, (Token, Ended))>,
    stuck: Option<String>,
    stop_runs: watch::Sender<bool>,
}

impl Scheduler {
    /// Takes up the jobs where the ledger says the last process left them. Nothing starts before [`Scheduler::run`].
    #[must_use]
    pub fn new(
        jobs: &Jobs,
        facts: &BTreeMap<JobName, JobFacts>,
        coordinator: Arc<dyn Coordinator>,
        perform: Arc<dyn Perform>,
        clock: SharedClock,
    ) -> (Self, SchedulerHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (planner, plan) = Planner::start(jobs, facts, clock.now());
        let mut scheduler = Self {
            planner,
            jobs: Arc::new(RwLock::new(shared(jobs))),
            coordinator,
            perform,
            clock,
            commands,
            runs: JoinSet::new(),
            tasks: HashMap::new(),
            waiters: HashMap::new(),
            unwritten: LedgerBatch::default(),
            told: Vec::new(),
            stuck: None,
            stop_runs: watch::Sender::new(false),
        };
        scheduler.take(plan);
        (scheduler, SchedulerHandle(sender))
    }

    /// Runs until `shutdown` turns true; then waits `drain` for running jobs, and cuts off what still runs.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, drain: Duration) {
        loop {
            self.decide();
            self.write().await;
            let wake = self.sleep_until();
            tokio::select! {
                biased;
                changed = shutdown.wait_for(|stop| *stop) => {
                    drop(changed);
                    break;
                }
                () = self.event() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.drain(drain).await;
    }

    /// Waits for a run to end or a command to come, and takes everything else of the kind that is ready with it: what
    /// happens in one turn costs one flush.
    async fn event(&mut self) {
        tokio::select! {
            biased;
            Some(joined) = self.runs.join_next_with_id() => {
                let mut ended: Vec<_> = self.joined(joined).into_iter().collect();
                while let Some(joined) = self.runs.try_join_next_with_id() {
                    ended.extend(self.joined(joined));
                }
                self.ended(ended);
            }
            Some(command) = self.commands.recv() => self.obey(command),
            else => std::future::pending().await,
        }
        // No more than fit in the queue: who asks without pause must not stop the clock.
        for _ in 0..COMMANDS {
            let Ok(command) = self.commands.try_recv() else { break };
            self.obey(command);
        }
    }

    async fn drain(mut self, drain: Duration) {
        self.planner.stop();
        // What could not be claimed until now is left to the next process.
        for Claim { slot, cause } in std::mem::take(&mut self.unwritten.claims) {
            self.unwritten.entries.push(Entry::Pending { slot, cause });
        }
        let running = self.runs.len();
        if running > 0 {
            tracing::info!(running, drain_seconds = drain.as_secs(), "waiting for running jobs to end");
        }
        self.join_until(Instant::now() + drain).await;
        if !self.runs.is_empty() {
            tracing::warn!(running = self.runs.len(), "the drain time is over; cutting off what still runs");
            self.stop_runs.send_replace(true);
            self.join_until(Instant::now() + LAST_CALL).await;
            self.runs.abort_all();
            self.join_until(Instant::now() + LAST_CALL).await;
        }
        self.write().await;
        if !is_empty(&self.unwritten) {
            tracing::error!(
                "the ledger could not be written at the end; the next start will see interrupted slots"
            );
        }
    }

    /// Who asks meanwhile is answered; nothing starts any more.
    async fn join_until(&mut self, until: Instant) {
        while !self.runs.is_empty() {
            let event = tokio::time::timeout_at(until, self.event()).await;
            self.write().await;
            if event.is_err() {
                return;
            }
        }
    }

    fn sleep_until(&self) -> Instant {
        let longest = Instant::now() + LONGEST_SLEEP;
        if self.stuck.is_some() {
            return longest;
        }
        let Some(wake) = self.planner.wake() else { return longest };
        let until = (wake - self.clock.now()).to_std().unwrap_or(Duration::ZERO);
        longest.min(Instant::now() + until)
    }

    /// Has the planner decide what is due. While nothing can be written down nothing is decided: what comes due then is
    /// late once it can be.
    fn decide(&mut self) {
        let now = self.clock.now();
        if self.stuck.is_some() {
            self.planner.hold(now);
        } else {
            let closed = |(name, job): (&JobName, &Arc<Job>)| Some((name.clone(), self.perform.closed(job)?));
            let serving = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
            let closed = serving.iter().filter_map(closed).collect();
            drop(serving);
            self.planner.close(&closed);
            let plan = self.planner.on_timer(now);
            self.take(plan);
        }
    }

    /// Queues what a plan says.
    fn take(&mut self, plan: Plan) {
        if let Some(step) = plan.clock_step {
            let direction = if step < TimeDelta::zero() { "back" } else { "forward" };
            counter!(telemetry::CLOCK_STEPS, "direction" => direction).increment(1);
            tracing::warn!(
                step_seconds = step.num_seconds(),
                "the clock stepped, or the process stood still"
            );
        }
        let claims = plan.starts.into_iter().map(|start| Claim { slot: start.slot, cause: start.cause });
        self.unwritten.entries.extend(plan.entries);
        self.unwritten.claims.extend(claims);
    }

    /// Writes what is queued, in one batch, and starts what was claimed. Refused claims may let others start.
    async fn write(&mut self) {
        while !is_empty(&self.unwritten) {
            let LedgerBatch { closings, claims, .. } = &self.unwritten;
            let (closes, claims) = (!closings.is_empty(), !claims.is_empty());
            at(closes, "before-close").await;
            at(claims, "before-claim").await;
            match self.coordinator.write(self.unwritten.clone()).await {
                Ok(claimed) => {
                    at(closes, "after-close").await;
                    at(claims, "after-claim").await;
                    if self.stuck.take().is_some() {
                        tracing::info!("the ledger can be written again");
                    }
                    let LedgerBatch { entries, claims, .. } = std::mem::take(&mut self.unwritten);
                    for (waiter, ended) in self.told.drain(..) {
                        // Nobody may be waiting any more; that is their choice.
                        waiter.send(ended).unwrap_or_default();
                    }
                    count_slots(&entries);
                    for (claim, claimed) in claims.into_iter().zip(claimed) {
                        self.claimed(claim, claimed);
                    }
                }
                Err(StateError::Fenced { slot, run }) if self.forget_closing(&slot, run) => {
                    tracing::error!(%slot, %run, "the slot was taken from its run; the run's end is not written down");
                }
                Err(error) => {
                    if self.stuck.is_none() {
                        tracing::error!(%error, "the ledger can't be written: no run is started until it can");
                    }
                    self.stuck = Some(error.to_string());
                    return;
                }
            }
        }
    }

    /// Drops the closing of a run that has lost its slot, lest it keep everything else from being written. Says whether
    /// there was one.
    fn forget_closing(&mut self, slot: &Slot, run: RunId) -> bool {
        let before = self.unwritten.closings.len();
        self.unwritten.closings.retain(|closing| closing.token.run != run || closing.token.slot != *slot);
        self.unwritten.closings.len() < before
    }

    fn claimed(&mut self, claim: Claim, claimed: Claimed) {
        let token = match claimed {
            Claimed::Granted(token) => token,
            Claimed::Refused(why) => {
                tracing::debug!(slot = %claim.slot, %why, "not run again");
                let now = self.clock.now();
                let waiter = self.waiters.remove(&claim.slot);
                let plan = self.planner.on_refused(&claim.slot, claim.cause, now);
                self.take(plan);
                if claim.cause == Cause::Manual {
                    self.trigger_later(&claim.slot.job, waiter, now);
                }
                return;
            }
        };
        let Some(job) = self.job(&token.slot.job) else {
            // Removed between the plan and the claim: its slot is closed, not forgotten.
            self.ended(vec![(token, Ended::interrupted("the job was removed"))]);
            return;
        };
        if claim.cause == Cause::Due {
            let lateness = (self.clock.now() - token.slot.at).to_std().unwrap_or_default();
            histogram!(telemetry::SLOT_LATENESS, "job" => token.slot.job.to_string()).record(lateness);
        }
        let splay = match (claim.cause, job.trigger.timetable()) {
            (Cause::Due, Some(timetable)) => splay_of(job.name.as_str(), timetable.spec().splay),
            _ => Duration::ZERO,
        };
        let (perform, jobs) = (Arc::clone(&self.perform), Arc::clone(&self.jobs));
        let claimed = token.clone();
        let mut stop = self.stop_runs.subscribe();
        let run = async move {
            crash::point("at-start").await;
            if !splay.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(splay) => {}
                    changed = stop.wait_for(|stop| *stop) => {
                        drop(changed);
                        return Ended::interrupted("the daemon stopped before the run had begun");
                    }
                }
            }
            // A reload may have come since the claim: what serves now is what runs.
            let run = {
                let jobs = jobs.read().unwrap_or_else(PoisonError::into_inner);
                let job = jobs.get(&claimed.slot.job);
                job.map(|job| perform.perform(Arc::clone(job), claimed, stop))
            };
            match run {
                Some(run) => run.await,
                None => Ended::interrupted("the job was removed before its run had begun"),
            }
        };
        let task = {
            let token = token.clone();
            self.runs.spawn(async move { (token, run.await) })
        };
        self.tasks.insert(task.id(), token);
    }

    fn job(&self, name: &JobName) -> Option<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A slot of an earlier process stands on the second that a person asked for: the run takes the next one.
    fn trigger_later(&mut self, job: &JobName, waiter: Option<Waiter>, now: DateTime<Utc>) {
        let Some(job) = self.job(job) else { return };
        // Whether it may run again was decided when it was asked for.
        if let Ok((slot, plan)) = self.planner.trigger(&job, true, now) {
            self.waiters.extend(waiter.map(|waiter| (slot, waiter)));
            self.take(plan);
        }
    }

    fn joined(
        &mut self,
        joined: Result<(tokio::task::Id, (Token, Ended)), JoinError>,
    ) -> Option<(Token, Ended)> {
        let error = match joined {
            Ok((id, ended)) => {
                self.tasks.remove(&id);
                return Some(ended);
            }
            Err(error) => error,
        };
        let token = self.tasks.remove(&error.id())?;
        if !error.is_panic() {
            return Some((token, Ended::interrupted("cut off at shutdown")));
        }
        tracing::error!(slot = %token.slot, "a run broke off with a defect in this program");
        let message = "the run broke off with a defect in this program; the log says where".to_owned();
        Some((token, Ended { outcome: Outcome::Failed, counts: Counts::default(), message: Some(message) }))
    }

    fn ended(&mut self, runs: Vec<(Token, Ended)>) {
        let now = self.clock.now();
        let outcomes = runs.iter().map(|(token, ended)| (&token.slot, ended.outcome, token.attempt));
        let plan = self.planner.on_all_finished(outcomes, now);
        for (token, ended) in runs {
            count_run(&token.slot.job, &ended);
            let told =
                self.waiters.remove(&token.slot).map(|waiter| (waiter, (token.clone(), ended.clone())));
            self.told.extend(told);
            let Ended { outcome, counts, message } = ended;
            self.unwritten.closings.push(Closing { token, outcome, counts, message });
        }
        self.take(plan);
    }

    fn obey(&mut self, command: Command) {
        // What came due before the command is decided before it.
        self.decide();
        let now = self.clock.now();
        // Who asked may have gone away meanwhile; the command holds all the same.
        match command {
            Command::Trigger { job, again, reply } => {
                let triggered = match self.job(&job) {
                    None => Err(Refusal::Unknown(job)),
                    Some(job) => self.planner.trigger(&job, again, now),
                };
                let answer = triggered.map(|(slot, plan)| {
                    let (sender, ended) = oneshot::channel();
                    self.waiters.insert(slot.clone(), sender);
                    self.take(plan);
                    Triggered { slot, ended }
                });
                reply.send(answer).unwrap_or_default();
            }
            Command::Pause { job, reason, reply } => {
                let plan = self.planner.pause(&job, &reason, now);
                self.take(plan);
                reply.send(()).unwrap_or_default();
            }
            Command::Resume { job, reply } => {
                let plan = self.planner.resume(&job, now);
                self.take(plan);
                reply.send(()).unwrap_or_default();
            }
            Command::Replace { jobs, facts, with, reply } => {
                let plan = self.planner.replace(&jobs, &facts, now);
                {
                    let mut serving = self.jobs.write().unwrap_or_else(PoisonError::into_inner);
                    *serving = shared(&jobs);
                    with();
                }
                self.take(plan);
                reply.send(()).unwrap_or_default();
            }
            Command::View { reply } => {
                let serving = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
                let next = serving.keys().filter_map(|job| Some((job.clone(), self.planner.next_slot(job)?)));
                let view = View {
                    next: next.collect(),
                    running: self.planner.running().collect(),
                    stuck: self.stuck.clone(),
                };
                reply.send(view).unwrap_or_default();
            }
        }
    }
}

/// A moment of batches that have what it is about.
async fn at(concerned: bool, moment: &str) {
    if concerned {
        crash::point(moment).await;
    }
}

fn is_empty(batch: &LedgerBatch) -> bool {
    batch.closings.is_empty() && batch.entries.is_empty() && batch.claims.is_empty()
}

fn count_run(job: &JobName, ended: &Ended) {
    let job = job.to_string();
    let outcome = ended.outcome.as_str();
    counter!(telemetry::RUNS, "job" => job.clone(), "outcome" => outcome).increment(1);
    counter!(telemetry::SLOTS, "job" => job.clone(), "outcome" => outcome).increment(1);
    let Counts { read, written, unchanged, rejected, removed, .. } = ended.counts;
    let records = [
        ("read", read),
        ("written", written),
        ("unchanged", unchanged),
        ("rejected", rejected),
        ("removed", removed),
    ];
    for (what, number) in records {
        counter!(telemetry::RECORDS, "job" => job.clone(), "what" => what).increment(number);
    }
}

/// Counts slots that ended without a run.
fn count_slots(entries: &[Entry]) {
    for entry in entries {
        let (outcome, slots) = match entry {
            Entry::Skipped { .. } => (Outcome::Skipped, 1),
            Entry::Interrupted { .. } => (Outcome::Interrupted, 1),
            Entry::Range(range) => (range.outcome, range.slots),
            Entry::Accounted { .. } | Entry::Pending { .. } => continue,
        };
        let job = entry.job().to_string();
        counter!(telemetry::SLOTS, "job" => job, "outcome" => outcome.as_str()).increment(slots);
    }
}

fn shared(jobs: &Jobs) -> BTreeMap<JobName, Arc<Job>> {
    jobs.iter().map(|(name, job)| (name.clone(), Arc::new(job.clone()))).collect()
}
