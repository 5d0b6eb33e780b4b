//! Whatever a platform answers, a pull loses no record, delivers each as it was written, and says what was wrong.

use crate::support::Site;
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

const JOB: &str = "b2market-orders";
const ORDERS: usize = 250;

/// A page cannot be had, first the first and then a later one: the run fails and says why, the watermark stays, and the
/// next run gets everything.
async fn nothing_is_lost_to(fault: Fault, times: usize, words: &str) {
    let site = Site::quiet().await;
    site.b2market.seed(ORDERS);
    assert_eq!(site.once(JOB).await.outcome, Outcome::Ok);
    let mut mark = site.watermark(JOB).await.unwrap();
    for page in [1, 2] {
        site.b2market.touch(ORDERS);
        site.b2market.wire.clock().advance(Duration::from_secs(300));
        let fault = fault.clone();
        if page == 1 {
            site.b2market.wire.fail_next(times, "/Order/updatedFrom", fault);
        } else {
            let fail = move |b2market: &cadenced::sandbox::B2Market| {
                b2market.wire.fail_next(times, "/Order/updatedFrom", fault);
            };
            site.b2market.after_page(page - 1, fail);
        }
        let failed = site.once(JOB).await;
        let message = failed.message.unwrap();
        assert_eq!(failed.outcome, Outcome::Failed, "page {page}: {message}");
        let where_ = format!("{JOB}: GET /Order/updatedFrom, page {page}: ");
        assert!(message.starts_with(&where_) && message.contains(words), "page {page}: {message}");
        assert_eq!(site.b2market.wire.faults_left(), 0);
        assert_eq!(site.watermark(JOB).await, Some(mark), "the watermark stays");

        let next = site.once(JOB).await;
        assert_eq!((next.outcome, next.message), (Outcome::Ok, None));
        assert_eq!(site.differences().await, [] as [&str; 0]);
        let moved = site.watermark(JOB).await.unwrap();
        assert!(moved > mark, "{moved} {mark}");
        mark = moved;
    }
    assert!(site.rejects(JOB).await.is_empty());
}

#[tokio::test]
async fn nothing_is_lost_to_a_page_that_is_not_json() {
    nothing_is_lost_to(Fault::ok_with("certainly {not json"), 1, "JSON").await;
}

#[tokio::test]
async fn nothing_is_lost_to_an_html_page_with_status_200() {
    nothing_is_lost_to(Fault::html(), 1, "Down for maintenance").await;
}

#[tokio::test]
async fn nothing_is_lost_to_an_error_with_status_200() {
    nothing_is_lost_to(Fault::error_in_ok(), 1, "simulated failure").await;
}

#[tokio::test]
async fn nothing_is_lost_to_an_answer_without_data() {
    nothing_is_lost_to(Fault::missing_data(), 1, "`data`").await;
}

#[tokio::test]
async fn nothing_is_lost_to_a_body_cut_short() {
    nothing_is_lost_to(Fault::Truncated, 3, "body").await;
}

#[tokio::test]
async fn nothing_is_lost_to_server_errors() {
    nothing_is_lost_to(Fault::status(500), 3, "500: simulated failure").await;
}

#[tokio::test]
async fn nothing_is_lost_to_a_reset_connection() {
    nothing_is_lost_to(Fault::Reset, 3, "http://127.0.0.1").await;
}

#[tokio::test]
async fn nothing_is_lost_to_too_many_requests() {
    nothing_is_lost_to(Fault::too_many_requests("0"), 3, "429").await;
}

#[tokio::test]
async fn one_server_error_is_not_even_noticed() {
    let site = Site::quiet().await;
    site.b2market.seed(ORDERS);
    site.b2market.wire.fail_next(1, "/Order/updatedFrom", Fault::status(502));
    let ended = site.once(JOB).await;
    assert_eq!((ended.outcome, ended.message), (Outcome::Ok, None));
    assert_eq!(ended.counts.requests, 5, "a login, three pages, one of them twice");
}

