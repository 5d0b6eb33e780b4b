//! The shipped chain of clients under faults: each seed plays an ERP that changes, a platform that fails in every way, and a
//! process that dies at any point. Then the platform goes quiet: both sides are equal, and nothing is there twice.
//!
//! `CADENCED_STEP_SEEDS=1000` plays so many seeds instead of as many as fit into [`BUDGET`]; `CADENCED_STEP_SEED=17` plays
//! that one again.

use super::*;
use crate::seeds::world::{eager, open};
use crate::seeds::{Play, Seeds, Tally, play_all};
use crate::support::{Daemon, Said, poll_times};
use cadenced::admin::control::{Again, Wait};
use cadenced::clock::{Clock as _, SharedClock, SystemClock};
use cadenced::config::{self, Loaded, Sources};
use cadenced::connectors::Connectors;
use cadenced::run::{Cause, Slot};
use cadenced::runner::{Ended, Perform as _, Runner};
use cadenced::sandbox::Fault;
use cadenced::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store};
use cadenced::words::JobName;
use chrono::{SubsecRound as _, TimeDelta};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// As long as seeds are played where nobody says how many.
const BUDGET: Duration = Duration::from_secs(20);

struct World(Tally);

impl Play for World {
    async fn play(&mut self, seed: u64) -> Result<(), String> {
        let mut dice = StdRng::seed_from_u64(seed);
        let site = office(dice.random_range(0..6)).await;
        // Few clients: a change of some is one of most.
        let calm = "[job.one-client-add]\nread = { max-gone = \"100%\" }\n[job.one-client-update]\nread = { max-gone = \"100%\" }\n";
        site.schedule(calm);
        let shape = ["id", "clientId", "string"][dice.random_range(0..3)];
        site.one.switches.set(&format!("client-answer={shape}")).unwrap();
        let loaded = config::load(&Sources { file: Some(site.config()), ..Sources::default() }).unwrap();
        for _ in 0..dice.random_range(4..=9) {
            for _ in 0..dice.random_range(0..=4) {
                change(&site, &mut dice).await;
            }
            self.plan(&site, &mut dice);
            let polls = dice.random_bool(0.5).then(|| dice.random_range(1..100));
            let job = if dice.random_bool(0.5) { ADD } else { UPDATE };
            match run(&site, &loaded, job, polls).await {
                None => self.0.count("kill within a run"),
                Some(ended) if ended.outcome == Outcome::Failed => self.0.count("failed run"),
                Some(_) => self.0.count("run"),
            }
            site.one.wire.heal();
            settled(&site).await;
        }
        site.sql("update cadenced_clients set account_type = null where account_type is not null").await;
        for round in 1..=3 {
            for job in [ADD, UPDATE] {
                match run(&site, &loaded, job, None).await {
                    Some(ended) if ended.outcome == Outcome::Ok => {}
                    // What was refused before may be told once more.
                    Some(ended) if round == 1 && ended.outcome == Outcome::Partial => {}
                    other => return Err(format!("{job}, round {round} on a quiet platform: {other:?}")),
                }
            }
        }
        equal(&site).await;
        let before = site.one.wire.count();
        for job in [ADD, UPDATE] {
            run(&site, &loaded, job, None).await;
        }
        let parked =
            open(&site.state(), &clock()).await.rejects(&JobName::new(ADD).unwrap(), None, 9).await.unwrap();
        match site.one.wire.count() - before {
            0 if parked.is_empty() => Ok(()),
            0 => Err(format!("these are there after all: {parked:?}")),
            sent => Err(format!("nothing changed, and {sent} requests were sent")),
        }
    }
}

