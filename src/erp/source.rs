//! The rows of a job's query as records, read in a session in which the database itself refuses every write.
//!
//! The query is read by a task of its own, at the database's speed whatever becomes of the rows (`spool` says why), row by
//! row: memory holds a chunk, whatever the size of the result. A key that comes twice in one result gives two records, in
//! the query's order; which of them counts is decided downstream. Records that are made of their row alone are made as it
//! is read; what a filter or a lookup is needed for is made a chunk at a time, when its turn has come.

use super::database::Access;
use super::failure::failure;
use super::row::Row;
use super::session::Session;
use super::spool::{Filler, Line, Spool, digest_of, spool};
use super::{Database, Mapper};
use crate::job::Read;
use crate::job::map::plain_text;
use crate::transfer::{Chunk, Class, Failure, Record, Rejected, Source, json};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

/// Between the columns of a key.
const SEPARATOR: &str = "\u{1f}";

/// Before the number of a row that has no key.
const UNNAMED: &str = "row ";

/// The rows of a query.
pub struct SqlSource {
    database: Database,
    query: Query,
    mapper: Mapper,
    /// What is spooled of the rows.
    shape: Shape,
    reading: Option<Reading>,
}

/// A query that is being read. Dropping it ends that.
struct Reading {
    spool: Spool,
    _task: JoinSet<()>,
}

/// What is spooled of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The rows; their records are made when their turn has come.
    Rows,
    /// Their records, where these need nothing from outside: each is parsed once less.
    Records,
}

/// A row of the query beside what becomes of it.
pub struct Sample {
    /// The row.
    pub row: Map<String, Value>,
    /// Its record, or why it has none.
    pub record: Result<Record, Rejected>,
}

/// A query, and how its rows are told apart.
#[derive(Clone)]
pub(super) struct Query {
    sql: String,
    key: Vec<String>,
    group_by: Vec<String>,
    /// What comes along as the last of the group, and doesn't make another record of it.
    by: Option<String>,
}

impl SqlSource {
    /// The rows of `read`'s query. `mapper` makes the records' content of them; `group_by` names the columns whose values
    /// become the records' group.
    #[must_use]
    pub fn new(database: Database, read: &Read, mapper: Mapper, group_by: Vec<String>) -> Self {
        let shape = if mapper.is_pure() { Shape::Records } else { Shape::Rows };
        Self { database, query: Query::new(read, group_by), mapper, shape, reading: None }
    }

    /// The same, the value of this column coming along as the last of the records' group; its change alone changes no record.
    #[must_use]
    pub fn by(mut self, column: String) -> Self {
        self.query.by = Some(column);
        self
    }

    /// Goes back to the first row: the same rows come again.
    pub fn rewind(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.spool.rewind();
        }
    }

    /// Starts to read the first rows that are wanted.
    fn read(&self, shape: Shape, limit: usize) -> Reading {
        let (mut filler, spool) = spool(self.query.group_by.len());
        let (query, database, mapper) = (self.query.clone(), self.database.clone(), self.mapper.alone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let read = query.read(&database, &mapper, shape, limit, &mut filler).await;
            filler.end(read);
        });
        Reading { spool, _task: task }
    }

    /// The first rows that are wanted, as many as asked for, beside what becomes of them.
    ///
    /// # Errors
    /// The failure a run would end with.
    pub async fn sample(&mut self, limit: usize) -> Result<Vec<Sample>, Failure> {
        let mut reading = self.read(Shape::Rows, limit);
        let mut samples = Vec::new();
        while let Some(chunk) = reading.spool.next().await? {
            for record in chunk.records {
                let row = row_of(record.content.get()).unwrap_or_default();
                let mut one = Chunk { records: vec![record], ..Chunk::default() };
                map(&mut self.mapper, &mut one, self.query.group_by.len()).await?;
                let made = one.records.pop().map(Ok).or_else(|| one.rejected.pop().map(Err));
                samples.extend(made.map(|record| Sample { row, record }));
            }
            for rejected in chunk.rejected {
                let row = row_of(&rejected.content).unwrap_or_default();
                samples.push(Sample { row, record: Err(rejected) });
            }
        }
        Ok(samples)
    }
}

impl Source for SqlSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(async move {
            let reading = match self.reading.take() {
                Some(reading) => reading,
                None => self.read(self.shape, usize::MAX),
            };
            let Some(mut chunk) = self.reading.insert(reading).spool.next().await? else { return Ok(None) };
            if self.shape == Shape::Rows {
                map(&mut self.mapper, &mut chunk, self.query.group_by.len()).await?;
            }
            Ok(Some(chunk))
        })
    }

    fn total(&self) -> Option<u64> {
        self.reading.as_ref()?.spool.len()
    }
}

/// The row that was written as this text, its numbers as they stood there.
fn row_of(text: &str) -> serde_json::Result<Map<String, Value>> {
    match json(text)? {
        Value::Object(row) => Ok(row),
        other => Err(serde::de::Error::custom(format!("{other} is not a row"))),
    }
}

/// Makes the records' content of the rows; the first `grouped` values of their group are part of it.
async fn map(mapper: &mut Mapper, chunk: &mut Chunk, grouped: usize) -> Result<(), Failure> {
    if mapper.is_plain() {
        return Ok(());
    }
    let row = |record: &Record| row_of(record.content.get()).map_err(unwritable);
    let rows = chunk.records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let mapped = mapper.map(rows).await?;
    let records = std::mem::take(&mut chunk.records);
    for (mut record, mapped) in records.into_iter().zip(mapped) {
        match mapped {
            Ok(fields) => {
                record.content = to_raw_value(&fields).map_err(unwritable)?;
                record.digest = digest_of(&record.content, &record.group[..grouped.min(record.group.len())]);
                chunk.records.push(record);
            }
            Err(reason) => {
                chunk.rejected.push(Rejected::record(&record, reason));
            }
        }
    }
    Ok(())
}

