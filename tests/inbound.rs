//! The listener that platforms call, with a daemon behind it: what is created once, what is refused and how, what
//! survives a kill, a reload and a stop.

use crate::support::{
    Daemon, Erp, PASSWORD, Said, Site, USER, caller, known_customer, repository, signal, soon, stderr,
};
use cadenced::admin::control::{Condition, Wait};
use cadenced::admin::{ClientError, Refusal};
use cadenced::connection::Dialect;
use cadenced::run::Outcome;
use cadenced::sandbox::commerceup::{Call, Caller, Credentials, Reply, calls_with_repeats, orders};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ORDER: &str = "commerceup-create-order";

fn refusal(message: &str) -> Value {
    json!({"success": false, "message": message})
}

/// The orders in the ERP: their ids by the shop's; panics if one is there twice.
async fn created(site: &Site) -> BTreeMap<String, String> {
    let rows = site.rows("select shop_id, id from cadenced_commerceup_orders").await;
    let count = rows.len();
    let created: BTreeMap<String, String> =
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(created.len(), count, "no order twice");
    created
}

/// Without the unique index of the shop's id: what is created twice is there twice.
async fn let_twice_be_twice(site: &Site) {
    site.sql(
        "alter table cadenced_commerceup_orders rename to old;
         create table cadenced_commerceup_orders (
             id integer primary key autoincrement, shop_id text, customer_id text, currency text, total text, items text, body text,
             status text default 'New', created_at text default current_timestamp);",
    )
    .await;
}

#[tokio::test]
async fn the_same_order_many_times_at_once_is_created_once() {
    let (site, _shop) = Site::with_shop("answer-time = \"60s\"", "").await;
    let_twice_be_twice(&site).await;
    let daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let customer = known_customer(&caller).await;
    let calls = vec![Call::create_order(&orders(1, 1, &[&customer])[0]); 20];
    let replies = caller.call_at_once(&calls).await;
    for reply in replies {
        assert_eq!(reply.unwrap().json(), json!({"success": true, "orderId": "1"}));
    }
    assert_eq!(created(&site).await.len(), 1);
}

