//! Promises of the simulated Eryxon, one for each rule of its contract.

use super::*;
use chrono::TimeZone as _;
use reqwest::{Client, Method};
use serde_json::json;
use std::time::Duration;

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

#[tokio::test]
async fn generation_a_stores_a_sample_in_order_and_answers_for_each_record() {
    let eryxon = eryxon(&[]);
    let sample = sample(7, "ACME", Size::default());
    for entity in Entity::ALL {
        let records = sample.of(entity);
        let (status, answer) = bulk(&eryxon, entity.plural(), records).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)));
        let data = &answer["data"];
        assert_eq!((&data["total"], &data["created"]), (&json!(records.len()), &json!(records.len())));
        let results = data["results"].as_array().unwrap();
        for (record, result) in records.iter().zip(results) {
            assert_eq!(record["external_id"], result["external_id"]);
            let id = record["external_id"].as_str().unwrap();
            assert_eq!(stored(&eryxon, entity, id)["id"], result["id"]);
        }
        assert_eq!(eryxon.len(entity), records.len());
    }
    assert_eq!(broken(&eryxon), [""; 0]);
    let operation = stored(&eryxon, Entity::Operations, "SO-7001-2-30");
    assert_eq!(operation["part_id"], stored(&eryxon, Entity::Parts, "SO-7001-2")["id"]);
    assert_eq!(operation["estimated_time"], sample.operations[5]["estimated_time_minutes"]);
    // Again: everything is updated, nothing is new.
    let (_, answer) = bulk(&eryxon, "jobs", &sample.jobs).await;
    assert_eq!((&answer["data"]["created"], &answer["data"]["updated"]), (&json!(0), &json!(20)));
    assert_eq!((eryxon.len(Entity::Jobs), eryxon.writes(Entity::Jobs, "ACME", "SO-7001")), (20, 2));
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
async fn a_bad_record_of_generation_a_is_an_error_of_its_own_in_request_order() {
    let eryxon = eryxon(&[]);
    let records = [
        json!({"external_source": "ACME", "job_number": "1"}),
        json!({"external_id": "SO-2", "external_source": "ACME"}),
        job(3),
        json!({"external_id": "SO-4", "external_source": "ACME", "job_number": "4", "due_date": "2026-02-30"}),
        json!({"external_id": "SO-5", "external_source": "ACME", "job_number": "3"}),
    ];
    let (status, answer) = bulk(&eryxon, "jobs", &records).await;
    assert_eq!((status, &answer["success"], &answer["data"]["errors"]), (200, &json!(true), &json!(4)));
    let results = answer["data"]["results"].as_array().unwrap();
    let errors: Vec<&str> =
        results.iter().map(|result| result["error"].as_str().unwrap_or_default()).collect();
    assert_eq!(errors[0], "external_id and external_source are required");
    assert!(results[0].get("external_id").is_none());
    assert_eq!(errors[1..3], ["job_number is required", ""]);
    assert!(errors[3].starts_with("invalid input syntax for type date"), "{}", errors[3]);
    assert!(errors[4].starts_with("duplicate key value violates unique constraint"), "{}", errors[4]);
    assert_eq!(broken(&eryxon), ["field-missing", "field-missing", "field-type"]);
}

#[tokio::test]
async fn a_child_without_its_parent_is_refused_until_the_parent_is_there() {
    let eryxon = eryxon(&[]);
    let part =
        json!({"external_id": "P", "external_source": "ACME", "job_external_id": "SO-1", "part_number": "1"});
    let operation = json!({
        "external_id": "O", "external_source": "ACME", "part_external_id": "P", "operation_name": "Cut",
        "cell_name": "Laser 1",
    });
    let error = |answer: &Value| answer["data"]["results"][0]["error"].clone();
    let (_, answer) = bulk(&eryxon, "parts", std::slice::from_ref(&part)).await;
    assert_eq!(error(&answer), json!("job_id or valid job_external_id is required"));
    let (_, answer) = bulk(&eryxon, "operations", std::slice::from_ref(&operation)).await;
    assert_eq!(error(&answer), json!("part_id or valid part_external_id is required"));
    put(&eryxon, "jobs", job(1)).await;
    bulk(&eryxon, "parts", &[part]).await;
    let (_, answer) = bulk(&eryxon, "operations", std::slice::from_ref(&operation)).await;
    assert_eq!(error(&answer), json!("cell_id or valid cell_name is required"));
    // By its exact name.
    put(&eryxon, "cells", json!({"external_id": "C", "external_source": "ACME", "name": "laser 1"})).await;
    assert_eq!(put(&eryxon, "operations", operation.clone()).await.0, 400);
    put(&eryxon, "cells", json!({"external_id": "C", "external_source": "ACME", "name": "Laser 1"})).await;
    assert_eq!(put(&eryxon, "operations", operation).await.0, 201);
    assert_eq!(broken(&eryxon), ["parents-first"; 4]);
}

