//! A push whose records carry a file each, in three steps: the upload is begun, the bytes are transferred, the upload is
//! completed. The push itself describes the first step; here is what follows it, and which file goes with a record.

use super::push::Method;
use crate::words::{FieldPath, Template};
use serde_json::Value;
use std::path::PathBuf;

/// The placeholder for the id that the platform gave the upload.
pub const UPLOAD_ID: &str = "upload";

/// What follows the beginning of an upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Which file goes with a record.
    pub file: FileRule,
    /// Where the answer to the beginning holds the upload's id.
    pub id: FieldPath,
    /// The ways bytes may go; the first that is possible is taken.
    pub transfer: Vec<Transfer>,
    /// Where the answer to the beginning may hold an address for the bytes.
    pub url: Vec<FieldPath>,
    /// Origins, besides the connection's own, that such an address may have. They get no credentials.
    pub url_origins: Vec<String>,
    /// The field of the completion's body that takes the bytes in base64.
    pub inline: String,
    /// Where bytes go as `multipart/form-data`.
    pub multipart: Option<Multipart>,
    /// The last step.
    pub complete: Call,
    /// What the platform answers where the upload was completed before.
    pub done_on: Vec<u16>,
    /// How an upload that was begun is given up.
    pub abort: Option<Call>,
}

/// A request made of the record's fields; its placeholders may also name the file (`file.name`, `file.size`,
/// `file.type`, `file.sha256`) and, once there is one, the upload's id.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, its values percent-encoded.
    pub path: Template,
    /// The body: JSON whose texts are templates; one that is a placeholder and nothing else keeps its value's type.
    /// `null` is no body.
    pub body: Value,
}

/// A way for the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// PUT to the address that the beginning was answered with.
    Url,
    /// In the completion's body.
    Inline,
    /// POST as `multipart/form-data`.
    Multipart,
}

/// Where bytes go as `multipart/form-data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// The path; placeholders as in a [`Call`].
    pub path: Template,
    /// The name of the part.
    pub part: String,
}

/// Which file goes with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The record's field that holds the bytes, in base64.
    pub bytes: Option<String>,
    /// The record's field that holds a path; where both fields have a value, the bytes count.
    pub path: Option<String>,
    /// The directory all paths lead into; those that lead out of it, by a link too, are refused.
    pub root: Option<PathBuf>,
    /// How it is called on the platform; without one, as it is called here.
    pub name: Option<Template>,
    /// What it has to be.
    pub kind: FileType,
    /// The largest file, in bytes.
    pub max_size: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// `application/pdf`.
    Pdf,
    /// `image/png`.
    Png,
    /// `image/jpeg`.
    Jpeg,
}

impl FileType {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Pdf, Self::Png, Self::Jpeg];

    /// As HTTP names it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// What such a file begins with.
    #[must_use]
    pub fn magic(self) -> &'static [u8] {
        match self {
            Self::Pdf => b"%PDF",
            Self::Png => b"\x89PNG\r\n\x1a\n",
            Self::Jpeg => b"\xff\xd8\xff",
        }
    }

    /// What its name ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }
}
