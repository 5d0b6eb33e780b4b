//! The log of a connection's last requests: the part that enforces its quotas. It is a pure function of the instants it
//! is told; waiting is [`super::Gate`]'s.
//!
//! The rule, for each quota of N requests: request i+N goes out a full window after the *response* to request i.
//! Measuring from the response and not from the sending is what makes it hold at the other end of a network that
//! delays: the platform saw request i no later than it answered. A request that hangs therefore holds the N-th after
//! it back until it is given up.

use super::Quota;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// When the next request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Earliest {
    /// At once.
    Now,
    /// Not before this instant.
    At(Instant),
    /// Not before a request that is on the way has been answered.
    AfterAnswer,
}

/// The last requests of a connection, as many as its largest quota allows.
#[derive(Debug)]
pub struct Log {
    quotas: Vec<Quota>,
    /// When each was answered; nothing while it is on the way. The oldest first.
    requests: VecDeque<Option<Instant>>,
    /// The number of the first one in `requests`, counted from the start of the program.
    first: u64,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(quotas: Vec<Quota>) -> Self {
        Self { quotas, requests: VecDeque::new(), first: 0 }
    }

    /// The quotas it keeps, all at once.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// From now on it keeps these. What was sent before still counts.
    pub fn change(&mut self, quotas: Vec<Quota>) {
        self.quotas = quotas;
    }

    /// When the next request may go, asked at `now`.
    #[must_use]
    pub fn earliest(&self, now: Instant) -> Earliest {
        self.quotas.iter().map(|quota| self.earliest_of(*quota, now)).max().unwrap_or(Earliest::Now)
    }

    /// When this quota alone lets the next request go.
    #[must_use]
    pub fn earliest_of(&self, quota: Quota, now: Instant) -> Earliest {
        let place = self.requests.len().checked_sub(quota.requests as usize);
        match place.and_then(|place| self.requests.get(place)) {
            None => Earliest::Now,
            Some(None) => Earliest::AfterAnswer,
            Some(Some(at)) if now.saturating_duration_since(*at) >= quota.window => Earliest::Now,
            Some(Some(at)) => Earliest::At(*at + quota.window),
        }
    }

