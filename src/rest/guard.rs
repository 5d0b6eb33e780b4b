//! What stands between a connection's requests and the wire: its quotas, its breaker, the budget of its retries. It also
//! says how all of them are doing.

use super::client::{Again, Trouble};
use crate::clock::SharedClock;
use crate::connection::Limits;
use crate::planner::Closed;
use crate::quota::{Gate, Permit, Priority, QuotaUse, Shut};
use crate::retry::{Breaker, Budget, Fault, Said};
use crate::telemetry;
use crate::transfer::{Class, Failure};
use crate::words::ConnectionName;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Windows at least this long are a budget that people plan with.
const BUDGET_WINDOW: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) name: ConnectionName,
    pub(super) gate: Gate,
    pub(super) limits: Limits,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    budget: Budget,
    /// The quotas that are nearly used up and were warned of.
    warned: Vec<bool>,
}

/// How a platform's connection is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionView {
    /// How each quota stands.
    pub quotas: Vec<QuotaUse>,
    /// Nothing is sent before then: the quotas, or the platform's own wish.
    pub waits_until: Option<DateTime<Utc>>,
    /// Its jobs' slots are skipped, and why.
    pub closed: Option<Closed>,
    /// Since when it is left alone because requests failed.
    pub open_since: Option<DateTime<Utc>>,
    /// When it is asked next whether it is back.
    pub probe_at: Option<DateTime<Utc>>,
}

impl Guard {
    pub(super) fn new(name: ConnectionName, gate: Gate, limits: Limits, clock: SharedClock) -> Self {
        let state = State {
            breaker: Breaker::new(limits.breaker),
            budget: Budget::new(limits.retry_share),
            warned: Vec::new(),
        };
        Self { name, gate, limits, clock, state: Mutex::new(state) }
    }

    /// Refuses while the platform is left alone.
    pub(super) fn check(&self, shown: &str) -> Result<(), Failure> {
        let state = self.state();
        let Some(open) = state.breaker.open() else { return Ok(()) };
        let class = if open.fault == Fault::Failing { Class::Transient } else { Class::Auth };
        let seconds = open.probe_at.saturating_duration_since(Instant::now()).as_secs() + 1;
        let message = format!(
            "{shown}: not sent: {} is left alone since {}: {}; it is asked again in {seconds} s",
            self.name,
            shown_at(open.since),
            open.reason
        );
        Err(Failure::new(class, message))
    }

    /// Passes the gate, unless that takes longer than a run should hang: a daily quota may open tomorrow.
    pub(super) async fn enter(&self, priority: Priority, shown: &str) -> Result<Permit, Trouble> {
        let asked = Instant::now();
        let entered = self.gate.enter(priority, self.limits.park_after).await;
        telemetry::quota_waited(self.name.as_str(), asked.elapsed());
        match entered {
            Ok(permit) => {
                self.warn_of_budgets();
                Ok(permit)
            }
            Err(Shut::Until(until)) => {
                let until = shown_at(self.at(until));
                let message = format!("{shown}: not sent: quota until {until}");
                Err(Trouble::new(Again::Never, Class::Transient, message))
            }
            Err(Shut::Unkept(error)) => {
                let message =
                    format!("{shown}: not sent: the use of its quota can't be written down: {error}");
                Err(Trouble::new(Again::Never, Class::State, message))
            }
        }
    }

    /// Warns once when nine tenths of a long quota are used, and says when there is more.
    fn warn_of_budgets(&self) {
        let long = self.gate.quotas_from(BUDGET_WINDOW);
        if long.is_empty() {
            return;
        }
        let mut state = self.state();
        state.warned.resize(long.len(), false);
        for (used, warned) in long.iter().zip(&mut state.warned) {
            let is_low = used.left <= used.quota.requests / 10;
            if is_low && !*warned {
                warn!(
                    connection = %self.name,
                    left = used.left,
                    "nine tenths of the quota {} are used: when none is left, slots are skipped; see: cadenced plan",
                    used.quota
                );
            }
            *warned = is_low;
        }
    }

    /// Holds everything back for as long as an answer asks to.
    pub(super) fn heed(&self, said: &Said, status: u16) -> Option<Duration> {
        let wait = said.wait(status, self.limits.early)?;
        if !wait.is_zero() {
            self.gate.not_before(Instant::now() + wait);
        }
        Some(wait)
    }

    pub(super) fn earn(&self) {
        self.state().budget.earn();
    }

    pub(super) fn spend(&self) -> bool {
        self.state().budget.spend()
    }

    /// A request went through.
    pub(super) fn succeeded(&self) {
        if self.state().breaker.succeeded() {
            info!(connection = %self.name, "requests go through again");
        }
    }

    /// A request failed. Says whether the platform is left alone from now on.
    pub(super) fn failed(&self, fault: Fault, reason: &str) -> bool {
        let opened = self.state().breaker.failed(fault, reason, Instant::now(), self.clock.now());
        if opened {
            // The failure itself is told by whoever met it.
            warn!(connection = %self.name, "left alone for now: slots of its jobs wait or are skipped");
        }
        opened
    }

    /// When the platform is asked again whether it is back; nothing once it is.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        self.state().breaker.open().map(|open| open.probe_at)
    }

    pub(super) fn probed(&self, probed: Result<(), (Fault, String)>) {
        let mut state = self.state();
        match probed {
            Ok(()) if state.breaker.open().is_some() => {
                state.breaker.probe_succeeded();
                info!(connection = %self.name, "it answers again; its jobs go on");
            }
            Ok(()) => {}
            Err((fault, reason)) => state.breaker.probe_failed(fault, &reason, Instant::now()),
        }
    }

    /// Why slots of its jobs should not start now.
    pub(super) fn closed(&self) -> Option<Closed> {
        if let Some(open) = self.state().breaker.open() {
            let since = shown_at(open.since);
            let reason = format!("{} is left alone since {since}: {}", self.name, open.reason);
            return Some(Closed { reason, until: None });
        }
        let wait = self.gate.wait();
        (wait > self.limits.park_after).then(|| {
            let until = self.at(Instant::now() + wait);
            Closed { reason: format!("quota until {}", shown_at(until)), until: Some(until) }
        })
    }

    pub(super) fn view(&self) -> ConnectionView {
        let wait = self.gate.wait();
        let open = self.state().breaker.open().cloned();
        ConnectionView {
            quotas: self.gate.quotas(),
            waits_until: (!wait.is_zero()).then(|| self.at(Instant::now() + wait)),
            closed: self.closed(),
            open_since: open.as_ref().map(|open| open.since),
            probe_at: open.map(|open| self.at(open.probe_at)),
        }
    }

    fn at(&self, instant: Instant) -> DateTime<Utc> {
        let wait = instant.saturating_duration_since(Instant::now());
        let now = self.clock.now();
        TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, changed whole: a panic in between leaves nothing half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown_at(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
