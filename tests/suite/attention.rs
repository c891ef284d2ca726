//! What people do about records that need them: which is which, links by hand, differences, deletes against edits, refused writes. Every
//! answer is carried out by the next run, and then the flow is at rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::UndoRequest;
use crmsync::service::{self, AnswerWord, Answered, Failure, PointFilter, Said};
use crmsync::store::OutcomeRow;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES, field_name};
use crmsync_tests::workplace::{FLOW, Silent, Workplace};
use serde_json::{Value, json};

use crate::product::run;

/// The CRMs' clocks are moved so far between people's work and runs, because a CRM tells times in whole seconds.
const APART_MS: i64 = 1_300;

struct Desk {
    workplace: Workplace,
}

impl Desk {
    /// After a first sync.
    async fn open(seed: u64) -> Desk {
        let crms = Crms::here(40, seed).await.unwrap();
        let workplace = Workplace::open(crms, 600).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        let desk = Desk { workplace };
        desk.run().await;
        desk
    }

    async fn run(&self) -> u64 {
        self.workplace.crms.advance(APART_MS).await.unwrap();
        let report = self.workplace.run(true).await.unwrap();
        assert_eq!(report.alarms, Vec::<String>::new());
        self.workplace.crms.advance(APART_MS).await.unwrap();
        let pair = &report.pairs[0];
        pair.created_left + pair.created_right + pair.updated_left + pair.updated_right
    }

    async fn is_at_rest(&self) {
        self.run().await;
        for _ in 0..2 {
            assert_eq!(self.run().await, 0, "a run with nothing to do wrote");
        }
    }

    async fn open_points(&self, reason: &str) -> Vec<OutcomeRow> {
        let outcomes = self.workplace.outcomes().await.unwrap();
        outcomes.into_iter().filter(|outcome| outcome.reason == reason).collect()
    }

    async fn decide(&self, filter: PointFilter, word: AnswerWord, with: Option<&str>) -> Result<Answered, Failure> {
        let said = Said { word, with: with.map(str::to_owned) };
        service::decide_attention(&self.workplace.app, LOCAL_TENANT, FLOW, &filter, &said).await
    }

    async fn decide_one(&self, record: &str, word: AnswerWord, with: Option<&str>) {
        let answered = self.decide(of(record), word, with).await.unwrap();
        assert_eq!((answered.done, answered.refused), (1, vec![]), "{record} {word:?}");
    }

    async fn records(&self, side: Side) -> BTreeMap<String, Value> {
        let records = self.workplace.crms.records(side).await.unwrap();
        records.into_iter().map(|record| (record["id"].as_str().unwrap().to_owned(), record)).collect()
    }

    /// (left, right) of all links, as the sync log tells of them.
    async fn partner(&self, left: &str) -> Option<String> {
        let story = service::story(&self.workplace.app, LOCAL_TENANT, FLOW, left).await.ok()?;
        Some(story.ids[1].clone()).filter(|id| !id.is_empty())
    }

    async fn edit(&self, side: Side, id: &str, field: &str, value: &str) {
        let set = BTreeMap::from([(field, value.to_owned())]);
        self.workplace.crms.edit(side, id, &set).await.unwrap();
    }

    /// A linked record that both sides show, left id and right id.
    async fn linked(&self) -> (String, String) {
        for id in self.records(Side::Zoho).await.into_keys() {
            if self.workplace.outcomes().await.unwrap().iter().all(|outcome| outcome.record != id)
                && let Some(partner) = self.partner(&id).await
            {
                return (id, partner);
            }
        }
        panic!("nobody is linked");
    }
}

fn of(record: &str) -> PointFilter {
    PointFilter { record: record.to_owned(), ..PointFilter::default() }
}

fn all_of(reason: &str, field: &str) -> PointFilter {
    PointFilter { reason: reason.to_owned(), field: field.to_owned(), ..PointFilter::default() }
}

fn is_of(point: &OutcomeRow, zoho_field: &str) -> bool {
    point.field.split('=').next() == Some(zoho_field)
}

fn shown(record: &Value, side: Side, field: &str) -> String {
    record[field_name(side, field)].as_str().unwrap_or_default().to_owned()
}