impl World {
    /// What goes wrong with the requests of the next run.
    fn plan(&self, site: &Site, dice: &mut StdRng) {
        let (what, fault) = match dice.random_range(0..10) {
            0 => ("500", Fault::status(500)),
            1 => ("429", Fault::too_many_requests("0")),
            2 => ("reset", Fault::Reset),
            3 | 4 => ("done and unheard", Fault::AnswerLost),
            5 => ("HTML", Fault::html()),
            6 => ("cut short", Fault::Truncated),
            7 => ("403", Fault::status(403)),
            _ => return,
        };
        self.0.count(what);
        let path = ["", "/clients", "/segments", "/client-blockades"][dice.random_range(0..4)];
        match dice.random_range(0..3) {
            0 => site.one.wire.fail_next(dice.random_range(1..=4), path, fault),
            1 => site.one.wire.fail_every(dice.random_range(2..=6), path, fault),
            _ => site.one.wire.fail_always(path, fault),
        }
    }
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// Something changes in the ERP. There are few values, so that they come back: A, B, A.
async fn change(site: &Site, dice: &mut StdRng) {
    let (number, value) = (dice.random_range(1..=7), dice.random_range(1..=2));
    let sql = match dice.random_range(0..8) {
        0 | 1 => {
            let tin = if number % 3 == 0 { "null".to_owned() } else { format!("'525{number}'") };
            format!(
                "insert or ignore into cadenced_clients (code, name, tin, address_name, street, zip, city, country, admin_email, admin_name)
                 values ('K/{number}', 'Client', {tin}, 'A', 'B', 'C', 'D', 'PL', 'a@example.org', 'E')"
            )
        }
        2 => format!("update cadenced_clients set name = 'Name {value}' where code = 'K/{number}'"),
        3 => {
            let segment = ["null", "'Z'", "'A/1'"][dice.random_range(0..3)];
            format!("update cadenced_clients set segment = {segment} where code = 'K/{number}'")
        }
        4 => format!(
            "insert or replace into cadenced_trade_credits values ('K/{number}', '{value}.50', '1', null, 7)"
        ),
        5 => {
            let kind = ["SALE", "CLIENT"][dice.random_range(0..2)];
            format!("insert or replace into cadenced_blockades values ('K/{number}', '{kind}', 'B')")
        }
        6 => format!(
            "delete from cadenced_blockades where client = 'K/{number}'; delete from cadenced_trade_credits where client = 'K/{value}'"
        ),
        _ => format!("update cadenced_clients set account_type = 'NOBODY' where code = 'K/{number}'"),
    };
    site.sql(&sql).await;
}

/// One run in a process of its own, as far as that can be played: without the state of connections from earlier ones, and
/// dead after so many polls.
async fn run(site: &Site, loaded: &Loaded, job: &str, polls: Option<u32>) -> Option<Ended> {
    let store = open(&site.state(), &clock()).await;
    let connectors = Connectors::open(&eager(loaded), None, store.clone(), clock()).unwrap();
    let runner = Runner::new(Arc::new(connectors), None);
    let job = Arc::new(loaded.jobs[&JobName::new(job).unwrap()].clone());
    let token = claim(&store, &job.name).await;
    let (_stop, stopped) = watch::channel(false);
    let polls = polls.unwrap_or(u32::MAX);
    let ended = poll_times(pin!(runner.perform(job, token.clone(), stopped)), polls).await;
    if let Some(Ended { outcome, counts, message }) = ended.clone() {
        let closings = vec![Closing { token, outcome, counts, message }];
        store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.unwrap();
    }
    ended
}

async fn claim(store: &Store, job: &JobName) -> cadenced::state::Token {
    let mut at = SystemClock.now().trunc_subsecs(0);
    loop {
        let claims = vec![Claim { slot: Slot { job: job.clone(), at }, cause: Cause::Manual }];
        match store.write(LedgerBatch { claims, ..LedgerBatch::default() }).await.unwrap().into_iter().next()
        {
            Some(Claimed::Granted(token)) => return token,
            _ => at += TimeDelta::seconds(1),
        }
    }
}

/// What a dead process had sent is carried out, or never will be: the platform answers one after the other.
async fn settled(site: &Site) {
    for _ in 0..3 {
        let url = format!("{}/api/v1/account/integrations/auth-required/segments", site.one.url());
        drop(reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap().get(url).send().await);
    }
}

#[test]
fn whatever_happens_no_client_is_there_twice_and_both_sides_end_up_equal() {
    let seeds = Seeds::wanted("CADENCED_STEP_SEED", "CADENCED_STEP_SEEDS", BUDGET);
    play_all("seeds of steps", &seeds, "CADENCED_STEP_SEED", async |tally| World(tally.clone()));
}

#[tokio::test]
async fn a_killed_daemon_creates_no_client_twice() {
    let site = office(8).await;
    let mut passes = 1;
    for moment in ["push-after-doubt", "push-after-answer", "push-after-settle"].into_iter().cycle().take(12)
    {
        passes += 2;
        let mut daemon = Daemon::start(&site).await;
        site.sql(&format!(
            "update cadenced_clients set name = 'Name {passes}' where code = 'K/{}'",
            passes % 8 + 1
        ))
        .await;
        daemon.stand_still_at(&format!("{moment}:{}", passes % 5 + 1));
        for job in [ADD, UPDATE] {
            drop(site.control().await.trigger(job, Again::No, Wait::No).await);
            let ends = |said: &Said| matches!(said, Said::Stands(_)) || said.tells("run ended", job);
            if matches!(daemon.until("a moment, or the end", ends).await, Said::Stands(_)) {
                break;
            }
        }
        daemon.kill().await;
    }
    for job in [ADD, UPDATE] {
        goes_well(&site, job).await;
    }
    equal(&site).await;
}

#[tokio::test]
async fn a_client_whose_answer_was_lost_is_found_and_not_sent_again() {
    let site = office(3).await;
    site.one.wire.fail_next(1, "/clients", Fault::status(404));
    let ended = site.once(ADD).await;
    assert_eq!(
        (ended.outcome, site.one.records().clients.len()),
        (Outcome::Failed, 0),
        "without the list nobody is created"
    );
    site.one.wire.heal();
    goes_well(&site, ADD).await;
    equal(&site).await;
    let posts = |site: &Site| {
        let requests = site.one.wire.requests();
        requests
            .iter()
            .filter(|request| request.method == "POST" && request.path.ends_with("/clients"))
            .count()
    };
    site.sql("insert into cadenced_clients (code, name, address_name, street, zip, city, country, admin_email, admin_name) \
              values ('new', 'New', 'A', 'B', 'C', 'D', 'PL', 'a@example.org', 'E')").await;
    let before = posts(&site);
    // The first two read the list of all clients.
    site.one.wire.fail_every(3, "/clients", Fault::AnswerLost);
    goes_well(&site, ADD).await;
    equal(&site).await;
    assert_eq!(posts(&site), before + 1);
}
