//! What the ERP's end promises, on real SQLite files.

use super::*;
use crate::connection::{Dialect, SqlConnection};
use crate::job::{FieldMap, MapRule, Read, Shaping, Target, ValueType, Write};
use crate::transfer::{Batch, Chunk, Class, Digest, Failure, Record, Settled, Sink, Source};
use crate::words::{ConnectionName, FieldPath, JobName};
use secrecy::SecretString;
use serde_json::value::RawValue;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};
use std::time::Duration;
use tempfile::TempDir;

/// A database file of the ERP, and the ERP's own connection to it.
struct Erp {
    folder: TempDir,
    own: SqliteConnection,
}

impl Erp {
    async fn with(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options =
            SqliteConnectOptions::new().filename(folder.path().join("erp.db")).create_if_missing(true);
        // A source that reads on lets go at the end of its rows, however busy the machine is.
        let own = options.busy_timeout(Duration::from_secs(60)).connect().await.unwrap();
        let mut erp = Self { folder, own };
        erp.run(schema).await;
        erp
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.own).await.unwrap();
    }

    /// The single value of a query, as text.
    async fn text(&mut self, sql: &str) -> String {
        let sql = format!("select cast(({sql}) as text)");
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.own).await.unwrap().get(0)
    }

    fn database(&self, statement_timeout: Duration) -> Database {
        let url = format!("sqlite://{}", self.folder.path().join("erp.db").display());
        open(&url, Dialect::Sqlite, statement_timeout).unwrap()
    }

    fn source(&self, sql: &str, key: &[&str], map: Option<FieldMap>) -> SqlSource {
        SqlSource::new(self.database(LONG), &read(sql, key), mapper(map), Vec::new())
    }

    fn sink(&self, table: &str, upsert_by: &[&str]) -> SqlSink {
        sink(self.database(LONG), &write(table, upsert_by))
    }
}

const LONG: Duration = Duration::from_secs(30);

fn open(url: &str, dialect: Dialect, statement_timeout: Duration) -> Result<Database, Failure> {
    Database::open(&SqlConnection { url: SecretString::from(url), dialect, statement_timeout })
}

fn read(sql: &str, key: &[&str]) -> Read {
    let key = key.iter().map(|k| (*k).to_owned()).collect();
    Read { from: ConnectionName::new("erp").unwrap(), sql: sql.to_owned(), key, max_gone: 1.0 }
}

fn write(table: &str, upsert_by: &[&str]) -> Write {
    Write {
        to: ConnectionName::new("erp").unwrap(),
        target: Target::Table {
            name: table.to_owned(),
            upsert_by: upsert_by.iter().map(|k| (*k).to_owned()).collect(),
            create: false,
        },
        on_gone: crate::job::OnGone::default(),
        shaping: Shaping::default(),
    }
}

fn sink(database: Database, write: &Write) -> SqlSink {
    let mapper = Mapper::new(&write.shaping, Vec::new());
    SqlSink::new(database, &JobName::new("orders").unwrap(), write, mapper)
}

fn batch(contents: &[&str]) -> Batch {
    let record = |content: &&str| Record {
        key: content.chars().take(12).collect(),
        cursor: None,
        content: RawValue::from_string((*content).to_owned()).unwrap(),
        digest: Digest::of(content.as_bytes()),
        group: Vec::new(),
    };
    Batch { records: contents.iter().map(record).collect(), gone: Vec::new() }
}

async fn all(mut source: SqlSource) -> Chunk {
    let mut all = Chunk::default();
    while let Some(chunk) = source.next().await.unwrap() {
        all.records.extend(chunk.records);
        all.rejected.extend(chunk.rejected);
    }
    all
}

async fn put(sink: &mut SqlSink, contents: &[&str]) -> Settled {
    sink.write(&batch(contents)).await.unwrap()
}

fn mapper(map: Option<FieldMap>) -> Mapper {
    Mapper::new(&Shaping { map, ..Shaping::default() }, Vec::new())
}

fn decimal(field: &str) -> FieldMap {
    let rule = MapRule::typed(FieldPath::new(field).unwrap(), ValueType::Decimal);
    FieldMap(vec![(field.to_owned(), rule)])
}

