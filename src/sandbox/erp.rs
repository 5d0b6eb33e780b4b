//! A small trading ERP in SQLite: articles and their stock in several warehouses, and the table orders arrive in.
//!
//! Numbers that must stay exact are integers of thousandths inside and text in what others read; SQLite's own
//! decimals are floats.

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Column, Row, TypeInfo, ValueRef};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How large the ERP is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Warehouses `W1`, `W2`, …
    pub warehouses: u32,
    /// Articles `A-00001`, `A-00002`, …, each in every warehouse.
    pub articles: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { warehouses: 5, articles: 200 }
    }
}

/// `cadenced_stocks` is what the stock job reads: one row per warehouse and article that is offered on the web, the
/// quantity as decimal text without needless zeros. `b2market_orders` has a column for each field of an order.
const SCHEMA: &str = r#"
CREATE TABLE IF NOT EXISTS warehouses (code TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS articles (
    sku TEXT PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL, web INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS stock_levels (
    warehouse TEXT NOT NULL REFERENCES warehouses, sku TEXT NOT NULL REFERENCES articles,
    thousandths INTEGER NOT NULL, usual INTEGER NOT NULL, PRIMARY KEY (warehouse, sku));
CREATE VIEW IF NOT EXISTS cadenced_stocks AS
    SELECT sku, warehouse,
           CASE WHEN thousandths % 1000 = 0 THEN CAST(thousandths / 1000 AS TEXT)
                ELSE rtrim(printf('%d.%03d', thousandths / 1000, thousandths % 1000), '0') END AS quantity
    FROM stock_levels JOIN articles USING (sku) WHERE web = 1;
CREATE TABLE IF NOT EXISTS b2market_orders (
    id TEXT PRIMARY KEY, "idRemote" TEXT, reference TEXT, "numOrder" TEXT, company TEXT, client TEXT, agent TEXT,
    status TEXT, season TEXT, "shippingAddress" TEXT, "billingAddress" TEXT, discount TEXT, lines TEXT,
    "dateOrder" TEXT, "dateModified" TEXT, "dateDelivery" TEXT, observation TEXT,
    "grossAmount" TEXT, "baseAmount" TEXT, "shippingAmount" TEXT, "taxAmount" TEXT, "taxrecAmount" TEXT,
    "totalAmount" TEXT, "totalQuantity" TEXT, "quantityServed" TEXT, "quantityPending" TEXT,
    shipper TEXT, origin TEXT, "isSale" INTEGER, active INTEGER, "createdBy" TEXT, "updatedBy" TEXT,
    "createdAt" TEXT, "updatedAt" TEXT);
"#;

/// The rest of what the shipped jobs read and write: empty tables, where the schema has no view or table of the name.
const INTERFACE: [&str; 2] = [
    include_str!("../../packaging/erp/sqlite/one.sql"),
    include_str!("../../packaging/erp/sqlite/b2market.sql"),
];

/// Creates the ERP at `path`, or opens the one that is there and leaves its rows.
///
/// # Errors
/// When SQLite can't open or write the file.
pub async fn create(path: &Path, size: Size) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    for sql in [SCHEMA].into_iter().chain(INTERFACE) {
        sqlx::raw_sql(sql).execute(&pool).await?;
    }
    let mut fill = pool.begin().await?;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 WHERE ?1 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT OR IGNORE INTO warehouses SELECT 'W' || i, 'Warehouse ' || i FROM n",
    )
    .bind(size.warehouses)
    .execute(&mut *fill)
    .await?;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 WHERE ?1 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT OR IGNORE INTO articles (sku, name, unit)
         SELECT printf('A-%05d', i), 'Article ' || i, iif(i % 10 = 0, 'm', 'pce') FROM n",
    )
    .bind(size.articles)
    .execute(&mut *fill)
    .await?;
    // Every tenth article is sold by the metre and has decimals.
    sqlx::query(
        "INSERT OR IGNORE INTO stock_levels (warehouse, sku, thousandths, usual)
         SELECT code, sku, level, level FROM (
             SELECT code, sku,
                    (articles.rowid * 7919 + warehouses.rowid * 104729) % 500 * 1000
                    + iif(unit = 'm', articles.rowid * 125 % 1000, 0) AS level
             FROM warehouses CROSS JOIN articles)",
    )
    .execute(&mut *fill)
    .await?;
    fill.commit().await?;
    Ok(pool)
}

