//! The commands on what the daemon remembers: watermarks, rejects, the whole state. They go through the daemon if it
//! runs, so that its runs and they don't cross, and else work on the state directory themselves.

use super::args::{Format, Rejects, StateCommand, Watermark, Which};
use super::output::{Exit, Stop, Table, counted, json_line, or_nothing, say, typed_key};
use super::place::Place;
use crate::admin::control::{RejectRow, WatermarkRow, mark_text};
use crate::admin::{ClientError, ControlClient};
use crate::clock::SystemClock;
use crate::config;
use crate::connectors::{MUST_CALL_AGAIN, Wanted, drop_rejects, retry_rejects};
use crate::job::Work;
use crate::state::{ImportMode, Store};
use crate::watermark::Mark;
use crate::words::JobName;
use futures_util::StreamExt as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, Write};
use std::path::Path;
use std::sync::Arc;

/// What of a job's source a watermark or a reject belongs to; all jobs read one thing so far.
const ENTITY: &str = "";
/// As many rejects are shown before they are dropped or sent again.
const PREVIEWED: usize = 1_000;

const SECONDS: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Who holds the state.
pub(super) enum Keeper {
    Daemon(ControlClient),
    Here(Store),
}

impl Keeper {
    pub(super) async fn find(state: &Path) -> Result<Self, Stop> {
        match ControlClient::connect(state).await {
            Ok(daemon) => Ok(Self::Daemon(daemon)),
            // Opening a store creates it, and a mistyped directory must not become one.
            Err(ClientError::NoDaemon { .. }) if !state.join("db").exists() => {
                Err(Stop::new(Exit::Failed, format!("{}: there is no state here", state.display())))
            }
            Err(ClientError::NoDaemon { .. }) => Ok(Self::Here(Store::open(state, Arc::new(SystemClock))?)),
            Err(error) => Err(error.into()),
        }
    }
}

fn name(job: &str) -> Result<JobName, Stop> {
    JobName::new(job).map_err(|bad| Stop::new(Exit::Usage, bad.to_string()))
}

pub(super) async fn watermark(place: &Place, command: Watermark, out: &mut impl Write) -> Result<Exit, Stop> {
    let keeper = Keeper::find(&place.state()?).await?;
    match command {
        Watermark::List(args) => {
            let rows = match &keeper {
                Keeper::Daemon(daemon) => daemon.watermarks().await?,
                Keeper::Here(store) => watermarks(store, None).await?,
            };
            print_watermarks(&rows, args.format, out)?;
        }
        Watermark::Get(args) => {
            let row = match &keeper {
                Keeper::Daemon(daemon) => Some(daemon.watermark(&args.job).await?),
                Keeper::Here(store) => watermarks(store, Some(&name(&args.job)?)).await?.pop(),
            };
            // What it was before is for people, and no part of the value a script reads.
            for past in row.iter().flat_map(|row| &row.previous) {
                say(format!("before: {}, since {}", past.watermark, past.since.format(SECONDS)));
            }
            let Some(watermark) = row.and_then(|row| row.watermark) else {
                return Err(Stop::new(Exit::Failed, format!("{}: it has no watermark", args.job)));
            };
            writeln!(out, "{watermark}")?;
        }
        Watermark::Set { job, watermark } => {
            let to = Mark::from_text(&watermark).map_err(|bad| Stop::new(Exit::Usage, bad.to_string()))?;
            // A mistyped name must not get a watermark that no run ever looks at. A broken configuration keeps nobody
            // from repairing a watermark.
            if let (Keeper::Here(_), Ok(loaded)) = (&keeper, config::load(&place.sources()?)) {
                super::place::job(&loaded, &job)?;
            }
            let before = or_nothing(match &keeper {
                Keeper::Daemon(daemon) => daemon.set_watermark(&job, &watermark).await?.before,
                Keeper::Here(store) => set_watermark(store, &job, Some(to)).await?,
            });
            say(format!("{job}: the watermark is {to}; it was {before}"));
        }
        Watermark::Reset(args) => {
            let job = args.job;
            let before = or_nothing(match &keeper {
                Keeper::Daemon(daemon) => daemon.reset_watermark(&job).await?.before,
                Keeper::Here(store) => set_watermark(store, &job, None).await?,
            });
            say(format!(
                "{job}: no watermark; the next run starts from the configured start; it was {before}"
            ));
        }
    }
    Ok(Exit::Ok)
}

