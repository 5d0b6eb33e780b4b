//! jq filters, the one escape hatch of a map. A filter is a program of somebody's own: it may run for ever, fill the
//! memory or overflow the stack in the middle of a step, where no thread can be stopped. So it runs in a process of its
//! own ([`Worker`]), a copy of this program with limits set, and what goes wrong there ends the run and not the daemon.
//!
//! Promises: a filter sees the row and nothing else: no environment, no files, no other inputs, no clock, no zone of the
//! host; it can't end or print anything. A number it passes through keeps its digits; what it computes is a float, so
//! money is not computed here.

mod program;
mod serve;
mod worker;

pub use program::{BadFilter, check};
pub use serve::serve;
pub use worker::{FilterError, Worker};

/// The command that turns this program into a worker.
pub const COMMAND: &str = "filter-rows";

#[cfg(test)]
mod tests;
