//! A site with a shop in front: the simulated Commerceup, its shipped jobs, the tables they want in the ERP, and the
//! listener that the shop calls.

use super::Site;
use cadenced::sandbox::Platform as _;
use cadenced::sandbox::commerceup::{Call, Caller, Commerceup, Credentials, Options};
use sqlx::Row as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

/// How the shop calls.
pub(crate) const USER: &str = "shop";
pub(crate) const PASSWORD: &str = "p4ss:wörd-of-the-shop";

const QUIET: &str = r#"
[job.one-stocks]
cron = "0 0 0 1 1 *"
[job.b2market-orders]
cron = "0 0 0 1 1 *"
[job.commerceup-stocks]
cron = "0 0 0 1 1 *"
[job.commerceup-link-products]
cron = "0 0 0 1 1 *"
[job.commerceup-order-status]
cron = "0 0 0 1 1 *"
"#;

impl Site {
    /// A quiet site with a shop; `inbound` are further keys of `[inbound]`, `schedule` is the site's own schedule file
    /// besides what makes it quiet.
    pub(crate) async fn with_shop(inbound: &str, schedule: &str) -> (Self, Commerceup) {
        let site = Self::quiet().await;
        let shop = Commerceup::start(Options::default()).unwrap();
        site.secret("commerceup-key", &shop.credentials()[0].1);
        site.secret("shop-password", PASSWORD);
        let sql = include_str!("../../packaging/erp/sqlite/commerceup.sql");
        sqlx::raw_sql(sql).execute(&site.erp).await.unwrap();
        site.ship("commerceup.toml");
        let connection = format!(
            "\n[connection.commerceup]\nurl = \"{}\"\nheaders = {{ x-api-key = {{ file = \"commerceup-key\" }} }}\n",
            shop.url()
        );
        site.more.lock().unwrap().push_str(&connection);
        site.listen(inbound);
        site.schedule(&format!("{QUIET}{schedule}"));
        (site, shop)
    }

    /// Writes the daemon's file anew, with these keys of `[inbound]`; a daemon that runs has to be told.
    pub(crate) fn listen(&self, inbound: &str) {
        let listen = if inbound.contains("listen =") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        self.configure(&format!(
            "[inbound]\n{listen}{inbound}\n[inbound.caller.commerceup]\nuser = \"{USER}\"\npassword = {{ file = \"shop-password\" }}\n"
        ));
    }

    pub(crate) fn secret(&self, name: &str, text: &str) {
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(self.dir().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The rows of a query, as texts.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&self.erp).await.unwrap();
        let text = |row: &sqlx::sqlite::SqliteRow, at| row.get_unchecked::<String, _>(at);
        rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect()).collect()
    }

    pub(crate) async fn run_sql(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.erp).await.unwrap();
    }
}

/// The shop, calling here with the right password.
pub(crate) fn caller(url: &str) -> Caller {
    let credentials = Credentials::Headers(USER.to_owned(), PASSWORD.to_owned());
    Caller::new(url, credentials, Duration::from_secs(60)).unwrap()
}

/// A customer there is, so that orders may name it: its id in the ERP.
pub(crate) async fn known_customer(caller: &Caller) -> String {
    let customer = &cadenced::sandbox::commerceup::customers(1, 1)[0];
    let reply = caller.call(&Call::create_customer(customer)).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["customerId"].as_str().unwrap().to_owned()
}
