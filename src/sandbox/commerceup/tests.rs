//! Promises of the simulated Commerceup, one for each rule of its contract, and of the shop that calls.

use super::super::Fault;
use super::*;
use axum::extract::Request;
use axum::http::StatusCode;
use reqwest::{Client, Method};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn shop(settings: &[&str]) -> Commerceup {
    let options = Options::default();
    for setting in settings {
        options.switches.set(setting).unwrap();
    }
    Commerceup::start(options).unwrap()
}

async fn post(shop: &Commerceup, endpoint: &str, body: &Value) -> (u16, Value) {
    let (name, key) = Platform::credentials(shop).remove(0);
    let request = Client::new().post(format!("{}/{endpoint}", shop.url())).header(name, key);
    let answer = request.json(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

fn broken(shop: &Commerceup) -> Vec<&'static str> {
    shop.wire.broken_rules().into_iter().map(|broken| broken.rule).collect()
}

fn list(lines: &[(&str, i64)]) -> Value {
    let lines = lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity}));
    json!({"inventory": lines.collect::<Vec<_>>()})
}

#[tokio::test]
async fn stock_is_set_alone_and_in_lists_and_added_to() {
    let shop = shop(&[]);
    let one = json!({"sku": "A-100", "quantity": 12});
    assert_eq!(post(&shop, "inventory", &one).await, (200, json!({"success": true})));
    assert_eq!(post(&shop, "bulkinventory", &list(&[("A-100", 7), ("A-101", 0)])).await.0, 200);
    assert_eq!(post(&shop, "bulkincrementinventory", &list(&[("A-100", -2), ("A-101", 5)])).await.0, 200);
    assert_eq!(shop.stock()["A-100"], Stock { quantity: 5, sets: 2, additions: 1 });
    assert_eq!(shop.quantities()["A-101"], 5);
    assert_eq!(broken(&shop), [""; 0]);
}

#[tokio::test]
async fn a_missing_key_is_401_and_another_project_404() {
    let shop = shop(&[]);
    let bare = Client::new().post(format!("{}/inventory", shop.url())).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    let (name, key) = Platform::credentials(&shop).remove(0);
    let other = Client::new().post(format!("{}/v1/other/inventory", shop.wire.url())).header(name, key);
    assert_eq!(other.json(&json!({})).send().await.unwrap().status(), 404);
    let get = Client::new().request(Method::GET, format!("{}/inventory", shop.url()));
    let get = get.header("x-api-key", Options::default().api_key).send().await.unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(post(&shop, "stock", &json!({})).await.0, 404);
    assert_eq!(broken(&shop), ["authorization", "project"]);
}

#[tokio::test]
async fn lines_need_a_sku_as_text_and_a_whole_quantity_and_a_refused_list_changes_nothing() {
    let shop = shop(&[]);
    let wrong = [
        (json!({"sku": 515, "quantity": 1}), "sku-text"),
        (json!({"sku": "", "quantity": 1}), "sku-text"),
        (json!({"sku": "A", "quantity": -1}), "quantity"),
        (json!({"sku": "A", "quantity": 1.5}), "quantity"),
        (json!({"sku": "A"}), "quantity"),
    ];
    for (line, rule) in wrong {
        assert_eq!(post(&shop, "inventory", &line).await.0, 400);
        let lines = json!({"inventory": [{"sku": "B", "quantity": 1}, line]});
        assert_eq!(post(&shop, "bulkinventory", &lines).await.0, 400);
        assert_eq!(broken(&shop).pop(), Some(rule));
    }
    assert_eq!(shop.stock(), BTreeMap::new());
    for body in [json!({}), json!({"inventory": []}), json!({"inventory": {}})] {
        assert_eq!(post(&shop, "bulkinventory", &body).await.0, 400);
    }
    assert_eq!(broken(&shop)[10..], ["body"; 3]);
    // Removing is what a delta may do.
    assert_eq!(post(&shop, "bulkincrementinventory", &list(&[("A", -1)])).await.0, 200);
}

