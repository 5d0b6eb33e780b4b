//! What the contract asks of a record, whether or not the server of the day enforces it.

use super::Generation;
use super::store::{Entity, Fields, is_date};
use serde_json::Value;

/// More records in a request than it may hold (Eryxon contract §3).
pub(super) const BATCH: &str = "batch-limit";
/// A request without records (§3).
pub(super) const EMPTY: &str = "empty-batch";
/// The tenant's key is missing or wrong (§1).
pub(super) const AUTH: &str = "authorization";
/// A call beyond the tenant's quota (§8).
pub(super) const QUOTA: &str = "daily-quota";
/// A required field is missing or empty (§4).
pub(super) const REQUIRED: &str = "field-missing";
/// A field of another type, range, list or form (§4).
pub(super) const TYPE: &str = "field-type";
/// A field this generation doesn't know (§4, §5.3).
pub(super) const UNKNOWN: &str = "field-unknown";
/// A second spelling of a source: a second record (§2).
pub(super) const SOURCE: &str = "source-spelling";
/// A child before its parent (§9).
pub(super) const ORDER: &str = "parents-first";
/// A nested record that is skipped without a word (§4.6).
pub(super) const NESTED: &str = "nested-skipped";
/// A page of more than 1,000 when reading back (§7).
pub(super) const PAGE: &str = "page-size";
/// No JSON, or no list of records in it (§3, §6).
pub(super) const BODY: &str = "body";

#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Color,
    Date,
    Whole(i64),
    Flag,
    OneOf(&'static [&'static str]),
    Object,
    List,
}

const STATUS: Form = Form::OneOf(&["not_started", "in_progress", "on_hold", "completed"]);

/// The fields of §4 besides the upsert key.
fn fields(entity: Entity) -> &'static [(&'static str, Form)] {
    use Form::{Color, Date, Flag, List, Object, OneOf, Text, Whole};
    match entity {
        Entity::Cells => &[("name", Text), ("color", Color), ("sequence", Whole(0)), ("active", Flag)],
        Entity::Resources => &[
            ("name", Text),
            ("type", OneOf(&["tooling", "fixture", "mold", "material", "equipment"])),
            ("status", OneOf(&["available", "in_use", "maintenance"])),
            ("description", Text),
            ("identifier", Text),
            ("location", Text),
            ("metadata", Object),
            ("active", Flag),
        ],
        Entity::Jobs => &[
            ("job_number", Text),
            ("customer", Text),
            ("customer_name", Text),
            ("due_date", Date),
            ("priority", Whole(0)),
            ("notes", Text),
            ("description", Text),
            ("status", STATUS),
            ("metadata", Object),
            ("parts", List),
        ],
        Entity::Parts => &[
            ("job_external_id", Text),
            ("job_id", Text),
            ("part_number", Text),
            ("material", Text),
            ("quantity", Whole(1)),
            ("notes", Text),
            ("metadata", Object),
            ("file_paths", List),
            ("status", STATUS),
            ("operations", List),
        ],
        Entity::Operations => &[
            ("part_external_id", Text),
            ("part_id", Text),
            ("cell_name", Text),
            ("cell_id", Text),
            ("operation_name", Text),
            ("sequence", Whole(1)),
            ("estimated_time_minutes", Whole(0)),
            ("estimated_time", Whole(0)),
            ("notes", Text),
        ],
    }
}

/// The fields of which one of each group must be there, for a new record.
fn required(entity: Entity, generation: Generation) -> &'static [&'static [&'static str]] {
    use Generation::{A, B};
    match (entity, generation) {
        (Entity::Cells, A) => &[&["name"]],
        (Entity::Cells, B) => &[&["name"], &["sequence"]],
        (Entity::Resources, _) => &[&["name"], &["type"]],
        (Entity::Jobs, _) => &[&["job_number"]],
        (Entity::Parts, A) => &[&["job_external_id", "job_id"], &["part_number"]],
        (Entity::Parts, B) => &[&["job_id"], &["part_number"], &["material"]],
        (Entity::Operations, A) => {
            &[&["part_external_id", "part_id"], &["cell_name", "cell_id"], &["operation_name"]]
        }
        (Entity::Operations, B) => {
            &[&["part_id"], &["cell_id"], &["operation_name"], &["sequence"], &["estimated_time"]]
        }
    }
}

