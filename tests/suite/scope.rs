//! Which records a flow is about: filters, a start date, references to records that were matched before, and values for new records.

use std::collections::BTreeMap;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::Preview;
use crmsync::service;
use crmsync_sandbox::people::{self, Side};
use crmsync_tests::crms::Crms;
use crmsync_tests::workplace::{Workplace, told};
use serde_json::{Value, json};

use crate::product::run;

const QUIESCE_MS: u64 = 600;
const SEED: u64 = 5;

async fn workplace(records: usize, head: &str, modules: &str) -> Workplace {
    let workplace = Workplace::open(Crms::here(records, SEED).await.unwrap(), QUIESCE_MS).await.unwrap();
    let text = format!(
        "format = 1\nname = \"people\"\nbetween = [\"zoho\", \"vtiger\"]\nwinner = \"zoho\"\n{head}\n[owners]\n\
         fallback = {{ zoho = \"office@acme.example\", vtiger = \"office@acme.example\" }}\n\n{modules}"
    );
    service::apply(&workplace.app, LOCAL_TENANT, "people.toml", &text).await.map_err(told).unwrap();
    workplace
}

async fn first_sync(workplace: &Workplace) -> Preview {
    workplace.crms.advance(1_300).await.unwrap();
    let preview = workplace.preview_and_approve().await.unwrap();
    calm(workplace).await;
    preview
}

/// Runs until a run has nothing to write.
async fn calm(workplace: &Workplace) {
    for _ in 0..6 {
        workplace.crms.advance(1_300).await.unwrap();
        let report = workplace.run(false).await.unwrap();
        let writes = |pair: &crmsync::engine::PairReport| {
            pair.created_left + pair.created_right + pair.updated_left + pair.updated_right + pair.waiting
        };
        if report.pairs.iter().map(writes).sum::<u64>() == 0 {
            return;
        }
    }
    panic!("it does not come to rest");
}

async fn edit(workplace: &Workplace, side: Side, id: &str, fields: &[(&str, &str)]) {
    let set: BTreeMap<&str, String> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    workplace.crms.edit(side, id, &set).await.unwrap();
}

/// The record of one side whose last name this is; none if there is none.
async fn by_name(workplace: &Workplace, side: Side, last: &str) -> Option<Value> {
    let field = if side == Side::Zoho { "Last_Name" } else { "lastname" };
    let mut records = workplace.crms.records(side).await.unwrap();
    records.retain(|record| record[field] == last);
    assert!(records.len() < 2, "{last} is there twice");
    records.pop()
}

async fn reasons(workplace: &Workplace, kind: &str) -> Vec<String> {
    let outcomes = workplace.outcomes().await.unwrap();
    let mut reasons: Vec<String> =
        outcomes.into_iter().filter(|outcome| outcome.kind == kind).map(|outcome| outcome.reason).collect();
    reasons.sort();
    reasons
}

#[test]
fn a_record_that_leaves_the_filter_is_left_alone_until_it_comes_back() {
    run(async {
        let workplace = workplace(
            0,
            "",
            "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\n\
             filter = { zoho = 'Department = \"Sales\" and not (Title contains \"intern\")' }\n\
             [[module.field]]\nvtiger = \"assistant\"\nconstant = \"came from Zoho\"\n",
        )
        .await;
        let crms = &workplace.crms;
        let fields = |last: &str, department: &str| {
            BTreeMap::from([("Last_Name", last.to_owned()), ("Department", department.to_owned())])
        };
        let sold = crms.create(Side::Zoho, &fields("Sold", "Sales")).await.unwrap();
        let other = crms.create(Side::Zoho, &fields("Other", "IT")).await.unwrap();
        let preview = first_sync(&workplace).await;
        assert_eq!(preview.pairs[0].plan.create_right, 1);
        assert_eq!(preview.pairs[0].plan.out_of_scope["outside-filter"], 1);
        let copy = by_name(&workplace, Side::Vtiger, "Sold").await.unwrap();
        assert_eq!(copy["assistant"], "came from Zoho", "new records are given the constant");
        assert!(by_name(&workplace, Side::Vtiger, "Other").await.is_none());
        assert_eq!(reasons(&workplace, "out-of-scope").await, ["outside-filter"]);
        let copy = copy["id"].as_str().unwrap().to_owned();

        // It leaves, and both sides are edited meanwhile: nothing travels, and nothing is taken for deleted.
        edit(&workplace, Side::Zoho, &sold, &[("Department", "IT"), ("Mailing_City", "Oslo")]).await;
        calm(&workplace).await;
        edit(&workplace, Side::Vtiger, &copy, &[("Description", "wants a call"), ("Assistant", "by hand")]).await;
        calm(&workplace).await;
        workplace.run(true).await.unwrap();
        let there = by_name(&workplace, Side::Vtiger, "Sold").await.unwrap();
        assert_eq!((&there["department"], &there["mailingcity"]), (&json!("Sales"), &json!("")));
        assert_ne!(by_name(&workplace, Side::Zoho, "Sold").await.unwrap()["Description"], "wants a call");
        assert_eq!(reasons(&workplace, "out-of-scope").await, ["left-filter", "outside-filter"]);

        // It comes back, and so does all that was edited; the other one enters.
        edit(&workplace, Side::Zoho, &sold, &[("Department", "Sales")]).await;
        edit(&workplace, Side::Zoho, &other, &[("Department", "Sales")]).await;
        calm(&workplace).await;
        let there = by_name(&workplace, Side::Vtiger, "Sold").await.unwrap();
        assert_eq!(there["mailingcity"], "Oslo");
        assert_eq!(there["assistant"], "by hand", "a constant is for new records only");
        assert_eq!(by_name(&workplace, Side::Zoho, "Sold").await.unwrap()["Description"], "wants a call");
        assert!(by_name(&workplace, Side::Vtiger, "Other").await.is_some());
        assert!(reasons(&workplace, "out-of-scope").await.is_empty());
    });
}

