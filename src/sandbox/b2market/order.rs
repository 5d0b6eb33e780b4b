//! The text of one order: every field of the contract's §4, sums that add up, money as JSON numbers with exactly two
//! decimals, made from the seed, the order's id and its revision.
//!
//! The text is written straight from whole cents; a number that passed through a float would prove nothing about
//! the other end.

use super::orders::{Row, dice_for};
use chrono::TimeDelta;
use rand::Rng;
use std::fmt::Write;

pub(super) const STATUSES: [&str; 5] = ["Pending", "Confirmed", "In preparation", "Shipped", "Invoiced"];
const COMPANIES: [&str; 4] =
    ["Calzados Ibáñez S.L.", "Textil \"La Peña\" S.A.", "Moda Übersee GmbH", "Ferretería O'Neill"];
const STREETS: [&str; 4] = [
    "C/ Mayor 14, 28013 Madrid",
    "Av. Diagonal 401, 08008 Barcelona",
    "Rúa Nova 3, 15705 Santiago",
    "ul. Prosta 1, 00-001 Warszawa",
];
const REMARKS: [&str; 4] =
    ["", "Entregar por la mañana", "Llamar antes: \"puerta 3\"", "Primera línea\nsegunda línea"];

/// The status of an order; each revision has the next.
pub(super) fn status(seed: u64, row: &Row) -> &'static str {
    next_status(&mut dice_for(seed, row.id), row)
}

/// The first throw of an order's dice is its first status.
fn next_status(dice: &mut impl Rng, row: &Row) -> &'static str {
    let first = dice.random_range(0..STATUSES.len());
    pick(&STATUSES, first + usize::try_from(row.revision).unwrap_or(0))
}

/// An amount of money in cents, written with two decimals.
struct Cents(i64);

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

struct Detail {
    product: u32,
    quantity: i64,
    price: i64,
}

/// The order as JSON.
pub(super) fn text(seed: u64, row: &Row) -> String {
    let mut text = String::with_capacity(1400);
    // Writing to a string can't fail.
    let _ = write(&mut text, seed, row);
    text
}

/// Field after field, in the contract's sequence.
fn write(out: &mut String, seed: u64, row: &Row) -> std::fmt::Result {
    let mut dice = dice_for(seed, row.id);
    let id = row.id;
    let status = next_status(&mut dice, row);
    let company = dice.random_range(0..COMPANIES.len());
    let details: Vec<Detail> = (0..dice.random_range(1..=2))
        .map(|_| Detail {
            product: dice.random_range(1000..1100),
            quantity: dice.random_range(1..=24),
            price: dice.random_range(95..9_999),
        })
        .collect();
    let quantity: i64 = details.iter().map(|detail| detail.quantity).sum();
    let served = quantity * i64::from(row.revision.min(4)) / 4;
    let gross: i64 = details.iter().map(|detail| detail.quantity * detail.price).sum();
    let percent: i64 = *[0, 5, 10].get(dice.random_range(0..3)).unwrap_or(&0);
    let off = gross * percent / 100;
    let base = gross - off;
    let shipping: i64 = if gross > 20_000 { 0 } else { 1250 };
    let tax = (base + shipping) * 21 / 100;
    let surcharge = if dice.random_bool(0.2) { base * 52 / 1000 } else { 0 };
    let total = base + shipping + tax + surcharge;
    // Those of the company: see the sample masters.
    let client = dice.random_range(25..100) * 4 + company;
    let agent = dice.random_range(17..20) * 4 + company;
    let created = row.created.format("%Y-%m-%d %H:%M:%S");
    let updated = row.updated.format("%Y-%m-%d %H:%M:%S");
    let delivery = (row.created + TimeDelta::days(14)).format("%Y-%m-%d 00:00:00");
    let remote = if id.is_multiple_of(3) { format!("\"SO-{id}\"") } else { "null".to_owned() };

    write!(
        out,
        r#"{{"id":"{id}","idRemote":{remote},"reference":"WEB-{id:07}","numOrder":"{}/{id}","#,
        row.created.format("%y")
    )?;
    write!(
        out,
        r#""company":{{"id":"{}","idRemote":"C{}","companyName":{}}},"client":{{"id":"{client}","idRemote":"K-{client}","contactName":{}}},"agent":"{agent}","#,
        company + 1,
        company + 1,
        quoted(pick(&COMPANIES, company)),
        quoted(pick(&COMPANIES, company + 1)),
    )?;
    write!(out, r#""status":"{status}","season":"#)?;
    if id.is_multiple_of(4) {
        out.push_str("null");
    } else {
        write!(out, r#"{{"id":"5","idRemote":"S5","description":"Otoño-Invierno"}}"#)?;
    }
    write!(
        out,
        r#","shippingAddress":{},"billingAddress":{},"discount":["#,
        quoted(pick(&STREETS, company + id.count_ones() as usize)),
        quoted(pick(&STREETS, company)),
    )?;
    if percent > 0 {
        write!(
            out,
            r#"{{"id":"{id}1","idRemote":null,"discountType":{{"id":"2","name":"Comercial","code":"COM","description":"Descuento comercial"}},"sequence":1,"discount":{}.00,"amountDiscount":{},"isLine":false}}"#,
            percent,
            Cents(off),
        )?;
    }
    write!(
        out,
        r#"],"lines":[{{"id":"{id}01","idRemote":null,"lineStatus":"{}","discount":[],"observations":"","deliveryDate":"{delivery}","cancellationDate":null,"lineAmount":{},"quantity":{quantity},"quantityServed":{served},"quantityFromStock":{quantity},"lineDetail":["#,
        if served == quantity { "Served" } else { "Open" },
        Cents(gross),
    )?;
    for (place, detail) in details.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(
            out,
            r#"{comma}{{"id":"{id}01{place}","idRemote":null,"product":"{}","quantity":{},"price":{},"retailPrice":{}}}"#,
            detail.product,
            detail.quantity,
            Cents(detail.price),
            Cents(detail.price * 2),
        )?;
    }
    write!(
        out,
        r#"]}}],"dateOrder":"{created}","dateModified":"{updated}","dateDelivery":"{delivery}","observation":{},"#,
        quoted(pick(&REMARKS, usize::try_from(id % 7).unwrap_or(0))),
    )?;
    write!(
        out,
        r#""grossAmount":{},"baseAmount":{},"shippingAmount":{},"taxAmount":{},"taxrecAmount":{},"totalAmount":{},"#,
        Cents(gross),
        Cents(base),
        Cents(shipping),
        Cents(tax),
        Cents(surcharge),
        Cents(total),
    )?;
    write!(
        out,
        r#""totalQuantity":{quantity},"quantityServed":{served},"quantityPending":{},"shipper":"SEUR","origin":"web","isSale":true,"active":{},"#,
        quantity - served,
        row.active,
    )?;
    write!(
        out,
        r#""createdBy":{{"id":"7","idRemote":null,"username":"tienda"}},"updatedBy":{{"id":"9","idRemote":null,"username":"oficina"}},"createdAt":"{created}","updatedAt":"{updated}"}}"#,
    )
}

fn pick<'a>(from: &[&'a str], at: usize) -> &'a str {
    from.get(at % from.len().max(1)).copied().unwrap_or_default()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
