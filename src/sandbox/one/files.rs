//! The PDF files of documents, in two steps with the bytes between them (ONe contract §3.10, §3.11).
//!
//! Where the bytes go is not documented; the switch `file-transfer` has the three ways there are. An upload that was begun
//! and never completed leaves nothing; a second one for the same document takes the place of the first once it is completed.

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::records::File;
use super::route::{Answer, Reply, text};
use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const BEGIN: &[Field] = &[
    must("number", Holds::Id),
    must("fileName", Holds::Id),
    must("contentType", Holds::OneOf(&["application/pdf"])),
    must("size", Holds::Integer),
];
const COMPLETE: &[Field] = &[must("uploadId", Holds::Id)];
const COMPLETE_INLINE: &[Field] = &[must("uploadId", Holds::Id), may("content", Holds::Id)];

/// Which documents.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Invoices,
    Notes,
}

/// The uploads of one kind of document by their ids.
pub(super) type Uploads = BTreeMap<String, Upload>;

/// One file on its way.
#[derive(Debug)]
pub(super) struct Upload {
    number: String,
    name: String,
    size: usize,
    content: Option<Bytes>,
    completed: bool,
}

impl State {
    fn uploads(&mut self, of: Of) -> &mut Uploads {
        match of {
            Of::Invoices => &mut self.invoice_uploads,
            Of::Notes => &mut self.note_uploads,
        }
    }

    fn any_upload(&mut self, id: &str) -> Result<&mut Upload, Refusal> {
        let upload = self.invoice_uploads.get_mut(id).or_else(|| self.note_uploads.get_mut(id));
        upload.ok_or_else(|| Refusal::not_found(format!("unknown upload `{id}`")))
    }
}

pub(super) fn begin(state: &mut State, request: &Incoming, of: Of) -> Answer {
    let body = request.json()?;
    check(request, "file", &body, BEGIN)?;
    let number = text(&body, "number");
    let documents = match of {
        Of::Invoices => &state.records.invoices,
        Of::Notes => &state.records.goods_issued_notes,
    };
    if !documents.contains_key(&number) {
        let what = format!("there is no document `{number}`: its content comes before its file");
        return Err(Refusal::broken(StatusCode::NOT_FOUND, "content-first", what));
    }
    let size = body["size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let upload = Upload { number, name: text(&body, "fileName"), size, content: None, completed: false };
    let id = state.uuid();
    state.uploads(of).insert(id.clone(), upload);
    let mut answer = json!({"uploadId": id});
    if state.switches.is("file-transfer", "url") {
        answer[state.switches.text("upload-url-field")] = Value::from(format!("{}/uploads/{id}", state.base));
    }
    Ok(Reply::Json(answer))
}

pub(super) fn put_bytes(state: &mut State, request: &Incoming, id: &str) -> Answer {
    transfer_by(state, "url")?;
    state.any_upload(id)?.content = Some(request.body.clone());
    Ok(Reply::Done)
}

pub(super) fn post_multipart(state: &mut State, request: &Incoming, id: &str) -> Answer {
    transfer_by(state, "multipart")?;
    let part = first_file(request)
        .ok_or_else(|| Refusal::bad("multipart", "the body is no multipart/form-data with a file in it"))?;
    state.any_upload(id)?.content = Some(part);
    Ok(Reply::Done)
}

pub(super) fn complete(state: &mut State, request: &Incoming, of: Of) -> Answer {
    let inline = state.switches.is("file-transfer", "inline");
    let twice = state.switches.text("complete-twice");
    let body = request.json()?;
    check(request, "file", &body, if inline { COMPLETE_INLINE } else { COMPLETE })?;
    let id = text(&body, "uploadId");
    let upload =
        state.uploads(of).get_mut(&id).ok_or_else(|| Refusal::not_found(format!("unknown upload `{id}`")))?;
    if upload.completed {
        return match twice.as_str() {
            "404" => Err(Refusal::not_found("this upload was completed before")),
            "409" => Err(Refusal::new(StatusCode::CONFLICT, "this upload was completed before")),
            _ => Ok(Reply::Done),
        };
    }
    if inline {
        let content = STANDARD.decode(text(&body, "content"));
        upload.content =
            Some(content.map_err(|_| Refusal::bad("base64", "file.content is no base64"))?.into());
    }
    let content = upload.content.clone().ok_or_else(|| {
        Refusal::bad("bytes-first", "nothing was transferred: the bytes come before the completion")
    })?;
    if content.len() != upload.size {
        let what = format!("{} bytes came, {} were announced", content.len(), upload.size);
        return Err(Refusal::bad("file-size", what));
    }
    if !content.starts_with(b"%PDF") {
        return Err(Refusal::bad("file-pdf", "the file is no PDF"));
    }
    upload.completed = true;
    let (number, name) = (upload.number.clone(), upload.name.clone());
    let files = match of {
        Of::Invoices => &mut state.records.invoice_files,
        Of::Notes => &mut state.records.goods_issued_note_files,
    };
    let uploads = files.get(&number).map_or(0, |file| file.uploads) + 1;
    files.insert(number, File { name, content, uploads });
    Ok(Reply::Done)
}

fn transfer_by(state: &State, way: &str) -> Result<(), Refusal> {
    if state.switches.is("file-transfer", way) {
        return Ok(());
    }
    Err(Refusal::broken(StatusCode::NOT_FOUND, "file-transfer", "files don't come this way here"))
}

/// The bytes of the first part that has a file name.
fn first_file(request: &Incoming) -> Option<Bytes> {
    let content_type = request.header("content-type")?.strip_prefix("multipart/form-data")?;
    let boundary = content_type.split_once("boundary=")?.1.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| {
        let rest = request.body.get(from..)?;
        rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let mut from = find(0, delimiter.as_bytes())? + delimiter.len();
    loop {
        let head_ends = find(from, b"\r\n\r\n")?;
        let start = head_ends + 4;
        let end = find(start, format!("\r\n{delimiter}").as_bytes())?;
        let head = String::from_utf8_lossy(request.body.get(from..head_ends)?).into_owned();
        if head.contains("filename") {
            return Some(request.body.slice(start..end));
        }
        from = end + 2 + delimiter.len();
    }
}
