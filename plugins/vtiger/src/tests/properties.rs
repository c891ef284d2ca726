//! Cursors as anybody could hand them in: each is refused as expired, or the walk goes on from it without stumbling.
//!
//! `PROPTEST_CASES=100000 cargo test -p crmsync-vtiger properties` hunts further.

use crmsync_plugin::{Connector, Cursor, Fault};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::fake::{Fake, HOUR_MS};
use super::{FIELDS, names};
use crate::Vtiger;
use crate::cursor::{Place, Seen, Step};

/// Cursors as walks leave them.
const KNOWN: [&str; 5] = [
    r#"{"scan":{"newest":[1795457586,1795457590],"clock":1795457600,"population":250,"seen":100,"after":"12x100","skip":0}}"#,
    r#"{"scan":{"newest":null,"clock":0,"population":0,"seen":0,"after":"","skip":100}}"#,
    r#"{"changes":{"from":1795450000,"after":[1795450001,"12x7"],"skip":100,"clock":1795457600,"began":1795457590,
        "settles":[1795450000,null],"doubts":[null,null]}}"#,
    r#"{"changes":{"from":500,"after":null,"skip":0,"clock":1795457600,"began":null,"settles":[null,null],
        "doubts":[{"from":400,"upto":500,"since":1795457500},{"from":1,"upto":500,"since":1795450000}]}}"#,
    r#"{"changes":{"from":1795450000,"after":[1795450001,"12x7"],"skip":0,"clock":1795457600,"began":null,"settles":[null,null],
        "doubts":[null,null],"whole":true,"unproven":1795440000,"gone":["12x8","12x9"],"ended":true}}"#,
];

/// A known cursor with other numbers in it, or with other bytes.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let edges =
        vec![i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 0, -1, 1 << 45, (1 << 45) + 1, -(1 << 45), 1 << 62];
    let number = prop_oneof![2 => select(edges), 1 => any::<i64>(), 2 => 0_i64..2_000_000_000];
    let odd = prop_oneof![
        6 => number.prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => select(vec!["", "12x5", "12x9999999999999999", "'", "x'; select", "é"]).prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let other_numbers = (0..KNOWN.len(), vec((any::<Index>(), odd), 1..5)).prop_map(|(known, changes)| {
        let mut document: Value = serde_json::from_str(KNOWN[known]).expect("JSON");
        for (at, new) in changes {
            let mut places = Vec::new();
            scalars(&mut document, &mut places);
            let place = at.index(places.len());
            *places.swap_remove(place) = new;
        }
        document.to_string().into_bytes()
    });
    let other_bytes = (0..KNOWN.len(), vec((any::<Index>(), any::<u8>()), 0..3)).prop_map(|(known, changes)| {
        let mut bytes = KNOWN[known].as_bytes().to_vec();
        changes.into_iter().for_each(|(at, byte)| {
            let place = at.index(bytes.len());
            bytes[place] = byte;
        });
        bytes
    });
    prop_oneof![6 => other_numbers, 2 => other_bytes, 1 => vec(any::<u8>(), 0..30)]
}

fn scalars<'a>(value: &'a mut Value, places: &mut Vec<&'a mut Value>) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| scalars(value, places)),
        Value::Array(elements) => elements.iter_mut().for_each(|value| scalars(value, places)),
        scalar => places.push(scalar),
    }
}

fn cursor(data: Vec<u8>) -> Cursor {
    Cursor { format: 2, data }
}

/// Whatever a page may show next, the walk goes on to a place that can be kept.
fn goes_on(step: Result<Step, Fault>) -> Result<(), TestCaseError> {
    match step {
        Ok(Step::Continue(next) | Step::Confirm(next) | Step::End { next, .. }) => {
            prop_assert_eq!(serde_json::from_slice::<Place>(&next.encode().data).ok(), Some(next));
        }
        Err(fault) => prop_assert!(matches!(fault, Fault::Transient(_)), "{:?}", fault),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_place_or_expired(
        data in data(),
        rows in 0_u64..101,
        second in 0_i64..2_000_000_000,
        clock in 0_i64..2_000_000_000,
        rest in 0_u64..300,
        sees_all in any::<bool>(),
        whole in any::<bool>(),
    ) {
        let place = match Place::decode(&cursor(data)) {
            Err(fault) => {
                prop_assert_eq!(fault, Fault::CursorExpired);
                return Ok(());
            }
            Ok(place) => place,
        };
        prop_assert_eq!(Place::decode(&place.encode()), Ok(place.clone()));
        let last = (rows > 0).then(|| (second, "12x9".to_owned()));
        let seen = Seen { rows, last, clock, more: rows >= 100, whole };
        match place {
            Place::Scan(scan) => {
                prop_assert!(scan.condition().is_empty() || scan.condition().starts_with("id > '"));
                goes_on(Ok(scan.clone().advance(seen)))?;
                goes_on(scan.clone().confirm(rest, rest, sees_all))?;
                goes_on(Ok(scan.end(sees_all, rest)))?;
            }
            Place::Changes(changes) => {
                goes_on(Ok(changes.clone().looked()))?;
                goes_on(Ok(changes.clone().by_query().begin().advance(seen.clone(), sees_all)))?;
                goes_on(Ok(changes.clone().by_sync(sees_all).advance(seen.clone(), sees_all)))?;
                prop_assert!(changes.behind().is_none_or(|second| second > 0));
                let begun = changes.begin();
                prop_assert!(begun.condition().starts_with("modifiedtime >"));
                goes_on(Ok(begun.clone().advance(seen, sees_all)))?;
                goes_on(begun.clone().confirm(rest, sees_all))?;
                goes_on(Ok(begun.nothing(clock)))?;
            }
        }
    }

    #[test]
    fn a_pull_from_any_cursor_is_a_page_or_a_fault(data in data()) {
        let fake = Fake::with_contacts(3);
        fake.advance(HOUR_MS);
        match Vtiger::pull("Contacts", &names(&FIELDS), Some(cursor(data))) {
            Ok(page) => {
                let again = Vtiger::pull("Contacts", &names(&FIELDS), Some(page.next));
                let is_fine = again.is_ok() || matches!(again, Err(Fault::Transient(_) | Fault::CursorExpired));
                prop_assert!(is_fine, "{:?}", again);
            }
            Err(fault) => {
                let is_fine = matches!(fault, Fault::Transient(_) | Fault::CursorExpired | Fault::Other(_));
                prop_assert!(is_fine, "{:?}", fault);
            }
        }
    }
}
