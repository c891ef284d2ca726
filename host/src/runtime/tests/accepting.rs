//! What a connector may and may not return. The guests are left out here: these are the values that they would give.

use crmsync_cells::{Builder, Cell, Kind};

use crate::runtime::Error;
use crate::runtime::bindings::connector::crmsync::plugin::batches::{Batch, Column};
use crate::runtime::bindings::connector::crmsync::plugin::faults::Fault as WitFault;
use crate::runtime::bindings::connector::exports::crmsync::plugin::connector as wit;
use crate::runtime::error::Site;
use crate::runtime::limits::{BATCH_ROWS_MAX, CURSOR_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, REMOVALS_MAX};
use crate::runtime::types::{CreateClass, Fault, OrgKind, RemovalReason, VisibleScope};

const SITE: Site<'static> = Site { plugin: "hostile", call: "pull" };

fn snapshot(ids: &[&str]) -> wit::Snapshot {
    let mut rows = Builder::new(1, ids.len());
    ids.iter().for_each(|_| rows.push(Cell::Integer(1)));
    wit::Snapshot {
        columns: vec![Column { name: "Age".to_owned(), kind: Kind::Integer.code() }],
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        versions: vec!["v".to_owned(); ids.len()],
        modified_ms: vec![0; ids.len()],
        rows: rows.finish().into(),
    }
}

fn page(ids: &[&str]) -> wit::Page {
    let next = wit::Cursor { format: 1, data: vec![1] };
    wit::Page { live: snapshot(ids), removed: Vec::new(), next, more: false, complete: true, population: None }
}

#[track_caller]
fn malformed<T: std::fmt::Debug>(accepted: Result<T, Error>, part: &str) {
    match accepted {
        Err(Error::MalformedAnswer { plugin, reason, .. }) => {
            assert_eq!(plugin, "hostile");
            assert!(reason.contains(part), "`{reason}` says nothing of `{part}`");
        }
        other => panic!("{part}: {other:?}"),
    }
}

#[track_caller]
fn too_large<T: std::fmt::Debug>(accepted: Result<T, Error>, expected: &str) {
    assert!(matches!(&accepted, Err(Error::TooLarge { what, .. }) if *what == expected), "{expected}: {accepted:?}");
}

#[test]
fn pages_are_checked() {
    let with = |change: &dyn Fn(&mut wit::Page)| {
        let mut page = page(&["1", "2"]);
        change(&mut page);
        SITE.page(page)
    };
    let good = with(&|_| {}).expect("nothing is wrong");
    assert_eq!((good.live.ids.len(), good.live.rows.rows), (2, 2));

    malformed(with(&|page| drop(page.live.ids.pop())), "not equally many");
    malformed(with(&|page| page.live.versions.push("v".to_owned())), "not equally many");
    malformed(with(&|page| page.live.modified_ms.clear()), "not equally many");
    malformed(with(&|page| page.live.ids[0].clear()), "id is empty");
    malformed(with(&|page| page.live.ids[0] = "x".repeat(NAME_BYTES_MAX + 1)), "longer than");
    malformed(with(&|page| page.live.rows.kinds[0] = Kind::Date.code()), "not of its column's kind");
    malformed(with(&|page| page.live.columns[0].kind = Kind::Raw.code()), "not one that a field can have");
    malformed(with(&|page| page.live.columns[0].kind = 77), "not one that a field can have");
    malformed(with(&|page| page.live.columns[0].name.clear()), "column name is empty");
    let removal = wit::Removal { id: String::new(), reason: "deleted".to_owned(), into: String::new() };
    malformed(with(&|page| page.removed.push(removal.clone())), "removal is empty");
    assert!(matches!(with(&|page| page.live.rows.rows = 1), Err(Error::MalformedBatch { batch: "rows", .. })));
    let twice = Column { name: "Age".to_owned(), kind: Kind::Integer.code() };
    malformed(
        with(&|page| {
            page.live.columns.push(twice.clone());
            page.live.rows = Batch { rows: 0, kinds: Vec::new(), words: Vec::new(), text: Vec::new() };
        }),
        "there twice",
    );
    for kind in [Kind::Absent, Kind::Empty] {
        assert!(with(&|page| page.live.rows.kinds[0] = kind.code()).is_ok(), "{kind:?} fits every column");
    }
    too_large(with(&|page| page.next.data = vec![0; CURSOR_BYTES_MAX + 1]), "bytes of a cursor");
    too_large(with(&|page| page.removed = vec![removal.clone(); REMOVALS_MAX + 1]), "removals of a page");
    let many: Vec<String> = (0..=BATCH_ROWS_MAX).map(|id| id.to_string()).collect();
    too_large(SITE.page(page(&many.iter().map(String::as_str).collect::<Vec<_>>())), "rows of a batch");
}

#[test]
fn reasons_for_removals_are_open() {
    let check = |code: &str, into: &str, reason: RemovalReason, expected: Option<&str>| {
        let mut page = page(&[]);
        page.removed.push(wit::Removal { id: "7".to_owned(), reason: code.to_owned(), into: into.to_owned() });
        let removal = SITE.page(page).expect("nothing is wrong").removed.remove(0);
        assert_eq!((removal.reason, removal.into.as_deref()), (reason, expected), "{code}");
    };
    check("deleted", "", RemovalReason::Deleted, None);
    check("merged", "Contacts/8", RemovalReason::Merged, Some("Contacts/8"));
    check("converted", "", RemovalReason::Converted, None);
    check("not-visible", "", RemovalReason::NotVisible, None);
    check("archived", "", RemovalReason::Unknown, None);
}

