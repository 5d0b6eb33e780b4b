//! Invoices with their payment statuses, and goods issued notes (ONe contract §3.10, §3.11).

use super::{json, shop};
use cadenced::run::Outcome;

const INVOICES: &str = "
insert into cadenced_invoices (number, client, client_type, tin, sale_date, payment_date, currency, is_paid, amount_paid,
    split_payment, purchase_numbers, notes, name, street, zip, city, country, net, tax, gross)
values ('FV/17/03/2026', 'K-1', 'ORGANIZATION', '5250000000', '2026-03-02', '2026-03-16', 'PLN', 0, '0', 1,
    '[\"OF/22/8/2022\",\"PO-7\"]', 'Zażółć', 'Metalo', 'Prosta 1', '00-001', 'Warszawa', 'PL', '100.00', '23.00', '123.00');
insert into cadenced_invoices (number, client, currency, is_paid, amount_paid, purchase_numbers, net, tax, gross)
values ('FV/18/03/2026', 'K-1', 'PLN', 1, '12.30', 'PO-8', '10.00', '2.30', '12.30');
insert into cadenced_invoice_lines values
    ('FV/17/03/2026', 20, 'SKU-2', 'Nut', 'szt', '2.5', '23', '60.00', '13.80', '73.80'),
    ('FV/17/03/2026', 10, 'SKU-1', 'Bolt', 'szt', '4', '23', '40.00', '9.20', '49.20');";

#[tokio::test]
async fn invoices_arrive_field_by_field_with_lines_numbered_anew() {
    let site = shop().await;
    let client = site.client("K-1").await;
    site.sql(INVOICES).await;
    assert_eq!(site.goes_through("one-invoices").await.written, 2);
    let invoices = site.one.records().invoices;
    let expected = format!(
        r#"{{"number":"FV/17/03/2026","saleDate":"2026-03-02","paymentDate":"2026-03-16","currencyCode":"PLN","isPaid":false,
        "amountPaid":0,"splitPayment":true,"customerPurchaseNumbers":["OF/22/8/2022","PO-7"],"notes":"Zażółć",
        "clientData":{{"clientId":"{client}","clientType":"ORGANIZATION","tin":"5250000000","addressData":{{"name":"Metalo",
        "street":"Prosta 1","postalCode":"00-001","city":"Warszawa","country":"PL"}}}},
        "totalPrices":{{"netPrice":100.00,"taxValue":23.00,"grossPrice":123.00}},"productLines":[
        {{"lineNumber":1,"quantity":4,"product":{{"sku":"SKU-1","name":"Bolt","unit":"szt"}},"prices":{{"taxRate":23,
        "base":{{"net":40.00,"tax":9.20,"gross":49.20}}}}}},
        {{"lineNumber":2,"quantity":2.5,"product":{{"sku":"SKU-2","name":"Nut","unit":"szt"}},"prices":{{"taxRate":23,
        "base":{{"net":60.00,"tax":13.80,"gross":73.80}}}}}}]}}"#
    );
    assert_eq!(invoices["FV/17/03/2026"], json(&expected));
    let expected = format!(
        r#"{{"number":"FV/18/03/2026","currencyCode":"PLN","isPaid":true,"amountPaid":12.30,"customerPurchaseNumbers":["PO-8"],
        "clientData":{{"clientId":"{client}"}},"totalPrices":{{"netPrice":10.00,"taxValue":2.30,"grossPrice":12.30}}}}"#
    );
    assert_eq!(invoices["FV/18/03/2026"], json(&expected));
}

#[tokio::test]
async fn an_invoice_waits_for_its_client_and_one_that_does_not_add_up_is_rejected_by_itself() {
    let site = shop().await;
    site.client("K-1").await;
    site.sql(INVOICES).await;
    site.sql(
        "insert into cadenced_invoices (number, client, currency, is_paid, amount_paid, net, tax, gross)
         values ('FV/19', 'K-9', 'PLN', 0, '0', '1', '0.23', '1.23'), ('FV/20', 'K-1', 'PLN', 0, '0', '1', '0.23', '1.32')",
    )
    .await;
    let ended = site.runs("one-invoices").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 2, 2));
    let mut reasons: Vec<String> =
        site.rejects("one-invoices").await.into_iter().map(|reject| reject.reason).collect();
    reasons.sort();
    assert!(reasons[0].ends_with("the lookup has nothing for client K-9"), "{reasons:?}");
    assert!(reasons[1].contains("net and tax are not gross"), "{reasons:?}");

    site.client("K-9").await;
    site.sql("update cadenced_invoices set gross = '1.23' where number = 'FV/20'").await;
    assert_eq!(site.goes_through("one-invoices").await.written, 2);
    assert_eq!((site.one.records().invoices.len(), site.rejects("one-invoices").await.len()), (4, 0));
}

