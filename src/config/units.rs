//! The values that are texts or numbers with a meaning: durations, sizes, shares, quotas, zones, names. Each reader
//! takes a node and refuses with what was expected and how to write it.

use super::diagnostic::{Diagnostic, OriginKind, Place, did_you_mean};
use super::document::{Node, Value};
use crate::quota::{BadQuota, Quota};
use crate::words::{FieldPath, Template};
use chrono_tz::Tz;
use std::time::Duration;

/// What is wrong with a value.
pub(super) struct Wrong {
    /// A place within the value, where it is known.
    pub(super) at: Option<Place>,
    /// What is wrong.
    pub(super) problem: String,
    /// What to do about it.
    pub(super) help: Option<String>,
}

impl Wrong {
    /// A value that is wrong as a whole.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { at: None, problem: problem.into(), help: None }
    }

    /// The same with help, if there is any.
    pub(super) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The same at a place within the value.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.at = Some(place);
        self
    }

    /// As a diagnostic of a key.
    pub(super) fn diagnostic(self, place: &Place, key: &str) -> Diagnostic {
        Diagnostic::new(self.at.as_ref().unwrap_or(place), key, self.problem).with_help(self.help)
    }

    pub(super) fn kind(wanted: &str, node: &Node) -> Self {
        Self::new(format!("expected {wanted}, found {}", node.kind()))
    }
}

/// A mistake in the words of the type that refused.
pub(super) fn refused(error: impl std::fmt::Display) -> Wrong {
    Wrong::new(error.to_string())
}

/// A text.
pub(super) fn text(node: &Node) -> Result<&str, Wrong> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(Wrong::kind("a text", node)),
    }
}

/// A text that says something.
pub(super) fn words(node: &Node) -> Result<String, Wrong> {
    let text = text(node)?;
    if text.trim().is_empty() {
        return Err(Wrong::new("must not be empty"));
    }
    Ok(text.to_owned())
}

/// The text of a variable or flag, which has no types.
fn untyped(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) if node.at.kind != OriginKind::File => Some(text.trim()),
        _ => None,
    }
}

/// true or false.
pub(super) fn flag(node: &Node) -> Result<bool, Wrong> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        _ => {
            untyped(node).and_then(|text| text.parse().ok()).ok_or_else(|| Wrong::kind("true or false", node))
        }
    }
}

/// A whole number within bounds.
pub(super) fn whole(node: &Node, least: u64, most: u64) -> Result<u64, Wrong> {
    let number = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => Some(
            untyped(node)
                .and_then(|text| text.replace('_', "").parse().ok())
                .ok_or_else(|| Wrong::kind("a whole number", node))?,
        ),
    };
    let range = || match most {
        u64::MAX => format!("must be {least} or more"),
        _ => format!("must be from {least} to {most}"),
    };
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| Wrong::new(range()))
}

/// One of several words.
pub(super) fn one_of<T: Copy>(node: &Node, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let text = text(node)?;
    let list = choices.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        Wrong::new(format!("`{text}` is none of {list}"))
            .help(did_you_mean(text, choices.iter().map(|(word, _)| *word)))
    })
}

/// `"30m"`, `"1h30m"`, `"500ms"`.
pub(super) fn duration(node: &Node) -> Result<Duration, Wrong> {
    let help = || Some("write it with its unit (ms, s, m, h, d): \"30m\", \"1h30m\", \"500ms\"".to_owned());
    let text = match &node.value {
        Value::Text(text) => text,
        _ => return Err(Wrong::kind("a duration", node).help(help())),
    };
    parse_duration(text).ok_or_else(|| Wrong::new(format!("`{text}` is not a duration")).help(help()))
}

/// A duration that takes time.
pub(super) fn some_time(node: &Node) -> Result<Duration, Wrong> {
    duration(node)
        .and_then(|time| if time.is_zero() { Err(Wrong::new("must be longer than zero")) } else { Ok(time) })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit = &after[..after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len())];
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = after[unit.len()..].trim_start();
    }
    // A century is past every use and within what date arithmetic can hold.
    (!text.trim().is_empty() && total <= Duration::from_secs(100 * 366 * 86_400)).then_some(total)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    Some((text[..end].replace('_', "").parse().ok()?, text[end..].trim_start()))
}

/// `"256 MB"`, in bytes.
pub(super) fn size(node: &Node) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong::new("expected a size")
            .help(Some("write it with its unit (B, kB, MB, GB, KiB, MiB, GiB): \"256 MB\"".to_owned()))
    };
    let Value::Text(text) = &node.value else { return Err(wrong()) };
    let bytes = leading_number(text.trim()).and_then(|(number, unit)| {
        let unit = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(unit)
    });
    bytes.filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// `"10%"`, as a share of 1.
pub(super) fn share(node: &Node) -> Result<f64, Wrong> {
    let percent = match &node.value {
        Value::Text(text) => {
            text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok())
        }
        _ => None,
    };
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| Wrong::new("expected a share from \"0%\" to \"100%\""))
}

/// `"10%"`, or `0.1`, as a share of 1.
pub(super) fn fraction(node: &Node) -> Result<f64, Wrong> {
    let number = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.clone(),
        _ => match untyped(node) {
            Some(text) if !text.ends_with('%') => text.to_owned(),
            _ => return share(node).map_err(|_| bad_fraction()),
        },
    };
    number.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(bad_fraction)
}

fn bad_fraction() -> Wrong {
    Wrong::new("expected a share from 0 to 1, or from \"0%\" to \"100%\"")
}

/// A quota: `10/s`.
pub(super) fn quota(node: &Node) -> Result<Quota, Wrong> {
    text(node)?.parse().map_err(|error| match error {
        BadQuota::Form(text) => Wrong::new(format!("`{text}` is not a quota")).help(
            r#"write the requests and the window (s, min, h, day): "10/s", "300/min", "1000/day""#.to_owned(),
        ),
        error => refused(error),
    })
}

/// An IANA time zone.
pub(super) fn zone(node: &Node) -> Result<Tz, Wrong> {
    let text = text(node)?;
    text.parse().map_err(|_| {
        let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        // Often only the city is given.
        let is_city =
            |name: &&str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
        let help = (names().find(is_city).map(|name| format!("did you mean `{name}`?")))
            .or_else(|| did_you_mean(text, names()));
        Wrong::new(format!("`{text}` is not an IANA time zone")).help(help)
    })
}

/// `pagination.totalPages`.
pub(super) fn field_path(node: &Node) -> Result<FieldPath, Wrong> {
    FieldPath::new(text(node)?).map_err(refused)
}

/// A text with placeholders; numbers and flags stand for their own text.
pub(super) fn template(node: &Node) -> Result<Template, Wrong> {
    let text = match &node.value {
        Value::Text(text) | Value::Float(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return Err(Wrong::kind("a text", node)),
    };
    Template::new(&text).map_err(refused)
}

/// The path of a request.
pub(super) fn path_template(node: &Node) -> Result<Template, Wrong> {
    if !text(node)?.starts_with('/') {
        return Err(Wrong::new("a path starts with `/`; the connection's url stands before it"));
    }
    template(node)
}
