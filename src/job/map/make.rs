//! Rules at work: a row becomes a record, and what it has to look up first.

use super::{
    Answers, Convert, FieldMap, FieldRule, Lookup, LookupSource, MapError, MapRule, Origin, Reason, Rows,
    RowsRule, Want, find, find_at, plain_text, shortened,
};
use crate::words::{FieldPath, Template};
use serde_json::{Map, Value};

/// What a rule makes its field of.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) row: &'a Map<String, Value>,
    /// The place of the row in its list, from 0.
    pub(super) place: i64,
    pub(super) answers: &'a Answers,
    pub(super) lookups: &'a [Lookup],
}

impl FieldMap {
    pub(super) fn make(&self, scope: Scope<'_>) -> Result<Map<String, Value>, MapError> {
        let mut record = Map::with_capacity(self.0.len());
        for (target, rule) in &self.0 {
            if let Some(value) = rule.make(scope).map_err(|error| error.under(target))? {
                record.insert(target.clone(), value);
            }
        }
        Ok(record)
    }

    pub(super) fn wants(&self, scope: Scope<'_>, wants: &mut Vec<Want>) {
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
}

impl MapRule {
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

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
