//! Reads XML answers a row at a time, as rows.rs reads JSON ones, and writes each row as the JSON it stands for.
//! Elements become fields; the root element is the document itself. XML has no types, so this is decided by rule, and
//! where the rules can't know by the job's `xml` key:
//!
//! - An element with text is a text, never a number: `1.50` keeps its digits, `0012` its zeros.
//! - `<a/>` is null and so is an element marked `nil`; `<a></a>` is the empty text. Servers that write both alike can't be
//!   told apart.
//! - An element whose children are all called `item` is a list, and so are elements of one name side by side. An element
//!   that stands alone is no list, unless it is declared one in `lists`, as is `<a/>` the empty list only there.
//! - What is declared in `numbers` and `booleans` becomes one where it reads like one (`1` and `0` are booleans too); empty,
//!   it is null.
//! - Attributes, comments and processing instructions say nothing; a name loses its prefix. Text beside elements goes into
//!   the field `#`.
//!
//! The rows are the `item`s of the element at the given path, or else that element itself as often as it stands there.
//! A DOCTYPE is refused: with it come entities, and there are none here but the five of XML and characters by number.

use super::rows::{ARRAY, Found, Node, OnRow, PageError, PageFacts, Reading, paths_of};
use super::said::shorten;
use crate::job::pull::XmlTypes;
use crate::words::FieldPath;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io::BufRead;

/// What an entry of a list is called.
const ITEM: &str = "item";
/// Elements within elements.
const DEEPEST: usize = 100;

/// Why reading ends early.
enum Stop {
    Page(PageError),
    Syntax(String),
    CutShort,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self::Syntax(error.to_string())
            }
            Error::Io(error) => {
                Self::Page(PageError::Read(std::io::Error::new(error.kind(), error.to_string())))
            }
            Error::Syntax(_) => Self::CutShort,
            other => Self::Syntax(other.to_string()),
        }
    }
}

/// As [`super::rows::read_page`], of XML.
pub(super) fn read_xml(
    body: impl BufRead,
    begins: String,
    reading: &Reading,
    on_row: OnRow<'_>,
) -> Result<PageFacts, PageError> {
    let Reading { rows, wanted, xml: types } = reading;
    let reader = Reader::from_reader(body);
    let mut walk = Walk { reader, buffer: Vec::new(), found: Found::nothing(wanted.len()), types };
    let root = Node { wanted: paths_of(wanted), rows: Some(rows.steps()), hint: None };
    walk.document(&root, on_row).map_err(|stop| match stop {
        Stop::Page(error) => error,
        Stop::CutShort => PageError::CutShort { bytes: walk.reader.buffer_position() },
        Stop::Syntax(reason) => PageError::NotXml {
            begins,
            reason: format!("{} at byte {}", shorten(&reason), walk.reader.buffer_position()),
        },
    })?;
    walk.found.conclude(rows)
}

/// Reads a document whole, by the same rules: what its root element holds. Without declarations, everything in it is a
/// text, null, a list or fields.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read_document(body: &[u8]) -> Result<Value, String> {
    let types = XmlTypes::default();
    let mut walk = Walk {
        reader: Reader::from_reader(body),
        buffer: Vec::new(),
        found: Found::nothing(0),
        types: &types,
    };
    let read = walk.root().map_err(|stop| match stop {
        Stop::Syntax(reason) => shorten(&reason),
        Stop::CutShort => "it ends too early".to_owned(),
        Stop::Page(error) => error.to_string(),
    });
    read.map_err(|reason| format!("{reason} at byte {}", walk.reader.buffer_position()))
}

struct Walk<'t, R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    found: Found,
    types: &'t XmlTypes,
}

/// What comes next in a document, without what says nothing.
enum Piece {
    Open(Open),
    Text(String),
    Close,
    End,
}

/// An element's beginning.
struct Open {
    name: String,
    /// `<a/>`: there is no [`Piece::Close`] to come.
    is_empty: bool,
    is_nil: bool,
}

