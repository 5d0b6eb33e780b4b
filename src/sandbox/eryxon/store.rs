//! The platform's tables, with what its database refuses: unknown columns, missing values, second owners of a unique
//! value, texts that are no dates. What a handler does before and after is not here.

use chrono::NaiveDate;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// The columns of a row, or the fields of a record.
pub(super) type Fields = Map<String, Value>;

/// What an Eryxon keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// Work centres; operations name them.
    Cells,
    /// Tools, fixtures, moulds, material.
    Resources,
    /// Orders.
    Jobs,
    /// The parts of a job.
    Parts,
    /// The steps of a part.
    Operations,
}

impl Entity {
    /// All of them, parents first.
    pub const ALL: [Self; 5] = [Self::Cells, Self::Resources, Self::Jobs, Self::Parts, Self::Operations];

    /// `jobs`
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::Resources => "resources",
            Self::Jobs => "jobs",
            Self::Parts => "parts",
            Self::Operations => "operations",
        }
    }

    /// `job`
    #[must_use]
    pub fn singular(self) -> &'static str {
        self.plural().trim_end_matches('s')
    }

    /// The columns a caller may set, besides the two of the upsert key.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Cells => &["name", "color", "sequence", "active"],
            Self::Resources => {
                &["name", "type", "status", "description", "identifier", "location", "metadata", "active"]
            }
            Self::Jobs => &[
                "job_number",
                "customer",
                "due_date",
                "due_date_override",
                "status",
                "notes",
                "metadata",
                "current_cell_id",
                "package_count",
                "total_weight_kg",
                "total_volume_m3",
            ],
            Self::Parts => &[
                "job_id",
                "part_number",
                "material",
                "quantity",
                "status",
                "notes",
                "metadata",
                "parent_part_id",
                "current_cell_id",
                "drawing_no",
                "cnc_program_name",
                "is_bullet_card",
                "material_lot",
                "material_supplier",
                "material_cert_number",
                "length_mm",
                "width_mm",
                "height_mm",
                "weight_kg",
                "file_paths",
            ],
            Self::Operations => &[
                "part_id",
                "cell_id",
                "operation_name",
                "sequence",
                "estimated_time",
                "setup_time",
                "run_time_per_unit",
                "wait_time",
                "changeover_time",
                "notes",
                "metadata",
                "status",
                "assigned_operator_id",
                "planned_start",
                "planned_end",
            ],
        }
    }

    /// The columns that may not be null and have no default.
    fn not_null(self) -> &'static [&'static str] {
        match self {
            Self::Cells => &["name", "sequence"],
            Self::Resources => &["name", "type"],
            Self::Jobs => &["job_number"],
            Self::Parts => &["job_id", "part_number", "material"],
            Self::Operations => &["part_id", "cell_id", "operation_name", "sequence", "estimated_time"],
        }
    }

    /// The column that is unique within a tenant besides the upsert key.
    fn unique(self) -> Option<&'static str> {
        match self {
            Self::Cells | Self::Operations => None,
            Self::Resources => Some("name"),
            Self::Jobs => Some("job_number"),
            Self::Parts => Some("part_number"),
        }
    }

    fn parents(self) -> &'static [(&'static str, Entity)] {
        match self {
            Self::Cells | Self::Resources | Self::Jobs => &[],
            Self::Parts => &[("job_id", Self::Jobs)],
            Self::Operations => &[("part_id", Self::Parts), ("cell_id", Self::Cells)],
        }
    }

    /// Whether the published schema gives the table a `sync_hash`.
    pub(super) fn has_sync_hash(self) -> bool {
        matches!(self, Self::Jobs | Self::Parts)
    }
}

/// A row of a table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) fields: Fields,
    /// Deleted on the platform, but still in its unique indexes.
    pub(super) deleted: bool,
    /// Gone altogether; only its place is left.
    removed: bool,
    /// How often it was created or updated.
    pub(super) writes: usize,
    /// The record as it was last sent, where the unified sync keeps it to see what is unchanged.
    pub(super) sent: Option<String>,
}

/// One table. Rows keep their places, so that the order of creation is the order of the places.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    by_id: HashMap<String, usize>,
    /// By source and external id; at most one row, deleted ones included.
    by_key: HashMap<(String, String), usize>,
    by_external_id: HashMap<String, Vec<usize>>,
    by_unique: HashMap<String, usize>,
}

