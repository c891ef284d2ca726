//! What records point to, over both sandboxes: organizations before contacts, second passes, references that wait for their targets.

use std::collections::BTreeMap;

use crmsync::app::LOCAL_TENANT;
use crmsync::service;
use crmsync_sandbox::history::{Actor, Event};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::{FLOW, Workplace, flow_file_of};
use serde_json::{Value, json};

use crate::product::run;

/// In the file contacts come first: the order of their references is found by the product.
const MODULES: [&str; 3] = ["Contacts", "Accounts", "Leads"];
const QUIESCE_MS: u64 = 1_000;
/// Longer than the second in which an edit cannot be told from our own write.
const LATER_MS: i64 = 3_000;

/// Both CRMs with so many contacts, in step.
async fn in_step(records: usize, seed: u64) -> Workplace {
    let crms = Crms::here(records, seed).await.unwrap();
    let workplace = Workplace::with_modules(crms, QUIESCE_MS, &MODULES).await.unwrap();
    workplace.preview_and_approve().await.unwrap();
    workplace.run(false).await.unwrap();
    workplace.crms.advance(LATER_MS).await.unwrap();
    workplace
}

async fn find(crms: &Crms, side: Side, module: &str, field: &str, value: &str) -> Value {
    let records = crms.records_of(side, module).await.unwrap();
    records.into_iter().find(|record| record[field] == value).unwrap_or_default()
}

fn id(record: &Value) -> String {
    record["id"].as_str().unwrap_or_else(|| panic!("a record with an id: {record}")).to_owned()
}

/// What we did to one record.
async fn ours(crms: &Crms, side: Side, id: &str) -> Vec<Event> {
    let events = crms.events(side).await.unwrap();
    events.into_iter().filter(|event| event.id == id && event.actor == Actor::Api).collect()
}

/// Counts of what was left out by reason alone. An owner without a counterpart is known at the create only.
fn by_reason(left_out: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for (why, count) in left_out {
        let reason = why.split(':').next().unwrap_or_default();
        *counts.entry(reason).or_default() += count;
    }
    counts.remove("owner-unknown");
    counts
}

async fn writes_nothing(workplace: &Workplace) {
    let writes = async || workplace.crms.counts().await.unwrap().map(|counts| counts.write);
    let before = writes().await;
    workplace.run(false).await.unwrap();
    assert_eq!(writes().await, before, "a run with nothing to do wrote");
}

#[test]
fn a_contact_is_created_with_its_new_organization() {
    run(async {
        let workplace = in_step(10, 21).await;
        let crms = &workplace.crms;
        let account = json!({ "Account_Name": "Brand New Ltd" });
        let account = crms.create_in(Side::Zoho, "Accounts", &account).await.unwrap();
        let contact = json!({ "Last_Name": "Founder", "Email": "founder@new.example", "Account_Name": account });
        crms.create_in(Side::Zoho, "Contacts", &contact).await.unwrap();
        let report = workplace.run(false).await.unwrap();
        let order: Vec<&str> = report.pairs.iter().map(|pair| pair.name.as_str()).collect();
        assert_eq!(order, ["Accounts", "Contacts", "Leads"]);

        let account = find(crms, Side::Vtiger, "Accounts", "accountname", "Brand New Ltd").await;
        let contact = find(crms, Side::Vtiger, "Contacts", "lastname", "Founder").await;
        assert_eq!(contact["account_id"], account["id"]);
        let ops: Vec<String> =
            ours(crms, Side::Vtiger, &id(&contact)).await.into_iter().map(|event| event.op).collect();
        assert_eq!(ops, ["create"], "the reference was in the create already");
        writes_nothing(&workplace).await;
    });
}

