//! What survives `kill -9` at any moment.

use super::*;
use crate::clock::SystemClock;
use crate::job::Cursor;
use crate::transfer::Digest;
use rand::{Rng as _, SeedableRng as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

const VARIABLE: &str = "CADENCED_TEST_KILLED_STATE";
const KEYS: usize = 200;

/// Works on slots one after the other for ever, saying after each step that it is done.
async fn work_until_killed(dir: &Path) {
    let say = |word: &str, round: i64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{word} {round}").unwrap();
        out.flush().unwrap();
    };
    say("\nopening", 0);
    let store = Store::open(dir, Arc::new(SystemClock)).unwrap();
    let mark = store.watermark(&job(), "").await.unwrap();
    let mut round = mark.map_or(0, |mark| mark.value.as_i64().unwrap());
    for (at, _) in store.job_view(&job()).await.unwrap().interrupted {
        let token = granted(&store, (at - instant(0)).num_seconds()).await;
        store.close(closing(&token, Outcome::Interrupted)).await.unwrap();
    }
    loop {
        round += 1;
        let token = granted(&store, round).await;
        say("claimed", round);
        let keys: Vec<String> = (0..KEYS).map(|n| format!("key-{n}")).collect();
        let doubtful = keys.iter().map(|key| Doubtful { key: key.clone(), group: None }).collect();
        store.doubt(&job(), "", doubtful).await.unwrap();
        say("doubted", round);
        let digest = Some(Digest::of(&round.to_be_bytes()));
        let walk = round.cast_unsigned();
        let entry = Delivered { digest, cursor: Some(Cursor(round)), walk, absent: false, group: None };
        let entries = keys.into_iter().map(|key| (key, entry.clone())).collect();
        let settlement = Settlement { entries, walk: Walk::Save(round.into()), ..Settlement::default() };
        store.settle(&job(), "", token.run, settlement).await.unwrap();
        say("settled", round);
        let mark = NewMark { entity: String::new(), value: round.into(), walk: Walk::Keep };
        store.commit_watermark(&token, mark).await.unwrap();
        say("committed", round);
        store.close(closing(&token, Outcome::Ok)).await.unwrap();
        say("closed", round);
    }
}

/// Everything the killed process said it had done is there, and nothing is half there.
async fn check(dir: &Path, said: &HashMap<String, i64>) {
    let store = Store::open(dir, Arc::new(SystemClock)).unwrap();
    let last = |word: &str| said.get(word).copied().unwrap_or(0);
    let mark = store.watermark(&job(), "").await.unwrap().map_or(0, |mark| mark.value.as_i64().unwrap());
    let walk = store.walk(&job(), "").await.unwrap().map_or(0, |walk| walk.as_i64().unwrap());
    assert!(mark >= last("committed"), "the watermark {mark} is behind {}", last("committed"));
    assert!(walk >= last("settled") && walk >= mark && walk <= mark + 1, "walk {walk}, watermark {mark}");
    let entries = store.scan(&job(), "", &mut Place::default(), 2 * KEYS).await.unwrap();
    if walk > 0 {
        assert_eq!(entries.len(), KEYS);
        let in_doubt = entries[0].1.digest.is_none();
        for (key, entry) in &entries {
            assert_eq!(entry.walk, walk.cast_unsigned(), "{key}: half a settlement");
            assert_eq!(entry.digest.is_none(), in_doubt, "{key}: half a doubt");
            assert!(in_doubt || entry.digest == Some(Digest::of(&walk.to_be_bytes())), "{key}");
        }
        assert!(in_doubt || last("doubted") <= walk, "doubt of round {} was lost", last("doubted"));
    }
    let closed = last("closed");
    if closed > 0 {
        let record = store.slot(&slot(closed)).await.unwrap().unwrap();
        assert_eq!(record.outcome, Some(Outcome::Ok));
    }
    let claimed = store.slot(&slot(last("claimed"))).await.unwrap();
    assert!(last("claimed") == 0 || claimed.is_some(), "the claim of {} was lost", last("claimed"));
    let view = store.job_view(&job()).await.unwrap();
    assert!(view.interrupted.len() <= 1, "{view:?}");
    let runs = store.runs(Some(&job()), 2).await.unwrap();
    assert!(runs.len() < 2 || runs[0].id > runs[1].id);
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_is_half_done_after_kills_at_any_moment() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if let Some(dir) = std::env::var_os(VARIABLE) {
        runtime.block_on(work_until_killed(Path::new(&dir)));
        return;
    }
    let kills = std::env::var("CADENCED_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let mut random = rand::rngs::StdRng::seed_from_u64(kills);
    let dir = tempfile::tempdir().unwrap();
    let test =
        "state::tests::kills::nothing_confirmed_is_lost_and_nothing_is_half_done_after_kills_at_any_moment";
    let mut said = HashMap::new();
    for kill in 0..kills {
        let mut worker =
            child(test, VARIABLE, dir.path().as_os_str()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        // Every third is killed while it opens the store.
        let mut left = if kill % 3 == 0 { 1 } else { random.random_range(2..60) };
        let spins: u64 = random.random_range(0..400_000);
        let mut hear = |line: String| {
            let known = line.split_once(' ').and_then(|(word, round)| Some((word, round.parse().ok()?)));
            let known = known.filter(|(word, _): &(&str, i64)| {
                ["opening", "claimed", "doubted", "settled", "committed", "closed"].contains(word)
            });
            known.is_some_and(|(word, round)| {
                said.insert(word.to_owned(), round);
                true
            })
        };
        while left > 0 {
            let line = lines.next().expect("the worker ended by itself").unwrap();
            left -= u64::from(hear(line));
        }
        (0..spins).for_each(|_| std::hint::spin_loop());
        worker.kill().unwrap();
        worker.wait().unwrap();
        for line in lines {
            hear(line.unwrap());
        }
        runtime.block_on(check(dir.path(), &said));
    }
    assert!(said.get("closed").is_some_and(|round| *round > 0), "no worker got anywhere");
}
