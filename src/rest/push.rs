//! A platform as the sink of a push: records become batches by their group, a batch becomes a request, and a refused
//! request is halved until the refused records stand alone.
//!
//! Promises: one bad record never stops its batch; a request is never larger than the push allows; a gone record is in
//! exactly one accepted request; a record counts as accepted only where the body says so too. What may not be sent twice
//! is not, once it may have been carried out, unless a look at the platform says that it is not there. What was
//! delivered before, and what is gone, is for others to know.

mod deliver;
mod gather;
mod read_back;
mod upload;

pub use upload::{UploadSteps, Uploading};

use super::Client;
use super::lookup::{Listing, Sight, list, listed_as, look};
use super::request::{BadPath, Request, expand_path};
use super::rows::fields_of;
use super::shape::Shape;
use crate::job;
use crate::job::PushGone;
use crate::job::map::plain_text;
use crate::transfer::files::Files;
use crate::transfer::{
    Batch, Digest, Doubted, Failure, LookedUp, Record, RejectClass, Rejected, Settled, Sink,
};
use crate::words::FieldPath;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gather::Groups;
use reqwest::Method;
use std::collections::HashSet;
use std::sync::Arc;
use upload::Uploads;

/// The platform's end of a push.
#[derive(Debug)]
pub struct RestSink {
    client: Client,
    push: job::Push,
    shape: Shape,
    groups: Groups,
    tally: Tally,
    /// What the platform had before this run created anything.
    listing: Option<Listing>,
    uploads: Option<Arc<Uploads>>,
}

/// What this run has heard so far.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Requests in a row of which it is not known whether they were carried out.
    unheard: usize,
    /// What was answered 404, as long as nothing was accepted: paths, or records where all have one path.
    lost: HashSet<String>,
    /// The keys of the records refused with it.
    lost_keys: Vec<String>,
}

impl RestSink {
    /// A sink for one run of a push; its count of requests starts at 0. `limit` is what an earlier run found to be the
    /// most records a request may have.
    #[must_use]
    pub fn new(client: Arc<Client>, push: &job::Push, limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX).min(push.batch_records).max(1);
        Self {
            client: client.for_run(),
            push: push.clone(),
            shape: Shape::of(&push.body),
            groups: Groups::new(limit, push.batch_bytes),
            tally: Tally::default(),
            listing: None,
            uploads: None,
        }
    }

    /// The same for records that carry files: these, their uploads remembered in `steps`.
    #[must_use]
    pub fn with_uploads(mut self, files: Files, steps: Arc<dyn UploadSteps>) -> Self {
        let uploads =
            self.push.upload.as_deref().map(|upload| Uploads { upload: upload.clone(), files, steps });
        self.uploads = uploads.map(Arc::new);
        self
    }

    /// The request that a batch goes out as, if all of it can.
    ///
    /// # Errors
    /// Why none of its records can be sent.
    pub fn request_of(&self, batch: &Batch) -> Result<Request, String> {
        if let (PushGone::Delete(_), [], [gone]) = (&self.push.on_gone, &*batch.records, &*batch.gone) {
            return self.removal(gone).map_err(|error| error.to_string());
        }
        if let (Some(_), [record]) = (&self.push.upload, &*batch.records) {
            return self.beginning(record);
        }
        let path = self.path_of(batch).map_err(|error| error.to_string())?;
        let lines = Lines::of(batch, &self.push.on_gone);
        Ok(self.request(path, &lines.records, &lines.gone))
    }

    fn path_of(&self, batch: &Batch) -> Result<String, BadPath> {
        let any = batch.records.first().or(batch.gone.first());
        expand_path(&self.push.path, |name| {
            let place = self.push.group_by.iter().position(|column| column == name)?;
            any?.group.get(place).cloned()
        })
    }

    fn request(&self, path: String, records: &[&Record], gone: &[&Record]) -> Request {
        let method = method(self.push.method);
        let body = self.shape.fill(records.iter().copied(), gone);
        Request { method, path, query: Vec::new(), body, idempotent: self.push.idempotent }
    }

    /// The request that removes one gone record.
    fn removal(&self, gone: &Record) -> Result<Request, BadPath> {
        let PushGone::Delete(path) = &self.push.on_gone else {
            return Err(BadPath::Missing("path".to_owned()));
        };
        let path = expand_path(path, |name| {
            let value = fields_of(&gone.content, &[FieldPath::new(name).ok()?]).pop().flatten()?;
            Some(plain_text(&value))
        })?;
        Ok(Request { method: Method::DELETE, path, query: Vec::new(), body: None, idempotent: true })
    }
}

impl Sink for RestSink {
    fn gather(&mut self, records: Vec<Record>) -> Vec<Batch> {
        self.groups.add(records)
    }

