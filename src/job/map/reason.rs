//! Why a row can't become a record.

/// Why a row can't become a record. It makes a reject of that row, and of that row only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{target}`: {reason}")]
pub struct MapError {
    /// The field being made: `client.address.city`, `lines[2].sku`.
    pub target: String,
    /// Why it can't be.
    pub reason: Reason,
}

/// Why a field can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A placeholder or rule names what the row doesn't have.
    #[error("the row has no `{0}`")]
    Missing(String),
    /// A null inside a text would be written as a word.
    #[error("`{0}` is null, and stands inside a text")]
    Null(String),
    /// The value does not fit the type.
    #[error("{value} is not {expected}")]
    Type {
        /// The value, shortened.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// The value is a date or time that can't be taken for one moment.
    #[error("{value} is {what}")]
    Moment {
        /// The value, shortened.
        value: String,
        /// What it is.
        what: String,
    },
    /// The value is not one of those that are known.
    #[error("{value} is none of {known}")]
    Unmapped {
        /// The value, shortened.
        value: String,
        /// Those that are known.
        known: String,
    },
    /// What was looked up is not there.
    #[error("{source_name} has nothing for {key}")]
    NotFound {
        /// Where it was looked up.
        source_name: String,
        /// By what.
        key: String,
    },
    /// What the platform is still to give. Nothing stands for it: the record would be sent without.
    #[error("{source_name} has nothing for {key} yet")]
    NotYet {
        /// Where it was looked up.
        source_name: String,
        /// By what.
        key: String,
    },
    /// What was looked up is there more than once.
    #[error("{source_name} has more than one row for {key}")]
    Ambiguous {
        /// Where it was looked up.
        source_name: String,
        /// By what.
        key: String,
    },
}

impl MapError {
    /// The same of a field inside another one.
    pub(super) fn under(mut self, outer: &str) -> Self {
        let dot = if self.target.is_empty() || self.target.starts_with('[') { "" } else { "." };
        self.target = format!("{outer}{dot}{}", self.target);
        self
    }
}

impl Reason {
    /// Whether there is simply no value, so that a default may stand for it.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Null(_) | Self::NotFound { .. })
    }
}
