//! One seed: a platform, an ERP and a daemon's job between them, from the first run to the verdict.

use super::Tally;
use super::mortal::{Blow, Fate, mortal};
use super::noise::Noise;
use crate::support::Erp;
use cadenced::clock::{Clock, SharedClock};
use cadenced::config::{self, Loaded, Sources};
use cadenced::connection::{Connection, ConnectionKind, Dialect};
use cadenced::connectors::Connectors;
use cadenced::job::Job;
use cadenced::run::{Cause, Counts, Outcome, Slot};
use cadenced::sandbox::{B2Market, Sort, WireOptions, b2market};
use cadenced::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, StateError, Store, Token};
use cadenced::transfer::{Class, Failure, copy};
use cadenced::words::ConnectionName;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The daemon's clock: the platform's, a little wrong.
#[derive(Debug)]
struct Skewed(cadenced::sandbox::Clock, TimeDelta);

impl Clock for Skewed {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }
}

/// What outlasts a seed: the platform's thread, the ERP's databases, the client.
pub(super) struct World {
    market: B2Market,
    /// Of SQLite one with a write-ahead log, which readers don't disturb, and one without; else one.
    erps: Vec<Arc<Erp>>,
    dir: tempfile::TempDir,
    tally: Tally,
}

/// How a run ended.
enum RunEnd {
    Killed,
    Ended(Result<Option<String>, Failure>, Counts),
}

