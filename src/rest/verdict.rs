//! What a 2xx answer to a batch says of its records. Success is what the body says, not the status: some platforms
//! answer 200 and `success: false`, or a list with one result for each record.

use super::request::Answer;
use super::said::{error_in, shorten, words_in};
use crate::transfer::{Class, Failure, Record};
use serde_json::{Map, Value};
use std::io::{BufRead as _, BufReader};

/// The mark some servers put before UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of it was accepted.
    Accepted,
    /// These records, by their place, were not accepted; the others were.
    Each(Vec<(usize, Refusal)>),
    /// It was refused with these words; it is not said for what in it.
    Refused(String),
    /// Some of it may have been carried out; these words say why that isn't known.
    Unclear(String),
}

/// Why a record was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The platform's words.
    pub(super) words: String,
    /// What the answer holds of this record, if that is less than all of it.
    pub(super) answer: Option<String>,
    /// Nothing was said of it: it may have been carried out.
    pub(super) unheard: bool,
}

/// A 2xx answer and its JSON, as [`document`] reads it.
pub(super) async fn document_of(mut answer: Answer) -> Result<(Answer, Option<Value>), Failure> {
    // A large answer lies in a file.
    let read = move || document(&mut answer).map(|document| (answer, document));
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| Failure::new(Class::Answer, error.to_string()))?
}

/// The JSON of a 2xx answer to a push; nothing where it is empty or a plain `OK`. Blocks on a spooled body. The
/// answer is as large as our own batch makes it, so it is parsed as a whole.
///
/// # Errors
/// [`Class::Answer`]: it is no answer of the platform's, such as an HTML page or JSON that breaks off.
fn document(answer: &mut Answer) -> Result<Option<Value>, Failure> {
    let claims = |kind: &str| answer.content_type.as_deref().is_some_and(|claimed| claimed.contains(kind));
    let head = answer.body.head();
    let head = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
    match head.first() {
        None => return Ok(None),
        Some(b'<') => return Err(answer.no_answer()),
        Some(_) if claims("html") => return Err(answer.no_answer()),
        Some(b'{' | b'[') => {}
        Some(_) if claims("json") => {}
        Some(_) => return Ok(None),
    }
    let shown = answer.shown.clone();
    let parsed = answer.body.reader().map_err(serde_json::Error::io).and_then(|body| {
        let mut body = BufReader::new(body);
        if body.fill_buf().map_err(serde_json::Error::io)?.starts_with(BOM) {
            body.consume(BOM.len());
        }
        serde_json::from_reader(body)
    });
    parsed.map(Some).map_err(|error| {
        let class = if error.is_io() { Class::State } else { Class::Answer };
        Failure::new(class, format!("{shown}: {}: the answer can't be read: {error}", answer.status))
    })
}

/// What the answer says of the batch with these records, where nobody has said how to read it.
pub(super) fn of(document: Option<&Value>, records: &[&Record]) -> Verdict {
    document.map_or(Verdict::Accepted, |document| of_document(document, records))
}

fn of_document(document: &Value, records: &[&Record]) -> Verdict {
    let top = match document {
        Value::Object(top) => top,
        Value::Array(results) => return of_results(results, records),
        Value::Bool(false) => return Verdict::Refused("the answer is `false`".to_owned()),
        _ => return Verdict::Accepted,
    };
    if let Some(words) = error_in(top).or_else(|| error_by_word(top, records)) {
        return Verdict::Refused(words);
    }
    // Eryxon answers `data.results[]`, one a record, or counts and `errors[]` in `data.results` (Eryxon contract §5).
    let data = top.get("data").and_then(Value::as_object).unwrap_or(top);
    for results in [data.get("results"), top.get("results")].into_iter().flatten() {
        let verdict = match results {
            Value::Array(results) => of_results(results, records),
            Value::Object(counts) => of_counts(counts, records.len()),
            _ => Verdict::Accepted,
        };
        if verdict != Verdict::Accepted {
            return verdict;
        }
    }
    of_counts(data, records.len())
}

/// A total, and the parts of it that are told, must be what was sent.
fn of_counts(counts: &Map<String, Value>, sent: usize) -> Verdict {
    let count = |name: &&str| counts.get(*name).and_then(Value::as_u64);
    let failed = count(&"failed").filter(|failed| *failed > 0);
    if let Some(words) = error_in(counts).or_else(|| failed.map(|failed| format!("{failed} failed"))) {
        return Verdict::Unclear(words);
    }
    let parts: Vec<u64> =
        ["created", "updated", "skipped", "unchanged", "failed", "errors"].iter().filter_map(count).collect();
    let wrong = match count(&"total") {
        Some(total) if total != sent as u64 => Some(total),
        Some(total) => Some(parts.iter().sum()).filter(|sum| !parts.is_empty() && *sum != total),
        None => None,
    };
    wrong.map_or(Verdict::Accepted, |wrong| {
        Verdict::Unclear(format!("the counts don't add up: {sent} records were sent, and it counts {wrong}"))
    })
}

/// Results go by place only if there is one for each record and none of them names another record.
fn of_results(results: &[Value], records: &[&Record]) -> Verdict {
    let refusal = |result: &Value| {
        let words = refusal_in(result.as_object()?)?;
        Some(Refusal { words, answer: Some(result.to_string()), unheard: false })
    };
    let mut refused: Vec<(usize, Refusal)> =
        results.iter().enumerate().filter_map(|(place, result)| Some((place, refusal(result)?))).collect();
    let in_order = || results.iter().zip(records).all(|(result, record)| may_be_of(result, record));
    if refused.is_empty() {
        Verdict::Accepted
    } else if results.len() == records.len() && in_order() {
        Verdict::Each(refused)
    } else {
        Verdict::Unclear(refused.swap_remove(0).1.words)
    }
}

