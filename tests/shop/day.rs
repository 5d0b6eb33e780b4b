//! Two hours of an ordinary day at ONe, 07:00 to 09:00 in Warsaw: the planner decides, the jobs run against the platform, and
//! nothing but the clock is simulated.

use super::shop_with;
use cadenced::clock::SetClock;
use cadenced::config::{Sources, load};
use cadenced::connectors::Connectors;
use cadenced::job::Work;
use cadenced::planner::{Plan, Planner};
use cadenced::run::Outcome;
use cadenced::runner::{Perform as _, Runner};
use cadenced::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store};
use chrono::{DateTime, Utc};
use chrono_tz::Europe::Warsaw;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// When each row is due (ONe contract §2), as minutes and seconds of the hour, and the hours.
const ROWS: [(&str, &[u32], u32, [bool; 3]); 12] = [
    ("one-stocks", &EVEN, 0, [true, true, true]),
    ("one-client-pull", &EVEN, 0, [true, true, true]),
    ("one-client-ids", &EVEN, 20, [true, true, false]),
    ("one-client-add", &TENS, 0, [true, true, true]),
    ("one-client-update", &TENS, 50, [true, true, false]),
    ("one-retail-prices", &[5, 15, 25, 35, 45, 55], 0, [true, true, false]),
    ("one-invoices", &[0, 30], 0, [false, true, true]),
    ("one-goods-issued-notes", &[0, 30], 0, [false, true, true]),
    ("one-invoice-statuses", &[5, 35], 0, [false, true, false]),
    ("one-order-status", &TENS, 40, [true, true, false]),
    ("one-orders", &[], 0, [true, true, true]),
    ("one-offline-orders", &[], 0, [true, true, true]),
];
const TENS: [u32; 6] = [0, 10, 20, 30, 40, 50];
const EVEN: [u32; 30] = {
    let mut minutes = [0; 30];
    let mut at = 0;
    while at < 30 {
        minutes[at] = at as u32 * 2;
        at += 1;
    }
    minutes
};

/// The slots of a row between 07:00:00 and 09:00:00, as `HH:MM:SS`.
fn slots(minutes: &[u32], second: u32, hours: [bool; 3]) -> Vec<String> {
    let all: Vec<u32> = (0..60).collect();
    let minutes = if minutes.is_empty() { &all } else { minutes };
    let mut slots = Vec::new();
    for (hour, _) in (7..).zip(hours).filter(|(_, due)| *due) {
        for minute in minutes.iter().filter(|minute| hour < 9 || **minute == 0) {
            slots.push(format!("{hour:02}:{minute:02}:{second:02}"));
        }
    }
    slots
}

