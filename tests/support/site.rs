//! A directory with the configuration of a daemon that runs the shipped schedules against simulated platforms and a
//! sample ERP, all on loopback and living in the test's process: they outlast the daemon.

use cadenced::admin::ControlClient;
use cadenced::sandbox::demo::{Sandbox, Setup};
use cadenced::sandbox::{B2Market, One};
use sqlx::SqlitePool;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// The token of the admin endpoint.
pub(crate) const TOKEN: &str = "admin-token-of-the-tests";

/// The schedules of the platforms there are.
const SHIPPED: [(&str, &str); 2] = [
    ("one.toml", include_str!("../../schedules/one.toml")),
    ("b2market.toml", include_str!("../../schedules/b2market.toml")),
];

/// The jobs that come due by themselves.
const LIVE: [&str; 2] = ["one-stocks", "b2market-orders"];

/// A site, its platforms running.
pub(crate) struct Site {
    dir: TempDir,
    tenant: String,
    user: String,
    pub(crate) b2market: B2Market,
    pub(crate) one: One,
    pub(crate) erp: SqlitePool,
    control: OnceCell<ControlClient>,
    /// What the daemon's file says of platforms that not every site has.
    pub(super) more: Mutex<String>,
}

impl Site {
    /// Sets it up; `schedule` is the site's own schedule file, read after the shipped ones.
    pub(crate) async fn new(setup: Setup, schedule: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (user, password) = (setup.b2market.username.clone(), setup.b2market.password.clone());
        let (tenant, api_auth) = (setup.one.tenant.clone(), setup.one.api_auth.clone());
        let Sandbox { b2market, one, erp } = Sandbox::start(&dir.path().join("erp.db"), setup).await.unwrap();
        std::fs::create_dir(dir.path().join("site")).unwrap();
        for (name, secret) in
            [("one-api-auth", &*api_auth), ("b2market-password", &*password), ("admin-token", TOKEN)]
        {
            let mut file =
                OpenOptions::new().create_new(true).write(true).mode(0o600).open(dir.path().join(name));
            file.as_mut().unwrap().write_all(secret.as_bytes()).unwrap();
        }
        let (control, more) = (OnceCell::new(), Mutex::default());
        let site = Self { dir, tenant, user, b2market, one, erp, control, more };
        site.quieten();
        site.configure("");
        site.schedule(schedule);
        site
    }

    /// Runs statements in the ERP.
    pub(crate) async fn sql(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.erp).await.unwrap();
    }

    /// Has stocks sent as they are: the shipped query gives 0 for what is below it, which the platform would refuse.
    pub(crate) fn stocks_as_they_are(&self) {
        let read = "[job.one-stocks.read]\nsql = \"select sku, warehouse, quantity from cadenced_stocks\"\n";
        std::fs::write(self.dir().join("quiet/stocks.toml"), read).unwrap();
    }

    /// Turns off all shipped jobs but those whose two ends every test's site has: the others would come due in the middle
    /// of a test, and be counted.
    fn quieten(&self) {
        // One job waits for its ends.
        let mut quiet = "[job.unfinished]\ncron = \"0 0 0 1 1 *\"\n".to_owned();
        for (_, shipped) in SHIPPED {
            let jobs = shipped.parse::<toml::Table>().unwrap();
            for name in jobs["job"].as_table().unwrap().keys().filter(|name| !LIVE.contains(&name.as_str())) {
                quiet.push_str(&format!("[job.{name}]\nenabled = false\n"));
            }
        }
        for dir in ["shipped", "quiet"] {
            std::fs::create_dir(self.dir().join(dir)).unwrap();
        }
        for (name, shipped) in SHIPPED {
            std::fs::write(self.dir().join("shipped").join(name), shipped).unwrap();
        }
        std::fs::write(self.dir().join("quiet/quiet.toml"), quiet).unwrap();
    }

    /// Writes the daemon's file anew, with these top-level keys besides its own.
    pub(crate) fn configure(&self, keys: &str) {
        let config = format!(
            r#"
timezone = "UTC"
state = "state"
schedules = ["shipped", "quiet", "site"]
{keys}

[admin]
listen = "127.0.0.1:0"
token = {{ file = "admin-token" }}

[connection.erp]
sql = "sqlite://{erp}"

[connection.one]
url = "{one}"
headers = {{ one-tenant = "{tenant}", ApiAuth = {{ file = "one-api-auth" }} }}

[connection.b2market]
url = "{b2market}"
auth = {{ login = "/login", body = {{ _username = "{user}", _password = {{ file = "b2market-password" }} }}, token = "token", renew-on = [401, 403] }}
in-flight = 1
{more}"#,
            more = self.more.lock().unwrap(),
            erp = self.dir().join("erp.db").display(),
            tenant = self.tenant,
            user = self.user,
            one = self.one.url(),
            b2market = self.b2market.url(),
        );
        std::fs::write(self.config(), config).unwrap();
    }

    /// Takes up a shipped schedule.
    pub(super) fn ship(&self, name: &str) {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules").join(name);
        std::os::unix::fs::symlink(shipped, self.dir().join("shipped").join(name)).unwrap();
    }

    /// Replaces the site's own schedule file; a daemon that runs has to be told.
    pub(crate) fn schedule(&self, text: &str) {
        std::fs::write(self.dir().join("site/site.toml"), text).unwrap();
    }

    /// Speaks to the daemon that runs here, whichever process it is by now.
    pub(crate) async fn control(&self) -> &ControlClient {
        let connect = || async { ControlClient::connect(&self.dir().join("state")).await };
        self.control.get_or_try_init(connect).await.expect("a daemon runs")
    }

    /// The daemon's file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("cadenced.toml")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// Where everything is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
