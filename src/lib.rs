//! cadenced moves records between an ERP and its platforms on a schedule, within quotas, losing none.
//!
//! This page is the map. The modules form layers: each may use those above it in this list and none
//! below; `tests/layers.rs` fails when one does. `sandbox` stands apart: only `cli` and the tests use it.
//!
//! A tick, from timer to watermark: [`scheduler`] wakes and asks the [`planner`], which asks [`schedule`]
//! and answers `Start(slot)`; [`state`] writes the claim down; [`runner`] has [`connectors`] build the two
//! ends and lets [`transfer`] copy from one to the other, moving the watermark behind the records; [`state`]
//! closes the slot; the [`planner`] hears of it and dependents become due; [`admin`] shows it all.

/// The time of day and how tests replace it.
pub mod clock;
/// Moments at which a test kills the process; nothing in a release build.
pub mod crash;
/// Logging set-up, metric names, redaction of secrets.
pub mod telemetry;
/// Names, field paths, templates, texts that may be secret.
pub mod words;

/// Requests allowed per window on a connection: paced and enforced.
pub mod quota;
/// Whether and when a request is tried again.
pub mod retry;
/// When a job is due: cron, zones, windows, intervals; pure functions of two instants.
pub mod schedule;
/// How far a job has read its source: the rules of a walk and of its commit, pure.
pub mod watermark;

/// What a connection is, checked.
pub mod connection;
/// What a job is, checked: trigger, two ends, limits.
pub mod job;

/// jq filters, each in a process of its own.
pub mod filter;

/// The ledger's types: slots, runs, outcomes, counts.
pub mod run;

/// Pure decisions: facts and a time in, actions out.
pub mod planner;

/// A day of all jobs laid over the quotas of their connections, pure.
pub mod plan;

/// Source, Sink, Checkpoint and the loop that copies between them.
pub mod transfer;

/// The ERP's end: SQL databases.
pub mod erp;
/// The platform's end: REST requests, auth, pages.
pub mod rest;
/// What survives a crash; the only user of sled.
pub mod state;

/// The listener platforms call: who may, within which limits, and what they say.
pub mod inbound;

/// Builds the two ends of a job.
pub mod connectors;

/// One run of a job: attempts, outcome.
pub mod runner;

/// Answers the calls of platforms by the jobs that receive.
pub mod receiver;

/// Waits, claims, starts, joins.
pub mod scheduler;

/// The daemon's own chores: history, digests, exports.
pub mod housekeeping;

/// Health, metrics, control API.
pub mod admin;

/// Files, environment and flags into checked jobs and connections.
pub mod config;

/// A new set of jobs, or the old one whole.
pub mod reload;

/// Composition, signals, drain.
pub mod daemon;

/// The command line; no logic.
pub mod cli;

/// Simulated platforms and a sample ERP for `cadenced demo` and the tests.
pub mod sandbox;
