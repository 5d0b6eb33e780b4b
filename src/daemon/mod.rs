//! Composition: opens the state, connects the parts, serves until told to stop, drains. What each part does is said
//! where it lives; this is only their order. The state directory is taken before anything else, and given back last.

mod backfill;
mod control;
mod import;
mod once;
mod service;

pub use import::{Import, Planned, import_plan};
pub use once::{Once, backfill, once, ping, preview};

use crate::admin::{Access, bind_control, router, serve};
use crate::clock::SharedClock;
use crate::config::{Loaded, Sources};
use crate::connectors::Connectors;
use crate::housekeeping::{DAILY, Desk, Housekeeping};
use crate::inbound::{self, Listener, NoListener};
use crate::receiver::Receiver;
use crate::reload::{Reloader, budgets_that_will_not_last, facts};
use crate::runner::{Observer, Runner};
use crate::scheduler::{Scheduler, SchedulerHandle};
use crate::state::{StateError, Store};
use crate::telemetry;
use crate::transfer::Failure;
use control::DaemonControl;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A connection can't be made ready.
    #[error(transparent)]
    Connection(#[from] Failure),
    /// The job can't be run, or not be looked at.
    #[error("{0}")]
    Job(String),
    /// The admin address can't be had.
    #[error(
        "{address}: the admin endpoint can't listen there: {source}; change admin.listen, or stop what uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The address that platforms call can't be had.
    #[error(transparent)]
    Inbound(#[from] NoListener),
    /// The control socket can't be made.
    #[error("the control socket in {state} can't be made: {source}")]
    Socket {
        /// The state directory.
        state: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Signals can't be listened to.
    #[error("signals can't be waited for: {0}")]
    Signals(std::io::Error),
    /// A part of the start broke off.
    #[error("the start broke off: {0}")]
    Broken(String),
}

/// The daemon, put together and not yet serving.
pub struct Daemon {
    scheduler: Scheduler,
    handle: SchedulerHandle,
    receiver: Arc<Receiver>,
    listener: Arc<Listener<Receiver>>,
    /// The address that platforms call, taken and not yet served.
    inbound: inbound::Change,
    control: Arc<DaemonControl>,
    admin: TcpListener,
    socket: UnixListener,
    access: Access,
    drain: Duration,
    desk: Desk,
    store: Store,
}

impl Daemon {
    /// Opens the state and connects the parts. Nothing starts before [`Daemon::serve`].
    pub async fn start(
        loaded: Loaded,
        sources: Sources,
        clock: SharedClock,
        observer: Option<Observer>,
    ) -> Result<Self, StartError> {
        // What is measured before they are installed would be lost.
        telemetry::metrics();
        let settings = loaded.settings.clone();
        let store = open_store(&settings.state, &clock).await?;
        let connectors = {
            let (connections, store, clock) = (loaded.connections.clone(), store.clone(), clock.clone());
            blocking(move || Connectors::open(&connections, None, store, clock)).await??
        };
        let connectors = Arc::new(connectors);
        let runner = Arc::new(Runner::new(Arc::clone(&connectors), observer));
        let facts = facts(&store).await?;
        let paused = facts.iter().filter(|(_, facts)| facts.paused.is_some()).map(|(name, _)| name.clone());
        let (jobs, inbound) = (&loaded.jobs, settings.inbound.as_ref());
        let receiver = Receiver::new(jobs, connectors, inbound, paused, store.clone(), clock.clone());
        let receiver = Arc::new(receiver);
        let listener = Arc::new(Listener::closed(Arc::clone(&receiver)));
        let inbound = listener.prepare(settings.inbound.clone()).await?;
        for warning in budgets_that_will_not_last(&store, &loaded, clock.now()).await? {
            tracing::warn!("{warning}");
        }
        let address = settings.admin.listen;
        let listen = |source| StartError::Listen { address, source };
        let admin = TcpListener::bind(address).await.map_err(listen)?;
        let state = settings.state.clone();
        let socket = blocking(move || bind_control(&state))
            .await?
            .map_err(|source| StartError::Socket { state: settings.state.display().to_string(), source })?;
        let (scheduler, handle) =
            Scheduler::new(&loaded.jobs, &facts, Arc::new(store.clone()), runner.clone(), clock.clone());
        let calls = (Arc::clone(&receiver), Arc::clone(&listener));
        let reloader =
            Reloader::new(loaded, sources, store.clone(), runner, calls, handle.clone(), clock.clone());
        let access = settings.admin.token.map_or(Access::Closed, Access::Token);
        let control = DaemonControl::new(store.clone(), handle.clone(), reloader, clock.clone());
        let serving = control.clone();
        let jobs = Box::new(move || serving.jobs());
        let desk = Desk { store: store.clone(), rules: settings.housekeeping, jobs, clock };
        let drain = settings.drain_timeout;
        Ok(Self {
            scheduler,
            handle,
            receiver,
            listener,
            inbound,
            control,
            admin,
            socket,
            access,
            drain,
            desk,
            store,
        })
    }

    /// The address the admin endpoint listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.admin.local_addr().ok()
    }

    /// Where platforms call, once the daemon serves.
    #[must_use]
    pub fn listener(&self) -> Arc<Listener<Receiver>> {
        Arc::clone(&self.listener)
    }

    /// Speaks to the scheduler.
    #[must_use]
    pub fn scheduler(&self) -> SchedulerHandle {
        self.handle.clone()
    }

    /// Serves until `shutdown` turns true, drains, and gives the state directory back.
    pub async fn serve(self, shutdown: watch::Receiver<bool>) {
        let address = self.address();
        let Self {
            scheduler,
            receiver,
            listener,
            inbound,
            control,
            admin,
            socket,
            access,
            drain,
            desk,
            store,
            ..
        } = self;
        let (stop_doors, doors_stop) = watch::channel(false);
        let stopped = |mut stop: watch::Receiver<bool>| async move {
            drop(stop.wait_for(|stop| *stop).await);
        };
        let network = serve(admin, router(control.clone(), access), stopped(doors_stop.clone()));
        let local = serve(socket, router(control.clone(), Access::Local), stopped(doors_stop));
        let doors = tokio::spawn(async move { tokio::join!(network, local) });
        control.ready();
        let beat = tokio::spawn(service::beat(Arc::downgrade(&control)));
        let housekeeping = Housekeeping::start(desk, &DAILY).await;
        listener.change(inbound).await;
        let (stop_books, books_stop) = watch::channel(false);
        let books = tokio::spawn(async move { receiver.keep_books(books_stop).await });
        match address {
            Some(address) => tracing::info!("serving; health is at http://{address}/health"),
            None => tracing::info!("serving"),
        }
        service::ready();
        let draining = {
            let control = Arc::downgrade(&control);
            let shutdown = shutdown.clone();
            async move {
                stopped(shutdown).await;
                if let Some(control) = control.upgrade() {
                    control.draining();
                }
                service::stopping(drain);
            }
        };
        let calls = async {
            stopped(shutdown.clone()).await;
            if listener.address().is_some() {
                tracing::info!("no calls are received any more; calls are let end");
            }
            if tokio::time::timeout(drain, listener.closed_and_done()).await.is_err() {
                tracing::warn!(
                    "calls are left unanswered: the ERP took longer for them than the stop may take"
                );
            }
        };
        tokio::join!(scheduler.run(shutdown.clone(), drain), draining, calls);
        stop_books.send_replace(true);
        drop(books.await);
        drop(listener);
        beat.abort();
        housekeeping.stop().await;
        stop_doors.send_replace(true);
        if let Ok((network, local)) = doors.await {
            for broken in [network.err(), local.err()].into_iter().flatten() {
                tracing::error!(error = %broken, "the admin endpoint broke off");
            }
        }
        drop(control);
        // The last handle closes the database, which blocks.
        drop(blocking(move || drop(store)).await);
        tracing::info!("stopped");
    }
}

/// Runs the daemon until SIGTERM or SIGINT; SIGHUP reads the configuration again.
pub async fn run(
    loaded: Loaded,
    sources: Sources,
    clock: SharedClock,
    observer: Option<Observer>,
) -> Result<(), StartError> {
    let mut signals = service::Signals::listen().map_err(StartError::Signals)?;
    let daemon = Daemon::start(loaded, sources, clock, observer).await?;
    let control = Arc::downgrade(&daemon.control);
    let (stop, shutdown) = watch::channel(false);
    let listening = tokio::spawn(async move {
        while let service::Signal::Reload = signals.next().await {
            if let Some(control) = control.upgrade() {
                tokio::spawn(async move { control.reload_now().await.map(drop) });
            }
        }
        stop.send_replace(true);
        // A second signal doesn't wait for the drain.
        signals.until_stop().await;
        tracing::warn!("told to stop twice; running jobs are left as interrupted");
    });
    tokio::select! {
        () = daemon.serve(shutdown) => {}
        ended = listening => drop(ended),
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
pub async fn until_told_to_stop() {
    match service::Signals::listen() {
        Ok(mut signals) => signals.until_stop().await,
        Err(error) => {
            tracing::error!(%error, "signals can't be waited for; stop the process the hard way");
            std::future::pending().await
        }
    }
}

/// Opens the state directory off the async threads.
async fn open_store(dir: &std::path::Path, clock: &SharedClock) -> Result<Store, StartError> {
    let (dir, clock) = (dir.to_owned(), clock.clone());
    Ok(blocking(move || Store::open(&dir, clock)).await??)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StartError::Broken(error.to_string()))
}
