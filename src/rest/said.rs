//! What the other side said when it refused: its own words, out of whatever it wrapped them in. Platforms answer
//! errors as JSON of many shapes, plain text or HTML pages; an operator needs the sentence in it.

use serde_json::{Map, Value};

/// The longest words kept, in characters.
const LONGEST: usize = 200;

/// What stands where words were cut.
pub(super) const CUT: char = '…';

/// The top-level fields that say a JSON answer is an error, or why.
pub(super) const ERROR_FIELDS: [&str; 4] = ["success", "error", "errors", "message"];

/// The error a JSON object reports: `success: false`, or an `error` or `errors` that isn't empty. A `message` alone
/// is none.
pub(super) fn error_in(answer: &Map<String, Value>) -> Option<String> {
    let says = |field: &str| answer.get(field).is_some_and(is_something);
    let success_is_false = match answer.get("success") {
        Some(Value::Bool(success)) => !success,
        Some(Value::String(success)) => success.eq_ignore_ascii_case("false"),
        _ => false,
    };
    (success_is_false || says("error") || says("errors"))
        .then(|| words_in(answer).map_or_else(|| "success is false".to_owned(), |words| shorten(&words)))
}

/// The words of an answer's body, at most 200 characters of them.
#[must_use]
pub(super) fn words_of(body: &[u8]) -> String {
    let text = match serde_json::from_slice(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)) {
        Ok(Value::Object(object)) => words_in(&object),
        Ok(Value::String(text)) => Some(text),
        _ => None,
    };
    let text = text.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into_owned() }
    });
    shorten(&text)
}

/// On one line and cut.
pub(super) fn shorten(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(LONGEST) {
        words.truncate(cut);
        words.push(CUT);
    }
    words
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

pub(super) fn words_in(object: &Map<String, Value>) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for field in ["error", "message", "errors", "error_description", "detail", "title", "reason"] {
        if let Some(text) = object.get(field).and_then(words_of_value)
            && !words.iter().any(|known| known.contains(&text))
        {
            words.push(text);
        }
    }
    (!words.is_empty()).then(|| words.join(": "))
}

pub(super) fn words_of_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().filter_map(words_of_value).take(3).collect();
            (!words.is_empty()).then(|| words.join("; "))
        }
        Value::Object(fields) if !fields.is_empty() => {
            Some(words_in(fields).unwrap_or_else(|| value.to_string()))
        }
        _ => None,
    }
}

/// The text of an HTML or XML page: tags are spaces, scripts and styles are nothing.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let hidden = ["script", "style", "!--"]
            .into_iter()
            .find(|name| tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
        rest = match hidden {
            Some("!--") => after(tag, "-->"),
            Some(name) => after(after(&tag[name.len()..], &format!("</{name}")), ">"),
            None => after(tag, ">"),
        };
    }
    text.push_str(rest);
    text
}

/// What follows the first `mark` in whatever case; nothing where there is none.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let found = text
        .char_indices()
        .find(|(at, _)| text.get(*at..at + mark.len()).is_some_and(|here| here.eq_ignore_ascii_case(mark)));
    found.map_or("", |(at, _)| &text[at + mark.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_found_in_every_wrapping() {
        for (body, words) in [
            (r#"{"error":"quantity must not be negative"}"#, "quantity must not be negative"),
            (r#"{"success":false,"error":{"code":"X","message":"Invalid API key"}}"#, "Invalid API key"),
            (r#"{"status":400,"error":"Bad Request","message":"sku unknown"}"#, "Bad Request: sku unknown"),
            (r#"{"errors":[{"message":"a"},"b",{"detail":"c"},"d"]}"#, "a; b; c"),
            (r#"{"errors":[{"field":"sku"}]}"#, r#"{"field":"sku"}"#),
            (r#"{"title":"Not Found","detail":"no such client"}"#, "no such client: Not Found"),
            (r#"{"code":7}"#, r#"{"code":7}"#),
            (r#""client not found""#, "client not found"),
            ("  client\n not   found ", "client not found"),
            ("\u{FEFF}{\"message\":\"m\"}", "m"),
            ("", ""),
            (
                "<!DOCTYPE html><html><head><STYLE>b{a<b}</style><script>if(a<b)x()</SCRIPT></head>\
                 <!-- <p>no</p> --><body><h1>502 Bad Gateway</h1><p>nginx</p></body></html>",
                "502 Bad Gateway nginx",
            ),
            ("<html><scr", ""),
        ] {
            assert_eq!(words_of(body.as_bytes()), words, "{body}");
        }
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let words = words_of("ą".repeat(900).as_bytes());
        assert_eq!(words, "ą".repeat(200) + "…");
    }

    #[test]
    fn an_error_is_told_from_an_empty_error_field() {
        let error = |json: &str| error_in(&serde_json::from_str(json).unwrap());
        for fine in [
            r#"{"success":true,"error":null,"errors":[],"message":"stored"}"#,
            r#"{"error":"","errors":0}"#,
            r#"{"error":false,"message":"ok"}"#,
            r#"{"message":"ok"}"#,
        ] {
            assert_eq!(error(fine), None, "{fine}");
        }
        assert_eq!(error(r#"{"success":false}"#).as_deref(), Some("success is false"));
        assert_eq!(error(r#"{"success":"False","message":"no"}"#).as_deref(), Some("no"));
        assert_eq!(error(r#"{"error":true,"message":"no"}"#).as_deref(), Some("no"));
        assert_eq!(error(r#"{"success":true,"errors":["x"]}"#).as_deref(), Some("x"));
    }
}
