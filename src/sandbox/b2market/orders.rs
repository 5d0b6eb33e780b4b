//! The platform's table of orders. A row keeps only what its text is made from, so that a million of them fit.
//!
//! Times are compared as the platform's database would compare them: as the zone-less local readings it stores. In
//! the repeated hour of autumn rows therefore interleave, exactly as they would there.

use super::{Sort, order};
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) revision: u32,
    pub(super) created: NaiveDateTime,
    pub(super) updated: NaiveDateTime,
    pub(super) active: bool,
    /// The instant of `updated`.
    dated: DateTime<Utc>,
    /// What it was before the last edit.
    before: Option<Before>,
    raw: Option<Box<str>>,
    /// What it was created as, if a caller created it.
    document: Option<Box<Value>>,
}

#[derive(Debug, Clone, Copy)]
struct Before {
    revision: u32,
    active: bool,
    dated: DateTime<Utc>,
}

/// What an edit does besides dating the row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit {
    Forward,
    Back,
    Date,
    Withdraw,
}

#[derive(Debug)]
pub(super) struct Orders {
    seed: u64,
    zone: Tz,
    /// By id.
    rows: Vec<Row>,
    next_id: u64,
    /// Positions in `rows` by `updated`, then id; out of date while `stale`.
    by_update: Vec<usize>,
    stale: bool,
    dice: StdRng,
}

/// One page of orders, as the text of its `data` array, and how many rows the whole list has.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) data: String,
    pub(super) total: usize,
}

impl Orders {
    pub(super) fn new(seed: u64, zone: Tz) -> Self {
        Self {
            seed,
            zone,
            rows: Vec::new(),
            next_id: 1,
            by_update: Vec::new(),
            stale: false,
            dice: StdRng::seed_from_u64(seed),
        }
    }

    pub(super) fn zone(&self) -> Tz {
        self.zone
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn add(
        &mut self,
        created: DateTime<Utc>,
        updated: DateTime<Utc>,
        raw: Option<Box<str>>,
    ) -> String {
        let id = self.next_id;
        self.next_id += 1;
        let row = Row {
            id,
            revision: 0,
            created: self.reading(created),
            updated: self.reading(updated),
            active: true,
            dated: updated,
            before: None,
            raw,
            document: None,
        };
        self.rows.push(row);
        self.stale = true;
        id.to_string()
    }

    pub(super) fn edit(&mut self, id: &str, edit: Edit, now: DateTime<Utc>) {
        let updated = self.reading(now);
        let Some(row) = self.position(id).and_then(|at| self.rows.get_mut(at)) else { return };
        row.before = Some(Before { revision: row.revision, active: row.active, dated: row.dated });
        (row.updated, row.dated) = (updated, now);
        match edit {
            Edit::Forward => row.revision += 1,
            Edit::Back => row.revision = row.revision.saturating_sub(1),
            Edit::Date => {}
            Edit::Withdraw => row.active = false,
        }
        self.stale = true;
    }

    /// Undoes the last edit, its date included, if the date before it is not before `since`.
    pub(super) fn roll_back(&mut self, id: &str, since: DateTime<Utc>) -> bool {
        let Some(at) = self.position(id) else { return false };
        let Some(before) = self.rows[at].before.filter(|before| before.dated >= since) else { return false };
        let updated = self.reading(before.dated);
        let row = &mut self.rows[at];
        (row.revision, row.active) = (before.revision, before.active);
        (row.updated, row.dated, row.before) = (updated, before.dated, None);
        self.stale = true;
        true
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(at) = self.position(id) {
            self.rows.remove(at);
            self.stale = true;
        }
    }

    /// The ids of `n` different rows, or of all if there are fewer.
    pub(super) fn pick(&mut self, n: usize) -> Vec<String> {
        let n = n.min(self.rows.len());
        let chosen = rand::seq::index::sample(&mut self.dice, self.rows.len(), n);
        chosen.iter().filter_map(|at| self.rows.get(at)).map(|row| row.id.to_string()).collect()
    }

    pub(super) fn documents(&self) -> BTreeMap<String, Value> {
        let parse = |row: &Row| serde_json::from_str(&self.text(row)).unwrap_or(Value::Null);
        self.rows.iter().map(|row| (row.id.to_string(), parse(row))).collect()
    }

    /// The order with this id, as a list of none or one.
    pub(super) fn one(&self, id: &str) -> Page {
        let row = self.position(id).and_then(|at| self.rows.get(at));
        self.page_of(row.into_iter(), usize::from(row.is_some()))
    }

    pub(super) fn all(&self, skip: usize, take: usize) -> Page {
        self.page_of(self.rows.iter().skip(skip).take(take), self.rows.len())
    }

    /// The rows dated at `from` or later, both read on the platform's wall clock.
    pub(super) fn updated_from(
        &mut self,
        from: NaiveDateTime,
        statuses: &[&str],
        sort: Sort,
        skip: usize,
        take: usize,
    ) -> Page {
        self.sort();
        let row = |at: &usize| self.rows.get(*at);
        let first = self.by_update.partition_point(|at| row(at).is_some_and(|row| row.updated < from));
        let found = self.by_update.get(first..).unwrap_or_default();
        if statuses.is_empty() && sort == Sort::UpdatedAscending {
            return self.page_of(found.iter().skip(skip).take(take).filter_map(row), found.len());
        }
        let wanted = |row: &&Row| statuses.is_empty() || statuses.contains(&order::status(self.seed, row));
        let mut chosen: Vec<&Row> = found.iter().filter_map(row).filter(wanted).collect();
        match sort {
            Sort::UpdatedAscending => {}
            Sort::UpdatedDescending => chosen.reverse(),
            Sort::Id => chosen.sort_unstable_by_key(|row| row.id),
        }
        let total = chosen.len();
        self.page_of(chosen.into_iter().skip(skip).take(take), total)
    }

    fn page_of<'a>(&self, rows: impl Iterator<Item = &'a Row>, total: usize) -> Page {
        let mut data = String::from("[");
        for row in rows {
            if data.len() > 1 {
                data.push(',');
            }
            data.push_str(&self.text(row));
        }
        data.push(']');
        Page { data, total }
    }

