//! Where the log of a job's deliveries has each key: ten bytes a key, held in memory while a run of the job is open.

use super::blocks::entries;
use super::delivered::Delivered;
use super::error::Fault;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Keys are spread by the first bits of their hash; in a place, the next 48 tell them apart. Two of a million keys
/// share all 62 with a chance of one in nine million: the older then counts as never delivered.
const PLACE_BITS: u32 = 14;

/// Garbage is not worth the work below this many entries.
const LITTLE: u64 = 1_000;

/// The last block that speaks of each key.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<Vec<Slot>>,
    pub(super) blocks: BTreeMap<u32, Block>,
    /// Entries in all blocks.
    entries: u64,
    /// The number of the next block; none after the last there can be.
    next: Option<u32>,
    /// Keys something is known of.
    keys: u64,
    /// The keys that this process put in doubt and has no answer for, with what was known of them before.
    pub(super) doubted: HashMap<String, Option<Delivered>>,
    /// Whether it was just read from the log.
    pub(super) is_fresh: bool,
}

/// The rest of a key's hash, and its block.
#[derive(Debug, Clone, Copy)]
struct Slot([u8; 6], [u8; 4]);

/// What a block holds.
#[derive(Debug, Default)]
pub(super) struct Block {
    entries: u64,
    /// Those that are still the last word on their key.
    live: u64,
    /// Half of the entries have an earlier cursor.
    median: i64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            places: vec![Vec::new(); 1 << PLACE_BITS],
            blocks: BTreeMap::new(),
            entries: 0,
            next: Some(0),
            keys: 0,
            doubted: HashMap::new(),
            is_fresh: false,
        }
    }
}

impl Index {
    /// The number of the next block.
    pub(super) fn next(&self) -> Option<u32> {
        self.next
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// The last block that speaks of the key.
    pub(super) fn block_of(&self, key: &str) -> Option<u32> {
        let (place, tag) = spread(key);
        self.places[place].iter().find(|slot| slot.0 == tag).map(|slot| u32::from_be_bytes(slot.1))
    }

    /// Takes in a block that comes after all others.
    pub(super) fn add(&mut self, number: u32, block: &[u8]) -> Result<(), Fault> {
        let mut cursors = Vec::new();
        self.next = number.checked_add(1);
        self.blocks.insert(number, Block::default());
        for entry in entries(block) {
            let entry = entry?;
            cursors.push(entry.cursor()?);
            if entry.is_forgotten() {
                self.forget(entry.key);
            } else {
                self.remember(entry.key, number);
            }
        }
        let middle = cursors.len() / 2;
        let median = if cursors.is_empty() { i64::MIN } else { *cursors.select_nth_unstable(middle).1 };
        if let Some(block) = self.blocks.get_mut(&number) {
            (block.entries, block.median) = (cursors.len() as u64, median);
            self.entries += block.entries;
        }
        Ok(())
    }

    fn remember(&mut self, key: &str, number: u32) {
        if let Some(block) = self.blocks.get_mut(&number) {
            block.live += 1;
        }
        let (place, tag) = spread(key);
        let slots = &mut self.places[place];
        if let Some(slot) = slots.iter_mut().find(|slot| slot.0 == tag) {
            let before = u32::from_be_bytes(std::mem::replace(&mut slot.1, number.to_be_bytes()));
            if let Some(block) = self.blocks.get_mut(&before) {
                block.live = block.live.saturating_sub(1);
            }
            return;
        }
        if slots.len() == slots.capacity() {
            // A sixteenth at a time: doubling would waste a third of what a million keys need.
            slots.reserve_exact(slots.len() / 16 + 4);
        }
        slots.push(Slot(tag, number.to_be_bytes()));
        self.keys += 1;
    }

    /// Nothing is known of the key any more.
    pub(super) fn forget(&mut self, key: &str) {
        let (place, tag) = spread(key);
        let slots = &mut self.places[place];
        let Some(found) = slots.iter().position(|slot| slot.0 == tag) else { return };
        let slot = slots.swap_remove(found);
        self.keys -= 1;
        if let Some(block) = self.blocks.get_mut(&u32::from_be_bytes(slot.1)) {
            block.live = block.live.saturating_sub(1);
        }
    }

    /// The block is gone.
    pub(super) fn drop_block(&mut self, number: u32) {
        if let Some(block) = self.blocks.remove(&number) {
            self.entries -= block.entries;
        }
    }

    /// Whether about half of the log, or more, is not needed any more: entries that later ones replaced, and those of
    /// blocks most of which lies before the cursor. So each entry is copied about once in its life.
    pub(super) fn is_worth_cleaning(&self, before: Option<i64>) -> bool {
        let is_old = |block: &Block| before.is_some_and(|before| block.median < before);
        let garbage = |block: &Block| if is_old(block) { block.entries } else { block.entries - block.live };
        let garbage: u64 = self.blocks.values().map(garbage).sum();
        garbage >= LITTLE && garbage >= self.entries / 2
    }
}

fn spread(key: &str) -> (usize, [u8; 6]) {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let [place_high, place_low, tag @ ..] = hasher.finish().to_be_bytes();
    (usize::from(u16::from_be_bytes([place_high, place_low]) >> (16 - PLACE_BITS)), tag)
}
