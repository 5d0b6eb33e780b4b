//! Files, environment and flags into checked settings, connections and jobs.
//!
//! Layers, later wins: built-in defaults, `cadenced.toml`, the `*.toml` of each directory of `schedules` in name order,
//! `CADENCED_` variables (`__` between levels, `_` for `-`), flags. figment merges them; a span-aware parse of each file
//! gives positions. Jobs and connections are keyed by name, so that a later layer changes single keys. What only means
//! something together is replaced together: a layer that sets any trigger key of a job (`cron`, `every`, `offset`,
//! `between`, `except`, `initial`, `after`) replaces its whole trigger; the same holds for the method of a push, for
//! `sql` and `url` of a connection, and for a secret. A `timezone` is no trigger key: a job's zone is its own, or that
//! of the file that set its trigger, or that of the last file that names the job, or the daemon's.
//!
//! Promises: every mistake is reported, all together, each where it was made; a key nobody reads is a mistake;
//! a secret is never part of a message. Reading is synchronous: callers on an async thread use `spawn_blocking`.

mod connections;
mod cursor;
mod diagnostic;
mod document;
mod ends;
mod inbound;
mod jobs;
mod layers;
mod map;
mod pull;
mod push;
mod reader;
mod receive;
mod schema;
mod secret;
mod settings;
mod steps;
mod trigger;
mod units;
mod upload;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, OriginKind, Place};
pub use schema::schema;

use self::document::Node;
use self::reader::{Report, Table};
use crate::connection::Connection;
use crate::housekeeping::Rules;
use crate::job::{Estimate, Job};
use crate::telemetry::LogFormat;
use crate::words::{ConnectionName, JobName};
use chrono_tz::Tz;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a configuration is read from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The daemon's file; without one `./cadenced.toml`, or else `/etc/cadenced/cadenced.toml`.
    pub file: Option<PathBuf>,
    /// The environment: `CADENCED_` variables are a layer, others may be named as secrets.
    pub env: Vec<(String, String)>,
    /// Keys given on the command line: the dotted key and its value.
    pub overrides: Vec<(String, String)>,
    /// Where systemd put the credentials (`$CREDENTIALS_DIRECTORY`).
    pub credentials_dir: Option<PathBuf>,
}

/// A configuration without a mistake.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What concerns the daemon as a whole.
    pub settings: Settings,
    /// The endpoints, by name.
    pub connections: BTreeMap<ConnectionName, Connection>,
    /// The jobs, by name.
    pub jobs: BTreeMap<JobName, Job>,
    /// What a run of a job costs, where the configuration says it; for `plan`.
    pub estimates: BTreeMap<JobName, Estimate>,
    /// Where jobs stand in a first import, where the configuration says it; nothing: they are no part of it.
    pub imports: BTreeMap<JobName, Option<u64>>,
    /// The files read, in the order of their layers.
    pub files: Vec<PathBuf>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// Which place set which key (dotted), for `check`.
    pub origins: BTreeMap<String, Place>,
}

/// What concerns the daemon as a whole.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The zone of jobs that name none; default UTC.
    pub timezone: Tz,
    /// The state directory, absolute; default `state` beside the file.
    pub state: PathBuf,
    /// The directories of schedule files, absolute, in the order of their layers.
    pub schedules: Vec<PathBuf>,
    /// The admin endpoint.
    pub admin: Admin,
    /// The listener that platforms call; there is none unless it is described.
    pub inbound: Option<crate::inbound::Settings>,
    /// How long a stop waits for running jobs; default 30 s.
    pub drain_timeout: Duration,
    /// What is logged and how.
    pub log: Log,
    /// How long history and exports are kept.
    pub housekeeping: Rules,
}

/// The admin endpoint.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens; default `127.0.0.1:8640`.
    pub listen: SocketAddr,
    /// The bearer token control requests need; without one they are refused over the network.
    pub token: Option<SecretString>,
}

/// What is logged and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is logged; default info.
    pub level: tracing::Level,
    /// How a line is written; default text.
    pub format: LogFormat,
}

/// Reads and checks the whole configuration; the error is every mistake in it, in the order of the layers. Reads files
/// and blocks while it does.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let merged = layers::read(sources);
    let report = Report::default();
    let root = Table::root(&merged.root, &report);
    let mut loaded = Loaded {
        settings: settings::read(sources, &root),
        connections: BTreeMap::new(),
        jobs: BTreeMap::new(),
        estimates: BTreeMap::new(),
        imports: BTreeMap::new(),
        files: merged.files,
        warnings: Vec::new(),
        origins: BTreeMap::new(),
    };
    if let Some(all) = root.table("connection") {
        connections::read_all(sources, &all, &mut loaded);
    }
    if let Some(all) = root.table("job") {
        let incomplete = !merged.broken.is_empty();
        let callers = merged.root.get("inbound").and_then(|inbound| inbound.get("caller"));
        let named = ends::Connections { tables: merged.root.get("connection"), jobs: all.node, incomplete };
        jobs::read(&all, loaded.settings.timezone, &named, &mut loaded);
        receive::check(&all, &loaded.jobs, callers);
    }
    origins(&merged.root, &mut Vec::new(), &mut loaded.origins);

    let mut mistakes = merged.mistakes;
    // A file that could only be read in part has one mistake: what it can't say for itself is not held against it.
    mistakes
        .extend(report.errors.into_inner().into_iter().filter(|error| !merged.broken.contains(&error.file)));
    let mut warnings = report.warnings.into_inner();
    let rank = |diagnostic: &Diagnostic| {
        let file = loaded.files.iter().position(|file| file.as_os_str() == diagnostic.file.as_str());
        (file.unwrap_or(usize::MAX), diagnostic.line, diagnostic.column)
    };
    mistakes.sort_by_key(rank);
    mistakes.dedup();
    warnings.sort_by_key(rank);
    loaded.warnings = warnings;
    if mistakes.is_empty() { Ok(loaded) } else { Err(mistakes) }
}

/// Lists the place of every value; a list or a secret is one value.
fn origins(node: &Node, path: &mut Vec<String>, places: &mut BTreeMap<String, Place>) {
    for (key, below) in node.entries() {
        path.push(key.clone());
        if below.entries().is_empty() || layers::is_secret(below) {
            places.insert(path.join("."), below.at.clone());
        } else {
            origins(below, path, places);
        }
        path.pop();
    }
}
