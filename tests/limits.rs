//! What a platform allows is never exceeded, also across processes and their ends, and a run says what it sent.

use crate::support::{Daemon, Site, soon};
use cadenced::config::{self, Sources};
use cadenced::connection::ConnectionKind;
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;

const ORDERS: &str = "b2market-orders";

#[tokio::test]
async fn the_quota_of_a_day_is_kept_over_processes_and_a_kill() {
    let site = Site::quiet().await;
    site.schedule("[job.one-stocks]\nenabled = false\n[job.b2market-orders]\ncron = \"0 0 0 1 1 *\"\n[connection.b2market]\nquota = [\"3/day\"]\n");
    // A login and a page.
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    let daemon = Daemon::start(&site).await;
    let hold = site.b2market.wire.hold_next("/login");
    let control = site.control().await;
    control
        .trigger(ORDERS, cadenced::admin::control::Again::No, cadenced::admin::control::Wait::No)
        .await
        .unwrap();
    soon("the third request", hold.reached()).await;
    daemon.kill().await;
    hold.release();
    let ended = site.once(ORDERS).await;
    assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Failed, 0));
    assert!(ended.message.unwrap().contains("not sent: quota until "));
    assert_eq!(site.b2market.wire.count(), 3);
}

#[tokio::test]
async fn a_run_that_is_cut_off_counts_what_it_had_sent() {
    let site = Site::quiet().await;
    site.schedule("[job.b2market-orders]\ncron = \"0 0 0 1 1 *\"\ntimeout = \"1s\"\n");
    let hold = site.b2market.wire.hold_next("/Order/updatedFrom");
    let ended = site.once(ORDERS).await;
    hold.release();
    assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Failed, 2), "a login and a page");
}

#[tokio::test]
async fn a_connection_that_lets_nothing_through_is_shown_and_a_ping_opens_it_again() {
    let site = Site::quiet().await;
    let service = site.service();
    site.b2market.wire.fail_always("", Fault::status(503));
    let control = site.control().await;
    for _ in 0..2 {
        let (again, wait) = (cadenced::admin::control::Again::No, cadenced::admin::control::Wait::Yes);
        let run = control.trigger(ORDERS, again, wait).await.unwrap().run.unwrap();
        assert_eq!(run.outcome, Some(Outcome::Failed));
    }
    let of = async || {
        let all = control.connections().await.unwrap();
        all.into_iter().find(|(name, _)| name.as_str() == "b2market").unwrap().1
    };
    let shown = of().await;
    assert_eq!(shown.breaker, "open");
    assert!(shown.why.unwrap().contains("503") && shown.next_probe.is_some());
    let metrics = reqwest::get(format!("{}/metrics", service.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("cadenced_breaker_open{connection=\"b2market\"} 1"), "{metrics}");
    assert!(
        metrics.contains("cadenced_requests_total{connection=\"b2market\",status=\"503\"} 5"),
        "{metrics}"
    );
    let failed = control.ping("b2market").await.unwrap();
    assert!(!failed.ok, "{failed:?}");
    site.b2market.wire.heal();
    let ping = control.ping("b2market").await.unwrap();
    assert!(ping.ok, "{ping:?}");
    assert_eq!(of().await.breaker, "closed");
    assert!(control.ping("erp").await.unwrap().ok);
    assert!(control.ping("nowhere").await.is_err());
}

/// The document says what the program does without a key.
#[test]
fn the_documents_example_is_what_the_program_does_by_default() {
    let document = include_str!("../docs/limits.md");
    let example = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let load = |connection: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cadenced.toml");
        std::fs::write(&file, connection).unwrap();
        let loaded = config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        match loaded.connections.into_values().next().unwrap().kind {
            ConnectionKind::Rest(rest) => *rest,
            ConnectionKind::Sql(_) => panic!("a platform"),
        }
    };
    let shown = load(&format!("{example}url = \"https://one.example.com\"\n"));
    let default = load("[connection.one]\nurl = \"https://one.example.com\"\n");
    assert_eq!((shown.limits, shown.timeouts), (default.limits, default.timeouts));
    assert_eq!(shown.in_flight, default.in_flight);
    assert_eq!((shown.check.as_deref(), shown.quota.len()), (Some("/api/v1/me"), 3));
    assert!(shown.proxy.is_some() && default.proxy.is_none());
}
