//! What a connection is, checked: one ERP or platform endpoint with its auth, quotas and time-outs. Secrets are
//! resolved when the configuration is read and held in types that don't print.

use crate::quota::Quota;
use crate::retry::{Backoff, BreakerRules};
use crate::words::{ConnectionName, FieldPath, Text};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its name: the key below `[connection]`.
    pub name: ConnectionName,
    /// How it is reached.
    pub kind: ConnectionKind,
}

/// How a connection is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectionKind {
    /// An SQL database.
    Sql(SqlConnection),
    /// A REST API.
    Rest(Box<RestConnection>),
}

/// An SQL database.
#[derive(Debug, Clone)]
pub struct SqlConnection {
    /// `sqlite://…`, `postgres://…` or `mysql://…`; may hold a password. SQLite paths are absolute here.
    pub url: SecretString,
    /// Which SQL it speaks.
    pub dialect: Dialect,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

impl PartialEq for SqlConnection {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose_secret() == other.url.expose_secret()
            && (self.dialect, self.statement_timeout) == (other.dialect, other.statement_timeout)
    }
}

/// Which SQL a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    Mysql,
}

/// A REST API.
#[derive(Debug, Clone, PartialEq)]
pub struct RestConnection {
    /// The base address, without a trailing slash; a job's path is appended to it.
    pub url: String,
    /// Headers sent with every request.
    pub headers: Vec<(String, Text)>,
    /// How requests prove who sends them, beyond the headers.
    pub auth: Auth,
    /// Requests allowed per window, all of which hold at once.
    pub quota: Vec<Quota>,
    /// Requests on the way at the same time.
    pub in_flight: usize,
    /// Time-outs of one request.
    pub timeouts: Timeouts,
    /// The largest response body accepted, in bytes.
    pub max_body: u64,
    /// A private certificate authority, PEM.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy all requests go through; its address may hold a password. None is taken from the environment.
    pub proxy: Option<Text>,
    /// The path of a GET that costs the platform little and needs our credentials: what probes and `cadenced ping` ask
    /// for. Without one it is the connection's own address.
    pub check: Option<String>,
    /// How requests are held back, tried again and given up.
    pub limits: Limits,
}

/// How requests are held back, tried again and given up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The share of the platform's own limit, 0 to 1, that is stretched over what is left of its window.
    pub early: f64,
    /// The longest wait for a quota or the platform's own wish before its jobs are parked: their slots are skipped instead of
    /// holding a run open.
    pub park_after: Duration,
    /// How often and how long one request is tried again.
    pub retry: Backoff,
    /// The share of all requests, 0 to 1, that may be such repetitions.
    pub retry_share: f64,
    /// When the platform is left alone.
    pub breaker: BreakerRules,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            early: 0.1,
            park_after: Duration::from_secs(60),
            retry: Backoff::default(),
            retry_share: 0.2,
            breaker: BreakerRules::default(),
        }
    }
}

/// Time-outs of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To a connection that is up.
    pub connect: Duration,
    /// Between two reads of the response.
    pub read: Duration,
    /// For the whole request.
    pub total: Duration,
    /// How long a connection that is not in use is kept for the next request.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
            total: Duration::from_secs(120),
            idle: Duration::from_secs(60),
        }
    }
}

/// How requests prove who sends them.
#[derive(Debug, Clone, PartialEq)]
pub enum Auth {
    /// The headers say it all.
    Headers,
    /// `Authorization: Basic`.
    Basic {
        /// The user; split from the password at the first `:` only.
        user: Text,
        /// The password.
        password: Text,
    },
    /// A token got by a login request.
    Login(Box<Login>),
}

/// A token got by a login request (B2Market contract §2).
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// The path of the login request, appended to the connection's address.
    pub path: String,
    /// The fields of its JSON body.
    pub body: Vec<(String, Text)>,
    /// Where the answer holds the token.
    pub token: FieldPath,
    /// Statuses that mean the token is no longer valid: log in once and repeat once.
    pub renew_on: Vec<u16>,
    /// The header the token goes into, default `Authorization`.
    pub header: String,
    /// What stands before the token, default `Bearer `.
    pub prefix: String,
    /// A JWT is renewed this long before it expires.
    pub margin: Duration,
}
