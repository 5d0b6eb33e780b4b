//! Feeds: events by rising ids, each followed up by a request of its own (ONe contract §3.5, §3.12).

use super::{Asked, Scene};
use cadenced::run::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const FEED: &str = r#"
get = "/clients/synchronization"
params = { startId = "{since}" }
rows = "events"
key = ["clientId"]
since = { next = "nextId", start = 1 }
each = { get = "/clients/{clientId}", gone-on = [404] }
"#;

/// What a platform has: events by id, clients by id, the status of clients that can't be had.
#[derive(Default)]
struct Platform {
    events: BTreeMap<u64, String>,
    names: BTreeMap<String, String>,
    broken: BTreeMap<String, u16>,
    down: bool,
    /// Says this comes next, whatever comes next.
    next: Option<Value>,
    page: usize,
}

impl Platform {
    fn event(&mut self, id: u64, client: &str, name: &str) {
        self.events.insert(id, client.to_owned());
        self.names.insert(client.to_owned(), name.to_owned());
    }

    fn answer(&self, asked: &Asked) -> (u16, Value) {
        if self.down {
            return (503, json!({"error": "maintenance"}));
        }
        let Some(client) = asked.path.strip_prefix("/api/clients/").filter(|rest| *rest != "synchronization")
        else {
            let from = asked.number("startId");
            let page: Vec<_> = self.events.range(from..).take(self.page).collect();
            let next = page.last().map_or(from, |(id, _)| *id + 1);
            let events: Vec<Value> =
                page.iter().map(|(_, client)| json!({"clientId": client, "type": "UPDATE"})).collect();
            return (200, json!({"nextId": self.next.clone().unwrap_or(json!(next)), "events": events}));
        };
        let client = client.replace("%3A", ":");
        match (self.broken.get(&client), self.names.get(&client)) {
            (Some(status), _) => (*status, json!({"error": "no luck"})),
            (None, Some(name)) => (200, json!({"id": client, "name": name})),
            (None, None) => (404, json!({"error": "client not found"})),
        }
    }
}

async fn scene(config: &str) -> (Scene, Arc<Mutex<Platform>>) {
    scene_that(config, "").await
}

async fn scene_that(config: &str, write: &str) -> (Scene, Arc<Mutex<Platform>>) {
    let platform = Arc::new(Mutex::new(Platform { page: 100, ..Platform::default() }));
    let answering = Arc::clone(&platform);
    (Scene::new(config, write, move |asked| answering.lock().unwrap().answer(asked)).await, platform)
}

#[tokio::test]
async fn events_are_followed_up_once_each_and_the_watermark_is_the_servers_next_id() {
    let (scene, platform) = scene(FEED).await;
    {
        let mut platform = platform.lock().unwrap();
        platform.page = 3;
        for (id, client) in [(1, "org:1"), (2, "org:2"), (3, "org:1"), (7, "org:3")] {
            platform.event(id, client, "first");
        }
        platform.event(8, "org:9", "gone soon");
        platform.names.remove("org:9");
    }
    let ended = scene.run().await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert!(ended.message.unwrap().contains("1 records were gone when they were followed up"));
    assert_eq!(scene.rows().await, "org:1=first org:2=first org:3=first");
    assert_eq!(scene.watermark().await.as_deref(), Some("9"));
    let mut asked = scene.asked();
    let feed: Vec<String> = asked.extract_if(.., |asked| asked.contains("startId")).collect();
    let feed: Vec<&str> = feed.iter().map(|asked| asked.split('=').nth(1).unwrap()).collect();
    assert_eq!(feed, ["1", "4", "9"]);
    asked.sort();
    assert_eq!(
        asked,
        ["/api/clients/org%3A1", "/api/clients/org%3A2", "/api/clients/org%3A3", "/api/clients/org%3A9"],
        "several events of one object are one request"
    );
    scene.runs().await;
    assert_eq!(scene.asked(), ["/api/clients/synchronization?startId=9"]);
}

