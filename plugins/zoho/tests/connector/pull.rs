//! Changes, records by id, and what they cost.

use std::collections::BTreeMap;

use crmsync_plugin::rows::Rows;
use crmsync_plugin::testing::{Crm, Reply};
use crmsync_plugin::{Cell, Connector, Cursor, Fault, Page, Snapshot};
use crmsync_zoho::Zoho as Connect;
use serde_json::json;

use crate::zoho::{self, START_S};

fn fields(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Row by row, each cell as it is printed.
fn cells(snapshot: &Snapshot) -> Vec<Vec<String>> {
    let rows = Rows::new(snapshot.columns.clone(), snapshot.rows.clone()).expect("a well formed batch");
    rows.iter().map(|row| row.cells_from(0).map(|cell| format!("{cell:?}")).collect()).collect()
}

fn paths(crm: &Crm) -> Vec<String> {
    crm.requests().iter().map(|request| request.path()["/crm/v8/".len()..].to_owned()).collect()
}

#[test]
fn a_scan_lists_everything_and_no_news_cost_two_calls() {
    let (zoho, crm) = zoho::start();
    let id = zoho.borrow_mut().create(&[
        ("Last_Name", json!("Ek")),
        ("Account_Name", json!({"id": "77", "name": "ACME"})),
        ("Lead_Source", json!("-None-")),
        ("Annual_Revenue", json!(12.50)),
    ]);
    zoho.borrow_mut().now_s += 3_600;
    let wanted = fields(&["Last_Name", "Account_Name", "Lead_Source", "Annual_Revenue", "Title", "id", "Vanished"]);
    let page = Connect::pull("Contacts", &wanted, None).expect("a page");
    assert_eq!(page.live.ids, [id.to_string()]);
    assert_eq!(page.live.versions, ["2026-08-25T15:00:00+00:00"]);
    assert_eq!(page.live.modified_ms, [START_S * 1_000]);
    let id_cell = format!("Text(\"{id}\")");
    let expected =
        ["Text(\"Ek\")", "Reference(\"Accounts/77\")", "Empty", "Decimal(\"12.5\")", "Empty", &id_cell, "Absent"];
    assert_eq!(cells(&page.live), [expected]);
    assert_eq!((page.more, page.complete, page.population), (false, true, Some(1)));
    assert_eq!(paths(&crm), ["settings/fields", "Contacts", "Contacts/deleted", "Contacts/actions/count"]);

    let wanted = fields(&["Last_Name", "Account_Name"]);
    let page = Connect::pull("Contacts", &wanted, None).expect("a page");
    crm.requests();
    crm.forget_state();
    let page = Connect::pull("Contacts", &wanted, Some(page.next)).expect("a page");
    assert!(page.live.ids.is_empty() && page.removed.is_empty() && !page.complete && !page.more);
    assert_eq!(paths(&crm), ["Contacts", "Contacts/deleted"]);
}

#[test]
fn lookups_without_a_target_are_empty() {
    let (zoho, _crm) = zoho::start();
    zoho.borrow_mut().create(&[("Last_Name", json!("Ek"))]);
    let page = Connect::pull("Contacts", &fields(&["Account_Name"]), None).expect("a page");
    assert_eq!(cells(&page.live), [["Empty"]]);
}

#[test]
fn more_than_fifty_fields_are_read_in_several_requests() {
    let (zoho, crm) = zoho::start();
    let ids: Vec<u64> =
        (0..150).map(|_| zoho.borrow_mut().create(&[("Text_0", json!("a")), ("Text_99", json!("b"))])).collect();
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let names: Vec<String> = (0..100).map(|number| format!("Text_{number}")).collect();
    // Three groups of fields: a page with fewer records, so that a call has not more requests than it may.
    let page = Connect::pull("Contacts", &names, None).expect("a page");
    assert_eq!((page.live.ids.as_slice(), page.more), (&ids[..100], true));
    for row in cells(&page.live) {
        assert_eq!((row[0].as_str(), row[1].as_str(), row[99].as_str()), ("Text(\"a\")", "Empty", "Text(\"b\")"));
    }
    assert!(crm.requests().len() <= 8, "the contract allows 8 requests");
    let many: Vec<String> = (0..119)
        .map(|number| format!("Text_{number}"))
        .chain((0..119).map(|number| format!("Text_{number}")))
        .collect();
    assert!(matches!(Connect::pull("Contacts", &many, None), Err(Fault::Unsupported(_))));
}

/// What a host knows after some pages.
#[derive(Default)]
struct Known {
    versions: BTreeMap<u64, String>,
    cursor: Option<Cursor>,
}

impl Known {
    /// Pulls one page; whether there is more.
    fn pull(&mut self, fields: &[String]) -> bool {
        let page: Page = Connect::pull("Contacts", fields, self.cursor.take()).expect("a page");
        for (id, version) in page.live.ids.iter().zip(page.live.versions) {
            self.versions.insert(id.parse().expect("an id"), version);
        }
        for removal in page.removed {
            self.versions.remove(&removal.id.parse().expect("an id"));
        }
        self.cursor = Some(page.next);
        page.more
    }
}

/// A small generator of numbers, so that a failure can be repeated by its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn whatever_happens_between_pages_nothing_is_skipped() {
    for seed in 0..150 {
        let mut chance = Chance(seed);
        let (zoho, _crm) = zoho::start();
        zoho.borrow_mut().page_records = 1 + chance.below(5) as usize;
        zoho.borrow_mut().tokens_count = seed % 2 == 1;
        for _ in 0..chance.below(30) {
            zoho.borrow_mut().create(&[("Last_Name", json!("x"))]);
            zoho.borrow_mut().now_s += i64::from(chance.below(3) == 0);
        }
        let mut known = Known::default();
        let wanted = fields(&["Last_Name"]);
        for _ in 0..60 {
            known.pull(&wanted);
            for _ in 0..chance.below(3) {
                let mut zoho = zoho.borrow_mut();
                let ids: Vec<u64> = zoho.records.keys().copied().collect();
                let any = ids.get(chance.below(ids.len().max(1) as u64) as usize).copied();
                match (chance.below(4), any) {
                    (0, _) => {
                        zoho.create(&[("Last_Name", json!("y"))]);
                    }
                    (1, Some(id)) => zoho.delete(id),
                    (_, Some(id)) => zoho.edit(id, &[("Last_Name", json!("z"))]),
                    _ => {}
                }
            }
            zoho.borrow_mut().now_s += chance.below(2) as i64 * chance.below(90) as i64;
        }
        // Two runs: the first may be in the middle of the deleted records, with the live ones behind it.
        while known.pull(&wanted) {}
        while known.pull(&wanted) {}
        let truth: BTreeMap<u64, String> = zoho
            .borrow()
            .records
            .iter()
            .map(|(id, record)| (*id, crmsync_plugin::time::format_instant(record.modified_s * 1_000_000)))
            .collect();
        assert_eq!(known.versions, truth, "seed {seed}");
    }
}

