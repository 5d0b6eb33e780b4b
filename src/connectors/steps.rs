//! A chain of steps as runs go through it. Rows come some at a time, and each of these slices goes through all steps before
//! the next one starts; a step is the push it is made of, with a source that holds the slice. What is known of a step's
//! record is kept like that of a push, its key with the step's name before it.
//!
//! Promises: a row goes on to its next step only where this one has gone through, now or before; so a failure stops that
//! row and no other, and the next run goes on from there. What a step saves, the row has from then on.

mod preview;

use super::missing::Known;
use super::push::{PushCheckpoint, REMOVAL, Standing};
use super::{Connectors, ENTITY, state};
use crate::erp::{Links, Mapper, SqlSource};
use crate::job::map::{Condition, SavedLink, plain_text};
use crate::job::{Job, PushGone, Read, Shaping, Step, Steps, Work};
use crate::rest::{Client, KEY_SEPARATOR, RestSink};
use crate::run::Counts;
use crate::state::{Delivered, Place, Store, Token};
use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected, Source, copy, json};
use crate::words::JobName;
use futures_util::future::BoxFuture;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that go through all steps together.
const SLICE: usize = 20;

/// Is told of rows dealt with, and of how many there are, where that is known.
pub type Progress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// What steps have saved, for maps.
pub(super) struct SavedLinks(pub(super) Store);

impl Links for SavedLinks {
    fn of<'a>(&'a self, link: &'a SavedLink, key: String) -> BoxFuture<'a, Result<Option<Value>, Failure>> {
        Box::pin(async move {
            let key = link.step.as_ref().map_or(key.clone(), |step| kept_as(step, &key));
            let found = self.0.links(&link.job, ENTITY, vec![key]).await.map_err(state)?.pop().flatten();
            Ok(found.and_then(|found| found.get(&link.name).cloned()))
        })
    }
}

/// The key under which a step remembers a row's record.
fn kept_as(step: &str, key: &str) -> String {
    format!("{step}{KEY_SEPARATOR}{key}")
}

/// A run of a job with steps.
pub struct Chain {
    /// Counts the run's requests.
    pub requests: Client,
    groups: Vec<Group>,
}

/// Steps in a row that are about the same rows.
pub(super) struct Group {
    source: SqlSource,
    pub(super) stages: Vec<Stage>,
    only: Option<Condition>,
    /// The names that these steps save, and the steps that do.
    saved: Vec<String>,
    saving: Vec<String>,
    slice: usize,
    max_gone: f64,
    store: Store,
    keeper: JobName,
}

/// One step, ready.
pub(super) struct Stage {
    pub(super) step: Step,
    mapper: Mapper,
    pub(super) sink: RestSink,
    pub(super) checkpoint: PushCheckpoint,
    store: Store,
    keeper: JobName,
}

/// A row on its way through the steps.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: String,
    /// The columns, and what has been saved.
    pub(super) fields: Map<String, Value>,
    /// Why it can't even be said whether it is wanted.
    problem: Option<String>,
}

/// What a step makes of some rows.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) chunk: Chunk,
    /// Which rows the step is about, by their place.
    pub(super) rows: Vec<usize>,
}

/// What a step wants of a row.
#[derive(PartialEq, Eq)]
enum Wants {
    Nothing,
    Delete,
    Send,
}

impl Connectors {
    /// Makes the steps of a job ready for one run.
    ///
    /// # Errors
    /// There is no such connection, or the job has no steps.
    pub fn chain(&self, job: &Job, token: &Token) -> Result<Chain, Failure> {
        let Work::Steps(read, steps) = &job.work else { return Err(super::unconfigured()) };
        let client = self.client(&steps.to)?.for_run();
        let mut groups: Vec<Group> = Vec::new();
        let mut shares = false;
        for step in &steps.steps {
            let stage = self.stage(job, step, read, token, &client)?;
            match groups.last_mut().filter(|_| shares && step.read.is_none()) {
                Some(group) => group.stages.push(stage),
                None => groups.push(self.group(job, steps, step, read, stage)?),
            }
            shares = step.read.is_none();
        }
        Ok(Chain { requests: client, groups })
    }

