//! A platform that keeps what it is sent, on loopback and in the test's own runtime: items that are replaced by their id,
//! and events that are created, twice if they are sent twice. What goes wrong with a request is decided by whoever
//! uses it.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::serve::Listener;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request besides, or instead of, being carried out and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// This status, and nothing is done.
    Refused(u16),
    /// It is carried out, and this is the answer.
    AnsweredWith(u16),
    /// Nothing is done and the connection breaks.
    Broken,
    /// It is carried out and the connection breaks.
    Unheard,
    /// An HTML page with 200, and nothing is done.
    Html,
}

/// What it keeps.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Items by id.
    pub(crate) items: BTreeMap<String, Value>,
    /// How often each event was created.
    pub(crate) events: BTreeMap<String, usize>,
    /// Method, path and number of lines of each request.
    pub(crate) log: Vec<(String, String, usize)>,
    /// An item or event with this value refuses its whole request.
    pub(crate) refuses: Option<i64>,
}

type Script = Box<dyn FnMut(&Method, &str) -> Option<Mishap> + Send>;

/// The platform; it is gone with the value.
pub(crate) struct Shelf {
    pub(crate) url: String,
    inside: Arc<Inside>,
    serving: tokio::task::JoinHandle<()>,
}

struct Inside {
    kept: Mutex<Kept>,
    script: Mutex<Script>,
    connections: Arc<AtomicUsize>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shelf {
    pub(crate) async fn start() -> Self {
        let inside = Arc::new(Inside {
            kept: Mutex::default(),
            script: Mutex::new(Box::new(|_, _| None)),
            connections: Arc::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let door = Door(listener, Arc::clone(&inside.connections));
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&inside));
        let serving = tokio::spawn(async move { axum::serve(door, router).await.unwrap() });
        Self { url, inside, serving }
    }

    /// What it keeps now.
    pub(crate) fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.inside.kept.lock().unwrap()
    }

    /// From now on each request may meet a mishap.
    pub(crate) fn script(&self, script: impl FnMut(&Method, &str) -> Option<Mishap> + Send + 'static) {
        *self.inside.script.lock().unwrap() = Box::new(script);
    }

    /// Takes the log of the requests so far.
    pub(crate) fn take_log(&self) -> Vec<(String, String, usize)> {
        std::mem::take(&mut self.kept().log)
    }

    /// Returns once nobody is connected: what was sent has been carried out, or never will be.
    pub(crate) async fn idle(&self) {
        while self.inside.connections.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(State(inside): State<Arc<Inside>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return said(400, "cut off") };
    let path = parts.uri.path().to_owned();
    let mishap = (inside.script.lock().unwrap())(&parts.method, &path);
    let carried_out = match mishap {
        Some(Mishap::Refused(status)) => return said(status, "simulated"),
        Some(Mishap::Broken) => return broken(),
        Some(Mishap::Html) => return said(200, "<html><body>maintenance</body></html>"),
        _ => carry_out(&mut inside.kept.lock().unwrap(), &parts.method, &path, parts.uri.query(), &body),
    };
    match mishap {
        Some(Mishap::AnsweredWith(status)) => said(status, "simulated"),
        Some(Mishap::Unheard) => broken(),
        _ => carried_out,
    }
}

/// `/items/{group}` takes many items, `/item/{id}` one, `/events` creates many; `/events` is also asked for `?id=`.
fn carry_out(
    kept: &mut Kept,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Response<Body> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
    let (lines, removed) = (list("rows"), list("removed"));
    kept.log.push((method.to_string(), path.to_owned(), lines.len() + removed.len()));
    let refuses = kept.refuses;
    let is_refused = |line: &Value| refuses.is_some() && line["value"].as_i64() == refuses;
    if lines.iter().any(is_refused) || (method == Method::PUT && is_refused(&body)) {
        return said(422, r#"{"error":"this value is refused"}"#);
    }
    let id = |line: &Value| line["id"].as_str().unwrap().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    match (method, path.split('/').nth(1).unwrap_or_default()) {
        (&Method::PUT, "items") => {
            kept.items.extend(lines.iter().map(|line| (id(line), line.clone())));
            removed.iter().for_each(|id| drop(kept.items.remove(id.as_str().unwrap())));
            said(200, "")
        }
        (&Method::PUT, "item") if last == "unknown" => said(404, "client not found"),
        (&Method::PUT, "item") => {
            kept.items.insert(last, body);
            said(200, r#"{"success":true}"#)
        }
        (&Method::DELETE, "item") => {
            let there = kept.items.remove(&last).is_some();
            said(if there { 204 } else { 404 }, "")
        }
        (&Method::POST, "events") => {
            lines.iter().for_each(|line| *kept.events.entry(id(line)).or_default() += 1);
            said(201, r#"{"success":true}"#)
        }
        (&Method::GET, "events") => {
            let id = query.and_then(|query| query.strip_prefix("id=")).unwrap_or_default();
            let rows = if kept.events.contains_key(id) { json!([{"id": id}]) } else { json!([]) };
            said(200, &json!({"rows": rows}).to_string())
        }
        _ => said(404, "no such endpoint"),
    }
}

fn said(status: u16, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A head, and then the connection breaks.
fn broken() -> Response<Body> {
    let gone = io::Error::from(io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(futures_util::stream::iter([Err::<Vec<u8>, _>(gone)])))
}

/// Accepts connections and counts those that are open.
struct Door(TcpListener, Arc<AtomicUsize>);

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        self.1.fetch_add(1, Ordering::SeqCst);
        (Guest(stream, Arc::clone(&self.1)), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Guest(TcpStream, Arc<AtomicUsize>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