#[tokio::test]
async fn two_hours_of_all_rows_run_in_exactly_their_slots_and_break_no_rule() {
    let site = shop_with("").await;
    let client = site.client("K-1").await;
    fill(&site).await;
    let sources = Sources { file: Some(site.config()), ..Sources::default() };
    let mut loaded = load(&sources).unwrap();
    // What the tests' site turns off is on again; the jobs of the other platform are not looked at.
    loaded.jobs.retain(|name, job| {
        job.enabled = name.as_str() != "one-client-pull-full";
        // A filter is a process of the program's own, which a test is not.
        if let Work::Push(_, push) = &mut job.work {
            push.shaping.filter = None;
        }
        name.as_str().starts_with("one-") && job.is_live()
    });
    let (from, until): (DateTime<Utc>, DateTime<Utc>) =
        ("2026-03-02T05:59:59Z".parse().unwrap(), "2026-03-02T08:00:00Z".parse().unwrap());
    let clock = Arc::new(SetClock::at(from));
    let store = Store::open(&site.state(), clock.clone()).unwrap();
    let connectors = Connectors::open(&loaded.connections, None, store.clone(), clock.clone()).unwrap();
    let runner = Runner::new(Arc::new(connectors), None);
    let (_stop, stopped) = watch::channel(false);

    let mut ran: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut planner, plan) = Planner::start(&loaded.jobs, &BTreeMap::new(), from);
    let mut plans = vec![(plan, Vec::new())];
    let mut now = from;
    loop {
        while let Some((Plan { entries, starts, .. }, closings)) = plans.pop() {
            let claims: Vec<Claim> =
                starts.into_iter().map(|start| Claim { slot: start.slot, cause: start.cause }).collect();
            let batch = LedgerBatch { closings, entries, claims };
            for claimed in store.write(batch).await.unwrap() {
                let Claimed::Granted(token) = claimed else { panic!("{claimed:?}") };
                let job = Arc::new(loaded.jobs[&token.slot.job].clone());
                let local = token.slot.at.with_timezone(&Warsaw).format("%H:%M:%S").to_string();
                ran.entry(job.name.to_string()).or_default().push(local);
                let ended = runner.perform(job.clone(), token.clone(), stopped.clone()).await;
                assert_eq!(ended.outcome, Outcome::Ok, "{} at {now}: {:?}", job.name, ended.message);
                let plan = planner.on_finished(&token.slot, ended.outcome, token.attempt, now);
                let (outcome, counts, message) = (ended.outcome, ended.counts, ended.message);
                plans.push((plan, vec![Closing { token, outcome, counts, message }]));
            }
        }
        let Some(wake) = planner.wake().filter(|wake| *wake <= until) else { break };
        now = now.max(wake);
        clock.set(now);
        // What a day brings: customers order and change their minds, stock moves.
        if now.timestamp() % 300 == 40 {
            site.one.stir();
            cadenced::sandbox::erp::move_stock(&site.erp, 1).await.unwrap();
        }
        plans.push((planner.on_timer(now), Vec::new()));
    }

    for (job, minutes, second, hours) in ROWS {
        if loaded.jobs.keys().any(|name| name.as_str() == job) {
            assert_eq!(ran.remove(job).unwrap_or_default(), slots(minutes, second, hours), "{job}");
        }
    }
    assert_eq!(ran.remove("one-warehouses").map(|slots| slots.len()), Some(1), "once, on the first import");
    let after: Vec<&str> = ran.keys().map(String::as_str).collect();
    assert!(after.iter().all(|job| job.ends_with("-files")), "nothing else came due: {after:?}");
    site.no_rule_is_broken();
    both_ends(&site, &client).await;
    drop(runner);
}

/// A row in each table that the jobs of these two hours read.
async fn fill(site: &crate::support::Site) {
    site.sql(
        "insert into cadenced_warehouses (id, type, name) values ('W1', 'CENTRAL', 'One'), ('W2', 'CENTRAL', 'Two');
         insert into cadenced_retail_prices values ('A-00001', '12.50');
         insert into cadenced_invoices (number, client, currency, is_paid, amount_paid, net, tax, gross)
             values ('FV/1', 'K-1', 'PLN', 0, '0', '1.00', '0.23', '1.23');
         insert into cadenced_goods_issued_notes (number, client) values ('WZ/1', 'K-1');
         insert into cadenced_goods_issued_note_lines (number, line_no, sku, quantity) values ('WZ/1', 10, 'A-00001', '1');
         insert into cadenced_offline_orders values
             ('SO-1', 'SO', 'K-1', 'Transfer', '0', '1.00', '1.00', '0.23', '1.23', null);
         insert into cadenced_offline_order_lines (shipment, line_no, sku, quantity) values ('SO-1', 10, 'A-00001', '1')",
    )
    .await;
    let shipment = site.one.add_order();
    site.sql(&format!("insert into cadenced_order_statuses values ('{shipment}', 'CONFIRMED')")).await;
}

async fn both_ends(site: &crate::support::Site, client: &str) {
    let one = site.one.records();
    assert_eq!(one.warehouses.len(), 2);
    assert_eq!(one.retail_prices.len(), 1);
    assert_eq!(one.invoices["FV/1"]["clientData"]["clientId"], client);
    assert_eq!(
        (one.invoice_statuses.len(), one.goods_issued_notes.len(), one.offline_orders.len()),
        (1, 1, 1)
    );
    assert_eq!(one.order_updates.len(), 1);
    let count = async |sql: &str| site.text(sql).await.unwrap().parse::<usize>().unwrap();
    // What came in the last seconds comes with the next slot.
    let orders = count("select count(*) || '' from cadenced_orders").await;
    assert!(orders > 1 && orders + 1 >= one.shipments.len(), "{orders} of {}", one.shipments.len());
    assert_eq!(count("select count(*) || '' from cadenced_one_clients").await, one.clients.len());
}
