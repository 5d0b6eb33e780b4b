//! The sandbox's own time of day: a platform's clock is not the daemon's, and tests set them apart.

use super::lock;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The clock a platform dates its rows, its tokens and its `Date` header with. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Setting>>);

#[derive(Debug, Clone, Copy)]
enum Setting {
    Running { ahead: TimeDelta },
    Standing(DateTime<Utc>),
}

impl Default for Setting {
    fn default() -> Self {
        Self::Running { ahead: TimeDelta::zero() }
    }
}

impl Clock {
    /// A clock standing at `at` until it is moved.
    #[must_use]
    pub fn standing(at: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Setting::Standing(at))))
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match *lock(&self.0) {
            Setting::Running { ahead } => host() + ahead,
            Setting::Standing(at) => at,
        }
    }

    /// Stops the clock at `at`.
    pub fn set(&self, at: DateTime<Utc>) {
        *lock(&self.0) = Setting::Standing(at);
    }

    /// Moves the clock forward; a running one keeps running, ahead of the host by so much more.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        match &mut *lock(&self.0) {
            Setting::Running { ahead } => *ahead += by,
            Setting::Standing(at) => *at += by,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the platform's clock is not the daemon's")]
fn host() -> DateTime<Utc> {
    Utc::now()
}
