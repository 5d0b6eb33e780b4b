//! What a process leaves behind is taken up by the next one.

use super::*;

fn every_ten(catch_up: CatchUp) -> Job {
    with(cron("a", "0 */10 * * * *"), |policy| policy.catch_up = catch_up)
}

#[test]
fn an_interrupted_slot_is_attempted_again_inside_the_window_unless_catch_up_is_skip() {
    for (catch_up, restart, said) in [
        (CatchUp::Latest, "10:05", "run a 10:00:00 catch-up"),
        (CatchUp::All, "10:05", "run a 10:00:00 catch-up"),
        (CatchUp::Skip, "10:05", "cut off a 10:00:00"),
        // Even a moment later: the run was under way.
        (CatchUp::Skip, "10:00:05", "cut off a 10:00:00"),
        (CatchUp::Latest, "03-03 09:55", "run a 10:00:00 catch-up"),
        (CatchUp::Latest, "03-03 10:05", "cut off a 10:00:00"),
    ] {
        let mut world = World::start("09:59:59", &[every_ten(catch_up)]);
        world.at("10:00");
        let heard = world.restart(restart);
        assert!(heard.iter().any(|line| line == said), "{catch_up:?} {restart}: {heard:?}");
        assert_eq!(world.forgotten("a", "10:00", restart), [""; 0]);
    }
}

#[test]
fn an_interrupted_slot_and_the_latest_missed_one_both_run_in_order() {
    let mut world = World::start("09:59:59", &[every_ten(CatchUp::Latest)]);
    world.at("10:00");
    let said = world.restart("10:35");
    assert_eq!(said[1..], ["wait a 10:30:00", "run a 10:00:00 catch-up"]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run a 10:30:00 catch-up"]);
}

#[test]
fn a_slot_that_is_cut_off_by_an_orderly_stop_is_taken_up_too() {
    let mut world = World::start("09:59:59", &[every_ten(CatchUp::Latest), after("c", &["a"])]);
    world.at("10:00");
    world.planner.stop();
    assert_eq!(world.ends("a", Outcome::Interrupted), ["wait a 10:00:00"]);
    assert_eq!(world.restart("10:05"), ["run a 10:00:00 catch-up"]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run c 10:00:00 after"]);
    // With `skip` it is over, and its children hear of it.
    let mut world = World::start("09:59:59", &[every_ten(CatchUp::Skip), after("c", &["a"])]);
    world.at("10:00");
    world.planner.stop();
    assert_eq!(world.ends("a", Outcome::Interrupted), ["skip c 10:00:00: its parent a was interrupted"]);
    assert_eq!(world.restart("10:05"), [""; 0]);
}

#[test]
fn a_stopping_daemon_starts_nothing_and_leaves_what_is_due_to_the_next() {
    let mut world = World::start(
        "09:59:59",
        &[every_ten(CatchUp::Latest), cron("b", "0 */10 * * * *"), after("c", &["b"])],
    );
    world.at("10:00");
    world.planner.stop();
    assert_eq!(world.ends("b", Outcome::Ok), ["wait c 10:00:00"]);
    assert_eq!(world.restart("10:01"), ["run a 10:00:00 catch-up", "run c 10:00:00 after"]);
}

#[test]
fn slots_that_waited_wait_again() {
    let lock = |job| with(job, |policy| policy.lock = Some("l".to_owned()));
    let jobs = |catch_up| {
        [lock(cron("a", "0 0 * * * *")), lock(with(cron("b", "5 */10 * * * *"), |p| p.catch_up = catch_up))]
    };
    for (catch_up, restart, said) in [
        (CatchUp::Latest, "10:05", vec!["wait b"; 0]),
        (CatchUp::All, "10:05", vec!["wait b"; 0]),
        // On time: its turn was not missed.
        (CatchUp::Skip, "10:00:30", vec!["wait b"; 0]),
        (
            CatchUp::Skip,
            "10:05",
            vec!["skip b 10:00:05: the daemon was down when its turn came; catch-up is `skip`"],
        ),
        (
            CatchUp::Latest,
            "10:12",
            vec!["skip b 10:00:05: lock: `l` was held until the next slot was due", "wait b 10:10:05"],
        ),
        (CatchUp::All, "10:12", vec!["wait b 10:10:05"]),
    ] {
        let mut world = World::start("09:59:59", &jobs(catch_up));
        world.at("10:00");
        assert_eq!(world.at("10:00:05"), ["wait b 10:00:05"]);
        let mut heard = world.restart(restart);
        assert_eq!(heard.pop().as_deref(), Some("run a 10:00:00 catch-up"));
        assert_eq!(heard, said, "{catch_up:?} {restart}");
        assert_eq!(world.forgotten("b", "10:00", restart), [""; 0]);
    }
}

#[test]
fn a_slot_that_waited_longer_than_its_window_is_skipped() {
    let lock = |job| with(job, |policy| policy.lock = Some("l".to_owned()));
    let mut world =
        World::start("09:59:59", &[lock(cron("a", "0 0 * * * *")), lock(job("m", Trigger::Manual))]);
    world.at("10:00");
    assert_eq!(world.trigger("m").unwrap(), ["wait m 10:00:00"]);
    let said = world.restart("03-03 10:00:01");
    assert!(
        said.contains(
            &"skip m 10:00:00: the daemon was down until its catch-up window had passed".to_owned()
        ),
        "{said:?}"
    );
}

#[test]
fn what_a_job_left_behind_is_ended_when_the_job_is_gone() {
    let jobs =
        [every_ten(CatchUp::Latest), with(cron("b", "0 */10 * * * *"), |p| p.overlap = Overlap::Queue)];
    let mut world = World::start("09:59:59", &jobs);
    world.at("10:00");
    world.at("10:10");
    world.jobs = by_name(&[disabled(jobs[1].clone())]);
    let said = world.restart("10:12");
    assert_eq!(said, ["cut off a 10:00:00", "cut off b 10:00:00", "skip b 10:10:00: the job was disabled"]);
    assert_eq!(world.restart("10:13"), [""; 0]);
}
