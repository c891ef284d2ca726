//! What an admin takes back: records that a run created, deleted or marked. Never over a newer edit, and the flow is at rest afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::{Progress, RunReport, UndoAct, UndoReport, UndoRequest};
use crmsync::service::{self, AnswerWord, PointFilter, Said};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES, field_name};
use crmsync_tests::workplace::{FLOW, Silent, Workplace, flow_file, told};
use serde_json::{Value, json};

use crate::product::run;

const RECORDS: usize = 20;
const QUIESCE_MS: u64 = 600;
/// CRMs tell times in whole seconds.
const APART_MS: i64 = 1_300;
const ALL_MODULES: [&str; 2] = ["Contacts", "Accounts"];

struct Office {
    workplace: Workplace,
}

impl Office {
    /// After a first sync; then the flow has these lines about deletes.
    async fn open(seed: u64, deletes: &str) -> Office {
        let crms = Crms::here(RECORDS, seed).await.unwrap();
        let office = Office { workplace: Workplace::open(crms, QUIESCE_MS).await.unwrap() };
        let flow = flow_file().replace("fields = \"default\"", "fields = \"default\"\nskip = [\"Fax\"]");
        office.approve(&flow).await;
        office.run(false).await;
        office.approve(&flow.replace("deletes      = \"report\"", deletes)).await;
        office
    }

    async fn of_all_modules(seed: u64) -> Office {
        let crms = Crms::here(RECORDS, seed).await.unwrap();
        let office = Office { workplace: Workplace::with_modules(crms, QUIESCE_MS, &ALL_MODULES).await.unwrap() };
        office.workplace.preview_and_approve().await.unwrap();
        office.run(false).await;
        office
    }

    async fn approve(&self, flow: &str) {
        service::apply(&self.workplace.app, LOCAL_TENANT, "people.toml", flow).await.map_err(told).unwrap();
        self.workplace.preview_and_approve().await.unwrap();
    }

    async fn run(&self, sweep: bool) -> RunReport {
        self.workplace.crms.advance(APART_MS).await.unwrap();
        let report = self.workplace.run(sweep).await.unwrap();
        assert_eq!(report.alarms, Vec::<String>::new());
        self.workplace.crms.advance(APART_MS).await.unwrap();
        report
    }

    async fn is_at_rest(&self) {
        for _ in 0..2 {
            let writes = async || self.workplace.crms.counts().await.unwrap().map(|counts| counts.write);
            let before = writes().await;
            self.run(true).await;
            assert_eq!(writes().await, before, "a run with nothing to do wrote");
        }
    }

    async fn last_run(&self) -> i64 {
        service::runs(&self.workplace.app, LOCAL_TENANT, FLOW, 1).await.unwrap()[0].id
    }

    async fn undo(&self, run: i64, go: bool) -> UndoReport {
        self.undo_watched(run, go, Arc::new(Silent)).await
    }

    async fn undo_watched(&self, run: i64, go: bool, progress: Arc<dyn Progress>) -> UndoReport {
        let request = UndoRequest { runs: Some((run, run)), go, ..UndoRequest::default() };
        let report = service::undo(&self.workplace.app, LOCAL_TENANT, FLOW, request, progress).await;
        let report = report.map_err(told).unwrap();
        assert_eq!(report.alarms, Vec::<String>::new());
        report
    }

    async fn decide(&self, record: &str, word: AnswerWord) {
        let filter = PointFilter { record: record.to_owned(), ..PointFilter::default() };
        let said = Said { word, with: None };
        let answered = service::decide_attention(&self.workplace.app, LOCAL_TENANT, FLOW, &filter, &said).await;
        assert_eq!(answered.map_err(told).unwrap().refused, [""; 0], "{record} {word:?}");
    }

    async fn create(&self, side: Side, last: &str) -> String {
        let set = BTreeMap::from([("Last_Name", last.to_owned()), ("Title", "Buyer".to_owned())]);
        self.workplace.crms.create(side, &set).await.unwrap()
    }

