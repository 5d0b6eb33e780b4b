//! Each record of a push is answered for: sent once it is due, rejected, waiting or parked, and never forgotten.

use crate::support::{Mishap, Shelf};
use cadenced::clock::SystemClock;
use cadenced::config::{self, Sources};
use cadenced::connectors::{Wanted, retry_rejects};
use cadenced::daemon;
use cadenced::run::Outcome;
use cadenced::runner::Ended;
use cadenced::state::{Reject, Store};
use cadenced::words::JobName;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// An ERP with one table, a platform, and jobs between them.
struct Desk {
    dir: tempfile::TempDir,
    erp: SqlitePool,
    shelf: Shelf,
}

/// Items one by one.
const ONE_BY_ONE: &str = r#"
[job.items]
read = { from = "erp", sql = "select id, value from rows", key = ["id"], max-gone = "50%" }
[job.items.push]
to = "shelf"
put = "/item/{id}"
group-by = ["id"]
batch = { records = 1 }
body = "$record"
"#;

/// Events, which must not be sent twice.
const EVENTS: &str = r#"
[job.events]
read = { from = "erp", sql = "select id, value from rows", key = ["id"] }
[job.events.push]
to = "shelf"
post = "/events"
batch = { records = 2 }
body = { rows = "$records" }
"#;

impl Desk {
    async fn new(jobs: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(dir.path().join("erp.db")).create_if_missing(true);
        let erp = SqlitePool::connect_with(options).await.unwrap();
        let desk = Self { dir, erp, shelf: Shelf::start().await };
        desk.sql("create table rows (id text primary key, value, parent text)").await;
        desk.configure(jobs);
        desk
    }

    fn configure(&self, jobs: &str) {
        let erp = self.dir.path().join("erp.db");
        let text = format!(
            "[connection.erp]\nsql = \"sqlite://{}\"\n[connection.shelf]\nurl = \"{}\"\n{jobs}",
            erp.display(),
            self.shelf.url
        );
        std::fs::write(self.dir.path().join("cadenced.toml"), text).unwrap();
    }

    async fn sql(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.erp).await.unwrap();
    }

    /// Rows `r000`, `r001`, … with these values.
    async fn rows(&self, rows: std::ops::Range<usize>, value: i64) {
        for row in rows {
            self.sql(&format!("insert or replace into rows (id, value) values ('r{row:03}', {value})")).await;
        }
    }

    async fn once(&self, job: &str) -> Ended {
        let sources = Sources { file: Some(self.dir.path().join("cadenced.toml")), ..Sources::default() };
        let loaded = config::load(&sources).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let job = &loaded.jobs[&name(job)];
        daemon::once(&loaded, job, Arc::new(SystemClock), stopped).await.unwrap().ended
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("state"), Arc::new(SystemClock)).unwrap()
    }

    async fn rejects(&self, job: &str) -> Vec<Reject> {
        self.store().rejects(&name(job), None, 1000).await.unwrap()
    }

    async fn retry(&self, job: &str, wanted: Wanted) -> u64 {
        let sources = Sources { file: Some(self.dir.path().join("cadenced.toml")), ..Sources::default() };
        let loaded = config::load(&sources).unwrap();
        retry_rejects(&self.store(), &name(job), &loaded.jobs[&name(job)].work, &wanted).await.unwrap()
    }

    fn sent(&self) -> Vec<String> {
        self.shelf.take_log().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    }
}

fn name(job: &str) -> JobName {
    JobName::new(job).unwrap()
}

