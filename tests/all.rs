//! All integration tests in one binary; each file keeps one promise.

// clippy then holds what the tests share to the rules of tests.
#![cfg(test)]

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
mod support_checks;
mod unit_file;