#[tokio::test]
async fn a_list_that_is_too_long_is_413_and_a_sku_in_it_twice_is_noted() {
    let shop = shop(&["batch-limit=2"]);
    assert_eq!(post(&shop, "bulkinventory", &list(&[("A", 1), ("B", 1), ("C", 1)])).await.0, 413);
    assert_eq!(post(&shop, "bulkinventory", &list(&[("A", 1), ("A", 2)])).await.0, 200);
    assert_eq!(broken(&shop), ["batch-limit", "sku-twice"]);
    // As it comes, the limit is that of the contract.
    let lines: Vec<String> = (0..=500).map(|at| format!("A-{at}")).collect();
    let lines: Vec<(&str, i64)> = lines.iter().map(|sku| (sku.as_str(), 1)).collect();
    shop.switches.set("batch-limit=500").unwrap();
    assert_eq!(post(&shop, "bulkinventory", &list(&lines)).await.0, 413);
    assert_eq!(post(&shop, "bulkinventory", &list(&lines[1..])).await.0, 200);
}

#[tokio::test]
async fn an_unknown_sku_refuses_the_list_or_its_own_line() {
    let shop = shop(&[]);
    shop.forget_sku("B");
    let lines = list(&[("A", 1), ("B", 2)]);
    let refused = json!({"success": false, "message": "unknown sku B"});
    assert_eq!(post(&shop, "bulkinventory", &lines).await, (400, refused.clone()));
    shop.switches.set("unknown-sku=404").unwrap();
    assert_eq!(post(&shop, "bulkinventory", &lines).await, (404, refused));
    assert_eq!(shop.stock(), BTreeMap::new());
    shop.switches.set("line-results=true").unwrap();
    let (status, answer) = post(&shop, "bulkinventory", &lines).await;
    assert_eq!((status, &answer["results"][0]), (200, &json!({"sku": "A", "status": "ok"})));
    assert_eq!(answer["results"][1]["error"], json!("unknown sku B"));
    assert_eq!(shop.quantities(), [("A".to_owned(), 1)].into());
    shop.know_sku("B");
    post(&shop, "bulkinventory", &lines).await;
    assert_eq!(shop.quantities()["B"], 2);
    assert_eq!(broken(&shop), [""; 0]);
}

#[tokio::test]
async fn answers_may_be_empty_or_fail_with_200() {
    let shop = shop(&["answers=empty"]);
    assert_eq!(post(&shop, "bulkinventory", &list(&[("A", 1)])).await, (204, Value::Null));
    shop.switches.set("answers=false-in-200").unwrap();
    let (status, answer) = post(&shop, "bulkinventory", &list(&[("A", 2)])).await;
    assert_eq!((status, &answer["success"]), (200, &json!(false)));
    assert_eq!(shop.quantities()["A"], 1);
}

#[tokio::test]
async fn an_answer_that_is_lost_or_late_leaves_the_delta_applied() {
    let shop = shop(&[]);
    let send = || {
        let (name, key) = Platform::credentials(&shop).remove(0);
        let request = Client::new().post(format!("{}/bulkincrementinventory", shop.url()));
        request.header(name, key).json(&list(&[("A", 5)])).send()
    };
    shop.wire.fail_next(1, "bulkincrement", Fault::AnswerLost);
    assert!(send().await.is_err());
    assert_eq!(shop.quantities()["A"], 5);
    shop.wire.fail_next(1, "bulkincrement", Fault::AnswerLate(Duration::from_secs(3600)));
    let impatient = tokio::spawn(send());
    while shop.quantities()["A"] == 5 {
        tokio::task::yield_now().await;
    }
    impatient.abort();
    // Sent again, it is booked again.
    assert!(send().await.is_ok());
    assert_eq!((shop.quantities()["A"], shop.stock()["A"].additions), (15, 3));
}

