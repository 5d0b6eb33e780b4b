//! Claims, ends, what happened without a run.

use super::*;

fn skipped(seconds: i64, reason: &str) -> Entry {
    let reason = reason.to_owned();
    Entry::Skipped { slot: slot(seconds), cause: Cause::Due, reason }
}

#[tokio::test]
async fn a_slot_that_ended_is_refused_and_one_before_it_is_not() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let token = granted(&store, 600).await;
    let again = store.claim(vec![claim(600)]).await.unwrap();
    assert_eq!(again, [Claimed::Refused(Refusal::Open(token.run))]);
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
    let again = store.claim(vec![claim(600)]).await.unwrap();
    assert_eq!(again, [Claimed::Refused(Refusal::Ended(Outcome::Ok))]);
    // The clock was wrong and was corrected: what lies before is as claimable as ever.
    granted(&store, 0).await;
}

#[tokio::test]
async fn a_failed_slot_may_be_claimed_again_as_the_next_attempt() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for attempt in 1..=3 {
        let token = granted(&store, 0).await;
        assert_eq!((token.attempt, token.run), (attempt, RunId(u64::from(attempt))));
        store.close(closing(&token, Outcome::Failed)).await.unwrap();
    }
    assert_eq!(store.consecutive_failures(&job()).await.unwrap(), 3);
    let token = granted(&store, 0).await;
    store.close(closing(&token, Outcome::Partial)).await.unwrap();
    assert_eq!(store.consecutive_failures(&job()).await.unwrap(), 0);
    assert_eq!(store.last_success(&job()).await.unwrap().unwrap().id, RunId(4));
    let runs = store.runs(Some(&job()), 2).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.attempt).collect::<Vec<_>>(), [4, 3]);
}

#[tokio::test]
async fn one_slot_claimed_twice_in_one_call_is_granted_once() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let answers = store.claim(vec![claim(0), claim(0), claim(1)]).await.unwrap();
    assert!(matches!(
        answers.as_slice(),
        [Claimed::Granted(first), Claimed::Refused(Refusal::Open(RunId(1))), Claimed::Granted(second)]
            if first.run == RunId(1) && second.run == RunId(2)
    ));
}

#[tokio::test]
async fn a_slot_left_open_is_interrupted_after_a_restart_and_its_token_is_worth_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let lost = granted(&store, 0).await;
    assert!(store.ledger_view().await.unwrap()[&job()].interrupted.is_empty());
    drop(store);

    let store = scratch.open();
    let view = store.ledger_view().await.unwrap();
    let [(at, record)] = view[&job()].interrupted.as_slice() else { panic!("{view:?}") };
    assert_eq!((*at, record.attempts, record.outcome), (slot(0).at, 1, None));
    let token = granted(&store, 0).await;
    assert_eq!((token.attempt, token.run), (2, RunId(2)));
    assert!(store.job_view(&job()).await.unwrap().interrupted.is_empty());
    let first = store.run(lost.run).await.unwrap().unwrap();
    assert_eq!(first.outcome, Some(Outcome::Interrupted));

    let mark = NewMark { entity: String::new(), value: 9.into(), walk: Walk::Keep };
    let refused = store.commit_watermark(&lost, mark.clone()).await;
    assert!(matches!(refused, Err(StateError::Fenced { run: RunId(1), .. })), "{refused:?}");
    assert!(store.close(closing(&lost, Outcome::Ok)).await.is_err());
    store.commit_watermark(&token, mark.clone()).await.unwrap();
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
    let after_its_end = store.commit_watermark(&token, mark).await;
    assert!(matches!(after_its_end, Err(StateError::Fenced { .. })), "{after_its_end:?}");
}

#[tokio::test]
async fn an_interrupted_slot_can_be_given_up() {
    let scratch = Scratch::new();
    granted(&scratch.open(), 0).await;
    let store = scratch.open();
    store.record(vec![Entry::Interrupted { slot: slot(0) }]).await.unwrap();
    assert!(store.job_view(&job()).await.unwrap().interrupted.is_empty());
    assert_eq!(store.slot(&slot(0)).await.unwrap().unwrap().outcome, Some(Outcome::Interrupted));
    assert_eq!(store.run(RunId(1)).await.unwrap().unwrap().outcome, Some(Outcome::Interrupted));
}

