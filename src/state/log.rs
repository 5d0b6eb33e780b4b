//! The log of a job's deliveries: what is newly known of keys is appended in blocks, and the last block that speaks of
//! a key is right. A million orders that each were an entry of sled's would take it a quarter of a gigabyte and as
//! long as fetching them; as blocks they take ten bytes each, and only while the job runs.
//!
//! The log is cleaned from its old end alone, in steps: the oldest blocks go, and what still counts in them is appended
//! again. So what a later block said of a key is never forgotten while an older block speaks of it: a digest of long
//! ago can't come back to life.

use super::blocks::{self, Packer};
use super::delivered::{Delivered, Forget, Place};
use super::error::Fault;
use super::index::Index;
use super::{Inner, Weight, keys};
use crate::words::JobName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Blocks taken out of the log in one step, at most, and bytes appended to it, about.
const STEP_BLOCKS: usize = 256;
const STEP_BYTES: usize = 256 << 10;

/// The indexes of logs by what the logs' keys begin with. Whoever works on a log takes its index out.
pub(super) type Shelves = Mutex<BTreeMap<Vec<u8>, Arc<Mutex<Option<Index>>>>>;

/// A block and the key it is to stand under.
pub(super) type NewBlock = (Vec<u8>, Vec<u8>);

/// A log, held by one at a time.
pub(super) struct Log<'a> {
    inner: &'a Inner,
    prefix: Vec<u8>,
    pub(super) index: Index,
}

impl Inner {
    /// Works on the log of a job's entity.
    pub(super) fn with_log<T>(
        &self,
        job: &JobName,
        entity: &str,
        work: impl FnOnce(&mut Log<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let prefix = keys::entity(keys::DELIVERED, job, entity);
        let shelf = {
            let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shelves.entry(prefix.clone()).or_default())
        };
        // Whoever broke off had taken the index with him.
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = match shelf.take() {
            Some(index) => Log { inner: self, prefix, index },
            None => Log::read(self, prefix)?,
        };
        let done = work(&mut log)?;
        // After a failure it might be ahead of the store; it is read again then.
        *shelf = Some(log.index);
        Ok(done)
    }

    /// Lets go of what is held in memory of a job.
    pub(super) fn close_logs(&self, job: &JobName) {
        let job = keys::job(keys::DELIVERED, job);
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, shelf) in shelves.range(job.clone()..).take_while(|(prefix, _)| prefix.starts_with(&job)) {
            // Where one is still at work, for a run that was cut off, the next end of a run finds it.
            match shelf.try_lock() {
                Ok(mut shelf) => *shelf = None,
                Err(TryLockError::Poisoned(shelf)) => *shelf.into_inner() = None,
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }
}

impl<'a> Log<'a> {
    fn read(inner: &'a Inner, prefix: Vec<u8>) -> Result<Self, Fault> {
        // Looked at first: what is pending now may be in the tree a moment later.
        let mut pending = inner.pending()?.below(&prefix);
        let mut log = Self { inner, prefix, index: Index::default() };
        for entry in inner.database.tree.scan_prefix(&log.prefix) {
            let (key, address) = entry?;
            pending.remove(&*key);
            let block = inner.database.blocks.read(&key, &address)?;
            log.index.add(keys::block_number(&key)?, &block)?;
        }
        for (key, block) in pending {
            log.index.add(keys::block_number(&key)?, &block)?;
        }
        log.index.is_fresh = true;
        Ok(log)
    }