#[tokio::test]
async fn a_client_not_found_is_one_reject_and_the_others_are_done() {
    let desk = Desk::new(ONE_BY_ONE).await;
    desk.rows(0..499, 1).await;
    desk.sql("insert into rows (id, value) values ('unknown', 1)").await;
    let first = desk.once("items").await;
    assert_eq!((first.outcome, first.counts.written, first.counts.rejected), (Outcome::Partial, 499, 1));
    let rejects = desk.rejects("items").await;
    assert!(rejects.len() == 1 && rejects[0].reason.contains("404: client not found"), "{rejects:?}");
    let exchange = rejects[0].exchange.as_ref().unwrap();
    assert_eq!((&*exchange.request, &*exchange.answer), ("PUT /item/unknown", "404: client not found"));
    assert_eq!(desk.sent().len(), 500);
    let second = desk.once("items").await;
    assert_eq!((second.outcome, second.counts.unchanged), (Outcome::Ok, 500));
    assert!(desk.sent().is_empty(), "neither the 499 nor the one");

    assert_eq!(
        desk.retry("items", Wanted { reason: Some("no such".to_owned()), ..Wanted::default() }).await,
        0
    );
    assert_eq!(desk.retry("items", Wanted::default()).await, 1);
    desk.sql("update rows set value = 2 where id = 'unknown'").await;
    assert_eq!(desk.once("items").await.counts.rejected, 1);
    assert_eq!(desk.sent(), ["PUT /item/unknown"]);
    let retried = desk.rejects("items").await.remove(0);
    assert_eq!((retried.tries, &*retried.content), (2, r#"{"id":"unknown","value":2}"#), "read anew");
    assert!(retried.first < retried.last);
}

#[tokio::test]
async fn one_bad_line_in_ten_thousand_is_found_in_few_requests() {
    let desk = Desk::new(
        &EVENTS
            .replace("records = 2", "records = 10_000")
            .replace("post", "put")
            .replace("/events", "/items/x"),
    )
    .await;
    desk.sql(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
         insert into rows (id, value) select printf('r%05d', i), i from n",
    )
    .await;
    desk.shelf.kept().refuses = Some(4711);
    let ended = desk.once("events").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 9_999, 1));
    assert!(ended.counts.requests <= 2 * 14 + 1, "{} requests", ended.counts.requests);
    assert_eq!(desk.rejects("events").await[0].key, "r04711");
    assert_eq!(desk.shelf.kept().items.len(), 9_999);
}

#[tokio::test]
async fn a_row_that_can_not_be_mapped_is_told_once() {
    let map = "map = { id = \"{id}\", value = { field = \"value\", type = \"integer\" } }\n[job.items.push]";
    let desk = Desk::new(&ONE_BY_ONE.replace("[job.items.push]", map)).await;
    desk.sql("insert into rows (id, value) values ('a', 1), ('b', 'many')").await;
    let first = desk.once("items").await;
    assert_eq!((first.outcome, first.counts.rejected), (Outcome::Partial, 1));
    assert_eq!(desk.rejects("items").await[0].reason, "field `value`: many is not a whole number");
    assert_eq!(desk.once("items").await.outcome, Outcome::Ok);
    desk.sql("update rows set value = 2 where id = 'b'").await;
    assert_eq!(desk.once("items").await.counts.written, 1);
    assert!(desk.rejects("items").await.is_empty());
}

#[tokio::test]
async fn all_rows_are_sent_every_time_where_the_job_says_so() {
    let desk = Desk::new(&ONE_BY_ONE.replace("body =", "send = \"all\"\nbody =")).await;
    desk.rows(0..3, 1).await;
    assert_eq!(desk.once("items").await.counts.written, 3);
    assert_eq!(desk.once("items").await.counts.written, 3);
}

