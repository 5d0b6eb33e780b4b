//! The shipped schedule of ONe over a simulated year: each slot is accounted for exactly once, whatever outages, clock
//! steps, long runs and failures come between; and slot by slot on the days when the clocks change.

use crate::support::jobs::{at, name, work};
use crate::support::ledger::Books;
use cadenced::config::{Sources, load};
use cadenced::job::Job;
use cadenced::planner::{Plan, Planner};
use cadenced::run::{Counts, Outcome};
use cadenced::schedule::day;
use cadenced::state::{Claim, Claimed, Closing, LedgerBatch, Token};
use cadenced::words::JobName;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Europe::Warsaw;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// All jobs of ONe as they are shipped, enabled, with ends nobody will reach for.
fn jobs_of_one() -> BTreeMap<JobName, Job> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cadenced.toml");
    std::fs::create_dir(dir.path().join("schedules")).unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/schedules/one.toml");
    std::fs::copy(shipped, dir.path().join("schedules/one.toml")).unwrap();
    let text = "timezone = \"America/Lima\"\nschedules = [\"schedules\"]\n[connection.erp]\nsql = \"sqlite://erp.db\"\n\
                [connection.one]\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, text).unwrap();
    let sources = Sources { file: Some(file), env: Vec::new(), overrides: Vec::new(), credentials_dir: None };
    let loaded = load(&sources).unwrap();
    let ours = loaded.jobs.into_iter().filter(|(name, _)| name.as_str().starts_with("one-"));
    ours.map(|(name, job)| (name, Job { enabled: true, work: work(), ..job })).collect()
}

/// How many slots a job has on a local date.
fn count(job: &Job, date: NaiveDate) -> usize {
    let day = day(date, Warsaw);
    let slots: Vec<_> = job.trigger.timetable().unwrap().slots(day.start, day.end).collect();
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "{} repeats an instant on {date}", job.name);
    slots.len()
}

