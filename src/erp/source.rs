//! The rows of a job's query as records, read in a session in which the database itself refuses every write.
//!
//! The query is read to its end before the first chunk is given out (`spool` says why), row by row: memory holds a
//! chunk, whatever the size of the result. A key that comes twice in one result gives two records, in the query's order;
//! which of them counts is decided downstream.

use super::Database;
use super::database::Access;
use super::failure::failure;
use super::row::Row;
use super::session::Session;
use super::spool::{Line, Spool};
use crate::job::map::plain_text;
use crate::job::{FieldMap, Read};
use crate::transfer::{Chunk, Class, Failure, Source};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

/// The rows of a query.
pub struct SqlSource {
    database: Database,
    query: Query,
    spool: Option<Spool>,
}

/// A query, and how its rows become records.
pub(super) struct Query {
    sql: String,
    key: Vec<String>,
    group_by: Vec<String>,
    map: Option<FieldMap>,
}

impl SqlSource {
    /// The rows of `read`'s query. `map` makes the records' content of them, else it is the row itself; `group_by` names
    /// the columns whose values become the records' group.
    #[must_use]
    pub fn new(database: Database, read: &Read, map: Option<FieldMap>, group_by: Vec<String>) -> Self {
        Self { database, query: Query::new(read, map, group_by), spool: None }
    }
}

impl Source for SqlSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(async move {
            let spool = match &mut self.spool {
                Some(spool) => spool,
                None => self.spool.insert(self.query.read(&self.database).await?),
            };
            spool.next().await
        })
    }
}

impl Query {
    pub(super) fn new(read: &Read, map: Option<FieldMap>, group_by: Vec<String>) -> Self {
        Self { sql: read.sql.clone(), key: read.key.clone(), group_by, map }
    }

    /// Opens a session and has the database prepare the query; gives its columns with their types' names.
    pub(super) async fn prepare(
        &self,
        database: &Database,
    ) -> Result<(Session, Vec<(String, String)>), Failure> {
        let mut session = database.connect(Access::Read).await?;
        let limit = session.statement_timeout();
        let columns = Session::within(limit, session.connection.columns(&self.sql))
            .await?
            .map_err(|error| failure(error, "the query was refused"))?;
        self.check(&columns)?;
        Ok((session, columns))
    }

    async fn read(&self, database: &Database) -> Result<Spool, Failure> {
        let (mut session, _) = self.prepare(database).await?;
        let limit = session.statement_timeout();
        let spool = Session::within(limit, self.read_rows(&mut session)).await??;
        session.close().await;
        Ok(spool)
    }

    async fn read_rows(&self, session: &mut Session) -> Result<Spool, Failure> {
        let failed = |error| failure(error, "the query could not be read");
        session.connection.begin_read().await.map_err(failed)?;
        let mut spool = Spool::default();
        let mut rows = session.connection.rows(&self.sql);
        let mut number: u64 = 0;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            number += 1;
            let line = self.line(row, number).map_err(unwritable)?;
            spool.push(&line).await?;
        }
        spool.finish().await?;
        Ok(spool)
    }

    /// Refuses a query whose rows could not be told apart by what the job says.
    fn check(&self, columns: &[(String, String)]) -> Result<(), Failure> {
        let columns: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let config = |problem: String| Err(Failure::new(Class::Config, problem));
        let named = [("key", &self.key), ("group-by", &self.group_by)];
        for (setting, name) in
            named.iter().flat_map(|(setting, names)| names.iter().map(move |n| (setting, n)))
        {
            if !columns.contains(&name.as_str()) {
                let columns = columns.join(", ");
                return config(format!(
                    "the query has no column `{name}`, which `{setting}` names; it has {columns}"
                ));
            }
        }
        match columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name)) {
            Some((_, twice)) => {
                config(format!("the query has two columns named `{twice}`; name one `as` something else"))
            }
            None => Ok(()),
        }
    }

    /// Row `number`, counted from 1, as a record or as a rejected one.
    fn line(&self, row: Row, number: u64) -> serde_json::Result<Line> {
        let Row { columns: row, problem } = row;
        let key = values(&row, &self.key).map(|key| key.join("\u{1f}"));
        let name = key.as_ref().map_or_else(|_| format!("row {number}"), String::clone);
        if let Some(problem) = problem {
            return reject(name, &row, problem);
        }
        let key = match key {
            Ok(key) => key,
            Err(column) => return reject(name, &row, format!("the key column `{column}` is null")),
        };
        let group = match values(&row, &self.group_by) {
            Ok(group) => group,
            Err(column) => return reject(key, &row, format!("the group-by column `{column}` is null")),
        };
        let content = match &self.map {
            None => to_raw_value(&row)?,
            Some(map) => match map.apply(&row) {
                Ok(record) => to_raw_value(&record)?,
                Err(error) => return reject(key, &row, error.to_string()),
            },
        };
        Ok(Line { key, group, content, reason: None })
    }
}

/// The columns' values as texts; the error is the column that is null.
fn values<'a>(row: &Map<String, Value>, columns: &'a [String]) -> Result<Vec<String>, &'a str> {
    let value = |column: &'a String| match row.get(column) {
        None | Some(Value::Null) => Err(column.as_str()),
        Some(value) => Ok(plain_text(value)),
    };
    columns.iter().map(value).collect()
}

fn reject(key: String, row: &Map<String, Value>, reason: String) -> serde_json::Result<Line> {
    Ok(Line { key, group: Vec::new(), content: to_raw_value(row)?, reason: Some(reason) })
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::new(Class::State, format!("a row could not be written as JSON: {error}"))
}
