//! The ERP's end: SQL databases. [`SqlSource`] reads the rows of a job's query, [`SqlSink`] upserts what was pulled or
//! gives it to a statement of the integrator's own, one transaction a page. Three dialects, SQLite, PostgreSQL and MariaDB/MySQL, each through its own driver: a common
//! denominator would lose types, and with them digits.
//!
//! Promises: the ERP is only ever read in a read-only session; a number keeps its digits both ways or its record is
//! rejected; no error carries the database's address. Session time zones are UTC, so a query's `now()` is UTC too.
//! What is delivered twice, and what was delivered before, is left to `transfer`.

mod cell;
mod check;
mod create;
mod database;
mod failure;
mod files;
mod links;
mod lookup;
mod mapper;
mod row;
mod session;
mod sink;
mod source;
mod spool;
mod statement;
mod table;
mod upserts;

pub use check::{check_call, check_connection, check_files, check_read, check_write};
pub use database::Database;
pub use files::FileSource;
pub use mapper::{Links, Made, Mapped, Mapper, Unmapped};
pub use sink::SqlSink;
pub use source::{Sample, SqlSource, stands_for_a_row};

#[cfg(test)]
mod tests;
