//! What the sink of a push promises: batches by group, and of a refused batch the refused records and no others.

use super::{Seen, Server, answer, record, with};
use crate::job;
use crate::rest::RestSink;
use crate::transfer::{Batch, Class, Failure, Record, Settled, Sink as _};
use crate::words::{ConnectionName, Template};
use axum::body::Body;
use axum::http::Response;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn push(batch_records: usize) -> job::Push {
    job::Push {
        to: ConnectionName::new("one").unwrap(),
        method: job::push::Method::Post,
        path: Template::new("/warehouses/{warehouse}/stocks").unwrap(),
        group_by: vec!["warehouse".to_owned()],
        batch_records,
        batch_bytes: 4 << 20,
        body: json!({"stocks": "$records", "stocksToRemove": "$gone.sku"}),
        shaping: Default::default(),
        send: job::Send::Changed,
        on_gone: job::PushGone::Body,
        idempotent: true,
        results: Vec::new(),
        verify: None,
        save: Vec::new(),
        creates: false,
        parent: None,
        words: job::push::Words::default(),
        unless_taken: None,
        stop_when: None,
        upload: None,
    }
}

fn sink(server: &Server, batch_records: usize) -> RestSink {
    RestSink::new(Arc::new(server.client()), &push(batch_records), None)
}

pub(super) fn line(sku: &str, warehouse: &str) -> Record {
    record(sku, &format!("{{\"sku\":\"{sku}\"}}"), &[warehouse])
}

pub(super) fn batch(records: usize, gone: usize) -> Batch {
    Batch {
        records: (0..records).map(|i| line(&format!("r{i}"), "W/1")).collect(),
        gone: (0..gone).map(|i| line(&format!("g{i}"), "W/1")).collect(),
    }
}

/// The skus of a request: those to store, those to remove.
pub(super) fn skus(seen: &Seen) -> (Vec<String>, Vec<String>) {
    let body = seen.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let stored = body["stocks"].as_array().unwrap().iter().map(|stock| text(&stock["sku"])).collect();
    (stored, body["stocksToRemove"].as_array().unwrap().iter().map(text).collect())
}

/// Refuses requests that have one of `bad`, as `refusal`; remembers nothing.
async fn refusing(bad: Vec<String>, refusal: fn() -> Response<Body>) -> Server {
    Server::start(move |seen, _| {
        let (stored, removed) = skus(seen);
        let is_bad = stored.iter().chain(&removed).any(|sku| bad.contains(sku));
        if is_bad { refusal() } else { answer(200, "") }
    })
    .await
}

fn refusal() -> Response<Body> {
    answer(422, r#"{"message":"unknown product"}"#)
}

pub(super) fn keys(settled: &Settled) -> BTreeSet<String> {
    settled.rejected.iter().map(|rejected| rejected.key.clone()).collect()
}

fn sizes(batches: &[Batch]) -> Vec<(String, usize, usize)> {
    let group = |batch: &Batch| batch.records.iter().chain(&batch.gone).next().unwrap().group[0].clone();
    batches.iter().map(|batch| (group(batch), batch.records.len(), batch.gone.len())).collect()
}

#[tokio::test]
async fn batches_hold_one_group_each_and_no_more_than_a_request_may() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let mut sink = sink(&server, 3);
    let mixed = |rows: std::ops::Range<usize>| {
        rows.map(|i| line(&i.to_string(), ["A", "B"][i % 2])).collect::<Vec<_>>()
    };
    let mut full = sink.gather(mixed(0..4));
    assert!(full.is_empty());
    full.extend(sink.gather(mixed(4..8)));
    assert_eq!(sizes(&full), [("A".to_owned(), 3, 0), ("B".to_owned(), 3, 0)]);
    let gone = vec![line("x", "B"), line("y", "C"), line("z", "B"), line("q", "B"), line("p", "B")];
    let rest = sink.rest(gone);
    let expected = [("A", 1, 0), ("B", 1, 2), ("B", 0, 2), ("C", 0, 1)];
    assert_eq!(sizes(&rest), expected.map(|(group, records, gone)| (group.to_owned(), records, gone)));
    assert!(sink.rest(Vec::new()).is_empty());
}

