//! Mistakes in a connection, with what an operator reads.

use super::*;

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
