//! Days with known answers.

use super::*;
use crate::connection::{Auth, Limits, RestConnection, Timeouts};
use crate::run::{Cause, Counts, Outcome, RunId, RunRecord, Slot};
use crate::schedule::{Beats, CronExpr, Overlap, Policy, Timetable, TimetableSpec};
use chrono::TimeDelta;
use proptest::prelude::*;
use std::time::Duration;

const ZONE: Tz = Tz::Europe__Warsaw;

/// Jobs named for one of the connections `one` and `two`, and what their runs cost.
#[derive(Default)]
struct Site {
    jobs: BTreeMap<JobName, Job>,
    connections: BTreeMap<ConnectionName, Connection>,
    figures: BTreeMap<JobName, Figures>,
}

fn name(text: &str) -> JobName {
    JobName::new(text).unwrap()
}

fn cost(requests: u64, seconds: u64) -> Estimate {
    Estimate { requests, duration: Duration::from_secs(seconds) }
}

impl Site {
    fn new(quota: &[&str]) -> Self {
        Self::default().connection("one", quota)
    }

    fn connection(mut self, connection: &str, quota: &[&str]) -> Self {
        let name = ConnectionName::new(connection).unwrap();
        let rest = RestConnection {
            url: "http://127.0.0.1:1".to_owned(),
            headers: Vec::new(),
            auth: Auth::Headers,
            quota: quota.iter().map(|quota| quota.parse().unwrap()).collect(),
            in_flight: 2,
            timeouts: Timeouts::default(),
            max_body: 1,
            ca_file: None,
            proxy: None,
            check: None,
            limits: Limits::default(),
        };
        let kind = ConnectionKind::Rest(Box::new(rest));
        self.connections.insert(name.clone(), Connection { name, kind });
        self
    }

    fn due(mut self, job: &str, trigger: Trigger, change: impl FnOnce(&mut Job)) -> Self {
        let mut job = Job {
            name: name(job),
            summary: String::new(),
            enabled: true,
            trigger,
            policy: Policy::default(),
            work: Work::Unconfigured,
        };
        change(&mut job);
        self.jobs.insert(job.name.clone(), job);
        self
    }

    /// A job that costs so many requests and seconds a run.
    fn job(self, job: &str, cron: &str, requests: u64, seconds: u64) -> Self {
        let trigger = Trigger::Timetable(Timetable::cron(cron, ZONE).unwrap());
        self.due(job, trigger, |_| {}).costs(job, cost(requests, seconds), cost(requests, seconds))
    }

    fn costs(mut self, job: &str, usual: Estimate, worst: Estimate) -> Self {
        self.figures.insert(name(job), Figures { usual, worst, source: Source::Measured(20) });
        self
    }

    fn change(mut self, job: &str, change: impl FnOnce(&mut Job)) -> Self {
        change(self.jobs.get_mut(&name(job)).unwrap());
        self
    }

    fn on(&self, date: &str) -> Report {
        day(&self.jobs, &self.connections, &self.figures, date.parse().unwrap(), ZONE)
    }

    /// An ordinary day.
    fn plan(&self) -> Report {
        self.on("2026-03-03")
    }
}

/// A finding about a quota, short: weight, where, requests, too many, first wait, longest wait, left at the end.
fn quotas(report: &Report) -> Vec<String> {
    let short = |finding: &Finding| match &finding.what {
        What::Quota { quota, at, requests, over, first, longest_wait_seconds, waiting_at_end, .. } => {
            Some(format!(
                "{:?} {quota} {} {requests} -{over} from {} {longest_wait_seconds}s {waiting_at_end}",
                finding.weight,
                at.format("%H:%M:%S"),
                first.format("%H:%M:%S"),
            ))
        }
        What::Overlap { .. } => None,
    };
    report.findings.iter().filter_map(short).collect()
}

/// A finding about overlap, short: weight, job, first, late, skipped, slots, longest.
fn overlaps(report: &Report) -> Vec<String> {
    let short = |finding: &Finding| match &finding.what {
        What::Overlap { job, first, late, skipped, slots, longest_seconds } => Some(format!(
            "{:?} {job} {} {late} -{skipped} of {slots} {longest_seconds}s",
            finding.weight,
            first.format("%H:%M:%S"),
        )),
        What::Quota { .. } => None,
    };
    report.findings.iter().filter_map(short).collect()
}

