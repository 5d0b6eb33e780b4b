//! `cadenced next`: when jobs, or a cron expression, are due. Pure: what is printed depends on the configuration,
//! the arguments and the time given, and is written while it is computed.

use super::args::{Format, Next};
use super::output::{Exit, Stop, json_line, offset, say};
use super::place::{Place, job};
use crate::schedule::{Slots, Timetable, splay_of};
use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::iter::{Peekable, Take};
use std::path::Path;
use std::time::Duration;

const USUAL_COUNT: usize = 10;
/// What one line of a batch may ask for.
const BATCH_COUNT_LIMIT: usize = 100_000;

pub(super) fn next(
    place: &Place,
    args: &Next,
    now: DateTime<Utc>,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    if let Some(file) = &args.batch {
        return batch(open(file)?, now, out);
    }
    if let Some(expression) = &args.cron {
        let timetable = Timetable::cron(expression, args.timezone.unwrap_or(Tz::UTC))
            .map_err(|bad| Stop::new(Exit::Config, bad.to_string()))?;
        return print(vec![Row::new(None, &timetable, args, now)?], args.format, out);
    }
    let loaded = place.load()?;
    let mut rows = Vec::new();
    if args.jobs.is_empty() {
        for job in loaded.jobs.values() {
            if let Some(timetable) = job.trigger.timetable() {
                rows.push(Row::new(Some(job.name.as_str()), timetable, args, now)?);
            }
        }
    }
    for name in &args.jobs {
        let job = job(&loaded, name)?;
        match job.trigger.timetable() {
            Some(timetable) => rows.push(Row::new(Some(job.name.as_str()), timetable, args, now)?),
            None => say(format!("{name}: no slots of its own, it is due {}", job.when())),
        }
    }
    print(rows, args.format, out)
}

/// The slots of one job, or of an expression.
struct Row<'a> {
    job: Option<&'a str>,
    zone: Tz,
    /// How long after a slot the job starts.
    splay: Duration,
    slots: Peekable<Take<Slots>>,
}

impl<'a> Row<'a> {
    fn new(
        job: Option<&'a str>,
        timetable: &Timetable,
        args: &Next,
        now: DateTime<Utc>,
    ) -> Result<Self, Stop> {
        let zone = timetable.zone();
        let bad = |option: &str, message| Stop::new(Exit::Usage, format!("--{option}: {message}"));
        let instant = |text: &str| instant(text, zone);
        let from = args.from.as_deref().map(instant).transpose().map_err(|message| bad("from", message))?;
        let until =
            args.until.as_deref().map(instant).transpose().map_err(|message| bad("until", message))?;
        let count = args.count.unwrap_or(if until.is_some() { usize::MAX } else { USUAL_COUNT });
        let slots = timetable.slots(from.unwrap_or(now), until.unwrap_or(DateTime::<Utc>::MAX_UTC));
        let splay = job.map_or(Duration::ZERO, |job| splay_of(job, timetable.spec().splay));
        Ok(Self { job, zone, splay, slots: slots.take(count).peekable() })
    }
}

/// Reads an instant: RFC 3339, or a local reading (a date means its midnight; of two, the earlier).
fn instant(text: &str, zone: Tz) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))
        .ok_or_else(|| {
            format!("`{text}` is not a time: write 2026-03-29T03:00:00+02:00, or a local 2026-03-29T03:00:00")
        })?;
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Ok(at.to_utc()),
        MappedLocalTime::None => {
            Err(format!("the clocks of {zone} never show `{text}`; give it with an offset"))
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    at: String,
}

/// Prints the slots of all rows in the order of time.
fn print(mut rows: Vec<Row<'_>>, format: Format, out: &mut impl Write) -> Result<Exit, Stop> {
    loop {
        let earliest =
            rows.iter_mut().filter_map(|row| Some((*row.slots.peek()?, row))).min_by_key(|(at, _)| *at);
        let Some((at, row)) = earliest else {
            return Ok(Exit::Ok);
        };
        row.slots.next();
        let line = Line { job: row.job, at: offset(at, row.zone) };
        match (format, line.job) {
            (Format::Json, _) => json_line(out, &line)?,
            (Format::Text, Some(job)) if !row.splay.is_zero() => {
                writeln!(out, "{}  {job}  starts {} s later", line.at, row.splay.as_secs_f64())?;
            }
            (Format::Text, Some(job)) => writeln!(out, "{}  {job}", line.at)?,
            (Format::Text, None) => writeln!(out, "{}", line.at)?,
        }
    }
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    cron: String,
    timezone: Option<String>,
    from: Option<String>,
    until: Option<String>,
    count: Option<usize>,
}

