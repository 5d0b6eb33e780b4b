//! Further attempts for failed slots.

use super::*;

fn b2b_prices() -> Job {
    with(cron("prices", "0 15 0 * * *"), |policy| policy.rerun = rerun(3, 10 * MINUTE))
}

#[test]
fn an_erp_that_is_down_until_00_40_gets_its_prices_by_rerun() {
    let mut world = World::start("00:00", &[b2b_prices()]);
    assert_eq!(world.at("00:15"), ["run prices 00:15:00 due"]);
    world.at("00:15:02");
    assert_eq!(world.ends("prices", Outcome::Failed), [""; 0]);
    assert_eq!(world.planner.wake(), Some(at("00:25:02")));
    assert_eq!(world.at("00:25:01"), [""; 0]);
    assert_eq!(world.at("00:25:02"), ["run prices 00:15:00 rerun"]);
    world.ends("prices", Outcome::Failed);
    assert_eq!(world.at("00:35:02"), ["run prices 00:15:00 rerun"]);
    world.ends("prices", Outcome::Failed);
    // The ERP is up since 00:40.
    assert_eq!(world.at("00:45:02"), ["run prices 00:15:00 rerun"]);
    assert_eq!(world.ends("prices", Outcome::Ok), [""; 0]);
    let record = &world.page("prices").slots[&at("00:15")];
    assert_eq!((record.outcome, record.attempts), (Some(Outcome::Ok), 4));
    assert_eq!(world.planner.wake(), Some(at("03-03 00:15")));
}

#[test]
fn b2b_prices_killed_at_00_16_and_started_at_00_40_are_sent_that_night() {
    let mut world = World::start("00:00", &[b2b_prices()]);
    world.at("00:15");
    assert_eq!(world.restart("00:40"), ["run prices 00:15:00 catch-up"]);
    world.ends("prices", Outcome::Ok);
    assert_eq!(world.outcome("prices", "00:15"), Some(Outcome::Ok));
}

#[test]
fn after_the_last_attempt_the_slot_stays_failed() {
    let mut world = World::start("00:00", &[b2b_prices()]);
    world.at("00:15");
    for attempt in ["00:15", "00:25", "00:35", "00:45"] {
        world.at(attempt);
        assert_eq!(world.ends("prices", Outcome::Failed), [""; 0]);
    }
    assert_eq!(world.at("01:30"), [""; 0]);
    assert_eq!(world.page("prices").slots[&at("00:15")].attempts, 4);
    assert_eq!(world.outcome("prices", "00:15"), Some(Outcome::Failed));
}

#[test]
fn attempts_end_when_the_next_slot_is_due() {
    let job = with(cron("a", "0 */5 * * * *"), |policy| policy.rerun = rerun(9, 2 * MINUTE));
    let mut world = World::start("10:00", &[job]);
    world.at("10:05");
    world.ends("a", Outcome::Failed);
    assert_eq!(world.at("10:07"), ["run a 10:05:00 rerun"]);
    world.at("10:08:30");
    // The next attempt would come at 10:10:30, after the next slot.
    world.ends("a", Outcome::Failed);
    assert_eq!(world.planner.wake(), Some(at("10:10")));
    // An attempt that waits is cancelled by the next slot.
    world.at("10:10");
    world.ends("a", Outcome::Failed);
    assert_eq!(world.planner.wake(), Some(at("10:12")));
    assert_eq!(world.jump("10:15")[1], "run a 10:15:00 due");
    world.ends("a", Outcome::Ok);
    assert_eq!(world.outcome("a", "10:10"), Some(Outcome::Failed));
}

#[test]
fn a_run_that_fails_after_its_next_slot_came_gets_no_further_attempt() {
    let job = with(cron("a", "0 */5 * * * *"), |policy| policy.rerun = rerun(9, MINUTE));
    let mut world = World::start("10:00", &[job]);
    world.at("10:05");
    assert!(world.at("10:10")[0].starts_with("skip a 10:10:00: overlap"));
    world.at("10:11");
    world.ends("a", Outcome::Failed);
    assert_eq!(world.planner.wake(), Some(at("10:15")));
}

#[test]
fn an_outcome_other_than_failed_is_not_tried_again() {
    for outcome in [Outcome::Ok, Outcome::Partial, Outcome::Interrupted] {
        let mut world = World::start("00:00", &[b2b_prices()]);
        world.at("00:15");
        world.ends("prices", outcome);
        assert_eq!(world.planner.wake(), Some(at("03-03 00:15")), "{outcome}");
    }
}

#[test]
fn a_restart_goes_on_with_the_attempts_where_they_were() {
    let mut world = World::start("00:00", &[b2b_prices()]);
    world.at("00:15");
    world.ends("prices", Outcome::Failed);
    assert_eq!(world.restart("00:20"), [""; 0]);
    assert_eq!(world.planner.wake(), Some(at("00:25")));
    assert_eq!(world.restart("00:40"), ["run prices 00:15:00 rerun"]);
    world.ends("prices", Outcome::Failed);
    // Down until the next slot is due: that one is run instead.
    assert_eq!(world.restart("03-03 00:15:10"), ["run prices 2026-03-03 00:15:00 due"]);
}

#[test]
fn children_follow_the_attempt_that_goes_through() {
    let mut world = World::start("00:00", &[b2b_prices(), after("c", &["prices"])]);
    world.at("00:15");
    assert_eq!(world.ends("prices", Outcome::Failed), [""; 0]);
    world.at("00:25");
    assert_eq!(world.ends("prices", Outcome::Ok), ["run c 00:15:00 after"]);
}

#[test]
fn children_of_a_finally_failed_parent_are_skipped_saying_which() {
    let job = with(cron("p", "0 */5 * * * *"), |policy| policy.rerun = rerun(1, MINUTE));
    let jobs = [job, after("c", &["p"]), after("d", &["c"])];
    let skipped = |slot: &str| {
        [format!("skip c {slot}: its parent p failed"), format!("skip d {slot}: its parent c was skipped")]
    };
    // By its last attempt.
    let mut world = World::start("10:00", &jobs);
    world.at("10:05");
    assert_eq!(world.ends("p", Outcome::Failed), [""; 0]);
    world.at("10:06");
    assert_eq!(world.ends("p", Outcome::Failed), skipped("10:05:00"));
    // By the next slot.
    world.at("10:10");
    world.ends("p", Outcome::Failed);
    let said = world.jump("10:15");
    assert_eq!(said[1..3], skipped("10:10:00"));
    assert_eq!(said[3], "run p 10:15:00 due");
    // By a process that ended before it could say so.
    world.ends("p", Outcome::Failed);
    let said = world.restart("10:20:01");
    assert_eq!(said[..2], skipped("10:15:00"));
    assert_eq!(said[2], "run p 10:20:00 due");
}
