//! A request as a platform reads it, and the refusal of one that breaks a rule of the platform's contract.
//!
//! Paths are matched by their segments, each percent-decoded on its own: an id with a slash in it is one segment if it
//! was encoded and several if it wasn't.

use super::wire::{Number, Wire};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Query;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) method: Method,
    /// The path's segments, percent-decoded.
    pub(super) segments: Vec<String>,
    /// The query's pairs in their order, decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    wire: Wire,
    number: usize,
    path: String,
    raw_query: String,
}

/// A rule of a platform's contract that a request broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRule {
    /// The rule's name, such as `client-not-looked-up`.
    pub rule: &'static str,
    /// The request's number in the log.
    pub request: usize,
    /// `POST /path`
    pub call: String,
    /// What was wrong, with the field and the record where there is one.
    pub what: String,
}

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The rule that was broken. None where the caller did nothing wrong: a record that isn't there is no broken rule.
    pub(super) rule: Option<&'static str>,
    pub(super) message: String,
}

impl Refusal {
    /// The caller did nothing wrong.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, rule: None, message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The request broke a rule.
    pub(super) fn broken(status: StatusCode, rule: &'static str, message: impl Into<String>) -> Self {
        Self { status, rule: Some(rule), message: message.into() }
    }

    /// The request broke a rule, and is answered with 400.
    pub(super) fn bad(rule: &'static str, message: impl Into<String>) -> Self {
        Self::broken(StatusCode::BAD_REQUEST, rule, message)
    }
}

impl Incoming {
    /// The query parameter of this name; the first, if there are several.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The path as it was sent.
    pub(super) fn raw_path(&self) -> &str {
        &self.path
    }

    /// The query as it was sent.
    pub(super) fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// The segments as they are matched.
    pub(super) fn route(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The body of a request that must be JSON.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        if !self.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::broken(status, "content-type", "send application/json"));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad("body-json", format!("the body is not JSON: {error}")))
    }

    /// Notes that a rule was broken, whatever is answered.
    pub(super) fn note(&self, rule: &'static str, what: impl Into<String>) {
        let call = format!("{} {}", self.method, self.path);
        self.wire.note_broken(BrokenRule { rule, request: self.number, call, what: what.into() });
    }
}

/// Has every request answered by `answer`; what it refuses is written by `refuse`, and noted if it broke a rule.
pub(super) fn routes(
    wire: &Wire,
    answer: impl Fn(&Incoming) -> Result<Response, Refusal> + Clone + Send + Sync + 'static,
    refuse: fn(&Refusal) -> Response,
) -> Router {
    let wire = wire.clone();
    Router::new().fallback(async move |request: axum::extract::Request| {
        let incoming = read(wire, request).await;
        answer(&incoming).unwrap_or_else(|refusal| {
            if let Some(rule) = refusal.rule {
                incoming.note(rule, refusal.message.clone());
            }
            refuse(&refusal)
        })
    })
}

async fn read(wire: Wire, request: axum::extract::Request) -> Incoming {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let segments = path.split('/').skip(1);
    let segments = segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned());
    let raw_query = head.uri.query().unwrap_or_default().to_owned();
    let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri);
    Incoming {
        segments: segments.collect(),
        query: query.map(|Query(pairs)| pairs).unwrap_or_default(),
        number: head.extensions.get::<Number>().map_or(0, |number| number.0),
        // A caller that leaves half-way hears no answer anyway.
        body: to_bytes(body, super::wire::LARGEST_BODY).await.unwrap_or_default(),
        method: head.method,
        headers: head.headers,
        wire,
        path,
        raw_query,
    }
}
