//! What a platform remembers of the requests it got: a bounded log for assertions, and a check of its quotas.

use chrono::{DateTime, Utc};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One request as the platform saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Counted from 0 since the platform started.
    pub number: usize,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path as sent, percent-encoding included.
    pub path: String,
    /// The query's pairs in their order, decoded.
    pub query: Vec<(String, String)>,
    /// When it came, by the sandbox's clock.
    pub at: DateTime<Utc>,
    /// When it came, by a clock nobody sets.
    pub arrived: Instant,
    /// The status answered; none while it is under way and where the answer was withheld or its reader had left.
    pub status: Option<u16>,
}

impl Request {
    /// The query parameter of this name; the first, if there are several.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// More requests in a window than a quota allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the request that was one too many.
    pub request: usize,
    /// The quota: so many requests …
    pub allowed: usize,
    /// … in any window of this length.
    pub window: Duration,
    /// How long before it the first of the surplus had come.
    pub after: Duration,
}

/// The log and the quotas of one platform.
#[derive(Debug)]
pub(super) struct Requests {
    kept: VecDeque<Request>,
    keep: usize,
    total: usize,
    quotas: Vec<SlidingWindow>,
    pub(super) violations: Vec<Violation>,
}

#[derive(Debug)]
struct SlidingWindow {
    allowed: usize,
    window: Duration,
    arrivals: VecDeque<Instant>,
}

impl Requests {
    pub(super) fn new(keep: usize, quotas: &[(usize, Duration)]) -> Self {
        let quotas = quotas
            .iter()
            .map(|&(allowed, window)| SlidingWindow { allowed, window, arrivals: VecDeque::new() })
            .collect();
        Self { kept: VecDeque::new(), keep, total: 0, quotas, violations: Vec::new() }
    }

    /// Notes a request; its number, and the longest wait any quota it violated asks for.
    pub(super) fn arrive(&mut self, mut request: Request) -> (usize, Option<Duration>) {
        request.number = self.total;
        self.total += 1;
        let mut wait = None;
        for quota in &mut self.quotas {
            if let Some(violation) = quota.check(&request) {
                wait = wait.max(Some(violation.window.saturating_sub(violation.after)));
                self.violations.push(violation);
            }
        }
        let number = request.number;
        self.kept.push_back(request);
        if self.kept.len() > self.keep {
            self.kept.pop_front();
        }
        (number, wait)
    }

    pub(super) fn depart(&mut self, number: usize, status: Option<u16>) {
        let dropped = self.total - self.kept.len();
        if let Some(request) = number.checked_sub(dropped).and_then(|at| self.kept.get_mut(at)) {
            request.status = status;
        }
    }

    pub(super) fn kept(&self) -> &VecDeque<Request> {
        &self.kept
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }
}

impl SlidingWindow {
    /// Compares with the request `allowed` places before: only if that one is a full window old does every
    /// window hold the quota.
    fn check(&mut self, request: &Request) -> Option<Violation> {
        self.arrivals.push_back(request.arrived);
        if self.arrivals.len() <= self.allowed {
            return None;
        }
        let after = request.arrived.duration_since(self.arrivals.pop_front()?);
        (after < self.window).then_some(Violation {
            request: request.number,
            allowed: self.allowed,
            window: self.window,
            after,
        })
    }
}
