//! The two ends of a pull: what is asked of a platform, and where its rows go.

use super::FieldMap;
use crate::words::{ConnectionName, FieldPath, Template};
use std::time::Duration;

pub use crate::watermark::{Cursor, CursorFormat};

/// What is asked of a platform.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The platform.
    pub from: ConnectionName,
    /// The path; placeholders are filled and percent-encoded.
    pub get: Template,
    /// The query. Values may use `{since}` and `{page}`, and `{offset}` where pages go by offset.
    pub params: Vec<(String, Template)>,
    /// Where the answer holds its rows; the empty path is the answer itself.
    pub rows: FieldPath,
    /// The fields that identify a row.
    pub key: Vec<FieldPath>,
    /// How the pages of one answer hang together.
    pub pages: Pages,
    /// How the job knows where to go on.
    pub since: Option<Since>,
}

/// How the pages of one answer hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pages {
    /// One response holds it all.
    Single,
    /// Numbered from `first`; the body says how many there are.
    Numbered {
        /// The number of the first page.
        first: u64,
        /// Where the body holds the number of pages.
        total: Option<FieldPath>,
        /// Where the body holds the number of rows in all pages.
        items: Option<FieldPath>,
    },
}

/// How a pull knows where to go on.
#[derive(Debug, Clone)]
pub struct Since {
    /// What of a row is the cursor.
    pub field: FieldPath,
    /// How the cursor is written.
    pub format: CursorFormat,
    /// Where the first run starts, as the platform would write it.
    pub start: Cursor,
    /// How much is read again each time, for what became visible late.
    pub overlap: Duration,
    /// How long before the server's own clock reading stops: what is younger may still be moving.
    pub settle: Duration,
}

/// Where pulled rows go.
#[derive(Debug, Clone)]
pub struct Write {
    /// The ERP.
    pub to: ConnectionName,
    /// What takes them there.
    pub target: Target,
    /// How a row becomes what is written; without one, each field goes over under its own name.
    pub map: Option<FieldMap>,
}

/// What takes pulled rows in the ERP.
#[derive(Debug, Clone)]
pub enum Target {
    /// A table that rows are upserted into.
    Table {
        /// Its name, with its schema where it needs one.
        name: String,
        /// The columns that identify a row there.
        upsert_by: Vec<String>,
        /// Whether it is created from the first rows where it is missing.
        create: bool,
    },
    /// A statement of the integrator's own, run once for each row.
    Statement {
        /// Its text, with `:field` where a field of the row goes.
        text: String,
        /// The fields that identify a row.
        key: Vec<String>,
    },
}
