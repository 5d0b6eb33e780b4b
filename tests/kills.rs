//! kill -9 at any moment loses no record and delivers none wrongly; no slot is lost, and none is run twice to its end.
//!
//! The daemon is the real binary with a state directory of its own; platforms and ERP live in this process and survive
//! it. `CADENCED_KILLS=200` makes it 200 kills at each moment instead of 20.

mod ledger;
mod transfers;
mod uploads;

/// Kills at each moment.
fn kills_at_each() -> usize {
    std::env::var("CADENCED_KILLS").ok().and_then(|number| number.parse().ok()).unwrap_or(20)
}
