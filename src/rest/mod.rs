//! The platform's end: REST requests, auth, pages.
//!
//! [`Client`] sends: paced by the connection's quotas, proven by its auth, tried again where that can help.
//! [`rows`] reads pages a row at a time; [`RestSink`] pushes batches and finds the bad record in a refused one.

mod auth;
mod charset;
mod client;
mod guard;
mod lookup;
mod page;
mod payload;
mod ping;
mod pull;
mod push;
mod request;
mod results;
pub mod rows;
mod said;
mod shape;
mod split;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;
mod xml;

pub use client::{Client, Shown};
pub use guard::ConnectionView;
pub use ping::{Ping, PingStep};
pub use pull::{KEY_SEPARATOR, PullSource, Reader, SharedWalk, Watch, Witnesses, waiting_row, walk_rules};
pub use push::{RestSink, UploadSteps, Uploading};
pub use request::{Answer, BadPath, Body, Request, expand_path};
pub use rows::fields_of;
pub use xml::read_document;
