//! The endpoints: what a request must say, and the envelope of the answer.

use super::super::lock;
use super::orders::Page;
use super::{B2Market, Totals};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::NaiveDateTime;
use serde_json::{Value, json};

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
        let answer = walk.answer("/api/Order/updatedFrom", &query, &page, state.totals);
        let hooks: Vec<_> = state.hooks.extract_if(.., |(page, _)| *page == walk.page).collect();
        if let Some(answers) = &mut state.answers {
            answers.push(page.data);
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
    Ok(walk.answer("/api/Order/getOrder", &query, &page, state.totals))
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

    fn answer(&self, path: &str, query: &[(String, String)], page: &Page, totals: Totals) -> Response {
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
        let body = format!(r#"{{"data":{},"pagination":{pagination}}}"#, page.data);
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
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
