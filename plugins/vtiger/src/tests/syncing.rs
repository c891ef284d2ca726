//! Changes by the operation `sync`: which servers are relied on, and that nothing is lost between `sync` and queries.

use super::fake::{Fake, HOUR_MS, OTHER, Sync};
use super::{Host, settle};
use crate::Vtiger;
use crmsync_plugin::Connector;
use serde_json::json;

/// Runs that end with everything read, two hours apart, so that nothing is in doubt.
fn rest(fake: &Fake, host: &mut Host) {
    for _ in 0..4 {
        fake.advance(2 * HOUR_MS);
        host.pull();
    }
}

/// A host that has read everything from a server that it relies on, with nothing in doubt.
fn begun(fake: &Fake) -> Host {
    let mut host = Host::default();
    host.pull();
    rest(fake, &mut host);
    assert_eq!(host.operations(fake), ["sync"]);
    host
}

#[test]
fn only_a_server_that_shows_all_records_is_relied_on() {
    let check = |name: &str, fake: Fake, finding_out: &[&str], later: &str| {
        fake.advance(HOUR_MS);
        fake.revise(1, &[("lastname", "the newest")]);
        let mut host = Host::default();
        host.pull();
        assert_eq!(host.operations(&fake), finding_out, "{name}");
        assert_eq!(host.contents(), fake.contents(), "{name}");
        rest(&fake, &mut host);
        for _ in 0..2 {
            assert_eq!(host.operations(&fake), [later], "{name}: nothing new");
        }
        fake.advance(15 * HOUR_MS);
        assert_eq!(host.operations(&fake), [later], "{name}: found out today");
        fake.advance(HOUR_MS);
        assert_eq!(host.operations(&fake).len(), finding_out.len(), "{name}: once a day");
        assert_eq!(host.operations(&fake), [later], "{name}");
    };
    let with = |sync: Sync, arrange: fn(&Fake)| {
        let fake = Fake::with_sync(sync, 5);
        arrange(&fake);
        fake
    };
    check("broken", with(Sync::Broken, |_| {}), &["sync", "query"], "query");
    check("refused", with(Sync::Denied, |_| {}), &["sync", "query"], "query");
    // The page, the newest record of somebody else, the page from there.
    check("owner-only", with(Sync::OwnerOnly, |_| {}), &["sync", "query", "sync", "query"], "query");
    check("full", with(Sync::Full, |_| {}), &["sync", "query", "sync"], "sync");
    check("one owner", with(Sync::Full, |fake| fake.own(2, "19x1")), &["sync", "query", "query"], "query");
    check("a group", with(Sync::Full, |fake| fake.own(2, "20x3")), &["sync", "query", "query"], "query");
    let ahead = with(Sync::Full, |fake| fake.php_in_zone(3_600));
    check("a zone ahead", ahead, &["sync", "query", "sync", "query"], "query");
}

#[test]
fn another_zone_is_not_relied_on() {
    for (zone_s, deletes) in
        [-7_200, -3_600, -1, 1, 3_600].into_iter().flat_map(|zone_s| [(zone_s, false), (zone_s, true)])
    {
        let fake = Fake::with_sync(Sync::Full, 5);
        fake.php_in_zone(zone_s);
        let mut host = Host::default();
        host.pull();
        if deletes {
            // Its time is not told, so the page could end with it.
            fake.advance(5_000);
            fake.delete(4);
            host.records.remove("12x4");
        }
        host.pull();
        fake.advance(HOUR_MS);
        fake.own(3, OTHER);
        assert_eq!(host.operations(&fake), ["query"], "{zone_s} {deletes}");
        assert_eq!(host.contents(), fake.contents(), "{zone_s} {deletes}");
    }
}

#[test]
fn a_delete_as_the_newest_change_does_not_hide_what_it_is_good_for() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let mut host = Host::default();
    host.pull();
    fake.advance(5_000);
    fake.delete(4);
    // The page, the newest record of somebody else, the pages from its second and from the one behind it.
    assert_eq!(host.operations(&fake), ["sync", "query", "sync", "sync"]);
    assert_eq!(host.contents(), fake.contents());
    assert_eq!(host.operations(&fake), ["sync"]);
}

#[test]
fn a_broken_server_is_broken_for_all_modules() {
    for (sync, once) in [(Sync::Broken, true), (Sync::Denied, false)] {
        let fake = Fake::with_sync(sync, 5);
        let mut contacts = Host::default();
        contacts.pull();
        contacts.pull();
        fake.with_leads();
        let mut leads = Host { reads_leads: true, ..Host::default() };
        leads.pull();
        assert_eq!(leads.operations(&fake).contains(&"sync".to_owned()), !once, "{sync:?}");
    }
}

