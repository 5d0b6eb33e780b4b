//! A site to test on: the simulated platforms, a sample ERP, a configuration with the shipped schedules and a state
//! directory, all gone with the value; and the program itself, run as its user or its service manager would.

use cadenced::clock::SystemClock;
use cadenced::config::{self, Loaded, Sources};
use cadenced::daemon;
use cadenced::runner::Ended;
use cadenced::sandbox::{B2Market, One, b2market, erp, one};
use cadenced::state::{Reject, Store};
use cadenced::words::JobName;
use serde_json::Value;
use sqlx::SqlitePool;
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

/// Longer than anything here takes on a busy machine: it only bounds the wait for what never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The token of the admin endpoint.
pub(crate) const TOKEN: &str = "admin-token-of-the-tests";
/// Keeps the jobs from coming due while a test looks on.
pub(crate) const YEARLY: &str =
    "[job.one-stocks]\ncron = \"0 0 0 1 1 *\"\n[job.b2market-orders]\ncron = \"0 0 0 1 1 *\"\n";

pub(crate) fn name(job: &str) -> JobName {
    JobName::new(job).unwrap()
}

/// The platforms, the ERP and the files of one site.
pub(crate) struct Site {
    pub(crate) b2market: B2Market,
    pub(crate) one: One,
    pub(crate) erp: SqlitePool,
    pub(crate) dir: TempDir,
}

impl Site {
    /// Two warehouses with twenty articles each; no orders yet.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let b2market = B2Market::start(b2market::Options::default()).unwrap();
        let one = One::start(one::Options::default()).unwrap();
        let size = erp::Size { warehouses: 2, articles: 20 };
        let erp = erp::create(&dir.path().join("erp.db"), size).await.unwrap();
        let site = Self { b2market, one, erp, dir };
        let options = one::Options::default();
        for (file, secret) in
            [("api-auth", options.api_auth.as_str()), ("password", "b2m-secret"), ("token", TOKEN)]
        {
            fs::write(site.path(file), secret).unwrap();
        }
        site.configure("", YEARLY);
        site
    }

    /// Writes the configuration anew: `top` are top-level keys, `jobs` the site's own schedule file.
    pub(crate) fn configure(&self, top: &str, jobs: &str) {
        let text = format!(
            r#"
            timezone = "Europe/Warsaw"
            schedules = ["{schedules}", "site"]
            {top}
            [admin]
            listen = "127.0.0.1:0"
            token = {{ file = "token" }}
            [connection.erp]
            sql = "sqlite://erp.db"
            [connection.one]
            url = "{one}"
            headers = {{ one-tenant = "acme", ApiAuth = {{ file = "api-auth" }} }}
            [connection.b2market]
            url = "{b2market}"
            auth = {{ login = "/login", body = {{ _username = "erp", _password = {{ file = "password" }} }}, token = "token", renew-on = [401, 403] }}
            "#,
            schedules = repository().join("schedules").display(),
            one = self.one.url(),
            b2market = self.b2market.url(),
        );
        fs::write(self.config(), text).unwrap();
        fs::create_dir_all(self.path("site")).unwrap();
        fs::write(self.path("site/site.toml"), jobs).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("cadenced.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn loaded(&self) -> Loaded {
        config::load(&Sources { file: Some(self.config()), ..Sources::default() }).unwrap()
    }

    /// One run of a job, without a daemon.
    pub(crate) async fn once(&self, job: &str) -> Ended {
        let loaded = self.loaded();
        let (_stop, stopped) = watch::channel(false);
        let job = &loaded.jobs[&name(job)];
        daemon::once(&loaded, job, Arc::new(SystemClock), stopped).await.unwrap().ended
    }

    /// Looks into the state that no daemon holds.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state(), Arc::new(SystemClock)).unwrap()
    }

    /// The watermark of a job as the state keeps it.
    pub(crate) async fn watermark(&self, job: &str) -> Option<i64> {
        let marks = self.store().watermarks(Some(&name(job))).await.unwrap();
        marks.first().and_then(|(_, _, mark)| mark.value.as_i64())
    }

    pub(crate) async fn rejects(&self, job: &str) -> Vec<Reject> {
        self.store().rejects(&name(job), None, 1000).await.unwrap()
    }

    /// In what the ERP's orders differ from the platform's.
    pub(crate) async fn differences(&self) -> Vec<String> {
        erp::differences(&self.erp, &self.b2market.orders()).await.unwrap()
    }

    /// Runs the program with this site's configuration.
    pub(crate) fn cadenced(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the program prints where it must succeed.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        let output = self.cadenced(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.dir.path());
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) fn daemon(&self) -> Daemon {
        let daemon = self.daemon_with(&[]);
        daemon.heard("READY=1");
        daemon
    }

    pub(crate) fn daemon_with(&self, env: &[(&str, &str)]) -> Daemon {
        let notify = self.path("notify");
        // A daemon that ended has left its socket's name behind.
        drop(fs::remove_file(&notify));
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = self.path("daemon.log");
        let mut command = self.command(&["run"]);
        command.env("NOTIFY_SOCKET", &notify).envs(env.iter().copied());
        let child = command.stderr(File::create(&log).unwrap()).stdout(Stdio::null()).spawn().unwrap();
        Daemon { child, socket, log }
    }
}

/// The program, in a directory, with nothing of ours in its environment.
pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cadenced"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CADENCED_") {
            command.env_remove(name);
        }
    }
    command.env_remove("NOTIFY_SOCKET").current_dir(dir).stdin(Stdio::null());
    command
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Sends a signal, by name, to a process of ours.
pub(crate) fn signal(child: &Child, signal: &str) {
    let kill = format!("kill -s {signal} {}", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
}

/// Waits for a process to end, but not for ever.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => panic!("process {} does not end", child.id()),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A daemon that runs as a service; killed with the value.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    socket: UnixDatagram,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    /// Reads what the daemon tells its service manager up to a message with this line; gives that message.
    pub(crate) fn heard(&self, line: &str) -> String {
        loop {
            let mut message = [0; 4096];
            let length = match self.socket.recv(&mut message) {
                Ok(length) => length,
                Err(error) => panic!("no {line}: {error}; the log: {}", self.log()),
            };
            let message = String::from_utf8(message[..length].to_vec()).unwrap();
            if message.lines().any(|said| said == line) {
                return message;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Where its admin endpoint listens: `http://127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        let log = self.log();
        let from = log.find("http://").unwrap_or_else(|| panic!("no address in: {log}"));
        log[from..].split_once("/health").unwrap().0.to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