#[test]
fn a_day_within_its_quotas_fits_and_is_counted() {
    let report = Site::new(&["10/s", "300/min", "20000/day"])
        .job("one-orders", "0 * * * * *", 3, 6)
        .job("one-prices", "0 15 0 * * *", 250, 30)
        .plan();
    assert!(report.fits && report.fits_at_worst && report.findings.is_empty(), "{:?}", report.findings);
    let [day] = report.connections.as_slice() else { panic!("one connection") };
    assert_eq!((day.requests, day.busiest_requests), (1440 * 3 + 250, 253));
    assert_eq!(day.busiest.unwrap().to_rfc3339(), "2026-03-03T00:15:00+01:00");
    assert_eq!(report.jobs[0].slots, 1440);
}

#[test]
fn a_quota_breaks_where_jobs_of_one_connection_meet_and_only_there() {
    let site = Site::new(&["2/min"])
        .connection("two", &["2/min"])
        .job("one-a", "0 0 8 * * *", 2, 2)
        .job("one-b", "10 0 8 * * *", 1, 1)
        .job("two-c", "0 0 8 * * *", 2, 2);
    let report = site.plan();
    assert!(!report.fits);
    assert_eq!(quotas(&report), ["Breaks 2/min 08:00:00 3 -1 from 08:00:10 50s 0"]);
    // A minute later there is room.
    let later = Trigger::Timetable(Timetable::cron("10 1 8 * * *", ZONE).unwrap());
    assert!(site.change("one-b", |job| job.trigger = later).plan().findings.is_empty());
}

#[test]
fn a_short_wait_is_told_and_breaks_nothing() {
    // 30 requests in a second where 10 may go: the last waits two seconds.
    let report = Site::new(&["10/s"]).job("one-a", "0 0 8 * * *", 30, 1).plan();
    assert!(report.fits);
    assert_eq!(quotas(&report), ["Waits 10/s 08:00:00 30 -20 from 08:00:00 2s 0"]);
}

#[test]
fn requests_are_spread_over_the_time_of_their_run() {
    let site = Site::new(&["10/s", "300/min"]);
    assert!(site.job("one-a", "0 0 8 * * *", 600, 120).plan().findings.is_empty());
    let report = Site::new(&["300/min"]).job("one-a", "0 0 8 * * *", 600, 60).plan();
    assert_eq!(quotas(&report), ["Breaks 300/min 08:00:00 600 -300 from 08:00:30 30s 0"]);
}

#[test]
fn a_window_is_full_wherever_it_starts() {
    // Six in the minute from 08:00:30, though no minute of the clock has more than four.
    let cron = "30,40,50 0 8 * * *";
    let report =
        Site::new(&["5/min"]).job("one-a", cron, 1, 1).job("one-b", "5,10,15 1 8 * * *", 1, 1).plan();
    assert_eq!(quotas(&report), ["Waits 5/min 08:00:30 6 -1 from 08:01:15 15s 0"]);
    assert_eq!(report.connections[0].busiest_requests, 3);
}

#[test]
fn what_comes_faster_than_a_quota_lets_it_go_piles_up_all_day() {
    let report = Site::new(&["1/min"]).job("one-a", "0 * * * * *", 2, 10).plan();
    // Two a minute, one of which goes: at the end half of 2,880 wait, the last for as long as the day has been.
    assert_eq!(quotas(&report), ["Breaks 1/min 00:00:00 2 -1 from 00:00:05 86395s 1440"]);
}

#[test]
fn a_day_quota_says_when_it_is_used_up_and_how_much_is_left_over() {
    let site = Site::new(&["1000/day"]).job("one-a", "0 * * * * *", 1, 1);
    let report = site.plan();
    let shown = quotas(&report);
    assert_eq!(shown, ["Breaks 1000/day 00:00:00 1440 -440 from 16:40:00 26400s 440"]);
    assert!(Site::new(&["1440/day"]).job("one-a", "0 * * * * *", 1, 1).plan().fits);
}

