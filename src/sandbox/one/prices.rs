//! Retail prices, price lists and their clients (ONe contract §3.8, §3.9).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, check_list, may, must};
use super::clients::not_found;
use super::route::{Answer, Reply, lines, page, text};
use super::{MOST_PRICE_LISTS, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const RETAIL: &[Field] = &[must("price", Holds::NotNegative), must("productId", Holds::Id)];
const PRICE: &[Field] =
    &[must("price", Holds::NotNegative), must("pricingId", Holds::Id), must("productId", Holds::Id)];
const DISCOUNT: &[Field] = &[
    must("type", Holds::OneOf(&["PERCENT_MULTIPLICATIVE", "PERCENT_ADDITIVE", "FLAT_VALUE"])),
    must("name", Holds::Id),
    may("priority", Holds::Integer),
    may("global", Holds::Bool),
    may("conditions", Holds::Any),
    may("defaultDiscount", Holds::Number),
];
const ASSIGNMENT: &[Field] =
    &[must("pricingId", Holds::Id), may("clientId", Holds::Id), may("clientGroupId", Holds::Id)];

pub(super) fn add_main_catalog(state: &mut State) {
    state.records.main_catalog = add(state, json!({"name": "Main catalogue", "type": "CATALOG"}));
}

/// A new price list; its id.
pub(super) fn add(state: &mut State, mut pricing: Value) -> String {
    let id = state.uuid();
    pricing["id"] = Value::from(id.as_str());
    state.records.pricings.insert(id.clone(), pricing);
    id
}

/// Products that aren't listed keep their price.
pub(super) fn put_retail(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    for (place, line) in check_list(request, "prices", &body, RETAIL)?.iter().enumerate() {
        known_product(state, place, line)?;
    }
    for line in body.as_array().into_iter().flatten() {
        state.records.retail_prices.insert(text(line, "productId"), line.clone());
    }
    Ok(Reply::Done)
}

pub(super) fn put(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    for (place, line) in check_list(request, "prices", &body, PRICE)?.iter().enumerate() {
        known_pricing(state, &format!("prices[{place}]"), line)?;
        known_product(state, place, line)?;
    }
    for line in body.as_array().into_iter().flatten() {
        let key = (text(line, "pricingId"), text(line, "productId"));
        state.records.prices.insert(key, line.clone());
    }
    Ok(Reply::Done)
}

pub(super) fn create_discount(state: &mut State, request: &Incoming) -> Answer {
    let discount = request.json()?;
    check(request, "discount", &discount, DISCOUNT)?;
    Ok(Reply::Json(json!({"id": add(state, discount)})))
}

pub(super) fn list(state: &State, request: &Incoming) -> Answer {
    let rows: Vec<Value> = page(request, state.records.pricings.values())?.into_iter().cloned().collect();
    Ok(Reply::Json(Value::from(rows)))
}

/// A price list goes with its prices, and its clients lose it.
pub(super) fn delete(state: &mut State, id: &str) -> Answer {
    if state.records.main_catalog == id {
        return Err(Refusal::bad("main-catalog-deleted", "the main catalogue can't be deleted"));
    }
    let records = &mut state.records;
    records.pricings.remove(id).ok_or_else(|| Refusal::not_found(format!("unknown price list `{id}`")))?;
    records.prices.retain(|(pricing, _), _| pricing != id);
    records.clients_to_pricings.values_mut().for_each(|pricings| {
        pricings.remove(id);
    });
    Ok(Reply::Done)
}

/// The price lists named in the request join those a client has; the 2,001st refuses it whole.
pub(super) fn assign(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (place, line) in check_list(request, "assignments", &body, ASSIGNMENT)?.iter().enumerate() {
        let at = format!("assignments[{place}]");
        known_pricing(state, &at, line)?;
        let owner = match (line["clientId"].as_str(), line["clientGroupId"].as_str()) {
            (Some(client), None) => {
                state.client(client).ok_or_else(not_found)?;
                client
            }
            (None, Some(group)) => group,
            _ => {
                let what = format!("{at} needs exactly one of clientId and clientGroupId");
                return Err(Refusal::bad("client-or-group", what));
            }
        };
        let has = state.records.clients_to_pricings.get(owner);
        let pricings = wanted.entry(owner.to_owned()).or_insert_with(|| has.cloned().unwrap_or_default());
        pricings.insert(text(line, "pricingId"));
        if pricings.len() > MOST_PRICE_LISTS {
            let what = format!("{at}: {owner} would have more than {MOST_PRICE_LISTS} price lists");
            return Err(Refusal::bad("price-lists-of-a-client", what));
        }
    }
    state.records.clients_to_pricings.extend(wanted);
    Ok(Reply::Done)
}

/// The ids of a client's price lists.
pub(super) fn of_client(state: &State, client: &str) -> Answer {
    state.client(client).ok_or_else(not_found)?;
    let pricings = state.records.clients_to_pricings.get(client).into_iter().flatten();
    Ok(Reply::Json(pricings.map(String::as_str).collect()))
}

fn known_pricing(state: &State, at: &str, line: &Value) -> Result<(), Refusal> {
    let id = text(line, "pricingId");
    if state.records.pricings.contains_key(&id) {
        return Ok(());
    }
    Err(Refusal::bad("price-list-first", format!("{at}: there is no price list `{id}`")))
}

fn known_product(state: &State, place: usize, line: &Value) -> Result<(), Refusal> {
    let sku = text(line, "productId");
    if !state.refused_skus.contains(&sku) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::BAD_REQUEST, format!("prices[{place}]: unknown product `{sku}`")))
}
