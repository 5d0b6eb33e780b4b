//! What an Eryxon may answer besides: single calls, nested ones, success that is none, refusals that look like failures.

use super::Works;
use super::eryxon::{NEWER, OLDER, differences, eryxon, keep, newer};
use cadenced::run::Outcome;
use cadenced::sandbox::eryxon::{Entity, Eryxon, Sample, Size, sample};
use cadenced::transfer::RejectClass;

fn few() -> Sample {
    sample(5, "ERP", Size { cells: 6, resources: 8, jobs: 12, parts: 2, operations: 2 })
}

async fn works(eryxon: &Eryxon, schedule: &str) -> (Works, Sample) {
    let works = Works::new("eryxon", eryxon, "", schedule).await;
    let all = few();
    keep(&works, &all).await;
    (works, all)
}

fn option(name: &str) -> String {
    let page = include_str!("../../docs/platforms/eryxon.md");
    let (_, after) = page.split_once(&format!("<!-- {name} -->\n```toml\n")).unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn every_bulk_call_of_the_reference_is_made_by_its_job() {
    let eryxon = eryxon(&[]);
    let (works, all) = works(&eryxon, "").await;
    for (job, entity) in OLDER {
        let ended = works.runs(job).await;
        let records = all.of(entity.unwrap()).len() as u64;
        assert_eq!((ended.counts.written, ended.counts.requests), (records, 1), "{job}");
        let path = format!("/functions/v1/api-{}/bulk-sync", entity.unwrap().plural());
        assert_eq!(eryxon.wire.requests().last().unwrap().path, path);
    }
    assert_eq!(differences(&eryxon, &all), [""; 0]);
    assert_eq!(eryxon.wire.broken_rules(), []);
}

#[tokio::test]
async fn every_single_call_of_the_reference_is_made_where_a_site_wants_it() {
    for answers in ["answers=code", "answers=seed"] {
        let eryxon = eryxon(&[answers]);
        let (works, mut all) = works(&eryxon, &option("single calls")).await;
        for (job, entity) in OLDER {
            let ended = works.runs(job).await;
            let records = all.of(entity.unwrap()).len() as u64;
            assert_eq!((ended.counts.written, ended.counts.requests), (records, records), "{job}");
            let path = format!("/functions/v1/api-{}/sync", entity.unwrap().plural());
            assert_eq!(eryxon.wire.requests().last().unwrap().path, path);
        }
        assert_eq!(differences(&eryxon, &all), [""; 0]);
        assert_eq!(eryxon.wire.broken_rules(), []);
        // A refusal of the database comes as 500; it costs one call, and the others go through.
        all.parts[3]["part_number"] = all.parts[4]["part_number"].clone();
        all.parts[7]["quantity"] = 77.into();
        keep(&works, &all).await;
        let before = eryxon.wire.count();
        assert_eq!(works.once("eryxon-parts").await.outcome, Outcome::Partial);
        assert_eq!(eryxon.wire.count(), before + 2);
        let rejects = works.rejects("eryxon-parts").await;
        assert!(
            rejects.len() == 1
                && rejects[0].reason.contains("500")
                && rejects[0].reason.contains("duplicate key")
        );
    }
}

#[tokio::test]
async fn a_plan_that_is_full_refuses_new_jobs_and_not_the_others() {
    let eryxon = eryxon(&["plan-limit=10"]);
    let (works, mut all) = works(&eryxon, &option("single calls")).await;
    assert_eq!(works.once("eryxon-jobs").await.outcome, Outcome::Partial);
    let rejects = works.rejects("eryxon-jobs").await;
    assert!(rejects.len() == 2 && rejects.iter().all(|reject| reject.reason.contains("Plan limit reached")));
    all.jobs[0]["customer"] = "Changed".into();
    keep(&works, &all).await;
    let ended = works.once("eryxon-jobs").await;
    assert_eq!(
        (ended.counts.written, ended.counts.requests),
        (1, 1),
        "those parked are not sent with every run"
    );
}

#[tokio::test]
async fn parts_and_operations_go_with_their_job_where_a_site_wants_it() {
    let eryxon = eryxon(&[]);
    let (works, all) = works(&eryxon, &option("nested")).await;
    for job in ["eryxon-cells", "eryxon-resources", "eryxon-jobs"] {
        works.runs(job).await;
    }
    assert_eq!(eryxon.wire.count_of("/api-jobs/sync"), all.jobs.len());
    assert_eq!(eryxon.wire.count_of("/api-parts"), 0);
    assert_eq!(differences(&eryxon, &all), [""; 0]);
}

#[tokio::test]
async fn success_that_is_none_is_found_by_reading_back() {
    // One record of many: a row of the sample is missing, so all are looked up.
    let newer_server = eryxon(&["generation=B", "missing-columns=never"]);
    let (works, mut all) = works(&newer_server, &newer()).await;
    all.jobs[0]["job_number"] = all.jobs[11]["job_number"].clone();
    keep(&works, &all).await;
    for (job, _) in &NEWER[..3] {
        works.runs(job).await;
    }
    // The number is there, with another record; only the ids tell.
    works.once("eryxon-jobs").await;
    works.runs("eryxon-job-ids").await;
    works.once("eryxon-parts-by-id").await;
    assert_eq!(newer_server.len(Entity::Jobs), 11);

    // The published schema keeps no cell: the sample finds none, and the run says what that means.
    let published = eryxon(&["generation=B"]);
    let (works, _) = self::works(&published, &newer()).await;
    let ended = works.once("eryxon-cells").await;
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Failed, 0));
    let message = ended.message.unwrap();
    assert!(message.contains("accepted 6 records, and has none of the 3 that were looked up"), "{message}");
    assert!(works.rejects("eryxon-cells").await.is_empty(), "the records are not at fault");
    published.switches.set("missing-columns=never").unwrap();
    works.runs("eryxon-cells").await;
    assert_eq!(published.len(Entity::Cells), 6, "and they are sent again");
}

