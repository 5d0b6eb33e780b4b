//! The grammar of cron expressions, entry by entry. It rewrites an expression into plain numbers, which croner
//! reads the same way in every version, and refuses with the position what croner would let pass: month names
//! in the minute, empty entries, letters after a `W`.

use super::{BadCron, CronField, Rhythm};

/// An expression that keeps to the grammar.
pub(super) struct Read {
    /// Six fields of numbers.
    pub(super) canonical: String,
    pub(super) rhythm: Rhythm,
    /// Where the day-of-month stands: offset and length, in characters.
    pub(super) day_of_month: (usize, usize),
}

const FIELDS: [CronField; 6] = [
    CronField::Second,
    CronField::Minute,
    CronField::Hour,
    CronField::DayOfMonth,
    CronField::Month,
    CronField::DayOfWeek,
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 0 * * * *"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@monthly", "0 0 0 1 * *"),
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
];

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) fn read(text: &str) -> Result<Read, BadCron> {
    let whole = |reason: String| refuse(CronField::Expression, 0, text.trim_end(), reason);
    let nickname = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
    if let Some((_, meant)) = nickname {
        return read(meant).map(|read| Read { day_of_month: (0, text.chars().count()), ..read });
    }
    if text.trim().starts_with('@') {
        let names: Vec<_> = NICKNAMES.iter().map(|(name, _)| *name).collect();
        return Err(whole(format!("`{}` is not one of {}", text.trim(), names.join(", "))));
    }
    let fields = parts(text, char::is_whitespace).filter(|(_, field)| !field.is_empty()).collect::<Vec<_>>();
    let kinds = match fields.len() {
        5 => &FIELDS[1..],
        6 => &FIELDS[..],
        0 => {
            return Err(whole(
                "it is empty; write six fields: second minute hour day-of-month month day-of-week".into(),
            ));
        }
        count if count > 6 => {
            let (offset, field) = fields[6];
            let reason =
                format!("`{field}` is one field too many: a cron expression has 5 or 6, and no year");
            return Err(refuse(CronField::Expression, offset, field, reason));
        }
        count => {
            let reason = format!(
                "it has {count} field{}; write six: second minute hour day-of-month month day-of-week, or five without the second",
                if count == 1 { "" } else { "s" }
            );
            return Err(whole(reason));
        }
    };
    let mut canonical = Vec::from_iter((fields.len() == 5).then(|| "0".to_owned()));
    let mut rhythm = Rhythm::Fixed;
    let mut day_of_month = (0, 0);
    for (&field, &(offset, text)) in kinds.iter().zip(&fields) {
        let clock = matches!(field, CronField::Second | CronField::Minute | CronField::Hour);
        if clock && text.contains(['*', '-', '/']) {
            rhythm = Rhythm::Interval;
        }
        if field == CronField::DayOfMonth {
            day_of_month = (offset, text.chars().count());
        }
        canonical.push(read_field(field, offset, text)?);
    }
    Ok(Read { canonical: canonical.join(" "), rhythm, day_of_month })
}

/// The parts of a text between separators, each with its offset in characters.
fn parts(text: &str, separator: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    text.split(separator).scan(0, |next, part| {
        let offset = *next;
        *next += part.chars().count() + 1;
        Some((offset, part))
    })
}

fn refuse(field: CronField, offset: usize, part: &str, reason: String) -> BadCron {
    BadCron { field, offset, length: part.chars().count(), reason }
}

fn read_field(field: CronField, offset: usize, text: &str) -> Result<String, BadCron> {
    // Alone, `*` means "not given"; in a list it is only the longest of the ranges.
    if text == "*" {
        return Ok(text.to_owned());
    }
    let mut entries = Vec::new();
    for (at, entry) in parts(text, |c| c == ',') {
        // An empty entry has no characters to point at: its comma has.
        let (at, shown) = if entry.is_empty() { (at.saturating_sub(1), ",") } else { (at, entry) };
        entries.push(
            read_entry(field, &entry.to_ascii_uppercase())
                .map_err(|reason| refuse(field, offset + at, shown, reason))?,
        );
    }
    if entries.iter().any(|entry| entry == "LW") && entries.iter().any(|entry| entry == "L") {
        return Err(refuse(
            field,
            offset,
            text,
            "`L` and `LW` don't go together; use two expressions".into(),
        ));
    }
    Ok(entries.join(","))
}

