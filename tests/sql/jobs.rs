//! The two shipped jobs on each database, with the schema that is shipped for it: both sides have the same rows.

use super::{ORDERS, STOCKS, on_each_database, site};
use crate::support::{Erp, Site};
use cadenced::connection::Dialect;
use cadenced::run::Outcome;
use std::collections::BTreeMap;

on_each_database!(
    orders_in_the_erp_are_those_of_the_platform,
    stocks_on_the_platform_are_those_of_the_erp,
    a_query_can_be_in_a_file_of_its_own,
);

async fn orders_in_the_erp_are_those_of_the_platform(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    site.b2market.seed(230);
    let first = site.once(ORDERS).await;
    assert_eq!((first.outcome, first.message, first.counts.written), (Outcome::Ok, None, 230));
    assert_eq!(differences(&site, &erp, "b2market_orders", snake_case).await, [] as [&str; 0]);

    site.b2market.touch(40);
    site.b2market.insert(10);
    site.b2market.wire.clock().advance(std::time::Duration::from_secs(300));
    let second = site.once(ORDERS).await;
    assert_eq!((second.outcome, second.counts.rejected), (Outcome::Ok, 0));
    assert_eq!(differences(&site, &erp, "b2market_orders", snake_case).await, [] as [&str; 0]);
    assert!(site.watermark(ORDERS).await.is_some());
}

async fn stocks_on_the_platform_are_those_of_the_erp(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    stock(&erp).await;
    let first = site.once(STOCKS).await;
    assert_eq!((first.outcome, first.message, first.counts.written), (Outcome::Ok, None, 40));
    assert_eq!(site.one.quantities(), quantities(&erp).await);
    assert_eq!(site.one.quantities()[&("W2".to_owned(), "A-00002".to_owned())], "3.125");

    erp.run("update stock_levels set quantity = '12345678.5' where warehouse = 'W1' and sku = 'A-00007'")
        .await;
    erp.run("delete from stock_levels where sku = 'A-00009'").await;
    assert_eq!(site.once(STOCKS).await.counts.written, 1);
    assert_eq!(site.once(STOCKS).await.counts.removed, 2);
    assert_eq!(site.one.quantities(), quantities(&erp).await);
    assert_eq!(site.once(STOCKS).await.counts.requests, 0);
}

async fn a_query_can_be_in_a_file_of_its_own(dialect: Dialect) {
    let (site, erp) = site(dialect).await;
    stock(&erp).await;
    let query = "-- Only one warehouse.\nselect sku, warehouse, quantity\nfrom cadenced_stocks where warehouse = 'W1';\n";
    std::fs::write(site.dir().join("site/stocks.sql"), query).unwrap();
    super::schedule(&site, &erp, "job.one-stocks.read = { sql-file = \"stocks.sql\" }");
    assert_eq!(site.once(STOCKS).await.counts.written, 20);
}

/// Twenty articles in two warehouses; every fourth quantity has decimals.
pub(super) async fn stock(erp: &Erp) {
    let mut rows = Vec::new();
    for (warehouse, sku) in (1..=2).flat_map(|warehouse| (1..=20).map(move |sku| (warehouse, sku))) {
        let decimals = if (warehouse + sku) % 4 == 0 { ".125" } else { "" };
        rows.push(format!("('W{warehouse}', 'A-{sku:05}', '{}{decimals}')", warehouse + sku - 1));
    }
    erp.run(&format!("insert into stock_levels (warehouse, sku, quantity) values {}", rows.join(", "))).await;
}

async fn quantities(erp: &Erp) -> BTreeMap<(String, String), String> {
    let rows = erp.texts("select warehouse, sku, quantity from cadenced_stocks").await;
    rows.into_iter()
        .map(|row| {
            let [warehouse, sku, quantity] = row.try_into().unwrap();
            ((warehouse.unwrap(), sku.unwrap()), quantity.unwrap())
        })
        .collect()
}

/// In what a table of orders differs from the platform's; `column` names the column of a field.
pub(super) async fn differences(
    site: &Site,
    erp: &Erp,
    table: &str,
    column: impl Fn(&str) -> String,
) -> Vec<String> {
    erp.differences(&site.b2market.orders(), table, column).await
}

pub(super) fn snake_case(field: &str) -> String {
    field.chars().flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain(c.to_lowercase())).collect()
}
