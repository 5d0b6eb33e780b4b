//! What happens to rows between the two ends of a job: `where`, `filter` and `map`.

use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::ends::{Connections, Kind, json};
use super::reader::Table;
use super::units::{self, Wrong};
use crate::filter;
use crate::job::map::{
    Condition, Convert, FieldRule, Lookup, LookupSource, MomentFormat, MomentRule, Origin, Rounding, Rows,
    RowsRule, SavedLink,
};
use crate::job::{FieldMap, MapRule, Shaping, ValueType};
use crate::words::{FieldPath, JobName};
use chrono::format::{Fixed, Item, StrftimeItems};
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use std::cell::RefCell;
use std::fmt::Write as _;

/// The keys that say where a field comes from; a table that has none is a record inside the record.
pub(super) const ORIGINS: [&str; 6] = ["field", "template", "lookup", "number-from", "rows", "constant"];
/// The keys that say what becomes of it.
pub(super) const OPTIONS: [&str; 13] = [
    "type",
    "scale",
    "round",
    "from-format",
    "from-timezone",
    "to-format",
    "to-timezone",
    "values",
    "else",
    "trim",
    "default",
    "omit-empty",
    "map",
];

/// What rules may refer to, and what they have referred to so far.
struct Reading<'a> {
    connections: &'a Connections<'a>,
    /// The ERP's end of the job, which lookups ask if they don't name another.
    home: Option<&'a Node>,
    lookups: RefCell<Vec<Lookup>>,
}

/// What happens to the rows of a job.
pub(super) fn shaping(table: &Table<'_>, connections: &Connections<'_>) -> Shaping {
    let end = |end: &str, key: &str| table.node.get(end).and_then(|end| end.get(key));
    let home = end("read", "from").or_else(|| end("write", "to"));
    let only = table.get("where", condition);
    Shaping { only, ..of_step(table, home, connections) }
}

/// A condition on a row.
pub(super) fn condition(node: &Node) -> Result<Condition, Wrong> {
    let bad = |bad: crate::job::map::BadCondition| Wrong::new(bad.problem).at(node.column(bad.offset));
    Condition::new(units::text(node)?).map_err(bad)
}

/// The same without the condition; `home` is the ERP that lookups ask if they don't name another.
pub(super) fn of_step(table: &Table<'_>, home: Option<&Node>, connections: &Connections<'_>) -> Shaping {
    let reading = Reading { connections, home, lookups: RefCell::default() };
    let filter = table.get("filter", |node| {
        let text = units::words(node)?;
        let bad = |bad: filter::BadFilter| Wrong::new(bad.problem).at(node.column(bad.offset));
        filter::check(&text).map_err(bad)?;
        Ok(text)
    });
    let map = table.table("map").map(|table| reading.fields(&table));
    Shaping { only: None, filter, map, lookups: reading.lookups.into_inner() }
}

/// A map that looks nothing up.
pub(super) fn plain(table: &Table<'_>, key: &'static str, connections: &Connections<'_>) -> Option<FieldMap> {
    let below = table.table(key)?;
    let reading = Reading { connections, home: None, lookups: RefCell::default() };
    let map = reading.fields(&below);
    if !reading.lookups.into_inner().is_empty() {
        table.error(Some(key), &table.place(key), Wrong::new("can't look anything up"));
    }
    Some(map)
}

