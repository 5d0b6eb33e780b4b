//! Follow-ups: the list or feed tells only what changed, and each record is fetched by a request of its own. A record
//! that is gone meanwhile is passed over; one that can't be had is parked as a reject with its row, and asked for again by
//! later runs, so that it never stands in the way of the others. Only when the platform does not answer at all is nothing
//! parked: then the run fails and the watermark stays.

use super::super::rows::fields_of;
use super::super::said::error_in;
use super::{PullSource, request};
use crate::job::map::plain_text;
use crate::job::pull::Each;
use crate::transfer::{Chunk, Class, Digest, Failure, Record, RejectClass, Rejected};
use crate::words::FieldPath;
use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::Read as _;

/// Follow-ups under way at a time; the connection's `in-flight` may allow fewer.
const AT_A_TIME: usize = 8;

/// What came of one follow-up.
enum Followed {
    Is(Box<RawValue>),
    Gone,
}

/// The row of a reject that waits for its follow-up, from the reject's content.
#[must_use]
pub fn waiting_row(content: &str) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parked {
        waiting: Box<RawValue>,
    }
    serde_json::from_str(content).ok().map(|parked: Parked| parked.waiting)
}

fn park(row: &Record, failure: &Failure) -> Rejected {
    let content = format!("{{\"waiting\":{}}}", row.content.get());
    let reason = format!("waiting: {failure}; the next runs ask again");
    Rejected::new(row.key.clone(), content, reason).class(RejectClass::Waiting)
}

impl PullSource {
    pub(super) async fn follow_up(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let pull = self.pull.clone();
        let Some(each) = &pull.each else { return Ok(()) };
        let is_feed = pull.feed().is_some();
        let rows = std::mem::take(&mut chunk.records);
        for row in &rows {
            self.waiting.remove(&row.key);
        }
        let mut parked = Vec::new();
        {
            let source = &*self;
            let asking = |row: Record| async move { (source.get(each, &row).await, row) };
            let mut answers = stream::iter(rows.into_iter().map(asking)).buffered(AT_A_TIME);
            while let Some((followed, mut row)) = answers.next().await {
                match followed {
                    Ok(Followed::Is(content)) => {
                        source.witnesses.found(&row);
                        // An event says that something changed; of a list, the row itself says whether it did.
                        if is_feed {
                            row.digest = Digest::of(content.get().as_bytes());
                        }
                        row.content = content;
                        chunk.records.push(row);
                    }
                    Ok(Followed::Gone) => chunk.gone.push(row),
                    Err(failure) => match failure.class {
                        Class::Auth | Class::Config | Class::Stopped | Class::State => return Err(failure),
                        Class::Transient | Class::Unknown | Class::Answer | Class::Refused => {
                            parked.push((row, failure));
                        }
                    },
                }
            }
        }
        if parked.iter().any(|(_, failure)| failure.class == Class::Transient) {
            self.probe().await?;
        }
        if !chunk.gone.is_empty() && pull.max_gone < 1.0 {
            self.hear_witnesses(each).await?;
        }
        chunk.rejected.extend(parked.iter().map(|(row, failure)| park(row, failure)));
        Ok(())
    }

