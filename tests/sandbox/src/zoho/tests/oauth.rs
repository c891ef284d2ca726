//! Logging in, tokens and their limits, scopes.

use serde_json::json;

use super::client::{Client, REDIRECT, SCOPES, start, stranger};

const MINUTE_MS: i64 = 60_000;

async fn renew(client: &Client, refresh: &str) -> super::client::Raw {
    client.exchange(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await
}

#[tokio::test]
async fn consent_page_redirect_and_exchange() {
    let client = stranger("default", 3).await;
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(client.authorization(&[])).finish();
    let page = client.send("GET", &format!("/oauth/v2/auth?{query}"), &[], "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("value=\"accept\"") && page.body.contains("ZohoCRM.modules.ALL"));

    let location = client.consent(&[], "accept").await;
    let pairs: std::collections::HashMap<_, _> = location.query_pairs().into_owned().collect();
    assert!(location.as_str().starts_with(REDIRECT));
    assert_eq!((pairs["location"].as_str(), pairs["state"].as_str()), ("us", "s1"));
    assert_eq!(pairs["accounts-server"], client.server.url);

    let grant = [("grant_type", "authorization_code"), ("code", pairs["code"].as_str()), ("redirect_uri", REDIRECT)];
    let tokens = client.exchange(&grant).await.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3_600)));
    assert_eq!(tokens["api_domain"], json!(client.server.url));
    assert!(tokens["refresh_token"].is_string());
    assert_eq!(client.exchange(&grant).await.json(), json!({"error": "invalid_code"}), "one use only");

    let refused = client.consent(&[], "reject").await;
    assert!(refused.query_pairs().any(|(name, value)| name == "error" && value == "access_denied"));
}