#[test]
fn a_change_that_becomes_visible_late_is_met() {
    let (zoho, _crm) = zoho::start();
    zoho.borrow_mut().create(&[("Last_Name", json!("first"))]);
    let wanted = fields(&["Last_Name"]);
    let page = Connect::pull("Contacts", &wanted, None).expect("a page");
    let late = zoho.borrow_mut().create(&[("Last_Name", json!("late"))]);
    zoho.borrow_mut().records.get_mut(&late).expect("a record").modified_s -= 30;
    zoho.borrow_mut().now_s += 10;
    let page = Connect::pull("Contacts", &wanted, Some(page.next)).expect("a page");
    assert!(page.live.ids.contains(&late.to_string()));
}

#[test]
fn a_token_that_ended_costs_a_repetition() {
    let (zoho, _crm) = zoho::start();
    zoho.borrow_mut().page_records = 2;
    for _ in 0..5 {
        zoho.borrow_mut().create(&[("Last_Name", json!("x"))]);
    }
    let mut known = Known::default();
    // Other fields in the middle of a second: the token is bound to the fields of its call.
    for wanted in [&["Last_Name"][..], &["Last_Name"], &["Title"], &["Title"], &["Title"], &["Title"], &["Title"]] {
        if !known.pull(&fields(wanted)) {
            break;
        }
    }
    assert_eq!(known.versions.len(), 5);
}

#[test]
fn many_deletes_come_in_pages() {
    let (zoho, _crm) = zoho::start();
    let ids: Vec<u64> = (0..7).map(|_| zoho.borrow_mut().create(&[])).collect();
    let wanted = fields(&["Last_Name"]);
    let mut known = Known::default();
    known.pull(&wanted);
    zoho.borrow_mut().page_records = 3;
    zoho.borrow_mut().now_s += 600;
    ids.into_iter().for_each(|id| zoho.borrow_mut().delete(id));
    while known.pull(&wanted) {}
    assert!(known.versions.is_empty());
}

/// The walk claimed to have read everything that was deleted although Zoho had stopped to list it.
#[test]
fn deleted_records_that_were_not_read_are_not_passed_over() {
    for last_deleted_first in [false, true] {
        let (zoho, _crm) = zoho::start();
        zoho.borrow_mut().last_deleted_first = last_deleted_first;
        let ids: Vec<u64> = (0..9).map(|_| zoho.borrow_mut().create(&[])).collect();
        let wanted = fields(&["Last_Name"]);
        let mut known = Known::default();
        known.pull(&wanted);
        zoho.borrow_mut().page_records = 2;
        zoho.borrow_mut().deleted_reach = 4;
        zoho.borrow_mut().now_s += 600;
        for id in ids {
            zoho.borrow_mut().delete(id);
            zoho.borrow_mut().now_s += 1;
        }
        zoho.borrow_mut().now_s += 600;
        while known.pull(&wanted) {}
        assert_eq!(known.versions.len(), if last_deleted_first { 5 } else { 0 });
        zoho.borrow_mut().deleted_reach = 2_000;
        while known.pull(&wanted) {}
        assert!(known.versions.is_empty(), "{:?}", known.versions);
    }
}

