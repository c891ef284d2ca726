//! Zoho's error codes as faults.

use crmsync_plugin::Fault;
use crmsync_plugin::egress::Answer;

use crate::wire::{self, ErrorBody};

/// How long to wait when too many calls run at the same time, in milliseconds.
const CONCURRENCY_WAIT_MS: u64 = 2_000;
/// How long to wait when the credits of the last 24 hours are used up, in milliseconds: some come back each hour.
const CREDITS_WAIT_MS: u64 = 3_600_000;
/// How long to wait when Zoho says that there are too many calls, but not of what, in milliseconds.
const FLOOD_WAIT_MS: u64 = 60_000;
/// Longest wait that a `Retry-After` header can ask for, in milliseconds: the day over which credits are counted.
const RETRY_AFTER_MS_MAX: u64 = 86_400_000;
/// How much of a body is looked at to tell an error page from JSON, in bytes.
const START_BYTES: u32 = 64;

/// Zoho's refusal of a whole call.
#[derive(Debug)]
pub(crate) struct CallRefusal {
    /// What it means.
    pub(crate) fault: Fault,
    /// The call was refused before anything was done: no row of a write was stored.
    pub(crate) before_execution: bool,
    /// Zoho's words.
    pub(crate) body: ErrorBody,
}

/// What Zoho said about one record, or about a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Refused<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    /// The field, if one was named.
    pub(crate) field: &'a str,
    /// JSON path of the value, such as `$.data[3].Email`.
    pub(crate) path: &'a str,
    /// Id of the record that holds the value already.
    pub(crate) holder: &'a str,
}

/// What Zoho's answer to a whole call means, if its status is not a good one.
pub(crate) fn of_call(answer: &Answer) -> CallRefusal {
    // Gateways answer with pages of HTML; those have no code.
    let is_json = answer.start(START_BYTES).trim_start().starts_with('{');
    let body: Option<ErrorBody> = if is_json { wire::value(answer, "").ok().flatten() } else { None };
    let body = body.unwrap_or_default();
    let seconds = answer.header("retry-after").and_then(|text| text.trim().parse::<u64>().ok());
    let retry_after_ms = seconds.map(|seconds| seconds.saturating_mul(1_000).clamp(1, RETRY_AFTER_MS_MAX));
    // Zoho tells the credits left once half of them are used.
    let no_credits = answer.header("x-api-credits-remaining").is_some_and(|left| left.trim() == "0");
    let retry_after_ms = retry_after_ms.or(no_credits.then_some(CREDITS_WAIT_MS));
    let fault = of_status(answer.status(), &body.code, &body.message, retry_after_ms);
    CallRefusal { fault, before_execution: (400..500).contains(&answer.status()), body }
}

fn of_status(status: u16, code: &str, message: &str, retry_after_ms: Option<u64>) -> Fault {
    let say = || if message.is_empty() { format!("HTTP {status}") } else { message.to_owned() };
    match (status, code) {
        (429, _) | (_, "TOO_MANY_REQUESTS") => Fault::RateLimited(wait_ms(message, retry_after_ms)),
        // A missing scope is 401 too, but logging in again with the same scopes would not help.
        (401, "OAUTH_SCOPE_MISMATCH") | (403, _) => Fault::other(or(code, "NO_PERMISSION"), say()),
        (401, _) => Fault::LoggedOut,
        (_, "EXPIRED_VALUE" | "TOKEN_BOUND_DATA_MISMATCH") => Fault::CursorExpired,
        (
            _,
            "INVALID_MODULE" | "INVALID_URL_PATTERN" | "API_NOT_SUPPORTED" | "FEATURE_NOT_SUPPORTED" | "NOT_SUPPORTED",
        )
        | (_, "LICENSE_LIMIT_EXCEEDED") => Fault::Unsupported(format!("{code}: {}", say())),
        (412, _) => Fault::Changed,
        (400..=499, _) => Fault::other(or(code, &format!("HTTP {status}")), say()),
        // The request reached Zoho; what became of it is unknown.
        (500..=599, _) => Fault::Transient(say()),
        _ => Fault::other(format!("HTTP {status}"), "Zoho answered with a status that it does not document"),
    }
}

/// What Zoho's refusal of one row of a write means. `names_record` says that the row names a record by its id (update, delete).
pub(crate) fn of_row(refused: &Refused<'_>, names_record: bool) -> Fault {
    let Refused { code, message, .. } = *refused;
    match code {
        "ALREADY_MODIFIED" => Fault::Changed,
        "DUPLICATE_DATA" => Fault::Duplicate(refused.holder.to_owned()),
        "INVALID_DATA" if names_record && is_about_id(refused) => Fault::Gone,
        // What it became is for the next read to tell.
        "ID_ALREADY_CONVERTED" | "CONVERTED_RECORD" if names_record => Fault::Gone,
        "RECORD_LOCKED" => Fault::Transient(format!("{code}: {message}")),
        "TOO_MANY_REQUESTS" => Fault::RateLimited(wait_ms(message, None)),
        "INTERNAL_ERROR" | "" => Fault::UnknownOutcome(format!("{code}: {message}")),
        _ => Fault::rejected(field_of(refused), code, message),
    }
}

