//! The keys of a chain: what they become, and each kind of mistake in them with its place.

use super::*;
use crate::job::map::{LookupSource, SavedLink};
use crate::job::{PushGone, Steps, Work};

const CHAIN: &str = r#"
[job.a]
lock = "clients"
to = "one"
where = "clientId is null"
read = { from = "erp", sql = "select 1", key = ["code"] }
steps = ["segment", "client", "credit"]
[job.a.step.segment]
read = { from = "erp", sql = "select 2", key = ["segment"] }
post = "/segments"
map = { name = "{name}", parent = { lookup = { links = "a", step = "segment", save = "segmentId", by = ["parent"] } } }
save = { segmentId = "id" }
[job.a.step.client]
post = "/clients"
save = { clientId = ["id", ""], organizationId = { field = "id", after = "org:" } }
verify = { get = "/clients", params = { page = "{page}" }, found-when = "code", first = true }
unwatched = "admin"
[job.a.step.credit]
put = "/credits/{organizationId}"
when = "organizationId is not null"
delete-when = "credit is null"
"#;

fn steps(text: &str, name: &str) -> Steps {
    match &Site::with_jobs(text).loaded().jobs[&job(name)].work {
        Work::Steps(_, steps) => (**steps).clone(),
        work => panic!("{work:?}"),
    }
}

#[test]
fn every_key_of_a_chain_arrives() {
    let chain = steps(CHAIN, "a");
    let [segment, client, credit] = chain.steps.as_slice() else { panic!("{chain:?}") };
    assert_eq!(segment.read.as_ref().unwrap().key, ["segment"]);
    let link = SavedLink { job: job("a"), step: Some("segment".to_owned()), name: "segmentId".to_owned() };
    assert_eq!(segment.push.shaping.lookups[0].source, LookupSource::Saved(link));
    assert!(client.push.creates && !client.push.idempotent && client.push.batch_records == 1);
    assert!(client.push.verify.as_ref().unwrap().first && client.push.verify.as_ref().unwrap().is_list());
    assert_eq!(
        (client.unwatched.as_slice(), client.saved.as_slice()),
        (&["admin".to_owned()][..], &["clientId".to_owned(), "organizationId".to_owned()][..])
    );
    let saved = |answer: serde_json::Value| {
        client.push.save.iter().map(|(_, saved)| saved.find(&answer)).collect::<Vec<_>>()
    };
    assert_eq!(saved(serde_json::json!({"id": "org:7"})), [Some("org:7".into()), Some("7".into())]);
    assert_eq!(saved(serde_json::json!("ind:8")), [Some("ind:8".into()), None]);
    assert!(credit.when.is_some() && credit.delete_when.is_some());
    assert!(matches!(&credit.push.on_gone, PushGone::Delete(path) if *path == credit.push.path));
    assert_eq!(credit.push.group_by, ["organizationId"]);
}

#[test]
fn a_job_that_continues_another_knows_what_its_steps_saved() {
    let update = r#"
[job.b]
lock = "clients"
to = "one"
continues = "a"
read = { from = "erp", sql = "select 1", key = ["code"] }
steps = ["client"]
[job.b.step.client]
put = "/clients/{clientId}"
[job.b.step.left-out]
put = "/others"
"#;
    let update = steps(&format!("{CHAIN}{update}"), "b");
    assert_eq!(update.steps.len(), 1, "a step that is not named is not run");
    assert_eq!(update.steps[0].saved, ["clientId", "organizationId"]);
    assert!(!update.steps[0].push.creates);
}

#[test]
fn a_later_layer_changes_the_method_of_a_step() {
    let site = Site::new(&format!("schedules = [\"site\"]\n{CONNECTIONS}{CHAIN}"))
        .file("site/site.toml", "[job.a.step.credit]\npost = \"/credits\"\n");
    let Work::Steps(_, chain) = &site.loaded().jobs[&job("a")].work else { panic!("no steps") };
    assert_eq!(chain.steps[2].push.method.as_str(), "POST");
}

#[test]
fn each_mistake_is_told_at_its_place() {
    for (from, to, said) in [
        ("to = \"one\"\n", "", "job.a.to: is missing"),
        ("to = \"one\"\n", "to = \"erp\"\n", "`erp` is an SQL database"),
        ("\"credit\"]", "\"credits\"]", "there is no step `credits`\n  help: did you mean `credit`?"),
        ("put = \"/credits", "pot = \"/credits", "job.a.step.credit"),
        ("lock = \"clients\"\n", "map = { x = \"{y}\" }\n", "has no place in a job with steps"),
        ("save = { segmentId = \"id\" }\n", "", "step `segment` of `a` saves no `segmentId`"),
        ("step = \"segment\", save", "step = \"client\", save", "step `client` of `a` saves no `segmentId`"),
        ("save = \"segmentId\", ", "", "needs `save`"),
        (
            "delete-when = \"credit is null\"",
            "delete-path = \"/x\"",
            "neither `delete-when` nor `delete-first` asks for it",
        ),
        (
            "delete-when = \"credit is null\"",
            "save = { clientId = \"id\" }",
            "`clientId` is saved by an earlier step",
        ),
        ("delete-when = \"credit is null\"", "delete-when = \"credit is\"", "delete-when"),
        (
            "delete-when = \"credit is null\"",
            "body = { gone = \"$gone.code\" }",
            "a step is about one record",
        ),
        (
            "delete-when = \"credit is null\"",
            "verify = { get = \"/x\", found-when = \"code\", first = true }",
            "must not be sent twice",
        ),
        ("steps =", "continues = \"nobody\"\nsteps =", "there is no job `nobody`"),
        ("steps =", "continues = \"a\"\nsteps =", "what `a` saves is kept by `a`"),
        ("steps =", "import = true\nsteps =", "expected a number, smaller ones first, or false"),
    ] {
        assert!(CHAIN.contains(from), "{from}");
        let said_all = Site::with_jobs(&CHAIN.replacen(from, to, 1)).mistakes();
        assert!(said_all.contains(said), "{from} -> {to}: {said_all}");
    }
    let update = "[job.b]\nlock = \"others\"\nto = \"one\"\ncontinues = \"a\"\nread = { from = \"erp\", sql = \"select 1\", key = [\"code\"] }\n\
                  steps = [\"client\"]\n[job.b.step.client]\nput = \"/clients/{clientId}\"\n";
    let said = Site::with_jobs(&format!("{CHAIN}{update}")).mistakes();
    assert!(
        said.contains("b.continues: `a` may run at the same time: give both jobs the same `lock`"),
        "{said}"
    );
    let said = Site::with_jobs(&format!(
        "{CHAIN}{}",
        update.replace("others", "clients").replace("key = [\"code\"]", "key = [\"id\"]")
    ))
    .mistakes();
    assert!(said.contains("tells its rows apart by another `key`"), "{said}");
}
