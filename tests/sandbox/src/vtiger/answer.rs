//! What the server says: the envelope, the error codes and PHP's spelling of JSON.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Value, json};

use crate::http::Answer;

/// Why an operation did not answer with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// HTTP 200, `success: false` with a code and a message.
    Coded { code: &'static str, message: String },
    /// A unique field is taken already: the one error whose code is the integer 0.
    Duplicate,
    /// PHP died: HTTP 500, `text/html`, nothing in the body.
    Fatal,
    /// The `format` parameter names something other than JSON: HTTP 500 with the JSON content type and nothing in the
    /// body.
    FatalFormat,
    /// HTTP 200, plain text. For an owner that does not exist the record has been written all the same.
    RestrictedFile,
}

impl Refusal {
    /// The record, module or parameter does not exist, or the user may not touch it: Vtiger does not say which.
    pub(super) fn denied() -> Self {
        Self::access("Permission to perform the operation is denied")
    }

    /// As `denied`, with the part of the request that was refused (`id`, `query`, `name : Module`).
    pub(super) fn denied_for(what: &str) -> Self {
        Self::access(format!("Permission to perform the operation is denied for {what}"))
    }

    /// `ACCESS_DENIED` with a message of its own.
    pub(super) fn access(message: impl Into<String>) -> Self {
        Self::coded("ACCESS_DENIED", message)
    }

    /// What Vtiger makes of a date that it cannot read and of an empty literal in a query.
    pub(super) fn internal() -> Self {
        Self::coded("INTERNAL_SERVER_ERROR", "Unknown Error while processing request")
    }

    /// The first mandatory field that has no value.
    pub(super) fn mandatory(field: &str) -> Self {
        Self::coded("MANDATORY_FIELDS_MISSING", format!("{field} does not have a value"))
    }

    /// Any other code.
    pub(super) fn coded(code: &'static str, message: impl Into<String>) -> Self {
        Self::Coded { code, message: message.into() }
    }

    /// The refusal in words, for a person at the screen.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Coded { message, .. } => message.clone(),
            Self::Duplicate => "Duplicate(s) detected!".to_owned(),
            Self::Fatal | Self::FatalFormat => "the server failed".to_owned(),
            Self::RestrictedFile => "the owner does not exist".to_owned(),
        }
    }
}

/// The HTTP answer for the outcome of an operation.
pub(super) fn respond(outcome: &Result<Value, Refusal>) -> Answer {
    match outcome {
        Ok(result) => enveloped(&json!({ "success": true, "result": result })).with_rows(rows(result)),
        Err(Refusal::Coded { code, message }) => {
            enveloped(&json!({ "success": false, "error": { "message": message, "code": code } }))
        }
        Err(Refusal::Duplicate) => {
            enveloped(&json!({ "success": false, "error": { "message": "Duplicate(s) detected!", "code": 0 } }))
        }
        Err(Refusal::Fatal) => page(500, HTML, ""),
        Err(Refusal::FatalFormat) => page(500, JSON, ""),
        Err(Refusal::RestrictedFile) => page(200, HTML, "Sorry! Attempt to access restricted file."),
    }
}

/// A page of the web server in front of PHP, for what never reaches PHP.
pub(super) fn web_server_page(status: u16, reason: &str) -> Answer {
    let heading = format!("{status} {reason}");
    let body = format!(
        "<html>\r\n<head><title>{heading}</title></head>\r\n<body>\r\n\
         <center><h1>{heading}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    Answer::text(status, "text/html", body)
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=UTF-8";

fn enveloped(envelope: &Value) -> Answer {
    page(200, JSON, php_json(envelope))
}

fn page(status: u16, content_type: &str, body: impl Into<String>) -> Answer {
    Answer::text(status, content_type, body).with_header("cache-control", "no-store, no-cache, must-revalidate")
}

/// Rows of a list or of a `sync` page; any other result is one.
fn rows(result: &Value) -> usize {
    let length = |name: &str| result.get(name).and_then(Value::as_array).map(Vec::len);
    match (result.as_array(), length("updated"), length("deleted")) {
        (Some(list), _, _) => list.len(),
        (None, Some(updated), Some(deleted)) => updated + deleted,
        _ => 1,
    }
}

/// Writes JSON as PHP does: compact, `/` as `\/`, everything outside ASCII as `\uXXXX`.
pub(super) fn php_json(value: &Value) -> String {
    let mut bytes = Vec::with_capacity(1024);
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, PhpFormatter))
        .expect("a value writes to memory without fail");
    String::from_utf8(bytes).expect("the formatter writes ASCII")
}

struct PhpFormatter;

impl Formatter for PhpFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, character) in fragment.char_indices() {
            if character.is_ascii() && character != '/' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            plain_from = at + character.len_utf8();
            if character == '/' {
                writer.write_all(b"\\/")?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spelled_as_php_spells_it() {
        let value = json!({ "a": "Åse/\"x\"\n", "b": [1, true], "c": "山😀" });
        assert_eq!(php_json(&value), r#"{"a":"\u00c5se\/\"x\"\n","b":[1,true],"c":"\u5c71\ud83d\ude00"}"#,);
    }
}
