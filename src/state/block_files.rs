//! The files that the blocks of deliveries are kept in, beside sled. sled keeps where each block is and its sum: it holds
//! on to whatever it has read or written, and a million keys would take it fifty megabytes.
//!
//! Blocks are appended, and on disk before sled is told of them: all that a kill leaves behind is bytes that nothing
//! refers to. A file has the blocks of one log; a log is cleaned from its old end, so that its oldest file is soon
//! without a block and goes. Everything here blocks.

use super::disk::{disk, sync_dir};
use super::draft::{Draft, term};
use super::error::{Fault, StateError};
use super::keys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A file this long gets no more blocks.
const FULL: u64 = 16 << 20;

/// Where a block is: what sled keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    file: u32,
    offset: u32,
    length: u32,
    /// The first eight bytes of the SHA-256 of its key and its bytes.
    sum: u64,
}

/// The files of a store.
#[derive(Debug)]
pub(super) struct BlockFiles {
    dir: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// How many blocks of each file sled refers to.
    blocks: BTreeMap<u32, u64>,
    /// The file each log is appended to.
    ends: HashMap<Vec<u8>, u32>,
    /// The highest number a file ever had, as far as is known.
    last: u32,
}

/// What a batch changes, by the files of its blocks.
#[derive(Debug, Default)]
pub(super) struct Moves {
    added: Vec<u32>,
    gone: Vec<u32>,
}

impl Moves {
    /// Whether blocks were written.
    pub(super) fn has_added(&self) -> bool {
        !self.added.is_empty()
    }
}

impl BlockFiles {
    /// The files of the database in `database`, whose directory is made if it is not there.
    pub(super) fn open(database: &Path) -> Result<Self, StateError> {
        let dir = database.join("blocks");
        fs::create_dir_all(&dir).map_err(disk("create", &dir))?;
        Ok(Self { dir, files: Mutex::default() })
    }

