//! One side of the comparison: runs it once in a fresh directory, checks that every order arrived, says what it took.

use crate::sides::{Result, load, once, workplace};
use crate::{floor, measure};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use std::path::Path;
use std::time::Instant;

/// What one run took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
}

/// The table both sides write: some columns of an order, and the order as it came.
const TABLE: &str = r#"create table orders (
    id text primary key, reference text, client text, status text, lines text, "dateOrder" text, "totalAmount" text,
    "totalQuantity" integer, currency text, "createdAt" text, "updatedAt" text, raw text)"#;

pub(crate) fn run(side: &str, orders: u64, page: u64, url: &str) -> Result<Measured> {
    let place = workplace()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = place.path().join("erp.db");
        let options = SqliteConnectOptions::new().filename(&database);
        // The mode is kept in the file: both sides find it there.
        let create = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&create).await?;
        connection.execute(TABLE).await?;
        connection.close().await?;

        let started = Instant::now();
        match side {
            "floor" => floor::pull(&options, url, page).await?,
            "cadenced" => cadenced(place.path(), orders, page, url).await?,
            other => return Err(format!("there is no side `{other}`").into()),
        }
        let measured = Measured {
            seconds: started.elapsed().as_secs_f64(),
            cpu_seconds: measure::cpu_seconds(),
            peak_bytes: measure::peak_resident_bytes(),
        };
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let arrived: i64 =
            sqlx::query_scalar("select count(distinct raw) from orders").fetch_one(&mut connection).await?;
        if arrived.cast_unsigned() == orders {
            Ok(measured)
        } else {
            Err(format!("{arrived} arrived").into())
        }
    })
}

/// One run of a configured job.
async fn cadenced(place: &Path, orders: u64, page: u64, url: &str) -> Result<()> {
    let configuration = format!(
        r#"
[connection.erp]
sql = "sqlite://erp.db"

[connection.shop]
url = "{url}"

[job.orders]
cron = "15 */5 * * * *"
timeout = "12h"
write = {{ to = "erp", table = "orders", upsert-by = ["id"] }}

[job.orders.pull]
from = "shop"
get = "/Order/updatedFrom"
params = {{ date = "{{since}}", page = "{{page}}", pageSize = {page} }}
rows = "data"
key = ["id"]
pages = {{ total = "pagination.totalPages", items = "pagination.totalItems" }}

[job.orders.pull.since]
field = "updatedAt"
format = "%Y-%m-%d %H:%M:%S"
timezone = "Europe/Madrid"
start = "1999-01-01 01:00:00"
overlap = "10m"
settle = "60s"
"#
    );
    let counts = once(&load(place, &configuration)?).await?;
    if counts.written == orders { Ok(()) } else { Err(format!("{counts:?}").into()) }
}
