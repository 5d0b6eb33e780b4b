//! What stands in the way of opening a state directory, and what must not.

use super::*;
use crate::clock::SystemClock;
use crate::transfer::Digest;
use std::fs;

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn end_a_slot(store: &Store, seconds: i64) {
    let token = granted(store, seconds).await;
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
}

#[test]
fn a_second_process_is_refused_at_once_and_told_who_holds_the_state() {
    const VARIABLE: &str = "CADENCED_TEST_HELD_STATE";
    if let Some(dir) = std::env::var_os(VARIABLE) {
        let refused = Store::open(Path::new(&dir), Arc::new(SystemClock)).unwrap_err();
        fs::write(Path::new(&dir).join("answer"), refused.to_string()).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.open();
    let test = "state::tests::opening::a_second_process_is_refused_at_once_and_told_who_holds_the_state";
    let ended = child(test, VARIABLE, scratch.dir.path().as_os_str()).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let answer = fs::read_to_string(scratch.dir.path().join("answer")).unwrap();
    let holder = format!("held by process {}", std::process::id());
    assert!(answer.contains(&holder), "{answer}");
    drop(store);
    scratch.open();
}

#[tokio::test]
async fn a_snapshot_left_half_written_is_no_obstacle() {
    let scratch = Scratch::new();
    end_a_slot(&scratch.open(), 0).await;
    let half = scratch.dir.path().join("db/snap.0000000000000ABC.generating");
    fs::write(&half, b"half").unwrap();
    let store = scratch.open();
    assert!(!half.exists());
    assert!(store.slot(&slot(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_went_back_is_refused_naming_the_newest_export() {
    let scratch = Scratch::new();
    let store = scratch.open();
    end_a_slot(&store, 0).await;
    store.export_to_directory(5).await.unwrap();
    drop(store);
    let database = scratch.dir.path().join("db");
    let older = scratch.dir.path().join("older");
    copy_dir(&database, &older);
    // Opening alone must be enough: what a crash right after it leaves is newer than the copy.
    scratch.open();
    fs::remove_dir_all(&database).unwrap();
    fs::rename(&older, &database).unwrap();
    let refused = scratch.try_open().unwrap_err();
    assert!(matches!(&refused, StateError::Regressed { store: Some(_), .. }), "{refused}");
    assert!(refused.to_string().contains("exports/state-"), "{refused}");
}

#[tokio::test]
async fn a_generation_file_that_lags_or_is_gone_accuses_nobody() {
    let scratch = Scratch::new();
    end_a_slot(&scratch.open(), 0).await;
    let file = scratch.dir.path().join("generation");
    let reached: u64 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    // A kill between the flush of the store and the file's replacement.
    fs::write(&file, format!("{}\n", reached - 1)).unwrap();
    scratch.open();
    fs::remove_file(&file).unwrap();
    scratch.open();
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), (reached + 2).to_string());
}

#[test]
fn a_newer_layout_is_left_alone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    store.0.database.tree.insert(keys::META_LAYOUT, &99_u64.to_be_bytes()).unwrap();
    drop(store);
    let refused = scratch.try_open().unwrap_err();
    assert!(matches!(refused, StateError::Layout { found: 99, .. }), "{refused}");
}

/// Opens a damaged copy and reads all of it. Whatever was done to the file, the answer is a clear error or all the data.
async fn refuses_or_has_everything(scratch: &Scratch, what: &str) {
    let error = match scratch.try_open() {
        Err(error) => error,
        Ok(store) => match store.scan(&job(), "", &mut Place::default(), 100_000).await {
            Err(error) => error,
            Ok(entries) => {
                assert_eq!(entries.len(), 20_000, "{what}: entries are gone and nobody said so");
                assert!(entries.iter().all(|(_, entry)| entry.walk == 3), "{what}: an older entry came back");
                return;
            }
        },
    };
    assert!(matches!(error, StateError::Damaged { .. } | StateError::Regressed { .. }), "{what}: {error:?}");
}

#[tokio::test]
async fn a_truncated_or_garbled_database_is_a_clear_error() {
    let original = Scratch::new();
    let store = original.open();
    for walk in 0..4 {
        let digest = Some(Digest::of(b"x"));
        let entry = Delivered { digest, cursor: None, walk, absent: false, group: None };
        for part in 0..20 {
            let entries = (0..1000).map(|n| (format!("{part}-{n}"), entry.clone())).collect();
            let settlement = Settlement { entries, ..Settlement::default() };
            store.settle(&job(), "", RunId(1), settlement).await.unwrap();
        }
        end_a_slot(&store, i64::try_from(walk).unwrap()).await;
    }
    drop(store);
    let length = fs::metadata(original.dir.path().join("db/db")).unwrap().len();
    for part in [0, 1, 30, 50, 70, 90, 99] {
        for garble in [false, true] {
            let copy = Scratch::new();
            copy_dir(original.dir.path(), copy.dir.path());
            let path = copy.dir.path().join("db/db");
            let at = length * part / 100;
            let what = format!("{} at {part}%", if garble { "garbled" } else { "truncated" });
            if garble {
                let mut bytes = fs::read(&path).unwrap();
                let at = usize::try_from(at).unwrap();
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0x5a);
                fs::write(&path, bytes).unwrap();
            } else {
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(at).unwrap();
            }
            refuses_or_has_everything(&copy, &what).await;
        }
    }
}
