//! Single days: ordinary ones, the two nights of the year, and the odd ones.

use super::*;
use chrono_tz::{Africa, America, Antarctica, Australia, Europe, Pacific};

#[test]
fn the_shipped_schedules_have_these_many_slots_a_day() {
    let ordinary = "2026-06-10";
    let table = [
        ("0 */2 * * * *", None, [720, 690, 750]),
        ("0 * * * * *", None, [1440, 1380, 1500]),
        ("0 15 0 * * *", None, [1, 1, 1]),
        ("0 */10 * * * *", None, [144, 138, 150]),
        ("50 */10 * * * *", None, [144, 138, 150]),
        ("0 5-59/10 * * * *", None, [144, 138, 150]),
        ("40 */10 * * * *", None, [144, 138, 150]),
        ("0 */30 * * * *", Some("08:00-20:00"), [25, 25, 25]),
        ("0 5,35 8-19 * * *", None, [24, 24, 24]),
        ("* * * * * *", None, [86_400, 82_800, 90_000]),
    ];
    for (cron, window, counts) in table {
        let timetable = match window {
            Some(window) => between(cron, window, Europe::Warsaw),
            None => timetable(cron, Europe::Warsaw),
        };
        let counted = [ordinary, "2026-03-29", "2026-10-25"].map(|day| on(&timetable, day).len());
        assert_eq!(counted, counts, "{cron} {window:?}");
    }
}

#[test]
fn a_fixed_time_inside_the_gap_runs_once_right_after_it() {
    let table: [(&str, Tz, &str, &[&str]); 8] = [
        ("0 30 2 * * *", Europe::Madrid, "2026-03-29", &["03:00:00+02:00"]),
        ("0 15 2,3 * * *", Europe::Madrid, "2026-03-29", &["03:00:00+02:00", "03:15:00+02:00"]),
        ("0 15,45 2 * * *", Europe::Madrid, "2026-03-29", &["03:00:00+02:00"]),
        ("0 0 2,3 * * *", Europe::Madrid, "2026-03-29", &["03:00:00+02:00"]),
        // Half an hour only; and two hours at once.
        ("0 15 2 * * *", Australia::Lord_Howe, "2026-10-04", &["02:30:00+11:00"]),
        ("0 59 2 * * *", Antarctica::Troll, "2026-03-29", &["03:00:00+02:00"]),
        // Winter time is the one that is "saved" in Dublin; its clock moves like London's.
        ("0 30 1 * * *", Europe::Dublin, "2026-03-29", &["02:00:00+01:00"]),
        ("0 15 0,3 * * *", Europe::Warsaw, "2026-03-29", &["00:15:00+01:00", "03:15:00+02:00"]),
    ];
    for (cron, zone, day, slots) in table {
        assert_eq!(on(&timetable(cron, zone), day), slots, "{cron} {zone} {day}");
    }
}

#[test]
fn a_fixed_time_in_the_overlap_runs_at_its_first_pass() {
    let table: [(&str, Tz, &str, &[&str]); 5] = [
        ("0 30 2 * * *", Europe::Madrid, "2026-10-25", &["02:30:00+02:00"]),
        ("0 15 2,3 * * *", Europe::Madrid, "2026-10-25", &["02:15:00+02:00", "03:15:00+01:00"]),
        ("0 45 1 * * *", Australia::Lord_Howe, "2026-04-05", &["01:45:00+11:00"]),
        (
            "0 30 1,2,3 * * *",
            Antarctica::Troll,
            "2026-10-25",
            &["01:30:00+02:00", "02:30:00+02:00", "03:30:00+00:00"],
        ),
        ("0 30 1 * * *", Europe::Dublin, "2026-10-25", &["01:30:00+01:00"]),
    ];
    for (cron, zone, day, slots) in table {
        assert_eq!(on(&timetable(cron, zone), day), slots, "{cron} {zone} {day}");
    }
}

