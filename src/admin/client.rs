//! The other end of the control socket, for the command line.

use super::control::{
    Again, ConnectionHealth, JobStatus, Moved, PageRead, Refusal, RejectRow, Reloaded, SlotRow, Step,
    Triggered, Wait, WatermarkRow,
};
use super::http::{Dropped, Retried};
use super::serve::CONTROL_SOCKET;
use crate::connectors::{Preview, Wanted};
use crate::rest::Ping;
use crate::run::{Counts, Outcome, RunRecord};
use crate::transfer::RejectClass;
use crate::words::ConnectionName;
use bytes::Bytes;
use chrono::NaiveDate;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for a daemon that is busy; requests that wait for a run or a reload have no such limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the daemon could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon is running on {}", .state.display())]
    NoDaemon {
        /// The state directory it would hold.
        state: PathBuf,
    },
    /// The socket is there, but can't be used: most often it belongs to another user.
    #[error(
        "the daemon's control socket {} can't be opened: {source}; run the command as the daemon's user",
        .socket.display()
    )]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon heard the request and said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The conversation broke off, or made no sense.
    #[error("the daemon's answer could not be read: {0}")]
    Broken(String),
}

/// A way to talk to the running daemon.
#[derive(Debug, Clone)]
pub struct ControlClient {
    http: reqwest::Client,
}