#[test]
fn records_of_before_the_start_date_join_when_they_are_edited() {
    run(async {
        let records = 30;
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let today = crmsync_core::Value::Date((since_1970.as_secs() / 86_400) as i64).display();
        let workplace = workplace(
            records,
            &format!("records_from = \"{today}\"\n"),
            "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\n",
        )
        .await;
        let population = people::generate(SEED, records);
        let preview = first_sync(&workplace).await;
        let plan = &preview.pairs[0].plan;
        let known = population.people.iter().filter(|person| person.zoho.is_some() && person.vtiger.is_some()).count();
        assert_eq!(plan.linked, known as u64, "old records are matched");
        assert_eq!(plan.approved().values().sum::<u64>(), known as u64, "and nothing else happens to them");
        assert!(plan.out_of_scope["before-start-date"] > known as u64);
        assert_eq!(workplace.crms.counts().await.unwrap().map(|counts| counts.write), [0, 0]);

        let mut people = population.people.iter().filter(|person| !person.ambiguous);
        let linked = people.find(|person| person.zoho.is_some() && person.vtiger.is_some()).unwrap();
        let alone = people.find(|person| person.vtiger.is_none()).unwrap();
        let id = |person: &people::Person| person.zoho.as_ref().unwrap().id.clone();
        edit(&workplace, Side::Zoho, &id(linked), &[("Title", "Chair")]).await;
        edit(&workplace, Side::Zoho, &id(alone), &[("Title", "Treasurer")]).await;
        calm(&workplace).await;
        let vtiger = workplace.crms.records(Side::Vtiger).await.unwrap();
        let titles = |title: &str| vtiger.iter().filter(|record| record["title"] == title).count();
        assert_eq!((titles("Chair"), titles("Treasurer")), (1, 1));
        assert_eq!(vtiger.len(), records + 1, "only the edited one was created");
        let counts = workplace.crms.counts().await.unwrap().map(|counts| counts.write);
        assert_eq!(counts, [0, 2], "nobody else was written");
    });
}

