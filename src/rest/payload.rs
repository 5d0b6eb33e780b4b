//! A file in place of a request's body: streamed from where it is, for each try anew, to the platform or to an address
//! that the platform gave.

use crate::transfer::files::{Content, RecordFile, hex};
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder, Url};
use sha2::{Digest as _, Sha256};
use std::io;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// What is read of a file at a time.
const PIECE: u64 = 64 << 10;

/// A file on its way.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) file: RecordFile,
    pub(super) media_type: &'static str,
    /// The name of its part, where it goes as `multipart/form-data`.
    pub(super) part: Option<String>,
    /// Where it goes, if not to the connection.
    pub(super) to: Option<Destination>,
}

/// An address that the platform gave.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) url: Url,
    /// Whether it is of another origin than the connection, which gets no credentials.
    pub(super) is_foreign: bool,
}

impl Payload {
    pub(super) fn address(&self) -> Option<&Url> {
        self.to.as_ref().map(|to| &to.url)
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.is_foreign)
    }

    /// The request with the file.
    pub(super) async fn attach(&self, request: RequestBuilder) -> io::Result<RequestBuilder> {
        let body = self.body().await?;
        let RecordFile { size, name, .. } = &self.file;
        let media_type = HeaderValue::from_static(self.media_type);
        let Some(part) = &self.part else {
            let request = request.header(CONTENT_TYPE, media_type).header(CONTENT_LENGTH, *size);
            return Ok(request.body(body));
        };
        let file = Part::stream_with_length(body, *size).file_name(name.clone());
        let file = file.mime_str(self.media_type).map_err(io::Error::other)?;
        Ok(request.multipart(Form::new().part(part.clone(), file)))
    }

    async fn body(&self) -> io::Result<Body> {
        let path = match &self.file.content {
            Content::Held(bytes) => return Ok(bytes.clone().into()),
            Content::At(path) => path,
        };
        let begin = (File::open(path).await?, Sha256::new(), self.file.size);
        let expected = self.file.sha256.clone();
        let pieces = stream::try_unfold(begin, move |(mut file, mut sha, left)| {
            let expected = expected.clone();
            async move {
                if left == 0 {
                    return Ok(None);
                }
                let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or(1)];
                file.read_exact(&mut piece).await?;
                sha.update(&piece);
                let left = left - piece.len() as u64;
                // Short of its end, so that a file that has changed meanwhile never arrives whole.
                if left == 0 && hex(&sha.clone().finalize()) != expected {
                    return Err(io::Error::other("the file changed while it was sent"));
                }
                Ok(Some((piece, (file, sha, left))))
            }
        });
        Ok(Body::wrap_stream(pieces))
    }
}
