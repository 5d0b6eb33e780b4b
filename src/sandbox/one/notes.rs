//! Contents of goods issued notes (ONe contract §3.11).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, check_sum, may, must};
use super::State;
use super::clients::not_found;
use super::route::{Answer, Reply, lines, text};
use serde_json::Value;

const FIELDS: &[Field] = &[
    must("number", Holds::Id),
    must("clientId", Holds::Id),
    may("documentDate", Holds::Date),
    may("saleDate", Holds::Date),
    may("deliveryDate", Holds::Date),
    may("purchaseOrderNumber", Holds::Text),
    may("notes", Holds::Text),
    may("productLines", Holds::List(LINE)),
    may("deliveryAddress", Holds::Object(ADDRESS)),
    may("paymentMethod", Holds::Object(NAMED)),
    may("deliveryMethod", Holds::Object(NAMED)),
    may("warehouse", Holds::Object(NAMED)),
    may("operator", Holds::Object(NAMED)),
    may("prices", Holds::Object(&[may("total", Holds::Object(AMOUNTS))])),
];
const LINE: &[Field] = &[
    must("lineNumber", Holds::Integer),
    must("quantity", Holds::Number),
    must("product", Holds::Object(PRODUCT)),
    may("salesOrderLineNumber", Holds::Integer),
    may("salesOrderReferenceNumber", Holds::Text),
    may("notes", Holds::Text),
    may("prices", Holds::Object(PRICES)),
];
const PRODUCT: &[Field] = &[
    must("sku", Holds::Id),
    may("gtin", Holds::Text),
    may("manufacturerIndex", Holds::Text),
    may("name", Holds::Text),
    may("pkwiu", Holds::Text),
    may("unit", Holds::Text),
    may("manufacturer", Holds::Object(&[may("name", Holds::Text)])),
];
const PRICES: &[Field] = &[
    may("taxRate", Holds::Number),
    may("discount", Holds::Number),
    may("additionalCosts", Holds::List(COST)),
    may("base", Holds::Object(AMOUNTS)),
];
const COST: &[Field] =
    &[may("type", Holds::Text), may("item", Holds::Object(AMOUNTS)), may("line", Holds::Object(AMOUNTS))];
const AMOUNTS: &[Field] =
    &[may("net", Holds::Number), may("gross", Holds::Number), may("tax", Holds::Number)];
const ADDRESS: &[Field] = &[
    may("name", Holds::Text),
    may("street", Holds::Text),
    may("city", Holds::Text),
    may("postCode", Holds::Text),
    may("country", Holds::Text),
];
const NAMED: &[Field] = &[may("id", Holds::Id), may("name", Holds::Text)];

/// One note, or a list of them.
pub(super) fn put(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    let notes = match body {
        Value::Array(notes) => notes,
        one => vec![one],
    };
    for (place, note) in notes.iter().enumerate() {
        let at = format!("notes[{place}]");
        check(request, &at, note, FIELDS)?;
        check_amounts(&at, &note["prices"]["total"])?;
        for (number, line) in (1..).zip(note["productLines"].as_array().into_iter().flatten()) {
            let at = format!("{at}.productLines[{}]", number - 1);
            if line["lineNumber"].as_i64() != Some(number) {
                let what = format!("{at}.lineNumber is not {number}: lines are numbered 1, 2, 3");
                return Err(Refusal::bad("line-numbers", what));
            }
            check_amounts(&at, &line["prices"]["base"])?;
            for cost in line["prices"]["additionalCosts"].as_array().into_iter().flatten() {
                check_amounts(&at, &cost["item"])?;
                check_amounts(&at, &cost["line"])?;
            }
        }
        state.client(&text(note, "clientId")).ok_or_else(not_found)?;
    }
    for note in notes {
        state.records.goods_issued_notes.insert(text(&note, "number"), note);
    }
    Ok(Reply::Done)
}

fn check_amounts(at: &str, amounts: &Value) -> Result<(), Refusal> {
    check_sum(at, &amounts["net"], &amounts["tax"], &amounts["gross"])
}