impl<R: BufRead> Walk<'_, R> {
    fn next(&mut self) -> Result<Piece, Stop> {
        loop {
            self.buffer.clear();
            return Ok(match self.reader.read_event_into(&mut self.buffer)? {
                Event::Start(start) => Piece::Open(open(&start, false)),
                Event::Empty(start) => Piece::Open(open(&start, true)),
                Event::End(_) => Piece::Close,
                Event::Text(text) => Piece::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Piece::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(name) => {
                    let by_number = name.resolve_char_ref()?.map(String::from);
                    let text = by_number.or_else(|| resolve_xml_entity(&name).map(str::to_owned));
                    let unknown = || Stop::Syntax(format!("the entity `&{};` is not defined", &*name));
                    Piece::Text(text.ok_or_else(unknown)?)
                }
                Event::DocType(_) => return Err(Stop::Syntax("a DOCTYPE is not accepted".to_owned())),
                Event::Eof => Piece::End,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            });
        }
    }

    fn document(&mut self, root: &Node<'_>, on_row: OnRow<'_>) -> Result<(), Stop> {
        let open = self.begin()?;
        if matches!(open.name.as_str(), "error" | "errors") {
            let error = self.value(open, None, Types::none())?;
            self.found.hints.insert("error".to_owned(), error);
        } else {
            self.element(open, root, true, on_row)?;
        }
        self.end()
    }

    /// The root element's value, of a document that has nothing else.
    fn root(&mut self) -> Result<Value, Stop> {
        let open = self.begin()?;
        let value = self.value(open, None, Types::none())?;
        self.end().map(|()| value)
    }

    /// The root element's beginning.
    fn begin(&mut self) -> Result<Open, Stop> {
        loop {
            match self.next()? {
                Piece::Open(open) => return Ok(open),
                Piece::Text(text) if is_blank(&text) => {}
                Piece::Text(_) | Piece::Close => {
                    return Err(Stop::Syntax("it doesn't begin with an element".to_owned()));
                }
                Piece::End => return Err(Stop::CutShort),
            }
        }
    }

    /// What follows the root element: nothing.
    fn end(&mut self) -> Result<(), Stop> {
        loop {
            match self.next()? {
                Piece::End => return Ok(()),
                Piece::Text(text) if is_blank(&text) => {}
                _ => return Err(Stop::Syntax("something follows its end".to_owned())),
            }
        }
    }

    /// An element on the way to the rows, or with something that is wanted, or neither.
    fn element(&mut self, open: Open, node: &Node<'_>, is_root: bool, on_row: OnRow<'_>) -> Result<(), Stop> {
        if node.is_rows() {
            return self.rows(open, on_row);
        }
        if node.rows.is_none() || open.is_empty {
            return if node.is_value() || !node.wanted.is_empty() {
                self.whole(open, node)
            } else {
                self.skip(open)
            };
        }
        loop {
            match self.next()? {
                Piece::Open(open) => {
                    let below = node.below(&open.name, is_root);
                    self.element(open, &below, false, on_row)?;
                }
                Piece::Text(_) => {}
                Piece::Close => return Ok(()),
                Piece::End => return Err(Stop::CutShort),
            }
        }
    }

    fn rows(&mut self, open: Open, on_row: OnRow<'_>) -> Result<(), Stop> {
        if self.found.at_rows.is_none() || !open.is_empty {
            self.found.at_rows = Some(ARRAY);
        }
        if open.is_empty {
            return Ok(());
        }
        let mut is_text = false;
        loop {
            match self.next()? {
                Piece::Open(first) if first.name != ITEM => {
                    let row = self.value(open, Some(first), Types::of(self.types))?;
                    return self.row(&row, on_row);
                }
                Piece::Open(item) => {
                    let row = self.value(item, None, Types::of(self.types))?;
                    self.row(&row, on_row)?;
                    return self.items(on_row);
                }
                Piece::Text(text) => is_text |= !is_blank(&text),
                Piece::Close => {
                    if is_text {
                        self.found.at_rows = Some("a text");
                    }
                    return Ok(());
                }
                Piece::End => return Err(Stop::CutShort),
            }
        }
    }

    /// The rows after the first.
    fn items(&mut self, on_row: OnRow<'_>) -> Result<(), Stop> {
        loop {
            match self.next()? {
                Piece::Open(item) if item.name == ITEM => {
                    let row = self.value(item, None, Types::of(self.types))?;
                    self.row(&row, on_row)?;
                }
                Piece::Open(other) => {
                    return Err(Stop::Syntax(format!("`{}` stands among the items", other.name)));
                }
                Piece::Text(_) => {}
                Piece::Close => return Ok(()),
                Piece::End => return Err(Stop::CutShort),
            }
        }
    }

    fn row(&mut self, row: &Value, on_row: OnRow<'_>) -> Result<(), Stop> {
        self.found.rows += 1;
        let raw = RawValue::from_string(row.to_string()).map_err(|error| Stop::Syntax(error.to_string()))?;
        on_row(raw).map_err(|failure| Stop::Page(PageError::Row(failure)))
    }

    fn skip(&mut self, open: Open) -> Result<(), Stop> {
        let mut depth = usize::from(!open.is_empty);
        while depth > 0 {
            match self.next()? {
                Piece::Open(open) => depth += usize::from(!open.is_empty),
                Piece::Text(_) => {}
                Piece::Close => depth -= 1,
                Piece::End => return Err(Stop::CutShort),
            }
        }
        Ok(())
    }

    /// Reads an element and takes out of it what is wanted.
    fn whole(&mut self, open: Open, node: &Node<'_>) -> Result<(), Stop> {
        let value = self.value(open, None, Types::none())?;
        // The words for yes and no are all that an error is told by; XML has no other.
        let value = match &value {
            Value::String(text) if node.hint.is_some() => boolean(text).map_or(value, Value::Bool),
            _ => value,
        };
        self.found.pick(node, value);
        Ok(())
    }

    /// Reads an element to its end; `first` is the child that was read already.
    fn value(&mut self, open: Open, first: Option<Open>, types: Types<'_>) -> Result<Value, Stop> {
        let mut stack = vec![Element::new(open, types)];
        let mut next = first;
        loop {
            let depth = stack.len();
            let Some(element) = stack.last_mut() else { return Ok(Value::Null) };
            let piece = match next.take() {
                Some(open) => Piece::Open(open),
                None if element.is_empty => Piece::Close,
                None => self.next()?,
            };
            match piece {
                Piece::Open(_) if depth == DEEPEST => {
                    return Err(Stop::Syntax(format!("more than {DEEPEST} elements within each other")));
                }
                Piece::Open(open) => {
                    let types = element.types.below(&open.name);
                    stack.push(Element::new(open, types));
                }
                Piece::Text(text) => element.text.push_str(&text),
                Piece::Close => {
                    let Some(element) = stack.pop() else { return Ok(Value::Null) };
                    match stack.last_mut() {
                        Some(parent) => parent.take(element),
                        None => return Ok(element.value()),
                    }
                }
                Piece::End => return Err(Stop::CutShort),
            }
        }
    }
}

