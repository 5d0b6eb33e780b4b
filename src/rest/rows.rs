//! Reads JSON answers without ever holding one as a whole: rows stay raw bytes, handed on one at a time while the
//! body streams in; memory is bounded by a row. What a row means is left to the callers.
//!
//! An answer that is no page says what it is instead: HTML, cut short, the platform's own error text.

use super::said::{ERROR_FIELDS, error_in, shorten};
use crate::transfer::{Class, Failure};
use crate::words::FieldPath;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;
use std::io::{BufReader, Cursor, Read};

/// What a page holds besides its rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PageFacts {
    /// The wanted fields, in the order asked for; nothing where the body has none.
    pub found: Vec<Option<Value>>,
    /// How many rows were handed on.
    pub rows: usize,
    /// The platform's own words where the body has rows and says at the same time that something failed.
    pub error_hint: Option<String>,
}

/// Why an answer is not a page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is no body.
    #[error("the answer is empty; JSON was expected")]
    Empty,
    /// It is something else, or breaks off being JSON.
    #[error("the answer is not JSON ({reason}); it begins with `{begins}`")]
    NotJson {
        /// Its first characters.
        begins: String,
        /// What the parser said, with the position.
        reason: String,
    },
    /// It ends in the middle.
    #[error("the answer was cut short after {bytes} bytes")]
    CutShort {
        /// How much came.
        bytes: u64,
    },
    /// The platform says that it failed.
    #[error("the platform answered with an error: {0}")]
    Platform(String),
    /// Nothing stands where the rows should.
    #[error("the answer has no `{0}`, where the rows should be")]
    NoRows(FieldPath),
    /// Something else stands where the rows should.
    #[error("`{path}` of the answer is {found}, not an array of rows")]
    NotRows {
        /// Where the rows should be; empty for the answer itself.
        path: FieldPath,
        /// What is there.
        found: &'static str,
    },
    /// Reading the spooled body failed.
    #[error("the answer could not be read: {0}")]
    Read(#[from] std::io::Error),
    /// The one who takes the rows refused one.
    #[error(transparent)]
    Row(#[from] Failure),
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Row(failure) => failure,
            PageError::Read(_) => Self::new(Class::State, error.to_string()),
            other => Self::new(Class::Answer, other.to_string()),
        }
    }
}

/// Reads one answer: hands each element of the array at `rows` (the empty path is the answer itself) to `on_row` as
/// it comes, and picks the `wanted` fields in the same pass. Blocks while `body` does.
///
/// Rows handed on before an error are no page: the caller drops them.
pub fn read_page(
    body: impl Read,
    rows: &FieldPath,
    wanted: &[FieldPath],
    mut on_row: impl FnMut(Box<RawValue>) -> Result<(), Failure>,
) -> Result<PageFacts, PageError> {
    let mut walk = Walk::new(wanted.len(), &mut on_row);
    let node = Node { wanted: paths_of(wanted), rows: Some(rows.steps()), root: true, walk: &mut walk };
    if let Err(error) = read(body, node) {
        return Err(walk.refused.map_or(error, PageError::Row));
    }
    match (walk.at_rows, error_in(&walk.hints)) {
        (Some(ARRAY), error_hint) => Ok(PageFacts { found: walk.found, rows: walk.rows, error_hint }),
        (_, Some(error)) => Err(PageError::Platform(error)),
        (Some(found), None) => Err(PageError::NotRows { path: rows.clone(), found }),
        (None, None) => Err(PageError::NoRows(rows.clone())),
    }
}

/// The fields of one raw row, in the order asked for; only these are parsed. A row that is no object has none.
#[must_use]
pub fn fields_of(row: &RawValue, fields: &[FieldPath]) -> Vec<Option<Value>> {
    let mut no_rows = |_| Ok(());
    let mut walk = Walk::new(fields.len(), &mut no_rows);
    let node = Node { wanted: paths_of(fields), rows: None, root: false, walk: &mut walk };
    // A raw value was parsed when it was made; should this parse fail all the same, what it found stands.
    let _parsed = node.deserialize(&mut serde_json::Deserializer::from_str(row.get()));
    walk.found
}