#[tokio::test]
async fn a_push_by_a_column_reads_what_has_changed_since_and_what_waits_for_another_try() {
    let since = "transient-when = [\"later\"]\nsend = { since = \"value\" }\nbody =";
    let desk = Desk::new(&ONE_BY_ONE.replace("body =", since)).await;
    for value in [1, 9, 10] {
        desk.sql(&format!("insert into rows (id, value) values ('v{value}', {value})")).await;
    }
    assert_eq!(desk.once("items").await.counts.written, 3);
    desk.sql("insert into rows (id, value) values ('v11', 11), ('v2', 2)").await;
    let second = desk.once("items").await;
    assert_eq!((second.counts.read, second.counts.written), (2, 1), "from 10 on, as numbers go");
    desk.shelf.script(|_, path| path.ends_with("v12").then_some(Mishap::Refused(422)));
    desk.sql("insert into rows (id, value) values ('v12', 12), ('v13', 13)").await;
    assert_eq!(desk.once("items").await.counts.rejected, 1);
    assert_eq!(desk.once("items").await.counts.read, 1, "the refused one does not hold it up");
    desk.shelf.script(|_, _| None);
    assert_eq!(desk.retry("items", Wanted::default()).await, 1);
    let retried = desk.once("items").await;
    assert_eq!(
        (retried.counts.read, retried.counts.written),
        (7, 2),
        "all are read: v2 was missed, v12 retried"
    );
}

#[tokio::test]
async fn a_child_waits_for_its_parent_and_goes_when_the_parent_went_through() {
    let desk = Desk::new(&format!(
        r#"{}
[job.children]
read = {{ from = "erp", sql = "select 'c-' || id as id, parent from rows where parent is not null", key = ["id"] }}
[job.children.push]
to = "shelf"
put = "/item/{{id}}"
group-by = ["id"]
batch = {{ records = 1 }}
body = "$record"
parent = {{ job = "items", key = ["parent"] }}
"#,
        ONE_BY_ONE.replace("from rows", "from rows where value > 0")
    ))
    .await;
    desk.sql("insert into rows (id, value, parent) values ('p', 0, null), ('a', 1, 'p'), ('b', 2, 'a')")
        .await;
    desk.once("items").await;
    desk.sent();
    let first = desk.once("children").await;
    assert_eq!((first.outcome, first.counts.written, first.counts.rejected), (Outcome::Partial, 1, 1));
    assert_eq!(desk.sent(), ["PUT /item/c-b"]);
    let waiting = desk.rejects("children").await.remove(0);
    assert_eq!(
        (waiting.class.as_str(), &*waiting.reason),
        ("waiting", "waits for items p, which has not gone through")
    );
    assert_eq!(desk.once("children").await.outcome, Outcome::Ok, "it waits on without being told again");

    desk.sql("update rows set value = 3 where id = 'p'").await;
    desk.once("items").await;
    assert_eq!(desk.once("children").await.counts.written, 1);
    assert!(desk.rejects("children").await.is_empty());
}

#[tokio::test]
async fn a_child_the_platform_refuses_is_tried_again_when_its_parent_changed() {
    let parent = "parent = { job = \"items\", key = [\"parent\"] }\nbody =";
    let children =
        ONE_BY_ONE.replace("job.items", "job.children").replace("value from rows", "'p' as parent from rows");
    let desk = Desk::new(&format!("{ONE_BY_ONE}{}", children.replace("body =", parent))).await;
    desk.sql("insert into rows (id, value) values ('p', 1)").await;
    desk.once("items").await;
    desk.shelf.script(|_, _| Some(Mishap::Refused(422)));
    assert_eq!(desk.once("children").await.counts.rejected, 1);
    desk.shelf.script(|_, _| None);
    assert_eq!(desk.once("children").await.counts.requests, 0);
    desk.sql("update rows set value = 2").await;
    desk.once("items").await;
    assert_eq!(desk.once("children").await.counts.written, 1);
}

#[tokio::test]
async fn an_event_that_was_not_answered_for_is_parked_until_a_person_says() {
    let desk = Desk::new(EVENTS).await;
    desk.rows(0..3, 1).await;
    let hit = AtomicBool::new(false);
    desk.shelf.script(move |_, _| (!hit.swap(true, Ordering::SeqCst)).then_some(Mishap::Unheard));
    let first = desk.once("events").await;
    assert_eq!((first.outcome, first.counts.written, first.counts.rejected), (Outcome::Partial, 1, 2));
    desk.sql("update rows set value = 2 where id = 'r000'").await;
    assert_eq!(desk.once("events").await.counts.requests, 0, "not even a change releases it");
    assert!(desk.shelf.kept().events.values().all(|times| *times == 1));
    let wanted = Wanted { key: Some("r000".to_owned()), ..Wanted::default() };
    assert_eq!(desk.retry("events", wanted).await, 1);
    assert_eq!(desk.once("events").await.counts.written, 1);
    assert_eq!(desk.rejects("events").await.len(), 1);
}

