//! The schema and the readers are two tellings of one thing: here they are held together, key by key and value by value.

#[path = "../../../tests/support/schema.rs"]
mod judge;

use super::super::reader;
use super::super::schema::SOURCE;
use super::*;
use judge::Judge;
use std::collections::{BTreeMap, BTreeSet};
use toml::Value;

type Json = serde_json::Value;
/// A path and what stands there instead.
type Change = (Vec<String>, Value);

fn printed() -> Judge {
    Judge::new(&schema().unwrap())
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A site that can be read as it is, with every key there is.
fn whole() -> (Site, toml::Table) {
    let text = include_str!("every-key.toml");
    let support = |name: &str| fs::read_to_string(repository("tests/support").join(name)).unwrap();
    let mut site = Site::new(text)
        .file("listener.pem", &support("listener.pem"))
        .file("listener.key", &support("listener.key"))
        .file("prices.sql", "select * from prices")
        .file("credentials/till", "secret")
        .file("schedules/none.toml", "")
        .env("SECRET", "secret");
    site.sources.credentials_dir = Some(site.path().join("credentials"));
    (site, text.parse().unwrap())
}

/// What `check` says of this file.
fn checked(site: &Site, file: &toml::Table) -> Result<Loaded, Vec<Diagnostic>> {
    fs::write(site.path().join("cadenced.toml"), file.to_string()).unwrap();
    load(&site.sources)
}

/// The parts of the schema that a value may have to keep to, without references and choices.
fn choices<'a>(judge: &'a Judge, part: &'a Json, found: &mut Vec<&'a Json>) {
    found.push(part);
    if let Some(reference) = part.get("$ref").and_then(Json::as_str) {
        choices(judge, judge.referred(reference), found);
    }
    for part in part.get("anyOf").and_then(Json::as_array).into_iter().flatten().chain(part.get("items")) {
        choices(judge, part, found);
    }
}

/// The parts of the schema for the value at a path.
fn parts<'a>(judge: &'a Judge, path: &[String]) -> Vec<&'a Json> {
    let mut parts = Vec::new();
    choices(judge, &judge.schema, &mut parts);
    for step in path {
        let below = parts.iter().filter_map(|part| {
            let own = part.get("properties").and_then(|keys| keys.get(step));
            own.or_else(|| part.get("additionalProperties").filter(|part| part.is_object()))
        });
        let mut found = Vec::new();
        below.collect::<Vec<_>>().into_iter().for_each(|part| choices(judge, part, &mut found));
        parts = found;
    }
    parts
}

/// Every part of the schema that holds keys, wherever it stands.
fn tables<'a>(part: &'a Json, found: &mut Vec<&'a serde_json::Map<String, Json>>) {
    match part {
        Json::Object(keys) => {
            found.extend(keys.get("properties").and_then(Json::as_object));
            keys.values().for_each(|part| tables(part, found));
        }
        Json::Array(list) => list.iter().for_each(|part| tables(part, found)),
        _ => {}
    }
}

/// The paths of all values of a file, with those of its tables and without those of what stands in lists.
fn paths(table: &toml::Table, at: &[String], found: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        let path = [at, std::slice::from_ref(key)].concat();
        if let Value::Table(below) = value {
            paths(below, &path, found);
        }
        found.push(path);
    }
}

fn at<'a>(file: &'a mut toml::Table, path: &[String]) -> &'a mut toml::Table {
    path.iter().fold(file, |table, step| table[step].as_table_mut().unwrap())
}

