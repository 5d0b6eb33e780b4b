//! Promises of the whole store, against real directories, real processes and real kills.

mod deliveries;
mod dumps;
mod kills;
mod ledgers;
mod opening;

use super::*;
use crate::clock::SetClock;
use crate::run::{Cause, Counts, Outcome, Slot, SlotRange};
use crate::words::JobName;

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_774_000_000 + seconds, 0).unwrap()
}

fn job() -> JobName {
    JobName::new("one-stocks").unwrap()
}

fn slot(seconds: i64) -> Slot {
    Slot { job: job(), at: instant(seconds) }
}

/// A store in a directory of its own that can be closed and opened again.
struct Scratch {
    dir: tempfile::TempDir,
    clock: Arc<SetClock>,
}

impl Scratch {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::new(SetClock::at(instant(0))) }
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Store, StateError> {
        Store::open(self.dir.path(), self.clock.clone())
    }
}

fn claim(seconds: i64) -> Claim {
    Claim { slot: slot(seconds), cause: Cause::Due }
}

async fn granted(store: &Store, seconds: i64) -> Token {
    match store.claim(vec![claim(seconds)]).await.unwrap().remove(0) {
        Claimed::Granted(token) => token,
        Claimed::Refused(refusal) => panic!("{refusal}"),
    }
}

fn closing(token: &Token, outcome: Outcome) -> Closing {
    let token = token.clone();
    let counts = Counts { written: 3, ..Counts::default() };
    Closing { token, outcome, counts, message: None, children: Vec::new(), also: Vec::new() }
}

/// Starts this test binary again to run one test as another process, which finds `value` in its environment.
fn child(test: &str, variable: &str, value: &std::ffi::OsStr) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(variable, value);
    command
}
