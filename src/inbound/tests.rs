//! Promises of the listener: who is heard, what is refused and how, and that work begun is finished.

use super::*;
use crate::job::receive::{BodyFormat, CallMethod};
use axum::http::{HeaderMap, StatusCode};
use reqwest::{Client, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

const BOTH: [BodyFormat; 2] = [BodyFormat::Json, BodyFormat::Xml];

/// Answers what it heard, after `go` if the call asks to wait.
#[derive(Clone, Default)]
struct Desk {
    heard: Arc<Mutex<Vec<Received>>>,
    go: Arc<Notify>,
    done: Arc<Notify>,
}

impl Receive for Desk {
    fn endpoint(&self, path: &str, _: &str) -> Option<Endpoint> {
        let methods = vec![CallMethod::Get, CallMethod::Post];
        (path == "createorder").then(|| Endpoint { methods, formats: BOTH.to_vec() })
    }

    async fn receive(&self, received: Received) -> Reply {
        let wait = received.content.get("wait").is_some();
        assert!(received.content.get("panic").is_none(), "as it was told");
        self.heard.lock().unwrap().push(received);
        if wait {
            self.go.notified().await;
        }
        self.done.notify_one();
        Reply { status: StatusCode::OK, body: json!({"orderId": "SO-1"}), retry_after: None }
    }
}

struct Site {
    address: std::net::SocketAddr,
    desk: Desk,
    _stop: oneshot::Sender<()>,
}

fn callers() -> Callers {
    let password = Who::Password { username: "shop".to_owned(), password: SecretString::from("s:e") };
    Callers::new(&[Way::Headers, Way::Basic, Way::Bearer])
        .with("commerceup", &password)
        .with("other", &Who::Token(SecretString::from("t0ken")))
}

async fn site(limits: Limits) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let desk = Desk::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let terms = SharedTerms::new(Terms { callers: callers(), limits, tls: None });
    let serving = serve(listener, Arc::new(desk.clone()), terms, async {
        let _ = stopped.await;
    });
    tokio::spawn(serving);
    Site { address, desk, _stop: stop }
}

impl Site {
    fn post(&self, path: &str) -> RequestBuilder {
        let request = Client::new().post(format!("http://{}{path}", self.address));
        request.header("username", "shop").header("password", "s:e")
    }

    async fn order(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.post("/createOrder").header("content-type", content_type).body(body);
        answer(request).await
    }