/// One entry of a list, in capitals, as numbers; the error is the reason.
fn read_entry(field: CronField, entry: &str) -> Result<String, String> {
    if entry.is_empty() {
        return Err("the list has an empty entry".to_owned());
    }
    if let Some(stray) = entry.chars().find(|c| matches!(c, '?' | '+')) {
        return Err(format!("`{stray}` has no meaning here; write `*` for any day"));
    }
    match field {
        CronField::DayOfMonth => {
            if entry == "L" || entry == "LW" {
                return Ok(entry.to_owned());
            }
            if let Some(day) = entry.strip_suffix('W') {
                return Ok(format!("{}W", value(field, day)?));
            }
        }
        CronField::DayOfWeek => {
            if entry == "L" {
                return Err("`L` needs its weekday: `FRIL` is the last Friday of the month".to_owned());
            }
            if let Some(day) = entry.strip_suffix('L') {
                return Ok(format!("{}#L", value(field, day)?));
            }
            if let Some((days, count)) = entry.split_once('#') {
                if !matches!(count, "1" | "2" | "3" | "4" | "5") {
                    return Err(format!("`#{count}` is not a count of weeks: write `#1` to `#5`"));
                }
                return Ok(format!("{}#{count}", value_or_range(field, days)?));
            }
        }
        _ => {}
    }
    let (base, step) = entry.split_once('/').map_or((entry, None), |(base, step)| (base, Some(step)));
    let base = if base == "*" { base.to_owned() } else { value_or_range(field, base)? };
    match step {
        Some(step) => Ok(format!("{base}/{}", read_step(field, step)?)),
        // croner takes `*` only alone.
        None if base == "*" => Ok("*/1".to_owned()),
        None => Ok(base),
    }
}

fn read_step(field: CronField, step: &str) -> Result<u32, String> {
    let (low, high) = bounds(field);
    let most = high - low + 1;
    number(step).filter(|step| (1..=most).contains(step)).ok_or_else(|| {
        format!("`/{step}` is not a step: write `/1` to `/{most}`; longer ones have no room in the {field}")
    })
}

fn value_or_range(field: CronField, text: &str) -> Result<String, String> {
    let Some((first, last)) = text.split_once('-') else {
        return value(field, text).map(|value| value.to_string());
    };
    // A week may end with Sunday: `FRI-SUN`.
    let last = if field == CronField::DayOfWeek && last == "SUN" { "7" } else { last };
    let (first, last) = (value(field, first)?, value(field, last)?);
    if first > last {
        let (low, high) = bounds(field);
        let high = if field == CronField::DayOfWeek { 6 } else { high };
        return Err(format!("the range `{text}` runs backwards; write `{first}-{high},{low}-{last}`"));
    }
    Ok(format!("{first}-{last}"))
}

fn value(field: CronField, text: &str) -> Result<u32, String> {
    let named = |names: &[&str]| names.iter().zip(0..).find(|(name, _)| **name == text).map(|(_, n)| n);
    let name = match field {
        CronField::Month => named(&MONTHS).map(|month: u32| month + 1),
        CronField::DayOfWeek => named(&WEEKDAYS),
        _ => None,
    };
    if let Some(value) = name {
        return Ok(value);
    }
    let (low, high) = bounds(field);
    number(text).filter(|value| (low..=high).contains(value)).ok_or_else(|| {
        let names = match field {
            CronField::Month => " or a name, JAN to DEC",
            CronField::DayOfWeek => " or a name, SUN to SAT",
            _ => "",
        };
        format!("`{text}` is not a {field}: write {low} to {high}{names}")
    })
}

/// Digits and nothing else: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn bounds(field: CronField) -> (u32, u32) {
    match field {
        CronField::Hour => (0, 23),
        CronField::DayOfMonth => (1, 31),
        CronField::Month => (1, 12),
        CronField::DayOfWeek => (0, 7),
        _ => (0, 59),
    }
}
