//! Simulated Cortecloud: services read page by page, the ERP's order code written back to them, and materials (Cortecloud
//! contract §2–§8).
//!
//! It wants both parts of the credentials on every call and refuses what the gateway in front of the platform refuses.
//! The endpoints of materials are not public; panels, tapes and components stand in for them, at paths a test may move.

mod routes;
mod service;

use super::wire::{Wire, WireOptions};
use super::{Kind, Platform, Running, Switch, Switches, Takes, lock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value};
use service::{Service, material};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const SWITCHES: &[Switch] = &[
    Switch {
        name: "items",
        takes: Takes::OneOf(&["resource", "data", "services", "array"]),
        meaning: "under which name a list lies in the answer; an array has no `meta`",
    },
    Switch {
        name: "next",
        takes: Takes::OneOf(&["honest", "stands-still", "goes-back", "missing"]),
        meaning: "what `meta.next` says",
    },
    Switch {
        name: "empty-page",
        takes: Takes::Number(0),
        meaning: "the page of a walk that is empty though it has a next one; 0 for none",
    },
    Switch {
        name: "max-limit",
        takes: Takes::Number(100),
        meaning: "the largest page, whatever is asked for",
    },
    Switch {
        name: "order",
        takes: Takes::OneOf(&["id", "newest-first"]),
        meaning: "the order of services; newest first, they move between pages when they change",
    },
    Switch {
        name: "write",
        takes: Takes::OneOf(&["PUT", "PATCH", "both"]),
        meaning: "the method that updates; PUT is the documented one",
    },
    Switch {
        name: "other-fields",
        takes: Takes::OneOf(&["ignored", "refused"]),
        meaning: "what becomes of fields of a service other than `internal_code`",
    },
    Switch {
        name: "dates",
        takes: Takes::OneOf(&["utc", "local"]),
        meaning: "whether dates end in Z, or are readings in Sao Paulo without a zone",
    },
    Switch {
        name: "materials",
        takes: Takes::OneOf(&["on", "off"]),
        meaning: "whether there are panels, tapes and components",
    },
    Switch {
        name: "services",
        takes: Takes::Number(40),
        meaning: "services there are when it is started by name",
    },
];

/// How it is started by name.
pub const KIND: Kind = Kind {
    name: "cortecloud",
    title: "Cortecloud",
    switches: SWITCHES,
    start: |wire, switches| {
        let options = Options { wire, switches: switches.clone(), ..Options::default() };
        let cloud = Cortecloud::start(options)?;
        cloud.seed(cloud.switches.number("services"));
        for materials in Material::ALL {
            cloud.seed_materials(materials, 12);
        }
        Ok(Box::new(cloud))
    },
};

/// The codes of the status table (§7); others are unknown to it.
pub const STATUSES: [u32; 19] = [1, 2, 4, 6, 7, 8, 9, 12, 13, 14, 15, 16, 18, 20, 21, 22, 23, 24, 25];

/// How a Cortecloud is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port, clock and quotas.
    pub wire: WireOptions,
    /// The shop's user …
    pub email: String,
    /// … and password; it may contain colons.
    pub password: String,
    /// What `x-dreamfactory-api-key` must say.
    pub api_key: String,
    /// What services and materials are made from: equal seeds make equal ones.
    pub seed: u64,
    /// The paths of panels, tapes and components, without slashes.
    pub material_paths: [String; 3],
    /// How it behaves.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wire: WireOptions::default(),
            email: "shop@example.org".to_owned(),
            password: "cut:edge:drill".to_owned(),
            api_key: "36fda24fe5588fa4285ac6c6c2fdfbdb".to_owned(),
            seed: 1,
            material_paths: Material::ALL.map(|material| material.name().to_owned()),
            switches: Switches::new(SWITCHES),
        }
    }
}

/// What services are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Material {
    /// Boards.
    Panels,
    /// Edge bands.
    Tapes,
    /// Hinges, slides, screws.
    Components,
}

impl Material {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Panels, Self::Tapes, Self::Components];

    /// `panels`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Panels => "panels",
            Self::Tapes => "tapes",
            Self::Components => "components",
        }
    }
}

/// A running Cortecloud. Clones are handles to the same one; it stops with the last of them.
pub type Cortecloud = Running<Inside>;

/// What a Cortecloud knows and holds.
#[derive(Debug)]
pub struct Inside {
    email: String,
    password: String,
    api_key: String,
    seed: u64,
    material_paths: [String; 3],
    state: Mutex<State>,
}

struct State {
    services: Vec<Service>,
    next_id: u64,
    dice: StdRng,
    materials: BTreeMap<Material, BTreeMap<u64, Map<String, Value>>>,
    /// The offsets handed out as `meta.next`, by path.
    handed_out: BTreeSet<(String, usize)>,
    writes: usize,
    hooks: Vec<(usize, Hook)>,
    pages: usize,
}

type Hook = Box<dyn FnOnce(&Cortecloud) + Send>;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("services", &self.services.len()).finish_non_exhaustive()
    }
}

