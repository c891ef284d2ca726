//! Deletes over both sandbox CRMs: what the flow says is done, an edit survives, many at once wait for people, and a CRM that suddenly
//! shows nothing deletes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::{PairReport, RunReport};
use crmsync::service;
use crmsync_sandbox::history::{Call, CallKind};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::{FLOW, Workplace, flow_file};
use serde_json::json;

use crate::product::run;
use crate::reasons::LEADS;

const RECORDS: usize = 40;
const QUIESCE_MS: u64 = 600;
/// CRMs tell times in whole seconds.
const APART_MS: i64 = 1_300;

struct Story {
    workplace: Workplace,
    /// Linked records, Zoho's id and Vtiger's.
    pairs: Vec<[String; 2]>,
}

impl Story {
    /// A first sync that is done, and then a flow with these lines about deletes.
    async fn begin(seed: u64, deletes: &str) -> Story {
        Story::begin_with(Crms::here(RECORDS, seed).await.unwrap(), deletes).await
    }

    async fn begin_with(crms: Crms, deletes: &str) -> Story {
        let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
        let apply = async |text: &str| {
            service::apply(&workplace.app, LOCAL_TENANT, "people.toml", text).await.unwrap();
        };
        let flow = flow_file().replace("fields = \"default\"", "fields = \"default\"\nskip = [\"Fax\"]");
        apply(&flow).await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let changed = flow.replace("deletes      = \"report\"", deletes);
        assert_ne!(changed, flow);
        apply(&changed).await;
        // S6: what becomes of deletes is a setting that people approve.
        assert_eq!(workplace.run(false).await.unwrap_err().code, "flow.not_approved");
        workplace.preview_and_approve().await.unwrap();
        let log = workplace.log().await.unwrap();
        let linked = log.into_iter().filter(|line| line.action == "linked" || line.action == "created");
        // Where something is left out or asked, the other side still has news, and a delete is a person's matter.
        let open = workplace.outcomes().await.unwrap();
        let pairs = linked
            .filter(|line| open.iter().all(|outcome| outcome.record != line.left_id && outcome.record != line.right_id))
            .map(|line| [line.left_id, line.right_id])
            .collect();
        Story { workplace, pairs }
    }

    async fn run(&self, sweep: bool) -> RunReport {
        self.workplace.crms.advance(APART_MS).await.unwrap();
        self.workplace.run(sweep).await.unwrap()
    }

    async fn delete(&self, side: Side, pair: usize) {
        self.workplace.crms.delete(side, &self.pairs[pair][side as usize]).await.unwrap();
    }

    async fn ids(&self, side: Side) -> BTreeSet<String> {
        let records = self.workplace.crms.records(side).await.unwrap();
        records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Pairs whose Vtiger record belongs to somebody else than the user who is logged in there.
    async fn of_others(&self) -> Vec<usize> {
        let records = self.workplace.crms.records(Side::Vtiger).await.unwrap();
        let is_other = |pair: &usize| {
            let known = |record: &&serde_json::Value| record["id"] == *self.pairs[*pair][Side::Vtiger as usize];
            records.iter().find(known).is_some_and(|record| record["assigned_user_id"] != "19x1")
        };
        (0..self.pairs.len()).filter(is_other).collect()
    }

    /// What Vtiger was asked for data in a run with nothing to do, when nothing is in doubt any more.
    async fn quiet_run(&self) -> Vec<String> {
        for _ in 0..4 {
            self.workplace.hours_pass(2).await.unwrap();
            self.run(false).await;
        }
        let calls = async || self.workplace.crms.calls(Side::Vtiger).await.unwrap();
        let place = calls().await.last().map_or(0, |call| call.seq);
        assert_eq!(writes(&self.run(false).await), 0);
        let is_data = |call: &Call| call.seq > place && matches!(call.kind, CallKind::Read | CallKind::Write);
        calls().await.into_iter().filter(is_data).map(|call| call.path).collect()
    }

    async fn has(&self, side: Side, pair: usize) -> bool {
        self.ids(side).await.contains(&self.pairs[pair][side as usize])
    }

    async fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for outcome in self.workplace.outcomes().await.unwrap() {
            *reasons.entry(outcome.reason).or_default() += 1;
        }
        reasons
    }

