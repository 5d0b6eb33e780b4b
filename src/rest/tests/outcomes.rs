//! What becomes of single records: results read one by one, nothing sent twice that must not be, faults that are not the
//! records' own.

use super::pushes::{batch, keys, line, push, skus};
use super::{Seen, Server, answer};
use crate::job;
use crate::job::push::{Lists, Matched, ReadBack, ResultCounts, Results};
use crate::job::{PushGone, Verify};
use crate::rest::RestSink;
use crate::transfer::{Batch, Class, Doubted, RejectClass, Settled, Sink as _};
use crate::words::{FieldPath, Template};
use axum::body::Body;
use axum::http::{Method, Response};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

fn path(text: &str) -> FieldPath {
    FieldPath::new(text).unwrap()
}

fn verify(read_back: ReadBack) -> Verify {
    Verify {
        get: Template::new("/stocks/{sku}").unwrap(),
        params: Vec::new(),
        rows: path("found"),
        found_when: vec![path("sku")],
        read_back,
        first: false,
    }
}

fn sink(server: &Server, push: &job::Push) -> RestSink {
    RestSink::new(Arc::new(server.client()), push, None)
}

fn classes(settled: &Settled) -> BTreeMap<String, &'static str> {
    settled.rejected.iter().map(|rejected| (rejected.key.clone(), rejected.class.as_str())).collect()
}

/// What the request of this number meets: whether it is carried out, and the answer.
type Script = fn(usize, &Seen) -> Option<(bool, Response<Body>)>;