impl Reading<'_> {
    fn fields(&self, table: &Table<'_>) -> FieldMap {
        let mut map = FieldMap(Vec::new());
        for (name, node) in table.node.entries() {
            let rule = table.read(name, node, |node| self.rule(table, name, node)).flatten();
            let is_path = !name.is_empty() && name.split('.').all(|step| !step.trim().is_empty());
            if !is_path {
                let wrong = Wrong::new(
                    "is not a field: write names, with dots between them where records are nested",
                );
                table.error(Some(name), &node.key_at, wrong);
            } else if let Some(rule) = rule {
                let steps: Vec<&str> = name.split('.').collect();
                if !insert(&mut map, &steps, rule) {
                    table.error(Some(name), &node.key_at, Wrong::new("is made twice"));
                }
            }
        }
        if table.node.entries().is_empty() {
            table.error(None, &table.node.at, Wrong::new("makes nothing"));
        }
        map
    }

    /// A rule, or nothing where what is wrong has been reported where it stands.
    fn rule(&self, table: &Table<'_>, name: &str, node: &Node) -> Result<Option<MapRule>, Wrong> {
        match &node.value {
            Value::Text(text) if text == "$record" => Ok(Some(MapRule::Record)),
            Value::Text(_) => Ok(Some(MapRule::Template(units::template(node)?))),
            Value::Table(entries) => {
                // The table stands below this one: its own mistakes are reported under its own name.
                let Some(below) = table_below(table, name, node) else { return Ok(None) };
                if entries.iter().any(|(key, _)| ORIGINS.contains(&key.as_str())) {
                    return Ok(self.origin(&below));
                }
                if !entries.is_empty() && entries.iter().all(|(key, _)| OPTIONS.contains(&key.as_str())) {
                    return Err(Wrong::new("says what becomes of a field, but not of which").help(Some(
                        "add `field = \"…\"`, or one of template, lookup, rows, number-from, constant"
                            .to_owned(),
                    )));
                }
                let near = |key: &str| {
                    ORIGINS.iter().find(|origin| strsim::damerau_levenshtein(key, origin) == 1).copied()
                };
                if let Some((key, near, at)) =
                    entries.iter().find_map(|(key, node)| Some((key, near(key)?, &node.key_at)))
                {
                    let help = format!(
                        "did you mean `{near}`? A nested field of that name is written \"{name}.{key}\""
                    );
                    return Err(Wrong::new(format!("`{key}` is not a rule")).at(at.clone()).help(help));
                }
                Ok(Some(MapRule::Nested(self.fields(&below))))
            }
            _ => Ok(Some(MapRule::Constant(json(node, &mut |_, _| {})))),
        }
    }

    fn origin(&self, table: &Table<'_>) -> Option<MapRule> {
        let given: Vec<&str> = ORIGINS.into_iter().filter(|key| table.node.get(key).is_some()).collect();
        if let [first, second, ..] = given.as_slice() {
            let wrong = Wrong::new(format!("a field has one origin, and `{first}` is given too"));
            table.error(Some(second), &table.place(second), wrong);
            return None;
        }
        let errors = table.errors();
        let rule = match given.first().copied() {
            Some("constant") => {
                table.get("constant", |node| Ok(json(node, &mut |_, _| {}))).map(MapRule::Constant)
            }
            Some("rows") => self.rows(table),
            _ => self.field(table),
        };
        table.finish();
        rule.filter(|_| table.is_clean_since(errors))
    }

    fn rows(&self, table: &Table<'_>) -> Option<MapRule> {
        let rows = match table.node.get("rows").map(|node| &node.value) {
            Some(Value::Table(_)) => {
                table.table("rows").and_then(|lookup| self.lookup(&lookup)).map(Rows::Lookup)
            }
            _ => table.get("rows", named_field).map(Rows::Field),
        };
        if table.node.get("map").is_none() {
            table.error(
                Some("map"),
                &table.node.key_at,
                Wrong::new("is missing: it says what becomes of each row"),
            );
        }
        let map = table.table("map").map(|table| self.fields(&table));
        let omit_empty = table.get("omit-empty", units::flag).unwrap_or(false);
        Some(MapRule::Rows(Box::new(RowsRule { rows: rows?, map: map?, omit_empty })))
    }

    fn field(&self, table: &Table<'_>) -> Option<MapRule> {
        let field = table.get("field", named_field).map(Origin::Field);
        let template = table.get("template", units::template).map(Origin::Template);
        let number = table
            .get("number-from", |node| units::whole(node, 0, 1_000_000))
            .map(|from| Origin::Number(i64::try_from(from).unwrap_or(i64::MAX)));
        let lookup = table.table("lookup").and_then(|lookup| self.lookup(&lookup)).map(Origin::Lookup);
        let value_type = value_type(table);
        let values = table.entries("values", |_, _, node| Ok(json(node, &mut |_, _| {})));
        let otherwise = table.get("else", |node| Ok(json(node, &mut |_, _| {})));
        if values.is_none() && otherwise.is_some() {
            let wrong = Wrong::new("stands for what `values` doesn't have, and there are none");
            table.error(Some("else"), &table.place("else"), wrong);
        }
        if values.as_ref().is_some_and(Vec::is_empty) {
            table.error(Some("values"), &table.place("values"), Wrong::new("must not be empty"));
        }
        if values.is_some() && table.node.get("type").is_some() {
            let wrong = Wrong::new("what `values` gives has a type already");
            table.error(Some("type"), &table.place("type"), wrong);
        }
        let convert = match (values, value_type) {
            (Some(known), _) => Convert::Values { known, otherwise },
            (None, Some(value_type)) => Convert::Type(value_type),
            (None, None) => Convert::AsIs,
        };
        let trim = table.get("trim", units::flag).unwrap_or(false);
        let default = table.get("default", |node| Ok(json(node, &mut |_, _| {})));
        let omit_empty = table.get("omit-empty", units::flag).unwrap_or(false);
        if default.is_some() && omit_empty {
            let wrong = Wrong::new("is never used: `omit-empty` leaves the field out");
            table.error(Some("default"), &table.place("default"), wrong);
        }
        let origin = field.or(template).or(number).or(lookup)?;
        Some(MapRule::Field(Box::new(FieldRule { origin, convert, trim, default, omit_empty })))
    }

    /// A lookup's place among those of the job.
    fn lookup(&self, table: &Table<'_>) -> Option<usize> {
        let from = match (table.node.get("from"), self.home) {
            (None, Some(home)) => {
                table.take("from");
                // What is wrong with the job's end is reported there.
                self.connections.named(home, Kind::Sql).ok()
            }
            _ => table.require("from", |node| self.connections.named(node, Kind::Sql)),
        };
        let sql = table.get("sql", units::words).map(LookupSource::Sql);
        let step = table.get("step", units::words);
        let saved = table.get("save", |node| {
            let name = units::words(node)?;
            let job = table.node.get("links").and_then(|node| JobName::new(units::text(node).ok()?).ok());
            let Some(job) = job else { return Err(Wrong::new("needs `links`, the job that saves it")) };
            self.saves(&job, step.as_deref(), &name)?;
            Ok(LookupSource::Saved(SavedLink { job, step: step.clone(), name }))
        });
        if let (Some(at), None) = (table.node.get("step"), table.node.get("save")) {
            table.error(Some("step"), &at.at, Wrong::new("needs `save`, the name of what the step saves"));
        }
        let links = table.get("links", |node| self.connections.job(node).map(LookupSource::Links));
        let by = table.some("by", named_field);
        match (table.node.get("sql"), table.node.get("links")) {
            (None, None) => {
                let wrong = Wrong::new("looks nowhere: write `sql = \"select …\"`, or `links = \"a job\"`");
                table.error(None, &table.node.at, wrong);
            }
            (Some(_), Some(links)) => {
                table.error(
                    Some("links"),
                    &links.at,
                    Wrong::new("a lookup looks in one place, and `sql` is given too"),
                );
            }
            _ => {}
        }
        table.finish();
        let mut lookups = self.lookups.borrow_mut();
        lookups.push(Lookup {
            from: from?,
            source: if table.node.get("save").is_some() { saved? } else { sql.or(links)? },
            by: by?,
        });
        Some(lookups.len() - 1)
    }
}

