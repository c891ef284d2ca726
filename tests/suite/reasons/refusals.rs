//! Writes that a CRM refused, or never answered.

use crmsync::app::LOCAL_TENANT;
use crmsync::service::{self, AnswerWord};
use crmsync_core::decide::reason;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::Crms;
use serde_json::{Value, json};

use super::desk::{CONTACTS, Desk, QUIESCE_MS};
use crate::product::run;

/// Longer than what was tried in vain is left alone.
const HOUR_MS: i64 = 61 * 60 * 1_000;

/// Records with an organization's name, which Vtiger keeps unique.
const ORGANIZATIONS: &str = "[[module]]\nzoho = \"Accounts\"\nvtiger = \"Accounts\"\nfields = \"none\"\nmatch = []\ndirection = \"to-vtiger\"\n\
     [[module.field]]\nzoho = \"Account_Name\"\nvtiger = \"accountname\"\n[[module.field]]\nzoho = \"Owner\"\nvtiger = \"assigned_user_id\"\n";

fn denied() -> Value {
    let words = r#"{"success":false,"error":{"code":"ACCESS_DENIED","message":"Permission to write is denied"}}"#;
    json!({ "type": "status", "status": 200, "body": words, "content_type": "application/json" })
}

#[test]
pub(super) fn refused_by_crm() {
    run(async {
        let code = reason::REFUSED;
        let desk = Desk::open("", CONTACTS).await;
        // One field: the others go over, and the record waits for it.
        let right = desk.person(Side::Vtiger, "Misspelt", &[("Secondary_Email", "not an address")]).await;
        let [denied_left, denied_right] = desk.pair("Denied", &[]).await;
        desk.edit(Side::Zoho, &denied_left, "Title", "Chair").await;
        let created = desk.person(Side::Zoho, "Created", &[]).await;
        let alone = desk.person(Side::Zoho, "Alone", &[]).await;
        desk.writes_meet(Side::Vtiger, "operation=", 100, denied()).await;
        desk.run().await;
        let need = desk.is_listed(&right, code).await;
        let left = need.left;
        assert!(need.points[0].point.detail.contains("invalid data"), "the CRM's own words: {:?}", need.points);
        let may_not = "the user may read this record but not edit it";
        let denied = "Permission to write is denied";
        for (record, words) in [(&denied_left, may_not), (&created, denied), (&alone, denied)] {
            let need = desk.is_listed(record, code).await;
            assert!(need.points[0].point.detail.contains(words), "{:?}", need.points);
        }
        desk.mend().await;
        desk.is_at_rest().await;

        desk.answer(&alone, code, AnswerWord::LeaveAlone, None).await;
        desk.edit(Side::Vtiger, &right, "Secondary_Email", "now@reasons.example").await;
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Secondary_Email").await, "now@reasons.example");
        desk.is_in_step(&left).await;
        assert_eq!(desk.value(Side::Vtiger, &denied_right, "Title").await, "Chair");
        desk.is_in_step(&denied_left).await;
        desk.is_in_step(&created).await;
        desk.is_listed(&alone, reason::LEFT_ALONE).await;
        assert_eq!(desk.partner(&alone).await, None);
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn a_refused_call_is_halved_until_the_row_is_found_that_spoils_it() {
    run(async {
        let desk = Desk::open("", CONTACTS).await;
        let mut people = Vec::new();
        for last in ["One", "Two", "Three", "Four"] {
            people.push(desk.person(Side::Vtiger, last, &[]).await);
        }
        // Whatever call has the last row in it is refused as a whole: four rows, then two and two, then one and one.
        let on = |skip: u32| json!({ "kind": "write", "method": "POST", "skip": skip, "times": 1 });
        let refused = json!({ "type": "status", "status": 413, "body": "<h1>413</h1>" });
        let plan: Vec<Value> = [0, 1, 2].map(|skip| json!({ "on": on(skip), "do": refused })).into();
        desk.crms().faults(Side::Zoho, &json!({ "faults": plan })).await.unwrap();
        desk.run().await;
        assert_eq!(desk.count(Side::Zoho).await, 3, "one row delays nobody else");
        desk.is_listed(&people[3], reason::REFUSED).await;
        desk.mend().await;
        desk.retry(reason::REFUSED).await;
        desk.run().await;
        assert_eq!(desk.count(Side::Zoho).await, 4);
        desk.is_clear(&people[3]).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn duplicate_value() {
    run(async {
        let code = reason::DUPLICATE_VALUE;
        let desk = Desk::open("", ORGANIZATIONS).await;
        let mut pairs = Vec::new();
        for name in ["Same Ltd", "Other Ltd", "Alone Ltd"] {
            let left = desk.crms().create_in(Side::Zoho, "Accounts", &json!({ "Account_Name": name })).await.unwrap();
            let right = desk.crms().create_in(Side::Vtiger, "Accounts", &json!({ "accountname": name })).await.unwrap();
            pairs.push([left, right]);
        }
        desk.run().await;
        for [left, _] in &pairs {
            desk.is_listed(left, code).await;
            assert_eq!(desk.partner(left).await, None);
        }
        desk.answer(&pairs[0][0], code, AnswerWord::Link, Some(&pairs[0][1])).await;
        desk.crms()
            .edit_in(Side::Zoho, "Accounts", &pairs[1][0], &json!({ "Account_Name": "Quite Other Ltd" }))
            .await
            .unwrap();
        desk.answer(&pairs[2][0], code, AnswerWord::LeaveAlone, None).await;
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(desk.partner(&pairs[0][0]).await.as_ref(), Some(&pairs[0][1]));
        let made = desk.partner(&pairs[1][0]).await.expect("it is created under its new name");
        assert_eq!(desk.shown(Side::Vtiger, "Accounts", &made).await["accountname"], "Quite Other Ltd");
        for [left, _] in &pairs {
            desk.is_over(left, code).await;
        }
        desk.is_clear(&pairs[0][0]).await;
        desk.is_clear(&pairs[1][0]).await;
        desk.is_listed(&pairs[2][0], reason::LEFT_ALONE).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn outcome_unknown() {
    run(async {
        let code = reason::OUTCOME_UNKNOWN;
        // No field can hold our keys: whether a create happened, nobody can ask.
        let crms = Crms::here_as(0, 5, ["default", "keyless"]).await.unwrap();
        let desk = Desk::at(crms, "", CONTACTS).await;
        let mut people = Vec::new();
        for (last, happened) in [("There", true), ("Missing", false), ("Alone", true)] {
            let left = desk.person(Side::Zoho, last, &[]).await;
            let cut = if happened { "cut_after_commit" } else { "cut_before_commit" };
            desk.writes_meet(Side::Vtiger, "operation=create", 1, json!({ "type": cut })).await;
            desk.run().await;
            desk.run().await;
            desk.is_listed(&left, code).await;
            let records = desk.crms().records(Side::Vtiger).await.unwrap();
            let right = records.iter().find(|record| record["lastname"] == last);
            people.push((left, right.map(|record| record["id"].as_str().unwrap().to_owned())));
        }
        desk.is_at_rest().await;
        let counts = [desk.count(Side::Zoho).await, desk.count(Side::Vtiger).await];
        assert_eq!(counts, [3, 2], "nothing is repeated, and what may be a copy is not copied");

        desk.answer(&people[0].0, code, AnswerWord::Link, people[0].1.as_deref()).await;
        desk.answer(&people[1].0, code, AnswerWord::Again, None).await;
        desk.answer(&people[2].0, code, AnswerWord::LeaveAlone, None).await;
        desk.run().await;
        assert_eq!(desk.partner(&people[0].0).await, people[0].1);
        desk.is_in_step(&people[0].0).await;
        assert!(desk.partner(&people[1].0).await.is_some());
        desk.is_in_step(&people[1].0).await;
        desk.is_over(&people[2].0, code).await;
        desk.is_listed(&people[2].0, reason::LEFT_ALONE).await;
        assert_eq!([desk.count(Side::Zoho).await, desk.count(Side::Vtiger).await], [3, 3]);
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn attempts_used_up() {
    run(async {
        let code = reason::ATTEMPTS_USED_UP;
        let desk = Desk::open("", CONTACTS).await;
        let [left, right] = desk.pair("Patient", &[]).await;
        let created = desk.person(Side::Zoho, "Created", &[]).await;
        let alone = desk.person(Side::Zoho, "Alone", &[]).await;
        desk.edit(Side::Zoho, &left, "Title", "Chair").await;
        let silent = json!({ "type": "cut_before_commit" });
        desk.writes_meet(Side::Vtiger, "operation=", 10_000, silent.clone()).await;
        let used_up = async |desk: &Desk, records: &[&String]| {
            for _ in 0..9 {
                desk.run().await;
                let outcomes = desk.workplace.outcomes().await.unwrap();
                let listed = |record: &&String| {
                    outcomes.iter().any(|outcome| outcome.record == **record && outcome.reason == code)
                };
                if records.iter().all(listed) {
                    return;
                }
            }
            panic!("it never ends: {:#?}", desk.workplace.outcomes().await.unwrap());
        };
        used_up(&desk, &[&left, &created, &alone]).await;
        for record in [&left, &created, &alone] {
            desk.is_listed(record, code).await;
        }
        // The CRM answers again. Nothing is tried at once, and `attention retry` says that it is mended.
        desk.mend().await;
        desk.is_at_rest().await;
        desk.answer(&alone, code, AnswerWord::LeaveAlone, None).await;
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Chair");
        desk.is_in_step(&left).await;
        desk.is_in_step(&created).await;
        desk.is_listed(&alone, reason::LEFT_ALONE).await;

        // Without a word it is tried again when an hour is over.
        desk.edit(Side::Zoho, &left, "Title", "Treasurer").await;
        desk.writes_meet(Side::Vtiger, "operation=", 10_000, silent).await;
        used_up(&desk, &[&left]).await;
        desk.mend().await;
        desk.is_at_rest().await;
        desk.workplace.later(HOUR_MS);
        desk.crms().advance(HOUR_MS).await.unwrap();
        desk.run().await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Treasurer");
        desk.is_in_step(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn a_user_who_may_only_look_is_told_before_a_run() {
    run(async {
        let mut crms = Crms::here_as(0, 5, ["default", "view_only"]).await.unwrap();
        crms.log_in_at_vtiger_as("sales");
        let mut desk = Desk::with(crms, QUIESCE_MS, "sales@acme.example", "", CONTACTS).await;
        let checked = service::check_flow(&desk.workplace.app, LOCAL_TENANT, "people.toml", desk.file()).await.unwrap();
        let is_told = |warnings: &[String]| {
            warnings.iter().any(|warning| warning.contains("the login of `vtiger` may not create or edit Contacts"))
        };
        assert!(is_told(&checked.warnings), "{:?}", checked.warnings);
        let rights = service::refused_rights(&desk.workplace.app, LOCAL_TENANT, "vtiger").await.unwrap();
        assert!(rights["Contacts"] == ["create", "edit", "delete"], "{rights:?}");
        assert!(service::refused_rights(&desk.workplace.app, LOCAL_TENANT, "zoho").await.unwrap().is_empty());
        let left = desk.person(Side::Zoho, "Refused", &[]).await;
        desk.run().await;
        let need = desk.is_listed(&left, reason::REFUSED).await;
        assert!(need.points[0].point.detail.contains("Permission to write is denied"), "{:?}", need.points);
        // The other way it works.
        let warnings = desk.add("direction = \"to-zoho\"\n").await;
        assert!(!is_told(&warnings), "{warnings:?}");
        let right = desk.person(Side::Vtiger, "Shown", &[]).await;
        desk.run().await;
        desk.is_clear(&right).await;
        assert!(desk.crms().records(Side::Zoho).await.unwrap().iter().any(|record| record["Last_Name"] == "Shown"));
    });
}
