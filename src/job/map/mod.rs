//! Field maps: how a row of one side becomes a record of the other, the same for both directions. Numbers stay the text
//! they were written in, so that money never passes through a float. What a map can't make, it refuses, naming the field:
//! nothing is guessed, rounded or cut.
//!
//! A map is pure. What it has to look up elsewhere it says beforehand ([`FieldMap::wants`]); whoever has the connections
//! finds it and hands it over as [`Answers`].

mod condition;
mod decimal;
mod lookup;
mod moment;
#[cfg(test)]
mod tests;
mod value;

pub use condition::{BadCondition, Condition};
pub use decimal::{Decimal, Rounding};
pub use lookup::{Answers, Lookup, LookupSource, SavedLink, Want};
pub use moment::{MomentFormat, MomentRule};
pub use value::ValueType;

use crate::words::{FieldPath, Template};
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

/// What a rule makes its field of.
#[derive(Clone, Copy)]
struct Scope<'a> {
    row: &'a Map<String, Value>,
    /// The place of the row in its list, from 0.
    place: i64,
    answers: &'a Answers,
    lookups: &'a [Lookup],
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

    fn make(&self, scope: Scope<'_>) -> Result<Map<String, Value>, MapError> {
        let mut record = Map::with_capacity(self.0.len());
        for (target, rule) in &self.0 {
            if let Some(value) = rule.make(scope).map_err(|error| error.under(target))? {
                record.insert(target.clone(), value);
            }
        }
        Ok(record)
    }

    fn wants(&self, scope: Scope<'_>, wants: &mut Vec<Want>) {
        for (_, rule) in &self.0 {
            match rule {
                MapRule::Nested(map) => map.wants(scope, wants),
                MapRule::Field(rule) => {
                    if let Origin::Lookup(lookup) = rule.origin {
                        scope.want(lookup, wants);
                    }
                }
                MapRule::Rows(rule) => {
                    if let Rows::Lookup(lookup) = rule.rows {
                        scope.want(lookup, wants);
                    }
                    let rows = rule.rows(scope).unwrap_or_default();
                    for (place, row) in (0..).zip(rows.iter().filter_map(Value::as_object)) {
                        rule.map.wants(Scope { row, place, ..scope }, wants);
                    }
                }
                MapRule::Template(_) | MapRule::Constant(_) | MapRule::Record => {}
            }
        }
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

    /// The field's value, or nothing where it is left out.
    fn make(&self, scope: Scope<'_>) -> Result<Option<Value>, MapError> {
        let here = |reason| MapError { target: String::new(), reason };
        match self {
            Self::Constant(value) => Ok(Some(value.clone())),
            Self::Record => Ok(Some(Value::String(Value::Object(scope.row.clone()).to_string()))),
            Self::Template(template) => scope.text(template).map(Some).map_err(here),
            Self::Field(rule) => rule.make(scope).map_err(here),
            Self::Nested(map) => {
                let record = map.make(scope)?;
                Ok((!record.is_empty()).then_some(Value::Object(record)))
            }
            Self::Rows(rule) => rule.make(scope),
        }
    }
}

impl FieldRule {
    /// A rule that leaves the value as it is.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self { origin, convert: Convert::AsIs, trim: false, default: None, omit_empty: false }
    }

    fn make(&self, scope: Scope<'_>) -> Result<Option<Value>, Reason> {
        let found = match &self.origin {
            Origin::Field(path) => {
                find_at(scope.row, path).cloned().ok_or_else(|| Reason::Missing(path.to_string()))
            }
            Origin::Template(template) => scope.text(template),
            Origin::Lookup(lookup) => scope.looked_up(*lookup),
            Origin::Number(first) => Ok(Value::from(first.saturating_add(scope.place))),
        };
        let found = match found {
            Ok(Value::String(text)) if self.trim => Ok(Value::String(text.trim().to_owned())),
            found => found,
        };
        let is_absent = match &found {
            Err(reason) => reason.is_absence(),
            Ok(value) => value.is_null() || value.as_str().is_some_and(str::is_empty),
        };
        match (&self.default, is_absent) {
            (Some(default), true) => return Ok(Some(default.clone())),
            (None, true) if self.omit_empty => return Ok(None),
            _ => {}
        }
        let made = self.convert.apply(found?)?;
        Ok((!(self.omit_empty && is_empty(&made))).then_some(made))
    }
}

