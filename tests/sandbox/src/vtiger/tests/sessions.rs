use serde_json::{Value, json};

use super::client::{denied, failure, login_key, start};

#[tokio::test]
async fn login_answers_with_the_user_and_a_session() {
    let client = start("default").await;
    let challenge = client.get_raw(&[("operation", "getchallenge"), ("username", "admin")]).await.json();
    let result = &challenge["result"];
    assert_eq!(result["token"].as_str().map(str::len), Some(13));
    assert_eq!(result["expireTime"].as_i64(), result["serverTime"].as_i64().map(|time| time + 300));

    let key = login_key(result["token"].as_str().expect("a token"), &client.access_key("admin"));
    let login = [("operation", "LogIn"), ("username", "admin"), ("accessKey", key.as_str())];
    let first = client.post_raw(&login).await.json();
    let user = &first["result"];
    assert_eq!(
        (&user["userId"], &user["is_admin"], &user["vtigerVersion"]),
        (&json!("19x1"), &json!("on"), &json!("8.2.0"))
    );
    let names: Vec<&String> = user.as_object().expect("a user").keys().collect();
    assert_eq!(names.first().map(|name| name.as_str()), Some("username"));
    assert_eq!(names.last().map(|name| name.as_str()), Some("vtigerVersion"));

    let second = client.post_raw(&login).await.json();
    assert_ne!(first["result"]["sessionName"], second["result"]["sessionName"], "a token serves several logins");
}

#[tokio::test]
async fn a_challenge_ends_with_the_next_one_and_after_five_minutes() {
    let client = start("default").await;
    let token = async || -> String {
        let answer = client.get_raw(&[("operation", "getchallenge"), ("username", "admin")]).await.json();
        answer["result"]["token"].as_str().expect("a token").to_owned()
    };
    let login = async |token: &str| -> Value {
        let key = login_key(token, &client.access_key("admin"));
        client.post_raw(&[("operation", "login"), ("username", "admin"), ("accessKey", &key)]).await.json()
    };
    let (old, new) = (token().await, token().await);
    assert_eq!(login(&old).await, failure("INVALID_USER_CREDENTIALS", "Invalid username or password"));
    assert_eq!(login(&new).await["success"], json!(true));
    client.advance_s(301).await;
    assert_eq!(login(&new).await, failure("INVALID_AUTH_TOKEN", "Specified token is invalid or expired"));
}

#[tokio::test]
async fn the_date_header_follows_the_servers_clock() {
    let client = start("default").await;
    client.advance_s(-client.server.crm.shared().clock.now_ms() / 1_000 + 1_795_457_551).await;
    let answer = client.get_raw(&[("operation", "getchallenge"), ("username", "admin")]).await;
    assert!(answer.date.starts_with("Mon, 23 Nov 2026 18:12:3") && answer.date.ends_with(" GMT"), "{}", answer.date);
}

#[tokio::test]
async fn refused_challenges_and_logins_say_why() {
    let client = start("default").await;
    let token_error = failure("INVALID_AUTH_TOKEN", "Specified token is invalid or expired");
    let no_name = failure("ACCESS_DENIED", "No username given");
    let get = async |pairs: &[(&str, &str)]| client.get_raw(pairs).await.json();
    let post = async |pairs: &[(&str, &str)]| client.post_raw(pairs).await.json();
    assert_eq!(get(&[("operation", "getchallenge")]).await, no_name);
    assert_eq!(post(&[("operation", "getchallenge"), ("username", "admin")]).await, no_name, "only the query is read");
    assert_eq!(
        get(&[("operation", "getchallenge"), ("username", "nobody")]).await,
        failure("ACCESS_DENIED", "username does not exists"),
    );
    let login = [("operation", "login"), ("username", "admin"), ("accessKey", "0000")];
    assert_eq!(get(&login).await, token_error, "only the form is read");
    assert_eq!(post(&login).await, failure("INVALID_USER_CREDENTIALS", "Invalid username or password"));
    assert_eq!(post(&[("operation", "login"), ("username", "nobody"), ("accessKey", "0000")]).await, token_error);
    assert_eq!(post(&[("operation", "extendsession")]).await, failure("AUTHENTICATION_FAILURE", "Authencation Failed"));
}

