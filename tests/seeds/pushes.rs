//! One seed of a push: an ERP that changes, a platform that fails in every way, and a process that dies at any point. Then
//! the platform goes quiet, and its items are compared with the ERP's; of its events, which must not be sent twice,
//! each is there once.

use super::mortal::{Blow, Fate, mortal};
use super::world::{eager, open};
use super::{Play, Tally};
use crate::support::{Mishap, Shelf};
use axum::http::Method;
use cadenced::clock::{Clock as _, SharedClock, SystemClock};
use cadenced::config::{self, Loaded, Sources};
use cadenced::connectors::{Connectors, Wanted, retry_rejects};
use cadenced::run::{Cause, Counts, Outcome, Slot};
use cadenced::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store, Token};
use cadenced::transfer::{Class, Failure, RejectClass, copy};
use cadenced::words::JobName;
use chrono::{SubsecRound as _, TimeDelta};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A value the platform refuses.
const BAD: i64 = 13;

pub(super) struct World {
    shelf: Shelf,
    erp: SqlitePool,
    dir: tempfile::TempDir,
    tally: Tally,
}

impl World {
    pub(super) async fn new(tally: &Tally) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("erp.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let erp = SqlitePool::connect_with(options).await.unwrap();
        let tables = "create table items (id text primary key, shelf text, value); \
                      create table events (id text primary key, value)";
        sqlx::raw_sql(tables).execute(&erp).await.unwrap();
        Self { shelf: Shelf::start().await, erp, dir, tally: tally.clone() }
    }
}

impl Play for World {
    async fn play(&mut self, seed: u64) -> Result<(), String> {
        let mut dice = StdRng::seed_from_u64(seed);
        sqlx::raw_sql("delete from items; delete from events").execute(&self.erp).await.unwrap();
        *self.shelf.kept() = Default::default();
        self.shelf.kept().refuses = Some(BAD);
        let quiet = Arc::new(AtomicBool::new(false));
        self.plan_mishaps(seed, &quiet);
        let looks_up = dice.random_bool(0.5);
        let loaded = self.config(&mut dice, looks_up);
        for _ in 0..dice.random_range(3..=10) {
            self.change(&mut dice).await;
        }
        let mut daemon = self.start(&loaded, seed).await;
        for _ in 0..dice.random_range(4..=9) {
            let job = if dice.random_bool(0.5) { "items" } else { "events" };
            let fate = Fate::new(None, draw(&mut dice));
            let ended = daemon.run(job, &fate).await;
            if let Some(blow) = fate.struck() {
                self.tally.count(blow.name());
            }
            match ended {
                Some(Ok(_)) => self.tally.count("good push"),
                Some(Err(failure)) if failure.class != Class::Auth => self.tally.count("failed push"),
                // A platform that refuses the credentials is left alone for a while: for these seeds, until the restart.
                Some(Err(_)) | None => {
                    drop(daemon);
                    // What the process had sent is carried out, or never will be.
                    self.shelf.idle().await;
                    daemon = self.start(&loaded, seed).await;
                }
            }
            for _ in 0..dice.random_range(0..=4) {
                self.change(&mut dice).await;
            }
        }

        quiet.store(true, Ordering::Relaxed);
        sqlx::query("update items set value = 1 where value = ?").bind(BAD).execute(&self.erp).await.unwrap();
        // What is gone is gone with the second read that misses it.
        for run in 1..=3 {
            for job in ["items", "events"] {
                match daemon.run(job, &Fate::new(None, None)).await {
                    Some(Ok(_)) => {}
                    other => return Err(format!("{job}: run {run} on a quiet platform: {other:?}")),
                }
            }
        }
        self.verdict(&mut daemon, looks_up).await?;
        let before = self.shelf.take_log().len();
        for job in ["items", "events"] {
            daemon.run(job, &Fate::new(None, None)).await;
        }
        let sent = self.shelf.take_log();
        drop(daemon);
        self.shelf.idle().await;
        std::fs::remove_dir_all(self.state(seed)).unwrap();
        if sent.is_empty() {
            Ok(())
        } else {
            Err(format!("after {before}, nothing changed and these were sent: {sent:?}"))
        }
    }
}

