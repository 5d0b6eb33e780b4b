//! Simulated ONe: the stocks of warehouses (ONe contract §1, §3.3, §4).
//!
//! It refuses what the contract refuses: a missing (401) or wrong (403) `one-tenant` or `ApiAuth`, an unknown warehouse
//! (404), more than 10,000 lines, and lines that lack a field, mistype one or go below zero (400). A refused request
//! changes nothing. Quantities are absolute, and kept as the text they came in.

use super::Kind;
use super::lock;
use super::wire::{ServerThread, Wire, WireOptions};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The most lines one request may have, unless [`Options::most_lines`] says otherwise.
pub const MOST_LINES: usize = 10_000;

const STOCKS: &str = "/api/v1/stock/integrations/auth-required/warehouses/{warehouse}/stocks";
const INCREMENTAL: &str =
    "/api/v1/stock/integrations/auth-required/warehouses/{warehouse}/stocks/incremental";

/// How a ONe is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas.
    pub wire: WireOptions,
    /// What `one-tenant` must say.
    pub tenant: String,
    /// What `ApiAuth` must say.
    pub api_auth: String,
    /// The warehouses it knows.
    pub warehouses: Vec<String>,
    /// The most lines one request may have.
    pub most_lines: usize,
    /// Whether a refusal names the line it is about; the contract documents no error bodies.
    pub names_lines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            tenant: "acme".to_owned(),
            api_auth: "0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210".to_owned(),
            warehouses: (1..=5).map(|number| format!("W{number}")).collect(),
            most_lines: MOST_LINES,
            names_lines: true,
        }
    }
}

/// How it is started by name.
pub const KIND: Kind = Kind {
    name: "one",
    title: "ONe",
    switches: &[],
    start: |wire, _| Ok(Box::new(One::start(Options { wire, ..Options::default() })?)),
};

/// What the platform knows of an article in a warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// The article.
    pub sku: String,
    /// The quantity, digit for digit as it was sent.
    pub quantity: String,
    /// How many accepted lines have set it.
    pub writes: usize,
}

/// What was accepted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stock requests that were applied.
    pub requests: usize,
    /// Lines of `stocks` in them.
    pub lines: usize,
    /// Ids of `stocksToRemove` in them.
    pub removals: usize,
    /// The lines and removals of the largest of them.
    pub largest: usize,
}

/// A running ONe. Clones are handles to the same one; it stops with the last of them.
#[derive(Debug, Clone)]
pub struct One {
    /// Its address, request log, faults and clock.
    pub wire: Wire,
    platform: Arc<Platform>,
    thread: Option<Arc<Mutex<Option<ServerThread>>>>,
}

#[derive(Debug)]
struct Platform {
    tenant: String,
    api_auth: String,
    most_lines: usize,
    names_lines: bool,
    state: Mutex<Stocks>,
}

/// By warehouse, then by stock id.
type Inventory = BTreeMap<String, BTreeMap<String, Stock>>;
type Hook = Box<dyn FnOnce(&One) + Send>;

struct Stocks {
    inventory: Inventory,
    counts: Counts,
    refused_skus: BTreeSet<String>,
    hooks: Vec<(usize, Hook)>,
}

impl std::fmt::Debug for Stocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stocks").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl One {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let (wire, listener) = Wire::bind(&options.wire)?;
        let platform = Arc::new(Platform {
            tenant: options.tenant,
            api_auth: options.api_auth,
            most_lines: options.most_lines,
            names_lines: options.names_lines,
            state: Mutex::new(Stocks {
                inventory: options.warehouses.into_iter().map(|code| (code, BTreeMap::new())).collect(),
                counts: Counts::default(),
                refused_skus: BTreeSet::new(),
                hooks: Vec::new(),
            }),
        });
        let inside = Self { wire, platform, thread: None };
        let routes = Router::new()
            .route(INCREMENTAL, post(incremental))
            .route(STOCKS, get(list))
            .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such endpoint"))
            .with_state(inside.clone());
        let thread = inside.wire.serve(listener, routes)?;
        Ok(Self { thread: Some(Arc::new(Mutex::new(Some(thread)))), ..inside })
    }

    /// The base its endpoints are below: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.wire.url()
    }

    /// The headers every call must have.
    #[must_use]
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("one-tenant", self.platform.tenant.clone()), ("ApiAuth", self.platform.api_auth.clone())]
    }

    /// Stops it and cuts its connections; its stocks can still be read. From a hook this has no effect.
    pub fn stop(&self) {
        if let Some(thread) = &self.thread {
            drop(lock(thread).take());
        }
    }

    /// Every stock by warehouse and stock id.
    #[must_use]
    pub fn stocks(&self) -> BTreeMap<(String, String), Stock> {
        let state = lock(&self.platform.state);
        let all = state.inventory.iter().flat_map(|(warehouse, stocks)| {
            stocks.iter().map(|(id, stock)| ((warehouse.clone(), id.clone()), stock.clone()))
        });
        all.collect()
    }

    /// Every quantity by warehouse and stock id.
    #[must_use]
    pub fn quantities(&self) -> BTreeMap<(String, String), String> {
        self.stocks().into_iter().map(|(key, stock)| (key, stock.quantity)).collect()
    }

    /// What was accepted since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.platform.state).counts
    }

    /// From now on a request with a line of this article is refused (400).
    pub fn refuse_sku(&self, sku: &str) {
        lock(&self.platform.state).refused_skus.insert(sku.to_owned());
    }

    /// Accepts the article again.
    pub fn accept_sku(&self, sku: &str) {
        lock(&self.platform.state).refused_skus.remove(sku);
    }

    /// Adds a warehouse.
    pub fn add_warehouse(&self, code: &str) {
        lock(&self.platform.state).inventory.entry(code.to_owned()).or_default();
    }

    /// Forgets a warehouse and its stocks.
    pub fn remove_warehouse(&self, code: &str) {
        lock(&self.platform.state).inventory.remove(code);
    }

    /// Calls `hook` once, when the `nth` stock request from now on (the next is 1) was applied, before it is answered.
    pub fn after_stocks(&self, nth: usize, hook: impl FnOnce(&Self) + Send + 'static) {
        let mut state = lock(&self.platform.state);
        let at = state.counts.requests + nth;
        state.hooks.push((at, Box::new(hook)));
    }
}

