//! Simulated Eryxon MES: the sync endpoints of both server generations (Eryxon contract §1–§8).
//!
//! Generation A resolves parents, fills in defaults and answers for each record; generation B writes what it is sent and
//! counts what its database refused as done. Both refuse what the contract refuses. The rules a caller breaks are noted
//! on the wire, also where the server of the day lets them pass. Webhooks are not played.

mod generation_a;
mod generation_b;
mod routes;
mod rules;
mod sample;
mod store;
mod unified;

use super::wire::{Wire, WireOptions};
use super::{Kind, Platform, Running, Switch, Switches, Takes, lock};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;
use store::{Fields, Store};

pub use sample::{Sample, Size, sample};
pub use store::Entity;

/// What the contract leaves open, and what goes wrong there.
const SWITCHES: &[Switch] = &[
    Switch { name: "generation", takes: Takes::OneOf(&["A", "B"]), meaning: "which server generation it is" },
    Switch {
        name: "auth-fault",
        takes: Takes::OneOf(&["401", "500"]),
        meaning: "how a missing or wrong key is answered; older servers say 500",
    },
    Switch {
        name: "cells-limit",
        takes: Takes::Number(100),
        meaning: "the most cells in a request of generation A",
    },
    Switch { name: "records-limit", takes: Takes::Number(1000), meaning: "the most records in any request" },
    Switch {
        name: "quota",
        takes: Takes::Number(0),
        meaning: "calls per tenant in 24 h; 0 allows any number",
    },
    Switch {
        name: "plan-limit",
        takes: Takes::Number(0),
        meaning: "jobs, and parts, the plan allows; 0 allows any number",
    },
    Switch {
        name: "refusals",
        takes: Takes::OneOf(&["hidden", "told"]),
        meaning: "whether generation B counts records its database refused as done, or reports them",
    },
    Switch {
        name: "missing-columns",
        takes: Takes::OneOf(&["in-b", "never", "always"]),
        meaning: "where the database lacks `priority` and `sync_hash`, as its published schema does",
    },
    Switch {
        name: "version-without-routes",
        takes: Takes::Flag,
        meaning: "whether parts and operations have no sync routes, as in v0.4.0",
    },
    Switch {
        name: "answers",
        takes: Takes::OneOf(&["code", "seed"]),
        meaning: "whether single answers and errors look as in the code or as in the reference",
    },
];

/// How it is started by name.
pub const KIND: Kind = Kind {
    name: "eryxon",
    title: "Eryxon",
    switches: SWITCHES,
    start: |wire, switches| {
        let options = Options { wire, switches: switches.clone(), ..Options::default() };
        Ok(Box::new(Eryxon::start(options)?))
    },
};

/// How an Eryxon is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas of the wire; the tenant's own quota is a switch.
    pub wire: WireOptions,
    /// The tenant's key.
    pub api_key: String,
    /// How it behaves.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            api_key: "ery_test_4d1c9b7e5f2a".to_owned(),
            switches: Switches::new(SWITCHES),
        }
    }
}

/// A running Eryxon. Clones are handles to the same one; it stops with the last of them.
pub type Eryxon = Running<Inside>;

/// What an Eryxon knows and holds.
#[derive(Debug)]
pub struct Inside {
    api_key: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    store: Store,
    plan_limit: usize,
    /// When the tenant's window of 24 h began, and the calls in it.
    window: Option<(DateTime<Utc>, usize)>,
    calls: usize,
    /// Calls of the unified sync.
    history: Vec<Value>,
    /// Rules broken by the request at hand.
    notes: Vec<(&'static str, String)>,
}

impl State {
    fn note(&mut self, rule: &'static str, what: String) {
        self.notes.push((rule, what));
    }
}

/// Which of the two servers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    A,
    B,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Created,
    Updated,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
        }
    }
}

/// Equal for equal records, as the server's own hash is.
fn hash(record: &Fields) -> String {
    use sha2::Digest as _;
    let text = serde_json::to_string(record).unwrap_or_default();
    sha2::Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Eryxon {
    /// Starts one on 127.0.0.1, without any record.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let state = State {
            store: Store::new(),
            plan_limit: 0,
            window: None,
            calls: 0,
            history: Vec::new(),
            notes: Vec::new(),
        };
        let inside = Inside { api_key: options.api_key, state: Mutex::new(state) };
        Self::open(&options.wire, options.switches, |_| inside, routes::answer, routes::refuse)
    }

    /// The base its endpoints are below: `http://127.0.0.1:port/functions/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/functions/v1", self.wire.url())
    }

    /// Every record by source and external id: its columns, and `id`. Deleted ones are not there.
    #[must_use]
    pub fn records(&self, entity: Entity) -> BTreeMap<(String, String), Value> {
        let state = lock(&self.inside.state);
        let text = |fields: &Fields, name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let entry = |row: &store::Row| {
            let mut fields = row.fields.clone();
            let key = (text(&fields, "external_source"), text(&fields, "external_id"));
            fields.insert("id".to_owned(), row.id.clone().into());
            (key, Value::from(fields))
        };
        state.store.rows(entity).map(entry).collect()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self, entity: Entity) -> usize {
        lock(&self.inside.state).store.len(entity)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Entity::ALL.into_iter().all(|entity| self.len(entity) == 0)
    }

    /// How often the record was created or updated.
    #[must_use]
    pub fn writes(&self, entity: Entity, source: &str, external_id: &str) -> usize {
        let state = lock(&self.inside.state);
        let at = state.store.find(entity, source, external_id);
        at.map_or(0, |at| state.store.row(entity, at).writes)
    }

    /// Deletes a record as the shop does it: it is gone, and its external id and number stay taken.
    pub fn soft_delete(&self, entity: Entity, source: &str, external_id: &str) {
        let mut state = lock(&self.inside.state);
        if let Some(at) = state.store.find(entity, source, external_id) {
            state.store.soft_delete(entity, at);
        }
    }

    /// Stores the records as if they had been sent before.
    pub fn fill(&self, sample: &Sample) {
        let mut state = lock(&self.inside.state);
        for entity in Entity::ALL {
            generation_a::bulk(&mut state, entity, sample.of(entity));
        }
        state.notes.clear();
    }

    /// Uses up the tenant's quota of the 24 h that began `before` now.
    pub fn exhaust_quota(&self, before: std::time::Duration) {
        let began = self.wire.clock().now() - chrono::TimeDelta::from_std(before).unwrap_or_default();
        lock(&self.inside.state).window = Some((began, usize::MAX / 2));
    }

    fn generation(&self) -> Generation {
        if self.switches.is("generation", "B") { Generation::B } else { Generation::A }
    }
}

impl Platform for Eryxon {
    fn url(&self) -> String {
        self.url()
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("Authorization", format!("Bearer {}", self.inside.api_key))]
    }
}

#[cfg(test)]
mod tests;
