//! Digests, doubt, rejects.

use super::*;
use crate::job::Cursor;
use crate::transfer::{Digest, Rejected};

fn delivered(content: &str) -> Delivered {
    Delivered {
        digest: Some(Digest::of(content.as_bytes())),
        cursor: Some(Cursor(-7)),
        walk: 3,
        absent: false,
        group: Some(serde_json::json!(["WAW1"])),
    }
}

fn doubtful(key: &str) -> Doubtful {
    Doubtful { key: key.to_owned(), group: None }
}

fn rejected(key: &str) -> Rejected {
    Rejected::new(key, "{}".repeat(10_000), "unknown product")
}

async fn recall_one(store: &Store, key: &str) -> Option<Delivered> {
    store.recall(&job(), "", vec![key.to_owned()]).await.unwrap().remove(0)
}

async fn settle(store: &Store, settlement: Settlement) {
    store.settle(&job(), "", RunId(1), settlement).await.unwrap();
}

fn accepted(keys: &[&str]) -> Settlement {
    let entries = keys.iter().map(|key| ((*key).to_owned(), delivered(key))).collect();
    Settlement { entries, ..Settlement::default() }
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_whatever_its_key() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let long = "ż\u{1f}\0".repeat(1000);
    let bare = Delivered { digest: None, cursor: None, walk: 0, absent: true, group: None };
    let entries = vec![
        (long.clone(), delivered("long")),
        (String::new(), bare.clone()),
        ("A-17".to_owned(), delivered("short")),
    ];
    settle(&store, Settlement { entries: entries.clone(), ..Settlement::default() }).await;
    drop(store);
    let store = scratch.open();
    assert_eq!(recall_one(&store, &long).await, Some(delivered("long")));
    assert_eq!(recall_one(&store, "").await, Some(bare));
    assert_eq!(recall_one(&store, "nothing").await, None);
    let mut scanned = Vec::new();
    while let Some(last) = {
        let after = scanned.last().map(|(key, _): &(String, _)| key.clone());
        store.scan(&job(), "", after.as_deref(), 1).await.unwrap().pop()
    } {
        scanned.push(last);
    }
    scanned.sort_by_key(|(key, _)| key.len());
    assert_eq!(scanned, [entries[1].clone(), entries[2].clone(), entries[0].clone()]);
    assert!(store.scan(&job(), "another", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_in_doubt_has_no_digest_before_and_after_a_crash_and_is_still_known() {
    let scratch = Scratch::new();
    let store = scratch.open();
    settle(&store, accepted(&["known"])).await;
    let group = Some(serde_json::json!(["KRK"]));
    let fresh = Doubtful { key: "new".to_owned(), group: group.clone() };
    store.doubt(&job(), "", vec![doubtful("known"), fresh]).await.unwrap();
    assert_eq!(recall_one(&store, "known").await.unwrap().digest, None);
    drop(store);

    let store = scratch.open();
    assert_eq!(store.recover_doubt(&job(), "").await.unwrap(), 2);
    assert_eq!(store.recover_doubt(&job(), "").await.unwrap(), 0);
    assert_eq!(recall_one(&store, "known").await, Some(Delivered { digest: None, ..delivered("known") }));
    let unknown = Delivered { digest: None, cursor: None, walk: 0, absent: false, group };
    assert_eq!(recall_one(&store, "new").await, Some(unknown));
    assert_eq!(store.scan(&job(), "", None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn settling_ends_the_doubt_of_the_keys_it_names_and_of_no_other() {
    let scratch = Scratch::new();
    let store = scratch.open();
    settle(&store, accepted(&["a", "b", "c", "d"])).await;
    // The first two were sent in a request that was never answered.
    store.doubt(&job(), "", ["a", "b"].map(doubtful).to_vec()).await.unwrap();
    store.doubt(&job(), "", ["b", "c", "d", "e"].map(doubtful).to_vec()).await.unwrap();
    let settlement =
        Settlement { rejects: vec![rejected("c")], removed: vec!["d".to_owned()], ..accepted(&["b", "e"]) };
    settle(&store, settlement).await;
    assert_eq!(recall_one(&store, "a").await.unwrap().digest, None);
    for key in ["b", "c", "e"] {
        assert_eq!(recall_one(&store, key).await, Some(delivered(key)), "{key}");
    }
    assert_eq!(recall_one(&store, "d").await, None);
    assert_eq!(store.recover_doubt(&job(), "").await.unwrap(), 1);
}

#[tokio::test]
async fn doubt_is_kept_in_few_pieces_and_comes_back_whole() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let keys: Vec<String> = (0..2_500).map(|n| format!("sku-{n}")).collect();
    store.doubt(&job(), "", keys.iter().map(|key| doubtful(key)).collect()).await.unwrap();
    store.doubt(&job(), "", keys.iter().map(|key| doubtful(key)).collect()).await.unwrap();
    let prefix = keys::entity(keys::DOUBT, &job(), "");
    assert_eq!(store.0.database.tree.scan_prefix(prefix).count(), 3);
    assert_eq!(store.recover_doubt(&job(), "").await.unwrap(), 2_500);
}

#[tokio::test]
async fn a_reject_counts_its_tries_and_goes_when_its_key_is_accepted() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let refused = |keys: &[&str]| Settlement {
        rejects: keys.iter().map(|key| rejected(key)).collect(),
        walk: Walk::Save(serde_json::json!({ "page": 4 })),
        ..Settlement::default()
    };
    settle(&store, refused(&["A-17", "A-18"])).await;
    scratch.clock.set(instant(60));
    settle(&store, refused(&["A-17"])).await;
    assert_eq!(store.count_rejects(&job()).await.unwrap(), 2);
    assert_eq!(store.walk(&job(), "").await.unwrap(), Some(serde_json::json!({ "page": 4 })));
    let reject = store.reject(&job(), "", "A-17").await.unwrap().unwrap();
    assert_eq!((reject.tries, reject.first, reject.last), (2, instant(0), instant(60)));
    assert_eq!(reject.content.len(), 16 << 10);

    settle(&store, accepted(&["A-17", "never-refused"])).await;
    assert_eq!(store.count_rejects(&job()).await.unwrap(), 1);
    let left = store.rejects(&job(), None, 10).await.unwrap();
    assert_eq!(left[0].key, "A-18");
    assert!(store.rejects(&job(), Some(("", "A-18")), 10).await.unwrap().is_empty());
    assert!(store.drop_reject(&job(), "", "A-18").await.unwrap());
    assert!(!store.drop_reject(&job(), "", "A-18").await.unwrap());
    settle(&store, refused(&["x", "y"])).await;
    assert_eq!(store.drop_rejects(&job()).await.unwrap(), 2);
    assert_eq!(store.count_rejects(&job()).await.unwrap(), 0);
}

#[tokio::test]
async fn pruning_forgets_what_is_older_than_a_cursor_and_what_has_none_stays() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let entries = (0..5_000)
        .map(|n| {
            let cursor = (n % 10 != 0).then_some(Cursor(n));
            (format!("{n:05}"), Delivered { cursor, ..delivered("x") })
        })
        .collect();
    settle(&store, Settlement { entries, ..Settlement::default() }).await;
    let pruned = store.prune_delivered(&job(), "", Forget::Before(Cursor(4_500))).await.unwrap();
    assert_eq!(pruned, 4_050);
    assert_eq!(store.scan(&job(), "", None, 5_000).await.unwrap().len(), 950);
    assert_eq!(store.prune_delivered(&job(), "", Forget::All).await.unwrap(), 950);
}

#[tokio::test]
async fn a_value_kept_for_somebody_else_outlives_a_restart() {
    let scratch = Scratch::new();
    scratch.open().put_blob("quota", "one", b"17".to_vec()).await.unwrap();
    let store = scratch.open();
    assert_eq!(store.get_blob("quota", "one").await.unwrap().as_deref(), Some(&b"17"[..]));
    assert_eq!(store.get_blob("quota", "two").await.unwrap(), None);
}

#[cfg(target_os = "linux")]
#[test]
fn large_settlements_leave_no_memory_behind() {
    const VARIABLE: &str = "CADENCED_TEST_MEMORY";
    if std::env::var_os(VARIABLE).is_none() {
        // Only a process of its own can tell its memory from that of other tests.
        let test = "state::tests::deliveries::large_settlements_leave_no_memory_behind";
        let ended = child(test, VARIABLE, "1".as_ref()).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for part in 0..10 {
        let entries = (0..10_000).map(|n| (format!("sku-{:x}", n * 0x9E37_79B9_u64 + part), delivered("x")));
        let settlement = Settlement { entries: entries.collect(), ..Settlement::default() };
        runtime.block_on(settle(&store, settlement));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    // 100 MB measured; 340 MB where a batch's leavings stay.
    assert!(kilobytes < 200_000, "{kilobytes} kB resident after 100,000 entries");
}
