//! One side of the comparison: goes over its rows four times and checks each time that the platform got what changed.

use crate::measure;
use crate::sides::{Result, load, once, workplace};
use cadenced::config::Loaded;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Lines in one request.
const LINES: usize = 10_000;
const WAREHOUSES: u64 = 5;
const QUERY: &str = "select sku, warehouse, quantity from stocks";

/// What one pass took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) lines: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
}

enum Side {
    Floor { http: reqwest::Client, digests: HashMap<String, [u8; 16]> },
    Cadenced(Box<Loaded>),
}

pub(crate) fn run(side: &str, rows: u64, url: &str) -> Result<Vec<Measured>> {
    let place = workplace()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(place.path().join("erp.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut erp = SqliteConnection::connect_with(&options).await?;
        sqlx::query("create table stocks (sku text, warehouse text, quantity integer)")
            .execute(&mut erp)
            .await?;
        sqlx::query(
            "with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ?1)
             insert into stocks select printf('A-%06d', i / ?2), 'W' || (i % ?2), i % 500 from n",
        )
        .bind(rows.cast_signed())
        .bind(WAREHOUSES.cast_signed())
        .execute(&mut erp)
        .await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut side = match side {
            "floor" => Side::Floor { http: http.clone(), digests: HashMap::new() },
            "cadenced" => Side::Cadenced(Box::new(load(place.path(), &configuration(url))?)),
            other => return Err(format!("there is no side `{other}`").into()),
        };
        let all = rows.div_ceil(WAREHOUSES).div_ceil(LINES as u64) * WAREHOUSES;
        let mut passes = Vec::new();
        for (name, changes, lines, requests) in [
            ("new", None, rows, all),
            ("1 %", Some("where rowid / 5 % 100 = 0"), rows / 100, WAREHOUSES),
            ("unchanged", Some("where false"), 0, 0),
            ("changed", Some(""), rows, all),
        ] {
            if let Some(which) = changes {
                let change = format!("update stocks set quantity = quantity + 1 {which}");
                sqlx::query(sqlx::AssertSqlSafe(change)).execute(&mut erp).await?;
            }
            let (started, cpu_before) = (Instant::now(), measure::cpu_seconds());
            match &mut side {
                Side::Floor { http, digests } => push(&options, http, url, digests).await?,
                Side::Cadenced(loaded) => drop(once(loaded).await?),
            }
            let seconds = started.elapsed().as_secs_f64();
            let cpu_seconds = measure::cpu_seconds() - cpu_before;
            let got = http.get(url).send().await?.bytes().await?;
            let got: (u64, u64) = serde_json::from_slice(&got)?;
            if got.1 != lines || (lines % WAREHOUSES == 0 && got.0 != requests) {
                return Err(format!("{name}: {got:?} came, of {requests} requests with {lines} lines").into());
            }
            passes.push(Measured {
                name: name.to_owned(),
                seconds,
                requests: got.0,
                lines: got.1,
                cpu_seconds,
                peak_bytes: measure::peak_resident_bytes(),
            });
        }
        Ok(passes)
    })
}

/// What pushing costs anybody: no state, and a crash starts from nothing.
async fn push(
    database: &SqliteConnectOptions,
    http: &reqwest::Client,
    url: &str,
    digests: &mut HashMap<String, [u8; 16]>,
) -> Result<()> {
    let mut erp = SqliteConnection::connect_with(database).await?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rows = sqlx::query(QUERY).fetch(&mut erp);
    while let Some(row) = rows.try_next().await? {
        let (sku, warehouse, quantity): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let line = format!(r#"{{"id":"{sku}","sku":"{sku}","quantity":{quantity}}}"#);
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&line)[..16]);
        let key = format!("{warehouse}\u{1f}{sku}");
        if digests.get(&key) == Some(&digest) {
            continue;
        }
        let group = groups.entry(warehouse.clone()).or_default();
        group.push(line);
        digests.insert(key, digest);
        if group.len() == LINES {
            send(http, url, &warehouse, std::mem::take(group)).await?;
        }
    }
    for (warehouse, lines) in groups {
        if !lines.is_empty() {
            send(http, url, &warehouse, lines).await?;
        }
    }
    Ok(())
}

async fn send(http: &reqwest::Client, url: &str, warehouse: &str, lines: Vec<String>) -> Result<()> {
    let body = format!(r#"{{"stocks":[{}],"stocksToRemove":[]}}"#, lines.join(","));
    let request = http.post(format!("{url}/warehouses/{warehouse}/stocks")).body(body);
    request.header("content-type", "application/json").send().await?.error_for_status()?;
    Ok(())
}

fn configuration(url: &str) -> String {
    format!(
        r#"
[connection.erp]
sql = "sqlite://erp.db"

[connection.shop]
url = "{url}"

[job.stocks]
timeout = "12h"
read = {{ from = "erp", sql = "{QUERY}", key = ["warehouse", "sku"] }}
map = {{ id = "{{sku}}", sku = "{{sku}}", quantity = {{ field = "quantity", type = "decimal" }} }}

[job.stocks.push]
to = "shop"
post = "/warehouses/{{warehouse}}/stocks"
group-by = ["warehouse"]
batch = {{ records = {LINES} }}
body = {{ stocks = "$records", stocksToRemove = "$gone.sku" }}
idempotent = true
"#
    )
}
