//! A local date as a stretch of time.

use super::readings::{DAY, day_number};
use super::zone::{REACH, Stretch};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use std::ops::Range;

/// The instants of a local date, from the first one that shows it (or a later date) to the first one that shows the
/// next: 23 or 25 hours where the clocks change, nothing where the zone left the date out.
#[must_use]
pub fn day(date: NaiveDate, zone: Tz) -> Range<DateTime<Utc>> {
    let number = day_number(date);
    begin(number, zone)..begin(number + 1, zone)
}

fn begin(day: i64, zone: Tz) -> DateTime<Utc> {
    let midnight = day * DAY;
    let mut stretch = Stretch::around(zone, midnight - REACH);
    loop {
        let at = (midnight - stretch.offset).max(stretch.start);
        if at < stretch.end {
            return DateTime::from_timestamp(at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        }
        stretch = stretch.next(zone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Europe, Pacific};

    fn hours(date: &str, zone: Tz) -> (String, i64) {
        let day = day(date.parse().unwrap(), zone);
        (day.start.to_rfc3339(), (day.end - day.start).num_hours())
    }

    #[test]
    fn a_day_has_24_hours_unless_the_clocks_change() {
        for (date, zone, start, length) in [
            ("2026-03-28", Europe::Warsaw, "2026-03-27T23:00:00+00:00", 24),
            ("2026-03-29", Europe::Warsaw, "2026-03-28T23:00:00+00:00", 23),
            ("2026-10-25", Europe::Warsaw, "2026-10-24T22:00:00+00:00", 25),
            // Midnight itself is in the gap: the day begins at 01:00.
            ("2018-11-04", America::Sao_Paulo, "2018-11-04T03:00:00+00:00", 23),
            // Left out when Samoa crossed the date line.
            ("2011-12-30", Pacific::Apia, "2011-12-30T10:00:00+00:00", 0),
            ("2011-12-31", Pacific::Apia, "2011-12-30T10:00:00+00:00", 24),
        ] {
            assert_eq!(hours(date, zone), (start.to_owned(), length), "{date} in {zone}");
        }
    }
}
