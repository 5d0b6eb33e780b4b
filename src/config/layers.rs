//! The layers of a configuration and their merge. figment decides which layer wins; the nodes of the winners keep their
//! places, so that the merged tree can say of every value which file, variable or flag set it, and where.

use super::diagnostic::{Diagnostic, OriginKind, Place, did_you_mean};
use super::document::{self, Node, Value};
use super::{Sources, units};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The prefix of the variables that are a layer.
const PREFIX: &str = "CADENCED_";
/// The keys of which a layer that sets one replaces all: they only mean something together.
pub(super) const TRIGGER_KEYS: &[&str] =
    &["cron", "every", "offset", "between", "except", "initial", "after"];
/// The methods of a push, of which there is one.
pub(super) const METHOD_KEYS: &[&str] = &["post", "put", "patch", "delete"];
/// Of an end of a job, a key and those that mean something only without it.
const END_ALTERNATIVES: &[(&str, &str, &[&str])] = &[
    ("read", "sql", &["sql-file"]),
    ("read", "sql-file", &["sql"]),
    ("write", "table", &["statement", "key"]),
    ("write", "statement", &["table", "upsert-by", "create"]),
];
/// The ways to name a secret, of which there is one.
pub(super) const SECRET_KEYS: &[&str] = &["env", "file", "credential"];

/// All layers merged.
pub(super) struct Merged {
    /// The values that won.
    pub(super) root: Node,
    /// The files read, in the order of their layers.
    pub(super) files: Vec<PathBuf>,
    /// Files that are not wholly readable: what is missing in them must not be held against others.
    pub(super) broken: BTreeSet<String>,
    /// What is wrong with the layers themselves.
    pub(super) mistakes: Vec<Diagnostic>,
}

/// Reads all layers and merges them.
pub(super) fn read(sources: &Sources) -> Merged {
    let mut gathered = Gathered::default();
    let mut layers = vec![gathered.file(&main_file(sources))];
    if let (true, Some(unread)) = (gathered.files.is_empty(), gathered.mistakes.first_mut()) {
        let help = "name the file with --config, or write ./cadenced.toml or /etc/cadenced/cadenced.toml";
        unread.help = Some(help.to_owned());
    }
    let from_outside = outside(sources, &layers);
    let schedules = layers.iter().chain(&from_outside).rev().find_map(|layer| layer.root.get("schedules"));
    let schedules = schedules.map(directories).unwrap_or_default();
    for (place, directory) in &schedules {
        layers.extend(gathered.directory(place, directory));
    }
    layers.extend(outside(sources, &layers));

    settle_alternatives(&mut layers);
    let mut root = merge(&layers);
    settle_zones(&layers, &mut root);
    Merged { root, files: gathered.files, broken: gathered.broken, mistakes: gathered.mistakes }
}

/// The path a value names: relative to the directory of the file it stands in, or for variables and flags to the
/// working directory.
pub(super) fn resolve_path(place: &Place, path: &str) -> PathBuf {
    let directory = match place.kind {
        OriginKind::File => Path::new(&*place.file).parent(),
        OriginKind::Variable | OriginKind::Flag => None,
    };
    directory.unwrap_or(Path::new("")).join(path)
}

/// The same without a working directory in it, for what outlives the reading.
pub(super) fn absolute_path(place: &Place, path: &str) -> PathBuf {
    let path = resolve_path(place, path);
    std::path::absolute(&path).unwrap_or(path)
}

struct Layer {
    root: Node,
    /// The zone a schedule file gives its jobs.
    zone: Option<Node>,
    /// The jobs whose trigger this layer sets.
    triggers: BTreeSet<String>,
}

impl Layer {
    fn new(root: Node) -> Self {
        Self { root, zone: None, triggers: BTreeSet::new() }
    }
}

#[derive(Default)]
struct Gathered {
    files: Vec<PathBuf>,
    broken: BTreeSet<String>,
    mistakes: Vec<Diagnostic>,
}

