//! Which layer wins, and what it takes with it.

use super::*;
use crate::job::{Trigger, Work};
use crate::words::ConnectionName;

const STOCKS: &str = r#"
timezone = "Europe/Madrid"

[job.stocks]
summary = "Stock levels"
cron = "0 */30 * * * *"
between = "08:00-20:00"
read = { from = "erp", sql = "select 1", key = ["sku"] }
push = { to = "one", post = "/stocks", body = { stocks = "$records", kind = "full" } }
"#;

/// A shipped schedule, and a site's own beside it.
fn shipped_and_own(own: &str) -> Site {
    Site::new(&format!("timezone = \"Europe/Warsaw\"\nschedules = [\"shipped\", \"own\"]\n{CONNECTIONS}"))
        .file("shipped/stocks.toml", STOCKS)
        .file("own/stocks.toml", own)
}

fn when(loaded: &Loaded) -> String {
    match &loaded.jobs[&job("stocks")].trigger {
        Trigger::Timetable(timetable) => timetable.describe(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_site_changes_one_key_and_keeps_the_rest() {
    let site = shipped_and_own("[job.stocks]\nenabled = false\npush.body.kind = \"part\"\n");
    let loaded = site.loaded();
    let stocks = &loaded.jobs[&job("stocks")];
    assert!(!stocks.enabled);
    assert_eq!(stocks.summary, "Stock levels");
    assert_eq!(when(&loaded), "`0 */30 * * * *` in Europe/Madrid, usually 30m apart, between 08:00-20:00");
    let Work::Push(_, push) = &stocks.work else { panic!("not a push") };
    assert_eq!(push.body.to_string(), r#"{"stocks":"$records","kind":"part"}"#);
    let origin = |key: &str| site.shown(&[Diagnostic::new(&loaded.origins[key], "", "")]);
    assert_eq!(origin("job.stocks.cron"), "shipped/stocks.toml:6:8: : ");
    assert_eq!(origin("job.stocks.enabled"), "own/stocks.toml:2:11: : ");
}

#[test]
fn a_layer_that_sets_a_trigger_key_replaces_the_whole_trigger_but_not_the_zone() {
    let loaded = shipped_and_own("[job.stocks]\nevery = \"15m\"\n").loaded();
    assert_eq!(when(&loaded), "every 15m in Europe/Madrid");
}

#[test]
fn half_a_trigger_does_not_lean_on_the_one_it_replaced() {
    let site = shipped_and_own("[job.stocks]\nbetween = \"06:00-22:00\"\n");
    insta::assert_snapshot!(site.mistakes(), @r"
    own/stocks.toml:2:11: job.stocks.between: means nothing without `cron` or `every`
      help: a layer that sets one trigger key replaces the job's whole trigger: repeat the others
    ");
}

#[test]
fn the_zone_is_the_jobs_own_or_else_that_of_the_file_that_set_the_trigger() {
    let loaded = shipped_and_own("timezone = \"UTC\"\n[job.stocks]\nsummary = \"x\"\n").loaded();
    assert_eq!(when(&loaded), "`0 */30 * * * *` in Europe/Madrid, usually 30m apart, between 08:00-20:00");
    let loaded = shipped_and_own("timezone = \"UTC\"\n[job.stocks]\nevery = \"1h\"\n").loaded();
    assert_eq!(when(&loaded), "every 1h in UTC");
    let loaded = shipped_and_own("[job.stocks]\ntimezone = \"Asia/Tokyo\"\n").loaded();
    assert_eq!(when(&loaded), "`0 */30 * * * *` in Asia/Tokyo, usually 30m apart, between 08:00-20:00");
    let loaded = Site::new("timezone = \"Europe/Warsaw\"\n[job.stocks]\nevery = \"1h\"\n").loaded();
    assert_eq!(when(&loaded), "every 1h in Europe/Warsaw");
}

#[test]
fn a_layer_that_sets_a_method_replaces_the_method() {
    let loaded = shipped_and_own("[job.stocks]\npush.put = \"/v2/stocks\"\n").loaded();
    let Work::Push(_, push) = &loaded.jobs[&job("stocks")].work else { panic!("not a push") };
    assert_eq!(push.method.as_str(), "PUT");
}

#[test]
fn files_of_a_directory_count_in_name_order_and_others_are_left_alone() {
    let site = shipped_and_own("[job.stocks]\nsummary = \"a\"\n")
        .file("own/z.toml", "[job.stocks]\nsummary = \"z\"\n")
        .file("own/notes.txt", "not = toml =");
    let loaded = site.loaded();
    assert_eq!(loaded.jobs[&job("stocks")].summary, "z");
    let files: Vec<_> =
        loaded.files.iter().map(|file| file.strip_prefix(site.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["cadenced.toml", "shipped/stocks.toml", "own/stocks.toml", "own/z.toml"]);
}

#[test]
fn variables_win_over_files_and_flags_over_variables() {
    let site = shipped_and_own("")
        .env("CADENCED_JOB__STOCKS__SUMMARY", "from a variable")
        .env("CADENCED_JOB__STOCKS__ENABLED", "false")
        .env("CADENCED_DRAIN_TIMEOUT", "5s")
        .env("CADENCED_ADMIN__LISTEN", "127.0.0.1:1")
        .env("CADENCED_CONNECTION__ONE__QUOTA", r#"["1/s", "20/min"]"#)
        .env("CADENCED_CONNECTION__ONE__IN_FLIGHT", "7")
        .env("PATH", "/bin")
        .flag("admin.listen", "127.0.0.1:2")
        .flag("job.stocks.cron", "0 0 4 * * *");
    let loaded = site.loaded();
    let stocks = &loaded.jobs[&job("stocks")];
    assert_eq!((stocks.summary.as_str(), stocks.enabled), ("from a variable", false));
    assert_eq!(when(&loaded), "`0 0 4 * * *` in Europe/Madrid, usually 24h apart");
    assert_eq!(loaded.settings.drain_timeout, Duration::from_secs(5));
    assert_eq!(loaded.settings.admin.listen.port(), 2);
    let one = &loaded.connections[&ConnectionName::new("one").unwrap()];
    let crate::connection::ConnectionKind::Rest(one) = &one.kind else { panic!("not REST") };
    assert_eq!((one.in_flight, one.quota.len()), (7, 2));
    assert_eq!(loaded.origins["job.stocks.summary"].file.as_ref(), "CADENCED_JOB__STOCKS__SUMMARY");
}

#[test]
fn a_variable_may_name_the_directories() {
    let site = Site::new(CONNECTIONS).file("shipped/stocks.toml", STOCKS);
    let shipped = site.path().join("shipped").display().to_string();
    let loaded = site.env("CADENCED_SCHEDULES", &shipped).loaded();
    assert_eq!(loaded.settings.schedules, [PathBuf::from(shipped)]);
    assert!(loaded.jobs.contains_key(&job("stocks")));
}

#[test]
fn a_variable_finds_keys_that_are_written_otherwise() {
    let site = Site::new(
        r#"
[connection.shop]
url = "https://shop.example.com"
headers = { ApiAuth = { env = "KEY" } }
auth = { login = "/login", token = "token", body = { _username = "erp" } }
"#,
    )
    .env("CADENCED_CONNECTION__SHOP__AUTH__BODY___USERNAME", "other")
    .env("CADENCED_CONNECTION__SHOP__HEADERS__APIAUTH", "s3cret");
    let loaded = site.loaded();
    let shop = &loaded.connections[&ConnectionName::new("shop").unwrap()];
    let crate::connection::ConnectionKind::Rest(shop) = &shop.kind else { panic!("not REST") };
    let crate::connection::Auth::Login(login) = &shop.auth else { panic!("no login") };
    let body: Vec<_> = login.body.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
    assert_eq!(body, [("_username", "other")]);
    let headers: Vec<_> = shop.headers.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
    assert_eq!(headers, [("ApiAuth", "s3cret")]);
}

#[test]
fn paths_are_relative_to_the_file_they_stand_in() {
    let site = Site::new("state = \"var/state\"\n[connection.erp]\nsql = \"sqlite://data/erp.db?mode=ro\"\n");
    let loaded = site.loaded();
    assert_eq!(loaded.settings.state, site.path().join("var/state"));
    let erp = &loaded.connections[&ConnectionName::new("erp").unwrap()];
    let crate::connection::ConnectionKind::Sql(erp) = &erp.kind else { panic!("not SQL") };
    let url = secrecy::ExposeSecret::expose_secret(&erp.url);
    assert_eq!(url, format!("sqlite://{}/data/erp.db?mode=ro", site.path().display()));
    let site = Site::new("[connection.erp]\nsql = \"sqlite:///srv/erp.db\"\n");
    let erp = &site.loaded().connections[&ConnectionName::new("erp").unwrap()];
    let crate::connection::ConnectionKind::Sql(erp) = &erp.kind else { panic!("not SQL") };
    assert_eq!(secrecy::ExposeSecret::expose_secret(&erp.url), "sqlite:///srv/erp.db");
}

#[test]
fn a_site_replaces_a_query_by_a_file_beside_its_own_schedule() {
    let site = shipped_and_own("[job.stocks.read]\nsql-file = \"queries/stocks.sql\"\n")
        .file("own/queries/stocks.sql", "-- Ours.\nselect sku from articles;\n");
    let loaded = site.loaded();
    let Work::Push(read, _) = &loaded.jobs[&job("stocks")].work else { panic!("not a push") };
    assert_eq!(
        (read.sql.as_str(), read.key.as_slice()),
        ("-- Ours.\nselect sku from articles", ["sku".to_owned()].as_slice())
    );
}

#[test]
fn a_site_replaces_a_table_by_a_statement_and_the_other_way_round() {
    let pull = "[job.orders]\npull = { from = \"one\", get = \"/orders\", key = [\"id\"] }\n";
    let table = "write = { to = \"erp\", table = \"orders\", upsert-by = [\"id\"], create = true }\n";
    let statement = "write = { to = \"erp\", statement = \"call save(:id)\", key = [\"id\"] }\n";
    let target = |below: &str, above: &str| {
        let site = Site::new(&format!("schedules = [\"shipped\", \"own\"]\n{CONNECTIONS}"))
            .file("shipped/orders.toml", &format!("{pull}{below}"))
            .file("own/orders.toml", &format!("[job.orders]\n{above}"));
        let loaded = site.loaded();
        let Work::Pull(_, write) = &loaded.jobs[&job("orders")].work else { panic!("not a pull") };
        format!("{:?}", write.target)
    };
    let key = r#"["id"]"#;
    assert_eq!(target(table, statement), format!(r#"Statement {{ text: "call save(:id)", key: {key} }}"#));
    assert_eq!(
        target(statement, table),
        format!(r#"Table {{ name: "orders", upsert_by: {key}, create: true }}"#)
    );
    assert_eq!(
        target(table, "write.table = \"other\"\n"),
        format!(r#"Table {{ name: "other", upsert_by: {key}, create: true }}"#),
        "what goes with a table stays"
    );
}
