//! The ends of a run with a fate: at a step decided beforehand the process dies, or the ERP fails under the writer.

use crate::support::{Erp, Session, poll_times};
use cadenced::connection::Dialect;
use cadenced::connectors::Ends;
use cadenced::transfer::{
    Batch, Checkpoint, Chunk, Class, Doubted, Failure, LookedUp, Progress, Record, Rejected, Settled, Sink,
    Source,
};
use futures_util::future::BoxFuture;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use std::future::pending;
use std::sync::{Arc, Mutex};
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
    /// The server ends the connection when the write has been polled so often.
    Dropped(u32),
    /// Another program holds the lock of the database, or of the table.
    Locked,
    /// Another program reads on, so that the transaction can't be committed.
    CommitFails,
    /// There is no room left for another page.
    DiskFull,
    /// There is none, and none was needed.
    DiskNearlyFull,
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
            Self::Dropped(_) => "ERP's connection dropped",
            Self::Locked => "ERP locked",
            Self::CommitFails => "ERP's commit failed",
            Self::DiskFull => "ERP's disk full",
            Self::DiskNearlyFull => "ERP's disk nearly full",
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
    /// What fails under the writer, where something is to.
    erp: Option<Arc<Erp>>,
    /// The other program's connection that holds the lock, or the room.
    other: Arc<tokio::sync::Mutex<Option<Session>>>,
}

impl Fate {
    /// The blow falls on the step after `steps` others; a death counts every step, a failing ERP its writes.
    pub(super) fn new(erp: Option<&Arc<Erp>>, blow: Option<(u32, Blow)>) -> Self {
        Self {
            left: Arc::new(Mutex::new(blow)),
            struck: Arc::default(),
            dead: Arc::default(),
            erp: erp.cloned(),
            other: Arc::default(),
        }
    }

    fn erp(&self) -> &Erp {
        self.erp.as_ref().expect("only an ERP that is written to fails")
    }

    /// Returns when the process is to die.
    pub(super) async fn death(&self) {
        self.dead.notified().await;
    }

    /// What is still to happen.
    pub(super) fn coming(&self) -> Option<Blow> {
        self.left.lock().unwrap().map(|(_, blow)| blow)
    }

    /// What has happened.
    pub(super) fn struck(&self) -> Option<Blow> {
        *self.struck.lock().unwrap()
    }

    /// Undoes what was done to the ERP.
    pub(super) async fn heal(&self) {
        if let Some(mut other) = self.other.lock().await.take() {
            let undo = match self.struck() {
                Some(Blow::DiskFull | Blow::DiskNearlyFull) => {
                    "pragma max_page_count = 1000000; drop table ballast"
                }
                _ if self.erp().dialect == Dialect::Mysql => "unlock tables",
                _ => "rollback",
            };
            other.run(undo).await;
        }
        if self.struck() == Some(Blow::TableAway) {
            self.erp().run("alter table away rename to b2market_orders").await;
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
        let mut step = Box::pin(step);
        match blow {
            Some(Blow::DieBefore) => self.die().await,
            Some(Blow::DieWithin(polls)) => {
                poll_times(step.as_mut(), polls).await;
                self.die().await
            }
            Some(Blow::Dropped(polls)) => {
                if let Some(done) = poll_times(step.as_mut(), polls).await {
                    return done;
                }
                self.erp().drop_connections().await;
                step.await
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
                let lock = match self.erp().dialect {
                    Dialect::Sqlite => "begin immediate",
                    Dialect::Postgres => "begin; lock table b2market_orders in access exclusive mode",
                    Dialect::Mysql => "lock tables b2market_orders write",
                };
                self.also(lock).await;
            }
            Some(Blow::CommitFails) => self.also("begin; select count(*) from b2market_orders").await,
            Some(Blow::DiskFull) => self.fill().await,
            Some(Blow::TableAway) => self.erp().run("alter table b2market_orders rename to away").await,
            _ => {}
        }
        let settled = self.strike(blow, sink.write(batch)).await;
        match (blow, &settled) {
            (Some(Blow::Locked | Blow::CommitFails), Ok(_)) => panic!("{blow:?}, and yet it was written"),
            (Some(Blow::DiskFull), Ok(_)) => *self.struck.lock().unwrap() = Some(Blow::DiskNearlyFull),
            _ => {}
        }
        settled
    }

    /// Another program does this, and is not done.
    async fn also(&self, sql: &str) {
        let mut other = self.erp().session().await;
        other.run(sql).await;
        *self.other.lock().await = Some(other);
    }

    /// Leaves no page free, and allows no more: in a shared cache the limit holds for all its connections.
    async fn fill(&self) {
        let options = SqliteConnectOptions::new().filename(self.erp().file()).shared_cache(true);
        let mut other = Session::Sqlite(options.connect().await.unwrap());
        other.run("create table ballast (x)").await;
        let pages = other.texts("select cast(page_count as text) from pragma_page_count").await;
        let pages = pages[0][0].clone().unwrap();
        other.run(&format!("pragma max_page_count = {pages}")).await;
        while other.try_run("insert into ballast values (zeroblob(3000))").await.is_ok() {}
        *self.other.lock().await = Some(other);
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
        requests: ends.requests,
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

    fn look_up(&mut self, doubtful: Vec<Doubted>) -> BoxFuture<'_, Result<LookedUp, Failure>> {
        Box::pin(self.fate.step(self.end.look_up(doubtful)))
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

    fn finish(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.fate.step(self.end.finish()))
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
