//! What passes through the gate: one request of a guest, one answer, and why there may be none.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::future::BoxFuture;

/// What a request does to the CRM (S3 of the plugin contract: every request says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing; the gate may repeat it.
    Read,
    /// Writes these rows of the push that is going on; never repeated unless it was provably refused before execution.
    Write(Vec<u32>),
}

/// A request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// No body.
    None,
    /// A JSON text.
    Json(Vec<u8>),
    /// Names and values, sent as `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
}

/// One request as a guest states it: nothing in it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of an origin of the plugin's manifest.
    pub origin: String,
    /// HTTP method, upper case.
    pub method: String,
    /// Absolute path, percent-decoded.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers, lower-case names.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Payload,
    /// Read or write.
    pub effect: Effect,
}

/// A whole HTTP answer after caps and redaction. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The headers that a guest may see, lower-case names.
    pub headers: Vec<(String, String)>,
    /// Decompressed body, live secrets replaced.
    pub body: Arc<[u8]>,
}

/// Bytes of a refusal's reason; what is longer is cut.
const REASON_BYTES_MAX: usize = 500;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request breaks a rule of the gate.
    #[error("{0}")]
    Denied(String),
    /// Over a budget: milliseconds until it makes sense to call again.
    #[error("over the rate limit, try again in {0} ms")]
    RateLimited(u64),
    /// The credentials do not work any more.
    #[error("the login does not work any more; log in again")]
    LoggedOut,
    /// Nothing was sent.
    #[error("no connection: {0}")]
    NotSent(String),
    /// Sent, but no whole answer came.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is larger than allowed, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
    /// The call was cancelled or ran out of its time.
    #[error("the call was cancelled")]
    Cancelled,
}

impl Refusal {
    /// The refusal with its words cleaned and not too long.
    pub(super) fn with_words(self, clean: impl Fn(&str) -> String) -> Refusal {
        let words = |text: String| {
            let mut text = clean(&text);
            text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
            text
        };
        match self {
            Refusal::Denied(text) => Refusal::Denied(words(text)),
            Refusal::NotSent(text) => Refusal::NotSent(words(text)),
            Refusal::NoAnswer(text) => Refusal::NoAnswer(words(text)),
            Refusal::RateLimited(_) | Refusal::LoggedOut | Refusal::TooLarge(_) | Refusal::Cancelled => self,
        }
    }
}

/// Rule 1, seen from the gate: no write leaves before its rows are stored intents marked as admitted.
pub trait Admissions: Send + Sync {
    /// Records that the rows are about to be sent. Called before the first byte of a write; an error (in words) keeps the write back:
    /// a row without a stored intent, or a lease that was lost.
    fn admit<'a>(&'a self, rows: &'a [u32]) -> BoxFuture<'a, Result<(), String>>;

    /// Takes an admission back: no byte of the request left, because no connection could be made.
    fn retract(&self, rows: &[u32]);
}

/// What one call of a connector's export may do at the gate.
#[derive(Clone)]
pub struct CallScope {
    /// Set during `push` only; without it every write is refused.
    pub admissions: Option<Arc<dyn Admissions>>,
    /// Requests that this call may still make (S10).
    pub requests_max: u32,
    /// Nothing is sent after this moment, and running requests are cut.
    pub deadline: Instant,
    /// Why a login failed within this call: it is not tried again for the call's other requests.
    pub login_failed: Arc<OnceLock<Refusal>>,
}
