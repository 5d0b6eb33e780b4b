//! What was delivered: per job, entity and key the digest the other side last accepted, and which keys are in doubt
//! because a write was begun and its answer never settled. A key in doubt keeps its entry without a digest: it is
//! delivered again whatever its content, and it is still known when it goes from the source.

use super::coordinator::Walk;
use super::draft::{Draft, from_json};
use super::error::Fault;
use super::links::settle_links;
use super::marks::put_walk;
use super::rejects::{clear_rejects, put_rejects};
use super::{Inner, StateError, Store, Weight, keys};
use crate::job::Cursor;
use crate::run::RunId;
use crate::transfer::{Digest, Rejected};
use crate::words::JobName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// The digest of the content last accepted; nothing where a write was begun and never answered for, so that no
    /// content counts as delivered.
    pub digest: Option<Digest>,
    /// Its place in the source's order of change when it was delivered.
    pub cursor: Option<Cursor>,
    /// The stamp of the last walk that saw it; whatever the caller counts walks by.
    pub walk: u64,
    /// Whether a whole walk has not seen it, or it was removed.
    pub absent: bool,
    /// What is needed to remove it once it is gone from the source.
    pub group: Option<Value>,
}

/// A key about to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubtful {
    /// The key.
    pub key: String,
    /// What is needed to remove it, should it go from the source before anything more is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Value>,
}

/// What the other side answered, and how far the walk has come with it.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// The keys it accepted, or that were seen unchanged. Their older rejects are cleared.
    pub entries: Vec<(String, Delivered)>,
    /// What to know from now on of keys it did not accept. Their rejects stay.
    pub noted: Vec<(String, Delivered)>,
    /// The keys to know nothing of any more. Their older rejects are cleared.
    pub removed: Vec<String>,
    /// The records it refused. Their entries stay as they were.
    pub rejects: Vec<Rejected>,
    /// What the other side gave for these keys.
    pub links: Vec<(String, Value)>,
    /// What becomes of the unfinished walk.
    pub walk: Walk,
}

/// Which entries to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// Those with a cursor before this one.
    Before(Cursor),
    /// All: everything will be delivered again.
    All,
}

const HAS_DIGEST: u8 = 1;
const HAS_CURSOR: u8 = 2;
const ABSENT: u8 = 4;
const HAS_KEY: u8 = 8;
const HAS_GROUP: u8 = 16;

/// Keys in one stored piece of doubt, at most, and their bytes.
const DOUBT_KEYS: usize = 1000;
const DOUBT_BYTES: usize = 64 << 10;

impl Store {
    /// What is known of each of these keys, in their order. Keys in doubt have no digest.
    pub async fn recall(
        &self,
        job: &JobName,
        entity: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Delivered>>, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| {
            let doubts = Doubts::read(inner, &job, &entity)?;
            let known = |key: String| {
                let place = keys::record(keys::DELIVERED, &job, &entity, &key);
                let found = inner.database.tree.get(&place)?;
                let entry = found.map(|value| decode(&place, &value)).transpose()?;
                Ok(doubts.apply(&key, entry.map(|(_, entry)| entry)))
            };
            keys.into_iter().map(known).collect()
        })
        .await
    }

    /// Durably marks keys in doubt, before they are written.
    pub async fn doubt(
        &self,
        job: &JobName,
        entity: &str,
        doubtful: Vec<Doubtful>,
    ) -> Result<(), StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.doubt(&job, &entity, doubtful)).await
    }

    /// Durably remembers what the other side answered, and ends the doubt of the keys it names. Keys in doubt that
    /// it does not name stay in doubt.
    pub async fn settle(
        &self,
        job: &JobName,
        entity: &str,
        run: RunId,
        settlement: Settlement,
    ) -> Result<(), StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.settle(&job, &entity, run, settlement)).await
    }

    /// Turns doubt left by a crash or a lost answer into entries without a digest; gives how many keys that were.
    pub async fn recover_doubt(&self, job: &JobName, entity: &str) -> Result<usize, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.recover_doubt(&job, &entity)).await
    }

    /// The entries of a job's entity in the order of their keys (overlong ones by their beginning), `limit` at most,
    /// after the given key.
    pub async fn scan(
        &self,
        job: &JobName,
        entity: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Delivered)>, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        let after = after.map(|key| keys::record(keys::DELIVERED, &job, &entity, key));
        self.blocking(move |inner| {
            let doubts = Doubts::read(inner, &job, &entity)?;
            let prefix = keys::entity(keys::DELIVERED, &job, &entity);
            let mut page = Vec::new();
            for entry in inner.page(&prefix, after, limit) {
                let (place, value) = entry?;
                let (key, entry) = decode(&place, &value)?;
                let entry = doubts.apply(&key, Some(entry));
                page.extend(entry.map(|entry| (key, entry)));
            }
            Ok(page)
        })
        .await
    }

    /// Forgets entries, some thousand at a time; gives how many.
    pub async fn prune_delivered(
        &self,
        job: &JobName,
        entity: &str,
        forget: Forget,
    ) -> Result<u64, StateError> {
        let prefix = keys::entity(keys::DELIVERED, job, entity);
        self.blocking(move |inner| {
            let mut removed = 0;
            let mut after = None;
            loop {
                let mut writer = inner.writer()?;
                let mut draft = inner.draft();
                let mut looked_at = 0;
                for entry in inner.page(&prefix, after.take(), 4000) {
                    let (place, value) = entry?;
                    let (_, entry) = decode(&place, &value)?;
                    looked_at += 1;
                    let old = match forget {
                        Forget::All => true,
                        Forget::Before(cursor) => entry.cursor.is_some_and(|its| its < cursor),
                    };
                    if old {
                        draft.remove(place.to_vec());
                    }
                    after = Some(place.to_vec());
                }
                removed += draft.len() as u64;
                inner.commit(&mut writer, draft, Weight::Step)?;
                if looked_at == 0 {
                    return Ok(removed);
                }
            }
        })
        .await
    }
}