/// Gives what it was until then.
async fn set_watermark(store: &Store, job: &str, to: Option<Mark>) -> Result<Option<String>, Stop> {
    let before = store.set_watermark(&name(job)?, ENTITY, to.map(Mark::to_value)).await?;
    Ok(before.and_then(|mark| mark_text(&mark.value)))
}

async fn watermarks(store: &Store, job: Option<&JobName>) -> Result<Vec<WatermarkRow>, Stop> {
    let marks = store.watermarks(job).await?;
    Ok(marks.into_iter().map(|(job, _, watermark)| WatermarkRow::new(job, &watermark)).collect())
}

fn print_watermarks(rows: &[WatermarkRow], format: Format, out: &mut impl Write) -> Result<(), Stop> {
    if format == Format::Json {
        return rows.iter().try_for_each(|row| json_line(out, row));
    }
    let mut table = Table::new(["JOB", "WATERMARK", "MOVED"]);
    for row in rows {
        let moved = row.updated.map(|at| at.format(SECONDS));
        table.row([row.job.to_string(), or_nothing(row.watermark.as_ref()), or_nothing(moved)]);
    }
    table.print(out)
}

pub(super) async fn rejects(place: &Place, command: Rejects, out: &mut impl Write) -> Result<Exit, Stop> {
    let keeper = Keeper::find(&place.state()?).await?;
    // A job that continues another keeps nothing itself. A broken configuration keeps nobody from looking.
    let loaded = config::load(&place.sources()?).ok();
    let kept_by = |job: String| {
        let known = loaded.as_ref().and_then(|loaded| loaded.jobs.get(&JobName::new(&job).ok()?));
        known.map_or(job, |job| job.keeper().to_string())
    };
    // A job that is configured no more may have rejects; where nothing is found the name may be mistyped.
    let none_of = |job: &str| match &loaded {
        Some(loaded) => super::place::job(loaded, job).map(|_| ()),
        None => Ok(()),
    };
    match command {
        Rejects::List { job, filter, limit, format } => {
            let job = job.map(kept_by);
            let wanted = Wanted { key: None, class: filter.class, reason: filter.reason };
            let rows = listed(&keeper, job.as_deref(), &wanted, limit).await?;
            if let (true, Some(job)) = (rows.is_empty(), &job) {
                none_of(job)?;
            }
            print_rejects(&rows, format, out)?;
        }
        Rejects::Show { job, key } => {
            let (key, job) = (typed_key(&key), kept_by(job));
            let row = match &keeper {
                Keeper::Daemon(daemon) => Some(daemon.reject(&job, &key).await?),
                Keeper::Here(store) => {
                    let job = name(&job)?;
                    store.reject(&job, ENTITY, &key).await?.map(|reject| RejectRow::new(job, reject))
                }
            };
            match row {
                Some(row) => json_line(out, &row)?,
                None => return Err(Stop::new(Exit::Failed, format!("{job}: no reject has this key"))),
            }
        }
        Rejects::Retry(which) => {
            let (job, wanted, preview) = which.wanted();
            let job = kept_by(job);
            if preview {
                return previewed(&keeper, &job, &wanted, out).await;
            }
            let retried = match &keeper {
                Keeper::Daemon(daemon) => daemon.retry_rejects(&job, &wanted).await?,
                Keeper::Here(store) => {
                    let loaded = place.load()?;
                    let job = super::place::job(&loaded, &job)?;
                    if matches!(job.work, Work::Receive(..)) {
                        let text = format!("{}: {MUST_CALL_AGAIN}", job.name);
                        return Err(Stop::new(Exit::Failed, text));
                    }
                    retry_rejects(store, &job.name, &job.work, &wanted).await?
                }
            };
            some(&job, &wanted, retried)?;
            say(format!("{job}: {} sent again by the next run", counted(retried, "reject")));
        }
        Rejects::Drop(which) => {
            let (job, wanted, preview) = which.wanted();
            let job = kept_by(job);
            if preview {
                return previewed(&keeper, &job, &wanted, out).await;
            }
            let dropped = match &keeper {
                Keeper::Daemon(daemon) => daemon.drop_rejects(&job, &wanted).await?,
                Keeper::Here(store) => drop_rejects(store, &name(&job)?, &wanted).await?,
            };
            some(&job, &wanted, dropped)?;
            if dropped == 0 {
                none_of(&job)?;
            }
            say(format!("{job}: {} dropped", counted(dropped, "reject")));
        }
    }
    Ok(Exit::Ok)
}