const ARRAY: &str = "an array";

fn paths_of(fields: &[FieldPath]) -> Vec<(usize, &[String])> {
    fields.iter().enumerate().map(|(place, path)| (place, path.steps())).collect()
}

fn read(mut body: impl Read, node: Node<'_, '_, '_>) -> Result<(), PageError> {
    let mut head = Vec::new();
    body.by_ref().take(128).read_to_end(&mut head)?;
    if head.starts_with(b"\xEF\xBB\xBF") {
        head.drain(..3);
    }
    let begins = shorten(&String::from_utf8_lossy(&head)).chars().take(60).collect::<String>();
    if begins.is_empty() {
        return Err(PageError::Empty);
    }
    let mut bytes = 0;
    let counting = Counting { body: Cursor::new(head).chain(body), bytes: &mut bytes };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 * 1024, counting));
    let parsed = node.deserialize(&mut json).and_then(|()| json.end());
    drop(json);
    parsed.map_err(|error| match error.classify() {
        serde_json::error::Category::Io => PageError::Read(error.into()),
        serde_json::error::Category::Eof => PageError::CutShort { bytes },
        _ => PageError::NotJson { begins, reason: error.to_string() },
    })
}

/// Counts the bytes of a body as they are read.
struct Counting<'a, R> {
    body: R,
    bytes: &'a mut u64,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.body.read(buffer)?;
        *self.bytes += read as u64;
        Ok(read)
    }
}

/// What a pass over a document has found so far.
struct Walk<'a> {
    found: Vec<Option<Value>>,
    /// What stands where the rows should be.
    at_rows: Option<&'static str>,
    rows: usize,
    on_row: &'a mut dyn FnMut(Box<RawValue>) -> Result<(), Failure>,
    /// What `on_row` said when it stopped the pass.
    refused: Option<Failure>,
    /// The top-level fields that may say that the answer is an error.
    hints: Map<String, Value>,
}

impl<'a> Walk<'a> {
    fn new(wanted: usize, on_row: &'a mut dyn FnMut(Box<RawValue>) -> Result<(), Failure>) -> Self {
        Self { found: vec![None; wanted], at_rows: None, rows: 0, on_row, refused: None, hints: Map::new() }
    }
}

/// One place in the document, with what is still looked for below it.
struct Node<'w, 'p, 'a> {
    /// The wanted fields by their place in `found`, with the steps left to them.
    wanted: Vec<(usize, &'p [String])>,
    /// The steps left to the rows; none left means that this is the place.
    rows: Option<&'p [String]>,
    root: bool,
    walk: &'w mut Walk<'a>,
}

