//! Plants one bug after the other and looks for what finds it: a small world, a killed scenario, or a seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crmsync_core::sabotage::{Sabotage, plant};

use crate::crash_points::crash_points;
use crate::hunt::live;
use crate::plan::Cut;
use crate::scenarios::scenarios;

/// What found a planted bug.
#[derive(Clone, Debug)]
pub struct Bite {
    /// The bug.
    pub sabotage: Sabotage,
    /// What found it, with what it says; none if it survived.
    pub found: Option<(String, String)>,
    /// Seeds that were lived through for it.
    pub seeds: u64,
    /// How long it took.
    pub took: Duration,
}

/// Looks for one bug, with so many seeds at most.
pub fn bite(sabotage: Sabotage, seeds_max: u64) -> Bite {
    let started = Instant::now();
    plant(Some(sabotage));
    let (found, seeds) = look(seeds_max);
    plant(None);
    Bite { sabotage, found, seeds, took: started.elapsed() }
}

fn look(seeds_max: u64) -> (Option<(String, String)>, u64) {
    for scenario in scenarios() {
        if let Some(what) = first(|| (scenario.live)()) {
            return (Some((format!("\"{}\"", scenario.name), what)), 0);
        }
    }
    if let Some(what) = first(|| crash_points(|_, _| false).wrong) {
        return (Some(("crash points".into(), what)), 0);
    }
    for seed in 0..seeds_max {
        if let Some(what) = first(|| live(seed, &Cut::default(), false).violations) {
            return (Some((format!("seed {seed}"), what)), seed + 1);
        }
    }
    (None, seeds_max)
}

/// The first thing that is wrong. A bug after which a world makes no sense any more is found as well.
fn first(look: impl FnOnce() -> Vec<String>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(wrong) => wrong.into_iter().next(),
        Err(why) => {
            let text = why.downcast_ref::<String>().map(String::as_str);
            Some(text.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or("it broke off").to_owned())
        }
    }
}
