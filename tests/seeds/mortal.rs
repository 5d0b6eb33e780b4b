//! The ends of a run with a fate: at a step decided beforehand the process dies, or the ERP fails under the writer.

use crate::support::{Erp, Session};
use cadenced::connection::Dialect;
use cadenced::connectors::Ends;
use cadenced::transfer::{
    Batch, Checkpoint, Chunk, Class, Failure, Progress, Record, Rejected, Settled, Sink, Source,
};
use futures_util::future::BoxFuture;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::sync::Notify;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// The process dies before this step.
    DieBefore,
    /// The process dies when this step has been polled so often; what it began runs on behind it.
    DieWithin(u32),
    /// The process dies right after this step.
    DieAfter,
    /// The database refuses to be written to.
    ErpDown,
    /// The database commits, but the connection is lost before it can say so.
    CommitUnheard,
    /// Another program holds the database's lock.
    Locked,
    /// The table is away.
    TableAway,
}

impl Blow {
    fn is_death(self) -> bool {
        matches!(self, Self::DieBefore | Self::DieWithin(_) | Self::DieAfter)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DieBefore => "kill before a step",
            Self::DieWithin(_) => "kill within a step",
            Self::DieAfter => "kill after a step",
            Self::ErpDown => "ERP down",
            Self::CommitUnheard => "ERP's commit unheard",
            Self::Locked => "ERP locked",
            Self::TableAway => "ERP's table away",
        }
    }
}

/// What is to happen, and when.
#[derive(Clone)]
pub(super) struct Fate {
    left: Arc<Mutex<Option<(u32, Blow)>>>,
    struck: Arc<Mutex<Option<Blow>>>,
    dead: Arc<Notify>,
    erp: Arc<Erp>,
    /// The other program's connection that holds the lock.
    lock: Arc<tokio::sync::Mutex<Option<Session>>>,
}

impl Fate {
    /// The blow falls on the step after `steps` others; a death counts every step, a failing ERP its writes.
    pub(super) fn new(erp: Arc<Erp>, blow: Option<(u32, Blow)>) -> Self {
        Self {
            left: Arc::new(Mutex::new(blow)),
            struck: Arc::default(),
            dead: Arc::default(),
            erp,
            lock: Arc::default(),
        }
    }

    /// Returns when the process is to die.
    pub(super) async fn death(&self) {
        self.dead.notified().await;
    }

    /// Whether somebody else is to lock the ERP.
    pub(super) fn locks(&self) -> bool {
        matches!(*self.left.lock().unwrap(), Some((_, Blow::Locked)))
    }

    /// What has happened.
    pub(super) fn struck(&self) -> Option<Blow> {
        *self.struck.lock().unwrap()
    }

    /// Undoes what was done to the ERP.
    pub(super) async fn heal(&self) {
        if let Some(mut lock) = self.lock.lock().await.take() {
            lock.run(if self.erp.dialect == Dialect::Mysql { "unlock tables" } else { "rollback" }).await;
        }
        if self.struck() == Some(Blow::TableAway) {
            self.erp.run("alter table away rename to b2market_orders").await;
        }
    }

    fn due(&self, write: bool) -> Option<Blow> {
        let mut left = self.left.lock().unwrap();
        let (steps, blow) = left.as_mut()?;
        if !blow.is_death() && !write {
            return None;
        }
        if *steps > 0 {
            *steps -= 1;
            return None;
        }
        let blow = *blow;
        *left = None;
        *self.struck.lock().unwrap() = Some(blow);
        Some(blow)
    }

    async fn die<T>(&self) -> T {
        self.dead.notify_one();
        pending().await
    }

    /// A step that may be the last.
    pub(super) async fn step<T>(&self, step: impl Future<Output = T>) -> T {
        let blow = self.due(false);
        self.strike(blow, step).await
    }

    async fn strike<T>(&self, blow: Option<Blow>, step: impl Future<Output = T>) -> T {
        match blow {
            Some(Blow::DieBefore) => self.die().await,
            Some(Blow::DieWithin(polls)) => {
                let (mut step, mut left) = (pin!(step), polls);
                poll_fn(|context| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    step.as_mut().poll(context).map(drop)
                })
                .await;
                self.die().await
            }
            Some(Blow::DieAfter) => {
                step.await;
                self.die().await
            }
            _ => step.await,
        }
    }

    async fn write(&self, sink: &mut dyn Sink, batch: &Batch) -> Result<Settled, Failure> {
        let gone = || Failure::new(Class::Transient, "simulated: the connection was lost");
        let blow = self.due(true);
        match blow {
            Some(Blow::ErpDown) => return Err(gone()),
            Some(Blow::CommitUnheard) => {
                sink.write(batch).await?;
                return Err(gone());
            }
            Some(Blow::Locked) => {
                let mut other = self.erp.session().await;
                other
                    .run(match self.erp.dialect {
                        Dialect::Sqlite => "begin immediate",
                        Dialect::Postgres => "begin; lock table b2market_orders in access exclusive mode",
                        Dialect::Mysql => "lock tables b2market_orders write",
                    })
                    .await;
                *self.lock.lock().await = Some(other);
            }
            Some(Blow::TableAway) => {
                self.erp.run("alter table b2market_orders rename to away").await;
            }
            _ => {}
        }
        self.strike(blow, sink.write(batch)).await
    }
}

/// An end of a run that shares its fate.
struct Mortal<T: ?Sized> {
    fate: Fate,
    end: Box<T>,
}

/// The ends with this fate.
pub(super) fn mortal(ends: Ends, fate: &Fate) -> Ends {
    Ends {
        source: Box::new(Mortal { fate: fate.clone(), end: ends.source }),
        sink: Box::new(Mortal { fate: fate.clone(), end: ends.sink }),
        checkpoint: Box::new(Mortal { fate: fate.clone(), end: ends.checkpoint }),
    }
}

impl Source for Mortal<dyn Source> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(self.fate.step(self.end.next()))
    }

    fn follow<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.follow(chunk)))
    }

    fn requests(&self) -> u64 {
        self.end.requests()
    }
}

impl Sink for Mortal<dyn Sink> {
    fn gather(&mut self, records: Vec<Record>) -> Vec<Batch> {
        self.end.gather(records)
    }

    fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch> {
        self.end.rest(gone)
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>> {
        Box::pin(self.fate.write(self.end.as_mut(), batch))
    }

    fn requests(&self) -> u64 {
        self.end.requests()
    }
}

impl Checkpoint for Mortal<dyn Checkpoint> {
    fn sift<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(self.fate.step(self.end.sift(chunk)))
    }

    fn sift_followed<'a>(&'a mut self, chunk: &'a mut Chunk) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(self.fate.step(self.end.sift_followed(chunk)))
    }

    fn doubt<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.doubt(batch)))
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        settled: &'a Settled,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.settle(batch, settled)))
    }

    fn advance<'a>(
        &'a mut self,
        rejected: &'a [Rejected],
        progress: Option<Progress>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.advance(rejected, progress)))
    }

    fn gone(&mut self) -> BoxFuture<'_, Result<Vec<Record>, Failure>> {
        Box::pin(self.fate.step(self.end.gone()))
    }

    fn note(&self) -> Option<String> {
        self.end.note()
    }

    fn remark(&self) -> Option<String> {
        self.end.remark()
    }

    fn failed<'a>(&'a mut self, failure: &'a Failure) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.failed(failure)))
    }
}
