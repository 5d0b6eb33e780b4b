//! The steps of one upload: what is asked, what is sent, and what each answer means for what comes next.

use super::progress::{Begun, Reached, Uploading};
use super::{End, How, Refused, Uploads, untellable};
use crate::crash;
use crate::job;
use crate::job::map::plain_text;
use crate::job::push::Verify;
use crate::job::upload::{Call, Multipart, Transfer, UPLOAD_ID};
use crate::rest::Client;
use crate::rest::lookup::{Sight, look};
use crate::rest::payload::{Destination, Payload};
use crate::rest::push::{RestSink, method};
use crate::rest::request::{Request, expand_path};
use crate::rest::rows::fields_of;
use crate::rest::verdict::{self, Verdict};
use crate::transfer::files::{Content, RecordFile, hex};
use crate::transfer::{Class, Exchange, Failure, Record};
use crate::words::{FieldPath, Template};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

/// A record and its file, and what it takes to bring it to the platform.
pub(super) struct Carried<'a> {
    pub(super) sink: &'a RestSink,
    pub(super) uploads: &'a Uploads,
    pub(super) record: &'a Record,
    pub(super) file: RecordFile,
}

/// What the platform said to one step.
enum Said {
    Fine(Option<Value>),
    Refused(Refused),
}

impl Carried<'_> {
    fn client(&self) -> &Client {
        &self.sink.client
    }

    pub(super) async fn go(&self, uploading: &mut Uploading) -> Result<How, End> {
        let sha256 = &self.file.sha256;
        if let Some(begun) = uploading.begun.clone() {
            if begun.sha256 == *sha256 && begun.reached >= Reached::Sent {
                info!(key = self.record.key, "takes up an upload that was interrupted");
                if self.complete(uploading, true).await? {
                    return Ok(How::Resumed);
                }
            } else if begun.reached == Reached::Completing {
                // Which file the platform has now is not known.
                uploading.done = None;
            } else {
                self.abort(&begun.id).await;
            }
            uploading.begun = None;
        }
        if uploading.done.as_ref() == Some(sha256) {
            return Ok(How::Known);
        }
        let address = self.begin(uploading).await?;
        self.transfer(uploading, address).await?;
        self.complete(uploading, false).await?;
        Ok(How::Completed)
    }

    /// Begins; gives the address for the bytes, if the platform gave one.
    async fn begin(&self, uploading: &mut Uploading) -> Result<Option<String>, End> {
        let file = self.file.clone();
        let looked = tokio::task::spawn_blocking(move || file.is_unchanged()).await;
        match looked.map_err(std::io::Error::other).and_then(|looked| looked) {
            Ok(true) => {}
            Ok(false) => {
                return Err(End::Later(format!("the file `{}` changed since it was read", self.file.name)));
            }
            Err(error) => {
                return Err(End::Later(format!(
                    "the file `{}` can't be read any more: {error}",
                    self.file.name
                )));
            }
        }
        let request = self.sink.beginning(self.record).map_err(untellable)?;
        let shown = request.shown();
        let document = match self.ask(&request, None).await? {
            Said::Fine(document) => document.unwrap_or_default(),
            Said::Refused(refused) => return Err(End::Refused(Refused { at_begin: true, ..refused })),
        };
        crash::point("upload-after-begin").await;
        let upload = &self.uploads.upload;
        let id = upload.id.find(&document).filter(|id| id.is_string() || id.is_number());
        let Some(id) = id.cloned() else {
            return Err(untellable(format!(
                "{shown}: the answer has no id of the upload at `{}`",
                upload.id
            )));
        };
        let address = upload.url.iter().find_map(|path| path.find(&document)?.as_str().map(str::to_owned));
        let sha256 = self.file.sha256.clone();
        uploading.begun = Some(Begun { id, sha256, inline: false, reached: Reached::Begun });
        self.keep(uploading).await?;
        crash::point("upload-after-step").await;
        Ok(address)
    }

    /// Brings the bytes there.
    async fn transfer(&self, uploading: &mut Uploading, address: Option<String>) -> Result<(), End> {
        let job::Upload { transfer, multipart, .. } = &self.uploads.upload;
        let is_possible = |way: &&Transfer| match way {
            Transfer::Url => address.is_some(),
            Transfer::Inline => true,
            Transfer::Multipart => multipart.is_some(),
        };
        let way = transfer.iter().find(is_possible);
        let said = match (way, address, multipart) {
            (Some(Transfer::Url), Some(address), _) => match self.destination(&address) {
                Ok(to) => self.send(Method::PUT, "(the upload's address)".to_owned(), None, Some(to)).await?,
                Err(why) => Said::Refused(Refused { status: 0, at_begin: false, words: why, exchange: None }),
            },
            (Some(Transfer::Multipart), _, Some(Multipart { path, part })) => {
                match self.path(path, uploading.begun.as_ref().map(|begun| &begun.id)) {
                    Ok(path) => self.send(Method::POST, path, Some(part.clone()), None).await?,
                    Err(why) => return Err(untellable(why)),
                }
            }
            (Some(Transfer::Inline), ..) => {
                if let Some(begun) = &mut uploading.begun {
                    begun.inline = true;
                }
                return Ok(());
            }
            _ => {
                let words = "the platform gave no address for the bytes, and `transfer` knows no other way"
                    .to_owned();
                Said::Refused(Refused { status: 0, at_begin: false, words, exchange: None })
            }
        };
        if let Said::Refused(refused) = said {
            self.give_up(uploading).await;
            return Err(End::Refused(refused));
        }
        crash::point("upload-after-bytes").await;
        self.reach(uploading, Reached::Sent).await
    }

    /// Completes; `false` if the platform does not know the upload any more, which only one that is taken up may meet.
    async fn complete(&self, uploading: &mut Uploading, is_taken_up: bool) -> Result<bool, End> {
        let upload = &self.uploads.upload;
        let Some(begun) = uploading.begun.clone() else { return Ok(false) };
        let request = request_of(&upload.complete, self.record, Some(&begun.id), false);
        let mut request = request.map_err(untellable)?;
        if begun.inline {
            self.put_inside(&mut request).await?;
        }
        // A platform may say of an upload that it completed that it is not there.
        let mut was_asked = begun.reached == Reached::Completing;
        if !was_asked {
            self.reach(uploading, Reached::Completing).await?;
        }
        crash::point("upload-before-complete").await;
        let refused = loop {
            match self.ask(&request, None).await {
                Ok(Said::Fine(_)) => break None,
                Ok(Said::Refused(refused)) => break Some(refused),
                Err(failure) if !was_asked && matches!(failure.class, Class::Unknown | Class::Answer) => {
                    was_asked = true;
                }
                Err(failure) => return Err(End::Failed(failure)),
            }
        };
        crash::point("upload-after-complete").await;
        if let Some(refused) = refused {
            let is_done = was_asked && upload.done_on.contains(&refused.status);
            match (is_done, &self.sink.push.verify) {
                (true, None) => {}
                (true, Some(verify)) => match self.is_there(verify).await? {
                    true => {}
                    false if is_taken_up => return Ok(false),
                    false => {
                        uploading.begun = None;
                        return Err(End::Later(format!("{}, and it is not there", refused.words)));
                    }
                },
                (false, _) => {
                    self.give_up(uploading).await;
                    return if is_taken_up { Ok(false) } else { Err(End::Refused(refused)) };
                }
            }
        }
        *uploading = Uploading { done: Some(self.file.sha256.clone()), begun: None };
        Ok(true)
    }

    async fn is_there(&self, verify: &Verify) -> Result<bool, End> {
        match look(self.client(), verify, &[], self.record).await? {
            Sight::There(_) => Ok(true),
            Sight::Missing => Ok(false),
            Sight::Unknowable(why) => {
                Err(End::Later(format!("whether the upload was completed is not known: {why}")))
            }
        }
    }

    /// Puts the bytes into the completion's body.
    async fn put_inside(&self, request: &mut Request) -> Result<(), End> {
        let bytes = match &self.file.content {
            Content::Held(bytes) => bytes.clone(),
            Content::At(path) => {
                let read = tokio::fs::read(path).await;
                read.map_err(|error| {
                    End::Later(format!("the file `{}` can't be read: {error}", self.file.name))
                })?
                .into()
            }
        };
        if hex(&Sha256::digest(&bytes)) != self.file.sha256 {
            return Err(End::Later(format!("the file `{}` changed since it was read", self.file.name)));
        }
        let mut body = match &request.body {
            Some(body) => serde_json::from_slice(body).unwrap_or_default(),
            None => json!({}),
        };
        body[&self.uploads.upload.inline] = STANDARD.encode(bytes).into();
        request.body = Some(body.to_string().into());
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        part: Option<String>,
        to: Option<Destination>,
    ) -> Result<Said, Failure> {
        // The same bytes for the same upload: a second time changes nothing.
        let request = Request { method, path, query: Vec::new(), body: None, idempotent: true };
        let media_type = self.uploads.upload.file.kind.media_type();
        let payload = Payload { file: self.file.clone(), media_type, part, to };
        self.ask(&request, Some(&payload)).await
    }

    async fn ask(&self, request: &Request, payload: Option<&Payload>) -> Result<Said, Failure> {
        let answer = self.client().call_with(request, payload, |_| false).await?;
        let (shown, status, kept) = (request.shown(), answer.status, answer.kept());
        let (answer, words) = match status {
            200..=299 => {
                let (answer, document) = verdict::document_of(answer).await?;
                match verdict::of(document.as_ref(), &[self.record]) {
                    Verdict::Accepted => return Ok(Said::Fine(document)),
                    Verdict::Refused(words) | Verdict::Unclear(words) => (answer, words),
                    Verdict::Each(refused) => {
                        (answer, refused.into_iter().map(|(_, refusal)| refusal.words).collect())
                    }
                }
            }
            405 | 406 | 414 | 415 => return Err(answer.failure(Class::Config)),
            _ => {
                let words = answer.words_or_none();
                (answer, words)
            }
        };
        let words = (answer.into_naming())(&words);
        let exchange = Some(Exchange { request: shown, answer: kept });
        Ok(Said::Refused(Refused { status, at_begin: false, words, exchange }))
    }

    /// Where an address of the platform's leads, if bytes may go there.
    fn destination(&self, address: &str) -> Result<Destination, String> {
        let wrong = |why: String| format!("the address that the platform gave for the bytes {why}");
        let base = self.client().base();
        let url = Url::parse(base)
            .and_then(|base| base.join(address))
            .map_err(|error| wrong(format!("is none: {error}")))?;
        let origin = url.origin().ascii_serialization();
        let is_foreign = !Url::parse(base).is_ok_and(|base| base.origin() == url.origin());
        if is_foreign && !self.uploads.upload.url_origins.contains(&origin) {
            return Err(wrong(format!("is of {origin}, which `url-origins` does not name")));
        }
        Ok(Destination { url, is_foreign })
    }

    fn path(&self, path: &Template, id: Option<&Value>) -> Result<String, String> {
        let text = |name: &str| value_of(name, self.record, id).map(|value| plain_text(&value));
        expand_path(path, text).map_err(|error| error.to_string())
    }

    async fn reach(&self, uploading: &mut Uploading, reached: Reached) -> Result<(), End> {
        if let Some(begun) = &mut uploading.begun {
            begun.reached = reached;
        }
        Ok(self.keep(uploading).await?)
    }

    async fn keep(&self, uploading: &Uploading) -> Result<(), Failure> {
        self.uploads.steps.keep(&self.record.key, uploading).await
    }

    async fn give_up(&self, uploading: &mut Uploading) {
        if let Some(begun) = uploading.begun.take() {
            self.abort(&begun.id).await;
        }
    }

    /// Removes an upload that won't be completed. What can't be removed does no harm.
    async fn abort(&self, id: &Value) {
        let Some(abort) = &self.uploads.upload.abort else { return };
        let said = match request_of(abort, self.record, Some(id), true) {
            Ok(request) => self.client().call(&request).await.map_err(|failure| failure.message),
            Err(why) => Err(why),
        };
        match said {
            Ok(answer) if answer.is_success() || matches!(answer.status, 404 | 410) => {}
            Ok(answer) => warn!(key = self.record.key, "an upload was not removed: {}", answer.refusal()),
            Err(why) => warn!(key = self.record.key, "an upload was not removed: {why}"),
        }
    }
}