impl World {
    /// What goes wrong with the requests of a seed.
    fn plan_mishaps(&self, seed: u64, quiet: &Arc<AtomicBool>) {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x7075_7368);
        let percent = [0, 10, 30, 60][dice.random_range(0..4)];
        let (tally, quiet) = (self.tally.clone(), Arc::clone(quiet));
        // The client tries three times: a mishap that lasts is what a run sees.
        let mut lasting: Option<(Mishap, u32)> = None;
        self.shelf.script(move |method, _| {
            if quiet.load(Ordering::Relaxed) {
                return None;
            }
            if let Some((mishap, left @ 1..)) = &mut lasting {
                *left -= 1;
                return Some(*mishap);
            }
            if dice.random_range(0..100) >= percent {
                return None;
            }
            let (what, mishap) = match dice.random_range(0..8) {
                0 => ("500 and nothing done", Mishap::Refused(500)),
                1 => ("500 and carried out", Mishap::AnsweredWith(500)),
                2 => ("429 to a push", Mishap::Refused(429)),
                3 => ("push broken off", Mishap::Broken),
                4 | 5 => ("push carried out and unheard", Mishap::Unheard),
                6 => ("HTML to a push", Mishap::Html),
                _ => ("403 to a push", Mishap::Refused(403)),
            };
            tally.count(if *method == Method::GET { "look that failed" } else { what });
            lasting = dice.random_bool(0.4).then_some((mishap, 2));
            Some(mishap)
        });
    }

    async fn change(&self, dice: &mut StdRng) {
        let id = format!("i{}", dice.random_range(0..14));
        let run = async |sql: &'static str, id: &str, value: i64| {
            sqlx::query(sql).bind(id).bind(value).execute(&self.erp).await.unwrap();
        };
        match dice.random_range(0..10) {
            0..5 => {
                // Few values, so that they come back: A, B, A.
                let value = if dice.random_bool(0.1) { BAD } else { dice.random_range(1..=2) };
                let sql = "insert into items values (?1, 's' || (length(?1) % 2), ?2) on conflict (id) do update set value = ?2";
                run(sql, &id, value).await;
            }
            5 => {
                run("delete from items where id = ?1 and ?2 > 0 and (select count(*) from items) > 2", &id, 1)
                    .await
            }
            _ => {
                let id = format!("e{:04}", dice.random_range(0..9999));
                run("insert or ignore into events values (?1, ?2)", &id, 1).await;
            }
        }
    }

    fn config(&self, dice: &mut StdRng, looks_up: bool) -> Loaded {
        let verify = "verify = { get = \"/events\", params = { id = \"{id}\" }, rows = \"rows\", found-when = \"id\" }";
        let text = format!(
            r#"
            [connection.erp]
            sql = "sqlite://{erp}"
            [connection.shelf]
            url = "{url}"
            [job.items]
            read = {{ from = "erp", sql = "select id, shelf, value from items", key = ["shelf", "id"], max-gone = "100%" }}
            [job.items.push]
            to = "shelf"
            put = "/items/{{shelf}}"
            group-by = ["shelf"]
            batch = {{ records = {} }}
            body = {{ rows = "$records", removed = "$gone.id" }}
            [job.events]
            read = {{ from = "erp", sql = "select id, value from events", key = ["id"] }}
            [job.events.push]
            to = "shelf"
            post = "/events"
            batch = {{ records = {} }}
            body = {{ rows = "$records" }}
            {}
            "#,
            dice.random_range(1..=5),
            dice.random_range(1..=3),
            if looks_up { verify } else { "" },
            erp = self.dir.path().join("erp.db").display(),
            url = self.shelf.url,
        );
        let file = self.dir.path().join("cadenced.toml");
        std::fs::write(&file, text).unwrap();
        config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
    }

    fn state(&self, seed: u64) -> PathBuf {
        self.dir.path().join(format!("state-{seed}"))
    }

    async fn start(&self, loaded: &Loaded, seed: u64) -> Daemon {
        let clock: SharedClock = Arc::new(SystemClock);
        let store = open(&self.state(seed), &clock).await;
        let connections = eager(loaded);
        let connectors = Connectors::open(&connections, None, store.clone(), clock).unwrap();
        Daemon { store, connectors, loaded: loaded.clone() }
    }

    async fn verdict(&self, daemon: &mut Daemon, looks_up: bool) -> Result<(), String> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select id, value from items").fetch_all(&self.erp).await.unwrap();
        let expected: BTreeMap<String, i64> = rows.into_iter().collect();
        let found = |shelf: &Shelf| {
            let kept = shelf.kept();
            kept.items.iter().map(|(id, item)| (id.clone(), item["value"].as_i64().unwrap())).collect()
        };
        let items: BTreeMap<String, i64> = found(&self.shelf);
        if items != expected {
            return Err(format!("the platform has {items:?}, the ERP {expected:?}"));
        }
        let ids: Vec<(String,)> = sqlx::query_as("select id from events").fetch_all(&self.erp).await.unwrap();
        let expected: BTreeMap<String, usize> = ids.into_iter().map(|(id,)| (id, 1)).collect();
        let events = self.shelf.kept().events.clone();
        if let Some((id, times)) = events.iter().find(|(_, times)| **times != 1) {
            return Err(format!("event {id} exists {times} times"));
        }
        // What nobody can look up waits for a person, who knows.
        let job = JobName::new("events").unwrap();
        let parked = daemon.store.rejects(&job, None, 10_000).await.unwrap();
        if looks_up && !parked.is_empty() {
            return Err(format!("these could be looked up: {parked:?}"));
        }
        for reject in parked.into_iter().filter(|reject| !events.contains_key(&reject.key)) {
            if reject.class != RejectClass::Unknown {
                return Err(format!("no class for an event: {reject:?}"));
            }
            self.tally.count("event released by hand");
            let wanted = Wanted { key: Some(reject.key), ..Wanted::default() };
            let work = &daemon.loaded.jobs[&job].work;
            retry_rejects(&daemon.store, &job, work, &wanted).await.unwrap();
        }
        daemon.run("events", &Fate::new(None, None)).await;
        let events = self.shelf.kept().events.clone();
        if events != expected {
            return Err(format!("the platform has {events:?}, the ERP {expected:?}"));
        }
        Ok(())
    }
}

