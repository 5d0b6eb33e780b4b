//! Promises of the simulated ONe, asked for by plain requests.

mod clients;
mod documents;
mod orders;
mod prices;
mod stocks;

use super::*;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;
use std::sync::LazyLock;

/// Keeps no connections: each test has a runtime of its own.
static CLIENT: LazyLock<Client> =
    LazyLock::new(|| Client::builder().pool_max_idle_per_host(0).build().unwrap());

/// Where a domain's endpoints are.
fn at(domain: &str, rest: &str) -> String {
    format!("/api/v1/{domain}/integrations/auth-required/{rest}")
}

fn one() -> One {
    One::start(Options::default()).unwrap()
}

fn request(one: &One, method: &str, path: &str) -> RequestBuilder {
    let method: Method = method.parse().unwrap();
    let mut request = CLIENT.request(method, format!("{}{path}", one.url()));
    for (name, value) in one.credentials() {
        request = request.header(name, value);
    }
    request
}

/// The status, and the body as JSON; null, if it is none.
async fn call(one: &One, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = request(one, method, path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
}

async fn get(one: &One, path: &str) -> (u16, Value) {
    call(one, "GET", path, None).await
}

async fn put(one: &One, path: &str, body: Value) -> (u16, Value) {
    call(one, "PUT", path, Some(body)).await
}

async fn post(one: &One, path: &str, body: Value) -> (u16, Value) {
    call(one, "POST", path, Some(body)).await
}

/// The names of the rules that were broken since the start.
fn broken(one: &One) -> Vec<&'static str> {
    one.wire.broken_rules().iter().map(|broken| broken.rule).collect()
}

/// A document with one field, given by a JSON pointer, changed; null takes it away.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(parent), Value::Null) => drop(parent.shift_remove(field)),
        (parent, value) => parent[field] = value,
    }
    document
}

/// Sends good documents with one thing wrong each: each is refused with 400 for its rule, and none is kept.
async fn refuses(one: &One, method: &str, path: &str, good: &Value, wrong: &[(&str, Value, &str)]) {
    for (pointer, value, rule) in wrong {
        let before = broken(one).len();
        let (status, answer) = call(one, method, path, Some(with(good, pointer, value.clone()))).await;
        assert_eq!((status, &broken(one)[before..]), (400, &[*rule][..]), "{pointer} = {value}: {answer}");
    }
}

/// An id as it is written in a path.
fn encoded(id: &str) -> String {
    id.replace('/', "%2F").replace(':', "%3A")
}

#[tokio::test]
async fn every_call_needs_both_headers() {
    let one = one();
    for path in
        [at("account", "clients"), at("pricing", "main-catalog-id"), at("orders", "synchronization/order")]
    {
        let bare = CLIENT.get(format!("{}{path}", one.url()));
        assert_eq!(bare.send().await.unwrap().status(), 401);
    }
    assert_eq!(broken(&one), ["header-missing"; 3]);
    assert_eq!(one.wire.broken_rules()[1].call, format!("GET {}", at("pricing", "main-catalog-id")));
    assert_eq!(one.wire.broken_rules()[1].request, 1);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_broken_rule() {
    let one = one();
    assert_eq!(get(&one, &at("account", "customers")).await.0, 404);
    assert_eq!(get(&one, "/api/v2/clients").await.0, 404);
    assert_eq!(broken(&one), ["no-such-endpoint"; 2]);
}

#[tokio::test]
async fn an_accepted_write_is_answered_as_the_switch_says() {
    let one = one();
    let body = json!([{"price": 1, "productId": "A"}]);
    let mut answers = Vec::new();
    for success in ["none", "json", "text"] {
        one.switches.set(&format!("success-body={success}")).unwrap();
        let answer = request(&one, "PUT", &at("pricing", "retail-prices")).json(&body).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    let expected = [(204, ""), (200, r#"{"success":true}"#), (200, "OK")];
    assert_eq!(answers, expected.map(|(status, text)| (status, text.to_owned())));
}

#[tokio::test]
async fn a_fault_hits_every_so_many_requests_until_it_is_healed() {
    let one = one();
    let fault: super::super::PlannedFault = "503:3:/clients".parse().unwrap();
    one.wire.fail_every(fault.every, &fault.path, fault.fault);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(&one, &at("account", "clients?pageNumber=1&pageSize=1")).await.0);
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
    for bad in ["", "700", "sometimes", "500:0", "500:x"] {
        assert!(bad.parse::<super::super::PlannedFault>().is_err(), "{bad}");
    }
}
