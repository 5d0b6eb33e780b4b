//! Warehouses (ONe contract §3.2).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::route::{Answer, Reply, lines, text};
use serde_json::Value;

const FIELDS: &[Field] = &[
    must("id", Holds::Id),
    must("type", Holds::OneOf(&["CENTRAL", "LOCAL"])),
    may("name", Holds::Text),
    may("label", Holds::Text),
    may("parent", Holds::Id),
    may("pickupPoint", Holds::Bool),
    may("reservation", Holds::Bool),
    may("supported", Holds::Bool),
    may("reservationTime", Holds::Integer),
    may("shippingTime", Holds::Integer),
    may("address", Holds::Object(ADDRESS)),
];
const ADDRESS: &[Field] = &[
    may("TIN", Holds::Text),
    may("type", Holds::Text),
    may("firstName", Holds::Text),
    may("lastName", Holds::Text),
    may("companyName", Holds::Text),
    may("zip", Holds::Text),
    may("city", Holds::Text),
    may("street", Holds::Text),
    may("number", Holds::Text),
    may("apartment", Holds::Text),
    may("country", Holds::Text),
    may("phone", Holds::Text),
    may("latitude", Holds::Any),
    may("longitude", Holds::Any),
    may("additionalInfo", Holds::Text),
];

/// One warehouse or a list of them, central ones before the local ones below them.
pub(super) fn put(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    let warehouses = match body {
        Value::Array(warehouses) => warehouses,
        one => vec![one],
    };
    let mut central: Vec<String> = Vec::new();
    for (place, warehouse) in warehouses.iter().enumerate() {
        let at = format!("warehouses[{place}]");
        check(request, &at, warehouse, FIELDS)?;
        if warehouse["reservation"] == true && warehouse.get("reservationTime").is_none_or(Value::is_null) {
            return Err(Refusal::bad("reservation-time", format!("{at}.reservationTime is missing")));
        }
        if warehouse["type"] == "CENTRAL" {
            central.push(text(warehouse, "id"));
            continue;
        }
        let parent = text(warehouse, "parent");
        let known = state.records.warehouses.get(&parent).is_some_and(|known| known["type"] == "CENTRAL");
        if !known && !central.contains(&parent) {
            let what = format!("{at}.parent is no central warehouse that is known by now");
            return Err(Refusal::bad("warehouse-parent", what));
        }
    }
    for warehouse in warehouses {
        let id = text(&warehouse, "id");
        state.records.stocks.entry(id.clone()).or_default();
        state.records.warehouses.insert(id, warehouse);
    }
    Ok(Reply::Done)
}
