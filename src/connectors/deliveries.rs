//! What walks and feeds remember alike: per key the content last delivered, and what became of the records of the page
//! at hand. All of a page goes to disk in one batch, after the ERP has committed the page.

use super::{ENTITY, state};
use crate::job::{Pull, Write};
use crate::rest::KEY_SEPARATOR;
use crate::state::{Delivered, Place, Settlement, Store, Token, Urgency, Walk as Keep};
use crate::transfer::{Batch, Chunk, Class, Digest, Failure, Record, Rejected, Settled};
use crate::words::JobName;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Known keys looked at in one go.
const SCAN: usize = 4_000;

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
    /// Records that were gone when they were followed up.
    vanished: u64,
}

/// A key as eight bytes: a million of them are kept while a list is walked.
pub(super) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Deliveries {
    pub(super) fn new(store: Store, token: Token, pull: &Pull, write: &Write) -> Self {
        Self {
            store,
            token,
            removes: write.on_gone.matters().then(|| pull.key_columns(&write.upsert_by).unwrap_or_default()),
            max_gone: pull.max_gone,
            settlement: Settlement::default(),
            is_urgent: false,
            vanished: 0,
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
                seen.push((record.key.clone(), entry(record, Some(record.digest))));
            }
            !same
        });
        // Written again all the same: a reject that waited is settled, and what was missing is back.
        self.settlement.entries.extend(seen);
        Ok((before - records.len()) as u64)
    }

    /// Remembers that a key thought missing is there. It must be known before the next walk misses it again.
    pub(super) fn is_there(&mut self, record: &Record) {
        self.is_urgent = true;
        self.settlement.entries.push((record.key.clone(), entry(record, Some(record.digest))));
    }

    /// Records that vanished between the list and their follow-up are removed from the ERP, or forgotten.
    pub(super) fn vanished(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let gone = std::mem::take(&mut chunk.gone);
        self.vanished += gone.len() as u64;
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
                self.settlement.noted.push((record.key.clone(), entry(record, None)));
            } else {
                self.settlement.entries.push((record.key.clone(), entry(record, Some(record.digest))));
            }
        }
        let gone = batch.gone.iter().map(|record| record.key.clone());
        self.settlement.removed.extend(gone.filter(|key| !refused.contains(key.as_str())));
        self.settlement.rejects.extend(settled.rejected.iter().cloned());
    }

    /// Writes down what was settled, these rejects, and how far the walk is.
    pub(super) async fn write(&mut self, rejected: &[Rejected], walk: Keep) -> Result<(), Failure> {
        let mut settlement = std::mem::take(&mut self.settlement);
        settlement.rejects.extend(rejected.iter().cloned());
        settlement.walk = walk;
        settlement.urgency = if std::mem::take(&mut self.is_urgent) { Urgency::Now } else { Urgency::Soon };
        self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)
    }

    /// Finds the keys that two proved walks of the whole list in a row did not see, and gives what the sink needs to
    /// remove them. `seen` are the keys that the walk just ended saw.
    pub(super) async fn find_gone(&self, seen: &HashSet<u64>) -> Result<Vec<Record>, Failure> {
        let Some(columns) = &self.removes else { return Ok(Vec::new()) };
        let is_seen = |key: &str| seen.contains(&hash(key));
        let (mut known, mut missing) = (0_u64, 0_u64);
        let mut place = Place::default();
        while let Some(page) = self.scan(&mut place).await? {
            known += page.len() as u64;
            missing += page.iter().filter(|(key, _)| !is_seen(key)).count() as u64;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of rows needs no more digits than a float has"
        )]
        if missing as f64 > known as f64 * self.max_gone {
            return Err(Failure::new(
                Class::Refused,
                format!(
                    "{missing} of {known} known records are not in the list any more, more than `max-gone` allows; nothing was \
                     removed. If they are really gone, raise max-gone for one run"
                ),
            ));
        }
        let mut gone = Vec::new();
        let mut place = Place::default();
        while let Some(page) = self.scan(&mut place).await? {
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

    /// The next known keys after `place`, which moves on with them.
    async fn scan(&self, place: &mut Place) -> Result<Option<Vec<(String, Delivered)>>, Failure> {
        let page = self.store.scan(self.job(), ENTITY, place, SCAN).await.map_err(state)?;
        Ok((!page.is_empty()).then_some(page))
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
