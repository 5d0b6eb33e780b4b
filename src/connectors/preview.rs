//! What a run of a job would do, without doing it: reads the source of a push, compares it with what is remembered, and
//! shows the first requests; of a pull, shows the request it would begin with. Sends nothing to a platform and writes
//! nothing to the state; secrets are not shown.

use super::push::Sifted;
use super::{Connectors, RECEIVES, unconfigured};
use crate::job::{Job, Push, Read, Work};
use crate::rest::{Client, PullSource, Request, RestSink, Shown};
use crate::run::{RunId, Slot};
use crate::state::Token;
use crate::transfer::{Batch, Checkpoint as _, Class, Failure, RejectClass, Rejected, Sink as _};
use crate::words::{ConnectionName, JobName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As many requests are shown; the others are counted.
const SHOWN_REQUESTS: usize = 5;
/// As much of a request's body is kept, in bytes: all of it, unless there is a file within.
const KEPT_BODY: usize = 1 << 20;
/// As many rejected rows are shown.
const SHOWN_REJECTS: usize = 5;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The job.
    pub job: JobName,
    /// What would become of the records; nothing for a pull, which would have to ask to know.
    pub counts: Option<PreviewCounts>,
    /// The first requests, in the order they would be sent.
    pub requests: Vec<PreviewedRequest>,
    /// How many more would follow, as far as that is known before any is answered.
    pub more_requests: u64,
    /// The first records that would be rejected without being sent.
    pub rejected: Vec<PreviewedReject>,
    /// Why the run would stop after these requests, or remove nothing, if it would.
    pub stops: Option<String>,
    /// Of a trial: rows of the source, each beside what becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// A row of the source beside what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The step, where the job has steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The row, as the source has it.
    pub row: serde_json::Map<String, serde_json::Value>,
    /// The record that is made of it.
    pub record: Option<serde_json::Value>,
    /// Why there is none.
    pub rejected: Option<String>,
    /// Which of the requests it goes out with, or came with, counted from 1.
    pub request: Option<usize>,
}

/// What would become of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewCounts {
    /// Records in the source.
    pub read: u64,
    /// Those never delivered before.
    pub new: u64,
    /// Those delivered before with another content, or with an answer that is not known.
    pub changed: u64,
    /// Those answered for with the same content.
    pub unchanged: u64,
    /// Those to be removed on the other side.
    pub gone: u64,
    /// Those missing from the source for the first time; they are gone if the next read misses them too.
    pub missing: u64,
    /// Those that can't be sent at all.
    pub rejected: u64,
    /// Those that wait for their parent.
    #[serde(default)]
    pub waiting: u64,
    /// Those sent by a run that was cut off, and to be looked up, or parked, before they may be sent again.
    #[serde(default)]
    pub in_doubt: u64,
}

/// A request that would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedRequest {
    /// The connection it would go over.
    pub connection: ConnectionName,
    /// The method.
    pub method: String,
    /// Scheme, host and port.
    pub origin: String,
    /// The path with its query.
    pub path: String,
    /// The headers that matter, secrets as `[secret]`.
    pub headers: BTreeMap<String, String>,
    /// The body, or the first megabyte of it.
    pub body: Option<String>,
    /// How long the whole body is.
    pub body_bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Gone records in it.
    pub gone: u64,
}

