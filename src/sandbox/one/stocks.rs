//! Stocks of warehouses (ONe contract §3.3): changes, whole inventories, reading.

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check_list, decimal, must};
use super::State;
use super::records::Stock;
use super::route::{Answer, Reply, most_lines, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const LINE: &[Field] = &[must("id", Holds::Id), must("sku", Holds::Id), must("quantity", Holds::NotNegative)];
/// Where quantities are differences.
const DELTA_LINE: &[Field] =
    &[must("id", Holds::Id), must("sku", Holds::Id), must("quantity", Holds::Number)];

pub(super) fn incremental(state: &mut State, request: &Incoming, warehouse: &str) -> Answer {
    known(state, warehouse)?;
    let delta = state.switches.is("stock-quantity", "delta");
    let body = request.json()?;
    let (lines, removed) = read(state, request, &body, if delta { DELTA_LINE } else { LINE })?;
    let counts = &mut state.counts;
    counts.requests += 1;
    counts.lines += lines.len();
    counts.removals += removed.len();
    counts.largest = counts.largest.max(lines.len() + removed.len());
    let stocks = state.records.stocks.entry(warehouse.to_owned()).or_default();
    for line in lines {
        set(stocks, line, delta);
    }
    for id in removed {
        stocks.remove(&id);
    }
    Ok(Reply::Done)
}

/// What isn't in the request is gone afterwards: a list split over two requests loses its first half.
pub(super) fn replace(state: &mut State, request: &Incoming, warehouse: &str) -> Answer {
    known(state, warehouse)?;
    let body = request.json()?;
    let (lines, _) = read(state, request, &body, LINE)?;
    state.counts.requests += 1;
    state.counts.lines += lines.len();
    state.counts.largest = state.counts.largest.max(lines.len());
    let stocks = state.records.stocks.entry(warehouse.to_owned()).or_default();
    let ids: BTreeSet<String> = lines.iter().map(|line| text(line, "id")).collect();
    stocks.retain(|id, _| ids.contains(id));
    for line in lines {
        set(stocks, line, false);
    }
    Ok(Reply::Done)
}

pub(super) fn of_warehouse(state: &State, warehouse: &str) -> Answer {
    let stocks = state.records.stocks.get(warehouse).ok_or_else(|| unknown(warehouse))?;
    Ok(Reply::Json(stocks.iter().map(|(id, stock)| row(id, stock)).collect()))
}

/// All stocks, or those of `warehouses` and of `skus`, each separated by commas.
pub(super) fn all(state: &State, request: &Incoming) -> Answer {
    let wanted = |name: &str, value: &str| {
        request.param(name).is_none_or(|list| list.split(',').any(|wanted| wanted == value))
    };
    let mut rows = Vec::new();
    for (warehouse, stocks) in &state.records.stocks {
        for (id, stock) in stocks {
            if wanted("warehouses", warehouse) && wanted("skus", &stock.sku) {
                let mut row = row(id, stock);
                row["warehouse"] = Value::from(warehouse.as_str());
                rows.push(row);
            }
        }
    }
    Ok(Reply::Json(Value::from(rows)))
}

fn row(id: &str, stock: &Stock) -> Value {
    let quantity: Value = serde_json::from_str(&stock.quantity).unwrap_or(Value::Null);
    json!({"id": id, "sku": stock.sku, "quantity": quantity})
}

fn known(state: &State, warehouse: &str) -> Result<(), Refusal> {
    state.records.stocks.get(warehouse).map(drop).ok_or_else(|| unknown(warehouse))
}

fn unknown(warehouse: &str) -> Refusal {
    Refusal::not_found(format!("unknown warehouse `{warehouse}`"))
}

/// The lines and the ids to remove.
fn read<'a>(
    state: &State,
    request: &Incoming,
    body: &'a Value,
    fields: &[Field],
) -> Result<(&'a [Value], Vec<String>), Refusal> {
    let mut removed = Vec::new();
    match body.get("stocksToRemove") {
        None => {}
        Some(Value::Array(ids)) => {
            for (place, id) in ids.iter().enumerate() {
                let id = id.as_str().filter(|id| !id.is_empty());
                let wrong = || Refusal::bad("field-type", format!("stocksToRemove[{place}] is no stock id"));
                removed.push(id.ok_or_else(wrong)?.to_owned());
            }
        }
        Some(_) => return Err(Refusal::bad("field-type", "`stocksToRemove` is no list")),
    }
    let stocks = body.get("stocks").unwrap_or(&Value::Null);
    most_lines(state, stocks.as_array().map_or(0, Vec::len) + removed.len())?;
    let lines = check_list(request, "stocks", stocks, fields)?;
    let mut ids = BTreeSet::new();
    for (place, line) in lines.iter().enumerate() {
        let (id, sku) = (text(line, "id"), text(line, "sku"));
        if state.refused_skus.contains(&sku) {
            let what = format!("stocks[{place}]: unknown product `{sku}`");
            return Err(Refusal::new(axum::http::StatusCode::BAD_REQUEST, what));
        }
        if removed.contains(&id) {
            request.note("stock-set-and-removed", format!("`{id}`"));
        }
        if !ids.insert(id) {
            request.note("stock-twice", format!("stocks[{place}].id is there before"));
        }
    }
    Ok((lines, removed))
}

fn set(stocks: &mut BTreeMap<String, Stock>, line: &Value, delta: bool) {
    let (id, sku) = (text(line, "id"), text(line, "sku"));
    let before = stocks.get(&id);
    let quantity = match before {
        Some(before) if delta => {
            let before: Value = serde_json::from_str(&before.quantity).unwrap_or(Value::Null);
            let sum = decimal(&before).unwrap_or(0) + decimal(&line["quantity"]).unwrap_or(0);
            let sign = if sum < 0 { "-" } else { "" };
            let (whole, decimals) = (sum.abs() / 1_000_000, sum.abs() % 1_000_000);
            let text = format!("{sign}{whole}.{decimals:06}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => line["quantity"].to_string(),
    };
    let writes = before.map_or(0, |before| before.writes) + 1;
    stocks.insert(id, Stock { sku, quantity, writes });
}
