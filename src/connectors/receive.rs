//! What a platform calls with, on its way into the ERP: mapped, written in one transaction, answered for record by record.
//! A record that was created before is not created again; whoever asks for it meanwhile waits for the first.
//!
//! Promises: an `Err` means that nothing of the call is in the ERP as far as we know, and that the call may be repeated.

use super::Connectors;
use crate::erp::{Made, Mapper, SqlSink, Unmapped};
use crate::job::map::{Reason, find, plain_text};
use crate::job::{Receive, Shaping, Target, Write};
use crate::rest::KEY_SEPARATOR;
use crate::transfer::{Batch, Digest, Failure, Record, Sink as _};
use crate::words::JobName;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Why a job that receives is not run by us.
pub const RECEIVES: &str = "it receives what its platform calls with; nothing starts it here";

/// Why its rejects can't be sent again by us.
pub const MUST_CALL_AGAIN: &str = "the platform has to call again, and with that the reject goes";

/// What the rows of one call may take in memory, about: each has the body's other fields too.
const ROWS_BYTES: usize = 16 << 20;

/// A record that a platform called with, and that is in the ERP.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Its key.
    pub key: String,
    /// It as it was written.
    pub record: Map<String, Value>,
    /// The id that the ERP gave it.
    pub id: Option<String>,
    /// What would have stood for its key, had it been refused as it came.
    pub came_as: String,
}

/// A record that a platform called with, and that is not in the ERP.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Its key; where it has none, what stands for it.
    pub key: String,
    /// As it came.
    pub row: Map<String, Value>,
    /// As it would have been written, as far as that is known; else as it came.
    pub record: Map<String, Value>,
    /// Whose fault it is.
    pub fault: Fault,
    /// Why, in an operator's words.
    pub reason: String,
    /// Why, for the caller: nothing of ours is in it.
    pub said: String,
}

/// Whose fault it is that a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The record can't be read as what it should be.
    Form,
    /// It can, and the ERP does not want it.
    Erp,
}

/// What became of each record of a call, in its order.
pub type Outcomes = Vec<Result<Taken, Box<Refused>>>;

/// Who writes which records at the moment.
pub(super) type Writers = Arc<Mutex<HashMap<(JobName, String), Weak<tokio::sync::Mutex<()>>>>>;

impl Connectors {
    /// Writes what a call brought. No single step waits longer than `limit`.
    ///
    /// # Errors
    /// The ERP is away, locked, or can't do what the job asks of it.
    pub async fn take(
        &self,
        job: &JobName,
        receive: &Receive,
        write: &Write,
        body: &Map<String, Value>,
        limit: Duration,
    ) -> Result<Outcomes, Failure> {
        let rows = match rows(receive, body) {
            Ok(rows) => rows,
            Err(said) => {
                return Ok(vec![Err(Refused::form(body, said.clone(), said))]);
            }
        };
        let mut outcomes = self.map_rows(write, &rows, limit).await?;
        let records: Vec<Record> = outcomes.iter().flatten().filter_map(record_of).collect();
        if records.is_empty() {
            return Ok(outcomes);
        }
        let _turns = self.turns_of(job, &records).await;
        let batch = Batch { records, gone: Vec::new() };
        let plain = Write { shaping: Shaping::default(), ..write.clone() };
        let database = self.database(&write.to)?.for_call(limit);
        let mut sink = SqlSink::new(database, job, &plain, Mapper::default());
        let settled = sink.write(&batch).await?;
        let must_have_id =
            sink.gives_ids() || receive.tells_id() && matches!(write.target, Target::Statement { .. });
        let ids: HashMap<String, String> =
            settled.links.into_iter().map(|(key, id)| (key, plain_text(&id))).collect();
        let rejected: HashMap<String, String> =
            settled.rejected.into_iter().map(|rejected| (rejected.key, rejected.reason)).collect();
        for (outcome, row) in outcomes.iter_mut().zip(&rows) {
            let Ok(taken) = outcome else { continue };
            taken.id = ids.get(&taken.key).cloned();
            let reason = match rejected.get(&taken.key) {
                Some(reason) => reason.clone(),
                None if must_have_id && taken.id.is_none() => {
                    "the statement gave no id: it wrote nothing".to_owned()
                }
                None => continue,
            };
            let Taken { key, record, .. } = taken.clone();
            let said = "it was refused".to_owned();
            let refused = Refused { key, row: row.clone(), record, fault: Fault::Erp, reason, said };
            *outcome = Err(Box::new(refused));
        }
        Ok(outcomes)
    }

