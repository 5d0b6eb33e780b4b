//! Simulated Commerceup: stock, product links and order status as it takes them, and [`Caller`], which calls the ERP's side
//! as the shop does (Commerceup contract §2–§4).
//!
//! The contract documents requests and hardly any answer: what it leaves open is a switch. A refused request changes
//! nothing. Adding to stock is not idempotent here either: what comes twice is booked twice.

mod caller;
mod routes;

use super::wire::{Wire, WireOptions};
use super::{Kind, Platform, Running, Switch, Switches, Takes, lock};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

pub use caller::{Call, Caller, Credentials, Format, Reply, Verb, calls_with_repeats, customers, orders};

/// The words an order's status may have, spelt like this (§3.5).
pub const STATUSES: [&str; 7] = [
    "In Process",
    "Shipped",
    "Delivered",
    "Cancelled",
    "Return Requested",
    "Return Approved",
    "Return Rejected",
];

const SWITCHES: &[Switch] = &[
    Switch {
        name: "answers",
        takes: Takes::OneOf(&["success", "empty", "false-in-200"]),
        meaning: "what is answered: a body that says so, no body, or 200 whose body says it failed",
    },
    Switch {
        name: "line-results",
        takes: Takes::Flag,
        meaning: "whether lists are applied and answered line by line",
    },
    Switch {
        name: "unknown-sku",
        takes: Takes::OneOf(&["400", "404"]),
        meaning: "how a sku the shop does not have is refused",
    },
    Switch { name: "batch-limit", takes: Takes::Number(500), meaning: "the most lines in a list" },
];

/// How it is started by name.
pub const KIND: Kind = Kind {
    name: "commerceup",
    title: "Commerceup",
    switches: SWITCHES,
    start: |wire, switches| {
        let options = Options { wire, switches: switches.clone(), ..Options::default() };
        Ok(Box::new(Commerceup::start(options)?))
    },
};

/// How a Commerceup is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas.
    pub wire: WireOptions,
    /// What `x-api-key` must say.
    pub api_key: String,
    /// The project in the path.
    pub project: String,
    /// How it behaves.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            api_key: "cu-5f0e6c1b9a".to_owned(),
            project: "9b2f4d7c".to_owned(),
            switches: Switches::new(SWITCHES),
        }
    }
}

/// What the shop knows of an article's stock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// How many there are.
    pub quantity: i64,
    /// How often it was set.
    pub sets: usize,
    /// How often it was added to.
    pub additions: usize,
}

/// A running Commerceup. Clones are handles to the same one; it stops with the last of them.
pub type Commerceup = Running<Inside>;

/// What a Commerceup knows and holds.
#[derive(Debug)]
pub struct Inside {
    api_key: String,
    project: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stock: BTreeMap<String, Stock>,
    links: BTreeMap<String, Value>,
    statuses: BTreeMap<String, Vec<String>>,
    unknown_skus: BTreeSet<String>,
}

impl Commerceup {
    /// Starts one on 127.0.0.1; it knows every sku until it is told otherwise.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let inside = Inside { api_key: options.api_key, project: options.project, state: Mutex::default() };
        Self::open(&options.wire, options.switches, |_| inside, routes::answer, routes::refuse)
    }

    /// The base its endpoints are below: `http://127.0.0.1:port/v1/{project}`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1/{}", self.wire.url(), self.inside.project)
    }

    /// The stock of every sku that has been sent.
    #[must_use]
    pub fn stock(&self) -> BTreeMap<String, Stock> {
        lock(&self.inside.state).stock.clone()
    }

    /// The quantity of every sku that has been sent.
    #[must_use]
    pub fn quantities(&self) -> BTreeMap<String, i64> {
        self.stock().into_iter().map(|(sku, stock)| (sku, stock.quantity)).collect()
    }

    /// The ERP's product ids by sku.
    #[must_use]
    pub fn links(&self) -> BTreeMap<String, Value> {
        lock(&self.inside.state).links.clone()
    }

    /// What each order's status has been, one after the other.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, Vec<String>> {
        lock(&self.inside.state).statuses.clone()
    }

    /// From now on the shop doesn't have this article.
    pub fn forget_sku(&self, sku: &str) {
        lock(&self.inside.state).unknown_skus.insert(sku.to_owned());
    }

    /// The shop has the article again.
    pub fn know_sku(&self, sku: &str) {
        lock(&self.inside.state).unknown_skus.remove(sku);
    }
}

impl Platform for Commerceup {
    fn url(&self) -> String {
        self.url()
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("x-api-key", self.inside.api_key.clone())]
    }
}

#[cfg(test)]
mod tests;
