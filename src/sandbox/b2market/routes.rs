//! The endpoints: what a request must say, and the envelope of the answer.

use super::super::exchange::{Incoming, Refusal};
use super::super::lock;
use super::masters::Rows;
use super::orders::Page;
use super::{Answers, B2Market, Format, Totals, create, xml};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDateTime;
use encoding_rs::Encoding;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

const DATE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// An error answer of the platform: `{"code":…,"message":…}`.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let body = json!({"code": refusal.status.as_u16(), "message": refusal.message});
    (refusal.status, axum::Json(body)).into_response()
}

pub(super) fn answer(market: &B2Market, request: &Incoming) -> Result<Response, Refusal> {
    let (method, route) = (request.method.as_str(), request.route());
    let ["api", route @ ..] = route.as_slice() else { return Err(no_endpoint()) };
    if let ("POST", ["login"]) = (method, route) {
        return login(market, request);
    }
    admit(market, request)?;
    match (method, route) {
        ("GET", ["Order", "updatedFrom"]) => updated_from(market, request),
        ("GET", ["Order", "getOrder"]) => get_order(market, request),
        ("POST", ["Order", "create"]) => {
            if market.switches.is("post-allowed", "false") {
                let message = "the token's roles say that it may not POST";
                return Err(Refusal::broken(StatusCode::FORBIDDEN, "role", message));
            }
            create::create(market, &mut lock(&market.inside.state), request)
        }
        ("GET", route) => get_list(market, request, route),
        _ => Err(no_endpoint()),
    }
}

fn no_endpoint() -> Refusal {
    Refusal::broken(StatusCode::NOT_FOUND, "no-such-endpoint", "no such endpoint")
}

fn login(market: &B2Market, request: &Incoming) -> Result<Response, Refusal> {
    let body = request.json()?;
    let field = |name: &str| {
        let text = body.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Refusal::bad("field-missing", format!("`{name}` is missing or no string")))
    };
    let (username, password) = (field("_username")?, field("_password")?);
    if username != market.inside.username || password != market.inside.password {
        return Err(Refusal::broken(StatusCode::UNAUTHORIZED, "login", "Invalid credentials."));
    }
    let now = market.wire.clock().now();
    let may_post = market.switches.is("post-allowed", "true");
    let token = lock(&market.inside.state).tokens.issue(username, may_post, now);
    Ok(axum::Json(json!({"token": token})).into_response())
}

fn updated_from(market: &B2Market, request: &Incoming) -> Result<Response, Refusal> {
    let date = request.param("date").ok_or_else(|| Refusal::bad("query-missing", "`date` is missing"))?;
    // chrono also takes single digits; the platform's format has none.
    let from = NaiveDateTime::parse_from_str(date, DATE_FORMAT)
        .ok()
        .filter(|from| from.format(DATE_FORMAT).to_string() == date)
        .ok_or_else(|| {
            Refusal::bad("query-date", format!("`date` must be YYYY-MM-DD HH:MM:SS, not `{date}`"))
        })?;
    let statuses: Vec<&str> = request
        .query
        .iter()
        .filter(|(name, _)| name == "status[]")
        .map(|(_, value)| value.as_str())
        .collect();
    let (answer, hooks, every_page) = {
        let mut state = lock(&market.inside.state);
        let walk = Walk::read(request, state.max_page_size)?;
        let sort = state.sort;
        let page = state.orders.updated_from(from, &statuses, sort, walk.skip(), walk.size);
        let answer = walk.answer("/api/Order/updatedFrom", request, &page, &state);
        let hooks: Vec<_> = state.hooks.extract_if(.., |(page, _)| *page == walk.page).collect();
        if let Some(kept) = &mut state.kept {
            kept.push(page.data);
        }
        (answer, hooks, state.every_page.clone())
    };
    // Outside the lock: hooks change the orders.
    for (_, hook) in hooks {
        hook(market);
    }
    if let Some(hook) = every_page {
        lock(&hook)(market);
    }
    if market.switches.on("moving-rows") {
        market.redate_some(1);
    }
    if market.switches.on("expire-on-page") {
        market.expire_tokens();
    }
    Ok(answer)
}

fn get_order(market: &B2Market, request: &Incoming) -> Result<Response, Refusal> {
    let state = lock(&market.inside.state);
    let walk = Walk::read(request, state.max_page_size)?;
    let id = request.param("id");
    if id == Some("id") {
        request.note("id-default", "`id=id` is how the documentation prints the default, not an id");
    }
    let page = match id {
        Some(id) => state.orders.one(id),
        None => state.orders.all(walk.skip(), walk.size),
    };
    if page.total == 0 && market.inside.unknown_id_is_404 && id.is_some() {
        return Err(Refusal::not_found("Order not found"));
    }
    Ok(walk.answer("/api/Order/getOrder", request, &page, &state))
}

