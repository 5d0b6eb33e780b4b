//! The files that are shipped can be read as they are.

use super::*;
use crate::job::{Trigger, Work};
use chrono::{DateTime, Utc};

/// The shipped schedules with a connection for each.
fn shipped() -> Site {
    let schedules = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    let mut text =
        format!("schedules = [\"{}\"]\n[connection.erp]\nsql = \"sqlite://erp.db\"\n", schedules.display());
    for file in fs::read_dir(schedules).unwrap() {
        let platform = file.unwrap().path().file_stem().unwrap().display().to_string();
        text.push_str(&format!("[connection.{platform}]\nurl = \"https://{platform}.example.com\"\n"));
    }
    Site::new(&text)
}

#[test]
fn the_shipped_schedules_name_every_row_of_their_platforms() {
    let loaded = shipped().loaded();
    let rows: Vec<String> = (loaded.jobs.values())
        .map(|job| {
            let when = match &job.trigger {
                Trigger::Timetable(timetable) => timetable.describe(),
                Trigger::Initial(_) => "initial".to_owned(),
                Trigger::After(parents) => format!("after {}", parents[0]),
                Trigger::Manual => match &job.work {
                    Work::Receive(receive, _) => receive.describe(),
                    _ => "manual".to_owned(),
                },
            };
            let live = if job.is_live() { ", live" } else { "" };
            let enabled = if job.enabled { "" } else { ", disabled" };
            format!("{}: {when}{enabled}{live}", job.name)
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    b2market-companies: `10 25 * * * *` in Europe/Madrid, usually 1h apart, live
    b2market-line-statuses: `5 25 * * * *` in Europe/Madrid, usually 1h apart, live
    b2market-order-create: `45 */10 * * * *` in Europe/Madrid, usually 10m apart, live
    b2market-order-statuses: `0 25 * * * *` in Europe/Madrid, usually 1h apart, live
    b2market-order-sweep: `0 40 2 * * *` in Europe/Madrid, usually 24h apart, live
    b2market-orders: `15 */5 * * * *` in Europe/Madrid, usually 5m apart, live
    b2market-partners: `15 25 * * * *` in Europe/Madrid, usually 1h apart, live
    commerceup-cancel-order: POST or GET /cancelorder
    commerceup-create-customer: POST or GET /createcustomer
    commerceup-create-order: POST or GET /createorder
    commerceup-link-products: `0 10 3 * * *` in Europe/Warsaw, usually 24h apart, live
    commerceup-order-status: `30 */5 * * * *` in Europe/Warsaw, usually 5m apart, live
    commerceup-stock: `0 */5 * * * *` in Europe/Warsaw, usually 5m apart, disabled
    commerceup-stock-movements: `0 */5 * * * *` in Europe/Warsaw, usually 5m apart, disabled
    commerceup-stocks: `0 */5 * * * *` in Europe/Warsaw, usually 5m apart, live
    cortecloud-component-codes: `0 10 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-component-prices: `0 15 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-component-stocks: `0 */10 * * * *` in America/Sao_Paulo, usually 10m apart, disabled
    cortecloud-components: `0 40 0 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-links: `30 * * * * *` in America/Sao_Paulo, usually 1m apart, live
    cortecloud-panel-codes: `0 10 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-panel-prices: `0 15 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-panel-stocks: `0 */10 * * * *` in America/Sao_Paulo, usually 10m apart, disabled
    cortecloud-panels: `0 40 0 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-services: `0 */5 * * * *` in America/Sao_Paulo, usually 5m apart, live
    cortecloud-tape-codes: `0 10 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-tape-prices: `0 15 1 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    cortecloud-tape-stocks: `0 */10 * * * *` in America/Sao_Paulo, usually 10m apart, disabled
    cortecloud-tapes: `0 40 0 * * *` in America/Sao_Paulo, usually 24h apart, disabled
    eryxon-cell-ids: after eryxon-cells, disabled
    eryxon-cells: `0 0 * * * *` in UTC, usually 1h apart, live
    eryxon-job-ids: after eryxon-jobs, disabled
    eryxon-jobs: after eryxon-cells, live
    eryxon-operations: after eryxon-parts, live
    eryxon-operations-by-id: after eryxon-part-ids, disabled
    eryxon-part-ids: after eryxon-parts-by-id, disabled
    eryxon-parts: after eryxon-jobs, live
    eryxon-parts-by-id: after eryxon-job-ids, disabled
    eryxon-resources: after eryxon-cells, live
    one-b2b-prices: `0 15 0 * * *` in Europe/Warsaw, usually 24h apart, live
    one-client-add: `0 */10 * * * *` in Europe/Warsaw, usually 10m apart, live
    one-client-ids: `20 */2 * * * *` in Europe/Warsaw, usually 2m apart, live
    one-client-pull: `0 */2 * * * *` in Europe/Warsaw, usually 2m apart, live
    one-client-pull-full: `0 */30 * * * *` in Europe/Warsaw, usually 30m apart, disabled
    one-client-update: `50 */10 * * * *` in Europe/Warsaw, usually 10m apart, live
    one-goods-issued-note-files: after one-goods-issued-notes, live
    one-goods-issued-notes: `0 */30 * * * *` in Europe/Warsaw, usually 30m apart, between 08:00-20:00, live
    one-invoice-files: after one-invoices, live
    one-invoice-statuses: `0 5,35 8-19 * * *` in Europe/Warsaw, usually 30m apart, live
    one-invoices: `0 */30 * * * *` in Europe/Warsaw, usually 30m apart, between 08:00-20:00, live
    one-offline-orders: `0 * * * * *` in Europe/Warsaw, usually 1m apart, live
    one-order-status: `40 */10 * * * *` in Europe/Warsaw, usually 10m apart, live
    one-orders: `0 * * * * *` in Europe/Warsaw, usually 1m apart, live
    one-price-list-clients: after one-b2b-prices, live
    one-retail-prices: `0 5-59/10 * * * *` in Europe/Warsaw, usually 10m apart, live
    one-stocks: `0 */2 * * * *` in Europe/Warsaw, usually 2m apart, live
    one-unused-price-lists: after one-price-list-clients, live
    one-warehouses: initial, live
    ");
}

#[test]
fn invoices_have_25_slots_a_day() {
    let loaded = shipped().loaded();
    let from: DateTime<Utc> = "2026-03-01T23:00:00Z".parse().unwrap();
    let timetable = loaded.jobs[&job("one-invoices")].trigger.timetable().unwrap().clone();
    assert_eq!(timetable.slots(from, from + chrono::Days::new(1)).count(), 25);
}

#[test]
fn the_stock_push_keeps_the_order_it_was_written_in() {
    let loaded = shipped().loaded();
    let Work::Push(read, push) = &loaded.jobs[&job("one-stocks")].work else { panic!("not a push") };
    assert_eq!(read.key, ["warehouse", "sku"]);
    assert!((read.max_gone - 0.1).abs() < f64::EPSILON);
    assert_eq!(push.batch_records, 10_000);
    assert_eq!(push.body.to_string(), r#"{"stocks":"$records","stocksToRemove":"$gone.sku"}"#);
    let fields: Vec<_> =
        push.shaping.map.as_ref().unwrap().0.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["id", "sku", "quantity"]);
    let Work::Pull(pull, _) = &loaded.jobs[&job("b2market-orders")].work else { panic!("not a pull") };
    let params: Vec<_> = pull.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(params, ["date", "page", "pageSize"]);
    // 1999-01-01 01:00:00 in Madrid is midnight in UTC.
    assert_eq!(pull.changed().unwrap().start, crate::job::Cursor(915_148_800_000));
}

/// ONe contract §6: segments and clients, prices, stocks, feeds, contents, their files, statuses, offline orders.
#[test]
fn a_first_import_has_the_platforms_order() {
    let loaded = shipped().loaded();
    let mut places: Vec<_> =
        loaded.imports.iter().filter(|(name, _)| name.as_str().starts_with("one-")).collect();
    places.sort_by_key(|(_, place)| **place);
    let order = [
        "client-add",
        "client-update",
        "client-ids",
        "b2b-prices",
        "price-list-clients",
        "unused-price-lists",
        "retail-prices",
        "stocks",
        "client-pull",
        "client-pull-full",
        "orders",
        "invoices",
        "goods-issued-notes",
        "invoice-files",
        "goods-issued-note-files",
        "invoice-statuses",
        "order-status",
        "offline-orders",
    ];
    let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str().trim_start_matches("one-")).collect();
    assert_eq!(names, order);
    let initial = |job: &&crate::job::Job| matches!(job.trigger, Trigger::Initial(_));
    let first: Vec<&str> = loaded.jobs.values().filter(initial).map(|job| job.name.as_str()).collect();
    assert_eq!(first, ["one-warehouses"], "initial jobs come before all");
}

#[test]
fn clients_are_chains_of_steps() {
    let loaded = shipped().loaded();
    for name in ["one-client-add", "one-client-update"] {
        let Work::Steps(_, steps) = &loaded.jobs[&job(name)].work else { panic!("no steps") };
        let names: Vec<&str> = steps.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["one-segments", "client", "one-trade-credits", "one-client-blockades"]);
        assert_eq!(steps.steps[1].saved, ["clientId", "organizationId"], "{name}");
        assert_eq!(loaded.jobs[&job(name)].policy.lock.as_deref(), Some("one-clients"));
    }
}

