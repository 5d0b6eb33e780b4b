//! Field maps: how a row of one side becomes a record of the other, the same for both directions. Numbers stay the text
//! they were written in, so that money never passes through a float. What a map can't make, it refuses, naming the field:
//! nothing is guessed, rounded or cut.
//!
//! A map is pure. What it has to look up elsewhere it says beforehand ([`FieldMap::wants`]); whoever has the connections
//! finds it and hands it over as [`Answers`].

mod condition;
mod decimal;
mod lookup;
mod make;
mod moment;
mod reason;
#[cfg(test)]
mod tests;
mod value;

pub use condition::{BadCondition, Condition};
pub use decimal::{Decimal, Rounding};
pub use lookup::{Answers, Lookup, LookupSource, SavedLink, Want};
pub use moment::{MomentFormat, MomentRule};
pub use reason::{MapError, Reason};
pub use value::ValueType;

use crate::words::{FieldPath, Template};
use make::Scope;
use serde_json::{Map, Value};

/// What happens to a row between the two ends of a job, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shaping {
    /// Rows for which it does not hold are left out.
    pub only: Option<Condition>,
    /// A jq filter that makes another row of the row.
    pub filter: Option<String>,
    /// What makes the record of it; without one, a record has the row's fields.
    pub map: Option<FieldMap>,
    /// What the map looks up; its rules name these by their place.
    pub lookups: Vec<Lookup>,
}

/// How a row becomes a record: one rule per field, in the order written.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldMap(pub Vec<(String, MapRule)>);

/// How one field is made.
#[derive(Debug, Clone, PartialEq)]
pub enum MapRule {
    /// A text with placeholders that name fields of the row; a sole placeholder keeps the value's type.
    Template(Template),
    /// A value from somewhere, made into what the other side expects.
    Field(Box<FieldRule>),
    /// The same value in every record.
    Constant(Value),
    /// The whole row as JSON text.
    Record,
    /// A record inside the record. One whose fields are all left out is left out itself.
    Nested(FieldMap),
    /// A list of records, one for each row of a list.
    Rows(Box<RowsRule>),
}

/// How a value of the row becomes a field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRule {
    /// Where the value comes from.
    pub origin: Origin,
    /// What is made of it.
    pub convert: Convert,
    /// Whether space around a text goes.
    pub trim: bool,
    /// What stands for a value that is missing, null or an empty text.
    pub default: Option<Value>,
    /// Whether the field is left out where its value is missing, null, or an empty text, list or record.
    pub omit_empty: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A field of the row.
    Field(FieldPath),
    /// A text with placeholders.
    Template(Template),
    /// The first column of what a lookup finds.
    Lookup(usize),
    /// The place of the row in its list, counted from this.
    Number(i64),
}

/// What is made of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Convert {
    /// Nothing: it stays what it is.
    AsIs,
    /// A value of a type.
    Type(ValueType),
    /// What stands for it in a list.
    Values {
        /// Each value's text, and what stands for it.
        known: Vec<(String, Value)>,
        /// What stands for any other; without it, any other is refused.
        otherwise: Option<Value>,
    },
}

/// How a list of rows becomes a list of records.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsRule {
    /// Where the rows are: a list, or a text that holds one as JSON.
    pub rows: Rows,
    /// How each becomes a record.
    pub map: FieldMap,
    /// Whether the field is left out where there are no rows.
    pub omit_empty: bool,
}

/// Where the rows of a list are.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// In a field of the row.
    Field(FieldPath),
    /// In what a lookup finds.
    Lookup(usize),
}

impl Shaping {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a row is wanted at all.
    ///
    /// # Errors
    /// The condition can't be answered for this row.
    pub fn wants_row(&self, row: &Map<String, Value>) -> Result<bool, MapError> {
        self.only.as_ref().map_or(Ok(true), |only| only.holds(row))
    }

    /// The names of the fields that every row has to have: nothing stands for them where they are missing.
    #[must_use]
    pub fn needed_fields(&self) -> Vec<String> {
        let mut fields: Vec<String> =
            self.only.iter().flat_map(Condition::fields).map(str::to_owned).collect();
        if let (Some(map), None) = (&self.map, &self.filter) {
            map.needed_fields(&self.lookups, &mut fields);
        }
        fields
    }