impl Gathered {
    fn file(&mut self, path: &Path) -> Layer {
        let name = path.display().to_string();
        let start = Place::start(&name, OriginKind::File);
        let read = std::fs::read(path).map_err(|error| format!("can't be read: {error}"));
        let text =
            read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()));
        match text {
            Ok(text) => {
                let (root, mistakes) = document::parse(&name, text.trim_start_matches('\u{feff}'));
                self.files.push(path.to_owned());
                if !mistakes.is_empty() {
                    self.broken.insert(name);
                }
                self.mistakes.extend(mistakes);
                Layer::new(root)
            }
            Err(problem) => {
                self.broken.insert(name);
                self.mistakes.push(Diagnostic::new(&start, "file", problem));
                Layer::new(Node::root(start))
            }
        }
    }

    fn directory(&mut self, place: &Place, directory: &Path) -> Vec<Layer> {
        let entries = std::fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
        let mut paths = match entries {
            Ok(paths) => paths,
            Err(error) => {
                let problem = format!("the directory {} can't be read: {error}", directory.display());
                self.mistakes.push(Diagnostic::new(place, "schedules", problem));
                self.broken.insert(directory.display().to_string());
                return Vec::new();
            }
        };
        // Hidden files are an editor's, such as the lock of a file that is being written.
        let hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
        paths.sort();
        paths.iter().map(|path| self.schedule_file(path)).collect()
    }

    /// A schedule file's own zone is its jobs' alone, and it has no say about the daemon.
    fn schedule_file(&mut self, path: &Path) -> Layer {
        let mut layer = self.file(path);
        layer.zone = layer.root.get("timezone").cloned();
        if let Some(Err(wrong)) = layer.zone.as_ref().map(units::zone) {
            let zone = layer.zone.take().map_or_else(|| layer.root.at.clone(), |zone| zone.at);
            self.mistakes.push(wrong.diagnostic(&zone, "timezone"));
        }
        let strange: Vec<_> = (layer.root.entries().iter())
            .filter(|(key, _)| !["timezone", "connection", "job"].contains(&key.as_str()))
            .map(|(key, node)| (key.clone(), node.key_at.clone()))
            .collect();
        for (key, place) in &strange {
            let help = did_you_mean(key, ["timezone", "connection", "job"])
                .unwrap_or_else(|| "settings of the daemon belong into cadenced.toml".to_owned());
            let problem = "a schedule file holds only `timezone`, `connection` and `job`";
            self.mistakes.push(Diagnostic::new(place, key, problem).with_help(Some(help)));
        }
        let gone: Vec<&str> = strange.iter().map(|(key, _)| key.as_str()).chain(["timezone"]).collect();
        layer.root.remove(&[], &gone);
        layer
    }
}

fn main_file(sources: &Sources) -> PathBuf {
    let installed = Path::new("/etc/cadenced/cadenced.toml");
    sources.file.clone().unwrap_or_else(|| {
        let here = PathBuf::from("cadenced.toml");
        if !here.exists() && installed.exists() { installed.to_owned() } else { here }
    })
}

fn directories(schedules: &Node) -> Vec<(Place, PathBuf)> {
    let named = |node: &Node| match &node.value {
        Value::Text(path) => Some((node.at.clone(), resolve_path(&node.at, path))),
        _ => None,
    };
    schedules.elements().iter().filter_map(named).collect()
}

/// The layers that are no files: variables, then flags.
fn outside(sources: &Sources, below: &[Layer]) -> Vec<Layer> {
    let place = Place::start("command line", OriginKind::Flag);
    let mut flags = Node::root(place.clone());
    for (key, value) in &sources.overrides {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        flags.set(&path, document::parse_value(&place, value));
    }

    let mut secrets = BTreeSet::new();
    below
        .iter()
        .map(|layer| &layer.root)
        .chain([&flags])
        .for_each(|root| secret_variables(root, &mut secrets));
    let mut variables = Node::root(Place::start("environment", OriginKind::Variable));
    for (name, value) in &sources.env {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if !secrets.contains(name.as_str()) {
            let place = Place::start(name, OriginKind::Variable);
            variables.set(&variable_path(key, below), document::parse_value(&place, value));
        }
    }
    vec![Layer::new(variables), Layer::new(flags)]
}

