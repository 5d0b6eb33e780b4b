//! One call from its head to its answer. The order is part of the promise: credentials before the path, so that strangers
//! learn of no endpoint, and both before the body, so that they cost nothing.

use super::body::parse;
use super::credentials::{Callers, Way};
use super::door::{Door, Peer};
use super::listener::SharedTerms;
use super::{Limits, Terms};
use crate::job::receive::{BodyFormat, CallMethod};
use crate::telemetry;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use metrics::counter;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// What is read and thrown away of a body that isn't wanted, so that its sender gets to the answer.
const DISCARDED: usize = 32 << 20;

/// A call that was read whole, from a caller that is known.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path in small letters, without slashes at its ends: `createorder`.
    pub path: String,
    /// The caller's name.
    pub caller: String,
    /// The body as it came.
    pub raw: Bytes,
    /// What it says.
    pub content: Value,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The body, as JSON.
    pub body: Value,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// A refusal with a text for the caller.
    #[must_use]
    pub fn refusal(status: StatusCode, message: &str) -> Self {
        Self { status, body: json!({"success": false, "message": message}), retry_after: None }
    }
}

/// What may be called where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With which methods.
    pub methods: Vec<CallMethod>,
    /// With bodies written in what.
    pub formats: Vec<BodyFormat>,
}

/// What a call is for.
pub trait Receive: Send + Sync + 'static {
    /// What there is at a path, in small letters, for a caller.
    fn endpoint(&self, path: &str, caller: &str) -> Option<Endpoint>;

    /// Does what the call asks for. It is let finish even if nobody waits for the answer any more.
    fn receive(&self, received: Received) -> impl Future<Output = Reply> + Send;
}

struct Shared<R> {
    receiver: Arc<R>,
    terms: SharedTerms,
    work: Work,
}

/// The calls that are worked on.
#[derive(Debug, Default)]
struct Work {
    count: Arc<AtomicUsize>,
    /// Each call holds it for reading; nobody does once all work is done.
    going: Arc<RwLock<()>>,
}

/// A call that is worked on.
struct Working {
    count: Arc<AtomicUsize>,
    _going: OwnedRwLockReadGuard<()>,
}

