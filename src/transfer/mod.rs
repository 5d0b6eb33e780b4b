//! The copy loop and the three ends it needs. Pull and push are the same loop with the ends exchanged: read a chunk,
//! drop what was delivered before, write the rest, then remember it. The order is the promise (sink before
//! watermark): keys are durably *in doubt* before they are written, and count as delivered only after the sink has
//! answered for them. At-least-once underneath, effectively once by key and content.

mod fields;

pub use fields::each_field;

use crate::job::Cursor;
use crate::run::Counts;
use crate::watermark::PageFacts;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// The first 16 bytes of the SHA-256 of a record's content: equal content, equal digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of a content, byte for byte.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&Sha256::digest(content)[..16]);
        Self(first)
    }
}

/// One business object on its way.
#[derive(Debug, Clone)]
pub struct Record {
    /// What identifies it within its job: the key fields' values, joined by U+001F where there are several.
    pub key: String,
    /// Its place in the source's order of change, where the source has one.
    pub cursor: Option<Cursor>,
    /// Its content as it will be written, JSON text.
    pub content: Box<RawValue>,
    /// The digest of `content`.
    pub digest: Digest,
    /// The values of the push's `group-by` columns; empty elsewhere.
    pub group: Vec<String>,
}

/// A record the other side, or our own reading of it, refused.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its key; where the row has none, what stands for it: `row 17 of page 3`.
    pub key: String,
    /// Its content, JSON text; may be cut.
    pub content: String,
    /// Why, in an operator's words, with the other side's own words where it gave some.
    pub reason: String,
}

/// What a source gives at a time: a page, or some thousand rows of a query.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records, in the source's order.
    pub records: Vec<Record>,
    /// Rows that could not become records.
    pub rejected: Vec<Rejected>,
    /// Records that are known to be gone from the source.
    pub gone: Vec<Record>,
    /// How far the source has been read once these records are safe; nothing where that says nothing new.
    pub progress: Option<Progress>,
}

/// How far a source has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// By this page of a list.
    Page(PageFacts),
    /// By this answer of a feed.
    Feed {
        /// The next id, if it lies ahead of all before.
        reached: Option<u64>,
    },
}

/// The records of one transaction or one request.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records to write.
    pub records: Vec<Record>,
    /// The records to remove on the other side.
    pub gone: Vec<Record>,
}

/// What the other side said of a batch. Every record of the batch is either in `rejected` or accepted.
#[derive(Debug, Default)]
pub struct Settled {
    /// The refused ones.
    pub rejected: Vec<Rejected>,
}

/// Where records come from.
pub trait Source: Send {
    /// The next chunk, or nothing when the source has been read to its end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>>;
    /// Completes the records that were not sifted out, where a chunk tells only that they changed.
    fn follow<'a>(&'a mut self, _chunk: &'a mut Chunk) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
    /// Requests sent so far.
    fn requests(&self) -> u64 {
        0
    }
}

/// Where records go.
pub trait Sink: Send {
    /// Takes records and gives back the batches that are full. A pull's sink gives all of them back at once.
    fn gather(&mut self, records: Vec<Record>) -> Vec<Batch>;
    /// What is left when the source is at its end; `gone` are the records to remove.
    fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch>;
    /// Writes one batch: one transaction, or one request. An `Err` means that nothing is known of any of its records
    /// and the run must stop.
    fn write<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>>;
    /// Requests sent so far.
    fn requests(&self) -> u64 {
        0
    }
}

