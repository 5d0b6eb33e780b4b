//! Records as upserts into a table. A field goes to the column of its name; fields without a column are left out, columns
//! without a field are left as they are. Objects and arrays are written as JSON text. A column named `raw` gets the
//! record whole, as it came. What is gone from the platform stays, is deleted, or has columns set, as the job says.

use super::cell::{Cell, cell, raw_cell};
use super::mapper::Mapped;
use super::sink::NO_OBJECT;
use super::table::{Fit, Table};
use crate::job::OnGone;
use crate::transfer::{Failure, Record, each_field};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Rows in one statement, and the parameters it may have, which all databases take.
const ROWS: usize = 64;
const PARAMETERS: usize = 10_000;

/// How records become statements, learnt from the table and remembered for the run.
pub(super) struct Upserts {
    table: Table,
    /// The column that gets records whole.
    raw: Option<usize>,
    fields: HashMap<String, Option<(usize, Fit)>>,
    statements: HashMap<Vec<usize>, Arc<Statements>>,
}

/// One record's statement.
pub(super) struct Upsert {
    pub(super) statements: Arc<Statements>,
    pub(super) cells: Vec<Cell>,
}

/// A statement for one row, and what does the same for 2, 4, 8, … rows at once: a round trip to the database costs as
/// much as the writing of several rows.
pub(super) struct Statements(Vec<Arc<str>>);

impl Statements {
    pub(super) fn most_rows(&self) -> usize {
        1 << (self.0.len() - 1)
    }

    pub(super) fn of(&self, rows: usize) -> &Arc<str> {
        &self.0[rows.ilog2() as usize]
    }
}

impl Upserts {
    pub(super) fn new(table: Table) -> Self {
        let raw = table.columns.iter().position(|column| column.name.eq_ignore_ascii_case("raw"));
        Self { table, raw, fields: HashMap::new(), statements: HashMap::new() }
    }

    /// The record's statement, or why there can't be one for it.
    pub(super) fn upsert(
        &mut self,
        record: &Record,
        mapped: Option<Mapped>,
    ) -> Result<Result<Upsert, String>, Failure> {
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
    pub(super) fn removal(&self, record: &Record, on_gone: &OnGone) -> Result<Upsert, String> {
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

    /// The fields seen so far that the table has no column for.
    pub(super) fn without_column(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, column)| column.is_none()).map(|(field, _)| field.as_str())
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
