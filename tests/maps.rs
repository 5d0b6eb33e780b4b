//! What maps promise on a whole job: rows leave and arrive as the map says, what can't be mapped is a reject, and a filter
//! that runs away ends its run and nothing else.

use crate::support::{Site, json, stderr};
use serde_json::Value;
use sqlx::Row as _;

/// The stock job with this query and these keys.
fn stocks(sql: &str, keys: &str) -> String {
    format!(
        r#"
[job.one-stocks]
read = {{ from = "erp", sql = """{sql}""", key = ["warehouse", "sku"] }}
{keys}
"#
    )
}

const PLAIN: &str = "select sku, warehouse, quantity from cadenced_stocks";

async fn site(schedule: &str) -> Site {
    let site = Site::quiet().await;
    site.schedule(schedule);
    site
}

#[tokio::test]
async fn a_push_looks_up_and_sends_only_what_is_marked() {
    let map = r#"where = "warehouse = 'W1' and sku in ('A-00001', 'A-00002', 'A-00010')"
map = { id = { lookup = { sql = "select web_id from web_ids where sku = ?", by = ["sku"] } }, sku = "{sku}", quantity = { field = "quantity", type = "decimal", scale = 2 } }"#;
    let site = site(&stocks(PLAIN, map)).await;
    sqlx::raw_sql("create table web_ids (sku text, web_id text); insert into web_ids values ('A-00001', 'W-71'), ('A-00010', 'W-80')")
        .execute(&site.erp)
        .await
        .unwrap();
    let tried = site.cadenced(&["try", "one-stocks", "--limit", "5", "--format", "json"]);
    assert_eq!(tried.status.code(), Some(2), "one row is rejected: {}", stderr(&tried));
    let tried: Value = json(std::str::from_utf8(&tried.stdout).unwrap());
    let rows = tried["tried"].as_array().unwrap();
    let ids: Vec<&Value> = rows.iter().map(|row| &row["record"]["id"]).collect();
    assert_eq!(ids, [&Value::from("W-71"), &Value::Null, &Value::from("W-80")]);
    assert_eq!(rows[1]["rejected"], "field `id`: the lookup has nothing for sku A-00002");
    assert_eq!((&rows[0]["request"], &rows[1]["request"]), (&Value::from(1), &Value::Null));
    assert_eq!(rows[0]["row"]["warehouse"], "W1");
    let body = tried["requests"][0]["body"].as_str().unwrap();
    assert!(body.contains(&rows[0]["record"].to_string()), "{body}");
    assert!(tried["requests"][0]["headers"]["apiauth"] == "[secret]", "{tried}");
    assert_eq!(site.one.wire.count(), 0, "nothing is sent");
    let text = String::from_utf8(site.cadenced(&["try", "one-stocks"]).stdout).unwrap();
    assert!(
        text.starts_with("one-stocks: 3 rows tried, 1 rejected or left out\n\nrow 1    {\"sku\":\"A-00001\""),
        "{text}"
    );

    let ended = site.once("one-stocks").await;
    assert_eq!((ended.counts.read, ended.counts.written, ended.counts.rejected), (3, 2, 1));
    // What was missing is found by the next run.
    sqlx::query("insert into web_ids values ('A-00002', 'W-72')").execute(&site.erp).await.unwrap();
    let ended = site.once("one-stocks").await;
    assert_eq!((ended.counts.written, ended.counts.unchanged, ended.counts.rejected), (1, 2, 0));
    assert_eq!(site.rejects("one-stocks").await.len(), 0);
}