impl Work {
    fn begin(&self, at_once: usize) -> Option<Working> {
        let going = Arc::clone(&self.going).try_read_owned().ok()?;
        let working = Working { count: Arc::clone(&self.count), _going: going };
        (self.count.fetch_add(1, Ordering::SeqCst) < at_once).then_some(working)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves calls until `stop` resolves, those under way are answered, and what they began is done.
///
/// # Errors
/// Those of the listener.
pub async fn serve<R: Receive>(
    listener: TcpListener,
    receiver: Arc<R>,
    terms: SharedTerms,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let door = Door::new(listener, terms.clone());
    let shared = Arc::new(Shared { receiver, terms, work: Work::default() });
    let going = Arc::clone(&shared.work.going);
    let calls =
        Router::new().fallback(async move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request| {
            // Lives until the answer is made: meanwhile the connection isn't waiting for a head.
            let _turn = peer.turn();
            let terms = shared.terms.now();
            let path = request.uri().path().to_owned();
            let answered = call(&shared, &terms, request).await;
            tell(&answered, &peer, &path);
            respond(answered, &terms.callers)
        });
    let service = calls.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(door, service).with_graceful_shutdown(stop).await;
    // Some callers left, or were told that it takes too long: what they asked for is still carried out.
    drop(going.write().await);
    served
}

/// The answer to a call and what is said about it.
struct Answered {
    reply: Reply,
    /// The caller's name, if it is known.
    caller: Option<String>,
    /// Whether the call got to the receiver, who says himself what he has against it.
    received: bool,
    /// What may be done instead of what isn't allowed.
    allowed: Vec<CallMethod>,
}

fn tell(answered: &Answered, peer: &Peer, path: &str) {
    let Answered { reply, caller, received, .. } = answered;
    let (from, status) = (&peer.address, reply.status.as_u16());
    let caller = caller.as_deref();
    let labels = [("caller", caller.unwrap_or("unknown").to_owned()), ("status", status.to_string())];
    counter!(telemetry::CALLS, &labels).increment(1);
    match caller {
        None => tracing::warn!(%from, "refused a call with missing or unknown credentials"),
        Some(caller) if !received => {
            let why = reply.body["message"].as_str().unwrap_or_default();
            let path = &path[..path.floor_char_boundary(100)];
            tracing::warn!(caller, %from, path, status, "refused a call: {why}");
        }
        Some(caller) => tracing::debug!(caller, %from, path, status, "answered a call"),
    }
}

async fn call<R: Receive>(shared: &Arc<Shared<R>>, terms: &Terms, request: Request) -> Answered {
    let limits = terms.limits;
    let (head, body) = request.into_parts();
    let caller = terms.callers.identify(&head.headers).map(str::to_owned);
    let answered = |reply| Answered { reply, caller: caller.clone(), received: false, allowed: Vec::new() };
    let refused = |status, message: &str| answered(Reply::refusal(status, message));
    let Some(known) = &caller else {
        discard(body, limits).await;
        return refused(StatusCode::UNAUTHORIZED, "unauthorized");
    };
    let path = head.uri.path().trim_matches('/').to_ascii_lowercase();
    let Some(endpoint) = shared.receiver.endpoint(&path, known) else {
        discard(body, limits).await;
        return refused(StatusCode::NOT_FOUND, "there is no such endpoint");
    };
    if !endpoint.methods.iter().any(|method| head.method == method.as_str()) {
        discard(body, limits).await;
        let methods: Vec<&str> = endpoint.methods.iter().map(|method| method.as_str()).collect();
        let message = format!("use {}", methods.join(" or "));
        return Answered { allowed: endpoint.methods, ..refused(StatusCode::METHOD_NOT_ALLOWED, &message) };
    }
    let Some(working) = shared.work.begin(limits.at_once) else {
        discard(body, limits).await;
        let busy = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "too many calls at once; try again");
        return answered(Reply { retry_after: Some(Duration::from_secs(1)), ..busy });
    };
    let raw = match tokio::time::timeout(limits.body_time, read(body, &head.headers, limits)).await {
        Ok(Ok(raw)) => raw,
        Ok(Err(Unread::TooLarge)) => {
            let message = format!("the body has more than {} bytes", limits.body_bytes);
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        Ok(Err(Unread::CutShort)) => return refused(StatusCode::BAD_REQUEST, "the body ended early"),
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content = match parse(content_type, &raw, &endpoint.formats) {
        Ok(content) => content,
        Err(bad) => return refused(StatusCode::BAD_REQUEST, &bad.to_string()),
    };
    let received = Received { path, caller: known.clone(), raw, content };
    // On a task of its own: a caller that leaves, or waits no longer, must not stop what was begun.
    let work = {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let reply = shared.receiver.receive(received).await;
            drop(working);
            reply
        })
    };
    match tokio::time::timeout(limits.answer_time, work).await {
        Ok(Ok(reply)) => Answered { received: true, ..answered(reply) },
        Ok(Err(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the call failed"),
        Err(_) => {
            let late = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer in time; repeat the call");
            answered(Reply { retry_after: Some(limits.answer_time), ..late })
        }
    }
}

enum Unread {
    TooLarge,
    CutShort,
}

async fn read(body: Body, headers: &HeaderMap, limits: Limits) -> Result<Bytes, Unread> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > limits.body_bytes) {
        discard(body, limits).await;
        return Err(Unread::TooLarge);
    }
    let mut whole = BytesMut::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Unread::CutShort)?;
        if whole.len() + piece.len() > limits.body_bytes {
            discard(Body::from_stream(pieces), limits).await;
            return Err(Unread::TooLarge);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Reads on without keeping anything: a sender that finds the connection closed may never read why.
async fn discard(body: Body, limits: Limits) {
    let mut left = DISCARDED;
    let mut pieces = body.into_data_stream();
    let reading = async {
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    // Who is still sending then is not owed an answer.
    let _ = tokio::time::timeout(limits.body_time, reading).await;
}

fn respond(Answered { reply, allowed, .. }: Answered, callers: &Callers) -> Response {
    let unauthorized = reply.status == StatusCode::UNAUTHORIZED;
    let closes = matches!(reply.status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE);
    let mut response = (reply.status, axum::Json(reply.body)).into_response();
    let headers = response.headers_mut();
    if let Some(wait) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if unauthorized && callers.takes(Way::Basic) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"cadenced\""));
    }
    let allowed: Vec<&str> = allowed.iter().map(|method| method.as_str()).collect();
    if let (false, Ok(allowed)) = (allowed.is_empty(), HeaderValue::from_str(&allowed.join(", "))) {
        headers.insert(header::ALLOW, allowed);
    }
    if closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
