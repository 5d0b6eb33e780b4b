//! What is remembered of a walk: where it is, the watermark, and per key the content last delivered. The watermark moves
//! only when the walk is proved, and what lies so far behind it that it won't be asked for again is forgotten then, but for
//! a job that sweeps: its sweeps must know what was delivered ever.
//!
//! Which keys a pass has seen is kept in memory alone: a pass that was resumed after a crash can't be clean anyway.

use super::deliveries::Deliveries;
use super::seen::{SeenKeys, hash};
use super::{ENTITY, Marker, state};
use crate::crash;
use crate::job::{Changed, Cursor, Pull};
use crate::rest::SharedWalk;
use crate::state::{Coordinator as _, Forget, NewMark, Settlement, Walk as Keep};
use crate::transfer::{Batch, Checkpoint, Chunk, Class, Failure, Progress, Record, Rejected, Settled};
use crate::watermark::{CursorFormat, Mark, Next, PageFacts, RowFact, Walk, WalkRules, Walked};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// A walk that has not come to its end.
#[derive(Serialize, Deserialize)]
pub(super) struct Unfinished {
    pub(super) walk: Walk,
    /// When it began, if it is a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<DateTime<Utc>>,
}

/// What a walk is for.
pub(super) enum Scope {
    /// To read on, or the whole list.
    Live {
        /// When it began, if it is a sweep.
        sweep: Option<DateTime<Utc>>,
    },
    /// To read a stretch of the past again. The watermark is none of its business.
    Backfill {
        /// Where its walk is kept.
        entity: String,
        /// What is dated later is left to the live pull.
        until: Cursor,
    },
}

/// What an operator may have to know of the rows.
#[derive(Default)]
struct Seen {
    rows: u64,
    undated: u64,
    future: u64,
    latest: Option<Cursor>,
    left: u64,
    cut: bool,
}

pub(super) struct PullCheckpoint {
    deliveries: Deliveries,
    pull: Arc<Pull>,
    walk: SharedWalk,
    rules: WalkRules,
    scope: Scope,
    /// The rows of the page at hand.
    rows: Vec<RowFact>,
    /// The keys of the current pass.
    keys: SeenKeys,
    pass: u32,
    stuck: bool,
    seen: Seen,
    note: Option<String>,
}

impl PullCheckpoint {
    pub(super) fn new(
        deliveries: Deliveries,
        pull: Arc<Pull>,
        walk: SharedWalk,
        rules: WalkRules,
        scope: Scope,
    ) -> Self {
        let (rows, keys, seen) = (Vec::new(), SeenKeys::default(), Seen::default());
        let (pass, stuck, note) = (0, false, None);
        Self { deliveries, pull, walk, rules, scope, rows, keys, pass, stuck, seen, note }
    }

    async fn sift_page(&mut self, chunk: &mut Chunk) -> Result<u64, Failure> {
        if self.walk.with(|walk| walk.ask().is_none()) {
            // These waited for their follow-up, and are no part of the walk.
            return Ok(0);
        }
        let known = self.deliveries.recall(&chunk.records).await?;
        let pass = self.walk.with(|walk| walk.pass());
        if self.pass != pass {
            self.pass = pass;
            self.keys = SeenKeys::default();
        }
        self.rows.extend(chunk.records.iter().map(|record| RowFact {
            cursor: record.cursor,
            fingerprint: fingerprint(record),
            seen: !self.keys.insert(hash(&record.key)),
        }));
        // The page may come in several windows; with the last comes what it says.
        if let Some(Progress::Page(facts)) = &chunk.progress {
            let rows = std::mem::take(&mut self.rows);
            self.look_at(facts, &rows);
            self.walk.with(|walk| walk.page(facts, rows, &self.rules)).map_err(|stuck| {
                self.stuck = true;
                Failure::new(Class::Answer, stuck.to_string())
            })?;
        }

        // Of a key that stands twice on a page the later row counts.
        let records = std::mem::take(&mut chunk.records);
        let last: HashMap<String, usize> =
            records.iter().enumerate().map(|(index, record)| (record.key.clone(), index)).collect();
        let mut unchanged = 0;
        for (index, (record, known)) in records.into_iter().zip(known).enumerate() {
            let is_known = known.as_ref().is_some_and(|known| known.digest == Some(record.digest));
            if self.is_left(&record) {
                self.seen.left += 1;
            } else if last.get(&record.key) != Some(&index) {
                unchanged += 1;
            } else if is_known {
                unchanged += 1;
                if let Some(known) = known.filter(|known| known.absent) {
                    self.deliveries.is_there(&record, known);
                }
            } else {
                chunk.records.push(record);
            }
        }
        if self.pull.each.is_none() {
            unchanged += self.deliveries.drop_unwanted(&mut chunk.records).await?;
        }
        Ok(unchanged)
    }