#[test]
fn every_slot_of_one_on_ordinary_days_and_when_the_clocks_change() {
    let jobs = jobs_of_one();
    let dates: Vec<NaiveDate> = ["03-28", "03-29", "03-30", "10-24", "10-25", "10-26"]
        .iter()
        .map(|date| format!("2026-{date}").parse().unwrap())
        .collect();
    // An hour less, an hour more: only what keeps elapsing notices.
    let table = [
        ("one-stocks", [720, 690, 720, 720, 750, 720]),
        ("one-client-add", [144, 138, 144, 144, 150, 144]),
        ("one-client-update", [144, 138, 144, 144, 150, 144]),
        ("one-client-pull", [720, 690, 720, 720, 750, 720]),
        ("one-client-pull-full", [48, 46, 48, 48, 50, 48]),
        ("one-client-ids", [720, 690, 720, 720, 750, 720]),
        ("one-retail-prices", [144, 138, 144, 144, 150, 144]),
        ("one-b2b-prices", [1; 6]),
        ("one-invoices", [25; 6]),
        ("one-invoice-statuses", [24; 6]),
        ("one-goods-issued-notes", [25; 6]),
        ("one-orders", [1440, 1380, 1440, 1440, 1500, 1440]),
        ("one-order-status", [144, 138, 144, 144, 150, 144]),
        ("one-offline-orders", [1440, 1380, 1440, 1440, 1500, 1440]),
    ];
    for (job, counts) in table {
        let job = &jobs[&name(job)];
        assert_eq!(dates.iter().map(|date| count(job, *date)).collect::<Vec<_>>(), counts, "{}", job.name);
    }
    let with_slots = jobs.values().filter(|job| job.trigger.timetable().is_some());
    let listed: BTreeSet<JobName> = table.iter().map(|(job, _)| name(job)).collect();
    assert_eq!(with_slots.map(|job| job.name.clone()).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn b2b_prices_come_at_a_quarter_past_midnight_each_night_and_invoices_from_eight_to_eight() {
    let jobs = jobs_of_one();
    for date in ["2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26"] {
        let day = day(date.parse().unwrap(), Warsaw);
        let local = |job: &str| -> Vec<String> {
            let slots = jobs[&name(job)].trigger.timetable().unwrap().slots(day.start, day.end);
            slots.map(|at| at.with_timezone(&Warsaw).format("%H:%M:%S").to_string()).collect()
        };
        assert_eq!(local("one-b2b-prices"), ["00:15:00"], "{date}");
        let invoices = local("one-invoices");
        assert_eq!((invoices[0].as_str(), invoices[24].as_str()), ("08:00:00", "20:00:00"), "{date}");
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn seconds(&mut self, from: u64, below: u64) -> TimeDelta {
        TimeDelta::seconds(i64::try_from(from + self.below(below - from)).unwrap())
    }
}

/// What happens to a daemon in a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Incident {
    /// It is killed and comes back after so many seconds.
    Killed(TimeDelta),
    /// It is stopped in good order and comes back after so many seconds.
    Stopped(TimeDelta),
    /// Its clock is set forward, or back.
    Clock(TimeDelta),
}

/// A daemon in fast motion: time goes from one event to the next.
struct Year {
    jobs: BTreeMap<JobName, Job>,
    books: Books,
    planner: Planner,
    dice: Dice,
    /// What really passed.
    elapsed: TimeDelta,
    /// What the clock said when nothing had passed.
    zero: DateTime<Utc>,
    /// Runs that go: when they end, and for the daemon that is up now.
    ends: BinaryHeap<Reverse<(TimeDelta, u64)>>,
    running: HashMap<u64, Token>,
    ended: BTreeMap<&'static str, u64>,
}

impl Year {
    fn start(jobs: BTreeMap<JobName, Job>, from: DateTime<Utc>) -> Self {
        let (planner, plan) = Planner::start(&jobs, &BTreeMap::new(), from);
        let mut year = Self {
            jobs,
            books: Books::default(),
            planner,
            dice: Dice(2026),
            elapsed: TimeDelta::zero(),
            zero: from,
            ends: BinaryHeap::new(),
            running: HashMap::new(),
            ended: BTreeMap::new(),
        };
        year.perform(plan, Vec::new());
        year
    }

    fn now(&self) -> DateTime<Utc> {
        self.zero + self.elapsed
    }

    fn perform(&mut self, plan: Plan, closings: Vec<Closing>) {
        let Plan { entries, starts, .. } = plan;
        let claims: Vec<Claim> =
            starts.into_iter().map(|start| Claim { slot: start.slot, cause: start.cause }).collect();
        let now = self.now();
        let answers = self.books.write(LedgerBatch { closings, entries, claims: claims.clone() }, now);
        for (claim, answer) in claims.into_iter().zip(answers) {
            match answer {
                Claimed::Granted(token) => {
                    // Most runs take seconds; some take longer than it is to the next slot, a few for hours.
                    let lasts = match self.dice.below(200) {
                        0 => self.dice.seconds(600, 3_600),
                        1..6 => self.dice.seconds(60, 600),
                        _ => self.dice.seconds(0, 30),
                    };
                    self.ends.push(Reverse((self.elapsed + lasts, token.run.0)));
                    self.running.insert(token.run.0, token);
                }
                Claimed::Refused(_) => {
                    let plan = self.planner.on_refused(&claim.slot, claim.cause, now);
                    self.perform(plan, Vec::new());
                }
            }
        }
    }

    fn end(&mut self, token: Token, outcome: Outcome) {
        *self.ended.entry(outcome.as_str()).or_default() += 1;
        let plan = self.planner.on_finished(&token.slot, outcome, token.attempt, self.now());
        let closing = Closing { token, outcome, counts: Counts::default(), message: None };
        self.perform(plan, vec![closing]);
    }

    /// Lives until nothing happens before this moment any more.
    fn live_until(&mut self, moment: TimeDelta) {
        loop {
            let wake = self.planner.wake().map(|wake| wake - self.zero);
            let end = self.ends.peek().map(|Reverse((end, _))| *end);
            let Some(next) = wake.into_iter().chain(end).min().filter(|next| *next <= moment) else { break };
            self.elapsed = self.elapsed.max(next);
            if wake.is_some_and(|wake| wake <= next) {
                let plan = self.planner.on_timer(self.now());
                self.perform(plan, Vec::new());
            }
            while self.ends.peek().is_some_and(|Reverse((end, _))| *end <= self.elapsed) {
                let Some(Reverse((_, run))) = self.ends.pop() else { break };
                if let Some(token) = self.running.remove(&run) {
                    let outcome = match self.dice.below(100) {
                        0..4 => Outcome::Failed,
                        4..6 => Outcome::Partial,
                        _ => Outcome::Ok,
                    };
                    self.end(token, outcome);
                }
            }
        }
        self.elapsed = self.elapsed.max(moment);
    }

    fn suffer(&mut self, incident: Incident) {
        let down = match incident {
            Incident::Killed(down) => down,
            Incident::Stopped(down) => {
                self.planner.stop();
                let cut_off: BTreeMap<u64, Token> = self.running.drain().collect();
                for token in cut_off.into_values() {
                    self.end(token, Outcome::Interrupted);
                }
                down
            }
            Incident::Clock(step) => {
                self.zero += step;
                return;
            }
        };
        self.running.clear();
        self.ends.clear();
        self.elapsed += down;
        let (planner, plan) = Planner::start(&self.jobs, &self.books.facts(), self.now());
        self.planner = planner;
        self.perform(plan, Vec::new());
    }
}

/// Half a year of all jobs, with 25 outages and 5 steps of the clock; gives how many slots there were.
fn half_a_year(from: &str, until: &str, seed: u64) -> u64 {
    let jobs = jobs_of_one();
    let (from, until) = (at(from), at(until));
    let length = u64::try_from((until - from).num_seconds()).unwrap();
    let mut dice = Dice(seed);
    let mut incidents = BTreeSet::new();
    for n in 0..30 {
        let when = dice.seconds(3_600, length - 86_400);
        let longest = [60, 3_600, 6 * 3_600, 3 * 86_400][usize::try_from(n % 4).unwrap()];
        let lasts = dice.seconds(60, longest + 60);
        let incident = match n {
            25..27 => Incident::Clock(lasts),
            27.. => Incident::Clock(-lasts.min(TimeDelta::hours(5))),
            n if n % 3 == 0 => Incident::Stopped(lasts),
            _ => Incident::Killed(lasts),
        };
        incidents.insert((when, incident));
    }
    let mut year = Year::start(jobs, from);
    for (when, incident) in incidents {
        year.live_until(when);
        year.suffer(incident);
    }
    let rest = until - year.now() - TimeDelta::nanoseconds(1);
    year.live_until(year.elapsed + rest);
    // What still runs or waits comes to its end; no new slot of the year comes due.
    year.planner.stop();
    let now = year.elapsed;
    while let Some(Reverse((_, run))) = year.ends.pop() {
        if let Some(token) = year.running.remove(&run) {
            year.end(token, Outcome::Ok);
        }
    }
    assert_eq!(year.elapsed, now);

    let mut accounts: BTreeMap<&str, u64> = BTreeMap::new();
    for job in year.jobs.values() {
        let page = &year.books.jobs[&job.name];
        let Some(timetable) = job.trigger.timetable() else { continue };
        let mut own = page.slots.keys().copied().peekable();
        let mut ranges: Vec<(DateTime<Utc>, DateTime<Utc>)> =
            page.ranges.iter().map(|range| (range.first, range.last)).collect();
        ranges.sort_unstable();
        let mut ranges = ranges.into_iter().peekable();
        for slot in timetable.slots(from + TimeDelta::seconds(1), until) {
            while ranges.next_if(|(_, last)| *last < slot).is_some() {}
            let covered = ranges.peek().is_some_and(|(first, _)| *first <= slot);
            let recorded = own.next_if_eq(&slot).is_some();
            let waits = page.pending.contains_key(&slot);
            assert!(covered || recorded || waits, "{}: nobody knows of {slot}", job.name);
            let outcome = page.outcome(slot);
            assert!(outcome.is_some() || waits, "{}: {slot} has no outcome", job.name);
            *accounts.entry(outcome.map_or("waits", Outcome::as_str)).or_default() += 1;
        }
        assert_eq!(own.next(), None, "{}: a slot that no timetable names", job.name);
    }
    for outcome in ["ok", "partial", "failed", "skipped", "missed", "interrupted"] {
        assert!(accounts[outcome] > 0, "nothing ended {outcome}: {accounts:?}");
    }
    let ran: u64 = year.ended.values().sum();
    assert!(ran > 500_000, "{:?}", year.ended);
    accounts.values().sum()
}

// A year has 365 times 5,739 slots, for the hours of spring and autumn cancel out; the six of the very first instant,
// at which the daemon is only just starting, are not its own. Each half starts where the clocks have their winter time
// or their summer time, and has one of the two changes.

#[test]
fn from_january_to_june_each_slot_is_accounted_for_exactly_once() {
    assert_eq!(half_a_year("2025-12-31 23:00:00", "2026-06-30 22:00:00", 1), 181 * 5_739 - 236 - 6);
}

#[test]
fn from_july_to_december_each_slot_is_accounted_for_exactly_once() {
    assert_eq!(half_a_year("2026-06-30 22:00:00", "2026-12-31 23:00:00", 2), 184 * 5_739 + 236 - 6);
}
