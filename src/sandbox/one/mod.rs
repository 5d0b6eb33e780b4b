//! Simulated ONe, complete: segments, warehouses, stocks, clients, trade credits, blockades, prices, invoices, goods
//! issued notes, orders and their statuses, offline orders (ONe contract §1, §3).
//!
//! It refuses what the contract refuses, and a refused request changes nothing: a missing (401) or wrong (403) header, more
//! than 10,000 lines, a field that is missing, mistyped or none of its values (400), a record whose client or parent isn't
//! there (404). What breaks a rule is noted besides ([`Wire::broken_rules`]), also where the platform would have let it pass.
//! Where the contract leaves an answer open, [`SWITCHES`] play each. Paths the contract doesn't give are the sandbox's
//! choice; the table in `route` has them all. What was sent is kept as it came: numbers digit for digit.

mod blockades;
mod clients;
mod feed;
mod files;
mod invoices;
mod notes;
mod offline;
mod orders;
mod prices;
mod records;
mod route;
mod samples;
mod segments;
mod stocks;
mod trade_credits;
mod warehouses;

pub use records::{Counts, File, Records, Stock};

use super::wire::{Wire, WireOptions};
use super::{Kind, Running, Switch, Switches, Takes, lock};
use feed::Feed;
use files::Uploads;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The most lines one request may have, unless [`Options::most_lines`] says otherwise.
pub const MOST_LINES: usize = 10_000;
/// The price lists a client may have.
pub const MOST_PRICE_LISTS: usize = 2_000;

/// What the contract leaves open, and what goes wrong there.
pub const SWITCHES: &[Switch] = &[
    Switch {
        name: "path-profile",
        takes: Takes::OneOf(&["seed", "docs"]),
        meaning: "order/shipment and order/status are below account (seed) or orders (docs)",
    },
    Switch {
        name: "success-body",
        takes: Takes::OneOf(&["none", "json", "text"]),
        meaning: "what an accepted write is answered with: 204, 200 with {\"success\":true}, or 200 with OK",
    },
    Switch {
        name: "too-many-lines",
        takes: Takes::OneOf(&["400", "413"]),
        meaning: "the status of a request with more than 10,000 lines",
    },
    Switch {
        name: "missing-client",
        takes: Takes::Text,
        meaning: "client ids, separated by commas, that are answered with 404 client not found",
    },
    Switch {
        name: "stock-quantity",
        takes: Takes::OneOf(&["absolute", "delta"]),
        meaning: "whether quantities of incremental stocks replace what is there or are added to it",
    },
    Switch {
        name: "client-answer",
        takes: Takes::OneOf(&["id", "clientId", "string"]),
        meaning: "how the answer to a new client names its id",
    },
    Switch {
        name: "list-shape",
        takes: Takes::OneOf(&["both", "items", "listElement", "array"]),
        meaning: "where the list of clients has its rows; both: in items and in listElement",
    },
    Switch {
        name: "client-feed",
        takes: Takes::OneOf(&["there", "missing"]),
        meaning: "whether there is a feed of changed clients",
    },
    Switch {
        name: "individual-accounts",
        takes: Takes::Flag,
        meaning: "the tenant issues bank accounts, so that clients may be sent with bankAccountNumber",
    },
    Switch {
        name: "trade-credit-id",
        takes: Takes::OneOf(&["bare", "prefixed"]),
        meaning: "whether paths of trade credits take the bare uuid or org:<uuid>",
    },
    Switch {
        name: "blockade-delete",
        takes: Takes::OneOf(&["whole", "type", "external-id"]),
        meaning: "whether a deletion lifts all blockades of a client, or the one named by ?type= or ?externalId=",
    },
    Switch {
        name: "invoice-method",
        takes: Takes::OneOf(&["put", "post"]),
        meaning: "the method that takes invoices",
    },
    Switch {
        name: "file-transfer",
        takes: Takes::OneOf(&["url", "inline", "multipart"]),
        meaning: "where a file's bytes go: PUT to the begin answer's uploadUrl, base64 in content of the completion, \
                  or multipart to file-upload/{uploadId}",
    },
    Switch {
        name: "upload-url-field",
        takes: Takes::OneOf(&["uploadUrl", "url"]),
        meaning: "the name of the upload address in the begin answer",
    },
    Switch {
        name: "complete-twice",
        takes: Takes::OneOf(&["done", "404", "409"]),
        meaning: "what a file that was completed already is answered with",
    },
    Switch {
        name: "next-id",
        takes: Takes::OneOf(&["honest", "stuck", "backwards"]),
        meaning: "what feeds answer as nextId",
    },
    Switch {
        name: "duplicate-events",
        takes: Takes::Flag,
        meaning: "every new event comes twice in its feed, under two ids",
    },
    Switch {
        name: "late-event",
        takes: Takes::Flag,
        meaning: "the last event but one of each feed is not seen the first time it could be",
    },
    Switch { name: "clients", takes: Takes::Number(20), meaning: "sample clients" },
    Switch { name: "orders", takes: Takes::Number(20), meaning: "sample orders" },
    Switch {
        name: "price-lists",
        takes: Takes::Number(3),
        meaning: "sample price lists besides the main catalogue",
    },
];

/// How it is started by name.
pub const KIND: Kind = Kind {
    name: "one",
    title: "ONe",
    switches: SWITCHES,
    start: |wire, switches| {
        let one = One::start(Options { wire, ..Options::default() }.switched(switches.clone()))?;
        one.seed(switches.number("clients"), switches.number("orders"), switches.number("price-lists"));
        Ok(Box::new(one))
    },
};

