//! One layer as a tree of nodes that know where they stand. Built from the span-aware TOML parse, or from variables and
//! flags; tables keep the order they were written in, numbers the text they were written as.

use super::diagnostic::{Diagnostic, OriginKind, Place};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Node {
    /// Where its key stands; an array's element stands for itself.
    pub(super) key_at: Place,
    /// Where the value stands.
    pub(super) at: Place,
    /// Where the text inside the quotes starts, if column `n` of it is `n` characters further on.
    pub(super) text_at: Option<Place>,
    /// The value.
    pub(super) value: Value,
}

/// A value as TOML has them.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    /// Decimal text, so that no digit is lost.
    Float(String),
    Bool(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Node {
    /// An empty table at the start of a layer.
    pub(super) fn root(place: Place) -> Self {
        Self { key_at: place.clone(), at: place, text_at: None, value: Value::Table(Vec::new()) }
    }

    /// What kind of value it is, as a message says it.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Its keys and their values, if it is a table.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The values of a list; one value stands for a list of one.
    pub(super) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Array(list) => list,
            _ => std::slice::from_ref(self),
        }
    }

    /// The value of a key, if it is a table that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The same, for changing them.
    pub(super) fn table_mut(&mut self) -> Option<&mut Vec<(String, Self)>> {
        match &mut self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// Takes keys out of the table at a path.
    pub(super) fn remove(&mut self, path: &[&str], keys: &[&str]) {
        let Some(entries) = self.table_mut() else { return };
        match path.split_first() {
            None => entries.retain(|(name, _)| !keys.contains(&name.as_str())),
            Some((step, rest)) => {
                if let Some((_, below)) = entries.iter_mut().find(|(name, _)| name == step) {
                    below.remove(rest, keys);
                }
            }
        }
    }

    /// Sets the value at a path, making the tables on the way; a value that stands there gives way.
    pub(super) fn set(&mut self, path: &[String], node: Self) {
        let Some((step, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(Vec::new());
        }
        let Some(entries) = self.table_mut() else { return };
        let index = entries.iter().position(|(name, _)| name == step).unwrap_or_else(|| {
            entries.push((step.clone(), Self::root(node.at.clone())));
            entries.len() - 1
        });
        entries[index].1.set(rest, node);
    }

    /// Where character `column` (from 0) of a text stands.
    pub(super) fn column(&self, column: usize) -> Place {
        let mut place = self.text_at.as_ref().unwrap_or(&self.at).clone();
        if self.text_at.is_some() {
            place.column += column;
        }
        place
    }
}

/// Reads a file. What can't be read is reported and left out; the rest is there all the same.
pub(super) fn parse(file: &str, source: &str) -> (Node, Vec<Diagnostic>) {
    let lines = Lines::new(Place::start(file, OriginKind::File), source);
    let (table, errors) = DeTable::parse_recoverable(source);
    let mistakes = errors
        .iter()
        .map(|error| {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            Diagnostic::new(&place, "syntax", one_line(error.message()))
        })
        .collect();
    let mut root = Node::root(lines.start.clone());
    root.value = lines.table(table.get_ref());
    (root, mistakes)
}

/// A list or an inline table written as text, as variables and flags have to; anything else is the text itself.
pub(super) fn parse_value(place: &Place, text: &str) -> Node {
    let mut node = Node {
        key_at: place.clone(),
        at: place.clone(),
        text_at: Some(place.clone()),
        value: Value::Text(text.to_owned()),
    };
    if text.starts_with(['[', '{'])
        && let Ok(value) = DeValue::parse(text)
    {
        node.text_at = None;
        node.value = Lines::new(place.clone(), text).value(value.get_ref());
    }
    node
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

struct Lines<'a> {
    start: Place,
    source: &'a str,
    /// Where each line starts, in bytes.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(start: Place, source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { start, source, starts }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).map_or(0, |index| self.starts[index]);
        let before = self.source.get(start..offset).unwrap_or_default();
        Place { line, column: 1 + before.chars().count(), ..self.start.clone() }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        // The parser's map is sorted by name; what an operator wrote first comes first.
        entries.sort_by_key(|(key, _)| key.span().start);
        let node = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), self.node(key.span().start, value))
        };
        Value::Table(entries.into_iter().map(node).collect())
    }

    fn node(&self, key: usize, value: &Spanned<DeValue<'_>>) -> Node {
        let span = value.span();
        let text_at = value.get_ref().as_str().and_then(|text| {
            let raw = self.source.get(span.clone())?;
            let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
            let inside = raw.get(quotes..)?.trim_start_matches(['\r', '\n']);
            let verbatim = inside.starts_with(text) && !text.contains('\n');
            verbatim.then(|| self.place(span.end - inside.len()))
        });
        Node {
            key_at: self.place(key),
            at: self.place(span.start),
            text_at,
            value: self.value(value.get_ref()),
        }
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| Value::Float(integer.as_str().to_owned()), Value::Integer),
            DeValue::Float(float) => Value::Float(float.as_str().to_owned()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
            DeValue::Array(array) => {
                Value::Array(array.iter().map(|value| self.node(value.span().start, value)).collect())
            }
            DeValue::Table(table) => self.table(table),
        }
    }
}
