//! What an answer says of each record where the job says how to read it. Promises: a record counts as accepted only if
//! its own result, or a list of failures whose counts add up, says so; an answer without what was promised accepts
//! nothing.

use super::rows::fields_of;
use super::said::{error_in, shorten, words_of_value};
use super::verdict::{Refusal, Verdict, refusal_in};
use crate::job::map::plain_text;
use crate::job::push::{Lists, Matched, ReadBack, ResultCounts, Results, Saved};
use crate::transfer::Record;
use crate::words::FieldPath;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What the answer says of the request with these records.
pub(super) fn judge(forms: &[Results], document: Option<&Value>, records: &[&Record]) -> Verdict {
    let Some(document) = document else {
        return Verdict::Unclear("the answer is empty, where results are promised".to_owned());
    };
    if let Some(words) = document.as_object().and_then(error_in) {
        return Verdict::Refused(words);
    }
    let form = forms.iter().find_map(|form| Some((form, form.rows.find(document)?.as_array()?)));
    let Some((form, rows)) = form else {
        let promised = forms.iter().map(|form| format!("`{}`", form.rows)).collect::<Vec<_>>().join(", ");
        return Verdict::Unclear(format!("the answer has no list of results {promised}"));
    };
    read(form, document, rows, records).unwrap_or_else(|why| {
        let failed = sum(&form.counts.failed, document).ok().flatten();
        if failed == Some(records.len() as u64) { Verdict::Refused(why) } else { Verdict::Unclear(why) }
    })
}

fn read(form: &Results, document: &Value, rows: &[Value], records: &[&Record]) -> Result<Verdict, String> {
    let places = place(form, rows, records)?;
    let mut refused = Vec::new();
    for (row, place) in rows.iter().zip(&places) {
        if let Some(words) = failure_in(form, row) {
            refused.push((*place, Refusal { words, answer: Some(row.to_string()), unheard: false }));
        }
    }
    reconcile(&form.counts, document, records.len(), refused.len())?;
    if form.lists == Lists::All {
        let mut heard = vec![false; records.len()];
        places.iter().for_each(|place| heard[*place] = true);
        let unheard = heard.iter().enumerate().filter(|(_, heard)| !**heard);
        refused.extend(unheard.map(|(place, _)| {
            let words = "the answer has no result for it".to_owned();
            (place, Refusal { words, answer: None, unheard: true })
        }));
    } else if form.counts == ResultCounts::default() && rows.is_empty() {
        return Ok(Verdict::Accepted);
    }
    refused.sort_unstable_by_key(|(place, _)| *place);
    Ok(if refused.is_empty() { Verdict::Accepted } else { Verdict::Each(refused) })
}

/// The record of each result; an error where that can't be told.
fn place(form: &Results, rows: &[Value], records: &[&Record]) -> Result<Vec<usize>, String> {
    let (result, record) = match &form.matched {
        Matched::Position if rows.len() == records.len() => return Ok((0..rows.len()).collect()),
        Matched::Position => {
            return Err(format!("{} results for {} records", rows.len(), records.len()));
        }
        Matched::Key { result, record } => (result, record),
    };
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for (place, of) in records.iter().enumerate() {
        let key = fields_of(&of.content, std::slice::from_ref(record)).pop().flatten();
        if let Some(key) = key {
            by_key.insert(plain_text(&key), place);
        }
    }
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let key = result.find(row).map(plain_text);
        let place = key.as_ref().and_then(|key| by_key.remove(key));
        places.push(place.ok_or_else(|| match key {
            Some(key) => format!("a result for `{key}`, which was not sent or came twice"),
            None => format!("a result without `{result}`"),
        })?);
    }
    Ok(places)
}

fn failure_in(form: &Results, row: &Value) -> Option<String> {
    let said = || form.error.find(row).and_then(words_of_value);
    if form.ok_when.is_empty() && form.lists == Lists::All {
        return row.as_object().and_then(refusal_in).map(|words| said().unwrap_or(words));
    }
    let holds = |(path, values): &(FieldPath, Vec<String>)| {
        path.find(row).is_some_and(|found| values.contains(&plain_text(found)))
    };
    let is_fine = form.lists == Lists::All && form.ok_when.iter().all(holds);
    (!is_fine).then(|| shorten(&said().unwrap_or_else(|| row.to_string())))
}

