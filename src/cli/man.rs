//! The manual pages, made of what clap knows of each command, and of the shipped example of the daemon's file, so that they
//! can't say anything else than the program. Packages are built with them; whoever built from source can have them too.

use super::args::Cli;
use super::output::{Exit, Stop};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::path::Path;

/// Every key of the daemon's file, with what it means.
const EXAMPLE: &str = include_str!("../../packaging/cadenced.toml");

const SOURCE: &str = concat!("cadenced ", env!("CARGO_PKG_VERSION"));

const DESCRIPTION: &str = "cadenced runs on the server of an ERP. On each slot of a schedule it moves records between the ERP, \
    an SQL database, and a platform, a REST API. It keeps to every quota, loses no record, skips no slot silently, and says \
    over HTTP how it is doing.\n\n\
    `cadenced run` is the daemon. Most other commands talk to a daemon that runs, over a socket in its state directory; those \
    that can, do without it.";

const EXITS: [(&str, &str); 7] = [
    ("0", "It did what was asked; a run went through."),
    ("1", "A run failed, or the daemon refused."),
    ("2", "A run went through, but for some records."),
    ("64", "The command makes no sense."),
    ("69", "There is no daemon to talk to."),
    ("70", "Something of the program's own broke."),
    ("78", "The configuration, or a cron expression, is wrong."),
];

const FILES: [(&str, &str); 4] = [
    (
        "/etc/cadenced/cadenced.toml",
        "The daemon's file, unless there is a cadenced.toml in the current directory.",
    ),
    (
        "/var/lib/cadenced",
        "The state directory of the installed daemon, with control.sock, which only its owner and root may use.",
    ),
    ("/usr/share/cadenced", "Shipped schedules, the SQL of the ERP's side, alert rules for Prometheus."),
    ("/usr/share/doc/cadenced", "The documentation; README.md says where what is."),
];

const ENVIRONMENT: [(&str, &str); 1] = [(
    "CADENCED_KEY",
    "Every key of the configuration: CADENCED_ADMIN__LISTEN is admin.listen, with __ between levels and _ for -.",
)];

/// `cadenced man`: a page for each command and one for the daemon's file.
pub(super) fn man(dir: &Path) -> Result<Exit, Stop> {
    let broken = |error| Stop::new(Exit::Failed, format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(broken)?;
    let mut cli = Cli::command()
        .long_about(DESCRIPTION)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true);
    cli.build();
    pages(&cli, dir).map_err(broken)?;
    fs::write(dir.join("cadenced.toml.5"), file_page()).map_err(broken)?;
    Ok(Exit::Ok)
}

/// The page of a command and of those below it, but of none that nobody types.
fn pages(command: &Command, dir: &Path) -> std::io::Result<()> {
    let page = Man::new(command.clone()).source(SOURCE);
    let path = dir.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let mut more = Roff::new();
    if command.get_name() == "cadenced" {
        for (title, rows) in [("EXIT STATUS", &EXITS[..]), ("FILES", &FILES), ("ENVIRONMENT", &ENVIRONMENT)] {
            more.control("SH", [title]);
            for (what, meaning) in rows {
                more.control("TP", []).text([bold(*what)]).text([roman(*meaning)]);
            }
        }
        see_also(&mut more, "cadenced.toml(5), systemctl(1)");
    } else {
        see_also(&mut more, "cadenced(1), cadenced.toml(5)");
    }
    text.extend(more.to_roff().into_bytes());
    fs::write(path, text)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| pages(below, dir))
}

/// cadenced.toml(5): the shipped example, whose comments describe every key.
fn file_page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["cadenced.toml", "5", "", SOURCE]);
    page.control("SH", ["NAME"]).text([roman("cadenced.toml - configuration of the cadenced daemon")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "TOML: the daemon's own settings, the connections to the ERP and to platforms, and the directories of the schedule \
         files, in which jobs are described.",
    )]);
    page.text([
        bold("cadenced init"),
        roman(" writes a first one, "),
        bold("cadenced check"),
        roman(" says what is wrong with it as file:line:column, and "),
        bold("systemctl reload cadenced"),
        roman(" has the daemon take it up, or refuse it and go on with the old one."),
    ]);
    page.control("SH", ["ALL KEYS"]).control("nf", []);
    for line in EXAMPLE.lines() {
        // Roff knows no characters but those of ASCII.
        page.text([roman(line.replace('…', "..."))]);
    }
    page.control("fi", []);
    see_also(
        &mut page,
        "cadenced(1), and /usr/share/doc/cadenced/docs: pull.md, push.md, maps.md, steps.md and limits.md describe a job",
    );
    page.to_roff()
}

fn see_also(page: &mut Roff, pages: &str) {
    page.control("SH", ["SEE ALSO"]).text([roman(pages)]);
}
