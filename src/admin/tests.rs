//! The control API over real sockets, in front of a daemon that answers from a script.

use super::control::*;
use super::{
    Access, CONTROL_SOCKET, ClientError, Control, ControlClient, Overview, bind_control, router, serve,
};
use crate::connectors::{Preview, Wanted};
use crate::rest::{Ping, PingStep};
use crate::run::{Counts, Outcome, RunRecord};
use crate::transfer::RejectClass;
use crate::watermark::{Cursor, Mark};
use crate::words::{ConnectionName, JobName};
use chrono::NaiveDate;
use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Writes down what it was asked for.
pub(crate) struct Scripted {
    readiness: Readiness,
    condition: Condition,
    heard: Mutex<Vec<String>>,
}

impl Scripted {
    pub(crate) fn new(readiness: Readiness, condition: Condition) -> Arc<Self> {
        Arc::new(Self { readiness, condition, heard: Mutex::default() })
    }

    fn hears<T: Send + 'static>(&self, what: String, answer: T) -> BoxFuture<'_, Answer<T>> {
        self.heard.lock().unwrap().push(what);
        Box::pin(async { Ok(answer) })
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    fn job_health(&self) -> JobHealth {
        JobHealth {
            status: self.condition,
            last_run: Some("2026-03-29T01:00:00Z".parse().unwrap()),
            last_success: None,
            next_slot: None,
            watermark: None,
            consecutive_failures: 2,
            rejects: 7,
            why: Some("the platform is down".to_owned()),
        }
    }
}

fn name(job: &str) -> JobName {
    JobName::new(job).unwrap()
}

fn row(job: JobName, watermark: String) -> WatermarkRow {
    WatermarkRow { watermark: Some(watermark), ..WatermarkRow::none(job) }
}

fn reject(job: JobName, key: String) -> RejectRow {
    let at = "2026-03-29T01:00:00Z".parse().unwrap();
    let (reason, class) = ("unknown product".to_owned(), RejectClass::Rejected);
    RejectRow { job, key, reason, class, tries: 1, first: None, at, run: None, content: None, exchange: None }
}

impl Control for Scripted {
    fn readiness(&self) -> Readiness {
        self.readiness
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let jobs = BTreeMap::from([(name("one-stocks"), self.job_health())]);
        Box::pin(async { Health::new(61, jobs, ReloadHealth { ok: true, why: None }) })
    }

    fn dry_run(&self, job: JobName, rows: Option<usize>) -> BoxFuture<'_, Answer<Preview>> {
        let (requests, rejected, stops, tried) = (Vec::new(), Vec::new(), None, Vec::new());
        let what = rows.map_or_else(|| format!("dry-run {job}"), |rows| format!("try {job} {rows}"));
        self.hears(what, Preview { job, counts: None, requests, more_requests: 0, rejected, stops, tried })
    }

