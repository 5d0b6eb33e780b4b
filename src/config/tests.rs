//! Every kind of mistake in every layer, with the text an operator sees.

use super::*;
use std::fs;
use std::path::Path;

mod connections;
mod ends;
mod inbound;
mod layering;
mod maps;
mod mistakes;
mod pushes;
mod schema;
mod secrets;
mod shipped;
mod steps;
mod uploads;

/// A directory with a configuration; paths in messages are shortened to be relative to it.
struct Site {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl Site {
    /// A site whose `cadenced.toml` is this.
    fn new(daemon: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cadenced.toml");
        fs::write(&file, daemon).unwrap();
        Self { directory, sources: Sources { file: Some(file), ..Sources::default() } }
    }

    /// A site with two connections and these jobs.
    fn with_jobs(jobs: &str) -> Self {
        Self::new(&format!("{CONNECTIONS}{jobs}"))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(self, name: &str, content: &str) -> Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    fn loaded(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|mistakes| panic!("{}", self.shown(&mistakes)))
    }

    /// All mistakes as an operator sees them.
    fn mistakes(&self) -> String {
        self.shown(&load(&self.sources).map(|_| ()).unwrap_err())
    }

    fn warnings(&self) -> String {
        self.shown(&self.loaded().warnings)
    }

    fn shown(&self, diagnostics: &[Diagnostic]) -> String {
        let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        lines.join("\n").replace(&format!("{}/", self.path().display()), "")
    }
}

/// Ten lines; jobs start in line 11.
const CONNECTIONS: &str = "\
[connection.erp]
sql = \"sqlite://erp.db\"

[connection.one]
url = \"https://one.example.com\"





";

fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}
