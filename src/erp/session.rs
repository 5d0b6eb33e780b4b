//! One open connection: the few things the ERP's end asks of a database, each said once per driver. Everything above
//! this file speaks SQL text, [`Cell`]s and JSON rows, and knows no driver.

use super::cell::Cell;
use super::row::{self, Row};
use crate::connection::Dialect;
use crate::job::map::plain_text;
use crate::transfer::{Class, Failure};
use futures_util::stream::{BoxStream, TryReadyChunksError, iter};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Column, Connection as _, Either, Executor, MySqlConnection, PgConnection, Row as _,
    SqlSafeStr, SqlStr, SqliteConnection, Statement, TypeInfo,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Rows taken from SQLite's thread at a time, at most: as many as it keeps ready.
const READY_ROWS: usize = 50;

/// An open connection and its place among those allowed. Dropping it closes it, and the database rolls back.
pub(super) struct Session {
    pub(super) connection: Connection,
    statement_timeout: Duration,
    _permit: OwnedSemaphorePermit,
}

/// A connection of one of the drivers.
pub(super) enum Connection {
    Sqlite { connection: SqliteConnection, _stop: StopOnDrop },
    Postgres(PgConnection),
    Mysql(MySqlConnection),
}

/// SQLite runs a statement on a thread that does not notice when nobody waits for it any more; this tells it.
#[derive(Default)]
pub(super) struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// For SQLite's progress handler: false means stop.
    pub(super) fn go_on(&self) -> impl FnMut() -> bool + Send + 'static {
        let stopped = Arc::clone(&self.0);
        move || !stopped.load(Ordering::Relaxed)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Session {
    pub(super) fn new(
        connection: Connection,
        statement_timeout: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { connection, statement_timeout, _permit: permit }
    }

    /// Waits no longer than a statement may take. After an error the connection is in an unknown state: drop it.
    pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::time::timeout(limit, work).await.map_err(|_| {
            let seconds = limit.as_secs_f64();
            Failure::new(
                Class::Transient,
                format!("the database took longer than {seconds} s for one statement"),
            )
        })
    }

    /// How long one statement may take.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// Says goodbye; what fails here has no consequence.
    pub(super) async fn close(self) {
        let closed = match self.connection {
            Connection::Sqlite { connection, .. } => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
            Connection::Mysql(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a database connection did not close cleanly");
        }
    }
}

/// A statement with its values, for whichever driver the type of the connection it goes to says.
macro_rules! bind_all {
    ($sql:expr, $cells:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone($sql)));
        for cell in $cells {
            query = match cell {
                Cell::Null => query.bind(None::<&str>),
                Cell::Integer(number) => query.bind(*number),
                Cell::Float(number) => query.bind(*number),
                Cell::Text(text) => query.bind(text.as_str()),
                Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
            };
        }
        query
    }};
}

