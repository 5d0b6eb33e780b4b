//! Digests, doubt, rejects.

use super::*;
use crate::job::Cursor;
use crate::transfer::{Digest, Rejected};
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

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
    Rejected { key: key.to_owned(), content: "{}".repeat(10_000), reason: "unknown product".to_owned() }
}

async fn recall_one(store: &Store, key: &str) -> Option<Delivered> {
    store.recall(&job(), "", vec![key.to_owned()]).await.unwrap().remove(0)
}

async fn scan(store: &Store) -> Vec<(String, Delivered)> {
    let (mut place, mut all) = (Place::default(), Vec::new());
    loop {
        let page = store.scan(&job(), "", &mut place, 100).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
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
    let mut scanned = scan(&store).await;
    scanned.sort_by_key(|(key, _)| key.len());
    assert_eq!(scanned, [entries[1].clone(), entries[2].clone(), entries[0].clone()]);
    assert!(store.scan(&job(), "another", &mut Place::default(), 10).await.unwrap().is_empty());
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
    assert_eq!(recall_one(&store, "known").await, Some(Delivered { digest: None, ..delivered("known") }));
    let unknown = Delivered { digest: None, cursor: None, walk: 0, absent: false, group };
    assert_eq!(recall_one(&store, "new").await, Some(unknown));
    assert_eq!(scan(&store).await.len(), 2);
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
    drop(store);
    let store = scratch.open();
    assert_eq!(recall_one(&store, "a").await.unwrap().digest, None);
    assert_eq!(recall_one(&store, "c").await, Some(delivered("c")));
    assert_eq!(recall_one(&store, "d").await, None);
}

#[tokio::test]
async fn only_what_is_known_need_come_in_doubt() {
    let scratch = Scratch::new();
    let store = scratch.open();
    settle(&store, accepted(&["a", "b"])).await;
    store.doubt_known(&job(), "", ["a", "new"].map(str::to_owned).to_vec()).await.unwrap();
    drop(store);
    let store = scratch.open();
    assert_eq!(recall_one(&store, "a").await, Some(Delivered { digest: None, ..delivered("a") }));
    assert_eq!(recall_one(&store, "b").await, Some(delivered("b")));
    assert_eq!(recall_one(&store, "new").await, None);
}

#[tokio::test]
async fn a_settlement_that_may_wait_is_known_at_once_and_written_with_the_next_doubt() {
    let scratch = Scratch::new();
    let store = scratch.open();
    // The first finds no flush to wait for.
    let soon = |keys: &[&str]| Settlement {
        urgency: Urgency::Soon,
        walk: Walk::Save(keys[0].into()),
        ..accepted(keys)
    };
    settle(&store, soon(&["a"])).await;
    settle(&store, soon(&["b"])).await;
    let written = |store: &Store| {
        let blocks = store.0.database.tree.scan_prefix([keys::DELIVERED]).count();
        let walk = store.0.draft().json::<String>(&keys::entity(keys::WALK, &job(), "")).unwrap();
        (blocks, walk.unwrap())
    };
    assert_eq!(written(&store), (1, "a".to_owned()));
    assert_eq!(recall_one(&store, "b").await, Some(delivered("b")));
    assert_eq!(store.walk(&job(), "").await.unwrap(), Some("b".into()));
    assert_eq!(scan(&store).await.len(), 2);
    store.doubt_known(&job(), "", vec!["a".to_owned()]).await.unwrap();
    assert_eq!(written(&store), (3, "b".to_owned()));
    settle(&store, soon(&["c"])).await;
    drop(store);
    let store = scratch.open();
    assert_eq!(written(&store), (4, "c".to_owned()));
    assert_eq!(recall_one(&store, "a").await.unwrap().digest, None);
    assert_eq!(recall_one(&store, "c").await, Some(delivered("c")));
}

#[tokio::test]
async fn what_was_said_last_of_a_key_outlives_every_cleaning() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let mut expected: BTreeMap<String, Delivered> = BTreeMap::new();
    let mut pruned = 0;
    for round in 0..200_i64 {
        let keys: BTreeSet<String> =
            (0..200).map(|_| format!("k{}", random.random_range(0..3_000))).collect();
        let (removed, changed): (Vec<String>, Vec<String>) =
            keys.into_iter().partition(|_| random.random_bool(0.1));
        let entry = |_: &String| {
            let cursor = random.random_bool(0.9).then(|| Cursor(round * 10 - random.random_range(0..500)));
            Delivered { digest: Some(Digest::of(&round.to_be_bytes())), cursor, ..delivered("") }
        };
        let entries: Vec<(String, Delivered)> = changed
            .iter()
            .map(entry)
            .collect::<Vec<_>>()
            .into_iter()
            .zip(changed)
            .map(|(e, k)| (k, e))
            .collect();
        removed.iter().for_each(|key| drop(expected.remove(key)));
        expected.extend(entries.iter().cloned());
        let urgency = if random.random_bool(0.5) { Urgency::Soon } else { Urgency::Now };
        settle(&store, Settlement { entries, removed, urgency, ..Settlement::default() }).await;
        if round % 10 == 9 {
            let before = Cursor(round * 10 - 250);
            let forgotten = store.prune_delivered(&job(), "", Forget::Before(before)).await.unwrap();
            let is_old = |entry: &Delivered| entry.cursor.is_some_and(|cursor| cursor < before);
            if forgotten > 0 {
                expected.retain(|_, entry| !is_old(entry));
            }
            pruned += forgotten;
        }
        if round % 30 == 29 {
            drop(store);
            store = scratch.open();
        }
        if round % 7 == 0 || round == 199 {
            let known: BTreeMap<String, Delivered> = scan(&store).await.into_iter().collect();
            assert_eq!(known, expected, "round {round}");
        }
    }
    assert!(pruned > 2_000, "{pruned}");
    let blocks = store.0.database.tree.scan_prefix([keys::DELIVERED]).count();
    assert!(blocks < 200, "{blocks} blocks are left");
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
    assert_eq!(scan(&store).await.len(), 950);
    assert_eq!(store.prune_delivered(&job(), "", Forget::Before(Cursor(4_600))).await.unwrap(), 0, "too few");
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
