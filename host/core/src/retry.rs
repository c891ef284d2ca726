//! When to try again, park, or give up: one fault and a count of attempts in, the next step out.

use crate::record::Fault;
use crate::sabotage::{Sabotage, is_on};

/// Attempts of one intent before a person is asked.
pub const ATTEMPTS_MAX: u32 = 6;
/// First pause after a passing fault, in milliseconds; it doubles with each attempt.
pub const BACKOFF_FIRST_MS: i64 = 1_000;
/// Longest pause after a passing fault, in milliseconds.
pub const BACKOFF_MAX_MS: i64 = 300_000;

/// What happens to an intent after a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send it again, not before this moment (milliseconds since 1970).
    RetryAt(i64),
    /// Read the record and decide anew: what it shows now is not what the decision saw.
    DecideAgain,
    /// Nobody knows whether it happened: find out before anything else (create classes).
    FindOut,
    /// A person looks at it.
    Park,
    /// Nothing on this connection can work until a person logs in.
    PauseConnection,
    /// The record is gone; the removal will be pulled or swept.
    Drop,
}

/// The next step for an intent that met a fault after so many attempts (the first one counts as 1).
pub fn after_fault(fault: &Fault, attempts: u32, now_ms: i64) -> Next {
    match fault {
        Fault::RateLimited(wait_ms) => {
            Next::RetryAt(now_ms.saturating_add(i64::try_from(*wait_ms).unwrap_or(i64::MAX)))
        }
        Fault::UnknownOutcome(_) if is_on(Sabotage::RetryAfterCut) => Next::RetryAt(now_ms),
        Fault::Transient(_) if attempts < ATTEMPTS_MAX || is_on(Sabotage::RetryForEver) => {
            Next::RetryAt(now_ms + backoff_ms(attempts))
        }
        Fault::Changed => Next::DecideAgain,
        Fault::UnknownOutcome(_) => Next::FindOut,
        Fault::LoggedOut => Next::PauseConnection,
        Fault::Gone => Next::Drop,
        Fault::Transient(_)
        | Fault::Rejected { .. }
        | Fault::Duplicate(_)
        | Fault::CursorExpired
        | Fault::Unsupported(_)
        | Fault::Other { .. } => Next::Park,
    }
}

/// Pause before the next attempt, in milliseconds.
pub fn backoff_ms(attempts: u32) -> i64 {
    let doublings = attempts.saturating_sub(1).min(20);
    (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_steer() {
        let check = |fault: Fault, attempts: u32, next: Next| assert_eq!(after_fault(&fault, attempts, 10_000), next);
        check(Fault::RateLimited(2_000), 99, Next::RetryAt(12_000));
        check(Fault::Transient("502".into()), 1, Next::RetryAt(11_000));
        check(Fault::Transient("502".into()), 3, Next::RetryAt(14_000));
        check(Fault::Transient("502".into()), ATTEMPTS_MAX, Next::Park);
        check(Fault::Changed, 1, Next::DecideAgain);
        check(Fault::UnknownOutcome("cut".into()), 1, Next::FindOut);
        check(Fault::LoggedOut, 1, Next::PauseConnection);
        check(Fault::Gone, 1, Next::Drop);
        check(Fault::Duplicate(String::new()), 1, Next::Park);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(backoff_ms(1), BACKOFF_FIRST_MS);
        assert_eq!(backoff_ms(2), 2 * BACKOFF_FIRST_MS);
        assert_eq!(backoff_ms(99), BACKOFF_MAX_MS);
    }
}
