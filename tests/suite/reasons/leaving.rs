//! Records that left one side: deleted, merged, converted, or only not found.

use crmsync::app::LOCAL_TENANT;
use crmsync::service::{self, AnswerWord};
use crmsync_core::decide::reason;
use crmsync_sandbox::people::Side;
use crmsync_tests::workplace::FLOW;
use serde_json::json;

use super::desk::{CONTACTS, Desk};
use crate::product::run;

/// Leads, with the rows that they cannot do without.
pub(crate) const LEADS: &str = r#"[[module]]
zoho = "Leads"
vtiger = "Leads"
fields = "none"
match = ["Email"]
  [[module.field]]
  zoho = "Last_Name"
  vtiger = "lastname"
  [[module.field]]
  zoho = "Company"
  vtiger = "company"
  [[module.field]]
  zoho = "Email"
  vtiger = "email"
  [[module.field]]
  zoho = "Owner"
  vtiger = "assigned_user_id"
"#;

/// What was removed in Vtiger is created there again by `restore`, and by `keep` the other one stays as it is, alone.
async fn restored_and_kept(desk: &Desk, code: &str, restored: &[String; 2], kept: &[String; 2]) {
    for pair in [restored, kept] {
        desk.is_listed(&pair[0], code).await;
        assert!(desk.has(Side::Zoho, &pair[0]).await && !desk.has(Side::Vtiger, &pair[1]).await);
    }
    let count = desk.count(Side::Vtiger).await;
    desk.answer(&restored[0], code, AnswerWord::Restore, None).await;
    desk.answer(&kept[0], code, AnswerWord::Keep, None).await;
    desk.run().await;
    let made = desk.partner(&restored[0]).await.expect("it is created again");
    assert_ne!(made, restored[1]);
    desk.is_in_step(&restored[0]).await;
    desk.is_over(&kept[0], code).await;
    assert!(desk.has(Side::Zoho, &kept[0]).await);
    desk.edit(Side::Zoho, &kept[0], "Title", "Kept").await;
    desk.run().await;
    assert_eq!(desk.count(Side::Vtiger).await, count + 1, "what is kept is not created");
    desk.is_at_rest().await;
}

/// What was removed in Vtiger goes to Zoho's bin by `delete`.
async fn deleted_too(desk: &Desk, code: &str, pair: &[String; 2]) {
    desk.is_listed(&pair[0], code).await;
    desk.answer(&pair[0], code, AnswerWord::Delete, None).await;
    desk.run().await;
    assert!(!desk.has(Side::Zoho, &pair[0]).await, "it is in the bin, too");
    desk.is_over(&pair[0], code).await;
}

#[test]
pub(super) fn removed() {
    run(async {
        let desk = Desk::open("", CONTACTS).await;
        let pairs = [desk.pair("Restored", &[]).await, desk.pair("Kept", &[]).await, desk.pair("Deleted", &[]).await];
        for [_, right] in &pairs {
            desk.crms().delete(Side::Vtiger, right).await.unwrap();
        }
        desk.run().await;
        deleted_too(&desk, reason::REMOVED, &pairs[2]).await;
        restored_and_kept(&desk, reason::REMOVED, &pairs[0], &pairs[1]).await;
    });
}

#[test]
pub(super) fn delete_against_edit() {
    run(async {
        let desk = Desk::open("deletes = \"recycle\"", CONTACTS).await;
        let pairs = [desk.pair("Restored", &[]).await, desk.pair("Kept", &[]).await, desk.pair("Deleted", &[]).await];
        for [left, right] in &pairs {
            desk.crms().delete(Side::Vtiger, right).await.unwrap();
            desk.edit(Side::Zoho, left, "Title", "Still here").await;
        }
        desk.run().await;
        deleted_too(&desk, reason::DELETE_AGAINST_EDIT, &pairs[2]).await;
        restored_and_kept(&desk, reason::DELETE_AGAINST_EDIT, &pairs[0], &pairs[1]).await;
    });
}

#[test]
pub(super) fn restored_alone() {
    run(async {
        let code = reason::RESTORED_ALONE;
        let desk = Desk::open("", CONTACTS).await;
        let pairs = [desk.pair("Restored", &[]).await, desk.pair("Kept", &[]).await, desk.pair("Fetched", &[]).await];
        for [left, right] in &pairs {
            desk.crms().delete(Side::Zoho, left).await.unwrap();
            desk.run().await;
            desk.crms().delete(Side::Vtiger, right).await.unwrap();
        }
        desk.run().await;
        for [left, _] in &pairs {
            desk.is_clear(left).await;
            desk.crms().restore(Side::Zoho, left).await.unwrap();
        }
        desk.run().await;
        desk.is_listed(&pairs[2][0], code).await;
        desk.crms().restore(Side::Vtiger, &pairs[2][1]).await.unwrap();
        desk.run().await;
        assert_eq!(desk.partner(&pairs[2][0]).await.as_ref(), Some(&pairs[2][1]), "the old link");
        desk.is_in_step(&pairs[2][0]).await;
        restored_and_kept(&desk, code, &pairs[0], &pairs[1]).await;
    });
}

