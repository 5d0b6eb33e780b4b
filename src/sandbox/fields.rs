//! The fields a platform's contract gives an object, written as tables, and the check of a document against them.
//!
//! A field that is missing or mistyped refuses the request. One that the contract doesn't know is noted as a broken rule and
//! let pass: platforms ignore what they don't know, and a misspelt field is lost in silence.

use super::exchange::{Incoming, Refusal};
use chrono::{DateTime, NaiveDate};
use serde_json::Value;

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    holds: Holds,
    required: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holds {
    /// Text, perhaps empty.
    Text,
    /// Text that isn't empty.
    Id,
    /// A number, not a text with digits.
    Number,
    /// A number from 0.
    NotNegative,
    /// A number, or a text with nothing but one in it.
    Amount,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Bool,
    /// `yyyy-MM-dd`.
    Date,
    /// `2000-01-30T20:50:30Z`.
    Instant,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static [Field]),
    /// A list of objects with these fields.
    List(&'static [Field]),
    /// A list of texts that aren't empty.
    Ids,
    /// Anything.
    Any,
}

/// A field that must be there.
pub(super) const fn must(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, required: true }
}

/// A field that may be there, or be null.
pub(super) const fn may(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, required: false }
}

/// Checks an object called `at` in messages.
pub(super) fn check(request: &Incoming, at: &str, object: &Value, fields: &[Field]) -> Result<(), Refusal> {
    let given = object.as_object().ok_or_else(|| Refusal::bad("field-type", format!("{at} is no object")))?;
    for name in given.keys().filter(|name| !fields.iter().any(|field| field.name == *name)) {
        request.note("field-unknown", format!("{at}.{name}"));
    }
    for field in fields {
        let at = format!("{at}.{}", field.name);
        match given.get(field.name) {
            None | Some(Value::Null) if field.required => {
                return Err(Refusal::bad("field-missing", format!("{at} is missing or {}", no(field.holds))));
            }
            None | Some(Value::Null) => {}
            Some(value) => check_value(request, &at, value, field.holds)?,
        }
    }
    Ok(())
}

/// Checks each object of a list called `at` in messages; the list.
pub(super) fn check_list<'a>(
    request: &Incoming,
    at: &str,
    list: &'a Value,
    fields: &[Field],
) -> Result<&'a [Value], Refusal> {
    let entries =
        list.as_array().ok_or_else(|| Refusal::bad("field-type", format!("{at} is missing or no list")))?;
    for (place, entry) in entries.iter().enumerate() {
        check(request, &format!("{at}[{place}]"), entry, fields)?;
    }
    Ok(entries)
}

fn check_value(request: &Incoming, at: &str, value: &Value, holds: Holds) -> Result<(), Refusal> {
    let text = || value.as_str();
    let fits = match holds {
        Holds::Text => value.is_string(),
        Holds::Id => text().is_some_and(|text| !text.is_empty()),
        Holds::Number => value.is_number(),
        Holds::NotNegative => match decimal(value) {
            Some(number) if number < 0 => {
                return Err(Refusal::bad("field-below-zero", format!("{at} is below zero")));
            }
            number => number.is_some(),
        },
        Holds::Amount => amount(value).is_some(),
        Holds::Integer => value.as_i64().is_some(),
        Holds::Bool => value.is_boolean(),
        Holds::Date => text().is_some_and(is_date),
        Holds::Instant => text().is_some_and(is_instant),
        Holds::OneOf(values) => text().is_some_and(|text| values.contains(&text)),
        Holds::Object(fields) => return check(request, at, value, fields),
        Holds::List(fields) => return check_list(request, at, value, fields).map(drop),
        Holds::Ids => value
            .as_array()
            .is_some_and(|ids| ids.iter().all(|id| id.as_str().is_some_and(|id| !id.is_empty()))),
        Holds::Any => true,
    };
    if fits { Ok(()) } else { Err(Refusal::bad("field-type", format!("{at} is {}", no(holds)))) }
}

/// What a value that doesn't fit is.
fn no(holds: Holds) -> String {
    match holds {
        Holds::Text => "no string".to_owned(),
        Holds::Id => "no string with something in it".to_owned(),
        Holds::Number | Holds::NotNegative | Holds::Amount => "no number".to_owned(),
        Holds::Integer => "no whole number".to_owned(),
        Holds::Bool => "neither true nor false".to_owned(),
        Holds::Date => "no date such as 2026-03-02".to_owned(),
        Holds::Instant => "no instant such as 2026-03-02T08:10:00Z".to_owned(),
        Holds::OneOf(values) => format!("none of {}", values.join(", ")),
        Holds::Object(_) => "no object".to_owned(),
        Holds::List(_) => "no list".to_owned(),
        Holds::Ids => "no list of ids".to_owned(),
        Holds::Any => "null".to_owned(),
    }
}

fn is_date(text: &str) -> bool {
    // chrono also takes single digits.
    NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok_and(|date| date.to_string() == text)
}

fn is_instant(text: &str) -> bool {
    text.ends_with('Z') && DateTime::parse_from_rfc3339(text).is_ok()
}

/// A number in millionths; none, if it is none, has more decimals than six or is too large.
pub(super) fn decimal(value: &Value) -> Option<i128> {
    millionths(&value.as_number()?.to_string())
}

/// The same, of a number or a text.
pub(super) fn amount(value: &Value) -> Option<i128> {
    value.as_str().map_or_else(|| decimal(value), millionths)
}

fn millionths(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(decimals.bytes()).all(|c| c.is_ascii_digit());
    if !all_digits || whole.is_empty() || decimals.len() > 6 || whole.len() > 24 {
        return None;
    }
    let millionths: i128 = format!("{whole}{decimals:0<6}").parse().ok()?;
    Some(if negative { -millionths } else { millionths })
}

/// Refuses amounts in which net and tax aren't gross, a cent more or less, wherever all three are there.
pub(super) fn check_sum(at: &str, net: &Value, tax: &Value, gross: &Value) -> Result<(), Refusal> {
    const CENT: i128 = 10_000;
    let (Some(net), Some(tax), Some(gross)) = (decimal(net), decimal(tax), decimal(gross)) else {
        return Ok(());
    };
    if (net + tax - gross).abs() > CENT {
        return Err(Refusal::bad("net-tax-gross", format!("{at}: net and tax are not gross")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_digit_for_digit() {
        let read = |text: &str| decimal(&serde_json::from_str(text).unwrap());
        assert_eq!(read("0.10"), Some(100_000));
        assert_eq!(read("-12"), Some(-12_000_000));
        assert_eq!(read("1e3"), None);
        assert_eq!(read("\"1\""), None);
        assert_eq!(amount(&Value::from("14.50")), Some(14_500_000));
        assert_eq!(amount(&Value::from("+1")), None);
        assert_eq!(amount(&Value::from("")), None);
    }
}
