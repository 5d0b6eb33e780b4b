//! `cadenced check --connect` asks the databases whether they could do what the jobs want, and says in words what not.

use super::{on_each_database, schedule, site};
use crate::support::{Site, stderr};
use cadenced::connection::Dialect;

on_each_database!(
    what_is_shipped_goes_together_with_its_schema,
    every_column_that_is_missing_and_every_type_that_clashes_is_named,
);

/// How the check ends and what it says, but for warnings: these addresses hold a password.
fn problems(site: &Site) -> (Option<i32>, String) {
    let output = site.cadenced(&["check", "--connect"]);
    let said = stderr(&output);
    let others = ["warning: ", "  help: "];
    let is_own =
        |line: &&str| !line.contains("state in ") && !others.iter().any(|other| line.starts_with(other));
    let said: Vec<&str> = said.lines().filter(is_own).collect();
    (output.status.code(), said.join("\n"))
}

async fn what_is_shipped_goes_together_with_its_schema(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    let fine = "the databases were asked: every query, statement and table is as the jobs need it";
    assert_eq!(problems(&site), (Some(0), fine.to_owned()));
    assert!(!site.state().exists(), "a check creates nothing");
    assert!(erp.texts("select * from b2market_orders").await.is_empty());
}

async fn every_column_that_is_missing_and_every_type_that_clashes_is_named(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    let bytes = if dialect == Dialect::Postgres { "bytea" } else { "blob" };
    erp.run(&format!(
        "create table goods (id integer primary key, price double precision, photo {bytes}, note varchar(20))"
    ))
    .await;
    schedule(&site, &erp, JOBS);
    let (exit, said) = problems(&site);
    assert_eq!(exit, Some(78));
    let has = "it has id, price, photo, note";
    let double = match dialect {
        Dialect::Sqlite => ["real", "double precision"],
        Dialect::Postgres => ["float8", "float8"],
        Dialect::Mysql => ["double", "double"],
    };
    let nowhere = match dialect {
        Dialect::Sqlite => "no such table: nowhere",
        Dialect::Postgres => "relation \"nowhere\" does not exist",
        Dialect::Mysql => "Table '…nowhere' doesn't exist",
    };
    let expected = [
        "a-query: the query was refused: ".to_owned() + nowhere,
        format!("b-read: the query has no column `colour`, which the map takes; {has}"),
        format!("b-read: column `price` is of type {}, which is no `type = \"decimal\"`", double[0]),
        format!("b-read: column `photo` is of type {bytes}, which is no `type = \"integer\"`"),
        format!("c-write: column `price` is of type {}, which is not for `type = \"decimal\"`", double[1]),
        format!("c-write: table `goods` has no column `colour`, which the map makes; {has}"),
        format!("c-write: table `goods` has no column `gone`, which `on-gone` sets; {has}"),
        "d-statement: the statement takes `:colour`, which the map doesn't make".to_owned(),
        "cadenced: the databases were asked: 8 problems".to_owned(),
    ];
    let database = erp.url.rsplit('/').next().unwrap();
    assert_eq!(said.replace(&format!("{database}."), "…"), expected.join("\n"));
}

const JOBS: &str = r#"
[job.a-query]
read = { from = "erp", sql = "select id from nowhere", key = ["id"] }
push = { to = "one", post = "/x" }
[job.b-read]
read = { from = "erp", sql = "select id, price, photo, note from goods", key = ["id"] }
map = { id = "{id}", colour = "{colour}", price = { field = "price", type = "decimal" }, photo = { field = "photo", type = "integer" } }
push = { to = "one", post = "/x" }
[job.c-write]
pull = { from = "one", get = "/x", rows = "rows", key = ["id"] }
map = { id = "{id}", price = { field = "price", type = "decimal" }, colour = "{colour}" }
write = { to = "erp", table = "goods", upsert-by = ["id"], on-gone = { set = { gone = true } } }
[job.d-statement]
pull = { from = "one", get = "/x", rows = "rows", key = ["id"] }
map = { id = "{id}" }
write = { to = "erp", statement = "insert into goods (id, note) values (:id, :colour)", key = ["id"] }
"#;

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_one_problem() {
    let site = Site::quiet().await;
    site.schedule("connection.erp.sql = \"postgres://erp:hunter2@127.0.0.1:1/db\"");
    let (exit, said) = problems(&site);
    assert_eq!(exit, Some(78));
    assert!(said.starts_with("connection erp: no connection to the database: "), "{said}");
    assert!(said.ends_with("\ncadenced: the databases were asked: 1 problem"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
