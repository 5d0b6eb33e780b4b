//! The keys that a pass of a walk has seen, in five bytes and a little each, however long the list.
//!
//! Of a key it keeps 52 bits of a hash, so that it may take a new key for one it has seen, and never one it has seen for
//! a new one. In a list of a million keys that happens with a chance of one in nine thousand. The pass then counts as
//! spoiled and the list is read again, which costs time; a pass that misses a row is never proved by it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Keys are spread over this many places by the first bits of their hash; the rest is kept there.
const PLACE_BITS: u32 = 12;
const TAG_BYTES: usize = 5;

/// A key as eight bytes.
pub(super) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Keys that were seen.
#[derive(Debug)]
pub(super) struct SeenKeys {
    places: Vec<Vec<[u8; TAG_BYTES]>>,
}

impl Default for SeenKeys {
    fn default() -> Self {
        Self { places: vec![Vec::new(); 1 << PLACE_BITS] }
    }
}

impl SeenKeys {
    /// Adds a key by its hash; says whether it was new.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        let (place, tag) = spread(hash);
        let Some(tags) = self.places.get_mut(place) else { return false };
        if tags.contains(&tag) {
            return false;
        }
        if tags.len() == tags.capacity() {
            // A sixteenth at a time: doubling would waste a third of what a million keys need.
            tags.reserve_exact(tags.len() / 16 + 4);
        }
        tags.push(tag);
        true
    }

    /// Whether a key was seen.
    pub(super) fn contains(&self, hash: u64) -> bool {
        let (place, tag) = spread(hash);
        self.places.get(place).is_some_and(|tags| tags.contains(&tag))
    }
}

fn spread(hash: u64) -> (usize, [u8; TAG_BYTES]) {
    let [high, low, _, tag @ ..] = hash.to_be_bytes();
    (usize::from(u16::from_be_bytes([high, low]) >> (16 - PLACE_BITS)), tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once() {
        let mut seen = SeenKeys::default();
        let keys: Vec<u64> = (0..20_000).map(|number| hash(&number.to_string())).collect();
        assert!(keys.iter().all(|key| !seen.contains(*key) && seen.insert(*key)));
        assert!(keys.iter().all(|key| seen.contains(*key) && !seen.insert(*key)));
        assert!(!seen.contains(hash("20000")));
    }
}
