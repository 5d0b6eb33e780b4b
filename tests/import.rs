//! `cadenced import` runs every job for the first time, what others need before them, and once: cut off, or refused, it goes
//! on where it was.

use crate::support::{Site, signal, soon, stderr};
use cadenced::sandbox::erp;
use std::process::{Output, Stdio};
use std::sync::mpsc;
use tokio::process::Command;

/// A push of some of the stocks.
fn stocks(name: &str, keys: &str, only: &str) -> String {
    format!(
        r#"
[job.{name}]
{keys}
where = "{only}"
read = {{ from = "erp", sql = "select sku, warehouse, quantity from cadenced_stocks", key = ["warehouse", "sku"] }}
map = {{ id = "{{sku}}", sku = "{{sku}}", quantity = {{ field = "quantity", type = "decimal" }} }}
[job.{name}.push]
to = "one"
post = "/api/v1/stock/integrations/auth-required/warehouses/{{warehouse}}/stocks/incremental"
group-by = ["warehouse"]
batch = {{ records = 5 }}
body = {{ stocks = "$records" }}
idempotent = true
"#
    )
}

const YEARLY: &str = "cron = \"0 0 0 1 1 *\"";

/// Jobs that nobody else ships; three of them have a place of their own.
async fn site() -> Site {
    let site = Site::quiet().await;
    let shipped = std::fs::read_to_string(site.config()).unwrap();
    let ours: Vec<&str> = shipped.lines().filter(|line| !line.starts_with("schedules")).collect();
    std::fs::write(site.config(), format!("schedules = [\"site\"]\n{}", ours.join("\n"))).unwrap();
    let jobs = [
        stocks("follows", "after = [\"second\"]\nimport = 0", "sku < 'A-00003'"),
        stocks("second", &format!("{YEARLY}\nimport = 7"), "sku >= 'A-00003' and sku < 'A-00005'"),
        stocks("first", &format!("{YEARLY}\nimport = 3"), "sku >= 'A-00005' and sku < 'A-00010'"),
        stocks("once", "initial = true", "sku = 'A-00010'"),
        stocks("anywhere", YEARLY, "sku > 'A-00010'"),
        stocks("by-hand", "", "sku = 'A-00001'"),
        stocks("never", &format!("{YEARLY}\nimport = false"), "sku = 'A-00001'"),
        stocks("off", &format!("{YEARLY}\nenabled = false"), "sku = 'A-00001'"),
    ];
    site.schedule(&jobs.join(""));
    site
}

/// The jobs as they were told of, with how they ended.
fn told(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect()
}

async fn equal(site: &Site) {
    assert_eq!(site.one.quantities(), erp::quantities(&site.erp).await.unwrap());
}

#[tokio::test]
async fn every_job_runs_once_and_in_its_place() {
    let site = site().await;
    let output = site.cadenced(&["import"]);
    assert_eq!(told(&output), ["once ok", "first ok", "second ok", "follows ok", "anywhere ok"]);
    assert_eq!(output.status.code(), Some(0));
    equal(&site).await;

    let sent = site.one.wire.count();
    let again = site.cadenced(&["import"]);
    assert_eq!((told(&again).len(), again.status.code()), (0, Some(0)));
    assert!(stderr(&again).contains("5 jobs had been imported before"), "{}", stderr(&again));
    assert_eq!(site.one.wire.count(), sent);
}

#[tokio::test]
async fn only_jobs_over_a_connection_are_imported_where_one_is_named() {
    let site = site().await;
    let none = site.cadenced(&["import", "--connection", "b2market"]);
    assert_eq!((told(&none).len(), none.status.code()), (0, Some(0)));
    let unknown = site.cadenced(&["import", "--connection", "nobody"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert_eq!(told(&site.cadenced(&["import", "--connection", "one"])).len(), 5);
}

#[tokio::test]
async fn a_job_that_fails_holds_up_those_that_need_it_and_no_others() {
    let site = site().await;
    erp::set_stock(&site.erp, "W1", "A-00006", -5000).await.unwrap();
    let schedule = std::fs::read_to_string(site.dir().join("site/site.toml")).unwrap();
    let broken = schedule.replacen(
        "select sku, warehouse, quantity from",
        "select nothing, sku, warehouse, quantity from",
        2,
    );
    // The first two of the file: the job that follows, and the one it follows.
    site.schedule(&broken);
    let output = site.cadenced(&["import"]);
    assert_eq!(
        told(&output),
        ["once ok", "first partial", "second failed", "follows skipped", "anywhere ok"]
    );
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("follows: skipped: waits for second, which has not gone through"), "{stdout}");

    site.schedule(&schedule);
    let output = site.cadenced(&["import", "--format", "json"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let jobs: Vec<_> = stdout.lines().map(|line| crate::support::json(line)["job"].clone()).collect();
    assert_eq!((jobs, output.status.code()), (vec!["second".into(), "follows".into()], Some(0)));
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_where_it_was() {
    let site = site().await;
    let (tell, mut reached) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    // `once` sends two requests, `first` two: this is in the middle of the last job.
    site.one.after_stocks(9, move |_| {
        let _ = tell.send(());
        // Ends with an error once the test has let go of its end.
        let _ = released.recv();
    });
    let mut command = site.command(&["import"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut import = Command::from(command).kill_on_drop(true).spawn().unwrap();
    soon("the ninth request", reached.recv()).await;
    import.start_kill().unwrap();
    soon("its end", import.wait()).await.unwrap();
    drop(release);
    let output = site.cadenced(&["import"]);
    assert_eq!(told(&output), ["anywhere ok"], "{}", stderr(&output));
    equal(&site).await;
    let writes: usize = site.one.stocks().values().map(|stock| stock.writes).sum();
    assert_eq!(writes, 40 + 5, "what was not answered for is sent again, and nothing else");
}

#[tokio::test]
async fn a_daemon_that_runs_imports_for_whoever_asks() {
    let site = site().await;
    erp::set_stock(&site.erp, "W1", "A-00006", -5000).await.unwrap();
    let mut daemon = site.service();
    let output = site.cadenced(&["import"]);
    // The daemon has run the initial job by itself, or runs it now.
    let told: Vec<String> = told(&output).into_iter().filter(|line| line != "once ok").collect();
    assert_eq!(told.len(), 4, "{told:?} {}", stderr(&output));
    assert!(
        told.contains(&"first partial".to_owned()) && told.contains(&"anywhere ok".to_owned()),
        "{told:?}"
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(site.one.stocks().len(), 39);
    signal(daemon.id(), "TERM");
    daemon.ended().await;
}
