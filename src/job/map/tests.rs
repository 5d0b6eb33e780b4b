use super::*;
use serde_json::json;

fn row() -> Map<String, Value> {
    let row = r#"{"sku":" A-17 ","quantity":"0012345678901234567890.10","price":0.10,"stock":{"free":3},"flag":"t",
        "state":"A","empty":"","nothing":null,"lines":[{"no":10,"sku":"X","qty":"1.50"},{"no":20,"sku":"Y","qty":2}],
        "text_lines":"[{\"sku\":\"X\"}]","sold":"2026-07-15 12:00:00","no.dots":1}"#;
    serde_json::from_str(row).unwrap()
}

fn path(name: &str) -> FieldPath {
    FieldPath::new(name).unwrap()
}

fn template(text: &str) -> MapRule {
    MapRule::Template(Template::new(text).unwrap())
}

fn rule(name: &str) -> FieldRule {
    FieldRule::new(Origin::Field(path(name)))
}

fn of(rule: FieldRule) -> MapRule {
    MapRule::Field(Box::new(rule))
}

/// The record, as text, that a single rule makes of the row.
fn made(rule: MapRule) -> String {
    match FieldMap(vec![("x".to_owned(), rule)]).apply(&row()) {
        Ok(record) => Value::Object(record).to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_type_keeps_all_of_a_value_or_refuses_it() {
    use ValueType::{Bool, Decimal, Integer, Places, Text};
    let cents = Places { places: 2, rounding: None };
    let rounded = Places { places: 0, rounding: Some(Rounding::HalfUp) };
    for (name, value_type, expected) in [
        ("quantity", Decimal, r#"{"x":12345678901234567890.10}"#),
        ("quantity", Text, r#"{"x":"0012345678901234567890.10"}"#),
        ("quantity", Integer, "field `x`: 0012345678901234567890.10 is not a whole number"),
        ("price", Decimal, r#"{"x":0.10}"#),
        ("price", Text, r#"{"x":"0.10"}"#),
        ("price", cents, r#"{"x":0.10}"#),
        (
            "price",
            Places { places: 0, rounding: None },
            "field `x`: 0.10 is not a number of 0 decimals at most, and `round` does not say how to make it one",
        ),
        ("price", rounded, r#"{"x":0}"#),
        ("price", Bool, "field `x`: 0.10 is not true or false"),
        ("stock.free", Decimal, r#"{"x":3}"#),
        ("stock.free", Integer, r#"{"x":3}"#),
        ("stock", Text, r#"field `x`: {"free":3} is not a single value"#),
        ("flag", Bool, r#"{"x":true}"#),
        ("sku", Decimal, "field `x`:  A-17  is not a decimal number"),
        ("empty", Decimal, "field `x`: `` is not a decimal number"),
        ("nothing", Decimal, r#"{"x":null}"#),
        ("no.dots", Integer, r#"{"x":1}"#),
        ("nowhere", Text, "field `x`: the row has no `nowhere`"),
        ("stock.nowhere", Text, "field `x`: the row has no `stock.nowhere`"),
        (
            "sold",
            ValueType::Timestamp(MomentRule::default()),
            "field `x`: 2026-07-15 12:00:00 is a time without a zone: say which one with `from-timezone`",
        ),
        ("sold", ValueType::Date(MomentRule::default()), r#"{"x":"2026-07-15"}"#),
        ("sku", ValueType::Date(MomentRule::default()), "field `x`:  A-17  is not a date"),
    ] {
        let said = made(MapRule::typed(path(name), value_type.clone()));
        assert_eq!(said, expected, "{name} as {value_type:?}");
    }
}

#[test]
fn a_template_keeps_a_sole_value_and_makes_a_text_of_several() {
    for (text, expected) in [
        ("{stock.free}", r#"{"x":3}"#),
        ("{sku}: {stock.free}", r#"{"x":" A-17 : 3"}"#),
        ("{price}", r#"{"x":0.10}"#),
        ("{nothing}", r#"{"x":null}"#),
        ("no {nothing}", "field `x`: `nothing` is null, and stands inside a text"),
        ("no {nowhere}", "field `x`: the row has no `nowhere`"),
        ("{{}}", r#"{"x":"{}"}"#),
    ] {
        assert_eq!(made(template(text)), expected, "{text}");
    }
    assert_eq!(made(MapRule::Constant(json!([1, "a"]))), r#"{"x":[1,"a"]}"#);
    assert!(made(MapRule::Record).starts_with(r#"{"x":"{\"sku\":\" A-17 \","#));
}

#[test]
fn a_default_stands_for_what_is_missing_null_or_empty() {
    let with_default = |name: &str| of(FieldRule { default: Some(json!("?")), ..rule(name) });
    for (name, expected) in [
        ("nowhere", r#"{"x":"?"}"#),
        ("nothing", r#"{"x":"?"}"#),
        ("empty", r#"{"x":"?"}"#),
        ("state", r#"{"x":"A"}"#),
    ] {
        assert_eq!(made(with_default(name)), expected, "{name}");
    }
    let text = Origin::Template(Template::new("no {nothing}").unwrap());
    let in_text = of(FieldRule { default: Some(json!(null)), ..FieldRule::new(text) });
    assert_eq!(made(in_text), r#"{"x":null}"#);
    // A value that is there and does not fit is not missing.
    let typed =
        FieldRule { default: Some(json!(0)), convert: Convert::Type(ValueType::Decimal), ..rule("state") };
    assert_eq!(made(of(typed)), "field `x`: A is not a decimal number");
}

#[test]
fn what_is_empty_can_be_left_out_and_what_is_not_never_is() {
    let omitting = |name: &str| of(FieldRule { omit_empty: true, ..rule(name) });
    for name in ["nowhere", "nothing", "empty"] {
        assert_eq!(made(omitting(name)), "{}", "{name}");
    }
    assert_eq!(made(omitting("stock")), r#"{"x":{"free":3}}"#);
    assert_eq!(made(of(FieldRule { trim: true, ..rule("sku") })), r#"{"x":"A-17"}"#);
    let nested = |name: &str| MapRule::Nested(FieldMap(vec![("y".to_owned(), omitting(name))]));
    assert_eq!(made(nested("state")), r#"{"x":{"y":"A"}}"#);
    assert_eq!(made(nested("nothing")), "{}", "nothing is left of the nested record");
}

#[test]
fn a_value_is_one_of_those_known_or_refused() {
    let values = |name: &str, otherwise: Option<Value>| {
        let known = vec![("A".to_owned(), json!("SHIPPED")), ("3".to_owned(), json!(true))];
        of(FieldRule { convert: Convert::Values { known, otherwise }, ..rule(name) })
    };
    assert_eq!(made(values("state", None)), r#"{"x":"SHIPPED"}"#);
    assert_eq!(made(values("stock.free", None)), r#"{"x":true}"#);
    assert_eq!(made(values("flag", None)), "field `x`: t is none of A, 3");
    assert_eq!(made(values("empty", None)), "field `x`: `` is none of A, 3");
    assert_eq!(made(values("flag", Some(json!("OTHER")))), r#"{"x":"OTHER"}"#);
    assert_eq!(made(values("nothing", Some(json!("OTHER")))), r#"{"x":null}"#);
}

#[test]
fn lists_are_mapped_line_by_line_and_may_be_numbered_anew() {
    let number = of(FieldRule::new(Origin::Number(1)));
    let line = |qty: MapRule| {
        FieldMap(vec![
            ("lineNumber".to_owned(), number.clone()),
            ("orderLine".to_owned(), template("{no}")),
            ("qty".to_owned(), qty),
        ])
    };
    let rows = |name: &str, map: FieldMap, omit_empty: bool| {
        MapRule::Rows(Box::new(RowsRule { rows: Rows::Field(path(name)), map, omit_empty }))
    };
    let decimal = MapRule::typed(path("qty"), ValueType::Decimal);
    assert_eq!(
        made(rows("lines", line(decimal), false)),
        r#"{"x":[{"lineNumber":1,"orderLine":10,"qty":1.50},{"lineNumber":2,"orderLine":20,"qty":2}]}"#
    );
    let whole = MapRule::typed(path("qty"), ValueType::Integer);
    assert_eq!(made(rows("lines", line(whole), false)), "field `x[0].qty`: 1.50 is not a whole number");
    let sku = || FieldMap(vec![("sku".to_owned(), template("{sku}"))]);
    assert_eq!(made(rows("text_lines", sku(), false)), r#"{"x":[{"sku":"X"}]}"#);
    assert_eq!(made(rows("nothing", sku(), false)), r#"{"x":[]}"#);
    assert_eq!(made(rows("nothing", sku(), true)), "{}");
    assert_eq!(made(rows("empty", sku(), false)), r#"{"x":[]}"#);
    assert_eq!(made(rows("nowhere", sku(), false)), "field `x`: the row has no `nowhere`");
    assert_eq!(made(rows("state", sku(), false)), "field `x`: A is not a list of rows");
    assert_eq!(made(rows("stock", sku(), false)), r#"field `x`: {"free":3} is not a list of rows"#);
    let mut odd = row();
    odd.insert("lines".to_owned(), json!([1]));
    let map = FieldMap(vec![("x".to_owned(), rows("lines", sku(), false))]);
    assert_eq!(map.apply(&odd).unwrap_err().to_string(), "field `x[0]`: 1 is not a row with fields");
}

/// A shaping with one lookup by the line's SKU and one by the order's state.
fn looking_up() -> Shaping {
    let lookup = |by: &str| Lookup {
        from: crate::words::ConnectionName::new("erp").unwrap(),
        source: LookupSource::Sql("select …".to_owned()),
        by: vec![path(by)],
    };
    let looked_up = |at: usize| of(FieldRule::new(Origin::Lookup(at)));
    let line = FieldMap(vec![("productId".to_owned(), looked_up(0))]);
    let lines = RowsRule { rows: Rows::Field(path("lines")), map: line, omit_empty: false };
    Shaping {
        map: Some(FieldMap(vec![
            ("clientId".to_owned(), looked_up(1)),
            ("lines".to_owned(), MapRule::Rows(Box::new(lines))),
        ])),
        lookups: vec![lookup("sku"), lookup("state")],
        ..Shaping::default()
    }
}

#[test]
fn what_a_map_needs_is_known_before_it_is_made() {
    let shaping = looking_up();
    let mut answers = Answers::default();
    let wanted = |answers: &Answers| {
        let mut wants = Vec::new();
        shaping.wants(&row(), answers, &mut wants);
        wants
    };
    let keys: Vec<(usize, Value)> =
        wanted(&answers).into_iter().map(|want| (want.lookup, want.key.into())).collect();
    assert_eq!(keys, [(1, json!(["A"])), (0, json!(["X"])), (0, json!(["Y"]))]);
    for (want, id) in wanted(&answers).into_iter().zip(7..) {
        answers.keep(want, vec![json!({ "id": id, "more": "columns" })]);
    }
    assert_eq!(wanted(&answers), []);
    let record = shaping.record(row(), &answers).unwrap();
    let expected = r#"{"clientId":7,"lines":[{"productId":8},{"productId":9}]}"#;
    assert_eq!(Value::Object(record).to_string(), expected);
}

#[test]
fn what_is_not_found_or_found_twice_is_refused_by_its_key() {
    let shaping = looking_up();
    let answers = |of_y: Vec<Value>| {
        let mut answers = Answers::default();
        answers.keep(Want::new(1, vec![json!("A")]), vec![json!({"id": 1})]);
        answers.keep(Want::new(0, vec![json!("X")]), vec![json!({"id": 1})]);
        answers.keep(Want::new(0, vec![json!("Y")]), of_y);
        answers
    };
    let error = |of_y| shaping.record(row(), &answers(of_y)).unwrap_err().to_string();
    assert_eq!(error(vec![]), "field `lines[1].productId`: the lookup has nothing for sku Y");
    assert_eq!(
        error(vec![json!({"id": 1}), json!({"id": 2})]),
        "field `lines[1].productId`: the lookup has more than one row for sku Y"
    );
}

#[test]
fn the_fields_a_map_needs_are_those_nothing_stands_for() {
    let mut shaping = looking_up();
    shaping.only = Some(Condition::new("web").unwrap());
    let FieldMap(fields) = shaping.map.as_mut().unwrap();
    fields.push(("a".to_owned(), of(FieldRule { default: Some(json!(1)), ..rule("may.miss") })));
    fields.push(("b".to_owned(), MapRule::Nested(FieldMap(vec![("c".to_owned(), template("{x} {y}"))]))));
    assert_eq!(shaping.needed_fields(), ["web", "state", "lines", "x", "y"]);
}
