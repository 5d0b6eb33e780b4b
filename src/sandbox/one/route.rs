//! The table of endpoints, and what every request must have: the two headers, an endpoint, ids encoded.

use super::super::exchange::{Incoming, Refusal};
use super::super::lock;
use super::{
    Inside, One, State, blockades, clients, files, invoices, notes, offline, orders, prices, segments,
    stocks, trade_credits, warehouses,
};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a request that is accepted is answered with.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing to tell.
    Done,
    /// This, with 200.
    Json(Value),
}

pub(super) type Answer = Result<Reply, Refusal>;

/// The shape of an error is the sandbox's choice: the contract documents none.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let body = json!({"error": {"code": refusal.status.as_u16(), "message": refusal.message}});
    (refusal.status, axum::Json(body)).into_response()
}

pub(super) fn answer(one: &One, request: &Incoming) -> Result<Response, Refusal> {
    let mut state = lock(&one.inside.state);
    let reply = dispatch(&one.inside, &mut state, request).map_err(|refusal| {
        let message = if one.inside.names_lines { refusal.message } else { "refused".to_owned() };
        Refusal { message, ..refusal }
    })?;
    let success = state.switches.text("success-body");
    let requests = state.counts.requests;
    let hooks: Vec<_> = state.hooks.extract_if(.., |(at, _)| *at <= requests).collect();
    drop(state);
    // Outside the lock: hooks look at the platform, and change it.
    for (_, hook) in hooks {
        hook(one);
    }
    Ok(match (reply, success.as_str()) {
        (Reply::Json(body), _) => axum::Json(body).into_response(),
        (Reply::Done, "json") => axum::Json(json!({"success": true})).into_response(),
        (Reply::Done, "text") => "OK".into_response(),
        (Reply::Done, _) => StatusCode::NO_CONTENT.into_response(),
    })
}

fn dispatch(inside: &Inside, state: &mut State, request: &Incoming) -> Answer {
    let (method, route) = (request.method.as_str(), request.route());
    if let ("PUT", ["uploads", id]) = (method, route.as_slice()) {
        // An upload address is its own credential.
        return files::put_bytes(state, request, id);
    }
    admit(inside, request)?;
    if request.raw_path().contains(':') || request.raw_query().contains(['/', ':']) {
        request.note("id-not-encoded", "ids are percent-encoded, in paths and queries");
    }
    let ["api", "v1", domain, "integrations", "auth-required", rest @ ..] = route.as_slice() else {
        return Err(no_endpoint());
    };
    let (orders_at, orders_not_at) =
        if state.switches.is("path-profile", "docs") { ("orders", "account") } else { ("account", "orders") };
    match (method, *domain, rest) {
        ("PUT", "account", ["warehouses"]) => warehouses::put(state, request),
        ("POST", "stock", ["warehouses", id, "stocks", "incremental"]) => {
            stocks::incremental(state, request, id)
        }
        ("PUT", "stock", ["warehouses", id, "stocks"]) => stocks::replace(state, request, id),
        ("GET", "stock", ["warehouses", id, "stocks"]) => stocks::of_warehouse(state, id),
        ("GET", "stock", ["stocks"]) => stocks::all(state, request),

        ("GET", "account", ["segments"]) => segments::list(state, request),
        ("POST", "account", ["segments"]) => segments::create(state, request),
        ("GET", "account", ["segments", id]) => segments::get(state, id),
        ("PUT", "account", ["segments", id]) => segments::update(state, request, id),
        ("DELETE", "account", ["segments", id]) => segments::delete(state, id),

        ("GET", "account", ["clients"]) => clients::list(state, request),
        ("POST", "account", ["clients"]) => clients::create(state, request),
        ("GET", "account", ["clients", "synchronization"]) => clients::feed(state, request),
        ("GET", "account", ["clients", id]) => clients::get(state, id),
        ("PUT", "account", ["clients", id]) => clients::update(state, request, id),
        ("DELETE", "account", ["clients", id]) => clients::delete(state, id),

        ("GET", "account", ["trade-credits", "synchronization"]) => trade_credits::feed(state, request),
        ("GET", "account", ["trade-credits", id]) => trade_credits::get(state, id),
        ("PUT", "account", ["trade-credits", id]) => trade_credits::put(state, request, id),
        ("DELETE", "account", ["trade-credits", id]) => trade_credits::delete(state, id),
        ("GET", "account", ["client-blockades", id]) => blockades::get(state, id),
        ("PUT", "account", ["client-blockades", id]) => blockades::put(state, request, id),
        ("DELETE", "account", ["client-blockades", id]) => blockades::delete(state, request, id),

        ("GET", "pricing", ["main-catalog-id"]) => {
            Ok(Reply::Json(Value::from(state.records.main_catalog.as_str())))
        }
        ("PUT", "pricing", ["retail-prices"]) => prices::put_retail(state, request),
        ("PUT", "pricing", ["prices"]) => prices::put(state, request),
        ("POST", "pricing", ["discount"]) => prices::create_discount(state, request),
        ("GET", "pricing", ["pricings"]) => prices::list(state, request),
        ("DELETE", "pricing", ["pricings", id]) => prices::delete(state, id),
        ("PUT", "pricing", ["clients-to-pricings"]) => prices::assign(state, request),
        ("GET", "pricing", ["clients-to-pricings", id]) => prices::of_client(state, id),

        ("PUT" | "POST", "invoices", ["invoices"]) => invoices::put(state, request),
        ("PUT", "invoices", ["invoices", "status"]) => invoices::put_status(state, request),
        ("POST", "invoices", ["file-upload-begin"] | ["invoices", "file-upload-begin"]) => {
            files::begin(state, request, files::Of::Invoices)
        }
        ("POST", "invoices", ["file-upload-complete"] | ["invoices", "file-upload-complete"]) => {
            files::complete(state, request, files::Of::Invoices)
        }
        ("PUT", "goods-issued-notes", ["goods-issued-notes"]) => notes::put(state, request),
        (
            "POST",
            "goods-issued-notes",
            ["file-upload-initialize"] | ["goods-issued-notes", "file-upload-initialize"],
        ) => files::begin(state, request, files::Of::Notes),
        (
            "POST",
            "goods-issued-notes",
            ["file-upload-finalize"] | ["goods-issued-notes", "file-upload-finalize"],
        ) => files::complete(state, request, files::Of::Notes),
        ("POST", "invoices" | "goods-issued-notes", ["file-upload", id]) => {
            files::post_multipart(state, request, id)
        }

        ("GET", "orders", ["synchronization", "order"]) => orders::feed(state, request),
        ("PUT", "orders", ["offline-order", "shipment"]) => offline::put(state, request),
        ("GET", domain, ["order", "shipment"]) if domain == orders_at => orders::shipment(state, request),
        (_, domain, ["order", call]) if domain == orders_at => orders::update(state, request, call),
        // The other profile's paths: not there, but asking is no mistake.
        (_, domain, ["order", _]) if domain == orders_not_at => {
            Err(Refusal::not_found("no such endpoint in this path profile"))
        }
        _ => Err(no_endpoint()),
    }
}

