//! Blockades of clients (ONe contract §3.7).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::clients::not_found;
use super::route::{Answer, Reply, text};
use serde_json::{Value, json};

const FIELDS: &[Field] =
    &[must("type", Holds::OneOf(&["TRADE_CREDIT", "SALE", "CLIENT"])), may("externalId", Holds::Id)];

/// The blockade if there is one, a list of them if there are several.
pub(super) fn get(state: &State, client: &str) -> Answer {
    state.client(client).ok_or_else(not_found)?;
    let blockades = state.records.blockades.get(client).ok_or_else(none)?;
    let mut rows: Vec<Value> = Vec::new();
    for (kind, blockade) in blockades {
        let mut row = blockade.clone();
        row["id"] = Value::from(format!("{client}/{kind}"));
        row["label"] = Value::from(kind.to_lowercase());
        row["message"] = json!("Please contact us");
        rows.push(row);
    }
    Ok(Reply::Json(if rows.len() == 1 { rows.remove(0) } else { Value::from(rows) }))
}

pub(super) fn put(state: &mut State, request: &Incoming, client: &str) -> Answer {
    state.client(client).ok_or_else(not_found)?;
    let blockade = request.json()?;
    check(request, "blockade", &blockade, FIELDS)?;
    let kind = text(&blockade, "type");
    state.records.blockades.entry(client.to_owned()).or_default().insert(kind, blockade);
    Ok(Reply::Done)
}

pub(super) fn delete(state: &mut State, request: &Incoming, client: &str) -> Answer {
    state.client(client).ok_or_else(not_found)?;
    let named = |name: &str| {
        let missing = || Refusal::bad("query-missing", format!("`{name}` says which blockade is lifted"));
        request.param(name).map(str::to_owned).ok_or_else(missing)
    };
    let (field, value) = match state.switches.text("blockade-delete").as_str() {
        "type" => ("type", named("type")?),
        "external-id" => ("externalId", named("externalId")?),
        _ => return state.records.blockades.remove(client).map(|_| Reply::Done).ok_or_else(none),
    };
    let blockades = state.records.blockades.get_mut(client).ok_or_else(none)?;
    let before = blockades.len();
    blockades.retain(|_, blockade| text(blockade, field) != value);
    let (left, lifted) = (blockades.len(), blockades.len() < before);
    if left == 0 {
        state.records.blockades.remove(client);
    }
    if lifted { Ok(Reply::Done) } else { Err(none()) }
}

fn none() -> Refusal {
    Refusal::not_found("no such blockade")
}
