//! Properties over every zone, random expressions and random instants, held against a second, slower way to
//! compute the same: croner walks the local calendar, chrono-tz resolves each reading on its own.

use super::super::zone::LOOK_AHEAD;
use super::*;
use chrono::{LocalResult, NaiveDateTime, NaiveTime, Offset, TimeDelta, Timelike};
use chrono_tz::{GapInfo, TZ_VARIANTS};
use croner::parser::CronParser;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// An expression, sparse enough to be computed the slow way for some days. `H` and `M` stand for an hour and a
/// minute near the instant that goes with it.
fn expression() -> impl Strategy<Value = String> {
    let second = prop_oneof![3 => Just("0"), 1 => Just("59"), 1 => Just("*/30"), 1 => Just("0,59")];
    let minute = prop::sample::select(vec!["M", "M,30", "M-59", "0,30", "*/10", "5/15", "17"]);
    let hour = prop_oneof![
        6 => prop::sample::select(vec!["H", "H,3", "0-H", "*", "*/2", "22-23"]).prop_map(str::to_owned),
        1 => (0..24_u32, 0..4_u32).prop_map(|(a, b)| format!("{a},{b}")),
    ];
    let days = prop_oneof![6 => Just("* * *"), 1 => Just("* * MON-FRI"), 1 => Just("1,15,L * SUN"),
        1 => Just("28-31 * *"), 1 => Just("LW 3,4,9,10 *")];
    (second, minute, hour, days).prop_map(|(s, m, h, d)| format!("{s} {m} {h} {d}"))
}

fn window() -> impl Strategy<Value = Option<(u32, u32)>> {
    prop_oneof![2 => Just(None), 1 => (0..1440_u32, 0..1440_u32).prop_map(Some)]
}

fn zone() -> impl Strategy<Value = Tz> {
    (0..TZ_VARIANTS.len()).prop_map(|index| TZ_VARIANTS[index])
}

fn offset(zone: Tz, instant: i64) -> i32 {
    let utc = DateTime::from_timestamp(instant, 0).unwrap();
    zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()
}

/// A zone, an instant of nearly three centuries, and a minute of the local day. Mostly the instant is around a
/// clock change, if the zone has one within a year, and the minute is one of those that it repeats or leaves out.
fn start() -> impl Strategy<Value = (Tz, DateTime<Utc>, u32)> {
    let first = instant("1840-01-01T00:00:00Z").timestamp();
    let last = instant("2105-01-01T00:00:00Z").timestamp();
    let shift = prop_oneof![-50 * 3600_i64..3600, -3600..7200_i64];
    (zone(), first..last, shift, -60..90_i64, 0..4_u8).prop_map(|(zone, at, shift, minutes, kind)| {
        let hours = (at..at + 400 * 86_400).step_by(3600);
        let mut changes = hours.filter(|hour| offset(zone, *hour) != offset(zone, hour + 3600));
        let change = changes.next().filter(|_| kind > 0).map_or(at, |hour| hour + 3600);
        let near = change + i64::from(offset(zone, change - 7200)) + minutes * 60;
        let minute = u32::try_from(near.rem_euclid(86_400) / 60).unwrap();
        (zone, DateTime::from_timestamp(change + shift, 0).unwrap(), minute)
    })
}

/// The expression with its `H` and `M` filled in; days and months may hold the letters too.
fn near(expression: &str, minute: u32) -> String {
    let fields: Vec<_> = expression.splitn(4, ' ').collect();
    let minutes = fields[1].replace('M', &(minute % 60).to_string());
    let hours = fields[2].replace('H', &(minute / 60).to_string());
    [fields[0], &minutes, &hours, fields[3]].join(" ")
}

fn made(cron: &str, window: Option<(u32, u32)>, zone: Tz) -> Option<Timetable> {
    let window = window.map(|(from, to)| {
        let text = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        Window::new(&format!("{}-{}", text(from), text(to))).unwrap()
    });
    let beats = Beats::Cron(vec![CronExpr::new(cron).unwrap()]);
    Timetable::new(TimetableSpec { between: window, ..TimetableSpec::new(beats, zone) }).ok()
}

fn exists(date: NaiveDate, zone: Tz) -> bool {
    let midnight = date.and_time(NaiveTime::MIN);
    (0..1440)
        .any(|m| !matches!(zone.from_local_datetime(&(midnight + TimeDelta::minutes(m))), LocalResult::None))
}

/// The slots, the slow way.
fn expected(
    cron: &str,
    window: Option<(u32, u32)>,
    zone: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let fixed = !cron.split(' ').take(3).any(|field| field.contains(['*', '-', '/']));
    let inside = |reading: &NaiveDateTime| {
        window.is_none_or(|(first, last)| {
            let (second, first, last) = (reading.num_seconds_from_midnight(), first * 60, last * 60);
            if first <= last { (first..=last).contains(&second) } else { second >= first || second <= last }
        })
    };
    let parsed = CronParser::builder().sloppy_ranges(true).build().parse(cron).unwrap();
    let start = from.naive_utc() - TimeDelta::hours(49);
    let end = until.naive_utc() + TimeDelta::hours(49);
    let mut slots = BTreeSet::new();
    for reading in
        parsed.iter_from(start, croner::Direction::Forward).take_while(|at| *at < end).filter(inside)
    {
        match zone.from_local_datetime(&reading) {
            LocalResult::Single(at) => {
                slots.insert(at.to_utc());
            }
            LocalResult::Ambiguous(first, second) => {
                slots.insert(first.to_utc());
                slots.extend((!fixed).then(|| second.to_utc()));
            }
            LocalResult::None if fixed && exists(reading.date(), zone) => {
                slots.insert(GapInfo::new(&reading, &zone).unwrap().end.unwrap().to_utc());
            }
            LocalResult::None => {}
        }
    }
    slots.range(from..until).copied().collect()
}

