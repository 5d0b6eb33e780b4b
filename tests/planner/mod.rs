//! What the planner promises, policy by policy. A [`World`] performs its plans the way the scheduler does, over a
//! ledger in memory, and tells what they said: a line for each slot that starts, waits or will not run.

mod after;
mod catch_up;
mod clock;
mod closed;
mod initial;
mod locks;
mod manual;
mod overlap;
mod pause;
mod replace;
mod rerun;
mod restart;

use crate::support::jobs::{after, at, by_name, cron, disabled, initial, job, name, with};
use crate::support::ledger::{Books, Page};
use cadenced::job::{Job, Trigger};
use cadenced::planner::{JobFacts, Plan, Planner};
use cadenced::run::{Counts, Entry, Outcome, Slot};
use cadenced::schedule::{CatchUp, Overlap, Rerun};
use cadenced::state::{Claim, Claimed, Closing, LedgerBatch, Token};
use cadenced::words::JobName;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

fn told(instant: DateTime<Utc>) -> String {
    let day = instant.date_naive() == at("10:00").date_naive();
    let format = if day { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    instant.format(format).to_string()
}

/// Divides a minute, so that no slot of the tests comes late.
const TICK: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

fn rerun(times: u32, every: Duration) -> Option<Rerun> {
    Some(Rerun { times, every })
}

struct World {
    jobs: BTreeMap<JobName, Job>,
    books: Books,
    planner: Planner,
    running: BTreeMap<JobName, Token>,
    now: DateTime<Utc>,
    said: Vec<String>,
}

impl World {
    /// The daemon's first start, at this instant.
    fn start(now: &str, jobs: &[Job]) -> Self {
        let (world, _) = Self::over(Books::default(), at(now), by_name(jobs));
        world
    }

    fn over(books: Books, now: DateTime<Utc>, jobs: BTreeMap<JobName, Job>) -> (Self, Vec<String>) {
        let (planner, plan) = Planner::start(&jobs, &books.facts(), now);
        let (running, said) = (BTreeMap::new(), Vec::new());
        let mut world = Self { jobs, books, planner, running, now, said };
        world.perform(plan, Vec::new());
        let said = world.said();
        (world, said)
    }

    /// The process is gone, and a new one starts at this instant.
    fn restart(&mut self, now: &str) -> Vec<String> {
        let (world, said) = Self::over(self.books.clone(), at(now), self.jobs.clone());
        *self = world;
        said
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// Time passes until this instant, and the planner is asked all along.
    fn at(&mut self, now: &str) -> Vec<String> {
        let until = at(now);
        assert!(self.now <= until, "time passes forwards; the clock may jump");
        while self.now < until {
            self.now = until.min(self.now + TICK);
            self.tick();
        }
        self.tick();
        self.said()
    }

    /// The clock is set to this instant.
    fn jump(&mut self, now: &str) -> Vec<String> {
        self.now = at(now);
        self.tick();
        self.said()
    }

    fn tick(&mut self) {
        let plan = self.planner.on_timer(self.now);
        self.perform(plan, Vec::new());
    }

    /// The job's run ends now.
    fn ends(&mut self, job: &str, outcome: Outcome) -> Vec<String> {
        let token = self.running.remove(&name(job)).unwrap();
        let plan = self.planner.on_finished(&token.slot, outcome, token.attempt, self.now);
        let closing = Closing { token, outcome, counts: Counts::default(), message: None };
        self.perform(plan, vec![closing]);
        self.said()
    }

    fn trigger(&mut self, job: &str) -> Result<Vec<String>, String> {
        self.trigger_how(job, false)
    }

    fn trigger_how(&mut self, job: &str, again: bool) -> Result<Vec<String>, String> {
        let triggered = self.planner.trigger(&self.jobs[&name(job)], again, self.now);
        let (_, plan) = triggered.map_err(|refusal| refusal.to_string())?;
        self.perform(plan, Vec::new());
        Ok(self.said())
    }

    fn pause(&mut self, job: &str, reason: &str) -> Vec<String> {
        self.books.page(&name(job)).paused = Some(reason.to_owned());
        let plan = self.planner.pause(&name(job), reason, self.now);
        self.perform(plan, Vec::new());
        self.said()
    }

    fn resume(&mut self, job: &str) -> Vec<String> {
        self.books.page(&name(job)).paused = None;
        let plan = self.planner.resume(&name(job), self.now);
        self.perform(plan, Vec::new());
        self.said()
    }

    /// The configuration is read again.
    fn replace(&mut self, jobs: &[Job]) -> Vec<String> {
        self.jobs = by_name(jobs);
        let mut facts = self.books.facts();
        for facts in facts.values_mut() {
            // What this very process runs was not interrupted.
            *facts = JobFacts { interrupted: Vec::new(), ..facts.clone() };
        }
        let plan = self.planner.replace(&self.jobs, &facts, self.now);
        self.perform(plan, Vec::new());
        self.said()
    }

    fn perform(&mut self, plan: Plan, closings: Vec<Closing>) {
        let Plan { entries, starts, clock_step } = plan;
        self.said.extend(clock_step.map(|step| format!("the clock stepped {} s", step.num_seconds())));
        self.said.extend(entries.iter().filter_map(line));
        let claims: Vec<Claim> =
            starts.iter().map(|start| Claim { slot: start.slot.clone(), cause: start.cause }).collect();
        let answers = self.books.write(LedgerBatch { closings, entries, claims: claims.clone() }, self.now);
        for (Claim { slot, cause }, answer) in claims.into_iter().zip(answers) {
            let Slot { job, at } = &slot;
            let cause_word = serde_json::to_value(cause).unwrap();
            let cause_word = cause_word.as_str().unwrap();
            match answer {
                Claimed::Granted(token) => {
                    self.said.push(format!("run {job} {} {cause_word}", told(*at)));
                    assert!(self.running.insert(job.clone(), token).is_none(), "{job} runs twice at once");
                }
                Claimed::Refused(_) => {
                    self.said.push(format!("refused {job} {}", told(*at)));
                    let plan = self.planner.on_refused(&slot, cause, self.now);
                    self.perform(plan, Vec::new());
                }
            }
        }
    }

    fn page(&self, job: &str) -> &Page {
        &self.books.jobs[&name(job)]
    }

    fn outcome(&self, job: &str, slot: &str) -> Option<Outcome> {
        self.page(job).outcome(at(slot))
    }

    /// The slots of `[from, until)` that the ledger knows nothing of.
    fn forgotten(&self, job: &str, from: &str, until: &str) -> Vec<String> {
        let timetable = self.jobs[&name(job)].trigger.timetable().unwrap();
        let page = self.page(job);
        let known = |slot: &DateTime<Utc>| {
            page.outcome(*slot).is_some() || page.slots.contains_key(slot) || page.pending.contains_key(slot)
        };
        timetable.slots(at(from), at(until)).filter(|slot| !known(slot)).map(told).collect()
    }
}

fn line(entry: &Entry) -> Option<String> {
    Some(match entry {
        Entry::Accounted { .. } => return None,
        Entry::Skipped { slot, reason, .. } => format!("skip {} {}: {reason}", slot.job, told(slot.at)),
        Entry::Pending { slot, .. } => format!("wait {} {}", slot.job, told(slot.at)),
        Entry::Interrupted { slot } => format!("cut off {} {}", slot.job, told(slot.at)),
        Entry::Range(range) => {
            let (first, last) = (told(range.first), told(range.last));
            format!("{} {} {first} to {last} ({}): {}", range.outcome, range.job, range.slots, range.reason)
        }
    })
}
