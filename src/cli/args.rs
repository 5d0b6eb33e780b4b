//! The command line as clap reads it. The first line of each comment is what `--help` shows.

use crate::sandbox::{PLATFORMS, PlannedFault};
use crate::transfer::RejectClass;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// A schedule daemon that moves records between an ERP and its platforms.
#[derive(Debug, Parser)]
#[command(name = "cadenced", version, propagate_version = true)]
pub(super) struct Cli {
    /// The daemon's file [default: ./cadenced.toml, or else /etc/cadenced/cadenced.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The state directory, instead of the configured one
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground
    Run,
    /// Run the daemon against simulated platforms and a sample ERP, all on loopback
    Demo,
    /// Write a fresh configuration directory: connections, schedules, the ERP's SQL, secrets in files of their own
    Init(Init),
    /// Serve simulated platforms on loopback, to try a configuration against
    Sandbox(Sandbox),
    /// Read the whole configuration and print every problem, or each job with its next slots
    Check(Check),
    /// Print when jobs are due
    Next(Next),
    /// Lay a day of all jobs over the quotas of their connections, and say where it does not fit
    Plan(Plan),
    /// Run one job now, without the daemon, or through the one that runs
    Once(Once),
    /// Show what becomes of the first rows of a job: source row, mapped record, request; sends no record and writes nothing
    Try(Try),
    /// Read a stretch of the past again, beside the running daemon or without one; cut off, it goes on where it was
    Backfill(Backfill),
    /// The first run of every job, what others need before them, beside the running daemon or without one; cut off, it goes on where it was
    Import(Import),
    /// How every job is doing
    Status(Shown),
    /// The newest runs
    History(History),
    /// The slots of a day and what came of each
    Slots(Slots),
    /// Start a run now
    Trigger(Trigger),
    /// Keep a job from being started until it is resumed
    Pause(Pause),
    /// Take a pause back
    Resume(OneJob),
    /// Ask a connection whether it works: its address, its certificate, our credentials, its clock
    Ping(Ping),
    /// Have the daemon read its configuration again
    Reload(Reload),
    /// How far jobs have read their sources
    #[command(subcommand)]
    Watermark(Watermark),
    /// Records the other side refused
    #[command(subcommand)]
    Rejects(Rejects),
    /// Everything the daemon remembers, as JSON lines
    #[command(subcommand)]
    State(StateCommand),
    /// Put rows through a filter: the process that a job with a `filter` starts for itself
    #[command(name = crate::filter::COMMAND, hide = true)]
    FilterRows,
    /// Print the JSON Schema of the configuration, with which an editor completes, explains and checks it
    Schema,
    /// Print a script that teaches a shell to complete these commands
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The directory; nothing that is there is written over
    #[arg(default_value = ".")]
    pub(super) dir: PathBuf,
    /// A platform; as often as there are
    #[arg(long = "platform", value_name = "NAME")]
    pub(super) platforms: Vec<String>,
    /// The ERP's database: sqlite://erp.db (beside the configuration), postgres://host/database, mysql://host/database
    #[arg(long, value_name = "ADDRESS")]
    pub(super) erp: Option<String>,
    /// What a connection needs: PLATFORM.SETTING=VALUE, such as one.url=https://shop.example.com
    #[arg(long = "set", value_name = "SETTING")]
    pub(super) settings: Vec<String>,
    /// A secret, from the file that holds it: PLATFORM.SECRET=FILE
    #[arg(long = "secret", value_name = "SECRET")]
    pub(super) secrets: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The platform; all, if none is named
    #[arg(long = "platform", value_name = "NAME", value_parser = PossibleValuesParser::new(PLATFORMS.iter().map(|kind| kind.name)))]
    pub(super) platforms: Vec<String>,
    /// The first platform's address; the next ones have the next ports. Port 0 takes free ones
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8650", value_parser = loopback)]
    pub(super) listen: SocketAddrV4,
    /// What goes wrong: KIND[:EVERY[:PATH]], every so many requests whose path contains PATH; KIND is a status from 400
    /// to 599, reset, cut, lost (done, but the answer is lost), slow, html or error-in-200
    #[arg(long, value_name = "FAULT")]
    pub(super) faults: Vec<PlannedFault>,
    /// How a platform behaves: PLATFORM.SWITCH=VALUE; the switches there are, are printed at the start
    #[arg(long = "switch", value_name = "SWITCH")]
    pub(super) switches: Vec<String>,
}

fn loopback(address: &str) -> Result<SocketAddrV4, String> {
    let address: SocketAddrV4 = address.parse().map_err(|_| "not an address such as 127.0.0.1:8650")?;
    if *address.ip() == Ipv4Addr::LOCALHOST {
        return Ok(address);
    }
    Err("its credentials are known to everybody: it listens on 127.0.0.1 only".to_owned())
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also open every database, prepare every query and statement, and look up every table; nothing is read or written
    #[arg(long)]
    pub(super) connect: bool,
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Try {
    /// The job
    pub(super) job: String,
    /// How many rows of its source
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) limit: usize,
    /// How they are written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct OneJob {
    /// The job
    pub(super) job: String,
}

