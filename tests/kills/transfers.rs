//! Kills inside runs. While the daemon stands at a moment, the values it is moving go back to what they were before
//! (A → B → A): whoever believed an older digest, or a watermark that moved too early, would leave B on the other side.
//! After each kill the next run alone has to make both sides equal, digit for digit.

use super::kills_at_each;
use crate::support::{Daemon, Said, Site, soon};
use cadenced::admin::control::{Again, Wait};
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::{Clock, Sort, WireOptions, b2market, erp};
use chrono::DateTime;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const ORDERS: &str = "b2market-orders";
const STOCKS: &str = "one-stocks";
/// Values that go there and back in each round.
const CHANGING: usize = 12;
/// Runs that a job may take to make both sides equal: what is gone is removed only when two reads did not have it.
const RUNS_TO_AGREE: usize = 3;

/// When the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// At a moment it knows by this name.
    Named(&'static str),
    /// Once the platform has done what was asked, before its answer.
    BeforeAnswer,
    /// Wherever it is when the platform gets one of its requests.
    Anywhere,
}

impl Moment {
    /// Kills here: fewer where the moment before or after it is as good.
    fn kills(self) -> usize {
        match self {
            Self::Named(
                "pull-after-doubt" | "pull-after-settle" | "push-after-doubt" | "push-after-settle"
                | "after-blocks",
            )
            | Self::Anywhere => kills_at_each() / 2,
            Self::Named(_) | Self::BeforeAnswer => kills_at_each(),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::BeforeAnswer => f.write_str("between request and answer"),
            Self::Anywhere => f.write_str("anywhere"),
        }
    }
}

const PULL: &[Moment] = &[
    Moment::Named("pull-after-read"),
    Moment::Named("pull-after-doubt"),
    Moment::Named("pull-after-sink-commit"),
    Moment::Named("after-blocks"),
    Moment::Named("pull-after-settle"),
    Moment::Named("pull-before-watermark"),
    Moment::Named("pull-after-watermark"),
    Moment::BeforeAnswer,
    Moment::Anywhere,
];
const PUSH: &[Moment] = &[
    Moment::Named("push-after-read"),
    Moment::Named("push-after-doubt"),
    Moment::Named("push-after-answer"),
    Moment::Named("push-after-settle"),
    Moment::BeforeAnswer,
    Moment::Anywhere,
];

/// How the values change in a stretch of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The platform's clock stands: a row that goes there and back is the same again, byte for byte. Whole walks are
    /// never clean, since every row is as young as they are.
    ClockStands,
    /// The platform's clock moves on with each change: walks are clean and watermarks move.
    ClockMoves,
    /// Articles are withdrawn and offered again.
    Gone,
}

struct World {
    site: Site,
    clock: Clock,
    dice: StdRng,
    job: &'static str,
    change: Change,
    /// Whether the changing values are away from where they began.
    away: bool,
    orders: Vec<String>,
    stocks: Vec<(String, String)>,
    kills: BTreeMap<String, usize>,
}

#[tokio::test]
async fn a_kill_at_any_moment_of_a_run_loses_no_record_and_delivers_none_wrongly() {
    // Four at a time, each on a site of its own: they mostly wait for the next second.
    let (some, others) = PULL.split_at(PULL.len() / 2);
    let (first, last) = PUSH.split_at(PUSH.len() / 2);
    let worlds = tokio::join!(
        World::lives(ORDERS, some, 1),
        World::lives(ORDERS, others, 2),
        World::lives(STOCKS, first, 3),
        World::lives(STOCKS, last, 4),
    );
    let kills: BTreeMap<String, usize> =
        [worlds.0, worlds.1, worlds.2, worlds.3].into_iter().flatten().collect();
    report(&kills);
    let planned: usize = PULL.iter().chain(PUSH).map(|moment| moment.kills()).sum();
    let killed: usize = kills.values().sum();
    assert!(killed >= planned, "{killed} kills of {planned}");
}

#[expect(clippy::print_stdout, reason = "how often the test did what it is for")]
fn report(kills: &BTreeMap<String, usize>) {
    kills.iter().for_each(|(moment, kills)| println!("{kills:>5} kills {moment}"));
}

impl World {
    async fn new(job: &'static str, seed: u64) -> Self {
        let clock = Clock::standing(DateTime::from_timestamp(1_772_445_600, 0).unwrap());
        let wire = WireOptions { clock: clock.clone(), ..WireOptions::default() };
        let setup = Setup {
            b2market: b2market::Options { wire, ..b2market::Options::default() },
            erp: erp::Size { warehouses: 2, articles: 20 },
            orders: 60,
            ..Setup::default()
        };
        let site = Site::new(setup, &schedule("10m")).await;
        Self {
            site,
            clock,
            dice: StdRng::seed_from_u64(seed),
            job,
            change: Change::ClockMoves,
            away: false,
            orders: Vec::new(),
            stocks: Vec::new(),
            kills: BTreeMap::new(),
        }
    }