#[tokio::test]
async fn two_hundred_calls_at_once_and_a_kill_create_each_order_once() {
    let (site, _shop) = Site::with_shop("answer-time = \"60s\"", "").await;
    let_twice_be_twice(&site).await;
    let mut daemon = Daemon::start(&site).await;
    let customer = known_customer(&caller(&daemon.calls_at())).await;
    let orders: Vec<Call> = orders(5, 150, &[&customer]).iter().map(Call::create_order).collect();
    let calls = calls_with_repeats(5, &orders, 50);
    assert_eq!(calls.len(), 200);

    daemon.stand_still_at("pull-before-sink-commit:70");
    let first = {
        let caller = caller(&daemon.calls_at());
        let calls = calls.clone();
        tokio::spawn(async move { caller.call_at_once(&calls).await })
    };
    daemon.until("the 70th commit", |said| matches!(said, Said::Stands(_))).await;
    daemon.kill().await;
    let first = first.await.unwrap();
    let answered: Vec<Option<&Reply>> =
        first.iter().map(|reply| reply.as_ref().ok().filter(|reply| reply.status == 200)).collect();
    let answers = answered.iter().flatten().count();
    assert!((1..200).contains(&answers), "some were answered before the kill, not all: {answers}");

    let daemon = Daemon::start(&site).await;
    let again = caller(&daemon.calls_at()).call_at_once(&calls).await;
    let created = created(&site).await;
    assert_eq!(created.len(), 150);
    for ((call, before), after) in calls.iter().zip(answered).zip(again) {
        let after = after.unwrap();
        assert_eq!(after.status, 200, "{}", after.text);
        let shop_id = call.body["order"]["id"].as_str().unwrap();
        assert_eq!(after.json()["orderId"], json!(created[shop_id]));
        if let Some(before) = before {
            assert_eq!(before.json(), after.json(), "the id answered first");
        }
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_refused_with_what_is_wrong_and_nothing_else() {
    let (site, _shop) = Site::with_shop("body-time = \"200ms\"", "").await;
    let daemon = site.service();
    let shop = caller(&daemon.calls_at());
    let bomb = r#"<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><o><order><id>&b;</id></order></o>"#;
    let without_id = r#"{"order":{"customerId":"1","items":[],"total":1}}"#;
    let bad_total = r#"{"order":{"id":"1","customerId":"1","items":[],"total":"much"}}"#;
    known_customer(&shop).await;
    let json = "application/json";
    let table: [(&str, &str, Vec<u8>, u16, &str); 8] = [
        (
            "createOrder",
            json,
            b"{\"order\":\n oops}".to_vec(),
            400,
            "the body is not JSON: expected value at line 2 column 2",
        ),
        ("createOrder", "application/xml", b"<a><b></a>".to_vec(), 400, "the body is not XML: "),
        (
            "createOrder",
            "application/xml",
            bomb.into(),
            400,
            "the body is not XML: a DOCTYPE is not accepted",
        ),
        ("createOrder", json, without_id.into(), 400, "`order.id` is missing"),
        ("createOrder", json, bad_total.into(), 400, "much is not a decimal number"),
        ("cancelOrder", json, br#"{"orderId":"1"}"#.to_vec(), 400, "`items` is missing"),
        ("createOrder", json, vec![b' '; 10 << 20], 413, "the body has more than 1048576 bytes"),
        ("createInvoice", json, b"{}".to_vec(), 404, "there is no such endpoint"),
    ];
    for (name, content_type, body, status, message) in table {
        let reply = shop.raw(name, content_type, body).await.unwrap();
        let said = reply.json();
        assert_eq!((reply.status, &said["success"]), (status, &json!(false)), "{message}: {}", reply.text);
        assert!(said["message"].as_str().unwrap().starts_with(message), "{message}: {}", reply.text);
        assert!(!reply.text.contains("cadenced") && !reply.text.contains("erp"), "{}", reply.text);
    }
    let address = daemon.calls_at().replace("http://", "");
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /createOrder HTTP/1.1\r\nhost: x\r\nusername: {USER}\r\npassword: {PASSWORD}\r\ncontent-length: 99\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = soon("the answer to a slow body", slow.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("the body took too long"), "{answer}");
    let put = Client::new().put(format!("{}/createOrder", daemon.calls_at()));
    let put = put.header("username", USER).header("password", PASSWORD).body("{}").send().await.unwrap();
    assert_eq!((put.status().as_u16(), &put.headers()["allow"]), (405, &"POST, GET".parse().unwrap()));

    let wrong = Credentials::Headers(USER.to_owned(), "not-the-password".to_owned());
    let stranger = Caller::new(&daemon.calls_at(), wrong, Duration::from_secs(60)).unwrap();
    for name in ["createOrder", "createInvoice"] {
        let reply = stranger.raw(name, json, "{").await.unwrap();
        assert_eq!((reply.status, reply.json()), (401, refusal("unauthorized")));
    }
    let log = daemon.log();
    let named =
        |what: &str| log.lines().any(|line| line.contains("caller=\"commerceup\"") && line.contains(what));
    for what in
        ["not JSON", "DOCTYPE", "`order.id`", "more than 1048576 bytes", "took too long", "no such endpoint"]
    {
        assert!(named(what), "{what}: {log}");
    }
    assert!(log.contains("refused a call with missing or unknown credentials"), "{log}");
    for secret in [PASSWORD, "not-the-password"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert_eq!(created(&site).await.len(), 0);
}

#[tokio::test]
async fn an_erp_that_is_away_or_locked_is_503_at_once_and_the_call_may_be_repeated() {
    let (site, _shop) = Site::with_shop("", "").await;
    let daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let customer = known_customer(&caller).await;
    let call = Call::create_order(&orders(1, 1, &[&customer])[0]);
    let mut lock = site.erp.acquire().await.unwrap();
    sqlx::raw_sql("begin exclusive").execute(&mut *lock).await.unwrap();
    let asked = Instant::now();
    let reply = caller.call(&call).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let later = refusal("this can't be taken now; repeat the call");
    assert_eq!((reply.status, reply.retry_after.as_deref(), reply.json()), (503, Some("10"), later.clone()));
    sqlx::raw_sql("rollback").execute(&mut *lock).await.unwrap();

    let (erp, away) = (site.dir().join("erp.db"), site.dir().join("away"));
    std::fs::rename(&erp, &away).unwrap();
    let reply = caller.call(&call).await.unwrap();
    assert_eq!((reply.status, reply.json()), (503, later));
    std::fs::rename(&away, &erp).unwrap();
    assert_eq!(caller.call(&call).await.unwrap().json(), json!({"success": true, "orderId": "1"}));
    assert!(daemon.log().contains("a call could not be taken: "), "{}", daemon.log());
}

/// Waits until the history of a job begins with a run that fits.
async fn last_run(
    site: &Site,
    job: &str,
    fits: impl Fn(&cadenced::run::RunRecord) -> bool,
) -> cadenced::run::RunRecord {
    let control = site.control().await;
    let wait = async {
        loop {
            let runs = control.history(Some(job), 1).await.unwrap();
            if let Some(run) = runs.into_iter().find(|run| run.outcome.is_some() && fits(run)) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the run in the history", wait).await
}

#[tokio::test]
async fn what_was_received_is_in_the_history_and_health_knows_the_job() {
    let (site, _shop) = Site::with_shop("", "").await;
    let mut daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let control = site.control().await;
    let health = async || {
        let job =
            |job: &cadenced::admin::control::JobStatus| job.job.as_str() == "commerceup-create-customer";
        control.status().await.unwrap().into_iter().find(job).unwrap()
    };
    let before = health().await;
    assert_eq!((before.health.status, before.health.last_success), (Condition::Ok, None));
    known_customer(&caller).await;
    let run = last_run(&site, "commerceup-create-customer", |_| true).await;
    assert_eq!((run.outcome, run.counts.read, run.counts.written), (Some(Outcome::Ok), 1, 1));
    let after = health().await;
    assert_eq!((after.health.status, after.last_outcome), (Condition::Ok, Some(Outcome::Ok)));
    assert_eq!(after.health.last_success, run.ended);
    let metrics = reqwest::get(format!("{}/metrics", daemon.address())).await.unwrap().text().await.unwrap();
    for metric in [
        "cadenced_calls_total{caller=\"commerceup\",status=\"200\"} 1",
        "cadenced_records_total{job=\"commerceup-create-customer\",what=\"written\"} 1",
        "cadenced_call_duration_seconds_count{job=\"commerceup-create-customer\"} 1",
    ] {
        assert!(metrics.contains(metric), "{metric}: {metrics}");
    }

    // Nothing but its platform starts it, and a pause holds calls off.
    let refused = site.cadenced(&["trigger", "commerceup-create-customer"]);
    assert!(stderr(&refused).contains("it receives what its platform calls with"), "{refused:?}");
    control.pause("commerceup-create-customer", Some("stocktaking")).await.unwrap();
    let call = Call::create_customer(&json!({"id": "cu_2"}));
    assert_eq!(caller.call(&call).await.unwrap().status, 503);
    assert_eq!(health().await.health.status, Condition::Degraded);
    control.resume("commerceup-create-customer").await.unwrap();
    assert_eq!(caller.call(&call).await.unwrap().status, 200);

    // What came within the minute is written down by a stop.
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    let view = site
        .store()
        .job_view(&cadenced::words::JobName::new("commerceup-create-customer").unwrap())
        .await
        .unwrap();
    assert_eq!(view.recent.len(), 2);
}

async fn reloaded(site: &Site) -> Result<(), Vec<String>> {
    match site.control().await.reload(Wait::Yes).await {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(Refusal::Config { problems })) => Err(problems),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_reload_brings_new_endpoints_and_passwords_and_keeps_connections() {
    let (site, _shop) = Site::with_shop("", "").await;
    let daemon = site.service();
    let address = daemon.calls_at();
    let before = caller(&address);
    known_customer(&before).await;

    site.schedule("[job.commerceup-create-customer]\nreceive = { path = \"/shoppers\", methods = [\"POST\"], formats = [\"json\"] }\n");
    assert_eq!(reloaded(&site).await, Ok(()));
    let customer = json!({"customer": {"id": "cu_9"}});
    let reply = before.raw("shoppers", "application/json", customer.to_string()).await.unwrap();
    assert_eq!((reply.status, reply.json()), (200, json!({"success": true, "customerId": "2"})));
    assert_eq!(
        before.raw("createCustomer", "application/json", customer.to_string()).await.unwrap().status,
        404
    );
    let xml =
        before.raw("shoppers", "application/xml", "<c><customer><id>1</id></customer></c>").await.unwrap();
    assert_eq!((xml.status, xml.json()), (400, refusal("the body must be JSON")));

    site.secret("shop-password", "another");
    assert_eq!(reloaded(&site).await, Ok(()));
    assert_eq!(before.raw("shoppers", "application/json", "{}").await.unwrap().status, 401);
    assert_eq!(daemon.calls_at(), address, "the same listener");

    // Taken by the admin endpoint: the whole is refused, and the old one goes on.
    let taken = daemon.address().replace("http://", "");
    site.listen(&format!("listen = \"{taken}\""));
    let problems = reloaded(&site).await.unwrap_err();
    assert!(
        problems[0].contains(&format!("inbound.listen: the listener can't have {taken}")),
        "{problems:?}"
    );
    assert_eq!(before.raw("shoppers", "application/json", "{}").await.unwrap().status, 401);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    site.listen(&format!("listen = \"{free}\""));
    assert_eq!(reloaded(&site).await, Ok(()));
    let moved = caller(&format!("http://{free}")).raw("shoppers", "application/json", "{}").await.unwrap();
    assert_eq!(moved.status, 401);
    site.configure("");
    assert_eq!(reloaded(&site).await, Ok(()));
    // Another program may have taken the port meanwhile; it would know no caller.
    let late = caller(&format!("http://{free}")).raw("shoppers", "application/json", "{}").await;
    assert!(!late.is_ok_and(|reply| reply.status == 401), "closed");
    let table = site.printed(&["status"]);
    assert!(table.contains("nobody can call: there is no `[inbound]`"), "{table}");
}

/// A certificate for 127.0.0.1 that is good for a hundred years, and its key, which protects nothing.
const CERTIFICATE: &str = include_str!("support/listener.pem");
const KEY: &str = include_str!("support/listener.key");

#[tokio::test]
async fn calls_come_in_encrypted_where_there_is_a_certificate() {
    let (site, _shop) =
        Site::with_shop("tls = { cert = \"listener.pem\", key = { file = \"listener.key\" } }", "").await;
    site.secret("listener.pem", CERTIFICATE);
    site.secret("listener.key", KEY);
    let daemon = site.service();
    let address = daemon.calls_at().replace("http://", "https://");
    let root = reqwest::Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([root]).build().unwrap();
    let call = client
        .post(format!("{address}/createCustomer"))
        .header("username", USER)
        .header("password", PASSWORD);
    let reply = call.body(r#"{"customer":{"id":"cu_1"}}"#).send().await.unwrap();
    assert_eq!(reply.json::<Value>().await.unwrap(), json!({"success": true, "customerId": "1"}));
    // Without TLS nothing is heard, and nobody else is disturbed.
    assert!(Client::new().post(daemon.calls_at()).send().await.is_err());
    site.secret("listener.key", "no key");
    let problems = reloaded(&site).await.unwrap_err();
    assert!(problems[0].contains("inbound.tls.key: holds no private key in PEM"), "{problems:?}");
}

#[tokio::test]
async fn a_stop_lets_the_calls_in_hand_end() {
    let (site, _shop) = Site::with_shop("[log]\nlevel = \"debug\"", "").await;
    let mut daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let mut lock = site.erp.acquire().await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut *lock).await.unwrap();
    let call = tokio::spawn(async move { caller.call(&Call::create_customer(&json!({"id": "cu_1"}))).await });
    while !daemon.log().contains("a call came") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    signal(daemon.id(), "TERM");
    while !daemon.log().contains("calls are let end") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::raw_sql("rollback").execute(&mut *lock).await.unwrap();
    let reply = call.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.json()["customerId"].clone()), (200, json!("1")), "{}", daemon.log());
    assert!(daemon.ended().await.success());
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());
}

#[tokio::test]
async fn check_says_where_jobs_are_called_and_what_the_databases_lack() {
    let (site, _shop) = Site::with_shop("", "").await;
    let table = site.printed(&["check"]);
    let row = table.lines().find(|line| line.starts_with(ORDER)).unwrap();
    assert!(row.contains("when its platform calls POST or GET /createorder"), "{row}");
    assert!(site.cadenced(&["check", "--connect"]).status.success());
    let next = site.cadenced(&["next", ORDER]);
    assert!(stderr(&next).contains("when its platform calls"), "{next:?}");
    site.schedule(&format!("[job.{ORDER}.write]\nstatement = \"insert into cadenced_commerceup_orders (shop_id) values (:shop_id)\"\n"));
    let check = site.cadenced(&["check", "--connect"]);
    assert!(stderr(&check).contains("the answer gives `{id}`, and the statement returns none"), "{check:?}");
    for command in ["once", "try"] {
        let refused = site.cadenced(&[command, ORDER]);
        assert!(stderr(&refused).contains("it receives what its platform calls with"), "{refused:?}");
    }
}

/// The shipped statements on a server: what comes at once is created once, and what the ERP doesn't want is not written.
async fn orders_on(dialect: Dialect) {
    let erp = Erp::new(dialect).await;
    let name = if dialect == Dialect::Postgres { "postgresql" } else { "mariadb" };
    for platform in ["commerceup", "one", "b2market"] {
        let sql = repository().join(format!("packaging/erp/{name}/{platform}.sql"));
        erp.run(&std::fs::read_to_string(sql).unwrap()).await;
    }
    let connection = format!("[connection.erp]\nsql = \"{}\"\n", erp.url);
    let (site, _shop) = Site::with_shop("answer-time = \"60s\"", &connection).await;
    let daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let customer = known_customer(&caller).await;
    let order = orders(1, 1, &[&customer]).remove(0);
    let replies = caller.call_at_once(&vec![Call::create_order(&order); 12]).await;
    let ids: Vec<Value> = replies.into_iter().map(|reply| reply.unwrap().json()["orderId"].clone()).collect();
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let stored = erp
        .texts("select shop_id, customer_id, currency, total, items from cadenced_commerceup_orders")
        .await;
    let stored: Vec<String> = stored.into_iter().flatten().flatten().collect();
    assert_eq!(stored[..3], [order["id"].as_str().unwrap(), &customer, "PLN"]);
    assert_eq!(serde_json::from_str::<Value>(&stored[3]).unwrap(), order["total"]);
    assert_eq!(
        (serde_json::from_str::<Value>(&stored[4]).unwrap(), stored.len()),
        (order["items"].clone(), 5)
    );

    let items = [json!({"sku": "515", "quantity": 1})];
    let cancelled = caller.call(&Call::cancel_order(ids[0].as_str().unwrap(), &items)).await.unwrap();
    assert_eq!(cancelled.json()["success"], json!(true), "{}", cancelled.text);
    let unknown = caller.call(&Call::cancel_order("SO-9", &items)).await.unwrap();
    assert_eq!((unknown.status, &unknown.json()["success"]), (200, &json!(false)), "{}", unknown.text);
    let order = Call::create_order(&orders(1, 1, &["C-10452"])[0]);
    assert_eq!(caller.call(&order).await.unwrap().status, 422);
    let check = site.cadenced(&["check", "--connect"]);
    assert!(check.status.success(), "{check:?}");
}

#[tokio::test]
async fn orders_are_created_once_on_postgresql() {
    orders_on(Dialect::Postgres).await;
}

#[tokio::test]
async fn orders_are_created_once_on_mariadb() {
    orders_on(Dialect::Mysql).await;
}
