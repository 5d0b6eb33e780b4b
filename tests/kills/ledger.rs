//! Kills around the ledger's writes. Every second is a slot of three jobs, one of each kind of catch-up, and of those
//! that follow them: afterwards each has exactly one outcome, one that its job's catch-up allows, and has been run to a
//! good end once at most.

use super::kills_at_each;
use crate::support::{Daemon, Said, Site};
use cadenced::run::{Outcome, RunRecord};
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::erp;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

const MOMENTS: &[&str] =
    &["before-claim", "after-claim", "at-start", "before-close", "after-close", "before-generation"];

/// A job and how its slots may end.
const JOBS: &[(&str, &[Outcome])] = {
    use Outcome::{Interrupted, Missed, Ok, Skipped};
    &[
        // The child of a child, and the child of a job, run for each slot that their parent ran for, or are skipped.
        ("all", &[Ok, Skipped]),
        ("all-child", &[Ok, Skipped]),
        ("all-grandchild", &[Ok, Skipped]),
        ("latest", &[Ok, Skipped, Missed]),
        ("latest-child", &[Ok, Skipped]),
        ("skip", &[Ok, Skipped, Missed, Interrupted]),
        ("skip-child", &[Ok, Skipped]),
    ]
};

#[tokio::test]
async fn after_kills_around_every_ledger_write_each_slot_has_one_outcome() {
    let (some, others) = MOMENTS.split_at(MOMENTS.len() / 2);
    let kills = tokio::join!(site_lives(some, 5), site_lives(others, 6));
    report(&[kills.0, kills.1].concat());
}

#[expect(clippy::print_stdout, reason = "how often the test did what it is for")]
fn report(kills: &[(&str, usize)]) {
    kills.iter().for_each(|(moment, kills)| println!("{kills:>5} kills {moment}"));
}

/// Kills at each of these moments, then looks at what the ledger says; gives how many at each.
async fn site_lives(moments: &[&'static str], seed: u64) -> Vec<(&'static str, usize)> {
    let mut dice = StdRng::seed_from_u64(seed);
    let size = erp::Size { warehouses: 1, articles: 1 };
    let site = Site::new(Setup { erp: size, ..Setup::default() }, &schedule()).await;
    let mut killed = Vec::new();
    for moment in moments {
        for _ in 0..kills_at_each() {
            let mut daemon = Daemon::start(&site).await;
            daemon.stand_still_at(&format!("{moment}:{}", dice.random_range(1..=6)));
            daemon.until(moment, |said| matches!(said, Said::Stands(_))).await;
            daemon.kill().await;
        }
        killed.push((*moment, kills_at_each()));
    }
    let mut daemon = Daemon::start(&site).await;
    let ledger = Ledger::read(&site, &mut daemon).await;
    daemon.kill().await;
    let problems = ledger.problems();
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems[..problems.len().min(20)].join("\n")
    );
    killed
}

/// What the daemon says of its slots.
struct Ledger {
    /// The first slot there was, and the last that was decided when the kills ended.
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    /// By job and instant, how the slot ended, in every row that speaks of it.
    slots: BTreeMap<(&'static str, DateTime<Utc>), Vec<Option<Outcome>>>,
    runs: Vec<RunRecord>,
}

impl Ledger {
    /// Reads it once everything up to now has come to its end.
    async fn read(site: &Site, daemon: &mut Daemon) -> Self {
        let runs = site.control().await.history(None, usize::MAX).await.unwrap();
        let last = runs.iter().map(|run| run.slot.at).max().unwrap();
        loop {
            let runs = site.control().await.history(None, usize::MAX).await.unwrap();
            let days: BTreeSet<NaiveDate> = runs.iter().map(|run| run.slot.at.date_naive()).collect();
            let mut slots: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for (job, _) in JOBS {
                for day in &days {
                    for row in site.control().await.slots(job, Some(*day)).await.unwrap() {
                        let mut at = row.at;
                        while at <= row.until.unwrap_or(row.at) {
                            slots.entry((*job, at)).or_default().push(row.outcome);
                            at += TimeDelta::seconds(1);
                        }
                    }
                }
            }
            slots.retain(|(_, at), _| *at <= last);
            let first = slots.keys().map(|(_, at)| *at).min().unwrap();
            // A parent's slot that runs now has given none to its child yet.
            if slots.values().flatten().all(Option::is_some) {
                return Self { first, last, slots, runs };
            }
            daemon
                .until(
                    "the end of a run",
                    |said| matches!(said, Said::Log(line) if line.contains("run ended")),
                )
                .await;
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (job, allowed) in JOBS {
            let mut at = self.first;
            while at <= self.last {
                match self.slots.get(&(*job, at)).map(Vec::as_slice) {
                    Some([Some(outcome)]) if allowed.contains(outcome) => {}
                    other => {
                        let runs =
                            self.runs.iter().filter(|run| run.slot.at == at && run.slot.job.as_str() == *job);
                        let said: Vec<_> = runs.map(|run| (run.outcome, &run.message)).collect();
                        problems.push(format!("{job}@{at}: {other:?}, its runs: {said:?}"));
                    }
                }
                at += TimeDelta::seconds(1);
            }
        }
        let mut good_ends: BTreeMap<_, usize> = BTreeMap::new();
        for run in self.runs.iter().filter(|run| run.outcome.is_some_and(Outcome::went_through)) {
            *good_ends.entry(&run.slot).or_default() += 1;
        }
        let twice = good_ends.into_iter().filter(|(_, times)| *times > 1);
        problems.extend(twice.map(|(slot, times)| format!("{slot}: {times} runs went through")));
        problems
    }
}

fn schedule() -> String {
    let job = |name: &str, trigger: &str| {
        format!(
            r#"
[job.{name}]
{trigger}
read = {{ from = "erp", sql = "select sku, warehouse, quantity from cadenced_stocks", key = ["warehouse", "sku"] }}
map = {{ id = "{{sku}}", sku = "{{sku}}", quantity = {{ field = "quantity", type = "decimal" }} }}
[job.{name}.push]
to = "one"
post = "/api/v1/stock/integrations/auth-required/warehouses/{{warehouse}}/stocks/incremental"
idempotent = true
group-by = ["warehouse"]
body = {{ stocks = "$records" }}
"#
        )
    };
    let kinds = ["all", "latest", "skip"].map(|kind| {
        let parent = job(kind, &format!("cron = \"* * * * * *\"\ncatch-up = \"{kind}\""));
        parent + &job(&format!("{kind}-child"), &format!("after = [\"{kind}\"]"))
    });
    kinds.concat() + &job("all-grandchild", "after = [\"all-child\"]")
}
