//! Field maps: how a row of one side becomes a record of the other. Numbers stay the text they were written in, so
//! that money never passes through a float.

use crate::words::{FieldPath, Template};
use serde_json::{Map, Number, Value};

/// How a row becomes a record: one rule per field, in the order written.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldMap(pub Vec<(String, MapRule)>);

/// How one field is made.
#[derive(Debug, Clone, PartialEq)]
pub enum MapRule {
    /// A text with placeholders that name fields of the row; a sole placeholder keeps the value's type.
    Template(Template),
    /// A field of the row, as a type.
    Field {
        /// Which field.
        field: FieldPath,
        /// What the other side expects.
        value_type: ValueType,
    },
    /// The same value in every record.
    Constant(Value),
    /// The whole row as JSON text.
    Record,
}

/// What the other side expects a value to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text; a number becomes its digits.
    Text,
    /// A decimal number, digit for digit as it was.
    Decimal,
    /// A whole number.
    Integer,
    /// true or false; 0 and 1, `t` and `f`, `true` and `false` are understood.
    Bool,
}

/// Why a row can't become a record. It makes a reject of that row, and of that row only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A placeholder or field rule names what the row doesn't have.
    #[error("field `{target}`: the row has no `{source_field}`")]
    Missing {
        /// The field being made.
        target: String,
        /// What it was to be made of.
        source_field: String,
    },
    /// The value does not fit the type.
    #[error("field `{target}`: {value} is not {expected}")]
    Type {
        /// The field being made.
        target: String,
        /// The value, shortened.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl FieldMap {
    /// Makes the record of a row.
    pub fn apply(&self, row: &Map<String, Value>) -> Result<Map<String, Value>, MapError> {
        let mut record = Map::new();
        for (target, rule) in &self.0 {
            record.insert(target.clone(), rule.apply(target, row)?);
        }
        Ok(record)
    }
}

impl MapRule {
    fn apply(&self, target: &str, row: &Map<String, Value>) -> Result<Value, MapError> {
        let missing =
            |source: &str| MapError::Missing { target: target.to_owned(), source_field: source.to_owned() };
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Record => Ok(Value::String(Value::Object(row.clone()).to_string())),
            Self::Template(template) => match template.sole_placeholder() {
                Some(name) => find(row, name).cloned().ok_or_else(|| missing(name)),
                None => {
                    template.fill(|name| find(row, name).map(plain_text)).map(Value::String).map_err(missing)
                }
            },
            Self::Field { field, value_type } => {
                let value = find(row, &field.to_string()).ok_or_else(|| missing(&field.to_string()))?;
                value_type.convert(value).ok_or_else(|| MapError::Type {
                    target: target.to_owned(),
                    value: plain_text(value).chars().take(60).collect(),
                    expected: value_type.expected(),
                })
            }
        }
    }
}

impl ValueType {
    fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Decimal => "a decimal number",
            Self::Integer => "a whole number",
            Self::Bool => "true or false",
        }
    }

    /// The value as this type, or nothing where it does not fit. Null stays null.
    fn convert(self, value: &Value) -> Option<Value> {
        let scalar = match value {
            Value::Null => return Some(Value::Null),
            Value::Array(_) | Value::Object(_) => return None,
            scalar => plain_text(scalar),
        };
        let text = scalar.trim();
        match self {
            Self::Text => Some(Value::String(scalar)),
            Self::Decimal => decimal(text).map(Value::Number),
            Self::Integer => {
                let whole = text
                    .split_once('.')
                    .map_or(text, |(whole, rest)| if rest.bytes().all(|b| b == b'0') { whole } else { "" });
                let digits = whole.strip_prefix('-').unwrap_or(whole);
                let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                is_whole.then(|| decimal(whole).map(Value::Number)).flatten()
            }
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "1" | "t" | "true" => Some(Value::Bool(true)),
                "0" | "f" | "false" => Some(Value::Bool(false)),
                _ => None,
            },
        }
    }
}

/// A decimal text as a JSON number with the same digits; leading zeros and a plus sign go, as JSON has neither.
fn decimal(text: &str) -> Option<Number> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let dot = if fraction.is_empty() { "" } else { "." };
    serde_json::from_str(&format!("{sign}{whole}{dot}{fraction}")).ok()
}

/// A field of the row by its name, or by its path where no field has that very name.
pub(crate) fn find<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    row.get(name).or_else(|| {
        let mut steps = name.split('.');
        let first = row.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    })
}

/// A value inside a text: strings without quotes, everything else as JSON writes it.
#[must_use]
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Map<String, Value> {
        let row = r#"{"sku":"A-17","quantity":"0012345678901234567890.10","stock":{"free":3},"flag":"t"}"#;
        serde_json::from_str(row).unwrap()
    }

    fn field(name: &str, value_type: ValueType) -> MapRule {
        MapRule::Field { field: FieldPath::new(name).unwrap(), value_type }
    }

    #[test]
    fn a_decimal_keeps_every_digit() {
        let map = FieldMap(vec![("quantity".to_owned(), field("quantity", ValueType::Decimal))]);
        let record = map.apply(&row()).unwrap();
        assert_eq!(Value::Object(record).to_string(), r#"{"quantity":12345678901234567890.10}"#);
    }

    #[test]
    fn a_sole_placeholder_keeps_the_type_and_a_text_takes_the_digits() {
        let template = |text| MapRule::Template(Template::new(text).unwrap());
        let map = FieldMap(vec![
            ("free".to_owned(), template("{stock.free}")),
            ("label".to_owned(), template("{sku}: {stock.free}")),
            ("on".to_owned(), field("flag", ValueType::Bool)),
        ]);
        assert_eq!(
            Value::Object(map.apply(&row()).unwrap()),
            json!({"free": 3, "label": "A-17: 3", "on": true})
        );
    }

    #[test]
    fn what_does_not_fit_names_the_field() {
        let map = FieldMap(vec![("id".to_owned(), field("sku", ValueType::Integer))]);
        assert_eq!(map.apply(&row()).unwrap_err().to_string(), "field `id`: A-17 is not a whole number");
        let map = FieldMap(vec![("id".to_owned(), field("nope", ValueType::Text))]);
        assert_eq!(map.apply(&row()).unwrap_err().to_string(), "field `id`: the row has no `nope`");
    }
}