#[test]
fn the_schema_has_the_keys_the_readers_know_and_no_others() {
    let (site, file) = whole();
    reader::KNOWN.take();
    drop(site.loaded());
    let judge = Judge::new(SOURCE);
    assert_eq!(judge.refusals(&file), [""; 0]);
    let mut known: BTreeMap<*const _, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (path, keys) in reader::KNOWN.take() {
        let parts = parts(&judge, &path);
        let table = parts.iter().find_map(|part| part.get("properties")?.as_object());
        let table = table.unwrap_or_else(|| panic!("{path:?} is no table of keys in the schema"));
        let (schema, readers) = known.entry(std::ptr::from_ref(table)).or_default();
        schema.extend(table.keys().map(String::as_str));
        readers.extend(keys);
    }
    for (schema, readers) in known.values() {
        assert_eq!(schema, readers);
    }
    let mut tables_of_keys = Vec::new();
    tables(&judge.schema, &mut tables_of_keys);
    let is_secret = |table: &serde_json::Map<String, Json>| table.contains_key("credential");
    let unread = |table: &&&serde_json::Map<String, Json>| !known.contains_key(&std::ptr::from_ref(**table));
    let unread: Vec<_> = tables_of_keys.iter().filter(unread).collect();
    assert!(unread.iter().all(|table| is_secret(table)), "no file has {unread:?}");
}

/// The paths with what stands there instead: values of every kind, and a key that is none.
fn changes(file: &toml::Table) -> Vec<Change> {
    let mut all = Vec::new();
    paths(file, &[], &mut all);
    let mut changes = Vec::new();
    for path in all.into_iter().filter(|path| !["job", "connection"].contains(&path.join(".").as_str())) {
        let strange = Value::Table(toml::Table::from_iter([("zzz".to_owned(), Value::Integer(5))]));
        let list = Value::Array(vec![Value::Integer(5), Value::String("zzz".to_owned())]);
        let kinds = [Value::Integer(5), Value::Boolean(true), Value::String("zzz".to_owned()), list, strange];
        changes.extend(kinds.map(|kind| (path.clone(), kind)));
        let (key, above) = path.split_last().unwrap();
        let table = above.iter().fold(file, |table, step| table[step].as_table().unwrap());
        changes.extend(match &table[key] {
            Value::Integer(_) => Some((path, Value::Integer(-1))),
            Value::String(_) => Some((path, Value::String(String::new()))),
            Value::Array(_) => Some((path, Value::Array(Vec::new()))),
            Value::Table(_) => Some(([path, vec!["zzz".to_owned()]].concat(), Value::Integer(5))),
            _ => None,
        });
    }
    changes
}

/// Words that a reader knows only to say why they are wrong: a gone row has no zero by itself, and no file is sent twice.
const REFUSED: [(&str, &str); 2] = [("on-gone", "zero"), ("send", "all")];

/// The words that the schema takes at a path.
fn words<'a>(judge: &'a Judge, path: &[String]) -> BTreeSet<&'a str> {
    let lists = parts(judge, path).into_iter().filter_map(|part| part.get("enum")?.as_array());
    lists.flatten().filter_map(Json::as_str).collect()
}

