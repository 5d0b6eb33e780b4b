//! Slots that come while the last run still goes.

use super::*;

#[test]
fn by_default_a_slot_that_comes_while_a_run_goes_is_skipped() {
    let mut world = World::start("10:00", &[cron("a", "0 */2 * * * *")]);
    assert_eq!(world.at("10:02"), ["run a 10:02:00 due"]);
    let why = "overlap: the run for the slot 2026-03-02T10:02:00Z was still going";
    assert_eq!(world.at("10:04"), [format!("skip a 10:04:00: {why}")]);
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
    assert_eq!(world.at("10:06"), ["run a 10:06:00 due"]);
}

#[test]
fn the_queue_holds_one_slot_the_latest() {
    let job = with(cron("a", "0 */2 * * * *"), |policy| policy.overlap = Overlap::Queue);
    let mut world = World::start("10:00", &[job]);
    world.at("10:02");
    assert_eq!(world.at("10:04"), ["wait a 10:04:00"]);
    let why = "overlap: a later slot took its place in the queue";
    assert_eq!(world.at("10:06"), [format!("skip a 10:04:00: {why}"), "wait a 10:06:00".to_owned()]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run a 10:06:00 due"]);
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
}

#[test]
fn two_jobs_do_not_overlap_each_other() {
    let mut world = World::start("10:00", &[cron("a", "0 */2 * * * *"), cron("b", "0 */2 * * * *")]);
    assert_eq!(world.at("10:02"), ["run a 10:02:00 due", "run b 10:02:00 due"]);
    world.ends("b", Outcome::Ok);
    let said = world.at("10:04");
    assert!(said[0].starts_with("skip a 10:04:00"), "{said:?}");
    assert_eq!(said[1], "run b 10:04:00 due");
}