    /// Has an order be served as this document, its dates and `active` apart.
    pub(super) fn set_document(&mut self, id: &str, document: Value) {
        if let Some(row) = self.position(id).and_then(|at| self.rows.get_mut(at)) {
            row.document = Some(Box::new(document));
        }
    }

    /// The platform's reading of an instant, as it is printed.
    pub(super) fn stamp(&self, at: DateTime<Utc>) -> String {
        self.reading(at).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn text(&self, row: &Row) -> String {
        if let Some(document) = &row.document {
            let mut document = document.clone();
            let updated = Value::from(row.updated.format("%Y-%m-%d %H:%M:%S").to_string());
            document["dateModified"] = updated.clone();
            document["updatedAt"] = updated;
            document["active"] = Value::from(row.active);
            if row.revision > 0 {
                document["status"] = Value::from(order::status(self.seed, row));
                document["updatedBy"]["username"] = Value::from("oficina");
            }
            return document.to_string();
        }
        row.raw.as_deref().map_or_else(|| order::text(self.seed, row), str::to_owned)
    }

    fn sort(&mut self) {
        if self.stale {
            self.by_update.clear();
            self.by_update.extend(0..self.rows.len());
            let rows = &self.rows;
            self.by_update.sort_by_key(|at| rows.get(*at).map(|row| (row.updated, row.id)));
            self.stale = false;
        }
    }

    fn position(&self, id: &str) -> Option<usize> {
        let id: u64 = id.parse().ok()?;
        self.rows.binary_search_by_key(&id, |row| row.id).ok()
    }

    fn reading(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let reading = self.zone.from_utc_datetime(&at.naive_utc()).naive_local();
        // Whole seconds, as they are stored and printed.
        reading - chrono::TimeDelta::nanoseconds(i64::from(reading.and_utc().timestamp_subsec_nanos()))
    }
}

/// A source of chance that depends on the seed and the order alone.
pub(super) fn dice_for(seed: u64, id: u64) -> impl Rng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ id)
}