#[test]
fn a_week_of_such_days_is_held_against_a_quota_of_a_week() {
    let site = |quota| Site::new(&[quota]).job("one-a", "0 0 * * * *", 1, 1).plan();
    assert!(site("168/7day").findings.is_empty());
    assert_eq!(quotas(&site("140/7day")), ["Breaks 140/7day 00:00:00 168 -28 from 00:00:00 604800s 4"]);
}

#[test]
fn a_day_of_25_hours_has_more_and_one_of_23_has_less() {
    let site = Site::new(&["1440/day"]).job("one-a", "0 * * * * *", 1, 1).job("one-b", "0 30 2 * * *", 0, 1);
    let slots = |date: &str| {
        let report = site.on(date);
        (report.jobs[0].slots, report.jobs[1].slots, report.connections[0].requests, report.fits)
    };
    assert_eq!(slots("2026-03-29"), (1380, 1, 1380, true));
    assert_eq!(slots("2026-03-30"), (1440, 1, 1440, true));
    // 1,500 requests, but never more than 1,440 in 24 hours: the first ones are long past when the last ones go.
    assert_eq!(slots("2026-10-25"), (1500, 1, 1500, true));
}

#[test]
fn instants_of_the_repeated_hour_say_which_one_they_mean() {
    let report = Site::new(&["1/min"]).job("one-a", "0 30 2 * * *", 2, 1).on("2026-10-25");
    let Some(What::Quota { at, .. }) = report.findings.first().map(|finding| &finding.what) else {
        panic!("{report:?}")
    };
    assert_eq!(at.to_rfc3339(), "2026-10-25T02:30:00+02:00");
}

#[test]
fn a_date_the_zone_left_out_has_nothing() {
    let site = Site::new(&["1/min"]).job("one-a", "* * * * * *", 9, 9);
    let date = "2011-12-30".parse().unwrap();
    let report = day(&site.jobs, &site.connections, &site.figures, date, Tz::Pacific__Apia);
    assert!(report.fits && report.peak.is_none() && report.connections[0].busiest.is_none());
}

#[test]
fn a_run_longer_than_its_interval_loses_slots() {
    let report = Site::new(&[]).job("one-a", "0 */2 * * * *", 1, 150).plan();
    assert_eq!(overlaps(&report), ["Breaks one-a 00:02:00 360 -360 of 720 30s"]);
    assert!(!report.fits);
    assert_eq!(report.connections[0].requests, 360, "a slot that is skipped sends nothing");
    let fits = Site::new(&[]).job("one-a", "0 */2 * * * *", 1, 120).plan();
    assert!(fits.findings.is_empty(), "a run that ends as its next slot comes is in time");
}

#[test]
fn a_queued_slot_waits_and_only_one_does() {
    let queue = |job: &mut Job| job.policy.overlap = Overlap::Queue;
    // 08:00 takes until 08:12, 08:10 then until 08:24: late, but all run.
    let site = Site::new(&[]).job("one-a", "0 0,10 8 * * *", 1, 720).change("one-a", queue);
    let report = site.plan();
    assert_eq!(overlaps(&report), ["Waits one-a 08:10:00 1 -0 of 2 120s"]);
    assert!(report.fits);
    let site = Site::new(&[]).job("one-a", "0 0-59 8 * * *", 1, 150).change("one-a", queue);
    assert_eq!(overlaps(&site.plan()), ["Breaks one-a 08:01:00 59 -35 of 60 150s"]);
}

#[test]
fn a_run_is_not_laid_out_beyond_its_time_out() {
    let timeout = |job: &mut Job| job.policy.timeout = Duration::from_secs(60);
    let site = Site::new(&[]).job("one-a", "0 */2 * * * *", 1, 3600).change("one-a", timeout);
    assert!(site.plan().findings.is_empty());
}

