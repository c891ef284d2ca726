//! A mapping that changes after the first sync (S12): a new row is agreed on like a first sync, a row that is taken out keeps its values,
//! and a row whose field a CRM takes away rests.

use crmsync_sandbox::people::Side;
use serde_json::json;

use crate::product::run;
use crate::reasons::desk::{CONTACTS, Desk};

/// Contacts without the row of this field.
fn without(field: &str) -> String {
    format!("{CONTACTS}skip = [\"{field}\"]\n")
}

#[test]
fn a_row_that_is_added_later_is_previewed_and_agreed_on_like_a_first_sync() {
    run(async {
        let mut desk = Desk::open("first_sync = \"fill-empty\"", &without("Department")).await;
        let [one, one_right] = desk.pair("Blank", &[("Department", "Sales")]).await;
        let [two, two_right] = desk.pair("Differs", &[("Department", "Sales")]).await;
        assert_eq!(desk.value(Side::Vtiger, &one_right, "Department").await, "", "the row is skipped");
        desk.edit(Side::Vtiger, &two_right, "Department", "Purchasing").await;
        desk.run().await;

        desk.change("skip = [\"Department\"]\n", "").await;
        let report = desk.run().await;
        assert_eq!(report.unlisted, 0, "{report:?}");
        assert_eq!(desk.value(Side::Vtiger, &one_right, "Department").await, "Sales", "a blank is filled");
        desk.is_in_step(&one).await;
        assert_eq!(desk.value(Side::Zoho, &two, "Department").await, "Sales");
        assert_eq!(desk.value(Side::Vtiger, &two_right, "Department").await, "Purchasing", "nothing is replaced");
        desk.is_at_rest().await;

        // From now on it is a row like any other: an edit says which value is meant.
        desk.edit(Side::Vtiger, &two_right, "Department", "Logistics").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &two, "Department").await, "Logistics");
        desk.is_at_rest().await;
    });
}

#[test]
fn a_row_that_is_taken_out_keeps_its_values_and_is_agreed_on_anew_when_it_comes_back() {
    run(async {
        let mut desk = Desk::open("first_sync = \"fill-empty\"", CONTACTS).await;
        let [left, right] = desk.pair("Keeper", &[("Department", "Sales")]).await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Sales");

        desk.change(CONTACTS, &without("Department")).await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Department").await, "Sales");
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Sales", "nothing is cleared");
        desk.edit(Side::Zoho, &left, "Department", "Left").await;
        desk.edit(Side::Vtiger, &right, "Department", "Right").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Department").await, "Left", "edits of it do not travel");
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Right");

        desk.change("skip = [\"Department\"]\n", "").await;
        desk.run().await;
        // What was agreed before is forgotten, so neither value goes over the other.
        assert_eq!(desk.value(Side::Zoho, &left, "Department").await, "Left");
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Right");
        desk.is_at_rest().await;
    });
}

#[test]
fn an_own_row_whose_field_cannot_be_written_any_more_rests_and_the_flow_goes_on() {
    run(async {
        let own = format!(
            "{}\n  [[module.field]]\n  zoho = \"Department\"\n  vtiger = \"department\"\n  direction = \"to-vtiger\"\n",
            without("Department")
        );
        let desk = Desk::open("", &own).await;
        let [left, right] = desk.pair("Rester", &[("Department", "Sales"), ("Title", "Buyer")]).await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Sales");

        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": true })).await.unwrap();
        desk.workplace.hours_pass(2).await.unwrap();
        desk.edit(Side::Zoho, &left, "Department", "Purchasing").await;
        desk.edit(Side::Zoho, &left, "Title", "Head").await;
        let report = desk.run().await;
        let told = report.alarms.join("\n");
        assert!(told.contains("`Department=department`") && told.contains("rests"), "{told}");
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Head", "everything else goes on");
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Sales");

        // What was agreed stands: the edit made meanwhile is still one when the field can be written again.
        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": false })).await.unwrap();
        desk.workplace.hours_pass(2).await.unwrap();
        let report = desk.run().await;
        assert_eq!(report.alarms, Vec::<String>::new());
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Purchasing");

        // A person who writes the file while the field cannot be written is told.
        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": true })).await.unwrap();
        let app = &desk.workplace.app;
        let file = desk.file().to_owned();
        let refused =
            crmsync::service::apply(app, crmsync::app::LOCAL_TENANT, "people.toml", &file).await.map(drop).unwrap_err();
        assert!(refused.message.contains("department"), "{}", refused.message);
    });
}
