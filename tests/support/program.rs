//! The real binary as its user types it, and what it prints.

use super::Site;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

impl Site {
    /// Runs the program with this site's configuration.
    pub(crate) fn cadenced(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the program prints where it must succeed.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        let output = self.cadenced(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.dir());
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }
}

/// The program, in a directory, without what the environment of the tests says to it.
pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cadenced"));
    command.env_clear().current_dir(dir).stdin(Stdio::null());
    command
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies these shipped schedules into `schedules` of a directory; the others want connections of their own.
pub(crate) fn shipped(dir: &Path, platforms: &[&str]) {
    std::fs::create_dir_all(dir.join("schedules")).unwrap();
    for platform in platforms {
        let file = format!("schedules/{platform}.toml");
        std::fs::copy(repository().join(&file), dir.join(&file)).unwrap();
    }
}

/// A connection for each shipped schedule, to where nobody listens, and the ERP's.
pub(crate) fn connections() -> String {
    let mut text = "[connection.erp]\nsql = \"sqlite://erp.db\"\n".to_owned();
    for entry in std::fs::read_dir(repository().join("schedules")).unwrap() {
        let platform = entry.unwrap().path().file_stem().unwrap().display().to_string();
        text.push_str(&format!("[connection.{platform}]\nurl = \"http://127.0.0.1:1\"\n"));
    }
    text
}

/// Sends a signal, by name, to a process of ours.
pub(crate) fn signal(process: u32, signal: &str) {
    let kill = format!("kill -s {signal} {process}");
    assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
