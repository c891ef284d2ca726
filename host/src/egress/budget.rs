//! What a connection may still call, in the CRM's own units and in two lanes. Pure, but for the trait by which the gate asks.
//!
//! A day is a rolling one, kept in hours: an hour counts until all of it is older than a day. People (a preview, a check, Sync Now) may
//! use the whole day; scheduled runs stop where the reserve begins, which is also for the CRM's other programs.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde::Deserialize;

/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What a CRM said about the rest of the day is believed for so long.
const TOLD_LIFE_MS: i64 = HOUR_MS;
/// Percent of the day that scheduled runs leave alone, unless an operator says otherwise.
pub const RESERVE_PERCENT: u64 = 30;

/// On whose behalf calls are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody waits.
    Background,
}

impl Lane {
    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Interactive => "interactive",
            Lane::Background => "background",
        }
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// The host's own, for a refresh or a login.
    Login,
}

impl CallKind {
    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            CallKind::Read => "read",
            CallKind::Write => "write",
            CallKind::Login => "login",
        }
    }
}

/// The CRM's budgets as its manifest documents them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    /// What the CRM counts, in the plural: `calls`, `credits`.
    pub unit: String,
    /// Rows of a write that cost one unit; a write costs one whatever it holds if there is no such number.
    #[serde(default)]
    pub rows_per_unit: Option<u32>,
    /// Header of an answer that tells how many units of the day are left.
    #[serde(default)]
    pub left_header: Option<String>,
    /// Budgets by edition, as `check` or an operator names it, in small letters.
    pub editions: BTreeMap<String, EditionBudget>,
    /// The budget where the edition is not known: the smallest that the CRM sells, or none where `check` always tells it.
    pub otherwise: EditionBudget,
}

/// One edition's budget; what is not there has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditionBudget {
    /// Calls in any minute.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// Units in any 24 hours.
    #[serde(default)]
    pub per_day: Option<u64>,
}

impl BudgetSpec {
    /// The budget of an edition.
    pub fn of(&self, edition: &str) -> EditionBudget {
        self.editions.get(&edition.to_lowercase()).copied().unwrap_or(self.otherwise)
    }

    /// What a call costs that writes so many rows; 0 for a read.
    pub fn cost(&self, rows: usize) -> u64 {
        match self.rows_per_unit {
            Some(per_unit) => (rows as u64).div_ceil(u64::from(per_unit.max(1))).max(1),
            None => 1,
        }
    }
}

/// The budget that is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Calls in any minute; none for no limit.
    pub per_minute: Option<u32>,
    /// Units in any 24 hours; none for no limit.
    pub per_day: Option<u64>,
    /// Percent of the day that scheduled runs leave alone, at most 100.
    pub reserve_percent: u64,
}

impl Allowance {
    /// Units of a day that a lane may use; none for no limit.
    pub fn day_of(&self, lane: Lane) -> Option<u64> {
        let day = self.per_day?;
        Some(match lane {
            Lane::Interactive => day,
            Lane::Background => day * (100 - self.reserve_percent.min(100)) / 100,
        })
    }
}

/// What was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Units by the beginning of their hour.
    pub hours: BTreeMap<i64, u64>,
    /// What the CRM said was left of the day, and when.
    pub told: Option<(u64, i64)>,
}

/// The beginning of the hour of a moment.
pub fn hour_of(at_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(HOUR_MS)
}

impl Used {
    /// Units of the last 24 hours: ours, or all that the CRM counted if it says so and that is more.
    pub fn of_day(&self, allowance: &Allowance, now_ms: i64) -> u64 {
        let ours =
            self.hours.iter().filter(|(hour, _)| **hour + HOUR_MS + DAY_MS > now_ms).map(|(_, units)| units).sum();
        match (self.told, allowance.per_day) {
            (Some((left, at_ms)), Some(day)) if now_ms - at_ms < TOLD_LIFE_MS => day.saturating_sub(left).max(ours),
            _ => ours,
        }
    }

    /// Units that a lane may still use today; none for no limit.
    pub fn left(&self, allowance: &Allowance, lane: Lane, now_ms: i64) -> Option<u64> {
        allowance.day_of(lane).map(|limit| limit.saturating_sub(self.of_day(allowance, now_ms)))
    }