#[tokio::test]
async fn a_row_without_its_key_is_a_reject_and_its_neighbours_go_through() {
    let site = Site::quiet().await;
    let hour_ago = site.b2market.wire.clock().now() - TimeDelta::hours(1);
    site.b2market.seed_between(2, hour_ago - TimeDelta::hours(1), hour_ago - TimeDelta::hours(1));
    let keyless = r#"{"reference":"WEB-17","updatedAt":"2026-01-01 00:00:00"}"#;
    let bad = site.b2market.insert_raw(hour_ago, keyless);
    site.b2market.seed_between(2, hour_ago, hour_ago);

    let ended = site.once(JOB).await;
    assert_eq!(ended.outcome, Outcome::Partial);
    assert_eq!(
        ended.message.as_deref(),
        Some("b2market-orders: 1 of 5 records was refused; see: cadenced rejects list b2market-orders")
    );
    let rejects = site.rejects(JOB).await;
    let [reject] = rejects.as_slice() else { panic!("{rejects:?}") };
    assert_eq!(reject.key, "row 3 of page 1");
    assert_eq!(reject.reason, "the row has no `id`, which is its key");
    assert_eq!(reject.content, keyless);
    let differences = site.differences().await;
    assert_eq!(differences, [format!("order {bad}: not in the ERP")], "the other four are there");
    assert!(site.watermark(JOB).await.is_some(), "a reject holds no watermark back");
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_costs_one_login_and_the_same_page_again() {
    let site = Site::quiet().await;
    site.b2market.seed(ORDERS);
    site.b2market.after_page(1, |b2market| b2market.expire_tokens());
    let ended = site.once(JOB).await;
    assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Ok, 6));
    assert_eq!(site.differences().await, [] as [&str; 0]);
    let asked: Vec<String> = site
        .b2market
        .wire
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.param("page").unwrap_or("login"), request.status.unwrap()))
        .collect();
    assert_eq!(asked, ["login 200", "1 200", "2 403", "login 200", "2 200", "3 200"]);
}

#[tokio::test]
async fn a_403_that_stays_costs_one_login_and_is_not_hammered() {
    let site = Site::quiet().await;
    site.b2market.seed(ORDERS);
    site.b2market.wire.fail_always("/Order/", Fault::status(403));
    let ended = site.once(JOB).await;
    assert_eq!(ended.outcome, Outcome::Failed);
    let message = ended.message.unwrap();
    assert!(message.contains("page 1: 403: simulated failure; a fresh login changed nothing"), "{message}");
    assert_eq!(site.b2market.wire.count(), 4, "a login and the page, twice");
    assert_eq!(site.watermark(JOB).await, None);
}

#[tokio::test]
async fn orders_dated_anew_during_the_walk_are_not_missed() {
    let site = Site::quiet().await;
    site.b2market.seed(10_000);
    site.b2market.after_page(5, |b2market| drop(b2market.redate_some(500)));
    let first = site.once(JOB).await;
    assert!(first.outcome.went_through(), "{first:?}");
    site.b2market.wire.clock().advance(Duration::from_secs(300));
    let second = site.once(JOB).await;
    assert_eq!(second.outcome, Outcome::Ok);
    assert_eq!(site.differences().await, [] as [&str; 0]);
}

#[tokio::test]
async fn an_order_from_the_future_is_delivered_and_does_not_drag_the_watermark() {
    let site = Site::quiet().await;
    site.b2market.seed(5);
    let ahead = site.b2market.future_dated(Duration::from_secs(2 * 3600));
    assert_eq!(site.once(JOB).await.outcome, Outcome::Ok);
    assert_eq!(site.differences().await, [] as [&str; 0]);
    let mark = DateTime::<Utc>::from_timestamp_millis(site.watermark(JOB).await.unwrap()).unwrap();
    assert!(mark <= site.b2market.wire.clock().now(), "{mark}");

    // An edit gives it an older date than it had: it is delivered all the same, and so is what came after.
    site.b2market.edit(&ahead);
    site.b2market.insert(1);
    site.b2market.wire.clock().advance(Duration::from_secs(300));
    assert_eq!(site.once(JOB).await.outcome, Outcome::Ok);
    assert_eq!(site.differences().await, [] as [&str; 0]);
}

#[tokio::test]
async fn decimals_arrive_digit_for_digit() {
    let site = Site::quiet().await;
    let at = site.b2market.wire.clock().now() - TimeDelta::hours(1);
    let amounts =
        ["1e2", "2E-7", "10.10", "0.1000000000000000055511151231257827", "12345678901234567890.01", "-0.00"];
    for (id, amount) in amounts.iter().enumerate() {
        let row = format!(r#"{{"id":"{id}","totalAmount":{amount},"updatedAt":"2026-01-01 00:00:00"}}"#);
        site.b2market.insert_raw(at, &row);
    }
    assert_eq!(site.once(JOB).await.outcome, Outcome::Ok);
    let stored: Vec<(String,)> = sqlx::query_as(r#"SELECT "totalAmount" FROM b2market_orders ORDER BY id"#)
        .fetch_all(&site.erp)
        .await
        .unwrap();
    let stored: Vec<&str> = stored.iter().map(|(amount,)| amount.as_str()).collect();
    assert_eq!(stored, amounts);
}
