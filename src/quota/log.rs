//! The log of the last N requests of one quota: the part that enforces. It is a pure function of the instants it is
//! told; waiting is [`super::Gate`]'s.
//!
//! The rule: request i+N goes out a full window after the *response* to request i. Measuring from the response and
//! not from the sending is what makes it hold at the other end of a network that delays: the platform saw request i
//! no later than it answered. A request that hangs therefore holds the N-th after it back until it is given up.

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

/// The last N requests of one quota.
#[derive(Debug)]
pub struct Log {
    quota: Quota,
    /// When each was answered; nothing while it is on the way. The oldest first.
    requests: VecDeque<Option<Instant>>,
    /// The number of the first one in `requests`, counted from the start of the program.
    first: u64,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, requests: VecDeque::new(), first: 0 }
    }

    /// The quota it keeps.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// When the next request may go, asked at `now`.
    #[must_use]
    pub fn earliest(&self, now: Instant) -> Earliest {
        if self.requests.len() < self.quota.requests as usize {
            return Earliest::Now;
        }
        match self.requests.front() {
            Some(Some(answered)) if now.saturating_duration_since(*answered) >= self.quota.window => {
                Earliest::Now
            }
            Some(Some(answered)) => Earliest::At(*answered + self.quota.window),
            Some(None) => Earliest::AfterAnswer,
            None => Earliest::Now,
        }
    }

    /// Writes down that a request goes out; the number identifies it to [`Log::answered`].
    pub fn sent(&mut self) -> u64 {
        while self.requests.len() >= self.quota.requests as usize {
            self.requests.pop_front();
            self.first += 1;
        }
        self.requests.push_back(None);
        self.first + self.requests.len() as u64 - 1
    }

    /// Writes down that request `number` was answered, or given up, at `at`.
    pub fn answered(&mut self, number: u64, at: Instant) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(request) = place.and_then(|place| self.requests.get_mut(place)) {
            *request = Some(at);
        }
    }

    /// How long ago each request still inside the window was answered, the oldest first; those on the way count as
    /// answered now, which errs on the safe side.
    #[must_use]
    pub fn ages(&self, now: Instant) -> Vec<Duration> {
        let age = |at: &Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.requests.iter().map(age).filter(|age| *age < self.quota.window).collect()
    }

    /// Takes over requests of an earlier process by how long ago they were answered.
    pub fn restore(&mut self, mut ages: Vec<Duration>, now: Instant) {
        ages.sort_unstable_by(|a, b| b.cmp(a));
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
        Log::new(Quota { requests, window: SECOND })
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
        assert_eq!(before.ages(t), [900, 200, 0].map(Duration::from_millis));
        let mut after = log(3);
        after.restore(before.ages(t), t);
        assert_eq!(after.earliest(t), Earliest::At(t + Duration::from_millis(100)));
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
