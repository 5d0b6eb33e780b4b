//! What concerns the daemon as a whole: the top-level keys, `[admin]`, `[log]` and `[housekeeping]`; `[inbound]` has a
//! file of its own.

use super::document::Node;
use super::layers::absolute_path;
use super::reader::Table;
use super::units::{self, Wrong};
use super::{Admin, Log, Settings, Sources, inbound, secret};
use crate::housekeeping::Rules;
use crate::telemetry::LogFormat;
use chrono_tz::Tz;
use secrecy::SecretString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Reads the settings; a wrong one is reported and its default stands in, so that reading can go on.
pub(super) fn read(sources: &Sources, root: &Table<'_>) -> Settings {
    let state = root.get("state", path).unwrap_or_else(|| absolute_path(&root.node.at, "state"));
    let settings = Settings {
        timezone: root.get("timezone", units::zone).unwrap_or(Tz::UTC),
        state,
        schedules: root.list("schedules", path).unwrap_or_default(),
        admin: root.table("admin").map_or_else(default_admin, |table| admin(sources, &table)),
        inbound: root.table("inbound").and_then(|table| inbound::read(sources, &table)),
        drain_timeout: root.get("drain-timeout", units::duration).unwrap_or(Duration::from_secs(30)),
        log: root.table("log").map_or_else(default_log, |table| log(&table)),
        housekeeping: root.table("housekeeping").map_or_else(Rules::default, |table| housekeeping(&table)),
    };
    root.take("connection");
    root.take("job");
    root.finish();
    settings
}

fn path(node: &Node) -> Result<PathBuf, Wrong> {
    Ok(absolute_path(&node.at, &units::words(node)?))
}

fn default_admin() -> Admin {
    Admin { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8640)), token: None }
}

fn admin(sources: &Sources, table: &Table<'_>) -> Admin {
    let listen = table.get("listen", inbound::address);
    let token = table.get("token", |node| secret::read(sources, table, "token", node));
    table.finish();
    let default = default_admin();
    Admin {
        listen: listen.unwrap_or(default.listen),
        token: token.map(|token| SecretString::from(token.expose())),
    }
}

fn default_log() -> Log {
    Log { level: tracing::Level::INFO, format: LogFormat::Text }
}

fn log(table: &Table<'_>) -> Log {
    use tracing::Level;
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = table.get("level", |node| units::one_of(node, &levels));
    let format = table.get("format", |node| units::one_of(node, &formats));
    table.finish();
    let default = default_log();
    Log { level: level.unwrap_or(default.level), format: format.unwrap_or(default.format) }
}

fn housekeeping(table: &Table<'_>) -> Rules {
    let history = table.get("history", units::some_time);
    let exports = table.get("exports", |node| units::whole(node, 0, 10_000));
    table.finish();
    let default = Rules::default();
    Rules {
        history: history.unwrap_or(default.history),
        exports: exports.and_then(|exports| usize::try_from(exports).ok()).unwrap_or(default.exports),
    }
}