#[tokio::test]
async fn what_waits_is_written_with_the_end_of_what_it_waits_for() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let child = Slot { job: JobName::new("one-prices").unwrap(), at: instant(0) };
    let token = granted(&store, 0).await;
    let batch = LedgerBatch {
        closings: vec![closing(&token, Outcome::Ok)],
        entries: vec![
            Entry::Accounted { job: job(), at: instant(1) },
            Entry::Pending { slot: child.clone(), cause: Cause::After },
        ],
        claims: vec![claim(60)],
    };
    let claimed = store.write(batch).await.unwrap();
    assert!(matches!(&claimed[..], [Claimed::Granted(token)] if token.slot == slot(60)));
    drop(store);

    let store = scratch.open();
    let view = store.ledger_view().await.unwrap();
    assert_eq!(view[&job()].accounted, Some(instant(1)));
    assert_eq!(view[&job()].interrupted.len(), 1);
    assert_eq!(view[&child.job].pending, [(child.at, Cause::After)]);
    let claim = Claim { slot: child.clone(), cause: Cause::After };
    assert!(matches!(store.claim(vec![claim]).await.unwrap()[0], Claimed::Granted(_)));
    assert!(store.job_view(&child.job).await.unwrap().pending.is_empty());
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let lost = granted(&store, 0).await;
    store.close(closing(&lost, Outcome::Ok)).await.unwrap();
    let batch = LedgerBatch {
        closings: vec![closing(&lost, Outcome::Failed)],
        entries: vec![skipped(60, "never written")],
        claims: vec![claim(120)],
    };
    assert!(matches!(store.write(batch).await, Err(StateError::Fenced { .. })));
    assert_eq!(store.slot(&slot(60)).await.unwrap(), None);
    assert_eq!(store.slot(&slot(120)).await.unwrap(), None);
}

#[tokio::test]
async fn a_slot_keeps_its_first_outcome() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let token = granted(&store, 0).await;
    store.record(vec![skipped(0, "overlap")]).await.unwrap();
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
    store.record(vec![skipped(0, "overlap"), skipped(60, "the last run still went")]).await.unwrap();
    assert_eq!(store.slot(&slot(0)).await.unwrap().unwrap().outcome, Some(Outcome::Ok));
    let skipped = store.slot(&slot(60)).await.unwrap().unwrap();
    assert_eq!(skipped.reason.as_deref(), Some("the last run still went"));
    assert_eq!(
        store.claim(vec![claim(60)]).await.unwrap(),
        [Claimed::Refused(Refusal::Ended(Outcome::Skipped))]
    );
}

#[tokio::test]
async fn a_missed_stretch_is_one_entry_and_silences_no_slot() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let range = SlotRange {
        job: job(),
        first: instant(0),
        last: instant(1_200),
        slots: 11,
        outcome: Outcome::Missed,
        reason: "the daemon was down".to_owned(),
    };
    store.record(vec![Entry::Range(range.clone()), skipped(1_300, "paused")]).await.unwrap();
    let slots = store.slots(&job(), instant(600), instant(1_301)).await.unwrap();
    assert_eq!(slots.ranges, [range]);
    assert_eq!(slots.records.len(), 1);
    assert_eq!(store.slots(&job(), instant(1_201), instant(1_300)).await.unwrap(), Slots::default());
    granted(&store, 600).await;
}

