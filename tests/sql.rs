//! The ERP's end keeps its promises on SQLite, PostgreSQL and MariaDB alike.

mod check;
mod create;
mod faults;
mod jobs;
mod links;
mod types;

use crate::support::{Erp, Site};
use cadenced::connection::Dialect;

/// Makes each of these functions of a dialect a test on each database.
macro_rules! on_each_database {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $promise() { super::$promise(cadenced::connection::Dialect::Sqlite).await })+
        }
        mod postgres {
            $(#[tokio::test] async fn $promise() { super::$promise(cadenced::connection::Dialect::Postgres).await })+
        }
        mod mariadb {
            $(#[tokio::test] async fn $promise() { super::$promise(cadenced::connection::Dialect::Mysql).await })+
        }
    };
}
pub(crate) use on_each_database;

const ORDERS: &str = "b2market-orders";
const STOCKS: &str = "one-stocks";

/// A site whose ERP is a database of this dialect, with the schema that is shipped for it.
async fn site(dialect: Dialect) -> (Site, Erp) {
    let site = Site::quiet().await;
    let erp = Erp::new(dialect).await;
    // What an integrator does: a view over a table of the ERP's own, and the shipped interface for all else.
    let quantity = match dialect {
        Dialect::Sqlite => ("text", "quantity"),
        Dialect::Postgres => ("numeric(14, 3)", "trim_scale(quantity)"),
        Dialect::Mysql => {
            ("decimal(14, 3)", "trim(trailing '.' from trim(trailing '0' from cast(quantity as char)))")
        }
    };
    erp.run(&format!(
        "create table stock_levels (
             warehouse varchar(40), sku varchar(100), quantity {} not null, primary key (warehouse, sku));
         create view cadenced_stocks as select sku, warehouse, {} as quantity from stock_levels",
        quantity.0, quantity.1
    ))
    .await;
    for sql in interface(dialect) {
        erp.run(sql).await;
    }
    schedule(&site, &erp, "");
    (site, erp)
}

/// The ERP interface of ONe and of B2Market as it is shipped.
pub(crate) fn interface(dialect: Dialect) -> [&'static str; 2] {
    match dialect {
        Dialect::Sqlite => [
            include_str!("../packaging/erp/sqlite/one.sql"),
            include_str!("../packaging/erp/sqlite/b2market.sql"),
        ],
        Dialect::Postgres => [
            include_str!("../packaging/erp/postgresql/one.sql"),
            include_str!("../packaging/erp/postgresql/b2market.sql"),
        ],
        Dialect::Mysql => [
            include_str!("../packaging/erp/mariadb/one.sql"),
            include_str!("../packaging/erp/mariadb/b2market.sql"),
        ],
    }
}

/// The site's own schedule: nothing comes due by itself, and the ERP is `erp`.
fn schedule(site: &Site, erp: &Erp, jobs: &str) {
    let url = &erp.url;
    site.schedule(&format!(
        "connection.erp.sql = \"{url}\"\n\
         job.one-stocks.cron = \"0 0 0 1 1 *\"\njob.b2market-orders.cron = \"0 0 0 1 1 *\"\n{jobs}\n"
    ));
}

/// A name in quotes.
fn quoted(dialect: Dialect, name: &str) -> String {
    if dialect == Dialect::Mysql { format!("`{name}`") } else { format!("\"{name}\"") }
}