    /// Kills at each of these moments; gives how many at each.
    async fn lives(job: &'static str, moments: &[Moment], seed: u64) -> BTreeMap<String, usize> {
        let mut world = Self::new(job, seed).await;
        for moment in moments {
            world.rounds(*moment, Change::ClockMoves).await;
            // Without a clean walk no watermark moves.
            let watermark = matches!(moment, Moment::Named(name) if name.ends_with("watermark"));
            let other = match job {
                STOCKS => Change::Gone,
                _ if watermark => Change::ClockMoves,
                _ => Change::ClockStands,
            };
            world.rounds(*moment, other).await;
        }
        world.ends().await
    }

    /// Half of the kills at a moment.
    async fn rounds(&mut self, moment: Moment, change: Change) {
        self.change = change;
        self.away = false;
        self.clock.advance(Duration::from_secs(3));
        self.site.schedule(&schedule(if self.dice.random() { "10m" } else { "1s" }));
        let sorts = [Sort::UpdatedAscending, Sort::UpdatedDescending, Sort::Id];
        self.site.b2market.set_sort(sorts[self.dice.random_range(0..sorts.len())]);
        self.orders = self.site.b2market.orders().into_keys().collect();
        self.orders.shuffle(&mut self.dice);
        self.orders.truncate(CHANGING);
        self.stocks = erp::quantities(&self.site.erp).await.unwrap().into_keys().collect();
        self.stocks.shuffle(&mut self.dice);
        self.stocks.truncate(CHANGING);
        // Equal dates from the start, so that "there and back" is the same row.
        self.orders.iter().for_each(|id| self.site.b2market.redate(id));
        for _ in 0..moment.kills().div_ceil(2) {
            self.round(moment).await;
            *self.kills.entry(format!("{}, {moment}", self.job)).or_default() += 1;
        }
        if change == Change::Gone {
            self.offer(true).await;
        }
    }

    /// Lets the daemon make good what the last kill did, and kills it again.
    async fn round(&mut self, moment: Moment) {
        let mut daemon = Daemon::start(&self.site).await;
        self.agrees(&mut daemon, self.job).await;
        if self.change == Change::Gone {
            // Absent from one read; the next one that lacks them has them removed.
            let offered = self.dice.random_bool(0.2);
            self.offer(offered).await;
            self.runs(&mut daemon, self.job).await;
        }
        match moment {
            Moment::Named(name) => {
                daemon.stand_still_at(&format!("{name}:{}", self.dice.random_range(1..=2)));
                self.go().await;
                self.trigger().await;
                self.until(&mut daemon, |said| matches!(said, Said::Stands(_))).await;
                self.come_back().await;
                daemon.kill().await;
            }
            Moment::BeforeAnswer => {
                let (tell, mut reached) = tokio::sync::mpsc::unbounded_channel();
                let (release, released) = std::sync::mpsc::channel::<()>();
                let hold = move || {
                    let _ = tell.send(());
                    // Ends with an error once the test has let go of its end.
                    let _ = released.recv();
                };
                let nth = self.dice.random_range(1..=2);
                if self.job == ORDERS {
                    self.site.b2market.after_page(nth, move |_| hold());
                } else {
                    self.site.one.after_stocks(nth, move |_| hold());
                }
                self.go().await;
                self.trigger().await;
                loop {
                    tokio::select! {
                        _ = reached.recv() => break,
                        said = soon("a request", daemon.hears()) => self.keep_going(&said).await,
                    }
                }
                self.come_back().await;
                daemon.kill().await;
                drop(release);
            }
            Moment::Anywhere => {
                let wire = if self.job == ORDERS { &self.site.b2market.wire } else { &self.site.one.wire };
                let wire = wire.clone();
                let before = wire.count();
                self.go().await;
                self.trigger().await;
                let requests = self.dice.random_range(1..=5);
                let there = wire.wait_until(|log| log.len() >= before + requests);
                tokio::pin!(there);
                loop {
                    tokio::select! {
                        () = &mut there => break,
                        said = soon("a request", daemon.hears()) => self.keep_going(&said).await,
                    }
                }
                for _ in 0..self.dice.random_range(0..200) {
                    tokio::task::yield_now().await;
                }
                self.come_back().await;
                daemon.kill().await;
            }
        }
    }

    /// Listens until the daemon says this; whenever a run ended without it, the values change again.
    async fn until(&mut self, daemon: &mut Daemon, fits: impl Fn(&Said) -> bool) {
        loop {
            let said = soon("the moment", daemon.hears()).await;
            if fits(&said) {
                return;
            }
            self.keep_going(&said).await;
        }
    }

