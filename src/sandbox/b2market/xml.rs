//! Orders as the XML some tenants are sent instead of JSON. The documented samples disagree on how lists are written
//! (B2Market contract §3); both ways are here.

use super::Lists;
use serde_json::Value;
use std::fmt::Write as _;

/// The page as a document.
pub(super) fn document(rows: &[Value], pagination: &Value, lists: Lists, charset: &str) -> String {
    let mut out = format!("<?xml version=\"1.0\" encoding=\"{charset}\"?>\n<export>");
    // The rows are wrapped in either way.
    element(&mut out, "data", &Value::from(rows), Lists::Wrapped, lists);
    element(&mut out, "pagination", pagination, lists, lists);
    out.push_str("</export>\n");
    out
}

/// An element; `own` is how it is written should it be a list, `lists` how those below it are.
fn element(out: &mut String, name: &str, value: &Value, own: Lists, lists: Lists) {
    // Writing to a string can't fail.
    let _ = match value {
        Value::Null => write!(out, "<{name}/>"),
        Value::Array(entries) if entries.is_empty() => write!(out, "<{name}/>"),
        Value::Array(entries) if own == Lists::Bare => {
            entries.iter().for_each(|entry| element(out, name, entry, lists, lists));
            Ok(())
        }
        Value::Array(entries) => {
            let _ = write!(out, "<{name}>");
            entries.iter().for_each(|entry| element(out, "item", entry, lists, lists));
            write!(out, "</{name}>")
        }
        Value::Object(fields) => {
            let _ = write!(out, "<{name}>");
            fields.iter().for_each(|(field, value)| element(out, field, value, lists, lists));
            write!(out, "</{name}>")
        }
        Value::String(text) => write!(out, "<{name}>{}</{name}>", escaped(text)),
        Value::Bool(_) | Value::Number(_) => write!(out, "<{name}>{value}</{name}>"),
    };
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
