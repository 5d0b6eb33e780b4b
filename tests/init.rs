//! `cadenced init` writes a directory that can be used as it is, keeps secrets apart, and writes nothing over.

use crate::sql::interface;
use crate::support::{Erp, Judge, program, stderr};
use cadenced::connection::Dialect;
use cadenced::sandbox::{B2Market, One, b2market, one};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

const KEY: &str = "0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210";

/// Both platforms, and a directory with their secrets.
struct World {
    dir: TempDir,
    one: One,
    b2market: B2Market,
}

impl World {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), format!("{KEY}\n")).unwrap();
        fs::write(dir.path().join("password"), "b2m-secret").unwrap();
        let one = One::start(one::Options::default()).unwrap();
        let b2market = B2Market::start(b2market::Options::default()).unwrap();
        Self { dir, one, b2market }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(self.dir.path()).args(arguments).output().unwrap()
    }

    fn init(&self, erp: &str) -> Output {
        let (one, b2market) =
            (format!("one.url={}", self.one.url()), format!("b2market.url={}", self.b2market.url()));
        let mut arguments = vec!["init", "shop", "--platform", "one", "--platform", "b2market", "--erp", erp];
        for setting in [&*one, "one.tenant=acme", &*b2market, "b2market.username=erp"] {
            arguments.extend(["--set", setting]);
        }
        for secret in ["one.api-auth=key", "b2market.password=password"] {
            arguments.extend(["--secret", secret]);
        }
        self.run(&arguments)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("shop").join(name)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_state_lies_beside_the_configuration_or_where_it_is_told() {
    let world = World::start();
    let state = |dir: &str| {
        let file = fs::read_to_string(world.dir.path().join(dir).join("cadenced.toml")).unwrap();
        file.parse::<toml::Table>().unwrap()["state"].as_str().unwrap().to_owned()
    };
    let init = |dir: &str, more: &[&str]| {
        let settings =
            ["--platform", "one", "--erp", "sqlite://erp.db", "--set", "one.url=http://127.0.0.1:1"];
        let given = [&["init", dir, "--set", "one.tenant=acme"], &settings[..], more].concat();
        let output = world.run(&given);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    init("here", &[]);
    assert_eq!(state("here"), "state");
    init("there", &["--state", "elsewhere"]);
    assert_eq!(Path::new(&state("there")), world.dir.path().join("elsewhere"));
}

#[tokio::test]
async fn what_it_writes_checks_and_runs_against_the_platforms() {
    let world = World::start();
    let output = world.init("sqlite://erp.db?mode=rwc");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let next = [
        "| sqlite3 shop/erp.db",
        "--config shop/cadenced.toml check --connect",
        "--config shop/cadenced.toml run",
    ];
    assert!(next.iter().all(|next| said.contains(next)), "{said}");
    let written = fs::read_to_string(world.path("cadenced.toml")).unwrap();
    assert!(!written.contains(KEY) && !written.contains("b2m-secret"), "{written}");
    for secret in ["secrets/one-api-auth", "secrets/b2market-password"] {
        assert_eq!((mode(&world.path(secret)), mode(&world.path("secrets"))), (0o600, 0o700));
    }

    let schema = fs::read_to_string(world.path("cadenced.schema.json")).unwrap();
    assert_eq!(schema.as_bytes(), world.run(&["schema"]).stdout);
    let judge = Judge::new(&schema);
    for (file, to_schema) in [("cadenced.toml", "./"), ("site/ours.toml", "../"), ("schedules/one.toml", "")]
    {
        let text = fs::read_to_string(world.path(file)).unwrap();
        assert_eq!(judge.refusals(&text.parse().unwrap()), [""; 0], "{file}");
        let named = text.starts_with(&format!("#:schema {to_schema}cadenced.schema.json\n"));
        assert!(named || to_schema.is_empty(), "{file}");
    }

    let check = world.run(&["--config", "shop/cadenced.toml", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(!stderr(&check).contains("warning"), "{}", stderr(&check));
    let erp = world.path("erp.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", erp.display())).await.unwrap();
    for name in ["one", "b2market"] {
        let sql = fs::read_to_string(world.path(&format!("erp/{name}.sql"))).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    let check = world.run(&["--config", "shop/cadenced.toml", "check", "--connect"]);
    assert!(check.status.success(), "{}", stderr(&check));
    // From inside, where the file is found without being named.
    let inside = program(&world.path("")).args(["check", "--connect"]).output().unwrap();
    assert!(inside.status.success(), "{}", stderr(&inside));
    world.one.add_order();
    world.b2market.seed(3);
    for job in ["one-orders", "b2market-orders"] {
        let once = world.run(&["--config", "shop/cadenced.toml", "once", job]);
        assert!(once.status.success(), "{}", stderr(&once));
    }
    let orders: i64 = sqlx::query_scalar(
        "select (select count(*) from cadenced_orders) + (select count(*) from b2market_orders)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(orders, 4);
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let world = World::start();
    fs::create_dir_all(world.path("site")).unwrap();
    fs::write(world.path("site/ours.toml"), "# mine").unwrap();
    let output = world.init("sqlite://erp.db");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "cadenced: nothing was written: shop/site/ours.toml is there already\n");
    assert!(!world.path("cadenced.toml").exists() && !world.path("secrets").exists());
    assert_eq!(fs::read_to_string(world.path("site/ours.toml")).unwrap(), "# mine");
}

#[test]
fn what_is_missing_or_misspelt_is_told_and_secrets_stay_off_the_command_line() {
    let world = World::start();
    let one = ["init", "shop", "--platform", "one", "--erp", "sqlite://erp.db"];
    let with = |more: &[&str]| world.run(&[&one, more].concat());
    for (more, code, said) in [
        (&[][..], 64, "still to be told: --set one.url=… (the host, such as"),
        (&["--set", "one.api-auth=x"][..], 64, "`one.api-auth` is a secret: name a file that holds it"),
        (
            &["--set", "one.urll=x"][..],
            64,
            "nothing is called `one.urll`; there are: one.url, one.tenant, one.api-auth",
        ),
        (
            &["--platform", "two"][..],
            64,
            "there is no platform `two`; there are: one, b2market, eryxon, cortecloud, commerceup",
        ),
        (&["--secret", "one.api-auth=nowhere"][..], 64, "nowhere: "),
    ] {
        let output = with(more);
        assert_eq!(output.status.code(), Some(code), "{more:?}");
        assert!(stderr(&output).contains(said), "{more:?}: {}", stderr(&output));
        assert!(!world.path("").exists(), "{more:?}");
    }
    // An address that is none is told with its place.
    let output = with(&["--set", "one.url=shop.example.com", "--set", "one.tenant=a"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("connection.one.url"), "{}", stderr(&output));
}

#[test]
fn an_erp_address_with_a_password_and_a_secret_that_was_not_given_have_files_of_their_own() {
    let world = World::start();
    let erp = "postgres://erp:pg-secret@127.0.0.1/erp";
    let output = world.run(&[
        "init",
        "shop",
        "--platform",
        "one",
        "--erp",
        erp,
        "--set",
        "one.url=https://one.example.com",
        "--set",
        "one.tenant=a\"b",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("put the secret into        shop/secrets/one-api-auth")
            && said.contains("| psql DATABASE"),
        "{said}"
    );
    assert!(!said.contains("pg-secret"), "{said}");
    assert_eq!(fs::read_to_string(world.path("secrets/erp-address")).unwrap().trim(), erp);
    assert_eq!(mode(&world.path("secrets/erp-address")), 0o600);
    assert!(!fs::read_to_string(world.path("cadenced.toml")).unwrap().contains("pg-secret"));
    let sql = fs::read_to_string(world.path("erp/one.sql")).unwrap();
    assert_eq!(sql, interface(Dialect::Postgres)[0]);
    let check = world.run(&["--config", "shop/cadenced.toml", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
}

#[test]
fn each_platform_can_be_chosen() {
    let world = World::start();
    let mut arguments = vec!["init", "shop", "--erp", "mysql://db/erp"];
    for platform in ["one", "b2market", "eryxon", "cortecloud", "commerceup"] {
        arguments.extend(["--platform", platform]);
    }
    for setting in [
        "one.url=https://one.example.com",
        "one.tenant=acme",
        "b2market.url=https://b2market.example.com/api",
        "b2market.username=erp",
        "eryxon.url=https://eryxon.example.com/functions/v1",
        "cortecloud.url=https://cortecloud.example.com",
        "cortecloud.user=shop@example.com",
        "commerceup.url=https://commerceup.example.com/v1/hash",
        "commerceup.caller=shop",
    ] {
        arguments.extend(["--set", setting]);
    }
    let output = world.run(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let check = world.run(&["--config", "shop/cadenced.toml", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    let jobs = String::from_utf8(check.stdout).unwrap();
    for job in ["one-stocks", "b2market-orders", "eryxon-cells", "cortecloud-services", "commerceup-stocks"] {
        assert!(jobs.contains(job), "{jobs}");
    }
}

/// The document describes the tables that are shipped, column by column, and each dialect has the same.
#[tokio::test]
async fn the_erp_interface_is_described_as_it_is_shipped() {
    let document = include_str!("../docs/erp-interface.md");
    for (place, section) in [(0, "ONe"), (1, "B2Market")] {
        let described = described(document, section);
        assert!(!described.is_empty(), "{section}");
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
            let erp = Erp::new(dialect).await;
            // Twice: what is there stays.
            erp.run(interface(dialect)[place]).await;
            erp.run(interface(dialect)[place]).await;
            let mut shipped = Vec::new();
            for table in interface(dialect)[place].split("create table if not exists ").skip(1) {
                let table = table.split(' ').next().unwrap();
                shipped.push((table.to_owned(), erp.columns(table).await));
            }
            shipped.sort();
            assert_eq!(described, shipped, "{section} on {dialect:?}");
        }
    }
}

/// The tables of a section with their columns, by name.
fn described(document: &str, section: &str) -> Vec<(String, Vec<String>)> {
    let section = document.split("\n## ").find(|part| part.starts_with(&format!("{section}\n"))).unwrap();
    let table = |part: &str| {
        let name = part.split('\n').next().unwrap().to_owned();
        let columns = part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        (name, columns.map(str::to_owned).collect())
    };
    let mut tables: Vec<(String, Vec<String>)> = section.split("\n### ").skip(1).map(table).collect();
    tables.sort();
    tables
}