fn secret_variables<'a>(node: &'a Node, names: &mut BTreeSet<&'a str>) {
    if let [(key, Node { value: Value::Text(name), .. })] = node.entries()
        && key == "env"
    {
        names.insert(name);
    }
    let elements = if let Value::Array(list) = &node.value { list.as_slice() } else { &[] };
    node.entries()
        .iter()
        .map(|(_, node)| node)
        .chain(elements)
        .for_each(|node| secret_variables(node, names));
}

/// `JOB__ONE_STOCKS__CRON` is `job.one-stocks.cron`. Names that the files write otherwise (`_password`, `ApiAuth`) are
/// recognised by their letters.
fn variable_path(variable: &str, below: &[Layer]) -> Vec<String> {
    let mut nodes: Vec<&Node> = below.iter().map(|layer| &layer.root).collect();
    let mut path = Vec::new();
    for step in variable.split("__") {
        let same = |key: &&String| key.replace('-', "_").eq_ignore_ascii_case(step);
        let written = nodes.iter().flat_map(|node| node.entries()).map(|(key, _)| key).find(same);
        let key = written.cloned().unwrap_or_else(|| step.to_lowercase().replace('_', "-"));
        nodes = nodes.iter().filter_map(|node| node.get(&key)).collect();
        path.push(key);
    }
    path
}

/// Where a layer sets one of several keys that only mean something together, those of the layers below go.
fn settle_alternatives(layers: &mut [Layer]) {
    for index in 0..layers.len() {
        let (below, rest) = layers.split_at_mut(index);
        let layer = &mut rest[0];
        let sets =
            |node: &Node, keys: &[&str]| node.entries().iter().any(|(key, _)| keys.contains(&key.as_str()));
        let table = |name: &str| layer.root.get(name).map(Node::entries).unwrap_or_default();
        for (name, job) in table("job") {
            if sets(job, TRIGGER_KEYS) {
                layer.triggers.insert(name.clone());
                below.iter_mut().for_each(|below| below.root.remove(&["job", name], TRIGGER_KEYS));
            }
            for (end, key, others) in END_ALTERNATIVES {
                if job.get(end).is_some_and(|end| end.get(key).is_some()) {
                    below.iter_mut().for_each(|below| below.root.remove(&["job", name, end], others));
                }
            }
            if job.get("push").is_some_and(|push| sets(push, METHOD_KEYS)) {
                below.iter_mut().for_each(|below| below.root.remove(&["job", name, "push"], METHOD_KEYS));
            }
            for (step, _) in job
                .get("step")
                .map(Node::entries)
                .unwrap_or_default()
                .iter()
                .filter(|(_, step)| sets(step, METHOD_KEYS))
            {
                below
                    .iter_mut()
                    .for_each(|below| below.root.remove(&["job", name, "step", step], METHOD_KEYS));
            }
            for call in ["begin", "complete", "abort"] {
                let call_of = |job: &Node| job.get("upload")?.get(call).map(|call| sets(call, METHOD_KEYS));
                if call_of(job) == Some(true) {
                    let path = ["job", name, "upload", call];
                    below.iter_mut().for_each(|below| below.root.remove(&path, METHOD_KEYS));
                }
            }
        }
        for (name, connection) in table("connection") {
            if sets(connection, &["sql", "url"]) {
                below.iter_mut().for_each(|below| below.root.remove(&["connection", name], &["sql", "url"]));
            }
        }
    }
}

