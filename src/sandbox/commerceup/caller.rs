//! The shop calling the ERP's side: createCustomer, createOrder and cancelOrder, in every form the contract allows
//! (Commerceup contract §2). It repeats calls and makes them at once, as a shop does whose shoppers are impatient.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// How a caller says who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Not at all.
    None,
    /// In the headers `username` and `password`.
    Headers(String, String),
    /// `Authorization: Basic`
    Basic(String, String),
    /// `Authorization: Bearer`
    Bearer(String),
}

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// XML, lists as an element `item` for each entry.
    Xml,
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `POST /createOrder`, as in the sample.
    Post,
    /// `GET /createorder` with a body, as in the block of endpoints.
    Get,
}

/// One call of the shop.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `createCustomer`, `createOrder` or `cancelOrder`.
    pub name: &'static str,
    /// What it says.
    pub body: Value,
}

impl Call {
    /// A shopper registered.
    #[must_use]
    pub fn create_customer(customer: &Value) -> Self {
        Self { name: "createCustomer", body: json!({"customer": customer}) }
    }

    /// An order was placed.
    #[must_use]
    pub fn create_order(order: &Value) -> Self {
        Self { name: "createOrder", body: json!({"order": order}) }
    }

    /// A shopper cancelled items (`sku`, `quantity`) of the order with this id in the ERP.
    #[must_use]
    pub fn cancel_order(order_id: &str, items: &[Value]) -> Self {
        Self { name: "cancelOrder", body: json!({"orderId": order_id, "items": items}) }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, where there is one.
    pub retry_after: Option<String>,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null, if it isn't.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A shop that calls one address.
#[derive(Debug, Clone)]
pub struct Caller {
    base: String,
    client: Client,
    /// Who it says it is.
    pub credentials: Credentials,
    /// What its bodies are written in.
    pub format: Format,
    /// How its calls are made.
    pub verb: Verb,
}

impl Caller {
    /// Calls what is below this address, such as `http://127.0.0.1:8650`, and waits so long for each answer.
    ///
    /// # Errors
    /// When the client can't be built.
    pub fn new(base: &str, credentials: Credentials, patience: Duration) -> Result<Self, reqwest::Error> {
        let client =
            Client::builder().timeout(patience).redirect(reqwest::redirect::Policy::none()).build()?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { base, client, credentials, format: Format::Json, verb: Verb::Post })
    }

    /// Makes one call.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, call: &Call) -> Result<Reply, reqwest::Error> {
        let (content_type, body) = match self.format {
            Format::Json => ("application/json", call.body.to_string()),
            Format::Xml => ("application/xml", xml(call.name, &call.body)),
        };
        self.raw(call.name, content_type, body).await
    }

    /// Makes the calls at once; the replies in the order of the calls.
    pub async fn call_at_once(&self, calls: &[Call]) -> Vec<Result<Reply, reqwest::Error>> {
        join_all(calls.iter().map(|call| self.call(call))).await
    }

    /// Makes the same call so many times, each after the answer to the one before.
    pub async fn repeat(&self, call: &Call, times: usize) -> Vec<Result<Reply, reqwest::Error>> {
        let mut replies = Vec::new();
        for _ in 0..times {
            replies.push(self.call(call).await);
        }
        replies
    }

    /// Sends this body, whatever it is, to the endpoint of a call.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn raw(
        &self,
        name: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Reply, reqwest::Error> {
        let (method, path) = match self.verb {
            Verb::Post => (Method::POST, name.to_owned()),
            Verb::Get => (Method::GET, name.to_lowercase()),
        };
        let request = self.client.request(method, format!("{}/{path}", self.base));
        let request = self.identify(request).header("content-type", content_type).body(body);
        let answer = request.send().await?;
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        Ok(Reply {
            status: answer.status().as_u16(),
            retry_after: retry_after.map(str::to_owned),
            text: answer.text().await?,
        })
    }

    fn identify(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Headers(username, password) => {
                request.header("username", username).header("password", password)
            }
            Credentials::Basic(username, password) => {
                let both = STANDARD.encode(format!("{username}:{password}"));
                request.header("authorization", format!("Basic {both}"))
            }
            Credentials::Bearer(token) => request.header("authorization", format!("Bearer {token}")),
        }
    }
}

/// `n` shoppers, the same for the same seed.
#[must_use]
pub fn customers(seed: u64, n: usize) -> Vec<Value> {
    const FIRST: [&str; 5] = ["Ana", "Björn", "Chloé", "Łucja", "Zoë"];
    const LAST: [&str; 5] = ["Nowak", "O'Neill", "Smith & Sons", "Ürgen", "<Weiß>"];
    let mut dice = StdRng::seed_from_u64(seed);
    let customer = |at: usize| {
        json!({
            "id": format!("cu_{}", 7_000 + at), "email": format!("shopper{at}@example.org"),
            "firstName": FIRST[dice.random_range(0..FIRST.len())],
            "lastName": LAST[dice.random_range(0..LAST.len())],
            "phone": format!("+4860010{:04}", dice.random_range(0..10_000)),
        })
    };
    (0..n).map(customer).collect()
}

/// `n` orders of these customers, the same for the same seed. Totals are the sums of their items.
#[must_use]
pub fn orders(seed: u64, n: usize, customer_ids: &[&str]) -> Vec<Value> {
    let mut dice = StdRng::seed_from_u64(seed);
    let money = |cents: u64| -> Value {
        serde_json::from_str(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap_or_default()
    };
    let order = |at: usize| {
        let mut total = 0;
        let count = dice.random_range(1..=4);
        let items: Vec<Value> = (0..count)
            .map(|line| {
                let (quantity, price) = (dice.random_range(1..=5), dice.random_range(99..20_000));
                total += quantity * price;
                let sku = format!("A-{}", 100 + dice.random_range(0..50) * 4 + line);
                json!({"sku": sku, "quantity": quantity, "price": money(price)})
            })
            .collect();
        let customer = customer_ids.get(dice.random_range(0..customer_ids.len().max(1)));
        json!({
            "id": (1_000_457 + at).to_string(), "customerId": customer, "currency": "PLN", "items": items,
            "total": money(total),
        })
    };
    (0..n).map(order).collect()
}

/// These calls with `repeats` of them made a second time, all in an order that is the same for the same seed.
#[must_use]
pub fn calls_with_repeats(seed: u64, calls: &[Call], repeats: usize) -> Vec<Call> {
    let mut dice = StdRng::seed_from_u64(seed);
    let again = rand::seq::index::sample(&mut dice, calls.len(), repeats.min(calls.len()));
    let mut all: Vec<Call> = calls.to_vec();
    all.extend(again.iter().map(|at| calls[at].clone()));
    all.shuffle(&mut dice);
    all
}

fn xml(name: &str, body: &Value) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    element(&mut out, name, body);
    out
}

fn element(out: &mut String, name: &str, value: &Value) {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    out.push_str(&format!("<{name}>"));
    match value {
        Value::Null => {}
        Value::Array(entries) => entries.iter().for_each(|entry| element(out, "item", entry)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| element(out, name, value)),
        Value::String(text) => out.push_str(&escaped(text)),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push_str(&format!("</{name}>"));
}
