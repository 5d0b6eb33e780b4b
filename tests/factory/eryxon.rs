//! Jobs, parts and operations in dependency order against both generations of the server, with faults and kills.

use super::Works;
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;
use cadenced::sandbox::eryxon::{Entity, Eryxon, Options, Sample, Size, sample};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// In this order; each with its entity.
pub(super) const OLDER: [(&str, Option<Entity>); 5] = [
    ("eryxon-cells", Some(Entity::Cells)),
    ("eryxon-resources", Some(Entity::Resources)),
    ("eryxon-jobs", Some(Entity::Jobs)),
    ("eryxon-parts", Some(Entity::Parts)),
    ("eryxon-operations", Some(Entity::Operations)),
];
pub(super) const NEWER: [(&str, Option<Entity>); 8] = [
    ("eryxon-cells", Some(Entity::Cells)),
    ("eryxon-cell-ids", None),
    ("eryxon-resources", Some(Entity::Resources)),
    ("eryxon-jobs", Some(Entity::Jobs)),
    ("eryxon-job-ids", None),
    ("eryxon-parts-by-id", Some(Entity::Parts)),
    ("eryxon-part-ids", None),
    ("eryxon-operations-by-id", Some(Entity::Operations)),
];

pub(super) fn eryxon(settings: &[&str]) -> Eryxon {
    let options = Options::default();
    for setting in settings {
        options.switches.set(setting).unwrap();
    }
    Eryxon::start(options).unwrap()
}

/// Puts the records into the ERP's tables, whatever was there before.
pub(super) async fn keep(works: &Works, sample: &Sample) {
    for entity in Entity::ALL {
        let table = format!("cadenced_eryxon_{}", entity.plural());
        let columns = works.erp.columns(&table).await;
        let values: Vec<_> =
            columns.iter().map(|column| format!("json_extract(value, '$.{column}')")).collect();
        let rows = Value::from(sample.of(entity).to_vec()).to_string().replace('\'', "''");
        let sql = format!(
            "delete from {table}; insert into {table} ({}) select {} from json_each('{rows}')",
            columns.join(", "),
            values.join(", ")
        );
        works.erp.run(&sql).await;
    }
}

/// In what the platform differs from the records, field by field and record by record.
pub(super) fn differences(eryxon: &Eryxon, sample: &Sample) -> Vec<String> {
    let ids = |entity: Entity, field: &str| -> BTreeMap<String, Value> {
        let text = |row: &Value| row[field].as_str().unwrap_or_default().to_owned();
        eryxon.records(entity).values().map(|row| (text(row), row["id"].clone())).collect()
    };
    let (jobs, parts) = (ids(Entity::Jobs, "external_id"), ids(Entity::Parts, "external_id"));
    let cells = ids(Entity::Cells, "name");
    let of = |ids: &BTreeMap<String, Value>, name: &Value| ids.get(name.as_str().unwrap()).cloned();
    let mut found = Vec::new();
    for entity in Entity::ALL {
        let mut there = eryxon.records(entity);
        for record in sample.of(entity) {
            let key =
                ["external_source", "external_id"].map(|field| record[field].as_str().unwrap().to_owned());
            let Some(row) = there.remove(&key.clone().into()) else {
                found.push(format!("{} {}: not there", entity.singular(), key[1]));
                continue;
            };
            for (field, ours) in record.as_object().unwrap() {
                let (column, ours) = match field.as_str() {
                    "job_external_id" => ("job_id", of(&jobs, ours)),
                    "part_external_id" => ("part_id", of(&parts, ours)),
                    "cell_name" => ("cell_id", of(&cells, ours)),
                    "estimated_time_minutes" => ("estimated_time", Some(ours.clone())),
                    _ => (field.as_str(), Some(ours.clone())),
                };
                if ours.as_ref() != row.get(column) {
                    found.push(format!(
                        "{} {}: {column}: {ours:?}, there {:?}",
                        entity.singular(),
                        key[1],
                        row.get(column)
                    ));
                }
            }
        }
        found.extend(there.keys().map(|(_, id)| format!("{} {id}: only there", entity.singular())));
    }
    found.truncate(10);
    found
}

fn records(jobs: usize) -> Sample {
    let size = Size { cells: 120, resources: 40, jobs, parts: 3, operations: 4 };
    let mut made = sample(11, "ERP", size);
    made.operations.truncate(jobs * 10);
    made
}

/// Runs the jobs in order, one after another, with a fault now and then.
async fn round(works: &Works, jobs: &[(&str, Option<Entity>)]) {
    for (job, _) in jobs {
        let ended = works.once(job).await;
        assert!(matches!(ended.outcome, Outcome::Ok | Outcome::Partial), "{job}: {:?}", ended.message);
    }
}