    /// Where the platform can't be told of gone records they are left out.
    fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch> {
        match self.push.on_gone {
            PushGone::Ignore => self.groups.rest(Vec::new()),
            PushGone::Body | PushGone::Zero(_) => self.groups.rest(gone),
            PushGone::Delete(_) => {
                let mut batches = self.groups.rest(Vec::new());
                batches.extend(gone.into_iter().map(|gone| Batch { gone: vec![gone], ..Batch::default() }));
                batches
            }
        }
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>> {
        match self.uploads.clone() {
            Some(uploads) => async move { Ok(self.upload(&uploads, batch).await) }.boxed(),
            None => self.deliver(batch).map(Ok).boxed(),
        }
    }

    fn look_up(&mut self, doubtful: Vec<Doubted>) -> BoxFuture<'_, Result<LookedUp, Failure>> {
        self.look_for(doubtful).boxed()
    }

    fn requests(&self) -> u64 {
        self.client.requests_sent()
    }
}

impl RestSink {
    async fn look_for(&mut self, doubtful: Vec<Doubted>) -> Result<LookedUp, Failure> {
        let mut looked_up = LookedUp::default();
        let Some(verify) = self.push.verify.clone() else {
            looked_up.due = doubtful.into_iter().map(|doubted| doubted.record).collect();
            return Ok(looked_up);
        };
        for Doubted { mut record, sent, is_first } in doubtful {
            let sight = match listed_as(&verify, &record).filter(|_| is_first && verify.is_list()) {
                Some(name) => self.sight_in_list(&verify, &name).await?,
                None => look(&self.client, &verify, &self.push.save, &record).await?,
            };
            let sight = match sight {
                Sight::There(None) if self.push.creates && !self.push.save.is_empty() => {
                    Sight::Unknowable("its row holds none of `save`".to_owned())
                }
                sight => sight,
            };
            match sight {
                Sight::There(link) if self.push.creates => {
                    // What it holds is for an update to put right: created again it would be there twice.
                    looked_up.settled.links.extend(link.map(|link| (record.key.clone(), link)));
                    record.digest = sent.unwrap_or(Digest::UNKNOWN);
                    looked_up.batch.records.push(record);
                }
                Sight::There(_) if sent.is_none_or(|sent| sent == record.digest) => {
                    looked_up.batch.records.push(record);
                }
                Sight::There(_) | Sight::Missing => {
                    // Out of doubt first: it is in doubt anew with what it holds now.
                    looked_up.settled.left.insert(record.key.clone());
                    looked_up.due.push(record);
                }
                Sight::Unknowable(words) => {
                    let sent = if is_first { "" } else { "it was sent and not answered, and " };
                    let reason =
                        format!("{sent}a look at the platform does not say whether it is there: {words}");
                    let rejected = Rejected::record(&record, reason).class(RejectClass::Unknown);
                    looked_up.settled.rejected.push(rejected);
                    looked_up.batch.records.push(record);
                }
            }
        }
        Ok(looked_up)
    }

    /// Looks in the list as it was when the run first needed it: what was created since is known to have been.
    async fn sight_in_list(&mut self, verify: &job::Verify, name: &str) -> Result<Sight, Failure> {
        let listing = match &self.listing {
            Some(listing) => listing,
            None => self.listing.insert(list(&self.client, verify, &self.push.save).await?),
        };
        Ok(listing.get(name).cloned().map_or(Sight::Missing, Sight::There))
    }
}

fn method(method: job::push::Method) -> Method {
    match method {
        job::push::Method::Post => Method::POST,
        job::push::Method::Put => Method::PUT,
        job::push::Method::Patch => Method::PATCH,
        job::push::Method::Delete => Method::DELETE,
    }
}

/// The records and gone ones of a batch in one line, so that they are halved alike.
struct Lines<'a> {
    /// What goes where the body says `$records`.
    records: Vec<&'a Record>,
    /// What goes where it says `$gone`.
    gone: Vec<&'a Record>,
}

impl<'a> Lines<'a> {
    fn of(batch: &'a Batch, on_gone: &PushGone) -> Self {
        match on_gone {
            PushGone::Zero(_) => {
                Self { records: batch.records.iter().chain(&batch.gone).collect(), gone: Vec::new() }
            }
            _ => Self { records: batch.records.iter().collect(), gone: batch.gone.iter().collect() },
        }
    }

    fn len(&self) -> usize {
        self.records.len() + self.gone.len()
    }

    fn at(&self, line: usize) -> &'a Record {
        self.records.get(line).unwrap_or_else(|| &self.gone[line - self.records.len()])
    }

    fn part(&self, part: std::ops::Range<usize>) -> (&[&'a Record], &[&'a Record]) {
        let records = self.records.len();
        let gone = part.start.max(records) - records..part.end.max(records) - records;
        (&self.records[part.start.min(records)..part.end.min(records)], &self.gone[gone])
    }
}
