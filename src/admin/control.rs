//! What the daemon lets others see and do: the trait it implements and the data that goes over HTTP. The data
//! types are the wire format, the same for `/health`, `/api` and the command line; field names are the JSON keys.

use crate::connectors::Preview;
use crate::run::{Outcome, RunId, RunRecord};
use crate::state;
use crate::watermark::Mark;
use crate::words::JobName;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// What a control request gives: data, or why not.
pub type Answer<T> = Result<T, Refusal>;

/// The running daemon, as the control API sees it. Implementations answer from memory or in `spawn_blocking`; they
/// may be called from many requests at once.
pub trait Control: Send + Sync + 'static {
    /// Whether the daemon serves its jobs right now; asked often, must not wait.
    fn readiness(&self) -> Readiness;
    /// How every job is doing; brings the gauges of all jobs up to date.
    fn health(&self) -> BoxFuture<'_, Health>;
    /// One row a job, in name order.
    fn status(&self) -> BoxFuture<'_, Answer<Vec<JobStatus>>>;
    /// The newest runs first, `limit` at most, of one job or of all.
    fn history(&self, job: Option<JobName>, limit: usize) -> BoxFuture<'_, Answer<Vec<RunRecord>>>;
    /// The slots of a job on a day of the job's own zone (today, if not given) and what came of each, in order.
    fn slots(&self, job: JobName, date: Option<NaiveDate>) -> BoxFuture<'_, Answer<Vec<SlotRow>>>;
    /// Starts a run now. With [`Wait::Yes`] it answers when the run has ended.
    fn trigger(&self, job: JobName, again: Again, wait: Wait) -> BoxFuture<'_, Answer<Triggered>>;
    /// What a run of the job would do now, or, with `rows`, what becomes of that many rows of its source. Writes nothing.
    fn dry_run(&self, job: JobName, rows: Option<usize>) -> BoxFuture<'_, Answer<Preview>>;
    /// Keeps a job from being started until it is resumed; survives a restart.
    fn pause(&self, job: JobName, reason: Option<String>) -> BoxFuture<'_, Answer<()>>;
    /// Takes a pause back.
    fn resume(&self, job: JobName) -> BoxFuture<'_, Answer<()>>;
    /// Reads the configuration again. With [`Wait::Yes`] it answers when the new set serves, or with
    /// [`Refusal::Config`] when the old one stays; with [`Wait::No`] as soon as the reload is under way.
    fn reload(&self, wait: Wait) -> BoxFuture<'_, Answer<Reloaded>>;
    /// Every job that keeps a watermark, in name order.
    fn watermarks(&self) -> BoxFuture<'_, Answer<Vec<WatermarkRow>>>;
    /// One job's watermark.
    fn watermark(&self, job: JobName) -> BoxFuture<'_, Answer<WatermarkRow>>;
    /// Moves a watermark, forwards or backwards; refused with [`Refusal::Busy`] while the job runs.
    fn set_watermark(&self, job: JobName, to: Mark) -> BoxFuture<'_, Answer<WatermarkRow>>;
    /// Forgets a watermark, so that the job starts from its configured start.
    fn reset_watermark(&self, job: JobName) -> BoxFuture<'_, Answer<()>>;
    /// Rejects without their content, of one job or of all, `limit` at most.
    fn rejects(&self, job: Option<JobName>, limit: usize) -> BoxFuture<'_, Answer<Vec<RejectRow>>>;
    /// One reject with its content.
    fn reject(&self, job: JobName, key: String) -> BoxFuture<'_, Answer<RejectRow>>;
    /// Drops one reject, or all of the job; gives how many there were.
    fn drop_rejects(&self, job: JobName, key: Option<String>) -> BoxFuture<'_, Answer<u64>>;
    /// Writes the whole state as JSON lines and flushes. `to` is a file that nobody else waits for: how fast a client
    /// reads is no business of the state.
    fn export(&self, to: Box<dyn io::Write + Send>) -> BoxFuture<'_, Answer<()>>;
}

/// Whether the daemon serves its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Configuration, state or scheduler are not up yet.
    Starting,
    /// All is up. A refused reload keeps this: the old set serves.
    Ready,
    /// Told to stop; no run is started any more.
    Draining,
}

/// Whether a request answers only when what it started has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It waits for the end.
    Yes,
    /// It answers at once.
    No,
}

/// Whether an `initial` job runs although it had its one successful run. What was delivered before is remembered either
/// way; other jobs don't mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It runs once more.
    Yes,
    /// It is refused.
    No,
}

/// How the daemon, or one job, is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// As it should be; a job that never ran yet is ok.
    Ok,
    /// A person should look when there is time: the last run failed or was partial, the job is paused, rejects wait,
    /// a reload was refused.
    Degraded,
    /// A person must act.
    Failing,
    /// A job that never starts by itself: disabled, or not configured yet. Never worsens the daemon's own condition.
    Off,
}

impl Condition {
    /// The word used in JSON and on the terminal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `/health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, `degraded` or `failing`.
    pub status: Condition,
    /// The daemon's version.
    pub version: String,
    /// Whole seconds since the daemon started.
    pub uptime_seconds: u64,
    /// Every job by name.
    pub jobs: BTreeMap<JobName, JobHealth>,
    /// How the last reload went.
    pub reload: ReloadHealth,
}

