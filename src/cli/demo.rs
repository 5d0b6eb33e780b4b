//! `cadenced demo`: simulated platforms, a sample ERP and the daemon with the shipped schedules, all in this process and
//! on loopback. It says in a few lines what is going on, and one line for every run.

use super::kits::KITS;
use super::launch::start_logging;
use super::output::{Exit, Stop, counted, say};
use super::runtime;
use crate::clock::SystemClock;
use crate::config::{self, Sources};
use crate::daemon;
use crate::run::Counts;
use crate::runner::{Ended, Observer};
use crate::sandbox::demo::{Pace, Sandbox, Setup, live};
use crate::state::{Token, Watermark};
use crate::telemetry::LogFormat;
use crate::words::JobName;
use chrono::{DateTime, Utc};
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The platforms of the demo.
const SHIPPED: [&str; 2] = ["one", "b2market"];
/// What a site would change of them; here, the pace.
const SITE: &str = r#"# A site's own file changes single keys of shipped jobs. The demo only makes them faster.
[job.one-stocks]
cron = "5/10 * * * * *"

[job.b2market-orders]
cron = "*/10 * * * * *"
pull = { since = { settle = "1s" } }
"#;
/// The jobs that move records in the demo.
const JOBS: [&str; 2] = ["b2market-orders", "one-stocks"];
const ORDERS: usize = 250;
const ADMIN_PORT: u16 = 8640;

/// `cadenced demo`.
pub(super) fn demo() -> Result<Exit, Stop> {
    // The sample ERP is on this machine too: a slow statement there means a busy machine.
    start_logging(LogFormat::Text, "warn,sqlx=error")?;
    runtime()?.block_on(run())
}

async fn run() -> Result<Exit, Stop> {
    let dir = std::path::absolute("state/demo").map_err(|error| broken(&error))?;
    fresh(&dir).map_err(|error| {
        Stop::new(Exit::Failed, format!("{}: can't be made ready: {error}", dir.display()))
    })?;
    let setup = Setup { orders: ORDERS, ..Setup::default() };
    let (user, password) = (setup.b2market.username.clone(), setup.b2market.password.clone());
    let (tenant, api_auth) = (setup.one.tenant.clone(), setup.one.api_auth.clone());
    let erp = dir.join("erp.db");
    let sandbox = Sandbox::start(&erp, setup).await.map_err(|error| broken(&error))?;
    let config = dir.join("cadenced.toml");
    let secret = |name: &str, text: &str| write_secret(&dir.join(name), text);
    secret("b2market-password", &password).map_err(|error| broken(&error))?;
    secret("one-api-auth", &api_auth).map_err(|error| broken(&error))?;
    let text = format!(
        r#"# Written by `cadenced demo`; a real one looks the same with other addresses.
timezone  = "Europe/Warsaw"
state     = "state"
schedules = ["schedules", "site"]

[admin]
listen = "{admin}"

[connection.erp]
sql = "sqlite://erp.db"

[connection.one]
url     = "{one}"
headers = {{ one-tenant = "{tenant}", ApiAuth = {{ file = "one-api-auth" }} }}
quota   = ["10/s", "300/min"]

[connection.b2market]
url   = "{b2market}"
auth  = {{ login = "/login", body = {{ _username = "{user}", _password = {{ file = "b2market-password" }} }}, token = "token", renew-on = [401, 403] }}
quota = ["5/s"]
in-flight = 1
"#,
        admin = admin_address(),
        one = sandbox.one.url(),
        b2market = sandbox.b2market.url(),
    );
    fs::write(&config, text).map_err(|error| broken(&error))?;

    let sources = Sources { file: Some(config.clone()), ..Sources::default() };
    let loaded = config::load(&sources).map_err(|problems| {
        problems.iter().for_each(say);
        Stop::new(Exit::Internal, "the demo's own configuration is wrong")
    })?;
    let admin = loaded.settings.admin.listen;
    say(introduction(&dir, &sandbox, admin));

    let Sandbox { b2market, one, erp } = sandbox;
    let life = tokio::spawn(live(b2market.clone(), erp, Pace::default()));
    let observer: Observer = Arc::new(|token, ended, mark| say(line(token, ended, mark)));
    let daemon = daemon::Daemon::start(loaded, sources, Arc::new(SystemClock), Some(observer)).await?;
    let (stop, shutdown) = tokio::sync::watch::channel(false);
    let scheduler = daemon.scheduler();
    let start = tokio::spawn(async move {
        for job in JOBS {
            if let Ok(job) = JobName::new(job) {
                drop(scheduler.trigger(job, false).await);
            }
        }
    });
    let until_stopped = tokio::spawn(async move {
        daemon::until_told_to_stop().await;
        say("\nstopping: letting running jobs end");
        stop.send_replace(true);
    });
    daemon.serve(shutdown).await;
    until_stopped.abort();
    start.abort();
    life.abort();
    let counts = one.counts();
    say(format!(
        "stopped. The simulated ONe got {} with {}; what is in the ERP: sqlite3 {} 'select count(*) from b2market_orders'",
        counted(counts.requests as u64, "request"),
        counted(counts.lines as u64, "stock line"),
        dir.join("erp.db").display()
    ));
    Ok(Exit::Ok)
}

