//! What a hostile plugin could hand to the host, in its answers and as a file: it is refused, or it keeps to the contract.
//!
//! `PROPTEST_CASES=200000 cargo test -p crmsync --lib runtime::tests::hostile` hunts further.

use std::sync::LazyLock;

use crmsync_cells::{Builder, Cell, Kind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::guest::{Guest, manifest, with_manifest};
use crate::runtime::bindings::connector::crmsync::plugin::batches::{Batch, Column};
use crate::runtime::bindings::connector::exports::crmsync::plugin::connector as wit;
use crate::runtime::bundled::PLUGINS;
use crate::runtime::error::Site;
use crate::runtime::inspect;
use crate::runtime::limits::{CURSOR_BYTES_MAX, NAME_BYTES_MAX};
use crate::runtime::manifest::Manifest;
use crate::runtime::scan::scan;
use crate::runtime::types::Snapshot;

const SITE: Site<'static> = Site { plugin: "hostile", call: "pull" };

/// A snapshot as a good connector makes it, and then some flaws.
fn snapshot() -> impl Strategy<Value = wit::Snapshot> {
    (vec(2_u8..13, 0..4), 0_usize..5, vec((0_u8..14, any::<Index>(), any::<u64>()), 0..3)).prop_map(
        |(kinds, rows, flaws)| {
            let column = |(index, code): (usize, &u8)| Column { name: format!("f{index}"), kind: *code };
            let mut cells = Builder::new(kinds.len(), rows);
            for _ in 0..rows {
                for code in &kinds {
                    cells.push(match Kind::from_code(*code) {
                        Some(kind) if !kind.is_text() => Cell::Empty,
                        _ => Cell::Raw("å1"),
                    });
                }
            }
            let mut batch: Batch = cells.finish().into();
            batch.rows = rows as u32;
            let mut snapshot = wit::Snapshot {
                columns: kinds.iter().enumerate().map(column).collect(),
                ids: (0..rows).map(|row| row.to_string()).collect(),
                versions: vec!["v".to_owned(); rows],
                modified_ms: vec![0; rows],
                rows: batch,
            };
            flaws.into_iter().for_each(|(place, at, bits)| spoil(&mut snapshot, place, at, bits));
            snapshot
        },
    )
}

fn spoil(snapshot: &mut wit::Snapshot, place: u8, at: Index, bits: u64) {
    let wit::Snapshot { columns, ids, versions, modified_ms, rows } = snapshot;
    match place {
        0 => rows.rows = bits as u32,
        1 => one_of(&mut rows.kinds, at, |kind| *kind = bits as u8 % 16),
        2 => one_of(&mut rows.words, at, |word| *word ^= 1 << (bits % 64)),
        3 => one_of(&mut rows.text, at, |byte| *byte = bits as u8),
        4 => drop(ids.pop()),
        5 => one_of(ids, at, |id| *id = "x".repeat(bits as usize % (2 * NAME_BYTES_MAX))),
        6 => versions.push(String::new()),
        7 => drop(modified_ms.pop()),
        8 => columns.push(Column { name: "f0".to_owned(), kind: bits as u8 }),
        9 => one_of(columns, at, |column| column.kind = bits as u8 % 20),
        10 => one_of(columns, at, |column| column.name.clear()),
        11 => rows.text.truncate(bits as usize % 8),
        12 => rows.kinds.extend([bits as u8; 3]),
        _ => drop(columns.pop()),
    }
}

fn one_of<T>(list: &mut [T], at: Index, change: impl FnOnce(&mut T)) {
    if !list.is_empty() {
        change(at.get_mut(list));
    }
}

/// What the engine relies on.
fn keeps_the_contract(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let Snapshot { columns, ids, versions, modified_ms, rows } = snapshot;
    let count = rows.rows as usize;
    prop_assert_eq!([ids.len(), versions.len(), modified_ms.len()], [count; 3]);
    prop_assert!(ids.iter().all(|id| !id.is_empty() && id.len() <= NAME_BYTES_MAX));
    let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    prop_assert_eq!(names.len(), columns.len());
    let view = rows.check(columns.len()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    for row in 0..count {
        for (index, column) in columns.iter().enumerate() {
            let kind = view.cell(row, index).kind();
            prop_assert!(
                [Kind::Absent, Kind::Empty, Kind::Raw, column.kind].contains(&kind),
                "{:?} in {:?}",
                kind,
                column
            );
        }
    }
    Ok(())
}

/// The manifests of all bundled plugins, as JSON.
static MANIFESTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let read = |(id, bytes): &(&str, &[u8])| {
        let found = scan(id, bytes).expect("a bundled plugin is a component");
        serde_json::from_slice(found.manifest).expect("its manifest is JSON")
    };
    PLUGINS.iter().map(read).collect()
});

/// A component with its manifest.
static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| Guest::EMPTY.connector());

/// Replaces one value somewhere in a document.
fn replace(document: &mut Value, at: Index, new: Value) {
    let places = places(document);
    let pointer = &places[at.index(places.len())];
    if let Some(place) = document.pointer_mut(pointer) {
        *place = new;
    }
}