    async fn edit(&self, side: Side, id: &str, field: &str, value: &str) {
        self.workplace.crms.edit(side, id, &BTreeMap::from([(field, value.to_owned())])).await.unwrap();
    }

    /// The one record of a side with this last name.
    async fn named(&self, side: Side, last: &str) -> Option<Value> {
        let mut records = self.workplace.crms.records(side).await.unwrap();
        records.retain(|record| record[field_name(side, "Last_Name")] == last);
        assert!(records.len() < 2, "{side:?}: {last} is there twice");
        records.pop()
    }

    async fn id_of(&self, side: Side, last: &str) -> String {
        id(&self.named(side, last).await.unwrap_or_else(|| panic!("{side:?} has no {last}")))
    }

    /// Reasons of what is noted about a record.
    async fn reasons(&self, record: &str) -> Vec<String> {
        let outcomes = self.workplace.outcomes().await.unwrap();
        outcomes.into_iter().filter(|outcome| outcome.record == record).map(|outcome| outcome.reason).collect()
    }
}

fn id(record: &Value) -> String {
    record["id"].as_str().expect("an id").to_owned()
}

fn other(side: Side) -> Side {
    SIDES[1 - side as usize]
}

fn acts(report: &UndoReport) -> Vec<(UndoAct, &str)> {
    report.records.iter().map(|record| (record.act, record.record.as_str())).collect()
}

fn reasons_to_stay(report: &UndoReport) -> Vec<(&str, &str)> {
    report.kept.iter().map(|kept| (kept.record.as_str(), kept.why_not.as_str())).collect()
}

#[test]
fn created_records_go_to_the_bin_again_unless_people_edited_them() {
    run(async {
        let office = Office::open(3, "deletes = \"recycle\"").await;
        for side in SIDES {
            let to = other(side);
            for last in ["Plain", "Edited", "Retold"] {
                office.create(side, &format!("{last}{side:?}")).await;
            }
            office.run(false).await;
            let run = office.last_run().await;
            let source = office.id_of(side, &format!("Plain{side:?}")).await;
            let copies = [
                office.id_of(to, &format!("Plain{side:?}")).await,
                office.id_of(to, &format!("Edited{side:?}")).await,
                office.id_of(to, &format!("Retold{side:?}")).await,
            ];
            // An edit that was told to the other side is one, too.
            office.edit(to, &copies[2], "Title", "Head buyer").await;
            office.run(false).await;
            office.edit(to, &copies[1], "Department", "Somebody's").await;
            // Another edit at the source is ours in the copy.
            office.edit(side, &source, "Title", "Seller").await;
            office.run(false).await;

            let preview = office.undo(run, false).await;
            assert_eq!(acts(&preview), [(UndoAct::Recycle, copies[0].as_str())], "{preview:?}");
            let mut stay = reasons_to_stay(&preview);
            stay.sort_unstable();
            let mut expected = vec![
                (copies[1].as_str(), "Department was changed since, by people or by the CRM itself"),
                (copies[2].as_str(), "Title was changed since, by people or by the CRM itself"),
            ];
            expected.sort_unstable();
            assert_eq!(stay, expected);
            assert_eq!(preview.written, 0);
            assert!(office.named(to, &format!("Plain{side:?}")).await.is_some(), "only told");

            let done = office.undo(run, true).await;
            assert_eq!((done.written, done.not_written), (1, 0), "{done:?}");
            let gone = async || office.named(to, &format!("Plain{side:?}")).await.is_none();
            assert!(gone().await);
            assert_eq!(office.reasons(&source).await, ["left-alone"]);
            office.is_at_rest().await;
            assert!(gone().await, "it is not copied again by itself");
            assert_eq!(office.id_of(side, &format!("Plain{side:?}")).await, source, "the survivor stays");
            assert_eq!(office.reasons(&source).await, ["left-alone"]);
            assert!(office.named(to, &format!("Edited{side:?}")).await.is_some());
            let twice = office.undo(run, true).await;
            assert_eq!((acts(&twice), twice.written), (vec![], 0));

            // The guide says how to sync it after all.
            let guide = service::guide("left-alone");
            assert!(guide.fix.contains("`new`") && guide.answers.contains(&AnswerWord::New));
            office.decide(&source, AnswerWord::New).await;
            office.run(false).await;
            office.is_at_rest().await;
            assert!(office.named(to, &format!("Plain{side:?}")).await.is_some());
        }
    });
}

