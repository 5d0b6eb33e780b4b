//! What benchmarks share that put cadenced beside a floor: a platform and each client in processes of their own, which are
//! this program again in another role, and runs of a configured job.

use cadenced::clock::SystemClock;
use cadenced::config::{self, Loaded, Sources};
use cadenced::daemon;
use cadenced::run::{Counts, Outcome};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use tokio::sync::watch;

/// Anything that goes wrong ends the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is compared, the floor first.
pub(crate) const SIDES: [&str; 2] = ["floor", "cadenced"];

/// The value of an argument of this program.
pub(crate) fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The same as a number.
pub(crate) fn number<T: FromStr>(name: &str) -> Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    let parse = |text: String| text.parse().map_err(|error| format!("{name} {text}: {error}"));
    Ok(argument(name).map(parse).transpose()?)
}

/// This program in another role.
pub(crate) fn again(role: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--as", role]);
    Ok(command)
}

/// What a client found out; it writes it as JSON.
pub(crate) fn measured<T: DeserializeOwned>(client: &mut Command) -> Result<T> {
    let output = client.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{client:?} failed: {}", String::from_utf8_lossy(&output.stdout)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The platform's process.
pub(crate) struct Platform {
    process: Child,
    pub(crate) url: String,
}

impl Platform {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        Ok(Self { process, url: url.trim().to_owned() })
    }

    /// The platform serves until its input ends.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        self.process.wait()?;
        Ok(())
    }
}

/// Serves as the platform until the input ends; the address goes to the output.
pub(crate) fn serve(answer_all: impl Fn(TcpStream) -> Result<()> + Copy + Send + 'static) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its connection, and nothing else.
            thread::spawn(move || answer_all(stream).unwrap_or_default());
        }
    });
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Where the files of one side are kept: on the disk that is built on, which a RAM disk would not be.
pub(crate) fn workplace() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?)
}

/// Loads a configuration of one job.
pub(crate) fn load(place: &Path, configuration: &str) -> Result<Loaded> {
    let file = place.join("cadenced.toml");
    std::fs::write(&file, configuration)?;
    let sources = Sources { file: Some(file), ..Sources::default() };
    config::load(&sources).map_err(|mistakes| format!("{mistakes:?}").into())
}

/// One run of the configured job, as `cadenced once` makes it: state opened, slot claimed, run, slot closed.
pub(crate) async fn once(loaded: &Loaded) -> Result<Counts> {
    let job = loaded.jobs.values().next().ok_or("no job")?;
    let (_stop, stopped) = watch::channel(false);
    let ended = daemon::once(loaded, job, Arc::new(SystemClock), stopped).await?.ended;
    if ended.outcome == Outcome::Ok { Ok(ended.counts) } else { Err(format!("{ended:?}").into()) }
}
