//! Sends requests over one connection for the life of the daemon: through its gate, with its proof, again where that
//! can help.
//!
//! Promises: every request on the wire was let through by the quotas and is counted, logins, retries and redirects
//! included; a request that may not be sent twice is not, once it may have been carried out; no credential leaves
//! for another origin; neither a query nor a secret gets into a message. What an answer means is left to the
//! callers, but for those that mean the same to everybody: a refusal to believe who we are, and a request to come
//! back later.

use super::auth::{Proof, SECRET, Session};
use super::request::{Answer, Body, Request};
use crate::clock::SharedClock;
use crate::connection::RestConnection;
use crate::quota::{Gate, Permit};
use crate::retry::{self, Backoff};
use crate::transfer::{Class, Failure};
use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url, redirect};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tracing::{debug, warn};

/// Bodies above this go into a temporary file.
const SPOOL_ABOVE: usize = 1024 * 1024;
/// How much of a spooled body also stays in memory, for the words of an error.
const HEAD: usize = 64 * 1024;
/// How many redirects of one request are followed.
const REDIRECTS: usize = 5;
/// Older Eryxon servers answer a wrong key with 500 and one of these (Eryxon contract §1).
const AUTH_AS_500: [&str; 3] =
    ["Missing or invalid authorization header", "Invalid API key format", "Invalid API key"];

/// A connection's client. Cloning gives another handle to the same connections, quotas, session and count.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    sent: Arc<AtomicU64>,
    share: Share,
}

/// How much of the quotas a handle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    All,
    Half,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base: String,
    gate: Gate,
    /// What handles that leave half of the quotas to others pass first.
    half: Gate,
    session: Session,
    clock: SharedClock,
    max_body: u64,
    backoff: Backoff,
}

/// What of a request may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Scheme, host and port.
    pub origin: String,
    /// The path with its query.
    pub path: String,
    /// The headers that matter, secrets as `[secret]`.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Option<String>,
}

/// Why a try failed and whether another one may follow.
struct Trouble {
    failure: Failure,
    again: Again,
    hint: Option<Duration>,
}

/// Whether a request that failed may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It would fail the same way.
    Never,
    /// It surely wasn't carried out.
    Yes,
    /// It may have been carried out.
    IfIdempotent,
}

impl Trouble {
    fn new(again: Again, class: Class, message: String) -> Self {
        Self { failure: Failure::new(class, message), again, hint: None }
    }
}

impl Client {
    /// A client for the connection; it lives as long as the daemon. Reads `ca-file`, so it blocks for a moment.
    ///
    /// # Errors
    /// [`Class::Config`]: an address, header or certificate file that can't be used.
    pub fn new(connection: &RestConnection, clock: SharedClock) -> Result<Self, Failure> {
        Self::with_backoff(connection, clock, Backoff::default())
    }

