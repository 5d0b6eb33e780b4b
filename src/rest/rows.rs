//! Reads answers without ever holding one as a whole: rows stay raw bytes, handed on one at a time while the body streams
//! in; memory is bounded by a row. XML answers give the rows that the same answer in JSON would give, as far as XML can
//! say them (xml.rs). What a row means is left to the callers.
//!
//! An answer that is no page says what it is instead: HTML, cut short, the platform's own error text.

use super::charset;
use super::said::{ERROR_FIELDS, error_in, shorten};
use super::split::{SplitError, Splitter};
use super::xml::read_xml;
use crate::job::pull::XmlTypes;
use crate::transfer::{Class, Failure, each_field};
use crate::words::FieldPath;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::{self, BufRead, BufReader, Cursor, Read};

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
    /// It is something else, or breaks off being XML.
    #[error("the answer is not XML ({reason}); it begins with `{begins}`")]
    NotXml {
        /// Its first characters.
        begins: String,
        /// What the parser said, with the position.
        reason: String,
    },
    /// It says that it is written in a charset that isn't known.
    #[error("the answer says that its charset is `{0}`, which isn't known")]
    Charset(String),
    /// It isn't written in its charset.
    #[error("the answer can't be decoded: {0}")]
    Undecodable(String),
    /// Reading the spooled body failed.
    #[error("the answer could not be read: {0}")]
    Read(#[source] io::Error),
    /// The one who takes the rows refused one.
    #[error(transparent)]
    Row(#[from] Failure),
}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Undecodable(error.to_string()),
            _ => Self::Read(error),
        }
    }
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

/// How to read an answer.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Where its rows are; the empty path is the answer itself.
    pub rows: FieldPath,
    /// The fields to pick besides.
    pub wanted: Vec<FieldPath>,
    /// What XML can't say of its rows.
    pub xml: XmlTypes,
}

/// Reads one answer: hands each of its rows to `on_row` as it comes, and picks the wanted fields in the same pass. Blocks
/// while `body` does. `charset` is what the answer's Content-Type says.
///
/// A body says itself what it is: `<` can't begin JSON, nor anything else XML, so a false Content-Type does no harm.
///
/// Rows handed on before an error are no page: the caller drops them.
pub fn read_page(
    body: impl Read,
    charset: Option<&str>,
    reading: &Reading,
    mut on_row: impl FnMut(Box<RawValue>) -> Result<(), Failure>,
) -> Result<PageFacts, PageError> {
    let mut body = charset::utf8(body, charset)?.map_err(PageError::Charset)?;
    let mut head = Vec::new();
    body.by_ref().take(128).read_to_end(&mut head)?;
    let begins: String = shorten(&String::from_utf8_lossy(&head)).chars().take(60).collect();
    if begins.is_empty() {
        return Err(PageError::Empty);
    }
    let is_html =
        ["<!doctype html", "<html"].iter().any(|html| begins.to_ascii_lowercase().starts_with(html));
    let body = BufReader::with_capacity(64 * 1024, Cursor::new(head).chain(body));
    if begins.starts_with('<') && !is_html {
        return read_xml(body, begins, reading, &mut on_row);
    }
    let Reading { rows, wanted, .. } = reading;
    let mut walk = Walk::new(Splitter::new(body), wanted.len());
    let root = Node { wanted: paths_of(wanted), rows: Some(rows.steps()), hint: None };
    let walked = walk.document(root, &mut on_row);
    let bytes = walk.json.bytes;
    walked.map_err(|stop| match stop {
        Stop::Row(failure) => PageError::Row(failure),
        Stop::Split(SplitError::Io(error)) => error.into(),
        Stop::Split(SplitError::CutShort) => PageError::CutShort { bytes },
        Stop::Split(SplitError::Syntax(reason)) => PageError::NotJson { begins, reason },
    })?;
    walk.found.conclude(rows)
}

/// The fields of one raw row, in the order asked for; only these are parsed. A row that is no object has none.
#[must_use]
pub fn fields_of(row: &RawValue, fields: &[FieldPath]) -> Vec<Option<Value>> {
    let mut found = vec![None; fields.len()];
    find_below(row, &paths_of(fields), &mut found);
    found
}

fn find_below(object: &RawValue, wanted: &[(usize, &[String])], found: &mut [Option<Value>]) {
    // A raw value was parsed when it was made; where this fails it is no object.
    let _no_object = each_field(object.get(), |name, value| {
        let mut deeper = Vec::new();
        for (place, steps) in wanted {
            match steps.split_first() {
                Some((step, [])) if *step == name => found[*place] = serde_json::from_str(value.get()).ok(),
                Some((step, left)) if *step == name => deeper.push((*place, left)),
                _ => {}
            }
        }
        if !deeper.is_empty() {
            find_below(value, &deeper, found);
        }
    });
}

