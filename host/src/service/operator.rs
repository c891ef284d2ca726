//! What an operator sets for all flows of a host, through its environment. What is no number within its bounds is as if it were not
//! there: a service that does not start over a typing error would keep nothing in step.

use std::ops::RangeInclusive;

use crate::engine::Limits;

/// Sync logs, previews, runs and debug mode's requests are kept for so many days if `CRMSYNC_KEEP_DAYS` does not say otherwise.
const KEEP_DAYS: i64 = 30;
/// What `CRMSYNC_KEEP_DAYS` may say.
const KEEP_DAYS_BOUNDS: RangeInclusive<i64> = 1..=36_500;
/// What `CRMSYNC_LEASE_SECONDS` may say: how long a process that stands still keeps its flow from others. Much shorter ones would be lost
/// to a slow disk, longer ones keep a flow waiting for a host that is gone.
const LEASE_SECONDS_BOUNDS: RangeInclusive<i64> = 1..=3_600;

/// How many days things are kept.
pub(super) fn keep_days() -> i64 {
    set("CRMSYNC_KEEP_DAYS", KEEP_DAYS_BOUNDS).unwrap_or(KEEP_DAYS)
}

/// How long a lease lasts without renewal.
pub(super) fn lease_ms() -> i64 {
    set("CRMSYNC_LEASE_SECONDS", LEASE_SECONDS_BOUNDS).map_or(Limits::default().lease_ms, |seconds| seconds * 1_000)
}

/// What is written in the environment and counts for nothing, in words for the operator.
pub(super) fn misread() -> Vec<String> {
    let settings = [("CRMSYNC_KEEP_DAYS", KEEP_DAYS_BOUNDS), ("CRMSYNC_LEASE_SECONDS", LEASE_SECONDS_BOUNDS)];
    settings
        .into_iter()
        .filter_map(|(name, bounds)| complaint(name, std::env::var(name).ok().as_deref(), bounds))
        .collect()
}

fn complaint(name: &str, written: Option<&str>, bounds: RangeInclusive<i64>) -> Option<String> {
    let text = written.filter(|text| within(Some(text), bounds.clone()).is_none())?;
    let (least, most) = bounds.into_inner();
    Some(format!("`{name}` is `{text}`, which is no number from {least} to {most}; the usual one counts"))
}

fn set(name: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
    within(std::env::var(name).ok().as_deref(), bounds)
}

fn within(written: Option<&str>, bounds: RangeInclusive<i64>) -> Option<i64> {
    written.and_then(|text| text.trim().parse().ok()).filter(|number| bounds.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_within_their_bounds() {
        let check = |written, days, seconds| {
            assert_eq!(within(written, KEEP_DAYS_BOUNDS), days, "{written:?}");
            assert_eq!(within(written, LEASE_SECONDS_BOUNDS), seconds, "{written:?}");
        };
        check(None, None, None);
        check(Some("7"), Some(7), Some(7));
        check(Some(" 90 "), Some(90), Some(90));
        check(Some("3601"), Some(3_601), None);
        check(Some("0"), None, None);
        check(Some("-1"), None, None);
        check(Some("soon"), None, None);
    }

    #[test]
    fn what_counts_for_nothing_is_told() {
        let told = |written| complaint("CRMSYNC_LEASE_SECONDS", written, LEASE_SECONDS_BOUNDS);
        assert_eq!((told(None), told(Some("60"))), (None, None));
        let soon = "`CRMSYNC_LEASE_SECONDS` is `soon`, which is no number from 1 to 3600; the usual one counts";
        assert_eq!(told(Some("soon")).as_deref(), Some(soon));
    }
}