fn open(start: &BytesStart<'_>, is_empty: bool) -> Open {
    let name = start.local_name().as_ref().to_owned();
    let nil = start.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == "nil");
    let is_nil = nil.is_some_and(|nil| boolean(&nil.value) == Some(true));
    Open { name, is_empty, is_nil }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// What a job declares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    List,
    Number,
    Boolean,
}

/// What is declared at one place of a row and below it.
struct Types<'t>(Vec<(Type, &'t [String])>);

impl<'t> Types<'t> {
    fn none() -> Self {
        Self(Vec::new())
    }

    fn of(types: &'t XmlTypes) -> Self {
        let all =
            [(Type::List, &types.lists), (Type::Number, &types.numbers), (Type::Boolean, &types.booleans)];
        let each =
            |(kind, paths): (Type, &'t Vec<FieldPath>)| paths.iter().map(move |path| (kind, path.steps()));
        Self(all.into_iter().flat_map(each).collect())
    }

    /// An `item` stands where its list stands.
    fn below(&self, name: &str) -> Self {
        if name == ITEM {
            return Self(self.0.clone());
        }
        let step = |(kind, steps): &(Type, &'t [String])| {
            steps.split_first().and_then(|(step, left)| (step == name).then_some((*kind, left)))
        };
        Self(self.0.iter().filter_map(step).collect())
    }

    fn has(&self, wanted: Type) -> bool {
        self.0.iter().any(|(kind, steps)| *kind == wanted && steps.is_empty())
    }
}

/// An element under way.
struct Element<'t> {
    name: String,
    is_empty: bool,
    is_nil: bool,
    types: Types<'t>,
    text: String,
    fields: Map<String, Value>,
    /// The fields that are lists because their elements stand side by side.
    repeated: BTreeSet<String>,
}