/// How a ONe is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas.
    pub wire: WireOptions,
    /// What `one-tenant` must say.
    pub tenant: String,
    /// What `ApiAuth` must say.
    pub api_auth: String,
    /// The warehouses it knows.
    pub warehouses: Vec<String>,
    /// The most lines one request may have.
    pub most_lines: usize,
    /// Whether a refusal names the line it is about; the contract documents no error bodies.
    pub names_lines: bool,
    /// What the ids it gives and its sample data are made from.
    pub seed: u64,
    /// What is played of what the contract leaves open.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            tenant: "acme".to_owned(),
            api_auth: "0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210".to_owned(),
            warehouses: (1..=5).map(|number| format!("W{number}")).collect(),
            most_lines: MOST_LINES,
            names_lines: true,
            seed: 1,
            switches: Switches::new(SWITCHES),
        }
    }
}

impl Options {
    /// With these switches.
    #[must_use]
    pub fn switched(self, switches: Switches) -> Self {
        Self { switches, ..self }
    }
}

/// A running ONe. Clones are handles to the same one; it stops with the last of them.
pub type One = Running<Inside>;

/// What a ONe knows and holds.
#[derive(Debug)]
pub struct Inside {
    tenant: String,
    api_auth: String,
    names_lines: bool,
    state: Mutex<State>,
}

type Hook = Box<dyn FnOnce(&One) + Send>;

/// Everything the platform holds.
struct State {
    records: Records,
    counts: Counts,
    switches: Switches,
    most_lines: usize,
    base: String,
    dice: StdRng,
    client_feed: Feed,
    credit_feed: Feed,
    order_feed: Feed,
    invoice_uploads: Uploads,
    note_uploads: Uploads,
    refused_skus: BTreeSet<String>,
    hooks: Vec<(usize, Hook)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl State {
    /// An id as the platform gives them, the same for the same seed and history.
    fn uuid(&mut self) -> String {
        let (a, b) = (self.dice.random::<u64>(), self.dice.random::<u64>());
        let (high, mid, low) = (a >> 32, (a >> 16) & 0xffff, a & 0x0fff);
        format!("{high:08x}-{mid:04x}-4{low:03x}-8{:03x}-{:012x}", (b >> 48) & 0x0fff, b & 0xffff_ffff_ffff)
    }

    /// The client, unless it isn't there or is switched to be missing.
    fn client(&self, id: &str) -> Option<&Value> {
        let missing = self.switches.text("missing-client");
        if missing.split(',').any(|missing| missing == id) {
            return None;
        }
        self.records.clients.get(id)
    }
}

impl One {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let mut dice = StdRng::seed_from_u64(options.seed);
        dice.random::<u64>();
        let mut state = State {
            records: Records::default(),
            counts: Counts::default(),
            switches: options.switches.clone(),
            most_lines: options.most_lines,
            base: String::new(),
            dice,
            client_feed: Feed::default(),
            credit_feed: Feed::default(),
            order_feed: Feed::default(),
            invoice_uploads: Uploads::default(),
            note_uploads: Uploads::default(),
            refused_skus: BTreeSet::new(),
            hooks: Vec::new(),
        };
        state.records.stocks = options.warehouses.into_iter().map(|id| (id, BTreeMap::new())).collect();
        segments::add_root(&mut state);
        prices::add_main_catalog(&mut state);
        let inside = |wire: &Wire| {
            state.base = wire.url().to_owned();
            Inside {
                tenant: options.tenant,
                api_auth: options.api_auth,
                names_lines: options.names_lines,
                state: Mutex::new(state),
            }
        };
        Self::open(&options.wire, options.switches, inside, route::answer, route::refuse)
    }

    /// The base its endpoints are below: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.wire.url()
    }

    /// The headers every call must have.
    #[must_use]
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("one-tenant", self.inside.tenant.clone()), ("ApiAuth", self.inside.api_auth.clone())]
    }

    /// What it holds now.
    #[must_use]
    pub fn records(&self) -> Records {
        lock(&self.inside.state).records.clone()
    }

    /// Every stock by warehouse and stock id.
    #[must_use]
    pub fn stocks(&self) -> BTreeMap<(String, String), Stock> {
        let state = lock(&self.inside.state);
        let all = state.records.stocks.iter().flat_map(|(warehouse, stocks)| {
            stocks.iter().map(|(id, stock)| ((warehouse.clone(), id.clone()), stock.clone()))
        });
        all.collect()
    }

    /// Every quantity by warehouse and stock id.
    #[must_use]
    pub fn quantities(&self) -> BTreeMap<(String, String), String> {
        self.stocks().into_iter().map(|(key, stock)| (key, stock.quantity)).collect()
    }

    /// What stock requests brought since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.inside.state).counts
    }

    /// From now on a request with a line of this article, a stock or a price, is refused (400).
    pub fn refuse_sku(&self, sku: &str) {
        lock(&self.inside.state).refused_skus.insert(sku.to_owned());
    }

    /// Accepts the article again.
    pub fn accept_sku(&self, sku: &str) {
        lock(&self.inside.state).refused_skus.remove(sku);
    }

    /// Adds a warehouse.
    pub fn add_warehouse(&self, code: &str) {
        lock(&self.inside.state).records.stocks.entry(code.to_owned()).or_default();
    }

    /// Forgets a warehouse and its stocks.
    pub fn remove_warehouse(&self, code: &str) {
        let mut state = lock(&self.inside.state);
        state.records.stocks.remove(code);
        state.records.warehouses.remove(code);
    }

    /// Calls `hook` once, when the `nth` stock request from now on (the next is 1) was applied, before it is answered.
    pub fn after_stocks(&self, nth: usize, hook: impl FnOnce(&Self) + Send + 'static) {
        let mut state = lock(&self.inside.state);
        let at = state.counts.requests + nth;
        state.hooks.push((at, Box::new(hook)));
    }
}

#[cfg(test)]
mod tests;
