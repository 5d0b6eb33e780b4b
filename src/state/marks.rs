//! Watermarks and unfinished walks.

use super::coordinator::{NewMark, PastMark, Token, Walk, Watermark};
use super::draft::{Change, Draft, from_json};
use super::error::Fault;
use super::{Inner, StateError, Store, Weight, keys};
use crate::run::RunId;
use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// How many former values a watermark keeps.
const PREVIOUS: usize = 10;

impl Store {
    /// All watermarks, or those of one job, with job and entity.
    pub async fn watermarks(
        &self,
        job: Option<&JobName>,
    ) -> Result<Vec<(JobName, String, Watermark)>, StateError> {
        let prefix = job.map_or(vec![keys::WATERMARK], |job| keys::job(keys::WATERMARK, job));
        self.blocking(move |inner| {
            let mut marks = Vec::new();
            for entry in inner.database.tree.scan_prefix(prefix) {
                let (key, value) = entry?;
                let (job, entity, _) = keys::entity_of(&key)?;
                marks.push((job, entity, from_json(&key, &value)?));
            }
            Ok(marks)
        })
        .await
    }

    /// Sets a watermark as a person asked, and gives up an unfinished walk. The caller sees to it that no run of
    /// the job is going.
    pub async fn set_watermark(&self, job: &JobName, entity: &str, value: Value) -> Result<(), StateError> {
        let (job, entity) = (job.clone(), entity.to_owned());
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            put_watermark(&mut draft, &job, &entity, value, None, inner.now())?;
            put_walk(&mut draft, &job, &entity, Walk::Clear)?;
            inner.commit(&mut writer, draft, Weight::Milestone)
        })
        .await
    }

    /// Forgets a watermark and an unfinished walk, so that the job starts from its beginning; says whether there
    /// was one. What was delivered is remembered still.
    pub async fn reset_watermark(&self, job: &JobName, entity: &str) -> Result<bool, StateError> {
        let key = keys::entity(keys::WATERMARK, job, entity);
        let walk = keys::entity(keys::WALK, job, entity);
        self.blocking(move |inner| {
            let mut writer = inner.writer()?;
            let mut draft = inner.draft();
            let was_there = draft.contains(&key)?;
            draft.remove(key);
            draft.remove(walk);
            inner.commit(&mut writer, draft, Weight::Milestone)?;
            Ok(was_there)
        })
        .await
    }

    /// The unfinished walk of a job's entity.
    pub async fn walk(&self, job: &JobName, entity: &str) -> Result<Option<Value>, StateError> {
        let key = keys::entity(keys::WALK, job, entity);
        self.blocking(move |inner| match inner.pending()?.get(&key) {
            Some(waiting) => waiting.as_ref().map(|walk| from_json(&key, walk)).transpose(),
            None => inner.draft().json(&key),
        })
        .await
    }
}

impl Inner {
    pub(super) fn watermark(&self, job: &JobName, entity: &str) -> Result<Option<Watermark>, Fault> {
        self.draft().json(&keys::entity(keys::WATERMARK, job, entity))
    }

    pub(super) fn commit_watermark(&self, token: &Token, mark: NewMark) -> Result<(), Fault> {
        let mut writer = self.writer()?;
        let mut draft = self.draft();
        self.held(&mut writer, &draft, token)?;
        let job = &token.slot.job;
        put_watermark(&mut draft, job, &mark.entity, mark.value, Some(token.run), self.now())?;
        put_walk(&mut draft, job, &mark.entity, mark.walk)?;
        self.commit(&mut writer, draft, Weight::Milestone)
    }
}

fn put_watermark(
    draft: &mut Draft<'_>,
    job: &JobName,
    entity: &str,
    value: Value,
    run: Option<RunId>,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let key = keys::entity(keys::WATERMARK, job, entity);
    let mut previous = Vec::new();
    if let Some(old) = draft.json::<Watermark>(&key)? {
        previous = old.previous;
        if old.value != value {
            previous.insert(0, PastMark { value: old.value, updated: old.updated, run: old.run });
            previous.truncate(PREVIOUS);
        }
    }
    draft.put_json(key, &Watermark { value, updated: now, run, previous })
}

pub(super) fn put_walk(draft: &mut Draft<'_>, job: &JobName, entity: &str, walk: Walk) -> Result<(), Fault> {
    if let Some((key, value)) = walk_change(job, entity, walk)? {
        draft.change(key, value);
    }
    Ok(())
}

/// What there is to write for a walk: its key and its value, or none where it is cleared.
pub(super) fn walk_change(job: &JobName, entity: &str, walk: Walk) -> Result<Option<Change>, Fault> {
    let value = match walk {
        Walk::Keep => return Ok(None),
        Walk::Save(value) => Some(value.to_string().into_bytes()),
        Walk::Clear => None,
    };
    Ok(Some((keys::entity(keys::WALK, job, entity), value)))
}
