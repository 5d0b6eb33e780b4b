//! What was delivered: per job, entity and key the digest the other side last accepted, and which keys are in doubt
//! because a write was begun and its answer never settled. A key in doubt keeps its entry without a digest: it is
//! delivered again whatever its content, and it is still known when it goes from the source. Nobody has to clear up
//! after a crash: what is in doubt then, stays so until it is answered for.

use super::blocks::Packer;
use super::coordinator::Walk;
use super::error::Fault;
use super::ledger::Head;
use super::links::settle_links;
use super::log::{Log, NewBlock};
use super::marks::{put_walk, walk_change};
use super::rejects::{clear_rejects, put_rejects};
use super::{Inner, StateError, Store, Weight, keys};
use crate::job::Cursor;
use crate::run::RunId;
use crate::transfer::{Digest, Rejected};
use crate::words::JobName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

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
    /// How soon it must survive whatever may come.
    pub urgency: Urgency,
}

/// How soon a settlement must survive whatever may come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Urgency {
    /// When the call returns.
    #[default]
    Now,
    /// It may share its flush with what follows within a quarter of a second, or with the next change of anything. A
    /// kill or a power cut before that loses it whole: the walk resumes some pages earlier, and those pages' records
    /// are delivered again. It can't make a content count as delivered that is not, nor leave one undoubted: what is
    /// lost is only what was known *besides* the older state, a doubt is flushed with all that came before it, and no
    /// watermark is written without it.
    Soon,
}

/// Where a [`Store::scan`] is; the default is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub(super) next: u32,
    pub(super) end: Option<u32>,
}

/// Which entries to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// Those with a cursor before this one, once they are about half of all.
    Before(Cursor),
    /// All: everything will be delivered again.
    All,
}

/// Which keys come in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All that are named.
    All,
    /// Those whose content is known.
    Known,
}

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
            inner.with_log(&job, &entity, |log| {
                log.tidy()?;
                log.recall(keys.iter().map(String::as_str))
            })
        })
        .await
    }

    /// Of how many keys something is known.
    pub async fn count_delivered(&self, job: &JobName, entity: &str) -> Result<u64, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.with_log(&job, &entity, |log| Ok(log.index.keys()))).await
    }

    /// Durably marks keys in doubt, before they are written; from now on they are known.
    pub async fn doubt(
        &self,
        job: &JobName,
        entity: &str,
        doubtful: Vec<Doubtful>,
    ) -> Result<(), StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.doubt(&job, &entity, doubtful, Which::All)).await
    }

    /// Durably marks in doubt, before they are written, those of the keys whose content is known. The others need no
    /// doubt to be delivered again after a crash; but nothing would be known of them then, should they be gone.
    pub async fn doubt_known(
        &self,
        job: &JobName,
        entity: &str,
        keys: Vec<String>,
    ) -> Result<(), StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        let doubtful = keys.into_iter().map(|key| Doubtful { key, group: None }).collect();
        self.blocking(move |inner| inner.doubt(&job, &entity, doubtful, Which::Known)).await
    }

    /// Remembers what the other side answered, as soon as [`Settlement::urgency`] says, and ends the doubt of the keys
    /// it names. Keys in doubt that it does not name stay in doubt.
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

    /// The next `limit` entries of a job's entity, or a few more, in no order that means anything; none at the end. What
    /// is settled while a scan goes on is not seen by it.
    pub async fn scan(
        &self,
        job: &JobName,
        entity: &str,
        place: &mut Place,
        limit: usize,
    ) -> Result<Vec<(String, Delivered)>, StateError> {
        let (job, entity, mut at) = (job.clone(), entity.to_owned(), *place);
        let scan = move |inner: &Inner| {
            let page = inner.with_log(&job, &entity, |log| log.scan(&mut at, limit))?;
            Ok((page, at))
        };
        let (page, at) = self.blocking(scan).await?;
        *place = at;
        Ok(page)
    }

    /// Forgets entries, in steps; gives how many.
    pub async fn prune_delivered(
        &self,
        job: &JobName,
        entity: &str,
        forget: Forget,
    ) -> Result<u64, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| inner.with_log(&job, &entity, |log| log.clean(Some(forget)))).await
    }
}