    fn stage(
        &self,
        job: &Job,
        step: &Step,
        read: &Read,
        token: &Token,
        client: &Client,
    ) -> Result<Stage, Failure> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let checkpoint = PushCheckpoint::new(store, token.clone(), clock, read, &step.push);
        Ok(Stage {
            step: step.clone(),
            mapper: self.mapper(&step.push.shaping)?,
            sink: RestSink::new(Arc::new(client.clone()), &step.push, None),
            checkpoint: checkpoint.of_step(job.keeper().clone()),
            store: self.store.clone(),
            keeper: job.keeper().clone(),
        })
    }

    fn group(
        &self,
        job: &Job,
        steps: &Steps,
        step: &Step,
        read: &Read,
        stage: Stage,
    ) -> Result<Group, Failure> {
        let read = step.read.as_ref().unwrap_or(read);
        let source = SqlSource::new(self.database(&read.from)?, read, Mapper::default(), Vec::new());
        let saving: Vec<&Step> = steps.sharing(step).filter(|step| !step.saved.is_empty()).collect();
        let saved = saving.iter().flat_map(|step| step.saved.iter().cloned());
        // Where a record needs what an earlier one of the same step brings, one goes after the other.
        let waits = looks_up(&step.push.shaping, job.keeper(), &step.name);
        Ok(Group {
            source,
            stages: vec![stage],
            only: steps.only.clone().filter(|_| step.read.is_none()),
            saved: saved.collect(),
            saving: saving.iter().map(|step| step.name.clone()).collect(),
            slice: if waits { 1 } else { SLICE },
            max_gone: read.max_gone,
            store: self.store.clone(),
            keeper: job.keeper().clone(),
        })
    }
}

/// Whether a map takes what this very step has saved.
fn looks_up(shaping: &Shaping, keeper: &JobName, step: &str) -> bool {
    use crate::job::map::LookupSource::Saved;
    shaping.lookups.iter().any(|lookup| {
        matches!(&lookup.source, Saved(link) if link.job == *keeper && link.step.as_deref() == Some(step))
    })
}

impl Chain {
    /// Takes all rows through all steps. `counts` is right at any moment, also after an error: what was read is counted in
    /// rows, all else in steps. `progress` is told of rows dealt with, and how many there are.
    ///
    /// # Errors
    /// Why the run can't go on; what was settled by then is kept.
    pub async fn run(&mut self, counts: &mut Counts, progress: Option<&Progress>) -> Result<(), Failure> {
        for group in &mut self.groups {
            group.count_deletes().await?;
            while let Some((slice, rejected)) = group.next().await? {
                for rows in slice {
                    counts.read += rows.len() as u64;
                    group.take_through(rows, counts).await?;
                    if let Some(progress) = progress {
                        progress(counts.read, group.source.total().map(|total| total.max(counts.read)));
                    }
                }
                group.reject(rejected, counts).await?;
            }
            if let Some(stage) = group.stages.first() {
                stage.checkpoint.forget_unnamed().await?;
            }
        }
        Ok(())
    }
}

