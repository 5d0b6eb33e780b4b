//! What takes pulled records in the ERP: a table (`upserts`, and `create` where it is still missing), or a statement of
//! the integrator's own (`statement`). One batch is one transaction: it is committed whole, but for the records the
//! database refuses, which become rejects and cost their neighbours nothing. A lost connection, a lock or a time-out
//! fails the batch, and nothing of it is committed.

use super::create;
use super::database::Access;
use super::failure::{Fault, failure, fault};
use super::links::{self, Performed};
use super::mapper::Mapped;
use super::session::{Connection, Session};
use super::statement::{Call, Statement};
use super::table::{Table, missing};
use super::upserts::{Upsert, Upserts};
use super::{Database, Mapper};
use crate::crash;
use crate::job::{Target, Write};
use crate::transfer::{Batch, Failure, Record, Rejected, Settled, Sink, json};
use crate::words::JobName;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

/// Why a record can't be written that is a list, or a bare value.
pub(super) const NO_OBJECT: &str = "the row is not a JSON object";

/// A table or statement that takes records.
pub struct SqlSink {
    database: Database,
    job: JobName,
    write: Write,
    mapper: Mapper,
    /// Found at the first batch; the session is missing after a failed one.
    plan: Option<Plan>,
    session: Option<Session>,
}

/// How records are written, learnt from the database and remembered for the run.
enum Plan {
    Table(Box<Upserts>),
    Statement(Statement),
}

/// What is done for one record.
enum Step {
    Upsert(Upsert),
    Call(Call),
}

/// The bytes of the records that one statement may write.
const BYTES: usize = 256 << 10;

/// Whether each record gets a savepoint of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    None,
    EachRecord,
}

/// What became of a transaction.
struct Done {
    rejected: Vec<Rejected>,
    /// Whether a record was in the ERP already and left as it was.
    left_alone: bool,
    /// The ids the ERP gave, by key.
    ids: Vec<(String, Value)>,
}

impl SqlSink {
    /// What `write` names; `mapper` makes what is written of the records, and ids are kept under the job's name.
    #[must_use]
    pub fn new(database: Database, job: &JobName, write: &Write, mapper: Mapper) -> Self {
        Self { database, job: job.clone(), write: write.clone(), mapper, plan: None, session: None }
    }

    /// Whether each record is given an id by the ERP, as far as the database could say so beforehand. Known once a batch
    /// was written.
    #[must_use]
    pub fn gives_ids(&self) -> bool {
        matches!(&self.plan, Some(Plan::Statement(statement)) if statement.returns)
    }