    fn overview(&self) -> BoxFuture<'_, Overview> {
        Box::pin(async {
            let health = self.health().await;
            let (at, timezone) = ("2026-03-29T01:00:00Z".parse().unwrap(), "Europe/Warsaw".to_owned());
            Overview { at, timezone, readiness: self.readiness, health, jobs: Vec::new() }
        })
    }

    fn status(&self) -> BoxFuture<'_, Answer<Vec<JobStatus>>> {
        let status = JobStatus {
            job: name("one-stocks"),
            summary: "Stock levels".to_owned(),
            timezone: "Europe/Warsaw".to_owned(),
            health: self.job_health(),
            last_outcome: None,
            running: None,
            paused: None,
        };
        self.hears("status".to_owned(), vec![status])
    }

    fn history(&self, job: Option<JobName>, limit: usize) -> BoxFuture<'_, Answer<Vec<RunRecord>>> {
        self.hears(format!("history {job:?} {limit}"), Vec::new())
    }

    fn slots(&self, job: JobName, date: Option<NaiveDate>) -> BoxFuture<'_, Answer<Vec<SlotRow>>> {
        self.hears(format!("slots {job} {date:?}"), Vec::new())
    }

    fn trigger(&self, job: JobName, again: Again, wait: Wait) -> BoxFuture<'_, Answer<Triggered>> {
        if job.as_str() != "one-stocks" {
            let unknown =
                Refusal::UnknownJob { job: job.to_string(), suggestion: Some("one-stocks".to_owned()) };
            return Box::pin(async { Err(unknown) });
        }
        let slot = "2026-03-29T01:00:00Z".parse().unwrap();
        self.hears(format!("trigger {job} {again:?} {wait:?}"), Triggered { slot, run: None })
    }

    fn pause(&self, job: JobName, reason: Option<String>) -> BoxFuture<'_, Answer<()>> {
        self.hears(format!("pause {job} {reason:?}"), ())
    }

    fn resume(&self, job: JobName) -> BoxFuture<'_, Answer<()>> {
        self.hears(format!("resume {job}"), ())
    }

    fn reload(&self, wait: Wait) -> BoxFuture<'_, Answer<Reloaded>> {
        match wait {
            Wait::No => self.hears("reload".to_owned(), Reloaded { jobs: None, warnings: Vec::new() }),
            Wait::Yes => Box::pin(async {
                Err(Refusal::Config { problems: vec!["a.toml:1:2: job.x.cron: bad".to_owned()] })
            }),
        }
    }

    fn watermarks(&self) -> BoxFuture<'_, Answer<Vec<WatermarkRow>>> {
        self.hears("watermarks".to_owned(), Vec::new())
    }

    fn watermark(&self, job: JobName) -> BoxFuture<'_, Answer<WatermarkRow>> {
        self.hears(format!("watermark {job}"), row(job, "2026-03-29T01:00:00Z".to_owned()))
    }

    fn backfill(
        &self,
        job: JobName,
        since: Cursor,
        until: Cursor,
    ) -> BoxFuture<'_, Answer<mpsc::Receiver<Step>>> {
        let (tell, steps) = mpsc::channel(4);
        let page = PageRead { page: 1, pages: Some(2), rows: 100, items: None };
        tell.try_send(Step::Page(page)).unwrap();
        let counts = Counts { read: 150, ..Counts::default() };
        let message = Some("said".to_owned());
        tell.try_send(Step::Ended { outcome: Outcome::Partial, counts, message }).unwrap();
        self.hears(format!("backfill {job} {} {}", Mark::At(since), Mark::At(until)), steps)
    }

    fn set_watermark(&self, job: JobName, to: Option<Mark>) -> BoxFuture<'_, Answer<Moved>> {
        let before = Some("17".to_owned());
        match to {
            Some(to) => {
                self.hears(format!("set {job} {to}"), Moved { now: row(job, to.to_string()), before })
            }
            None => self.hears(format!("reset {job}"), Moved { now: WatermarkRow::none(job), before }),
        }
    }

    fn rejects(
        &self,
        job: Option<JobName>,
        wanted: Wanted,
        limit: usize,
    ) -> BoxFuture<'_, Answer<Vec<RejectRow>>> {
        self.hears(format!("rejects {job:?} {:?} {limit}", wanted.class), Vec::new())
    }

    fn reject(&self, job: JobName, key: String) -> BoxFuture<'_, Answer<RejectRow>> {
        self.hears(format!("reject {job}"), reject(job, key))
    }

    fn drop_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>> {
        self.hears(format!("drop {job} {:?}", wanted.key), 3)
    }

    fn retry_rejects(&self, job: JobName, wanted: Wanted) -> BoxFuture<'_, Answer<u64>> {
        self.hears(format!("retry {job} {:?} {:?}", wanted.class, wanted.reason), 2)
    }

    fn connections(&self) -> BoxFuture<'_, BTreeMap<ConnectionName, ConnectionHealth>> {
        let connection = ConnectionHealth {
            status: Condition::Degraded,
            quotas: vec![QuotaHealth { quota: "100/day".to_owned(), left: 0, next: None }],
            waits_until: None,
            parked_until: Some("2026-03-29T01:00:00Z".parse().unwrap()),
            breaker: "closed".to_owned(),
            open_since: None,
            next_probe: None,
            why: Some("quota until 2026-03-29T01:00:00Z".to_owned()),
        };
        Box::pin(async { BTreeMap::from([(ConnectionName::new("shop").unwrap(), connection)]) })
    }

    fn ping(&self, connection: ConnectionName) -> BoxFuture<'_, Answer<Ping>> {
        self.hears(format!("ping {connection}"), Ping::of(vec![PingStep::new("address", true, "answers")]))
    }

    fn export(&self, mut to: Box<dyn Write + Send>) -> BoxFuture<'_, Answer<()>> {
        if self.readiness == Readiness::Draining {
            return Box::pin(async { Err(Refusal::Internal { message: "the store is damaged".to_owned() }) });
        }
        for line in 0..10_000 {
            writeln!(to, "{{\"line\":{line}}}").unwrap();
        }
        self.hears("export".to_owned(), ())
    }
}

