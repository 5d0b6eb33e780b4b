//! A filter's text, read and run on one row.

use jaq_core::load::{Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Vars, data, load, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::{Map, Value};

/// As much of an output is understood, in bytes.
const OUTPUT: usize = 16 << 20;

/// What is left out of jq, natively or by definition: what ends or prints something, what asks the environment or the
/// clock, what depends on the host's zone.
const LEFT_OUT: [&str; 14] = [
    "halt",
    "halt_error",
    "env",
    "now",
    "localtime",
    "strflocaltime",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "input",
    "inputs",
    "input_line_number",
    "input_filename",
];

/// A filter that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadFilter {
    /// Where the mistake stands, in characters from the start.
    pub offset: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A filter that can be run.
pub(super) struct Program(jaq_core::Filter<data::JustLut<Val>>);

/// Reads a filter without running it.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check(text: &str) -> Result<(), BadFilter> {
    Program::new(text).map(drop)
}

impl Program {
    pub(super) fn new(text: &str) -> Result<Self, BadFilter> {
        let bad = |part: &str, problem: String| {
            let part = if part.is_empty() { text.len() } else { span(text, part).start.min(text.len()) };
            BadFilter { offset: text.get(..part).map_or(0, |before| before.chars().count()), problem }
        };
        let expected = |first: Option<(&str, &str)>| match first {
            Some((what, at)) => bad(at, format!("expected {what}")),
            None => bad("", "can't be read".to_owned()),
        };
        let kept = |name: &str| !LEFT_OUT.contains(&name);
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let loader = Loader::new(defs.filter(|def| kept(def.name)));
        let modules = loader.load(&arena, File { code: text, path: () }).map_err(|errors| {
            let first = errors.into_iter().next().map(|(_, error)| error);
            match first {
                Some(load::Error::Lex(errors)) => {
                    expected(errors.first().map(|(what, at)| (what.as_str(), *at)))
                }
                Some(load::Error::Parse(errors)) => {
                    expected(errors.first().map(|(what, at)| (what.as_str(), *at)))
                }
                Some(load::Error::Io(errors)) => {
                    let part = errors.first().map_or("", |(part, _)| part);
                    bad(part, "a filter can't load modules".to_owned())
                }
                None => bad("", "can't be read".to_owned()),
            }
        })?;
        let compiler = Compiler::default().with_funs(funs.filter(|(name, ..)| kept(name)));
        let compiled = compiler.compile(modules).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            match first {
                Some((name, _)) if !kept(name) => bad(name, format!("`{name}` is left out of filters here")),
                Some((name, undefined)) => bad(name, format!("there is no {} `{name}`", undefined.as_str())),
                None => bad("", "can't be compiled".to_owned()),
            }
        })?;
        Ok(Self(compiled))
    }

    /// The one row that the filter makes of a row, both JSON texts; the error says why there is none.
    pub(super) fn run(&self, row: &[u8]) -> Result<Map<String, Value>, String> {
        let row = read::parse_single(row).map_err(|error| format!("the row is not JSON: {error}"))?;
        let context = Ctx::<data::JustLut<Val>>::new(&self.0.lut, Vars::new([]));
        let mut outputs = self.0.id.run((context, row)).map(unwrap_valr);
        let output =
            outputs.next().ok_or("the filter gives nothing for it; to leave rows out, write `where`")?;
        let output = output.map_err(|error| format!("the filter fails: {error}"))?;
        if outputs.next().is_some() {
            return Err("the filter gives more than one row for it".to_owned());
        }
        let text = output.to_string();
        if text.len() > OUTPUT {
            return Err(format!("the filter makes {} MB of it", text.len() >> 20));
        }
        serde_json::from_str(&text).map_err(|_| "the filter does not make a JSON object of it".to_owned())
    }
}
