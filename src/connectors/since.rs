//! What a push reads that goes by a column: rows from the value the last whole run reached, included. What waits for
//! another try may lie before it, so as long as something does, all rows are read.

use super::push::Standing;
use super::{ENTITY, state};
use crate::job::{Push, Read, Send};
use crate::state::{Coordinator as _, Store};
use crate::transfer::{Class, Failure, RejectClass};
use crate::words::JobName;

/// Rejects looked at in one go.
const PAGE: usize = 1_000;

/// What is read now.
pub(super) async fn read_now(
    store: &Store,
    job: &JobName,
    read: &Read,
    push: &Push,
) -> Result<Read, Failure> {
    let Send::Since(column) = &push.send else { return Ok(read.clone()) };
    let mark = store.watermark(job, ENTITY).await.map_err(state)?;
    let from = match mark {
        Some(mark) if !has_due(store, job).await? => {
            let text = mark.value.as_str().map_or_else(|| mark.value.to_string(), str::to_owned);
            Some(literal(&text).ok_or_else(|| {
                let message = format!("its watermark {text:?} is no value of `{column}`: reset it");
                Failure::new(Class::Config, message)
            })?)
        }
        _ => None,
    };
    Ok(Read { sql: query(&read.sql, column, from.as_deref()), ..read.clone() })
}

fn query(sql: &str, column: &str, from: Option<&str>) -> String {
    let sql = sql.trim_end().trim_end_matches(';');
    let condition = from.map(|from| format!("where {column} >= {from} ")).unwrap_or_default();
    // On lines of its own: the query may end in a comment.
    format!("select * from (\n{sql}\n) cadenced_rows {condition}order by {column}")
}

/// A number, or a text of the characters that dates and times are written in: it stands in the query.
fn literal(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b" :.+-_/".contains(&b);
    (!text.is_empty() && text.bytes().all(fits)).then(|| format!("'{text}'"))
}

/// Whether anything waits for another try.
async fn has_due(store: &Store, job: &JobName) -> Result<bool, Failure> {
    if store.count_rejects(job).await.map_err(state)? == 0 {
        return Ok(false);
    }
    let mut after: Option<(String, String)> = None;
    loop {
        let from = after.as_ref().map(|(entity, key)| (entity.as_str(), key.as_str()));
        let rejects = store.rejects(job, from, PAGE).await.map_err(state)?;
        let Some(last) = rejects.last() else { return Ok(false) };
        after = Some((last.entity.clone(), last.key.clone()));
        let may_go = |class| matches!(class, RejectClass::Waiting | RejectClass::Transient);
        if rejects.iter().any(|reject| may_go(reject.class)) {
            return Ok(true);
        }
        let keys = rejects.into_iter().map(|reject| reject.key).collect();
        let known = store.recall(job, ENTITY, keys).await.map_err(state)?;
        if known.iter().flatten().any(|known| Standing::of(known) == Standing::Due) {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_becomes_a_literal_and_nothing_else() {
        for (text, expected) in [
            ("17", Some("17")),
            ("-3", Some("-3")),
            ("2026-03-29T01:00:00.5Z", Some("'2026-03-29T01:00:00.5Z'")),
            ("2026-03-29 01:00:00+02", Some("'2026-03-29 01:00:00+02'")),
            ("x' or 1=1 --", None),
            ("a\\", None),
            ("", None),
        ] {
            assert_eq!(literal(text).as_deref(), expected, "{text}");
        }
        let sql = query("select a, b from t -- all\n;", "b", Some("17"));
        assert_eq!(
            sql,
            "select * from (\nselect a, b from t -- all\n\n) cadenced_rows where b >= 17 order by b"
        );
    }
}
