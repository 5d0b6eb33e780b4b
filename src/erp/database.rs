//! A database of the ERP and the connections to it. Each run opens its own connection and closes it at its end: an
//! interrupted run then never leaves half a result or an open transaction behind for the next one, and a database
//! that was restarted is simply connected to again. A limit keeps the daemon from using up the server's connections.

use super::failure::failure;
use super::session::{Connection, Session, StopOnDrop};
use crate::connection::{Dialect, SqlConnection};
use crate::transfer::{Class, Failure};
use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections to one database at the same time.
const CONNECTIONS: usize = 8;

/// How long SQLite waits for a lock that another program holds; half a statement's time where that is less.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The same of a server: locks are waited for shorter than statements, so that a run can say that it was a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The same where a caller waits for the answer: a database that somebody has locked is as good as away.
const CALL_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection may take to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A database of the ERP; cheap to clone.
#[derive(Clone)]
pub struct Database {
    address: Arc<Address>,
    connections: Arc<Semaphore>,
    /// Those kept for calls: one that somebody waits for does not queue behind jobs.
    for_calls: Arc<Semaphore>,
    statement_timeout: Duration,
    lock_timeout: Duration,
    said: Arc<Mutex<HashSet<String>>>,
}

enum Address {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
    Mysql(MySqlConnectOptions),
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The database refuses every write.
    Read,
    /// Upserts, in transactions.
    Write,
}

impl Database {
    /// Takes the address apart; nothing is connected before the first run.
    ///
    /// # Errors
    /// [`Class::Config`] if the address can't be understood. The message never repeats it.
    pub fn open(connection: &SqlConnection) -> Result<Self, Failure> {
        let url = connection.url.expose_secret();
        let half = connection.statement_timeout / 2;
        // SQLite lets one write at a time, and who waits in line here waits shorter than at its lock.
        let (lock_timeout, for_calls) = match connection.dialect {
            Dialect::Sqlite => (BUSY_TIMEOUT.min(half), 1),
            Dialect::Postgres | Dialect::Mysql => (LOCK_TIMEOUT.min(half), CONNECTIONS),
        };
        let address = match connection.dialect {
            // SQLite's own defaults, and no opinion on the journal: the file belongs to the ERP.
            Dialect::Sqlite => url
                .parse::<SqliteConnectOptions>()
                .map(|options| Address::Sqlite(options.foreign_keys(false).disable_statement_logging())),
            Dialect::Postgres => url.parse::<PgConnectOptions>().map(|options| {
                Address::Postgres(options.application_name("cadenced").disable_statement_logging())
            }),
            // The server's own SQL mode decides what `||` means in a query.
            Dialect::Mysql => url.parse::<MySqlConnectOptions>().map(|options| {
                let options = options.pipes_as_concat(false).no_engine_substitution(false);
                Address::Mysql(options.disable_statement_logging())
            }),
        };
        let address = address.map_err(|_| {
            Failure::new(
                Class::Config,
                "the database address can't be understood; special characters in a user or password are \
                 written percent-encoded (`@` as %40)",
            )
        })?;
        Ok(Self {
            address: Arc::new(address),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            for_calls: Arc::new(Semaphore::new(for_calls)),
            statement_timeout: connection.statement_timeout,
            lock_timeout,
            said: Arc::default(),
        })
    }

    /// The same database for a call that is answered within `limit`: its connections are none of the jobs', and a lock
    /// is not waited for longer than a second.
    #[must_use]
    pub fn for_call(&self, limit: Duration) -> Self {
        Self {
            connections: Arc::clone(&self.for_calls),
            statement_timeout: self.statement_timeout.min(limit),
            lock_timeout: self.lock_timeout.min(CALL_LOCK_TIMEOUT).min(limit / 2),
            ..self.clone()
        }
    }

    /// Opens a connection and closes it again.
    ///
    /// # Errors
    /// The failure a run would end with.
    pub async fn ping(&self) -> Result<(), Failure> {
        self.connect(Access::Read).await?.close().await;
        Ok(())
    }

    /// Whether this is to be said: true once, as long as the daemon lives.
    pub(super) fn says_first(&self, what: String) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(what)
    }

    /// Opens a connection for one run, waiting for a free one first.
    pub(super) async fn connect(&self, access: Access) -> Result<Session, Failure> {
        let all_used = || Failure::new(Class::Transient, "all connections to the database are in use");
        let permit =
            tokio::time::timeout(self.statement_timeout, Arc::clone(&self.connections).acquire_owned())
                .await
                .map_err(|_| all_used())?
                .map_err(|_| all_used())?;
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, self.establish(access))
            .await
            .map_err(|_| Failure::new(Class::Transient, "the database did not answer in time"))?
            .map_err(|error| failure(error, "no connection to the database"))?;
        Ok(Session::new(connection, self.statement_timeout, permit))
    }

    async fn establish(&self, access: Access) -> sqlx::Result<Connection> {
        let mut connection = match &*self.address {
            Address::Sqlite(options) => {
                let options = options.clone().busy_timeout(self.lock_timeout);
                let options = match access {
                    Access::Read => options.pragma("query_only", "on"),
                    Access::Write => options,
                };
                let mut connection = options.connect().await?;
                let stop = StopOnDrop::default();
                let go_on = stop.go_on();
                connection.lock_handle().await?.set_progress_handler(10_000, go_on);
                return Ok(Connection::Sqlite { connection, _stop: stop });
            }
            Address::Postgres(options) => Connection::Postgres(options.connect().await?),
            Address::Mysql(options) => Connection::Mysql(options.connect().await?),
        };
        match connection.dialect() {
            Dialect::Postgres => {
                // What is left here to the role's own settings would change how values are written as text.
                let millis = self.statement_timeout.as_millis();
                let lock_millis = self.lock_timeout.as_millis().max(1);
                let set = format!(
                    "set bytea_output = 'hex'; set intervalstyle = 'iso_8601'; set statement_timeout = {millis};
                     set lock_timeout = {lock_millis}"
                );
                connection.run(&set).await?;
            }
            Dialect::Mysql => {
                // Only MariaDB reads what is in `/*M! */`: MySQL can't limit statements that write.
                let seconds = self.statement_timeout.as_secs_f64();
                let lock_seconds = self.lock_timeout.as_secs().max(1);
                let limits = format!(
                    "set session /*M! max_statement_time = {seconds}, */ lock_wait_timeout = {lock_seconds},
                     innodb_lock_wait_timeout = {lock_seconds}"
                );
                connection.run(&limits).await?;
                // Without the strict mode, a value that doesn't fit is cut silently.
                if access == Access::Write {
                    connection.run("set session sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')").await?;
                }
            }
            Dialect::Sqlite => {}
        }
        Ok(connection)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialect = match *self.address {
            Address::Sqlite(_) => Dialect::Sqlite,
            Address::Postgres(_) => Dialect::Postgres,
            Address::Mysql(_) => Dialect::Mysql,
        };
        f.debug_struct("Database").field("dialect", &dialect).finish_non_exhaustive()
    }
}
