//! What is remembered of a push: per key the content the platform last answered for. Keys are durably in doubt before
//! their request goes out; a key in doubt is sent again whatever its content. A record that was refused is not sent again
//! until its content changes. A record is gone when two full reads of the source in a row did not have it; an empty read
//! is never absence, and `max-gone` stops a run before anything is removed.

use super::{ENTITY, state};
use crate::crash;
use crate::job::{Push, Read};
use crate::rest::KEY_SEPARATOR;
use crate::state::{Delivered, Doubtful, Place, Settlement, Store, Token};
use crate::transfer::{
    Batch, Checkpoint, Chunk, Class, Digest, Failure, Progress, Record, Rejected, Settled,
};
use crate::words::JobName;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How the platform answered for a key's content.
const ACCEPTED: u64 = 0;
const REFUSED: u64 = 1;
/// Known keys looked at in one go.
const SCAN: usize = 4_000;

pub(super) struct PushCheckpoint {
    store: Store,
    token: Token,
    key: Vec<String>,
    group_by: Vec<String>,
    max_gone: f64,
    /// Whether the request's body says what is gone.
    removes: bool,
    /// Hashes of the keys this read had: eight bytes a row.
    seen: Vec<u64>,
}

impl PushCheckpoint {
    pub(super) fn new(store: Store, token: Token, read: &Read, push: &Push) -> Self {
        Self {
            store,
            token,
            key: read.key.clone(),
            group_by: push.group_by.clone(),
            max_gone: read.max_gone,
            removes: push.body.to_string().contains("\"$gone"),
            seen: Vec::new(),
        }
    }

    fn job(&self) -> &JobName {
        &self.token.slot.job
    }

    async fn sift_rows(&mut self, chunk: &mut Chunk) -> Result<u64, Failure> {
        let records = std::mem::take(&mut chunk.records);
        self.seen.extend(records.iter().map(|record| hash(&record.key)));
        let keys = records.iter().map(|record| record.key.clone()).collect();
        let known = self.store.recall(self.job(), ENTITY, keys).await.map_err(state)?;
        // Of a key that stands twice the later row counts.
        let last: HashMap<String, usize> =
            records.iter().enumerate().map(|(index, record)| (record.key.clone(), index)).collect();
        let mut unchanged = 0;
        for (index, (record, known)) in records.into_iter().zip(known).enumerate() {
            let answered_for = |known: Delivered| !known.absent && known.digest == Some(record.digest);
            if last.get(&record.key) != Some(&index) || known.is_some_and(answered_for) {
                unchanged += 1;
            } else {
                chunk.records.push(record);
            }
        }
        Ok(unchanged)
    }