#[tokio::test]
async fn of_a_key_that_comes_again_while_it_is_held_the_later_record_counts() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let mut sink = sink(&server, 3);
    let now = |sku: &str, content: &str| record(sku, content, &["A"]);
    assert!(sink.gather(vec![now("1", "{}"), now("2", "{}"), now("1", r#"{"n":2}"#)]).is_empty());
    let full = sink.gather(vec![now("3", "{}"), now("1", r#"{"n":3}"#)]);
    let contents: Vec<_> =
        full[0].records.iter().map(|record| (&*record.key, record.content.get())).collect();
    assert_eq!(contents, [("1", r#"{"n":2}"#), ("2", "{}"), ("3", "{}")]);
    let rest = sink.rest(Vec::new());
    assert_eq!((rest.len(), rest[0].records[0].content.get()), (1, r#"{"n":3}"#), "it is held no more");
}

#[tokio::test]
async fn a_key_of_two_groups_is_held_once_in_each() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let mut sink = sink(&server, 2);
    let full = sink.gather(vec![line("1", "A"), line("1", "B"), line("2", "A")]);
    assert_eq!(sizes(&full), [("A".to_owned(), 2, 0)]);
    assert!(sink.gather(vec![line("1", "B")]).is_empty(), "what went out was the other one");
    assert_eq!(sizes(&sink.rest(Vec::new())), [("B".to_owned(), 1, 0)]);
}

#[tokio::test]
async fn many_small_groups_are_let_go_before_they_fill_the_memory() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let mut sink = sink(&server, 100);
    let (all, content) = (5_000, format!("{{\"sku\":\"{}\"}}", "x".repeat(8_000)));
    let records = (0..all).map(|i| record(&i.to_string(), &content, &[&(i % 1000).to_string()])).collect();
    let full = sink.gather(records);
    let let_go: usize = full.iter().map(|batch| batch.records.len()).sum();
    assert!((all - let_go) * content.len() < 17 << 20, "{} records are held", all - let_go);
    assert!(full.iter().all(|batch| batch.records.len() <= 100));
    let rest: usize = sink.rest(Vec::new()).iter().map(|batch| batch.records.len()).sum();
    assert_eq!(let_go + rest, all);
}

#[tokio::test]
async fn a_request_has_the_encoded_path_and_the_records_as_they_are() {
    let server = Server::start(|_, _| answer(200, r#"{"success":true}"#)).await;
    let mut sink = sink(&server, 10);
    let records = vec![record("1", r#"{"sku":"1", "quantity":1.10}"#, &["W/1: x"])];
    let settled = sink.write(&Batch { records, gone: vec![line("2", "W/1: x")] }).await.unwrap();
    assert!(settled.rejected.is_empty());
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/warehouses/W%2F1%3A%20x/stocks"));
    assert_eq!(seen.body, r#"{"stocks":[{"sku":"1", "quantity":1.10}],"stocksToRemove":["2"]}"#);
    assert_eq!(sink.requests(), 1);
}

#[tokio::test]
async fn one_bad_record_is_found_in_few_requests_wherever_it_is() {
    for n in [1_usize, 2, 3, 7, 64, 100] {
        for bad in [0, n / 2, n - 1] {
            let server = refusing(vec![format!("r{bad}")], refusal).await;
            let mut sink = sink(&server, n);
            let settled = sink.write(&batch(n, 0)).await.unwrap();
            assert_eq!(keys(&settled), BTreeSet::from([format!("r{bad}")]), "{bad} of {n}");
            let rejected = &settled.rejected[0];
            assert_eq!(rejected.reason, "POST /warehouses/W%2F1/stocks: 422: unknown product");
            assert_eq!(rejected.content, format!("{{\"sku\":\"r{bad}\"}}"));
            let most = 2 * n.next_power_of_two().ilog2() as usize + 1;
            assert!(server.seen().len() <= most, "{} requests for {bad} of {n}", server.seen().len());
        }
    }
}

#[tokio::test]
async fn a_gone_record_is_in_one_accepted_request_also_beside_bad_ones() {
    let server = refusing(vec!["r1".to_owned(), "g2".to_owned()], refusal).await;
    let settled = sink(&server, 20).write(&batch(6, 5)).await.unwrap();
    assert_eq!(keys(&settled), BTreeSet::from(["r1", "g2"].map(str::to_owned)));
    let accepted = server
        .seen()
        .iter()
        .map(skus)
        .filter(|(stored, removed)| !stored.contains(&"r1".to_owned()) && !removed.contains(&"g2".to_owned()))
        .collect::<Vec<_>>();
    let mut lines: Vec<String> =
        accepted.into_iter().flat_map(|(stored, removed)| [stored, removed].concat()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["g0", "g1", "g3", "g4", "r0", "r2", "r3", "r4", "r5"]);
}

#[tokio::test]
async fn a_request_too_large_makes_all_later_ones_smaller() {
    let server = Server::start(|seen, _| match skus(seen).0.len() {
        0..=3 => answer(200, ""),
        _ => answer(413, ""),
    })
    .await;
    let mut sink = sink(&server, 10);
    assert!(sink.write(&batch(10, 0)).await.unwrap().rejected.is_empty());
    // Put together before the limit was known.
    assert!(sink.write(&batch(10, 0)).await.unwrap().rejected.is_empty());
    let sizes_seen: Vec<usize> = server.seen().iter().map(|seen| skus(seen).0.len()).collect();
    assert_eq!(sizes_seen, [10, 5, 3, 2, 3, 2, 3, 3, 3, 1]);
    let later = sink.gather((0..7).map(|i| line(&i.to_string(), "A")).collect());
    assert_eq!(sizes(&later), [("A".to_owned(), 3, 0), ("A".to_owned(), 3, 0)]);
}

#[tokio::test]
async fn a_group_the_platform_does_not_know_is_rejected_in_a_handful_of_requests() {
    let server = Server::start(|_, _| answer(404, "no such warehouse")).await;
    let settled = sink(&server, 10_000).write(&batch(1000, 10)).await.unwrap();
    assert_eq!(keys(&settled).len(), 1010);
    assert_eq!(settled.rejected.len(), 1010);
    assert!(settled.rejected.iter().all(|rejected| rejected.reason.contains("404: no such warehouse")));
    assert!(server.seen().len() < 40, "{} requests", server.seen().len());
}

#[tokio::test]
async fn a_run_of_bad_records_does_not_take_the_good_ones_with_it() {
    let bad: Vec<String> = (0..40).map(|i| format!("r{i}")).collect();
    let server = refusing(bad.clone(), refusal).await;
    let settled = sink(&server, 100).write(&batch(100, 0)).await.unwrap();
    assert_eq!(keys(&settled), bad.into_iter().collect());
}

#[tokio::test]
async fn an_error_in_a_2xx_body_is_a_refusal_and_results_are_read_one_by_one() {
    let server = refusing(vec!["r1".to_owned()], || answer(200, r#"{"success":false,"error":"no"}"#)).await;
    let settled = sink(&server, 10).write(&batch(4, 0)).await.unwrap();
    assert_eq!(keys(&settled), BTreeSet::from(["r1".to_owned()]));
    assert_eq!(settled.rejected[0].reason, "POST /warehouses/W%2F1/stocks: 200: no");

    let results =
        r#"{"success":true,"data":{"results":[{"sku":"r0"},{"sku":"r1","action":"error","error":"no"}]}}"#;
    let server = Server::start(move |_, _| answer(200, results)).await;
    let settled = sink(&server, 10).write(&batch(2, 0)).await.unwrap();
    assert_eq!((keys(&settled), server.seen().len()), (BTreeSet::from(["r1".to_owned()]), 1));
}

#[tokio::test]
async fn accepted_is_what_says_nothing_else() {
    for (status, kind, body) in [
        (204, "", ""),
        (200, "application/json", " "),
        (200, "text/plain", "OK"),
        (201, "application/json", "\u{FEFF}{\"id\":1}"),
        (200, "application/json", "\"4711\""),
    ] {
        let server = Server::start(move |_, _| with(status, &[("content-type", kind)], body)).await;
        assert!(sink(&server, 9).write(&batch(2, 0)).await.unwrap().rejected.is_empty(), "{body}");
    }
}

async fn failure(answering: impl Fn() -> Response<Body> + Send + Sync + 'static) -> (Failure, usize) {
    let server = Server::start(move |_, _| answering()).await;
    let settled = sink(&server, 9).write(&batch(4, 0)).await.unwrap();
    assert!(settled.rejected.is_empty() && settled.left.len() == 4, "{settled:?}");
    (settled.stop.unwrap(), server.seen().len())
}

#[tokio::test]
async fn what_says_nothing_of_the_records_stops_the_run() {
    for (status, body, class, requests) in [
        (401, "", Class::Auth, 1),
        (403, "", Class::Auth, 1),
        (503, "", Class::Transient, 3),
        (429, "", Class::Transient, 3),
        (405, "", Class::Config, 1),
        (200, "<html><title>Log in</title></html>", Class::Answer, 1),
        (200, "{\"success\":tr", Class::Answer, 1),
    ] {
        let (failure, sent) = failure(move || answer(status, body)).await;
        assert_eq!((failure.class, sent), (class, requests), "{status} {body}: {failure}");
    }
}

#[tokio::test]
async fn a_group_without_a_usable_path_is_rejected_unsent() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let mut sink = sink(&server, 9);
    for warehouse in ["", ".."] {
        let batch = Batch { records: vec![line("a", warehouse)], gone: vec![line("b", warehouse)] };
        let settled = sink.write(&batch).await.unwrap();
        assert_eq!(keys(&settled).len(), 2);
        assert!(settled.rejected[0].reason.contains("`{warehouse}`"), "{}", settled.rejected[0].reason);
    }
    let nameless = Batch { records: Vec::new(), gone: vec![record("g", "{}", &["W"])] };
    let settled = sink.write(&nameless).await.unwrap();
    assert_eq!(settled.rejected[0].reason, "the gone record has no `sku` to tell the platform");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn removing_what_is_not_there_any_more_is_done() {
    let server = Server::start(|_, _| answer(404, "not found")).await;
    let push = job::Push { method: job::push::Method::Delete, body: json!("$gone.sku"), ..push(1) };
    let mut sink = RestSink::new(Arc::new(server.client()), &push, None);
    assert!(sink.write(&batch(0, 1)).await.unwrap().rejected.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is refused, the others are stored, and each once.
    #[test]
    fn every_line_is_either_rejected_or_accepted_once(
        records in 0_usize..40,
        gone in 0_usize..10,
        bad in prop::collection::btree_set(0_usize..50, 0..7),
    ) {
        let all = batch(records, gone);
        let names: Vec<String> = all.records.iter().chain(&all.gone).map(|line| line.key.clone()).collect();
        let bad: BTreeSet<String> = bad.iter().filter_map(|place| names.get(*place).cloned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = refusing(bad.iter().cloned().collect(), refusal).await;
            let settled = sink(&server, 100).write(&all).await.unwrap();
            assert_eq!(keys(&settled), bad);
            let mut stored: Vec<String> = server
                .seen()
                .iter()
                .map(|seen| { let (stored, removed) = skus(seen); [stored, removed].concat() })
                .filter(|lines| !lines.iter().any(|line| bad.contains(line)))
                .flatten()
                .chain(bad.clone())
                .collect();
            stored.sort_unstable();
            let mut expected = names.clone();
            expected.sort_unstable();
            assert_eq!(stored, expected);
        });
    }
}
