//! What no generation takes: too much, too often, malformed, without a key.

use super::*;

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
    let clock = super::super::super::Clock::standing(start);
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
async fn other_methods_and_paths_are_refused() {
    let eryxon = eryxon(&["generation=B"]);
    assert_eq!(send(&eryxon, Method::GET, "/api-jobs/sync", "").await.0, 405);
    assert_eq!(send(&eryxon, Method::GET, "/api-orders", "").await.0, 404);
    let key = Platform::credentials(&eryxon).remove(0).1;
    let url = format!("{}/api-jobs", eryxon.url());
    let request = Client::new().get(url).header("authorization", key).header("x-request-id", "run-17");
    assert_eq!(request.send().await.unwrap().headers()["x-request-id"], "run-17");
}