impl Group {
    /// The next rows, in slices, with what has been saved for them; and rows that have no key.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<Vec<Row>>, Vec<Rejected>)>, Failure> {
        let Some(mut chunk) = self.source.next().await? else { return Ok(None) };
        // Of a key that stands twice the later row counts. In another slice, the earlier would be unknown to it: what that
        // saved is looked up here, and without it the later would be made anew.
        let last: HashMap<String, usize> =
            chunk.records.iter().enumerate().map(|(at, record)| (record.key.clone(), at)).collect();
        let mut at = 0..;
        chunk.records.retain(|record| at.next().is_some_and(|at| last[&record.key] == at));
        let rows = self.rows(&chunk.records).await?;
        let mut slices: Vec<Vec<Row>> = Vec::new();
        for row in rows {
            match slices.last_mut().filter(|slice| slice.len() < self.slice) {
                Some(slice) => slice.push(row),
                None => slices.push(vec![row]),
            }
        }
        Ok(Some((slices, chunk.rejected)))
    }

    /// The first rows, as many as asked for.
    pub(super) async fn sample(&mut self, limit: usize) -> Result<Vec<Row>, Failure> {
        let records = self.source.sample(limit).await?.into_iter().filter_map(|sample| sample.record.ok());
        let records: Vec<Record> = records.collect();
        self.rows(&records).await
    }

    /// Records of the plain query as rows that know what has been saved for them, without those that are not wanted.
    async fn rows(&self, records: &[Record]) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            let fields = match json(record.content.get()) {
                Ok(Value::Object(fields)) => fields,
                _ => return Err(Failure::new(Class::State, "a row could not be read back")),
            };
            rows.push(Row { key: record.key.clone(), fields, problem: None });
        }
        for row in &mut rows {
            row.fields.extend(self.saved.iter().map(|name| (name.clone(), Value::Null)));
        }
        for step in &self.saving {
            add_saved(&self.store, &self.keeper, step, &mut rows).await?;
        }
        if let Some(only) = &self.only {
            rows.retain_mut(|row| match only.holds(&row.fields) {
                Ok(wanted) => wanted,
                Err(error) => {
                    row.problem = Some(error.to_string());
                    true
                }
            });
        }
        Ok(rows)
    }

    /// Takes some rows through the steps, each as far as it gets.
    async fn take_through(&mut self, mut rows: Vec<Row>, counts: &mut Counts) -> Result<(), Failure> {
        for stage in &mut self.stages {
            stage.check(rows.first())?;
            let Asked { chunk, rows: asked } = stage.ask(&rows).await?;
            if asked.is_empty() {
                continue;
            }
            stage.copy(chunk, counts).await?;
            let through = stage.through(asked.iter().map(|at| &rows[*at])).await?;
            let stopped: Vec<usize> =
                asked.iter().zip(through).filter(|(_, through)| !through).map(|(at, _)| *at).collect();
            let mut at = 0..;
            rows.retain(|_| at.next().is_some_and(|at| !stopped.contains(&at)));
            if !stage.step.push.save.is_empty() {
                add_saved(&self.store, &self.keeper, &stage.step.name, &mut rows).await?;
            }
        }
        Ok(())
    }

    /// Rows that can't be told apart are refused by the first step.
    async fn reject(&mut self, rejected: Vec<Rejected>, counts: &mut Counts) -> Result<(), Failure> {
        let Some(stage) = self.stages.first_mut().filter(|_| !rejected.is_empty()) else { return Ok(()) };
        counts.read += rejected.len() as u64;
        stage.copy(Chunk { rejected, ..Chunk::default() }, counts).await
    }

    /// Stops a run that would delete too much, before it does anything: a view that lost its rows is no reason to.
    pub(super) async fn count_deletes(&mut self) -> Result<(), Failure> {
        let mut deletes = vec![0_u64; self.stages.len()];
        if self.stages.iter().all(|stage| stage.step.delete_when.is_none()) {
            return Ok(());
        }
        while let Some(chunk) = self.source.next().await? {
            let rows = self.rows(&chunk.records).await?;
            for (stage, deletes) in self.stages.iter().zip(&mut deletes) {
                let gone =
                    rows.iter().filter(|row| stage.wants(row).is_ok_and(|wants| wants == Wants::Delete));
                let known = stage.known(gone).await?;
                *deletes += known.iter().flatten().filter(|known| has_value(known)).count() as u64;
            }
        }
        self.source.rewind();
        for (stage, deletes) in self.stages.iter().zip(deletes).filter(|(_, deletes)| *deletes > 1) {
            let prefix = kept_as(&stage.step.name, "");
            let known = Known { store: &self.store, job: &self.keeper };
            let counts = |(key, known): &(String, Delivered)| key.starts_with(&prefix) && has_value(known);
            let (mut all, mut place) = (0_u64, Place::default());
            while let Some(page) = known.scan(&mut place).await? {
                all += page.iter().filter(|entry| counts(entry)).count() as u64;
            }
            let what = format!("{} of {}", stage.step.name, stage.keeper);
            super::missing::may_delete(&what, deletes, all, self.max_gone)?;
        }
        Ok(())
    }
}

/// Whether something may stand on the platform.
fn has_value(known: &Delivered) -> bool {
    !known.absent && !super::push::was_never_sent(known)
}

/// Puts what a step has saved into the rows it saved it for.
async fn add_saved(store: &Store, keeper: &JobName, step: &str, rows: &mut [Row]) -> Result<(), Failure> {
    let keys = rows.iter().map(|row| kept_as(step, &row.key)).collect();
    let links = store.links(keeper, ENTITY, keys).await.map_err(state)?;
    for (row, link) in rows.iter_mut().zip(links) {
        if let Some(Value::Object(link)) = link {
            row.fields.extend(link);
        }
    }
    Ok(())
}

