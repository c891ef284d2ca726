//! The whole connector against a small Vtiger in memory: same quirks of queries and writes, a clock that the test
//! moves, rows that become visible after their time. Chance comes from a seed.

mod fake;
mod properties;
mod syncing;

use crmsync_plugin::rows::{RowsBuilder, column};
use crmsync_plugin::{Cell, Connector, Cursor, Fault, Kind, Operation, Page, PushOutcome, PushRequest, PushRow};
use std::collections::BTreeMap;

use crate::Vtiger;
use fake::{Fake, HOUR_MS};

const FIELDS: [&str; 3] = ["lastname", "account_id", "assigned_user_id"];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a host knows: the last content of each record, and the cursor.
#[derive(Default)]
struct Host {
    records: BTreeMap<String, (String, String)>,
    cursor: Option<Cursor>,
    complete: bool,
    population: Option<u64>,
    /// It reads leads in place of contacts.
    reads_leads: bool,
    /// Records that left, with the reason.
    removed: BTreeMap<String, String>,
}

impl Host {
    /// Pulls to the head; gives the number of rows that came.
    fn pull(&mut self) -> usize {
        let mut rows = 0;
        for _ in 0..1_000 {
            let module = if self.reads_leads { "Leads" } else { "Contacts" };
            let page = Vtiger::pull(module, &names(&FIELDS), self.cursor.take()).expect("a page");
            rows += page.live.ids.len();
            self.take(&page);
            self.cursor = Some(page.next);
            self.complete |= page.complete;
            self.population = page.population.or(self.population);
            if !page.more {
                return rows;
            }
        }
        panic!("the walk has no end");
    }

    /// Pulls to the head; gives the operations that it took, in the order of their calls.
    fn operations(&mut self, fake: &Fake) -> Vec<String> {
        fake.requests();
        self.pull();
        fake.requests().iter().filter_map(|request| request.parameter("operation").map(str::to_owned)).collect()
    }

    fn take(&mut self, page: &Page) {
        for removal in &page.removed {
            self.records.remove(&removal.id);
            self.removed.insert(removal.id.clone(), removal.reason.clone());
        }
        let rows =
            crmsync_plugin::rows::Rows::new(page.live.columns.clone(), page.live.rows.clone()).expect("well formed");
        for (index, row) in rows.iter().enumerate() {
            let version = page.live.versions[index].clone();
            self.records.insert(page.live.ids[index].clone(), (version, row.text(0).to_owned()));
        }
    }

    fn contents(&self) -> BTreeMap<String, String> {
        self.records.iter().map(|(id, (_, content))| (id.clone(), content.clone())).collect()
    }
}

#[test]
fn a_scan_reads_everything_with_few_queries() {
    let fake = Fake::with_contacts(250);
    fake.advance(HOUR_MS);
    let mut host = Host::default();
    assert_eq!(host.pull(), 250);
    let queries = fake.queries();
    assert_eq!(queries.iter().filter(|query| query.starts_with("select count")).count(), 1);
    assert_eq!(queries.len(), 1 + 1 + 3, "a count, the newest row, three pages: {queries:?}");
    assert!(host.complete);
    assert_eq!(host.population, Some(250));
    assert_eq!(host.contents(), fake.contents());
    settle(&fake, &mut host);
}

/// Lets time pass until nothing is in doubt any more: then nothing new is one query.
fn settle(fake: &Fake, host: &mut Host) {
    for _ in 0..6 {
        fake.advance(2 * HOUR_MS);
        host.pull();
    }
    fake.requests();
    assert_eq!(host.pull(), 0);
    assert_eq!(fake.requests().len(), 1, "nothing new is one request");
}

