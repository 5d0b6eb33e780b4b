//! The platform: takes stocks, keeps nothing but how many requests and lines came.

use crate::sides::Result;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static LINES: AtomicU64 = AtomicU64::new(0);

/// Answers the requests of one connection.
pub(crate) fn answer_all(mut stream: TcpStream, line_micros: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut body = Vec::new();
    loop {
        let mut request = String::new();
        if requests.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let (mut header, mut length) = (String::new(), 0);
        while requests.read_line(&mut header)? > 2 {
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            header.clear();
        }
        body.resize(length, 0);
        requests.read_exact(&mut body)?;
        if request.starts_with("GET") {
            // What came since it was last asked.
            let said =
                format!("[{},{}]", REQUESTS.swap(0, Ordering::SeqCst), LINES.swap(0, Ordering::SeqCst));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len())?;
            continue;
        }
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // Each line is an object, and so is what holds them.
        let lines = body.iter().filter(|byte| **byte == b'{').count() as u64 - 1;
        LINES.fetch_add(lines, Ordering::SeqCst);
        #[expect(
            clippy::disallowed_methods,
            reason = "a platform that takes its time, on a thread of its own"
        )]
        thread::sleep(Duration::from_micros(lines * line_micros));
        write!(stream, "HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