#[tokio::test]
async fn a_request_that_cannot_be_trusted_gets_a_page_not_a_redirect() {
    let client = stranger("default", 3).await;
    for changed in [
        ("client_id", "1000.OTHER"),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "http://127.0.0.1:8765/other"),
        ("response_type", "token"),
        ("scope", "ZohoCRM.modules"),
    ] {
        let raw = client.form("/oauth/v2/auth", &client.authorization(&[changed])).await;
        assert_eq!(raw.status, 400, "{changed:?}");
        assert!(!raw.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn token_errors_come_with_http_200() {
    let client = stranger("default", 3).await;
    let code = client.code(SCOPES).await;
    let login = &client.server.login;
    let check = |id: &'static str, secret: &'static str, grant: &'static str, code: String, redirect: &'static str| {
        let text = |name: &str, given: &str| match given {
            "" => login[name].as_str().expect("a text").to_owned(),
            other => other.to_owned(),
        };
        let form = [
            ("client_id", text("client_id", id)),
            ("client_secret", text("client_secret", secret)),
            ("grant_type", grant.to_owned()),
            ("code", code),
            ("redirect_uri", redirect.to_owned()),
        ];
        let form: Vec<_> = form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let client = &client;
        async move {
            let raw = client.form("/oauth/v2/token", &form).await;
            (raw.status, raw.json()["error"].as_str().unwrap_or_default().to_owned())
        }
    };
    let grant = "authorization_code";
    let said = |error: &str| (200, error.to_owned());
    assert_eq!(check("1000.X", "", grant, code.clone(), REDIRECT).await, said("invalid_client"));
    assert_eq!(check("", "wrong", grant, code.clone(), REDIRECT).await, said("invalid_client_secret"));
    assert_eq!(check("", "", "password", code.clone(), REDIRECT).await, said("general_error"));
    assert_eq!(check("", "", grant, "1000.no".to_owned(), REDIRECT).await, said("invalid_code"));
    assert_eq!(check("", "", grant, code.clone(), "http://127.0.0.1:1/callback").await, said("invalid_redirect_uri"));
    client.advance_ms(3 * MINUTE_MS).await;
    assert_eq!(check("", "", grant, code, REDIRECT).await, said("invalid_code"), "three minutes are over");
}

#[tokio::test]
async fn parameters_may_be_in_the_query_and_secrets_stay_out_of_the_list_of_calls() {
    let client = stranger("default", 3).await;
    let login = &client.server.login;
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", login["client_id"].as_str().expect("an id"))
        .append_pair("client_secret", login["client_secret"].as_str().expect("a secret"))
        .append_pair("grant_type", "authorization_code")
        .append_pair("redirect_uri", REDIRECT)
        .append_pair("code", &client.code(SCOPES).await)
        .finish();
    let raw = client.send("POST", &format!("/oauth/v2/token?{query}"), &[], "").await;
    assert!(raw.json()["access_token"].is_string());
    let calls = client.control("calls", None).await.to_string();
    assert!(calls.contains("client_secret=***") && !calls.contains(login["client_secret"].as_str().expect("a secret")));
}

#[tokio::test]
async fn refreshing_does_not_rotate_and_is_throttled() {
    let client = stranger("default", 3).await;
    let tokens = client.login(SCOPES).await;
    let refresh = tokens["refresh_token"].as_str().expect("a token").to_owned();
    for _ in 0..10 {
        let renewed = renew(&client, &refresh).await.json();
        assert!(renewed["access_token"].is_string() && renewed.get("refresh_token").is_none());
    }
    let throttled = renew(&client, &refresh).await;
    assert_eq!((throttled.status, &throttled.json()["error"]), (400, &json!("Access Denied")));
    client.advance_ms(10 * MINUTE_MS).await;
    assert!(renew(&client, &refresh).await.json()["access_token"].is_string());

    let form = [("token".to_owned(), refresh.clone())];
    assert_eq!(client.form("/oauth/v2/token/revoke", &form).await.json(), json!({"status": "success"}));
    assert_eq!(renew(&client, &refresh).await.json(), json!({"error": "invalid_code"}));
}

#[tokio::test]
async fn the_twenty_first_refresh_token_ends_the_first() {
    let mut client = stranger("default", 3).await;
    let first = client.login(SCOPES).await;
    for _ in 0..20 {
        client.advance_ms(2 * MINUTE_MS).await;
        assert!(client.login(SCOPES).await["refresh_token"].is_string());
    }
    let refresh = first["refresh_token"].as_str().expect("a token");
    assert_eq!(renew(&client, refresh).await.json(), json!({"error": "invalid_code"}));
    client.token = first["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(client.get("org").await.refusal(), (401, "INVALID_TOKEN".to_owned()));
}

#[tokio::test]
async fn a_repeated_authorization_without_consent_gives_no_refresh_token() {
    let client = stranger("default", 3).await;
    client.login(SCOPES).await;
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(client.authorization(&[("prompt", "")]))
        .finish();
    let raw = client.send("GET", &format!("/oauth/v2/auth?{query}"), &[], "").await;
    assert_eq!(raw.status, 302);
    let location = url::Url::parse(&raw.headers["location"]).expect("an address");
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let grant = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", REDIRECT)];
    let tokens = client.exchange(&grant).await.json();
    assert!(tokens["access_token"].is_string() && tokens.get("refresh_token").is_none());
}

#[tokio::test]
async fn the_three_kinds_of_401() {
    let mut client = start("default", 3).await;
    assert_eq!(client.get("org").await.status, 200);
    let token = client.token.clone();
    for header in [String::new(), format!("Bearer {token}"), format!("zoho-oauthtoken {token}")] {
        let raw = client.send("GET", "/crm/v8/org", &[("authorization", &header)], "").await;
        assert_eq!(raw.refusal(), (401, "AUTHENTICATION_FAILURE".to_owned()), "{header}");
    }
    client.advance_ms(60 * MINUTE_MS).await;
    assert_eq!(client.get("org").await.refusal(), (401, "INVALID_TOKEN".to_owned()), "an hour is over");

    client.token =
        client.login("ZohoCRM.modules.contacts.READ").await["access_token"].as_str().expect("a token").into();
    assert_eq!(client.get("Contacts?fields=Email").await.status, 200);
    for (method, path) in [
        ("GET", "Accounts?fields=Phone"),
        ("GET", "org"),
        ("POST", "Contacts"),
        ("GET", "settings/modules"),
        ("GET", "Contacts/actions/count"),
        ("GET", "Contacts/search?word=abc"),
    ] {
        assert_eq!(
            client.api(method, path, &[], "{}").await.refusal(),
            (401, "OAUTH_SCOPE_MISMATCH".to_owned()),
            "{path}"
        );
    }
    client.control("expire", Some(json!({}))).await;
    assert_eq!(client.get("Contacts?fields=Email").await.refusal().1, "INVALID_TOKEN");
    let scopes = "ZohoCRM.modules.contacts.READ,ZohoSearch.securesearch.READ";
    client.token = client.login(scopes).await["access_token"].as_str().expect("a token").into();
    assert_eq!(client.get("Contacts/actions/count").await.status, 200);
}
