//! The keys of a push: what they become, and each kind of mistake in them with its place.

use super::*;
use crate::job::push::{Lists, Matched, ReadBack};
use crate::job::{Push, PushGone, Send, Work};
use crate::words::FieldPath;

/// A job with these lines in its push.
fn site(push: &str) -> Site {
    Site::with_jobs(&format!(
        "[job.a]\nread = {{ from = \"erp\", sql = \"select 1\", key = [\"sku\"] }}\n[job.a.push]\nto = \"one\"\n{push}\n"
    ))
}

fn push(lines: &str) -> Push {
    match &site(lines).loaded().jobs[&job("a")].work {
        Work::Push(_, push) => (**push).clone(),
        work => panic!("{work:?}"),
    }
}

#[test]
fn what_is_not_said_is_the_safe_way() {
    for (method, idempotent) in [("put", true), ("delete", true), ("post", false), ("patch", false)] {
        let push = push(&format!("{method} = \"/a\""));
        assert_eq!(push.idempotent, idempotent, "{method}");
        assert_eq!((push.send, push.on_gone, push.stop_when), (Send::Changed, PushGone::Ignore, None));
        assert!(push.results.is_empty() && push.verify.is_none() && push.parent.is_none());
    }
    assert!(push("post = \"/a\"\nidempotent = true").idempotent);
    let told = push("put = \"/a\"\nbody = { rows = \"$records\", gone = \"$gone.sku\" }");
    assert_eq!(told.on_gone, PushGone::Body);
    let silent =
        push("put = \"/a\"\non-gone = \"ignore\"\nbody = { rows = \"$records\", gone = \"$gone.sku\" }");
    assert_eq!(silent.on_gone, PushGone::Ignore);
}

#[test]
fn every_key_of_a_push_arrives() {
    let push = push(
        r#"post = "/a"
batch = { records = 7, bytes = "2 MiB" }
send = { since = "changed_at" }
on-gone = { zero = { sku = "{sku}", quantity = 0 } }
verify = { get = "/a", params = { id = "{sku}" }, rows = "data", found-when = "sku", read-back = "all" }
save = { ours = "data.id" }
parent = { job = "a", key = ["sku"] }
waiting-when = "no client"
too-large-when = ["Maximum", "too many"]
refused-when = "Failed to sync"
unserved-when = ["no route", "no ID"]
stop-when = "20% rejected"
[[job.a.push.results]]
rows = "data.results"
match = "sku"
ok-when = { action = ["created", "updated"], fine = true }
counts = { total = "data.total", accepted = ["data.created", "data.updated"] }
[[job.a.push.results]]
rows = "errors"
lists = "failures"
match = { result = "item.sku", record = "sku" }
counts = { failed = "failed" }
read-back = "sample""#,
    );
    let path = |text| FieldPath::new(text).unwrap();
    assert_eq!((push.batch_records, push.batch_bytes), (7, 2 << 20));
    assert_eq!(push.send, Send::Since("changed_at".to_owned()));
    assert!(matches!(&push.on_gone, PushGone::Zero(map) if map.0.len() == 2));
    let verify = push.verify.unwrap();
    assert_eq!((verify.read_back, verify.found_when), (ReadBack::All, vec![path("sku")]));
    assert_eq!(push.save, [("ours".to_owned(), path("data.id").into())]);
    assert_eq!(push.parent.unwrap().key, [path("sku")]);
    assert_eq!((push.words.waiting.len(), push.words.too_large.len()), (1, 2));
    assert_eq!((push.words.refused.len(), push.words.unserved.len()), (1, 2));
    assert_eq!(push.stop_when, Some(0.2));
    let [each, failures] = push.results.as_slice() else { panic!("{:?}", push.results) };
    assert_eq!((each.lists, failures.lists), (Lists::All, Lists::Failures));
    assert_eq!((each.read_back, failures.read_back), (None, Some(ReadBack::Sample)));
    assert_eq!(each.matched, Matched::Key { result: path("sku"), record: path("sku") });
    assert_eq!(failures.matched, Matched::Key { result: path("item.sku"), record: path("sku") });
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    assert_eq!(each.ok_when[0], (path("action"), words(&["created", "updated"])));
    assert_eq!(each.ok_when[1], (path("fine"), words(&["true"])));
}

