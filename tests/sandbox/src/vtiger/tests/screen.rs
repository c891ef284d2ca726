//! Converted leads and merged records, as the interface shows them afterwards.

use serde_json::{Value, json};

use super::client::{Client, start};

async fn create(client: &Client, module: &str, set: Value) -> String {
    let body = client.control("person/create", Some(json!({ "module": module, "set": set }))).await;
    body["record"]["id"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn a_converted_lead_vanishes_from_queries_but_not_by_its_id() {
    let client = start("repaired").await;
    let set = json!({ "lastname": "Novak", "company": "Converted Ltd", "designation": "Buyer" });
    let lead = create(&client, "Leads", set).await;
    let made = client.control("person/convert", Some(json!({ "id": lead }))).await["converted"].clone();
    let contact = client.retrieve(made["Contacts"].as_str().expect("an id")).await;
    assert_eq!((&contact["title"], &contact["account_id"]), (&json!("Buyer"), &made["Accounts"]));
    assert_eq!(client.query(&format!("select id from Leads where id = {lead};")).await, json!([]));
    assert_eq!(client.retrieve(&lead).await["lastname"], json!("Novak"));
    let sync =
        client.get("sync", &[("modifiedTime", "1"), ("elementType", "Leads"), ("syncType", "application")]).await;
    assert_eq!(sync["result"]["deleted"], json!([lead]));
    let again = client.control("person/convert", Some(json!({ "id": lead }))).await;
    assert_eq!(again["error"], json!("Lead is already converted"));
}

#[tokio::test]
async fn a_merged_record_is_deleted_and_the_survivor_has_what_it_lacked() {
    let client = start("default").await;
    let kept = create(&client, "Accounts", json!({ "accountname": "Kept Ltd", "phone": "1" })).await;
    let lost = create(&client, "Accounts", json!({ "accountname": "Lost Ltd", "phone": "2", "fax": "3" })).await;
    let contact = create(&client, "Contacts", json!({ "lastname": "Staff", "account_id": lost })).await;
    let body = json!({ "module": "Accounts", "id": lost, "into": kept });
    let survivor = client.control("person/merge", Some(body)).await["record"].clone();
    assert_eq!(
        (&survivor["accountname"], &survivor["phone"], &survivor["fax"]),
        (&json!("Kept Ltd"), &json!("1"), &json!("3"))
    );
    assert_eq!(client.retrieve(&contact).await["account_id"], json!(kept));
    assert_eq!(client.query(&format!("select id from Accounts where id = {lost};")).await, json!([]));
    let events = client.control("history", None).await["events"].as_array().expect("events").clone();
    let merge = events.iter().find(|event| event["op"] == "merge").expect("a merge");
    assert_eq!((&merge["id"], &merge["after"]["into"]), (&json!(lost), &json!(kept)));
}

#[tokio::test]
async fn what_comes_back_from_the_bin_is_news_under_its_old_id() {
    let client = start("default").await;
    let id = create(&client, "Contacts", json!({ "lastname": "Back", "title": "Chair" })).await;
    let restore = json!({ "module": "Contacts", "id": id });
    assert!(client.control("person/restore", Some(restore.clone())).await["error"].is_string(), "it is not in the bin");
    client.control("person/delete", Some(restore.clone())).await;
    client.advance_s(5).await;
    client.control("person/restore", Some(restore)).await;
    let shown = client.retrieve(&id).await;
    assert_eq!((&shown["id"], &shown["title"]), (&json!(id), &json!("Chair")));
    assert_ne!(shown["modifiedtime"], shown["createdtime"]);
}

#[tokio::test]
async fn an_administrator_changes_fields_and_adds_users() {
    let client = start("default").await;
    let rule = json!({ "module": "Contacts", "field": "title", "rule": { "read_only": true } });
    client.control("admin/field", Some(rule)).await;
    let described = client.get("describe", &[("elementType", "Contacts")]).await["result"].clone();
    let title = described["fields"].as_array().expect("fields").iter().find(|field| field["name"] == "title").cloned();
    assert_eq!(title.expect("a title")["editable"], json!(false));
    let record = client.create("Contacts", json!({ "lastname": "Titled", "title": "Ignored" })).await;
    assert_eq!(record["title"], json!(""), "without a word");
    let user = json!({ "name": "Kim New", "email": "kim@acme.example" });
    let kim = client.control("admin/user", Some(user)).await["user"]["id"].clone();
    let users = client.query("select id,email1,status from Users;").await;
    let listed = users.as_array().expect("users").iter().find(|user| user["id"] == kim).cloned();
    let listed = listed.expect("the new user");
    assert_eq!((&listed["email1"], &listed["status"]), (&json!("kim@acme.example"), &json!("Active")));
}
