//! Answers the calls of platforms by the jobs that receive: what a call brought is written into the ERP while the caller
//! waits, and the answer says what became of it.
//!
//! Promises: an answer of success means that the ERP has committed. What could not be written because of the ERP is
//! answered 503, and the platform calls again; what was refused is answered with what is wrong with it and kept as a
//! reject. Neither the answer nor the log says a secret.

mod tally;

use crate::clock::SharedClock;
use crate::connectors::{Connectors, Fault, Outcomes, Refused, Taken};
use crate::inbound::{self, Endpoint, Received, Reply};
use crate::job::receive::{self, Filling};
use crate::job::{Job, Receive, Work, Write};
use crate::run::RunId;
use crate::state::{Settlement, StateError, Store};
use crate::telemetry;
use crate::transfer::{Class, Failure, Rejected};
use crate::words::JobName;
use axum::http::StatusCode;
use metrics::histogram;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tally::Tally;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a job reads, where it reads one thing.
const ENTITY: &str = "";
/// More rejects than this are not kept of one job: a platform may call as often as it likes.
const MOST_REJECTS: u64 = 1_000;
/// When a caller is asked to come again.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// The jobs by name.
type Jobs = BTreeMap<JobName, Job>;

/// Does what calls ask for.
pub struct Receiver {
    serving: RwLock<Arc<Serving>>,
    paused: Mutex<BTreeSet<JobName>>,
    tally: Tally,
    store: Store,
    clock: SharedClock,
}

/// The jobs that receive now, over the connections of the same set.
struct Serving {
    by_path: BTreeMap<String, Arc<Job>>,
    connectors: Arc<Connectors>,
    limit: Duration,
}

impl Serving {
    fn job(&self, path: &str) -> Option<(&Job, &Receive, &Write)> {
        let job = self.by_path.get(path)?;
        match &job.work {
            Work::Receive(receive, write) => Some((job, receive, write)),
            _ => None,
        }
    }
}

impl Receiver {
    /// One that serves these jobs, but for the paused ones.
    #[must_use]
    pub fn new(
        jobs: &Jobs,
        connectors: Arc<Connectors>,
        settings: Option<&inbound::Settings>,
        paused: impl IntoIterator<Item = JobName>,
        store: Store,
        clock: SharedClock,
    ) -> Self {
        let serving = RwLock::new(Arc::new(serving(jobs, connectors, settings)));
        let paused = Mutex::new(paused.into_iter().collect());
        Self { serving, paused, tally: Tally::default(), store, clock }
    }

    /// Calls that come from now on are for these jobs, over these connections; those that have come stay with theirs.
    pub fn swap(&self, jobs: &Jobs, connectors: Arc<Connectors>, settings: Option<&inbound::Settings>) {
        let serving = Arc::new(serving(jobs, connectors, settings));
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving;
    }

    /// The job takes nothing until it is resumed.
    pub fn pause(&self, job: JobName) {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
    }

    /// The job takes again what comes.
    pub fn resume(&self, job: &JobName) {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
    }

    /// Writes into the ledger what jobs received, until `stop` turns true; then what is left.
    pub async fn keep_books(&self, stop: watch::Receiver<bool>) {
        self.tally.keep_books(&self.store, &self.clock, stop).await;
    }

    fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn take(&self, received: Received) -> Reply {
        let serving = self.serving();
        let (Some((job, receive, write)), Value::Object(body)) =
            (serving.job(&received.path), &received.content)
        else {
            // The job was taken away after the caller was let in.
            return Reply::refusal(StatusCode::NOT_FOUND, "there is no such endpoint");
        };
        let caller = received.caller.as_str();
        let name = &job.name;
        if self.paused.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            tracing::warn!(job = %name, caller, "refused a call: the job is paused");
            return later("this is paused; repeat the call later");
        }
        tracing::debug!(job = %name, caller, "a call came");
        let started = Instant::now();
        let taken = serving.connectors.take(name, receive, write, body, serving.limit).await;
        histogram!(telemetry::CALL_DURATION, "job" => name.to_string()).record(started.elapsed());
        match taken {
            Ok(outcomes) => {
                for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                    tracing::warn!(job = %name, caller, key = refused.key, "refused a record: {}", refused.reason);
                }
                if let Err(error) = self.remember(name, &outcomes).await {
                    tracing::error!(job = %name, %error, "what was refused could not be kept as a reject");
                }
                let reply = answer(receive, &outcomes);
                self.tally.taken(name, &outcomes);
                reply
            }
            Err(failure) => {
                self.tally.failed(name, &failure);
                tell(name, caller, &failure);
                later("this can't be taken now; repeat the call")
            }
        }
    }

    /// Keeps what was refused as rejects, and drops those of what went through.
    async fn remember(&self, job: &JobName, outcomes: &Outcomes) -> Result<(), StateError> {
        let kept = self.store.count_rejects(job).await?;
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let rejects: Vec<Rejected> = refused
            .map(|refused| {
                let content = Value::Object(refused.row.clone()).to_string();
                Rejected::new(refused.key.clone(), content, refused.reason.clone())
            })
            .collect();
        if !rejects.is_empty() && kept < MOST_REJECTS {
            let settlement = Settlement { rejects, ..Settlement::default() };
            self.store.settle(job, ENTITY, RunId(0), settlement).await?;
        }
        if kept > 0 {
            for taken in outcomes.iter().flatten() {
                for key in [&taken.key, &taken.came_as] {
                    self.store.drop_reject(job, ENTITY, key).await?;
                }
            }
        }
        Ok(())
    }
}

impl inbound::Receive for Receiver {
    fn endpoint(&self, path: &str, caller: &str) -> Option<Endpoint> {
        let serving = self.serving();
        let (_, receive, _) = serving.job(path)?;
        let may = receive.from.is_empty() || receive.from.iter().any(|name| name == caller);
        may.then(|| Endpoint { methods: receive.methods.clone(), formats: receive.formats.clone() })
    }

    async fn receive(&self, received: Received) -> Reply {
        self.take(received).await
    }
}

fn serving(jobs: &Jobs, connectors: Arc<Connectors>, settings: Option<&inbound::Settings>) -> Serving {
    let receives = |job: &&Job| job.enabled && matches!(job.work, Work::Receive(..));
    let by_path = jobs.values().filter(receives).filter_map(|job| match &job.work {
        Work::Receive(receive, _) => Some((receive.path.clone(), Arc::new(job.clone()))),
        _ => None,
    });
    let limits = settings.map(|settings| settings.terms.limits).unwrap_or_default();
    Serving { by_path: by_path.collect(), connectors, limit: limits.answer_time }
}

fn later(message: &str) -> Reply {
    let reply = Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, message);
    Reply { retry_after: Some(COME_AGAIN), ..reply }
}

fn tell(job: &JobName, caller: &str, failure: &Failure) {
    if failure.class == Class::Transient {
        tracing::warn!(%job, caller, "a call could not be taken: {failure}");
    } else {
        tracing::error!(%job, caller, "a call could not be taken: {failure}");
    }
}

/// What is answered.
fn answer(receive: &Receive, outcomes: &Outcomes) -> Reply {
    let none = Map::new();
    let fill = |reply: &receive::Reply, outcome: &Result<_, Box<Refused>>| {
        let (record, id, message) = match outcome {
            Ok(Taken { record, id, .. }) => (record, id.as_deref(), None),
            Err(refused) => (&refused.record, None, Some(refused.said.as_str())),
        };
        reply.fill(Filling { record, id, message, rows: &[] })
    };
    let ok = |body| Reply { status: StatusCode::OK, body, retry_after: None };
    let refused = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
    let unreadable =
        outcomes.iter().find_map(|outcome| outcome.as_ref().err().filter(|of| of.fault == Fault::Form));
    let nothing_taken = outcomes.iter().all(Result::is_err);
    if let (true, Some(unreadable)) = (nothing_taken, unreadable) {
        return Reply::refusal(StatusCode::BAD_REQUEST, &unreadable.said);
    }
    match (refused, &receive.row_answer, outcomes.as_slice()) {
        (_, Some(row_answer), outcomes) => {
            let rows: Vec<Value> = outcomes.iter().map(|outcome| fill(row_answer, outcome)).collect();
            let message = refused.map(|refused| refused.said.as_str());
            ok(receive.answer.fill(Filling { record: &none, id: None, message, rows: &rows }))
        }
        (Some(refused), ..) => Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &refused.said),
        (None, None, [outcome, ..]) => ok(fill(&receive.answer, outcome)),
        (None, None, []) => Reply::refusal(StatusCode::BAD_REQUEST, "there is nothing in it"),
    }
}
