//! One test per kind of mistake, with what an operator reads.

use super::*;
use crate::job::Trigger;

#[test]
fn five_mistakes_are_reported_at_once_each_where_it_was_made() {
    let site = Site::new(&format!(
        "timezone = \"Europe/Warszawa\"\nschedules = [\"jobs\"]\n{CONNECTIONS}quota = [\"10 per second\"]\n"
    ))
    .file(
        "jobs/one.toml",
        "[job.a]\ncron = \"0 61 * * * *\"\n\n[job.b]\ncron = \"0 * * * * *\"\ntimout = \"5m\"\n",
    )
    .env("CADENCED_ADMIN__LISTN", "127.0.0.1:1");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:1:12: timezone: `Europe/Warszawa` is not an IANA time zone
      help: did you mean `Europe/Warsaw`?
    cadenced.toml:13:10: connection.one.quota: `10 per second` is not a quota
      help: write the requests and the window (s, min, h, day): "10/s", "300/min", "1000/day"
    jobs/one.toml:2:11: job.a.cron: minute: `61` is not a minute: write 0 to 59
    jobs/one.toml:6:1: job.b.timout: unknown key
      help: did you mean `timeout`?
    CADENCED_ADMIN__LISTN:1:1: admin.listn: unknown key
      help: did you mean `CADENCED_ADMIN__LISTEN`?
    "#);
}

#[test]
fn one_bad_job_does_not_hide_what_is_wrong_with_another() {
    let site =
        Site::with_jobs("[job.a]\ncron = 5\n[job.b]\nevery = \"7m\"\n[job.C]\n[job.d]\nenabled = \"yes\"\n");
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:12:8: job.a.cron: expected a text, found a whole number
    cadenced.toml:14:9: job.b.every: 7m does not divide 24 hours into equal parts, so its times would drift from day to day; use a step such as 5m, 30m, 2h or 24h, or a cron expression
    cadenced.toml:15:6: job.C: `C` is not a name: use lower-case letters, digits and hyphens, starting with a letter or digit, 64 at most
    cadenced.toml:16:6: job.d: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    cadenced.toml:17:11: job.d.enabled: expected true or false, found a text
    ");
}

#[test]
fn unknown_keys_are_refused_in_every_layer() {
    let site = Site::new(
        "statee = \"x\"\nschedules = [\"jobs\"]\n[admin]\nport = 80\n[log]\nlevels = \"info\"\n[connection.one]\nurl = \"https://one.example.com\"\nin_flight = 2\ntimeouts = { conect = \"1s\" }\n",
    )
    .file("jobs/a.toml", "state = \"x\"\njbo = 1\n[job.a]\ncron = \"0 * * * * *\"\nrerun = { times = 1, every = \"1m\", evry = 2 }\n")
    .env("CADENCED_TIMEZON", "UTC")
    .env("CADENCED_JOB__A__CRN", "0 * * * * *")
    .env("CADENCED_FOO", "bar")
    .flag("job.a.sumary", "x");
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:1:1: statee: unknown key
      help: did you mean `state`?
    cadenced.toml:4:1: admin.port: unknown key
    cadenced.toml:6:1: log.levels: unknown key
      help: did you mean `level`?
    cadenced.toml:9:1: connection.one.in_flight: unknown key
      help: did you mean `in-flight`?
    cadenced.toml:10:14: connection.one.timeouts.conect: unknown key
      help: did you mean `connect`?
    jobs/a.toml:1:1: state: a schedule file holds only `timezone`, `connection` and `job`
      help: settings of the daemon belong into cadenced.toml
    jobs/a.toml:2:1: jbo: a schedule file holds only `timezone`, `connection` and `job`
      help: did you mean `job`?
    jobs/a.toml:5:36: job.a.rerun.evry: unknown key
      help: did you mean `every`?
    CADENCED_TIMEZON:1:1: timezon: unknown key
      help: did you mean `CADENCED_TIMEZONE`?
    CADENCED_FOO:1:1: foo: unknown key
    CADENCED_JOB__A__CRN:1:1: job.a.crn: unknown key
      help: did you mean `CADENCED_JOB__A__CRON`?
    command line:1:1: job.a.sumary: unknown key
      help: did you mean `summary`?
    ");
}

