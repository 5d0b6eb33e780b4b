//! What can go wrong with the state directory: one variant per thing a caller or an operator can do about it.

use crate::run::{RunId, Slot};
use crate::words::JobName;
use std::any::Any;
use std::fmt;
use std::path::PathBuf;

/// Why the state could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another cadenced works on this directory: go through its control socket, or stop it.
    #[error("{dir}: the state directory is held by {holder}; use its control socket, or stop it first",
        dir = .dir.display(), holder = Holder(*.pid))]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// The process that holds it, where its lock file says so.
        pid: Option<u32>,
    },
    /// Nobody holds our lock, yet something holds the database's: a copy or a backup, or a foreign program.
    #[error("{dir}: some other program keeps the database open; stop it and start again", dir = .dir.display())]
    Locked {
        /// The database's directory.
        dir: PathBuf,
    },
    /// The store is older than what was last written into it. Nothing may run from it: watermarks and claims would
    /// silently go back.
    #[error("{dir}: the store went back: it is {store}, but generation {expected} was written before; {restore}",
        dir = .dir.display(), store = Age(*.store))]
    Regressed {
        /// The state directory.
        dir: PathBuf,
        /// The generation found in the store; nothing where it is empty.
        store: Option<u64>,
        /// The generation it had reached.
        expected: u64,
        /// How to restore.
        restore: Restore,
    },
    /// The store can't be read.
    #[error("{dir}: the store is damaged ({detail}); {restore}", dir = .dir.display())]
    Damaged {
        /// The state directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
        /// How to restore.
        restore: Restore,
    },
    /// The store, or an export, was written by a newer cadenced.
    #[error("the state has layout {found}, this cadenced knows layouts up to {known}; upgrade cadenced")]
    Layout {
        /// What was found.
        found: u64,
        /// The newest this program understands.
        known: u64,
    },
    /// The slot was claimed anew, or its run has ended: whoever still works for this run must stop.
    #[error("{slot}: run {run} no longer holds its slot; what it did after losing it is not committed")]
    Fenced {
        /// The slot.
        slot: Slot,
        /// The run that lost it.
        run: RunId,
    },
    /// The job is running.
    #[error("{job} is running ({run}); wait for its end, or pause it and try again then")]
    Running {
        /// The job.
        job: JobName,
        /// The run that holds one of its slots.
        run: RunId,
    },
    /// An import would overwrite a state.
    #[error("{dir}: there is a state already; add --replace to put the export in its place", dir = .dir.display())]
    NotEmpty {
        /// The state directory.
        dir: PathBuf,
    },
    /// What was given to an import is not a whole export.
    #[error("line {line} of the export: {problem}; nothing was changed")]
    BadExport {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk refused.
    #[error("could not {action} {path}", path = .path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The process is ending; the change was not made.
    #[error("the daemon is stopping; the state takes no more changes")]
    Stopping,
}

/// How an operator gets a good store back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The newest export in the state directory's `exports/`.
    pub export: Option<PathBuf>,
}

impl fmt::Display for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.export {
            Some(export) => {
                write!(
                    f,
                    "restore the newest export with: cadenced state import --replace {}",
                    export.display()
                )
            }
            None => write!(
                f,
                "there is no export in exports/; restore one with: cadenced state import --replace FILE, or move \
                 the directory away to start anew"
            ),
        }
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

struct Age(Option<u64>);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(generation) => write!(f, "at generation {generation}"),
            None => f.write_str("empty"),
        }
    }
}

/// An error inside the store, before it is known which directory it happened in.
#[derive(Debug)]
pub(super) enum Fault {
    /// sled gave up.
    Sled(sled::Error),
    /// A value is not what its key promises.
    Value(String),
    /// Already in the caller's terms.
    State(StateError),
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .map_or_else(|| "the database gave up".to_owned(), |text| text.chars().take(300).collect())
}
