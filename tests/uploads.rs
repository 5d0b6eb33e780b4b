//! Every document has one file on the platform, byte for byte; what is no fit file costs only itself.

use crate::support::{Archive, pdf, stderr};
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;
use std::os::unix::fs::symlink;

const JOB: &str = "one-invoice-files";
const NUMBER: &str = "FV/17/03/2026";

/// The keys of the upload, and the switch of the platform.
const WAYS: [(&str, &str); 3] = [
    ("", "file-transfer=url"),
    ("", "file-transfer=inline"),
    ("upload.transfer = \"multipart\"", "file-transfer=multipart"),
];

fn no_rule_is_broken(archive: &Archive) {
    assert_eq!(archive.site.one.wire.broken_rules(), []);
}

#[tokio::test]
async fn a_file_arrives_byte_for_byte_by_every_way_and_is_sent_once() {
    for (keys, switch) in WAYS {
        let archive = Archive::new(keys).await;
        archive.site.one.switches.set(switch).unwrap();
        archive.add(NUMBER, Some(&pdf(1, 70_000)), None).await;
        archive.put("FV/18", &pdf(2, 300_001)).await;
        let ended = archive.runs().await;
        assert_eq!((ended.outcome, ended.counts.written), (Outcome::Ok, 2), "{switch}: {ended:?}");
        assert_eq!(archive.there(NUMBER), Some((pdf(1, 70_000), 1)), "{switch}");
        assert_eq!(archive.there("FV/18"), Some((pdf(2, 300_001), 1)), "{switch}");
        let names: Vec<String> =
            archive.site.one.records().invoice_files.into_values().map(|file| file.name).collect();
        assert_eq!(names, ["FV_17_03_2026.pdf", "FV_18.pdf"], "{switch}");
        let requests = archive.requests();
        assert_eq!(archive.runs().await.counts.unchanged, 2);
        assert_eq!(archive.requests(), requests, "{switch}: what is there is not sent again");
        no_rule_is_broken(&archive);
    }
}

#[tokio::test]
async fn notes_have_their_files_by_a_job_of_their_own() {
    let archive = Archive::new("").await;
    let client = archive.site.one.records().clients.keys().next().unwrap().clone();
    archive.site.schedule(&format!(
        r#"
[job.documents]
read = {{ from = "erp", sql = "select number from cadenced_goods_issued_note_files", key = ["number"] }}
map = {{ number = "{{number}}", clientId = "{client}" }}
push = {{ to = "one", put = "/api/v1/goods-issued-notes/integrations/auth-required/goods-issued-notes" }}
[job.one-goods-issued-note-files]
upload = {{ parent = {{ job = "documents" }} }}
"#
    ));
    sqlx::query("insert into cadenced_goods_issued_note_files (number, content) values ('WZ/9', ?)")
        .bind(pdf(3, 5_000))
        .execute(&archive.site.erp)
        .await
        .unwrap();
    archive.site.once("documents").await;
    let ended = archive.site.once("one-goods-issued-note-files").await;
    assert_eq!(ended.outcome, Outcome::Ok, "{ended:?}");
    let file = &archive.site.one.records().goods_issued_note_files["WZ/9"];
    assert_eq!((&file.content[..], &*file.name), (&pdf(3, 5_000)[..], "WZ_9.pdf"));
    no_rule_is_broken(&archive);
}

#[tokio::test]
async fn a_file_waits_for_the_content_of_its_document() {
    let archive = Archive::new("").await;
    archive.add(NUMBER, Some(&pdf(1, 1_000)), None).await;
    let ended = archive.site.once(JOB).await;
    assert_eq!((ended.counts.rejected, archive.requests()), (1, 0), "{ended:?}");
    let rejects = archive.site.rejects(JOB).await;
    assert!(rejects[0].reason.contains("waits for documents FV/17/03/2026"), "{rejects:?}");
    assert_eq!(archive.runs().await.counts.written, 1);
    assert!(archive.site.rejects(JOB).await.is_empty());
    no_rule_is_broken(&archive);
}

