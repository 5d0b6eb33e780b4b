//! `/api-erp-sync`: jobs, parts and resources in one call (Eryxon contract §5.5). All new records of an entity go into the
//! database in one statement: one that it refuses takes the others with it.

use super::rules::{self, text};
use super::store::{Entity, Fields, Refused};
use super::{Action, State, hash};
use serde_json::{Value, json};

const ENTITIES: [Entity; 3] = [Entity::Resources, Entity::Jobs, Entity::Parts];

/// What is to be done with a record.
enum Plan {
    Create(Fields),
    Update(usize, Fields),
    Unchanged(usize),
    Error(String),
}

/// `POST /api-erp-sync/sync`
pub(super) fn sync(state: &mut State, body: &Fields) -> Value {
    let skip_unchanged = body
        .get("options")
        .and_then(|options| options.get("skip_unchanged"))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let mut summary = [0; 5];
    let mut entities = Fields::new();
    for entity in ENTITIES {
        let Some(records) = body.get(entity.plural()).and_then(Value::as_array) else { continue };
        let (counts, answer) = sync_entity(state, entity, records, skip_unchanged);
        summary.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        entities.insert(entity.plural().to_owned(), answer);
    }
    let [total, created, updated, skipped, errors] = summary;
    let answer = json!({
        "summary": {
            "total_entities": entities.len(),
            "total_records": total,
            "total_created": created,
            "total_updated": updated,
            "total_skipped": skipped,
            "total_errors": errors,
            "duration_ms": 1,
        },
        "entities": entities,
    });
    let history = json!({"source": body.get("source"), "summary": answer["summary"]});
    state.history.push(history);
    answer
}