impl Inner {
    fn doubt(&self, job: &JobName, entity: &str, doubtful: Vec<Doubtful>, which: Which) -> Result<(), Fault> {
        self.with_log(job, entity, |log| {
            let known = log.recall(doubtful.iter().map(|doubtful| doubtful.key.as_str()))?;
            let mut packer = Packer::default();
            for (Doubtful { key, group }, before) in doubtful.into_iter().zip(known) {
                let has_content = before.as_ref().is_some_and(|before| before.digest.is_some());
                if log.index.doubted.contains_key(&key) || (which == Which::Known && !has_content) {
                    continue;
                }
                let unknown = Delivered { digest: None, cursor: None, walk: 0, absent: false, group: None };
                let entry = before.clone().unwrap_or(unknown);
                let group = group.or(entry.group);
                packer.add(&key, Some(&Delivered { digest: None, absent: false, group, ..entry }));
                log.index.doubted.insert(key, before);
            }
            let blocks = log.append(packer)?;
            if blocks.is_empty() {
                return Ok(());
            }
            let mut draft = self.draft();
            blocks.into_iter().for_each(|(key, block)| draft.put(key, block));
            let mut writer = self.writer()?;
            self.commit(&mut writer, draft, Weight::Step)
        })
    }

    fn settle(&self, job: &JobName, entity: &str, run: RunId, settlement: Settlement) -> Result<(), Fault> {
        self.with_log(job, entity, |log| {
            let blocks = settle_blocks(log, &settlement)?;
            let Settlement { entries, removed, rejects, links, walk, urgency, .. } = settlement;
            let head = self.draft().json::<Head>(&keys::job(keys::HEAD, job))?;
            let has_rejects = !rejects.is_empty() || head.is_some_and(|head| head.rejects > 0);
            // What was removed on the other side must not count as delivered should it come again.
            if urgency == Urgency::Soon && !has_rejects && removed.is_empty() && links.is_empty() {
                let mut pending = self.pending()?;
                blocks.into_iter().for_each(|(key, block)| pending.put(key, Some(block)));
                if let Some((key, value)) = walk_change(job, entity, walk)? {
                    pending.put(key, value);
                }
                let is_due = pending.is_due();
                drop(pending);
                return if is_due { self.commit_pending() } else { Ok(()) };
            }
            let now = self.now();
            let mut writer = self.writer()?;
            let mut draft = self.draft();
            let accepted = entries.iter().map(|(key, _)| key).chain(&removed).map(String::as_str);
            clear_rejects(&mut draft, job, entity, accepted)?;
            blocks.into_iter().for_each(|(key, block)| draft.put(key, block));
            if !rejects.is_empty() {
                put_rejects(&mut draft, job, entity, rejects, run, now)?;
            }
            settle_links(&mut draft, job, entity, &links, &removed)?;
            put_walk(&mut draft, job, entity, walk)?;
            self.commit(&mut writer, draft, Weight::Step)
        })
    }
}

/// What a settlement adds to the log.
fn settle_blocks(log: &mut Log<'_>, settlement: &Settlement) -> Result<Vec<NewBlock>, Fault> {
    let Settlement { entries, noted, removed, rejects, .. } = settlement;
    let known = entries.iter().chain(noted).map(|(key, known)| (key.as_str(), Some(known)));
    let said: Vec<(&str, Option<&Delivered>)> =
        known.chain(removed.iter().map(|key| (key.as_str(), None))).collect();
    // Of a key that is named twice, the later counts.
    let last: HashMap<&str, usize> = said.iter().enumerate().map(|(index, (key, _))| (*key, index)).collect();
    let mut packer = Packer::default();
    for (index, (key, known)) in said.iter().enumerate() {
        log.index.doubted.remove(*key);
        if last.get(key) == Some(&index) && (known.is_some() || log.index.block_of(key).is_some()) {
            packer.add(key, *known);
        }
    }
    for reject in rejects {
        // It is not in doubt that this one was not written.
        if let Some(before) = log.index.doubted.remove(&reject.key) {
            packer.add(&reject.key, before.as_ref());
        }
    }
    log.append(packer)
}
