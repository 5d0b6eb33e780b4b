//! What is remembered of a pull: the walk, the watermark, and per key the content last delivered. Everything about one
//! page goes to disk in one batch, after the ERP has committed the page; the watermark moves only when the walk is
//! proved, and forgets then what lies so far back that it won't be asked for again.

use super::{ENTITY, state};
use crate::crash;
use crate::job::{Cursor, Pull};
use crate::rest::SharedWalk;
use crate::state::{
    Coordinator as _, Delivered, Doubtful, Forget, NewMark, Settlement, Store, Token, Walk as Keep,
};
use crate::transfer::{Batch, Checkpoint, Chunk, Class, Digest, Failure, Record, Rejected, Settled};
use crate::watermark::{PageFacts, RowFact, WalkRules, Walked};
use crate::words::JobName;
use futures_util::future::BoxFuture;
use std::collections::{HashMap, HashSet};

/// How far the job has read its source.
pub(super) async fn watermark(store: &Store, job: &JobName) -> Result<Option<Cursor>, Failure> {
    let mark = store.watermark(job, ENTITY).await.map_err(state)?;
    Ok(mark.and_then(|mark| serde_json::from_value(mark.value).ok()))
}

pub(super) struct PullCheckpoint {
    store: Store,
    token: Token,
    walk: SharedWalk,
    rules: WalkRules,
    /// How far behind the watermark keys are remembered, in milliseconds.
    overlap: i64,
    /// What has been settled of this page and is not written yet.
    settlement: Settlement,
    /// The mark of the pass that the page at hand belongs to; the walk may be a pass further already.
    stamp: u64,
    note: Option<String>,
    unreadable_cursors: u64,
}

impl PullCheckpoint {
    pub(super) fn new(store: Store, token: Token, pull: &Pull, walk: SharedWalk, rules: WalkRules) -> Self {
        let overlap = pull.since.as_ref().map_or(0, |since| since.overlap.as_millis());
        Self {
            store,
            token,
            walk,
            rules,
            overlap: i64::try_from(overlap).unwrap_or(i64::MAX),
            settlement: Settlement::default(),
            stamp: 0,
            note: None,
            unreadable_cursors: 0,
        }
    }

    fn job(&self) -> &JobName {
        &self.token.slot.job
    }

    async fn sift_page(&mut self, chunk: &mut Chunk) -> Result<u64, Failure> {
        let records = std::mem::take(&mut chunk.records);
        let keys = records.iter().map(|record| record.key.clone()).collect();
        let known = self.store.recall(self.job(), ENTITY, keys).await.map_err(state)?;
        let facts: PageFacts = chunk.progress.unwrap_or_default();
        self.stamp = self.walk.with(|walk| walk.stamp());
        let stamp = self.stamp;
        let mut on_page = HashSet::new();
        let rows: Vec<RowFact> = records
            .iter()
            .zip(&known)
            .map(|(record, known)| RowFact {
                cursor: record.cursor,
                fingerprint: fingerprint(record),
                seen: known.as_ref().is_some_and(|known| known.walk == stamp)
                    || !on_page.insert(record.key.as_str()),
            })
            .collect();
        self.unreadable_cursors += records.iter().filter(|record| record.cursor.is_none()).count() as u64;
        self.walk
            .with(|walk| walk.page(&facts, rows, &self.rules))
            .map_err(|stuck| Failure::new(Class::Answer, stuck.to_string()))?;

        // Of a key that stands twice on a page the later row counts.
        let last: HashMap<String, usize> =
            records.iter().enumerate().map(|(index, record)| (record.key.clone(), index)).collect();
        let mut unchanged = 0;
        for (index, (record, known)) in records.into_iter().zip(known).enumerate() {
            if last.get(&record.key) != Some(&index) {
                unchanged += 1;
            } else if known.is_some_and(|known| known.digest == Some(record.digest)) {
                unchanged += 1;
                let entry = self.entry(&record, Some(record.digest));
                self.settlement.entries.push((record.key, entry));
            } else {
                chunk.records.push(record);
            }
        }
        Ok(unchanged)
    }

    fn entry(&self, record: &Record, digest: Option<Digest>) -> Delivered {
        Delivered { digest, cursor: record.cursor, walk: self.stamp, absent: false, group: None }
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let (ended, walk) = self.walk.with(|walk| (walk.walked(), serde_json::to_value(&*walk)));
        let mut settlement = std::mem::take(&mut self.settlement);
        let saved = walk.map_err(|error| Failure::new(Class::State, error.to_string()))?;
        settlement.walk = if ended.is_some() { Keep::Clear } else { Keep::Save(saved) };
        let run = self.token.run;
        self.store.settle(self.job(), ENTITY, run, settlement).await.map_err(state)?;
        crash::point("pull-after-settle").await;
        match ended {
            Some(Walked::Proved(Some(reached))) => self.commit(reached).await,
            Some(Walked::Unproved) => {
                let passes = self.rules.passes;
                self.note = Some(format!(
                    "the list changed during each of {passes} passes, so none could be proved complete; what was read is \
                     delivered, and the watermark stays"
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Moves the watermark, never backwards.
    async fn commit(&mut self, reached: Cursor) -> Result<(), Failure> {
        let before = watermark(&self.store, self.job()).await?;
        if before.is_some_and(|before| before >= reached) {
            return Ok(());
        }
        let mark = NewMark { entity: ENTITY.to_owned(), value: reached.0.into(), walk: Keep::Clear };
        crash::point("pull-before-watermark").await;
        self.store.commit_watermark(&self.token, mark).await.map_err(state)?;
        crash::point("pull-after-watermark").await;
        let forget = Forget::Before(reached.minus(self.overlap));
        self.store.prune_delivered(self.job(), ENTITY, forget).await.map_err(state)?;
        Ok(())
    }
}

/// Equal for equal rows: key and content, mixed.
fn fingerprint(record: &Record) -> u64 {
    let key = Digest::of(record.key.as_bytes()).0;
    let mut mixed = [0; 8];
    for (index, byte) in mixed.iter_mut().enumerate() {
        *byte = key[index] ^ record.digest.0[index];
    }
    u64::from_le_bytes(mixed)
}

impl Checkpoint for PullCheckpoint {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            crash::point("pull-after-read").await;
            self.sift_page(chunk).await
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        let keys =
            batch.records.iter().map(|record| Doubtful { key: record.key.clone(), group: None }).collect();
        Box::pin(async move {
            self.store.doubt(self.job(), ENTITY, keys).await.map_err(state)?;
            crash::point("pull-after-doubt").await;
            Ok(())
        })
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let refused: HashSet<&str> = settled.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
        for record in &batch.records {
            // A refused row was seen by this walk all the same; without a digest it counts as never delivered.
            if refused.contains(record.key.as_str()) {
                let entry = self.entry(record, None);
                self.settlement.noted.push((record.key.clone(), entry));
            } else {
                let entry = self.entry(record, Some(record.digest));
                self.settlement.entries.push((record.key.clone(), entry));
            }
        }
        self.settlement.rejects.extend(settled.rejected.iter().cloned());
        Box::pin(async {
            crash::point("pull-after-sink-commit").await;
            Ok(())
        })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        _: Option<PageFacts>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        self.settlement.rejects.extend(rejected.iter().cloned());
        Box::pin(self.write())
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }
}