#[test]
fn a_fetch_accounts_for_each_id() {
    let check = |live: &[&str], absent: &[&str], part: Option<&str>| {
        let absent = absent.iter().map(|id| (*id).to_owned()).collect();
        let fetched = wit::Fetched { live: snapshot(live), absent, removed: vec![] };
        let fetched = SITE.fetched(fetched, &["1".to_owned(), "2".to_owned()]);
        match part {
            Some(part) => malformed(fetched, part),
            None => drop(fetched.expect("nothing is wrong")),
        }
    };
    check(&["1", "2"], &[], None);
    check(&["2"], &["1"], None);
    check(&[], &["2", "1"], None);
    check(&["1"], &[], Some("not the ids"));
    check(&["1", "2"], &["3"], Some("not the ids"));
    check(&["1", "2"], &["1"], Some("there twice"));
    let removed = vec![wit::Removal { id: "2".into(), reason: "converted".into(), into: String::new() }];
    let fetched = wit::Fetched { live: snapshot(&["2"]), absent: vec!["1".into()], removed };
    malformed(SITE.fetched(fetched, &["1".to_owned(), "2".to_owned()]), "not absent");
}

#[test]
fn a_find_names_the_value_of_each_row() {
    let found = |asked: Vec<u32>| SITE.found(wit::Found { asked, live: snapshot(&["1", "2"]), consistent: true }, 2);
    assert!(found(vec![1, 1]).is_ok(), "two records may share a value");
    malformed(found(vec![0]), "`asked`");
    malformed(found(vec![0, 2]), "`asked`");
}

#[test]
fn a_push_has_one_outcome_for_each_row() {
    let receipt =
        wit::Receipt { id: "7".to_owned(), version: "v".to_owned(), modified_ms: 0, stored: None, existed: false };
    let report = |receipt: &wit::Receipt| wit::PushReport {
        outcomes: vec![
            wit::PushOutcome::Stored(receipt.clone()),
            wit::PushOutcome::Failed(WitFault::Gone),
            wit::PushOutcome::NotSent,
        ],
        columns: snapshot(&[]).columns,
        stored: snapshot(&["7"]).rows,
        wait_ms: 0,
    };
    assert!(SITE.push_report(report(&receipt), 3).is_ok());
    assert!(SITE.push_report(report(&wit::Receipt { stored: Some(0), ..receipt.clone() }), 3).is_ok());
    malformed(SITE.push_report(report(&receipt), 2), "3 outcomes for 2 rows");
    malformed(
        SITE.push_report(report(&wit::Receipt { stored: Some(1), ..receipt.clone() }), 3),
        "`stored` does not have",
    );
    malformed(SITE.push_report(report(&wit::Receipt { id: String::new(), ..receipt }), 3), "receipt is empty");
}

#[test]
fn modules_steer_writes_so_their_codes_are_closed() {
    let module = |change: &dyn Fn(&mut wit::ModuleInfo)| {
        let mut module = wit::ModuleInfo {
            name: "Contacts".to_owned(),
            label: "Contacts".to_owned(),
            create_class: "B".to_owned(),
            key_field: String::new(),
            update_guard: "none".to_owned(),
            removals: "feed".to_owned(),
            quiesce_ms: 1,
            push_rows: 1,
            fetch_rows: 9_999,
            extra: Vec::new(),
        };
        change(&mut module);
        SITE.modules(vec![module])
    };
    let good = module(&|_| {}).expect("nothing is wrong").remove(0);
    assert_eq!((good.create_class, good.fetch_rows), (CreateClass::B, 200));
    malformed(module(&|module| module.create_class = "D".to_owned()), "`create-class`");
    malformed(module(&|module| module.update_guard.clear()), "`update-guard`");
    malformed(module(&|module| module.removals = "both".to_owned()), "`removals`");
    malformed(module(&|module| module.push_rows = 0), "0 rows");
}

#[test]
fn what_only_people_read_is_cut_and_open() {
    let long = "å".repeat(MESSAGE_BYTES_MAX);
    let Fault::Transient(reason) = SITE.fault(WitFault::Transient(long.clone())) else { panic!("another fault") };
    assert_eq!(reason.len(), MESSAGE_BYTES_MAX, "cut at a character");
    let report = SITE
        .check_report(wit::CheckReport {
            org_id: "1".to_owned(),
            org_name: long,
            org_kind: "developer".to_owned(),
            user_id: String::new(),
            user_name: String::new(),
            visible_scope: "team".to_owned(),
            time_zone: String::new(),
            currency: String::new(),
            edition: String::new(),
            version: String::new(),
            server_clock_ms: None,
            missing: Vec::new(),
            extra: Vec::new(),
        })
        .expect("open codes are no defect");
    assert_eq!((report.org_kind, report.visible_scope), (OrgKind::Unknown, VisibleScope::Unknown));
    assert_eq!(report.org_name.len(), MESSAGE_BYTES_MAX);
}
