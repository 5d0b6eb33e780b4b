//! The ways a platform may misbehave, and the queue that says which request is hit next.

use super::lock;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What happens to a request instead of, or besides, a proper answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer, and nothing is done.
    Answer {
        /// HTTP status; an impossible one is sent as 500.
        status: u16,
        /// Headers, such as `Retry-After`.
        headers: Vec<(&'static str, String)>,
        /// The body as it is.
        body: String,
    },
    /// The proper answer's body breaks off half-way, if it has one; what was asked for is done.
    Truncated,
    /// The connection is reset; nothing is done.
    Reset,
    /// What was asked for is done, then the connection is reset before the answer.
    AnswerLost,
    /// What is asked for is done so much later, and answered.
    Slow(Duration),
    /// What is asked for is done, and answered so much later: too late for a caller with less patience.
    AnswerLate(Duration),
    /// The request waits, undone, until the [`Hold`] lets it go.
    Held(Hold),
}

impl Fault {
    /// A status with a JSON error body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let body = format!(r#"{{"code":{status},"message":"simulated failure"}}"#);
        Self::Answer { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    /// 429 with this `Retry-After` (seconds or an HTTP date).
    #[must_use]
    pub fn too_many_requests(retry_after: &str) -> Self {
        Self::Answer {
            status: 429,
            headers: vec![("retry-after", retry_after.to_owned())],
            body: "Too Many Requests".to_owned(),
        }
    }

    /// An HTML page with status 200, as proxies and maintenance pages send it.
    #[must_use]
    pub fn html() -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
            body: "<!DOCTYPE html><html><body><h1>Down for maintenance</h1></body></html>".to_owned(),
        }
    }

    /// 200 with this JSON text.
    #[must_use]
    pub fn ok_with(body: &str) -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_owned(),
        }
    }

    /// 200 whose body says that it failed.
    #[must_use]
    pub fn error_in_ok() -> Self {
        Self::ok_with(r#"{"success":false,"error":{"code":17,"message":"simulated failure"}}"#)
    }

    /// 200 with a pagination block and no `data`.
    #[must_use]
    pub fn missing_data() -> Self {
        Self::ok_with(
            r#"{"pagination":{"totalItems":0,"itemsPerPage":100,"currentPage":1,"totalPages":0,"nextPageUrl":null}}"#,
        )
    }

    /// The XML some tenants are sent instead of JSON.
    #[must_use]
    pub fn xml() -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("content-type", "application/xml".to_owned())],
            body: "<?xml version=\"1.0\"?><export><data><item><id>1</id></item></data></export>".to_owned(),
        }
    }
}

pub(super) fn answer(status: u16, headers: &[(&'static str, String)], body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(header::HeaderName::from_static(name), value);
        }
    }
    response
}

/// A fault as it is written on a command line.
#[derive(Debug, Clone)]
pub struct PlannedFault {
    /// Every so many requests.
    pub every: usize,
    /// Those whose path contains this.
    pub path: String,
    /// What they meet.
    pub fault: Fault,
}

impl std::str::FromStr for PlannedFault {
    type Err = String;

    /// `KIND`, `KIND:EVERY` or `KIND:EVERY:PATH`, such as `500:10:/stocks`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let fault = match parts.next().unwrap_or_default() {
            "429" => Fault::too_many_requests("2"),
            "reset" => Fault::Reset,
            "cut" => Fault::Truncated,
            "lost" => Fault::AnswerLost,
            "slow" => Fault::Slow(Duration::from_secs(5)),
            "html" => Fault::html(),
            "error-in-200" => Fault::error_in_ok(),
            status => match status.parse() {
                Ok(status @ 400..=599) => Fault::status(status),
                _ => {
                    return Err(format!(
                        "no fault `{status}`: a status (400-599), reset, cut, lost, slow, html or error-in-200"
                    ));
                }
            },
        };
        let every = parts.next().unwrap_or("1");
        let every = every.parse().ok().filter(|every| *every > 0);
        let every = every.ok_or("after the first colon comes a number from 1: every so many requests")?;
        Ok(Self { every, path: parts.next().unwrap_or_default().to_owned(), fault })
    }
}

/// Keeps one request waiting at the platform's door, so that a test can act at that very moment.
#[derive(Debug, Clone)]
pub struct Hold(Arc<watch::Sender<Stage>>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Awaited,
    Reached,
    Released,
}

impl Hold {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Awaited)))
    }

    /// Returns once a request is held here (or was).
    pub async fn reached(&self) {
        // The sender lives in `self`, so the wait can't end in an error.
        let _ = self.0.subscribe().wait_for(|stage| *stage != Stage::Awaited).await;
    }

    /// Lets the request go on; one that comes later isn't held.
    pub fn release(&self) {
        self.0.send_replace(Stage::Released);
    }

    pub(super) async fn pass(&self) {
        self.0.send_if_modified(|stage| {
            let first = *stage == Stage::Awaited;
            if first {
                *stage = Stage::Reached;
            }
            first
        });
        let _ = self.0.subscribe().wait_for(|stage| *stage == Stage::Released).await;
    }
}

/// Faults waiting for their requests, first come first served among those whose path fits.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<VecDeque<Planned>>);

#[derive(Debug)]
struct Planned {
    times: usize,
    /// Only every so many of the requests whose path fits are hit.
    every: usize,
    passed: usize,
    path: String,
    fault: Fault,
}

impl Faults {
    pub(super) fn plan(&self, times: usize, path: &str, fault: Fault) {
        if times > 0 {
            self.push(Planned { times, every: 1, passed: 0, path: path.to_owned(), fault });
        }
    }

    pub(super) fn plan_every(&self, every: usize, path: &str, fault: Fault) {
        let every = every.max(1);
        self.push(Planned { times: usize::MAX, every, passed: 0, path: path.to_owned(), fault });
    }

    fn push(&self, planned: Planned) {
        lock(&self.0).push_back(planned);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn left(&self) -> usize {
        lock(&self.0).iter().fold(0, |sum, planned| planned.times.saturating_add(sum))
    }

    pub(super) fn take(&self, path: &str) -> Option<Fault> {
        let mut planned = lock(&self.0);
        let hits = |fault: &mut Planned| {
            path.contains(&fault.path) && {
                fault.passed += 1;
                fault.passed.is_multiple_of(fault.every)
            }
        };
        let at = planned.iter_mut().position(hits)?;
        let hit = planned.get_mut(at)?;
        let fault = hit.fault.clone();
        if hit.times != usize::MAX {
            hit.times -= 1;
        }
        if hit.times == 0 {
            planned.remove(at);
        }
        Some(fault)
    }
}
