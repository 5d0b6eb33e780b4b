//! The daemon as the control API sees it: answers from the state, the scheduler and the set that serves.

mod conditions;
mod overview;
mod slots;

use self::conditions::{
    Extra, condition, measure, measure_connection, measure_no_more, of_connection, success_due,
};
use super::backfill::Backfills;
use super::service;
use crate::admin::control::{
    Again, Answer, Condition, ConnectionHealth, Control, Health, JobHealth, JobStatus, Moved, Readiness,
    RejectRow, ReloadHealth, Reloaded, SlotRow, Step, Triggered, Wait, WatermarkRow, mark_text,
};
use crate::admin::{Overview, Refusal};
use crate::clock::SharedClock;
use crate::connectors::{MUST_CALL_AGAIN, Preview, Wanted, drop_rejects, retry_rejects};
use crate::job::{self, Job, Work};
use crate::planner;
use crate::reload::{Reloader, Set};
use crate::rest::{Client, Ping};
use crate::run::RunRecord;
use crate::scheduler::{Jobs, SchedulerHandle};
use crate::state::{StateError, Store, Watermark};
use crate::telemetry;
use crate::transfer::Failure;
use crate::watermark::{Cursor, Mark};
use crate::words::{ConnectionName, JobName};
use chrono::NaiveDate;
use chrono_tz::Tz;
use futures_util::future::BoxFuture;
use metrics::gauge;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a job reads, where it reads one thing.
const ENTITY: &str = "";
const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// What the control API asks of the daemon.
pub(super) struct DaemonControl {
    store: Store,
    scheduler: SchedulerHandle,
    reloader: Reloader,
    clock: SharedClock,
    started: Instant,
    stage: AtomicU8,
    backfills: Backfills,
    /// Whose gauges were set last.
    measured: Mutex<(BTreeSet<JobName>, BTreeSet<ConnectionName>)>,
    /// For what goes on after its request was answered.
    me: Weak<Self>,
}

impl DaemonControl {
    pub(super) fn new(
        store: Store,
        scheduler: SchedulerHandle,
        reloader: Reloader,
        clock: SharedClock,
    ) -> Arc<Self> {
        let (started, stage) = (Instant::now(), AtomicU8::new(STARTING));
        let backfills = Backfills::new(store.clone());
        Arc::new_cyclic(|me| {
            let me = me.clone();
            let measured = Mutex::default();
            Self { store, scheduler, reloader, clock, started, stage, backfills, measured, me }
        })
    }

    pub(super) fn ready(&self) {
        self.stage.store(READY, Ordering::Relaxed);
    }

    pub(super) fn draining(&self) {
        self.stage.store(DRAINING, Ordering::Relaxed);
        self.backfills.stop();
    }

    /// Reads the configuration again and tells the service manager about it.
    pub(super) async fn reload_now(&self) -> Answer<Reloaded> {
        self.not_draining()?;
        service::reloading();
        let reloaded = self.reloader.reload().await;
        // Told to stop meanwhile, it is not ready any more.
        if self.not_draining().is_ok() {
            service::ready();
        }
        match reloaded {
            Ok(swapped) => Ok(Reloaded { jobs: Some(swapped.jobs), warnings: swapped.warnings }),
            Err(problems) => Err(Refusal::Config { problems }),
        }
    }

    fn not_draining(&self) -> Answer<()> {
        match self.readiness() {
            Readiness::Draining => Err(Refusal::Unavailable { message: "the daemon is stopping".to_owned() }),
            Readiness::Starting | Readiness::Ready => Ok(()),
        }
    }

    /// How it is doing, in a line; nothing once the scheduler has stopped answering.
    pub(super) async fn status_line(&self) -> Option<String> {
        let view = self.scheduler.view().await?;
        if self.not_draining().is_err() {
            return Some(format!("waiting for running jobs to end: {}", view.running.len()));
        }
        let next = view.next.iter().min_by_key(|(_, at)| **at);
        let next = next.map(|(job, at)| format!("; next: {job} at {}", at.format("%H:%M:%SZ")));
        Some(format!("{} running{}", view.running.len(), next.unwrap_or_default()))
    }

    /// The jobs that serve.
    pub(super) fn jobs(&self) -> Jobs {
        self.reloader.set().jobs.clone()
    }

    fn job(&self, name: &JobName) -> Answer<Job> {
        let set = self.reloader.set();
        set.jobs.get(name).cloned().ok_or_else(|| unknown(name, &set))
    }

