//! Keeps the use of a platform's quotas in the state, and takes up what an earlier process has left there.
//!
//! How much time has passed since is told by how long the host has been up, if it is still the same start of it: a clock that
//! was set meanwhile, forwards or back, then changes nothing. After a restart of the host only the clock is left; what it
//! puts into the future counts as now.

use super::state;
use crate::clock::{SharedClock, Up};
use crate::connection::RestConnection;
use crate::quota::{Gate, Keep, Spent};
use crate::state::Store;
use crate::transfer::Failure;
use crate::words::ConnectionName;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "quota";

/// What was used of a connection's quotas, and when that was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    up: Option<Up>,
    spent: Spent,
}

impl Kept {
    fn now(clock: &SharedClock, spent: Spent) -> Self {
        Self { at: clock.now(), up: clock.up(), spent }
    }

    /// The time from then to now.
    fn ago(&self, now: DateTime<Utc>, up: Option<&Up>) -> Duration {
        match (&self.up, up) {
            (Some(then), Some(up)) if then.boot == up.boot => {
                Duration::from_millis(up.millis.saturating_sub(then.millis))
            }
            _ => (now - self.at).to_std().unwrap_or_default(),
        }
    }
}

/// The state's place for one connection.
#[derive(Debug)]
struct Place {
    name: ConnectionName,
    store: Store,
    clock: SharedClock,
}

impl Keep for Place {
    fn keep(&self, spent: Spent) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let clock = self.clock.clone();
            let bytes = tokio::task::spawn_blocking(move || serde_json::to_vec(&Kept::now(&clock, spent)));
            let bytes = bytes.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let put = self.store.put_blob(NAMESPACE, self.name.as_str(), bytes);
            put.await.map_err(|error| error.to_string())
        })
    }
}

/// The gate of a connection, with what an earlier process has left of its quotas. Blocks for a moment.
pub(super) fn open(
    name: &ConnectionName,
    connection: &RestConnection,
    store: &Store,
    clock: &SharedClock,
) -> Result<Gate, Failure> {
    let kept = store.get_blob_blocking(NAMESPACE, name.as_str()).map_err(state)?;
    // What can't be read is of another version; the shorter windows count as used up all the same.
    let kept = kept.map(|bytes| {
        let kept: Result<Kept, _> = serde_json::from_slice(&bytes);
        kept.unwrap_or_else(|_| Kept::now(clock, Spent::default()))
    });
    let spent = kept.map(|kept| {
        let ago = kept.ago(clock.now(), clock.up().as_ref());
        (kept.spent, ago)
    });
    let place = Place { name: name.clone(), store: store.clone(), clock: clock.clone() };
    let longest = connection.timeouts.total;
    Ok(Gate::kept(&connection.quota, connection.in_flight, Arc::new(place), longest, spent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn time_that_passed_is_told_by_the_hosts_own_count_and_only_else_by_its_clock() {
        let noon: DateTime<Utc> = "2026-03-29T00:30:00Z".parse().unwrap();
        let up = |boot: &str, millis| Some(Up { boot: boot.to_owned(), millis });
        let kept = Kept { at: noon, up: up("a", 5_000), spent: Spent::default() };
        let ago = |clock: TimeDelta, now: Option<Up>| kept.ago(noon + clock, now.as_ref()).as_secs();
        // The clock was an hour, a day, or four years off and was set right meanwhile.
        for step in [TimeDelta::hours(1), TimeDelta::hours(-1), TimeDelta::days(1), TimeDelta::days(1500)] {
            assert_eq!(ago(step, up("a", 65_000)), 60);
        }
        assert_eq!(ago(TimeDelta::minutes(3), up("b", 1_000)), 180);
        assert_eq!(ago(TimeDelta::minutes(3), None), 180);
        assert_eq!(ago(TimeDelta::hours(-1), up("b", 1_000)), 0, "what lies in the future was now");
    }
}
