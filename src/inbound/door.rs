//! Connections that may not wait for ever: one whose next request's head isn't complete in time is closed. A server
//! without this can be kept busy by callers that send a letter a minute.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// Accepts connections and gives each this long for a head.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    head_time: Duration,
}

/// The other end of a connection, as a request knows it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    stage: Arc<AtomicU8>,
}

/// It waits for a head, and its time runs.
const WAITING: u8 = 0;
/// It has a request.
const BUSY: u8 = 1;
/// It had one, and its time begins anew.
const WAITING_ANEW: u8 = 2;

/// While it lives, the connection has a request; afterwards it waits for the next.
#[derive(Debug)]
pub(super) struct Turn(Arc<AtomicU8>);

/// A connection with a deadline while it waits for a head.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    head_time: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, head_time: Duration) -> Self {
        Self { listener, head_time }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are short and somebody waits for them.
        let _ = stream.set_nodelay(true);
        let peer = Peer { address, stage: Arc::new(AtomicU8::new(WAITING)) };
        let (head_time, deadline) = (self.head_time, Box::pin(sleep(self.head_time)));
        (Connection { stream, peer, head_time, deadline }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().peer.clone()
    }
}

impl Peer {
    pub(super) fn turn(&self) -> Turn {
        self.stage.store(BUSY, Ordering::SeqCst);
        Turn(Arc::clone(&self.stage))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(WAITING_ANEW, Ordering::SeqCst);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stage = self.peer.stage.load(Ordering::SeqCst);
        if stage == WAITING_ANEW {
            let until = Instant::now() + self.head_time;
            self.deadline.as_mut().reset(until);
            self.peer.stage.store(WAITING, Ordering::SeqCst);
        }
        if stage != BUSY && self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