#[tokio::test]
async fn a_version_without_routes_stops_the_flow_with_its_name() {
    for (settings, calls) in [("", "bulk"), ("single calls", "single")] {
        let eryxon = eryxon(&["version-without-routes=true"]);
        let schedule = if settings.is_empty() { String::new() } else { option(settings) };
        let (works, all) = works(&eryxon, &schedule).await;
        for (job, _) in &OLDER[..3] {
            works.runs(job).await;
        }
        let before = eryxon.wire.count();
        let ended = works.once("eryxon-parts").await;
        let message = ended.message.unwrap();
        assert_eq!(ended.outcome, Outcome::Failed);
        assert!(message.contains("this version of the platform does not serve it"), "{calls}: {message}");
        assert_eq!(eryxon.wire.count(), before + 1, "{calls}: it is not asked for each record");
        assert!(works.rejects("eryxon-parts").await.is_empty());
        eryxon.switches.set("version-without-routes=false").unwrap();
        works.runs("eryxon-parts").await;
        assert_eq!(eryxon.len(Entity::Parts), all.parts.len());
        eryxon.switches.set("version-without-routes=true").unwrap();
        let ended = works.once("eryxon-operations").await;
        let message = ended.message.unwrap();
        assert!(message.contains("does not serve it"), "{calls}: {message}");
        assert!(works.rejects("eryxon-operations").await.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_key_stops_the_connection_also_where_it_looks_like_a_failure() {
    for fault in ["401", "500"] {
        let eryxon = eryxon(&[&format!("auth-fault={fault}")]);
        let (works, all) = works(&eryxon, "").await;
        let key = works.dir.path().join("Authorization");
        let right = std::fs::read_to_string(&key).unwrap();
        std::fs::write(&key, "Bearer ery_test_of_another").unwrap();
        let ended = works.once("eryxon-cells").await;
        assert_eq!(
            (ended.outcome, ended.counts.requests),
            (Outcome::Failed, 1),
            "{fault}: once, not in a loop"
        );
        assert!(ended.message.unwrap().contains("Invalid API key"));
        assert!(works.rejects("eryxon-cells").await.is_empty());
        std::fs::write(&key, right).unwrap();
        works.runs("eryxon-cells").await;
        assert_eq!(eryxon.len(Entity::Cells), all.cells.len());
    }
}

#[tokio::test]
async fn a_record_that_was_deleted_there_is_a_reject_with_the_servers_words() {
    let eryxon = eryxon(&[]);
    let (works, mut all) = works(&eryxon, "").await;
    for (job, _) in OLDER {
        works.runs(job).await;
    }
    eryxon.soft_delete(Entity::Jobs, "ERP", "SO-7003");
    all.jobs[2]["customer"] = "Changed".into();
    keep(&works, &all).await;
    assert_eq!(works.once("eryxon-jobs").await.outcome, Outcome::Partial);
    let rejects = works.rejects("eryxon-jobs").await;
    assert!(rejects.len() == 1 && rejects[0].reason.contains("duplicate key value"), "{rejects:?}");
}

#[tokio::test]
async fn an_operation_follows_its_cell_with_the_next_run() {
    let eryxon = eryxon(&[]);
    let (works, mut all) = works(&eryxon, "").await;
    all.operations[0]["cell_name"] = "Press 9".into();
    keep(&works, &all).await;
    for (job, _) in &OLDER[..4] {
        works.runs(job).await;
    }
    assert_eq!(works.once("eryxon-operations").await.outcome, Outcome::Partial);
    let rejects = works.rejects("eryxon-operations").await;
    assert!(rejects.len() == 1 && rejects[0].class == RejectClass::Transient, "{rejects:?}");
    assert!(rejects[0].reason.contains("cell_id or valid cell_name is required"));
    let cell = serde_json::json!({"external_id": "WC-900", "external_source": "ERP", "name": "Press 9", "color": "#102030", "sequence": 900, "active": true});
    all.cells.push(cell);
    keep(&works, &all).await;
    works.runs("eryxon-cells").await;
    works.runs("eryxon-operations").await;
    assert_eq!(differences(&eryxon, &all), [""; 0]);
}

#[tokio::test]
async fn a_server_that_takes_fewer_cells_gets_fewer() {
    let eryxon = eryxon(&["cells-limit=2"]);
    let (works, all) = works(&eryxon, "").await;
    works.runs("eryxon-cells").await;
    assert_eq!(eryxon.len(Entity::Cells), all.cells.len());
}