    fn look_at(&mut self, facts: &PageFacts, rows: &[RowFact]) {
        self.seen.rows += rows.len() as u64;
        self.seen.undated += rows.iter().filter(|row| row.cursor.is_none()).count() as u64;
        self.seen.future += facts.future;
        self.seen.latest = self.seen.latest.max(facts.latest);
        self.seen.cut |=
            facts.full && facts.next == Next::Unsaid && matches!(self.pull.pages, crate::job::Pages::Told(_));
    }

    /// Whether a backfill leaves it to the live pull.
    fn is_left(&self, record: &Record) -> bool {
        match (&self.scope, record.cursor) {
            (Scope::Backfill { until, .. }, Some(cursor)) => cursor >= *until,
            _ => false,
        }
    }

    async fn move_on(&mut self, rejected: &[Rejected], progress: Option<Progress>) -> Result<(), Failure> {
        if progress.is_none() {
            return self.deliveries.write(rejected, Keep::Keep).await;
        }
        let ended = self.walk.with(|walk| walk.walked());
        let keep = if ended.is_some() { Keep::Clear } else { Keep::Save(self.unfinished()?) };
        match &self.scope {
            Scope::Live { .. } => self.deliveries.write(rejected, keep).await?,
            Scope::Backfill { .. } => {
                self.deliveries.write(rejected, Keep::Keep).await?;
                self.keep_walk(keep).await?;
            }
        }
        crash::point("pull-after-settle").await;
        match ended {
            Some(ended) => self.end(ended).await,
            None => Ok(()),
        }
    }

    fn unfinished(&self) -> Result<serde_json::Value, Failure> {
        let sweep = if let Scope::Live { sweep } = &self.scope { *sweep } else { None };
        let walk = self.walk.with(|walk| walk.clone());
        serde_json::to_value(Unfinished { walk, sweep })
            .map_err(|error| Failure::new(Class::State, error.to_string()))
    }

    async fn keep_walk(&self, walk: Keep) -> Result<(), Failure> {
        let entity = if let Scope::Backfill { entity, .. } = &self.scope { entity } else { ENTITY };
        let Deliveries { store, token, .. } = &self.deliveries;
        let settlement = Settlement { walk, ..Settlement::default() };
        store.settle(self.deliveries.job(), entity, token.run, settlement).await.map_err(state)
    }

