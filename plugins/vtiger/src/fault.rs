//! What Vtiger's refusals mean. Nearly all of them come with HTTP 200 and a code; some are bare HTTP statuses, some
//! plain text.

use crmsync_plugin::Fault;

/// How long to wait after HTTP 429 if the answer does not say. Stock servers have no rate limit; proxies do.
const WAIT_MS: u64 = 10_000;

/// Longest wait that a `Retry-After` header can ask for.
const WAIT_MS_MAX: u64 = 3_600_000;

/// What a request was for: one code means different things after different requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Changes nothing.
    Read,
    /// Makes a record; a repetition would make another one.
    Create,
    /// Changes a record.
    Revise,
    /// Deletes a record.
    Delete,
}

impl Doing {
    /// Whether the request may have changed something.
    pub(crate) fn writes(self) -> bool {
        self != Doing::Read
    }
}

/// The fault of an answer with `success: false`. `code` is the text of the code, or `0` for the one that is a number.
///
/// `gone` is what the CRM's words say, and it has the same words for a record that this user may read but not change.
/// Whoever reports it has to look which one it is.
pub(crate) fn of_code(code: &str, message: &str, doing: Doing) -> Fault {
    match code {
        "ACCESS_DENIED" => of_denial(message, doing),
        "RECORD_NOT_FOUND" if doing != Doing::Create => Fault::Gone,
        "0" if doing.writes() => Fault::Duplicate(String::new()),
        "MANDATORY_FIELDS_MISSING" => Fault::rejected(leading_field(message), code, message),
        "REFERENCE_INVALID" => Fault::rejected(last_word(message), code, message),
        // Not about the record or the rights: the door has logged in again already, so the session store itself is in
        // trouble. The CRM says so before it looks at the operation.
        "INVALID_SESSIONID" | "SESSION_EXPIRED" | "SESSION_LEFT_IDLE" | "AUTHENTICATION_REQUIRED" => {
            Fault::Transient(format!("the CRM does not keep the session ({code})"))
        }
        // The parser's message repeats pieces of the query, and a query can hold customers' values.
        "QUERY_SYNTAX_ERROR" => Fault::other(code, "the CRM does not understand the query"),
        "UNKNOWN_OPERATION" | "OPERATION_NOT_SUPPORTED" => Fault::Unsupported(message.to_owned()),
        // Any exception ends here, also one of a workflow that ran after the record was stored. Repeating a create on
        // this word alone could make a second record; the other operations give the same result when they are repeated.
        "INTERNAL_SERVER_ERROR" | "DATABASE_QUERY_ERROR" if doing == Doing::Create => {
            Fault::UnknownOutcome(format!("the CRM answered {code}: {message}"))
        }
        _ if doing.writes() => Fault::rejected("", code, message),
        _ => Fault::other(code, message),
    }
}

/// The fault of an answer that is not the API's: a status that is not 200, or a body that is not its JSON.
pub(crate) fn of_status(status: u16, retry_after: Option<&str>, doing: Doing) -> Fault {
    match status {
        // Said by a proxy before the request reaches the CRM.
        429 => Fault::RateLimited(wait_ms(retry_after)),
        503 if retry_after.is_some() && !doing.writes() => Fault::RateLimited(wait_ms(retry_after)),
        // `Sorry! Attempt to access restricted file.` comes with 200, and the record has been stored; so may it have
        // been with 5xx.
        200 | 500.. if doing.writes() => {
            Fault::UnknownOutcome(format!("the CRM answered HTTP {status} without a result"))
        }
        500..=599 => Fault::Transient(format!("the CRM answered HTTP {status}")),
        200 => Fault::Transient("the CRM answered HTTP 200 with something that is not its API's".to_owned()),
        _ => Fault::other(format!("http-{status}"), "the web server refused the request before the CRM saw it"),
    }
}

fn of_denial(message: &str, doing: Doing) -> Fault {
    let code = "ACCESS_DENIED";
    if let Some(field) = denied_field(message) {
        return if doing.writes() {
            Fault::rejected(field, code, message)
        } else {
            Fault::Unsupported(format!("field `{field}`"))
        };
    }
    if let Some((_, module)) = message.split_once("denied for name : ") {
        return Fault::Unsupported(format!("module `{}`", module.trim()));
    }
    match doing {
        // "… denied for id" is about an id inside of the values (a reference without `x`), without it about the record.
        Doing::Revise | Doing::Delete if !message.contains("denied for") => Fault::Gone,
        Doing::Create | Doing::Revise | Doing::Delete => Fault::rejected("", code, message),
        Doing::Read => Fault::other(code, message),
    }
}

/// The fault of a write that was denied although the user may read the record.
pub(crate) fn may_not_change(doing: Doing) -> Fault {
    let verb = if doing == Doing::Delete { "delete" } else { "edit" };
    let message = format!(
        "the user may read this record but not {verb} it; give the user's profile that right for the module, or the record \
         to somebody whose records the user may {verb}"
    );
    Fault::rejected("", "ACCESS_DENIED", message)
}

/// The field that a read asked for although the CRM does not have it, or not for this user.
pub(crate) fn missing_field(fault: &Fault) -> Option<&str> {
    match fault {
        Fault::Unsupported(what) => what.strip_prefix("field `")?.strip_suffix('`'),
        _ => None,
    }
}