impl Query {
    pub(super) fn new(read: &Read, group_by: Vec<String>) -> Self {
        Self { sql: read.sql.clone(), key: read.key.clone(), group_by, by: None }
    }

    /// Opens a session and has the database prepare the query; gives its columns with their types' names.
    pub(super) async fn prepare(
        &self,
        database: &Database,
        mapper: &Mapper,
    ) -> Result<(Session, Vec<(String, String)>), Failure> {
        let mut session = database.connect(Access::Read).await?;
        let limit = session.statement_timeout();
        let columns = Session::within(limit, session.connection.columns(&self.sql))
            .await?
            .map_err(|error| failure(error, "the query was refused"))?;
        self.check(&columns, &mapper.needed_fields())?;
        Ok((session, columns))
    }

    /// Reads the first rows that are wanted.
    async fn read(
        &self,
        database: &Database,
        mapper: &Mapper,
        shape: Shape,
        rows: usize,
        filler: &mut Filler,
    ) -> Result<(), Failure> {
        let (mut session, _) = self.prepare(database, mapper).await?;
        let limit = session.statement_timeout();
        Session::within(limit, self.read_rows(&mut session, mapper, shape, rows, filler)).await??;
        session.close().await;
        Ok(())
    }

    async fn read_rows(
        &self,
        session: &mut Session,
        mapper: &Mapper,
        shape: Shape,
        limit: usize,
        filler: &mut Filler,
    ) -> Result<(), Failure> {
        let failed = |error| failure(error, "the query could not be read");
        session.connection.begin_read().await.map_err(failed)?;
        let mut rows = session.connection.rows(&self.sql);
        let (mut number, mut wanted) = (0_u64, 0_usize);
        while wanted < limit
            && let Some(row) = rows.try_next().await.map_err(failed)?
        {
            number += 1;
            if !mapper.wants(&row.columns) {
                continue;
            }
            wanted += 1;
            let mapper = Some(mapper).filter(|_| shape == Shape::Records);
            let line = self.line(row, number, mapper).map_err(unwritable)?;
            filler.push(&line).await?;
        }
        Ok(())
    }

    /// Refuses a query whose rows could not be told apart by what the job says.
    fn check(&self, columns: &[(String, String)], mapped: &[String]) -> Result<(), Failure> {
        let columns: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let config = |problem: String| Err(Failure::new(Class::Config, problem));
        let named = [("key", &*self.key), ("group-by", &self.group_by), ("send", self.by.as_slice())];
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
        // A field inside a column of JSON is known only row by row.
        let is_there = |name: &String| {
            columns.contains(&name.as_str())
                || name.split('.').next().is_some_and(|first| columns.contains(&first))
        };
        if let Some(name) = mapped.iter().find(|name| !is_there(name)) {
            let columns = columns.join(", ");
            return config(format!(
                "the query has no column `{name}`, which `map` or `where` names; it has {columns}"
            ));
        }
        match columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name)) {
            Some((_, twice)) => {
                config(format!("the query has two columns named `{twice}`; name one `as` something else"))
            }
            None => Ok(()),
        }
    }

    /// What the row is known by, or why that can't be said. A value with the separator in it would be another row's key, or
    /// be taken apart at the wrong place when the row is gone.
    fn key_of(&self, row: &Map<String, Value>) -> Result<String, String> {
        let key = values(row, &self.key).map_err(|column| format!("the key column `{column}` is null"))?;
        match key.iter().zip(&self.key).find(|(value, _)| value.contains(SEPARATOR)) {
            Some((_, column)) => Err(format!(
                "the key column `{column}` holds the control character U+001F, which separates the columns of a key"
            )),
            None => Ok(key.join(SEPARATOR)),
        }
    }

    /// Row `number`, counted from 1, as a record or as a rejected one; `mapper` makes the records of rows, if that is to be
    /// done now.
    fn line(&self, row: Row, number: u64, mapper: Option<&Mapper>) -> serde_json::Result<Line> {
        let Row { columns: row, problem } = row;
        let key = self.key_of(&row);
        let name = key.as_ref().map_or_else(|_| format!("{UNNAMED}{number}"), String::clone);
        if let Some(problem) = problem {
            return reject(name, &row, problem);
        }
        let key = match key {
            Ok(key) => key,
            Err(problem) => return reject(name, &row, problem),
        };
        let mut group = match values(&row, &self.group_by) {
            Ok(group) => group,
            Err(column) => return reject(key, &row, format!("the group-by column `{column}` is null")),
        };
        match values(&row, self.by.as_slice()) {
            Ok(by) => group.extend(by),
            Err(column) => {
                let reason = format!("the column `{column}`, by which `send` goes, is null");
                return reject(key, &row, reason);
            }
        }
        let content = match mapper.filter(|mapper| !mapper.is_plain()) {
            None => to_raw_value(&row)?,
            Some(mapper) => match mapper.map_alone(&row) {
                Ok(record) => to_raw_value(&record)?,
                Err(reason) => return reject(key, &row, reason),
            },
        };
        Ok(Line { key, group, content, reason: None })
    }
}

/// Whether this is no record's key, but stands for a row without one.
#[must_use]
pub fn stands_for_a_row(key: &str) -> bool {
    let number = key.strip_prefix(UNNAMED).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
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
