//! `cadenced demo`: simulated platforms, a sample ERP and the daemon with the shipped schedules, all in this process and
//! on loopback. It says in a few lines what is going on, and one line for every run and every call.

mod parts;

use super::kits::{KITS, Kit};
use super::launch::start_logging;
use super::output::{Exit, Stop, counted, say};
use super::runtime;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Sources};
use crate::connection::Dialect;
use crate::daemon;
use crate::run::Counts;
use crate::runner::{Ended, Observer};
use crate::sandbox::commerceup::{Caller, Credentials};
use crate::sandbox::demo::{Pace, Sandbox, Setup, call, live};
use crate::sandbox::{Platform, Switches, WireOptions, erp};
use crate::state::{Token, Watermark};
use crate::telemetry::LogFormat;
use crate::words::JobName;
use chrono::{DateTime, Utc};
use parts::{PARTS, Part};
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ORDERS: usize = 250;
const ADMIN_PORT: u16 = 8640;
const INBOUND_PORT: u16 = 8641;
/// Who the shop is when it calls.
const CALLER: (&str, &str) = ("shop", "cs-71f0a9");
/// How long the shop waits for an answer, and between two shoppers.
const PATIENCE: Duration = Duration::from_secs(10);
const SHOPPERS: Duration = Duration::from_secs(4);

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
    let sandbox = Sandbox::start(&dir.join("erp.db"), setup).await.map_err(|error| broken(&error))?;
    let mut platforms = Vec::new();
    for part in PARTS {
        let interface = kit(part).map_or("", |kit| kit.sql(Dialect::Sqlite));
        for sql in [part.views, interface] {
            erp::load(&sandbox.erp, sql).await.map_err(|error| broken(&error))?;
        }
        platforms.push(start(part, &sandbox).map_err(|error| broken(&error))?);
    }
    let [admin, inbound] = [ADMIN_PORT, INBOUND_PORT].map(address);
    configure(&dir, &platforms, admin, inbound).map_err(|error| broken(&error))?;

    let sources = Sources { file: Some(dir.join("cadenced.toml")), ..Sources::default() };
    let loaded = config::load(&sources).map_err(|problems| {
        problems.iter().for_each(say);
        Stop::new(Exit::Internal, "the demo's own configuration is wrong")
    })?;
    say(introduction(&dir, &platforms, admin));

    let Sandbox { b2market, one, erp } = sandbox;
    let life = tokio::spawn(live(b2market, erp.clone(), Pace::default()));
    let stirred = tokio::spawn(stir(platforms));
    let observer: Observer = Arc::new(|token, ended, mark| say(line(token, ended, mark)));
    let daemon = daemon::Daemon::start(loaded, sources, Arc::new(SystemClock), Some(observer)).await?;
    let (stop, shutdown) = tokio::sync::watch::channel(false);
    let scheduler = daemon.scheduler();
    let start = tokio::spawn(async move {
        for job in PARTS.iter().flat_map(|part| part.jobs) {
            if let Ok(job) = JobName::new(job) {
                drop(scheduler.trigger(job, false).await);
            }
        }
    });
    let (user, password) = CALLER;
    let credentials = Credentials::Headers(user.to_owned(), password.to_owned());
    let shop =
        Caller::new(&format!("http://{inbound}"), credentials, PATIENCE).map_err(|error| broken(&error))?;
    let calls = tokio::spawn(async move {
        call(&shop, &erp, SHOPPERS, |what| say(format!("{}  {what}", SystemClock.now().format("%H:%M:%SZ"))))
            .await
    });
    let until_stopped = tokio::spawn(async move {
        daemon::until_told_to_stop().await;
        say("\nstopping: letting running jobs end");
        stop.send_replace(true);
    });
    daemon.serve(shutdown).await;
    until_stopped.abort();
    start.abort();
    calls.abort();
    stirred.abort();
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

/// A part of the demo, and its platform.
type Running = (&'static Part, Box<dyn Platform>);

fn kit(part: &Part) -> Option<&'static Kit> {
    KITS.iter().find(|kit| kit.name == part.kind.name)
}

/// Something happens on the platforms now and then; those that run already have a life of their own.
async fn stir(platforms: Vec<Running>) {
    loop {
        tokio::time::sleep(SHOPPERS).await;
        let others = platforms.iter().filter(|(part, _)| !["one", "b2market"].contains(&part.kind.name));
        others.for_each(|(_, platform)| platform.stir());
    }
}

/// The platform of a part; two of them know the sample ERP and run already.
fn start(part: &'static Part, sandbox: &Sandbox) -> io::Result<Running> {
    let platform: Box<dyn Platform> = match part.kind.name {
        "one" => Box::new(sandbox.one.clone()),
        "b2market" => Box::new(sandbox.b2market.clone()),
        _ => (part.kind.start)(WireOptions::default(), &Switches::new(part.kind.switches))?,
    };
    Ok((part, platform))
}

