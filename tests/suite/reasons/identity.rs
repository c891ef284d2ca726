//! Which record is which: several matches, doubtful ones, records that somebody left alone, and creates that made one too many.

use crmsync::app::LOCAL_TENANT;
use crmsync::service::{self, AnswerWord};
use crmsync_core::decide::reason;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::Crms;
use crmsync_tests::workplace::FLOW;
use serde_json::json;

use super::desk::{CONTACTS, Desk, OFFICE, QUIESCE_MS};
use crate::product::run;

/// A create is carried out so late that it counts as not done.
const LATE_MS: u64 = 3 * QUIESCE_MS;

/// One record in Zoho and two in Vtiger that look like it.
async fn look_alikes(desk: &Desk, last: &str) -> [String; 3] {
    let left = desk.person(Side::Zoho, last, &[]).await;
    let right = desk.person(Side::Vtiger, last, &[]).await;
    let other = desk.person(Side::Vtiger, last, &[]).await;
    [left, right, other]
}

/// One record on each side, of one address and two names.
async fn doubtful(desk: &Desk, last: &str) -> [String; 2] {
    let left = desk.person(Side::Zoho, last, &[("First_Name", "Robert")]).await;
    let right = desk.person(Side::Vtiger, last, &[("First_Name", "Bob")]).await;
    [left, right]
}

