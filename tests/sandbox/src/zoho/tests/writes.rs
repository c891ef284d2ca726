//! Inserts, updates, upserts, deletes: rows that succeed or fail one by one.

use serde_json::{Value, json};

use super::client::{Client, start};

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

async fn read(client: &Client, id: &str) -> Value {
    client.get(&format!("Contacts/{id}")).await.json()["data"][0].clone()
}

#[tokio::test]
async fn inserts_answer_by_the_mix_and_in_order() {
    let client = start("default", 5).await;
    let insert = async |rows: Value| client.write("POST", "Contacts", json!({"data": rows})).await;
    let good = insert(json!([{"Last_Name": "  Blank  ", "Nonsense": 1, "Created_Time": "x", "$x": 2}])).await;
    assert_eq!(good.rows(), (201, codes(&["SUCCESS"])));
    let details = good.json()["data"][0]["details"].clone();
    let mut keys: Vec<String> = details.as_object().expect("details").keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["$approval_state", "Created_By", "Created_Time", "Modified_By", "Modified_Time", "id"]);
    assert_eq!(read(&client, details["id"].as_str().expect("an id")).await["Last_Name"], "Blank");

    assert_eq!(insert(json!([{"Last_Name": "A"}, {}])).await.rows(), (207, codes(&["SUCCESS", "MANDATORY_NOT_FOUND"])));
    assert_eq!(insert(json!([{"Last_Name": ""}])).await.rows(), (400, codes(&["MANDATORY_NOT_FOUND"])));
    for (row, place) in [
        (json!({"Last_Name": "x".repeat(81)}), "Last_Name"),
        (json!({"Last_Name": 5}), "Last_Name"),
        (json!({"Last_Name": "A", "Email": "not an address"}), "Email"),
        (json!({"Last_Name": "A", "Email_Opt_Out": "true"}), "Email_Opt_Out"),
        (json!({"Last_Name": "A", "Date_of_Birth": "31.12.1980"}), "Date_of_Birth"),
        (json!({"Last_Name": "A", "Account_Name": {"id": "5725767000000000009"}}), "Account_Name"),
        (json!({"Last_Name": "A", "Owner": {"id": "5725767000000310004"}}), "Owner"),
    ] {
        let raw = insert(json!([row])).await;
        let error = &raw.json()["data"][0];
        assert_eq!((raw.status, &error["code"]), (400, &json!("INVALID_DATA")), "{place}");
        assert_eq!(
            (&error["details"]["api_name"], &error["details"]["json_path"]),
            (&json!(place), &json!(format!("$.data[0].{place}")))
        );
    }
    let long = insert(json!([{"Last_Name": "x".repeat(81)}])).await.json();
    assert_eq!(long["data"][0]["details"]["maximum_length"], 80);
    let several = insert(json!([{"Email": "x", "Date_of_Birth": "y"}])).await.json();
    assert_eq!(several["data"][0]["code"], "MULTIPLE_OR_MULTI_ERRORS");
    assert_eq!(several["data"][0]["details"]["errors"].as_array().map(Vec::len), Some(3));
    let free = insert(json!([{"Last_Name": "A", "Lead_Source": "Podcast", "Salutation": "-None-"}])).await;
    assert_eq!(free.status, 201, "unknown values of a pick list are taken");
}

