//! Four jobs that would send as fast as they can, over one connection with a quota, against a platform that counts: no
//! sliding window may hold more than the quota, and how much of it is used. Beside it the same with the process killed in
//! the middle and started again on its state.
//!
//! `cargo bench --bench quota`, and `-- --seconds 10` for less than a minute each. The platform measures when a request
//! arrives; the client is a process of its own, so that it can be killed.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use cadenced::clock::{Clock as _, SystemClock};
use cadenced::connection::{Auth, Connection, ConnectionKind, Limits, RestConnection, Timeouts};
use cadenced::connectors::Connectors;
use cadenced::rest::{Client, Request};
use cadenced::state::Store;
use cadenced::words::ConnectionName;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const RATES: [usize; 3] = [10, 100, 1000];
const JOBS: usize = 4;
const WINDOW: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(url) = text(&arguments, "--url") {
        let rate = text(&arguments, "--rate").ok_or("--rate")?;
        return client(url, rate, Path::new(text(&arguments, "--state").ok_or("--state")?));
    }
    let seconds = text(&arguments, "--seconds").unwrap_or("60").parse()?;
    println!("{JOBS} jobs at once, {seconds} s each; {}\n", SystemClock.now().format("%Y-%m-%d"));
    println!("| quota  | process            | requests | of the quota | most in any second |");
    println!("|-------:|--------------------|---------:|-------------:|-------------------:|");
    let mut exceeded = false;
    for rate in RATES {
        for (process, kills) in [("lives", 0), ("is killed half-way", 1)] {
            let arrivals = measure(rate, kills, Duration::from_secs(seconds))?;
            let share = arrivals.len() as f64 / (rate as f64 * seconds as f64);
            let most = most_in_a_window(&arrivals);
            exceeded |= most > rate;
            println!(
                "| {rate:>4}/s | {process:<18} | {:>8} | {:>11.1}% | {most:>18} |",
                arrivals.len(),
                share * 100.0
            );
        }
    }
    if exceeded { Err("a window held more than the quota".into()) } else { Ok(()) }
}

/// When requests arrived from the first one on.
fn measure(rate: usize, kills: u32, span: Duration) -> Result<Vec<Instant>> {
    let platform = Platform::start()?;
    let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let start = || -> Result<Child> {
        let rate = format!("{rate}/s");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--url", &platform.url, "--rate", &rate, "--state"]).arg(state.path());
        Ok(command.spawn()?)
    };
    let mut client = start()?;
    let first = platform.first.recv_timeout(Duration::from_secs(30));
    let end = first.map(|first| first + span);
    let lives = span / (kills + 1);
    let measured = (|| {
        let end = end?;
        for _ in 0..kills {
            wait(end - span + lives);
            client.kill()?;
            client.wait()?;
            client = start()?;
        }
        wait(end);
        Ok(platform.arrivals(end))
    })();
    client.kill()?;
    client.wait()?;
    measured
}

fn wait(until: Instant) {
    let (_never, timer) = mpsc::channel::<()>();
    timer.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or_default();
}

fn most_in_a_window(arrivals: &[Instant]) -> usize {
    let mut end = 0;
    let mut most = 0;
    for (begin, from) in arrivals.iter().enumerate() {
        while arrivals.get(end).is_some_and(|at| *at < *from + WINDOW) {
            end += 1;
        }
        most = most.max(end - begin);
    }
    most
}

/// Asks without pause, until it is killed.
fn client(url: &str, rate: &str, state: &Path) -> Result<()> {
    let clock = Arc::new(SystemClock);
    let store = Store::open(state, clock.clone())?;
    let name = ConnectionName::new("platform")?;
    let rest = RestConnection {
        url: url.to_owned(),
        headers: Vec::new(),
        auth: Auth::Headers,
        quota: vec![rate.parse()?],
        in_flight: JOBS,
        timeouts: Timeouts::default(),
        max_body: 1_000_000,
        ca_file: None,
        proxy: None,
        check: None,
        limits: Limits::default(),
    };
    let connection = Connection { name: name.clone(), kind: ConnectionKind::Rest(Box::new(rest)) };
    let connectors = Connectors::open(&BTreeMap::from([(name, connection)]), None, store, clock)?;
    let (_, client) = connectors.clients().next().ok_or("no connection")?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let jobs = (0..JOBS).map(|_| tokio::spawn(ask(client.for_run())));
        for job in jobs.collect::<Vec<_>>() {
            job.await??;
        }
        Ok(())
    })
}

async fn ask(client: Client) -> Result<()> {
    let request = Request::get("/x".to_owned(), Vec::new());
    loop {
        client.call(&request).await?;
    }
}

/// Counts when requests arrive.
struct Platform {
    url: String,
    first: mpsc::Receiver<Instant>,
    arrivals: Arc<Mutex<Vec<Instant>>>,
}

impl Platform {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (tell, first) = mpsc::channel();
        let arrivals = Arc::<Mutex<Vec<Instant>>>::default();
        let kept = Arc::clone(&arrivals);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, tell) = (Arc::clone(&kept), tell.clone());
                // A client that is killed ends its connection, and nothing else.
                thread::spawn(move || answer_all(stream, &kept, &tell).unwrap_or_default());
            }
        });
        Ok(Self { url, first, arrivals })
    }

    fn arrivals(&self, until: Instant) -> Vec<Instant> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.iter().copied().filter(|at| *at < until).collect()
    }
}

fn answer_all(
    mut stream: TcpStream,
    arrivals: &Mutex<Vec<Instant>>,
    tell: &mpsc::Sender<Instant>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        {
            let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            arrivals.push(now);
            if arrivals.len() == 1 {
                tell.send(now)?;
            }
        }
        while requests.read_line(&mut line)? > 2 {}
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    }
}

fn text<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).map(String::as_str)
}