/// Serves until dropped; gives the address.
async fn on_tcp(control: Arc<Scripted>, access: Access) -> (String, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, router(control, access), async { drop(stopped.await) }));
    (address, stop)
}

/// Serves the control socket until the sender is dropped.
pub(crate) async fn on_socket(control: Arc<Scripted>, state: &Path) -> oneshot::Sender<()> {
    let listener = bind_control(state).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, router(control, Access::Local), async { drop(stopped.await) }));
    stop
}

async fn get(url: String) -> (StatusCode, String) {
    let response = reqwest::get(url).await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn health_has_every_key_and_is_503_only_when_failing() {
    for (condition, code) in [(Condition::Ok, 200), (Condition::Degraded, 200), (Condition::Failing, 503)] {
        let control = Scripted::new(Readiness::Ready, condition);
        let (address, _stop) = on_tcp(control, Access::Closed).await;
        let (status, body) = get(format!("{address}/health")).await;
        assert_eq!(status, code);
        let health: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(health["status"], condition.as_str());
        assert_eq!(health["uptime_seconds"], 61);
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(health["reload"]["ok"], true);
        let keys: Vec<&String> = health["jobs"]["one-stocks"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "status",
                "last_run",
                "last_success",
                "next_slot",
                "watermark",
                "consecutive_failures",
                "rejects",
                "why"
            ]
        );
    }
}

