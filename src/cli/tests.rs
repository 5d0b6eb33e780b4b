//! Whole commands, from their arguments to what they print and how they end.

use super::args::Cli;
use super::output::{Exit, Stop};
use super::place::Place;
use super::{perform, perform_talking};
use crate::admin::control::{Condition, Readiness};
use crate::admin::tests::{Scripted, on_socket};
use crate::clock::SystemClock;
use crate::run::RunId;
use crate::state::{Settlement, Store};
use crate::transfer::Rejected;
use crate::words::JobName;
use clap::{CommandFactory as _, Parser as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// A command on a state directory: how it ends, and what it wrote to stdout.
async fn command(state: &Path, arguments: &[&str]) -> Result<(Exit, String), Stop> {
    let state = state.to_str().unwrap();
    let cli = Cli::try_parse_from([&["cadenced", "--state", state], arguments].concat()).unwrap();
    let place = Place { config: cli.config, state: cli.state };
    let mut out = Vec::new();
    let exit = perform_talking(cli.command, &place, &mut out).await?;
    Ok((exit, String::from_utf8(out).unwrap()))
}

async fn printed(state: &Path, arguments: &[&str]) -> String {
    let (exit, text) = command(state, arguments).await.unwrap();
    assert_eq!(exit, Exit::Ok, "{arguments:?}");
    text
}

async fn stopped(state: &Path, arguments: &[&str]) -> Stop {
    command(state, arguments).await.unwrap_err()
}

#[test]
fn scripts_can_rely_on_the_exit_codes() {
    let codes = [
        (Exit::Ok, 0),
        (Exit::Failed, 1),
        (Exit::Partial, 2),
        (Exit::Usage, 64),
        (Exit::NoDaemon, 69),
        (Exit::Internal, 70),
        (Exit::Config, 78),
    ];
    for (exit, code) in codes {
        assert_eq!(ExitCode::from(exit), ExitCode::from(code), "{exit:?}");
    }
    let main = |arguments: &[&str]| super::main(arguments.iter().map(Into::into));
    assert_eq!(main(&["cadenced", "--version"]), Exit::Ok);
    assert_eq!(main(&["cadenced", "next", "--help"]), Exit::Ok);
    assert_eq!(main(&["cadenced"]), Exit::Usage);
    assert_eq!(main(&["cadenced", "nxet"]), Exit::Usage);
    assert_eq!(main(&["cadenced", "next", "--cron", "0 61 * * * *"]), Exit::Config);
    assert_eq!(main(&["cadenced", "check", "--config", "/nowhere/cadenced.toml"]), Exit::Config);
    assert_eq!(main(&["cadenced", "status", "--state", "/nowhere"]), Exit::NoDaemon);
}

#[tokio::test]
async fn commands_that_need_the_daemon_say_that_there_is_none() {
    let state = tempfile::tempdir().unwrap();
    for arguments in [
        &["status"][..],
        &["history"],
        &["slots", "one-stocks"],
        &["trigger", "one-stocks"],
        &["pause", "one-stocks"],
        &["resume", "one-stocks"],
        &["reload", "--wait"],
    ] {
        let stop = stopped(state.path(), arguments).await;
        assert_eq!(stop.exit, Exit::NoDaemon, "{arguments:?}");
        assert!(stop.message.contains("no daemon is running"), "{}", stop.message);
    }
}

#[tokio::test]
async fn status_is_readable_at_a_glance() {
    let state = tempfile::tempdir().unwrap();
    let _stop = on_socket(Scripted::new(Readiness::Ready, Condition::Degraded), state.path()).await;
    let text = printed(state.path(), &["status"]).await;
    assert_eq!(
        text,
        "JOB         STATUS    LAST RUN                  OUTCOME  NEXT SLOT  WATERMARK  REJECTS  WHY\n\
         one-stocks  degraded  2026-03-29 03:00:00 CEST  -        -          -          7        \
         the platform is down\n\
         \n\
         1 job: 1 degraded\n\
         \n\
         CONNECTION  STATUS    QUOTA LEFT    WAITS UNTIL  BREAKER  WHY\n\
         shop        degraded  0 of 100/day  -            closed   quota until 2026-03-29T01:00:00Z\n"
    );
    let json = printed(state.path(), &["status", "--format", "json"]).await;
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["health"]["consecutive_failures"], 2);
}

