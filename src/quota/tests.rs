//! What the gate promises, with time paused.

use super::Quota;
use super::gate::{Gate, Permit, Priority, Shut};
use super::spent::{Keep, Spent};
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(366 * 86_400);

fn quotas(texts: &[&str]) -> Vec<Quota> {
    texts.iter().map(|quota| quota.parse().unwrap()).collect()
}

async fn enter(gate: &Gate) -> Permit {
    gate.enter(Priority::Live, LONG).await.unwrap()
}

fn gate(quotas: &[&str], in_flight: usize) -> Gate {
    Gate::new(&self::quotas(quotas), in_flight)
}

/// When requests went out in `span`, with `workers` asking all the time and answers taking `latency`.
async fn saturate(gate: &Gate, workers: usize, latency: Duration, span: Duration) -> Vec<Duration> {
    let start = Instant::now();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let work = |_| {
        let (gate, sent) = (gate.clone(), Arc::clone(&sent));
        async move {
            loop {
                let permit = enter(&gate).await;
                sent.lock().unwrap().push(start.elapsed());
                tokio::time::sleep(latency).await;
                permit.answered();
            }
        }
    };
    let all = futures_util::future::join_all((0..workers).map(work));
    assert!(tokio::time::timeout(span, all).await.is_err());
    let mut sent = sent.lock().unwrap().clone();
    sent.sort_unstable();
    sent
}

