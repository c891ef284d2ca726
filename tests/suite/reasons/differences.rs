//! Two values of one field, and a person who says which of them is right.

use std::sync::Arc;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::UndoRequest;
use crmsync::service::{self, AnswerWord};
use crmsync_core::decide::reason;
use crmsync_sandbox::people::Side;
use crmsync_tests::workplace::{FLOW, Silent};

use super::desk::{CONTACTS, Desk};
use crate::product::run;

/// A contact of both CRMs with a title of its own in each.
async fn two_titles(desk: &Desk, last: &str) -> [String; 2] {
    let left = desk.person(Side::Zoho, last, &[("Title", "Chair")]).await;
    let right = desk.person(Side::Vtiger, last, &[("Title", "Clerk")]).await;
    [left, right]
}

/// Each side's title taken for one record, both kept for another, and, where the fix says so, one edited.
async fn each_answer(desk: &Desk, code: &str, pairs: &[[String; 2]; 4]) {
    for [left, _] in pairs {
        desk.is_listed(left, code).await;
    }
    desk.answer(&pairs[0][0], code, AnswerWord::Take, Some("zoho")).await;
    desk.answer(&pairs[1][0], code, AnswerWord::Take, Some("vtiger")).await;
    desk.answer(&pairs[2][0], code, AnswerWord::Keep, None).await;
    desk.edit(Side::Vtiger, &pairs[3][1], "Title", "Treasurer").await;
    let kept =
        [desk.value(Side::Zoho, &pairs[2][0], "Title").await, desk.value(Side::Vtiger, &pairs[2][1], "Title").await];
    let [zoho, vtiger] =
        [desk.value(Side::Zoho, &pairs[0][0], "Title").await, desk.value(Side::Vtiger, &pairs[1][1], "Title").await];
    desk.run().await;
    for (pair, title) in pairs.iter().zip([zoho.as_str(), vtiger.as_str(), "", "Treasurer"]) {
        if !title.is_empty() {
            desk.is_in_step(&pair[0]).await;
            assert_eq!(desk.value(Side::Zoho, &pair[0], "Title").await, title);
        }
    }
    let [left, right] = &pairs[2];
    assert_ne!(kept[0], kept[1]);
    assert_eq!([desk.value(Side::Zoho, left, "Title").await, desk.value(Side::Vtiger, right, "Title").await], kept);
    desk.is_clear(left).await;
    // What was kept apart goes on: the next edit travels.
    desk.edit(Side::Zoho, left, "Title", "Auditor").await;
    desk.run().await;
    desk.is_in_step(left).await;
    desk.is_at_rest().await;
}

#[test]
pub(super) fn differs() {
    run(async {
        let desk = Desk::open("", CONTACTS).await;
        let mut pairs = Vec::new();
        for last in ["Left", "Right", "Both", "Edited"] {
            pairs.push(two_titles(&desk, last).await);
        }
        desk.run().await;
        each_answer(&desk, reason::DIFFERS, &pairs.try_into().unwrap()).await;
    });
}

#[test]
pub(super) fn differs_ask() {
    run(async {
        let desk = Desk::open("first_sync = \"ask\"", CONTACTS).await;
        let mut pairs = Vec::new();
        for last in ["Left", "Right", "Both", "Edited"] {
            pairs.push(two_titles(&desk, last).await);
        }
        desk.run().await;
        each_answer(&desk, reason::DIFFERS_ASK, &pairs.try_into().unwrap()).await;
    });
}

#[test]
pub(super) fn both_changed_ask() {
    run(async {
        let asking =
            format!("{CONTACTS}  [[module.field]]\n  zoho = \"Title\"\n  vtiger = \"title\"\n  winner = \"ask\"\n");
        let desk = Desk::open("", &asking).await;
        let mut pairs = Vec::new();
        for last in ["Left", "Right", "Both", "Edited"] {
            pairs.push(desk.pair(last, &[("Title", "Partner")]).await);
        }
        for [left, right] in &pairs {
            desk.edit(Side::Zoho, left, "Title", "Chair").await;
            desk.edit(Side::Vtiger, right, "Title", "Clerk").await;
        }
        desk.run().await;
        each_answer(&desk, reason::BOTH_CHANGED_ASK, &pairs.try_into().unwrap()).await;
    });
}

#[test]
pub(super) fn undone() {
    run(async {
        let desk = Desk::open("", CONTACTS).await;
        let mut pairs = Vec::new();
        for last in ["Left", "Right", "Both", "Edited"] {
            pairs.push(desk.pair(last, &[("Title", "Partner")]).await);
        }
        for [left, _] in &pairs {
            desk.edit(Side::Zoho, left, "Title", "Wrong").await;
        }
        desk.run().await;
        let app = &desk.workplace.app;
        let last_run = service::runs(app, LOCAL_TENANT, FLOW, 1).await.unwrap()[0].id;
        let request = UndoRequest { runs: Some((last_run, last_run)), go: true, ..UndoRequest::default() };
        let done = service::undo(app, LOCAL_TENANT, FLOW, request, Arc::new(Silent)).await.unwrap();
        assert_eq!((done.written, done.not_written), (4, 0), "{done:?}");
        desk.run().await;
        each_answer(&desk, reason::UNDONE, &pairs.try_into().unwrap()).await;
    });
}
