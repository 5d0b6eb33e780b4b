//! What is remembered of delivered keys, as bytes: blocks of some kilobytes, each a list of keys with what is known of
//! them. A key costs its own length and some 26 bytes, which is a quarter of what an entry of sled's own would.

use super::delivered::Delivered;
use super::draft::from_json;
use super::error::Fault;
use crate::job::Cursor;
use crate::transfer::Digest;

const HAS_DIGEST: u8 = 1;
const HAS_CURSOR: u8 = 2;
const IS_ABSENT: u8 = 4;
const HAS_WALK: u8 = 8;
const HAS_GROUP: u8 = 16;
const IS_FORGOTTEN: u8 = 32;

/// A block is full after this many bytes: all of them are read for one key.
const FULL: usize = 6 << 10;

/// A key in a block. Its bytes are taken apart only where they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'b> {
    flags: u8,
    pub(super) key: &'b str,
    rest: &'b [u8],
    whole: &'b [u8],
}

impl Entry<'_> {
    /// Whether it says only that nothing is known of the key any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.flags & IS_FORGOTTEN != 0
    }

    /// Its place in the source's order of change; the earliest there can be where nothing is known, the latest where
    /// only that is not.
    pub(super) fn cursor(&self) -> Result<i64, Fault> {
        if self.is_forgotten() {
            return Ok(i64::MIN);
        }
        if self.flags & HAS_CURSOR == 0 {
            return Ok(i64::MAX);
        }
        let mut rest = self.rest;
        take(&mut rest, if self.flags & HAS_DIGEST == 0 { 0 } else { 16 })?;
        Ok(i64::from_be_bytes(array(&mut rest)?))
    }

    /// What is known of the key.
    pub(super) fn known(&self) -> Result<Delivered, Fault> {
        let mut rest = self.rest;
        let has = |flag: u8| self.flags & flag != 0;
        let digest = if has(HAS_DIGEST) { Some(Digest(array(&mut rest)?)) } else { None };
        let cursor = if has(HAS_CURSOR) { Some(Cursor(i64::from_be_bytes(array(&mut rest)?))) } else { None };
        let walk = if has(HAS_WALK) { u64::from_be_bytes(array(&mut rest)?) } else { 0 };
        let group = if has(HAS_GROUP) {
            let length = length(&mut rest)?;
            Some(from_json(self.key.as_bytes(), take(&mut rest, length)?)?)
        } else {
            None
        };
        Ok(Delivered { digest, cursor, walk, absent: has(IS_ABSENT), group })
    }
}

/// The entries of a block. In a damaged one the last is an error.
pub(super) fn entries(block: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Fault>> {
    let mut left = block;
    std::iter::from_fn(move || {
        (!left.is_empty()).then(|| {
            let entry = next(&mut left);
            if entry.is_err() {
                left = &[];
            }
            entry
        })
    })
}

/// What a block says of a key.
#[cfg(test)]
fn find<'b>(block: &'b [u8], key: &str) -> Result<Option<Entry<'b>>, Fault> {
    entries(block).find(|entry| entry.as_ref().map_or(true, |entry| entry.key == key)).transpose()
}

fn next<'b>(left: &mut &'b [u8]) -> Result<Entry<'b>, Fault> {
    let whole = *left;
    let [flags] = array(left)?;
    let key_length = length(left)?;
    let key = std::str::from_utf8(take(left, key_length)?)
        .map_err(|_| Fault::Value("a remembered key is not UTF-8".to_owned()))?;
    let sizes = [(HAS_DIGEST, 16), (HAS_CURSOR, 8), (HAS_WALK, 8)];
    let fixed = sizes.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, size)| size).sum();
    let rest = *left;
    take(left, fixed)?;
    if flags & HAS_GROUP != 0 {
        let group_length = length(left)?;
        take(left, group_length)?;
    }
    Ok(Entry { flags, key, rest, whole: &whole[..whole.len() - left.len()] })
}