/// A platform that counts how often it has each sku; the next answers come from `script`, `None` is a proper one.
struct Store {
    server: Server,
    has: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Store {
    async fn start(script: Script) -> Self {
        let has = Arc::new(Mutex::new(BTreeMap::new()));
        let inside = Arc::clone(&has);
        let posts = Mutex::new(0);
        let server = Server::start(move |seen, _| {
            let mut has = inside.lock().unwrap();
            if seen.method == Method::GET {
                let sku = seen.uri.path().trim_start_matches("/stocks/").to_owned();
                let found = if has.contains_key(&sku) { json!([{"sku": sku}]) } else { json!([]) };
                return answer(200, json!({"found": found}).to_string());
            }
            let number = std::mem::replace(&mut *posts.lock().unwrap(), 0);
            *posts.lock().unwrap() = number + 1;
            let (applied, said) = script(number, seen).unwrap_or_else(|| (true, answer(200, "")));
            for sku in skus(seen).0.into_iter().filter(|_| applied) {
                *has.entry(sku).or_insert(0) += 1;
            }
            said
        })
        .await;
        Self { server, has }
    }

    fn has(&self) -> Vec<(String, usize)> {
        self.has.lock().unwrap().clone().into_iter().collect()
    }

    fn posts(&self) -> usize {
        self.server.seen().iter().filter(|seen| seen.method == Method::POST).count()
    }
}

fn once() -> job::Push {
    job::Push { idempotent: false, ..push(10) }
}

#[tokio::test]
async fn what_was_not_answered_for_is_parked_where_it_must_not_be_sent_twice() {
    let store = Store::start(|number, _| (number == 0).then(|| (true, answer(500, "")))).await;
    let mut sink = sink(&store.server, &once());
    let settled = sink.write(&batch(3, 0)).await.unwrap();
    let unknown = |key: &str| (key.to_owned(), "unknown");
    assert_eq!(classes(&settled), BTreeMap::from(["r0", "r1", "r2"].map(unknown)));
    assert!(
        settled.stop.is_none() && store.posts() == 1,
        "one lost answer stops nobody, and nothing is repeated"
    );
    assert!(sink.write(&batch(1, 0)).await.unwrap().rejected.is_empty());
}

#[tokio::test]
async fn a_platform_that_never_answers_stops_a_run_that_must_not_repeat() {
    let store = Store::start(|_, _| Some((false, answer(502, "")))).await;
    let mut sink = sink(&store.server, &once());
    assert!(sink.write(&batch(1, 0)).await.unwrap().stop.is_none());
    assert!(sink.write(&batch(1, 0)).await.unwrap().stop.is_none());
    let stop = sink.write(&batch(1, 0)).await.unwrap().stop.unwrap();
    assert!(stop.class == Class::Unknown && stop.message.contains("3 requests in a row"), "{stop}");
}

#[tokio::test]
async fn a_look_decides_what_is_sent_again() {
    // The first request is carried out, the second is not; neither is answered.
    let store = Store::start(|number, _| match number {
        0 => Some((true, answer(500, ""))),
        1 => Some((false, answer(500, ""))),
        _ => None,
    })
    .await;
    let push = job::Push { verify: Some(verify(ReadBack::Off)), ..once() };
    let mut sink = sink(&store.server, &push);
    assert!(sink.write(&batch(2, 0)).await.unwrap().rejected.is_empty());
    assert_eq!(store.posts(), 1, "they are there");
    let second = Batch { records: vec![line("x", "W"), line("y", "W")], gone: Vec::new() };
    assert!(sink.write(&second).await.unwrap().rejected.is_empty());
    let once = |sku: &str| (sku.to_owned(), 1);
    assert_eq!(store.has(), ["r0", "r1", "x", "y"].map(once));
}

#[tokio::test]
async fn a_record_of_an_earlier_life_is_looked_up_before_it_is_sent() {
    let store = Store::start(|_, _| None).await;
    store.has.lock().unwrap().insert("there".to_owned(), 1);
    let push = job::Push { verify: Some(verify(ReadBack::Off)), ..once() };
    let mut sink = sink(&store.server, &push);
    let doubted = |sku: &str, changed: bool| {
        let record = line(sku, "W");
        let sent = if changed { line("other", "W").digest } else { record.digest };
        Doubted { record, sent: Some(sent), is_first: false }
    };
    let changed =
        Doubted { record: line("there", "V"), sent: Some(line("older", "W").digest), is_first: false };
    let looked_up =
        sink.look_up(vec![doubted("there", false), doubted("missing", false), changed]).await.unwrap();
    let names = |records: &[crate::transfer::Record]| {
        records.iter().map(|record| format!("{} {}", record.key, record.group[0])).collect::<Vec<_>>()
    };
    assert_eq!(names(&looked_up.batch.records), ["there W"]);
    assert_eq!(
        names(&looked_up.due),
        ["missing W", "there V"],
        "what changed since is sent as any change is"
    );
}

#[tokio::test]
async fn a_look_that_can_not_tell_leaves_the_record_parked() {
    for found in [json!([{"id": 1}]), json!("none"), json!(null)] {
        let body = json!({"found": found}).to_string();
        let server = Server::start(move |seen, _| match seen.method {
            Method::GET => answer(200, body.clone()),
            _ => answer(503, ""),
        })
        .await;
        let push = job::Push { verify: Some(verify(ReadBack::Off)), ..once() };
        let settled = sink(&server, &push).write(&batch(1, 0)).await.unwrap();
        assert_eq!(classes(&settled), BTreeMap::from([("r0".to_owned(), "unknown")]), "{found}");
    }
}

#[tokio::test]
async fn what_surely_was_not_carried_out_is_left_to_the_next_run() {
    for status in [401, 429] {
        let store = Store::start(if status == 401 {
            |_, _| Some((false, answer(401, "")))
        } else {
            |_, _| Some((false, answer(429, "")))
        })
        .await;
        let settled = sink(&store.server, &once()).write(&batch(2, 0)).await.unwrap();
        assert!(
            settled.rejected.is_empty() && settled.left.len() == 2 && settled.stop.is_some(),
            "{settled:?}"
        );
    }
}

#[tokio::test]
async fn a_404_on_every_record_is_a_wrong_path_and_no_reject() {
    let server = Server::start(|_, _| answer(404, "no such endpoint")).await;
    let push = job::Push { path: Template::new("/stokcs").unwrap(), group_by: Vec::new(), ..push(1) };
    let mut sink = sink(&server, &push);
    let mut rejected = BTreeSet::new();
    let stopped = loop {
        let number = rejected.len();
        let one = Batch { records: vec![line(&format!("r{number}"), "W")], gone: Vec::new() };
        let settled = sink.write(&one).await.unwrap();
        if settled.stop.is_some() {
            break settled;
        }
        rejected.extend(keys(&settled));
    };
    let stop = stopped.stop.unwrap();
    assert!(stop.class == Class::Config && stop.message.contains("is the path right?"), "{stop}");
    assert!(stopped.rejected.is_empty());
    rejected.insert(format!("r{}", rejected.len()));
    assert_eq!(stopped.left.into_iter().collect::<BTreeSet<_>>(), rejected, "none of them is at fault");
    assert_eq!(server.seen().len(), 8);
}

#[tokio::test]
async fn one_404_among_others_is_one_reject() {
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/credits/c3" => answer(404, "client not found"),
        _ => answer(200, ""),
    })
    .await;
    let push = job::Push {
        method: job::push::Method::Put,
        path: Template::new("/credits/{client}").unwrap(),
        group_by: vec!["client".to_owned()],
        words: job::push::Words { waiting: vec!["Client Not Found".to_owned()], ..Default::default() },
        ..push(10)
    };
    let mut sink = sink(&server, &push);
    let lines = (0..20).map(|i| line(&format!("c{i}"), &format!("c{i}"))).collect();
    assert!(sink.gather(lines).is_empty());
    let mut refused = BTreeMap::new();
    for batch in sink.rest(Vec::new()) {
        let settled = sink.write(&batch).await.unwrap();
        assert!(settled.stop.is_none());
        refused.extend(classes(&settled));
    }
    assert_eq!(refused, BTreeMap::from([("c3".to_owned(), "waiting")]));
}

