//! Quotas: how many requests a connection allows per window, paced and enforced.

use std::time::Duration;

/// Requests allowed in any window of this length: `10/s`, `300/min`, `1000/day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many requests; at least 1.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}
