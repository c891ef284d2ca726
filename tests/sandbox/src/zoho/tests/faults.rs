//! The scripted faults and the control routes, which both servers share.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, start};
use crate::serve::{Options, start_zoho};

async fn plan(client: &Client, fault: Value) {
    client.control("faults", Some(json!({"faults": [fault]}))).await;
}

async fn contacts(client: &Client) -> u64 {
    client.control("summary", None).await["records"]["Contacts"].as_u64().expect("a count")
}

async fn try_insert(client: &Client) -> std::io::Result<super::client::Raw> {
    let token = format!("Zoho-oauthtoken {}", client.token);
    let body = json!({"data": [{"Last_Name": "Maybe"}], "trigger": []}).to_string();
    client.try_send("POST", "/crm/v8/Contacts", &[("authorization", token.as_str())], &body).await
}

/// Waits, for at most two seconds, until the server holds so many contacts.
async fn until(client: &Client, count: u64) {
    for _ in 0..100 {
        if contacts(client).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server never held {count} contacts");
}

#[tokio::test]
async fn connections_are_cut_before_after_and_long_before_the_commit() {
    let client = start("default", 5).await;
    let write = |action: Value| json!({"on": {"kind": "write"}, "do": action});
    plan(&client, write(json!({"type": "cut_before_commit"}))).await;
    assert!(try_insert(&client).await.is_err());
    assert_eq!(contacts(&client).await, 5);
    plan(&client, write(json!({"type": "cut_after_commit"}))).await;
    assert!(try_insert(&client).await.is_err());
    assert_eq!(contacts(&client).await, 6);
    plan(&client, write(json!({"type": "late_commit", "after_ms": 150}))).await;
    assert!(try_insert(&client).await.is_err());
    assert_eq!(contacts(&client).await, 6, "not yet");
    until(&client, 7).await;
    assert_eq!(try_insert(&client).await.expect("the plan is used up").status, 201);
    let calls = client.control("calls", None).await["calls"].as_array().cloned().unwrap_or_default();
    let faults: Vec<&Value> = calls.iter().map(|call| &call["fault"]).filter(|fault| !fault.is_null()).collect();
    assert_eq!(faults, ["cut_before_commit", "cut_after_commit", "late_commit"]);
}

#[tokio::test]
async fn a_write_commits_although_its_client_is_gone() {
    let client = start("default", 5).await;
    client.control("faults", Some(json!({"commit_delay_ms": 150}))).await;
    let gone = tokio::time::timeout(Duration::from_millis(40), try_insert(&client)).await;
    assert!(gone.is_err(), "the client gives up and closes its connection");
    assert_eq!(contacts(&client).await, 5);
    until(&client, 6).await;
}

#[tokio::test]
async fn refusals_slow_answers_and_ended_sessions() {
    let client = start("default", 5).await;
    let read = |action: Value| json!({"on": {"path_contains": "/org"}, "do": action});
    plan(&client, read(json!({"type": "status", "status": 503, "body": "<h1>busy</h1>", "retry_after": "7"}))).await;
    let raw = client.get("org").await;
    assert_eq!((raw.status, raw.body.as_str()), (503, "<h1>busy</h1>"));
    assert_eq!((raw.headers["retry-after"].as_str(), raw.headers["content-type"].as_str()), ("7", "text/html"));
    for action in ["slow", "commit_then_slow"] {
        plan(&client, read(json!({"type": action, "after_ms": 60}))).await;
        let begun = std::time::Instant::now();
        assert_eq!(client.get("org").await.status, 200);
        assert!(begun.elapsed() >= Duration::from_millis(60), "{action}");
    }
    plan(&client, read(json!({"type": "expire_session"}))).await;
    assert_eq!(client.get("org").await.refusal().1, "INVALID_TOKEN");
}

#[tokio::test]
async fn pages_that_lag_repeat_or_are_empty() {
    let client = start("default", 5).await;
    client.insert(json!({"Last_Name": "Fresh"})).await;
    let count = async || client.get("Contacts?fields=Last_Name").await.json()["data"].as_array().map_or(0, Vec::len);
    let list = |action: &str| json!({"on": {"kind": "read"}, "do": {"type": action}});
    for (action, rows) in [("stale_page", 5), ("duplicate_page", 12), ("empty_list", 0)] {
        plan(&client, list(action)).await;
        assert_eq!(count().await, rows, "{action}");
        assert_eq!(count().await, 6, "once");
    }
}

#[tokio::test]
async fn people_edit_at_the_screen_and_the_history_tells_all() {
    let client = start("default", 5).await;
    assert_eq!(client.control("ready", None).await, json!({"crm": "zoho"}));
    let set = json!({"Last_Name": "By Hand", "Email": "by@hand.example"});
    let record =
        client.control("person/create", Some(json!({"module": "Contacts", "set": set}))).await["record"].clone();
    let id = record["id"].as_str().expect("an id");
    client
        .control(
            "person/edit",
            Some(json!({"module": "Contacts", "id": id, "set": {"Title": "CEO", "Email": "by@hand.example"}})),
        )
        .await;
    let wrong =
        client.control("person/edit", Some(json!({"module": "Contacts", "id": id, "set": {"Email": "x"}}))).await;
    assert_eq!(wrong["error"], "INVALID_DATA: invalid data (`Email`)");
    client.control("person/delete", Some(json!({"module": "Contacts", "id": id}))).await;
    let events = client.control("history?after=1", None).await["events"].as_array().cloned().unwrap_or_default();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["op"], &events[0]["actor"]), (&json!("update"), &json!("person")));
    assert_eq!(
        (&events[0]["before"], &events[0]["after"]),
        (&json!({"id": id, "Title": null}), &json!({"id": id, "Title": "CEO"}))
    );
    assert_eq!((&events[1]["op"], &events[1]["after"]), (&json!("delete"), &Value::Null));
    let records = client.control("records/Contacts", None).await;
    assert_eq!(records["records"].as_array().map(Vec::len), Some(5));
    assert!(client.control("records/Nothing", None).await["error"].is_string());
}

#[tokio::test]
async fn the_moved_clock_shows_in_the_date_header() {
    let client = start("default", 3).await;
    let now_ms = client.control("clock", Some(json!({"advance_ms": 0}))).await["now_ms"].as_i64().expect("a time");
    // Whole days, until the first of January 2100 is past.
    let days = (4_102_444_800_000 - now_ms) / 86_400_000 + 1;
    client.control("clock", Some(json!({"advance_ms": days * 86_400_000}))).await;
    assert!(client.get("org").await.headers["date"].contains(" Jan 2100 "));
}

#[tokio::test]
async fn a_taken_port_and_an_unknown_profile_are_said_clearly() {
    let client = start("default", 3).await;
    let listen = client.server.url.trim_start_matches("http://").parse().expect("an address");
    let taken = start_zoho(Options { listen, ..Options::default() }).await.err().expect("the port is taken");
    assert!(taken.to_string().contains("choose another port"), "{taken}");
    let profile = "fancy".to_owned();
    let unknown = start_zoho(Options { profile, ..Options::default() }).await.err().expect("no such profile");
    assert!(unknown.to_string().contains("profile `fancy`"), "{unknown}");
}
