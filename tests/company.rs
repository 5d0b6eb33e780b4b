//! The first import of a sample company, killed three times on its way, ends with both sides equal, on each database. By
//! default the company is a twentieth of its size; `COMPANY=1 cargo test --test all company::` imports the whole: 5 warehouses, 2,000
//! clients, 20,000 products, 40,000 prices, 3,000 invoices with their files.

use crate::sql::{interface, on_each_database};
use crate::support::{Erp, Site, soon, stderr};
use cadenced::connection::Dialect;
use cadenced::sandbox::Wire;
use serde_json::Value;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

on_each_database!(a_company_arrives_whole_although_its_import_was_killed_three_times);

/// How much of the company there is.
#[derive(Clone, Copy)]
struct Size {
    clients: usize,
    products: usize,
    invoices: usize,
}

impl Size {
    fn of_the_environment() -> Self {
        let parts = std::env::var("COMPANY").ok().and_then(|parts| parts.parse().ok()).unwrap_or(20);
        Self { clients: 2_000 / parts, products: 20_000 / parts, invoices: 3_000 / parts }
    }
}

fn quantity(product: usize) -> String {
    format!("{}.{}", product % 97, product % 8 + 1)
}

fn price(product: usize) -> String {
    format!("{}.{:02}", product % 900 + 1, product % 100)
}

fn pdf(invoice: usize) -> Vec<u8> {
    format!("%PDF-1.7\n% invoice {invoice}\n{}\n%%EOF\n", "x".repeat(invoice % 700)).into_bytes()
}

/// Inserts so many rows, some hundred at a time.
async fn insert(erp: &Erp, table: &str, rows: usize, row: impl Fn(usize) -> String) {
    for chunk in (1..=rows).collect::<Vec<_>>().chunks(250) {
        let values: Vec<String> = chunk.iter().map(|number| format!("({})", row(*number))).collect();
        erp.run(&format!("insert into {table} values {}", values.join(", "))).await;
    }
}

