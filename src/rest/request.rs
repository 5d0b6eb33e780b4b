//! What is asked of a platform and what it answers, as values. Sending is [`super::Client`]'s.

use super::auth::Proof;
use super::said;
use crate::transfer::{Class, Failure};
use crate::words::Template;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Everything but the characters that mean nothing in any part of an address; a space is `%20`, never `+`.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As much of an answer is kept with a reject, in bytes.
const KEPT: usize = 2048;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path with its placeholders filled and encoded ([`expand_path`]); appended to the connection's address.
    pub path: String,
    /// The query, not yet encoded.
    pub query: Vec<(String, String)>,
    /// The body, JSON.
    pub body: Option<Bytes>,
    /// Whether it may be sent again after it was perhaps carried out.
    pub idempotent: bool,
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get(path: String, query: Vec<(String, String)>) -> Self {
        Self { method: Method::GET, path, query, body: None, idempotent: true }
    }

    /// How it is named in messages and logs: without its query and without the connection's own address, either of
    /// which may hold a key.
    #[must_use]
    pub fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    /// The query as it is sent.
    pub(super) fn encoded_query(&self) -> Option<String> {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let pairs: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

/// A path that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A placeholder without a value.
    #[error("the path's `{{{0}}}` has no value")]
    Missing(String),
    /// A value that would make it the path of something else.
    #[error("the path's `{{{0}}}` is empty, `.` or `..`: that would be the path of something else")]
    Misleading(String),
}

/// Fills a path's placeholders, each value percent-encoded whole: `OF/22/8` becomes `OF%2F22%2F8`.
pub fn expand_path(path: &Template, value: impl Fn(&str) -> Option<String>) -> Result<String, BadPath> {
    let misleading = Cell::new(None);
    let filled = path.fill(|name| {
        let value = value(name)?;
        if matches!(value.as_str(), "" | "." | "..") {
            misleading.set(Some(name.to_owned()));
        }
        Some(utf8_percent_encode(&value, RESERVED).to_string())
    });
    let filled = filled.map_err(|name| BadPath::Missing(name.to_owned()))?;
    misleading.into_inner().map_or(Ok(filled), |name| Err(BadPath::Misleading(name)))
}

/// One answer, complete.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The server's clock reading.
    pub date: Option<DateTime<Utc>>,
    /// From sending the request to the answer's first byte.
    pub took: Duration,
    /// The media type it claims, lower case, without parameters.
    pub content_type: Option<String>,
    /// The charset its Content-Type names.
    pub charset: Option<String>,
    /// What it carries.
    pub body: Body,
    /// The `Location`, as it came.
    pub(super) location: Option<String>,
    /// How long the server asks to wait.
    pub(super) hint: Option<Duration>,
    /// When its first byte came.
    pub(super) received: Instant,
    /// The request it answers.
    pub(super) shown: String,
    pub(super) proof: Arc<Proof>,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The server's own words, at most 200 characters, without our secrets.
    #[must_use]
    pub fn words(&self) -> String {
        self.proof.redact(said::words_of(self.body.head()))
    }

    /// The same, or that there are none.
    pub(super) fn words_or_none(&self) -> String {
        let words = self.words();
        if words.is_empty() { "the answer says nothing more".to_owned() } else { words }
    }

    /// The failure this answer is, for whoever can't accept it.
    #[must_use]
    pub fn refusal(&self) -> Failure {
        self.failure(Class::Refused)
    }

    /// The failure this answer is, as this class.
    #[must_use]
    pub fn failure(&self, class: Class) -> Failure {
        let words = self.words_or_none();
        let message = self.proof.redact(format!("{}: {}: {words}", self.shown, self.status));
        Failure::new(class, message)
    }

    /// The failure that a page for people is, where a program was asked.
    pub(super) fn no_answer(&self) -> Failure {
        let words = self.words_or_none();
        let message =
            format!("{}: {}: a page (HTML or XML) instead of an answer: {words}", self.shown, self.status);
        Failure::new(Class::Answer, self.proof.redact(message))
    }

    /// Status and the beginning of the body, without our secrets, to be kept with a reject.
    pub(super) fn kept(&self) -> String {
        let head = self.body.head();
        let text = String::from_utf8_lossy(&head[..head.len().min(2 * KEPT)]);
        let mut kept = self.proof.redact(format!("{}: {text}", self.status));
        kept.truncate(kept.floor_char_boundary(KEPT));
        kept
    }

    /// Puts this request and status before words of the answer, and takes our secrets out of them.
    pub(super) fn into_naming(self) -> Box<dyn Fn(&str) -> String + Send> {
        let Self { proof, shown, status, .. } = self;
        Box::new(move |words| proof.redact(format!("{shown}: {status}: {words}")))
    }
}

/// What an answer carries: in memory while it is small, in an unnamed temporary file above.
#[derive(Debug)]
pub struct Body {
    /// The whole of a small body, the beginning of a large one.
    pub(super) head: Bytes,
    pub(super) spooled: Option<File>,
    pub(super) len: u64,
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole body, if it is small enough to be in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.spooled.is_none().then_some(&self.head)
    }

    /// Its beginning: 64 KiB of a spooled body, else all of it.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Reads it from the beginning, as often as needed, one reader at a time. It blocks on a file: call it and read
    /// in `spawn_blocking`.
    pub fn reader(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &mut self.spooled {
            Some(file) => {
                file.rewind()?;
                Box::new(file)
            }
            None => Box::new(&*self.head),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_value_stays_one_segment() {
        let path = Template::new("/a/{id}/x").unwrap();
        for (value, expanded) in [
            ("OF/22/8/2022/01", "/a/OF%2F22%2F8%2F2022%2F01/x"),
            ("org:8872", "/a/org%3A8872/x"),
            ("a?b#c d%e+f", "/a/a%3Fb%23c%20d%25e%2Bf/x"),
            ("łódź", "/a/%C5%82%C3%B3d%C5%BA/x"),
            ("v1.2_b-c~d", "/a/v1.2_b-c~d/x"),
        ] {
            assert_eq!(expand_path(&path, |_| Some(value.to_owned())).as_deref(), Ok(expanded));
        }
        for value in ["", ".", ".."] {
            let refused = expand_path(&path, |_| Some(value.to_owned()));
            assert_eq!(refused, Err(BadPath::Misleading("id".to_owned())), "{value:?}");
        }
        assert_eq!(expand_path(&path, |_| None), Err(BadPath::Missing("id".to_owned())));
    }

    #[test]
    fn a_query_is_encoded_with_percent_signs_and_never_shown() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let query = vec![pair("date", "1999-01-01 01:00:00"), pair("status[]", "a&b")];
        let request = Request::get("/orders?key=k".to_owned(), query);
        let encoded = request.encoded_query();
        assert_eq!(encoded.as_deref(), Some("date=1999-01-01%2001%3A00%3A00&status%5B%5D=a%26b"));
        assert_eq!(request.shown(), "GET /orders");
    }
}
