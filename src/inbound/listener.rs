//! The listener's life: opened, moved to another address, given new callers and limits, closed. What changes holds for
//! calls that come from then on; a call that has come is answered whatever changes.

use super::http::{Receive, serve};
use super::{Settings, Terms};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The terms that hold at the moment.
#[derive(Debug, Clone)]
pub struct SharedTerms(Arc<RwLock<Arc<Terms>>>);

impl SharedTerms {
    /// These.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(terms))))
    }

    /// Those that hold at the moment.
    #[must_use]
    pub fn now(&self) -> Arc<Terms> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, terms: Terms) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }
}

/// Why there is no listener at an address.
#[derive(Debug, thiserror::Error)]
#[error("inbound.listen: the listener can't have {address}: {source}; change it, or stop what uses it")]
pub struct NoListener {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A change that can be made: if it needs an address, it has it.
#[derive(Debug)]
pub struct Change {
    settings: Option<Settings>,
    opened: Option<TcpListener>,
}

/// At most one listener, which may come, move and go while the daemon lives.
#[derive(Debug)]
pub struct Listener<R> {
    receiver: Arc<R>,
    open: Mutex<Option<Open>>,
    over: AtomicBool,
    /// Those that serve, and those that still answer what had come before they were closed.
    serving: tokio::sync::Mutex<JoinSet<io::Result<()>>>,
}

#[derive(Debug)]
struct Open {
    listen: SocketAddr,
    address: Option<SocketAddr>,
    terms: SharedTerms,
    stop: watch::Sender<bool>,
}

impl<R: Receive> Listener<R> {
    /// None yet.
    #[must_use]
    pub fn closed(receiver: Arc<R>) -> Self {
        Self {
            receiver,
            open: Mutex::default(),
            over: AtomicBool::new(false),
            serving: tokio::sync::Mutex::default(),
        }
    }

    /// Takes the address that these settings want, if it isn't had already. Nothing is accepted there yet.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn prepare(&self, settings: Option<Settings>) -> Result<Change, NoListener> {
        let had = self.open().as_ref().map(|open| open.listen);
        let opened = match settings.as_ref().map(|settings| settings.listen) {
            Some(address) if had != Some(address) => {
                let opened = TcpListener::bind(address).await;
                Some(opened.map_err(|source| NoListener { address, source })?)
            }
            _ => None,
        };
        Ok(Change { settings, opened })
    }

    /// Makes the change.
    pub async fn change(&self, Change { settings, opened }: Change) {
        let Some(Settings { listen, terms }) = settings else {
            self.close();
            return;
        };
        let Some(opened) = opened else {
            if let Some(open) = self.open().as_ref() {
                open.terms.set(terms);
            }
            return;
        };
        if self.over.load(Ordering::SeqCst) {
            return;
        }
        let (stop, mut stopped) = watch::channel(false);
        let (terms, address) = (SharedTerms::new(terms), opened.local_addr().ok());
        if let Some(address) = address {
            tracing::info!("calls are received at {address}");
        }
        let serving = serve(opened, Arc::clone(&self.receiver), terms.clone(), async move {
            drop(stopped.wait_for(|stop| *stop).await);
        });
        self.serving.lock().await.spawn(serving);
        let before = self.open().replace(Open { listen, address, terms, stop });
        if let Some(before) = before {
            before.stop.send_replace(true);
        }
    }

    /// Where calls are received, if they are.
    pub fn address(&self) -> Option<SocketAddr> {
        self.open().as_ref()?.address
    }

    /// No more calls are accepted.
    fn close(&self) {
        if let Some(open) = self.open().take() {
            open.stop.send_replace(true);
        }
    }

    /// Closes for good, and waits until every call that has come is answered and its work done.
    pub async fn closed_and_done(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.close();
        let mut serving = self.serving.lock().await;
        while let Some(ended) = serving.join_next().await {
            if let Err(error) = ended.unwrap_or_else(|error| Err(io::Error::other(error))) {
                tracing::error!(%error, "the listener for calls broke off");
            }
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
