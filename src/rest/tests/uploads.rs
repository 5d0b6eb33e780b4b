//! Uploads against a real server: where bytes may go and with what, and what each answer means.

use super::*;
use crate::connection::RestConnection;
use crate::job::push::{Method as Verb, ReadBack};
use crate::job::upload::{Call, FileRule, FileType, Multipart, Transfer};
use crate::job::{Push, PushGone, Upload, Verify};
use crate::rest::{RestSink, UploadSteps, Uploading};
use crate::transfer::files::{Content, Files, RecordFile, hex};
use crate::transfer::{Batch, Class, RejectClass, Settled, Sink};
use crate::words::{FieldPath, Template, Text};
use futures_util::future::BoxFuture;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const PDF: &str = "%PDF-1.7 a file";

fn call(method: Verb, path: &str, body: serde_json::Value) -> Call {
    Call { method, path: Template::new(path).unwrap(), body }
}

fn upload() -> Upload {
    Upload {
        file: FileRule {
            bytes: Some("content".to_owned()),
            path: None,
            root: None,
            name: None,
            kind: FileType::Pdf,
            max_size: 1_000,
        },
        id: FieldPath::new("uploadId").unwrap(),
        transfer: vec![Transfer::Url],
        url: vec![FieldPath::new("url").unwrap()],
        url_origins: Vec::new(),
        inline: "content".to_owned(),
        multipart: Some(Multipart {
            path: Template::new("/parts/{upload}").unwrap(),
            part: "file".to_owned(),
        }),
        complete: call(Verb::Post, "/complete", json!({"id": "{upload}"})),
        done_on: vec![404, 409],
        abort: Some(call(Verb::Delete, "/uploads/{upload}", serde_json::Value::Null)),
    }
}

fn push(upload: Upload) -> Push {
    Push {
        to: ConnectionName::new("shop").unwrap(),
        path: Template::new("/begin").unwrap(),
        group_by: Vec::new(),
        batch_bytes: 1,
        body: json!({"number": "{number}", "name": "to {number}"}),
        on_gone: PushGone::Ignore,
        upload: Some(Box::new(upload)),
        ..super::pushes::push(1)
    }
}

/// What is remembered, as it would be written.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, serde_json::Value>>);

impl UploadSteps for Memory {
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Uploading, Failure>> {
        Box::pin(async { Ok(Uploading::of_link(self.0.lock().unwrap().get(key))) })
    }

    fn keep<'a>(&'a self, key: &'a str, uploading: &'a Uploading) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            self.0.lock().unwrap().insert(key.to_owned(), uploading.to_link());
            Ok(())
        })
    }
}

struct Sending {
    sink: RestSink,
    files: Files,
    memory: Arc<Memory>,
}

impl Sending {
    fn over(connection: &RestConnection, push: &Push) -> Self {
        let (files, memory) = (Files::default(), Arc::new(Memory::default()));
        let sink = RestSink::new(Arc::new(client(connection)), push, None);
        let sink = sink.with_uploads(files.clone(), Arc::clone(&memory) as Arc<dyn UploadSteps>);
        Self { sink, files, memory }
    }

    fn to(server: &Server, upload: Upload) -> Self {
        Self::over(&connection(&server.url), &push(upload))
    }

