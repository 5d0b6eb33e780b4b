//! Spreads requests evenly over a quota's window, with governor. It holds no limit itself: that is the log's.

use super::Quota;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// Spreads requests evenly over the window.
#[derive(Debug)]
pub(super) struct Pacer(RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>);

impl Pacer {
    pub(super) fn new(quota: &Quota) -> Option<Self> {
        let each = quota.window.checked_div(quota.requests)?;
        // Timers wake up late, by a millisecond or, on a busy host, by many; a burst of 1 would lose that much of the quota
        // each time. A twentieth of a second can be made up for; the log holds the limit itself.
        let per_second = u64::from(quota.requests) / quota.window.as_secs().max(1);
        let burst = u32::try_from(per_second / 20).unwrap_or(u32::MAX).max(2).min(quota.requests);
        let rate = governor::Quota::with_period(each)?.allow_burst(NonZeroU32::new(burst)?);
        Some(Self(RateLimiter::direct_with_clock(rate, RuntimeClock(Instant::now()))))
    }

    /// Takes a cell, or says when one will be there.
    pub(super) fn take(&self, now: Instant) -> Result<(), Instant> {
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