#[tokio::test]
async fn generation_a_resets_what_an_update_omits() {
    let eryxon = eryxon(&[]);
    let cell = json!({
        "external_id": "C", "external_source": "ACME", "name": "Laser", "color": "#0f766e", "active": false,
    });
    put(&eryxon, "cells", cell).await;
    put(&eryxon, "cells", json!({"external_id": "C", "external_source": "ACME", "name": "Laser"})).await;
    let cell = stored(&eryxon, Entity::Cells, "C");
    assert_eq!((&cell["color"], &cell["active"]), (&json!("#3B82F6"), &json!(true)));
    assert_eq!(cell["sequence"], json!(1));
    let resource = |status: Option<&str>| {
        let mut resource =
            json!({"external_id": "R", "external_source": "ACME", "name": "Jig", "type": "fixture"});
        if let Some(status) = status {
            resource["status"] = status.into();
        }
        resource
    };
    put(&eryxon, "resources", resource(Some("in_use"))).await;
    put(&eryxon, "resources", resource(None)).await;
    assert_eq!(stored(&eryxon, Entity::Resources, "R")["status"], json!("available"));
    put(&eryxon, "jobs", job(1)).await;
    let part = |material: Value| {
        json!({
            "external_id": "P", "external_source": "ACME", "job_external_id": "SO-1", "part_number": "1",
            "material": material,
        })
    };
    put(&eryxon, "parts", part(json!("S235"))).await;
    put(&eryxon, "parts", part(Value::Null)).await;
    let part = stored(&eryxon, Entity::Parts, "P");
    assert_eq!((&part["material"], &part["quantity"]), (&json!("Unknown"), &json!(1)));
    // A job's status is not touched by bulk calls.
    let mut started = job(1);
    started["status"] = "in_progress".into();
    bulk(&eryxon, "jobs", std::slice::from_ref(&started)).await;
    assert_eq!(stored(&eryxon, Entity::Jobs, "SO-1")["status"], json!("not_started"));
    put(&eryxon, "jobs", started).await;
    assert_eq!(stored(&eryxon, Entity::Jobs, "SO-1")["status"], json!("in_progress"));
    assert_eq!(broken(&eryxon), [""; 0]);
}

#[tokio::test]
async fn nested_parts_and_operations_are_stored_or_skipped_without_a_word() {
    let eryxon = eryxon(&[]);
    put(&eryxon, "cells", json!({"external_id": "C", "external_source": "ACME", "name": "Laser"})).await;
    let mut nested = job(1);
    nested["parts"] = json!([
        {"external_id": "P1", "part_number": "1-1", "operations": [
            {"external_id": "O1", "operation_name": "Cut", "cell_name": "Laser"},
            {"external_id": "O2", "operation_name": "Cut", "cell_name": "nowhere"},
        ]},
        {"external_id": "P2"},
    ]);
    let (status, answer) = put(&eryxon, "jobs", nested.clone()).await;
    assert_eq!((status, &answer["success"]), (201, &json!(true)));
    assert_eq!((eryxon.len(Entity::Parts), eryxon.len(Entity::Operations)), (1, 1));
    assert_eq!(
        stored(&eryxon, Entity::Operations, "O1")["part_id"],
        stored(&eryxon, Entity::Parts, "P1")["id"]
    );
    assert_eq!(broken(&eryxon), ["parents-first", "nested-skipped", "nested-skipped"]);
    // Generation B takes nothing nested.
    let b = self::eryxon(&["generation=B"]);
    let (status, answer) = put(&b, "jobs", nested.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("VALIDATION_ERROR")));
    nested["parts"] = json!([{"quantity": 1, "operations": [{}]}]);
    let (status, answer) = put(&b, "jobs", nested).await;
    assert_eq!(status, 500);
    assert!(
        message(&answer).starts_with("Failed to sync jobs: Could not find the 'parts' column"),
        "{answer}"
    );
}

