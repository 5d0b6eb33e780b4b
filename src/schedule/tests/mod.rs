//! What the schedule promises: tables of days for people, properties over every zone for the rest.

mod cron;
mod days;
mod properties;
mod timetables;

use super::*;
use chrono::{DateTime, Days, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn timetable(cron: &str, zone: Tz) -> Timetable {
    Timetable::cron(cron, zone).unwrap()
}

fn between(cron: &str, window: &str, zone: Tz) -> Timetable {
    let beats = Beats::Cron(vec![CronExpr::new(cron).unwrap()]);
    let window = Some(Window::new(window).unwrap());
    Timetable::new(TimetableSpec { between: window, ..TimetableSpec::new(beats, zone) }).unwrap()
}

/// The slots of one local date that starts and ends at a midnight that exists, as local readings.
fn on(timetable: &Timetable, day: &str) -> Vec<String> {
    let midnight = |date: NaiveDate| {
        let local = date.and_hms_opt(0, 0, 0).unwrap();
        timetable.zone().from_local_datetime(&local).earliest().unwrap().to_utc()
    };
    let slots = timetable.slots(midnight(date(day)), midnight(date(day) + Days::new(1)));
    shown(timetable, slots, "%H:%M:%S%:z")
}

fn first(timetable: &Timetable, from: &str, count: usize) -> Vec<String> {
    let slots = timetable.slots(instant(from), DateTime::<Utc>::MAX_UTC).take(count);
    shown(timetable, slots, "%Y-%m-%dT%H:%M:%S%:z")
}

fn shown(timetable: &Timetable, slots: impl Iterator<Item = DateTime<Utc>>, form: &str) -> Vec<String> {
    slots.map(|slot| slot.with_timezone(&timetable.zone()).format(form).to_string()).collect()
}
