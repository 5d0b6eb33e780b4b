//! Between the socket and a simulated platform: the server's thread, the request log, the faults, the `Date`
//! header. What a request means is the platform's business.

use super::clock::Clock;
use super::exchange::BrokenRule;
use super::fault::{Fault, Faults, Hold, answer};
use super::lock;
use super::requests::{Request, Requests, Violation};
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// Where a platform listens and what it holds its callers to.
#[derive(Debug, Clone)]
pub struct WireOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The platform's clock.
    pub clock: Clock,
    /// Requests allowed in any window; what goes beyond is recorded as a [`Violation`].
    pub quotas: Vec<(usize, Duration)>,
    /// Whether what goes beyond a quota is also answered with 429 and `Retry-After`.
    pub enforce_quotas: bool,
    /// Requests kept in the log.
    pub log: usize,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self { port: 0, clock: Clock::default(), quotas: Vec::new(), enforce_quotas: false, log: 100_000 }
    }
}

/// A platform's end of the wire: where it is reached, what came, and what shall go wrong.
#[derive(Debug, Clone)]
pub struct Wire(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: String,
    clock: Clock,
    enforce_quotas: bool,
    requests: Mutex<Requests>,
    faults: Faults,
    broken: Mutex<Vec<BrokenRule>>,
    /// Counts changes of the request log, for those who wait on it.
    changes: watch::Sender<u64>,
}

/// The largest request body taken, in bytes; more than 10,000 lines of stock need.
pub(super) const LARGEST_BODY: usize = 16 << 20;

/// The broken rules kept.
const MOST_BROKEN: usize = 10_000;

/// A request's number in the log, as the platform is handed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) usize);

