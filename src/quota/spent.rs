//! What of the quotas was used, in the form that survives a restart: how long before it was written down requests were
//! answered. Who keeps it, and how much time has passed since, is left to a [`Keep`].

use super::log::Log;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// Keeps the use of a connection's quotas where a kill doesn't reach it.
pub trait Keep: Send + Sync + std::fmt::Debug {
    /// Writes it down durably in the place of what was written before. The error is what an operator should know.
    fn keep(&self, spent: Spent) -> BoxFuture<'_, Result<(), String>>;
}

/// Requests by the milliseconds since they were answered, the oldest first; a negative age lies ahead: no later than then
/// the last of these requests will have been answered or given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spent(Vec<(i64, u32)>);

impl Spent {
    /// What the log holds, and `reserved` requests more. Those on the way and those reserved are over after `over`.
    pub(super) fn of(log: &Log, now: Instant, reserved: u32, over: Duration) -> Self {
        let mut spent: Vec<(i64, u32)> = Vec::new();
        let mut ahead = reserved;
        for age in log.ages(now) {
            let Some(age) = age else {
                ahead += 1;
                continue;
            };
            let age = rounded(millis(age));
            match spent.last_mut() {
                Some((last, count)) if *last == age => *count += 1,
                _ => spent.push((age, 1)),
            }
        }
        spent.push((-millis(over), ahead));
        Self(spent)
    }

    /// The ages of all requests, this much later. What would lie ahead still counts as answered now.
    pub(super) fn ages(&self, later: Duration) -> impl Iterator<Item = Duration> {
        let age = move |at: i64| {
            Duration::from_millis(u64::try_from(at.saturating_add(millis(later))).unwrap_or(0))
        };
        let mut ages: Vec<_> = self.0.iter().map(|(at, count)| (age(*at), *count)).collect();
        // Requests are answered out of order.
        ages.sort_unstable_by(|a, b| b.cmp(a));
        ages.into_iter().flat_map(|(age, count)| std::iter::repeat_n(age, count as usize))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// An age made a little younger, which errs on the safe side: by a second, or a 128th where it is older. A day of requests
/// then takes some thousand entries at most.
fn rounded(age: i64) -> i64 {
    let step = (age / 128).max(1).ilog2();
    let step = (1_i64 << step).max(1000);
    age / step * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    #[test]
    fn what_is_written_down_is_never_older_and_hardly_younger_than_it_was() {
        let day = Duration::from_secs(86_400);
        let now = Instant::now() + 2 * day;
        let mut log = Log::new(vec![Quota { requests: 100_000, window: day }]);
        let ages: Vec<Duration> = (1..100_000).map(|i| day.mul_f64(f64::from(i) / 100_000.0)).rev().collect();
        log.restore(ages.iter().copied(), now);
        log.sent();
        let hour = Duration::from_secs(3600);
        let spent = Spent::of(&log, now, 2, hour);
        assert!(spent.0.len() < 1400, "{} entries", spent.0.len());
        let text = serde_json::to_string(&spent).unwrap();
        let back: Spent = serde_json::from_str(&text).unwrap();
        let later = Duration::from_secs(60);
        let read: Vec<Duration> = back.ages(later).collect();
        assert_eq!(read.len(), ages.len() + 3);
        assert_eq!(read[ages.len()..], [Duration::ZERO; 3], "what may still come counts as now");
        for (was, read) in ages.iter().zip(&read) {
            let was = *was + later;
            assert!(*read <= was && *read + was / 64 + Duration::from_secs(1) >= was, "{was:?} {read:?}");
        }
        assert!(back.ages(2 * hour).last() == Some(hour), "the reserved ones were over an hour later");
    }
}
