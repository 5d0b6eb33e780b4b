//! When a job is due: `cron`, `every`, `initial` or `after`, of which a job has one, or none and is started by hand.
//! `initial` may have an `after` of its own: the jobs whose success it waits for.

use super::document::{Node, Value};
use super::layers::TRIGGER_KEYS;
use super::reader::Table;
use super::units::{self, Wrong};
use crate::job::Trigger;
use crate::schedule::{Beats, CronExpr, DateRange, Every, Timetable, TimetableSpec, Window};
use crate::words::JobName;
use chrono_tz::Tz;
use std::time::Duration;

/// The trigger keys of which a job has one.
const KINDS: [&str; 4] = ["cron", "every", "initial", "after"];

/// Reads the trigger of a job whose zone, unless it names its own, is `zone`. Nothing if any of it is wrong.
pub(super) fn read(table: &Table<'_>, zone: Tz) -> Option<Trigger> {
    let errors = table.errors();
    let zone = table.get("timezone", units::zone).unwrap_or(zone);
    let crons = table.list("cron", cron);
    let step = table.get("every", units::some_time);
    let offset = table.get("offset", units::duration);
    let between = table.get("between", |node| Window::new(units::text(node)?).map_err(units::refused));
    let except = table.list("except", dates);
    let splay = table.get("splay", units::duration);
    let initial = table.get("initial", units::flag) == Some(true);
    let after = table.some_if_given("after", |node| JobName::new(units::text(node)?).map_err(units::refused));

    let has = |key: &str| table.node.get(key).is_some() && (key != "initial" || initial);
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| has(kind)).collect();
    if let [first, second, ..] = given.as_slice()
        && given != ["initial", "after"]
    {
        let wrong = Wrong::new(format!("`{first}` says already when the job is due"))
            .help(Some(format!("a job has one of {}", KINDS.join(", "))));
        table.error(Some(second), &table.place(second), wrong);
    }
    let kind = given.first().copied();
    for (key, needs) in [("offset", &["every"][..]), ("between", &KINDS[..2]), ("except", &KINDS[..2])] {
        if has(key) && !kind.is_some_and(|kind| needs.contains(&kind)) {
            let help =
                "a layer that sets one trigger key replaces the job's whole trigger: repeat the others";
            let wrong = Wrong::new(format!("means nothing without {}", quoted(needs, " or ")));
            table.error(Some(key), &table.place(key), wrong.help(kind.is_none().then(|| help.to_owned())));
        }
    }
    if has("splay") && !kind.is_some_and(|kind| KINDS[..2].contains(&kind)) {
        let wrong = Wrong::new(format!("means nothing without {}", quoted(&KINDS[..2], " or ")));
        table.warn(Some("splay"), &table.place("splay"), wrong);
    }
    let every = step.and_then(|step| {
        let offset_given = offset.unwrap_or(Duration::ZERO);
        let at = if Every::new(step, Duration::ZERO).is_ok() { "offset" } else { "every" };
        Every::new(step, offset_given)
            .map_err(|bad| table.error(Some(at), &table.place(at), units::refused(bad)))
            .ok()
    });
    if !table.is_clean_since(errors) {
        return None;
    }
    let beats = match kind {
        Some("cron") => Beats::Cron(crons?),
        Some("every") => Beats::Every(every?),
        Some("initial") => return Some(Trigger::Initial(after.unwrap_or_default())),
        Some(_) => return after.map(Trigger::After),
        None => return Some(Trigger::Manual),
    };
    let spec = TimetableSpec {
        between,
        except: except.unwrap_or_default(),
        splay: splay.unwrap_or_default(),
        ..TimetableSpec::new(beats, zone)
    };
    let timetable = Timetable::new(spec)
        .map_err(|never| table.error(kind, &table.place(kind.unwrap_or("cron")), units::refused(never)));
    timetable.ok().map(Trigger::Timetable)
}

/// Whether the job says when it is due.
pub(super) fn is_given(job: &Node) -> bool {
    TRIGGER_KEYS.iter().any(|key| job.get(key).is_some())
}

/// A cron expression.
pub(super) fn cron(node: &Node) -> Result<CronExpr, Wrong> {
    CronExpr::new(units::text(node)?).map_err(|bad| {
        let at = node.column(bad.offset);
        Wrong::new(format!("{}: {}", bad.field, bad.reason)).at(at)
    })
}

fn dates(node: &Node) -> Result<DateRange, Wrong> {
    let text = match &node.value {
        // A date may stand there as TOML has it, without quotes.
        Value::Datetime(date) => date,
        _ => units::text(node)?,
    };
    DateRange::new(text).map_err(units::refused)
}

fn quoted(keys: &[&str], between: &str) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(between)
}
