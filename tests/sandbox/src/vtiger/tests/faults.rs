use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, FORM, start};

async fn plan(client: &Client, on: Value, action: Value) {
    let answer = client.control("faults", Some(json!({ "faults": [{ "on": on, "do": action }] }))).await;
    assert_eq!(answer["faults"], json!(1), "{answer}");
}

/// A create that may end without an answer.
async fn try_create(client: &Client, name: &str) -> std::io::Result<u16> {
    let element = json!({ "lastname": name, "assigned_user_id": "19x1" }).to_string();
    let parameters = [
        ("operation", "create"),
        ("sessionName", client.session.as_str()),
        ("elementType", "Contacts"),
        ("element", &element),
    ];
    let form: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    client.try_send("POST", "/webservice.php", FORM, &form).await.map(|raw| raw.status)
}

async fn count(client: &Client, name: &str) -> Value {
    client.query(&format!("select count(*) from Contacts where lastname = '{name}';")).await[0]["count"].clone()
}

#[tokio::test]
async fn writes_are_cut_before_and_after_their_commit() {
    let client = start("default").await;
    plan(&client, json!({ "path_contains": "operation=create" }), json!({ "type": "cut_before_commit" })).await;
    assert!(try_create(&client, "Before").await.is_err());
    assert_eq!(count(&client, "Before").await, json!("0"));
    plan(&client, json!({ "kind": "write" }), json!({ "type": "cut_after_commit" })).await;
    assert!(try_create(&client, "After").await.is_err());
    assert_eq!(count(&client, "After").await, json!("1"));
    assert_eq!(try_create(&client, "After").await.ok(), Some(200), "the fault is used up");
}

#[tokio::test]
async fn a_write_commits_after_its_client_has_gone() {
    let client = start("default").await;
    plan(&client, json!({ "kind": "write" }), json!({ "type": "late_commit", "after_ms": 250 })).await;
    assert!(try_create(&client, "Late").await.is_err());
    assert_eq!(count(&client, "Late").await, json!("0"), "not yet");
    let started = Instant::now();
    while count(&client, "Late").await == json!("0") {
        assert!(started.elapsed() < Duration::from_secs(5), "it never commits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn lists_are_stale_doubled_or_empty_and_counts_are_not() {
    let client = start("default").await;
    client.create("Contacts", json!({ "lastname": "Fresh" })).await;
    let on = json!({ "path_contains": "operation=query", "times": 1 });
    let rows = async || {
        let rows = client.query("select lastname from Contacts order by id;").await;
        let names = rows.as_array().expect("rows").iter();
        names.map(|row| row["lastname"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rows().await.len(), 11);
    plan(&client, on.clone(), json!({ "type": "stale_page", "after_ms": 60_000 })).await;
    let stale = rows().await;
    assert!(stale.len() == 10 && !stale.contains(&"Fresh".to_owned()), "{stale:?}");
    plan(&client, on.clone(), json!({ "type": "duplicate_page" })).await;
    let doubled = rows().await;
    assert!(doubled.len() == 22 && doubled[0] == doubled[1]);
    plan(&client, on.clone(), json!({ "type": "empty_list" })).await;
    assert_eq!(rows().await, [""; 0]);
    plan(&client, on, json!({ "type": "empty_list" })).await;
    assert_eq!(count(&client, "Fresh").await, json!("1"));
}

#[tokio::test]
async fn a_session_can_expire_in_the_middle() {
    let client = start("default").await;
    plan(&client, json!({ "kind": "write" }), json!({ "type": "expire_session" })).await;
    let answer = client.create("Contacts", json!({ "lastname": "Never" })).await;
    assert_eq!(answer["error"]["code"], json!("INVALID_SESSIONID"));
    plan(&client, json!({ "kind": "auth" }), json!({ "type": "status", "status": 503, "retry_after": "1" })).await;
    assert_eq!(client.get_raw(&[("operation", "getchallenge"), ("username", "admin")]).await.status, 503);
}

#[tokio::test]
async fn calls_of_one_session_wait_for_each_other() {
    let client = start("default").await;
    client.control("faults", Some(json!({ "commit_delay_ms": 200 }))).await;
    let started = Instant::now();
    let (one, two) = tokio::join!(try_create(&client, "One"), try_create(&client, "Two"));
    assert!(one.is_ok() && two.is_ok());
    assert!(started.elapsed() >= Duration::from_millis(400), "one after the other");

    let mut other = start("default").await;
    other.control("faults", Some(json!({ "commit_delay_ms": 200 }))).await;
    let first_session = std::mem::take(&mut other.session);
    let second_session = other.login("admin").await;
    let create = async |session: &str| {
        let element = r#"{"lastname":"Parallel","assigned_user_id":"19x1"}"#;
        let parameters =
            [("operation", "create"), ("sessionName", session), ("elementType", "Contacts"), ("element", element)];
        other.post_raw(&parameters).await.status
    };
    let started = Instant::now();
    let statuses = tokio::join!(create(&first_session), create(&second_session));
    assert_eq!(statuses, (200, 200));
    assert!(started.elapsed() < Duration::from_millis(390), "two sessions work side by side");
}

#[tokio::test]
async fn calls_are_counted_by_what_they_are_for() {
    let client = start("default").await;
    client.get("listtypes", &[]).await;
    client.get("describe", &[("elementType", "Contacts")]).await;
    client.query("select id from Users;").await;
    client.query("select id from Contacts;").await;
    client.query("select id from Contacts").await;
    client.create("Contacts", json!({ "lastname": "x" })).await;
    let summary = client.control("summary", None).await;
    assert_eq!(summary["api_calls"], json!({ "read": 2, "write": 1, "auth": 2, "metadata": 3 }));
    let calls = client.control("calls", None).await;
    let rows: Vec<u64> =
        calls["calls"].as_array().expect("calls").iter().filter_map(|call| call["rows"].as_u64()).collect();
    assert_eq!(rows[4..], [4, 10, 0, 1], "rows of lists, none for errors, one for a write");
}