impl Reading<'_> {
    /// Whether a job, or a step of it, saves something of this name, and keeps it itself.
    fn saves(&self, job: &JobName, step: Option<&str>, name: &str) -> Result<(), Wrong> {
        let Some(node) = self.connections.jobs.get(job.as_str()) else { return Ok(()) };
        if let Some(keeper) = node.get("continues").and_then(|keeper| units::text(keeper).ok()) {
            let help = format!("name that job: links = \"{keeper}\"");
            return Err(Wrong::new(format!("what `{job}` saves is kept by `{keeper}`")).help(help));
        }
        let (end, shown) = match step {
            Some(step) => {
                (node.get("step").and_then(|steps| steps.get(step)), format!("step `{step}` of `{job}`"))
            }
            None => (node.get("push"), format!("the push of `{job}`")),
        };
        let saves = end.and_then(|end| end.get("save")).map(Node::entries).unwrap_or_default();
        if saves.iter().any(|(saved, _)| saved == name) || self.connections.incomplete {
            return Ok(());
        }
        let help = did_you_mean(name, saves.iter().map(|(saved, _)| saved.as_str()));
        let steps = node.get("step").map(Node::entries).unwrap_or_default();
        let has_steps = step.is_none() && !steps.is_empty();
        let help = help.or(has_steps.then(|| "the job has steps: say which, step = \"…\"".to_owned()));
        Err(Wrong::new(format!("{shown} saves no `{name}`")).help(help))
    }
}

