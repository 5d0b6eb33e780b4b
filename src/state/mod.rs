//! What survives a crash: the ledger of slots and runs, watermarks, what was delivered, rejects. The only user of
//! sled, so that the choice of a database stays one folder wide.
//!
//! It promises that a call that returned `Ok` survives a kill and a power cut, that each call is all or nothing, and
//! that a store which lost something says so when it is opened instead of running from the past. One call promises
//! less where its caller says so: see [`Urgency::Soon`]. It decides nothing:
//! which slot to claim and when to move a watermark is for the callers, through [`Coordinator`] where another daemon
//! may one day work on the same jobs.
//!
//! Calls run to their end once begun, even if the caller stops waiting for them. The layout of the directory and its
//! keys is described in `state/README.md`.

mod block_files;
mod blocks;
mod claimed;
mod coordinator;
mod delivered;
mod disk;
mod draft;
mod dump;
mod error;
mod index;
mod keys;
mod ledger;
mod links;
mod log;
mod marks;
mod pending;
mod recent;
mod rejects;
#[cfg(test)]
mod tests;
mod view;

pub use coordinator::{
    Claim, Claimed, Closing, Coordinator, LedgerBatch, NewMark, PastMark, Refusal, Token, Walk, Watermark,
};
pub use delivered::{Delivered, Doubtful, Forget, Place, Settlement, Urgency};
pub use dump::{ImportMode, Imported};
pub use error::{Restore, StateError};
pub use ledger::Pause;
pub use recent::LastSlot;
pub use rejects::Reject;
pub use view::{JobView, Slots};

use crate::clock::SharedClock;
use crate::crash;
use crate::run::{RunId, Slot};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use disk::{Database, Directory};
use draft::{Draft, Sum};
use error::{Fault, panic_text};
use log::Shelves;
use pending::Pending;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// The state directory, open. Clones share it; it is let go of when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Dropped in this order: the database is closed before the directory is let go of.
    database: Database,
    shelves: Shelves,
    pending: Mutex<Pending>,
    writer: Mutex<Writer>,
    directory: Directory,
    clock: SharedClock,
}

/// What only the one that writes may touch.
#[derive(Debug)]
struct Writer {
    generation: u64,
    /// Commits since the generation last rose.
    steps: u32,
    last_run: u64,
    /// The sum of all entries.
    sum: Sum,
    /// The slots claimed by this process and not closed, by their key.
    open: HashMap<Vec<u8>, RunId>,
    /// No slot later than this one stands in the ledger, by job: what is later was never claimed, and need not be looked for.
    latest: HashMap<JobName, DateTime<Utc>>,
    /// Whether the last claims are still to be written in full.
    has_claims: bool,
    synced_blobs: HashSet<OsString>,
}

impl Writer {
    fn saw(&mut self, slot: &Slot) {
        match self.latest.get_mut(&slot.job) {
            Some(latest) => *latest = slot.at.max(*latest),
            None => {
                self.latest.insert(slot.job.clone(), slot.at);
            }
        }
    }
}

/// Whether a store that lost this commit would repeat or skip something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// A slot ended or a watermark moved: the generation rises with it.
    Milestone,
    /// Losing it costs a repetition at most; every 64th raises the generation.
    Step,
}

const STEPS_PER_GENERATION: u32 = 64;

impl Store {
    /// Opens the state directory, creating it where there is none. Blocks: everything in it is read once, which takes
    /// some seconds for a million entries.
    pub fn open(dir: &Path, clock: SharedClock) -> Result<Self, StateError> {
        let directory = Directory::hold(dir)?;
        let database = Database::open(&directory, &directory.database())?;
        // What a damaged file holds may only come to light when it is read.
        let writer = catch_unwind(AssertUnwindSafe(|| Inner::begin(&directory, &database)))
            .map_err(|panic| directory.damaged(panic_text(panic.as_ref())))?
            .map_err(|fault| directory.explain(fault))?;
        let (shelves, pending, writer) = (Mutex::default(), Mutex::default(), Mutex::new(writer));
        Ok(Self(Arc::new(Inner { database, shelves, pending, writer, directory, clock })))
    }

    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.0.directory.path()
    }

    /// A small value kept for somebody else, such as a quota's counter.
    pub async fn get_blob(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let key = keys::blob(namespace, key);
        self.blocking(move |inner| Ok(inner.database.tree.get(key)?.map(|value| value.to_vec()))).await
    }

    /// The same for who may block.
    pub fn get_blob_blocking(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.0.database.tree.get(keys::blob(namespace, key));
        Ok(value.map_err(|error| self.0.directory.explain(error.into()))?.map(|value| value.to_vec()))
    }

    /// Keeps a small value durably. `namespace` is a word of the caller's choice.
    pub async fn put_blob(&self, namespace: &str, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        let key = keys::blob(namespace, key);
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            draft.put(key, value);
            inner.commit(&mut writer, draft, Weight::Step)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StateError> {
        let inner = Arc::clone(&self.0);
        let done =
            tokio::task::spawn_blocking(move || work(&inner).map_err(|fault| inner.directory.explain(fault)));
        match done.await {
            Ok(done) => done,
            // sled panics on pages it can't read.
            Err(error) if error.is_panic() => {
                Err(self.0.directory.damaged(panic_text(error.into_panic().as_ref())))
            }
            Err(_) => Err(StateError::Stopping),
        }
    }
}

