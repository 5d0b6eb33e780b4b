//! What a platform's answer says about its limits, and how long to wait for that.
//!
//! `Retry-After`, `X-RateLimit-Limit`, `-Remaining` and `-Reset`, and the IETF's `RateLimit` fields in their older and
//! newer forms; instants in every form they come in. They are compared with the platform's own clock where the answer
//! shows it, so that a wrong one here does no harm.

use chrono::{DateTime, NaiveDateTime, Utc};
use std::time::Duration;

/// The longest wait a platform can ask for; anything later reads as this. Eryxon's daily quota can be a day away.
pub const LONGEST_HINT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an answer says about the platform's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Said {
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// Requests a window allows.
    pub limit: Option<f64>,
    /// Requests that are left of them.
    pub remaining: Option<f64>,
    /// How long until there are new ones.
    pub reset: Option<Duration>,
}

impl Said {
    /// Reads an answer's headers; `now` is the platform's clock if the answer shows it.
    #[must_use]
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, now: DateTime<Utc>) -> Self {
        let first = |names: [&str; 3]| names.into_iter().find_map(&header);
        let wait = |value: &str| read_wait(value, now);
        // `"default";r=50;t=30`, or in older drafts `limit=100, remaining=50, reset=30`.
        let fields = header("ratelimit").unwrap_or_default();
        let policy = header("ratelimit-policy").unwrap_or_default();
        let limit = first(["ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit"]);
        let remaining = first(["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"]);
        let reset = first(["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"]);
        Self {
            retry_after: header("retry-after").and_then(wait),
            limit: limit.and_then(number).or(field(policy, "q")).or(field(fields, "limit")),
            remaining: remaining.and_then(number).or(field(fields, "r")).or(field(fields, "remaining")),
            reset: reset.and_then(wait).or_else(|| {
                let seconds = field(fields, "t").or(field(fields, "reset"))?;
                Some(Duration::from_secs_f64(seconds.min(LONGEST_HINT.as_secs_f64())))
            }),
        }
    }

    /// How long nothing should be sent after an answer with this status. `early` is the share of the platform's limit
    /// that is stretched over the time until it is renewed, so that we slow down before the wall.
    #[must_use]
    pub fn wait(&self, status: u16, early: f64) -> Option<Duration> {
        match status {
            // A reset is not the reason where requests are left.
            429 => self.retry_after.max(self.reset.filter(|_| self.remaining.is_none_or(|left| left < 1.0))),
            503 => self.retry_after.or(self.reset),
            _ => {
                let (left, reset) = (self.remaining?, self.reset?);
                let is_near = left < 1.0 || self.limit.is_some_and(|limit| left <= limit * early);
                is_near.then(|| reset.div_f64(left.floor() + 1.0))
            }
        }
    }
}

/// The number a value starts with: `100`, also of `100, 100;w=60`.
fn number(value: &str) -> Option<f64> {
    let digits = value.trim().split([',', ';']).next()?.trim();
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The number of a named field among several.
fn field(fields: &str, name: &str) -> Option<f64> {
    let mut pairs = fields.split([',', ';']).filter_map(|pair| pair.split_once('='));
    number(pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?.1)
}

/// How long from `now` a header's value asks to wait: seconds, an HTTP date, seconds or milliseconds since 1970,
/// ISO 8601. What lies in the past is no wait at all; what lies further away than [`LONGEST_HINT`] is cut to it; what
/// can't be read says nothing.
fn read_wait(value: &str, now: DateTime<Utc>) -> Option<Duration> {
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
            assert_eq!(read_wait(value, now), seconds.map(Duration::from_secs_f64), "{value:?}");
        }
    }

    fn said(headers: &[(&str, &str)]) -> Said {
        let now = Utc.with_ymd_and_hms(2026, 3, 29, 0, 30, 0).unwrap();
        Said::read(|name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value), now)
    }

    #[test]
    fn each_answer_about_limits_makes_us_wait_as_long_as_it_means() {
        let day = Some(86_400.0);
        for (status, headers, seconds) in [
            // Refused: when to come back, in every form.
            (429, &[("retry-after", "120")][..], Some(120.0)),
            (429, &[("retry-after", "Sun, 29 Mar 2026 00:31:00 GMT")], Some(60.0)),
            (429, &[("x-ratelimit-reset", "1774744230")], Some(30.0)),
            (429, &[("x-ratelimit-reset", "1774744230250")], Some(30.25)),
            (
                429,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2026-03-29T14:30:00.000Z")],
                Some(50_400.0),
            ),
            (429, &[("ratelimit-reset", "30")], Some(30.0)),
            (429, &[("ratelimit", "\"default\";r=0;t=30")], Some(30.0)),
            (429, &[("retry-after", "5"), ("x-ratelimit-reset", "1774744230")], Some(30.0)),
            (
                429,
                &[("retry-after", "5"), ("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "1774744230")],
                Some(5.0),
            ),
            (429, &[("retry-after", "Sun, 29 Mar 2026 00:29:00 GMT")], Some(0.0)),
            (429, &[("retry-after", "99999999999999")], day),
            (429, &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], day),
            (429, &[("retry-after", "soon"), ("x-ratelimit-reset", "never")], None),
            (429, &[("retry-after", "soon"), ("x-ratelimit-reset", "30")], Some(30.0)),
            (429, &[], None),
            (503, &[("retry-after", "7")], Some(7.0)),
            // Accepted: the last tenth is stretched over what is left of the window, and an empty one waited for.
            (
                200,
                &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "11"), ("x-ratelimit-reset", "60")],
                None,
            ),
            (
                200,
                &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "60")],
                Some(6.0),
            ),
            (
                200,
                &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")],
                Some(60.0),
            ),
            (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")], Some(60.0)),
            (200, &[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "60")], None),
            (
                200,
                &[
                    ("ratelimit-limit", "100, 100;w=60"),
                    ("ratelimit-remaining", "5"),
                    ("ratelimit-reset", "30"),
                ],
                Some(5.0),
            ),
            (200, &[("ratelimit", "\"a\";r=5;t=30"), ("ratelimit-policy", "\"a\";q=100;w=60")], Some(5.0)),
            (200, &[("ratelimit", "limit=100, remaining=5, reset=30")], Some(5.0)),
            (200, &[("ratelimit", "limit=100, remaining=50, reset=30")], None),
            (200, &[("ratelimit", "garbage;r=;t==3")], None),
            (
                200,
                &[("x-ratelimit-limit", "-1"), ("x-ratelimit-remaining", "NaN"), ("x-ratelimit-reset", "60")],
                None,
            ),
            (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1774744100")], Some(0.0)),
            // On an answer that isn't about waiting the header means something else.
            (200, &[("retry-after", "120")], None),
            (404, &[("x-ratelimit-reset", "60")], None),
        ] {
            let wait = said(headers).wait(status, 0.1);
            assert_eq!(wait, seconds.map(Duration::from_secs_f64), "{status} {headers:?}");
        }
        let near = said(&[
            ("x-ratelimit-limit", "100"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "60"),
        ]);
        assert_eq!(near.wait(200, 0.0), None, "early = 0 goes on up to the wall");
    }
}