#[test]
fn which_record_is_which_is_said_by_a_person() {
    run(async {
        let desk = Desk::open(3).await;
        let app = &desk.workplace.app;
        let points = desk.open_points("more-than-one-match").await;
        let left: Vec<&OutcomeRow> = points.iter().filter(|point| point.side == "left").collect();
        assert!(!left.is_empty(), "this population has records with more than one match: {points:?}");
        let groups = service::list_attention(app, LOCAL_TENANT, Some(FLOW), &PointFilter::default()).await.unwrap();
        assert_eq!(groups.iter().map(|group| group.group.count).sum::<u64>(), points.len() as u64);

        let need = service::show_attention(app, LOCAL_TENANT, FLOW, &left[0].record).await.unwrap();
        assert!(!need.candidates.is_empty() && !need.values.is_empty(), "{need:?}");
        let before = [desk.records(Side::Zoho).await.len(), desk.records(Side::Vtiger).await.len()];
        let with = need.candidates[0].record.clone();
        desk.decide_one(&left[0].record, AnswerWord::Link, Some(&with)).await;
        desk.run().await;
        assert_eq!(desk.partner(&left[0].record).await.as_ref(), Some(&with));

        // Once this one is known, others of its group may be told apart.
        desk.is_at_rest().await;
        let after = [desk.records(Side::Zoho).await.len(), desk.records(Side::Vtiger).await.len()];
        assert!(after.iter().zip(before).all(|(after, before)| *after >= before), "nothing was deleted");
    });
}

#[test]
fn who_looks_like_a_record_that_is_left_alone_is_not_copied_next_to_it() {
    run(async {
        let desk = Desk::open(9).await;
        let somebody = BTreeMap::from([
            ("First_Name", "Dora".to_owned()),
            ("Last_Name", "Double".to_owned()),
            ("Email", "dora@double.example".to_owned()),
        ]);
        let crms = &desk.workplace.crms;
        let left = crms.create(Side::Zoho, &somebody).await.unwrap();
        let right = crms.create(Side::Vtiger, &somebody).await.unwrap();
        let other = crms.create(Side::Vtiger, &somebody).await.unwrap();
        desk.run().await;
        let counts = async || [desk.records(Side::Zoho).await.len(), desk.records(Side::Vtiger).await.len()];
        let is_open = async |record: &str| {
            desk.open_points("more-than-one-match").await.iter().any(|point| point.record == record)
        };
        assert!(is_open(&left).await && is_open(&right).await && is_open(&other).await);
        let [zoho, vtiger] = counts().await;

        desk.decide_one(&left, AnswerWord::LeaveAlone, None).await;
        desk.is_at_rest().await;
        assert_eq!(counts().await, [zoho, vtiger], "a look-alike was copied");
        // Alone with it, the last one is not taken for its counterpart either.
        crms.delete(Side::Vtiger, &other).await.unwrap();
        desk.is_at_rest().await;
        assert_eq!(counts().await, [zoho, vtiger - 1]);
        assert_eq!(desk.partner(&left).await, None);
        assert!(is_open(&right).await);

        // An answer outlives a CRM that shows nothing for a while, also when the record is no news any more that would be listed again.
        for _ in 0..3 {
            crms.advance(2 * 60 * 60 * 1_000).await.unwrap();
            desk.run().await;
        }
        desk.decide_one(&left, AnswerWord::New, None).await;
        let nothing = json!({"faults": [{"on": {"kind": "read", "times": 1_000}, "do": {"type": "empty_list"}}]});
        crms.faults(Side::Zoho, &nothing).await.unwrap();
        let _whatever_comes_of_it = desk.workplace.run(false).await;
        crms.faults(Side::Zoho, &json!({})).await.unwrap();
        desk.is_at_rest().await;
        assert!(desk.partner(&left).await.is_some(), "it is copied");
        assert_eq!(counts().await[1], vtiger, "once");
    });
}

