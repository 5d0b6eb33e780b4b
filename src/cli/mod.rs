//! The command line: reads what was asked, calls the part that does it, prints what it answers. No logic.
//!
//! Data goes to stdout, messages to stderr, and scripts can rely on the exit codes ([`Exit`]). Nothing here ends the
//! process; `main.rs` does.

mod args;
mod backfill;
mod check;
mod control;
mod demo;
mod dry_run;
mod import;
mod init;
mod keep;
mod kits;
mod launch;
mod man;
mod next;
mod output;
mod ping;
mod place;
mod plan;
mod sandbox;
#[cfg(test)]
mod tests;

pub use output::Exit;

use crate::admin::ControlClient;
use crate::clock::{Clock as _, SystemClock};
use crate::config;
use crate::filter;
use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use output::{Stop, say};
use place::Place;
use std::ffi::OsString;
use std::io::{BufWriter, Write};

/// Does what the arguments (the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap, but answers to whoever asked.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit;
        }
    };
    let mut out = BufWriter::new(std::io::stdout());
    let done = perform(cli, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    // What is left in the buffer is what could not be written: dropping it would try once more.
    let _ = out.into_parts();
    match done {
        Ok(exit) => exit,
        Err(stop) => {
            if !stop.message.is_empty() {
                say(format!("cadenced: {}", stop.message));
            }
            stop.exit
        }
    }
}

fn perform(cli: Cli, out: &mut impl Write) -> Result<Exit, Stop> {
    let place = Place { config: cli.config, state: cli.state };
    match cli.command {
        Command::Run => launch::run(&place),
        Command::Demo => demo::demo(),
        Command::Init(args) => init::init(&place, &args, out),
        Command::Sandbox(args) => sandbox::sandbox(&args, out),
        Command::Once(args) => launch::once(&place, &args, out),
        Command::Try(args) => launch::try_job(&place, &args, out),
        Command::Import(args) => import::import(&place, &args, out),
        Command::Backfill(args) => backfill::backfill(&place, &args, out),
        Command::Check(args) => check::check(&place, &args, SystemClock.now(), out),
        Command::FilterRows => {
            filter::serve(std::io::stdin().lock(), out)?;
            Ok(Exit::Ok)
        }
        Command::Schema => {
            out.write_all(schema()?.as_bytes())?;
            Ok(Exit::Ok)
        }
        Command::Completions { shell } => completions(shell, out),
        Command::Man { dir } => man::man(&dir),
        Command::Next(args) => next::next(&place, &args, SystemClock.now(), out),
        talk => runtime()?.block_on(perform_talking(talk, &place, out)),
    }
}

async fn perform_talking(command: Command, place: &Place, out: &mut impl Write) -> Result<Exit, Stop> {
    let daemon =
        async || -> Result<ControlClient, Stop> { Ok(ControlClient::connect(&place.state()?).await?) };
    match command {
        Command::Status(args) => control::status(&daemon().await?, &args, out).await,
        Command::History(args) => control::history(&daemon().await?, &args, out).await,
        Command::Plan(args) => plan::plan(place, &args, SystemClock.now(), out).await,
        Command::Slots(args) => control::slots(&daemon().await?, &args, out).await,
        Command::Trigger(args) => control::trigger(&daemon().await?, &args).await,
        Command::Pause(args) => control::pause(&daemon().await?, &args).await,
        Command::Resume(args) => control::resume(&daemon().await?, &args).await,
        Command::Ping(args) => ping::ping(place, &args, out).await,
        Command::Reload(args) => control::reload(&daemon().await?, &args).await,
        Command::Watermark(command) => keep::watermark(place, command, out).await,
        Command::Rejects(command) => keep::rejects(place, command, out).await,
        Command::State(command) => keep::state(&place.state()?, command, out).await,
        Command::Run
        | Command::Demo
        | Command::Init(_)
        | Command::Sandbox(_)
        | Command::Once(_)
        | Command::Try(_)
        | Command::Backfill(_)
        | Command::Import(_)
        | Command::Check(_)
        | Command::Next(_)
        | Command::FilterRows
        | Command::Schema
        | Command::Completions { .. }
        | Command::Man { .. } => Err(Stop::new(Exit::Internal, "this command needs no daemon")),
    }
}

/// The schema that `cadenced schema` prints.
fn schema() -> Result<String, Stop> {
    config::schema().map_err(|error| Stop::new(Exit::Internal, error.to_string()))
}

/// `cadenced completions`.
fn completions(shell: Shell, out: &mut impl Write) -> Result<Exit, Stop> {
    // The generator panics where it can't write, as into a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cadenced", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Ok)
}

fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Internal, format!("the runtime could not be started: {error}")))
}