impl Stage {
    /// Whether rows have what the step takes of them.
    fn check(&mut self, first: Option<&Row>) -> Result<(), Failure> {
        let Some(row) = first else { return Ok(()) };
        let conditions = self.step.when.iter().chain(&self.step.delete_when);
        let fields = conditions.flat_map(|condition| condition.fields().into_iter().map(str::to_owned));
        let fields = fields.chain(self.mapper.needed_fields()).chain(self.step.push.group_by.iter().cloned());
        let has = |name: &str| {
            row.fields.contains_key(name)
                || name.split('.').next().is_some_and(|first| row.fields.contains_key(first))
        };
        match fields.into_iter().find(|name| !has(name)) {
            None => Ok(()),
            Some(name) => {
                let columns: Vec<&str> = row.fields.keys().map(String::as_str).collect();
                let message = format!(
                    "step {}: neither the query nor a step before it gives `{name}`; there are {}",
                    self.step.name,
                    columns.join(", ")
                );
                Err(Failure::new(Class::Config, message))
            }
        }
    }

    fn wants(&self, row: &Row) -> Result<Wants, String> {
        let holds = |condition: &Option<Condition>| {
            condition.as_ref().map(|condition| condition.holds(&row.fields)).transpose()
        };
        if let Some(problem) = &row.problem {
            return Err(problem.clone());
        }
        if holds(&self.step.when).map_err(|error| error.to_string())? == Some(false) {
            return Ok(Wants::Nothing);
        }
        let deletes = holds(&self.step.delete_when).map_err(|error| error.to_string())?;
        Ok(if deletes == Some(true) { Wants::Delete } else { Wants::Send })
    }

    /// What the step has to do with these rows.
    pub(super) async fn ask(&mut self, rows: &[Row]) -> Result<Asked, Failure> {
        let mut asked = Asked::default();
        let (mut sent, mut gone) = (Vec::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            match self.wants(row) {
                Ok(Wants::Nothing) => {}
                Ok(Wants::Send) => sent.push(at),
                Ok(Wants::Delete) => gone.push(at),
                Err(problem) => {
                    asked.chunk.rejected.push(self.rejected(row, problem));
                    asked.rows.push(at);
                }
            }
        }
        let mapped = self.mapper.map(sent.iter().map(|at| rows[*at].fields.clone()).collect()).await?;
        for (at, mapped) in sent.into_iter().zip(mapped) {
            match mapped.and_then(|fields| self.record(&rows[at], fields)) {
                Ok(record) => asked.chunk.records.push(record),
                Err(reason) => asked.chunk.rejected.push(self.rejected(&rows[at], reason)),
            }
            asked.rows.push(at);
        }
        if self.step.delete_first {
            self.delete_first(rows, &mut asked.chunk).await?;
        }
        let known = self.known(gone.iter().map(|at| &rows[*at])).await?;
        for (at, known) in gone.into_iter().zip(known) {
            // What was never there is not gone, and what the platform would not delete waits for a person.
            let Some(known) = known else { continue };
            asked.rows.push(at);
            let is_refused = known.absent && known.group == Some(REMOVAL.into());
            if is_refused && Standing::of(&known) == Standing::Rejected {
                continue;
            }
            match self.gone(&rows[at]) {
                Ok(record) => asked.chunk.gone.push(record),
                Err(reason) => asked.chunk.rejected.push(self.rejected(&rows[at], reason)),
            }
        }
        Ok(asked)
    }

    /// What stands on the platform and is to become something else goes first.
    async fn delete_first(&self, rows: &[Row], chunk: &mut Chunk) -> Result<(), Failure> {
        let digests: HashMap<&str, Digest> =
            chunk.records.iter().map(|record| (record.key.as_str(), record.digest)).collect();
        let known = self.known(rows.iter()).await?;
        let mut gone = Vec::new();
        for (row, known) in rows.iter().zip(known) {
            let digest = digests.get(&*self.kept_as(row));
            let Some((known, digest)) = known.filter(has_value).zip(digest) else { continue };
            if known.digest != Some(*digest) {
                gone.extend(self.gone(row));
            }
        }
        chunk.gone.extend(gone);
        Ok(())
    }

