//! The whole state as text and back: one JSON line for each entry between a header and a closing line, so that an
//! export that was cut short is recognised before anything is replaced by it.

use super::disk::{Database, Directory, disk, replace_file, sync_dir};
use super::draft::{Draft, Sum, from_json};
use super::error::{Fault, StateError, panic_text};
use super::{Inner, Store, Weight, keys};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufWriter, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The first line of an export.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    cadenced_state: u64,
    exported: DateTime<Utc>,
}

/// A line for an entry, or the last line. JSON values stand there as they are, anything else in Base64. One type,
/// because serde keeps no raw text through an untagged enum.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    /// On the last line: how many entries came before.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

/// What to do with a state that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Refuse.
    IntoEmpty,
    /// Put the export in its place; the old store stays in `db.replaced` until the next import.
    Replace,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// How many entries.
    pub entries: u64,
    /// When they were exported.
    pub exported: DateTime<Utc>,
}

impl Store {
    /// Writes the whole state as JSON lines; gives how many entries. Nothing else is written to the state meanwhile,
    /// so that the export is of one moment: hand over a file, not a network connection.
    pub async fn export(&self, to: impl Write + Send + 'static) -> Result<u64, StateError> {
        self.blocking(move |inner| inner.export(&mut BufWriter::new(to))).await
    }

    /// Exports into the state directory's `exports/`, keeps the newest `keep` of them and gives the new one's path.
    pub async fn export_to_directory(&self, keep: usize) -> Result<PathBuf, StateError> {
        self.blocking(move |inner| inner.export_to_directory(keep)).await
    }

    /// Makes the state directory what an export says. Blocks; takes the directory's lock, so no daemon may run. The
    /// old store is untouched until the export has been read to its end.
    pub fn import(dir: &Path, from: impl BufRead, mode: ImportMode) -> Result<Imported, StateError> {
        let directory = Directory::hold(dir)?;
        let database = directory.database();
        let expected = match (mode, directory.generation()) {
            (ImportMode::Replace, generation) => generation.ok().flatten(),
            (ImportMode::IntoEmpty, Ok(None)) if !database.exists() => None,
            (ImportMode::IntoEmpty, _) => return Err(StateError::NotEmpty { dir: dir.to_owned() }),
        };
        let fresh = dir.join("db.importing");
        remove_dir(&fresh)?;
        let generation = expected.unwrap_or(0) + 1;
        let filled = catch_unwind(AssertUnwindSafe(|| fill(&directory, &fresh, from, generation)))
            .map_err(|panic| directory.damaged(panic_text(panic.as_ref())))?;
        let imported = match filled {
            Ok(imported) => imported,
            Err(fault) => {
                remove_dir(&fresh)?;
                return Err(directory.explain(fault));
            }
        };
        // After a kill between the two renames there is no store where the generation file says there was one: that
        // is refused, and the import can be repeated.
        if expected.is_none() {
            directory.set_generation(1)?;
        }
        let replaced = dir.join("db.replaced");
        remove_dir(&replaced)?;
        if database.exists() {
            fs::rename(&database, &replaced).map_err(disk("move away", &database))?;
        }
        fs::rename(&fresh, &database).map_err(disk("put in place", &fresh))?;
        sync_dir(dir)?;
        directory.set_generation(generation)?;
        Ok(imported)
    }
}

impl Inner {
    fn export(&self, to: &mut impl Write) -> Result<u64, Fault> {
        let mut nobody_writes = self.writer()?;
        self.commit(&mut nobody_writes, self.draft(), Weight::Step)?;
        self.line(to, &Header { cadenced_state: keys::LAYOUT, exported: self.now() })?;
        let mut entries = 0;
        for entry in self.database.tree.iter() {
            let (key, value) = entry?;
            // They say how old that store is and that it is whole, not what is in it.
            if key == keys::META_GENERATION || key == keys::META_SUM {
                continue;
            }
            let (json, bytes) = if keys::is_json(&key) {
                (Some(from_json(&key, &value)?), None)
            } else {
                (None, Some(BASE64_STANDARD.encode(&value)))
            };
            self.line(to, &Line { key: Some(BASE64_STANDARD.encode(&key)), json, bytes, entries: None })?;
            entries += 1;
        }
        self.line(to, &Line { entries: Some(entries), ..Line::default() })?;
        to.flush().map_err(disk("write the export of", self.directory.path()))?;
        Ok(entries)
    }