#[test]
fn a_reference_to_what_the_run_creates_is_listed_and_then_replaced() {
    run(async {
        let crms = Crms::here(10, 25).await.unwrap();
        let old = json!({ "accountname": "Old Employer Ltd" });
        let old = crms.create_in(Side::Vtiger, "Accounts", &old).await.unwrap();
        let new = crms.create_in(Side::Zoho, "Accounts", &json!({ "Account_Name": "New Employer Ltd" })).await.unwrap();
        let mover = json!({ "Last_Name": "Mover", "Email": "mover@job.example", "Account_Name": new });
        crms.create_in(Side::Zoho, "Contacts", &mover).await.unwrap();
        let mover = json!({ "lastname": "Mover", "email": "mover@job.example", "account_id": old });
        crms.create_in(Side::Vtiger, "Contacts", &mover).await.unwrap();
        let workplace = Workplace::with_modules(crms, QUIESCE_MS, &MODULES).await.unwrap();
        let file = flow_file_of(&MODULES).replace("\"fill-empty\"", "\"winner\"");
        service::apply(&workplace.app, LOCAL_TENANT, "people.toml", &file).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        let listed = service::listing(&workplace.app, LOCAL_TENANT, FLOW, "replaced", usize::MAX).await.unwrap();
        let line = listed.rows.iter().find(|row| row.before.ends_with(&old)).expect("the value is listed");
        // It has no id there yet.
        assert_eq!(line.after, format!("Accounts/(copy of Accounts/{new})"));

        let report = workplace.run(false).await.unwrap();
        assert_eq!(report.unlisted, 0, "{report:?}");
        let contact = find(&workplace.crms, Side::Vtiger, "Contacts", "lastname", "Mover").await;
        let account = find(&workplace.crms, Side::Vtiger, "Accounts", "accountname", "New Employer Ltd").await;
        assert_eq!(contact["account_id"], account["id"]);
    });
}

#[test]
fn people_who_report_to_each_other_come_over_in_two_passes() {
    run(async {
        let workplace = in_step(10, 22).await;
        let crms = &workplace.crms;
        let ring = ["Ring-One", "Ring-Two", "Ring-Three"];
        let mut ids = Vec::new();
        for name in ring {
            let set = json!({ "lastname": name, "email": format!("{name}@ring.example") });
            ids.push(crms.create_in(Side::Vtiger, "Contacts", &set).await.unwrap());
        }
        for (at, contact) in ids.iter().enumerate() {
            let set = json!({ "contact_id": ids[(at + 1) % 3] });
            crms.edit_in(Side::Vtiger, "Contacts", contact, &set).await.unwrap();
        }
        let group = crms.create_in(Side::Zoho, "Accounts", &json!({ "Account_Name": "Group Ltd" })).await.unwrap();
        let member = json!({ "Account_Name": "Member Ltd", "Parent_Account": group });
        crms.create_in(Side::Zoho, "Accounts", &member).await.unwrap();
        workplace.run(false).await.unwrap();

        for (at, name) in ring.into_iter().enumerate() {
            let contact = find(crms, Side::Zoho, "Contacts", "Last_Name", name).await;
            let boss = find(crms, Side::Zoho, "Contacts", "Last_Name", ring[(at + 1) % 3]).await;
            assert_eq!(contact["Reporting_To"]["id"], boss["id"], "{name}");
        }
        let group = find(crms, Side::Vtiger, "Accounts", "accountname", "Group Ltd").await;
        let member = find(crms, Side::Vtiger, "Accounts", "accountname", "Member Ltd").await;
        assert_eq!(member["account_id"], group["id"]);
        crms.advance(LATER_MS).await.unwrap();
        writes_nothing(&workplace).await;
    });
}

#[test]
fn a_reference_waits_for_its_target_and_then_goes_over_by_itself() {
    run(async {
        let workplace = in_step(10, 23).await;
        let crms = &workplace.crms;
        // Two organizations of one name on one side and one on the other: nobody can tell which is meant.
        let twin = json!({ "Account_Name": "Twin Ltd" });
        let first = crms.create_in(Side::Zoho, "Accounts", &twin).await.unwrap();
        let second = crms.create_in(Side::Zoho, "Accounts", &twin).await.unwrap();
        let counterpart = json!({ "accountname": "Twin Ltd" });
        let counterpart = crms.create_in(Side::Vtiger, "Accounts", &counterpart).await.unwrap();
        let contact = json!({ "Last_Name": "Waiter", "Email": "waiter@twin.example", "Account_Name": first });
        crms.create_in(Side::Zoho, "Contacts", &contact).await.unwrap();
        workplace.run(false).await.unwrap();
        let contact = find(crms, Side::Vtiger, "Contacts", "lastname", "Waiter").await;
        assert_eq!(contact["account_id"], "", "there is nothing that it could point to");
        let outcomes = workplace.outcomes().await.unwrap();
        let told: Vec<&str> = outcomes
            .iter()
            .filter(|outcome| outcome.reason == "reference-not-linked" && outcome.detail.ends_with(&first))
            .map(|outcome| outcome.field.as_str())
            .collect();
        assert_eq!(told, ["Account_Name=account_id"]);
        crms.advance(LATER_MS).await.unwrap();
        writes_nothing(&workplace).await;

        crms.edit_in(Side::Zoho, "Accounts", &second, &json!({ "Account_Name": "Other Twin Ltd" })).await.unwrap();
        workplace.run(false).await.unwrap();
        let contact = find(crms, Side::Vtiger, "Contacts", "lastname", "Waiter").await;
        assert_eq!(contact["account_id"], counterpart.as_str(), "nobody has touched the contact");
        let outcomes = workplace.outcomes().await.unwrap();
        assert!(!outcomes.iter().any(|outcome| outcome.detail.ends_with(&first)), "{outcomes:?}");
        crms.advance(LATER_MS).await.unwrap();
        writes_nothing(&workplace).await;
    });
}