/// Fills blocks with entries; each key may be added once.
#[derive(Debug, Default)]
pub(super) struct Packer {
    full: Vec<Vec<u8>>,
    filling: Vec<u8>,
}

impl Packer {
    /// Adds what is known of a key; nothing where it is to be forgotten.
    pub(super) fn add(&mut self, key: &str, known: Option<&Delivered>) {
        let bytes = &mut self.filling;
        let begin = bytes.len();
        bytes.push(0);
        put_length(bytes, key.len());
        bytes.extend_from_slice(key.as_bytes());
        bytes[begin] = known.map_or(IS_FORGOTTEN, |known| put_known(bytes, known));
        self.added();
    }

    /// Takes an entry over as it is.
    pub(super) fn keep(&mut self, entry: &Entry<'_>) {
        self.filling.extend_from_slice(entry.whole);
        self.added();
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.full.iter().map(Vec::len).sum::<usize>() + self.filling.len()
    }

    fn added(&mut self) {
        if self.filling.len() >= FULL {
            self.full.push(std::mem::take(&mut self.filling));
        }
    }

    /// The blocks; the last one is as full as it is.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.filling.is_empty() {
            self.full.push(self.filling);
        }
        self.full
    }
}

/// Adds what is known of a key; gives the flags that say what that was.
fn put_known(bytes: &mut Vec<u8>, known: &Delivered) -> u8 {
    let mut flags = 0;
    if let Some(digest) = &known.digest {
        flags |= HAS_DIGEST;
        bytes.extend_from_slice(&digest.0);
    }
    if let Some(cursor) = known.cursor {
        flags |= HAS_CURSOR;
        bytes.extend_from_slice(&cursor.0.to_be_bytes());
    }
    if known.walk != 0 {
        flags |= HAS_WALK;
        bytes.extend_from_slice(&known.walk.to_be_bytes());
    }
    if known.absent {
        flags |= IS_ABSENT;
    }
    if let Some(group) = &known.group {
        flags |= HAS_GROUP;
        let text = group.to_string();
        put_length(bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    flags
}

/// Seven bits a byte, the lowest first, the highest bit set on all but the last.
fn put_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn length(left: &mut &[u8]) -> Result<usize, Fault> {
    let mut length = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let [byte] = array(left)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(cut_short())
}

fn array<const N: usize>(left: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (taken, rest) = left.split_first_chunk().ok_or_else(cut_short)?;
    *left = rest;
    Ok(*taken)
}

fn take<'b>(left: &mut &'b [u8], length: usize) -> Result<&'b [u8], Fault> {
    let (taken, rest) = left.split_at_checked(length).ok_or_else(cut_short)?;
    *left = rest;
    Ok(taken)
}

fn cut_short() -> Fault {
    Fault::Value("what is remembered of a key is cut short".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_cut_anywhere_inside_an_entry_is_an_error() {
        let known = Delivered {
            digest: Some(Digest([7; 16])),
            cursor: Some(Cursor(-1)),
            walk: 3,
            absent: true,
            group: Some(serde_json::json!(["WAW1"])),
        };
        let mut packer = Packer::default();
        packer.add(&"ż".repeat(100), Some(&known));
        let first = packer.filling.len();
        packer.add("b", None);
        let block = packer.finish().remove(0);
        assert_eq!(entries(&block).filter_map(Result::ok).count(), 2);
        for cut in (1..block.len()).filter(|cut| *cut != first) {
            assert!(entries(&block[..cut]).any(|entry| entry.is_err()), "cut at {cut}");
        }
        let entry = find(&block, &"ż".repeat(100)).unwrap().unwrap();
        assert_eq!((entry.known().unwrap(), entry.is_forgotten()), (known, false));
        assert!(find(&block, "b").unwrap().unwrap().is_forgotten());
        assert!(find(&block, "c").unwrap().is_none());
    }
}
