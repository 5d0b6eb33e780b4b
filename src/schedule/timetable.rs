//! The timetable itself: what was asked for, checked, and the questions it answers.

use super::cron::{BadCron, CronExpr};
use super::every::{Every, duration_text};
use super::except::{DateRange, in_order};
use super::readings::{Beat, FIRST_DAY, Readings};
use super::slots::Slots;
use super::window::Window;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The instants at which a job is due, as far as a calendar and a clock can tell. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Timetable(Arc<Rules>);

/// What a timetable is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct TimetableSpec {
    /// What names the readings of the wall clock.
    pub beats: Beats,
    /// The zone whose wall clock is read.
    pub zone: Tz,
    /// The part of the day in which slots count.
    pub between: Option<Window>,
    /// Local dates without slots.
    pub except: Vec<DateRange>,
    /// The longest delay of a start behind its slot; see [`splay_of`]. Slots themselves don't move.
    pub splay: Duration,
}

/// What names the readings of the wall clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Beats {
    /// One or several expressions; a slot that two of them name is one slot.
    Cron(Vec<CronExpr>),
    /// Equal steps of the day.
    Every(Every),
}

impl TimetableSpec {
    /// These beats on the wall clock of this zone, every day, all day.
    #[must_use]
    pub fn new(beats: Beats, zone: Tz) -> Self {
        Self { beats, zone, between: None, except: Vec::new(), splay: Duration::ZERO }
    }
}

/// A timetable without slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeverDue {
    /// An empty list of expressions.
    #[error("the list of cron expressions is empty, so the job would never be due")]
    Empty,
    /// The window leaves nothing of an expression.
    #[error("{beat} has no time of day between {window}, so it would never be due")]
    Window {
        /// The expression or the step.
        beat: String,
        /// The window.
        window: String,
    },
    /// The days off leave nothing of an expression.
    #[error("{beat} falls only on dates that `except` takes out, so it would never be due")]
    Except {
        /// The expression or the step.
        beat: String,
    },
}

/// A specification that was checked, its days off in order.
#[derive(Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) spec: TimetableSpec,
}

impl Rules {
    /// The readings of each beat.
    pub(super) fn readings(&self) -> impl Iterator<Item = Readings<'_>> {
        let spec = &self.spec;
        let (crons, every) = match &spec.beats {
            Beats::Cron(crons) => (crons.as_slice(), None),
            Beats::Every(every) => (&[][..], Some(*every)),
        };
        let beats = crons.iter().map(Beat::Cron).chain(every.map(Beat::Every));
        beats.map(|beat| Readings { beat, between: spec.between, except: &spec.except })
    }
}

impl Timetable {
    /// Refuses what can never be due: each expression must have slots of its own.
    pub fn new(mut spec: TimetableSpec) -> Result<Self, NeverDue> {
        spec.except = in_order(spec.except);
        let rules = Rules { spec };
        if rules.readings().next().is_none() {
            return Err(NeverDue::Empty);
        }
        for readings in rules.readings() {
            if let Some(window) = readings.between
                && readings.next_time(0).is_none()
            {
                return Err(NeverDue::Window { beat: beat_text(readings.beat), window: window.to_string() });
            }
            if readings.next_day(FIRST_DAY).is_none() {
                return Err(NeverDue::Except { beat: beat_text(readings.beat) });
            }
        }
        Ok(Self(Arc::new(rules)))
    }

    /// One expression, every day, all day.
    pub fn cron(expression: &str, zone: Tz) -> Result<Self, BadCron> {
        let cron = CronExpr::new(expression)?;
        Ok(Self(Arc::new(Rules { spec: TimetableSpec::new(Beats::Cron(vec![cron]), zone) })))
    }

    /// The slots at or after `from` and before `until`, strictly increasing, on whole seconds, each computed
    /// when it is asked for. Local dates after 9999-12-31 have none.
    #[must_use]
    pub fn slots(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Slots {
        Slots::new(Arc::clone(&self.0), from, until)
    }

    /// What it was made of, days off in order.
    #[must_use]
    pub fn spec(&self) -> &TimetableSpec {
        &self.0.spec
    }

    /// The zone whose wall clock it follows.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.0.spec.zone
    }

    /// The usual time between two slots: the median over some slots in a row, so that the night outside a
    /// window, a weekend or a clock change doesn't count.
    #[must_use]
    pub fn interval_hint(&self) -> Duration {
        // Any instant would do; this one is before the days off that people write down.
        let slots: Vec<_> = self.slots(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC).take(34).collect();
        let mut gaps: Vec<_> = slots.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2);
        median.and_then(|gap| gap.to_std().ok()).unwrap_or(Duration::from_secs(24 * 60 * 60))
    }

    /// The timetable for people. The expression itself is shown: croner's sentences would be nicer, but they
    /// are wrong for `LW`, `0-4/2` and `1,*/10`.
    #[must_use]
    pub fn describe(&self) -> String {
        let spec = &self.0.spec;
        let beats: Vec<_> = self.0.readings().map(|readings| beat_text(readings.beat)).collect();
        let mut text = format!("{} in {}", beats.join(" and "), spec.zone);
        // Writing to a String can't fail.
        if let Beats::Cron(_) = spec.beats {
            let _ = write!(text, ", usually {} apart", duration_text(&self.interval_hint()));
        }
        if let Some(window) = spec.between {
            let _ = write!(text, ", between {window}");
        }
        if !spec.except.is_empty() {
            let dates: Vec<_> = spec.except.iter().map(ToString::to_string).collect();
            let _ = write!(text, ", except {}", dates.join(", "));
        }
        if !spec.splay.is_zero() {
            let _ = write!(text, ", started up to {} later", duration_text(&spec.splay));
        }
        text
    }
}

fn beat_text(beat: Beat<'_>) -> String {
    match beat {
        Beat::Cron(cron) => format!("`{}`", cron.as_str()),
        Beat::Every(every) => every.to_string(),
    }
}

/// How long after its slots a job starts, so that jobs of one slot don't start all at once: below `max`, in
/// whole milliseconds, and always the same for a name.
#[must_use]
pub fn splay_of(name: &str, max: Duration) -> Duration {
    let digest = Sha256::digest(name);
    let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(hash.checked_rem(max).unwrap_or(0))
}
