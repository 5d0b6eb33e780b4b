use super::program::{BadFilter, Program};
use super::{check, serve};

fn made(filter: &str, row: &str) -> String {
    match Program::new(filter).unwrap().run(row.as_bytes()) {
        Ok(row) => serde_json::Value::Object(row).to_string(),
        Err(reason) => format!("error: {reason}"),
    }
}

#[test]
fn a_filter_makes_one_row_of_a_row() {
    for (filter, row, expected) in [
        ("{sku, n: (.lines | length)}", r#"{"sku":"A","lines":[1,2]}"#, r#"{"sku":"A","n":2}"#),
        // Passed through, a number keeps its text, in whatever depth.
        (".", r#"{"a":0.10,"b":[12345678901234567890.10]}"#, r#"{"a":0.10,"b":[12345678901234567890.10]}"#),
        ("{a: .b[0]}", r#"{"b":[0.10]}"#, r#"{"a":0.10}"#),
        (". + {ok: (.sku | test(\"^A\"))}", r#"{"sku":"A"}"#, r#"{"sku":"A","ok":true}"#),
        ("with_entries(select(.value != null))", r#"{"a":null,"b":1}"#, r#"{"b":1}"#),
        ("empty", "{}", "error: the filter gives nothing for it; to leave rows out, write `where`"),
        ("., .", "{}", "error: the filter gives more than one row for it"),
        (".a", r#"{"a":1}"#, "error: the filter does not make a JSON object of it"),
        ("{a: nan}", "{}", "error: the filter does not make a JSON object of it"),
        ("error(\"no\")", "{}", "error: the filter fails: \"no\""),
        ("{a: $ENV}", "{}", ""),
    ] {
        if expected.is_empty() {
            assert!(check(filter).is_err(), "{filter}");
        } else {
            assert_eq!(made(filter, row), expected, "{filter}");
        }
    }
}

#[test]
fn what_a_row_has_no_use_for_is_not_there() {
    for name in [
        "halt",
        "env",
        "input",
        "inputs",
        "debug",
        "stderr",
        "now",
        "localtime",
        "halt_error",
        "input_filename",
    ] {
        let expected = BadFilter { offset: 2, problem: format!("`{name}` is left out of filters here") };
        assert_eq!(
            check(&format!(". |{name}")).map_err(|bad| BadFilter { offset: bad.offset - 1, ..bad }),
            Err(expected)
        );
    }
    assert_eq!(check("include \"x\"; .").unwrap_err().problem, "a filter can't load modules");
    assert_eq!(check("import \"x\" as x; .").unwrap_err().problem, "a filter can't load modules");
}

#[test]
fn mistakes_are_pointed_at() {
    for (filter, offset, problem) in [
        ("{a: .b", 6, "expected closing brace"),
        (".a | nope", 5, "there is no filter `nope`"),
        ("\"ą\" | $x", 6, "there is no variable `$x`"),
        ("", 0, "expected term"),
    ] {
        assert_eq!(check(filter), Err(BadFilter { offset, problem: problem.to_owned() }), "{filter}");
    }
}

#[test]
fn a_worker_answers_each_line_with_a_line() {
    let input = b"\"{a: (.a / .b)}\"\n{\"a\":1,\"b\":2}\n{\"a\":\"x\",\"b\":2}\n{\"a\":4,\"b\":2}\n";
    let mut output = Vec::new();
    serve::answer(&input[..], &mut output).unwrap();
    let lines: Vec<&str> = std::str::from_utf8(&output).unwrap().lines().collect();
    assert_eq!((lines[0], lines[2]), (r#"{"row":{"a":0.5}}"#, r#"{"row":{"a":2.0}}"#));
    assert!(lines[1].starts_with(r#"{"error":"the filter fails: cannot"#), "{}", lines[1]);
}