    async fn held(&self) -> u64 {
        let flows = service::list_flows(&self.workplace.app, LOCAL_TENANT).await.unwrap();
        flows[0].held_removals.iter().map(|held| held.removed).sum()
    }
}

fn deleted(report: &RunReport) -> [u64; 2] {
    let PairReport { deleted_left, deleted_right, .. } = report.pairs[0];
    [deleted_left, deleted_right]
}

fn writes(report: &RunReport) -> u64 {
    let pair = &report.pairs[0];
    let [deleted_left, deleted_right] = deleted(report);
    let marked = pair.marked_left + pair.marked_right;
    pair.created_left
        + pair.created_right
        + pair.updated_left
        + pair.updated_right
        + marked
        + deleted_left
        + deleted_right
}

#[test]
fn a_delete_moves_the_other_record_to_the_bin_and_an_edit_survives_it() {
    run(async {
        let story = Story::begin(3, "deletes = \"recycle\"").await;
        story.delete(Side::Zoho, 0).await;
        story.delete(Side::Vtiger, 1).await;
        story.delete(Side::Zoho, 2).await;
        let edit = BTreeMap::from([("Description", "typed after the delete".to_owned())]);
        story.workplace.crms.edit(Side::Vtiger, &story.pairs[2][1], &edit).await.unwrap();
        let report = story.run(true).await;
        assert_eq!(deleted(&report), [1, 1], "{report:?}");
        assert_eq!(report.alarms, [""; 0], "{report:?}");
        assert!(!story.has(Side::Vtiger, 0).await && !story.has(Side::Zoho, 1).await);
        assert!(story.has(Side::Vtiger, 2).await, "the edit survives");
        assert_eq!(story.reasons().await.get("delete-against-edit"), Some(&1));
        let log = story.workplace.log().await.unwrap();
        let lines: Vec<_> = log.iter().filter(|line| line.action == "deleted").collect();
        assert_eq!(lines.len(), 2);
        for line in lines {
            let kept: BTreeMap<String, serde_json::Value> = serde_json::from_str(&line.before).unwrap();
            assert!(kept.contains_key("Last_Name=lastname") && kept.contains_key("Owner=assigned_user_id"), "{kept:?}");
        }
        for _ in 0..2 {
            assert_eq!(writes(&story.run(true).await), 0, "nothing is left to do");
        }
    });
}

#[test]
fn a_mark_says_that_the_other_record_was_deleted() {
    run(async {
        let mark = "deletes = \"mark\"\nmark = { zoho = \"Fax\", vtiger = \"fax\", value = \"deleted elsewhere\" }";
        let story = Story::begin(4, mark).await;
        story.delete(Side::Zoho, 0).await;
        story.delete(Side::Vtiger, 1).await;
        let report = story.run(true).await;
        let pair = &report.pairs[0];
        assert_eq!((pair.marked_left, pair.marked_right, deleted(&report)), (1, 1, [0, 0]), "{report:?}");
        for (side, pair, field) in [(Side::Vtiger, 0, "fax"), (Side::Zoho, 1, "Fax")] {
            let records = story.workplace.crms.records(side).await.unwrap();
            let id = &story.pairs[pair][side as usize];
            let record = records.iter().find(|record| record["id"] == **id).expect("it stays");
            assert_eq!(record[field], "deleted elsewhere");
        }
        for _ in 0..2 {
            assert_eq!(writes(&story.run(true).await), 0, "nothing is left to do");
        }
    });
}

