//! The two ends of a push: which rows are read from the ERP, and how a platform is told.

use super::Shaping;
use crate::words::{ConnectionName, Template};

/// Which rows are read from the ERP.
#[derive(Debug, Clone)]
pub struct Read {
    /// The ERP.
    pub from: ConnectionName,
    /// The query.
    pub sql: String,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The share of known rows that may disappear at once before the run stops and removes nothing, 0 to 1.
    pub max_gone: f64,
}

/// How a platform is told.
#[derive(Debug, Clone)]
pub struct Push {
    /// The platform.
    pub to: ConnectionName,
    /// The HTTP method.
    pub method: Method,
    /// The path; placeholders are columns named in `group_by`, percent-encoded.
    pub path: Template,
    /// Columns whose values are the same for all records of one request.
    pub group_by: Vec<String>,
    /// Records in one request, at most.
    pub batch_records: usize,
    /// The request's body: a JSON document in which `"$records"` stands for the array of records and `"$gone.field"`
    /// for the array of that column of the gone ones. `"$records"` alone is a bare array.
    pub body: serde_json::Value,
    /// How a row becomes a record; without one, a record has the row's columns.
    pub shaping: Shaping,
}

/// The methods a push may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}
