//! The running daemon, as its service manager, its monitoring and its users meet it.

use crate::support::{PATIENCE, Service, Site, TOKEN, json, stderr};
use cadenced::admin::control::{Again, Wait};
use cadenced::run::Outcome;
use cadenced::sandbox::erp;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::fs;
use std::process::Output;

/// Both doors of a daemon: the network and the control socket, each with the address to use.
fn doors(site: &Site, daemon: &Service) -> [(Client, String); 2] {
    let plain = Client::builder().no_proxy().timeout(PATIENCE);
    let local = Client::builder().unix_socket(site.state().join("control.sock")).timeout(PATIENCE);
    [(plain.build().unwrap(), daemon.address()), (local.build().unwrap(), "http://cadenced".to_owned())]
}

async fn get((client, address): &(Client, String), path: &str) -> (StatusCode, String) {
    let response = client.get(format!("{address}{path}")).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    stderr(output)
}

#[tokio::test]
async fn health_and_metrics_are_on_both_doors_and_control_needs_its_token() {
    let site = Site::quiet().await;
    let daemon = site.service();
    for door in doors(&site, &daemon) {
        assert_eq!(get(&door, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
        assert_eq!(get(&door, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        // The very first scrape has every gauge.
        let (status, metrics) = get(&door, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let gauge = "cadenced_job_next_slot_timestamp_seconds{job=\"one-stocks\"}";
        assert!(metrics.contains(gauge) && metrics.contains("cadenced_config_reload_success 1"), "{metrics}");

        let (status, health) = get(&door, "/health").await;
        let health = json(&health);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(keys(&health), ["connections", "jobs", "reload", "status", "uptime_seconds", "version"]);
        assert_eq!(
            (&health["status"], &health["version"]),
            (&"ok".into(), &env!("CARGO_PKG_VERSION").into())
        );
        let job = &health["jobs"]["one-stocks"];
        let pinned = [
            "consecutive_failures",
            "last_run",
            "last_success",
            "next_slot",
            "rejects",
            "status",
            "watermark",
            "why",
        ];
        assert_eq!(keys(job), pinned);
        assert_eq!(job["status"], "ok");
    }

    let [(network, address), (local, socket)] = doors(&site, &daemon);
    let post = |client: &Client, address: &str, path: &str| {
        client.post(format!("{address}/api/jobs/one-stocks/{path}"))
    };
    for request in [post(&network, &address, "pause"), post(&network, &address, "pause").bearer_auth("guess")]
    {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(get(&(network.clone(), address.clone()), "/api/status").await.0, StatusCode::UNAUTHORIZED);
    let paused = post(&network, &address, "pause").bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(paused.status(), StatusCode::NO_CONTENT);
    let resumed = post(&local, &socket, "resume").send().await.unwrap();
    assert_eq!(resumed.status(), StatusCode::NO_CONTENT);
    let gone = network.request(Method::GET, format!("{address}/api/nothing")).bearer_auth(TOKEN);
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_job_that_runs_keeps_showing_how_it_last_ended() {
    let site = Site::quiet().await;
    site.one.remove_warehouse("W2");
    let _daemon = site.service();
    assert_eq!(site.cadenced(&["trigger", "one-stocks", "--wait"]).status.code(), Some(2));
    erp::set_stock(&site.erp, "W1", "A-00001", 1).await.unwrap();
    let hold = site.one.wire.hold_next("/stocks");
    site.control().await.trigger("one-stocks", Again::No, Wait::No).await.unwrap();
    hold.reached().await;
    let status = site.control().await.status().await.unwrap();
    let job = status.iter().find(|job| job.job.as_str() == "one-stocks").unwrap();
    assert!(job.running.is_some());
    assert_eq!(job.last_outcome, Some(Outcome::Partial));
    let why = job.health.why.as_deref().unwrap();
    assert!(why.starts_with("one-stocks: 20 of 40 records were refused"), "{why}");
    hold.release();
}

#[tokio::test]
async fn sigterm_lets_a_run_end_and_answers_meanwhile() {
    let site = Site::quiet().await;
    let mut daemon = site.service();
    let hold = site.one.wire.hold_next("/stocks");
    site.control().await.trigger("one-stocks", Again::No, Wait::No).await.unwrap();
    hold.reached().await;
    daemon.signal("TERM");
    assert!(daemon.hears("STOPPING=1").contains("EXTEND_TIMEOUT_USEC="));
    for door in doors(&site, &daemon) {
        assert_eq!(get(&door, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()));
        assert_eq!(get(&door, "/livez").await.0, StatusCode::OK);
        let (status, health) = get(&door, "/health").await;
        assert_eq!((status, &json(&health)["status"]), (StatusCode::OK, &"ok".into()));
    }
    assert!(refused(&site.cadenced(&["trigger", "b2market-orders"])).contains("the daemon is stopping"));
    assert!(refused(&site.cadenced(&["reload", "--wait"])).contains("the daemon is stopping"));
    hold.release();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    let runs = site.store().runs(None, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Ok)]);
    assert_eq!(site.one.quantities(), erp::quantities(&site.erp).await.unwrap());
}

#[tokio::test]
async fn a_run_that_outlasts_the_drain_is_recorded_as_interrupted() {
    let site = Site::quiet().await;
    site.configure("drain-timeout = \"1s\"");
    let mut daemon = site.service();
    let hold = site.one.wire.hold_next("/stocks");
    site.control().await.trigger("one-stocks", Again::No, Wait::No).await.unwrap();
    hold.reached().await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    let runs = site.store().runs(None, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Interrupted)]);
    hold.release();
    assert_eq!(site.once("one-stocks").await.counts.written, 40, "what was in doubt is sent again");
}

#[tokio::test]
async fn the_service_manager_hears_every_change() {
    let site = Site::quiet().await;
    let mut daemon = site.service_with(&[("WATCHDOG_USEC", "60000000")]);
    assert!(daemon.hears("READY=1").contains("STATUS=serving"));
    daemon.hears("WATCHDOG=1");
    daemon.signal("HUP");
    let reloading = daemon.hears("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.is_some_and(|since| since.parse::<u64>().is_ok()), "{reloading}");
    daemon.hears("READY=1");
    daemon.signal("INT");
    daemon.hears("STOPPING=1");
    assert_eq!(daemon.ended().await.code(), Some(0));
}

/// Hears of one reload, whoever asked for it.
fn reloaded_once(daemon: &Service) {
    daemon.hears("RELOADING=1");
    daemon.hears("READY=1");
}

#[tokio::test]
async fn a_good_configuration_is_taken_and_a_bad_one_refused_whole() {
    let site = Site::quiet().await;
    let daemon = site.service();
    let [door, _] = doors(&site, &daemon);
    let yearly = |of: &str| {
        format!("[job.one-stocks]\ncron = \"{of}\"\n[job.b2market-orders]\ncron = \"0 0 0 1 1 *\"\n")
    };
    let next = async || json(&get(&door, "/health").await.1)["jobs"]["one-stocks"]["next_slot"].clone();
    let january = next().await;

    site.schedule(&yearly("0 30 12 1 7 *"));
    let reloaded = site.cadenced(&["reload", "--wait"]);
    assert_eq!((reloaded.status.code(), stderr(&reloaded).as_str()), (Some(0), "reloaded: 27 jobs\n"));
    reloaded_once(&daemon);
    let july = next().await;
    assert_ne!(july, january);

    site.schedule("[job.one-stocks]\ncron = \"0 61 * * * *\"\n[job.b2market-orders]\ncrom = \"x\"\n");
    let said = refused(&site.cadenced(&["reload", "--wait"]));
    assert!(said.contains("site.toml:2:11: job.one-stocks.cron: "), "{said}");
    assert!(
        said.contains("crom") && said.contains("the configuration was refused, the old one stays"),
        "{said}"
    );
    reloaded_once(&daemon);
    assert_eq!(next().await, july, "the old set serves");
    assert_eq!(get(&door, "/readyz").await.0, StatusCode::OK);
    let (status, health) = get(&door, "/health").await;
    let health = json(&health);
    assert_eq!((status, &health["status"]), (StatusCode::OK, &"degraded".into()));
    assert_eq!(health["reload"]["ok"], false);
    assert!(health["reload"]["why"].as_str().unwrap().contains("job.one-stocks.cron"), "{health}");
    assert!(get(&door, "/metrics").await.1.contains("cadenced_config_reload_success 0"));

    // The signal does the same without an exit code.
    daemon.signal("HUP");
    reloaded_once(&daemon);
    assert_eq!(next().await, july);
    site.schedule(&yearly("0 0 0 1 1 *"));
    daemon.signal("HUP");
    reloaded_once(&daemon);
    assert_eq!(next().await, january);
    assert_eq!(json(&get(&door, "/health").await.1)["status"], "ok");
}

#[tokio::test]
async fn a_reload_says_what_needs_a_restart() {
    let site = Site::quiet().await;
    let _daemon = site.service();
    fs::write(site.dir().join("admin-token"), "another").unwrap();
    site.configure("drain-timeout = \"7s\"");
    let reloaded = site.cadenced(&["reload", "--wait"]);
    let said = stderr(&reloaded);
    for key in ["admin.token", "drain-timeout"] {
        assert!(
            said.contains(&format!("warning: {key}: changed; takes effect only after a restart")),
            "{said}"
        );
    }
    assert!(!said.contains("another"), "{said}");
    assert_eq!(reloaded.status.code(), Some(0));
    // Without --wait the answer does not tell how it went, and comes at once.
    let reloaded = stderr(&site.cadenced(&["reload"]));
    assert_eq!(reloaded, "the daemon reads its configuration again; see: cadenced status\n");
}

#[tokio::test]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let site = Site::quiet().await;
    let daemon = site.service();
    let said = refused(&site.cadenced(&["run"]));
    let holder = format!("the state directory is held by process {}", daemon.id());
    assert!(said.contains(&holder), "{said}");
    assert_eq!(get(&doors(&site, &daemon)[1], "/readyz").await.0, StatusCode::OK, "the first one goes on");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let site = Site::quiet().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = fs::read_to_string(site.config()).unwrap().replace("127.0.0.1:0", &address);
    fs::write(site.config(), config).unwrap();
    let said = refused(&site.cadenced(&["run"]));
    assert!(said.contains(&address) && said.contains("admin.listen"), "{said}");
}

#[tokio::test]
async fn commands_steer_the_running_daemon() {
    let site = Site::quiet().await;
    site.b2market.seed(5);
    let daemon = site.service();
    let triggered = site.cadenced(&["trigger", "one-stocks", "--wait"]);
    assert_eq!(
        (triggered.status.code(), stderr(&triggered).as_str()),
        (Some(0), "one-stocks: ok, 40 read, 40 written\n")
    );
    let unknown = refused(&site.cadenced(&["trigger", "one-stock"]));
    assert!(unknown.contains("did you mean `one-stocks`?"), "{unknown}");
    let unconfigured = refused(&site.cadenced(&["trigger", "unfinished"]));
    assert!(unconfigured.contains("its ends are still to be configured"), "{unconfigured}");

    site.printed(&["pause", "one-stocks", "--reason", "stocktaking"]);
    let status = site.printed(&["status"]);
    let line = status.lines().find(|line| line.starts_with("one-stocks ")).unwrap();
    assert!(line.contains("degraded (paused)") && line.ends_with("paused: stocktaking"), "{status}");
    site.printed(&["resume", "one-stocks"]);
    assert!(!site.printed(&["status"]).contains("paused"));

    // A single run goes through the daemon, under its quotas and locks.
    let once = site.printed(&["once", "b2market-orders"]);
    assert_eq!(
        once,
        "b2market-orders: ok: 5 read, 5 written, 0 unchanged, 0 rejected, 0 removed, 2 requests\n"
    );
    let once = json(&site.printed(&["once", "b2market-orders", "--format", "json"]));
    assert_eq!((&once["outcome"], &once["counts"]["unchanged"]), (&"ok".into(), &1.into()));
    let runs = site.printed(&["history", "b2market-orders", "--format", "json"]);
    assert_eq!(runs.lines().count(), 2, "{runs}");
    drop(daemon);
}

/// The same commands with and without a daemon.
async fn watermarks_can_be_moved(site: &Site) {
    let mark = site.printed(&["watermark", "get", "b2market-orders"]);
    let list = site.printed(&["watermark", "list", "--format", "json"]);
    let orders = list.lines().find(|line| line.contains("\"b2market-orders\"")).unwrap();
    assert_eq!(json(orders)["watermark"], mark.trim());
    site.printed(&["watermark", "set", "b2market-orders", "2026-03-29T03:00:00+02:00"]);
    assert_eq!(site.printed(&["watermark", "get", "b2market-orders"]), "2026-03-29T01:00:00Z\n");
    let reset = site.cadenced(&["watermark", "reset", "b2market-orders"]);
    assert!(stderr(&reset).contains("it was 2026-03-29T01:00:00Z"), "{reset:?}");
    // What it was can be put back.
    let none = refused(&site.cadenced(&["watermark", "get", "b2market-orders"]));
    let before =
        ["before: 2026-03-29T01:00:00Z, since ".to_owned(), format!("before: {}, since ", mark.trim())];
    assert!(before.iter().all(|before| none.contains(before)), "{none}");
    let misread = site.cadenced(&["watermark", "set", "b2market-orders", "yesterday"]);
    assert_eq!(misread.status.code(), Some(64));
    let unknown = site.cadenced(&["watermark", "set", "b2market-order", "2026-03-29T03:00:00Z"]);
    assert!(
        !unknown.status.success() && stderr(&unknown).contains("did you mean `b2market-orders`?"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn watermarks_can_be_moved_with_and_without_a_daemon() {
    let site = Site::quiet().await;
    site.b2market.seed(5);
    assert_eq!(site.printed(&["once", "b2market-orders", "--format", "json"]).lines().count(), 1);
    watermarks_can_be_moved(&site).await;
    let daemon = site.service();
    site.printed(&["once", "b2market-orders"]);
    watermarks_can_be_moved(&site).await;
    let push = refused(&site.cadenced(&["watermark", "set", "one-stocks", "2026-03-29T03:00:00Z"]));
    assert!(push.contains("one-stocks keeps no watermark"), "{push}");

    // Not under a run's feet.
    let hold = site.b2market.wire.hold_next("/Order/");
    site.control().await.trigger("b2market-orders", Again::No, Wait::No).await.unwrap();
    hold.reached().await;
    let busy = refused(&site.cadenced(&["watermark", "reset", "b2market-orders"]));
    assert!(busy.contains("b2market-orders is running"), "{busy}");
    hold.release();
    drop(daemon);
}

#[tokio::test]
async fn rejects_can_be_looked_at_and_dropped_with_and_without_a_daemon() {
    let site = Site::quiet().await;
    site.stocks_as_they_are();
    for sku in ["A-00003", "A-00004", "A-00005"] {
        erp::set_stock(&site.erp, "W1", sku, -5000).await.unwrap();
    }
    let daemon = site.service();
    assert_eq!(site.cadenced(&["once", "one-stocks"]).status.code(), Some(2));
    let status = site.control().await.status().await.unwrap();
    let job = status.iter().find(|job| job.job.as_str() == "one-stocks").unwrap();
    assert_eq!(job.health.rejects, 3);
    one_reject_can_be_dropped(&site, "A-00003");
    drop(daemon);
    one_reject_can_be_dropped(&site, "A-00004");
    let left = site.printed(&["rejects", "list", "--format", "json"]);
    assert_eq!(json(&left)["key"], "W1\u{1f}A-00005");
    let dropped = site.cadenced(&["rejects", "drop", "one-stocks", "--all"]);
    assert_eq!(stderr(&dropped), "one-stocks: 1 reject dropped\n");
    assert_eq!(site.printed(&["rejects", "list"]), "");
    assert_eq!(site.printed(&["rejects", "list", "one-stocks"]), "");
    for command in
        [&["list", "one-stock"][..], &["retry", "one-stock", "--all"], &["drop", "one-stock", "--all"]]
    {
        let mistyped = site.cadenced(&[&["rejects"], command].concat());
        assert!(
            stderr(&mistyped).contains("there is no job `one-stock`; did you mean `one-stocks`?"),
            "{command:?}"
        );
        assert_eq!(mistyped.status.code(), Some(64));
    }
}

fn one_reject_can_be_dropped(site: &Site, sku: &str) {
    // As the table shows it, and as it can be typed.
    let key = format!("W1␟{sku}");
    let list = site.printed(&["rejects", "list", "one-stocks"]);
    assert!(list.contains(&key) && list.contains("quantity is below zero"), "{list}");
    let shown = json(&site.printed(&["rejects", "show", "one-stocks", &key]));
    assert_eq!(shown["content"], format!(r#"{{"id":"{sku}","sku":"{sku}","quantity":-5}}"#));
    site.printed(&["rejects", "drop", "one-stocks", &key]);
    refused(&site.cadenced(&["rejects", "drop", "one-stocks", &key]));
}

#[tokio::test]
async fn a_state_can_be_exported_while_the_daemon_runs_and_imported_elsewhere() {
    let site = Site::quiet().await;
    site.b2market.seed(5);
    let mut daemon = site.service();
    site.printed(&["trigger", "one-stocks", "--wait"]);
    site.printed(&["trigger", "b2market-orders", "--wait"]);
    let export = site.dir().join("export.jsonl");
    let export = export.to_str().unwrap();
    site.printed(&["state", "export", "--output", export]);
    let mark = site.printed(&["watermark", "get", "b2market-orders"]);
    let held = site.cadenced(&["state", "import", export]);
    assert!(!held.status.success() && stderr(&held).contains("held by process"), "{held:?}");
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));

    let elsewhere = site.dir().join("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    site.printed(&["--state", elsewhere, "state", "import", export]);
    assert_eq!(site.printed(&["--state", elsewhere, "watermark", "get", "b2market-orders"]), mark);
    let once = site.printed(&["--state", elsewhere, "once", "one-stocks"]);
    assert_eq!(once, "one-stocks: ok: 40 read, 0 written, 40 unchanged, 0 rejected, 0 removed, 0 requests\n");
    let there = refused(&site.cadenced(&["--state", elsewhere, "state", "import", export]));
    assert!(there.contains("--replace"), "{there}");
}

#[tokio::test]
async fn a_single_run_needs_no_daemon_and_its_exit_code_tells_its_outcome() {
    let site = Site::quiet().await;
    let ok = site.printed(&["once", "one-stocks"]);
    assert_eq!(ok, "one-stocks: ok: 40 read, 40 written, 0 unchanged, 0 rejected, 0 removed, 2 requests\n");
    site.stocks_as_they_are();
    erp::set_stock(&site.erp, "W1", "A-00001", -1).await.unwrap();
    assert_eq!(site.cadenced(&["once", "one-stocks"]).status.code(), Some(2));
    erp::set_stock(&site.erp, "W1", "A-00001", 1).await.unwrap();
    site.one.wire.fail_always("/stocks", cadenced::sandbox::Fault::status(401));
    let said = refused(&site.cadenced(&["once", "one-stocks"]));
    assert_eq!(said.matches("401: simulated failure").count(), 1, "a failure is told once: {said}");
    let unconfigured = refused(&site.cadenced(&["once", "unfinished"]));
    assert!(unconfigured.contains("its ends are still to be configured"), "{unconfigured}");
}

#[tokio::test]
async fn a_backfill_goes_on_beside_the_jobs_own_runs() {
    const JOB: &str = "b2market-orders";
    const STRETCH: [&str; 2] = ["2000-01-01T00:00:00+01:00", "2100-01-01T00:00:00Z"];
    let site = Site::quiet().await;
    site.b2market.seed(250);
    let daemon = site.service();
    site.printed(&["once", JOB]);
    let mark = site.printed(&["watermark", "get", JOB]);
    let said = site.printed(&["backfill", JOB, "--since", STRETCH[0], "--until", STRETCH[1]]);
    assert!(said.starts_with("b2market-orders: ok: 250 read"), "{said}");
    assert_eq!(site.printed(&["watermark", "get", JOB]), mark);

    let control = site.control().await;
    let backfill = || {
        let control = control.clone();
        tokio::spawn(async move { control.backfill(JOB, STRETCH[0], STRETCH[1], |_| {}).await })
    };
    // A run of the job comes between two of its pages.
    let hold = site.b2market.wire.hold_next("/Order/");
    let filling = backfill();
    hold.reached().await;
    let second = control.backfill(JOB, STRETCH[0], STRETCH[1], |_| {}).await.unwrap_err();
    assert!(second.to_string().contains("is being backfilled already"), "{second}");
    let live = control.trigger(JOB, Again::No, Wait::No).await.unwrap();
    let before = site.b2market.wire.count();
    hold.release();
    let (outcome, counts, _) = filling.await.unwrap().unwrap();
    assert_eq!((outcome, counts.read, counts.pages), (Outcome::Ok, 250, 3));
    assert!(site.b2market.wire.count() > before + 2, "both have asked");
    let ended = async || {
        loop {
            let runs = control.history(Some(JOB), 10).await.unwrap();
            if runs.iter().all(|run| run.outcome.is_some()) {
                return runs;
            }
        }
    };
    let runs = ended().await;
    assert!(runs.iter().any(|run| run.slot.at == live.slot && run.outcome == Some(Outcome::Ok)));

    // Once nobody listens it ends, and the next one goes on where it was.
    let hold = site.b2market.wire.hold_next("/Order/updatedFrom");
    let filling = backfill();
    hold.reached().await;
    filling.abort();
    assert!(filling.await.unwrap_err().is_cancelled());
    let runs = ended().await;
    hold.release();
    assert_eq!(runs[0].outcome, Some(Outcome::Interrupted));
    let said = site.printed(&["backfill", JOB, "--since", STRETCH[0], "--until", STRETCH[1]]);
    assert!(said.starts_with("b2market-orders: ok: "), "{said}");
    drop(daemon);
}
