//! The keys of an upload: what they become, and each kind of mistake in them with its place.

use super::*;
use crate::job::upload::{FileType, Transfer};
use crate::job::{Push, PushGone, Send, Work};
use crate::words::FieldPath;

const STEPS: &str = "begin = { post = \"/begin\", body = { n = \"{number}\", size = \"{file.size}\" } }\n\
                     complete = { post = \"/complete\", body = { id = \"{upload}\" } }";

/// A job with these lines in its upload.
fn site(upload: &str) -> Site {
    Site::with_jobs(&format!(
        "[job.a]\nread = {{ from = \"erp\", sql = \"select 1\", key = [\"number\"] }}\n[job.a.upload]\nto = \"one\"\n{upload}\n"
    ))
}

fn upload(lines: &str) -> Push {
    match &site(lines).loaded().jobs[&job("a")].work {
        Work::Push(_, push) => (**push).clone(),
        work => panic!("{work:?}"),
    }
}

#[test]
fn what_is_not_said_of_an_upload_is_the_safe_way() {
    let push = upload(&format!("file = {{ bytes = \"content\" }}\n{STEPS}"));
    let upload = push.upload.unwrap();
    assert_eq!((push.send, push.on_gone, push.batch_records), (Send::Changed, PushGone::Ignore, 1));
    assert_eq!((upload.file.kind, upload.file.max_size), (FileType::Pdf, 10 << 20));
    assert_eq!((upload.transfer, upload.done_on), (vec![Transfer::Url], vec![409]));
    assert_eq!(upload.url, ["uploadUrl", "url"].map(|path| FieldPath::new(path).unwrap()));
    assert!(upload.url_origins.is_empty() && upload.abort.is_none() && upload.multipart.is_none());
}

#[test]
fn every_key_of_an_upload_arrives() {
    let push = upload(&format!(
        r#"file = {{ bytes = "content", path = "path", root = "files", name = "{{number}}.png", type = "image/png", max-size = "1 MiB" }}
id = "data.id"
transfer = ["multipart", "inline"]
url = "data.href"
url-origins = ["https://files.example.com:8443"]
inline = "bytes"
multipart = {{ post = "/files/{{upload}}", part = "pdf" }}
abort = {{ delete = "/files/{{upload}}" }}
send = {{ since = "changed_at" }}
verify = {{ get = "/files/{{number}}", found-when = "number" }}
parent = {{ job = "a", key = ["number"] }}
waiting-when = "no document"
{STEPS}"#
    ));
    let upload = push.upload.unwrap();
    let file = &upload.file;
    assert_eq!((file.bytes.as_deref(), file.path.as_deref()), (Some("content"), Some("path")));
    assert!(file.root.as_ref().is_some_and(|root| root.is_absolute() && root.ends_with("files")));
    assert_eq!((file.kind, file.max_size, file.name.is_some()), (FileType::Png, 1 << 20, true));
    assert_eq!((upload.id.to_string(), upload.inline), ("data.id".to_owned(), "bytes".to_owned()));
    assert_eq!(upload.transfer, [Transfer::Multipart, Transfer::Inline]);
    assert_eq!(upload.url_origins, ["https://files.example.com:8443"]);
    assert_eq!(upload.multipart.unwrap().part, "pdf");
    assert!(upload.abort.is_some() && push.verify.is_some() && push.parent.is_some());
    assert_eq!((push.send, push.words.waiting.len()), (Send::Since("changed_at".to_owned()), 1));
}

#[test]
fn mistakes_in_an_upload_are_told_where_they_are() {
    let site = site(
        r#"file = { path = "path", type = "text/html", max-size = "1 GB" }
begin = { body = { id = "{upload}", x = "{" } }
complete = { post = "/complete", put = "/complete", done-on = [200] }
transfer = ["url", "multipart"]
url-origins = "https://files.example.com/path"
send = "all"
chunk = 1"#,
    );
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:15:8: job.a.upload.file.path: any file of this host could be asked for
      help: say which directory all files are in: root = "/srv/files"
    cadenced.toml:15:32: job.a.upload.file.type: `text/html` is none of `application/pdf`, `image/png`, `image/jpeg`
    cadenced.toml:15:56: job.a.upload.file.max-size: must not be more than 256 MiB
    cadenced.toml:16:1: job.a.upload.begin: has no method and path
      help: write one of post, put, patch, delete: post = "/path"
    cadenced.toml:16:26: job.a.upload.begin.body: nothing fills the placeholder `{upload}`
      help: the platform gives the upload its id in its answer to `begin`
    cadenced.toml:16:41: job.a.upload.begin.body: `{` opens a placeholder with `{` and never closes it; write `{{` for a brace itself
    cadenced.toml:17:1: job.a.upload.complete: has more than one method
      help: write one of post, put, patch, delete: post = "/path"
    cadenced.toml:17:64: job.a.upload.complete.done-on: must be from 400 to 499
    cadenced.toml:18:12: job.a.upload.transfer: bytes are to go as multipart, and nothing says where
      help: say it: multipart = { post = "/files/{upload}", part = "file" }
    cadenced.toml:19:15: job.a.upload.url-origins: expected a scheme and a host, with its port if it is not the usual one
      help: write it as "https://files.example.com"
    cadenced.toml:20:8: job.a.upload.send: a file is not uploaded twice: write "changed", or { since = "column" }
    cadenced.toml:21:1: job.a.upload.chunk: unknown key
    "#);
}

#[test]
fn placeholders_of_an_upload_are_fields_that_the_map_makes() {
    let site = Site::with_jobs(&format!(
        r#"[job.a]
read = {{ from = "erp", sql = "select 1", key = ["number"] }}
map = {{ nummer = "{{number}}", contents = "{{content}}" }}
[job.a.upload]
to = "one"
file = {{ bytes = "content" }}
{STEPS}
[job.b]
read = {{ from = "erp", sql = "select 1", key = ["number"] }}
push = {{ to = "one", put = "/a" }}
upload = {{ to = "one", file = {{}}, begin = {{ post = "/b" }}, complete = {{ post = "/c" }} }}
"#
    ));
    insta::assert_snapshot!(site.mistakes(), @r#"
    cadenced.toml:16:18: job.a.upload.file.bytes: `map` makes no field `content`
      help: did you mean `contents`?
    cadenced.toml:17:42: job.a.upload.begin.body: nothing fills the placeholder `{number}`
      help: did you mean `nummer`?
    cadenced.toml:22:1: job.b.upload: stands beside `push`: a job sends its records one way
      help: make it two jobs, the one with the files `after` the other
    "#);
}

#[test]
fn a_later_layer_takes_another_method_for_a_step() {
    let site = Site::new(&format!(
        "schedules = [\"jobs\", \"site\"]\n{CONNECTIONS}"
    ))
    .file("jobs/a.toml", &format!("[job.a]\nread = {{ from = \"erp\", sql = \"select 1\", key = [\"number\"] }}\n[job.a.upload]\nto = \"one\"\nfile = {{ bytes = \"content\" }}\n{STEPS}\n"))
    .file("site/a.toml", "[job.a.upload]\nbegin = { put = \"/ours\" }\n");
    let Work::Push(_, push) = &site.loaded().jobs[&job("a")].work else { panic!("no push") };
    assert_eq!(push.method, crate::job::push::Method::Put);
    assert_eq!(push.body["n"], "{number}", "and keeps the rest");
}
