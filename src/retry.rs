//! Whether and when a request is tried again: pure functions of what happened, the time and a die roll. Waiting and
//! sending are left to the callers.

use chrono::{DateTime, NaiveDateTime, Utc};
use std::time::Duration;

/// The longest wait a platform can ask for; anything later reads as this. Eryxon's daily quota can be a day away.
pub const LONGEST_HINT: Duration = Duration::from_secs(24 * 60 * 60);

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

/// The headers that say when to come back, the strongest first.
pub const HINT_HEADERS: [&str; 4] =
    ["retry-after", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];

/// How long from `now` a platform asks to wait, read from the value of one of [`HINT_HEADERS`]: seconds, an HTTP
/// date, seconds or milliseconds since 1970, ISO 8601. What lies in the past is no wait at all; what lies further
/// away than [`LONGEST_HINT`] is cut to it; what can't be read says nothing.
#[must_use]
pub fn read_hint(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    /// A number of seconds this large (16 years) is a date.
    const EPOCH_SECONDS: f64 = 5e8;
    /// A date in seconds this large (year 5138) is in milliseconds.
    const EPOCH_MILLIS: f64 = 1e11;

    let value = value.trim();
    let is_number = value.starts_with(|c: char| c.is_ascii_digit())
        && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = if is_number {
        let number: f64 = value.parse().ok()?;
        let now = now.timestamp_millis() as f64 / 1000.0;
        match number {
            n if n >= EPOCH_MILLIS => n / 1000.0 - now,
            n if n >= EPOCH_SECONDS => n - now,
            n => n,
        }
    } else {
        let at = iso_8601(value).or_else(|| httpdate::parse_http_date(value).ok().map(DateTime::from))?;
        (at - now).num_milliseconds() as f64 / 1000.0
    };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_HINT.as_secs_f64())))
}

/// ISO 8601 with an offset, or without one, which then is UTC.
fn iso_8601(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(value) {
        return Some(at.to_utc());
    }
    let patterns = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%z"];
    patterns.iter().find_map(|pattern| {
        let with_offset = DateTime::parse_from_str(value, pattern).map(|at| at.to_utc());
        with_offset.or_else(|_| NaiveDateTime::parse_from_str(value, pattern).map(|at| at.and_utc())).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    #[test]
    fn every_way_to_write_a_hint_is_read() {
        let now = Utc.with_ymd_and_hms(2026, 3, 29, 0, 30, 0).unwrap();
        assert_eq!(now.timestamp(), 1_774_744_200);
        for (value, seconds) in [
            ("0", Some(0.0)),
            ("120", Some(120.0)),
            (" 1.5 ", Some(1.5)),
            ("86401", Some(86_400.0)),
            ("499999999", Some(86_400.0)),
            ("99999999999999999999999999", Some(86_400.0)),
            ("1774744230", Some(30.0)),
            ("1774744230.5", Some(30.5)),
            ("1774744230250", Some(30.25)),
            ("1774744100", Some(0.0)),
            ("1774744100000", Some(0.0)),
            ("Sun, 29 Mar 2026 00:31:00 GMT", Some(60.0)),
            ("Sunday, 29-Mar-26 00:31:00 GMT", Some(60.0)),
            ("Sun Mar 29 00:31:00 2026", Some(60.0)),
            ("Sun, 29 Mar 2026 00:29:00 GMT", Some(0.0)),
            ("2026-03-29T00:31:00Z", Some(60.0)),
            ("2026-03-29T00:31:00.250Z", Some(60.25)),
            ("2026-03-29T02:31:00+02:00", Some(60.0)),
            ("2026-03-29T02:31:00+0200", Some(60.0)),
            ("2026-03-29 00:31:00", Some(60.0)),
            ("2026-03-29T00:31:00", Some(60.0)),
            ("2025-03-29T00:31:00Z", Some(0.0)),
            ("9999-12-31T23:59:59Z", Some(86_400.0)),
            ("", None),
            ("-5", None),
            ("1e3", None),
            ("1.2.3", None),
            ("soon", None),
            ("inf", None),
            ("NaN", None),
            ("2026-13-29T00:31:00Z", None),
        ] {
            assert_eq!(read_hint(value, now), seconds.map(Duration::from_secs_f64), "{value:?}");
        }
    }

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
