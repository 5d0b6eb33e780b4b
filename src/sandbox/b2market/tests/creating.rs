//! New orders, the lists they refer to, and who may create.

use super::*;

impl Caller {
    async fn create(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/Order/create", self.market.url());
        let answer = self.client.post(url).json(body).bearer_auth(&self.token).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn list(&self, path: &str) -> Value {
        let answer = self.get(path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }
}

/// Company 1 has the clients and agents whose ids are multiples of four.
fn order() -> Value {
    json!({
        "id": "SO-5501", "companyId": "1", "clientId": "100", "agentId": "68", "seasonId": "5", "statusId": "Pending",
        "shippingAddressId": "10001", "billingAddressId": "10002", "reference": "SO-5501",
        "dateOrder": "2026-03-02 10:15:00", "observation": "",
        "discount": [{"id": "D-1", "discountTypeId": "2", "sequence": 1, "discount": 5, "isLine": false}],
        "lines": [{
            "id": "SO-5501-1", "lineStatusId": "Open", "quantity": 6, "discount": [],
            "lineDetail": [{"id": "SO-5501-1-M", "productId": "1000", "quantity": 6, "price": "14.50", "retailPrice": "29.90"}],
        }],
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut order = order();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match (order.pointer_mut(parent).unwrap(), value) {
        (Value::Object(parent), Value::Null) => drop(parent.shift_remove(field)),
        (parent, value) => parent[field] = value,
    }
    order
}

fn broken(market: &B2Market) -> Vec<&'static str> {
    market.wire.broken_rules().iter().map(|broken| broken.rule).collect()
}

#[tokio::test]
async fn a_new_order_keeps_our_ids_as_remote_ids_and_is_seen_as_changed() {
    let market = B2Market::start(standing_at(2026, 3, 2, 9, 0)).unwrap();
    market.seed(3);
    let caller = Caller::of(&market).await;
    let (status, created) = caller.create(&order()).await;
    assert_eq!((status, &created["id"], &created["idRemote"]), (201, &json!("4"), &json!("SO-5501")));
    assert_eq!(market.created(), [("4".to_owned(), order())].into());
    let page = caller.page("2026-03-02 10:00:00", 1, 10).await;
    assert_eq!(page["data"], json!([created]));
    let line = &created["lines"][0];
    assert_eq!(
        (&line["idRemote"], &line["lineDetail"][0]["idRemote"]),
        (&json!("SO-5501-1"), &json!("SO-5501-1-M"))
    );
    assert_eq!((&created["discount"][0]["idRemote"], &line["discount"]), (&json!("D-1"), &json!([])));
    assert_eq!(created["totalAmount"].to_string(), "87.00");
    assert_eq!(created["updatedBy"]["username"], "erp", "so that its own echo can be told");
    let sample = market.orders()["1"].clone();
    let names = |order: &Value| order.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&created), names(&sample));
    market.wire.clock().advance(Duration::from_secs(5));
    market.edit("4");
    let edited = market.orders()["4"].clone();
    assert_eq!(
        (&edited["updatedAt"], &edited["updatedBy"]["username"]),
        (&json!("2026-03-02 10:00:05"), &json!("oficina"))
    );
    assert_eq!(broken(&market), [""; 0]);
}

#[tokio::test]
async fn the_preconditions_are_asked_for_in_their_order() {
    let market = market();
    let caller = Caller::of(&market).await;
    // Everything is missing; what is named is put right one after the other.
    let steps = [
        ("/companyId", json!("9"), "company-first"),
        ("/clientId", json!("101"), "client-first"),
        ("/agentId", json!("69"), "agent-first"),
        ("/seasonId", json!("9"), "season-first"),
        ("/shippingAddressId", json!("10002"), "location-first"),
        ("/billingAddressId", json!("10402"), "location-first"),
        ("/statusId", json!("Lost"), "status-first"),
        ("/lines/0/lineDetail/0/productId", json!("9999"), "product-first"),
        ("/lines/0/lineStatusId", json!("Lost"), "line-status-first"),
    ];
    let mut wrong = order();
    for (pointer, value, _) in &steps {
        *wrong.pointer_mut(pointer).unwrap() = value.clone();
    }
    for (pointer, _, rule) in &steps {
        assert_eq!(caller.create(&wrong).await.0, 400);
        assert_eq!(broken(&market).last(), Some(rule));
        *wrong.pointer_mut(pointer).unwrap() = order().pointer(pointer).unwrap().clone();
    }
    assert!(market.is_empty());
    assert_eq!(caller.create(&wrong).await.0, 201);
    let roles = with("/agentId", json!("100"));
    assert_eq!(caller.create(&roles).await.0, 400, "a client is no agent");
}

#[tokio::test]
async fn a_parent_that_came_meanwhile_lets_its_order_pass() {
    let market = market();
    let caller = Caller::of(&market).await;
    let mut waiting = with("/clientId", json!("900"));
    waiting["shippingAddressId"] = json!("90001");
    waiting["billingAddressId"] = json!("90002");
    assert_eq!(caller.create(&waiting).await.0, 400);
    market.change_masters(|masters| masters.add_partner("900", "Client", "1"));
    assert_eq!(caller.create(&waiting).await.0, 201);
}

#[tokio::test]
async fn an_order_with_a_wrong_field_is_refused() {
    let market = market();
    let caller = Caller::of(&market).await;
    for (pointer, value, rule) in [
        ("/id", Value::Null, "field-missing"),
        ("/companyId", json!(1), "field-type"),
        ("/discount", Value::Null, "field-missing"),
        ("/discount", json!({}), "field-type"),
        ("/lines", json!([]), "lines"),
        ("/lines/0/discount", Value::Null, "field-missing"),
        ("/lines/0/quantity", json!(0), "quantity"),
        ("/lines/0/lineDetail/0/quantity", json!(-6), "quantity"),
        ("/lines/0/lineDetail/0/price", json!("14,50"), "field-type"),
    ] {
        assert_eq!(caller.create(&with(pointer, value)).await.0, 400, "{pointer}");
        assert_eq!(broken(&market).last(), Some(&rule), "{pointer}");
    }
    assert!(market.is_empty());
    assert_eq!(caller.create(&with("/lines/0/quantity", json!(7))).await.0, 201);
    assert_eq!(broken(&market).last(), Some(&"line-quantity"));
}

#[tokio::test]
async fn a_season_is_for_fashion_only() {
    let market = market();
    let caller = Caller::of(&market).await;
    let without = with("/seasonId", Value::Null);
    assert_eq!(caller.create(&without).await.0, 400);
    market.switches.set("fashion=false").unwrap();
    assert_eq!(caller.create(&order()).await.0, 400);
    assert_eq!(caller.create(&without).await.0, 201);
}

#[tokio::test]
async fn an_order_sent_again_after_a_lost_answer_is_there_twice() {
    let market = market();
    let caller = Caller::of(&market).await;
    market.wire.fail_next(1, "/Order/create", Fault::AnswerLost);
    let url = format!("{}/Order/create", market.url());
    assert!(caller.client.post(url).json(&order()).bearer_auth(&caller.token).send().await.is_err());
    assert_eq!(market.len(), 1, "done, though nobody heard");
    assert_eq!(caller.create(&order()).await.0, 201);
    assert_eq!((market.len(), broken(&market)), (2, vec!["created-twice"]));
}

#[tokio::test]
async fn the_answer_to_a_new_order_has_in_it_what_the_switch_says() {
    let market = market();
    let caller = Caller::of(&market).await;
    market.switches.set("create-answer=id").unwrap();
    assert_eq!(caller.create(&order()).await, (201, json!({"id": "1"})));
    market.switches.set("create-answer=none").unwrap();
    assert_eq!(caller.create(&with("/id", json!("SO-2"))).await, (201, Value::Null));
}

#[tokio::test]
async fn who_may_not_post_is_told_by_the_token_and_refused() {
    use base64::Engine;
    let market = market();
    market.switches.set("post-allowed=false").unwrap();
    let caller = Caller::of(&market).await;
    let payload = caller.token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["roles"]["POST"], json!(false));
    assert_eq!(caller.create(&order()).await.0, 403);
    assert_eq!(broken(&market), ["role"]);
}

