//! What proves a walk, what spoils it, and what leads nowhere.

use super::*;

const RULES: WalkRules =
    WalkRules { passes: 5, idle_pages: 5, first: Position::Number(1), steps: Steps::Counted, settle: 60_000 };

fn told(first: Position) -> WalkRules {
    WalkRules { first, steps: Steps::Told, ..RULES }
}

fn leads_to(next: Next) -> PageFacts {
    PageFacts { total_pages: None, total_items: None, next, ..facts(0, 0) }
}

fn token(text: &str) -> Next {
    Next::At(Position::Token(Some(text.to_owned())))
}

fn facts(pages: u64, items: u64) -> PageFacts {
    PageFacts {
        server_time: Some(Cursor(10_000_000)),
        total_pages: Some(pages),
        total_items: Some(items),
        ..PageFacts::default()
    }
}

fn row(n: u64) -> RowFact {
    RowFact { cursor: Some(Cursor(1_000 + n.cast_signed())), fingerprint: n, seen: false }
}

fn again(n: u64) -> RowFact {
    RowFact { seen: true, ..row(n) }
}

fn walk() -> Walk {
    Walk::new(Some(Cursor(0)), &RULES)
}

#[test]
fn a_clean_walk_moves_the_watermark_to_its_highest_row() {
    let mut walk = walk();
    walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
    assert_eq!(walk.ask(), Some(&Position::Number(2)));
    walk.page(&facts(2, 3), [row(3)], &RULES).unwrap();
    assert_eq!(walk.ask(), None);
    assert_eq!(walk.walked(), Some(Walked::Proved(Some(Cursor(1_003)))));
}

#[test]
fn offsets_go_on_by_the_rows_that_came_whatever_was_asked_for() {
    let rules = WalkRules { first: Position::Number(0), steps: Steps::Rows, ..RULES };
    let mut walk = Walk::new(Some(Cursor(0)), &rules);
    let facts = |items| PageFacts { total_pages: None, ..facts(0, items) };
    walk.page(&facts(3), [row(1), row(2)], &rules).unwrap();
    assert_eq!(walk.ask(), Some(&Position::Number(2)));
    walk.page(&facts(3), [row(3)], &rules).unwrap();
    assert_eq!(walk.walked(), Some(Walked::Proved(Some(Cursor(1_003)))));
}

#[test]
fn a_row_from_the_future_does_not_drag_the_watermark() {
    let mut walk = walk();
    let future = RowFact { cursor: Some(Cursor(99_000_000)), fingerprint: 9, seen: false };
    walk.page(&facts(1, 2), [row(1), future], &RULES).unwrap();
    assert_eq!(walk.walked(), Some(Walked::Proved(Some(Cursor(10_000_000 - 60_000)))));
}

#[test]
fn a_missing_row_makes_another_pass() {
    let mut walk = walk();
    walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
    // Row 4 moved to page 1 while page 2 was on its way.
    walk.page(&facts(2, 4), [row(3)], &RULES).unwrap();
    assert_eq!((walk.pass(), walk.ask()), (2, Some(&Position::Number(1))));
    walk.page(&facts(2, 4), [row(4), row(1)], &RULES).unwrap();
    walk.page(&facts(2, 4), [row(2), row(3)], &RULES).unwrap();
    assert_eq!(walk.ask(), None);
}

#[test]
fn a_total_that_always_lies_is_believed_after_two_equal_passes() {
    let mut walk = walk();
    for _ in 0..2 {
        assert_ne!(walk.ask(), None);
        walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
        walk.page(&facts(2, 4), [row(3)], &RULES).unwrap();
    }
    assert!(matches!(walk.walked(), Some(Walked::Proved(_))));
}

#[test]
fn a_platform_that_never_holds_still_leaves_the_watermark() {
    let mut walk = walk();
    for pass in 0..5 {
        walk.page(&facts(2, 4), [row(1), row(2)], &RULES).unwrap();
        walk.page(&facts(2, 4), [row(10 + pass)], &RULES).unwrap();
    }
    assert_eq!(walk.walked(), Some(Walked::Unproved));
}

