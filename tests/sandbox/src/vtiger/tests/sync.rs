use serde_json::{Value, json};

use super::client::{Client, denied, failure, start};

async fn sync(client: &Client, cursor: i64, mode: &str) -> Value {
    let cursor = cursor.to_string();
    let mut parameters = vec![("modifiedTime", cursor.as_str()), ("elementType", "Leads")];
    if !mode.is_empty() {
        parameters.push(("syncType", mode));
    }
    client.get("sync", &parameters).await["result"].clone()
}

fn names(answer: &Value) -> Vec<&str> {
    answer["updated"].as_array().expect("a list").iter().filter_map(|record| record["lastname"].as_str()).collect()
}

fn cursor(answer: &Value) -> i64 {
    answer["lastModifiedTime"].as_i64().expect("a cursor")
}

#[tokio::test]
async fn the_cursor_is_exclusive_and_loses_what_comes_within_its_second() {
    let client = start("repaired").await;
    client.create("Leads", json!({ "lastname": "First" })).await;
    let answer = sync(&client, 1, "application").await;
    assert_eq!((names(&answer), &answer["more"]), (vec!["First"], &json!(false)));
    assert!(answer["updated"][0].get("label").is_none());
    let next = cursor(&answer);
    let empty = sync(&client, next, "application").await;
    assert_eq!(empty, json!({ "updated": [], "deleted": [], "more": false, "lastModifiedTime": next }));
    client.advance_s(60).await;
    client.create("Leads", json!({ "lastname": "Second" })).await;
    let answer = sync(&client, next, "application").await;
    let boundary = cursor(&answer);
    assert_eq!(names(&answer), ["Second"]);
    // Whatever else is written within that second is after the answer and not after its cursor.
    assert_eq!(names(&sync(&client, boundary - 1, "application").await), ["Second"]);
    assert_eq!(names(&sync(&client, boundary, "application").await), [""; 0]);
}

#[tokio::test]
async fn pages_end_with_a_whole_second() {
    let client = start("repaired").await;
    let person = async |name: String| {
        let answer =
            client.control("person/create", Some(json!({ "module": "Leads", "set": { "lastname": name } }))).await;
        assert!(answer["record"].is_object(), "{answer}");
    };
    for number in 0..90 {
        person(format!("Early {number}")).await;
    }
    client.advance_s(60).await;
    for number in 0..40 {
        person(format!("Tied {number}")).await;
    }
    client.advance_s(60).await;
    for number in 0..5 {
        person(format!("Late {number}")).await;
    }
    let mut seen = 0;
    let mut next = 1;
    let mut first_page = None;
    loop {
        let answer = sync(&client, next, "application").await;
        seen += names(&answer).len();
        first_page.get_or_insert(names(&answer).len());
        next = cursor(&answer);
        if answer["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, 135, "no gap and nothing twice");
    assert!(first_page.is_some_and(|rows| rows >= 100), "{first_page:?}");
}

#[tokio::test]
async fn deleted_records_are_listed_and_modes_follow_the_owner() {
    let mut client = start("repaired").await;
    for (name, owner) in [("Mine", "19x1"), ("Theirs", "19x5"), ("Groups", "20x2")] {
        client.create("Leads", json!({ "lastname": name, "assigned_user_id": owner })).await;
    }
    assert_eq!(names(&sync(&client, 1, "").await), ["Mine"], "without a mode only the caller's own");
    assert_eq!(names(&sync(&client, 1, "whatever").await), ["Mine"]);
    assert_eq!(names(&sync(&client, 1, "application").await).len(), 3);
    let mine = client.query("select id from Leads where lastname = 'Mine';").await[0]["id"].clone();
    client.advance_s(5).await;
    client.post("delete", &[("id", mine.as_str().expect("an id"))]).await;
    let answer = sync(&client, 1, "").await;
    assert_eq!((&answer["updated"], &answer["deleted"]), (&json!([]), &json!([mine])));

    client.session = client.login("sales").await;
    assert_eq!(names(&sync(&client, 1, "user").await), ["Theirs"]);
    assert_eq!(names(&sync(&client, 1, "userandgroup").await), ["Theirs", "Groups"]);
    let application = [("modifiedTime", "1"), ("elementType", "Leads"), ("syncType", "application")];
    assert_eq!(
        client.get("sync", &application).await,
        failure("ACCESS_DENIED", "Only admin users can perform application sync"),
    );
}

#[tokio::test]
async fn where_the_mode_is_not_registered_it_does_not_arrive() {
    let mut client = start("own_sync").await;
    for (name, owner) in [("Mine", "19x1"), ("Theirs", "19x5")] {
        client.create("Leads", json!({ "lastname": name, "assigned_user_id": owner })).await;
    }
    assert_eq!(names(&sync(&client, 1, "application").await), ["Mine"]);
    client.session = client.login("sales").await;
    assert_eq!(names(&sync(&client, 1, "application").await), ["Theirs"], "nobody is refused what does not arrive");
}

#[tokio::test]
async fn odd_cursors() {
    let client = start("repaired").await;
    client.create("Leads", json!({ "lastname": "One" })).await;
    let future = 4_000_000_000;
    assert_eq!(cursor(&sync(&client, future, "").await), future, "a cursor in the future echoes itself");
    assert_eq!(
        names(&sync(&client, 1_700_000_000_000, "").await),
        ["One"],
        "milliseconds act like the beginning of time"
    );
    let session = client.session.as_str();
    for parameters in [
        vec![("elementType", "Leads")],
        vec![("elementType", "Leads"), ("modifiedTime", "0")],
        vec![("modifiedTime", "1")],
    ] {
        let mut all = vec![("operation", "sync"), ("sessionName", session)];
        all.extend(&parameters);
        let answer = client.get_raw(&all).await;
        assert_eq!((answer.status, answer.body.as_str()), (500, ""), "{parameters:?}");
    }
    assert_eq!(client.get("sync", &[("modifiedTime", "1"), ("elementType", "NoSuch")]).await, denied(""));
    let users = client.get("sync", &[("modifiedTime", "1"), ("elementType", "Users")]).await;
    assert_eq!(users["result"], json!({ "updated": [], "deleted": [], "lastModifiedTime": 1, "more": false }));
}
