//! The time of day. Everything that decides by time takes it as an argument; what must ask for it asks a
//! [`Clock`], so that tests can say what time it is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Tells the time of day.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant.
    fn now(&self) -> DateTime<Utc>;

    /// How long the host has been up, where that is known: unlike [`Clock::now`] it is never set. Reads a file.
    fn up(&self) -> Option<Up> {
        None
    }
}

/// How long the host has been up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// Which start of the host it is counted from.
    pub boot: String,
    /// Milliseconds since then, those in which it slept included.
    pub millis: u64,
}

/// A clock that can be shared between tasks.
pub type SharedClock = Arc<dyn Clock>;

/// The host's clock; its time zone setting never matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the host")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn up(&self) -> Option<Up> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some(Up { boot, millis: u64::try_from(Duration::from_secs_f64(seconds).as_millis()).ok()? })
    }
}

/// A clock that shows what it was told, for tests and simulations.
#[derive(Debug)]
pub struct SetClock(Mutex<DateTime<Utc>>);

impl SetClock {
    /// A clock standing at `at`.
    #[must_use]
    pub fn at(at: DateTime<Utc>) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves the clock to `at`, forwards or backwards.
    pub fn set(&self, at: DateTime<Utc>) {
        *self.lock() = at;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DateTime<Utc>> {
        // A panic while holding a plain instant can't leave it half-written.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.lock()
    }
}
