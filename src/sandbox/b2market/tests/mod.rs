//! Promises of the simulated B2Market.

mod creating;

use super::super::{Clock, Fault, WireOptions};
use super::*;
use chrono::TimeZone;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use std::collections::BTreeSet;

const EPOCH: &str = "1999-01-01 01:00:00";

/// A caller with a token.
struct Caller {
    market: B2Market,
    client: Client,
    token: String,
}

impl Caller {
    async fn of(market: &B2Market) -> Self {
        let client = Client::new();
        let token = login(&client, market, "b2m-secret").await.json::<Value>().await.unwrap();
        let token = token["token"].as_str().unwrap().to_owned();
        Self { market: market.clone(), client, token }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Response {
        self.try_get(path, query).await.unwrap()
    }

    async fn try_get(&self, path: &str, query: &[(&str, &str)]) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.market.url());
        self.client.get(url).query(query).bearer_auth(&self.token).send().await
    }

    async fn page(&self, date: &str, page: usize, size: usize) -> Value {
        let (page, size) = (page.to_string(), size.to_string());
        let query = [("date", date), ("page", &page), ("pageSize", &size)];
        let answer = self.get("/Order/updatedFrom", &query).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

async fn login(client: &Client, market: &B2Market, password: &str) -> Response {
    let body = json!({"_username": "erp", "_password": password});
    client.post(format!("{}/login", market.url())).json(&body).send().await.unwrap()
}

fn market() -> B2Market {
    B2Market::start(Options::default()).unwrap()
}

fn standing_at(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> Options {
    let at = Utc.with_ymd_and_hms(year, month, day, hour, minute, 0).unwrap();
    Options {
        wire: WireOptions { clock: Clock::standing(at), ..WireOptions::default() },
        ..Options::default()
    }
}

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_token_tells_its_lifetime_and_a_wrong_password_gets_none() {
    use base64::Engine;
    let market = market();
    let caller = Caller::of(&market).await;
    let payload = caller.token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["exp"].as_i64().unwrap() - payload["iat"].as_i64().unwrap(), 7200);
    assert_eq!(payload["roles"]["GET"], json!(true));
    assert_eq!(login(&caller.client, &market, "wrong").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_missing_false_or_expired_token_is_answered_with_403() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let mut caller = Caller::of(&market).await;
    let query = [("date", EPOCH)];
    assert_eq!(caller.get("/Order/updatedFrom", &query).await.status(), StatusCode::OK);
    market.wire.clock().advance(Duration::from_secs(7199));
    assert_eq!(caller.get("/Order/updatedFrom", &query).await.status(), StatusCode::OK);
    market.wire.clock().advance(Duration::from_secs(1));
    assert_eq!(caller.get("/Order/updatedFrom", &query).await.status(), StatusCode::FORBIDDEN);
    caller = Caller::of(&market).await;
    assert_eq!(caller.get("/Order/getOrder", &[]).await.status(), StatusCode::OK);
    market.expire_tokens();
    assert_eq!(caller.get("/Order/getOrder", &[]).await.status(), StatusCode::FORBIDDEN);
    caller.token = "a.b.c".to_owned();
    assert_eq!(caller.get("/Order/getOrder", &[]).await.status(), StatusCode::FORBIDDEN);
    let without = caller.client.get(format!("{}/Order/getOrder", market.url())).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_missing_or_misspelt_date_or_page_is_refused() {
    let caller = Caller::of(&market()).await;
    for query in [
        vec![],
        vec![("date", "2026-03-02")],
        vec![("date", "2026-3-2 1:00:00")],
        vec![("date", "2026-03-02T10:00:00")],
        vec![("date", "2026-02-30 10:00:00")],
        vec![("date", EPOCH), ("page", "0")],
        vec![("date", EPOCH), ("pageSize", "many")],
    ] {
        let answer = caller.get("/Order/updatedFrom", &query).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query:?}");
    }
    assert_eq!(caller.get("/order/updatedfrom", &[("date", EPOCH)]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_follow_each_other_and_hold_every_order_once() {
    let market = market();
    let seeded = market.seed(23);
    let caller = Caller::of(&market).await;
    let default = caller.get("/Order/updatedFrom", &[("date", EPOCH)]).await.json::<Value>().await.unwrap();
    let mut pagination = default["pagination"].clone();
    let next = pagination["nextPageUrl"].take();
    assert_eq!(next, json!("/api/Order/updatedFrom?date=1999-01-01%2001:00:00&page=2"));
    let expected = json!(
        {"totalItems": 23, "itemsPerPage": 10, "currentPage": 1, "totalPages": 3, "nextPageUrl": null}
    );
    assert_eq!(pagination, expected);

    let mut walked = Vec::new();
    for page in 1..=3 {
        walked.extend(ids(&caller.page(EPOCH, page, 10).await));
    }
    assert_eq!(walked, seeded);
    let last = caller.page(EPOCH, 3, 10).await;
    assert_eq!((ids(&last).len(), &last["pagination"]["nextPageUrl"]), (3, &Value::Null));
    assert!(ids(&caller.page(EPOCH, 4, 10).await).is_empty());
}

#[tokio::test]
async fn a_page_is_never_larger_than_the_platform_allows() {
    let market = market();
    market.seed(150);
    let caller = Caller::of(&market).await;
    assert_eq!(ids(&caller.page(EPOCH, 1, 500).await).len(), 100);
    market.set_max_page_size(7);
    let page = caller.page(EPOCH, 1, 500).await;
    assert_eq!((ids(&page).len(), &page["pagination"]["itemsPerPage"]), (7, &json!(7)));
}

#[tokio::test]
async fn the_lower_bound_is_inclusive_and_read_on_the_platforms_wall_clock() {
    // 09:00 UTC is 10:00 in Madrid in winter.
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let id = market.insert(1);
    let caller = Caller::of(&market).await;
    let page = caller.page("2026-03-02 10:00:00", 1, 10).await;
    assert_eq!(ids(&page), id);
    assert_eq!(page["data"][0]["updatedAt"], json!("2026-03-02 10:00:00"));
    assert!(ids(&caller.page("2026-03-02 10:00:01", 1, 10).await).is_empty());
}

#[tokio::test]
async fn the_date_header_shows_the_platforms_clock() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let answer = Caller::of(&market).await.get("/Order/getOrder", &[]).await;
    assert_eq!(answer.headers()["date"], "Mon, 02 Mar 2026 09:00:00 GMT");
}

#[tokio::test]
async fn in_the_repeated_hour_later_rows_may_sort_before_earlier_ones() {
    // 00:30 UTC reads 02:30 in summer time; half an hour and five minutes later it reads 02:05 again.
    let market = B2Market::start(standing_at(2026, 10, 25, 0, 30)).unwrap();
    let first = market.insert(1);
    market.wire.clock().advance(Duration::from_secs(35 * 60));
    let second = market.insert(1);
    let caller = Caller::of(&market).await;
    assert_eq!(ids(&caller.page("2026-10-25 02:00:00", 1, 10).await), [second, first.clone()].concat());
    assert_eq!(ids(&caller.page("2026-10-25 02:10:00", 1, 10).await), first);
}

#[tokio::test]
async fn rows_are_sorted_as_the_switch_says() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let seeded = market.seed(3);
    market.redate(&seeded[0]);
    let caller = Caller::of(&market).await;
    for (sort, expected) in [
        (Sort::UpdatedAscending, ["2", "3", "1"]),
        (Sort::UpdatedDescending, ["1", "3", "2"]),
        (Sort::Id, ["1", "2", "3"]),
    ] {
        market.set_sort(sort);
        assert_eq!(ids(&caller.page(EPOCH, 1, 10).await), expected, "{sort:?}");
    }
}

#[tokio::test]
async fn the_status_filter_hides_the_other_orders() {
    let market = market();
    market.seed(40);
    let shipped: BTreeSet<String> = market
        .orders()
        .into_iter()
        .filter(|(_, order)| order["status"] == "Shipped")
        .map(|(id, _)| id)
        .collect();
    let caller = Caller::of(&market).await;
    let query = [("date", EPOCH), ("pageSize", "100"), ("status[]", "Shipped")];
    let page: Value = caller.get("/Order/updatedFrom", &query).await.json().await.unwrap();
    assert!(!shipped.is_empty() && shipped.len() < 40);
    assert_eq!(ids(&page).into_iter().collect::<BTreeSet<_>>(), shipped);
}

#[tokio::test]
async fn one_order_is_found_by_its_id_and_an_unknown_one_is_gone_in_either_way() {
    let market = market();
    market.seed(3);
    let caller = Caller::of(&market).await;
    let found: Value = caller.get("/Order/getOrder", &[("id", "2")]).await.json().await.unwrap();
    assert_eq!(found["data"][0], market.orders()["2"]);
    let gone: Value = caller.get("/Order/getOrder", &[("id", "id")]).await.json().await.unwrap();
    assert_eq!(gone["data"], json!([]));
    let strict = B2Market::start(Options { unknown_id_is_404: true, ..Options::default() }).unwrap();
    let answer = Caller::of(&strict).await.get("/Order/getOrder", &[("id", "9")]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[test]
fn orders_have_every_documented_field_and_sums_that_add_up() {
    let market = market();
    market.seed(200);
    let orders = market.orders();
    let fields = "id idRemote reference numOrder company client agent status season shippingAddress billingAddress \
        discount lines dateOrder dateModified dateDelivery observation grossAmount baseAmount shippingAmount \
        taxAmount taxrecAmount totalAmount totalQuantity quantityServed quantityPending shipper origin isSale active \
        createdBy updatedBy createdAt updatedAt";
    let cents = |value: &Value| {
        let text = value.as_number().unwrap().to_string();
        let (whole, decimals) = text.split_once('.').unwrap();
        assert_eq!(decimals.len(), 2, "{text}");
        whole.parse::<i64>().unwrap() * 100 + decimals.parse::<i64>().unwrap()
    };
    let mut size = 0;
    for order in orders.values() {
        let names: Vec<&str> = order.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, fields.split_whitespace().collect::<Vec<_>>());
        let parts = ["baseAmount", "shippingAmount", "taxAmount", "taxrecAmount"];
        assert_eq!(parts.iter().map(|part| cents(&order[part])).sum::<i64>(), cents(&order["totalAmount"]));
        let line = &order["lines"][0];
        let details = line["lineDetail"].as_array().unwrap();
        let pieces: i64 = details.iter().map(|detail| detail["quantity"].as_i64().unwrap()).sum();
        assert_eq!(line["quantity"], json!(pieces));
        let worth =
            details.iter().map(|detail| detail["quantity"].as_i64().unwrap() * cents(&detail["price"]));
        assert_eq!(worth.sum::<i64>(), cents(&order["grossAmount"]));
        size += order.to_string().len();
    }
    let average = size / orders.len();
    assert!((1100..=1600).contains(&average), "{average}");
}

#[test]
fn equal_seeds_make_equal_orders_and_others_do_not() {
    let with_seed = |seed| {
        let market = B2Market::start(Options { seed, ..standing_at(2026, 3, 2, 9, 0) }).unwrap();
        market.seed(20);
        market.touch(5);
        market.orders()
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}

#[test]
fn an_edit_taken_back_leaves_the_old_content_with_a_new_date() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let id = market.insert(1).remove(0);
    let content = || {
        let mut order = market.orders().remove(&id).unwrap();
        let dates = ["updatedAt", "dateModified"]
            .map(|name| order.as_object_mut().unwrap().shift_remove(name).unwrap().to_string());
        (order, dates)
    };
    let (first, first_dates) = content();
    market.wire.clock().advance(Duration::from_secs(5));
    market.edit(&id);
    let (second, second_dates) = content();
    assert_ne!(first, second);
    market.wire.clock().advance(Duration::from_secs(5));
    market.undo(&id);
    let (third, third_dates) = content();
    assert_eq!(first, third);
    assert!(first_dates < second_dates && second_dates < third_dates);
    market.wire.clock().advance(Duration::from_secs(5));
    market.edit(&id);
    assert!(!market.roll_back(&id, Duration::from_secs(4)));
    assert!(market.roll_back(&id, Duration::from_secs(5)));
    assert_eq!(content(), (third, third_dates));
    market.withdraw(&id);
    assert_eq!(content().0["active"], json!(false));
    market.remove(&id);
    assert!(market.is_empty());
}

#[tokio::test]
async fn a_late_commit_appears_behind_what_was_read_already() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    let read = market.insert(1);
    let caller = Caller::of(&market).await;
    assert_eq!(ids(&caller.page(EPOCH, 1, 10).await), read);
    let late = market.late_commit(Duration::from_secs(60));
    let future = market.future_dated(Duration::from_secs(3600));
    let page = caller.page(EPOCH, 1, 10).await;
    assert_eq!(ids(&page), [late, read[0].clone(), future]);
    assert_eq!(page["data"][2]["updatedAt"], json!("2026-03-02 11:00:00"));
}

#[tokio::test]
async fn a_hook_changes_the_orders_between_two_pages() {
    let market = market();
    market.seed(20);
    let caller = Caller::of(&market).await;
    market.after_page(1, |market| {
        market.redate("1");
        market.expire_tokens();
    });
    assert_eq!(ids(&caller.page(EPOCH, 1, 10).await)[0], "1");
    let expired = caller.get("/Order/updatedFrom", &[("date", EPOCH), ("page", "2")]).await;
    assert_eq!(expired.status(), StatusCode::FORBIDDEN);
    let caller = Caller::of(&market).await;
    let second = ids(&caller.page(EPOCH, 2, 10).await);
    assert_eq!((second.first().unwrap().as_str(), second.last().unwrap().as_str()), ("12", "1"));
}

#[tokio::test]
async fn totals_lie_as_the_switch_says() {
    let market = market();
    market.seed(10);
    let caller = Caller::of(&market).await;
    market.set_totals(Totals::OneTooHigh);
    let page = caller.page(EPOCH, 1, 10).await;
    assert_eq!(page["pagination"]["totalItems"], json!(11));
    assert_eq!(page["pagination"]["totalPages"], json!(2));
    market.set_totals(Totals::Missing);
    let page = caller.page(EPOCH, 1, 10).await;
    assert_eq!(page["pagination"]["totalPages"], Value::Null);
    assert_eq!(page["pagination"]["currentPage"], json!(1));
}

#[tokio::test]
async fn a_raw_row_is_served_as_it_is() {
    let market = market();
    market.insert_raw(market.wire.clock().now(), r#"{"id":null,"totalAmount":0.10}"#);
    let caller = Caller::of(&market).await;
    let answer = caller.get("/Order/updatedFrom", &[("date", EPOCH)]).await.text().await.unwrap();
    assert!(answer.starts_with(r#"{"data":[{"id":null,"totalAmount":0.10}],"#), "{answer}");
}

#[tokio::test]
async fn planned_faults_meet_the_requests_they_were_planned_for() {
    let market = market();
    market.seed(30);
    let caller = Caller::of(&market).await;
    let get = || caller.try_get("/Order/updatedFrom", &[("date", EPOCH)]);
    market.wire.fail_next(1, "/Order/", Fault::status(500));
    market.wire.fail_next(1, "/Order/", Fault::too_many_requests("7"));
    market.wire.fail_next(1, "/Order/", Fault::Reset);
    market.wire.fail_next(1, "/Order/", Fault::Truncated);
    market.wire.fail_next(1, "/Order/", Fault::missing_data());
    // A login in between meets none of them.
    assert_eq!(login(&caller.client, &market, "b2m-secret").await.status(), StatusCode::OK);
    assert_eq!(get().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let answer = get().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
    );
    assert!(get().await.is_err());
    let truncated = get().await.unwrap();
    assert_eq!(truncated.status(), StatusCode::OK);
    assert!(truncated.text().await.is_err());
    assert!(get().await.unwrap().json::<Value>().await.unwrap().get("data").is_none());
    assert_eq!(market.wire.faults_left(), 0);
    assert!(get().await.unwrap().json::<Value>().await.unwrap().get("data").is_some());
    market.wire.fail_always("", Fault::html());
    assert!(get().await.unwrap().text().await.unwrap().contains("<html>"));
    market.wire.heal();
    assert_eq!(get().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_held_request_waits_until_it_is_released() {
    let market = market();
    let caller = Caller::of(&market).await;
    let hold = market.wire.hold_next("/Order/");
    let asked = tokio::spawn(async move { caller.page(EPOCH, 1, 10).await });
    hold.reached().await;
    assert_eq!(market.wire.requests().last().unwrap().status, None);
    // What happens meanwhile is in the answer.
    let id = market.insert(1);
    hold.release();
    assert_eq!(ids(&asked.await.unwrap()), id);
}

#[tokio::test]
async fn the_log_keeps_what_was_asked_and_answered() {
    let market = market();
    let caller = Caller::of(&market).await;
    caller.page("2026-03-02 10:00:00", 3, 50).await;
    market.wire.wait_until(|log| log.len() == 2 && log.iter().all(|request| request.status.is_some())).await;
    let log = market.wire.requests();
    assert_eq!((log[0].method.as_str(), log[0].path.as_str()), ("POST", "/api/login"));
    assert_eq!(log[1].param("date"), Some("2026-03-02 10:00:00"));
    assert_eq!((log[1].param("page"), log[1].status), (Some("3"), Some(200)));
    assert_eq!((market.wire.count(), market.wire.count_of("/Order/")), (2, 1));
}

#[tokio::test]
async fn one_request_too_many_in_a_window_is_a_violation_and_refused_if_enforced() {
    let wire = WireOptions {
        quotas: vec![(3, Duration::from_secs(3600))],
        enforce_quotas: true,
        ..WireOptions::default()
    };
    let market = B2Market::start(Options { wire, ..Options::default() }).unwrap();
    let caller = Caller::of(&market).await;
    caller.page(EPOCH, 1, 10).await;
    caller.page(EPOCH, 1, 10).await;
    assert_eq!(market.wire.violations(), []);
    let refused = caller.get("/Order/getOrder", &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    let violations = market.wire.violations();
    assert_eq!((violations.len(), violations[0].request, violations[0].allowed), (1, 3, 3));
}

#[tokio::test]
async fn it_stops_for_everybody_and_keeps_its_orders_readable() {
    let market = market();
    market.seed(2);
    let caller = Caller::of(&market).await;
    market.clone().stop();
    assert!(caller.try_get("/Order/getOrder", &[]).await.is_err());
    assert_eq!(market.orders().len(), 2);
}
