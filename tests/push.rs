//! A push sends what changed and nothing else, and one refused record, warehouse or login costs only itself.

use crate::support::Site;
use cadenced::run::{Counts, Outcome};
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::{Fault, erp, one};

const JOB: &str = "one-stocks";

async fn all_equal(site: &Site) {
    assert_eq!(site.one.quantities(), erp::quantities(&site.erp).await.unwrap());
}

#[tokio::test]
async fn only_what_changed_is_sent_by_warehouse() {
    let site = Site::quiet().await;
    let first = site.once(JOB).await;
    let all = Counts { read: 40, written: 40, requests: 2, ..Counts::default() };
    assert_eq!((first.outcome, first.message, first.counts), (Outcome::Ok, None, all));
    all_equal(&site).await;
    let paths: Vec<String> = site.one.wire.requests().iter().map(|request| request.path.clone()).collect();
    let path = |warehouse: &str| {
        format!("/api/v1/stock/integrations/auth-required/warehouses/{warehouse}/stocks/incremental")
    };
    assert_eq!(paths, [path("W1"), path("W2")]);

    let second = site.once(JOB).await;
    let none = Counts { read: 40, unchanged: 40, ..Counts::default() };
    assert_eq!((second.outcome, second.counts), (Outcome::Ok, none));
    assert_eq!(site.one.wire.count(), 2, "nothing changed: nothing is asked");

    erp::set_stock(&site.erp, "W2", "A-00007", 1250).await.unwrap();
    let third = site.once(JOB).await;
    assert_eq!((third.counts.written, third.counts.requests), (1, 1));
    assert_eq!(site.one.counts(), one::Counts { requests: 3, lines: 41, removals: 0, largest: 20 });
    assert_eq!(site.one.quantities()[&("W2".to_owned(), "A-00007".to_owned())], "1.25");
    all_equal(&site).await;
}

#[tokio::test]
async fn a_value_that_went_and_came_back_between_two_runs_is_not_sent() {
    let site = Site::quiet().await;
    site.once(JOB).await;
    let before = erp::quantities(&site.erp).await.unwrap();
    erp::set_stock(&site.erp, "W1", "A-00001", 9_000_000).await.unwrap();
    assert_eq!(site.once(JOB).await.counts.written, 1);
    let quantity: i64 = before[&("W1".to_owned(), "A-00001".to_owned())].parse().unwrap();
    erp::set_stock(&site.erp, "W1", "A-00001", quantity * 1000).await.unwrap();
    assert_eq!(site.once(JOB).await.counts.written, 1, "back to an earlier value is a change");
    all_equal(&site).await;
    assert_eq!(site.once(JOB).await.counts.requests, 0);
}

#[tokio::test]
async fn one_bad_line_is_one_reject_and_is_sent_again_when_it_changes() {
    let site = Site::quiet().await;
    site.stocks_as_they_are();
    erp::set_stock(&site.erp, "W1", "A-00003", -5000).await.unwrap();
    let first = site.once(JOB).await;
    assert_eq!((first.outcome, first.counts.written, first.counts.rejected), (Outcome::Partial, 39, 1));
    assert_eq!(
        first.message.as_deref(),
        Some("one-stocks: 1 of 40 records was refused; see: cadenced rejects list one-stocks")
    );
    let rejects = site.rejects(JOB).await;
    let [reject] = rejects.as_slice() else { panic!("{rejects:?}") };
    assert_eq!(reject.key, "W1\u{1f}A-00003");
    assert!(reject.reason.contains("quantity is below zero"), "{}", reject.reason);
    assert_eq!(reject.content, r#"{"id":"A-00003","sku":"A-00003","quantity":-5}"#);

    let requests = site.one.wire.count();
    let second = site.once(JOB).await;
    assert_eq!((second.outcome, site.one.wire.count()), (Outcome::Ok, requests), "it is not sent again");
    assert_eq!(site.rejects(JOB).await.len(), 1, "and still kept");

    erp::set_stock(&site.erp, "W1", "A-00003", 5000).await.unwrap();
    let third = site.once(JOB).await;
    assert_eq!((third.outcome, third.counts.written), (Outcome::Ok, 1));
    assert!(site.rejects(JOB).await.is_empty(), "accepting a key clears its reject");
    all_equal(&site).await;
}

#[tokio::test]
async fn what_two_reads_miss_is_removed_once() {
    let site = Site::quiet().await;
    site.once(JOB).await;
    erp::offer(&site.erp, "A-00005", false).await.unwrap();
    let missed = site.once(JOB).await;
    assert_eq!((missed.outcome, missed.counts.requests), (Outcome::Ok, 0), "one read proves nothing");
    let removed = site.once(JOB).await;
    assert_eq!((removed.outcome, removed.counts.removed), (Outcome::Ok, 2));
    assert_eq!(site.one.counts().removals, 2, "one in each warehouse");
    all_equal(&site).await;
    assert_eq!(site.once(JOB).await.counts.requests, 0, "once");

    erp::offer(&site.erp, "A-00005", true).await.unwrap();
    assert_eq!(site.once(JOB).await.counts.written, 2, "and it may come back");
    all_equal(&site).await;
}

#[tokio::test]
async fn what_goes_while_another_comes_is_removed_all_the_same() {
    let site = Site::quiet().await;
    erp::offer(&site.erp, "A-00007", false).await.unwrap();
    site.once(JOB).await;
    erp::offer(&site.erp, "A-00005", false).await.unwrap();
    erp::offer(&site.erp, "A-00007", true).await.unwrap();
    let (first, second) = (site.once(JOB).await.counts, site.once(JOB).await.counts);
    assert_eq!(((first.written, first.removed), (second.written, second.removed)), ((2, 0), (0, 2)));
    all_equal(&site).await;
}

#[tokio::test]
async fn what_one_read_misses_and_the_next_has_is_not_removed() {
    let site = Site::quiet().await;
    site.once(JOB).await;
    for _ in 0..2 {
        erp::offer(&site.erp, "A-00005", false).await.unwrap();
        site.once(JOB).await;
        erp::offer(&site.erp, "A-00005", true).await.unwrap();
        site.once(JOB).await;
    }
    assert_eq!(site.one.counts().removals, 0);
    all_equal(&site).await;
}

#[tokio::test]
async fn an_empty_view_removes_nothing() {
    let site = Site::quiet().await;
    site.once(JOB).await;
    let before = site.one.quantities();
    sqlx::query("UPDATE articles SET web = 0").execute(&site.erp).await.unwrap();
    for _ in 0..3 {
        let ended = site.once(JOB).await;
        assert_eq!((ended.outcome, ended.counts), (Outcome::Partial, Counts::default()));
        assert!(ended.message.unwrap().contains("gave no rows at all"), "the run says why");
    }
    assert_eq!(site.one.quantities(), before);
    sqlx::query("UPDATE articles SET web = 1").execute(&site.erp).await.unwrap();
    assert_eq!(site.once(JOB).await.counts.unchanged, 40);
}

#[tokio::test]
async fn too_much_gone_at_once_stops_the_run() {
    let site = Site::quiet().await;
    site.once(JOB).await;
    let before = site.one.quantities();
    for article in 1..=3 {
        erp::offer(&site.erp, &format!("A-{article:05}"), false).await.unwrap();
    }
    for _ in 0..3 {
        let ended = site.once(JOB).await;
        let message = ended.message.unwrap_or_default();
        assert_eq!(ended.outcome, Outcome::Failed);
        assert!(
            message.contains("one-stocks: 6 of 40 known records") && message.contains("max-gone"),
            "{message}"
        );
    }
    assert_eq!(site.one.quantities(), before);
}

#[tokio::test]
async fn an_unknown_warehouse_costs_only_its_own_lines() {
    let site = Site::quiet().await;
    site.one.remove_warehouse("W2");
    let ended = site.once(JOB).await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 20, 20));
    let rejects = site.rejects(JOB).await;
    assert!(rejects.iter().all(|reject| reject.key.starts_with("W2")), "{rejects:?}");
    assert!(rejects[0].reason.contains("404: unknown warehouse `W2`"), "{}", rejects[0].reason);
    let mut expected = erp::quantities(&site.erp).await.unwrap();
    expected.retain(|(warehouse, _), _| warehouse == "W1");
    assert_eq!(site.one.quantities(), expected);
}

