//! A small client of the interface, and a server for it.

use std::io;

use md5::{Digest, Md5};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::serve::{Options, Running, start_vtiger};

/// The content type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A server with a logged-in client.
pub(super) struct Client {
    pub(super) server: Running,
    pub(super) session: String,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// The `Date` header.
    pub(super) date: String,
    pub(super) body: String,
}

impl Raw {
    /// The body as JSON; a body that is none is the string that it is.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| Value::String(self.body.clone()))
    }
}

/// A server of that profile with ten contacts, three organizations, no leads, and the administrator logged in.
pub(super) async fn start(profile: &str) -> Client {
    let options = Options {
        records: 10,
        organizations: Some(3),
        leads: Some(0),
        seed: 7,
        profile: profile.to_owned(),
        ..Options::default()
    };
    let server = start_vtiger(options).await.expect("the server starts");
    let mut client = Client { server, session: String::new() };
    client.session = client.login("admin").await;
    client
}

/// The MD5 of challenge and access key.
pub(super) fn login_key(token: &str, access_key: &str) -> String {
    let digest = Md5::digest(format!("{token}{access_key}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Client {
    /// The access key that the server prints when it is ready.
    pub(super) fn access_key(&self, user: &str) -> String {
        self.server.login["access_keys"][user].as_str().expect("the user exists").to_owned()
    }

    /// Logs in and returns the session's name.
    pub(super) async fn login(&self, user: &str) -> String {
        let challenge = self.get_raw(&[("operation", "getchallenge"), ("username", user)]).await.json();
        let token = challenge["result"]["token"].as_str().expect("a challenge was given");
        let key = login_key(token, &self.access_key(user));
        let answer = self.post_raw(&[("operation", "login"), ("username", user), ("accessKey", &key)]).await.json();
        answer["result"]["sessionName"].as_str().expect("the login succeeds").to_owned()
    }

    /// Sends exactly these parameters in the query.
    pub(super) async fn get_raw(&self, parameters: &[(&str, &str)]) -> Raw {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.send("GET", &format!("/webservice.php?{query}"), "", "").await
    }

    /// Sends exactly these parameters as a form.
    pub(super) async fn post_raw(&self, parameters: &[(&str, &str)]) -> Raw {
        let form: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.send("POST", "/webservice.php", FORM, &form).await
    }

    /// A read operation of this session.
    pub(super) async fn get(&self, operation: &str, parameters: &[(&str, &str)]) -> Value {
        let mut all = vec![("operation", operation), ("sessionName", self.session.as_str())];
        all.extend(parameters);
        self.get_raw(&all).await.json()
    }

    /// A write operation of this session.
    pub(super) async fn post(&self, operation: &str, parameters: &[(&str, &str)]) -> Raw {
        let mut all = vec![("operation", operation), ("sessionName", self.session.as_str())];
        all.extend(parameters);
        self.post_raw(&all).await
    }

    /// The rows of a query, or the whole answer if it failed.
    pub(super) async fn query(&self, query: &str) -> Value {
        let answer = self.get("query", &[("query", query)]).await;
        if answer["success"] == json!(true) { answer["result"].clone() } else { answer }
    }

    /// The `error` of a query that must fail.
    pub(super) async fn query_error(&self, query: &str) -> Value {
        self.query(query).await["error"].clone()
    }

    /// Creates a record; the administrator owns it unless the element says otherwise. The result, or the whole answer
    /// if it failed.
    pub(super) async fn create(&self, module: &str, mut element: Value) -> Value {
        if element.get("assigned_user_id").is_none() {
            element["assigned_user_id"] = json!("19x1");
        }
        self.create_exactly(module, element).await
    }

    /// As `create`, with nothing added.
    pub(super) async fn create_exactly(&self, module: &str, element: Value) -> Value {
        let answer = self.post("create", &[("elementType", module), ("element", &element.to_string())]).await.json();
        if answer["success"] == json!(true) { answer["result"].clone() } else { answer }
    }

    /// `update` or `revise`.
    pub(super) async fn change(&self, operation: &str, element: Value) -> Value {
        let answer = self.post(operation, &[("element", &element.to_string())]).await.json();
        if answer["success"] == json!(true) { answer["result"].clone() } else { answer }
    }

    /// The record, or the whole answer if it failed.
    pub(super) async fn retrieve(&self, id: &str) -> Value {
        let answer = self.get("retrieve", &[("id", id)]).await;
        if answer["success"] == json!(true) { answer["result"].clone() } else { answer }
    }

    /// A call to a control route; with a body it is a POST.
    pub(super) async fn control(&self, path: &str, body: Option<Value>) -> Value {
        let path = format!("/_sandbox/{path}");
        let raw = match body {
            Some(body) => self.send("POST", &path, "application/json", &body.to_string()).await,
            None => self.send("GET", &path, "", "").await,
        };
        raw.json()
    }

    /// Moves the server's clock.
    pub(super) async fn advance_s(&self, seconds: i64) {
        self.control("clock", Some(json!({ "advance_ms": seconds * 1_000 }))).await;
    }

    /// Sends one request and reads its answer.
    pub(super) async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> Raw {
        self.try_send(method, path, content_type, body).await.expect("the server answers")
    }

    /// As `send`.
    ///
    /// # Errors
    ///
    /// If the connection ends before an answer.
    pub(super) async fn try_send(&self, method: &str, path: &str, content_type: &str, body: &str) -> io::Result<Raw> {
        let address = self.server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Status, content type and body of an answer that is not sent in chunks.
fn parse(answer: &str) -> Option<Raw> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    Some(Raw { status, content_type: header("content-type: "), date: header("date: "), body: body.to_owned() })
}

/// The answer to an operation that failed.
pub(super) fn failure(code: &str, message: &str) -> Value {
    json!({ "success": false, "error": { "message": message, "code": code } })
}

/// The answer for what does not exist or may not be touched.
pub(super) fn denied(what: &str) -> Value {
    failure("ACCESS_DENIED", &format!("Permission to perform the operation is denied{what}"))
}
