//! All integration tests in one binary; each file keeps one promise.

mod kills;
mod layers;
mod seeds;
mod support;
mod commands;
mod daemon;
mod dry_run;
mod layers;
mod pull;
mod push;
mod support_checks;
mod unit_file;