#[tokio::test]
async fn a_refused_login_marks_nothing_as_delivered() {
    let site = Site::quiet().await;
    site.one.wire.fail_always("/stocks", Fault::status(401));
    let ended = site.once(JOB).await;
    let message = ended.message.unwrap();
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Failed, 0));
    assert!(
        message.starts_with("one-stocks: POST /api/v1/stock/") && message.contains("401: simulated failure"),
        "{message}"
    );
    assert_eq!(site.one.wire.count(), 1, "nobody is asked twice whether he has changed his mind");
    assert!(site.rejects(JOB).await.is_empty());
    site.one.wire.heal();
    assert_eq!(site.once(JOB).await.counts.written, 40);
    all_equal(&site).await;
}

#[tokio::test]
async fn headers_prove_who_sends() {
    let site = Site::quiet().await;
    std::fs::write(site.dir().join("one-api-auth"), "0000").unwrap();
    let ended = site.once(JOB).await;
    let message = ended.message.unwrap();
    assert_eq!(ended.outcome, Outcome::Failed);
    assert!(message.contains("403: `ApiAuth` is wrong"), "{message}");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let site = Site::quiet().await;
    site.one.wire.fail_next(3, "/W1/stocks", Fault::AnswerLost);
    let ended = site.once(JOB).await;
    assert_eq!(ended.outcome, Outcome::Failed);
    // Applied there, not known here: both warehouses are sent.
    let again = site.once(JOB).await;
    assert_eq!((again.outcome, again.counts.written), (Outcome::Ok, 40));
    all_equal(&site).await;
}

#[tokio::test]
async fn stocks_go_in_full_requests_then_exactly_what_changed_then_nothing() {
    const STOCKS: u64 = 100_000;
    const WAREHOUSES: u32 = 5;
    let lines = 10_000;
    let erp = erp::Size { warehouses: WAREHOUSES, articles: STOCKS as u32 / WAREHOUSES };
    let schedule = format!("[job.{JOB}]\ncron = \"0 0 0 1 1 *\"\n");
    let site = Site::new(Setup { erp, ..Setup::default() }, &schedule).await;
    let first = site.once(JOB).await;
    assert_eq!((first.outcome, first.counts.requests), (Outcome::Ok, 10));
    let all = one::Counts { requests: 10, lines: 10 * lines, removals: 0, largest: lines };
    assert_eq!(site.one.counts(), all, "ten full requests");
    all_equal(&site).await;

    let changed = STOCKS / 100;
    sqlx::query("UPDATE stock_levels SET thousandths = thousandths + 1000 WHERE rowid % 100 = 7")
        .execute(&site.erp)
        .await
        .unwrap();
    let second = site.once(JOB).await;
    assert_eq!((second.outcome, second.counts.written), (Outcome::Ok, changed));
    assert_eq!(site.one.counts().lines, all.lines + changed as usize, "the changed lines and no other");
    all_equal(&site).await;

    let requests = site.one.wire.count();
    assert_eq!(site.once(JOB).await.counts.unchanged, STOCKS);
    assert_eq!(site.one.wire.count(), requests, "nothing changed: nothing is asked");
}
