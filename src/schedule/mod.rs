//! When a job is due: pure functions of two instants. Slots are computed, never remembered by a timer.
//!
//! A [`Timetable`] answers which slots lie between two instants; the daemon, `next`, `check`, `plan`, catch-up
//! and the audit all ask it the same question. The answer is strictly increasing, to the whole second, and the
//! same however the time is cut: the slots from an instant on are those of any earlier start, less the earlier
//! ones. No clock is read here, and the host's time zone never matters. [`Policy`] holds what is to happen to
//! slots that can't simply run; deciding it is left to the planner.
//!
//! Two kinds of expression meet a clock change differently ([`Rhythm`]):
//!
//! | | spring gap | autumn overlap |
//! |---|---|---|
//! | interval: a `*`, a range or a step in second, minute or hour; every `every` | no slots | slots in both passes |
//! | fixed times: all others | once, at the first instant after the gap | once, at the first pass |
//!
//! `between` and `except` judge the reading a slot was meant for, before a gap moves it. A local date that a
//! zone left out altogether has no slots.

mod cron;
mod day;
mod every;
mod except;
mod policy;
mod readings;
mod slots;
mod timetable;
mod window;
mod zone;

#[cfg(test)]
mod tests;

pub use cron::{BadCron, CronExpr, CronField, Rhythm};
pub use day::day;
pub use every::{BadEvery, Every};
pub use except::{BadDateRange, DateRange};
pub use policy::{CatchUp, Overlap, Policy, Rerun};
pub use slots::Slots;
pub use timetable::{Beats, NeverDue, Timetable, TimetableSpec, splay_of};
pub use window::{BadWindow, Window};
