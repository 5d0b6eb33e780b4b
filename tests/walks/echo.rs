//! What a pull leaves out although it is new: what comes back from a push of ours, and what the configuration names.

use super::Scene;
use cadenced::run::Outcome;
use cadenced::words::JobName;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const BOTH_WAYS: &str = r#"
get = "/clients"
rows = "data"
key = ["id"]
echo-of = "send"

[job.send]
read = { from = "erp", sql = "select id, name from rows", key = ["id"] }
map = { id = "{id}", name = "{name}" }
push = { to = "shop", post = "/clients", body = "$records" }
"#;

type Name = Arc<Mutex<&'static str>>;

async fn scene(config: &str) -> (Scene, Name) {
    let name = Name::new(Mutex::new("first"));
    let told = Arc::clone(&name);
    let scene = Scene::new(config, "", move |asked| match asked.path.as_str() {
        "/api/clients" if asked.method == "GET" => {
            (200, json!({"data": [{"version": 7, "name": *told.lock().unwrap(), "id": "a"}]}))
        }
        _ => (200, Value::Null),
    })
    .await;
    (scene, name)
}

async fn pulls(scene: &Scene) -> (u64, u64) {
    let ended = scene.run().await;
    assert_eq!(ended.outcome, Outcome::Ok, "{:?}", ended.message);
    (ended.counts.written, ended.counts.unchanged)
}

async fn erp_says(scene: &Scene, name: &'static str) {
    sqlx::query("update rows set name = ?").bind(name).execute(&scene.erp).await.unwrap();
    let sent = scene.run_job(&JobName::new("send").unwrap()).await;
    assert_eq!((sent.outcome, sent.counts.written), (Outcome::Ok, 1), "{:?}", sent.message);
}

#[tokio::test]
async fn what_comes_back_as_it_was_sent_is_not_written_back() {
    let (scene, platform) = scene(BOTH_WAYS).await;
    assert_eq!(pulls(&scene).await, (1, 0));
    erp_says(&scene, "ours").await;
    *platform.lock().unwrap() = "ours";
    assert_eq!(pulls(&scene).await, (0, 1));
    // The ERP's newest edit, not sent yet, is not undone by the echo of the one before.
    sqlx::query("update rows set name = 'newer'").execute(&scene.erp).await.unwrap();
    assert_eq!(pulls(&scene).await, (0, 1));
    assert_eq!(scene.rows().await, "a=newer");
}

#[tokio::test]
async fn what_somebody_puts_back_on_the_platform_is_no_echo() {
    let (scene, platform) = scene(BOTH_WAYS).await;
    pulls(&scene).await;
    erp_says(&scene, "ours").await;
    *platform.lock().unwrap() = "ours";
    assert_eq!(pulls(&scene).await, (0, 1));
    // What the ERP had before the echo is news, and so is then what was sent before that.
    for name in ["first", "ours", "first"] {
        *platform.lock().unwrap() = name;
        assert_eq!(pulls(&scene).await, (1, 0), "{name}");
        assert_eq!(scene.rows().await, format!("a={name}"));
    }
    erp_says(&scene, "again ours").await;
    assert_eq!(pulls(&scene).await, (0, 1), "the platform has not taken it up yet");
    *platform.lock().unwrap() = "theirs";
    assert_eq!(pulls(&scene).await, (1, 0));
}

#[tokio::test]
async fn what_was_pulled_is_not_sent_back_and_an_erp_that_returns_to_the_older_content_is_sent() {
    let (scene, platform) = scene(BOTH_WAYS).await;
    pulls(&scene).await;
    erp_says(&scene, "ours").await;
    *platform.lock().unwrap() = "ours";
    pulls(&scene).await;
    let send = JobName::new("send").unwrap();
    for _ in 0..2 {
        *platform.lock().unwrap() = "theirs";
        assert_eq!(pulls(&scene).await, (1, 0));
        let sent = scene.run_job(&send).await;
        assert_eq!((sent.counts.written, sent.counts.unchanged), (0, 1), "the platform has it");
        // Back to what was sent last, which the platform has no more.
        erp_says(&scene, "ours").await;
        *platform.lock().unwrap() = "ours";
        assert_eq!(pulls(&scene).await, (0, 1));
    }
}

#[tokio::test]
async fn a_push_whose_echo_can_not_be_recognised_is_refused() {
    for (from, to, words) in [
        ("echo-of = \"send\"", "echo-of = \"sent\"", "`sent` is no job, or one with a mistake"),
        ("echo-of = \"send\"", "echo-of = \"pull\"", "`pull` is no push to the platform this job pulls from"),
        ("id = \"{id}\", ", "", "`send` needs a `map` that sends its key"),
        ("map = { id = \"{id}\", name = \"{name}\" }", "", "`send` needs a `map` that sends its key"),
    ] {
        let (scene, _) = scene(BOTH_WAYS).await;
        scene.replace(from, to);
        let mistakes = scene.mistakes();
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{mistakes:?}");
        assert!(
            mistakes[0].contains("pull.echo-of") && mistakes[0].contains("cadenced.toml:"),
            "{mistakes:?}"
        );
    }
}

#[tokio::test]
async fn rows_that_skip_when_names_are_read_and_not_delivered() {
    let config = r#"
mode = "full"
get = "/clients"
rows = "data"
key = ["id"]
skip-when = { "origin.kind" = ["ERP", 7], active = true }
"#;
    let scene = Scene::new(config, ", on-gone = \"delete\"", |_| {
        let row = |id: &str, kind: Value, active: bool| json!({"id": id, "name": "n", "origin": {"kind": kind}, "active": active});
        let rows = [
            row("a", json!("ERP"), true),
            row("b", json!(7), true),
            row("c", json!("ERP"), false),
            row("d", json!("SHOP"), true),
            row("e", Value::Null, true),
            json!({"id": "f", "name": "n"}),
        ];
        (200, json!({"data": rows}))
    })
    .await;
    assert_eq!(pulls(&scene).await, (4, 2));
    assert_eq!(scene.rows().await, "c=n d=n e=n f=n");
    assert_eq!(pulls(&scene).await, (0, 6));
    scene.replace("\"ERP\", 7", "\"NONE\"");
    assert_eq!(pulls(&scene).await, (2, 4), "they were never delivered");
}
