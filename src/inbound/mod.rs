//! The listener that platforms call: who may call, within which limits, and what their body says.
//!
//! It promises that a call reaches the receiver only with known credentials, a known path and a body that was read whole;
//! everything else is answered here, with a text that helps an honest caller and tells others nothing. A receiver at
//! work is never cut short: neither by a caller that leaves nor by the time an answer may take. What a call means, and
//! the answer to it, are the receiver's.

mod body;
mod credentials;
mod door;
mod http;
mod listener;
#[cfg(test)]
mod tests;
mod tls;

pub use body::{BadBody, parse};
pub use credentials::{Callers, Way, Who};
pub use http::{Endpoint, Receive, Received, Reply, serve};
pub use listener::{Change, Listener, NoListener, SharedTerms};
pub use tls::{BadTls, Tls};

use std::net::SocketAddr;
use std::time::Duration;

/// How the listener is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What holds for every call.
    pub terms: Terms,
}

/// What holds for every call.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who may call.
    pub callers: Callers,
    /// What a call may cost.
    pub limits: Limits,
    /// With what connections are encrypted; without it they aren't.
    pub tls: Option<Tls>,
}

/// What a call may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// From the connection, or from the last answer on it, to the end of the next request's head; then it is closed.
    pub head_time: Duration,
    /// From the end of the head to the end of the body.
    pub body_time: Duration,
    /// From the end of the body to the answer; a shopper is waiting for it.
    pub answer_time: Duration,
    /// Calls taken at the same time; one more is asked to come again.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(5),
            at_once: 256,
        }
    }
}