/// All tables of the tenant.
#[derive(Debug)]
pub(super) struct Store {
    tables: HashMap<Entity, Table>,
    /// Whether `priority` and `sync_hash` are columns everywhere, unlike in the published schema.
    pub(super) late_columns: bool,
    /// The spellings of sources seen so far.
    sources: BTreeSet<String>,
}

/// What the database says when it refuses a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

impl Store {
    pub(super) fn new() -> Self {
        let tables = Entity::ALL.into_iter().map(|entity| (entity, Table::default())).collect();
        Self { tables, late_columns: true, sources: BTreeSet::new() }
    }

    fn table(&self, entity: Entity) -> &Table {
        &self.tables[&entity]
    }

    fn table_mut(&mut self, entity: Entity) -> &mut Table {
        self.tables.entry(entity).or_default()
    }

    /// The rows that are there, oldest first.
    pub(super) fn rows(&self, entity: Entity) -> impl DoubleEndedIterator<Item = &Row> {
        self.table(entity).rows.iter().filter(|row| !row.deleted && !row.removed)
    }

    /// The row with this upsert key, as the look-up of a sync sees it: deleted ones are not there.
    pub(super) fn find(&self, entity: Entity, source: &str, external_id: &str) -> Option<usize> {
        let table = self.table(entity);
        let at = *table.by_key.get(&(source.to_owned(), external_id.to_owned()))?;
        (!table.rows[at].deleted).then_some(at)
    }

    /// The first row with this external id, of whatever source.
    pub(super) fn find_any_source(&self, entity: Entity, external_id: &str) -> Option<usize> {
        let table = self.table(entity);
        table.by_external_id.get(external_id)?.iter().copied().find(|at| !table.rows[*at].deleted)
    }

    pub(super) fn find_id(&self, entity: Entity, id: &str) -> Option<usize> {
        let table = self.table(entity);
        table.by_id.get(id).copied().filter(|at| !table.rows[*at].deleted)
    }

    pub(super) fn find_by(&self, entity: Entity, column: &str, value: &str) -> Option<usize> {
        let fits = |row: &Row| row.fields.get(column).and_then(Value::as_str) == Some(value);
        self.table(entity).rows.iter().position(|row| !row.deleted && !row.removed && fits(row))
    }

    pub(super) fn row(&self, entity: Entity, at: usize) -> &Row {
        &self.table(entity).rows[at]
    }

    pub(super) fn len(&self, entity: Entity) -> usize {
        self.rows(entity).count()
    }

    /// Inserts a row: its place.
    pub(super) fn insert(&mut self, entity: Entity, fields: Fields) -> Result<usize, Refused> {
        self.check(entity, &fields, None)?;
        let missing = |column: &&&str| fields.get(**column).is_none_or(Value::is_null);
        if let Some(column) = entity.not_null().iter().find(missing) {
            return Err(Refused::null(entity, column));
        }
        let table = self.table_mut(entity);
        let at = table.rows.len();
        let number = Entity::ALL.iter().position(|other| *other == entity).unwrap_or_default();
        let id = format!("{number:08x}-0000-4000-8000-{:012x}", at + 1);
        let key = key(&fields);
        table.by_id.insert(id.clone(), at);
        table.by_external_id.entry(key.1.clone()).or_default().push(at);
        table.by_key.insert(key, at);
        if let Some(value) = entity.unique().and_then(|column| fields.get(column)?.as_str()) {
            table.by_unique.insert(value.to_owned(), at);
        }
        table.rows.push(Row { id, fields, deleted: false, removed: false, writes: 1, sent: None });
        Ok(at)
    }

    /// Sets these columns of a row and leaves the others.
    pub(super) fn update(&mut self, entity: Entity, at: usize, fields: Fields) -> Result<(), Refused> {
        self.check(entity, &fields, Some(at))?;
        if let Some(column) =
            entity.not_null().iter().find(|column| fields.get(**column) == Some(&Value::Null))
        {
            return Err(Refused::null(entity, column));
        }
        let table = self.table_mut(entity);
        let row = &mut table.rows[at];
        if let Some(column) = entity.unique()
            && let Some(new) = fields.get(column).and_then(Value::as_str)
        {
            if let Some(old) = row.fields.get(column).and_then(Value::as_str) {
                table.by_unique.remove(old);
            }
            table.by_unique.insert(new.to_owned(), at);
        }
        row.fields.extend(fields);
        row.writes += 1;
        Ok(())
    }