#[tokio::test]
async fn sessions_die_when_idle_and_when_expired() {
    let client = start("default").await;
    let invalid = failure("INVALID_SESSIONID", "Session Identifier provided is Invalid");
    assert_eq!(
        client.get_raw(&[("operation", "listtypes")]).await.json(),
        failure("AUTHENTICATION_REQUIRED", "Authencation required"),
    );
    assert_eq!(client.get_raw(&[("operation", "listtypes"), ("sessionName", "deadbeef")]).await.json(), invalid);
    client.advance_s(1_400).await;
    assert_eq!(client.get("listtypes", &[]).await["success"], json!(true));
    client.advance_s(1_400).await;
    assert_eq!(client.get("listtypes", &[]).await["success"], json!(true), "each use starts the time anew");
    client.advance_s(1_441).await;
    assert_eq!(client.get("listtypes", &[]).await, invalid);

    let client = start("default").await;
    client.control("expire", Some(json!({}))).await;
    assert_eq!(client.get("listtypes", &[]).await, invalid);
}

#[tokio::test]
async fn what_php_8_breaks_is_an_empty_500() {
    let client = start("default").await;
    for operation in ["sync", "convertlead", "nosuchop"] {
        let query = [("operation", operation), ("sessionName", client.session.as_str())];
        let answer = client.get_raw(&query).await;
        assert_eq!((answer.status, answer.body.as_str()), (500, ""), "{operation}");
        assert_eq!(answer.content_type, "text/html; charset=UTF-8");
    }
    assert_eq!(client.post("logout", &[]).await.status, 500);
    assert_eq!(client.get("listtypes", &[]).await["success"], json!(true), "the session stays valid");
    assert_eq!(client.get_raw(&[("sessionName", &client.session)]).await.status, 500, "no operation");
    assert_eq!(client.post("changePassword", &[]).await.body, "Sorry! Attempt to access restricted file.");
}

#[tokio::test]
async fn a_repaired_server_logs_out() {
    let client = start("repaired").await;
    assert_eq!(
        client.post("logout", &[]).await.json(),
        json!({ "success": true, "result": { "message": "successfull" } })
    );
    assert_eq!(client.get("listtypes", &[]).await["error"]["code"], json!("INVALID_SESSIONID"));
}

#[tokio::test]
async fn the_wrong_method_looks_like_missing_parameters() {
    let client = start("default").await;
    let session = client.session.as_str();
    let element = r#"{"lastname":"x","assigned_user_id":"19x1"}"#;
    assert_eq!(client.get("create", &[("elementType", "Contacts"), ("element", element)]).await, denied(""));
    assert_eq!(client.post("query", &[("query", "select * from Contacts;")]).await.json(), denied(" for query"));
    assert_eq!(client.post("describe", &[("elementType", "Contacts")]).await.json(), denied(" for name : "));

    let path = format!("/webservice.php?operation=create&sessionName={session}");
    let json_body = client.send("POST", &path, "application/json", "{}").await;
    assert_eq!((json_body.status, json_body.body.as_str()), (500, ""));
    let xml = client.get_raw(&[("operation", "listtypes"), ("sessionName", session), ("format", "xml")]).await;
    assert_eq!((xml.status, xml.content_type.as_str(), xml.body.as_str()), (500, "application/json", ""));
}

#[tokio::test]
async fn a_request_line_over_8_kilobytes_is_the_web_servers_414() {
    let client = start("default").await;
    let ids: Vec<String> = (0..900).map(|number| format!("'12x{number}'")).collect();
    let query = format!("select id from Contacts where id in ({});", ids.join(","));
    let session = client.session.as_str();
    let answer = client.get_raw(&[("operation", "query"), ("sessionName", session), ("query", &query)]).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (414, "text/html"));
    assert!(answer.body.contains("414"));
}

#[tokio::test]
async fn multipart_forms_are_read() {
    let client = start("default").await;
    let part = |name: &str, value: &str| {
        format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let element = r#"{"lastname":"Multipart","assigned_user_id":"19x1"}"#;
    let body = [
        part("operation", "create"),
        part("sessionName", &client.session),
        part("elementType", "Contacts"),
        part("element", element),
        "--XyZ--\r\n".to_owned(),
    ]
    .concat();
    let answer = client.send("POST", "/webservice.php", "multipart/form-data; boundary=XyZ", &body).await;
    assert_eq!(answer.json()["result"]["lastname"], json!("Multipart"), "{}", answer.body);
}
