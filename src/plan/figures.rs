//! What a run of a job costs: measured from the run history, or else given in the configuration, or else assumed.

use crate::job::Estimate;
use crate::run::{Outcome, RunRecord};

/// What a run of a job costs, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Most runs cost about this.
    pub usual: Estimate,
    /// No run cost more, in requests or in time.
    pub worst: Estimate,
    /// How that is known.
    pub source: Source,
}

/// How the cost of a run is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From so many runs of the history.
    Measured(usize),
    /// From the job's `estimate`.
    Given,
    /// It is not; a request and a second are assumed.
    Assumed,
}

impl Source {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured(_) => "measured",
            Self::Given => "given",
            Self::Assumed => "assumed",
        }
    }
}

impl Figures {
    /// The median and the maximum of the runs that went through; nothing if none did. A run that failed may have
    /// stopped early, or tried for long: it says nothing about the next one.
    #[must_use]
    pub fn measured(runs: &[RunRecord]) -> Option<Self> {
        let went_through = |run: &&RunRecord| run.outcome.is_some_and(Outcome::went_through);
        let mut requests = Vec::new();
        let mut durations = Vec::new();
        for run in runs.iter().filter(went_through) {
            // A clock that was set back makes a run end before it started.
            if let Some(duration) = run.ended.and_then(|ended| (ended - run.started).to_std().ok()) {
                requests.push(run.counts.requests);
                durations.push(duration);
            }
        }
        requests.sort_unstable();
        durations.sort_unstable();
        let at = |index: usize| {
            Some(Estimate { requests: *requests.get(index)?, duration: *durations.get(index)? })
        };
        let runs = requests.len();
        Some(Self { usual: at(runs / 2)?, worst: at(runs.checked_sub(1)?)?, source: Source::Measured(runs) })
    }

    /// As the configuration says.
    #[must_use]
    pub fn given(estimate: Estimate) -> Self {
        Self { usual: estimate, worst: estimate, source: Source::Given }
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self { source: Source::Assumed, ..Self::given(Estimate::default()) }
    }
}
