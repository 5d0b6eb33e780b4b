//! The two ends of a pull: what is asked of a platform, and where its rows go.

use super::map::{Convert, Origin};
use super::{FieldMap, MapRule, Push, Read, Shaping};
use crate::schedule::Timetable;
use crate::words::{ConnectionName, FieldPath, JobName, Template};

pub use crate::watermark::{Cursor, CursorFormat, FeedRules};

/// What is asked of a platform.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The platform.
    pub from: ConnectionName,
    /// The path; placeholders are filled and percent-encoded.
    pub get: Template,
    /// The query. Values may use `{since}`, `{until}`, and of `{page}`, `{offset}` and `{cursor}` the one that fits `pages`. A
    /// parameter that is only `{cursor}` or `{until}` is left out where there is none.
    pub params: Vec<(String, Template)>,
    /// Where the answer holds its rows; the empty path is the answer itself.
    pub rows: FieldPath,
    /// The fields that identify a row.
    pub key: Vec<FieldPath>,
    /// How the pages of one answer hang together.
    pub pages: Pages,
    /// How the job knows where to go on; without it, every run reads the whole list.
    pub since: Option<Since>,
    /// The request that follows each row up: the list tells only what changed.
    pub each: Option<Each>,
    /// When the whole list is walked from its start beside the runs that only read on.
    pub sweep: Option<Timetable>,
    /// The share of known rows that may be gone at once before the run stops and removes nothing, 0 to 1.
    pub max_gone: f64,
    /// What XML can't say of the rows, where the platform answers XML.
    pub xml: XmlTypes,
    /// A record of which every one of these fields has one of these texts is not delivered.
    pub skip_when: Vec<(FieldPath, Vec<String>)>,
    /// What comes back as this push last sent it is not delivered.
    pub echo: Option<Echo>,
}

/// A push whose records come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The push.
    pub job: JobName,
    /// The fields it sends, in its order.
    pub fields: Vec<FieldPath>,
    /// Which of them are its key.
    pub key: Vec<FieldPath>,
}

impl Echo {
    /// The echo of a push; nothing where it has no map, or its map doesn't send its key.
    #[must_use]
    pub fn of(job: &JobName, read: &Read, push: &Push) -> Option<Self> {
        // What a filter makes of the key, only the filter knows.
        let Shaping { map: Some(map), filter: None, .. } = &push.shaping else { return None };
        let mut rules = Vec::new();
        leaves(map, "", &mut rules)?;
        let sends = |rule: &MapRule, column: &String| match rule {
            MapRule::Template(template) => template.sole_placeholder() == Some(column),
            MapRule::Field(rule) => {
                let keeps = matches!(rule.convert, Convert::AsIs | Convert::Type(_)) && !rule.trim;
                keeps && matches!(&rule.origin, Origin::Field(path) if path.to_string() == *column)
            }
            MapRule::Constant(_) | MapRule::Record | MapRule::Nested(_) | MapRule::Rows(_) => false,
        };
        let of_column = |column: &String| {
            let (path, _) = rules.iter().find(|(_, rule)| sends(rule, column))?;
            Some(path.clone())
        };
        let key = read.key.iter().map(of_column).collect::<Option<_>>()?;
        Some(Self { job: job.clone(), fields: rules.into_iter().map(|(path, _)| path).collect(), key })
    }
}

/// The fields of a map, those of nested records by their paths; nothing where one has a name that is no path.
fn leaves<'m>(map: &'m FieldMap, outer: &str, found: &mut Vec<(FieldPath, &'m MapRule)>) -> Option<()> {
    for (name, rule) in &map.0 {
        let path = if outer.is_empty() { name.clone() } else { format!("{outer}.{name}") };
        match rule {
            MapRule::Nested(map) => leaves(map, &path, found)?,
            _ => found.push((FieldPath::new(&path).ok()?, rule)),
        }
    }
    Some(())
}

/// What XML can't say of a row; JSON rows need none of it. Paths lead through lists as if they weren't there:
/// `lines.quantity` is the quantity of each line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct XmlTypes {
    /// Fields that are lists, also where they have one entry or none.
    pub lists: Vec<FieldPath>,
    /// Fields that are numbers.
    pub numbers: Vec<FieldPath>,
    /// Fields that are true or false.
    pub booleans: Vec<FieldPath>,
}

/// How the pages of one answer hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pages {
    /// One response holds it all.
    Single,
    /// Numbered from `first`; the body says how many there are.
    Numbered {
        /// The number of the first page.
        first: u64,
        /// Where the body holds the number of pages.
        total: Option<FieldPath>,
        /// Where the body holds the number of rows in all pages.
        items: Option<FieldPath>,
    },
    /// By offsets from `first`, each as many rows on as the page before had; the body says how many rows there are.
    Offsets {
        /// The first offset.
        first: u64,
        /// Where the body holds the number of rows in all pages.
        items: Option<FieldPath>,
    },
    /// Each answer says what comes next, until one does not.
    Told(Told),
}

/// Pages that say what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Where the body says it.
    pub next: FieldPath,
    /// What it says there.
    pub kind: NextKind,
    /// What the first request asks for; nothing where it leaves the parameter out.
    pub first: Option<u64>,
    /// Where the body holds the number of pages.
    pub total: Option<FieldPath>,
    /// Where the body holds the number of rows in all pages.
    pub items: Option<FieldPath>,
}

