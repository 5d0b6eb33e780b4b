//! The daemon's chores leave what is still needed and take what is not; they happen at their times, and a stop lets go of
//! the state.

use cadenced::clock::SetClock;
use cadenced::config::{self, Sources};
use cadenced::housekeeping::{Chore, DAILY, Desk, Housekeeping, Rules};
use cadenced::job::Cursor;
use cadenced::run::{Cause, Counts, Outcome, RunId, Slot};
use cadenced::schedule::Timetable;
use cadenced::scheduler::Jobs;
use cadenced::state::{
    Claim, Claimed, Closing, Coordinator as _, Delivered, LedgerBatch, Place, Settlement, Store,
};
use cadenced::transfer::Digest;
use cadenced::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn job() -> JobName {
    JobName::new("b2market-orders").unwrap()
}

/// A state directory and a clock that can be set.
struct Site {
    dir: TempDir,
    clock: Arc<SetClock>,
    store: Store,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock::at("2026-03-03T01:00:00Z".parse().unwrap()));
        let store = Store::open(&dir.path().join("state"), clock.clone()).unwrap();
        Self { dir, clock, store }
    }

    fn desk(&self, rules: Rules, jobs: Jobs) -> Desk {
        let jobs = Box::new(move || jobs.clone());
        Desk { store: self.store.clone(), rules, jobs, clock: self.clock.clone() }
    }

    async fn perform(&self, chore: Chore, rules: Rules) -> u64 {
        self.desk(rules, Jobs::new()).perform(chore).await.unwrap()
    }

    /// A run that went through at this instant.
    async fn run(&self, at: &str) {
        let at: DateTime<Utc> = at.parse().unwrap();
        self.clock.set(at);
        let claims = vec![Claim { slot: Slot { job: job(), at }, cause: Cause::Due }];
        let batch = LedgerBatch { claims, ..LedgerBatch::default() };
        let Some(Claimed::Granted(token)) = self.store.write(batch).await.unwrap().pop() else {
            panic!("refused")
        };
        let closings =
            vec![Closing { token, outcome: Outcome::Ok, counts: Counts::default(), message: None }];
        self.store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.unwrap();
    }

    async fn starts(&self) -> Vec<String> {
        let runs = self.store.runs(Some(&job()), 100).await.unwrap();
        runs.iter().map(|run| run.started.format("%m-%d").to_string()).collect()
    }

    fn exports(&self) -> Vec<PathBuf> {
        let exports = std::fs::read_dir(self.dir.path().join("state/exports"));
        let mut exports: Vec<_> = exports.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        exports.sort();
        exports
    }
}

#[tokio::test]
async fn history_older_than_it_is_kept_goes_and_a_jobs_last_run_stays() {
    let site = Site::new();
    for at in ["2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z", "2026-02-01T08:00:00Z"] {
        site.run(at).await;
    }
    let rules = |days: u32| Rules { history: DAY * days, ..Rules::default() };
    site.clock.set("2026-04-02T08:00:00Z".parse().unwrap());
    assert_eq!(site.perform(Chore::History, rules(91)).await, 0, "nothing is older than 91 days");
    assert!(site.perform(Chore::History, rules(90)).await > 0);
    assert_eq!(site.starts().await, ["02-01", "01-02"]);
    site.perform(Chore::History, rules(1)).await;
    assert_eq!(site.starts().await, ["02-01"]);
}

#[tokio::test]
async fn an_unending_history_is_kept_whole() {
    let site = Site::new();
    site.run("1971-01-01T08:00:00Z").await;
    site.run("2026-01-01T08:00:00Z").await;
    let rules = Rules { history: Duration::MAX, ..Rules::default() };
    assert_eq!(site.perform(Chore::History, rules).await, 0);
}

/// The shipped pull of B2Market's orders, with an overlap of ten minutes.
fn shipped(dir: &Path) -> Jobs {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules/b2market.toml");
    std::fs::create_dir(dir.join("schedules")).unwrap();
    std::fs::copy(shipped, dir.join("schedules/b2market.toml")).unwrap();
    let config = "schedules = [\"schedules\"]\n[connection.erp]\nsql = \"sqlite://erp.db\"\n\
                  [connection.b2market]\nurl = \"http://127.0.0.1:1\"\n";
    let file = dir.join("cadenced.toml");
    std::fs::write(&file, config).unwrap();
    config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap().jobs
}

