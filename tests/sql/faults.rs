//! When a database fails, the run says how, its watermark stays, whole pages or nothing are in the ERP, and the next run makes
//! good for it.

use super::jobs::{differences, snake_case, stock};
use super::{Erp, ORDERS, STOCKS, on_each_database, schedule, site};
use crate::support::soon;
use cadenced::connection::Dialect;
use cadenced::run::Outcome;
use chrono::TimeDelta;
use std::time::Duration;

on_each_database!(
    a_locked_table_fails_the_run_for_now,
    a_query_that_fails_before_a_request_is_full_sends_nothing,
    a_value_that_does_not_fit_is_one_reject,
);

async fn a_locked_table_fails_the_run_for_now(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    site.b2market.seed(30);
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    let mark = site.watermark(ORDERS).await;
    schedule(&site, &erp, "connection.erp.statement-timeout = \"3s\"");
    site.b2market.touch(10);
    site.b2market.wire.clock().advance(Duration::from_secs(300));

    let mut other = erp.session().await;
    let (lock, unlock, words) = match dialect {
        Dialect::Sqlite => ("begin immediate", "rollback", "database is locked"),
        Dialect::Postgres => {
            ("begin; lock table b2market_orders in access exclusive mode", "rollback", "lock timeout")
        }
        Dialect::Mysql => {
            ("lock tables b2market_orders write", "unlock tables", "Lock wait timeout exceeded")
        }
    };
    other.run(lock).await;
    let failed = site.once(ORDERS).await;
    let message = failed.message.unwrap();
    assert_eq!((failed.outcome, failed.counts.written), (Outcome::Failed, 0), "{message}");
    assert!(message.starts_with(ORDERS) && message.contains("table `b2market_orders`"), "{message}");
    assert!(message.contains(words), "{message}");
    assert_eq!(site.watermark(ORDERS).await, mark);

    other.run(unlock).await;
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    assert_eq!(differences(&site, &erp, "b2market_orders", snake_case).await, [] as [&str; 0]);
    assert!(site.watermark(ORDERS).await > mark);
}

async fn a_query_that_fails_before_a_request_is_full_sends_nothing(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    stock(&erp).await;
    let (poison, words) = match dialect {
        Dialect::Sqlite => ("json('no')", "malformed JSON"),
        Dialect::Postgres => ("(1 / (quantity - quantity))::text", "division by zero"),
        Dialect::Mysql => ("(select quantity from stock_levels)", "more than 1 row"),
    };
    let query = format!(
        "select sku, warehouse, quantity, case when sku = 'A-00011' then {poison} end as poison from cadenced_stocks"
    );
    schedule(&site, &erp, &format!("job.one-stocks.read.sql = \"{query}\""));
    let failed = site.once(STOCKS).await;
    let message = failed.message.unwrap();
    assert_eq!((failed.outcome, site.one.wire.count()), (Outcome::Failed, 0), "{message}");
    assert!(message.starts_with(&format!("{STOCKS}: the query could not be read: ")), "{message}");
    assert!(message.contains(words), "{message}");

    schedule(&site, &erp, "");
    assert_eq!(site.once(STOCKS).await.counts.written, 40);
}

async fn a_value_that_does_not_fit_is_one_reject(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    // SQLite knows no lengths.
    let check = if dialect == Dialect::Sqlite { "check (length(reference) <= 11)" } else { "" };
    erp.run(&format!(
        "drop table b2market_orders;
         create table b2market_orders (id varchar(40) primary key, reference varchar(11) {check})"
    ))
    .await;
    site.b2market.seed(20);
    let at = site.b2market.wire.clock().now() - TimeDelta::hours(1);
    let long =
        r#"{"id":"long","reference":"a reference that is too long","updatedAt":"2026-01-01 00:00:00"}"#;
    site.b2market.insert_raw(at, long);
    let ended = site.once(ORDERS).await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 20, 1));
    let rejects = site.rejects(ORDERS).await;
    let [reject] = rejects.as_slice() else { panic!("{rejects:?}") };
    let words = match dialect {
        Dialect::Sqlite => "CHECK constraint failed: length(reference) <= 11",
        Dialect::Postgres => "value too long for type character varying(11)",
        Dialect::Mysql => "Data too long for column 'reference'",
    };
    assert!(reject.reason.contains(words) && reject.content.contains("\"long\""), "{reject:?}");
    assert!(site.watermark(ORDERS).await.is_some(), "a reject holds no watermark back");
}

