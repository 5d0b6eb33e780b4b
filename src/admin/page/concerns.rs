//! What needs attention, the worst first, each with what to do about it. Jobs that share a reason are one concern: where
//! the disk is full a thousand jobs say so.

use super::super::control::{Condition, ConnectionHealth};
use super::super::overview::{JobOverview, Overview};
use crate::run::Outcome;
use crate::words::{ConnectionName, JobName};
use chrono::TimeDelta;
use std::collections::HashMap;

/// For how long it matters that a slot was not run.
const RECENTLY: TimeDelta = TimeDelta::hours(24);

/// Something a person should look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Concern<'a> {
    pub(super) level: Level,
    pub(super) of: Of<'a>,
    pub(super) why: &'a str,
    pub(super) todo: Vec<Todo>,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    Failing,
    Degraded,
    /// Slots were not run; the job itself is well.
    Skipped,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Failing => Condition::Failing.as_str(),
            Self::Degraded => Condition::Degraded.as_str(),
            Self::Skipped => Outcome::Skipped.as_str(),
        }
    }
}

/// What it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Of<'a> {
    Configuration,
    State,
    Connection(&'a ConnectionName, &'a ConnectionHealth),
    Jobs(Vec<&'a JobName>),
}

/// A command and what it is for; the name of what it is about stands between the two parts of the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Todo {
    pub(super) to: &'static str,
    pub(super) command: (&'static str, &'static str),
}

const fn todo(to: &'static str, before: &'static str, after: &'static str) -> Todo {
    Todo { to, command: (before, after) }
}

/// All there is, the worst first.
pub(super) fn concerns(overview: &Overview) -> Vec<Concern<'_>> {
    let mut found = Vec::new();
    let reload = &overview.health.reload;
    if let Some(why) = reload.why.as_deref() {
        found.push(match overview.is_blind() {
            true => Concern {
                level: Level::Failing,
                of: Of::State,
                why,
                todo: vec![todo("see the daemon's log", "journalctl -u cadenced", "")],
            },
            false => Concern {
                level: Level::Degraded,
                of: Of::Configuration,
                why,
                todo: vec![
                    todo("see every problem", "cadenced check", ""),
                    todo("once mended, take it up", "cadenced reload --wait", ""),
                ],
            },
        });
    }
    for (name, health) in &overview.health.connections {
        if health.status != Condition::Ok {
            let why = health.why.as_deref().unwrap_or_default();
            let todo = vec![todo("ask it now", "cadenced ping ", "")];
            found.push(Concern { level: Level::Degraded, of: Of::Connection(name, health), why, todo });
        }
    }
    let mut shared = HashMap::new();
    for job in &overview.jobs {
        if let Some((level, why, todo)) = of_job(job).or_else(|| not_run(job, overview)) {
            let at = *shared.entry((level, why)).or_insert(found.len());
            match found.get_mut(at) {
                Some(Concern { of: Of::Jobs(jobs), .. }) => jobs.push(&job.status.job),
                _ => found.push(Concern { level, of: Of::Jobs(vec![&job.status.job]), why, todo }),
            }
        }
    }
    found.sort_by_key(|concern| concern.level);
    found
}

type OfJob<'a> = (Level, &'a str, Vec<Todo>);

fn of_job(job: &JobOverview) -> Option<OfJob<'_>> {
    let status = &job.status;
    let level = match status.health.status {
        Condition::Failing => Level::Failing,
        Condition::Degraded => Level::Degraded,
        Condition::Ok | Condition::Off => return None,
    };
    let mut todos = Vec::new();
    if status.last_outcome == Some(Outcome::Failed) {
        todos.push(todo("see its last runs", "cadenced history ", ""));
    }
    if status.health.rejects > 0 {
        todos.push(todo("see which records, and why", "cadenced rejects list ", ""));
        // Its platform has to call again with them.
        if !job.is_called {
            todos.push(todo("once mended, send them again", "cadenced rejects retry ", " --all"));
        }
    }
    if status.paused.is_some() {
        todos.push(todo("let it run again", "cadenced resume ", ""));
    } else if status.last_outcome == Some(Outcome::Failed) && !job.is_called {
        todos.push(todo("once mended, run it now", "cadenced trigger ", " --wait"));
    }
    Some((level, status.health.why.as_deref().unwrap_or_default(), todos))
}

/// The last slot that was not run, of a job that is well.
fn not_run<'a>(job: &'a JobOverview, overview: &Overview) -> Option<OfJob<'a>> {
    let lost = |outcome| matches!(outcome, Outcome::Skipped | Outcome::Missed | Outcome::Interrupted);
    let slot = job.last.iter().find(|slot| slot.outcome.is_some_and(lost))?;
    if overview.at - slot.at > RECENTLY {
        return None;
    }
    let todo = vec![todo("see its slots of today", "cadenced slots ", "")];
    Some((Level::Skipped, slot.reason.as_deref().unwrap_or("a run was cut off"), todo))
}