/// A record that leaves a page that was read pulls another one over the border, where a token that counts skips it.
#[test]
fn what_moves_while_a_second_is_listed_hides_nothing() {
    let (zoho, _crm) = zoho::start();
    zoho.borrow_mut().tokens_count = true;
    zoho.borrow_mut().page_records = 3;
    let ids: Vec<u64> = (0..10).map(|_| zoho.borrow_mut().create(&[("Last_Name", json!("imported"))])).collect();
    zoho.borrow_mut().now_s += 3_600;
    let wanted = fields(&["Last_Name"]);
    let mut known = Known::default();
    known.pull(&wanted);
    known.pull(&wanted);
    zoho.borrow_mut().edit(ids[0], &[("Last_Name", json!("edited"))]);
    known.pull(&wanted);
    zoho.borrow_mut().delete(ids[1]);
    while known.pull(&wanted) {}
    assert_eq!(known.versions.keys().copied().collect::<Vec<_>>(), [&ids[..1], &ids[2..]].concat());
}

#[test]
fn refusals_become_faults() {
    let (zoho, _crm) = zoho::start();
    let wanted = fields(&["Last_Name"]);
    let check = |reply: Reply, fault: Fault| {
        zoho.borrow_mut().answers.push(("GET", "Contacts", Ok(reply)));
        assert_eq!(Connect::pull("Contacts", &wanted, None).expect_err("a fault"), fault);
    };
    check(Reply::json(502, "<html>Bad gateway</html>"), Fault::Transient("HTTP 502".to_owned()));
    check(Reply::json(401, r#"{"code":"INVALID_TOKEN"}"#), Fault::LoggedOut);
    let many = || Reply::json(429, r#"{"code":"TOO_MANY_REQUESTS"}"#);
    check(many().header("retry-after", "3"), Fault::RateLimited(3_000));
    check(many(), Fault::RateLimited(60_000));
    check(many().header("x-api-credits-remaining", "7"), Fault::RateLimited(60_000));
    check(many().header("x-api-credits-remaining", "0"), Fault::RateLimited(3_600_000));
    let unordered =
        json!({"data": [{"id": "1", "Modified_Time": zoho::shown(9)}, {"id": "2", "Modified_Time": zoho::shown(8)}]});
    let order = Fault::other("unexpected-order", "Zoho's list is not in the order of its change times");
    check(Reply::json(200, unordered.to_string()), order);
    assert!(matches!(Connect::pull("../org", &wanted, None), Err(Fault::Unsupported(_))));
    let foreign = Cursor { format: 9, data: Vec::new() };
    assert_eq!(Connect::pull("Contacts", &wanted, Some(foreign)), Err(Fault::CursorExpired));
}

#[test]
fn records_are_fetched_by_id() {
    let (zoho, crm) = zoho::start();
    let mut ids: Vec<String> =
        (0..120).map(|_| zoho.borrow_mut().create(&[("Last_Name", json!("x"))]).to_string()).collect();
    ids.extend(["999".to_owned(), "not-an-id".to_owned()]);
    let fetched = Connect::fetch("Contacts", &ids, &[]).expect("records");
    assert_eq!((fetched.live.ids.len(), fetched.live.rows.rows), (120, 120));
    assert_eq!(fetched.absent, ["999", "not-an-id"]);
    assert_eq!(paths(&crm), ["Contacts", "Contacts", "Contacts"]);
    let fetched = Connect::fetch("Contacts", &ids[..1], &fields(&["Last_Name"])).expect("records");
    assert_eq!(cells(&fetched.live), [["Text(\"x\")"]]);
    let nothing = Connect::fetch("Contacts", &[], &[]).expect("no records");
    assert!(nothing.live.ids.is_empty() && nothing.absent.is_empty());
}

#[test]
fn records_are_found_by_key_only_where_there_are_keys() {
    let (zoho, crm) = zoho::start();
    let row = |id: &str, key: &str| json!({"id": id, "Modified_Time": zoho::shown(START_S), "CRMSync_Key": key, "Last_Name": "x"});
    let found = json!({"data": [row("1", "k-2"), row("2", "k-22")]});
    zoho.borrow_mut().answers.push(("GET", "Contacts/search", Ok(Reply::json(200, found.to_string()))));
    let found =
        Connect::find("Contacts", "CRMSync_Key", &fields(&["k-1", "k-2"]), &fields(&["Last_Name"])).expect("records");
    assert_eq!((found.asked, found.live.ids.clone(), found.consistent), (vec![1], vec!["1".to_owned()], false));
    assert_eq!(found.live.columns.len(), 1);
    assert_eq!(cells(&found.live), [["Text(\"x\")"]]);
    let criteria = crm.requests().iter().find_map(|request| request.parameter("criteria").map(str::to_owned));
    assert_eq!(criteria.as_deref(), Some("((CRMSync_Key:equals:k-1)or(CRMSync_Key:equals:k-2))"));
    assert!(matches!(Connect::find("Contacts", "Email", &fields(&["a"]), &[]), Err(Fault::Unsupported(_))));
    assert_eq!(Cell::text_or_empty(""), Cell::Empty);
}
