//! The directory itself: our own lock, the generation file, and sled opened so that neither a kill nor a damaged
//! file is worse than an error. Everything here blocks.
//!
//! The generation file says how far the store had got when it was last written. The store is always flushed first,
//! so the file may lag behind the store and never leads it: a kill between the two leaves an innocent store, and a
//! store that is behind the file has lost what was once safe.

use super::draft::{Draft, Sum};
use super::error::{Fault, Restore, StateError, panic_text};
use super::keys;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// sled's cache, in bytes.
const CACHE_BYTES: u64 = 16 << 20;
/// How often, and how far apart, a lock is asked for before it counts as held.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory where there is none and takes its lock, or says at once who has it.
    pub(super) fn hold(dir: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(dir).map_err(disk("create", dir))?;
        let path = dir.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(disk("open", &path))?;
        match try_for_a_moment(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                return Err(StateError::Held { dir: dir.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(disk("lock", &path)(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(disk("write", &path))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Where sled keeps its files.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("db")
    }

    /// Where exports are kept.
    pub(super) fn exports(&self) -> PathBuf {
        self.dir.join("exports")
    }

    /// The generation the store had reached, if it was ever written down.
    pub(super) fn generation(&self) -> Result<Option<u64>, StateError> {
        let path = self.generation_path();
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                self.damaged(format!("{} holds no number; remove it if the store is current", path.display()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk("read", &path)(error)),
        }
    }

    /// Writes the generation down. Only after the store that has it is flushed.
    pub(super) fn set_generation(&self, generation: u64) -> Result<(), StateError> {
        let path = self.generation_path();
        replace_file(&path, |file| writeln!(file, "{generation}").map_err(disk("write", &path)))
    }

    fn generation_path(&self) -> PathBuf {
        self.dir.join("generation")
    }

    /// An error in an operator's terms.
    pub(super) fn explain(&self, fault: Fault) -> StateError {
        match fault {
            Fault::State(error) => error,
            Fault::Value(detail) => self.damaged(detail),
            Fault::Sled(sled::Error::Io(source)) => disk("use the database in", &self.database())(source),
            Fault::Sled(error) => self.damaged(error.to_string()),
        }
    }

    /// The store can't be read.
    pub(super) fn damaged(&self, detail: String) -> StateError {
        StateError::Damaged { dir: self.dir.clone(), detail, restore: self.restore() }
    }

    /// The store is older than it was.
    pub(super) fn regressed(&self, store: Option<u64>, expected: u64) -> StateError {
        StateError::Regressed { dir: self.dir.clone(), store, expected, restore: self.restore() }
    }

    fn restore(&self) -> Restore {
        Restore { export: self.list_exports().pop() }
    }

    /// The exports there are, the newest last: their names say when they were made.
    pub(super) fn list_exports(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.exports()).into_iter().flatten().flatten();
        let mut exports: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        exports.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        exports.sort();
        exports
    }
}

/// sled, opened, and what it takes to make its writes last.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) tree: sled::Db,
    path: PathBuf,
    file: File,
}

impl Database {
    /// Opens sled in `path`.
    pub(super) fn open(directory: &Directory, path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(disk("create", path))?;
        remove_half_snapshots(path)?;
        let tree = open_sled(directory, path)?;
        let file_path = path.join("db");
        let file = File::open(&file_path).map_err(disk("open", &file_path))?;
        // The names of new files must last as well as their contents.
        sync_dir(path)?;
        sync_dir(directory.path())?;
        Ok(Self { tree, path: path.to_owned(), file })
    }

    /// Writes a draft in one piece, and with it the sum of all entries; not yet durably.
    ///
    /// Reading the old values first serves sled as well: it frees what earlier batches replaced in small steps as
    /// calls come in. With batches of 10,000 and few calls between them its memory grew to 5 GB over a million
    /// entries.
    pub(super) fn apply(&self, mut draft: Draft<'_>, sum: &mut Sum) -> Result<(), Fault> {
        let after = draft.sum_after(*sum)?;
        draft.put(keys::META_SUM.to_vec(), after.0.to_be_bytes().to_vec());
        self.tree.apply_batch(draft.into_batch())?;
        *sum = after;
        Ok(())
    }

    /// Reads everything and compares it with the sum written last: sled skips what it can't read in the middle of
    /// its file and goes on with older entries in its place, or none.
    pub(super) fn check_sum(&self) -> Result<Sum, Fault> {
        let mut sum = Sum::default();
        let mut written = Sum::default();
        for entry in self.tree.iter() {
            let (key, value) = entry?;
            if key == keys::META_SUM {
                written = Sum(keys::number(&value)?);
            } else {
                sum.add(&key, &value);
            }
        }
        if sum == written {
            Ok(sum)
        } else {
            Err(Fault::Value(
                "entries are missing or have gone back: their sum is not the one written".to_owned(),
            ))
        }
    }

    /// Makes everything written so far survive a power cut. sled's own flush only hands the data to the kernel.
    pub(super) fn flush(&self, synced_blobs: &mut HashSet<OsString>) -> Result<(), Fault> {
        self.tree.flush()?;
        self.file.sync_data().map_err(disk("sync", &self.path))?;
        self.sync_blobs(synced_blobs).map_err(disk("sync", &self.path.join("blobs")))?;
        Ok(())
    }

    /// sled puts what is too large for its log into files of their own and never syncs them.
    fn sync_blobs(&self, synced: &mut HashSet<OsString>) -> std::io::Result<()> {
        let mut present = HashSet::new();
        for entry in fs::read_dir(self.path.join("blobs"))? {
            let entry = entry?;
            if !synced.contains(&entry.file_name()) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // sled removes a blob in the background once nothing refers to it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            present.insert(entry.file_name());
        }
        if present.iter().any(|name| !synced.contains(name)) {
            File::open(self.path.join("blobs"))?.sync_all()?;
        }
        *synced = present;
        Ok(())
    }
}

fn open_sled(directory: &Directory, path: &Path) -> Result<sled::Db, StateError> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let mut tries = 0;
    loop {
        // A damaged file makes sled panic as often as it makes it say so.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|panic| directory.damaged(panic_text(panic.as_ref())))?;
        match opened {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                // A store closed a moment ago in this process lets go of its file a little later.
                tries += 1;
                if tries > 20 {
                    return Err(StateError::Locked { dir: path.to_owned() });
                }
                pause(Duration::from_millis(50));
            }
            Err(error) => return Err(directory.explain(Fault::Sled(error))),
        }
    }
}

