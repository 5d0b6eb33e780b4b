//! `cadenced init`: a fresh configuration directory for the platforms that are wanted. It holds the daemon's file, copies of the
//! shipped schedules, a place for changes of one's own, the ERP's SQL, the schema by which an editor explains it all, and each
//! secret in a file that only its owner reads.
//!
//! What is not given as a flag is asked for on a terminal; elsewhere a missing address is an error, and a missing secret a file
//! to be filled. Nothing that is there is ever written over.

use super::args::Init;
use super::kits::{KITS, Kit, Setting};
use super::output::{Exit, Stop, say};
use super::place::Place;
use super::schema;
use crate::config::{self, Sources};
use crate::connection::Dialect;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a secret's file holds until somebody fills it.
const UNFILLED: &str = "fill-me-in";

pub(super) fn init(place: &Place, args: &Init, out: &mut impl Write) -> Result<Exit, Stop> {
    let mut answers = Answers::new(args, io::stdin().is_terminal())?;
    let kits = answers.kits(&args.platforms)?;
    let erp = answers.erp(args.erp.as_deref())?;
    let dialect = dialect_of(&erp)?;
    let mut files = Files { dir: args.dir.clone(), all: Vec::new() };
    // Without a word it lies beside the configuration, wherever that is moved to.
    let state = place.state.as_ref().map(std::path::absolute).transpose()?.unwrap_or("state".into());
    let text = daemon_file(&kits, &erp, &state, &mut answers, &mut files)?;
    files.add("cadenced.toml", text, 0o644);
    for kit in &kits {
        files.add(&format!("schedules/{}.toml", kit.name), kit.schedule.to_owned(), 0o644);
        files.add(&format!("erp/{}.sql", kit.name), kit.sql(dialect).to_owned(), 0o644);
    }
    files.add("site/ours.toml", OURS.to_owned(), 0o644);
    files.add("cadenced.schema.json", schema()?, 0o644);
    answers.finish()?;
    files.write()?;
    check(&args.dir)?;
    write!(out, "{}", next_steps(&args.dir, &kits, &erp, dialect, &answers.unfilled))?;
    Ok(Exit::Ok)
}

const OURS: &str = "#:schema ../cadenced.schema.json\n\n# What this site changes of the shipped schedules, key by key; an update of those leaves it alone.\n#\n\
    #     [job.one-stocks]\n#     cron = \"0 */5 * * * *\"\n";

/// The settings given as flags, and whoever can be asked for the others.
struct Answers {
    given: BTreeMap<String, String>,
    asks: bool,
    /// Names of settings that nobody gave.
    missing: Vec<String>,
    /// Files of secrets that are still to be filled.
    unfilled: Vec<PathBuf>,
}

impl Answers {
    fn new(args: &Init, asks: bool) -> Result<Self, Stop> {
        let mut given = BTreeMap::new();
        for assignment in &args.settings {
            let (name, value) = assigned(assignment, "PLATFORM.SETTING=VALUE")?;
            if is_secret(name) {
                let problem = format!(
                    "`{name}` is a secret: name a file that holds it, --secret {name}=FILE, since a command line is seen by all"
                );
                return Err(Stop::new(Exit::Usage, problem));
            }
            given.insert(name.to_owned(), value.to_owned());
        }
        for assignment in &args.secrets {
            let (name, file) = assigned(assignment, "PLATFORM.SECRET=FILE")?;
            let text = fs::read_to_string(file)
                .map_err(|error| Stop::new(Exit::Usage, format!("{file}: {error}")))?;
            given.insert(name.to_owned(), text.trim_end_matches('\n').to_owned());
        }
        Ok(Self { given, asks, missing: Vec::new(), unfilled: Vec::new() })
    }

