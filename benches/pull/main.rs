//! Pulling orders of 1.2 kB from a platform into SQLite, beside a floor in the same run: a program of a hundred lines
//! that asks for the same pages with the same HTTP client and upserts the same rows in transactions of the same size
//! on a database with the same settings, but remembers nothing. The ratio is what the watermark, the digests and the
//! ledger cost.
//!
//! `cargo bench --bench pull`, and `-- --orders 1000000 --page 100` for other sizes. The platform and each client are
//! processes of their own, so that a client's peak memory is its own; rates cover a whole run, the opening and closing
//! of state and database included. Linux only: elsewhere processor time and memory read zero.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod client;
mod floor;
#[path = "../measure.rs"]
mod measure;
mod platform;

use client::Measured;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Anything that goes wrong ends the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const SIDES: [&str; 2] = ["floor", "cadenced"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let orders = number(&arguments, "--orders")?.unwrap_or(100_000);
    let pages = number(&arguments, "--page")?.map_or(vec![100, 1000], |page| vec![page]);
    match text(&arguments, "--as") {
        None => compare(orders, &pages),
        Some("platform") => platform::serve(orders),
        Some(side) => {
            let page = pages.first().copied().unwrap_or(100);
            let measured = client::run(side, orders, page, text(&arguments, "--url").unwrap_or_default())?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
    }
}

/// Starts the platform and, one after the other, the clients; prints the table.
fn compare(orders: u64, pages: &[u64]) -> Result<()> {
    let mut platform = Platform::start(orders)?;
    println!("{orders} orders of 1.2 kB, from a platform on loopback into SQLite\n");
    println!("| page | client   | orders/s | CPU s per 100k | peak memory, MB | rate / floor |");
    println!("|-----:|----------|---------:|---------------:|----------------:|-------------:|");
    for page in pages {
        let mut floor = None;
        for side in SIDES {
            let Measured { seconds, cpu_seconds, peak_bytes } = platform.measure(side, orders, *page)?;
            let rate = orders as f64 / seconds;
            println!(
                "| {page:>4} | {side:<8} | {rate:>8.0} | {:>14.2} | {:>15.1} | {:>12.2} |",
                cpu_seconds * 100_000.0 / orders as f64,
                peak_bytes as f64 / f64::from(1 << 20),
                rate / *floor.get_or_insert(rate),
            );
        }
    }
    platform.stop()
}

/// The platform's process.
struct Platform {
    process: Child,
    url: String,
}

impl Platform {
    fn start(orders: u64) -> Result<Self> {
        let mut process = again("platform", orders)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        Ok(Self { process, url: url.trim().to_owned() })
    }

    fn measure(&mut self, side: &str, orders: u64, page: u64) -> Result<Measured> {
        let mut client = again(side, orders)?;
        client.args(["--page", &page.to_string(), "--url", &self.url]);
        let output = client.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{side} failed: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The platform serves until its input ends.
    fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        self.process.wait()?;
        Ok(())
    }
}

/// This program again, in another role.
fn again(role: &str, orders: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--as", role, "--orders", &orders.to_string()]);
    Ok(command)
}

fn text<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).map(String::as_str)
}

fn number(arguments: &[String], name: &str) -> Result<Option<u64>> {
    let parse = |text: &str| text.parse().map_err(|error| format!("{name} {text}: {error}"));
    Ok(text(arguments, name).map(parse).transpose()?)
}

/// Where the files of one side are kept: on the disk that is built on, which a RAM disk would not be.
pub(crate) fn workplace() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?)
}
