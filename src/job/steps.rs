//! A chain per record: several requests, one after the other, about one row of the ERP. Each step is a push of one record
//! a request, so that everything that holds for a push holds for a step too; what a chain adds is which rows a step is
//! for, what later steps know of earlier ones, and when a value is gone.

use super::map::Condition;
use super::{Push, Read};
use crate::words::{ConnectionName, JobName};

/// The steps of a job.
#[derive(Debug, Clone)]
pub struct Steps {
    /// The platform.
    pub to: ConnectionName,
    /// Which rows the chain is for at all; it may ask for what steps have saved.
    pub only: Option<Condition>,
    /// The job whose records these are too: what is remembered of them, their ids and their rejects are kept there.
    pub continues: Option<JobName>,
    /// In their order; there is at least one.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name within the job.
    pub name: String,
    /// Rows of its own, where it is not about the job's.
    pub read: Option<Read>,
    /// Which rows it is for; the others go on without it.
    pub when: Option<Condition>,
    /// For which rows there is nothing to have on the platform: what was sent before is deleted.
    pub delete_when: Option<Condition>,
    /// Whether what was sent before is deleted before something else is sent.
    pub delete_first: bool,
    /// Fields of the record, and placeholders of the path, whose change alone sends nothing.
    pub unwatched: Vec<String>,
    /// Its request, one record each.
    pub push: Push,
    /// What it saves of its records, or its namesake in the job that is continued.
    pub saved: Vec<String>,
}

impl Steps {
    /// The steps that are about the same rows as this one, itself included.
    pub fn sharing<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Step> {
        let has_own = step.read.is_some();
        self.steps.iter().filter(
            move |other| {
                if has_own { other.name == step.name } else { other.read.is_none() }
            },
        )
    }
}