/// The table below another one; its path is that of the field.
fn table_below<'a>(table: &Table<'a>, name: &str, node: &Node) -> Option<Table<'a>> {
    table.node.get(name).filter(|found| found.at == node.at).and_then(|found| table.below(name, found))
}

/// Puts a rule at a path, inside the records on the way; false if something is there.
fn insert(map: &mut FieldMap, steps: &[&str], rule: MapRule) -> bool {
    let Some((step, rest)) = steps.split_first() else { return false };
    let found = map.0.iter().position(|(name, _)| name == step);
    match (found.map(|at| &mut map.0[at].1), rule) {
        (Some(MapRule::Nested(below)), MapRule::Nested(FieldMap(more))) if rest.is_empty() => {
            more.into_iter().all(|(name, rule)| insert(below, &[name.as_str()], rule))
        }
        (Some(MapRule::Nested(below)), rule) if !rest.is_empty() => insert(below, rest, rule),
        (Some(_), _) => false,
        (None, rule) if rest.is_empty() => {
            map.0.push(((*step).to_owned(), rule));
            true
        }
        (None, rule) => {
            let mut below = FieldMap(Vec::new());
            let fits = insert(&mut below, rest, rule);
            map.0.push(((*step).to_owned(), MapRule::Nested(below)));
            fits
        }
    }
}