pub(super) const ARRAY: &str = "an array";

/// What a walk through a document has found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) wanted: Vec<Option<Value>>,
    /// What stands where the rows should be.
    pub(super) at_rows: Option<&'static str>,
    pub(super) rows: usize,
    /// The top-level fields that may say that the answer is an error.
    pub(super) hints: Map<String, Value>,
}

impl Found {
    pub(super) fn nothing(wanted: usize) -> Self {
        Self { wanted: vec![None; wanted], ..Self::default() }
    }

    /// Takes out of a value what is looked for there.
    pub(super) fn pick(&mut self, node: &Node<'_>, value: Value) {
        for (place, steps) in &node.wanted {
            let found = steps.iter().try_fold(&value, |value, step| value.get(step));
            self.wanted[*place] = found.cloned();
        }
        if let Some(name) = node.hint {
            self.hints.insert(name.to_owned(), value);
        }
    }

    /// Whether it was a page.
    pub(super) fn conclude(self, rows: &FieldPath) -> Result<PageFacts, PageError> {
        match (self.at_rows, error_in(&self.hints)) {
            (Some(ARRAY), error_hint) => Ok(PageFacts { found: self.wanted, rows: self.rows, error_hint }),
            (_, Some(error)) => Err(PageError::Platform(error)),
            (Some(found), None) => Err(PageError::NotRows { path: rows.clone(), found }),
            (None, None) => Err(PageError::NoRows(rows.clone())),
        }
    }
}

/// Why a walk ends early.
enum Stop {
    Split(SplitError),
    Row(Failure),
}

impl From<SplitError> for Stop {
    fn from(error: SplitError) -> Self {
        Self::Split(error)
    }
}

pub(super) type OnRow<'a> = &'a mut dyn FnMut(Box<RawValue>) -> Result<(), Failure>;

/// A walk through a document.
struct Walk<R> {
    json: Splitter<R>,
    found: Found,
}

/// What is looked for at one place of the document and below it.
pub(super) struct Node<'p> {
    /// The wanted fields by their place in `found`, with the steps left to them.
    pub(super) wanted: Vec<(usize, &'p [String])>,
    /// The steps left to the rows; none left means that this is the place.
    pub(super) rows: Option<&'p [String]>,
    pub(super) hint: Option<&'static str>,
}

pub(super) fn paths_of(fields: &[FieldPath]) -> Vec<(usize, &[String])> {
    fields.iter().enumerate().map(|(place, path)| (place, path.steps())).collect()
}

impl<'p> Node<'p> {
    /// What is looked for in the value of this key.
    pub(super) fn below(&self, key: &str, is_root: bool) -> Self {
        let step =
            |steps: &'p [String]| steps.split_first().and_then(|(step, left)| (step == key).then_some(left));
        Self {
            wanted: self.wanted.iter().filter_map(|(place, steps)| Some((*place, step(steps)?))).collect(),
            rows: self.rows.and_then(step),
            hint: ERROR_FIELDS.into_iter().find(|name| is_root && *name == key),
        }
    }

    pub(super) fn is_rows(&self) -> bool {
        self.rows.is_some_and(<[String]>::is_empty)
    }

    /// Whether the value itself is asked for, and not only something in it.
    pub(super) fn is_value(&self) -> bool {
        self.hint.is_some() || self.wanted.iter().any(|(_, steps)| steps.is_empty())
    }
}

impl<R: BufRead> Walk<R> {
    fn new(json: Splitter<R>, wanted: usize) -> Self {
        Self { json, found: Found::nothing(wanted) }
    }

    fn document(&mut self, root: Node<'_>, on_row: OnRow<'_>) -> Result<(), Stop> {
        if !matches!(self.json.token()?, b'{' | b'[') {
            return Err(SplitError::Syntax("expected an object or an array".to_owned()).into());
        }
        self.node(&root, true, on_row)?;
        Ok(self.json.end()?)
    }

    fn node(&mut self, node: &Node<'_>, is_root: bool, on_row: OnRow<'_>) -> Result<(), Stop> {
        let token = self.json.token()?;
        if node.is_rows() {
            self.found.at_rows = Some(match token {
                b'[' => ARRAY,
                b'{' => "an object",
                b'"' => "a text",
                b'n' => "null",
                b't' | b'f' => "true or false",
                _ => "a number",
            });
        }
        match token {
            b'[' if node.is_rows() => self.rows(on_row),
            b'{' if node.rows.is_some() || !(node.is_value() || node.wanted.is_empty()) => {
                self.object(node, is_root, on_row)
            }
            _ if node.is_value() => self.whole(node),
            _ => Ok(self.json.skip()?),
        }
    }

