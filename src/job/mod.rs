//! What a job is, checked: a trigger, the end it reads from, the end it writes to, and its limits. Configuration
//! only translates files into these types; everything to the right of this module trusts them.

pub mod map;
pub mod pull;
pub mod push;
pub mod receive;
pub mod steps;
pub mod upload;

pub use map::{FieldMap, MapRule, Shaping, ValueType};
pub use pull::{Changed, Cursor, CursorFormat, OnGone, Pages, Pull, Since, Target, Write};
pub use push::{Parent, Push, PushGone, Read, Results, Saved, Send, Verify};
pub use receive::Receive;
pub use steps::{Step, Steps};
pub use upload::Upload;

use crate::schedule::{Policy, Timetable};
use crate::words::JobName;
use std::time::Duration;

/// A named unit of work.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name: the key below `[job]`.
    pub name: JobName,
    /// What it does, for people.
    pub summary: String,
    /// A disabled job is never started by itself; it still answers `next` and can be run with `once`.
    pub enabled: bool,
    /// When it is due.
    pub trigger: Trigger,
    /// What happens to slots that can't simply run: catch-up, overlap, rerun, time-out, lock.
    pub policy: Policy,
    /// What it moves.
    pub work: Work,
}

/// When a job is due.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// At instants that can be computed.
    Timetable(Timetable),
    /// Once: the first import. Due as soon as each of these has had a successful run; at once if there are none.
    Initial(Vec<JobName>),
    /// When a slot of one of these ends `ok` or `partial`: each parent's slot brings one of the same instant.
    After(Vec<JobName>),
    /// When a person asks for it.
    Manual,
}

impl Trigger {
    /// The instants this trigger can compute, if it can.
    #[must_use]
    pub fn timetable(&self) -> Option<&Timetable> {
        match self {
            Self::Timetable(timetable) => Some(timetable),
            _ => None,
        }
    }
}

/// What a job moves.
#[derive(Debug, Clone)]
pub enum Work {
    /// Platform to ERP.
    Pull(Box<Pull>, Box<Write>),
    /// ERP to platform.
    Push(Box<Read>, Box<Push>),
    /// ERP to platform, several requests a record.
    Steps(Box<Read>, Box<Steps>),
    /// Platform to ERP, whenever the platform calls.
    Receive(Box<Receive>, Box<Write>),
    /// A complete schedule whose ends are still to be configured; it never runs.
    Unconfigured,
}

/// What a run of a job costs, as far as anybody knows before it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// HTTP requests sent.
    pub requests: u64,
    /// From its start to its end.
    pub duration: Duration,
}

impl Default for Estimate {
    /// One request and one second.
    fn default() -> Self {
        Self { requests: 1, duration: Duration::from_secs(1) }
    }
}

impl Job {
    /// Whether the daemon may start it: enabled, and with both ends configured. What receives is started by its platform.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.enabled && !matches!(self.work, Work::Unconfigured | Work::Receive(..))
    }

    /// The job under whose name its records are remembered, and its rejects kept: itself, or the one it continues.
    #[must_use]
    pub fn keeper(&self) -> &JobName {
        match &self.work {
            Work::Steps(_, steps) => steps.continues.as_ref().unwrap_or(&self.name),
            _ => &self.name,
        }
    }

    /// When it is due, for people.
    #[must_use]
    pub fn when(&self) -> String {
        if let Work::Receive(receive, _) = &self.work {
            return format!("when its platform calls {}", receive.describe());
        }
        match &self.trigger {
            Trigger::Timetable(timetable) => timetable.describe(),
            Trigger::Initial(parents) if parents.is_empty() => "once, on the first import".to_owned(),
            Trigger::Initial(parents) => {
                format!("once, on the first import, after that of {}", list(parents))
            }
            Trigger::After(parents) => format!("after {}", list(parents)),
            Trigger::Manual => "when a person asks for it".to_owned(),
        }
    }
}

fn list(jobs: &[JobName]) -> String {
    jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ")
}
