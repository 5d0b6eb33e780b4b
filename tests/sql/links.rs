//! A statement of the integrator's own runs for each record, and what it created once is never created again: not after an
//! edit, and not after a kill between the ERP's commit and ours.

use super::{Erp, ORDERS, on_each_database, schedule, site};
use crate::support::{Site, soon};
use cadenced::connection::Dialect;
use cadenced::run::Outcome;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

on_each_database!(
    each_order_is_created_once_and_its_number_is_kept,
    an_order_that_changed_is_found_by_its_number,
    a_statement_refuses_one_record_and_takes_the_others,
    kills_between_the_two_commits_create_nothing_twice,
);

/// The platform's id is not unique here: what is created twice is there twice.
async fn site_with_numbers(dialect: Dialect) -> (Site, Erp) {
    let (site, erp) = site(dialect).await;
    erp.run(match dialect {
        Dialect::Sqlite => {
            "create table numbered (number integer primary key autoincrement, order_id text, total text check (total >= '0'))"
        }
        Dialect::Postgres => {
            "create table numbered (number bigserial primary key, order_id varchar(40), total numeric(14, 2) check (total >= 0),
                                    placed timestamp)"
        }
        Dialect::Mysql => {
            "create table numbered (number bigint auto_increment primary key, order_id varchar(40),
                                    total decimal(14, 2) check (total >= 0)) engine = InnoDB"
        }
    })
    .await;
    if dialect == Dialect::Mysql {
        erp.run(
            "create procedure create_order(in order_id varchar(40), in total decimal(14, 2))
             begin
                 insert into numbered (order_id, total) values (order_id, total);
                 select last_insert_id();
             end",
        )
        .await;
    }
    let create = match dialect {
        Dialect::Sqlite => {
            "insert into numbered (order_id, total) values (:id, :totalAmount) returning number"
        }
        Dialect::Postgres => {
            "insert into numbered (order_id, total, placed) values (:id, :totalAmount, :dateOrder) returning number"
        }
        Dialect::Mysql => "call create_order(:id, :totalAmount)",
    };
    write(&site, &erp, create);
    (site, erp)
}

fn write(site: &Site, erp: &Erp, statement: &str) {
    let write = format!("job.b2market-orders.write = {{ statement = \"{statement}\", key = [\"id\"] }}");
    let pages = "job.b2market-orders.pull.params.pageSize = 5";
    schedule(site, erp, &format!("{write}\n{pages}"));
}

/// The number of each order in the ERP; panics if one is there twice, or has another number in `cadenced_links`.
async fn numbers(erp: &Erp) -> BTreeMap<String, String> {
    let pairs = |rows: Vec<Vec<Option<String>>>| {
        let count = rows.len();
        let pairs: BTreeMap<String, String> = rows
            .into_iter()
            .map(|row| <[Option<String>; 2]>::try_from(row).unwrap().map(Option::unwrap).into())
            .collect();
        assert_eq!(pairs.len(), count, "no order twice");
        pairs
    };
    let created = pairs(erp.texts("select order_id, number from numbered").await);
    let key = super::quoted(erp.dialect, "key");
    let links = format!("select {key}, id from cadenced_links where job = '{ORDERS}'");
    assert_eq!(pairs(erp.texts(&links).await), created);
    created
}

async fn each_order_is_created_once_and_its_number_is_kept(dialect: Dialect) {
    let (site, erp) = site_with_numbers(dialect).await;
    site.b2market.seed(12);
    let first = site.once(ORDERS).await;
    let rejects = site.rejects(ORDERS).await;
    assert_eq!((first.outcome, first.message, first.counts.written), (Outcome::Ok, None, 12), "{rejects:?}");
    let created = numbers(&erp).await;
    assert!(created.keys().eq(site.b2market.orders().keys()));

    site.b2market.touch(3);
    site.b2market.insert(2);
    site.b2market.wire.clock().advance(Duration::from_secs(300));
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    let after = numbers(&erp).await;
    assert_eq!(after.len(), 14);
    assert!(created.iter().all(|(id, number)| after[id] == *number));
}

