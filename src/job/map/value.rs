//! The types a map makes: each either keeps all of a value or refuses it.

use super::decimal::{Decimal, Rounding};
use super::moment::MomentRule;
use super::{Reason, plain_text, shortened, truth};
use serde_json::Value;

/// What the other side expects a value to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueType {
    /// Text; a number becomes its digits.
    Text,
    /// A decimal number, digit for digit as it was.
    Decimal,
    /// A decimal number of so many places.
    Places {
        /// Digits after the point.
        places: usize,
        /// What becomes of more digits than that; without it, they are refused unless they are zeros.
        rounding: Option<Rounding>,
    },
    /// A whole number.
    Integer,
    /// true or false; 0 and 1, `t` and `f`, `true` and `false` are understood.
    Bool,
    /// A day.
    Date(MomentRule),
    /// A point in time.
    Timestamp(MomentRule),
}

impl ValueType {
    /// The value as this type.
    pub(super) fn convert(&self, value: &Value) -> Result<Value, Reason> {
        let unfit = |expected: &str| Reason::Type { value: shortened(value), expected: expected.to_owned() };
        if matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(unfit("a single value"));
        }
        let scalar = plain_text(value);
        let text = scalar.trim();
        let number = || Decimal::parse(text);
        match self {
            Self::Text => Ok(Value::String(scalar)),
            Self::Decimal => {
                number().and_then(|number| json(&number)).ok_or_else(|| unfit("a decimal number"))
            }
            Self::Places { places, rounding } => {
                let number = number().ok_or_else(|| unfit("a decimal number"))?;
                let rounded = number.with_places(*places, *rounding);
                rounded.and_then(|rounded| json(&rounded)).ok_or_else(|| {
                    unfit(&format!(
                        "a number of {places} decimals at most, and `round` does not say how to make it one"
                    ))
                })
            }
            Self::Integer => {
                let whole = number().filter(Decimal::is_whole).and_then(|number| number.with_places(0, None));
                whole.and_then(|whole| json(&whole)).ok_or_else(|| unfit("a whole number"))
            }
            Self::Bool => truth(value).map(Value::Bool).ok_or_else(|| unfit("true or false")),
            Self::Date(rule) => rule.date(text).map_err(|reason| described(value, &reason)),
            Self::Timestamp(rule) => rule.timestamp(text).map_err(|reason| described(value, &reason)),
        }
    }
}

/// The digits as a JSON number.
fn json(number: &Decimal) -> Option<Value> {
    serde_json::from_str(&number.to_string()).ok().map(Value::Number)
}

fn described(value: &Value, reason: &str) -> Reason {
    // "x is not a date", but "x is a time without a zone".
    match reason.strip_prefix("not ") {
        Some(expected) => Reason::Type { value: shortened(value), expected: expected.to_owned() },
        None => Reason::Moment { value: shortened(value), what: reason.to_owned() },
    }
}
