//! Rows into records, in both directions: the condition, the filter, the lookups and the map of a job, in this order.
//! The map itself is pure (`job::map`); here is what it needs from outside: a worker for the filter, sessions for what is
//! looked up, and a memory of what was found, which is kept for the run and bounded.
//!
//! What is wrong with a row is that row's reject. A filter that runs away, a database that does not answer, a lookup that
//! the database refuses: these are the run's failure.

use super::Database;
use super::lookup;
use super::session::Session;
use crate::filter::{FilterError, Worker};
use crate::job::Shaping;
use crate::job::map::{Answers, LookupSource, MapError, SavedLink, Want, plain_text};
use crate::transfer::{Class, Failure};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that lookups have found are forgotten when there are more than this.
const REMEMBERED: usize = 100_000;

/// What a row becomes, or why it becomes nothing.
pub type Mapped = Result<Map<String, Value>, String>;

/// The same, for who must know what is wrong with the row.
pub type Made = Result<Map<String, Value>, Unmapped>;

/// Why a row becomes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// The filter has something against it.
    #[error("{0}")]
    Filter(String),
    /// A field can't be made.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// What stands between the two ends of a job, for one run.
#[derive(Default)]
pub struct Mapper {
    shaping: Shaping,
    /// The database of each lookup, and the session it is asked in.
    databases: Vec<Database>,
    sessions: HashMap<usize, Session>,
    answers: Answers,
    /// What platforms have given, and of which records they had given nothing when it was asked for.
    links: Option<Arc<dyn Links>>,
    not_yet: Vec<Want>,
    worker: Option<Worker>,
}

/// What platforms have given for records, such as their ids.
pub trait Links: Send + Sync {
    /// What was saved for the record with this key, if anything.
    fn of<'a>(&'a self, link: &'a SavedLink, key: String) -> BoxFuture<'a, Result<Option<Value>, Failure>>;
}

impl Mapper {
    /// What `shaping` says; `databases` are those of its lookups, in their order.
    #[must_use]
    pub fn new(shaping: &Shaping, databases: Vec<Database>) -> Self {
        Self { shaping: shaping.clone(), databases, ..Self::default() }
    }

    /// With what lookups may ask of what platforms have given.
    #[must_use]
    pub fn with_links(self, links: Arc<dyn Links>) -> Self {
        Self { links: Some(links), ..self }
    }

    /// Whether a row is wanted. A row that can't be asked is: it is refused when it is mapped.
    #[must_use]
    pub fn wants(&self, row: &Map<String, Value>) -> bool {
        self.shaping.wants_row(row).unwrap_or(true)
    }