impl Node<'_, '_, '_> {
    fn is_rows(&self) -> bool {
        self.rows.is_some_and(<[String]>::is_empty)
    }

    fn scalar(self, kind: &'static str) {
        if self.is_rows() {
            self.walk.at_rows = Some(kind);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.is_rows() {
            // A number that keeps its digits comes this way too.
            self.walk.at_rows = Some("an object or a decimal number");
        }
        while let Some(child) =
            map.next_key_seed(Key { wanted: &self.wanted, rows: self.rows, root: self.root })?
        {
            let is_whole = child.hint.is_some() || child.wanted.iter().any(|(_, steps)| steps.is_empty());
            if child.rows.is_some() || (!is_whole && !child.wanted.is_empty()) {
                let Child { wanted, rows, .. } = child;
                map.next_value_seed(Node { wanted, rows, root: false, walk: &mut *self.walk })?;
            } else if is_whole {
                let value: Value = map.next_value()?;
                for (place, steps) in child.wanted {
                    let found = steps.iter().try_fold(&value, |value, step| value.get(step));
                    self.walk.found[place] = found.cloned();
                }
                if let Some(name) = child.hint {
                    self.walk.hints.insert(name.to_owned(), value);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.is_rows() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        self.walk.at_rows = Some(ARRAY);
        while let Some(row) = items.next_element::<Box<RawValue>>()? {
            self.walk.rows += 1;
            if let Err(failure) = (self.walk.on_row)(row) {
                self.walk.refused = Some(failure);
                return Err(A::Error::custom("a row was refused"));
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar("null");
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.scalar("true or false");
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.scalar("a number");
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.scalar("a number");
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.scalar("a number");
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.scalar("a text");
        Ok(())
    }
}

/// Decides by an object's key what is looked for in its value, without keeping the key.
struct Key<'k, 'p> {
    wanted: &'k [(usize, &'p [String])],
    rows: Option<&'p [String]>,
    root: bool,
}

/// What is looked for in one value of an object.
struct Child<'p> {
    wanted: Vec<(usize, &'p [String])>,
    rows: Option<&'p [String]>,
    hint: Option<&'static str>,
}

/// The steps below `key`, where the path leads there.
fn below<'p>(steps: &'p [String], key: &str) -> Option<&'p [String]> {
    steps.split_first().and_then(|(step, left)| (step == key).then_some(left))
}

impl<'de, 'p> DeserializeSeed<'de> for Key<'_, 'p> {
    type Value = Child<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Child<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Key<'_, 'p> {
    type Value = Child<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Child<'p>, E> {
        let wanted = self.wanted.iter().filter_map(|(place, steps)| Some((*place, below(steps, key)?)));
        let hint = ERROR_FIELDS.into_iter().find(|name| self.root && *name == key);
        Ok(Child { wanted: wanted.collect(), rows: self.rows.and_then(|rows| below(rows, key)), hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(path: &str) -> FieldPath {
        FieldPath::new(path).unwrap()
    }

    fn paths(of: &[&str]) -> Vec<FieldPath> {
        of.iter().map(|of| path(of)).collect()
    }

    fn page(body: &str, rows: &str, wanted: &[&str]) -> Result<(Vec<String>, PageFacts), PageError> {
        let mut got = Vec::new();
        let facts = read_page(body.as_bytes(), &path(rows), &paths(wanted), |row| {
            got.push(row.get().to_owned());
            Ok(())
        })?;
        Ok((got, facts))
    }

    fn error(body: &str, rows: &str) -> String {
        page(body, rows, &[]).unwrap_err().to_string()
    }

    #[test]
    fn rows_come_byte_for_byte_with_the_fields_around_them() {
        let body = "\u{FEFF} {\"a\":[1,{\"data\":[9]}],\"pagination\":{\"totalItems\":23,\"x\":{\"y\":\"z\"}},\n\
            \"data\":[{\"id\":10.10, \"data\":[0]},7,null],\"nextId\":12345678901234567890123}  ";
        let wanted = ["pagination.totalItems", "nextId", "pagination.x.y", "nope", "nextId.deeper"];
        let (rows, facts) = page(body, "data", &wanted).unwrap();
        assert_eq!(rows, ["{\"id\":10.10, \"data\":[0]}", "7", "null"]);
        let big: Value = serde_json::from_str("12345678901234567890123").unwrap();
        assert_eq!(facts.found, [Some(json!(23)), Some(big), Some(json!("z")), None, None]);
        assert_eq!((facts.rows, facts.error_hint), (3, None));
    }

    #[test]
    fn rows_may_be_the_answer_itself_or_deep_in_it() {
        assert_eq!(page(" [ {\"a\":1} ,2]", "", &["x"]).unwrap().0, ["{\"a\":1}", "2"]);
        assert_eq!(page(r#"{"a":{"b":{"c":[1]}}}"#, "a.b.c", &["a.b"]).unwrap().0, ["1"]);
        let (rows, facts) =
            page(r#"{"meta":{"count":0},"data":[]}"#, "data", &["meta", "meta.count"]).unwrap();
        assert_eq!((rows.len(), facts.found), (0, vec![Some(json!({"count": 0})), Some(json!(0))]));
    }

    #[test]
    fn what_is_no_page_says_what_it_is_instead() {
        let html = error("<!DOCTYPE html><html><head><title>Login</title>", "data");
        assert!(html.contains("not JSON") && html.contains("`<!DOCTYPE html>"), "{html}");
        assert_eq!(error(" \n ", "data"), "the answer is empty; JSON was expected");
        assert_eq!(error(r#"{"rows":[]}"#, "data"), "the answer has no `data`, where the rows should be");
        assert_eq!(
            error(r#"{"data":{"items":[]}}"#, "data.rows"),
            "the answer has no `data.rows`, where the rows should be"
        );
        for (value, kind) in [
            ("null", "null"),
            ("\"x\"", "a text"),
            ("true", "true or false"),
            ("{}", "an object or a decimal number"),
            ("12", "a number"),
            ("-1.5", "an object or a decimal number"),
        ] {
            let said = error(&format!("{{\"data\":{value}}}"), "data");
            assert_eq!(said, format!("`data` of the answer is {kind}, not an array of rows"));
        }
        assert!(error("{\"data\":[]} x", "data").contains("not JSON (trailing characters"));
        assert!(error("{\"data\":[1,]}", "data").contains("not JSON"));
    }

    #[test]
    fn a_body_cut_anywhere_is_never_a_page() {
        let whole = r#"{"a":"ü","data":[{"id":1,"x":[true]},{"id":2}],"n":{"total":2}}"#;
        for cut in (1..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
            match page(&whole[..cut], "data", &["n.total"]) {
                Err(PageError::CutShort { bytes }) => assert_eq!(bytes, cut as u64),
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
        assert!(page(whole, "data", &[]).is_ok());
    }

    #[test]
    fn the_platforms_own_error_is_reported() {
        for body in [
            r#"{"success":false,"error":{"code":"X","message":"quota used up"}}"#,
            r#"{"error":"quota used up"}"#,
            r#"{"success":false,"message":"quota used up","data":null}"#,
            r#"{"errors":[{"message":"quota used up"}],"data":{}}"#,
        ] {
            assert_eq!(error(body, "data"), "the platform answered with an error: quota used up", "{body}");
        }
        assert_eq!(error(r#"{"error":"no"}"#, ""), "the platform answered with an error: no");
        let (_, facts) =
            page(r#"{"data":[1],"success":false,"message":"half"}"#, "data", &["message"]).unwrap();
        assert_eq!((facts.error_hint.as_deref(), facts.found), (Some("half"), vec![Some(json!("half"))]));
    }

    #[test]
    fn a_refused_row_stops_the_reading_with_its_own_failure() {
        let mut rows = 0;
        let refuse = |_| {
            rows += 1;
            Err(Failure::new(Class::Stopped, "stop"))
        };
        let failure = read_page("[1,2,3]".as_bytes(), &path(""), &[], refuse).unwrap_err();
        assert_eq!(Failure::from(failure), Failure::new(Class::Stopped, "stop"));
        assert_eq!(rows, 1);
    }

    #[test]
    fn only_the_asked_fields_of_a_row_are_given() {
        let row = r#"{"id":"7","n":1.50,"a":{"b":{"c":[1]}},"updatedBy":null}"#;
        let row = RawValue::from_string(row.to_owned()).unwrap();
        let found = fields_of(&row, &paths(&["n", "a.b.c", "id", "nope", "id.x", "updatedBy"]));
        let number: Value = serde_json::from_str("1.50").unwrap();
        assert_eq!(found, [Some(number), Some(json!([1])), Some(json!("7")), None, None, Some(Value::Null)]);
        let number = RawValue::from_string("12".to_owned()).unwrap();
        assert_eq!(fields_of(&number, &paths(&["id"])), [None]);
    }

    #[test]
    fn rows_are_handed_on_while_the_body_streams() {
        struct Endless(std::iter::Cycle<std::slice::Iter<'static, u8>>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.iter_mut().zip(&mut self.0).for_each(|(to, from)| *to = *from);
                Ok(buffer.len())
            }
        }
        let endless = b"{\"data\":[0".chain(Endless(b",{\"id\":1}".iter().cycle()));
        let mut rows = 0;
        let stopped = read_page(endless, &path("data"), &[], |_| {
            rows += 1;
            if rows < 100_000 { Ok(()) } else { Err(Failure::new(Class::Stopped, "enough")) }
        });
        assert!(matches!(stopped, Err(PageError::Row(_))), "{stopped:?}");
    }
}
