//! Data on stdout, messages on stderr, and how a command ends.

use crate::admin::{ClientError, Refusal};
use crate::state::StateError;
use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ends, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked. 0.
    Ok,
    /// The run failed, or the daemon refused. 1.
    Failed,
    /// The run went through, but for some records. 2.
    Partial,
    /// The command makes no sense. 64.
    Usage,
    /// There is no daemon to talk to. 69.
    NoDaemon,
    /// Something of our own broke. 70.
    Internal,
    /// The configuration, or a cron expression, is wrong. 78.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Partial => 2,
            Exit::Usage => 64,
            Exit::NoDaemon => 69,
            Exit::Internal => 70,
            Exit::Config => 78,
        })
    }
}

/// A command that stops early: how it ends, and what to say on stderr.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Stop {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        // Whoever reads us has seen enough, as `head` has: nobody is left to complain to.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Internal, format!("the output could not be written: {error}"))
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NoDaemon { .. } | ClientError::Unreachable { .. } => Exit::NoDaemon,
            ClientError::Refused(Refusal::Internal { .. }) | ClientError::Broken(_) => Exit::Internal,
            ClientError::Refused(_) => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        let exit = match &error {
            StateError::Held { .. } | StateError::Locked { .. } => Exit::NoDaemon,
            StateError::NotEmpty { .. } | StateError::BadExport { .. } | StateError::Running { .. } => {
                Exit::Failed
            }
            _ => Exit::Internal,
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::new(exit, format!("{error}{cause}"))
    }
}

/// Says something on stderr. If that is gone too, there is nothing left to do about it.
pub(super) fn say(message: impl Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// One JSON object on a line.
pub(super) fn json_line(out: &mut impl Write, data: &impl Serialize) -> Result<(), Stop> {
    serde_json::to_writer(&mut *out, data).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Rows below a header, in columns as wide as their widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        // A cell is one line, whatever a platform put into its error message.
        self.rows.push(cells.map(|cell| one_line(&cell)).to_vec());
    }

    pub(super) fn print(&self, out: &mut impl Write) -> Result<(), Stop> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What stands between the parts of a record's key, and the sign it is shown as.
const SEPARATOR: (char, char) = ('\u{1f}', '\u{241f}');

/// The key of a record as it is, from the key as a table shows it.
pub(super) fn typed_key(shown: &str) -> String {
    shown.replace(SEPARATOR.1, "\u{1f}")
}

fn one_line(cell: &str) -> String {
    let shown = |c: char| match c {
        c if c == SEPARATOR.0 => SEPARATOR.1,
        c if c.is_control() => ' ',
        c => c,
    };
    cell.chars().map(shown).collect()
}

/// An instant as people read it in a zone: `2026-03-29 03:00:00 CEST`.
pub(super) fn shown(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// An instant as programs read it, with the zone's offset: `2026-03-29T03:00:00+02:00`.
pub(super) fn offset(at: DateTime<Utc>, zone: Tz) -> String {
    zone.from_utc_datetime(&at.naive_utc()).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// `1 request`, `2 requests`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What stands for nothing in a table.
pub(super) const NOTHING: &str = "-";

/// The value's text, or what stands for nothing.
pub(super) fn or_nothing(value: Option<impl Display>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_a_cell_is_one_line() {
        let mut table = Table::new(["JOB", "WHY"]);
        table.row(["one-stocks".to_owned(), "two\nlines".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "JOB         WHY\none-stocks  two lines\nb\n");
    }

    #[test]
    fn a_key_of_several_parts_can_be_copied_from_a_table() {
        assert_eq!(typed_key(&one_line("WAW1\u{1f}A-17")), "WAW1\u{1f}A-17");
    }

    #[test]
    fn a_broken_pipe_is_no_failure_but_a_full_disk_is() {
        assert_eq!(Stop::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit, Exit::Ok);
        assert_eq!(Stop::from(io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Internal);
    }

    #[test]
    fn instants_are_shown_with_the_zones_own_offset() {
        let at = "2026-03-29T01:00:00Z".parse().unwrap();
        assert_eq!(shown(at, Tz::Europe__Warsaw), "2026-03-29 03:00:00 CEST");
        assert_eq!(offset(at, Tz::Europe__Warsaw), "2026-03-29T03:00:00+02:00");
        assert_eq!(offset(at, Tz::UTC), "2026-03-29T01:00:00+00:00");
    }
}
