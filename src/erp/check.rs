//! Asks a database whether it could do a job's work, without doing any of it: what is wrong with the query or the table,
//! which columns a map names in vain, and which types can't hold what the map makes.

use super::database::Access;
use super::source::Query;
use super::statement::Statement;
use super::table::{Table, missing};
use super::{Database, Mapper};
use crate::job::map::{Condition, Convert, MomentFormat, Origin};
use crate::job::upload::FileRule;
use crate::job::{FieldMap, MapRule, OnGone, Read, Shaping, Target, ValueType, Write};
use crate::transfer::Failure;

/// Opens a connection, and no more.
///
/// # Errors
/// Why there is none.
pub async fn check_connection(database: &Database) -> Result<(), Failure> {
    database.connect(Access::Read).await?.close().await;
    Ok(())
}

/// Has the database prepare the query, and compares its columns with what the map takes; gives what does not go together.
///
/// # Errors
/// The failure a run would end with: no connection, a missing table or column, a key the query doesn't have.
pub async fn check_read(
    database: &Database,
    read: &Read,
    group_by: &[String],
    shaping: &Shaping,
) -> Result<Vec<String>, Failure> {
    let query = Query::new(read, group_by.to_vec());
    let (session, columns) = query.prepare(database, &Mapper::default()).await?;
    session.close().await;
    let mut problems = Vec::new();
    // A name with dots may be one column's, or lead into a column of JSON.
    let has = |name: &str| {
        let first = name.split('.').next().unwrap_or_default();
        columns.iter().any(|(column, _)| column == name || column == first)
    };
    let all = || columns.iter().map(|(column, _)| column.as_str()).collect::<Vec<_>>().join(", ");
    let asked =
        shaping.only.iter().flat_map(Condition::fields).map(|name| (name.to_owned(), "`where` names"));
    let map = Shaping { only: None, ..shaping.clone() };
    let mut told = Vec::new();
    for (name, who) in asked.chain(map.needed_fields().into_iter().map(|name| (name, "the map takes"))) {
        if !has(&name) && !told.contains(&name) {
            problems.push(format!("the query has no column `{name}`, which {who}; it has {}", all()));
            told.push(name);
        }
    }
    // What a filter makes of the columns only it knows.
    if let (Some(map), None) = (&shaping.map, &shaping.filter) {
        for (name, value_type) in typed(map) {
            let Some((column, declared)) = columns.iter().find(|(column, _)| *column == name) else {
                continue;
            };
            if !Sort::of(declared).gives(value_type) {
                problems.push(clash(column, declared, "no", value_type));
            }
        }
    }
    Ok(problems)
}

/// Looks for the fields that hold a job's files, and for the directory they are in; gives what is not there. `map` are the
/// fields a map makes; without one the query's columns count.
///
/// # Errors
/// The failure a run would end with.
pub async fn check_files(
    database: &Database,
    read: &Read,
    map: Option<&FieldMap>,
    rule: &FileRule,
) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    if map.is_none() {
        let (session, columns) = Query::new(read, Vec::new()).prepare(database, &Mapper::default()).await?;
        session.close().await;
        for name in [&rule.bytes, &rule.path].into_iter().flatten() {
            if !columns.iter().any(|(column, _)| column == name) {
                let all = columns.iter().map(|(column, _)| column.as_str()).collect::<Vec<_>>().join(", ");
                problems.push(format!("the query has no column `{name}`, which `file` names; it has {all}"));
            }
        }
    }
    if let Some(root) = rule.root.clone() {
        let resolved = tokio::task::spawn_blocking(move || super::files::resolve(&root)).await;
        problems.extend(resolved.map_err(|error| error.to_string()).and_then(|found| found).err());
    }
    Ok(problems)
}

/// Looks up the table and the unique index of its key, or has the database prepare the statement, and compares with them
/// what the map makes; gives what does not go together. A table that is still to be created takes everything.
///
/// # Errors
/// The failure a run would end with: no connection, no such table, no unique index on the key, a statement that is wrong.
pub async fn check_write(database: &Database, write: &Write) -> Result<Vec<String>, Failure> {
    let mut session = database.connect(Access::Write).await?;
    let made = write.shaping.map.as_ref().map(|map| map.0.as_slice());
    let mut problems = Vec::new();
    match &write.target {
        Target::Table { name, upsert_by, create } => {
            match Table::find(&mut session, name, upsert_by).await? {
                None if *create => {}
                None => return Err(missing(name)),
                Some(table) => {
                    let no_column = |field: &str, who: &str| {
                        let columns: Vec<_> =
                            table.columns.iter().map(|column| column.name.as_str()).collect();
                        let columns = columns.join(", ");
                        format!("table `{name}` has no column `{field}`, which {who}; it has {columns}")
                    };
                    for (field, rule) in made.unwrap_or_default() {
                        let Some((at, _)) = table.column_for(field) else {
                            problems.push(no_column(field, "the map makes"));
                            continue;
                        };
                        let column = &table.columns[at];
                        if let MapRule::Field(rule) = rule
                            && let Convert::Type(value_type) = &rule.convert
                            && !Sort::of(&column.declared).takes(value_type)
                        {
                            problems.push(clash(&column.name, &column.declared, "not for", value_type));
                        }
                    }
                    if let OnGone::Set(set) = &write.on_gone {
                        let strange = set.keys().filter(|field| table.column_for(field).is_none());
                        problems.extend(strange.map(|field| no_column(field, "`on-gone` sets")));
                    }
                }
            }
        }
        Target::Statement { text, key } => {
            let statement = Statement::prepare(&mut session, text, key).await?;
            if let Some(made) = made {
                for field in statement.takes() {
                    let first = field.split('.').next().unwrap_or_default();
                    if !made.iter().any(|(made, _)| made == field || made == first) {
                        problems.push(format!("the statement takes `:{field}`, which the map doesn't make"));
                    }
                }
            }
        }
    }
    session.close().await;
    Ok(problems)
}

