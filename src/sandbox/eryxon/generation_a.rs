//! The handlers of generation A: they pick the fields they know, resolve parents by external id, fill in what is
//! missing (also on updates, where that overwrites) and say of each record what became of it.

use super::rules::{self, text};
use super::store::{Entity, Fields, Refused};
use super::{Action, State, hash};
use serde_json::{Value, json};

/// Why a record was not taken.
#[derive(Debug)]
pub(super) enum No {
    /// The handler says so.
    Record(String),
    /// The database says so.
    Database(&'static str, String),
    /// The plan allows no more of them.
    Plan { used: usize, limit: usize },
}

impl No {
    /// The text of a bulk result.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Record(text) | Self::Database(_, text) => text,
            Self::Plan { .. } => "Quota exceeded".to_owned(),
        }
    }
}

/// Creates or updates one record: what happened, and its place.
pub(super) fn upsert(
    state: &mut State,
    entity: Entity,
    record: &Fields,
    bulk: bool,
) -> Result<(Action, usize), No> {
    let (Some(external_id), Some(source)) = (text(record, "external_id"), text(record, "external_source"))
    else {
        return Err(No::Record("external_id and external_source are required".to_owned()));
    };
    let existing = state.store.find(entity, source, external_id);
    let columns = columns(state, entity, record, existing, bulk).map_err(No::Record)?;
    let refused = |what| move |Refused(text): Refused| No::Database(what, text);
    match existing {
        Some(at) => {
            state.store.update(entity, at, columns).map_err(refused("update"))?;
            Ok((Action::Updated, at))
        }
        None => {
            // Bulk calls don't ask the plan.
            let (used, limit) = (state.store.len(entity), state.plan_limit);
            if !bulk && limit > 0 && used >= limit && matches!(entity, Entity::Jobs | Entity::Parts) {
                return Err(No::Plan { used, limit });
            }
            Ok((Action::Created, state.store.insert(entity, columns).map_err(refused("create"))?))
        }
    }
}

fn columns(
    state: &mut State,
    entity: Entity,
    record: &Fields,
    existing: Option<usize>,
    bulk: bool,
) -> Result<Fields, String> {
    let mut columns = Fields::new();
    let copy = |columns: &mut Fields, fields: &[&str]| {
        for field in fields {
            if let Some(value) = record.get(*field) {
                columns.insert((*field).to_owned(), value.clone());
            }
        }
    };
    let given = |field: &str| record.get(field).filter(|value| !value.is_null() && **value != json!(0));
    let or = |field: &str, default: Value| given(field).cloned().unwrap_or(default);
    copy(&mut columns, &["external_id", "external_source", "metadata", "notes"]);
    let mut set = |name: &str, value: Value| {
        columns.insert(name.to_owned(), value);
    };
    match entity {
        Entity::Cells => {
            set("name", text(record, "name").ok_or("name is required")?.into());
            set("color", or("color", json!("#3B82F6")));
            set("active", or("active", json!(true)));
            match (record.get("sequence"), existing) {
                (Some(sequence), _) => set("sequence", sequence.clone()),
                (None, Some(_)) => {}
                (None, None) => {
                    let sequences =
                        state.store.rows(entity).filter_map(|row| row.fields.get("sequence")?.as_i64());
                    let next = sequences.max().unwrap_or(0) + 1;
                    set("sequence", next.into());
                }
            }
        }
        Entity::Resources => {
            let (Some(name), Some(of)) = (text(record, "name"), text(record, "type")) else {
                return Err("name and type are required".to_owned());
            };
            set("name", name.into());
            set("type", of.into());
            set("status", or("status", json!("available")));
            set("active", or("active", json!(true)));
            set("sync_hash", hash(record).into());
            copy(&mut columns, &["description", "identifier", "location"]);
        }
        Entity::Jobs => {
            set("job_number", text(record, "job_number").ok_or("job_number is required")?.into());
            if let Some(customer) = given("customer_name").or(given("customer")) {
                set("customer", customer.clone());
            }
            if let Some(notes) = given("notes").or(given("description")) {
                set("notes", notes.clone());
            }
            match existing {
                None => {
                    set("priority", or("priority", json!(0)));
                    set("status", or("status", json!("not_started")));
                }
                Some(_) => {
                    if !bulk && let Some(status) = given("status") {
                        set("status", status.clone());
                    }
                    copy(&mut columns, &["priority"]);
                }
            }
            copy(&mut columns, &["due_date"]);
        }
        Entity::Parts => {
            set("part_number", text(record, "part_number").ok_or("part_number is required")?.into());
            let job = parent(state, Entity::Jobs, record, "job_id", "job_external_id");
            set("job_id", job.ok_or("job_id or valid job_external_id is required")?.into());
            set("material", or("material", json!("Unknown")));
            set("quantity", or("quantity", json!(1)));
            match existing {
                None => set("status", or("status", json!("not_started"))),
                Some(_) if bulk => {}
                Some(_) => copy(&mut columns, &["status"]),
            }
            if !bulk {
                copy(&mut columns, &["file_paths"]);
            }
        }
        Entity::Operations => {
            set("operation_name", text(record, "operation_name").ok_or("operation_name is required")?.into());
            let part = parent(state, Entity::Parts, record, "part_id", "part_external_id");
            set("part_id", part.ok_or("part_id or valid part_external_id is required")?.into());
            let by_name = || {
                let at = state.store.find_by(Entity::Cells, "name", text(record, "cell_name")?)?;
                Some(state.store.row(Entity::Cells, at).id.clone())
            };
            let cell = text(record, "cell_id").map(str::to_owned).or_else(by_name);
            if cell.is_none() {
                let name = text(record, "cell_name").unwrap_or("none");
                state.note(rules::ORDER, format!("an operation names the cell `{name}`"));
            }
            set("cell_id", cell.ok_or("cell_id or valid cell_name is required")?.into());
            set("sequence", or("sequence", json!(1)));
            set("estimated_time", record.get("estimated_time_minutes").cloned().unwrap_or(json!(0)));
        }
    }
    Ok(columns)
}

