//! Pages by link, by offset, by token; what a list may do and what it may not.

use super::{Asked, Scene, utc};
use cadenced::run::Outcome;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn row(id: u64) -> Value {
    json!({"id": format!("r{id:02}"), "name": format!("n{id}"), "updatedAt": "2026-03-01T10:00:00Z"})
}

fn rows(ids: impl Iterator<Item = u64>) -> Vec<Value> {
    ids.map(row).collect()
}

const LINKED: &str = r#"
get = "/orders"
params = { page = "{page}", size = 2 }
rows = "data"
key = ["id"]
pages = { next-url = "links.next", items = "links.items" }
"#;

fn linked(asked: &Asked, next: impl Fn(u64) -> Value) -> (u16, Value) {
    let page = asked.number("page");
    let data = rows((page * 2 - 1)..=(page * 2).min(5));
    (200, json!({"data": data, "links": {"next": next(page), "items": 5}}))
}

#[tokio::test]
async fn links_are_followed_by_their_page_parameter_alone() {
    let scene = Scene::new(LINKED, "", |asked| {
        linked(asked, |page| {
            if page < 3 {
                json!(format!("/api/orders?size=9&token=x&page={}", page + 1))
            } else {
                Value::Null
            }
        })
    })
    .await;
    scene.runs().await;
    assert_eq!(scene.rows().await, "r01=n1 r02=n2 r03=n3 r04=n4 r05=n5");
    assert_eq!(
        scene.asked(),
        ["/api/orders?page=1&size=2", "/api/orders?page=2&size=2", "/api/orders?page=3&size=2"]
    );
}