    async fn keep_going(&mut self, said: &Said) {
        if said.tells("run ended", self.job) {
            if self.away { self.back().await } else { self.go().await }
        }
    }

    /// Waits until the job's runs have made both sides equal.
    async fn agrees(&self, daemon: &mut Daemon, job: &str) {
        let mut differences = Vec::new();
        for _ in 0..RUNS_TO_AGREE {
            // A run that ends now may have begun before the last change; but nothing changes while this waits.
            daemon.until("the end of a run", |said| said.tells("run ended", job)).await;
            differences = self.differences(job).await;
            if differences.is_empty() {
                return;
            }
        }
        panic!("{job}, {:?}: {}\n{}", self.change, differences.join("\n"), daemon.log());
    }

    /// One more run, from now on, to its end.
    async fn runs(&self, daemon: &mut Daemon, job: &str) {
        let control = self.site.control().await;
        while control.trigger(job, Again::No, Wait::Yes).await.is_err() {
            // The run for the slot of this second goes on; the next trigger may find it ended.
            daemon.until("the end of a run", |said| said.tells("run ended", job)).await;
        }
    }

    async fn trigger(&self) {
        // Refused where a run goes on: then that one, or the next second's, comes to the moment.
        drop(self.site.control().await.trigger(self.job, Again::No, Wait::No).await);
    }

    /// A → B on both sides.
    async fn go(&mut self) {
        self.away = true;
        self.orders.iter().for_each(|id| self.site.b2market.edit(id));
        self.set_stocks(7_500).await;
        // New rows shift the pages.
        if self.dice.random_bool(0.2) {
            self.site.b2market.insert(1);
        }
        self.time_passes();
    }

    /// B → A on both sides.
    async fn back(&mut self) {
        self.away = false;
        self.orders.iter().for_each(|id| self.site.b2market.undo(id));
        self.set_stocks(7_000).await;
        self.time_passes();
    }

    /// What happens while the daemon stands still: mostly the way back, sometimes one more time there and back.
    async fn come_back(&mut self) {
        if self.change == Change::ClockMoves && self.dice.random_bool(0.3) {
            // Only some: rows that wait on later pages move forward to where the walk has been.
            let some = self.dice.random_range(1..CHANGING);
            self.orders.iter().take(some).for_each(|id| self.site.b2market.undo(id));
        } else if self.away {
            self.back().await;
        }
        if self.dice.random_bool(0.2) {
            self.go().await;
        }
        if self.change == Change::Gone {
            let offered = self.dice.random_bool(0.7);
            self.offer(offered).await;
        }
    }

    fn time_passes(&self) {
        if self.change != Change::ClockStands {
            self.clock.advance(Duration::from_secs(3));
        }
    }

    async fn set_stocks(&self, thousandths: i64) {
        for (warehouse, sku) in &self.stocks {
            erp::set_stock(&self.site.erp, warehouse, sku, thousandths).await.unwrap();
        }
    }

    /// Offers some of the articles, or withdraws them.
    async fn offer(&self, web: bool) {
        for (_, sku) in self.stocks.iter().take(3) {
            erp::offer(&self.site.erp, sku, web).await.unwrap();
        }
    }

    async fn differences(&self, job: &str) -> Vec<String> {
        let Site { b2market, one, erp, .. } = &self.site;
        if job == ORDERS {
            return erp::differences(erp, &b2market.orders()).await.unwrap();
        }
        let (ours, theirs) = (erp::quantities(erp).await.unwrap(), one.quantities());
        let keys = ours.keys().chain(theirs.keys());
        let different = keys.filter(|key| ours.get(*key) != theirs.get(*key));
        different.map(|key| format!("{key:?}: ERP {:?}, ONe {:?}", ours.get(key), theirs.get(key))).collect()
    }

    /// The platforms go quiet; two more runs of each job, and everything is equal.
    async fn ends(mut self) -> BTreeMap<String, usize> {
        self.change = Change::ClockMoves;
        self.time_passes();
        let mut daemon = Daemon::start(&self.site).await;
        for job in [ORDERS, STOCKS] {
            self.runs(&mut daemon, job).await;
            self.runs(&mut daemon, job).await;
            assert_eq!(self.differences(job).await, Vec::<String>::new(), "{job}");
        }
        daemon.kill().await;
        self.kills
    }
}

/// Both jobs every second, in small pages and batches.
fn schedule(overlap: &str) -> String {
    format!(
        r#"
[job.one-stocks]
cron = "* * * * * *"
read = {{ max-gone = "50%" }}
push = {{ batch = {{ records = 5 }} }}

[job.b2market-orders]
cron = "* * * * * *"
pull = {{ params = {{ pageSize = 5 }}, since = {{ settle = "1s", overlap = "{overlap}" }} }}
"#
    )
}