/// An error answer. Its shape is the sandbox's choice: the contract documents none.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.status.as_u16(), "message": self.message}});
        (self.status, axum::Json(body)).into_response()
    }
}

async fn incremental(
    State(one): State<One>,
    Path(warehouse): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Refusal> {
    admit(&one.platform, &headers)?;
    let hooks: Vec<_> = {
        let mut state = lock(&one.platform.state);
        let Stocks { inventory, counts, refused_skus, hooks } = &mut *state;
        let stocks = inventory.get_mut(&warehouse).ok_or_else(|| unknown_warehouse(&warehouse))?;
        let request = read(&headers, &body, one.platform.most_lines, refused_skus).map_err(|refusal| {
            if one.platform.names_lines { refusal } else { Refusal::new(refusal.status, "refused") }
        })?;
        counts.requests += 1;
        counts.lines += request.lines.len();
        counts.removals += request.removed.len();
        counts.largest = counts.largest.max(request.lines.len() + request.removed.len());
        for (id, sku, quantity) in request.lines {
            let writes = stocks.get(&id).map_or(0, |stock| stock.writes) + 1;
            stocks.insert(id, Stock { sku, quantity, writes });
        }
        for id in request.removed {
            stocks.remove(&id);
        }
        let reached = counts.requests;
        hooks.extract_if(.., |(at, _)| *at <= reached).collect()
    };
    // Outside the lock: hooks ask for the stocks.
    for (_, hook) in hooks {
        hook(&one);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list(
    State(one): State<One>,
    Path(warehouse): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    admit(&one.platform, &headers)?;
    let state = lock(&one.platform.state);
    let stocks = state.inventory.get(&warehouse).ok_or_else(|| unknown_warehouse(&warehouse))?;
    let lines: Vec<Value> = stocks
        .iter()
        .map(|(id, stock)| {
            let quantity: Value = serde_json::from_str(&stock.quantity).unwrap_or(Value::Null);
            json!({"id": id, "sku": stock.sku, "quantity": quantity})
        })
        .collect();
    Ok(axum::Json(lines).into_response())
}

fn unknown_warehouse(code: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("unknown warehouse `{code}`"))
}

fn admit(platform: &Platform, headers: &HeaderMap) -> Result<(), Refusal> {
    for (name, expected) in [("one-tenant", &platform.tenant), ("ApiAuth", &platform.api_auth)] {
        match headers.get(name) {
            None => return Err(Refusal::new(StatusCode::UNAUTHORIZED, format!("`{name}` is missing"))),
            Some(value) if value.as_bytes() == expected.as_bytes() => {}
            Some(_) => return Err(Refusal::new(StatusCode::FORBIDDEN, format!("`{name}` is wrong"))),
        }
    }
    Ok(())
}

/// A request that may be applied as a whole.
struct Changes {
    /// Stock id, sku, quantity.
    lines: Vec<(String, String, String)>,
    removed: Vec<String>,
}

fn read(
    headers: &HeaderMap,
    body: &str,
    most: usize,
    refused: &BTreeSet<String>,
) -> Result<Changes, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("application/json")) {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    let body: Value =
        serde_json::from_str(body).map_err(|error| Refusal::bad(format!("the body is not JSON: {error}")))?;
    let stocks = body.get("stocks").and_then(Value::as_array);
    let stocks = stocks.ok_or_else(|| Refusal::bad("`stocks` is missing or no array"))?;
    let nothing = Vec::new();
    let removed = match body.get("stocksToRemove") {
        None => &nothing,
        Some(ids) => ids.as_array().ok_or_else(|| Refusal::bad("`stocksToRemove` is no array"))?,
    };
    let count = stocks.len() + removed.len();
    if count > most {
        return Err(Refusal::bad(format!("{count} lines; {most} are allowed")));
    }
    let lines = stocks.iter().enumerate().map(|(at, line)| read_line(at, line, refused));
    let removed = removed.iter().enumerate().map(|(at, id)| {
        let id = id.as_str().filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| Refusal::bad(format!("stocksToRemove[{at}] is no stock id")))
    });
    Ok(Changes { lines: lines.collect::<Result<_, _>>()?, removed: removed.collect::<Result<_, _>>()? })
}

fn read_line(
    at: usize,
    line: &Value,
    refused: &BTreeSet<String>,
) -> Result<(String, String, String), Refusal> {
    let text = |name: &str| {
        let text = line.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let missing = || Refusal::bad(format!("stocks[{at}].{name} is missing or no string"));
        text.map(str::to_owned).ok_or_else(missing)
    };
    let (id, sku) = (text("id")?, text("sku")?);
    let quantity = match line.get("quantity") {
        Some(Value::Number(quantity)) => quantity.to_string(),
        _ => return Err(Refusal::bad(format!("stocks[{at}].quantity is missing or no number"))),
    };
    if quantity.starts_with('-') {
        return Err(Refusal::bad(format!("stocks[{at}].quantity is below zero")));
    }
    if refused.contains(&sku) {
        return Err(Refusal::bad(format!("stocks[{at}]: unknown product `{sku}`")));
    }
    Ok((id, sku, quantity))
}

#[cfg(test)]
mod tests;