#[tokio::test]
async fn a_running_daemon_is_asked_and_its_refusal_is_exit_1() {
    let state = tempfile::tempdir().unwrap();
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let _stop = on_socket(Arc::clone(&control), state.path()).await;
    printed(state.path(), &["watermark", "set", "one-stocks", "2026-03-29T01:00:00Z"]).await;
    printed(state.path(), &["rejects", "drop", "one-stocks", "--all"]).await;
    printed(state.path(), &["trigger", "one-stocks", "--again"]).await;
    printed(state.path(), &["reload"]).await;
    assert_eq!(
        control.heard(),
        [
            "set one-stocks 2026-03-29T01:00:00Z",
            "drop one-stocks None",
            "trigger one-stocks Yes No",
            "reload",
        ]
    );
    assert_eq!(stopped(state.path(), &["reload", "--wait"]).await.exit, Exit::Failed);
    assert_eq!(stopped(state.path(), &["trigger", "one-stock"]).await.exit, Exit::Failed);
    assert_eq!(printed(state.path(), &["state", "export"]).await.lines().count(), 10_000);
    assert!(!state.path().join("db").exists(), "the daemon's state is not touched");
}

#[tokio::test]
async fn without_a_daemon_watermarks_are_set_in_the_state_itself() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path();
    assert_eq!(stopped(dir, &["watermark", "list"]).await.exit, Exit::Failed);
    assert!(!dir.join("db").exists(), "looking at a state does not make one");

    drop(Store::open(dir, Arc::new(SystemClock)).unwrap());
    printed(dir, &["watermark", "set", "b2market-orders", "2026-03-29T03:00:00+02:00"]).await;
    assert_eq!(printed(dir, &["watermark", "get", "b2market-orders"]).await, "2026-03-29T01:00:00Z\n");
    let list = printed(dir, &["watermark", "list"]).await;
    assert!(list.contains("b2market-orders  2026-03-29T01:00:00Z"), "{list}");
    assert_eq!(stopped(dir, &["watermark", "set", "b2market-orders", "noon"]).await.exit, Exit::Usage);
    printed(dir, &["watermark", "reset", "b2market-orders"]).await;
    assert_eq!(stopped(dir, &["watermark", "get", "b2market-orders"]).await.exit, Exit::Failed);
}

#[tokio::test]
async fn rejects_are_found_and_dropped_by_the_key_that_the_list_shows() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path();
    let job = JobName::new("one-stocks").unwrap();
    let rejected = |key: &str| Rejected::new(key, "{\"sku\":\"A-17\"}", "unknown product");
    let settlement =
        Settlement { rejects: vec![rejected("WAW1\u{1f}A-17"), rejected("b")], ..Settlement::default() };
    let store = Store::open(dir, Arc::new(SystemClock)).unwrap();
    store.settle(&job, "", RunId(3), settlement).await.unwrap();
    drop(store);

    let list = printed(dir, &["rejects", "list"]).await;
    let row = list.lines().find(|line| line.contains("A-17")).unwrap();
    let key = row.split_whitespace().nth(1).unwrap();
    assert!(!list.contains("sku"), "a list has no contents: {list}");
    let shown = printed(dir, &["rejects", "show", "one-stocks", key]).await;
    assert!(shown.contains("unknown product") && shown.contains("sku"), "{shown}");
    printed(dir, &["rejects", "drop", "one-stocks", key]).await;
    assert_eq!(stopped(dir, &["rejects", "drop", "one-stocks", key]).await.exit, Exit::Failed);
    printed(dir, &["rejects", "drop", "one-stocks", "--all"]).await;
    assert_eq!(printed(dir, &["rejects", "list"]).await, "");
}

#[tokio::test]
async fn an_export_fills_an_empty_directory_and_replaces_only_when_told_to() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Store::open(one.path(), Arc::new(SystemClock)).unwrap());
    printed(one.path(), &["watermark", "set", "b2market-orders", "2026-03-29T01:00:00Z"]).await;
    let file = one.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    printed(one.path(), &["state", "export", "--output", file]).await;
    let text = printed(one.path(), &["state", "export"]).await;
    assert_eq!(text.lines().count(), std::fs::read_to_string(file).unwrap().lines().count());

    printed(two.path(), &["state", "import", file]).await;
    assert_eq!(printed(two.path(), &["watermark", "get", "b2market-orders"]).await, "2026-03-29T01:00:00Z\n");
    assert_eq!(stopped(two.path(), &["state", "import", file]).await.exit, Exit::Failed);
    printed(two.path(), &["state", "import", "--replace", file]).await;
}

