//! What is gone from the source of a push: known before, and missing from two full reads in a row. An empty read is never
//! absence, nor is one with rows that can't be told apart, and where more is missing than `max-gone` allows nothing is
//! removed.

use super::missing::Known;
use super::push::{REMOVAL, Standing, was_never_sent};
use super::seen::hash;
use super::{ENTITY, state};
use crate::erp::stands_for_a_row;
use crate::job::{Push, PushGone, Read, Send};
use crate::rest::KEY_SEPARATOR;
use crate::state::{Delivered, Place, Settlement, Store, Token};
use crate::transfer::{Class, Digest, Failure, Record};
use crate::words::JobName;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub(super) struct Gone {
    store: Store,
    token: Token,
    key: Vec<String>,
    group_by: Vec<String>,
    max_gone: f64,
    on_gone: PushGone,
    idempotent: bool,
    /// Hashes of the keys this read had: eight bytes a row.
    seen: Vec<u64>,
    /// How many keys were known when the read began, and of how many rows the key was.
    known_before: Option<u64>,
    recalled: u64,
    /// Rows without a key: each may be any of those that seem to be missing.
    unnamed: u64,
    note: Option<String>,
}

impl Gone {
    pub(super) fn new(store: Store, token: Token, read: &Read, push: &Push) -> Self {
        // What is read since some moment says nothing of the rest.
        let on_gone =
            if matches!(push.send, Send::Since(_)) { PushGone::Ignore } else { push.on_gone.clone() };
        Self {
            store,
            token,
            key: read.key.clone(),
            group_by: push.group_by.clone(),
            max_gone: read.max_gone,
            on_gone,
            idempotent: push.idempotent,
            seen: Vec::new(),
            known_before: None,
            recalled: 0,
            unnamed: 0,
            note: None,
        }
    }

    /// What is gone is told by others, and never looked for.
    pub(super) fn told(self) -> Self {
        Self { on_gone: PushGone::Ignore, ..self }
    }