    /// The record of each row, with its key. The session of lookups is closed before anything is written.
    async fn map_rows(
        &self,
        write: &Write,
        rows: &[Map<String, Value>],
        limit: Duration,
    ) -> Result<Outcomes, Failure> {
        let mut mapper = self.mapper_within(&write.shaping, Some(limit))?;
        let made = mapper.make(rows.to_vec()).await?;
        let taken = |(made, row): (Made, &Map<String, Value>)| {
            let record = made.map_err(|unmapped| Refused::of(unmapped, row))?;
            let part = |field: &String| match find(&record, field) {
                None | Some(Value::Null) => {
                    let reason = format!("the record has no value for `{field}`, which identifies it");
                    let said = "what identifies it is missing".to_owned();
                    Err(Refused::form(row, reason, said))
                }
                Some(value) => Ok(plain_text(value)),
            };
            let key = write.key().iter().map(part).collect::<Result<Vec<_>, _>>()?;
            Ok(Taken {
                key: key.join(&KEY_SEPARATOR.to_string()),
                record,
                id: None,
                came_as: key_of_content(&text(row)),
            })
        };
        Ok(made.into_iter().zip(rows).map(taken).collect())
    }

    /// Waits until nobody else writes any of these records. Two calls for the same one, at once, would both find that it
    /// isn't there; the database would see to it that one of them loses, at the price of a number that is never used.
    async fn turns_of(&self, job: &JobName, records: &[Record]) -> Vec<OwnedMutexGuard<()>> {
        // Always in the same order: nobody waits for somebody who waits for them.
        let keys: BTreeSet<&str> = records.iter().map(|record| record.key.as_str()).collect();
        let mut turns = Vec::with_capacity(keys.len());
        for key in keys {
            let turn = {
                let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
                writers.retain(|_, turn| turn.strong_count() > 0);
                let turn = writers.entry((job.clone(), key.to_owned())).or_default();
                turn.upgrade().unwrap_or_else(|| {
                    let new = Arc::default();
                    *turn = Arc::downgrade(&new);
                    new
                })
            };
            turns.push(turn.lock_owned().await);
        }
        turns
    }
}

impl Refused {
    /// What can't be read is known by its content: the same again is the same.
    fn form(row: &Map<String, Value>, reason: String, said: String) -> Box<Self> {
        let (key, record) = (key_of_content(&text(row)), row.clone());
        Box::new(Self { key, row: row.clone(), record, fault: Fault::Form, reason, said })
    }

    fn of(unmapped: Unmapped, row: &Map<String, Value>) -> Box<Self> {
        let reason = unmapped.to_string();
        let (fault, said) = match unmapped {
            Unmapped::Filter(_) => (Fault::Form, "it can't be read".to_owned()),
            // Where a field goes to is no caller's business; where it comes from is.
            Unmapped::Map(error) => match error.reason {
                Reason::Missing(field) => (Fault::Form, format!("`{field}` is missing")),
                Reason::NotFound { key, .. } => (Fault::Erp, format!("nothing is known of {key}")),
                Reason::Ambiguous { key, .. } => (Fault::Erp, format!("more than one is known by {key}")),
                other => (Fault::Form, other.to_string()),
            },
        };
        Box::new(Self { fault, ..*Self::form(row, reason, said) })
    }
}

/// What stands for the key of a record that has none: the same for the same content.
fn key_of_content(content: &str) -> String {
    let Digest(digest) = Digest::of(content.as_bytes());
    let start: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("call {start}")
}

/// The rows of a call: its body, or the entries of a list in it, each with the body's other fields beside its own.
fn rows(receive: &Receive, body: &Map<String, Value>) -> Result<Vec<Map<String, Value>>, String> {
    let Some(path) = &receive.rows else { return Ok(vec![body.clone()]) };
    let found = find(body, &path.to_string());
    let entries = match found {
        Some(Value::Array(entries)) if !entries.is_empty() => entries.as_slice(),
        // XML can't tell a list of one from the one.
        Some(Value::Object(_)) => found.map(std::slice::from_ref).unwrap_or_default(),
        None | Some(Value::Null) => return Err(format!("`{path}` is missing")),
        Some(Value::Array(_)) => return Err(format!("`{path}` is empty")),
        Some(_) => return Err(format!("`{path}` is not a list")),
    };
    let outer = without(body, path.steps());
    if text(&outer).len().saturating_mul(entries.len()) > ROWS_BYTES {
        return Err(format!("`{path}` has too many entries"));
    }
    let row = |entry: &Value| match entry {
        Value::Object(fields) => {
            let mut row = outer.clone();
            row.extend(fields.clone());
            Ok(row)
        }
        _ => Err(format!("an entry of `{path}` has no fields")),
    };
    entries.iter().map(row).collect()
}

/// The fields but for the one at a path.
fn without(fields: &Map<String, Value>, path: &[String]) -> Map<String, Value> {
    let mut rest = fields.clone();
    match path {
        [] => {}
        [last] => drop(rest.remove(last)),
        [first, below @ ..] => {
            if let Some(Value::Object(inner)) = rest.get_mut(first) {
                *inner = without(inner, below);
            }
        }
    }
    rest
}

fn text(row: &Map<String, Value>) -> String {
    Value::Object(row.clone()).to_string()
}

fn record_of(taken: &Taken) -> Option<Record> {
    let content = RawValue::from_string(text(&taken.record)).ok()?;
    let digest = Digest::of(content.get().as_bytes());
    Some(Record { key: taken.key.clone(), cursor: None, content, digest, group: Vec::new() })
}
