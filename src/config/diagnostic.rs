//! What is wrong with a configuration and where: one [`Diagnostic`] per mistake, at the position of the value (or of
//! the unknown key) in the file that set it. Collecting goes on after a mistake, so that an operator sees all at once.

use std::fmt;
use std::sync::Arc;

/// What a layer of configuration was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginKind {
    /// A file; positions are lines and columns in it.
    File,
    /// An environment variable; the position is within its value.
    Variable,
    /// The command line; the position is within the value given there.
    Flag,
}

/// Where something was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's path, the variable's name, or `command line`.
    pub file: Arc<str>,
    /// What `file` names.
    pub kind: OriginKind,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// The first character of what `file` names.
    #[must_use]
    pub fn start(file: &str, kind: OriginKind) -> Self {
        Self { file: file.into(), kind, line: 1, column: 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One mistake, or one thing an operator should know. Shown as `file:line:column: key: problem`, and `help` on a line of
/// its own. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's path, the variable's name, or `command line`.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The key, with dots between its levels: `job.one-stocks.cron`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it, where that can be said.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without help.
    pub fn new(place: &Place, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            key: key.into(),
            problem: problem.into(),
            help: None,
        }
    }

    /// The same with help, if there is any.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, problem, help } = self;
        write!(f, "{file}:{line}:{column}: {key}: {problem}")?;
        if let Some(help) = help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// The candidate that was probably meant, if one is near enough: a third of its letters wrong, or the same beginning.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, candidate)| {
            let wrong = || strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            *likeness > 0.85 || (*likeness > 0.5 && wrong() <= candidate.len() / 3)
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The same as a sentence of help.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}