#[test]
fn an_interval_keeps_elapsing_through_both_nights() {
    let half_hours = between("0 */30 * * * *", "01:30-03:00", Europe::Madrid);
    assert_eq!(on(&half_hours, "2026-03-29"), ["01:30:00+01:00", "03:00:00+02:00"]);
    assert_eq!(
        on(&half_hours, "2026-10-25"),
        [
            "01:30:00+02:00",
            "02:00:00+02:00",
            "02:30:00+02:00",
            "02:00:00+01:00",
            "02:30:00+01:00",
            "03:00:00+01:00",
        ]
    );
    let lord_howe = between("0 */15 * * * *", "01:30-02:30", Australia::Lord_Howe);
    assert_eq!(on(&lord_howe, "2026-10-04"), ["01:30:00+10:30", "01:45:00+10:30", "02:30:00+11:00"]);
    assert_eq!(on(&lord_howe, "2026-04-05").len(), 7);
    // Neither a step that falls into the gap nor a range is moved behind it.
    assert_eq!(on(&timetable("0 30 2-2 * * *", Europe::Madrid), "2026-03-29"), [""; 0]);
}

#[test]
fn an_interval_that_comes_once_a_year_has_both_passes_too() {
    let yearly = timetable("0 */30 2 25 10 *", Europe::Madrid);
    assert_eq!(
        first(&yearly, "2026-01-01T00:00:00Z", 5),
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2027-10-25T02:00:00+02:00",
        ]
    );
}

#[test]
fn a_midnight_that_is_missing_comes_an_hour_later() {
    let santiago = timetable("0 0 0 * * *", America::Santiago);
    assert_eq!(
        first(&santiago, "2026-09-05T04:00:00Z", 3),
        ["2026-09-05T00:00:00-04:00", "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00",]
    );
    let cairo = timetable("@daily", Africa::Cairo);
    assert_eq!(first(&cairo, "2026-04-23T12:00:00Z", 1), ["2026-04-24T01:00:00+03:00"]);
}

#[test]
fn a_midnight_that_is_repeated_comes_once_and_so_does_the_evening_before() {
    // At 24:00 on 4 April 2026 the clock goes back to 23:00 of the same date.
    let santiago = timetable("0 0,30 0,23 * * *", America::Santiago);
    assert_eq!(
        first(&santiago, "2026-04-05T02:00:00Z", 4),
        [
            "2026-04-04T23:00:00-03:00",
            "2026-04-04T23:30:00-03:00",
            "2026-04-05T00:00:00-04:00",
            "2026-04-05T00:30:00-04:00",
        ]
    );
}

#[test]
fn a_date_that_does_not_exist_has_no_slots() {
    let daily = timetable("0 0 12 * * *", Pacific::Apia);
    assert_eq!(
        first(&daily, "2011-12-29T12:00:00Z", 3),
        ["2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00",]
    );
    let that_day = timetable("0 0 12 30 12 *", Pacific::Apia);
    assert_eq!(first(&that_day, "2011-01-01T00:00:00Z", 1), ["2012-12-30T12:00:00+14:00"]);
    let hourly = timetable("0 0 */6 * * *", Pacific::Apia);
    assert_eq!(
        first(&hourly, "2011-12-30T03:00:00Z", 2),
        ["2011-12-29T18:00:00-10:00", "2011-12-31T00:00:00+14:00",]
    );
}

#[test]
fn a_walk_may_start_inside_the_overlap() {
    let fixed = timetable("0 30 2 * * *", Europe::Warsaw);
    assert_eq!(first(&fixed, "2026-10-25T00:30:00Z", 1), ["2026-10-25T02:30:00+02:00"]);
    // The second pass is not due again, from whichever side one looks.
    for from in ["2026-10-25T00:30:01Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"] {
        assert_eq!(first(&fixed, from, 1), ["2026-10-26T02:30:00+01:00"], "{from}");
    }
    // Nor is a time that moved, once its instant is past.
    assert_eq!(first(&fixed, "2026-03-29T01:00:00Z", 1), ["2026-03-29T03:00:00+02:00"]);
    assert_eq!(first(&fixed, "2026-03-29T01:00:01Z", 1), ["2026-03-30T02:30:00+02:00"]);
}