proptest! {
    #[test]
    fn slots_are_those_of_the_slow_way(cron in expression(), window in window(), (zone, from, minute) in start(), days in 1..5_i64) {
        let until = from + TimeDelta::days(days);
        let cron = near(&cron, minute);
        if let Some(timetable) = made(&cron, window, zone) {
            let slots: Vec<_> = timetable.slots(from, until).collect();
            prop_assert!(slots.is_sorted_by(|a, b| a < b), "not strictly increasing");
            prop_assert_eq!(slots, expected(&cron, window, zone, from, until));
        }
    }

    #[test]
    fn slots_do_not_depend_on_where_one_starts(cron in expression(), window in window(), (zone, at, minute) in start(), back in 0..200_000_i64, ahead in 0..200_000_i64) {
        let cron = near(&cron, minute);
        if let Some(timetable) = made(&cron, window, zone) {
            let until = at + TimeDelta::days(5);
            let middle = at + TimeDelta::seconds(ahead);
            let late: Vec<_> = timetable.slots(middle, until).collect();
            let early = timetable.slots(at - TimeDelta::seconds(back), until);
            prop_assert_eq!(early.filter(|slot| *slot >= middle).collect::<Vec<_>>(), late);
        }
    }

    #[test]
    fn slots_of_rare_dates_do_not_depend_on_where_one_starts((zone, at, minute) in start(), rest in prop::sample::select(vec!["", "-59"]), back in 0..900_i64) {
        // Once a year, on the date of a clock change or one next to it.
        let local = at.with_timezone(&zone).naive_local();
        let cron = format!("0 {}{rest} {} {} *", minute % 60, minute / 60, local.format("%-d %-m"));
        let timetable = timetable(&cron, zone);
        let until = at + TimeDelta::days(3);
        let early: Vec<_> = timetable.slots(at - TimeDelta::days(back), until).filter(|slot| *slot >= at).collect();
        prop_assert_eq!(&early, &timetable.slots(at, until).collect::<Vec<_>>());
        prop_assert_eq!(early, expected(&cron, None, zone, at, until));
    }

    #[test]
    fn a_fixed_time_comes_once_on_each_local_date_that_exists((zone, from, minute) in start()) {
        let time = NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).unwrap();
        let timetable = timetable(&format!("0 {} {} * * *", minute % 60, minute / 60), zone);
        let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
        let dates: Vec<_> = timetable
            .slots(from, from + TimeDelta::days(12))
            .map(|slot| {
                // One that moved was meant for the date on which the gap before it left its time out.
                let gap = local(slot - TimeDelta::seconds(1)) + TimeDelta::seconds(1);
                let moved_here = local(slot).time() != time && gap.time() <= time;
                if moved_here { gap.date() } else { local(slot).date() }
            })
            .collect();
        let all: Vec<_> = dates[0].iter_days().filter(|date| exists(*date, zone)).take(dates.len()).collect();
        prop_assert!((11..=13).contains(&dates.len()));
        prop_assert_eq!(dates, all);
    }

    #[test]
    fn an_interval_elapses_evenly_inside_an_offset((zone, from, _) in start(), step in prop::sample::select(vec![60, 120, 600, 1800, 3600, 7200])) {
        let every = Every::new(std::time::Duration::from_secs(step), std::time::Duration::ZERO).unwrap();
        let timetable = Timetable::new(TimetableSpec::new(Beats::Every(every), zone)).unwrap();
        let offset = |at: &DateTime<Utc>| at.with_timezone(&zone).naive_local() - at.naive_utc();
        let slots: Vec<_> = timetable.slots(from, from + TimeDelta::days(3)).collect();
        for pair in slots.windows(2) {
            let gap = (pair[1] - pair[0]).num_seconds();
            let evenly = gap == i64::try_from(step).unwrap();
            prop_assert!(evenly || offset(&pair[0]) != offset(&pair[1]), "{} then {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}", near in "[0-9*/,LW#@A-Z?+ -]{0,30}") {
        for text in [text, near] {
            if let Err(error) = CronExpr::new(&text) {
                prop_assert!(error.offset + error.length <= text.chars().count(), "{}", error);
            }
        }
    }
}

/// A new version of the zone data must not hide two changes between two looks of a stretch.
#[test]
fn no_zone_changes_its_offset_twice_within_a_look_ahead() {
    let (first, last) =
        (instant("1970-01-01T00:00:00Z").timestamp(), instant("2100-01-01T00:00:00Z").timestamp());
    for zone in TZ_VARIANTS {
        let (mut changed, mut before) = (first - 10 * 86_400, offset(zone, first));
        for day in (first..last).step_by(86_400) {
            let now = offset(zone, day);
            if now != before {
                assert!(day - changed > LOOK_AHEAD + 86_400, "{zone} changes twice before {day}");
                (changed, before) = (day, now);
            }
        }
    }
}