#[test]
fn records_are_typed() {
    let fake = Fake::with_contacts(1);
    fake.revise(
        1,
        &[("account_id", "11x500"), ("assigned_user_id", "20x3"), ("birthday", "1980-02-29"), ("donotcall", "1")],
    );
    let fields = names(&["account_id", "assigned_user_id", "birthday", "donotcall", "modifiedtime", "vanished"]);
    let page = Vtiger::pull("Contacts", &fields, None).expect("a page");
    let rows = crmsync_plugin::rows::Rows::new(page.live.columns, page.live.rows).expect("well formed");
    let row = rows.row(0);
    assert_eq!(row.cell(0), Cell::Reference("Accounts/11x500"));
    assert_eq!(row.cell(1), Cell::Reference("Groups/20x3"));
    assert_eq!(row.cell(2), Cell::Date(3_711));
    assert_eq!(row.cell(3), Cell::Boolean(true));
    assert!(matches!(row.cell(4), Cell::Instant(micros) if micros / 1_000 == page.live.modified_ms[0]));
    assert_eq!(row.cell(5), Cell::Absent);
}

#[test]
fn a_vanished_field_costs_one_look() {
    let fake = Fake::with_contacts(1);
    let mut cursor = None;
    for expected in [1, 0, 0] {
        let page = Vtiger::pull("Contacts", &names(&["lastname", "vanished"]), cursor).expect("a page");
        let looks = fake.requests().iter().filter(|request| request.parameter("operation") == Some("describe")).count();
        assert_eq!(looks, expected);
        cursor = Some(page.next);
    }
}

#[test]
fn a_write_in_the_second_of_the_last_page_is_not_lost() {
    let fake = Fake::with_contacts(3);
    fake.advance(HOUR_MS);
    let mut host = Host::default();
    host.pull();
    fake.advance(300_000);
    fake.revise(2, &[("lastname", "first")]);
    host.pull();
    let version = host.records["12x2"].0.clone();
    fake.rewind_to_last_write();
    fake.revise(1, &[("lastname", "second")]);
    fake.revise(2, &[("lastname", "third")]);
    fake.advance(2_000);
    host.pull();
    assert_eq!(host.contents(), fake.contents());
    assert_ne!(host.records["12x2"].0, version, "same second, other content, other version");
}

#[test]
fn many_changes_in_one_second_are_settled_by_one_more_reading() {
    let fake = Fake::with_contacts(350);
    fake.advance(HOUR_MS);
    let mut host = Host::default();
    host.pull();
    fake.advance(300_000);
    (1..=350).for_each(|number| fake.revise(number, &[("lastname", "imported")]));
    fake.advance(300_000);
    fake.queries();
    let mut pulls = Vec::new();
    for _ in 0..5 {
        pulls.push((host.pull(), fake.queries().len()));
        assert_eq!(host.contents(), fake.contents());
        fake.advance(300_000);
    }
    // The page that shows how many there are, then all of them; the same once more, which settles them.
    assert_eq!(pulls, [(450, 5), (450, 5), (0, 1), (0, 1), (0, 1)]);
    settle(&fake, &mut host);
}

/// Hours behind UTC lost a second write in the second read last, and every write of the first hours after a scan of an
/// empty module; hours ahead never settled anything.
#[test]
fn the_zone_of_the_database_does_not_matter() {
    for zone_s in [-5 * 3_600, 0, 5 * 3_600 + 1_800] {
        let fake = Fake::in_zone(zone_s, 0);
        let mut host = Host::default();
        assert_eq!((host.pull(), host.complete), (0, true));
        fake.advance(300_000);
        fake.revise(1, &[("lastname", "the first of all")]);
        host.pull();
        assert_eq!(host.contents(), fake.contents(), "{zone_s}");
        for pause_ms in [1_000, 2_000, 90_000, 300_000, HOUR_MS] {
            fake.advance(pause_ms);
            fake.revise(1, &[("lastname", "first")]);
            host.pull();
            fake.rewind_to_last_write();
            fake.revise(1, &[("lastname", "again in its second")]);
            fake.revise(2, &[("lastname", "new in its second")]);
            fake.advance(pause_ms);
            host.pull();
            assert_eq!(host.contents(), fake.contents(), "{zone_s} {pause_ms}");
        }
        settle(&fake, &mut host);
    }
}