#[tokio::test]
async fn too_many_records_are_refused_whole_with_the_limit_in_the_text() {
    let a = eryxon(&["records-limit=3", "cells-limit=2"]);
    let jobs: Vec<Value> = (0..4).map(job).collect();
    let (status, answer) = bulk(&a, "jobs", &jobs).await;
    assert_eq!((status, message(&answer)), (400, "Maximum 3 jobs per bulk-sync request"));
    let cell = |at| json!({"external_id": at, "external_source": "ACME", "name": at, "sequence": 1});
    let cells: Vec<Value> = ["1", "2", "3"].map(cell).into();
    let (status, answer) = bulk(&a, "cells", &cells).await;
    assert_eq!((status, message(&answer)), (400, "Maximum 2 cells per bulk-sync request"));
    assert_eq!(broken(&a), ["batch-limit"; 2]);
    assert!(a.is_empty());
    a.switches.set("generation=B").unwrap();
    let (status, answer) = bulk(&a, "jobs", &jobs).await;
    assert_eq!((status, message(&answer)), (400, "Maximum 3 items per bulk-sync request"));
    assert_eq!(bulk(&a, "cells", &cells).await.0, 200);
    // As it comes, the limits are those of the contract.
    let whole = eryxon(&[]);
    let jobs: Vec<Value> = (0..=1000).map(job).collect();
    assert_eq!(bulk(&whole, "jobs", &jobs).await.0, 400);
    assert_eq!(bulk(&whole, "jobs", &jobs[1..]).await.0, 200);
    assert_eq!(whole.len(Entity::Jobs), 1000);
}

#[tokio::test]
async fn a_missing_list_and_a_body_that_is_no_json_are_refused_as_each_generation_does() {
    let a = eryxon(&[]);
    let b = eryxon(&["generation=B"]);
    let path = "/api-jobs/bulk-sync";
    let (status, answer) = send(&a, Method::POST, path, "{}").await;
    assert_eq!((status, message(&answer)), (400, "jobs must be an array"));
    let (status, answer) = send(&b, Method::POST, path, "{}").await;
    let expected = "Request body must contain either \"items\" array or \"jobs\" array";
    assert_eq!((status, message(&answer)), (400, expected));
    let (status, answer) = send(&a, Method::POST, path, "{").await;
    assert_eq!((status, message(&answer)), (400, "Invalid JSON in request body"));
    assert_eq!(send(&b, Method::POST, path, "{").await.0, 500);
    let items = json!({"items": [job(1)]}).to_string();
    assert_eq!(send(&a, Method::POST, path, &items).await.0, 400);
    assert_eq!(send(&b, Method::POST, path, &items).await.0, 200);
    let (_, answer) = bulk(&a, "jobs", &[]).await;
    assert_eq!(answer["data"]["results"], json!([]));
    assert_eq!(broken(&a), ["body", "body", "body", "empty-batch"]);
}

#[tokio::test]
async fn a_missing_key_of_a_record_is_a_400_of_the_single_sync() {
    let eryxon = eryxon(&["answers=seed"]);
    let (status, answer) = put(&eryxon, "jobs", json!({"external_id": "SO-1"})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("VALIDATION_ERROR")));
    eryxon.switches.set("answers=code").unwrap();
    let (status, answer) = put(&eryxon, "jobs", json!({"external_id": "SO-1"})).await;
    assert_eq!(status, 400);
    let expected = json!({
        "code": "BAD_REQUEST", "message": "external_id and external_source are required", "statusCode": 400,
    });
    assert_eq!(answer, json!({"success": false, "error": expected}));
    eryxon.switches.set("generation=B").unwrap();
    let (_, answer) = put(&eryxon, "jobs", json!({"external_id": "SO-1"})).await;
    assert_eq!(message(&answer), "external_source is required for sync operations");
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_a_401_or_a_500_that_says_so() {
    let eryxon = eryxon(&[]);
    let cases = [
        (None, "Missing or invalid authorization header"),
        (Some("Basic eA=="), "Missing or invalid authorization header"),
        (Some("Bearer sk_live_1"), "Invalid API key format"),
        (Some("Bearer ery_live_other"), "Invalid API key"),
    ];
    for (fault, status, code) in [("401", 401, "UNAUTHORIZED"), ("500", 500, "INTERNAL_ERROR")] {
        eryxon.switches.set(&format!("auth-fault={fault}")).unwrap();
        for (key, expected) in cases {
            let answer = try_send(&eryxon, Method::GET, "/api-jobs", key, "").await;
            assert_eq!(answer.status(), status);
            let answer: Value = answer.json().await.unwrap();
            assert_eq!((message(&answer), &answer["error"]["code"]), (expected, &json!(code)));
        }
    }
    assert_eq!(broken(&eryxon), ["authorization"; 8]);
}

