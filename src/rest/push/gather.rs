//! Records on their way into requests: held by group until a group fills one. So that interleaved groups still fill
//! whole requests, all of them are held together up to some megabytes; beyond that the largest go out early. Of a key that
//! comes again while it is held the later record counts: no request has it twice.

use crate::job::Cursor;
use crate::transfer::{Batch, Digest, Record};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use tracing::warn;

/// What all groups together may hold, in bytes of memory.
const HELD_BYTES: usize = 16 << 20;

/// What isn't a full batch yet, by group.
#[derive(Debug)]
pub(super) struct Groups {
    /// Records in one request, at most; halves when the platform finds a request too large.
    limit: usize,
    /// Bytes of content in one request, at most, but for a record that is larger by itself.
    bytes: usize,
    open: BTreeMap<Vec<String>, Open>,
    held: usize,
    /// Hashes of the keys that are held, each with its group.
    keys: HashSet<u64>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Open {
    records: Vec<Held>,
    content: usize,
    held: usize,
}

/// A record without its group, which it shares with all beside it: half of what it takes else.
#[derive(Debug)]
struct Held {
    key: Box<str>,
    cursor: Option<Cursor>,
    content: Box<RawValue>,
    digest: Digest,
}

impl Held {
    fn of(record: Record) -> Self {
        let Record { key, cursor, content, digest, group: _ } = record;
        Self { key: key.into_boxed_str(), cursor, content, digest }
    }

    fn of_group(self, group: &[String]) -> Record {
        let Self { key, cursor, content, digest } = self;
        Record { key: key.into_string(), cursor, content, digest, group: group.to_vec() }
    }
}

impl Groups {
    pub(super) fn new(limit: usize, bytes: usize) -> Self {
        let (keys, hasher) = (HashSet::new(), RandomState::new());
        Self { limit, bytes, open: BTreeMap::new(), held: 0, keys, hasher }
    }

    /// Takes records; gives the batches that are full.
    pub(super) fn add(&mut self, records: Vec<Record>) -> Vec<Batch> {
        let mut full = Vec::new();
        for record in records {
            if !self.keys.insert(self.hasher.hash_one((&*record.key, &*record.group)))
                && self.replaces(&record)
            {
                continue;
            }
            let (content, held) = (size(&record), footprint(&record));
            let open = self.open.entry(record.group.clone()).or_default();
            if !open.records.is_empty() && open.content + content > self.bytes {
                let group = record.group.clone();
                self.close(&group, &mut full);
            }
            let open = self.open.entry(record.group.clone()).or_default();
            let group = (open.records.len() + 1 >= self.limit).then(|| record.group.clone());
            open.records.push(Held::of(record));
            open.content += content;
            open.held += held;
            self.held += held;
            if let Some(group) = group {
                self.close(&group, &mut full);
            } else if self.held > HELD_BYTES {
                self.close_largest(&mut full);
            }
        }
        full
    }

    /// What is left, with the gone ones of each group in its last batches.
    pub(super) fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch> {
        let mut groups: BTreeMap<Vec<String>, Batch> = BTreeMap::new();
        for (group, open) in std::mem::take(&mut self.open) {
            let records = open.records.into_iter().map(|held| held.of_group(&group)).collect();
            groups.entry(group).or_default().records = records;
        }
        self.held = 0;
        self.keys.clear();
        for record in gone {
            groups.entry(record.group.clone()).or_default().gone.push(record);
        }
        groups.into_values().flat_map(|batch| self.cut(batch)).collect()
    }

    /// Records in one request, at most.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// From now on requests have no more records than this; gives the new limit where it is one.
    pub(super) fn shrink(&mut self, limit: usize) -> Option<usize> {
        if limit >= self.limit {
            return None;
        }
        warn!(limit, "the platform finds a request too large; batches are halved from now on");
        self.limit = limit.max(1);
        Some(self.limit)
    }

    /// Puts the record in the place of the one of its key that is held, if there is one.
    fn replaces(&mut self, record: &Record) -> bool {
        let Some(open) = self.open.get_mut(&record.group) else { return false };
        let Some(held) = open.records.iter_mut().find(|held| *held.key == *record.key) else { return false };
        let (before, now) = (held.content.get().len(), record.content.get().len());
        (held.content, held.digest) = (record.content.clone(), record.digest);
        open.content = open.content - before + now;
        open.held = open.held - before + now;
        self.held = self.held - before + now;
        true
    }

    fn close(&mut self, group: &[String], full: &mut Vec<Batch>) {
        let open = self.open.remove(group).unwrap_or_default();
        self.held -= open.held;
        for held in &open.records {
            self.keys.remove(&self.hasher.hash_one((&*held.key, group)));
        }
        let records = open.records.into_iter().map(|held| held.of_group(group)).collect();
        full.extend(self.cut(Batch { records, gone: Vec::new() }));
    }

    /// Makes room for a while, not for one record: with many small groups, each call would look at all of them.
    fn close_largest(&mut self, full: &mut Vec<Batch>) {
        let mut by_size: Vec<_> = self.open.iter().map(|(group, open)| (open.held, group.clone())).collect();
        by_size.sort_unstable_by(|a, b| b.cmp(a));
        for (_, group) in by_size {
            if self.held <= HELD_BYTES / 2 {
                break;
            }
            self.close(&group, full);
        }
    }

    /// Cuts a batch into requests; the gone ones fill up the last one of records.
    fn cut(&self, batch: Batch) -> Vec<Batch> {
        let mut cut: Vec<Batch> = Vec::new();
        let mut content = 0;
        let records = batch.records.into_iter().map(|record| (record, false));
        for (record, gone) in records.chain(batch.gone.into_iter().map(|record| (record, true))) {
            let size = size(&record);
            let has_room = |last: &Batch| {
                last.records.len() + last.gone.len() < self.limit && content + size <= self.bytes
            };
            if !cut.last().is_some_and(has_room) {
                cut.push(Batch::default());
                content = 0;
            }
            content += size;
            if let Some(last) = cut.last_mut() {
                if gone { last.gone.push(record) } else { last.records.push(record) }
            }
        }
        cut
    }
}

/// What it adds to a body.
fn size(record: &Record) -> usize {
    record.content.get().len() + 1
}

/// What it takes in memory.
fn footprint(record: &Record) -> usize {
    size_of::<Held>() + record.key.len() + record.content.get().len()
}
