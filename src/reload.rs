//! A new set of jobs, or the old one whole: reads the configuration again and swaps jobs and connections only if all of
//! it is right. What was refused, and why, is kept for `/health`.

use crate::clock::SharedClock;
use crate::config::{self, Loaded, Settings, Sources};
use crate::connection::{Connection, ConnectionKind};
use crate::connectors::Connectors;
use crate::inbound::Listener;
use crate::plan::{self, Figures, Finding, Weight, What};
use crate::planner::JobFacts;
use crate::quota::Quota;
use crate::receiver::Receiver;
use crate::run::Outcome;
use crate::runner::Runner;
use crate::scheduler::{Jobs, SchedulerHandle};
use crate::state::{JobView, StateError, Store};
use crate::telemetry;
use crate::words::JobName;
use chrono::{DateTime, Utc};
use metrics::gauge;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Windows at least this long are a budget that people plan with.
const BUDGET_WINDOW_SECONDS: u64 = 3600;
/// How many of a job's last runs say what one costs.
const MEASURED_RUNS: usize = 100;

/// The set of jobs that serves.
#[derive(Debug, Clone)]
pub struct Set {
    /// What concerns the daemon as a whole, as it was at the start: but for the zone and the listener it is not swapped.
    pub settings: Settings,
    /// The jobs.
    pub jobs: Jobs,
    /// Why the last reload was refused, if it was; one problem a line.
    pub refused: Vec<String>,
}

/// What a reload brought.
#[derive(Debug, Clone)]
pub struct Swapped {
    /// How many jobs the new set has.
    pub jobs: usize,
    /// What is allowed but probably not meant, and what takes effect only after a restart.
    pub warnings: Vec<String>,
}

/// Reads the configuration again when told to.
pub struct Reloader {
    sources: Sources,
    store: Store,
    runner: Arc<Runner>,
    receiver: Arc<Receiver>,
    listener: Arc<Listener<Receiver>>,
    scheduler: SchedulerHandle,
    clock: SharedClock,
    set: RwLock<Arc<Set>>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    /// Starts from what was loaded.
    #[must_use]
    pub fn new(
        loaded: Loaded,
        sources: Sources,
        store: Store,
        runner: Arc<Runner>,
        (receiver, listener): (Arc<Receiver>, Arc<Listener<Receiver>>),
        scheduler: SchedulerHandle,
        clock: SharedClock,
    ) -> Self {
        let set = Set { settings: loaded.settings, jobs: loaded.jobs, refused: Vec::new() };
        record_success(true, &clock);
        let set = RwLock::new(Arc::new(set));
        let turn = tokio::sync::Mutex::new(());
        Self { sources, store, runner, receiver, listener, scheduler, clock, set, turn }
    }

    /// Who answers the calls of platforms.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// The set that serves.
    #[must_use]
    pub fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connections that serve.
    #[must_use]
    pub fn connectors(&self) -> Arc<Connectors> {
        self.runner.connectors()
    }

    /// Reads the configuration again. The error is every problem, one a line; the old set goes on serving.
    pub async fn reload(&self) -> Result<Swapped, Vec<String>> {
        let _turn = self.turn.lock().await;
        match self.swap().await {
            Ok(swapped) => {
                tracing::info!(jobs = swapped.jobs, "the configuration was read again and serves");
                for warning in &swapped.warnings {
                    tracing::warn!("{warning}");
                }
                record_success(true, &self.clock);
                Ok(swapped)
            }
            Err(problems) => {
                tracing::error!("the configuration was refused; the old one stays:\n{}", problems.join("\n"));
                let refused = Set { refused: problems.clone(), ..(*self.set()).clone() };
                self.keep(refused);
                record_success(false, &self.clock);
                Err(problems)
            }
        }
    }

    async fn swap(&self) -> Result<Swapped, Vec<String>> {
        let sources = self.sources.clone();
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let before = self.runner.connectors();
        let read = move || {
            let problems =
                |all: Vec<config::Diagnostic>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            let loaded = config::load(&sources).map_err(problems)?;
            let connectors = Connectors::open(&loaded.connections, Some(&before), store, clock);
            Ok((loaded, connectors.map_err(|failure| vec![failure.to_string()])?))
        };
        let (loaded, connectors) =
            tokio::task::spawn_blocking(read).await.map_err(|error| vec![error.to_string()]).flatten()?;
        let facts = facts(&self.store).await.map_err(|error| vec![error.to_string()])?;
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let old = self.set();
        warnings.extend(needs_restart(&old.settings, &loaded.settings));
        let budgets = budgets_that_will_not_last(&self.store, &loaded, self.clock.now()).await;
        warnings.extend(budgets.map_err(|error| vec![error.to_string()])?);
        let inbound = loaded.settings.inbound.clone();
        // Before anything is swapped: an address that can't be had refuses the whole.
        let change = self.listener.prepare(inbound.clone()).await.map_err(|error| vec![error.to_string()])?;
        let (runner, receiver) = (Arc::clone(&self.runner), Arc::clone(&self.receiver));
        let (jobs, connectors) = (loaded.jobs.clone(), Arc::new(connectors));
        let swap = {
            let inbound = inbound.clone();
            move || {
                runner.swap(Arc::clone(&connectors));
                receiver.swap(&jobs, connectors, inbound.as_ref());
            }
        };
        self.scheduler.replace(loaded.jobs.clone(), facts, swap).await;
        self.listener.change(change).await;
        let jobs = loaded.jobs.len();
        let settings = Settings { timezone: loaded.settings.timezone, inbound, ..old.settings.clone() };
        self.keep(Set { settings, jobs: loaded.jobs, refused: Vec::new() });
        Ok(Swapped { jobs, warnings })
    }