impl Inner {
    /// Checks that the store has not gone back and raises its generation, so that from now on an older copy is one.
    fn begin(directory: &Directory, database: &Database) -> Result<Writer, Fault> {
        let generation = disk::check_generation(directory, &database.tree)?;
        let last_run = database.tree.get(keys::META_RUN)?.map(|value| keys::number(&value)).transpose()?;
        let mut writer = Writer {
            generation: generation.unwrap_or(0),
            steps: 0,
            last_run: last_run.unwrap_or(0),
            sum: database.check_sum()?,
            open: HashMap::new(),
            latest: HashMap::new(),
            has_claims: false,
            synced_blobs: HashSet::new(),
        };
        claimed::expand(database, &mut writer)?;
        for entry in database.tree.scan_prefix([keys::HEAD]) {
            let (job, _) = keys::job_of(&entry?.0)?;
            if let Some(last) = database.tree.scan_prefix(keys::job(keys::SLOT, &job)).next_back() {
                writer.latest.insert(job, keys::slot_of(&last?.0)?.at);
            }
        }
        let mut draft = Draft::over(&database.tree);
        draft.put(keys::META_LAYOUT.to_vec(), keys::LAYOUT.to_be_bytes().to_vec());
        commit(directory, database, &mut writer, draft, Weight::Milestone)?;
        Ok(writer)
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn draft(&self) -> Draft<'_> {
        Draft::over(&self.database.tree)
    }

    /// Waits until nobody else writes. After a panic in the middle of a write nothing is written any more: what sled
    /// then holds in memory can't be trusted, what it holds on disk can.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Fault> {
        let mut writer = self.writer.lock().map_err(|_| broken_off())?;
        self.expand_claims(&mut writer)?;
        Ok(writer)
    }

    fn pending(&self) -> Result<MutexGuard<'_, Pending>, Fault> {
        self.pending.lock().map_err(|_| broken_off())
    }

    /// Writes a draft, and with it what has been waiting for a flush.
    fn commit(&self, writer: &mut Writer, mut draft: Draft<'_>, weight: Weight) -> Result<(), Fault> {
        let pending = self.pending()?.all();
        draft.absorb(&pending);
        commit(&self.directory, &self.database, writer, draft, weight)?;
        self.pending()?.written(&pending);
        Ok(())
    }

    /// Writes claims, as little as starts their runs: all else follows when the writer is asked for next.
    fn commit_claims(&self, writer: &mut Writer, mut draft: Draft<'_>) -> Result<(), Fault> {
        let generation = writer.generation + 1;
        draft.put(keys::META_GENERATION.to_vec(), generation.to_be_bytes().to_vec());
        self.database.apply(draft, &mut writer.sum)?;
        self.database.flush(&mut writer.synced_blobs)?;
        (writer.generation, writer.steps, writer.has_claims) = (generation, 0, true);
        Ok(())
    }

    /// Writes what has been waiting for a flush.
    fn commit_pending(&self) -> Result<(), Fault> {
        let mut writer = self.writer()?;
        self.commit(&mut writer, self.draft(), Weight::Step)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(fault) = self.commit_pending() {
            let error = self.directory.explain(fault);
            tracing::warn!(%error, "the last deliveries could not be written down; they are repeated");
        }
    }
}

fn broken_off() -> Fault {
    Fault::Value("an earlier write broke off; restart the daemon to read it again from disk".to_owned())
}

/// Writes a draft durably and in one piece. The order is the promise of the generation file: the store is on disk
/// with its new generation before the file names it.
fn commit(
    directory: &Directory,
    database: &Database,
    writer: &mut Writer,
    mut draft: Draft<'_>,
    weight: Weight,
) -> Result<(), Fault> {
    if draft.is_empty() {
        return Ok(());
    }
    let rises = weight == Weight::Milestone || writer.steps + 1 >= STEPS_PER_GENERATION;
    let generation = writer.generation + u64::from(rises);
    if rises {
        draft.put(keys::META_GENERATION.to_vec(), generation.to_be_bytes().to_vec());
    }
    database.apply(draft, &mut writer.sum)?;
    database.flush(&mut writer.synced_blobs)?;
    if rises {
        crash::point_blocking("before-generation");
        directory.set_generation(generation)?;
    }
    writer.generation = generation;
    writer.steps = if rises { 0 } else { writer.steps + 1 };
    Ok(())
}
