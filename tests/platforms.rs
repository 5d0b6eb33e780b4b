//! docs/platforms.md is a table of every documented endpoint with its job and its test. It is made here, from the list below and the
//! shipped schedules: an endpoint that a platform's reference demands and no job asks for, a job that asks for what is not in the
//! list, and a test that doesn't exist fail. After a change: `PLATFORMS_MD=write cargo test --test all platforms::`.

use crate::support::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// An endpoint: what it is about, method and path as the schedules write them, the job, a test that runs it against the
/// sandbox. Without a job it is documented and not shipped, and the test's place says why.
type Endpoint = (&'static str, &'static str, &'static str, &'static str);

/// Platforms whose schedules are still to come: their rows may lack jobs and tests.
const NOT_YET: &[&str] = &[];

const ONE: &str = "/integrations/auth-required/";

/// Paths of ONe are written without what they all begin with: `account:clients` is
/// `/api/v1/account/integrations/auth-required/clients`.
const PLATFORMS: &[(&str, &str, &[Endpoint])] = &[
    (
        "one",
        "ONe",
        &[
            (
                "I.1 segments",
                "GET account:segments",
                "one-client-add",
                "what_is_there_already_is_not_created_again",
            ),
            (
                "I.1 segments",
                "POST account:segments",
                "one-client-add",
                "a_child_waits_for_the_segment_above_it",
            ),
            (
                "I.1 segments",
                "PUT account:segments/{segmentId}",
                "one-client-update",
                "only_steps_that_changed_are_sent",
            ),
            (
                "I.2 warehouses",
                "PUT account:warehouses",
                "one-warehouses",
                "warehouses_arrive_with_their_fields_and_central_ones_first",
            ),
            (
                "I.3 stocks",
                "POST stock:warehouses/{warehouse}/stocks/incremental",
                "one-stocks",
                "stocks_are_set_and_those_no_longer_offered_are_removed",
            ),
            (
                "I.4 clients, to find one",
                "GET account:clients",
                "one-client-add",
                "what_is_there_already_is_not_created_again",
            ),
            (
                "I.4 clients, add",
                "POST account:clients",
                "one-client-add",
                "new_clients_go_out_whole_and_once",
            ),
            (
                "I.4 clients, update",
                "PUT account:clients/{clientId}",
                "one-client-update",
                "only_steps_that_changed_are_sent",
            ),
            (
                "I.5 changed clients",
                "GET account:clients/synchronization",
                "one-client-pull",
                "clients_of_one_come_into_the_erp_and_go_again",
            ),
            (
                "I.5 client",
                "GET account:clients/{clientId}",
                "one-client-pull",
                "clients_of_one_come_into_the_erp_and_go_again",
            ),
            (
                "I.5 all clients",
                "GET account:clients",
                "one-client-pull-full",
                "the_list_takes_the_place_of_a_feed_that_is_not_there",
            ),
            (
                "I.5 ids",
                "GET account:clients/synchronization",
                "one-client-ids",
                "ids_of_clients_are_known_whoever_created_them",
            ),
            (
                "I.5 ids",
                "GET account:clients/{clientId}",
                "one-client-ids",
                "ids_of_clients_are_known_whoever_created_them",
            ),
            (
                "I.6 trade credits",
                "PUT account:trade-credits/{organizationId}",
                "one-client-add",
                "new_clients_go_out_whole_and_once",
            ),
            (
                "I.6 trade credits",
                "PUT account:trade-credits/{organizationId}",
                "one-client-update",
                "only_steps_that_changed_are_sent",
            ),
            (
                "I.7 blockades",
                "PUT account:client-blockades/{clientId}",
                "one-client-add",
                "new_clients_go_out_whole_and_once",
            ),
            (
                "I.7 blockades",
                "PUT account:client-blockades/{clientId}",
                "one-client-update",
                "only_steps_that_changed_are_sent",
            ),
            (
                "II.1 B2C prices",
                "PUT pricing:retail-prices",
                "one-retail-prices",
                "retail_prices_arrive_digit_for_digit",
            ),
            (
                "II.2 B2B prices",
                "PUT pricing:prices",
                "one-b2b-prices",
                "prices_of_a_list_that_one_does_not_know_yet_wait_and_the_others_go",
            ),
            (
                "II.2 lists of clients",
                "PUT pricing:clients-to-pricings",
                "one-price-list-clients",
                "a_client_gets_two_thousand_price_lists_and_the_next_is_refused_by_itself",
            ),
            (
                "II.2 unused lists",
                "DELETE pricing:pricings/{pricing_id}",
                "one-unused-price-lists",
                "unused_price_lists_are_reported_and_deleted_only_when_allowed",
            ),
            (
                "III.1 invoices",
                "PUT invoices:invoices",
                "one-invoices",
                "invoices_arrive_field_by_field_with_lines_numbered_anew",
            ),
            (
                "III.2 invoice PDF",
                "POST invoices:file-upload-begin",
                "one-invoice-files",
                "a_file_arrives_byte_for_byte_by_every_way_and_is_sent_once",
            ),
            (
                "III.2 invoice PDF",
                "POST invoices:file-upload/{upload}",
                "one-invoice-files",
                "a_file_arrives_byte_for_byte_by_every_way_and_is_sent_once",
            ),
            (
                "III.2 invoice PDF",
                "POST invoices:file-upload-complete",
                "one-invoice-files",
                "a_file_arrives_byte_for_byte_by_every_way_and_is_sent_once",
            ),
            (
                "III.3 invoice statuses",
                "PUT invoices:invoices/status",
                "one-invoice-statuses",
                "payment_statuses_follow_their_invoice_and_are_sent_when_they_change",
            ),
            (
                "III.4 goods issued notes",
                "PUT goods-issued-notes:goods-issued-notes",
                "one-goods-issued-notes",
                "goods_issued_notes_arrive_field_by_field_with_lines_numbered_anew",
            ),
            (
                "III.5 note PDF",
                "POST goods-issued-notes:file-upload-initialize",
                "one-goods-issued-note-files",
                "notes_have_their_files_by_a_job_of_their_own",
            ),
            (
                "III.5 note PDF",
                "POST goods-issued-notes:file-upload/{upload}",
                "one-goods-issued-note-files",
                "notes_have_their_files_by_a_job_of_their_own",
            ),
            (
                "III.5 note PDF",
                "POST goods-issued-notes:file-upload-finalize",
                "one-goods-issued-note-files",
                "notes_have_their_files_by_a_job_of_their_own",
            ),
            (
                "III.6 orders",
                "GET orders:synchronization/order",
                "one-orders",
                "orders_come_in_change_and_are_withdrawn",
            ),
            (
                "III.6 order",
                "GET account:order/shipment",
                "one-orders",
                "orders_come_in_change_and_are_withdrawn",
            ),
            (
                "III.7 order status",
                "PUT account:order/status",
                "one-order-status",
                "the_newest_status_of_an_order_is_told_when_it_changes",
            ),
            (
                "III.8 offline orders",
                "PUT orders:offline-order/shipment",
                "one-offline-orders",
                "offline_orders_arrive_field_by_field_and_those_of_one_are_not_sent_back",
            ),
            (
                "main catalogue",
                "GET pricing:main-catalog-id",
                "",
                "asked once by hand, when `cadenced_price_lists` is filled",
            ),
            (
                "payment status, delivery date, shipped quantities, waybills",
                "the documentation gives no paths",
                "",
                "copy `one-order-status`",
            ),
            (
                "trade credits and notes, feeds",
                "GET account:trade-credits/synchronization",
                "",
                "the ERP is who knows them",
            ),
        ],
    ),
    (
        "b2market",
        "B2Market",
        &[
            (
                "login",
                "POST /login",
                "connection.b2market",
                "one_login_serves_a_run_and_an_expired_token_is_renewed_once",
            ),
            (
                "changed orders",
                "GET /Order/updatedFrom",
                "b2market-orders",
                "orders_changed_since_are_those_of_the_platform",
            ),
            (
                "all orders",
                "GET /Order/getOrder",
                "b2market-order-sweep",
                "the_sweep_finds_what_dates_do_not_tell",
            ),
            (
                "order statuses",
                "GET /Order/getOrder/Status",
                "b2market-order-statuses",
                "both_lists_of_statuses_are_in_the_erp_whatever_their_values_are",
            ),
            (
                "line statuses",
                "GET /Order/getOrder/Line/Status",
                "b2market-line-statuses",
                "both_lists_of_statuses_are_in_the_erp_whatever_their_values_are",
            ),
            (
                "new orders",
                "POST /Order/create",
                "b2market-order-create",
                "a_new_order_arrives_field_by_field_and_comes_back_once",
            ),
            (
                "new orders, to find one",
                "GET /Order/updatedFrom",
                "b2market-order-create",
                "a_lost_answer_is_looked_for_and_no_order_is_created_twice",
            ),
            (
                "companies",
                "GET /Company/getCompany",
                "b2market-companies",
                "companies_and_partners_are_in_the_erp",
            ),
            (
                "business partners",
                "GET /BusinessPartner/getBPartner",
                "b2market-partners",
                "companies_and_partners_are_in_the_erp",
            ),
            ("warehouses, stocks", "GET /Warehouse/getWarehouse, /Stock/getStock", "", "no job needs them"),
            (
                "change, delete an order",
                "the documentation gives no paths",
                "",
                "told in the introduction only",
            ),
        ],
    ),
    (
        "eryxon",
        "Eryxon",
        &[
            (
                "cells",
                "POST /api-cells/bulk-sync",
                "eryxon-cells",
                "every_bulk_call_of_the_reference_is_made_by_its_job",
            ),
            (
                "resources",
                "POST /api-resources/bulk-sync",
                "eryxon-resources",
                "every_bulk_call_of_the_reference_is_made_by_its_job",
            ),
            (
                "jobs",
                "POST /api-jobs/bulk-sync",
                "eryxon-jobs",
                "every_bulk_call_of_the_reference_is_made_by_its_job",
            ),
            (
                "parts",
                "POST /api-parts/bulk-sync",
                "eryxon-parts",
                "every_bulk_call_of_the_reference_is_made_by_its_job",
            ),
            (
                "operations",
                "POST /api-operations/bulk-sync",
                "eryxon-operations",
                "every_bulk_call_of_the_reference_is_made_by_its_job",
            ),
            (
                "one cell, resource, job, part, operation",
                "PUT /api-…/sync",
                "",
                "`every_single_call_of_the_reference_is_made_where_a_site_wants_it`: one key of the jobs above",
            ),
            (
                "lists, to read back",
                "GET /api-cells",
                "eryxon-cells",
                "success_that_is_none_is_found_by_reading_back",
            ),
            (
                "lists, to read back",
                "GET /api-resources",
                "eryxon-resources",
                "success_that_is_none_is_found_by_reading_back",
            ),
            (
                "lists, to read back",
                "GET /api-jobs",
                "eryxon-jobs",
                "success_that_is_none_is_found_by_reading_back",
            ),
            (
                "lists, to read back",
                "GET /api-parts",
                "eryxon-parts",
                "success_that_is_none_is_found_by_reading_back",
            ),
            (
                "ids, for newer servers",
                "GET /api-cells",
                "eryxon-cell-ids",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "ids, for newer servers",
                "GET /api-jobs",
                "eryxon-job-ids",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "ids, for newer servers",
                "GET /api-parts",
                "eryxon-part-ids",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "parts, for newer servers",
                "POST /api-parts/bulk-sync",
                "eryxon-parts-by-id",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "parts, for newer servers",
                "GET /api-parts",
                "eryxon-parts-by-id",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "operations, for newer servers",
                "POST /api-operations/bulk-sync",
                "eryxon-operations-by-id",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "operations, for newer servers",
                "GET /api-operations",
                "eryxon-operations-by-id",
                "newer_servers_get_the_same_by_ids",
            ),
            (
                "all at once",
                "POST /api-erp-sync/sync",
                "",
                "the five bulk calls do the same, each with its answer",
            ),
        ],
    ),
    (
        "cortecloud",
        "Cortecloud",
        &[
            (
                "services",
                "GET /services",
                "cortecloud-services",
                "twelve_hundred_services_arrive_while_the_list_changes",
            ),
            (
                "service",
                "GET /services/{id}",
                "cortecloud-services",
                "twelve_hundred_services_arrive_while_the_list_changes",
            ),
            (
                "order code",
                "PUT /services/{service_id}",
                "cortecloud-links",
                "order_codes_go_back_once_and_never_over_another",
            ),
            ("panels", "GET /panels", "cortecloud-panels", MATERIALS),
            ("panels", "PUT /panels/{id}", "cortecloud-panel-stocks", MATERIALS),
            ("panels", "PUT /panels/{id}", "cortecloud-panel-prices", MATERIALS),
            ("panels", "PUT /panels/{id}", "cortecloud-panel-codes", MATERIALS),
            ("tapes", "GET /tapes", "cortecloud-tapes", MATERIALS),
            ("tapes", "PUT /tapes/{id}", "cortecloud-tape-stocks", MATERIALS),
            ("tapes", "PUT /tapes/{id}", "cortecloud-tape-prices", MATERIALS),
            ("tapes", "PUT /tapes/{id}", "cortecloud-tape-codes", MATERIALS),
            ("components", "GET /components", "cortecloud-components", MATERIALS),
            ("components", "PUT /components/{id}", "cortecloud-component-stocks", MATERIALS),
            ("components", "PUT /components/{id}", "cortecloud-component-prices", MATERIALS),
            ("components", "PUT /components/{id}", "cortecloud-component-codes", MATERIALS),
        ],
    ),
    (
        "commerceup",
        "Commerceup",
        &[
            ("new customer, they call us", "POST /createCustomer", "commerceup-create-customer", IN),
            ("new order, they call us", "POST /createOrder", "commerceup-create-order", IN),
            (
                "cancellation, they call us",
                "POST /cancelOrder",
                "commerceup-cancel-order",
                "a_cancellation_is_answered_item_by_item",
            ),
            (
                "stock, one article",
                "POST /inventory",
                "commerceup-stock",
                "stock_is_set_one_by_one_where_the_shop_takes_no_lists",
            ),
            (
                "stock",
                "POST /bulkinventory",
                "commerceup-stocks",
                "stock_is_set_in_lists_and_what_the_erp_drops_is_out_of_stock",
            ),
            (
                "stock, differences",
                "POST /bulkincrementinventory",
                "commerceup-stock-movements",
                "a_movement_is_booked_once_also_where_its_answer_is_lost",
            ),
            (
                "product links",
                "POST /bulklinkproduct",
                "commerceup-link-products",
                "articles_are_linked_by_the_erps_ids",
            ),
            (
                "order status",
                "POST /orderstatus",
                "commerceup-order-status",
                "the_status_of_an_order_is_one_of_seven_words_or_is_not_told",
            ),
        ],
    ),
];