    /// The source has these keys.
    pub(super) fn saw<'k>(&mut self, keys: impl Iterator<Item = &'k str>) {
        if self.on_gone != PushGone::Ignore {
            self.seen.extend(keys.map(hash));
        }
    }

    /// What is known of these keys, which the source has.
    pub(super) async fn recall(
        &mut self,
        job: &JobName,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Delivered>>, Failure> {
        if self.known_before.is_none() && self.on_gone != PushGone::Ignore {
            self.known_before = Some(self.store.count_delivered(job, ENTITY).await.map_err(state)?);
        }
        let known = self.store.recall(job, ENTITY, keys).await.map_err(state)?;
        self.recalled += known.iter().flatten().count() as u64;
        Ok(known)
    }

    /// The source has this row, which is no record.
    pub(super) fn saw_unmapped(&mut self, key: &str) {
        self.unnamed += u64::from(stands_for_a_row(key));
        self.saw(std::iter::once(key));
    }

    /// Why nothing was removed although there was cause to.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Marks what is missing for the first time; gives what was missing before.
    pub(super) async fn find(&mut self) -> Result<Vec<Record>, Failure> {
        let mut gone = Vec::new();
        if self.count_missing().await? == 0 {
            return Ok(gone);
        }
        let mut place = Place::default();
        while let Some(page) = self.known().scan(&mut place).await? {
            let mut settlement = Settlement::default();
            for (key, entry) in page.into_iter().filter(|(key, _)| !self.has_seen(key)) {
                match self.missing(&key, &entry) {
                    Missing::First => settlement.noted.push((key, Delivered { absent: true, ..entry })),
                    Missing::Unsent => settlement.removed.push(key),
                    Missing::Again => gone.push(self.record(key)?),
                    Missing::Left => {}
                }
            }
            self.store
                .settle(&self.token.slot.job, ENTITY, self.token.run, settlement)
                .await
                .map_err(state)?;
        }
        Ok(gone)
    }

    /// What [`Gone::find`] would give, and how many it would mark as missing for the first time. Marks nothing.
    pub(super) async fn look(&mut self) -> Result<(Vec<Record>, u64), Failure> {
        let (mut gone, mut first, mut place) = (Vec::new(), 0, Place::default());
        if self.count_missing().await? == 0 {
            return Ok((gone, first));
        }
        while let Some(page) = self.known().scan(&mut place).await? {
            for (key, entry) in page.into_iter().filter(|(key, _)| !self.has_seen(key)) {
                match self.missing(&key, &entry) {
                    Missing::First => first += 1,
                    Missing::Again => gone.push(self.record(key)?),
                    Missing::Left | Missing::Unsent => {}
                }
            }
        }
        Ok((gone, first))
    }

    fn missing(&self, key: &str, entry: &Delivered) -> Missing {
        if key.split(KEY_SEPARATOR).count() != self.key.len() {
            // Known from when the job had another `key`: it would be taken for the key of something else.
            return Missing::Unsent;
        }
        let standing = Standing::of(entry);
        let is_parked = standing == Standing::Unknown || (entry.digest.is_none() && !self.idempotent);
        match (entry.absent, standing) {
            _ if is_parked => Missing::Left,
            (false, _) => Missing::First,
            (true, _) if was_never_sent(entry) => Missing::Unsent,
            (true, Standing::Rejected) if entry.group == Some(REMOVAL.into()) => Missing::Left,
            (true, _) => Missing::Again,
        }
    }

    /// How many known records this read did not have; an empty read misses nothing. Fails if they are too many.
    async fn count_missing(&mut self) -> Result<u64, Failure> {
        if self.on_gone == PushGone::Ignore {
            return Ok(0);
        }
        if self.seen.is_empty() {
            if self.known().scan(&mut Place::default()).await?.is_some() {
                let note =
                    "the source gave no rows at all, which is never taken for absence: nothing was removed";
                self.note = Some(note.to_owned());
            }
            return Ok(0);
        }
        let rows = self.seen.len();
        self.seen.sort_unstable();
        self.seen.dedup();
        // No key came twice, and as many were known as there are: a look at each can be spared.
        if self.seen.len() == rows && self.known_before == Some(self.recalled) {
            return Ok(0);
        }
        let known = self.known();
        if self.unnamed > 0 {
            let missing = known.missing(|key| self.has_seen(key), 1.0, "the source").await?;
            if missing > 0 {
                let note = format!(
                    "the source gave {} without a key, any of which may be one of the {missing} that are missing: nothing was \
                     removed; see: cadenced rejects list {} --reason key",
                    if self.unnamed == 1 { "1 row".to_owned() } else { format!("{} rows", self.unnamed) },
                    self.token.slot.job,
                );
                self.note = Some(note);
            }
            return Ok(0);
        }
        known.missing(|key| self.has_seen(key), self.max_gone, "the source").await
    }

    fn known(&self) -> Known<'_> {
        Known { store: &self.store, job: &self.token.slot.job }
    }

    fn has_seen(&self, key: &str) -> bool {
        self.seen.binary_search(&hash(key)).is_ok()
    }

    /// What is known of a row that is no more: its key columns, and with them its group; or what it is zeroed with.
    fn record(&self, key: String) -> Result<Record, Failure> {
        let columns: Map<String, Value> =
            self.key.iter().cloned().zip(key.split(KEY_SEPARATOR).map(Value::from)).collect();
        let value =
            |column: &String| columns.get(column).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = self.group_by.iter().map(value).collect();
        let content = match &self.on_gone {
            PushGone::Zero(map) => map.apply(&columns).map_err(|error| {
                Failure::new(Class::Config, format!("`on-gone`: the gone record {key:?}: {error}"))
            })?,
            _ => columns,
        };
        let content = RawValue::from_string(Value::Object(content).to_string())
            .map_err(|error| Failure::new(Class::State, format!("the key {key:?} is not text: {error}")))?;
        let digest = Digest::of(content.get().as_bytes());
        Ok(Record { key, cursor: None, content, digest, group })
    }
}

enum Missing {
    First,
    Again,
    /// The platform never heard of it.
    Unsent,
    /// It stays as it is until a person says otherwise.
    Left,
}
