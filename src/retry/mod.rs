//! Whether and when a request is tried again, and when a platform is left alone: pure functions of what happened, the
//! time and a die roll. Waiting and sending are left to the callers.

mod breaker;
mod budget;
mod hint;

pub use breaker::{Breaker, BreakerRules, Fault, Open};
pub use budget::Budget;
pub use hint::{LONGEST_HINT, Said};

use std::time::Duration;

/// How often and how long a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries in all, the first included.
    pub tries: u32,
    /// The most the first wait can be; it doubles with every try.
    pub first: Duration,
    /// The most any wait of our own can be.
    pub longest: Duration,
    /// No try starts later than this after the first one did.
    pub patience: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            tries: 3,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            patience: Duration::from_secs(10 * 60),
        }
    }
}

impl Backoff {
    /// How long to wait after `tries_made` tries failed in `elapsed`, or nothing to give up. The platform's own
    /// `hint` wins over ours where it is the longer; `roll` is from 0 to 1 and spreads our own wait evenly over all
    /// it can be (full jitter), so that clients that failed together don't come back together.
    #[must_use]
    pub fn wait(
        &self,
        tries_made: u32,
        elapsed: Duration,
        hint: Option<Duration>,
        roll: f64,
    ) -> Option<Duration> {
        if tries_made >= self.tries {
            return None;
        }
        let doubled = 2_u32.checked_pow(tries_made.saturating_sub(1)).unwrap_or(u32::MAX);
        let most = self.first.saturating_mul(doubled).min(self.longest);
        let wait = most.mul_f64(roll.clamp(0.0, 1.0)).max(hint.unwrap_or_default());
        (elapsed.saturating_add(wait) <= self.patience).then_some(wait)
    }
}

/// Whether an answer with this status may be another one later: time-outs, too many requests, the server's own
/// faults.
#[must_use]
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_are_spread_over_all_they_can_be_and_end() {
        let backoff = Backoff { tries: 9, ..Backoff::default() };
        let seconds =
            |tries, roll| backoff.wait(tries, Duration::ZERO, None, roll).map(|wait| wait.as_secs_f64());
        assert_eq!([1, 2, 3, 7, 8].map(|tries| seconds(tries, 1.0)), [1.0, 2.0, 4.0, 60.0, 60.0].map(Some));
        assert_eq!([0.0, 0.5].map(|roll| seconds(3, roll)), [0.0, 2.0].map(Some));
        assert_eq!(seconds(9, 1.0), None);
        assert_eq!(
            Backoff { tries: u32::MAX, ..backoff }.wait(999, Duration::ZERO, None, 1.0),
            Some(backoff.longest)
        );
    }

    #[test]
    fn a_hint_wins_where_it_is_longer_and_ends_it_where_it_is_too_long() {
        let backoff = Backoff::default();
        let seconds = Duration::from_secs;
        assert_eq!(backoff.wait(1, seconds(5), Some(seconds(90)), 1.0), Some(seconds(90)));
        assert_eq!(backoff.wait(1, seconds(5), Some(seconds(0)), 1.0), Some(seconds(1)));
        assert_eq!(backoff.wait(1, seconds(5), Some(seconds(595)), 1.0), Some(seconds(595)));
        assert_eq!(backoff.wait(1, seconds(5), Some(seconds(596)), 1.0), None);
    }

    #[test]
    fn what_may_change_is_tried_again_and_what_is_said_is_not() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(is_transient(status), "{status}");
        }
        for status in [200, 204, 301, 400, 401, 403, 404, 409, 413, 422] {
            assert!(!is_transient(status), "{status}");
        }
    }
}
