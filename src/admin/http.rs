//! The paths, their parameters and who may use them. Every answer below `/api` is JSON, refusals too.

use super::control::{Again, Condition, Control, Readiness, Refusal, Wait};
use super::page::{self, Refresh};
use crate::connectors::Wanted;
use crate::telemetry;
use crate::transfer::RejectClass;
use crate::watermark::Mark;
use crate::words::{ConnectionName, JobName};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::BytesMut;
use chrono::NaiveDate;
use futures_util::stream;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use std::io;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// The largest request body read, in bytes: the longest honest one is a pause's reason.
const BODY_LIMIT: usize = 16 * 1024;
const HISTORY_LIMIT: usize = 20;
const REJECTS_LIMIT: usize = 100;
/// What one answer may hold at most, whatever the request asks for.
const ROWS_AT_MOST: usize = 10_000;
/// How much of an export is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// Who may use what is below `/api`.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody who gets this far: the control socket, whose file only its owner can open.
    Local,
    /// Whoever sends this bearer token.
    Token(SecretString),
    /// Nobody: no token is configured.
    Closed,
}

/// All paths, for one door. Installs the metrics recorder, if nobody did yet.
pub fn router(control: Arc<dyn Control>, access: Access) -> Router {
    telemetry::metrics();
    let api = Router::new()
        .route("/status", get(status))
        .route("/history", get(history))
        .route("/slots", get(slots))
        .route("/jobs/{job}/trigger", post(trigger))
        .route("/jobs/{job}/dry-run", get(dry_run))
        .route("/jobs/{job}/backfill", post(backfill))
        .route("/jobs/{job}/pause", post(pause))
        .route("/jobs/{job}/resume", post(resume))
        .route("/reload", post(reload))
        .route("/connections", get(connections))
        .route("/connections/{connection}/ping", post(ping))
        .route("/watermarks", get(watermarks))
        .route("/watermarks/{job}", get(watermark).put(set_watermark).delete(reset_watermark))
        .route("/rejects", get(rejects))
        .route("/rejects/{job}", get(reject).delete(drop_rejects))
        .route("/rejects/{job}/retry", post(retry_rejects))
        .route("/export", get(export))
        .fallback(no_such_path)
        .layer(axum::middleware::from_fn_with_state(Arc::new(access), admit));
    Router::new()
        .route("/", get(status_page))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .nest("/api", api)
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(control)
}

async fn admit(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let message = match access.as_ref() {
        Access::Local => return next.run(request).await,
        Access::Token(token) if bears(request.headers(), token) => return next.run(request).await,
        Access::Token(_) => "send the token of `admin.token` as `Authorization: Bearer …`",
        Access::Closed => "no `admin.token` is configured, so that control works on the local socket only",
    };
    let refusal = Refusal::Unauthorized { message: message.to_owned() };
    ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
}

