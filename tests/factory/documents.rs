//! The shipped SQL, the document that describes it and the queries of the shipped jobs name the same tables and columns.

use super::sql;
use crate::support::{Erp, repository};
use cadenced::connection::Dialect;
use std::collections::BTreeMap;

/// The tables of a platform's section, with the columns in their order.
fn described(platform: &str) -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(repository().join("docs/erp-interface.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {platform}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut tables = BTreeMap::new();
    for part in section.split("\n### ").skip(1) {
        let (name, rows) = part.split_once('\n').unwrap();
        let cell = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
        let columns: Vec<String> = rows.lines().filter_map(cell).collect();
        tables.insert(name.to_owned(), columns);
    }
    tables
}

#[tokio::test]
async fn the_shipped_sql_and_the_document_name_the_same_columns() {
    for (title, platform) in [("Eryxon", "eryxon"), ("Cortecloud", "cortecloud")] {
        let erp = Erp::new(Dialect::Sqlite).await;
        erp.run(&sql("sqlite", platform)).await;
        let names =
            erp.texts("select name from sqlite_master where type in ('table', 'view') order by 1").await;
        let mut tables = BTreeMap::new();
        for name in names.into_iter().flatten().flatten() {
            let columns = erp.columns(&name).await;
            tables.insert(name, columns);
        }
        assert_eq!(tables, described(title));
        erp.run(&sql("sqlite", platform)).await;
    }
}

#[tokio::test]
async fn the_other_databases_get_the_same_tables() {
    for dialect in [Dialect::Postgres, Dialect::Mysql] {
        let erp = Erp::new(dialect).await;
        let database = if dialect == Dialect::Postgres { "postgresql" } else { "mariadb" };
        for (title, platform) in [("Eryxon", "eryxon"), ("Cortecloud", "cortecloud")] {
            erp.run(&sql(database, platform)).await;
            erp.run(&sql(database, platform)).await;
            for (table, columns) in described(title) {
                assert_eq!(erp.columns(&table).await, columns, "{database}: {table}");
            }
        }
    }
}