/// The thread a platform runs on; dropping it ends the thread and every connection.
#[derive(Debug)]
pub(super) struct ServerThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wire {
    /// Binds the port; connections wait in the backlog until [`Wire::serve`].
    pub(super) fn bind(options: &WireOptions) -> io::Result<(Self, std::net::TcpListener)> {
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)))?;
        listener.set_nonblocking(true)?;
        let shared = Shared {
            url: format!("http://{}", listener.local_addr()?),
            clock: options.clock.clone(),
            enforce_quotas: options.enforce_quotas,
            requests: Mutex::new(Requests::new(options.log, &options.quotas)),
            faults: Faults::default(),
            broken: Mutex::default(),
            changes: watch::Sender::new(0),
        };
        Ok((Self(Arc::new(shared)), listener))
    }

    /// Serves the platform's routes on a thread and a runtime of their own.
    pub(super) fn serve(
        &self,
        listener: std::net::TcpListener,
        routes: axum::Router,
    ) -> io::Result<ServerThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            Door(TcpListener::from_std(listener)?)
        };
        let service = routes
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .layer(from_fn_with_state(self.clone(), pass))
            .into_make_service_with_connect_info::<Cut>();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = axum::serve(listener, service) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(ServerThread { stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:port`, without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The platform's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The next `times` requests whose path contains `path` (all, if empty) meet this fault; faults planned earlier
    /// come first.
    pub fn fail_next(&self, times: usize, path: &str, fault: Fault) {
        self.0.faults.plan(times, path, fault);
    }

    /// Every request whose path contains `path` meets this fault, until [`Wire::heal`].
    pub fn fail_always(&self, path: &str, fault: Fault) {
        self.0.faults.plan(usize::MAX, path, fault);
    }

    /// Every `nth` request whose path contains `path` meets this fault, until [`Wire::heal`].
    pub fn fail_every(&self, nth: usize, path: &str, fault: Fault) {
        self.0.faults.plan_every(nth, path, fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.0.faults.clear();
    }

    /// How many planned faults have not met their request yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.0.faults.left()
    }

    /// Holds the next request whose path contains `path` before anything is done about it.
    #[must_use]
    pub fn hold_next(&self, path: &str) -> Hold {
        let hold = Hold::new();
        self.fail_next(1, path, Fault::Held(hold.clone()));
        hold
    }

    /// The requests so far, oldest first; at most as many as the log keeps.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.0.requests).kept().iter().cloned().collect()
    }

    /// How many requests came since the start.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.0.requests).total()
    }

    /// How many requests in the log have a path that contains `path`.
    #[must_use]
    pub fn count_of(&self, path: &str) -> usize {
        lock(&self.0.requests).kept().iter().filter(|request| request.path.contains(path)).count()
    }

    /// Returns once the log fulfils the condition; it is asked again whenever a request comes or is answered. The
    /// condition must look at the log it is given only: asking the wire again would wait for itself.
    pub async fn wait_until(&self, condition: impl Fn(&VecDeque<Request>) -> bool) {
        // Subscribed before looking, so that no change falls between the two.
        let mut changes = self.0.changes.subscribe();
        while !condition(lock(&self.0.requests).kept()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Requests that went beyond a quota.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.0.requests).violations.clone()
    }

    /// The rules of the platform's contract that requests broke, oldest first; a caller that keeps to the contract
    /// breaks none.
    #[must_use]
    pub fn broken_rules(&self) -> Vec<BrokenRule> {
        lock(&self.0.broken).clone()
    }

    pub(super) fn note_broken(&self, broken: BrokenRule) {
        let mut all = lock(&self.0.broken);
        // Enough to see what is wrong; a caller that never stops must not fill the memory.
        if all.len() < MOST_BROKEN {
            all.push(broken);
        }
    }

    fn arrive(&self, request: &axum::extract::Request) -> (usize, Option<Duration>) {
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let seen = Request {
            number: 0,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: query.map(|Query(pairs)| pairs).unwrap_or_default(),
            at: self.0.clock.now(),
            arrived: Instant::now(),
            status: None,
        };
        let arrived = lock(&self.0.requests).arrive(seen);
        self.0.changes.send_modify(|changes| *changes += 1);
        arrived
    }

    fn depart(&self, number: usize, status: Option<u16>) {
        lock(&self.0.requests).depart(number, status);
        self.0.changes.send_modify(|changes| *changes += 1);
    }
}

async fn pass(
    State(wire): State<Wire>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    mut request: axum::extract::Request,
    next: Next,
) -> Response {
    let (number, beyond_quota) = wire.arrive(&request);
    request.extensions_mut().insert(Number(number));
    let mut answered = true;
    let fault = match beyond_quota {
        Some(wait) if wire.0.enforce_quotas => {
            Some(Fault::too_many_requests(&wait.as_secs_f64().ceil().to_string()))
        }
        _ => wire.0.faults.take(request.uri().path()),
    };
    let mut response = match fault {
        None => next.run(request).await,
        Some(Fault::Answer { status, headers, body }) => answer(status, &headers, body),
        Some(Fault::Reset) => {
            answered = false;
            cut.reset();
            StatusCode::OK.into_response()
        }
        Some(Fault::AnswerLost) => {
            let response = next.run(request).await;
            answered = false;
            cut.reset();
            response
        }
        Some(Fault::Truncated) => truncated(next.run(request).await, &cut).await,
        Some(Fault::Slow(by)) => {
            tokio::time::sleep(by).await;
            next.run(request).await
        }
        Some(Fault::AnswerLate(by)) => {
            let response = next.run(request).await;
            tokio::time::sleep(by).await;
            response
        }
        Some(Fault::Held(hold)) => {
            hold.pass().await;
            next.run(request).await
        }
    };
    let date = wire.0.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    wire.depart(number, answered.then_some(response.status().as_u16()));
    response
}

/// Lets the connection break after the head and about half of the body.
async fn truncated(response: Response, cut: &Cut) -> Response {
    // The shortest head the sandbox writes; longer ones only move the break forwards.
    const HEAD: usize = 110;
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    if !body.is_empty() {
        cut.after(HEAD + body.len() / 2);
    }
    Response::from_parts(head, Body::from(body))
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic on that thread was already reported where it happened.
            let _ = thread.join();
        }
    }
}

/// How many more bytes a connection lets out before it breaks, or one of the two values below.
#[derive(Debug, Clone)]
struct Cut(Arc<AtomicUsize>);

impl Cut {
    const NEVER: usize = usize::MAX;
    const RESET: usize = usize::MAX - 1;

    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(Self::NEVER)))
    }

    fn after(&self, bytes: usize) {
        self.0.store(bytes, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.after(Self::RESET);
    }
}

impl Connected<IncomingStream<'_, Door>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().cut.clone()
    }
}

/// Accepts connections that can be cut.
#[derive(Debug)]
struct Door(TcpListener);

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Pages are written whole; waiting for more would only slow the answers down.
        let _ = stream.set_nodelay(true);
        (Connection { stream, cut: Cut::new() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.cut.0.load(Ordering::SeqCst);
        if left == Cut::NEVER {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if left == Cut::RESET {
            // Without lingering the peer gets a reset; otherwise it would get an orderly end.
            let _ = self.stream.set_zero_linger();
        }
        if left == Cut::RESET || left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let allowed = bytes.get(..left).unwrap_or(bytes);
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, allowed))?;
        self.cut.after(left - written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
