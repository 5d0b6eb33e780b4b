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
#[path = "../sides.rs"]
mod sides;

use client::Measured;
use sides::{Platform, Result, SIDES, argument, measured, number};
use std::process::Command;

fn main() -> Result<()> {
    let rows = number("--rows")?.unwrap_or(100_000);
    let line_micros = number("--line-micros")?.unwrap_or(50);
    match argument("--as").as_deref() {
        None => compare(rows, line_micros),
        Some("platform") => sides::serve(move |stream| platform::answer_all(stream, line_micros)),
        Some(side) => {
            let measured = client::run(side, rows, &argument("--url").unwrap_or_default())?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
    }
}

/// Starts the platform and, one after the other, the clients; prints the table.
fn compare(rows: u64, line_micros: u64) -> Result<()> {
    let platform =
        Platform::start(again("platform", rows)?.args(["--line-micros", &line_micros.to_string()]))?;
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
    for side in SIDES {
        let passes: Vec<Measured> = measured(again(side, rows)?.args(["--url", &platform.url]))?;
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
    platform.stop()
}

/// This program in another role, its memory allocated as the shipped unit has it.
fn again(role: &str, rows: u64) -> Result<Command> {
    let mut command = sides::again(role)?;
    command.args(["--rows", &rows.to_string()]);
    command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TRIM_THRESHOLD_", "65536");
    Ok(command)
}
