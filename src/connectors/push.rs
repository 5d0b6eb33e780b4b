//! What is remembered of a push: per key the content the platform last answered for, and how. Keys are durably in doubt
//! before their request goes out. Where a request may be repeated, a key in doubt is sent again whatever its content;
//! where it may not, it is looked up, or parked until a person decides. A record that was refused is not sent again until
//! its content or its parent changes. A record is gone when two full reads of the source in a row did not have it; an
//! empty read is never absence, and `max-gone` stops a run before anything is removed.

use super::gone::Gone;
use super::{ENTITY, state};
use crate::clock::SharedClock;
use crate::crash;
use crate::erp::stands_for_a_row;
use crate::job::map::plain_text;
use crate::job::{Parent, Push, Read, Send};
use crate::rest::KEY_SEPARATOR;
use crate::rest::rows::fields_of;
use crate::state::{Coordinator as _, Delivered, Doubtful, NewMark, Reject, Settlement, Store, Token, Walk};
use crate::transfer::{
    Batch, Checkpoint, Chunk, Digest, Doubted, Failure, Progress, Record, RejectClass, Rejected, Settled,
};
use crate::words::JobName;
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Beside a gone record of which the platform would not have it removed.
pub(super) const REMOVAL: &str = "removal";
/// A record waits so long, and twice as long with each try, before it is tried again for a parent nobody named.
const WAIT: TimeDelta = TimeDelta::minutes(1);
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);
/// Rejects looked at in one go.
const REJECTS: usize = 1_000;

/// How the platform answered for a key's content, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Accepted,
    Rejected,
    Waiting,
    Transient,
    Unknown,
    /// To be sent whatever its content.
    Due,
}

impl Standing {
    const ALL: [Self; 6] =
        [Self::Accepted, Self::Rejected, Self::Waiting, Self::Transient, Self::Unknown, Self::Due];

    pub(super) fn of(entry: &Delivered) -> Self {
        let place = usize::try_from(entry.walk & !NEVER_SENT).unwrap_or(usize::MAX);
        Self::ALL.get(place).copied().unwrap_or(Self::Due)
    }

    fn of_class(class: RejectClass) -> Self {
        match class {
            RejectClass::Rejected => Self::Rejected,
            RejectClass::Waiting => Self::Waiting,
            RejectClass::Transient => Self::Transient,
            RejectClass::Unknown => Self::Unknown,
        }
    }

    fn code(self) -> u64 {
        Self::ALL.iter().position(|standing| *standing == self).unwrap_or_default() as u64
    }
}

/// Beside the standing: no request for the key was ever begun.
const NEVER_SENT: u64 = 1 << 8;

pub(super) fn was_never_sent(entry: &Delivered) -> bool {
    entry.walk & NEVER_SENT != 0
}

/// What is kept of a key whose content has this standing.
pub(super) fn entry(digest: Digest, standing: Standing) -> Delivered {
    Delivered { digest: Some(digest), cursor: None, walk: standing.code(), absent: false, group: None }
}

/// What is kept of a key whose content was not sent.
fn unsent(digest: Digest, standing: Standing, before: Option<&Delivered>) -> Delivered {
    let never = before.is_none_or(was_never_sent);
    let entry = entry(digest, standing);
    Delivered { walk: entry.walk | if never { NEVER_SENT } else { 0 }, ..entry }
}

/// What is kept of a key that is to be sent whatever its content, and may be.
fn due(absent: bool) -> Delivered {
    Delivered { absent, ..entry(Digest::UNKNOWN, Standing::Due) }
}

/// The same where a person wants it sent: what was never sent is still to be looked for first, and not to be removed.
pub(super) fn wanted_again(known: Option<&Delivered>) -> Delivered {
    let absent = known.is_some_and(|known| known.absent);
    Delivered { absent, ..unsent(Digest::UNKNOWN, Standing::Due, known) }
}

pub(super) struct PushCheckpoint {
    store: Store,
    token: Token,
    /// Under whose name it is remembered.
    job: JobName,
    clock: SharedClock,
    send: Send,
    idempotent: bool,
    verifies: bool,
    looks_first: bool,
    parent: Option<Parent>,
    /// It is of a step, and reads some rows at a time.
    is_step: bool,
    /// Records in one request as configured: what is learned of the platform's limit is for this.
    batch_records: usize,
    gone: Gone,
    /// What to know of keys that are not sent.
    noted: Vec<(String, Delivered)>,
    /// Per key the content its parent had when the record was let through.
    parents: HashMap<String, String>,
    /// The highest value of the column that says what changed since.
    reached: Option<String>,
    counted: Sifted,
}

