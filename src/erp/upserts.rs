//! Records as upserts into a table. A field goes to the column of its name; fields without a column are left out, columns
//! without a field are left as they are. Objects and arrays are written as JSON text. A column named `raw` gets the
//! record whole, as it came.

use super::cell::{Cell, cell};
use super::sink::Step;
use super::table::{Fit, Table};
use crate::transfer::{Failure, Record};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How records become statements, learnt from the table and remembered for the run.
pub(super) struct Upserts {
    table: Table,
    fields: HashMap<String, Option<(usize, Fit)>>,
    statements: HashMap<BTreeSet<usize>, Arc<str>>,
}

impl Upserts {
    pub(super) fn new(table: Table) -> Self {
        Self { table, fields: HashMap::new(), statements: HashMap::new() }
    }

    /// The record's statement, or why there can't be one for it.
    pub(super) fn step(
        &mut self,
        record: &Record,
        fields: &Map<String, Value>,
    ) -> Result<Result<Step, String>, Failure> {
        let cells = match self.cells(record, fields) {
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
        Ok(Ok(Step { sql, cells: cells.into_values().collect(), link: None }))
    }

    /// The fields seen so far that the table has no column for.
    pub(super) fn without_column(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, column)| column.is_none()).map(|(field, _)| field.as_str())
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
        self.fields.insert(field.to_owned(), found);
        found
    }
}
