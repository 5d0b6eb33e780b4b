//! Mistakes in the two ends of a job, with what an operator reads.

use super::*;

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
