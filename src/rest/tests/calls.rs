//! What the client promises about a call: retries, hints, redirects, sizes, counts, and what it keeps to itself.

use super::{Server, answer, client, connection, open, with};
use crate::connection::{Auth, RestConnection};
use crate::rest::Request;
use crate::transfer::Class;
use crate::words::Text;
use bytes::Bytes;
use reqwest::Method;
use secrecy::SecretString;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn get(path: &str) -> Request {
    Request::get(path.to_owned(), Vec::new())
}

fn post(idempotent: bool) -> Request {
    let body = Some(Bytes::from_static(b"{}"));
    Request { method: Method::POST, path: "/x".to_owned(), query: Vec::new(), body, idempotent }
}

fn secret(text: &str) -> Text {
    Text::Secret(SecretString::from(text))
}

#[tokio::test]
async fn an_answer_carries_the_servers_clock_type_and_body() {
    let headers =
        [("date", "Sun, 29 Mar 2026 00:31:00 GMT"), ("content-type", "Application/JSON; charset=utf-8")];
    let server = Server::start(move |_, _| with(404, &headers, r#"{"message":"no such client"}"#)).await;
    let query = vec![("date".to_owned(), "1999-01-01 01:00:00".to_owned())];
    let client = server.client();
    let answer = client.call(&Request::get("/a/b%2Fc".to_owned(), query)).await.unwrap();
    assert_eq!((answer.status, answer.content_type.as_deref()), (404, Some("application/json")));
    assert_eq!(answer.date.unwrap().to_rfc3339(), "2026-03-29T00:31:00+00:00");
    assert_eq!(answer.refusal().message, "GET /a/b%2Fc: 404: no such client");
    let seen = &server.seen()[0];
    assert_eq!(seen.uri.to_string(), "/a/b%2Fc?date=1999-01-01%2001%3A00%3A00");
    assert_eq!((seen.header("accept"), seen.header("referer")), (Some("application/json"), None));
}

#[tokio::test]
async fn what_may_pass_is_tried_three_times_and_counted() {
    let server =
        Server::start(|_, before| if before < 2 { answer(503, "") } else { answer(200, "ok") }).await;
    let client = server.client();
    assert_eq!(client.call(&get("/x")).await.unwrap().status, 200);
    assert_eq!((client.requests_sent(), server.seen().len()), (3, 3));
    assert_eq!(client.for_run().requests_sent(), 0);

    let down = Server::start(|_, _| answer(502, "<html><h1>Bad Gateway</h1></html>")).await;
    let failure = down.client().call(&get("/x")).await.unwrap_err();
    assert_eq!((failure.class, failure.message.as_str()), (Class::Transient, "GET /x: 502: Bad Gateway"));
    assert_eq!(down.seen().len(), 3);
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_twice_unless_that_is_harmless() {
    for (status, idempotent, sent, class) in [
        (500, false, 1, Class::Unknown),
        (503, false, 1, Class::Unknown),
        (500, true, 3, Class::Transient),
        (429, false, 3, Class::Transient),
    ] {
        let server = Server::start(move |_, _| answer(status, "")).await;
        let failure = server.client().call(&post(idempotent)).await.unwrap_err();
        assert_eq!((failure.class, server.seen().len()), (class, sent), "{status} {idempotent}");
    }
}

/// Takes requests and closes, or keeps quiet, without an answer.
async fn mute(quiet: bool) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let _read = stream.read(&mut [0; 4096]).await;
            if quiet {
                kept.push(stream);
            }
        }
    });
    (url, taken)
}

#[tokio::test]
async fn no_answer_is_tried_again_only_where_that_is_harmless() {
    for quiet in [false, true] {
        let (url, taken) = mute(quiet).await;
        let mut connection = connection(&url);
        connection.timeouts.total = Duration::from_millis(150);
        let client = client(&connection);
        let failure = client.call(&post(false)).await.unwrap_err();
        assert_eq!((failure.class, client.requests_sent()), (Class::Unknown, 1), "{failure}");
        let failure = client.call(&post(true)).await.unwrap_err();
        assert_eq!((failure.class, client.requests_sent()), (Class::Transient, 4), "{failure}");
        assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 4);
    }
}

