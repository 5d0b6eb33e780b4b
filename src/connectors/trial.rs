//! The first rows of a job's source beside what becomes of them: the record that is made of each, and the request that
//! record goes out with. Of a push nothing is sent; of a pull one page is asked for, since its rows are there and nowhere
//! else, and nothing is written. Neither looks at, or changes, what was delivered before.

use super::preview::{Preview, Tried};
use super::push::Limit;
use super::{Connectors, RECEIVES, unconfigured};
use crate::erp::{FileSource, SqlSource};
use crate::job::{Job, Pull, Push, Read, Work, Write};
use crate::rest::{PullSource, RestSink};
use crate::transfer::files::Files;
use crate::transfer::{Batch, Class, Failure, Sink as _, Source as _, json};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

impl Connectors {
    /// Tries the map of a job on the first `limit` rows that are wanted.
    ///
    /// # Errors
    /// What would keep a run from getting as far as its first record.
    pub async fn try_rows(&self, job: &Job, limit: usize) -> Result<Preview, Failure> {
        let mut preview = Preview::of(&job.name);
        match &job.work {
            Work::Push(read, push) => self.try_push(&mut preview, read, push, limit).await?,
            Work::Pull(pull, write) => self.try_pull(&mut preview, job, pull, write, limit).await?,
            Work::Steps(_, steps) => self.try_steps(&mut preview, job, &steps.to, limit).await?,
            Work::Receive(..) => return Err(Failure::new(Class::Config, RECEIVES)),
            Work::Unconfigured => return Err(unconfigured()),
        }
        Ok(preview)
    }

    async fn try_push(
        &self,
        preview: &mut Preview,
        read: &Read,
        push: &Push,
        limit: usize,
    ) -> Result<(), Failure> {
        let client = self.client(&push.to)?;
        let mapper = self.mapper(&push.shaping)?;
        let mut rows = SqlSource::new(self.database(&read.from)?, read, mapper, push.group_by.clone());
        let batch_limit = Limit::of(&self.store).get(&preview.job, push.batch_records).await?;
        let mut sink = RestSink::new(Arc::clone(&client), push, batch_limit);
        let mut records = Vec::new();
        let mut keys = Vec::new();
        let samples = match &push.upload {
            Some(upload) => {
                FileSource::new(rows, upload.file.clone(), Files::default()).sample(limit).await?
            }
            None => rows.sample(limit).await?,
        };
        for sample in samples {
            let mut tried =
                Tried { step: None, row: sample.row, record: None, rejected: None, request: None };
            match sample.record {
                Ok(record) => {
                    tried.record = json(record.content.get()).ok();
                    keys.push(record.key.clone());
                    records.push(record);
                }
                Err(rejected) => {
                    tried.rejected = Some(rejected.reason);
                    keys.push(rejected.key);
                }
            }
            preview.tried.push(tried);
        }
        let mut batches = sink.gather(records);
        batches.extend(sink.rest(Vec::new()));
        let mut asked: HashMap<String, Result<usize, String>> = HashMap::new();
        for batch in batches {
            let request = sink.request_of(&batch);
            if let Ok(request) = &request {
                preview.show(&client, &push.to, request, &batch)?;
            }
            let said = request.map(|_| preview.requests.len());
            asked.extend(batch.records.into_iter().map(|record| (record.key, said.clone())));
        }
        for (tried, key) in preview.tried.iter_mut().zip(&keys).filter(|(tried, _)| tried.rejected.is_none())
        {
            match asked.get(key) {
                Some(Ok(request)) => tried.request = Some(*request),
                Some(Err(reason)) => tried.rejected = Some(reason.clone()),
                None => {}
            }
        }
        Ok(())
    }

    async fn try_pull(
        &self,
        preview: &mut Preview,
        job: &Job,
        pull: &Pull,
        write: &Write,
        limit: usize,
    ) -> Result<(), Failure> {
        let client = self.client(&pull.from)?;
        let mut mapper = self.mapper(&write.shaping)?;
        let (reader, _) = self.reader(job, pull, None).await?;
        let (clock, turns) = (self.clock.clone(), self.turns(&job.name));
        let mut source = PullSource::new(&client, Arc::new(pull.clone()), reader, clock, turns);
        if let Some(request) = source.next_request()? {
            preview.show(&client, &pull.from, &request, &Batch::default())?;
        }
        let Some(mut chunk) = source.next().await? else { return Ok(()) };
        chunk.records.truncate(limit);
        source.follow(&mut chunk).await?;
        let request = Some(1);
        for record in chunk.records {
            let row = match json(record.content.get()) {
                Ok(Value::Object(row)) => row,
                _ => serde_json::Map::new(),
            };
            let (record, rejected) = if mapper.wants(&row) {
                match mapper.map(vec![row.clone()]).await?.pop() {
                    Some(Ok(fields)) => (Some(Value::Object(fields)), None),
                    Some(Err(reason)) => (None, Some(reason)),
                    None => (None, None),
                }
            } else {
                (None, Some("left out: `where` does not hold for it".to_owned()))
            };
            preview.tried.push(Tried { step: None, row, record, rejected, request });
        }
        Ok(())
    }
}
