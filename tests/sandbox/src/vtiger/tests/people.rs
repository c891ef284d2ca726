use serde_json::{Value, json};

use super::client::start;
use crate::people::{Counts, Module, Side, generate_counts};

#[tokio::test]
async fn a_new_server_holds_the_vtiger_half_of_the_population() {
    let client = start("default").await;
    let population = generate_counts(7, Counts { leads: 0, organizations: 3, ..Counts::of(10) });
    let records = client.control("records/Contacts", None).await;
    let records = records["records"].as_array().expect("a list");
    assert_eq!(records.len(), 10);
    for (shown, record) in population.vtiger_contacts().into_iter().zip(records) {
        assert_eq!(record["id"], json!(shown.id));
        for (field, value) in shown.vtiger_fields(Module::Contacts) {
            assert_eq!(record[field], json!(value), "{field} of {}", shown.id);
        }
        assert_eq!(record["assigned_user_id"], json!(population.users[shown.owner].vtiger_id));
        let account = population.pointed_to(Module::Contacts, Side::Vtiger, shown, "Account_Name").unwrap_or_default();
        assert_eq!((&record["account_id"], &record["source"]), (&json!(account), &json!("CRM")));
        assert_eq!(&client.retrieve(&shown.id).await, record, "as `retrieve` gives it");
    }
    let made = client.create("Contacts", json!({ "lastname": "Next" })).await;
    assert_eq!(made["id"], json!(format!("12x{}", population.vtiger_number_max + 1)));
    let accounts = client.query("select count(*) from Accounts;").await;
    assert_eq!(accounts[0]["count"], json!(3.to_string()));
    assert_eq!(client.control("ready", None).await, json!({ "crm": "vtiger" }));
}

#[tokio::test]
async fn people_edit_at_the_screen() {
    let client = start("default").await;
    let person = async |action: &str, body: Value| client.control(&format!("person/{action}"), Some(body)).await;
    let created = person("create", json!({ "module": "Contacts", "set": { "lastname": "Typed", "phone": "1" } })).await;
    let record = &created["record"];
    assert_eq!(
        (&record["source"], &record["modifiedby"], &record["assigned_user_id"]),
        (&json!("CRM"), &json!("19x5"), &json!("19x5"))
    );
    let id = record["id"].as_str().expect("an id");
    client.advance_s(2).await;
    let edited = person("edit", json!({ "module": "Contacts", "id": id, "set": { "phone": "2" } })).await;
    assert_eq!(edited["record"]["phone"], json!("2"));
    assert!(edited["record"]["modifiedtime"].as_str() > record["modifiedtime"].as_str());
    let deleted = person("delete", json!({ "module": "Contacts", "id": id })).await;
    assert_eq!(deleted["record"]["lastname"], json!("Typed"), "as it was");
    assert_eq!(client.query(&format!("select id from Contacts where id = {id};")).await, json!([]));

    let history = client.control("history", None).await;
    let events = history["events"].as_array().expect("a list");
    let seen: Vec<(&str, &str)> =
        events.iter().filter_map(|event| Some((event["actor"].as_str()?, event["op"].as_str()?))).collect();
    assert_eq!(seen, [("person", "create"), ("person", "update"), ("person", "delete")]);
    let summary = client.control("summary", None).await;
    assert_eq!((&summary["automations_unavoidable"], &summary["api_calls"]["write"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_person_is_told_what_is_wrong() {
    let client = start("default").await;
    let error = async |action: &str, body: Value| {
        let answer = client.control(&format!("person/{action}"), Some(body)).await;
        answer["error"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let no_name = error("create", json!({ "module": "Contacts", "set": { "phone": "1" } })).await;
    assert_eq!(no_name, "lastname does not have a value");
    let no_field = error("edit", json!({ "module": "Contacts", "id": "12x5", "set": { "fone": "1" } })).await;
    assert_eq!(no_field, "Contacts has no field `fone`");
    let other_module = error("delete", json!({ "module": "Accounts", "id": "12x5" })).await;
    assert_eq!(other_module, "`12x5` is no id of Accounts");
    let no_module = error("create", json!({ "module": "Users", "set": {} })).await;
    assert_eq!(no_module, "there is no module `Users`");
    let gone = error("delete", json!({ "module": "Contacts", "id": "12x99999" })).await;
    assert_eq!(gone, "Permission to perform the operation is denied");
}