impl World {
    pub(super) async fn new(dialect: Dialect, tally: &Tally) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = cadenced::sandbox::Clock::standing(DateTime::UNIX_EPOCH);
        let wire = WireOptions { clock, ..WireOptions::default() };
        let market = B2Market::start(b2market::Options { wire, ..b2market::Options::default() }).unwrap();
        let mut erps = vec![Arc::new(Erp::new(dialect).await)];
        if dialect == Dialect::Sqlite {
            let erp = Erp::new(dialect).await;
            erp.run("pragma journal_mode = delete").await;
            erps.push(Arc::new(erp));
        }
        for erp in &erps {
            create(erp).await;
        }
        Self { market, erps, dir, tally: tally.clone() }
    }

    /// Plays a seed; says what is wrong in the end.
    pub(super) async fn play(&mut self, seed: u64) -> Result<(), String> {
        let mut dice = StdRng::seed_from_u64(seed);
        self.market.start_over(seed);
        self.market.take_answers();
        let nth = dice.random_range(0..self.erps.len());
        let (erp, has_log) = (Arc::clone(&self.erps[nth]), nth == 0);
        erp.run("delete from b2market_orders; delete from written").await;
        let quiet = Arc::new(AtomicBool::new(false));
        let mut noise = Noise::new(seed, &quiet, &self.tally);
        self.set_up(&mut dice, &mut noise);
        let noise = Arc::new(Mutex::new(noise));
        let between_pages = Arc::clone(&noise);
        self.market.after_every_page(move |market| between_pages.lock().unwrap().between_pages(market));

        let skew = TimeDelta::seconds(dice.random_range(-90..=90));
        let clock: SharedClock = Arc::new(Skewed(self.market.wire.clock().clone(), skew));
        let page_size = dice.random_range(4..=11);
        let loaded = [self.config(&erp, page_size, ""), self.config(&erp, page_size, "&cache=shared")];
        let mut daemon = self.start(&loaded, seed, &clock).await;
        for _ in 0..dice.random_range(3..=7) {
            let fate = Fate::new(Some(&erp), draw(&mut dice, erp.dialect, has_log));
            let end = daemon.run(&fate).await;
            fate.heal().await;
            if let Some(blow) = fate.struck() {
                self.tally.count(blow.name());
            }
            match end {
                RunEnd::Killed => daemon = self.restart(daemon, &loaded, seed, &clock).await,
                RunEnd::Ended(Err(failure), _) => {
                    self.tally.count("failed run");
                    // A refused login is held back for a minute of real time; a new process starts afresh.
                    if failure.class == Class::Auth {
                        daemon = self.restart(daemon, &loaded, seed, &clock).await;
                    }
                }
                RunEnd::Ended(Ok(note), counts) => {
                    self.tally.count(if note.is_some() { "unproved run" } else { "good run" });
                    if counts.rejected > 0 {
                        return Err(format!("{} rows were refused", counts.rejected));
                    }
                }
            }
            noise.lock().unwrap().between_runs(&self.market);
        }

        quiet.store(true, Ordering::Relaxed);
        self.market.forget_hooks();
        self.market.wire.heal();
        for run in 1..=2 {
            self.market.wire.clock().advance(Duration::from_secs(dice.random_range(0..=4000)));
            match daemon.run(&Fate::new(Some(&erp), None)).await {
                RunEnd::Ended(Ok(note), _) if run == 1 || note.is_none() => {}
                RunEnd::Ended(Ok(note), _) => return Err(format!("run {run} on a quiet platform: {note:?}")),
                RunEnd::Ended(Err(failure), _) => {
                    return Err(format!("run {run} on a quiet platform failed: {failure}"));
                }
                RunEnd::Killed => return Err("it was killed without a reason".to_owned()),
            }
        }
        drop(daemon);
        std::fs::remove_dir_all(self.state(seed)).unwrap();
        self.verdict(&erp).await
    }

    /// The platform as it is before the first run.
    fn set_up(&self, dice: &mut StdRng, noise: &mut Noise) {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (base, spread) = match dice.random_range(0..4) {
            // Clocks in Madrid go back from 03:00 to 02:00 at 01:00 UTC.
            0 | 1 => {
                self.tally.count("seed in the autumn hour");
                (at("2026-10-25T00:10:00Z"), 6000)
            }
            2 => {
                self.tally.count("seed in the spring gap");
                (at("2026-03-29T00:30:00Z"), 3000)
            }
            _ => (at("2026-03-02T09:00:00Z"), 3600),
        };
        let now = base + TimeDelta::seconds(dice.random_range(0..spread));
        self.market.wire.clock().set(now);
        let rows = dice.random_range(30..=80);
        let since = [60, 1200, 7200, 864_000][dice.random_range(0..4)];
        self.market.seed_between(rows, now - TimeDelta::seconds(since), now);
        self.market.set_sort(match dice.random_range(0..3) {
            0 => Sort::UpdatedAscending,
            1 => Sort::UpdatedDescending,
            _ => Sort::Id,
        });
        self.market.set_totals(noise.totals());
        let cap = if dice.random_bool(0.3) { dice.random_range(3..=10) } else { 100 };
        self.market.set_max_page_size(cap);
    }

    /// `options` are more of the SQLite address's.
    fn config(&self, erp: &Erp, page_size: u32, options: &str) -> Loaded {
        let url = self.market.url();
        let options = if erp.dialect == Dialect::Sqlite { options } else { "" };
        let file = self.dir.path().join("cadenced.toml");
        let text = format!(
            r#"
            timezone = "Europe/Madrid"
            [connection.erp]
            sql = "{}{options}"
            [connection.b2market]
            url = "{url}"
            auth = {{ login = "/login", body = {{ _username = "erp", _password = "b2m-secret" }}, token = "token", renew-on = [401, 403] }}
            [job.orders]
            write = {{ to = "erp", table = "b2market_orders", upsert-by = ["id"] }}
            [job.orders.pull]
            from = "b2market"
            get = "/Order/updatedFrom"
            params = {{ date = "{{since}}", page = "{{page}}", pageSize = {page_size} }}
            rows = "data"
            key = ["id"]
            pages = {{ total = "pagination.totalPages", items = "pagination.totalItems" }}
            since = {{ field = "updatedAt", format = "%Y-%m-%d %H:%M:%S", timezone = "Europe/Madrid", start = "1999-01-01 01:00:00", overlap = "10m", settle = "60s" }}
            "#,
            erp.url
        );
        std::fs::write(&file, text).unwrap();
        config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
    }

    fn state(&self, seed: u64) -> PathBuf {
        self.dir.path().join(format!("state-{seed}"))
    }

    async fn start(&self, loaded: &[Loaded; 2], seed: u64, clock: &SharedClock) -> Daemon {
        let store = open(&self.state(seed), clock).await;
        let open = |connections: &_, before: Option<&_>| {
            Connectors::open(connections, before, store.clone(), Arc::clone(clock)).unwrap()
        };
        let [loaded, shared] = loaded;
        let mut connections = eager(loaded);
        let connectors = open(&connections, None);
        let cramped = open(&eager(shared), Some(&connectors));
        for connection in connections.values_mut() {
            if let ConnectionKind::Sql(sql) = &mut connection.kind {
                sql.statement_timeout = Duration::from_millis(40);
            }
        }
        let impatient = open(&connections, Some(&connectors));
        let job = loaded.jobs.values().next().unwrap().clone();
        Daemon { store, connectors, impatient, cramped, job, clock: Arc::clone(clock) }
    }

    async fn restart(&self, daemon: Daemon, loaded: &[Loaded; 2], seed: u64, clock: &SharedClock) -> Daemon {
        drop(daemon);
        self.start(loaded, seed, clock).await
    }

    async fn verdict(&self, erp: &Erp) -> Result<(), String> {
        let differences = erp.differences(&self.market.orders(), "b2market_orders", str::to_owned).await;
        if !differences.is_empty() {
            return Err(format!("the tables differ:\n  {}", differences.join("\n  ")));
        }
        // Per row and version, the answers that held it, oldest first.
        let mut held: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for (answer, rows) in self.market.take_answers().iter().enumerate() {
            for row in rows {
                let text = |field: &str| row[field].as_str().unwrap().to_owned();
                let active = i32::from(row["active"] == Value::Bool(true));
                let version =
                    format!("{}{}{}{active}", text("updatedAt"), text("status"), row["quantityServed"]);
                held.entry((text("id"), version)).or_default().push(answer);
            }
        }
        let mut latest: HashMap<String, usize> = HashMap::new();
        for written in erp.texts("select id, version from written order by n").await {
            let [id, version] = <[_; 2]>::try_from(written).unwrap().map(Option::unwrap);
            let before = latest.get(&id).copied().unwrap_or(0);
            let held = held.get(&(id.clone(), version.clone())).map(Vec::as_slice).unwrap_or_default();
            let Some(answer) = held.iter().find(|answer| **answer >= before) else {
                return Err(format!(
                    "order {id}: {version} was written after a later answer ({before}); it was in answers {held:?}"
                ));
            };
            latest.insert(id, *answer);
        }
        Ok(())
    }
}

