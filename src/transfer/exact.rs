//! JSON values whose numbers stay the text they were sent as. The parser keeps every digit, but writes an exponent its own
//! way: `1e2` and `1E2` would become `1e+2`, another content than the platform's.

use super::each_field;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// The value of a JSON text.
///
/// # Errors
/// It is no JSON.
pub fn json(text: &str) -> serde_json::Result<Value> {
    let value = serde_json::from_str(text)?;
    let has_exponent = |at: &[u8]| {
        at[0].is_ascii_digit() && matches!(at[1], b'e' | b'E') && matches!(at[2], b'0'..=b'9' | b'+' | b'-')
    };
    // Texts may look like it too; that only costs time.
    if text.as_bytes().windows(3).any(has_exponent) { exact(text) } else { Ok(value) }
}

/// The value, parsed before and found neither wrong nor too deep.
fn exact(text: &str) -> serde_json::Result<Value> {
    Ok(match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let mut fields = Vec::new();
            each_field(text, |name, value| fields.push((name.into_owned(), value)))?;
            let fields = fields.into_iter().map(|(name, value)| Ok((name, exact(value.get())?)));
            Value::Object(fields.collect::<serde_json::Result<Map<String, Value>>>()?)
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::Array(
                values.into_iter().map(|value| exact(value.get())).collect::<serde_json::Result<_>>()?,
            )
        }
        Some(b'-' | b'0'..=b'9') => Value::Number(Number::from_string_unchecked(text.trim().to_owned())),
        _ => serde_json::from_str(text)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_as_it_was_sent() {
        for text in [
            "1e2",
            "-1E2",
            "1e+2",
            "0.10",
            "12345678901234567890.10E-007",
            r#"{"b":[1e2,{"x":2E1}],"a":"9e9","big":1e400}"#,
            r#"{"name":"9e9 \u00e9","n":7}"#,
        ] {
            let expected = text.replace("\\u00e9", "é");
            assert_eq!(json(text).unwrap().to_string(), expected);
        }
        assert!(json("1e").is_err());
        assert!(json(&format!("{}1e2{}", "[".repeat(10_000), "]".repeat(10_000))).is_err());
    }
}