    async fn sends(&mut self, key: &str, content: Content) -> Settled {
        let sha256 = hex(&Sha256::digest(PDF));
        let file = RecordFile { content, name: "a.pdf".to_owned(), size: PDF.len() as u64, sha256 };
        self.files.put(key, file);
        let batch =
            Batch { records: vec![record(key, &format!(r#"{{"number":"{key}"}}"#), &[])], gone: Vec::new() };
        let settled = self.sink.write(&batch).await.unwrap();
        self.memory.0.lock().unwrap().extend(settled.links.iter().cloned());
        settled
    }

    async fn send(&mut self, key: &str) -> Settled {
        self.sends(key, Content::Held(PDF.into())).await
    }
}

fn reason(settled: &Settled) -> &str {
    &settled.rejected[0].reason
}

fn calls(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| format!("{} {}", seen.method, seen.uri.path())).collect()
}

/// Answers a beginning with the address `url` and all else with 204, but for paths in `otherwise`.
async fn platform(url: impl Into<String>, otherwise: &'static [(&'static str, u16)]) -> Server {
    let url = url.into();
    Server::start(move |seen, before| {
        let path = seen.uri.path();
        let other = otherwise.iter().find(|(of, _)| path.starts_with(of));
        match (path, other) {
            (_, Some((_, status))) => answer(*status, "{}"),
            ("/begin", _) => answer(200, json!({"uploadId": format!("u{before}"), "url": url}).to_string()),
            _ => answer(204, ""),
        }
    })
    .await
}

fn with_key(url: &str) -> RestConnection {
    let headers = vec![("x-api-key".to_owned(), Text::Secret("hunter22".into()))];
    RestConnection { headers, ..connection(url) }
}

#[tokio::test]
async fn an_address_of_our_own_origin_gets_the_bytes_and_the_credentials() {
    let server = platform("/raw/1?sig=s3cret", &[]).await;
    let mut sending = Sending::over(&with_key(&server.url), &push(upload()));
    let settled = sending.send("1").await;
    assert!(settled.rejected.is_empty(), "{settled:?}");
    let seen = server.seen();
    assert_eq!(calls(&server), ["POST /begin", "PUT /raw/1", "POST /complete"]);
    assert_eq!(seen[0].json(), json!({"number": "1", "name": "to 1"}));
    assert_eq!((seen[1].uri.query(), &*seen[1].body), (Some("sig=s3cret"), PDF));
    assert_eq!(
        (seen[1].header("content-type"), seen[1].header("x-api-key")),
        (Some("application/pdf"), Some("hunter22"))
    );
    assert_eq!(seen[2].json(), json!({"id": "u0"}));
}

#[tokio::test]
async fn an_address_of_another_origin_gets_nothing_unless_it_is_named_and_never_the_credentials() {
    let store = platform("", &[]).await;
    let address = format!("{}/bucket/1?sig=s3cret", store.url);
    let server = platform(&address, &[]).await;
    let settled = Sending::over(&with_key(&server.url), &push(upload())).send("1").await;
    assert!(
        reason(&settled).ends_with(&format!("is of {}, which `url-origins` does not name", store.url)),
        "{settled:?}"
    );
    assert!(store.seen().is_empty());
    assert_eq!(calls(&server), ["POST /begin", "DELETE /uploads/u0"], "and it is given up");

    let named = Upload { url_origins: vec![store.url.clone()], ..upload() };
    let settled = Sending::over(&with_key(&server.url), &push(named.clone())).send("1").await;
    assert!(settled.rejected.is_empty(), "{settled:?}");
    let seen = store.seen();
    assert_eq!((calls(&store), &*seen[0].body), (vec!["PUT /bucket/1".to_owned()], PDF));
    assert!(seen[0].header("x-api-key").is_none(), "{seen:?}");

    for (otherwise, status) in [(&[("/bucket", 403)], 403), (&[("/bucket", 401)], 401)] {
        let store = platform("", otherwise).await;
        let server = platform(format!("{}/bucket/1?sig=s3cret", store.url), &[]).await;
        let named = Upload { url_origins: vec![store.url.clone()], ..upload() };
        let settled = Sending::over(&with_key(&server.url), &push(named)).send("1").await;
        assert!(settled.stop.is_none(), "a store that refuses says nothing of the platform: {settled:?}");
        assert!(
            reason(&settled).starts_with(&format!("PUT (the upload's address): {status}")),
            "{settled:?}"
        );
        assert!(!format!("{settled:?}").contains("s3cret"), "the address may be a key: {settled:?}");
    }
}

#[tokio::test]
async fn what_leads_elsewhere_is_not_followed() {
    for address in ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[", "//files.example.com/x"] {
        let server = platform(address, &[]).await;
        let settled = Sending::to(&server, upload()).send("1").await;
        assert!(
            reason(&settled).starts_with("the address that the platform gave for the bytes is"),
            "{settled:?}"
        );
        assert_eq!(calls(&server), ["POST /begin", "DELETE /uploads/u0"], "{address}");
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_is_given_up_and_is_no_success() {
    for (otherwise, expected) in [
        (&[("/begin", 422)], vec!["POST /begin"]),
        (&[("/raw", 413)], vec!["POST /begin", "PUT /raw", "DELETE /uploads/u0"]),
        // Asked for the first time, 404 means that there is nothing to complete.
        (&[("/complete", 404)], vec!["POST /begin", "PUT /raw", "POST /complete", "DELETE /uploads/u0"]),
        (&[("/complete", 409)], vec!["POST /begin", "PUT /raw", "POST /complete", "DELETE /uploads/u0"]),
    ] {
        let server = platform("/raw", otherwise).await;
        let mut sending = Sending::to(&server, upload());
        let settled = sending.send("1").await;
        assert_eq!(
            (settled.rejected.len(), settled.rejected[0].class),
            (1, RejectClass::Rejected),
            "{settled:?}"
        );
        assert_eq!(calls(&server), expected);
        assert_eq!(sending.memory.0.lock().unwrap()["1"], json!({"upload": {}}), "nothing is left of it");
    }
}

#[tokio::test]
async fn an_answer_that_says_no_whatever_its_status_is_no_success() {
    for (path, body) in [
        ("/begin", r#"{"success":false,"message":"no"}"#),
        ("/begin", r#"{"ok":1}"#),
        ("/complete", r#"{"success":false,"message":"no"}"#),
        ("/complete", "<html>maintenance</html>"),
    ] {
        let server = Server::start(move |seen, _| match seen.uri.path() {
            at if at == path => answer(200, body),
            "/begin" => answer(200, r#"{"uploadId":7,"url":"/raw"}"#),
            _ => answer(204, ""),
        })
        .await;
        let settled = Sending::to(&server, upload()).send("1").await;
        assert_eq!(settled.rejected.len(), 1, "{path} {body}: {settled:?}");
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_stops_the_run_and_rejects_nothing() {
    let server = platform("/raw", &[("/begin", 404)]).await;
    let mut sending = Sending::to(&server, upload());
    for key in 1..8 {
        assert!(sending.send(&key.to_string()).await.stop.is_none());
    }
    let settled = sending.send("8").await;
    assert_eq!(settled.stop.as_ref().map(|stop| stop.class), Some(Class::Config), "{settled:?}");
    assert_eq!((settled.left.len(), settled.rejected.len()), (8, 0));
}

#[tokio::test]
async fn an_upload_that_the_platform_forgot_is_begun_anew() {
    let server = Server::start(|seen, before| match seen.uri.path() {
        "/begin" => answer(200, json!({"uploadId": format!("u{before}"), "url": "/raw"}).to_string()),
        "/complete" if seen.body.contains("old") => answer(410, ""),
        _ => answer(204, ""),
    })
    .await;
    for (reached, expected) in [
        ("sent", vec!["POST /complete", "DELETE /uploads/old", "POST /begin", "PUT /raw", "POST /complete"]),
        ("begun", vec!["DELETE /uploads/old", "POST /begin", "PUT /raw", "POST /complete"]),
    ] {
        let before = calls(&server).len();
        let mut sending = Sending::to(&server, upload());
        let begun =
            json!({"id": "old", "sha256": hex(&Sha256::digest(PDF)), "inline": false, "reached": reached});
        sending.memory.0.lock().unwrap().insert("1".to_owned(), json!({"upload": {"begun": begun}}));
        assert!(sending.send("1").await.rejected.is_empty());
        assert_eq!(calls(&server)[before..], expected, "{reached}");
        let requests = calls(&server).len();
        assert!(sending.send("1").await.rejected.is_empty());
        assert_eq!(calls(&server).len(), requests, "the same bytes are there");
    }
}

#[tokio::test]
async fn a_completion_that_was_asked_for_before_is_looked_at_where_that_is_possible() {
    let verify = Verify {
        get: Template::new("/files/{number}").unwrap(),
        params: Vec::new(),
        rows: FieldPath::default(),
        found_when: vec![FieldPath::new("number").unwrap()],
        read_back: ReadBack::Off,
        first: false,
    };
    for (is_there, begins) in [(true, 0), (false, 1)] {
        let server = Server::start(move |seen, _| match (seen.uri.path(), is_there) {
            ("/begin", _) => answer(200, r#"{"uploadId":"new","url":"/raw"}"#),
            ("/complete", _) if seen.body.contains("old") => answer(404, ""),
            ("/files/1", true) => answer(200, r#"{"number":"1"}"#),
            ("/files/1", false) => answer(404, ""),
            _ => answer(204, ""),
        })
        .await;
        let push = Push { verify: Some(verify.clone()), ..push(upload()) };
        let mut sending = Sending::over(&connection(&server.url), &push);
        let begun = json!({"id": "old", "sha256": hex(&Sha256::digest(PDF)), "inline": false, "reached": "completing"});
        sending.memory.0.lock().unwrap().insert("1".to_owned(), json!({"upload": {"begun": begun}}));
        assert!(sending.send("1").await.rejected.is_empty());
        let begun = calls(&server).iter().filter(|call| *call == "POST /begin").count();
        assert_eq!(begun, begins, "{:?}", calls(&server));
    }
}

#[tokio::test]
async fn a_file_that_changes_on_its_way_is_never_completed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.pdf");
    for other in ["%PDF-1.7 another", "%PDF-1.7", "%PDF-1.7 A FILE"] {
        std::fs::write(&path, PDF).unwrap();
        // It changes once the upload is begun.
        let (file, content) = (path.clone(), other.to_owned());
        let server = Server::start(move |seen, _| match seen.uri.path() {
            "/begin" => {
                std::fs::write(&file, &content).unwrap();
                answer(200, r#"{"uploadId":"u","url":"/raw"}"#)
            }
            _ => answer(204, ""),
        })
        .await;
        for transfer in [Transfer::Url, Transfer::Multipart, Transfer::Inline] {
            std::fs::write(&path, PDF).unwrap();
            let upload = Upload { transfer: vec![transfer], ..upload() };
            let settled = Sending::to(&server, upload).sends("1", Content::At(path.clone())).await;
            assert_eq!(
                settled.rejected[0].class,
                RejectClass::Transient,
                "{transfer:?}, {other}: {settled:?}"
            );
            assert!(!calls(&server).contains(&"POST /complete".to_owned()), "{transfer:?}, {other}");
        }
    }
}
