//! What a call says, from JSON or XML. The media type decides which; where it is neither, the first character does.
//! Numbers keep their digits. XML is read by the rules of answers in XML, and without entities but its own five.

use crate::job::receive::BodyFormat;
use crate::rest::read_document;
use serde_json::Value;

/// Why a body can't be read. The text is for the caller: it says where, and repeats nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Nothing in it.
    #[error("the body is empty")]
    Empty,
    /// No JSON.
    #[error("the body is not JSON: {0}")]
    Json(String),
    /// No XML, or more than is accepted of it.
    #[error("the body is not XML: {0}")]
    Xml(String),
    /// Written in something else than is taken here.
    #[error("the body must be {0}")]
    Format(String),
    /// Something other than fields with values.
    #[error("the body must be an object")]
    NoObject,
}

/// Reads a body that must hold fields with values.
///
/// # Errors
/// When it is empty, malformed, or something else.
pub fn parse(content_type: Option<&str>, body: &[u8], formats: &[BodyFormat]) -> Result<Value, BadBody> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace()).ok_or(BadBody::Empty)?;
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let format = match media_type.rsplit(['/', '+']).next().unwrap_or_default() {
        "xml" => BodyFormat::Xml,
        "json" => BodyFormat::Json,
        _ if *first == b'<' => BodyFormat::Xml,
        _ => BodyFormat::Json,
    };
    if !formats.contains(&format) {
        let taken: Vec<&str> = formats.iter().map(|format| format.as_str()).collect();
        return Err(BadBody::Format(taken.join(" or ")));
    }
    let value = match format {
        BodyFormat::Xml => read_document(body).map_err(BadBody::Xml)?,
        BodyFormat::Json => serde_json::from_slice(body).map_err(|error| BadBody::Json(error.to_string()))?,
    };
    if value.is_object() { Ok(value) } else { Err(BadBody::NoObject) }
}
