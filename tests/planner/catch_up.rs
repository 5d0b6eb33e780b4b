//! Slots that came due while nobody could run them, and slots that are merely late.

use super::*;

fn down_from_10_to(until: &str, policy: CatchUp, window: Option<Duration>) -> Vec<String> {
    let job = cron("a", "0 */10 * * * *");
    let job = with(job, |policy_| (policy_.catch_up, policy_.catch_up_window) = (policy, window));
    let mut world = World::start("09:55", &[job]);
    assert_eq!(world.at("10:00"), ["run a 10:00:00 due"]);
    world.ends("a", Outcome::Ok);
    let said = world.restart(until);
    assert_eq!(world.forgotten("a", "10:00", until), [""; 0]);
    said
}

#[test]
fn three_missed_slots_end_as_catch_up_says() {
    use CatchUp::{All, Latest, Skip};
    let missed = "missed a 10:10:00 to 10";
    let why = "came due while nobody could run it";
    let said = |last: &str, reason: &str| format!("{missed}:{last}: {why}; {reason}");
    assert_eq!(down_from_10_to("10:35", Skip, None), [said("30:00 (3)", "catch-up is `skip`")]);
    let latest = said("20:00 (2)", "catch-up runs the latest slot only");
    assert_eq!(down_from_10_to("10:35", Latest, None), [latest.as_str(), "run a 10:30:00 catch-up"]);
    let all = ["wait a 10:20:00", "wait a 10:30:00", "run a 10:10:00 catch-up"];
    assert_eq!(down_from_10_to("10:35", All, None), all);
    // A slot that is on time runs as such; there is nothing left to make up for.
    let on_time = [latest.as_str(), "run a 10:30:00 due"];
    assert_eq!(down_from_10_to("10:30:30", Latest, None), on_time);
    assert_eq!(down_from_10_to("10:30:31", Latest, None)[1], "run a 10:30:00 catch-up");
    assert_eq!(down_from_10_to("10:30:10", Skip, None)[1], "run a 10:30:00 due");
    assert_eq!(down_from_10_to("10:30:10", All, None), all);
    // Nothing was missed.
    for policy in [Skip, Latest, All] {
        assert_eq!(down_from_10_to("10:09:59", policy, None), [""; 0]);
    }
}

#[test]
fn what_is_older_than_the_window_is_missed() {
    use CatchUp::{All, Latest};
    let window = Some(15 * MINUTE);
    let older =
        "missed a 10:10:00 to 10:10:00 (1): came due while nobody could run it; older than catch-up reaches";
    assert_eq!(down_from_10_to("10:35", All, window), [older, "wait a 10:30:00", "run a 10:20:00 catch-up"]);
    // The window's edge still counts.
    assert_eq!(down_from_10_to("10:35:01", All, window)[1], "run a 10:30:00 catch-up");
    let short = Some(Duration::from_secs(60));
    assert_eq!(down_from_10_to("10:35", Latest, short).len(), 1, "10:30 is older than a minute");
}

#[test]
fn the_window_is_a_day_or_two_intervals_whichever_is_longer() {
    for (expression, last, within, beyond) in [
        ("0 */10 * * * *", "03-02 10:00", "03-03 09:59", "03-03 10:00:01"),
        ("0 0 10 * * *", "03-02 10:00", "03-03 09:59", "03-04 10:00:01"),
        ("0 0 10 * * MON", "03-02 10:00", "03-09 09:59", "03-16 10:00:01"),
    ] {
        let timetable = cron("a", expression).trigger.timetable().unwrap().clone();
        let window = cadenced::schedule::Policy::default().catch_up_window(Some(&timetable));
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(window, day.max(2 * timetable.interval_hint()), "{expression}");
        let age = |until: &str| (at(until) - at(last)).to_std().unwrap();
        assert!(age(within) <= window, "{expression}");
        assert!(expression.contains("MON") || age(beyond) > day, "{expression}");
    }
    // A weekly slot of Monday survives until Wednesday.
    let mut world = World::start("03-01 10:00", &[cron("a", "0 0 10 * * MON")]);
    assert_eq!(world.restart("03-04 09:00"), ["run a 10:00:00 catch-up"]);
}

#[test]
fn all_makes_up_for_the_latest_hundred_in_nominal_order() {
    let job = with(cron("a", "0 * * * * *"), |policy| policy.catch_up = CatchUp::All);
    let mut world = World::start("07:59:30", &[job]);
    let said = world.restart("10:00:45");
    // 08:00 to 10:00 are 121 slots.
    let missed =
        "missed a 08:00:00 to 08:20:00 (21): came due while nobody could run it; older than catch-up reaches";
    assert_eq!(said[0], missed);
    assert_eq!((said.len(), said[100].as_str()), (101, "run a 08:21:00 catch-up"));
    for minute in 22..=120 {
        let slot = told(at("08:00") + MINUTE * minute);
        assert_eq!(world.ends("a", Outcome::Ok), [format!("run a {slot} catch-up")]);
    }
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
    assert_eq!(world.forgotten("a", "08:00", "10:01"), [""; 0]);
}

#[test]
fn a_made_up_slot_does_not_skip_another() {
    let job = with(cron("a", "0 */10 * * * *"), |policy| policy.catch_up = CatchUp::All);
    let mut world = World::start("09:55", &[job]);
    world.restart("10:25");
    // The run for 10:00 goes past two more slots: those that are made up for stay, the new ones meet `overlap`.
    assert_eq!(
        world.at("10:30"),
        ["skip a 10:30:00: overlap: the run for the slot 2026-03-02T10:00:00Z was still going"]
    );
    assert_eq!(world.ends("a", Outcome::Failed), ["run a 10:10:00 catch-up"]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run a 10:20:00 catch-up"]);
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
}

#[test]
fn a_timer_that_is_late_by_seconds_loses_nothing() {
    let mut world = World::start("09:59:59", &[cron("a", "0 * * * * *")]);
    assert_eq!(world.at("10:00:29"), ["run a 10:00:00 due"]);
    // Seconds that nobody saw are missed; the latest is on time.
    let mut world = World::start("09:59:59", &[cron("s", "* * * * * *")]);
    let said = world.at("10:00:02");
    assert!(said[0].starts_with("missed s 10:00:00 to 10:00:01 (2)"), "{said:?}");
    assert_eq!(said[1], "run s 10:00:02 due");
}

#[test]
fn a_job_never_seen_before_has_missed_nothing() {
    let mut world = World::start("10:05", &[cron("a", "0 */10 * * * *")]);
    // Its first slot is missed when the process ends before it: the start was written down.
    assert_eq!(world.restart("10:12"), ["run a 10:10:00 catch-up"]);
}