#[test]
fn a_broken_configuration_does_not_hide_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cadenced.toml");
    std::fs::write(&file, "state = \"var\"\nnonsense = 1\n").unwrap();
    let place = Place { config: Some(file.clone()), state: None };
    assert_eq!(place.load().unwrap_err().exit, Exit::Config);
    assert_eq!(place.state().unwrap(), dir.path().join("var"));
    // Not even TOML: the one case in which nobody can tell.
    std::fs::write(&file, "state = \"var\n").unwrap();
    let place = Place { config: Some(file), state: None };
    assert_eq!(place.state().unwrap_err().exit, Exit::Config);
}

#[test]
fn check_prints_each_job_with_its_next_slots_and_who_set_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cadenced.toml");
    let job = "timezone = \"Europe/Warsaw\"\n[job.prices]\ncron = \"0 15 0 * * *\"\n";
    std::fs::write(&file, job).unwrap();
    let place = Place { config: Some(file), state: None };
    let mut out = Vec::new();
    super::check::check(
        &place,
        &super::args::Check { connect: false },
        "2026-03-28T12:00:00Z".parse().unwrap(),
        &mut out,
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    let slots = "2026-03-29 00:15:00 CET  2026-03-30 00:15:00 CEST  2026-03-31 00:15:00 CEST";
    assert!(text.lines().nth(1).unwrap().contains(slots), "{text}");
    assert!(text.contains("cadenced.toml"), "{text}");
}

#[tokio::test]
async fn plan_asks_a_running_daemon_what_runs_cost() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cadenced.toml");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    std::fs::create_dir(dir.path().join("schedules")).unwrap();
    for name in ["one.toml", "b2market.toml"] {
        std::fs::copy(shipped.join(name), dir.path().join("schedules").join(name)).unwrap();
    }
    let config = "schedules = [\"schedules\"]\n[connection.erp]\nsql = \"sqlite://erp.db\"\n[connection.one]\nurl = \
                  \"http://127.0.0.1:1\"\n[connection.b2market]\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, config).unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let control = Scripted::new(Readiness::Ready, Condition::Ok);
    let _stop = on_socket(Arc::clone(&control), &state).await;
    let cli = Cli::try_parse_from(["cadenced", "plan", "--date", "2026-03-03", "--format", "json"]).unwrap();
    let place = Place { config: Some(file), state: None };
    let exit = perform_talking(cli.command, &place, &mut Vec::new()).await.unwrap();
    assert_eq!(exit, Exit::Ok, "there is no quota");
    let heard = control.heard();
    assert!(heard.iter().all(|asked| asked.starts_with("history ")), "{heard:?}");
    for job in ["b2market-orders", "one-stocks"] {
        assert!(heard.contains(&format!("history Some(JobName(\"{job}\")) 100")), "{heard:?}");
    }
    // What is disabled costs nothing.
    assert!(!heard.iter().any(|asked| asked.contains("one-client-pull-full")), "{heard:?}");
    assert!(!state.join("db").exists(), "the daemon's state is not touched");
}

#[test]
fn a_shell_completes_commands() {
    let cli = Cli::try_parse_from(["cadenced", "completions", "bash"]).unwrap();
    let mut script = Vec::new();
    perform(cli, &mut script).unwrap();
    script.extend(
        b"\nCOMP_WORDS=(cadenced tri) COMP_CWORD=1\n_cadenced cadenced tri cadenced\necho ${COMPREPLY[@]}\n",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let completed = std::process::Command::new("bash").arg(file.path()).output().unwrap();
    assert_eq!(String::from_utf8(completed.stdout).unwrap(), "trigger\n");
}

#[test]
fn every_command_has_its_manual_page_and_the_file_all_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    super::man::man(dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let main = read("cadenced.1");
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        assert!(main.contains(&format!("cadenced\\-{name}(1)")), "{name}: {main}");
        assert!(read(&format!("cadenced-{name}.1")).contains(".SH NAME"), "{name}");
    }
    assert!(!dir.path().join("cadenced-filter-rows.1").exists(), "nobody types it");
    assert!(read("cadenced-rejects-retry.1").contains("\\-\\-preview"));
    assert!(main.contains("EXIT STATUS") && main.is_ascii());
    let file = read("cadenced.toml.5");
    assert!(file.contains("#drain\\-timeout = \"30s\"") && file.is_ascii(), "{file}");
}
