//! `[connection.NAME]`: an SQL database (`sql`) or a REST API (`url`).

use super::diagnostic::did_you_mean;
use super::document::{Node, Value};
use super::layers::{absolute_path, resolve_path};
use super::reader::Table;
use super::units::{self, Wrong};
use super::{Loaded, Sources, secret};
use crate::connection::{
    Auth, Connection, ConnectionKind, Dialect, Limits, Login, RestConnection, SqlConnection, Timeouts,
};
use crate::retry::{Backoff, BreakerRules};
use crate::words::{ConnectionName, Text};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::time::Duration;

/// What in a SQLite path would be taken for something else in an address.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// Reads all connections into `loaded`; those with a mistake are left out.
pub(super) fn read_all(sources: &Sources, all: &Table<'_>, loaded: &mut Loaded) {
    let names = || all.node.entries().iter().map(|(name, _)| name.as_str());
    for (text, node) in all.node.entries() {
        let name = all.read(text, node, |node| {
            ConnectionName::new(text).map_err(|bad| units::refused(bad).at(node.key_at.clone()))
        });
        let (Some(name), Some(table)) = (name, all.below(text, node)) else { continue };
        let near = || did_you_mean(text, names().filter(|other| other != text));
        if let Some(connection) = read(sources, &table, name.clone(), near) {
            loaded.connections.insert(name, connection);
        }
    }
}

fn read(
    sources: &Sources,
    table: &Table<'_>,
    name: ConnectionName,
    near: impl Fn() -> Option<String>,
) -> Option<Connection> {
    let errors = table.errors();
    let sql = table.get("sql", |node| sql_url(sources, table, node));
    let url = table.get("url", rest_url);
    let kind = match (table.node.get("sql"), table.node.get("url")) {
        (Some(_), None) => {
            let statement_timeout =
                table.get("statement-timeout", units::some_time).unwrap_or(Duration::from_secs(300));
            sql.map(|(url, dialect)| ConnectionKind::Sql(SqlConnection { url, dialect, statement_timeout }))
        }
        (None, Some(_)) => {
            rest(sources, table, url.unwrap_or_default()).map(Box::new).map(ConnectionKind::Rest)
        }
        (sql, _) => {
            let problem =
                if sql.is_some() { "has both `sql` and `url`" } else { "has neither `sql` nor `url`" };
            let kinds =
                "a connection is an SQL database (sql = \"sqlite://…\") or a REST API (url = \"https://…\")";
            let help = near().filter(|_| sql.is_none()).unwrap_or_else(|| kinds.to_owned());
            table.error(None, &table.node.key_at, Wrong::new(problem).help(Some(help)));
            return None;
        }
    };
    table.finish();
    let kind = kind.filter(|_| table.is_clean_since(errors))?;
    Some(Connection { name, kind })
}

fn sql_url(sources: &Sources, table: &Table<'_>, node: &Node) -> Result<(SecretString, Dialect), Wrong> {
    let text = secret::read(sources, table, "sql", node)?;
    let url = text.expose();
    // The address may hold a password: no message repeats it.
    let dialect = match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Dialect::Sqlite,
        Some("postgres" | "postgresql") => Dialect::Postgres,
        Some("mysql" | "mariadb") => Dialect::Mysql,
        _ => {
            let help =
                "write it as \"sqlite://erp.db\", \"postgres://host/database\" or \"mysql://host/database\"";
            return Err(Wrong::new("is not the address of a known database").help(Some(help.to_owned())));
        }
    };
    if dialect == Dialect::Sqlite {
        return Ok((SecretString::from(absolute_sqlite(node, url)), dialect));
    }
    let parsed = Url::parse(url).map_err(|error| Wrong::new(format!("is not an address: {error}")))?;
    if matches!(text, Text::Plain(_)) && parsed.password().is_some() {
        let wrong = Wrong::new("holds a password and is written into the configuration").help(Some(
            "keep the whole address in a secret: { file = \"…\" } or { credential = \"…\" }".to_owned(),
        ));
        table.warn(Some("sql"), &node.at, wrong);
    }
    Ok((SecretString::from(url), dialect))
}

fn absolute_sqlite(node: &Node, url: &str) -> String {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    if rest.starts_with([':', '/']) || rest.contains("mode=memory") {
        return url.to_owned();
    }
    let (path, query) = rest.find('?').map_or((rest, ""), |at| rest.split_at(at));
    // Not the empty path, which has no absolute form: the file may have been named without a directory.
    let directory = absolute_path(&node.at, ".").display().to_string();
    let directory = utf8_percent_encode(directory.trim_end_matches('/'), PATH);
    format!("sqlite://{directory}/{path}{query}")
}

fn rest_url(node: &Node) -> Result<String, Wrong> {
    let text = units::text(node)?;
    let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not an address: {error}")))?;
    let problem = if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        "must start with https:// or http:// and a host"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must end with its path; queries belong to jobs"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not hold a user; use auth = { basic = { user = \"…\", password = { file = \"…\" } } }"
    } else {
        return Ok(text.trim_end_matches('/').to_owned());
    };
    Err(Wrong::new(problem))
}

