//! Whether the databases could do what the jobs ask of them, found out without doing any of it.

use crate::connection::{Connection, ConnectionKind};
use crate::erp::{self, Database};
use crate::job::{Job, Shaping, Work};
use crate::words::{ConnectionName, JobName};
use std::collections::BTreeMap;

/// Opens every database, prepares every query and statement, and looks up every table; gives every problem, in the order
/// of the names. What needs a database that can't be reached is not asked.
pub async fn check(
    connections: &BTreeMap<ConnectionName, Connection>,
    jobs: &BTreeMap<JobName, Job>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut databases: BTreeMap<&ConnectionName, Database> = BTreeMap::new();
    for (name, connection) in connections {
        let ConnectionKind::Sql(sql) = &connection.kind else { continue };
        let opened = async {
            let database = Database::open(sql)?;
            erp::check_connection(&database).await?;
            Ok::<_, crate::transfer::Failure>(database)
        };
        match opened.await {
            Ok(database) => drop(databases.insert(name, database)),
            Err(failure) => problems.push(format!("connection {name}: {}", failure.message)),
        }
    }
    for job in jobs.values() {
        let found = match &job.work {
            Work::Pull(_, write) => match databases.get(&write.to) {
                Some(database) => erp::check_write(database, write).await,
                None => continue,
            },
            Work::Push(read, push) => match databases.get(&read.from) {
                Some(database) => {
                    let shaping = &push.shaping;
                    let read_fits = erp::check_read(database, read, &push.group_by, shaping).await;
                    match (read_fits, &push.upload) {
                        (Ok(mut found), Some(upload)) => {
                            let files =
                                erp::check_files(database, read, shaping.map.as_ref(), &upload.file).await;
                            files.map(|files| {
                                found.extend(files);
                                found
                            })
                        }
                        (read_fits, _) => read_fits,
                    }
                }
                None => continue,
            },
            Work::Steps(read, steps) => {
                let own = steps.steps.iter().filter_map(|step| step.read.as_ref());
                let mut problems = Vec::new();
                for read in own.chain([&**read]) {
                    let Some(database) = databases.get(&read.from) else { continue };
                    // What steps take is checked against the first row: some of it is not the query's.
                    let found = erp::check_read(database, read, &[], &Shaping::default()).await;
                    problems.extend(found.unwrap_or_else(|failure| vec![failure.message]));
                }
                Ok(problems)
            }
            Work::Receive(receive, write) => match databases.get(&write.to) {
                Some(database) => erp::check_call(database, write, receive.tells_id()).await,
                None => continue,
            },
            Work::Unconfigured => continue,
        };
        let found = found.unwrap_or_else(|failure| vec![failure.message]);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", job.name)));
    }
    problems
}