#[test]
fn people_of_one_name_are_known_by_their_organization() {
    run(async {
        let modules = "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\nfields = \"none\"\n\
             match = [\"last name + organization\"]\n\
             [[module.field]]\nzoho = \"Last_Name\"\nvtiger = \"lastname\"\nsame = \"name\"\n\
             [[module.field]]\nzoho = \"Account_Name\"\nvtiger = \"account_id\"\n\
             [[module.field]]\nzoho = \"Department\"\nvtiger = \"department\"\n[[module.field]]\nzoho = \"Owner\"\nvtiger = \"assigned_user_id\"\n\
             [[module]]\nzoho = \"Accounts\"\nvtiger = \"Accounts\"\nfields = \"none\"\nmatch = [\"organization name\"]\n\
             [[module.field]]\nzoho = \"Account_Name\"\nvtiger = \"accountname\"\nsame = \"name\"\n\
             [[module.field]]\nzoho = \"Owner\"\nvtiger = \"assigned_user_id\"\n";
        let workplace = workplace(0, "", modules).await;
        let crms = &workplace.crms;
        let organizations = people::generate(SEED, 0).organizations;
        // The first one is on both sides, the second one in Zoho alone.
        let (one, two) = (&organizations[0], &organizations[1]);
        let zoho = |last: &str, organization: Option<&people::Person>| json!({ "Last_Name": last, "Account_Name": organization.map(|it| json!({ "id": it.zoho.as_ref().unwrap().id })) });
        let vtiger = |last: &str, organization: Option<&people::Person>| json!({ "lastname": last, "account_id": organization.map_or("", |it| it.vtiger.as_ref().unwrap().id.as_str()) });
        let smith = crms.create_spelled(Side::Zoho, &zoho("Smith", Some(one))).await.unwrap();
        crms.create_spelled(Side::Zoho, &zoho("Smith", Some(two))).await.unwrap();
        crms.create_spelled(Side::Zoho, &zoho("Jones", None)).await.unwrap();
        let same_smith = crms.create_spelled(Side::Vtiger, &vtiger("SMITH", Some(one))).await.unwrap();
        crms.create_spelled(Side::Vtiger, &vtiger("Jones", None)).await.unwrap();
        let preview = first_sync(&workplace).await;
        let people = preview.pairs.iter().find(|pair| pair.name == "Contacts").unwrap();
        // Who has no organization is known by nothing: a key with an empty part says nothing.
        assert_eq!((people.plan.linked, people.plan.create_left, people.plan.create_right), (1, 1, 2));
        let log = workplace.log().await.unwrap();
        let linked = log.iter().filter(|line| line.action == "linked" && line.left_id == smith);
        assert_eq!(linked.map(|line| line.right_id.as_str()).collect::<Vec<_>>(), [same_smith.as_str()]);
        assert!(reasons(&workplace, "left-out").await.iter().all(|reason| reason != "reference-not-linked"));
    });
}

/// Contacts of the sales department only, with these lines about those who leave it.
async fn sales_only(leaves: &str) -> Workplace {
    let modules = format!(
        "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\nskip = [\"Fax\"]\n\
         filter = {{ zoho = 'Department = \"Sales\"' }}\n{leaves}\n"
    );
    workplace(0, "deletes = \"recycle\"\n", &modules).await
}

async fn sold(workplace: &Workplace, last: &str) -> String {
    let set = BTreeMap::from([("Last_Name", last.to_owned()), ("Department", "Sales".to_owned())]);
    workplace.crms.create(Side::Zoho, &set).await.unwrap()
}

async fn writes_nothing(workplace: &Workplace) {
    let writes = async || workplace.crms.counts().await.unwrap().map(|counts| counts.write);
    let before = writes().await;
    for _ in 0..2 {
        workplace.crms.advance(1_300).await.unwrap();
        workplace.run(true).await.unwrap();
    }
    assert_eq!(writes().await, before, "a run with nothing to do wrote");
}

#[test]
fn a_record_that_leaves_the_filter_is_marked_until_it_comes_back() {
    run(async {
        let mark = "when_it_leaves = \"mark\"\nmark = { zoho = \"Fax\", vtiger = \"fax\", value = \"not in sales\" }";
        let workplace = sales_only(mark).await;
        let id = sold(&workplace, "Sold").await;
        first_sync(&workplace).await;
        calm(&workplace).await;
        let copy = async || by_name(&workplace, Side::Vtiger, "Sold").await.unwrap();
        let copy_id = copy().await["id"].as_str().unwrap().to_owned();
        edit(&workplace, Side::Zoho, &id, &[("Department", "IT"), ("Mailing_City", "Oslo")]).await;
        workplace.crms.advance(1_300).await.unwrap();
        let report = workplace.run(true).await.unwrap();
        assert_eq!((report.pairs[0].marked_left, report.pairs[0].marked_right), (0, 1), "{report:?}");
        assert_eq!((&copy().await["fax"], &copy().await["department"]), (&json!("not in sales"), &json!("Sales")));
        assert_eq!(reasons(&workplace, "out-of-scope").await, ["left-filter"]);
        writes_nothing(&workplace).await;

        // Long after, an edit of the copy does not travel either.
        workplace.crms.advance(3 * 60 * 60 * 1_000).await.unwrap();
        edit(&workplace, Side::Vtiger, &copy_id, &[("Description", "wants a call")]).await;
        writes_nothing(&workplace).await;

        edit(&workplace, Side::Zoho, &id, &[("Department", "Sales")]).await;
        calm(&workplace).await;
        assert_eq!((&copy().await["fax"], &copy().await["mailingcity"]), (&json!(""), &json!("Oslo")));
        assert_eq!(by_name(&workplace, Side::Zoho, "Sold").await.unwrap()["Description"], "wants a call");
        assert_eq!(copy().await["id"], copy_id, "it is the same record");
        assert!(reasons(&workplace, "out-of-scope").await.is_empty());
        writes_nothing(&workplace).await;
    });
}