#[tokio::test]
async fn what_a_query_gave_before_it_failed_is_sent_once_and_nothing_is_taken_for_gone() {
    let (site, erp) = site(Dialect::Sqlite).await;
    erp.run(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
         insert into stock_levels (warehouse, sku, quantity) select 'W1', printf('A-%05d', i), i from n",
    )
    .await;
    let batch = "job.one-stocks.push.batch.records = 1000";
    let query = "select sku, warehouse, quantity, case when sku = 'A-04500' then json('no') end as poison from cadenced_stocks";
    schedule(&site, &erp, &format!("{batch}\njob.one-stocks.read.sql = \"{query}\""));
    // Two chunks of 2,000 rows came before it.
    for written in [4_000, 0] {
        let failed = site.once(STOCKS).await;
        let counts = (failed.counts.written, failed.counts.removed);
        assert_eq!((failed.outcome, counts), (Outcome::Failed, (written, 0)), "{:?}", failed.message);
    }
    schedule(&site, &erp, batch);
    let whole = site.once(STOCKS).await.counts;
    assert_eq!((whole.written, whole.unchanged, whole.removed), (1_000, 4_000, 0));
    assert_eq!(site.one.quantities().len(), 5_000);
}

/// Waits until the program's connection waits for a lock, and kills that connection as an administrator would.
async fn kill_the_waiting_connection(erp: &Erp) {
    let mut session = erp.session().await;
    let waiting = match erp.dialect {
        Dialect::Postgres => {
            "select pid::text from pg_stat_activity
             where datname = current_database() and application_name = 'cadenced' and wait_event_type = 'Lock'"
        }
        _ => {
            "select cast(id as char) from information_schema.processlist
             left join information_schema.innodb_trx on trx_mysql_thread_id = id
             where db = database() and (state = 'User lock' or trx_state = 'LOCK WAIT')"
        }
    };
    let found = soon("a connection that waits", async {
        loop {
            if let Some(id) = session.texts(waiting).await.into_iter().flatten().flatten().next() {
                return id;
            }
            match erp.dialect {
                // InnoDB looks again only for who has not asked for a tenth of a second.
                Dialect::Mysql => session.run("do sleep(0.15)").await,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    let id = found.await;
    match erp.dialect {
        Dialect::Postgres => drop(session.texts(&format!("select pg_terminate_backend({id})::text")).await),
        _ => session.run(&format!("kill {id}")).await,
    }
}

#[tokio::test]
async fn a_connection_lost_before_a_request_is_full_sends_nothing() {
    for dialect in [Dialect::Postgres, Dialect::Mysql] {
        let (site, erp) = site(dialect).await;
        stock(&erp).await;
        let (hold, wait, release) = match dialect {
            Dialect::Postgres => {
                ("select pg_advisory_lock(7)", "pg_advisory_lock(7)::text", "select pg_advisory_unlock(7)")
            }
            _ => ("select get_lock('seven', 0)", "get_lock('seven', 60)", "select release_lock('seven')"),
        };
        let mut other = erp.session().await;
        other.run(hold).await;
        let query = format!(
            "select sku, warehouse, quantity, case when sku = 'A-00011' then {wait} end as waits from cadenced_stocks"
        );
        schedule(&site, &erp, &format!("job.one-stocks.read.sql = \"{query}\""));
        let (failed, ()) = tokio::join!(site.once(STOCKS), kill_the_waiting_connection(&erp));
        let message = failed.message.unwrap();
        assert_eq!((failed.outcome, site.one.wire.count()), (Outcome::Failed, 0), "{message}");
        assert!(message.starts_with(&format!("{STOCKS}: the query could not be read: ")), "{message}");

        other.run(release).await;
        schedule(&site, &erp, "");
        assert_eq!(site.once(STOCKS).await.counts.written, 40);
    }
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_a_page_writes_nothing_of_it() {
    for dialect in [Dialect::Postgres, Dialect::Mysql] {
        let (site, erp) = site(dialect).await;
        site.b2market.seed(150);
        let orders = site.b2market.orders();
        // Somewhere on the second page.
        let late = orders.iter().max_by_key(|(_, order)| order["updatedAt"].as_str().unwrap()).unwrap().0;
        let mut other = erp.session().await;
        other.run(&format!("begin; insert into b2market_orders (id) values ('{late}')")).await;
        let (failed, ()) = tokio::join!(site.once(ORDERS), kill_the_waiting_connection(&erp));
        let message = failed.message.unwrap();
        assert_eq!((failed.outcome, failed.counts.written), (Outcome::Failed, 100), "{message}");
        assert!(message.contains("table `b2market_orders` could not be written: "), "{message}");
        assert!(!message.contains("erp:erp"), "{message}");
        other.run("rollback").await;
        let count = erp.text("select cast(count(*) as char(9)) from b2market_orders").await;
        assert_eq!(count.trim(), "100", "one whole page");
        assert_eq!(site.watermark(ORDERS).await, None);

        // The walk that was interrupted is taken up first; it proves nothing, and is made once more.
        assert!(site.once(ORDERS).await.outcome.went_through());
        assert_eq!(differences(&site, &erp, "b2market_orders", snake_case).await, [] as [&str; 0]);
        assert!(site.rejects(ORDERS).await.is_empty());
    }
}