    /// Tells a record that can't be had from a platform that is down: the list is asked for once more.
    async fn probe(&self) -> Result<(), Failure> {
        let Some(list) = &self.asked else { return Ok(()) };
        let answer = self.client.call(list).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.refusal()) }
    }

    /// Tells records that are gone from a path that is wrong, where each of them seems gone (ONe contract §4): as long as
    /// this run has found none, those that earlier runs found are asked for.
    async fn hear_witnesses(&self, each: &Each) -> Result<(), Failure> {
        if self.witnesses.path_is_right() {
            return Ok(());
        }
        let before = self.witnesses.before();
        for row in &before {
            if matches!(self.get(each, row).await?, Followed::Is(_)) {
                self.witnesses.path_found_right();
                return Ok(());
            }
        }
        let others = match before.len() {
            0 => "and none was ever found".to_owned(),
            1 => "and so does the one that was found last".to_owned(),
            some => format!("and so do the {some} that were found last"),
        };
        let statuses: Vec<String> = each.gone_on.iter().map(u16::to_string).collect();
        Err(Failure::new(
            Class::Config,
            format!(
                "every record this run followed up seems gone ({}), {others}: is the path of `each.get` right? Nothing was \
                 removed, and the watermark stays. If they are really gone, set max-gone = \"100%\" for one run",
                statuses.join(", ")
            ),
        ))
    }

    async fn get(&self, each: &Each, row: &Record) -> Result<Followed, Failure> {
        let names: Vec<&str> = each.get.placeholders().into_iter().collect();
        let names: Vec<&str> =
            names.into_iter().chain(each.params.iter().flat_map(|(_, param)| param.placeholders())).collect();
        let paths: Vec<FieldPath> =
            names.iter().map(|name| FieldPath::new(name).unwrap_or_default()).collect();
        let values = fields_of(&row.content, &paths);
        let value = |name: &str| {
            let at = names.iter().position(|known| *known == name)?;
            values.get(at)?.as_ref().filter(|value| !value.is_null()).map(plain_text)
        };
        // What the row lacks is this row's trouble, not the job's.
        let request = request(&each.get, &each.params, value)
            .map_err(|failure| Failure::new(Class::Answer, format!("it can't be followed up: {failure}")))?;
        let mut answer = self.client.call(&request).await?;
        if each.gone_on.contains(&answer.status) {
            return Ok(Followed::Gone);
        }
        if !answer.is_success() {
            return Err(answer.refusal());
        }
        let path = each.record.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut body = Vec::new();
            answer.body.reader().and_then(|mut body_reader| body_reader.read_to_end(&mut body)).map(|_| body)
        });
        let body = match read.await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(Failure::new(Class::State, error.to_string())),
            Err(error) => return Err(Failure::new(Class::Answer, error.to_string())),
        };
        record_in(&body, &path)
            .map(Followed::Is)
            .map_err(|problem| Failure::new(Class::Answer, format!("{}: {problem}", request.shown())))
    }
}

/// The record in the answer to a follow-up, byte for byte where it is the whole answer.
fn record_in(body: &[u8], path: &FieldPath) -> Result<Box<RawValue>, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let whole: Box<RawValue> =
        serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    if let Ok(object) = serde_json::from_str::<Map<String, Value>>(whole.get())
        && let Some(error) = error_in(&object)
    {
        return Err(format!("the platform answered with an error: {error}"));
    }
    let record = if *path == FieldPath::default() {
        whole
    } else {
        let found = fields_of(&whole, std::slice::from_ref(path)).pop().flatten();
        let found = found.ok_or_else(|| format!("the answer has no `{path}`, where the record should be"))?;
        RawValue::from_string(found.to_string()).map_err(|error| error.to_string())?
    };
    if record.get().starts_with('{') { Ok(record) } else { Err("the record is not an object".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_from_what_was_refused() {
        let row = r#"{"clientId":"org:1","price":1.10}"#;
        assert_eq!(waiting_row(&format!("{{\"waiting\":{row}}}")).unwrap().get(), row);
        assert!(waiting_row(row).is_none());
        assert!(waiting_row(r#"{"waiting":{},"name":"x"}"#).is_none());
        assert!(waiting_row(r#"{"waiting":{"cut"#).is_none());
    }

    #[test]
    fn a_record_is_found_where_the_answer_has_it() {
        let path = |path: &str| FieldPath::new(path).unwrap();
        let found =
            |body: &str, at: &str| record_in(body.as_bytes(), &path(at)).map(|raw| raw.get().to_owned());
        assert_eq!(found("{\"id\": 1.10}", ""), Ok("{\"id\": 1.10}".to_owned()));
        assert_eq!(found(r#"{"data":{"id":1.10}}"#, "data"), Ok(r#"{"id":1.10}"#.to_owned()));
        assert!(found("[]", "").unwrap_err().contains("not an object"));
        assert!(found("<html>", "").unwrap_err().contains("not JSON"));
        assert!(found(r#"{"success":false,"message":"no"}"#, "").unwrap_err().contains("an error: no"));
        assert!(found("{}", "data").unwrap_err().contains("no `data`"));
    }
}