#[tokio::test]
async fn a_run_that_is_refused_as_a_matter_of_course_stops() {
    let server = Server::start(|seen, _| {
        let bad = skus(seen).0.iter().any(|sku| sku.starts_with('b'));
        if bad { answer(422, "no") } else { answer(200, "") }
    })
    .await;
    let mut sink = sink(&server, &job::Push { stop_when: Some(0.2), ..push(100) });
    let of = |kind: &str, n: usize| Batch {
        records: (0..n).map(|i| line(&format!("{kind}{i}"), "W")).collect(),
        gone: Vec::new(),
    };
    assert!(sink.write(&of("b", 4)).await.unwrap().stop.is_none(), "four say nothing yet");
    assert!(sink.write(&of("a", 17)).await.unwrap().stop.is_none(), "4 of 21 is less");
    let stop = sink.write(&of("b", 2)).await.unwrap().stop.unwrap();
    assert!(stop.message.contains("6 of 23 records were refused"), "{stop}");
}

#[tokio::test]
async fn what_is_promised_and_not_there_is_never_accepted() {
    let form = Results {
        rows: path("results"),
        lists: Lists::All,
        matched: Matched::Key { result: path("sku"), record: path("sku") },
        ok_when: vec![(path("ok"), vec!["true".to_owned()])],
        error: path("error"),
        counts: ResultCounts::default(),
        read_back: None,
    };
    let results = |idempotent| job::Push { results: vec![form.clone()], idempotent, ..push(10) };
    let all =
        |class: &'static str, n: usize| (0..n).map(|i| (format!("r{i}"), class)).collect::<BTreeMap<_, _>>();
    for body in ["", "{}", r#"{"success":true}"#, r#"{"results":[{"sku":"r9","ok":true}]}"#] {
        let server = Server::start(move |_, _| answer(200, body)).await;
        let settled = sink(&server, &results(true)).write(&batch(3, 0)).await.unwrap();
        assert_eq!(
            classes(&settled),
            all("transient", 3),
            "{body}: nothing was refused, the next run asks again"
        );
        let settled = sink(&server, &results(false)).write(&batch(3, 0)).await.unwrap();
        assert_eq!(classes(&settled), all("unknown", 3), "{body}");
    }
    let body = r#"{"results":[{"sku":"r2","ok":true},{"sku":"r1","ok":false,"error":"no"}]}"#;
    let server = Server::start(move |_, _| answer(200, body)).await;
    let settled = sink(&server, &results(true)).write(&batch(3, 0)).await.unwrap();
    let expected = BTreeMap::from([("r0".to_owned(), "transient"), ("r1".to_owned(), "rejected")]);
    assert_eq!((classes(&settled), server.seen().len()), (expected, 1));
    let refused = settled.rejected.iter().find(|rejected| rejected.key == "r1").unwrap();
    assert_eq!(refused.reason, "POST /warehouses/W%2F1/stocks: 200: no");
    assert!(refused.exchange.as_ref().unwrap().answer.contains(r#""error":"no""#), "{refused:?}");
}

#[tokio::test]
async fn false_success_is_found_by_reading_back() {
    // Accepts everything and keeps what is not `r7`.
    let server = Server::start(|seen, _| match (&seen.method, seen.uri.path()) {
        (&Method::GET, "/stocks/r7") => answer(200, r#"{"found":[]}"#),
        (&Method::GET, path) => {
            let sku = path.trim_start_matches("/stocks/");
            answer(200, json!({"found": {"sku": sku}}).to_string())
        }
        _ => answer(200, r#"{"success":true}"#),
    })
    .await;
    for (read_back, looks) in [(ReadBack::All, 10), (ReadBack::Off, 0)] {
        let before = server.seen().len();
        let push = job::Push { verify: Some(verify(read_back)), ..push(10) };
        let settled = sink(&server, &push).write(&batch(10, 0)).await.unwrap();
        assert_eq!(keys(&settled).len(), usize::from(looks > 0));
        assert_eq!(server.seen().len() - before, looks + 1);
    }
    // A sample of every second record doesn't meet it, one of every third... does not either; the seventh of seven does.
    let push = job::Push { verify: Some(verify(ReadBack::Sample)), ..push(10) };
    let records = ["r7", "a", "b", "c", "d", "e"].map(|sku| line(sku, "W")).to_vec();
    let settled = sink(&server, &push).write(&Batch { records, gone: Vec::new() }).await.unwrap();
    assert_eq!(classes(&settled), BTreeMap::from([("r7".to_owned(), "rejected")]));
}

#[tokio::test]
async fn where_the_platform_has_none_of_a_sample_the_run_stops_and_nothing_was_accepted() {
    let server = Server::start(|seen, _| match seen.method {
        Method::GET => answer(200, r#"{"found":[]}"#),
        _ => answer(200, r#"{"success":true}"#),
    })
    .await;
    let sampled = job::Push { verify: Some(verify(ReadBack::Sample)), ..push(100) };
    let settled = sink(&server, &sampled).write(&batch(50, 0)).await.unwrap();
    let stop = settled.stop.unwrap();
    assert!(stop.class == Class::Config && stop.message.contains("none of the 5"), "{stop}");
    assert!(settled.rejected.is_empty() && settled.left.len() == 50, "all of them are sent again");
    assert_eq!(server.seen().len(), 6);
    // What must not be sent twice is for a person: it may be there under another name.
    let once = job::Push { idempotent: false, ..sampled };
    let settled = sink(&server, &once).write(&batch(50, 0)).await.unwrap();
    assert_eq!((settled.stop.is_none(), settled.rejected.len()), (true, 50));
}

#[tokio::test]
async fn only_answers_of_the_form_that_wants_it_are_read_back() {
    let form = |rows: &str, lists, read_back| Results {
        rows: path(rows),
        lists,
        matched: Matched::Key { result: path("sku"), record: path("sku") },
        ok_when: Vec::new(),
        error: path("error"),
        counts: ResultCounts::default(),
        read_back,
    };
    let push = job::Push {
        results: vec![form("each", Lists::All, None), form("failed", Lists::Failures, Some(ReadBack::All))],
        verify: Some(verify(ReadBack::Off)),
        ..push(10)
    };
    for (body, looks) in [(r#"{"each":[{"sku":"r0"},{"sku":"r1"}]}"#, 0), (r#"{"failed":[]}"#, 2)] {
        let server = Server::start(move |seen, _| match seen.method {
            Method::GET => answer(200, r#"{"found":[{"sku":"r0"},{"sku":"r1"}]}"#),
            _ => answer(200, body),
        })
        .await;
        let settled = sink(&server, &push).write(&batch(2, 0)).await.unwrap();
        assert!(settled.rejected.is_empty());
        assert_eq!(server.seen().len(), 1 + looks, "{body}");
    }
}

#[tokio::test]
async fn words_behind_a_5xx_refuse_the_record_at_once_or_stop_the_run() {
    let words = job::push::Words {
        refused: vec!["failed to sync".to_owned()],
        unserved: vec!["ID parameter".to_owned()],
        ..Default::default()
    };
    let server = Server::start(|seen, _| match skus(seen).0.as_slice() {
        [sku] if sku == "r1" => answer(500, r#"{"error":"Failed to sync: duplicate key"}"#),
        [sku] if sku == "r3" => answer(402, r#"{"error":{"code":"QUOTA","message":"Failed to sync: full"}}"#),
        [sku] if sku == "r2" => answer(400, r#"{"error":"ID parameter is required for updates"}"#),
        _ => answer(200, ""),
    })
    .await;
    let mut sink = sink(&server, &job::Push { words, ..push(1) });
    let one = |sku: &str| Batch { records: vec![line(sku, "W")], gone: Vec::new() };
    let refused = sink.write(&one("r1")).await.unwrap();
    assert_eq!(classes(&refused), BTreeMap::from([("r1".to_owned(), "rejected")]));
    assert!(refused.stop.is_none() && server.seen().len() == 1, "it is not tried again");
    assert!(sink.write(&one("r0")).await.unwrap().rejected.is_empty());
    assert_eq!(classes(&sink.write(&one("r3")).await.unwrap()).len(), 1);
    let unserved = sink.write(&one("r2")).await.unwrap();
    let stop = unserved.stop.unwrap();
    assert!(stop.class == Class::Config && stop.message.contains("does not serve it"), "{stop}");
    assert!(unserved.rejected.is_empty() && unserved.left.contains("r2"));
}

#[tokio::test]
async fn what_the_platform_has_there_already_is_not_written_over() {
    let server = Server::start(|seen, _| match (&seen.method, seen.uri.path()) {
        (&Method::GET, path) => match path.trim_start_matches("/services/") {
            "null" => answer(200, r#"{"data":{"code":null}}"#),
            "same" => answer(200, r#"{"data":{"code":"ours"}}"#),
            "other" => answer(200, r#"{"data":{"code":"theirs"}}"#),
            "gone" => answer(404, ""),
            _ => answer(200, r#"{"data":{}}"#),
        },
        (_, path) if path.ends_with("/gone") => answer(404, "no such service"),
        _ => answer(200, ""),
    })
    .await;
    let push = job::Push {
        method: job::push::Method::Put,
        path: Template::new("/services/{warehouse}").unwrap(),
        body: json!("$record"),
        unless_taken: Some(job::push::Taken { fields: vec![path("code")], at: path("data") }),
        ..push(1)
    };
    let mut sink = sink(&server, &push);
    for (id, reason) in [
        ("null", None),
        ("same", None),
        ("other", Some("has `theirs` as its code")),
        ("unsaid", Some("has no `code`")),
        ("gone", Some("no such service")),
    ] {
        let record = super::record(id, r#"{"code":"ours"}"#, &[id]);
        let settled = sink.write(&Batch { records: vec![record], gone: Vec::new() }).await.unwrap();
        let words = settled.rejected.first().map(|rejected| rejected.reason.clone());
        match reason {
            None => assert_eq!(words, None, "{id}"),
            Some(reason) => {
                assert!(words.as_ref().is_some_and(|words| words.contains(reason)), "{id}: {words:?}")
            }
        }
    }
    let written: Vec<_> = server.seen().into_iter().filter(|seen| seen.method == Method::PUT).collect();
    assert_eq!(written.len(), 3);
}

#[tokio::test]
async fn gone_records_are_removed_one_by_one_or_zeroed() {
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/stocks/g1" => answer(404, "not there"),
        "/stocks/g2" => answer(409, "still in an order"),
        _ => answer(200, ""),
    })
    .await;
    let delete = PushGone::Delete(Template::new("/stocks/{sku}").unwrap());
    let mut removing = sink(&server, &job::Push { on_gone: delete, ..push(10) });
    let mut refused = Vec::new();
    for batch in removing.rest(batch(0, 3).gone) {
        refused.extend(removing.write(&batch).await.unwrap().rejected);
    }
    assert_eq!(refused.len(), 1);
    assert!(refused[0].key == "g2" && refused[0].reason.contains("still in an order"), "{refused:?}");
    assert!(server.seen().iter().all(|seen| seen.method == Method::DELETE && seen.body.is_empty()));

    let before = server.seen().len();
    let zero = PushGone::Zero(job::FieldMap(Vec::new()));
    let mut zeroing = sink(
        &server,
        &job::Push { on_gone: zero, body: json!({"stocks": "$records", "stocksToRemove": []}), ..push(10) },
    );
    let batches = zeroing.rest(batch(0, 2).gone);
    assert_eq!(batches.len(), 1);
    assert!(zeroing.write(&batches[0]).await.unwrap().rejected.is_empty());
    assert_eq!(skus(&server.seen()[before]).0, ["g0", "g1"]);
}

#[tokio::test]
async fn a_removal_that_is_answered_with_anything_but_success_is_none() {
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/stocks/g0" => answer(200, r#"{"success":false,"message":"still in an order"}"#),
        "/stocks/g1" => answer(200, "<html>maintenance</html>"),
        "/stocks/g2" => answer(200, r#"{"success":tr"#),
        _ => answer(200, r#"{"success":true}"#),
    })
    .await;
    let delete = PushGone::Delete(Template::new("/stocks/{sku}").unwrap());
    let mut removing = sink(&server, &job::Push { on_gone: delete, ..push(10) });
    let mut settled = Vec::new();
    for batch in removing.rest(batch(0, 4).gone) {
        settled.push(removing.write(&batch).await.unwrap());
    }
    let [refused, page, broken, removed] = settled.as_slice() else { panic!("{settled:?}") };
    assert!(
        refused.rejected[0].reason.contains("still in an order") && refused.stop.is_none(),
        "{refused:?}"
    );
    for unread in [page, broken] {
        let stop = unread.stop.as_ref().unwrap();
        assert_eq!(
            (stop.class, unread.left.len(), unread.rejected.len()),
            (Class::Answer, 1, 0),
            "{unread:?}"
        );
    }
    assert!(removed.stop.is_none() && removed.left.is_empty() && removed.rejected.is_empty(), "{removed:?}");
}

#[tokio::test]
async fn batches_end_by_bytes_and_shrink_for_good_on_the_platforms_own_words() {
    let server = Server::start(|seen, _| match skus(seen).0.len() {
        0..=3 => answer(200, ""),
        _ => answer(400, r#"{"error":"Maximum 3 stocks per request"}"#),
    })
    .await;
    let words = job::push::Words { too_large: vec!["maximum".to_owned()], ..Default::default() };
    let mut shrinking = sink(&server, &job::Push { words, ..push(12) });
    let settled = shrinking.write(&batch(12, 0)).await.unwrap();
    assert!(settled.rejected.is_empty());
    assert_eq!(settled.limit, Some(3));

    let size = line("0", "W").content.get().len() + 1;
    let mut by_bytes = sink(&server, &job::Push { batch_bytes: 4 * size, ..push(100) });
    let mut batches = by_bytes.gather((0..10).map(|i| line(&i.to_string(), "W")).collect());
    batches.extend(by_bytes.rest(Vec::new()));
    assert_eq!(batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [4, 4, 2]);
    let huge = super::record("h", &format!("\"{}\"", "x".repeat(10 * size)), &["W"]);
    let mut batches = by_bytes.gather(vec![line("1", "W"), huge, line("2", "W")]);
    batches.extend(by_bytes.rest(Vec::new()));
    assert_eq!(batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn the_platforms_ids_are_saved() {
    let server = Server::start(|_, _| answer(201, r#"{"id":"org:1"}"#)).await;
    let push = job::Push { save: vec![("clientId".to_owned(), path("id").into())], ..push(1) };
    let settled = sink(&server, &push).write(&batch(1, 0)).await.unwrap();
    assert_eq!(settled.links, [("r0".to_owned(), json!({"clientId": "org:1"}))]);
    assert_eq!(RejectClass::default(), RejectClass::Rejected);
}
