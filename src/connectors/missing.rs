//! What is known of a job's records, gone through some thousand at a time, and how many of them may be missing at once:
//! above `max-gone` a run stops before anything is removed.

use super::{ENTITY, state};
use crate::state::{Delivered, Place, Store};
use crate::transfer::{Class, Failure};
use crate::words::JobName;

/// Known records looked at in one go.
const SCAN: usize = 4_000;

/// The records a job has delivered.
pub(super) struct Known<'a> {
    pub(super) store: &'a Store,
    pub(super) job: &'a JobName,
}

impl Known<'_> {
    /// The next records after `place`, which moves on with them; nothing at the end.
    pub(super) async fn scan(&self, place: &mut Place) -> Result<Option<Vec<(String, Delivered)>>, Failure> {
        let page = self.store.scan(self.job, ENTITY, place, SCAN).await.map_err(state)?;
        Ok((!page.is_empty()).then_some(page))
    }

    /// How many records there are that are not `seen` in `place_read`. Fails if they are more than this share of all.
    pub(super) async fn missing(
        &self,
        seen: impl Fn(&str) -> bool,
        max_gone: f64,
        place_read: &str,
    ) -> Result<u64, Failure> {
        let (mut known, mut missing) = (0_u64, 0_u64);
        let mut place = Place::default();
        while let Some(page) = self.scan(&mut place).await? {
            known += page.len() as u64;
            missing += page.iter().filter(|(key, _)| !seen(key)).count() as u64;
        }
        if missing > allowed(known, max_gone) {
            let which = format!("{missing} of {known} known records are not in {place_read} any more");
            return Err(too_many(&which, "nothing was removed"));
        }
        Ok(missing)
    }

    /// Fails if what went `before` in this run and what goes `now` are together more than this share of all; looks no
    /// further than it has to.
    pub(super) async fn may_go(&self, before: u64, now: u64, max_gone: f64) -> Result<(), Failure> {
        let gone = before + now;
        let mut known = before;
        let mut place = Place::default();
        while gone > allowed(known, max_gone) {
            let Some(page) = self.scan(&mut place).await? else {
                let which = format!("{gone} of {known} known records are gone when they are followed up");
                return Err(too_many(&which, &format!("the last {now} were not removed")));
            };
            known += page.len() as u64;
        }
        Ok(())
    }
}

/// Fails if a step would delete more than this share of all values that stand on the platform, and more than one.
pub(super) fn may_delete(what: &str, deletes: u64, all: u64, max_gone: f64) -> Result<(), Failure> {
    if deletes > allowed(all, max_gone).max(1) {
        let which = format!("{what}: {deletes} of {all} values are gone from the source");
        return Err(too_many(&which, "nothing was sent or deleted"));
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of rows, 0 to 1, needs no more digits than a float has"
)]
fn allowed(known: u64, max_gone: f64) -> u64 {
    (known as f64 * max_gone).floor() as u64
}

fn too_many(which: &str, removed: &str) -> Failure {
    let message = format!(
        "{which}, more than `max-gone` allows; {removed}. If they are really gone, raise max-gone for one run"
    );
    Failure::new(Class::Refused, message)
}
