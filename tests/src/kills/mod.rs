//! Kill loops: the product is killed with SIGKILL in the middle of first syncs and later runs, while the CRMs go on to commit what they
//! had received, and people edit on both sides in between. When all is calm, the servers' own histories are asked what was lost,
//! doubled or skipped.
//!
//! A *world* is one pair of CRMs, one data folder and one first sync; a *cycle* is one run in it that is to be killed. [`people`] edits,
//! [`world`] runs and kills, [`judge`] asks.

mod judge;
mod people;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crmsync_sandbox::rng::Rng;
use serde::Serialize;

use crate::product::Product;
use world::World;

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs that are to be killed
    #[arg(long, default_value_t = 100)]
    pub cycles: u64,
    /// Decides people, edits and moments; worlds have the seeds that follow it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Contacts on each side to begin with
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(20..=1_000))]
    pub records: u32,
    /// Worlds at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub worlds: u32,
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Runs that were to be killed.
    pub cycles: u64,
    /// Of them, runs that were killed before they ended.
    pub kills: u64,
    /// First syncs.
    pub worlds: u64,
    /// Edits of people.
    pub edits: u64,
    /// Changes that a CRM committed after the process that had sent them was killed.
    pub late_commits: u64,
    /// Writes whose outcome was not known when a process was killed; every one was found out, or the run has problems.
    pub unknown_outcomes: u64,
    /// First syncs whose counts had moved so far that a person had to look at a new preview.
    pub approvals_again: u64,
    /// Fields that people changed on both sides, with the loser's value in the sync log.
    pub conflicts: u64,
    /// Records beyond the first for one person on one side.
    pub duplicates: u64,
    /// Edits of people that are neither there, nor replaced by a later edit, nor in the sync log.
    pub lost_updates: u64,
    /// Changes of people that the other side does not show, without a reason.
    pub skipped_changes: u64,
    /// Writes of ours that wrote what was there already, or a record for the second time.
    pub written_twice: u64,
    /// Whole length in seconds.
    pub took_s: f64,
    /// Everything that is not as it must be, in words, with the world's seed.
    pub problems: Vec<String>,
    /// Why records were handed to people, with counts.
    pub attention: BTreeMap<String, u64>,
}

impl Report {
    /// Nothing was lost, doubled or skipped, and everything came to rest.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
            && self.duplicates == 0
            && self.lost_updates == 0
            && self.skipped_changes == 0
            && self.written_twice == 0
    }

    fn add(&mut self, other: Report) {
        self.cycles += other.cycles;
        self.kills += other.kills;
        self.worlds += other.worlds;
        self.edits += other.edits;
        self.late_commits += other.late_commits;
        self.unknown_outcomes += other.unknown_outcomes;
        self.approvals_again += other.approvals_again;
        self.conflicts += other.conflicts;
        self.duplicates += other.duplicates;
        self.lost_updates += other.lost_updates;
        self.skipped_changes += other.skipped_changes;
        self.written_twice += other.written_twice;
        self.problems.extend(other.problems);
        for (reason, count) in other.attention {
            *self.attention.entry(reason).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: [(&str, u64); 12] = [
            ("cycles", self.cycles),
            ("kills", self.kills),
            ("first syncs", self.worlds),
            ("edits of people", self.edits),
            ("conflicts", self.conflicts),
            ("late commits", self.late_commits),
            ("unknown outcomes", self.unknown_outcomes),
            ("approved again", self.approvals_again),
            ("duplicates", self.duplicates),
            ("lost updates", self.lost_updates),
            ("skipped changes", self.skipped_changes),
            ("written twice", self.written_twice),
        ];
        for (what, count) in rows {
            writeln!(to, "{what:<17}{count:>7}")?;
        }
        for (reason, count) in &self.attention {
            writeln!(to, "needs attention  {count:>7}   {reason}")?;
        }
        for problem in &self.problems {
            writeln!(to, "NOT AS EXPECTED: {problem}")?;
        }
        write!(to, "took             {:>7.0} s", self.took_s)
    }
}

/// Kills so many runs, in as many worlds as that takes; tells on stderr how far it is.
pub async fn run(product: &Product, options: &Options) -> Report {
    let began = Instant::now();
    let total = Mutex::new(Report::default());
    let next_seed = AtomicU64::new(options.seed);
    let left = AtomicU64::new(options.cycles);
    let lane = || async {
        loop {
            let seed = next_seed.fetch_add(1, Ordering::Relaxed);
            let Some(cycles) = take(&left, cycles_of(seed)) else { return };
            let report = one_world(product, options, seed, cycles).await;
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            for problem in &report.problems {
                eprintln!("  {problem}");
            }
            total.add(report);
            eprintln!(
                "  {} of {} cycles, {} kills, {:.0} s",
                total.cycles,
                options.cycles,
                total.kills,
                began.elapsed().as_secs_f64()
            );
        }
    };
    // Two cores are the least; most of a world is waiting.
    let lanes = (0..options.worlds).map(|_| lane());
    futures_util::future::join_all(lanes).await;
    let mut report = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.took_s = began.elapsed().as_secs_f64();
    report
}

/// Cycles of one world: enough to hit its first sync several times, and the runs behind it.
fn cycles_of(seed: u64) -> u64 {
    const LEAST: u64 = 4;
    const SPREAD: usize = 4;
    LEAST + Rng::fork(seed, "cycles").below(SPREAD) as u64
}

fn take(left: &AtomicU64, wanted: u64) -> Option<u64> {
    let before = left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left > 0).then(|| left.saturating_sub(wanted)))
        .ok()?;
    Some(before.min(wanted))
}

async fn one_world(product: &Product, options: &Options, seed: u64, cycles: u64) -> Report {
    let mut report = Report { worlds: 1, ..Report::default() };
    let mut world = match World::open(product, options.records as usize, seed).await {
        Ok(world) => world,
        Err(why) => {
            report.cycles = cycles;
            report.problems.push(format!("world {seed} cannot be made: {why}"));
            return report;
        }
    };
    for _ in 0..cycles {
        report.cycles += 1;
        if let Err(why) = world.cycle(&mut report).await {
            report.problems.push(format!("world {seed}: {why}"));
        }
    }
    if let Err(why) = world.settle_and_judge(&mut report).await {
        report.problems.push(format!("world {seed}: {why}"));
    }
    if !report.is_clean() {
        report.problems.push(format!("world {seed}: its data folder is kept: {}", world.keep().display()));
    }
    report
}
