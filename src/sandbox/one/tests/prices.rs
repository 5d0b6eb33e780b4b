//! Retail prices, price lists and their clients.

use super::*;

#[tokio::test]
async fn retail_prices_are_kept_digit_for_digit_and_others_stay() {
    let one = one();
    let path = at("pricing", "retail-prices");
    let send = async |body: &str| {
        let request = request(&one, "PUT", &path).header("content-type", "application/json");
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(r#"[{"price":129.90,"productId":"A"},{"price":59,"productId":"B"}]"#).await, 204);
    assert_eq!(send(r#"[{"price":60.00,"productId":"B"}]"#).await, 204);
    let prices = one.records().retail_prices;
    assert_eq!(
        (prices["A"]["price"].to_string(), prices["B"]["price"].to_string()),
        ("129.90".into(), "60.00".into())
    );
    assert_eq!(broken(&one), [""; 0]);
    let wrong = [
        ("/0/price", json!("129.90"), "field-type"),
        ("/0/price", json!(-1), "field-below-zero"),
        ("/0/productId", Value::Null, "field-missing"),
    ];
    refuses(&one, "PUT", &path, &json!([{"price": 1, "productId": "A"}]), &wrong).await;
    assert_eq!(put(&one, &path, json!({"prices": []})).await.0, 400, "there is no wrapper");
    let many: Vec<Value> =
        (0..=MOST_LINES).map(|at| json!({"price": 1, "productId": at.to_string()})).collect();
    assert_eq!(put(&one, &path, Value::from(many)).await.0, 400);
    assert_eq!(broken(&one).last(), Some(&"too-many-lines"));
}

#[tokio::test]
async fn a_price_needs_a_price_list_that_is_there() {
    let one = one();
    let main = get(&one, &at("pricing", "main-catalog-id")).await.1;
    let line = json!([{"price": 112.5, "pricingId": main, "productId": "A"}]);
    assert_eq!(put(&one, &at("pricing", "prices"), line.clone()).await.0, 204);
    let key = (main.as_str().unwrap().to_owned(), "A".to_owned());
    assert_eq!(one.records().prices[&key], line[0]);
    one.refuse_sku("B");
    assert_eq!(put(&one, &at("pricing", "prices"), with(&line, "/0/productId", json!("B"))).await.0, 400);
    assert_eq!(broken(&one), [""; 0], "an unknown product is nobody's mistake");
    let wrong = [
        ("/0/pricingId", Value::Null, "field-missing"),
        ("/0/pricingId", json!("none"), "price-list-first"),
        ("/0/price", Value::Null, "field-missing"),
    ];
    refuses(&one, "PUT", &at("pricing", "prices"), &line, &wrong).await;
}

#[tokio::test]
async fn a_deleted_price_list_takes_its_prices_and_clients_with_it() {
    let one = one();
    let client = one.add_client();
    let discount = json!({
        "type": "PERCENT_ADDITIVE", "priority": 1, "global": false, "name": "Spring", "defaultDiscount": 5,
        "conditions": [{"type": "TIME_RANGE", "start": "2026-03-01", "end": "2026-04-01"}],
    });
    let id =
        post(&one, &at("pricing", "discount"), discount.clone()).await.1["id"].as_str().unwrap().to_owned();
    let assigned = json!([{"clientId": client, "pricingId": id}]);
    assert_eq!(put(&one, &at("pricing", "clients-to-pricings"), assigned).await.0, 204);
    let price = json!([{"price": 1, "pricingId": id, "productId": "A"}]);
    assert_eq!(put(&one, &at("pricing", "prices"), price).await.0, 204);
    let of_client = at("pricing", &format!("clients-to-pricings/{}", encoded(&client)));
    assert_eq!(get(&one, &of_client).await.1, json!([id]));
    let lists = get(&one, &at("pricing", "pricings?pageNumber=1&pageSize=10")).await.1;
    assert_eq!(lists.as_array().unwrap().len(), 2);
    assert_eq!(call(&one, "DELETE", &at("pricing", &format!("pricings/{id}")), None).await.0, 204);
    assert_eq!(get(&one, &of_client).await.1, json!([]));
    assert!(one.records().prices.is_empty());
    assert_eq!(broken(&one), [""; 0]);
    let main = one.records().main_catalog;
    assert_eq!(call(&one, "DELETE", &at("pricing", &format!("pricings/{main}")), None).await.0, 400);
    refuses(&one, "POST", &at("pricing", "discount"), &discount, &[("/type", json!("HALF"), "field-type")])
        .await;
}

#[tokio::test]
async fn the_2001st_price_list_of_a_client_is_refused_with_its_request() {
    let one = one();
    let client = one.add_client();
    let path = at("pricing", "clients-to-pricings");
    let lists: Vec<String> = (0..=MOST_PRICE_LISTS).map(|at| one.add_price_list(&at.to_string())).collect();
    let assign = |lists: &[String]| {
        lists.iter().map(|id| json!({"clientId": client, "pricingId": id})).collect::<Value>()
    };
    assert_eq!(put(&one, &path, assign(&lists[..MOST_PRICE_LISTS])).await.0, 204);
    assert_eq!(put(&one, &path, assign(&lists[..1])).await.0, 204, "one it has");
    assert_eq!(broken(&one), [""; 0]);
    assert_eq!(put(&one, &path, assign(&lists[MOST_PRICE_LISTS..])).await.0, 400);
    assert_eq!(broken(&one), ["price-lists-of-a-client"]);
    assert_eq!(one.records().clients_to_pricings[&client].len(), MOST_PRICE_LISTS);
}

#[tokio::test]
async fn a_price_list_is_given_to_a_client_or_to_a_group() {
    let one = one();
    let (client, path) = (one.add_client(), at("pricing", "clients-to-pricings"));
    let list = one.records().main_catalog;
    assert_eq!(put(&one, &path, json!([{"clientGroupId": "G", "pricingId": list}])).await.0, 204);
    assert_eq!(put(&one, &path, json!([{"clientId": "org:none", "pricingId": list}])).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    for wrong in
        [json!([{"clientId": client, "clientGroupId": "G", "pricingId": list}]), json!([{"pricingId": list}])]
    {
        assert_eq!(put(&one, &path, wrong).await.0, 400);
    }
    assert_eq!(broken(&one), ["client-or-group"; 2]);
}
