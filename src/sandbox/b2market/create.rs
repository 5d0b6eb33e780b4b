//! `POST /Order/create` (B2Market contract §7): the fields, the preconditions in their order, the order that comes of it.
//!
//! Nothing keeps an order from being created twice; who does it is noted, and gets a second one.

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, amount, check, may, must};
use super::masters::{Masters, Rows};
use super::{B2Market, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const FIELDS: &[Field] = &[
    must("id", Holds::Id),
    must("companyId", Holds::Id),
    must("clientId", Holds::Id),
    must("agentId", Holds::Id),
    may("seasonId", Holds::Id),
    must("statusId", Holds::Id),
    must("shippingAddressId", Holds::Id),
    must("billingAddressId", Holds::Id),
    may("reference", Holds::Text),
    may("dateOrder", Holds::Text),
    may("observation", Holds::Text),
    // Not wanted is written [], neither null nor left out.
    must("discount", Holds::List(DISCOUNT)),
    must("lines", Holds::List(LINE)),
];
const DISCOUNT: &[Field] = &[
    must("id", Holds::Id),
    must("discountTypeId", Holds::Id),
    may("sequence", Holds::Integer),
    must("discount", Holds::Amount),
    may("isLine", Holds::Bool),
];
const LINE: &[Field] = &[
    must("id", Holds::Id),
    must("lineStatusId", Holds::Id),
    must("quantity", Holds::Number),
    must("discount", Holds::List(DISCOUNT)),
    must("lineDetail", Holds::List(DETAIL)),
    may("observations", Holds::Text),
    may("deliveryDate", Holds::Text),
];
const DETAIL: &[Field] = &[
    must("id", Holds::Id),
    must("productId", Holds::Id),
    must("quantity", Holds::Number),
    must("price", Holds::Amount),
    may("retailPrice", Holds::Amount),
];

pub(super) fn create(market: &B2Market, state: &mut State, request: &Incoming) -> Result<Response, Refusal> {
    let body = request.json()?;
    check(request, "order", &body, FIELDS)?;
    check_quantities(request, &body)?;
    check_parents(&state.masters, &body, market.switches.is("fashion", "true"))?;
    let remote = text(&body, "id");
    if state.created.values().any(|other| text(other, "id") == remote) {
        request.note("created-twice", format!("order {remote} is there"));
    }
    let now = market.wire.clock().now();
    let id = state.orders.add(now, now, None);
    let order = order(state, &body, &id, &market.inside.username, now);
    state.orders.set_document(&id, order);
    state.created.insert(id.clone(), body);
    let order = state.orders.one(&id).data;
    Ok(match market.switches.text("create-answer").as_str() {
        "id" => (StatusCode::CREATED, axum::Json(json!({"id": id}))).into_response(),
        "none" => StatusCode::CREATED.into_response(),
        _ => {
            let order: Vec<Value> = serde_json::from_str(&order).unwrap_or_default();
            (StatusCode::CREATED, axum::Json(order.into_iter().next())).into_response()
        }
    })
}

fn check_quantities(request: &Incoming, body: &Value) -> Result<(), Refusal> {
    let lines = list(body, "lines");
    if lines.is_empty() {
        return Err(Refusal::bad("lines", "order.lines has no line"));
    }
    for (place, line) in lines.iter().enumerate() {
        let mut sum = 0;
        for detail in list(line, "lineDetail") {
            let quantity = amount(&detail["quantity"]).unwrap_or(0);
            if quantity <= 0 {
                return Err(Refusal::bad(
                    "quantity",
                    format!("order.lines[{place}]: a quantity is not above zero"),
                ));
            }
            sum += quantity;
        }
        let quantity = amount(&line["quantity"]).unwrap_or(0);
        if quantity <= 0 {
            return Err(Refusal::bad("quantity", format!("order.lines[{place}].quantity is not above zero")));
        }
        if quantity != sum {
            request.note(
                "line-quantity",
                format!("order.lines[{place}].quantity is not the sum of its details"),
            );
        }
    }
    Ok(())
}

/// What must be there before the order, in the contract's order.
fn check_parents(masters: &Masters, body: &Value, fashion: bool) -> Result<(), Refusal> {
    let missing =
        |rule, field: &str| Refusal::bad(rule, format!("{field} `{}` is not there", text(body, field)));
    let company = text(body, "companyId");
    if !masters.companies.contains_key(&company) {
        return Err(missing("company-first", "companyId"));
    }
    let partner = |field: &str, role: &str| {
        let partner = masters.partners.get(&text(body, field));
        partner.is_some_and(|partner| partner["role"] == role && partner["company"]["id"] == company.as_str())
    };
    if !partner("clientId", "Client") {
        return Err(missing("client-first", "clientId"));
    }
    if !partner("agentId", "Representant") {
        return Err(missing("agent-first", "agentId"));
    }
    let season = text(body, "seasonId");
    if (fashion && !masters.seasons.contains_key(&season)) || (!fashion && !season.is_empty()) {
        return Err(missing("season-first", "seasonId"));
    }
    for (field, flag) in [("shippingAddressId", "shippingAddress"), ("billingAddressId", "billingAddress")] {
        let location = masters.locations.get(&text(body, field));
        if !location.is_some_and(|at| at["partner"] == text(body, "clientId").as_str() && at[flag] == true) {
            return Err(missing("location-first", field));
        }
    }
    if !masters.statuses.contains_key(&text(body, "statusId")) {
        return Err(missing("status-first", "statusId"));
    }
    let lines = list(body, "lines");
    let mut products = lines.iter().flat_map(|line| list(line, "lineDetail"));
    if let Some(detail) = products.find(|detail| !masters.products.contains_key(&text(detail, "productId"))) {
        let what = format!("productId `{}` is not there", text(detail, "productId"));
        return Err(Refusal::bad("product-first", what));
    }
    if let Some(line) =
        lines.iter().find(|line| !masters.line_statuses.contains_key(&text(line, "lineStatusId")))
    {
        let what = format!("lineStatusId `{}` is not there", text(line, "lineStatusId"));
        return Err(Refusal::bad("line-status-first", what));
    }
    Ok(())
}

/// The order as it is served: the ids that were sent are remote ids now.
fn order(state: &State, body: &Value, id: &str, user: &str, now: DateTime<Utc>) -> Value {
    let masters = &state.masters;
    let of = |rows: &Rows, id: &str, field: &str| rows.get(id).map_or(Value::Null, |row| row[field].clone());
    let (company, client) = (text(body, "companyId"), text(body, "clientId"));
    let address = |field: &str| of(&masters.locations, &text(body, field), "address");
    let discounts = |owner: &Value, prefix: &str| -> Vec<Value> {
        (1..)
            .zip(list(owner, "discount"))
            .map(|(place, given)| {
                let kind = &given["discountTypeId"];
                json!({
                    "id": format!("{prefix}{place}"), "idRemote": given["id"],
                    "discountType": {"id": kind, "name": kind, "code": kind, "description": kind},
                    "sequence": given["sequence"], "discount": given["discount"], "amountDiscount": 0, "isLine": given["isLine"],
                })
            })
            .collect()
    };
    let mut gross = 0;
    let mut pieces = 0;
    let mut lines = Vec::new();
    for (place, line) in (1..).zip(list(body, "lines")) {
        let line_id = format!("{id}{place:02}");
        let mut worth = 0;
        let mut details = Vec::new();
        for (place, detail) in list(line, "lineDetail").iter().enumerate() {
            worth +=
                amount(&detail["quantity"]).unwrap_or(0) * amount(&detail["price"]).unwrap_or(0) / MILLION;
            details.push(json!({
                "id": format!("{line_id}{place}"), "idRemote": detail["id"], "product": detail["productId"],
                "quantity": detail["quantity"], "price": detail["price"], "retailPrice": detail["retailPrice"],
            }));
        }
        gross += worth;
        pieces += amount(&line["quantity"]).unwrap_or(0);
        lines.push(json!({
            "id": line_id, "idRemote": line["id"], "lineStatus": line["lineStatusId"], "discount": discounts(line, &line_id),
            "observations": text(line, "observations"), "deliveryDate": line["deliveryDate"], "cancellationDate": null,
            "lineAmount": money(worth), "quantity": line["quantity"], "quantityServed": 0, "quantityFromStock": 0,
            "lineDetail": details,
        }));
    }
    let season = text(body, "seasonId");
    let pieces = Value::from(i64::try_from(pieces / MILLION).unwrap_or(0));
    let stamp = state.orders.stamp(now);
    let by = json!({"id": "1", "idRemote": null, "username": user});
    json!({
        "id": id, "idRemote": body["id"], "reference": text(body, "reference"), "numOrder": format!("{}/{id}", now.format("%y")),
        "company": {"id": company, "idRemote": of(&masters.companies, &company, "idRemote"), "companyName": of(&masters.companies, &company, "companyName")},
        "client": {"id": client, "idRemote": of(&masters.partners, &client, "idRemote"), "contactName": null},
        "agent": body["agentId"], "status": body["statusId"],
        "season": masters.seasons.get(&season).cloned(),
        "shippingAddress": address("shippingAddressId"), "billingAddress": address("billingAddressId"),
        "discount": discounts(body, id), "lines": lines,
        "dateOrder": body.get("dateOrder").cloned().unwrap_or_else(|| Value::from(stamp.as_str())),
        "dateModified": stamp, "dateDelivery": null, "observation": text(body, "observation"),
        "grossAmount": money(gross), "baseAmount": money(gross), "shippingAmount": money(0), "taxAmount": money(0),
        "taxrecAmount": money(0), "totalAmount": money(gross),
        "totalQuantity": pieces, "quantityServed": 0, "quantityPending": pieces,
        "shipper": null, "origin": "erp", "isSale": true, "active": true,
        "createdBy": by, "updatedBy": by, "createdAt": stamp, "updatedAt": stamp,
    })
}

const MILLION: i128 = 1_000_000;

/// Millionths as an amount with two decimals.
fn money(millionths: i128) -> Value {
    let cents = millionths / 10_000;
    serde_json::from_str(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap_or(Value::Null)
}

fn text(object: &Value, field: &str) -> String {
    object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