#[tokio::test]
async fn gone_rows_are_deleted_by_their_own_request_or_zeroed() {
    let delete = "on-gone = { delete = \"/item/{id}\" }\nbody =";
    let desk = Desk::new(&ONE_BY_ONE.replace("body =", delete)).await;
    desk.rows(0..4, 1).await;
    desk.once("items").await;
    desk.sql("delete from rows where id = 'r002'").await;
    desk.sent();
    assert_eq!(desk.once("items").await.counts.requests, 0);
    assert_eq!(desk.once("items").await.counts.removed, 1);
    assert_eq!(desk.sent(), ["DELETE /item/r002"]);

    let zero = "on-gone = { zero = { id = \"{id}\", value = 0 } }\nbody =";
    desk.configure(&ONE_BY_ONE.replace("body =", zero));
    desk.sql("delete from rows where id = 'r001'").await;
    desk.once("items").await;
    assert_eq!(desk.once("items").await.counts.removed, 1);
    assert_eq!(desk.shelf.kept().items["r001"], serde_json::json!({"id": "r001", "value": 0}));
    assert_eq!(desk.once("items").await.counts.requests, desk.once("items").await.counts.requests);

    desk.sql("delete from rows").await;
    desk.sent();
    for _ in 0..3 {
        let ended = desk.once("items").await;
        assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Partial, 0));
        assert!(ended.message.unwrap().contains("gave no rows at all"), "the run says why");
    }
    assert_eq!(desk.shelf.kept().items["r000"]["value"], 1);
}

#[tokio::test]
async fn rows_that_come_back_unchanged_are_not_sent_again() {
    let desk =
        Desk::new(&ONE_BY_ONE.replace("body =", "on-gone = { delete = \"/item/{id}\" }\nbody =")).await;
    desk.rows(0..4, 1).await;
    desk.once("items").await;
    desk.sql("delete from rows where id = 'r002'").await;
    desk.once("items").await;
    desk.rows(2..3, 1).await;
    desk.sent();
    for _ in 0..3 {
        assert_eq!(desk.once("items").await.counts.unchanged, 4);
    }
    assert!(desk.sent().is_empty());
}

#[tokio::test]
async fn a_batch_too_large_is_halved_for_good() {
    let desk = Desk::new(
        &EVENTS.replace("records = 2", "records = 8").replace("post", "put").replace("/events", "/items/x"),
    )
    .await;
    desk.rows(0..8, 1).await;
    let first = AtomicBool::new(true);
    desk.shelf.script(move |_, _| first.swap(false, Ordering::SeqCst).then_some(Mishap::Refused(413)));
    assert_eq!(desk.once("events").await.counts.requests, 3);
    desk.sql("update rows set value = 2").await;
    assert_eq!(desk.once("events").await.counts.requests, 2, "a new run remembers");
}

#[tokio::test]
async fn a_record_never_sent_is_looked_for_first_also_after_a_person_wants_it_again() {
    let verify = "verify = { get = \"/events\", params = { id = \"{id}\" }, rows = \"rows\", found-when = \"id\", first = true }\nbody =";
    let map = "map = { id = \"{id}\", value = { field = \"value\", type = \"integer\" } }\n[job.events.push]";
    let desk = Desk::new(&EVENTS.replace("body =", verify).replace("[job.events.push]", map)).await;
    desk.sql("insert into rows (id, value) values ('a', 'many')").await;
    desk.shelf.kept().events.insert("a".to_owned(), 1);
    assert_eq!(desk.once("events").await.counts.rejected, 1);
    assert_eq!(desk.retry("events", Wanted::default()).await, 1);
    desk.sql("update rows set value = 1").await;
    assert_eq!(desk.once("events").await.counts.written, 1);
    assert_eq!(desk.shelf.kept().events["a"], 1, "it was there already");
}