    fn key(&self, number: u32) -> Vec<u8> {
        let mut key = self.prefix.clone();
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    fn block(&self, number: u32) -> Result<Vec<u8>, Fault> {
        let key = self.key(number);
        if let Some(Some(block)) = self.inner.pending()?.get(&key) {
            return Ok(block.clone());
        }
        let database = &self.inner.database;
        let address = database.tree.get(&key)?;
        let address =
            address.ok_or_else(|| Fault::Value(format!("the block {} is missing", key.escape_ascii())))?;
        database.blocks.read(&key, &address)
    }

    /// What is known of each of these keys, in their order.
    pub(super) fn recall<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Vec<Option<Delivered>>, Fault> {
        // Keys that came together are asked for together: most of a page lies in a block or two, which is gone through
        // once for all of its keys.
        let mut asked: BTreeMap<u32, Vec<(&str, usize)>> = BTreeMap::new();
        let mut places = 0;
        for (place, key) in keys.into_iter().enumerate() {
            if let Some(number) = self.index.block_of(key) {
                asked.entry(number).or_default().push((key, place));
            }
            places = place + 1;
        }
        let mut known = vec![None; places];
        for (number, mut wanted) in asked {
            wanted.sort_unstable();
            let block = self.block(number)?;
            for entry in blocks::entries(&block) {
                let entry = entry?;
                let first = wanted.partition_point(|(key, _)| *key < entry.key);
                for (_, place) in wanted[first..].iter().take_while(|(key, _)| *key == entry.key) {
                    if !entry.is_forgotten() {
                        known[*place] = Some(entry.known()?);
                    }
                }
            }
        }
        Ok(known)
    }

    /// Adds to the log; gives what there is to write.
    pub(super) fn append(&mut self, packer: Packer) -> Result<Vec<NewBlock>, Fault> {
        let mut writes = Vec::new();
        for block in packer.finish() {
            let number = self.index.next().ok_or_else(|| Fault::Value("a log is full".to_owned()))?;
            self.index.add(number, &block)?;
            writes.push((self.key(number), block));
        }
        Ok(writes)
    }

    /// The next entries of a walk through the log, in its order, `limit` or a few more; none at its end.
    pub(super) fn scan(&self, place: &mut Place, limit: usize) -> Result<Vec<(String, Delivered)>, Fault> {
        let end = *place.end.get_or_insert(self.index.next().unwrap_or(u32::MAX));
        let mut page = Vec::new();
        while page.len() < limit
            && place.next < end
            && let Some((&number, _)) = self.index.blocks.range(place.next..end).next()
        {
            for entry in blocks::entries(&self.block(number)?) {
                let entry = entry?;
                if !entry.is_forgotten() && self.index.block_of(entry.key) == Some(number) {
                    page.push((entry.key.to_owned(), entry.known()?));
                }
            }
            place.next = number.saturating_add(1);
        }
        Ok(page)
    }

    /// Cleans the log where it was just read and is mostly garbage: never in the middle of a scan.
    pub(super) fn tidy(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.index.is_fresh) {
            self.clean(None)?;
        }
        Ok(())
    }

    /// Cleans the log, if that is worth the work, and leaves out what is to be forgotten; gives how many keys that were.
    pub(super) fn clean(&mut self, forget: Option<Forget>) -> Result<u64, Fault> {
        let before = match forget {
            Some(Forget::All) => return self.clear(),
            Some(Forget::Before(cursor)) => Some(cursor.0),
            None => None,
        };
        if !self.index.is_worth_cleaning(before) {
            return Ok(0);
        }
        let known = self.index.keys();
        let Some(end) = self.index.next() else { return Ok(0) };
        while self.index.blocks.first_key_value().is_some_and(|(first, _)| *first < end) {
            let oldest: Vec<u32> =
                self.index.blocks.range(..end).map(|(n, _)| *n).take(STEP_BLOCKS).collect();
            let mut packer = Packer::default();
            let mut gone = Vec::new();
            for number in oldest {
                for entry in blocks::entries(&self.block(number)?) {
                    let entry = entry?;
                    if entry.is_forgotten() || self.index.block_of(entry.key) != Some(number) {
                        continue;
                    }
                    if before.is_some_and(|before| entry.cursor().is_ok_and(|its| its < before)) {
                        self.index.forget(entry.key);
                    } else {
                        packer.keep(&entry);
                    }
                }
                gone.push(number);
                if packer.bytes() >= STEP_BYTES {
                    break;
                }
            }
            self.replace(&gone, packer)?;
        }
        Ok(known - self.index.keys())
    }

    /// Removes the oldest blocks of the log; what is left of them is appended.
    fn replace(&mut self, gone: &[u32], packer: Packer) -> Result<(), Fault> {
        let mut draft = self.inner.draft();
        for number in gone {
            self.index.drop_block(*number);
            draft.remove(self.key(*number));
        }
        for (key, block) in self.append(packer)? {
            draft.put(key, block);
        }
        let mut writer = self.inner.writer()?;
        self.inner.commit(&mut writer, draft, Weight::Step)
    }

    fn clear(&mut self) -> Result<u64, Fault> {
        let known = self.index.keys();
        let blocks: Vec<u32> = self.index.blocks.keys().copied().collect();
        for gone in blocks.chunks(STEP_BLOCKS) {
            self.replace(gone, Packer::default())?;
        }
        self.index = Index::default();
        Ok(known)
    }
}
