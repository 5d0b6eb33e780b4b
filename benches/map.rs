//! A million rows of a query through a map with a decimal and a lookup, beside a floor in the same run that reads the same
//! rows and serialises them, and beside the same source without a map. The amounts are added up as whole cents: not one
//! may be lost.
//!
//! `cargo bench --bench map`, and `-- --rows 100000` for another size. Each side is a process of its own, so that its peak
//! memory is its own. Linux only: elsewhere processor time and memory read zero.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod measure;

use cadenced::connection::{Dialect, SqlConnection};
use cadenced::erp::{Database, Mapper, SqlSource};
use cadenced::job::map::{FieldRule, Lookup, LookupSource, Origin};
use cadenced::job::{FieldMap, MapRule, Read, Shaping, ValueType};
use cadenced::transfer::Source as _;
use cadenced::words::{ConnectionName, FieldPath, Template};
use futures_util::TryStreamExt as _;
use secrecy::SecretString;
use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Anything that goes wrong ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SIDES: [&str; 3] = ["floor", "no map", "map"];
const QUERY: &str = "select id, sku, region, price, changed from prices";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let rows = text("--rows").map_or(Ok(1_000_000), str::parse)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (text("--as"), text("--file")) {
        (Some(side), Some(file)) => {
            let began = Instant::now();
            let cents = runtime.block_on(measured(side, Path::new(file)))?;
            let seconds = began.elapsed().as_secs_f64();
            let (cpu, peak) = (measure::cpu_seconds(), measure::peak_resident_bytes());
            println!("{seconds} {cpu} {peak} {cents}");
            Ok(())
        }
        _ => runtime.block_on(compare(rows)),
    }
}

async fn compare(rows: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("erp.db");
    let expected = fill(&file, rows).await?;
    println!("{rows} rows of SQLite, a decimal of two places and a lookup of 5,000 keys\n");
    println!("| side   |  rows/s | CPU s | peak memory, MB | rate / floor | amounts |");
    println!("|--------|--------:|------:|----------------:|-------------:|---------|");
    let mut floor = None;
    for side in SIDES {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args(["--as", side, "--file"]).arg(&file).output()?;
        let said = String::from_utf8(output.stdout)?;
        let numbers: Vec<&str> = said.split_whitespace().collect();
        let [seconds, cpu, peak, cents] = numbers.as_slice() else {
            return Err(format!("{side}: {}", String::from_utf8_lossy(&output.stderr)).into());
        };
        let rate = rows as f64 / seconds.parse::<f64>()?;
        let exact = if cents.parse::<i128>()? == expected { "exact" } else { "WRONG" };
        println!(
            "| {side:<6} | {rate:>7.0} | {:>5.1} | {:>15.1} | {:>12.2} | {exact:<7} |",
            cpu.parse::<f64>()?,
            peak.parse::<f64>()? / f64::from(1 << 20),
            rate / *floor.get_or_insert(rate),
        );
    }
    Ok(())
}

async fn connect(file: &Path) -> Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await?)
}

/// Prices of 18 digits, which no float holds; gives their sum in cents.
async fn fill(file: &Path, rows: u64) -> Result<i128> {
    let mut erp = connect(file).await?;
    sqlx::raw_sql(
        "create table prices (id integer primary key, sku text, region integer, price text, changed text);
         create table regions (code integer primary key, web_id text);
         with recursive n(i) as (select 0 union all select i + 1 from n where i < 4999)
         insert into regions select i, 'web-' || i from n",
    )
    .execute(&mut erp)
    .await?;
    sqlx::query(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)
         insert into prices select i, printf('A-%07d', i), i * 7919 % 5000,
                (9000000000000000 + i * 104729) || printf('.%02d', i % 100), '2026-07-15 12:00:00' from n",
    )
    .bind(i64::try_from(rows)?)
    .execute(&mut erp)
    .await?;
    erp.close().await?;
    Ok((1..=i128::from(rows)).map(|i| (9_000_000_000_000_000 + i * 104_729) * 100 + i % 100).sum())
}

/// The sum of the amounts that came out, in cents.
async fn measured(side: &str, file: &Path) -> Result<i128> {
    if side == "floor" {
        return floor(file).await;
    }
    let url = format!("sqlite://{}", file.display());
    let connection = SqlConnection {
        url: SecretString::from(url),
        dialect: Dialect::Sqlite,
        statement_timeout: Duration::from_secs(600),
    };
    let database = Database::open(&connection)?;
    let erp = ConnectionName::new("erp")?;
    let shaping = if side == "map" { shaping(&erp)? } else { Shaping::default() };
    let mapper = Mapper::new(&shaping, shaping.lookups.iter().map(|_| database.clone()).collect());
    let read = Read { from: erp, sql: QUERY.to_owned(), key: vec!["id".to_owned()], max_gone: 1.0 };
    let mut source = SqlSource::new(database, &read, mapper, Vec::new());
    let mut cents = 0;
    while let Some(chunk) = source.next().await? {
        if let Some(rejected) = chunk.rejected.first() {
            return Err(rejected.reason.clone().into());
        }
        for record in &chunk.records {
            cents += cents_of(record.content.get())?;
        }
    }
    Ok(cents)
}

async fn floor(file: &Path) -> Result<i128> {
    let mut erp = connect(file).await?;
    let mut rows = sqlx::query(QUERY).fetch(&mut erp);
    let mut cents = 0;
    while let Some(row) = rows.try_next().await? {
        let mut record = Map::new();
        record.insert("id".to_owned(), row.get::<i64, _>(0).into());
        record.insert("sku".to_owned(), row.get::<String, _>(1).into());
        record.insert("region".to_owned(), row.get::<i64, _>(2).into());
        record.insert("price".to_owned(), row.get::<String, _>(3).into());
        record.insert("changed".to_owned(), row.get::<String, _>(4).into());
        cents += cents_of(&Value::Object(record).to_string())?;
    }
    Ok(cents)
}

fn shaping(erp: &ConnectionName) -> Result<Shaping> {
    let lookup = Lookup {
        from: erp.clone(),
        source: LookupSource::Sql("select web_id from regions where code = ?".to_owned()),
        by: vec![FieldPath::new("region")?],
    };
    let cents = ValueType::Places { places: 2, rounding: None };
    let map = FieldMap(vec![
        ("sku".to_owned(), MapRule::Template(Template::new("{sku}")?)),
        ("region".to_owned(), MapRule::Field(Box::new(FieldRule::new(Origin::Lookup(0))))),
        ("price".to_owned(), MapRule::typed(FieldPath::new("price")?, cents)),
    ]);
    Ok(Shaping { map: Some(map), lookups: vec![lookup], ..Shaping::default() })
}

/// The price in a record's text, a number or a text, as cents.
fn cents_of(record: &str) -> Result<i128> {
    let (_, rest) = record.split_once("\"price\":").ok_or("no price")?;
    let rest = rest.trim_start_matches('"');
    let digits = rest.split(['"', ',', '}']).next().unwrap_or_default();
    let (whole, fraction) = digits.split_once('.').ok_or("no cents")?;
    Ok(whole.parse::<i128>()? * 100 + fraction.parse::<i128>()?)
}
