//! The scheduler performs what the planner decides: the ledger comes before the dispatch, one flush for all that
//! happens in a turn, and nothing that a run or the ledger does stops it. Time is paused; runs do what a script says.

use crate::support::jobs::{after, at, by_name, cron, initial, name, with};
use crate::support::ledger::Ledger;
use cadenced::clock::{Clock, SystemClock};
use cadenced::job::{Job, Trigger};
use cadenced::planner::{JobFacts, Refusal};
use cadenced::run::{Counts, Entry, Outcome, Slot};
use cadenced::runner::{Ended, Perform, Stop};
use cadenced::schedule::{Overlap, Rerun, Timetable, splay_of};
use cadenced::scheduler::{Scheduler, SchedulerHandle};
use cadenced::state::{Coordinator as _, Store, Token};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(20);

/// A clock that goes with the runtime's, which is paused and jumps to where the next timer is.
#[derive(Debug)]
struct Paused {
    from: DateTime<Utc>,
    since: Instant,
}

impl Clock for Paused {
    fn now(&self) -> DateTime<Utc> {
        self.from + self.since.elapsed()
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy)]
enum Act {
    Take(Duration, Outcome),
    Panic,
    /// Breaks off before it has become a run.
    PanicAtOnce,
    /// Goes on until it is told to stop, and says so.
    UntilStopped,
    /// Doesn't listen.
    Forever,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Begun {
    slot: Slot,
    summary: String,
    after: Duration,
    /// How many batches the ledger had by then.
    batches: usize,
}

#[derive(Debug)]
struct Script {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    begun: Mutex<Vec<Begun>>,
    ledger: Option<Arc<Ledger>>,
    since: Instant,
}

impl Perform for Script {
    fn perform(&self, job: Arc<Job>, token: Token, mut stop: Stop) -> BoxFuture<'static, Ended> {
        let batches = self.ledger.as_ref().map_or(0, |ledger| ledger.batches().len());
        let summary = job.summary.clone();
        let begun = Begun { slot: token.slot.clone(), summary, after: self.since.elapsed(), batches };
        self.begun.lock().unwrap().push(begun);
        let act = self.acts.lock().unwrap().get_mut(job.name.as_str()).and_then(VecDeque::pop_front);
        let act = act.unwrap_or(Act::Take(Duration::ZERO, Outcome::Ok));
        assert!(!matches!(act, Act::PanicAtOnce), "as scripted");
        Box::pin(async move {
            match act {
                Act::Take(duration, outcome) => {
                    sleep(duration).await;
                    Ended { outcome, counts: Counts::default(), message: None }
                }
                Act::Panic | Act::PanicAtOnce => panic!("as scripted"),
                Act::UntilStopped => {
                    stop.wait_for(|stop| *stop).await.unwrap();
                    Ended::interrupted("told to stop")
                }
                Act::Forever => std::future::pending().await,
            }
        })
    }
}

/// A scheduler at work.
struct Site {
    ledger: Arc<Ledger>,
    script: Arc<Script>,
    handle: SchedulerHandle,
    stop: watch::Sender<bool>,
    loop_: JoinHandle<()>,
    since: Instant,
    from: DateTime<Utc>,
}

impl Site {
    fn start(now: &str, jobs: &[Job], acts: &[(&str, &[Act])]) -> Self {
        Self::start_with(now, jobs, acts, |_| {})
    }

    fn start_with(now: &str, jobs: &[Job], acts: &[(&str, &[Act])], before: impl FnOnce(&Ledger)) -> Self {
        let (from, since) = (at(now), Instant::now());
        let clock = Arc::new(Paused { from, since });
        let ledger = Arc::new(Ledger::new(clock.clone()));
        before(&ledger);
        let acts = acts.iter().map(|(job, acts)| ((*job).to_owned(), acts.iter().copied().collect()));
        let script = Arc::new(Script {
            acts: Mutex::new(acts.collect()),
            begun: Mutex::default(),
            ledger: Some(ledger.clone()),
            since,
        });
        let facts = ledger.books().facts();
        let (scheduler, handle) =
            Scheduler::new(&by_name(jobs), &facts, ledger.clone(), script.clone(), clock);
        let (stop, stopped) = watch::channel(false);
        let loop_ = tokio::spawn(scheduler.run(stopped, DRAIN));
        Self { ledger, script, handle, stop, loop_, since, from }
    }

