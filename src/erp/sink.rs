//! The table that pulled records go to. One batch is one transaction: it is committed whole, but for the records the
//! database refuses, which become rejects and cost their neighbours nothing. A lost connection, a lock or a time-out
//! fails the batch, and nothing of it is committed.
//!
//! A field goes to the column of its name; fields without a column are left out, columns without a field are left as they
//! are. Objects and arrays are written as JSON text. A column named `raw` gets the record whole, as it came. What is gone
//! from the platform stays, is deleted, or has columns set, as the job says.

use super::cell::{Cell, cell};
use super::database::Access;
use super::failure::{Fault, failure, fault};
use super::mapper::Mapped;
use super::session::Session;
use super::table::{Fit, Table};
use super::{Database, Mapper};
use crate::job::{OnGone, Write};
use crate::transfer::{Batch, Failure, Record, Rejected, Settled, Sink};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A table that records are upserted into.
pub struct SqlSink {
    database: Database,
    write: Write,
    mapper: Mapper,
    /// Found at the first batch; the session is missing after a failed one.
    plan: Option<Plan>,
    session: Option<Session>,
}

/// How records become statements, learnt from the table and remembered for the run.
struct Plan {
    table: Table,
    fields: HashMap<String, Option<(usize, Fit)>>,
    statements: HashMap<BTreeSet<usize>, Arc<str>>,
}

/// One record's statement.
struct Upsert {
    sql: Arc<str>,
    cells: Vec<Cell>,
}

/// Whether each record gets a savepoint of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    None,
    EachRecord,
}

