//! The grammar: what is read, what is refused, and where the error points.

use super::*;
use chrono_tz::Europe;

#[test]
fn these_pairs_mean_the_same() {
    let pairs = [
        ("15 0 * * *", "0 15 0 * * *"),
        ("0 5/10 * * * *", "0 5-59/10 * * * *"),
        ("0 0/30 * * * *", "0 */30 * * * *"),
        ("0 5/1 8 * * *", "0 5-59 8 * * *"),
        ("0 0 8 * jan,MAR mon-Fri", "0 0 8 * 1,3 1-5"),
        ("0 0 8 * * FRI-SUN", "0 0 8 * * 5,6,0"),
        ("0 0 8 * * 7", "0 0 8 * * SUN"),
        ("0 0,* 8 * * *", "0 * 8 * * *"),
        ("  0\t00 08 *  * * ", "0 0 8 * * *"),
        ("0 0 8 l * *", "0 0 8 L * *"),
        ("0 0 8 * * 5L", "0 0 8 * * FRIL"),
        ("@hourly", "0 0 * * * *"),
        ("@daily", "0 0 0 * * *"),
        ("@Midnight", "0 0 0 * * *"),
        ("@weekly", "0 0 0 * * SUN"),
        ("@monthly", "0 0 0 1 * *"),
        ("@yearly", "0 0 0 1 1 *"),
        ("@annually", "0 0 0 1 1 *"),
    ];
    for (one, other) in pairs {
        let slots =
            [one, other].map(|cron| first(&timetable(cron, Europe::Warsaw), "2026-01-01T00:00:00Z", 200));
        assert_eq!(slots[0], slots[1], "{one} and {other}");
        assert_eq!(slots[0].len(), 200);
    }
}

#[test]
fn a_star_a_range_or_a_step_in_the_clock_makes_an_interval() {
    use Rhythm::{Fixed, Interval};
    let table = [
        ("0 15 0 * * *", Fixed),
        ("0 0,30 8,9 * * *", Fixed),
        ("30 2 1-7 * MON-FRI", Fixed),
        ("@daily", Fixed),
        ("@hourly", Interval),
        ("0 0 8-9 * * *", Interval),
        ("0 0,30-40 8 * * *", Interval),
        ("0 5/10 8 * * *", Interval),
        ("0 0 */24 * * *", Interval),
        ("* 0 8 * * *", Interval),
    ];
    for (cron, rhythm) in table {
        assert_eq!(CronExpr::new(cron).unwrap().rhythm(), rhythm, "{cron}");
    }
}

#[test]
fn what_is_refused_is_pointed_at() {
    use CronField::{DayOfMonth, DayOfWeek, Expression, Hour, Minute, Month, Second};
    let table = [
        ("", Expression, ""),
        ("0 0 8 *", Expression, "0 0 8 *"),
        ("0 0 8 * * * 2026", Expression, "2026"),
        ("@reboot", Expression, "@reboot"),
        ("60 0 8 * * *", Second, "60"),
        ("0 61 8 * * *", Minute, "61"),
        ("61 8 * * *", Minute, "61"),
        ("0 0,15,99 8 * * *", Minute, "99"),
        ("0 0 24 * * *", Hour, "24"),
        ("0 0 22-6 * * *", Hour, "22-6"),
        ("0 0 8 0 * *", DayOfMonth, "0"),
        ("0 0 8 32 * *", DayOfMonth, "32"),
        ("0 0 8 * 13 *", Month, "13"),
        ("0 0 8 * * 8", DayOfWeek, "8"),
        ("0 */0 8 * * *", Minute, "*/0"),
        ("0 */61 8 * * *", Minute, "*/61"),
        ("0 /10 8 * * *", Minute, "/10"),
        ("0 5/ 8 * * *", Minute, "5/"),
        ("0 5/2/2 8 * * *", Minute, "5/2/2"),
        ("0 1-2-3 8 * * *", Minute, "1-2-3"),
        ("0 -5 8 * * *", Minute, "-5"),
        ("0 +5 8 * * *", Minute, "+5"),
        ("0 5,,6 8 * * *", Minute, ","),
        ("0 5, 8 * * *", Minute, ","),
        ("0 MON 8 * * *", Minute, "MON"),
        ("0 0 8 * MON *", Month, "MON"),
        ("0 0 8 * 1JAN *", Month, "1JAN"),
        ("0 0 8 * * JAN", DayOfWeek, "JAN"),
        ("0 0 8 * * MONTAG", DayOfWeek, "MONTAG"),
        ("0 0 L * * *", Hour, "L"),
        ("0 0 8 ? * MON", DayOfMonth, "?"),
        ("0 0 8 1 * +MON", DayOfWeek, "+MON"),
        ("0 0 8 15W5 * *", DayOfMonth, "15W5"),
        ("0 0 8 15L * *", DayOfMonth, "15L"),
        ("0 0 8 L-3 * *", DayOfMonth, "L-3"),
        ("0 0 8 L,LW * *", DayOfMonth, "L,LW"),
        ("0 0 8 * * L", DayOfWeek, "L"),
        ("0 0 8 * * MON#6", DayOfWeek, "MON#6"),
        ("0 0 8 * * MON#2L", DayOfWeek, "MON#2L"),
        ("0 0 8 * * FRI-MON", DayOfWeek, "FRI-MON"),
        ("0 0 ż * * *", Hour, "ż"),
        ("ż 0 8 * * *", Second, "ż"),
        // Never due.
        ("0 0 8 30 2 *", DayOfMonth, "30"),
        ("0 0 8 31 4,6,9,11 *", DayOfMonth, "31"),
        ("0 0 8 30W FEB *", DayOfMonth, "30W"),
    ];
    for (cron, field, part) in table {
        let error = CronExpr::new(cron).unwrap_err();
        let pointed: String = cron.chars().skip(error.offset).take(error.length).collect();
        assert_eq!((error.field, pointed.as_str()), (field, part), "{cron}: {error}");
    }
}

#[test]
fn an_error_says_what_to_write_instead() {
    let messages =
        ["0 61 8 * * *", "0 0 22-6 * * *", "0 0 8 * * L", "0 0 8 30 2 *", "0 0 8 1 * * 2026", "@noon"]
            .map(|cron| CronExpr::new(cron).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"), @r"
    minute, character 3: `61` is not a minute: write 0 to 59
    hour, character 5: the range `22-6` runs backwards; write `22-23,0-6`
    day-of-week, character 11: `L` needs its weekday: `FRIL` is the last Friday of the month
    day-of-month, character 7: no such date ever comes in the months given, so it would never be due
    expression, character 13: `2026` is one field too many: a cron expression has 5 or 6, and no year
    expression, character 1: `@noon` is not one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually
    ");
}

#[test]
fn a_wider_character_before_the_error_counts_as_one() {
    let error = CronExpr::new("0\u{2003}61 8 * * *").unwrap_err();
    assert_eq!((error.offset, error.length), (2, 2));
}