#[tokio::test]
async fn a_client_that_one_has_lost_does_not_stop_the_invoices_of_others() {
    let site = shop().await;
    let lost = site.client("K-1").await;
    site.client("K-2").await;
    site.sql(INVOICES).await;
    site.sql("update cadenced_invoices set client = 'K-2' where number = 'FV/18/03/2026'").await;
    site.one.switches.set(&format!("missing-client={lost}")).unwrap();
    let ended = site.runs("one-invoices").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 1, 1));
    let rejects = site.rejects("one-invoices").await;
    assert_eq!((rejects[0].key.as_str(), rejects[0].class.as_str()), ("FV/17/03/2026", "waiting"));
}

#[tokio::test]
async fn payment_statuses_follow_their_invoice_and_are_sent_when_they_change() {
    let site = shop().await;
    site.client("K-1").await;
    site.sql(INVOICES).await;
    let ended = site.runs("one-invoice-statuses").await;
    assert_eq!((ended.counts.written, ended.counts.rejected), (0, 2), "their invoices are not there yet");
    site.goes_through("one-invoices").await;
    assert_eq!(site.goes_through("one-invoice-statuses").await.written, 2);
    site.sql("update cadenced_invoices set is_paid = 1, amount_paid = '123.00' where number like 'FV/17%'")
        .await;
    site.goes_through("one-invoices").await;
    site.goes_through("one-invoice-statuses").await;
    let statuses = site.one.records().invoice_statuses;
    let of = |number: &str| statuses[number].to_string();
    assert_eq!(of("FV/17/03/2026"), r#"{"number":"FV/17/03/2026","isPaid":true,"amountPaid":123.00}"#);
    assert_eq!(of("FV/18/03/2026"), r#"{"number":"FV/18/03/2026","isPaid":true,"amountPaid":12.30}"#);
    assert_eq!(site.goes_through("one-invoice-statuses").await.requests, 0);
}

#[tokio::test]
async fn goods_issued_notes_arrive_field_by_field_with_lines_numbered_anew() {
    let site = shop().await;
    let client = site.client("K-1").await;
    site.sql(
        "insert into cadenced_goods_issued_notes (number, client, document_date, sale_date, delivery_date,
             purchase_order_number, notes, warehouse, delivery_name, delivery_street, delivery_zip, delivery_city,
             delivery_country, net, tax, gross)
         values ('WZ/9/03/2026', 'K-1', '2026-03-02', '2026-03-03', '2026-03-04', 'OF/22/8/2022', 'Rampa 3', 'WAW1', 'Metalo',
             'Prosta 1', '00-001', 'Warszawa', 'PL', '100.00', '23.00', '123.00');
         insert into cadenced_goods_issued_note_lines values
             ('WZ/9/03/2026', 30, 'SKU-3', 'Washer', 'szt', '100', null, null),
             ('WZ/9/03/2026', 0, 'SKU-1', 'Bolt', 'szt', '4', 'OF/22/8/2022/01', 1),
             ('WZ/9/03/2026', 20, 'SKU-2', null, null, '0.5', 'OF/22/8/2022/01', 2)",
    )
    .await;
    assert_eq!(site.goes_through("one-goods-issued-notes").await.written, 1);
    let expected = format!(
        r#"{{"number":"WZ/9/03/2026","clientId":"{client}","documentDate":"2026-03-02","saleDate":"2026-03-03",
        "deliveryDate":"2026-03-04","purchaseOrderNumber":"OF/22/8/2022","notes":"Rampa 3","warehouse":{{"id":"WAW1"}},
        "deliveryAddress":{{"name":"Metalo","street":"Prosta 1","postCode":"00-001","city":"Warszawa","country":"PL"}},
        "prices":{{"total":{{"net":100.00,"tax":23.00,"gross":123.00}}}},"productLines":[
        {{"lineNumber":1,"salesOrderReferenceNumber":"OF/22/8/2022/01","salesOrderLineNumber":1,"quantity":4,
            "product":{{"sku":"SKU-1","name":"Bolt","unit":"szt"}}}},
        {{"lineNumber":2,"salesOrderReferenceNumber":"OF/22/8/2022/01","salesOrderLineNumber":2,"quantity":0.5,
            "product":{{"sku":"SKU-2"}}}},
        {{"lineNumber":3,"quantity":100,"product":{{"sku":"SKU-3","name":"Washer","unit":"szt"}}}}]}}"#
    );
    assert_eq!(site.one.records().goods_issued_notes["WZ/9/03/2026"], json(&expected));
}
