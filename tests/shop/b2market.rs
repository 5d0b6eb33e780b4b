//! B2Market's endpoints (B2Market contract §2, §4 to §7).

use super::{json, shop};
use crate::support::Site;
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;

const CREATE: &str = "b2market-order-create";

/// What new orders refer to, fetched.
async fn masters(site: &Site) {
    for job in
        ["b2market-companies", "b2market-partners", "b2market-order-statuses", "b2market-line-statuses"]
    {
        site.goes_through(job).await;
    }
}

/// An order of the ERP; `status` is one of the platform's ids.
async fn order(site: &Site, number: &str, client: &str) {
    site.sql(&format!(
        "insert into cadenced_b2market_new_orders values
             ('{number}', '1', '{client}', '68', '5', 'Pending', '10001', '10002', '2026-03-02 10:15:00', 'Por la mañana');
         insert into cadenced_b2market_new_order_lines values ('{number}', 1, 'Open', '6', null);
         insert into cadenced_b2market_new_order_details values
             ('{number}', 1, 1, '1001', '4', '14.50', '29.90'), ('{number}', 1, 2, '1002', '2', '3', null)"
    ))
    .await;
}

#[tokio::test]
async fn one_login_serves_a_run_and_an_expired_token_is_renewed_once() {
    let site = shop().await;
    site.b2market.seed(250);
    site.goes_through("b2market-orders").await;
    assert_eq!(site.b2market.wire.count_of("/login"), 1);
    assert_eq!(site.differences().await, [] as [&str; 0]);
    site.b2market.switches.set("expire-on-page=true").unwrap();
    site.b2market.touch(230);
    site.goes_through("b2market-orders").await;
    assert_eq!(site.differences().await, [] as [&str; 0]);
}

#[tokio::test]
async fn orders_changed_since_are_those_of_the_platform() {
    let site = shop().await;
    site.b2market.seed(120);
    assert_eq!(site.goes_through("b2market-orders").await.written, 120);
    assert_eq!(site.differences().await, [] as [&str; 0]);
    site.b2market.touch(7);
    site.b2market.insert(3);
    site.goes_through("b2market-orders").await;
    assert_eq!(site.differences().await, [] as [&str; 0]);
}

#[tokio::test]
async fn the_sweep_finds_what_dates_do_not_tell() {
    let site = shop().await;
    let ids = site.b2market.seed(230);
    site.goes_through("b2market-orders").await;
    // Dated long before the watermark: no date tells of it.
    site.b2market.late_commit(std::time::Duration::from_secs(40 * 86_400));
    site.b2market.remove(&ids[7]);
    assert_eq!(site.goes_through("b2market-orders").await.written, 0);
    site.goes_through("b2market-order-sweep").await;
    let differences = site.differences().await;
    assert_eq!(differences, [format!("order {}: the platform has none", ids[7])]);
}

#[tokio::test]
async fn both_lists_of_statuses_are_in_the_erp_whatever_their_values_are() {
    let site = shop().await;
    masters(&site).await;
    let list = async |table: &str| {
        site.text(&format!("select group_concat(id || '=' || value) from {table}")).await.unwrap()
    };
    let masters = site.b2market.masters();
    let expected = |statuses: &std::collections::BTreeMap<String, String>| {
        statuses.iter().map(|(id, value)| format!("{id}={value}")).collect::<Vec<_>>().join(",")
    };
    assert_eq!(list("cadenced_b2market_order_statuses").await, expected(&masters.statuses));
    assert_eq!(list("cadenced_b2market_line_statuses").await, expected(&masters.line_statuses));
    site.b2market.switches.set("status-value=boolean").unwrap();
    site.goes_through("b2market-line-statuses").await;
    assert_eq!(list("cadenced_b2market_line_statuses").await, "Open=true,Served=true");
}

#[tokio::test]
async fn companies_and_partners_are_in_the_erp() {
    let site = shop().await;
    masters(&site).await;
    let masters = site.b2market.masters();
    for (id, company) in &masters.companies {
        let found = site
            .text(&format!("select id_remote || '|' || company_name || '|' || tin from cadenced_b2market_companies where id = '{id}'"))
            .await;
        let text = |field: &str| company[field].as_str().unwrap().to_owned();
        assert_eq!(found, Some(format!("{}|{}|{}", text("idRemote"), text("companyName"), text("tin"))));
    }
    let partners = "select count(*) || '' from cadenced_b2market_partners where role in ('Client', 'Representant') and company <> ''";
    assert_eq!(site.text(partners).await, Some(masters.partners.len().to_string()));
}