    /// As [`Client::new`], with other waits between tries.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_backoff(
        connection: &RestConnection,
        clock: SharedClock,
        backoff: Backoff,
    ) -> Result<Self, Failure> {
        let config = |message: String| Failure::new(Class::Config, message);
        let base = connection.url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base).map_err(|error| config(format!("`url` is not an address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(config("`url` must be http:// or https://, without a query".to_owned()));
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("cadenced/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connection.timeouts.connect)
            .read_timeout(connection.timeouts.read)
            .timeout(connection.timeouts.total)
            .gzip(true)
            // A redirect to another host would carry every custom header along, and the query as Referer.
            .redirect(redirect::Policy::none())
            .referer(false)
            // A proxy is a matter of configuration, never of the environment the daemon happens to start in.
            .no_proxy()
            // Every request on the wire passes the gate; reqwest's own retries wouldn't.
            .retry(reqwest::retry::never());
        if let Some(path) = &connection.ca_file {
            let bad = |error: String| config(format!("ca-file {}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
            if certificates.is_empty() {
                return Err(bad("it holds no certificate".to_owned()));
            }
            http = http.tls_certs_merge(certificates);
        }
        let http = http.build().map_err(|error| config(causes(error)))?;
        let halves: Vec<_> = connection.quota.iter().map(|quota| quota.halved()).collect();
        let shared = Shared {
            http,
            base,
            gate: Gate::new(&connection.quota, connection.in_flight),
            half: Gate::new(&halves, connection.in_flight / 2),
            session: Session::new(connection)?,
            clock,
            max_body: connection.max_body,
            backoff,
        };
        Ok(Self { shared: Arc::new(shared), sent: Arc::default(), share: Share::All })
    }

    /// Another handle with a count of its own, for one run of a job.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { sent: Arc::default(), ..self.clone() }
    }

    /// Another handle that uses half of the quotas, all such handles together, and leaves the rest to others.
    #[must_use]
    pub fn at_half(&self) -> Self {
        Self { share: Share::Half, ..self.clone() }
    }

    /// Requests sent through this handle and its clones: tries, logins and redirects.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The gate of the connection's quotas.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Sends a request, again where that can help, and gives the answer whatever its status, but for these failures:
    ///
    /// # Errors
    /// [`Class::Auth`]: 401 or 403, after a renewed login where there is one. [`Class::Transient`]: 429, 5xx or no
    /// answer, also after retries; or the quotas or the platform itself let nothing through for too long.
    /// [`Class::Unknown`]: it isn't idempotent and may or may not have been carried out. [`Class::Config`]: it can't
    /// be sent as configured, or its answer is larger than `max-body`.
    pub async fn call(&self, request: &Request) -> Result<Answer, Failure> {
        let shown = request.shown();
        let started = Instant::now();
        let (mut tries, mut refused) = (0, None);
        loop {
            let trouble = match self.try_once(request, refused).await {
                Ok(answer) if self.shared.session.renews_on(answer.status) && refused.is_none() => {
                    debug!(request = shown, status = answer.status, "logs in again");
                    refused = Some(answer.proof.number);
                    continue;
                }
                Ok(answer) => match self.judge(answer, refused.is_some()).await {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            tries += 1;
            let Trouble { failure, again, hint } = trouble;
            if let Some(hint) = hint {
                self.shared.gate.not_before(Instant::now() + hint);
            }
            if again == Again::IfIdempotent && !request.idempotent {
                let message = format!("{failure}; whether it was carried out is not known");
                return Err(Failure::new(Class::Unknown, message));
            }
            if again == Again::Never {
                return Err(failure);
            }
            match self.shared.backoff.wait(tries, started.elapsed(), hint, rand::random()) {
                Some(wait) => {
                    warn!(
                        request = shown,
                        tries,
                        wait_seconds = wait.as_secs_f64(),
                        "tried again: {failure}"
                    );
                    tokio::time::sleep(wait).await;
                }
                None => return Err(failure),
            }
        }
    }

    /// The request as it would be sent, without its secrets.
    ///
    /// # Errors
    /// [`Class::Config`]: its address can't be made.
    pub fn show(&self, request: &Request) -> Result<Shown, Failure> {
        let config = |message| Failure::new(Class::Config, format!("{}: {message}", request.shown()));
        let url = self.address(request).map_err(config)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let json = || "application/json".to_owned();
        let mut headers = BTreeMap::from([(ACCEPT.to_string(), json())]);
        headers.extend(request.body.as_ref().map(|_| (CONTENT_TYPE.to_string(), json())));
        let (proof, token) = match &self.shared.session {
            Session::Fixed(proof) => (proof, None),
            Session::Login(renewed) => (&renewed.base, Some(renewed.login.header.to_ascii_lowercase())),
        };
        headers.extend(proof.shown());
        headers.extend(token.map(|header| (header, SECRET.to_owned())));
        Ok(Shown {
            origin: url.origin().ascii_serialization(),
            path: proof.redact(format!("{}{query}", url.path())),
            headers,
            body: request.body.as_ref().map(|body| proof.redact(String::from_utf8_lossy(body).into_owned())),
        })
    }

    /// Proves and sends once. `refused` is the number of the token that was refused before.
    async fn try_once(&self, request: &Request, refused: Option<u64>) -> Result<Answer, Trouble> {
        let proof = match &self.shared.session {
            Session::Fixed(proof) => Arc::clone(proof),
            Session::Login(renewed) => {
                renewed.proof(refused, self.send_login()).await.map_err(|failure| {
                    let again = if failure.class == Class::Transient { Again::Yes } else { Again::Never };
                    Trouble { failure, again, hint: None }
                })?
            }
        };
        if !proof.allows(request.method.as_str()) {
            let message = format!("{}: the login's roles don't include {}", request.shown(), request.method);
            return Err(Trouble::new(Again::Never, Class::Config, message));
        }
        self.exchange(request, proof).await
    }

    /// The login request; it fails as [`Class::Transient`] where trying again later may help.
    async fn send_login(&self) -> Result<Answer, Failure> {
        let Session::Login(renewed) = &self.shared.session else {
            return Err(Failure::new(Class::Config, "the connection has no login"));
        };
        let request = Request {
            method: Method::POST,
            path: renewed.login.path.clone(),
            query: Vec::new(),
            body: Some(renewed.body()),
            idempotent: true,
        };
        let answer = self.exchange(&request, Arc::clone(&renewed.base)).await;
        let answer = answer.map_err(|trouble| trouble.failure)?;
        if retry::is_transient(answer.status) {
            if let Some(hint) = answer.hint {
                self.shared.gate.not_before(Instant::now() + hint);
            }
            return Err(answer.failure(Class::Transient));
        }
        Ok(answer)
    }

    /// Tells the answers that mean the same to everybody from those the caller judges.
    async fn judge(&self, answer: Answer, renewed: bool) -> Result<Answer, Trouble> {
        let status = answer.status;
        let auth_as_500 = || AUTH_AS_500.iter().any(|words| answer.words().starts_with(words));
        if matches!(status, 401 | 403) || (renewed && self.shared.session.renews_on(status)) {
            let mut failure = answer.failure(Class::Auth);
            if renewed {
                failure
                    .message
                    .push_str("; a fresh login changed nothing: does the account have this right?");
                self.repeated(Some(&failure)).await;
            }
            return Err(Trouble { failure, again: Again::Never, hint: None });
        }
        if renewed {
            self.repeated(None).await;
        }
        if status == 500 && auth_as_500() {
            return Err(Trouble { failure: answer.failure(Class::Auth), again: Again::Never, hint: None });
        }
        if retry::is_transient(status) {
            // Only 429 says that nothing was done; after a 5xx an order may exist all the same.
            let again = if status == 429 { Again::Yes } else { Again::IfIdempotent };
            let mut failure = answer.failure(Class::Transient);
            if let Some(hint) = answer.hint {
                failure.message.push_str(&format!("; it asks to wait {} s", hint.as_secs_f64().ceil()));
            }
            return Err(Trouble { failure, again, hint: answer.hint });
        }
        Ok(answer)
    }

    async fn repeated(&self, refused: Option<&Failure>) {
        if let Session::Login(renewed) = &self.shared.session {
            renewed.repeated(refused).await;
        }
    }

    /// Sends a request and follows redirects to the same origin.
    async fn exchange(&self, request: &Request, proof: Arc<Proof>) -> Result<Answer, Trouble> {
        let shown = request.shown();
        let config =
            |message: String| Trouble::new(Again::Never, Class::Config, format!("{shown}: {message}"));
        let mut url = self.address(request).map_err(config)?;
        for _ in 0..=REDIRECTS {
            let answer = self.send(request, url.clone(), &proof).await?;
            let Some(location) = answer.location.as_deref().filter(|_| is_redirect(answer.status)) else {
                return Ok(answer);
            };
            let target =
                url.join(location).map_err(|error| config(format!("redirects to nowhere: {error}")))?;
            if target.origin() != url.origin() {
                let origin = target.origin().ascii_serialization();
                let message = format!("redirects to {origin}, which gets no credentials: is `url` right?");
                return Err(config(message));
            }
            if request.method != Method::GET && !matches!(answer.status, 307 | 308) {
                return Err(config(format!(
                    "{}: a redirect would drop the body: is the path right?",
                    answer.status
                )));
            }
            url = target;
        }
        Err(config(format!("more than {REDIRECTS} redirects")))
    }

    pub(super) fn address(&self, request: &Request) -> Result<Url, String> {
        let slash = if request.path.starts_with('/') || request.path.is_empty() { "" } else { "/" };
        let address = format!("{}{slash}{}", self.shared.base, request.path);
        let mut url = Url::parse(&address).map_err(|error| format!("this is not an address: {error}"))?;
        if let Some(query) = request.encoded_query() {
            let query = url.query().map_or_else(|| query.clone(), |first| format!("{first}&{query}"));
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    /// One request on the wire and its complete answer.
    async fn send(&self, request: &Request, url: Url, proof: &Arc<Proof>) -> Result<Answer, Trouble> {
        let shared = &*self.shared;
        let shown = request.shown();
        let origin = url.origin().ascii_serialization();
        let trouble = |error| of_transport(error, &shown, &origin);
        let mut sending = shared.http.request(request.method.clone(), url);
        sending = sending.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(body) = &request.body {
            sending = sending.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            sending = sending.body(body.clone());
        }
        // Last, so that a connection's own headers win.
        let sending = sending.headers(proof.headers.clone());

        let permits = self.enter(&shown).await?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let response = sending.send().await.map_err(trouble)?;
        let received = Instant::now();
        let took = received - sent;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.receive(response, &shown, &origin).await?;
        drop(permits);
        debug!(request = shown, status, took_ms = took.as_millis() as u64, bytes = body.len(), "answered");

        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let media_type =
            |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Ok(Answer {
            status,
            date: text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).map(Into::into),
            took,
            content_type: text(CONTENT_TYPE).map(media_type),
            charset: text(CONTENT_TYPE).and_then(charset),
            body,
            location: text(LOCATION).map(str::to_owned),
            hint: self.hint(status, &headers),
            received,
            shown,
            proof: Arc::clone(proof),
        })
    }

    /// Passes the gate, unless that takes longer than a run should hang: a daily quota may open tomorrow.
    async fn enter(&self, shown: &str) -> Result<Vec<Permit>, Trouble> {
        let Shared { gate, half, .. } = &*self.shared;
        let first = match self.share {
            Share::All => None,
            Share::Half => Some(self.pass(half, shown).await?),
        };
        let last = self.pass(gate, shown).await?;
        Ok(first.into_iter().chain([last]).collect())
    }

    async fn pass(&self, gate: &Gate, shown: &str) -> Result<Permit, Trouble> {
        let backoff = &self.shared.backoff;
        let wait = gate.wait();
        let entered = if wait > backoff.patience {
            None
        } else {
            tokio::time::timeout(backoff.patience, gate.enter()).await.ok()
        };
        entered.ok_or_else(|| {
            let seconds = gate.wait().max(wait).as_secs();
            let message = format!(
                "{shown}: not sent: the quotas, or the platform's own wish to wait, let nothing through for {seconds} s"
            );
            Trouble::new(Again::Never, Class::Transient, message)
        })
    }

    /// How long the server asks to wait; on an answer that isn't about waiting such a header means something else.
    fn hint(&self, status: u16, headers: &HeaderMap) -> Option<Duration> {
        let now = self.shared.clock.now();
        let read = |name: &&str| retry::read_hint(headers.get(*name)?.to_str().ok()?, now);
        matches!(status, 429 | 503).then(|| retry::HINT_HEADERS.iter().find_map(read)).flatten()
    }

    async fn receive(&self, mut response: Response, shown: &str, origin: &str) -> Result<Body, Trouble> {
        let max = self.shared.max_body;
        let spool_failed = |error: std::io::Error| {
            let message = format!("{shown}: the answer could not be kept in a temporary file: {error}");
            Trouble::new(Again::IfIdempotent, Class::State, message)
        };
        let (mut head, mut spool, mut len) = (BytesMut::new(), None, 0_u64);
        while let Some(chunk) = response.chunk().await.map_err(|error| of_transport(error, shown, origin))? {
            len += chunk.len() as u64;
            if len > max {
                let message = format!(
                    "{shown}: the answer is larger than {max} bytes: ask for smaller pages, or raise `max-body` of the connection"
                );
                return Err(Trouble::new(Again::Never, Class::Config, message));
            }
            if spool.is_none() && head.len() + chunk.len() > SPOOL_ABOVE {
                let mut file = spool_file().await.map_err(spool_failed)?;
                file.write_all(&head).await.map_err(spool_failed)?;
                head.truncate(HEAD);
                spool = Some(file);
            }
            match &mut spool {
                Some(file) => file.write_all(&chunk).await.map_err(spool_failed)?,
                None => head.extend_from_slice(&chunk),
            }
        }
        let spooled = match spool {
            Some(mut file) => {
                file.flush().await.map_err(spool_failed)?;
                file.rewind().await.map_err(spool_failed)?;
                Some(file.into_std().await)
            }
            None => None,
        };
        // A copy, so that a mebibyte of buffer isn't kept for a spooled body's head.
        let head = if spooled.is_some() { Bytes::copy_from_slice(&head) } else { head.freeze() };
        Ok(Body { head, spooled, len })
    }
}

/// A file without a name, gone with its last handle.
async fn spool_file() -> std::io::Result<tokio::fs::File> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile).await.map_err(std::io::Error::other)??;
    Ok(tokio::fs::File::from_std(file))
}

/// The `charset` of a Content-Type.
fn charset(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// What failed below HTTP, and whether the platform can have seen the request.
fn of_transport(error: reqwest::Error, shown: &str, origin: &str) -> Trouble {
    let (again, class) = if error.is_builder() {
        (Again::Never, Class::Config)
    } else if error.is_connect() {
        (Again::Yes, Class::Transient)
    } else {
        (Again::IfIdempotent, Class::Transient)
    };
    Trouble::new(again, class, format!("{shown}: {origin}: {}", causes(error)))
}

/// The whole chain of causes, without the address and its query.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