#[test]
fn a_server_that_is_out_of_order_is_asked_again_within_the_hour() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let mut host = begun(&fake);
    fake.own(2, OTHER);
    fake.sync(Sync::Busy);
    assert_eq!(host.operations(&fake), ["sync", "query"]);
    fake.sync(Sync::Full);
    assert_eq!(host.operations(&fake), ["query"]);
    fake.own(3, OTHER);
    fake.advance(HOUR_MS);
    assert_eq!(host.operations(&fake), ["sync"]);
    assert_eq!(host.contents(), fake.contents());
}

/// What the walk reads anyway may show enough.
#[test]
fn a_page_with_records_of_others_is_proof() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let mut host = Host::default();
    host.pull();
    assert_eq!(host.operations(&fake), ["sync"]);
    settle(&fake, &mut host);
}

#[test]
fn other_users_are_not_given_it() {
    let fake = Fake::with_sync(Sync::Full, 5);
    fake.hide(|_| false);
    let mut host = Host::default();
    host.pull();
    assert!(!host.operations(&fake).contains(&"sync".to_owned()));
}

#[test]
fn fields_that_it_spells_otherwise_are_queried() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let fields = super::names(&["lastname", "tags"]);
    let page = Vtiger::pull("Contacts", &fields, None).expect("a page");
    fake.requests();
    Vtiger::pull("Contacts", &fields, Some(page.next)).expect("a page");
    assert!(fake.requests().iter().all(|request| request.parameter("operation") != Some("sync")));
}

#[test]
fn deletes_come_with_the_changes() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let mut host = begun(&fake);
    fake.advance(HOUR_MS);
    fake.delete(3);
    fake.revise(4, &[("lastname", "changed")]);
    assert_eq!(host.operations(&fake), ["sync"]);
    assert_eq!(host.contents(), fake.contents());
    assert_eq!(host.removed["12x3"], "deleted");
}

#[test]
fn what_is_written_in_the_second_of_the_last_page_is_not_lost() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let mut host = begun(&fake);
    for pause_ms in [1_000, 90_000, HOUR_MS] {
        fake.advance(pause_ms);
        fake.revise(2, &[("lastname", "first"), ("assigned_user_id", OTHER)]);
        host.pull();
        fake.rewind_to_last_write();
        fake.revise(1, &[("lastname", "second")]);
        fake.revise(2, &[("lastname", "third")]);
        fake.delete(3);
        fake.advance(2_000);
        assert_eq!(host.operations(&fake), ["sync"]);
        assert_eq!(host.contents(), fake.contents(), "{pause_ms}");
        fake.revise(3, &[("lastname", "back")]);
    }
    settle(&fake, &mut host);
}

#[test]
fn pages_end_with_whole_seconds() {
    let fake = Fake::with_sync(Sync::Full, 400);
    let mut host = begun(&fake);
    let check = |host: &mut Host, name: &str, seconds: &[u64], pages: usize| {
        fake.advance(HOUR_MS);
        let mut number = 0;
        for count in seconds {
            fake.advance(1_000);
            for _ in 0..*count {
                number += 1;
                fake.revise(number, &[("lastname", name), ("assigned_user_id", OTHER)]);
            }
        }
        fake.advance(1_000);
        assert_eq!(host.operations(&fake), vec!["sync"; pages], "{name}");
        assert_eq!(host.contents(), fake.contents(), "{name}");
        rest(&fake, host);
    };
    check(&mut host, "all in one second", &[350], 1);
    check(&mut host, "a second over the border", &[90, 40, 5], 2);
    check(&mut host, "exactly a page", &[60, 40], 1);
    check(&mut host, "a page and one", &[60, 40, 1], 2);
    check(&mut host, "three pages", &[70, 70, 70, 70, 70], 3);
}

#[test]
fn queries_go_on_where_it_fails() {
    for (name, then) in [("broken", Sync::Broken), ("refused", Sync::Denied)] {
        for pages in 0..3 {
            let fake = Fake::with_sync(Sync::Full, 400);
            let mut host = begun(&fake);
            for number in 1..=330 {
                fake.advance(if number % 3 == 0 { 1_000 } else { 0 });
                let owner = if number % 2 == 0 { OTHER } else { "19x1" };
                fake.revise(number, &[("lastname", "mass edit"), ("assigned_user_id", owner)]);
            }
            fake.advance(HOUR_MS);
            fake.then(pages, then);
            let operations = host.operations(&fake);
            assert_eq!(host.contents(), fake.contents(), "{name} after {pages}");
            let syncs = operations.iter().filter(|operation| *operation == "sync").count() as u64;
            assert_eq!((syncs, operations[pages as usize + 1].as_str()), (pages + 1, "query"), "{name} after {pages}");
            // The other way round: what was queried is not asked for again, and nothing between is lost.
            fake.revise(5, &[("lastname", "by query")]);
            host.pull();
            fake.sync(Sync::Full);
            fake.advance(24 * HOUR_MS);
            fake.own(6, OTHER);
            fake.revise(7, &[("lastname", "by sync")]);
            host.pull();
            fake.delete(8);
            host.pull();
            assert_eq!(host.contents(), fake.contents(), "{name} after {pages}");
        }
    }
}