#[test]
fn the_hour_that_comes_twice_is_not_lost() {
    let fake = Fake::in_zone(-4 * 3_600, 20);
    let mut host = Host::default();
    host.pull();
    for round in 0..30 {
        if round == 8 {
            fake.shift_zone(-3_600);
        }
        fake.advance(300_000);
        fake.revise(1 + round % 20, &[("lastname", &format!("round {round}"))]);
        host.pull();
    }
    for _ in 0..30 {
        fake.advance(300_000);
        host.pull();
    }
    assert_eq!(host.contents(), fake.contents());
    settle(&fake, &mut host);
}

#[test]
fn a_scan_behind_a_hidden_newest_row_misses_nothing() {
    let fake = Fake::in_zone(-5 * 3_600, 30);
    fake.hide(|number| number > 29);
    fake.advance(HOUR_MS);
    fake.revise(30, &[("lastname", "hidden and newest")]);
    let page = Vtiger::pull("Contacts", &names(&FIELDS), None).expect("a page");
    let mut host = Host::default();
    host.take(&page);
    host.cursor = Some(page.next);
    fake.revise(7, &[("lastname", "during the scan")]);
    fake.advance(300_000);
    host.pull();
    host.pull();
    assert_eq!(host.contents(), fake.contents());
}

#[test]
fn an_empty_page_is_not_the_end() {
    let fake = Fake::with_contacts(150);
    fake.advance(HOUR_MS);
    let first = Vtiger::pull("Contacts", &names(&FIELDS), None).expect("a page");
    fake.next_page_is_empty();
    let fault = Vtiger::pull("Contacts", &names(&FIELDS), Some(first.next.clone())).expect_err("a contradiction");
    assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
    let second = Vtiger::pull("Contacts", &names(&FIELDS), Some(first.next)).expect("a page");
    assert_eq!((second.live.ids.len(), second.complete), (50, true));
}

#[test]
fn hidden_records_do_not_end_a_walk() {
    let fake = Fake::with_contacts(500);
    fake.hide(|number| (50..320).contains(&number) || number % 7 == 0);
    fake.advance(HOUR_MS);
    let mut host = Host::default();
    host.pull();
    assert_eq!(host.contents(), fake.contents());
    assert_eq!((host.complete, host.population), (true, Some(500)));
    settle(&fake, &mut host);
    fake.advance(300_000);
    (40..400).for_each(|number| fake.revise(number, &[("lastname", "again")]));
    fake.advance(300_000);
    host.pull();
    assert_eq!(host.contents(), fake.contents());
}

#[test]
fn no_change_is_ever_skipped() {
    for seed in 0..60 {
        let zone_s = (seed as i64 % 5 - 2) * 9_000;
        let fake = Fake::in_zone(zone_s, 40 + seed * 7 % 200);
        fake.shake(seed);
        if seed % 3 == 0 {
            fake.hide(move |number| number % (2 + seed % 5) == 0);
        }
        let mut host = Host::default();
        for round in 0..12 {
            host.pull();
            fake.disturb((seed * 31 + round) % 150);
            if fake.chance(3) {
                Vtiger::users().expect("users");
                fake.forget_state();
            }
            if seed % 4 == 1 && round == 5 {
                fake.shift_zone(-3_600);
            }
            fake.advance(if fake.chance(2) { 300_000 } else { 700 });
        }
        // A clock that is set back makes late of it what is in the repeated hour.
        for _ in 0..if seed % 4 == 1 { 40 } else { 4 } {
            fake.advance(180_000);
            host.pull();
        }
        assert_eq!(host.contents(), fake.contents(), "seed {seed}");
        settle(&fake, &mut host);
    }
}

