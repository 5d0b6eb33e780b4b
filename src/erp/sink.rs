//! The table that pulled records go to. One batch is one transaction: it is committed whole, but for the records the
//! database refuses, which become rejects and cost their neighbours nothing. A lost connection, a lock or a time-out
//! fails the batch, and nothing of it is committed.
//!
//! A field goes to the column of its name; fields without a column are left out, columns without a field are left as they
//! are. Objects and arrays are written as JSON text. A column named `raw` gets the record whole, as it came. What is gone
//! from the platform stays, is deleted, or has columns set, as the job says.

use super::cell::{Cell, cell, raw_cell};
use super::database::Access;
use super::failure::{Fault, failure, fault};
use super::mapper::Mapped;
use super::session::Session;
use super::table::{Fit, Table};
use super::{Database, Mapper};
use crate::job::{OnGone, Write};
use crate::transfer::{Batch, Failure, Record, Rejected, Settled, Sink, each_field};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Why a record can't be written that is a list, or a bare value.
const NO_OBJECT: &str = "the row is not a JSON object";

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
    /// The column that gets records whole.
    raw: Option<usize>,
    fields: HashMap<String, Option<(usize, Fit)>>,
    statements: HashMap<Vec<usize>, Arc<Statements>>,
}

/// One record's statement.
struct Upsert {
    statements: Arc<Statements>,
    cells: Vec<Cell>,
}

/// A statement for one row, and what does the same for 2, 4, 8, … rows at once: a round trip to the database costs as
/// much as the writing of several rows.
struct Statements(Vec<Arc<str>>);

/// Rows in one statement, and the parameters and bytes it may have, which all databases take.
const ROWS: usize = 64;
const PARAMETERS: usize = 10_000;
const BYTES: usize = 256 << 10;

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

fn row_of(record: &Record) -> Mapped {
    serde_json::from_str(record.content.get()).map_err(|_| NO_OBJECT.to_owned())
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
    let mut left = upserts;
    while let Some((record, upsert)) = left.first() {
        let rows = if savepoints == Savepoints::None { rows_at_once(left) } else { 1 };
        let (now, later) = left.split_at(rows);
        left = later;
        if savepoints == Savepoints::EachRecord {
            run!("savepoint record");
        }
        let cells = now.iter().flat_map(|(_, upsert)| &upsert.cells);
        let written = Session::within(limit, connection.write(upsert.statements.of(rows), cells)).await?;
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

/// How many of the next rows one statement can write: a power of two.
fn rows_at_once(upserts: &[(&Record, Upsert)]) -> usize {
    let Some((_, first)) = upserts.first() else { return 0 };
    let (mut alike, mut bytes) = (0_usize, 0);
    for (record, upsert) in upserts.iter().take(first.statements.most_rows()) {
        bytes += record.content.get().len();
        if alike > 0 && (bytes > BYTES || !Arc::ptr_eq(&upsert.statements, &first.statements)) {
            break;
        }
        alike += 1;
    }
    1 << alike.ilog2()
}

impl Statements {
    fn most_rows(&self) -> usize {
        1 << (self.0.len() - 1)
    }

    fn of(&self, rows: usize) -> &Arc<str> {
        &self.0[rows.ilog2() as usize]
    }
}

impl Plan {
    fn new(table: Table) -> Self {
        let raw = table.columns.iter().position(|column| column.name.eq_ignore_ascii_case("raw"));
        Self { table, raw, fields: HashMap::new(), statements: HashMap::new() }
    }

    /// The record's statement, or why there can't be one for it.
    fn upsert(&mut self, record: &Record, mapped: Option<Mapped>) -> Result<Result<Upsert, String>, Failure> {
        let (columns, cells) = match self.cells(record, mapped) {
            Ok(cells) => cells,
            Err(reason) => return Ok(Err(reason)),
        };
        let statements = match self.statements.get(&columns) {
            Some(statements) => Arc::clone(statements),
            None => {
                let written: BTreeSet<usize> = columns.iter().copied().collect();
                let sizes = (0..=ROWS.ilog2()).map(|power| 1 << power);
                let sizes = sizes.take_while(|rows| *rows == 1 || rows * columns.len() <= PARAMETERS);
                let statement = |rows| self.table.upsert(&written, rows).map(Arc::from);
                let statements = Arc::new(Statements(sizes.map(statement).collect::<Result<_, _>>()?));
                self.statements.insert(columns, Arc::clone(&statements));
                statements
            }
        };
        Ok(Ok(Upsert { statements, cells }))
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
        Ok(Upsert {
            statements: Arc::new(Statements(vec![sql])),
            cells: set.into_values().chain(key.into_values()).collect(),
        })
    }

    /// What goes into which columns: of what was mapped, or else of the record as it came.
    fn cells(&mut self, record: &Record, mapped: Option<Mapped>) -> Result<(Vec<usize>, Vec<Cell>), String> {
        let mut placed = Placed(vec![None; self.table.columns.len()]);
        let fields: Map<String, Value>;
        let mut row: Vec<(Cow<'_, str>, &RawValue)> = Vec::new();
        match mapped {
            Some(mapped) => {
                fields = mapped?;
                for (field, value) in &fields {
                    placed.put(self.column_for(field), field, Given::Value(value));
                }
            }
            None => {
                each_field(record.content.get(), |field, value| row.push((field, value)))
                    .map_err(|_| NO_OBJECT.to_owned())?;
                for (field, value) in &row {
                    placed.put(self.column_for(field), field, Given::Raw(value));
                }
            }
        }
        let (mut columns, mut cells) = (Vec::new(), Vec::new());
        for (i, (column, given)) in self.table.columns.iter().zip(placed.0).enumerate() {
            let dialect = self.table.dialect;
            let cell = match given {
                Some((_, _, Given::Value(value))) => cell(dialect, column.kind, value),
                Some((_, _, Given::Raw(value))) => raw_cell(dialect, column.kind, value),
                None if self.raw == Some(i) => cell(dialect, column.kind, &record.content.get().into()),
                None => continue,
            };
            columns.push(i);
            cells.push(cell.map_err(|reason| format!("column `{}`: {reason}", column.name))?);
        }
        let is_keyless = |key: &&usize| {
            columns.binary_search(key).map_or(true, |place| cells.get(place) == Some(&Cell::Null))
        };
        match self.table.key.iter().find(is_keyless) {
            Some(i) => {
                Err(format!("the record has no value for the key column `{}`", self.table.columns[*i].name))
            }
            None => Ok((columns, cells)),
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

/// A value for a column, as it came or after a map.
#[derive(Clone, Copy)]
enum Given<'v> {
    Value(&'v Value),
    Raw(&'v RawValue),
}

/// By column, the field that goes there and how well its name fits.
struct Placed<'v>(Vec<Option<(Fit, &'v str, Given<'v>)>>);

impl<'v> Placed<'v> {
    /// Of several fields for one column, the one whose name fits best counts; of one that is there twice, the latter.
    fn put(&mut self, column: Option<(usize, Fit)>, field: &'v str, given: Given<'v>) {
        let Some((column, fit)) = column else { return };
        let place = &mut self.0[column];
        if place.is_none_or(|(placed, name, _)| fit < placed || name == field) {
            *place = Some((fit, field, given));
        }
    }
}

fn reject(record: &Record, reason: String) -> Rejected {
    Rejected { key: record.key.clone(), content: record.content.get().to_owned(), reason }
}