    /// When a lane may go on that has used up its share; none if it has not.
    pub fn goes_on_at_ms(&self, allowance: &Allowance, lane: Lane, now_ms: i64) -> Option<i64> {
        let limit = allowance.day_of(lane)?;
        let mut used = self.of_day(allowance, now_ms);
        if used < limit {
            return None;
        }
        let counted = self.hours.iter().filter(|(hour, _)| **hour + HOUR_MS + DAY_MS > now_ms);
        for (hour, units) in counted {
            used = used.saturating_sub(*units);
            if used < limit {
                return Some(hour + HOUR_MS + DAY_MS);
            }
        }
        // What other programs used comes back at a moment that nobody told us: it is asked for again after a while.
        Some(now_ms + HOUR_MS)
    }
}

/// One call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// Customer of the host.
    pub tenant: &'a str,
    /// The connection.
    pub connection: &'a str,
    /// Lane.
    pub lane: Lane,
    /// What it is for.
    pub kind: CallKind,
    /// Rows that it writes.
    pub rows: usize,
}

/// The budgets of all connections, shared by all processes of a data folder.
pub trait Budget: Send + Sync {
    /// Counts a call.
    ///
    /// # Errors
    /// It may not be made now: milliseconds until it may, at least 1.
    fn take<'a>(&'a self, spend: Spend<'a>) -> BoxFuture<'a, Result<(), u64>>;

    /// Hears an answer's header; most tell nothing.
    fn hear(&self, tenant: &str, connection: &str, header: &dyn Fn(&str) -> Option<String>);
}

/// Nothing is counted and nothing limited.
pub struct NoBudget;

impl Budget for NoBudget {
    fn take<'a>(&'a self, _: Spend<'a>) -> BoxFuture<'a, Result<(), u64>> {
        Box::pin(async { Ok(()) })
    }

    fn hear(&self, _: &str, _: &str, _: &dyn Fn(&str) -> Option<String>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { per_minute: None, per_day: Some(1_000), reserve_percent: 30 };

    fn used(hours: &[(i64, u64)]) -> Used {
        Used { hours: hours.iter().map(|(hour, units)| (hour * HOUR_MS, *units)).collect(), told: None }
    }

    /// `at` is in hours.
    fn check(what: &str, used: &Used, at: i64, left: [u64; 2], goes_on: [Option<i64>; 2]) {
        let lanes = [Lane::Interactive, Lane::Background];
        let now_ms = at * HOUR_MS;
        assert_eq!(lanes.map(|lane| used.left(&ALLOWANCE, lane, now_ms)), left.map(Some), "{what}");
        let goes_on = goes_on.map(|hour| hour.map(|hour| hour * HOUR_MS));
        assert_eq!(lanes.map(|lane| used.goes_on_at_ms(&ALLOWANCE, lane, now_ms)), goes_on, "{what}");
    }

    #[test]
    fn a_day_in_two_lanes() {
        check("nothing used", &used(&[]), 100, [1_000, 700], [None, None]);
        check("half", &used(&[(99, 500)]), 100, [500, 200], [None, None]);
        check("the share of scheduled runs", &used(&[(90, 300), (99, 400)]), 100, [300, 0], [None, Some(115)]);
        check("into the reserve", &used(&[(90, 100), (95, 300), (99, 500)]), 100, [100, 0], [None, Some(120)]);
        check("all of it", &used(&[(90, 300), (99, 700)]), 100, [0, 0], [Some(115), Some(124)]);
        check("an hour of yesterday still counts", &used(&[(75, 700)]), 99, [300, 0], [None, Some(100)]);
        check("and then no more", &used(&[(75, 700)]), 100, [1_000, 700], [None, None]);
    }

    #[test]
    fn what_other_programs_used_counts_too() {
        let told = |left, at: i64| Used { told: Some((left, at * HOUR_MS)), ..used(&[(99, 10)]) };
        check("little is left", &told(290, 100), 100, [290, 0], [None, Some(101)]);
        check("more than we know of", &told(995, 100), 100, [990, 690], [None, None]);
        check("told long ago", &told(290, 98), 100, [990, 690], [None, None]);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let free = Allowance { per_day: None, ..ALLOWANCE };
        let all = used(&[(99, u64::MAX / 2)]);
        assert_eq!(all.left(&free, Lane::Background, 100 * HOUR_MS), None);
        assert_eq!(all.goes_on_at_ms(&free, Lane::Background, 100 * HOUR_MS), None);
    }

    #[test]
    fn what_a_call_costs() {
        let spec = BudgetSpec { rows_per_unit: Some(10), ..BudgetSpec::default() };
        assert_eq!([0, 1, 10, 11, 100].map(|rows| spec.cost(rows)), [1, 1, 1, 2, 10]);
        assert_eq!(BudgetSpec::default().cost(100), 1);
    }
}
