//! The commands that run jobs in this process: the daemon, the demo, a single run.

use super::args::Once;
use super::output::{Exit, Stop};
use super::place::Place;

/// `cadenced run`.
pub(super) fn run(place: &Place) -> Result<Exit, Stop> {
    // Call site of `daemon::run`.
    let _ = place.sources()?;
    Err(not_built_yet("run"))
}

/// `cadenced demo`.
pub(super) fn demo() -> Result<Exit, Stop> {
    // Call site of `daemon::demo`.
    Err(not_built_yet("demo"))
}

/// `cadenced once`.
pub(super) fn once(place: &Place, args: &Once) -> Result<Exit, Stop> {
    // Call site of `daemon::once`; the run's outcome becomes the exit code through `control::exit_of`.
    let _ = (place.load()?, &args.job, args.dry_run, args.format);
    Err(not_built_yet("once"))
}

fn not_built_yet(command: &str) -> Stop {
    Stop::new(Exit::Internal, format!("`{command}` is not built yet"))
}
