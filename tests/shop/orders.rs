//! Orders from ONe, what becomes of them, and orders taken elsewhere (ONe contract §3.12, §3.13, §3.14).

use super::{at, json, shop, shop_with};
use crate::support::Site;
use cadenced::run::Outcome;
use serde_json::Value;

/// Every order of ONe is in the ERP, field by field.
async fn same(site: &Site) {
    let shipments = site.one.records().shipments;
    for (id, shipment) in &shipments {
        let text = async |column: &str| {
            site.text(&format!("select {column} from cadenced_orders where shipment_id = '{id}'"))
                .await
                .unwrap()
        };
        assert_eq!(text("order_id").await, shipment["orderId"], "{id}");
        assert_eq!(text("purchase_number").await, shipment["customerPurchaseNumber"], "{id}");
        assert_eq!(text("coupon_code").await, "", "{id}");
        // Digit for digit: money is text in both.
        assert_eq!(text("lines").await, shipment["productLines"].to_string(), "{id}");
        assert_eq!(text("document").await, shipment.to_string(), "{id}");
        assert_eq!(text("removed || ''").await, "0", "{id}");
    }
    let there = site.text("select count(*) || '' from cadenced_orders where not removed").await;
    assert_eq!(there, Some(shipments.len().to_string()));
}

#[tokio::test]
async fn orders_come_in_change_and_are_withdrawn() {
    let site = shop().await;
    let ids: Vec<String> = (0..5).map(|_| site.one.add_order()).collect();
    assert_eq!(site.goes_through("one-orders").await.written, 5);
    same(&site).await;
    // Two are asked for at a time, so that either may come first.
    let asked = site.one.wire.requests();
    let asked = asked.iter().filter(|asked| asked.path == at("account", "order/shipment"));
    let mut asked: Vec<_> = asked.filter_map(|asked| asked.param("shipmentId")).collect();
    asked.sort_unstable();
    let mut all: Vec<&str> = ids.iter().map(String::as_str).collect();
    all.sort_unstable();
    assert_eq!(asked, all);

    site.one.change_order(&ids[1]);
    site.one.change_order(&ids[1]);
    site.one.remove_order(&ids[3]);
    let before = site.one.wire.count_of("/order/shipment");
    let ended = site.runs("one-orders").await;
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Ok, 1), "{:?}", ended.message);
    // The last ten events are read again; every shipment is asked for once, however many events it has.
    assert_eq!(site.one.wire.count_of("/order/shipment") - before, 5);
    same(&site).await;
    let removed = site.text("select group_concat(shipment_id) from cadenced_orders where removed").await;
    assert_eq!(removed.as_deref(), Some(ids[3].as_str()));
    site.no_rule_is_broken();
}

#[tokio::test]
async fn an_event_that_becomes_visible_late_is_not_lost() {
    let site = shop().await;
    site.one.switches.set("late-event=true").unwrap();
    for _ in 0..4 {
        site.one.add_order();
    }
    assert_eq!(site.goes_through("one-orders").await.written, 3);
    assert_eq!(site.goes_through("one-orders").await.written, 1);
    same(&site).await;
}

#[tokio::test]
async fn a_feed_that_stands_still_or_goes_back_stops_and_starts_nothing_over() {
    for (switch, said) in [("stuck", "the feed stands still"), ("backwards", "the feed went back")] {
        let site = shop().await;
        site.one.add_order();
        site.goes_through("one-orders").await;
        let mark = site.watermark("one-orders").await;
        site.one.add_order();
        site.one.switches.set(&format!("next-id={switch}")).unwrap();
        let ended = site.runs("one-orders").await;
        assert_eq!(ended.outcome, Outcome::Failed, "{switch}");
        assert!(ended.message.as_ref().unwrap().contains(said), "{:?}", ended.message);
        assert_eq!(site.watermark("one-orders").await, mark);
    }
}

/// The documentation has these two below `orders`; docs/platforms/one.md prints the same lines.
const DOCS_PATHS: &str = r#"
[job.one-orders.pull.each]
get = "/api/v1/orders/integrations/auth-required/order/shipment"
[job.one-order-status.push]
put = "/api/v1/orders/integrations/auth-required/order/status"
"#;