/// What is remembered of a job between runs.
pub trait Checkpoint: Send {
    /// Takes out of the chunk what was delivered before with the same content; gives how many that were.
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>>;
    /// Looks at the records again after [`Source::follow`] completed them; makes of what is gone what the sink needs to
    /// remove it. Gives how many records it took out because they were delivered before.
    fn sift_followed<'a>(&'a mut self, _chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async { Ok(0) })
    }
    /// Durably marks the batch's keys in doubt, before it is written.
    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>>;
    /// Durably remembers what the sink answered.
    fn settle<'a>(&'a mut self, batch: &'a Batch, settled: &'a Settled)
    -> BoxFuture<'a, Result<(), Failure>>;
    /// Durably keeps rows that never became records, and how far the source is read. Called when all records up to
    /// here are settled.
    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        progress: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>>;
    /// The records that are gone from the source, asked once it has been read to its end.
    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>>;
    /// What an operator should know of a run that reached its end without having done all it should.
    fn note(&self) -> Option<String> {
        None
    }
    /// What is worth knowing of a run that did all it should.
    fn remark(&self) -> Option<String> {
        None
    }
    /// The run ends with this failure.
    fn failed<'a>(&'a mut self, _failure: &'a Failure) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// Why a run can't go on, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What can be done about it.
    pub class: Class,
    /// What happened and what to do, in an operator's words, without secrets.
    pub message: String,
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It may work later: network, time-out, 5xx, 429, a locked database.
    Transient,
    /// The other side does not believe who we are: a person must look.
    Auth,
    /// The job or its connection is configured wrongly: a person must look.
    Config,
    /// The answer can't be what the contract says: HTML with 200, a missing `data`, a body cut short.
    Answer,
    /// The request was refused for what it holds.
    Refused,
    /// It was sent and no answer came; it may or may not have been carried out.
    Unknown,
    /// The run was told to stop.
    Stopped,
    /// Our own state could not be read or written.
    State,
}

impl Failure {
    /// A failure of this class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// Copies from source to sink until the source is at its end. `counts` is right at any moment, also after an error.
pub async fn copy(
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    checkpoint: &mut dyn Checkpoint,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let copied = copy_all(source, sink, checkpoint, counts).await;
    counts.requests = source.requests() + sink.requests();
    if let Err(failure) = &copied {
        // The failure it was about stays the run's.
        if let Err(error) = checkpoint.failed(failure).await {
            tracing::warn!(%error, "what the failure means for the next run could not be written down");
        }
    }
    copied
}

async fn copy_all(
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    checkpoint: &mut dyn Checkpoint,
    counts: &mut Counts,
) -> Result<(), Failure> {
    while let Some(mut chunk) = source.next().await? {
        // A large page comes in several chunks; the last one says how far the source has been read.
        counts.pages += u64::from(chunk.progress.is_some());
        counts.read += (chunk.records.len() + chunk.rejected.len()) as u64;
        counts.unchanged += checkpoint.sift(&mut chunk).await?;
        source.follow(&mut chunk).await?;
        counts.unchanged += checkpoint.sift_followed(&mut chunk).await?;
        if !chunk.gone.is_empty() {
            for batch in sink.rest(std::mem::take(&mut chunk.gone)) {
                deliver(&batch, sink, checkpoint, counts).await?;
            }
        }
        for batch in sink.gather(std::mem::take(&mut chunk.records)) {
            deliver(&batch, sink, checkpoint, counts).await?;
        }
        checkpoint.advance(&chunk.rejected, chunk.progress.take()).await?;
        counts.rejected += chunk.rejected.len() as u64;
    }
    let gone = checkpoint.gone().await?;
    for batch in sink.rest(gone) {
        deliver(&batch, sink, checkpoint, counts).await?;
    }
    Ok(())
}

async fn deliver(
    batch: &Batch,
    sink: &mut dyn Sink,
    checkpoint: &mut dyn Checkpoint,
    counts: &mut Counts,
) -> Result<(), Failure> {
    checkpoint.doubt(batch).await?;
    let settled = sink.write(batch).await?;
    checkpoint.settle(batch, &settled).await?;
    counts.rejected += settled.rejected.len() as u64;
    let refused: std::collections::HashSet<&str> =
        settled.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
    let accepted = |records: &[Record]| {
        records.iter().filter(|record| !refused.contains(record.key.as_str())).count() as u64
    };
    counts.removed += accepted(&batch.gone);
    counts.written += accepted(&batch.records);
    Ok(())
}
