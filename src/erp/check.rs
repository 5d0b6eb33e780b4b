//! Asks a database whether it could do a job's work, without doing any of it.

use super::Database;
use super::database::Access;
use super::source::Query;
use super::statement::Statement;
use super::table::{Table, missing};
use crate::job::{Read, Target, Write};
use crate::transfer::Failure;

/// Has the database prepare the query; gives its columns.
///
/// # Errors
/// The failure a run would end with: no connection, a missing table or column, a key the query doesn't have.
pub async fn check_read(
    database: &Database,
    read: &Read,
    group_by: &[String],
) -> Result<Vec<String>, Failure> {
    let query = Query::new(read, None, group_by.to_vec());
    let (session, columns) = query.prepare(database).await?;
    session.close().await;
    Ok(columns)
}

/// Looks up the table and the unique index of its key, or has the database prepare the statement; gives the columns of
/// the one or what the other returns. A table that is still to be created has none yet.
///
/// # Errors
/// The failure a run would end with: no connection, no such table, no unique index on the key, a statement that is wrong.
pub async fn check_write(database: &Database, write: &Write) -> Result<Vec<String>, Failure> {
    let mut session = database.connect(Access::Write).await?;
    let columns = match &write.target {
        Target::Table { name, upsert_by, create } => {
            let table = Table::find(&mut session, name, upsert_by).await?;
            if table.is_none() && !create {
                return Err(missing(name));
            }
            let columns = table.map(|table| table.columns).unwrap_or_default();
            columns.into_iter().map(|column| column.name).collect()
        }
        Target::Statement { text, key } => Statement::prepare(&mut session, text, key).await?.returns,
    };
    session.close().await;
    Ok(columns)
}
