//! Orders: the feed of their events, a shipment's content, and what the ERP says of them (ONe contract §3.12, §3.13).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, must};
use super::State;
use super::route::{Answer, Reply, number, text};
use serde_json::{Value, json};

const EVENT_TYPES: [&str; 4] = ["ADDED", "REMOVED", "CHANGED", "CHANGED_PAYMENT"];
/// The values of `order/status` are not documented; these are the sandbox's.
pub(super) const STATUSES: &[&str] =
    &["NEW", "CONFIRMED", "IN_PROGRESS", "READY", "SHIPPED", "DELIVERED", "CANCELLED"];
const SHIPMENT: Field = must("shipmentId", Holds::Id);
const STATUS: &[Field] = &[SHIPMENT, must("status", Holds::OneOf(STATUSES))];
const PAYMENT: &[Field] = &[
    SHIPMENT,
    must("newPaymentStatus", Holds::OneOf(&["PENDING", "PAID", "FAILED", "CANCELLED", "TIMEOUT"])),
];
const DELIVERY: &[Field] = &[SHIPMENT, must("date", Holds::Date)];
const SHIPPED: &[Field] = &[
    SHIPMENT,
    must(
        "quantityChanges",
        Holds::List(&[must("sku", Holds::Id), must("quantityShipped", Holds::NotNegative)]),
    ),
];
const WAYBILLS: &[Field] = &[SHIPMENT, must("waybills", Holds::Ids)];

pub(super) fn feed(state: &mut State, request: &Incoming) -> Answer {
    let types = request.param("eventTypes").ok_or_else(|| {
        Refusal::bad("query-missing", "`eventTypes` is missing in the query; empty means all")
    })?;
    let types: Vec<&str> = types.split(',').filter(|name| !name.is_empty()).collect();
    if let Some(wrong) = types.iter().find(|name| !EVENT_TYPES.contains(name)) {
        return Err(Refusal::bad("query-enum", format!("there is no event type `{wrong}`")));
    }
    let (most, start) = (number(request, "numberOfEvents")?, number(request, "startId")?);
    Ok(Reply::Json(state.order_feed.page(&state.switches, start, most, &types)))
}

pub(super) fn shipment(state: &State, request: &Incoming) -> Answer {
    let id = request
        .param("shipmentId")
        .ok_or_else(|| Refusal::bad("query-missing", "`shipmentId` is missing in the query"))?;
    let found = state.records.shipments.get(id).cloned();
    found.map(Reply::Json).ok_or_else(|| Refusal::not_found(format!("unknown shipment `{id}`")))
}

/// Status, payment status, confirmed delivery date, shipped quantities, waybills. Only the first has a documented path.
pub(super) fn update(state: &mut State, request: &Incoming, call: &str) -> Answer {
    let fields = match (request.method.as_str(), call) {
        ("PUT", "status") => STATUS,
        ("PUT", "payment-status") => PAYMENT,
        ("PUT", "confirmed-delivery-date") => DELIVERY,
        ("PUT", "shipped-quantity") => SHIPPED,
        ("POST", "waybills") => WAYBILLS,
        _ => {
            let status = axum::http::StatusCode::NOT_FOUND;
            return Err(Refusal::broken(status, "no-such-endpoint", "no such endpoint"));
        }
    };
    let body = request.json()?;
    check(request, "order", &body, fields)?;
    let id = text(&body, "shipmentId");
    let shipment = state
        .records
        .shipments
        .get(&id)
        .ok_or_else(|| Refusal::not_found(format!("unknown shipment `{id}`")))?;
    let ordered = |sku: &str| {
        shipment["productLines"].as_array().into_iter().flatten().any(|line| text(line, "sku") == sku)
    };
    for change in body["quantityChanges"].as_array().into_iter().flatten() {
        let sku = text(change, "sku");
        if !ordered(&sku) {
            return Err(Refusal::bad("sku-of-the-order", format!("`{sku}` is not in `{id}`")));
        }
    }
    let said = state.records.order_updates.entry((call.to_owned(), id)).or_default();
    for waybill in body["waybills"].as_array().into_iter().flatten() {
        let before = said.iter().flat_map(|body| body["waybills"].as_array().into_iter().flatten());
        if before.into_iter().any(|known| known == waybill) {
            request.note("waybill-twice", format!("{waybill}"));
        }
    }
    said.push(body);
    Ok(Reply::Done)
}

/// Has the feed say what became of a shipment.
pub(super) fn tell(state: &mut State, shipment: &str, event: &'static str) {
    let order = shipment.rsplit_once('/').map_or(shipment, |(order, _)| order);
    let event_body = json!({"orderId": order, "shipmentId": shipment, "eventType": event});
    state.order_feed.push(&state.switches, event, event_body);
}

/// Removes a shipment, and has the feed say so.
pub(super) fn remove(state: &mut State, shipment: &str) -> Option<Value> {
    let removed = state.records.shipments.remove(shipment)?;
    tell(state, shipment, "REMOVED");
    Some(removed)
}