#[test]
fn jobs_of_one_lock_run_one_after_the_other() {
    let lock = |job: &mut Job| job.policy.lock = Some("clients".to_owned());
    let site = Site::new(&["1/s"]).job("one-a", "0 0 8 * * *", 60, 60).job("one-b", "0 0 8 * * *", 60, 60);
    assert!(!site.plan().fits, "side by side they want two requests a second");
    let site = site.change("one-a", lock).change("one-b", lock);
    assert!(site.plan().findings.is_empty());
}

#[test]
fn a_child_runs_when_each_run_of_its_parent_ends() {
    let after = |parents: &[&str]| Trigger::After(parents.iter().map(|parent| name(parent)).collect());
    let site = Site::new(&["1/min"])
        .job("one-a", "0 0,30 8 * * *", 1, 90)
        .due("one-b", after(&["one-a"]), |_| {})
        .due("one-c", after(&["one-b"]), |_| {})
        .costs("one-b", cost(0, 10), cost(0, 10));
    let report = site.plan();
    let slots: Vec<_> = report.jobs.iter().map(|job| (job.job.as_str(), job.slots)).collect();
    assert_eq!(slots, [("one-a", 2), ("one-b", 2), ("one-c", 2)]);
    // 08:01:40, ten seconds after the parent's parent.
    assert!(report.fits);
    let orphans = site.change("one-a", |job| job.enabled = false).plan();
    assert_eq!(orphans.left_out, [name("one-b"), name("one-c")]);
}

#[test]
fn splay_moves_a_start_and_not_a_slot() {
    let spread = |job: &str| {
        let beats = Beats::Cron(vec![CronExpr::new("0 0 8 * * *").unwrap()]);
        let spec = TimetableSpec { splay: Duration::from_secs(300), ..TimetableSpec::new(beats, ZONE) };
        (job.to_owned(), Trigger::Timetable(Timetable::new(spec).unwrap()))
    };
    let mut site = Site::new(&["1/min"]);
    for (job, trigger) in ["one-a", "one-d"].map(spread) {
        site = site.due(&job, trigger, |_| {});
    }
    let starts = ["one-a", "one-d"].map(|job| schedule::splay_of(job, Duration::from_secs(300)));
    let apart = starts[0].abs_diff(starts[1]);
    assert!(apart > Duration::from_secs(61), "choose other names: {apart:?}");
    assert!(site.plan().findings.is_empty() && site.plan().peak.is_none());
}

#[test]
fn the_peak_names_the_jobs_of_the_first_of_the_fullest_minutes() {
    let report = Site::new(&[])
        .job("one-a", "0 */30 * * * *", 0, 1)
        .job("one-b", "50 */20 * * * *", 0, 1)
        .job("one-c", "*/10 * * * * *", 0, 1)
        .plan();
    let peak = report.peak.unwrap();
    assert_eq!(peak.at.to_rfc3339(), "2026-03-03T00:00:00+01:00");
    assert_eq!(peak.jobs, ["one-a", "one-b", "one-c"].map(name));
    assert_eq!(peak.minutes, 24, "a job that starts often in a minute is one job");
}

#[test]
fn what_breaks_only_at_worst_is_told_apart() {
    let site = Site::new(&["10/min"]).job("one-a", "0 * * * * *", 1, 1);
    let site = site.costs("one-a", cost(5, 10), cost(20, 90));
    let report = site.plan();
    assert!(report.fits && !report.fits_at_worst);
    assert!(report.findings.iter().all(|finding| finding.weight == Weight::BreaksAtWorst));
    assert_eq!(overlaps(&report), ["BreaksAtWorst one-a 00:01:00 720 -720 of 1440 30s"]);
    // What breaks anyhow is told once, as it usually is.
    let report = site.costs("one-a", cost(20, 10), cost(40, 10)).plan();
    assert_eq!(quotas(&report).len(), 1);
    assert!(quotas(&report)[0].starts_with("Breaks 10/min 00:00:00 20 -10"), "{:?}", quotas(&report));
}

