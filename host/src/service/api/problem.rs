//! Failures as HTTP answers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::service::{Failure, Kind};

/// A failure with its status.
pub(super) struct Problem {
    status: StatusCode,
    failure: Failure,
}

impl Problem {
    /// A failure whose status is not the one of its kind.
    pub(super) fn with(status: StatusCode, failure: Failure) -> Problem {
        Problem { status, failure }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let status = match failure.kind {
            Kind::Input if failure.code.ends_with(".unknown") => StatusCode::NOT_FOUND,
            Kind::Input => StatusCode::BAD_REQUEST,
            // What cannot be done in the present state: busy, paused, not approved, logged out.
            Kind::Failed => StatusCode::CONFLICT,
            Kind::Environment => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem { status, failure }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.failure }))).into_response()
    }
}
