//! What walks and feeds remember alike: per key the content last delivered, and what became of the records of the page
//! at hand. All of a page goes to disk in one batch, after the ERP has committed the page.

use super::echo::{Echoes, stamp};
use super::missing::Known;
use super::seen::{SeenKeys, hash};
use super::{ENTITY, state};
use crate::job::map::plain_text;
use crate::job::{Pull, Write};
use crate::rest::{KEY_SEPARATOR, Witnesses, fields_of};
use crate::state::{Delivered, Place, Settlement, Store, Token, Urgency, Walk as Keep};
use crate::transfer::{Batch, Chunk, Class, Digest, Failure, Record, Rejected, Settled};
use crate::words::{FieldPath, JobName};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Where the rows are kept whose follow-ups found something.
pub(super) const WITNESSES: &str = "witnesses";

pub(super) struct Deliveries {
    pub(super) store: Store,
    pub(super) token: Token,
    /// Which column of the ERP's key holds which part of a record's; nothing where what is gone stays.
    removes: Option<Vec<(String, usize)>>,
    max_gone: f64,
    /// What has been settled of this page and is not written yet.
    settlement: Settlement,
    /// Whether that may not wait for a flush to share.
    is_urgent: bool,
    /// Records that were gone when they were followed up, and how many of them had been delivered.
    vanished: u64,
    lost: u64,
    /// What follow-ups found, kept for the next runs.
    witnesses: Witnesses,
    skip_when: Vec<(FieldPath, Vec<String>)>,
    echoes: Option<Echoes>,
    /// By key, what stands for the content last sent when a record of this page was looked at.
    sent: HashMap<String, u64>,
    /// What the push whose echoes are dropped is to know of this page.
    taken_over: Vec<(String, Digest)>,
}

impl Deliveries {
    pub(super) fn new(store: Store, token: Token, pull: &Pull, write: &Write, witnesses: Witnesses) -> Self {
        let echoes = pull.echo.clone().map(|push| Echoes { store: store.clone(), push });
        Self {
            store,
            token,
            removes: write.on_gone.matters().then(|| pull.key_columns(write.key()).unwrap_or_default()),
            max_gone: pull.max_gone,
            settlement: Settlement::default(),
            is_urgent: false,
            vanished: 0,
            lost: 0,
            witnesses,
            skip_when: pull.skip_when.clone(),
            echoes,
            sent: HashMap::new(),
            taken_over: Vec::new(),
        }
    }

    pub(super) fn job(&self) -> &JobName {
        &self.token.slot.job
    }

    pub(super) async fn recall(&self, records: &[Record]) -> Result<Vec<Option<Delivered>>, Failure> {
        let keys = records.iter().map(|record| record.key.clone()).collect();
        self.store.recall(self.job(), ENTITY, keys).await.map_err(state)
    }

    /// Leaves of each key its last record; gives how many it took out.
    pub(super) fn keep_last(records: &mut Vec<Record>) -> u64 {
        let before = records.len();
        let last: HashMap<String, usize> =
            records.iter().enumerate().map(|(index, record)| (record.key.clone(), index)).collect();
        if last.len() < before {
            let mut index = 0..;
            records.retain(|record| last.get(&record.key).copied() == index.next());
        }
        (before - records.len()) as u64
    }

    /// Takes out what was delivered before with the same content; gives how many those were.
    pub(super) async fn drop_unchanged(&mut self, records: &mut Vec<Record>) -> Result<u64, Failure> {
        let known = self.recall(records).await?;
        let before = records.len();
        let mut known = known.into_iter();
        let mut seen = Vec::new();
        records.retain(|record| {
            let known = known.next().flatten();
            let same = known.as_ref().is_some_and(|known| known.digest == Some(record.digest));
            if same {
                let walk = known.map_or(0, |known| known.walk);
                seen.push((record.key.clone(), Delivered { walk, ..entry(record, Some(record.digest)) }));
            }
            !same
        });
        // Written again all the same: a reject that waited is settled, and what was missing is back.
        self.settlement.entries.extend(seen);
        Ok((before - records.len()) as u64)
    }

    /// Takes out what is not to be delivered although it is new: echoes of a push, and what `skip-when` names; gives how
    /// many those were. Whoever completes records asks again then.
    pub(super) async fn drop_unwanted(&mut self, records: &mut Vec<Record>) -> Result<u64, Failure> {
        let before = records.len();
        if !self.skip_when.is_empty() {
            records.retain(|record| !self.is_skipped(record));
        }
        if let Some(echoes) = self.echoes.as_ref().filter(|_| !records.is_empty()) {
            let known = self.recall(records).await?;
            let mut heard = echoes.hear(records, &known).await?.into_iter();
            let mut dropped = Vec::new();
            records.retain(|record| {
                let Some(heard) = heard.next() else { return true };
                self.sent.insert(record.key.clone(), heard.sent);
                if heard.is_echo {
                    dropped.push(record.clone());
                }
                !heard.is_echo
            });
            // The ERP has this content: whatever else comes from now on is news.
            for record in dropped {
                self.settlement.entries.push((record.key.clone(), self.entry(&record, Some(record.digest))));
            }
        }
        Ok((before - records.len()) as u64)
    }

    fn is_skipped(&self, record: &Record) -> bool {
        let paths: Vec<FieldPath> = self.skip_when.iter().map(|(path, _)| path.clone()).collect();
        let values = fields_of(&record.content, &paths);
        self.skip_when.iter().zip(values).all(|((_, texts), value)| {
            value.is_some_and(|value| !value.is_null() && texts.contains(&plain_text(&value)))
        })
    }

