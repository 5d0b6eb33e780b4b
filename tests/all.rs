//! All integration tests in one binary; each file keeps one promise.

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
mod sql;
mod support;
mod unit_file;
