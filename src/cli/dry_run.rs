//! `cadenced once JOB --dry-run` and `cadenced try JOB`: what a run would send, as people and programs read it.

use super::args::Format;
use super::output::{Exit, Stop, counted, json_line, say};
use crate::connectors::{Preview, PreviewedRequest, Tried};
use serde_json::Value;
use std::io::Write;

/// As much of a request's body is printed for people, in bytes.
const SHOWN_BODY: usize = 4096;

/// The exit code is that of the preview, not of the run it stands for.
pub(super) fn print(preview: &Preview, format: Format, out: &mut impl Write) -> Result<Exit, Stop> {
    match format {
        Format::Json => json_line(out, preview)?,
        Format::Text => print_text(preview, out)?,
    }
    say("nothing was sent and nothing was written");
    Ok(Exit::Ok)
}

/// Exits with 2 where a row would be rejected.
pub(super) fn print_tried(preview: &Preview, format: Format, out: &mut impl Write) -> Result<Exit, Stop> {
    let rejected = preview.tried.iter().filter(|tried| tried.rejected.is_some()).count() as u64;
    match format {
        Format::Json => json_line(out, preview)?,
        Format::Text => {
            let tried = counted(preview.tried.len() as u64, "row");
            writeln!(out, "{}: {tried} tried, {rejected} rejected or left out", preview.job)?;
            for (number, Tried { step, row, record, rejected, request }) in (1..).zip(&preview.tried) {
                writeln!(out, "\nrow {number}    {}", Value::Object(row.clone()))?;
                if let Some(step) = step {
                    writeln!(out, "  step    {step}")?;
                }
                if let Some(record) = record {
                    writeln!(out, "  record  {record}")?;
                }
                if let Some(reason) = rejected {
                    writeln!(out, "  rejected  {reason}")?;
                }
                if let Some(request) = request {
                    writeln!(out, "  request {request}")?;
                }
            }
            for (number, request) in (1..).zip(&preview.requests) {
                write!(out, "\nrequest {number}:")?;
                print_request(request, out)?;
            }
        }
    }
    say("no record was sent and nothing was written");
    Ok(if rejected > 0 { Exit::Partial } else { Exit::Ok })
}

fn print_text(preview: &Preview, out: &mut impl Write) -> Result<(), Stop> {
    let job = &preview.job;
    match &preview.counts {
        Some(counts) => {
            let total = counted(preview.requests.len() as u64 + preview.more_requests, "request");
            writeln!(
                out,
                "{job}: {} read: {} new, {} changed, {} unchanged, {} gone; {total} would be sent",
                counts.read, counts.new, counts.changed, counts.unchanged, counts.gone
            )?;
            if counts.missing > 0 {
                let missing = counted(counts.missing, "known record");
                writeln!(out, "{missing} missing for the first time: gone if the next read misses them too")?;
            }
            if counts.waiting > 0 {
                writeln!(out, "{} waiting for a parent", counted(counts.waiting, "record"))?;
            }
            if counts.in_doubt > 0 {
                let doubt = "sent by a run that was cut off, to be looked up or parked";
                writeln!(out, "{} {doubt}", counted(counts.in_doubt, "record"))?;
            }
            if counts.rejected > 0 {
                writeln!(out, "{} can't be sent at all", counted(counts.rejected, "row"))?;
            }
        }
        None => writeln!(out, "{job}: its first request; what follows depends on the answer")?,
    }
    for rejected in &preview.rejected {
        writeln!(out, "  rejected: {}: {}", rejected.key, rejected.reason)?;
    }
    if let Some(stop) = &preview.stops {
        writeln!(out, "the run would say: {stop}")?;
    }
    for request in &preview.requests {
        print_request(request, out)?;
    }
    if preview.more_requests > 0 {
        writeln!(out, "\n… and {}", counted(preview.more_requests, "more request"))?;
    }
    Ok(())
}

fn print_request(request: &PreviewedRequest, out: &mut impl Write) -> Result<(), Stop> {
    writeln!(out, "\n{} {}{}", request.method, request.origin, request.path)?;
    for (name, value) in &request.headers {
        writeln!(out, "{name}: {value}")?;
    }
    if let Some(body) = &request.body {
        let shown = &body[..body.floor_char_boundary(SHOWN_BODY)];
        let more = match request.body_bytes.saturating_sub(shown.len() as u64) {
            0 => String::new(),
            left => format!("… and {}, which `--format json` shows", counted(left, "more byte")),
        };
        writeln!(out, "\n{shown}{more}")?;
    }
    Ok(())
}