/// What the answer counts at these places, together.
fn sum(paths: &[FieldPath], document: &Value) -> Result<Option<u64>, String> {
    let count = |path: &FieldPath| {
        path.find(document).and_then(Value::as_u64).ok_or_else(|| format!("the answer has no count `{path}`"))
    };
    let sum = paths.iter().map(count).sum::<Result<u64, _>>()?;
    Ok((!paths.is_empty()).then_some(sum))
}

/// Whether what the answer counts is what was sent.
fn reconcile(counts: &ResultCounts, document: &Value, sent: usize, refused: usize) -> Result<(), String> {
    let (sent, refused) = (sent as u64, refused as u64);
    for (paths, what, expected) in [
        (&counts.total, "in all", sent),
        (&counts.accepted, "accepted", sent - refused),
        (&counts.failed, "failed", refused),
    ] {
        if let Some(sum) = sum(paths, document)?.filter(|sum| *sum != expected) {
            return Err(format!(
                "the counts don't add up: {sent} records were sent, {refused} failed by its results, and it counts {sum} {what}"
            ));
        }
    }
    Ok(())
}

/// Which records are to be read back where an answer has this form.
pub(super) fn read_back(forms: &[Results], document: Option<&Value>) -> Option<ReadBack> {
    let has = |form: &&Results| {
        document.is_some_and(|document| form.rows.find(document).is_some_and(Value::is_array))
    };
    forms.iter().find(has)?.read_back
}