#[tokio::test]
async fn the_paths_of_the_documentation_need_one_line_each_and_a_wrong_one_loses_nothing() {
    let page = include_str!("../../docs/platforms/one.md");
    assert!(page.contains(DOCS_PATHS.trim()), "docs/platforms/one.md does not print what this test tries");
    let site = shop().await;
    site.one.switches.set("path-profile=docs").unwrap();
    let shipment = site.one.add_order();
    site.one.add_order();
    let ended = site.runs("one-orders").await;
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Failed, 0));
    assert!(
        ended.message.as_ref().unwrap().contains("is the path of `each.get` right?"),
        "{:?}",
        ended.message
    );

    site.schedule(DOCS_PATHS);
    assert_eq!(site.goes_through("one-orders").await.written, 2);
    same(&site).await;
    site.sql(&format!("insert into cadenced_order_statuses values ('{shipment}', 'SHIPPED')")).await;
    assert_eq!(site.goes_through("one-order-status").await.written, 1);
    assert_eq!(site.sent("PUT", "/status"), at("orders", "order/status"));
}

#[tokio::test]
async fn the_newest_status_of_an_order_is_told_when_it_changes() {
    let site = shop_with(r#"job.one-order-status.map.status.values = { W = "SHIPPED" }"#).await;
    let (first, second) = (site.one.add_order(), site.one.add_order());
    site.sql(&format!(
        "insert into cadenced_order_statuses values ('{first}', 'CONFIRMED'), ('{second}', 'W'), ('OF/9/9/9/01', 'NEW'),
             ('OF/1/1/1/01', 'MISC')"
    ))
    .await;
    let ended = site.runs("one-order-status").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 2, 2));
    let rejects = site.rejects("one-order-status").await;
    let rejects: Vec<_> = rejects.iter().map(|reject| (reject.key.as_str(), reject.class.as_str())).collect();
    assert_eq!(rejects, [("OF/1/1/1/01", "rejected"), ("OF/9/9/9/01", "waiting")]);
    site.sql(&format!(
        "update cadenced_order_statuses set status = 'IN_PROGRESS' where shipment = '{first}'"
    ))
    .await;
    site.sql(&format!("update cadenced_order_statuses set status = 'W' where shipment = '{first}'")).await;
    site.runs("one-order-status").await;
    let told = site.one.records().order_updates;
    let told = |shipment: &str| told[&("status".to_owned(), shipment.to_owned())].clone();
    let status =
        |shipment: &str, status: &str| json(&format!(r#"{{"shipmentId":"{shipment}","status":"{status}"}}"#));
    assert_eq!(told(&first), [status(&first, "CONFIRMED"), status(&first, "SHIPPED")]);
    assert_eq!(told(&second), [status(&second, "SHIPPED")]);
    site.no_rule_is_broken();
}

#[tokio::test]
async fn offline_orders_arrive_field_by_field_and_those_of_one_are_not_sent_back() {
    let site = shop().await;
    let client = site.client("K-1").await;
    let own = site.one.add_order();
    site.goes_through("one-orders").await;
    site.sql(&format!(
        "insert into cadenced_offline_orders values
             ('SO-55-1', 'SO-55', 'K-1', 'Transfer 14 days', '0', '100.00', '100.00', '23.00', '123.00', 'Rampa 3'),
             ('{own}', 'SO-56', 'K-1', 'Transfer 14 days', '0', '1', '1', '0', '1', null);
         insert into cadenced_offline_order_lines values
             ('SO-55-1', 20, 'SKU-2', null, null, '1.5', null), ('SO-55-1', 10, 'SKU-1', 'Bolt', 'PCE', '4', '2')"
    ))
    .await;
    assert_eq!(site.goes_through("one-offline-orders").await.written, 1);
    let orders = site.one.records().offline_orders;
    let organization = client.strip_prefix("org:").unwrap();
    let expected = format!(
        r#"{{"id":"ERP-SO-55-1","orderId":"ERP-SO-55","organization":{{"id":"{organization}","externalId":"K-1"}},
        "price":{{"deliveryNet":0,"productsNet":100.00,"totalNet":100.00,"totalTax":23.00,"totalGross":123.00}},
        "paymentMethod":{{"name":"Transfer 14 days"}},"notes":"Rampa 3","productLines":[
        {{"lineNumber":1,"sku":"SKU-1","name":"Bolt","contentUnitCode":"PCE","quantityOrdered":4,
            "quantityOrderedInContentUnit":4,"quantityShipped":2}},
        {{"lineNumber":2,"sku":"SKU-2","quantityOrdered":1.5,"quantityOrderedInContentUnit":1.5}}]}}"#
    );
    assert_eq!(orders.values().collect::<Vec<&Value>>(), [&json(&expected)]);
    site.sql("update cadenced_offline_orders set notes = 'Rampa 4' where shipment = 'SO-55-1'").await;
    assert_eq!(site.goes_through("one-offline-orders").await.written, 1);
    let orders = site.one.records().offline_orders;
    assert_eq!((orders.len(), &orders["ERP-SO-55-1"]["notes"]), (1, &"Rampa 4".into()));
}
