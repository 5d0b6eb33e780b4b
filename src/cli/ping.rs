//! `cadenced ping`: asks a connection whether it works, through the daemon if one runs, so that quotas are shared.

use super::args::{Format, Ping as Args};
use super::output::{Exit, Stop, Table, json_line, say};
use super::place::Place;
use crate::admin::{ClientError, ControlClient};
use crate::clock::SystemClock;
use crate::daemon;
use crate::rest::Ping;
use crate::words::ConnectionName;
use std::io::Write;
use std::sync::Arc;

pub(super) async fn ping(place: &Place, args: &Args, out: &mut impl Write) -> Result<Exit, Stop> {
    let ping = match ControlClient::connect(&place.state()?).await {
        Ok(daemon) => daemon.ping(&args.connection).await?,
        Err(ClientError::NoDaemon { .. }) => without_daemon(place, &args.connection).await?,
        Err(error) => return Err(error.into()),
    };
    match args.format {
        Format::Json => json_line(out, &ping)?,
        Format::Text => print(&ping, out)?,
    }
    say(format!("{} {}", args.connection, ping.verdict));
    Ok(if ping.ok { Exit::Ok } else { Exit::Failed })
}

async fn without_daemon(place: &Place, connection: &str) -> Result<Ping, Stop> {
    let loaded = place.load()?;
    let unknown = || Stop::new(Exit::Usage, format!("there is no connection `{connection}`"));
    let name = ConnectionName::new(connection).map_err(|_| unknown())?;
    if !loaded.connections.contains_key(&name) {
        return Err(unknown());
    }
    daemon::ping(&loaded, &name, Arc::new(SystemClock)).await?.ok_or_else(unknown)
}

fn print(ping: &Ping, out: &mut impl Write) -> Result<(), Stop> {
    let mut table = Table::new(["STEP", "IS", "FOUND"]);
    for step in &ping.steps {
        let is = if step.ok { "ok" } else { "wrong" };
        table.row([step.what.clone(), is.to_owned(), step.found.clone()]);
    }
    table.print(out)
}