impl Convert {
    fn apply(&self, value: Value) -> Result<Value, Reason> {
        match self {
            Self::AsIs => Ok(value),
            // What null means to the other side, only the other side knows.
            _ if value.is_null() => Ok(value),
            Self::Type(value_type) => value_type.convert(&value),
            Self::Values { known, otherwise } => {
                let text = plain_text(&value);
                let meant = known.iter().find(|(known, _)| *known == text).map(|(_, meant)| meant);
                meant.or(otherwise.as_ref()).cloned().ok_or_else(|| Reason::Unmapped {
                    value: shortened(&value),
                    known: known.iter().map(|(known, _)| known.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    }
}

impl RowsRule {
    fn rows<'a>(&self, scope: Scope<'a>) -> Result<std::borrow::Cow<'a, [Value]>, Reason> {
        use std::borrow::Cow::{Borrowed, Owned};
        match &self.rows {
            Rows::Lookup(lookup) => Ok(Borrowed(scope.answer(*lookup)?.unwrap_or_default())),
            Rows::Field(path) => {
                let value = find_at(scope.row, path);
                let unfit =
                    |value| Reason::Type { value: shortened(value), expected: "a list of rows".to_owned() };
                match value {
                    None if !self.omit_empty => Err(Reason::Missing(path.to_string())),
                    None | Some(Value::Null) => Ok(Borrowed(&[])),
                    Some(Value::Array(rows)) => Ok(Borrowed(rows)),
                    // What a database without lists has: a list as text.
                    Some(value @ Value::String(text)) if !text.trim().is_empty() => {
                        serde_json::from_str(text).map(Owned).map_err(|_| unfit(value))
                    }
                    Some(Value::String(_)) => Ok(Borrowed(&[])),
                    Some(other) => Err(unfit(other)),
                }
            }
        }
    }

    fn make(&self, scope: Scope<'_>) -> Result<Option<Value>, MapError> {
        let at = |place: i64| format!("[{place}]");
        let rows = self.rows(scope).map_err(|reason| MapError { target: String::new(), reason })?;
        let mut records = Vec::with_capacity(rows.len());
        for (place, row) in (0..).zip(rows.iter()) {
            let Some(fields) = row.as_object() else {
                let reason = Reason::Type { value: shortened(row), expected: "a row with fields".to_owned() };
                return Err(MapError { target: at(place), reason });
            };
            let record = self.map.make(Scope { row: fields, place, ..scope });
            records.push(Value::Object(record.map_err(|error| error.under(&at(place)))?));
        }
        Ok((!(self.omit_empty && records.is_empty())).then_some(Value::Array(records)))
    }
}

impl<'a> Scope<'a> {
    fn text(self, template: &Template) -> Result<Value, Reason> {
        if let Some(name) = template.sole_placeholder() {
            return find(self.row, name).cloned().ok_or_else(|| Reason::Missing(name.to_owned()));
        }
        let value = |name: &str| find(self.row, name).filter(|value| !value.is_null()).map(plain_text);
        template.fill(value).map(Value::String).map_err(|name| match find(self.row, name) {
            Some(_) => Reason::Null(name.to_owned()),
            None => Reason::Missing(name.to_owned()),
        })
    }

    /// What a lookup is asked with for this row.
    fn key(self, lookup: &Lookup) -> Result<Vec<Value>, Reason> {
        let value = |path: &FieldPath| {
            let value = find_at(self.row, path).filter(|value| !value.is_null());
            value.cloned().ok_or_else(|| Reason::Missing(path.to_string()))
        };
        lookup.by.iter().map(value).collect()
    }

    fn want(self, lookup: usize, wants: &mut Vec<Want>) {
        let Some(Ok(key)) = self.lookups.get(lookup).map(|known| self.key(known)) else { return };
        let want = Want::new(lookup, key);
        if self.answers.of(&want).is_none() {
            wants.push(want);
        }
    }

    /// The rows a lookup has found; nothing if it found none.
    fn answer(self, lookup: usize) -> Result<Option<&'a [Value]>, Reason> {
        let Some(known) = self.lookups.get(lookup) else { return Ok(None) };
        Ok(self.answers.of(&Want::new(lookup, self.key(known)?)).filter(|rows| !rows.is_empty()))
    }

    fn looked_up(self, lookup: usize) -> Result<Value, Reason> {
        let said = || {
            let Some(known) = self.lookups.get(lookup) else { return Default::default() };
            let values = self.key(known).unwrap_or_default();
            let pairs = known.by.iter().zip(&values);
            let key: Vec<String> =
                pairs.map(|(name, value)| format!("{name} {}", shortened(value))).collect();
            (known.source.to_string(), key.join(", "))
        };
        match self.answer(lookup)? {
            Some([row]) => {
                Ok(row.as_object().and_then(|row| row.values().next()).cloned().unwrap_or(Value::Null))
            }
            None | Some([]) => {
                let (source_name, key) = said();
                let is_saved = |lookup: &Lookup| matches!(lookup.source, LookupSource::Saved(_));
                if self.lookups.get(lookup).is_some_and(is_saved) {
                    return Err(Reason::NotYet { source_name, key });
                }
                Err(Reason::NotFound { source_name, key })
            }
            Some(_) => {
                let (source_name, key) = said();
                Err(Reason::Ambiguous { source_name, key })
            }
        }
    }
}

impl MapError {
    /// The same of a field inside another one.
    fn under(mut self, outer: &str) -> Self {
        let dot = if self.target.is_empty() || self.target.starts_with('[') { "" } else { "." };
        self.target = format!("{outer}{dot}{}", self.target);
        self
    }
}

impl Reason {
    /// Whether there is simply no value, so that a default may stand for it.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Null(_) | Self::NotFound { .. })
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
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