    fn kits(&mut self, names: &[String]) -> Result<Vec<&'static Kit>, Stop> {
        let known: Vec<&str> = KITS.iter().map(|kit| kit.name).collect();
        let mut names: Vec<String> = names.to_vec();
        if names.is_empty() && self.asks {
            let asked = ask(&format!("Which platforms ({}, separated by commas)?", known.join(", ")), false)?;
            names =
                asked.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        }
        if names.is_empty() {
            let problem = format!("which platforms? --platform {}", known.join(" | "));
            return Err(Stop::new(Exit::Usage, problem));
        }
        let kit = |name: &String| {
            KITS.iter().find(|kit| kit.name == name).ok_or_else(|| {
                Stop::new(
                    Exit::Usage,
                    format!("there is no platform `{name}`; there are: {}", known.join(", ")),
                )
            })
        };
        let mut kits = names.iter().map(kit).collect::<Result<Vec<_>, _>>()?;
        kits.dedup_by_key(|kit| kit.name);
        let strange = |name: &&String| {
            !kits.iter().any(|kit| kit.settings.iter().any(|setting| **name == full_name(kit, setting)))
        };
        if let Some(name) = self.given.keys().find(strange) {
            let all = kits.iter().flat_map(|kit| kit.settings.iter().map(|setting| full_name(kit, setting)));
            let all = all.collect::<Vec<_>>().join(", ");
            return Err(Stop::new(Exit::Usage, format!("nothing is called `{name}`; there are: {all}")));
        }
        Ok(kits)
    }

    fn erp(&mut self, given: Option<&str>) -> Result<String, Stop> {
        match given {
            Some(erp) => Ok(erp.to_owned()),
            None if self.asks => {
                let answer = ask(
                    "The ERP's database (sqlite://erp.db, postgres://…, mysql://…) [sqlite://erp.db]?",
                    false,
                )?;
                Ok(if answer.is_empty() { "sqlite://erp.db".to_owned() } else { answer })
            }
            None => Err(Stop::new(Exit::Usage, "where is the ERP's database? --erp sqlite://erp.db")),
        }
    }

    fn setting(&mut self, kit: &Kit, setting: &Setting) -> Result<Option<String>, Stop> {
        let name = full_name(kit, setting);
        if let Some(value) = self.given.get(&name) {
            return Ok(Some(value.clone()));
        }
        if self.asks {
            let answer = ask(&format!("{}: {}?", kit.title, setting.meaning), setting.secret)?;
            if !answer.is_empty() {
                return Ok(Some(answer));
            }
        }
        if !setting.secret {
            self.missing.push(format!("--set {name}=… ({})", setting.meaning));
        }
        Ok(None)
    }

    /// Everything that can't be guessed was given.
    fn finish(&self) -> Result<(), Stop> {
        if self.missing.is_empty() {
            return Ok(());
        }
        Err(Stop::new(Exit::Usage, format!("still to be told: {}", self.missing.join(", "))))
    }
}

fn full_name(kit: &Kit, setting: &Setting) -> String {
    format!("{}.{}", kit.name, setting.name)
}

fn is_secret(name: &str) -> bool {
    let mut all = KITS.iter().flat_map(|kit| kit.settings.iter().map(move |setting| (kit, setting)));
    all.any(|(kit, setting)| setting.secret && full_name(kit, setting) == name)
}

fn assigned<'a>(assignment: &'a str, form: &str) -> Result<(&'a str, &'a str), Stop> {
    assignment
        .split_once('=')
        .ok_or_else(|| Stop::new(Exit::Usage, format!("`{assignment}`: it is written {form}")))
}

/// Asks on the terminal. A secret is not shown while it is typed.
fn ask(question: &str, hidden: bool) -> Result<String, Stop> {
    let echo = |on: &str| {
        // Where there is no stty the answer is shown, which is better than not being able to give it.
        drop(Command::new("stty").arg(on).stderr(Stdio::null()).status());
    };
    let mut err = io::stderr();
    write!(err, "{question} ")?;
    err.flush()?;
    if hidden {
        echo("-echo");
    }
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if hidden {
        echo("echo");
        say("");
    }
    read?;
    Ok(answer.trim().to_owned())
}

fn dialect_of(erp: &str) -> Result<Dialect, Stop> {
    match erp.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Dialect::Sqlite),
        Some("postgres" | "postgresql") => Ok(Dialect::Postgres),
        Some("mysql" | "mariadb") => Ok(Dialect::Mysql),
        _ => Err(Stop::new(
            Exit::Usage,
            "the ERP's address is sqlite://…, postgres://… or mysql://…: a file or a database",
        )),
    }
}