#[tokio::test]
async fn statuses_are_listed_in_either_form() {
    let market = market();
    let caller = Caller::of(&market).await;
    let list = caller.list("/Order/getOrder/Status").await;
    assert_eq!((list["data"].as_array().unwrap().len(), &list["pagination"]["totalItems"]), (5, &json!(5)));
    assert!(list["data"].as_array().unwrap().contains(&json!({"id": "Pending", "value": "Pending"})));
    market.switches.set("status-value=boolean").unwrap();
    let list = caller.list("/Order/getOrder/Line/Status").await;
    assert_eq!(list["data"], json!([{"id": "Open", "value": true}, {"id": "Served", "value": true}]));
}

#[tokio::test]
async fn what_orders_refer_to_is_listed_in_pages_and_found_by_id() {
    let market = market();
    market.seed(50);
    let caller = Caller::of(&market).await;
    for (path, total) in [
        ("/Company/getCompany", 4),
        ("/BusinessPartner/getBPartner", 312),
        ("/Location/getLocation", 600),
        ("/Season/getSeason", 1),
        ("/Product/getProduct", 100),
        ("/Warehouse/getWarehouse", 2),
        ("/Stock/getStock", 200),
    ] {
        let list = caller.list(path).await;
        assert_eq!(list["pagination"]["totalItems"], json!(total), "{path}");
        assert_eq!(list["data"].as_array().unwrap().len(), total.min(10), "{path}");
    }
    let stock = [("idProduct", "1007"), ("idWarehouse", "2")];
    let stock: Value = caller.get("/Stock/getStock", &stock).await.json().await.unwrap();
    assert_eq!(ids(&stock), ["21007"]);
    let masters = market.masters();
    for order in market.orders().values() {
        let company = &order["company"]["id"];
        let partner = |id: &Value| &masters.partners[id.as_str().unwrap()]["company"]["id"];
        assert_eq!((partner(&order["client"]["id"]), partner(&order["agent"])), (company, company));
        assert!(
            masters.products.contains_key(order["lines"][0]["lineDetail"][0]["product"].as_str().unwrap())
        );
    }
    assert_eq!(caller.get("/Agent/getAgent", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(broken(&market), ["no-such-endpoint"]);
}

#[tokio::test]
async fn a_walk_is_disturbed_as_the_switches_say() {
    let market = market();
    market.seed(30);
    let caller = Caller::of(&market).await;
    market.switches.set("moving-rows=true").unwrap();
    let before = market.orders();
    caller.page(EPOCH, 1, 10).await;
    let moved = market.orders().into_iter().filter(|(id, order)| before[id] != *order).count();
    assert_eq!(moved, 1);
    market.switches.set("expire-on-page=true").unwrap();
    caller.page(EPOCH, 2, 10).await;
    assert_eq!(caller.get("/Order/getOrder", &[]).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(broken(&market), [""; 0], "an expired token is nobody's mistake");
}

#[test]
fn a_start_by_name_heeds_the_switches() {
    let switches = Switches::new(SWITCHES);
    for set in
        ["orders=7", "same-second=true", "sort=id", "totals=missing", "format=xml-bare", "largest-page=3"]
    {
        switches.set(set).unwrap();
    }
    let market = start(WireOptions::default(), &switches).unwrap();
    assert_eq!(market.credentials()[0], ("_username", "erp".to_owned()));
    let debug = format!("{market:?}");
    assert!(debug.contains("orders: 7"), "{debug}");
}
