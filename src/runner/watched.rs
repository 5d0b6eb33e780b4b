//! Tells whoever watches a run how far it is: what has been dealt with, and of how much, as far as that is known.

use crate::connectors::Progress;
use crate::transfer::{
    Batch, Checkpoint, Chunk, Failure, Progress as Read, Record, Rejected, Settled, Source,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of a run's progress.
#[derive(Clone)]
pub(super) struct Meter {
    tell: Progress,
    done: Arc<AtomicU64>,
    /// 0 where it is not known.
    total: Arc<AtomicU64>,
}

impl Meter {
    pub(super) fn new(tell: Progress) -> Self {
        Self { tell, done: Arc::default(), total: Arc::default() }
    }

    fn moved(&self, rows: u64) {
        let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
        (self.tell)(done, Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0));
    }

    fn of(&self, total: Option<u64>) {
        if let Some(total) = total {
            self.total.store(total, Ordering::Relaxed);
        }
    }
}

/// A source whose length is told.
pub(super) struct Metered<T: ?Sized> {
    pub(super) inner: Box<T>,
    pub(super) meter: Meter,
}

impl Source for Metered<dyn Source> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(async {
            let next = self.inner.next().await;
            self.meter.of(self.inner.total());
            next
        })
    }

    fn follow<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.follow(chunk)
    }

    fn requests(&self) -> u64 {
        self.inner.requests()
    }

    fn total(&self) -> Option<u64> {
        self.inner.total()
    }
}

impl Checkpoint for Metered<dyn Checkpoint> {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            let sifted = self.inner.sift(chunk).await?;
            self.meter.moved(sifted + chunk.rejected.len() as u64);
            Ok(sifted)
        })
    }

    fn sift_followed<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            let sifted = self.inner.sift_followed(chunk).await?;
            self.meter.moved(sifted);
            Ok(sifted)
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.doubt(batch)
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            self.inner.settle(batch, settled).await?;
            self.meter.moved(batch.records.len() as u64);
            Ok(())
        })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        progress: Option<Read>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        if let Some(Read::Page(page)) = &progress {
            self.meter.of(page.total_items);
        }
        self.inner.advance(rejected, progress)
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        self.inner.gone()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        self.inner.finish()
    }

    fn note(&self) -> Option<String> {
        self.inner.note()
    }

    fn remark(&self) -> Option<String> {
        self.inner.remark()
    }

    fn failed<'a>(&'a mut self, failure: &'a Failure) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.failed(failure)
    }
}
