//! Commands as their user types them: what they print and how they end.

use crate::support::{Judge, Site, connections, json, program, repository, signal, soon, stderr};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn cadenced(arguments: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    program(nowhere.path()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The shipped daemon's file with the connections the shipped schedules want.
#[tokio::test]
async fn check_lists_every_shipped_job_with_its_next_three_slots() {
    let dir = tempfile::tempdir().unwrap();
    let shipped = fs::read_to_string(repository().join("packaging/cadenced.toml")).unwrap();
    let schedules = format!("schedules = [\"{}\"]", repository().join("schedules").display());
    let usable = shipped
        .replace("schedules = [\"schedules\"]", &schedules)
        .replace("/var/lib/cadenced", dir.path().join("state").to_str().unwrap());
    let config = dir.path().join("cadenced.toml");
    fs::write(&config, usable + &connections()).unwrap();
    let output = program(dir.path()).arg("check").arg("--config").arg(&config).output().unwrap();
    let table = stdout(&output);
    let mut shipped = BTreeMap::new();
    for file in fs::read_dir(repository().join("schedules")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for job in text.split("\n[job.").skip(1) {
            let (name, keys) = job.split_once("]\n").unwrap();
            let has_timetable =
                keys.split("\n[").next().unwrap().lines().any(|line| line.starts_with("cron ="));
            // Tables below a job are no jobs.
            if !name.contains('.') && !name.starts_with('[') {
                shipped.insert(name.to_owned(), has_timetable);
            }
        }
    }
    for line in table.lines().skip(1) {
        let name = line.split_whitespace().next().unwrap();
        // Two spaces end a cell: a zone that is named in words is no slot.
        let zones = [" CET  ", " CEST  ", " UTC  ", " -03  "];
        let slots: usize = zones.iter().map(|zone| line.matches(zone).count()).sum();
        let has_timetable = shipped.remove(name).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(slots, if has_timetable { 3 } else { 0 }, "{line}");
    }
    assert!(shipped.is_empty(), "{shipped:?} of\n{table}");
    let stocks = table.lines().find(|line| line.starts_with("one-stocks ")).unwrap();
    assert!(stocks.ends_with("schedules/one.toml"), "{stocks}");
    let count = format!("{} jobs", table.lines().count() - 1);
    assert!(stderr(&output).contains(&count), "{}", stderr(&output));
    assert!(!dir.path().join("state").exists(), "a check creates nothing");
}

#[tokio::test]
async fn check_prints_every_mistake_with_its_place() {
    let site = Site::quiet().await;
    let mistakes = r#"
[job.one-stocks]
cron = "0 61 * * * *"
[job.b2market-orders]
cron = "0 0 0 1 1 *"
overlap = "sometimes"
[job.b2market-orders.pull]
from = "b2markt"
[job.mine]
every = "7h"
crno = "0 0 0 * * *"
"#;
    site.configure("drain-timeout = \"soon\"");
    site.schedule(mistakes);
    let output = site.cadenced(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty());
    let said = stderr(&output);
    for (place, key) in [
        ("cadenced.toml:5:17: ", "drain-timeout: "),
        ("site.toml:3:11: ", "job.one-stocks.cron: "),
        ("site.toml:6:11: ", "job.b2market-orders.overlap: "),
        ("site.toml:8:8: ", "job.b2market-orders.pull.from: "),
        ("site.toml:10:9: ", "job.mine.every: "),
        ("site.toml:11:1: ", "job.mine.crno: "),
    ] {
        let found = said.lines().any(|line| line.contains(place) && line.contains(key));
        assert!(found, "no {place}{key} in:\n{said}");
    }
    // The daemon refuses the same file the same way.
    let run = site.cadenced(&["run"]);
    assert_eq!((run.status.code(), stderr(&run)), (Some(78), said));
    assert!(!site.state().exists());
}

#[test]
fn next_prints_the_slots_of_an_expression_across_a_clock_change() {
    let output = cadenced(&[
        "next",
        "--cron",
        "0 15 0 * * *",
        "--timezone",
        "Europe/Warsaw",
        "--from",
        "2026-03-28T12:00:00+01:00",
        "--count",
        "3",
        "--format",
        "json",
    ]);
    assert_eq!(
        stdout(&output),
        "{\"at\":\"2026-03-29T00:15:00+01:00\"}\n{\"at\":\"2026-03-30T00:15:00+02:00\"}\n{\"at\":\"2026-03-31T00:15:00+02:00\"}\n"
    );
}

#[test]
fn next_answers_a_thousand_requests_in_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let zones = ["Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
    let requests: String = (0..1000)
        .map(|id| {
            let (minute, zone) = (id % 60, zones[id % zones.len()]);
            let cron = if id == 500 { "not a cron".to_owned() } else { format!("0 {minute} 2 * * *") };
            format!("{{\"id\":{id},\"cron\":\"{cron}\",\"timezone\":\"{zone}\",\"from\":\"2026-03-28T12:00:00Z\",\"count\":3}}\n")
        })
        .collect();
    let file = dir.path().join("requests.jsonl");
    fs::write(&file, requests).unwrap();
    let output = program(dir.path()).args(["next", "--batch"]).arg(&file).output().unwrap();
    let answers = stdout(&output);
    assert_eq!(answers.lines().count(), 1000);
    for (id, line) in answers.lines().enumerate() {
        let answer = json(line);
        assert_eq!(answer["id"], id, "{line}");
        match id {
            500 => assert!(answer["error"].is_string() && answer["at"].is_null(), "{line}"),
            _ => assert_eq!(answer["at"].as_array().unwrap().len(), 3, "{line}"),
        }
    }
    // 02:30 in Warsaw does not exist on the 29th: it runs at the first instant after the gap.
    let gap = answers.lines().map(json).find(|answer| answer["id"] == 240 + 30 + 30).unwrap();
    assert_eq!(gap["at"][0], "2026-03-29T03:00:00+02:00", "{gap}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    for (arguments, code) in [
        (&["nxet"][..], 64),
        (&["once"], 64),
        (&["next", "--cron", "0 0 0 * * *", "--timezone", "Europe/Nowhere"], 64),
        (&["status", "--state", "nowhere"], 69),
        (&["trigger", "one-stocks", "--state", "nowhere"], 69),
        (&["check", "--config", "nowhere.toml"], 78),
        (&["run", "--config", "nowhere.toml"], 78),
        (&["next", "--cron", "0 61 * * * *"], 78),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let output = cadenced(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{arguments:?}: data on stdout, messages on stderr");
    }
}

#[tokio::test]
async fn the_sandbox_says_how_it_is_called_and_which_rules_were_broken() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path());
    command.args(["sandbox", "--platform", "one", "--listen", "127.0.0.1:0", "--switch", "one.clients=2"]);
    command.args(["--faults", "503:2:/pricing"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut sandbox = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(sandbox.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("Ctrl-C")) {
        said.push(soon("the sandbox's next line", lines.next_line()).await.unwrap().unwrap());
    }
    assert!(said.iter().any(|line| line.starts_with("    path-profile=seed  (seed|docs) ")), "{said:?}");
    let value = |at: usize| said[at].split_whitespace().last().unwrap().to_owned();
    let (url, client) = (value(0), reqwest::Client::new());
    let get = async |path: &str| {
        let request = client.get(format!("{url}/api/v1/{path}"));
        let request = request.header("one-tenant", value(1)).header("ApiAuth", value(2));
        request.send().await.unwrap()
    };
    let list = get("account/integrations/auth-required/clients?pageNumber=1&pageSize=9").await;
    let list: serde_json::Value = list.json().await.unwrap();
    assert_eq!(list["totalElement"], 2);
    for status in [200, 503] {
        assert_eq!(get("pricing/integrations/auth-required/main-catalog-id").await.status(), status);
    }
    get("account/integrations/auth-required/clients?pageNumber=1").await;
    let mut broken = BufReader::new(sandbox.stderr.take().unwrap()).lines();
    let broken = soon("the broken rule", broken.next_line()).await.unwrap().unwrap();
    assert_eq!(
        broken,
        "one: GET /api/v1/account/integrations/auth-required/clients: query-missing: `pageSize` is missing in the query"
    );
    signal(sandbox.id().unwrap(), "INT");
    assert_eq!(soon("the sandbox's end", sandbox.wait()).await.unwrap().code(), Some(0));
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "ONe: 4 requests, 1 broken rule");
}

#[tokio::test]
async fn a_sandbox_that_makes_no_sense_is_refused() {
    for (arguments, said) in [
        (["--platform", "two"], "invalid value 'two'"),
        (["--listen", "0.0.0.0:8650"], "it listens on 127.0.0.1 only"),
        (["--faults", "sometimes"], "no fault `sometimes`"),
        (["--switch", "path-profile=docs"], "a switch is written PLATFORM.SWITCH=VALUE"),
        (["--switch", "one.path-profile=other"], "one: `path-profile` takes seed|docs, not `other`"),
    ] {
        let output = cadenced(&[&["sandbox", "--listen", "127.0.0.1:0"][..], &arguments[..]].concat());
        let output = if arguments[0] == "--listen" {
            cadenced(&["sandbox", arguments[0], arguments[1]])
        } else {
            output
        };
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn the_demo_shows_every_platform_and_ends_with_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path());
    command.arg("demo").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut demo = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
    let mut next = async || {
        let line = soon("the demo's next line", lines.next_line()).await.unwrap();
        line.unwrap_or_else(|| panic!("the demo ended by itself"))
    };
    let mut page = None;
    let health = loop {
        let line = next().await;
        let at = line.find("http").filter(|_| line.contains("status page"));
        page = page.or(at.map(|at| line[at..].to_owned()));
        if let Some(at) = line.find("http").filter(|_| line.ends_with("/health")) {
            break line[at..].to_owned();
        }
    };
    // What is shown of each platform; in which order is chance.
    let mut awaited = vec![
        "one-stocks ",
        "b2market-orders ",
        "commerceup-stocks ",
        "/createCustomer ",
        "/createOrder ",
        "eryxon-jobs ",
        "eryxon-operations ",
        "cortecloud-services ",
        "cortecloud-links ",
    ];
    // Something always comes, so that it is the whole that is waited for.
    let all = async {
        while !awaited.is_empty() {
            let line = next().await;
            let shown = line.contains(" ok ") || line.contains(": 200 ");
            awaited.retain(|awaited| !(shown && line.contains(awaited)));
        }
    };
    soon("every platform", all).await;
    let health = json(&reqwest::get(&health).await.unwrap().text().await.unwrap());
    assert_eq!(health["status"], "ok", "{health}");
    for job in ["one-stocks", "b2market-orders", "commerceup-stocks", "eryxon-operations", "cortecloud-links"]
    {
        assert_eq!(health["jobs"][job]["status"], "ok", "{health}");
    }
    let judge = Judge::new(&stdout(&cadenced(&["schema"])));
    for file in ["cadenced.toml", "site/one.toml", "site/b2market.toml"] {
        let text = fs::read_to_string(dir.path().join("state/demo").join(file)).unwrap();
        assert_eq!(judge.refusals(&text.parse().unwrap()), [""; 0], "{file}");
    }
    let page = reqwest::get(page.unwrap()).await.unwrap().text().await.unwrap();
    assert!(
        page.contains("<title>ok · cadenced</title>") && page.contains("id=\"job-one-stocks\""),
        "{page}"
    );
    let asked = Instant::now();
    signal(demo.id().unwrap(), "INT");
    assert_eq!(soon("the demo's end", demo.wait()).await.unwrap().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    while !next().await.starts_with("stopped. ") {}
}