#[test]
fn what_a_deleted_organization_leaves_empty_is_nobodys_edit() {
    run(async {
        for side in SIDES {
            let workplace = in_step(10, 24).await;
            let crms = &workplace.crms;
            let (name, last, reference, title) = match side {
                Side::Zoho => ("Account_Name", "Last_Name", "Account_Name", "Title"),
                Side::Vtiger => ("accountname", "lastname", "account_id", "title"),
            };
            let account = crms.create_in(side, "Accounts", &json!({ name: "Closing Ltd" })).await.unwrap();
            let contact =
                crms.create_in(side, "Contacts", &json!({ last: "Loyal", reference: account })).await.unwrap();
            workplace.run(false).await.unwrap();
            crms.advance(LATER_MS).await.unwrap();

            crms.delete_in(side, "Accounts", &account).await.unwrap();
            crms.edit_in(side, "Contacts", &contact, &json!({ title: "Liquidator" })).await.unwrap();
            workplace.run(false).await.unwrap();
            let (copy, kept) = match side {
                Side::Zoho => {
                    let copy = find(crms, Side::Vtiger, "Contacts", "lastname", "Loyal").await;
                    (copy["title"].clone(), copy["account_id"].clone())
                }
                Side::Vtiger => {
                    let copy = find(crms, Side::Zoho, "Contacts", "Last_Name", "Loyal").await;
                    (copy["Title"].clone(), copy["Account_Name"]["id"].clone())
                }
            };
            assert_eq!(copy, "Liquidator", "{side:?}: the edit of a person goes over");
            assert_ne!((kept.as_str(), kept.is_null()), (Some(""), false), "{side:?}: the reference stays");
            assert!(!kept.is_null(), "{side:?}: the reference stays");
            crms.advance(LATER_MS).await.unwrap();
            writes_nothing(&workplace).await;
        }
    });
}

#[test]
fn a_preview_counts_what_the_first_sync_then_writes() {
    run(async {
        for seed in [25, 26] {
            let crms = Crms::here(80, seed).await.unwrap();
            let workplace = Workplace::with_modules(crms, QUIESCE_MS, &MODULES).await.unwrap();
            let preview = workplace.preview_and_approve().await.unwrap();
            let report = workplace.run(false).await.unwrap();
            let events =
                [workplace.crms.events(Side::Zoho).await.unwrap(), workplace.crms.events(Side::Vtiger).await.unwrap()];
            for (planned, done) in preview.pairs.iter().zip(&report.pairs) {
                let served = |side: usize, op: &str| {
                    let ours =
                        events[side].iter().filter(|event| event.actor == Actor::Api && event.module == planned.name);
                    ours.filter(|event| event.op == op).count() as u64
                };
                let plan = &planned.plan;
                assert_eq!(
                    [plan.create_left, plan.create_right, plan.update_left, plan.update_right],
                    [served(0, "create"), served(1, "create"), served(0, "update"), served(1, "update")],
                    "seed {seed} {}: creates and updates, left and right",
                    planned.name
                );
                // A preview names fields as the written side does, a run as the left one: the reasons count.
                assert_eq!(by_reason(&plan.left_out), by_reason(&done.left_out), "seed {seed} {}", planned.name);
                assert_eq!(plan.needs_attention, done.needs_attention, "seed {seed} {}", planned.name);
            }
        }
    });
}
