mod oauth2;
mod session;

use super::*;
use crate::egress::testing::{Crm, MemoryVault, Reply, door, get, grant, reading};

#[tokio::test]
async fn user_and_password_go_into_the_header() {
    let crm = Crm::start(|seen| match seen.headers["authorization"].as_str() {
        "Basic YWRtaW46cGFzc3dvcmQx" => Reply::ok(r#"{"echo":"YWRtaW46cGFzc3dvcmQx"}"#),
        _ => Reply::json(401, "{}"),
    })
    .await;
    let vault = MemoryVault::with(&[("password", "password1")], &[]);
    let door = door(grant(&crm, r#"{"kind":"basic","user":"username","password":"password"}"#), &vault);
    let answer = door.send(&reading(), get("/v1/x")).await.expect("the password is right");
    assert_eq!(&*answer.body, br#"{"echo":"********************"}"#);
    // A password that was changed is tried once; one that is known to be wrong is not.
    vault.set("password", "password2");
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok(), "the old one still works and is kept");
    let wrong = MemoryVault::with(&[("password", "password2")], &[]);
    let door = crate::egress::testing::door(
        grant(&crm, r#"{"kind":"basic","user":"username","password":"password"}"#),
        &wrong,
    );
    let before = crm.seen().len();
    assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::LoggedOut));
    assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::LoggedOut));
    assert_eq!(crm.seen().len(), before + 1);
    wrong.set("password", "password1");
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
}

#[test]
fn a_code_says_more_than_a_status() {
    let spec: ExpiredSpec = serde_json::from_str(r#"{"statuses":[401],"code_pointer":"/code","codes":["OLD_TOKEN"]}"#)
        .expect("it is well formed");
    let check = |status: u16, body: &str, expected: bool| {
        let incoming = Incoming { status, headers: Default::default(), body: body.as_bytes().to_vec() };
        assert_eq!(spec.matches(&incoming), expected, "{status} {body}");
    };
    check(401, r#"{"code":"OLD_TOKEN"}"#, true);
    check(200, r#"{"code":"OLD_TOKEN"}"#, true);
    check(401, r#"{"code":"SCOPE_MISSING"}"#, false);
    check(401, "<html>", true);
    check(401, "", true);
    check(200, "{}", false);
    check(403, "{}", false);
}