/// The field that a refusal is about: as named, or the last name of its JSON path.
pub(crate) fn field_of<'a>(refused: &Refused<'a>) -> &'a str {
    if !refused.field.is_empty() {
        return refused.field;
    }
    match refused.path.rsplit_once('.') {
        Some((_, name)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && name != "id" => {
            name
        }
        _ => "",
    }
}

/// Lookups with a wrong target are refused in the same words, but name their field.
fn is_about_id(refused: &Refused<'_>) -> bool {
    matches!(field_of(refused), "" | "id")
        && (refused.message.contains("id given seems to be invalid") || refused.message.contains("record not deleted"))
}

/// How long to wait. One code stands for calls at the same time and for used credits alike, and only the words tell them apart.
fn wait_ms(message: &str, retry_after_ms: Option<u64>) -> u64 {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    retry_after_ms.unwrap_or(if says(&["concurren"]) {
        CONCURRENCY_WAIT_MS
    } else if says(&["24 hour", "24-hour", "credit", "per day", "daily"]) {
        CREDITS_WAIT_MS
    } else {
        FLOOD_WAIT_MS
    })
}

fn or<'a>(code: &'a str, fallback: &'a str) -> &'a str {
    if code.is_empty() { fallback } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_refused_for_reasons() {
        let check = |status: u16, code: &str, message: &str, fault: Fault| {
            assert_eq!(of_status(status, code, message, None), fault, "{status} {code}");
        };
        check(401, "INVALID_TOKEN", "invalid oauth token", Fault::LoggedOut);
        check(
            401,
            "OAUTH_SCOPE_MISMATCH",
            "invalid oauth scope",
            Fault::other("OAUTH_SCOPE_MISMATCH", "invalid oauth scope"),
        );
        check(403, "", "", Fault::other("NO_PERMISSION", "HTTP 403"));
        check(400, "INVALID_MODULE", "no", Fault::Unsupported("INVALID_MODULE: no".to_owned()));
        check(400, "EXPIRED_VALUE", "", Fault::CursorExpired);
        check(400, "LIMIT_EXCEEDED", "many", Fault::other("LIMIT_EXCEEDED", "many"));
        check(412, "ALREADY_MODIFIED", "", Fault::Changed);
        check(503, "", "", Fault::Transient("HTTP 503".to_owned()));
        check(429, "TOO_MANY_REQUESTS", "exceeded the maximum number of concurrent calls", Fault::RateLimited(2_000));
        check(429, "TOO_MANY_REQUESTS", "exceeded … within a 24 hour period", Fault::RateLimited(3_600_000));
        check(
            429,
            "TOO_MANY_REQUESTS",
            "exceeded the maximum number of requests per minute",
            Fault::RateLimited(60_000),
        );
        check(429, "", "", Fault::RateLimited(60_000));
        assert_eq!(of_status(429, "", "", Some(9_000)), Fault::RateLimited(9_000));
    }

    #[test]
    fn rows_are_refused_for_reasons() {
        let plain = Refused { code: "INVALID_DATA", message: "invalid data", ..Refused::default() };
        let check = |refused: Refused<'_>, fault: Fault| assert_eq!(of_row(&refused, true), fault);
        check(Refused { code: "ALREADY_MODIFIED", ..plain.clone() }, Fault::Changed);
        check(Refused { code: "DUPLICATE_DATA", holder: "7", ..plain.clone() }, Fault::Duplicate("7".to_owned()));
        let id = Refused { message: "the id given seems to be invalid", ..plain.clone() };
        check(id.clone(), Fault::Gone);
        check(Refused { field: "id", path: "$.data[0].id", ..id.clone() }, Fault::Gone);
        let lookup = Refused { path: "$.data[0].Account_Name", ..id.clone() };
        check(lookup, Fault::rejected("Account_Name", "INVALID_DATA", "the id given seems to be invalid"));
        assert_eq!(of_row(&id, false), Fault::rejected("", "INVALID_DATA", "the id given seems to be invalid"));
        check(Refused { field: "Email", ..plain }, Fault::rejected("Email", "INVALID_DATA", "invalid data"));
        check(Refused::default(), Fault::UnknownOutcome(": ".to_owned()));
    }
}