/// What happens to the next run, if anything.
fn draw(dice: &mut StdRng) -> Option<(u32, Blow)> {
    let steps = dice.random_range(0..14);
    match dice.random_range(0..100) {
        0..12 => Some((steps, Blow::DieBefore)),
        12..35 => Some((steps, Blow::DieWithin(dice.random_range(1..=6)))),
        35..47 => Some((steps, Blow::DieAfter)),
        _ => None,
    }
}

/// A process: what is gone when it dies.
struct Daemon {
    store: Store,
    connectors: Connectors,
    loaded: Loaded,
}

impl Daemon {
    /// How the run ended; nothing if the process died.
    async fn run(&mut self, job: &str, fate: &Fate) -> Option<Result<Counts, Failure>> {
        let job = self.loaded.jobs[&JobName::new(job).unwrap()].clone();
        let token = self.claim(&job.name).await;
        let mut counts = Counts::default();
        let run = async {
            let ends = fate.step(self.connectors.ends(&job, &token)).await?;
            let mut ends = mortal(ends, fate);
            copy(ends.source.as_mut(), ends.sink.as_mut(), ends.checkpoint.as_mut(), &mut counts).await
        };
        let ended = tokio::select! {
            biased;
            () = fate.death() => return None,
            ended = run => ended,
        };
        let outcome = if ended.is_ok() { Outcome::Ok } else { Outcome::Failed };
        let closings = vec![Closing { token, outcome, counts, message: None }];
        self.store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.unwrap();
        Some(ended.map(|()| counts))
    }

    async fn claim(&self, job: &JobName) -> Token {
        let mut at = SystemClock.now().trunc_subsecs(0);
        loop {
            let claims = vec![Claim { slot: Slot { job: job.clone(), at }, cause: Cause::Manual }];
            let granted = self.store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await.unwrap();
            match granted.into_iter().next().unwrap() {
                Claimed::Granted(token) => return token,
                Claimed::Refused(_) => at += TimeDelta::seconds(1),
            }
        }
    }
}