#[test]
fn each_mistake_is_told_where_it_stands() {
    for (lines, mistake) in [
        ("send = \"some\"", "16:8: job.a.push.send: `some` is none of `changed`, `all`"),
        ("send = { since = \"a b\" }", "16:18: job.a.push.send.since: must be a column's name"),
        ("send = { sinc = \"a\" }", "16:10: job.a.push.send.sinc: unknown key"),
        ("batch = { bytes = \"1 GiB\" }", "16:19: job.a.push.batch.bytes: must not be more than 256 MiB"),
        ("body = { a = \"$record\" }", "16:8: job.a.push.body: `$record` is the one record of a request"),
        ("on-gone = \"delete\"", "16:11: job.a.push.on-gone: nothing says how the platform is told"),
        ("on-gone = \"zero\"", "16:11: job.a.push.on-gone: nothing says what a gone row is sent as"),
        ("on-gone = {}", "16:11: job.a.push.on-gone: is one of `delete` and `zero`"),
        (
            "on-gone = { delete = \"/{name}\" }",
            "job.a.push.on-gone.delete: of a row that is gone only the key is known",
        ),
        ("idempotent = \"yes\"", "16:14: job.a.push.idempotent: expected true or false"),
        ("results = {}", "job.a.push.results.rows: is missing"),
        ("results = { rows = \"a\" }", "job.a.push.results.match: is missing"),
        (
            "results = { rows = \"a\", match = \"position\", lists = \"failures\" }",
            "job.a.push.results.lists: a list of failures proves nothing of the others",
        ),
        ("verify = { get = \"/a\" }", "job.a.push.verify.found-when: is missing"),
        ("parent = { job = \"b\", key = \"x\" }", "16:18: job.a.push.parent.job: there is no job `b`"),
        (
            "results = { rows = \"a\", match = \"b\", read-back = \"all\" }",
            "16:11: job.a.push.results: read back, but nothing says how; add `verify`",
        ),
        ("unless-taken = {}", "job.a.push.unless-taken.fields: is missing"),
        (
            "unless-taken = { fields = \"a\" }",
            "16:16: job.a.push.unless-taken: asks for one record before each request",
        ),
        ("stop-when = \"20%\"", "16:13: job.a.push.stop-when: expected a share of refused records"),
        ("stop-when = \"0% rejected\"", "16:13: job.a.push.stop-when: expected a share of refused records"),
    ] {
        let mistakes = site(&format!("put = \"/a\"\n{lines}")).mistakes();
        assert!(mistakes.contains(mistake) && mistakes.starts_with("cadenced.toml:"), "{lines}:\n{mistakes}");
    }
}

#[test]
fn the_document_describes_every_key_and_its_examples_are_read() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/push.md")).unwrap();
    let keys = [
        "to",
        "group-by",
        "batch",
        "body",
        "send",
        "on-gone",
        "idempotent",
        "results",
        "verify",
        "save",
        "parent",
        "waiting-when",
        "transient-when",
        "too-large-when",
        "refused-when",
        "unserved-when",
        "unless-taken",
        "stop-when",
    ];
    for key in keys {
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
    }
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let results = examples.iter().find(|example| example.contains("[job.jobs.push.results]")).unwrap();
    push(&format!("put = \"/a\"\n{}", results.replace("job.jobs", "job.a")));
    let verify = examples.iter().find(|example| example.contains("verify =")).unwrap();
    assert!(!push(&format!("put = \"/a\"\n{verify}")).idempotent);
    let taken = examples.iter().find(|example| example.contains("unless-taken =")).unwrap();
    let one = "batch = { records = 1 }\nbody = \"$record\"";
    assert!(push(&format!("put = \"/a\"\n{one}\n{taken}")).unless_taken.is_some());
    let gone = examples.iter().find(|example| example.contains("on-gone")).unwrap();
    let lines: Vec<&str> = gone.lines().collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert_ne!(push(&format!("put = \"/a\"\n{line}")).on_gone, PushGone::Ignore, "{line}");
    }
}
