//! The shipped jobs of Commerceup against the simulated one: what is in the ERP is in the shop, field by field, and what
//! the shop calls with is in the ERP.

use crate::support::{Erp, PASSWORD, Service, Site, USER, caller, json, known_customer, repository};
use cadenced::connection::Dialect;
use cadenced::connectors::Wanted;
use cadenced::run::Outcome;
use cadenced::sandbox::commerceup::{
    Call, Commerceup, Credentials, Format, STATUSES, Verb, customers, orders,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn site() -> (Site, Commerceup) {
    Site::with_shop("", "").await
}

fn kept_to_the_contract(shop: &Commerceup) {
    let broken = shop.wire.broken_rules();
    assert!(broken.is_empty(), "{broken:?}");
}

/// The tables of the platform's section of the document, with their columns in their order.
fn described() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(repository().join("docs/erp-interface.md")).unwrap();
    let (_, section) = page.split_once("\n## Commerceup\n").unwrap();
    let table = |part: &str| {
        let (name, rows) = part.split_once('\n').unwrap();
        let column = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
        (name.to_owned(), rows.lines().filter_map(column).collect())
    };
    section.split("\n## ").next().unwrap().split("\n### ").skip(1).map(table).collect()
}

#[tokio::test]
async fn the_shipped_sql_and_the_document_name_the_same_columns() {
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
        let erp = Erp::new(dialect).await;
        let name = match dialect {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
            Dialect::Mysql => "mariadb",
        };
        let file = repository().join(format!("packaging/erp/{name}/commerceup.sql"));
        let sql = std::fs::read_to_string(file).unwrap();
        // What is there already is left as it is.
        erp.run(&sql).await;
        erp.run(&sql).await;
        for (table, columns) in described() {
            assert_eq!(erp.columns(&table).await, columns, "{name}: {table}");
        }
        if dialect == Dialect::Sqlite {
            let names = "select count(*) from sqlite_master where name like 'cadenced_%' and type in ('table', 'view')";
            assert_eq!(erp.texts(names).await, [[Some(described().len().to_string())]]);
        }
    }
}

#[tokio::test]
async fn stock_is_set_in_lists_and_what_the_erp_drops_is_out_of_stock() {
    let (site, shop) = site().await;
    let rows: Vec<String> = (0..1_100).map(|at| format!("('A-{at}', {})", at * 7 % 50)).collect();
    site.run_sql(&format!("insert into cadenced_commerceup_stocks values {}", rows.join(", "))).await;
    let first = site.once("commerceup-stocks").await;
    assert_eq!(
        (first.outcome, first.counts.written, first.counts.requests),
        (Outcome::Ok, 1_100, 3),
        "{first:?}"
    );
    let expected: BTreeMap<String, i64> = (0..1_100).map(|at| (format!("A-{at}"), at * 7 % 50)).collect();
    assert_eq!(shop.quantities(), expected);
    // What the ERP has below zero the shop has none of; a sku of digits stays a text.
    site.run_sql("insert into cadenced_commerceup_stocks values ('00515', 3); delete from cadenced_commerceup_stocks where sku = 'A-1'").await;
    site.once("commerceup-stocks").await;
    let second = site.once("commerceup-stocks").await;
    assert_eq!((second.outcome, second.counts.removed), (Outcome::Ok, 1), "{second:?}");
    assert_eq!((shop.quantities()["00515"], shop.quantities()["A-1"]), (3, 0));
    kept_to_the_contract(&shop);
}

#[tokio::test]
async fn an_article_the_shop_does_not_have_keeps_no_other_from_its_stock() {
    let (site, shop) = site().await;
    site.run_sql("insert into cadenced_commerceup_stocks values ('A', 1), ('B', 2), ('C', 3)").await;
    for (switch, refusals) in [("line-results=false", 1), ("line-results=true", 1)] {
        shop.switches.set(switch).unwrap();
        shop.forget_sku("B");
        let ended = site.once("commerceup-stocks").await;
        assert_eq!(
            (ended.outcome, ended.counts.rejected),
            (Outcome::Partial, refusals),
            "{switch}: {ended:?}"
        );
        let rejects = site.rejects("commerceup-stocks").await;
        assert!(rejects[0].reason.contains("unknown sku B"), "{rejects:?}");
        shop.know_sku("B");
        site.run_sql("update cadenced_commerceup_stocks set quantity = quantity + 10").await;
        assert_eq!(site.once("commerceup-stocks").await.outcome, Outcome::Ok);
        site.run_sql("update cadenced_commerceup_stocks set quantity = quantity + 10").await;
    }
    kept_to_the_contract(&shop);
}

