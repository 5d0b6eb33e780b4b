//! Rows on their way from a query to the platform. A query is read to its end at the database's speed, while a platform
//! takes its records at the speed of its quota: a read that lasted as long would keep SQLite's writers waiting, keep
//! PostgreSQL from cleaning up, and be cut off by MySQL after a minute. A small result stays in memory; a larger one goes
//! to an unnamed temporary file (`TMPDIR`), which disappears with the run however it ends.

use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

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

/// The rows of one query, written once and then read once.
#[derive(Default)]
pub(super) struct Spool {
    filling: Vec<u8>,
    rows: usize,
    file: Option<File>,
    /// The bytes of each chunk in the file.
    chunks: Vec<usize>,
    /// Chunks given out since the first row.
    given: usize,
    /// All rows.
    len: u64,
}

impl Spool {
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

    /// How many rows there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Goes to the first row, as often as needed.
    pub(super) async fn rewind(&mut self) -> Result<(), Failure> {
        self.given = 0;
        if let Some(file) = &mut self.file {
            file.flush().await.map_err(|error| lost(&error))?;
            file.rewind().await.map_err(|error| lost(&error))?;
        }
        Ok(())
    }

    /// The next chunk.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        let mut read = Vec::new();
        let stored = match (self.chunks.get(self.given), &mut self.file) {
            (Some(length), Some(file)) => {
                read.resize(*length, 0);
                file.read_exact(&mut read).await.map_err(|error| lost(&error))?;
                &read
            }
            // The rows of the last chunk never went to the file.
            _ if self.given == self.chunks.len() => &self.filling,
            _ => &read,
        };
        self.given += 1;
        if stored.is_empty() {
            return Ok(None);
        }
        let mut chunk = Chunk::default();
        for line in serde_json::Deserializer::from_slice(stored).into_iter::<Line>() {
            let line = line.map_err(|error| lost(&error))?;
            match line.reason {
                None => chunk.records.push(record(line)),
                Some(reason) => {
                    chunk.rejected.push(Rejected::new(line.key, line.content.get(), reason));
                }
            }
        }
        Ok(Some(chunk))
    }

    async fn store(&mut self) -> std::io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => File::from_std(tokio::task::spawn_blocking(tempfile::tempfile).await??),
        };
        file.write_all(&self.filling).await?;
        self.file = Some(file);
        self.chunks.push(self.filling.len());
        self.filling.clear();
        self.rows = 0;
        Ok(())
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

fn record(line: Line) -> Record {
    let digest = digest_of(&line.content, &line.group);
    Record { key: line.key, cursor: None, content: line.content, digest, group: line.group }
}

fn lost(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Class::State,
        format!("the rows of the query could not be kept in the temporary directory: {error}"),
    )
}