#[test]
fn a_key_that_comes_twice_or_a_total_that_moves_spoils_the_pass() {
    let mut twice = walk();
    twice.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
    twice.page(&facts(2, 3), [again(2), row(3)], &RULES).unwrap();
    assert_eq!(twice.pass(), 2);
    let mut moved = walk();
    moved.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
    moved.page(&facts(2, 4), [row(3), row(4)], &RULES).unwrap();
    assert_eq!(moved.pass(), 2);
}

#[test]
fn a_resumed_pass_is_never_clean() {
    let mut walk = walk();
    walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
    let text = serde_json::to_string(&walk).unwrap();
    let mut walk = serde_json::from_str::<Walk>(&text).unwrap().resumed();
    assert_eq!(walk.ask(), Some(&Position::Number(2)));
    walk.page(&facts(2, 3), [row(3)], &RULES).unwrap();
    assert_eq!((walk.pass(), walk.ask()), (2, Some(&Position::Number(1))));
}

#[test]
fn rows_without_a_key_count_towards_the_total() {
    let mut walk = walk();
    walk.page(&facts(2, 3), [row(1), row(2)], &RULES).unwrap();
    walk.page(&PageFacts { keyless: 1, ..facts(2, 3) }, [], &RULES).unwrap();
    assert_eq!(walk.ask(), None);
}

#[test]
fn five_hundred_rows_moved_in_the_middle_stop_nothing() {
    // Newest first: after 500 new rows, everything read so far comes again on the next 500 pages of one row.
    let mut walk = walk();
    for n in 0..500 {
        walk.page(&facts(1_000, 1_000), [row(n)], &RULES).unwrap();
    }
    for n in 0..999 {
        let on_page = if n < 500 { again(n) } else { row(n) };
        walk.page(&facts(1_500, 1_500), [on_page], &RULES).unwrap();
    }
    assert_eq!((walk.pass(), walk.walked()), (1, None));
}

#[test]
fn the_same_page_time_after_time_is_no_list() {
    let mut walk = walk();
    let promised = facts(10, 20);
    walk.page(&promised, [row(1), row(2)], &RULES).unwrap();
    // Shifts by exactly one page look like this.
    for _ in 0..4 {
        walk.page(&promised, [again(2), again(1)], &RULES).unwrap();
    }
    assert_eq!(walk.page(&promised, [again(1), again(2)], &RULES), Err(Stuck::Same { page: 6 }));
}

#[test]
fn a_page_that_always_hides_behind_another_is_never_taken_for_a_lying_total() {
    let mut walk = walk();
    let stuck = (0..4).find_map(|n| {
        let rows = if n % 2 == 0 { [row(1), row(2)] } else { [again(1), again(2)] };
        walk.page(&facts(2, 4), rows, &RULES).err()
    });
    assert_eq!(stuck, Some(Stuck::Same { page: 2 }));
}

#[test]
fn an_offset_that_does_not_rise_and_a_token_that_comes_back_are_circles() {
    let rules = told(Position::Number(0));
    let at = |offset| leads_to(Next::At(Position::Number(offset)));
    for next in [0, 100] {
        let mut walk = Walk::new(None, &rules);
        walk.page(&at(100), [row(1)], &rules).unwrap();
        let stuck = walk.page(&at(next), [row(2)], &rules).unwrap_err();
        assert_eq!(stuck, Stuck::Back { page: 2, at: Position::Number(100), next: Position::Number(next) });
    }
    let rules = told(Position::Token(None));
    for length in 1..20 {
        let mut walk = Walk::new(None, &rules);
        let mut pages = (0..).map(|n| (leads_to(token(&format!("t{}", n % length))), row(n)));
        let stuck = pages.find_map(|(facts, row)| walk.page(&facts, [row], &rules).err());
        assert!(
            matches!(stuck, Some(Stuck::Back { page, .. }) if page < 4 * length + 4),
            "{length}: {stuck:?}"
        );
    }
}

