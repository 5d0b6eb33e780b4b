//! Sends requests over one connection for the life of the daemon: through its gate, with its proof, again where that
//! can help.
//!
//! Promises: every request on the wire was let through by the quotas and is counted, logins, retries and redirects
//! included; a request that may not be sent twice is not, once it may have been carried out; no credential leaves
//! for another origin; neither a query nor a secret gets into a message. What an answer means is left to the
//! callers, but for those that mean the same to everybody: a refusal to believe who we are, and a request to come
//! back later.

use super::auth::{Proof, SECRET, Session};
use super::guard::{ConnectionView, Guard};
use super::payload::Payload;
use super::request::{Answer, Request};
use super::wire::causes;
use crate::clock::SharedClock;
use crate::connection::RestConnection;
use crate::planner::Closed;
use crate::quota::{Gate, Priority};
use crate::retry::{self, Fault};
use crate::telemetry;
use crate::transfer::{Class, Failure};
use crate::words::ConnectionName;
use metrics::counter;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Url, redirect};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// Older Eryxon servers answer a wrong key with 500 and one of these (Eryxon contract §1).
const AUTH_AS_500: [&str; 3] =
    ["Missing or invalid authorization header", "Invalid API key format", "Invalid API key"];

/// A connection's client. Cloning gives another handle to the same connections, quotas, session and count.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) sent: Arc<Count>,
    pub(super) priority: Priority,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) guard: Guard,
    pub(super) session: Session,
    pub(super) clock: SharedClock,
    pub(super) max_body: u64,
    pub(super) check: Option<String>,
}

/// Requests sent through a handle, and through those made of it.
#[derive(Debug, Default)]
pub(super) struct Count {
    own: AtomicU64,
    above: Option<Arc<Count>>,
}

impl Count {
    pub(super) fn add(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.add();
        }
    }
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
pub(super) struct Trouble {
    pub(super) failure: Failure,
    pub(super) again: Again,
    pub(super) hint: Option<Duration>,
    /// What it says about the platform as a whole, if it does.
    pub(super) fault: Option<Fault>,
}

/// Whether a request that failed may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail the same way.
    Never,
    /// It surely wasn't carried out.
    Yes,
    /// It may have been carried out.
    IfIdempotent,
}

impl Trouble {
    pub(super) fn new(again: Again, class: Class, message: String) -> Self {
        Self { failure: Failure::new(class, message), again, hint: None, fault: None }
    }
}

impl Client {
    /// A client for the connection; it lives as long as the daemon. Reads `ca-file`, so it blocks for a moment.
    ///
    /// # Errors
    /// [`Class::Config`]: an address, header or certificate file that can't be used.
    pub fn new(
        name: &ConnectionName,
        connection: &RestConnection,
        gate: Gate,
        clock: SharedClock,
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
            .pool_idle_timeout(connection.timeouts.idle)
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
        if let Some(proxy) = &connection.proxy {
            // Its address may hold a password: what is wrong with it is said without it.
            let proxy = reqwest::Proxy::all(proxy.expose())
                .map_err(|error| config(format!("proxy: {}", causes(error))))?;
            http = http.proxy(proxy);
        }
        let http = http.build().map_err(|error| config(causes(error)))?;
        let shared = Shared {
            http,
            base,
            guard: Guard::new(name.clone(), gate, connection.limits, clock.clone()),
            session: Session::new(connection)?,
            clock,
            max_body: connection.max_body,
            check: connection.check.clone(),
        };
        Ok(Self { shared: Arc::new(shared), sent: Arc::default(), priority: Priority::Live })
    }

    /// Another handle with a count of its own, for one run of a job. What it sends counts here too.
    #[must_use]
    pub fn for_run(&self) -> Self {
        let sent = Count { above: Some(Arc::clone(&self.sent)), ..Count::default() };
        Self { sent: Arc::new(sent), ..self.clone() }
    }

