//! The daemon as a system service: signals in, notifications out. Without a service manager the notifications go
//! nowhere and do no harm.

use super::control::DaemonControl;
use sd_notify::NotifyState;
use std::io;
use std::sync::Weak;
use std::time::Duration;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

pub(super) struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    pub(super) async fn until_stop(&mut self) {
        while self.next().await == Signal::Reload {}
    }
}

pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

pub(super) fn stopping(drain: Duration) {
    let patience = u32::try_from((drain + Duration::from_secs(15)).as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("waiting for running jobs to end");
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(patience), status]);
}

pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Tells the service manager that the daemon lives, and how it is doing, for as long as `control` does. A scheduler that
/// no longer answers is not alive.
pub(super) async fn beat(control: Weak<DaemonControl>) {
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(Duration::from_secs(10), |limit| limit / 3);
    while let Some(control) = control.upgrade() {
        if let Some(status) = control.status_line().await {
            tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        }
        drop(control);
        tokio::time::sleep(every).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