/// Whether an address holds a password, and so is a secret itself.
fn has_password(erp: &str) -> bool {
    let authority = erp.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || erp.contains("password=")
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn daemon_file(
    kits: &[&'static Kit],
    erp: &str,
    state: &Path,
    answers: &mut Answers,
    files: &mut Files,
) -> Result<String, Stop> {
    let state = quoted(&state.display().to_string());
    let mut text = format!(
        "#:schema ./cadenced.schema.json\n\n# The daemon's configuration. Every other key is described in packaging/cadenced.toml of the sources; `cadenced check`\n\
         # says what is wrong with it, and where.\n\n\
         # The zone of jobs that name none; the shipped ones name theirs.\ntimezone = \"UTC\"\n\
         # Where watermarks, the ledger and rejects are kept.\nstate = {state}\n\
         # Read in this order: what `site` says wins.\nschedules = [\"schedules\", \"site\"]\n\n[admin]\nlisten = \"127.0.0.1:8640\"\n",
    );
    let sql = if has_password(erp) {
        files.secret("erp-address", erp);
        "{ file = \"secrets/erp-address\" }".to_owned()
    } else {
        quoted(erp)
    };
    text.push_str(&format!("\n# The ERP.\n[connection.erp]\nsql = {sql}\n"));
    for kit in kits {
        let mut connection = kit.connection.to_owned();
        for setting in kit.settings {
            let value = answers.setting(kit, setting)?;
            let written = if setting.secret {
                let name = format!("{}-{}", kit.name, setting.name);
                let path = files.secret(&name, value.as_deref().unwrap_or(UNFILLED));
                if value.is_none() {
                    answers.unfilled.push(path);
                }
                format!("{{ file = \"secrets/{name}\" }}")
            } else {
                quoted(value.as_deref().unwrap_or_default())
            };
            connection = connection.replace(&format!("<{}>", setting.name), &written);
        }
        text.push_str(&format!("\n# {}\n[connection.{}]\n{connection}", kit.title, kit.name));
    }
    Ok(text)
}

/// The files to be written: where, what, and who may read them.
struct Files {
    dir: PathBuf,
    all: Vec<(PathBuf, String, u32)>,
}

impl Files {
    fn add(&mut self, name: &str, text: String, mode: u32) -> PathBuf {
        let path = self.dir.join(name);
        self.all.push((path.clone(), text, mode));
        path
    }

    fn secret(&mut self, name: &str, text: &str) -> PathBuf {
        self.add(&format!("secrets/{name}"), format!("{text}\n"), 0o600)
    }

    /// All or none: a file that is there keeps every other from being written.
    fn write(&self) -> Result<(), Stop> {
        let there: Vec<String> = (self.all.iter())
            .filter(|(path, ..)| path.symlink_metadata().is_ok())
            .map(|(path, ..)| path.display().to_string())
            .collect();
        if !there.is_empty() {
            let problem = format!("nothing was written: {} is there already", there.join(", "));
            return Err(Stop::new(Exit::Failed, problem));
        }
        // By itself, so that only the directory of the secrets is closed to others.
        fs::create_dir_all(&self.dir)
            .map_err(|error| Stop::new(Exit::Failed, format!("{}: {error}", self.dir.display())))?;
        for (path, text, mode) in &self.all {
            write_new(path, text, *mode)
                .map_err(|error| Stop::new(Exit::Failed, format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        let dir_mode = if mode == 0o600 { 0o700 } else { 0o755 };
        fs::DirBuilder::new().recursive(true).mode(dir_mode).create(dir)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// What was written is read as the daemon would: an address that is none is told now.
fn check(dir: &Path) -> Result<(), Stop> {
    let sources = Sources { file: Some(dir.join("cadenced.toml")), ..Sources::default() };
    config::load(&sources).map(drop).map_err(|problems| {
        problems.iter().for_each(say);
        Stop::new(
            Exit::Config,
            format!("{} was written, but needs a change", dir.join("cadenced.toml").display()),
        )
    })
}

fn next_steps(dir: &Path, kits: &[&Kit], erp: &str, dialect: Dialect, unfilled: &[PathBuf]) -> String {
    let config = dir.join("cadenced.toml");
    let config = config.display();
    let sql = dir.join("erp");
    let sql: Vec<String> =
        kits.iter().map(|kit| sql.join(format!("{}.sql", kit.name)).display().to_string()).collect();
    let sql = sql.join(" ");
    let load = match dialect {
        Dialect::Sqlite => {
            let file = erp.trim_start_matches("sqlite:").trim_start_matches("//");
            let file = dir.join(file.split('?').next().unwrap_or(file));
            format!("cat {sql} | sqlite3 {}", file.display())
        }
        Dialect::Postgres => format!("cat {sql} | psql DATABASE"),
        Dialect::Mysql => format!("cat {sql} | mariadb DATABASE"),
    };
    let mut text = format!("{config} is written. Next:\n\n");
    for path in unfilled {
        text.push_str(&format!("  put the secret into        {}\n", path.display()));
    }
    text.push_str(&format!(
        "  the ERP's side             {load}\n  ask the database           cadenced --config {config} check --connect\n  \
         run                        cadenced --config {config} run\n\n\
         What the ERP has to offer each job: docs/erp-interface.md. What is assumed of a platform: docs/platforms/\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_password_is_told_from_one_without() {
        for erp in
            ["postgres://erp:secret@db/erp", "mysql://u:p@h:3306/d", "postgres://db/erp?user=erp&password=x"]
        {
            assert!(has_password(erp), "{erp}");
        }
        for erp in
            ["sqlite://erp.db", "sqlite:///srv/a@b:c.db", "postgres://erp@db:5432/erp", "mysql://db:3306/erp"]
        {
            assert!(!has_password(erp), "{erp}");
        }
    }
}