fn bears(headers: &HeaderMap, token: &SecretString) -> bool {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent = match sent.split_once(' ') {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case("bearer") => sent.trim(),
        _ => return false,
    };
    // Digests have the same length and all bytes of them are compared, so that the time it takes tells nothing
    // about the token, its length included.
    let (sent, token) = (Sha256::digest(sent), Sha256::digest(token.expose_secret()));
    sent.iter().zip(token.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

type Daemon = State<Arc<dyn Control>>;
/// What a handler gives: JSON, or a refusal.
type Reply<T> = Result<Json<T>, Refusal>;

async fn readyz(State(control): Daemon) -> (StatusCode, &'static str) {
    match control.readiness() {
        Readiness::Ready => (StatusCode::OK, "ok\n"),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn health(State(control): Daemon) -> Response {
    let health = control.health().await;
    let status = match health.status {
        Condition::Failing => StatusCode::SERVICE_UNAVAILABLE,
        Condition::Ok | Condition::Degraded | Condition::Off => StatusCode::OK,
    };
    (status, Json(health)).into_response()
}

/// Always 200: it is for people, and says itself what is wrong.
async fn status_page(State(control): Daemon, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let overview = control.overview().await;
    let refresh = if query.as_deref() == Some(page::STILL) { Refresh::Never } else { Refresh::Often };
    // Of a thousand jobs it is a megabyte.
    let page = tokio::task::spawn_blocking(move || page::render(&overview, refresh)).await;
    let page = page.map_err(|error| Refusal::Internal { message: format!("the status page: {error}") })?;
    Ok((page::headers(), page).into_response())
}

async fn metrics(State(control): Daemon) -> impl IntoResponse {
    // What each job's gauges say is found out when somebody asks.
    control.health().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::metrics().render())
}

async fn no_such_path() -> Refusal {
    Refusal::NotFound { message: "there is no such path".to_owned() }
}

async fn status(State(control): Daemon) -> Reply<impl Serialize> {
    Ok(Json(control.status().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfJob {
    job: Option<String>,
    limit: Option<usize>,
}

impl OfJob {
    fn job(&self) -> Result<Option<JobName>, Refusal> {
        self.job.as_deref().map(job_name).transpose()
    }

    fn limit(&self, default: usize) -> usize {
        self.limit.unwrap_or(default).min(ROWS_AT_MOST)
    }
}

async fn history(State(control): Daemon, query: Asked<OfJob>) -> Reply<impl Serialize> {
    let query = asked(query)?;
    Ok(Json(control.history(query.job()?, query.limit(HISTORY_LIMIT)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfDay {
    job: String,
    date: Option<NaiveDate>,
}

async fn slots(State(control): Daemon, query: Asked<OfDay>) -> Reply<impl Serialize> {
    let query = asked(query)?;
    Ok(Json(control.slots(job_name(&query.job)?, query.date).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowToTrigger {
    #[serde(default, deserialize_with = "flag")]
    again: bool,
    #[serde(default, deserialize_with = "flag")]
    wait: bool,
}

async fn trigger(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<HowToTrigger>,
) -> Reply<impl Serialize> {
    let HowToTrigger { again, wait } = asked(query)?;
    let again = if again { Again::Yes } else { Again::No };
    Ok(Json(control.trigger(job_name(&job)?, again, waiting(wait)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowManyRows {
    rows: Option<usize>,
}

async fn dry_run(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<HowManyRows>,
) -> Reply<impl Serialize> {
    Ok(Json(control.dry_run(job_name(&job)?, asked(query)?.rows).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    since: String,
    until: String,
}

async fn backfill(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<Stretch>,
) -> Result<Response, Refusal> {
    let Stretch { since, until } = asked(query)?;
    let instant = |name: &str, text: &str| match Mark::from_text(text) {
        Ok(Mark::At(cursor)) => Ok(cursor),
        Ok(Mark::Id(_)) => Err(Refusal::BadRequest { message: format!("{name}: `{text}` is no instant") }),
        Err(bad) => Err(Refusal::BadRequest { message: format!("{name}: {bad}") }),
    };
    let (since, until) = (instant("since", &since)?, instant("until", &until)?);
    if since >= until {
        return Err(Refusal::BadRequest { message: "until must lie after since".to_owned() });
    }
    let steps = control.backfill(job_name(&job)?, since, until).await?;
    let lines = stream::unfold(steps, async |mut steps| {
        let mut line = serde_json::to_vec(&steps.recv().await?);
        if let Ok(line) = &mut line {
            line.push(b'\n');
        }
        Some((line.map(Bytes::from).map_err(io::Error::from), steps))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    reason: Option<String>,
}

async fn pause(State(control): Daemon, Path(job): Path<String>, body: Bytes) -> Result<StatusCode, Refusal> {
    let reason = if body.is_empty() { None } else { parsed::<PauseBody>(&body)?.reason };
    control.pause(job_name(&job)?, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(State(control): Daemon, Path(job): Path<String>) -> Result<StatusCode, Refusal> {
    control.resume(job_name(&job)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn connections(State(control): Daemon) -> Json<impl Serialize> {
    Json(control.connections().await)
}

async fn ping(State(control): Daemon, Path(connection): Path<String>) -> Reply<impl Serialize> {
    let unknown = |_| Refusal::UnknownConnection { connection: connection.clone() };
    let name = ConnectionName::new(&connection).map_err(unknown)?;
    Ok(Json(control.ping(name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowToReload {
    #[serde(default, deserialize_with = "flag")]
    wait: bool,
}

async fn reload(State(control): Daemon, query: Asked<HowToReload>) -> Reply<impl Serialize> {
    Ok(Json(control.reload(waiting(asked(query)?.wait)).await?))
}

async fn watermarks(State(control): Daemon) -> Reply<impl Serialize> {
    Ok(Json(control.watermarks().await?))
}

async fn watermark(State(control): Daemon, Path(job): Path<String>) -> Reply<impl Serialize> {
    Ok(Json(control.watermark(job_name(&job)?).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WatermarkBody {
    watermark: String,
}

async fn set_watermark(
    State(control): Daemon,
    Path(job): Path<String>,
    body: Bytes,
) -> Reply<impl Serialize> {
    let to = Mark::from_text(&parsed::<WatermarkBody>(&body)?.watermark)
        .map_err(|bad| Refusal::BadRequest { message: bad.to_string() })?;
    Ok(Json(control.set_watermark(job_name(&job)?, Some(to)).await?))
}

async fn reset_watermark(State(control): Daemon, Path(job): Path<String>) -> Reply<impl Serialize> {
    Ok(Json(control.set_watermark(job_name(&job)?, None).await?))
}

async fn rejects(State(control): Daemon, query: Asked<OfRejects>) -> Reply<impl Serialize> {
    let OfRejects { job, limit, key, class, reason } = asked(query)?;
    let (query, wanted) = (OfJob { job, limit }, Wanted { key, class, reason });
    Ok(Json(control.rejects(query.job()?, wanted, query.limit(REJECTS_LIMIT)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRejects {
    job: Option<String>,
    limit: Option<usize>,
    key: Option<String>,
    class: Option<RejectClass>,
    reason: Option<String>,
}

/// Keys may hold any character, so that they travel in the query and not in the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfKey {
    key: Option<String>,
    class: Option<RejectClass>,
    reason: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    all: bool,
}

impl OfKey {
    /// Which of a job's rejects: some, or outright all.
    fn some_or_all(self) -> Result<Wanted, Refusal> {
        let Self { key, class, reason, all } = self;
        let wanted = Wanted { key, class, reason };
        if all == (wanted == Wanted::default()) {
            return Ok(wanted);
        }
        let message = "say which: `?key=…`, `?class=…`, `?reason=…` or `?all`".to_owned();
        Err(Refusal::BadRequest { message })
    }
}

async fn reject(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<OfKey>,
) -> Reply<impl Serialize> {
    let Some(key) = asked(query)?.key else {
        return Err(Refusal::BadRequest { message: "say which one: `?key=…`".to_owned() });
    };
    Ok(Json(control.reject(job_name(&job)?, key).await?))
}

#[derive(Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) dropped: u64,
}

async fn drop_rejects(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<OfKey>,
) -> Reply<impl Serialize> {
    let wanted = asked(query)?.some_or_all()?;
    Ok(Json(Dropped { dropped: control.drop_rejects(job_name(&job)?, wanted).await? }))
}

#[derive(Serialize, Deserialize)]
pub(super) struct Retried {
    pub(super) retried: u64,
}

async fn retry_rejects(
    State(control): Daemon,
    Path(job): Path<String>,
    query: Asked<OfKey>,
) -> Reply<impl Serialize> {
    let wanted = asked(query)?.some_or_all()?;
    Ok(Json(Retried { retried: control.retry_rejects(job_name(&job)?, wanted).await? }))
}

/// The state is written to a file first: while an export is written nothing else is, so that it must not wait for a
/// client; and a failure is known before the first byte is sent.
async fn export(State(control): Daemon) -> Result<Response, Refusal> {
    let failed =
        |error: io::Error| Refusal::Internal { message: format!("the export's spool file: {error}") };
    let spool = tokio::task::spawn_blocking(tempfile::tempfile).await.map_err(io::Error::other);
    let spool = spool.flatten().map_err(failed)?;
    control.export(Box::new(spool.try_clone().map_err(failed)?)).await?;
    let mut spool = File::from_std(spool);
    spool.rewind().await.map_err(failed)?;
    let length = spool.metadata().await.map_err(failed)?.len();
    let chunks = stream::try_unfold(spool, async |mut spool| {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = spool.read_buf(&mut chunk).await?;
        io::Result::Ok((read > 0).then(|| (chunk.freeze(), spool)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Refusal> {
    query.map(|Query(query)| query).map_err(|bad| Refusal::BadRequest { message: bad.body_text() })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|bad| Refusal::BadRequest { message: format!("the body: {bad}") })
}

/// What is not even a name can't be a job's.
fn job_name(job: &str) -> Result<JobName, Refusal> {
    JobName::new(job).map_err(|_| Refusal::UnknownJob { job: job.to_owned(), suggestion: None })
}

fn waiting(wait: bool) -> Wait {
    if wait { Wait::Yes } else { Wait::No }
}

/// `?wait`, `?wait=true` and `?wait=1` all mean yes.
fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    match String::deserialize(value)?.as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::UnknownJob { .. } | Self::UnknownConnection { .. } | Self::NotFound { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Busy { .. } => StatusCode::CONFLICT,
            Self::Config { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { message } => {
                tracing::error!(message, "a control request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(self)).into_response()
    }
}