/// The request that a call is for this record; an error where it lacks a field.
pub(super) fn request_of(
    call: &Call,
    record: &Record,
    id: Option<&Value>,
    idempotent: bool,
) -> Result<Request, String> {
    let value = |name: &str| value_of(name, record, id);
    let path = expand_path(&call.path, |name| value(name).map(|value| plain_text(&value)));
    let path = path.map_err(|error| error.to_string())?;
    let body = fill(&call.body, &value)?;
    let body = (!body.is_null()).then(|| body.to_string().into());
    Ok(Request { method: method(call.method), path, query: Vec::new(), body, idempotent })
}

fn value_of(name: &str, record: &Record, id: Option<&Value>) -> Option<Value> {
    if name == UPLOAD_ID {
        return id.cloned();
    }
    let value = fields_of(&record.content, &[FieldPath::new(name).ok()?]).pop().flatten()?;
    (!value.is_null()).then_some(value)
}

/// The JSON with the placeholders of its texts filled.
fn fill(template: &Value, value: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
    let lacking = |name: &str| format!("the record has no `{name}` to tell the platform");
    Ok(match template {
        Value::String(text) => {
            let template = Template::new(text).map_err(|error| error.to_string())?;
            match template.sole_placeholder() {
                Some(name) => value(name).ok_or_else(|| lacking(name))?,
                None => {
                    let text = |name: &str| value(name).map(|value| plain_text(&value));
                    template.fill(text).map_err(lacking)?.into()
                }
            }
        }
        Value::Array(items) => items.iter().map(|item| fill(item, value)).collect::<Result<_, _>>()?,
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, template)| Ok((name.clone(), fill(template, value)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}