/// Runs statements: views and tables that a platform's jobs want.
///
/// # Errors
/// Those of the database.
pub async fn load(pool: &SqlitePool, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(pool).await.map(drop)
}

/// Changes `n` stock levels, chosen at random: those at their usual level leave it, the others return to it. So
/// values go back and forth, and every chosen one does change. Returns how many there were.
///
/// # Errors
/// Those of the database.
pub async fn move_stock(pool: &SqlitePool, n: u32) -> Result<u64, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE stock_levels
         SET thousandths = iif(thousandths = usual, usual + 1000 * (1 + abs(random() % 3)), usual)
         WHERE rowid IN (SELECT rowid FROM stock_levels ORDER BY random() LIMIT ?)",
    )
    .bind(n)
    .execute(pool)
    .await?;
    Ok(moved.rows_affected())
}

/// Sets one stock level, in thousandths of a unit.
///
/// # Errors
/// Those of the database.
pub async fn set_stock(
    pool: &SqlitePool,
    warehouse: &str,
    sku: &str,
    thousandths: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE stock_levels SET thousandths = ?3 WHERE warehouse = ?1 AND sku = ?2")
        .bind(warehouse)
        .bind(sku)
        .bind(thousandths)
        .execute(pool)
        .await
        .map(drop)
}

/// Offers an article on the web or no longer; what isn't offered disappears from `cadenced_stocks`.
///
/// # Errors
/// Those of the database.
pub async fn offer(pool: &SqlitePool, sku: &str, web: bool) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE articles SET web = ?2 WHERE sku = ?1")
        .bind(sku)
        .bind(web)
        .execute(pool)
        .await
        .map(drop)
}

/// What `cadenced_stocks` holds: quantities by warehouse and sku, to be compared with
/// [`One::quantities`](super::One::quantities).
///
/// # Errors
/// Those of the database.
pub async fn quantities(pool: &SqlitePool) -> Result<BTreeMap<(String, String), String>, sqlx::Error> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT warehouse, sku, quantity FROM cadenced_stocks").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(warehouse, sku, quantity)| ((warehouse, sku), quantity)).collect())
}

/// In what `b2market_orders` differs from these orders ([`B2Market::orders`](super::B2Market::orders)): one
/// sentence for each order and field, 20 at most; none if they are equal. Numbers are compared digit for digit,
/// nested objects as JSON; a boolean may be stored as a word or as 0 and 1.
///
/// # Errors
/// Those of the database.
pub async fn differences(
    pool: &SqlitePool,
    orders: &BTreeMap<String, Value>,
) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    let mut missing = orders.clone();
    for row in sqlx::query("SELECT * FROM b2market_orders").fetch_all(pool).await? {
        let id: String = row.try_get("id")?;
        let Some(order) = missing.remove(&id) else {
            found.push(format!("order {id}: the platform has none"));
            continue;
        };
        for column in row.columns() {
            let stored = text(&row, column.ordinal())?;
            let served = order.get(column.name()).unwrap_or(&Value::Null);
            if !same(stored.as_deref(), served) {
                found.push(format!("order {id}: {}: stored {stored:?}, served {served}", column.name()));
            }
        }
    }
    found.extend(missing.keys().map(|id| format!("order {id}: not in the ERP")));
    found.truncate(20);
    Ok(found)
}

fn text(row: &SqliteRow, at: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        return Ok(None);
    }
    match value.type_info().name() {
        "INTEGER" | "BOOLEAN" => row.try_get_unchecked::<i64, _>(at).map(|number| Some(number.to_string())),
        "REAL" => row.try_get_unchecked::<f64, _>(at).map(|number| Some(format!("a float, {number}"))),
        _ => row.try_get_unchecked::<String, _>(at).map(Some),
    }
}

fn same(stored: Option<&str>, served: &Value) -> bool {
    match (stored, served) {
        (None, Value::Null) => true,
        (None, _) | (Some(_), Value::Null) => false,
        (Some(stored), Value::Bool(true)) => stored == "true" || stored == "1",
        (Some(stored), Value::Bool(false)) => stored == "false" || stored == "0",
        (Some(stored), Value::String(text)) => stored == text,
        (Some(stored), Value::Number(number)) => stored == number.to_string(),
        (Some(stored), nested) => serde_json::from_str::<Value>(stored).is_ok_and(|stored| stored == *nested),
    }
}

#[cfg(test)]
mod tests;