impl ControlClient {
    /// Finds the daemon that holds this state directory.
    pub async fn connect(state: &Path) -> Result<Self, ClientError> {
        let socket = state.join(CONTROL_SOCKET);
        if let Err(source) = tokio::net::UnixStream::connect(&socket).await {
            return Err(match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NoDaemon { state: state.to_owned() }
                }
                _ => ClientError::Unreachable { socket, source },
            });
        }
        let http = reqwest::Client::builder().unix_socket(socket.as_path()).build().map_err(broken)?;
        Ok(Self { http })
    }

    /// `cadenced status`.
    pub async fn status(&self) -> Result<Vec<JobStatus>, ClientError> {
        self.ask(Method::GET, "/status", &[]).await
    }

    /// `cadenced history`.
    pub async fn history(&self, job: Option<&str>, limit: usize) -> Result<Vec<RunRecord>, ClientError> {
        let limit = limit.to_string();
        self.ask(Method::GET, "/history", &query([("job", job), ("limit", Some(limit.as_str()))])).await
    }

    /// `cadenced slots`.
    pub async fn slots(&self, job: &str, date: Option<NaiveDate>) -> Result<Vec<SlotRow>, ClientError> {
        let date = date.map(|date| date.to_string());
        self.ask(Method::GET, "/slots", &query([("job", Some(job)), ("date", date.as_deref())])).await
    }

    /// `cadenced trigger`; waits for the run's end, however long it takes, if told to.
    pub async fn trigger(&self, job: &str, again: Again, wait: Wait) -> Result<Triggered, ClientError> {
        let again = (again == Again::Yes).then_some("true");
        let wait = (wait == Wait::Yes).then_some("true");
        let path = format!("/jobs/{}/trigger", escaped(job));
        let request = self.request(Method::POST, &path).query(&query([("again", again), ("wait", wait)]));
        read(send(request).await?).await
    }

    /// `cadenced once --dry-run`, or, with `rows`, `cadenced try`; waits for the source to be read, however long it takes.
    pub async fn dry_run(&self, job: &str, rows: Option<usize>) -> Result<Preview, ClientError> {
        let rows = rows.map(|rows| rows.to_string());
        let request = self.request(Method::GET, &format!("/jobs/{}/dry-run", escaped(job)));
        read(send(request.query(&query([("rows", rows.as_deref())]))).await?).await
    }

    /// `cadenced backfill`; tells of each page, and gives how it ended, however long that takes. Dropped, it cuts the
    /// backfill off.
    pub async fn backfill(
        &self,
        job: &str,
        since: &str,
        until: &str,
        mut on_page: impl FnMut(PageRead),
    ) -> Result<(Outcome, Counts, Option<String>), ClientError> {
        let path = format!("/jobs/{}/backfill", escaped(job));
        let request = self.request(Method::POST, &path).query(&[("since", since), ("until", until)]);
        let mut chunks = send(request).await?.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk.map_err(broken)?);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let step = serde_json::from_slice(&line);
                match step.map_err(|error| ClientError::Broken(error.to_string()))? {
                    Step::Page(page) => on_page(page),
                    Step::Ended { outcome, counts, message } => return Ok((outcome, counts, message)),
                }
            }
        }
        Err(ClientError::Broken("it broke off before the backfill had ended".to_owned()))
    }

    /// `cadenced pause`.
    pub async fn pause(&self, job: &str, reason: Option<&str>) -> Result<(), ClientError> {
        #[derive(Serialize)]
        struct Body<'a> {
            reason: Option<&'a str>,
        }
        let request = self.request(Method::POST, &format!("/jobs/{}/pause", escaped(job)));
        send(request.timeout(PATIENCE).json(&Body { reason })).await.map(drop)
    }

    /// `cadenced resume`.
    pub async fn resume(&self, job: &str) -> Result<(), ClientError> {
        let request = self.request(Method::POST, &format!("/jobs/{}/resume", escaped(job)));
        send(request.timeout(PATIENCE)).await.map(drop)
    }

    /// `cadenced reload`; a refused configuration is a [`Refusal::Config`].
    pub async fn reload(&self, wait: Wait) -> Result<Reloaded, ClientError> {
        let wait = (wait == Wait::Yes).then_some("true");
        read(send(self.request(Method::POST, "/reload").query(&query([("wait", wait)]))).await?).await
    }

    /// The platforms, for `cadenced status`.
    pub async fn connections(&self) -> Result<BTreeMap<ConnectionName, ConnectionHealth>, ClientError> {
        self.ask(Method::GET, "/connections", &[]).await
    }

    /// `cadenced ping`; waits for the quotas and the answer, however long they take.
    pub async fn ping(&self, connection: &str) -> Result<Ping, ClientError> {
        read(send(self.request(Method::POST, &format!("/connections/{}/ping", escaped(connection)))).await?)
            .await
    }

    /// `cadenced watermark list`.
    pub async fn watermarks(&self) -> Result<Vec<WatermarkRow>, ClientError> {
        self.ask(Method::GET, "/watermarks", &[]).await
    }

    /// `cadenced watermark get`.
    pub async fn watermark(&self, job: &str) -> Result<WatermarkRow, ClientError> {
        self.ask(Method::GET, &format!("/watermarks/{}", escaped(job)), &[]).await
    }

    /// `cadenced watermark set`; the text is RFC 3339.
    pub async fn set_watermark(&self, job: &str, watermark: &str) -> Result<Moved, ClientError> {
        #[derive(Serialize)]
        struct Body<'a> {
            watermark: &'a str,
        }
        let request = self.request(Method::PUT, &format!("/watermarks/{}", escaped(job)));
        read(send(request.timeout(PATIENCE).json(&Body { watermark })).await?).await
    }

    /// `cadenced watermark reset`.
    pub async fn reset_watermark(&self, job: &str) -> Result<Moved, ClientError> {
        self.ask(Method::DELETE, &format!("/watermarks/{}", escaped(job)), &[]).await
    }

    /// `cadenced rejects list`.
    pub async fn rejects(
        &self,
        job: Option<&str>,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<RejectRow>, ClientError> {
        let limit = limit.to_string();
        let mut which = query([("job", job), ("limit", Some(limit.as_str()))]);
        which.extend(asking(wanted));
        self.ask(Method::GET, "/rejects", &which).await
    }

    /// `cadenced rejects show`.
    pub async fn reject(&self, job: &str, key: &str) -> Result<RejectRow, ClientError> {
        self.ask(Method::GET, &format!("/rejects/{}", escaped(job)), &[("key", key)]).await
    }

    /// `cadenced rejects drop`; where nothing is wanted in particular, all of the job. Gives how many there were.
    pub async fn drop_rejects(&self, job: &str, wanted: &Wanted) -> Result<u64, ClientError> {
        let path = format!("/rejects/{}", escaped(job));
        let Dropped { dropped } = self.ask(Method::DELETE, &path, &asking_or_all(wanted)).await?;
        Ok(dropped)
    }

    /// `cadenced rejects retry`, as with [`ControlClient::drop_rejects`].
    pub async fn retry_rejects(&self, job: &str, wanted: &Wanted) -> Result<u64, ClientError> {
        let path = format!("/rejects/{}/retry", escaped(job));
        let Retried { retried } = self.ask(Method::POST, &path, &asking_or_all(wanted)).await?;
        Ok(retried)
    }

    /// `cadenced state export`: JSON lines. An `Err` means that what came before is not the whole state.
    pub async fn export(
        &self,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + use<>, ClientError> {
        let response = send(self.request(Method::GET, "/export")).await?;
        Ok(response.bytes_stream().map(|chunk| chunk.map_err(broken)))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        read(send(self.request(method, path).timeout(PATIENCE).query(query)).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The host is only there because HTTP wants one; the socket decides who answers.
        self.http.request(method, format!("http://cadenced/api{path}"))
    }
}

async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    let response = request.send().await.map_err(broken)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response.bytes().await.map_err(broken)?;
    Err(match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => refusal.into(),
        Err(_) => ClientError::Broken(format!("HTTP status {status}")),
    })
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    response.json().await.map_err(broken)
}

fn broken(error: reqwest::Error) -> ClientError {
    // reqwest's own text ends at "error sending request"; what happened is in its sources.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    ClientError::Broken(text)
}

fn query<'a, const N: usize>(all: [(&'static str, Option<&'a str>); N]) -> Vec<(&'static str, &'a str)> {
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn asking(wanted: &Wanted) -> Vec<(&'static str, &str)> {
    let class = wanted.class.map(RejectClass::as_str);
    query([("key", wanted.key.as_deref()), ("class", class), ("reason", wanted.reason.as_deref())])
}

fn asking_or_all(wanted: &Wanted) -> Vec<(&'static str, &str)> {
    let which = asking(wanted);
    if which.is_empty() { vec![("all", "true")] } else { which }
}

fn escaped(job: &str) -> String {
    percent_encoding::utf8_percent_encode(job, percent_encoding::NON_ALPHANUMERIC).to_string()
}