fn most_in_a_window(sent: &[Duration], window: Duration) -> usize {
    let inside =
        |(i, from): (usize, &Duration)| sent[i..].iter().take_while(|at| **at < *from + window).count();
    sent.iter().enumerate().map(inside).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn under_saturation_the_quota_is_used_up_and_never_exceeded() {
    for text in ["1/s", "7/s", "10/s", "64/s", "100/s", "1000/s", "300/min", "1000/day", "50/10s"] {
        let quota: Quota = text.parse().unwrap();
        let gate = gate(&[text], 4);
        let sent = saturate(&gate, 4, Duration::ZERO, quota.window * 10).await;
        let most = most_in_a_window(&sent, quota.window);
        assert!(most <= quota.requests as usize, "{text}: {most} in one window");
        let all = quota.requests as usize * 10;
        assert!(sent.len() * 100 >= all * 98, "{text}: only {} of {all} sent", sent.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_quota_is_spread_over_its_window() {
    let sent = saturate(&gate(&["10/s"], 4), 4, Duration::ZERO, Duration::from_secs(1)).await;
    let early = sent.iter().filter(|at| **at < Duration::from_millis(100)).count();
    assert!(early <= 2, "{early} of 10 in the first tenth of a second");
}

#[tokio::test(start_paused = true)]
async fn all_quotas_hold_at_once_and_the_slow_one_is_used_up() {
    let sent = saturate(&gate(&["10/s", "300/min"], 2), 3, Duration::ZERO, Duration::from_secs(600)).await;
    assert!(most_in_a_window(&sent, Duration::from_secs(1)) <= 10);
    assert!(most_in_a_window(&sent, Duration::from_secs(60)) <= 300);
    assert!(sent.len() >= 2940, "only {} of 3000 sent", sent.len());
}

#[tokio::test(start_paused = true)]
async fn the_window_starts_with_the_response_also_when_that_is_a_time_out() {
    let gate = gate(&["2/s"], 9);
    let start = Instant::now();
    let first = enter(&gate).await;
    enter(&gate).await.answered();
    tokio::spawn(async move {
        let _given_up_after_30_s =
            tokio::time::timeout(Duration::from_secs(30), async { first_forever(first).await }).await;
    });
    enter(&gate).await.answered();
    assert_eq!(start.elapsed(), Duration::from_secs(31));
}

async fn first_forever(_permit: Permit) {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_are_on_the_way() {
    let gate = gate(&[], 2);
    let (first, _second) = (enter(&gate).await, enter(&gate).await);
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, enter(&gate)).await.is_err());
    first.answered();
    assert!(tokio::time::timeout(minute, enter(&gate)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_comes_while_others_wait_holds_them_too() {
    let gate = gate(&["1/s"], 9);
    let start = Instant::now();
    enter(&gate).await.answered();
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { drop(enter(&gate).await) }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.not_before(start + Duration::from_secs(20));
    gate.not_before(start + Duration::from_secs(5));
    assert_eq!(gate.wait(), Duration::from_millis(19_500));
    waiting.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn giving_up_the_wait_costs_nothing() {
    let gate = gate(&["1/s"], 9);
    let start = Instant::now();
    enter(&gate).await.answered();
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(100), enter(&gate)).await.is_err());
    }
    enter(&gate).await.answered();
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

/// Remembers what was written down last, and how often; refuses while told to.
#[derive(Debug, Default)]
struct Disk {
    written: Mutex<Vec<(Spent, Instant)>>,
    full: Mutex<bool>,
}

impl Keep for Disk {
    fn keep(&self, spent: Spent) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            if *self.full.lock().unwrap() {
                return Err("no space left".to_owned());
            }
            self.written.lock().unwrap().push((spent, Instant::now()));
            Ok(())
        })
    }
}

impl Disk {
    fn writes(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    /// A gate of a process that starts now.
    fn start(self: &Arc<Self>, texts: &[&str]) -> Gate {
        let kept = self.written.lock().unwrap().last().cloned();
        let kept = kept.map(|(spent, at)| (spent, at.elapsed()));
        Gate::kept(&quotas(texts), 4, self.clone(), Duration::from_secs(120), kept)
    }
}

#[tokio::test(start_paused = true)]
async fn of_100_a_day_all_are_usable_and_the_101st_of_any_24_hours_is_never_sent_however_often_we_are_killed()
{
    let disk = Arc::new(Disk::default());
    let start = Instant::now();
    let mut sent: Vec<Duration> = Vec::new();
    // A process is killed, requests on the way, after every seventh request or ten idle hours.
    while start.elapsed() < 96 * HOUR {
        let gate = disk.start(&["100/day"]);
        for i in 0..7_u64 {
            let Ok(entered) = tokio::time::timeout(10 * HOUR, enter(&gate)).await else { break };
            sent.push(start.elapsed());
            tokio::time::sleep(Duration::from_secs(20)).await;
            if i < 6 {
                entered.answered();
            } else {
                std::mem::forget(entered);
            }
        }
    }
    let day = 24 * HOUR;
    let most =
        sent.iter().map(|from| sent.iter().filter(|at| *at >= from && **at < *from + day).count()).max();
    assert_eq!(most, Some(100), "none too many, and none lost");
    assert!(sent.iter().filter(|at| **at < 95 * HOUR).count() > 350, "{} in four days", sent.len());
    assert!(disk.writes() <= sent.len() + 60, "{} writes", disk.writes());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_written_down_before_it_goes_and_does_not_go_if_it_can_not_be() {
    let disk = Arc::new(Disk::default());
    let gate = disk.start(&["3/day"]);
    *disk.full.lock().unwrap() = true;
    let shut = gate.enter(Priority::Live, LONG).await.unwrap_err();
    assert_eq!(shut, Shut::Unkept("no space left".to_owned()));
    *disk.full.lock().unwrap() = false;
    for sent in 1..=3 {
        enter(&gate).await.answered();
        assert_eq!(disk.writes(), sent);
    }
    let next = disk.start(&["3/day"]);
    assert!(matches!(next.enter(Priority::Live, HOUR).await, Err(Shut::Until(_))));
    assert_eq!(next.quotas()[0].left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_window_is_written_down_once_a_second_not_once_a_request() {
    let disk = Arc::new(Disk::default());
    let gate = disk.start(&["100/s", "6000/min"]);
    let sent = saturate(&gate, 4, Duration::ZERO, Duration::from_secs(120)).await;
    assert!(sent.len() > 11_700 && disk.writes() < 250, "{} for {}", disk.writes(), sent.len());
}

#[tokio::test(start_paused = true)]
async fn at_a_start_shorter_windows_count_as_used_up_unless_nothing_was_ever_sent() {
    let disk = Arc::new(Disk::default());
    let start = Instant::now();
    enter(&disk.start(&["10/s", "50/10s"])).await.answered();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(disk.writes(), 1);
    enter(&disk.start(&["10/s", "50/10s"])).await.answered();
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn live_requests_go_first_and_a_backfill_takes_half_of_a_long_window_at_most() {
    let gate = gate(&["1/s", "100/h"], 1);
    let order = Arc::new(Mutex::new(Vec::new()));
    enter(&gate).await.answered();
    let enters = |priority, times: usize| {
        let (gate, order) = (gate.clone(), Arc::clone(&order));
        tokio::spawn(async move {
            for _ in 0..times {
                let Ok(permit) = gate.enter(priority, LONG).await else { return };
                order.lock().unwrap().push(priority);
                permit.answered();
            }
        })
    };
    let backfill = enters(Priority::Backfill, 70);
    // The backfill waits in the first place when the live ones come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    enters(Priority::Live, 5).await.unwrap();
    assert_eq!(order.lock().unwrap()[..], [Priority::Live; 5]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(order.lock().unwrap().len(), 5 + 50, "the other half is left to live jobs");
    enters(Priority::Live, 44).await.unwrap();
    backfill.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_longer_than_they_like_is_told_until_when() {
    let gate = gate(&["1/h"], 9);
    enter(&gate).await.answered();
    let Err(Shut::Until(until)) = gate.enter(Priority::Live, Duration::from_secs(60)).await else { panic!() };
    assert_eq!(until - Instant::now(), HOUR);
    assert_eq!((gate.quotas()[0].left, gate.wait()), (0, HOUR));
}

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_at_once_and_forget_nothing() {
    let gate = gate(&["3/min"], 3);
    let start = Instant::now();
    let held = [enter(&gate).await, enter(&gate).await, enter(&gate).await];
    gate.change(&quotas(&["4/min"]), 1);
    held.into_iter().for_each(Permit::answered);
    let fourth = enter(&gate).await;
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(2 * minute, enter(&gate)).await.is_err(), "one at a time now");
    fourth.answered();
    assert!(start.elapsed() >= 2 * minute);
    gate.change(&quotas(&["1/min"]), 2);
    assert_eq!(gate.wait(), minute);
    gate.change(&[], 2);
    let _both = [enter(&gate).await, enter(&gate).await];
}