    /// The record of a row that has been filtered already.
    ///
    /// # Errors
    /// Which field can't be made, and why.
    pub fn record(&self, row: Map<String, Value>, answers: &Answers) -> Result<Map<String, Value>, MapError> {
        if self.map.is_none() { Ok(row) } else { self.record_of(&row, answers) }
    }

    /// The same of a row that is still needed.
    ///
    /// # Errors
    /// Which field can't be made, and why.
    pub fn record_of(
        &self,
        row: &Map<String, Value>,
        answers: &Answers,
    ) -> Result<Map<String, Value>, MapError> {
        let Some(map) = &self.map else { return Ok(row.clone()) };
        map.make(Scope { row, place: 0, answers, lookups: &self.lookups })
    }

    /// What has to be looked up before the record of a row can be made, as far as `answers` lets it be seen.
    pub fn wants(&self, row: &Map<String, Value>, answers: &Answers, wants: &mut Vec<Want>) {
        if let Some(map) = &self.map
            && !self.lookups.is_empty()
        {
            map.wants(Scope { row, place: 0, answers, lookups: &self.lookups }, wants);
        }
    }
}

impl From<FieldMap> for Shaping {
    fn from(map: FieldMap) -> Self {
        Self { map: Some(map), ..Self::default() }
    }
}

impl FieldMap {
    /// Makes the record of a row, of a map that looks nothing up.
    ///
    /// # Errors
    /// Which field can't be made, and why.
    pub fn apply(&self, row: &Map<String, Value>) -> Result<Map<String, Value>, MapError> {
        self.make(Scope { row, place: 0, answers: &Answers::default(), lookups: &[] })
    }

    fn needed_fields(&self, lookups: &[Lookup], fields: &mut Vec<String>) {
        let placeholders = |template: &Template, fields: &mut Vec<String>| {
            fields.extend(template.placeholders().into_iter().map(str::to_owned));
        };
        let by = |lookup: usize, fields: &mut Vec<String>| {
            let by = lookups.get(lookup).map(|lookup| lookup.by.as_slice()).unwrap_or_default();
            fields.extend(by.iter().map(ToString::to_string));
        };
        for (_, rule) in &self.0 {
            match rule {
                MapRule::Template(template) => placeholders(template, fields),
                MapRule::Field(rule) if rule.default.is_some() || rule.omit_empty => {}
                MapRule::Field(rule) => match &rule.origin {
                    Origin::Field(path) => fields.push(path.to_string()),
                    Origin::Template(template) => placeholders(template, fields),
                    Origin::Lookup(lookup) => by(*lookup, fields),
                    Origin::Number(_) => {}
                },
                MapRule::Nested(map) => map.needed_fields(lookups, fields),
                MapRule::Rows(rule) => match &rule.rows {
                    Rows::Field(_) if rule.omit_empty => {}
                    Rows::Field(path) => fields.push(path.to_string()),
                    Rows::Lookup(lookup) => by(*lookup, fields),
                },
                MapRule::Constant(_) | MapRule::Record => {}
            }
        }
    }
}

impl MapRule {
    /// A field that keeps its value and becomes a type: the rule most often written.
    #[must_use]
    pub fn typed(field: FieldPath, value_type: ValueType) -> Self {
        Self::Field(Box::new(FieldRule {
            convert: Convert::Type(value_type),
            ..FieldRule::new(Origin::Field(field))
        }))
    }
}

impl FieldRule {
    /// A rule that leaves the value as it is.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self { origin, convert: Convert::AsIs, trim: false, default: None, omit_empty: false }
    }
}

/// A field of the row by its name, or by its path where no field has that very name.
pub(crate) fn find<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    row.get(name).or_else(|| {
        let mut steps = name.split('.');
        let first = row.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    })
}

fn find_at<'a>(row: &'a Map<String, Value>, path: &FieldPath) -> Option<&'a Value> {
    match path.steps() {
        [name] => row.get(name),
        _ => find(row, &path.to_string()),
    }
}

/// A value inside a text: strings without quotes, everything else as JSON writes it.
#[must_use]
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a message shows of a value.
fn shortened(value: &Value) -> String {
    let text = plain_text(value);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.trim().is_empty() => format!("`{text}`"),
        None => text,
    }
}

/// What counts as true or false.
fn truth(value: &Value) -> Option<bool> {
    match plain_text(value).trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
