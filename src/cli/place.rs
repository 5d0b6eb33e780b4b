//! Where this installation keeps its files: the configuration, and the state directory with the control socket.

use super::output::{Exit, Stop, say};
use crate::config::{self, Loaded, Sources};
use crate::job::Job;
use std::path::{Path, PathBuf};

/// What the command line says about where things are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) config: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
}

impl Place {
    /// What the configuration is read from.
    pub(super) fn sources(&self) -> Result<Sources, Stop> {
        let mut overrides = Vec::new();
        if let Some(state) = &self.state {
            // The daemon may have another working directory; what was meant is relative to this one.
            let state = std::path::absolute(state)
                .map_err(|error| Stop::new(Exit::Usage, format!("{}: {error}", state.display())))?;
            overrides.push(("state".to_owned(), state.display().to_string()));
        }
        Ok(Sources {
            file: self.config.clone(),
            // What is not UTF-8 can't be one of ours.
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            overrides,
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        })
    }

    /// The whole configuration; every mistake in it goes to stderr.
    pub(super) fn load(&self) -> Result<Loaded, Stop> {
        config::load(&self.sources()?).map_err(|problems| {
            problems.iter().for_each(say);
            let message = match problems.len() {
                1 => "the configuration has a problem".to_owned(),
                count => format!("the configuration has {count} problems"),
            };
            Stop::new(Exit::Config, message)
        })
    }

    /// The state directory. A daemon that runs must be reachable while its configuration on disk is broken (that is
    /// when one asks it), or holds secrets this user can't read; then the one key is taken from where it is written.
    pub(super) fn state(&self) -> Result<PathBuf, Stop> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        if let Ok(loaded) = config::load(&self.sources()?) {
            return Ok(loaded.settings.state);
        }
        let written = std::env::var_os("CADENCED_STATE").map(PathBuf::from).or_else(|| self.state_of_file());
        // systemd tells a unit's commands where its state is.
        written.or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from)).ok_or_else(|| {
            Stop::new(
                Exit::Config,
                "the state directory can't be told from the configuration; see: cadenced check, or name it: --state DIR",
            )
        })
    }

    fn state_of_file(&self) -> Option<PathBuf> {
        let usual = ["cadenced.toml", "/etc/cadenced/cadenced.toml"].map(PathBuf::from);
        let file = self.config.clone().or_else(|| usual.into_iter().find(|file| file.exists()))?;
        let text = std::fs::read_to_string(&file).ok()?;
        let state = text
            .parse::<toml::Table>()
            .ok()?
            .get("state")
            .map_or("state", |state| state.as_str().unwrap_or("state"))
            .to_owned();
        Some(file.parent().unwrap_or(Path::new("")).join(state))
    }
}

/// The job of this name, or the name that was probably meant.
pub(super) fn job<'a>(loaded: &'a Loaded, name: &str) -> Result<&'a Job, Stop> {
    if let Some((_, job)) = loaded.jobs.iter().find(|(known, _)| known.as_str() == name) {
        return Ok(job);
    }
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let meant = loaded
        .jobs
        .keys()
        .map(|known| (likeness(known.as_str()), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| format!("; did you mean `{known}`?"))
        .unwrap_or_default();
    Err(Stop::new(Exit::Usage, format!("there is no job `{name}`{meant}")))
}
