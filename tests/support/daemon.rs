//! The real binary as a child process: started, listened to, told at which moment to stand still, killed.

use super::{Site, soon};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

const SIGKILL: i32 = 9;

/// What the daemon lets hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A line of its log.
    Log(String),
    /// It stands still at this moment.
    Stands(String),
}

/// A running `cadenced run`.
pub(crate) struct Daemon {
    child: Child,
    said: mpsc::UnboundedReceiver<Said>,
    log: Arc<Mutex<Vec<String>>>,
    dir: PathBuf,
}

impl Daemon {
    /// Starts it on a site and waits until it serves.
    pub(crate) async fn start(site: &Site) -> Self {
        let mut daemon = Self::launch(site.dir());
        daemon
            .until("its start", |said| matches!(said, Said::Log(line) if line.contains("daemon: serving")))
            .await;
        daemon
    }

    fn launch(dir: &Path) -> Self {
        let moment = dir.join("moment");
        // What an earlier process was told is not for this one.
        drop(std::fs::remove_file(&moment));
        let mut child = Command::new(env!("CARGO_BIN_EXE_cadenced"))
            .args(["run", "--config", "cadenced.toml"])
            .current_dir(dir)
            .env_clear()
            .env("CRASH_AT", &moment)
            .env("CRASH_SAID", "/dev/stdout")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary under test starts");
        let (tell, said) = mpsc::unbounded_channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        listen(child.stdout.take().expect("piped"), tell.clone(), Said::Stands);
        let kept = Arc::clone(&log);
        listen(child.stderr.take().expect("piped"), tell, move |line| {
            kept.lock().unwrap().push(line.clone());
            Said::Log(line)
        });
        Self { child, said, log, dir: dir.to_owned() }
    }

    /// Tells it to stand still at this moment: `name`, or `name:3` for its third pass from now on.
    pub(crate) fn stand_still_at(&self, moment: &str) {
        // Moved into place, so that it is never read half-written.
        let new = self.dir.join("moment.new");
        std::fs::write(&new, moment).unwrap();
        std::fs::rename(new, self.dir.join("moment")).unwrap();
    }

    /// The next it lets hear; panics with its log when it ends by itself.
    pub(crate) async fn hears(&mut self) -> Said {
        match self.said.recv().await {
            Some(said) => said,
            None => panic!("the daemon ended by itself; its log:\n{}", self.log()),
        }
    }

    /// Waits until it lets hear something that fits, and gives that.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Said) -> bool) -> Said {
        let log = Arc::clone(&self.log);
        let wait = async {
            loop {
                let said = self.hears().await;
                if fits(&said) {
                    return said;
                }
            }
        };
        match tokio::time::timeout(super::PATIENCE, wait).await {
            Ok(said) => said,
            Err(_) => panic!("waited in vain for {what}; the log:\n{}", log.lock().unwrap().join("\n")),
        }
    }

    /// Where platforms call it.
    pub(crate) fn calls_at(&self) -> String {
        calls_at(&self.log())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Ends it with SIGKILL; returns once it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().expect("the daemon still runs");
        let ended = soon("the end of a killed process", self.child.wait()).await.unwrap();
        assert_eq!(ended.signal(), Some(SIGKILL), "the daemon ended by itself; its log:\n{}", self.log());
    }
}

/// The address that platforms call, from the last line of a log that names it.
pub(super) fn calls_at(log: &str) -> String {
    let address = log.rsplit_once("calls are received at ").and_then(|(_, rest)| rest.lines().next());
    format!("http://{}", address.unwrap_or_else(|| panic!("no address in:\n{log}")))
}

impl Said {
    /// Whether this is the log's line about the start or end of a run (`run started`, `run ended`) of this job.
    pub(crate) fn tells(&self, what: &str, job: &str) -> bool {
        let of_job = |line: &str| line.contains(&format!("job={job} "));
        matches!(self, Self::Log(line) if line.contains(what) && of_job(line))
    }
}

fn listen(
    from: impl AsyncRead + Unpin + Send + 'static,
    tell: mpsc::UnboundedSender<Said>,
    said: impl Fn(String) -> Said + Send + 'static,
) {
    let mut lines = BufReader::new(from).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // The test may have stopped listening.
            drop(tell.send(said(line)));
        }
    });
}