impl Cortecloud {
    /// Starts one on 127.0.0.1, without services and materials.
    ///
    /// # Errors
    /// When the port is taken or the thread can't be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let state = State {
            services: Vec::new(),
            next_id: 48_211,
            dice: StdRng::seed_from_u64(options.seed),
            materials: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            writes: 0,
            hooks: Vec::new(),
            pages: 0,
        };
        let inside = Inside {
            email: options.email,
            password: options.password,
            api_key: options.api_key,
            seed: options.seed,
            material_paths: options.material_paths,
            state: Mutex::new(state),
        };
        Self::open(&options.wire, options.switches, |_| inside, routes::answer, routes::refuse)
    }

    /// The base its endpoints are below: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.wire.url()
    }

    /// Adds `n` services with statuses of the table; their ids.
    pub fn seed(&self, n: usize) -> Vec<u64> {
        (0..n).map(|_| self.add(None)).collect()
    }

    /// Adds a service with this status, whether or not the table has it; its id.
    pub fn insert(&self, status: u32) -> u64 {
        self.add(Some(status))
    }

    fn add(&self, status: Option<u32>) -> u64 {
        let now = self.wire.clock().now();
        let mut state = lock(&self.inside.state);
        let status = status.unwrap_or_else(|| STATUSES[state.dice.random_range(0..STATUSES.len())]);
        let id = state.next_id;
        // Ids have gaps.
        state.next_id += state.dice.random_range(1..=3);
        state.services.push(Service { id, status, revision: 0, internal_code: None, updated: now });
        id
    }

    /// Changes the content of a service now.
    pub fn edit(&self, id: u64) {
        self.change(id, |service| service.revision += 1);
    }

    /// Changes the status of a service now.
    pub fn set_status(&self, id: u64, status: u32) {
        self.change(id, |service| service.status = status);
    }

    /// Links a service to an order, as somebody at the platform may.
    pub fn link(&self, id: u64, code: &str) {
        self.change(id, |service| service.internal_code = Some(code.to_owned()));
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Service)) {
        let now = self.wire.clock().now();
        let mut state = lock(&self.inside.state);
        if let Some(service) = state.services.iter_mut().find(|service| service.id == id) {
            change(service);
            service.updated = now;
        }
    }

    /// Edits `n` services now, chosen at random but the same for the same seed and history; their ids.
    pub fn touch(&self, n: usize) -> Vec<u64> {
        let ids: Vec<u64> = {
            let mut state = lock(&self.inside.state);
            let State { services, dice, .. } = &mut *state;
            let chosen = rand::seq::index::sample(dice, services.len(), n.min(services.len()));
            chosen.iter().map(|at| services[at].id).collect()
        };
        ids.iter().for_each(|id| self.edit(*id));
        ids
    }

    /// A service is authorised, or one is changed; there are never more than a thousand for it.
    pub fn stir(&self) {
        let comes = {
            let mut state = lock(&self.inside.state);
            state.services.len() < 1_000 && state.dice.random_bool(0.5)
        };
        if comes {
            self.insert(6);
        } else {
            self.touch(1);
        }
    }

    /// Deletes a service without a trace.
    pub fn remove(&self, id: u64) {
        lock(&self.inside.state).services.retain(|service| service.id != id);
    }

    /// Every service by its id, as its detail is served.
    #[must_use]
    pub fn services(&self) -> BTreeMap<u64, Value> {
        let local = self.switches.is("dates", "local");
        let state = lock(&self.inside.state);
        let detail = |service: &Service| (service.id, service.detail(self.inside.seed, local));
        state.services.iter().map(detail).collect()
    }

    /// One service, as its detail is served.
    #[must_use]
    pub fn service(&self, id: u64) -> Option<Value> {
        let local = self.switches.is("dates", "local");
        let state = lock(&self.inside.state);
        let service = state.services.iter().find(|service| service.id == id);
        service.map(|service| service.detail(self.inside.seed, local))
    }

    /// The order codes of the services that have one.
    #[must_use]
    pub fn links(&self) -> BTreeMap<u64, String> {
        let state = lock(&self.inside.state);
        let code = |service: &Service| Some((service.id, service.internal_code.clone()?));
        state.services.iter().filter_map(code).collect()
    }

    /// Adds `n` materials of a kind; their ids.
    pub fn seed_materials(&self, kind: Material, n: usize) -> Vec<u64> {
        let mut state = lock(&self.inside.state);
        let all = state.materials.entry(kind).or_default();
        let first = all.keys().next_back().map_or(1, |last| last + 1);
        let ids: Vec<u64> = (first..).take(n).collect();
        all.extend(ids.iter().map(|id| (*id, material(self.inside.seed, kind, *id))));
        ids
    }

    /// Every material of a kind by its id, as it is served.
    #[must_use]
    pub fn materials(&self, kind: Material) -> BTreeMap<u64, Value> {
        let state = lock(&self.inside.state);
        let all = state.materials.get(&kind).into_iter().flatten();
        all.map(|(id, fields)| (*id, Value::from(fields.clone()))).collect()
    }

    /// How many updates of services and materials were accepted.
    #[must_use]
    pub fn writes(&self) -> usize {
        lock(&self.inside.state).writes
    }

    /// Calls `hook` once, after the `nth` page of services from now on (the next is 1) was read and before it is answered.
    pub fn after_page(&self, nth: usize, hook: impl FnOnce(&Self) + Send + 'static) {
        let mut state = lock(&self.inside.state);
        let at = state.pages + nth;
        state.hooks.push((at, Box::new(hook)));
    }
}

impl Platform for Cortecloud {
    fn url(&self) -> String {
        self.url().to_owned()
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let user = format!("{}:{}", self.inside.email, self.inside.password);
        vec![
            ("Authorization", format!("Basic {}", STANDARD.encode(user))),
            ("x-dreamfactory-api-key", self.inside.api_key.clone()),
        ]
    }

    fn stir(&self) {
        self.stir();
    }
}

#[cfg(test)]
mod tests;