#[tokio::test]
async fn products_are_linked_by_number_or_text() {
    let shop = shop(&[]);
    let products =
        json!({"products": [{"sku": "A-100", "remoteId": 90017}, {"sku": "A-101", "remoteId": "P-2"}]});
    assert_eq!(post(&shop, "bulklinkproduct", &products).await.0, 200);
    assert_eq!(post(&shop, "bulklinkproduct", &products).await.0, 200);
    let expected = [("A-100".to_owned(), json!(90017)), ("A-101".to_owned(), json!("P-2"))];
    assert_eq!(shop.links(), expected.into());
    for wrong in [json!(null), json!(""), json!(true)] {
        let products = json!({"products": [{"sku": "A-100", "remoteId": wrong}]});
        assert_eq!(post(&shop, "bulklinkproduct", &products).await.0, 400);
    }
    assert_eq!(broken(&shop), ["remote-id"; 3]);
}

#[tokio::test]
async fn an_orders_status_is_one_of_seven_words_and_goes_forward() {
    let shop = shop(&[]);
    let status =
        |order: &str, status: &str| json!({"orderId": order, "status": status, "items": [{"sku": "515"}]});
    for word in STATUSES {
        assert_eq!(post(&shop, "orderstatus", &status(word, word)).await.0, 200);
    }
    for word in ["in process", "Canceled", "Return requested", ""] {
        assert_eq!(post(&shop, "orderstatus", &status("1", word)).await.0, 400);
    }
    assert_eq!(broken(&shop), ["status-word"; 4]);
    for word in ["In Process", "Shipped", "Shipped", "Delivered", "Shipped"] {
        post(&shop, "orderstatus", &status("1000457", word)).await;
    }
    assert_eq!(broken(&shop)[4..], ["status-repeated", "status-backwards"]);
    assert_eq!(shop.statuses()["1000457"].len(), 5);
    let wrong = [
        json!({"status": "Shipped", "items": [{"sku": "515"}]}),
        json!({"orderId": 1, "status": "Shipped", "items": [{"sku": "515"}]}),
        json!({"orderId": "1", "status": "Shipped"}),
        json!({"orderId": "1", "status": "Shipped", "items": [{}]}),
    ];
    for wrong in wrong {
        assert_eq!(post(&shop, "orderstatus", &wrong).await.0, 400);
    }
    assert_eq!(broken(&shop)[6..], ["order-field"; 4]);
}

/// What the ERP's side was called with: method, path, headers, body.
type Heard = Arc<Mutex<Vec<(String, String, axum::http::HeaderMap, String)>>>;

/// An ERP's side that answers each call with the number it was.
async fn listener() -> (String, Heard) {
    let heard = Heard::default();
    let keep = Arc::clone(&heard);
    let routes = axum::Router::new().fallback(async move |request: Request| {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let mut all = lock(&keep);
        all.push((head.method.to_string(), head.uri.path().to_owned(), head.headers, body));
        (StatusCode::OK, [("retry-after", "7")], json!({"number": all.len()}).to_string())
    });
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", door.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(door, routes).await });
    (url, heard)
}

fn caller(url: &str, credentials: Credentials) -> Caller {
    Caller::new(url, credentials, Duration::from_secs(10)).unwrap()
}