#[tokio::test]
async fn digests_go_once_no_pull_asks_for_their_records_again() {
    let site = Site::new();
    let jobs = shipped(site.dir.path());
    let mark: DateTime<Utc> = "2026-03-03T08:00:00Z".parse().unwrap();
    let entry = |minutes: i64| {
        let cursor = Cursor((mark - TimeDelta::minutes(minutes)).timestamp_millis());
        let digest = Some(Digest::of(b"an order"));
        let entry = Delivered { digest, cursor: Some(cursor), walk: 1, absent: false, group: None };
        (minutes.to_string(), entry)
    };
    let entries = (0..1_500).map(entry).collect();
    let settlement = Settlement { entries, ..Settlement::default() };
    site.store.settle(&job(), "", RunId(1), settlement).await.unwrap();

    let desk = site.desk(Rules::default(), jobs);
    assert_eq!(
        desk.perform(Chore::Digests).await.unwrap(),
        0,
        "without a watermark everything is asked for again"
    );
    site.store.set_watermark(&job(), "", Some(mark.timestamp_millis().into())).await.unwrap();
    assert_eq!(desk.perform(Chore::Digests).await.unwrap(), 1_489);
    let left = site.store.scan(&job(), "", &mut Place::default(), 100).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|(key, _)| key).collect();
    let kept: Vec<_> = (0..=10).map(|minutes| minutes.to_string()).collect();
    assert_eq!(left, kept);
}

#[tokio::test]
async fn an_export_can_be_imported_and_only_so_many_are_kept() {
    let site = Site::new();
    let rules = Rules { exports: 3, ..Rules::default() };
    let mut day: DateTime<Utc> = "2026-03-03T01:27:00Z".parse().unwrap();
    for _ in 0..5 {
        site.run(&day.to_rfc3339()).await;
        site.perform(Chore::Export, rules).await;
        day += DAY;
    }
    let exports = site.exports();
    assert_eq!(exports.len(), 3, "{exports:?}");
    let fresh = site.dir.path().join("fresh");
    let newest = std::io::BufReader::new(std::fs::File::open(&exports[2]).unwrap());
    Store::import(&fresh, newest, cadenced::state::ImportMode::IntoEmpty).unwrap();
    let restored = Store::open(&fresh, site.clock.clone()).unwrap();
    assert_eq!(restored.runs(None, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn no_exports_are_made_where_none_are_wanted() {
    let site = Site::new();
    site.perform(Chore::Export, Rules { exports: 0, ..Rules::default() }).await;
    assert!(site.exports().is_empty());
}

#[test]
fn each_chore_is_done_once_a_day_at_a_time_of_its_own() {
    let midnight: DateTime<Utc> = "2026-03-03T00:00:00Z".parse().unwrap();
    let mut times = Vec::new();
    for (chore, cron) in DAILY {
        let slots: Vec<_> =
            Timetable::cron(cron, chrono_tz::UTC).unwrap().slots(midnight, midnight + DAY).collect();
        assert_eq!(slots.len(), 1, "{chore:?}");
        times.extend(slots);
    }
    assert!(times.is_sorted() && times.windows(2).all(|pair| pair[0] != pair[1]), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chores_fire_at_their_times_and_a_stop_lets_go_of_the_state() {
    let site = Site::new();
    let every_second = "* * * * * *";
    let times =
        [(Chore::History, every_second), (Chore::Digests, every_second), (Chore::Export, every_second)];
    let (heard, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let mut desk = site.desk(Rules::default(), Jobs::new());
    desk.jobs = Box::new(move || {
        heard.send(()).unwrap_or_default();
        Jobs::new()
    });
    let housekeeping = Housekeeping::start(desk, &times).await;
    // The chore in the middle asks for the jobs; of the export there is a file.
    tokio::time::timeout(Duration::from_secs(30), asked.recv()).await.unwrap().unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while site.exports().is_empty() {
        assert!(tokio::time::Instant::now() < until, "no export was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    housekeeping.stop().await;
    // Whatever the scheduler leaves behind, it asks for nothing more and holds no handle of the store.
    let silent = async { while asked.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(30), silent).await.unwrap();
    let Site { dir, clock, store } = site;
    drop(store);
    Store::open(&dir.path().join("state"), clock).unwrap();
}
