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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    fn gate(quotas: &[&str], in_flight: usize) -> Gate {
        Gate::new(&quotas.iter().map(|quota| quota.parse().unwrap()).collect::<Vec<_>>(), in_flight)
    }

    /// When requests went out in `span`, with `workers` asking all the time and answers taking `latency`.
    async fn saturate(gate: &Gate, workers: usize, latency: Duration, span: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let work = |_| {
            let (gate, sent) = (gate.clone(), Arc::clone(&sent));
            async move {
                loop {
                    let permit = gate.enter().await;
                    sent.lock().unwrap().push(start.elapsed());
                    tokio::time::sleep(latency).await;
                    permit.answered();
                }
            }
        };
        let all = futures_util::future::join_all((0..workers).map(work));
        assert!(tokio::time::timeout(span, all).await.is_err());
        let mut sent = sent.lock().unwrap().clone();
        sent.sort_unstable();
        sent
    }

    fn most_in_a_window(sent: &[Duration], window: Duration) -> usize {
        let inside =
            |(i, from): (usize, &Duration)| sent[i..].iter().take_while(|at| **at < *from + window).count();
        sent.iter().enumerate().map(inside).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn under_saturation_the_quota_is_used_up_and_never_exceeded() {
        for text in ["1/s", "7/s", "10/s", "64/s", "100/s", "1000/s", "300/min", "1000/day", "50/10s"] {
            let quota: Quota = text.parse().unwrap();
            let gate = gate(&[text], 4);
            let sent = saturate(&gate, 4, Duration::ZERO, quota.window * 10).await;
            let most = most_in_a_window(&sent, quota.window);
            assert!(most <= quota.requests as usize, "{text}: {most} in one window");
            let all = quota.requests as usize * 10;
            assert!(sent.len() * 100 >= all * 98, "{text}: only {} of {all} sent", sent.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_quota_is_spread_over_its_window() {
        let sent = saturate(&gate(&["10/s"], 4), 4, Duration::ZERO, Duration::from_secs(1)).await;
        let early = sent.iter().filter(|at| **at < Duration::from_millis(100)).count();
        assert!(early <= 2, "{early} of 10 in the first tenth of a second");
    }

    #[tokio::test(start_paused = true)]
    async fn all_quotas_hold_at_once_and_the_slow_one_is_used_up() {
        let sent =
            saturate(&gate(&["10/s", "300/min"], 2), 3, Duration::ZERO, Duration::from_secs(600)).await;
        assert!(most_in_a_window(&sent, Duration::from_secs(1)) <= 10);
        assert!(most_in_a_window(&sent, Duration::from_secs(60)) <= 300);
        assert!(sent.len() >= 2940, "only {} of 3000 sent", sent.len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_starts_with_the_response_also_when_that_is_a_time_out() {
        let gate = gate(&["2/s"], 9);
        let start = Instant::now();
        let first = gate.enter().await;
        gate.enter().await.answered();
        tokio::spawn(async move {
            let _given_up_after_30_s =
                tokio::time::timeout(Duration::from_secs(30), async { first_forever(first).await }).await;
        });
        gate.enter().await.answered();
        assert_eq!(start.elapsed(), Duration::from_secs(31));
    }

    async fn first_forever(_permit: Permit) {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_on_the_way() {
        let gate = gate(&[], 2);
        let (first, _second) = (gate.enter().await, gate.enter().await);
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, gate.enter()).await.is_err());
        first.answered();
        assert!(tokio::time::timeout(minute, gate.enter()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_that_comes_while_others_wait_holds_them_too() {
        let gate = gate(&["1/s"], 9);
        let start = Instant::now();
        gate.enter().await.answered();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.enter().await) }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        gate.not_before(start + Duration::from_secs(20));
        gate.not_before(start + Duration::from_secs(5));
        assert_eq!(gate.wait(), Duration::from_millis(19_500));
        waiting.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_the_wait_costs_nothing() {
        let gate = gate(&["1/s"], 9);
        let start = Instant::now();
        gate.enter().await.answered();
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(100), gate.enter()).await.is_err());
        }
        gate.enter().await.answered();
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_quota_survives_a_restart() {
        let noon = Utc.with_ymd_and_hms(2026, 3, 2, 12, 0, 0).unwrap();
        let before = gate(&["10/s", "3/day"], 9);
        for _ in 0..3 {
            before.enter().await.answered();
        }
        let kept = before.snapshot(noon);
        assert_eq!(kept.len(), 1, "a second's quota isn't worth keeping");
        assert_eq!((kept[0].quota.to_string().as_str(), kept[0].answered.len()), ("3/day", 3));

        let hour = Duration::from_secs(3600);
        let after = gate(&["3/day", "5/day"], 9);
        after.restore(&kept, noon + hour);
        assert!(after.wait() > 22 * hour && after.wait() <= 23 * hour, "{:?}", after.wait());
        let wrong_clock = gate(&["3/day"], 9);
        wrong_clock.restore(&kept, noon - hour);
        assert_eq!(wrong_clock.wait(), 24 * hour, "what lies in the future counts as now");
        let next_day = gate(&["3/day"], 9);
        next_day.restore(&kept, noon + 25 * hour);
        assert_eq!(next_day.wait(), Duration::ZERO);
    }
}