#[test]
fn many_deletes_at_once_wait_until_people_consent() {
    run(async {
        let story = Story::begin(5, "deletes = \"recycle\"").await;
        let many = story.pairs.len() * 3 / 10;
        let refused = service::approve_deletes(&story.workplace.app, LOCAL_TENANT, FLOW).await.unwrap_err();
        assert_eq!(refused.code, "flow.nothing_held");
        // Zoho announces what was deleted; in Vtiger known records are looked for.
        for (round, side) in SIDES.into_iter().enumerate() {
            let other = SIDES[1 - round];
            let first = round * many;
            for pair in first..first + many {
                story.delete(side, pair).await;
            }
            for _ in 0..2 {
                let report = story.run(round == 1).await;
                assert_eq!(deleted(&report), [0, 0], "{side:?}: {report:?}");
                assert_eq!(report.pairs[0].held_removals, many as u64, "{side:?}: {report:?}");
                let alarm = report.alarms.join("\n");
                assert!(alarm.contains("crmsync flow approve people --deletes"), "{side:?}: {alarm}");
                assert!(alarm.contains(&many.to_string()), "{side:?}: {alarm}");
            }
            assert_eq!(story.held().await, many as u64);
            let present = story.ids(other).await;
            assert!((first..first + many).all(|pair| present.contains(&story.pairs[pair][other as usize])));
            service::approve_deletes(&story.workplace.app, LOCAL_TENANT, FLOW).await.unwrap();
            let report = story.run(false).await;
            assert_eq!(deleted(&report)[other as usize], many as u64, "{side:?}: {report:?}");
            assert_eq!(report.alarms, [""; 0], "{side:?}");
            let present = story.ids(other).await;
            assert!((first..first + many).all(|pair| !present.contains(&story.pairs[pair][other as usize])));
            assert_eq!(story.held().await, 0, "the consent is used up");
        }
        assert_eq!(writes(&story.run(true).await), 0);
    });
}

#[test]
fn a_crm_that_suddenly_shows_nothing_deletes_nothing() {
    run(async {
        let story = Story::begin(6, "deletes = \"recycle\"").await;
        let empty = json!({ "faults": [{ "on": { "kind": "read", "times": 1_000 }, "do": { "type": "empty_list" } }] });
        for (pair, side) in SIDES.into_iter().enumerate() {
            let before = [story.ids(Side::Zoho).await, story.ids(Side::Vtiger).await];
            story.delete(side, pair).await;
            story.workplace.crms.faults(side, &empty).await.unwrap();
            story.workplace.crms.advance(APART_MS).await.unwrap();
            // A run may fail on such answers; what counts is that it deletes nothing and says why.
            let said = match story.workplace.run(true).await {
                Ok(report) => report.alarms.join("\n"),
                Err(failure) => failure.message,
            };
            assert!(said.contains("nothing is taken for deleted"), "{side:?}: {said}");
            let other = SIDES[1 - side as usize];
            assert_eq!(story.ids(other).await, before[other as usize], "{side:?}");
            // Once it answers again, the one record that was deleted is.
            story.workplace.crms.faults(side, &json!({ "faults": [] })).await.unwrap();
            assert_eq!(deleted(&story.run(true).await)[other as usize], 1, "{side:?}");
            assert_eq!(story.ids(other).await.len() + 1, before[other as usize].len(), "{side:?}");
        }
    });
}

/// One side's list shows too little while one record was really deleted there: only that one goes, and people are told why.
async fn nothing_else_goes(story: &Story, side: Side, pair: usize, veil: impl AsyncFn(&Crms), cause: &str) {
    let other = SIDES[1 - side as usize];
    let before = story.ids(other).await;
    story.delete(side, pair).await;
    veil(&story.workplace.crms).await;
    let mut said = String::new();
    for _ in 0..2 {
        // Once the real delete has gone over, both count alike again, and nobody looks.
        said.push_str(&story.run(true).await.alarms.join("\n"));
        let gone: Vec<String> = before.difference(&story.ids(other).await).cloned().collect();
        assert!(gone.is_empty() || gone == [story.pairs[pair][other as usize].clone()], "{side:?}: {gone:?} {said}");
    }
    assert!(said.contains("nothing is taken for deleted") && said.contains(cause), "{side:?}: {said}");
}

