//! How far a record's upload has come, as it is remembered from one run to the next.

use crate::transfer::Failure;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Where a record's upload is kept beside what else the platform gave for it.
const LINK: &str = "upload";

/// What is remembered of the uploads of one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Uploading {
    /// The digest of the file that was last completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<String>,
    /// The one that was begun and neither completed nor given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) begun: Option<Begun>,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// What the platform calls it.
    pub(super) id: Value,
    /// The digest of its file.
    pub(super) sha256: String,
    /// Whether the bytes go with the completion.
    pub(super) inline: bool,
    /// How far it has come.
    pub(super) reached: Reached,
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reached {
    /// It was begun.
    Begun,
    /// Its bytes are there.
    Sent,
    /// It may have been completed.
    Completing,
}

impl Uploading {
    /// As it is kept beside what else is linked to the record.
    #[must_use]
    pub fn to_link(&self) -> Value {
        json!({ LINK: self })
    }

    /// As it was kept; nothing that can be read is nothing known.
    #[must_use]
    pub fn of_link(link: Option<&Value>) -> Self {
        let kept = link.and_then(|link| link.get(LINK));
        kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default()
    }
}

/// Remembers how far uploads have come.
pub trait UploadSteps: fmt::Debug + Send + Sync {
    /// What is known of a record's uploads.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Uploading, Failure>>;
    /// Durably remembers it.
    fn keep<'a>(&'a self, key: &'a str, uploading: &'a Uploading) -> BoxFuture<'a, Result<(), Failure>>;
}
