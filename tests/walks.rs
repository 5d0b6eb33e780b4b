//! Whatever way a platform lists its records (numbered pages, links, offsets, feeds with follow-ups), a pull described in
//! a file reads them all, notices when it can't, and never takes what it could not read for what is gone.

mod echo;
mod feeds;
mod gone;
mod pages;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use cadenced::clock::{SetClock, SharedClock};
use cadenced::config::{self, Sources};
use cadenced::connectors::Backfill;
use cadenced::daemon;
use cadenced::run::Outcome;
use cadenced::runner::Ended;
use cadenced::state::{Reject, Store};
use cadenced::watermark::{Cursor, Mark};
use cadenced::words::JobName;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::watch;

/// One request, as the platform sees it.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
}

impl Asked {
    fn number(&self, name: &str) -> u64 {
        self.query[name].parse().unwrap()
    }

    /// The path, and what of the query is not the same in every request.
    fn shown(&self) -> String {
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}?{}", self.path, query.join("&")).trim_end_matches('?').to_owned()
    }
}

type Answering = Arc<Mutex<dyn FnMut(&Asked) -> (u16, Value) + Send>>;
type Log = Arc<Mutex<Vec<Asked>>>;

/// A platform that answers as told, an ERP with a table `rows`, and a job `pull` between them.
struct Scene {
    dir: TempDir,
    erp: SqlitePool,
    asked: Log,
    clock: Arc<SetClock>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn name() -> JobName {
    JobName::new("pull").unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

impl Scene {
    /// `pull` are the keys of the job's pull, `write` those of its write beside the table and the key.
    async fn new(
        pull: &str,
        write: &str,
        answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock::at(utc("2026-03-02T12:00:00Z")));
        let asked = Log::default();
        let answering: Answering = Arc::new(Mutex::new(answer));
        let router = Router::new().fallback(respond).with_state((
            Arc::clone(&asked),
            answering,
            Arc::clone(&clock) as SharedClock,
        ));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let file = dir.path().join("erp.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let erp = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(
            "create table rows (id text primary key, name text, active integer, writes integer default 1)",
        )
        .execute(&erp)
        .await
        .unwrap();
        sqlx::raw_sql("create trigger t after update of name on rows begin update rows set writes = writes + 1 where id = new.id; end")
            .execute(&erp)
            .await
            .unwrap();
        let text = format!(
            "timezone = \"UTC\"\nstate = \"state\"\nschedules = []\n[connection.erp]\nsql = \"sqlite://{}\"\n\
             [connection.shop]\nurl = \"{url}/api\"\n[job.pull]\n\
             write = {{ to = \"erp\", table = \"rows\", upsert-by = [\"id\"]{write} }}\n\
             [job.pull.pull]\nfrom = \"shop\"\n{pull}\n",
            file.display()
        );
        std::fs::write(dir.path().join("cadenced.toml"), text).unwrap();
        Self { dir, erp, asked, clock, serving }
    }

    fn loaded(&self) -> config::Loaded {
        let file = self.dir.path().join("cadenced.toml");
        let sources = Sources { file: Some(file), ..Sources::default() };
        match config::load(&sources) {
            Ok(loaded) => loaded,
            Err(mistakes) => panic!("{mistakes:?}"),
        }
    }

    /// Changes the configuration's text.
    fn replace(&self, from: &str, to: &str) {
        let file = self.dir.path().join("cadenced.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }

    /// What is wrong with the configuration.
    fn mistakes(&self) -> Vec<String> {
        let file = self.dir.path().join("cadenced.toml");
        let loaded = config::load(&Sources { file: Some(file), ..Sources::default() });
        loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    async fn run(&self) -> Ended {
        self.run_job(&name()).await
    }

    async fn run_job(&self, job: &JobName) -> Ended {
        let loaded = self.loaded();
        let (_stop, stopped) = watch::channel(false);
        let clock = Arc::clone(&self.clock) as SharedClock;
        daemon::once(&loaded, &loaded.jobs[job], clock, stopped).await.unwrap().ended
    }

    async fn backfill(&self, since: &str, until: &str) -> Ended {
        let loaded = self.loaded();
        let (_stop, stopped) = watch::channel(false);
        let clock = Arc::clone(&self.clock) as SharedClock;
        let [since, until] = [since, until].map(|text| Cursor::at(utc(text)));
        let backfill = Backfill { since, until, watch: None };
        daemon::backfill(&loaded, &loaded.jobs[&name()], backfill, clock, stopped).await.unwrap().ended
    }

    /// A run that goes through without a word.
    async fn runs(&self) {
        let ended = self.run().await;
        assert_eq!((ended.outcome, ended.message), (Outcome::Ok, None));
    }

    /// A run that fails with these words.
    async fn fails(&self, words: &str) {
        let ended = self.run().await;
        let message = ended.message.unwrap_or_default();
        assert_eq!(ended.outcome, Outcome::Failed, "{message}");
        assert!(message.contains(words), "{message}");
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().drain(..).map(|asked| asked.shown()).collect()
    }

    /// The rows of the ERP: `id=name`, in the order of their ids.
    async fn rows(&self) -> String {
        self.of_rows("select id || '=' || coalesce(name, '-') from rows order by id").await
    }

    async fn of_rows(&self, sql: &'static str) -> String {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.erp).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join(" ")
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("state"), Arc::clone(&self.clock) as SharedClock).unwrap()
    }

    async fn watermark(&self) -> Option<String> {
        let marks = self.store().watermarks(Some(&name())).await.unwrap();
        marks.first().map(|(_, _, mark)| Mark::from_value(&mark.value).unwrap().to_string())
    }

    async fn rejects(&self) -> Vec<Reject> {
        self.store().rejects(&name(), None, 1000).await.unwrap()
    }
}

async fn respond(
    State((log, answering, clock)): State<(Log, Answering, SharedClock)>,
    request: Request,
) -> Response {
    let asked = of_request(request.method().as_str(), request.uri());
    log.lock().unwrap().push(asked.clone());
    let (status, body) = (answering.lock().unwrap())(&asked);
    let date = clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = [(header::DATE, date), (header::CONTENT_TYPE, "application/json".to_owned())];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

fn of_request(method: &str, uri: &Uri) -> Asked {
    let address = reqwest::Url::parse(&format!("http://shop{uri}")).unwrap();
    let query = address.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Asked { method: method.to_owned(), path: uri.path().to_owned(), query }
}
