//! `steps` and `[job.NAME.step.STEP]`: a chain of requests about one row.

use super::diagnostic::did_you_mean;
use super::document::Node;
use super::ends::{self, Connections, Kind};
use super::push::{self, Places, lift};
use super::reader::Table;
use super::units::{self, Wrong};
use super::{Loaded, map};
use crate::job::push::Method;
use crate::job::{Job, Push, PushGone, Read, Send, Shaping, Step, Steps, Work};
use crate::words::{ConnectionName, JobName};

/// The work of a job with steps; nothing if any of it is wrong.
pub(super) fn read(table: &Table<'_>, connections: &Connections<'_>) -> Option<Work> {
    for other in ["pull", "write", "push", "map", "filter"] {
        if table.take(other).is_some() {
            let wrong = Wrong::new("has no place in a job with steps: each step has its own request and map");
            table.error(Some(other), &table.place(other), wrong);
        }
    }
    let to = table.require("to", |node| connections.named(node, Kind::Rest));
    let read_table = table.table("read");
    if read_table.is_none() && table.node.get("read").is_none() {
        table.error(Some("read"), &table.node.key_at, Wrong::new("is missing"));
    }
    let read = read_table.and_then(|read| ends::read(&read, connections));
    let only = table.get("where", map::condition);
    let continues = table.get("continues", |node| connections.job(node));
    let all = table.table("step")?;
    let described = all.node.entries();
    let order = table.some("steps", |node| {
        let name = units::words(node)?;
        if described.iter().any(|(step, _)| *step == name) {
            return Ok(name);
        }
        let help = did_you_mean(&name, described.iter().map(|(step, _)| step.as_str()));
        let help = help.unwrap_or_else(|| format!("describe it: [job.{}.step.{name}]", table.name()));
        Err(Wrong::new(format!("there is no step `{name}`")).help(help))
    });
    let order = order?;
    let home = table.node.get("read").and_then(|read| read.get("from"));
    let mut steps = Vec::new();
    let mut is_whole = true;
    for (name, node) in described {
        let place = order.iter().position(|step| step == name);
        let step = all.below(name, node).and_then(|step| {
            JobName::new(name)
                .map_err(|bad| all.error(Some(name), &node.key_at, units::refused(bad)))
                .ok()?;
            step_of(&step, name, to.as_ref()?, home, connections)
        });
        match (place, step) {
            (_, None) => is_whole = false,
            (Some(place), Some(step)) => steps.push((place, step)),
            // A later layer leaves it out.
            (None, Some(_)) => {}
        }
    }
    steps.sort_by_key(|(place, _)| *place);
    let steps: Vec<Step> = steps.into_iter().map(|(_, step)| step).collect();
    saved_once(&all, &steps);
    let (to, read) = (to?, read?);
    is_whole.then(|| Work::Steps(Box::new(read), Box::new(Steps { to, only, continues, steps })))
}

/// A row has one value of a name.
fn saved_once(all: &Table<'_>, steps: &[Step]) {
    for (at, step) in steps.iter().enumerate() {
        let earlier = steps[..at].iter().filter(|other| other.read.is_none() == step.read.is_none());
        let twice = earlier.flat_map(|other| &other.saved).find(|name| step.saved.contains(name));
        if let Some((twice, node)) = twice.zip(all.node.get(&step.name)) {
            let place = node.get("save").map_or(&node.at, |save| &save.at);
            all.error(
                Some(&format!("{}.save", step.name)),
                place,
                Wrong::new(format!("`{twice}` is saved by an earlier step")),
            );
        }
    }
}

fn step_of(
    table: &Table<'_>,
    name: &str,
    to: &ConnectionName,
    home: Option<&Node>,
    connections: &Connections<'_>,
) -> Option<Step> {
    let errors = table.errors();
    let own = table.table("read").map(|read| ends::read(&read, connections));
    let home = table.node.get("read").and_then(|read| read.get("from")).or(home);
    let shaping = map::of_step(table, home, connections);
    let when = table.get("when", map::condition);
    let delete_when = table.get("delete-when", map::condition);
    let unwatched = table.list("unwatched", units::words).unwrap_or_default();
    let delete_first = table.get("delete-first", units::flag).unwrap_or(false);
    let push = push_of(table, to, shaping, delete_first || delete_when.is_some());
    table.finish();
    if !table.is_clean_since(errors) {
        return None;
    }
    let push = push?;
    let saved = push.save.iter().map(|(name, _)| name.clone()).collect();
    Some(Step {
        name: name.to_owned(),
        read: lift(own)?,
        when,
        delete_when,
        delete_first,
        unwatched,
        push,
        saved,
    })
}

