//! Builds the two ends of a job and what it remembers between runs. Connections are opened once and shared by all jobs
//! that use them, so that their quotas, logins and pools are shared too.

mod check;
mod deliveries;
mod echo;
mod feed;
mod gone;
mod kept;
mod missing;
mod preview;
mod pull;
mod push;
mod receive;
mod retried;
mod seen;
mod since;
mod steps;
mod trial;
mod uploads;

pub use check::check;
pub use preview::{Preview, PreviewCounts, PreviewedReject, PreviewedRequest, Tried};
pub use receive::{Fault, MUST_CALL_AGAIN, Outcomes, RECEIVES, Refused, Taken};
pub use retried::{Wanted, drop_rejects, retry_rejects};
pub use steps::{Chain, Progress};

use crate::clock::SharedClock;
use crate::connection::{Connection, ConnectionKind};
use crate::erp::{Database, FileSource, Mapper, SqlSink, SqlSource};
use crate::job::{Cursor, CursorFormat, Job, Pull, Push, Read, Send, Shaping, Work, Write};
use crate::planner::Closed;
use crate::rest::{
    Client, Ping, PingStep, PullSource, Reader, RestSink, SharedWalk, Watch, Witnesses, waiting_row,
    walk_rules,
};
use crate::state::{Coordinator as _, Store, Token, Watermark};
use crate::transfer::files::Files;
use crate::transfer::{Checkpoint, Class, Digest, Failure, Record, Sink, Source};
use crate::watermark::{Feed, Mark, Walk};
use crate::words::{ConnectionName, JobName};
use chrono::{DateTime, TimeDelta, Utc};
use deliveries::{Deliveries, WITNESSES};
use feed::FeedCheckpoint;
use pull::{PullCheckpoint, Scope, Unfinished};
use push::{Limit, PushCheckpoint};
use receive::Writers;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uploads::Steps;

/// What a job reads and writes: jobs with several entities tell them apart by name, all jobs so far have one.
const ENTITY: &str = "";
/// As many parked rows are followed up again by one run.
const WAITING: usize = 1_000;

/// The ends of one run.
pub struct Ends {
    /// Where records come from.
    pub source: Box<dyn Source>,
    /// Where they go.
    pub sink: Box<dyn Sink>,
    /// What is remembered of them.
    pub checkpoint: Box<dyn Checkpoint>,
    /// Counts the run's requests, whatever becomes of the ends.
    pub requests: Client,
}

/// The open connections.
#[derive(Debug)]
pub struct Connectors {
    databases: BTreeMap<ConnectionName, Database>,
    clients: BTreeMap<ConnectionName, Arc<Client>>,
    opened: BTreeMap<ConnectionName, Connection>,
    store: Store,
    clock: SharedClock,
    turns: Arc<Mutex<BTreeMap<JobName, Turns>>>,
    writers: Writers,
}

/// Held by whoever reads for a job, from a page's request to its commit.
type Turns = Arc<tokio::sync::Mutex<()>>;