#[test]
fn wrong_values_are_refused_in_every_layer() {
    let site = Site::new("schedules = [\"jobs\"]\n[log]\nformat = \"jsn\"\n[admin]\nlisten = 8640\n")
        .file("jobs/a.toml", "timezone = \"Europe/Madird\"\n[job.a]\ncron = \"0 * * * * *\"\ntimeout = 5\n")
        .env("CADENCED_JOB__A__ENABLED", "perhaps")
        .env("CADENCED_LOG", "info")
        .flag("drain-timeout", "5");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:5:10: admin.listen: expected a text, found a whole number
    jobs/a.toml:1:12: timezone: `Europe/Madird` is not an IANA time zone
      help: did you mean `Europe/Madrid`?
    jobs/a.toml:4:11: job.a.timeout: expected a duration, found a whole number
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    command line:1:1: drain-timeout: `5` is not a duration
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    CADENCED_LOG:1:1: log: expected a table, found a text
    CADENCED_JOB__A__ENABLED:1:1: job.a.enabled: expected true or false, found a text
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_located_and_the_others_are_checked() {
    let site = Site::new(&format!("schedules = [\"jobs\"]\n{CONNECTIONS}"))
        .file("jobs/a.toml", "[job.a]\ncron = \"0 * * * * *\nenabled = maybe\n[job.b]\nevery = \"1h\"\n")
        .file("jobs/b.toml", "[job.c]\nafter = [\"a\", \"z\"]\nlock = \"\"\n");
    insta::assert_snapshot!(site.mistakes(), @r#"
    jobs/a.toml:2:20: syntax: invalid basic string, expected `"`
    jobs/a.toml:3:11: syntax: string values must be quoted, expected literal string
    jobs/b.toml:3:8: job.c.lock: must not be empty
    "#);
    let site = Site::new("[job.a]\ncron = \"0 * * * * *\"\ncron = \"0 * * * * *\"\n");
    insta::assert_snapshot!(site.mistakes(), @r"cadenced.toml:3:1: syntax: duplicate key");
}

#[test]
fn files_and_directories_that_are_not_there_are_named() {
    let mut site = Site::new("schedules = [\"jobs\", 5]\n");
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:1:14: schedules: the directory jobs can't be read: No such file or directory (os error 2)
    cadenced.toml:1:22: schedules: expected a text, found a whole number
    ");
    site.sources.file = Some(site.path().join("nope.toml"));
    insta::assert_snapshot!(site.mistakes(), @r"
    nope.toml:1:1: file: can't be read: No such file or directory (os error 2)
      help: name the file with --config, or write ./cadenced.toml or /etc/cadenced/cadenced.toml
    ");
    let site = Site::new("schedules = [\"jobs\"]\n").file("jobs/a.toml", "");
    fs::write(site.path().join("jobs/b.toml"), b"a = \"\xff\"\n").unwrap();
    insta::assert_snapshot!(site.mistakes(), @r"jobs/b.toml:1:1: file: is not UTF-8 text");
}

#[test]
fn variables_and_flags_make_no_jobs() {
    let site = Site::with_jobs("[job.stocks]\ncron = \"0 * * * * *\"\n")
        .env("CADENCED_JOB__STOKCS__ENABLED", "false");
    insta::assert_snapshot!(site.mistakes(), @r"
    CADENCED_JOB__STOKCS__ENABLED:1:1: job.stokcs: no file describes this job; variables and flags only change jobs
      help: did you mean `stocks`?
    ");
}

#[test]
fn a_cron_expression_is_refused_at_the_character() {
    let site = Site::with_jobs(
        "[job.a]\ncron = \"0 75 3 * * *\"\n[job.b]\ncron = [\"0 * * * * *\", '99 * * * * *']\n[job.c]\ncron = \"\"\"\n* * * *\"\"\"\n[job.d]\ncron = \"0\\t0 0 30 2 *\"\n",
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:12:11: job.a.cron: minute: `75` is not a minute: write 0 to 59
    cadenced.toml:14:25: job.b.cron: second: `99` is not a second: write 0 to 59
    cadenced.toml:17:1: job.c.cron: expression: it has 4 fields; write six: second minute hour day-of-month month day-of-week, or five without the second
    cadenced.toml:19:8: job.d.cron: day-of-month: no such date ever comes in the months given, so it would never be due
    ");
}

#[test]
fn a_zone_is_suggested_by_its_name_or_its_city() {
    let site = Site::with_jobs(
        "[job.a]\ntimezone = \"warsaw\"\n[job.b]\ntimezone = \"europe/madrid\"\n[job.c]\ntimezone = \"local\"\n",
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:11:6: job.a: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    cadenced.toml:12:12: job.a.timezone: `warsaw` is not an IANA time zone
      help: did you mean `Europe/Warsaw`?
    cadenced.toml:13:6: job.b: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    cadenced.toml:14:12: job.b.timezone: `europe/madrid` is not an IANA time zone
      help: did you mean `Europe/Madrid`?
    cadenced.toml:15:6: job.c: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    cadenced.toml:16:12: job.c.timezone: `local` is not an IANA time zone
    ");
}

#[test]
fn columns_are_counted_in_characters_and_lines_end_as_they_like() {
    let site = Site::new(
        "\u{feff}[job.a]\r\nsummary = \"\"\r\n[job.b]\r\npull = { \"zażółć\" = 1, x = 2 }\r\ncron = \"0 0 0 1 13 *\"\r\n",
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:1:6: job.a: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    cadenced.toml:4:1: job.b.pull.from: is missing
    cadenced.toml:4:1: job.b.pull.get: is missing
    cadenced.toml:4:1: job.b.pull.key: is missing
    cadenced.toml:4:1: job.b.pull: needs `write` to say where its rows go
    cadenced.toml:4:10: job.b.pull.zażółć: unknown key
    cadenced.toml:4:24: job.b.pull.x: unknown key
    cadenced.toml:5:17: job.b.cron: month: `13` is not a month: write 1 to 12 or a name, JAN to DEC
    ");
}

#[test]
fn triggers_that_conflict_or_mean_nothing_are_refused() {
    let site = Site::with_jobs(
        r#"[job.a]
cron = "0 * * * * *"
every = "5m"
[job.b]
initial = true
between = "08:00-20:00"
[job.c]
offset = "1m"
pull = { from = "one", get = "/x", key = "id" }
write = { to = "erp", table = "x", upsert-by = "id" }
[job.d]
every = "1h"
offset = "2h"
[job.e]
cron = []
[job.f]
cron = "0 0 3 * * *"
between = "08:00-20:00"
[job.g]
cron = "0 0 3 * * *"
between = "8-20"
except = [2026-12-24, "2026-12-31..2026-01-01"]
[job.h]
after = []
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:13:9: job.a.every: `cron` says already when the job is due
      help: a job has one of cron, every, initial, after
    cadenced.toml:16:11: job.b.between: means nothing without `cron` or `every`
    cadenced.toml:18:10: job.c.offset: means nothing without `every`
      help: a layer that sets one trigger key replaces the job's whole trigger: repeat the others
    cadenced.toml:23:10: job.d.offset: the offset 2h must be whole seconds and shorter than the step, 1h
    cadenced.toml:25:8: job.e.cron: the list of cron expressions is empty, so the job would never be due
    cadenced.toml:27:8: job.f.cron: `0 0 3 * * *` has no time of day between 08:00-20:00, so it would never be due
    cadenced.toml:31:11: job.g.between: `8-20` is not a part of the day: write two times of a 24-hour clock with a hyphen, such as `08:00-20:00` or `22:00-05:59:59`
    cadenced.toml:32:23: job.g.except: `2026-12-31..2026-01-01` ends before it starts; both its ends are included, the earlier one comes first
    cadenced.toml:34:9: job.h.after: must not be empty
    ");
}

#[test]
fn a_first_import_may_wait_for_others_and_nothing_else_has_two_triggers() {
    let jobs = "[job.a]\ninitial = true\n[job.b]\ninitial = true\nafter = [\"a\"]\n";
    let loaded = Site::with_jobs(jobs).loaded();
    let Trigger::Initial(parents) = &loaded.jobs[&job("b")].trigger else { panic!("not a first import") };
    assert_eq!(*parents, [job("a")]);
    let site = Site::with_jobs(&format!(
        "{jobs}[job.c]\ninitial = true\nafter = [\"d\"]\n[job.d]\ninitial = true\nafter = [\"c\", \"e\"]\n[job.f]\ninitial = false\nafter = \"a\"\ncron = \"0 0 * * * *\"\n"
    ));
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:18:10: job.c.after: runs in a circle: c after d after c
    cadenced.toml:21:15: job.d.after: there is no job `e`
    cadenced.toml:24:9: job.f.after: `cron` says already when the job is due
      help: a job has one of cron, every, initial, after
    ");
}

#[test]
fn parents_exist_and_never_run_in_a_circle() {
    let site = Site::with_jobs(
        "[job.a]\nafter = \"c\"\n[job.b]\nafter = \"a\"\n[job.c]\nafter = [\"b\"]\n[job.d]\nafter = [\"d\"]\n[job.stocks]\nafter = [\"stoks\"]\n[job.stocks-2]\nafter = \"a\"\n",
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:12:9: job.a.after: runs in a circle: a after c after b after a
    cadenced.toml:18:10: job.d.after: runs in a circle: d after d
    cadenced.toml:20:10: job.stocks.after: there is no job `stoks`
      help: did you mean `stocks`?
    ");
}

#[test]
fn what_is_probably_not_meant_gets_a_warning() {
    let site = Site::with_jobs(
        r#"[job.a]
cron = "0 */2 * * * *"
timeout = "5m"
[job.b]
splay = "30s"
pull = { from = "one", get = "/x", key = ["id"], since = { field = "f", format = "rfc3339", start = "1999-01-01T00:00:00Z" } }
write = { to = "erp", table = "x", upsert-by = ["id"] }
"#,
    );
    insta::assert_snapshot!(site.warnings(), @r"
    cadenced.toml:13:11: job.a.timeout: is longer than the 120 s between two slots
      help: slots that come while a run goes are skipped; see `overlap`
    cadenced.toml:15:9: job.b.splay: means nothing without `cron` or `every`
    cadenced.toml:16:58: job.b.pull.since: no parameter says `{since}`: every run reads everything again
    ");
}
