//! `cadenced plan`, through the program itself: what does not fit is named with its place and its measure, and scripts
//! can tell by the exit code.

use cadenced::clock::SetClock;
use cadenced::run::{Cause, Counts, Outcome, Slot};
use cadenced::state::{Claim, Claimed, Closing, Coordinator as _, LedgerBatch, Store};
use cadenced::words::JobName;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

/// A site with the shipped schedule of ONe, this quota on its connection, and these jobs of its own.
fn site(quota: &str, jobs: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules/one.toml");
    std::fs::create_dir(dir.path().join("schedules")).unwrap();
    std::fs::copy(shipped, dir.path().join("schedules/one.toml")).unwrap();
    std::fs::write(dir.path().join("schedules/site.toml"), jobs).unwrap();
    let config = format!(
        "timezone = \"Europe/Warsaw\"\nschedules = [\"schedules\"]\n\
         [connection.erp]\nsql = \"sqlite://erp.db\"\n\
         [connection.one]\nurl = \"http://127.0.0.1:1\"\nquota = [{quota}]\n"
    );
    std::fs::write(dir.path().join("cadenced.toml"), config).unwrap();
    dir
}

fn plan(site: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cadenced"));
    command.args(["plan", "--config"]).arg(site.path().join("cadenced.toml")).args(arguments);
    command.env_clear().output().unwrap()
}

/// The exit code and what was written to stdout.
fn text(site: &TempDir, date: &str) -> (Option<i32>, String) {
    let output = plan(site, &["--date", date]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn json(site: &TempDir, date: &str) -> (Option<i32>, Value) {
    let output = plan(site, &["--date", date, "--format", "json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_shipped_schedule_does_not_fit_a_request_a_minute_and_it_says_where_and_by_how_much() {
    let (code, text) = text(&site("\"1/min\"", ""), "2026-03-03");
    assert_eq!(code, Some(1), "{text}");
    insta::assert_snapshot!(text, @r"
    2026-03-03 in Europe/Warsaw: does not fit
    one: 12 requests in the minute from 08:00:00, 11 more than 1/min allows; from 00:00:00 on requests wait; 4303 still wait when the day is over
    most starts: 12 jobs at 08:00, and as many in 24 other minutes: one-client-add, one-client-ids, one-client-pull, one-client-update, one-goods-issued-note-files, one-goods-issued-notes, one-invoice-files, one-invoices, one-offline-orders, one-order-status, one-orders, one-stocks

    CONNECTION  QUOTA  BUSIEST MINUTE  REQUESTS  REQUESTS A DAY
    one         1/min  08:00:00        12        5743

    assumed, 1 request and 1 s a run (nothing measured, no `estimate`): one-b2b-prices, one-client-add, one-client-ids, one-client-pull, one-client-update, one-goods-issued-note-files, one-goods-issued-notes, one-invoice-files, one-invoice-statuses, one-invoices, one-offline-orders, one-order-status, one-orders, one-price-list-clients, one-retail-prices, one-stocks, one-unused-price-lists
    left out, no calendar makes them due: one-warehouses
    ");
}

#[test]
fn the_shipped_schedule_fits_what_the_platform_allows() {
    let (code, report) = json(&site("\"10/s\", \"300/min\"", ""), "2026-03-03");
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["fits"], true);
    assert_eq!(report["findings"], Value::Array(Vec::new()));
}

#[test]
fn an_estimate_counts_where_nothing_was_measured() {
    let jobs = "[job.one-orders]\nestimate = { requests = 40, duration = \"90s\" }\n";
    let (code, report) = json(&site("\"30/min\"", jobs), "2026-03-03");
    assert_eq!(code, Some(1));
    let orders = report["jobs"].as_array().unwrap().iter().find(|job| job["job"] == "one-orders").unwrap();
    assert_eq!((&orders["requests"], &orders["seconds"]), (&Value::from(40), &Value::from(90.0)));
    assert_eq!(orders["figures"], "given");
    let kinds: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert!(kinds.contains(&&Value::from("overlap")), "{report}");
}

#[test]
fn a_mistake_in_an_estimate_is_a_mistake_of_the_configuration() {
    let site = site("", "[job.one-orders]\nestimate = { request = 40 }\n");
    let output = plan(&site, &[]);
    assert_eq!(output.status.code(), Some(78));
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(problems.contains("site.toml:2:14: job.one-orders.estimate.request: unknown key"), "{problems}");
}

#[test]
fn the_night_the_clocks_are_set_back_has_an_hour_more() {
    let site = site("\"10/s\"", "");
    let slots = |date: &str| {
        let (_, report) = json(&site, date);
        let jobs = report["jobs"].as_array().unwrap().clone();
        let orders = jobs.iter().find(|job| job["job"] == "one-orders").unwrap();
        orders["slots"].as_u64().unwrap()
    };
    assert_eq!([slots("2026-03-29"), slots("2026-03-30"), slots("2026-10-25")], [1380, 1440, 1500]);
}

/// Runs of `one-stocks` in the state directory: how many requests and seconds each took.
async fn remember(site: &TempDir, runs: &[(u64, i64)]) {
    let start: DateTime<Utc> = "2026-03-02T07:00:00Z".parse().unwrap();
    let clock = Arc::new(SetClock::at(start));
    let store = Store::open(&site.path().join("state"), clock.clone()).unwrap();
    for (index, (requests, seconds)) in (0..).zip(runs) {
        let at = start + TimeDelta::minutes(2 * index);
        clock.set(at);
        let slot = Slot { job: JobName::new("one-stocks").unwrap(), at };
        let claims = vec![Claim { slot, cause: Cause::Due }];
        let batch = LedgerBatch { claims, ..LedgerBatch::default() };
        let Some(Claimed::Granted(token)) = store.write(batch).await.unwrap().pop() else {
            panic!("refused")
        };
        clock.set(at + TimeDelta::seconds(*seconds));
        let counts = Counts { requests: *requests, ..Counts::default() };
        let closings = vec![Closing { token, outcome: Outcome::Ok, counts, message: None }];
        store.write(LedgerBatch { closings, ..LedgerBatch::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn what_runs_really_cost_is_read_from_the_history() {
    let site = site("\"60/min\"", "[job.one-stocks]\nestimate = { requests = 500, duration = \"5m\" }\n");
    remember(&site, &[(2, 3), (4, 6), (9, 150)]).await;
    let (code, text) = text(&site, "2026-03-03");
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<_> = text.lines().filter(|line| line.contains("one-stocks: ")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    one-stocks: at worst, 360 of 720 slots are skipped because the run before still goes, first at 00:02:00, up to 30s too long
    one-stocks: measured in 3 runs: 4 requests and 6.0s usually, 9 and 2m30s at worst
    ");
    assert!(text.starts_with("2026-03-03 in Europe/Warsaw: fits, but not"), "{text}");
}
