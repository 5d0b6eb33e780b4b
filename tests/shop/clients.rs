//! Clients from ONe, and the ids by which both sides know them (ONe contract §3.5).

use super::{shop, shop_with};
use cadenced::run::Outcome;
use serde_json::{Value, json};

/// The fields of a client that have a column of their own, where ONe has them.
const FIELDS: [(&str, &str); 15] = [
    ("client_id", "/id"),
    ("external_id", "/externalId"),
    ("account_type", "/accountType"),
    ("name", "/name"),
    ("tin", "/tin"),
    ("business_registration_number", "/businessRegistrationNumber"),
    ("address_name", "/address/name"),
    ("address_street", "/address/street"),
    ("address_zip", "/address/zipCode"),
    ("address_city", "/address/city"),
    ("address_country", "/address/country"),
    ("address_phone", "/address/phone"),
    ("admin_email", "/admin/email"),
    ("admin_name", "/admin/name"),
    ("admin_phone", "/admin/phone"),
];

/// Every client of ONe is in the ERP, field by field.
async fn same(site: &crate::support::Site) {
    for (id, client) in site.one.records().clients {
        for (column, at) in FIELDS {
            let found = site
                .text(&format!("select {column} from cadenced_one_clients where client_id = '{id}'"))
                .await
                .unwrap();
            assert_eq!(found, client.pointer(at).and_then(Value::as_str).unwrap_or_default(), "{id} {at}");
        }
        let document =
            site.text(&format!("select document from cadenced_one_clients where client_id = '{id}'")).await;
        assert_eq!(super::json(&document.unwrap()), client);
    }
}

#[tokio::test]
async fn clients_of_one_come_into_the_erp_and_go_again() {
    let site = shop().await;
    let ids: Vec<String> = (0..7).map(|_| site.one.add_client()).collect();
    assert_eq!(site.goes_through("one-client-pull").await.written, 7);
    same(&site).await;

    site.one.edit_client(&ids[1], "name", json!("Śruby i Nity \"S.A.\""));
    site.one.edit_client(&ids[1], "businessRegistrationNumber", json!("012345678"));
    site.one.remove_client(&ids[2]);
    let ended = site.runs("one-client-pull").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Ok, 1, 0));
    same(&site).await;
    let removed =
        site.text("select group_concat(client_id) from cadenced_one_clients where removed = 1").await;
    assert_eq!(removed.as_deref(), Some(ids[2].as_str()));
    site.no_rule_is_broken();
}

#[tokio::test]
async fn a_client_that_is_gone_before_it_was_seen_stops_nothing() {
    let site = shop().await;
    let (kept, gone) = (site.one.add_client(), site.one.add_client());
    site.one.remove_client(&gone);
    let ended = site.runs("one-client-pull").await;
    assert_eq!((ended.outcome, ended.counts.written), (Outcome::Ok, 1), "{:?}", ended.message);
    let stored = site.text("select group_concat(client_id) from cadenced_one_clients").await;
    assert_eq!(stored.as_deref(), Some(kept.as_str()));
}

#[tokio::test]
async fn the_list_takes_the_place_of_a_feed_that_is_not_there() {
    let site = shop().await;
    site.one.switches.set("client-feed=missing").unwrap();
    for _ in 0..130 {
        site.one.add_client();
    }
    let ended = site.runs("one-client-pull").await;
    assert_eq!(ended.outcome, Outcome::Failed);
    assert!(ended.message.unwrap().contains("no feed of clients"));
    assert_eq!(site.goes_through("one-client-pull-full").await.written, 130);
    same(&site).await;
}

#[tokio::test]
async fn rows_in_list_element_need_one_key() {
    let site = shop_with("[job.one-client-pull-full]\npull = { rows = \"listElement\" }").await;
    site.one.switches.set("list-shape=listElement").unwrap();
    site.one.add_client();
    assert_eq!(site.goes_through("one-client-pull-full").await.written, 1);
    same(&site).await;
}

#[tokio::test]
async fn ids_of_clients_are_known_whoever_created_them() {
    let site = shop().await;
    let id = site.client("K/2001").await;
    let found = site.text("select client_id from cadenced_one_client_ids where external_id = 'K/2001'").await;
    assert_eq!(found.as_deref(), Some(id.as_str()));
    let other = site.client("K/2002").await;
    site.one.remove_client(&id);
    site.runs("one-client-ids").await;
    let left = site.text("select group_concat(client_id) from cadenced_one_client_ids").await;
    assert_eq!(left, Some(other));
}