#[tokio::test]
async fn the_quota_counts_denied_calls_and_ends_24_hours_after_its_first() {
    let start = Utc.with_ymd_and_hms(2026, 7, 1, 9, 14, 5).unwrap();
    let clock = super::super::Clock::standing(start);
    let options = Options { wire: WireOptions { clock, ..WireOptions::default() }, ..Options::default() };
    options.switches.set("quota=2").unwrap();
    let eryxon = Eryxon::start(options).unwrap();
    get(&eryxon, "/api-jobs").await;
    eryxon.wire.clock().advance(Duration::from_secs(3600));
    get(&eryxon, "/api-jobs").await;
    let key = Platform::credentials(&eryxon).remove(0).1;
    let denied = try_send(&eryxon, Method::GET, "/api-jobs", Some(&key), "").await;
    assert_eq!(denied.status(), 429);
    let header = |name: &str| denied.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-ratelimit-reset"), "2026-07-02T09:14:05.000Z");
    assert_eq!(
        (header("retry-after"), header("x-ratelimit-remaining")),
        ("82800".to_owned(), "0".to_owned())
    );
    let answer: Value = denied.json().await.unwrap();
    assert_eq!(answer["error"]["rateLimitInfo"]["retryAfter"], json!(82800));
    assert_eq!(answer["error"]["code"], json!("RATE_LIMIT_EXCEEDED"));
    assert_eq!(broken(&eryxon), ["daily-quota"]);
    eryxon.wire.clock().advance(Duration::from_secs(82_800));
    get(&eryxon, "/api-jobs").await;
    eryxon.exhaust_quota(Duration::from_secs(60));
    assert_eq!(send(&eryxon, Method::GET, "/api-jobs", "").await.0, 429);
}

