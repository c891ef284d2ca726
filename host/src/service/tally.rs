//! What the runs of this process did, counted for the metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::RunReport;

/// Upper bounds of the run durations that are counted apart, in milliseconds.
pub(super) const BOUNDS_MS: [i64; 8] = [250, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000];

/// Counts since the process began.
#[derive(Default)]
pub(super) struct Tally {
    flows: Mutex<BTreeMap<String, Counts>>,
}

/// Counts of one flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Runs that did their work.
    pub(super) done: u64,
    /// Runs that failed.
    pub(super) failed: u64,
    /// Alarms of all runs.
    pub(super) alarms: u64,
    /// Records created on the left and right.
    pub(super) created: [u64; 2],
    /// Records changed on the left and right.
    pub(super) updated: [u64; 2],
    /// Runs by the bound of their duration, each with all shorter ones; the last one holds all.
    pub(super) durations: [u64; BOUNDS_MS.len() + 1],
    /// Milliseconds of all runs.
    pub(super) took_ms: i64,
    /// Alarms of the last run that did its work.
    pub(super) last_alarms: Vec<String>,
    /// Names of the sides.
    pub(super) between: [String; 2],
}

impl Tally {
    /// Counts a run that has ended, with its report if it did its work.
    pub(super) fn note(&self, flow: &str, report: Option<&RunReport>, took_ms: i64) {
        let mut flows = self.lock();
        let counts = flows.entry(flow.to_owned()).or_default();
        counts.took_ms += took_ms;
        let shorter = BOUNDS_MS.iter().position(|bound_ms| took_ms <= *bound_ms).unwrap_or(BOUNDS_MS.len());
        counts.durations[shorter..].iter_mut().for_each(|count| *count += 1);
        let Some(report) = report else {
            counts.failed += 1;
            return;
        };
        counts.done += 1;
        counts.between.clone_from(&report.between);
        counts.alarms += report.alarms.len() as u64;
        counts.last_alarms.clone_from(&report.alarms);
        for pair in &report.pairs {
            counts.created[0] += pair.created_left;
            counts.created[1] += pair.created_right;
            counts.updated[0] += pair.updated_left;
            counts.updated[1] += pair.updated_right;
        }
    }

    /// All counts, by flow.
    pub(super) fn counts(&self) -> BTreeMap<String, Counts> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