/// What became of the records that were sifted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sifted {
    /// Records to send that were never delivered before.
    pub(super) new: u64,
    /// Records to send that were.
    pub(super) changed: u64,
    /// Records that wait for their parent.
    pub(super) waiting: u64,
    /// Records that were sent and never answered for.
    pub(super) in_doubt: u64,
}

/// What is to be done about a record.
enum Next {
    Send,
    LookUp(Option<Digest>),
    /// The platform may have it from elsewhere.
    LookFirst,
    Park,
    Nothing,
}

impl PushCheckpoint {
    pub(super) fn new(store: Store, token: Token, clock: SharedClock, read: &Read, push: &Push) -> Self {
        Self {
            gone: Gone::new(store.clone(), token.clone(), read, push),
            job: token.slot.job.clone(),
            store,
            token,
            clock,
            send: push.send.clone(),
            idempotent: push.idempotent,
            verifies: push.verify.is_some(),
            looks_first: push.verify.as_ref().is_some_and(|verify| verify.first),
            parent: push.parent.clone(),
            is_step: false,
            batch_records: push.batch_records,
            noted: Vec::new(),
            parents: HashMap::new(),
            reached: None,
            counted: Sifted::default(),
        }
    }

    /// Looks for what is gone as a run would.
    pub(super) fn gone_mut(&mut self) -> &mut Gone {
        &mut self.gone
    }

    pub(super) fn counted(&self) -> Sifted {
        self.counted
    }

    /// Of a step: remembered under this name, and told what is gone instead of looking for it.
    #[must_use]
    pub(super) fn of_step(mut self, keeper: JobName) -> Self {
        self.gone = self.gone.told();
        self.is_step = true;
        self.job = keeper;
        self
    }

    fn job(&self) -> &JobName {
        &self.job
    }

    async fn recall(&self, keys: Vec<String>) -> Result<Vec<Option<Delivered>>, Failure> {
        self.store.recall(self.job(), ENTITY, keys).await.map_err(state)
    }

    async fn sift_rows(&mut self, chunk: &mut Chunk) -> Result<u64, Failure> {
        let mut records = std::mem::take(&mut chunk.records);
        if matches!(self.send, Send::Since(_)) {
            // The column came along as the last of the group.
            for record in &mut records {
                // Rows come in its order.
                self.reached = record.group.pop();
            }
        }
        self.gone.saw(records.iter().map(|record| &*record.key));
        let keys = records.iter().map(|record| record.key.clone()).collect();
        let known = self.gone.recall(&self.job, keys).await?;
        let parents = self.parents_of(&records).await?;
        // Of a key that stands twice the later row counts.
        let last: HashMap<&str, usize> =
            records.iter().enumerate().map(|(index, record)| (&*record.key, index)).collect();
        let is_last: Vec<bool> =
            records.iter().enumerate().map(|(index, record)| last[&*record.key] == index).collect();
        let mut unchanged = 0;
        for (index, (record, known)) in records.into_iter().zip(known).enumerate() {
            let parent = parents.get(index).cloned().unwrap_or(ParentOf::Nobody);
            let next = if is_last[index] {
                self.next(&record, known.as_ref(), &parent).await?
            } else {
                Next::Nothing
            };
            match (next, parent) {
                (Next::Nothing, _) => {
                    unchanged += 1;
                    if let Some(known) = known.filter(|known| known.absent) {
                        self.noted.push((record.key, Delivered { absent: false, ..known }));
                    }
                }
                (Next::LookUp(sent), _) => {
                    self.counted.in_doubt += 1;
                    chunk.doubtful.push(Doubted { record, sent, is_first: false });
                }
                (Next::LookFirst, _) => {
                    self.counted.new += 1;
                    chunk.doubtful.push(Doubted { record, sent: None, is_first: true });
                }
                (Next::Park, _) => {
                    self.counted.in_doubt += 1;
                    let reason = "it was sent by a run that was cut off, and must not be sent twice: if the platform does \
                                  not have it, send it with `cadenced rejects retry`";
                    let group = known.and_then(|known| known.group);
                    let note = Delivered { group, ..entry(record.digest, Standing::Unknown) };
                    self.noted.push((record.key.clone(), note));
                    chunk.rejected.push(Rejected::record(&record, reason).class(RejectClass::Unknown));
                }
                (Next::Send, ParentOf::Missing(parent)) => {
                    self.counted.waiting += 1;
                    let note = Delivered {
                        group: Some(Value::Null),
                        ..unsent(record.digest, Standing::Waiting, known.as_ref())
                    };
                    self.noted.push((record.key.clone(), note));
                    let reason = format!("waits for {parent}, which has not gone through");
                    chunk.rejected.push(Rejected::record(&record, reason).class(RejectClass::Waiting));
                }
                (Next::Send, parent) => {
                    if let ParentOf::There(digest) = parent {
                        self.parents.insert(record.key.clone(), digest);
                    }
                    match known {
                        Some(known) if !known.absent => self.counted.changed += 1,
                        _ => self.counted.new += 1,
                    }
                    chunk.records.push(record);
                }
            }
        }
        Ok(unchanged + self.sift_unmapped(chunk).await?)
    }

