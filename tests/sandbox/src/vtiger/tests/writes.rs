use serde_json::{Value, json};

use super::super::server::clock_text;
use super::client::{Client, denied, failure, start};

const DUPLICATE: &str = r#"{"success":false,"error":{"message":"Duplicate(s) detected!","code":0}}"#;
const RESTRICTED: &str = "Sorry! Attempt to access restricted file.";

fn missing(field: &str) -> Value {
    failure("MANDATORY_FIELDS_MISSING", &format!("{field} does not have a value"))
}

#[tokio::test]
async fn create_answers_the_whole_record_in_phps_json() {
    let client = start("plain").await;
    let element = json!({
        "lastname": "Larsen", "firstname": "Åse", "birthday": "1980-02-29", "donotcall": "1",
        "leadsource": "Martian Radio", "email": "not an address", "mailingstreet": "Storgata 1\n2. etg/b",
        "nosuchfield": "v", "assigned_user_id": "19x1",
    });
    let raw = client.post("create", &[("elementType", "Contacts"), ("element", &element.to_string())]).await;
    assert_eq!((raw.status, raw.content_type.as_str()), (200, "application/json"));
    assert!(
        raw.body.contains(r#""firstname":"\u00c5se""#) && raw.body.contains(r"Storgata 1\n2. etg\/b"),
        "{}",
        raw.body
    );
    let record = &raw.json()["result"];
    assert_eq!(record.as_object().map(|record| record.len()), Some(49 + 1), "49 fields and the label");
    assert!(record.as_object().expect("a record").values().all(Value::is_string), "strings only");
    for (field, expected) in [
        ("salutationtype", ""),
        ("donotcall", "1"),
        ("emailoptout", "0"),
        ("leadsource", "Martian Radio"),
        ("email", "not an address"),
        ("source", "WEBSERVICE"),
        ("modifiedby", "19x1"),
        ("assigned_user_id", "19x1"),
        ("contact_no", "CON11"),
        ("starred", "0"),
        ("label", "&Aring;se Larsen"),
    ] {
        assert_eq!(record[field], json!(expected), "{field}");
    }
    assert_eq!(record["createdtime"], record["modifiedtime"]);
    let retrieved = client.retrieve(record["id"].as_str().expect("an id")).await;
    assert_eq!(&retrieved, record);
}

#[tokio::test]
async fn a_label_is_made_before_the_columns_are_cut() {
    let client = start("default").await;
    let record = client.create("Contacts", json!({ "firstname": "F".repeat(60), "lastname": "Long 😀" })).await;
    assert_eq!(record["firstname"], json!("F".repeat(40)));
    assert_eq!(
        (&record["lastname"], &record["label"]),
        (&json!("Long ????"), &json!(format!("{} Long ????", "F".repeat(60))))
    );
    let revised = client.change("revise", json!({ "id": record["id"], "lastname": "Short" })).await;
    assert_eq!(revised["label"], json!(format!("{} Short", "F".repeat(40))));
}

#[tokio::test]
async fn values_are_changed_without_a_word() {
    let client = start("default").await;
    let account = client.create("Accounts", json!({ "accountname": "Gamma", "annual_revenue": "1234567.895" })).await;
    assert_eq!((&account["annual_revenue"], &account["employees"]), (&json!("1234567.90000000"), &json!("0")));
    let element = json!({ "id": account["id"], "annual_revenue": "1,234.50", "employees": "many" });
    let revised = client.change("revise", element).await;
    assert_eq!((&revised["annual_revenue"], &revised["employees"]), (&json!("1.00000000"), &json!("0")));
    let element = json!({
        "lastname": "山田 😀", "title": "  padded  ", "donotcall": true, "notify_owner": "yes",
        "birthday": "31/12/1999", "description": "<script>x</script> & é", "mailingstreet": "S".repeat(300),
    });
    let contact = client.create("Contacts", element).await;
    for (field, expected) in [
        ("lastname", "山田 ????"),
        ("title", "  padded  "),
        ("donotcall", "1"),
        ("notify_owner", "0"),
        ("birthday", "1999-12-31"),
        ("description", "&lt;script&gt;x&lt;/script&gt; & é"),
        ("mailingstreet", &"S".repeat(250)),
    ] {
        assert_eq!(contact[field], json!(expected), "{field}");
    }
}

#[tokio::test]
async fn one_counter_numbers_all_modules() {
    let client = start("default").await;
    let number = |record: &Value| -> u64 {
        let id = record["id"].as_str().expect("an id");
        id.split_once('x').expect("a prefix").1.parse().expect("a number")
    };
    let contact = client.create("Contacts", json!({ "lastname": "One" })).await;
    let account = client.create("Accounts", json!({ "accountname": "Two" })).await;
    let lead = client.create("Leads", json!({ "lastname": "Three" })).await;
    assert_eq!((number(&account), number(&lead)), (number(&contact) + 1, number(&contact) + 2));
    assert!(account["id"].as_str().expect("an id").starts_with("11x"));
    assert_eq!(
        (&lead["lead_no"], &lead["annualrevenue"], &lead["noofemployees"]),
        (&json!("LEA1"), &json!("0.00000000"), &json!("0"))
    );
    assert_eq!(contact["cf_901"], json!(""), "the default profile has a field for a connector's keys");
}

#[tokio::test]
async fn create_checks_references_then_mandatory_fields_then_owner() {
    let client = start("default").await;
    let create = async |element: Value| client.create_exactly("Contacts", element).await;
    assert_eq!(client.create("NoSuchModule", json!({})).await, denied(""));
    assert_eq!(client.create("Users", json!({})).await, denied(""));
    assert_eq!(create(json!({ "account_id": "999" })).await, denied(" for id"));
    assert_eq!(create(json!({ "account_id": "Acme" })).await, denied(" for id"));
    assert_eq!(
        create(json!({ "account_id": "12x2" })).await,
        failure("REFERENCE_INVALID", "Invalid reference specified for account_id"),
    );
    assert_eq!(create(json!({ "firstname": "x", "assigned_user_id": "19x1" })).await, missing("lastname"));
    assert_eq!(create(json!({ "lastname": "", "assigned_user_id": "19x1" })).await, missing("lastname"));
    assert_eq!(create(json!({ "lastname": null, "assigned_user_id": "19x1" })).await, missing("lastname"));
    assert_eq!(create(json!({ "lastname": "x" })).await, missing("assigned_user_id"));
    assert_eq!(client.create("Contacts", json!({ "lastname": "0" })).await["lastname"], json!("0"));
    let malformed = client.post("create", &[("elementType", "Contacts"), ("element", "{bad json")]).await;
    assert_eq!(malformed.json(), missing("lastname"));
    assert_eq!(
        client.create("Contacts", json!({ "lastname": "x", "birthday": "not a date" })).await,
        failure("INTERNAL_SERVER_ERROR", "Unknown Error while processing request"),
    );
    assert_eq!(client.query("select id from Contacts where lastname = 'x';").await, json!([]), "nothing was stored");
}

#[tokio::test]
async fn system_fields_are_ignored_and_source_is_honoured_at_create_only() {
    let client = start("default").await;
    let element = json!({
        "id": "12x777", "lastname": "Times", "createdtime": "2001-01-01 00:00:00",
        "modifiedtime": "2001-01-01 00:00:00", "modifiedby": "19x5", "contact_no": "MYNO1", "source": "ZOHO",
    });
    let record = client.create("Contacts", element).await;
    assert_ne!(record["id"], json!("12x777"));
    assert_ne!(record["createdtime"], json!("2001-01-01 00:00:00"));
    assert_eq!((&record["modifiedby"], &record["contact_no"]), (&json!("19x1"), &json!("CON11")));
    assert_eq!(record["source"], json!("ZOHO"));
    let revised = client.change("revise", json!({ "id": record["id"], "source": "OTHER" })).await;
    assert_eq!(revised["source"], json!("ZOHO"));
    assert_eq!(client.query("select id,source from Contacts where source='ZOHO';").await[0]["id"], record["id"]);
}

#[tokio::test]
async fn owners_are_taken_by_number_and_an_unknown_one_kills_the_answer_after_the_write() {
    let client = start("default").await;
    for (owner, expected) in [("20x2", "20x2"), ("1", "19x1"), ("12x1", "19x1"), ("19x7", "19x7")] {
        let record = client.create("Contacts", json!({ "lastname": "Owned", "assigned_user_id": owner })).await;
        assert_eq!(record["assigned_user_id"], json!(expected), "{owner}");
    }
    let element = json!({ "lastname": "OwnerNo", "assigned_user_id": "19x9999" }).to_string();
    let raw = client.post("create", &[("elementType", "Contacts"), ("element", &element)]).await;
    assert_eq!((raw.status, raw.body.as_str()), (200, RESTRICTED));
    assert!(raw.content_type.starts_with("text/html"));
    let found = client.query("select assigned_user_id from Contacts where lastname='OwnerNo';").await;
    assert_eq!(found[0]["assigned_user_id"], json!("9999"), "the record is there all the same");

    let raw = client.change("revise", json!({ "id": found[0]["id"], "assigned_user_id": "19x8888" })).await;
    assert_eq!(raw, json!(RESTRICTED));
    assert_eq!(client.retrieve(found[0]["id"].as_str().expect("an id")).await["assigned_user_id"], json!("8888"));
}

#[tokio::test]
async fn references_to_nothing_are_accepted_and_read_back_empty() {
    let client = start("default").await;
    let account = client.create("Accounts", json!({ "accountname": "Self" })).await;
    let id = account["id"].as_str().expect("an id");
    let itself = client.change("revise", json!({ "id": id, "account_id": id })).await;
    assert_eq!(itself["account_id"], json!(id), "an Account can be member of itself");
    let employee = client.create("Contacts", json!({ "lastname": "Employee", "account_id": id })).await;
    assert_eq!(employee["account_id"], json!(id));
    let nobody = client.create("Contacts", json!({ "lastname": "Nobody", "account_id": "11x99999" })).await;
    assert_eq!(nobody["account_id"], json!(""));

    client.advance_s(10).await;
    let deleted = client.post("delete", &[("id", id)]).await;
    assert_eq!(deleted.json(), json!({ "success": true, "result": { "status": "successful" } }));
    let after = client.retrieve(employee["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&after["account_id"], &after["modifiedtime"]),
        (&json!(""), &employee["modifiedtime"]),
        "no trace in the times"
    );
    let history = client.control("history", None).await;
    let last = history["events"].as_array().and_then(|events| events.last()).expect("an event");
    assert_eq!((&last["id"], &last["op"]), (&employee["id"], &json!("update")), "but one in the history");
    assert_eq!((&last["before"]["account_id"], &last["after"]["account_id"]), (&json!(id), &json!("")));
}

#[tokio::test]
async fn ids_are_refused_in_three_ways() {
    let client = start("default").await;
    let contact = client.create("Contacts", json!({ "lastname": "x" })).await;
    let id = contact["id"].as_str().expect("an id");
    for wrong in ["", "abc", "999", "99x1"] {
        assert_eq!(client.retrieve(wrong).await, denied(" for id"), "`{wrong}`");
    }
    assert_eq!(
        client.retrieve(&id.replace("12x", "11x")).await,
        failure("INVALID_ID_ATTRIBUTE", "Id specified is incorrect"),
    );
    assert_eq!(client.retrieve("12x999999").await, denied(""));
    assert_eq!(client.change("revise", json!({ "lastname": "z" })).await, denied(" for id"));
    assert_eq!(client.change("revise", json!({ "id": "12x999999", "lastname": "z" })).await, denied(""));
    assert_eq!(client.post("delete", &[("id", id)]).await.json()["success"], json!(true));
    for gone in [
        client.post("delete", &[("id", id)]).await.json(),
        client.retrieve(id).await,
        client.change("revise", json!({ "id": id, "phone": "1" })).await,
        client.change("update", json!({ "id": id, "lastname": "z", "assigned_user_id": "19x1" })).await,
    ] {
        assert_eq!(gone, denied(""));
    }
}

#[tokio::test]
async fn every_write_bumps_the_time_also_one_that_changes_nothing() {
    let client = start("default").await;
    let record = client.create("Contacts", json!({ "lastname": "Same", "phone": "1", "email": "a@example.com" })).await;
    client.advance_s(5).await;
    let noop = client.change("revise", json!({ "id": record["id"] })).await;
    assert!(noop["modifiedtime"].as_str() > record["modifiedtime"].as_str());
    assert_eq!(noop["createdtime"], record["createdtime"]);
    let cleared = client.change("revise", json!({ "id": record["id"], "phone": "", "email": null })).await;
    assert_eq!((&cleared["phone"], &cleared["email"], &cleared["lastname"]), (&json!(""), &json!(""), &json!("Same")));
    assert_eq!(client.change("revise", json!({ "id": record["id"], "lastname": "" })).await, missing("lastname"));
    assert_eq!(
        client.change("update", json!({ "id": record["id"], "lastname": "New" })).await,
        missing("assigned_user_id"),
        "update wants every mandatory field",
    );
    let updated =
        client.change("update", json!({ "id": record["id"], "lastname": "New", "assigned_user_id": "20x3" })).await;
    assert_eq!((&updated["lastname"], &updated["assigned_user_id"]), (&json!("New"), &json!("20x3")));
}

#[tokio::test]
async fn update_spoils_an_unsent_description_one_level_each_time() {
    let client = start("default").await;
    let text = r#"5 < 6 & "x" 'y'"#;
    let record = client.create("Contacts", json!({ "lastname": "Corrupt", "description": text })).await;
    let update = async |extra: Value| {
        let mut element = json!({ "id": record["id"], "lastname": "Corrupt", "assigned_user_id": "19x1" });
        element.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        client.change("update", element).await["description"].clone()
    };
    let once = "5 &lt; 6 &amp; &quot;x&quot; &#039;y&#039;";
    assert_eq!(update(json!({})).await, json!(text), "the first call does not show it yet");
    assert_eq!(update(json!({})).await, json!(once));
    let stored = client.retrieve(record["id"].as_str().expect("an id")).await;
    assert_eq!(stored["description"], json!("5 &amp;lt; 6 &amp;amp; &amp;quot;x&amp;quot; &amp;#039;y&amp;#039;"));

    assert_eq!(update(json!({ "description": text })).await, json!(text), "sent, it is stored as sent");
    client.change("revise", json!({ "id": record["id"], "phone": "2" })).await;
    assert_eq!(update(json!({ "firstname": "O'B" })).await, json!(text));
    assert_eq!(update(json!({})).await, json!(text), "another field with such characters prevents it");
}

#[tokio::test]
async fn account_names_are_unique_without_case_and_until_deleted() {
    let client = start("default").await;
    let first = client.create("Accounts", json!({ "accountname": "Beta & Søns AS" })).await;
    let element = json!({ "accountname": "beta & søns as ", "assigned_user_id": "19x1" }).to_string();
    let raw = client.post("create", &[("elementType", "Accounts"), ("element", &element)]).await;
    assert_eq!(raw.body, DUPLICATE, "the code is a number");
    let other = client.create("Accounts", json!({ "accountname": "Gamma" })).await;
    let into = json!({ "id": other["id"], "accountname": "Beta & Søns AS" });
    assert_eq!(client.change("revise", into.clone()).await["error"]["code"], json!(0));
    let same = client.change("revise", json!({ "id": first["id"], "accountname": "BETA & Søns AS" })).await;
    assert_eq!(same["accountname"], json!("BETA & Søns AS"), "a record is no duplicate of itself");
    client.post("delete", &[("id", first["id"].as_str().expect("an id"))]).await;
    assert_eq!(client.change("revise", into).await["accountname"], json!("Beta & Søns AS"));
    for _ in 0..2 {
        let twin = client.create("Contacts", json!({ "lastname": "Dup", "email": "dup@example.com" })).await;
        assert_eq!(twin["lastname"], json!("Dup"), "contacts may be equal");
    }
}

#[tokio::test]
async fn workflows_are_counted_as_unavoidable_and_changes_are_in_the_history() {
    let client = start("default").await;
    let record = client.create("Contacts", json!({ "lastname": "Seen", "phone": "1" })).await;
    client.advance_s(1).await;
    client.change("revise", json!({ "id": record["id"], "phone": "2" })).await;
    client.post("delete", &[("id", record["id"].as_str().expect("an id"))]).await;
    let summary = client.control("summary", None).await;
    assert_eq!((&summary["automations"], &summary["automations_unavoidable"]), (&json!(0), &json!(2)));
    assert_eq!(summary["records"]["Contacts"], json!(10));
    assert_eq!((&summary["api_calls"]["write"], &summary["api_calls"]["auth"]), (&json!(3), &json!(2)));

    let history = client.control("history", None).await;
    let events = history["events"].as_array().expect("a list");
    let ops: Vec<&str> = events.iter().filter_map(|event| event["op"].as_str()).collect();
    assert_eq!(ops, ["create", "update", "delete"]);
    assert_eq!(events[0]["after"], record);
    let update = &events[1];
    assert_eq!((&update["before"]["phone"], &update["after"]["phone"]), (&json!("1"), &json!("2")));
    assert_eq!(update["after"]["id"], record["id"]);
    assert!(update["after"].get("lastname").is_none(), "what did not change is not listed");
    assert_eq!(events[2]["before"]["phone"], json!("2"));

    let calls = client.control("calls", None).await;
    let last = calls["calls"].as_array().and_then(|calls| calls.last()).expect("a call").clone();
    assert_eq!(
        last["path"],
        json!(format!("/webservice.php?operation=delete&id={}", record["id"].as_str().expect("an id")))
    );
    assert!(!calls.to_string().contains(&client.session), "sessions are not shown");
}

#[tokio::test]
async fn an_ordinary_user_writes_records_of_others_and_reads_them_by_column_name() {
    let mut client = start("default").await;
    let mine = client.create("Contacts", json!({ "lastname": "Boss" })).await;
    client.session = client.login("sales").await;
    let id = mine["id"].as_str().expect("an id");
    let record = client.change("revise", json!({ "id": id, "phone": "5" })).await;
    assert_eq!((&record["modifiedby"], &record["starred"]), (&json!("19x5"), &json!("")), "the star is its maker's");
    let names: Vec<&String> = record.as_object().expect("a record").keys().collect();
    let place = |name: &str| names.iter().position(|other| *other == name).expect(name);
    assert_eq!((place("account_id"), place("assistant")), (0, 1));
    assert!(place("reference") < place("contact_id") && place("contact_id") < place("salutationtype"), "`reportsto`");
    assert!(
        place("secondaryemail") < place("assigned_user_id") && place("assigned_user_id") < place("source"),
        "`smownerid`"
    );
    assert_eq!((place("id"), place("label")), (names.len() - 2, names.len() - 1));
    assert_eq!(by_admin(&client, id).await["phone"], json!("5"));
}

async fn by_admin(client: &Client, id: &str) -> Value {
    let session = client.login("admin").await;
    let answer = client.get_raw(&[("operation", "retrieve"), ("sessionName", &session), ("id", id)]).await;
    answer.json()["result"].clone()
}

#[tokio::test]
async fn times_are_in_the_zone_of_the_database() {
    let client = start("db_zone=-05:00").await;
    let now_ms = client.control("clock", Some(json!({ "advance_ms": 0 }))).await["now_ms"].as_i64().expect("a time");
    let made = client.create("Contacts", json!({ "lastname": "New Yorker" })).await;
    let shown = made["modifiedtime"].as_str().expect("a time");
    let behind = |ms: i64| clock_text(ms.div_euclid(1_000) - 5 * 3_600);
    assert!([behind(now_ms), behind(now_ms + 1_000)].contains(&shown.to_owned()), "{shown}");
    assert_eq!(made["createdtime"], made["modifiedtime"]);
}

#[tokio::test]
async fn who_may_only_read_is_denied_as_if_the_record_were_gone() {
    let mut client = start("view_only").await;
    let id = client.create("Contacts", json!({ "lastname": "Kept" })).await["id"].as_str().expect("an id").to_owned();
    client.session = client.login("sales").await;
    assert_eq!(client.retrieve(&id).await["lastname"], json!("Kept"));
    assert_eq!(client.change("revise", json!({ "id": id, "lastname": "Changed" })).await, denied(""));
    assert_eq!(client.post("delete", &[("id", &id)]).await.json(), denied(""));
    let element = json!({ "lastname": "New", "assigned_user_id": "19x5" }).to_string();
    let created = client.post("create", &[("elementType", "Contacts"), ("element", &element)]).await.json();
    assert_eq!(created, failure("ACCESS_DENIED", "Permission to write is denied"));
    let described = client.get("describe", &[("elementType", "Contacts")]).await["result"].clone();
    for (right, has) in [("createable", false), ("updateable", false), ("deleteable", false), ("retrieveable", true)] {
        assert_eq!(described[right], json!(has), "{right}");
    }
}