/// The column in `Permission to access 'x' attribute denied.`, which a select spells with dots around it.
fn denied_field(message: &str) -> Option<&str> {
    let name = message.strip_prefix("Permission to access ")?.split(" attribute").next()?;
    Some(name.trim_matches(['\'', '.', ' '])).filter(|name| !name.is_empty())
}

/// The field in `lastname does not have a value`; "" in `Mandatory Fields Missing..`.
fn leading_field(message: &str) -> &str {
    message.split_once(" does not have").map_or("", |(field, _)| field.trim())
}

/// The field in `Invalid reference specified for account_id`.
fn last_word(message: &str) -> &str {
    message.rsplit(' ').next().unwrap_or_default().trim_end_matches('.')
}

fn wait_ms(retry_after: Option<&str>) -> u64 {
    let seconds = retry_after.and_then(|text| text.trim().parse::<u64>().ok());
    seconds.map_or(WAIT_MS, |seconds| seconds.saturating_mul(1_000).clamp(1, WAIT_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = "Permission to perform the operation is denied";

    #[test]
    fn codes_become_faults() {
        let check = |code: &str, message: &str, doing: Doing, expected: Fault| {
            assert_eq!(of_code(code, message, doing), expected, "{code} {message} {doing:?}");
        };
        check("ACCESS_DENIED", DENIED, Doing::Revise, Fault::Gone);
        check("ACCESS_DENIED", DENIED, Doing::Delete, Fault::Gone);
        check("ACCESS_DENIED", DENIED, Doing::Create, Fault::rejected("", "ACCESS_DENIED", DENIED));
        check("ACCESS_DENIED", DENIED, Doing::Read, Fault::other("ACCESS_DENIED", DENIED));
        let about_id = format!("{DENIED} for id");
        check("ACCESS_DENIED", &about_id, Doing::Revise, Fault::rejected("", "ACCESS_DENIED", about_id.as_str()));
        check(
            "ACCESS_DENIED",
            &format!("{DENIED} for name : Payments"),
            Doing::Read,
            Fault::Unsupported("module `Payments`".into()),
        );
        let select = "Permission to access '.nosuch.' attribute denied.";
        check("ACCESS_DENIED", select, Doing::Read, Fault::Unsupported("field `nosuch`".into()));
        let filter = "Permission to access nosuch attribute denied.";
        check("ACCESS_DENIED", filter, Doing::Read, Fault::Unsupported("field `nosuch`".into()));
        check("0", "Duplicate(s) detected!", Doing::Create, Fault::Duplicate(String::new()));
        check("0", "Duplicate(s) detected!", Doing::Revise, Fault::Duplicate(String::new()));
        let missing = "lastname does not have a value";
        check(
            "MANDATORY_FIELDS_MISSING",
            missing,
            Doing::Create,
            Fault::rejected("lastname", "MANDATORY_FIELDS_MISSING", missing),
        );
        let reference = "Invalid reference specified for account_id";
        check(
            "REFERENCE_INVALID",
            reference,
            Doing::Revise,
            Fault::rejected("account_id", "REFERENCE_INVALID", reference),
        );
        check("LEAD_ALREADY_CONVERTED", "m", Doing::Revise, Fault::rejected("", "LEAD_ALREADY_CONVERTED", "m"));
    }

    #[test]
    fn an_unclear_create_is_never_called_a_failure() {
        let is_unknown = |fault: Fault| matches!(fault, Fault::UnknownOutcome(_));
        assert!(is_unknown(of_code("INTERNAL_SERVER_ERROR", "Unknown Error while processing request", Doing::Create)));
        assert!(!is_unknown(of_code("INTERNAL_SERVER_ERROR", "Unknown Error while processing request", Doing::Revise)));
        for doing in [Doing::Create, Doing::Revise, Doing::Delete] {
            for status in [200, 500, 502, 503, 504] {
                assert!(is_unknown(of_status(status, None, doing)), "{status} {doing:?}");
            }
            assert_eq!(of_status(429, Some("7"), doing), Fault::RateLimited(7_000));
        }
    }

    #[test]
    fn statuses_of_reads() {
        assert!(matches!(of_status(500, None, Doing::Read), Fault::Transient(_)));
        assert!(matches!(of_status(504, None, Doing::Read), Fault::Transient(_)));
        assert!(matches!(of_status(200, None, Doing::Read), Fault::Transient(_)));
        assert!(matches!(of_status(503, None, Doing::Read), Fault::Transient(_)));
        assert_eq!(of_status(503, Some("2"), Doing::Read), Fault::RateLimited(2_000));
        assert_eq!(of_status(429, Some("99999999999999999999"), Doing::Read), Fault::RateLimited(WAIT_MS));
        assert_eq!(of_status(429, Some("999999"), Doing::Read), Fault::RateLimited(WAIT_MS_MAX));
        assert!(matches!(of_status(414, None, Doing::Read), Fault::Other((code, _)) if code == "http-414"));
        assert!(matches!(of_status(414, None, Doing::Create), Fault::Other(_)));
    }

    #[test]
    fn a_query_is_never_repeated_in_a_message() {
        let message = "Syntax Error on line 1: token 'Ola Nordmann' Unexpected";
        let Fault::Other((_, text)) = of_code("QUERY_SYNTAX_ERROR", message, Doing::Read) else {
            panic!("another fault")
        };
        assert!(!text.contains("Ola"));
    }
}