    async fn write_batch(&mut self, batch: &Batch) -> Result<Settled, Failure> {
        if batch.records.is_empty() && batch.gone.is_empty() {
            return Ok(Settled::default());
        }
        let mapped = map(&mut self.mapper, &batch.records).await?;
        // The session is taken, and put back only in a known state: also where this future is dropped half-way.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.database.connect(Access::Write).await?,
        };
        let mut settled = Settled::default();
        if self.plan.is_none() {
            self.plan = self.make_plan(&mut session, &batch.records, &mapped).await?;
        }
        let Some(plan) = &mut self.plan else {
            // What has no table yet has nothing to be removed from; what can't be read can't make a table.
            for (record, mapped) in batch.records.iter().zip(mapped) {
                if let Err(reason) = fields(record, mapped) {
                    settled.rejected.push(reject(record, reason));
                }
            }
            self.session = Some(session);
            return Ok(settled);
        };
        let mut steps = Vec::with_capacity(batch.records.len() + batch.gone.len());
        for (record, mapped) in batch.records.iter().zip(mapped) {
            let step = match plan {
                Plan::Table(upserts) => upserts.upsert(record, mapped)?.map(Step::Upsert),
                Plan::Statement(statement) => fields(record, mapped)
                    .and_then(|fields| statement.call(self.job.as_str(), &fields))
                    .map(Step::Call),
            };
            match step {
                Ok(step) => steps.push((record, step)),
                Err(reason) => settled.rejected.push(reject(record, reason)),
            }
        }
        if let Plan::Table(upserts) = plan {
            for record in &batch.gone {
                match upserts.removal(record, &self.write.on_gone) {
                    Ok(removal) => steps.push((record, Step::Upsert(removal))),
                    Err(reason) => settled.rejected.push(reject(record, reason)),
                }
            }
        }
        let what = match &self.write.target {
            Target::Table { name, .. } => format!("table `{name}` could not be written"),
            Target::Statement { .. } => "the statement could not be run".to_owned(),
        };
        // Refusals are rare: only a batch that has one pays for savepoints.
        let done = match transact(&mut session, &steps, Savepoints::None, &what).await? {
            Some(done) => Some(done),
            None => transact(&mut session, &steps, Savepoints::EachRecord, &what).await?,
        };
        if let Some(done) = done {
            settled.rejected.extend(done.rejected);
            settled.links = done.ids;
            self.tell(done.left_alone);
        }
        self.session = Some(session);
        Ok(settled)
    }

    /// Looks at what takes the records. Nothing while there is no table, and no record yet to create it from.
    async fn make_plan(
        &self,
        session: &mut Session,
        records: &[Record],
        mapped: &[Option<Mapped>],
    ) -> Result<Option<Plan>, Failure> {
        match &self.write.target {
            Target::Table { name, upsert_by, create } => {
                let mut table = Table::find(session, name, upsert_by).await?;
                if table.is_none() && *create {
                    let fields =
                        |(record, mapped): (&Record, &Option<Mapped>)| fields(record, mapped.clone()).ok();
                    let rows: Vec<_> = records.iter().zip(mapped).filter_map(fields).collect();
                    if rows.is_empty() {
                        return Ok(None);
                    }
                    create::table(session, name, upsert_by, &rows).await?;
                    table = Table::find(session, name, upsert_by).await?;
                }
                let table = table.ok_or_else(|| missing(name))?;
                Ok(Some(Plan::Table(Box::new(Upserts::new(table)))))
            }
            Target::Statement { text, key } => {
                let statement = Statement::prepare(session, text, key).await?;
                if statement.keeps_links {
                    links::ensure(session).await?;
                }
                Ok(Some(Plan::Statement(statement)))
            }
        }
    }

    /// Says once what is not an error but may not be meant.
    fn tell(&self, left_alone: bool) {
        if let (Some(Plan::Table(upserts)), Target::Table { name, .. }) = (&self.plan, &self.write.target) {
            let news = |field: &&str| self.database.says_first(format!("{name}.{field}"));
            let mut fields: Vec<&str> = upserts.without_column().filter(news).collect();
            if !fields.is_empty() {
                fields.sort_unstable();
                let fields = fields.join(", ");
                tracing::info!(
                    table = name,
                    fields,
                    "the table has no columns for these fields; they are left out"
                );
            }
        }
        if left_alone && self.database.says_first(format!("{} left alone", self.job)) {
            tracing::info!(
                "records that were created before are left as they are: the statement takes no `:cadenced_id`"
            );
        }
    }
}

impl Sink for SqlSink {
    fn gather(&mut self, mut records: Vec<Record>) -> Vec<Batch> {
        if !self.mapper.wants_all() {
            records.retain(|record| row_of(record).map_or(true, |row| self.mapper.wants(&row)));
        }
        if records.is_empty() { Vec::new() } else { vec![Batch { records, gone: Vec::new() }] }
    }

