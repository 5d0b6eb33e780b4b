//! What the other side gave for our keys, its own ids above all: kept with the answer that brought them, used by later
//! requests, forgotten with the key.

use super::draft::{Draft, from_json};
use super::error::Fault;
use super::{StateError, Store, keys};
use crate::words::JobName;
use serde_json::Value;

impl Store {
    /// What is linked to each of these keys, in their order.
    pub async fn links(
        &self,
        job: &JobName,
        entity: &str,
        of: Vec<String>,
    ) -> Result<Vec<Option<Value>>, StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| {
            let link = |key: &String| {
                let place = keys::record(keys::LINK, &job, &entity, key);
                inner.database.tree.get(&place)?.map(|value| from_json(&place, &value)).transpose()
            };
            of.iter().map(link).collect()
        })
        .await
    }
}

/// Keeps what is new within a draft, beside what is known of the key, and forgets what belongs to removed keys.
pub(super) fn settle_links(
    draft: &mut Draft<'_>,
    job: &JobName,
    entity: &str,
    links: &[(String, Value)],
    removed: &[String],
) -> Result<(), Fault> {
    for key in removed {
        let place = keys::record(keys::LINK, job, entity, key);
        if draft.contains(&place)? {
            draft.remove(place);
        }
    }
    for (key, link) in links {
        let place = keys::record(keys::LINK, job, entity, key);
        let known = draft.json::<Value>(&place)?;
        let merged = match (known, link) {
            (Some(Value::Object(mut known)), Value::Object(new)) => {
                known.extend(new.clone());
                Value::Object(known)
            }
            _ => link.clone(),
        };
        draft.put_json(place, &merged)?;
    }
    Ok(())
}