#[tokio::test]
async fn the_shop_calls_with_either_method_and_every_kind_of_credentials() {
    let (url, heard) = listener().await;
    let pair = ("erp".to_owned(), "s:e".to_owned());
    let kinds = [
        (Credentials::None, "authorization", None),
        (Credentials::Headers(pair.0.clone(), pair.1.clone()), "password", Some("s:e")),
        (Credentials::Basic(pair.0, pair.1), "authorization", Some("Basic ZXJwOnM6ZQ==")),
        (Credentials::Bearer("t0ken".to_owned()), "authorization", Some("Bearer t0ken")),
    ];
    let call = Call::create_customer(&customers(1, 1)[0]);
    for (at, (credentials, header, expected)) in kinds.into_iter().enumerate() {
        let mut caller = caller(&url, credentials);
        let reply = caller.call(&call).await.unwrap();
        assert_eq!((reply.status, reply.json()), (200, json!({"number": 2 * at + 1})));
        assert_eq!(reply.retry_after.as_deref(), Some("7"));
        caller.verb = Verb::Get;
        caller.call(&call).await.unwrap();
        let heard = lock(&heard);
        let [(post, post_path, headers, body), (get, get_path, _, same)] = &heard[2 * at..] else { panic!() };
        assert_eq!((post.as_str(), post_path.as_str()), ("POST", "/createCustomer"));
        assert_eq!((get.as_str(), get_path.as_str()), ("GET", "/createcustomer"));
        assert_eq!(headers.get(header).map(|value| value.to_str().unwrap()), expected);
        assert_eq!((body, serde_json::from_str::<Value>(body).unwrap()), (same, call.body.clone()));
    }
}

#[tokio::test]
async fn bodies_are_json_or_xml() {
    let (url, heard) = listener().await;
    let mut caller = caller(&url, Credentials::None);
    caller.format = Format::Xml;
    let items = [json!({"sku": "5<1>5", "quantity": 1}), json!({"sku": "A&B", "quantity": 2})];
    caller.call(&Call::cancel_order("SO-88121", &items)).await.unwrap();
    caller.raw("createOrder", "text/plain", "{\"order\":").await.unwrap();
    let heard = lock(&heard);
    assert_eq!(heard[0].2["content-type"], "application/xml");
    let expected = "<cancelOrder><orderId>SO-88121</orderId><items><item><sku>5&lt;1&gt;5</sku>\
        <quantity>1</quantity></item><item><sku>A&amp;B</sku><quantity>2</quantity></item></items></cancelOrder>";
    assert_eq!(heard[0].3.lines().nth(1), Some(expected));
    assert_eq!((heard[1].1.as_str(), heard[1].3.as_str()), ("/createOrder", "{\"order\":"));
}

#[tokio::test]
async fn calls_are_made_at_once_and_again() {
    let (url, heard) = listener().await;
    let caller = caller(&url, Credentials::None);
    let orders = orders(3, 15, &["C-1", "C-2"]);
    let calls: Vec<Call> = orders.iter().map(Call::create_order).collect();
    let all = calls_with_repeats(3, &calls, 5);
    assert_eq!((all.len(), all == calls_with_repeats(3, &calls, 5)), (20, true));
    let times = |call: &Call| all.iter().filter(|other| *other == call).count();
    assert_eq!(calls.iter().map(times).filter(|times| *times == 2).count(), 5);
    let replies = caller.call_at_once(&all).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status == 200)));
    assert_eq!(lock(&heard).len(), 20);
    assert_eq!(caller.repeat(&calls[0], 3).await.len(), 3);
    let first = calls[0].body.to_string();
    assert_eq!(lock(&heard)[20..].iter().filter(|heard| heard.3 == first).count(), 3);
}

#[test]
fn orders_add_up_and_are_the_same_for_the_same_seed() {
    let cents = |value: &Value| value.to_string().replace('.', "").parse::<u64>().unwrap();
    for order in orders(5, 50, &["C-1"]) {
        let items = order["items"].as_array().unwrap();
        let sum: u64 =
            items.iter().map(|item| item["quantity"].as_u64().unwrap() * cents(&item["price"])).sum();
        assert_eq!(cents(&order["total"]), sum, "{order}");
    }
    assert_eq!(orders(5, 9, &["C-1"]), orders(5, 9, &["C-1"]));
    assert_ne!(orders(5, 9, &["C-1"]), orders(6, 9, &["C-1"]));
    assert_ne!(customers(5, 9), customers(6, 9));
}