/// The words of a result that is an error.
pub(super) fn refusal_in(result: &Map<String, Value>) -> Option<String> {
    let by_word = says_failed(result, "action") || says_failed(result, "status");
    error_in(result).or_else(|| by_word.then(|| shorten(&Value::Object(result.clone()).to_string())))
}

fn says_failed(answer: &Map<String, Value>, field: &str) -> bool {
    let word = answer.get(field).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    matches!(word.as_str(), "error" | "fail" | "failed" | "failure" | "rejected")
}

/// The words of an answer whose `status` says that it is an error, unless that is the status of the record, which some
/// platforms answer with.
fn error_by_word(top: &Map<String, Value>, records: &[&Record]) -> Option<String> {
    let is_records = |record: &&Record| {
        let record = serde_json::from_str::<Map<String, Value>>(record.content.get());
        record.is_ok_and(|record| record.get("status") == top.get("status"))
    };
    let is_error = says_failed(top, "status") && !records.iter().any(is_records);
    is_error.then(|| shorten(&words_in(top).unwrap_or_else(|| Value::Object(top.clone()).to_string())))
}

/// Whether a result can be the one of this record: what both hold under the same name is the same.
fn may_be_of(result: &Value, record: &Record) -> bool {
    let (Some(result), Ok(record)) =
        (result.as_object(), serde_json::from_str::<Map<String, Value>>(record.content.get()))
    else {
        return false;
    };
    let ids = ["external_id", "externalId", "sku", "key", "number"];
    ids.iter().all(|id| match (result.get(*id), record.get(*id)) {
        (Some(Value::Null), _) | (_, None) | (None, _) => true,
        (Some(in_result), Some(in_record)) => in_result == in_record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::record;

    fn verdict(json: &str) -> Verdict {
        let records =
            [record("1", r#"{"external_id":"A"}"#, &[]), record("2", r#"{"external_id":"B"}"#, &[])];
        of(serde_json::from_str(json).ok().as_ref(), &records.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_body_without_an_error_accepts_everything() {
        for json in [
            "{}",
            "[]",
            r#"{"success":true,"message":"stored"}"#,
            r#"{"success":true,"data":{"total":2,"created":2,"errors":0,"results":[{"action":"created"},{}]}}"#,
            r#"{"success":true,"data":{"results":{"created":2,"failed":0,"errors":[]}}}"#,
            r#"[{"id":1,"status":"ok"},{"id":2}]"#,
            r#""4711""#,
        ] {
            assert_eq!(verdict(json), Verdict::Accepted, "{json}");
        }
    }

    #[test]
    fn results_one_a_record_refuse_only_those_that_failed() {
        for json in [
            r#"{"success":true,"data":{"errors":1,"results":[{"external_id":"A","action":"created"},
                {"external_id":"B","action":"error","error":"name is required"}]}}"#,
            r#"{"results":[{"success":true},{"success":false,"message":"name is required"}]}"#,
            r#"[{},{"error":"name is required"}]"#,
        ] {
            let Verdict::Each(refused) = verdict(json) else { panic!("{json}") };
            let words: Vec<_> = refused.iter().map(|(place, refusal)| (*place, &*refusal.words)).collect();
            assert_eq!(words, [(1, "name is required")], "{json}");
        }
    }

    #[test]
    fn a_failure_that_can_not_be_placed_refuses_the_batch() {
        for json in [r#"{"success":false,"message":"no"}"#, r#"{"errors":["no"]}"#] {
            assert_eq!(verdict(json), Verdict::Refused("no".to_owned()), "{json}");
        }
        for json in [
            r#"{"data":{"error":"no"}}"#,
            r#"{"success":true,"data":{"results":{"created":1,"failed":1,"errors":[{"item":{},"error":"no"}]}}}"#,
            r#"{"data":{"results":[{"error":"no"}]}}"#,
            r#"{"data":{"results":[{"external_id":"B","error":"no"},{"external_id":"A"}]}}"#,
        ] {
            assert_eq!(verdict(json), Verdict::Unclear("no".to_owned()), "{json}");
        }
        assert_eq!(verdict(r#"{"data":{"failed":2}}"#), Verdict::Unclear("2 failed".to_owned()));
    }

    #[test]
    fn a_status_that_is_an_error_refuses_the_batch_unless_it_is_the_records_own() {
        let error = r#"{"status":"error","message":"the database is down"}"#;
        assert_eq!(verdict(error), Verdict::Refused("the database is down".to_owned()));
        let fail = r#"{"status":"fail","data":{"name":"is required"}}"#;
        assert_eq!(verdict(fail), Verdict::Refused(fail.to_owned()));
        assert_eq!(verdict("false"), Verdict::Refused("the answer is `false`".to_owned()));
        for fine in [r#"{"status":"success","data":null}"#, r#"{"status":200}"#, "true", "null"] {
            assert_eq!(verdict(fine), Verdict::Accepted, "{fine}");
        }
        let order = record("1", r#"{"id":1,"status":"failed"}"#, &[]);
        let echo = serde_json::json!({"id": 1, "status": "failed"});
        assert_eq!(of(Some(&echo), &[&order]), Verdict::Accepted);
    }

    #[test]
    fn counts_that_do_not_add_up_accept_nothing() {
        for json in [
            r#"{"success":true,"data":{"total":3,"created":3}}"#,
            r#"{"success":true,"data":{"total":2,"created":1,"errors":0}}"#,
            r#"{"success":true,"total":1}"#,
        ] {
            assert!(matches!(verdict(json), Verdict::Unclear(_)), "{json}");
        }
    }
}