/// The example with everything taken in that stands behind a `#` without a space.
pub(super) fn whole_example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/cadenced.toml");
    let lines = fs::read_to_string(path).unwrap();
    let taken = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    lines.lines().map(taken).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_of_the_packaged_example_is_understood() {
    let mut site = Site::new(&whole_example()).file("ca.pem", "").file("schedules/none.toml", "");
    for credential in
        ["admin-token", "one-api-auth", "b2m", "cortecloud", "cortecloud-key", "commerceup-calls"]
    {
        site = site.file(&format!("credentials/{credential}"), "secret\n");
        fs::set_permissions(
            site.path().join("credentials").join(credential),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
    }
    site.sources.credentials_dir = Some(site.path().join("credentials"));
    assert_eq!(site.warnings(), "");
    assert_eq!(site.loaded().connections.len(), 4);
}

#[test]
fn what_the_packaged_example_calls_default_is_the_default() {
    let lines = whole_example();
    let none = Site::new("").loaded();
    assert!(lines.contains("drain-timeout = \"30s\"") && none.settings.drain_timeout.as_secs() == 30);
    assert!(lines.contains("level = \"info\"") && none.settings.log.level == tracing::Level::INFO);
    assert!(lines.contains("format = \"text\"") && none.settings.log.format == LogFormat::Text);
    let kept = none.settings.housekeeping;
    assert!(lines.contains("history = \"90d\"") && kept.history.as_secs() == 90 * 86_400);
    assert!(lines.contains("exports = 14") && kept.exports == 14);
    let listen = none.settings.admin.listen;
    assert!(lines.contains(&format!("listen = \"{listen}\"")) && listen.port() == 8640);
    assert!(none.settings.inbound.is_none());
    let inbound = Site::new("[inbound.caller.a]\ntoken = { env = \"T\" }\n").env("T", "t").loaded();
    let inbound = inbound.settings.inbound.unwrap();
    assert!(lines.contains(&format!("listen = \"{}\"", inbound.listen)) && inbound.listen.port() == 8641);
    let crate::inbound::Limits { body_bytes, head_time, body_time, answer_time, at_once } =
        inbound.terms.limits;
    assert!(lines.contains("max-body = \"1 MiB\"") && body_bytes == 1 << 20);
    assert!(lines.contains("head-time = \"10s\"") && head_time.as_secs() == 10);
    assert!(lines.contains("body-time = \"10s\"") && body_time.as_secs() == 10);
    assert!(lines.contains("answer-time = \"5s\"") && answer_time.as_secs() == 5);
    assert!(lines.contains("at-once = 256") && at_once == 256);

    let connections = Site::with_jobs("").loaded().connections;
    let one = connections.values().find_map(|connection| match &connection.kind {
        crate::connection::ConnectionKind::Rest(rest) => Some(rest),
        crate::connection::ConnectionKind::Sql(_) => None,
    });
    let one = one.unwrap();
    assert!(lines.contains("in-flight = 2") && one.in_flight == 2);
    assert!(lines.contains("max-body = \"256 MB\"") && one.max_body == 256_000_000);
    let seconds = [one.timeouts.connect, one.timeouts.read, one.timeouts.total].map(|time| time.as_secs());
    assert!(lines.contains(r#"connect = "10s", read = "30s", total = "2m""#) && seconds == [10, 30, 120]);
}
