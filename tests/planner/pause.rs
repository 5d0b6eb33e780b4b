//! Pausing and resuming.

use super::*;

#[test]
fn the_slots_of_a_paused_job_are_skipped_saying_why() {
    let mut world = World::start("09:59:59", &[cron("a", "0 */10 * * * *")]);
    assert_eq!(world.pause("a", "stocktaking"), [""; 0]);
    assert_eq!(world.at("10:00"), ["skipped a 10:00:00 to 10:00:00 (1): paused: stocktaking"]);
    // Over a restart too.
    assert_eq!(world.restart("10:25"), ["skipped a 10:10:00 to 10:20:00 (2): paused: stocktaking"]);
    world.now = at("10:35");
    // What came due before the person resumed it was due in the pause.
    let said = world.resume("a");
    assert_eq!(said[1], "skipped a 10:30:00 to 10:30:00 (1): paused: stocktaking");
    assert_eq!(world.at("10:40")[0], "run a 10:40:00 due");
    assert_eq!(world.forgotten("a", "10:00", "10:41"), [""; 0]);
}

#[test]
fn a_pause_without_a_reason_is_one_all_the_same() {
    let mut world = World::start("09:59:59", &[cron("a", "0 */10 * * * *")]);
    world.pause("a", "");
    assert_eq!(world.at("10:00"), ["skipped a 10:00:00 to 10:00:00 (1): paused"]);
}

#[test]
fn a_run_that_goes_is_not_stopped_but_what_waits_is_skipped() {
    let job = with(cron("a", "0 */10 * * * *"), |policy| {
        policy.overlap = Overlap::Queue;
        policy.rerun = rerun(3, MINUTE);
    });
    let mut world = World::start("09:59:59", &[job, after("c", &["a"])]);
    world.at("10:00");
    world.at("10:10");
    assert_eq!(
        world.pause("a", "x"),
        ["skip a 10:10:00: paused: x", "skip c 10:10:00: its parent a was skipped"]
    );
    // No further attempt while it is paused.
    assert_eq!(world.ends("a", Outcome::Failed), ["skip c 10:00:00: its parent a failed"]);
}

#[test]
fn a_pause_ends_the_attempts_of_a_failed_slot() {
    let job = with(cron("a", "0 0 * * * *"), |policy| policy.rerun = rerun(3, MINUTE));
    let mut world = World::start("09:59:59", &[job, after("c", &["a"])]);
    world.at("10:00");
    world.ends("a", Outcome::Failed);
    assert_eq!(world.pause("a", "x"), ["skip c 10:00:00: its parent a failed"]);
    world.resume("a");
    assert_eq!(world.planner.wake(), Some(at("11:00")));
}

#[test]
fn a_paused_child_skips_its_parents_slots() {
    let mut world =
        World::start("09:59:59", &[cron("a", "0 0 * * * *"), after("c", &["a"]), after("d", &["c"])]);
    world.pause("c", "x");
    world.at("10:00");
    assert_eq!(
        world.ends("a", Outcome::Ok),
        ["skip c 10:00:00: paused: x", "skip d 10:00:00: its parent c was skipped"]
    );
}