#[tokio::test]
async fn every_sqlite_type_comes_back_as_it_was_written() {
    let erp = Erp::with(
        "create table t (id integer primary key, whole integer, real_one real, price numeric(10,2), label text,
                         picture blob, nothing_here text, flag boolean, at datetime, anything, code varchar(20))",
    )
    .await;
    let rows = [
        r#"{"id":1,"whole":9223372036854775807,"real_one":0.1,"price":12.5,"label":"zażółć \"x\"","picture":"AP8Q","nothing_here":null,"flag":1,"at":"2026-03-29T01:00:00Z","anything":7,"code":"00123"}"#,
        r#"{"id":2,"whole":-9223372036854775808,"real_one":0.30000000000000004,"price":1999999999999,"label":"","picture":"","nothing_here":null,"flag":0,"at":null,"anything":"7","code":"1e5"}"#,
    ];
    assert!(put(&mut erp.sink("t", &["id"]), &rows).await.rejected.is_empty());
    let found = all(erp.source("select * from t order by id", &["id"], None)).await;
    assert!(found.rejected.is_empty());
    let contents: Vec<_> = found.records.iter().map(|record| record.content.get()).collect();
    assert_eq!(contents, rows);
}

#[tokio::test]
async fn a_decimal_keeps_every_digit_or_its_record_is_refused() {
    let erp = Erp::with("create table t (id text primary key, exact text, rounded numeric)").await;
    let mut sink = erp.sink("t", &["id"]);
    let rows = [
        r#"{"id":"a","exact":12345678901234567890.10}"#,
        r#"{"id":"b","rounded":12345678901234567890.10}"#,
        r#"{"id":"c","rounded":"9223372036854775809"}"#,
    ];
    let settled = put(&mut sink, &rows).await;
    let reasons: Vec<_> = settled.rejected.iter().map(|rejected| rejected.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "column `rounded`: it would round 12345678901234567890.10; declare it TEXT to keep every digit",
            "column `rounded`: it would round 9223372036854775809; declare it TEXT to keep every digit",
        ]
    );
    let found = all(erp.source("select id, exact from t", &["id"], Some(decimal("exact")))).await;
    assert_eq!(found.records[0].content.get(), r#"{"exact":12345678901234567890.10}"#);
}

