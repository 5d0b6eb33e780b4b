//! Simulated B2Market: login, the reading and creating of orders, statuses, masters (B2Market contract §2–§9).
//!
//! It refuses what the contract refuses: no or an expired token (403), a missing or misspelt `date` (400), pages that
//! are no numbers (400), an order that lacks a field or whose parents aren't there (400). What breaks a rule is noted besides
//! ([`Wire::broken_rules`]). Where the contract leaves the answer open, [`Options`] and [`SWITCHES`] play each of them.

mod create;
mod login;
mod masters;
mod order;
mod orders;
mod routes;
mod xml;

use super::wire::WireOptions;
use super::{Kind, Running, Switch, Switches, Takes, lock};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
pub use masters::{Masters, Rows};

use login::Tokens;
use orders::{Edit, Orders};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a B2Market is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas.
    pub wire: WireOptions,
    /// The one user's name.
    pub username: String,
    /// … and password.
    pub password: String,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// The zone of the zone-less times it prints and reads.
    pub zone: Tz,
    /// What the content of the orders is made from: equal seeds make equal orders.
    pub seed: u64,
    /// The largest page it serves, whatever `pageSize` says.
    pub max_page_size: usize,
    /// The order of the rows of `updatedFrom`.
    pub sort: Sort,
    /// What its pagination block says.
    pub totals: Totals,
    /// How its lists are written.
    pub answers: Answers,
    /// Whether `getOrder` answers an unknown id with 404; otherwise with an empty list.
    pub unknown_id_is_404: bool,
    /// What is played of the rest that the contract leaves open.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            username: "erp".to_owned(),
            password: "b2m-secret".to_owned(),
            token_lifetime: Duration::from_secs(7200),
            zone: chrono_tz::Europe::Madrid,
            seed: 1,
            max_page_size: 100,
            sort: Sort::UpdatedAscending,
            totals: Totals::Exact,
            answers: Answers::default(),
            unknown_id_is_404: false,
            switches: Switches::new(SWITCHES),
        }
    }
}

/// No more orders come by themselves beyond so many.
const MOST_ORDERS: usize = 5_000;

/// What the contract leaves open, and what goes wrong there.
pub const SWITCHES: &[Switch] = &[
    Switch { name: "token-lifetime", takes: Takes::Number(7200), meaning: "seconds a token is good for" },
    Switch {
        name: "expire-on-page",
        takes: Takes::Flag,
        meaning: "each page of updatedFrom ends all tokens",
    },
    Switch {
        name: "post-allowed",
        takes: Takes::OneOf(&["true", "false"]),
        meaning: "roles.POST of the token; without it orders can't be created",
    },
    Switch {
        name: "largest-page",
        takes: Takes::Number(100),
        meaning: "rows a page has at most, whatever pageSize says",
    },
    Switch {
        name: "sort",
        takes: Takes::OneOf(&["updated", "updated-descending", "id"]),
        meaning: "the order of the rows of updatedFrom",
    },
    Switch {
        name: "totals",
        takes: Takes::OneOf(&["exact", "one-too-high", "missing"]),
        meaning: "what the pagination block says",
    },
    Switch {
        name: "format",
        takes: Takes::OneOf(&["json", "xml-wrapped", "xml-bare"]),
        meaning: "what lists are written in, and whether lists within rows have <item> elements",
    },
    Switch {
        name: "unknown-id",
        takes: Takes::OneOf(&["empty", "404"]),
        meaning: "how getOrder answers an unknown id",
    },
    Switch {
        name: "moving-rows",
        takes: Takes::Flag,
        meaning: "an order changes after each page of updatedFrom",
    },
    Switch { name: "same-second", takes: Takes::Flag, meaning: "all sample orders are dated in one second" },
    Switch {
        name: "fashion",
        takes: Takes::OneOf(&["true", "false"]),
        meaning: "whether a new order must have a season, or must have none",
    },
    Switch {
        name: "create-answer",
        takes: Takes::OneOf(&["order", "id", "none"]),
        meaning: "what the answer to a new order has in it",
    },
    Switch {
        name: "status-value",
        takes: Takes::OneOf(&["text", "boolean"]),
        meaning: "what status lists have as value",
    },
    Switch { name: "orders", takes: Takes::Number(50), meaning: "sample orders" },
];

