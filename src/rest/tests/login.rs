//! What the client promises about logins: one at a time, one renewal, no hammering, no secrets shown.

use super::{Seen, Server, answer, client, connection, with};
use crate::connection::{Auth, Login, RestConnection};
use crate::rest::{Client, Request};
use crate::transfer::Class;
use crate::words::{FieldPath, Text};
use axum::body::Body;
use axum::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn get(path: &str) -> Request {
    Request::get(path.to_owned(), Vec::new())
}

fn logging_in(server: &Server) -> Client {
    let login = Login {
        path: "/login".to_owned(),
        body: vec![
            ("_username".to_owned(), Text::Plain("erp".to_owned())),
            ("_password".to_owned(), Text::Secret(SecretString::from("hunter22"))),
        ],
        token: FieldPath::new("data.token").unwrap(),
        renew_on: vec![401, 403],
        header: "Authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        margin: Duration::from_secs(120),
    };
    client(&RestConnection { auth: Auth::Login(Box::new(login)), ..connection(&server.url) })
}

fn token(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn gives(token: &str) -> Response<Body> {
    answer(200, json!({"data": {"token": token}}).to_string())
}

fn logins(server: &Server) -> usize {
    server.seen().iter().filter(|seen| seen.uri.path() == "/login").count()
}

/// A server whose tokens are `t1`, `t2`, …; `accepts` says which of them a request may use.
async fn numbered(accepts: impl Fn(usize, &Seen) -> bool + Send + Sync + 'static) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |seen, _| {
        if seen.uri.path() == "/login" {
            return gives(&format!("t{}", given.fetch_add(1, Ordering::SeqCst) + 1));
        }
        let number = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer t"));
        let accepted =
            number.and_then(|number| number.parse().ok()).is_some_and(|number| accepts(number, seen));
        if accepted { answer(200, "[]") } else { answer(403, "expired") }
    })
    .await
}

#[tokio::test]
async fn many_workers_share_one_login() {
    let server = numbered(|_, _| true).await;
    let client = logging_in(&server);
    let request = get("/x");
    for called in futures_util::future::join_all((0..8).map(|_| client.call(&request))).await {
        assert_eq!(called.unwrap().status, 200);
    }
    assert_eq!((logins(&server), client.requests_sent()), (1, 9));
    let seen = server.seen();
    let login = seen.iter().find(|seen| seen.uri.path() == "/login").unwrap();
    assert_eq!(login.json(), json!({"_username": "erp", "_password": "hunter22"}));
    assert_eq!((login.method.clone(), login.header("authorization")), (Method::POST, None));
}

#[tokio::test]
async fn an_expired_token_costs_one_login_for_all_and_one_repeat_each() {
    let server = numbered(|number, _| number >= 2).await;
    let client = logging_in(&server);
    let request = get("/x");
    for called in futures_util::future::join_all((0..4).map(|_| client.call(&request))).await {
        assert_eq!(called.unwrap().status, 200);
    }
    assert_eq!(logins(&server), 2);
    assert!(server.seen().len() <= 2 + 4 + 4);
}

#[tokio::test]
async fn a_request_refused_with_a_fresh_token_is_a_matter_of_rights_and_starts_no_login_loop() {
    let server = numbered(|_, seen| seen.uri.path() != "/forbidden").await;
    let client = logging_in(&server);
    let failure = client.call(&get("/forbidden")).await.unwrap_err();
    assert_eq!(failure.class, Class::Auth);
    assert!(
        failure.message.starts_with("GET /forbidden: 403: expired; a fresh login changed nothing"),
        "{failure}"
    );
    assert_eq!((logins(&server), server.seen().len()), (2, 4));
    for _ in 0..5 {
        assert_eq!(client.call(&get("/forbidden")).await.unwrap_err().class, Class::Auth);
    }
    assert_eq!(logins(&server), 2, "no login for each refusal");
    assert_eq!(
        client.call(&get("/x")).await.unwrap().status,
        200,
        "what is allowed goes on with the same token"
    );
}

#[tokio::test]
async fn a_refused_login_is_not_hammered_and_shows_no_secret() {
    let server = Server::start(|seen, _| match seen.uri.path() {
        "/login" => answer(401, format!("wrong: {}", seen.body)),
        _ => answer(200, ""),
    })
    .await;
    let client = logging_in(&server);
    for _ in 0..5 {
        let failure = client.call(&get("/x")).await.unwrap_err();
        assert_eq!(failure.class, Class::Auth);
        assert!(failure.message.contains("the login was refused: POST /login: 401: wrong"), "{failure}");
        assert!(!failure.message.contains("hunter22"), "{failure}");
    }
    assert_eq!((logins(&server), server.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_login_that_fails_for_the_moment_is_tried_again() {
    let server = Server::start(|seen, before| match (seen.uri.path(), before) {
        ("/login", 0) => answer(503, ""),
        ("/login", _) => gives("t"),
        _ => answer(200, ""),
    })
    .await;
    assert_eq!(logging_in(&server).call(&get("/x")).await.unwrap().status, 200);
    assert_eq!(logins(&server), 2);
}

#[tokio::test]
async fn a_login_answer_without_a_token_says_where_it_was_looked_for() {
    let server = Server::start(|_, _| answer(200, r#"{"token":"elsewhere"}"#)).await;
    let failure = logging_in(&server).call(&get("/x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (Class::Auth, "the login's answer has no token in `data.token`")
    );
}

#[tokio::test]
async fn a_token_whose_roles_lack_the_method_is_a_fault_of_configuration() {
    let token = token(&json!({"iat": 0, "exp": 7200, "roles": {"GET": true, "POST": false}}));
    let server = Server::start(move |seen, _| match seen.uri.path() {
        "/login" => gives(&token),
        _ => answer(200, ""),
    })
    .await;
    let client = logging_in(&server);
    let body = Some(Bytes::from_static(b"{}"));
    let post =
        Request { method: Method::POST, path: "/x".to_owned(), query: Vec::new(), body, idempotent: false };
    let failure = client.call(&post).await.unwrap_err();
    let message = "POST /x: the login's roles don't include POST".to_owned();
    assert_eq!((failure.class, failure.message), (Class::Config, message));
    assert_eq!(server.seen().len(), 1, "only the login was sent");
    assert_eq!(client.call(&get("/x")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_login_given_up_half_way_does_not_lock_the_others_out() {
    let server = Server::start(|seen, before| match (seen.uri.path(), before) {
        ("/login", 0) => with(
            200,
            &[],
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()),
        ),
        ("/login", _) => gives("t"),
        _ => answer(200, ""),
    })
    .await;
    let client = Arc::new(logging_in(&server));
    let request = get("/x");
    assert!(tokio::time::timeout(Duration::from_millis(200), client.call(&request)).await.is_err());
    assert_eq!(client.call(&request).await.unwrap().status, 200);
}