#[tokio::test]
async fn a_refused_record_costs_its_neighbours_nothing() {
    let mut erp =
        Erp::with("create table t (id integer primary key, quantity integer not null check (quantity >= 0))")
            .await;
    let mut sink = erp.sink("t", &["id"]);
    let rows = [
        r#"{"id":1,"quantity":1}"#,
        r#"{"id":2,"quantity":-1}"#,
        r#"{"id":3}"#,
        r#"{"quantity":4}"#,
        r#"[5]"#,
        r#"{"id":6,"quantity":6}"#,
    ];
    let settled = put(&mut sink, &rows).await;
    let mut reasons: Vec<_> = settled.rejected.iter().map(|r| format!("{}: {}", r.key, r.reason)).collect();
    reasons.sort();
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    [5]: the row is not a JSON object
    {"id":2,"qua: CHECK constraint failed: quantity >= 0
    {"id":3}: NOT NULL constraint failed: t.quantity
    {"quantity":: the record has no value for the key column `id`
    "#);
    assert_eq!(erp.text("select group_concat(id) from t").await, "1,6");
}

#[tokio::test]
async fn fifty_thousand_rows_come_in_chunks_and_hold_no_lock_meanwhile() {
    let mut erp = Erp::with(
        "create table t (id integer primary key, label text);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
         insert into t select i, 'item ' || i from n",
    )
    .await;
    let mut source = erp.source("select id, label from t order by id", &["id"], None);
    let first = source.next().await.unwrap().unwrap();
    assert_eq!(first.records.len(), 2_000);
    // In the default journal mode a reader that is still at it would keep this from being committed.
    erp.run("begin exclusive; delete from t; commit").await;
    let mut keys: Vec<u64> = first.records.iter().map(|record| record.key.parse().unwrap()).collect();
    while let Some(chunk) = source.next().await.unwrap() {
        assert!(chunk.records.len() <= 2_000);
        keys.extend(chunk.records.iter().map(|record| record.key.parse::<u64>().unwrap()));
    }
    assert!(keys.into_iter().eq(1..=50_000));
}

#[tokio::test]
async fn a_locked_database_fails_the_batch_for_now_and_commits_nothing_of_it() {
    let mut erp = Erp::with("create table t (id integer primary key)").await;
    let mut sink = sink(erp.database(Duration::from_millis(400)), &write("t", &["id"]));
    put(&mut sink, &[r#"{"id":1}"#]).await;
    erp.run("begin immediate").await;
    let failed = sink.write(&batch(&[r#"{"id":2}"#, r#"{"id":3}"#])).await.unwrap_err();
    assert_eq!(
        (failed.class, failed.message.as_str()),
        (Class::Transient, "table `t` could not be written: database is locked")
    );
    erp.run("commit").await;
    assert_eq!(erp.text("select count(*) from t").await, "1");
    put(&mut sink, &[r#"{"id":2}"#, r#"{"id":3}"#]).await;
    assert_eq!(erp.text("select count(*) from t").await, "3");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_given_up_and_holds_no_lock_afterwards() {
    let mut erp = Erp::with("create table t (id integer primary key); insert into t values (1)").await;
    let endless = "with recursive n(i) as (select id from t union all select i + 1 from n) select count(*) as id from n";
    let database = erp.database(Duration::from_millis(300));
    let mut source = SqlSource::new(database, &read(endless, &["id"]), Mapper::default(), Vec::new());
    let failed = source.next().await.err().unwrap();
    assert_eq!(
        failed,
        Failure::new(Class::Transient, "the database took longer than 0.3 s for one statement")
    );
    erp.run("begin exclusive; delete from t; commit").await;
}

#[tokio::test]
async fn a_wrong_query_is_a_configuration_failure_that_names_what_is_wrong() {
    let mut erp =
        Erp::with("create table t (id integer primary key, a text); insert into t values (1, 'x')").await;
    let mut problems = Vec::new();
    for (sql, key) in [
        ("select id from nowhere", "id"),
        ("select missing from t", "id"),
        ("select id, from t", "id"),
        ("select id as number, a from t", "id"),
        ("select id, a as id from t", "id"),
        ("delete from t returning id", "id"),
    ] {
        let failed = erp.source(sql, &[key], None).next().await.err().unwrap();
        assert_eq!(failed.class, Class::Config, "{sql}");
        problems.push(failed.message);
    }
    insta::assert_snapshot!(problems.join("\n"), @r#"
    the query was refused: no such table: nowhere
    the query was refused: no such column: missing
    the query was refused: near "from": syntax error
    the query has no column `id`, which `key` names; it has number, a
    the query has two columns named `id`; name one `as` something else
    the query could not be read: attempt to write a readonly database
    "#);
    assert_eq!(erp.text("select count(*) from t").await, "1");
}

#[tokio::test]
async fn a_wrong_table_is_a_configuration_failure_that_names_what_is_wrong() {
    let erp = Erp::with("create table t (id integer primary key, a text, b text unique, c text); create unique index part on t (c) where a = 'x'").await;
    let mut problems = Vec::new();
    for (table, key) in [("nowhere", "id"), ("t", "number"), ("t", "a"), ("t", "c")] {
        let failed = erp.sink(table, &[key]).write(&batch(&[r#"{"id":1}"#])).await.unwrap_err();
        assert_eq!(failed.class, Class::Config, "{table}");
        problems.push(failed.message);
    }
    insta::assert_snapshot!(problems.join("\n"), @r#"
    there is no table `nowhere`; create it, or let it be created with `create = true`
    table `t` has no column `number`, which `upsert-by` names
    table `t` has no unique index on ("a"), which `upsert-by` needs to find a row again; create one: create unique index cadenced_key on "t" ("a")
    table `t` has no unique index on ("c"), which `upsert-by` needs to find a row again; create one: create unique index cadenced_key on "t" ("c")
    "#);
    assert!(check_write(&erp.database(LONG), &write("main.t", &["b"])).await.is_ok());
    let failed = check_write(&erp.database(LONG), &write("nowhere", &["id"])).await.unwrap_err();
    assert_eq!(failed.message, problems[0]);
}

#[tokio::test]
async fn a_row_without_a_key_or_a_fitting_value_is_rejected_and_the_others_go_on() {
    let erp = Erp::with(
        "create table t (sku text, price text);
         insert into t values ('a', '1.50'), (null, '2'), ('c', 'three'), ('d', '4.00'), ('e', cast(x'ff' as text))",
    )
    .await;
    let found = all(erp.source("select sku, price from t", &["sku"], Some(decimal("price")))).await;
    let contents: Vec<_> = found.records.iter().map(|record| record.content.get()).collect();
    assert_eq!(contents, [r#"{"price":1.50}"#, r#"{"price":4.00}"#]);
    let rejected: Vec<_> =
        found.rejected.iter().map(|r| format!("{}: {} {}", r.key, r.reason, r.content)).collect();
    insta::assert_snapshot!(rejected.join("\n"), @r#"
    row 2: the key column `sku` is null {"sku":null,"price":"2"}
    c: field `price`: three is not a decimal number {"sku":"c","price":"three"}
    e: column `price` holds a value that JSON has no form for {"sku":"e","price":null}
    "#);
}

#[tokio::test]
async fn fields_find_their_columns_and_leave_the_others_alone() {
    let mut erp = Erp::with(
        "create table \"or ders\" (order_id integer primary key, Total text, note text default 'ours', lines text, raw text)",
    )
    .await;
    let mut sink = erp.sink("or ders", &["order_id"]);
    put(&mut sink, &[r#"{"orderId":7,"total":10.0}"#]).await;
    erp.run("update \"or ders\" set note = 'seen'").await;
    let row = r#"{"orderId":7,"total":12.50,"lines":[{"sku":"a","price":0.10}],"unknown":true}"#;
    put(&mut sink, &[row]).await;
    let stored = erp
        .text("select order_id || '|' || total || '|' || note || '|' || lines || '|' || raw from \"or ders\"")
        .await;
    assert_eq!(stored, format!(r#"7|12.50|seen|[{{"sku":"a","price":0.10}}]|{row}"#));
}

#[tokio::test]
async fn a_map_names_the_columns_and_can_keep_the_whole_row() {
    let mut erp = Erp::with("create table t (id integer primary key, city text, source text)").await;
    let mut write = write("t", &["id"]);
    let city = MapRule::typed(FieldPath::new("address.city").unwrap(), ValueType::Text);
    let id = MapRule::typed(FieldPath::new("id").unwrap(), ValueType::Integer);
    write.shaping = Shaping::from(FieldMap(vec![
        ("id".to_owned(), id),
        ("city".to_owned(), city),
        ("source".to_owned(), MapRule::Record),
    ]));
    let row = r#"{"id":"5","address":{"city":"Gdynia"},"total":1.10}"#;
    put(&mut sink(erp.database(LONG), &write), &[row]).await;
    assert_eq!(erp.text("select id || city || source from t").await, format!("5Gdynia{row}"));
}

#[tokio::test]
async fn the_last_record_of_a_key_counts_and_a_key_alone_is_enough() {
    let mut erp = Erp::with("create table t (a text, b text, c text, primary key (a, b))").await;
    let mut sink = erp.sink("t", &["b", "a"]);
    put(
        &mut sink,
        &[r#"{"a":"1","b":"2","c":"old"}"#, r#"{"a":"1","b":"2","c":"new"}"#, r#"{"a":"1","b":"2"}"#],
    )
    .await;
    assert_eq!(erp.text("select group_concat(a || b || c) from t").await, "12new");
}

#[tokio::test]
async fn keys_join_their_columns_and_the_digest_covers_the_group() {
    let erp =
        Erp::with("create table t (w text, sku integer); insert into t values ('A', 1), ('B', 1)").await;
    let map = FieldMap(vec![("sku".to_owned(), MapRule::Constant(1.into()))]);
    let read = read("select w, sku from t order by w", &["w", "sku"]);
    let found =
        all(SqlSource::new(erp.database(LONG), &read, mapper(Some(map)), vec!["w".to_owned()])).await.records;
    assert_eq!((found[0].key.as_str(), found[0].group.as_slice()), ("A\u{1f}1", ["A".to_owned()].as_slice()));
    assert_eq!(found[0].content.get(), found[1].content.get());
    assert_ne!(found[0].digest, found[1].digest);
}

#[tokio::test]
async fn a_check_of_a_query_without_a_map_has_nothing_against_its_columns() {
    let erp = Erp::with("create table t (a text, b text)").await;
    let problems =
        check_read(&erp.database(LONG), &read("select b, a as id from t", &["id"]), &[], &Shaping::default())
            .await;
    assert_eq!(problems.unwrap(), [] as [&str; 0]);
}

#[tokio::test]
async fn no_message_repeats_the_address_of_a_database() {
    let unreachable = open("postgres://erp:hunter2@127.0.0.1:1/db", Dialect::Postgres, LONG).unwrap();
    let failed = check_read(&unreachable, &read("select 1 as id", &["id"]), &[], &Shaping::default())
        .await
        .unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}");
    assert!(!format!("{failed} {unreachable:?}").contains("hunter2"));

    let unreadable = open("postgres://erp:hunter2@host:port/db", Dialect::Postgres, LONG).unwrap_err();
    assert_eq!(unreadable.class, Class::Config);
    assert!(!unreadable.message.contains("hunter2"));

    let missing = open("sqlite:///nowhere/hunter2.db", Dialect::Sqlite, LONG).unwrap();
    let failed =
        check_read(&missing, &read("select 1 as id", &["id"]), &[], &Shaping::default()).await.unwrap_err();
    assert_eq!(failed.class, Class::Config, "{failed}");
    assert!(!failed.message.contains("hunter2"));
}
