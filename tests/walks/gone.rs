//! Full walks and sweeps: what is gone is what two proved walks of the whole list did not have, and nothing else.

use super::{Scene, utc};
use crate::support::{program, soon};
use cadenced::run::Outcome;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const FULL: &str = r#"
mode = "full"
max-gone = "50%"
get = "/clients"
rows = "data"
key = ["id"]
"#;

type List = Arc<Mutex<(u16, Value)>>;

async fn scene(pull: &str, write: &str) -> (Scene, List) {
    let list: List = Arc::new(Mutex::new((200, json!({"data": []}))));
    let told = Arc::clone(&list);
    (Scene::new(pull, write, move |_| told.lock().unwrap().clone()).await, list)
}

fn has(list: &List, ids: &[&str]) {
    let row = |id: &&str| json!({"id": id, "name": "n", "active": true, "updatedAt": "2026-03-01T00:00:00Z"});
    *list.lock().unwrap() = (200, json!({"data": ids.iter().map(row).collect::<Vec<_>>()}));
}

#[tokio::test]
async fn a_record_is_gone_when_two_full_walks_in_a_row_did_not_have_it() {
    let (scene, list) = scene(FULL, ", on-gone = \"delete\"").await;
    has(&list, &["a", "b", "c", "d"]);
    scene.runs().await;
    has(&list, &["a", "b", "c"]);
    scene.runs().await;
    assert_eq!(scene.rows().await, "a=n b=n c=n d=n", "once is not enough");
    // What comes back in between is not gone.
    has(&list, &["a", "b", "c", "d"]);
    scene.runs().await;
    has(&list, &["a", "b", "c"]);
    scene.runs().await;
    assert_eq!(scene.rows().await, "a=n b=n c=n d=n");
    let ended = scene.run().await;
    assert_eq!((ended.outcome, ended.counts.removed, ended.counts.unchanged), (Outcome::Ok, 1, 3));
    assert_eq!(scene.rows().await, "a=n b=n c=n");
    let ended = scene.run().await;
    assert_eq!(ended.counts.removed, 0);
}

#[tokio::test]
async fn a_column_may_be_set_instead() {
    let (scene, list) = scene(FULL, ", on-gone = { set = { active = false } }").await;
    has(&list, &["a", "b"]);
    scene.runs().await;
    has(&list, &["a"]);
    scene.runs().await;
    scene.runs().await;
    assert_eq!(scene.of_rows("select id || active from rows order by id").await, "a1 b0");
}

#[tokio::test]
async fn by_default_what_is_gone_stays() {
    let (scene, list) = scene(FULL, "").await;
    has(&list, &["a", "b"]);
    scene.runs().await;
    has(&list, &["a"]);
    for _ in 0..3 {
        scene.runs().await;
    }
    assert_eq!(scene.rows().await, "a=n b=n");
}

#[tokio::test]
async fn a_failed_an_empty_and_an_unsure_read_are_never_absence() {
    let (scene, list) = scene(FULL, ", on-gone = \"delete\"").await;
    has(&list, &["a", "b", "c"]);
    scene.runs().await;
    has(&list, &["a", "b"]);
    scene.runs().await;
    // One walk more, and c would be gone.
    has(&list, &[]);
    scene.runs().await;
    *list.lock().unwrap() = (400, json!({}));
    assert_eq!(scene.run().await.outcome, Outcome::Failed);
    *list.lock().unwrap() =
        (200, json!({"data": [{"id": "a", "name": "n"}, {"id": "b", "name": "n"}, {"name": "who?"}]}));
    assert_eq!(scene.run().await.outcome, Outcome::Partial);
    assert_eq!(scene.rows().await, "a=n b=n c=n");
}

#[tokio::test]
async fn more_than_max_gone_removes_nothing() {
    let (scene, list) = scene(FULL, ", on-gone = \"delete\"").await;
    has(&list, &["a", "b", "c", "d"]);
    scene.runs().await;
    has(&list, &["a"]);
    for _ in 0..3 {
        scene.fails("3 of 4 known records are not in the list any more, more than `max-gone` allows; nothing was removed").await;
    }
    assert_eq!(scene.rows().await, "a=n b=n c=n d=n");
    scene.replace("50%", "80%");
    scene.runs().await;
    scene.runs().await;
    assert_eq!(scene.rows().await, "a=n");
}

const SWEPT: &str = r#"
get = "/orders"
params = { from = "{since}" }
rows = "data"
key = ["id"]
max-gone = "50%"
sweep = "0 40 2 * * *"
since = { field = "updatedAt", format = "rfc3339", start = "2020-01-01T00:00:00Z" }
"#;

#[tokio::test]
async fn the_first_run_after_a_sweeps_slot_walks_the_whole_list() {
    let (scene, list) = scene(SWEPT, ", on-gone = \"delete\"").await;
    has(&list, &["a", "b"]);
    let from = |scene: &Scene| scene.asked()[0].split("from=").nth(1).unwrap().to_owned();
    let all = "2020-01-01T00:00:00Z";
    let on = "2026-02-28T23:50:00Z";
    scene.runs().await;
    assert_eq!(from(&scene), all, "the first import");
    for (now, asked) in [
        ("2026-03-02T23:00:00Z", on),
        ("2026-03-03T02:39:59Z", on),
        ("2026-03-03T02:41:00Z", all),
        ("2026-03-03T02:42:00Z", on),
        // Down for two days: one sweep makes up for all.
        ("2026-03-05T11:00:00Z", all),
        ("2026-03-05T11:01:00Z", on),
    ] {
        scene.clock.set(utc(now));
        let ended = scene.run().await;
        assert_eq!(
            (ended.outcome, ended.counts.unchanged, ended.counts.written),
            (Outcome::Ok, 2, 0),
            "{now}"
        );
        assert_eq!(from(&scene), asked, "{now}");
    }
    // Only sweeps say what is gone.
    has(&list, &["a"]);
    for (now, rows) in [
        ("2026-03-05T12:00:00Z", "a=n b=n"),
        ("2026-03-06T12:00:00Z", "a=n b=n"),
        ("2026-03-06T13:00:00Z", "a=n b=n"),
        ("2026-03-07T12:00:00Z", "a=n"),
    ] {
        scene.clock.set(utc(now));
        scene.run().await;
        assert_eq!(scene.rows().await, rows, "{now}");
    }
}

/// Runs the job in a process of its own and kills it at this moment.
async fn killed_at(scene: &Scene, moment: &str) {
    let at = scene.dir.path().join("moment");
    std::fs::write(&at, moment).unwrap();
    let mut command = tokio::process::Command::from(program(scene.dir.path()));
    command.args(["once", "pull", "--config", "cadenced.toml"]).kill_on_drop(true);
    command.env("CRASH_AT", &at).env("CRASH_SAID", "/dev/stdout").stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(soon("the moment", said.next_line()).await.unwrap().as_deref(), Some(moment));
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_record_that_comes_back_as_it_was_after_a_kill_during_its_removal_is_there_again() {
    let (scene, list) = scene(FULL, ", on-gone = \"delete\"").await;
    has(&list, &["a", "b", "c", "d"]);
    scene.runs().await;
    has(&list, &["a", "b", "c"]);
    scene.runs().await;
    killed_at(&scene, "pull-after-sink-commit").await;
    assert_eq!(scene.rows().await, "a=n b=n c=n", "it was removed, and nobody wrote that down");
    has(&list, &["a", "b", "c", "d"]);
    scene.runs().await;
    assert_eq!(scene.rows().await, "a=n b=n c=n d=n");
}