/// The middle of a walk by queries is the middle of a walk by `sync`: the second is read again, and then what follows it.
#[test]
fn it_goes_on_in_the_middle_of_a_walk() {
    let fake = Fake::with_sync(Sync::Full, 400);
    let mut host = begun(&fake);
    let known = host.cursor.clone();
    fake.advance(HOUR_MS);
    for number in 1..=330 {
        fake.advance(if number % 60 == 0 { 1_000 } else { 0 });
        fake.revise(number, &[("lastname", "mass edit"), ("assigned_user_id", OTHER)]);
    }
    fake.advance(1_000);
    fake.sync(Sync::Broken);
    let pull = |cursor| {
        let page = Vtiger::pull("Contacts", &super::names(&super::FIELDS), cursor);
        page.expect("a page")
    };
    let first = pull(known);
    assert_eq!((first.live.ids.len(), first.more), (100, true), "by query");
    fake.sync(Sync::Full);
    fake.advance(24 * HOUR_MS);
    // In the middle nothing is found out; that it is relied on was found out elsewhere.
    let mut other = begun(&fake);
    other.pull();
    host.take(&first);
    host.cursor = Some(first.next);
    let operations = host.operations(&fake);
    assert!(operations.iter().all(|operation| operation == "sync"), "{operations:?}");
    assert_eq!(host.contents(), fake.contents());
}

/// A server that forgets `syncType`, as an update of it may, shows no sign of it; once a day it is asked for one.
#[test]
fn a_server_that_lists_less_than_before_hides_nothing_for_good() {
    for breaks in [false, true] {
        let fake = Fake::with_sync(Sync::Full, 5);
        let mut host = begun(&fake);
        fake.sync(Sync::OwnerOnly);
        for round in 0..5 {
            fake.advance(HOUR_MS);
            fake.revise(2, &[("lastname", &format!("not listed {round}"))]);
            fake.advance(HOUR_MS);
            fake.revise(1, &[("lastname", &format!("listed {round}"))]);
            host.pull();
        }
        assert_ne!(host.contents(), fake.contents());
        if breaks {
            fake.sync(Sync::Broken);
        } else {
            fake.advance(24 * HOUR_MS);
        }
        host.pull();
        assert_eq!(host.contents(), fake.contents());
        settle(&fake, &mut host);
    }
}

#[test]
fn a_converted_lead_is_not_called_deleted() {
    let fake = Fake::with_sync(Sync::Full, 30);
    fake.with_leads();
    let mut host = Host { reads_leads: true, ..Host::default() };
    host.pull();
    rest(&fake, &mut host);
    (11..=17).for_each(|number| fake.delete(number));
    (5..=6).for_each(|number| fake.convert(number));
    fake.revise(20, &[("lastname", "changed")]);
    let operations = host.operations(&fake);
    assert_eq!(operations.iter().filter(|operation| *operation == "sync").count(), 1, "{operations:?}");
    let reasons: Vec<_> = host.removed.iter().map(|(id, reason)| (id.as_str(), reason.as_str())).collect();
    let deleted = ["10x11", "10x12", "10x13", "10x14", "10x15", "10x16", "10x17"].map(|id| (id, "deleted"));
    let converted = ["10x5", "10x6"].map(|id| (id, "converted"));
    assert_eq!(reasons, [&deleted[..], &converted[..]].concat());
    assert_eq!(host.contents(), fake.contents());
}

#[test]
fn a_lead_that_came_back_is_neither() {
    let fake = Fake::with_sync(Sync::Full, 5);
    fake.with_leads();
    let mut host = Host { reads_leads: true, ..Host::default() };
    host.pull();
    host.pull();
    fake.delete(3);
    let fields = super::names(&super::FIELDS);
    let page = Vtiger::pull("Leads", &fields, host.cursor.take()).expect("a page");
    assert!(page.more && page.removed.is_empty(), "it has to be looked for first");
    fake.revise(3, &[("lastname", "back from the bin")]);
    host.cursor = Some(page.next);
    host.pull();
    host.pull();
    assert!(host.removed.is_empty(), "{:?}", host.removed);
    assert_eq!(host.contents(), fake.contents());
}

