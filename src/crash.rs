//! Named moments at which a test kills the process. A debug build told so by its environment announces that it has come
//! to a moment and stands still there, so that the test ends it with a real SIGKILL between two given steps. A release
//! build has none of this.
//!
//! `CRASH_AT` is a file that the test writes the moment's name into when it wants it, `name:3` for its third pass from
//! then on; `CRASH_SAID` is the file, or pipe, that the name is written to once it is reached. Whoever adds a moment
//! gives it a name that says what has just happened, or is about to.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Stands still for ever, if this is the moment.
pub async fn point(moment: &str) {
    if cfg!(debug_assertions) && reached(moment) {
        std::future::pending::<()>().await;
    }
}

/// The same where nothing can be awaited: the thread stands still.
pub fn point_blocking(moment: &str) {
    if cfg!(debug_assertions) && reached(moment) {
        loop {
            std::thread::park();
        }
    }
}

struct Files {
    at: PathBuf,
    said: PathBuf,
    /// What was asked for last, and how often it has been passed since.
    passed: Mutex<(String, u32)>,
}

fn reached(moment: &str) -> bool {
    static FILES: OnceLock<Option<Files>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let file = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Files { at: file("CRASH_AT")?, said: file("CRASH_SAID")?, passed: Mutex::default() })
    });
    let Some(files) = files else { return false };
    // Nothing is asked for until the file is there.
    let asked = std::fs::read_to_string(&files.at).unwrap_or_default();
    let (name, pass) = asked.split_once(':').unwrap_or((&asked, "1"));
    if name != moment {
        return false;
    }
    let mut passed = files.passed.lock().unwrap_or_else(PoisonError::into_inner);
    if passed.0 != asked {
        *passed = (asked.clone(), 0);
    }
    passed.1 += 1;
    pass.parse() == Ok(passed.1) && std::fs::write(&files.said, format!("{moment}\n")).is_ok()
}