impl Which {
    /// The job, which of its rejects, and whether only to show them.
    fn wanted(self) -> (String, Wanted, bool) {
        let Self { job, key, filter, all: _, preview } = self;
        let key = key.map(|key| typed_key(&key));
        (job, Wanted { key, class: filter.class, reason: filter.reason }, preview)
    }
}

/// Whoever named a key meant one that is there.
fn some(job: &str, wanted: &Wanted, found: u64) -> Result<(), Stop> {
    if found == 0 && wanted.key.is_some() {
        return Err(Stop::new(Exit::Failed, format!("{job}: no reject has this key")));
    }
    Ok(())
}

async fn previewed(keeper: &Keeper, job: &str, wanted: &Wanted, out: &mut impl Write) -> Result<Exit, Stop> {
    print_rejects(&listed(keeper, Some(job), wanted, PREVIEWED).await?, Format::Text, out)?;
    say("nothing was changed");
    Ok(Exit::Ok)
}

async fn listed(
    keeper: &Keeper,
    job: Option<&str>,
    wanted: &Wanted,
    limit: usize,
) -> Result<Vec<RejectRow>, Stop> {
    let store = match keeper {
        Keeper::Daemon(daemon) => return Ok(daemon.rejects(job, wanted, limit).await?),
        Keeper::Here(store) => store,
    };
    let jobs = match job {
        Some(job) => vec![name(job)?],
        None => store.ledger_view().await?.into_keys().collect(),
    };
    let mut rows = Vec::new();
    for job in jobs {
        let rejects = wanted.find(store, &job, limit - rows.len()).await?;
        rows.extend(rejects.into_iter().map(|reject| RejectRow::new(job.clone(), reject).without_content()));
    }
    Ok(rows)
}

fn print_rejects(rows: &[RejectRow], format: Format, out: &mut impl Write) -> Result<(), Stop> {
    if format == Format::Json {
        return rows.iter().try_for_each(|row| json_line(out, row));
    }
    if rows.is_empty() {
        say("no rejects");
        return Ok(());
    }
    let mut table = Table::new(["JOB", "KEY", "CLASS", "TRIES", "LAST", "RUN", "REASON"]);
    for row in rows {
        table.row([
            row.job.to_string(),
            row.key.clone(),
            row.class.as_str().to_owned(),
            row.tries.to_string(),
            row.at.format(SECONDS).to_string(),
            or_nothing(row.run),
            row.reason.clone(),
        ]);
    }
    table.print(out)
}

pub(super) async fn state(state: &Path, command: StateCommand, out: &mut impl Write) -> Result<Exit, Stop> {
    match command {
        StateCommand::Export { output: None } => export(state, out).await?,
        StateCommand::Export { output: Some(path) } => {
            let written =
                |error: io::Error| Stop::new(Exit::Internal, format!("{}: {error}", path.display()));
            // Under its name only when it is whole.
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(dir).map_err(written)?;
            export(state, &mut file).await?;
            file.as_file().sync_all().map_err(written)?;
            file.persist(&path).map_err(|error| written(error.error))?;
        }
        StateCommand::Import { file, replace } => {
            let mode = if replace { ImportMode::Replace } else { ImportMode::IntoEmpty };
            let from: Box<dyn BufRead> = if file == Path::new("-") {
                Box::new(io::stdin().lock())
            } else {
                let opened = File::open(&file)
                    .map_err(|error| Stop::new(Exit::Usage, format!("{}: {error}", file.display())))?;
                Box::new(BufReader::new(opened))
            };
            let imported = Store::import(state, from, mode)?;
            say(format!("{} entries, exported at {}", imported.entries, imported.exported.format(SECONDS)));
        }
    }
    Ok(Exit::Ok)
}

async fn export(state: &Path, to: &mut impl Write) -> Result<(), Stop> {
    match Keeper::find(state).await? {
        Keeper::Daemon(daemon) => {
            let mut chunks = daemon.export().await?;
            while let Some(chunk) = chunks.next().await {
                to.write_all(&chunk?)?;
            }
        }
        Keeper::Here(store) => {
            let mut spool = tempfile::tempfile()?;
            store.export(spool.try_clone()?).await?;
            spool.rewind()?;
            io::copy(&mut spool, to)?;
        }
    }
    Ok(())
}