#[tokio::test]
async fn what_never_reached_the_platform_is_tried_again_whatever_it_is() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let client = client(&connection(&url));
    let failure = client.call(&post(false)).await.unwrap_err();
    assert_eq!((failure.class, client.requests_sent()), (Class::Transient, 3));
    assert!(failure.message.contains(&url) && failure.message.contains("refused"), "{failure}");
}

#[tokio::test]
async fn a_platforms_wish_to_wait_holds_every_request_of_the_connection() {
    let server = Server::start(|_, before| match before {
        0 => with(429, &[("retry-after", "1")], ""),
        _ => answer(200, ""),
    })
    .await;
    let client = server.client();
    let started = Instant::now();
    client.call(&get("/x")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    let server = Server::start(|_, _| with(429, &[("x-ratelimit-reset", "7200")], "daily quota")).await;
    let client = server.client();
    let failure = client.call(&get("/x")).await.unwrap_err();
    assert_eq!(failure.class, Class::Transient);
    assert_eq!(failure.message, "GET /x: 429: daily quota; it asks to wait 7200 s");
    let failure = client.for_run().call(&get("/y")).await.unwrap_err();
    assert!(failure.class == Class::Transient && failure.message.contains("not sent"), "{failure}");
    assert_eq!(server.seen().len(), 1, "hours are not waited for, and nothing is sent in them");
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again() {
    for (status, body) in
        [(401, "no"), (403, "no"), (500, r#"{"success":false,"error":{"message":"Invalid API key"}}"#)]
    {
        let server = Server::start(move |_, _| answer(status, body)).await;
        assert_eq!(server.client().call(&get("/x")).await.unwrap_err().class, Class::Auth, "{status}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn no_credential_leaves_for_another_origin() {
    let other = Server::start(|_, _| answer(200, "stolen")).await;
    let target = format!("{}/y", other.url);
    let server = Server::start(move |_, _| with(302, &[("location", &target)], "")).await;
    let failure = server.client().call(&get("/x")).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains(&other.url), "{failure}");
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_to_an_end() {
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/a" => with(301, &[("location", "/b?x=1")], ""),
        "/x" => with(308, &[("location", "./b")], ""),
        "/loop" => with(302, &[("location", "/loop")], ""),
        _ => answer(200, "there"),
    })
    .await;
    let client = server.client();
    assert_eq!(client.call(&get("/a")).await.unwrap().status, 200);
    assert_eq!(server.seen()[1].uri.to_string(), "/b?x=1");
    client.call(&post(true)).await.unwrap();
    let last = server.seen().pop().unwrap();
    assert_eq!((last.uri.path(), last.method.as_str(), last.body.as_str()), ("/b", "POST", "{}"));
    assert_eq!(client.requests_sent(), 4, "each hop is a request");
    assert_eq!(client.call(&get("/loop")).await.unwrap_err().class, Class::Config);
    let dropping = Request { path: "/a".to_owned(), ..post(true) };
    assert_eq!(client.call(&dropping).await.unwrap_err().class, Class::Config);
}

#[tokio::test]
async fn a_large_body_is_spooled_and_read_as_often_as_needed() {
    let large = "0123456789".repeat(300_000);
    let sent = large.clone();
    let server = Server::start(move |_, _| answer(200, sent.clone())).await;
    let mut answer = server.client().call(&get("/x")).await.unwrap();
    assert_eq!((answer.body.len(), answer.body.head().len()), (3_000_000, 65_536));
    assert!(answer.body.bytes().is_none());
    for _ in 0..2 {
        let mut text = String::new();
        answer.body.reader().unwrap().read_to_string(&mut text).unwrap();
        assert!(text == large);
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_also_when_it_hides_in_gzip() {
    let mut bomb = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    bomb.stdin.take().unwrap().write_all(&vec![b' '; 2_000_000]).unwrap();
    let bomb = bomb.wait_with_output().unwrap().stdout;
    assert!(bomb.len() < 10_000);
    let server = Server::start(move |seen, _| match seen.uri.path() {
        "/gzip" => with(200, &[("content-encoding", "gzip")], bomb.clone()),
        _ => answer(200, vec![b' '; 1_000_001]),
    })
    .await;
    let client = client(&RestConnection { max_body: 1_000_000, ..connection(&server.url) });
    for path in ["/gzip", "/plain"] {
        let failure = client.call(&get(path)).await.unwrap_err();
        let message = format!(
            "GET {path}: the answer is larger than 1000000 bytes: ask for smaller pages, or raise `max-body` of the connection"
        );
        assert_eq!((failure.class, failure.message), (Class::Config, message));
    }
    assert_eq!(client.requests_sent(), 2, "it would be as large again");
}

#[tokio::test]
async fn a_body_cut_short_is_asked_for_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for body in ["[1,", "[1]"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _read = stream.read(&mut [0; 4096]).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n";
            let cut = if body.ends_with(',') { 2 } else { 3 };
            stream.write_all(format!("{head}{}", &body[..cut]).as_bytes()).await.unwrap();
        }
    });
    let answer = client(&connection(&url)).call(&get("/x")).await.unwrap();
    assert_eq!(answer.body.head(), b"[1]");
}

#[tokio::test]
async fn basic_takes_any_characters_and_headers_go_along() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let auth = Auth::Basic { user: Text::Plain("zażółć".to_owned()), password: secret("pa:ss wörd") };
    let headers = vec![
        ("one-tenant".to_owned(), Text::Plain("acme".to_owned())),
        ("ApiAuth".to_owned(), secret("a:b")),
        ("Accept".to_owned(), Text::Plain("*/*".to_owned())),
    ];
    client(&RestConnection { auth, headers, ..connection(&server.url) }).call(&post(true)).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.header("authorization"), Some("Basic emHFvMOzxYLEhzpwYTpzcyB3w7ZyZA=="));
    assert_eq!((seen.header("one-tenant"), seen.header("apiauth")), (Some("acme"), Some("a:b")));
    assert_eq!((seen.header("accept"), seen.header("content-type")), (Some("*/*"), Some("application/json")));
    assert_eq!(seen.headers.get_all("accept").iter().count(), 1);
}

#[tokio::test]
async fn a_secret_is_taken_out_however_it_is_written_and_also_where_words_were_cut() {
    let key = format!("s3cr3t/{}", "x".repeat(300));
    for (echo, told) in [
        (serde_json::json!({"error": format!("bad key {key}")}).to_string(), "bad key [secret]…"),
        (
            serde_json::json!({"error": format!("{} bad key {key}", "y".repeat(186))}).to_string(),
            "bad key [secret]…",
        ),
        (key.replace('/', r"\/"), "[secret]…"),
        (format!("/x?key={}", key.replace('/', "%2F")), "/x?key=[secret]…"),
    ] {
        let server = Server::start(move |_, _| answer(401, echo.clone())).await;
        let headers = vec![("x-api-key".to_owned(), secret(&key))];
        let client = client(&RestConnection { headers, ..connection(&server.url) });
        let failure = client.call(&Request::get("/x".to_owned(), Vec::new())).await.unwrap_err();
        assert!(failure.message.ends_with(told), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
    let short = Server::start(|_, _| answer(401, r#"{"key":"a\/b+c=\"d"} /x/a%2Fb%2Bc%3D%22d"#)).await;
    let headers = vec![("x-api-key".to_owned(), secret(r#"a/b+c="d"#))];
    let client = client(&RestConnection { headers, ..connection(&short.url) });
    let failure = client.call(&Request::get("/x".to_owned(), Vec::new())).await.unwrap_err();
    assert_eq!(failure.message, r#"GET /x: 401: {"key":"[secret]"} /x/[secret]"#);
}

#[tokio::test]
async fn neither_secrets_nor_queries_get_into_messages() {
    let echo =
        Server::start(|seen, _| answer(401, format!("bad key {}", seen.header("x-api-key").unwrap()))).await;
    let headers = vec![("x-api-key".to_owned(), secret("s3cr3t-k3y"))];
    let request = Request::get("/x".to_owned(), vec![("token".to_owned(), "qu3ry".to_owned())]);
    let told = client(&RestConnection { headers: headers.clone(), ..connection(&echo.url) });
    let failure = told.call(&request).await.unwrap_err();
    assert_eq!(failure.message, "GET /x: 401: bad key [secret]");
    assert!(!format!("{told:?}").contains("s3cr3t"));

    let (url, _) = mute(false).await;
    let failure = client(&RestConnection { headers, ..connection(&url) }).call(&request).await.unwrap_err();
    assert!(!failure.message.contains("qu3ry") && !failure.message.contains("s3cr3t"), "{failure}");
}

#[tokio::test]
async fn a_connection_that_can_not_be_used_is_refused_at_once() {
    let bad = |change: fn(&mut RestConnection)| {
        let mut connection = connection("http://127.0.0.1:1");
        change(&mut connection);
        open(&connection).unwrap_err()
    };
    for (failure, says) in [
        (bad(|c| c.url = "shop.example.com".to_owned()), "url"),
        (bad(|c| c.url = "ftp://shop.example.com".to_owned()), "url"),
        (bad(|c| c.url = "http://shop.example.com?x=1".to_owned()), "url"),
        (bad(|c| c.headers = vec![("a b".to_owned(), secret("x"))]), "header `a b`"),
        (bad(|c| c.headers = vec![("key".to_owned(), secret("line\nbreak"))]), "header `key`"),
        (bad(|c| c.ca_file = Some("/nowhere/ca.pem".into())), "/nowhere/ca.pem"),
    ] {
        assert_eq!(failure.class, Class::Config);
        assert!(failure.message.contains(says) && !failure.message.contains("break"), "{failure}");
    }
}

#[tokio::test]
async fn requests_on_the_wire_keep_to_the_quota() {
    let arrivals: Arc<std::sync::Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&arrivals);
    let server = Server::start(move |_, _| {
        noted.lock().unwrap().push(Instant::now());
        answer(200, "")
    })
    .await;
    let client = client(&RestConnection { quota: vec!["20/s".parse().unwrap()], ..connection(&server.url) });
    let request = get("/x");
    futures_util::future::join_all((0..30).map(|_| client.call(&request))).await;
    let arrivals = arrivals.lock().unwrap().clone();
    assert_eq!(arrivals.len(), 30);
    for (i, from) in arrivals.iter().enumerate() {
        let inside =
            arrivals[i..].iter().filter(|at| at.duration_since(*from) < Duration::from_secs(1)).count();
        assert!(inside <= 20, "{inside} in one second");
    }
}

#[tokio::test]
async fn backfills_leave_half_of_the_quota_to_live_jobs() {
    let server = Server::start(|_, _| answer(200, "ok")).await;
    let connection = RestConnection { quota: vec!["4/s".parse().unwrap()], ..connection(&server.url) };
    let all = client(&connection);
    let (half, other) = (all.for_run().behind_live_jobs(), all.for_run().behind_live_jobs());
    let started = Instant::now();
    for handle in [&half, &other, &half] {
        handle.call(&get("/x")).await.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_secs(1), "a third within the second");
    assert!(all.gate().wait() < Duration::from_secs(1), "the whole quota is not used up");
}
