//! Warehouses and stocks.

use super::super::super::Fault;
use super::*;

const STOCKS: &str = "/api/v1/stock/integrations/auth-required/warehouses/{warehouse}/stocks";

fn path(warehouse: &str) -> String {
    format!("{}/incremental", STOCKS.replace("{warehouse}", warehouse))
}

fn post_to(one: &One, warehouse: &str) -> reqwest::RequestBuilder {
    let options = Options::default();
    let url = format!("{}{}", one.url(), path(warehouse));
    CLIENT.post(url).header("one-tenant", options.tenant).header("ApiAuth", options.api_auth)
}

async fn send(one: &One, warehouse: &str, body: &str) -> (u16, String) {
    let request = post_to(one, warehouse).header("content-type", "application/json");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn lines(count: usize) -> String {
    let lines: Vec<String> =
        (0..count).map(|at| format!(r#"{{"id":"S{at}","sku":"S{at}","quantity":{at}}}"#)).collect();
    format!(r#"{{"stocks":[{}]}}"#, lines.join(","))
}

#[tokio::test]
async fn lines_set_and_removals_drop_stocks_of_their_warehouse_only() {
    let one = one();
    let body = r#"{"stocks":[{"id":"A","sku":"A","quantity":14},{"id":"B","sku":"B","quantity":0.50}]}"#;
    assert_eq!(send(&one, "W1", body).await.0, 204);
    assert_eq!(send(&one, "W2", body).await.0, 204);
    let body = r#"{"stocks":[{"id":"A","sku":"A","quantity":2}],"stocksToRemove":["B","never-there"]}"#;
    assert_eq!(send(&one, "W1", body).await.0, 204);
    let key = |warehouse: &str, id: &str| (warehouse.to_owned(), id.to_owned());
    let expected = [(key("W1", "A"), "2"), (key("W2", "A"), "14"), (key("W2", "B"), "0.50")];
    assert_eq!(one.quantities(), expected.map(|(key, quantity)| (key, quantity.to_owned())).into());
    assert_eq!(one.counts(), Counts { requests: 3, lines: 5, removals: 2, largest: 3 });
    assert_eq!(one.stocks()[&key("W1", "A")].writes, 2);

    let options = Options::default();
    let url = format!("{}{}", one.url(), STOCKS.replace("{warehouse}", "W2"));
    let list = CLIENT.get(url).header("one-tenant", options.tenant).header("ApiAuth", options.api_auth);
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    let second = json!({"id": "B", "sku": "B", "quantity": serde_json::from_str::<Value>("0.50").unwrap()});
    assert_eq!(list[1], second);
}

#[tokio::test]
async fn missing_headers_are_401_and_wrong_ones_403() {
    let one = one();
    let bare = CLIENT.post(format!("{}{}", one.url(), path("W1")));
    assert_eq!(bare.try_clone().unwrap().send().await.unwrap().status(), 401);
    let half = bare.try_clone().unwrap().header("one-tenant", "acme");
    assert_eq!(half.send().await.unwrap().status(), 401);
    let wrong = bare.header("one-tenant", "acme").header("ApiAuth", "guess");
    assert_eq!(wrong.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn ten_thousand_lines_are_taken_and_one_more_is_refused() {
    let one = one();
    assert_eq!(send(&one, "W1", &lines(10_000)).await.0, 204);
    assert_eq!(send(&one, "W1", &lines(10_001)).await.0, 400);
    let with_removal = lines(10_000).replace("]}", r#"],"stocksToRemove":["X"]}"#);
    assert_eq!(send(&one, "W1", &with_removal).await.0, 400);
    assert_eq!(one.counts().largest, 10_000);
}

#[tokio::test]
async fn an_unknown_warehouse_is_404() {
    let one = one();
    assert_eq!(send(&one, "W9", &lines(1)).await.0, 404);
    one.add_warehouse("W9");
    assert_eq!(send(&one, "W9", &lines(1)).await.0, 204);
    one.remove_warehouse("W9");
    assert_eq!(send(&one, "W9", &lines(1)).await.0, 404);
}

#[tokio::test]
async fn a_bad_line_is_named_and_refuses_the_whole_request() {
    let one = one();
    let good = r#"{"id":"A","sku":"A","quantity":1}"#;
    for (bad, named) in [
        (r#"{"sku":"B","quantity":1}"#, "stocks[1].id"),
        (r#"{"id":"B","quantity":1}"#, "stocks[1].sku"),
        (r#"{"id":7,"sku":"B","quantity":1}"#, "stocks[1].id"),
        (r#"{"id":"B","sku":"B"}"#, "stocks[1].quantity"),
        (r#"{"id":"B","sku":"B","quantity":"1"}"#, "stocks[1].quantity"),
        (r#"{"id":"B","sku":"B","quantity":null}"#, "stocks[1].quantity"),
        (r#"{"id":"B","sku":"B","quantity":-0.01}"#, "stocks[1].quantity"),
    ] {
        let (status, text) = send(&one, "W1", &format!(r#"{{"stocks":[{good},{bad}]}}"#)).await;
        assert_eq!(status, 400, "{bad}");
        assert!(text.contains(named), "{bad}: {text}");
    }
    for body in ["", "[]", "{}", r#"{"stocks":{}}"#, r#"{"stocks":[],"stocksToRemove":[1]}"#] {
        assert_eq!(send(&one, "W1", body).await.0, 400, "{body}");
    }
    assert_eq!(post_to(&one, "W1").body(lines(1)).send().await.unwrap().status(), 415);
    assert!(one.stocks().is_empty());
}

#[tokio::test]
async fn a_refused_article_fails_its_request_until_it_is_accepted() {
    let one = One::start(Options { names_lines: false, ..Options::default() }).unwrap();
    one.refuse_sku("S1");
    let (status, text) = send(&one, "W1", &lines(3)).await;
    assert_eq!((status, text.contains("S1")), (400, false));
    one.accept_sku("S1");
    assert_eq!(send(&one, "W1", &lines(3)).await.0, 204);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_stocks_applied_and_a_reset_does_not() {
    let one = one();
    one.wire.fail_next(1, "/stocks/", Fault::Reset);
    one.wire.fail_next(1, "/stocks/", Fault::AnswerLost);
    let request = || post_to(&one, "W1").header("content-type", "application/json").body(lines(2));
    assert!(request().send().await.is_err());
    assert!(one.stocks().is_empty());
    assert!(request().send().await.is_err());
    assert_eq!(one.stocks().len(), 2);
    assert!(one.wire.requests().iter().all(|request| request.status.is_none()));
}

#[tokio::test]
async fn a_hook_runs_between_the_effect_and_the_answer() {
    let one = one();
    let (tell, told) = tokio::sync::oneshot::channel();
    one.after_stocks(2, move |one| tell.send(one.counts().requests).unwrap());
    send(&one, "W1", &lines(1)).await;
    send(&one, "W1", &lines(1)).await;
    assert_eq!(told.await.unwrap(), 2);
}

#[tokio::test]
async fn warehouses_are_kept_as_sent_and_take_stocks() {
    let one = one();
    let path = at("account", "warehouses");
    let central = json!({
        "id": "WAW1", "type": "CENTRAL", "name": "Warsaw", "reservation": true, "reservationTime": 4,
        "shippingTime": 24, "supported": true, "pickupPoint": false, "address": {"city": "Warszawa", "zip": "00-001"},
    });
    let local = json!({"id": "WAW2", "type": "LOCAL", "parent": "WAW1"});
    assert_eq!(put(&one, &path, json!([central, local])).await.0, 204);
    assert_eq!(put(&one, &path, json!({"id": "KRK", "type": "CENTRAL"})).await.0, 204);
    let records = one.records();
    assert_eq!((&records.warehouses["WAW1"], &records.warehouses["WAW2"]), (&central, &local));
    assert_eq!(send(&one, "KRK", &lines(1)).await.0, 204);
    assert_eq!(broken(&one), [""; 0]);
    refuses(
        &one,
        "PUT",
        &path,
        &json!([central]),
        &[
            ("/0/id", Value::Null, "field-missing"),
            ("/0/type", json!("REGIONAL"), "field-type"),
            ("/0/supported", json!("yes"), "field-type"),
            ("/0/reservationTime", Value::Null, "reservation-time"),
            ("/0/reservationTime", json!("4"), "field-type"),
        ],
    )
    .await;
    refuses(&one, "PUT", &path, &json!([local]), &[("/0/parent", json!("NONE"), "warehouse-parent")]).await;
    let local_first = json!([{"id": "L", "type": "LOCAL", "parent": "C"}, {"id": "C", "type": "CENTRAL"}]);
    assert_eq!(put(&one, &path, local_first).await.0, 400);
}

#[tokio::test]
async fn a_replacement_drops_what_it_does_not_name() {
    let one = one();
    assert_eq!(send(&one, "W1", &lines(3)).await.0, 204);
    let body = json!({"stocks": [{"id": "S1", "sku": "S1", "quantity": 7}]});
    assert_eq!(put(&one, &STOCKS.replace("{warehouse}", "W1"), body).await.0, 204);
    let key = ("W1".to_owned(), "S1".to_owned());
    assert_eq!(one.quantities(), [(key, "7".to_owned())].into());
    let all = get(&one, &at("stock", "stocks?warehouses=W1,W2&skus=S1")).await.1;
    assert_eq!(all, json!([{"id": "S1", "sku": "S1", "quantity": 7, "warehouse": "W1"}]));
}

#[tokio::test]
async fn differences_are_added_where_the_switch_says_so() {
    let one = one();
    one.switches.set("stock-quantity=delta").unwrap();
    let line = |quantity: &str| format!(r#"{{"stocks":[{{"id":"A","sku":"A","quantity":{quantity}}}]}}"#);
    for quantity in ["1.5", "-2", "10.25"] {
        assert_eq!(send(&one, "W1", &line(quantity)).await.0, 204);
    }
    assert_eq!(one.quantities()[&("W1".to_owned(), "A".to_owned())], "9.75");
}

#[tokio::test]
async fn contradicting_lines_are_noted() {
    let one = one();
    let line = r#"{"id":"A","sku":"A","quantity":1}"#;
    let body = format!(r#"{{"stocks":[{line},{line}],"stocksToRemove":["A"]}}"#);
    assert_eq!(send(&one, "W1", &body).await.0, 204);
    assert_eq!(broken(&one), ["stock-set-and-removed", "stock-set-and-removed", "stock-twice"]);
    let typo = r#"{"stocks":[{"id":"B","sku":"B","quantity":1,"qty":1}]}"#;
    assert_eq!(send(&one, "W1", typo).await.0, 204);
    assert_eq!(broken(&one).last(), Some(&"field-unknown"));
}

#[tokio::test]
async fn too_many_lines_are_413_where_the_switch_says_so() {
    let one = One::start(Options { most_lines: 2, ..Options::default() }).unwrap();
    one.switches.set("too-many-lines=413").unwrap();
    assert_eq!(send(&one, "W1", &lines(2)).await.0, 204);
    assert_eq!(send(&one, "W1", &lines(3)).await.0, 413);
    assert_eq!(broken(&one), ["too-many-lines"]);
}