/// A push of one record a request.
fn push_of(table: &Table<'_>, to: &ConnectionName, shaping: Shaping, deletes: bool) -> Option<Push> {
    let request = push::request(table, None);
    let mut places = Places::default();
    let body = match table.take("body") {
        Some(node) => push::body(table, node, &|_, _| Ok(()), &mut places),
        None => "$record".into(),
    };
    if places.gone {
        let wrong = Wrong::new("a step is about one record: there is no \"$gone\", see `delete-when`");
        table.error(Some("body"), &table.place("body"), wrong);
    }
    let idempotent = table.get("idempotent", units::flag);
    let results = push::results(table);
    let verify = table.table("verify").map(|table| push::verify(&table));
    let save = table.entries("save", push::saved).unwrap_or_default();
    let words = push::words(table);
    let stop_when = table.get("stop-when", push::stop_when);
    let delete_path = table.get("delete-path", units::path_template);
    if delete_path.is_some() && !deletes {
        let wrong = Wrong::new("is never used: neither `delete-when` nor `delete-first` asks for it");
        table.error(Some("delete-path"), &table.place("delete-path"), wrong);
    }
    let (method, path) = request?;
    let idempotent = idempotent.unwrap_or(method.is_idempotent());
    let delete_path = delete_path.unwrap_or_else(|| path.clone());
    let verify = lift(verify)?;
    if verify.as_ref().is_some_and(|verify| verify.first) && idempotent {
        let wrong = Wrong::new("is for requests that must not be sent twice, and this one may be");
        table.error(Some("verify.first"), &table.place("verify"), wrong);
    }
    Some(Push {
        to: to.clone(),
        method,
        group_by: path.placeholders().into_iter().map(str::to_owned).collect(),
        path,
        batch_records: 1,
        batch_bytes: usize::MAX,
        body,
        shaping,
        send: Send::Changed,
        on_gone: if deletes { PushGone::Delete(delete_path) } else { PushGone::Ignore },
        idempotent,
        results: results?,
        verify,
        creates: method == Method::Post && !idempotent,
        save,
        parent: None,
        words,
        unless_taken: None,
        upload: None,
        stop_when,
    })
}

/// Lets jobs that continue another know what its steps save, and keeps them from running beside it.
pub(super) fn continued(all: &Table<'_>, incomplete: bool, loaded: &mut Loaded) {
    let mut known = Vec::new();
    for (name, job) in &loaded.jobs {
        let Work::Steps(read, steps) = &job.work else { continue };
        let Some(keeper) = &steps.continues else { continue };
        let found = match loaded.jobs.get(keeper) {
            Some(other) => joins(job, read, steps, other),
            // What is wrong with it is reported there.
            None => Ok(Vec::new()),
        };
        known.push((name.clone(), keeper.clone(), found));
    }
    for (name, keeper, found) in known {
        match (found, loaded.jobs.get_mut(&name).map(|job| &mut job.work)) {
            (Ok(saved), Some(Work::Steps(_, steps))) => {
                for (step, saved) in saved {
                    steps
                        .steps
                        .iter_mut()
                        .filter(|own| own.name == step)
                        .for_each(|own| own.saved.clone_from(&saved));
                }
            }
            (Err(problem), _) if !incomplete => {
                let node = all.node.get(name.as_str()).and_then(|job| job.get("continues"));
                let place = node.map_or(&all.node.at, |node| &node.at);
                let wrong = Wrong::new(format!("`{keeper}` {problem}"));
                all.error(Some(&format!("{name}.continues")), place, wrong);
            }
            _ => {}
        }
    }
}

/// What each step of the other job saves, if its records can be those of this job too.
fn joins(
    job: &Job,
    read: &Read,
    steps: &Steps,
    other: &Job,
) -> Result<Vec<(String, Vec<String>)>, &'static str> {
    let Work::Steps(other_read, other_steps) = &other.work else { return Err("has no steps") };
    if other_steps.continues.is_some() || other.name == job.name {
        return Err("continues another job itself: name the first one");
    }
    if job.policy.lock.is_none() || job.policy.lock != other.policy.lock {
        return Err("may run at the same time: give both jobs the same `lock`");
    }
    let namesake = |step: &Step| other_steps.steps.iter().find(|other| other.name == step.name);
    let keys = |own: &Option<Read>| own.as_ref().map(|read| read.key.clone());
    let differs = |step: &Step| namesake(step).is_some_and(|other| keys(&other.read) != keys(&step.read));
    if read.key != other_read.key || steps.steps.iter().any(differs) {
        return Err("tells its rows apart by another `key`");
    }
    Ok(other_steps.steps.iter().map(|step| (step.name.clone(), step.saved.clone())).collect())
}
