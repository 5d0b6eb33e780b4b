//! The shipped unit file and the program agree: commands, exit codes, time-outs.

use crate::support::{program, repository};
use std::fs;

fn unit() -> String {
    fs::read_to_string(repository().join("packaging/systemd/cadenced.service")).unwrap()
}

fn value<'a>(unit: &'a str, key: &str) -> &'a str {
    let mut found = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.next().unwrap_or_else(|| panic!("the unit has no {key}"))
}

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn its_commands_exist() {
    let unit = unit();
    let dir = tempfile::tempdir().unwrap();
    for key in ["ExecStart", "ExecReload"] {
        let arguments = value(&unit, key).strip_prefix("/usr/bin/cadenced ").unwrap();
        let help = program(dir.path()).args(arguments.split(' ')).arg("--help").output().unwrap();
        assert!(help.status.success(), "{arguments}: {help:?}");
    }
}

#[test]
fn a_wrong_configuration_is_not_started_again() {
    let unit = unit();
    let dir = tempfile::tempdir().unwrap();
    let code = program(dir.path()).args(["run", "--config", "nowhere.toml"]).output().unwrap().status.code();
    assert_eq!(value(&unit, "RestartPreventExitStatus"), code.unwrap().to_string());
    assert!(!unit.contains("ExecStartPre="), "a check there would defeat it");
}

#[test]
fn it_notifies_is_watched_and_has_the_time_to_drain() {
    let unit = unit();
    assert_eq!(value(&unit, "Type"), "notify", "Debian 12 ignores notify-reload");
    assert!(seconds(value(&unit, "WatchdogSec")) >= 30);
    let shipped = fs::read_to_string(repository().join("packaging/cadenced.toml")).unwrap();
    let drain = shipped.lines().find_map(|line| line.strip_prefix("#drain-timeout = \"")).unwrap();
    let drain = seconds(drain.strip_suffix('"').unwrap());
    // Runs that are cut off, and open requests, have some seconds more.
    assert!(seconds(value(&unit, "TimeoutStopSec")) >= drain + 15);
}