    fn line(&self, to: &mut impl Write, line: &impl Serialize) -> Result<(), Fault> {
        let text = serde_json::to_string(line).map_err(|error| Fault::Value(error.to_string()))?;
        Ok(writeln!(to, "{text}").map_err(disk("write the export of", self.directory.path()))?)
    }

    fn export_to_directory(&self, keep: usize) -> Result<PathBuf, Fault> {
        let dir = self.directory.exports();
        fs::create_dir_all(&dir).map_err(disk("create", &dir))?;
        let path = dir.join(format!("state-{}.jsonl", self.now().format("%Y%m%dT%H%M%SZ")));
        replace_file(&path, |file| self.export(&mut BufWriter::new(file)).map(drop))?;
        for old in self.directory.list_exports().iter().rev().skip(keep.max(1)) {
            fs::remove_file(old).map_err(disk("remove", old))?;
        }
        Ok(path)
    }
}

/// Reads an export into a new store that nobody uses yet.
fn fill(directory: &Directory, path: &Path, from: impl BufRead, generation: u64) -> Result<Imported, Fault> {
    const BATCH: usize = 1000;
    let database = Database::open(directory, path)?;
    let mut lines = ExportLines { lines: from.lines(), number: 0 };
    let header: Header = lines.next()?;
    if header.cadenced_state > keys::LAYOUT {
        return Err(StateError::Layout { found: header.cadenced_state, known: keys::LAYOUT }.into());
    }
    let mut draft = Draft::over(&database.tree);
    let mut sum = Sum::default();
    let mut entries = 0;
    loop {
        match lines.next()? {
            Line { entries: Some(said), key: None, .. } if said == entries => break,
            Line { entries: Some(said), key: None, .. } => {
                return Err(lines.bad(format!("{entries} entries came where it says {said}")));
            }
            Line { key: Some(key), json: Some(json), bytes: None, .. } => {
                draft.put(lines.base64(&key)?, json.get().as_bytes().to_vec());
            }
            Line { key: Some(key), json: None, bytes: Some(bytes), .. } => {
                draft.put(lines.base64(&key)?, lines.base64(&bytes)?);
            }
            _ => return Err(lines.bad("neither an entry nor the closing line".to_owned())),
        }
        entries += 1;
        if draft.len() >= BATCH {
            database.apply(draft, &mut sum)?;
            draft = Draft::over(&database.tree);
        }
    }
    draft.put(keys::META_LAYOUT.to_vec(), keys::LAYOUT.to_be_bytes().to_vec());
    draft.put(keys::META_GENERATION.to_vec(), generation.to_be_bytes().to_vec());
    database.apply(draft, &mut sum)?;
    database.flush(&mut HashSet::new())?;
    Ok(Imported { entries, exported: header.exported })
}

/// An export's lines, counted, so that what is wrong can be found.
struct ExportLines<R> {
    lines: std::io::Lines<R>,
    number: u64,
}

impl<R: BufRead> ExportLines<R> {
    fn next<T: DeserializeOwned>(&mut self) -> Result<T, Fault> {
        self.number += 1;
        match self.lines.next() {
            Some(Ok(line)) => serde_json::from_str(&line).map_err(|error| self.bad(error.to_string())),
            Some(Err(error)) => Err(self.bad(error.to_string())),
            None => Err(self.bad("it ends before its closing line: it was cut short".to_owned())),
        }
    }

    fn base64(&self, text: &str) -> Result<Vec<u8>, Fault> {
        BASE64_STANDARD.decode(text).map_err(|error| self.bad(error.to_string()))
    }

    fn bad(&self, problem: String) -> Fault {
        StateError::BadExport { line: self.number, problem }.into()
    }
}

fn remove_dir(dir: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(disk("remove", dir)(error)),
        _ => Ok(()),
    }
}
