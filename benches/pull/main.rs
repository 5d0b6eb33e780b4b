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
#[path = "../sides.rs"]
mod sides;

use client::Measured;
use sides::{Platform, Result, SIDES, again, argument, measured, number};

fn main() -> Result<()> {
    let orders = number("--orders")?.unwrap_or(100_000);
    let pages = number("--page")?.map_or(vec![100, 1000], |page| vec![page]);
    match argument("--as").as_deref() {
        None => compare(orders, &pages),
        Some("platform") => sides::serve(move |stream| platform::answer_all(stream, orders)),
        Some(side) => {
            let page = pages.first().copied().unwrap_or(100);
            let measured = client::run(side, orders, page, &argument("--url").unwrap_or_default())?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
    }
}

/// Starts the platform and, one after the other, the clients; prints the table.
fn compare(orders: u64, pages: &[u64]) -> Result<()> {
    let of_all = ["--orders", &orders.to_string()];
    let platform = Platform::start(again("platform")?.args(of_all))?;
    println!("{orders} orders of 1.2 kB, from a platform on loopback into SQLite\n");
    println!("| page | client   | orders/s | CPU s per 100k | peak memory, MB | rate / floor |");
    println!("|-----:|----------|---------:|---------------:|----------------:|-------------:|");
    for page in pages {
        let mut floor = None;
        for side in SIDES {
            let mut client = again(side)?;
            client.args(of_all).args(["--page", &page.to_string(), "--url", &platform.url]);
            let Measured { seconds, cpu_seconds, peak_bytes } = measured(&mut client)?;
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