    fn object(&mut self, node: &Node<'_>, is_root: bool, on_row: OnRow<'_>) -> Result<(), Stop> {
        self.json.step();
        let mut is_first = true;
        while self.json.another(is_first, b'}')? {
            is_first = false;
            let key = self.json.key()?;
            self.node(&node.below(&key, is_root), false, on_row)?;
        }
        Ok(())
    }

    fn rows(&mut self, on_row: OnRow<'_>) -> Result<(), Stop> {
        self.json.step();
        let mut is_first = true;
        while self.json.another(is_first, b']')? {
            is_first = false;
            let row = self.json.value()?;
            self.found.rows += 1;
            on_row(row).map_err(Stop::Row)?;
        }
        Ok(())
    }

    /// Parses a value and takes out of it what is wanted.
    fn whole(&mut self, node: &Node<'_>) -> Result<(), Stop> {
        let raw = self.json.value()?;
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|error| SplitError::Syntax(error.to_string()))?;
        self.found.pick(node, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn path(path: &str) -> FieldPath {
        FieldPath::new(path).unwrap()
    }

    fn paths(of: &[&str]) -> Vec<FieldPath> {
        of.iter().map(|of| path(of)).collect()
    }

    fn reading(rows: &str, wanted: &[&str]) -> Reading {
        Reading { rows: path(rows), wanted: paths(wanted), xml: XmlTypes::default() }
    }

    fn page(body: &str, rows: &str, wanted: &[&str]) -> Result<(Vec<String>, PageFacts), PageError> {
        let mut got = Vec::new();
        let facts = read_page(body.as_bytes(), None, &reading(rows, wanted), |row| {
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
            ("{}", "an object"),
            ("12", "a number"),
            ("-1.5", "a number"),
        ] {
            let said = error(&format!("{{\"data\":{value}}}"), "data");
            assert_eq!(said, format!("`data` of the answer is {kind}, not an array of rows"));
        }
        for broken in [
            "{\"data\":[]} x",
            "{\"data\":[1,]}",
            "{\"data\":[1 2]}",
            "{\"data\":[{\"a\":tru}]}",
            "{\"data\":[{]}]}",
            "{\"data\":[1],}",
            "{\"data\":[1],\"x\":tru}",
            "{\"data\":[1],\"x\" 1}",
            "{data:[1]}",
            "{\"data\":[1]]",
            "12",
            "\"data\"",
        ] {
            assert!(error(broken, "data").contains("not JSON"), "{broken}: {}", error(broken, "data"));
        }
        let said = error("{\"data\":[1;2]}", "data");
        assert!(said.contains("expected a comma or the end of a list at byte 11"), "{said}");
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
        let failure = read_page("[1,2,3]".as_bytes(), None, &reading("", &[]), refuse).unwrap_err();
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
        let stopped = read_page(endless, None, &reading("data", &[]), |_| {
            rows += 1;
            if rows < 100_000 { Ok(()) } else { Err(Failure::new(Class::Stopped, "enough")) }
        });
        assert!(matches!(stopped, Err(PageError::Row(_))), "{stopped:?}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\"\\\\{}\\[\\]:,a-cü ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(("[\"\\\\a-c]{0,3}", inner), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let few = self.1.min(buffer.len());
            self.0.read(&mut buffer[..few])
        }
    }

    proptest! {
        #[test]
        fn any_document_is_split_as_the_parser_would(
            rows in prop::collection::vec(any_json(), 0..4),
            beside in any_json(),
            few in 1_usize..9,
            pretty in any::<bool>(),
        ) {
            let document = json!({"a": beside, "b": {"c": beside, "rows": rows, "d": 1}, "e": {"f": beside}});
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            let mut got: Vec<Value> = Vec::new();
            let reading = reading("b.rows", &["a", "b.c", "e.f", "b.rows.x"]);
            let facts = read_page(Trickle(text.as_bytes(), few), None, &reading, |row| {
                got.push(serde_json::from_str(row.get()).unwrap());
                Ok(())
            });
            let beside = Some(beside);
            prop_assert_eq!(facts.unwrap().found, [beside.clone(), beside.clone(), beside, None]);
            prop_assert_eq!(got, rows);
        }
    }
}