#[tokio::test]
async fn a_record_never_sent_is_not_removed_because_a_person_wanted_it_again() {
    let jobs = "map = { id = \"{id}\", value = { field = \"value\", type = \"integer\" } }\n[job.items.push]\n\
                on-gone = { delete = \"/item/{id}\" }";
    let desk = Desk::new(&ONE_BY_ONE.replace("[job.items.push]", jobs)).await;
    desk.rows(0..3, 1).await;
    desk.sql("insert into rows (id, value) values ('b', 'many')").await;
    desk.once("items").await;
    assert_eq!(desk.retry("items", Wanted::default()).await, 1);
    desk.once("items").await;
    desk.sql("delete from rows where id = 'b'").await;
    desk.sent();
    for _ in 0..3 {
        assert_eq!(desk.once("items").await.counts.removed, 0);
    }
    assert!(desk.sent().is_empty());
    assert!(desk.rejects("items").await.is_empty());
}

#[tokio::test]
async fn a_key_with_the_separator_in_it_never_stands_for_another_record() {
    let jobs = ONE_BY_ONE.replace("body =", "on-gone = { delete = \"/item/{id}\" }\nbody =");
    let desk = Desk::new(&jobs).await;
    desk.sql("insert into rows (id, value) values ('a', 1), ('b', 1), ('a' || char(31) || 'b', 2)").await;
    let first = desk.once("items").await;
    assert_eq!((first.counts.written, first.counts.rejected), (2, 1));
    let reject = desk.rejects("items").await.remove(0);
    assert!(
        reject.key == "row 3" && reject.reason.contains("`id` holds the control character U+001F"),
        "{reject:?}"
    );
    desk.sql("delete from rows where value = 2").await;
    desk.once("items").await;
    assert_eq!(desk.once("items").await.counts.removed, 0);
    assert_eq!(desk.shelf.kept().items.len(), 2, "`a` is where it was");
}

#[tokio::test]
async fn a_row_without_a_key_is_told_as_long_as_it_is_there() {
    let desk = Desk::new(ONE_BY_ONE).await;
    desk.sql("insert into rows (id, value) values ('a', 1), (null, 2), ('row 7', 3)").await;
    desk.shelf.script(|_, path| path.ends_with("7").then_some(Mishap::Refused(422)));
    let keys = async || -> Vec<String> {
        desk.rejects("items").await.into_iter().map(|reject| reject.key).collect()
    };
    for told in [2, 1] {
        assert_eq!(desk.once("items").await.counts.rejected, told);
        assert_eq!(keys().await, ["row 2", "row 7"]);
    }
    assert_eq!(desk.retry("items", Wanted { key: Some("row 2".to_owned()), ..Wanted::default() }).await, 1);
    desk.sql("update rows set id = 'b' where id is null").await;
    assert_eq!(desk.once("items").await.outcome, Outcome::Ok);
    assert_eq!(keys().await, ["row 7"], "which is what a record is called");
}

#[tokio::test]
async fn what_only_the_column_says_has_changed_is_not_sent() {
    let jobs = ONE_BY_ONE.replace("body =", "send = { since = \"value\" }\nbody =");
    let jobs =
        jobs.replace("[job.items.push]", "map = { id = \"{id}\", parent = \"{parent}\" }\n[job.items.push]");
    let desk = Desk::new(&jobs.replace("id, value", "id, value, parent")).await;
    desk.sql("insert into rows (id, value, parent) values ('a', 1, 'p'), ('b', null, 'p')").await;
    assert_eq!(desk.once("items").await.counts.written, 1);
    assert_eq!(desk.rejects("items").await[0].reason, "the column `value`, by which `send` goes, is null");
    desk.sql("update rows set value = 2 where id = 'a'").await;
    let touched = desk.once("items").await;
    assert_eq!((touched.counts.read, touched.counts.requests), (1, 0));
    desk.sql("update rows set value = 3, parent = 'q' where id = 'a'").await;
    assert_eq!(desk.once("items").await.counts.written, 1);
}

