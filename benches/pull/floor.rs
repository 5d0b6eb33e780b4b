//! The floor: what pulling costs anybody. The same HTTP client and database driver, rows kept as the bytes they came as,
//! one transaction a page; no state, no digests, no watermark, and a crash starts from nothing.

use crate::sides::Result;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use std::borrow::Cow;

const UPSERT: &str = r#"insert into orders (id, reference, client, status, lines, "dateOrder", "totalAmount",
    "totalQuantity", currency, "createdAt", "updatedAt", raw) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (id) do update set reference = excluded.reference, client = excluded.client, status = excluded.status,
    lines = excluded.lines, "dateOrder" = excluded."dateOrder", "totalAmount" = excluded."totalAmount",
    "totalQuantity" = excluded."totalQuantity", currency = excluded.currency, "createdAt" = excluded."createdAt",
    "updatedAt" = excluded."updatedAt", raw = excluded.raw"#;

#[derive(Deserialize)]
struct Page<'a> {
    pagination: Pagination,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    total_pages: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    reference: Cow<'a, str>,
    #[serde(borrow)]
    client: &'a RawValue,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    lines: &'a RawValue,
    #[serde(borrow)]
    date_order: Cow<'a, str>,
    #[serde(borrow)]
    total_amount: Cow<'a, str>,
    total_quantity: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    updated_at: Cow<'a, str>,
}

pub(crate) async fn pull(database: &SqliteConnectOptions, url: &str, size: u64) -> Result<()> {
    let http = reqwest::Client::builder().gzip(true).no_proxy().build()?;
    let mut connection = SqliteConnection::connect_with(database).await?;
    let mut page = 1;
    loop {
        let query = [
            ("date", "1999-01-01 01:00:00".to_owned()),
            ("page", page.to_string()),
            ("pageSize", size.to_string()),
        ];
        let request = http.get(format!("{url}/Order/updatedFrom")).query(&query);
        let body = request.send().await?.error_for_status()?.bytes().await?;
        let read: Page<'_> = serde_json::from_slice(&body)?;
        connection.execute("begin immediate").await?;
        for raw in read.data {
            let order: Order<'_> = serde_json::from_str(raw.get())?;
            sqlx::query(UPSERT)
                .bind(&*order.id)
                .bind(&*order.reference)
                .bind(order.client.get())
                .bind(&*order.status)
                .bind(order.lines.get())
                .bind(&*order.date_order)
                .bind(&*order.total_amount)
                .bind(order.total_quantity)
                .bind(&*order.currency)
                .bind(&*order.created_at)
                .bind(&*order.updated_at)
                .bind(raw.get())
                .execute(&mut connection)
                .await?;
        }
        connection.execute("commit").await?;
        if page == read.pagination.total_pages {
            connection.close().await?;
            return Ok(());
        }
        page += 1;
    }
}
