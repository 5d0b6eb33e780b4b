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
use on_each_database;

const ORDERS: &str = "b2market-orders";
const STOCKS: &str = "one-stocks";

/// A site whose ERP is a database of this dialect, with the schema that is shipped for it.
async fn site(dialect: Dialect) -> (Site, Erp) {
    let site = Site::quiet().await;
    let erp = Erp::new(dialect).await;
    erp.run(match dialect {
        Dialect::Sqlite => include_str!("../packaging/erp/sqlite.sql"),
        Dialect::Postgres => include_str!("../packaging/erp/postgresql.sql"),
        Dialect::Mysql => include_str!("../packaging/erp/mariadb.sql"),
    })
    .await;
    schedule(&site, &erp, "");
    (site, erp)
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