/// What the answer gives for each record, by its place: the fields of its result, or, for a single record without a
/// list of results, of the answer.
pub(super) fn saved(
    save: &[(String, Saved)],
    forms: &[Results],
    document: Option<&Value>,
    records: &[&Record],
) -> Vec<(usize, Value)> {
    let Some(document) = document.filter(|_| !save.is_empty()) else { return Vec::new() };
    let of = |row: &Value| saved_of(save, row);
    let form = forms.iter().find_map(|form| Some((form, form.rows.find(document)?.as_array()?)));
    match form {
        Some((form, rows)) => {
            let places = place(form, rows, records).unwrap_or_default();
            places.into_iter().zip(rows).filter_map(|(place, row)| Some((place, of(row)?))).collect()
        }
        None if records.len() == 1 => of(document).map(|link| (0, link)).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What is saved of one result, or one row of a list; nothing where it holds none of it.
pub(super) fn saved_of(save: &[(String, Saved)], row: &Value) -> Option<Value> {
    let found = save.iter().filter_map(|(name, saved)| Some((name.clone(), saved.find(row)?)));
    let fields: Map<String, Value> = found.collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::record;

    fn path(text: &str) -> FieldPath {
        FieldPath::new(text).unwrap()
    }

    /// What Eryxon's two generations answer to a bulk request (Eryxon contract §5.2, §5.3).
    fn eryxon() -> [Results; 2] {
        let of_key = |result| Matched::Key { result: path(result), record: path("external_id") };
        let ok = ["created", "updated", "skipped"].map(str::to_owned).to_vec();
        let each = Results {
            rows: path("data.results"),
            lists: Lists::All,
            matched: of_key("external_id"),
            ok_when: vec![(path("action"), ok)],
            error: path("error"),
            counts: ResultCounts {
                total: vec![path("data.total")],
                accepted: vec![path("data.created"), path("data.updated")],
                failed: vec![path("data.errors")],
            },
            read_back: None,
        };
        let failures = Results {
            rows: path("data.results.errors"),
            lists: Lists::Failures,
            matched: of_key("item.external_id"),
            ok_when: Vec::new(),
            error: path("error"),
            counts: ResultCounts {
                total: vec![path("data.total")],
                accepted: vec![path("data.results.created"), path("data.results.updated")],
                failed: vec![path("data.results.failed")],
            },
            read_back: None,
        };
        [each, failures]
    }

    fn verdict(json: &str) -> Verdict {
        let records = ["A", "B", "C"].map(|id| record(id, &format!(r#"{{"external_id":"{id}"}}"#), &[]));
        let records: Vec<&Record> = records.iter().collect();
        judge(&eryxon(), serde_json::from_str(json).ok().as_ref(), &records)
    }

    fn refused(json: &str) -> Vec<(usize, String)> {
        match verdict(json) {
            Verdict::Each(refused) => refused.into_iter().map(|(place, said)| (place, said.words)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_generations_are_read_record_by_record() {
        let each = r#"{"success":true,"data":{"total":3,"created":1,"updated":1,"errors":1,"results":[
            {"external_id":"C","id":"6f1c","action":"created"},{"external_id":"A","action":"updated"},
            {"external_id":"B","action":"error","error":"job_number is required"}]}}"#;
        assert_eq!(refused(each), [(1, "job_number is required".to_owned())]);
        let failures = r#"{"success":true,"data":{"total":3,"results":{"created":2,"updated":0,"failed":1,
            "errors":[{"item":{"external_id":"C"},"error":[{"field":"due_date","message":"bad date"}]}]}}}"#;
        assert_eq!(refused(failures), [(2, "bad date".to_owned())]);
        let all = r#"{"success":true,"data":{"total":3,"results":{"created":2,"updated":1,"failed":0,"errors":[]}}}"#;
        assert_eq!(verdict(all), Verdict::Accepted);
    }

    #[test]
    fn what_does_not_add_up_accepts_nothing() {
        for (json, why) in [
            ("", "empty"),
            ("{}", "no list of results"),
            (r#"{"success":true}"#, "no list of results"),
            (
                r#"{"success":true,"data":{"total":3,"results":{"created":2,"updated":0,"failed":0,"errors":[]}}}"#,
                "add up",
            ),
            (
                r#"{"success":true,"data":{"total":2,"results":{"created":3,"updated":0,"failed":0,"errors":[]}}}"#,
                "add up",
            ),
            (
                r#"{"success":true,"data":{"total":3,"results":{"created":2,"updated":0,"failed":1,"errors":[]}}}"#,
                "add up",
            ),
            (
                r#"{"data":{"total":3,"results":{"created":3,"updated":0,"errors":[]}}}"#,
                "no count `data.results.failed`",
            ),
            (r#"{"data":{"results":[{"external_id":"Z","action":"created"}]}}"#, "not sent"),
            (r#"{"data":{"results":[{"action":"created"}]}}"#, "without `external_id`"),
        ] {
            match verdict(json) {
                Verdict::Unclear(words) => assert!(words.contains(why), "{words}: {json}"),
                other => panic!("{other:?}: {json}"),
            }
        }
        assert_eq!(verdict(r#"{"success":false,"error":"no"}"#), Verdict::Refused("no".to_owned()));
    }

    #[test]
    fn a_record_without_a_result_is_not_accepted() {
        let [mut each, _] = eryxon();
        each.counts = ResultCounts::default();
        let (a, b) = (record("A", r#"{"external_id":"A"}"#, &[]), record("B", r#"{"external_id":"B"}"#, &[]));
        let answer = serde_json::from_str(r#"{"data":{"results":[{"external_id":"B","action":"created"}]}}"#);
        let verdict = judge(&[each], answer.ok().as_ref(), &[&a, &b]);
        let Verdict::Each(refused) = verdict else { panic!("{verdict:?}") };
        assert!(refused.len() == 1 && refused[0].0 == 0 && refused[0].1.unheard, "{refused:?}");
    }

    #[test]
    fn ids_are_saved_from_the_results_or_from_the_answer_to_one_record() {
        let records = ["A", "B"].map(|id| record(id, &format!(r#"{{"external_id":"{id}"}}"#), &[]));
        let both: Vec<&Record> = records.iter().collect();
        let save = [("mes".to_owned(), path("id").into())];
        let each = serde_json::json!({"data": {"results": [
            {"external_id": "B", "id": "u-2", "action": "created"}, {"external_id": "A", "action": "error"}]}});
        let links = saved(&save, &eryxon(), Some(&each), &both);
        assert_eq!(links, [(1, serde_json::json!({"mes": "u-2"}))]);
        let one = serde_json::json!({"id": "org:1"});
        assert_eq!(saved(&save, &[], Some(&one), &both[..1]), [(0, serde_json::json!({"mes": "org:1"}))]);
        assert!(saved(&save, &[], Some(&one), &both).is_empty());
    }
}
