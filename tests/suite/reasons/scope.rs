//! Records that the flow is not about, or not yet.

use crmsync_core::decide::reason;
use crmsync_sandbox::people::{self, Side};
use crmsync_tests::crms::Crms;
use serde_json::json;

use super::desk::{CONTACTS, Desk};
use crate::product::run;

const SEED: u64 = 5;
const FILTER: &str = "filter = { zoho = 'Department = \"Sales\"' }";

fn filtered() -> String {
    format!("{CONTACTS}{FILTER}\n")
}

#[test]
pub(super) fn before_start_date() {
    run(async {
        let code = reason::BEFORE_START_DATE;
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let today = crmsync_core::Value::Date((since_1970.as_secs() / 86_400) as i64).display();
        let head = format!("records_from = \"{today}\"");
        let mut desk = Desk::at(Crms::here(12, SEED).await.unwrap(), &head, CONTACTS).await;
        let population = people::generate(SEED, 12);
        let mut alone = population.people.iter().filter(|person| !person.ambiguous && person.vtiger.is_none());
        let mut next = || alone.next().unwrap().zoho.as_ref().unwrap().id.clone();
        let (edited, referenced, older) = (next(), next(), next());
        for record in [&edited, &referenced, &older] {
            desk.is_listed(record, code).await;
            assert_eq!(desk.partner(record).await, None);
        }
        desk.edit(Side::Zoho, &edited, "Title", "Chair").await;
        let report =
            json!({ "Last_Name": "Pointer", "Email": "pointer@reasons.example", "Reporting_To": { "id": referenced } });
        desk.crms().create_spelled(Side::Zoho, &report).await.unwrap();
        desk.run().await;
        desk.run().await;
        for record in [&edited, &referenced] {
            assert!(desk.partner(record).await.is_some(), "{record} joined");
            desk.is_over(record, code).await;
        }
        assert_eq!(desk.partner(&older).await, None);
        desk.is_at_rest().await;

        desk.change(&head, "records_from = \"2001-01-01\"").await;
        desk.run().await;
        assert!(desk.partner(&older).await.is_some());
        desk.is_over(&older, code).await;
        desk.run().await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn outside_filter() {
    run(async {
        let code = reason::OUTSIDE_FILTER;
        let mut desk = Desk::open("", &filtered()).await;
        let joins = desk.person(Side::Zoho, "Joins", &[("Department", "IT")]).await;
        let other = desk.person(Side::Zoho, "Other", &[("Department", "Support")]).await;
        desk.run().await;
        desk.is_listed(&joins, code).await;
        desk.is_listed(&other, code).await;
        desk.edit(Side::Zoho, &joins, "Department", "Sales").await;
        desk.run().await;
        desk.is_in_step(&joins).await;
        desk.is_listed(&other, code).await;
        desk.change(FILTER, "filter = { zoho = 'Department = \"Sales\" or Department = \"Support\"' }").await;
        desk.run().await;
        desk.is_in_step(&other).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn left_filter() {
    run(async {
        let code = reason::LEFT_FILTER;
        let mut desk = Desk::open("", &filtered()).await;
        let [back, right] = desk.pair("Back", &[("Department", "Sales")]).await;
        let [stays_out, _] = desk.pair("Out", &[("Department", "Sales")]).await;
        for left in [&back, &stays_out] {
            desk.edit(Side::Zoho, left, "Department", "Support").await;
            desk.edit(Side::Zoho, left, "Title", "Meanwhile").await;
        }
        desk.run().await;
        for left in [&back, &stays_out] {
            desk.is_listed(left, code).await;
        }
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "", "it gets no updates");
        desk.edit(Side::Zoho, &back, "Department", "Sales").await;
        desk.run().await;
        desk.is_in_step(&back).await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Meanwhile", "what was edited meanwhile travels");
        desk.change(FILTER, "filter = { zoho = 'Department = \"Sales\" or Department = \"Support\"' }").await;
        desk.run().await;
        desk.is_in_step(&stays_out).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn one_way() {
    run(async {
        let mut desk = Desk::open("", &format!("{CONTACTS}direction = \"to-vtiger\"\n")).await;
        let right = desk.person(Side::Vtiger, "Wayward", &[]).await;
        desk.run().await;
        desk.is_listed(&right, reason::ONE_WAY).await;
        assert_eq!(desk.count(Side::Zoho).await, 0);
        desk.change("direction = \"to-vtiger\"", "direction = \"both\"").await;
        desk.run().await;
        let records = desk.crms().records(Side::Zoho).await.unwrap();
        let left = records[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(desk.partner(&left).await, Some(right));
        desk.is_in_step(&left).await;
        desk.is_at_rest().await;
    });
}
