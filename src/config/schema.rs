//! The JSON Schema of the configuration, with which an editor completes keys, shows what they mean and underlines what
//! isn't one. It is written by hand in `schema.json`, and the tests hold it to what the readers of this module accept:
//! the same keys in the same tables, the same words, numbers and kinds of values, the same defaults.
//!
//! Promises: it never refuses a file that can be read. It can't know what other files say, and so leaves to `check` what
//! is missing, what doesn't go together, and whether what a key names is there.

use serde_json::{Map, Value};

/// The schema as it is written: a `$ref` may stand beside a description of its own.
pub(super) const SOURCE: &str = include_str!("schema.json");

/// The schema as JSON text. Editors drop what stands beside a `$ref`, and show no default: so the one is put in place,
/// and the other said in the description.
pub fn schema() -> Result<String, serde_json::Error> {
    let source = serde_json::from_str(SOURCE)?;
    serde_json::to_string_pretty(&resolved(&source, &source)).map(|text| text + "\n")
}

/// A part of the schema without references that something stands beside. Those that stand alone stay: fields of a map
/// are maps again, without end.
fn resolved(part: &Value, whole: &Value) -> Value {
    let keys = match part {
        Value::Object(keys) => keys,
        Value::Array(list) => return list.iter().map(|part| resolved(part, whole)).collect(),
        _ => return part.clone(),
    };
    let mut keys = keys.clone();
    while keys.len() > 1
        && let Some(definition) = definition(&keys, whole)
    {
        keys.shift_remove("$ref");
        definition.iter().for_each(|(key, value)| {
            keys.entry(key).or_insert_with(|| value.clone());
        });
    }
    if let (Some(Value::String(description)), Some(default)) = (keys.get("description"), keys.get("default"))
    {
        let description = format!("{description} Default: `{default}`.");
        keys.insert("description".to_owned(), description.into());
    }
    keys.into_iter().map(|(key, part)| (key, resolved(&part, whole))).collect()
}

/// What a reference refers to.
fn definition<'a>(keys: &Map<String, Value>, whole: &'a Value) -> Option<&'a Map<String, Value>> {
    whole.pointer(keys.get("$ref")?.as_str()?.strip_prefix('#')?)?.as_object()
}
