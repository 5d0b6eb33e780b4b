//! Requests by the second, and what a quota makes of them.

use super::layout::Run;
use crate::quota::Quota;
use std::cmp::Reverse;
use std::collections::VecDeque;

const DAY: u64 = 24 * 60 * 60;

/// How many requests want to go in each second from the begin of the day on; runs that go beyond its end take their
/// requests with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// The begin of the day, in seconds since 1970.
    begin: i64,
    seconds: Vec<u64>,
    pub(super) total: u64,
}

/// More requests than a quota allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    /// Where the fullest window starts, in seconds since 1970.
    pub(super) at: i64,
    /// The requests in it.
    pub(super) requests: u64,
    /// When a request first has to wait, in seconds since 1970.
    pub(super) first: i64,
    /// How long a request waits at most, in seconds.
    pub(super) longest: u64,
    /// How many still wait when the day is over.
    pub(super) left: u64,
}

impl Demand {
    /// No requests yet, from an instant in seconds since 1970.
    pub(super) fn new(begin: i64) -> Self {
        Self { begin, ..Self::default() }
    }

    /// Adds a run's requests, spread evenly from its start on. What a run of more than a day does after that day is
    /// not laid out.
    pub(super) fn add(&mut self, run: Run, requests: u64) {
        self.total += requests;
        let begin = u64::try_from(run.begin - self.begin * 1000).unwrap_or(0);
        let length = u64::try_from(run.end - run.begin).unwrap_or(0).clamp(1, DAY * 1000);
        let mut sent = 0;
        let mut second = begin / 1000;
        while sent < requests {
            let elapsed = ((second + 1) * 1000 - begin).min(length);
            let by_then = (elapsed.saturating_mul(requests)).div_ceil(length).min(requests);
            self.at(second, by_then - sent);
            sent = by_then;
            second += 1;
        }
    }

    fn at(&mut self, second: u64, requests: u64) {
        let Ok(index) = usize::try_from(second) else { return };
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, 0);
        }
        self.seconds[index] += requests;
    }

    /// The first of the fullest minutes of the clock, in seconds since 1970, and the requests in it.
    pub(super) fn busiest_minute(&self) -> Option<(i64, u64)> {
        let minutes = self.seconds.chunks(60).map(|minute| minute.iter().sum::<u64>()).zip(0_i64..);
        let busiest = minutes.max_by_key(|(requests, minute)| (*requests, Reverse(*minute)));
        busiest
            .filter(|(requests, _)| *requests > 0)
            .map(|(requests, minute)| (self.begin + minute * 60, requests))
    }

    /// What is too much for a quota, if anything is. Before the day nothing was sent; days after it are like it.
    pub(super) fn excess(&self, quota: Quota, day_seconds: u64) -> Option<Excess> {
        let allowed = u64::from(quota.requests);
        let window = quota.window.as_secs().max(1);
        if window > DAY {
            let requests = u64::try_from(u128::from(self.total) * u128::from(window) / u128::from(DAY));
            let requests = requests.unwrap_or(u64::MAX);
            let left = (self.total).saturating_sub(allowed * DAY / window);
            let (at, longest) = (self.begin, window);
            return (requests > allowed).then_some(Excess { at, requests, first: at, longest, left });
        }
        let (at, requests) = self.fullest(window)?;
        if requests <= allowed {
            return None;
        }
        let (first, longest, left) = self.queue(window, allowed, day_seconds);
        Some(Excess { at: self.begin + at, requests, first: self.begin + first, longest, left })
    }

    /// The first of the fullest windows of so many seconds: the first second with a request in it, and the requests.
    fn fullest(&self, window: u64) -> Option<(i64, u64)> {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        let mut inside = 0;
        let mut fullest = None;
        for (second, requests) in self.seconds.iter().enumerate() {
            inside += requests;
            if let Some(left) = second.checked_sub(window) {
                inside -= self.seconds[left];
            }
            if fullest.is_none_or(|(_, most)| inside > most) {
                fullest = Some(((second + 1).saturating_sub(window), inside));
            }
        }
        let (start, requests) = fullest?;
        let start = start + self.seconds[start..].iter().position(|requests| *requests > 0)?;
        Some((i64::try_from(start).ok()?, requests))
    }

    /// Lets requests go in the order they come, as early as the quota lets them: when one first waits, the longest
    /// wait, and how many wait at the end of the day.
    fn queue(&self, window: u64, allowed: u64, day_seconds: u64) -> (i64, u64, u64) {
        let (mut first, mut longest, mut left) = (None, 0, 0);
        // Who waits, by the second in which they came; what went, by the second in which it does not count any more.
        let mut waiting: VecDeque<(u64, u64)> = VecDeque::new();
        let mut sent: VecDeque<(u64, u64)> = VecDeque::new();
        let mut inside = 0;
        let mut demand = self.seconds.iter();
        for second in 0.. {
            match demand.next() {
                Some(0) => {}
                Some(requests) => waiting.push_back((second, *requests)),
                // What waits for longer than another day waits for ever.
                None if waiting.is_empty() || second > day_seconds + DAY => break,
                None => {}
            }
            while let Some((_, requests)) = sent.front().filter(|(until, _)| *until <= second) {
                inside -= requests;
                sent.pop_front();
            }
            let mut free = allowed - inside;
            while let Some((came, requests)) = waiting.front_mut().filter(|_| free > 0) {
                let go = free.min(*requests);
                longest = longest.max(second - *came);
                sent.push_back((second + window, go));
                inside += go;
                free -= go;
                *requests -= go;
                if *requests == 0 {
                    waiting.pop_front();
                }
            }
            if first.is_none() && !waiting.is_empty() {
                first = Some(second);
            }
            if second + 1 == day_seconds {
                left = waiting.iter().map(|(_, requests)| requests).sum();
            }
        }
        let waits = waiting.front().map_or(0, |(came, _)| day_seconds + DAY - came);
        let first = first.and_then(|first| i64::try_from(first).ok()).unwrap_or_default();
        (first, longest.max(waits), left)
    }
}