#[test]
fn a_job_without_ends_counts_for_the_connection_its_name_begins_with() {
    let report =
        Site::new(&["1/min"]).job("one-a", "0 0 8 * * *", 2, 1).job("three-b", "0 0 8 * * *", 2, 1).plan();
    let jobs: Vec<_> = report
        .jobs
        .iter()
        .map(|job| (job.connection.as_ref().map(ConnectionName::as_str), job.connection_assumed))
        .collect();
    assert_eq!(jobs, [(Some("one"), true), (None, false)]);
    assert_eq!(report.connections[0].requests, 2);
}

#[test]
fn disabled_jobs_cost_nothing_and_manual_ones_are_left_out() {
    let site = Site::new(&["1/min"])
        .job("one-a", "0 * * * * *", 9, 9)
        .change("one-a", |job| job.enabled = false)
        .due("one-b", Trigger::Manual, |_| {})
        .due("one-c", Trigger::Initial(Vec::new()), |_| {});
    let report = site.plan();
    assert!(report.fits && report.jobs.is_empty());
    assert_eq!(report.left_out, [name("one-b"), name("one-c")]);
}

#[test]
fn a_job_nothing_is_known_of_costs_a_request_and_a_second() {
    let trigger = Trigger::Timetable(Timetable::cron("0 0 8 * * *", ZONE).unwrap());
    let report = Site::new(&[]).due("one-a", trigger, |_| {}).plan();
    let job = &report.jobs[0];
    assert_eq!((job.requests, job.seconds, job.figures), (1, 1.0, "assumed"));
}

fn run(outcome: Option<Outcome>, requests: u64, seconds: i64) -> RunRecord {
    let started = "2026-03-03T07:00:00Z".parse().unwrap();
    RunRecord {
        id: RunId(1),
        slot: Slot { job: name("one-a"), at: started },
        attempt: 1,
        cause: Cause::Due,
        started,
        ended: outcome.map(|_| started + TimeDelta::seconds(seconds)),
        outcome,
        counts: Counts { requests, ..Counts::default() },
        message: None,
    }
}

#[test]
fn measured_is_the_median_and_the_worst_of_the_runs_that_went_through() {
    let runs = [
        run(None, 900, 0),
        run(Some(Outcome::Failed), 900, 900),
        run(Some(Outcome::Interrupted), 0, 0),
        run(Some(Outcome::Ok), 1, 40),
        run(Some(Outcome::Ok), 3, 2),
        run(Some(Outcome::Partial), 50, 3),
        run(Some(Outcome::Ok), 800, -5),
    ];
    let figures = Figures::measured(&runs).unwrap();
    assert_eq!((figures.usual, figures.worst), (cost(3, 3), cost(50, 40)));
    assert_eq!(figures.source, Source::Measured(3));
    assert_eq!(Figures::measured(&runs[..3]), None);
}

proptest! {
    /// However a day is filled: what went plus what waits is what came, and a quota nobody exceeds makes nobody wait.
    #[test]
    fn a_finding_tells_by_how_much(
        requests in 0_u64..400,
        seconds in 0_u64..200,
        minutes in 1_usize..30,
        quota in 1_u32..400,
    ) {
        let minutes = (0..60).step_by(minutes).map(|minute| minute.to_string()).collect::<Vec<_>>().join(",");
        let site = Site::new(&[&format!("{quota}/min")]).job("one-a", &format!("0 {minutes} 8 * * *"), requests, seconds);
        let report = site.plan();
        let total = report.connections[0].requests;
        let skipped: u64 = report.findings.iter().map(|finding| match finding.what {
            What::Overlap { skipped, .. } => skipped,
            What::Quota { .. } => 0,
        }).sum();
        prop_assert_eq!(total, (report.jobs[0].slots - skipped) * requests);
        let quota_finding = report.findings.iter().find_map(|finding| match finding.what {
            What::Quota { requests, over, longest_wait_seconds, .. } => Some((requests, over, longest_wait_seconds)),
            What::Overlap { .. } => None,
        });
        match quota_finding {
            Some((most, over, wait)) => {
                prop_assert_eq!(most, over + u64::from(quota));
                prop_assert!(most <= total && wait > 0);
            }
            None => prop_assert!(report.connections[0].busiest_requests <= u64::from(quota)),
        }
    }
}