fn named_field(node: &Node) -> Result<FieldPath, Wrong> {
    match units::field_path(node)? {
        path if path == FieldPath::default() => Err(Wrong::new("must not be empty")),
        path => Ok(path),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TypeName {
    Text,
    Decimal,
    Integer,
    Bool,
    Date,
    Timestamp,
}

fn value_type(table: &Table<'_>) -> Option<ValueType> {
    let names = [
        ("text", TypeName::Text),
        ("decimal", TypeName::Decimal),
        ("integer", TypeName::Integer),
        ("bool", TypeName::Bool),
        ("date", TypeName::Date),
        ("timestamp", TypeName::Timestamp),
    ];
    let name = table.get("type", |node| units::one_of(node, &names));
    let scale = table.get("scale", |node| units::whole(node, 0, 30));
    let roundings = [("half-up", Rounding::HalfUp), ("half-even", Rounding::HalfEven)];
    let rounding = table.get("round", |node| units::one_of(node, &roundings));
    let rule = MomentRule {
        from: table.get("from-format", moment_format),
        from_zone: table.get("from-timezone", units::zone),
        to: table.get("to-format", moment_format),
        to_zone: table.get("to-timezone", units::zone),
    };
    let misplaced = |keys: &[&'static str], wanted: &str| {
        for key in keys.iter().filter(|key| table.node.get(key).is_some()) {
            table.error(Some(key), &table.place(key), Wrong::new(format!("needs `type = {wanted}`")));
        }
    };
    if name != Some(TypeName::Decimal) {
        misplaced(&["scale", "round"], "\"decimal\"");
    } else if rounding.is_some() && table.node.get("scale").is_none() {
        table.error(
            Some("round"),
            &table.place("round"),
            Wrong::new("needs `scale`, the digits that are left"),
        );
    }
    if !matches!(name, Some(TypeName::Date | TypeName::Timestamp)) {
        misplaced(
            &["from-format", "from-timezone", "to-format", "to-timezone"],
            "\"date\"` or `type = \"timestamp\"",
        );
    }
    Some(match name? {
        TypeName::Text => ValueType::Text,
        TypeName::Decimal => match scale.and_then(|scale| usize::try_from(scale).ok()) {
            Some(places) => ValueType::Places { places, rounding },
            None => ValueType::Decimal,
        },
        TypeName::Integer => ValueType::Integer,
        TypeName::Bool => ValueType::Bool,
        TypeName::Date => {
            check_date(table, &rule);
            ValueType::Date(rule)
        }
        TypeName::Timestamp => {
            check_timestamp(table, &rule);
            ValueType::Timestamp(rule)
        }
    })
}

fn check_timestamp(table: &Table<'_>, rule: &MomentRule) {
    let zoneless = |format: &Option<MomentFormat>| {
        matches!(format, Some(MomentFormat::Pattern { has_offset: false, .. }))
    };
    for (key, zone, zone_key, is_wrong) in [
        ("from-format", rule.from_zone, "from-timezone", zoneless(&rule.from)),
        ("to-format", rule.to_zone, "to-timezone", zoneless(&rule.to)),
    ] {
        if is_wrong && zone.is_none() {
            let help = format!("add the zone the times are in: {zone_key} = \"Europe/Warsaw\"");
            let wrong = Wrong::new("is of local times, and no zone is given").help(help);
            table.error(Some(key), &table.place(key), wrong);
        }
    }
}

fn check_date(table: &Table<'_>, rule: &MomentRule) {
    let place = |key| table.place(key);
    match &rule.to {
        Some(MomentFormat::Pattern { pattern, .. }) => {
            let day = NaiveDate::default();
            if write!(String::new(), "{}", day.format(pattern)).is_err() {
                let wrong = Wrong::new("asks for more than a date has");
                table.error(Some("to-format"), &place("to-format"), wrong);
            }
        }
        Some(_) => {
            let wrong =
                Wrong::new("is of times, and this is a date: write `type = \"timestamp\"`, or a pattern");
            table.error(Some("to-format"), &place("to-format"), wrong);
        }
        None => {}
    }
    let instant = !matches!(&rule.from, None | Some(MomentFormat::Pattern { has_offset: false, .. }));
    if instant && rule.to_zone.is_none() {
        let help = "add the zone whose date is meant: to-timezone = \"Europe/Warsaw\"".to_owned();
        let wrong = Wrong::new("is of instants, whose date depends on the zone").help(help);
        table.error(Some("from-format"), &place("from-format"), wrong);
    }
}

/// `rfc3339`, `epoch-seconds`, `epoch-millis`, or a strftime pattern.
fn moment_format(node: &Node) -> Result<MomentFormat, Wrong> {
    let words = [
        ("rfc3339", MomentFormat::Rfc3339),
        ("epoch-seconds", MomentFormat::EpochSeconds),
        ("epoch-millis", MomentFormat::EpochMillis),
    ];
    let text = units::text(node)?;
    if let Some((_, format)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(format.clone());
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(text).collect();
    // A zone's name can be written and not read.
    let named = items.iter().any(|item| matches!(item, Item::Fixed(Fixed::TimezoneName)));
    let sample = DateTime::UNIX_EPOCH.with_timezone(&Tz::UTC);
    let is_written = write!(String::new(), "{}", sample.format(text)).is_ok();
    if !text.contains('%') || items.contains(&Item::Error) || named || !is_written {
        let help =
            "write rfc3339, epoch-seconds, epoch-millis, or a pattern such as \"%d.%m.%Y %H:%M\"".to_owned();
        return Err(Wrong::new(format!("`{text}` is not a format of times")).help(help));
    }
    // What looks different in two zones, at a moment that reads the same in both, has a place for the offset.
    let reading = |zone: Tz| {
        let local = sample.naive_utc().and_local_timezone(zone).earliest();
        local.map(|local| local.format(text).to_string())
    };
    let has_offset = reading(Tz::UTC) != reading(Tz::Europe__Warsaw);
    Ok(MomentFormat::Pattern { pattern: text.to_owned(), has_offset })
}
