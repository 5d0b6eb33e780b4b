//! Promises of the simulated Eryxon, one for each rule of its contract.

use super::*;
use chrono::TimeZone as _;
use reqwest::{Client, Method};
use serde_json::json;
use std::time::Duration;

mod generation_a;
mod generation_b;
mod refusals;

fn eryxon(settings: &[&str]) -> Eryxon {
    let options = Options::default();
    for setting in settings {
        options.switches.set(setting).unwrap();
    }
    Eryxon::start(options).unwrap()
}

async fn try_send(
    eryxon: &Eryxon,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> reqwest::Response {
    let mut request = Client::new().request(method, format!("{}{path}", eryxon.url()));
    if let Some(key) = key {
        request = request.header("authorization", key);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    request.send().await.unwrap()
}

async fn send(eryxon: &Eryxon, method: Method, path: &str, body: &str) -> (u16, Value) {
    let key = Platform::credentials(eryxon).remove(0).1;
    let answer = try_send(eryxon, method, path, Some(&key), body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn put(eryxon: &Eryxon, entity: &str, record: Value) -> (u16, Value) {
    send(eryxon, Method::PUT, &format!("/api-{entity}/sync"), &record.to_string()).await
}

async fn bulk(eryxon: &Eryxon, entity: &str, records: &[Value]) -> (u16, Value) {
    let body = json!({entity: records}).to_string();
    send(eryxon, Method::POST, &format!("/api-{entity}/bulk-sync"), &body).await
}

async fn get(eryxon: &Eryxon, path: &str) -> Value {
    let (status, mut answer) = send(eryxon, Method::GET, path, "").await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].take()
}

fn broken(eryxon: &Eryxon) -> Vec<&'static str> {
    eryxon.wire.broken_rules().into_iter().map(|broken| broken.rule).collect()
}

fn job(number: usize) -> Value {
    json!({"external_id": format!("SO-{number}"), "external_source": "ACME", "job_number": number.to_string()})
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_default()
}

fn stored(eryxon: &Eryxon, entity: Entity, external_id: &str) -> Value {
    let key = ("ACME".to_owned(), external_id.to_owned());
    eryxon.records(entity).remove(&key).unwrap_or_default()
}

#[test]
fn equal_seeds_make_equal_samples_and_others_do_not() {
    let made = |seed| format!("{:?}", sample(seed, "ACME", Size::default()));
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
}

#[tokio::test]
async fn a_single_sync_says_created_or_updated_in_the_form_of_its_generation() {
    let a = eryxon(&[]);
    let (status, answer) = put(&a, "jobs", job(1)).await;
    assert_eq!((status, &answer["data"]["action"]), (201, &json!("created")));
    assert_eq!(answer["data"]["job"]["external_id"], json!("SO-1"));
    assert_eq!(put(&a, "jobs", job(1)).await.0, 200);
    a.switches.set("answers=seed").unwrap();
    let (_, answer) = put(&a, "jobs", job(1)).await;
    let id = stored(&a, Entity::Jobs, "SO-1")["id"].clone();
    assert_eq!(answer["data"], json!({"action": "updated", "id": id, "external_id": "SO-1"}));
    let b = eryxon(&["generation=B"]);
    let (status, answer) = put(&b, "jobs", job(1)).await;
    assert_eq!((status, &answer["data"]["job"]["job_number"]), (201, &json!("1")));
}

#[tokio::test]
async fn a_version_without_routes_takes_them_for_plain_creates_and_updates() {
    let eryxon = eryxon(&["version-without-routes=true", "generation=B"]);
    let part = json!({"external_id": "P", "external_source": "ACME"});
    let (status, answer) = bulk(&eryxon, "parts", std::slice::from_ref(&part)).await;
    assert_eq!((status, message(&answer)), (400, "part_number is required"));
    let (status, answer) = bulk(&eryxon, "operations", std::slice::from_ref(&part)).await;
    assert_eq!(status, 500);
    assert!(message(&answer).starts_with("Failed to create operations: "), "{answer}");
    for entity in ["parts", "operations"] {
        let (status, answer) = put(&eryxon, entity, part.clone()).await;
        assert_eq!((status, message(&answer)), (400, "ID parameter is required for updates"));
    }
    assert_eq!(bulk(&eryxon, "jobs", &[job(1)]).await.0, 200);
}

#[tokio::test]
async fn a_soft_deleted_id_stays_taken_and_is_no_longer_found() {
    let a = eryxon(&[]);
    put(&a, "jobs", job(1)).await;
    a.soft_delete(Entity::Jobs, "ACME", "SO-1");
    let (_, answer) = bulk(&a, "jobs", &[job(1)]).await;
    assert_eq!(answer["data"]["results"][0]["action"], json!("error"));
    assert_eq!(put(&a, "jobs", job(1)).await.0, 500);
    let b = eryxon(&["generation=B"]);
    put(&b, "jobs", job(1)).await;
    let id = stored(&b, Entity::Jobs, "SO-1")["id"].as_str().unwrap().to_owned();
    assert_eq!(send(&b, Method::DELETE, &format!("/api-jobs?id={id}"), "").await.0, 200);
    let (_, answer) = bulk(&b, "jobs", &[job(1)]).await;
    assert_eq!((&answer["data"]["results"]["created"], b.len(Entity::Jobs)), (&json!(1), 0));
    let (_, answer) = put(&b, "jobs", job(1)).await;
    assert!(message(&answer).starts_with("Failed to sync jobs: duplicate key"), "{answer}");
    assert_eq!(send(&b, Method::GET, &format!("/api-jobs?id={id}"), "").await.0, 404);
    // Generation A deletes for good.
    put(&a, "jobs", job(2)).await;
    let id = stored(&a, Entity::Jobs, "SO-2")["id"].as_str().unwrap().to_owned();
    send(&a, Method::DELETE, &format!("/api-jobs?id={id}"), "").await;
    assert_eq!(put(&a, "jobs", job(2)).await.0, 201);
}

#[tokio::test]
async fn another_spelling_of_the_source_is_another_record() {
    let eryxon = eryxon(&[]);
    let cell = |source: &str| json!({"external_id": "C", "external_source": source, "name": "Laser"});
    put(&eryxon, "cells", cell("ACME")).await;
    assert_eq!(put(&eryxon, "cells", cell("acme")).await.0, 201);
    assert_eq!((eryxon.len(Entity::Cells), broken(&eryxon)), (2, vec!["source-spelling"]));
}

#[tokio::test]
async fn lists_read_back_pages_and_filters_without_external_ids() {
    let eryxon = eryxon(&[]);
    eryxon.fill(&sample(1, "ACME", Size { jobs: 120, ..Size::default() }));
    let page = get(&eryxon, "/api-jobs").await;
    assert_eq!(page["pagination"], json!({"total": 120, "offset": 0, "limit": 100}));
    assert_eq!(page["jobs"][0]["job_number"], json!("7120"));
    let page = get(&eryxon, "/api-jobs?limit=50&offset=100&order=asc").await;
    assert_eq!(page["jobs"].as_array().unwrap().len(), 20);
    assert_eq!(page["jobs"][0]["job_number"], json!("7101"));
    assert!(page["jobs"][0].get("external_id").is_none());
    let page = get(&eryxon, "/api-jobs?job_number=711").await;
    assert_eq!(page["pagination"]["total"], json!(10));
    let job = stored(&eryxon, Entity::Jobs, "SO-7110")["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&eryxon, &format!("/api-parts?job_id={job}")).await["pagination"]["total"], json!(3));
    let page = get(&eryxon, "/api-resources?external_id=R-3&external_source=ACME").await;
    assert_eq!(page["resources"][0]["external_id"], json!("R-3"));
    assert_eq!(get(&eryxon, &format!("/api-jobs?id={job}")).await["job"]["job_number"], json!("7110"));
    assert_eq!(broken(&eryxon), [""; 0]);
    assert_eq!(get(&eryxon, "/api-jobs?limit=5000").await["pagination"]["limit"], json!(1000));
    assert_eq!(broken(&eryxon), ["page-size"]);
}
