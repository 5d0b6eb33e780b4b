//! What of an answer is a page, whatever its form, and what it says where it is none.

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
    let (rows, facts) = page(r#"{"meta":{"count":0},"data":[]}"#, "data", &["meta", "meta.count"]).unwrap();
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
    let (_, facts) = page(r#"{"data":[1],"success":false,"message":"half"}"#, "data", &["message"]).unwrap();
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
