//! What the server does in its second generation, which answers in sums.

use super::*;

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
