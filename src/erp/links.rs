//! The table `cadenced_links` in the ERP's database: which id the ERP gave to a record when a statement created it. It is
//! written in the transaction of that statement and looked into before the next one, so that a record which is delivered
//! again, because its first delivery was not remembered, is not created again. Made where a statement first needs it.

use super::cell::Cell;
use super::failure::failure;
use super::session::{Connection, Session};
use super::statement::Call;
use crate::connection::Dialect;
use crate::transfer::Failure;

/// Whose id a call records, or has recorded before.
pub(super) struct Link {
    /// The job.
    pub(super) job: String,
    /// The record, by the key of the job's `write`.
    pub(super) key: String,
    /// Which of the call's values are the known id, or null while there is none.
    pub(super) takes_id: Vec<usize>,
}

/// What became of a call.
#[derive(Debug, Default)]
pub(super) struct Performed {
    /// The record was created before, and the statement, which can't change it, did not run.
    pub(super) left_alone: bool,
    /// The id the ERP gave the record, now or before.
    pub(super) id: Option<String>,
}

/// Makes the table where it is missing.
pub(super) async fn ensure(session: &mut Session) -> Result<(), Failure> {
    let limit = session.statement_timeout();
    let connection = &mut session.connection;
    let ensure = async {
        let dialect = connection.dialect();
        // `if not exists` alone asks for the right to create tables even where there is nothing to create.
        if connection.ask(exists_sql(dialect), &[]).await?.is_empty() {
            connection.run(create_sql(dialect)).await?;
        }
        Ok(())
    };
    Session::within(limit, ensure)
        .await?
        .map_err(|error| failure(error, "table `cadenced_links` could not be created"))
}

/// Runs the statement, unless the record has its id already and the statement doesn't take it.
pub(super) async fn perform(connection: &mut Connection, call: &Call) -> sqlx::Result<Performed> {
    let Some(link) = &call.link else {
        return connection.write(&call.sql, call.cells.iter()).await.map(|()| Performed::default());
    };
    let (find, insert) = statements(connection.dialect());
    let found = connection.ask(find, &[&link.job, &link.key]).await?;
    let known = found.into_iter().flatten().next();
    if known.is_some() && link.takes_id.is_empty() {
        return Ok(Performed { left_alone: true, id: known });
    }
    let mut cells = call.cells.clone();
    for at in &link.takes_id {
        if let (Some(cell), Some(id)) = (cells.get_mut(*at), &known) {
            *cell = Cell::Text(id.clone());
        }
    }
    let returned = connection.returned(&call.sql, &cells).await?;
    if let (None, Some(id)) = (&known, &returned) {
        connection.ask(insert, &[&link.job, &link.key, id]).await?;
    }
    Ok(Performed { left_alone: false, id: known.or(returned) })
}

fn exists_sql(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "select name from sqlite_schema where type = 'table' and name = 'cadenced_links'",
        Dialect::Postgres => {
            "select oid::text from pg_catalog.pg_class where oid = to_regclass('cadenced_links')"
        }
        Dialect::Mysql => {
            "select table_name from information_schema.tables
             where table_schema = database() and table_name = 'cadenced_links'"
        }
    }
}

/// MySQL's texts compare `a` and `A `, as equal; the key is kept as bytes there. Only InnoDB has transactions.
fn create_sql(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => {
            "create table if not exists cadenced_links (
                 job text not null, \"key\" text not null, id text not null, primary key (job, \"key\"))"
        }
        Dialect::Mysql => {
            "create table if not exists cadenced_links (
                 job varchar(64) character set ascii not null, `key` varbinary(700) not null,
                 id varchar(255) character set utf8mb4 not null, primary key (job, `key`)) engine = InnoDB"
        }
    }
}

/// What finds an id, and what keeps one.
fn statements(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Sqlite => (
            "select id from cadenced_links where job = ? and \"key\" = ?",
            "insert into cadenced_links (job, \"key\", id) values (?, ?, ?)",
        ),
        Dialect::Postgres => (
            "select id from cadenced_links where job = $1 and \"key\" = $2",
            "insert into cadenced_links (job, \"key\", id) values ($1, $2, $3)",
        ),
        Dialect::Mysql => (
            "select id from cadenced_links where job = ? and `key` = ?",
            "insert into cadenced_links (job, `key`, id) values (?, ?, ?)",
        ),
    }
}