fn introduction(dir: &Path, sandbox: &Sandbox, admin: SocketAddr) -> String {
    format!(
        "cadenced demo: everything is simulated and stays on this machine.\n\
         \n\
         \u{20}  B2Market {b2market}  --orders-->  sample ERP (SQLite)  --stocks-->  ONe {one}\n\
         \n\
         The shipped schedules run, only faster: b2market-orders every 10 s (shipped: every 5 minutes) pulls the orders that\n\
         changed since its watermark; one-stocks every 10 s (shipped: every 2 minutes) pushes the stock levels that changed.\n\
         \n\
         \u{20}  state, configuration, ERP   {dir}\n\
         \u{20}  health                      curl http://{admin}/health\n\
         \u{20}  every job                   cadenced --config {dir}/cadenced.toml status\n\
         \u{20}  stop                        Ctrl-C\n",
        b2market = sandbox.b2market.url(),
        one = sandbox.one.url(),
        dir = dir.display(),
    )
}

/// One line for a run that ended.
fn line(token: &Token, ended: &Ended, mark: Option<&Watermark>) -> String {
    let Counts { read, written, unchanged, rejected, requests, .. } = ended.counts;
    let what = match token.slot.job.as_str() {
        "b2market-orders" => format!("orders: {read} read, {written} new or changed into the ERP"),
        "one-stocks" => format!("stocks: {read} read, {written} changed and sent to ONe"),
        _ => format!("{read} read, {written} written"),
    };
    let rejected = if rejected > 0 { format!(", {rejected} rejected") } else { String::new() };
    let requests = counted(requests, "request");
    let mark = mark.and_then(|mark| DateTime::<Utc>::from_timestamp_millis(mark.value.as_i64()?));
    let mark = mark.map(|at| format!("; watermark {}", at.format("%H:%M:%SZ"))).unwrap_or_default();
    let message = ended.message.as_ref().map(|message| format!(" -- {message}")).unwrap_or_default();
    let at = token.slot.at.format("%H:%M:%SZ");
    let (job, outcome) = (token.slot.job.as_str(), ended.outcome.as_str());
    format!("{at}  {job:<16} {outcome:<8} {what}, {unchanged} unchanged{rejected}; {requests}{mark}{message}")
}

/// An empty directory with the schedules; what an earlier demo left is removed, unless that demo still runs.
fn fresh(dir: &Path) -> io::Result<()> {
    let lock = dir.join("state/lock");
    if lock.exists() && fs::File::open(&lock)?.try_lock().is_err() {
        return Err(io::Error::other("another demo runs here; stop it first"));
    }
    for left in ["state", "schedules", "site"] {
        remove(fs::remove_dir_all(dir.join(left)))?;
    }
    for left in ["erp.db", "erp.db-wal", "erp.db-shm", "b2market-password", "one-api-auth"] {
        remove(fs::remove_file(dir.join(left)))?;
    }
    fs::create_dir_all(dir.join("schedules"))?;
    fs::create_dir_all(dir.join("site"))?;
    for kit in KITS.iter().filter(|kit| SHIPPED.contains(&kit.name)) {
        fs::write(dir.join(format!("schedules/{}.toml", kit.name)), kit.schedule)?;
    }
    fs::write(dir.join("site/demo.toml"), SITE)
}

/// What isn't there needn't be removed.
fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_secret(path: &PathBuf, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The usual address, or any other if somebody has it.
fn admin_address() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
    if TcpListener::bind(usual).is_ok() {
        return usual;
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.unwrap_or(usual)
}

fn broken(error: &dyn std::error::Error) -> Stop {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Stop::new(Exit::Failed, text)
}
