//! The gate every request of a connection passes: all quotas, the limit of requests on the way, and what the
//! platform itself asked us to wait. It promises that whoever holds a [`Permit`] may send now, first come first
//! served.
//!
//! The logs enforce; governor only paces the quota with the shortest window, so that `10/s` is ten requests spread
//! over the second and not ten at once. Longer windows aren't paced: `1000/day` would be one request every 86 s.
//! All logs are asked before a paced cell is taken, so no cell is spent while a slower quota still says no.

use super::Quota;
use super::log::{Earliest, Log};
use chrono::{DateTime, TimeDelta, Utc};
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The longest window that is still paced.
const PACED: Duration = Duration::from_secs(60);
/// The shortest window whose use is worth keeping over a restart.
const KEPT: Duration = Duration::from_secs(60);

/// Lets requests through as the quotas allow. Cloning gives another handle to the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_flight: Arc<Semaphore>,
    /// Held by the one that waits for the quotas: tokio's mutex is first come, first served.
    turn: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
    /// Told when an answer or a hint changes what the one in turn waits for.
    changed: Notify,
    pacer: Option<Pacer>,
}

#[derive(Debug)]
struct Book {
    logs: Vec<Log>,
    not_before: Option<Instant>,
}

/// The right to send one request. Dropping it says that the response is complete, or given up.
#[derive(Debug)]
#[must_use = "the request counts as answered once the permit is dropped"]
pub struct Permit {
    gate: Gate,
    numbers: Vec<u64>,
    _in_flight: OwnedSemaphorePermit,
}

/// How much of a long quota is used, for keeping it over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// Which quota.
    pub quota: Quota,
    /// When the requests inside the window were answered.
    pub answered: Vec<DateTime<Utc>>,
}

impl Gate {
    /// A gate for these quotas, all of which hold at once, and at most `in_flight` requests on the way (1 at least).
    #[must_use]
    pub fn new(quotas: &[Quota], in_flight: usize) -> Self {
        let paced = quotas.iter().filter(|quota| quota.window <= PACED).min_by_key(|quota| quota.window);
        Self(Arc::new(Shared {
            in_flight: Arc::new(Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            turn: tokio::sync::Mutex::new(()),
            book: Mutex::new(Book { logs: quotas.iter().copied().map(Log::new).collect(), not_before: None }),
            changed: Notify::new(),
            pacer: paced.and_then(Pacer::new),
        }))
    }

    /// Waits until a request may go. Giving up the wait costs nothing.
    pub async fn enter(&self) -> Permit {
        let in_flight = loop {
            match Arc::clone(&self.0.in_flight).acquire_owned().await {
                Ok(permit) => break permit,
                // The semaphore is never closed; a gate that let nobody in would be the safe answer.
                Err(_closed) => std::future::pending().await,
            }
        };
        let _turn = self.0.turn.lock().await;
        loop {
            // Registered before the books are read, so that a change in between is not slept through.
            let changed = self.0.changed.notified();
            let until = match self.try_send(Instant::now()) {
                Ok(numbers) => return Permit { gate: self.clone(), numbers, _in_flight: in_flight },
                Err(until) => until,
            };
            match until {
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// How long a request asked for now would wait at least, for the quotas and the platform's own hints: what lets a
    /// caller fail at once instead of waiting hours.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let now = Instant::now();
        let book = self.book();
        let logs = book.logs.iter().filter_map(|log| match log.earliest(now) {
            Earliest::At(at) => Some(at),
            Earliest::Now | Earliest::AfterAnswer => None,
        });
        let latest = logs.chain(book.not_before).max();
        latest.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Lets nothing through before `at`: the platform asked for it. An earlier instant than one already known
    /// changes nothing.
    pub fn not_before(&self, at: Instant) {
        let mut book = self.book();
        book.not_before = book.not_before.max(Some(at));
        drop(book);
        self.0.changed.notify_waiters();
    }

    /// The use of the quotas whose window is a minute or longer.
    #[must_use]
    pub fn snapshot(&self, now: DateTime<Utc>) -> Vec<QuotaUse> {
        let instant = Instant::now();
        let at =
            |age| TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age)).unwrap_or(now);
        let book = self.book();
        let kept = book.logs.iter().filter(|log| log.quota().window >= KEPT);
        kept.map(|log| QuotaUse {
            quota: log.quota(),
            answered: log.ages(instant).into_iter().map(at).collect(),
        })
        .collect()
    }

    /// Takes over the use an earlier process made of the same quotas; call it before the first request. Instants in
    /// the future (the clock was wrong) count as now; quotas this gate doesn't have are passed over.
    pub fn restore(&self, uses: &[QuotaUse], now: DateTime<Utc>) {
        let instant = Instant::now();
        let age = |at: &DateTime<Utc>| (now - *at).to_std().unwrap_or(Duration::ZERO);
        for log in &mut self.book().logs {
            if let Some(kept) = uses.iter().find(|kept| kept.quota == log.quota()) {
                let window = log.quota().window;
                let ages = kept.answered.iter().map(age).filter(|age| *age < window).collect();
                log.restore(ages, instant);
            }
        }
    }

    /// Writes a request into all logs if all allow it; else until when there is no point in asking again (nothing
    /// for: until something changes).
    fn try_send(&self, now: Instant) -> Result<Vec<u64>, Option<Instant>> {
        let mut book = self.book();
        if let Some(not_before) = book.not_before {
            if now < not_before {
                return Err(Some(not_before));
            }
            book.not_before = None;
        }
        match book.logs.iter().map(|log| log.earliest(now)).max().unwrap_or(Earliest::Now) {
            Earliest::Now => {}
            Earliest::At(at) => return Err(Some(at)),
            Earliest::AfterAnswer => return Err(None),
        }
        if let Some(pacer) = &self.0.pacer {
            pacer.take(now).map_err(Some)?;
        }
        Ok(book.logs.iter_mut().map(Log::sent).collect())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing between lock and unlock can panic half-way through a change that matters.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says that the response is complete, or given up.
    pub fn answered(self) {}
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut book = self.gate.book();
        for (log, number) in book.logs.iter_mut().zip(&self.numbers) {
            log.answered(*number, now);
        }
        drop(book);
        self.gate.0.changed.notify_waiters();
    }
}

/// Spreads requests evenly over the window.
#[derive(Debug)]
struct Pacer(RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>);

impl Pacer {
    fn new(quota: &Quota) -> Option<Self> {
        let each = quota.window.checked_div(quota.requests)?;
        // Timers wake up to a millisecond late; a burst of 1 would lose that much of every interval. 2 up to some
        // hundred requests a second and 5 at a thousand keep the whole quota; the log holds the limit itself.
        let per_second = u64::from(quota.requests) / quota.window.as_secs().max(1);
        let burst = u32::try_from(per_second / 200).unwrap_or(u32::MAX).max(2).min(quota.requests);
        let rate = governor::Quota::with_period(each)?.allow_burst(NonZeroU32::new(burst)?);
        Some(Self(RateLimiter::direct_with_clock(rate, RuntimeClock(Instant::now()))))
    }

    /// Takes a cell, or says when one will be there.
    fn take(&self, now: Instant) -> Result<(), Instant> {
        let from = self.0.clock().now();
        self.0.check().map_err(|not: NotUntil<Duration>| now + not.wait_time_from(from))
    }
}

/// governor's view of the runtime's clock, which tests can pause: the time since the pacer was made.
#[derive(Debug, Clone)]
struct RuntimeClock(Instant);

impl governor::clock::Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