fn rest(sources: &Sources, table: &Table<'_>, url: String) -> Option<RestConnection> {
    let headers = table.entries("headers", |headers, name, node| {
        let text = secret::read(sources, headers, name, node)?;
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Wrong::new("is not the name of a header").at(node.key_at.clone()))?;
        header_value(&text)?;
        Ok(text)
    });
    let auth = match table.table("auth") {
        Some(auth) => self::auth(sources, &auth),
        None => Some(Auth::Headers),
    };
    let quota = table.list("quota", units::quota);
    let in_flight = table.get("in-flight", |node| units::whole(node, 1, 1_000));
    let timeouts = table.table("timeouts").map(|table| timeouts(&table));
    let max_body = table.get("max-body", units::size);
    let ca_file = table.get("ca-file", |node| {
        let path = resolve_path(&node.at, &units::words(node)?);
        std::fs::metadata(&path)
            .map_err(|error| Wrong::new(format!("{} can't be read: {error}", path.display())))?;
        Ok(std::path::absolute(&path).unwrap_or(path))
    });
    let proxy = table.get("proxy", |node| {
        let text = secret::read(sources, table, "proxy", node)?;
        // It may hold a password: no message repeats it.
        let url =
            Url::parse(text.expose()).map_err(|error| Wrong::new(format!("is not an address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Wrong::new("must start with http:// or https:// and a host"));
        }
        if matches!(text, Text::Plain(_)) && url.password().is_some() {
            return Err(Wrong::new("holds a password and is written into the configuration").help(Some(
                "keep the whole address in a secret: { file = \"…\" } or { credential = \"…\" }".to_owned(),
            )));
        }
        Ok(text)
    });
    let check = table.get("check", path);
    let limits = limits(table);
    Some(RestConnection {
        url,
        headers: headers.unwrap_or_default(),
        auth: auth?,
        quota: quota.unwrap_or_default(),
        in_flight: in_flight.and_then(|number| usize::try_from(number).ok()).unwrap_or(2),
        timeouts: timeouts.unwrap_or_default(),
        max_body: max_body.unwrap_or(256_000_000),
        ca_file,
        proxy,
        check,
        limits,
    })
}

fn limits(table: &Table<'_>) -> Limits {
    let default = Limits::default();
    let (mut retry, mut retry_share, mut breaker) = (default.retry, default.retry_share, default.breaker);
    if let Some(keys) = table.table("retry") {
        let tries = keys.get("tries", |node| units::whole(node, 1, 100));
        retry = Backoff {
            tries: tries.and_then(|tries| u32::try_from(tries).ok()).unwrap_or(retry.tries),
            first: keys.get("first", units::some_time).unwrap_or(retry.first),
            longest: keys.get("longest", units::some_time).unwrap_or(retry.longest),
            patience: keys.get("within", units::some_time).unwrap_or(retry.patience),
        };
        retry_share = keys.get("share", units::fraction).unwrap_or(retry_share);
        keys.finish();
    }
    if let Some(keys) = table.table("breaker") {
        let after = keys.get("after", |node| units::whole(node, 1, 1_000));
        breaker = BreakerRules {
            after: after.and_then(|after| u32::try_from(after).ok()).unwrap_or(breaker.after),
            probe: keys.get("probe", units::some_time).unwrap_or(breaker.probe),
            longest: keys.get("longest", units::some_time).unwrap_or(breaker.longest),
        };
        keys.finish();
    }
    Limits {
        early: table.get("early", units::fraction).unwrap_or(default.early),
        park_after: table.get("park-after", units::some_time).unwrap_or(default.park_after),
        retry,
        retry_share,
        breaker,
    }
}

fn path(node: &Node) -> Result<String, Wrong> {
    let path = units::text(node)?;
    if !path.starts_with('/') {
        return Err(Wrong::new("a path starts with `/`; the connection's url stands before it"));
    }
    Ok(path.to_owned())
}

fn header_value(text: &Text) -> Result<(), Wrong> {
    HeaderValue::from_str(text.expose())
        .map(|_| ())
        .map_err(|_| Wrong::new("holds a character that no header can carry"))
}

fn timeouts(table: &Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        connect: table.get("connect", units::some_time).unwrap_or(default.connect),
        read: table.get("read", units::some_time).unwrap_or(default.read),
        total: table.get("total", units::some_time).unwrap_or(default.total),
        idle: table.get("idle", units::some_time).unwrap_or(default.idle),
    };
    table.finish();
    timeouts
}

fn auth(sources: &Sources, table: &Table<'_>) -> Option<Auth> {
    if let Some(basic) = table.table("basic") {
        let user = basic.require("user", |node| secret::read(sources, &basic, "user", node));
        let password = basic.require("password", |node| secret::read(sources, &basic, "password", node));
        basic.finish();
        // The keys of a login are unknown here: a connection proves itself in one way.
        table.finish();
        return Some(Auth::Basic { user: user?, password: password? });
    }
    let path = table.require("login", path);
    let body = table.entries("body", |body, name, node| secret::read(sources, body, name, node));
    let token = table.require("token", units::field_path);
    let renew_on = table.list("renew-on", status);
    let header = table.get("header", |node| {
        let name = units::text(node)?;
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Wrong::new(format!("`{name}` is not the name of a header")))?;
        Ok(name.to_owned())
    });
    let prefix = table.get("prefix", |node| units::text(node).map(str::to_owned));
    let margin = table.get("margin", units::duration);
    table.finish();
    Some(Auth::Login(Box::new(Login {
        path: path?,
        body: body.unwrap_or_default(),
        token: token?,
        renew_on: renew_on.unwrap_or_else(|| vec![401]),
        header: header.unwrap_or_else(|| "Authorization".to_owned()),
        prefix: prefix.unwrap_or_else(|| "Bearer ".to_owned()),
        margin: margin.unwrap_or(Duration::from_secs(120)),
    })))
}

fn status(node: &Node) -> Result<u16, Wrong> {
    let status = units::whole(node, 400, 599)?;
    u16::try_from(status).map_err(units::refused)
}

/// Which kind of connection a table is meant to be, also where something in it is wrong.
pub(super) fn is_sql(node: &Node) -> Option<bool> {
    match (&node.value, node.get("sql"), node.get("url")) {
        (Value::Table(_), Some(_), None) => Some(true),
        (Value::Table(_), None, Some(_)) => Some(false),
        _ => None,
    }
}
