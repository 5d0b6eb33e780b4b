//! The worker's side: reads a filter and then rows, a JSON text a line, and answers each row with a line.

use super::program::Program;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::{self, BufRead, Write};

/// What a filter may use of the memory's addresses, the program itself included.
const ADDRESSES: u64 = 768 << 20;
/// Seconds of processor time in all: what is left over when the daemon was killed ends some time.
const PROCESSOR: u64 = 3_600;

/// What became of a row.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// What the filter makes of it.
    Row(Map<String, Value>),
    /// Why it makes nothing of it.
    Error(String),
}

/// Limits this process, for good, and serves until the input ends.
///
/// # Errors
/// The limits can't be set, or the other side has gone.
pub fn serve(input: impl BufRead, output: impl Write) -> io::Result<()> {
    for (resource, limit) in [(Resource::As, ADDRESSES), (Resource::Cpu, PROCESSOR), (Resource::Core, 0)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    answer(input, output)
}

/// Answers row by row; the first line is the filter.
pub(super) fn answer(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut lines = input.split(b'\n');
    let Some(first) = lines.next() else { return Ok(()) };
    let text: String = serde_json::from_slice(&first?)?;
    let program = Program::new(&text).map_err(io::Error::other)?;
    for line in lines {
        let reply = program.run(&line?).map_or_else(Reply::Error, Reply::Row);
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
