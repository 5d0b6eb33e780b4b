//! What the client promises about a platform in trouble: it is left alone, asked now and then, and gone on with; its
//! wishes park its jobs; what it says is shown.

use super::{Server, answer, client, connection, open, with};
use crate::clock::{Clock, SystemClock};
use crate::connection::{Limits, RestConnection};
use crate::quota::Gate;
use crate::rest::guard::Guard;
use crate::rest::{Client, Request};
use crate::retry::{BreakerRules, Fault};
use crate::transfer::Class;
use crate::words::{ConnectionName, Text};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn get(path: &str) -> Request {
    Request::get(path.to_owned(), Vec::new())
}

/// A client whose breaker is quick.
fn quick(url: &str) -> Client {
    let breaker = BreakerRules { after: 5, probe: millis(40), longest: millis(160) };
    let limits = Limits { breaker, ..connection(url).limits };
    client(&RestConnection { limits, ..connection(url) })
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn a_platform_in_trouble_is_left_alone_but_for_probes_and_gone_on_with_when_it_answers_one() {
    // Five requests open the breaker, five probes fail, the sixth is answered.
    let server =
        Server::start(|_, before| if before < 10 { answer(503, "maintenance") } else { answer(200, "") })
            .await;
    let client = quick(&server.url);
    let started = Instant::now();
    let request = get("/x");
    let mut refused = 0;
    while let Err(failure) = client.call(&request).await {
        assert_eq!(failure.class, Class::Transient);
        refused += usize::from(failure.message.contains("not sent: shop is left alone since"));
        tokio::time::sleep(millis(2)).await;
    }
    assert!(refused > 20, "{refused} calls sent nothing");
    assert_eq!(server.seen().len(), 12, "five tries, six probes, and the request that went through");
    assert!(started.elapsed() >= millis(40 + 80 + 4 * 160), "{:?}", started.elapsed());
    assert!(client.closed().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_down_for_an_hour_gets_fewer_than_60_requests_and_its_jobs_go_on_within_two_minutes()
 {
    let name = ConnectionName::new("shop").unwrap();
    let guard = Arc::new(Guard::new(name, Gate::new(&[], 4), Limits::default(), Arc::new(SystemClock)));
    let (sent, up) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let start = Instant::now();
    // Twelve jobs that want to send something every 30 s, three tries each; and whoever probes.
    let send = {
        let (guard, sent, up) = (Arc::clone(&guard), Arc::clone(&sent), Arc::clone(&up));
        move || {
            if guard.check("GET /x").is_err() {
                return false;
            }
            sent.fetch_add(1, Ordering::Relaxed);
            let is_up = up.load(Ordering::Relaxed);
            if is_up {
                guard.succeeded();
            } else {
                guard.failed(Fault::Failing, "503");
            }
            is_up
        }
    };
    let jobs = (0..12).map(|job| {
        let send = send.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(job)).await;
            while !send() && !send() && !send() {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            start.elapsed()
        }
    });
    let probes = tokio::spawn({
        let (guard, sent, up) = (Arc::clone(&guard), Arc::clone(&sent), Arc::clone(&up));
        async move {
            loop {
                let Some(at) = guard.probe_at() else {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                tokio::time::sleep_until(at).await;
                sent.fetch_add(1, Ordering::Relaxed);
                let is_up = up.load(Ordering::Relaxed);
                guard.probed(if is_up { Ok(()) } else { Err((Fault::Failing, "503".to_owned())) });
            }
        }
    });
    let jobs = tokio::spawn(futures_util::future::join_all(jobs));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let in_the_hour = sent.load(Ordering::Relaxed);
    assert!((30..60).contains(&in_the_hour), "{in_the_hour} requests");
    up.store(true, Ordering::Relaxed);
    let resumed = jobs.await.unwrap();
    // The breaker closes within two minutes; a job here looks every 30 s, the scheduler every second.
    let last = resumed.into_iter().max().unwrap();
    assert!(last <= Duration::from_secs(3600 + 120 + 30), "{last:?}");
    probes.abort();
}

#[tokio::test]
async fn refused_credentials_close_the_connection_at_once_with_the_reason() {
    let server = Server::start(|_, _| answer(401, "no such key")).await;
    let client = server.client();
    assert_eq!(client.call(&get("/x")).await.unwrap_err().class, Class::Auth);
    let failure = client.call(&get("/y")).await.unwrap_err();
    assert!(failure.class == Class::Auth && failure.message.contains("no such key"), "{failure}");
    assert_eq!(server.seen().len(), 1);
    let view = client.view();
    let wait = (view.probe_at.unwrap() - SystemClock.now()).num_seconds();
    assert!((50..=60).contains(&wait), "{wait} s until the next probe");
    let closed = view.closed.unwrap();
    assert!(
        closed.reason.starts_with("shop is left alone since ")
            && closed.reason.ends_with(": GET /x: 401: no such key")
    );
}

#[tokio::test]
async fn a_redirect_to_another_origin_closes_the_connection_too() {
    let server = Server::start(|_, _| with(302, &[("location", "http://127.0.0.1:1/")], "")).await;
    let client = server.client();
    client.call(&get("/x")).await.unwrap_err();
    assert!(client.closed().unwrap().reason.contains("is `url` right?"));
}

#[tokio::test]
async fn one_request_that_is_forbidden_leaves_the_connection_open_if_another_was_accepted() {
    let server =
        Server::start(|seen, _| answer(if seen.uri.path() == "/mine" { 200 } else { 403 }, "")).await;
    let client = server.client();
    client.call(&get("/mine")).await.unwrap();
    for _ in 0..9 {
        assert_eq!(client.call(&get("/theirs")).await.unwrap_err().class, Class::Auth);
    }
    assert!(client.closed().is_none());
    let stranger = server.client();
    stranger.call(&get("/theirs")).await.unwrap_err();
    assert!(stranger.closed().is_some(), "nothing was ever accepted: it is the credentials");
}

#[tokio::test]
async fn a_long_wait_parks_the_connection_and_says_until_when() {
    let server = Server::start(|_, _| with(429, &[("retry-after", "7200")], "")).await;
    let client = server.client();
    client.call(&get("/x")).await.unwrap_err();
    let closed = client.closed().unwrap();
    let until = closed.until.unwrap();
    assert!((until - SystemClock.now() - chrono::TimeDelta::hours(2)).abs() < chrono::TimeDelta::seconds(5));
    assert_eq!(closed.reason, format!("quota until {}", until.format("%Y-%m-%dT%H:%M:%SZ")));
    let failure = client.call(&get("/x")).await.unwrap_err();
    assert!(failure.message.starts_with("GET /x: not sent: quota until "), "{failure}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_last_tenth_of_a_platforms_own_limit_is_stretched_over_its_window() {
    let server = Server::start(|_, before| {
        let left = 11_usize.saturating_sub(before).to_string();
        with(
            200,
            &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", &left), ("x-ratelimit-reset", "11")],
            "",
        )
    })
    .await;
    let client = server.client();
    let started = Instant::now();
    for _ in 0..2 {
        client.call(&get("/x")).await.unwrap();
    }
    assert!(started.elapsed() < millis(900), "{:?}", started.elapsed());
    client.call(&get("/x")).await.unwrap();
    assert!(started.elapsed() >= millis(990), "11 s over 11 requests: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_proxy_is_used_if_it_is_configured() {
    let proxy = Server::start(|_, _| answer(200, "through the proxy")).await;
    let proxied = RestConnection {
        proxy: Some(Text::Plain(proxy.url.clone())),
        ..connection("http://shop.invalid/api")
    };
    let answer = client(&proxied).call(&get("/x")).await.unwrap();
    assert_eq!(answer.body.head(), b"through the proxy");
    assert_eq!(proxy.seen()[0].uri.to_string(), "http://shop.invalid/api/x");
    let bad = RestConnection { proxy: Some(Text::Plain("http://erp:hunter22@".to_owned())), ..proxied };
    let failure = open(&bad).unwrap_err();
    assert!(failure.class == Class::Config && !failure.message.contains("hunter22"), "{failure}");
}

#[tokio::test]
async fn a_ping_gives_a_verdict_and_says_what_is_wrong() {
    let says = async |connection: RestConnection| client(&connection).ping().await;
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/me" => answer(200, "{}"),
        "/old" => with(200, &[("date", "Sun, 29 Mar 2020 00:31:00 GMT")], ""),
        "/locked" => answer(401, "who are you?"),
        _ => answer(404, ""),
    })
    .await;
    let checking = |path: &str| RestConnection { check: Some(path.to_owned()), ..connection(&server.url) };
    let ping = says(checking("/me")).await;
    let steps: Vec<_> = ping.steps.iter().map(|step| (step.what.as_str(), step.ok)).collect();
    assert_eq!(steps, [("address", true), ("tls", true), ("auth", true), ("clock", true)]);
    assert_eq!((ping.ok, ping.verdict.as_str()), (true, "works"));
    for (path, verdict) in [
        ("/locked", "does not work: auth: GET /locked: 401: who are you?"),
        ("/nowhere", "does not work: auth: GET /nowhere was answered 404: is the path right?"),
    ] {
        assert_eq!(says(checking(path)).await.verdict, verdict);
    }
    let ping = says(checking("/old")).await;
    assert!(
        !ping.ok && ping.verdict.contains("clock") && ping.verdict.ends_with("s behind ours"),
        "{}",
        ping.verdict
    );
    assert!(says(connection(&server.url)).await.steps[2].found.contains("give the connection a `check`"));

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ping = says(connection(&format!("http://{closed}"))).await;
    assert!(!ping.ok && ping.verdict.starts_with("does not work: address: "), "{}", ping.verdict);
    let plain = says(connection(&server.url.replace("http:", "https:"))).await;
    assert!(!plain.ok, "{}", plain.verdict);
}

#[tokio::test]
async fn a_ping_that_is_answered_opens_the_connection_again() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let server =
        Server::start(move |_, _| answer(if is_up.load(Ordering::Relaxed) { 200 } else { 503 }, "")).await;
    let client = server.client();
    for _ in 0..2 {
        client.call(&get("/x")).await.unwrap_err();
    }
    assert!(client.closed().is_some());
    up.store(true, Ordering::Relaxed);
    assert!(client.ping().await.ok);
    assert_eq!(client.call(&get("/x")).await.unwrap().status, 200);
}