#[tokio::test]
async fn only_another_content_is_another_upload() {
    let archive = Archive::new("").await;
    archive.put(NUMBER, &pdf(1, 1_000)).await;
    archive.runs().await;
    let requests = archive.requests();
    std::fs::copy(archive.directory().join("FV-17-03-2026.pdf"), archive.directory().join("moved.pdf"))
        .unwrap();
    archive.add(NUMBER, None, Some("moved.pdf")).await;
    archive.runs().await;
    archive.add(NUMBER, Some(&pdf(1, 1_000)), None).await;
    archive.runs().await;
    assert_eq!(archive.requests(), requests, "the same bytes from elsewhere");
    archive.add(NUMBER, Some(&pdf(2, 1_000)), None).await;
    archive.runs().await;
    assert_eq!(archive.there(NUMBER), Some((pdf(2, 1_000), 2)), "corrected");
    archive.add(NUMBER, Some(&pdf(1, 1_000)), None).await;
    archive.runs().await;
    assert_eq!(archive.there(NUMBER), Some((pdf(1, 1_000), 3)), "and put back");
}

#[tokio::test]
async fn a_file_that_can_not_be_sent_is_a_reject_that_names_it() {
    let archive = Archive::new("upload.file.max-size = \"20 kB\"").await;
    let directory = archive.directory();
    std::fs::write(directory.join("page.pdf"), "<html>no invoice</html>").unwrap();
    std::fs::write(directory.join("empty.pdf"), "").unwrap();
    std::fs::write(directory.join("large.pdf"), pdf(1, 20_001)).unwrap();
    std::fs::create_dir(directory.join("folder.pdf")).unwrap();
    std::fs::write(archive.site.dir().join("outside.pdf"), pdf(1, 100)).unwrap();
    symlink(archive.site.dir().join("outside.pdf"), directory.join("link.pdf")).unwrap();
    let outside = archive.site.dir().join("outside.pdf").display().to_string();
    for (number, path, words) in [
        ("1", Some("missing.pdf"), "the file `missing.pdf` can't be read: No such file"),
        (
            "2",
            Some("page.pdf"),
            "the file `2.pdf` is not what it should be: it does not begin as application/pdf",
        ),
        ("3", Some("empty.pdf"), "the file `3.pdf` is not what it should be"),
        ("4", Some("large.pdf"), "the file `large.pdf` has 20001 bytes, and `max-size` allows 20000"),
        ("5", Some("folder.pdf"), "`folder.pdf` is no file"),
        ("6", Some("../outside.pdf"), "the file `../outside.pdf` lies outside"),
        ("7", Some("link.pdf"), "the file `link.pdf` lies outside"),
        ("8", Some(&outside), "outside.pdf` lies outside"),
        ("9", None, "it has no file: content and path is empty"),
    ] {
        archive.add(number, None, path).await;
        let ended = archive.runs().await;
        assert_eq!((ended.outcome, ended.counts.rejected), (Outcome::Partial, 1), "{number}: {ended:?}");
        let reject = archive.site.rejects(JOB).await.into_iter().find(|reject| reject.key == number).unwrap();
        assert!(reject.reason.contains(words), "{number}: {}", reject.reason);
    }
    archive.add("10", Some(&pdf(1, 20_001)), None).await;
    archive.add("11", Some(b"no pdf"), None).await;
    archive.add("12", Some(&pdf(5, 20_000)), None).await;
    let ended = archive.runs().await;
    assert_eq!((ended.counts.rejected, ended.counts.written), (2, 1), "its neighbours go through: {ended:?}");
    let rejects = archive.site.rejects(JOB).await;
    let of = |key: &str| rejects.iter().find(|reject| reject.key == key).unwrap();
    assert!(of("10").reason.contains("the file in `content` has 20001 bytes"), "{}", of("10").reason);
    assert!(!of("11").content.contains("content"), "bytes are not kept: {}", of("11").content);
    assert_eq!(archive.requests(), 3);

    // What is mended goes through.
    std::fs::write(directory.join("missing.pdf"), pdf(6, 500)).unwrap();
    std::fs::write(directory.join("page.pdf"), pdf(7, 500)).unwrap();
    assert_eq!(archive.runs().await.counts.written, 2);
    assert_eq!(archive.there("1"), Some((pdf(6, 500), 1)));
    assert_eq!(archive.site.rejects(JOB).await.len(), 9);
    no_rule_is_broken(&archive);
}

