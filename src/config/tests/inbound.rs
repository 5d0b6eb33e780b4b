//! `[inbound]` and `receive`: what is understood, and what an operator reads of each mistake.

use super::*;
use crate::inbound::Way;
use crate::job::Work;

const CALLER: &str = "[inbound.caller.shop]\nuser = \"shop\"\npassword = { env = \"P\" }\n";
const WRITE: &str = "write = { to = \"erp\", statement = \"insert into o (id) values (:shop) returning id\", key = [\"shop\"] }\n\
                     map = { shop = \"{id}\" }\n";

#[test]
fn a_listener_is_off_unless_described_and_knows_its_callers() {
    assert!(Site::new("").loaded().settings.inbound.is_none());
    let site = Site::new(&format!(
        "[inbound]\nways = [\"basic\", \"bearer\"]\nlisten = \"[::1]:1\"\n{CALLER}token = {{ env = \"T\" }}\n"
    ));
    let site = site.env("P", "p").env("T", "t");
    let inbound = site.loaded().settings.inbound.unwrap();
    assert_eq!(inbound.listen.to_string(), "[::1]:1");
    let callers = &inbound.terms.callers;
    assert_eq!([Way::Headers, Way::Basic, Way::Bearer].map(|way| callers.takes(way)), [false, true, true]);
    let named = |value: &str| {
        let headers = [("authorization".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        callers.identify(&headers).map(str::to_owned)
    };
    assert_eq!(named("Basic c2hvcDpw").as_deref(), Some("shop"));
    assert_eq!(named("Bearer t").as_deref(), Some("shop"));
    assert_eq!(named("Bearer p"), None);
    // A variable can move it, as it can set every key.
    let site = site.env("CADENCED_INBOUND__LISTEN", "127.0.0.1:2");
    assert_eq!(site.loaded().settings.inbound.unwrap().listen.port(), 2);
    assert!(!format!("{:?}", site.loaded()).contains("\"p\""), "no secret in it");
}

#[test]
fn mistakes_of_the_listener_are_told_where_they_are() {
    let site = Site::new(
        "[inbound]\nlisten = \"8641\"\nways = [\"cookies\"]\nmax-body = \"1 GB\"\nat-once = 0\nbody-tiem = \"1s\"\n\
         tls = { cert = \"cert.pem\", key = \"KEY\" }\n\
         [inbound.caller.a]\nuser = \"a\"\n[inbound.caller.b]\n[inbound.caller.c]\ntoken = { env = \"NONE\" }\n",
    )
    .file("cert.pem", "no certificate");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:2:10: inbound.listen: `8641` is not an address and a port
      help: write it as "127.0.0.1:8640" or "[::1]:8640"
    cadenced.toml:3:9: inbound.ways: `cookies` is none of `headers`, `basic`, `bearer`
    cadenced.toml:4:12: inbound.max-body: must not be more than 64 MiB: a body is held in memory
    cadenced.toml:5:11: inbound.at-once: must be from 1 to 100000
    cadenced.toml:6:1: inbound.body-tiem: unknown key
      help: did you mean `body-time`?
    cadenced.toml:7:34: inbound.tls.key: must be named as a secret
      help: key = { file = "…" } or { credential = "…" }
    cadenced.toml:9:8: inbound.caller.a.user: needs `password`
    cadenced.toml:10:17: inbound.caller.b: has nothing to prove who it is by
      help: give it `user` and `password`, or `token`
    cadenced.toml:12:17: inbound.caller.c.token: the environment variable `NONE` is not set
    "#);
    let site = Site::new("[inbound]\ntls = { cert = \"cert.pem\", key = { env = \"K\" } }\n").env("K", "k");
    let site = site.file("cert.pem", "no certificate");
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:1:1: inbound.caller: nobody may call
      help: describe a caller: [inbound.caller.NAME] with `user` and `password`, or `token`
    cadenced.toml:2:16: inbound.tls.cert: holds no certificate in PEM
    "#);
}

#[test]
fn an_open_door_and_a_useless_secret_are_warned_of() {
    let site = Site::new(&format!("[inbound]\nlisten = \"0.0.0.0:8641\"\nways = [\"bearer\"]\n{CALLER}"))
        .env("P", "p");
    insta::assert_snapshot!(site.warnings(), @r#"
    cadenced.toml:2:10: inbound.listen: passwords and orders come in unencrypted
      help: add tls = { cert = "…", key = { file = "…" } }, or let a proxy with TLS stand before a loopback address
    cadenced.toml:6:12: inbound.caller.shop.password: can't be presented: `ways` leaves out every way it could be
    "#);
}

#[test]
fn a_job_that_receives_needs_a_path_an_answer_and_a_write_and_no_more() {
    let jobs = format!(
        "[job.a]\n{WRITE}[job.a.receive]\npath = \"/Create/Order/\"\nanswer = {{ id = \"{{id}}\", ok = [true, \"$success\"] }}\n"
    );
    let loaded = Site::with_jobs(&jobs).loaded();
    let Work::Receive(receive, _) = &loaded.jobs[&job("a")].work else { panic!("not a receive") };
    assert_eq!(receive.describe(), "POST or GET /create/order");
    assert!(receive.tells_id() && receive.row_answer.is_none() && !loaded.jobs[&job("a")].is_live());
}

#[test]
fn mistakes_of_a_job_that_receives_are_told_where_they_are() {
    let site = Site::with_jobs(&format!(
        "[job.a]\ncron = \"0 * * * * *\"\nlock = \"x\"\nwhere = \"id = 1\"\n{WRITE}\
         [job.a.receive]\npath = \"createOrder\"\nmethods = [\"PUT\"]\nformats = []\nanswer = {{ id = \"{{shpo}}\", all = \"$rows\" }}\nrow-answer = \"$sucess\"\n\
         [job.b]\nreceive = {{ path = \"/b\" }}\n\
         [job.c]\nreceive = {{ path = \"/c\", answer = true }}\npull = {{}}\n\
         [job.d]\nwrite = {{ to = \"erp\", table = \"o\", upsert-by = [\"shop\"] }}\nmap = {{ shop = \"{{id}}\" }}\n\
         receive = {{ path = \"/d\", answer = {{ id = \"{{id}}\" }} }}\n"
    ));
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:12:8: job.a.cron: is about slots, and a job that receives has none: its platform starts it
    cadenced.toml:13:8: job.a.lock: is about slots, and a job that receives has none: its platform starts it
    cadenced.toml:14:9: job.a.where: leaves records out, and a call has to be answered
    cadenced.toml:18:8: job.a.receive.path: a path starts with `/` and names something: "/createOrder"
    cadenced.toml:19:12: job.a.receive.methods: `PUT` is none of `POST`, `GET`
    cadenced.toml:20:11: job.a.receive.formats: must not be empty
    cadenced.toml:21:33: job.a.receive.answer: there are no rows: say where the list is with `rows`
    cadenced.toml:22:14: job.a.receive.row-answer: nothing fills `$sucess`
      help: an answer may hold "$success", "$message", "$rows", "{id}" and fields of the record
    cadenced.toml:24:1: job.b.receive.answer: is missing
    cadenced.toml:24:1: job.b.receive: needs `write` to say where its records go
    cadenced.toml:25:6: job.c: is called, and calls too; make it two jobs
      help: a job that a platform calls has `receive` and `write`, and no other end
    cadenced.toml:27:1: job.c.pull.from: is missing
    cadenced.toml:27:1: job.c.pull.get: is missing
    cadenced.toml:27:1: job.c.pull.key: is missing
    cadenced.toml:31:35: job.d.receive.answer: `{id}` is what a `statement` returns, and a table returns nothing
      help: name a field that the map makes, or write with a statement
    "#);
}

#[test]
fn a_path_belongs_to_one_job_and_callers_exist() {
    let receive = |name: &str, more: &str| {
        format!("[job.{name}]\n{WRITE}receive = {{ path = \"/Orders\", answer = true{more} }}\n")
    };
    let jobs =
        receive("a", ", from = [\"shpo\"]") + &receive("b", "") + &receive("c", "") + "enabled = false\n";
    let site = Site::with_jobs(&format!("{jobs}[inbound]\n{CALLER}")).env("P", "p");
    insta::assert_snapshot!(site.mistakes(), @r"
    cadenced.toml:14:53: job.a.receive.from: there is no caller `shpo` in `inbound.caller`
      help: did you mean `shop`?
    cadenced.toml:18:20: job.b.receive.path: is the path of a too; a path belongs to one job
    ");
}
