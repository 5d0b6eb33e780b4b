//! The endpoints: what a request must say, and the envelope of the answer.

use super::super::lock;
use super::orders::Page;
use super::{Answers, B2Market, Format, Totals, xml};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::NaiveDateTime;
use encoding_rs::Encoding;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

const DATE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

pub(super) fn routes(platform: B2Market) -> Router {
    Router::new()
        .route("/api/login", post(login))
        .route("/api/Order/updatedFrom", get(updated_from))
        .route("/api/Order/getOrder", get(get_order))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "no such endpoint".to_owned()))
        .with_state(platform)
}

/// An error answer of the platform: `{"code":…,"message":…}`.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({"code": self.0.as_u16(), "message": self.1}))).into_response()
    }
}

async fn login(
    State(platform): State<B2Market>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Refusal> {
    if !is_json(&headers) {
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json".to_owned()));
    }
    let body: Value = serde_json::from_str(&body).map_err(|_| Refusal::bad("the body is not JSON"))?;
    let field = |name: &str| {
        let text = body.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Refusal::bad(format!("`{name}` is missing or no string")))
    };
    let (username, password) = (field("_username")?, field("_password")?);
    if username != platform.platform.username || password != platform.platform.password {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "Invalid credentials.".to_owned()));
    }
    let now = platform.wire.clock().now();
    let token = lock(&platform.platform.state).tokens.issue(username, now);
    Ok(axum::Json(json!({"token": token})).into_response())
}

async fn updated_from(
    State(platform): State<B2Market>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    admit(&platform, &headers)?;
    let date = param(&query, "date").ok_or_else(|| Refusal::bad("`date` is missing"))?;
    // chrono also takes single digits; the platform's format has none.
    let from = NaiveDateTime::parse_from_str(date, DATE_FORMAT)
        .ok()
        .filter(|from| from.format(DATE_FORMAT).to_string() == date)
        .ok_or_else(|| Refusal::bad(format!("`date` must be YYYY-MM-DD HH:MM:SS, not `{date}`")))?;
    let statuses: Vec<&str> =
        query.iter().filter(|(name, _)| name == "status[]").map(|(_, value)| value.as_str()).collect();
    let (answer, hooks, every_page) = {
        let mut state = lock(&platform.platform.state);
        let walk = Walk::read(&query, state.max_page_size)?;
        let sort = state.sort;
        let page = state.orders.updated_from(from, &statuses, sort, walk.skip(), walk.size);
        let answer = walk.answer("/api/Order/updatedFrom", &query, &page, &state, &headers);
        let hooks: Vec<_> = state.hooks.extract_if(.., |(page, _)| *page == walk.page).collect();
        if let Some(kept) = &mut state.kept {
            kept.push(page.data);
        }
        (answer, hooks, state.every_page.clone())
    };
    // Outside the lock: hooks change the orders.
    for (_, hook) in hooks {
        hook(&platform);
    }
    if let Some(hook) = every_page {
        lock(&hook)(&platform);
    }
    Ok(answer)
}

async fn get_order(
    State(platform): State<B2Market>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    admit(&platform, &headers)?;
    let state = lock(&platform.platform.state);
    let walk = Walk::read(&query, state.max_page_size)?;
    let page = match param(&query, "id") {
        Some(id) => state.orders.one(id),
        None => state.orders.all(walk.skip(), walk.size),
    };
    if page.total == 0 && platform.platform.unknown_id_is_404 && param(&query, "id").is_some() {
        return Err(Refusal(StatusCode::NOT_FOUND, "Order not found".to_owned()));
    }
    Ok(walk.answer("/api/Order/getOrder", &query, &page, &state, &headers))
}

/// An expired token is answered like a false one: with 403 (B2Market contract §2).
fn admit(platform: &B2Market, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let now = platform.wire.clock().now();
    if token.is_some_and(|token| lock(&platform.platform.state).tokens.admits(token, now)) {
        Ok(())
    } else {
        Err(Refusal(StatusCode::FORBIDDEN, "Expired or invalid JWT Token".to_owned()))
    }
}

/// Which page is asked for, and how large it will be.
struct Walk {
    page: usize,
    size: usize,
}

impl Walk {
    fn read(query: &[(String, String)], largest: usize) -> Result<Self, Refusal> {
        let number =
            |name: &str, default: usize| match param(query, name) {
                None => Ok(default),
                Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                    Refusal::bad(format!("`{name}` must be a positive integer, not `{text}`"))
                }),
            };
        Ok(Self { page: number("page", 1)?, size: number("pageSize", 10)?.min(largest) })
    }

    fn skip(&self) -> usize {
        (self.page - 1).saturating_mul(self.size)
    }

    fn answer(
        &self,
        path: &str,
        query: &[(String, String)],
        page: &Page,
        state: &super::State,
        headers: &HeaderMap,
    ) -> Response {
        let (totals, answers) = (state.totals, state.answers);
        let items = page.total + usize::from(totals == Totals::OneTooHigh);
        let pages = items.div_ceil(self.size);
        let next = (self.page < pages).then(|| next_url(path, query, self.page + 1));
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
        let takes_gzip = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
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

fn param<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/json"))
}
