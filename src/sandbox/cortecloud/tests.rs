//! Promises of the simulated Cortecloud, one for each rule of its contract.

use super::*;
use reqwest::{Client, Method};
use serde_json::json;
use std::collections::BTreeSet;

fn cloud(settings: &[&str]) -> Cortecloud {
    let options = Options::default();
    for setting in settings {
        options.switches.set(setting).unwrap();
    }
    Cortecloud::start(options).unwrap()
}

async fn send(cloud: &Cortecloud, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = Client::new().request(method, format!("{}{path}", cloud.url()));
    for (name, value) in Platform::credentials(cloud) {
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(cloud: &Cortecloud, path: &str) -> (u16, Value) {
    send(cloud, Method::GET, path, None).await
}

async fn put(cloud: &Cortecloud, path: &str, body: Value) -> (u16, Value) {
    send(cloud, Method::PUT, path, Some(body)).await
}

/// The ids of every page from the first to the one without `next`, and how many pages were empty.
async fn walk(cloud: &Cortecloud, path: &str, limit: usize) -> (Vec<u64>, usize) {
    let (mut ids, mut empty, mut offset) = (Vec::new(), 0, 0);
    for _ in 0..100 {
        let (_, page) = get(cloud, &format!("{path}?limit={limit}&offset={offset}")).await;
        let rows = page["resource"].as_array().unwrap();
        empty += usize::from(rows.is_empty());
        ids.extend(rows.iter().map(|row| row["id"].as_u64().unwrap()));
        match page["meta"]["next"].as_u64() {
            Some(next) => offset = next,
            None => return (ids, empty),
        }
    }
    panic!("the walk has no end");
}

fn broken(cloud: &Cortecloud) -> Vec<&'static str> {
    cloud.wire.broken_rules().into_iter().map(|broken| broken.rule).collect()
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_walk_by_next_gives_every_service_once_and_ends_with_null() {
    let cloud = cloud(&[]);
    let ids = cloud.seed(57);
    assert_eq!(walk(&cloud, "/services", 10).await, (ids.clone(), 0));
    let (_, page) = get(&cloud, "/services?limit=10&offset=50").await;
    assert_eq!(page["meta"], json!({"count": 57, "next": null}));
    let names: Vec<&String> = page["resource"][0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "status", "internal_code", "updated_at"]);
    assert_eq!(broken(&cloud), [""; 0]);
    // A page is never larger than the platform's limit.
    cloud.switches.set("max-limit=20").unwrap();
    let (_, page) = get(&cloud, "/services?limit=1000&offset=0").await;
    assert_eq!((page["resource"].as_array().unwrap().len(), &page["meta"]["next"]), (20, &json!(20)));
    assert!(ids.windows(2).any(|pair| pair[1] - pair[0] > 1), "ids have gaps");
}

#[tokio::test]
async fn limit_and_offset_must_be_there_and_the_offset_a_next() {
    let cloud = cloud(&[]);
    cloud.seed(30);
    assert_eq!(get(&cloud, "/services").await.0, 200);
    assert_eq!(broken(&cloud), ["limit-and-offset"; 2]);
    let (status, answer) = get(&cloud, "/services?limit=ten&offset=0").await;
    assert_eq!((status, message(&answer)), (400, "`limit` must be a number, not `ten`"));
    // Page numbers where offsets are meant.
    get(&cloud, "/services?limit=10&offset=0").await;
    get(&cloud, "/services?limit=10&offset=2").await;
    assert_eq!(broken(&cloud)[3..], ["offset-from-next"]);
    get(&cloud, "/services?limit=10&offset=10").await;
    assert_eq!(broken(&cloud).len(), 4);
}

#[tokio::test]
async fn both_parts_of_the_credentials_are_wanted_on_every_call() {
    let cloud = cloud(&[]);
    let right = Platform::credentials(&cloud);
    let (basic, key) = (right[0].1.as_str(), right[1].1.as_str());
    // What comes after the first colon is the password, colons and all.
    let cut = format!("Basic {}", STANDARD.encode("shop@example.org:cut"));
    let cases = [
        (None, None, 400, "No API Key provided"),
        (Some(basic), None, 400, "No API Key provided"),
        (None, Some(key), 400, "No session token"),
        (Some("Bearer x"), Some(key), 400, "No session token"),
        (Some(cut.as_str()), Some(key), 401, "Unauthorized. User credentials did not match."),
        (Some(basic), Some("other"), 403, "Access Forbidden"),
    ];
    for (basic, key, status, expected) in cases {
        let mut request = Client::new().get(format!("{}/services?limit=1&offset=0", cloud.url()));
        for (name, value) in [("authorization", basic), ("x-dreamfactory-api-key", key)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let answer: Value = answer.json().await.unwrap();
        assert!(message(&answer).starts_with(expected), "{answer}");
        assert_eq!(answer["error"]["status_code"], json!(status));
    }
    assert_eq!(broken(&cloud), ["authorization"; 6]);
    get(&cloud, "/services?limit=1&offset=0&api_key=x").await;
    assert_eq!(broken(&cloud)[6..], ["key-in-url"]);
}

#[tokio::test]
async fn next_may_stand_still_go_back_or_be_missing() {
    let cloud = cloud(&["next=stands-still"]);
    cloud.seed(30);
    let next = async |offset: usize| {
        get(&cloud, &format!("/services?limit=10&offset={offset}")).await.1["meta"]["next"].clone()
    };
    assert_eq!((next(0).await, next(10).await), (json!(0), json!(10)));
    cloud.switches.set("next=goes-back").unwrap();
    assert_eq!((next(0).await, next(10).await, next(20).await), (json!(0), json!(0), Value::Null));
    cloud.switches.set("next=missing").unwrap();
    let (_, page) = get(&cloud, "/services?limit=10&offset=0").await;
    assert!(page.get("meta").is_none());
    assert_eq!(page["resource"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn an_empty_page_may_have_a_next_one() {
    let cloud = cloud(&["empty-page=2"]);
    let ids = cloud.seed(25);
    assert_eq!(walk(&cloud, "/services", 10).await, (ids, 1));
    assert_eq!(broken(&cloud), [""; 0]);
}

#[tokio::test]
async fn lists_lie_where_the_switch_says() {
    let cloud = cloud(&[]);
    cloud.seed(3);
    for name in ["data", "services"] {
        cloud.switches.set(&format!("items={name}")).unwrap();
        let (_, page) = get(&cloud, "/services?limit=10&offset=0").await;
        assert_eq!(page[name].as_array().unwrap().len(), 3);
    }
    cloud.switches.set("items=array").unwrap();
    assert_eq!(get(&cloud, "/services?limit=10&offset=0").await.1.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn services_change_and_move_while_a_walk_goes_on() {
    let cloud = cloud(&["order=newest-first"]);
    let clock = cloud.wire.clock().clone();
    clock.set(clock.now());
    let tick = std::time::Duration::from_secs(1);
    let ids: Vec<u64> = (0..20)
        .map(|_| {
            clock.advance(tick);
            cloud.insert(6)
        })
        .collect();
    let (oldest, newest) = (ids[0], ids[19]);
    cloud.after_page(1, move |cloud| {
        cloud.wire.clock().advance(tick);
        cloud.set_status(oldest, 7);
    });
    // The oldest is now before the page that comes next: this walk misses it, and sees another twice.
    let (walked, _) = walk(&cloud, "/services", 10).await;
    assert!(!walked.contains(&oldest));
    assert_eq!((walked.len(), walked.iter().collect::<BTreeSet<_>>().len()), (20, 19));
    assert_eq!(walk(&cloud, "/services", 10).await.0[..2], [oldest, newest]);
}

#[tokio::test]
async fn the_detail_has_the_items_of_a_service_and_404_where_there_is_none() {
    let cloud = cloud(&[]);
    let id = cloud.insert(6);
    let (status, detail) = get(&cloud, &format!("/services/{id}")).await;
    assert_eq!((status, &detail["status"], &detail["id"]), (200, &json!(6), &json!(id)));
    for items in ["panels", "tapes", "components", "operations"] {
        assert!(!detail[items].as_array().unwrap().is_empty(), "{items}");
    }
    assert_eq!(detail["operations"][2]["code"], json!("drill"));
    assert_eq!(detail, cloud.services()[&id]);
    cloud.edit(id);
    assert_ne!(detail["panels"], cloud.services()[&id]["panels"]);
    cloud.remove(id);
    let (status, answer) = get(&cloud, &format!("/services/{id}")).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!(404)));
    assert_eq!(get(&cloud, "/services/none").await.0, 404);
    assert_eq!(broken(&cloud), [""; 0]);
}

#[tokio::test]
async fn statuses_outside_the_table_are_served_as_they_are() {
    let cloud = cloud(&[]);
    let id = cloud.insert(17);
    cloud.seed(200);
    let (_, page) = get(&cloud, "/services?limit=100&offset=0").await;
    assert_eq!((&page["resource"][0]["id"], &page["resource"][0]["status"]), (&json!(id), &json!(17)));
    let known: BTreeSet<u32> = STATUSES.into();
    let others = cloud.services().into_values().skip(1);
    let seen: BTreeSet<u32> = others.map(|service| service["status"].as_u64().unwrap() as u32).collect();
    assert_eq!(seen, known);
}

#[tokio::test]
async fn a_put_changes_the_internal_code_and_nothing_else() {
    let cloud = cloud(&[]);
    let id = cloud.insert(6);
    let path = format!("/services/{id}");
    assert_eq!(put(&cloud, &path, json!({"internal_code": "ERP-1"})).await.0, 200);
    assert_eq!(put(&cloud, &path, json!({"internal_code": "ERP-1"})).await.0, 200);
    assert_eq!((cloud.links(), cloud.writes()), ([(id, "ERP-1".to_owned())].into(), 2));
    assert_eq!(get(&cloud, &path).await.1["internal_code"], json!("ERP-1"));
    assert_eq!(broken(&cloud), [""; 0]);
    put(&cloud, &path, json!({"internal_code": "ERP-1", "status": 9})).await;
    assert_eq!(cloud.services()[&id]["status"], json!(6));
    cloud.switches.set("other-fields=refused").unwrap();
    assert_eq!(put(&cloud, &path, json!({"internal_code": "ERP-2", "status": 9})).await.0, 400);
    for wrong in [json!({}), json!({"internal_code": ""}), json!({"internal_code": 7})] {
        assert_eq!(put(&cloud, &path, wrong).await.0, 400);
    }
    put(&cloud, &path, json!({"internal_code": "ERP-2"})).await;
    assert_eq!(put(&cloud, "/services/1", json!({"internal_code": "ERP-2"})).await.0, 404);
    let rules =
        ["only-internal-code", "only-internal-code", "internal-code", "internal-code", "internal-code"];
    assert_eq!(broken(&cloud), [&rules[..], &["internal-code-overwritten"]].concat());
}

#[tokio::test]
async fn the_method_that_updates_is_a_switch() {
    let cloud = cloud(&[]);
    let id = cloud.insert(6);
    let path = format!("/services/{id}");
    let code = json!({"internal_code": "ERP-1"});
    assert_eq!(send(&cloud, Method::PATCH, &path, Some(code.clone())).await.0, 405);
    cloud.switches.set("write=PATCH").unwrap();
    assert_eq!(send(&cloud, Method::PATCH, &path, Some(code.clone())).await.0, 200);
    assert_eq!(put(&cloud, &path, code.clone()).await.0, 405);
    cloud.switches.set("write=both").unwrap();
    assert_eq!(put(&cloud, &path, code).await.0, 200);
}

#[tokio::test]
async fn materials_are_read_and_updated_at_paths_of_their_own() {
    let options = Options::default();
    let material_paths = ["boards", "tapes", "components"].map(str::to_owned);
    let cloud = Cortecloud::start(Options { material_paths, ..options }).unwrap();
    let ids = cloud.seed_materials(Material::Panels, 15);
    assert_eq!(walk(&cloud, "/boards", 10).await, (ids, 0));
    assert_eq!(get(&cloud, "/panels?limit=1&offset=0").await.0, 404);
    let (status, answer) = put(&cloud, "/boards/3", json!({"internal_code": "A-3", "stock": 12.5})).await;
    assert_eq!((status, &answer["stock"]), (200, &json!(12.5)));
    assert_eq!(cloud.materials(Material::Panels)[&3], answer);
    assert_eq!(get(&cloud, "/boards/3").await.1, answer);
    let wrong = [json!({}), json!({"stock": -1}), json!({"price": "1.00"}), json!({"name": "x"})];
    for wrong in wrong {
        assert_eq!(put(&cloud, "/boards/3", wrong).await.0, 400);
    }
    assert_eq!(broken(&cloud), ["material-field"; 4]);
    assert_eq!(put(&cloud, "/boards/99", json!({"stock": 1})).await.0, 404);
    cloud.switches.set("materials=off").unwrap();
    assert_eq!(get(&cloud, "/boards?limit=1&offset=0").await.0, 404);
}

#[tokio::test]
async fn dates_are_utc_or_local_readings() {
    let cloud = cloud(&[]);
    cloud.wire.clock().set("2026-03-02T11:20:05Z".parse().unwrap());
    let id = cloud.insert(1);
    assert_eq!(cloud.services()[&id]["updated_at"], json!("2026-03-02T11:20:05Z"));
    cloud.switches.set("dates=local").unwrap();
    assert_eq!(cloud.services()[&id]["updated_at"], json!("2026-03-02T08:20:05"));
}

#[test]
fn stirred_it_has_new_services_and_changed_ones() {
    let cloud = cloud(&[]);
    cloud.seed(5);
    let before = cloud.services();
    (0..20).for_each(|_| cloud.stir());
    let after = cloud.services();
    assert!(after.len() > 5 && after.len() < 25, "{}", after.len());
    assert!(before.iter().any(|(id, service)| after[id] != *service));
}

#[test]
fn equal_seeds_make_equal_services_and_others_do_not() {
    let with_seed = |seed| {
        let cloud = Cortecloud::start(Options { seed, ..Options::default() }).unwrap();
        cloud.wire.clock().set("2026-03-02T11:20:05Z".parse().unwrap());
        cloud.seed(20);
        cloud.touch(5);
        cloud.seed_materials(Material::Tapes, 5);
        (cloud.services(), cloud.materials(Material::Tapes))
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}