    async fn settle_batch(&self, batch: &Batch, settled: &Settled) -> Result<(), Failure> {
        let refused: HashSet<&str> = settled.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
        let mut settlement = Settlement { rejects: settled.rejected.clone(), ..Settlement::default() };
        for record in &batch.records {
            let is_refused = refused.contains(record.key.as_str());
            let walk = if is_refused { REFUSED } else { ACCEPTED };
            let entry =
                Delivered { digest: Some(record.digest), cursor: None, walk, absent: false, group: None };
            let entries = if is_refused { &mut settlement.noted } else { &mut settlement.entries };
            entries.push((record.key.clone(), entry));
        }
        let gone = batch.gone.iter().map(|record| record.key.clone());
        settlement.removed = gone.filter(|key| !refused.contains(key.as_str())).collect();
        self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)
    }

    /// A row that can't be mapped is in the source all the same: it is not gone.
    pub(super) fn saw(&mut self, rejected: &[Rejected]) {
        self.seen.extend(rejected.iter().map(|rejected| hash(&rejected.key)));
    }

    /// How many of the records the platform was sent before, whatever it answered.
    pub(super) async fn count_known(&self, records: &[Record]) -> Result<u64, Failure> {
        let keys = records.iter().map(|record| record.key.clone()).collect();
        let known = self.store.recall(self.job(), ENTITY, keys).await.map_err(state)?;
        Ok(known.into_iter().flatten().filter(|known| !known.absent).count() as u64)
    }

    /// What [`Checkpoint::gone`] would give, and how many it would mark as missing for the first time. Marks nothing.
    pub(super) async fn look_for_gone(&mut self) -> Result<(Vec<Record>, u64), Failure> {
        let (mut gone, mut first, mut place) = (Vec::new(), 0, Place::default());
        if self.count_missing().await? == 0 {
            return Ok((gone, first));
        }
        loop {
            let page = self.scan(&mut place).await?;
            if page.is_empty() {
                return Ok((gone, first));
            }
            for (key, entry) in page.into_iter().filter(|(key, _)| !self.has_seen(key)) {
                if entry.absent {
                    gone.push(self.gone_record(key)?);
                } else {
                    first += 1;
                }
            }
        }
    }

    /// How many known records this read did not have; an empty read misses nothing. Fails if they are too many.
    async fn count_missing(&mut self) -> Result<u64, Failure> {
        if self.seen.is_empty() {
            return Ok(0);
        }
        self.seen.sort_unstable();
        self.seen.dedup();
        let (mut known, mut missing) = (0_u64, 0_u64);
        let mut place = Place::default();
        loop {
            let page = self.scan(&mut place).await?;
            if page.is_empty() {
                break;
            }
            known += page.len() as u64;
            missing += page.iter().filter(|(key, _)| !self.has_seen(key)).count() as u64;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of rows needs no more digits than a float has"
        )]
        if missing as f64 > known as f64 * self.max_gone {
            return Err(Failure::new(
                Class::Refused,
                format!(
                    "{missing} of {known} known records are not in the source any more, more than `max-gone` allows; nothing \
                     was removed. If they are really gone, raise max-gone for one run"
                ),
            ));
        }
        Ok(missing)
    }

    /// Marks what is missing for the first time; gives what was missing before.
    async fn mark_missing(&self) -> Result<Vec<Record>, Failure> {
        let mut gone = Vec::new();
        let mut place = Place::default();
        loop {
            let page = self.scan(&mut place).await?;
            if page.is_empty() {
                return Ok(gone);
            }
            let mut settlement = Settlement::default();
            for (key, entry) in page.into_iter().filter(|(key, _)| !self.has_seen(key)) {
                if !entry.absent {
                    settlement.noted.push((key, Delivered { absent: true, ..entry }));
                } else if self.removes {
                    gone.push(self.gone_record(key)?);
                } else {
                    settlement.removed.push(key);
                }
            }
            self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)?;
        }
    }

    async fn scan(&self, place: &mut Place) -> Result<Vec<(String, Delivered)>, Failure> {
        self.store.scan(self.job(), ENTITY, place, SCAN).await.map_err(state)
    }

    fn has_seen(&self, key: &str) -> bool {
        self.seen.binary_search(&hash(key)).is_ok()
    }

    /// What is known of a row that is no more: its key columns, and with them its group.
    fn gone_record(&self, key: String) -> Result<Record, Failure> {
        let columns: Map<String, Value> =
            self.key.iter().cloned().zip(key.split(KEY_SEPARATOR).map(Value::from)).collect();
        let value =
            |column: &String| columns.get(column).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = self.group_by.iter().map(value).collect();
        let content = RawValue::from_string(Value::Object(columns).to_string())
            .map_err(|error| Failure::new(Class::State, format!("the key {key:?} is not text: {error}")))?;
        let digest = Digest::of(content.get().as_bytes());
        Ok(Record { key, cursor: None, content, digest, group })
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Checkpoint for PushCheckpoint {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            crash::point("push-after-read").await;
            self.sift_rows(chunk).await
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        let records = batch.records.iter().chain(&batch.gone);
        let keys = records.map(|record| Doubtful { key: record.key.clone(), group: None }).collect();
        Box::pin(async move {
            self.store.doubt(self.job(), ENTITY, keys).await.map_err(state)?;
            crash::point("push-after-doubt").await;
            Ok(())
        })
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            crash::point("push-after-answer").await;
            self.settle_batch(batch, settled).await?;
            crash::point("push-after-settle").await;
            Ok(())
        })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        _: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            if rejected.is_empty() {
                return Ok(());
            }
            self.saw(rejected);
            let settlement = Settlement { rejects: rejected.to_vec(), ..Settlement::default() };
            self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)
        })
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(async {
            if self.count_missing().await? == 0 { Ok(Vec::new()) } else { self.mark_missing().await }
        })
    }
}