impl<'t> Element<'t> {
    fn new(open: Open, types: Types<'t>) -> Self {
        let Open { name, is_empty, is_nil } = open;
        let (text, fields, repeated) = (String::new(), Map::new(), BTreeSet::new());
        Self { name, is_empty, is_nil, types, text, fields, repeated }
    }

    /// Whether it holds nothing but `item`s.
    fn is_wrapped(&self) -> bool {
        self.fields.len() == 1 && self.fields.contains_key(ITEM) && is_blank(&self.text)
    }

    fn take(&mut self, child: Element<'t>) {
        let is_list = child.name == ITEM || child.types.has(Type::List);
        let is_wrapped = child.name != ITEM && child.is_wrapped();
        let is_nothing = child.fields.is_empty() && is_blank(&child.text);
        let name = child.name.clone();
        let value = match child.value() {
            // An `item` that is empty is an entry all the same, a list that is empty has none.
            _ if is_list && is_nothing && name != ITEM => Value::Array(Vec::new()),
            value => value,
        };
        let entries = match value {
            Value::Array(entries) if is_list && (is_wrapped || is_nothing) && name != ITEM => entries,
            value if is_list => vec![value],
            value => {
                match self.fields.get_mut(&name) {
                    None => {
                        self.fields.insert(name, value);
                    }
                    Some(Value::Array(entries)) if self.repeated.contains(&name) => entries.push(value),
                    Some(before) => {
                        *before = Value::Array(vec![before.take(), value]);
                        self.repeated.insert(name);
                    }
                }
                return;
            }
        };
        match self.fields.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(all) => all.extend(entries),
            // A declared list is an array from its first entry on.
            other => *other = Value::Array(entries),
        }
    }

    fn value(mut self) -> Value {
        if self.is_wrapped() {
            return self.fields.remove(ITEM).unwrap_or_default();
        }
        if !self.fields.is_empty() {
            if !is_blank(&self.text) {
                self.fields.insert("#".to_owned(), Value::String(self.text));
            }
            return Value::Object(self.fields);
        }
        let typed = if self.types.has(Type::Number) {
            serde_json::from_str(self.text.trim()).ok().map(Value::Number)
        } else if self.types.has(Type::Boolean) {
            boolean(&self.text).map(Value::Bool)
        } else if self.is_nil || self.is_empty {
            return Value::Null;
        } else {
            None
        };
        let is_typed = self.types.has(Type::Number) || self.types.has(Type::Boolean);
        match typed {
            Some(value) => value,
            None if is_typed && is_blank(&self.text) => Value::Null,
            None => Value::String(self.text),
        }
    }
}

#[cfg(test)]
mod tests;
