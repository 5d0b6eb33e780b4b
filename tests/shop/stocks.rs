//! Warehouses and their stocks (ONe contract §3.2, §3.3).

use super::{json, shop};
use cadenced::run::Outcome;

#[tokio::test]
async fn warehouses_arrive_with_their_fields_and_central_ones_first() {
    let site = shop().await;
    site.sql(
        "insert into cadenced_warehouses (id, type, name, parent) values ('LOC/1', 'LOCAL', 'Counter', 'WAW1');
         insert into cadenced_warehouses (id, type, name, label, pickup_point, reservation, reservation_time, supported,
             shipping_time, company_name, street, house_number, zip, city, country, phone)
         values ('WAW1', 'CENTRAL', 'Warszawa \"Wola\"', 'Wola', 0, 1, 4, 1, 24, 'Metalo', 'Prosta', '1', '00-001',
             'Warszawa', 'PL', '+48220000000')",
    )
    .await;
    assert_eq!(site.goes_through("one-warehouses").await.written, 2);
    let found = site.one.records().warehouses;
    let central = r#"{"id":"WAW1","type":"CENTRAL","name":"Warszawa \"Wola\"","label":"Wola","pickupPoint":false,
        "reservation":true,"reservationTime":4,"supported":true,"shippingTime":24,"address":{"companyName":"Metalo",
        "street":"Prosta","number":"1","zip":"00-001","city":"Warszawa","country":"PL","phone":"+48220000000"}}"#;
    assert_eq!(found["WAW1"], json(central));
    assert_eq!(found["LOC/1"], json(r#"{"id":"LOC/1","type":"LOCAL","name":"Counter","parent":"WAW1"}"#));
    assert_eq!(site.goes_through("one-warehouses").await.requests, 0, "what is there is not sent again");
}

#[tokio::test]
async fn stocks_are_set_and_those_no_longer_offered_are_removed() {
    let site = shop().await;
    site.sql("update stock_levels set thousandths = -5000 where warehouse = 'W1' and sku = 'A-00001'").await;
    site.sql("update stock_levels set thousandths = 3125 where warehouse = 'W2' and sku = 'A-00002'").await;
    assert_eq!(site.goes_through("one-stocks").await.written, 6);
    let quantity = |warehouse: &str, sku: &str| {
        site.one.quantities().get(&(warehouse.to_owned(), sku.to_owned())).cloned()
    };
    assert_eq!(quantity("W1", "A-00001").as_deref(), Some("0"), "below zero is none");
    assert_eq!(quantity("W2", "A-00002").as_deref(), Some("3.125"));
    let expected = cadenced::sandbox::erp::quantities(&site.erp).await.unwrap();
    for (key, quantity) in expected.iter().filter(|(_, quantity)| !quantity.starts_with('-')) {
        assert_eq!(site.one.quantities().get(key), Some(quantity));
    }
    site.sql("update articles set web = 0 where sku = 'A-00003'").await;
    // More than a tenth at once is more than is believed.
    let ended = site.runs("one-stocks").await;
    assert_eq!(ended.outcome, Outcome::Failed);
    site.schedule("[job.one-stocks]\nread = { max-gone = \"50%\" }");
    site.goes_through("one-stocks").await;
    assert_eq!(site.goes_through("one-stocks").await.removed, 2);
    assert_eq!(quantity("W1", "A-00003"), None);
    assert_eq!(site.one.stocks().len(), 4);
}
