//! The fields of a record, one after the other, their values left as the text they are: for those who need a few of
//! them, or need them only to pass them on.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Gives each field of a JSON object with its value, in order; a name that stands there twice comes twice.
///
/// # Errors
/// The text is no JSON object. What came before the mistake has been given.
pub fn each_field<'t>(
    text: &'t str,
    give: impl FnMut(Cow<'t, str>, &'t RawValue),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Fields(give))?;
    json.end()
}

struct Fields<F>(F);

/// A text that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_with_their_values_as_written() {
        let mut given = Vec::new();
        let text = r#" {"a": {"b" :1.50}, "\u0062":"x\n", "a":[ ]} "#;
        each_field(text, |name, value| given.push(format!("{name}={}", value.get()))).unwrap();
        assert_eq!(given, [r#"a={"b" :1.50}"#, r#"b="x\n""#, "a=[ ]"]);
        for no_object in ["[]", "1", "", "{", "{\"a\":1}x"] {
            assert!(each_field(no_object, |_, _| {}).is_err(), "{no_object}");
        }
    }
}