#[test]
fn cursors_of_another_format_start_over() {
    let _fake = Fake::with_contacts(1);
    let old = Cursor { format: 99, data: Vec::new() };
    assert_eq!(Vtiger::pull("Contacts", &names(&FIELDS), Some(old)), Err(Fault::CursorExpired));
}

#[test]
fn fetch_reports_what_is_absent() {
    let fake = Fake::with_contacts(130);
    fake.delete(7);
    let mut ids: Vec<String> = (1..=130).map(|number| format!("12x{number}")).collect();
    ids.extend(names(&["11x5", "nonsense", "12x999"]));
    fake.queries();
    let fetched = Vtiger::fetch("Contacts", &ids, &[]).expect("records");
    assert_eq!(fetched.live.ids.len(), 129);
    assert_eq!(fetched.absent, ["12x7", "11x5", "nonsense", "12x999"]);
    assert_eq!(fetched.removed, []);
    assert_eq!(fake.queries().len(), 3, "two for the records, one that counts the absent ones");
}

#[test]
fn a_hidden_record_is_not_taken_for_a_deleted_one() {
    let fake = Fake::with_contacts(20);
    fake.delete(7);
    fake.hide(|number| number == 3 || number == 4);
    let ids: Vec<String> = (1..=20).map(|number| format!("12x{number}")).collect();
    let fetched = Vtiger::fetch("Contacts", &ids, &[]).expect("records");
    assert_eq!(fetched.absent, ["12x3", "12x4", "12x7"]);
    let told: Vec<_> = fetched.removed.iter().map(|gone| (gone.id.as_str(), gone.reason.as_str())).collect();
    assert_eq!(told, [("12x3", "not-visible"), ("12x4", "not-visible")]);
}

#[test]
fn find_looks_for_our_keys() {
    let fake = Fake::with_contacts(3);
    fake.revise(2, &[("cf_901", "k2"), ("source", "crmsync:k2")]);
    let find = |field: &str, values: &[&str]| {
        let found = Vtiger::find("Contacts", field, &names(values), &names(&FIELDS)).expect("records");
        assert!(found.consistent);
        (found.asked, found.live.ids)
    };
    assert_eq!(find("cf_901", &["k1", "", "k2", "it's"]), (vec![2], names(&["12x2"])));
    assert_eq!(find("source", &["crmsync:k2"]), (vec![0], names(&["12x2"])));
    assert_eq!(find("cf_901", &[""]), (vec![], vec![]));
    let unknown = Vtiger::find("Contacts", "cf_1", &names(&["k"]), &[]);
    assert_eq!(unknown, Err(Fault::Unsupported("field `cf_1`".to_owned())));
}

#[test]
fn a_hidden_key_is_not_taken_for_a_missing_one() {
    let fake = Fake::with_contacts(3);
    fake.revise(2, &[("cf_901", "k2")]);
    fake.hide(|number| number == 2);
    let find = |key: &str| Vtiger::find("Contacts", "cf_901", &names(&[key]), &[]).expect("an answer");
    assert!(find("k1").consistent);
    assert_eq!((find("k2").live.ids.len(), find("k2").consistent), (0, false));
}

