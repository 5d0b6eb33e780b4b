//! A directory with the configuration of a daemon that runs the shipped schedules against simulated platforms and a
//! sample ERP, all on loopback and living in the test's process: they outlast the daemon.

use cadenced::admin::ControlClient;
use cadenced::sandbox::demo::{Sandbox, Setup};
use cadenced::sandbox::{B2Market, One};
use sqlx::SqlitePool;
use std::path::Path;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A site, its platforms running.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) b2market: B2Market,
    pub(crate) one: One,
    pub(crate) erp: SqlitePool,
    control: OnceCell<ControlClient>,
}

impl Site {
    /// Sets it up; `schedule` is the site's own schedule file, read after the shipped ones.
    pub(crate) async fn new(setup: Setup, schedule: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (user, password) = (setup.b2market.username.clone(), setup.b2market.password.clone());
        let (tenant, api_auth) = (setup.one.tenant.clone(), setup.one.api_auth.clone());
        let Sandbox { b2market, one, erp } = Sandbox::start(&dir.path().join("erp.db"), setup).await.unwrap();
        let config = format!(
            r#"
timezone = "UTC"
state = "state"
schedules = ["{shipped}", "site"]
admin = {{ listen = "127.0.0.1:0" }}

[connection.erp]
sql = "sqlite://{erp}"

[connection.one]
url = "{one}"
headers = {{ one-tenant = "{tenant}", ApiAuth = {{ file = "one-api-auth" }} }}

[connection.b2market]
url = "{b2market}"
auth = {{ login = "/login", body = {{ _username = "{user}", _password = {{ file = "b2market-password" }} }}, token = "token", renew-on = [401, 403] }}
in-flight = 1
"#,
            shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/schedules"),
            erp = dir.path().join("erp.db").display(),
            one = one.url(),
            b2market = b2market.url(),
        );
        std::fs::create_dir(dir.path().join("site")).unwrap();
        for (name, text) in
            [("cadenced.toml", &config), ("one-api-auth", &api_auth), ("b2market-password", &password)]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let site = Self { dir, b2market, one, erp, control: OnceCell::new() };
        site.schedule(schedule);
        site
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

    /// Where everything is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