const MATERIALS: &str = "materials_are_read_and_written_at_whatever_path_they_have";
const IN: &str = "customers_and_orders_arrive_field_by_field_once_in_whichever_way_they_come";

#[test]
fn every_documented_endpoint_has_a_job_and_a_test_and_the_page_says_which() {
    let tests = names_of_tests(&repository().join("tests"));
    let mut problems = Vec::new();
    let mut page = String::from(
        "# Platforms and their endpoints\n\nEvery endpoint that a platform's documentation has, the shipped job that asks for it, and the test \
         that runs that job against the simulated platform. Made by `tests/platforms.rs`.\n",
    );
    for (name, title, endpoints) in PLATFORMS {
        let jobs = schedule(name);
        write!(page, "\n## {title}\n\n").unwrap();
        let Some(jobs) = jobs else {
            if !NOT_YET.contains(name) {
                problems.push(format!("schedules/{name}.toml is not there"));
            }
            page.push_str("Its schedule is not shipped yet.\n");
            continue;
        };
        write!(page, "[What to fill in, what is assumed](platforms/{name}.md)\n\n").unwrap();
        page.push_str("| what | job | direction | cadence | endpoint | test |\n|---|---|---|---|---|---|\n");
        let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
        for (what, endpoint, job, test) in *endpoints {
            let shown = endpoint.replace(':', "/…/");
            if job.is_empty() {
                writeln!(page, "| {what} | | | | {} | {test} |", code(&shown)).unwrap();
                continue;
            }
            let (direction, cadence) = match jobs.get(*job) {
                Some(table) => (direction(table), cadence(table)),
                // A login belongs to the connection.
                None if job.starts_with("connection.") => ("", "when a token is needed".to_owned()),
                None => {
                    problems.push(format!("{name}: {endpoint}: there is no job `{job}`"));
                    continue;
                }
            };
            if !tests.contains(*test) {
                problems.push(format!("{name}: {endpoint}: there is no test `{test}`"));
            }
            listed.insert(((*job).to_owned(), path_of(endpoint)));
            writeln!(page, "| {what} | `{job}` | {direction} | {cadence} | {} | `{test}` |", code(&shown))
                .unwrap();
        }
        for (job, table) in &jobs {
            let mut asked = BTreeSet::new();
            paths(table, &mut asked);
            let of_job = listed.iter().filter(|(of, _)| of == job).map(|(_, path)| path.clone());
            let listed: BTreeSet<String> = of_job.collect();
            problems.extend(
                asked
                    .difference(&listed)
                    .map(|path| format!("{name}: `{job}` asks for {path}, which is not listed")),
            );
            problems.extend(
                listed.difference(&asked).map(|path| format!("{name}: `{job}` does not ask for {path}")),
            );
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let path = repository().join("docs/platforms.md");
    if std::env::var_os("PLATFORMS_MD").is_some_and(|what| what == "write") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/platforms.md is not what this test makes: PLATFORMS_MD=write cargo test --test all platforms::"
    );
}

fn code(endpoint: &str) -> String {
    if endpoint.starts_with("the ") { endpoint.to_owned() } else { format!("`{endpoint}`") }
}

/// The path as a schedule writes it.
fn path_of(endpoint: &str) -> String {
    let (_, path) = endpoint.split_once(' ').unwrap();
    match path.split_once(':') {
        Some((domain, rest)) => format!("/api/v1/{domain}{ONE}{rest}"),
        None => path.to_owned(),
    }
}

/// The jobs of a platform's schedule.
fn schedule(platform: &str) -> Option<BTreeMap<String, Table>> {
    let text = fs::read_to_string(repository().join(format!("schedules/{platform}.toml"))).ok()?;
    let table: Table = text.parse().unwrap();
    let jobs = table["job"].as_table().unwrap();
    Some(jobs.iter().map(|(name, job)| (name.clone(), job.as_table().unwrap().clone())).collect())
}

/// Every path that a job asks for.
fn paths(table: &Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            Value::String(path)
                if ["get", "post", "put", "patch", "delete", "path"].contains(&key.as_str())
                    && path.starts_with('/') =>
            {
                found.insert(path.clone());
            }
            Value::Table(below) => paths(below, found),
            Value::Array(list) => {
                list.iter().filter_map(Value::as_table).for_each(|below| paths(below, found))
            }
            _ => {}
        }
    }
}

