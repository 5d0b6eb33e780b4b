//! The files that records carry, on their way from a source to a sink beside the records, which hold only what is known
//! of them. At most the files of one chunk are held; those in a directory stay there until they are sent.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is read of a file at a time.
const PIECE: usize = 64 << 10;

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Here.
    Held(Bytes),
    /// In a file of this path.
    At(PathBuf),
}

/// A file that goes with a record.
#[derive(Debug, Clone)]
pub struct RecordFile {
    /// Its bytes.
    pub content: Content,
    /// How it is called on the other side.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// The digest of its bytes, hexadecimal.
    pub sha256: String,
}

impl RecordFile {
    /// Whether its bytes are still what they were when it was looked at. Blocks.
    ///
    /// # Errors
    /// It can't be read.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        match &self.content {
            Content::Held(_) => Ok(true),
            Content::At(path) => {
                Ok(examine(path, self.size)?.is_some_and(|found| found.sha256 == self.sha256))
            }
        }
    }
}

/// What is found in a file.
#[derive(Debug)]
pub struct Examined {
    /// How many bytes it has.
    pub size: u64,
    /// The digest of its bytes, hexadecimal.
    pub sha256: String,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// Reads a file through; nothing if it has more than `most` bytes. Blocks.
///
/// # Errors
/// It can't be read.
pub fn examine(path: &Path, most: u64) -> io::Result<Option<Examined>> {
    let mut file = File::open(path)?;
    let (mut size, mut sha, mut head) = (0, Sha256::new(), Vec::new());
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Some(Examined { size, sha256: hex(&sha.finalize()), head }));
        }
        size += read as u64;
        if size > most {
            return Ok(None);
        }
        sha.update(&piece[..read]);
        if head.len() < 16 {
            head.extend_from_slice(&piece[..read.min(16)]);
        }
    }
}

/// The bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of the records of a chunk by their keys. Clones are handles to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Files(Arc<Mutex<HashMap<String, RecordFile>>>);

impl Files {
    /// Forgets those of the chunk before.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Keeps a record's file.
    pub fn put(&self, key: &str, file: RecordFile) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), file);
    }

    /// Hands out a record's file.
    #[must_use]
    pub fn take(&self, key: &str) -> Option<RecordFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}
