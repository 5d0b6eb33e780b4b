//! The rows of a job's query with the files they carry: bytes in a column, or the path of a file below an allowed
//! directory.
//!
//! A row becomes a record that says what its file is (`file.name`, `file.size`, `file.type`, `file.sha256`) and has the
//! digest of the bytes as its own: what was uploaded once is not uploaded again, whatever else of the row changes. A row
//! whose file is missing, unreadable, too large, outside the directory, or not what it claims is a reject that names the
//! file. A directory that can't be read fails the run: a share that is not mounted is no fault of the rows.

use super::source::{Sample, SqlSource};
use crate::job::map::plain_text;
use crate::job::upload::FileRule;
use crate::transfer::files::{Content, Examined, Files, RecordFile, examine, hex};
use crate::transfer::{Chunk, Class, Digest, Failure, Record, Rejected, Source, each_field, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// The field of a record that says what its file is.
const FILE: &str = "file";

/// The rows of a query with their files.
pub struct FileSource {
    rows: SqlSource,
    rule: FileRule,
    /// Where links are resolved, once it was asked for.
    root: Option<PathBuf>,
    files: Files,
}

impl FileSource {
    /// The rows of `rows`, their files by `rule`, handed on in `files`.
    #[must_use]
    pub fn new(rows: SqlSource, rule: FileRule, files: Files) -> Self {
        Self { rows, rule, root: None, files }
    }

    /// The first rows that are wanted, as many as asked for, beside what becomes of them; bytes are not shown.
    ///
    /// # Errors
    /// The failure a run would end with.
    pub async fn sample(&mut self, limit: usize) -> Result<Vec<Sample>, Failure> {
        let mut samples = self.rows.sample(limit).await?;
        for sample in &mut samples {
            if let Ok(record) = &sample.record {
                sample.record = self.with_file(record.clone()).await?;
            }
            if let Some(Value::String(text)) =
                self.rule.bytes.as_ref().and_then(|name| sample.row.get_mut(name))
            {
                *text = format!("({} bytes)", text.len() / 4 * 3);
            }
        }
        Ok(samples)
    }

    /// The record with what is known of its file in place of the file; the reject where there is none to send.
    async fn with_file(&mut self, record: Record) -> Result<Result<Record, Rejected>, Failure> {
        let Ok(Carried { bytes, path, mut rest }) = self.carried(&record) else {
            return Ok(Err(Rejected::new(record.key, "", "its fields can't be read")));
        };
        let content = |rest: &Map<String, Value>| Value::Object(rest.clone()).to_string();
        let most = self.rule.max_size;
        let found = match (bytes, path) {
            (Some(bytes), _) => {
                let column = self.rule.bytes.clone().unwrap_or_default();
                away(move || held(&column, &bytes, most)).await
            }
            (None, Some(path)) => {
                let root = self.root().await?;
                away(move || at(&root, &path, most)).await
            }
            (None, None) => {
                let names: Vec<&str> =
                    [&self.rule.bytes, &self.rule.path].into_iter().flatten().map(|name| &**name).collect();
                Err(format!("it has no file: {} is empty", names.join(" and ")))
            }
        };
        let found = found.and_then(|(content, own_name, found)| {
            let name = self.name_of(&record, own_name);
            let kind = self.rule.kind;
            if !found.head.starts_with(kind.magic()) {
                return Err(format!(
                    "the file `{name}` is not what it should be: it does not begin as {} does",
                    kind.media_type()
                ));
            }
            Ok(RecordFile { content, name, size: found.size, sha256: found.sha256 })
        });
        let file = match found {
            Ok(file) => file,
            Err(reason) => return Ok(Err(Rejected::new(record.key, content(&rest), reason))),
        };
        let about: [(&str, Value); 4] = [
            ("name", file.name.as_str().into()),
            ("size", file.size.into()),
            ("type", self.rule.kind.media_type().into()),
            ("sha256", file.sha256.as_str().into()),
        ];
        rest.insert(
            FILE.to_owned(),
            about.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        );
        let digest = Digest::of(file.sha256.as_bytes());
        let content = RawValue::from_string(content(&rest)).map_err(|error| {
            Failure::new(Class::State, format!("a row could not be written as JSON: {error}"))
        })?;
        self.files.put(&record.key, file);
        Ok(Ok(Record { content, digest, ..record }))
    }

    /// What the record carries, and its other fields.
    fn carried(&self, record: &Record) -> serde_json::Result<Carried> {
        let mut carried = Carried::default();
        let mut wrong = None;
        each_field(record.content.get(), |name, value| {
            let is = |field: &Option<String>| field.as_deref() == Some(&*name);
            let text = || {
                serde_json::from_str::<Option<String>>(value.get())
                    .map(|text| text.filter(|text| !text.is_empty()))
            };
            let taken = if is(&self.rule.bytes) {
                text().map(|text| carried.bytes = text)
            } else if is(&self.rule.path) {
                text().map(|text| carried.path = text)
            } else {
                json(value.get()).map(|value| drop(carried.rest.insert(name.into_owned(), value)))
            };
            wrong = wrong.take().or(taken.err());
        })?;
        wrong.map_or(Ok(carried), Err)
    }

    async fn root(&mut self) -> Result<PathBuf, Failure> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        let Some(root) = self.rule.root.clone() else {
            return Err(Failure::new(
                Class::Config,
                "a row names a file, and no `root` says where files may be",
            ));
        };
        let resolved = away(move || resolve(&root)).await;
        let root = resolved.map_err(|message| Failure::new(Class::Transient, message))?;
        Ok(self.root.insert(root).clone())
    }

    /// How the file is called on the platform: one name, never a path. Without a value for it, as it is called here.
    fn name_of(&self, record: &Record, own: Option<String>) -> String {
        let given = self.rule.name.as_ref().and_then(|template| {
            let mut fields = Map::new();
            let _no_object = each_field(record.content.get(), |name, value| {
                if template.placeholders().contains(&*name) {
                    fields.insert(name.into_owned(), json(value.get()).unwrap_or_default());
                }
            });
            template.fill(|name| fields.get(name).filter(|value| !value.is_null()).map(plain_text)).ok()
        });
        let own = || own.unwrap_or_else(|| format!("{}.{}", record.key, self.rule.kind.extension()));
        let plain = |c: char| if c == '/' || c == '\\' || c.is_control() { '_' } else { c };
        given.filter(|name| !name.is_empty()).unwrap_or_else(own).chars().map(plain).collect()
    }

    /// The JSON of a row without the bytes.
    fn without_bytes(&self, content: &str) -> String {
        let mut row = match json(content) {
            Ok(Value::Object(row)) => row,
            _ => return String::new(),
        };
        self.rule.bytes.as_ref().map(|name| row.shift_remove(name));
        Value::Object(row).to_string()
    }
}

