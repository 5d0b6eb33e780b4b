//! What a run of a chain would do, without doing it. What depends on an id that the platform has yet to give can't be
//! shown: such a row counts as waiting from there on.

use super::super::Connectors;
use super::super::preview::{Preview, PreviewCounts, Tried};
use super::super::push::Sifted;
use super::{Asked, Chain, Row, Stage};
use crate::job::Job;
use crate::rest::Client;
use crate::run::{RunId, Slot};
use crate::state::Token;
use crate::transfer::{Batch, Checkpoint as _, Chunk, Failure, Record, Rejected, json};
use crate::words::ConnectionName;
use std::collections::HashSet;

impl Connectors {
    pub(in super::super) async fn preview_steps(
        &self,
        preview: &mut Preview,
        chain: &mut Chain,
        to: &ConnectionName,
    ) -> Result<(), Failure> {
        let client = chain.requests.clone();
        let mut counts = PreviewCounts::default();
        for group in &mut chain.groups {
            if let Err(failure) = group.count_deletes().await {
                preview.stops = Some(failure.message);
                break;
            }
            while let Some((slices, rejected)) = group.next().await? {
                counts.read += rejected.len() as u64;
                reject(preview, &mut counts, rejected);
                for mut rows in slices {
                    counts.read += rows.len() as u64;
                    let last = group.stages.len() - 1;
                    for (at, stage) in group.stages.iter_mut().enumerate() {
                        let (stopped, waiting) =
                            stage.preview(&rows, preview, &mut counts, &client, to).await?;
                        counts.waiting += if at == last { 0 } else { waiting };
                        rows.retain(|row| !stopped.contains(&row.key));
                    }
                }
            }
            for stage in &group.stages {
                let Sifted { new, changed, in_doubt, .. } = stage.checkpoint.counted();
                counts.new += new;
                counts.changed += changed;
                counts.in_doubt += in_doubt;
            }
        }
        preview.counts = Some(counts);
        Ok(())
    }

    pub(in super::super) async fn try_steps(
        &self,
        preview: &mut Preview,
        job: &Job,
        to: &ConnectionName,
        limit: usize,
    ) -> Result<(), Failure> {
        // Nothing is claimed: the token only names the job.
        let slot = Slot { job: job.name.clone(), at: self.clock.now() };
        let mut chain = self.chain(job, &Token { run: RunId(0), slot, attempt: 0 })?;
        let client = chain.requests.clone();
        for group in &mut chain.groups {
            for row in group.sample(limit).await? {
                for stage in &mut group.stages {
                    stage.try_row(&row, preview, &client, to).await?;
                }
            }
        }
        Ok(())
    }
}

impl Stage {
    /// Shows what the step would do with these rows; gives the keys of those that would get no further,
    /// and how many of them because they wait for an id.
    async fn preview(
        &mut self,
        rows: &[Row],
        preview: &mut Preview,
        counts: &mut PreviewCounts,
        client: &Client,
        to: &ConnectionName,
    ) -> Result<(HashSet<String>, u64), Failure> {
        let Asked { mut chunk, rows: asked } = self.ask(rows).await?;
        counts.unchanged += self.checkpoint.sift(&mut chunk).await?;
        let Chunk { mut records, rejected, doubtful, gone, .. } = chunk;
        counts.gone += gone.len() as u64;
        records.extend(doubtful.into_iter().filter(|doubted| doubted.is_first).map(|doubted| doubted.record));
        reject(preview, counts, rejected);
        let sent: HashSet<String> = records.iter().chain(&gone).map(|record| record.key.clone()).collect();
        let gives_ids = !self.step.push.save.is_empty();
        let one = |record: Record| Batch { records: vec![record], ..Batch::default() };
        let gone = gone.into_iter().map(|record| Batch { gone: vec![record], ..Batch::default() });
        for batch in gone.chain(records.into_iter().map(one)) {
            match self.sink.request_of(&batch) {
                Ok(request) => preview.add(client, to, &request, &batch)?,
                Err(reason) => {
                    let all = batch.records.into_iter().chain(batch.gone);
                    all.for_each(|record| preview.reject(counts, record.key, reason.clone()));
                }
            }
        }
        let asked: Vec<&Row> = asked.into_iter().map(|at| &rows[at]).collect();
        let through = self.through(asked.iter().copied()).await?;
        let (mut stopped, mut waiting) = (HashSet::new(), 0);
        for (row, through) in asked.into_iter().zip(through) {
            let is_sent = sent.contains(&self.kept_as(row));
            waiting += u64::from(is_sent && gives_ids);
            if if is_sent { gives_ids } else { !through } {
                stopped.insert(row.key.clone());
            }
        }
        Ok((stopped, waiting))
    }

    async fn try_row(
        &mut self,
        row: &Row,
        preview: &mut Preview,
        client: &Client,
        to: &ConnectionName,
    ) -> Result<(), Failure> {
        let Chunk { records, rejected, gone, .. } = self.ask(std::slice::from_ref(row)).await?.chunk;
        let (step, fields) = (Some(self.step.name.clone()), row.fields.clone());
        let tried = Tried { step, row: fields, record: None, rejected: None, request: None };
        for Rejected { reason, .. } in rejected {
            preview.tried.push(Tried { rejected: Some(reason), ..tried.clone() });
        }
        if records.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let record = records.first().and_then(|record| json(record.content.get()).ok());
        let tried = Tried { record, ..tried };
        let batch = Batch { records, gone };
        let tried = match self.sink.request_of(&batch) {
            Ok(request) => {
                preview.show(client, to, &request, &batch)?;
                Tried { request: Some(preview.requests.len()), ..tried }
            }
            Err(reason) => Tried { rejected: Some(reason), ..tried },
        };
        preview.tried.push(tried);
        Ok(())
    }
}

fn reject(preview: &mut Preview, counts: &mut PreviewCounts, rejected: Vec<Rejected>) {
    for Rejected { key, reason, .. } in rejected {
        preview.reject(counts, key, reason);
    }
}
