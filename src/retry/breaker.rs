//! When a platform is left alone: after some failures in a row nothing is sent but a probe now and then, until one goes
//! through. A state machine of what happened and when; who sends the probes is left to the callers.

use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::time::Instant;

/// The wait before the first probe where a person must act.
const FIRST_FOR_A_PERSON: Duration = Duration::from_secs(60);
/// The longest wait between probes where a person must act.
const LONGEST_FOR_A_PERSON: Duration = Duration::from_secs(15 * 60);

/// When a breaker opens and how often it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// It opens after as many failures in a row.
    pub after: u32,
    /// The wait before the first probe; it doubles with each that fails.
    pub probe: Duration,
    /// The longest wait between two probes.
    pub longest: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self { after: 5, probe: Duration::from_secs(15), longest: Duration::from_secs(120) }
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The platform didn't answer, or said that it can't: it may pass.
    Failing,
    /// It was refused: a right that this one request lacks, if another was accepted before; else like
    /// [`Fault::ForAPerson`].
    Forbidden,
    /// It doesn't believe who we are, or the address is wrong: a person must act, and nothing is gained by asking often.
    ForAPerson,
}

/// An open breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, in an operator's words.
    pub reason: String,
    /// What kind of failure opened it.
    pub fault: Fault,
    /// When it is probed next.
    pub probe_at: Instant,
}

/// Whether a platform is left alone.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    /// In a row.
    failures: u32,
    /// Probes since a request last went through.
    probes: u32,
    /// Something was accepted before.
    proven: bool,
    open: Option<Open>,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(rules: BreakerRules) -> Self {
        Self { rules, failures: 0, probes: 0, proven: false, open: None }
    }

    /// Why nothing is sent, if it is open.
    #[must_use]
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// A request went through: the platform is there. Says whether it was open.
    pub fn succeeded(&mut self) -> bool {
        (self.failures, self.probes, self.proven) = (0, 0, true);
        self.open.take().is_some()
    }

    /// A request failed. Says whether that opens it.
    pub fn failed(&mut self, fault: Fault, reason: &str, now: Instant, at: DateTime<Utc>) -> bool {
        if self.open.is_some() || (fault == Fault::Forbidden && self.proven) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if fault == Fault::Failing && self.failures < self.rules.after {
            return false;
        }
        let probe_at = now + self.wait(fault);
        self.open = Some(Open { since: at, reason: reason.to_owned(), fault, probe_at });
        true
    }

    /// A probe went through: it closes. How long to wait is forgotten only by a request that goes through too: a platform
    /// that answers probes and nothing else is not asked more often for it.
    pub fn probe_succeeded(&mut self) {
        (self.open, self.proven) = (None, true);
        self.probes = self.probes.saturating_add(1);
        self.failures = self.rules.after.saturating_sub(1);
    }

    /// A probe failed too.
    pub fn probe_failed(&mut self, fault: Fault, reason: &str, now: Instant) {
        self.probes = self.probes.saturating_add(1);
        let probe_at = now + self.wait(fault);
        if let Some(open) = &mut self.open {
            (open.probe_at, open.fault) = (probe_at, fault);
            reason.clone_into(&mut open.reason);
        }
    }

    fn wait(&self, fault: Fault) -> Duration {
        let (first, longest) = match fault {
            Fault::Failing => (self.rules.probe, self.rules.longest),
            Fault::Forbidden | Fault::ForAPerson => (FIRST_FOR_A_PERSON, LONGEST_FOR_A_PERSON),
        };
        first.saturating_mul(2_u32.saturating_pow(self.probes)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    fn at() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 2, 12, 0, 0).unwrap()
    }

    fn fail_five_times(breaker: &mut Breaker, now: Instant) {
        for _ in 0..5 {
            breaker.failed(Fault::Failing, "503", now, at());
        }
    }

    /// The seconds between probes while all of them fail.
    fn waits(breaker: &mut Breaker, fault: Fault, mut now: Instant) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..7 {
            let next = breaker.open().unwrap().probe_at;
            waits.push((next - now).as_secs());
            now = next;
            breaker.probe_failed(fault, "still", now);
        }
        waits
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_probes_ever_less_often() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        for _ in 0..4 {
            assert!(!breaker.failed(Fault::Failing, "503", now, at()));
        }
        assert!(!breaker.succeeded());
        for _ in 0..4 {
            assert!(!breaker.failed(Fault::Failing, "503", now, at()));
        }
        assert!(breaker.failed(Fault::Failing, "502", now, at()));
        let open = breaker.open().unwrap();
        assert_eq!((open.reason.as_str(), open.since), ("502", at()));
        assert_eq!(waits(&mut breaker, Fault::Failing, now), [15, 30, 60, 120, 120, 120, 120]);
        assert_eq!(breaker.open().unwrap().reason, "still");
    }

    #[test]
    fn what_needs_a_person_opens_it_at_once_and_is_asked_for_rarely() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        assert!(breaker.failed(Fault::ForAPerson, "401", now, at()));
        assert_eq!(waits(&mut breaker, Fault::ForAPerson, now), [60, 120, 240, 480, 900, 900, 900]);
    }

    #[test]
    fn one_right_that_is_missing_leaves_the_others_alone() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        assert!(breaker.failed(Fault::Forbidden, "403", now, at()), "nothing was accepted yet");
        breaker.probe_succeeded();
        for _ in 0..9 {
            assert!(!breaker.failed(Fault::Forbidden, "403", now, at()));
        }
    }

    #[test]
    fn a_platform_that_answers_probes_and_nothing_else_is_not_asked_more_often_for_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        fail_five_times(&mut breaker, now);
        for wait in [15, 30, 60, 120, 120] {
            assert_eq!((breaker.open().unwrap().probe_at - now).as_secs(), wait);
            breaker.probe_succeeded();
            assert!(breaker.open().is_none());
            assert!(breaker.failed(Fault::Failing, "503", now, at()), "the first failure opens it again");
        }
        breaker.probe_succeeded();
        breaker.succeeded();
        fail_five_times(&mut breaker, now);
        assert_eq!((breaker.open().unwrap().probe_at - now).as_secs(), 15);
    }
}