#[tokio::test]
async fn a_pause_outlives_a_restart() {
    let scratch = Scratch::new();
    scratch.open().pause(&job(), Some("stock-taking".to_owned())).await.unwrap();
    let store = scratch.open();
    assert_eq!(store.pauses().await.unwrap()[&job()].reason.as_deref(), Some("stock-taking"));
    assert!(store.ledger_view().await.unwrap()[&job()].paused.is_some());
    assert!(store.resume(&job()).await.unwrap());
    assert!(!store.resume(&job()).await.unwrap());
    assert!(store.pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn pruning_leaves_the_last_run_the_last_success_and_what_is_open() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for (seconds, outcome) in [(0, Outcome::Ok), (1, Outcome::Failed), (2, Outcome::Failed)] {
        let token = granted(&store, seconds).await;
        store.close(closing(&token, outcome)).await.unwrap();
    }
    let other =
        Claim { slot: Slot { job: JobName::new("open").unwrap(), at: instant(0) }, cause: Cause::Due };
    store.claim(vec![other.clone()]).await.unwrap();
    assert_eq!(store.prune_history(instant(0)).await.unwrap(), 0);
    store.prune_history(instant(1)).await.unwrap();
    let runs = store.runs(None, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id.0).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(store.last_success(&job()).await.unwrap().unwrap().id, RunId(1));
    assert_eq!(store.last_run(&job()).await.unwrap().unwrap().id, RunId(3));
    assert_eq!(store.slot(&slot(0)).await.unwrap(), None);
    assert!(store.slot(&other.slot).await.unwrap().is_some());
    drop(store);
    let token = granted(&scratch.open(), 3).await;
    assert_eq!(token.run, RunId(5));
}

#[tokio::test]
async fn a_watermark_keeps_its_last_ten_values() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let token = granted(&store, 0).await;
    for value in 0..13 {
        let walk = Walk::Save(serde_json::json!({ "page": value }));
        let mark = NewMark { entity: "orders".to_owned(), value: value.into(), walk };
        store.commit_watermark(&token, mark).await.unwrap();
    }
    let mark = store.watermark(&job(), "orders").await.unwrap().unwrap();
    assert_eq!((mark.value, mark.run), (12.into(), Some(token.run)));
    let previous: Vec<_> = mark.previous.iter().map(|mark| mark.value.as_i64().unwrap()).collect();
    assert_eq!(previous, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    assert_eq!(store.walk(&job(), "orders").await.unwrap(), Some(serde_json::json!({ "page": 12 })));
    assert_eq!(store.watermark(&job(), "").await.unwrap(), None);

    let busy = store.set_watermark(&job(), "orders", Some(5.into())).await.unwrap_err();
    assert!(matches!(busy, StateError::Running { run, .. } if run == token.run), "{busy}");
    store.close(closing(&token, Outcome::Ok)).await.unwrap();
    let before = store.set_watermark(&job(), "orders", Some(5.into())).await.unwrap();
    assert_eq!(before.unwrap().value, 12);
    assert_eq!(store.walk(&job(), "orders").await.unwrap(), None);
    let marks = store.watermarks(Some(&job())).await.unwrap();
    assert_eq!((marks[0].1.as_str(), &marks[0].2.value, marks[0].2.run), ("orders", &5.into(), None));
    let before = store.set_watermark(&job(), "orders", None).await.unwrap();
    assert_eq!(before.unwrap().value, 5);
    assert_eq!(store.watermark(&job(), "orders").await.unwrap(), None);
    let kept = store.watermarks(None).await.unwrap().remove(0).2;
    assert_eq!((kept.previous[0].value.as_i64(), kept.previous[1].value.as_i64()), (Some(5), Some(12)));
    store.set_watermark(&job(), "orders", Some(12.into())).await.unwrap();
    let kept = store.watermark(&job(), "orders").await.unwrap().unwrap();
    assert_eq!((kept.value, &kept.previous[0].value), (12.into(), &5.into()), "none is no value it had");
    assert_eq!(store.set_watermark(&job(), "", None).await.unwrap(), None);
    assert_eq!(store.watermarks(None).await.unwrap().len(), 1, "nothing taken away leaves nothing");
}

#[tokio::test]
async fn the_last_slots_are_the_newest_and_those_of_one_fate_count_as_one() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let token = granted(&store, 0).await;
    store.close(closing(&token, Outcome::Partial)).await.unwrap();
    let skipped = |seconds, why: &str| Entry::skipped(&job(), instant(seconds), Cause::Due, why);
    let range = SlotRange {
        job: job(),
        first: instant(-500),
        last: instant(-100),
        slots: 5,
        outcome: Outcome::Missed,
        reason: "the daemon was down".to_owned(),
    };
    let ahead = skipped(90_000_000, "the clock was wrong");
    let entries = vec![
        Entry::Range(range),
        skipped(10, "paused"),
        skipped(20, "paused"),
        skipped(30, "overlap"),
        ahead,
    ];
    store.record(entries).await.unwrap();
    let running = granted(&store, 40).await;

    let last = async |limit| {
        let last = store.last_slots(vec![job()], instant(3600), limit).await.unwrap().remove(&job()).unwrap();
        let row = |slot: LastSlot| {
            let written = slot.run.map(|run| (run.id, run.counts.written));
            (slot.at, slot.slots, slot.outcome, slot.reason.unwrap_or_default(), written)
        };
        last.into_iter().map(row).collect::<Vec<_>>()
    };
    let all = [
        (instant(40), 1, None, String::new(), Some((running.run, 0))),
        (instant(30), 1, Some(Outcome::Skipped), "overlap".to_owned(), None),
        (instant(20), 2, Some(Outcome::Skipped), "paused".to_owned(), None),
        (instant(0), 1, Some(Outcome::Partial), String::new(), Some((token.run, 3))),
        (instant(-100), 5, Some(Outcome::Missed), "the daemon was down".to_owned(), None),
    ];
    assert_eq!(last(8).await, all);
    assert_eq!(last(3).await, all[..3]);
}
