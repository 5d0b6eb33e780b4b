//! The five endpoints: what a request must say, what becomes of it, and the answers left open by the contract.

use super::super::exchange::{Incoming, Refusal};
use super::super::lock;
use super::{Commerceup, STATUSES, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The key is missing or wrong (Commerceup contract §3).
const AUTH: &str = "authorization";
/// Another project in the path (§3).
const PROJECT: &str = "project";
/// A list, or an object, that the body should hold is not there (§3.1–§3.5).
const BODY: &str = "body";
/// More lines than a list may have (§3.2).
const BATCH: &str = "batch-limit";
/// A sku that is missing, empty or a number (§3.1).
const SKU: &str = "sku-text";
/// A sku that comes twice in a list (§3.2).
const TWICE: &str = "sku-twice";
/// A quantity that is no whole number, or below zero where it is the stock itself (§3.1, §5).
const QUANTITY: &str = "quantity";
/// A product id that is missing or neither a number nor a text (§3.4).
const REMOTE_ID: &str = "remote-id";
/// A status that is none of the seven words (§3.5).
const STATUS: &str = "status-word";
/// A status that goes back (§3.5).
const BACKWARDS: &str = "status-backwards";
/// A status that is the order's already: the shopper may get a second mail (§3.5).
const REPEATED: &str = "status-repeated";
/// An order without its id or its items (§3.5).
const ORDER: &str = "order-field";

pub(super) fn refuse(refusal: &Refusal) -> Response {
    (refusal.status, axum::Json(json!({"success": false, "message": refusal.message}))).into_response()
}

/// What a list does with its lines.
#[derive(Debug, Clone, Copy)]
enum Use {
    Set,
    Add,
    Link,
}

pub(super) fn answer(shop: &Commerceup, request: &Incoming) -> Result<Response, Refusal> {
    let route = request.route();
    let ["v1", project, endpoint] = route.as_slice() else {
        return Err(Refusal::not_found("no such endpoint"));
    };
    if request.header("x-api-key") != Some(&shop.inside.api_key) {
        return Err(Refusal::broken(StatusCode::UNAUTHORIZED, AUTH, "Unauthorized"));
    }
    if *project != shop.inside.project {
        return Err(Refusal::broken(StatusCode::NOT_FOUND, PROJECT, "no such project"));
    }
    let of_list = match *endpoint {
        "inventory" | "orderstatus" => None,
        "bulkinventory" => Some((Use::Set, "inventory")),
        "bulkincrementinventory" => Some((Use::Add, "inventory")),
        "bulklinkproduct" => Some((Use::Link, "products")),
        _ => return Err(Refusal::not_found("no such endpoint")),
    };
    if request.method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "send POST"));
    }
    let body = request.json()?;
    if shop.switches.is("answers", "false-in-200") {
        return Ok(axum::Json(json!({"success": false, "message": "simulated failure"})).into_response());
    }
    let mut state = lock(&shop.inside.state);
    match of_list {
        Some((of, name)) => list(shop, request, &mut state, of, &body, name),
        None if *endpoint == "inventory" => {
            let line = Line::read(shop, &state, Use::Set, &body)?;
            line.apply(&mut state, Use::Set);
            Ok(success(shop, json!({"success": true})))
        }
        None => order_status(shop, request, &mut state, &body),
    }
}

fn success(shop: &Commerceup, body: Value) -> Response {
    if shop.switches.is("answers", "empty") {
        StatusCode::NO_CONTENT.into_response()
    } else {
        axum::Json(body).into_response()
    }
}

/// One line of a list, checked.
struct Line {
    sku: String,
    quantity: i64,
    remote_id: Value,
}

impl Line {
    fn read(shop: &Commerceup, state: &State, of: Use, line: &Value) -> Result<Self, Refusal> {
        let sku = line.get("sku").and_then(Value::as_str).filter(|sku| !sku.is_empty());
        let sku = sku.ok_or_else(|| Refusal::bad(SKU, "sku is missing, empty or no text"))?.to_owned();
        let (mut quantity, mut remote_id) = (0, Value::Null);
        if let Use::Link = of {
            remote_id = line.get("remoteId").cloned().unwrap_or_default();
            if !remote_id.is_number() && remote_id.as_str().is_none_or(str::is_empty) {
                return Err(Refusal::bad(REMOTE_ID, format!("remoteId of {sku} is missing, or no id")));
            }
        } else {
            quantity = line
                .get("quantity")
                .and_then(Value::as_i64)
                .filter(|quantity| *quantity >= 0 || matches!(of, Use::Add))
                .ok_or_else(|| {
                    let what = "is missing, no whole number or below zero";
                    Refusal::bad(QUANTITY, format!("quantity of {sku} {what}"))
                })?;
        }
        if state.unknown_skus.contains(&sku) {
            let status = if shop.switches.is("unknown-sku", "404") {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::BAD_REQUEST
            };
            return Err(Refusal::new(status, format!("unknown sku {sku}")));
        }
        Ok(Self { sku, quantity, remote_id })
    }

