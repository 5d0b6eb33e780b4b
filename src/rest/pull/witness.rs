//! The rows whose follow-ups found something last. Where every record of a run seems gone, they tell whether that is so
//! or whether the path is wrong: what was there a moment ago is hardly gone with all the others.

use crate::transfer::{Digest, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many rows are kept.
const KEPT: usize = 3;

/// Shared by the source, which follows up, and the checkpoint, which keeps them for the next runs.
#[derive(Debug, Clone, Default)]
pub struct Witnesses(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    before: Vec<Witness>,
    now: Vec<Witness>,
    path_is_right: bool,
    written: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Witness {
    key: String,
    row: Box<RawValue>,
}

impl Witnesses {
    /// Those an earlier run kept.
    #[must_use]
    pub fn kept(bytes: Option<&[u8]>) -> Self {
        // What can't be read is as good as none: the next run that finds something writes them anew.
        let before = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        Self(Arc::new(Mutex::new(Inner { before, ..Inner::default() })))
    }

    /// What is to be kept: once a run, as soon as something was found.
    #[must_use]
    pub fn to_keep(&self) -> Option<Vec<u8>> {
        let mut inner = self.inner();
        if inner.written || inner.now.is_empty() {
            return None;
        }
        inner.written = true;
        let mut rows = inner.now.clone();
        let older = inner.before.iter().filter(|old| inner.now.iter().all(|new| new.key != old.key));
        rows.extend(older.cloned());
        rows.truncate(KEPT);
        serde_json::to_vec(&rows).ok()
    }

    /// The follow-up of this row found its record.
    pub(super) fn found(&self, row: &Record) {
        let mut inner = self.inner();
        inner.path_is_right = true;
        if inner.now.len() < KEPT && inner.now.iter().all(|known| known.key != row.key) {
            inner.now.push(Witness { key: row.key.clone(), row: row.content.clone() });
        }
    }

    pub(super) fn path_is_right(&self) -> bool {
        self.inner().path_is_right
    }

    pub(super) fn path_found_right(&self) {
        self.inner().path_is_right = true;
    }

    /// The rows of earlier runs.
    pub(super) fn before(&self) -> Vec<Record> {
        let record = |Witness { key, row }: Witness| {
            let digest = Digest::of(row.get().as_bytes());
            Record { key, cursor: None, content: row, digest, group: Vec::new() }
        };
        self.inner().before.iter().cloned().map(record).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