fn push(columns: &[(&str, Kind)], rows: Vec<(Operation, &str, &str, Vec<Cell<'_>>)>) -> PushRequest {
    let mut values = RowsBuilder::new(columns.len(), rows.len());
    let mut push_rows = Vec::new();
    for (op, id, key, cells) in rows {
        values.row(cells);
        push_rows.push(PushRow { op, id: id.to_owned(), version: String::new(), key: key.to_owned() });
    }
    PushRequest {
        module: "Contacts".to_owned(),
        columns: columns.iter().map(|(name, kind)| column(*name, *kind)).collect(),
        rows: push_rows,
        values: values.finish(),
        automations: false,
        options: vec![("version-fields".to_owned(), FIELDS.join(","))],
    }
}

const OWNER: Cell<'static> = Cell::Reference("Users/19x1");

#[test]
fn rows_are_created_changed_and_deleted() {
    let fake = Fake::with_contacts(3);
    let columns = [("lastname", Kind::Text), ("assigned_user_id", Kind::Reference), ("donotcall", Kind::Boolean)];
    let report = Vtiger::push(&push(
        &columns,
        vec![
            (Operation::Create, "", "key-1", vec![Cell::Text("Åse <b>"), OWNER, Cell::Boolean(true)]),
            (Operation::Update, "12x2", "", vec![Cell::Text("Changed"), Cell::Absent, Cell::Empty]),
            (Operation::Delete, "12x3", "", vec![]),
            (Operation::Update, "12x1", "", vec![Cell::Empty, Cell::Absent, Cell::Absent]),
            (Operation::Create, "", "key-2", vec![Cell::Empty, OWNER]),
            (Operation::Update, "12x77", "", vec![Cell::Text("gone")]),
            (Operation::Update, "11x1", "", vec![Cell::Text("not ours")]),
            (Operation::Update, "12x1", "", vec![]),
        ],
    ))
    .expect("a report");
    let receipt = |index: usize| match &report.outcomes[index] {
        PushOutcome::Stored(receipt) => receipt,
        other => panic!("row {index}: {other:?}"),
    };
    let rejected = |index: usize| match &report.outcomes[index] {
        PushOutcome::Failed(Fault::Rejected(rejection)) => rejection.code.as_str(),
        other => panic!("row {index}: {other:?}"),
    };
    assert_eq!((receipt(0).id.as_str(), receipt(1).id.as_str(), receipt(2).id.as_str()), ("12x4", "12x2", "12x3"));
    assert_eq!(receipt(2).stored, None);
    assert_eq!((rejected(3), rejected(4)), ("MANDATORY_FIELDS_MISSING", "MANDATORY_FIELDS_MISSING"));
    assert_eq!(report.outcomes[5], PushOutcome::Failed(Fault::Gone));
    assert_eq!((rejected(6), rejected(7)), ("not-an-id", "nothing-to-write"));
    assert_eq!(fake.field(4, "cf_901"), "key-1");
    assert_eq!((fake.field(4, "lastname").as_str(), fake.field(4, "donotcall").as_str()), ("Åse <b>", "1"));
    let stored = crmsync_plugin::rows::Rows::new(report.columns.clone(), report.stored.clone()).expect("well formed");
    let row = stored.row(receipt(0).stored.expect("what was stored") as usize);
    assert_eq!((row.cell(0), row.cell(1), row.cell(2)), (Cell::Text("Åse <b>"), OWNER, Cell::Boolean(true)));
    let mut host = Host::default();
    host.pull();
    assert_eq!(host.records["12x4"].0, receipt(0).version, "the next pull gives the receipt's version");
    assert_eq!(host.records["12x2"].0, receipt(1).version);
}

/// The CRM has the same words for a record that is gone and for one that the user may not change; the first would be
/// deleted on the other side.
#[test]
fn a_denied_write_is_no_removal() {
    let fake = Fake::with_contacts(3);
    fake.delete(3);
    fake.writes_answer(fake::Writes::Denied);
    let row = |op: Operation, id: &'static str| (op, id, "", vec![Cell::Text("N")]);
    let rows = vec![row(Operation::Update, "12x1"), row(Operation::Delete, "12x2"), row(Operation::Update, "12x3")];
    let request = push(&[("lastname", Kind::Text)], rows);
    fake.requests();
    let report = Vtiger::push(&request).expect("a report");
    let rejected = |index: usize, verb: &str| match &report.outcomes[index] {
        PushOutcome::Failed(Fault::Rejected(rejection)) => rejection.message.contains(verb),
        _ => false,
    };
    assert!(rejected(0, "not edit it") && rejected(1, "not delete it"), "{:?}", report.outcomes);
    assert_eq!(report.outcomes[2], PushOutcome::Failed(Fault::Gone));
    fake.requests();
    fake.hide(|number| number == 1);
    assert_eq!(Vtiger::push(&request).expect("a report").outcomes[0], PushOutcome::Failed(Fault::Gone), "not visible");
    assert_eq!(fake.requests().len(), 3 + 1, "three rows and one look");
}

/// A field that an administrator deleted or hid failed every pull until the host dropped the cache.
#[test]
fn a_field_that_vanishes_is_absent() {
    for described in [false, true] {
        let fake = Fake::with_contacts(3);
        let fields = names(&["lastname", "description"]);
        let page = Vtiger::pull("Contacts", &fields, None).expect("a page");
        fake.vanishes("description", described);
        fake.revise(2, &[("lastname", "changed")]);
        fake.requests();
        let page = Vtiger::pull("Contacts", &fields, Some(page.next)).expect("a page");
        assert_eq!(fake.requests().len(), 3, "denied, described, asked again");
        let rows = crmsync_plugin::rows::Rows::new(page.live.columns, page.live.rows).expect("well formed");
        assert!(rows.iter().any(|row| row.text(0) == "changed") && rows.iter().all(|row| row.cell(1) == Cell::Absent));
        let fetched = Vtiger::fetch("Contacts", &names(&["12x1"]), &fields).expect("records");
        assert_eq!((fetched.live.ids.len(), fake.requests().len()), (1, 1), "known by now");
        let key = Vtiger::find("Contacts", "description", &names(&["k"]), &[]);
        assert_eq!(key, Err(Fault::Unsupported("field `description`".to_owned())));
    }
}

#[test]
fn a_write_to_a_field_that_vanished_is_refused_the_next_time() {
    let fake = Fake::with_contacts(1);
    let update = || {
        let request = push(
            &[("description", Kind::Text), ("lastname", Kind::Text)],
            vec![(Operation::Update, "12x1", "", vec![Cell::Text("new"), Cell::Text("N")])],
        );
        Vtiger::push(&request).expect("a report").outcomes.remove(0)
    };
    assert!(matches!(update(), PushOutcome::Stored(_)));
    fake.vanishes("description", false);
    fake.revise(1, &[]);
    update();
    assert!(matches!(update(), PushOutcome::Failed(Fault::Rejected(rejection)) if rejection.code == "no-such-field"));
}

#[test]
fn each_request_names_the_row_that_it_writes() {
    let fake = Fake::with_contacts(9);
    let rows = (1..=9).map(|number| (Operation::Delete, number)).collect::<Vec<_>>();
    let ids: Vec<String> = rows.iter().map(|(_, number)| format!("12x{number}")).collect();
    let rows = ids.iter().map(|id| (Operation::Delete, id.as_str(), "", vec![])).collect();
    Vtiger::push(&push(&[("lastname", Kind::Text)], rows)).expect("a report");
    let written: Vec<Vec<u32>> =
        fake.requests().iter().filter_map(|request| request.written_rows().map(<[u32]>::to_vec)).collect();
    assert_eq!(written, (0..9).map(|row| vec![row]).collect::<Vec<_>>());
}

#[test]
fn what_became_of_a_write_is_told_honestly() {
    let check = |answer: fake::Writes, first: fn(&PushOutcome) -> bool, last: fn(&PushOutcome) -> bool| {
        let fake = Fake::with_contacts(0);
        fake.writes_answer(answer);
        let create = || (Operation::Create, "", "k", vec![Cell::Text("N"), OWNER]);
        let columns = [("lastname", Kind::Text), ("assigned_user_id", Kind::Reference)];
        let report = Vtiger::push(&push(&columns, (0..6).map(|_| create()).collect())).expect("a report");
        assert!(first(&report.outcomes[0]), "{answer:?}: {:?}", report.outcomes[0]);
        assert!(last(&report.outcomes[5]), "{answer:?}: {:?}", report.outcomes[5]);
        report.wait_ms
    };
    let unknown = |outcome: &PushOutcome| matches!(outcome, PushOutcome::Failed(Fault::UnknownOutcome(_)));
    let not_sent = |outcome: &PushOutcome| matches!(outcome, PushOutcome::NotSent);
    let duplicate = |outcome: &PushOutcome| matches!(outcome, PushOutcome::Failed(Fault::Duplicate(_)));
    let logged_out = |outcome: &PushOutcome| matches!(outcome, PushOutcome::Failed(Fault::LoggedOut));
    check(fake::Writes::EmptyError, unknown, unknown);
    check(fake::Writes::PlainText, unknown, unknown);
    check(fake::Writes::Duplicate, duplicate, duplicate);
    check(fake::Writes::NoAnswer, unknown, not_sent);
    check(fake::Writes::NoConnection, not_sent, not_sent);
    check(fake::Writes::LoggedOut, logged_out, not_sent);
    let limited = |outcome: &PushOutcome| matches!(outcome, PushOutcome::Failed(Fault::RateLimited(7_000)));
    assert_eq!(check(fake::Writes::TooMany, limited, not_sent), 7_000);
}

#[test]
fn what_was_described_within_the_day_is_not_described_again() {
    let fake = Fake::with_contacts(1);
    let described = || {
        let requests = fake.requests();
        requests.iter().filter(|request| request.parameter("operation") == Some("describe")).count()
    };
    let check = |case: &str, expected: usize| {
        Vtiger::modules().expect("modules");
        assert_eq!(described(), expected, "{case}");
    };
    check("nobody asked yet", 2);
    check("a moment later", 0);
    fake.advance(23 * HOUR_MS);
    Vtiger::describe("Contacts").expect("fields");
    assert_eq!(described(), 1, "people and the host ask for the fields themselves");
    fake.advance(HOUR_MS + 1);
    check("the other one is a day old", 1);
    fake.forget_state();
    check("the host wants to know it now", 2);
}

#[test]
fn the_installation_is_described() {
    let fake = Fake::with_contacts(2);
    let report = Vtiger::check().expect("a report");
    assert_eq!((report.org_id.as_str(), report.org_name.as_str()), ("crm.acme.example", "ACME"));
    assert_eq!(
        (report.user_id.as_str(), report.visible_scope.as_str(), report.currency.as_str()),
        ("19x1", "all", "USD")
    );
    assert!(report.server_clock_ms.is_some());
    assert_eq!(report.missing, ["module Leads"]);
    assert!(fake.requests().len() <= 4);
    let modules = Vtiger::modules().expect("modules");
    assert_eq!(modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["Accounts", "Contacts"]);
    let contacts = &modules[1];
    assert_eq!((contacts.create_class.as_str(), contacts.key_field.as_str()), ("B", "cf_901"));
    assert_eq!((modules[0].key_field.as_str(), modules[0].label.as_str()), ("source", "Organizations"));
    assert_eq!(contacts.quiesce_ms, 300_000);
    assert_eq!(Vtiger::count("Contacts"), Ok(Some(2)));
    let users = Vtiger::users().expect("users");
    let told: Vec<_> =
        users.iter().map(|user| (user.id.as_str(), user.name.as_str(), user.active, user.kind.as_str())).collect();
    let expected = [
        ("19x1", "Administrator", true, "user"),
        ("19x5", "Kari Nordmann", false, "user"),
        ("20x2", "Sales", true, "group"),
    ];
    assert_eq!(told, expected);
    assert!(matches!(Vtiger::describe("Payments"), Err(Fault::Unsupported(_))));
    assert!(matches!(Vtiger::count("Contacts; x"), Err(Fault::Unsupported(_))));
}

#[test]
fn an_ordinary_user_learns_what_it_may() {
    let fake = Fake::with_contacts(1);
    fake.hide(|_| false);
    let report = Vtiger::check().expect("a report");
    assert_eq!((report.visible_scope.as_str(), report.currency.as_str()), ("unknown", ""));
    let users = Vtiger::users().expect("users");
    assert_eq!(users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["19x1", "20x2"]);
}