#[tokio::test]
async fn a_directory_that_is_away_fails_the_run_and_sends_nothing_twice() {
    let archive = Archive::new("").await;
    archive.put(NUMBER, &pdf(1, 500)).await;
    archive.runs().await;
    let requests = archive.requests();
    let (directory, away) = (archive.directory(), archive.site.dir().join("away"));
    std::fs::rename(&directory, &away).unwrap();
    let ended = archive.runs().await;
    assert_eq!((ended.outcome, archive.site.rejects(JOB).await.len()), (Outcome::Failed, 0));
    assert!(ended.message.unwrap().contains("the directory of the files"), "it says why");
    // Mounted, and empty.
    std::fs::create_dir(&directory).unwrap();
    assert_eq!(archive.runs().await.counts.rejected, 1);
    std::fs::remove_dir(&directory).unwrap();
    std::fs::rename(&away, &directory).unwrap();
    assert_eq!(archive.runs().await.outcome, Outcome::Ok);
    assert_eq!((archive.requests(), archive.site.rejects(JOB).await.len()), (requests, 0));
}

#[tokio::test]
async fn an_answer_that_is_lost_at_any_step_leaves_one_document() {
    for ((keys, switch), twice) in WAYS.into_iter().zip(["404", "409", "done"]) {
        let archive = Archive::new(keys).await;
        archive.site.one.switches.set(switch).unwrap();
        archive.site.one.switches.set(&format!("complete-twice={twice}")).unwrap();
        for (nth, path) in
            ["upload-begin", "uploads/", "file-upload/", "upload-complete"].into_iter().enumerate()
        {
            let number = format!("FV/{nth}");
            archive.put(&number, &pdf(4, 900)).await;
            for fault in [Fault::AnswerLost, Fault::status(503), Fault::AnswerLost] {
                archive.site.one.wire.fail_next(1, path, fault);
            }
            for _ in 0..4 {
                archive.runs().await;
            }
            assert_eq!(archive.there(&number), Some((pdf(4, 900), 1)), "{switch}, {path}, {twice}");
            archive.site.one.wire.heal();
        }
        assert!(archive.site.rejects(JOB).await.is_empty());
    }
}

#[tokio::test]
async fn a_platform_that_refuses_files_says_so_once() {
    let archive = Archive::new("").await;
    archive.put(NUMBER, &pdf(1, 500)).await;
    archive.site.one.wire.fail_always("upload-complete", Fault::status(422));
    let ended = archive.runs().await;
    assert_eq!((ended.outcome, ended.counts.rejected), (Outcome::Partial, 1));
    let requests = archive.requests();
    archive.runs().await;
    assert_eq!(archive.requests(), requests, "it is not asked at every run");
    let reject = archive.site.rejects(JOB).await.remove(0);
    assert!(reject.reason.contains("file-upload-complete: 422: simulated"), "{}", reject.reason);
    archive.site.one.wire.heal();
    archive.site.printed(&["rejects", "retry", JOB, "--all"]);
    assert_eq!(archive.runs().await.counts.written, 1);
    assert_eq!(archive.there(NUMBER), Some((pdf(1, 500), 1)));
}

#[tokio::test]
async fn a_dry_run_and_a_trial_show_the_first_request_and_no_bytes() {
    let archive = Archive::new("").await;
    archive.add(NUMBER, Some(&pdf(1, 50_000)), None).await;
    archive.site.once("documents").await;
    let shown = archive.site.printed(&["once", JOB, "--dry-run"]);
    assert!(
        shown.contains("1 new") && shown.contains("/invoices/integrations/auth-required/file-upload-begin"),
        "{shown}"
    );
    let begin = r#"{"number":"FV/17/03/2026","fileName":"FV_17_03_2026.pdf","contentType":"application/pdf","size":50000}"#;
    assert!(shown.contains(begin) && shown.len() < 2_000, "{shown}");
    let tried = archive.site.cadenced(&["try", JOB]);
    let text = String::from_utf8(tried.stdout.clone()).unwrap();
    assert!(
        text.contains("bytes)") && text.contains(begin) && text.len() < 3_000,
        "{text} {}",
        stderr(&tried)
    );
    assert_eq!(archive.requests(), 0);
}

#[tokio::test]
async fn a_check_finds_missing_columns_and_directories() {
    let archive = Archive::new("").await;
    let checked = archive.site.cadenced(&["check", "--connect"]);
    assert!(!stderr(&checked).contains(JOB), "{}", stderr(&checked));
    archive.upload("upload.file.bytes = \"contents\"");
    std::fs::remove_dir(archive.directory()).unwrap();
    let said = stderr(&archive.site.cadenced(&["check", "--connect"]));
    let column =
        "one-invoice-files: the query has no column `contents`, which `file` names; it has number, file_name";
    assert!(
        said.contains(column) && said.contains("one-invoice-files: the directory of the files"),
        "{said}"
    );
}
