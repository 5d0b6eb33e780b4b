//! Jobs whose platform lets nothing through.

use super::*;
use cadenced::planner::Closed;

impl World {
    fn closed(&mut self, job: &str, reason: &str, until: Option<&str>) {
        let closed = Closed { reason: reason.to_owned(), until: until.map(at) };
        self.planner.close(&BTreeMap::from([(name(job), closed)]));
    }

    fn open(&mut self) {
        self.planner.close(&BTreeMap::new());
    }
}

#[test]
fn slots_that_a_quota_holds_up_past_the_next_one_are_skipped_and_the_last_one_runs_when_it_is_over() {
    let mut world = World::start("09:59", &[cron("a", "0 */10 * * * *"), cron("b", "0 */10 * * * *")]);
    world.closed("a", "quota until 10:25", Some("10:25"));
    assert_eq!(world.at("10:00"), ["skip a 10:00:00: quota until 10:25", "run b 10:00:00 due"]);
    world.ends("b", Outcome::Ok);
    assert_eq!(world.at("10:10"), ["skip a 10:10:00: quota until 10:25", "run b 10:10:00 due"]);
    world.ends("b", Outcome::Ok);
    // Before the next one is due there is time for this one.
    assert_eq!(world.at("10:20"), ["wait a 10:20:00", "run b 10:20:00 due"]);
    world.open();
    assert_eq!(world.at("10:25"), ["run a 10:20:00 due"]);
}

#[test]
fn while_a_platform_is_down_the_latest_slot_waits_and_runs_as_soon_as_it_is_back() {
    let mut world = World::start("09:59:30", &[cron("a", "0 */2 * * * *")]);
    world.closed("a", "shop is left alone", None);
    assert_eq!(world.at("10:00"), ["wait a 10:00:00"]);
    assert_eq!(world.at("10:02"), ["skip a 10:00:00: shop is left alone", "wait a 10:02:00"]);
    assert_eq!(world.at("10:04"), ["skip a 10:02:00: shop is left alone", "wait a 10:04:00"]);
    world.open();
    assert_eq!(world.at("10:04:01"), ["run a 10:04:00 due"]);
}

#[test]
fn a_failed_slot_is_not_tried_again_and_a_child_waits_while_it_is_closed_but_a_person_may_ask() {
    let parent = with(cron("a", "0 0 * * * *"), |policy| policy.rerun = rerun(3, MINUTE));
    let mut world = World::start("09:59:30", &[parent, cron("c", "0 0 0 * * *")]);
    world.at("10:00");
    world.ends("a", Outcome::Failed);
    world.closed("a", "shop is left alone", None);
    assert_eq!(world.at("10:01"), [""; 0]);
    world.open();
    assert_eq!(world.at("10:01:01"), ["run a 10:00:00 rerun"]);
    world.closed("c", "shop is left alone", None);
    assert_eq!(world.trigger("c"), Ok(vec!["run c 10:01:01 manual".to_owned()]));
}