    /// The same handle for a run that fills in the past: live jobs go before it.
    #[must_use]
    pub fn behind_live_jobs(self) -> Self {
        Self { priority: Priority::Backfill, ..self }
    }

    /// Requests sent through this handle, its clones and those made for runs: tries, logins and redirects.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.sent.own.load(Ordering::Relaxed)
    }

    /// The connection's name, for metrics.
    pub(super) fn connection_name(&self) -> String {
        self.shared.guard.name.to_string()
    }

    /// The connection's address, without a trailing slash.
    pub(super) fn base(&self) -> &str {
        &self.shared.base
    }

    /// The gate of the connection's quotas.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.guard.gate
    }

    /// Why slots of the connection's jobs should not start now, if so.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.guard.closed()
    }

    /// How the connection is doing.
    #[must_use]
    pub fn view(&self) -> ConnectionView {
        self.shared.guard.view()
    }

    /// Sends a request, again where that can help, and gives the answer whatever its status, but for these failures:
    ///
    /// # Errors
    /// [`Class::Auth`]: 401 or 403, after a renewed login where there is one. [`Class::Transient`]: 429, 5xx or no
    /// answer, also after retries; or the quotas or the platform itself let nothing through for too long.
    /// [`Class::Unknown`]: it isn't idempotent and may or may not have been carried out. [`Class::Config`]: it can't
    /// be sent as configured, or its answer is larger than `max-body`.
    pub async fn call(&self, request: &Request) -> Result<Answer, Failure> {
        self.call_with(request, None, |_| false).await
    }

    /// The same with a file in place of the body, where there is one: where that goes to another origin, no credentials go
    /// with it, and its 401 and 403 are answers like any other. Of a 5xx whose words `refuses` knows as the refusal of a
    /// record nothing else is made: it would be refused again, and says nothing of the platform as a whole.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(super) async fn call_with(
        &self,
        request: &Request,
        payload: Option<&Payload>,
        refuses: impl Fn(&str) -> bool,
    ) -> Result<Answer, Failure> {
        let is_ours = !payload.is_some_and(Payload::is_foreign);
        let shown = request.shown();
        let guard = &self.shared.guard;
        let retry = guard.limits.retry;
        let started = Instant::now();
        guard.check(&shown)?;
        guard.earn();
        let (mut tries, mut refused) = (0, None);
        loop {
            let trouble = match self.try_once(request, payload, refused).await {
                Ok(answer) if !is_ours && matches!(answer.status, 401 | 403) => return Ok(answer),
                Ok(answer)
                    if is_ours && self.shared.session.renews_on(answer.status) && refused.is_none() =>
                {
                    debug!(request = shown, status = answer.status, "logs in again");
                    refused = Some(answer.proof.number);
                    continue;
                }
                Ok(answer) if answer.status >= 500 && refuses(&answer.words()) => {
                    guard.succeeded();
                    return Ok(answer);
                }
                Ok(answer) => match self.judge(answer, refused.is_some()).await {
                    Ok(answer) => {
                        guard.succeeded();
                        return Ok(answer);
                    }
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            tries += 1;
            let Trouble { failure, again, hint, fault } = trouble;
            if fault.is_some_and(|fault| guard.failed(fault, &failure.message)) {
                self.watch_for_return();
            }
            if again == Again::IfIdempotent && !request.idempotent {
                let message = format!("{failure}; whether it was carried out is not known");
                return Err(Failure::new(Class::Unknown, message));
            }
            let wait = retry.wait(tries, started.elapsed(), hint, rand::random());
            // What asks for longer parks the connection's jobs.
            let is_long = hint.is_some_and(|hint| hint > guard.limits.park_after);
            let is_over = is_long || again == Again::Never || guard.check(&shown).is_err();
            let Some(wait) = wait.filter(|_| !is_over) else {
                return Err(failure);
            };
            if !guard.spend() {
                let message = format!("{failure}; not tried again: too many requests had to be lately");
                return Err(Failure::new(failure.class, message));
            }
            counter!(telemetry::RETRIES, "connection" => guard.name.to_string()).increment(1);
            warn!(request = shown, tries, wait_seconds = wait.as_secs_f64(), "tried again: {failure}");
            tokio::time::sleep(wait).await;
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
    async fn try_once(
        &self,
        request: &Request,
        payload: Option<&Payload>,
        refused: Option<u64>,
    ) -> Result<Answer, Trouble> {
        if payload.is_some_and(Payload::is_foreign) {
            return self.exchange(request, payload, Arc::default()).await;
        }
        let proof = self.proof(refused).await?;
        if !proof.allows(request.method.as_str()) {
            let message = format!("{}: the login's roles don't include {}", request.shown(), request.method);
            return Err(Trouble::new(Again::Never, Class::Config, message));
        }
        self.exchange(request, payload, proof).await
    }

    /// What proves who we are, after a login where one is needed.
    pub(super) async fn proof(&self, refused: Option<u64>) -> Result<Arc<Proof>, Trouble> {
        match &self.shared.session {
            Session::Fixed(proof) => Ok(Arc::clone(proof)),
            Session::Login(renewed) => renewed.proof(refused, self.send_login()).await.map_err(|failure| {
                let (again, fault) = match failure.class {
                    Class::Transient => (Again::Yes, Some(Fault::Failing)),
                    // No other login where the last one changed nothing for such a request.
                    _ if refused.is_some() => (Again::Never, None),
                    _ => (Again::Never, Some(Fault::ForAPerson)),
                };
                Trouble { failure, again, hint: None, fault }
            }),
        }
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
        let answer = self.exchange(&request, None, Arc::clone(&renewed.base)).await;
        let answer = answer.map_err(|trouble| trouble.failure)?;
        if retry::is_transient(answer.status) {
            return Err(answer.failure(Class::Transient));
        }
        Ok(answer)
    }

    /// Tells the answers that mean the same to everybody from those the caller judges.
    pub(super) async fn judge(&self, answer: Answer, renewed: bool) -> Result<Answer, Trouble> {
        let status = answer.status;
        let auth_as_500 = || AUTH_AS_500.iter().any(|words| answer.words().starts_with(words));
        if matches!(status, 401 | 403) || (renewed && self.shared.session.renews_on(status)) {
            let mut failure = answer.failure(Class::Auth);
            let mut fault = Some(if status == 401 { Fault::ForAPerson } else { Fault::Forbidden });
            if renewed {
                failure
                    .message
                    .push_str("; a fresh login changed nothing: does the account have this right?");
                self.repeated(Some(&failure)).await;
                // The login itself was accepted: this is about one request.
                fault = None;
            }
            return Err(Trouble { failure, again: Again::Never, hint: None, fault });
        }
        if renewed {
            self.repeated(None).await;
        }
        if status == 500 && auth_as_500() {
            let failure = answer.failure(Class::Auth);
            return Err(Trouble { failure, again: Again::Never, hint: None, fault: Some(Fault::ForAPerson) });
        }
        if retry::is_transient(status) {
            // Only 429 says that nothing was done, and that the platform is well; after a 5xx an order may exist all the
            // same.
            let (again, fault) = match status {
                429 => (Again::Yes, None),
                _ => (Again::IfIdempotent, Some(Fault::Failing)),
            };
            let mut failure = answer.failure(Class::Transient);
            if let Some(hint) = answer.hint {
                failure.message.push_str(&format!("; it asks to wait {} s", hint.as_secs_f64().ceil()));
            }
            return Err(Trouble { failure, again, hint: answer.hint, fault });
        }
        Ok(answer)
    }

    async fn repeated(&self, refused: Option<&Failure>) {
        if let Session::Login(renewed) = &self.shared.session {
            renewed.repeated(refused).await;
        }
    }
}
