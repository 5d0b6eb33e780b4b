//! Asks a database whether it could do a job's work, without doing any of it.

use super::database::Access;
use super::source::Query;
use super::table::Table;
use super::{Database, Mapper};
use crate::job::{Read, Write};
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
    let query = Query::new(read, group_by.to_vec());
    let (session, columns) = query.prepare(database, &Mapper::default()).await?;
    session.close().await;
    Ok(columns)
}

/// Looks up the table and the unique index of its key; gives its columns.
///
/// # Errors
/// The failure a run would end with: no connection, no such table, no unique index on the key.
pub async fn check_write(database: &Database, write: &Write) -> Result<Vec<String>, Failure> {
    let mut session = database.connect(Access::Write).await?;
    let table = Table::find(&mut session, write).await?;
    session.close().await;
    Ok(table.columns.into_iter().map(|column| column.name).collect())
}
