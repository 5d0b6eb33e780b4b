//! `cadenced sandbox`: simulated platforms on loopback until Ctrl-C, for a configuration to be tried against.
//!
//! It prints where each is reached, with which credentials, and what can be switched; then each rule of a platform's contract
//! that a request broke, as it comes. A configuration that keeps to the contracts sees none.

use super::args::Sandbox;
use super::output::{Exit, Stop, counted, say};
use super::runtime;
use crate::daemon::until_told_to_stop;
use crate::sandbox::{Kind, PLATFORMS, Platform, Switches, WireOptions};
use std::io::Write;
use std::time::Duration;

/// The time between two things that happen on a platform.
const BEAT: Duration = Duration::from_secs(2);

pub(super) fn sandbox(args: &Sandbox, out: &mut impl Write) -> Result<Exit, Stop> {
    let wanted =
        |kind: &&&Kind| args.platforms.is_empty() || args.platforms.iter().any(|name| name == kind.name);
    let mut running = Vec::new();
    for (place, kind) in (0..).zip(PLATFORMS.iter().filter(wanted)) {
        let switches = switched(kind, &args.switches)?;
        let port = match args.listen.port() {
            0 => 0,
            first => {
                first.checked_add(place).ok_or_else(|| Stop::new(Exit::Usage, "there are no ports left"))?
            }
        };
        let wire = WireOptions { port, ..WireOptions::default() };
        let platform = (kind.start)(wire, &switches).map_err(|error| {
            Stop::new(Exit::Failed, format!("{} can't listen on port {port}: {error}", kind.title))
        })?;
        for planned in &args.faults {
            platform.wire().fail_every(planned.every, &planned.path, planned.fault.clone());
        }
        introduce(kind, platform.as_ref(), &switches, out)?;
        running.push((*kind, platform));
    }
    let known = |name: &str| running.iter().any(|(kind, _)| kind.name == name);
    if let Some(other) =
        args.switches.iter().find(|text| !text.split_once('.').is_some_and(|(name, _)| known(name)))
    {
        let problem =
            format!("`{other}`: a switch is written PLATFORM.SWITCH=VALUE, for a platform that is served");
        return Err(Stop::new(Exit::Usage, problem));
    }
    writeln!(out, "Ctrl-C stops. Rules that requests break are reported here.")?;
    out.flush()?;
    runtime()?.block_on(watch(&running));
    for (kind, platform) in &running {
        let (requests, broken) = (platform.wire().count(), platform.wire().broken_rules().len());
        let (requests, broken) = (counted(requests as u64, "request"), counted(broken as u64, "broken rule"));
        writeln!(out, "{}: {requests}, {broken}", kind.title)?;
    }
    Ok(Exit::Ok)
}

/// The platform's switches as the arguments set them.
fn switched(kind: &Kind, assignments: &[String]) -> Result<Switches, Stop> {
    let switches = Switches::new(kind.switches);
    let own = assignments.iter().filter_map(|text| text.strip_prefix(kind.name)?.strip_prefix('.'));
    for assignment in own {
        switches
            .set(assignment)
            .map_err(|error| Stop::new(Exit::Usage, format!("{}: {error}", kind.name)))?;
    }
    Ok(switches)
}

fn introduce(
    kind: &Kind,
    platform: &dyn Platform,
    switches: &Switches,
    out: &mut impl Write,
) -> Result<(), Stop> {
    writeln!(out, "{}  {}", kind.title, platform.url())?;
    for (name, value) in platform.credentials() {
        writeln!(out, "  {name:<12} {value}")?;
    }
    writeln!(out, "  switches, as in --switch {}.NAME=VALUE:", kind.name)?;
    for switch in kind.switches {
        let (set, takes) = (switches.text(switch.name), switch.takes.described());
        writeln!(out, "    {}={set}  ({takes}) {}", switch.name, switch.meaning)?;
    }
    Ok(writeln!(out)?)
}

/// Lets things happen and reports broken rules until the process is told to stop.
async fn watch(running: &[(&Kind, Box<dyn Platform>)]) {
    let mut reported = vec![0; running.len()];
    let mut beat = tokio::time::interval(BEAT);
    let mut stop = std::pin::pin!(until_told_to_stop());
    loop {
        let stopped = tokio::select! {
            () = &mut stop => true,
            _ = beat.tick() => false,
        };
        for ((kind, platform), reported) in running.iter().zip(&mut reported) {
            let broken = platform.wire().broken_rules();
            for broken in broken.get(*reported..).unwrap_or_default() {
                say(format_args!("{}: {}: {}: {}", kind.name, broken.call, broken.rule, broken.what));
            }
            *reported = broken.len();
            if !stopped {
                platform.stir();
            }
        }
        if stopped {
            return;
        }
    }
}