#[test]
fn an_answer_that_is_cut_short_deletes_nothing() {
    run(async {
        let story = Story::begin(8, "deletes = \"recycle\"").await;
        let cut = json!({ "faults": [{ "on": { "kind": "read", "times": 1_000 }, "do": { "type": "cut_list", "rows": 5 } }] });
        let veil = async |crms: &Crms| crms.faults(Side::Vtiger, &cut).await.unwrap();
        nothing_else_goes(&story, Side::Vtiger, 0, veil, "left out of its answers").await;
        story.workplace.crms.faults(Side::Vtiger, &json!({})).await.unwrap();
        story.run(true).await;
        assert!(!story.has(Side::Zoho, 0).await, "the delete goes over");
    });
}

#[test]
fn a_user_who_loses_rights_deletes_nothing() {
    run(async {
        let story = Story::begin(9, "deletes = \"recycle\"").await;
        // In Vtiger the running session still says that the user is an administrator.
        for (pair, side, cause) in
            [(0, Side::Zoho, "what this login may see changed"), (1, Side::Vtiger, "hidden from this login")]
        {
            let veil = async |crms: &Crms| crms.grant(side, false, 20).await.unwrap();
            nothing_else_goes(&story, side, pair, veil, cause).await;
            story.workplace.crms.grant(side, true, 0).await.unwrap();
            story.run(true).await;
            assert!(!story.has(SIDES[1 - side as usize], pair).await, "{side:?}: afterwards the delete goes over");
        }
    });
}

#[test]
fn what_is_hidden_from_a_user_without_all_rights_is_not_deleted() {
    run(async {
        let crms = Crms::here(RECORDS, 10).await.unwrap();
        for side in SIDES {
            crms.grant(side, false, 0).await.unwrap();
        }
        let story = Story::begin_with(crms, "deletes = \"recycle\"").await;
        for (pair, side) in SIDES.into_iter().enumerate() {
            // Fewer than the safety stop would hold.
            let veil = async |crms: &Crms| crms.grant(side, false, 4).await.unwrap();
            nothing_else_goes(&story, side, pair, veil, "hidden from this login").await;
            story.workplace.crms.grant(side, false, 0).await.unwrap();
            story.run(true).await;
            assert!(!story.has(SIDES[1 - side as usize], pair).await, "{side:?}: afterwards the delete goes over");
        }
    });
}

/// Vtiger's `sync` tells deletes together with changes, on servers where it works and lists the records of all users. On others nothing
/// but queries and the sweep can be relied on. Either way a run without news is one call.
#[test]
fn a_vtiger_that_lists_deletes_needs_no_sweep() {
    run(async {
        for (seed, profile, listed) in [(12, "repaired", true), (13, "own_sync", false), (14, "default", false)] {
            let crms = Crms::here_as(RECORDS, seed, ["default", profile]).await.unwrap();
            let story = Story::begin_with(crms, "deletes = \"recycle\"").await;
            let quiet = story.quiet_run().await;
            let operation = if listed { "operation=sync" } else { "operation=query" };
            assert!(quiet.len() == 1 && quiet[0].contains(operation), "{profile}: {quiet:?}");
            let others = story.of_others().await;
            story.delete(Side::Vtiger, others[0]).await;
            let report = story.run(false).await;
            assert_eq!(deleted(&report), [u64::from(listed), 0], "{profile}: {report:?}");
            assert_eq!(report.alarms, [""; 0], "{profile}");
            let edit = BTreeMap::from([("Description", "typed by somebody else".to_owned())]);
            story.workplace.crms.edit(Side::Vtiger, &story.pairs[others[1]][1], &edit).await.unwrap();
            let report = story.run(false).await;
            assert_eq!(report.pairs[0].updated_left, 1, "{profile}: {report:?}");
            // Whoever edits makes the sweep due.
            assert_eq!(deleted(&report), [u64::from(!listed), 0], "{profile}: {report:?}");
            assert!(!story.has(Side::Zoho, others[0]).await, "{profile}");
            for _ in 0..2 {
                assert_eq!(writes(&story.run(true).await), 0, "{profile}: nothing is left to do");
            }
        }
    });
}

