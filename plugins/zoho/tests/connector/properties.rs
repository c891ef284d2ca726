//! Cursors as anybody could hand them in: each is refused as expired, or the walk goes on from it without stumbling.
//!
//! `PROPTEST_CASES=100000 cargo test -p crmsync-zoho properties` hunts further.

use crmsync_plugin::{Connector, Cursor, Fault};
use crmsync_zoho::Zoho;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::zoho::start;

/// Cursors as walks leave them.
const KNOWN: [&str; 4] = [
    r#"{"t":1787670000000,"d":1787669940000,"f":{"Last_Name":"t"}}"#,
    r#"{"d":0,"s":true}"#,
    r#"{"t":1787670000000,"p":"token","b":{"n":200,"b":400,"p":7},"u":1787669000000,"d":1787669940000}"#,
    r#"{"t":1787670000000,"d":1787669940000,"w":{"n":3,"d":1787670000000,"l":1787669950000}}"#,
];

/// A known cursor with other values in it, or with other bytes.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let ends = [253_402_300_799_000, 253_402_300_800_000, -62_135_596_800_000, -62_135_596_800_001];
    let edges =
        [i64::MAX, i64::MIN, 0, -1, 1 << 31, 1 << 30, (1 << 32) - 1].into_iter().chain(ends).collect::<Vec<_>>();
    let odd = prop_oneof![
        3 => select(edges).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        3 => (1_787_660_000_000_i64..1_787_680_000_000).prop_map(Value::from),
        1 => select(vec![json!(null), json!("x"), json!(""), json!({}), json!(true)]),
    ];
    let other_values = (0..KNOWN.len(), vec((any::<Index>(), odd), 1..4)).prop_map(|(known, changes)| {
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
    prop_oneof![6 => other_values, 2 => other_bytes, 1 => vec(any::<u8>(), 0..30)]
}

fn scalars<'a>(value: &'a mut Value, places: &mut Vec<&'a mut Value>) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| scalars(value, places)),
        Value::Array(elements) => elements.iter_mut().for_each(|value| scalars(value, places)),
        scalar => places.push(scalar),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pull_from_any_cursor_is_a_page_or_a_fault(
        data in data(),
        format in prop_oneof![20 => Just(1_u32), 1 => any::<u32>()],
    ) {
        let (zoho, _crm) = start();
        for number in 0..3 {
            zoho.borrow_mut().create(&[("Last_Name", json!(format!("name {number}")))]);
        }
        zoho.borrow_mut().now_s += 3_600;
        let fields = ["Last_Name".to_owned()];
        match Zoho::pull("Contacts", &fields, Some(Cursor { format, data })) {
            Ok(page) => {
                let again = Zoho::pull("Contacts", &fields, Some(page.next));
                prop_assert!(again.is_ok() || again == Err(Fault::CursorExpired), "{:?}", again);
            }
            Err(fault) => {
                let is_fine = matches!(fault, Fault::Transient(_) | Fault::CursorExpired | Fault::Other(_));
                prop_assert!(is_fine, "{:?}", fault);
            }
        }
    }
}
