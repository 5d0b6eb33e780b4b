//! Changes collected for one atomic batch. Reads through a draft see what it already holds, so that two changes of
//! one value in one batch add up instead of one getting lost.

use super::error::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What is to stand under a key; nothing where it is to be removed.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Changes not yet written.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    tree: &'a sled::Db,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Draft<'a> {
    pub(super) fn over(tree: &'a sled::Db) -> Self {
        Self { tree, writes: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many keys it changes.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    pub(super) fn put_json(&mut self, key: Vec<u8>, value: &impl Serialize) -> Result<(), Fault> {
        let value = serde_json::to_vec(value).map_err(|error| Fault::Value(error.to_string()))?;
        self.put(key, value);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// Puts a value, or removes the key.
    pub(super) fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.insert(key, value);
    }

    /// Takes in older changes, as far as it does not change the same keys itself.
    pub(super) fn absorb(&mut self, older: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        for (key, value) in older {
            self.writes.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => Ok(self.tree.get(key)?.map(|value| value.to_vec())),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> Result<bool, Fault> {
        match self.writes.get(key) {
            Some(written) => Ok(written.is_some()),
            None => Ok(self.tree.contains_key(key)?),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Fault> {
        self.get(key)?.map(|value| from_json(key, &value)).transpose()
    }

    /// The sum of all entries once this draft is written over entries of this sum.
    pub(super) fn sum_after(&self, mut sum: Sum) -> Result<Sum, Fault> {
        for (key, value) in &self.writes {
            if let Some(old) = self.tree.get(key)? {
                sum.take(key, &old);
            }
            if let Some(new) = value {
                sum.add(key, new);
            }
        }
        Ok(sum)
    }

    pub(super) fn into_batch(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

/// A sum over entries that does not depend on their order, so that a batch changes it by its own entries alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(pub(super) u64);

impl Sum {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(term(key, value));
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(term(key, value));
    }
}

/// The first 8 bytes of the entry's SHA-256.
fn term(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(value);
    hash.finalize().iter().take(8).fold(0, |term, byte| (term << 8) | u64::from(*byte))
}

/// A stored JSON value.
pub(super) fn from_json<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(value)
        .map_err(|error| Fault::Value(format!("the value of {}: {error}", key.escape_ascii())))
}