fn direction(job: &Table) -> &'static str {
    if job.contains_key("receive") {
        "they call, into the ERP"
    } else if job.contains_key("pull") {
        "into the ERP"
    } else {
        "from the ERP"
    }
}

fn cadence(job: &Table) -> String {
    let text = |key: &str| job.get(key).and_then(Value::as_str).map(str::to_owned);
    let first = |key: &str| Some(job.get(key)?.as_array()?.first()?.as_str()?.to_owned());
    let when = match (text("cron"), text("every"), first("after")) {
        (Some(cron), ..) => format!("`{cron}`"),
        (None, Some(every), _) => format!("every {every}"),
        (None, None, Some(parent)) => format!("after `{parent}`"),
        _ if job.contains_key("initial") => "once, on the first import".to_owned(),
        _ => "on demand".to_owned(),
    };
    let between = text("between").map(|between| format!(", {between}")).unwrap_or_default();
    let off = if job.get("enabled").and_then(Value::as_bool) == Some(false) { ", off" } else { "" };
    format!("{when}{between}{off}")
}

/// The names of all test functions below a directory.
fn names_of_tests(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(names_of_tests(&path));
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let tests = text.split("test]\n").skip(1);
        names.extend(tests.filter_map(|test| Some(test.split_once("fn ")?.1.split('(').next()?.to_owned())));
    }
    names
}