async fn fill(erp: &Erp, size: Size, price_list: &str) {
    insert(erp, "cadenced_warehouses (id, type, name)", 5, |n| format!("'W{n}', 'CENTRAL', 'Warehouse {n}'"))
        .await;
    insert(
        erp,
        "cadenced_clients (code, name, tin, address_name, street, zip, city, country, admin_email, admin_name)",
        size.clients,
        |n| format!("'K/{n}', 'Client {n}', '525{n:07}', 'Client {n}', 'Prosta {n}', '00-001', 'Łódź', 'PL', 'b{n}@example.org', 'B {n}'"),
    )
    .await;
    insert(erp, "cadenced_trade_credits (client, credit_value)", size.clients / 4, |n| {
        format!("'K/{n}', '{n}.50'")
    })
    .await;
    insert(erp, "cadenced_blockades (client, type)", size.clients / 50, |n| format!("'K/{n}', 'SALE'")).await;
    insert(erp, "cadenced_stocks (warehouse, sku, quantity)", size.products, |n| {
        format!("'W{}', 'SKU/{n}', '{}'", n % 5 + 1, quantity(n))
    })
    .await;
    insert(erp, "cadenced_retail_prices (sku, price)", size.products, |n| {
        format!("'SKU/{n}', '{}'", price(n))
    })
    .await;
    erp.run(&format!("insert into cadenced_price_lists (code, pricing_id) values ('H', '{price_list}')"))
        .await;
    insert(erp, "cadenced_prices (price_list, sku, price)", size.products, |n| {
        format!("'H', 'SKU/{n}', '{}'", price(n + 7))
    })
    .await;
    insert(
        erp,
        "cadenced_invoices (number, client, currency, is_paid, amount_paid, net, tax, gross)",
        size.invoices,
        |n| {
            format!(
                "'FV/{n}/2026', 'K/{}', 'PLN', false, 0, '{n}.00', '0.23', '{n}.23'",
                n % size.clients + 1
            )
        },
    )
    .await;
    insert(erp, "cadenced_invoice_files (number, content)", size.invoices, |n| {
        let hex = pdf(n).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let bytes =
            if erp.dialect == Dialect::Postgres { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
        format!("'FV/{n}/2026', {bytes}")
    })
    .await;
}

async fn a_company_arrives_whole_although_its_import_was_killed_three_times(dialect: Dialect) {
    let size = Size::of_the_environment();
    let site = Site::quiet().await;
    let erp = Erp::new(dialect).await;
    for sql in interface(dialect) {
        erp.run(sql).await;
    }
    let price_list = site.one.add_price_list("Wholesale");
    fill(&erp, size, &price_list).await;
    let mut schedule = format!("connection.erp.sql = \"{}\"\n", erp.url);
    let shipped: toml::Table = include_str!("../schedules/one.toml").parse().unwrap();
    for name in shipped["job"].as_table().unwrap().keys().filter(|name| *name != "one-client-pull-full") {
        writeln!(schedule, "job.{name}.enabled = true").unwrap();
    }
    site.schedule(&schedule);

    // Where it is killed: half-way through the clients, at the prices, half-way through the files.
    for (path, requests) in [
        ("/account/integrations/auth-required/clients", size.clients / 2),
        ("/retail-prices", 1),
        ("file-upload-complete", size.invoices / 2),
    ] {
        killed_at(&site, path, requests).await;
    }
    let done = site.cadenced(&["import", "--connection", "one"]);
    assert_eq!(done.status.code(), Some(0), "{}\n{}", String::from_utf8_lossy(&done.stdout), stderr(&done));
    both_sides_are_equal(&site, &erp, size, &price_list).await;
}

/// Starts an import and kills it once so many requests with this path came.
async fn killed_at(site: &Site, path: &str, requests: usize) {
    let mut command = site.command(&["import", "--connection", "one"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut import = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let mut reached = async |wire: &Wire| {
        while wire.count_of(path) < requests {
            assert!(
                import.try_wait().unwrap().is_none(),
                "it ended before {path} was asked for {requests} times"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(600);
    tokio::time::timeout(patience, reached(&site.one.wire))
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {path}"));
    import.start_kill().unwrap();
    soon("the end of a killed import", import.wait()).await.unwrap();
}

async fn both_sides_are_equal(site: &Site, erp: &Erp, size: Size, price_list: &str) {
    assert_eq!(site.one.wire.broken_rules(), []);
    let one = site.one.records();
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    // MariaDB's decimals end in zeros.
    let same = |there: &Value, here: &str| {
        let digits = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
        digits(&there.to_string()) == digits(&number(here).to_string())
    };
    assert_eq!(one.warehouses.len(), 5);
    assert_eq!(one.stocks.values().map(|stocks| stocks.len()).sum::<usize>(), size.products);
    assert_eq!((one.retail_prices.len(), one.prices.len()), (size.products, size.products));
    for product in 1..=size.products {
        let sku = format!("SKU/{product}");
        let stock = &one.stocks[&format!("W{}", product % 5 + 1)][&sku];
        assert!(same(&number(&stock.quantity), &quantity(product)), "{sku}: {stock:?}");
        assert!(same(&one.retail_prices[&sku]["price"], &price(product)), "{sku}");
        assert!(
            same(&one.prices[&(price_list.to_owned(), sku.clone())]["price"], &price(product + 7)),
            "{sku}"
        );
    }

    let ids = erp.texts("select external_id, client_id from cadenced_one_client_ids").await;
    assert_eq!((ids.len(), one.clients.len()), (size.clients, size.clients));
    for row in ids {
        let (code, id) = (row[0].clone().unwrap(), row[1].clone().unwrap());
        let client = &one.clients[&id];
        let n: usize = code.strip_prefix("K/").unwrap().parse().unwrap();
        let has = [
            &client["externalId"],
            &client["name"],
            &client["tin"],
            &client["address"]["street"],
            &client["address"]["city"],
        ];
        let wanted = [
            code.clone(),
            format!("Client {n}"),
            format!("525{n:07}"),
            format!("Prosta {n}"),
            "Łódź".to_owned(),
        ];
        assert_eq!(has.map(|value| value.as_str().unwrap().to_owned()), wanted);
        let credit = one.trade_credits.get(id.strip_prefix("org:").unwrap());
        assert_eq!(credit.is_some(), n <= size.clients / 4, "{code}");
        assert!(
            credit.is_none_or(|credit| same(&credit["creditValue"], &format!("{n}.5"))),
            "{code}: {credit:?}"
        );
        assert_eq!(
            one.blockades.get(&id).is_some_and(|blockades| blockades.contains_key("SALE")),
            n <= size.clients / 50
        );
    }

    assert_eq!((one.invoices.len(), one.invoice_files.len()), (size.invoices, size.invoices));
    for n in 1..=size.invoices {
        let name = format!("FV/{n}/2026");
        let invoice = &one.invoices[&name];
        let client = &one.clients[invoice["clientData"]["clientId"].as_str().unwrap()];
        assert_eq!(client["externalId"], format!("K/{}", n % size.clients + 1));
        assert!(same(&invoice["totalPrices"]["grossPrice"], &format!("{n}.23")), "{invoice}");
        assert_eq!(one.invoice_files[&name].content, pdf(n), "{name}");
    }
    assert_eq!(one.invoice_statuses.len(), size.invoices);
}