    /// A row that can't be mapped is in the source all the same: it is not gone. It is told once, and again when it, or
    /// what is wrong with it, changes.
    async fn sift_unmapped(&mut self, chunk: &mut Chunk) -> Result<u64, Failure> {
        let is_ours =
            |rejected: &Rejected| rejected.class == RejectClass::Rejected && rejected.exchange.is_none();
        if !chunk.rejected.iter().any(is_ours) {
            return Ok(0);
        }
        chunk.rejected.iter().for_each(|rejected| self.gone.saw_unmapped(&rejected.key));
        let keys = chunk.rejected.iter().map(|rejected| rejected.key.clone()).collect();
        let known = self.gone.recall(&self.job, keys).await?;
        let mut told = 0;
        let mut known = known.into_iter();
        let noted = &mut self.noted;
        let idempotent = self.idempotent;
        chunk.rejected.retain(|rejected| {
            let known = known.next().flatten();
            if !is_ours(rejected) {
                return true;
            }
            let digest = Digest::of(format!("{}\u{1f}{}", rejected.content, rejected.reason).as_bytes());
            if known.as_ref().is_some_and(|known| known.digest == Some(digest)) {
                told += 1;
                return false;
            }
            // What is known of a request that was not answered for is not forgotten over this.
            let is_known = idempotent || known.as_ref().is_none_or(|known| !is_unanswered(known));
            if is_known && !stands_for_a_row(&rejected.key) {
                noted.push((rejected.key.clone(), unsent(digest, Standing::Rejected, known.as_ref())));
            }
            true
        });
        Ok(told)
    }

    async fn next(
        &self,
        record: &Record,
        known: Option<&Delivered>,
        parent: &ParentOf,
    ) -> Result<Next, Failure> {
        if self.looks_first && known.is_none_or(was_never_sent) {
            return Ok(Next::LookFirst);
        }
        let Some(known) = known else { return Ok(Next::Send) };
        let standing = Standing::of(known);
        if !self.idempotent && is_unanswered(known) {
            let sent = known.group.as_ref().and_then(Value::as_str).and_then(digest_of);
            return Ok(match (self.verifies, standing) {
                (true, _) => Next::LookUp(sent),
                (false, Standing::Unknown) if known.digest.is_some() => Next::Nothing,
                (false, _) => Next::Park,
            });
        }
        if self.send == Send::Once && standing == Standing::Accepted && known.digest.is_some() {
            return Ok(Next::Nothing);
        }
        if known.digest != Some(record.digest) || self.send == Send::All {
            return Ok(Next::Send);
        }
        let parent_changed = || match parent {
            ParentOf::Nobody => false,
            ParentOf::There(digest) => known.group.as_ref().and_then(Value::as_str) != Some(digest),
            ParentOf::Missing(_) => known.group != Some(Value::Null),
        };
        let again = match standing {
            Standing::Accepted => false,
            Standing::Transient | Standing::Due => true,
            Standing::Waiting if *parent == ParentOf::Nobody => self.waited(&record.key).await?,
            Standing::Rejected | Standing::Waiting | Standing::Unknown => parent_changed(),
        };
        Ok(if again { Next::Send } else { Next::Nothing })
    }

