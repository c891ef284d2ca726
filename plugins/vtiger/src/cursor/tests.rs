use super::*;

fn seen(rows: u64, second: i64, id: &str, clock: i64) -> Seen {
    let last = Some((second, id.to_owned()));
    Seen { rows, last, clock, more: rows >= vtql::PAGE_ROWS, whole: false }
}

fn nothing(clock: i64) -> Seen {
    Seen { clock, ..Seen::default() }
}

fn changes(step: Step) -> Changes {
    match step {
        Step::Continue(Place::Changes(next)) | Step::Confirm(Place::Changes(next)) => next,
        Step::End { next: Place::Changes(next), .. } => next,
        other => panic!("not in the changes: {other:?}"),
    }
}

fn scan(step: Step) -> Scan {
    match step {
        Step::Continue(Place::Scan(next)) | Step::Confirm(Place::Scan(next)) => next,
        other => panic!("not in the scan: {other:?}"),
    }
}

/// The query of the walk that would begin now.
fn begins(place: &Changes) -> String {
    place.clone().begin().condition()
}

#[test]
fn a_scan_ends_when_all_are_seen() {
    let begun = scan(Scan::start(250, Some(500), 10_000).advance(seen(100, 0, "12x100", 10_001)));
    assert_eq!(begun.condition(), "id > '12x100'");
    let more = scan(begun.advance(seen(100, 0, "12x200", 10_002)));
    let Step::End { next: Place::Changes(next), complete: true, population: Some(250) } =
        more.advance(seen(50, 0, "12x250", 10_003))
    else {
        panic!("the scan has an end");
    };
    assert_eq!(begins(&next), vtql::since(&timestamp(500)), "the newest second before the scan");
    assert_eq!(begins(&Changes { clock: 10_062, ..next }), vtql::since(&timestamp(500 - OVERLAP_S)));
    assert!(Scan::start(0, None, 0).is_empty());
}

#[test]
fn where_nothing_tells_the_time_everything_is_read_again() {
    let Step::End { next: Place::Changes(next), .. } = Scan::start(0, None, 10_000).end(true, 0) else {
        panic!("an end")
    };
    assert_eq!(begins(&next), vtql::since("1970-01-01 00:00:00"));
}

#[test]
fn an_empty_page_is_believed_after_a_count_only() {
    let at = |population: u64| scan(Scan::start(population, None, 0).advance(seen(90, 0, "12x90", 1)));
    let asked = |population: u64| scan(at(population).advance(nothing(2)));
    let end = |step: Result<Step, Fault>| match step.expect("an end") {
        Step::End { complete, population, .. } => (complete, population),
        other => panic!("not an end: {other:?}"),
    };
    assert_eq!(end(asked(100).confirm(0, 90, true)), (true, Some(90)), "ten were deleted meanwhile");
    assert_eq!(end(asked(100).confirm(0, 100, true)), (false, Some(100)), "a gap");
    assert_eq!(end(asked(100).confirm(0, 100, false)), (true, Some(100)), "hidden rows");
    assert!(matches!(asked(100).confirm(10, 100, true), Err(Fault::Transient(_))));
    assert_eq!(end(asked(100).confirm(10, 100, false)), (true, Some(100)));
    let behind = scan(asked(1_000).confirm(150, 1_000, false).expect("more behind the hidden rows"));
    assert_eq!((behind.skip(), behind.condition().as_str()), (100, "id > '12x90'"));
    assert_eq!(scan(behind.advance(seen(1, 0, "12x300", 3))).skip(), 0);
}

#[test]
fn nothing_new_is_one_page_and_moves_nothing() {
    let start = Changes::from(500, 1_000);
    let next = changes(start.clone().begin().advance(nothing(1_300), true));
    assert_eq!(next, Changes::from(500, 1_300));
    assert!(matches!(start.advance(nothing(1_300), false), Step::Confirm(_)), "rows may be hidden");
}

/// Whatever the database's zone: 18,000 s behind the clock, equal, or 19,800 s ahead.
const ZONES: [i64; 3] = [-18_000, 0, 19_800];

