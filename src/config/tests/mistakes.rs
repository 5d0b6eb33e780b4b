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
fn a_job_has_both_ends_of_one_direction() {
    let site = Site::with_jobs(
        r#"[job.a]
cron = "0 * * * * *"
pull = { from = "one", get = "/x", key = ["id"] }
[job.b]
cron = "0 * * * * *"
push = { to = "one", put = "/x" }
[job.c]
cron = "0 * * * * *"
pull = { from = "one", get = "/x", key = ["id"] }
read = { from = "erp", sql = "select 1", key = ["id"] }
[job.stocks]
cron = "0 * * * * *"
[job.stokcs]
enabled = false
[job.z]
summary = "nothing at all"
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:13:1: job.a.pull: needs `write` to say where its rows go
    cadenced.toml:16:1: job.b.push: needs `read` to say where its rows come from
    cadenced.toml:17:6: job.c: moves records both ways
      help: a job is `pull` and `write`, or `read` and `push`; make it two jobs
    cadenced.toml:23:6: job.stokcs: has neither a trigger nor ends
      help: did you mean `stocks`?
    cadenced.toml:25:6: job.z: has neither a trigger nor ends
      help: a job needs a trigger (`cron`) and its ends (`pull` and `write`, or `read` and `push`)
    ");
}

#[test]
fn ends_name_connections_of_the_right_kind() {
    let site = Site::with_jobs(
        r#"[job.a]
pull = { from = "erp", get = "/x", key = ["id"] }
write = { to = "one", table = "x", upsert-by = ["id"] }
[job.b]
read = { from = "erpp", sql = "select 1", key = ["id"] }
push = { to = "nobody", put = "/x" }
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:12:17: job.a.pull.from: `erp` is an SQL database; a REST API is needed here
    cadenced.toml:13:16: job.a.write.to: `one` is a REST API; an SQL database is needed here
    cadenced.toml:15:17: job.b.read.from: there is no connection `erpp`
      help: did you mean `erp`?
    cadenced.toml:16:15: job.b.push.to: there is no connection `nobody`
      help: describe it: [connection.nobody]
    ");
}

#[test]
fn a_pull_says_only_what_can_be_filled_in() {
    let site = Site::with_jobs(
        r#"[job.a]
write = { to = "erp", table = "x", upsert-by = ["idd"] }
map = { id = "{id}", name = { field = "name", type = "txt" }, x = "{" }
[job.a.pull]
from = "one"
get = "orders"
params = { date = "{since}", page = "{page}", o = "a {offset}", ok = 5 }
key = []
[job.b]
write = { to = "erp", table = "x", upsert-by = ["id"] }
[job.b.pull]
from = "one"
get = "/orders/{sicne}"
key = ["id", "a..b"]
pages = { first = 1 }
since = { field = "updated", format = "%Y-%m-%d", start = "1999-01-01" }
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:12:49: job.a.write.upsert-by: `map` makes no column `idd`
      help: did you mean `id`?
    cadenced.toml:13:54: job.a.map.name.type: `txt` is none of `text`, `decimal`, `integer`, `bool`, `date`, `timestamp`
      help: did you mean `text`?
    cadenced.toml:13:67: job.a.map.x: `{` opens a placeholder with `{` and never closes it; write `{{` for a brace itself
    cadenced.toml:16:7: job.a.pull.get: a path starts with `/`; the connection's url stands before it
    cadenced.toml:17:20: job.a.pull.params.date: nothing fills the placeholder `{since}`
      help: `{since}` needs `since = { … }`
    cadenced.toml:17:38: job.a.pull.params.page: nothing fills the placeholder `{page}`
      help: `{page}` needs `pages = { … }`
    cadenced.toml:17:54: job.a.pull.params.o: nothing fills the placeholder `{offset}`
      help: `{offset}` needs `pages = { … }`
    cadenced.toml:18:7: job.a.pull.key: must not be empty
    cadenced.toml:23:16: job.b.pull.get: nothing fills the placeholder `{sicne}`
      help: did you mean `since`?
    cadenced.toml:24:14: job.b.pull.key: `a..b` is not a field path: write names with dots between them, such as `pagination.totalPages`
    cadenced.toml:25:9: job.b.pull.pages: nothing says how many pages there are
      help: say where the answer holds the number of pages (total) or of rows (items), or what comes next (next, next-url)
    cadenced.toml:26:39: job.b.pull.since.format: a pattern is of local times, and no zone is given
      help: add the zone the platform writes in: timezone = "Europe/Madrid"
    "#);
}

#[test]
fn a_cursor_is_read_as_it_is_written() {
    let job = |since: &str| {
        let site = Site::with_jobs(&format!(
            "[job.a]\nwrite = {{ to = \"erp\", table = \"x\", upsert-by = \"id\" }}\npull.from = \"one\"\npull.get = \"/x/{{since}}\"\npull.key = \"id\"\npull.since = {{ field = \"f\", {since} }}\n"
        ));
        match load(&site.sources) {
            Err(mistakes) => site.shown(&mistakes),
            Ok(loaded) => {
                let crate::job::Work::Pull(pull, _) = &loaded.jobs[&job("a")].work else { panic!("no pull") };
                pull.changed().unwrap().start.0.to_string()
            }
        }
    };
    let local = r#"timezone = "Europe/Madrid""#;
    let cases = [
        r#"format = "rfc3339", start = "2026-01-01T00:00:00+01:00""#.to_owned(),
        r#"format = "rfc3339", start = 2026-01-01T00:00:00Z"#.to_owned(),
        r#"format = "epoch-seconds", start = 1_767_225_600"#.to_owned(),
        r#"format = "epoch-millis", start = "1767225600000""#.to_owned(),
        format!(r#"format = "%d/%m/%Y", start = "01/01/2026", {local}"#),
        format!(r#"format = "%Y-%m-%d %H:%M:%S", start = "2026-01-01", {local}"#),
        format!(r#"format = "%Y-%m-%d %H:%M:%S", start = "2026-03-29 02:30:00", {local}"#),
        format!(r#"format = "%Y-%m-%dT%H:%M:%S%z", start = "x", {local}"#),
        format!(r#"format = "%Q", start = "x", {local}"#),
        format!(r#"format = "rfc3393", start = "x", {local}"#),
        r#"format = "epoch-seconds", start = "yesterday""#.to_owned(),
        r#"format = "rfc3339""#.to_owned(),
    ];
    insta::assert_snapshot!(cases.map(|case| job(&case)).join("\n"), @r#"
    1767222000000
    1767225600000
    1767225600000
    1767225600000
    1767222000000
    cadenced.toml:16:67: job.a.pull.since.start: `2026-01-01` is not a local time as `format` writes it
    cadenced.toml:16:67: job.a.pull.since.start: `2026-03-29 02:30:00` is not a local time as `format` writes it
    cadenced.toml:16:38: job.a.pull.since.format: a pattern is of local times, without an offset
      help: where the times carry an offset, write format = "rfc3339"
    cadenced.toml:16:38: job.a.pull.since.format: `%Q` is not a format of times
      help: write rfc3339, epoch-seconds, epoch-millis, integer, or a pattern such as "%Y-%m-%d %H:%M:%S"
    cadenced.toml:16:38: job.a.pull.since.format: `rfc3393` is not a format of times
      help: write rfc3339, epoch-seconds, epoch-millis, integer, or a pattern such as "%Y-%m-%d %H:%M:%S"
    cadenced.toml:16:63: job.a.pull.since.start: `yesterday` is not a number of seconds
    cadenced.toml:16:6: job.a.pull.since.start: is missing
    "#);
}

#[test]
fn a_push_says_only_what_can_be_filled_in() {
    let site = Site::with_jobs(
        r#"[job.a]
read = { from = "erp", sql = "select 1", key = ["warehouse", "sku"], max-gone = 0.1 }
[job.a.push]
to = "one"
put = "/{warehouse}/{sku}"
group-by = ["warehouse", "store"]
batch = { records = 0 }
body = { a = "$recrods", b = "$gone.id" }
[job.b]
read = { from = "erp", sql = " ", key = ["sku"] }
push = { to = "one", put = "/a", post = "/b" }
[job.c]
read = { from = "erp", sql = "select 1", key = ["sku"] }
push = { to = "one", body = {} }
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:12:81: job.a.read.max-gone: expected a share from "0%" to "100%"
    cadenced.toml:15:21: job.a.push.put: nothing fills the placeholder `{sku}`
      help: the records of one request share only `group-by`: add `sku` to it
    cadenced.toml:16:26: job.a.push.group-by: `store` is not in the `key` of `read`
    cadenced.toml:17:21: job.a.push.batch.records: must be from 1 to 1000000
    cadenced.toml:18:14: job.a.push.body: nothing fills `$recrods`
      help: a body may hold "$records", "$record" and "$gone.column"
    cadenced.toml:18:30: job.a.push.body: of a row that is gone only the key is known, not `id`
    cadenced.toml:20:30: job.b.read.sql: must not be empty
    cadenced.toml:21:28: job.b.push.put: a push has one method, and another one is given too
    cadenced.toml:24:1: job.c.push: has no method and path
      help: write one of post, put, patch, delete: put = "/path"
    cadenced.toml:24:29: job.c.push.body: holds no "$records": the platform would be told nothing
    "#);
}

#[test]
fn connections_are_refused_with_the_key_that_is_wrong() {
    let site = Site::new(
        r#"[connection.a]
[connection.b]
sql = "oracle://db"
url = "https://b.example.com"
[connection.c]
url = "c.example.com"
in-flight = 0
max-body = 5
ca-file = "nope.pem"
quota = ["10/s", "5/fortnight", 3]
headers = { "a b" = "x", c = "line\nbreak" }
[connection.d]
url = "https://erp:hunter2@d.example.com?x=1"
auth = { basic = { user = "x" }, login = "/login" }
[connection.e]
url = "https://e.example.com/api/"
auth = { login = "login", renew-on = [200], header = "a b", margin = "soon" }
statement-timeout = "1s"
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:1:13: connection.a: has neither `sql` nor `url`
      help: a connection is an SQL database (sql = "sqlite://…") or a REST API (url = "https://…")
    cadenced.toml:2:13: connection.b: has both `sql` and `url`
      help: a connection is an SQL database (sql = "sqlite://…") or a REST API (url = "https://…")
    cadenced.toml:3:7: connection.b.sql: is not the address of a known database
      help: write it as "sqlite://erp.db", "postgres://host/database" or "mysql://host/database"
    cadenced.toml:6:7: connection.c.url: is not an address: relative URL without a base
    cadenced.toml:7:13: connection.c.in-flight: must be from 1 to 1000
    cadenced.toml:8:12: connection.c.max-body: expected a size
      help: write it with its unit (B, kB, MB, GB, KiB, MiB, GiB): "256 MB"
    cadenced.toml:9:11: connection.c.ca-file: nope.pem can't be read: No such file or directory (os error 2)
    cadenced.toml:10:18: connection.c.quota: `5/fortnight`: the window must be `s`, `min`, `h` or `day`, or a whole number of one, a year at most
    cadenced.toml:10:33: connection.c.quota: expected a text, found a whole number
    cadenced.toml:11:13: connection.c.headers.a b: is not the name of a header
    cadenced.toml:11:30: connection.c.headers.c: holds a character that no header can carry
    cadenced.toml:13:7: connection.d.url: must end with its path; queries belong to jobs
    cadenced.toml:14:10: connection.d.auth.basic.password: is missing
    cadenced.toml:14:34: connection.d.auth.login: unknown key
    cadenced.toml:17:1: connection.e.auth.token: is missing
    cadenced.toml:17:18: connection.e.auth.login: a path starts with `/`; the connection's url stands before it
    cadenced.toml:17:39: connection.e.auth.renew-on: must be from 400 to 599
    cadenced.toml:17:54: connection.e.auth.header: `a b` is not the name of a header
    cadenced.toml:17:70: connection.e.auth.margin: `soon` is not a duration
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    cadenced.toml:18:1: connection.e.statement-timeout: unknown key
    "#);
}

#[test]
fn limits_of_a_connection_are_refused_with_the_key_that_is_wrong() {
    let site = Site::new(
        r#"[connection.a]
url = "https://a.example.com"
early = 1.5
park-after = "0s"
check = "me"
proxy = "socks5://proxy"
retry = { tries = 0, first = "1", within = "1m", share = "x", budget = 3 }
breaker = { after = 0, probe = 15 }
timeouts = { idle = "soon" }
[connection.b]
url = "https://b.example.com"
early = "10"
proxy = "http://erp:hunter2@proxy:3128"
"#,
    );
    let mistakes = site.mistakes();
    assert!(!mistakes.contains("hunter2"));
    insta::assert_snapshot!(mistakes, @r#"
    cadenced.toml:3:9: connection.a.early: expected a share from 0 to 1, or from "0%" to "100%"
    cadenced.toml:4:14: connection.a.park-after: must be longer than zero
    cadenced.toml:5:9: connection.a.check: a path starts with `/`; the connection's url stands before it
    cadenced.toml:6:9: connection.a.proxy: must start with http:// or https:// and a host
    cadenced.toml:7:19: connection.a.retry.tries: must be from 1 to 100
    cadenced.toml:7:30: connection.a.retry.first: `1` is not a duration
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    cadenced.toml:7:58: connection.a.retry.share: expected a share from 0 to 1, or from "0%" to "100%"
    cadenced.toml:7:63: connection.a.retry.budget: unknown key
    cadenced.toml:8:21: connection.a.breaker.after: must be from 1 to 1000
    cadenced.toml:8:32: connection.a.breaker.probe: expected a duration, found a whole number
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    cadenced.toml:9:21: connection.a.timeouts.idle: `soon` is not a duration
      help: write it with its unit (ms, s, m, h, d): "30m", "1h30m", "500ms"
    cadenced.toml:12:9: connection.b.early: expected a share from 0 to 1, or from "0%" to "100%"
    cadenced.toml:13:9: connection.b.proxy: holds a password and is written into the configuration
      help: keep the whole address in a secret: { file = "…" } or { credential = "…" }
    "#);
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

#[test]
fn a_query_and_a_target_are_given_in_one_way() {
    let site = Site::with_jobs(
        r#"[job.a]
read = { from = "erp", sql = "select 1", sql-file = "a.sql", key = ["sku"] }
push = { to = "one", post = "/a" }
[job.b]
read = { from = "erp", sql-file = "nope.sql", key = ["sku"] }
push = { to = "one", post = "/a" }
[job.c]
read = { from = "erp", sql-file = "empty.sql", key = ["sku"] }
push = { to = "one", post = "/a" }
[job.d]
pull = { from = "one", get = "/x", key = ["id"] }
write = { to = "erp", table = "x", create = true, on-gone = "delete", statement = "call x(:id)", key = ["id"] }
[job.e]
pull = { from = "one", get = "/x", key = ["id"] }
write = { to = "erp", statement = "call x(:id)" }
[job.f]
pull = { from = "one", get = "/x", key = ["id"] }
map = { number = "{id}" }
write = { to = "erp", statment = "call x(:number)", upsert-by = ["number"] }
"#,
    )
    .file("empty.sql", "\n");
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:12:53: job.a.read.sql-file: a read has one query, and `sql` gives another
    cadenced.toml:15:35: job.b.read.sql-file: nope.sql can't be read: No such file or directory (os error 2)
    cadenced.toml:18:35: job.c.read.sql-file: empty.sql is empty
    cadenced.toml:22:31: job.d.write.table: belongs to a table, and `statement` says what is run instead
    cadenced.toml:22:45: job.d.write.create: belongs to a table, and `statement` says what is run instead
    cadenced.toml:22:61: job.d.write.on-gone: belongs to a table, and `statement` says what is run instead
    cadenced.toml:25:1: job.e.write.key: is missing
    cadenced.toml:29:1: job.f.write.table: is missing
    cadenced.toml:29:23: job.f.write.statment: unknown key
      help: did you mean `statement`?
    ");
}
