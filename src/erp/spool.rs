//! Rows on their way from a query to the platform. A query is read to its end at the database's speed, while a platform
//! takes its records at the speed of its quota: a read that lasted as long would keep SQLite's writers waiting, keep
//! PostgreSQL from cleaning up, and be cut off by MySQL after a minute. So the one end never waits for the other, but chunks
//! are given out while later ones are still being written. A small result stays in memory; a larger one goes to an unnamed
//! temporary file (`TMPDIR`), which disappears with the run however it ends.

use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Records in a chunk.
const CHUNK_ROWS: usize = 2_000;

/// Bytes after which a chunk is full whatever it holds.
const CHUNK_BYTES: usize = 8 << 20;

/// One row: a record, or with a reason, a rejected one.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) group: Vec<String>,
    pub(super) content: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// Rows of one query being written, beside the [`Spool`] that gives them out.
pub(super) struct Filler {
    filling: Vec<u8>,
    rows: usize,
    file: Option<Arc<File>>,
    /// Bytes in the file.
    stored: u64,
    /// All rows.
    len: u64,
    full: UnboundedSender<Result<Part, Failure>>,
}

/// The rows of one query, given out while they are still being written, and again as often as needed.
pub(super) struct Spool {
    coming: UnboundedReceiver<Result<Part, Failure>>,
    chunks: Vec<Stored>,
    /// Chunks given out since the first row.
    given: usize,
    /// All rows, once all have come.
    len: Option<u64>,
    /// So many values of a record's group count as its content.
    grouped: usize,
}

/// What the writer has to tell.
enum Part {
    Chunk(Stored),
    /// There is nothing more after these many rows.
    End(u64),
}

/// Where the rows of a chunk are.
enum Stored {
    Memory(Vec<u8>),
    File { file: Arc<File>, offset: u64, length: usize },
}

/// Both ends of a spool; of the values that come along as a record's group, the first `grouped` count as its content.
pub(super) fn spool(grouped: usize) -> (Filler, Spool) {
    let (full, coming) = unbounded_channel();
    let filler = Filler { filling: Vec::new(), rows: 0, file: None, stored: 0, len: 0, full };
    (filler, Spool { coming, chunks: Vec::new(), given: 0, len: None, grouped })
}

impl Filler {
    /// Adds a row.
    pub(super) async fn push(&mut self, line: &Line) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.filling, line).map_err(|error| lost(&error))?;
        self.rows += 1;
        self.len += 1;
        if self.rows == CHUNK_ROWS || self.filling.len() >= CHUNK_BYTES {
            self.store().await.map_err(|error| lost(&error))?;
        }
        Ok(())
    }

    /// There are no more rows, or there is no knowing: `read` says which.
    pub(super) fn end(self, read: Result<(), Failure>) {
        // Nobody may be there to hear it.
        let tell = |part| drop(self.full.send(part));
        match read {
            Ok(()) => {
                // The rows of the last chunk need no file.
                if self.rows > 0 {
                    tell(Ok(Part::Chunk(Stored::Memory(self.filling))));
                }
                tell(Ok(Part::End(self.len)));
            }
            Err(failure) => tell(Err(failure)),
        }
    }

    async fn store(&mut self) -> std::io::Result<()> {
        let (filling, offset, file) = (std::mem::take(&mut self.filling), self.stored, self.file.clone());
        let (file, mut filling) = tokio::task::spawn_blocking(move || {
            let file = file.map_or_else(|| tempfile::tempfile().map(Arc::new), Ok)?;
            file.write_all_at(&filling, offset)?;
            std::io::Result::Ok((file, filling))
        })
        .await??;
        let length = filling.len();
        self.stored += length as u64;
        self.rows = 0;
        filling.clear();
        self.filling = filling;
        drop(self.full.send(Ok(Part::Chunk(Stored::File { file: Arc::clone(&file), offset, length }))));
        self.file = Some(file);
        Ok(())
    }
}

impl Spool {
    /// How many rows there are, once all have come.
    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Goes to the first row, as often as needed.
    pub(super) fn rewind(&mut self) {
        self.given = 0;
    }

    /// The next chunk; waits for it where the rows are still being written.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        if self.given == self.chunks.len() && self.len.is_none() {
            match self.coming.recv().await {
                Some(Ok(Part::Chunk(chunk))) => self.chunks.push(chunk),
                Some(Ok(Part::End(rows))) => self.len = Some(rows),
                Some(Err(failure)) => return Err(failure),
                None => return Err(Failure::new(Class::State, "the reading of the query broke off")),
            }
        }
        let Some(stored) = self.chunks.get(self.given) else { return Ok(None) };
        self.given += 1;
        let read;
        let stored = match stored {
            Stored::Memory(rows) => rows,
            Stored::File { file, offset, length } => {
                let (file, offset, mut rows) = (Arc::clone(file), *offset, vec![0; *length]);
                let reading = tokio::task::spawn_blocking(move || {
                    file.read_exact_at(&mut rows, offset)?;
                    std::io::Result::Ok(rows)
                });
                read = reading.await.map_err(std::io::Error::from).flatten().map_err(|error| lost(&error))?;
                &read
            }
        };
        let mut chunk = Chunk::default();
        for line in serde_json::Deserializer::from_slice(stored).into_iter::<Line>() {
            let line = line.map_err(|error| lost(&error))?;
            match line.reason {
                None => chunk.records.push(record(line, self.grouped)),
                Some(reason) => {
                    chunk.rejected.push(Rejected::new(line.key, line.content.get(), reason));
                }
            }
        }
        Ok(Some(chunk))
    }
}

/// The digest of a content that goes to a group.
pub(super) fn digest_of(content: &RawValue, group: &[String]) -> Digest {
    if group.is_empty() {
        Digest::of(content.get().as_bytes())
    } else {
        // JSON text has no U+001F, so no content can be mistaken for another one with its group.
        Digest::of(format!("{}\u{1f}{}", content.get(), group.join("\u{1f}")).as_bytes())
    }
}

fn record(line: Line, grouped: usize) -> Record {
    let digest = digest_of(&line.content, &line.group[..grouped.min(line.group.len())]);
    Record { key: line.key, cursor: None, content: line.content, digest, group: line.group }
}

fn lost(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Class::State,
        format!("the rows of the query could not be kept in the temporary directory: {error}"),
    )
}