    fn entry(&self, record: &Record, digest: Option<Digest>) -> Delivered {
        let walk = self.sent.get(&record.key).copied().unwrap_or(0);
        Delivered { digest, cursor: record.cursor, walk, absent: false, group: None }
    }

    /// Remembers that a key thought missing is there. It must be known before the next walk misses it again.
    pub(super) fn is_there(&mut self, record: &Record, known: Delivered) {
        self.is_urgent = true;
        let entry = Delivered { walk: known.walk, ..entry(record, Some(record.digest)) };
        self.settlement.entries.push((record.key.clone(), entry));
    }

    /// Records that vanished between the list and their follow-up are removed from the ERP, or forgotten.
    /// Too many of them stop the run: part of the path may be wrong.
    pub(super) async fn vanished(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let gone = std::mem::take(&mut chunk.gone);
        if gone.is_empty() {
            return Ok(());
        }
        self.vanished += gone.len() as u64;
        if self.removes.is_some() {
            let known = self.recall(&gone).await?.into_iter().flatten();
            let (before, now) = (self.lost, known.count() as u64);
            // One alone is what such a status is for, however few records there are.
            if before + now > 1 {
                self.known().may_go(before, now, self.max_gone).await?;
            }
            self.lost += now;
        }
        for record in gone {
            match &self.removes {
                Some(columns) => chunk.gone.push(removal(columns, record.key)?),
                None => self.settlement.removed.push(record.key),
            }
        }
        Ok(())
    }

    pub(super) async fn doubt(&self, batch: &Batch) -> Result<(), Failure> {
        let keys = batch.records.iter().chain(&batch.gone).map(|record| record.key.clone()).collect();
        self.store.doubt_known(self.job(), ENTITY, keys).await.map_err(state)
    }

    pub(super) fn settle(&mut self, batch: &Batch, settled: &Settled) {
        let refused: HashSet<&str> = settled.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
        for record in &batch.records {
            // Without a digest a refused record counts as never delivered.
            if refused.contains(record.key.as_str()) {
                self.settlement.noted.push((record.key.clone(), self.entry(record, None)));
            } else {
                let taken = self.echoes.as_ref().and_then(|echoes| echoes.in_place_of(record));
                if let Some((_, digest)) = &taken {
                    // As if the push had sent it just now: whatever differs from it comes later.
                    self.sent.insert(record.key.clone(), stamp(*digest));
                }
                self.taken_over.extend(taken);
                self.settlement.entries.push((record.key.clone(), self.entry(record, Some(record.digest))));
            }
        }
        let gone = batch.gone.iter().map(|record| record.key.clone());
        self.settlement.removed.extend(gone.filter(|key| !refused.contains(key.as_str())));
        self.settlement.rejects.extend(settled.rejected.iter().cloned());
    }

    /// Writes down what was settled, these rejects, and how far the walk is.
    pub(super) async fn write(&mut self, rejected: &[Rejected], walk: Keep) -> Result<(), Failure> {
        let mut settlement = std::mem::take(&mut self.settlement);
        self.sent.clear();
        settlement.rejects.extend(rejected.iter().cloned());
        settlement.walk = walk;
        let taken_over = std::mem::take(&mut self.taken_over);
        if let Some(echoes) = self.echoes.as_ref().filter(|_| !taken_over.is_empty()) {
            echoes.taken_over(self.token.run, taken_over).await?;
        }
        settlement.urgency = if std::mem::take(&mut self.is_urgent) { Urgency::Now } else { Urgency::Soon };
        self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)?;
        match self.witnesses.to_keep() {
            Some(kept) => self.store.put_blob(WITNESSES, self.job().as_str(), kept).await.map_err(state),
            None => Ok(()),
        }
    }

    /// Finds the keys that two proved walks of the whole list in a row did not see, and gives what the sink needs to
    /// remove them. `seen` are the keys that the walk just ended saw.
    pub(super) async fn find_gone(&self, seen: &SeenKeys) -> Result<Vec<Record>, Failure> {
        let Some(columns) = &self.removes else { return Ok(Vec::new()) };
        let is_seen = |key: &str| seen.contains(hash(key));
        if self.known().missing(is_seen, self.max_gone, "the list").await? == 0 {
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        let mut place = Place::default();
        while let Some(page) = self.known().scan(&mut place).await? {
            let mut settlement = Settlement::default();
            for (key, entry) in page.into_iter().filter(|(key, _)| !is_seen(key)) {
                if entry.absent {
                    gone.push(removal(columns, key)?);
                } else {
                    settlement.noted.push((key, Delivered { absent: true, ..entry }));
                }
            }
            self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)?;
        }
        Ok(gone)
    }

    fn known(&self) -> Known<'_> {
        Known { store: &self.store, job: self.job() }
    }

    /// What is worth knowing of the follow-ups.
    pub(super) fn remark(&self) -> Option<String> {
        (self.vanished > 0).then(|| format!("{} records were gone when they were followed up", self.vanished))
    }
}

fn entry(record: &Record, digest: Option<Digest>) -> Delivered {
    Delivered { digest, cursor: record.cursor, walk: 0, absent: false, group: None }
}

/// What the sink needs to find the row again: the columns of its key.
fn removal(columns: &[(String, usize)], key: String) -> Result<Record, Failure> {
    let parts: Vec<&str> = key.split(KEY_SEPARATOR).collect();
    let row: Map<String, Value> = columns
        .iter()
        .map(|(column, part)| (column.clone(), parts.get(*part).copied().unwrap_or_default().into()))
        .collect();
    let content = RawValue::from_string(Value::Object(row).to_string())
        .map_err(|error| Failure::new(Class::State, format!("the key {key:?} is not text: {error}")))?;
    let digest = Digest::of(content.get().as_bytes());
    Ok(Record { key, cursor: None, content, digest, group: Vec::new() })
}