#[test]
fn a_record_that_leaves_the_filter_is_recycled_and_copied_again_when_it_comes_back() {
    run(async {
        let workplace = sales_only("when_it_leaves = \"recycle\"").await;
        let ids = [sold(&workplace, "Plain").await, sold(&workplace, "Edited").await];
        first_sync(&workplace).await;
        calm(&workplace).await;
        let copy = async |last: &str| {
            by_name(&workplace, Side::Vtiger, last).await.map(|copy| copy["id"].as_str().unwrap().to_owned())
        };
        let former = copy("Plain").await.unwrap();
        // What somebody is working on is not thrown away.
        edit(&workplace, Side::Vtiger, &copy("Edited").await.unwrap(), &[("Description", "wants a call")]).await;
        for id in &ids {
            edit(&workplace, Side::Zoho, id, &[("Department", "IT")]).await;
        }
        workplace.crms.advance(1_300).await.unwrap();
        let report = workplace.run(true).await.unwrap();
        assert_eq!((report.pairs[0].deleted_left, report.pairs[0].deleted_right), (0, 1), "{report:?}");
        assert!(copy("Plain").await.is_none() && copy("Edited").await.is_some());
        // That the copy is gone is no delete: the record that left the filter stays where it is.
        writes_nothing(&workplace).await;
        assert!(by_name(&workplace, Side::Zoho, "Plain").await.is_some());
        assert_eq!(reasons(&workplace, "out-of-scope").await, ["left-filter", "outside-filter"]);
        let log = workplace.log().await.unwrap();
        let line = log.iter().find(|line| line.action == "deleted").unwrap();
        assert!(line.reason == "left-filter" && line.before.contains("Last_Name=lastname"), "{line:?}");

        for id in &ids {
            edit(&workplace, Side::Zoho, id, &[("Department", "Sales")]).await;
        }
        calm(&workplace).await;
        assert_ne!(copy("Plain").await.unwrap(), former);
        assert_eq!(by_name(&workplace, Side::Zoho, "Edited").await.unwrap()["Description"], "wants a call");
        assert!(reasons(&workplace, "out-of-scope").await.is_empty());
        writes_nothing(&workplace).await;
    });
}

#[test]
fn many_records_that_leave_the_filter_at_once_wait_for_consent() {
    run(async {
        let workplace = sales_only("when_it_leaves = \"recycle\"").await;
        let mut ids = Vec::new();
        for number in 0..9 {
            ids.push(sold(&workplace, &format!("Sold{number}")).await);
        }
        first_sync(&workplace).await;
        calm(&workplace).await;
        let copies = async || workplace.crms.records(Side::Vtiger).await.unwrap().len();
        assert_eq!(copies().await, 9);
        for id in &ids[..7] {
            edit(&workplace, Side::Zoho, id, &[("Department", "IT")]).await;
        }
        for _ in 0..2 {
            workplace.crms.advance(1_300).await.unwrap();
            let report = workplace.run(false).await.unwrap();
            let alarm = report.alarms.join("; ");
            assert!(alarm.contains("7 left the filter") && alarm.contains("--deletes"), "{alarm}");
            assert_eq!((copies().await, report.pairs[0].held_removals), (9, 7));
        }
        assert_eq!(reasons(&workplace, "waiting").await, ["safety-stop"; 7]);
        // One of them is mended; for the others people consent.
        edit(&workplace, Side::Zoho, &ids[0], &[("Department", "Sales"), ("Title", "Back")]).await;
        service::approve_deletes(&workplace.app, LOCAL_TENANT, "people").await.unwrap();
        workplace.crms.advance(1_300).await.unwrap();
        let report = workplace.run(false).await.unwrap();
        assert_eq!((report.pairs[0].deleted_right, report.alarms), (6, vec![]));
        assert_eq!(copies().await, 3);
        calm(&workplace).await;
        assert_eq!(by_name(&workplace, Side::Vtiger, "Sold0").await.unwrap()["title"], "Back");
        writes_nothing(&workplace).await;
        assert_eq!(workplace.crms.records(Side::Zoho).await.unwrap().len(), 9);
    });
}
