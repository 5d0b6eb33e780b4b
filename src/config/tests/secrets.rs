//! Secrets are found in all three places, and shown in none.

use super::*;
use std::os::unix::fs::PermissionsExt;

const THREE: &str = r#"
[admin]
token = { credential = "admin" }

[connection.shop]
url = "https://shop.example.com"
headers = { one-tenant = "acme", ApiAuth = { file = "secrets/api" } }
auth = { login = "/login", token = "token", body = { _password = { env = "CADENCED_SHOP_PASSWORD" } } }

[connection.erp]
sql = { env = "ERP" }
"#;

fn site() -> Site {
    let mut site = Site::new(THREE)
        .file("secrets/api", "hunter2-file\n")
        .file("credentials/admin", "hunter2-credential\r\n")
        .env("CADENCED_SHOP_PASSWORD", "hunter2-env")
        .env("ERP", "postgres://erp:hunter2-url@localhost/erp");
    for file in ["secrets/api", "credentials/admin"] {
        fs::set_permissions(site.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    site.sources.credentials_dir = Some(site.path().join("credentials"));
    site
}

#[test]
fn secrets_come_from_variables_files_and_credentials_without_their_final_newline() {
    let loaded = site().loaded();
    let token = loaded.settings.admin.token.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(token), "hunter2-credential");
    let texts: Vec<_> = loaded
        .connections
        .values()
        .filter_map(|connection| match &connection.kind {
            crate::connection::ConnectionKind::Rest(rest) => Some(rest),
            crate::connection::ConnectionKind::Sql(_) => None,
        })
        .flat_map(|shop| {
            let crate::connection::Auth::Login(login) = &shop.auth else { panic!("no login") };
            shop.headers.iter().chain(&login.body).map(|(_, text)| text.expose().to_owned())
        })
        .collect();
    assert_eq!(texts, ["acme", "hunter2-file", "hunter2-env"]);
}

#[test]
fn no_secret_is_part_of_what_is_shown() {
    let site = site();
    let shown = format!("{:?} {}", site.loaded(), site.warnings());
    assert!(shown.contains("acme") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn no_secret_is_part_of_a_mistake() {
    let site = site()
        .file("secrets/api", "hunter2\nhunter2\n")
        .env("CADENCED_ADMIN__TOKN", "hunter2")
        .env("ERP", "oracle://erp:hunter2@localhost/erp");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:7:44: connection.shop.headers.ApiAuth: holds a character that no header can carry
    cadenced.toml:11:7: connection.erp.sql: is not the address of a known database
      help: write it as "sqlite://erp.db", "postgres://host/database" or "mysql://host/database"
    CADENCED_ADMIN__TOKN:1:1: admin.tokn: unknown key
      help: did you mean `CADENCED_ADMIN__TOKEN`?
    "#);
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let mut site = Site::new(THREE).file("secrets/api", "").env("ERP", "sqlite://erp.db");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:3:24: admin.token: the credential `admin` can't be read: $CREDENTIALS_DIRECTORY is not set
      help: systemd sets it for a unit with LoadCredential=; elsewhere use { file = "…" }
    cadenced.toml:7:53: connection.shop.headers.ApiAuth: the secret in file `secrets/api` is empty
    cadenced.toml:8:74: connection.shop.auth.body._password: the environment variable `CADENCED_SHOP_PASSWORD` is not set
    "#);
    site.sources.credentials_dir = Some(PathBuf::from("/nonexistent"));
    insta::assert_snapshot!(site.mistakes().lines().next().unwrap(), @r"
    cadenced.toml:3:24: admin.token: the secret in /nonexistent/admin can't be read: No such file or directory (os error 2)
    ");
}

#[test]
fn secrets_named_wrongly_say_how_to_name_them() {
    let site = Site::new(
        r#"
[connection.shop]
url = "https://shop.example.com"
headers = { a = { evn = "X" }, b = { env = "X", file = "y" }, c = {}, d = 5, e = { file = 5 }, f = { credential = "../x" } }
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:4:25: connection.shop.headers.a: `evn` is no way to name a secret
      help: did you mean `env`?
    cadenced.toml:4:36: connection.shop.headers.b: names a secret in none or several ways
      help: a secret is { env = "…" }, { file = "…" } or { credential = "…" }
    cadenced.toml:4:67: connection.shop.headers.c: names a secret in none or several ways
      help: a secret is { env = "…" }, { file = "…" } or { credential = "…" }
    cadenced.toml:4:75: connection.shop.headers.d: expected a text or a secret, found a whole number
      help: a secret is { env = "…" }, { file = "…" } or { credential = "…" }
    cadenced.toml:4:91: connection.shop.headers.e: expected a text, found a whole number
    cadenced.toml:4:115: connection.shop.headers.f: `../x` is not the name of a credential
    "#);
}

#[test]
fn secrets_that_others_can_read_get_a_warning() {
    let site = Site::new(
        r#"
[admin]
token = "hunter2"

[connection.shop]
url = "https://shop.example.com"
headers = { one-tenant = "acme", ApiAuth = "hunter2", X-Key = { file = "open" } }
auth = { basic = { user = "erp", password = "hunter2" } }

[connection.erp]
sql = "postgres://erp:hunter2@localhost/erp"
"#,
    )
    .file("open", "hunter2");
    fs::set_permissions(site.path().join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(site.warnings(), @r#"
    cadenced.toml:3:9: admin.token: looks like a secret and is written into the configuration
      help: keep it in a file only the daemon reads: { file = "…" }, { credential = "…" } or { env = "…" }
    cadenced.toml:7:44: connection.shop.headers.ApiAuth: looks like a secret and is written into the configuration
      help: keep it in a file only the daemon reads: { file = "…" }, { credential = "…" } or { env = "…" }
    cadenced.toml:7:72: connection.shop.headers.X-Key: the secret in open can be read by everybody
      help: chmod o-r open
    cadenced.toml:8:45: connection.shop.auth.basic.password: looks like a secret and is written into the configuration
      help: keep it in a file only the daemon reads: { file = "…" }, { credential = "…" } or { env = "…" }
    cadenced.toml:11:7: connection.erp.sql: holds a password and is written into the configuration
      help: keep the whole address in a secret: { file = "…" } or { credential = "…" }
    "#);
}

#[test]
fn a_later_layer_names_a_secret_in_another_way() {
    let site = site().flag("connection.shop.headers.ApiAuth", r#"{ env = "OTHER" }"#).env("OTHER", "other");
    site.loaded();
    let site = site.env("CADENCED_ADMIN__TOKEN", "hunter2-variable");
    let loaded = site.loaded();
    let token = loaded.settings.admin.token.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(token), "hunter2-variable");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(site.warnings(), "");
}