#[test]
fn the_newest_second_is_read_again_until_it_is_settled() {
    for zone in ZONES {
        let at = 1_000_000 + zone;
        let next = changes(Changes::from(500, 999_000).advance(seen(3, at, "12x7", 1_000_000), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at)), "{zone}");
        let next = changes(next.begin().advance(seen(1, at, "12x7", 1_000_061), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at)), "one second too early");
        let next = changes(next.begin().advance(seen(1, at, "12x7", 1_000_062), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at - OVERLAP_S)), "now nothing can come late");
        let next = changes(next.begin().advance(seen(1, at, "12x7", 1_000_400), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at + 1)), "settled");
    }
}

#[test]
fn the_hour_that_may_repeat_is_read_again_after_an_hour() {
    for zone in ZONES {
        let at = 1_000_000 + zone;
        let mut next = changes(Changes::from(500, 999_000).advance(seen(3, at, "12x7", 1_000_000), true));
        for clock in [1_000_100, 1_000_200] {
            next = changes(next.begin().advance(seen(1, at, "12x7", clock), true));
        }
        next = changes(next.begin().advance(nothing(1_003_661), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at + 1)), "{zone}");
        next = changes(next.begin().advance(nothing(1_003_662), true));
        assert_eq!(begins(&next), vtql::since(&timestamp(at - OVERLAP_S - 3_600)));
        next = changes(next.begin().advance(seen(3, at, "12x7", 1_003_700), true));
        assert_eq!(next, Changes::from(at + 1, 1_003_700), "settled for good");
    }
}

#[test]
fn a_busy_module_settles_all_the_same() {
    let (mut next, mut settled) = (Changes::from(0, 0), 0);
    for round in 1..=40 {
        let clock = round * 300;
        next = changes(next.begin().advance(seen(3, clock, "12x7", clock), true));
        settled += usize::from(next.clone().begin().from < clock);
    }
    assert!((15..30).contains(&settled), "{settled}");
}

#[test]
fn a_long_walk_doubts_as_much_as_it_lasted() {
    let first = changes(Changes::from(500, 0).advance(seen(100, 1_000, "12x100", 2_000), true));
    let next = changes(first.advance(seen(3, 9_000, "12x7", 2_500), true));
    assert_eq!(begins(&Changes { clock: 2_562, ..next }), vtql::since(&timestamp(9_000 - OVERLAP_S - 500)));
}

#[test]
fn many_changes_are_walked_by_key() {
    let first = changes(Changes::from(500, 1_000).advance(seen(100, 1_050, "12x100", 1_300), true));
    assert_eq!(first.condition(), vtql::after_change(&timestamp(1_050), "12x100"));
    let last = changes(first.advance(nothing(1_302), true));
    assert!(matches!(last.clone().confirm(7, true), Err(Fault::Transient(_))));
    let next = changes(last.confirm(0, true).expect("an end"));
    let soon = changes(next.clone().begin().advance(seen(100, 1_050, "12x100", 1_310), true));
    assert_eq!(soon.condition(), vtql::since(&timestamp(1_051)), "a full second waits until it can be settled");
    let later = changes(next.begin().advance(seen(100, 1_050, "12x100", 1_600), true));
    assert_eq!(later.condition(), vtql::since(&timestamp(1_050 - OVERLAP_S - 2)), "which is now");
}

#[test]
fn cursors_come_back_or_expire() {
    let place = Place::Changes(changes(Changes::from(500, 1_000).advance(seen(100, 1_000, "12x7", 1_000), true)));
    assert_eq!(Place::decode(&place.encode()), Ok(place.clone()));
    let old = br#"{"changes":{"from":500,"after":[1000,"12x7"],"skip":0,"clock":1001,"began":1000,"settles":[null,400],
        "doubts":[{"from":440,"upto":500,"since":990},null]}}"#;
    let Ok(Place::Changes(old)) = Place::decode(&Cursor { format: FORMAT, data: old.to_vec() }) else {
        panic!("cursors from before `sync` was used go on")
    };
    assert_eq!((old.condition(), old.behind()), (vtql::after_change(&timestamp(1_000), "12x7"), Some(999)));
    let newer = Cursor { format: FORMAT + 1, ..place.encode() };
    assert_eq!(Place::decode(&newer), Err(Fault::CursorExpired));
    assert_eq!(Place::decode(&Cursor { format: FORMAT, data: b"{}".to_vec() }), Err(Fault::CursorExpired));
}
