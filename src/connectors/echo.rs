//! The echo guard: a record that comes back from the platform as a push of ours last sent it is not written into the ERP it
//! came from. Only what was sent *since* the pull last wrote the record (or last saw it come back) is an echo: an older
//! content that somebody put back on the platform is news.
//!
//! What the pull writes into the ERP the platform has in place of what the push last sent. So the push is told: it neither
//! sends it back, nor takes an ERP that returns to the older content for unchanged.

use super::push::{Standing, entry};
use super::{ENTITY, state};
use crate::job::map::plain_text;
use crate::job::pull::Echo;
use crate::rest::{KEY_SEPARATOR, fields_of};
use crate::run::RunId;
use crate::state::{Delivered, Settlement, Store};
use crate::transfer::{Digest, Failure, Record};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What the push whose echoes are dropped last sent.
pub(super) struct Echoes {
    pub(super) store: Store,
    pub(super) push: Echo,
}

/// What a record is to the guard.
pub(super) struct Heard {
    /// What stands for the content last sent; 0 where there is none.
    pub(super) sent: u64,
    pub(super) is_echo: bool,
}

impl Echoes {
    /// What these records are, given what the pull knows of each.
    pub(super) async fn hear(
        &self,
        records: &[Record],
        known: &[Option<Delivered>],
    ) -> Result<Vec<Heard>, Failure> {
        let keys: Vec<Option<String>> = records.iter().map(|record| self.key(record)).collect();
        let asked = keys.iter().flatten().cloned().collect();
        let sent = self.store.recall(&self.push.job, ENTITY, asked).await.map_err(state)?;
        let sent: HashMap<&String, Option<Delivered>> = keys.iter().flatten().zip(sent).collect();
        let heard = records.iter().zip(known).zip(&keys).map(|((record, known), key)| {
            let sent = key.as_ref().and_then(|key| sent.get(key)?.as_ref());
            let sent = sent.and_then(|sent| sent.digest.filter(|_| Standing::of(sent) == Standing::Accepted));
            let stamp = sent.map_or(0, stamp);
            let is_newer = known.as_ref().map_or(0, |known| known.walk) != stamp;
            Heard { sent: stamp, is_echo: is_newer && sent.is_some() && self.content(record) == sent }
        });
        Ok(heard.collect())
    }

    /// By its key there, what the push would have sent, had it sent the record as it is on the platform.
    pub(super) fn in_place_of(&self, record: &Record) -> Option<(String, Digest)> {
        Some((self.key(record)?, self.content(record)?))
    }

    /// The platform has these contents now, and the ERP has been given them.
    pub(super) async fn taken_over(&self, run: RunId, taken: Vec<(String, Digest)>) -> Result<(), Failure> {
        let keys = taken.iter().map(|(key, _)| key.clone()).collect();
        let known = self.store.recall(&self.push.job, ENTITY, keys).await.map_err(state)?;
        // What was never sent, is refused or in doubt stays what it is.
        let is_known = |known: &Option<Delivered>| {
            known.as_ref().is_some_and(|known| {
                known.digest.is_some() && !known.absent && Standing::of(known) == Standing::Accepted
            })
        };
        let taken = taken.into_iter().zip(known).filter(|(_, known)| is_known(known));
        let noted: Vec<_> =
            taken.map(|((key, digest), _)| (key, entry(digest, Standing::Accepted))).collect();
        if noted.is_empty() {
            return Ok(());
        }
        let settlement = Settlement { noted, ..Settlement::default() };
        self.store.settle(&self.push.job, ENTITY, run, settlement).await.map_err(state)
    }

    fn key(&self, record: &Record) -> Option<String> {
        let parts = fields_of(&record.content, &self.push.key).into_iter();
        let text = |part: Option<Value>| part.filter(|part| !part.is_null()).map(|part| plain_text(&part));
        let parts: Option<Vec<String>> = parts.map(text).collect();
        Some(parts?.join(&KEY_SEPARATOR.to_string()))
    }

    /// The digest it would have, had it been sent; nothing where it lacks a field that is sent.
    fn content(&self, record: &Record) -> Option<Digest> {
        let values = fields_of(&record.content, &self.push.fields).into_iter();
        let mut sent = Map::new();
        for (field, value) in self.push.fields.iter().zip(values) {
            put(&mut sent, field.steps(), value?);
        }
        Some(Digest::of(Value::Object(sent).to_string().as_bytes()))
    }
}

/// Puts a value where its path leads, inside the records on the way.
fn put(record: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(record.insert(name.clone(), value)),
        [name, rest @ ..] => {
            let inner = record.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Eight bytes of a digest, never 0.
pub(super) fn stamp(digest: Digest) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.0[..8]);
    u64::from_be_bytes(first).max(1)
}
