//! Segments of clients (ONe contract §3.1).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::route::{Answer, Reply, page, text};
use serde_json::{Value, json};

const ROOT: &str = "segment";
const FIELDS: &[Field] =
    &[must("name", Holds::Id), may("externalId", Holds::Id), may("parentSegmentId", Holds::Id)];

pub(super) fn add_root(state: &mut State) {
    let root = json!({"id": ROOT, "name": "All clients", "externalId": null, "parentSegmentId": null});
    state.records.segments.insert(ROOT.to_owned(), root);
}

pub(super) fn list(state: &State, request: &Incoming) -> Answer {
    let rows: Vec<Value> = page(request, state.records.segments.values())?.into_iter().cloned().collect();
    Ok(Reply::Json(Value::from(rows)))
}

/// Nothing keeps a segment from being created twice; who does it has not looked.
pub(super) fn create(state: &mut State, request: &Incoming) -> Answer {
    let mut segment = read(state, request)?;
    let external = segment.get("externalId").and_then(Value::as_str);
    let twin = state
        .records
        .segments
        .values()
        .find(|other| external.is_some() && other.get("externalId").and_then(Value::as_str) == external);
    if let Some(twin) = twin {
        request.note(
            "created-twice",
            format!("segment {} is there as {}", text(twin, "externalId"), text(twin, "id")),
        );
    }
    let id = state.uuid();
    segment["id"] = Value::from(id.as_str());
    state.records.segments.insert(id.clone(), segment);
    Ok(Reply::Json(json!({"id": id})))
}

pub(super) fn get(state: &State, id: &str) -> Answer {
    state.records.segments.get(id).cloned().map(Reply::Json).ok_or_else(|| unknown(id))
}

pub(super) fn update(state: &mut State, request: &Incoming, id: &str) -> Answer {
    let mut segment = read(state, request)?;
    let old = state.records.segments.get_mut(id).ok_or_else(|| unknown(id))?;
    segment["id"] = Value::from(id);
    *old = segment;
    Ok(Reply::Done)
}

pub(super) fn delete(state: &mut State, id: &str) -> Answer {
    state.records.segments.remove(id).map(|_| Reply::Done).ok_or_else(|| unknown(id))
}

fn read(state: &State, request: &Incoming) -> Result<Value, Refusal> {
    let segment = request.json()?;
    check(request, "segment", &segment, FIELDS)?;
    match segment.get("parentSegmentId").and_then(Value::as_str) {
        Some(parent) if !state.records.segments.contains_key(parent) => {
            Err(Refusal::bad("segment-parent", format!("there is no parent segment `{parent}`")))
        }
        _ => Ok(segment),
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("unknown segment `{id}`"))
}
