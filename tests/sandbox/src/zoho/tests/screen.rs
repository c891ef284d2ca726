//! What people and the administrator do at the screen, as the API shows it afterwards.

use serde_json::{Value, json};

use super::client::{Client, start};

async fn leads(client: &Client, parameters: &str) -> Vec<String> {
    let body = client.get(&format!("Leads?fields=Last_Name{parameters}")).await.json();
    let rows = body["data"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn create(client: &Client, module: &str, set: Value) -> String {
    let body = client.control("person/create", Some(json!({"module": module, "set": set}))).await;
    body["record"]["id"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn a_lead_needs_a_company_because_its_layout_says_so() {
    let client = start("default", 10).await;
    let raw = client.write("POST", "Leads", json!({"data": [{"Last_Name": "Alone"}]})).await;
    assert_eq!(raw.json()["data"][0]["details"]["api_name"], "Company");
    let fields = client.get("settings/fields?module=Leads").await.json();
    let fields = fields["fields"].as_array().expect("fields").clone();
    let company = fields.iter().find(|field| field["api_name"] == "Company").expect("a company");
    assert_eq!(company["system_mandatory"], false);
    let layouts = client.get("settings/layouts?module=Leads").await.json();
    let sections = layouts["layouts"][0]["sections"][0]["fields"].as_array().expect("fields").clone();
    assert!(sections.iter().any(|field| field["api_name"] == "Company" && field["required"] == true));
}

#[tokio::test]
async fn a_converted_lead_leaves_the_lists_and_takes_no_writes() {
    let client = start("default", 10).await;
    let set =
        json!({"Last_Name": "Novak", "Company": "Converted Ltd", "Email": "novak@new.example", "Designation": "Buyer"});
    let lead = create(&client, "Leads", set).await;
    let made = client.control("person/convert", Some(json!({"id": lead}))).await["converted"].clone();
    let (account, contact) = (made["Accounts"].as_str().expect("an id"), made["Contacts"].as_str().expect("an id"));

    assert!(!leads(&client, "").await.contains(&lead));
    assert!(leads(&client, &format!("&ids={lead}")).await.is_empty());
    assert_eq!(leads(&client, "&converted=true").await, [lead.as_str()]);
    assert!(leads(&client, "&converted=both").await.contains(&lead));
    assert_eq!(client.get("Leads/deleted").await.status, 204, "it is not in the recycle bin");
    let shown = client.get(&format!("Leads/{lead}")).await.json()["data"][0].clone();
    assert_eq!((&shown["Converted__s"], &shown["Converted_Contact"]["id"]), (&json!(true), &json!(contact)));
    let body = json!({"data": [{"id": lead, "Phone": "1"}]});
    assert_eq!(client.write("PUT", "Leads", body).await.rows(), (400, vec!["ID_ALREADY_CONVERTED".to_owned()]));

    let contact = client.get(&format!("Contacts/{contact}")).await.json()["data"][0].clone();
    assert_eq!((&contact["Title"], &contact["Account_Name"]["id"]), (&json!("Buyer"), &json!(account)));
    let again = create(&client, "Leads", json!({"Last_Name": "Other", "Company": "Converted Ltd"})).await;
    let made = client.control("person/convert", Some(json!({"id": again}))).await["converted"].clone();
    assert_eq!(made["Accounts"], account, "an organization of that name is there already");
}

#[tokio::test]
async fn a_merged_record_is_gone_for_good_and_the_survivor_has_what_it_lacked() {
    let client = start("default", 10).await;
    let kept = create(&client, "Accounts", json!({"Account_Name": "Kept Ltd", "Phone": "1"})).await;
    let lost = create(&client, "Accounts", json!({"Account_Name": "Lost Ltd", "Phone": "2", "Fax": "3"})).await;
    let contact = create(&client, "Contacts", json!({"Last_Name": "Staff", "Account_Name": {"id": lost}})).await;
    let body = client.control("person/merge", Some(json!({"module": "Accounts", "id": lost, "into": kept}))).await;
    let survivor = &body["record"];
    assert_eq!(
        (&survivor["Account_Name"], &survivor["Phone"], &survivor["Fax"]),
        (&json!("Kept Ltd"), &json!("1"), &json!("3"))
    );
    let contact = client.get(&format!("Contacts/{contact}")).await.json()["data"][0].clone();
    assert_eq!(contact["Account_Name"]["id"], json!(kept));
    assert_eq!(client.get(&format!("Accounts/{lost}")).await.status, 204);
    let deleted = client.get("Accounts/deleted").await.json()["data"][0].clone();
    assert_eq!((&deleted["id"], &deleted["type"]), (&json!(lost), &json!("permanent")));
    let events = client.control("history", None).await["events"].as_array().expect("events").clone();
    let merge = events.iter().find(|event| event["op"] == "merge").expect("a merge");
    assert_eq!((&merge["id"], &merge["after"]["into"]), (&json!(lost), &json!(kept)));
}

#[tokio::test]
async fn what_comes_back_from_the_bin_is_news_under_its_old_id() {
    let client = start("default", 10).await;
    let id = create(&client, "Contacts", json!({"Last_Name": "Back", "Title": "Chair"})).await;
    let restore = json!({"module": "Contacts", "id": id});
    assert!(client.control("person/restore", Some(restore.clone())).await["error"].is_string(), "it is not in the bin");
    client.control("person/delete", Some(restore.clone())).await;
    client.advance_ms(5_000).await;
    client.control("person/restore", Some(restore)).await;
    let shown = client.get(&format!("Contacts/{id}")).await.json()["data"][0].clone();
    assert_eq!((&shown["id"], &shown["Title"]), (&json!(id), &json!("Chair")));
    assert_ne!(shown["Modified_Time"], shown["Created_Time"]);
    assert_eq!(client.get("Contacts/deleted").await.status, 204);
}

#[tokio::test]
async fn an_administrator_changes_fields_and_adds_users() {
    let client = start("default", 10).await;
    let set = async |rule: Value| {
        client.control("admin/field", Some(json!({"module": "Contacts", "field": "Title", "rule": rule}))).await
    };
    let id = create(&client, "Contacts", json!({"Last_Name": "Titled", "Title": "Chair"})).await;
    let write =
        async |title: &str| client.write("PUT", "Contacts", json!({"data": [{"id": id, "Title": title}]})).await.rows();
    set(json!({"chars_max": 3})).await;
    assert_eq!(write("Clerk").await, (400, vec!["INVALID_DATA".to_owned()]));
    set(json!({"chars_max": 50, "read_only": true})).await;
    let fields = client.get("settings/fields?module=Contacts").await.json();
    let title = fields["fields"].as_array().expect("fields").iter().find(|field| field["api_name"] == "Title").cloned();
    assert_eq!(title.expect("a title")["field_read_only"], true);
    assert_eq!(write("Clerk").await.0, 200);
    assert_eq!(
        client.get(&format!("Contacts/{id}")).await.json()["data"][0]["Title"],
        "Chair",
        "ignored without a word"
    );

    let user = json!({"name": "Kim New", "email": "kim@acme.example"});
    let kim = client.control("admin/user", Some(user)).await["user"]["id"].clone();
    let owned = create(&client, "Contacts", json!({"Last_Name": "Owned", "Owner": {"id": kim}})).await;
    let shown = client.get(&format!("Contacts/{owned}")).await.json()["data"][0]["Owner"].clone();
    assert_eq!((&shown["id"], &shown["email"]), (&kim, &json!("kim@acme.example")));
}
