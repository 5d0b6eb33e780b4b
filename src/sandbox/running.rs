//! What a simulated platform is to those who hold it: its wire, its switches and the thread that answers. What it holds
//! and how it answers is its own affair.

use super::Switches;
use super::exchange::{Incoming, Refusal, routes};
use super::lock;
use super::wire::{ServerThread, Wire, WireOptions};
use axum::response::Response;
use std::io;
use std::sync::{Arc, Mutex};

/// A running platform. Clones are handles to the same one; it stops with the last of them.
#[derive(Debug)]
pub struct Running<P> {
    /// Its address, request log, faults, clock and the rules its callers broke.
    pub wire: Wire,
    /// What is played of what the contract leaves open; changes take effect with the next request.
    pub switches: Switches,
    /// What it knows and holds.
    pub(super) inside: Arc<P>,
    /// None in the handle that the thread itself has: it would never stop.
    thread: Option<Arc<Mutex<Option<ServerThread>>>>,
}

impl<P> Clone for Running<P> {
    fn clone(&self) -> Self {
        Self {
            wire: self.wire.clone(),
            switches: self.switches.clone(),
            inside: Arc::clone(&self.inside),
            thread: self.thread.clone(),
        }
    }
}

impl<P: Send + Sync + 'static> Running<P> {
    /// Starts one on 127.0.0.1. The errors are those of the port and of the thread.
    pub(super) fn open(
        options: &WireOptions,
        switches: Switches,
        inside: impl FnOnce(&Wire) -> P,
        answer: fn(&Self, &Incoming) -> Result<Response, Refusal>,
        refuse: fn(&Refusal) -> Response,
    ) -> io::Result<Self> {
        let (wire, listener) = Wire::bind(options)?;
        let inside = Arc::new(inside(&wire));
        let handle = Self { wire, switches, inside, thread: None };
        let own = handle.clone();
        let routes = routes(&handle.wire, move |request| answer(&own, request), refuse);
        let thread = handle.wire.serve(listener, routes)?;
        Ok(Self { thread: Some(Arc::new(Mutex::new(Some(thread)))), ..handle })
    }

    /// Stops it and cuts its connections; what it holds can still be read. From a hook this has no effect.
    pub fn stop(&self) {
        if let Some(thread) = &self.thread {
            drop(lock(thread).take());
        }
    }
}