    /// Reads a block that stands under this key, at this address.
    pub(super) fn read(&self, key: &[u8], address: &[u8]) -> Result<Vec<u8>, Fault> {
        let Address { file, offset, length, sum } = Address::from_bytes(address)?;
        let path = self.path(file);
        let mut block = vec![0; length as usize];
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset.into()))?;
            file.read_exact(&mut block)
        });
        let is_lost =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof);
        match read {
            Err(error) if !is_lost(&error) => Err(disk("read", &path)(error).into()),
            Ok(()) if term(key, &block) == sum => Ok(block),
            _ => Err(Fault::Value(format!("{} lacks a block, or has gone back", path.display()))),
        }
    }

    /// Writes the blocks of a draft durably and leaves their addresses in it. The old addresses are asked of `tree`.
    pub(super) fn take_in(&self, draft: &mut Draft<'_>, tree: &sled::Db) -> Result<Moves, Fault> {
        let mut moves = Moves::default();
        let mut files = self.files();
        let mut end: Option<End<'_>> = None;
        for (key, value) in draft.of_kind(keys::DELIVERED) {
            if let Some(old) = tree.get(key)? {
                moves.gone.push(Address::from_bytes(&old)?.file);
            }
            let Some(block) = value else { continue };
            let mut here = match end.take() {
                Some(end) if end.log == log_of(key) && end.length < FULL => end,
                other => {
                    other.map_or(Ok(()), End::sync)?;
                    self.end(log_of(key), &mut files)?
                }
            };
            let address = here.append(key, block)?;
            moves.added.push(address.file);
            *block = address.to_bytes();
            end = Some(here);
        }
        end.map_or(Ok(()), End::sync)?;
        Ok(moves)
    }

    /// The batch has been applied.
    pub(super) fn moved(&self, moves: Moves) {
        let mut files = self.files();
        for file in moves.added {
            *files.blocks.entry(file).or_default() += 1;
        }
        for file in moves.gone {
            if let Some(blocks) = files.blocks.get_mut(&file) {
                *blocks = blocks.saturating_sub(1);
            }
        }
    }

    /// Reads a block and counts it in: of every block once when the store is opened.
    pub(super) fn count(&self, key: &[u8], address: &[u8]) -> Result<(), Fault> {
        self.read(key, address)?;
        let file = Address::from_bytes(address)?.file;
        let mut files = self.files();
        *files.blocks.entry(file).or_default() += 1;
        files.last = files.last.max(file);
        let end = files.ends.entry(log_of(key).to_vec()).or_default();
        *end = file.max(*end);
        Ok(())
    }

    /// Removes the files none of whose blocks was counted in: a kill came between a batch and its removals.
    pub(super) fn remove_uncounted(&self) -> Result<(), Fault> {
        let mut files = self.files();
        for entry in fs::read_dir(&self.dir).map_err(disk("read", &self.dir))? {
            let path = entry.map_err(disk("read", &self.dir))?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let Some(number) = number else { continue };
            files.last = files.last.max(number);
            if !files.blocks.contains_key(&number) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the files that sled durably refers to no more.
    pub(super) fn remove_empty(&self) -> Result<(), Fault> {
        let mut files = self.files();
        let empty: BTreeSet<u32> =
            files.blocks.iter().filter(|(_, blocks)| **blocks == 0).map(|(file, _)| *file).collect();
        for file in &empty {
            remove(&self.path(*file))?;
            files.blocks.remove(file);
        }
        files.ends.retain(|_, file| !empty.contains(file));
        Ok(())
    }

    /// Opens the file that a log is appended to: a new one where there is none yet, or it is full.
    fn end<'k>(&self, log: &'k [u8], files: &mut Files) -> Result<End<'k>, Fault> {
        if let Some(&number) = files.ends.get(log) {
            let path = self.path(number);
            let file = OpenOptions::new().append(true).open(&path).map_err(disk("open", &path))?;
            // What a write that failed or was killed has left behind is passed over.
            let length = file.metadata().map_err(disk("open", &path))?.len();
            if length < FULL {
                return Ok(End { log, number, path, file, length });
            }
        }
        let number = files
            .last
            .checked_add(1)
            .ok_or_else(|| Fault::Value("there have been too many files of blocks".to_owned()))?;
        files.last = number;
        let path = self.path(number);
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(disk("create", &path))?;
        sync_dir(&self.dir)?;
        files.ends.insert(log.to_vec(), number);
        Ok(End { log, number, path, file, length: 0 })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:08}"))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that a log is appended to, open.
struct End<'k> {
    log: &'k [u8],
    number: u32,
    path: PathBuf,
    file: File,
    length: u64,
}

impl End<'_> {
    fn append(&mut self, key: &[u8], block: &[u8]) -> Result<Address, Fault> {
        let too_large = || Fault::Value("a block is too large".to_owned());
        let offset = u32::try_from(self.length).map_err(|_| too_large())?;
        let length = u32::try_from(block.len()).map_err(|_| too_large())?;
        self.file.write_all(block).map_err(disk("append to", &self.path))?;
        self.length += u64::from(length);
        Ok(Address { file: self.number, offset, length, sum: term(key, block) })
    }

    fn sync(self) -> Result<(), Fault> {
        Ok(self.file.sync_data().map_err(disk("sync", &self.path))?)
    }
}

impl Address {
    fn to_bytes(self) -> Vec<u8> {
        let Self { file, offset, length, sum } = self;
        let numbers = [file, offset, length].map(u32::to_be_bytes);
        [numbers.concat(), sum.to_be_bytes().to_vec()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let sum = bytes.get(12..).and_then(|sum| sum.try_into().ok()).map(u64::from_be_bytes);
        match (number(0), number(4), number(8), sum) {
            (Some(file), Some(offset), Some(length), Some(sum)) => Ok(Self { file, offset, length, sum }),
            _ => Err(Fault::Value(format!("{} bytes are no address of a block", bytes.len()))),
        }
    }
}

/// What the keys of all blocks of a log begin with.
fn log_of(key: &[u8]) -> &[u8] {
    &key[..key.len().saturating_sub(keys::BLOCK_NUMBER_BYTES)]
}

fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(disk("remove", path)(error).into()),
        _ => Ok(()),
    }
}