async fn an_order_that_changed_is_found_by_its_number(dialect: Dialect) {
    let (site, erp) = site_with_numbers(dialect).await;
    let save = match dialect {
        Dialect::Sqlite => {
            "insert into numbered (number, order_id, total) values (:cadenced_id, :id, :totalAmount)
             on conflict (number) do update set total = 'changed' returning number"
        }
        Dialect::Postgres => {
            "insert into numbered (number, order_id, total)
             values (coalesce(:cadenced_id, nextval('numbered_number_seq')), :id, :totalAmount)
             on conflict (number) do update set total = 1 returning number"
        }
        Dialect::Mysql => {
            "insert into numbered (number, order_id, total) values (:cadenced_id, :id, :totalAmount)
             on duplicate key update total = 1 returning number"
        }
    };
    write(&site, &erp, &save.replace('\n', " "));
    site.b2market.seed(6);
    assert_eq!(site.once(ORDERS).await.message, None);
    let created = numbers(&erp).await;
    let edited = site.b2market.touch(2);
    site.b2market.wire.clock().advance(Duration::from_secs(300));
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    assert_eq!(numbers(&erp).await, created, "the same numbers");
    let changed = if dialect == Dialect::Sqlite { "total = 'changed'" } else { "total = 1" };
    let mut changed: Vec<String> = erp
        .texts(&format!("select order_id from numbered where {changed}"))
        .await
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let mut edited = edited;
    edited.sort();
    changed.sort();
    assert_eq!(changed, edited);
}

async fn a_statement_refuses_one_record_and_takes_the_others(dialect: Dialect) {
    let (site, erp) = site_with_numbers(dialect).await;
    site.b2market.seed(3);
    let at = site.b2market.wire.clock().now() - chrono::TimeDelta::hours(1);
    for (id, fields) in [("negative", r#","totalAmount":-5.00"#), ("totalless", "")] {
        let date = "2026-01-01 00:00:00";
        let row = format!(r#"{{"id":"{id}"{fields},"dateOrder":"{date}","updatedAt":"{date}"}}"#);
        site.b2market.insert_raw(at, &row);
    }
    let ended = site.once(ORDERS).await;
    let counts = &ended.counts;
    assert_eq!((ended.outcome, counts.written, counts.rejected), (Outcome::Partial, 3, 2), "{ended:?}");
    assert_eq!(numbers(&erp).await.len(), 3);
    let rejects = site.rejects(ORDERS).await;
    let reason = |id: &str| rejects.iter().find(|reject| reject.key == id).unwrap().reason.clone();
    assert!(reason("negative").to_lowercase().contains("constraint"), "{rejects:?}");
    assert_eq!(reason("totalless"), "the statement takes `:totalAmount`, which the record doesn't have");

    write(&site, &erp, "insert into nowhere (a) values (:id)");
    site.b2market.touch(1);
    let failed = site.once(ORDERS).await;
    let message = failed.message.unwrap();
    assert!(message.contains("the statement was refused: ") && message.contains("nowhere"), "{message}");
}

async fn kills_between_the_two_commits_create_nothing_twice(dialect: Dialect) {
    let (site, erp) = site_with_numbers(dialect).await;
    let wanted = if dialect == Dialect::Sqlite { 200 } else { 20 };
    let (mut kills, mut runs) = (0, 0);
    while kills < wanted {
        runs += 1;
        site.b2market.insert(2);
        site.b2market.wire.clock().advance(Duration::from_secs(1));
        // Now and then a run reaches its end, so that orders are of every age: settled, in doubt, unknown.
        let moment = match runs % 7 {
            0 => "nowhere",
            1 | 4 => "pull-before-sink-commit",
            _ => "pull-after-sink-commit",
        };
        kills += usize::from(killed_at(&site, moment).await);
        assert!(runs < 3 * wanted, "{kills} kills in {runs} runs");
    }
    assert_eq!(site.once(ORDERS).await.outcome, Outcome::Ok);
    assert!(numbers(&erp).await.keys().eq(site.b2market.orders().keys()));
}

/// Runs the job in the real binary and kills it at a moment; false if the run ended without coming there.
async fn killed_at(site: &Site, moment: &str) -> bool {
    let file = site.dir().join("moment");
    std::fs::write(&file, moment).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_cadenced"))
        .args(["--config", "cadenced.toml", "once", ORDERS])
        .current_dir(site.dir())
        .env_clear()
        .env("CRASH_AT", &file)
        .env("CRASH_SAID", "/dev/stdout")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    while let Some(line) = soon("the moment, or the end", lines.next_line()).await.unwrap() {
        if line == moment {
            program.kill().await.unwrap();
            return true;
        }
    }
    assert!(program.wait().await.unwrap().success(), "a run that nobody disturbs goes through");
    false
}
