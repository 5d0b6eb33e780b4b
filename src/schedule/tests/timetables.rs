//! Timetables made of more than one expression: steps, windows, days off, splay, and what they say of themselves.

use super::*;
use chrono_tz::Europe;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn crons(expressions: &[&str]) -> TimetableSpec {
    let crons = expressions.iter().map(|cron| CronExpr::new(cron).unwrap()).collect();
    TimetableSpec::new(Beats::Cron(crons), Europe::Warsaw)
}

fn every(step: Duration, offset: Duration) -> TimetableSpec {
    TimetableSpec::new(Beats::Every(Every::new(step, offset).unwrap()), Europe::Warsaw)
}

fn except(dates: &[&str]) -> Vec<DateRange> {
    dates.iter().map(|text| DateRange::new(text).unwrap()).collect()
}

#[test]
fn a_step_is_the_interval_expression_that_reads_the_same() {
    let pairs = [
        (every(30 * MINUTE, Duration::ZERO), "0 */30 * * * *"),
        (every(30 * MINUTE, 5 * MINUTE), "0 5/30 * * * *"),
        (every(120 * MINUTE, 60 * MINUTE), "0 0 1/2 * * *"),
        (every(Duration::from_secs(10), Duration::ZERO), "*/10 * * * * *"),
        (every(DAY, 150 * MINUTE), "0 30 2-2 * * *"),
    ];
    for (spec, cron) in pairs {
        let step = Timetable::new(spec).unwrap();
        for day in ["2026-03-29", "2026-06-10", "2026-10-25"] {
            assert_eq!(on(&step, day), on(&timetable(cron, Europe::Warsaw), day), "{cron} {day}");
        }
    }
}

#[test]
fn a_step_that_does_not_divide_the_day_is_refused() {
    for step in
        [Duration::ZERO, 7 * MINUTE, 2 * DAY, Duration::from_millis(1500), Duration::from_secs(1 << 33)]
    {
        assert_eq!(Every::new(step, Duration::ZERO), Err(BadEvery::Uneven(step)));
    }
    for offset in [30 * MINUTE, 45 * MINUTE, Duration::from_millis(10)] {
        assert!(matches!(Every::new(30 * MINUTE, offset), Err(BadEvery::Offset { .. })), "{offset:?}");
    }
}

#[test]
fn a_slot_that_two_expressions_name_is_one_slot() {
    let both = Timetable::new(crons(&["0 0 8,12 * * *", "0 0 */4 * * *"])).unwrap();
    let hours: Vec<_> = on(&both, "2026-06-10").iter().map(|at| at[..2].to_owned()).collect();
    assert_eq!(hours, ["00", "04", "08", "12", "16", "20"]);
    // Each keeps its own rhythm: the fixed time moves out of the gap, the interval leaves it empty.
    let mixed = Timetable::new(crons(&["0 30 2 * * *", "0 15 2-2 * * *"])).unwrap();
    assert_eq!(on(&mixed, "2026-03-29"), ["03:00:00+02:00"]);
    assert_eq!(on(&mixed, "2026-10-25"), ["02:15:00+02:00", "02:30:00+02:00", "02:15:00+01:00"]);
}

#[test]
fn a_window_includes_both_its_ends_and_no_second_more() {
    let ends = |window| {
        let slots = on(&between("*/30 */30 * * * *", window, Europe::Warsaw), "2026-06-10");
        (slots.len(), slots[0][..8].to_owned(), slots[slots.len() - 1][..8].to_owned())
    };
    assert_eq!(ends("08:00-20:00"), (49, "08:00:00".into(), "20:00:00".into()));
    assert_eq!(ends("08:00:01-20:00:30"), (49, "08:00:30".into(), "20:00:30".into()));
    assert_eq!(ends("20:00-20:00"), (1, "20:00:00".into(), "20:00:00".into()));
}

#[test]
fn a_window_may_go_over_midnight() {
    let night = between("0 0 * * * *", "22:00-02:00", Europe::Warsaw);
    let hours: Vec<_> = on(&night, "2026-06-10").iter().map(|at| at[..2].to_owned()).collect();
    assert_eq!(hours, ["00", "01", "02", "22", "23"]);
}

#[test]
fn a_window_judges_the_reading_before_a_gap_moves_it() {
    assert_eq!(on(&between("0 30 2 * * *", "02:00-02:59", Europe::Warsaw), "2026-03-29"), ["03:00:00+02:00"]);
    assert_eq!(
        on(&between("0 30 2,4 * * *", "03:00-05:00", Europe::Warsaw), "2026-03-29"),
        ["04:30:00+02:00"]
    );
}

#[test]
fn what_is_not_a_window_is_refused() {
    for text in ["", "08:00", "8-20", "08:00-24:00", "08:00-20:60", "08:00-20:00:60", "08:00-20:00-21:00"] {
        assert!(Window::new(text).is_err(), "{text}");
    }
}

#[test]
fn days_off_are_judged_by_the_local_date_the_slot_was_meant_for() {
    let except = except(&["2026-12-25..2026-12-26", "2026-12-24", "2027-01-01", "2026-12-26..2026-12-27"]);
    let timetable = Timetable::new(TimetableSpec { except, ..crons(&["0 30 0 * * *"]) }).unwrap();
    let dates: Vec<_> =
        first(&timetable, "2026-12-21T23:00:00Z", 7).iter().map(|at| at[5..10].to_owned()).collect();
    assert_eq!(dates, ["12-22", "12-23", "12-28", "12-29", "12-30", "12-31", "01-02"]);
    assert!(timetable.describe().contains("except 2026-12-24..2026-12-27, 2027-01-01"));
}

