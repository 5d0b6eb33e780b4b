//! The small checked types that configuration is written in: names, field paths, templates, texts that may be
//! secret. Each can't exist wrong: its constructor refuses, the rest of the program trusts.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: use lower-case letters, digits and hyphens, starting with a letter or digit, 64 at most"
)]
pub struct BadName(String);

fn check_name(name: &str) -> Result<(), BadName> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 64 || name.starts_with('-') || !name.bytes().all(fits) {
        return Err(BadName(name.to_owned()));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Refuses anything but `[a-z0-9-]+`, 64 characters at most.
            pub fn new(name: &str) -> Result<Self, BadName> {
                check_name(name)?;
                Ok(Self(name.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(name: String) -> Result<Self, BadName> {
                check_name(&name)?;
                Ok(Self(name))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// The name of a job: the key below `[job]`.
    JobName
);
name_type!(
    /// The name of a connection: the key below `[connection]`.
    ConnectionName
);

/// Where a value stands inside a JSON document: `pagination.totalPages`. The empty path is the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(Vec<String>);

/// A field path that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a field path: write names with dots between them, such as `pagination.totalPages`")]
pub struct BadFieldPath(String);

impl FieldPath {
    /// Reads `a.b.c`; refuses empty steps.
    pub fn new(path: &str) -> Result<Self, BadFieldPath> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        if path.split('.').any(|step| step.trim() != step || step.is_empty()) {
            return Err(BadFieldPath(path.to_owned()));
        }
        Ok(Self(path.split('.').map(str::to_owned).collect()))
    }

    /// The steps from the document's root.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// The value there, if the document has one.
    #[must_use]
    pub fn find<'a>(&self, document: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.0.iter().try_fold(document, |value, step| value.get(step))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A string with `{name}` placeholders; `{{` and `}}` stand for the braces themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// A template that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A `{` without its `}`.
    #[error("`{0}` opens a placeholder with `{{` and never closes it; write `{{{{` for a brace itself")]
    Unclosed(String),
    /// A `}` without its `{`.
    #[error("`{0}` has a `}}` without its `{{`; write `}}}}` for a brace itself")]
    Unopened(String),
    /// `{}`.
    #[error("`{0}` has a placeholder without a name")]
    Nameless(String),
}

impl Template {
    /// Reads a template.
    pub fn new(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    literal.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(BadTemplate::Unclosed(text.to_owned())),
                        }
                    }
                    if name.trim().is_empty() {
                        return Err(BadTemplate::Nameless(text.to_owned()));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Placeholder(name.trim().to_owned()));
                }
                '}' => return Err(BadTemplate::Unopened(text.to_owned())),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// The names of its placeholders.
    #[must_use]
    pub fn placeholders(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|part| match part {
                Part::Placeholder(name) => Some(name.as_str()),
                Part::Literal(_) => None,
            })
            .collect()
    }

    /// The name, if the template is one placeholder and nothing else: its value then keeps its type.
    #[must_use]
    pub fn sole_placeholder(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Placeholder(name)] => Some(name),
            _ => None,
        }
    }

    /// The text with each placeholder replaced by what `value` gives for it; the error is the name it had no value for.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Placeholder(name) => text.push_str(&value(name).ok_or(name.as_str())?),
            }
        }
        Ok(text)
    }
}

/// A text from the configuration that may be a secret; only a plain one is ever shown.
#[derive(Clone)]
pub enum Text {
    /// Written in the configuration itself.
    Plain(String),
    /// Read from the environment, a file or a systemd credential.
    Secret(SecretString),
}

impl Text {
    /// The text, for sending it. Never for logs, errors, dry runs, metrics or history.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose_secret(),
        }
    }

    /// What may be shown of it.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(_) => "[secret]",
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        matches!(self, Self::Plain(_)) == matches!(other, Self::Plain(_)) && self.expose() == other.expose()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fills_its_placeholders_and_keeps_doubled_braces() {
        let template = Template::new("/warehouses/{warehouse}/{{raw}}").unwrap();
        assert_eq!(template.placeholders().into_iter().collect::<Vec<_>>(), ["warehouse"]);
        let filled = template.fill(|name| (name == "warehouse").then(|| "WAW1".to_owned()));
        assert_eq!(filled, Ok("/warehouses/WAW1/{raw}".to_owned()));
        assert_eq!(template.fill(|_| None), Err("warehouse"));
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for text in ["/a/{b", "/a/b}", "/a/{}"] {
            assert!(Template::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_lower_case_words_with_hyphens() {
        assert!(JobName::new("one-stocks").is_ok());
        for name in ["", "One", "a b", "-a", "a_b"] {
            assert!(JobName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_secret_text_never_shows_itself() {
        let text = Text::Secret(SecretString::from("hunter2"));
        assert_eq!(format!("{text:?} {}", text.shown()), "[secret] [secret]");
        assert_eq!(text.expose(), "hunter2");
    }
}
