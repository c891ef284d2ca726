//! The parameters of a call: those of the query string and those of the form are two sets, and it matters which is
//! asked.

use crate::http::Request;

/// A multipart body with more parts is cut here; the interface has six parameters.
const PARTS_MAX: usize = 64;

/// Decoded parameters; of two with one name the last counts.
#[derive(Debug)]
pub(super) struct Params {
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
    has_json_body: bool,
}

impl Params {
    /// Reads both sets. A body is a form if its content type says so; JSON is nothing that PHP would read.
    pub(super) fn read(request: &Request) -> Self {
        let content_type = request.header("content-type").unwrap_or_default();
        let lower = content_type.to_ascii_lowercase();
        let form = if lower.starts_with("application/x-www-form-urlencoded") {
            request.form_pairs()
        } else if lower.starts_with("multipart/form-data") {
            multipart(content_type, &request.body)
        } else {
            Vec::new()
        };
        let form = if request.method == "POST" { form } else { Vec::new() };
        Self { query: request.query_pairs(), form, has_json_body: lower.starts_with("application/json") }
    }

    /// Whether the client sent JSON as the body.
    pub(super) fn has_json_body(&self) -> bool {
        self.has_json_body
    }

    /// A parameter of the query string.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// A parameter of the form.
    pub(super) fn form(&self, name: &str) -> Option<&str> {
        find(&self.form, name)
    }

    /// A parameter of either, as only `operation`, `sessionName` and `format` are taken.
    pub(super) fn either(&self, name: &str) -> Option<&str> {
        self.form(name).or_else(|| self.query(name))
    }

    /// The operation in lower case; empty if none is named.
    pub(super) fn operation(&self) -> String {
        self.either("operation").unwrap_or_default().to_ascii_lowercase()
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The text fields of a multipart form; what does not look like one is left out.
fn multipart(content_type: &str, body: &[u8]) -> Vec<(String, String)> {
    let Some((_, boundary)) = content_type.split_once("boundary=") else { return Vec::new() };
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let body = String::from_utf8_lossy(body);
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let (_, name) = head.split_once("name=\"")?;
        let (name, _) = name.split_once('"')?;
        Some((name.to_owned(), value.strip_suffix("\r\n").unwrap_or(value).to_owned()))
    };
    body.split(delimiter.as_str()).filter_map(field).take(PARTS_MAX).collect()
}