#[tokio::test]
async fn a_new_order_arrives_field_by_field_and_comes_back_once() {
    let site = shop().await;
    masters(&site).await;
    order(&site, "SO/5501", "100").await;
    site.sql("insert into cadenced_b2market_new_order_discounts values ('SO/5501', 1, '2', '5')").await;
    assert_eq!(site.goes_through(CREATE).await.written, 1);
    let created = site.b2market.created();
    let expected = r#"{"id":"SO/5501","companyId":"1","clientId":"100","agentId":"68","seasonId":"5","statusId":"Pending",
        "shippingAddressId":"10001","billingAddressId":"10002","reference":"SO/5501","dateOrder":"2026-03-02 10:15:00",
        "observation":"Por la mañana","discount":[{"id":"SO/5501-D1","discountTypeId":"2","sequence":1,"discount":5,"isLine":false}],
        "lines":[{"id":"SO/5501-1","lineStatusId":"Open","quantity":6,"observations":"","discount":[],"lineDetail":[
            {"id":"SO/5501-1-1","productId":"1001","quantity":4,"price":14.50,"retailPrice":29.90},
            {"id":"SO/5501-1-2","productId":"1002","quantity":2,"price":3}]}]}"#;
    assert_eq!(created.values().collect::<Vec<_>>(), [&json(expected)]);
    // A change before it came back is no second order either.
    site.sql("update cadenced_b2market_new_orders set observation = 'w'").await;
    assert_eq!(site.goes_through(CREATE).await.requests, 0);
    // It comes back with the platform's id, and what changes in the ERP afterwards creates no second one.
    site.goes_through("b2market-orders").await;
    assert_eq!(site.differences().await, [] as [&str; 0]);
    site.sql("update cadenced_b2market_new_orders set observation = 'x'").await;
    site.goes_through(CREATE).await;
    assert_eq!(site.b2market.created().len(), 1);
}

#[tokio::test]
async fn an_order_waits_for_what_it_refers_to_in_the_platforms_order() {
    let site = shop().await;
    site.goes_through("b2market-companies").await;
    order(&site, "SO-1", "100").await;
    let reason = async || {
        let ended = site.runs(CREATE).await;
        assert_eq!((ended.counts.written, ended.counts.rejected), (0, 1));
        site.rejects(CREATE).await[0].reason.clone()
    };
    assert_eq!(reason().await, "field `clientId`: the lookup has nothing for client 100, company 1");
    site.sql("update cadenced_b2market_new_orders set company = '9'").await;
    assert_eq!(reason().await, "field `companyId`: the lookup has nothing for company 9");
    site.sql("update cadenced_b2market_new_orders set company = '1', client = '101'").await;
    masters(&site).await;
    assert!(reason().await.starts_with("field `clientId`"), "it is another company's");
    site.sql("update cadenced_b2market_new_orders set client = '100', agent = '69'").await;
    assert!(reason().await.starts_with("field `agentId`"), "it is another company's");
    site.sql("update cadenced_b2market_new_orders set agent = '68', status = 'Lost'").await;
    assert!(reason().await.starts_with("field `statusId`"));
    site.sql("update cadenced_b2market_new_orders set status = 'Pending'; update cadenced_b2market_new_order_lines set status = 'Lost'").await;
    let said = reason().await;
    assert!(said.starts_with("field `lines[") && said.contains("lineStatusId"), "{said}");
    assert_eq!(site.b2market.wire.count_of("/Order/create"), 0, "nothing was sent before all was there");
    site.sql("update cadenced_b2market_new_order_lines set status = 'Open'").await;
    assert_eq!(site.goes_through(CREATE).await.written, 1);
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_and_no_order_is_created_twice() {
    let site = shop().await;
    masters(&site).await;
    site.b2market.seed(150);
    order(&site, "SO-1", "100").await;
    order(&site, "SO-2", "104").await;
    site.sql("update cadenced_b2market_new_orders set shipping_address = '10401', billing_address = '10402' where number = 'SO-2'").await;
    // Done, and the answer is lost; the other is not done.
    site.b2market.wire.fail_next(1, "/Order/create", Fault::AnswerLost);
    let ended = site.runs(CREATE).await;
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Ok, 2), "{:?}", ended.message);
    site.b2market.wire.fail_next(1, "/Order/create", Fault::Reset);
    order(&site, "SO-3", "108").await;
    site.sql("update cadenced_b2market_new_orders set shipping_address = '10801', billing_address = '10802' where number = 'SO-3'").await;
    site.runs(CREATE).await;
    site.runs(CREATE).await;
    let created = site.b2market.created();
    let mut numbers: Vec<&str> = created.values().map(|order| order["id"].as_str().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["SO-1", "SO-2", "SO-3"]);
    assert_eq!(site.b2market.wire.broken_rules(), []);
}
