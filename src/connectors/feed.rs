//! What is remembered of a feed: per key the content last delivered, and the server's next id as watermark. It moves after
//! each answer, once all its events are stored or parked, so a crash repeats one answer at most.

use super::deliveries::Deliveries;
use super::{ENTITY, state};
use crate::state::{Coordinator as _, NewMark, Walk as Keep};
use crate::transfer::{Batch, Checkpoint, Chunk, Class, Failure, Progress, Record, Rejected, Settled};
use crate::watermark::Mark;
use futures_util::future::BoxFuture;

pub(super) struct FeedCheckpoint {
    deliveries: Deliveries,
    /// Whether events only tell what changed, and are followed up.
    follows: bool,
}

impl FeedCheckpoint {
    pub(super) fn new(deliveries: Deliveries, follows: bool) -> Self {
        Self { deliveries, follows }
    }

    async fn move_on(&mut self, rejected: &[Rejected], progress: Option<Progress>) -> Result<(), Failure> {
        self.deliveries.write(rejected, Keep::Keep).await?;
        let Some(Progress::Feed { reached: Some(reached) }) = progress else { return Ok(()) };
        let id = i64::try_from(reached)
            .map_err(|_| Failure::new(Class::Answer, format!("{reached} is larger than any id can be")))?;
        let mark = NewMark { entity: ENTITY.to_owned(), value: Mark::Id(id).to_value(), walk: Keep::Clear };
        self.deliveries.store.commit_watermark(&self.deliveries.token, mark).await.map_err(state)
    }
}

impl Checkpoint for FeedCheckpoint {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            // Of several events of one object the last counts, and one follow-up is enough.
            let repeated = Deliveries::keep_last(&mut chunk.records);
            if self.follows {
                return Ok(repeated);
            }
            let unchanged = self.deliveries.drop_unchanged(&mut chunk.records).await?;
            Ok(repeated + unchanged + self.deliveries.drop_unwanted(&mut chunk.records).await?)
        })
    }

    fn sift_followed<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            if !self.follows {
                return Ok(0);
            }
            self.deliveries.vanished(chunk).await?;
            let unchanged = self.deliveries.drop_unchanged(&mut chunk.records).await?;
            Ok(unchanged + self.deliveries.drop_unwanted(&mut chunk.records).await?)
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.deliveries.doubt(batch))
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        self.deliveries.settle(batch, settled);
        Box::pin(async { Ok(()) })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        progress: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.move_on(rejected, progress))
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remark(&self) -> Option<String> {
        self.deliveries.remark()
    }
}
