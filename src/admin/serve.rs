//! The two doors: binding the control socket, and serving a router until told to stop.

use crate::telemetry;
use axum::Router;
use axum::serve::Listener;
use futures_util::FutureExt as _;
use std::fmt::Debug;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;

/// The control socket's name inside the state directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// What the name of the directory begins with that a socket is bound in, and how many random characters follow.
const PRIVATE: &str = ".c";
const RANDOM: usize = 4;

/// How long requests that are still open when the daemon stops may take to end.
const LINGER: Duration = Duration::from_secs(3);
/// How often samples of histograms are folded into their buckets: without a scraper they would pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Binds the control socket. The caller holds the state directory's lock, so that a socket file found there was
/// left by a daemon that is gone; it is replaced. Blocks for a few file operations; call it before serving.
pub fn bind_control(state: &Path) -> io::Result<UnixListener> {
    clear_leftovers(state)?;
    // Bound inside a directory only its owner can enter and then moved to its name: the socket is never open to
    // others, not even between `bind` and `chmod`, and a client never finds it half made.
    let private = tempfile::Builder::new()
        .prefix(PRIVATE)
        .rand_bytes(RANDOM)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(state)?;
    let socket = private.path().join("s");
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
    std::fs::rename(&socket, state.join(CONTROL_SOCKET))?;
    Ok(listener)
}

/// Removes the private directories of daemons that were killed while they bound their socket.
fn clear_leftovers(state: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(PRIVATE)).unwrap_or_default();
        let is_private = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_private && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Serves until `stop` resolves, then lets open requests end for three seconds at most.
pub async fn serve<L>(
    listener: L,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: Debug,
{
    let stop = stop.shared();
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone());
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            telemetry::metrics().run_upkeep();
        }
    };
    let deadline = async {
        stop.await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        served = server => served,
        () = deadline => Ok(()),
        () = upkeep => Ok(()),
    }
}
