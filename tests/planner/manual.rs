//! Runs that a person asks for.

use super::*;

#[test]
fn a_run_by_hand_starts_at_once_and_costs_no_nominal_slot() {
    let mut world = World::start("10:00", &[cron("a", "0 */10 * * * *")]);
    world.at("10:09:59");
    assert_eq!(world.trigger("a").unwrap(), ["run a 10:09:59 manual"]);
    world.ends("a", Outcome::Ok);
    assert_eq!(
        world.trigger("a").unwrap(),
        ["run a 10:10:01 manual"],
        "10:09:59 is taken, and 10:10:00 the job's own"
    );
    world.ends("a", Outcome::Ok);
    assert_eq!(world.at("10:10"), ["run a 10:10:00 due"]);
}

#[test]
fn in_the_second_of_a_slot_that_is_still_to_be_decided_it_takes_another() {
    let mut world = World::start("10:00", &[cron("a", "0 */10 * * * *")]);
    world.now = at("10:10");
    assert_eq!(world.trigger("a").unwrap(), ["run a 10:10:01 manual"]);
    world.ends("a", Outcome::Ok);
    assert_eq!(world.jump("10:10")[1], "run a 10:10:00 due");
}

#[test]
fn a_job_due_every_second_is_run_by_hand_for_a_slot_of_its_own() {
    let mut world = World::start("10:00", &[cron("s", "* * * * * *")]);
    world.at("10:00:01");
    world.ends("s", Outcome::Ok);
    assert_eq!(world.trigger("s").unwrap(), ["run s 10:00:02 manual"]);
    world.ends("s", Outcome::Ok);
    assert_eq!(world.at("10:00:02"), [""; 0], "this slot has had its run");
    assert_eq!(world.at("10:00:03"), ["run s 10:00:03 due"]);
}

#[test]
fn a_job_that_runs_or_waits_is_busy() {
    let mut world = World::start("09:59:59", &[cron("a", "0 * * * * *")]);
    world.at("10:00");
    let busy = world.trigger("a").unwrap_err();
    assert!(
        busy.starts_with("a is already running or waiting for its turn, for the slot 2026-03-02 10:00:00"),
        "{busy}"
    );
}

#[test]
fn a_disabled_job_runs_once_by_hand_and_its_children_follow() {
    let mut world = World::start("09:59:59", &[disabled(cron("a", "0 * * * * *")), after("c", &["a"])]);
    assert_eq!(world.at("10:00"), [""; 0]);
    assert_eq!(world.trigger("a").unwrap(), ["run a 10:00:00 manual"]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run c 10:00:00 after"]);
    assert_eq!(world.at("10:01"), [""; 0]);
}

#[test]
fn a_paused_job_can_be_run_by_hand() {
    let mut world = World::start("09:59:59", &[cron("a", "0 * * * * *")]);
    world.pause("a", "x");
    assert_eq!(world.trigger("a").unwrap(), ["run a 09:59:59 manual"]);
}

#[test]
fn a_run_by_hand_takes_the_place_of_the_attempts_of_a_failed_slot() {
    let job = with(cron("a", "0 0 * * * *"), |policy| policy.rerun = rerun(3, 10 * MINUTE));
    let mut world = World::start("09:59:59", &[job, after("c", &["a"])]);
    world.at("10:00");
    world.ends("a", Outcome::Failed);
    assert_eq!(
        world.trigger("a").unwrap(),
        ["skip c 10:00:00: its parent a failed", "run a 10:00:01 manual"]
    );
    assert_eq!(world.ends("a", Outcome::Ok), ["run c 10:00:01 after"]);
    assert_eq!(world.planner.wake(), Some(at("11:00")));
}

#[test]
fn what_can_not_run_is_refused() {
    let mut unconfigured = cron("u", "0 * * * * *");
    unconfigured.work = cadenced::job::Work::Unconfigured;
    let mut world = World::start("10:00:30", &[unconfigured, job("m", Trigger::Manual)]);
    assert!(world.trigger("u").unwrap_err().contains("ends are still to be configured"));
    assert_eq!(world.trigger("m").unwrap(), ["run m 10:00:30 manual"]);
    world.ends("m", Outcome::Ok);
    world.planner.stop();
    assert_eq!(world.trigger("m").unwrap_err(), "the daemon is stopping");
}
