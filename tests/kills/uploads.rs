//! Kills between the steps of an upload. The next run alone has to bring the document there, byte for byte and once; also
//! where the ERP has another file by then.

use crate::support::{Archive, pdf, soon};
use cadenced::run::Outcome;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const FILES: &str = "one-invoice-files";
const MOMENTS: [&str; 9] = [
    "push-after-read",
    "push-after-doubt",
    "upload-after-begin",
    "upload-after-step",
    "upload-after-bytes",
    "upload-before-complete",
    "upload-after-complete",
    "push-after-answer",
    "push-after-settle",
];

#[tokio::test]
async fn a_kill_at_any_step_of_an_upload_leaves_one_document_byte_for_byte() {
    let killed = tokio::join!(
        kills("url", ""),
        kills("inline", ""),
        kills("multipart", "upload.transfer = \"multipart\"")
    );
    // Inline, the bytes have no step of their own.
    assert_eq!(killed, (MOMENTS.len() * 2, (MOMENTS.len() - 1) * 2, MOMENTS.len() * 2));
}

/// Kills at each moment, with and without another file in the document's place afterwards, whatever the platform says to a
/// completion it has had before; gives how many.
async fn kills(way: &str, keys: &str) -> usize {
    let archive = Archive::new(keys).await;
    let switches = &archive.site.one.switches;
    switches.set(&format!("file-transfer={way}")).unwrap();
    let moments = MOMENTS.into_iter().filter(|moment| way != "inline" || *moment != "upload-after-bytes");
    let kills: Vec<_> = moments.flat_map(|moment| [(moment, false), (moment, true)]).collect();
    for number in 0..kills.len() {
        archive.write(&format!("FV/{number}")).await;
    }
    archive.site.once("documents").await;
    for (killed, (moment, is_replaced)) in kills.iter().enumerate() {
        let twice = ["404", "409", "done"][(killed / 2) % 3];
        switches.set(&format!("complete-twice={twice}")).unwrap();
        let number = format!("FV/{killed}");
        let (first, second) = (pdf(1, 100_000 + killed), pdf(2, 90_000 + killed));
        if killed % 4 < 2 {
            archive.put(&number, &first).await;
        } else {
            archive.add(&number, Some(&first), None).await;
        }
        kill_at(&archive, moment).await;
        if *is_replaced {
            archive.put(&number, &second).await;
        }
        let ended = archive.site.once(FILES).await;
        let at = format!("{way}, {moment}, {twice}, replaced: {is_replaced}: {ended:?}");
        assert_eq!(ended.outcome, Outcome::Ok, "{at}");
        let (content, uploads) = archive.there(&number).expect(&at);
        assert!(content == if *is_replaced { second } else { first }, "{at}");
        assert!(uploads == 1 || *is_replaced && uploads == 2, "{at}: {uploads} uploads");
    }
    let requests = archive.requests();
    assert_eq!(archive.site.once(FILES).await.outcome, Outcome::Ok);
    assert_eq!(archive.requests(), requests, "{way}: all of it is there");
    assert_eq!(archive.site.one.wire.broken_rules(), []);
    kills.len()
}

/// A run in a process of its own, ended by SIGKILL at this moment.
async fn kill_at(archive: &Archive, moment: &str) {
    let file = archive.site.dir().join("moment");
    std::fs::write(&file, moment).unwrap();
    let mut command = Command::from(archive.site.command(&["once", FILES]));
    command.env("CRASH_AT", file).env("CRASH_SAID", "/dev/stdout").kill_on_drop(true);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let said = soon("the moment", lines.next_line()).await.unwrap();
    if said.as_deref() != Some(moment) {
        let output = run.wait_with_output().await.unwrap();
        panic!("{moment}: {said:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    run.start_kill().unwrap();
    assert_eq!(run.wait().await.unwrap().signal(), Some(9));
}