fn sync_entity(state: &mut State, entity: Entity, records: &[Value], skip: bool) -> ([usize; 5], Value) {
    let nothing = Fields::new();
    let records: Vec<&Fields> = records.iter().map(|record| record.as_object().unwrap_or(&nothing)).collect();
    let plans = plan(state, entity, &records, skip);
    let (mut failed, mut inserts, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    for (record, plan) in records.iter().zip(plans) {
        match plan {
            Plan::Error(error) => failed.push((*record, error)),
            Plan::Create(columns) => inserts.push((*record, columns)),
            Plan::Update(at, columns) => updates.push((*record, at, Some(columns))),
            Plan::Unchanged(at) => updates.push((*record, at, None)),
        }
    }
    let mut counts = [records.len(), 0, 0, 0, 0];
    let mut results: Vec<Value> = Vec::new();
    let error = |record: &Fields, text: &str| json!({"external_id": record.get("external_id"), "action": "error", "error": text});
    let done = |state: &State, record: &Fields, at: usize, action: &str| {
        let id = &state.store.row(entity, at).id;
        json!({"external_id": record.get("external_id"), "id": id, "action": action})
    };
    counts[4] += failed.len();
    results.extend(failed.iter().map(|(record, text)| error(record, text)));
    match insert_all(state, entity, &inserts) {
        Ok(places) => {
            counts[1] += places.len();
            for ((record, _), at) in inserts.iter().zip(places) {
                results.push(done(state, record, at, Action::Created.word()));
            }
        }
        Err(Refused(text)) => {
            counts[4] += inserts.len();
            results.extend(inserts.iter().map(|(record, _)| error(record, &text)));
        }
    }
    for (record, at, columns) in updates {
        let Some(columns) = columns else {
            counts[3] += 1;
            results.push(done(state, record, at, "skipped"));
            continue;
        };
        match state.store.update(entity, at, columns) {
            Ok(()) => {
                counts[2] += 1;
                state.store.remember_sent(entity, at, hash(record));
                results.push(done(state, record, at, Action::Updated.word()));
            }
            Err(Refused(text)) => {
                counts[4] += 1;
                results.push(error(record, &text));
            }
        }
    }
    let [total, created, updated, skipped, errors] = counts;
    let answer = json!({
        "total": total, "created": created, "updated": updated, "skipped": skipped, "errors": errors,
        "results": results, "duration_ms": 1,
    });
    (counts, answer)
}

/// One statement: all of them or none.
fn insert_all(
    state: &mut State,
    entity: Entity,
    inserts: &[(&Fields, Fields)],
) -> Result<Vec<usize>, Refused> {
    let mut places = Vec::new();
    for (record, columns) in inserts {
        match state.store.insert(entity, columns.clone()) {
            Ok(at) => {
                state.store.remember_sent(entity, at, hash(record));
                places.push(at);
            }
            Err(refused) => {
                places.iter().for_each(|at| state.store.hard_delete(entity, *at));
                return Err(refused);
            }
        }
    }
    Ok(places)
}

/// `POST /api-erp-sync/diff`: what a sync would do.
pub(super) fn diff(state: &mut State, body: &Fields) -> Value {
    let mut entities = Fields::new();
    let mut summary = [0; 5];
    for entity in ENTITIES {
        let Some(records) = body.get(entity.plural()).and_then(Value::as_array) else { continue };
        let nothing = Fields::new();
        let records: Vec<&Fields> =
            records.iter().map(|record| record.as_object().unwrap_or(&nothing)).collect();
        let mut counts = [records.len(), 0, 0, 0, 0];
        let plans = plan(state, entity, &records, true);
        let entries: Vec<Value> = records
            .iter()
            .zip(plans)
            .map(|(record, plan)| {
                let (slot, status, at, error) = match plan {
                    Plan::Create(_) => (1, "create", None, None),
                    Plan::Update(at, _) => (2, "update", Some(at), None),
                    Plan::Unchanged(at) => (3, "unchanged", Some(at), None),
                    Plan::Error(error) => (4, "error", None, Some(error)),
                };
                counts[slot] += 1;
                let mut entry = json!({
                    "external_id": record.get("external_id"),
                    "external_source": record.get("external_source"),
                    "status": status,
                });
                if let Some(at) = at {
                    entry["existing_id"] = state.store.row(entity, at).id.clone().into();
                }
                if let Some(error) = error {
                    entry["error"] = error.into();
                }
                entry
            })
            .collect();
        summary.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        let [total, create, update, unchanged, errors] = counts;
        entities.insert(
            entity.plural().to_owned(),
            json!({
                "entity_type": entity.plural(), "total": total, "to_create": create, "to_update": update,
                "unchanged": unchanged, "errors": errors, "records": entries,
            }),
        );
    }
    let [total, create, update, unchanged, errors] = summary;
    json!({
        "summary": {
            "total": total, "to_create": create, "to_update": update, "unchanged": unchanged, "errors": errors,
        },
        "entities": entities,
    })
}

fn plan(state: &mut State, entity: Entity, records: &[&Fields], skip: bool) -> Vec<Plan> {
    // Parents are looked up in the source of the first record only.
    let first = records.first().and_then(|record| text(record, "external_source")).unwrap_or_default();
    records.iter().map(|record| plan_one(state, entity, record, first, skip)).collect()
}

fn plan_one(state: &mut State, entity: Entity, record: &Fields, first_source: &str, skip: bool) -> Plan {
    let (Some(id), Some(source)) = (text(record, "external_id"), text(record, "external_source")) else {
        return Plan::Error("external_id and external_source are required".to_owned());
    };
    let needed: &[&str] = match entity {
        Entity::Jobs => &["job_number"],
        Entity::Parts => &["part_number"],
        _ => &["name", "type"],
    };
    if let Some(missing) = needed.iter().find(|field| text(record, field).is_none()) {
        return Plan::Error(format!("{missing} is required"));
    }
    let mut columns = record.clone();
    columns.insert("sync_hash".to_owned(), hash(record).into());
    if entity == Entity::Jobs {
        columns.entry("priority").or_insert_with(|| json!(0));
    }
    if entity == Entity::Parts
        && let Some(job) = columns.remove("job_external_id")
    {
        let job = job.as_str().unwrap_or_default().to_owned();
        let Some(at) = state.store.find(Entity::Jobs, first_source, &job) else {
            state.note(rules::ORDER, format!("a part names the job `{job}`"));
            return Plan::Error(format!("Job not found: {job}"));
        };
        columns.insert("job_id".to_owned(), state.store.row(Entity::Jobs, at).id.clone().into());
    }
    match state.store.find(entity, source, id) {
        None => Plan::Create(columns),
        Some(at) if skip && state.store.row(entity, at).sent == Some(hash(record)) => Plan::Unchanged(at),
        Some(at) => Plan::Update(at, columns),
    }
}