impl Connection {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Runs statements that give no rows.
    pub(super) async fn run(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite { connection, .. } => sql.execute(connection).await.map(drop),
            Self::Postgres(connection) => sql.execute(connection).await.map(drop),
            Self::Mysql(connection) => sql.execute(connection).await.map(drop),
        }
    }

    /// Runs a prepared statement; the same text is prepared once per connection.
    pub(super) async fn write(
        &mut self,
        sql: &Arc<str>,
        cells: impl Iterator<Item = &Cell>,
    ) -> sqlx::Result<()> {
        match self {
            Self::Sqlite { connection, .. } => bind_all!(sql, cells).execute(connection).await.map(drop),
            Self::Postgres(connection) => bind_all!(sql, cells).execute(connection).await.map(drop),
            Self::Mysql(connection) => bind_all!(sql, cells).execute(connection).await.map(drop),
        }
    }

    /// Runs a prepared statement and gives what it returned first, as text: the first column of the first row.
    ///
    /// # Errors
    /// [`sqlx::Error::ColumnDecode`] if that has a type that can't be taken for an id.
    pub(super) async fn returned(&mut self, sql: &Arc<str>, cells: &[Cell]) -> sqlx::Result<Option<String>> {
        match self {
            Self::Sqlite { connection, .. } => {
                let rows = bind_all!(sql, cells).fetch_all(connection).await?;
                Ok(rows.first().and_then(|row| row::sqlite(row).columns.values().next().and_then(given)))
            }
            Self::Postgres(connection) => {
                let rows = bind_all!(sql, cells).fetch_all(connection).await?;
                rows.first().map_or(Ok(None), row::returned_by_postgres)
            }
            Self::Mysql(connection) => {
                let rows = bind_all!(sql, cells).fetch_all(connection).await?;
                rows.first().map_or(Ok(None), row::returned_by_mysql)
            }
        }
    }

    /// The names of the types that PostgreSQL expects of a statement's parameters; none from other databases.
    pub(super) async fn parameter_types(&mut self, sql: &str) -> sqlx::Result<Vec<String>> {
        let Self::Postgres(connection) = self else { return Ok(Vec::new()) };
        let statement = connection.prepare(owned(sql)).await?;
        Ok(match statement.parameters() {
            Some(Either::Left(types)) => types.iter().map(|kind| kind.name().to_owned()).collect(),
            _ => Vec::new(),
        })
    }

    /// The rows of a question about the database itself, whose columns are all texts; NULL is the empty text.
    pub(super) async fn ask(&mut self, sql: &'static str, about: &[&str]) -> sqlx::Result<Vec<Vec<String>>> {
        macro_rules! texts {
            ($connection:expr) => {{
                let mut query = sqlx::query(sql);
                for text in about {
                    query = query.bind(*text);
                }
                let rows = query.fetch_all($connection).await?;
                rows.iter()
                    .map(|row| {
                        let text =
                            |i| row.try_get_unchecked::<Option<String>, _>(i).map(Option::unwrap_or_default);
                        (0..row.len()).map(text).collect()
                    })
                    .collect()
            }};
        }
        match self {
            Self::Sqlite { connection, .. } => texts!(connection),
            Self::Postgres(connection) => texts!(connection),
            Self::Mysql(connection) => texts!(connection),
        }
    }

    /// The names of a query's columns and of their types, without running it; SQLite knows the types of a table's columns
    /// only. More than one statement is an error where the server
    /// prepares statements itself.
    pub(super) async fn columns(&mut self, sql: &str) -> sqlx::Result<Vec<(String, String)>> {
        let sql = owned(sql);
        macro_rules! columns {
            ($connection:expr) => {{
                let statement = $connection.prepare(sql).await?;
                let columns = statement.columns().iter();
                columns
                    .map(|column| (column.name().to_owned(), column.type_info().name().to_owned()))
                    .collect()
            }};
        }
        Ok(match self {
            Self::Sqlite { connection, .. } => columns!(connection),
            Self::Postgres(connection) => columns!(connection),
            Self::Mysql(connection) => columns!(connection),
        })
    }

    /// Starts the transaction a query is read in, where the connection is not read-only by itself.
    pub(super) async fn begin_read(&mut self) -> sqlx::Result<()> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.run("begin transaction read only").await,
            Dialect::Mysql => self.run("start transaction read only").await,
        }
    }

    /// What starts a transaction that is written in. SQLite takes its lock at once, where waiting for it works;
    /// PostgreSQL's deferred constraints would fail at the commit, where no record could be blamed.
    pub(super) fn begin_write_sql(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "begin immediate",
            Dialect::Postgres => "begin; set constraints all immediate",
            Dialect::Mysql => "start transaction",
        }
    }

    /// The rows of a query, as they come. PostgreSQL and MySQL are asked in their text protocol: there every type
    /// has an exact text form, also those a driver doesn't know.
    pub(super) fn rows(&mut self, sql: &str) -> BoxStream<'_, sqlx::Result<Row>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite { connection, .. } => {
                let rows = sqlx::query(sql).persistent(false).fetch(connection);
                // Its thread waits for room for each row: taking all that are ready wakes it once, not once a row.
                let rows = rows.try_ready_chunks(READY_ROWS).map_err(|TryReadyChunksError(_, error)| error);
                let rows = rows.map_ok(|rows| iter(rows).map(|row| Ok(row::sqlite(&row))));
                rows.try_flatten().boxed()
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(sql).fetch(connection).map_ok(|row| row::postgres(&row)).boxed()
            }
            Self::Mysql(connection) => {
                sqlx::raw_sql(sql).fetch(connection).map_ok(|row| row::mysql(&row)).boxed()
            }
        }
    }
}

fn given(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| plain_text(value))
}

fn owned(sql: &str) -> SqlStr {
    AssertSqlSafe(sql.to_owned()).into_sql_str()
}