/// What a record carries.
#[derive(Default)]
struct Carried {
    bytes: Option<String>,
    path: Option<String>,
    rest: Map<String, Value>,
}

impl Source for FileSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Chunk>, Failure>> {
        Box::pin(async move {
            self.files.clear();
            let Some(mut chunk) = self.rows.next().await? else { return Ok(None) };
            for record in std::mem::take(&mut chunk.records) {
                match self.with_file(record).await? {
                    Ok(record) => chunk.records.push(record),
                    Err(rejected) => chunk.rejected.push(rejected),
                }
            }
            // Rows that were refused before hold their bytes still.
            for rejected in &mut chunk.rejected {
                rejected.content = self.without_bytes(&rejected.content);
            }
            Ok(Some(chunk))
        })
    }
}

/// Where a file's bytes are, how it is called here, and what is in it.
type Found = (Content, Option<String>, Examined);

/// The real path of the directory of all files. Blocks.
pub(super) fn resolve(root: &Path) -> Result<PathBuf, String> {
    let real = root.canonicalize().and_then(|real| std::fs::read_dir(&real).map(|_| real));
    real.map_err(|error| format!("the directory of the files, {}, can't be read: {error}", root.display()))
}

/// The file that a field holds. Blocks for as long as its digest takes.
fn held(column: &str, base64: &str, most: u64) -> Result<Found, String> {
    let which = format!("in `{column}`");
    let about = (base64.len() / 4 * 3) as u64;
    // Up to two bytes less: not worth decoding what is far too large.
    if about > most + 2 {
        return Err(too_large(&which, about, most));
    }
    let bytes =
        STANDARD.decode(base64).map_err(|_| format!("`{column}` holds no bytes: it is not base64"))?;
    let size = bytes.len() as u64;
    if size > most {
        return Err(too_large(&which, size, most));
    }
    let head = bytes[..bytes.len().min(16)].to_vec();
    let found = Examined { size, sha256: hex(&Sha256::digest(&bytes)), head };
    Ok((Content::Held(bytes.into()), None, found))
}

/// The file that a path leads to. Blocks.
fn at(root: &Path, path: &str, most: u64) -> Result<Found, String> {
    let unreadable = |error: std::io::Error| format!("the file `{path}` can't be read: {error}");
    let real = root.join(path).canonicalize().map_err(unreadable)?;
    if !real.starts_with(root) {
        return Err(format!("the file `{path}` lies outside {}", root.display()));
    }
    let about = real.metadata().map_err(unreadable)?;
    // A pipe would wait for its writer.
    if !about.is_file() {
        return Err(format!("`{path}` is no file"));
    }
    let found = if about.len() > most { None } else { examine(&real, most).map_err(unreadable)? };
    let found = found.ok_or_else(|| too_large(&format!("`{path}`"), about.len(), most))?;
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    Ok((Content::At(real), name, found))
}

fn too_large(which: &str, size: u64, most: u64) -> String {
    format!("the file {which} has {size} bytes, and `max-size` allows {most}")
}

/// Does something that blocks where that harms nobody.
async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}