impl Inner {
    fn doubt(&self, job: &JobName, entity: &str, doubtful: Vec<Doubtful>) -> Result<(), Fault> {
        let mut writer = self.writer()?;
        let mut draft = self.draft();
        let doubts = Doubts::read(self, job, entity)?;
        let mut number = doubts.next;
        let mut piece: Vec<Doubtful> = Vec::new();
        let mut bytes = 0;
        let mut fresh = doubtful.into_iter().filter(|key| !doubts.keys.contains_key(&key.key)).peekable();
        while let Some(key) = fresh.next() {
            bytes += key.key.len() + key.group.as_ref().map_or(0, |group| group.to_string().len());
            piece.push(key);
            if piece.len() == DOUBT_KEYS || bytes >= DOUBT_BYTES || fresh.peek().is_none() {
                draft.put_json(doubt_key(job, entity, number), &piece)?;
                number += 1;
                piece.clear();
                bytes = 0;
            }
        }
        self.commit(&mut writer, draft, Weight::Step)
    }

    fn settle(&self, job: &JobName, entity: &str, run: RunId, settlement: Settlement) -> Result<(), Fault> {
        let now = self.now();
        let mut writer = self.writer()?;
        let mut draft = self.draft();
        let Settlement { entries, noted, removed, rejects, links, walk } = settlement;
        let named = entries.iter().map(|(key, _)| key).chain(&removed).map(String::as_str);
        clear_rejects(&mut draft, job, entity, named.clone())?;
        let named = named.chain(noted.iter().map(|(key, _)| key.as_str()));
        let named = named.chain(rejects.iter().map(|reject| reject.key.as_str())).collect();
        end_doubt(self, &mut draft, job, entity, &named)?;
        for (key, entry) in entries.iter().chain(&noted) {
            draft.put(keys::record(keys::DELIVERED, job, entity, key), encode(key, entry));
        }
        for key in &removed {
            draft.remove(keys::record(keys::DELIVERED, job, entity, key));
        }
        if !rejects.is_empty() {
            put_rejects(&mut draft, job, entity, rejects, run, now)?;
        }
        settle_links(&mut draft, job, entity, &links, &removed)?;
        put_walk(&mut draft, job, entity, walk)?;
        self.commit(&mut writer, draft, Weight::Step)
    }

    fn recover_doubt(&self, job: &JobName, entity: &str) -> Result<usize, Fault> {
        let mut writer = self.writer()?;
        let mut draft = self.draft();
        let doubts = Doubts::read(self, job, entity)?;
        for key in doubts.keys.keys() {
            let place = keys::record(keys::DELIVERED, job, entity, key);
            let entry = draft.get(&place)?.map(|value| decode(&place, &value)).transpose()?;
            if let Some(entry) = doubts.apply(key, entry.map(|(_, entry)| entry)) {
                draft.put(place, encode(key, &entry));
            }
        }
        for number in doubts.pieces {
            draft.remove(number);
        }
        self.commit(&mut writer, draft, Weight::Step)?;
        Ok(doubts.keys.len())
    }
}

