//! Looks at the platform whether a record is there. Promises: missing means that the platform answered and no row of the
//! answer is the record; whatever can't be read, or can't be compared, is not known.

use super::request::{Request, expand_path};
use super::results::saved_of;
use super::rows::fields_of;
use super::{Client, verdict};
use crate::job::Verify;
use crate::job::map::plain_text;
use crate::job::push::{PAGE, Saved, Taken};
use crate::transfer::{Class, Failure, Record};
use crate::words::FieldPath;
use serde_json::Value;
use std::collections::HashMap;

/// The pages looked through for one record, at most.
const PAGES: usize = 1_000;

/// What a look gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The record is there; what is saved of it.
    There(Option<Value>),
    /// It is not.
    Missing,
    /// It can't be known, and why.
    Unknowable(String),
}

/// Looks for a record.
///
/// # Errors
/// What keeps from looking for any record.
pub(super) async fn look(
    client: &Client,
    verify: &Verify,
    save: &[(String, Saved)],
    record: &Record,
) -> Result<Sight, Failure> {
    let wanted = fields_of(&record.content, &verify.found_when);
    let pairs = verify.found_when.iter().zip(wanted);
    let Some(wanted) =
        pairs.map(|(path, value)| Some((path, plain_text(&value?)))).collect::<Option<Vec<_>>>()
    else {
        return Ok(Sight::Unknowable("the record lacks a field of `found-when`".to_owned()));
    };
    let paged = verify.params.iter().any(|(_, value)| value.placeholders().contains(PAGE));
    for page in 1..=if paged { PAGES } else { 1 } {
        let request = match request(verify, record, page) {
            Ok(request) => request,
            Err(why) => return Ok(Sight::Unknowable(why)),
        };
        let answer = client.call(&request).await?;
        match answer.status {
            404 | 410 => return Ok(Sight::Missing),
            200..=299 => {}
            _ => return Ok(Sight::Unknowable(answer.refusal().message)),
        }
        let shown = request.shown();
        let document = match verdict::document_of(answer).await {
            Ok((_, document)) => document,
            Err(failure) => return Ok(Sight::Unknowable(failure.message)),
        };
        let Some(rows) = document.as_ref().and_then(|document| rows(verify, document)) else {
            return Ok(Sight::Unknowable(format!("{shown}: the answer has no rows at `{}`", verify.rows)));
        };
        let is_it = |row: &&Value| wanted.iter().all(|(path, value)| holds(row, path, value));
        if let Some(row) = rows.iter().find(is_it) {
            return Ok(Sight::There(saved_of(save, row)));
        }
        let comparable = |row: &Value| verify.found_when.iter().all(|path| path.find(row).is_some());
        if let Some(row) = rows.iter().find(|row| !comparable(row)) {
            let lacking = verify.found_when.iter().find(|path| path.find(row).is_none());
            let lacking = lacking.map(ToString::to_string).unwrap_or_default();
            return Ok(Sight::Unknowable(format!("{shown}: a row of the answer has no `{lacking}`")));
        }
        if rows.is_empty() {
            break;
        }
    }
    Ok(Sight::Missing)
}

/// What the platform has at the record's own path that the record would overwrite, in words; nothing where it may be sent.
///
/// # Errors
/// What keeps from asking for any record.
pub(super) async fn taken(
    client: &Client,
    taken: &Taken,
    path: &str,
    record: &Record,
) -> Result<Option<String>, Failure> {
    let request = Request::get(path.to_owned(), Vec::new());
    let answer = client.call(&request).await?;
    match answer.status {
        // The write's own answer says it.
        404 | 410 => return Ok(None),
        200..=299 => {}
        _ => return Ok(Some(format!("what it would overwrite is not known: {}", answer.refusal().message))),
    }
    let shown = request.shown();
    let (_, document) = verdict::document_of(answer).await?;
    let there = document.as_ref().and_then(|document| taken.at.find(document));
    for (field, ours) in taken.fields.iter().zip(fields_of(&record.content, &taken.fields)) {
        match there.and_then(|there| field.find(there)) {
            None => {
                return Ok(Some(format!("what it would overwrite is not known: {shown} has no `{field}`")));
            }
            Some(Value::Null) => {}
            Some(theirs)
                if plain_text(theirs).is_empty()
                    || ours.as_ref().map(plain_text) == Some(plain_text(theirs)) => {}
            Some(theirs) => {
                return Ok(Some(format!(
                    "the platform has `{}` as its {field}, which is not overwritten",
                    plain_text(theirs)
                )));
            }
        }
    }
    Ok(None)
}

