//! The handlers of generation B: they write what they are sent into the database as it is, with a `sync_hash`, and a bulk
//! call doesn't look at what the database says to that.

use super::rules::{text, validate_job};
use super::store::{Entity, Fields, Refused};
use super::{Action, State, hash};
use serde_json::{Value, json};

/// Why a record was not taken.
#[derive(Debug)]
pub(super) enum No {
    /// The handler says so.
    Record(String),
    /// The validator of jobs says so.
    Invalid(Vec<Value>),
    /// The database says so.
    Database(String),
}

/// Creates or updates one record: what happened, and its place.
pub(super) fn upsert(state: &mut State, entity: Entity, record: &Fields) -> Result<(Action, usize), No> {
    let Some(external_id) = text(record, "external_id") else {
        return Err(No::Record("external_id is required".to_owned()));
    };
    let Some(source) = text(record, "external_source") else {
        return Err(No::Record("external_source is required".to_owned()));
    };
    if entity == Entity::Jobs {
        let errors = validate_job(record);
        if !errors.is_empty() {
            return Err(No::Invalid(errors));
        }
    }
    let mut columns = record.clone();
    columns.insert("sync_hash".to_owned(), hash(record).into());
    let refused = |Refused(text): Refused| No::Database(text);
    match state.store.find(entity, source, external_id) {
        Some(at) => {
            state.store.update(entity, at, columns).map_err(refused)?;
            Ok((Action::Updated, at))
        }
        None => Ok((Action::Created, state.store.insert(entity, columns).map_err(refused)?)),
    }
}

/// A bulk call: counts, and the records that were stopped before the database. What the database refuses is counted as
/// done, unless `told`.
pub(super) fn bulk(state: &mut State, entity: Entity, records: &[Value], told: bool) -> Value {
    let (mut created, mut updated, mut errors) = (0, 0, Vec::new());
    let nothing = Fields::new();
    for item in records {
        let record = item.as_object().unwrap_or(&nothing);
        let exists = text(record, "external_source")
            .zip(text(record, "external_id"))
            .is_some_and(|(source, id)| state.store.find(entity, source, id).is_some());
        let error: Option<Value> = match upsert(state, entity, record) {
            Err(No::Record(text)) => Some(text.into()),
            Err(No::Invalid(errors)) => Some(errors.into()),
            Err(No::Database(text)) if told => Some(text.into()),
            Ok(_) | Err(No::Database(_)) => None,
        };
        match error {
            Some(error) => errors.push(json!({"item": item, "error": error})),
            None if exists => updated += 1,
            None => created += 1,
        }
    }
    json!({
        "results": {"created": created, "updated": updated, "failed": errors.len(), "errors": errors},
        "total": records.len(),
    })
}
