//! A platform as the sink of a push: records become batches by their group, a batch becomes a request, and a refused
//! request is halved until the refused records stand alone.
//!
//! Promises: one bad record never stops its batch; a request is never larger than the push allows; a gone record is
//! in exactly one accepted request; `write` says accepted only where the body says so too. What was delivered
//! before, and what is gone, is for others to know.

use super::Client;
use super::request::{Answer, BadPath, Request, expand_path};
use super::shape::Shape;
use super::verdict::{self, Verdict};
use crate::job;
use crate::transfer::{Batch, Class, Failure, Record, Rejected, Settled, Sink};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tracing::{debug, warn};

/// Records held for all groups together, in batches.
const HELD_BATCHES: usize = 4;
/// So many records refused one by one, and none accepted, make it likely that not the records are at fault.
const SUSPICIOUS: usize = 8;

/// The platform's end of a push.
#[derive(Debug)]
pub struct RestSink {
    client: Client,
    push: job::Push,
    shape: Shape,
    /// Records in one request, at most; halves when the platform finds a request too large.
    limit: usize,
    /// What isn't a full batch yet, by group.
    open: BTreeMap<Vec<String>, Vec<Record>>,
    held: usize,
}

impl RestSink {
    /// A sink for one run of a push; its count of requests starts at 0.
    #[must_use]
    pub fn new(client: Arc<Client>, push: &job::Push) -> Self {
        Self {
            client: client.for_run(),
            push: push.clone(),
            shape: Shape::of(&push.body),
            limit: push.batch_records.max(1),
            open: BTreeMap::new(),
            held: 0,
        }
    }
}

impl Sink for RestSink {
    fn gather(&mut self, records: Vec<Record>) -> Vec<Batch> {
        let mut full = Vec::new();
        for record in records {
            let group = record.group.clone();
            let open = self.open.entry(group.clone()).or_default();
            open.push(record);
            self.held += 1;
            if open.len() >= self.limit {
                self.close(&group, &mut full);
            } else if self.held >= HELD_BATCHES * self.limit {
                self.close_largest(&mut full);
            }
        }
        full
    }

    /// Where the body has no place for gone records they are left out: the platform can't be told.
    fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch> {
        let mut groups: BTreeMap<Vec<String>, Batch> = BTreeMap::new();
        for (group, records) in std::mem::take(&mut self.open) {
            groups.entry(group).or_default().records = records;
        }
        self.held = 0;
        if self.shape.tells_gone() {
            for record in gone {
                groups.entry(record.group.clone()).or_default().gone.push(record);
            }
        }
        groups.into_values().flat_map(|batch| cut(batch, self.limit)).collect()
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>> {
        self.deliver(batch).boxed()
    }

    fn requests(&self) -> u64 {
        self.client.requests_sent()
    }
}

impl RestSink {
    fn close(&mut self, group: &[String], full: &mut Vec<Batch>) {
        let records = self.open.remove(group).unwrap_or_default();
        self.held -= records.len();
        full.extend(cut(Batch { records, gone: Vec::new() }, self.limit));
    }

    /// Makes room for a while, not for one record: with many small groups, each call would look at all of them.
    fn close_largest(&mut self, full: &mut Vec<Batch>) {
        let mut by_size: Vec<_> = self.open.iter().map(|(group, open)| (open.len(), group.clone())).collect();
        by_size.sort_unstable_by(|a, b| b.cmp(a));
        for (_, group) in by_size {
            if self.held <= HELD_BATCHES * self.limit / 2 {
                break;
            }
            self.close(&group, full);
        }
    }

    /// The request that a batch goes out as, if all of it can.
    ///
    /// # Errors
    /// Why none of its records can be sent.
    pub fn request_of(&self, batch: &Batch) -> Result<Request, String> {
        let path = self.path_of(batch).map_err(|error| error.to_string())?;
        Ok(self.request(path, &batch.records, &batch.gone.iter().collect::<Vec<_>>()))
    }

