//! How the daemon, its jobs and its connections are doing: what `/health` answers.

use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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
    /// The platforms by name.
    #[serde(default)]
    pub connections: BTreeMap<ConnectionName, ConnectionHealth>,
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
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { status, version, uptime_seconds, jobs, reload, connections: BTreeMap::new() }
    }

    /// The same with the platforms: a closed one degrades the daemon.
    #[must_use]
    pub fn with_connections(mut self, connections: BTreeMap<ConnectionName, ConnectionHealth>) -> Self {
        if self.status == Condition::Ok && connections.values().any(|of| of.status != Condition::Ok) {
            self.status = Condition::Degraded;
        }
        self.connections = connections;
        self
    }
}

/// How a platform's connection is doing. All keys are always there; what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionHealth {
    /// `ok`, or `degraded` while its jobs' slots can't run.
    pub status: Condition,
    /// How each quota stands.
    pub quotas: Vec<QuotaHealth>,
    /// Nothing is sent before then, for a quota or because the platform asked for it.
    pub waits_until: Option<DateTime<Utc>>,
    /// That is so long that slots are skipped until then.
    pub parked_until: Option<DateTime<Utc>>,
    /// `closed`, or `open`: it is left alone because requests failed.
    pub breaker: String,
    /// Since when the breaker is open.
    pub open_since: Option<DateTime<Utc>>,
    /// When it is asked next whether it is back.
    pub next_probe: Option<DateTime<Utc>>,
    /// Why it is not ok, in an operator's words.
    pub why: Option<String>,
}

/// How a quota stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaHealth {
    /// As it is written: `100/day`.
    pub quota: String,
    /// Requests that could go now.
    pub left: u32,
    /// When there is one again, if none is left.
    pub next: Option<DateTime<Utc>>,
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
    /// How far it has read its source, as [`Mark`](crate::watermark::Mark) is written.
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
