//! Maps, conditions and filters: what the documentation shows is accepted, what is wrong is pointed at.

use super::*;
use crate::job::Work;

const JOBS: &str = r#"
[job.one-orders]
cron = "0 * * * * *"
[job.example]
cron = "0 * * * * *"
read = { from = "erp", sql = "select 1 as id", key = ["id"] }
push = { to = "one", post = "/x" }
"#;

#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/maps.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 6);
    for example in examples {
        let keys = example.strip_prefix("[job.example]\n");
        let site = match keys {
            Some(keys) => Site::with_jobs(&format!("{JOBS}{keys}")),
            None => Site::with_jobs(&format!("{JOBS}{example}")),
        };
        let loaded = site.loaded();
        let Work::Push(_, push) = &loaded.jobs[&job("example")].work else { panic!("not a push") };
        assert!(!push.shaping.is_plain(), "{example}");
    }
    for key in super::super::map::ORIGINS.iter().chain(&super::super::map::OPTIONS) {
        assert!(page.contains(&format!("`{key}`")), "{key} is not described");
    }
}

#[test]
fn mistakes_in_a_map_are_pointed_at() {
    let site = Site::with_jobs(
        r#"[job.a]
cron = "0 * * * * *"
read = { from = "erp", sql = "select 1 as id", key = ["id"] }
push = { to = "one", post = "/x" }
where = "id = 1 & web"
filter = ".id | nope"
[job.a.map]
a = { feild = "x", type = "decimal" }
b = { type = "decimal" }
c = { field = "x", template = "{x}" }
d = { field = "x", type = "text", scale = 2 }
e = { field = "x", type = "timestamp", from-format = "%d.%m.%Y", to-format = "rubbish" }
f = { field = "x", values = { A = "B" }, type = "text" }
g = { lookup = { sql = "select ?" } }
h = { lookup = { links = "b", by = ["x"] } }
i = { rows = "lines" }
j = { field = "x", type = "date", to-format = "%H:%M" }
k = { field = "x", else = 1, typ = "text" }
"l.m" = 1
l = { m = 2 }
n = { field = "x", type = "decimal", round = "half-up", omit-empty = true, default = 1 }
"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:15:17: job.a.where: `&` was not expected here
    cadenced.toml:16:17: job.a.filter: there is no filter `nope`
    cadenced.toml:18:7: job.a.map.a: `feild` is not a rule
      help: did you mean `field`? A nested field of that name is written "a.feild"
    cadenced.toml:19:5: job.a.map.b: says what becomes of a field, but not of which
      help: add `field = "…"`, or one of template, lookup, rows, number-from, constant
    cadenced.toml:20:31: job.a.map.c.template: a field has one origin, and `field` is given too
    cadenced.toml:21:43: job.a.map.d.scale: needs `type = "decimal"`
    cadenced.toml:22:54: job.a.map.e.from-format: is of local times, and no zone is given
      help: add the zone the times are in: from-timezone = "Europe/Warsaw"
    cadenced.toml:22:78: job.a.map.e.to-format: `rubbish` is not a format of times
      help: write rfc3339, epoch-seconds, epoch-millis, or a pattern such as "%d.%m.%Y %H:%M"
    cadenced.toml:23:49: job.a.map.f.type: what `values` gives has a type already
    cadenced.toml:24:7: job.a.map.g.lookup.by: is missing
    cadenced.toml:25:26: job.a.map.h.lookup.links: there is no job `b`
    cadenced.toml:26:1: job.a.map.i.map: is missing: it says what becomes of each row
    cadenced.toml:27:47: job.a.map.j.to-format: asks for more than a date has
    cadenced.toml:28:27: job.a.map.k.else: stands for what `values` doesn't have, and there are none
    cadenced.toml:28:30: job.a.map.k.typ: unknown key
      help: did you mean `type`?
    cadenced.toml:30:1: job.a.map.l: is made twice
    cadenced.toml:31:46: job.a.map.n.round: needs `scale`, the digits that are left
    cadenced.toml:31:86: job.a.map.n.default: is never used: `omit-empty` leaves the field out
    "#);
}
