//! One request on the wire: its address, the redirects that may be followed, its answer complete, and what it means when
//! there is none. Every try passes the guard and is counted.

use super::auth::Proof;
use super::client::{Again, Client, Trouble};
use super::payload::Payload;
use super::request::{Answer, Body, Request};
use crate::retry::{Fault, Said};
use crate::telemetry;
use crate::transfer::Class;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};
use std::error::Error as _;
use std::sync::Arc;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tracing::debug;

/// Bodies above this go into a temporary file.
const SPOOL_ABOVE: usize = 1024 * 1024;
/// How much of a spooled body also stays in memory, for the words of an error.
const HEAD: usize = 64 * 1024;
/// How many redirects of one request are followed.
const REDIRECTS: usize = 5;

impl Client {
    /// Sends a request and follows redirects to the same origin.
    pub(super) async fn exchange(
        &self,
        request: &Request,
        payload: Option<&Payload>,
        proof: Arc<Proof>,
    ) -> Result<Answer, Trouble> {
        let shown = request.shown();
        let config =
            |message: String| Trouble::new(Again::Never, Class::Config, format!("{shown}: {message}"));
        let mut url = match payload.and_then(Payload::address) {
            Some(address) => address.clone(),
            None => self.address(request).map_err(config)?,
        };
        for _ in 0..=REDIRECTS {
            let answer = self.send(request, payload, url.clone(), &proof).await?;
            let Some(location) = answer.location.as_deref().filter(|_| is_redirect(answer.status)) else {
                return Ok(answer);
            };
            let target =
                url.join(location).map_err(|error| config(format!("redirects to nowhere: {error}")))?;
            if target.origin() != url.origin() {
                let origin = target.origin().ascii_serialization();
                let message = format!("redirects to {origin}, which gets no credentials: is `url` right?");
                return Err(Trouble { fault: Some(Fault::ForAPerson), ..config(message) });
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
    pub(super) async fn send(
        &self,
        request: &Request,
        payload: Option<&Payload>,
        url: Url,
        proof: &Arc<Proof>,
    ) -> Result<Answer, Trouble> {
        let shared = &*self.shared;
        let shown = request.shown();
        let origin = url.origin().ascii_serialization();
        let mut sending = shared.http.request(request.method.clone(), url);
        sending = sending.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(body) = &request.body {
            sending = sending.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            sending = sending.body(body.clone());
        }
        // Last, so that a connection's own headers win; but a file is what it is.
        let mut sending = sending.headers(proof.headers.clone());
        if let Some(payload) = payload {
            sending = payload.attach(sending).await.map_err(|error| {
                Trouble::new(Again::Never, Class::State, format!("{shown}: the file can't be read: {error}"))
            })?;
        }

        let permit = shared.guard.enter(self.priority, &shown).await?;
        self.sent.add();
        let measured = Measured::start(shared.guard.name.to_string());
        let sent = Instant::now();
        let response = sending.send().await.map_err(|error| of_transport(error, &shown, &origin))?;
        let received = Instant::now();
        let took = received - sent;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.receive(response, &shown, &origin).await?;
        permit.answered();
        measured.answered(status);
        debug!(request = shown, status, took_ms = took.as_millis() as u64, bytes = body.len(), "answered");

        let text = |name: &str| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let media_type =
            |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let date: Option<DateTime<Utc>> =
            text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()).map(Into::into);
        let said = self.said(&headers, date);
        Ok(Answer {
            status,
            date,
            took,
            content_type: text(CONTENT_TYPE.as_str()).map(media_type),
            charset: text(CONTENT_TYPE.as_str()).and_then(charset),
            body,
            location: text(LOCATION.as_str()).map(str::to_owned),
            hint: shared.guard.heed(&said, status),
            received,
            shown,
            proof: Arc::clone(proof),
        })
    }

    fn said(&self, headers: &HeaderMap, date: Option<DateTime<Utc>>) -> Said {
        let now = date.unwrap_or_else(|| self.shared.clock.now());
        Said::read(|name| headers.get(name)?.to_str().ok(), now)
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
    let (is_builder, is_connect) = (error.is_builder(), error.is_connect());
    let causes = causes(error);
    // A certificate that is not trusted now won't be in a second.
    let untrusted = is_connect && causes.contains("certificate");
    let (again, class, fault) = if untrusted {
        (Again::Never, Class::Config, Some(Fault::ForAPerson))
    } else if is_builder {
        (Again::Never, Class::Config, None)
    } else if is_connect {
        (Again::Yes, Class::Transient, Some(Fault::Failing))
    } else {
        (Again::IfIdempotent, Class::Transient, Some(Fault::Failing))
    };
    Trouble { fault, ..Trouble::new(again, class, format!("{shown}: {origin}: {causes}")) }
}

/// The whole chain of causes, without the address and its query.
pub(super) fn causes(error: reqwest::Error) -> String {
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

/// Counts a request, also one that is given up.
struct Measured {
    connection: String,
    started: Instant,
    status: Option<u16>,
}

impl Measured {
    fn start(connection: String) -> Self {
        Self { connection, started: Instant::now(), status: None }
    }

    fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let connection = std::mem::take(&mut self.connection);
        let status = self.status.map_or_else(|| "error".to_owned(), |status| status.to_string());
        histogram!(telemetry::REQUEST_DURATION, "connection" => connection.clone())
            .record(self.started.elapsed());
        counter!(telemetry::REQUESTS, "connection" => connection, "status" => status).increment(1);
    }
}
