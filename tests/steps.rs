//! A chain of steps goes as far as each row gets: what one client is refused for costs no other, nothing is created twice,
//! and the platform has in the end what the ERP has.

mod chains;
mod faults;

use crate::support::Site;
use cadenced::run::{Counts, Outcome};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ADD: &str = "one-client-add";
const UPDATE: &str = "one-client-update";

/// A site with this many clients: every third of them without a limit, every fifth a person, every seventh blocked; two
/// segments, one below the other.
async fn office(clients: usize) -> Site {
    let site = Site::quiet().await;
    let mut sql = String::from(
        "begin; insert into cadenced_segments values ('A/1', 'Child', 'Z', 2), ('Z', 'Parent', null, 1);",
    );
    for number in 1..=clients {
        let tin = if number % 5 == 0 { "null".to_owned() } else { format!("'525{number:07}'") };
        let segment = if number % 2 == 0 { "'A/1'" } else { "null" };
        sql += &format!(
            "insert into cadenced_clients (code, name, tin, segment, address_name, street, zip, city, country, admin_email, admin_name)
             values ('K/{number}', 'Client {number}', {tin}, {segment}, 'Client {number}', 'Prosta {number}', '00-001',
                     'Łódź', 'PL', 'buyer{number}@example.org', 'Buyer {number}');"
        );
        if number % 3 != 0 {
            sql += &format!(
                "insert into cadenced_trade_credits values ('K/{number}', '{number}00.10', '7', null, 14);"
            );
        }
        if number % 7 == 0 {
            sql += &format!("insert into cadenced_blockades values ('K/{number}', 'SALE', 'B{number}');");
        }
    }
    site.sql(&(sql + "commit")).await;
    site
}

/// What the platform has of each client, and of the segments, without the ids it gave: those are followed.
fn there(site: &Site) -> BTreeMap<String, Value> {
    let records = site.one.records();
    let segment =
        |id: &Value| records.segments.get(id.as_str()?).map(|segment| segment["externalId"].clone());
    let mut all = BTreeMap::new();
    for (id, client) in &records.clients {
        let mut client = client.clone();
        let fields = client.as_object_mut().unwrap();
        fields.remove("id");
        // The first user is a matter of creation.
        fields.remove("admin");
        if let Some(segment) = fields.get("segmentId").and_then(segment) {
            fields.insert("segmentId".to_owned(), segment);
        }
        let credit = id.strip_prefix("org:").and_then(|id| records.trade_credits.get(id));
        let code = client["externalId"].as_str().unwrap().to_owned();
        let both = json!({"client": client, "credit": credit, "blockades": records.blockades.get(id)});
        assert!(all.insert(code.clone(), both).is_none(), "client {code} is there twice");
    }
    for segment in records.segments.values().filter(|segment| segment["id"] != "segment") {
        let parent = records.segments.get(segment["parentSegmentId"].as_str().unwrap_or_default());
        let code = format!("segment {}", segment["externalId"].as_str().unwrap());
        let known =
            json!({"name": segment["name"], "parent": parent.map(|parent| parent["externalId"].clone())});
        assert!(all.insert(code.clone(), known).is_none(), "{code} is there twice");
    }
    all
}

/// The same as the ERP has it.
async fn wanted(site: &Site) -> BTreeMap<String, Value> {
    use sqlx::Row as _;
    let mut all = BTreeMap::new();
    let rows = sqlx::query(
        "select c.*, t.client as limited, t.credit_value, t.credit_value_used, t.payment_days, b.type, b.code as block
         from cadenced_clients c left join cadenced_trade_credits t on t.client = c.code
         left join cadenced_blockades b on b.client = c.code",
    );
    let number = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    for row in rows.fetch_all(&site.erp).await.unwrap() {
        let text = |column: &str| row.get::<Option<String>, _>(column);
        let mut client = json!({
            "accountType": "CLIENT", "externalId": text("code"), "name": text("name"),
            "address": {"name": text("address_name"), "street": text("street"), "zipCode": text("zip"),
                        "city": text("city"), "country": text("country")},
        });
        for (field, column) in [("tin", "tin"), ("segmentId", "segment")] {
            if let Some(value) = text(column) {
                client[field] = value.into();
            }
        }
        let is_organisation = text("tin").is_some();
        let credit = text("credit_value").filter(|_| is_organisation).map(|value| {
            json!({"creditValue": number(value), "creditValueUsed": number(text("credit_value_used").unwrap()),
                   "paymentDays": row.get::<i64, _>("payment_days")})
        });
        let blockade = text("type").map(|kind| json!({&kind: {"type": kind, "externalId": text("block")}}));
        all.insert(text("code").unwrap(), json!({"client": client, "credit": credit, "blockades": blockade}));
    }
    let rows = sqlx::query("select code, name, parent from cadenced_segments");
    for row in rows.fetch_all(&site.erp).await.unwrap() {
        let text = |column: &str| row.get::<Option<String>, _>(column);
        all.insert(
            format!("segment {}", text("code").unwrap()),
            json!({"name": text("name"), "parent": text("parent")}),
        );
    }
    all
}

async fn equal(site: &Site) {
    let (there, wanted) = (there(site), wanted(site).await);
    for (code, wanted) in &wanted {
        assert_eq!(there.get(code), Some(wanted), "{code}");
    }
    assert_eq!(there.len(), wanted.len());
}

/// Nothing was sent that the contract forbids.
fn keeps_the_contract(site: &Site) {
    assert_eq!(site.one.wire.broken_rules(), []);
}

/// Runs a job that has nothing to complain of.
async fn goes_well(site: &Site, job: &str) -> Counts {
    let ended = site.once(job).await;
    assert_eq!((ended.outcome, ended.message), (Outcome::Ok, None));
    ended.counts
}

fn id_of(site: &Site, code: &str) -> String {
    let clients = site.one.records().clients;
    clients.iter().find(|(_, client)| client["externalId"] == code).unwrap().0.clone()
}