    /// Under whose name the rejects of a job are kept.
    fn keeper(&self, name: JobName) -> JobName {
        self.reloader.set().jobs.get(&name).map_or(name, |job| job.keeper().clone())
    }

    async fn conditions(&self) -> Answer<Vec<(Job, JobHealth, Extra)>> {
        let set = self.reloader.set();
        let view = self.scheduler.view().await.unwrap_or_default();
        let mut ledger = self.store.ledger_view().await.map_err(internal)?;
        let marks: BTreeMap<JobName, Watermark> = self
            .store
            .watermarks(None)
            .await
            .map_err(internal)?
            .into_iter()
            .map(|(job, _, mark)| (job, mark))
            .collect();
        let mut jobs = Vec::with_capacity(set.jobs.len());
        for (name, job) in &set.jobs {
            let ledger = ledger.remove(name).unwrap_or_default();
            // The run that goes and the one before it: what counts is how the last one ended.
            let runs = self.store.runs(Some(name), 2).await.map_err(internal)?;
            let (mut health, extra) = condition(job, &ledger, &runs, marks.get(name), &view);
            if let (Work::Receive(..), true, None) = (&job.work, job.enabled, &set.settings.inbound) {
                let why = "nobody can call: there is no `[inbound]` in the daemon's file";
                (health.status, health.why) = (Condition::Off, Some(why.to_owned()));
            }
            measure(name, &health, &extra, marks.get(name), success_due(job, &health));
            jobs.push((job.clone(), health, extra));
        }
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in measured.0.iter().filter(|name| !set.jobs.contains_key(*name)) {
            measure_no_more(gone);
        }
        measured.0 = set.jobs.keys().cloned().collect();
        Ok(jobs)
    }

    async fn health_now(&self) -> Health {
        let jobs = self.conditions().await;
        self.health_of(jobs.map(|jobs| jobs.into_iter().map(|(job, health, _)| (job.name, health)).collect()))
    }

    /// The whole picture from that of the jobs, or from why there is none.
    fn health_of(&self, jobs: Answer<BTreeMap<JobName, JobHealth>>) -> Health {
        let set = self.reloader.set();
        let why = (!set.refused.is_empty()).then(|| set.refused.join("\n"));
        let reload = ReloadHealth { ok: why.is_none(), why };
        let uptime = self.started.elapsed().as_secs();
        match jobs {
            Ok(jobs) => Health::new(uptime, jobs, reload).with_connections(self.connections_now()),
            Err(refusal) => {
                let mut health = Health::new(uptime, BTreeMap::new(), reload);
                health.status = Condition::Failing;
                health.reload.why = Some(refusal.to_string());
                health
            }
        }
    }

    fn connections_now(&self) -> BTreeMap<ConnectionName, ConnectionHealth> {
        let connectors = self.reloader.connectors();
        let now = self.clock.now();
        let health = |(name, client): (&ConnectionName, &Arc<Client>)| {
            let health = of_connection(client.view(), now);
            measure_connection(name, &health);
            (name.clone(), health)
        };
        let all: BTreeMap<_, _> = connectors.clients().map(health).collect();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in measured.1.iter().filter(|name| !all.contains_key(*name)) {
            gauge!(telemetry::WAITS_UNTIL, "connection" => gone.to_string()).set(0.0);
            gauge!(telemetry::BREAKER_OPEN, "connection" => gone.to_string()).set(0.0);
        }
        measured.1 = all.keys().cloned().collect();
        all
    }

    async fn trigger_now(&self, name: JobName, again: Again, wait: Wait) -> Answer<Triggered> {
        self.job(&name)?;
        let triggered = self.scheduler.trigger(name.clone(), again == Again::Yes).await;
        let triggered = triggered.map_err(|refusal| self.refused(refusal))?;
        let at = triggered.slot.at;
        if wait == Wait::No {
            return Ok(Triggered { slot: at, run: None });
        }
        let Ok((token, _)) = triggered.ended.await else {
            let message = format!("{name}: the run was not started; see: cadenced slots {name}");
            return Err(Refusal::Busy { message });
        };
        let run = self.store.run(token.run).await.map_err(internal)?;
        Ok(Triggered { slot: token.slot.at, run })
    }

    fn refused(&self, refusal: planner::Refusal) -> Refusal {
        match refusal {
            planner::Refusal::Unknown(job) => unknown(&job, &self.reloader.set()),
            planner::Refusal::Stopping => Refusal::Unavailable { message: refusal.to_string() },
            _ => Refusal::Busy { message: refusal.to_string() },
        }
    }

