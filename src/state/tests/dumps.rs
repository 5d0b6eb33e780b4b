//! Export and import.

use super::*;
use crate::transfer::{Digest, Rejected};
use std::io::Cursor as Bytes;

/// A store with something of everything in it.
async fn fill(store: &Store) {
    let token = granted(store, 0).await;
    let mark = NewMark { entity: "orders".to_owned(), value: 7.into(), walk: Walk::Save(1.into()) };
    store.commit_watermark(&token, mark).await.unwrap();
    let digest = Some(Digest::of(b"x"));
    let entry = Delivered { digest, cursor: None, walk: 1, absent: false, group: None };
    let settlement = Settlement {
        entries: (0..3_000).map(|n| (format!("sku-{n}"), entry.clone())).collect(),
        rejects: vec![Rejected { key: "r".to_owned(), content: "{}".to_owned(), reason: "no".to_owned() }],
        ..Settlement::default()
    };
    store.settle(&job(), "", token.run, settlement).await.unwrap();
    store.doubt(&job(), "", vec![Doubtful { key: "d".to_owned(), group: None }]).await.unwrap();
    store.put_blob("quota", "one", b"17 ".to_vec()).await.unwrap();
    store.pause(&job(), None).await.unwrap();
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
    granted(store, 60).await;
}

async fn exported(store: &Store) -> Vec<u8> {
    let path = store.export_to_directory(3).await.unwrap();
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn an_import_gives_back_every_byte() {
    let scratch = Scratch::new();
    let store = scratch.open();
    fill(&store).await;
    let first = exported(&store).await;
    drop(store);
    let other = Scratch::new();
    let imported = Store::import(other.dir.path(), Bytes::new(&first), ImportMode::IntoEmpty).unwrap();
    assert_eq!(imported.exported, instant(0));
    let store = other.open();
    let second = exported(&store).await;
    assert_eq!(String::from_utf8(first).unwrap(), String::from_utf8(second).unwrap());
    assert_eq!(store.ledger_view().await.unwrap()[&job()].interrupted.len(), 1);
    assert_eq!(granted(&store, 120).await.run, RunId(3));
}

#[tokio::test]
async fn an_import_replaces_a_state_only_when_told_and_only_by_a_whole_export() {
    let scratch = Scratch::new();
    let store = scratch.open();
    fill(&store).await;
    let export = exported(&store).await;
    granted(&store, 180).await;
    let import = |bytes: &[u8], mode| Store::import(scratch.dir.path(), Bytes::new(bytes), mode);
    let held = import(&export, ImportMode::Replace);
    assert!(matches!(held, Err(StateError::Held { .. })), "{held:?}");
    drop(store);
    let unasked = import(&export, ImportMode::IntoEmpty);
    assert!(matches!(unasked, Err(StateError::NotEmpty { .. })), "{unasked:?}");
    let lines: Vec<&[u8]> = export.split_inclusive(|byte| *byte == b'\n').collect();
    let without_one = [&lines[..10], &lines[11..]].concat().concat();
    for broken in [&export[..export.len() / 2], &lines[..lines.len() - 1].concat(), &without_one, b"{}"] {
        let refused = import(broken, ImportMode::Replace);
        assert!(matches!(refused, Err(StateError::BadExport { .. })), "{refused:?}");
        assert!(scratch.open().slot(&slot(180)).await.unwrap().is_some());
    }
    import(&export, ImportMode::Replace).unwrap();
    assert!(scratch.open().slot(&slot(180)).await.unwrap().is_none());
}

#[tokio::test]
async fn only_the_newest_exports_are_kept() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for day in 0..4 {
        scratch.clock.set(instant(day * 86_400));
        store.export_to_directory(2).await.unwrap();
    }
    let exports = store.0.directory.list_exports();
    assert_eq!(exports.len(), 2);
    assert!(exports[1].ends_with(format!("state-{}.jsonl", instant(3 * 86_400).format("%Y%m%dT%H%M%SZ"))));
}

#[tokio::test]
async fn an_import_brings_a_refused_state_directory_back_to_life() {
    let scratch = Scratch::new();
    let store = scratch.open();
    fill(&store).await;
    let export = exported(&store).await;
    drop(store);
    std::fs::remove_dir_all(scratch.dir.path().join("db")).unwrap();
    let refused = scratch.try_open().unwrap_err();
    let message = refused.to_string();
    assert!(matches!(refused, StateError::Regressed { store: None, .. }), "{message}");
    assert!(message.contains("cadenced state import --replace"), "{message}");
    assert!(message.contains(".jsonl"), "{message}");
    Store::import(scratch.dir.path(), Bytes::new(&export), ImportMode::Replace).unwrap();
    assert!(scratch.open().slot(&slot(60)).await.unwrap().is_some());
}