/// A stretch of the past to read again.
#[derive(Clone)]
pub struct Backfill {
    /// From here, included.
    pub since: Cursor,
    /// Up to here, excluded.
    pub until: Cursor,
    /// Is told of each page.
    pub watch: Option<Watch>,
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
        let mut connectors = Self {
            databases: BTreeMap::new(),
            clients: BTreeMap::new(),
            opened: connections.clone(),
            store,
            clock: clock.clone(),
            turns: before.map_or_else(Arc::default, |before| Arc::clone(&before.turns)),
            writers: before.map_or_else(Arc::default, |before| Arc::clone(&before.writers)),
        };
        let mut gates = Vec::new();
        for (name, connection) in connections {
            let gate = before.and_then(|before| before.clients.get(name)).map(|client| client.gate().clone());
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
                    let open = || {
                        let gate = match gate {
                            // What was sent over the connection as it was before counts on.
                            Some(gate) => {
                                gates.push((gate.clone(), rest));
                                gate
                            }
                            None => kept::open(name, rest, &connectors.store, &clock)?,
                        };
                        Client::new(name, rest, gate, clock.clone()).map(Arc::new)
                    };
                    let client = kept.map_or_else(open, Ok).map_err(named)?;
                    connectors.clients.insert(name.clone(), client);
                }
            }
        }
        // Only once all of it is right: a set that is refused changes nothing.
        for (gate, rest) in gates {
            gate.change(&rest.quota, rest.in_flight);
        }
        Ok(connectors)
    }

    /// Why slots of the job can't run now: the first of its platforms that lets nothing through.
    #[must_use]
    pub fn closed(&self, job: &Job) -> Option<Closed> {
        let platform = match &job.work {
            Work::Pull(pull, _) => &pull.from,
            Work::Push(_, push) => &push.to,
            Work::Steps(_, steps) => &steps.to,
            Work::Receive(..) | Work::Unconfigured => return None,
        };
        self.clients.get(platform).and_then(|client| client.closed())
    }

    /// Asks a connection whether it works; nothing if there is no such connection.
    pub async fn ping(&self, name: &ConnectionName) -> Option<Ping> {
        if let Some(client) = self.clients.get(name) {
            return Some(client.ping().await);
        }
        let database = self.databases.get(name)?;
        let step = match database.ping().await {
            Ok(()) => PingStep::new("address", true, "the database answers and accepts us"),
            Err(failure) => PingStep::new("address", false, failure.message),
        };
        Some(Ping::of(vec![step]))
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
        match &job.work {
            Work::Pull(pull, write) => self.pull(job, pull, write, token, None).await,
            Work::Push(read, push) => {
                let client = self.client(&push.to)?.for_run();
                let (source, sink, checkpoint) = self.push(read, push, token, &client).await?;
                Ok(Ends { source, sink: Box::new(sink), checkpoint: Box::new(checkpoint), requests: client })
            }
            Work::Steps(..) => Err(Failure::new(Class::Config, "a chain of steps has more than two ends")),
            Work::Receive(..) => Err(Failure::new(Class::Config, RECEIVES)),
            Work::Unconfigured => Err(unconfigured()),
        }
    }

    /// Builds the ends of a run that reads a stretch of the past again and leaves the watermark alone.
    pub async fn backfill(&self, job: &Job, token: &Token, backfill: Backfill) -> Result<Ends, Failure> {
        match &job.work {
            Work::Pull(pull, write) if pull.changed().is_some() => {
                self.pull(job, pull, write, token, Some(backfill)).await
            }
            _ => Err(Failure::new(
                Class::Config,
                "only a job that pulls by the time of change (`since = { field = … }`) has a past to fill in",
            )),
        }
    }

    async fn push(
        &self,
        read: &Read,
        push: &Push,
        token: &Token,
        client: &Client,
    ) -> Result<(Box<dyn Source>, RestSink, PushCheckpoint), Failure> {
        let job = &token.slot.job;
        let database = self.database(&read.from)?;
        let read_now = since::read_now(&self.store, job, read, push).await?;
        let mut rows =
            SqlSource::new(database, &read_now, self.mapper(&push.shaping)?, push.group_by.clone());
        if let Send::Since(column) = &push.send {
            rows = rows.by(column.clone());
        }
        let limit = Limit::of(&self.store).get(job, push.batch_records).await?;
        let files = Files::default();
        let source: Box<dyn Source> = match &push.upload {
            Some(upload) => Box::new(FileSource::new(rows, upload.file.clone(), files.clone())),
            None => Box::new(rows),
        };
        let steps = Arc::new(Steps::of(self.store.clone(), token));
        let sink = RestSink::new(Arc::new(client.clone()), push, limit).with_uploads(files, steps);
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let checkpoint = PushCheckpoint::new(store, token.clone(), clock, read, push);
        Ok((source, sink, checkpoint))
    }

    async fn pull(
        &self,
        job: &Job,
        pull: &Pull,
        write: &Write,
        token: &Token,
        backfill: Option<Backfill>,
    ) -> Result<Ends, Failure> {
        let mut client = self.client(&pull.from)?.for_run();
        if backfill.is_some() {
            client = client.behind_live_jobs();
        }
        let sink = SqlSink::new(self.database(&write.to)?, &job.name, write, self.mapper(&write.shaping)?);
        let witnesses = match &pull.each {
            Some(_) => {
                let kept = self.store.get_blob(WITNESSES, job.name.as_str()).await.map_err(state)?;
                Witnesses::kept(kept.as_deref())
            }
            None => Witnesses::default(),
        };
        let deliveries = Deliveries::new(self.store.clone(), token.clone(), pull, write, witnesses.clone());
        let pull = Arc::new(pull.clone());
        let (reader, scope) = self.reader(job, &pull, backfill.as_ref()).await?;
        let checkpoint: Box<dyn Checkpoint> = match &reader {
            Reader::Feed(_) => Box::new(FeedCheckpoint::new(deliveries, pull.each.is_some())),
            Reader::Walk(walk) => {
                let (pull, walk, rules) = (Arc::clone(&pull), walk.clone(), walk_rules(&pull));
                Box::new(PullCheckpoint::new(deliveries, pull, walk, rules, scope))
            }
        };
        let waiting = if pull.each.is_some() { self.waiting(&job.name).await? } else { Vec::new() };
        let turns = self.turns(&job.name);
        let source = PullSource::new(&client, pull, reader, self.clock.clone(), turns);
        let mut source = source.with_waiting(waiting).with_witnesses(witnesses);
        if let Some(Backfill { until, watch, .. }) = backfill {
            source = source.bounded(until, watch);
        }
        Ok(Ends { source: Box::new(source), sink: Box::new(sink), checkpoint, requests: client })
    }

    /// Where reading goes on: the feed's next id; the walk that a crash left unfinished, or a new one from the watermark
    /// less the overlap, or from the start where the job reads the whole list or a sweep is due. Changes nothing.
    async fn reader(
        &self,
        job: &Job,
        pull: &Pull,
        backfill: Option<&Backfill>,
    ) -> Result<(Reader, Scope), Failure> {
        if let Some(feed) = pull.feed() {
            let known = watermark(&self.store, &job.name, None).await?;
            let known = known.and_then(|known| u64::try_from(known.0).ok());
            return Ok((Reader::Feed(Feed::new(known, &feed.rules)), Scope::Live { sweep: None }));
        }
        let rules = walk_rules(pull);
        let entity = backfill.map_or_else(String::new, |Backfill { since, until, .. }| {
            format!("backfill:{}/{}", Mark::At(*since), Mark::At(*until))
        });
        let kept = self.store.walk(&job.name, &entity).await.map_err(state)?;
        let kept = kept.and_then(|kept| serde_json::from_value::<Unfinished>(kept).ok());
        // One that does not fit is of a configuration that has changed since.
        let kept = kept.filter(|kept| kept.walk.fits(&rules));
        if let Some(Unfinished { walk, .. }) = &kept {
            tracing::info!(pass = walk.pass(), "taking up the walk that was interrupted");
        }
        let (walk, scope) = match (kept, backfill) {
            (Some(kept), None) => (kept.walk.resumed(), Scope::Live { sweep: kept.sweep }),
            (None, None) => {
                let sweep = self.sweep_due(&job.name, pull).await?;
                let low = self.low(job, pull, sweep.is_some()).await?;
                (Walk::new(low, &rules), Scope::Live { sweep })
            }
            (kept, Some(Backfill { since, until, .. })) => {
                let new = || Walk::new(Some(*since), &rules);
                let walk = kept.map_or_else(new, |kept| kept.walk.resumed());
                (walk, Scope::Backfill { entity, until: *until })
            }
        };
        Ok((Reader::Walk(SharedWalk::new(walk)), scope))
    }

    async fn low(&self, job: &Job, pull: &Pull, sweeps: bool) -> Result<Option<Cursor>, Failure> {
        let Some(changed) = pull.changed() else { return Ok(None) };
        let mark = watermark(&self.store, &job.name, Some(&changed.format)).await?;
        let mark = mark.filter(|_| !sweeps);
        Ok(Some(mark.map_or(changed.start, |mark| mark.minus(changed.overlap).max(changed.start))))
    }

    /// Now, if a slot of `sweep` has come since the last sweep.
    async fn sweep_due(&self, job: &JobName, pull: &Pull) -> Result<Option<DateTime<Utc>>, Failure> {
        let Some(timetable) = &pull.sweep else { return Ok(None) };
        let now = self.clock.now();
        let second = TimeDelta::seconds(1);
        Ok(match Marker::of(&self.store).get(job).await? {
            // A clock that was wrong and was corrected silences no sweep.
            Some(last) if last <= now && timetable.slots(last + second, now + second).next().is_none() => {
                None
            }
            _ => Some(now),
        })
    }

    /// The rows that are parked until their follow-up succeeds.
    async fn waiting(&self, job: &JobName) -> Result<Vec<Record>, Failure> {
        let mut waiting = Vec::new();
        let mut after: Option<(String, String)> = None;
        if self.store.count_rejects(job).await.map_err(state)? == 0 {
            return Ok(waiting);
        }
        while waiting.len() < WAITING {
            let from = after.as_ref().map(|(entity, key)| (entity.as_str(), key.as_str()));
            let rejects = self.store.rejects(job, from, WAITING).await.map_err(state)?;
            let Some(last) = rejects.last() else { break };
            after = Some((last.entity.clone(), last.key.clone()));
            waiting.extend(rejects.into_iter().filter_map(|reject| {
                let content = waiting_row(&reject.content)?;
                let digest = Digest::of(content.get().as_bytes());
                Some(Record { key: reject.key, cursor: None, content, digest, group: Vec::new() })
            }));
        }
        waiting.truncate(WAITING);
        Ok(waiting)
    }

    fn turns(&self, job: &JobName) -> Turns {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(job.clone()).or_default())
    }

    fn mapper(&self, shaping: &Shaping) -> Result<Mapper, Failure> {
        self.mapper_within(shaping, None)
    }

    /// The same for a call that is answered within a limit.
    fn mapper_within(&self, shaping: &Shaping, limit: Option<Duration>) -> Result<Mapper, Failure> {
        let databases = shaping.lookups.iter().map(|lookup| {
            let database = self.database(&lookup.from)?;
            Ok(limit.map_or_else(|| database.clone(), |limit| database.for_call(limit)))
        });
        let mapper = Mapper::new(shaping, databases.collect::<Result<_, Failure>>()?);
        Ok(mapper.with_links(Arc::new(steps::SavedLinks(self.store.clone()))))
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

/// How far the job has read its source: by cursors of this format, or by ids.
async fn watermark(
    store: &Store,
    job: &JobName,
    format: Option<&CursorFormat>,
) -> Result<Option<Cursor>, Failure> {
    let Some(kept) = store.watermark(job, ENTITY).await.map_err(state)? else { return Ok(None) };
    let by_id = format.is_none_or(|format| *format == CursorFormat::Integer);
    match Mark::from_value(&kept.value) {
        Ok(Mark::Id(id)) if by_id => Ok(Some(Cursor(id))),
        Ok(Mark::At(cursor)) if !by_id => Ok(Some(cursor)),
        kept_mark => {
            let shown = kept_mark.map_or_else(|_| kept.value.to_string(), |mark| mark.to_string());
            let wanted = if by_id { "ids" } else { "times" };
            Err(Failure::new(
                Class::Config,
                format!(
                    "its watermark is {shown}, and the job goes on by {wanted}: set the watermark again (cadenced watermark set \
                     {job} …), or reset it to start anew"
                ),
            ))
        }
    }
}

/// When a job last swept its list.
struct Marker<'a>(&'a Store);

impl<'a> Marker<'a> {
    const NAMESPACE: &'static str = "sweep";

    fn of(store: &'a Store) -> Self {
        Self(store)
    }

    async fn get(&self, job: &JobName) -> Result<Option<DateTime<Utc>>, Failure> {
        let kept = self.0.get_blob(Self::NAMESPACE, job.as_str()).await.map_err(state)?;
        let text = kept.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.parse().ok()))
    }

    async fn set(&self, job: &JobName, at: DateTime<Utc>) -> Result<(), Failure> {
        let text = at.to_rfc3339().into_bytes();
        self.0.put_blob(Self::NAMESPACE, job.as_str(), text).await.map_err(state)
    }
}
