//! The end of a job that a platform starts by calling us: where it calls, what it may send, and what it is answered.

use super::map::{find, plain_text};
use crate::words::{FieldPath, Template};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a platform calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Receive {
    /// The path in small letters, without slashes at its ends: `createorder`.
    pub path: String,
    /// The methods it may use; never empty.
    pub methods: Vec<CallMethod>,
    /// What its body may be written in; never empty.
    pub formats: Vec<BodyFormat>,
    /// The names of the callers who may; empty where everybody who may call at all may.
    pub from: Vec<String>,
    /// Where the body holds a list, each entry of which is a record; without it the body is one.
    pub rows: Option<FieldPath>,
    /// What is answered once the records are in the ERP.
    pub answer: Reply,
    /// What is answered of each record of a list.
    pub row_answer: Option<Reply>,
}

/// The methods of calls. Both bring a body: one of the platforms sends GET with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMethod {
    /// GET.
    Get,
    /// POST.
    Post,
}

impl CallMethod {
    /// The method as HTTP writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

impl BodyFormat {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }
}

/// A body to answer with, still to be filled.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// This value.
    Constant(Value),
    /// A text with placeholders; a sole placeholder keeps the value's type.
    Template(Template),
    /// Whether it went through, as true or false.
    Success,
    /// Why it did not; null where it did.
    Message,
    /// What is answered of each record of the list.
    Rows,
    /// An object.
    Object(Vec<(String, Reply)>),
    /// A list.
    List(Vec<Reply>),
}

/// What became of a call, or of one record of it.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The record as it was written; empty where there is none.
    pub record: &'a Map<String, Value>,
    /// The id that the ERP gave it.
    pub id: Option<&'a str>,
    /// Why it did not go through.
    pub message: Option<&'a str>,
    /// What is answered of each record of the list.
    pub rows: &'a [Value],
}

/// What the placeholder of the ERP's id is called.
pub const ID: &str = "id";

impl Reply {
    /// The body. What there is no value for is null: of a record that was refused, its id.
    #[must_use]
    pub fn fill(&self, with: Filling<'_>) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Success => with.message.is_none().into(),
            Self::Message => with.message.into(),
            Self::Rows => with.rows.to_vec().into(),
            Self::Object(fields) => {
                fields.iter().map(|(name, reply)| (name.clone(), reply.fill(with))).collect()
            }
            Self::List(entries) => entries.iter().map(|reply| reply.fill(with)).collect(),
            Self::Template(template) => match template.sole_placeholder() {
                Some(name) => with.value(name).unwrap_or_default(),
                None => {
                    template.fill(|name| with.value(name).as_ref().map(plain_text)).unwrap_or_default().into()
                }
            },
        }
    }

    /// The placeholders anywhere in it.
    #[must_use]
    pub fn placeholders(&self) -> BTreeSet<&str> {
        match self {
            Self::Template(template) => template.placeholders(),
            Self::Object(fields) => fields.iter().flat_map(|(_, reply)| reply.placeholders()).collect(),
            Self::List(entries) => entries.iter().flat_map(Self::placeholders).collect(),
            _ => BTreeSet::new(),
        }
    }
}

impl Filling<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        match (name, self.id) {
            (ID, Some(id)) => Some(id.into()),
            _ => find(self.record, name).cloned(),
        }
    }
}

impl Receive {
    /// Whether the answer gives the ERP's id, so that there is none without it.
    #[must_use]
    pub fn tells_id(&self) -> bool {
        let tells = |reply: &Reply| reply.placeholders().contains(ID);
        tells(&self.answer) || self.row_answer.as_ref().is_some_and(tells)
    }

    /// Its methods and path, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(|method| method.as_str()).collect();
        format!("{} /{}", methods.join(" or "), self.path)
    }
}