#[test]
pub(super) fn safety_stop() {
    run(async {
        let code = reason::SAFETY_STOP;
        let desk = Desk::open("deletes = \"recycle\"\nsafety_stop = { records = 5, percent = 5 }", CONTACTS).await;
        let mut lefts = Vec::new();
        for number in 0..8 {
            lefts.push(desk.person(Side::Zoho, &format!("Many{number}"), &[]).await);
        }
        desk.run().await;
        let mut pairs = Vec::new();
        for left in lefts {
            let right = desk.partner(&left).await.unwrap();
            pairs.push([left, right]);
        }
        for [left, _] in &pairs[..7] {
            desk.crms().delete(Side::Zoho, left).await.unwrap();
        }
        desk.run().await;
        for [left, right] in &pairs[..7] {
            desk.is_listed(left, code).await;
            assert!(desk.has(Side::Vtiger, right).await, "nothing is done yet");
        }
        // It was a mistake: they are taken from the bin.
        for [left, _] in &pairs[..7] {
            desk.crms().restore(Side::Zoho, left).await.unwrap();
        }
        desk.run().await;
        for [left, right] in &pairs {
            assert!(desk.has(Side::Zoho, left).await && desk.has(Side::Vtiger, right).await);
            assert_eq!(desk.partner(left).await.as_ref(), Some(right));
            desk.is_clear(left).await;
        }
        desk.is_in_step(&pairs[0][0]).await;
        // This time it is meant.
        for [left, _] in &pairs[1..] {
            desk.crms().delete(Side::Zoho, left).await.unwrap();
        }
        desk.run().await;
        desk.is_listed(&pairs[1][0], code).await;
        service::approve_deletes(&desk.workplace.app, LOCAL_TENANT, FLOW).await.unwrap();
        desk.run().await;
        for [left, right] in &pairs[1..] {
            assert!(!desk.has(Side::Vtiger, right).await);
            desk.is_clear(left).await;
        }
        desk.is_in_step(&pairs[0][0]).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn not_found() {
    run(async {
        let code = reason::NOT_FOUND;
        let desk = Desk::open("safety_stop = { records = 5, percent = 5 }", CONTACTS).await;
        let mut lefts = Vec::new();
        for number in 0..7 {
            lefts.push(desk.person(Side::Zoho, &format!("Hidden{number}"), &[]).await);
        }
        desk.run().await;
        let gone = &lefts[6];
        desk.crms().delete(Side::Vtiger, &desk.partner(gone).await.unwrap()).await.unwrap();
        for left in &lefts {
            desk.edit(Side::Zoho, left, "Title", "Typed").await;
        }
        // For a while nothing can be read by its id: all look as if they had been deleted, which is too many to be believed.
        let nothing = json!({ "faults": [{ "on": { "kind": "read", "path_contains": "id in (", "times": 1_000 }, "do": { "type": "empty_list" } }] });
        desk.crms().faults(Side::Vtiger, &nothing).await.unwrap();
        desk.run().await;
        for left in &lefts {
            desk.is_listed(left, code).await;
        }
        desk.mend().await;
        desk.run().await;
        for left in &lefts[..6] {
            let right = desk.partner(left).await.unwrap();
            assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Typed");
            desk.is_in_step(left).await;
        }
        desk.is_over(gone, code).await;
        desk.is_listed(gone, reason::DELETE_AGAINST_EDIT).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn converted() {
    run(async {
        let code = reason::CONVERTED;
        let desk = Desk::open("", LEADS).await;
        let mut lefts = Vec::new();
        for name in ["Anders", "Berg"] {
            let lead =
                json!({ "Last_Name": name, "Company": format!("{name} Ltd"), "Email": format!("{name}@lead.example") });
            lefts.push(desk.crms().create_in(Side::Zoho, "Leads", &lead).await.unwrap());
        }
        desk.run().await;
        let rights = [desk.partner(&lefts[0]).await.unwrap(), desk.partner(&lefts[1]).await.unwrap()];
        desk.crms().screen(Side::Zoho, "convert", &json!({ "id": lefts[0] })).await.unwrap();
        desk.crms().screen(Side::Vtiger, "convert", &json!({ "id": rights[1] })).await.unwrap();
        desk.run().await;
        for left in &lefts {
            desk.is_listed(left, code).await;
        }
        // Nothing: the other one gets no more updates, and gives none.
        desk.crms().edit_in(Side::Vtiger, "Leads", &rights[0], &json!({ "company": "Other Ltd" })).await.unwrap();
        desk.is_at_rest().await;
        desk.is_listed(&lefts[0], code).await;
        // Or the other one is converted as well.
        desk.crms().screen(Side::Vtiger, "convert", &json!({ "id": rights[0] })).await.unwrap();
        desk.crms().screen(Side::Zoho, "convert", &json!({ "id": lefts[1] })).await.unwrap();
        desk.run().await;
        for left in &lefts {
            desk.is_clear(left).await;
        }
        desk.is_at_rest().await;
    });
}