#[derive(Serialize)]
struct Reply {
    id: Value,
    #[serde(flatten)]
    result: Answered,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answered {
    At(Vec<String>),
    Error(String),
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Stop> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    match File::open(file) {
        Ok(opened) => Ok(Box::new(BufReader::new(opened))),
        Err(error) => Err(Stop::new(Exit::Usage, format!("{}: {error}", file.display()))),
    }
}

/// Answers each line that is not blank with one line, in order.
fn batch(lines: impl BufRead, now: DateTime<Utc>, out: &mut impl Write) -> Result<Exit, Stop> {
    for line in lines.split(b'\n') {
        let line =
            line.map_err(|error| Stop::new(Exit::Usage, format!("the batch can't be read: {error}")))?;
        if !line.trim_ascii().is_empty() {
            json_line(out, &answer(&line, now))?;
        }
    }
    Ok(Exit::Ok)
}

fn answer(line: &[u8], now: DateTime<Utc>) -> Reply {
    match serde_json::from_slice::<Request>(line) {
        Ok(request) => {
            let result = slots_of(&request, now).map_or_else(Answered::Error, Answered::At);
            Reply { id: request.id, result }
        }
        Err(error) => {
            // Say whose mistake it is, if that much can be read.
            let value = serde_json::from_slice::<Value>(line).unwrap_or_default();
            let id = value.get("id").cloned().unwrap_or_default();
            Reply { id, result: Answered::Error(format!("not a request: {error}")) }
        }
    }
}

fn slots_of(request: &Request, now: DateTime<Utc>) -> Result<Vec<String>, String> {
    let name = request.timezone.as_deref().unwrap_or("UTC");
    let zone: Tz = name.parse().map_err(|_| format!("`{name}` is not an IANA time zone"))?;
    let timetable = Timetable::cron(&request.cron, zone).map_err(|bad| bad.to_string())?;
    let instant = |text: &str| instant(text, zone);
    let from = request.from.as_deref().map(instant).transpose()?.unwrap_or(now);
    let until = request.until.as_deref().map(instant).transpose()?.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let count = request.count.unwrap_or(USUAL_COUNT);
    if count > BATCH_COUNT_LIMIT {
        return Err(format!("`count` is {BATCH_COUNT_LIMIT} at most"));
    }
    Ok(timetable.slots(from, until).take(count).map(|at| offset(at, zone)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    const NOW: &str = "2026-03-28T12:00:00Z";

    fn run(arguments: &[&str]) -> Result<String, Stop> {
        let cli = Cli::try_parse_from([&["cadenced", "next"], arguments].concat()).unwrap();
        let Command::Next(args) = cli.command else { panic!("not next") };
        let mut out = Vec::new();
        let place = Place { config: None, state: None };
        next(&place, &args, NOW.parse().unwrap(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_slot_in_the_gap_is_printed_at_the_first_instant_after_it() {
        let text = run(&[
            "--cron",
            "0 30 2 * * *",
            "--timezone",
            "Europe/Warsaw",
            "--count",
            "2",
            "--format",
            "json",
        ]);
        assert_eq!(
            text.unwrap(),
            "{\"at\":\"2026-03-29T03:00:00+02:00\"}\n{\"at\":\"2026-03-30T02:30:00+02:00\"}\n"
        );
    }

    #[test]
    fn from_counts_and_until_does_not() {
        let day = ["--from", "2026-03-29T00:00:00Z", "--until", "2026-03-29T06:00:00Z"];
        let text = run(&[&["--cron", "0 0 */3 * * *"], &day[..]].concat()).unwrap();
        assert_eq!(text, "2026-03-29T00:00:00+00:00\n2026-03-29T03:00:00+00:00\n");
    }

    #[test]
    fn without_count_or_until_ten_slots_are_printed() {
        assert_eq!(run(&["--cron", "* * * * * *"]).unwrap().lines().count(), 10);
        let hour = ["--from", "2026-03-29T00:00", "--until", "2026-03-29T01:00"];
        assert_eq!(run(&[&["--cron", "* * * * * *"], &hour[..]].concat()).unwrap().lines().count(), 3600);
    }

    #[test]
    fn a_start_that_is_delayed_behind_its_slot_is_shown_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cadenced.toml");
        std::fs::write(&file, "[job.a]\ncron = \"0 0 * * * *\"\nsplay = \"30s\"\n").unwrap();
        let cli = Cli::try_parse_from(["cadenced", "next", "--count", "1"]).unwrap();
        let Command::Next(args) = cli.command else { panic!("not next") };
        let mut out = Vec::new();
        next(&Place { config: Some(file), state: None }, &args, NOW.parse().unwrap(), &mut out).unwrap();
        let seconds = splay_of("a", Duration::from_secs(30)).as_secs_f64();
        let line = format!("2026-03-28T12:00:00+00:00  a  starts {seconds} s later\n");
        assert_eq!(String::from_utf8(out).unwrap(), line);
    }

    #[test]
    fn a_bad_expression_is_a_configuration_error_and_a_bad_time_is_bad_usage() {
        assert_eq!(run(&["--cron", "0 61 * * * *"]).unwrap_err().exit, Exit::Config);
        assert_eq!(run(&["--cron", "0 1 * * * *", "--from", "soon"]).unwrap_err().exit, Exit::Usage);
        let gap =
            run(&["--cron", "0 1 * * * *", "--timezone", "Europe/Warsaw", "--from", "2026-03-29 02:30"]);
        assert!(gap.unwrap_err().message.contains("never show"));
    }

    #[test]
    fn each_line_of_a_batch_is_answered_and_a_bad_one_harms_no_other() {
        let lines = r#"{"id":"a","cron":"0 30 2 * * *","timezone":"Europe/Warsaw","from":"2026-03-29T00:00:00","count":1}
{"id":2,"cron":"0 61 * * * *"}

{"id":3}
nonsense
{"id":"e","cron":"0 0 0 1 1 *","timezone":"Mars/Olympus"}
{"id":"f","cron":"0 0 12 * * *","count":2}
"#;
        let mut out = Vec::new();
        batch(lines.as_bytes(), NOW.parse().unwrap(), &mut out).unwrap();
        let answers: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), 6);
        assert_eq!(answers[0].to_string(), r#"{"id":"a","at":["2026-03-29T03:00:00+02:00"]}"#);
        let errors: Vec<&Value> = answers[1..5].iter().map(|answer| &answer["id"]).collect();
        assert_eq!(errors, [&Value::from(2), &Value::from(3), &Value::Null, &Value::from("e")]);
        assert!(answers[1..5].iter().all(|answer| answer["error"].is_string()));
        assert_eq!(answers[5]["at"][1], "2026-03-29T12:00:00+00:00");
    }
}