#[tokio::test]
async fn a_column_the_query_does_not_have_stops_the_run() {
    let site = site(&stocks(PLAIN, r#"map = { id = "{skuu}", quantity = "{quantity}" }"#)).await;
    let ended = site.once("one-stocks").await;
    let message = ended.message.unwrap();
    assert!(message.contains("the query has no column `skuu`, which `map` or `where` names"), "{message}");
    assert_eq!(site.one.wire.count(), 0);
}

#[tokio::test]
async fn a_pull_maps_nested_rows_and_looks_up_by_links() {
    let site = site(
        r#"
[job.b2market-orders]
write = { to = "erp", table = "web_orders", upsert-by = ["id"] }
where = "id != '2'"
[job.b2market-orders.map]
id = "{id}"
known = { lookup = { links = "b2market-orders", by = ["id"] }, default = "new" }
total = { field = "totalAmount", type = "decimal" }
changed = { field = "updatedAt", type = "timestamp", from-timezone = "Europe/Madrid" }
lines = { rows = "lines", map = { no = { number-from = 1 } } }
"#,
    )
    .await;
    site.b2market.seed(3);
    sqlx::raw_sql(
        "create table web_orders (id text primary key, known text, total text, changed text, lines text);
         create table cadenced_links (job text, \"key\" text, id text);
         insert into cadenced_links values ('b2market-orders', '1', 'ERP-1'), ('other', '3', 'ERP-3')",
    )
    .execute(&site.erp)
    .await
    .unwrap();
    let served = site.b2market.orders();
    let tried = json(&site.printed(&["try", "b2market-orders", "--limit", "1", "--format", "json"]));
    assert_eq!(tried["tried"].as_array().unwrap().len(), 1);
    let ended = site.once("b2market-orders").await;
    assert_eq!((ended.counts.read, ended.counts.rejected), (3, 0), "{:?}", ended.message);
    let rows = sqlx::query("select * from web_orders order by id").fetch_all(&site.erp).await.unwrap();
    assert_eq!(rows.len(), served.keys().filter(|id| *id != "2").count());
    for row in rows {
        let text = |name: &str| row.get::<String, _>(name);
        let order = &served[&text("id")];
        assert_eq!(text("total"), order["totalAmount"].to_string());
        assert!(text("changed").ends_with('Z'), "{}", text("changed"));
        assert_eq!(text("known"), if text("id") == "1" { "ERP-1" } else { "new" });
        let numbers: Vec<Value> =
            json(&text("lines")).as_array().unwrap().iter().map(|line| line["no"].clone()).collect();
        let lines = order["lines"].as_array().unwrap().len();
        assert_eq!(numbers, (1..=lines).map(Value::from).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_filter_that_runs_away_ends_its_run() {
    const TOO_LONG: &str = "it took longer than 5 s for one row";
    const ENDED: &str = "the filter's process ended";
    let filters = [
        ("loop", "def f: f; f", TOO_LONG),
        ("endless", "last(repeat(1))", TOO_LONG),
        // Which of its limits it meets first depends on the machine.
        ("range", "[range(1e12)] | length", "the filter"),
        ("deep", "def f: 1 + f; f", ENDED),
        ("large", "\"x\" * 10000000000", ENDED),
    ];
    let job = |name: &str, filter: &str| {
        format!(
            r#"
[job.{name}]
cron = "0 0 0 1 1 *"
read = {{ from = "erp", sql = "{PLAIN} limit 2", key = ["warehouse", "sku"] }}
push = {{ to = "one", post = "/x" }}
filter = '''{filter}'''
"#
        )
    };
    let good = job("good", r#"{id: ("web-" + .sku), quantity}"#);
    let site = site(&(good + &filters.map(|(name, filter, _)| job(name, filter)).concat())).await;
    let tried = json(&site.printed(&["try", "good", "--format", "json"]));
    assert_eq!(tried["tried"][0]["record"]["id"], "web-A-00001");
    std::thread::scope(|scope| {
        for (name, filter, what) in filters {
            let site = &site;
            scope.spawn(move || {
                let output = site.cadenced(&["try", name]);
                let said = stderr(&output);
                assert_eq!(output.status.code(), Some(1), "{filter}: {said}");
                assert!(said.contains(what), "{filter}: {said}");
            });
        }
    });
    assert_eq!(site.one.wire.count(), 0);
}

#[tokio::test]
async fn a_run_ends_with_its_filter_and_the_daemon_goes_on() {
    let site = site(&stocks(PLAIN, r#"filter = "def f: 1 + f; f""#)).await;
    let _daemon = site.service();
    let ended = site.cadenced(&["once", "one-stocks", "--format", "json"]);
    let report = json(std::str::from_utf8(&ended.stdout).unwrap());
    assert_eq!(report["outcome"], "failed", "{}", stderr(&ended));
    assert!(report["message"].as_str().unwrap().contains("the filter's process ended"), "{report}");
    let other = json(&site.printed(&["once", "b2market-orders", "--format", "json"]));
    assert_eq!(other["outcome"], "ok");
}