/// A flow whose deletes travel; its modules follow.
const RECYCLES: &str = r#"
format = 1
name = "people"
between = ["zoho", "vtiger"]
winner = "zoho"
deletes = "recycle"
[owners]
fallback = { zoho = "office@acme.example", vtiger = "office@acme.example" }
"#;

#[test]
fn a_converted_lead_is_no_deleted_one() {
    run(one_of_three_leads_is_deleted("default", true));
}

/// The same where `sync` lists converted leads as deleted ones, without a sweep.
#[test]
fn a_converted_lead_that_is_listed_as_deleted_is_none() {
    run(one_of_three_leads_is_deleted("repaired", false));
}

async fn one_of_three_leads_is_deleted(profile: &str, sweep: bool) {
    let crms = Crms::here_as(0, 7, ["default", profile]).await.unwrap();
    let lead = |name: &str| {
        json!({ "module": "Leads", "set":
                { "Last_Name": name, "Company": format!("{name} Ltd"), "Email": format!("{name}@lead.example") } })
    };
    for name in ["Anders", "Berg", "Conti"] {
        crms.screen(Side::Zoho, "create", &lead(name)).await.unwrap();
    }
    let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
    service::apply(&workplace.app, LOCAL_TENANT, "people.toml", &format!("{RECYCLES}{LEADS}")).await.unwrap();
    workplace.preview_and_approve().await.unwrap();
    workplace.crms.advance(APART_MS).await.unwrap();
    workplace.run(false).await.unwrap();
    let log = workplace.log().await.unwrap();
    let ours = log.iter().filter(|line| line.action == "created" && line.after.contains("@lead.example"));
    let pairs: Vec<_> = ours.map(|line| (&line.left_id, &line.right_id)).collect();
    assert_eq!(pairs.len(), 3, "{log:?}");
    if !sweep {
        // The next walk knows where it is, and the one behind it what `sync` is good for.
        for _ in 0..2 {
            workplace.crms.advance(APART_MS).await.unwrap();
            workplace.run(false).await.unwrap();
        }
    }
    // One is converted in Zoho, which lists converted leads when asked; one in Vtiger, which hides them; one is deleted in Vtiger.
    workplace.crms.screen(Side::Zoho, "convert", &json!({ "id": pairs[0].0 })).await.unwrap();
    workplace.crms.screen(Side::Vtiger, "convert", &json!({ "id": pairs[1].1 })).await.unwrap();
    workplace.crms.screen(Side::Vtiger, "delete", &json!({ "module": "Leads", "id": pairs[2].1 })).await.unwrap();
    workplace.crms.advance(APART_MS).await.unwrap();
    let report = workplace.run(sweep).await.unwrap();
    assert_eq!((deleted(&report), &report.alarms), ([1, 0], &vec![]), "{report:?}");
    let outcomes = workplace.outcomes().await.unwrap();
    let converted: Vec<_> = outcomes.iter().filter(|outcome| outcome.reason == "converted").collect();
    assert_eq!(converted.len(), 2, "{outcomes:?}");
    let left = |side: Side| {
        let crms = &workplace.crms;
        async move { crms.records_of(side, "Leads").await.unwrap() }
    };
    let has = |records: &[serde_json::Value], id: &str| records.iter().any(|record| record["id"] == *id);
    assert!(has(&left(Side::Vtiger).await, pairs[0].1), "the counterpart of a converted lead stays");
    assert!(has(&left(Side::Zoho).await, pairs[1].0), "the counterpart of a converted lead stays");
    assert!(!has(&left(Side::Zoho).await, pairs[2].0), "a delete is a delete");
    // A converted lead gets no more updates, and gives none.
    let edit = json!({ "module": "Leads", "id": pairs[0].1, "set": { "company": "Other Ltd" } });
    workplace.crms.screen(Side::Vtiger, "edit", &edit).await.unwrap();
    for _ in 0..2 {
        workplace.crms.advance(APART_MS).await.unwrap();
        let report = workplace.run(true).await.unwrap();
        assert_eq!((writes(&report), &report.alarms), (0, &vec![]), "{report:?}");
    }
    let outcomes = workplace.outcomes().await.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.reason == "converted").count(), 2, "{outcomes:?}");
}
