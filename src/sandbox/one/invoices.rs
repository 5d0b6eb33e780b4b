//! Contents of invoices and their payment statuses (ONe contract §3.10).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, check_list, check_sum, may, must};
use super::State;
use super::clients::not_found;
use super::route::{Answer, Reply, lines, text};
use axum::http::StatusCode;
use serde_json::Value;

const FIELDS: &[Field] = &[
    must("number", Holds::Id),
    must("clientData", Holds::Object(CLIENT)),
    may("saleDate", Holds::Date),
    may("paymentDate", Holds::Date),
    may("currencyCode", Holds::Id),
    may("isPaid", Holds::Bool),
    may("amountPaid", Holds::Number),
    may("splitPayment", Holds::Bool),
    may("receiptReferenceNumber", Holds::Text),
    may("customerPurchaseNumbers", Holds::Ids),
    may("notes", Holds::Text),
    may("payerData", Holds::Object(PAYER)),
    may("tenantData", Holds::Object(TENANT)),
    may("operatorData", Holds::Object(&[may("id", Holds::Id), may("name", Holds::Text)])),
    may("totalPrices", Holds::Object(TOTALS)),
    // Their fields are not documented.
    may("productLines", Holds::Any),
];
const CLIENT: &[Field] = &[
    must("clientId", Holds::Id),
    may("tin", Holds::Text),
    may("clientType", Holds::OneOf(&["INDIVIDUAL", "ORGANIZATION"])),
    may("phone", Holds::Text),
    may("invoiceEmail", Holds::Text),
    may("addressData", Holds::Object(ADDRESS)),
];
const PAYER: &[Field] = &[
    may("clientId", Holds::Id),
    may("tin", Holds::Text),
    may("phone", Holds::Text),
    may("addressData", Holds::Object(ADDRESS)),
];
const TENANT: &[Field] = &[may("tin", Holds::Text), may("addressData", Holds::Object(ADDRESS))];
const ADDRESS: &[Field] = &[
    may("city", Holds::Text),
    may("country", Holds::Text),
    may("name", Holds::Text),
    may("postalCode", Holds::Text),
    may("street", Holds::Text),
];
const TOTALS: &[Field] =
    &[must("netPrice", Holds::Number), must("grossPrice", Holds::Number), must("taxValue", Holds::Number)];
const STATUS: &[Field] =
    &[must("number", Holds::Id), must("isPaid", Holds::Bool), may("amountPaid", Holds::Number)];

/// One invoice, or a list of them.
pub(super) fn put(state: &mut State, request: &Incoming) -> Answer {
    let method = state.switches.text("invoice-method");
    if !request.method.as_str().eq_ignore_ascii_case(&method) {
        let message = format!("invoices are sent with {}", method.to_uppercase());
        return Err(Refusal::broken(StatusCode::METHOD_NOT_ALLOWED, "method", message));
    }
    let body = request.json()?;
    lines(state, &body)?;
    let invoices = match body {
        Value::Array(invoices) => invoices,
        one => vec![one],
    };
    for (place, invoice) in invoices.iter().enumerate() {
        let at = format!("invoices[{place}]");
        check(request, &at, invoice, FIELDS)?;
        let currency = invoice["currencyCode"].as_str();
        if currency.is_some_and(|code| code.len() != 3 || !code.bytes().all(|c| c.is_ascii_uppercase())) {
            return Err(Refusal::bad("currency", format!("{at}.currencyCode is no ISO 4217 code")));
        }
        let totals = &invoice["totalPrices"];
        check_sum(&at, &totals["netPrice"], &totals["taxValue"], &totals["grossPrice"])?;
        state.client(&text(&invoice["clientData"], "clientId")).ok_or_else(not_found)?;
    }
    for invoice in invoices {
        state.records.invoices.insert(text(&invoice, "number"), invoice);
    }
    Ok(Reply::Done)
}

/// A list of statuses; one of an unknown invoice refuses it whole.
pub(super) fn put_status(state: &mut State, request: &Incoming) -> Answer {
    let body = request.json()?;
    lines(state, &body)?;
    for line in check_list(request, "statuses", &body, STATUS)? {
        let number = text(line, "number");
        if !state.records.invoices.contains_key(&number) {
            return Err(Refusal::not_found(format!("unknown invoice `{number}`")));
        }
    }
    for line in body.as_array().into_iter().flatten() {
        state.records.invoice_statuses.insert(text(line, "number"), line.clone());
    }
    Ok(Reply::Done)
}