    /// Drops the rejects of rows without a key that this run, which has read them all, did not meet again: nothing that is
    /// accepted could ever clear them.
    pub(super) async fn forget_unnamed(&self) -> Result<(), Failure> {
        if self.store.count_rejects(self.job()).await.map_err(state)? == 0 {
            return Ok(());
        }
        let mut after = "row ".to_owned();
        loop {
            let page =
                self.store.rejects(self.job(), Some((ENTITY, &after)), REJECTS).await.map_err(state)?;
            let Some(last) = page.last().filter(|last| last.entity == ENTITY) else { return Ok(()) };
            let is_past = !last.key.starts_with("row ");
            after.clone_from(&last.key);
            let old = |reject: &Reject| reject.run != self.token.run && stands_for_a_row(&reject.key);
            let old: Vec<String> = page.into_iter().filter(old).map(|reject| reject.key).collect();
            // A record may be called so, and then it is remembered by that name.
            let known = self.recall(old.clone()).await?;
            let removed: Vec<String> =
                old.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(key, _)| key).collect();
            if !removed.is_empty() {
                let settlement = Settlement { removed, ..Settlement::default() };
                self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)?;
            }
            if is_past {
                return Ok(());
            }
        }
    }

    /// Whether a record has waited long enough to be tried once more.
    async fn waited(&self, key: &str) -> Result<bool, Failure> {
        let Some(reject) = self.store.reject(self.job(), ENTITY, key).await.map_err(state)? else {
            return Ok(true);
        };
        let doubled = 1_i32.checked_shl(reject.tries.saturating_sub(1).min(20)).unwrap_or(i32::MAX);
        let wait = WAIT.checked_mul(doubled).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        Ok(self.clock.now() - reject.last >= wait)
    }

    async fn parents_of(&self, records: &[Record]) -> Result<Vec<ParentOf>, Failure> {
        let Some(parent) = &self.parent else { return Ok(Vec::new()) };
        let key = |record: &Record| -> Option<String> {
            let values = fields_of(&record.content, &parent.key).into_iter();
            let values =
                values.map(|value| value.filter(|value| !value.is_null()).map(|value| plain_text(&value)));
            Some(values.collect::<Option<Vec<_>>>()?.join(&KEY_SEPARATOR.to_string()))
        };
        let keys: Vec<Option<String>> = records.iter().map(key).collect();
        let asked = keys.iter().map(|key| key.clone().unwrap_or_default()).collect();
        let known = self.store.recall(&parent.job, ENTITY, asked).await.map_err(state)?;
        let of = |(key, known): (Option<String>, Option<Delivered>)| {
            let Some(key) = key else { return ParentOf::Nobody };
            let known = known.filter(|known| !known.absent && Standing::of(known) == Standing::Accepted);
            match known.and_then(|known| known.digest) {
                Some(digest) => ParentOf::There(hex(digest)),
                None => ParentOf::Missing(format!("{} {}", parent.job, key.replace(KEY_SEPARATOR, " "))),
            }
        };
        Ok(keys.into_iter().zip(known).map(of).collect())
    }

    async fn settle_batch(&mut self, batch: &Batch, settled: &Settled) -> Result<(), Failure> {
        let refused: HashMap<&str, RejectClass> =
            settled.rejected.iter().map(|rejected| (rejected.key.as_str(), rejected.class)).collect();
        let mut settlement = Settlement {
            rejects: settled.rejected.clone(),
            links: settled.links.clone(),
            ..Settlement::default()
        };
        for record in &batch.records {
            let parent = self.parents.remove(&record.key);
            match refused.get(record.key.as_str()) {
                Some(class) => {
                    let group =
                        if *class == RejectClass::Unknown { Some(hex(record.digest)) } else { parent };
                    let noted = entry(record.digest, Standing::of_class(*class));
                    let noted = Delivered { group: group.map(Value::from), ..noted };
                    settlement.noted.push((record.key.clone(), noted));
                }
                None if settled.left.contains(&record.key) => {}
                None => {
                    settlement.entries.push((record.key.clone(), entry(record.digest, Standing::Accepted)))
                }
            }
        }
        for record in &batch.gone {
            match refused.get(record.key.as_str()) {
                Some(class) => {
                    let group = Some(REMOVAL.into());
                    let noted = entry(record.digest, Standing::of_class(*class));
                    settlement.noted.push((record.key.clone(), Delivered { absent: true, group, ..noted }));
                }
                None if settled.left.contains(&record.key) => {}
                None => settlement.removed.push(record.key.clone()),
            }
        }
        if !settled.left.is_empty() {
            let gone: HashSet<&str> = batch.gone.iter().map(|record| record.key.as_str()).collect();
            let sent: HashSet<&str> = batch.records.iter().map(|record| record.key.as_str()).collect();
            let left = settled.left.iter().map(String::as_str);
            // What stays in doubt is sent again anyway, where that may be.
            let left = left.filter(|key| !(self.idempotent && (sent.contains(key) || gone.contains(key))));
            settlement.entries.extend(left.map(|key| (key.to_owned(), due(gone.contains(key)))));
        }
        self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)?;
        if let Some(limit) = settled.limit {
            Limit::of(&self.store).set(self.job(), self.batch_records, limit).await?;
        }
        Ok(())
    }

    async fn keep_rejected(&mut self, rejected: &[Rejected]) -> Result<(), Failure> {
        let noted = std::mem::take(&mut self.noted);
        if rejected.is_empty() && noted.is_empty() {
            return Ok(());
        }
        let settlement = Settlement { rejects: rejected.to_vec(), noted, ..Settlement::default() };
        self.store.settle(self.job(), ENTITY, self.token.run, settlement).await.map_err(state)
    }
}

