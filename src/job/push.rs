//! The two ends of a push: which rows are read from the ERP, how a platform is told, and how its answers are read.

use super::{FieldMap, Shaping, Upload};
use crate::words::{ConnectionName, FieldPath, JobName, Template};
use serde_json::Value;

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
    /// Bytes of one request's body, about at most; a record that is larger goes alone.
    pub batch_bytes: usize,
    /// The request's body: a JSON document in which `"$records"` stands for the array of records, `"$record"` for the
    /// one record of a batch of one, and `"$gone.field"` for the array of that column of the gone ones. `"$records"`
    /// alone is a bare array.
    pub body: serde_json::Value,
    /// How a row becomes a record; without one, a record has the row's columns.
    pub shaping: Shaping,
    /// Which rows are sent.
    pub send: Send,
    /// What the platform is told of rows that are gone.
    pub on_gone: PushGone,
    /// Whether a request may be sent again after it was perhaps carried out.
    pub idempotent: bool,
    /// Where the answer says what became of each record; the first form that fits an answer is read.
    pub results: Vec<Results>,
    /// How to find out whether a record is there.
    pub verify: Option<Verify>,
    /// What the platform gives for a record: a name, and where the record's result holds it.
    pub save: Vec<(String, Saved)>,
    /// Whether a request makes something new each time: what is found on the platform is never sent again, whatever
    /// its content, and without what is saved of it a record has not gone through.
    pub creates: bool,
    /// The push whose record must have gone through first.
    pub parent: Option<Parent>,
    /// What words of a refusal mean.
    pub words: Words,
    /// What on the platform must not be overwritten.
    pub unless_taken: Option<Taken>,
    /// The share of refused records at which the run stops, 0 to 1.
    pub stop_when: Option<f64>,
    /// Where each record carries a file: what follows this push's own request, which begins the upload.
    pub upload: Option<Box<Upload>>,
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

    /// Whether doing it twice is doing it once, by the method's own rules.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

/// Which rows are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Send {
    /// Those whose record differs from what the platform last answered for.
    #[default]
    Changed,
    /// All, every time.
    All,
    /// Those that the platform has never accepted: what changes afterwards is not sent.
    Once,
    /// Of those that are read: rows whose column has reached what the last whole run saw of it.
    Since(String),
}

/// What the platform is told of rows that are gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum PushGone {
    /// Nothing.
    #[default]
    Ignore,
    /// They are named in the body, where it says `$gone`.
    Body,
    /// Each is removed by a DELETE; placeholders are key columns.
    Delete(Template),
    /// Each is sent as this record, made of its key columns.
    Zero(FieldMap),
}

/// Where an answer says what became of each record.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The array of results.
    pub rows: FieldPath,
    /// Which records it lists.
    pub lists: Lists,
    /// How a result finds its record.
    pub matched: Matched,
    /// The fields that say that it went well, with the values that say so; where there are none, any error in a result is
    /// a refusal.
    pub ok_when: Vec<(FieldPath, Vec<String>)>,
    /// Where a result holds the error's words.
    pub error: FieldPath,
    /// The counts that must add up to what was sent.
    pub counts: ResultCounts,
    /// Which records are read back where the answer has this form; `verify` says it where this doesn't.
    pub read_back: Option<ReadBack>,
}

/// Which records a list of results names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lists {
    /// Each that was sent.
    #[default]
    All,
    /// Those that failed.
    Failures,
}

/// How a result finds its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// The first result is the first record's.
    Position,
    /// A field of the result equals a field of the record.
    Key {
        /// The result's.
        result: FieldPath,
        /// The record's.
        record: FieldPath,
    },
}

/// Where an answer counts; several fields are added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// All records.
    pub total: Vec<FieldPath>,
    /// Those that were accepted.
    pub accepted: Vec<FieldPath>,
    /// Those that failed.
    pub failed: Vec<FieldPath>,
}

/// How to find out whether a record is on the platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Verify {
    /// The path; placeholders are fields of the record.
    pub get: Template,
    /// The query; placeholders are fields of the record, and `page` where the list has pages (the first is 1).
    pub params: Vec<(String, Template)>,
    /// Where the answer holds its rows; empty: the answer is the row, or the array of rows.
    pub rows: FieldPath,
    /// The record is there when a row has the same values in these fields.
    pub found_when: Vec<FieldPath>,
    /// Which records are read back although the platform said it accepted them.
    pub read_back: ReadBack,
    /// Whether a record is looked for before it is sent for the first time, too.
    pub first: bool,
}

impl Verify {
    /// Whether it asks the same list whatever the record.
    #[must_use]
    pub fn is_list(&self) -> bool {
        let asks = self.params.iter().flat_map(|(_, value)| value.placeholders());
        self.get.placeholders().is_empty() && asks.eq([PAGE])
    }
}

/// The placeholder for the page of a list that has pages.
pub const PAGE: &str = "page";

/// Where the platform says what is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The first of these that holds a text or a number.
    pub places: Vec<FieldPath>,
    /// What must stand before it and is left out; of a value without it nothing is saved.
    pub after: Option<String>,
}

impl Saved {
    /// The value in a result, or in an answer.
    #[must_use]
    pub fn find(&self, row: &Value) -> Option<Value> {
        let plain = |value: &&Value| value.is_string() || value.is_number();
        let value = self.places.iter().find_map(|place| place.find(row).filter(plain))?;
        let Some(after) = &self.after else { return Some(value.clone()) };
        value.as_str()?.strip_prefix(after).filter(|rest| !rest.is_empty()).map(Value::from)
    }
}

impl From<FieldPath> for Saved {
    fn from(place: FieldPath) -> Self {
        Self { places: vec![place], after: None }
    }
}

/// Which accepted records are read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadBack {
    /// None.
    #[default]
    Off,
    /// Five of a request; all of them if one is missing.
    Sample,
    /// All.
    All,
}

/// What must not be overwritten: before a record is sent, what is at its path is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The fields; a record is refused when the platform has another value in one of them, neither null nor empty.
    pub fields: Vec<FieldPath>,
    /// Where the answer holds them; empty: the answer itself.
    pub at: FieldPath,
}

/// The push whose record must have gone through first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The job.
    pub job: JobName,
    /// The fields of our record that are the key there; a record in which one of them is null has no parent.
    pub key: Vec<FieldPath>,
}

/// What words of a refusal mean; found anywhere in it, whatever their case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The record's parent is not there.
    pub waiting: Vec<String>,
    /// It may work later.
    pub transient: Vec<String>,
    /// The request is too large, as 413 says.
    pub too_large: Vec<String>,
    /// The record is refused for good, though the status is 5xx.
    pub refused: Vec<String>,
    /// The platform does not serve what was asked for, whatever the status.
    pub unserved: Vec<String>,
}