#[tokio::test]
async fn a_follow_up_that_keeps_failing_is_parked_and_asked_for_again() {
    for status in [500, 422] {
        let (scene, platform) = scene(FEED).await;
        {
            let mut platform = platform.lock().unwrap();
            platform.event(1, "a", "one");
            platform.event(2, "b", "two");
            platform.broken.insert("b".to_owned(), status);
        }
        let ended = scene.run().await;
        assert_eq!(ended.outcome, Outcome::Partial, "{:?}", ended.message);
        assert_eq!((scene.rows().await.as_str(), scene.watermark().await.as_deref()), ("a=one", Some("3")));
        let rejects = scene.rejects().await;
        let [parked] = rejects.as_slice() else { panic!("{rejects:?}") };
        assert_eq!(
            (parked.key.as_str(), parked.content.as_str()),
            ("b", r#"{"waiting":{"clientId":"b","type":"UPDATE"}}"#)
        );
        assert!(
            parked.reason.starts_with(&format!("waiting: GET /clients/b: {status}: no luck")),
            "{}",
            parked.reason
        );

        // Still broken: it waits on, and stands in nobody's way.
        platform.lock().unwrap().event(3, "c", "three");
        assert_eq!(scene.run().await.outcome, Outcome::Partial);
        assert_eq!(
            (scene.rows().await.as_str(), scene.watermark().await.as_deref()),
            ("a=one c=three", Some("4"))
        );
        platform.lock().unwrap().broken.clear();
        scene.runs().await;
        assert_eq!(scene.rows().await, "a=one b=two c=three");
        assert!(scene.rejects().await.is_empty());
    }
}

#[tokio::test]
async fn a_platform_that_is_down_holds_the_watermark_and_parks_nothing() {
    let (scene, platform) = scene(FEED).await;
    platform.lock().unwrap().event(1, "a", "one");
    scene.runs().await;
    let down = Arc::clone(&platform);
    {
        let mut platform = platform.lock().unwrap();
        platform.event(2, "b", "two");
        platform.event(3, "c", "three");
    }
    // It goes down with the first follow-up: the list was still answered.
    let scene_down = Scene::new(FEED, "", move |asked| {
        let mut platform = down.lock().unwrap();
        platform.down |= !asked.path.ends_with("synchronization");
        platform.answer(asked)
    })
    .await;
    scene_down.fails("503: maintenance").await;
    assert_eq!(scene_down.watermark().await, None);
    assert!(scene_down.rejects().await.is_empty());
}

#[tokio::test]
async fn a_feed_that_goes_back_or_stands_still_stops_and_never_starts_again_by_itself() {
    let (scene, platform) = scene(FEED).await;
    for id in 1..=20 {
        platform.lock().unwrap().event(id, &format!("c{id}"), "x");
    }
    scene.runs().await;
    assert_eq!(scene.watermark().await.as_deref(), Some("21"));
    scene.asked();
    for (next, events, words) in [
        (json!(1), false, "the feed went back: the next id is 1, and 21 was reached before"),
        (json!(5), true, "the feed went back: the next id is 5, and 21 was reached before"),
        (json!(21), true, "the feed stands still: it has 1 events from id 21 on"),
        (Value::Null, true, "does not say which id comes next"),
    ] {
        {
            let mut platform = platform.lock().unwrap();
            platform.events.remove(&21);
            if events {
                platform.event(21, "new", "y");
            }
            platform.next = Some(next);
        }
        scene.fails(words).await;
        assert_eq!(scene.asked(), ["/api/clients/synchronization?startId=21"]);
        assert_eq!(scene.watermark().await.as_deref(), Some("21"));
    }
    platform.lock().unwrap().next = None;
    scene.runs().await;
    assert_eq!(scene.watermark().await.as_deref(), Some("22"));
}

#[tokio::test]
async fn an_event_that_became_visible_late_is_found_by_reading_the_last_ids_again() {
    let config = FEED.replace("start = 1", "start = 1, reread = 10");
    let (scene, platform) = scene(&config).await;
    {
        let mut platform = platform.lock().unwrap();
        platform.event(13, "a", "one");
        platform.event(15, "b", "two");
    }
    scene.runs().await;
    platform.lock().unwrap().event(14, "late", "three");
    let again = scene.run().await;
    assert_eq!((again.counts.written, again.counts.unchanged), (1, 2));
    assert_eq!(scene.rows().await, "a=one b=two late=three");
    assert_eq!(
        scene.of_rows("select distinct writes || '' from rows").await,
        "1",
        "nothing is written twice"
    );
    assert_eq!(scene.watermark().await.as_deref(), Some("16"));
}

#[tokio::test]
async fn a_follow_up_of_a_list_is_made_only_for_rows_that_changed() {
    let config = r#"
get = "/services"
rows = "data"
key = ["id"]
each = { get = "/services/{id}", record = "service", gone-on = [404] }
"#;
    let revision = Arc::new(Mutex::new(1));
    let told = Arc::clone(&revision);
    let scene = Scene::new(config, "", move |asked| {
        let revision = *told.lock().unwrap();
        match asked.path.as_str() {
            "/api/services" => (200, json!({"data": [{"id": "a", "v": 1}, {"id": "b", "v": revision}]})),
            path => {
                (200, json!({"service": {"id": path.rsplit('/').next(), "name": format!("v{revision}")}}))
            }
        }
    })
    .await;
    scene.runs().await;
    scene.asked();
    *revision.lock().unwrap() = 2;
    scene.runs().await;
    assert_eq!(scene.asked(), ["/api/services", "/api/services/b"]);
    assert_eq!(scene.rows().await, "a=v1 b=v2");
}

const DELETE: &str = ", on-gone = \"delete\"";

#[tokio::test]
async fn a_record_that_is_gone_alone_is_removed_also_where_it_was_the_only_event() {
    let (scene, platform) = scene_that(FEED, DELETE).await;
    for (id, client) in [(1, "a"), (2, "b"), (3, "c")] {
        platform.lock().unwrap().event(id, client, "x");
    }
    scene.runs().await;
    {
        let mut platform = platform.lock().unwrap();
        platform.event(4, "a", "x");
        platform.names.remove("a");
    }
    let ended = scene.run().await;
    assert_eq!((ended.outcome, ended.counts.removed), (Outcome::Ok, 1), "{:?}", ended.message);
    assert_eq!(scene.rows().await, "b=x c=x");
    assert_eq!(scene.watermark().await.as_deref(), Some("5"));
}

#[tokio::test]
async fn a_wrong_path_removes_nothing_and_stops_the_flow() {
    let (scene, platform) = scene_that(FEED, DELETE).await;
    for id in 1..=4 {
        platform.lock().unwrap().event(id, &format!("c{id}"), "x");
    }
    scene.replace("/clients/{clientId}", "/clients/of/{clientId}");
    // Of a platform that was never read nothing could be removed, but its events would be passed over.
    scene.fails("every record this run followed up seems gone (404), and none was ever found").await;
    assert_eq!(scene.watermark().await, None);
    scene.replace("/clients/of/", "/clients/");
    scene.runs().await;

    scene.replace("/clients/{clientId}", "/clients/of/{clientId}");
    for events in 1..=4 {
        platform.lock().unwrap().event(4 + events, &format!("c{events}"), "y");
        scene.fails("and so do the 3 that were found last: is the path of `each.get` right?").await;
        assert_eq!(scene.rows().await, "c1=x c2=x c3=x c4=x");
        assert_eq!(scene.watermark().await.as_deref(), Some("5"));
    }
    scene.replace("/clients/of/", "/clients/");
    scene.runs().await;
    assert_eq!(scene.rows().await, "c1=y c2=y c3=y c4=y");
}

#[tokio::test]
async fn more_follow_ups_that_find_nothing_than_max_gone_stop_the_run() {
    let config = format!("{FEED}max-gone = \"25%\"\n");
    let (scene, platform) = scene_that(&config, DELETE).await;
    for id in 0..8 {
        platform.lock().unwrap().event(1 + id, &format!("c{id}"), "x");
    }
    scene.runs().await;
    {
        let mut platform = platform.lock().unwrap();
        // One event an answer: the share is that of the run, not that of a page.
        platform.page = 1;
        platform.event(9, "c7", "y");
        for id in 0..3 {
            platform.event(10 + id, &format!("c{id}"), "y");
            platform.names.remove(&format!("c{id}"));
        }
    }
    scene.fails("3 of 8 known records are gone when they are followed up, more than `max-gone` allows").await;
    assert_eq!(scene.rows().await, "c2=x c3=x c4=x c5=x c6=x c7=y");
    assert_eq!(scene.watermark().await.as_deref(), Some("12"));
    scene.replace("25%", "100%");
    scene.run().await;
    assert_eq!(scene.rows().await, "c3=x c4=x c5=x c6=x c7=y");
}