#[tokio::test]
async fn a_key_that_comes_again_thousands_of_rows_later_is_sent_once() {
    let desk = Desk::new(
        &EVENTS
            .replace("records = 2", "records = 10_000")
            .replace("select id, value from rows", "select id, value from rows union all select 'r00005', 7"),
    )
    .await;
    desk.sql(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
         insert into rows (id, value) select printf('r%05d', i), i from n",
    )
    .await;
    assert_eq!(desk.once("events").await.counts.requests, 1);
    let events = desk.shelf.kept().events.clone();
    assert!(events.len() == 3000 && events.values().all(|times| *times == 1));
}

#[tokio::test]
async fn rows_without_a_key_may_be_those_that_are_missing() {
    let jobs = ONE_BY_ONE.replace("body =", "on-gone = { delete = \"/item/{id}\" }\nbody =");
    let desk = Desk::new(&jobs).await;
    desk.rows(0..4, 1).await;
    desk.once("items").await;
    desk.sent();
    desk.sql("update rows set id = null where id = 'r002'").await;
    for _ in 0..3 {
        let ended = desk.once("items").await;
        assert_eq!((ended.outcome, ended.counts.removed), (Outcome::Partial, 0));
        let message = ended.message.unwrap();
        assert!(
            message.contains("1 row without a key") && message.contains("nothing was removed"),
            "{message}"
        );
    }
    assert!(desk.sent().is_empty());
    desk.sql("delete from rows where id is null").await;
    desk.once("items").await;
    assert_eq!(desk.once("items").await.counts.removed, 1);
}

#[tokio::test]
async fn what_is_known_by_another_key_is_not_removed_under_part_of_it() {
    let jobs = ONE_BY_ONE.replace("body =", "on-gone = { delete = \"/item/{id}\" }\nbody =");
    let desk =
        Desk::new(&jobs.replace("key = [\"id\"]", "key = [\"id\", \"value\"]").replace("50%", "100%")).await;
    desk.rows(0..2, 1).await;
    desk.once("items").await;
    desk.configure(&jobs.replace("50%", "100%"));
    for _ in 0..3 {
        assert_eq!(desk.once("items").await.counts.removed, 0);
    }
    assert_eq!(desk.shelf.kept().items.len(), 2);
}

#[tokio::test]
async fn a_chain_creates_once_what_its_query_gives_twice() {
    let desk = Desk::new(
        r#"
[job.chain]
to = "shelf"
read = { from = "erp", sql = "select id, value from rows union all select 'r000', 99", key = ["id"] }
where = "eventId is null"
steps = ["event"]
[job.chain.step.event]
post = "/events"
map = { id = "{id}", value = "{value}" }
body = { rows = ["$record"] }
save = { eventId = "id" }
verify = { get = "/events", params = { id = "{id}" }, rows = "rows", found-when = "id" }
"#,
    )
    .await;
    // So many that the two don't go through the steps together.
    desk.rows(0..30, 1).await;
    desk.sql("insert into rows (id, value) values (null, 1)").await;
    assert_eq!(desk.once("chain").await.counts.written, 30);
    let events = desk.shelf.kept().events.clone();
    assert!(events.len() == 30 && events.values().all(|times| *times == 1), "{events:?}");
    assert_eq!(desk.rejects("chain").await.len(), 1);
    desk.sql("delete from rows where id is null").await;
    assert_eq!(desk.once("chain").await.outcome, Outcome::Ok);
    assert!(desk.rejects("chain").await.is_empty());
}
