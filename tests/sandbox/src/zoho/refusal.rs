//! How Zoho says no: one flat body for a call, the same body inside `data` for a row.

use serde_json::{Map, Value, json};

use crate::http::Answer;

/// The `content-type` of every answer with a body.
pub(super) const JSON: &str = "application/json;charset=UTF-8";

/// A refusal of a call or of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) details: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), details: Map::new() }
    }

    pub(super) fn invalid_data(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "INVALID_DATA", message)
    }

    pub(super) fn invalid_id(id: &str) -> Refusal {
        Refusal::invalid_data("the id given seems to be invalid").with("id", id)
    }

    /// A parameter of the query that is wrong in itself.
    pub(super) fn invalid_param(name: &str, expected: &str) -> Refusal {
        Refusal::invalid_data("invalid data").with("param_name", name).with("expected_data_type", expected)
    }

    pub(super) fn missing_param(name: &str) -> Refusal {
        Refusal::new(400, "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing").with("param_name", name)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Refusal {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The body, which for a row stands inside `data`.
    pub(super) fn body(&self) -> Value {
        json!({"code": self.code, "details": self.details, "message": self.message, "status": "error"})
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::json(self.status, JSON, &self.body())
    }
}