#[test]
fn a_fraction_of_a_second_is_not_yet_the_slot_behind_it() {
    let every_second = timetable("* * * * * *", Europe::Warsaw);
    let from = instant("2026-01-01T00:00:00.250Z");
    let slots: Vec<_> = every_second.slots(from, instant("2026-01-01T00:00:02.001Z")).collect();
    assert_eq!(slots, ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"].map(instant));
    assert_eq!(every_second.slots(from, from).count(), 0);
    assert_eq!(every_second.slots(from, instant("2025-01-01T00:00:00Z")).count(), 0);
}

#[test]
fn rare_dates_are_found_years_ahead() {
    let leap_day = timetable("0 0 12 29 2 *", Europe::Warsaw);
    assert_eq!(
        first(&leap_day, "2026-01-01T00:00:00Z", 2),
        ["2028-02-29T12:00:00+01:00", "2032-02-29T12:00:00+01:00",]
    );
    assert_eq!(first(&leap_day, "2096-03-01T00:00:00Z", 1), ["2104-02-29T12:00:00+01:00"]);
    // A fifth Monday in February takes a leap year that starts on a Thursday.
    let fifth = timetable("0 0 12 * 2 MON#5", Europe::Warsaw);
    assert_eq!(first(&fifth, "2026-01-01T00:00:00Z", 1), ["2044-02-29T12:00:00+01:00"]);
}

#[test]
fn after_2099_a_zone_keeps_its_last_offset_and_after_9999_there_are_no_slots() {
    let noon = timetable("0 0 12 1 7 *", Europe::Warsaw);
    assert_eq!(
        first(&noon, "2099-01-01T00:00:00Z", 2),
        ["2099-07-01T12:00:00+02:00", "2100-07-01T12:00:00+01:00",]
    );
    let last = timetable("0 0 12 31 12 *", Europe::Warsaw);
    assert_eq!(first(&last, "9998-12-31T20:00:00Z", 5), ["9999-12-31T12:00:00+01:00"]);
    let forever =
        timetable("0 0 0 1 1 *", Europe::Warsaw).slots(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    assert_eq!(forever.count(), 9999);
}

#[test]
fn day_of_month_and_day_of_week_both_given_mean_either() {
    let either = timetable("0 0 9 13 * FRI", Europe::Warsaw);
    let dates: Vec<_> =
        first(&either, "2026-07-01T00:00:00Z", 6).iter().map(|at| at[8..10].to_owned()).collect();
    assert_eq!(dates, ["03", "10", "13", "17", "24", "31"]);
}

#[test]
fn last_nearest_and_counted_days_are_those_of_the_calendar() {
    let table = [
        ("0 0 9 L * *", ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ("0 0 9 LW * *", ["2026-01-30", "2026-02-27", "2026-03-31"]),
        ("0 0 9 15W * *", ["2026-01-15", "2026-02-16", "2026-03-16"]),
        ("0 0 9 1W * *", ["2026-01-01", "2026-02-02", "2026-03-02"]),
        ("0 0 9 * * FRIL", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("0 0 9 * * MON#2", ["2026-01-12", "2026-02-09", "2026-03-09"]),
        ("0 0 9 * * 7#1", ["2026-01-04", "2026-02-01", "2026-03-01"]),
    ];
    for (cron, dates) in table {
        let found = first(&timetable(cron, Europe::Warsaw), "2026-01-01T00:00:00Z", 3);
        assert_eq!(found.iter().map(|at| &at[..10]).collect::<Vec<_>>(), dates, "{cron}");
    }
}
