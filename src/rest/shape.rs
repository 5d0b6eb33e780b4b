//! The body of a push as a shape made once: fixed bytes, with places for the records and the gone ones. A request's
//! body is written straight from the records' own JSON text; nothing is parsed but the one field of a gone record.

use super::rows::fields_of;
use crate::transfer::Record;
use crate::words::FieldPath;
use bytes::Bytes;
use serde_json::Value;

/// A push's body, ready to be filled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Fixed(Vec<u8>),
    Records,
    Record,
    Gone(FieldPath),
}

impl Shape {
    /// Reads a template: `"$records"` stands for the array of records, `"$record"` for the one record of a batch of
    /// one, `"$gone.field"` for the array of that field of the gone ones.
    pub(super) fn of(template: &Value) -> Self {
        let mut shape = Self(Vec::new());
        shape.add(template);
        shape
    }

    /// The field of a gone record that the body needs and the record doesn't have.
    pub(super) fn lacking(&self, gone: &Record) -> Option<&FieldPath> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Gone(field) => field_of(gone, field).is_none().then_some(field),
            _ => None,
        })
    }

    /// The body for these records and these gone ones; nothing for a template that is `null`.
    pub(super) fn fill<'r>(
        &self,
        records: impl Iterator<Item = &'r Record> + Clone,
        gone: &[&Record],
    ) -> Option<Bytes> {
        if matches!(self.0.as_slice(), [Piece::Fixed(fixed)] if fixed == b"null") {
            return None;
        }
        let mut body = Vec::with_capacity(records.clone().map(|record| record.content.get().len() + 1).sum());
        for piece in &self.0 {
            match piece {
                Piece::Fixed(fixed) => body.extend_from_slice(fixed),
                Piece::Records => array(&mut body, records.clone().map(|record| record.content.get())),
                Piece::Record => {
                    let one = records.clone().next().map_or("null", |record| record.content.get());
                    body.extend_from_slice(one.as_bytes());
                }
                Piece::Gone(field) => {
                    let fields = gone.iter().filter_map(|record| field_of(record, field));
                    array(&mut body, fields.map(|value| value.to_string()));
                }
            }
        }
        Some(body.into())
    }

    fn add(&mut self, template: &Value) {
        match template {
            Value::String(text) if text == "$records" => self.0.push(Piece::Records),
            Value::String(text) if text == "$record" => self.0.push(Piece::Record),
            Value::String(text) => {
                match text.strip_prefix("$gone.").and_then(|field| FieldPath::new(field).ok()) {
                    Some(field) if !field.steps().is_empty() => self.0.push(Piece::Gone(field)),
                    _ => self.fixed(&template.to_string()),
                }
            }
            Value::Array(items) => {
                self.fixed("[");
                for (i, item) in items.iter().enumerate() {
                    self.fixed(if i == 0 { "" } else { "," });
                    self.add(item);
                }
                self.fixed("]");
            }
            Value::Object(fields) => {
                self.fixed("{");
                for (i, (name, value)) in fields.iter().enumerate() {
                    let name = Value::from(name.as_str());
                    self.fixed(&format!("{}{name}:", if i == 0 { "" } else { "," }));
                    self.add(value);
                }
                self.fixed("}");
            }
            scalar => self.fixed(&scalar.to_string()),
        }
    }

    fn fixed(&mut self, json: &str) {
        match self.0.last_mut() {
            Some(Piece::Fixed(fixed)) => fixed.extend_from_slice(json.as_bytes()),
            _ => self.0.push(Piece::Fixed(json.as_bytes().to_vec())),
        }
    }
}

fn field_of(record: &Record, field: &FieldPath) -> Option<Value> {
    fields_of(&record.content, std::slice::from_ref(field)).pop().flatten()
}

fn array(body: &mut Vec<u8>, items: impl Iterator<Item = impl AsRef<str>>) {
    body.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item.as_ref().as_bytes());
    }
    body.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::record;
    use serde_json::json;

    fn filled(template: Value, records: &[&str], gone: &[&str]) -> Option<String> {
        let made =
            |contents: &[&str]| contents.iter().map(|content| record("k", content, &[])).collect::<Vec<_>>();
        let gone = made(gone);
        let records = made(records);
        let body = Shape::of(&template).fill(records.iter(), &gone.iter().collect::<Vec<_>>());
        body.map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn records_are_written_byte_for_byte_where_the_template_says() {
        let rows = [r#"{"price":10.10000000000000000001}"#, r#"{ "b" : 1e5 }"#];
        assert_eq!(
            filled(json!({"a\"": [1, "$records", null], "s": "x$records"}), &rows, &[]).as_deref(),
            Some(r#"{"a\"":[1,[{"price":10.10000000000000000001},{ "b" : 1e5 }],null],"s":"x$records"}"#)
        );
        assert_eq!(filled(json!("$records"), &rows[1..], &[]).as_deref(), Some(r#"[{ "b" : 1e5 }]"#));
        assert_eq!(filled(json!("$records"), &[], &[]).as_deref(), Some("[]"));
        assert_eq!(
            filled(json!({"stock": "$record"}), &rows[..1], &[]).as_deref(),
            Some(&*format!(r#"{{"stock":{}}}"#, rows[0]))
        );
        assert_eq!(filled(json!(null), &rows, &[]), None);
    }

    #[test]
    fn gone_ones_are_told_by_the_field_the_template_names() {
        let template = json!({"stocks": "$records", "stocksToRemove": "$gone.sku"});
        let body = filled(template.clone(), &[], &[r#"{"sku":"A\"1"}"#, r#"{"sku":7.10}"#]);
        assert_eq!(body.as_deref(), Some(r#"{"stocks":[],"stocksToRemove":["A\"1",7.10]}"#));
        let shape = Shape::of(&template);
        assert_eq!(Shape::of(&json!(["$gone.", "$gone"])).lacking(&record("k", "{}", &[])), None);
        assert_eq!(shape.lacking(&record("k", r#"{"sku":"A"}"#, &[])), None);
        assert_eq!(
            shape.lacking(&record("k", r#"{"id":"A"}"#, &[])).map(ToString::to_string).as_deref(),
            Some("sku")
        );
    }
}
