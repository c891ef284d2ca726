//! What a preview lists is what the run does: counted against the servers' own histories, also when the world changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use crmsync::app::LOCAL_TENANT;
use crmsync::service;
use crmsync_sandbox::history::Actor;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::{FLOW, Workplace, flow_file};

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;

async fn workplace(records: usize) -> Workplace {
    let crms = Crms::here(records, 3).await.unwrap();
    Workplace::open(crms, QUIESCE_MS).await.unwrap()
}

/// The flow, with the winner's values going over the other side's.
async fn let_the_winner_replace(workplace: &Workplace) {
    let file = flow_file().replace("first_sync   = \"fill-empty\"", "first_sync   = \"winner\"");
    assert_ne!(file, flow_file());
    service::apply(&workplace.app, LOCAL_TENANT, "people.toml", &file).await.unwrap();
}

async fn listed(workplace: &Workplace, what: &str) -> service::ListingPage {
    service::listing(&workplace.app, LOCAL_TENANT, FLOW, what, usize::MAX).await.unwrap()
}

/// Changes that programs made, by side, as the servers remember them.
async fn written(workplace: &Workplace) -> [usize; 2] {
    let mut counts = [0; 2];
    for side in SIDES {
        let events = workplace.crms.events(side).await.unwrap();
        counts[side as usize] = events.iter().filter(|event| event.actor == Actor::Api).count();
    }
    counts
}

#[test]
fn a_preview_lists_what_the_run_then_does() {
    run(async {
        let workplace = workplace(60).await;
        let_the_winner_replace(&workplace).await;
        let preview = workplace.preview_and_approve().await.unwrap();
        let plan = preview.pairs[0].plan.clone();
        let all = listed(&workplace, "").await;
        let count = |kind: &str| all.rows.iter().filter(|row| row.kind == kind).count() as u64;
        assert_eq!(count("created"), plan.create_left + plan.create_right);
        assert_eq!(count("linked"), plan.linked);
        assert_eq!(count("replaced"), plan.replaces.values().sum::<u64>());
        assert_eq!(count("filled"), plan.fills.values().sum::<u64>());
        assert_eq!(count("needs-attention"), plan.needs_attention.values().sum::<u64>());
        assert!(count("replaced") > 0 && count("created") > 0 && count("needs-attention") > 0, "{:?}", all.counts);
        let value = all.rows.iter().find(|row| row.kind == "replaced").unwrap();
        assert!(!value.left_id.is_empty() && !value.right_id.is_empty() && !value.label.is_empty(), "{value:?}");
        assert!(!value.before.is_empty() && value.before != value.after, "{value:?}");

        let report = workplace.run(false).await.unwrap();
        let done = &report.pairs[0];
        assert_eq!((done.created_left, done.created_right), (plan.create_left, plan.create_right));
        assert_eq!((done.updated_left, done.updated_right), (plan.update_left, plan.update_right));
        assert_eq!(report.unlisted, 0);
        // And value by value: every overwritten value of the log was listed, with what it was and what it became.
        let replaced: BTreeSet<[&str; 4]> = all
            .rows
            .iter()
            .filter(|row| row.kind == "replaced")
            .map(|row| [row.left_id.as_str(), &row.right_id, &row.side, &row.field])
            .collect();
        let mut overwritten = 0;
        for line in workplace.log().await.unwrap().iter().filter(|line| line.action == "updated") {
            let before: BTreeMap<String, Vec<serde_json::Value>> = serde_json::from_str(&line.before).unwrap();
            for (field, values) in before.iter().filter(|(_, values)| values.iter().any(|value| !value.is_null())) {
                overwritten += 1;
                let key = [line.left_id.as_str(), &line.right_id, &line.side, field];
                assert!(replaced.contains(&key), "{key:?} {values:?} was replaced unseen");
            }
        }
        assert_eq!(overwritten, replaced.len());
    });
}

#[test]
fn a_value_that_changed_after_the_preview_is_not_replaced_unseen() {
    run(async {
        let workplace = workplace(60).await;
        let_the_winner_replace(&workplace).await;
        workplace.preview_and_approve().await.unwrap();
        let page = listed(&workplace, "replaced").await;
        let plain = ["Phone", "Mobile", "Title", "Department", "First_Name", "Description", "Mailing_City"];
        let value = page
            .rows
            .iter()
            .find(|row| row.side == "right" && plain.contains(&row.field.split('=').next().unwrap()))
            .unwrap_or_else(|| panic!("{:#?}", page.rows));
        let field = value.field.split('=').next().unwrap();
        let set = BTreeMap::from([(field, "written by a person just now".to_owned())]);
        workplace.crms.edit(Side::Vtiger, &value.right_id, &set).await.unwrap();

        let report = workplace.run(false).await.unwrap();
        assert_eq!(report.unlisted, 1, "{report:?}");
        let name = crmsync_tests::crms::field_name(Side::Vtiger, field).to_owned();
        let records = workplace.crms.records(Side::Vtiger).await.unwrap();
        let record = records.iter().find(|record| record["id"] == value.right_id.as_str()).unwrap();
        assert!(record.to_string().contains("written by a person just now"), "{name}: {record}");
        let outcomes = workplace.outcomes().await.unwrap();
        let asked = outcomes.iter().find(|outcome| outcome.reason == "differs-ask").unwrap();
        assert_eq!((asked.record.as_str(), asked.field.as_str()), (value.left_id.as_str(), value.field.as_str()));
        // Everything else went its way, and the next run leaves it alone.
        workplace.run(false).await.unwrap();
        let after = written(&workplace).await;
        workplace.run(false).await.unwrap();
        assert_eq!(written(&workplace).await, after);
    });
}

