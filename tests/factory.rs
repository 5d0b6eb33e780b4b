//! The shipped schedules of Eryxon and Cortecloud, as they are, between a SQLite ERP of the shipped columns and the
//! simulated platforms: both ends agree field by field, whatever happens on the way.

mod cortecloud;
mod documents;
mod eryxon;
mod eryxon_answers;

use crate::support::{Erp, program, shipped, soon};
use cadenced::clock::SystemClock;
use cadenced::config::{self, Sources};
use cadenced::connection::Dialect;
use cadenced::daemon;
use cadenced::run::Outcome;
use cadenced::runner::Ended;
use cadenced::sandbox::Platform;
use cadenced::state::{Reject, Store};
use cadenced::words::JobName;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

/// The address of a platform's sample credentials is the environment's or a file's on a real site.
struct Works {
    dir: TempDir,
    erp: Erp,
    connection: String,
}

impl Works {
    /// A site for one platform, with `keys` of its connection and a schedule file of its own.
    async fn new(name: &str, platform: &impl Platform, keys: &str, schedule: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        shipped(dir.path(), &[name]);
        std::fs::create_dir(dir.path().join("site")).unwrap();
        let erp = Erp::new(Dialect::Sqlite).await;
        erp.run(&sql("sqlite", name)).await;
        let mut headers = Vec::new();
        for (header, value) in platform.credentials() {
            std::fs::write(dir.path().join(header), value).unwrap();
            let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(dir.path().join(header), owner).unwrap();
            headers.push(format!("{header} = {{ file = \"{header}\" }}"));
        }
        let connection = format!(
            "[connection.{name}]\nurl = \"{}\"\nin-flight = 1\nheaders = {{ {} }}\n\
             retry = {{ tries = 4, first = \"5ms\", longest = \"20ms\", share = 1.0 }}\nbreaker = {{ after = 50 }}\n{keys}\n",
            platform.url(),
            headers.join(", ")
        );
        let works = Self { dir, erp, connection };
        works.schedule(schedule);
        works
    }

    /// Replaces the site's own schedule file.
    fn schedule(&self, text: &str) {
        std::fs::write(self.dir.path().join("site/site.toml"), text).unwrap();
        let config = format!(
            "state = \"state\"\nschedules = [\"schedules\", \"site\"]\n[connection.erp]\nsql = \"{}\"\n{}",
            self.erp.url, self.connection
        );
        std::fs::write(self.config(), config).unwrap();
    }

    fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("cadenced.toml")
    }

    async fn once(&self, job: &str) -> Ended {
        let sources = Sources { file: Some(self.config()), ..Sources::default() };
        let loaded = config::load(&sources).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let (_stop, stopped) = watch::channel(false);
        let job = &loaded.jobs[&JobName::new(job).unwrap()];
        daemon::once(&loaded, job, Arc::new(SystemClock), stopped).await.unwrap().ended
    }

    /// A run that must do all it should.
    async fn runs(&self, job: &str) -> Ended {
        let ended = self.once(job).await;
        assert_eq!(ended.outcome, Outcome::Ok, "{job}: {:?}: {:?}", ended.message, self.rejects(job).await);
        ended
    }

    async fn rejects(&self, job: &str) -> Vec<Reject> {
        let store = Store::open(&self.dir.path().join("state"), Arc::new(SystemClock)).unwrap();
        store.rejects(&JobName::new(job).unwrap(), None, 1000).await.unwrap()
    }

    /// A run of the real program, killed once it has come to this moment.
    async fn killed(&self, job: &str, moment: &str) {
        let dir = self.dir.path();
        let asked = dir.join("moment");
        std::fs::write(&asked, moment).unwrap();
        let mut command = program(dir);
        command.arg("--config").arg(self.config()).args(["once", job]);
        command
            .env("CRASH_AT", &asked)
            .env("CRASH_SAID", "/dev/stdout")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut said = [0; 1];
        let moment = child.stdout.as_mut().unwrap().read_exact(&mut said);
        soon("the moment", moment).await.unwrap_or_else(|error| panic!("{job} ended before: {error}"));
        child.kill().await.unwrap();
    }
}

/// The shipped SQL of a platform.
fn sql(database: &str, platform: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("packaging/erp/{database}/{platform}.sql"));
    std::fs::read_to_string(file).unwrap()
}
