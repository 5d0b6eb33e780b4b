//! A clock that steps, and one that was wrong for a while.

use super::*;

fn every_ten(catch_up: CatchUp) -> Job {
    with(cron("a", "0 */10 * * * *"), |policy| policy.catch_up = catch_up)
}

/// Goes through these instants minute by minute, each run ending at once; gives what was run, by slot and cause.
fn live(world: &mut World, from: &str, until: &str) -> Vec<String> {
    let mut ran = Vec::new();
    let mut now = at(from);
    while now < at(until) {
        world.now = now;
        let plan = world.planner.on_timer(now);
        world.perform(plan, Vec::new());
        loop {
            ran.extend(world.said().into_iter().filter(|line| line.starts_with("run ")));
            let Some(job) = world.running.keys().next().cloned() else { break };
            world.said = world.ends(job.as_str(), Outcome::Ok);
        }
        now += MINUTE;
    }
    ran
}

#[test]
fn a_step_forward_is_a_gap_and_catch_up_decides() {
    let why = "came due while nobody could run it";
    for (catch_up, said) in [
        (CatchUp::Skip, vec![format!("missed a 10:10:00 to 10:50:00 (5): {why}; catch-up is `skip`")]),
        (
            CatchUp::Latest,
            vec![
                format!("missed a 10:10:00 to 10:40:00 (4): {why}; catch-up runs the latest slot only"),
                "run a 10:50:00 catch-up".to_owned(),
            ],
        ),
    ] {
        let mut world = World::start("10:05", &[every_ten(catch_up)]);
        let heard = world.jump("10:55");
        assert_eq!(heard[0], "the clock stepped 3000 s");
        assert_eq!(heard[1..], said);
        assert_eq!(world.forgotten("a", "10:05", "10:55"), [""; 0]);
    }
}

#[test]
fn a_step_back_below_an_hour_repeats_nothing() {
    let mut world = World::start("10:05", &[every_ten(CatchUp::Latest)]);
    assert_eq!(live(&mut world, "10:05", "11:05").len(), 6);
    // 10:20 again.
    assert_eq!(world.jump("10:20"), ["the clock stepped -2640 s"]);
    assert_eq!(live(&mut world, "10:20", "11:05"), [""; 0]);
    assert_eq!(live(&mut world, "11:05", "11:21"), ["run a 11:10:00 due", "run a 11:20:00 due"]);
}

#[test]
fn a_step_back_over_an_hour_arms_from_there_and_the_ledger_refuses_what_ran() {
    let mut world = World::start("10:05", &[every_ten(CatchUp::Latest)]);
    assert_eq!(live(&mut world, "10:05", "12:05").len(), 12);
    // The last slots are known to the planner, the earlier ones to the ledger: none is run twice.
    assert_eq!(world.jump("10:30"), ["the clock stepped -5640 s"]);
    assert_eq!(world.planner.next_slot(&name("a")), Some(at("10:40")));
    assert_eq!(live(&mut world, "10:30", "12:05"), [""; 0]);
    assert_eq!(live(&mut world, "12:05", "12:21"), ["run a 12:10:00 due", "run a 12:20:00 due"]);
    // A new process knows only the ledger.
    world.restart("12:25");
    world.jump("11:10");
    assert_eq!(world.jump("11:20")[1], "refused a 11:20:00");
    assert!(world.page("a").slots.values().all(|record| record.attempts == 1));
}

#[test]
fn small_steps_back_do_not_add_up_to_a_silent_job() {
    let mut world = World::start("10:05", &[every_ten(CatchUp::Latest), cron("b", "0 0 * * * *")]);
    live(&mut world, "10:05", "13:05");
    for back in ["12:15", "11:25", "10:35"] {
        world.jump(back);
    }
    // 13:10 would be more than two hours away; no job waits for longer than an hour.
    assert_eq!(world.planner.next_slot(&name("a")), Some(at("11:30")));
    assert_eq!(world.forgotten("a", "10:10", "13:05"), [""; 0]);
}

#[test]
fn a_clock_that_said_2030_and_was_corrected_silences_no_job() {
    let jobs = [every_ten(CatchUp::Latest), after("c", &["a"]), cron("daily", "0 15 0 * * *")];
    let mut world = World::start("10:05", &jobs);
    let said = world.jump("2030-01-01 10:00:00");
    assert!(said.contains(&"run a 2030-01-01 10:00:00 due".to_owned()), "{said:?}");
    let ran = live(&mut world, "2030-01-01 10:01:00", "2030-01-01 12:05:00");
    assert!(ran.len() > 20, "{ran:?}");
    // Corrected while it runs, or by a restart.
    for restarted in [false, true] {
        let mut world = World::over(world.books.clone(), at("2030-01-01 12:06:00"), by_name(&jobs)).0;
        let said = if restarted { world.restart("12:08") } else { world.jump("12:08") };
        assert!(said[0].starts_with("the clock stepped -"), "{said:?}");
        assert_eq!(
            live(&mut world, "12:09", "12:31"),
            [
                "run a 12:10:00 due",
                "run c 12:10:00 after",
                "run a 12:20:00 due",
                "run c 12:20:00 after",
                "run a 12:30:00 due",
                "run c 12:30:00 after"
            ]
        );
        assert_eq!(world.planner.next_slot(&name("daily")), Some(at("03-03 00:15")));
        assert_eq!(world.forgotten("a", "10:05", "12:31"), [""; 0]);
    }
}

#[test]
fn what_was_left_open_in_2030_is_made_up_for_and_keeps_nobody_waiting() {
    let jobs =
        [every_ten(CatchUp::Latest), with(initial("i", &[]), |policy| policy.rerun = rerun(3, MINUTE))];
    let mut world = World::start("2030-01-01 10:05:00", &jobs);
    world.ends("i", Outcome::Failed);
    world.jump("2030-01-01 10:05:30");
    world.books.page(&name("a"));
    let said = world.restart("10:00:10");
    assert!(said[0].starts_with("the clock stepped -"), "{said:?}");
    // The failed first import doesn't wait for 2030 to come.
    assert_eq!(world.planner.wake(), Some(at("10:01:10")));
    assert_eq!(world.jump("10:01:10")[1], "run i 2030-01-01 10:05:00 rerun");
    assert_eq!(world.jump("10:10")[1], "run a 10:10:00 due");
    // A run that goes while the clock is corrected ends as it would have.
    assert_eq!(world.ends("a", Outcome::Ok), [""; 0]);
}

#[test]
fn a_slew_is_not_a_step() {
    let mut world = World::start("10:05", &[every_ten(CatchUp::Latest)]);
    assert_eq!(world.jump("10:05:30"), [""; 0]);
    assert_eq!(world.jump("10:05:29"), [""; 0]);
    assert_eq!(world.jump("10:06"), ["the clock stepped 31 s"]);
}