#[test]
fn a_trial_writes_a_few_records_and_the_full_run_the_rest() {
    run(async {
        let workplace = workplace(80).await;
        let preview = workplace.preview_and_approve().await.unwrap();
        let plan = preview.pairs[0].plan.clone();
        let data = workplace.data();
        let answer = product().ask(&data, &["flow", "run", FLOW, "--trial", "9", "--json"]).await.unwrap();
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let tried = answer.json()["records"].as_array().unwrap().clone();
        let links: BTreeSet<String> =
            tried.iter().map(|record| format!("{}={}", record["left_id"], record["right_id"])).collect();
        assert_eq!(links.len(), 9, "{tried:#?}");
        for (what, side) in [("created", "left"), ("created", "right"), ("updated", "right")] {
            assert!(
                tried.iter().any(|record| record["what"] == what && record["side"] == side),
                "{what} {side}: {tried:#?}"
            );
        }
        let calls: u64 = workplace.crms.counts().await.unwrap().iter().map(|counts| counts.write).sum();
        assert!((1..=12).contains(&calls), "{calls} write calls");
        let flow = &service::list_flows(&workplace.app, LOCAL_TENANT).await.unwrap()[0];
        assert_eq!(flow.first_sync_at_ms, 0, "the first sync goes on");
        let text = product().ask(&data, &["flow", "run", FLOW, "--trial", "1"]).await.unwrap();
        assert!(text.stdout.contains("crmsync log people --record "), "{}", text.stdout);

        let report = workplace.run(false).await.unwrap();
        let created: u64 = tried.iter().filter(|record| record["what"] == "created").count() as u64;
        let rest = report.pairs[0].created_left + report.pairs[0].created_right;
        let planned = plan.create_left + plan.create_right;
        assert!(rest + created <= planned && rest + created + 1 >= planned, "{rest} + {created} of {planned}");
        assert!(service::list_flows(&workplace.app, LOCAL_TENANT).await.unwrap()[0].first_sync_at_ms > 0);
    });
}

#[test]
fn the_listing_is_for_people_programs_and_spreadsheets() {
    run(async {
        let workplace = workplace(60).await;
        let data = workplace.data();
        let none = product().ask(&data, &["flow", "preview", FLOW, "--list", "replaced", "--json"]).await.unwrap();
        assert_eq!((none.code, none.error_code().as_str()), (1, "flow.no_preview"));
        // A person's name that a spreadsheet would run and a terminal would obey.
        let set = BTreeMap::from([("Last_Name", "=1+1\u{1b}[31m".to_owned()), ("Email", "odd@odd.example".to_owned())]);
        workplace.crms.create(Side::Zoho, &set).await.unwrap();
        let text = product().ask(&data, &["flow", "preview", FLOW]).await.unwrap();
        assert_eq!(text.code, 0, "{}", text.stderr);
        for part in ["more than one match:", "--list all", "workflows and mails START", "calls (create", "flow approve"]
        {
            assert!(text.stdout.contains(part), "`{part}` is missing: {}", text.stdout);
        }
        let list = product().ask(&data, &["flow", "preview", FLOW, "--list", "created", "--most", "5", "--json"]).await;
        let list = list.unwrap().json();
        assert_eq!(list["rows"].as_array().unwrap().len(), 5);
        assert!(list["more"].as_u64().unwrap() > 0 && list["rows"][0]["kind"] == "created", "{list}");
        let unknown = product().ask(&data, &["flow", "preview", FLOW, "--list", "creatd", "--json"]).await.unwrap();
        assert_eq!((unknown.code, unknown.error_code().as_str()), (2, "flow.unknown_listing"));
        let table = product().ask(&data, &["flow", "preview", FLOW, "--list", "all", "--most", "9999"]).await.unwrap();
        assert!(table.stdout.contains("=1+1") && !table.stdout.contains('\u{1b}'), "{}", table.stdout);

        let file = workplace.folder.path().join("all.csv");
        let path = file.display().to_string();
        let wrote = product().ask(&data, &["flow", "preview", FLOW, "--csv", &path, "--json"]).await.unwrap();
        assert_eq!(wrote.code, 0, "{}", wrote.stderr);
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.lines().count() as u64 > wrote.json()["lines"].as_u64().unwrap(), "{}", wrote.stdout);
        assert!(written.starts_with("module,what,zoho,vtiger,writes to,field,before,after,reason,detail"));
        let starts = |cell: &str| cell.starts_with('=') || cell.starts_with('+');
        assert!(!written.lines().flat_map(|line| line.split(',')).any(|cell| starts(cell.trim_matches('"'))));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn what_a_newer_version_reads_into_a_file_is_previewed_and_approved() {
    run(async {
        let workplace = workplace(10).await;
        workplace.preview_and_approve().await.unwrap();
        let (store, now_ms) = (workplace.app.store(), workplace.app.now_ms());
        let file = service::document(&workplace.app, LOCAL_TENANT, FLOW).await.unwrap();
        // An earlier version read other default rows into it.
        store.apply_flow(LOCAL_TENANT, FLOW, file, "as it was read before".into(), now_ms).await.unwrap();
        let approved = service::approve(&workplace.app, LOCAL_TENANT, FLOW).await;
        assert_eq!(approved.unwrap_err().code, "flow.preview_outdated");
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
    });
}
