//! Orders taken elsewhere, shown by the platform (ONe contract §3.14).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, check_sum, may, must};
use super::State;
use super::clients::not_found;
use super::route::{Answer, Reply, text};

const FIELDS: &[Field] = &[
    must("id", Holds::Id),
    must("orderId", Holds::Id),
    must("organization", Holds::Object(&[must("id", Holds::Id), may("externalId", Holds::Text)])),
    must("price", Holds::Object(PRICE)),
    must(
        "paymentMethod",
        Holds::Object(&[must("name", Holds::Id), may("id", Holds::Text), may("externalId", Holds::Text)]),
    ),
    must("productLines", Holds::List(LINE)),
    may("authorizedPeople", Holds::List(PERSON)),
    may("notes", Holds::Text),
];
const PRICE: &[Field] = &[
    must("deliveryNet", Holds::Number),
    must("productsNet", Holds::Number),
    must("totalNet", Holds::Number),
    must("totalTax", Holds::Number),
    must("totalGross", Holds::Number),
    may("deliveryGross", Holds::Number),
    may("productsGross", Holds::Number),
    may("additionalCosts", Holds::List(COST)),
];
const COST: &[Field] = &[
    must("type", Holds::Id),
    must("net", Holds::Number),
    must("tax", Holds::Number),
    must("gross", Holds::Number),
];
const LINE: &[Field] = &[
    may("contentUnitCode", Holds::Text),
    may("contentUnitName", Holds::Text),
    may("lastChange", Holds::Instant),
    must("lineNumber", Holds::Integer),
    may("manufacturerIndex", Holds::Text),
    may("manufacturerName", Holds::Text),
    may("name", Holds::Text),
    may("notes", Holds::Text),
    may("quantityOrdered", Holds::Number),
    may("quantityOrderedInContentUnit", Holds::Number),
    may("quantityShipped", Holds::Number),
    must("sku", Holds::Id),
    // Not all of its fields are documented.
    may("price", Holds::Any),
];
const PERSON: &[Field] = &[
    may("email", Holds::Text),
    may("name", Holds::Text),
    may("phone", Holds::Text),
    may("userId", Holds::Text),
];

/// An order with an id that is there already takes its place.
pub(super) fn put(state: &mut State, request: &Incoming) -> Answer {
    let order = request.json()?;
    check(request, "order", &order, FIELDS)?;
    let price = &order["price"];
    check_sum("order.price", &price["totalNet"], &price["totalTax"], &price["totalGross"])?;
    for cost in price["additionalCosts"].as_array().into_iter().flatten() {
        check_sum("order.price.additionalCosts", &cost["net"], &cost["tax"], &cost["gross"])?;
    }
    for (number, line) in (1..).zip(order["productLines"].as_array().into_iter().flatten()) {
        if line["lineNumber"].as_i64() != Some(number) {
            let what = format!("order.productLines[{}].lineNumber is not {number}", number - 1);
            return Err(Refusal::bad("line-numbers", what));
        }
    }
    let id = text(&order, "id");
    if id.starts_with("OF/") || state.records.shipments.contains_key(&id) {
        return Err(Refusal::bad("own-order-sent-back", format!("`{id}` is an id of the platform's own")));
    }
    let organization = text(&order["organization"], "id");
    state.client(&format!("org:{organization}")).ok_or_else(not_found)?;
    state.records.offline_orders.insert(id, order);
    Ok(Reply::Done)
}