#[test]
fn an_answer_that_contradicts_itself_is_not_believed() {
    let check = |name: &str, relied_on: bool, says: fn(&Fake, i64) -> serde_json::Value| {
        let fake = Fake::with_sync(Sync::Full, 5);
        let mut host = begun(&fake);
        fake.advance(HOUR_MS);
        fake.own(2, OTHER);
        fake.sync_says(says(&fake, fake.last_write_s()));
        let expected: &[&str] = if relied_on { &["sync"] } else { &["sync", "query"] };
        assert_eq!(host.operations(&fake), expected, "{name}");
        assert_eq!(host.contents(), fake.contents(), "{name}");
    };
    check(
        "as it should be",
        true,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": [], "more": false, "lastModifiedTime": second}),
    );
    check(
        "a list with holes",
        true,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": {"3": "12x77"}, "more": false, "lastModifiedTime": second}),
    );
    check("a time as text", true, |fake, second| {
        let time = second.to_string();
        json!({"updated": [fake.element(2, second)], "deleted": [], "more": false, "lastModifiedTime": time})
    });
    check(
        "nothing, but a later time",
        false,
        |_, second| json!({"updated": [], "deleted": [], "more": false, "lastModifiedTime": second}),
    );
    check(
        "nothing, but more",
        false,
        |_, second| json!({"updated": [], "deleted": [], "more": true, "lastModifiedTime": second - 7_200}),
    );
    check(
        "records cut off",
        false,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": [], "more": false, "lastModifiedTime": second + 5}),
    );
    check(
        "a time before its records",
        false,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": ["12x77"], "more": false, "lastModifiedTime": second - 1}),
    );
    check(
        "deleted records of another module",
        false,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": ["11x77"], "more": false, "lastModifiedTime": second}),
    );
    check(
        "no word about more",
        false,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": [], "lastModifiedTime": second}),
    );
    check(
        "records by number",
        false,
        |fake, second| json!({"updated": {"0": fake.element(2, second)}, "deleted": [], "more": false, "lastModifiedTime": second}),
    );
    check("a record without a field", false, |fake, second| {
        let mut element = fake.element(2, second);
        element.as_object_mut().expect("an object").remove("lastname");
        json!({"updated": [element], "deleted": [], "more": false, "lastModifiedTime": second})
    });
    check(
        "changed and deleted at once",
        true,
        |fake, second| json!({"updated": [fake.element(2, second)], "deleted": ["12x2"], "more": false, "lastModifiedTime": second}),
    );
}

#[test]
fn a_field_that_vanishes_does_not_stop_it() {
    let fake = Fake::with_sync(Sync::Full, 5);
    let fields = super::names(&["lastname", "description"]);
    let mut cursor = None;
    for _ in 0..4 {
        let pull = Vtiger::pull("Contacts", &fields, cursor.take());
        cursor = Some(pull.expect("a page").next);
    }
    fake.vanishes("description", false);
    fake.revise(2, &[("lastname", "changed")]);
    let page = Vtiger::pull("Contacts", &fields, cursor).expect("a page");
    assert!(page.live.ids.contains(&"12x2".to_owned()));
    assert!(fake.requests().len() <= 8 * 5);
}

#[test]
fn no_change_and_no_delete_is_ever_skipped() {
    const MODES: [Sync; 4] = [Sync::Full, Sync::Full, Sync::Broken, Sync::Denied];
    for seed in 0..40_u64 {
        let fake = Fake::in_zone((seed as i64 % 5 - 2) * 9_000, 40 + seed * 7 % 200);
        fake.shake(seed);
        fake.forget_state();
        fake.sync(Sync::Full);
        (31..=35).for_each(|number| fake.own(number, OTHER));
        fake.advance(HOUR_MS);
        let steady = seed % 2 == 0;
        let mut host = Host::default();
        for round in 0..12 {
            host.pull();
            fake.disturb((seed * 31 + round) % 150);
            fake.own(31 + round % 9, OTHER);
            fake.delete(1 + (seed * 13 + round * 5) % 30);
            if !steady {
                fake.sync(MODES[((seed + round) % 4) as usize]);
                if fake.chance(3) {
                    fake.forget_state();
                }
            }
            fake.advance(if fake.chance(2) { 300_000 } else { 700 });
        }
        for _ in 0..4 {
            fake.advance(180_000);
            host.pull();
        }
        let (known, there) = (host.contents(), fake.contents());
        for (id, content) in &there {
            assert_eq!(known.get(id), Some(content), "seed {seed}, {id}");
        }
        if steady {
            assert_eq!(known.len(), there.len(), "seed {seed}: deletes");
        }
    }
}
