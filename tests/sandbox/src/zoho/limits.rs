//! How much the organization may call: credits over 24 hours, and calls at one time.

use std::collections::VecDeque;

use super::profile::Profile;
use super::refusal::Refusal;

const DAY_MS: i64 = 24 * 3_600_000;

/// What has been spent and what is running.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Time and cost of each call of the last 24 hours, oldest first.
    spent: VecDeque<(i64, u64)>,
    spent_total: u64,
    running: u32,
    running_heavy: u32,
}

impl Limits {
    /// Counts a call in, or refuses it because too many are running.
    pub(super) fn enter(&mut self, profile: &Profile, heavy: bool) -> Result<(), Refusal> {
        if self.running >= profile.concurrency {
            return Err(too_many("You have exceeded the maximum number of concurrent calls."));
        }
        if heavy && self.running_heavy >= profile.sub_concurrency {
            return Err(too_many(
                "You have exceeded the maximum number of concurrent calls of this type (sub-concurrency).",
            ));
        }
        self.running += 1;
        self.running_heavy += u32::from(heavy);
        Ok(())
    }

    /// Counts a call out that [`Limits::enter`] counted in.
    pub(super) fn leave(&mut self, heavy: bool) {
        self.running = self.running.saturating_sub(1);
        self.running_heavy = self.running_heavy.saturating_sub(u32::from(heavy));
    }

    /// Takes the credits of a call, or refuses it because they are used up.
    pub(super) fn spend(&mut self, profile: &Profile, cost: u64, now_ms: i64) -> Result<(), Refusal> {
        while let Some((at_ms, cost)) = self.spent.front().copied()
            && at_ms + DAY_MS <= now_ms
        {
            self.spent.pop_front();
            self.spent_total -= cost;
        }
        if self.spent_total + cost > profile.credits {
            return Err(too_many("You have exceeded the maximum number of requests allowed within a 24 hour period."));
        }
        self.spent.push_back((now_ms, cost));
        self.spent_total += cost;
        Ok(())
    }

    /// The credits left, once half of them are used.
    pub(super) fn remaining_header(&self, profile: &Profile) -> Option<u64> {
        (self.spent_total * 2 >= profile.credits).then(|| profile.credits.saturating_sub(self.spent_total))
    }
}

fn too_many(message: &str) -> Refusal {
    Refusal::new(429, "TOO_MANY_REQUESTS", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_come_back_after_a_day_and_show_from_half() {
        let profile = Profile::parse("default,credits=4").expect("a profile");
        let mut limits = Limits::default();
        assert!(limits.spend(&profile, 1, 0).is_ok());
        assert_eq!(limits.remaining_header(&profile), None);
        assert!(limits.spend(&profile, 3, 1).is_ok());
        assert_eq!(limits.remaining_header(&profile), Some(0));
        assert_eq!(limits.spend(&profile, 1, DAY_MS - 1).expect_err("used up").status, 429);
        assert!(limits.spend(&profile, 1, DAY_MS).is_ok(), "the first call is a day old");
    }
}
