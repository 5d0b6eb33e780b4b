//! One call from its head to its answer. The order is part of the promise: credentials before the path, so that strangers
//! learn of no endpoint, and both before the body, so that they cost nothing.

use super::Limits;
use super::body::parse;
use super::credentials::{Callers, Way};
use super::door::{Door, Peer};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What is read and thrown away of a body that isn't wanted, so that its sender gets to the answer.
const DISCARDED: usize = 32 << 20;

/// A call that was read whole, from a caller that is known.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path in small letters, without slashes at its ends: `createorder`.
    pub endpoint: String,
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

/// What a call is for.
pub trait Receive: Send + Sync + 'static {
    /// Whether there is such an endpoint, in small letters.
    fn knows(&self, endpoint: &str) -> bool;

    /// Does what the call asks for. It is let finish even if nobody waits for the answer any more.
    fn receive(&self, received: Received) -> impl Future<Output = Reply> + Send;
}

struct Shared<R> {
    receiver: R,
    callers: Callers,
    limits: Limits,
    at_once: Arc<Semaphore>,
}

/// Serves calls until `stop` resolves and those under way are answered.
///
/// # Errors
/// Those of the listener.
pub async fn serve<R: Receive>(
    listener: TcpListener,
    receiver: R,
    callers: Callers,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let at_once = Arc::new(Semaphore::new(limits.at_once));
    let shared = Arc::new(Shared { receiver, callers, limits, at_once });
    let calls =
        Router::new().fallback(async move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request| {
            // Lives until the answer is made: meanwhile the connection isn't waiting for a head.
            let _turn = peer.turn();
            let (reply, caller) = call(&shared, request).await;
            tracing::debug!(
                caller = caller.as_deref().unwrap_or("unknown"),
                from = %peer.address,
                status = reply.status.as_u16(),
                "answered a call"
            );
            if reply.status == StatusCode::UNAUTHORIZED {
                tracing::warn!(from = %peer.address, "refused a call with missing or unknown credentials");
            }
            respond(reply, &shared.callers)
        });
    let service = calls.into_make_service_with_connect_info::<Peer>();
    axum::serve(Door::new(listener, limits.head_time), service).with_graceful_shutdown(stop).await
}

/// The answer, and the caller's name if it is known.
type Answered = (Reply, Option<String>);

async fn call<R: Receive>(shared: &Arc<Shared<R>>, request: Request) -> Answered {
    let limits = shared.limits;
    let (head, body) = request.into_parts();
    let Some(caller) = shared.callers.identify(&head.headers).map(str::to_owned) else {
        discard(body, limits).await;
        return (Reply::refusal(StatusCode::UNAUTHORIZED, "unauthorized"), None);
    };
    let refused = |status, message: &str| (Reply::refusal(status, message), Some(caller.clone()));
    if head.method != Method::GET && head.method != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "use POST or GET");
    }
    let endpoint = head.uri.path().trim_matches('/').to_ascii_lowercase();
    if !shared.receiver.knows(&endpoint) {
        discard(body, limits).await;
        return refused(StatusCode::NOT_FOUND, "there is no such endpoint");
    }
    let Ok(permit) = Arc::clone(&shared.at_once).try_acquire_owned() else {
        discard(body, limits).await;
        let busy = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "too many calls at once; try again");
        return (Reply { retry_after: Some(Duration::from_secs(1)), ..busy }, Some(caller));
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
    let content = match parse(content_type, &raw) {
        Ok(content) => content,
        Err(bad) => return refused(StatusCode::BAD_REQUEST, &bad.to_string()),
    };
    let received = Received { endpoint, caller: caller.clone(), raw, content };
    // On a task of its own: a caller that leaves, or waits no longer, must not stop what was begun.
    let work = {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let reply = shared.receiver.receive(received).await;
            drop(permit);
            reply
        })
    };
    match tokio::time::timeout(limits.answer_time, work).await {
        Ok(Ok(reply)) => (reply, Some(caller)),
        Ok(Err(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the call failed"),
        Err(_) => {
            let late = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer in time; repeat the call");
            (Reply { retry_after: Some(limits.answer_time), ..late }, Some(caller))
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

fn respond(reply: Reply, callers: &Callers) -> Response {
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
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    if closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