/// One change of each job is judged at a time, and of each other table: all mistakes are reported at once.
#[test]
fn the_schema_and_the_readers_judge_what_was_changed_alike() {
    let (site, mut file) = whole();
    // Judging filters takes longer than all the rest; their kind is that of other texts.
    at(&mut file, &["job", "orders"].map(str::to_owned)).remove("filter");
    at(&mut file, &["job", "clients", "step", "account"].map(str::to_owned)).remove("filter");
    assert!(checked(&site, &file).is_ok());
    let mut rounds: BTreeMap<(bool, usize), Vec<(String, Change)>> = BTreeMap::new();
    let mut of_group: BTreeMap<String, usize> = BTreeMap::new();
    for (path, value) in changes(&file) {
        let is_job = path[0] == "job";
        let length = if is_job || path[0] == "connection" { 2 } else { 1 };
        let group = path[..length].join(".");
        let round = of_group.entry(group.clone()).or_default();
        rounds.entry((is_job, *round)).or_default().push((group, (path, value)));
        *round += 1;
    }
    let judge = printed();
    // What a schema can say: kinds of values, words, numbers, keys that are none.
    let plain =
        ["expected ", "is none of", "must be from", "unknown key", "a path starts", "is not a duration"];
    let mut wrong = Vec::new();
    for changes in rounds.values() {
        let mut changed = file.clone();
        for (_, (path, value)) in changes {
            let (key, above) = path.split_last().unwrap();
            at(&mut changed, above).insert(key.clone(), value.clone());
        }
        let mistakes = checked(&site, &changed).map_or_else(|mistakes| mistakes, |_| Vec::new());
        let refusals = judge.refusals(&changed);
        for (group, (path, value)) in changes {
            let of_group = |key: &str| key == group || key.starts_with(&format!("{group}."));
            let refused: Vec<_> =
                refusals.iter().filter(|at| of_group(at.split(['[', ':']).next().unwrap())).collect();
            let mistakes: Vec<_> = mistakes.iter().filter(|mistake| of_group(&mistake.key)).collect();
            let (key, is_refused) = (path.join("."), !refused.is_empty());
            if is_refused && mistakes.is_empty() {
                wrong.push(format!("{key} = {value} is right, and the schema says {refused:?}"));
            }
            let lists = mistakes.iter().filter(|mistake| mistake.key == key);
            for list in lists.filter_map(|mistake| mistake.problem.split_once("is none of ")) {
                let readers: BTreeSet<&str> = list.1.split('`').skip(1).step_by(2).collect();
                let schema = words(&judge, path);
                if !readers
                    .difference(&schema)
                    .all(|word| REFUSED.contains(&(path.last().unwrap().as_str(), *word)))
                    || !schema.is_subset(&readers)
                {
                    wrong.push(format!("{key} is one of {readers:?}, and the schema says {schema:?}"));
                }
            }
            let said = |mistake: &&&Diagnostic| {
                mistake.key == key && plain.iter().any(|plain| mistake.problem.contains(plain))
            };
            if let (Some(mistake), false) = (mistakes.iter().find(said), is_refused) {
                wrong.push(format!("{key} = {value}: {}, and the schema says nothing", mistake.problem));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_schema_calls_the_default_is_the_default() {
    let (site, mut file) = whole();
    // It needs other values than the default ones.
    at(&mut file, &["job", "price", "push"].map(str::to_owned)).remove("unless-taken");
    let judge = Judge::new(SOURCE);
    let mut all = Vec::new();
    paths(&file, &[], &mut all);
    let shown = |file: &toml::Table| {
        let loaded = checked(&site, file).unwrap_or_else(|mistakes| panic!("{}", site.shown(&mistakes)));
        let Loaded { settings, connections, jobs, estimates, imports, .. } = loaded;
        format!("{settings:?} {connections:?} {jobs:?} {estimates:?} {imports:?}")
    };
    let (mut without, mut with) = (file.clone(), file);
    let mut stated = 0;
    for path in all {
        let Some(default) = parts(&judge, &path).iter().find_map(|part| part.get("default")) else {
            continue;
        };
        let (key, above) = path.split_last().unwrap();
        at(&mut without, above).remove(key);
        let default: toml::Table = format!("default = {default}").parse().unwrap();
        at(&mut with, above).insert(key.clone(), default["default"].clone());
        stated += 1;
    }
    assert!(stated > 60, "{stated}");
    assert_eq!(shown(&without), shown(&with));
}

#[test]
fn every_key_is_described_and_every_reference_leads_somewhere() {
    let judge = printed();
    let text = judge.schema.to_string();
    assert_eq!(judge.schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for rest in text.split("\"$ref\":\"").skip(1) {
        judge.referred(rest.split('"').next().unwrap());
    }
    let mut all = Vec::new();
    tables(&judge.schema, &mut all);
    for (key, part) in all.into_iter().flatten() {
        let mut choice = Vec::new();
        choices(&judge, part, &mut choice);
        assert!(choice.iter().any(|part| part["description"].is_string()), "{key} is not described");
        // What stands beside a reference, editors don't see.
        assert!(part.get("$ref").is_none() || part.as_object().unwrap().len() == 1, "{key}");
        let default = part.get("default").into_iter();
        default.for_each(|default| assert_eq!(judge.judged(part, default), [""; 0], "{key}"));
    }
}

/// The TOML of a page that stands for itself: a file, or whole tables of one.
fn examples(page: &str) -> Vec<toml::Table> {
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let is_whole = |table: &toml::Table| {
        ["job", "connection", "inbound", "admin"].iter().any(|key| table.contains_key(*key))
    };
    blocks.filter_map(|block| block.parse().ok()).filter(is_whole).collect()
}

fn pages() -> Vec<String> {
    let mut pages = vec![fs::read_to_string(repository("README.md")).unwrap()];
    for directory in ["docs", "docs/platforms"] {
        let files = fs::read_dir(repository(directory)).unwrap().map(|file| file.unwrap().path());
        pages.extend(files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()));
    }
    pages
}

#[test]
fn the_schema_takes_what_is_shipped_and_what_the_documentation_shows() {
    let judge = printed();
    let mut files: Vec<toml::Table> = vec![super::shipped::whole_example().parse().unwrap()];
    for file in fs::read_dir(repository("schedules")).unwrap() {
        files.push(fs::read_to_string(file.unwrap().path()).unwrap().parse().unwrap());
    }
    files.extend(pages().iter().flat_map(|page| examples(page)));
    assert!(files.len() > 20, "{}", files.len());
    for file in files {
        assert_eq!(judge.refusals(&file), [""; 0], "{file}");
    }
}

/// Every key has its place in the documentation, and what the documentation calls a key is one.
#[test]
fn the_schema_and_the_documentation_know_the_same_keys() {
    let judge = printed();
    let mut all = Vec::new();
    tables(&judge.schema, &mut all);
    let keys: BTreeSet<&str> = all.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let pages = pages().join("\n") + &super::shipped::whole_example();
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let words: BTreeSet<&str> = pages.split(|c| !is_word(c)).collect();
    let unsaid: Vec<_> = keys.iter().filter(|key| !words.contains(**key)).collect();
    assert!(unsaid.is_empty(), "nothing describes {unsaid:?}");
    let mut in_table = false;
    for line in pages.lines() {
        let cell = line.strip_prefix("| ").and_then(|line| line.split(" | ").next());
        in_table = cell.is_some_and(|cell| in_table || cell == "key" || cell.starts_with("key of"));
        let told = cell.filter(|_| in_table).unwrap_or_default().split('`').skip(1).step_by(2);
        for key in told.flat_map(|key| key.split('.')).filter(|key| *key != "NAME") {
            assert!(keys.contains(key), "`{key}` is described and no key: {line}");
        }
    }
}

#[test]
fn a_misspelt_key_is_refused_and_named() {
    let judge = printed();
    let cases = [
        ("statee = \"x\"", "statee"),
        ("admin.port = 80", "admin.port"),
        ("log.levels = \"info\"", "log.levels"),
        ("connection.one.in_flight = 2", "connection.one.in_flight"),
        ("connection.one.timeouts.conect = \"1s\"", "connection.one.timeouts.conect"),
        ("connection.one.retry.budget = 3", "connection.one.retry.budget"),
        ("job.a.timout = \"5m\"", "job.a.timout"),
        ("job.a.rerun.evry = 2", "job.a.rerun.evry"),
        ("job.a.write.statment = \"x\"", "job.a.write.statment"),
        ("job.a.pull.\"zażółć\" = 1", "job.a.pull.zażółć"),
    ];
    for (file, key) in cases {
        assert_eq!(judge.refusals(&file.parse().unwrap()), [format!("{key}: unknown key")]);
    }
    let typ = "job.a.map.k = { field = \"x\", typ = \"text\" }".parse().unwrap();
    assert_eq!(judge.refusals(&typ), ["job.a.map.k: anyOf"]);
    let name = "job.C.cron = \"0 * * * * *\"".parse().unwrap();
    assert_eq!(judge.refusals(&name), ["job: propertyNames"]);
}