/// The rules this record breaks, each with what is wrong.
pub(super) fn broken_by(
    entity: Entity,
    record: &Fields,
    generation: Generation,
    known: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    let name = text(record, "external_id").unwrap_or("?");
    let at = |what: &str| format!("{} {name}: {what}", entity.singular());
    let present = |field: &str| record.get(field).is_some_and(|value| !value.is_null() && value != "");
    for field in ["external_id", "external_source"] {
        if !present(field) {
            broken.push((REQUIRED, at(field)));
        }
    }
    for group in required(entity, generation) {
        if !group.iter().any(|field| present(field)) {
            broken.push((REQUIRED, at(&group.join(" or "))));
        }
    }
    for (field, value) in record {
        if matches!(field.as_str(), "external_id" | "external_source") {
            if !value.is_string() {
                broken.push((TYPE, at(field)));
            }
            continue;
        }
        let form = fields(entity).iter().find(|(known, _)| known == field).map(|(_, form)| *form);
        if form.is_some_and(|form| !value.is_null() && !form.fits(value)) {
            broken.push((TYPE, at(field)));
        }
        let allowed = match generation {
            Generation::A => form.is_some() && field != "estimated_time",
            Generation::B => known(field),
        };
        if !allowed {
            broken.push((UNKNOWN, at(field)));
        }
    }
    broken
}

impl Form {
    fn fits(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some_and(|text| text.chars().count() <= 255),
            Self::Color => text.is_some_and(|text| {
                text.strip_prefix('#')
                    .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            }),
            Self::Date => text.is_some_and(|text| text.len() == 10 && is_date(text)),
            Self::Whole(least) => value.as_i64().is_some_and(|number| number >= least),
            Self::Flag => value.is_boolean(),
            Self::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
        }
    }
}

/// The text of a field, if it has one.
pub(super) fn text<'a>(record: &'a Fields, field: &str) -> Option<&'a str> {
    record.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What the validator of generation B says about a job, in its own form.
pub(super) fn validate_job(job: &Fields) -> Vec<Value> {
    let mut errors = Vec::new();
    let mut error = |field: &str, constraint: &str, message: String| {
        errors.push(serde_json::json!({
            "field": field,
            "message": message,
            "value": job.get(field),
            "constraint": constraint,
            "entityType": "job",
            "entityIndex": 0,
        }));
    };
    match text(job, "job_number") {
        None => error("job_number", "REQUIRED", "job_number is required".to_owned()),
        Some(text) if text.chars().count() > 255 => {
            error("job_number", "LENGTH", "job_number must be between 1 and 255 characters".to_owned());
        }
        Some(_) => {}
    }
    let given = |field: &str| job.get(field).filter(|value| !value.is_null());
    if given("customer").is_some_and(|customer| !Form::Text.fits(customer)) {
        error("customer", "LENGTH", "customer must be a string of at most 255 characters".to_owned());
    }
    if given("due_date").is_some_and(|date| !date.as_str().is_some_and(is_date)) {
        error("due_date", "DATE_FORMAT", "due_date must be a valid date".to_owned());
    }
    if given("priority").is_some_and(|priority| !Form::Whole(0).fits(priority)) {
        error("priority", "RANGE", "priority must be an integer of at least 0".to_owned());
    }
    if given("status").is_some_and(|status| !STATUS.fits(status)) {
        error("status", "ENUM", "status is not one of those allowed".to_owned());
    }
    for (at, part) in given("parts").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if part.get("quantity").is_none_or(|quantity| !Form::Whole(1).fits(quantity)) {
            error(&format!("parts[{at}].quantity"), "RANGE", "quantity must be at least 1".to_owned());
        }
        if part.get("operations").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let message = "a part needs at least one operation".to_owned();
            error(&format!("parts[{at}].operations"), "REQUIRED", message);
        }
    }
    errors
}