    fn rest(&mut self, gone: Vec<Record>) -> Vec<Batch> {
        if gone.is_empty() { Vec::new() } else { vec![Batch { records: Vec::new(), gone }] }
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>> {
        Box::pin(self.write_batch(batch))
    }
}

/// What is written of each record; nothing where that is the record as it came.
async fn map(mapper: &mut Mapper, records: &[Record]) -> Result<Vec<Option<Mapped>>, Failure> {
    if mapper.is_plain() {
        return Ok(vec![None; records.len()]);
    }
    let (mut rows, mut mapped) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
    for record in records {
        // What is no row is refused in its place.
        mapped.push(row_of(record).map(|row| rows.push(row)).err().map(Err));
    }
    let mut made = mapper.map(rows).await?.into_iter();
    Ok(mapped.into_iter().map(|refused| refused.or_else(|| made.next())).collect())
}

/// The record as it came.
fn row_of(record: &Record) -> Mapped {
    match json(record.content.get()) {
        Ok(Value::Object(row)) => Ok(row),
        _ => Err(NO_OBJECT.to_owned()),
    }
}

/// What is written of a record: what was mapped, or else the record as it came.
fn fields(record: &Record, mapped: Option<Mapped>) -> Mapped {
    mapped.unwrap_or_else(|| row_of(record))
}

/// Does the steps in one transaction. Without savepoints, the first refusal undoes it all and gives nothing.
async fn transact(
    session: &mut Session,
    steps: &[(&Record, Step)],
    savepoints: Savepoints,
    what: &str,
) -> Result<Option<Done>, Failure> {
    let limit = session.statement_timeout();
    let connection = &mut session.connection;
    macro_rules! run {
        ($sql:expr) => {
            Session::within(limit, connection.run($sql)).await?.map_err(|error| failure(error, what))?
        };
    }
    run!(connection.begin_write_sql());
    let mut done = Done { rejected: Vec::new(), left_alone: false, ids: Vec::new() };
    let mut left = steps;
    while let Some((record, _)) = left.first() {
        let (now, later) = left.split_at(if savepoints == Savepoints::None { rows_at_once(left) } else { 1 });
        left = later;
        if savepoints == Savepoints::EachRecord {
            run!("savepoint record");
        }
        let performed = Session::within(limit, perform(connection, now)).await?;
        match (performed.map_err(|error| fault(error, what)), savepoints) {
            (Ok(performed), savepoints) => {
                done.left_alone |= performed.left_alone;
                done.ids.extend(performed.id.map(|id| (record.key.clone(), id.into())));
                if savepoints == Savepoints::EachRecord {
                    run!("release savepoint record");
                }
            }
            (Err(Fault::Run(failure)), _) => return Err(failure),
            (Err(Fault::Row(_)), Savepoints::None) => {
                run!("rollback");
                return Ok(None);
            }
            (Err(Fault::Row(reason)), Savepoints::EachRecord) => {
                run!("rollback to savepoint record");
                done.rejected.push(reject(record, reason));
            }
        }
    }
    crash::point("pull-before-sink-commit").await;
    run!("commit");
    Ok(Some(done))
}

/// How many of the next steps one statement can do: a power of two.
fn rows_at_once(steps: &[(&Record, Step)]) -> usize {
    let Some((_, Step::Upsert(first))) = steps.first() else { return 1 };
    let (mut alike, mut bytes) = (0_usize, 0);
    for (record, step) in steps.iter().take(first.statements.most_rows()) {
        let Step::Upsert(upsert) = step else { break };
        bytes += record.content.get().len();
        if alike > 0 && (bytes > BYTES || !Arc::ptr_eq(&upsert.statements, &first.statements)) {
            break;
        }
        alike += 1;
    }
    1 << alike.ilog2()
}

/// Does steps that one statement can do.
async fn perform(connection: &mut Connection, steps: &[(&Record, Step)]) -> sqlx::Result<Performed> {
    match steps {
        [(_, Step::Call(call))] => links::perform(connection, call).await,
        [(_, Step::Upsert(first)), ..] => {
            let mut cells = Vec::with_capacity(steps.len() * first.cells.len());
            for (_, step) in steps {
                if let Step::Upsert(upsert) = step {
                    cells.extend(&upsert.cells);
                }
            }
            let sql = first.statements.of(steps.len());
            connection.write(sql, cells.into_iter()).await.map(|()| Performed::default())
        }
        _ => Ok(Performed::default()),
    }
}

fn reject(record: &Record, reason: String) -> Rejected {
    Rejected::record(record, reason)
}
