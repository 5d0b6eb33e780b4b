//! Sends rejects again because a person says so: their keys count as changed, so that the next run reads them from the
//! source and sends what they are by then.

use super::push::due;
use super::{ENTITY, state};
use crate::job::Work;
use crate::run::RunId;
use crate::state::{Delivered, Reject, Settlement, Store};
use crate::transfer::{Digest, Failure, RejectClass};
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

    /// The rejects of a job that are meant, each given to `each` a page at a time; `limit` at most.
    ///
    /// # Errors
    /// The state can't be read, or `each` fails.
    pub async fn find(&self, store: &Store, job: &JobName, limit: usize) -> Result<Vec<Reject>, Failure> {
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        while found.len() < limit {
            let from = after.as_ref().map(|(entity, key)| (entity.as_str(), key.as_str()));
            let page = store.rejects(job, from, PAGE).await.map_err(state)?;
            let Some(last) = page.last() else { break };
            after = Some((last.entity.clone(), last.key.clone()));
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
) -> Result<u64, Failure> {
    let rejects = wanted.find(store, job, usize::MAX).await?;
    for page in rejects.chunks(PAGE) {
        let keys: Vec<String> = page.iter().map(|reject| reject.key.clone()).collect();
        let known = store.recall(job, ENTITY, keys.clone()).await.map_err(state)?;
        let mut settlement = Settlement::default();
        for (key, known) in keys.into_iter().zip(known) {
            match (work, known) {
                (Work::Push(..), known) => {
                    settlement.noted.push((key, due(known.is_some_and(|known| known.absent))));
                }
                // What a pull has not delivered is delivered whenever it is read again.
                (_, None) => {}
                (_, Some(known)) => {
                    let forgotten = Delivered { digest: Some(Digest([0; 16])), ..known };
                    settlement.noted.push((key, forgotten));
                }
            }
        }
        store.settle(job, ENTITY, RunId(0), settlement).await.map_err(state)?;
    }
    Ok(rejects.len() as u64)
}
