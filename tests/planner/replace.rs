//! A new set of jobs.

use super::*;

fn every_ten() -> Job {
    cron("a", "0 */10 * * * *")
}

#[test]
fn an_unchanged_job_keeps_its_run_and_what_waits() {
    let jobs =
        [with(every_ten(), |p| (p.overlap, p.rerun) = (Overlap::Queue, rerun(1, MINUTE))), initial("i", &[])];
    let mut world = World::start("09:59:59", &jobs);
    world.ends("i", Outcome::Failed);
    world.at("10:00");
    world.at("10:10");
    assert_eq!(world.replace(&jobs), [""; 0]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run a 10:10:00 due"]);
    world.ends("a", Outcome::Failed);
    assert_eq!(world.replace(&jobs), [""; 0]);
    assert_eq!(world.at("10:11")[0], "run a 10:10:00 rerun");
    assert_eq!(world.planner.next_slot(&name("a")), Some(at("10:20")));
}

#[test]
fn a_changed_schedule_neither_invents_nor_loses_a_slot() {
    let mut world = World::start("09:59:59", &[cron("a", "0 0 * * * *")]);
    world.at("10:00");
    world.ends("a", Outcome::Ok);
    world.at("10:25");
    // Finer: 10:10 and 10:20 were never due.
    assert_eq!(world.replace(&[every_ten()]), [""; 0]);
    assert_eq!(world.planner.next_slot(&name("a")), Some(at("10:30")));
    // Due under the old set and not yet decided: it is run under the old set.
    world.at("10:29:59");
    world.now = at("10:30:05");
    assert_eq!(world.replace(&[cron("a", "0 45 * * * *")])[0], "run a 10:30:00 due");
    world.ends("a", Outcome::Ok);
    // The change was written down: a crash right after it invents nothing either.
    assert_eq!(world.restart("10:31"), [""; 0]);
    assert_eq!(world.planner.next_slot(&name("a")), Some(at("10:45")));
    assert_eq!(world.restart("10:46"), ["run a 10:45:00 catch-up"]);
}

#[test]
fn a_changed_job_keeps_its_run_and_other_limits_hold_at_once() {
    let mut world = World::start("09:59:59", &[every_ten()]);
    world.at("10:00");
    world.replace(&[with(every_ten(), |p| p.overlap = Overlap::Queue)]);
    assert_eq!(world.at("10:10")[0], "wait a 10:10:00");
    world.replace(&[with(every_ten(), |p| p.rerun = rerun(3, MINUTE))]);
    assert_eq!(world.ends("a", Outcome::Failed), ["run a 10:10:00 due"]);
}

#[test]
fn a_new_job_counts_from_now_and_a_crash_right_after_forgets_none_of_its_slots() {
    let mut world = World::start("09:59:59", &[]);
    world.now = at("10:05");
    world.replace(&[every_ten()]);
    assert_eq!(world.restart("10:12"), ["run a 10:10:00 catch-up"]);
}

#[test]
fn the_run_of_a_removed_job_ends_by_itself_and_what_waits_is_skipped() {
    let mut world = World::start(
        "09:59:59",
        &[with(every_ten(), |p| p.overlap = Overlap::Queue), cron("b", "0 0 * * * *")],
    );
    world.at("10:00");
    world.at("10:10");
    assert_eq!(world.replace(&[cron("b", "0 0 * * * *")]), ["skip a 10:10:00: the job was removed"]);
    assert_eq!(world.planner.running().count(), 2);
    assert_eq!(world.at("10:20"), [""; 0]);
    assert_eq!(world.ends("a", Outcome::Failed), [""; 0]);
    assert_eq!(world.planner.running().count(), 1);
    assert_eq!(world.outcome("a", "10:00"), Some(Outcome::Failed));
}

#[test]
fn a_job_that_comes_back_has_missed_nothing() {
    // Its run ended meanwhile, or still goes.
    for still_running in [false, true] {
        let mut world = World::start("09:59:59", &[every_ten()]);
        world.at("10:00");
        if !still_running {
            world.ends("a", Outcome::Ok);
        }
        world.replace(&[]);
        world.at("10:45");
        assert_eq!(world.replace(&[every_ten()]), [""; 0], "{still_running}");
        assert_eq!(world.planner.next_slot(&name("a")), Some(at("10:50")));
        if still_running {
            assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
        }
        assert_eq!(world.at("10:50")[0], "run a 10:50:00 due");
        assert_eq!(world.restart("10:51"), ["run a 10:50:00 catch-up"]);
    }
}

#[test]
fn a_job_is_disabled_and_enabled_again() {
    let mut world = World::start("09:59:59", &[every_ten()]);
    world.at("10:00");
    world.ends("a", Outcome::Ok);
    world.pause("a", "x");
    assert_eq!(world.replace(&[disabled(every_ten())]), [""; 0]);
    assert_eq!(world.at("10:10"), [""; 0]);
    // A run by hand meanwhile doesn't take the pause away.
    assert_eq!(world.trigger("a").unwrap(), ["run a 10:10:00 manual"]);
    world.replace(&[every_ten()]);
    world.ends("a", Outcome::Ok);
    assert_eq!(world.at("10:20")[0], "skipped a 10:20:00 to 10:20:00 (1): paused: x");
}

#[test]
fn a_run_by_hand_of_a_disabled_job_survives_a_reload_while_it_waits() {
    let lock = |job| with(job, |policy| policy.lock = Some("l".to_owned()));
    let jobs = [lock(disabled(every_ten())), lock(cron("b", "0 * * * * *"))];
    let mut world = World::start("09:59:59", &jobs);
    world.at("10:00");
    assert_eq!(world.trigger("a").unwrap(), ["wait a 10:00:00"]);
    assert_eq!(world.replace(&jobs), [""; 0]);
    assert_eq!(world.ends("b", Outcome::Ok), ["run a 10:00:00 manual"]);
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
}

#[test]
fn a_lock_that_is_added_holds_for_runs_that_go() {
    let lock = |job| with(job, |policy| policy.lock = Some("l".to_owned()));
    let jobs = [cron("a", "0 0 * * * *"), cron("b", "10 0 * * * *")];
    let mut world = World::start("09:59:59", &jobs);
    world.at("10:00");
    world.replace(&jobs.clone().map(lock));
    assert_eq!(world.at("10:00:10"), ["wait b 10:00:10"]);
    // And one that is taken away, for the runs that were started under it.
    world.ends("a", Outcome::Ok);
    world.ends("b", Outcome::Ok);
}

#[test]
fn a_job_that_becomes_a_first_import_runs_once() {
    let mut world = World::start("10:00:05", &[cron("i", "0 0 0 1 1 *")]);
    assert_eq!(world.replace(&[initial("i", &[])]), ["run i 10:00:05 due"]);
    world.ends("i", Outcome::Ok);
    assert_eq!(world.replace(&[cron("i", "0 0 0 1 1 *")]), [""; 0]);
    assert_eq!(world.replace(&[initial("i", &[])]), [""; 0]);
}

#[test]
fn a_child_that_is_added_follows_a_run_that_goes() {
    let mut world = World::start("09:59:59", &[every_ten()]);
    world.at("10:00");
    world.replace(&[every_ten(), after("c", &["a"])]);
    assert_eq!(world.ends("a", Outcome::Ok), ["run c 10:00:00 after"]);
}