    /// Half a second after this instant, so that all that is due then has happened.
    async fn until(&self, instant: &str) {
        let after = (at(instant) - self.from).to_std().unwrap();
        tokio::time::sleep_until(self.since + after + SECOND / 2).await;
    }

    fn begun(&self) -> Vec<String> {
        let begun = self.script.begun.lock().unwrap();
        begun.iter().map(|begun| format!("{} {}", begun.slot.job, begun.slot.at.format("%H:%M:%S"))).collect()
    }

    fn outcome(&self, job: &str, slot: &str) -> Option<Outcome> {
        self.ledger.books().jobs[&name(job)].outcome(at(slot))
    }

    fn reason(&self, job: &str, slot: &str) -> String {
        self.ledger.books().jobs[&name(job)].slots[&at(slot)].reason.as_deref().unwrap_or_default().to_owned()
    }

    /// Tells it to stop and waits until it has; says how long that took.
    async fn stop(self) -> (Arc<Ledger>, Duration) {
        let told = Instant::now();
        self.stop.send(true).unwrap();
        self.loop_.await.unwrap();
        (self.ledger, told.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_slots_of_an_instant_cost_one_flush_and_so_do_their_ends() {
    let jobs: Vec<Job> = (0..1000).map(|n| cron(&format!("job-{n}"), "0 0 * * * *")).collect();
    let acts: Vec<(String, [Act; 1])> =
        (0..1000).map(|n| (format!("job-{n}"), [Act::Take(SECOND, Outcome::Ok)])).collect();
    let acts: Vec<(&str, &[Act])> = acts.iter().map(|(job, acts)| (job.as_str(), &acts[..])).collect();
    let site = Site::start("09:59:50", &jobs, &acts);
    site.until("09:59:59").await;
    let before = site.ledger.batches().len();
    site.until("10:00").await;
    let batches = site.ledger.batches();
    assert_eq!(batches.len(), before + 1);
    assert_eq!(batches[before].claims.len(), 1000);
    site.until("10:00:01").await;
    let batches = site.ledger.batches();
    assert_eq!(batches[before + 1..].iter().map(|batch| batch.closings.len()).sum::<usize>(), 1000);
    assert!(batches.len() <= before + 3, "{} batches for ends of one instant", batches.len() - before - 1);
    let books = site.ledger.books();
    assert!(books.jobs.values().all(|page| page.outcome(at("10:00")) == Some(Outcome::Ok)));
    // The ledger came first.
    assert!(site.script.begun.lock().unwrap().iter().all(|begun| begun.batches == before + 1));
}

#[tokio::test(start_paused = true)]
async fn a_slot_starts_within_milliseconds_and_sleep_is_a_second_at_most() {
    let site = Site::start("10:00:00", &[cron("a", "30 * * * * *")], &[]);
    site.until("10:03").await;
    let begun = site.script.begun.lock().unwrap().clone();
    let late: Vec<_> =
        begun.iter().map(|begun| (site.from + begun.after - begun.slot.at).to_std().unwrap()).collect();
    assert_eq!(late.len(), 3);
    assert!(late.iter().all(|late| *late <= Duration::from_millis(2)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_claim_frees_its_lock_and_lets_who_waits_start() {
    let locked = |job| with(job, |policy| policy.lock = Some("l".to_owned()));
    let jobs = [locked(cron("a", "0 0 * * * *")), locked(cron("b", "0 0 * * * *"))];
    let site = Site::start_with("09:59:50", &jobs, &[], |ledger| {
        // A clock that was ahead had this very slot run before.
        ledger.change(|books| {
            let batch = |entries| cadenced::state::LedgerBatch { entries, ..Default::default() };
            let skipped = Entry::skipped(&name("a"), at("10:00"), cadenced::run::Cause::Due, "before");
            books.write(batch(vec![skipped]), at("09:59"));
        });
    });
    site.until("10:00").await;
    assert_eq!(site.begun(), ["b 10:00:00"]);
    assert_eq!(site.outcome("b", "10:00"), Some(Outcome::Ok));
    assert_eq!(site.handle.view().await.unwrap().running, []);
}

#[tokio::test(start_paused = true)]
async fn while_the_ledger_fails_nothing_starts_it_is_tried_each_second_and_the_view_says_so() {
    let jobs = [cron("a", "0 * * * * *"), cron("slow", "0 59 9 * * *")];
    let site = Site::start("09:58:50", &jobs, &[("slow", &[Act::Take(90 * SECOND, Outcome::Ok)])]);
    site.until("09:59:50").await;
    site.ledger.fail(true);
    let before = site.ledger.attempts();
    // Nothing is to be written until 10:00.
    site.until("10:00").await;
    assert_eq!(site.ledger.attempts(), before + 1);
    assert!(site.handle.view().await.unwrap().stuck.is_some());
    let asked = site.ledger.attempts();
    site.until("10:00:20").await;
    let tried = site.ledger.attempts() - asked;
    assert!((19..=21).contains(&tried), "{tried} times in 20 s");
    assert_eq!(site.begun(), ["a 09:59:00", "slow 09:59:00"]);
    // A run that ended meanwhile, and three minutes of slots.
    site.until("10:03:40").await;
    assert_eq!(site.begun().len(), 2);
    site.ledger.fail(false);
    site.until("10:03:42").await;
    assert!(site.handle.view().await.unwrap().stuck.is_none());
    // The slot that was about to start, and the latest of those that came due meanwhile.
    assert_eq!(site.begun()[2..], ["a 10:00:00", "a 10:03:00"]);
    assert_eq!(site.outcome("a", "10:01"), Some(Outcome::Missed));
    assert_eq!(site.outcome("slow", "09:59"), Some(Outcome::Ok));
    site.until("10:04").await;
    assert_eq!(site.outcome("a", "10:04"), Some(Outcome::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_fails_until_the_end_loses_no_slot() {
    let site = Site::start("09:59:50", &[cron("a", "0 * * * * *")], &[]);
    site.until("09:59:55").await;
    site.ledger.fail(true);
    site.until("10:00").await;
    let ledger = site.ledger.clone();
    site.stop.send(true).unwrap();
    ledger.fail(false);
    site.loop_.await.unwrap();
    // It was not run, and waits for the next process.
    assert_eq!(site.script.begun.lock().unwrap().len(), 0);
    assert_eq!(ledger.books().facts()[&name("a")].pending[0].0, at("10:00"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_panics_closes_its_slot_as_failed_and_harms_no_other() {
    let site = Site::start(
        "09:59:50",
        &[cron("a", "0 * * * * *"), cron("b", "0 * * * * *"), cron("c", "0 * * * * *")],
        &[("a", &[Act::Panic]), ("b", &[Act::PanicAtOnce])],
    );
    site.until("10:00").await;
    for job in ["a", "b"] {
        assert_eq!(site.outcome(job, "10:00"), Some(Outcome::Failed));
        let reason = site.reason(job, "10:00");
        assert_eq!(reason, "the run broke off with a defect in this program; the log says where");
    }
    assert_eq!(site.outcome("c", "10:00"), Some(Outcome::Ok));
    site.until("10:01").await;
    assert_eq!(site.outcome("a", "10:01"), Some(Outcome::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_tried_again_and_a_child_follows() {
    let rerun = Some(Rerun { times: 1, every: 10 * SECOND });
    let jobs = [with(cron("a", "0 * * * * *"), |policy| policy.rerun = rerun), after("c", &["a"])];
    let site = Site::start("09:59:50", &jobs, &[("a", &[Act::Take(SECOND, Outcome::Failed)])]);
    site.until("10:00:12").await;
    assert_eq!(site.begun(), ["a 10:00:00", "a 10:00:00", "c 10:00:00"]);
    let begun = site.script.begun.lock().unwrap().clone();
    assert_eq!((begun[1].after - begun[0].after).as_secs(), 11);
    // The parent's end and the child's start are one batch.
    let batches = site.ledger.batches();
    assert!(
        batches
            .iter()
            .any(|batch| batch.closings.len() == 1 && batch.claims.iter().any(|c| c.slot.job == name("c")))
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_begins_after_a_reload_is_one_of_the_new_set() {
    let splayed = |name: &str, summary: &str| {
        let mut spec = Timetable::cron("0 * * * * *", chrono_tz::UTC).unwrap().spec().clone();
        spec.splay = 20 * SECOND;
        let mut job = cron(name, "0 * * * * *");
        job.trigger = Trigger::Timetable(Timetable::new(spec).unwrap());
        job.summary = summary.to_owned();
        job
    };
    let site = Site::start("09:59:50", &[splayed("a", "old"), splayed("b", "old")], &[]);
    site.until("10:00").await;
    assert_eq!(site.handle.view().await.unwrap().running.len(), 2, "claimed, and not begun yet");
    let swapped = Arc::new(Mutex::new(false));
    let swap = Arc::clone(&swapped);
    let with = move || *swap.lock().unwrap() = true;
    site.handle.replace(by_name(&[splayed("a", "new")]), site.ledger.books().facts(), with).await;
    assert!(*swapped.lock().unwrap());
    site.until("10:00:30").await;
    let begun = site.script.begun.lock().unwrap().clone();
    let begun: Vec<_> = begun.iter().map(|begun| (begun.slot.job.as_str(), begun.summary.as_str())).collect();
    assert_eq!(begun, [("a", "new")]);
    assert_eq!(site.outcome("a", "10:00"), Some(Outcome::Ok));
    assert_eq!(site.outcome("b", "10:00"), Some(Outcome::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn a_splay_delays_the_start_and_not_the_slot() {
    let mut spec = Timetable::cron("0 * * * * *", chrono_tz::UTC).unwrap().spec().clone();
    spec.splay = 20 * SECOND;
    let mut job = cron("a", "0 * * * * *");
    job.trigger = Trigger::Timetable(Timetable::new(spec).unwrap());
    let site = Site::start("09:59:50", &[job], &[]);
    let splay = splay_of("a", 20 * SECOND);
    assert!(!splay.is_zero());
    site.until("10:00:20").await;
    let begun = site.script.begun.lock().unwrap()[0].clone();
    assert_eq!(begun.slot.at, at("10:00"));
    let late = begun.after - 10 * SECOND - splay;
    assert!(late < Duration::from_millis(5), "{late:?}");
    // By hand it starts at once.
    let asked = Instant::now();
    let triggered = site.handle.trigger(name("a"), false).await.unwrap();
    triggered.ended.await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_runs_and_starts_no_others() {
    let jobs = [cron("a", "0 0 * * * *"), with(cron("b", "5 0 * * * *"), |p| p.overlap = Overlap::Queue)];
    let site = Site::start("09:59:50", &jobs, &[("a", &[Act::Take(15 * SECOND, Outcome::Ok)])]);
    site.until("10:00").await;
    let handle = site.handle.clone();
    let asking = tokio::spawn(async move {
        sleep(2 * SECOND).await;
        // While it drains it still answers.
        (handle.view().await.unwrap().running.len(), handle.trigger(name("b"), false).await.unwrap_err())
    });
    let (ledger, took) = site.stop().await;
    assert!((14..=15).contains(&took.as_secs()), "{took:?}");
    assert_eq!(asking.await.unwrap(), (1, Refusal::Stopping));
    assert_eq!(ledger.books().jobs[&name("a")].outcome(at("10:00")), Some(Outcome::Ok));
    assert!(ledger.books().jobs[&name("b")].slots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_drain_is_cut_off_and_taken_up_by_the_next_start() {
    let jobs = [cron("a", "0 0 * * * *"), cron("b", "0 0 * * * *")];
    let site = Site::start("09:59:50", &jobs, &[("a", &[Act::UntilStopped]), ("b", &[Act::Forever])]);
    site.until("10:00").await;
    let (ledger, took) = site.stop().await;
    assert!((DRAIN.as_secs()..DRAIN.as_secs() + 7).contains(&took.as_secs()), "{took:?}");
    for job in ["a", "b"] {
        assert_eq!(ledger.books().jobs[&name(job)].outcome(at("10:00")), Some(Outcome::Interrupted));
        assert_eq!(ledger.books().facts()[&name(job)].pending[0].0, at("10:00"));
    }
}

#[tokio::test(start_paused = true)]
async fn people_trigger_pause_resume_and_replace() {
    let site = Site::start("09:59:50", &[cron("a", "0 * * * * *"), initial("i", &[])], &[]);
    site.until("09:59:50").await;
    let triggered = site.handle.trigger(name("a"), false).await.unwrap();
    assert_eq!(triggered.ended.await.unwrap().1.outcome, Outcome::Ok);
    // By the time its end is told it is written down.
    assert_eq!(site.outcome("a", "09:59:50"), Some(Outcome::Ok));
    assert_eq!(site.handle.trigger(name("i"), false).await.unwrap_err(), Refusal::Done(name("i")));
    assert_eq!(site.handle.trigger(name("x"), false).await.unwrap_err(), Refusal::Unknown(name("x")));
    site.handle.pause(name("a"), "x".to_owned()).await;
    site.until("10:00").await;
    assert_eq!(site.outcome("a", "10:00"), Some(Outcome::Skipped));
    site.handle.resume(name("a")).await;
    site.until("10:01").await;
    assert_eq!(site.outcome("a", "10:01"), Some(Outcome::Ok));
    let facts: BTreeMap<_, JobFacts> = site.ledger.books().facts();
    site.handle.replace(by_name(&[cron("b", "0 * * * * *")]), facts, || {}).await;
    let view = site.handle.view().await.unwrap();
    assert_eq!(view.next.into_iter().collect::<Vec<_>>(), [(name("b"), at("10:02"))]);
}

#[tokio::test]
async fn over_a_real_store_a_killed_run_is_taken_up_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let open = || {
        let dir = dir.path().to_owned();
        let clock = clock.clone();
        tokio::task::spawn_blocking(move || Store::open(&dir, clock).unwrap())
    };
    let job = initial("i", &[]);
    let script = |acts: &[Act]| {
        let acts = BTreeMap::from([("i".to_owned(), acts.iter().copied().collect())]);
        let (begun, since) = (Mutex::default(), Instant::now());
        Arc::new(Script { acts: Mutex::new(acts), begun, ledger: None, since })
    };
    let store = open().await.unwrap();
    let (scheduler, handle) = Scheduler::new(
        &by_name(std::slice::from_ref(&job)),
        &BTreeMap::new(),
        Arc::new(store.clone()),
        script(&[Act::Forever]),
        clock.clone(),
    );
    let (_stop, stopped) = watch::channel(false);
    let killed = tokio::spawn(scheduler.run(stopped, DRAIN));
    let running = loop {
        let view = handle.view().await.unwrap();
        if let [slot] = &view.running[..] {
            break slot.clone();
        }
    };
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    assert_eq!(store.slot(&running).await.unwrap().unwrap().outcome, None);
    drop(store);

    let store = open().await.unwrap();
    let facts = cadenced::reload::facts(&store).await.unwrap();
    assert_eq!(facts[&name("i")].interrupted, [running.at]);
    let second = script(&[]);
    let (scheduler, handle) =
        Scheduler::new(&by_name(&[job]), &facts, Arc::new(store.clone()), second.clone(), clock);
    let (stop, stopped) = watch::channel(false);
    let living = tokio::spawn(scheduler.run(stopped, DRAIN));
    loop {
        if store.slot(&running).await.unwrap().unwrap().outcome.is_some() {
            break;
        }
        handle.view().await.unwrap();
    }
    stop.send(true).unwrap();
    living.await.unwrap();
    assert_eq!(second.begun.lock().unwrap()[0].slot, running);
    let record = store.slot(&running).await.unwrap().unwrap();
    assert_eq!((record.outcome, record.attempts), (Some(Outcome::Ok), 2));
    // `watermark` belongs to the same narrow place; nobody moved one.
    assert_eq!(store.watermark(&name("i"), "").await.unwrap(), None);
}