/// A process that was just killed, or one being started that has not yet become another program, may hold the lock a
/// moment longer than whoever had it.
fn try_for_a_moment(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => pause(LOCK_PAUSE),
            locked_or_broken => return locked_or_broken,
        }
    }
    lock.try_lock()
}

#[expect(
    clippy::disallowed_methods,
    reason = "opening blocks by contract and nothing signals a lock's release"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A kill while sled writes a snapshot leaves a half one, after which sled never opens again. The whole one before
/// it and the log hold everything.
fn remove_half_snapshots(path: &Path) -> Result<(), StateError> {
    for entry in fs::read_dir(path).map_err(disk("read", path))? {
        let entry = entry.map_err(disk("read", path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(disk("remove", &entry.path()))?;
            tracing::info!(file = %entry.path().display(), "removed a snapshot that a kill left half-written");
        }
    }
    Ok(())
}

/// Writes a file so that it is either the old one or the new one, whole, whatever happens in between.
pub(super) fn replace_file<E: From<StateError>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = File::create(&new).map_err(disk("create", &new))?;
    write(&mut file)?;
    file.sync_all().map_err(disk("sync", &new))?;
    fs::rename(&new, path).map_err(disk("replace", path))?;
    path.parent().map_or(Ok(()), sync_dir)?;
    Ok(())
}

/// Makes renames and new names in a directory last.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StateError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk("sync", dir))
}

/// The disk refused to do this to that.
pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StateError + use<> {
    let path = path.to_owned();
    move |source| StateError::Disk { action, path, source }
}

/// Compares the store with the generation file and gives the store's generation; `None` for a new store.
pub(super) fn check_generation(directory: &Directory, tree: &sled::Db) -> Result<Option<u64>, Fault> {
    let number = |key| tree.get(key)?.map(|value| keys::number(&value)).transpose();
    let layout: Option<u64> = number(keys::META_LAYOUT)?;
    let store: Option<u64> = number(keys::META_GENERATION)?;
    let expected = directory.generation()?;
    match layout {
        Some(found) if found > keys::LAYOUT => {
            return Err(StateError::Layout { found, known: keys::LAYOUT }.into());
        }
        None if !tree.is_empty() => {
            return Err(Fault::Value("it holds entries and no layout version".to_owned()));
        }
        _ => {}
    }
    match expected {
        Some(expected) if store.is_none_or(|store| store < expected) => {
            Err(directory.regressed(store, expected).into())
        }
        _ => Ok(store),
    }
}
