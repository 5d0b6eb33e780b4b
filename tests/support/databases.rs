//! Databases to test the ERP's end on: SQLite files, and PostgreSQL and MariaDB servers of the tests' own, on loopback,
//! started by the first test that needs one. They run as `nobody` where the tests run as root, since PostgreSQL refuses
//! to be root, and end with the test process, however that ends: a shell beside each server waits for its end of a pipe.

use super::PATIENCE;
use cadenced::connection::{Dialect, SqlConnection};
use cadenced::erp::Database;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row, SqliteConnection};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A database of a test's own, empty at first.
pub(crate) struct Erp {
    pub(crate) dialect: Dialect,
    pub(crate) url: String,
    own: Option<TempDir>,
}

impl Erp {
    pub(crate) async fn new(dialect: Dialect) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        if dialect == Dialect::Sqlite {
            let own = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}?mode=rwc", own.path().join("erp.db").display());
            let erp = Self { dialect, url, own: Some(own) };
            erp.run("pragma journal_mode = wal").await;
            return erp;
        }
        let server = server(dialect).await;
        let name = format!("erp_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut session = Session::open(dialect, &server.url(dialect, server.first)).await.unwrap();
        session.run(&format!("create database {name}")).await;
        Self { dialect, url: server.url(dialect, &name), own: None }
    }

    /// The file of an SQLite database.
    pub(crate) fn file(&self) -> PathBuf {
        self.own.as_ref().expect("servers have no file").path().join("erp.db")
    }

    /// Ends every connection to the database, in the middle of whatever it does.
    pub(crate) async fn drop_connections(&self) {
        let mut session = self.session().await;
        let sql = match self.dialect {
            Dialect::Sqlite => return,
            Dialect::Postgres => {
                "select pg_terminate_backend(pid)::text from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()"
            }
            Dialect::Mysql => {
                "select cast(id as char) from information_schema.processlist
                 where db = database() and id <> connection_id()"
            }
        };
        for id in session.texts(sql).await.into_iter().flatten().flatten() {
            if self.dialect == Dialect::Mysql {
                // It may have ended by itself.
                let _ = session.try_run(&format!("kill {id}")).await;
            }
        }
    }

    /// A session of the ERP's own.
    pub(crate) async fn session(&self) -> Session {
        Session::open(self.dialect, &self.url).await.unwrap()
    }

    /// Runs statements that give no rows.
    pub(crate) async fn run(&self, sql: &str) {
        self.session().await.run(sql).await;
    }

    /// The rows of a query, each value as the database writes it.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.session().await.texts(sql).await
    }

    /// The single value of a query.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.texts(sql).await.remove(0).remove(0).unwrap_or_default()
    }

    /// The names of a table's columns.
    pub(crate) async fn columns(&self, table: &str) -> Vec<String> {
        let sql = match self.dialect {
            Dialect::Sqlite => format!("select name from pragma_table_info('{table}') order by cid"),
            Dialect::Postgres => format!(
                "select column_name::text from information_schema.columns where table_name = '{table}' order by ordinal_position"
            ),
            Dialect::Mysql => format!(
                "select column_name from information_schema.columns
                 where table_schema = database() and table_name = '{table}' order by ordinal_position"
            ),
        };
        self.texts(&sql).await.into_iter().flatten().flatten().collect()
    }

    /// In what a table of orders differs from the platform's; `column` names the column of a field.
    pub(crate) async fn differences(
        &self,
        orders: &BTreeMap<String, Value>,
        table: &str,
        column: impl Fn(&str) -> String,
    ) -> Vec<String> {
        let Some(order) = orders.values().next() else { return Vec::new() };
        let fields: Vec<&String> = order.as_object().unwrap().keys().collect();
        let quote = if self.dialect == Dialect::Mysql { '`' } else { '"' };
        let columns: Vec<_> = fields.iter().map(|field| format!("{quote}{}{quote}", column(field))).collect();
        let mut missing = orders.clone();
        let mut found = Vec::new();
        for row in self.texts(&format!("select {} from {table}", columns.join(", "))).await {
            let id = row[0].clone().unwrap();
            let Some(order) = missing.remove(&id) else {
                found.push(format!("order {id}: the platform has none"));
                continue;
            };
            for (field, stored) in fields.iter().zip(row) {
                let served = &order[field.as_str()];
                if !same(stored.as_deref(), served) {
                    found.push(format!("order {id}: {field}: stored {stored:?}, served {served}"));
                }
            }
        }
        found.extend(missing.keys().map(|id| format!("order {id}: not in the ERP")));
        found.truncate(10);
        found
    }

    /// The same as the program uses it.
    pub(crate) fn database(&self) -> Database {
        let url = SecretString::from(self.url.as_str());
        let connection =
            SqlConnection { url, dialect: self.dialect, statement_timeout: Duration::from_secs(60) };
        Database::open(&connection).unwrap()
    }
}

impl Drop for Erp {
    fn drop(&mut self) {
        drop(self.own.take());
    }
}

/// Equal digit for digit, but for zeros after the last decimal, which belong to the column's type.
fn same(stored: Option<&str>, served: &Value) -> bool {
    let digits = |text: &str| match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{}", fraction.trim_end_matches('0')),
        None => format!("{text}."),
    };
    match (stored, served) {
        (None, Value::Null) => true,
        (None, _) | (Some(_), Value::Null) => false,
        (Some(stored), Value::Bool(true)) => matches!(stored, "t" | "1" | "true"),
        (Some(stored), Value::Bool(false)) => matches!(stored, "f" | "0" | "false"),
        (Some(stored), Value::Number(number)) => digits(stored) == digits(number.as_str()),
        (Some(stored), Value::String(text)) => stored == text,
        (Some(stored), nested) => serde_json::from_str::<Value>(stored).is_ok_and(|stored| stored == *nested),
    }
}