    fn heard(&self) -> usize {
        self.desk.heard.lock().unwrap().len()
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn refusal(message: &str) -> Value {
    json!({"success": false, "message": message})
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// The headers presented, and who that is.
type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);

#[test]
fn callers_are_known_by_what_they_present_in_the_ways_that_are_open() {
    let cases: [Case; 12] = [
        (&[], None),
        (&[("username", "shop"), ("password", "s:e")], Some("commerceup")),
        (&[("username", "shop"), ("password", "s:E")], None),
        (&[("username", "shop"), ("password", "s:")], None),
        (&[("username", "shop")], None),
        // The same letters, divided elsewhere.
        (&[("username", "shops"), ("password", ":e")], None),
        (&[("authorization", "Basic c2hvcDpzOmU=")], Some("commerceup")),
        (&[("authorization", "basic c2hvcDpzOmU=")], Some("commerceup")),
        (&[("authorization", "Basic !!")], None),
        (&[("authorization", "Bearer t0ken")], Some("other")),
        (&[("authorization", "Bearer s:e")], None),
        (&[("username", "shop"), ("password", "t0ken")], None),
    ];
    for (presented, expected) in cases {
        assert_eq!(callers().identify(&headers(presented)), expected, "{presented:?}");
    }
    let closed = Callers::new(&[Way::Bearer]).with(
        "commerceup",
        &Who::Password { username: "shop".to_owned(), password: SecretString::from("s:e") },
    );
    for (presented, _) in &cases {
        assert_eq!(closed.identify(&headers(presented)), None);
    }
    assert!(!format!("{:?}", callers()).contains("t0ken"));
}

#[test]
fn a_body_is_read_by_its_media_type_or_its_first_character() {
    let order = json!({"order": {"id": "7"}});
    let json = br#" {"order": {"id": "7"}}"#;
    let xml = b"<?xml version=\"1.0\"?><createOrder><order><id>7</id></order></createOrder>";
    for (content_type, body) in [
        (Some("application/json; charset=utf-8"), &json[..]),
        (Some("application/vnd.shop+json"), json),
        (None, json),
        (Some("text/plain"), json),
        (Some("application/xml"), xml),
        (Some("text/xml"), xml),
        (None, xml),
    ] {
        assert_eq!(parse(content_type, body, &BOTH).unwrap(), order, "{content_type:?}");
    }
    let items = b"<c><items><item><sku>0012</sku></item></items><note/></c>";
    assert_eq!(parse(None, items, &BOTH).unwrap(), json!({"items": [{"sku": "0012"}], "note": null}));
    // Money keeps its digits.
    assert_eq!(parse(None, br#"{"total":39.80}"#, &BOTH).unwrap().to_string(), r#"{"total":39.80}"#);
}

#[test]
fn a_malformed_body_is_told_where_it_breaks() {
    let said =
        |content_type: &str, body: &[u8]| parse(Some(content_type), body, &BOTH).unwrap_err().to_string();
    assert_eq!(said("application/json", b" \n"), "the body is empty");
    assert_eq!(
        said("application/json", br#"{"order":"#),
        "the body is not JSON: EOF while parsing a value at line 1 column 9"
    );
    assert_eq!(said("application/json", b"[1]"), "the body must be an object");
    assert_eq!(said("application/xml", b"<a>text</a>"), "the body must be an object");
    let deep = "[".repeat(100_000);
    assert!(said("application/json", deep.as_bytes()).contains("recursion limit"), "too deep");
    let deep = "<a>".repeat(100_000);
    assert!(said("application/xml", deep.as_bytes()).contains("within each other"), "too deep");
    for broken in ["<a><b></a>", "<a>", "<a/><b/>", "text", "<a>&unknown;</a>"] {
        assert!(said("application/xml", broken.as_bytes()).starts_with("the body is not XML: "), "{broken}");
    }
}

#[test]
fn entities_are_not_expanded() {
    let bomb = b"<!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><a><b>&b;</b></a>";
    let file = b"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a><b>&x;</b></a>";
    for body in [&bomb[..], file] {
        let said = parse(Some("application/xml"), body, &BOTH).unwrap_err().to_string();
        assert!(said.starts_with("the body is not XML: a DOCTYPE is not accepted"), "{said}");
    }
}

#[tokio::test]
async fn a_known_caller_is_heard_by_either_method_and_in_any_case() {
    let site = site(Limits::default()).await;
    assert_eq!(site.order("application/json", r#"{"a":1}"#).await, (200, json!({"orderId": "SO-1"})));
    let get = Client::new().get(format!("http://{}/CREATEORDER/", site.address));
    let get = get.header("authorization", "Bearer t0ken").body("<c><a>1</a></c>");
    assert_eq!(answer(get).await.0, 200);
    let heard = site.desk.heard.lock().unwrap();
    assert_eq!((heard[0].path.as_str(), heard[0].caller.as_str()), ("createorder", "commerceup"));
    assert_eq!((&heard[0].raw[..], &heard[0].content), (&br#"{"a":1}"#[..], &json!({"a": 1})));
    assert_eq!((heard[1].caller.as_str(), &heard[1].content), ("other", &json!({"a": "1"})));
}

#[tokio::test]
async fn a_stranger_learns_nothing_not_even_which_paths_there_are() {
    let site = site(Limits::default()).await;
    for path in ["/createOrder", "/nothing"] {
        let request = Client::new().post(format!("http://{}{path}", site.address));
        let request = request.header("username", "shop").header("password", "wrong").body("{");
        let refused = request.send().await.unwrap();
        assert_eq!(refused.headers()["www-authenticate"], "Basic realm=\"cadenced\"");
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.json::<Value>().await.unwrap(), refusal("unauthorized"));
    }
    let unknown = answer(site.post("/nothing").body("{}")).await;
    assert_eq!(unknown, (404, refusal("there is no such endpoint")));
    let put = Client::new().put(format!("http://{}/createOrder", site.address));
    let put = put.header("authorization", "Bearer t0ken").send().await.unwrap();
    assert_eq!((put.status().as_u16(), &put.headers()["allow"]), (405, &"GET, POST".parse().unwrap()));
    assert_eq!(site.heard(), 0);
}

#[tokio::test]
async fn a_malformed_body_is_400_and_says_where() {
    let site = site(Limits::default()).await;
    let (status, answer) = site.order("application/json", "{\"order\":\n oops}").await;
    let message = "the body is not JSON: expected value at line 2 column 2";
    assert_eq!((status, answer), (400, refusal(message)));
    assert_eq!(site.order("application/xml", "<a><b></a>").await.0, 400);
    assert_eq!(site.order("application/json", "").await, (400, refusal("the body is empty")));
    assert_eq!(site.heard(), 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_announced_or_not() {
    let site = site(Limits::default()).await;
    let expected = (413, refusal("the body has more than 1048576 bytes"));
    assert_eq!(site.order("application/json", vec![b' '; 10 << 20]).await, expected);
    // Chunked, the length is not known before it is too much.
    let pieces = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    assert_eq!(site.order("application/json", reqwest::Body::wrap_stream(pieces)).await, expected);
    let mut largest = b"{\"a\":1".to_vec();
    largest.resize((1 << 20) - 1, b' ');
    largest.push(b'}');
    assert_eq!(site.order("application/json", largest).await.0, 200);
}

#[tokio::test]
async fn a_slow_body_is_408_and_a_slow_head_is_hung_up_on() {
    let quick = std::time::Duration::from_millis(50);
    let site = site(Limits { body_time: quick, head_time: quick, ..Limits::default() }).await;
    let send = async |text: &str| {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Ends because the listener closes the connection.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    let head = "POST /createOrder HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t0ken\r\n";
    let answer = send(&format!("{head}content-length: 100\r\n\r\n{{\"order\"")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with(&refusal("the body took too long").to_string()), "{answer}");
    assert_eq!(send(head).await, "");
    // After an answer the time begins again, and ends.
    let answer = send(&format!("{head}content-length: 2\r\n\r\n{{}}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn heads_that_are_too_large_are_431() {
    let site = site(Limits::default()).await;
    let request = site.post("/createOrder").header("x-long", "x".repeat(1 << 20)).body("{}");
    // It may be hung up on before it is sent to its end.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 431);
    }
    assert_eq!(site.heard(), 0);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_503_and_the_work_goes_on() {
    let quick = std::time::Duration::from_millis(50);
    let site = site(Limits { answer_time: quick, ..Limits::default() }).await;
    let (status, answer) = site.order("application/json", r#"{"wait":1}"#).await;
    assert_eq!((status, answer), (503, refusal("no answer in time; repeat the call")));
    site.desk.go.notify_one();
    site.desk.done.notified().await;
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_stop_the_work() {
    let site = site(Limits::default()).await;
    let call = tokio::spawn(site.post("/createOrder").body(r#"{"wait":1}"#).send());
    while site.heard() == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    let _ = call.await;
    site.desk.go.notify_one();
    site.desk.done.notified().await;
}

#[tokio::test]
async fn one_call_too_many_at_once_is_503_with_a_time_to_come_again() {
    let site = site(Limits { at_once: 1, ..Limits::default() }).await;
    let first = tokio::spawn(site.post("/createOrder").body(r#"{"wait":1}"#).send());
    while site.heard() == 0 {
        tokio::task::yield_now().await;
    }
    let second = site.post("/createOrder").body("{}").send().await.unwrap();
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    site.desk.go.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(site.order("application/json", "{}").await.0, 200);
}

#[tokio::test]
async fn a_receiver_that_breaks_is_500_for_its_own_call_only() {
    let site = site(Limits::default()).await;
    let broken = site.order("application/json", r#"{"panic":1}"#).await;
    assert_eq!(broken, (500, refusal("the call failed")));
    assert_eq!(site.order("application/json", "{}").await.0, 200);
}