/// Status lists and masters. Of the masters, season, product and location have paths of the sandbox's choice.
fn get_list(market: &B2Market, request: &Incoming, route: &[&str]) -> Result<Response, Refusal> {
    let state = lock(&market.inside.state);
    let walk = Walk::read(request, state.max_page_size)?;
    let masters = &state.masters;
    let statuses = |statuses: &BTreeMap<String, String>| {
        let boolean = market.switches.is("status-value", "boolean");
        let row = |(id, text): (&String, &String)| {
            let value = if boolean { Value::from(true) } else { Value::from(text.as_str()) };
            json!({"id": id, "value": value})
        };
        statuses.iter().map(row).collect::<Vec<Value>>()
    };
    let chosen = |rows: &Rows, names: &[(&str, &str)]| {
        let wanted = |row: &&Value| {
            names
                .iter()
                .all(|(name, at)| request.param(name).is_none_or(|id| row.pointer(at) == Some(&id.into())))
        };
        rows.values().filter(wanted).cloned().collect::<Vec<Value>>()
    };
    let by_id: &[(&str, &str)] = &[("id", "/id")];
    let rows = match route {
        ["Order", "getOrder", "Status"] => statuses(&masters.statuses),
        ["Order", "getOrder", "Line", "Status"] => statuses(&masters.line_statuses),
        ["Company", "getCompany"] => chosen(&masters.companies, by_id),
        ["BusinessPartner", "getBPartner"] => chosen(&masters.partners, by_id),
        ["Location", "getLocation"] => chosen(&masters.locations, by_id),
        ["Season", "getSeason"] => chosen(&masters.seasons, by_id),
        ["Product", "getProduct"] => chosen(&masters.products, by_id),
        ["Warehouse", "getWarehouse"] => chosen(&masters.warehouses, by_id),
        ["Stock", "getStock"] => {
            chosen(&masters.stocks, &[("idProduct", "/product/id"), ("idWarehouse", "/warehouse/id")])
        }
        _ => return Err(no_endpoint()),
    };
    let total = rows.len();
    let rows: Vec<Value> = rows.into_iter().skip(walk.skip()).take(walk.size).collect();
    let page = Page { data: Value::from(rows).to_string(), total };
    Ok(walk.answer(&format!("/api/{}", route.join("/")), request, &page, &state))
}

/// An expired token is answered like a false one: with 403 (B2Market contract §2).
fn admit(market: &B2Market, request: &Incoming) -> Result<(), Refusal> {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let now = market.wire.clock().now();
    if token.is_some_and(|token| lock(&market.inside.state).tokens.admits(token, now)) {
        return Ok(());
    }
    let rule = token.is_none().then_some("token-missing");
    Err(Refusal { status: StatusCode::FORBIDDEN, rule, message: "Expired or invalid JWT Token".to_owned() })
}

/// Which page is asked for, and how large it will be.
struct Walk {
    page: usize,
    size: usize,
}

impl Walk {
    fn read(request: &Incoming, largest: usize) -> Result<Self, Refusal> {
        let number = |name: &str, default: usize| match request.param(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                Refusal::bad("query-number", format!("`{name}` must be a positive integer, not `{text}`"))
            }),
        };
        Ok(Self { page: number("page", 1)?, size: number("pageSize", 10)?.min(largest) })
    }

    fn skip(&self) -> usize {
        (self.page - 1).saturating_mul(self.size)
    }

    fn answer(&self, path: &str, request: &Incoming, page: &Page, state: &super::State) -> Response {
        let (totals, answers) = (state.totals, state.answers);
        let items = page.total + usize::from(totals == Totals::OneTooHigh);
        let pages = items.div_ceil(self.size);
        let next = (self.page < pages).then(|| next_url(path, &request.query, self.page + 1));
        let mut pagination = json!({
            "totalItems": items,
            "itemsPerPage": self.size,
            "currentPage": self.page,
            "totalPages": pages,
            "nextPageUrl": next,
        });
        if totals == Totals::Missing
            && let Some(fields) = pagination.as_object_mut()
        {
            fields.remove("totalItems");
            fields.remove("totalPages");
        }
        let charset = answers.charset.unwrap_or("UTF-8");
        let (media_type, text) = match answers.format {
            Format::Json => {
                ("application/json", format!(r#"{{"data":{},"pagination":{pagination}}}"#, page.data))
            }
            Format::Xml(lists) => {
                let rows: Vec<Value> = serde_json::from_str(&page.data).unwrap_or_default();
                ("application/xml", xml::document(&rows, &pagination, lists, charset))
            }
        };
        let takes_gzip = request.header("accept-encoding");
        let gzip = answers.gzip && takes_gzip.is_some_and(|value| value.contains("gzip"));
        let body = encoded(&text, answers, gzip);
        let content_type = match answers.charset {
            Some(charset) => format!("{media_type}; charset={charset}"),
            None => media_type.to_owned(),
        };
        let mut response = Response::new(slowly(body, answers.pause));
        if let Ok(content_type) = HeaderValue::from_str(&content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn encoded(text: &str, answers: Answers, gzip: bool) -> Vec<u8> {
    let encoding = answers.charset.and_then(|name| Encoding::for_label(name.as_bytes()));
    let mut body = if answers.mark { "\u{FEFF}".as_bytes().to_vec() } else { Vec::new() };
    match encoding {
        Some(encoding) => body.extend_from_slice(&encoding.encode(text).0),
        None => body.extend_from_slice(text.as_bytes()),
    }
    if !gzip {
        return body;
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory can't fail.
    let _ = packed.write_all(&body);
    packed.finish().unwrap_or_default()
}

/// The body in three pieces with pauses between them.
fn slowly(body: Vec<u8>, pause: Duration) -> Body {
    if pause.is_zero() {
        return Body::from(body);
    }
    let third = body.len().div_ceil(3).max(1);
    let pieces: Vec<Vec<u8>> = body.chunks(third).map(<[u8]>::to_vec).collect();
    Body::from_stream(stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(piece)
    }))
}

fn next_url(path: &str, query: &[(String, String)], page: usize) -> String {
    let kept = query.iter().filter(|(name, _)| name != "page");
    let kept: String = kept.map(|(name, value)| format!("{name}={}&", value.replace(' ', "%20"))).collect();
    format!("{path}?{kept}page={page}")
}