#[tokio::test]
async fn stock_is_set_one_by_one_where_the_shop_takes_no_lists() {
    let (site, shop) = site().await;
    site.run_sql("insert into cadenced_commerceup_stocks values ('A', 1), ('B', 0)").await;
    let ended = site.once("commerceup-stock").await;
    assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Ok, 2), "{ended:?}");
    assert_eq!(shop.quantities(), [("A".to_owned(), 1), ("B".to_owned(), 0)].into());
    let paths: Vec<String> = shop.wire.requests().iter().map(|request| request.path.clone()).collect();
    assert!(paths.iter().all(|path| path.ends_with("/inventory")), "{paths:?}");
    kept_to_the_contract(&shop);
}

#[tokio::test]
async fn a_movement_is_booked_once_also_where_its_answer_is_lost() {
    use cadenced::sandbox::Fault;
    let (site, shop) = site().await;
    site.run_sql("insert into cadenced_commerceup_movements values ('m1', 'A', 5), ('m2', 'A', -2)").await;
    shop.wire.fail_next(1, "bulkincrementinventory", Fault::AnswerLost);
    for _ in 0..3 {
        site.once("commerceup-stock-movements").await;
    }
    assert_eq!((shop.quantities()["A"], shop.stock()["A"].additions), (3, 2));
    let rejects = site.rejects("commerceup-stock-movements").await;
    assert_eq!((rejects.len(), rejects[0].class.as_str(), rejects[0].key.as_str()), (1, "unknown", "m1"));
    kept_to_the_contract(&shop);
}

#[tokio::test]
async fn articles_are_linked_by_the_erps_ids() {
    let (site, shop) = site().await;
    site.run_sql("insert into cadenced_commerceup_products values ('A-100', 90017), ('515', 90018)").await;
    assert_eq!(site.once("commerceup-link-products").await.outcome, Outcome::Ok);
    let expected = [("A-100".to_owned(), json!(90017)), ("515".to_owned(), json!(90018))];
    assert_eq!(shop.links(), expected.into());
    assert_eq!(site.once("commerceup-link-products").await.counts.requests, 0, "only what is new");
    kept_to_the_contract(&shop);
}

#[tokio::test]
async fn the_status_of_an_order_is_one_of_seven_words_or_is_not_told() {
    let (site, shop) = site().await;
    let insert = |order: &str, status: &str| {
        format!(
            "insert into cadenced_commerceup_orders (shop_id, customer_id, currency, total, items, body, status)
             values ('{order}', '1', 'PLN', '1', '[{{\"sku\":\"515\",\"quantity\":2}}]', '{{}}', '{status}');"
        )
    };
    for (at, status) in STATUSES.iter().enumerate() {
        site.run_sql(&insert(&at.to_string(), status)).await;
    }
    site.run_sql(&insert("new", "New")).await;
    site.run_sql(&insert("odd", "Packed")).await;
    let preview = json(&site.printed(&["once", "commerceup-order-status", "--dry-run", "--format", "json"]));
    let bodies: Vec<Value> =
        preview["requests"].as_array().unwrap().iter().map(|of| json(of["body"].as_str().unwrap())).collect();
    let shipped = json!({"orderId": "1", "status": "Shipped", "items": [{"sku": "515"}]});
    assert!(bodies.contains(&shipped), "{preview}");
    let ended = site.once("commerceup-order-status").await;
    assert_eq!(
        (ended.outcome, ended.counts.written, ended.counts.rejected),
        (Outcome::Partial, 7, 1),
        "{ended:?}"
    );
    let told = |at: usize| shop.statuses()[&at.to_string()].clone();
    assert!((0..7).all(|at| told(at) == [STATUSES[at]]), "{:?}", shop.statuses());
    assert_eq!(shop.statuses().len(), 7);
    let rejects = site.rejects("commerceup-order-status").await;
    assert!(rejects[0].reason.contains("Packed is none of In Process, Shipped"), "{}", rejects[0].reason);

    site.run_sql("update cadenced_commerceup_orders set status = 'Delivered' where shop_id = '1'").await;
    site.run_sql("update cadenced_commerceup_orders set status = 'In Process' where shop_id = 'odd'").await;
    let again = site.once("commerceup-order-status").await;
    assert_eq!((again.outcome, again.counts.requests), (Outcome::Ok, 2), "only on change");
    assert_eq!(told(1), ["Shipped", "Delivered"]);
    kept_to_the_contract(&shop);
}

