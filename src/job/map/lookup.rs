//! What a map looks up elsewhere: the question as the configuration has it, what it is asked with for one row, and what
//! has been found. Asking is left to whoever has the connection.

use crate::words::{ConnectionName, FieldPath, JobName};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;

/// A question to a database of the ERP.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The ERP.
    pub from: ConnectionName,
    /// What is asked.
    pub source: LookupSource,
    /// The fields of the row it is asked by.
    pub by: Vec<FieldPath>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupSource {
    /// A query with a `?` for each field of `by`.
    Sql(String),
    /// The id that a job's statement was given when it created the record of this key.
    Links(JobName),
    /// What a platform gave for the record of this key, as a push or a step saved it.
    Saved(SavedLink),
}

/// What a push or a step saved of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedLink {
    /// The job that keeps it.
    pub job: JobName,
    /// Its step, where it has steps.
    pub step: Option<String>,
    /// The name it was saved by.
    pub name: String,
}

impl fmt::Display for LookupSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(_) => f.write_str("the lookup"),
            Self::Links(job) => write!(f, "the links of {job}"),
            Self::Saved(SavedLink { job, step: Some(step), name }) => {
                write!(f, "`{name}` of {step} of {job}")
            }
            Self::Saved(SavedLink { job, step: None, name }) => write!(f, "`{name}` of {job}"),
        }
    }
}

/// A question with what it is asked with.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Which lookup.
    pub lookup: usize,
    /// The values of its `by`; none is null.
    pub key: Vec<Value>,
    text: String,
}

impl Want {
    /// The question of a lookup for these values.
    #[must_use]
    pub fn new(lookup: usize, key: Vec<Value>) -> Self {
        // The number 1 and the text '1' may be different keys to a database.
        let text = Value::from(key.clone()).to_string();
        Self { lookup, key, text }
    }
}

/// What has been found so far.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    found: HashMap<(usize, String), Vec<Value>>,
    rows: usize,
}

impl Answers {
    /// What was found; nothing if that was never asked.
    #[must_use]
    pub fn of(&self, want: &Want) -> Option<&[Value]> {
        // A look at the map costs a copy of the key's text; a map of maps would cost more to understand.
        self.found.get(&(want.lookup, want.text.clone())).map(Vec::as_slice)
    }

    /// Keeps what was found.
    pub fn keep(&mut self, want: Want, rows: Vec<Value>) {
        self.rows += rows.len().max(1);
        self.found.insert((want.lookup, want.text), rows);
    }

    /// Forgets that nothing was found.
    pub fn forget(&mut self, want: &Want) {
        if self.found.remove(&(want.lookup, want.text.clone())).is_some() {
            self.rows = self.rows.saturating_sub(1);
        }
    }

    /// How many rows it holds; a question that found nothing counts as one.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