/// What a page says of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextKind {
    /// The value to ask with: an offset, a page, a token.
    Value,
    /// An address, of which this query parameter is the value to ask with. Nothing else of it is used.
    Address {
        /// The parameter.
        parameter: String,
    },
}

/// How a pull knows where to go on.
#[derive(Debug, Clone)]
pub enum Since {
    /// Rows carry the time, or the number, of their last change.
    Changed(Changed),
    /// The answer says which id comes next.
    Feed(FeedSince),
}

/// Reading on by the rows' own cursors.
#[derive(Debug, Clone)]
pub struct Changed {
    /// What of a row is the cursor.
    pub field: FieldPath,
    /// How the cursor is written.
    pub format: CursorFormat,
    /// Where the first run starts, as the platform would write it.
    pub start: Cursor,
    /// How much is read again each time, for what became visible late: milliseconds, or ids where the cursor is one.
    pub overlap: i64,
    /// How long before the server's own clock reading stops, in milliseconds: what is younger may still be moving.
    pub settle: i64,
}

/// Reading on by the server's next id.
#[derive(Debug, Clone)]
pub struct FeedSince {
    /// Where the answer says it.
    pub next: FieldPath,
    /// Where it starts, and how many ids are read again.
    pub rules: FeedRules,
}

/// The request that follows up a row.
#[derive(Debug, Clone)]
pub struct Each {
    /// The path; placeholders are fields of the row, percent-encoded.
    pub get: Template,
    /// The query; placeholders are fields of the row.
    pub params: Vec<(String, Template)>,
    /// Where the answer holds the record; the empty path is the answer itself.
    pub record: FieldPath,
    /// The statuses that say that the record is gone.
    pub gone_on: Vec<u16>,
}

/// Where pulled rows go.
#[derive(Debug, Clone)]
pub struct Write {
    /// The ERP.
    pub to: ConnectionName,
    /// What takes them there.
    pub target: Target,
    /// How a row becomes what is written; without one, each field goes over under its own name.
    pub shaping: Shaping,
    /// What becomes of a row whose record is gone from the platform.
    pub on_gone: OnGone,
}

/// What becomes of a row whose record is gone from the platform.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OnGone {
    /// It stays as it is.
    #[default]
    Ignore,
    /// It is deleted.
    Delete,
    /// These columns are set.
    Set(serde_json::Map<String, serde_json::Value>),
}

impl OnGone {
    /// Whether anybody needs to know what is gone.
    #[must_use]
    pub fn matters(&self) -> bool {
        *self != Self::Ignore
    }
}

impl Pull {
    /// The cursor of its rows, where they have one.
    #[must_use]
    pub fn changed(&self) -> Option<&Changed> {
        match &self.since {
            Some(Since::Changed(changed)) => Some(changed),
            _ => None,
        }
    }

    /// How its feed goes on, where it is one.
    #[must_use]
    pub fn feed(&self) -> Option<&FeedSince> {
        match &self.since {
            Some(Since::Feed(feed)) => Some(feed),
            _ => None,
        }
    }

    /// Which of these columns holds which part of the key: by name, or, where each has only one, that one. Nothing where
    /// they don't correspond.
    #[must_use]
    pub fn key_columns(&self, columns: &[String]) -> Option<Vec<(String, usize)>> {
        if let ([_], [column]) = (self.key.as_slice(), columns) {
            return Some(vec![(column.clone(), 0)]);
        }
        let part = |column: &String| {
            self.key
                .iter()
                .position(|path| path.steps().last().is_some_and(|step| step.eq_ignore_ascii_case(column)))
        };
        columns.iter().map(|column| Some((column.clone(), part(column)?))).collect()
    }

    /// What is dated before this will not be asked for again once the watermark is at `reached`. Nothing where it may be:
    /// a sweep asks for everything, and recognises by what was delivered ever what it need not deliver again.
    #[must_use]
    pub fn forgets_before(&self, reached: Cursor) -> Option<Cursor> {
        let changed = self.changed().filter(|_| self.sweep.is_none())?;
        Some(changed.format.lowest(reached.minus(changed.overlap)))
    }

    /// Whether some runs of it read the whole list.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        self.since.is_none() || self.sweep.is_some()
    }
}

impl Write {
    /// What identifies a row: the columns of a table, or the fields that a statement takes.
    #[must_use]
    pub fn key(&self) -> &[String] {
        match &self.target {
            Target::Table { upsert_by, .. } => upsert_by,
            Target::Statement { key, .. } => key,
        }
    }
}

/// What takes pulled rows in the ERP.
#[derive(Debug, Clone)]
pub enum Target {
    /// A table that rows are upserted into.
    Table {
        /// Its name, with its schema where it needs one.
        name: String,
        /// The columns that identify a row there.
        upsert_by: Vec<String>,
        /// Whether it is created from the first rows where it is missing.
        create: bool,
    },
    /// A statement of the integrator's own, run once for each row.
    Statement {
        /// Its text, with `:field` where a field of the row goes.
        text: String,
        /// The fields that identify a row.
        key: Vec<String>,
    },
}
