//! Jobs that follow others.

use super::*;

#[test]
fn a_child_runs_for_its_parents_nominal_time() {
    let mut world = World::start("10:00", &[cron("p", "0 */10 * * * *"), after("c", &["p"])]);
    world.at("10:10");
    world.at("10:13:20");
    assert_eq!(world.ends("p", Outcome::Partial), ["run c 10:10:00 after"]);
}

#[test]
fn a_child_of_two_follows_each_of_them() {
    let jobs = [cron("p", "0 */10 * * * *"), cron("q", "0 5 * * * *"), after("c", &["p", "q"])];
    let mut world = World::start("10:00", &jobs);
    world.at("10:05");
    assert_eq!(world.ends("q", Outcome::Ok), ["run c 10:05:00 after"]);
    world.ends("c", Outcome::Ok);
    world.at("10:10");
    assert_eq!(world.ends("p", Outcome::Ok), ["run c 10:10:00 after"]);
}

#[test]
fn two_parents_of_the_same_instant_bring_two_slots() {
    let jobs = [cron("p", "0 */10 * * * *"), cron("q", "0 */10 * * * *"), after("c", &["p", "q"])];
    let mut world = World::start("10:09:59", &jobs);
    world.at("10:10");
    assert_eq!(world.ends("p", Outcome::Ok), ["run c 10:10:00 after"]);
    // The second one comes while the child runs: nothing else would make up for it, so it waits.
    assert_eq!(world.ends("q", Outcome::Ok), ["wait c 10:10:01"]);
    assert_eq!(world.ends("c", Outcome::Ok), ["run c 10:10:01 after"]);
    world.ends("c", Outcome::Ok);
    // One fails, one goes through.
    world.at("10:20");
    assert_eq!(world.ends("p", Outcome::Failed), ["skip c 10:20:00: its parent p failed"]);
    assert_eq!(world.ends("q", Outcome::Ok), ["run c 10:20:01 after"]);
    world.ends("c", Outcome::Ok);
    // The other way round.
    world.at("10:30");
    assert_eq!(world.ends("q", Outcome::Ok), ["run c 10:30:00 after"]);
    assert_eq!(world.ends("p", Outcome::Failed), ["skip c 10:30:01: its parent p failed"]);
}

#[test]
fn the_second_parent_of_an_instant_is_not_lost_to_a_restart() {
    let jobs = [cron("p", "0 */10 * * * *"), cron("q", "0 */10 * * * *"), after("c", &["p", "q"])];
    let mut world = World::start("10:09:59", &jobs);
    world.at("10:10");
    world.ends("p", Outcome::Ok);
    world.ends("c", Outcome::Ok);
    assert_eq!(world.restart("10:12"), ["run q 10:10:00 catch-up"]);
    assert_eq!(world.ends("q", Outcome::Ok), ["refused c 10:10:00", "run c 10:10:01 after"]);
}

#[test]
fn a_parent_that_does_not_run_takes_its_children_with_it() {
    let jobs = || {
        let mut parent = cron("p", "0 */10 * * * *");
        parent.policy.catch_up = CatchUp::Skip;
        [parent, after("c", &["p"]), after("d", &["c"])]
    };
    // Skipped for overlap.
    let mut world = World::start("10:09:59", &jobs());
    world.at("10:10");
    let said = world.at("10:20");
    assert_eq!(
        said[1..],
        ["skip c 10:20:00: its parent p was skipped", "skip d 10:20:00: its parent c was skipped"]
    );
    // Cut off for good, and missed.
    let said = world.restart("10:45");
    let missed = "came due while nobody could run it; catch-up is `skip`";
    assert_eq!(
        said,
        [
            "cut off p 10:10:00",
            &format!("missed p 10:30:00 to 10:40:00 (2): {missed}"),
            "skip c 10:10:00: its parent p was interrupted",
            "skipped c 10:30:00 to 10:40:00 (2): its parent p was missed",
            "skip d 10:10:00: its parent c was skipped",
            "skipped d 10:30:00 to 10:40:00 (2): its parent c was skipped",
        ]
    );
    // Paused.
    world.pause("p", "stocktaking");
    let said = world.at("10:50");
    assert_eq!(
        said[1..],
        [
            "skipped c 10:50:00 to 10:50:00 (1): its parent p was skipped",
            "skipped d 10:50:00 to 10:50:00 (1): its parent c was skipped"
        ]
    );
}

#[test]
fn a_chain_runs_link_by_link_and_survives_a_crash_between() {
    let mut world =
        World::start("10:09:59", &[cron("p", "0 0,10 * * * *"), after("c", &["p"]), after("d", &["c"])]);
    world.at("10:10");
    assert_eq!(world.ends("p", Outcome::Ok), ["run c 10:10:00 after"]);
    assert_eq!(world.restart("10:11"), ["run c 10:10:00 catch-up"]);
    assert_eq!(world.ends("c", Outcome::Ok), ["run d 10:10:00 after"]);
    assert_eq!(world.ends("d", Outcome::Ok), [""; 0]);
}

#[test]
fn the_children_of_a_made_up_slot_run_for_that_slot() {
    let mut world = World::start("10:09:59", &[cron("p", "0 */10 * * * *"), after("c", &["p"])]);
    world.restart("10:25");
    assert_eq!(world.ends("p", Outcome::Ok), ["run c 10:20:00 after"]);
    assert_eq!(world.outcome("c", "10:10"), Some(Outcome::Skipped));
}

#[test]
fn a_slow_child_follows_its_parents_latest_slot() {
    let mut world = World::start("10:00", &[cron("p", "0 */10 * * * *"), after("c", &["p"])]);
    for slot in ["10:10", "10:20", "10:30"] {
        world.at(slot);
        world.ends("p", Outcome::Ok);
    }
    assert_eq!(world.outcome("c", "10:20"), Some(Outcome::Skipped));
    assert_eq!(world.ends("c", Outcome::Ok), ["run c 10:30:00 after"]);
}
