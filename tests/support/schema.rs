//! Judges files by the configuration's schema as an editor would. It knows the keywords the schema uses and stops at any
//! other, so that none goes unheeded.

use regex_automata::dfa::regex::Regex;
use regex_automata::util::syntax;
use serde_json::{Map, Number, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

pub(crate) struct Judge {
    pub(crate) schema: Value,
    patterns: RefCell<BTreeMap<String, Regex>>,
}

impl Judge {
    pub(crate) fn new(schema: &str) -> Self {
        Self { schema: serde_json::from_str(schema).unwrap(), patterns: RefCell::default() }
    }

    /// What an editor would underline in a file: where it is, and by which keyword.
    pub(crate) fn refusals(&self, file: &toml::Table) -> Vec<String> {
        self.judged(&self.schema, &json(&toml::Value::Table(file.clone())))
    }

    /// The same of a value and a part of the schema.
    pub(crate) fn judged(&self, part: &Value, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.judge(part, value, "", &mut found);
        found
    }

    fn judge(&self, part: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let keys = part.as_object().unwrap();
        for (keyword, rule) in keys {
            if !self.fits(keys, keyword, rule, value, at, found) {
                found.push(format!("{at}: {keyword}"));
            }
        }
    }

    /// Whether a value keeps a rule; what is wrong below it is found as it goes.
    fn fits(
        &self,
        keys: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) -> bool {
        let (object, array) = (value.as_object(), value.as_array());
        let count = |count: Option<usize>| count.map(|count| count as f64);
        let least = |number: Option<f64>| number.is_none_or(|number| number >= rule.as_f64().unwrap());
        let most = |number: Option<f64>| number.is_none_or(|number| number <= rule.as_f64().unwrap());
        match keyword {
            "$schema" | "$id" | "$comment" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                self.judge(self.referred(rule.as_str().unwrap()), value, at, found);
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
                kind => is_of(value, kind),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => value.as_str().is_none_or(|text| self.matches(rule.as_str().unwrap(), text)),
            "minLength" => least(count(value.as_str().map(|text| text.chars().count()))),
            "minimum" => least(value.as_f64()),
            "maximum" => most(value.as_f64()),
            "minItems" => least(count(array.map(Vec::len))),
            "minProperties" => least(count(object.map(Map::len))),
            "maxProperties" => most(count(object.map(Map::len))),
            "items" => {
                for (index, value) in array.into_iter().flatten().enumerate() {
                    self.judge(rule, value, &format!("{at}[{index}]"), found);
                }
                true
            }
            "properties" => {
                for (key, value) in object.into_iter().flatten() {
                    rule.get(key).iter().for_each(|rule| self.judge(rule, value, &join(at, key), found));
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &str| keys.get("properties").is_some_and(|known| known.get(key).is_some());
                for (key, value) in object.into_iter().flatten().filter(|(key, _)| !known(key)) {
                    if rule == false {
                        found.push(format!("{}: unknown key", join(at, key)));
                    } else {
                        self.judge(rule, value, &join(at, key), found);
                    }
                }
                true
            }
            "propertyNames" => object
                .into_iter()
                .flatten()
                .all(|(key, _)| self.judged(rule, &key.as_str().into()).is_empty()),
            "anyOf" => rule.as_array().unwrap().iter().any(|part| self.judged(part, value).is_empty()),
            "not" => !self.judged(rule, value).is_empty(),
            other => panic!("nobody judges by `{other}`"),
        }
    }

    /// What a `$ref` names.
    pub(crate) fn referred(&self, reference: &str) -> &Value {
        let found = reference.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer));
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        let regex = patterns.entry(pattern.to_owned()).or_insert_with(|| {
            let bytes = syntax::Config::new().unicode(false).utf8(false);
            Regex::builder().syntax(bytes).build(pattern).unwrap()
        });
        regex.is_match(text)
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64(),
        other => panic!("there is no type `{other}`"),
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

/// A file as editors give it to a schema: dates are texts.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.iter().map(json).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}
