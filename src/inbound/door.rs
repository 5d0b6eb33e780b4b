//! Connections that may not wait for ever: one whose next request's head isn't complete in time is closed. A server
//! without this can be kept busy by callers that send a letter a minute.

use super::listener::SharedTerms;
use super::tls::Tls;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

/// Accepts connections, on the terms that hold then.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    terms: SharedTerms,
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
    stream: Stream,
    peer: Peer,
    head_time: Duration,
    deadline: Pin<Box<Sleep>>,
}

enum Stream {
    Plain(TcpStream),
    /// The handshake is part of waiting for the first head: whoever draws it out is hung up on.
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Handshake(_) => "Handshake",
            Self::Tls(_) => "Tls",
        })
    }
}

/// What is read from, and written to, once the handshake is over.
trait Ready: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Ready for T {}

impl Stream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Ready>>> {
        if let Self::Handshake(accept) = self {
            match Pin::new(accept.as_mut()).poll(cx) {
                Poll::Ready(Ok(stream)) => *self = Self::Tls(Box::new(stream)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(match self {
            Self::Plain(stream) => Ok(Pin::new(stream)),
            Self::Tls(stream) => Ok(Pin::new(stream.as_mut())),
            Self::Handshake(_) => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl Door {
    pub(super) fn new(listener: TcpListener, terms: SharedTerms) -> Self {
        Self { listener, terms }
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
        let terms = self.terms.now();
        let stream = match &terms.tls {
            Some(Tls(acceptor)) => Stream::Handshake(Box::new(acceptor.accept(stream))),
            None => Stream::Plain(stream),
        };
        let head_time = terms.limits.head_time;
        let deadline = Box::pin(sleep(head_time));
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
        ready!(self.stream.poll_ready(cx))?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_ready(cx))?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_ready(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            // Nobody is there to say goodbye to yet.
            Stream::Handshake(_) => Poll::Ready(Ok(())),
            stream => ready!(stream.poll_ready(cx))?.poll_shutdown(cx),
        }
    }
}
