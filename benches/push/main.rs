//! Pushing stocks in five warehouses from SQLite to a platform, beside a floor in the same run: a program that reads the
//! same rows, keeps the digests in a map, and sends the same requests with the same HTTP client. The ratio is what the
//! state costs: what was delivered, and what is in doubt, survives a crash.
//!
//! `cargo bench --bench push`, and `-- --rows 1000000` for other sizes. The platform takes 50 µs for each line, half a second
//! for a full request: 20,000 lines a second, which is more than one that writes them into a database does. With
//! `--line-micros 0` it answers at once, and the table shows nothing but both programs' own work, of which most is the
//! reading of the rows. Memory is allocated as the shipped unit has it. Each side goes four times over its rows: all of
//! them new, every hundredth changed, none changed, all changed. The platform and each client are processes of their own,
//! so that a client's peak memory is its own; a run's time covers the opening and closing of the state. Linux only:
//! elsewhere memory reads zero.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod client;
#[path = "../measure.rs"]
mod measure;
mod platform;

use client::Measured;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Anything that goes wrong ends the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).map(String::as_str)
    };
    let rows = text("--rows").map_or(Ok(100_000), str::parse)?;
    let line_micros = text("--line-micros").map_or(Ok(50), str::parse)?;
    match text("--as") {
        None => compare(rows, line_micros),
        Some("platform") => platform::serve(line_micros),
        Some(side) => {
            let measured = client::run(side, rows, text("--url").unwrap_or_default())?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
    }
}

/// Starts the platform and, one after the other, the clients; prints the table.
fn compare(rows: u64, line_micros: u64) -> Result<()> {
    let mut platform = again("platform", rows)?;
    let platform = platform.args(["--line-micros", &line_micros.to_string()]);
    let mut platform = platform.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    BufReader::new(platform.stdout.take().ok_or("no output")?).read_line(&mut url)?;
    println!(
        "{rows} stocks in 5 warehouses, from SQLite to a platform on loopback that takes {line_micros} µs a line\n"
    );
    println!(
        "| rows      | client   | requests | lines   | seconds | CPU s | rate / floor | peak memory so far, MB |"
    );
    println!(
        "|-----------|----------|---------:|--------:|--------:|------:|-------------:|-----------------------:|"
    );
    let mut floor: Vec<Measured> = Vec::new();
    for side in ["floor", "cadenced"] {
        let output = again(side, rows)?.args(["--url", url.trim()]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{side} failed: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
        let passes: Vec<Measured> = serde_json::from_slice(&output.stdout)?;
        for (place, pass) in passes.iter().enumerate() {
            let beside = floor.get(place).unwrap_or(pass);
            println!(
                "| {:<9} | {side:<8} | {:>8} | {:>7} | {:>7.2} | {:>5.2} | {:>12.2} | {:>22.1} |",
                pass.name,
                pass.requests,
                pass.lines,
                pass.seconds,
                pass.cpu_seconds,
                beside.seconds / pass.seconds,
                pass.peak_bytes as f64 / f64::from(1 << 20),
            );
        }
        if floor.is_empty() {
            floor = passes;
        }
    }
    drop(platform.stdin.take());
    platform.wait()?;
    Ok(())
}

/// This program again, in another role.
fn again(role: &str, rows: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--as", role, "--rows", &rows.to_string()]);
    command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TRIM_THRESHOLD_", "65536");
    Ok(command)
}
