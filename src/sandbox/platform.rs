//! What all simulated platforms have in common for those who know them by name only: how one is started, what can be
//! switched, with which credentials it is called.
//!
//! A platform is listed in [`PLATFORMS`] and nowhere else: `cadenced sandbox` and its help are made from the list. What a
//! platform holds is its own affair; tests that look inside use its own type.

use super::{B2Market, One, Wire, WireOptions, b2market, commerceup, cortecloud, eryxon, lock, one};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};

/// Every platform there is.
pub const PLATFORMS: &[&Kind] =
    &[&one::KIND, &b2market::KIND, &eryxon::KIND, &cortecloud::KIND, &commerceup::KIND];

/// A platform that can be started.
#[derive(Debug)]
pub struct Kind {
    /// Its name on the command line and of its schedule file.
    pub name: &'static str,
    /// Its name as its makers write it.
    pub title: &'static str,
    /// The ways in which it can be told to behave: what its contract leaves open, and what goes wrong there.
    pub switches: &'static [Switch],
    /// Starts one with these switches and its sample data.
    pub start: fn(WireOptions, &Switches) -> io::Result<Box<dyn Platform>>,
}

/// A running platform. It stops when it and every handle to it is dropped.
pub trait Platform: Debug + Send {
    /// What a connection's `url` says.
    fn url(&self) -> String;
    /// Its request log, faults, quotas and the rules its callers broke.
    fn wire(&self) -> &Wire;
    /// What a caller must present, by the name under which it is sent.
    fn credentials(&self) -> Vec<(&'static str, String)>;
    /// Something happens there, as on any day: a record comes, or one changes.
    fn stir(&self) {}
}

impl Platform for One {
    fn url(&self) -> String {
        self.url().to_owned()
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        self.credentials()
    }

    fn stir(&self) {
        self.stir();
    }
}

impl Platform for B2Market {
    fn url(&self) -> String {
        self.url()
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        self.credentials()
    }

    fn stir(&self) {
        self.stir();
    }
}

/// One way in which a platform can be told to behave.
#[derive(Debug)]
pub struct Switch {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What it can be set to.
    pub takes: Takes,
    /// What it does, in one line.
    pub meaning: &'static str,
}

/// What a switch can be set to, and what it is set to at first.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// One of these; the first, at first.
    OneOf(&'static [&'static str]),
    /// `true` or `false`; false at first.
    Flag,
    /// A number from 0; this one at first.
    Number(usize),
    /// Any text; empty at first.
    Text,
}

/// How the switches of one platform are set. Clones show, and change, the same.
#[derive(Debug, Clone)]
pub struct Switches {
    known: &'static [Switch],
    set: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

/// A switch that isn't there, or can't be set to that.
#[derive(Debug, thiserror::Error)]
pub enum BadSwitch {
    /// No `=`.
    #[error("`{0}`: a switch is set by name=value")]
    NoValue(String),
    /// Not one of the platform's.
    #[error("there is no switch `{name}`; there are: {known}")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// Not a value it takes.
    #[error("`{name}` takes {takes}, not `{value}`")]
    Value {
        /// The switch.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// What it takes.
        takes: String,
    },
}

impl Switches {
    /// Everything as it is at first.
    #[must_use]
    pub fn new(known: &'static [Switch]) -> Self {
        let set = known.iter().map(|switch| (switch.name, switch.takes.at_first())).collect();
        Self { known, set: Arc::new(Mutex::new(set)) }
    }

    /// Sets one, given as `name=value`.
    ///
    /// # Errors
    /// When there is no such switch, or it doesn't take the value.
    pub fn set(&self, assignment: &str) -> Result<(), BadSwitch> {
        let (name, value) =
            assignment.split_once('=').ok_or_else(|| BadSwitch::NoValue(assignment.to_owned()))?;
        let switch =
            self.known.iter().find(|switch| switch.name == name).ok_or_else(|| BadSwitch::Unknown {
                name: name.to_owned(),
                known: self.known.iter().map(|switch| switch.name).collect::<Vec<_>>().join(", "),
            })?;
        if !switch.takes.takes(value) {
            let (value, takes) = (value.to_owned(), switch.takes.described());
            return Err(BadSwitch::Value { name: switch.name, value, takes });
        }
        lock(&self.set).insert(switch.name, value.to_owned());
        Ok(())
    }

    /// What it is set to; empty, if there is no such switch.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        lock(&self.set).get(name).cloned().unwrap_or_default()
    }

    /// Whether it is set to this.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        lock(&self.set).get(name).is_some_and(|set| set == value)
    }

    /// Whether it is set to `true`.
    #[must_use]
    pub fn on(&self, name: &str) -> bool {
        self.is(name, "true")
    }

    /// The number it is set to.
    #[must_use]
    pub fn number(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or(0)
    }
}

impl Takes {
    /// What such a switch is set to at first.
    #[must_use]
    pub fn at_first(self) -> String {
        match self {
            Self::OneOf(values) => values.first().copied().unwrap_or_default().to_owned(),
            Self::Flag => "false".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text => String::new(),
        }
    }

    /// What it takes, in words.
    #[must_use]
    pub fn described(self) -> String {
        match self {
            Self::OneOf(values) => values.join("|"),
            Self::Flag => "true|false".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text => "any text".to_owned(),
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Self::OneOf(values) => values.contains(&value),
            Self::Flag => matches!(value, "true" | "false"),
            Self::Number(_) => value.parse::<usize>().is_ok(),
            Self::Text => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_takes_its_values_and_no_others() {
        const KNOWN: &[Switch] = &[
            Switch { name: "paths", takes: Takes::OneOf(&["seed", "docs"]), meaning: "" },
            Switch { name: "rows", takes: Takes::Number(5), meaning: "" },
        ];
        let switches = Switches::new(KNOWN);
        assert!(switches.is("paths", "seed"));
        switches.set("paths=docs").unwrap();
        switches.clone().set("rows=7").unwrap();
        assert_eq!((switches.text("paths").as_str(), switches.number("rows")), ("docs", 7));
        for (bad, said) in [
            ("paths", "`paths`: a switch is set by name=value"),
            ("path=docs", "there is no switch `path`; there are: paths, rows"),
            ("paths=other", "`paths` takes seed|docs, not `other`"),
            ("rows=-1", "`rows` takes a number, not `-1`"),
        ] {
            assert_eq!(switches.set(bad).unwrap_err().to_string(), said);
        }
        assert!(switches.is("paths", "docs"));
    }

    #[tokio::test]
    async fn every_platform_starts_by_its_name_and_knows_its_switches() {
        for kind in PLATFORMS {
            let platform = (kind.start)(WireOptions::default(), &Switches::new(kind.switches)).unwrap();
            assert!(platform.url().starts_with(platform.wire().url()), "{}", kind.name);
            assert!(!platform.credentials().is_empty(), "{}", kind.name);
            assert!(platform.wire().broken_rules().is_empty(), "{}", kind.name);
        }
    }
}
