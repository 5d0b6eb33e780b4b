//! `[inbound]`: the listener that platforms call, who may call it, and what a call may cost.

use super::document::Node;
use super::layers::resolve_path;
use super::reader::Table;
use super::units::{self, Wrong};
use super::{Sources, secret};
use crate::inbound::{BadTls, Callers, Limits, Settings, Terms, Tls, Way, Who};
use crate::words::Text;
use secrecy::SecretString;
use std::net::{Ipv4Addr, SocketAddr};

/// Where it listens unless it is told otherwise.
const PORT: u16 = 8641;
/// The largest body that may be let in, in bytes: it is held in memory, as often as there are calls at once.
const LARGEST_BODY: u64 = 64 << 20;
const MOST_AT_ONCE: u64 = 100_000;

/// The listener; nothing if any of it is wrong.
pub(super) fn read(sources: &Sources, table: &Table<'_>) -> Option<Settings> {
    let errors = table.errors();
    let listen = table.get("listen", address);
    let ways = [("headers", Way::Headers), ("basic", Way::Basic), ("bearer", Way::Bearer)];
    let ways = table.some_if_given("ways", |node| units::one_of(node, &ways));
    let ways = ways.unwrap_or_else(|| vec![Way::Headers, Way::Basic, Way::Bearer]);
    let tls = table.table("tls").map(|table| tls(sources, &table));
    let limits = limits(table);
    let callers = callers(sources, table, &ways);
    table.finish();
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    if tls.is_none() && !listen.ip().is_loopback() {
        let wrong = Wrong::new("passwords and orders come in unencrypted").help(Some(
            "add tls = { cert = \"…\", key = { file = \"…\" } }, or let a proxy with TLS stand before a loopback address"
                .to_owned(),
        ));
        table.warn(Some("listen"), &table.place("listen"), wrong);
    }
    table
        .is_clean_since(errors)
        .then(|| Settings { listen, terms: Terms { callers, limits, tls: tls.flatten() } })
}

pub(super) fn address(node: &Node) -> Result<SocketAddr, Wrong> {
    let text = units::text(node)?;
    text.parse().map_err(|_| {
        Wrong::new(format!("`{text}` is not an address and a port"))
            .help(Some("write it as \"127.0.0.1:8640\" or \"[::1]:8640\"".to_owned()))
    })
}

fn limits(table: &Table<'_>) -> Limits {
    let default = Limits::default();
    let whole = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let body_bytes = table.get("max-body", |node| match units::size(node)? {
        bytes if bytes <= LARGEST_BODY => Ok(bytes),
        _ => Err(Wrong::new("must not be more than 64 MiB: a body is held in memory")),
    });
    let time = |key, default| table.get(key, units::some_time).unwrap_or(default);
    Limits {
        body_bytes: whole(body_bytes).unwrap_or(default.body_bytes),
        head_time: time("head-time", default.head_time),
        body_time: time("body-time", default.body_time),
        answer_time: time("answer-time", default.answer_time),
        at_once: whole(table.get("at-once", |node| units::whole(node, 1, MOST_AT_ONCE)))
            .unwrap_or(default.at_once),
    }
}

/// Certificate and key, read from their files; what is wrong with them is said now and not at the first call.
fn tls(sources: &Sources, table: &Table<'_>) -> Option<Tls> {
    let cert = table.require("cert", |node| {
        let path = resolve_path(&node.at, &units::words(node)?);
        std::fs::read(&path).map_err(|error| Wrong::new(format!("{} can't be read: {error}", path.display())))
    });
    let key = table.require("key", |node| match secret::read(sources, table, "key", node)? {
        secret @ Text::Secret(_) => Ok(secret),
        Text::Plain(_) => Err(Wrong::new("must be named as a secret")
            .help(Some("key = { file = \"…\" } or { credential = \"…\" }".to_owned()))),
    });
    table.finish();
    let bad = |key: &str, bad: BadTls| table.error(Some(key), &table.place(key), units::refused(bad));
    match Tls::new(&cert?, key?.expose().as_bytes()) {
        Ok(tls) => Some(tls),
        Err(error) => {
            bad(if error == BadTls::Certificate { "cert" } else { "key" }, error);
            None
        }
    }
}

fn callers(sources: &Sources, table: &Table<'_>, ways: &[Way]) -> Callers {
    let mut callers = Callers::new(ways);
    let Some(all) = table.table("caller").filter(|all| !all.node.entries().is_empty()) else {
        let wrong = Wrong::new("nobody may call").help(Some(
            "describe a caller: [inbound.caller.NAME] with `user` and `password`, or `token`".to_owned(),
        ));
        table.error(Some("caller"), &table.place("caller"), wrong);
        return callers;
    };
    for (name, node) in all.node.entries() {
        let Some(caller) = all.below(name, node) else { continue };
        let secret = |key| caller.get(key, |node| secret::read(sources, &caller, key, node));
        let (user, password, token) = (caller.get("user", units::words), secret("password"), secret("token"));
        let hidden = |text: &Text| SecretString::from(text.expose());
        let given = |key: &str| caller.node.get(key).is_some();
        for (one, other) in [("user", "password"), ("password", "user")] {
            if given(one) && !given(other) {
                caller.error(Some(one), &caller.place(one), Wrong::new(format!("needs `{other}`")));
            }
        }
        if !given("user") && !given("password") && !given("token") {
            let wrong = Wrong::new("has nothing to prove who it is by")
                .help(Some("give it `user` and `password`, or `token`".to_owned()));
            caller.error(None, &caller.node.key_at, wrong);
        }
        if let (Some(username), Some(password)) = (user, &password) {
            callers = callers.with(name, &Who::Password { username, password: hidden(password) });
            useless(&caller, "password", ways, &[Way::Headers, Way::Basic]);
        }
        if let Some(token) = &token {
            callers = callers.with(name, &Who::Token(hidden(token)));
            useless(&caller, "token", ways, &[Way::Bearer]);
        }
        caller.finish();
    }
    callers
}

/// Says of credentials that no open way takes them.
fn useless(caller: &Table<'_>, key: &str, ways: &[Way], takes: &[Way]) {
    if !takes.iter().any(|way| ways.contains(way)) {
        let wrong = Wrong::new("can't be presented: `ways` leaves out every way it could be");
        caller.warn(Some(key), &caller.place(key), wrong);
    }
}
