//! Which runs a day has, if every run takes as long as its job's runs do: slots in nominal order, overlap and locks as
//! the planner treats them, children after their parents. Nothing fails and nobody pauses anything.

use crate::job::{Estimate, Job, Trigger};
use crate::schedule::{Overlap, Slots, splay_of};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

/// A run of the day. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// When it starts.
    pub(super) begin: i64,
    /// When it ends.
    pub(super) end: i64,
}

/// The day of one job.
#[derive(Debug, Default)]
pub(super) struct Day {
    /// Its slots: those of its timetable, or one for each run of a parent.
    pub(super) slots: u64,
    /// Its runs, in order.
    pub(super) runs: Vec<Run>,
    /// What became of slots that came while a run was still going.
    pub(super) late: Option<Late>,
}

/// Slots that came while a run was still going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    /// The first of them.
    pub(super) first: i64,
    /// How many.
    pub(super) slots: u64,
    /// How many of them never run.
    pub(super) skipped: u64,
    /// The longest any of them had to wait, or would have had to.
    pub(super) longest: i64,
}

struct Lane<'a> {
    name: &'a JobName,
    duration: i64,
    splay: i64,
    overlap: Overlap,
    lock: Option<&'a str>,
    slots: Option<Slots>,
    children: Vec<usize>,
}

/// Lays the day out. `jobs` come with what a run of them costs.
pub(super) fn lay<'a>(
    jobs: &[(&'a Job, Estimate)],
    day: &Range<DateTime<Utc>>,
) -> BTreeMap<&'a JobName, Day> {
    let mut lanes: Vec<Lane<'a>> = jobs.iter().map(|(job, cost)| lane(job, *cost, jobs, day)).collect();
    let mut days: Vec<Day> = lanes.iter().map(|_| Day::default()).collect();
    let mut free: BTreeMap<&str, i64> = BTreeMap::new();
    let mut due = BinaryHeap::new();
    for (index, lane) in lanes.iter_mut().enumerate() {
        due.extend(next_slot(lane).map(|at| Reverse((at, index))));
    }
    while let Some(Reverse((at, index))) = due.pop() {
        let lane = &mut lanes[index];
        due.extend(next_slot(lane).map(|at| Reverse((at, index))));
        let unlocked = lane.lock.and_then(|lock| free.get(lock)).copied().unwrap_or(i64::MIN);
        let Some(run) = days[index].due(at, unlocked, lane) else { continue };
        free.extend(lane.lock.map(|lock| (lock, run.end)));
        if run.end < day.end.timestamp_millis() {
            due.extend(lane.children.iter().map(|child| Reverse((run.end, *child))));
        }
    }
    lanes.iter().map(|lane| lane.name).zip(days).collect()
}

fn lane<'a>(
    job: &'a Job,
    cost: Estimate,
    jobs: &[(&'a Job, Estimate)],
    day: &Range<DateTime<Utc>>,
) -> Lane<'a> {
    let follows =
        |other: &Job| matches!(&other.trigger, Trigger::After(parents) if parents.contains(&job.name));
    let timetable = job.trigger.timetable();
    let splay = timetable.map_or(Duration::ZERO, |table| splay_of(job.name.as_str(), table.spec().splay));
    Lane {
        name: &job.name,
        // A run is cut off at its time-out.
        duration: millis(cost.duration.min(job.policy.timeout)),
        splay: millis(splay),
        overlap: job.policy.overlap,
        lock: job.policy.lock.as_deref(),
        slots: timetable.map(|timetable| timetable.slots(day.start, day.end)),
        children: (0..jobs.len()).filter(|index| follows(jobs[*index].0)).collect(),
    }
}

fn next_slot(lane: &mut Lane<'_>) -> Option<i64> {
    lane.slots.as_mut()?.next().map(|at| at.timestamp_millis())
}

/// Half of all time is as good as for ever, and can be added to an instant.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

impl Day {
    /// A slot is due; gives its run, if it gets one.
    fn due(&mut self, at: i64, unlocked: i64, lane: &Lane<'_>) -> Option<Run> {
        self.slots += 1;
        let last = self.runs.last().copied();
        let busy = last.filter(|last| last.end > at);
        let mut begin = at.saturating_add(lane.splay).max(unlocked);
        if let Some(last) = busy {
            // A slot that still waits gives way to the next one; only one waits.
            let skipped = lane.overlap == Overlap::Skip || last.begin > at;
            let late = self.late.get_or_insert(Late { first: at, slots: 0, skipped: 0, longest: 0 });
            late.slots += 1;
            late.skipped += u64::from(skipped);
            late.longest = late.longest.max(if last.begin > at { last.begin } else { last.end } - at);
            if skipped {
                return None;
            }
            begin = begin.max(last.end);
        }
        let run = Run { begin, end: begin.saturating_add(lane.duration) };
        self.runs.push(run);
        Some(run)
    }
}