/// Makes the same call in every way there is: each answers the same.
async fn every_way(daemon: &Service, call: &Call) -> Value {
    let mut answers = Vec::new();
    for format in [Format::Json, Format::Xml] {
        for verb in [Verb::Post, Verb::Get] {
            for credentials in [
                Credentials::Headers(USER.to_owned(), PASSWORD.to_owned()),
                Credentials::Basic(USER.to_owned(), PASSWORD.to_owned()),
            ] {
                let mut caller = caller(&daemon.calls_at());
                (caller.format, caller.verb, caller.credentials) = (format, verb, credentials);
                let reply = caller.call(call).await.unwrap();
                assert_eq!(reply.status, 200, "{format:?} {verb:?}: {}", reply.text);
                answers.push(reply.json());
            }
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

#[tokio::test]
async fn customers_and_orders_arrive_field_by_field_once_in_whichever_way_they_come() {
    let (site, _shop) = site().await;
    let daemon = site.service();
    let customer = customers(7, 1).remove(0);
    let answer = every_way(&daemon, &Call::create_customer(&customer)).await;
    assert_eq!(answer, json!({"success": true, "customerId": "1"}));
    let stored = site
        .rows("select id, shop_id, email, first_name, last_name, phone, json_extract(body, '$.customer.id') from cadenced_commerceup_customers")
        .await;
    let of = |field: &str| customer[field].as_str().unwrap().to_owned();
    let expected = [of("id"), of("email"), of("firstName"), of("lastName"), of("phone"), of("id")];
    assert_eq!(stored, [[vec!["1".to_owned()], expected.to_vec()].concat()]);

    let order = orders(7, 1, &["1"]).remove(0);
    let answer = every_way(&daemon, &Call::create_order(&order)).await;
    assert_eq!(answer, json!({"success": true, "orderId": "1"}));
    let stored = site
        .rows("select shop_id, customer_id, currency, total, items from cadenced_commerceup_orders")
        .await;
    assert_eq!(stored.len(), 1);
    let total = order["total"].to_string();
    assert_eq!(stored[0][..4], [order["id"].as_str().unwrap(), "1", "PLN", &total]);
    assert_eq!(serde_json::from_str::<Value>(&stored[0][4]).unwrap(), order["items"]);

    let links = site.rows("select job, key, id from cadenced_links order by job").await;
    let key = |of: &Value| of["id"].as_str().unwrap().to_owned();
    let expected = [("commerceup-create-customer", key(&customer)), ("commerceup-create-order", key(&order))];
    assert_eq!(links, expected.map(|(job, key)| vec![job.to_owned(), key, "1".to_owned()]));
}

#[tokio::test]
async fn a_cancellation_is_answered_item_by_item() {
    let (site, _shop) = site().await;
    let daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let customer = known_customer(&caller).await;
    let order = orders(3, 1, &[&customer]).remove(0);
    let id = caller.call(&Call::create_order(&order)).await.unwrap().json()["orderId"].clone();
    let id = id.as_str().unwrap();
    let items = [json!({"sku": "515", "quantity": 1}), json!({"sku": "A&B", "quantity": 2})];
    let flags =
        |success: bool| json!([{"sku": "515", "success": success}, {"sku": "A&B", "success": success}]);
    let cancelled = json!({"success": true, "message": null, "items": flags(true)});
    assert_eq!(every_way(&daemon, &Call::cancel_order(id, &items)).await, cancelled, "repeated: still done");
    let stored =
        site.rows("select order_id, sku, quantity from cadenced_commerceup_cancellations order by id").await;
    assert_eq!(stored, [[id, "515", "1"], [id, "A&B", "2"]]);

    // Shipped, or never heard of: nothing is written, and the answer says so.
    site.run_sql("update cadenced_commerceup_orders set status = 'Shipped'").await;
    let more = [items[0].clone(), json!({"sku": "516", "quantity": 1})];
    let reply = caller.call(&Call::cancel_order(id, &more)).await.unwrap();
    let partly = json!([{"sku": "515", "success": true}, {"sku": "516", "success": false}]);
    let expected = json!({"success": false, "message": "it was refused", "items": partly});
    assert_eq!((reply.status, reply.json()), (200, expected));
    let reply = caller.call(&Call::cancel_order("SO-9", &items)).await.unwrap();
    assert_eq!((reply.status, &reply.json()["items"]), (200, &flags(false)));
    assert_eq!(site.rows("select id from cadenced_commerceup_cancellations").await.len(), 2);
}

#[tokio::test]
async fn an_order_of_an_unknown_customer_is_422_and_kept_until_it_goes_through() {
    let (site, _shop) = site().await;
    let daemon = site.service();
    let caller = caller(&daemon.calls_at());
    let call = Call::create_order(&orders(3, 1, &["C-10452"])[0]);
    let reply = caller.call(&call).await.unwrap();
    assert_eq!(
        (reply.status, reply.json()),
        (422, json!({"success": false, "message": "nothing is known of order.customerId C-10452"}))
    );
    let control = site.control().await;
    let rejects = control.rejects(Some("commerceup-create-order"), &Wanted::default(), 10).await;
    assert_eq!(rejects.unwrap().len(), 1);
    site.run_sql("drop view cadenced_commerceup_known_customers; create view cadenced_commerceup_known_customers as select 'C-10452' as id").await;
    assert_eq!(caller.call(&call).await.unwrap().status, 200);
    let rejects = control.rejects(Some("commerceup-create-order"), &Wanted::default(), 10).await;
    assert_eq!(rejects.unwrap().len(), 0);
}
