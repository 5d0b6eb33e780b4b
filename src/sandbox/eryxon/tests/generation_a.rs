//! What the server does in its first generation, which answers for each record.

use super::*;

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