#[tokio::test]
async fn the_plan_limits_what_single_calls_create() {
    let eryxon = eryxon(&["plan-limit=1"]);
    assert_eq!(put(&eryxon, "jobs", job(1)).await.0, 201);
    let (status, answer) = put(&eryxon, "jobs", job(2)).await;
    assert_eq!((status, &answer["error"]["code"]), (402, &json!("QUOTA_EXCEEDED")));
    assert_eq!(answer["error"]["details"], json!({"limitType": "jobs", "currentUsage": 1, "limit": 1}));
    assert_eq!(put(&eryxon, "jobs", job(1)).await.0, 200);
    assert_eq!(bulk(&eryxon, "jobs", &[job(2)]).await.1["data"]["created"], json!(1));
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
async fn generation_b_counts_what_its_database_refused_as_done() {
    let eryxon = eryxon(&["generation=B"]);
    let mut with_priority = job(1);
    with_priority["priority"] = 5.into();
    let (status, answer) = bulk(&eryxon, "jobs", &[with_priority.clone(), job(2), job(3)]).await;
    let nothing_wrong = json!({"created": 3, "updated": 0, "failed": 0, "errors": []});
    assert_eq!((status, &answer["data"]), (200, &json!({"results": nothing_wrong, "total": 3})));
    assert_eq!(eryxon.len(Entity::Jobs), 2);
    assert_eq!(broken(&eryxon), ["field-unknown"]);
    // Its tables of cells, resources and operations lack a column it writes: nothing arrives at all.
    let cell = json!({"external_id": "C", "external_source": "ACME", "name": "Laser", "sequence": 1});
    let (_, answer) = bulk(&eryxon, "cells", std::slice::from_ref(&cell)).await;
    assert_eq!((&answer["data"]["results"]["created"], eryxon.len(Entity::Cells)), (&json!(1), 0));
    let (status, answer) = put(&eryxon, "cells", cell.clone()).await;
    assert_eq!(status, 500);
    assert!(message(&answer).starts_with("Failed to sync cells: Could not find the 'sync_hash'"), "{answer}");
    eryxon.switches.set("missing-columns=never").unwrap();
    bulk(&eryxon, "cells", &[cell]).await;
    assert_eq!(eryxon.len(Entity::Cells), 1);
    // And told, it is an error of the record.
    eryxon.switches.set("missing-columns=always").unwrap();
    eryxon.switches.set("refusals=told").unwrap();
    let (_, answer) = bulk(&eryxon, "jobs", &[with_priority.clone(), job(4)]).await;
    let results = &answer["data"]["results"];
    assert_eq!((&results["created"], &results["failed"]), (&json!(1), &json!(1)));
    assert_eq!(results["errors"][0]["item"], with_priority);
}

#[tokio::test]
async fn generation_b_resolves_no_parents_and_takes_their_ids() {
    let eryxon = eryxon(&["generation=B", "missing-columns=never"]);
    bulk(&eryxon, "jobs", &[job(1)]).await;
    let by_name = json!({
        "external_id": "P", "external_source": "ACME", "job_external_id": "SO-1", "part_number": "1", "material": "S235",
    });
    assert_eq!(bulk(&eryxon, "parts", &[by_name]).await.1["data"]["results"]["created"], json!(1));
    assert_eq!(eryxon.len(Entity::Parts), 0);
    assert_eq!(broken(&eryxon), ["field-missing", "field-unknown"]);
    let jobs = get(&eryxon, "/api-jobs?search=1").await;
    let part = json!({
        "external_id": "P", "external_source": "ACME", "job_id": jobs["jobs"][0]["id"], "part_number": "1",
        "material": "S235", "quantity": 4,
    });
    bulk(&eryxon, "parts", std::slice::from_ref(&part)).await;
    assert_eq!(stored(&eryxon, Entity::Parts, "P")["job_id"], jobs["jobs"][0]["id"]);
    let mut orphan = part;
    (orphan["external_id"], orphan["part_number"], orphan["job_id"]) =
        (json!("Q"), json!("2"), json!("00000000-0000-4000-8000-000000000009"));
    let (status, answer) = put(&eryxon, "parts", orphan).await;
    assert_eq!(status, 500);
    assert!(message(&answer).contains("violates foreign key constraint"), "{answer}");
}

#[tokio::test]
async fn generation_b_validates_jobs_and_names_each_field() {
    let eryxon = eryxon(&["generation=B"]);
    let mut late = job(1);
    late["due_date"] = "soon".into();
    let (status, answer) = put(&eryxon, "jobs", late.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("VALIDATION_ERROR")));
    assert_eq!(answer["error"]["details"][0]["constraint"], json!("DATE_FORMAT"));
    let (_, answer) = bulk(&eryxon, "jobs", &[late.clone(), json!({"external_id": "X"}), job(2)]).await;
    let results = &answer["data"]["results"];
    assert_eq!((&results["created"], &results["failed"]), (&json!(1), &json!(2)));
    assert_eq!(results["errors"][0]["item"], late);
    assert_eq!(results["errors"][0]["error"][0]["field"], json!("due_date"));
    assert_eq!(results["errors"][1]["error"], json!("external_source is required"));
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

/// An entity, the fields of a record of it, and the one that is wrong.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, Value)]);

#[tokio::test]
async fn fields_are_judged_by_their_type_range_and_list() {
    let eryxon = eryxon(&[]);
    let base = |more: &[(&str, Value)], base: &[(&str, &str)]| {
        let mut record = json!({"external_id": "X", "external_source": "ACME"});
        base.iter().for_each(|(name, value)| record[*name] = (*value).into());
        more.iter().for_each(|(name, value)| record[*name] = value.clone());
        record
    };
    let cases: [Wrong<'_>; 11] = [
        ("cells", &[("name", "L")], &[("color", json!("blue"))]),
        ("cells", &[("name", "L")], &[("sequence", json!("10"))]),
        ("cells", &[("name", "L")], &[("active", json!("yes"))]),
        ("resources", &[("name", "R")], &[("type", json!("hammer"))]),
        ("resources", &[("name", "R"), ("type", "mold")], &[("status", json!("lost"))]),
        ("jobs", &[("job_number", "1")], &[("due_date", json!("20.11.2026"))]),
        ("jobs", &[("job_number", "1")], &[("priority", json!(-1))]),
        ("jobs", &[("job_number", "1")], &[("customer", json!("x".repeat(256)))]),
        ("jobs", &[("job_number", "1")], &[("status", json!("done"))]),
        ("parts", &[("job_id", "j"), ("part_number", "1")], &[("quantity", json!(0))]),
        (
            "operations",
            &[("part_id", "p"), ("cell_id", "c"), ("operation_name", "Cut")],
            &[("estimated_time_minutes", json!(0.5))],
        ),
    ];
    for (at, (entity, valid, wrong)) in cases.into_iter().enumerate() {
        put(&eryxon, entity, base(wrong, valid)).await;
        assert_eq!(broken(&eryxon).len(), at + 1, "{entity} {wrong:?}");
    }
    assert_eq!(broken(&eryxon), ["field-type"; 11]);
    put(&eryxon, "jobs", base(&[("colour", json!("red"))], &[("job_number", "1")])).await;
    assert_eq!(eryxon.wire.broken_rules().last().unwrap().what, "job X: colour");
    assert_eq!(broken(&eryxon).last(), Some(&"field-unknown"));
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

#[tokio::test]
async fn one_bad_new_record_of_the_unified_sync_fails_its_whole_group() {
    let eryxon = eryxon(&["generation=B", "missing-columns=never"]);
    let sync = async |jobs: &[Value]| {
        let body = json!({"source": "cadenced", "jobs": jobs}).to_string();
        send(&eryxon, Method::POST, "/api-erp-sync/sync", &body).await.1["data"].take()
    };
    let jobs = sync(&[job(1)]).await;
    assert_eq!(jobs["summary"]["total_created"], json!(1));
    // Unchanged, changed, two new ones of which one takes a number, and one that lacks it.
    let mut changed = job(1);
    changed["notes"] = "soon".into();
    let taken = json!({"external_id": "SO-9", "external_source": "ACME", "job_number": "1"});
    let lacking = json!({"external_id": "SO-8", "external_source": "ACME"});
    assert_eq!(sync(&[job(1)]).await["summary"]["total_skipped"], json!(1));
    let answer = sync(&[changed, job(2), taken, lacking]).await;
    let results = answer["entities"]["jobs"]["results"].as_array().unwrap();
    let order: Vec<&str> = results.iter().map(|result| result["external_id"].as_str().unwrap()).collect();
    assert_eq!(order, ["SO-8", "SO-2", "SO-9", "SO-1"]);
    assert_eq!(results[1]["error"], results[2]["error"]);
    assert!(results[1]["error"].as_str().unwrap().starts_with("duplicate key"), "{answer}");
    assert_eq!(results[3]["action"], json!("updated"));
    assert_eq!(eryxon.len(Entity::Jobs), 1);
    assert_eq!(sync(&[job(2)]).await["summary"]["total_created"], json!(1));
    // A part finds its job by external id here.
    let part = json!({
        "external_id": "P", "external_source": "ACME", "job_external_id": "SO-2", "part_number": "1", "material": "S235",
    });
    let body = json!({"parts": [part]}).to_string();
    let (_, diff) = send(&eryxon, Method::POST, "/api-erp-sync/diff", &body).await;
    assert_eq!(diff["data"]["entities"]["parts"]["to_create"], json!(1));
    assert_eq!(eryxon.len(Entity::Parts), 0);
    send(&eryxon, Method::POST, "/api-erp-sync/sync", &body).await;
    assert_eq!(eryxon.len(Entity::Parts), 1);
    assert_eq!(get(&eryxon, "/api-erp-sync/status?limit=2").await["history"].as_array().unwrap().len(), 2);
    // On the published schema nothing new arrives, and it is said.
    eryxon.switches.set("missing-columns=always").unwrap();
    assert_eq!(sync(&[job(3)]).await["summary"]["total_errors"], json!(1));
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let eryxon = eryxon(&["generation=B"]);
    assert_eq!(send(&eryxon, Method::GET, "/api-jobs/sync", "").await.0, 405);
    assert_eq!(send(&eryxon, Method::GET, "/api-orders", "").await.0, 404);
    let key = Platform::credentials(&eryxon).remove(0).1;
    let url = format!("{}/api-jobs", eryxon.url());
    let request = Client::new().get(url).header("authorization", key).header("x-request-id", "run-17");
    assert_eq!(request.send().await.unwrap().headers()["x-request-id"], "run-17");
}