#[tokio::test]
async fn a_link_to_another_place_is_refused_and_gets_nothing() {
    for next in ["http://127.0.0.1:9/api/orders?page=2", "/api/clients?page=2"] {
        let scene = Scene::new(LINKED, "", move |asked| linked(asked, |_| json!(next))).await;
        scene.fails("which is not the list that was asked for; nothing is sent there").await;
        assert_eq!(scene.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_link_that_leads_back_fails_and_the_next_run_starts_afresh() {
    let scene = Scene::new(LINKED, "", |asked| {
        linked(asked, |page| json!(format!("/api/orders?page={}", if page < 3 { page + 1 } else { 2 })))
    })
    .await;
    for _ in 0..2 {
        scene.fails("page 3 of the list, at 3, says that 2 comes next: the list goes round in circles").await;
        assert_eq!(scene.asked().len(), 3, "from the first page, each time");
    }
}

const BY_OFFSET: &str = r#"
get = "/services"
params = { limit = 2, offset = "{offset}" }
rows = "resource"
key = ["id"]
pages = { next = "meta.next", items = "meta.count" }
"#;

#[tokio::test]
async fn offsets_go_on_until_next_is_null_over_short_and_empty_pages() {
    // CorteCloud contract §3: a short page and an empty one may have a next.
    let scene = Scene::new(BY_OFFSET, "", |asked| match asked.number("offset") {
        0 => (200, json!({"resource": rows(1..=1), "meta": {"count": 3, "next": 10}})),
        10 => (200, json!({"resource": [], "meta": {"count": 3, "next": 20}})),
        20 => (200, json!({"resource": rows(2..=3), "meta": {"count": 3, "next": null}})),
        _ => (400, json!({})),
    })
    .await;
    scene.runs().await;
    assert_eq!(scene.rows().await, "r01=n1 r02=n2 r03=n3");
    assert_eq!(scene.asked().len(), 3, "proved by its total");
}

#[tokio::test]
async fn an_offset_that_does_not_rise_fails() {
    for next in [0, 2] {
        let scene = Scene::new(BY_OFFSET, "", move |asked| {
            let next = if asked.number("offset") == 0 { 2 } else { next };
            (200, json!({"resource": rows(1..=2), "meta": {"count": 9, "next": next}}))
        })
        .await;
        scene.fails(&format!("page 2 of the list, at 2, says that {next} comes next")).await;
    }
}

#[tokio::test]
async fn a_full_page_without_a_next_is_an_end_worth_a_word() {
    let scene = Scene::new(BY_OFFSET, "", |_| (200, json!({"resource": rows(1..=2)}))).await;
    let ended = scene.run().await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert!(ended.message.unwrap().contains("the last page was full and did not say what comes next"));
}

#[tokio::test]
async fn empty_pages_without_end_fail() {
    let scene = Scene::new(BY_OFFSET, "", |asked| {
        (200, json!({"resource": [], "meta": {"count": 9, "next": asked.number("offset") + 2}}))
    })
    .await;
    scene.fails("6 pages of the list in a row are empty, and still the platform promises more").await;
}

#[tokio::test]
async fn a_platform_that_ignores_the_page_it_is_asked_for_is_noticed() {
    for pages in [2, 9] {
        let scene = Scene::new(
            "get = \"/orders\"\nparams = { page = \"{page}\" }\nrows = \"data\"\nkey = [\"id\"]\n\
             pages = { total = \"pages\", items = \"items\" }",
            "",
            move |_| (200, json!({"data": rows(1..=2), "pages": pages, "items": pages * 2})),
        )
        .await;
        scene.fails("has the same rows as the page before it, though the platform promises more").await;
    }
}

#[tokio::test]
async fn a_token_is_sent_back_as_it_came_and_left_out_at_first() {
    let scene = Scene::new(
        "get = \"/orders\"\nparams = { after = \"{cursor}\" }\nrows = \"data\"\nkey = [\"id\"]\npages = { next = \"next\" }",
        "",
        |asked| match asked.query.get("after").map(String::as_str) {
            None => (200, json!({"data": rows(1..=2), "next": "a/b=="})),
            Some("a/b==") => (200, json!({"data": rows(3..=3), "next": ""})),
            Some(_) => (400, json!({})),
        },
    )
    .await;
    scene.runs().await;
    assert_eq!(scene.rows().await, "r01=n1 r02=n2 r03=n3");
    // Without a total, a second pass has to bring the same.
    assert_eq!(scene.asked().len(), 4);
}

#[tokio::test]
async fn a_page_that_is_not_there_any_more_after_a_crash_starts_the_walk_afresh() {
    let mut calls = 0;
    let scene = Scene::new(LINKED, "", move |asked| {
        calls += 1;
        match (calls, asked.number("page")) {
            // The first run fails at its second page, the second run finds that the list has become shorter.
            (2, _) => (400, json!({"error": "broken"})),
            (3, 2) => (404, json!({"error": "no such page"})),
            (4.., 1) => (200, json!({"data": rows(1..=2), "links": {"next": null, "items": 2}})),
            _ => linked(asked, |page| json!(format!("?page={}", page + 1))),
        }
    })
    .await;
    scene.fails("page 2: 400: broken").await;
    scene.fails("page 2: 404: no such page").await;
    scene.runs().await;
    assert_eq!(scene.asked().last().map(String::as_str), Some("/api/orders?page=1&size=2"));
}

const BY_DATE: &str = r#"
get = "/orders"
params = { from = "{since}", to = "{until}" }
rows = "data"
key = ["id"]
since = { field = "updatedAt", format = "rfc3339", start = "2020-01-01T00:00:00Z" }
"#;

#[tokio::test]
async fn a_record_from_the_future_is_delivered_told_and_does_not_drag_the_watermark() {
    let scene = Scene::new(BY_DATE, "", |_| {
        let mut ahead = row(2);
        ahead["updatedAt"] = json!("2027-01-01T00:00:00Z");
        (200, json!({"data": [row(1), ahead]}))
    })
    .await;
    let ended = scene.run().await;
    assert_eq!(ended.outcome, Outcome::Ok);
    let message = ended.message.unwrap();
    assert!(
        message.contains("1 records are dated after the platform's own clock, the latest 2027-01-01"),
        "{message}"
    );
    assert_eq!(scene.rows().await, "r01=n1 r02=n2");
    // The server's clock less settle, and less what the request took.
    let reached = scene.watermark().await.unwrap();
    assert!(("2026-03-02T11:58:30Z"..="2026-03-02T11:59:00Z").contains(&reached.as_str()), "{reached}");
}

#[tokio::test]
async fn a_list_without_a_readable_cursor_says_so() {
    let scene = Scene::new(BY_DATE, "", |_| (200, json!({"data": [{"id": "a", "updatedAt": "soon"}]}))).await;
    let ended = scene.run().await;
    assert_eq!(ended.outcome, Outcome::Partial);
    assert!(ended.message.unwrap().contains("no record has a `updatedAt` that can be read"));
    assert_eq!(scene.watermark().await, None);
}

#[tokio::test]
async fn a_list_that_counts_instead_of_dating_is_read_on_by_its_numbers() {
    let scene = Scene::new(
        "get = \"/orders\"\nparams = { after = \"{since}\" }\nrows = \"data\"\nkey = [\"id\"]\n\
         since = { field = \"version\", format = \"integer\", start = 0, reread = 2 }",
        "",
        |asked| {
            let from = asked.number("after");
            let rows = (from.max(1)..=9).map(|n| json!({"id": format!("r{n}"), "name": "n", "version": n}));
            (200, json!({"data": rows.collect::<Vec<_>>()}))
        },
    )
    .await;
    scene.runs().await;
    assert_eq!(scene.watermark().await.as_deref(), Some("9"));
    let again = scene.run().await;
    assert_eq!((again.counts.read, again.counts.unchanged), (3, 3));
    assert_eq!(scene.asked(), ["/api/orders?after=0", "/api/orders?after=7"]);
}

#[tokio::test]
async fn a_watermark_of_another_kind_is_refused_instead_of_read_from_1970() {
    let scene = Scene::new(BY_DATE, "", |_| (200, json!({"data": [row(1)]}))).await;
    scene.store().set_watermark(&super::name(), "", Some(json!("4711"))).await.unwrap();
    scene.fails("its watermark is 4711, and the job goes on by times").await;
    assert_eq!(scene.asked().len(), 0);
}

#[tokio::test]
async fn a_backfill_reads_its_stretch_and_leaves_the_watermark_alone() {
    let scene = Scene::new(BY_DATE, "", |asked| {
        let day = |day: u64| json!({"id": format!("d{day:02}"), "name": "n", "updatedAt": format!("2026-02-{day:02}T00:00:00Z")});
        let from: u64 = asked.query["from"].get(8..10).unwrap().parse().unwrap();
        (200, json!({"data": (from..=28).map(day).collect::<Vec<_>>()}))
    })
    .await;
    scene.store().set_watermark(&super::name(), "", Some(json!(1_772_200_000_000_i64))).await.unwrap();
    let before = scene.watermark().await;
    let ended = scene.backfill("2026-02-10T00:00:00Z", "2026-02-13T00:00:00Z").await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert!(ended.message.unwrap().contains("16 records dated later are left to the live pull"));
    assert_eq!(scene.rows().await, "d10=n d11=n d12=n");
    assert_eq!(scene.asked(), ["/api/orders?from=2026-02-10T00:00:00Z&to=2026-02-13T00:00:00Z"]);
    assert_eq!(scene.watermark().await, before);
    let again = scene.backfill("2026-02-10T00:00:00Z", "2026-02-13T00:00:00Z").await;
    assert_eq!((again.counts.written, again.counts.unchanged), (0, 3), "one memory of what was delivered");
}

#[tokio::test]
async fn a_backfill_that_was_cut_off_goes_on_at_its_page() {
    let mut fails = true;
    let scene = Scene::new(
        "get = \"/orders\"\nparams = { from = \"{since}\", page = \"{page}\" }\nrows = \"data\"\nkey = [\"id\"]\n\
         pages = { total = \"pages\", items = \"items\" }\n\
         since = { field = \"updatedAt\", format = \"rfc3339\", start = \"2020-01-01T00:00:00Z\" }",
        "",
        move |asked| {
            let page = asked.number("page");
            if page == 3 && std::mem::take(&mut fails) {
                return (400, json!({}));
            }
            (200, json!({"data": rows(page..=page), "pages": 3, "items": 3}))
        },
    )
    .await;
    let stretch = ("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    assert_eq!(scene.backfill(stretch.0, stretch.1).await.outcome, Outcome::Failed);
    assert_eq!(scene.asked().len(), 3);
    assert_eq!(scene.backfill(stretch.0, stretch.1).await.outcome, Outcome::Ok);
    let pages: Vec<String> =
        scene.asked().iter().map(|asked| asked.split("page=").nth(1).unwrap().to_owned()).collect();
    assert_eq!(pages, ["3", "1", "2", "3"], "the rest, and a pass that proves it");
    assert_eq!(scene.watermark().await, None);
}

const LOCAL: &str = r#"
get = "/orders"
params = { date = "{since}", page = "{page}" }
rows = "data"
key = ["id"]
pages = { total = "pages" }
since = { field = "updatedAt", format = "%Y-%m-%d %H:%M:%S", timezone = "Europe/Madrid", start = "2026-10-01 00:00:00" }
"#;

#[tokio::test]
async fn what_is_dated_ahead_into_the_hour_that_autumn_repeats_is_read_at_once_and_written_once() {
    let rows = Arc::new(Mutex::new(vec![("a".to_owned(), "2026-10-25 02:45:00")]));
    let theirs = Arc::clone(&rows);
    let scene = Scene::new(LOCAL, "", move |asked| {
        let since = asked.query["date"].as_str();
        let rows = theirs.lock().unwrap();
        let rows = rows.iter().filter(|(_, at)| *at >= since);
        let rows: Vec<_> = rows.map(|(id, at)| json!({"id": id, "updatedAt": at})).collect();
        (200, json!({"data": rows, "pages": 1}))
    })
    .await;
    scene.clock.set(utc("2026-10-25T00:58:00Z"));
    scene.runs().await;
    // Two minutes before clocks go back, on either side: what is dated after that reads earlier than what was read. It
    // takes many for old deliveries to be forgotten.
    for (n, at) in [(3000, "2026-10-25 02:00:30"), (1, "2026-10-25 02:50:00")] {
        rows.lock().unwrap().extend((0..n).map(|i| (format!("{at} {i}"), at)));
        let counts = scene.run().await.counts;
        assert_eq!(counts.written, n, "{at}: {counts:?}");
    }
    let counts = scene.run().await.counts;
    assert_eq!((counts.written, counts.unchanged), (0, 3002));
    let asked = scene.asked();
    let dates: Vec<_> = asked.iter().map(|asked| asked.split(['=', '&']).nth(1).unwrap()).collect();
    let again = "2026-10-25 02:00:00";
    assert_eq!(dates, ["2026-10-01 00:00:00", again, again, again]);
    assert_eq!(scene.watermark().await.as_deref(), Some("2026-10-25T00:50:00Z"));
}