fn no_endpoint() -> Refusal {
    let status = StatusCode::NOT_FOUND;
    Refusal::broken(status, "no-such-endpoint", "no such endpoint; a slash in an id is written %2F")
}

fn admit(inside: &Inside, request: &Incoming) -> Result<(), Refusal> {
    for (name, expected) in [("one-tenant", &inside.tenant), ("ApiAuth", &inside.api_auth)] {
        match request.headers.get(name) {
            None => {
                let message = format!("`{name}` is missing");
                return Err(Refusal::broken(StatusCode::UNAUTHORIZED, "header-missing", message));
            }
            Some(value) if value.as_bytes() == expected.as_bytes() => {}
            Some(_) => {
                let message = format!("`{name}` is wrong");
                return Err(Refusal::broken(StatusCode::FORBIDDEN, "header-wrong", message));
            }
        }
    }
    Ok(())
}

/// A list in the body, no longer than a request may be.
pub(super) fn lines(state: &State, list: &Value) -> Result<(), Refusal> {
    most_lines(state, list.as_array().map_or(1, Vec::len))
}

/// Refuses more lines than one request may have.
pub(super) fn most_lines(state: &State, count: usize) -> Result<(), Refusal> {
    if count <= state.most_lines {
        return Ok(());
    }
    let status = if state.switches.is("too-many-lines", "413") {
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    Err(Refusal::broken(status, "too-many-lines", format!("{count} lines; {} are allowed", state.most_lines)))
}

/// A number in the query that must be there.
pub(super) fn number(request: &Incoming, name: &str) -> Result<usize, Refusal> {
    let text = request
        .param(name)
        .ok_or_else(|| Refusal::bad("query-missing", format!("`{name}` is missing in the query")))?;
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Refusal::bad("query-number", format!("`{name}` must be a positive integer, not `{text}`"))
    })
}

/// The page of a list that is asked for with `pageNumber` and `pageSize`.
pub(super) fn page<T>(request: &Incoming, all: impl Iterator<Item = T>) -> Result<Vec<T>, Refusal> {
    let (page, size) = (number(request, "pageNumber")?, number(request, "pageSize")?);
    Ok(all.skip((page - 1).saturating_mul(size)).take(size).collect())
}

/// The text of a field that was checked to be one.
pub(super) fn text(object: &Value, field: &str) -> String {
    object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