    /// Whether every row is wanted, unseen.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        self.shaping.only.is_none()
    }

    /// Whether rows stay what they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.shaping.is_plain()
    }

    /// Whether a record is made of its row alone: nothing outside is asked for it.
    #[must_use]
    pub(super) fn is_pure(&self) -> bool {
        self.shaping.filter.is_none() && self.shaping.lookups.is_empty()
    }

    /// The same for records that are made of their rows alone.
    pub(super) fn alone(&self) -> Self {
        Self::new(&self.shaping, Vec::new())
    }

    /// The record of a row, where it is made of it alone.
    pub(super) fn map_alone(&self, row: &Map<String, Value>) -> Mapped {
        self.shaping.wants_row(row).map_err(|error| error.to_string())?;
        self.shaping.record_of(row, &self.answers).map_err(|error| error.to_string())
    }

    /// The fields that every row has to have.
    #[must_use]
    pub fn needed_fields(&self) -> Vec<String> {
        self.shaping.needed_fields()
    }

    /// The record of each row.
    ///
    /// # Errors
    /// The filter ran away, or a lookup could not be made.
    pub async fn map(&mut self, rows: Vec<Map<String, Value>>) -> Result<Vec<Mapped>, Failure> {
        let said = |made: Result<_, Unmapped>| made.map_err(|unmapped| unmapped.to_string());
        Ok(self.make(rows).await?.into_iter().map(said).collect())
    }

    /// The same for who must know what is wrong with a row.
    ///
    /// # Errors
    /// The filter ran away, or a lookup could not be made.
    pub async fn make(&mut self, rows: Vec<Map<String, Value>>) -> Result<Vec<Made>, Failure> {
        let asked = |row| match self.shaping.wants_row(&row) {
            Ok(_) => Ok(row),
            Err(error) => Err(error.into()),
        };
        let mut rows: Vec<Result<_, Unmapped>> = rows.into_iter().map(asked).collect();
        if let Some(filter) = &self.shaping.filter {
            let worker = match &mut self.worker {
                Some(worker) => worker,
                None => self.worker.insert(Worker::start(filter).await.map_err(ran_away)?),
            };
            filter_rows(worker, &mut rows).await.map_err(ran_away)?;
        }
        if !self.shaping.lookups.is_empty() {
            self.look_up(&rows).await?;
        }
        let record = |row| Ok(self.shaping.record(row, &self.answers)?);
        Ok(rows.into_iter().map(|row| row.and_then(record)).collect())
    }

    /// Finds what the records of these rows need, until nothing is missing: rows that were found may ask for more.
    async fn look_up(&mut self, rows: &[Made]) -> Result<(), Failure> {
        if self.answers.rows() > REMEMBERED {
            self.answers.clear();
        }
        // It may have come since.
        for want in std::mem::take(&mut self.not_yet) {
            self.answers.forget(&want);
        }
        loop {
            let mut wants = Vec::new();
            for row in rows.iter().flatten() {
                self.shaping.wants(row, &self.answers, &mut wants);
            }
            if wants.is_empty() {
                return Ok(());
            }
            for want in wants {
                if self.answers.of(&want).is_none() {
                    let found = self.ask(&want).await?;
                    self.answers.keep(want, found);
                }
            }
        }
    }

    async fn ask(&mut self, want: &Want) -> Result<Vec<Value>, Failure> {
        let asked = self.shaping.lookups.get(want.lookup).zip(self.databases.get(want.lookup));
        let Some((question, database)) = asked else {
            return Err(Failure::new(Class::Config, "a map looks up what it has no connection for"));
        };
        if let (LookupSource::Saved(link), Some(links)) = (&question.source, &self.links) {
            let key: Vec<String> = want.key.iter().map(plain_text).collect();
            let found = links.of(link, key.join("\u{1f}")).await?;
            if found.is_none() {
                self.not_yet.push(want.clone());
            }
            let row = |value| Value::Object(Map::from_iter([(link.name.clone(), value)]));
            return Ok(found.map(row).into_iter().collect());
        }
        // Lookups of one database share a session: the first one's.
        let same = self.shaping.lookups.iter().position(|other| other.from == question.from);
        let at = same.unwrap_or(want.lookup);
        // Taken, and put back only in a known state.
        let mut session = match self.sessions.remove(&at) {
            Some(session) => session,
            None => lookup::open(database).await?,
        };
        let found = lookup::ask(&mut session, &question.source, &want.key).await?;
        self.sessions.insert(at, session);
        Ok(found)
    }
}

/// Replaces each row by what the filter makes of it.
async fn filter_rows(worker: &mut Worker, rows: &mut [Made]) -> Result<(), FilterError> {
    let given: Vec<Map<String, Value>> = rows.iter_mut().flatten().map(std::mem::take).collect();
    let mut made = worker.run(&given).await?.into_iter();
    for row in rows.iter_mut().filter(|row| row.is_ok()) {
        if let Some(filtered) = made.next() {
            *row = filtered.map_err(Unmapped::Filter);
        }
    }
    Ok(())
}

fn ran_away(error: FilterError) -> Failure {
    let class = if matches!(error, FilterError::Start(_)) { Class::Transient } else { Class::Config };
    Failure::new(class, error.to_string())
}
