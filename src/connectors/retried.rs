//! What a person does about rejects: drops them, or has them sent again. Their keys then count as changed, so that the
//! next run reads them from the source and sends what they are by then.

use super::ENTITY;
use super::push::wanted_again;
use crate::erp::stands_for_a_row;
use crate::job::Work;
use crate::run::RunId;
use crate::state::{Delivered, Reject, Settlement, StateError, Store};
use crate::transfer::{Digest, RejectClass};
use crate::words::JobName;
use serde::{Deserialize, Serialize};

/// Rejects looked at in one go.
const PAGE: usize = 1_000;

/// Which rejects are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The one with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Those of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<RejectClass>,
    /// Those whose reason holds this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Wanted {
    /// Whether this reject is meant.
    #[must_use]
    pub fn takes(&self, reject: &Reject) -> bool {
        self.key.as_ref().is_none_or(|key| *key == reject.key)
            && self.class.is_none_or(|class| class == reject.class)
            && self.reason.as_ref().is_none_or(|reason| reject.reason.contains(reason.as_str()))
    }

    /// The rejects of a job that are meant, `limit` at most.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn find(&self, store: &Store, job: &JobName, limit: usize) -> Result<Vec<Reject>, StateError> {
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < limit {
            let page = page(store, job, &mut after).await?;
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().filter(|reject| self.takes(reject)));
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// Has the next run of the job send the rejects that are meant; gives how many. Nothing is sent here.
///
/// # Errors
/// The state can't be read or written.
pub async fn retry_rejects(
    store: &Store,
    job: &JobName,
    work: &Work,
    wanted: &Wanted,
) -> Result<u64, StateError> {
    let (mut retried, mut after) = (0, None);
    loop {
        let page = page(store, job, &mut after).await?;
        if page.is_empty() {
            return Ok(retried);
        }
        let keys: Vec<String> =
            page.into_iter().filter(|reject| wanted.takes(reject)).map(|reject| reject.key).collect();
        retried += keys.len() as u64;
        let known = store.recall(job, ENTITY, keys.clone()).await?;
        let mut settlement = Settlement::default();
        for (key, known) in keys.into_iter().zip(known) {
            let note = match (work, known) {
                // A row without a key is told anew by each run; there is nothing to remember it by.
                (Work::Push(..) | Work::Steps(..), None) if stands_for_a_row(&key) => continue,
                (Work::Push(..) | Work::Steps(..), known) => wanted_again(known.as_ref()),
                // What a pull has not delivered is delivered whenever it is read again.
                (_, None) => continue,
                (_, Some(known)) => Delivered { digest: Some(Digest([0; 16])), ..known },
            };
            settlement.noted.push((key, note));
        }
        store.settle(job, ENTITY, RunId(0), settlement).await?;
    }
}

/// Drops the rejects that are meant; gives how many there were.
///
/// # Errors
/// The state can't be read or written.
pub async fn drop_rejects(store: &Store, job: &JobName, wanted: &Wanted) -> Result<u64, StateError> {
    if *wanted == Wanted::default() {
        return store.drop_rejects(job).await;
    }
    let (mut dropped, mut after) = (0, None);
    loop {
        let page = page(store, job, &mut after).await?;
        if page.is_empty() {
            return Ok(dropped);
        }
        for reject in page.iter().filter(|reject| wanted.takes(reject)) {
            dropped += u64::from(store.drop_reject(job, &reject.entity, &reject.key).await?);
        }
    }
}

/// The next rejects of a job.
async fn page(
    store: &Store,
    job: &JobName,
    after: &mut Option<(String, String)>,
) -> Result<Vec<Reject>, StateError> {
    let from = after.as_ref().map(|(entity, key)| (entity.as_str(), key.as_str()));
    let page = store.rejects(job, from, PAGE).await?;
    *after = page.last().map(|last| (last.entity.clone(), last.key.clone()));
    Ok(page)
}
