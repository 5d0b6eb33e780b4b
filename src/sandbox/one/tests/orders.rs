//! The feed of orders, shipments, statuses, offline orders.

use super::*;

async fn feed(one: &One, start: usize, most: usize) -> Value {
    let query = format!("synchronization/order?eventTypes=&numberOfEvents={most}&startId={start}");
    let (status, page) = get(one, &at("orders", &query)).await;
    assert_eq!(status, 200);
    page
}

fn kinds(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["eventType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_feed_is_walked_from_1_by_next_ids() {
    let one = one();
    let first = one.add_order();
    let second = one.add_order();
    one.change_order(&first);
    one.remove_order(&second);
    let page = feed(&one, 1, 3).await;
    assert_eq!((kinds(&page), &page["nextId"]), (vec!["ADDED", "ADDED", "CHANGED"], &json!(4)));
    let event = &page["events"][0];
    assert_eq!((&event["shipmentId"], event["orderId"].as_str()), (&json!(first), first.strip_suffix("/01")));
    let page = feed(&one, 4, 3).await;
    assert_eq!((kinds(&page), &page["nextId"]), (vec!["REMOVED"], &json!(5)));
    assert_eq!(feed(&one, 5, 3).await, json!({"nextId": 5, "events": []}));
    let changed = at("orders", "synchronization/order?eventTypes=CHANGED,REMOVED&numberOfEvents=9&startId=1");
    assert_eq!(kinds(&get(&one, &changed).await.1), ["CHANGED", "REMOVED"]);
    assert_eq!(broken(&one), [""; 0]);
    for query in ["eventTypes=&numberOfEvents=3", "eventTypes=&startId=1", "numberOfEvents=3&startId=1"] {
        assert_eq!(get(&one, &at("orders", &format!("synchronization/order?{query}"))).await.0, 400);
    }
    assert_eq!(broken(&one), ["query-missing"; 3]);
}

#[tokio::test]
async fn a_feed_lies_as_the_switches_say() {
    let one = one();
    one.switches.set("duplicate-events=true").unwrap();
    let _ = one.add_order();
    one.switches.set("duplicate-events=false").unwrap();
    let _ = one.add_order();
    assert_eq!(kinds(&feed(&one, 1, 10).await), ["ADDED"; 3]);
    one.switches.set("next-id=stuck").unwrap();
    assert_eq!(feed(&one, 2, 10).await["nextId"], 2);
    one.switches.set("next-id=backwards").unwrap();
    assert_eq!(feed(&one, 2, 10).await["nextId"], 1);
    one.switches.set("next-id=honest").unwrap();
    one.switches.set("late-event=true").unwrap();
    let page = feed(&one, 1, 10).await;
    assert_eq!((kinds(&page).len(), &page["nextId"]), (2, &json!(4)), "passed over, and seen later");
    assert_eq!(kinds(&feed(&one, 1, 10).await).len(), 3);
}

#[tokio::test]
async fn a_shipment_is_found_by_its_encoded_id_below_the_path_of_the_profile() {
    let one = one();
    let id = one.add_order();
    let query = format!("order/shipment?shipmentId={}", encoded(&id));
    let (status, shipment) = get(&one, &at("account", &query)).await;
    assert_eq!((status, &shipment), (200, &one.records().shipments[&id]));
    let line = &shipment["productLines"][0];
    let price = |name: &str| super::super::super::fields::decimal(&line["price"][name]).unwrap();
    assert_eq!(price("netValue") + price("taxValue"), price("grossValue"));
    assert_eq!(get(&one, &at("orders", &query)).await.0, 404);
    one.switches.set("path-profile=docs").unwrap();
    assert_eq!(get(&one, &at("orders", &query)).await.0, 200);
    assert_eq!(get(&one, &at("account", &query)).await.0, 404);
    one.remove_order(&id);
    assert_eq!(get(&one, &at("orders", &query)).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    get(&one, &at("orders", &format!("order/shipment?shipmentId={id}"))).await;
    get(&one, &at("orders", "order/shipment")).await;
    assert_eq!(broken(&one), ["id-not-encoded", "query-missing"]);
}

#[tokio::test]
async fn what_is_said_of_a_shipment_is_kept_in_its_order() {
    let one = one();
    let id = one.add_order();
    let status = |status: &str| json!({"shipmentId": id, "status": status});
    let path = at("account", "order/status");
    for name in ["CONFIRMED", "SHIPPED"] {
        assert_eq!(put(&one, &path, status(name)).await.0, 204);
    }
    assert_eq!(
        one.records().order_updates[&("status".to_owned(), id.clone())],
        [status("CONFIRMED"), status("SHIPPED")]
    );
    let sku = one.records().shipments[&id]["productLines"][0]["sku"].clone();
    let shipped = json!({"shipmentId": id, "quantityChanges": [{"sku": sku, "quantityShipped": 2}]});
    for (method, call_name, body) in [
        ("PUT", "payment-status", json!({"shipmentId": id, "newPaymentStatus": "PAID"})),
        ("PUT", "confirmed-delivery-date", json!({"shipmentId": id, "date": "2026-03-05"})),
        ("PUT", "shipped-quantity", shipped.clone()),
        ("POST", "waybills", json!({"shipmentId": id, "waybills": ["WB-1"]})),
    ] {
        let path = at("account", &format!("order/{call_name}"));
        assert_eq!(call(&one, method, &path, Some(body)).await.0, 204, "{call_name}");
    }
    assert_eq!(
        put(&one, &path, with(&status("SHIPPED"), "/shipmentId", json!("OF/9/9/2020/01"))).await.0,
        404
    );
    assert_eq!(broken(&one), [""; 0]);
    let wrong = [("/status", json!("GONE"), "field-type"), ("/shipmentId", Value::Null, "field-missing")];
    refuses(&one, "PUT", &path, &status("SHIPPED"), &wrong).await;
    let wrong = [
        ("/quantityChanges/0/sku", json!("none"), "sku-of-the-order"),
        ("/quantityChanges/0/quantityShipped", json!(-1), "field-below-zero"),
    ];
    refuses(&one, "PUT", &at("account", "order/shipped-quantity"), &shipped, &wrong).await;
    post(&one, &at("account", "order/waybills"), json!({"shipmentId": id, "waybills": ["WB-2", "WB-1"]}))
        .await;
    assert_eq!(broken(&one).last(), Some(&"waybill-twice"));
}

fn offline(organization: &str) -> Value {
    json!({
        "id": "ERP-SO-55-1", "orderId": "ERP-SO-55",
        "organization": {"id": organization, "externalId": "K-2001"},
        "price": {
            "deliveryNet": 0, "productsNet": 100, "totalNet": 100, "totalTax": 23, "totalGross": 123,
            "additionalCosts": [{"type": "PACKING", "net": 1, "tax": 0.23, "gross": 1.23}],
        },
        "paymentMethod": {"name": "Transfer 14 days"},
        "productLines": [{
            "lineNumber": 1, "sku": "SKU-1", "name": "Bolt", "quantityOrdered": 4, "quantityOrderedInContentUnit": 4,
            "contentUnitCode": "PCE", "lastChange": "2026-03-02T08:10:00Z",
        }],
    })
}

#[tokio::test]
async fn an_offline_order_takes_the_place_of_the_one_with_its_id() {
    let one = one();
    let client = one.add_client();
    let organization = client.strip_prefix("org:").unwrap();
    let path = at("orders", "offline-order/shipment");
    assert_eq!(put(&one, &path, offline(organization)).await.0, 204);
    let changed = with(&offline(organization), "/notes", json!("Call first"));
    assert_eq!(put(&one, &path, changed.clone()).await.0, 204);
    assert_eq!(one.records().offline_orders, [("ERP-SO-55-1".to_owned(), changed)].into());
    assert_eq!(put(&one, &path, offline("8872d4f8-cf33-456e-8084-41bacbc0fb2a")).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn an_offline_order_with_a_wrong_field_is_refused() {
    let one = one();
    let client = one.add_client();
    let organization = client.strip_prefix("org:").unwrap();
    let wrong = [
        ("/id", Value::Null, "field-missing"),
        ("/id", json!("OF/1/1/2026/01"), "own-order-sent-back"),
        ("/orderId", json!(""), "field-type"),
        ("/organization/id", Value::Null, "field-missing"),
        ("/price/deliveryNet", Value::Null, "field-missing"),
        ("/price/totalGross", json!("123"), "field-type"),
        ("/price/totalGross", json!(124), "net-tax-gross"),
        ("/price/additionalCosts/0/tax", Value::Null, "field-missing"),
        ("/price/additionalCosts/0/gross", json!(2), "net-tax-gross"),
        ("/paymentMethod/name", Value::Null, "field-missing"),
        ("/productLines", Value::Null, "field-missing"),
        ("/productLines/0/lineNumber", json!(10), "line-numbers"),
        ("/productLines/0/lastChange", json!("2026-03-02 08:10:00"), "field-type"),
    ];
    refuses(&one, "PUT", &at("orders", "offline-order/shipment"), &offline(organization), &wrong).await;
    assert!(one.records().offline_orders.is_empty());
}

#[test]
fn equal_seeds_make_equal_records_and_stirring_goes_on() {
    let clock = || super::super::super::Clock::standing(chrono::DateTime::UNIX_EPOCH);
    let with_seed = |seed| {
        let wire = WireOptions { clock: clock(), ..WireOptions::default() };
        let one = One::start(Options { wire, seed, ..Options::default() }).unwrap();
        one.seed(6, 4, 2);
        for _ in 0..20 {
            one.stir();
        }
        let records = one.records();
        assert!(records.shipments.len() > 4);
        (records.clients, records.shipments, records.pricings)
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}
