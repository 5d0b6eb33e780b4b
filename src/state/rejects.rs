//! Records that did not go through, kept with their reason until they are accepted or dropped.

use super::draft::{Draft, from_json};
use super::error::Fault;
use super::ledger::{Head, change_head};
use super::{Inner, StateError, Store, Weight, keys};
use crate::run::RunId;
use crate::transfer::{Exchange, RejectClass, Rejected};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The most of a reject's content that is kept, in bytes.
const CONTENT_BYTES: usize = 16 << 10;
/// The most of its reason, in bytes.
const REASON_BYTES: usize = 2 << 10;

/// A record that did not go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// What of the job's source it belongs to; `""` where a job reads one thing.
    pub entity: String,
    /// Its key.
    pub key: String,
    /// Its content, cut at 16 KiB.
    pub content: String,
    /// Why, in an operator's words; cut at 2 KiB.
    pub reason: String,
    /// What becomes of it.
    #[serde(default)]
    pub class: RejectClass,
    /// What was sent and said, where it got as far as a request; the answer cut at 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<Exchange>>,
    /// The last run that tried it.
    pub run: RunId,
    /// How often it was refused.
    pub tries: u32,
    /// When it was refused first.
    pub first: DateTime<Utc>,
    /// When it was refused last.
    pub last: DateTime<Utc>,
}

impl Store {
    /// The rejects of a job in the order of entity and key, `limit` at most, after the given one.
    pub async fn rejects(
        &self,
        job: &JobName,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Reject>, StateError> {
        let prefix = keys::job(keys::REJECT, job);
        let after = after.map(|(entity, key)| keys::record(keys::REJECT, job, entity, key));
        self.blocking(move |inner| {
            inner
                .page(&prefix, after, limit)
                .map(|entry| entry.and_then(|(k, v)| from_json(&k, &v)))
                .collect()
        })
        .await
    }

    /// One reject.
    pub async fn reject(&self, job: &JobName, entity: &str, key: &str) -> Result<Option<Reject>, StateError> {
        let key = keys::record(keys::REJECT, job, entity, key);
        self.blocking(move |inner| inner.draft().json(&key)).await
    }

    /// How many rejects a job has.
    pub async fn count_rejects(&self, job: &JobName) -> Result<u64, StateError> {
        Ok(self.head(job).await?.rejects)
    }

    /// Drops a reject; says whether there was one.
    pub async fn drop_reject(&self, job: &JobName, entity: &str, key: &str) -> Result<bool, StateError> {
        let (job, entity, key) = (job.clone(), entity.to_owned(), key.to_owned());
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            let dropped = clear_rejects(&mut draft, &job, &entity, [key.as_str()])?;
            inner.commit(&mut writer, draft, Weight::Step)?;
            Ok(dropped > 0)
        })
        .await
    }

    /// Drops all rejects of a job; gives how many.
    pub async fn drop_rejects(&self, job: &JobName) -> Result<u64, StateError> {
        let job = job.clone();
        self.blocking(move |inner| {
            let mut dropped = 0;
            loop {
                let mut writer = inner.writer()?;
                let mut draft = inner.draft();
                for entry in inner.page(&keys::job(keys::REJECT, &job), None, 1000) {
                    draft.remove(entry?.0.to_vec());
                }
                let found = draft.len() as u64;
                if found == 0 {
                    return Ok(dropped);
                }
                change_head(&mut draft, &job, |head| head.rejects = head.rejects.saturating_sub(found))?;
                inner.commit(&mut writer, draft, Weight::Step)?;
                dropped += found;
            }
        })
        .await
    }
}

impl Inner {
    /// Up to `limit` entries below a prefix, after a key.
    pub(super) fn page(
        &self,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), Fault>> {
        let tree = &self.database.tree;
        let entries = match after {
            None => tree.scan_prefix(prefix),
            Some(mut after) => {
                // The smallest key after a key is that key and a zero byte.
                after.push(0);
                tree.range(after..)
            }
        };
        let prefix = prefix.to_vec();
        entries
            .take_while(move |entry| entry.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
            .take(limit)
            .map(|entry| entry.map_err(Fault::from))
    }
}

/// Adds rejects to a draft, counting how often each was refused.
pub(super) fn put_rejects(
    draft: &mut Draft<'_>,
    job: &JobName,
    entity: &str,
    rejected: Vec<Rejected>,
    run: RunId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let mut added = 0;
    for Rejected { key, content, reason, class, exchange } in rejected {
        let place = keys::record(keys::REJECT, job, entity, &key);
        let before: Option<Reject> = draft.json(&place)?;
        added += u64::from(before.is_none());
        let (tries, first) = before.map_or((0, now), |before| (before.tries, before.first));
        let reject = Reject {
            entity: entity.to_owned(),
            key,
            content: cut(content, CONTENT_BYTES),
            reason: cut(reason, REASON_BYTES),
            class,
            exchange: exchange.map(|mut exchange| {
                exchange.answer = cut(exchange.answer, REASON_BYTES);
                exchange
            }),
            run,
            tries: tries + 1,
            first,
            last: now,
        };
        draft.put_json(place, &reject)?;
    }
    change_head(draft, job, |head| head.rejects += added)
}

/// Removes the rejects of these keys within a draft; gives how many there were.
pub(super) fn clear_rejects<'k>(
    draft: &mut Draft<'_>,
    job: &JobName,
    entity: &str,
    accepted: impl IntoIterator<Item = &'k str>,
) -> Result<u64, Fault> {
    let head: Head = draft.json(&keys::job(keys::HEAD, job))?.unwrap_or_default();
    if head.rejects == 0 {
        // The usual case, and it spares a look-up per key.
        return Ok(0);
    }
    let mut cleared = 0;
    for key in accepted {
        let place = keys::record(keys::REJECT, job, entity, key);
        if draft.contains(&place)? {
            draft.remove(place);
            cleared += 1;
        }
    }
    change_head(draft, job, |head| head.rejects = head.rejects.saturating_sub(cleared))?;
    Ok(cleared)
}

fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}