#[tokio::test]
async fn a_process_is_alive_before_it_is_ready_and_while_it_drains() {
    for (readiness, code) in [(Readiness::Starting, 503), (Readiness::Ready, 200), (Readiness::Draining, 503)]
    {
        let (address, _stop) = on_tcp(Scripted::new(readiness, Condition::Ok), Access::Closed).await;
        assert_eq!(get(format!("{address}/livez")).await.0, 200);
        assert_eq!(get(format!("{address}/readyz")).await.0, code);
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_need_no_token() {
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let (address, _stop) = on_tcp(control, Access::Closed).await;
    let (status, body) = get(format!("{address}/metrics")).await;
    assert_eq!(status, 200);
    assert!(body.contains("# TYPE cadenced_build_info gauge"), "{body}");
}

#[tokio::test]
async fn control_over_tcp_needs_the_token_and_is_closed_without_one() {
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let http = reqwest::Client::new();
    let token = Access::Token(SecretString::from("s3cret"));
    let (address, _stop) = on_tcp(Arc::clone(&control), token).await;
    let (closed, _stop) = on_tcp(Arc::clone(&control), Access::Closed).await;
    let ask = |method: Method, address: &str, authorization: &str| {
        http.request(method, format!("{address}/api/status")).header("Authorization", authorization).send()
    };
    for wrong in ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"] {
        assert_eq!(ask(Method::GET, &address, wrong).await.unwrap().status(), 401, "{wrong}");
    }
    assert_eq!(ask(Method::GET, &closed, "Bearer ").await.unwrap().status(), 401);
    assert_eq!(http.post(format!("{address}/api/reload")).send().await.unwrap().status(), 401);
    assert_eq!(http.get(format!("{address}/api/nothing")).send().await.unwrap().status(), 401);
    assert!(control.heard().is_empty(), "nothing reaches the daemon without the token");
    assert_eq!(ask(Method::GET, &address, "bearer s3cret").await.unwrap().status(), 200);
    assert_eq!(control.heard(), ["status"]);
}

#[tokio::test]
async fn every_command_arrives_over_the_control_socket_as_it_was_meant() {
    let state = tempfile::tempdir().unwrap();
    let control = Scripted::new(Readiness::Ready, Condition::Degraded);
    let _stop = on_socket(Arc::clone(&control), state.path()).await;
    let daemon = ControlClient::connect(state.path()).await.unwrap();

    let status = daemon.status().await.unwrap();
    assert_eq!(status[0].health, control.job_health());
    daemon.history(None, 5).await.unwrap();
    daemon.history(Some("one-stocks"), 99_999).await.unwrap();
    daemon.slots("one-stocks", NaiveDate::from_ymd_opt(2026, 3, 29)).await.unwrap();
    daemon.trigger("one-stocks", Again::Yes, Wait::No).await.unwrap();
    daemon.trigger("one-stocks", Again::No, Wait::Yes).await.unwrap();
    daemon.pause("one-stocks", Some("\"stocktaking\" & more")).await.unwrap();
    daemon.pause("one-stocks", None).await.unwrap();
    daemon.resume("one-stocks").await.unwrap();
    daemon.reload(Wait::No).await.unwrap();
    let mut pages = Vec::new();
    let (since, until) = ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00Z");
    let ended = daemon.backfill("one-stocks", since, until, |page| pages.push(page)).await.unwrap();
    assert_eq!((ended.0, ended.1.read, ended.2.as_deref()), (Outcome::Partial, 150, Some("said")));
    assert_eq!(pages, [PageRead { page: 1, pages: Some(2), rows: 100, items: None }]);
    let backwards = daemon.backfill("one-stocks", until, since, |_| {}).await.unwrap_err();
    assert!(backwards.to_string().contains("until must lie after since"), "{backwards}");
    daemon.watermarks().await.unwrap();
    daemon.watermark("one-stocks").await.unwrap();
    let set = daemon.set_watermark("one-stocks", "2026-03-29T03:00:00.5+02:00").await.unwrap();
    assert_eq!(set.now.watermark.as_deref(), Some("2026-03-29T01:00:00.500Z"));
    let reset = daemon.reset_watermark("one-stocks").await.unwrap();
    assert_eq!((reset.now.watermark, reset.before.as_deref()), (None, Some("17")));
    let unknown = Wanted { class: Some(RejectClass::Unknown), ..Wanted::default() };
    daemon.rejects(Some("one-stocks"), &unknown, 10).await.unwrap();
    let key = "WAW1\u{1f}A/17?&=%";
    assert_eq!(daemon.reject("one-stocks", key).await.unwrap().key, key);
    let this = Wanted { key: Some(key.to_owned()), ..Wanted::default() };
    assert_eq!(daemon.drop_rejects("one-stocks", &this).await.unwrap(), 3);
    daemon.drop_rejects("one-stocks", &Wanted::default()).await.unwrap();
    let worded = Wanted { reason: Some("a & b".to_owned()), ..unknown };
    assert_eq!(daemon.retry_rejects("one-stocks", &worded).await.unwrap(), 2);

    assert_eq!(
        control.heard(),
        [
            "status",
            "history None 5",
            "history Some(JobName(\"one-stocks\")) 10000",
            "slots one-stocks Some(2026-03-29)",
            "trigger one-stocks Yes No",
            "trigger one-stocks No Yes",
            "pause one-stocks Some(\"\\\"stocktaking\\\" & more\")",
            "pause one-stocks None",
            "resume one-stocks",
            "reload",
            "backfill one-stocks 2026-02-28T23:00:00Z 2026-04-01T00:00:00Z",
            "watermarks",
            "watermark one-stocks",
            "set one-stocks 2026-03-29T01:00:00.500Z",
            "reset one-stocks",
            "rejects Some(JobName(\"one-stocks\")) Some(Unknown) 10",
            "reject one-stocks",
            "drop one-stocks Some(\"WAW1\\u{1f}A/17?&=%\")",
            "drop one-stocks None",
            "retry one-stocks Some(Unknown) Some(\"a & b\")",
        ]
    );
}

#[tokio::test]
async fn refusals_arrive_as_they_were_given() {
    let state = tempfile::tempdir().unwrap();
    let _stop = on_socket(Scripted::new(Readiness::Ready, Condition::Ok), state.path()).await;
    let daemon = ControlClient::connect(state.path()).await.unwrap();
    let unknown = daemon.trigger("one-stock", Again::No, Wait::No).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no job `one-stock`; did you mean `one-stocks`?");
    let unknown = daemon.trigger("../reload", Again::No, Wait::No).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no job `../reload`");
    let config = daemon.reload(Wait::Yes).await.unwrap_err();
    assert!(matches!(config, ClientError::Refused(Refusal::Config { problems }) if problems.len() == 1));
    let bad = daemon.set_watermark("one-stocks", "yesterday").await.unwrap_err();
    assert!(matches!(bad, ClientError::Refused(Refusal::BadRequest { .. })), "{bad}");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_in_json() {
    let state = tempfile::tempdir().unwrap();
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let _stop = on_socket(Arc::clone(&control), state.path()).await;
    let socket = state.path().join(CONTROL_SOCKET);
    let http = reqwest::Client::builder().unix_socket(socket.as_path()).build().unwrap();
    let long = "x".repeat(100_000);
    for (method, path, body, code) in [
        (Method::GET, "/api/history?limit=some", "", 400),
        (Method::GET, "/api/history?jbo=one-stocks", "", 400),
        (Method::GET, "/api/slots?job=one-stocks&date=2026-02-30", "", 400),
        (Method::DELETE, "/api/rejects/one-stocks", "", 400),
        (Method::DELETE, "/api/rejects/one-stocks?all&key=a", "", 400),
        (Method::POST, "/api/jobs/one-stocks/trigger?again=perhaps", "", 400),
        (Method::POST, "/api/jobs/one-stocks/pause", "{\"reason\":7}", 400),
        (Method::PUT, "/api/watermarks/one-stocks", "{}", 400),
        (Method::GET, "/api/nothing", "", 404),
        (Method::POST, "/api/jobs/One_Stocks/pause", "", 404),
    ] {
        let response = http.request(method, format!("http://x{path}")).body(body).send().await.unwrap();
        assert_eq!(response.status(), code, "{path}");
        let refusal: Refusal = response.json().await.unwrap();
        assert!(!refusal.to_string().is_empty(), "{path}");
    }
    let pause = http.post("http://x/api/jobs/one-stocks/pause").body(long).send().await.unwrap();
    assert_eq!(pause.status(), 413);
    assert!(control.heard().is_empty());
    // A flag without a value means yes; a body may be left out.
    for path in ["jobs/one-stocks/trigger?again&wait", "jobs/one-stocks/pause"] {
        assert!(http.post(format!("http://x/api/{path}")).send().await.unwrap().status().is_success());
    }
    assert_eq!(control.heard(), ["trigger one-stocks Yes Yes", "pause one-stocks None"]);
}

#[tokio::test]
async fn an_export_is_whole_or_an_error() {
    use futures_util::StreamExt as _;
    let state = tempfile::tempdir().unwrap();
    let stop = on_socket(Scripted::new(Readiness::Ready, Condition::Ok), state.path()).await;
    let daemon = ControlClient::connect(state.path()).await.unwrap();
    let chunks: Vec<_> = daemon.export().await.unwrap().collect().await;
    let text: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 10_000);
    drop(stop);

    let _stop = on_socket(Scripted::new(Readiness::Draining, Condition::Ok), state.path()).await;
    let daemon = ControlClient::connect(state.path()).await.unwrap();
    let error = daemon.export().await.err().unwrap();
    assert!(matches!(error, ClientError::Refused(Refusal::Internal { .. })), "{error}");
}

#[tokio::test]
async fn the_socket_is_its_owners_and_replaces_a_stale_one() {
    let state = tempfile::tempdir().unwrap();
    let socket = state.path().join(CONTROL_SOCKET);
    let nobody = ControlClient::connect(state.path()).await.unwrap_err();
    assert!(matches!(nobody, ClientError::NoDaemon { .. }), "{nobody}");
    drop(bind_control(state.path()).unwrap());
    assert!(socket.exists(), "a daemon that was killed leaves its socket");
    let half_made = state.path().join(".cAb3d");
    std::fs::create_dir(&half_made).unwrap();
    std::fs::write(half_made.join("s"), "killed while it was being made").unwrap();
    let nobody = ControlClient::connect(state.path()).await.unwrap_err();
    assert!(matches!(nobody, ClientError::NoDaemon { .. }), "{nobody}");

    let _stop = on_socket(Scripted::new(Readiness::Ready, Condition::Ok), state.path()).await;
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    ControlClient::connect(state.path()).await.unwrap().status().await.unwrap();
    let names: Vec<_> =
        std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [CONTROL_SOCKET], "nothing else is left behind");
}