impl Health {
    /// The whole picture from its parts; the daemon is as bad as its worst job, and degraded after a refused reload.
    #[must_use]
    pub fn new(uptime_seconds: u64, jobs: BTreeMap<JobName, JobHealth>, reload: ReloadHealth) -> Self {
        let has = |condition| jobs.values().any(|job| job.status == condition);
        let status = if has(Condition::Failing) {
            Condition::Failing
        } else if has(Condition::Degraded) || !reload.ok {
            Condition::Degraded
        } else {
            Condition::Ok
        };
        Self { status, version: env!("CARGO_PKG_VERSION").to_owned(), uptime_seconds, jobs, reload }
    }
}

/// How one job is doing. All keys are always there; what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHealth {
    /// How it is doing.
    pub status: Condition,
    /// When its last run started.
    pub last_run: Option<DateTime<Utc>>,
    /// When its last run that went through (`ok` or `partial`) ended.
    pub last_success: Option<DateTime<Utc>>,
    /// Its next slot.
    pub next_slot: Option<DateTime<Utc>>,
    /// How far it has read its source, as [`Mark`] is written.
    pub watermark: Option<String>,
    /// Failed runs since the last that went through.
    pub consecutive_failures: u32,
    /// Rejects kept for it.
    pub rejects: u64,
    /// Why it is not ok, in an operator's words.
    pub why: Option<String>,
}

/// How the last reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadHealth {
    /// Whether the configuration on disk, when last read, is the one that serves.
    pub ok: bool,
    /// Why it was refused.
    pub why: Option<String>,
}

/// One row of `cadenced status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub job: JobName,
    /// What it does, for people.
    pub summary: String,
    /// The zone its times are shown in: an IANA name.
    pub timezone: String,
    /// How it is doing.
    pub health: JobHealth,
    /// How its last ended run ended.
    pub last_outcome: Option<Outcome>,
    /// The run that goes at the moment.
    pub running: Option<RunId>,
    /// It is paused: the reason, empty if none was given.
    pub paused: Option<String>,
}

/// One slot of a day, or a stretch of slots that share a fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRow {
    /// The nominal instant; of a stretch, the first.
    pub at: DateTime<Utc>,
    /// Of a stretch, the nominal instant of the last.
    pub until: Option<DateTime<Utc>>,
    /// How many slots the row stands for.
    pub slots: u64,
    /// How it ended; `null` with attempts is running, `null` without is still to come.
    pub outcome: Option<Outcome>,
    /// Runs started for it.
    pub attempts: u32,
    /// The last run started for it.
    pub run: Option<RunId>,
    /// Why it was not run, or failed.
    pub reason: Option<String>,
    /// The zone the job's times are shown in: an IANA name.
    pub timezone: String,
}

/// What a trigger did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// The slot the run was started for.
    pub slot: DateTime<Utc>,
    /// The run as the ledger has it once it ended; `null` if the request did not wait.
    pub run: Option<RunRecord>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Jobs of the new set; `null` if the request did not wait.
    pub jobs: Option<usize>,
    /// Warnings, each as `file:line:column: key: …`.
    pub warnings: Vec<String>,
}

/// How far a job has read its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkRow {
    /// The job.
    pub job: JobName,
    /// As [`Mark`] is written; `null` if the job has none yet.
    pub watermark: Option<String>,
    /// When it was last moved.
    pub updated: Option<DateTime<Utc>>,
}

impl WatermarkRow {
    /// The row of a watermark as the state keeps it.
    #[must_use]
    pub fn new(job: JobName, watermark: &state::Watermark) -> Self {
        let text = Mark::from_value(&watermark.value)
            .map_or_else(|_| watermark.value.to_string(), |mark| mark.to_string());
        Self { job, watermark: Some(text), updated: Some(watermark.updated) }
    }
}

/// A record the other side refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectRow {
    /// The job.
    pub job: JobName,
    /// The record's key.
    pub key: String,
    /// Why, in an operator's words.
    pub reason: String,
    /// When it was last refused.
    pub at: DateTime<Utc>,
    /// The run that met it.
    pub run: Option<RunId>,
    /// Its content, JSON text, may be cut; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl RejectRow {
    /// The row of a reject as the state keeps it, with its content.
    #[must_use]
    pub fn new(job: JobName, reject: state::Reject) -> Self {
        let state::Reject { key, content, reason, run, last, .. } = reject;
        Self { job, key, reason, at: last, run: Some(run), content: Some(content) }
    }

    /// The same for a list.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self { content: None, ..self }
    }
}

/// Why a control request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is no such job. 404.
    #[error("there is no job `{job}`{}", suggested(.suggestion.as_deref()))]
    UnknownJob {
        /// What was asked for.
        job: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// There is no such thing. 404.
    #[error("{message}")]
    NotFound {
        /// What is missing.
        message: String,
    },
    /// The request makes no sense. 400.
    #[error("{message}")]
    BadRequest {
        /// What is wrong with it.
        message: String,
    },
    /// No token, or the wrong one. 401.
    #[error("{message}")]
    Unauthorized {
        /// What to do.
        message: String,
    },
    /// It can't be done now: the job runs, is disabled, is not configured. 409.
    #[error("{message}")]
    Busy {
        /// What stands in the way.
        message: String,
    },
    /// The configuration was refused and the old set of jobs stays. 422.
    #[error("the configuration was refused, the old one stays:\n{}", .problems.join("\n"))]
    Config {
        /// Every problem, each as `file:line:column: key: problem`.
        problems: Vec<String>,
    },
    /// The daemon is starting or draining. 503.
    #[error("{message}")]
    Unavailable {
        /// Which of the two.
        message: String,
    },
    /// Something of our own broke. 500.
    #[error("{message}")]
    Internal {
        /// What broke.
        message: String,
    },
}

fn suggested(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
