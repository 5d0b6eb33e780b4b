//! Changes that wait for a flush to share. A kill or a power cut loses them: only what a repetition makes good may wait,
//! and never long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Changes wait no longer than this for others, as long as others come, and no more bytes than these wait.
const LONGEST: Duration = Duration::from_millis(250);
const MOST_BYTES: usize = 64 << 10;

/// Changes not yet written: values to put, and keys to remove.
#[derive(Debug, Default)]
pub(super) struct Pending {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    flushed: Option<Instant>,
}

impl Pending {
    /// Adds a change; the later one of a key counts.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.insert(key, value);
    }

    /// Whether it is time for a flush. After a quiet time it is at once: what comes slowly does not wait for more.
    pub(super) fn is_due(&self) -> bool {
        let bytes: usize = self.writes.values().flatten().map(Vec::len).sum();
        bytes >= MOST_BYTES || self.flushed.is_none_or(|flushed| flushed.elapsed() >= LONGEST)
    }

    /// The value that waits for a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.writes.get(key)
    }

    /// What waits for keys that begin so.
    pub(super) fn below(&self, prefix: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let below = self.writes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        below.filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
    }

    /// All that waits now. It goes on waiting until it is said to be written: nobody may find it nowhere meanwhile.
    pub(super) fn all(&self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.writes.clone()
    }

    /// These are written.
    pub(super) fn written(&mut self, these: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        self.writes.retain(|key, value| these.get(key) != Some(value));
        self.flushed = Some(Instant::now());
    }
}