/// The fields of an order besides its id.
const COLUMNS: &str = "idRemote reference numOrder company client agent status season shippingAddress billingAddress discount \
    lines dateOrder dateModified dateDelivery observation grossAmount baseAmount shippingAmount taxAmount taxrecAmount \
    totalAmount totalQuantity quantityServed quantityPending shipper origin isSale active createdBy updatedBy createdAt updatedAt";

/// A table of texts that shows what it got, and beside it every version a row ever had, in the order they were written.
async fn create(erp: &Erp) {
    let (quote, text, number) = match erp.dialect {
        Dialect::Sqlite => ('"', "text", "integer"),
        Dialect::Postgres => ('"', "text", "bigserial"),
        Dialect::Mysql => ('`', "longtext", "bigint auto_increment"),
    };
    let named = |column: &str| format!("{quote}{column}{quote}");
    let columns: Vec<_> = COLUMNS.split_whitespace().map(|name| format!("{} {text}", named(name))).collect();
    let columns = columns.join(", ");
    erp.run(&format!("create table b2market_orders (id varchar(40) primary key, {columns})")).await;
    let written =
        format!("create table written (n {number} primary key, id varchar(40), version varchar(200))");
    erp.run(&written).await;
    let parts = [
        format!("new.{}", named("updatedAt")),
        "new.status".to_owned(),
        format!("new.{}", named("quantityServed")),
        "case when new.active in ('1', 'true') then '1' else '0' end".to_owned(),
    ];
    let version = match erp.dialect {
        Dialect::Mysql => format!("concat({})", parts.join(", ")),
        _ => parts.join(" || "),
    };
    let keep = format!("insert into written (id, version) values (new.id, {version})");
    let keep = match erp.dialect {
        Dialect::Sqlite => format!("begin {keep}; end"),
        Dialect::Mysql => keep,
        Dialect::Postgres => {
            let function = "create function keep() returns trigger language plpgsql as";
            erp.run(&format!("{function} $$ begin {keep}; return null; end $$")).await;
            "execute function keep()".to_owned()
        }
    };
    for event in ["insert", "update"] {
        let trigger =
            format!("create trigger {event}ed after {event} on b2market_orders for each row {keep}");
        erp.run(&trigger).await;
    }
}