/// A job without a zone of its own has that of the file that set its trigger, or else of the last file that knows it.
fn settle_zones(layers: &[Layer], root: &mut Node) {
    let mut tables = root.table_mut().into_iter().flatten();
    let jobs = tables.find(|(key, _)| key == "job").and_then(|(_, jobs)| jobs.table_mut());
    for (name, job) in jobs.into_iter().flatten().filter(|(_, job)| job.get("timezone").is_none()) {
        let zoned = || layers.iter().rev().filter(|layer| layer.zone.is_some());
        let layer = zoned().find(|layer| layer.triggers.contains(name)).or_else(|| {
            zoned().find(|layer| layer.root.get("job").is_some_and(|jobs| jobs.get(name).is_some()))
        });
        if let (Some(keys), Some(zone)) = (job.table_mut(), layer.and_then(|layer| layer.zone.as_ref())) {
            keys.push(("timezone".to_owned(), zone.clone()));
        }
    }
}

fn merge(layers: &[Layer]) -> Node {
    let figment = (layers.iter().enumerate())
        .fold(Figment::new(), |figment, (index, layer)| figment.merge(Ranked(index, &layer.root)));
    let merged = figment.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default));
    let nodes: Vec<(usize, &Node)> = layers.iter().map(|layer| &layer.root).enumerate().collect();
    let start = layers.first().map_or_else(|| Place::start("", OriginKind::File), |l| l.root.at.clone());
    let mut root = Node::root(start);
    root.value = table(&figment, &merged.unwrap_or_default(), &nodes);
    root
}

/// The nodes of a merged table, in the order in which the layers first name them.
fn table(figment: &Figment, dict: &Dict, nodes: &[(usize, &Node)]) -> Value {
    let mut order = Vec::new();
    let mut by_key: BTreeMap<&str, Vec<(usize, &Node)>> = BTreeMap::new();
    for (rank, node) in nodes {
        for (key, below) in node.entries() {
            let named = by_key.entry(key).or_default();
            if named.is_empty() {
                order.push(key);
            }
            named.push((*rank, below));
        }
    }
    let merged = |key: &String| Some((key.clone(), winner(figment, dict.get(key)?, &by_key[key.as_str()])?));
    Value::Table(order.into_iter().filter_map(merged).collect())
}

fn winner(figment: &Figment, value: &figment::value::Value, nodes: &[(usize, &Node)]) -> Option<Node> {
    let Some(dict) = value.as_dict() else {
        let rank = figment.get_metadata(value.tag())?.source.as_ref()?.custom()?.parse::<usize>().ok()?;
        return nodes.iter().find(|(index, _)| *index == rank).map(|(_, node)| (*node).clone());
    };
    let tables: Vec<_> =
        nodes.iter().copied().filter(|(_, node)| matches!(node.value, Value::Table(_))).collect();
    let mut merged = tables.first()?.1.clone();
    merged.value = table(figment, dict, &tables);
    Some(merged)
}

/// One layer as figment takes it; its rank comes back with every value that wins.
struct Ranked<'a>(usize, &'a Node);

impl Provider for Ranked<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("layer", Source::Custom(self.0.to_string()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(dict(self.1.entries())))
    }
}

fn dict(entries: &[(String, Node)]) -> Dict {
    entries.iter().map(|(key, node)| (key.clone(), figment_value(node))).collect()
}

fn figment_value(node: &Node) -> figment::value::Value {
    match &node.value {
        // A secret is named in one way: two layers' ways must not be mixed.
        Value::Table(entries) if !is_secret(node) => dict(entries).into(),
        Value::Table(_) => "secret".into(),
        Value::Text(text) | Value::Float(text) | Value::Datetime(text) => text.as_str().into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Bool(value) => (*value).into(),
        Value::Array(list) => list.iter().map(figment_value).collect::<Vec<_>>().into(),
    }
}

/// Whether a table names a secret.
pub(super) fn is_secret(node: &Node) -> bool {
    let entries = node.entries();
    !entries.is_empty() && entries.iter().all(|(key, _)| SECRET_KEYS.contains(&key.as_str()))
}