    fn apply(self, state: &mut State, of: Use) {
        match of {
            Use::Link => {
                state.links.insert(self.sku, self.remote_id);
            }
            Use::Set => {
                let stock = state.stock.entry(self.sku).or_default();
                stock.quantity = self.quantity;
                stock.sets += 1;
            }
            Use::Add => {
                let stock = state.stock.entry(self.sku).or_default();
                stock.quantity += self.quantity;
                stock.additions += 1;
            }
        }
    }
}

fn list(
    shop: &Commerceup,
    request: &Incoming,
    state: &mut State,
    of: Use,
    body: &Value,
    name: &str,
) -> Result<Response, Refusal> {
    let lines = body.get(name).and_then(Value::as_array).filter(|lines| !lines.is_empty());
    let lines = lines.ok_or_else(|| Refusal::bad(BODY, format!("{name} is missing, empty or no list")))?;
    let most = shop.switches.number("batch-limit");
    if lines.len() > most {
        let what = format!("{} lines are too many, {most} are allowed", lines.len());
        return Err(Refusal::broken(StatusCode::PAYLOAD_TOO_LARGE, BATCH, what));
    }
    let mut seen = std::collections::BTreeSet::new();
    for sku in lines.iter().filter_map(|line| line.get("sku")?.as_str()) {
        if !seen.insert(sku) {
            request.note(TWICE, sku);
        }
    }
    let read = lines.iter().map(|line| Line::read(shop, state, of, line));
    if shop.switches.on("line-results") {
        let read: Vec<_> = read.collect();
        let mut results = Vec::new();
        for (line, sent) in read.into_iter().zip(lines) {
            let mut result = json!({"sku": sent.get("sku"), "status": "ok"});
            match line {
                Ok(line) => line.apply(state, of),
                Err(refusal) => {
                    if let Some(rule) = refusal.rule {
                        request.note(rule, refusal.message.clone());
                    }
                    (result["status"], result["error"]) = ("error".into(), refusal.message.into());
                }
            }
            results.push(result);
        }
        return Ok(success(shop, json!({"success": true, "results": results})));
    }
    let read: Vec<Line> = read.collect::<Result<_, _>>()?;
    read.into_iter().for_each(|line| line.apply(state, of));
    Ok(success(shop, json!({"success": true})))
}

fn order_status(
    shop: &Commerceup,
    request: &Incoming,
    state: &mut State,
    body: &Value,
) -> Result<Response, Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let order = text("orderId").ok_or_else(|| Refusal::bad(ORDER, "orderId is missing or no text"))?;
    let items = body.get("items").and_then(Value::as_array).filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| Refusal::bad(ORDER, "items is missing, empty or no list"))?;
    if items.iter().any(|item| !item.get("sku").is_some_and(|sku| sku.is_string() || sku.is_number())) {
        return Err(Refusal::bad(ORDER, "an item has no sku"));
    }
    let status = text("status").unwrap_or_default();
    if !STATUSES.contains(&status) {
        return Err(Refusal::bad(STATUS, format!("`{status}` is no status")));
    }
    let history = state.statuses.entry(order.to_owned()).or_default();
    if let Some(last) = history.last() {
        if last == status {
            request.note(REPEATED, format!("order {order} is {status} already"));
        } else if rank(status) < rank(last) {
            request.note(BACKWARDS, format!("order {order} was {last} and is now {status}"));
        }
    }
    history.push(status.to_owned());
    Ok(success(shop, json!({"success": true})))
}

/// How far an order with this status is.
fn rank(status: &str) -> usize {
    match status {
        "In Process" => 0,
        "Shipped" => 1,
        "Delivered" => 2,
        "Return Requested" => 3,
        // What ends an order.
        _ => 4,
    }
}