#[test]
fn empty_pages_are_legal_until_there_are_too_many() {
    let rules = told(Position::Number(0));
    let at = |offset| leads_to(Next::At(Position::Number(offset)));
    let mut walk = Walk::new(None, &rules);
    for n in 1..=5 {
        walk.page(&at(n), [], &rules).unwrap();
    }
    assert!(matches!(walk.clone().page(&at(6), [], &rules), Err(Stuck::Empty { pages: 6, .. })));
    walk.page(&at(6), [row(1)], &rules).unwrap();
    assert_eq!(walk.ask(), Some(&Position::Number(6)));
}

#[test]
fn more_pages_than_promised_are_too_many() {
    let rules = told(Position::Number(1));
    let mut walk = Walk::new(None, &rules);
    let page = |n: u64| PageFacts { next: Next::At(Position::Number(n + 1)), ..facts(2, 4) };
    for n in 1..=7 {
        walk.page(&page(n), [row(n)], &rules).unwrap();
    }
    assert_eq!(walk.page(&page(8), [row(8)], &rules), Err(Stuck::Beyond { page: 8, promised: 2 }));
    // Counted, a list may grow while it is read, but not by empty pages.
    let mut walk = self::walk();
    for n in 1..=20 {
        walk.page(&facts(n + 1, 2 * n), [row(n)], &RULES).unwrap();
    }
    let stuck = (0..9).find_map(|_| walk.page(&facts(90, 180), [], &RULES).err());
    assert_eq!(stuck, Some(Stuck::Beyond { page: 26, promised: 2 }));
}

#[test]
fn one_page_that_promises_more_rows_than_it_has_is_read_again() {
    let mut walk = walk();
    walk.page(&facts(1, 100), [row(1)], &RULES).unwrap();
    assert_eq!((walk.pass(), walk.walked()), (2, None));
    walk.page(&facts(1, 100), [row(1)], &RULES).unwrap();
    assert!(matches!(walk.walked(), Some(Walked::Proved(_))));
}

#[test]
fn absence_needs_a_pass_that_saw_everything_by_its_key() {
    let whole = |facts: PageFacts, rows: &[RowFact]| {
        let mut walk = walk();
        walk.page(&facts, rows.iter().copied(), &RULES).unwrap();
        walk.saw_everything()
    };
    assert!(whole(facts(1, 1), &[row(1)]));
    assert!(!whole(facts(1, 0), &[]), "an empty list");
    assert!(!whole(PageFacts { keyless: 1, ..facts(1, 2) }, &[row(1)]), "a row without a key");
    assert!(!whole(facts(2, 2), &[row(1)]), "not at its end");
    // Resumed, and proved by being equal to the pass before: what the first half had is not known any more.
    let mut walk = walk();
    walk.page(&facts(2, 3), [row(1)], &RULES).unwrap();
    walk.page(&facts(2, 3), [row(2)], &RULES).unwrap();
    walk.page(&facts(2, 3), [row(1)], &RULES).unwrap();
    let mut walk = walk.resumed();
    assert!(walk.is_idle());
    walk.page(&facts(2, 3), [row(2)], &RULES).unwrap();
    assert!(matches!(walk.walked(), Some(Walked::Proved(_))) && !walk.saw_everything() && !walk.is_idle());
}

#[test]
fn without_totals_an_empty_page_ends_the_pass_and_a_second_pass_proves_it() {
    let mut walk = walk();
    let none = PageFacts { total_pages: None, total_items: None, ..facts(0, 0) };
    for _ in 0..2 {
        walk.page(&none, [row(1)], &RULES).unwrap();
        walk.page(&none, [], &RULES).unwrap();
    }
    assert!(matches!(walk.walked(), Some(Walked::Proved(_))));
}
