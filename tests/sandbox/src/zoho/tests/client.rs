//! A small HTTP client, and a server for it.

use std::collections::HashMap;
use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::serve::{Options, Running, start_zoho};

pub(super) const SCOPES: &str =
    "ZohoCRM.modules.ALL,ZohoCRM.settings.ALL,ZohoCRM.users.READ,ZohoCRM.org.READ,ZohoSearch.securesearch.READ";
pub(super) const REDIRECT: &str = "http://127.0.0.1:8765/callback";

/// A server and the token of a login to it.
pub(super) struct Client {
    pub(super) server: Running,
    pub(super) token: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Raw {
    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Status and code of a refusal of the whole call.
    pub(super) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Status of the call, and the code of each row.
    pub(super) fn rows(&self) -> (u16, Vec<String>) {
        let body = self.json();
        let rows = body["data"].as_array().cloned().unwrap_or_default();
        (self.status, rows.iter().map(|row| row["code"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

/// A server without a login.
pub(super) async fn stranger(profile: &str, records: usize) -> Client {
    let options = Options { records, seed: 7, profile: profile.to_owned(), ..Options::default() };
    Client { server: start_zoho(options).await.expect("the server starts"), token: String::new() }
}

/// A server with a login for all scopes that a connector needs.
pub(super) async fn start(profile: &str, records: usize) -> Client {
    let mut client = stranger(profile, records).await;
    client.token = client.login(SCOPES).await["access_token"].as_str().expect("a token").to_owned();
    client
}

impl Client {
    /// Consent and exchange; the answer of the token endpoint.
    pub(super) async fn login(&self, scopes: &str) -> Value {
        let code = self.code(scopes).await;
        self.exchange(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT)]).await.json()
    }

    /// Accepts the consent form and takes the code from the redirect.
    pub(super) async fn code(&self, scopes: &str) -> String {
        let location = self.consent(&[("scope", scopes)], "accept").await;
        location.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned()).expect("a code")
    }

    /// Posts the consent form and returns where it sends the browser.
    pub(super) async fn consent(&self, changed: &[(&str, &str)], decision: &str) -> url::Url {
        let mut form = self.authorization(changed);
        form.push(("decision".to_owned(), decision.to_owned()));
        let raw = self.form("/oauth/v2/auth", &form).await;
        assert_eq!(raw.status, 302, "{}", raw.body);
        url::Url::parse(&raw.headers["location"]).expect("an address")
    }

    /// The parameters of an authorization request.
    pub(super) fn authorization(&self, changed: &[(&str, &str)]) -> Vec<(String, String)> {
        let client_id = self.server.login["client_id"].as_str().expect("a client id");
        let mut params: Vec<(&str, &str)> = vec![
            ("response_type", "code"),
            ("client_id", client_id),
            ("scope", SCOPES),
            ("redirect_uri", REDIRECT),
            ("access_type", "offline"),
            ("prompt", "consent"),
            ("state", "s1"),
        ];
        params.retain(|(name, _)| !changed.iter().any(|(other, _)| other == name));
        params.extend(changed);
        params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// A token request with the client's own credentials.
    pub(super) async fn exchange(&self, grant: &[(&str, &str)]) -> Raw {
        let login = &self.server.login;
        let mut form: Vec<(String, String)> = ["client_id", "client_secret"]
            .iter()
            .map(|name| ((*name).to_owned(), login[*name].as_str().expect("a text").to_owned()))
            .collect();
        form.extend(grant.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.form("/oauth/v2/token", &form).await
    }

    /// Posts a form.
    pub(super) async fn form(&self, path: &str, form: &[(String, String)]) -> Raw {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send("POST", path, &[("content-type", "application/x-www-form-urlencoded")], &body).await
    }

    /// A read of the API below `/crm/v8/`.
    pub(super) async fn get(&self, path: &str) -> Raw {
        self.api("GET", path, &[], "").await
    }

    /// A write of the API below `/crm/v8/`.
    pub(super) async fn write(&self, method: &str, path: &str, body: Value) -> Raw {
        self.api(method, path, &[], &body.to_string()).await
    }

    /// Inserts one contact and returns its id.
    pub(super) async fn insert(&self, contact: Value) -> String {
        let raw = self.write("POST", "Contacts", json!({"data": [contact], "trigger": []})).await;
        assert_eq!(raw.status, 201, "{}", raw.body);
        raw.json()["data"][0]["details"]["id"].as_str().expect("an id").to_owned()
    }

    /// Any call of the API with more headers.
    pub(super) async fn api(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
        let token = format!("Zoho-oauthtoken {}", self.token);
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        self.send(method, &format!("/crm/v8/{path}"), &all, body).await
    }

    /// A call to a control route; with a body it is a POST.
    pub(super) async fn control(&self, path: &str, body: Option<Value>) -> Value {
        let path = format!("/_sandbox/{path}");
        let json = [("content-type", "application/json")];
        let raw = match body {
            Some(body) => self.send("POST", &path, &json, &body.to_string()).await,
            None => self.send("GET", &path, &[], "").await,
        };
        raw.json()
    }

    /// Moves the server's clock.
    pub(super) async fn advance_ms(&self, advance_ms: i64) {
        self.control("clock", Some(json!({ "advance_ms": advance_ms }))).await;
    }

    /// Sends one request and reads its answer.
    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
        self.try_send(method, path, headers, body).await.expect("the server answers")
    }

    /// As `send`, but the connection may end before an answer.
    pub(super) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Raw> {
        let address = self.server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{head}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// An answer that is not sent in chunks.
fn parse(answer: &str) -> Option<Raw> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let headers = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Some(Raw { status, headers, body: body.to_owned() })
}