/// Writes the schedules, the secrets and the daemon's file.
fn configure(dir: &Path, platforms: &[Running], admin: SocketAddr, inbound: SocketAddr) -> io::Result<()> {
    for below in ["schedules", "site", "secrets"] {
        fs::create_dir_all(dir.join(below))?;
    }
    let (user, password) = CALLER;
    write_secret(&dir.join("secrets/commerceup-calls"), password)?;
    let mut config = format!(
        r#"# Written by `cadenced demo`; a real one looks the same with other addresses.
timezone  = "Europe/Warsaw"
state     = "state"
schedules = ["schedules", "site"]

[admin]
listen = "{admin}"

[inbound]
listen = "{inbound}"

[inbound.caller.commerceup]
user     = "{user}"
password = {{ file = "secrets/commerceup-calls" }}

[connection.erp]
sql = "sqlite://erp.db"
"#
    );
    for (part, platform) in platforms {
        let name = part.kind.name;
        let file = format!("{name}.toml");
        fs::write(dir.join("schedules").join(&file), kit(part).map_or("", |kit| kit.schedule))?;
        fs::write(dir.join("site").join(&file), part.pace)?;
        let mut keys = part.connection.to_owned();
        let mut headers = Vec::new();
        for (credential, value) in platform.credentials() {
            let file = format!("secrets/{name}-{credential}");
            write_secret(&dir.join(&file), &value)?;
            keys = keys.replace(&format!("<{credential}>"), &format!("{{ file = \"{file}\" }}"));
            headers.push(format!("{credential} = {{ file = \"{file}\" }}"));
        }
        config.push_str(&format!("\n[connection.{name}]\nurl = \"{}\"\n", platform.url()));
        if !keys.contains("auth =") {
            config.push_str(&format!("headers = {{ {} }}\n", headers.join(", ")));
        }
        config.push_str(&format!("{keys}\n"));
    }
    fs::write(dir.join("cadenced.toml"), config)
}

fn introduction(dir: &Path, platforms: &[Running], admin: SocketAddr) -> String {
    let mut text = "cadenced demo: everything is simulated and stays on this machine. The shipped schedules run, only faster:\n\n"
        .to_owned();
    for (part, platform) in platforms {
        text.push_str(&format!("   {:<11} {:<34} {}\n", part.kind.title, platform.url(), part.shows));
    }
    text.push_str(&format!(
        "\n\
         \u{20}  state, configuration, ERP   {dir}\n\
         \u{20}  status page                 http://{admin}/\n\
         \u{20}  health                      curl http://{admin}/health\n\
         \u{20}  every job                   cadenced --config {dir}/cadenced.toml status\n\
         \u{20}  stop                        Ctrl-C\n",
        dir = dir.display(),
    ));
    text
}

/// One line for a run that ended.
fn line(token: &Token, ended: &Ended, mark: Option<&Watermark>) -> String {
    let Counts { read, written, unchanged, rejected, requests, .. } = ended.counts;
    let rejected = if rejected > 0 { format!(", {rejected} rejected") } else { String::new() };
    let requests = counted(requests, "request");
    let mark = mark.and_then(|mark| DateTime::<Utc>::from_timestamp_millis(mark.value.as_i64()?));
    let mark = mark.map(|at| format!("; watermark {}", at.format("%H:%M:%SZ"))).unwrap_or_default();
    let message = ended.message.as_ref().map(|message| format!(" -- {message}")).unwrap_or_default();
    let at = token.slot.at.format("%H:%M:%SZ");
    let (job, outcome) = (token.slot.job.as_str(), ended.outcome.as_str());
    format!(
        "{at}  {job:<24} {outcome:<8} {read} read, {written} new or changed, {unchanged} unchanged{rejected}; {requests}{mark}{message}"
    )
}

/// A directory without what an earlier demo left, unless that demo still runs.
fn fresh(dir: &Path) -> io::Result<()> {
    let lock = dir.join("state/lock");
    if lock.exists() && fs::File::open(&lock)?.try_lock().is_err() {
        return Err(io::Error::other("another demo runs here; stop it first"));
    }
    for left in ["state", "schedules", "site", "secrets"] {
        remove(fs::remove_dir_all(dir.join(left)))?;
    }
    for left in ["erp.db", "erp.db-wal", "erp.db-shm"] {
        remove(fs::remove_file(dir.join(left)))?;
    }
    fs::create_dir_all(dir)
}

/// What isn't there needn't be removed.
fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The usual address, or any other if somebody has it.
fn address(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
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
