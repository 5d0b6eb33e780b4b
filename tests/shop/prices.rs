//! Prices, price lists and whose they are (ONe contract §3.8, §3.9).

use super::{json, shop, shop_with};
use cadenced::run::Outcome;

#[tokio::test]
async fn retail_prices_arrive_digit_for_digit() {
    let site = shop().await;
    site.sql("insert into cadenced_retail_prices values ('SKU/1', '129.90'), ('SKU-2', '59')").await;
    assert_eq!(site.goes_through("one-retail-prices").await.written, 2);
    let prices = site.one.records().retail_prices;
    assert_eq!(prices["SKU/1"].to_string(), r#"{"productId":"SKU/1","price":129.90}"#);
    assert_eq!(prices["SKU-2"], json(r#"{"price":59,"productId":"SKU-2"}"#));
    site.sql("update cadenced_retail_prices set price = '60.5' where sku = 'SKU-2'").await;
    assert_eq!(site.goes_through("one-retail-prices").await.written, 1);
    assert_eq!(site.one.records().retail_prices["SKU-2"]["price"].to_string(), "60.5");
}

#[tokio::test]
async fn prices_of_a_list_that_one_does_not_know_yet_wait_and_the_others_go() {
    let site = shop().await;
    let id = site.one.add_price_list("Wholesale");
    site.sql(&format!(
        "insert into cadenced_price_lists (code, pricing_id) values ('H', '{id}'), ('NEW', null);
         insert into cadenced_prices values ('H', 'SKU-1', '112.00'), ('H', 'SKU-2', '9.9999'), ('NEW', 'SKU-1', '1')"
    ))
    .await;
    let ended = site.runs("one-b2b-prices").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 2, 1));
    let prices = site.one.records().prices;
    let of = |list: &str, sku: &str| prices[&(list.to_owned(), sku.to_owned())].to_string();
    assert_eq!(of(&id, "SKU-1"), format!(r#"{{"price":112.00,"pricingId":"{id}","productId":"SKU-1"}}"#));
    assert_eq!(of(&id, "SKU-2"), format!(r#"{{"price":9.9999,"pricingId":"{id}","productId":"SKU-2"}}"#));
    let rejects = site.rejects("one-b2b-prices").await;
    assert_eq!(rejects[0].reason, "field `pricingId`: the lookup has nothing for price_list NEW");

    let new = site.one.add_price_list("New");
    site.sql(&format!("update cadenced_price_lists set pricing_id = '{new}' where code = 'NEW'")).await;
    assert_eq!(site.goes_through("one-b2b-prices").await.written, 1);
    assert!(site.one.records().prices.contains_key(&(new, "SKU-1".to_owned())));
    assert_eq!(site.rejects("one-b2b-prices").await.len(), 0);
}

#[tokio::test]
async fn a_client_gets_two_thousand_price_lists_and_the_next_is_refused_by_itself() {
    let site = shop().await;
    let (client, other) = (site.client("K-1").await, site.client("K-2").await);
    for number in 1..=2001 {
        let id = site.one.add_price_list(&format!("List {number}"));
        site.sql(&format!(
            "insert into cadenced_price_lists (code, pricing_id) values ('L{number}', '{id}');
             insert into cadenced_client_price_lists values ('K-1', 'L{number}', '2026-01-0{}')",
            if number == 7 { 2 } else { 1 }
        ))
        .await;
    }
    site.sql("insert into cadenced_client_price_lists values ('K-2', 'L7', null)").await;
    let ended = site.runs("one-price-list-clients").await;
    assert_eq!((ended.outcome, ended.counts.written, ended.counts.rejected), (Outcome::Partial, 2001, 1));
    let assigned = site.one.records().clients_to_pricings;
    assert_eq!((assigned[&client].len(), assigned[&other].len()), (2000, 1));
    let rejects = site.rejects("one-price-list-clients").await;
    assert!(
        rejects[0].reason.contains("client K-1 has more than 2000 price lists: L7 is refused"),
        "the last that was added: {}",
        rejects[0].reason
    );
    site.no_rule_is_broken();
}

#[tokio::test]
async fn unused_price_lists_are_reported_and_deleted_only_when_allowed() {
    let site = shop().await;
    let main = site.one.records().main_catalog;
    let (used, unused) = (site.one.add_price_list("Used"), site.one.add_price_list("Unused"));
    site.sql(&format!(
        "insert into cadenced_price_lists (code, pricing_id, is_main)
         values ('MAIN', '{main}', 1), ('U', '{used}', null), ('OLD', '{unused}', 0);
         insert into cadenced_client_price_lists values ('K-1', 'U', null)"
    ))
    .await;
    let ended = site.runs("one-unused-price-lists").await;
    assert_eq!((ended.outcome, ended.counts.rejected, ended.counts.requests), (Outcome::Partial, 1, 0));
    let rejects = site.rejects("one-unused-price-lists").await;
    assert!(rejects[0].reason.contains("no client has price list OLD"), "{}", rejects[0].reason);

    site.schedule("[job.one-unused-price-lists]\nfilter = \".\"");
    site.goes_through("one-unused-price-lists").await;
    let left = site.one.records().pricings;
    assert!(!left.contains_key(&unused) && left.contains_key(&used) && left.contains_key(&main));
    assert_eq!(site.rejects("one-unused-price-lists").await.len(), 0);
}

#[tokio::test]
async fn a_full_set_of_prices_goes_out_in_requests_of_ten_thousand_lines() {
    let site = shop_with("").await;
    let id = site.one.add_price_list("Wholesale");
    site.sql(&format!(
        "insert into cadenced_price_lists (code, pricing_id) values ('H', '{id}');
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 20001)
         insert into cadenced_prices select 'H', 'S' || i, i || '.00' from n"
    ))
    .await;
    let counts = site.goes_through("one-b2b-prices").await;
    assert_eq!((counts.written, counts.requests), (20_001, 3));
    assert_eq!(site.one.records().prices.len(), 20_001);
}