#[test]
fn what_is_not_a_range_of_dates_is_refused() {
    assert_eq!(DateRange::new("2026-02-29"), Err(BadDateRange::NotDates("2026-02-29".into())));
    assert_eq!(DateRange::new("Christmas"), Err(BadDateRange::NotDates("Christmas".into())));
    let backwards = "2026-12-26..2026-12-25";
    assert_eq!(DateRange::new(backwards), Err(BadDateRange::Backwards(backwards.into())));
}

#[test]
fn a_timetable_that_is_never_due_is_refused() {
    let window = Some(Window::new("08:00-20:00").unwrap());
    let always = except(&["0001-01-01..9999-12-31"]);
    let noon_off = TimetableSpec { between: window, ..crons(&["0 0 12 * * *", "0 0 22 * * *"]) };
    let messages = [
        crons(&[]),
        noon_off,
        TimetableSpec {
            between: Some(Window::new("01:00-02:00").unwrap()),
            ..every(DAY / 2, Duration::ZERO)
        },
        TimetableSpec { except: always, ..crons(&["@daily"]) },
    ]
    .map(|spec| Timetable::new(spec).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"), @r"
    the list of cron expressions is empty, so the job would never be due
    `0 0 22 * * *` has no time of day between 08:00-20:00, so it would never be due
    every 12h has no time of day between 01:00-02:00, so it would never be due
    `@daily` falls only on dates that `except` takes out, so it would never be due
    ");
}

#[test]
fn equal_timetables_are_equal_and_a_changed_one_is_not() {
    let spec = crons(&["0 */2 * * * *"]);
    let timetable = Timetable::new(spec.clone()).unwrap();
    assert_eq!(timetable, Timetable::cron("0 */2 * * * *", Europe::Warsaw).unwrap());
    for changed in [
        TimetableSpec { zone: Europe::Madrid, ..spec.clone() },
        TimetableSpec { splay: MINUTE, ..spec.clone() },
        TimetableSpec { between: Some(Window::new("08:00-20:00").unwrap()), ..spec.clone() },
        TimetableSpec { except: except(&["2026-12-25"]), ..spec },
        crons(&["0 */4 * * * *"]),
    ] {
        assert_ne!(timetable, Timetable::new(changed).unwrap());
    }
}

#[test]
fn the_interval_hint_is_the_usual_distance() {
    let hint = |cron: &str| timetable(cron, Europe::Warsaw).interval_hint();
    assert_eq!(hint("0 */2 * * * *"), 2 * MINUTE);
    assert_eq!(hint("0 15 0 * * *"), DAY);
    assert_eq!(hint("0 0 8 * * MON-FRI"), DAY);
    assert_eq!(hint("@weekly"), 7 * DAY);
    assert_eq!(hint("@yearly"), 365 * DAY);
    assert_eq!(between("0 */30 * * * *", "08:00-20:00", Europe::Warsaw).interval_hint(), 30 * MINUTE);
    assert_eq!(Timetable::new(every(6 * 60 * MINUTE, MINUTE)).unwrap().interval_hint(), 360 * MINUTE);
}

#[test]
fn by_default_a_slot_is_made_up_for_within_a_day_or_two_intervals() {
    let policy = Policy::default();
    assert_eq!(
        (policy.catch_up, policy.overlap, policy.timeout),
        (CatchUp::Latest, Overlap::Skip, 60 * MINUTE)
    );
    assert_eq!(policy.catch_up_window(None), DAY);
    assert_eq!(policy.catch_up_window(Some(&timetable("0 */2 * * * *", Europe::Warsaw))), DAY);
    assert_eq!(policy.catch_up_window(Some(&timetable("@weekly", Europe::Warsaw))), 14 * DAY);
    let configured = Policy { catch_up_window: Some(MINUTE), ..policy };
    assert_eq!(configured.catch_up_window(Some(&timetable("@weekly", Europe::Warsaw))), MINUTE);
}

#[test]
fn a_splay_is_stable_below_its_bound_and_spread_over_it() {
    // Pinned: a new version must not start every job at another moment.
    assert_eq!(splay_of("one-stocks", 30 * MINUTE), Duration::from_millis(1_779_904));
    assert_eq!(splay_of("one-stocks", Duration::ZERO), Duration::ZERO);
    let minutes: std::collections::BTreeSet<_> =
        (0..200).map(|job| splay_of(&format!("job-{job}"), 10 * MINUTE).as_secs() / 60).collect();
    assert_eq!(minutes.into_iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_timetable_describes_itself() {
    let full = TimetableSpec {
        between: Some(Window::new("08:00-20:00").unwrap()),
        except: except(&["2026-12-25", "2026-12-31..2027-01-01"]),
        splay: 90 * MINUTE,
        ..crons(&["0 */30 * * * *", "0 15 9 * * *"])
    };
    let texts = [full, every(30 * MINUTE, 5 * MINUTE), crons(&["@daily"])]
        .map(|spec| Timetable::new(spec).unwrap().describe());
    insta::assert_snapshot!(texts.join("\n"), @r"
    `0 */30 * * * *` and `0 15 9 * * *` in Europe/Warsaw, usually 30m apart, between 08:00-20:00, except 2026-12-25, 2026-12-31..2027-01-01, started up to 1h30m later
    every 30m from 5m past midnight in Europe/Warsaw
    `@daily` in Europe/Warsaw, usually 24h apart
    ");
}
