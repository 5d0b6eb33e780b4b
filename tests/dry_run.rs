//! `once --dry-run` shows what a run would send, sends nothing, writes nothing, and shows no secret.

use crate::support::{Site, json};
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::{erp, one};
use serde_json::Value;

/// Everything the daemon remembers, but for the header with the time of the export.
fn state(site: &Site) -> Vec<String> {
    site.printed(&["state", "export"]).lines().skip(1).map(str::to_owned).collect()
}

fn preview(site: &Site, job: &str) -> Value {
    json(&site.printed(&["once", job, "--dry-run", "--format", "json"]))
}

/// What the platforms have been asked so far.
fn asked(site: &Site) -> (usize, usize) {
    (site.one.wire.count(), site.b2market.wire.count())
}

#[tokio::test]
async fn a_push_is_shown_and_not_made() {
    let site = Site::quiet().await;
    let nothing_yet = preview(&site, "one-stocks");
    assert_eq!(nothing_yet["counts"]["new"], 40);
    assert!(!site.state().exists(), "a look creates no state");

    site.once("one-stocks").await;
    erp::set_stock(&site.erp, "W2", "A-00007", 1250).await.unwrap();
    erp::offer(&site.erp, "A-00005", false).await.unwrap();
    let (before, requests) = (state(&site), asked(&site));
    let shown = preview(&site, "one-stocks");
    let expected = json(
        r#"{"read":38,"new":0,"changed":1,"unchanged":37,"gone":0,"missing":2,"rejected":0,"waiting":0,"in_doubt":0}"#,
    );
    assert_eq!(shown["counts"], expected);
    let request = &shown["requests"][0];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["origin"], site.one.url());
    assert_eq!(request["path"], "/api/v1/stock/integrations/auth-required/warehouses/W2/stocks/incremental");
    assert_eq!(
        request["headers"],
        json(
            r#"{"accept":"application/json","apiauth":"[secret]","content-type":"application/json","one-tenant":"acme"}"#
        )
    );
    assert_eq!(
        request["body"],
        r#"{"stocks":[{"id":"A-00007","sku":"A-00007","quantity":1.25}],"stocksToRemove":[]}"#
    );
    assert_eq!((shown["requests"].as_array().unwrap().len(), &shown["more_requests"]), (1, &Value::from(0)));
    assert_eq!((state(&site), asked(&site)), (before, requests), "nothing was written, nothing was sent");

    let text = site.printed(&["once", "one-stocks", "--dry-run"]);
    assert!(
        text.starts_with(
            "one-stocks: 38 read: 0 new, 1 changed, 37 unchanged, 0 gone; 1 request would be sent\n"
        ),
        "{text}"
    );
    assert!(!text.contains(&one::Options::default().api_auth), "{text}");

    // The run that misses them a second time removes them, and the look before it says so.
    site.once("one-stocks").await;
    let shown = preview(&site, "one-stocks");
    assert_eq!((&shown["counts"]["gone"], &shown["counts"]["changed"]), (&Value::from(2), &Value::from(0)));
    assert_eq!(shown["requests"][1]["body"], r#"{"stocks":[],"stocksToRemove":["A-00005"]}"#);
    assert_eq!(site.one.counts().removals, 0);
    assert_eq!(site.once("one-stocks").await.counts.removed, 2);
}

#[tokio::test]
async fn a_long_request_is_whole_for_programs_and_cut_for_people() {
    let erp = erp::Size { warehouses: 1, articles: 500 };
    let site = Site::new(Setup { erp, ..Setup::default() }, "").await;
    let request = &preview(&site, "one-stocks")["requests"][0];
    let body = request["body"].as_str().unwrap();
    assert_eq!(json(body)["stocks"].as_array().unwrap().len(), 500);
    assert_eq!(request["body_bytes"], body.len());
    let text = site.printed(&["once", "one-stocks", "--dry-run"]);
    let left = body.len() - 4096;
    assert!(
        text.ends_with(&format!("{}… and {left} more bytes, which `--format json` shows\n", &body[..4096])),
        "{text}"
    );
}

#[tokio::test]
async fn what_would_be_looked_for_first_is_shown_as_well() {
    let verify = "verify = { get = \"/stocks/{sku}\", found-when = \"sku\", first = true }";
    let site = Site::quiet().await;
    site.schedule(&format!("[job.one-stocks.push]\n{verify}\n"));
    let shown = preview(&site, "one-stocks");
    assert_eq!((&shown["counts"]["new"], shown["requests"].as_array().unwrap().len()), (&Value::from(40), 2));
    assert_eq!(asked(&site), (0, 0));
}

#[tokio::test]
async fn a_run_that_would_stop_is_shown_to_stop() {
    let site = Site::quiet().await;
    site.once("one-stocks").await;
    sqlx::query("UPDATE articles SET web = 0 WHERE sku < 'A-00010'").execute(&site.erp).await.unwrap();
    let shown = preview(&site, "one-stocks");
    assert!(shown["stops"].as_str().unwrap().contains("max-gone"), "{shown}");
    assert_eq!(shown["requests"], json("[]"));
}

#[tokio::test]
async fn a_pull_is_shown_from_its_watermark() {
    let site = Site::quiet().await;
    let first = preview(&site, "b2market-orders");
    assert_eq!(
        first["requests"][0]["path"],
        "/api/Order/updatedFrom?date=1999-01-01%2001%3A00%3A00&page=1&pageSize=100"
    );
    assert_eq!(asked(&site), (0, 0), "not even a login");
    site.b2market.seed(5);
    site.once("b2market-orders").await;
    site.printed(&["watermark", "set", "b2market-orders", "2026-01-15T12:00:00Z"]);
    let (before, requests) = (state(&site), asked(&site));
    let shown = preview(&site, "b2market-orders");
    assert_eq!(
        shown["requests"][0]["path"],
        "/api/Order/updatedFrom?date=2026-01-15%2012%3A50%3A00&page=1&pageSize=100",
        "ten minutes before the watermark, in Madrid"
    );
    assert_eq!(shown["requests"][0]["headers"]["authorization"], "[secret]");
    assert_eq!((state(&site), asked(&site)), (before, requests));
}

#[tokio::test]
async fn a_running_daemon_shows_it_itself() {
    let site = Site::quiet().await;
    let _daemon = site.service();
    let (before, requests) = (state(&site), asked(&site));
    assert_eq!(preview(&site, "one-stocks")["counts"]["new"], 40);
    assert_eq!(preview(&site, "b2market-orders")["requests"].as_array().unwrap().len(), 1);
    assert_eq!((state(&site), asked(&site)), (before, requests));
    let refused = site.cadenced(&["once", "unfinished", "--dry-run"]);
    assert_eq!(refused.status.code(), Some(1));
}