/// A whole list of the platform: what stands for a row there, and what is saved of it.
pub(super) type Listing = HashMap<String, Option<Value>>;

/// Reads the whole list that a look would read for each record anew.
///
/// # Errors
/// It can't be read: then nothing may be created.
pub(super) async fn list(
    client: &Client,
    verify: &Verify,
    save: &[(String, Saved)],
) -> Result<Listing, Failure> {
    let mut listing = Listing::new();
    let (mut before, mut comparable) = (Vec::new(), false);
    for page in 1..=PAGES {
        let request = list_request(verify, page).map_err(|why| Failure::new(Class::Config, why))?;
        let shown = request.shown();
        let unreadable = |why: &str| {
            let message =
                format!("{shown}: the list that says what is there already {why}: nothing was created");
            Failure::new(Class::Answer, message)
        };
        let answer = client.call(&request).await?;
        if !answer.is_success() {
            return Err(answer.failure(Class::Config));
        }
        let (_, document) = verdict::document_of(answer).await?;
        let found = document.as_ref().and_then(|document| rows(verify, document));
        let found = found.ok_or_else(|| unreadable(&format!("has no rows at `{}`", verify.rows)))?;
        // A list without pages is the same list again.
        if found.is_empty() || found == before {
            if !listing.is_empty() && !comparable {
                let fields: Vec<String> = verify.found_when.iter().map(ToString::to_string).collect();
                return Err(unreadable(&format!("has no row with `{}`", fields.join("`, `"))));
            }
            return Ok(listing);
        }
        for row in found {
            // A row that nobody gave such a field is none of ours.
            let values = verify.found_when.iter().map(|path| path.find(row));
            comparable |= values.clone().all(|value| value.is_some());
            let values: Vec<String> =
                values.map(|value| value.map_or_else(String::new, plain_text)).collect();
            listing.entry(values.join("\u{1f}")).or_insert_with(|| saved_of(save, row));
        }
        before = found.to_vec();
    }
    Err(Failure::new(Class::Config, format!("the list that is looked through has more than {PAGES} pages")))
}

/// What stands for a record in a [`Listing`].
pub(super) fn listed_as(verify: &Verify, record: &Record) -> Option<String> {
    let values = fields_of(&record.content, &verify.found_when).into_iter();
    let values: Option<Vec<String>> = values.map(|value| value.map(|value| plain_text(&value))).collect();
    values.map(|values| values.join("\u{1f}"))
}

fn holds(row: &Value, path: &FieldPath, value: &str) -> bool {
    path.find(row).is_some_and(|found| plain_text(found) == value)
}

fn rows<'a>(verify: &Verify, document: &'a Value) -> Option<&'a [Value]> {
    match verify.rows.find(document)? {
        Value::Array(rows) => Some(rows),
        row @ Value::Object(_) => Some(std::slice::from_ref(row)),
        _ => None,
    }
}

fn list_request(verify: &Verify, page: usize) -> Result<Request, String> {
    fill(verify, |name| (name == PAGE).then(|| page.to_string()))
}

fn request(verify: &Verify, record: &Record, page: usize) -> Result<Request, String> {
    fill(verify, |name| {
        if name == PAGE {
            return Some(page.to_string());
        }
        let field = FieldPath::new(name).ok()?;
        let value = fields_of(&record.content, &[field]).pop().flatten()?;
        (!value.is_null()).then(|| plain_text(&value))
    })
}

fn fill(verify: &Verify, value: impl Fn(&str) -> Option<String>) -> Result<Request, String> {
    let path = expand_path(&verify.get, &value).map_err(|error| error.to_string())?;
    let filled = |(name, template): &(String, crate::words::Template)| {
        let filled = template.fill(&value);
        Ok((
            name.clone(),
            filled.map_err(|lacking| format!("the record has no `{lacking}` to look it up by"))?,
        ))
    };
    let query = verify.params.iter().map(filled).collect::<Result<Vec<_>, String>>()?;
    Ok(Request::get(path, query))
}
