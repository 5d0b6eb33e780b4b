//! Jobs of the same lock.

use super::*;

fn locked(job: Job) -> Job {
    with(job, |policy| policy.lock = Some("clients".to_owned()))
}

#[test]
fn adding_at_00_and_updating_at_50_never_meet() {
    let add = locked(cron("add", "0 */10 * * * *"));
    let update = locked(cron("update", "50 */10 * * * *"));
    let mut world = World::start("09:59", &[add, update]);
    assert_eq!(world.at("10:00"), ["run add 10:00:00 due"]);
    world.at("10:00:30");
    assert_eq!(world.at("10:00:50"), ["wait update 10:00:50"]);
    assert_eq!(world.ends("add", Outcome::Ok), ["run update 10:00:50 due"]);
    // The update takes longer than to the next full ten minutes: now the other one waits.
    world.at("10:09:59");
    assert_eq!(world.at("10:10"), ["wait add 10:10:00"]);
    assert_eq!(world.ends("update", Outcome::Failed), ["run add 10:10:00 due"]);
}

#[test]
fn a_job_waits_for_its_lock_until_its_next_slot_is_due() {
    let slow = locked(cron("slow", "0 0 * * * *"));
    let mut world = World::start("09:59:40", &[slow, locked(cron("a", "5 */10 * * * *"))]);
    world.at("10:00");
    assert_eq!(world.at("10:00:05"), ["wait a 10:00:05"]);
    let why = "lock: `clients` was held until the next slot was due";
    let said = world.at("10:10:05");
    assert_eq!(said, [format!("skip a 10:00:05: {why}"), "wait a 10:10:05".to_owned()]);
    assert_eq!(world.ends("slow", Outcome::Ok), ["run a 10:10:05 due"]);
}

#[test]
fn who_waits_is_served_in_nominal_order() {
    let at_second = |name: &str, second: u32| locked(cron(name, &format!("{second} 0 * * * *")));
    let jobs = [at_second("a", 30), at_second("b", 20), at_second("c", 10), at_second("d", 20)];
    let mut world = World::start("10:00:09", &jobs);
    assert_eq!(world.at("10:00:10"), ["run c 10:00:10 due"]);
    assert_eq!(world.at("10:00:20"), ["wait b 10:00:20", "wait d 10:00:20"]);
    assert_eq!(world.at("10:00:30"), ["wait a 10:00:30"]);
    assert_eq!(world.ends("c", Outcome::Ok), ["run b 10:00:20 due"]);
    assert_eq!(world.ends("b", Outcome::Ok), ["run d 10:00:20 due"]);
    assert_eq!(world.ends("d", Outcome::Ok), ["run a 10:00:30 due"]);
}

#[test]
fn a_refused_claim_frees_its_lock() {
    let mut world =
        World::start("09:59:59", &[locked(cron("a", "0 * * * * *")), locked(cron("b", "0 * * * * *"))]);
    // Somebody has run this very slot of `a` already.
    let mut other = World::start("09:59:59", &[cron("a", "0 * * * * *")]);
    other.at("10:00");
    other.ends("a", Outcome::Ok);
    let page = other.books.jobs.remove(&name("a")).unwrap();
    world.books.page(&name("a")).slots = page.slots;
    assert_eq!(world.at("10:00"), ["wait b 10:00:00", "refused a 10:00:00", "run b 10:00:00 due"]);
}

#[test]
fn an_attempt_that_waits_for_its_lock_does_not_keep_the_clock_busy() {
    let a = with(locked(cron("a", "0 0 * * * *")), |policy| policy.rerun = rerun(3, MINUTE));
    let mut world = World::start("09:59:59", &[a, locked(cron("b", "30 0 * * * *"))]);
    world.at("10:00");
    world.ends("a", Outcome::Failed);
    assert_eq!(world.at("10:00:30"), ["run b 10:00:30 due"]);
    world.at("10:01");
    assert_eq!(world.planner.wake(), Some(at("11:00")));
    assert_eq!(world.ends("b", Outcome::Ok), ["run a 10:00:00 rerun"]);
}