/// The same for records that a platform calls with; `tells_id` where it is answered the id that the ERP gave.
///
/// # Errors
/// As [`check_write`].
pub async fn check_call(database: &Database, write: &Write, tells_id: bool) -> Result<Vec<String>, Failure> {
    let mut problems = check_write(database, write).await?;
    if let (Target::Statement { text, key }, true) = (&write.target, tells_id) {
        let mut session = database.connect(Access::Write).await?;
        let statement = Statement::prepare(&mut session, text, key).await?;
        session.close().await;
        if !statement.keeps_links {
            let problem =
                "the answer gives `{id}`, and the statement returns none: let it end with `returning`";
            problems.push(problem.to_owned());
        }
    }
    Ok(problems)
}

/// The fields of a row that a map takes, with the types it makes of them.
fn typed(map: &FieldMap) -> Vec<(String, &ValueType)> {
    let mut found = Vec::new();
    for (_, rule) in &map.0 {
        match rule {
            MapRule::Nested(map) => found.extend(typed(map)),
            MapRule::Field(rule) => {
                if let (Origin::Field(path), Convert::Type(value_type)) = (&rule.origin, &rule.convert) {
                    found.push((path.to_string(), value_type));
                }
            }
            _ => {}
        }
    }
    found
}

fn clash(column: &str, declared: &str, how: &str, value_type: &ValueType) -> String {
    let declared = declared.to_lowercase();
    let wanted = match value_type {
        ValueType::Text => "text",
        ValueType::Decimal | ValueType::Places { .. } => "decimal",
        ValueType::Integer => "integer",
        ValueType::Bool => "bool",
        ValueType::Date(_) => "date",
        ValueType::Timestamp(_) => "timestamp",
    };
    format!("column `{column}` is of type {declared}, which is {how} `type = \"{wanted}\"`")
}

/// What sort of values a type holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Whole,
    Decimal,
    Float,
    Time,
    Bytes,
    /// Texts, truth values, and what is known only once it is there.
    Any,
}

impl Sort {
    fn of(declared: &str) -> Self {
        let declared = declared.to_lowercase();
        let bare = declared.split(['(', ' ']).next().unwrap_or_default();
        match bare {
            "int" | "integer" | "tinyint" | "smallint" | "mediumint" | "bigint" | "int2" | "int4"
            | "int8" => Self::Whole,
            "numeric" | "decimal" => Self::Decimal,
            "real" | "float" | "double" | "float4" | "float8" => Self::Float,
            "date" | "time" | "timestamp" | "timestamptz" | "timetz" | "datetime" | "interval" | "year" => {
                Self::Time
            }
            "bytea" | "blob" | "tinyblob" | "mediumblob" | "longblob" | "binary" | "varbinary" => Self::Bytes,
            _ => Self::Any,
        }
    }

    /// Whether its values can become this type. Money doesn't come out of a float.
    fn gives(self, value_type: &ValueType) -> bool {
        match value_type {
            ValueType::Text => true,
            ValueType::Decimal | ValueType::Places { .. } => {
                !matches!(self, Self::Float | Self::Time | Self::Bytes)
            }
            ValueType::Integer | ValueType::Bool => !matches!(self, Self::Time | Self::Bytes),
            ValueType::Date(rule) | ValueType::Timestamp(rule) => self.holds(rule.from.as_ref()),
        }
    }

    /// Whether it holds every value of this type.
    fn takes(self, value_type: &ValueType) -> bool {
        match value_type {
            ValueType::Text => true,
            ValueType::Decimal | ValueType::Places { .. } => matches!(self, Self::Decimal | Self::Any),
            ValueType::Integer | ValueType::Bool => !matches!(self, Self::Time | Self::Bytes),
            ValueType::Date(rule) | ValueType::Timestamp(rule) => self.holds(rule.to.as_ref()),
        }
    }

    /// Whether it holds dates or times written so. A pattern may be one of digits only.
    fn holds(self, format: Option<&MomentFormat>) -> bool {
        match format {
            None | Some(MomentFormat::Rfc3339) => matches!(self, Self::Time | Self::Any),
            Some(MomentFormat::EpochSeconds | MomentFormat::EpochMillis) => {
                !matches!(self, Self::Time | Self::Bytes)
            }
            Some(MomentFormat::Pattern { .. }) => !matches!(self, Self::Float | Self::Bytes),
        }
    }
}
