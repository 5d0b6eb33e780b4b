//! Sample clients, price lists and orders, and what happens to them on the platform's own side.
//!
//! Equal seeds and calls make equal data. Amounts are written from whole cents, so that nothing passes through a float.

use super::super::lock;
use super::{One, State, clients, orders, prices};
use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use rand::Rng;
use serde_json::{Value, json};

const NAMES: [&str; 5] =
    ["Metalo Sp. z o.o.", "Śruby & Nity S.A.", "Zakład \"Łożysko\"", "Nordwerk GmbH", "Drut-Pol"];
const CITIES: [(&str, &str); 4] =
    [("00-001", "Warszawa"), ("30-002", "Kraków"), ("90-410", "Łódź"), ("80-803", "Gdańsk")];
/// No more orders come by themselves beyond so many.
const MOST_ORDERS: usize = 5_000;

impl One {
    /// Adds sample clients, orders and price lists.
    pub fn seed(&self, clients: usize, orders: usize, price_lists: usize) {
        for _ in 0..clients {
            self.add_client();
        }
        for _ in 0..orders {
            self.add_order();
        }
        for number in 1..=price_lists {
            self.add_price_list(&format!("Price list {number}"));
        }
    }

    /// A new client, added in the platform's back office; its id. Every fifth is a person.
    pub fn add_client(&self) -> String {
        let mut state = lock(&self.inside.state);
        let state = &mut *state;
        let number = state.records.clients.len() + 1;
        let person = number.is_multiple_of(5);
        let id = format!("{}:{}", if person { "ind" } else { "org" }, state.uuid());
        let dice = state.dice.random_range(0..20);
        let (zip, city) = CITIES.get(dice % CITIES.len()).copied().unwrap_or_default();
        let name = NAMES.get(dice % NAMES.len()).copied().unwrap_or_default();
        let mut client = json!({
            "id": id,
            "accountType": "CLIENT",
            "externalId": format!("WEB-{number}"),
            "name": format!("{name} {number}"),
            "tin": format!("525{number:07}"),
            "address": {
                "name": name, "street": format!("ul. Prosta {number}"), "zipCode": zip, "city": city, "country": "PL",
                "phone": "+48220000000", "externalId": format!("WEB-{number}-A1"),
            },
            "admin": {
                "email": format!("buyer{number}@example.org"), "name": format!("Buyer {number}"), "phone": "+48500000000",
            },
        });
        if let Some(fields) = client.as_object_mut().filter(|_| person) {
            fields.shift_remove("tin");
        }
        state.records.clients.insert(id.clone(), client);
        clients::tell(state, &id, "BACKOFFICE", "CREATE");
        id
    }

    /// Sets a field of a client in the platform's back office.
    pub fn edit_client(&self, id: &str, field: &str, value: Value) {
        let mut state = lock(&self.inside.state);
        if let Some(client) = state.records.clients.get_mut(id) {
            client[field] = value;
            clients::tell(&mut state, id, "BACKOFFICE", "UPDATE");
        }
    }

    /// Deletes a client in the platform's back office.
    pub fn remove_client(&self, id: &str) {
        let mut state = lock(&self.inside.state);
        if state.records.clients.remove(id).is_some() {
            clients::tell(&mut state, id, "BACKOFFICE", "DELETE");
        }
    }

    /// A new, empty price list; its id.
    pub fn add_price_list(&self, name: &str) -> String {
        prices::add(&mut lock(&self.inside.state), json!({"name": name, "type": "CATALOG"}))
    }

    /// A customer orders; the shipment's id, with slashes in it.
    pub fn add_order(&self) -> String {
        let now = self.wire.clock().now();
        let mut state = lock(&self.inside.state);
        let number = state.records.shipments.len() + 1;
        let order = format!("OF/{number}/{}/{}", now.month(), now.year());
        let id = format!("{order}/01");
        let shipment = shipment(&mut state, &id, &order, now);
        state.records.shipments.insert(id.clone(), shipment);
        orders::tell(&mut state, &id, "ADDED");
        id
    }

