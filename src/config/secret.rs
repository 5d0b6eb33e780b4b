//! Texts that may be secret: written out, or named as `{ env = "…" }`, `{ file = "…" }` or `{ credential = "…" }`. They
//! are resolved while the configuration is read; no message holds one.

use super::Sources;
use super::diagnostic::{OriginKind, did_you_mean};
use super::document::{Node, Value};
use super::layers::{SECRET_KEYS, resolve_path};
use super::reader::Table;
use super::units::{self, Wrong};
use crate::words::Text;
use secrecy::SecretString;
use std::path::Path;

/// Reads a text that may be a secret, and warns of one that is written out or readable by everybody.
pub(super) fn read(sources: &Sources, table: &Table<'_>, key: &str, node: &Node) -> Result<Text, Wrong> {
    let text = resolve(sources, table, key, node)?;
    if matches!(text, Text::Plain(_)) && sounds_secret(key) {
        let wrong = Wrong::new("looks like a secret and is written into the configuration").help(Some(
            "keep it in a file only the daemon reads: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }"
                .to_owned(),
        ));
        table.warn(Some(key), &node.at, wrong);
    }
    Ok(text)
}

fn resolve(sources: &Sources, table: &Table<'_>, key: &str, node: &Node) -> Result<Text, Wrong> {
    let entries = match &node.value {
        // What the environment holds is not written anywhere for others to read, and stays that way.
        Value::Text(text) if node.at.kind == OriginKind::Variable => return Ok(secret(text.clone())),
        Value::Text(text) => return Ok(Text::Plain(text.clone())),
        Value::Table(entries) => entries.as_slice(),
        _ => {
            let problem = format!("expected a text or a secret, found {}", node.kind());
            return Err(Wrong::new(problem).help(ways()));
        }
    };
    let [(way, named)] = entries else {
        return Err(Wrong::new("names a secret in none or several ways").help(ways()));
    };
    let name = units::words(named).map_err(|wrong| wrong.at(named.at.clone()))?;
    let value = match way.as_str() {
        "env" => variable(sources, &name),
        "file" => {
            let path = resolve_path(&named.at, &name);
            if everybody_reads(&path) {
                let wrong = Wrong::new(format!("the secret in {} can be read by everybody", path.display()));
                let help = format!("chmod o-r {}", path.display());
                table.warn(Some(key), &named.at, wrong.help(Some(help)));
            }
            file(&path)
        }
        "credential" => credential(sources, &name),
        other => Err(Wrong::new(format!("`{other}` is no way to name a secret"))
            .help(did_you_mean(other, SECRET_KEYS.iter().copied()).or_else(ways))),
    };
    let value = value.map_err(|wrong| wrong.at(named.at.clone()))?;
    if value.is_empty() {
        return Err(Wrong::new(format!("the secret in {way} `{name}` is empty")).at(named.at.clone()));
    }
    Ok(secret(value))
}

fn ways() -> Option<String> {
    Some("a secret is { env = \"…\" }, { file = \"…\" } or { credential = \"…\" }".to_owned())
}

fn secret(value: String) -> Text {
    Text::Secret(SecretString::from(value))
}

fn variable(sources: &Sources, name: &str) -> Result<String, Wrong> {
    let found = sources.env.iter().rev().find(|(variable, _)| variable == name);
    found
        .map(|(_, value)| value.clone())
        .ok_or_else(|| Wrong::new(format!("the environment variable `{name}` is not set")))
}

fn file(path: &Path) -> Result<String, Wrong> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Wrong::new(format!("the secret in {} can't be read: {error}", path.display())))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn credential(sources: &Sources, name: &str) -> Result<String, Wrong> {
    if name.contains('/') || name == ".." {
        return Err(Wrong::new(format!("`{name}` is not the name of a credential")));
    }
    let directory = sources.credentials_dir.as_deref().ok_or_else(|| {
        Wrong::new(format!("the credential `{name}` can't be read: $CREDENTIALS_DIRECTORY is not set")).help(
            Some(
                "systemd sets it for a unit with LoadCredential=; elsewhere use { file = \"…\" }".to_owned(),
            ),
        )
    })?;
    file(&directory.join(name))
}

#[cfg(unix)]
fn everybody_reads(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn everybody_reads(_: &Path) -> bool {
    false
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace(['-', '_'], "");
    ["password", "passwd", "secret", "token", "apikey", "auth", "credential", "cookie"]
        .iter()
        .any(|word| key.contains(word))
}
