//! What a database's error means: that one row is refused, or that the run can't go on and what can be done about it.
//! The database's own words are kept, the address it was reached at never is.

use crate::transfer::{Class, Failure};
use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// What a database's error means for what was being written.
pub(super) enum Fault {
    /// This row is refused, for this reason; others may go through.
    Row(String),
    /// The run must stop.
    Run(Failure),
}

/// The error as the end of the run. `what` says what was being done.
pub(super) fn failure(error: Error, what: &str) -> Failure {
    match fault(error, what) {
        Fault::Run(failure) => failure,
        // What is a row's own fault when it is written is the query's fault when it is read: a division by zero.
        Fault::Row(reason) => Failure::new(Class::Config, format!("{what}: {reason}")),
    }
}

/// What the error means.
pub(super) fn fault(error: Error, what: &str) -> Fault {
    let run = |class, reason: &str| Fault::Run(Failure::new(class, format!("{what}: {reason}")));
    let error = match error {
        Error::Database(error) => error,
        Error::Io(error) => return run(Class::Transient, &error.to_string()),
        Error::WorkerCrashed => return run(Class::Transient, "the connection was lost"),
        Error::Tls(error) => return run(Class::Config, &format!("TLS: {error}")),
        // What a statement returned is not what it is asked for.
        Error::ColumnDecode { source, .. } => return run(Class::Config, &source.to_string()),
        Error::Configuration(_) => return run(Class::Config, "the address or its options are wrong"),
        other => return run(Class::Answer, &other.to_string()),
    };
    let reason = reason(&*error);
    match weight(&*error) {
        Weight::Row => Fault::Row(reason),
        Weight::Run(class) => run(class, &reason),
    }
}

/// The database's own words, with the detail PostgreSQL keeps apart.
fn reason(error: &dyn DatabaseError) -> String {
    match error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail) {
        Some(detail) => format!("{} ({detail})", error.message()),
        None => error.message().to_owned(),
    }
}

enum Weight {
    Row,
    Run(Class),
}

fn weight(error: &dyn DatabaseError) -> Weight {
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return mysql(error.number(), error.code().unwrap_or_default());
    }
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<SqliteError>() {
        Some(_) => sqlite(code.parse().unwrap_or(1)),
        None => postgres(&code),
    }
}

/// By the primary result code, <https://www.sqlite.org/rescode.html>.
fn sqlite(extended_code: i32) -> Weight {
    match extended_code & 0xff {
        // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL
        5 | 6 | 7 | 9 | 10 | 13 => Weight::Run(Class::Transient),
        // TOOBIG, CONSTRAINT, MISMATCH
        18..=20 => Weight::Row,
        _ => Weight::Run(Class::Config),
    }
}

/// By SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres(code: &str) -> Weight {
    match code {
        "57014" | "55P03" | "25P03" | "40001" | "40P01" => return Weight::Run(Class::Transient),
        // Exceptions raised by triggers.
        "P0001" => return Weight::Row,
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        "21" | "22" | "23" | "44" => Weight::Row,
        "08" | "53" | "57" | "58" => Weight::Run(Class::Transient),
        "28" => Weight::Run(Class::Auth),
        _ => Weight::Run(Class::Config),
    }
}

/// By error number, then by SQLSTATE; MySQL and MariaDB give several data errors the SQLSTATE HY000.
fn mysql(number: u16, sqlstate: &str) -> Weight {
    match number {
        // Too many connections, shutdown, resource limits, lock wait, deadlock, interrupted, killed, time limits, lost.
        1040 | 1053 | 1077 | 1203 | 1205 | 1213 | 1226 | 1317 | 1927 | 1969 | 2006 | 2013 | 3024 => {
            Weight::Run(Class::Transient)
        }
        1044 | 1045 | 1698 => Weight::Run(Class::Auth),
        // No default, truncated, wrong value, check constraints.
        1364 | 1265 | 1366 | 1411 | 3819 | 4025 => Weight::Row,
        _ => match sqlstate.get(..2).unwrap_or_default() {
            "21" | "22" | "23" | "44" | "45" => Weight::Row,
            "08" => Weight::Run(Class::Transient),
            _ => Weight::Run(Class::Config),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_or_a_lost_connection_passes_a_bad_row_does_not_stop_the_run_and_the_rest_is_for_a_person() {
        let word = |weight| match weight {
            Weight::Row => "row",
            Weight::Run(Class::Transient) => "transient",
            Weight::Run(Class::Auth) => "auth",
            Weight::Run(_) => "config",
        };
        for (code, expected) in [
            ("40P01", "transient"),
            ("57P01", "transient"),
            ("08006", "transient"),
            ("23505", "row"),
            ("22P02", "row"),
            ("P0001", "row"),
            ("28P01", "auth"),
            ("42P01", "config"),
            ("25006", "config"),
        ] {
            assert_eq!(word(postgres(code)), expected, "{code}");
        }
        for (number, sqlstate, expected) in [
            (1205, "HY000", "transient"),
            (1213, "40001", "transient"),
            (1062, "23000", "row"),
            (1366, "HY000", "row"),
            (1406, "22001", "row"),
            (1644, "45000", "row"),
            (1045, "28000", "auth"),
            (1146, "42S02", "config"),
            (1792, "25006", "config"),
        ] {
            assert_eq!(word(mysql(number, sqlstate)), expected, "{number}");
        }
        // BUSY_SNAPSHOT, LOCKED_SHAREDCACHE, CONSTRAINT_TRIGGER, CANTOPEN, ERROR.
        for (code, expected) in
            [(517, "transient"), (262, "transient"), (1811, "row"), (14, "config"), (1, "config")]
        {
            assert_eq!(word(sqlite(code)), expected, "{code}");
        }
    }
}