#[tokio::test]
async fn serving_ends_when_told_to_though_a_client_holds_on() {
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server =
        tokio::spawn(serve(listener, router(control, Access::Closed), async { drop(stopped.await) }));
    // Half a request: the connection is neither idle nor ever done.
    let mut held = std::net::TcpStream::connect(address).unwrap();
    held.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").unwrap();
    assert_eq!(get(format!("http://{address}/livez")).await.0, 200);
    drop(stop);
    let ended: io::Result<()> = server.await.unwrap();
    ended.unwrap();
}

#[tokio::test]
async fn the_status_page_needs_no_token_and_is_no_failure_of_its_own() {
    let control = Scripted::new(Readiness::Draining, Condition::Failing);
    let (address, _stop) = on_tcp(Arc::clone(&control), Access::Token(SecretString::from("s3cret"))).await;
    let response = reqwest::get(format!("{address}/")).await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let page = response.text().await.unwrap();
    assert!(
        page.contains("running jobs are let end") && page.contains("1 of 1 job fails (one-stocks)"),
        "{page}"
    );
    assert!(page.contains("http-equiv=refresh"), "it refreshes itself");
    let (_, still) = get(format!("{address}/?still")).await;
    assert!(!still.contains("http-equiv=refresh"), "it stands still when told to");
    let posted = reqwest::Client::new().post(format!("{address}/")).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}
