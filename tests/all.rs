//! All integration tests in one binary; each file keeps one promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is test code; the lint knows only the functions marked as tests"
)]

mod commands;
mod daemon;
mod dry_run;
mod housekeeping;
mod kills;
mod layers;
mod plan;
mod pull;
mod push;
mod seeds;
mod support;
mod unit_file;
mod walks;