#[tokio::test]
async fn a_body_that_is_no_list_of_rows_is_refused_as_a_whole() {
    let client = start("default", 5).await;
    let many = json!({"data": vec![json!({"Last_Name": "A"}); 101]}).to_string();
    for (body, code) in [
        ("", "INVALID_DATA"),
        ("[]", "INVALID_DATA"),
        ("{}", "MANDATORY_NOT_FOUND"),
        (r#"{"data":[]}"#, "MANDATORY_NOT_FOUND"),
        (r#"{"data":{}}"#, "INVALID_DATA"),
        (r#"{"data":[{}],"trigger":["everything"]}"#, "INVALID_DATA"),
        (r#"{"data":[{}],"skip_feature_execution":["cadences"]}"#, "INVALID_DATA"),
        (many.as_str(), "LIMIT_EXCEEDED"),
    ] {
        assert_eq!(client.api("POST", "Contacts", &[], body).await.refusal(), (400, code.to_owned()), "{body:.60}");
    }
}

#[tokio::test]
async fn updates_are_partial_and_null_clears() {
    let client = start("default", 5).await;
    let one = client.insert(json!({"Last_Name": "One", "Title": "CEO", "Phone": "1"})).await;
    let number: u64 = one.parse().expect("a number");
    let update = async |rows: Value| client.write("PUT", "Contacts", json!({"data": rows, "trigger": []})).await;
    assert_eq!(update(json!([{"id": number, "Title": null, "Fax": "2"}])).await.rows(), (200, codes(&["SUCCESS"])));
    let record = read(&client, &one).await;
    assert_eq!((&record["Title"], &record["Phone"], &record["Fax"]), (&Value::Null, &json!("1"), &json!("2")));
    let mixed =
        update(json!([{"id": one, "Last_Name": null}, {"Title": "x"}, {"id": "1"}, {"id": one, "Title": "y"}])).await;
    let expected = codes(&["MANDATORY_NOT_FOUND", "MANDATORY_NOT_FOUND", "INVALID_DATA", "SUCCESS"]);
    assert_eq!(mixed.rows(), (207, expected));
    let single = client.write("PUT", &format!("Contacts/{one}"), json!({"data": [{"Title": "z"}]})).await;
    assert_eq!((single.status, &single.json()["data"][0]["message"]), (200, &json!("record updated")));
    assert_eq!(read(&client, &one).await["Title"], "z");
}

#[tokio::test]
async fn a_conditional_update_fails_for_what_is_newer() {
    let client = start("default", 5).await;
    let one = client.insert(json!({"Last_Name": "One"})).await;
    let seen = read(&client, &one).await["Modified_Time"].as_str().expect("a time").to_owned();
    let two = client.insert(json!({"Last_Name": "Two"})).await;
    let update = async |rows: Value, since: &str| {
        let body = json!({"data": rows, "trigger": []}).to_string();
        client.api("PUT", "Contacts", &[("if-unmodified-since", since)], &body).await
    };
    let unchanged = update(json!([{"id": one, "Title": "a"}]), "2999-01-01T00:00:00+00:00").await;
    assert_eq!(unchanged.rows(), (200, codes(&["SUCCESS"])));
    client.advance_ms(2_000).await;
    client.control("person/edit", Some(json!({"module": "Contacts", "id": one, "set": {"Title": "by hand"}}))).await;
    let late = update(json!([{"id": one, "Title": "b"}]), &seen).await;
    assert_eq!(late.rows(), (412, codes(&["ALREADY_MODIFIED"])));
    let record = read(&client, &one).await;
    assert_eq!(late.json()["data"][0]["details"]["Modified_Time"], record["Modified_Time"]);
    assert_eq!(record["Title"], "by hand");
    let http = update(json!([{"id": one, "Title": "b"}]), "Tue, 01 Jan 2999 00:00:00 GMT").await;
    assert_eq!(http.refusal(), (400, "INVALID_DATA".to_owned()));
    let time = read(&client, &two).await["Modified_Time"].as_str().expect("a time").to_owned();
    let mixed = update(json!([{"id": one, "Title": "b"}, {"id": two, "Title": "b"}]), &time).await;
    assert_eq!(mixed.rows(), (207, codes(&["ALREADY_MODIFIED", "SUCCESS"])), "the same second is not newer");
}

#[tokio::test]
async fn unique_fields_and_upserts() {
    let client = start("default", 5).await;
    let one = client.insert(json!({"Last_Name": "One", "crmsync_key": "k1", "Email": "one@u.example"})).await;
    let twin = client.write("POST", "Contacts", json!({"data": [{"Last_Name": "Twin", "crmsync_key": "K1"}]})).await;
    let error = twin.json()["data"][0].clone();
    assert_eq!((&error["code"], &error["details"]["id"]), (&json!("DUPLICATE_DATA"), &json!(one)));
    assert_eq!(error["details"]["duplicate_record"]["module"]["api_name"], "Contacts");
    client.insert(json!({"Last_Name": "Family", "Email": "one@u.example"})).await;

    let moved = client.write("PUT", &format!("Contacts/{one}"), json!({"data": [{"crmsync_key": "k0"}]})).await;
    assert_eq!(moved.status, 200);
    let other = client.insert(json!({"Last_Name": "Other", "crmsync_key": "k1"})).await;
    let taken = client.write("PUT", &format!("Contacts/{other}"), json!({"data": [{"crmsync_key": "k0"}]})).await;
    assert_eq!(taken.rows(), (400, codes(&["DUPLICATE_DATA"])));
    client.api("DELETE", &format!("Contacts/{other}"), &[], "").await;
    client.insert(json!({"Last_Name": "Heir", "crmsync_key": "k1"})).await;

    let upsert = async |row: Value, fields: Value| {
        let mut body = json!({"data": [row], "trigger": []});
        if !fields.is_null() {
            body["duplicate_check_fields"] = fields;
        }
        let raw = client.write("POST", "Contacts/upsert", body).await;
        let row = raw.json()["data"][0].clone();
        (raw.status, row["action"].clone(), row["duplicate_field"].clone(), row["details"]["id"].clone())
    };
    let keyed = |key: &str| json!({"Last_Name": "New", "crmsync_key": key, "Email": "one@u.example"});
    let (status, action, field, id) = upsert(keyed("k2"), json!(["crmsync_key"])).await;
    assert_eq!((status, action, field), (200, json!("insert"), Value::Null), "the e-mail address is not looked at");
    let again = upsert(keyed("k2"), json!(["crmsync_key"])).await;
    assert_eq!(again, (200, json!("update"), json!("crmsync_key"), id), "a second attempt finds the first");
    let by_email = upsert(json!({"Last_Name": "X", "Email": "ONE@u.example"}), Value::Null).await;
    assert_eq!((by_email.1, by_email.2, by_email.3), (json!("update"), json!("Email"), json!(one)));
    let raw = client.write("POST", "Contacts/upsert", json!({"data": [{}], "duplicate_check_fields": ["Phone"]})).await;
    assert_eq!(raw.refusal(), (400, "INVALID_DATA".to_owned()));
}

#[tokio::test]
async fn workflows_start_unless_the_caller_says_no() {
    let client = start("default", 5).await;
    let row = || json!([{"Last_Name": "A"}]);
    client.write("POST", "Contacts", json!({"data": row(), "trigger": []})).await;
    client.write("POST", "Contacts", json!({"data": row(), "trigger": ["approval"]})).await;
    let summary = client.control("summary", None).await;
    assert_eq!((&summary["automations"], &summary["mails"]), (&json!(0), &json!(0)));
    let raw = client.write("POST", "Contacts", json!({"data": row()})).await;
    let id = raw.json()["data"][0]["details"]["id"].as_str().expect("an id").to_owned();
    client.write("PUT", &format!("Contacts/{id}"), json!({"data": [{"Title": "x"}], "trigger": ["workflow"]})).await;
    client.api("DELETE", &format!("Contacts/{id}?wf_trigger=false"), &[], "").await;
    client.control("person/create", Some(json!({"module": "Contacts", "set": {"Last_Name": "By hand"}}))).await;
    let summary = client.control("summary", None).await;
    assert_eq!((&summary["automations"], &summary["mails"]), (&json!(2), &json!(1)));
    assert_eq!(summary["api_calls"]["write"], 5);
    assert_eq!(summary["records"]["Contacts"], 8);
}

#[tokio::test]
async fn cadences_start_unless_they_are_skipped() {
    let client = start("default", 5).await;
    let skip = json!([{"name": "cadences"}]);
    let cadences = async || client.control("summary", None).await["cadences"].clone();
    let body = json!({"data": [{"Last_Name": "A"}], "trigger": [], "skip_feature_execution": skip});
    let raw = client.write("POST", "Contacts", body).await;
    let id = raw.json()["data"][0]["details"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(cadences().await, json!(0));
    client.write("PUT", "Contacts", json!({"data": [{"id": id, "Title": "x"}, {"id": "1"}], "trigger": []})).await;
    assert_eq!(cadences().await, json!(1), "`trigger` does not stop them");
}

#[tokio::test]
async fn a_deleted_account_leaves_its_contacts_without_one() {
    let client = start("default", 5).await;
    let raw = client.write("POST", "Accounts", json!({"data": [{"Account_Name": "Brief Ltd", "Employees": 7}]})).await;
    let account = raw.json()["data"][0]["details"]["id"].as_str().expect("an id").to_owned();
    let contact = client.insert(json!({"Last_Name": "A", "Account_Name": account})).await;
    assert_eq!(read(&client, &contact).await["Account_Name"], json!({"name": "Brief Ltd", "id": account}));
    client.api("DELETE", &format!("Accounts/{account}"), &[], "").await;
    assert_eq!(read(&client, &contact).await["Account_Name"], Value::Null);
}
