//! Builds the two ends of a job and what it remembers between runs. Connections are opened once and shared by all jobs
//! that use them, so that their quotas, logins and pools are shared too.

mod preview;
mod pull;
mod push;

pub use preview::{Preview, PreviewCounts, PreviewedReject, PreviewedRequest};

use crate::clock::SharedClock;
use crate::connection::{Connection, ConnectionKind};
use crate::erp::{Database, SqlSink, SqlSource};
use crate::job::{Job, Work};
use crate::rest::{Client, PullSource, RestSink, SharedWalk, walk_rules};
use crate::retry::Backoff;
use crate::state::{Coordinator as _, Store, Token, Watermark};
use crate::transfer::{Checkpoint, Class, Failure, Sink, Source};
use crate::watermark::Walk;
use crate::words::{ConnectionName, JobName};
use pull::PullCheckpoint;
use push::PushCheckpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a job reads and writes: jobs with several entities tell them apart by name, all jobs so far have one.
const ENTITY: &str = "";
/// Passes of one walk are numbered below the number of its run.
const PASSES_BITS: u32 = 8;

/// The ends of one run.
pub struct Ends {
    /// Where records come from.
    pub source: Box<dyn Source>,
    /// Where they go.
    pub sink: Box<dyn Sink>,
    /// What is remembered of them.
    pub checkpoint: Box<dyn Checkpoint>,
}

/// The open connections.
#[derive(Debug)]
pub struct Connectors {
    databases: BTreeMap<ConnectionName, Database>,
    clients: BTreeMap<ConnectionName, Arc<Client>>,
    opened: BTreeMap<ConnectionName, Connection>,
    store: Store,
    clock: SharedClock,
}

impl Connectors {
    /// Makes each connection ready; nothing is contacted yet, but certificate files are read, so it blocks for a
    /// moment. A connection that `before` has unchanged is taken over with its quotas and its login.
    pub fn open(
        connections: &BTreeMap<ConnectionName, Connection>,
        before: Option<&Self>,
        store: Store,
        clock: SharedClock,
    ) -> Result<Self, Failure> {
        Self::open_with(connections, before, store, clock, Backoff::default())
    }

    /// As [`Connectors::open`], with other waits between the tries of a request.
    pub fn open_with(
        connections: &BTreeMap<ConnectionName, Connection>,
        before: Option<&Self>,
        store: Store,
        clock: SharedClock,
        backoff: Backoff,
    ) -> Result<Self, Failure> {
        let mut connectors = Self {
            databases: BTreeMap::new(),
            clients: BTreeMap::new(),
            opened: connections.clone(),
            store,
            clock: clock.clone(),
        };
        for (name, connection) in connections {
            let before = before.filter(|before| before.opened.get(name) == Some(connection));
            let named = |failure: Failure| {
                Failure::new(failure.class, format!("connection {name}: {}", failure.message))
            };
            match &connection.kind {
                ConnectionKind::Sql(sql) => {
                    let kept = before.and_then(|before| before.databases.get(name).cloned());
                    let database = kept.map_or_else(|| Database::open(sql), Ok).map_err(named)?;
                    connectors.databases.insert(name.clone(), database);
                }
                ConnectionKind::Rest(rest) => {
                    let kept = before.and_then(|before| before.clients.get(name).cloned());
                    let open = || Client::with_backoff(rest, clock.clone(), backoff).map(Arc::new);
                    connectors.clients.insert(name.clone(), kept.map_or_else(open, Ok).map_err(named)?);
                }
            }
        }
        Ok(connectors)
    }

    /// The platform connections, for what they have to show.
    pub fn clients(&self) -> impl Iterator<Item = (&ConnectionName, &Arc<Client>)> {
        self.clients.iter()
    }

    /// How far a job has read its source.
    pub async fn watermark(&self, job: &JobName) -> Result<Option<Watermark>, Failure> {
        self.store.watermark(job, ENTITY).await.map_err(state)
    }

    /// Builds the ends of one run and takes up what the last one left: keys in doubt, an unfinished walk.
    pub async fn ends(&self, job: &Job, token: &Token) -> Result<Ends, Failure> {
        self.store.recover_doubt(&job.name, ENTITY).await.map_err(state)?;
        match &job.work {
            Work::Pull(pull, write) => {
                let client = self.client(&pull.from)?;
                let sink = SqlSink::new(self.database(&write.to)?, &job.name, write);
                let rules = walk_rules(pull);
                let walk = self.walk(job, pull, token, &rules).await?;
                let checkpoint =
                    PullCheckpoint::new(self.store.clone(), token.clone(), pull, walk.clone(), rules);
                let source = PullSource::new(&client, Arc::new((**pull).clone()), walk, self.clock.clone());
                Ok(Ends { source: Box::new(source), sink: Box::new(sink), checkpoint: Box::new(checkpoint) })
            }
            Work::Push(read, push) => {
                let database = self.database(&read.from)?;
                let source = SqlSource::new(database, read, push.map.clone(), push.group_by.clone());
                let sink = RestSink::new(self.client(&push.to)?, push);
                let checkpoint = PushCheckpoint::new(self.store.clone(), token.clone(), read, push);
                Ok(Ends { source: Box::new(source), sink: Box::new(sink), checkpoint: Box::new(checkpoint) })
            }
            Work::Unconfigured => Err(unconfigured()),
        }
    }

    /// The walk that a crash left unfinished, or a new one from the watermark less the overlap.
    async fn walk(
        &self,
        job: &Job,
        pull: &crate::job::Pull,
        token: &Token,
        rules: &crate::watermark::WalkRules,
    ) -> Result<SharedWalk, Failure> {
        let unfinished = self.store.walk(&job.name, ENTITY).await.map_err(state)?;
        if let Some(walk) = unfinished.and_then(|walk| serde_json::from_value::<Walk>(walk).ok()) {
            tracing::info!(pass = walk.pass(), "taking up the walk that was interrupted");
            return Ok(SharedWalk::new(walk.resumed()));
        }
        let low = match &pull.since {
            None => None,
            Some(since) => {
                let mark = pull::watermark(&self.store, &job.name).await?;
                let overlap = i64::try_from(since.overlap.as_millis()).unwrap_or(i64::MAX);
                Some(mark.map_or(since.start, |mark| mark.minus(overlap).max(since.start)))
            }
        };
        Ok(SharedWalk::new(Walk::new(token.run.0 << PASSES_BITS, low, rules)))
    }

    fn client(&self, name: &ConnectionName) -> Result<Arc<Client>, Failure> {
        self.clients.get(name).cloned().ok_or_else(|| missing(name, "a platform (`url = …`)"))
    }

    fn database(&self, name: &ConnectionName) -> Result<Database, Failure> {
        self.databases.get(name).cloned().ok_or_else(|| missing(name, "a database (`sql = …`)"))
    }
}

fn unconfigured() -> Failure {
    let ends = "its ends are still to be configured: give it `pull` and `write`, or `read` and `push`";
    Failure::new(Class::Config, ends)
}

fn missing(name: &ConnectionName, what: &str) -> Failure {
    Failure::new(Class::Config, format!("there is no connection `{name}` to {what}"))
}

/// A failure of our own state, as a run sees it.
fn state(error: crate::state::StateError) -> Failure {
    Failure::new(Class::State, error.to_string())
}