    /// The record that a row is sent as.
    fn record(&self, row: &Row, mut fields: Map<String, Value>) -> Result<Record, String> {
        let push = &self.step.push;
        let group: Vec<String> =
            push.group_by.iter().map(|name| placeholder(row, name)).collect::<Result<_, _>>()?;
        let unwritable = |error: serde_json::Error| format!("it could not be written as JSON: {error}");
        let content = to_raw_value(&fields).map_err(unwritable)?;
        fields.retain(|name, _| !self.step.unwatched.contains(name));
        let watched =
            push.group_by.iter().zip(&group).filter(|(name, _)| !self.step.unwatched.contains(name));
        let mut text = Value::Object(fields).to_string();
        for (_, value) in watched {
            text.push(KEY_SEPARATOR);
            text.push_str(value);
        }
        let key = kept_as(&self.step.name, &row.key);
        Ok(Record { key, cursor: None, content, digest: Digest::of(text.as_bytes()), group })
    }

    /// What is known of a row whose value is gone: what its path needs.
    fn gone(&self, row: &Row) -> Result<Record, String> {
        let PushGone::Delete(path) = &self.step.push.on_gone else {
            return Err("nothing deletes it".to_owned());
        };
        let values =
            path.placeholders().into_iter().map(|name| Ok((name.to_owned(), placeholder(row, name)?.into())));
        let fields: Map<String, Value> = values.collect::<Result<_, String>>()?;
        let content = to_raw_value(&fields).map_err(|error| error.to_string())?;
        let digest = Digest::of(content.get().as_bytes());
        Ok(Record {
            key: kept_as(&self.step.name, &row.key),
            cursor: None,
            content,
            digest,
            group: Vec::new(),
        })
    }

    /// The key of a row's record.
    pub(super) fn kept_as(&self, row: &Row) -> String {
        kept_as(&self.step.name, &row.key)
    }

    fn rejected(&self, row: &Row, reason: String) -> Rejected {
        let content = Value::Object(row.fields.clone()).to_string();
        Rejected::new(kept_as(&self.step.name, &row.key), content, reason)
    }

    async fn known<'r>(
        &self,
        rows: impl Iterator<Item = &'r Row>,
    ) -> Result<Vec<Option<Delivered>>, Failure> {
        let keys: Vec<String> = rows.map(|row| kept_as(&self.step.name, &row.key)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.store.recall(&self.keeper, ENTITY, keys).await.map_err(state)
    }

    /// Does what is to be done about these rows, and remembers it.
    async fn copy(&mut self, chunk: Chunk, counts: &mut Counts) -> Result<(), Failure> {
        let mut counted = Counts::default();
        let (mut source, sink) = (Slice(Some(chunk)), &mut self.sink);
        let copied = copy(&mut source, sink, &mut self.checkpoint, &mut counted).await;
        counts.add(&Counts { read: 0, requests: 0, pages: 0, ..counted });
        copied.map_err(|failure| {
            Failure::new(failure.class, format!("step {}: {}", self.step.name, failure.message))
        })
    }

    /// Whether each of these rows, of which the step had to do something, may go on.
    pub(super) async fn through<'r>(
        &self,
        rows: impl Iterator<Item = &'r Row>,
    ) -> Result<Vec<bool>, Failure> {
        let rows: Vec<&Row> = rows.collect();
        let known = self.known(rows.iter().copied()).await?;
        let is_through = |(row, known): (&Row, Option<Delivered>)| match known {
            // Only what was deleted is not known any more.
            None => self.wants(row).is_ok_and(|wants| wants == Wants::Delete),
            Some(known) => {
                !known.absent && known.digest.is_some() && Standing::of(&known) == Standing::Accepted
            }
        };
        Ok(rows.into_iter().zip(known).map(is_through).collect())
    }
}

/// A value of a row inside a path.
fn placeholder(row: &Row, name: &str) -> Result<String, String> {
    let value = crate::job::map::find(&row.fields, name).filter(|value| !value.is_null());
    value.map(plain_text).ok_or_else(|| format!("the path's `{{{name}}}` has no value"))
}

/// The rows of a slice as the source of a push.
struct Slice(Option<Chunk>);

impl Source for Slice {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(std::future::ready(Ok(self.0.take())))
    }
}
