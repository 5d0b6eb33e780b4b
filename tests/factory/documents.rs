//! The shipped SQL, the document that describes it and the queries of the shipped jobs name the same tables and columns.

use super::sql;
use crate::support::{Erp, program, repository, stderr};
use cadenced::connection::Dialect;
use cadenced::sandbox::Platform as _;
use cadenced::sandbox::cortecloud::{Cortecloud, Options};
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

#[tokio::test]
async fn init_writes_connections_that_work() {
    let (eryxon, cloud) = (super::eryxon::eryxon(&[]), Cortecloud::start(Options::default()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let key = eryxon.credentials().remove(0).1;
    for (file, secret) in [("key", key), ("password", options.password), ("partner", options.api_key)] {
        std::fs::write(dir.path().join(file), secret).unwrap();
    }
    let settings = [
        format!("eryxon.url={}", eryxon.url()),
        format!("cortecloud.url={}", cloud.url()),
        format!("cortecloud.user={}", options.email),
    ];
    let mut arguments =
        vec!["init", "site", "--platform", "eryxon", "--platform", "cortecloud", "--erp", "sqlite://erp.db"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    for secret in ["eryxon.authorization=key", "cortecloud.password=password", "cortecloud.key=partner"] {
        arguments.extend(["--secret", secret]);
    }
    let written = program(dir.path()).args(&arguments).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    for command in [["check"].as_slice(), &["ping", "eryxon"], &["ping", "cortecloud"]] {
        let done =
            program(dir.path()).args(["--config", "site/cadenced.toml"]).args(command).output().unwrap();
        assert!(done.status.success(), "{command:?}: {done:?}");
    }
    assert_eq!((eryxon.wire.count(), cloud.wire.count()), (1, 1));
    assert_eq!((eryxon.wire.broken_rules(), cloud.wire.broken_rules()), (Vec::new(), Vec::new()));
}