#[test]
fn differences_are_settled_by_a_side_or_kept() {
    run(async {
        let desk = Desk::open(4).await;
        let points = desk.open_points("differs").await;
        let plain = ["Title", "Department", "Assistant", "Description", "Mailing_City", "Other_City"];
        let name = plain.into_iter().find(|name| points.iter().any(|point| is_of(point, name))).unwrap();
        let of_field: Vec<&OutcomeRow> = points.iter().filter(|point| is_of(point, name)).collect();
        let left_before = desk.records(Side::Zoho).await;
        let answered = desk.decide(all_of("differs", name), AnswerWord::Take, Some("vtiger")).await.unwrap();
        assert_eq!(answered.done, of_field.len() as u64);
        desk.run().await;
        let (left, right) = (desk.records(Side::Zoho).await, desk.records(Side::Vtiger).await);
        for point in &of_field {
            let partner = desk.partner(&point.record).await.unwrap();
            let value = shown(&right[&partner], Side::Vtiger, name);
            assert_eq!(shown(&left[&point.record], Side::Zoho, name), value);
            assert_ne!(shown(&left_before[&point.record], Side::Zoho, name), value);
            let story = service::story(&desk.workplace.app, LOCAL_TENANT, FLOW, &point.record).await.unwrap();
            assert!(story.lines.iter().any(|line| line.text.contains("a person chose vtiger's")), "{story:?}");
        }
        let scheduled = desk.workplace.app.store().scheduled(LOCAL_TENANT, 20).await.unwrap();
        let causes: Vec<&str> = scheduled[0].runs.iter().map(|run| run.cause.as_str()).collect();
        assert!(!causes.is_empty() && causes.iter().all(|cause| *cause == "asked"), "answers are no syncs: {causes:?}");
        let rest = desk.decide(all_of("differs", ""), AnswerWord::Keep, None).await.unwrap();
        assert!(rest.done > 0);
        desk.is_at_rest().await;
        assert_eq!(desk.open_points("differs").await, []);
    });
}

#[test]
fn unlinked_records_are_left_alone_until_they_are_linked_again() {
    run(async {
        let desk = Desk::open(5).await;
        let app = &desk.workplace.app;
        let (left, right) = desk.linked().await;
        let ids = service::unlink(app, LOCAL_TENANT, FLOW, &right).await.unwrap();
        assert_eq!(ids, [left.clone(), right.clone()]);
        desk.is_at_rest().await;
        desk.edit(Side::Zoho, &left, "Title", "Not your boss").await;
        desk.is_at_rest().await;
        assert_ne!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title"), "Not your boss");
        assert_eq!(desk.open_points("left-alone").await.len(), 2);

        let taken = service::link(app, LOCAL_TENANT, FLOW, None, [left.clone(), "12x99999".into()]).await;
        assert_eq!(taken.unwrap_err().code, "link.no_record");
        service::link(app, LOCAL_TENANT, FLOW, None, [left.clone(), right.clone()]).await.unwrap();
        desk.is_at_rest().await;
        desk.edit(Side::Zoho, &left, "Title", "Your boss").await;
        desk.is_at_rest().await;
        assert_eq!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title"), "Your boss");
        let twice = service::link(app, LOCAL_TENANT, FLOW, None, [left, right]).await;
        assert_eq!(twice.unwrap_err().code, "link.taken");
    });
}

#[test]
fn what_was_deleted_against_an_edit_is_restored_or_kept() {
    run(async {
        let desk = Desk::open(6).await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            let (left, right) = desk.linked().await;
            desk.workplace.crms.delete(Side::Vtiger, &right).await.unwrap();
            desk.edit(Side::Zoho, &left, "Title", "Still here").await;
            ids.push(left);
            desk.run().await;
        }
        assert_eq!(desk.open_points("delete-against-edit").await.len(), 2);
        let count = desk.records(Side::Vtiger).await.len();
        desk.decide_one(&ids[0], AnswerWord::Restore, None).await;
        desk.decide_one(&ids[1], AnswerWord::Keep, None).await;
        desk.is_at_rest().await;
        let right = desk.records(Side::Vtiger).await;
        assert_eq!(right.len(), count + 1, "one of them is created again");
        let partner = desk.partner(&ids[0]).await.unwrap();
        assert_eq!(shown(&right[&partner], Side::Vtiger, "Title"), "Still here");
        desk.edit(Side::Zoho, &ids[1], "Title", "And here").await;
        desk.is_at_rest().await;
        assert_eq!(desk.records(Side::Vtiger).await.len(), count + 1, "what is kept is not created");
        assert_eq!(desk.open_points("delete-against-edit").await, []);
    });
}

#[test]
fn a_refused_write_goes_on_after_its_cause_was_mended() {
    run(async {
        let desk = Desk::open(7).await;
        let (left, right) = desk.linked().await;
        let refusal = r#"{"success":false,"error":{"code":"ACCESS_DENIED","message":"Permission to perform the operation is denied"}}"#;
        let plan = json!({"faults": [{"on": {"kind": "write", "times": 50},
            "do": {"type": "status", "status": 200, "body": refusal, "content_type": "application/json"}}]});
        desk.workplace.crms.faults(Side::Vtiger, &plan).await.unwrap();
        desk.edit(Side::Zoho, &left, "Title", "Denied").await;
        desk.run().await;
        let refused = desk.open_points("refused-by-crm").await;
        assert_eq!(refused.len(), 1, "{:?}", desk.workplace.outcomes().await.unwrap());
        desk.workplace.crms.faults(Side::Vtiger, &json!({})).await.unwrap();
        assert_eq!(desk.run().await, 0, "nobody said that it was mended");
        let filter = all_of("refused-by-crm", "");
        assert_eq!(service::retry_attention(&desk.workplace.app, LOCAL_TENANT, FLOW, &filter).await.unwrap(), 1);
        desk.is_at_rest().await;
        assert_eq!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title"), "Denied");
        assert_eq!(desk.open_points("refused-by-crm").await, []);
    });
}

