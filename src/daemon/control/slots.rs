//! The slots of a day and what became of each: the ledger's, those that wait, those still to come.

use super::{DaemonControl, internal};
use crate::admin::control::{Answer, SlotRow};
use crate::job::Job;
use crate::run::SlotRange;
use crate::schedule;
use crate::words::JobName;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::ops::Range;

/// As many slots still to come are shown of a day: a job due every second has 86,400.
const UPCOMING: usize = 2_000;

impl DaemonControl {
    pub(super) async fn slots_of(&self, name: JobName, date: Option<NaiveDate>) -> Answer<Vec<SlotRow>> {
        let job = self.job(&name)?;
        let zone = self.zone(&job);
        let now = self.clock.now();
        let date = date.unwrap_or_else(|| now.with_timezone(&zone).date_naive());
        let Range { start: from, end: until } = schedule::day(date, zone);
        let ledger = self.store.slots(&name, from, until).await.map_err(internal)?;
        let row = |at| SlotRow {
            at,
            until: None,
            slots: 1,
            outcome: None,
            attempts: 0,
            run: None,
            reason: None,
            timezone: zone.name().to_owned(),
        };
        let mut rows = Vec::new();
        for (at, record) in ledger.records {
            let reason = record.reason;
            rows.push(SlotRow {
                outcome: record.outcome,
                attempts: record.attempts,
                run: record.run,
                reason,
                ..row(at)
            });
        }
        for range in ledger.ranges {
            if let Some((first, last, slots)) = clip(&job, &range, from, until) {
                rows.push(SlotRow {
                    until: (slots > 1).then_some(last),
                    slots,
                    outcome: Some(range.outcome),
                    reason: Some(range.reason),
                    ..row(first)
                });
            }
        }
        let view = self.store.job_view(&name).await.map_err(internal)?;
        for (at, _) in view.pending.iter().filter(|(at, _)| (from..until).contains(at)) {
            rows.push(SlotRow { reason: Some("waits for its run".to_owned()), ..row(*at) });
        }
        if let (true, Some(timetable)) = (job.is_live(), job.trigger.timetable()) {
            let decided = view.accounted.map_or(now, |at| at + TimeDelta::seconds(1));
            rows.extend(timetable.slots(decided.max(from), until).take(UPCOMING).map(row));
        }
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }
}

/// The part of a stretch that lies in `[from, until)`.
fn clip(
    job: &Job,
    range: &SlotRange,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<(DateTime<Utc>, DateTime<Utc>, u64)> {
    if range.first >= from && range.last < until {
        return Some((range.first, range.last, range.slots));
    }
    let timetable = job.trigger.timetable()?;
    let (first, last) = (range.first.max(from), range.last.min(until - TimeDelta::seconds(1)));
    let mut slots = timetable.slots(first, last + TimeDelta::seconds(1));
    let first = slots.next()?;
    let (count, last) = slots.fold((1, first), |(count, _), at| (count + 1, at));
    Some((first, last, count))
}
