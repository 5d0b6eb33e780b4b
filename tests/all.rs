//! All integration tests in one binary; each file keeps one promise.

mod commands;
mod daemon;
mod dry_run;
mod formats;
mod housekeeping;
mod kills;
mod layers;
mod plan;
mod planner;
mod pull;
mod push;
mod scheduler;
mod seeds;
mod support;
mod unit_file;
