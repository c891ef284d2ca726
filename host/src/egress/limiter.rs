//! How many requests in how much time: a token bucket, pure, with the time as an argument.

use crmsync_core::sabotage::{Sabotage, is_on};
use serde::Deserialize;

use super::Lane;

/// What a connection may do at most, as the manifest asks and the operator grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests under way at once.
    pub requests_parallel: u32,
    /// Longest time that one request may take, in milliseconds; never more than 30,000.
    pub request_timeout_ms: u64,
    /// Requests in any span of a minute; none if the CRM documents no such limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
}

/// A token bucket that never lets more than `count` requests through in any span of `window_ms`, wherever the span begins.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    /// When the bucket will be full again, in microseconds.
    full_at_us: u64,
    /// Nothing goes before this moment, because the CRM said so.
    blocked_until_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Time in which one token grows.
    interval_us: u64,
    /// Time in which an empty bucket fills up, less one token.
    slack_us: u64,
}

impl Limiter {
    /// A full bucket from which `burst` requests may go at once; without a count it only obeys [`Limiter::block_until`].
    pub(super) fn new(count: Option<u32>, burst: u32, window_ms: u64) -> Limiter {
        let rate = count.map(|count| {
            let count = u64::from(count.max(1));
            let burst = u64::from(burst).clamp(1, count);
            // What the bucket gives at once counts against what grows in the window.
            let interval_us = (window_ms * 1_000).div_ceil((count - burst).max(1));
            Rate { interval_us, slack_us: interval_us * (burst - 1) }
        });
        Limiter { rate, full_at_us: 0, blocked_until_ms: 0 }
    }

    /// The limiter of a connection: a fifth of a minute's requests may go at once.
    pub(super) fn of_connection(limits: Limits) -> Limiter {
        Limiter::new(limits.requests_per_minute, limits.requests_per_minute.unwrap_or(0) / 5, 60_000)
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: milliseconds until there will be one, at least 1.
    pub(super) fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        self.take_nothing(now_ms)?;
        let Some(rate) = self.rate else { return Ok(()) };
        let now_us = now_ms * 1_000;
        let full_at_us = self.full_at_us.max(now_us);
        let ready_at_us = full_at_us.saturating_sub(rate.slack_us);
        if ready_at_us > now_us && !is_on(Sabotage::LimiterLetsThrough) {
            return Err((ready_at_us - now_us).div_ceil(1_000));
        }
        self.full_at_us = full_at_us + rate.interval_us;
        Ok(())
    }

    /// Whether the CRM lets us through at all.
    ///
    /// # Errors
    /// It said no: milliseconds for which it meant it.
    pub(super) fn take_nothing(&self, now_ms: u64) -> Result<(), u64> {
        if now_ms < self.blocked_until_ms { Err(self.blocked_until_ms - now_ms) } else { Ok(()) }
    }

    /// Lets nothing through before a moment; an earlier one does not shorten the wait.
    pub(super) fn block_until(&mut self, until_ms: u64) {
        self.blocked_until_ms = self.blocked_until_ms.max(until_ms);
    }
}

/// Takes a call out of a minute's bucket that is one number, so that all processes can share it: when it will be full again, in
/// microseconds. Scheduled runs leave a third of what may go at once to people.
///
/// # Errors
/// There is none: milliseconds until there will be one, at least 1.
pub fn take_of_minute(per_minute: u32, full_at_us: u64, lane: Lane, now_ms: u64) -> Result<u64, u64> {
    let mut limiter = Limiter { full_at_us, ..Limiter::new(Some(per_minute), per_minute / 5, 60_000) };
    if let (Lane::Background, Some(rate)) = (lane, &mut limiter.rate) {
        rate.slack_us = rate.slack_us * 2 / 3;
    }
    limiter.take(now_ms)?;
    Ok(limiter.full_at_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::testing::Rng;

    #[test]
    fn a_fifth_goes_at_once_and_the_rest_in_turn() {
        let limits = Limits { requests_parallel: 1, request_timeout_ms: 1, requests_per_minute: Some(60) };
        let mut limiter = Limiter::of_connection(limits);
        for _ in 0..12 {
            assert_eq!(limiter.take(5_000), Ok(()));
        }
        assert_eq!(limiter.take(5_000), Err(1_250));
        assert_eq!(limiter.take(6_249), Err(1));
        assert_eq!(limiter.take(6_250), Ok(()));
        assert_eq!(limiter.take(6_250), Err(1_250));
    }

    #[test]
    fn no_span_holds_more_than_the_count() {
        for (seed, count) in (0..60).map(|seed| (seed, [1, 2, 5, 30, 60, 90][seed as usize % 6])) {
            let (mut rng, mut limiter, mut now_ms) =
                (Rng::new(seed), Limiter::new(Some(count), count / (2 + seed as u32 % 4), 60_000), 1_000_000);
            let mut taken: Vec<u64> = Vec::new();
            for _ in 0..2_000 {
                now_ms += rng.below(2_500) as u64;
                if limiter.take(now_ms).is_ok() {
                    taken.push(now_ms);
                }
                let in_span = taken.iter().rev().take_while(|&&at| at + 60_000 > now_ms).count();
                assert!(in_span <= count as usize, "seed {seed}: {in_span} of {count}");
            }
            assert!(
                taken.len() as u64 >= 2_000_u64.min((now_ms - 1_000_000) * u64::from(count) / 60_000 / 4),
                "seed {seed}: too few"
            );
        }
    }

    #[test]
    fn one_bucket_serves_all_and_people_first() {
        let (mut full_at_us, mut taken) = (0, 0);
        while let Ok(next) = take_of_minute(60, full_at_us, Lane::Background, 5_000) {
            (full_at_us, taken) = (next, taken + 1);
        }
        assert_eq!(taken, 8, "two thirds of the twelve that may go at once");
        while let Ok(next) = take_of_minute(60, full_at_us, Lane::Interactive, 5_000) {
            (full_at_us, taken) = (next, taken + 1);
        }
        assert_eq!(taken, 12);
        let wait_ms = take_of_minute(60, full_at_us, Lane::Interactive, 5_000).unwrap_err();
        assert!(take_of_minute(60, full_at_us, Lane::Interactive, 5_000 + wait_ms).is_ok());
    }

    #[test]
    fn the_crm_can_stop_everything() {
        let mut limiter = Limiter::new(None, 1, 60_000);
        assert_eq!(limiter.take(0), Ok(()));
        limiter.block_until(3_000);
        limiter.block_until(2_000);
        assert_eq!(limiter.take(1_000), Err(2_000));
        assert_eq!(limiter.take(3_000), Ok(()));
    }

    #[test]
    fn waiting_as_told_is_enough() {
        let (mut limiter, mut now_ms) = (Limiter::new(Some(7), 3, 10_000), 0);
        for _ in 0..100 {
            if let Err(wait_ms) = limiter.take(now_ms) {
                now_ms += wait_ms;
                assert_eq!(limiter.take(now_ms), Ok(()));
            }
        }
    }
}