/// The story both generations go through: a first import with kills and refused records, their repair, and a quiet end.
async fn story(works: &Works, eryxon: &Eryxon, jobs: &[(&str, Option<Entity>)], mut all: Sample) {
    // A job without a number, and a part with the number of another.
    let (number, part) = (all.jobs[7]["job_number"].take(), all.parts[100]["part_number"].clone());
    all.jobs[7]["job_number"] = "".into();
    all.parts[100]["part_number"] = all.parts[90]["part_number"].clone();
    keep(works, &all).await;
    let of = |entity| jobs.iter().find(|(_, of)| *of == Some(entity)).unwrap().0;

    eryxon.wire.fail_every(9, "", Fault::status(503));
    eryxon.wire.fail_next(1, "/api-jobs", Fault::AnswerLost);
    eryxon.wire.fail_next(1, "/api-parts", Fault::Reset);
    eryxon.wire.fail_next(1, "/api-operations", Fault::Truncated);
    let mut kills = BTreeMap::from([
        (of(Entity::Jobs), "push-after-doubt"),
        (of(Entity::Parts), "push-after-answer"),
        (of(Entity::Operations), "push-after-settle"),
    ]);
    for (job, _) in jobs {
        if let Some(moment) = kills.remove(job) {
            works.killed(job, moment).await;
        }
        let ended = works.once(job).await;
        assert!(matches!(ended.outcome, Outcome::Ok | Outcome::Partial), "{job}: {:?}", ended.message);
    }
    assert!(kills.is_empty());

    let refused = works.rejects(of(Entity::Jobs)).await;
    let reasons: Vec<&str> = refused.iter().map(|reject| reject.reason.as_str()).collect();
    assert!(reasons.len() == 1 && reasons[0].contains("job_number is required"), "{reasons:?}");
    assert_eq!(eryxon.len(Entity::Jobs), all.jobs.len() - 1);
    let parts = works.rejects(of(Entity::Parts)).await;
    let bad = parts.iter().find(|reject| reject.key == "SO-7034-2").unwrap();
    let words = "duplicate key value violates unique constraint";
    assert!(bad.reason.contains(words), "{}", bad.reason);
    // The three parts of the job wait for it, and their operations for them.
    assert_eq!(parts.len(), 4);
    assert_eq!(eryxon.len(Entity::Parts), all.parts.len() - 4);
    // By a number that two parts have, neither is found.
    let held = if of(Entity::Parts) == "eryxon-parts" { 16 } else { 20 };
    let waiting = works.rejects(of(Entity::Operations)).await;
    assert_eq!(waiting.len(), held, "{:?}", waiting.first());
    assert_eq!(eryxon.len(Entity::Operations), all.operations.len() - held);

    // The ERP's mistakes are put right, a job gets another date, and everything follows.
    all.jobs[7]["job_number"] = number;
    all.parts[100]["part_number"] = part;
    all.jobs[1]["due_date"] = json!("2027-01-31");
    all.operations[5]["estimated_time_minutes"] = json!(999);
    keep(works, &all).await;
    round(works, jobs).await;
    eryxon.wire.heal();
    assert_eq!(differences(eryxon, &all), [""; 0]);
    for (job, entity) in jobs {
        assert!(works.rejects(job).await.is_empty(), "{job}");
        let before = eryxon.wire.count();
        let ended = works.runs(job).await;
        assert_eq!(ended.counts.written, 0, "{job}: nothing changed");
        assert!(entity.is_none() || eryxon.wire.count() == before, "{job}: and nothing is asked");
    }
    // Among the rules: at most 100 cells and 1000 of anything else in a request, and the plan's calls a day.
    let rules = eryxon.wire.broken_rules();
    let harmless = ["field-missing", "parents-first"];
    assert!(rules.iter().all(|broken| harmless.contains(&broken.rule)), "{rules:?}");
}

#[tokio::test]
async fn thirty_thousand_operations_arrive_whole_on_the_free_plan() {
    let eryxon = eryxon(&["quota=100"]);
    let works = Works::new("eryxon", &eryxon, "quota = [\"100/day\"]", "").await;
    let all = records(3_000);
    assert_eq!((all.jobs.len(), all.parts.len(), all.operations.len()), (3_000, 9_000, 30_000));
    story(&works, &eryxon, &OLDER, all).await;
    assert!(eryxon.wire.count() <= 100, "{}", eryxon.wire.count());
}

/// A tenth of the older ones' import, unless `ERYXON_JOBS=3000` says how many jobs.
#[tokio::test]
async fn newer_servers_get_the_same_by_ids() {
    let jobs = std::env::var("ERYXON_JOBS").map_or(300, |jobs| jobs.parse().unwrap());
    let eryxon = eryxon(&["generation=B", "missing-columns=never", "refusals=told"]);
    let works = Works::new("eryxon", &eryxon, "", &newer()).await;
    story(&works, &eryxon, &NEWER, records(jobs)).await;
}

/// What a site with a newer server writes.
pub(super) fn newer() -> String {
    let page = include_str!("../../docs/platforms/eryxon.md");
    let (_, after) = page.split_once("<!-- newer servers -->\n```toml\n").unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_free_plans_hundred_calls_are_never_exceeded() {
    let eryxon = eryxon(&["quota=100"]);
    let single = "[job.eryxon-jobs.push]\nput = \"/api-jobs/sync\"\nbatch = { records = 1 }\nbody = \"$record\"\nresults = []\n";
    let works = Works::new("eryxon", &eryxon, "quota = [\"100/day\"]", single).await;
    let size = Size { cells: 1, resources: 0, jobs: 130, parts: 0, operations: 0 };
    let all = sample(3, "ERP", size);
    keep(&works, &all).await;
    works.killed("eryxon-jobs", "push-after-settle:60").await;
    let ended = works.once("eryxon-jobs").await;
    assert_eq!(ended.outcome, Outcome::Failed);
    assert!(ended.message.unwrap().contains("quota until"));
    let sent = eryxon.wire.count();
    assert!((98..=100).contains(&sent), "{sent}");
    let again = works.once("eryxon-jobs").await;
    assert_eq!((again.outcome, again.counts.requests), (Outcome::Failed, 0));
    assert_eq!(eryxon.wire.broken_rules(), []);
    // The platform's own word counts as well: what it refuses until tomorrow is not asked for again.
    let other = self::eryxon(&["quota=5"]);
    let works = Works::new("eryxon", &other, "", single).await;
    keep(&works, &all).await;
    other.exhaust_quota(Duration::from_secs(3600));
    let ended = works.once("eryxon-jobs").await;
    assert!(
        ended.message.as_deref().is_some_and(|message| message.contains("Rate limit exceeded")),
        "{ended:?}"
    );
    assert_eq!(other.wire.count(), 1, "each poll is a call");
}