#[test]
fn an_answer_that_does_not_fit_changes_nothing() {
    run(async {
        let desk = Desk::open(4).await;
        let before = desk.workplace.outcomes().await.unwrap();
        let code = |answer: Result<Answered, Failure>| answer.unwrap_err().code;
        assert_eq!(code(desk.decide(PointFilter::default(), AnswerWord::Keep, None).await), "attention.which");
        assert_eq!(code(desk.decide(of("4711"), AnswerWord::Keep, None).await), "attention.nothing");
        assert_eq!(code(desk.decide(all_of("differs", ""), AnswerWord::Take, None).await), "attention.answer");
        assert_eq!(code(desk.decide(all_of("differs", ""), AnswerWord::Take, Some("sap")).await), "attention.answer");
        assert_eq!(code(desk.decide(all_of("differs", ""), AnswerWord::Link, Some("1")).await), "attention.one_record");
        let misfit = desk.decide(all_of("differs", ""), AnswerWord::Restore, None).await.unwrap();
        assert_eq!(misfit.done, 0);
        assert!(misfit.refused[0].contains("answers are take, keep"), "{:?}", misfit.refused);
        assert_eq!(desk.workplace.outcomes().await.unwrap().len(), before.len());
        for side in SIDES {
            assert!(!desk.records(side).await.is_empty());
        }
    });
}