/// The keys of a job's entity that are in doubt.
struct Doubts {
    keys: HashMap<String, Option<Value>>,
    /// Where they are stored.
    pieces: Vec<Vec<u8>>,
    /// The next piece's number.
    next: u64,
}

impl Doubts {
    fn read(inner: &Inner, job: &JobName, entity: &str) -> Result<Self, Fault> {
        let mut doubts = Self { keys: HashMap::new(), pieces: Vec::new(), next: 0 };
        for entry in inner.database.tree.scan_prefix(keys::entity(keys::DOUBT, job, entity)) {
            let (place, value) = entry?;
            doubts.next = keys::number(keys::entity_of(&place)?.2)? + 1;
            let piece: Vec<Doubtful> = from_json(&place, &value)?;
            doubts.keys.extend(piece.into_iter().map(|doubtful| (doubtful.key, doubtful.group)));
            doubts.pieces.push(place.to_vec());
        }
        Ok(doubts)
    }

    /// What is known of a key, given what was delivered of it and whether it is in doubt.
    fn apply(&self, key: &str, entry: Option<Delivered>) -> Option<Delivered> {
        let Some(group) = self.keys.get(key) else { return entry };
        let entry =
            entry.unwrap_or(Delivered { digest: None, cursor: None, walk: 0, absent: false, group: None });
        Some(Delivered { digest: None, absent: false, group: group.clone().or(entry.group), ..entry })
    }
}

/// Takes keys out of the stored doubt.
fn end_doubt(
    inner: &Inner,
    draft: &mut Draft<'_>,
    job: &JobName,
    entity: &str,
    settled: &HashSet<&str>,
) -> Result<(), Fault> {
    for entry in inner.database.tree.scan_prefix(keys::entity(keys::DOUBT, job, entity)) {
        let (place, value) = entry?;
        let mut piece: Vec<Doubtful> = from_json(&place, &value)?;
        let before = piece.len();
        piece.retain(|doubtful| !settled.contains(doubtful.key.as_str()));
        if piece.is_empty() {
            draft.remove(place.to_vec());
        } else if piece.len() < before {
            draft.put_json(place.to_vec(), &piece)?;
        }
    }
    Ok(())
}

fn doubt_key(job: &JobName, entity: &str, number: u64) -> Vec<u8> {
    let mut key = keys::entity(keys::DOUBT, job, entity);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// `flags walk [digest] [cursor] [length key] [group]`; the key only where it is too long to stand in the key.
fn encode(key: &str, entry: &Delivered) -> Vec<u8> {
    let mut bytes = vec![0];
    let mut flags = 0;
    bytes.extend_from_slice(&entry.walk.to_be_bytes());
    if let Some(digest) = &entry.digest {
        flags |= HAS_DIGEST;
        bytes.extend_from_slice(&digest.0);
    }
    if let Some(cursor) = entry.cursor {
        flags |= HAS_CURSOR;
        bytes.extend_from_slice(&cursor.0.to_be_bytes());
    }
    if entry.absent {
        flags |= ABSENT;
    }
    if keys::short(key) != key {
        flags |= HAS_KEY;
        bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
        bytes.extend_from_slice(key.as_bytes());
    }
    if let Some(group) = &entry.group {
        flags |= HAS_GROUP;
        bytes.extend_from_slice(group.to_string().as_bytes());
    }
    bytes[0] = flags;
    bytes
}

fn decode(place: &[u8], value: &[u8]) -> Result<(String, Delivered), Fault> {
    let bad = || Fault::Value(format!("the entry of {} is cut short", place.escape_ascii()));
    let (&flags, mut rest) = value.split_first().ok_or_else(bad)?;
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length).ok_or_else(bad)?;
        rest = left;
        Ok::<_, Fault>(taken)
    };
    let has = |flag: u8| flags & flag != 0;
    let walk = keys::number(take(8)?)?;
    let digest = if has(HAS_DIGEST) { Some(Digest(take(16)?.try_into().map_err(|_| bad())?)) } else { None };
    let cursor = if has(HAS_CURSOR) { Some(Cursor(keys::number(take(8)?)?.cast_signed())) } else { None };
    let key = if has(HAS_KEY) {
        let length = usize::try_from(keys::number(take(8)?)?).map_err(|_| bad())?;
        keys::text(take(length)?)?
    } else {
        keys::text(keys::entity_of(place)?.2)?
    };
    let group = if has(HAS_GROUP) { Some(from_json(place, rest)?) } else { None };
    Ok((key, Delivered { digest, cursor, walk, absent: has(ABSENT), group }))
}