    fn keep(&self, set: Set) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

/// Quotas of an hour or longer that today's slots want more of than there is, as warnings.
pub async fn budgets_that_will_not_last(
    store: &Store,
    loaded: &Loaded,
    now: DateTime<Utc>,
) -> Result<Vec<String>, StateError> {
    let is_long = |quota: &Quota| quota.window.as_secs() >= BUDGET_WINDOW_SECONDS;
    let has_budget = |connection: &Connection| match &connection.kind {
        ConnectionKind::Rest(rest) => rest.quota.iter().any(is_long),
        ConnectionKind::Sql(_) => false,
    };
    if !loaded.connections.values().any(has_budget) {
        return Ok(Vec::new());
    }
    let mut figures = BTreeMap::new();
    for job in loaded.jobs.values().filter(|job| job.is_live()) {
        let measured = Figures::measured(&store.runs(Some(&job.name), MEASURED_RUNS).await?);
        let given = || loaded.estimates.get(&job.name).copied().map(Figures::given);
        figures.extend(measured.or_else(given).map(|figures| (job.name.clone(), figures)));
    }
    let (jobs, connections, zone) =
        (loaded.jobs.clone(), loaded.connections.clone(), loaded.settings.timezone);
    let date = now.with_timezone(&zone).date_naive();
    let report =
        tokio::task::spawn_blocking(move || plan::day(&jobs, &connections, &figures, date, zone)).await;
    // It only ends early with the program.
    let findings = report.map(|report| report.findings).unwrap_or_default();
    let warning = |finding: Finding| match finding.what {
        What::Quota { connection, quota, window_seconds, requests, first, .. }
            if finding.weight == Weight::Breaks && window_seconds >= BUDGET_WINDOW_SECONDS =>
        {
            Some(format!(
                "connection.{connection}.quota: {quota} won't last: its jobs want {requests}; from {} on slots are skipped; see: \
                 cadenced plan",
                first.format("%H:%M")
            ))
        }
        _ => None,
    };
    Ok(findings.into_iter().filter_map(warning).collect())
}

fn needs_restart(old: &Settings, new: &Settings) -> Vec<String> {
    let changed = [
        ("state", old.state != new.state),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("admin.token", token(old) != token(new)),
        ("drain-timeout", old.drain_timeout != new.drain_timeout),
        ("log", old.log != new.log),
        ("housekeeping", old.housekeeping != new.housekeeping),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed
        .map(|(key, _)| format!("{key}: changed; takes effect only after a restart of the daemon"))
        .collect()
}

fn token(settings: &Settings) -> Option<&str> {
    settings.admin.token.as_ref().map(SecretString::expose_secret)
}

fn record_success(ok: bool, clock: &SharedClock) {
    gauge!(telemetry::CONFIG_RELOAD_SUCCESS).set(if ok { 1.0 } else { 0.0 });
    if ok {
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 fit a float for millions of years"
        )]
        gauge!(telemetry::CONFIG_RELOAD_TIME).set(clock.now().timestamp() as f64);
    }
}

/// What the planner must know of each job that the ledger knows.
pub async fn facts(store: &Store) -> Result<BTreeMap<JobName, JobFacts>, StateError> {
    let views = store.ledger_view().await?;
    Ok(views.into_iter().map(|(job, view)| (job, facts_of(view))).collect())
}

fn facts_of(view: JobView) -> JobFacts {
    let last = view.recent.first();
    let failed = last.filter(|(_, record)| record.outcome == Some(Outcome::Failed));
    JobFacts {
        accounted: view.accounted,
        interrupted: view.interrupted.iter().map(|(at, _)| *at).collect(),
        pending: view.pending,
        failed: failed.map(|(at, record)| (*at, record.attempts, record.updated)),
        paused: view.paused.map(|pause| pause.reason.unwrap_or_default()),
        initial_done: view.last_success.is_some(),
    }
}