#[test]
fn what_a_run_wrote_is_taken_back_but_no_newer_edit() {
    run(async {
        let desk = Desk::open(8).await;
        let app = &desk.workplace.app;
        let (left, right) = desk.linked().await;
        let title = shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title");
        desk.edit(Side::Zoho, &left, "Title", "Wrong").await;
        desk.edit(Side::Zoho, &left, "Department", "Wrong as well").await;
        desk.run().await;
        let run_number = service::runs(app, LOCAL_TENANT, FLOW, 1).await.unwrap()[0].id;
        assert_eq!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title"), "Wrong");
        // Somebody mends one of both at the other screen.
        desk.edit(Side::Vtiger, &right, "Department", "Mended").await;

        let undo = async |go: bool| {
            let request = UndoRequest { runs: Some((run_number, run_number)), go, ..UndoRequest::default() };
            service::undo(app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await.unwrap()
        };
        let told = undo(false).await;
        assert_eq!(told.written, 0);
        assert_eq!(told.values.iter().map(|value| value.now.as_str()).collect::<Vec<_>>(), ["Wrong"], "{told:?}");
        assert_eq!(
            told.kept.iter().map(|value| value.why_not.as_str()).collect::<Vec<_>>(),
            ["it was changed since, by people or by the CRM itself"]
        );
        assert_eq!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Title"), "Wrong", "only told");

        desk.workplace.crms.advance(APART_MS).await.unwrap();
        desk.run().await;
        let done = undo(true).await;
        assert_eq!((done.written, done.not_written), (1, 0), "{done:?}");
        desk.is_at_rest().await;
        let (zoho, vtiger) = (desk.records(Side::Zoho).await, desk.records(Side::Vtiger).await);
        assert_eq!(shown(&vtiger[&right], Side::Vtiger, "Title"), title, "taken back");
        assert_eq!(shown(&zoho[&left], Side::Zoho, "Title"), "Wrong", "the other side is left as it is");
        assert_eq!(shown(&vtiger[&right], Side::Vtiger, "Department"), "Mended");
        assert_eq!(shown(&zoho[&left], Side::Zoho, "Department"), "Mended");
        assert_eq!(desk.open_points("undone").await.len(), 1);
        desk.decide_one(&left, AnswerWord::Take, Some("vtiger")).await;
        desk.is_at_rest().await;
        assert_eq!(shown(&desk.records(Side::Zoho).await[&left], Side::Zoho, "Title"), title);
        // The same towards the CRM whose answers do not tell what was stored.
        let title = shown(&desk.records(Side::Zoho).await[&left], Side::Zoho, "Title");
        desk.edit(Side::Vtiger, &right, "Title", "Wrong there").await;
        desk.run().await;
        // Somebody works on another field of the record meanwhile: that is no reason against, and it is not lost.
        desk.edit(Side::Zoho, &left, "Department", "Meanwhile").await;
        let runs = service::runs(app, LOCAL_TENANT, FLOW, 1).await.unwrap();
        let request = UndoRequest { runs: Some((runs[0].id, runs[0].id)), go: true, ..UndoRequest::default() };
        let done = service::undo(app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await.unwrap();
        assert_eq!((done.written, done.not_written), (1, 0), "{done:?}");
        desk.is_at_rest().await;
        assert_eq!(shown(&desk.records(Side::Zoho).await[&left], Side::Zoho, "Title"), title);
        assert_eq!(desk.open_points("undone").await.len(), 1, "the difference stays noted");
        assert_eq!(shown(&desk.records(Side::Vtiger).await[&right], Side::Vtiger, "Department"), "Meanwhile");
        let nothing = service::undo(app, LOCAL_TENANT, FLOW, UndoRequest::default(), Arc::new(Silent)).await;
        assert_eq!(nothing.unwrap_err().code, "undo.what");
    });
}

#[test]
fn the_other_record_is_deleted_too_if_a_person_says_so() {
    run(async {
        let desk = Desk::open(10).await;
        let crms = &desk.workplace.crms;
        let mut ids = Vec::new();
        for edited in [false, true, false] {
            let (left, right) = desk.linked().await;
            crms.delete(Side::Vtiger, &right).await.unwrap();
            if edited {
                desk.edit(Side::Zoho, &left, "Title", "Still here").await;
            }
            desk.run().await;
            ids.push(left);
        }
        assert_eq!(
            (desk.open_points("removed").await.len(), desk.open_points("delete-against-edit").await.len()),
            (2, 1)
        );
        for id in &ids {
            desk.decide_one(id, AnswerWord::Delete, None).await;
        }
        // An edit that came after the answer survives it, and the question is asked again.
        desk.edit(Side::Zoho, &ids[2], "Title", "Back in business").await;
        desk.run().await;
        let left = desk.records(Side::Zoho).await;
        assert!(!left.contains_key(&ids[0]) && !left.contains_key(&ids[1]), "both are in the bin");
        assert!(left.contains_key(&ids[2]), "a newer edit survives the answer");
        let asked = desk.open_points("delete-against-edit").await;
        assert_eq!(asked.iter().map(|point| point.record.as_str()).collect::<Vec<_>>(), [ids[2].as_str()]);
        desk.is_at_rest().await;
        let log = desk.workplace.log().await.unwrap();
        let line = log.iter().find(|line| line.action == "deleted" && line.left_id == ids[0]).unwrap();
        assert!(line.detail.contains("a person said") && line.before.contains("Last_Name=lastname"), "{line:?}");
        desk.decide_one(&ids[2], AnswerWord::Delete, None).await;
        desk.is_at_rest().await;
        assert!(!desk.records(Side::Zoho).await.contains_key(&ids[2]));

        // Many at once wait for consent, as deletes of the flow do.
        for portion in [4, 3] {
            for _ in 0..portion {
                let (_, right) = desk.linked().await;
                crms.delete(Side::Vtiger, &right).await.unwrap();
                // The sync log knows it as linked until the next run; the next one is another one.
                desk.run().await;
            }
        }
        let count = desk.records(Side::Zoho).await.len();
        let answered = desk.decide(all_of("removed", ""), AnswerWord::Delete, None).await.unwrap();
        assert_eq!((answered.done, answered.refused), (7, vec![]));
        for _ in 0..2 {
            crms.advance(APART_MS).await.unwrap();
            let report = desk.workplace.run(true).await.unwrap();
            let alarm = report.alarms.join("; ");
            assert!(alarm.contains("7 to be deleted, too") && alarm.contains("--deletes"), "{alarm}");
            assert_eq!(desk.records(Side::Zoho).await.len(), count);
            assert_eq!(desk.open_points("safety-stop").await.len(), 7);
        }
        service::approve_deletes(&desk.workplace.app, LOCAL_TENANT, FLOW).await.unwrap();
        desk.run().await;
        assert_eq!(desk.records(Side::Zoho).await.len(), count - 7);
        desk.is_at_rest().await;
        assert_eq!(desk.open_points("safety-stop").await, []);
    });
}