/// How it is started by name.
pub const KIND: Kind = Kind { name: "b2market", title: "B2Market", switches: SWITCHES, start };

fn start(wire: WireOptions, switches: &Switches) -> std::io::Result<Box<dyn super::Platform>> {
    let options = Options {
        wire,
        token_lifetime: Duration::from_secs(switches.number("token-lifetime") as u64),
        max_page_size: switches.number("largest-page"),
        sort: match switches.text("sort").as_str() {
            "updated-descending" => Sort::UpdatedDescending,
            "id" => Sort::Id,
            _ => Sort::UpdatedAscending,
        },
        totals: match switches.text("totals").as_str() {
            "one-too-high" => Totals::OneTooHigh,
            "missing" => Totals::Missing,
            _ => Totals::Exact,
        },
        answers: Answers {
            format: match switches.text("format").as_str() {
                "xml-wrapped" => Format::Xml(Lists::Wrapped),
                "xml-bare" => Format::Xml(Lists::Bare),
                _ => Format::Json,
            },
            ..Answers::default()
        },
        unknown_id_is_404: switches.is("unknown-id", "404"),
        switches: switches.clone(),
        ..Options::default()
    };
    let market = B2Market::start(options)?;
    let orders = switches.number("orders");
    if switches.on("same-second") {
        let at = market.wire.clock().now() - TimeDelta::hours(1);
        market.seed_between(orders, at, at);
    } else {
        market.seed(orders);
    }
    Ok(Box::new(market))
}

/// The order of the rows of `updatedFrom`; the contract names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By `updatedAt`, oldest first; within a second by id.
    UpdatedAscending,
    /// By `updatedAt`, newest first.
    UpdatedDescending,
    /// By id.
    Id,
}

/// What the pagination block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// The truth.
    Exact,
    /// One item more than there is, on every page.
    OneTooHigh,
    /// No `totalItems` and no `totalPages`, only `nextPageUrl`.
    Missing,
}

/// How lists of orders are written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answers {
    /// JSON or XML.
    pub format: Format,
    /// Whether a byte order mark comes first; only UTF-8 has one here.
    pub mark: bool,
    /// The charset, by a name that browsers know; UTF-8 where there is none.
    pub charset: Option<&'static str>,
    /// Whether they are compressed for those who take that.
    pub gzip: bool,
    /// The time between two thirds of a body.
    pub pause: Duration,
}

/// What lists of orders are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// XML.
    Xml(Lists),
}

/// How lists within an order are written in XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// `<lines><item>…</item><item>…</item></lines>`
    Wrapped,
    /// `<lines>…</lines><lines>…</lines>`
    Bare,
}

/// A running B2Market. Clones are handles to the same one; it stops with the last of them. Those of its
/// switches that [`Options`] and setters have a type for are read at the start only.
pub type B2Market = Running<Inside>;

/// What a B2Market knows and holds.
#[derive(Debug)]
pub struct Inside {
    username: String,
    password: String,
    unknown_id_is_404: bool,
    state: Mutex<State>,
}

struct State {
    tokens: Tokens,
    orders: Orders,
    masters: Masters,
    /// The bodies that orders were created from, by the ids they were given.
    created: BTreeMap<String, Value>,
    max_page_size: usize,
    sort: Sort,
    totals: Totals,
    answers: Answers,
    hooks: Vec<(usize, Hook)>,
    every_page: Option<EveryPage>,
    /// The `data` of each answer to `updatedFrom`, if it is kept.
    kept: Option<Vec<String>>,
}

type Hook = Box<dyn FnOnce(&B2Market) + Send>;
type EveryPage = Arc<Mutex<dyn FnMut(&B2Market) + Send>>;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("orders", &self.orders.len()).finish_non_exhaustive()
    }
}