/// A record that would be rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedReject {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Connectors {
    /// What a run of the job would do now.
    ///
    /// # Errors
    /// What would keep the run from getting as far as its first request.
    pub async fn preview(&self, job: &Job) -> Result<Preview, Failure> {
        let mut preview = Preview::of(&job.name);
        // Nothing is claimed: the token only names the job.
        let slot = Slot { job: job.name.clone(), at: self.clock.now() };
        let token = Token { run: RunId(0), slot, attempt: 0 };
        match &job.work {
            Work::Pull(pull, _) => {
                let client = self.client(&pull.from)?;
                let (reader, _) = self.reader(job, pull, None).await?;
                let pull_of_run = Arc::new((**pull).clone());
                let (clock, turns) = (self.clock.clone(), self.turns(&job.name));
                let source = PullSource::new(&client, pull_of_run, reader, clock, turns);
                if let Some(request) = source.next_request()? {
                    preview.add(&client, &pull.from, &request, &Batch::default())?;
                }
            }
            Work::Push(read, push) => self.preview_push(&mut preview, read, push, token).await?,
            Work::Steps(_, steps) => {
                let mut chain = self.chain(job, &token)?;
                self.preview_steps(&mut preview, &mut chain, &steps.to).await?;
            }
            Work::Receive(..) => return Err(Failure::new(Class::Config, RECEIVES)),
            Work::Unconfigured => return Err(unconfigured()),
        }
        Ok(preview)
    }

    async fn preview_push(
        &self,
        preview: &mut Preview,
        read: &Read,
        push: &Push,
        token: Token,
    ) -> Result<(), Failure> {
        let client = self.client(&push.to)?;
        let (mut source, mut sink, mut checkpoint) = self.push(read, push, &token, &client).await?;
        let mut counts = PreviewCounts::default();
        let mut batches = Vec::new();
        while let Some(mut chunk) = source.next().await? {
            counts.read += (chunk.records.len() + chunk.rejected.len()) as u64;
            counts.unchanged += checkpoint.sift(&mut chunk).await?;
            for Rejected { key, reason, class, .. } in chunk.rejected {
                if class == RejectClass::Rejected {
                    preview.reject(&mut counts, key, reason);
                }
            }
            // What a look at the platform would come before; it may find some of these.
            let first = chunk.doubtful.into_iter().filter(|doubted| doubted.is_first);
            chunk.records.extend(first.map(|doubted| doubted.record));
            batches.extend(sink.gather(chunk.records));
            preview.take(&mut batches, &sink, &client, push, &mut counts)?;
        }
        // As in a run: what is gone is found before the last, unfilled batches are sent.
        match checkpoint.gone_mut().look().await {
            Ok((gone, missing)) => {
                (counts.gone, counts.missing) = (gone.len() as u64, missing);
                batches.extend(sink.rest(gone));
            }
            Err(failure) => preview.stops = Some(failure.message),
        }
        preview.take(&mut batches, &sink, &client, push, &mut counts)?;
        let Sifted { new, changed, waiting, in_doubt } = checkpoint.counted();
        (counts.new, counts.changed, counts.waiting, counts.in_doubt) = (new, changed, waiting, in_doubt);
        preview.stops = preview.stops.take().or_else(|| checkpoint.note());
        preview.counts = Some(counts);
        Ok(())
    }
}

impl Preview {
    /// Of a job, with nothing in it yet.
    pub(super) fn of(job: &JobName) -> Self {
        Self {
            job: job.clone(),
            counts: None,
            requests: Vec::new(),
            more_requests: 0,
            rejected: Vec::new(),
            stops: None,
            tried: Vec::new(),
        }
    }

    fn take(
        &mut self,
        batches: &mut Vec<Batch>,
        sink: &RestSink,
        client: &Client,
        push: &Push,
        counts: &mut PreviewCounts,
    ) -> Result<(), Failure> {
        for batch in batches.drain(..) {
            match sink.request_of(&batch) {
                Ok(request) => self.add(client, &push.to, &request, &batch)?,
                Err(reason) => {
                    for record in batch.records.into_iter().chain(batch.gone) {
                        self.reject(counts, record.key, reason.clone());
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        client: &Client,
        connection: &ConnectionName,
        request: &Request,
        batch: &Batch,
    ) -> Result<(), Failure> {
        if self.requests.len() == SHOWN_REQUESTS {
            self.more_requests += 1;
            return Ok(());
        }
        self.show(client, connection, request, batch)
    }

    pub(super) fn show(
        &mut self,
        client: &Client,
        connection: &ConnectionName,
        request: &Request,
        batch: &Batch,
    ) -> Result<(), Failure> {
        let Shown { origin, path, headers, body } = client.show(request)?;
        self.requests.push(PreviewedRequest {
            connection: connection.clone(),
            method: request.method.to_string(),
            origin,
            path,
            headers,
            body_bytes: body.as_ref().map_or(0, String::len) as u64,
            body: body.map(|mut body| {
                body.truncate(body.floor_char_boundary(KEPT_BODY));
                body
            }),
            records: batch.records.len() as u64,
            gone: batch.gone.len() as u64,
        });
        Ok(())
    }

    pub(super) fn reject(&mut self, counts: &mut PreviewCounts, key: String, reason: String) {
        counts.rejected += 1;
        if self.rejected.len() < SHOWN_REJECTS {
            self.rejected.push(PreviewedReject { key, reason });
        }
    }
}