    /// The customer takes one more of the first line.
    pub fn change_order(&self, shipment: &str) {
        let mut state = lock(&self.inside.state);
        let Some(document) = state.records.shipments.get_mut(shipment) else { return };
        let line = &mut document["productLines"][0];
        let quantity = line["quantityOrderedInContentUnit"].as_i64().unwrap_or(0) + 1;
        let unit = cents(&line["price"]["netUnitPrice"]);
        line["quantityOrdered"] = Value::from(quantity);
        line["quantityOrderedInContentUnit"] = Value::from(quantity);
        line["lastChange"] = Value::from(instant(self.wire.clock().now()));
        line["price"] = price(unit, quantity);
        orders::tell(&mut state, shipment, "CHANGED");
    }

    /// The order is withdrawn; asking for it is 404 from now on.
    pub fn remove_order(&self, shipment: &str) {
        let _ = orders::remove(&mut lock(&self.inside.state), shipment);
    }

    /// Something happens, as it does on any day: an order comes or changes, or a client is edited.
    pub fn stir(&self) {
        let (throw, orders, order, client) = {
            let mut state = lock(&self.inside.state);
            let throw = state.dice.random_range(0..4);
            let orders = state.records.shipments.len();
            let at = state.dice.random_range(0..orders.max(1));
            let order = state.records.shipments.keys().nth(at).cloned();
            let clients = state.records.clients.len();
            let at = state.dice.random_range(0..clients.max(1));
            (throw, orders, order, state.records.clients.keys().nth(at).cloned())
        };
        match (throw, order, client) {
            (0, _, Some(client)) => {
                let regon = format!("{:09}", self.wire.clock().now().timestamp() % 1_000_000_000);
                self.edit_client(&client, "businessRegistrationNumber", Value::from(regon));
            }
            (1, Some(order), _) => self.change_order(&order),
            _ if orders < MOST_ORDERS => drop(self.add_order()),
            (_, Some(order), _) => self.change_order(&order),
            _ => {}
        }
    }
}

fn shipment(state: &mut State, id: &str, order: &str, now: DateTime<Utc>) -> Value {
    let lines: Vec<Value> = (1..=state.dice.random_range(1..=3))
        .map(|number| {
            let quantity = state.dice.random_range(1..=40);
            let unit = state.dice.random_range(95..19_999);
            let article = state.dice.random_range(1..=20);
            json!({
                "sku": format!("A-{article:05}"),
                "name": format!("Łącznik {article}"),
                "lineNumber": number,
                "quantityOrdered": quantity,
                "quantityOrderedInContentUnit": quantity,
                "contentUnitCode": "PCE",
                "lastChange": instant(now),
                "pkwiu": null,
                "splitPayment": false,
                "cableType": null,
                "gtu": null,
                "manufacturerId": "M-1",
                "productLineId": format!("{id}/{number}"),
                "parentProductLineId": null,
                "price": price(unit, quantity),
            })
        })
        .collect();
    json!({
        "id": id,
        "orderId": order,
        "orderCouponCode": null,
        "customerPurchaseNumber": format!("PO-{}", state.dice.random_range(1000..9999)),
        "productLines": lines,
    })
}

/// The prices of a line of so many at so many cents net.
fn price(unit: i64, quantity: i64) -> Value {
    let net = unit * quantity;
    let tax = net * 23 / 100;
    json!({
        "netUnitPrice": money(unit),
        "netContentUnitPrice": money(unit),
        "grossContentUnitPrice": money(unit * 123 / 100),
        "basePriceNet": money(unit),
        "basePriceDiscount": money(0),
        "basePriceType": "CATALOG",
        "netValue": money(net),
        "taxValue": money(tax),
        "taxRate": 23,
        "grossValue": money(net + tax),
        "netCatalogPrice": money(unit),
        "catalogPriceDiscount": money(0),
        "additionalCosts": [],
    })
}

/// An amount with two decimals, whatever they are.
fn money(cents: i64) -> Value {
    serde_json::from_str(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap_or(Value::Null)
}

fn cents(money: &Value) -> i64 {
    money.to_string().replace('.', "").parse().unwrap_or(0)
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
