//! Segments, clients, trade credits and blockades.

use super::*;

fn client(external: &str) -> Value {
    json!({
        "accountType": "CLIENT", "externalId": external, "name": "Metalo Sp. z o.o.", "tin": "5250000000",
        "address": {
            "name": "Metalo", "street": "Prosta 1", "zipCode": "00-001", "city": "Warszawa", "country": "PL",
            "phone": "+48220000000", "externalId": "K-2001-A1",
        },
        "admin": {"email": "buyer@example.org", "name": "Buyer One", "phone": "+48500000000"},
    })
}

async fn created(one: &One, body: Value) -> String {
    let (status, answer) = post(one, &at("account", "clients"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn path(id: &str) -> String {
    at("account", &format!("clients/{}", encoded(id)))
}

#[tokio::test]
async fn segments_are_created_found_changed_and_deleted() {
    let one = one();
    let segments = at("account", "segments");
    let north = json!({"name": "Wholesale North", "externalId": "WS-N", "parentSegmentId": "segment"});
    let id = post(&one, &segments, north.clone()).await.1["id"].as_str().unwrap().to_owned();
    let list = get(&one, &at("account", "segments?pageNumber=1&pageSize=100")).await.1;
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 2 && ids.contains(&"segment") && ids.contains(&id.as_str()));
    let one_segment = at("account", &format!("segments/{id}"));
    assert_eq!(put(&one, &one_segment, with(&north, "/name", json!("North"))).await.0, 204);
    assert_eq!(get(&one, &one_segment).await.1["name"], "North");
    assert_eq!(broken(&one), [""; 0]);
    refuses(
        &one,
        "POST",
        &segments,
        &north,
        &[("/name", Value::Null, "field-missing"), ("/parentSegmentId", json!("none"), "segment-parent")],
    )
    .await;
    assert_eq!(post(&one, &segments, north).await.0, 200, "nothing keeps it from being created twice");
    assert_eq!(broken(&one).last(), Some(&"created-twice"));
    assert_eq!(call(&one, "DELETE", &one_segment, None).await.0, 204);
    assert_eq!(call(&one, "DELETE", &one_segment, None).await.0, 404);
}

#[tokio::test]
async fn a_client_is_created_read_updated_and_kept_as_sent() {
    let one = one();
    let id = created(&one, client("K-1")).await;
    assert!(id.starts_with("org:"));
    let changed = with(&client("K-1"), "/name", json!("Metalo S.A."));
    assert_eq!(put(&one, &path(&id), changed.clone()).await.0, 204);
    let held = with(&changed, "/id", json!(id));
    assert_eq!(one.records().clients[&id], held);
    assert_eq!(get(&one, &path(&id)).await.1, held);
    let person = with(&client("K-2"), "/tin", Value::Null);
    assert!(created(&one, person).await.starts_with("ind:"));
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn a_client_with_a_wrong_field_is_refused() {
    let one = one();
    let good = client("K-1");
    let wrong = [
        ("/accountType", json!("BUYER"), "field-type"),
        ("/name", json!(""), "field-type"),
        ("/externalId", Value::Null, "field-missing"),
        ("/tin", json!(5_250_000_000_u64), "field-type"),
        ("/address", Value::Null, "field-missing"),
        ("/address/zipCode", Value::Null, "field-missing"),
        ("/address/city", json!(7), "field-type"),
        ("/admin", Value::Null, "field-missing"),
        ("/admin/email", Value::Null, "field-missing"),
        ("/segmentId", json!("none"), "segment-first"),
        ("/additionalFields", json!([]), "field-type"),
    ];
    refuses(&one, "POST", &at("account", "clients"), &good, &wrong).await;
    assert!(one.records().clients.is_empty());
    created(&one, with(&good, "/bankAccountNumber", json!("PL61"))).await;
    created(&one, with(&good, "/additionalFields", json!({"anything": 1}))).await;
    let last = broken(&one).split_off(wrong.len());
    assert_eq!(last, ["bank-account-number", "created-twice"]);
}

#[tokio::test]
async fn an_unknown_client_is_404_and_no_broken_rule() {
    let one = one();
    let id = created(&one, client("K-1")).await;
    one.switches.set(&format!("missing-client=org:other,{id}")).unwrap();
    for id in ["org:8872d4f8-cf33-456e-8084-41bacbc0fb2a", id.as_str()] {
        let (status, answer) = put(&one, &path(id), client("K-9")).await;
        assert_eq!((status, &answer["error"]["message"]), (404, &json!("client not found")));
        assert_eq!(get(&one, &path(id)).await.0, 404);
        let blockade = at("account", &format!("client-blockades/{}", encoded(id)));
        assert_eq!(put(&one, &blockade, json!({"type": "SALE"})).await.0, 404);
    }
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn an_id_is_encoded_in_paths() {
    let one = one();
    let id = created(&one, client("K-1")).await;
    assert_eq!(get(&one, &at("account", &format!("clients/{id}"))).await.0, 200);
    assert_eq!(broken(&one), ["id-not-encoded"]);
}

#[tokio::test]
async fn the_answer_to_a_new_client_names_its_id_as_the_switch_says() {
    let one = one();
    for (external, shape) in [("K-1", "string"), ("K-2", "clientId")] {
        one.switches.set(&format!("client-answer={shape}")).unwrap();
        let answer = post(&one, &at("account", "clients"), client(external)).await.1;
        let id = answer.as_str().or(answer["clientId"].as_str()).unwrap().to_owned();
        assert_eq!(one.records().clients[&id]["externalId"], external);
    }
}

#[tokio::test]
async fn clients_are_listed_in_pages_whose_numbers_must_be_given() {
    let one = one();
    one.seed(7, 0, 0);
    let mut ids = Vec::new();
    for page in 1..=4 {
        let list = get(&one, &at("account", &format!("clients?pageNumber={page}&pageSize=2"))).await.1;
        assert_eq!((&list["totalElement"], &list["items"]), (&json!(7), &list["listElement"]));
        ids.extend(
            list["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(ids, one.records().clients.keys().cloned().collect::<Vec<_>>());
    one.switches.set("list-shape=array").unwrap();
    assert!(get(&one, &at("account", "clients?pageNumber=1&pageSize=2")).await.1.is_array());
    for query in ["", "?pageNumber=1", "?pageSize=2", "?pageNumber=0&pageSize=2"] {
        assert_eq!(get(&one, &at("account", &format!("clients{query}"))).await.0, 400, "{query}");
    }
    assert_eq!(broken(&one), ["query-missing", "query-missing", "query-missing", "query-number"]);
}

#[tokio::test]
async fn the_feed_of_clients_says_who_changed_and_where() {
    let one = one();
    let ours = created(&one, client("K-1")).await;
    let theirs = one.add_client();
    one.edit_client(&theirs, "name", json!("Renamed"));
    let feed =
        async |query: &str| get(&one, &at("account", &format!("clients/synchronization?{query}"))).await.1;
    let event = |id: &str, kind: &str| json!({"clientId": id, "type": kind});
    let (created, added, renamed) =
        (event(&ours, "CREATE"), event(&theirs, "CREATE"), event(&theirs, "UPDATE"));
    assert_eq!(feed("startId=1").await, json!({"nextId": 4, "events": [created, added, renamed]}));
    let others = feed("contexts=APPLICATION,BACKOFFICE&startId=1").await;
    assert_eq!(others, json!({"nextId": 4, "events": [added, renamed]}));
    assert_eq!(feed("startId=4").await, json!({"nextId": 4, "events": []}));
    one.remove_client(&theirs);
    assert_eq!(feed("startId=4").await["events"], json!([event(&theirs, "DELETE")]));
    assert_eq!(get(&one, &path(&theirs)).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    assert_eq!(get(&one, &at("account", "clients/synchronization")).await.0, 400);
    assert_eq!(get(&one, &at("account", "clients/synchronization?startId=1&contexts=SHOP")).await.0, 400);
    assert_eq!(broken(&one), ["query-missing", "query-enum"]);
    one.switches.set("client-feed=missing").unwrap();
    assert_eq!(get(&one, &at("account", "clients/synchronization?startId=1")).await.0, 404);
}

#[tokio::test]
async fn credits_belong_to_organisations_and_go_by_their_uuid() {
    let one = one();
    let id = created(&one, client("K-1")).await;
    let bare = id.strip_prefix("org:").unwrap();
    let credits = |id: &str| at("account", &format!("trade-credits/{}", encoded(id)));
    let credit: Value = serde_json::from_str(
        r#"{"creditValue":50000.00,"creditValueUsed":12000.50,"availableCreditValue":37999.50,"paymentDays":14}"#,
    )
    .unwrap();
    assert_eq!(put(&one, &credits(bare), credit.clone()).await.0, 204);
    assert_eq!(one.records().trade_credits[bare], credit);
    assert_eq!(get(&one, &credits(bare)).await.1.to_string(), credit.to_string());
    assert_eq!(put(&one, &credits(&id), credit.clone()).await.0, 404, "the other form of the id");
    let feed =
        get(&one, &at("account", "trade-credits/synchronization?contexts=INTEGRATIONS&startId=1")).await.1;
    assert_eq!(feed, json!({"nextId": 2, "events": [{"clientId": id, "type": "UPDATE"}]}));
    assert_eq!(call(&one, "DELETE", &credits(bare), None).await.0, 204);
    assert_eq!(call(&one, "DELETE", &credits(bare), None).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    let wrong =
        [("/creditValue", Value::Null, "field-missing"), ("/creditValueUsed", json!("1"), "field-type")];
    refuses(&one, "PUT", &credits(bare), &credit, &wrong).await;
    one.switches.set("trade-credit-id=prefixed").unwrap();
    assert_eq!(put(&one, &credits(&id), credit.clone()).await.0, 204);
    let person = created(&one, with(&client("K-2"), "/tin", Value::Null)).await;
    assert_eq!(put(&one, &credits(&person), credit).await.0, 400);
    assert_eq!(broken(&one).last(), Some(&"credit-of-a-person"));
}

#[tokio::test]
async fn blockades_are_set_by_type_and_lifted_as_the_switch_says() {
    let one = one();
    let id = created(&one, client("K-1")).await;
    let path = at("account", &format!("client-blockades/{}", encoded(&id)));
    let sale = json!({"type": "SALE", "externalId": "BLK-3"});
    assert_eq!(put(&one, &path, sale.clone()).await.0, 204);
    assert_eq!(one.records().blockades[&id]["SALE"], sale);
    let read = get(&one, &path).await.1;
    let fields: Vec<&str> = read.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["type", "externalId", "id", "label", "message"]);
    assert_eq!(put(&one, &path, json!({"type": "CLIENT"})).await.0, 204);
    one.switches.set("blockade-delete=type").unwrap();
    assert_eq!(call(&one, "DELETE", &format!("{path}?type=SALE"), None).await.0, 204);
    assert_eq!(one.records().blockades[&id].keys().collect::<Vec<_>>(), ["CLIENT"]);
    one.switches.set("blockade-delete=whole").unwrap();
    assert_eq!(call(&one, "DELETE", &path, None).await.0, 204);
    assert_eq!(call(&one, "DELETE", &path, None).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    refuses(&one, "PUT", &path, &sale, &[("/type", json!("ALL"), "field-type")]).await;
    one.switches.set("blockade-delete=external-id").unwrap();
    assert_eq!(call(&one, "DELETE", &path, None).await.0, 400, "which one?");
}
