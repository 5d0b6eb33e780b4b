//! Invoices, goods issued notes, and their files.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PDF: &[u8] = b"%PDF-1.7\nan invoice\r\n\r\n--not the end\n%%EOF";

fn invoice(client: &str) -> Value {
    let text = r#"{"number":"FV/17/03/2026","saleDate":"2026-03-02","paymentDate":"2026-03-16","currencyCode":"PLN",
        "isPaid":false,"amountPaid":0,"clientData":{"clientId":"","clientType":"ORGANIZATION","tin":"5250000000"},
        "customerPurchaseNumbers":["OF/22/8/2022"],"totalPrices":{"netPrice":100.00,"taxValue":23.00,"grossPrice":123.00}}"#;
    with(&serde_json::from_str(text).unwrap(), "/clientData/clientId", json!(client))
}

fn note(client: &str) -> Value {
    json!({
        "number": "WZ/9/03/2026", "clientId": client, "documentDate": "2026-03-02",
        "productLines": [
            {"lineNumber": 1, "salesOrderLineNumber": 10, "quantity": 4, "product": {"sku": "A", "unit": "szt"}},
            {"lineNumber": 2, "quantity": 1, "product": {"sku": "B"}, "prices": {"base": {"net": 10, "tax": 2.3, "gross": 12.3}}},
        ],
        "deliveryAddress": {"city": "Warszawa", "postCode": "00-001"},
        "prices": {"total": {"net": 10, "tax": 2.3, "gross": 12.3}},
    })
}

fn announcement(number: &str) -> Value {
    json!({"number": number, "fileName": "FV_17.pdf", "contentType": "application/pdf", "size": PDF.len()})
}

/// A platform with one client and that client's invoice.
async fn with_invoice() -> (One, String) {
    let one = one();
    let client = one.add_client();
    assert_eq!(put(&one, &at("invoices", "invoices"), invoice(&client)).await.0, 204);
    (one, client)
}

