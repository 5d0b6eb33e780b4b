//! How late runs start behind their slots: the whole way from the planner over the durable claim in the ledger to the
//! first step of the run, with runs that do nothing, beside tokio-cron-scheduler in the same run, which claims nothing.
//!
//! `cargo bench --bench lateness`, and `-- --seconds 60` for longer. Each line is a process of its own. A slot is lost
//! if no run for it had started a second after the end. Linux only: elsewhere processor time reads zero.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "measure.rs"]
mod measure;

use cadenced::clock::{Clock as _, SystemClock};
use cadenced::config::{self, Sources};
use cadenced::job::Job;
use cadenced::planner::JobFacts;
use cadenced::run::{Counts, Outcome};
use cadenced::runner::{Ended, Perform, Stop};
use cadenced::scheduler::{Jobs, Scheduler};
use cadenced::state::{Store, Token};
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_cron_scheduler::{Job as CronJob, JobScheduler};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const SIDES: [&str; 2] = ["cadenced", "tokio-cron-scheduler"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).map(String::as_str)
    };
    let number = |name: &str, default: usize| text(name).map_or(Ok(default), str::parse);
    let seconds = number("--seconds", 20)?;
    let Some(side) = text("--as") else { return compare(seconds) };
    let measured = measure_side(side, number("--jobs", 20)?, number("--every", 1)?, seconds)?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn compare(seconds: usize) -> Result<()> {
    println!("Lateness of slots over {seconds} s, in milliseconds\n");
    println!(
        "| jobs  | every | scheduler            |  p50 |   p99 |   max | lost          | CPU, % | peak, MB |"
    );
    println!(
        "|------:|------:|----------------------|-----:|------:|------:|---------------|-------:|---------:|"
    );
    for (jobs, every) in [(20, 1), (20, 10), (1_000, 1), (1_000, 10)] {
        for side in SIDES {
            let mut command = Command::new(std::env::current_exe()?);
            for (name, value) in [("--jobs", jobs), ("--every", every), ("--seconds", seconds)] {
                command.args([name, &value.to_string()]);
            }
            let output = command.args(["--as", side]).stderr(Stdio::inherit()).output()?;
            if !output.status.success() {
                return Err(format!("{side} failed").into());
            }
            let Measured { late, slots, cpu_seconds, peak_bytes } = serde_json::from_slice(&output.stdout)?;
            let started = late.len();
            let at = |part: usize| late.get((started * part / 100).min(started.saturating_sub(1)));
            let [p50, p99, max] = [50, 99, 100].map(|part| at(part).copied().unwrap_or_default());
            let lost = format!("{} of {slots}", slots - started);
            let cpu = cpu_seconds * 100.0 / seconds as f64;
            let peak = peak_bytes as f64 / f64::from(1 << 20);
            println!(
                "| {jobs:>5} | {every:>3} s | {side:<20} | {p50:>4.0} | {p99:>5.0} | {max:>5.0} | {lost:<13} | {cpu:>6.1} | {peak:>8.1} |"
            );
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Measured {
    /// How late each slot started, in milliseconds, the least first.
    late: Vec<f64>,
    /// How many slots there were.
    slots: usize,
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// Runs that started: job, slot, when.
type Starts = Arc<Mutex<Vec<(String, DateTime<Utc>, DateTime<Utc>)>>>;

fn measure_side(side: &str, jobs: usize, every: usize, seconds: usize) -> Result<Measured> {
    let starts = Starts::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (from, until, cpu_seconds) = runtime.block_on(async {
        match side {
            "cadenced" => cadenced(jobs, every, seconds, &starts).await,
            _ => cron_scheduler(jobs, every, seconds, &starts).await,
        }
    })?;
    let mut seen = BTreeSet::new();
    let mut late = Vec::new();
    for (job, slot, at) in starts.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        if slot >= from && slot < until && seen.insert((job, slot)) {
            late.push((at - slot).as_seconds_f64() * 1000.0);
        }
    }
    late.sort_by(f64::total_cmp);
    Ok(Measured {
        late,
        slots: jobs * seconds / every,
        cpu_seconds,
        peak_bytes: measure::peak_resident_bytes(),
    })
}

/// Waits for the next full ten seconds, lets as many pass as are measured, and one more for what is late.
async fn watch_slots(seconds: usize) -> Result<(DateTime<Utc>, DateTime<Utc>, f64)> {
    let ten = TimeDelta::seconds(10);
    let from = (SystemClock.now() + TimeDelta::seconds(1)).duration_trunc(ten)? + ten;
    let until = from + TimeDelta::seconds(i64::try_from(seconds)?);
    // Between two slots: what belongs to the one before has been done, nothing of the first has begun.
    let margin = TimeDelta::milliseconds(100);
    tokio::time::sleep((from - margin - SystemClock.now()).to_std()?).await;
    let before = measure::cpu_seconds();
    tokio::time::sleep((until - margin - SystemClock.now()).to_std()?).await;
    let used = measure::cpu_seconds() - before;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok((from, until, used))
}

/// Notes when a run begins, and ends it.
struct Note(Starts);

impl Perform for Note {
    fn perform(&self, job: Arc<Job>, token: Token, _stop: Stop) -> BoxFuture<'static, Ended> {
        let starts = Arc::clone(&self.0);
        Box::pin(async move {
            let start = (job.name.to_string(), token.slot.at, SystemClock.now());
            starts.lock().unwrap_or_else(PoisonError::into_inner).push(start);
            Ended { outcome: Outcome::Ok, counts: Counts::default(), message: None }
        })
    }
}

async fn cadenced(
    jobs: usize,
    every: usize,
    seconds: usize,
    starts: &Starts,
) -> Result<(DateTime<Utc>, DateTime<Utc>, f64)> {
    let place = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let jobs = read_jobs(place.path(), jobs, every)?;
    let clock = Arc::new(SystemClock);
    let (dir, store_clock) = (place.path().join("state"), clock.clone());
    let store = tokio::task::spawn_blocking(move || Store::open(&dir, store_clock)).await??;
    let facts: BTreeMap<_, JobFacts> = BTreeMap::new();
    let perform = Arc::new(Note(Arc::clone(starts)));
    let (scheduler, _handle) = Scheduler::new(&jobs, &facts, Arc::new(store.clone()), perform, clock);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(scheduler.run(stopped, Duration::from_secs(1)));
    let watched = watch_slots(seconds).await;
    stop.send_replace(true);
    running.await?;
    tokio::task::spawn_blocking(move || drop(store)).await?;
    watched
}

/// Jobs as a configuration gives them. Their ends are never used.
fn read_jobs(place: &Path, jobs: usize, every: usize) -> Result<Jobs> {
    let mut text =
        "[connection.erp]\nsql = \"sqlite://erp.db\"\n[connection.shop]\nurl = \"http://127.0.0.1:9\"\n"
            .to_owned();
    for job in 0..jobs {
        writeln!(
            text,
            "[job.job-{job}]\ncron = \"*/{every} * * * * *\"\nwrite = {{ to = \"erp\", table = \"t\", upsert-by = [\"id\"] }}\n\
             [job.job-{job}.pull]\nfrom = \"shop\"\nget = \"/list\"\nrows = \"data\"\nkey = [\"id\"]"
        )?;
    }
    let file = place.join("cadenced.toml");
    std::fs::write(&file, text)?;
    let loaded = config::load(&Sources { file: Some(file), ..Sources::default() });
    Ok(loaded.map_err(|mistakes| format!("{mistakes:?}"))?.jobs)
}

async fn cron_scheduler(
    jobs: usize,
    every: usize,
    seconds: usize,
    starts: &Starts,
) -> Result<(DateTime<Utc>, DateTime<Utc>, f64)> {
    let scheduler = JobScheduler::new().await?;
    for job in 0..jobs {
        let starts = Arc::clone(starts);
        let run = move |_, _| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
            let starts = Arc::clone(&starts);
            Box::pin(async move {
                let now = SystemClock.now();
                // It does not say for which slot it fires: the one just past.
                let step = TimeDelta::seconds(i64::try_from(every).unwrap_or(1));
                let Ok(slot) = now.duration_trunc(step) else { return };
                starts.lock().unwrap_or_else(PoisonError::into_inner).push((job.to_string(), slot, now));
            })
        };
        scheduler.add(CronJob::new_async(format!("*/{every} * * * * *"), run)?).await?;
    }
    scheduler.start().await?;
    watch_slots(seconds).await
}