    async fn end(&mut self, ended: Walked) -> Result<(), Failure> {
        if ended == Walked::Unproved {
            let passes = self.rules.passes;
            self.note = Some(format!(
                "the list changed during each of {passes} passes, so none could be proved complete; what was read is \
                 delivered, and the watermark stays"
            ));
        }
        let Scope::Live { sweep } = &self.scope else { return Ok(()) };
        if let Some(began) = sweep {
            // Also if it could not be proved: the next slot comes, and all day long would be too often.
            Marker::of(&self.deliveries.store).set(self.deliveries.job(), *began).await?;
        }
        let pull = Arc::clone(&self.pull);
        match (ended, pull.changed()) {
            (Walked::Proved(Some(reached)), Some(changed)) => self.commit(reached, changed).await,
            (Walked::Proved(None), Some(changed)) if self.seen.rows > 0 => {
                let field = &changed.field;
                self.note =
                    Some(format!("no record has a `{field}` that can be read, so the watermark can't move"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Moves the watermark, never backwards.
    async fn commit(&mut self, reached: Cursor, changed: &Changed) -> Result<(), Failure> {
        let Deliveries { store, token, .. } = &self.deliveries;
        let job = &token.slot.job;
        let before = super::watermark(store, job, Some(&changed.format)).await?;
        if before.is_some_and(|before| before >= reached) {
            return Ok(());
        }
        let mark = match changed.format {
            CursorFormat::Integer => Mark::Id(reached.0),
            _ => Mark::At(reached),
        };
        let mark = NewMark { entity: ENTITY.to_owned(), value: mark.to_value(), walk: Keep::Clear };
        crash::point("pull-before-watermark").await;
        store.commit_watermark(token, mark).await.map_err(state)?;
        crash::point("pull-after-watermark").await;
        if let Some(before) = self.pull.forgets_before(reached) {
            store.prune_delivered(job, ENTITY, Forget::Before(before)).await.map_err(state)?;
        }
        Ok(())
    }

    async fn find_gone(&self) -> Result<Vec<Record>, Failure> {
        let reads_all = match &self.scope {
            Scope::Live { sweep } => self.pull.since.is_none() || sweep.is_some(),
            Scope::Backfill { .. } => false,
        };
        if !reads_all || self.seen.cut || !self.walk.with(|walk| walk.saw_everything()) {
            return Ok(Vec::new());
        }
        self.deliveries.find_gone(&self.keys).await
    }

    fn remarks(&self) -> Vec<String> {
        let Seen { undated, future, latest, left, cut, .. } = self.seen;
        let mut remarks = Vec::new();
        if let (Some(latest), true) = (latest, future > 0) {
            remarks.push(format!(
                "{future} records are dated after the platform's own clock, the latest {}: they are delivered and don't move the \
                 watermark; is `timezone` right?",
                Mark::At(latest)
            ));
        }
        if let (Some(changed), true) = (self.pull.changed(), undated > 0) {
            remarks.push(format!("{undated} records have no `{}` that can be read", changed.field));
        }
        if cut {
            remarks.push(
                "the last page was full and did not say what comes next; it counts as the end".to_owned(),
            );
        }
        if left > 0 {
            remarks.push(format!("{left} records dated later are left to the live pull"));
        }
        remarks.extend(self.deliveries.remark());
        remarks
    }
}

/// Equal for equal rows: key and content, mixed.
fn fingerprint(record: &Record) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&record.digest.0[..8]);
    hash(&record.key) ^ u64::from_le_bytes(first)
}

impl Checkpoint for PullCheckpoint {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            crash::point("pull-after-read").await;
            self.sift_page(chunk).await
        })
    }

    fn sift_followed<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            if self.pull.each.is_none() {
                return Ok(0);
            }
            self.deliveries.vanished(chunk).await?;
            self.deliveries.drop_unwanted(&mut chunk.records).await
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            self.deliveries.doubt(batch).await?;
            crash::point("pull-after-doubt").await;
            Ok(())
        })
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        self.deliveries.settle(batch, settled);
        Box::pin(async move {
            crash::point("pull-after-sink-commit").await;
            // What is gone is removed after the last page: nothing follows that would write it down.
            if self.walk.with(|walk| walk.ask().is_none())
                && !batch.gone.is_empty()
                && batch.records.is_empty()
            {
                self.deliveries.write(&[], Keep::Keep).await?;
            }
            Ok(())
        })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        progress: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.move_on(rejected, progress))
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(self.find_gone())
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }

    fn remark(&self) -> Option<String> {
        let remarks = self.remarks();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    fn failed<'a>(&'a mut self, failure: &'a Failure) -> BoxFuture<'a, Result<(), Failure>> {
        // A walk that leads nowhere, or whose page is not there any more after a crash, would fail for ever.
        let definite = matches!(failure.class, Class::Answer | Class::Refused);
        let dead = self.stuck || (definite && self.walk.with(|walk| walk.is_idle()));
        Box::pin(async move { if dead { self.keep_walk(Keep::Clear).await } else { Ok(()) } })
    }
}