/// Whether a request for the key was begun of which nothing is known.
fn is_unanswered(known: &Delivered) -> bool {
    known.digest.is_none() || Standing::of(known) == Standing::Unknown
}

/// What is known of a record's parent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ParentOf {
    /// It has none.
    Nobody,
    /// It went through with this content.
    There(String),
    /// It did not; its name.
    Missing(String),
}

fn hex(digest: Digest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(text: &str) -> Option<Digest> {
    let bytes = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(Digest(bytes.to_be_bytes()))
}

/// How many records a platform was found to take in one request.
pub(super) struct Limit<'a>(&'a Store);

impl<'a> Limit<'a> {
    const NAMESPACE: &'static str = "batch-limit";

    pub(super) fn of(store: &'a Store) -> Self {
        Self(store)
    }

    /// As long as the job is configured to send so many.
    pub(super) async fn get(&self, job: &JobName, configured: usize) -> Result<Option<usize>, Failure> {
        let kept = self.0.get_blob(Self::NAMESPACE, job.as_str()).await.map_err(state)?;
        let kept = kept.and_then(|bytes| serde_json::from_slice::<(usize, usize)>(&bytes).ok());
        Ok(kept.filter(|(of, _)| *of == configured).map(|(_, limit)| limit))
    }

    async fn set(&self, job: &JobName, configured: usize, limit: usize) -> Result<(), Failure> {
        let kept = format!("[{configured},{limit}]").into_bytes();
        self.0.put_blob(Self::NAMESPACE, job.as_str(), kept).await.map_err(state)
    }
}

impl Checkpoint for PushCheckpoint {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async {
            crash::point("push-after-read").await;
            self.sift_rows(chunk).await
        })
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        // What was sent decides, after a look at the platform, whether the record has changed since.
        let group = |record: &Record| (!self.idempotent).then(|| hex(record.digest).into());
        let doubtful = |record: &Record| Doubtful { key: record.key.clone(), group: group(record) };
        let keys = batch.records.iter().chain(&batch.gone).map(doubtful).collect();
        Box::pin(async move {
            self.store.doubt(self.job(), ENTITY, keys).await.map_err(state)?;
            crash::point("push-after-doubt").await;
            Ok(())
        })
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            crash::point("push-after-answer").await;
            self.settle_batch(batch, settled).await?;
            crash::point("push-after-settle").await;
            Ok(())
        })
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        _: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.keep_rejected(rejected))
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(self.gone.find())
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            if !self.is_step && !matches!(self.send, Send::Since(_)) {
                self.forget_unnamed().await?;
            }
            let Some(reached) = self.reached.take() else { return Ok(()) };
            let mark = NewMark { entity: ENTITY.to_owned(), value: reached.into(), walk: Walk::Keep };
            self.store.commit_watermark(&self.token, mark).await.map_err(state)
        })
    }

    fn note(&self) -> Option<String> {
        self.gone.note()
    }
}