    fn path_of(&self, batch: &Batch) -> Result<String, BadPath> {
        let any = batch.records.first().or(batch.gone.first());
        expand_path(&self.push.path, |name| {
            let place = self.push.group_by.iter().position(|column| column == name)?;
            any?.group.get(place).cloned()
        })
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Settled, Failure> {
        let mut settled = Settled::default();
        let path = match self.path_of(batch) {
            Ok(path) => path,
            Err(error) => {
                let all = batch.records.iter().chain(&batch.gone);
                settled.rejected.extend(all.map(|record| rejected(record, &error.to_string())));
                return Ok(settled);
            }
        };
        let mut lines = Lines { records: &batch.records, gone: Vec::new() };
        for gone in &batch.gone {
            match self.shape.lacking(gone) {
                Some(field) => {
                    let reason = format!("the gone record has no `{field}` to tell the platform");
                    settled.rejected.push(rejected(gone, &reason));
                }
                None => lines.gone.push(gone),
            }
        }
        self.halve(&path, &lines, &mut settled).await?;
        Ok(settled)
    }

    /// Sends the lines, in halves where they are refused, down to the refused ones. One bad line of n costs
    /// 2·⌈log₂ n⌉ + 1 requests.
    async fn halve(&mut self, path: &str, lines: &Lines<'_>, settled: &mut Settled) -> Result<(), Failure> {
        let mut parts: Vec<Range<usize>> = std::iter::once(0..lines.len()).collect();
        let (mut accepted, mut alone) = (0, 0);
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let (status, words) = match self.send(path, lines, part.clone()).await? {
                (_, Verdict::Accepted) => {
                    accepted += part.len();
                    continue;
                }
                (_, Verdict::Some(refused)) => {
                    accepted += part.len() - refused.len();
                    let refused = refused.into_iter().map(|(place, words)| (part.start + place, words));
                    settled.rejected.extend(refused.map(|(line, words)| rejected(lines.at(line), &words)));
                    continue;
                }
                (status, Verdict::Refused(words)) => (status, words),
            };
            if part.len() > 1 {
                let middle = part.start + part.len().div_ceil(2);
                if status == 413 {
                    self.limit = self.limit.min(middle - part.start);
                    warn!(limit = self.limit, "the platform finds a request too large; batches are halved");
                }
                debug!(lines = part.len(), "refused, sent again in halves: {words}");
                parts.push(middle..part.end);
                parts.push(part.start..middle);
                continue;
            }
            settled.rejected.push(rejected(lines.at(part.start), &words));
            alone += 1;
            if accepted == 0
                && alone == SUSPICIOUS
                && let Some(last) = parts.first_mut().filter(|last| last.len() > 1)
            {
                // The other end of the batch decides: a path or group that is wrong refuses every line, and halving
                // ten thousand of them would take twenty thousand requests to say so.
                last.end -= 1;
                let probe = last.end..last.end + 1;
                match self.send(path, lines, probe.clone()).await? {
                    (_, Verdict::Accepted) => accepted += 1,
                    (_, Verdict::Refused(words)) => {
                        let left = parts.drain(..).chain([probe]).flatten();
                        let tried = alone + 1;
                        let reason = format!(
                            "{words} (so were {tried} records sent alone; the rest of the batch was not)"
                        );
                        settled.rejected.extend(left.map(|line| rejected(lines.at(line), &reason)));
                    }
                    (_, Verdict::Some(refused)) => settled
                        .rejected
                        .extend(refused.iter().map(|(_, words)| rejected(lines.at(probe.start), words))),
                }
            }
        }
        Ok(())
    }

    /// Sends some of the lines as one request; the status comes along for what it says of the request's size.
    async fn send(
        &self,
        path: &str,
        lines: &Lines<'_>,
        part: Range<usize>,
    ) -> Result<(u16, Verdict), Failure> {
        let is_one = part.len() == 1;
        let (records, gone) = lines.part(part);
        let request = self.request(path.to_owned(), records, gone);
        let removes = request.method == Method::DELETE;
        let answer = self.client.call(&request).await?;
        let status = answer.status;
        let verdict = match status {
            200..=299 => of_success(answer, records).await?,
            404 if removes && is_one => Verdict::Accepted,
            400 | 404 | 409 | 410 | 413 | 422 => Verdict::Refused(answer.refusal().message),
            405 | 406 | 414 | 415 => return Err(answer.failure(Class::Config)),
            _ => return Err(answer.refusal()),
        };
        Ok((status, verdict))
    }

    fn request(&self, path: String, records: &[Record], gone: &[&Record]) -> Request {
        let method = match self.push.method {
            job::push::Method::Post => Method::POST,
            job::push::Method::Put => Method::PUT,
            job::push::Method::Patch => Method::PATCH,
            job::push::Method::Delete => Method::DELETE,
        };
        Request {
            method,
            path,
            query: Vec::new(),
            body: self.shape.fill(records, gone),
            // Keys in doubt are sent again by the next run whatever we do here: not trying again within this one
            // would only put the same repetition off.
            idempotent: true,
        }
    }
}

/// What a 2xx answer says, read where a large one may block.
async fn of_success(mut answer: Answer, records: &[Record]) -> Result<Verdict, Failure> {
    let read = move || verdict::document(&mut answer).map(|document| (answer, document));
    let read = tokio::task::spawn_blocking(read).await;
    let (answer, document) = read.map_err(|error| Failure::new(Class::Answer, error.to_string()))??;
    Ok(verdict::of(document.as_ref(), records).map_words(|words| answer.with_words(&words)))
}

/// The records and gone ones of a batch in one line, so that they are halved alike.
struct Lines<'a> {
    records: &'a [Record],
    gone: Vec<&'a Record>,
}

impl<'a> Lines<'a> {
    fn len(&self) -> usize {
        self.records.len() + self.gone.len()
    }

    fn at(&self, line: usize) -> &'a Record {
        self.records.get(line).unwrap_or_else(|| self.gone[line - self.records.len()])
    }

    fn part(&self, part: Range<usize>) -> (&'a [Record], &[&'a Record]) {
        let records = self.records.len();
        let gone = part.start.max(records) - records..part.end.max(records) - records;
        (&self.records[part.start.min(records)..part.end.min(records)], &self.gone[gone])
    }
}

/// Cuts a batch into requests of at most `limit` lines; the gone ones fill up the last one of records.
fn cut(batch: Batch, limit: usize) -> Vec<Batch> {
    let mut cut: Vec<Batch> = Vec::new();
    for record in batch.records {
        last_with_room(&mut cut, limit).records.push(record);
    }
    for record in batch.gone {
        last_with_room(&mut cut, limit).gone.push(record);
    }
    cut
}

fn last_with_room(cut: &mut Vec<Batch>, limit: usize) -> &mut Batch {
    let place = match cut.last() {
        Some(last) if last.records.len() + last.gone.len() < limit => cut.len() - 1,
        _ => {
            cut.push(Batch::default());
            cut.len() - 1
        }
    };
    &mut cut[place]
}

fn rejected(record: &Record, reason: &str) -> Rejected {
    Rejected { key: record.key.clone(), content: record.content.get().to_owned(), reason: reason.to_owned() }
}