/// An open connection.
pub(crate) enum Session {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mysql(MySqlConnection),
}

impl Session {
    async fn open(dialect: Dialect, url: &str) -> sqlx::Result<Self> {
        let mut session = match dialect {
            Dialect::Sqlite => Self::Sqlite(SqliteConnection::connect(url).await?),
            Dialect::Postgres => Self::Postgres(PgConnection::connect(url).await?),
            Dialect::Mysql => Self::Mysql(MySqlConnection::connect(url).await?),
        };
        if dialect == Dialect::Sqlite {
            session.run("pragma busy_timeout = 20000").await;
        }
        Ok(session)
    }

    /// Runs statements that give no rows.
    pub(crate) async fn run(&mut self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The same, where they may fail.
    pub(crate) async fn try_run(&mut self, sql: &str) -> sqlx::Result<()> {
        let raw = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite(connection) => raw.execute(connection).await.map(drop),
            Self::Postgres(connection) => raw.execute(connection).await.map(drop),
            Self::Mysql(connection) => raw.execute(connection).await.map(drop),
        }
    }

    /// The rows of a query, each value as the database writes it.
    pub(crate) async fn texts(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        macro_rules! texts {
            ($connection:expr) => {{
                let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all($connection).await;
                let rows = rows.unwrap_or_else(|error| panic!("{error}: {sql}"));
                rows.iter()
                    .map(|row| (0..row.len()).map(|at| row.try_get_unchecked(at).unwrap()).collect())
                    .collect()
            }};
        }
        match self {
            Self::Sqlite(connection) => texts!(connection),
            Self::Postgres(connection) => texts!(connection),
            Self::Mysql(connection) => texts!(connection),
        }
    }
}

struct Server {
    port: u16,
    /// The database that is there from the start.
    first: &'static str,
    /// The shell that ends the server when this process has ended: it holds the other end of its input.
    _watcher: Child,
}

impl Server {
    fn url(&self, dialect: Dialect, database: &str) -> String {
        url(dialect, self.port, database)
    }
}

fn url(dialect: Dialect, port: u16, database: &str) -> String {
    let scheme = if dialect == Dialect::Postgres { "postgres" } else { "mysql" };
    format!("{scheme}://erp:erp@127.0.0.1:{port}/{database}")
}

async fn server(dialect: Dialect) -> &'static Server {
    static POSTGRES: OnceCell<Result<Server, String>> = OnceCell::const_new();
    static MARIADB: OnceCell<Result<Server, String>> = OnceCell::const_new();
    // A server that doesn't start is not tried again by every test.
    let server = match dialect {
        Dialect::Postgres => POSTGRES.get_or_init(|| start(dialect, POSTGRES_SCRIPT, "postgres")).await,
        _ => MARIADB.get_or_init(|| start(dialect, MARIADB_SCRIPT, "mysql")).await,
    };
    server.as_ref().unwrap_or_else(|problem| panic!("{problem}"))
}

/// Debian keeps PostgreSQL's programs out of the path. Nothing has to survive a power failure.
const POSTGRES_SCRIPT: &str = r#"
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
initdb -D "$dir/data" -U erp -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1
postgres -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c max_connections=200 >>"$dir/log" 2>&1 &
"#;

/// It reads one statement from each line of its first file.
const MARIADB_SCRIPT: &str = r#"
PATH=$PATH:/usr/sbin
mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal \
    --skip-test-db >"$dir/log" 2>&1
echo "create user erp@'%' identified by 'erp';
grant all on *.* to erp@'%';" >"$dir/init.sql"
mariadbd --no-defaults --datadir="$dir/data" --port="$port" --bind-address=127.0.0.1 --socket="$dir/socket" \
    --skip-name-resolve --skip-log-bin --init-file="$dir/init.sql" --character-set-server=utf8mb4 \
    --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=32M --max-connections=200 >>"$dir/log" 2>&1 &
"#;

/// Runs the script that starts the server, and waits until the server answers.
async fn start(dialect: Dialect, script: &str, first: &'static str) -> Result<Server, String> {
    // The port may be taken by another process meanwhile; then the server says so and the wait fails.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let whole = format!(
        "port=$1\nset -e\ndir=$(mktemp -d)\ntrap 'rm -rf \"$dir\"' EXIT\n{script}\nserver=$!\n\
         cat >/dev/null || true\nkill -s QUIT $server 2>/dev/null || true\nwait $server || true\n"
    );
    let shell = ["sh", "-c", &whole, "sh", &port.to_string()].map(str::to_owned);
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).args(shell);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(&shell[1..]);
        command
    };
    // In a group of its own: a Ctrl-C is for the tests, and reaches the server through the pipe.
    let mut watcher = command
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let url = url(dialect, port, first);
    while let Err(error) = Session::open(dialect, &url).await {
        if Instant::now() > deadline || watcher.try_wait().unwrap().is_some() {
            return Err(format!(
                "the {dialect:?} server does not start: {error}; tests/run says what has to be installed"
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Server { port, first, _watcher: watcher })
}
