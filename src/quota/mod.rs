//! Quotas: how many requests a connection allows per window. Here is what a quota is and how it is written; [`Log`]
//! decides, as a pure function of instants, when the next request may go; [`Gate`] waits for that and paces.
//!
//! Promise: no window, as the platform measures it, ever holds more requests than the quota says, in whatever
//! order requests are answered. Who sends, and what a platform's hint means, is left to the callers.

mod gate;
mod log;
mod pacer;
mod spent;
#[cfg(test)]
mod tests;

pub use gate::{Gate, Permit, Priority, QuotaUse, Shut};
pub use log::{Earliest, Log};
pub use spent::{Keep, Spent};

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Requests allowed in any window of this length: `10/s`, `300/min`, `1000/day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many requests; at least 1.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}

/// A quota that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuota {
    /// Not of the form `N/window`.
    #[error(
        "`{0}` is not a quota: write requests per window, such as `10/s`, `300/min`, `1000/day` or `100/24h`"
    )]
    Form(String),
    /// No requests, or more than can be counted.
    #[error("`{0}`: the number of requests must be 1 to {max}", max = u32::MAX)]
    Requests(String),
    /// A window this program can't keep.
    #[error("`{0}`: the window must be `s`, `min`, `h` or `day`, or a whole number of one, a year at most")]
    Window(String),
}

impl FromStr for Quota {
    type Err = BadQuota;

    fn from_str(text: &str) -> Result<Self, BadQuota> {
        let (requests, window) = text.split_once('/').ok_or_else(|| BadQuota::Form(text.to_owned()))?;
        let (requests, window) = (requests.trim(), window.trim());
        if requests.is_empty() || !requests.bytes().all(|b| b.is_ascii_digit()) || window.is_empty() {
            return Err(BadQuota::Form(text.to_owned()));
        }
        let requests = match requests.parse() {
            Ok(0) | Err(_) => return Err(BadQuota::Requests(text.to_owned())),
            Ok(requests) => requests,
        };
        let seconds = window_seconds(window).ok_or_else(|| BadQuota::Window(text.to_owned()))?;
        Ok(Self { requests, window: Duration::from_secs(seconds) })
    }
}

/// The seconds of `s`, `10s`, `24h`; nothing where it is no window or longer than a year.
fn window_seconds(window: &str) -> Option<u64> {
    let unit_at = window.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = window.split_at(unit_at);
    let count = if count.is_empty() { 1 } else { count.parse::<u64>().ok()? };
    let unit = match unit.trim_start() {
        "s" | "sec" | "second" => 1,
        "min" | "minute" => MINUTE,
        "h" | "hour" => HOUR,
        "d" | "day" => DAY,
        _ => return None,
    };
    count.checked_mul(unit).filter(|seconds| (1..=366 * DAY).contains(seconds))
}

impl Quota {
    /// Half of it; of a single request, one in twice the time.
    #[must_use]
    pub fn halved(self) -> Self {
        match self.requests {
            0 | 1 => Self { window: self.window * 2, ..self },
            requests => Self { requests: requests / 2, ..self },
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window.as_secs();
        let (count, unit) = match seconds {
            s if s % DAY == 0 => (s / DAY, "day"),
            s if s % HOUR == 0 => (s / HOUR, "h"),
            s if s % MINUTE == 0 => (s / MINUTE, "min"),
            s => (s, "s"),
        };
        let count = if count == 1 { String::new() } else { count.to_string() };
        write!(f, "{}/{count}{unit}", self.requests)
    }
}

#[cfg(test)]
mod notation {
    use super::*;

    #[test]
    fn quotas_are_read_as_people_write_them() {
        for (text, requests, seconds, shown) in [
            ("10/s", 10, 1, "10/s"),
            ("300/min", 300, 60, "300/min"),
            ("1000/day", 1000, 86_400, "1000/day"),
            ("100/24h", 100, 86_400, "100/day"),
            (" 5 / 10 s ", 5, 10, "5/10s"),
            ("1/90min", 1, 5400, "1/90min"),
            ("4294967295/366d", u32::MAX, 366 * 86_400, "4294967295/366day"),
        ] {
            let quota: Quota = text.parse().unwrap();
            assert_eq!(quota, Quota { requests, window: Duration::from_secs(seconds) }, "{text}");
            assert_eq!(quota.to_string(), shown);
            assert_eq!(shown.parse(), Ok(quota));
        }
    }

    #[test]
    fn half_of_a_quota_is_never_none_of_it() {
        for (all, half) in [("10/s", "5/s"), ("5/min", "2/min"), ("1/s", "1/2s"), ("2/day", "1/day")] {
            assert_eq!(all.parse::<Quota>().unwrap().halved().to_string(), half);
        }
    }

    #[test]
    fn what_is_not_a_quota_is_refused_and_says_why() {
        let form = |text: &str| BadQuota::Form(text.to_owned());
        let requests = |text: &str| BadQuota::Requests(text.to_owned());
        let window = |text: &str| BadQuota::Window(text.to_owned());
        for (text, error) in [
            ("", form("")),
            ("10", form("10")),
            ("/s", form("/s")),
            ("10/", form("10/")),
            ("-1/s", form("-1/s")),
            ("1.5/s", form("1.5/s")),
            ("0/s", requests("0/s")),
            ("4294967296/s", requests("4294967296/s")),
            ("10/m", window("10/m")),
            ("10/0s", window("10/0s")),
            ("10/60", window("10/60")),
            ("10/367d", window("10/367d")),
            ("10/99999999999999999999d", window("10/99999999999999999999d")),
            ("10/s/s", window("10/s/s")),
        ] {
            assert_eq!(text.parse::<Quota>(), Err(error), "{text}");
        }
    }
}
