//! Whatever happens on the way, the ERP's table ends up equal to the platform's, and no answer ever replaces one that
//! was fetched after it.
//!
//! Each seed plays a simulated platform that changes while it is read, answers wrongly, not at all or in other forms; an
//! ERP that fails under the writer; and a process that dies at any point and starts again. Then the platform goes quiet,
//! the job runs twice, and both tables are compared row for row.
//!
//! The same for pushes (`pushes`), with the platform's state to end up equal to the ERP's.
//!
//! `CADENCED_SEEDS=10000` plays so many seeds on each database instead of as many as fit into [`BUDGET`];
//! `CADENCED_SEED=17` plays that one again. Those of pushes are `CADENCED_PUSH_SEEDS` and `CADENCED_PUSH_SEED`.

mod mortal;
mod noise;
mod pushes;
pub(crate) mod world;

use cadenced::connection::Dialect;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use world::World;

/// As long as seeds are played where nobody says how many: on SQLite, and on each of the servers.
const BUDGET: Duration = Duration::from_secs(40);
const SERVER_BUDGET: Duration = Duration::from_secs(15);
/// The same for pushes.
const PUSH_BUDGET: Duration = Duration::from_secs(20);

/// A seed takes about a second, also a starved process less than so many; what takes as long goes round in circles.
const LONGEST: u32 = 300;

/// As often it is told how many were played.
const TOLD: u64 = 1_000;

/// How often each fault was played.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    pub(crate) fn count(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    fn said(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(what, times)| format!("{times} × {what}")).collect::<Vec<_>>().join(", ")
    }
}

/// The seeds to play: handed out one by one until they, or the time, are used up.
pub(crate) struct Seeds {
    next: AtomicU64,
    end: u64,
    until: Option<Instant>,
    stop: AtomicBool,
}

impl Seeds {
    pub(crate) fn wanted(one: &str, all: &str, budget: Duration) -> Self {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let (next, end, until) = match (number(one), number(all)) {
            (Some(one), _) => (one, one + 1, None),
            (None, Some(all)) => (0, all, None),
            (None, None) => (0, u64::MAX, Some(Instant::now() + budget)),
        };
        Self { next: AtomicU64::new(next), end, until, stop: AtomicBool::new(false) }
    }

    fn take(&self) -> Option<u64> {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        if late || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < self.end)
    }
}

/// A world in which one seed after the other is played.
pub(crate) trait Play: Sized {
    async fn play(&mut self, seed: u64) -> Result<(), String>;
}

impl Play for World {
    async fn play(&mut self, seed: u64) -> Result<(), String> {
        Self::play(self, seed).await
    }
}

/// Second by second: while the process is stopped no more than one of them passes.
async fn patience() {
    for _ in 0..LONGEST {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn whatever_happens_the_erp_ends_up_equal_to_the_platform() {
    pulls(Dialect::Sqlite, BUDGET);
}

#[test]
fn whatever_happens_the_erp_on_postgresql_ends_up_equal_to_the_platform() {
    pulls(Dialect::Postgres, SERVER_BUDGET);
}

#[test]
fn whatever_happens_the_erp_on_mariadb_ends_up_equal_to_the_platform() {
    pulls(Dialect::Mysql, SERVER_BUDGET);
}

fn pulls(dialect: Dialect, budget: Duration) {
    let seeds = Seeds::wanted("CADENCED_SEED", "CADENCED_SEEDS", budget);
    play_all(&format!("seeds of pulls into {dialect:?}"), &seeds, "CADENCED_SEED", async |tally| {
        World::new(dialect, tally).await
    });
}

#[test]
fn whatever_happens_the_platform_ends_up_equal_to_the_erp_and_nothing_exists_twice() {
    let seeds = Seeds::wanted("CADENCED_PUSH_SEED", "CADENCED_PUSH_SEEDS", PUSH_BUDGET);
    play_all("seeds of pushes", &seeds, "CADENCED_PUSH_SEED", async |tally| pushes::World::new(tally).await);
}

pub(crate) fn play_all<W: Play>(
    what: &str,
    seeds: &Seeds,
    variable: &str,
    create: impl AsyncFn(&Tally) -> W + Sync,
) {
    let started = Instant::now();
    let (tally, failed) = (Tally::default(), Mutex::new(Vec::new()));
    let played = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let mut world = runtime.block_on(create(&tally));
                while let Some(seed) = seeds.take() {
                    let play = AssertUnwindSafe(|| {
                        let limited = async {
                            tokio::select! {
                                verdict = world.play(seed) => verdict,
                                () = patience() => Err("it does not end".to_owned()),
                            }
                        };
                        runtime.block_on(limited)
                    });
                    let verdict = catch_unwind(play).unwrap_or_else(|panic| {
                        let text = panic.downcast_ref::<String>().cloned();
                        Err(text.unwrap_or_else(|| "it panicked; see above".to_owned()))
                    });
                    if let Err(problem) = verdict {
                        seeds.stop.store(true, Ordering::Relaxed);
                        failed
                            .lock()
                            .unwrap()
                            .push(format!("seed {seed} (play it again with {variable}={seed}): {problem}"));
                    }
                    let played = played.fetch_add(1, Ordering::Relaxed) + 1;
                    if played.is_multiple_of(TOLD) {
                        let _ = writeln!(std::io::stderr(), "{what}: {played} played so far");
                    }
                }
            });
        }
    });
    let played = played.into_inner();
    // Past the test harness, which would keep it for itself.
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {played} played in {:.1} s: {}",
        started.elapsed().as_secs_f64(),
        tally.said()
    );
    assert!(played > 0);
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