#[derive(Debug, Args)]
pub(super) struct Next {
    /// The jobs; all, if none is named
    #[arg(value_name = "JOB", conflicts_with_all = ["cron", "batch"])]
    pub(super) jobs: Vec<String>,
    /// A cron expression instead of jobs: six fields, seconds first, or five
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "batch", allow_hyphen_values = true)]
    pub(super) cron: Option<String>,
    /// The zone the expression is read in [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron", value_parser = zone)]
    pub(super) timezone: Option<Tz>,
    /// The first instant that counts: RFC 3339, or a local time of the zone [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "batch")]
    pub(super) from: Option<String>,
    /// The first instant that no longer counts
    #[arg(long, value_name = "TIME", conflicts_with = "batch")]
    pub(super) until: Option<String>,
    /// How many slots of each job [default: 10, or all before --until]
    #[arg(long, value_name = "N", conflicts_with = "batch")]
    pub(super) count: Option<usize>,
    /// Read requests from a file of JSON lines, `{id,cron,timezone,from,count}` each; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) batch: Option<PathBuf>,
    /// How slots are written; a batch is always answered in JSON
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| "not an IANA time zone such as Europe/Warsaw".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The day, in the daemon's zone [default: today]
    #[arg(long, value_name = "DATE")]
    pub(super) date: Option<NaiveDate>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Once {
    /// The job
    pub(super) job: String,
    /// Print the requests it would send, secrets redacted; send and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Backfill {
    /// The job
    pub(super) job: String,
    /// The first instant, RFC 3339: 2026-03-01T00:00:00+01:00
    #[arg(long, value_name = "TIME")]
    pub(super) since: String,
    /// The first instant that no longer belongs to it
    #[arg(long, value_name = "TIME")]
    pub(super) until: String,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Only jobs over this connection
    #[arg(long, value_name = "CONNECTION")]
    pub(super) connection: Option<String>,
    /// How the results are written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// The job; all, if none is named
    pub(super) job: Option<String>,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Slots {
    /// The job
    pub(super) job: String,
    /// The day, in the job's zone [default: today]
    #[arg(long, value_name = "DATE")]
    pub(super) date: Option<NaiveDate>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Trigger {
    /// The job
    pub(super) job: String,
    /// Run an `initial` job once more although it had its one successful run
    #[arg(long)]
    pub(super) again: bool,
    /// Wait for the run's end and exit with its outcome
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The job
    pub(super) job: String,
    /// Why, for whoever looks at the status
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Ping {
    /// The connection
    pub(super) connection: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Wait until the new set of jobs serves; exit 1 if it was refused and the old one stays
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Watermark {
    /// Every job's watermark
    List(Shown),
    /// One job's watermark
    Get(OneJob),
    /// Move a watermark, forwards or backwards
    Set {
        /// The job
        job: String,
        /// The instant, RFC 3339: 2026-03-29T03:00:00+02:00, or the id of a feed
        watermark: String,
    },
    /// Forget a watermark: the job starts from its configured start
    Reset(OneJob),
}

#[derive(Debug, Subcommand)]
pub(super) enum Rejects {
    /// The rejects of a job, or of all
    List {
        /// The job; all, if none is named
        job: Option<String>,
        #[command(flatten)]
        filter: Filter,
        /// How many rejects
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// How it is written
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// One reject with its content
    Show {
        /// The job
        job: String,
        /// The record's key, as `list` prints it
        key: String,
    },
    /// Have the next run send rejects again, as the source has them by then
    Retry(Which),
    /// Drop rejects: they are not sent again until they change
    Drop(Which),
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only those of this class: rejected, waiting, transient, unknown
    #[arg(long, value_name = "CLASS", group = "which", value_parser = class)]
    pub(super) class: Option<RejectClass>,
    /// Only those whose reason holds this text
    #[arg(long, value_name = "TEXT", group = "which")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(super) struct Which {
    /// The job
    pub(super) job: String,
    /// The record's key, as `list` prints it
    #[arg(group = "which", conflicts_with = "all")]
    pub(super) key: Option<String>,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// All of the job
    #[arg(long, group = "which", conflicts_with_all = ["class", "reason"])]
    pub(super) all: bool,
    /// Only print which they are
    #[arg(long)]
    pub(super) preview: bool,
}

fn class(text: &str) -> Result<RejectClass, String> {
    let all = [RejectClass::Rejected, RejectClass::Waiting, RejectClass::Transient, RejectClass::Unknown];
    all.into_iter()
        .find(|class| class.as_str() == text)
        .ok_or_else(|| "one of rejected, waiting, transient, unknown".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Write everything the daemon remembers
    Export {
        /// Into this file, whole or not at all [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fill the state directory from an export; no daemon may run on it
    Import {
        /// The export; `-` is standard input
        file: PathBuf,
        /// Put the export in the place of a state that is there already
        #[arg(long)]
        replace: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
