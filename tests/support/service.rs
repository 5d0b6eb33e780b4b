//! The daemon as a service manager runs it: told by signals, heard over the notification socket.

use super::daemon::calls_at;
use super::program::signal;
use super::{PATIENCE, Site, soon};
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};

/// A daemon that runs; killed with the value.
pub(crate) struct Service {
    child: Child,
    socket: UnixDatagram,
    log: PathBuf,
}

impl Site {
    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) fn service(&self) -> Service {
        let service = self.service_with(&[]);
        service.hears("READY=1");
        service
    }

    /// Starts the daemon with more in its environment.
    pub(crate) fn service_with(&self, env: &[(&str, &str)]) -> Service {
        let notify = self.dir().join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = self.dir().join("daemon.log");
        let mut command = self.command(&["run"]);
        command.env("NOTIFY_SOCKET", &notify).envs(env.iter().copied());
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = Command::from(command).kill_on_drop(true).spawn().unwrap();
        Service { child, socket, log }
    }
}

impl Service {
    /// Reads what the daemon tells its service manager up to a message with this line; gives that message.
    pub(crate) fn hears(&self, line: &str) -> String {
        loop {
            let mut message = [0; 4096];
            let length = match self.socket.recv(&mut message) {
                Ok(length) => length,
                Err(error) => panic!("waited in vain for {line}: {error}; the log:\n{}", self.log()),
            };
            let message = String::from_utf8(message[..length].to_vec()).unwrap();
            if message.lines().any(|said| said == line) {
                return message;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    /// Where its admin endpoint listens: `http://127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        let log = self.log();
        let address = log.split_once("http://").and_then(|(_, rest)| rest.split_once("/health"));
        let (address, _) = address.unwrap_or_else(|| panic!("no address in:\n{log}"));
        format!("http://{address}")
    }

    /// Where platforms call it.
    pub(crate) fn calls_at(&self) -> String {
        calls_at(&self.log())
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        soon("the daemon's end", self.child.wait()).await.unwrap()
    }
}