impl B2Market {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let inside = Inside {
            username: options.username,
            password: options.password,
            unknown_id_is_404: options.unknown_id_is_404,
            state: Mutex::new(State {
                tokens: Tokens::new(options.token_lifetime),
                orders: Orders::new(options.seed, options.zone),
                masters: Masters::sample(),
                created: BTreeMap::new(),
                max_page_size: options.max_page_size.max(1),
                sort: options.sort,
                totals: options.totals,
                answers: options.answers,
                hooks: Vec::new(),
                every_page: None,
                kept: None,
            }),
        };
        Self::open(&options.wire, options.switches, |_| inside, routes::answer, routes::refuse)
    }

    /// The base its endpoints are below: `http://127.0.0.1:port/api`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/api", self.wire.url())
    }

    /// What the login's body says.
    #[must_use]
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("_username", self.inside.username.clone()), ("_password", self.inside.password.clone())]
    }

    /// Adds `n` orders, the oldest updated a year ago and the newest an hour ago; their ids.
    pub fn seed(&self, n: usize) -> Vec<String> {
        let now = self.wire.clock().now();
        self.seed_between(n, now - TimeDelta::days(365), now - TimeDelta::hours(1))
    }

    /// Adds `n` orders with `updatedAt` spread evenly over the time from `from` to `until`; all in one second, if
    /// that is how they are given.
    pub fn seed_between(&self, n: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<String> {
        let span = (until - from).num_seconds();
        self.change(|orders| {
            let steps = i64::try_from(n).unwrap_or(i64::MAX).saturating_sub(1).max(1);
            (0..n)
                .zip(0i64..)
                .map(|(_, step)| {
                    let offset = i128::from(span) * i128::from(step) / i128::from(steps);
                    let at = from + TimeDelta::seconds(i64::try_from(offset).unwrap_or(0));
                    orders.add(at, at, None)
                })
                .collect()
        })
    }

    /// Adds `n` new orders now.
    pub fn insert(&self, n: usize) -> Vec<String> {
        let now = self.wire.clock().now();
        self.change(|orders| (0..n).map(|_| orders.add(now, now, None)).collect())
    }

    /// Adds an order that becomes visible only now although it was dated so long ago: its transaction was slow.
    pub fn late_commit(&self, dated_before: Duration) -> String {
        let at = self.wire.clock().now() - delta(dated_before);
        self.change(|orders| orders.add(at, at, None))
    }

    /// Adds an order dated so far in the future.
    pub fn future_dated(&self, ahead: Duration) -> String {
        let now = self.wire.clock().now();
        self.change(|orders| orders.add(now, now + delta(ahead), None))
    }

    /// Adds a row that is served as this text, whatever it says; it is found and sorted by `updated_at`.
    pub fn insert_raw(&self, updated_at: DateTime<Utc>, json: &str) -> String {
        self.change(|orders| orders.add(updated_at, updated_at, Some(json.into())))
    }

    /// Changes the content of an order now (A → B). An id that isn't there changes nothing.
    pub fn edit(&self, id: &str) {
        self.edit_with(id, Edit::Forward);
    }

    /// Takes the last [`B2Market::edit`] back (B → A): the old content, dated now.
    pub fn undo(&self, id: &str) {
        self.edit_with(id, Edit::Back);
    }

    /// Takes the last change of an order back as if it had never been, its date included: it was seen before it was
    /// committed, and its transaction failed. Nothing happens, and false is returned, if the order would be dated further
    /// back than `within`.
    pub fn roll_back(&self, id: &str, within: Duration) -> bool {
        let since = self.wire.clock().now() - delta(within);
        self.change(|orders| orders.roll_back(id, since))
    }

    /// Dates an order now and leaves its content.
    pub fn redate(&self, id: &str) {
        self.edit_with(id, Edit::Date);
    }

    /// Sets `active` to false now.
    pub fn withdraw(&self, id: &str) {
        self.edit_with(id, Edit::Withdraw);
    }

    /// Edits `n` orders now, chosen at random but the same for the same seed and history; their ids.
    pub fn touch(&self, n: usize) -> Vec<String> {
        self.pick_and(n, Edit::Forward)
    }

    /// Dates `n` orders now and leaves their content; their ids.
    pub fn redate_some(&self, n: usize) -> Vec<String> {
        self.pick_and(n, Edit::Date)
    }

    /// Something happens, as it does on any day: an order comes, and one changes.
    pub fn stir(&self) {
        if self.len() < MOST_ORDERS {
            self.insert(1);
        }
        self.touch(1);
    }

    /// Deletes an order without a trace.
    pub fn remove(&self, id: &str) {
        self.change(|orders| orders.remove(id));
    }

    /// Every order by its id, as it is served.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<String, Value> {
        lock(&self.inside.state).orders.documents()
    }

    /// The bodies that orders were created from, as they were sent, by the ids the platform gave.
    #[must_use]
    pub fn created(&self) -> BTreeMap<String, Value> {
        lock(&self.inside.state).created.clone()
    }

    /// What orders refer to.
    #[must_use]
    pub fn masters(&self) -> Masters {
        lock(&self.inside.state).masters.clone()
    }

    /// Changes what orders refer to.
    pub fn change_masters(&self, change: impl FnOnce(&mut Masters)) {
        change(&mut lock(&self.inside.state).masters);
    }

    /// How many orders there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.inside.state).orders.len()
    }

    /// Whether there is no order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes every token issued so far invalid.
    pub fn expire_tokens(&self) {
        lock(&self.inside.state).tokens.clear();
    }

    /// Changes the largest page it serves.
    pub fn set_max_page_size(&self, rows: usize) {
        lock(&self.inside.state).max_page_size = rows.max(1);
    }

    /// Changes the order of rows.
    pub fn set_sort(&self, sort: Sort) {
        lock(&self.inside.state).sort = sort;
    }

    /// Changes what the pagination block says.
    pub fn set_totals(&self, totals: Totals) {
        lock(&self.inside.state).totals = totals;
    }

    /// Changes how lists are written.
    pub fn set_answers(&self, answers: Answers) {
        lock(&self.inside.state).answers = answers;
    }

    /// Calls `hook` once, after page `page` of `updatedFrom` was read and before it is answered: what it changes is
    /// not on this page and may be on the next.
    pub fn after_page(&self, page: usize, hook: impl FnOnce(&Self) + Send + 'static) {
        lock(&self.inside.state).hooks.push((page, Box::new(hook)));
    }

    /// Calls `hook` after each page of `updatedFrom` was read and before it is answered, in place of the one before.
    pub fn after_every_page(&self, hook: impl FnMut(&Self) + Send + 'static) {
        lock(&self.inside.state).every_page = Some(Arc::new(Mutex::new(hook)));
    }

    /// Calls no hook any more.
    pub fn forget_hooks(&self) {
        let mut state = lock(&self.inside.state);
        state.hooks.clear();
        state.every_page = None;
    }

    /// The rows of each answer to `updatedFrom` since this was last asked, oldest first, whether or not the answer
    /// reached anybody. The first time there is none: from then on they are kept.
    pub fn take_answers(&self) -> Vec<Vec<Value>> {
        let kept = lock(&self.inside.state).kept.replace(Vec::new()).unwrap_or_default();
        kept.iter().map(|data| serde_json::from_str(data).unwrap_or_default()).collect()
    }

    /// Becomes as it was when it started, but with other orders to come: no orders, tokens, hooks, faults and
    /// answers. Clock, switches and request log stay.
    pub fn start_over(&self, seed: u64) {
        self.wire.heal();
        let mut state = lock(&self.inside.state);
        state.orders = Orders::new(seed, state.orders.zone());
        state.created.clear();
        state.tokens.clear();
        state.hooks.clear();
        state.every_page = None;
        state.kept = None;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> T {
        change(&mut lock(&self.inside.state).orders)
    }

    fn edit_with(&self, id: &str, edit: Edit) {
        let now = self.wire.clock().now();
        self.change(|orders| orders.edit(id, edit, now));
    }

    fn pick_and(&self, n: usize, edit: Edit) -> Vec<String> {
        let now = self.wire.clock().now();
        self.change(|orders| {
            let ids = orders.pick(n);
            for id in &ids {
                orders.edit(id, edit, now);
            }
            ids
        })
    }
}

fn delta(by: Duration) -> TimeDelta {
    TimeDelta::from_std(by).unwrap_or_default()
}

#[cfg(test)]
mod tests;
