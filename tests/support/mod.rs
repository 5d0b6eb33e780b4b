//! What integration tests share: a site to run the daemon on, and the daemon itself as a process of its own; jobs and a
//! ledger in memory for what needs no daemon.

mod browser;
mod daemon;
mod databases;
mod frontage;
pub(crate) mod jobs;
pub(crate) mod ledger;
mod program;
mod runs;
mod schema;
mod service;
mod shelf;
mod site;
mod uploads;

pub(crate) use browser::{Browser, Screen};
pub(crate) use daemon::{Daemon, Said};
pub(crate) use databases::{Erp, Session};
pub(crate) use frontage::{PASSWORD, USER, caller, known_customer};
pub(crate) use program::{connections, json, program, repository, shipped, signal, stderr};
pub(crate) use schema::Judge;
pub(crate) use service::Service;
pub(crate) use shelf::{Mishap, Shelf};
pub(crate) use site::{Site, TOKEN};
pub(crate) use uploads::{Archive, pdf};

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// Nothing a test waits for takes this long, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what is sure to come; `what` says in the panic what did not.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Drives a step so often at most; what it came to, if it ended with that.
pub(crate) async fn poll_times<T>(mut step: Pin<&mut impl Future<Output = T>>, times: u32) -> Option<T> {
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        step.as_mut().poll(context).map(Some)
    })
    .await
}