fn places(document: &Value) -> Vec<String> {
    let below: Vec<(String, &Value)> = match document {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => vec![],
    };
    let inner =
        below.into_iter().flat_map(|(name, value)| places(value).into_iter().map(move |rest| format!("/{name}{rest}")));
    [String::new()].into_iter().chain(inner).collect()
}

fn odd_value() -> impl Strategy<Value = Value> {
    let names = "a|Z|0.1.0|0.1|1.0.0-x|4294967296.0.0|*|\u{0}|{x}|GET|oauth2|session";
    let paths = "..|/|/a/*|../x|%2e%2e|https://a.example|http://127.0.0.1:1";
    let words = names.split('|').chain(paths.split('|')).map(|word| json!(word));
    prop_oneof![
        4 => select(words.collect::<Vec<_>>()),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => select(vec![json!(null), json!(true), json!([]), json!({}), json!(""), json!(0), json!(1e300), json!("x".repeat(300))]),
        1 => "\\PC{0,8}".prop_map(|text| json!(text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_refused_or_keep_the_contract(live in snapshot(), bytes in prop_oneof![9 => 0_usize..9, 1 => Just(CURSOR_BYTES_MAX + 1)]) {
        let next = wit::Cursor { format: 1, data: vec![1; bytes] };
        let page = wit::Page { live, removed: vec![], next, more: false, complete: true, population: None };
        if let Ok(page) = SITE.page(page) {
            keeps_the_contract(&page.live)?;
            prop_assert!(page.next.data.len() <= CURSOR_BYTES_MAX);
        }
    }

    #[test]
    fn found_rows_name_their_values(live in snapshot(), asked in vec(0_u32..4, 0..5), values in 0_usize..4) {
        if let Ok(found) = SITE.found(wit::Found { asked, live, consistent: true }, values) {
            keeps_the_contract(&found.live)?;
            prop_assert_eq!(found.asked.len(), found.live.ids.len());
            prop_assert!(found.asked.iter().all(|index| (*index as usize) < values));
        }
    }

    #[test]
    fn receipts_name_rows_that_are_there(
        live in snapshot(),
        stored in vec(prop_oneof![Just(None), (0_u32..6).prop_map(Some)], 0..4),
        rows in 0_usize..4,
    ) {
        let receipt = |stored: &Option<u32>| {
            let (id, version) = ("7".to_owned(), String::new());
            wit::PushOutcome::Stored(wit::Receipt { id, version, modified_ms: 0, stored: *stored, existed: false })
        };
        let outcomes = stored.iter().map(receipt).collect();
        let report = wit::PushReport { outcomes, columns: live.columns, stored: live.rows, wait_ms: 0 };
        if let Ok(report) = SITE.push_report(report, rows) {
            prop_assert_eq!(report.outcomes.len(), rows);
            prop_assert!(report.stored.check(report.columns.len()).is_ok());
            prop_assert!(stored.iter().flatten().all(|row| *row < report.stored.rows));
        }
    }

    #[test]
    fn manifests_are_refused_or_have_usable_names(which in any::<Index>(), changes in vec((any::<Index>(), odd_value()), 1..4)) {
        let mut document = MANIFESTS[which.index(MANIFESTS.len())].clone();
        changes.into_iter().for_each(|(at, new)| replace(&mut document, at, new));
        let text = document.to_string();
        if let Ok(manifest) = Manifest::parse("hostile", text.as_bytes()) {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            prop_assert!(!manifest.id.is_empty() && manifest.id.bytes().all(is_plain));
            prop_assert!(manifest.origins.iter().all(|origin| origin.check().is_ok()));
            prop_assert!(manifest.contract.starts_with("0.1."));
        }
    }

    #[test]
    fn files_are_refused_or_looked_through(
        changes in vec((any::<Index>(), any::<u8>(), 0_u8..5), 1..6),
        kind in select(vec!["connector", "transform"]),
        head in any::<bool>(),
    ) {
        let mut bytes = if head { COMPONENT.clone() } else { with_manifest(&COMPONENT, &manifest(kind)) };
        for (at, byte, how) in changes {
            // Most of what decides stands at the beginning.
            let place = if head { at.index(bytes.len().clamp(1, 400)) } else { at.index(bytes.len().max(1)) };
            match how {
                0 => bytes.truncate(place),
                1 => bytes.insert(place.min(bytes.len()), byte),
                2 if place < bytes.len() => drop(bytes.remove(place)),
                3 if place < bytes.len() => bytes[place] ^= 1 << (byte % 8),
                _ if place < bytes.len() => bytes[place] = byte,
                _ => {}
            }
        }
        if let Ok(found) = inspect("hostile", &bytes) {
            prop_assert_eq!(found.contract.as_str(), "0.1.0");
        }
    }

    #[test]
    fn any_bytes_behind_a_component_s_first_ones_are_no_danger(rest in vec(any::<u8>(), 0..200)) {
        let mut bytes = COMPONENT[..8].to_vec();
        bytes.extend(rest);
        prop_assert!(inspect("hostile", &bytes).is_err(), "it has no manifest");
    }
}