async fn begin(one: &One) -> Value {
    let (status, answer) =
        post(one, &at("invoices", "file-upload-begin"), announcement("FV/17/03/2026")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn complete(one: &One, body: Value) -> u16 {
    post(one, &at("invoices", "file-upload-complete"), body).await.0
}

#[tokio::test]
async fn an_invoice_is_kept_as_sent_and_its_status_beside_it() {
    let (one, client) = with_invoice().await;
    let held = one.records().invoices["FV/17/03/2026"].clone();
    assert_eq!(held.to_string(), invoice(&client).to_string());
    let status = json!([{"number": "FV/17/03/2026", "isPaid": true, "amountPaid": 123.5}]);
    assert_eq!(put(&one, &at("invoices", "invoices/status"), status.clone()).await.0, 204);
    assert_eq!(one.records().invoice_statuses["FV/17/03/2026"], status[0]);
    let unknown = with(&status, "/0/number", json!("FV/18"));
    assert_eq!(put(&one, &at("invoices", "invoices/status"), unknown).await.0, 404);
    assert_eq!(put(&one, &at("invoices", "invoices"), invoice("org:none")).await.0, 404);
    assert_eq!(broken(&one), [""; 0]);
    let wrong = [("/0/isPaid", json!("yes"), "field-type"), ("/0/number", Value::Null, "field-missing")];
    refuses(&one, "PUT", &at("invoices", "invoices/status"), &status, &wrong).await;
}

#[tokio::test]
async fn an_invoice_with_a_wrong_field_is_refused() {
    let one = one();
    let client = one.add_client();
    let wrong = [
        ("/number", Value::Null, "field-missing"),
        ("/saleDate", json!("2026-3-2"), "field-type"),
        ("/paymentDate", json!("2026-02-30"), "field-type"),
        ("/currencyCode", json!("zł"), "currency"),
        ("/isPaid", json!(0), "field-type"),
        ("/clientData/clientId", Value::Null, "field-missing"),
        ("/clientData/clientType", json!("COMPANY"), "field-type"),
        ("/totalPrices/grossPrice", json!(123.02), "net-tax-gross"),
        ("/totalPrices/taxValue", Value::Null, "field-missing"),
    ];
    refuses(&one, "PUT", &at("invoices", "invoices"), &invoice(&client), &wrong).await;
    assert!(one.records().invoices.is_empty());
    let cent = with(&invoice(&client), "/totalPrices/grossPrice", json!(123.01));
    assert_eq!(put(&one, &at("invoices", "invoices"), cent).await.0, 204, "a cent is rounding");
    one.switches.set("invoice-method=post").unwrap();
    assert_eq!(put(&one, &at("invoices", "invoices"), invoice(&client)).await.0, 405);
    assert_eq!(post(&one, &at("invoices", "invoices"), invoice(&client)).await.0, 204);
}

#[tokio::test]
async fn a_file_comes_by_its_upload_address() {
    let (one, _) = with_invoice().await;
    let begun = begin(&one).await;
    let bytes = CLIENT.put(begun["uploadUrl"].as_str().unwrap()).body(PDF);
    assert_eq!(bytes.send().await.unwrap().status(), 204);
    assert!(one.records().invoice_files.is_empty(), "not before it is completed");
    let id = json!({"uploadId": begun["uploadId"]});
    assert_eq!(complete(&one, id.clone()).await, 204);
    let file = File { name: "FV_17.pdf".to_owned(), content: PDF.into(), uploads: 1 };
    assert_eq!(one.records().invoice_files["FV/17/03/2026"], file);
    for (switch, status) in [("done", 204), ("404", 404), ("409", 409)] {
        one.switches.set(&format!("complete-twice={switch}")).unwrap();
        assert_eq!(complete(&one, id.clone()).await, status);
    }
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn a_file_comes_inline_or_in_parts_where_the_switch_says_so() {
    let (one, _) = with_invoice().await;
    one.switches.set("file-transfer=inline").unwrap();
    let begun = begin(&one).await;
    assert_eq!(begun.as_object().unwrap().len(), 1, "no upload address");
    let body = json!({"uploadId": begun["uploadId"], "content": STANDARD.encode(PDF)});
    assert_eq!(complete(&one, body).await, 204);

    one.switches.set("file-transfer=multipart").unwrap();
    let id = begin(&one).await["uploadId"].as_str().unwrap().to_owned();
    let part = reqwest::multipart::Part::bytes(PDF).file_name("FV_17.pdf");
    let form = reqwest::multipart::Form::new().text("number", "FV/17").part("file", part);
    let sent = request(&one, "POST", &at("invoices", &format!("file-upload/{id}"))).multipart(form);
    assert_eq!(sent.send().await.unwrap().status(), 204);
    assert_eq!(complete(&one, json!({"uploadId": id})).await, 204);
    let file = &one.records().invoice_files["FV/17/03/2026"];
    assert_eq!((&file.content[..], file.uploads), (PDF, 2));
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn a_file_needs_its_document_its_bytes_and_to_be_a_pdf() {
    let (one, _) = with_invoice().await;
    let path = at("invoices", "file-upload-begin");
    assert_eq!(post(&one, &path, announcement("FV/18")).await.0, 404);
    assert_eq!(broken(&one), ["content-first"]);
    let wrong = [
        ("/fileName", Value::Null, "field-missing"),
        ("/contentType", json!("text/html"), "field-type"),
        ("/size", json!("48211"), "field-type"),
    ];
    refuses(&one, "POST", &path, &announcement("FV/17/03/2026"), &wrong).await;
    let refused = async |bytes: Option<Vec<u8>>| {
        let begun = begin(&one).await;
        if let Some(bytes) = bytes {
            CLIENT.put(begun["uploadUrl"].as_str().unwrap()).body(bytes).send().await.unwrap();
        }
        assert_eq!(complete(&one, json!({"uploadId": begun["uploadId"]})).await, 400);
        broken(&one).pop().unwrap()
    };
    assert_eq!(refused(None).await, "bytes-first");
    assert_eq!(refused(Some(PDF[1..].to_vec())).await, "file-size");
    assert_eq!(refused(Some(vec![b'x'; PDF.len()])).await, "file-pdf");
    assert_eq!(complete(&one, json!({"uploadId": "none"})).await, 404);
    assert!(one.records().invoice_files.is_empty());
}

#[tokio::test]
async fn a_note_is_kept_as_sent_and_has_a_file_of_its_own() {
    let one = one();
    let client = one.add_client();
    let path = at("goods-issued-notes", "goods-issued-notes");
    assert_eq!(put(&one, &path, note(&client)).await.0, 204);
    assert_eq!(one.records().goods_issued_notes["WZ/9/03/2026"], note(&client));
    assert_eq!(put(&one, &path, note("org:none")).await.0, 404);
    let begun =
        post(&one, &at("goods-issued-notes", "file-upload-initialize"), announcement("WZ/9/03/2026")).await.1;
    CLIENT.put(begun["uploadUrl"].as_str().unwrap()).body(PDF).send().await.unwrap();
    let id = json!({"uploadId": begun["uploadId"]});
    assert_eq!(complete(&one, id.clone()).await, 404, "an invoice's upload is another");
    assert_eq!(post(&one, &at("goods-issued-notes", "file-upload-finalize"), id).await.0, 204);
    assert_eq!(one.records().goods_issued_note_files["WZ/9/03/2026"].content, PDF);
    assert_eq!(broken(&one), [""; 0]);
}

#[tokio::test]
async fn a_note_with_a_wrong_field_is_refused() {
    let one = one();
    let client = one.add_client();
    let wrong = [
        ("/clientId", Value::Null, "field-missing"),
        ("/documentDate", json!("02.03.2026"), "field-type"),
        ("/productLines/0/lineNumber", json!(0), "line-numbers"),
        ("/productLines/1/lineNumber", json!(20), "line-numbers"),
        ("/productLines/1/lineNumber", json!(1), "line-numbers"),
        ("/productLines/0/product/sku", Value::Null, "field-missing"),
        ("/productLines/0/quantity", json!("4"), "field-type"),
        ("/productLines/1/prices/base/gross", json!(10), "net-tax-gross"),
        ("/prices/total/tax", json!(0), "net-tax-gross"),
        ("/deliveryAddress/postCode", json!(1), "field-type"),
    ];
    let path = at("goods-issued-notes", "goods-issued-notes");
    refuses(&one, "PUT", &path, &note(&client), &wrong).await;
    assert!(one.records().goods_issued_notes.is_empty());
    let misspelt = with(&note(&client), "/deliveryAddress/zipCode", json!("00-001"));
    assert_eq!(put(&one, &path, misspelt).await.0, 204);
    assert_eq!(broken(&one).last(), Some(&"field-unknown"));
}
