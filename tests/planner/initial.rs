//! The first import: one successful run ever.

use super::*;

#[test]
fn it_runs_at_once_and_never_again() {
    let mut world = World::start("10:00:07", &[initial("i", &[])]);
    assert_eq!(world.at("10:00:08"), [""; 0], "it started with the daemon");
    assert_eq!(world.running[&name("i")].slot.at, at("10:00:07"));
    world.ends("i", Outcome::Ok);
    assert_eq!(world.at("10:00:09"), [""; 0]);
    assert_eq!(world.restart("11:00"), [""; 0]);
    let refused = world.trigger("i").unwrap_err();
    assert_eq!(refused, "i has had its one successful run; to run it again: cadenced trigger i --again");
    assert_eq!(world.trigger_how("i", true).unwrap(), ["run i 11:00:00 manual"]);
}

#[test]
fn until_it_succeeds_each_start_tries_once_more() {
    let mut world = World::start("10:00", &[initial("i", &[])]);
    world.ends("i", Outcome::Failed);
    assert_eq!(world.at("10:00:10"), [""; 0]);
    assert_eq!(world.restart("10:10"), ["run i 10:10:00 due"]);
    // Killed in the middle: the same slot goes on.
    assert_eq!(world.restart("10:20"), ["run i 10:10:00 catch-up"]);
    world.ends("i", Outcome::Partial);
    assert_eq!(world.restart("10:30"), [""; 0]);
}

#[test]
fn a_failed_first_import_is_tried_again_as_rerun_says() {
    let job = with(initial("i", &[]), |policy| policy.rerun = rerun(2, MINUTE));
    let mut world = World::start("10:00", &[job]);
    world.ends("i", Outcome::Failed);
    assert_eq!(world.restart("10:00:30"), [""; 0]);
    assert_eq!(world.at("10:01"), ["run i 10:00:00 rerun"]);
    assert_eq!(world.ends("i", Outcome::Ok), [""; 0]);
}

#[test]
fn a_run_by_hand_counts_as_the_one() {
    let mut world = World::start("10:00", &[initial("i", &[])]);
    world.ends("i", Outcome::Failed);
    world.at("10:00:20");
    assert_eq!(world.trigger("i").unwrap(), ["run i 10:00:20 manual"]);
    world.ends("i", Outcome::Ok);
    assert_eq!(world.restart("11:00"), [""; 0]);
}

#[test]
fn first_imports_wait_for_each_other() {
    let jobs = [
        initial("warehouses", &[]),
        initial("products", &["warehouses"]),
        initial("stocks", &["warehouses", "products"]),
    ];
    let mut world = World::start("10:00", &jobs);
    assert_eq!(world.running.len(), 1);
    world.at("10:00:20");
    assert_eq!(world.ends("warehouses", Outcome::Failed), [""; 0]);
    assert_eq!(world.restart("10:01"), ["run warehouses 10:01:00 due"]);
    assert_eq!(world.ends("warehouses", Outcome::Ok), ["run products 10:01:00 due"]);
    // What succeeded stays so: the third one needs only the second after this restart.
    assert_eq!(world.restart("10:02"), ["run products 10:01:00 catch-up"]);
    assert_eq!(world.ends("products", Outcome::Ok), ["run stocks 10:02:00 due"]);
    world.ends("stocks", Outcome::Ok);
    assert_eq!(world.restart("10:03"), [""; 0]);
}

#[test]
fn a_first_import_waits_for_a_disabled_one_until_that_was_run_by_hand() {
    let mut world = World::start("10:00", &[disabled(initial("a", &[])), initial("b", &["a"])]);
    assert_eq!(world.at("10:00:01"), [""; 0]);
    world.trigger("a").unwrap();
    assert_eq!(world.ends("a", Outcome::Ok), ["run b 10:00:01 due"]);
    let refused = world.trigger("a").unwrap_err();
    assert!(refused.contains("--again"), "{refused}");
}

#[test]
fn two_starts_within_a_second_are_two_slots() {
    let mut world =
        World::start("10:00", &[with(initial("i", &[]), |policy| policy.catch_up = CatchUp::Skip)]);
    world.books.page(&name("i"));
    // The first one was skipped by a pause, which has been taken back.
    world.ends("i", Outcome::Failed);
    assert_eq!(world.restart("10:00"), ["run i 10:00:00 due"], "a failed slot may be run again");
    world.pause("i", "");
    assert_eq!(world.restart("10:00"), ["cut off i 10:00:00"]);
    assert_eq!(world.resume("i"), ["run i 10:00:00 due"]);
}

#[test]
fn a_paused_first_import_runs_when_it_is_resumed() {
    let mut world = World::start("10:00", &[]);
    world.jobs = by_name(&[initial("i", &[])]);
    world.books.page(&name("i")).paused = Some("not yet".to_owned());
    assert_eq!(world.restart("10:01"), [""; 0]);
    assert_eq!(world.at("10:01:10"), [""; 0]);
    assert_eq!(world.resume("i"), ["run i 10:01:10 due"]);
}
