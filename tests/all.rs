//! All integration tests in one binary; each file keeps one promise.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod commands;
mod commerceup;
mod company;
mod daemon;
mod dry_run;
mod factory;
mod formats;
mod housekeeping;
mod import;
mod inbound;
mod init;
mod kills;
mod layers;
mod limits;
mod maps;
mod monitoring;
mod plan;
mod planner;
mod platforms;
mod pull;
mod push;
mod records;
mod scheduler;
mod seeds;
mod shop;
mod sql;
mod status_page;
mod steps;
mod support;
mod unit_file;
mod uploads;
mod walks;
mod year;