    fn status_of(&self, job: &Job, health: JobHealth, extra: Extra) -> JobStatus {
        JobStatus {
            job: job.name.clone(),
            summary: job.summary.clone(),
            timezone: self.zone(job).name().to_owned(),
            health,
            last_outcome: extra.last_outcome,
            running: extra.run,
            paused: extra.paused,
        }
    }

    fn zone(&self, job: &Job) -> Tz {
        job.trigger.timetable().map_or(self.reloader.set().settings.timezone, |timetable| timetable.zone())
    }

    async fn mark(&self, name: &JobName) -> Answer<WatermarkRow> {
        // Also one that was taken away, for what it was before.
        let marks = self.store.watermarks(Some(name)).await.map_err(internal)?;
        let mark = marks.into_iter().find(|(_, entity, _)| entity == ENTITY).map(|(_, _, mark)| mark);
        Ok(mark.map_or(WatermarkRow::none(name.clone()), |mark| WatermarkRow::new(name.clone(), &mark)))
    }
}

fn keeps_watermark(job: &Job) -> bool {
    match &job.work {
        Work::Pull(pull, _) => pull.since.is_some(),
        Work::Push(_, push) => matches!(push.send, job::Send::Since(_)),
        Work::Steps(..) | Work::Receive(..) | Work::Unconfigured => false,
    }
}

fn unknown(name: &JobName, set: &Set) -> Refusal {
    let near = set.jobs.keys().map(|job| (strsim::jaro_winkler(job.as_str(), name.as_str()), job));
    let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    Refusal::UnknownJob { job: name.to_string(), suggestion: near.map(|(_, job)| job.to_string()) }
}

fn internal(error: StateError) -> Refusal {
    Refusal::Internal { message: error.to_string() }
}

