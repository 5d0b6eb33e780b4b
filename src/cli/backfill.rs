//! `cadenced backfill`: reads a stretch of the past again, with a progress bar on a terminal. It works on the state
//! directory itself; while a daemon holds it, it refuses.

use super::args::Backfill as Args;
use super::launch::{Report, interrupted, print_report, start_logging};
use super::output::{Exit, Stop};
use super::place::{Place, job};
use super::runtime;
use crate::clock::SystemClock;
use crate::connectors::Backfill;
use crate::daemon::{self, StartError};
use crate::rest::Watch;
use crate::runner::Ended;
use crate::state::StateError;
use crate::watermark::{Cursor, Mark, PageFacts};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::Arc;

pub(super) fn backfill(place: &Place, args: &Args, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let job = job(&loaded, &args.job)?;
    let (since, until) = (instant("--since", &args.since)?, instant("--until", &args.until)?);
    if since >= until {
        return Err(Stop::new(Exit::Usage, "--until must lie after --since"));
    }
    start_logging(loaded.settings.log.format, "warn,cadenced::runner=error")?;
    let bar = bar(&args.job);
    let backfill = Backfill { since, until, watch: Some(watch(bar.clone())) };
    let once = runtime()?.block_on(async {
        daemon::backfill(&loaded, job, backfill, Arc::new(SystemClock), interrupted()).await
    });
    bar.finish_and_clear();
    let Ended { outcome, counts, message } = match once {
        Err(StartError::State(StateError::Held { .. })) => {
            let problem = "the daemon holds the state directory: stop it, backfill, and start it again; what was missed \
                meanwhile is caught up";
            return Err(Stop::new(Exit::Failed, problem));
        }
        once => once?.ended,
    };
    print_report(&Report { job: &args.job, outcome, counts, message }, args.format, out)
}

fn instant(flag: &str, text: &str) -> Result<Cursor, Stop> {
    match Mark::from_text(text) {
        Ok(Mark::At(cursor)) => Ok(cursor),
        _ => {
            let problem = format!("{flag}: `{text}` is not an instant such as 2026-03-01T00:00:00+01:00");
            Err(Stop::new(Exit::Usage, problem))
        }
    }
}

/// Rows read, of how many, how fast, and how long it will still take. Drawn on stderr, and only on a terminal.
fn bar(job: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} rows, {msg}, {per_sec}, {eta} left");
    let bar = ProgressBar::new(0).with_prefix(job.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn watch(bar: ProgressBar) -> Watch {
    Arc::new(move |facts: &PageFacts, page: u64, rows: u64| {
        if page == 1 {
            // Each pass reads the whole stretch.
            bar.set_position(0);
        }
        if let Some(items) = facts.total_items {
            bar.set_length(items);
        }
        let pages = facts.total_pages.map(|pages| format!(" of {pages}")).unwrap_or_default();
        bar.set_message(format!("page {page}{pages}"));
        bar.inc(rows);
    })
}
