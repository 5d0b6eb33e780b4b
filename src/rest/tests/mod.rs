//! What the tests of this module share: a real HTTP server on loopback that answers as told and remembers what it
//! was asked.

mod calls;
mod limits;
mod login;
mod outcomes;
mod pushes;
mod uploads;

use crate::clock::SystemClock;
use crate::connection::{Auth, Limits, RestConnection, Timeouts};
use crate::quota::Gate;
use crate::rest::Client;
use crate::retry::Backoff;
use crate::transfer::{Digest, Failure, Record};
use crate::words::ConnectionName;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A record with this key, content and group.
pub(super) fn record(key: &str, content: &str, group: &[&str]) -> Record {
    Record {
        key: key.to_owned(),
        cursor: None,
        content: RawValue::from_string(content.to_owned()).unwrap(),
        digest: Digest::of(content.as_bytes()),
        group: group.iter().map(|&value| value.to_owned()).collect(),
    }
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;
type Answering = Arc<dyn Fn(&Seen, usize) -> Response<Body> + Send + Sync>;

/// A server on loopback, gone with its value.
pub(super) struct Server {
    pub(super) url: String,
    seen: Log,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    /// Answers each request with what `answer` makes of it and of how many came before.
    pub(super) async fn start(
        answer: impl Fn(&Seen, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let seen = Log::default();
        let answer: Answering = Arc::new(answer);
        let router = Router::new().fallback(respond).with_state((Arc::clone(&seen), answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, serving }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn client(&self) -> Client {
        client(&connection(&self.url))
    }
}

async fn respond(State((seen, answer)): State<(Log, Answering)>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let one = Seen {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(one.clone());
        seen.len() - 1
    };
    answer(&one, before)
}

pub(super) fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    with(status, &[], body)
}

pub(super) fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

pub(super) fn connection(url: &str) -> RestConnection {
    RestConnection {
        url: url.to_owned(),
        headers: Vec::new(),
        auth: Auth::Headers,
        quota: Vec::new(),
        in_flight: 4,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            total: Duration::from_secs(20),
            ..Timeouts::default()
        },
        max_body: 64 * 1024 * 1024,
        ca_file: None,
        proxy: None,
        check: None,
        limits: Limits {
            retry: Backoff { first: Duration::from_millis(2), ..Backoff::default() },
            ..Limits::default()
        },
    }
}

pub(super) fn client(connection: &RestConnection) -> Client {
    open(connection).unwrap()
}

pub(super) fn open(connection: &RestConnection) -> Result<Client, Failure> {
    let gate = Gate::new(&connection.quota, connection.in_flight);
    Client::new(&ConnectionName::new("shop").unwrap(), connection, gate, Arc::new(SystemClock))
}
