//! `create = true` makes a table where there is none, and never touches one that is there.

use super::jobs::differences;
use super::{Erp, ORDERS, on_each_database, schedule, site};
use cadenced::connection::Dialect;
use cadenced::run::Outcome;
use std::time::Duration;

on_each_database!(
    a_missing_table_is_created_with_its_key_and_takes_every_field,
    a_table_that_is_there_is_never_altered,
);

const CREATE: &str = "job.b2market-orders.write = { table = \"fresh\", create = true }";

async fn a_missing_table_is_created_with_its_key_and_takes_every_field(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    schedule(&site, &erp, "job.b2market-orders.write = { table = \"fresh\" }");
    site.b2market.seed(120);
    let failed = site.once(ORDERS).await;
    let problem = "there is no table `fresh`; create it, or let it be created with `create = true`";
    assert_eq!(failed.message.unwrap(), format!("{ORDERS}: {problem}"));
    assert_eq!(site.watermark(ORDERS).await, None);

    schedule(&site, &erp, CREATE);
    let created = site.once(ORDERS).await;
    assert_eq!((created.outcome, created.message), (Outcome::Ok, None));
    assert_eq!(differences(&site, &erp, "fresh", str::to_owned).await, [] as [&str; 0]);

    site.b2market.touch(20);
    site.b2market.wire.clock().advance(Duration::from_secs(300));
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    assert_eq!(differences(&site, &erp, "fresh", str::to_owned).await, [] as [&str; 0], "by key, not twice");
    let types = types(&erp).await;
    let expected: &[&str] = match dialect {
        Dialect::Sqlite => &["TEXT", "TEXT", "bigint", "boolean"],
        Dialect::Postgres => &["text", "numeric", "bigint", "boolean"],
        Dialect::Mysql => &["varchar(255)", "decimal(65,10)", "bigint(20)", "tinyint(1)"],
    };
    assert_eq!(types, expected, "id, totalAmount, totalQuantity, isSale");
}

async fn types(erp: &Erp) -> Vec<String> {
    let mut found = Vec::new();
    for column in ["id", "totalAmount", "totalQuantity", "isSale"] {
        let sql = match erp.dialect {
            Dialect::Sqlite => format!("select type from pragma_table_info('fresh') where name = '{column}'"),
            Dialect::Postgres => format!(
                "select format_type(atttypid, atttypmod) from pg_attribute
                 where attrelid = 'fresh'::regclass and attname = '{column}'"
            ),
            Dialect::Mysql => format!(
                "select column_type from information_schema.columns
                 where table_schema = database() and table_name = 'fresh' and column_name = '{column}'"
            ),
        };
        found.push(erp.text(&sql).await);
    }
    found
}

async fn a_table_that_is_there_is_never_altered(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    schedule(&site, &erp, CREATE);
    erp.run("create table fresh (id varchar(40) primary key, status varchar(40))").await;
    site.b2market.seed(5);
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    assert_eq!(erp.columns("fresh").await, ["id", "status"]);
    assert_eq!(
        erp.text("select cast(count(*) as char(9)) from fresh where status is not null").await.trim(),
        "5"
    );
}
