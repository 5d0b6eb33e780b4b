//! Every type of each database, written and read back as `docs/sql-types.md` says. The tables of that page are this test's
//! data.

use super::{Erp, on_each_database};
use crate::support::repository;
use cadenced::connection::Dialect;
use cadenced::erp::{Mapper, SqlSink, SqlSource};
use cadenced::job::{OnGone, Read, Target, Write};
use cadenced::transfer::{Batch, Digest, Record, Sink as _, Source as _};
use cadenced::words::{ConnectionName, JobName};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

on_each_database!(every_type_keeps_what_the_page_says);

/// A row of the page.
struct Line {
    column: String,
    written: String,
    /// What is read back, or why it is refused.
    read: Result<Value, String>,
}

async fn every_type_keeps_what_the_page_says(dialect: Dialect) {
    let lines = page(dialect);
    assert!(lines.len() >= 15, "only {} lines", lines.len());
    let erp = Erp::new(dialect).await;
    let columns: Vec<_> =
        lines.iter().enumerate().map(|(at, line)| format!("c{at} {} null", line.column)).collect();
    erp.run(&format!("create table types (id integer primary key, {})", columns.join(", "))).await;

    let to = ConnectionName::new("erp").unwrap();
    let target = Target::Table { name: "types".to_owned(), upsert_by: vec!["id".to_owned()], create: false };
    let write = Write { to: to.clone(), target, shaping: Default::default(), on_gone: OnGone::Ignore };
    let mut sink = SqlSink::new(erp.database(), &JobName::new("types").unwrap(), &write, Mapper::default());
    let record = |(at, line): (usize, &Line)| {
        let content = format!(r#"{{"id":{at},"c{at}":{}}}"#, line.written);
        Record {
            key: at.to_string(),
            cursor: None,
            digest: Digest::of(content.as_bytes()),
            content: RawValue::from_string(content).unwrap(),
            group: Vec::new(),
        }
    };
    let batch = Batch { records: lines.iter().enumerate().map(record).collect(), gone: Vec::new() };
    let settled = sink.write(&batch).await.unwrap();
    let refused: BTreeMap<usize, String> = settled
        .rejected
        .into_iter()
        .map(|rejected| (rejected.key.parse().unwrap(), rejected.reason))
        .collect();

    let sql = "select * from types order by id".to_owned();
    let read = Read { from: to, sql, key: vec!["id".to_owned()], max_gone: 1.0 };
    let mut source = SqlSource::new(erp.database(), &read, Mapper::default(), Vec::new());
    let mut found = BTreeMap::new();
    while let Some(chunk) = source.next().await.unwrap() {
        assert!(chunk.rejected.is_empty(), "{:?}", chunk.rejected);
        for record in chunk.records {
            let row: Value = serde_json::from_str(record.content.get()).unwrap();
            let at: usize = record.key.parse().unwrap();
            found.insert(at, row[format!("c{at}")].clone());
        }
    }
    let mut wrong = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let said = match (&line.read, found.get(&at), refused.get(&at)) {
            (Ok(expected), Some(found), None) if found == expected => continue,
            (Err(expected), None, Some(reason)) if reason.contains(expected) => continue,
            (_, found, reason) => format!("read {found:?}, refused {reason:?}"),
        };
        wrong.push(format!("{} of {}: {said}", line.column, line.written));
    }
    assert!(wrong.is_empty(), "docs/sql-types.md is wrong:\n{}", wrong.join("\n"));
}

/// The lines of the page's table for a database: type, what is written, what is read or `refused`, remarks; for what is
/// refused, the reason in backticks.
fn page(dialect: Dialect) -> Vec<Line> {
    let page = std::fs::read_to_string(repository().join("docs/sql-types.md")).unwrap();
    let heading = match dialect {
        Dialect::Sqlite => "## SQLite",
        Dialect::Postgres => "## PostgreSQL",
        Dialect::Mysql => "## MariaDB",
    };
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let code = |cell: &str| cell.trim().split('`').nth(1).unwrap_or_default().to_owned();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [column, written, read, remark] = cells.as_slice() else { panic!("{row}") };
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let read = match read.trim() {
            "the same" => Ok(json(&code(written))),
            "refused" => Err(code(remark)),
            _ => Ok(json(&code(read))),
        };
        Line { column: code(column), written: code(written), read }
    })
    .collect()
}