/// Does something at the moment when the writes of an undo are about to be planned.
struct Meanwhile<F: Fn() + Send + Sync>(AtomicBool, F);

impl<F: Fn() + Send + Sync> Progress for Meanwhile<F> {
    fn step(&self, what: &str, _done: u64, _of: Option<u64>) {
        if what.starts_with("take back") && !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

#[test]
fn an_edit_in_the_last_moment_keeps_a_created_record() {
    run(async {
        for (side, seed) in SIDES.into_iter().zip([4, 5]) {
            let office = Arc::new(Office::open(seed, "deletes = \"recycle\"").await);
            office.create(side, "Late").await;
            office.run(false).await;
            let (run, copy) = (office.last_run().await, office.id_of(other(side), "Late").await);
            let (editor, edited, handle) = (Arc::clone(&office), copy.clone(), tokio::runtime::Handle::current());
            let edit = move || {
                tokio::task::block_in_place(|| {
                    handle.block_on(editor.edit(other(side), &edited, "Department", "Just now"))
                });
            };
            let done = office.undo_watched(run, true, Arc::new(Meanwhile(AtomicBool::new(false), edit))).await;
            assert_eq!((done.written, done.not_written), (0, 1), "{done:?}");
            assert_eq!(office.id_of(other(side), "Late").await, copy);
            office.run(false).await;
            office.is_at_rest().await;
            let source = office.named(side, "Late").await.unwrap();
            assert_eq!(source[field_name(side, "Department")], "Just now", "they are linked as before");
        }
    });
}

#[test]
fn what_others_hang_on_stays_and_is_named() {
    run(async {
        let office = Office::of_all_modules(6).await;
        let crms = &office.workplace.crms;
        let founded = async |name: &str, last: &str| {
            let account = crms.create_in(Side::Zoho, "Accounts", &json!({ "Account_Name": name })).await.unwrap();
            let contact = json!({ "Last_Name": last, "Account_Name": { "id": account } });
            crms.create_in(Side::Zoho, "Contacts", &contact).await.unwrap();
        };
        founded("Alone Ltd", "Founder").await;
        founded("Shared Ltd", "Partner").await;
        office.run(false).await;
        let run = office.last_run().await;
        let accounts = async |name: &str| {
            let records = crms.records_of(Side::Vtiger, "Accounts").await.unwrap();
            records.iter().find(|record| record["accountname"] == name).map(id)
        };
        let (alone, shared) = (accounts("Alone Ltd").await.unwrap(), accounts("Shared Ltd").await.unwrap());
        // Somebody adds a contact of their own to one of them.
        let own = json!({ "lastname": "Newcomer", "account_id": shared });
        let own = crms.create_in(Side::Vtiger, "Contacts", &own).await.unwrap();
        office.workplace.crms.advance(APART_MS).await.unwrap();

        let preview = office.undo(run, false).await;
        assert_eq!(
            reasons_to_stay(&preview),
            [(shared.as_str(), format!("Contacts/{own} points to it, and stays").as_str())]
        );
        assert_eq!(preview.records.len(), 3, "{preview:?}");
        let done = office.undo(run, true).await;
        assert_eq!((done.written, done.not_written), (3, 0), "{done:?}");
        assert_eq!((accounts("Alone Ltd").await, accounts("Shared Ltd").await), (None, Some(shared)));
        for last in ["Founder", "Partner"] {
            assert!(office.named(Side::Vtiger, last).await.is_none());
            assert!(office.named(Side::Zoho, last).await.is_some());
        }
        let order: Vec<&str> = done.records.iter().map(|record| record.module.as_str()).collect();
        assert_eq!(order, ["Contacts", "Contacts", "Accounts"], "what points to others goes first");
        assert!(!alone.is_empty());
        office.run(false).await;
        office.is_at_rest().await;
    });
}

#[test]
fn what_was_deleted_for_a_delete_is_created_again_and_stays() {
    run(async {
        let office = Office::open(7, "deletes = \"recycle\"").await;
        for (number, side) in SIDES.into_iter().enumerate() {
            let to = other(side);
            let last = format!("Lost{number}");
            let source = office.create(side, &last).await;
            office.run(false).await;
            let copy = office.id_of(to, &last).await;
            office.workplace.crms.delete(side, &source).await.unwrap();
            office.run(true).await;
            assert!(office.named(to, &last).await.is_none());
            let run = office.last_run().await;

            let preview = office.undo(run, false).await;
            assert_eq!(acts(&preview), [(UndoAct::Create, copy.as_str())], "{preview:?}");
            let what = &preview.records[0].told;
            assert!(
                what.contains("new id") && what.contains("attachments") && what.contains("do not come back"),
                "{what}"
            );
            // The answer to the create is lost: nothing is doubled for that.
            let lost =
                json!({ "faults": [{ "on": { "kind": "write", "times": 1 }, "do": { "type": "cut_after_commit" } }] });
            office.workplace.crms.faults(to, &lost).await.unwrap();
            let request = UndoRequest { runs: Some((run, run)), go: true, ..UndoRequest::default() };
            let done =
                service::undo(&office.workplace.app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await.unwrap();
            assert_eq!(acts(&done), acts(&preview));
            office.workplace.crms.faults(to, &json!({ "faults": [] })).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(QUIESCE_MS + 400)).await;
            office.run(true).await;

            let back = office.named(to, &last).await.expect("it is back");
            assert_ne!(id(&back), copy);
            assert_eq!(back[field_name(to, "Title")], "Buyer");
            office.is_at_rest().await;
            let about = if side == Side::Zoho { source.clone() } else { id(&back) };
            assert_eq!(office.reasons(&about).await, ["removed"], "it stays, and says why it is alone");
            let again = office.undo(run, true).await;
            assert_eq!(acts(&again), [], "{again:?}");
            assert!(again.kept[0].why_not.contains("brought back already"), "{again:?}");

            // And the other one as well, if that is wanted.
            office.decide(&id(&back), AnswerWord::Restore).await;
            office.run(false).await;
            office.is_at_rest().await;
            office.edit(to, &id(&back), "Title", "Director").await;
            office.run(false).await;
            let restored = office.named(side, &last).await.expect("both are back");
            assert_eq!(restored[field_name(side, "Title")], "Director");
        }
    });
}

#[test]
fn a_mark_is_taken_off() {
    run(async {
        let mark = "deletes = \"mark\"\nmark = { zoho = \"Fax\", vtiger = \"fax\", value = \"deleted elsewhere\" }";
        let office = Office::open(8, mark).await;
        for (number, side) in SIDES.into_iter().enumerate() {
            let to = other(side);
            let lasts = [format!("Marked{number}"), format!("Typed{number}")];
            for last in &lasts {
                office.create(side, last).await;
            }
            office.run(false).await;
            for last in &lasts {
                let source = office.id_of(side, last).await;
                office.workplace.crms.delete(side, &source).await.unwrap();
            }
            office.run(true).await;
            let (run, fax) = (office.last_run().await, if to == Side::Zoho { "Fax" } else { "fax" });
            let copies = [office.id_of(to, &lasts[0]).await, office.id_of(to, &lasts[1]).await];
            office.edit(to, &copies[1], "Fax", "+49 1").await;
            office.workplace.crms.advance(APART_MS).await.unwrap();
            let preview = office.undo(run, false).await;
            assert_eq!(acts(&preview), [(UndoAct::Unmark, copies[0].as_str())], "{preview:?}");
            assert_eq!(
                reasons_to_stay(&preview),
                [(copies[1].as_str(), format!("`{fax}` was changed since").as_str())]
            );
            let done = office.undo(run, true).await;
            assert_eq!((done.written, done.not_written), (1, 0), "{done:?}");
            let shown =
                async |last: &str| office.named(to, last).await.unwrap()[fax].as_str().unwrap_or_default().to_owned();
            assert_eq!((shown(&lasts[0]).await, shown(&lasts[1]).await), (String::new(), "+49 1".to_owned()));
            office.is_at_rest().await;
            assert_eq!(shown(&lasts[0]).await, "", "it is not marked again");
        }
    });
}

#[test]
fn conflicts_are_settled_anew_after_the_winner_was_switched() {
    run(async {
        let office =
            Office::open(9, "deletes = \"mark\"\nmark = { zoho = \"Fax\", vtiger = \"fax\", value = \"x\" }").await;
        let mut pairs = Vec::new();
        for last in ["Switched", "Edited", "Agreed"] {
            let left = office.create(Side::Zoho, last).await;
            office.run(false).await;
            pairs.push((left, office.id_of(Side::Vtiger, last).await));
        }
        for (left, right) in &pairs {
            office.edit(Side::Zoho, left, "Title", "Zoho's").await;
            office.edit(Side::Vtiger, right, "Title", "Vtiger's").await;
        }
        office.run(false).await;
        let titles = async |last: &str| {
            let mut titles = Vec::new();
            for side in SIDES {
                let record = office.named(side, last).await.unwrap();
                titles.push(record[field_name(side, "Title")].as_str().unwrap().to_owned());
            }
            titles
        };
        assert_eq!(titles("Switched").await, ["Zoho's", "Zoho's"]);
        let settle = async |go: bool| {
            let request = UndoRequest { go, ..UndoRequest::default() };
            service::settle(&office.workplace.app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await
        };
        assert_eq!(settle(false).await.map_err(told).unwrap().values, [], "they ended as they would today");

        let settings = [("winner".to_owned(), "vtiger".to_owned())];
        service::set(&office.workplace.app, LOCAL_TENANT, FLOW, &settings).await.map_err(told).unwrap();
        assert_eq!(settle(true).await.unwrap_err().code, "flow.not_approved");
        office.workplace.preview_and_approve().await.unwrap();
        // One was edited since, told to the other side; one was mended at one screen only now.
        office.edit(Side::Zoho, &pairs[1].0, "Title", "Newer").await;
        office.run(false).await;
        let preview = settle(false).await.map_err(told).unwrap();
        let told_values: Vec<_> = preview
            .values
            .iter()
            .map(|value| (value.record.as_str(), value.now.as_str(), value.then.as_str()))
            .collect();
        let mut expected: Vec<(&str, &str, &str)> = [&pairs[0], &pairs[2]]
            .into_iter()
            .flat_map(|(left, right)| [(right.as_str(), "Zoho's", "Vtiger's"), (left.as_str(), "Zoho's", "Vtiger's")])
            .collect();
        let mut sorted = told_values.clone();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "{preview:?}");
        assert_eq!(titles("Switched").await, ["Zoho's", "Zoho's"], "only told");
        office.edit(Side::Vtiger, &pairs[2].1, "Title", "Typed now").await;
        office.workplace.crms.advance(APART_MS).await.unwrap();

        let done = settle(true).await.map_err(told).unwrap();
        assert_eq!((done.written, done.not_written, done.values.len()), (2, 0, 2), "{done:?}");
        assert_eq!(
            reasons_to_stay(&done),
            [(pairs[2].1.as_str(), "it was changed since, by people or by the CRM itself")]
        );
        office.run(false).await;
        office.is_at_rest().await;
        assert_eq!(titles("Switched").await, ["Vtiger's", "Vtiger's"]);
        assert_eq!(titles("Edited").await, ["Newer", "Newer"]);
        assert_eq!(titles("Agreed").await, ["Typed now", "Typed now"]);
        assert_eq!(settle(false).await.map_err(told).unwrap().values, []);
    });
}

#[test]
fn a_conflict_that_is_settled_on_one_side_only_is_told_to_the_other_by_the_next_run() {
    run(async {
        let office = Office::open(11, "deletes = \"recycle\"").await;
        let left = office.create(Side::Zoho, "Halfway").await;
        office.run(false).await;
        let right = office.id_of(Side::Vtiger, "Halfway").await;
        office.edit(Side::Zoho, &left, "Title", "Zoho's").await;
        office.edit(Side::Vtiger, &right, "Title", "Vtiger's").await;
        office.run(false).await;
        let settings = [("winner".to_owned(), "vtiger".to_owned())];
        service::set(&office.workplace.app, LOCAL_TENANT, FLOW, &settings).await.map_err(told).unwrap();
        office.workplace.preview_and_approve().await.unwrap();
        // One side takes nothing this time.
        let refusal = json!({ "type": "status", "status": 503, "body": "<h1>Service Unavailable</h1>" });
        let plan = json!({ "faults": [{ "on": { "kind": "write", "times": 3 }, "do": refusal }] });
        office.workplace.crms.faults(Side::Zoho, &plan).await.unwrap();
        let request = UndoRequest { go: true, ..UndoRequest::default() };
        let _half = service::settle(&office.workplace.app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await;
        office.workplace.crms.faults(Side::Zoho, &json!({ "faults": [] })).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(QUIESCE_MS + 400)).await;
        office.workplace.crms.advance(APART_MS).await.unwrap();
        for _ in 0..3 {
            office.workplace.crms.advance(APART_MS).await.unwrap();
            office.workplace.run(false).await.unwrap();
        }
        office.is_at_rest().await;
        for side in SIDES {
            let record = office.named(side, "Halfway").await.unwrap();
            assert_eq!(record[field_name(side, "Title")], "Vtiger's", "{side:?}");
        }
    });
}

#[test]
fn an_id_that_both_crms_have_is_said_to_be_one_or_the_other() {
    run(async {
        let office = Office::open(12, "deletes = \"recycle\"").await;
        let left = office.create(Side::Zoho, "Namesake").await;
        office.run(false).await;
        let run = office.last_run().await;
        let right = office.id_of(Side::Vtiger, "Namesake").await;
        let app = &office.workplace.app;
        let find = async |name: &str| service::find_record(app, LOCAL_TENANT, FLOW, name).await;
        let place = async |name: &str| find(name).await.map_err(told).unwrap().unwrap();
        for name in [left.clone(), format!("zoho:{left}"), format!("zoho:Contacts/{left}")] {
            assert_eq!(
                (place(&name).await.side, place(&name).await.id),
                (crmsync_core::Side::Left, left.clone()),
                "{name}"
            );
        }
        assert_eq!(place(&format!("vtiger:{right}")).await.side, crmsync_core::Side::Right);
        for unknown in [format!("vtiger:{left}"), format!("zoho:Leads/{left}"), "sap:17".to_owned()] {
            assert!(find(&unknown).await.map_err(told).unwrap().is_none(), "{unknown}");
        }

        // The sandboxes never give one id twice; another sync log does.
        let database = rusqlite::Connection::open(office.workplace.data().join("crmsync.db")).unwrap();
        let same = database.execute("UPDATE journal SET left_id = ?1 WHERE right_id = ?1", [&right]).unwrap();
        assert!(same > 0);
        drop(database);
        let failure = find(&right).await.unwrap_err();
        assert_eq!(failure.code, "record.which");
        for name in [format!("zoho:Contacts/{right}"), format!("vtiger:Contacts/{right}")] {
            assert!(failure.message.contains(&name), "{}", failure.message);
            assert_eq!(place(&name).await.id, right);
        }
        assert_eq!(service::story(app, LOCAL_TENANT, FLOW, &right).await.unwrap_err().code, "record.which");
        let story = service::story(app, LOCAL_TENANT, FLOW, &format!("vtiger:{right}")).await.map_err(told).unwrap();
        assert_eq!(story.ids[1], right);
        let record = Some(place(&format!("vtiger:{right}")).await);
        let request = UndoRequest { record, runs: Some((run, run)), ..UndoRequest::default() };
        let told_of = service::undo(app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await.map_err(told).unwrap();
        assert_eq!(told_of.kept.iter().map(|kept| kept.record.as_str()).collect::<Vec<_>>(), [right.as_str()]);
    });
}