impl SqlSink {
    /// The table `write` names; `mapper` makes its columns of the records.
    #[must_use]
    pub fn new(database: Database, write: &Write, mapper: Mapper) -> Self {
        Self { database, write: write.clone(), mapper, plan: None, session: None }
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
        let plan = match &mut self.plan {
            Some(plan) => plan,
            None => self.plan.insert(Plan::new(Table::find(&mut session, &self.write).await?)),
        };
        let mut settled = Settled::default();
        let mut upserts = Vec::with_capacity(batch.records.len() + batch.gone.len());
        for (record, fields) in batch.records.iter().zip(mapped) {
            match plan.upsert(record, fields)? {
                Ok(upsert) => upserts.push((record, upsert)),
                Err(reason) => settled.rejected.push(reject(record, reason)),
            }
        }
        for record in &batch.gone {
            match plan.removal(record, &self.write.on_gone) {
                Ok(removal) => upserts.push((record, removal)),
                Err(reason) => settled.rejected.push(reject(record, reason)),
            }
        }
        let what = format!("table `{}` could not be written", self.write.table);
        // Refusals are rare: only a batch that has one pays for savepoints.
        let rejected = match transact(&mut session, &upserts, Savepoints::None, &what).await? {
            Some(rejected) => rejected,
            None => {
                transact(&mut session, &upserts, Savepoints::EachRecord, &what).await?.unwrap_or_default()
            }
        };
        settled.rejected.extend(rejected);
        self.session = Some(session);
        Ok(settled)
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

/// What is written of each record.
async fn map(mapper: &mut Mapper, records: &[Record]) -> Result<Vec<Mapped>, Failure> {
    let rows: Vec<Mapped> = records.iter().map(row_of).collect();
    if mapper.is_plain() {
        return Ok(rows);
    }
    let readable: Vec<bool> = rows.iter().map(Result::is_ok).collect();
    let (whole, broken): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
    let mut mapped = mapper.map(whole.into_iter().flatten().collect()).await?.into_iter();
    let mut broken = broken.into_iter();
    Ok(readable.into_iter().filter_map(|is| if is { mapped.next() } else { broken.next() }).collect())
}

fn row_of(record: &Record) -> Mapped {
    serde_json::from_str(record.content.get()).map_err(|_| "the row is not a JSON object".to_owned())
}

/// Writes the records in one transaction and gives the refused ones. Without savepoints, the first refusal undoes it all
/// and gives nothing.
async fn transact(
    session: &mut Session,
    upserts: &[(&Record, Upsert)],
    savepoints: Savepoints,
    what: &str,
) -> Result<Option<Vec<Rejected>>, Failure> {
    let limit = session.statement_timeout();
    let connection = &mut session.connection;
    macro_rules! run {
        ($sql:expr) => {
            Session::within(limit, connection.run($sql)).await?.map_err(|error| failure(error, what))?
        };
    }
    run!(connection.begin_write_sql());
    let mut rejected = Vec::new();
    for (record, upsert) in upserts {
        if savepoints == Savepoints::EachRecord {
            run!("savepoint record");
        }
        let written = Session::within(limit, connection.write(&upsert.sql, &upsert.cells)).await?;
        match (written.map_err(|error| fault(error, what)), savepoints) {
            (Ok(()), Savepoints::None) => {}
            (Ok(()), Savepoints::EachRecord) => run!("release savepoint record"),
            (Err(Fault::Run(failure)), _) => return Err(failure),
            (Err(Fault::Row(_)), Savepoints::None) => {
                run!("rollback");
                return Ok(None);
            }
            (Err(Fault::Row(reason)), Savepoints::EachRecord) => {
                run!("rollback to savepoint record");
                rejected.push(reject(record, reason));
            }
        }
    }
    run!("commit");
    Ok(Some(rejected))
}

impl Plan {
    fn new(table: Table) -> Self {
        Self { table, fields: HashMap::new(), statements: HashMap::new() }
    }

    /// The record's statement, or why there can't be one for it.
    fn upsert(&mut self, record: &Record, fields: Mapped) -> Result<Result<Upsert, String>, Failure> {
        let cells = match fields.and_then(|fields| self.cells(record, &fields)) {
            Ok(cells) => cells,
            Err(reason) => return Ok(Err(reason)),
        };
        let columns: BTreeSet<usize> = cells.keys().copied().collect();
        let sql = match self.statements.get(&columns) {
            Some(sql) => Arc::clone(sql),
            None => {
                let sql: Arc<str> = self.table.upsert(&columns)?.into();
                self.statements.insert(columns, Arc::clone(&sql));
                sql
            }
        };
        Ok(Ok(Upsert { sql, cells: cells.into_values().collect() }))
    }

    /// The statement that removes the row of a record that is gone; its content are the columns of the key.
    fn removal(&self, record: &Record, on_gone: &OnGone) -> Result<Upsert, String> {
        let key: Map<String, Value> =
            serde_json::from_str(record.content.get()).map_err(|error| error.to_string())?;
        let set = match on_gone {
            OnGone::Set(set) => set.clone(),
            OnGone::Delete | OnGone::Ignore => Map::new(),
        };
        let cells = |fields: &Map<String, Value>| {
            let cells = fields.iter().map(|(field, value)| {
                let (i, _) = self
                    .table
                    .column_for(field)
                    .ok_or_else(|| format!("table `{}` has no column `{field}`", self.table.name))?;
                Ok((i, cell(self.table.dialect, self.table.columns[i].kind, value)?))
            });
            cells.collect::<Result<BTreeMap<usize, Cell>, String>>()
        };
        let (set, key) = (cells(&set)?, cells(&key)?);
        let sql = self.table.removal(set.keys().copied(), key.keys().copied()).into();
        Ok(Upsert { sql, cells: set.into_values().chain(key.into_values()).collect() })
    }

    /// What goes into which column.
    fn cells(
        &mut self,
        record: &Record,
        fields: &Map<String, Value>,
    ) -> Result<BTreeMap<usize, Cell>, String> {
        // Of several fields for one column, the one whose name fits best counts.
        let mut placed: BTreeMap<usize, (Fit, &Value)> = BTreeMap::new();
        for (field, value) in fields {
            let Some((column, fit)) = self.column_for(field) else { continue };
            if placed.get(&column).is_none_or(|(placed, _)| fit < *placed) {
                placed.insert(column, (fit, value));
            }
        }
        let whole = Value::from(record.content.get());
        let raw = self.table.columns.iter().position(|column| column.name.eq_ignore_ascii_case("raw"));
        if let Some(raw) = raw {
            placed.entry(raw).or_insert((Fit::Exact, &whole));
        }
        let mut cells = BTreeMap::new();
        for (i, (_, value)) in placed {
            let column = &self.table.columns[i];
            let cell = cell(self.table.dialect, column.kind, value)
                .map_err(|reason| format!("column `{}`: {reason}", column.name))?;
            cells.insert(i, cell);
        }
        let keyless = self.table.key.iter().find(|i| matches!(cells.get(i), None | Some(Cell::Null)));
        match keyless {
            Some(i) => {
                Err(format!("the record has no value for the key column `{}`", self.table.columns[*i].name))
            }
            None => Ok(cells),
        }
    }

    fn column_for(&mut self, field: &str) -> Option<(usize, Fit)> {
        if let Some(known) = self.fields.get(field) {
            return *known;
        }
        let found = self.table.column_for(field);
        if found.is_none() {
            tracing::debug!(table = self.table.name, field, "the table has no column for this field");
        }
        self.fields.insert(field.to_owned(), found);
        found
    }
}

fn reject(record: &Record, reason: String) -> Rejected {
    Rejected { key: record.key.clone(), content: record.content.get().to_owned(), reason }
}