/// No time passes here: waits would be for ever, and a platform left alone would stay so.
pub(crate) fn eager(loaded: &Loaded) -> BTreeMap<ConnectionName, Connection> {
    let mut connections = loaded.connections.clone();
    for connection in connections.values_mut() {
        if let ConnectionKind::Rest(rest) = &mut connection.kind {
            rest.limits.retry.first = Duration::ZERO;
            rest.limits.retry_share = 1.0;
            rest.limits.breaker.after = u32::MAX;
        }
    }
    connections
}

/// What happens to the next run, if anything.
fn draw(dice: &mut StdRng, dialect: Dialect, has_log: bool) -> Option<(u32, Blow)> {
    let (steps, writes) = (dice.random_range(0..60), dice.random_range(0..6));
    match dice.random_range(0..100) {
        0..10 => Some((steps, Blow::DieBefore)),
        10..25 => Some((steps, Blow::DieWithin(dice.random_range(1..=4)))),
        25..35 => Some((steps, Blow::DieAfter)),
        35..40 => Some((writes, Blow::ErpDown)),
        40..48 => Some((writes, Blow::CommitUnheard)),
        48..52 => Some((writes, Blow::Locked)),
        52..56 => Some((writes, Blow::TableAway)),
        56..66 if dialect != Dialect::Sqlite => Some((writes, Blow::Dropped(dice.random_range(1..=40)))),
        56..61 => Some((writes, Blow::DiskFull)),
        // With a log a reader keeps nobody from committing.
        61..66 => Some((writes, if has_log { Blow::DiskFull } else { Blow::CommitFails })),
        _ => None,
    }
}

/// A process: what is gone when it dies.
struct Daemon {
    store: Store,
    connectors: Connectors,
    /// The same with little patience for the ERP's locks.
    impatient: Connectors,
    /// The same over a connection that others can limit.
    cramped: Connectors,
    job: Job,
    clock: SharedClock,
}

impl Daemon {
    async fn run(&mut self, fate: &Fate) -> RunEnd {
        let token = self.claim().await;
        let mut counts = Counts::default();
        let run = async {
            let connectors = match fate.coming() {
                Some(Blow::Locked | Blow::CommitFails) => &self.impatient,
                Some(Blow::DiskFull) => &self.cramped,
                _ => &self.connectors,
            };
            let ends = fate.step(connectors.ends(&self.job, &token)).await?;
            let mut ends = mortal(ends, fate);
            copy(ends.source.as_mut(), ends.sink.as_mut(), ends.checkpoint.as_mut(), &mut counts).await?;
            Ok(ends.checkpoint.note())
        };
        let ended = tokio::select! {
            biased;
            () = fate.death() => return RunEnd::Killed,
            ended = run => ended,
        };
        let outcome = if ended.is_ok() { Outcome::Ok } else { Outcome::Failed };
        let closings = vec![Closing { token, outcome, counts, message: None }];
        self.store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.unwrap();
        RunEnd::Ended(ended, counts)
    }

    async fn claim(&self) -> Token {
        let mut at = self.clock.now().trunc_subsecs(0);
        loop {
            let claims = vec![Claim { slot: Slot { job: self.job.name.clone(), at }, cause: Cause::Manual }];
            let granted = self.store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await.unwrap();
            match granted.into_iter().next().unwrap() {
                Claimed::Granted(token) => return token,
                Claimed::Refused(_) => at += TimeDelta::seconds(1),
            }
        }
    }
}

/// Opens the state as soon as the process before has let go of it: what it began on disk runs to its end.
pub(crate) async fn open(dir: &Path, clock: &SharedClock) -> Store {
    loop {
        let (dir, clock) = (dir.to_owned(), Arc::clone(clock));
        match tokio::task::spawn_blocking(move || Store::open(&dir, clock)).await.unwrap() {
            Err(StateError::Held { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}
