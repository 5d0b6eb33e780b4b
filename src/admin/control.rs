//! What the daemon lets others see and do: the trait it implements and the data that goes over HTTP. The data
//! types are the wire format, the same for `/health`, `/api` and the command line; field names are the JSON keys.

mod health;

pub use self::health::{Condition, ConnectionHealth, Health, JobHealth, QuotaHealth, ReloadHealth};

use super::overview::Overview;
use crate::connectors::{Preview, Wanted};
use crate::rest::Ping;
use crate::run::{Counts, Outcome, RunId, RunRecord};
use crate::state;
use crate::transfer::{Exchange, RejectClass};
use crate::watermark::{Cursor, Mark, PageFacts};
use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use tokio::sync::mpsc::Receiver;

/// What a control request gives: data, or why not.
pub type Answer<T> = Result<T, Refusal>;

/// The running daemon, as the control API sees it. Implementations answer from memory or in `spawn_blocking`; they
/// may be called from many requests at once.
pub trait Control: Send + Sync + 'static {
    /// Whether the daemon serves its jobs right now; asked often, must not wait.
    fn readiness(&self) -> Readiness;
    /// How every job is doing; brings the gauges of all jobs up to date.
    fn health(&self) -> BoxFuture<'_, Health>;
    /// What the status page shows: the health, and of each job what it did last and does next.
    fn overview(&self) -> BoxFuture<'_, Overview>;
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
    /// Reads a stretch of the past of a job again, `[since, until)`, beside its own runs. What it tells comes as it goes;
    /// once nobody listens any more it is cut off, and the same stretch goes on there the next time.
    fn backfill(&self, job: JobName, since: Cursor, until: Cursor) -> BoxFuture<'_, Answer<Receiver<Step>>>;
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
    /// Moves a watermark, forwards or backwards, or takes it away, so that the job starts from its configured start;
    /// refused with [`Refusal::Busy`] while the job runs.
    fn set_watermark(&self, job: JobName, to: Option<Mark>) -> BoxFuture<'_, Answer<Moved>>;
    /// Rejects without their content, of one job or of all, `limit` at most.
    fn rejects(
        &self,
        job: Option<JobName>,
        wanted: Wanted,
        limit: usize,
    ) -> BoxFuture<'_, Answer<Vec<RejectRow>>>;
    /// One reject with its content.
    fn reject(&self, job: JobName, key: String) -> BoxFuture<'_, Answer<RejectRow>>;
    /// Drops rejects of a job; gives how many there were.
    fn drop_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>>;
    /// Has the next run send rejects of a job again; gives how many.
    fn retry_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>>;
    /// How each platform's connection is doing; brings its gauges up to date.
    fn connections(&self) -> BoxFuture<'_, BTreeMap<ConnectionName, ConnectionHealth>>;
    /// Asks a connection whether it works, through the same quotas as its jobs.
    fn ping(&self, connection: ConnectionName) -> BoxFuture<'_, Answer<Ping>>;
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

/// What a backfill tells. Where a listener is slow, pages are left out; the end never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A page was read.
    Page(PageRead),
    /// It ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// What it did.
        counts: Counts,
        /// What an operator should know.
        message: Option<String>,
    },
}

/// How far a backfill is in its pass: each pass reads the whole stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRead {
    /// Which page of the pass was read.
    pub page: u64,
    /// How many there are, where the platform says it.
    pub pages: Option<u64>,
    /// Rows of the pass read so far.
    pub rows: u64,
    /// How many there are, where the platform says it.
    pub items: Option<u64>,
}

impl PageRead {
    /// The next page is read: what it said, which it is, how many rows it has.
    #[must_use]
    pub fn then(self, facts: &PageFacts, page: u64, rows: u64) -> Self {
        // The first page begins a pass anew.
        let before = if page == 1 { 0 } else { self.rows };
        Self { page, pages: facts.total_pages, rows: before + rows, items: facts.total_items }
    }
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
    /// The values it had before, the latest first.
    #[serde(default)]
    pub previous: Vec<PastMark>,
}

/// A value that a watermark had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastMark {
    /// As [`Mark`] is written.
    pub watermark: String,
    /// Since when it was so.
    pub since: DateTime<Utc>,
}

/// A watermark that a person moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// As it is now.
    #[serde(flatten)]
    pub now: WatermarkRow,
    /// What it was until then; `null` if the job had none.
    pub before: Option<String>,
}

impl WatermarkRow {
    /// The row of a job without a watermark.
    #[must_use]
    pub fn none(job: JobName) -> Self {
        Self { job, watermark: None, updated: None, previous: Vec::new() }
    }

    /// The row of a watermark as the state keeps it.
    #[must_use]
    pub fn new(job: JobName, watermark: &state::Watermark) -> Self {
        let previous = watermark
            .previous
            .iter()
            .filter_map(|past| Some(PastMark { watermark: mark_text(&past.value)?, since: past.updated }));
        Self {
            job,
            watermark: mark_text(&watermark.value),
            updated: Some(watermark.updated),
            previous: previous.collect(),
        }
    }
}

/// A watermark's value as people read it; nothing where a person took it away.
#[must_use]
pub fn mark_text(value: &serde_json::Value) -> Option<String> {
    let text = || Mark::from_value(value).map_or_else(|_| value.to_string(), |mark| mark.to_string());
    (!value.is_null()).then(text)
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
    /// What becomes of it.
    #[serde(default)]
    pub class: RejectClass,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
    /// When it was first refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<DateTime<Utc>>,
    /// When it was last refused.
    pub at: DateTime<Utc>,
    /// The run that met it.
    pub run: Option<RunId>,
    /// Its content, JSON text, may be cut; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What was sent and said; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<Exchange>>,
}

impl RejectRow {
    /// The row of a reject as the state keeps it, with its content.
    #[must_use]
    pub fn new(job: JobName, reject: state::Reject) -> Self {
        let state::Reject { key, content, reason, class, exchange, run, tries, first, last, .. } = reject;
        let (first, run, content) = (Some(first), Some(run), Some(content));
        Self { job, key, reason, class, tries, first, at: last, run, content, exchange }
    }

    /// The same for a list.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self { content: None, exchange: None, ..self }
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
    /// There is no such connection. 404.
    #[error("there is no connection `{connection}`")]
    UnknownConnection {
        /// What was asked for.
        connection: String,
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
