//! Claims, written twice: at once as one small entry for all slots due at an instant, with one flush, so that their runs
//! can start; and then in full, a slot record and a run record each, before anything else is written. A kill between the
//! two leaves the small entry, and the next start writes it in full before it reads anything.

use super::coordinator::Claim;
use super::draft::Draft;
use super::error::Fault;
use super::ledger::{change_head, interrupt_run};
use super::{Database, Inner, Writer, keys};
use crate::crash;
use crate::run::{Cause, Counts, RunId, RunRecord, Slot, SlotRecord};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What was claimed at an instant, in the order of the run ids.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Intent {
    /// When.
    now: DateTime<Utc>,
    /// The last run id given out before.
    last_run: u64,
    /// Slots of the same instant and cause stand together: a thousand jobs take about ten bytes each.
    claims: Vec<(DateTime<Utc>, Cause, Vec<JobName>)>,
    /// Up to where jobs have been accounted for.
    accounted: Vec<(DateTime<Utc>, Vec<JobName>)>,
}

impl Intent {
    pub(super) fn new(now: DateTime<Utc>, last_run: u64) -> Self {
        Self { now, last_run, ..Self::default() }
    }

    /// The claim after those it has.
    pub(super) fn claim(&mut self, Claim { slot, cause }: Claim) {
        match self.claims.last_mut() {
            Some((at, of, jobs)) if (*at, *of) == (slot.at, cause) => jobs.push(slot.job),
            _ => self.claims.push((slot.at, cause, vec![slot.job])),
        }
    }

    pub(super) fn account(&mut self, job: JobName, up_to: DateTime<Utc>) {
        match self.accounted.last_mut() {
            Some((at, jobs)) if *at == up_to => jobs.push(job),
            _ => self.accounted.push((up_to, vec![job])),
        }
    }

    /// Writes it in full.
    fn expand(self, draft: &mut Draft<'_>) -> Result<(), Fault> {
        for (at, jobs) in self.accounted {
            for job in jobs {
                change_head(draft, &job, |head| head.accounted = Some(at))?;
            }
        }
        let mut run = self.last_run;
        for (at, cause, jobs) in self.claims {
            for job in jobs {
                run += 1;
                write_claim(draft, Claim { slot: Slot { job, at }, cause }, RunId(run), self.now)?;
            }
        }
        draft.remove(keys::META_CLAIMS.to_vec());
        Ok(())
    }
}

impl Inner {
    /// Writes the last claims in full, before anything else is read or written.
    pub(super) fn expand_claims(&self, writer: &mut Writer) -> Result<(), Fault> {
        if writer.has_claims {
            expand(&self.database, writer)?;
            crash::point_blocking("before-generation");
            self.directory.set_generation(writer.generation)?;
        }
        Ok(())
    }
}

/// Writes the last claims in full, if there are any that are not. It needs no flush: until the next one comes, the small
/// entry says the same.
pub(super) fn expand(database: &Database, writer: &mut Writer) -> Result<(), Fault> {
    let mut draft = Draft::over(&database.tree);
    if let Some(intent) = draft.json::<Intent>(keys::META_CLAIMS)? {
        intent.expand(&mut draft)?;
        database.apply(draft, &mut writer.sum)?;
    }
    writer.has_claims = false;
    Ok(())
}

fn write_claim(
    draft: &mut Draft<'_>,
    Claim { slot, cause }: Claim,
    run: RunId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let key = keys::slot(keys::SLOT, &slot);
    let before: Option<SlotRecord> = draft.json(&key)?;
    let attempt = before.as_ref().map_or(0, |record| record.attempts) + 1;
    if let Some(before) = before.as_ref().filter(|record| record.outcome.is_none()) {
        interrupt_run(draft, before, now)?;
    }
    let record = SlotRecord {
        outcome: None,
        attempts: attempt,
        cause: before.map_or(cause, |record| record.cause),
        reason: None,
        run: Some(run),
        updated: now,
    };
    draft.put_json(key, &record)?;
    draft.put(keys::slot(keys::OPEN, &slot), run.0.to_be_bytes().to_vec());
    draft.remove(keys::slot(keys::PENDING, &slot));
    draft.put(keys::job_run(&slot.job, run), Vec::new());
    change_head(draft, &slot.job, |_| {})?;
    let begun = RunRecord {
        id: run,
        slot,
        attempt,
        cause,
        started: now,
        ended: None,
        outcome: None,
        counts: Counts::default(),
        message: None,
    };
    draft.put_json(keys::run(run), &begun)
}