/// The id of a parent, given as such or found by its external id, of whatever source.
fn parent(state: &mut State, entity: Entity, record: &Fields, id: &str, external: &str) -> Option<String> {
    if let Some(id) = text(record, id) {
        return Some(id.to_owned());
    }
    let external_id = text(record, external)?;
    match state.store.find_any_source(entity, external_id) {
        Some(at) => Some(state.store.row(entity, at).id.clone()),
        None => {
            let what = format!("a child names the {} `{external_id}`", entity.singular());
            state.note(rules::ORDER, what);
            None
        }
    }
}

/// The parts of a job and the operations of its parts. What can't be taken is passed over without a word.
pub(super) fn nested(state: &mut State, job: &Fields, job_at: usize) {
    let job_id = state.store.row(Entity::Jobs, job_at).id.clone();
    let source = job.get("external_source").cloned().unwrap_or_default();
    for part in list(job, "parts") {
        let named = |field: &str| text(part, field).is_some();
        let mut inherited = part.clone();
        inherited.insert("external_source".to_owned(), source.clone());
        inherited.insert("job_id".to_owned(), job_id.clone().into());
        let at = (named("external_id") && named("part_number"))
            .then(|| upsert(state, Entity::Parts, &inherited, false).ok())
            .flatten();
        let Some((_, at)) = at else {
            state.note(rules::NESTED, format!("a part: {}", Value::from(part.clone())));
            continue;
        };
        let part_id = state.store.row(Entity::Parts, at).id.clone();
        for operation in list(part, "operations") {
            let mut inherited = operation.clone();
            inherited.insert("external_source".to_owned(), source.clone());
            inherited.insert("part_id".to_owned(), part_id.clone().into());
            if upsert(state, Entity::Operations, &inherited, false).is_err() {
                let what = format!("an operation: {}", Value::from(operation.clone()));
                state.note(rules::NESTED, what);
            }
        }
    }
}

fn list<'a>(record: &'a Fields, field: &str) -> impl Iterator<Item = &'a Fields> {
    record.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// A bulk call: an entry for each record, in the order they were sent.
pub(super) fn bulk(state: &mut State, entity: Entity, records: &[Value]) -> Value {
    let (mut created, mut updated, mut errors) = (0, 0, 0);
    let nothing = Fields::new();
    let results: Vec<Value> = records
        .iter()
        .map(|record| {
            let record = record.as_object().unwrap_or(&nothing);
            let outcome = upsert(state, entity, record, true);
            let mut result = Fields::new();
            if let Some(external_id) = record.get("external_id") {
                result.insert("external_id".to_owned(), external_id.clone());
            }
            match outcome {
                Ok((action, at)) => {
                    *(if action == Action::Created { &mut created } else { &mut updated }) += 1;
                    result.insert("id".to_owned(), state.store.row(entity, at).id.clone().into());
                    result.insert("action".to_owned(), action.word().into());
                }
                Err(no) => {
                    errors += 1;
                    result.insert("action".to_owned(), "error".into());
                    result.insert("error".to_owned(), no.into_text().into());
                }
            }
            Value::from(result)
        })
        .collect();
    json!({"total": records.len(), "created": created, "updated": updated, "errors": errors, "results": results})
}
