//! The platform: orders by pages, made of one text with a few bytes exchanged, so that serving costs next to nothing.

use crate::sides::Result;
use cadenced::clock::{Clock as _, SystemClock};
use chrono::{DateTime, TimeDelta, Utc};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// When the first order was last changed; each one after it a second later.
const FIRST_CHANGE: &str = "2025-01-01T00:00:00Z";

/// An order but for its id and its time of change.
const REST: &str = r##""reference":"WEB-2025-EU","client":{"id":"c-20981","name":"Muebles Ebro y Compañía S.L.","vat":"ESB50123456","email":"compras@muebles-ebro.example.com"},"status":"confirmed","season":"2025-2","shippingAddress":{"street":"Polígono Malpica, calle F 34","city":"Zaragoza","zip":"50016","country":"ES"},"billingAddress":{"street":"Paseo de la Independencia 21, 4º","city":"Zaragoza","zip":"50001","country":"ES"},"lines":[{"sku":"A-00017","name":"Oak table 180x90, oiled","quantity":"2.000","price":"389.9000","discount":"5.00"},{"sku":"A-00231","name":"Chair, beech, upholstered, anthracite","quantity":"8.000","price":"79.9500","discount":"0.00"},{"sku":"A-01042","name":"Felt pads, self-adhesive, 40 mm","quantity":"40.000","price":"0.3500","discount":"0.00"}],"dateOrder":"2025-01-01 09:12:44","dateDelivery":"2025-01-15","observation":"Deliver before noon; call the porter on arrival.","grossAmount":"1433.4000","taxAmount":"292.8240","totalAmount":"1687.2340","totalQuantity":50,"currency":"EUR","isSale":true,"active":true,"createdBy":"agent-7","createdAt":"2025-01-01 09:12:44"}"##;

/// Answers the requests of one connection.
pub(crate) fn answer_all(mut stream: TcpStream, orders: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    let first = DateTime::parse_from_rfc3339(FIRST_CHANGE)?.to_utc();
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut body = Vec::new();
    loop {
        let mut request = String::new();
        if requests.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while requests.read_line(&mut header)? > 2 {
            header.clear();
        }
        let (page, size) = (parameter(&request, "page")?, parameter(&request, "pageSize")?);
        body.clear();
        write_page(&mut body, first, orders, page, size)?;
        let date = SystemClock.now().format("%a, %d %b %Y %H:%M:%S GMT");
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(&body)?;
    }
}

fn write_page(body: &mut Vec<u8>, first: DateTime<Utc>, orders: u64, page: u64, size: u64) -> Result<()> {
    let pages = orders.div_ceil(size);
    write!(body, r#"{{"pagination":{{"totalPages":{pages},"totalItems":{orders}}},"data":["#)?;
    let begin = page.saturating_sub(1) * size;
    for id in begin..orders.min(begin + size) {
        let changed = first + TimeDelta::seconds(id.cast_signed());
        let comma = if id == begin { "" } else { "," };
        let changed = changed.format("%Y-%m-%d %H:%M:%S");
        write!(body, r#"{comma}{{"id":"b2m-order-{id:012}","updatedAt":"{changed}",{REST}"#)?;
    }
    body.extend_from_slice(b"]}");
    Ok(())
}

fn parameter(request: &str, name: &str) -> Result<u64> {
    let query = request.split([' ', '?', '&']);
    let value = query.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    Ok(value.ok_or_else(|| format!("no {name} in {request}"))?.1.parse()?)
}