#[test]
pub(super) fn more_than_one_match() {
    run(async {
        let code = reason::MORE_THAN_ONE_MATCH;
        let desk = Desk::open("", CONTACTS).await;
        let linked = look_alikes(&desk, "Link").await;
        let new = look_alikes(&desk, "New").await;
        let alone = look_alikes(&desk, "Alone").await;
        let told_apart = look_alikes(&desk, "Apart").await;
        desk.run().await;
        for group in [&linked, &new, &alone, &told_apart] {
            for record in group {
                desk.is_listed(record, code).await;
            }
        }
        let need = desk.is_listed(&linked[0], code).await;
        assert_eq!(need.candidates.len(), 2, "the answer names one of them");

        desk.answer(&linked[0], code, AnswerWord::Link, Some(&linked[1])).await;
        desk.answer(&new[0], code, AnswerWord::New, None).await;
        desk.answer(&alone[0], code, AnswerWord::LeaveAlone, None).await;
        desk.edit(Side::Vtiger, &told_apart[2], "Email", "somebody-else@reasons.example").await;
        desk.edit(Side::Vtiger, &told_apart[2], "Last_Name", "Else").await;
        desk.run().await;
        assert_eq!(desk.partner(&linked[0]).await.as_ref(), Some(&linked[1]));
        desk.is_in_step(&linked[0]).await;
        let made = desk.partner(&new[0]).await.expect("it is copied");
        assert!(!new.contains(&made), "as a record of its own");
        desk.is_in_step(&new[0]).await;
        desk.is_listed(&alone[0], reason::LEFT_ALONE).await;
        assert_eq!(desk.partner(&alone[0]).await, None);
        assert_eq!(desk.partner(&told_apart[0]).await.as_ref(), Some(&told_apart[1]));
        desk.is_in_step(&told_apart[0]).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn match_in_doubt() {
    run(async {
        let code = reason::MATCH_IN_DOUBT;
        let desk = Desk::open("", CONTACTS).await;
        let one = doubtful(&desk, "One").await;
        let two = doubtful(&desk, "Two").await;
        let alone = doubtful(&desk, "Alone").await;
        let agreeing = doubtful(&desk, "Agreeing").await;
        desk.run().await;
        for pair in [&one, &two, &alone, &agreeing] {
            desk.is_listed(&pair[0], code).await;
        }
        let counts = [desk.count(Side::Zoho).await, desk.count(Side::Vtiger).await];
        desk.answer(&one[0], code, AnswerWord::Link, Some(&one[1])).await;
        desk.answer(&two[0], code, AnswerWord::New, None).await;
        desk.answer(&alone[0], code, AnswerWord::LeaveAlone, None).await;
        desk.edit(Side::Vtiger, &agreeing[1], "First_Name", "Robert").await;
        desk.run().await;
        assert_eq!(desk.partner(&one[0]).await.as_ref(), Some(&one[1]));
        // One person with two names: which of them is right is the next question.
        desk.is_listed(&one[0], reason::DIFFERS).await;
        desk.answer(&one[0], reason::DIFFERS, AnswerWord::Take, Some("zoho")).await;
        desk.run().await;
        desk.is_in_step(&one[0]).await;
        let made = desk.partner(&two[0]).await.expect("it is copied");
        assert_ne!(made, two[1], "they are two people");
        desk.is_in_step(&two[0]).await;
        desk.is_listed(&alone[0], reason::LEFT_ALONE).await;
        assert_eq!(desk.partner(&agreeing[0]).await.as_ref(), Some(&agreeing[1]));
        desk.is_in_step(&agreeing[0]).await;
        // Of the two people both are in both CRMs now; who was left alone and the look-alike stay where they are.
        let after = [desk.count(Side::Zoho).await, desk.count(Side::Vtiger).await];
        assert_eq!(after, [counts[0] + 1, counts[1] + 1]);
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn left_alone() {
    run(async {
        let code = reason::LEFT_ALONE;
        let desk = Desk::open("", CONTACTS).await;
        let app = &desk.workplace.app;
        let again = desk.pair("Again", &[]).await;
        let new = desk.pair("New", &[]).await;
        for pair in [&again, &new] {
            service::unlink(app, LOCAL_TENANT, FLOW, &pair[0]).await.unwrap();
        }
        desk.edit(Side::Zoho, &again[0], "Title", "Not told").await;
        desk.run().await;
        for record in again.iter().chain(&new) {
            desk.is_listed(record, code).await;
        }
        assert_eq!(desk.value(Side::Vtiger, &again[1], "Title").await, "");

        desk.answer(&again[0], code, AnswerWord::Link, Some(&again[1])).await;
        desk.answer(&new[0], code, AnswerWord::New, None).await;
        desk.run().await;
        desk.is_in_step(&again[0]).await;
        assert_eq!(desk.value(Side::Vtiger, &again[1], "Title").await, "Not told");
        let made = desk.partner(&new[0]).await.expect("it is copied");
        assert_ne!(made, new[1]);
        desk.is_in_step(&new[0]).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn late_twin() {
    run(async {
        let code = reason::LATE_TWIN;
        let desk = Desk::open("", CONTACTS).await;
        let mut twins = Vec::new();
        for last in ["Deleted", "Merged", "Alone"] {
            let left = desk.person(Side::Zoho, last, &[]).await;
            desk.writes_meet(
                Side::Vtiger,
                "operation=create",
                1,
                json!({ "type": "late_commit", "after_ms": LATE_MS }),
            )
            .await;
            desk.run().await;
            desk.run().await;
            let right = desk.partner(&left).await.expect("it was created once more");
            tokio::time::sleep(std::time::Duration::from_millis(LATE_MS)).await;
            desk.run().await;
            let records = desk.crms().records(Side::Vtiger).await.unwrap();
            let twin = records.iter().find(|record| record["lastname"] == last && record["id"] != *right);
            let twin = twin.expect("the first create happened after all")["id"].as_str().unwrap().to_owned();
            desk.is_listed(&twin, code).await;
            twins.push((left, right, twin));
        }
        desk.crms().delete(Side::Vtiger, &twins[0].2).await.unwrap();
        let merge = json!({ "module": "Contacts", "id": twins[1].2, "into": twins[1].1 });
        desk.crms().screen(Side::Vtiger, "merge", &merge).await.unwrap();
        desk.answer(&twins[2].2, code, AnswerWord::LeaveAlone, None).await;
        desk.run().await;
        for (_, _, twin) in &twins {
            desk.is_over(twin, code).await;
        }
        desk.is_clear(&twins[0].2).await;
        desk.is_clear(&twins[1].2).await;
        desk.is_listed(&twins[2].2, reason::LEFT_ALONE).await;
        for (left, right, _) in &twins {
            assert_eq!(desk.partner(left).await.as_ref(), Some(right));
            desk.is_in_step(left).await;
        }
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn already_linked() {
    run(async {
        let code = reason::ALREADY_LINKED;
        // So patient that an unanswered create is still open when people look at the screens.
        let crms = Crms::here(0, 5).await.unwrap();
        let desk = Desk::with(crms, 200_000, OFFICE, "", CONTACTS).await;
        let app = &desk.workplace.app;
        let mut stories = Vec::new();
        for (last, wrong) in [("Told", "Mistaken"), ("Alone", "Meant")] {
            let [other, others] = desk.pair(wrong, &[]).await;
            let left = desk.person(Side::Zoho, last, &[]).await;
            desk.writes_meet(Side::Vtiger, "operation=create", 1, json!({ "type": "cut_after_commit" })).await;
            desk.run().await;
            let records = desk.crms().records(Side::Vtiger).await.unwrap();
            let made = records.iter().find(|record| record["lastname"] == last).expect("nobody heard that it was made");
            let made = made["id"].as_str().unwrap().to_owned();
            // Before a run finds it, somebody joins it with another record.
            service::unlink(app, LOCAL_TENANT, FLOW, &other).await.unwrap();
            service::link(app, LOCAL_TENANT, FLOW, None, [other.clone(), made.clone()]).await.unwrap();
            desk.run().await;
            desk.is_listed(&left, code).await;
            stories.push((left, made, other, others));
        }
        let (left, made, other, others) = &stories[0];
        service::unlink(app, LOCAL_TENANT, FLOW, other).await.unwrap();
        desk.answer(left, code, AnswerWord::Link, Some(made)).await;
        service::link(app, LOCAL_TENANT, FLOW, None, [other.clone(), others.clone()]).await.unwrap();
        desk.run().await;
        assert_eq!(desk.partner(left).await.as_ref(), Some(made));
        desk.is_over(left, code).await;

        let (left, made, other, _) = &stories[1];
        desk.answer(left, code, AnswerWord::LeaveAlone, None).await;
        desk.run().await;
        desk.is_over(left, code).await;
        desk.is_listed(left, reason::LEFT_ALONE).await;
        assert_eq!(desk.partner(other).await.as_ref(), Some(made));
        desk.is_at_rest().await;
    });
}
