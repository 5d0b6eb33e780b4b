//! What belongs to each platform that has a shipped schedule, as it is put into this program: the schedule, the ERP's side in
//! each dialect, the connection with what has to be filled in. `init` writes it; the demo takes the schedules.

use crate::connection::Dialect;

/// A platform's kit.
#[derive(Debug)]
pub(super) struct Kit {
    /// Its name: of the connection, the schedule's file and the SQL's.
    pub(super) name: &'static str,
    /// How people write it.
    pub(super) title: &'static str,
    /// The shipped schedule.
    pub(super) schedule: &'static str,
    sqlite: &'static str,
    postgresql: &'static str,
    mariadb: &'static str,
    /// The keys of its connection. `<name>` stands for a setting, quoted as TOML has it.
    pub(super) connection: &'static str,
    /// What has to be filled in.
    pub(super) settings: &'static [Setting],
}

/// What has to be filled in.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// What it is, for who is asked.
    pub(super) meaning: &'static str,
    /// Whether it is kept in a file of its own that only its owner reads.
    pub(super) secret: bool,
}

impl Kit {
    /// The ERP's side.
    pub(super) fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgresql,
            Dialect::Mysql => self.mariadb,
        }
    }
}

/// The schedule and the SQL of a platform.
macro_rules! kit {
    ($name:literal, $title:literal, $connection:expr, $settings:expr) => {
        Kit {
            name: $name,
            title: $title,
            schedule: include_str!(concat!("../../schedules/", $name, ".toml")),
            sqlite: include_str!(concat!("../../packaging/erp/sqlite/", $name, ".sql")),
            postgresql: include_str!(concat!("../../packaging/erp/postgresql/", $name, ".sql")),
            mariadb: include_str!(concat!("../../packaging/erp/mariadb/", $name, ".sql")),
            connection: $connection,
            settings: $settings,
        }
    };
}

const fn setting(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, meaning, secret: false }
}

const fn secret(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, meaning, secret: true }
}

/// All of them.
pub(super) const KITS: &[Kit] = &[
    kit!(
        "one",
        "ONe",
        "url = <url>
headers = { one-tenant = <tenant>, ApiAuth = <api-auth> }
check = \"/api/v1/pricing/integrations/auth-required/main-catalog-id\"
# Assumed: the platform names no limit.
quota = [\"10/s\", \"300/min\"]
in-flight = 2
",
        &[
            setting("url", "the host, such as https://api-preprod.one.unity.pl"),
            setting("tenant", "your tenant"),
            secret("api-auth", "the key for the header ApiAuth"),
        ]
    ),
    kit!(
        "b2market",
        "B2Market",
        "url = <url>
check = \"/Order/getOrder/Status?pageSize=1\"
# Assumed: the platform names no limit.
quota = [\"5/s\"]
in-flight = 1
auth = { login = \"/login\", body = { _username = <username>, _password = <password> }, token = \"token\", renew-on = [401, 403] }
",
        &[
            setting("url", "the base of all paths, such as https://b2market.example.com/api"),
            setting("username", "the API user"),
            secret("password", "its password"),
        ]
    ),
    kit!(
        "eryxon",
        "Eryxon",
        "url = <url>
headers = { Authorization = <authorization> }
# The free plan; 1000/day pro, 10000/day premium.
quota = [\"100/day\"]
in-flight = 1
timeouts = { total = \"2m\", read = \"2m\" }
check = \"/api-cells?limit=1\"
",
        &[
            setting("url", "the base of all paths, such as https://HOST/functions/v1"),
            secret("authorization", "`Bearer ` and the key, ery_live_…"),
        ]
    ),
    kit!(
        "cortecloud",
        "Cortecloud",
        "url = <url>
auth = { basic = { user = <user>, password = <password> } }
headers = { x-dreamfactory-api-key = <key> }
quota = [\"2/s\"]
in-flight = 1
check = \"/services?limit=1&offset=0\"
",
        &[
            setting("url", "the host: https://apis.cortecloud.com.br"),
            setting("user", "the shop's user"),
            secret("password", "its password"),
            secret("key", "the partner's API key"),
        ]
    ),
    kit!(
        "commerceup",
        "Commerceup",
        "url = <url>
headers = { x-api-key = <key> }
quota = [\"5/s\"]
in-flight = 1

# Where Commerceup calls us; from outside it takes TLS, see docs/inbound.md.
[inbound]
listen = \"127.0.0.1:8641\"

[inbound.caller.commerceup]
user = <caller>
password = <caller-password>
",
        &[
            setting("url", "the project's base, https://api.commerceup.io/v1/PROJECT-HASH"),
            secret("key", "the key for the header x-api-key"),
            setting("caller", "the user Commerceup calls us as"),
            secret("caller-password", "the password it presents"),
        ]
    ),
];
