//! What the status page shows, put together from what `/health` and `cadenced status` say and from the ledger.

use super::{DaemonControl, Extra, internal};
use crate::admin::Refusal;
use crate::admin::control::{Answer, Control as _, JobHealth};
use crate::admin::overview::{JobOverview, LAST_SLOTS, NEXT_SLOTS, Overview};
use crate::job::{Job, Work};
use crate::planner::STEP_BACK;
use chrono::{DateTime, TimeDelta, Utc};

impl DaemonControl {
    pub(super) async fn overview_now(&self) -> Overview {
        let at = self.clock.now();
        let read = self.jobs_now(at).await;
        let of = |job: &JobOverview| (job.status.job.clone(), job.status.health.clone());
        let health =
            self.health_of(read.as_ref().map(|jobs| jobs.iter().map(of).collect()).map_err(Clone::clone));
        let timezone = self.reloader.set().settings.timezone.name().to_owned();
        Overview { at, timezone, readiness: self.readiness(), health, jobs: read.unwrap_or_default() }
    }

    async fn jobs_now(&self, now: DateTime<Utc>) -> Answer<Vec<JobOverview>> {
        let conditions = self.conditions().await?;
        let names = conditions.iter().map(|(job, ..)| job.name.clone()).collect();
        // Slots that a clock wrote down when it was far ahead are no news.
        let last = self.store.last_slots(names, now + STEP_BACK, LAST_SLOTS).await;
        let mut last = last.map_err(internal)?;
        let shown = |(job, health, extra): (Job, JobHealth, Extra)| {
            let next = health.next_slot;
            let is_called = matches!(job.work, Work::Receive(..));
            let last = last.remove(&job.name).unwrap_or_default();
            let status = self.status_of(&job, health, extra);
            (job, next, JobOverview { status, due: String::new(), is_called, last, next: Vec::new() })
        };
        let jobs: Vec<_> = conditions.into_iter().map(shown).collect();
        // A calendar may have to be searched for years.
        let with_next = move || {
            let of = |(job, first, mut shown): (Job, _, JobOverview)| {
                shown.due = job.when();
                shown.next = next_slots(&job, first);
                shown
            };
            jobs.into_iter().map(of).collect()
        };
        let jobs = tokio::task::spawn_blocking(with_next).await;
        jobs.map_err(|error| Refusal::Internal { message: format!("the next slots of the jobs: {error}") })
    }
}

/// The slot that the scheduler waits for, and those after it.
fn next_slots(job: &Job, first: Option<DateTime<Utc>>) -> Vec<DateTime<Utc>> {
    let Some(first) = first else { return Vec::new() };
    let after = job
        .trigger
        .timetable()
        .map(|timetable| timetable.slots(first + TimeDelta::seconds(1), DateTime::<Utc>::MAX_UTC));
    std::iter::once(first).chain(after.into_iter().flatten()).take(NEXT_SLOTS).collect()
}