    /// How many requests count against this quota.
    #[must_use]
    pub fn used(&self, quota: Quota, now: Instant) -> u32 {
        let counts =
            |at: &&Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) < quota.window);
        let last = self.requests.iter().rev().take(quota.requests as usize);
        u32::try_from(last.filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Writes down that a request goes out; the number identifies it to [`Log::answered`].
    pub fn sent(&mut self) -> u64 {
        let most = self.quotas.iter().map(|quota| quota.requests as usize).max().unwrap_or(0);
        self.requests.push_back(None);
        while self.requests.len() > most {
            self.requests.pop_front();
            self.first += 1;
        }
        (self.first + self.requests.len() as u64).saturating_sub(1)
    }

    /// Writes down that request `number` was answered, or given up, at `at`.
    pub fn answered(&mut self, number: u64, at: Instant) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(request) = place.and_then(|place| self.requests.get_mut(place)) {
            *request = Some(at);
        }
    }

    /// How long ago each request was answered that still counts against some quota, the oldest first; nothing for those
    /// on the way.
    pub fn ages(&self, now: Instant) -> impl Iterator<Item = Option<Duration>> + '_ {
        let longest = self.quotas.iter().map(|quota| quota.window).max().unwrap_or_default();
        let ages = self.requests.iter().map(move |at| at.map(|at| now.saturating_duration_since(at)));
        ages.filter(move |age| age.is_none_or(|age| age < longest))
    }

    /// Takes over requests of an earlier process by how long ago they were answered, the oldest first.
    pub fn restore(&mut self, ages: impl Iterator<Item = Duration>, now: Instant) {
        for age in ages {
            let number = self.sent();
            // An instant before the host's own start can't be written down: the request then counts as answered now.
            self.answered(number, now.checked_sub(age).unwrap_or(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn log(requests: u32) -> Log {
        Log::new(vec![Quota { requests, window: SECOND }])
    }

    #[test]
    fn a_request_waits_a_full_window_after_the_response_not_after_the_sending() {
        let t = Instant::now();
        let mut log = log(2);
        let (a, b) = (log.sent(), log.sent());
        assert_eq!(log.earliest(t + 50 * SECOND), Earliest::AfterAnswer);
        log.answered(a, t + 3 * SECOND);
        assert_eq!(log.earliest(t + 3 * SECOND), Earliest::At(t + 4 * SECOND));
        assert_eq!(log.earliest(t + 4 * SECOND), Earliest::Now);
        log.sent();
        assert_eq!(log.earliest(t + 50 * SECOND), Earliest::AfterAnswer, "now it waits for the second");
        log.answered(b, t + 5 * SECOND);
        assert_eq!(log.earliest(t + 5 * SECOND), Earliest::At(t + 6 * SECOND));
    }

    #[test]
    fn an_answer_to_a_request_long_out_of_the_log_changes_nothing() {
        let t = Instant::now();
        let mut log = log(1);
        let first = log.sent();
        log.answered(first, t);
        let second = log.sent();
        log.answered(first, t + 9 * SECOND);
        assert_eq!(log.earliest(t + 9 * SECOND), Earliest::AfterAnswer);
        log.answered(second, t + SECOND);
        assert_eq!(log.earliest(t + SECOND), Earliest::At(t + 2 * SECOND));
    }

    #[test]
    fn what_an_earlier_process_sent_counts() {
        let t = Instant::now() + 100 * SECOND;
        let mut before = log(3);
        for age in [5000, 900, 200] {
            let number = before.sent();
            before.answered(number, t - Duration::from_millis(age));
        }
        before.sent();
        let millis = Duration::from_millis;
        let ages: Vec<_> = before.ages(t).collect();
        assert_eq!(ages, [Some(millis(900)), Some(millis(200)), None]);
        let mut after = log(3);
        after.restore(ages.into_iter().map(Option::unwrap_or_default), t);
        assert_eq!(after.earliest(t), Earliest::At(t + millis(100)));
        assert_eq!(after.used(after.quotas()[0], t + millis(100)), 2);
    }

    #[test]
    fn each_quota_looks_at_its_own_last_requests_and_a_changed_one_at_those_that_were() {
        let t = Instant::now();
        let of = |requests, seconds| Quota { requests, window: seconds * SECOND };
        let mut log = Log::new(vec![of(2, 1), of(3, 60)]);
        for _ in 0..3 {
            let number = log.sent();
            log.answered(number, t);
        }
        assert_eq!(log.earliest_of(of(2, 1), t), Earliest::At(t + SECOND));
        assert_eq!(log.earliest(t), Earliest::At(t + 60 * SECOND));
        log.change(vec![of(1, 30)]);
        assert_eq!(log.earliest(t), Earliest::At(t + 30 * SECOND));
        log.change(Vec::new());
        assert_eq!((log.earliest(t), log.sent(), log.ages(t).count()), (Earliest::Now, 3, 0));
    }

    proptest! {
        /// Requests arrive anywhere between sending and response, responses come in any order, some never.
        #[test]
        fn no_window_of_the_platform_holds_more_than_the_quota(
            quota in 1_u32..5,
            steps in prop::collection::vec((0_u64..700, 0_u64..1500, 0.0..=1.0_f64), 1..80),
        ) {
            let start = Instant::now();
            let at = |millis: u64| start + Duration::from_millis(millis);
            let mut log = log(quota);
            let (mut now, mut on_the_way, mut arrivals) = (0, Vec::<(u64, u64)>::new(), Vec::new());
            for (pause, latency, part) in steps {
                now += pause;
                loop {
                    on_the_way.sort_unstable();
                    while let Some(&(answer, number)) = on_the_way.first().filter(|(answer, _)| *answer <= now) {
                        log.answered(number, at(answer));
                        on_the_way.remove(0);
                    }
                    now = match log.earliest(at(now)) {
                        Earliest::Now => break,
                        Earliest::At(earliest) => (earliest - start).as_millis() as u64,
                        Earliest::AfterAnswer => on_the_way[0].0,
                    };
                }
                on_the_way.push((now + latency, log.sent()));
                arrivals.push(now + (latency as f64 * part) as u64);
            }
            arrivals.sort_unstable();
            for (i, from) in arrivals.iter().enumerate() {
                let inside = arrivals[i..].iter().take_while(|arrival| **arrival < from + 1000).count();
                prop_assert!(inside <= quota as usize, "{inside} requests in the second from {from} ms");
            }
        }
    }
}