    pub(super) fn remember_sent(&mut self, entity: Entity, at: usize, sent: String) {
        self.table_mut(entity).rows[at].sent = Some(sent);
    }

    /// Marks a row as deleted; its values stay taken.
    pub(super) fn soft_delete(&mut self, entity: Entity, at: usize) {
        self.table_mut(entity).rows[at].deleted = true;
    }

    /// Removes a row and frees its values.
    pub(super) fn hard_delete(&mut self, entity: Entity, at: usize) {
        let table = self.table_mut(entity);
        let row = &mut table.rows[at];
        row.removed = true;
        let key = key(&row.fields);
        if let Some(value) = entity.unique().and_then(|column| row.fields.get(column)?.as_str()) {
            table.by_unique.remove(value);
        }
        table.by_id.remove(&row.id);
        if let Some(places) = table.by_external_id.get_mut(&key.1) {
            places.retain(|place| *place != at);
        }
        table.by_key.remove(&key);
    }

    /// Whether the table has this column.
    pub(super) fn knows(&self, entity: Entity, column: &str) -> bool {
        matches!(column, "external_id" | "external_source")
            || entity.columns().contains(&column)
            || (column == "sync_hash" && (self.late_columns || entity.has_sync_hash()))
            || (column == "priority" && entity == Entity::Jobs && self.late_columns)
    }

    /// A source that differs from this one only in upper and lower case; otherwise the source is remembered.
    pub(super) fn other_spelling(&mut self, source: &str) -> Option<String> {
        if self.sources.contains(source) {
            return None;
        }
        let other = self.sources.iter().find(|known| known.to_lowercase() == source.to_lowercase()).cloned();
        if other.is_none() {
            self.sources.insert(source.to_owned());
        }
        other
    }

    /// What an insert and an update check alike; `at` is the row that may own the unique values already.
    fn check(&self, entity: Entity, fields: &Fields, at: Option<usize>) -> Result<(), Refused> {
        let table = self.table(entity);
        if let Some(name) = fields.keys().find(|name| !self.knows(entity, name)) {
            return Err(Refused(format!(
                "Could not find the '{name}' column of '{}' in the schema cache",
                entity.plural()
            )));
        }
        for (name, value) in fields {
            if !self.fits(name, value) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let what = if name.contains("date") { "date" } else { "integer" };
                return Err(Refused(format!("invalid input syntax for type {what}: \"{text}\"")));
            }
        }
        for (column, parent) in entity.parents() {
            if let Some(id) = fields.get(*column).filter(|id| !id.is_null())
                && id.as_str().is_none_or(|id| !self.table(*parent).by_id.contains_key(id))
            {
                return Err(Refused(format!(
                    "insert or update on table \"{0}\" violates foreign key constraint \"{0}_{column}_fkey\"",
                    entity.plural()
                )));
            }
        }
        let taken = |owner: Option<&usize>| owner.is_some_and(|owner| Some(*owner) != at);
        if at.is_none() && taken(table.by_key.get(&key(fields))) {
            return Err(Refused::duplicate(entity, "external"));
        }
        if let Some(column) = entity.unique()
            && let Some(value) = fields.get(column).and_then(Value::as_str)
            && taken(table.by_unique.get(value))
        {
            return Err(Refused::duplicate(entity, column));
        }
        Ok(())
    }

    fn fits(&self, name: &str, value: &Value) -> bool {
        match name {
            _ if value.is_null() => true,
            "due_date" | "due_date_override" => value.as_str().is_some_and(is_date),
            "sequence" | "quantity" | "estimated_time" | "priority" => value.is_i64() || value.is_u64(),
            _ => true,
        }
    }
}

impl Refused {
    fn null(entity: Entity, column: &str) -> Self {
        let table = entity.plural();
        Self(format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        ))
    }

    fn duplicate(entity: Entity, column: &str) -> Self {
        let table = entity.plural();
        Self(format!("duplicate key value violates unique constraint \"{table}_tenant_id_{column}_key\""))
    }
}

fn key(fields: &Fields) -> (String, String) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("external_source"), text("external_id"))
}

/// A calendar date, alone or before a time.
pub(super) fn is_date(text: &str) -> bool {
    let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    (rest.is_empty() || rest.starts_with('T')) && NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok()
}
