//! The alert rules and the page about monitoring name what the daemon really exports, and the text it exports is what
//! Prometheus wants.

use crate::support::{Site, repository};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What stands before and after a name in a text.
const IN_NAMES: fn(char) -> bool = |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The names of metrics in a text; those of a histogram's parts count as the histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("cadenced_").map(|(at, _)| &text[at..]);
    let name = |rest: &str| {
        let name = &rest[..rest.find(|c| !IN_NAMES(c)).unwrap_or(rest.len())];
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        part.unwrap_or(name).to_owned()
    };
    starts.map(name).collect()
}

fn exported() -> BTreeSet<String> {
    let source = read("src/telemetry.rs");
    let constant = |line: &str| {
        let (_, name) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some(name.strip_suffix("\";")?.to_owned())
    };
    source.lines().filter_map(constant).collect()
}

fn alerts() -> BTreeSet<String> {
    let rules = read("packaging/prometheus/cadenced.rules.yml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn alert_rules_name_only_metrics_that_are_exported() {
    let rules = metrics_in(&read("packaging/prometheus/cadenced.rules.yml"));
    assert!(rules.len() > 10, "{rules:?}");
    let unknown: Vec<_> = rules.difference(&exported()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_page_has_every_metric_and_every_alert_and_no_other() {
    let page = read("docs/monitoring.md");
    assert_eq!(metrics_in(&page), exported());
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `Cadenced")?.split('`').next());
    assert_eq!(rows.map(|name| format!("Cadenced{name}")).collect::<BTreeSet<_>>(), alerts());
}

#[test]
fn every_alert_is_tested() {
    let tests = read("packaging/prometheus/tests.yml");
    for alert in alerts() {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}

/// The value of a gauge, as text.
fn value<'a>(metrics: &'a str, name: &str, label: &str) -> &'a str {
    let of = format!("{name}{{{label}}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&of)).unwrap_or_else(|| panic!("no {of} in {metrics}"))
}

#[tokio::test]
async fn gauges_forget_what_does_not_serve_any_more_and_know_when_a_job_is_behind() {
    let site = Site::quiet().await;
    site.schedule(
        r#"
[job.one-stocks]
cron = "0 0 0 1 1 *"

[job.b2market-orders]
cron = "0 0 0 1 1 *"

[job.extra]
cron = "0 0 0 1 1 *"
read = { from = "erp", sql = "select sku from cadenced_stocks", key = ["sku"] }
push = { to = "one", post = "/extra", body = { all = "$records" } }
"#,
    );
    let daemon = site.service();
    let control = site.control().await;
    let scrape = async || {
        let address = daemon.address();
        reqwest::get(format!("{address}/metrics")).await.unwrap().text().await.unwrap()
    };
    let before = scrape().await;
    let due = "cadenced_job_success_due_timestamp_seconds";
    let next = "cadenced_job_next_slot_timestamp_seconds";
    assert_eq!(value(&before, due, "job=\"one-stocks\""), "NaN", "it never went through");
    let (again, wait) = (cadenced::admin::control::Again::No, cadenced::admin::control::Wait::Yes);
    control.trigger("one-stocks", again, wait).await.unwrap();
    assert!(site.cadenced(&["pause", "extra"]).status.success());
    let after = scrape().await;
    let of = |name| value(&after, name, "job=\"one-stocks\"");
    assert_eq!(of(due), of(next), "it went through, and is due next at its next slot");
    let extra = "job=\"extra\"";
    assert_ne!(value(&after, next, extra), "NaN");
    assert_eq!(value(&after, "cadenced_job_paused", extra), "1");

    site.schedule("[job.one-stocks]\nenabled = false\n[job.b2market-orders]\nenabled = false\n");
    assert!(site.cadenced(&["reload", "--wait"]).status.success());
    let gone = scrape().await;
    for job in ["job=\"one-stocks\"", extra] {
        assert_eq!((value(&gone, next, job), value(&gone, due, job)), ("NaN", "NaN"), "{job}");
    }
    assert_eq!(value(&gone, "cadenced_job_paused", extra), "0");
    prometheus_accepts(&gone);
}

/// Prometheus' own judgement, where it is installed.
fn prometheus_accepts(metrics: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else { return };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
