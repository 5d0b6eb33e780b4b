//! `cadenced backfill`: reads a stretch of the past again, with a progress bar on a terminal. A daemon that runs does it
//! beside the job's own runs; else it is done here, on the state directory itself.

use super::args::Backfill as Args;
use super::launch::{Report, holder, interrupted, print_report, start_logging};
use super::output::{Exit, Stop, say};
use super::place::{Place, job};
use super::runtime;
use crate::admin::control::PageRead;
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::connectors::Backfill;
use crate::daemon::{self, StartError};
use crate::rest::Watch;
use crate::runner::Ended;
use crate::state::StateError;
use crate::watermark::{Cursor, Mark, PageFacts};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn backfill(place: &Place, args: &Args, out: &mut impl Write) -> Result<Exit, Stop> {
    let loaded = place.load()?;
    let job = job(&loaded, &args.job)?;
    let (since, until) = (instant("--since", &args.since)?, instant("--until", &args.until)?);
    if since >= until {
        return Err(Stop::new(Exit::Usage, "--until must lie after --since"));
    }
    start_logging(loaded.settings.log.format, "warn,cadenced::runner=error")?;
    let bar = bar(&args.job);
    let ended = runtime()?.block_on(async {
        let backfill = Backfill { since, until, watch: Some(watch(bar.clone())) };
        match daemon::backfill(&loaded, job, backfill, Arc::new(SystemClock), interrupted()).await {
            Err(StartError::State(StateError::Held { .. })) => of_daemon(&loaded, args, &bar).await,
            once => Ok(once?.ended),
        }
    });
    bar.finish_and_clear();
    let Ended { outcome, counts, message } = ended?;
    print_report(&Report { job: &args.job, outcome, counts, message }, args.format, out)
}

/// The daemon does it, so that quotas and the job's turns stay shared, for as long as somebody waits for it here.
async fn of_daemon(loaded: &Loaded, args: &Args, bar: &ProgressBar) -> Result<Ended, Stop> {
    let daemon = holder(loaded).await?;
    say(format!("{}: the daemon reads it", args.job));
    let mut stop = interrupted();
    let ended = tokio::select! {
        ended = daemon.backfill(&args.job, &args.since, &args.until, |page| show(bar, page)) => ended,
        changed = stop.wait_for(|stop| *stop) => {
            drop(changed);
            return Ok(Ended::interrupted("stopped; the same command goes on from here"));
        }
    };
    let (outcome, counts, message) = ended?;
    Ok(Ended { outcome, counts, message })
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
    let read = Mutex::new(PageRead::default());
    Arc::new(move |facts: &PageFacts, page: u64, rows: u64| {
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = read.then(facts, page, rows);
        show(&bar, *read);
    })
}

fn show(bar: &ProgressBar, PageRead { page, pages, rows, items }: PageRead) {
    if let Some(items) = items {
        bar.set_length(items);
    }
    let pages = pages.map(|pages| format!(" of {pages}")).unwrap_or_default();
    bar.set_message(format!("page {page}{pages}"));
    bar.set_position(rows);
}
