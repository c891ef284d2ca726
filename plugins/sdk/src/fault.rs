//! Why a call, or one row of it, did not succeed, and how the door's refusals become such faults.

pub use crate::bindings::connector::crmsync::plugin::egress::Refusal;
pub use crate::bindings::connector::crmsync::plugin::faults::{Fault, Rejection};

impl Fault {
    /// A refusal of one value or record with the CRM's own code and message; `field` is "" if the CRM named none.
    pub fn rejected(field: &str, code: impl Into<String>, message: impl Into<String>) -> Fault {
        let field = Some(field).filter(|name| !name.is_empty()).map(str::to_owned);
        Fault::Rejected(Rejection { field, code: code.into(), message: message.into() })
    }

    /// Anything that no other fault says: a stable code and a message for the sync log, without customers' values.
    pub fn other(code: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault::Other((code.into(), message.into()))
    }

    /// What a refusal at the door means for the caller. After a write that may have left, the only honest word is
    /// [`Fault::UnknownOutcome`].
    pub fn from_refusal(refusal: Refusal, writes: bool) -> Fault {
        match refusal {
            Refusal::Denied(rule) => Fault::other("denied", rule),
            Refusal::RateLimited(wait_ms) => Fault::RateLimited(wait_ms),
            Refusal::LoggedOut => Fault::LoggedOut,
            Refusal::NotSent(reason) => Fault::Transient(reason),
            Refusal::NoAnswer(reason) => Fault::broken_off(reason, writes),
            Refusal::TooLarge(bytes) if writes => Fault::UnknownOutcome(format!("the answer has {bytes} bytes")),
            Refusal::TooLarge(bytes) => Fault::other("answer-too-large", format!("the answer has {bytes} bytes")),
            Refusal::Cancelled => Fault::broken_off("cancelled".to_owned(), writes),
        }
    }

    /// The request left, and its answer is missing or makes no sense: a read may be repeated, a write must be looked up.
    pub fn broken_off(reason: String, writes: bool) -> Fault {
        if writes { Fault::UnknownOutcome(reason) } else { Fault::Transient(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_may_have_left_has_an_unknown_outcome() {
        let check = |refusal: Refusal, read: Fault, write: Fault| {
            assert_eq!(Fault::from_refusal(refusal.clone(), false), read);
            assert_eq!(Fault::from_refusal(refusal, true), write);
        };
        let reason = || "reset".to_owned();
        check(Refusal::NoAnswer(reason()), Fault::Transient(reason()), Fault::UnknownOutcome(reason()));
        check(Refusal::NotSent(reason()), Fault::Transient(reason()), Fault::Transient(reason()));
        check(Refusal::RateLimited(7), Fault::RateLimited(7), Fault::RateLimited(7));
        check(Refusal::LoggedOut, Fault::LoggedOut, Fault::LoggedOut);
        let size = "the answer has 9 bytes";
        check(Refusal::TooLarge(9), Fault::other("answer-too-large", size), Fault::UnknownOutcome(size.to_owned()));
    }
}