impl Control for DaemonControl {
    fn readiness(&self) -> Readiness {
        match self.stage.load(Ordering::Relaxed) {
            STARTING => Readiness::Starting,
            DRAINING => Readiness::Draining,
            _ => Readiness::Ready,
        }
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.health_now())
    }

    fn status(&self) -> BoxFuture<'_, Answer<Vec<JobStatus>>> {
        Box::pin(async {
            let row = |(job, health, extra): (Job, JobHealth, Extra)| self.status_of(&job, health, extra);
            Ok(self.conditions().await?.into_iter().map(row).collect())
        })
    }

    fn overview(&self) -> BoxFuture<'_, Overview> {
        Box::pin(self.overview_now())
    }

    fn history(&self, job: Option<JobName>, limit: usize) -> BoxFuture<'_, Answer<Vec<RunRecord>>> {
        Box::pin(async move { self.store.runs(job.as_ref(), limit).await.map_err(internal) })
    }

    fn slots(&self, job: JobName, date: Option<NaiveDate>) -> BoxFuture<'_, Answer<Vec<SlotRow>>> {
        Box::pin(self.slots_of(job, date))
    }

    fn trigger(&self, job: JobName, again: Again, wait: Wait) -> BoxFuture<'_, Answer<Triggered>> {
        Box::pin(self.trigger_now(job, again, wait))
    }

    fn dry_run(&self, job: JobName, rows: Option<usize>) -> BoxFuture<'_, Answer<Preview>> {
        Box::pin(async move {
            let job = self.job(&job)?;
            let connectors = self.reloader.connectors();
            let previewed = match rows {
                None => connectors.preview(&job).await,
                Some(rows) => connectors.try_rows(&job, rows).await,
            };
            let why = |failure: Failure| format!("{}: a run would fail: {failure}", job.name);
            previewed.map_err(|failure| Refusal::Busy { message: why(failure) })
        })
    }

    fn backfill(
        &self,
        job: JobName,
        since: Cursor,
        until: Cursor,
    ) -> BoxFuture<'_, Answer<mpsc::Receiver<Step>>> {
        Box::pin(async move {
            self.not_draining()?;
            let (job, connectors) = (self.job(&job)?, self.reloader.connectors());
            self.backfills.start(job, connectors, since, until, self.clock.now())
        })
    }

    fn pause(&self, job: JobName, reason: Option<String>) -> BoxFuture<'_, Answer<()>> {
        Box::pin(async move {
            self.job(&job)?;
            self.store.pause(&job, reason.clone()).await.map_err(internal)?;
            self.reloader.receiver().pause(job.clone());
            self.scheduler.pause(job, reason.unwrap_or_default()).await;
            Ok(())
        })
    }

    fn resume(&self, job: JobName) -> BoxFuture<'_, Answer<()>> {
        Box::pin(async move {
            self.job(&job)?;
            self.store.resume(&job).await.map_err(internal)?;
            self.reloader.receiver().resume(&job);
            self.scheduler.resume(job).await;
            Ok(())
        })
    }

    fn reload(&self, wait: Wait) -> BoxFuture<'_, Answer<Reloaded>> {
        Box::pin(async move {
            if wait == Wait::Yes {
                return self.reload_now().await;
            }
            self.not_draining()?;
            if let Some(me) = self.me.upgrade() {
                tokio::spawn(async move { me.reload_now().await.map(drop) });
            }
            Ok(Reloaded { jobs: None, warnings: Vec::new() })
        })
    }

    fn watermarks(&self) -> BoxFuture<'_, Answer<Vec<WatermarkRow>>> {
        Box::pin(async {
            let set = self.reloader.set();
            let mut rows = Vec::new();
            for (name, _) in set.jobs.iter().filter(|(_, job)| keeps_watermark(job)) {
                rows.push(self.mark(name).await?);
            }
            Ok(rows)
        })
    }

    fn watermark(&self, job: JobName) -> BoxFuture<'_, Answer<WatermarkRow>> {
        Box::pin(async move {
            self.job(&job)?;
            self.mark(&job).await
        })
    }

    fn set_watermark(&self, job: JobName, to: Option<Mark>) -> BoxFuture<'_, Answer<Moved>> {
        Box::pin(async move {
            if !keeps_watermark(&self.job(&job)?) {
                return Err(Refusal::BadRequest { message: format!("{job} keeps no watermark") });
            }
            let moved = self.store.set_watermark(&job, ENTITY, to.map(Mark::to_value)).await;
            let before = moved.map_err(|error| match error {
                StateError::Running { .. } => Refusal::Busy { message: error.to_string() },
                error => internal(error),
            })?;
            let before = before.and_then(|mark| mark_text(&mark.value));
            Ok(Moved { now: self.mark(&job).await?, before })
        })
    }

    fn rejects(
        &self,
        job: Option<JobName>,
        wanted: Wanted,
        limit: usize,
    ) -> BoxFuture<'_, Answer<Vec<RejectRow>>> {
        Box::pin(async move {
            let jobs = match job {
                Some(job) => vec![self.keeper(job)],
                None => self.reloader.set().jobs.keys().cloned().collect(),
            };
            let mut rows = Vec::new();
            for job in jobs {
                let rejects = wanted.find(&self.store, &job, limit - rows.len()).await.map_err(internal)?;
                rows.extend(
                    rejects.into_iter().map(|reject| RejectRow::new(job.clone(), reject).without_content()),
                );
                if rows.len() >= limit {
                    break;
                }
            }
            Ok(rows)
        })
    }

    fn reject(&self, job: JobName, key: String) -> BoxFuture<'_, Answer<RejectRow>> {
        Box::pin(async move {
            let job = self.keeper(job);
            let reject = self.store.reject(&job, ENTITY, &key).await.map_err(internal)?;
            let missing =
                || Refusal::NotFound { message: format!("{job} has no reject with the key `{key}`") };
            reject.map(|reject| RejectRow::new(job.clone(), reject)).ok_or_else(missing)
        })
    }

    fn drop_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>> {
        Box::pin(async move { drop_rejects(&self.store, &self.keeper(job), &wanted).await.map_err(internal) })
    }

    fn retry_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>> {
        Box::pin(async move {
            let job = self.job(&job)?;
            if matches!(job.work, Work::Receive(..)) {
                return Err(Refusal::BadRequest { message: format!("{}: {MUST_CALL_AGAIN}", job.name) });
            }
            retry_rejects(&self.store, job.keeper(), &job.work, &wanted).await.map_err(internal)
        })
    }

    fn connections(&self) -> BoxFuture<'_, BTreeMap<ConnectionName, ConnectionHealth>> {
        Box::pin(async { self.connections_now() })
    }

    fn ping(&self, connection: ConnectionName) -> BoxFuture<'_, Answer<Ping>> {
        Box::pin(async move {
            let unknown = || Refusal::UnknownConnection { connection: connection.to_string() };
            self.reloader.connectors().ping(&connection).await.ok_or_else(unknown)
        })
    }

    fn export(&self, to: Box<dyn io::Write + Send>) -> BoxFuture<'_, Answer<()>> {
        Box::pin(async { self.store.export(to).await.map(drop).map_err(internal) })
    }
}
