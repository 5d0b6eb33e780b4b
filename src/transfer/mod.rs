//! The copy loop and the three ends it needs. Pull and push are the same loop with the ends exchanged: read a chunk,
//! drop what was delivered before, write the rest, then remember it. The order is the promise (sink before
//! watermark): keys are durably *in doubt* before they are written, and count as delivered only after the sink has
//! answered for them. At-least-once underneath, effectively once by key and content.

mod exact;
mod fields;
pub mod files;

pub use exact::json;
pub use fields::each_field;

use crate::job::Cursor;
use crate::run::Counts;
use crate::watermark::PageFacts;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// The first 16 bytes of the SHA-256 of a record's content: equal content, equal digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Nothing has it: it stands for a content that is not known.
    pub const UNKNOWN: Self = Self([0; 16]);

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

/// A record that did not go through.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its key; where the row has none, what stands for it: `row 17 of page 3`.
    pub key: String,
    /// Its content, JSON text; may be cut.
    pub content: String,
    /// Why, in an operator's words, with the other side's own words where it gave some.
    pub reason: String,
    /// What becomes of it.
    pub class: RejectClass,
    /// What was sent and said, where it got as far as a request.
    pub exchange: Option<Box<Exchange>>,
}

impl Rejected {
    /// A record that was refused for good.
    pub fn new(key: impl Into<String>, content: impl Into<String>, reason: impl Into<String>) -> Self {
        let (key, content, reason) = (key.into(), content.into(), reason.into());
        Self { key, content, reason, class: RejectClass::Rejected, exchange: None }
    }

    /// This record, refused for good.
    #[must_use]
    pub fn record(record: &Record, reason: impl Into<String>) -> Self {
        Self::new(record.key.clone(), record.content.get(), reason)
    }

    /// The same as another class.
    #[must_use]
    pub fn class(mut self, class: RejectClass) -> Self {
        self.class = class;
        self
    }
}

/// What becomes of a record that did not go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectClass {
    /// Refused: sent again when its content, its map or its parent changes, or when a person says so.
    #[default]
    Rejected,
    /// Its parent is not there: sent when the parent goes through.
    Waiting,
    /// It may work later: sent again by the next run.
    Transient,
    /// It was sent and not answered, and must not be sent twice: only a look at the platform or a person releases it.
    Unknown,
}

impl RejectClass {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Waiting => "waiting",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
        }
    }
}

/// A request and its answer as they may be kept: without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Method and path, without the query.
    pub request: String,
    /// Status and the beginning of the body, or of what it says of the one record.
    pub answer: String,
}

/// A record of which it is not known whether the other side has it, where it must not be written twice: its last write was
/// begun and never answered for, or its first is still to come.
#[derive(Debug)]
pub struct Doubted {
    /// It as it is now.
    pub record: Record,
    /// The digest of what was sent, where that is known.
    pub sent: Option<Digest>,
    /// It was never sent from here.
    pub is_first: bool,
}

/// What a source gives at a time: a page, or some thousand rows of a query.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records, in the source's order.
    pub records: Vec<Record>,
    /// Rows that could not become records.
    pub rejected: Vec<Rejected>,
    /// Records that have to be looked up on the other side before they may be written again.
    pub doubtful: Vec<Doubted>,
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

/// What the other side said of a batch. Every record of the batch is in `rejected`, in `left`, or accepted.
#[derive(Debug, Default)]
pub struct Settled {
    /// The refused ones.
    pub rejected: Vec<Rejected>,
    /// The keys of those that were surely not carried out, or may be sent again all the same: the next run sends them.
    pub left: HashSet<String>,
    /// Per key what the other side gave for later use: its own ids.
    pub links: Vec<(String, serde_json::Value)>,
    /// Records in one request, at most, from now on: the other side found one too large.
    pub limit: Option<usize>,
    /// Why the run must stop once this is settled.
    pub stop: Option<Failure>,
}

/// What a look at the other side gave.
#[derive(Debug, Default)]
pub struct LookedUp {
    /// The records that are there as they are now, and those of which that can't be known.
    pub batch: Batch,
    /// Which of the batch can't be known.
    pub settled: Settled,
    /// The records to be written: not there, or there with an older content.
    pub due: Vec<Record>,
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
    /// How many rows there are in all, once that is known and will not change.
    fn total(&self) -> Option<u64> {
        None
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
    /// Looks up on the other side what may or may not have been written before.
    fn look_up(&mut self, doubtful: Vec<Doubted>) -> BoxFuture<'_, Result<LookedUp, Failure>> {
        let due = doubtful.into_iter().map(|doubted| doubted.record).collect();
        Box::pin(async { Ok(LookedUp { due, ..LookedUp::default() }) })
    }
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
    /// Durably remembers that the source was read to its end and all of it is settled.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
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
        if !chunk.doubtful.is_empty() {
            let looked_up = sink.look_up(std::mem::take(&mut chunk.doubtful)).await?;
            settle(&looked_up.batch, looked_up.settled, checkpoint, counts).await?;
            chunk.records.extend(looked_up.due);
        }
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
    checkpoint.finish().await
}

async fn deliver(
    batch: &Batch,
    sink: &mut dyn Sink,
    checkpoint: &mut dyn Checkpoint,
    counts: &mut Counts,
) -> Result<(), Failure> {
    checkpoint.doubt(batch).await?;
    let settled = sink.write(batch).await?;
    settle(batch, settled, checkpoint, counts).await
}

async fn settle(
    batch: &Batch,
    settled: Settled,
    checkpoint: &mut dyn Checkpoint,
    counts: &mut Counts,
) -> Result<(), Failure> {
    checkpoint.settle(batch, &settled).await?;
    counts.rejected += settled.rejected.len() as u64;
    let refused: HashSet<&str> = settled.rejected.iter().map(|rejected| rejected.key.as_str()).collect();
    let accepted = |records: &[Record]| {
        let through =
            |record: &&Record| !refused.contains(record.key.as_str()) && !settled.left.contains(&record.key);
        records.iter().filter(through).count() as u64
    };
    counts.removed += accepted(&batch.gone);
    counts.written += accepted(&batch.records);
    settled.stop.map_or(Ok(()), Err)
}
