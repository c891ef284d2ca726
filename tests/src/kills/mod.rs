//! Kill loops: the product is killed with SIGKILL in the middle of first syncs and later runs, while the CRMs go on to commit what they
//! had received, and people edit on both sides in between. When all is calm, the servers' own histories are asked what was lost,
//! doubled or skipped.
//!
//! Zombie loops are the same with SIGSTOP: a process is frozen in the middle of a run, its lease expires, a second process takes the flow
//! over, and the frozen one is woken while the second one works, or afterwards.
//!
//! A *world* is one pair of CRMs, one data folder and one first sync; a *cycle* is one run in it that is to be killed or frozen.
//! [`people`] edits, [`world`] runs and kills, [`zombie`] freezes and wakes, [`disk`] looks into the data folder, [`judge`] asks,
//! [`ledger`] adds up several sittings.

mod disk;
mod judge;
mod ledger;
mod people;
mod world;
mod zombie;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crmsync_sandbox::rng::Rng;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::product::Product;
use ledger::Ledger;
use world::World;

/// What happens to a run in the middle of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, a second process that takes the flow over, and SIGCONT.
    Freeze,
}

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs that are to be caught in the middle; with a ledger, in all sittings together
    #[arg(long, default_value_t = 100)]
    pub cycles: u64,
    /// Decides people, edits and moments; worlds have the seeds that follow it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Contacts on each side to begin with
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(20..=1_000))]
    pub records: u32,
    /// Worlds at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub worlds: u32,
    /// Keep the account in this file, and go on where an earlier sitting has left it
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Runs that were to be killed or frozen.
    pub cycles: u64,
    /// Of them, runs that were killed before they ended.
    pub kills: u64,
    /// Of them, runs that were frozen before they ended.
    pub frozen: u64,
    /// Frozen runs that held the flow and were woken when another process had taken it: real zombies.
    pub overtaken: u64,
    /// Zombies that were woken while the other process was still at work.
    pub woken_at_work: u64,
    /// Second processes that did not get the flow, or lost it to one that had been frozen before it held it.
    pub locked_out: u64,
    /// First syncs.
    pub worlds: u64,
    /// Edits of people.
    pub edits: u64,
    /// Changes that a CRM committed after the process that had sent them was killed or frozen.
    pub late_commits: u64,
    /// Writes whose outcome was not known when a process was killed or frozen; every one was found out, or the run has problems.
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
    /// Commits of a process whose lease another one had taken: lines of the sync log that follow a younger lease's, anything that a
    /// woken process changed on the disk after the other one had ended, and a run that says it is done although it was overtaken.
    pub stale_commits: u64,
    /// Whole length in seconds.
    pub took_s: f64,
    /// Everything that is not as it must be, in words, with the world's seed.
    pub problems: Vec<String>,
    /// Why records were handed to people, with counts.
    pub attention: BTreeMap<String, u64>,
    /// What zombies said when they ended, with counts.
    pub last_words: BTreeMap<String, u64>,
}

impl Report {
    /// Nothing was lost, doubled or skipped, and everything came to rest.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
            && self.duplicates == 0
            && self.lost_updates == 0
            && self.skipped_changes == 0
            && self.written_twice == 0
            && self.stale_commits == 0
    }

    fn add(&mut self, other: Report) {
        self.cycles += other.cycles;
        self.kills += other.kills;
        self.frozen += other.frozen;
        self.overtaken += other.overtaken;
        self.woken_at_work += other.woken_at_work;
        self.locked_out += other.locked_out;
        self.stale_commits += other.stale_commits;
        self.took_s += other.took_s;
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
        for (words, count) in other.last_words {
            *self.last_words.entry(words).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: [(&str, u64); 17] = [
            ("cycles", self.cycles),
            ("kills", self.kills),
            ("frozen", self.frozen),
            ("overtaken zombies", self.overtaken),
            ("woken at work", self.woken_at_work),
            ("locked out", self.locked_out),
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
            ("stale commits", self.stale_commits),
        ];
        for (what, count) in rows {
            writeln!(to, "{what:<17}{count:>7}")?;
        }
        for (reason, count) in &self.attention {
            writeln!(to, "needs attention  {count:>7}   {reason}")?;
        }
        for (words, count) in &self.last_words {
            writeln!(to, "zombie said      {count:>7}   {words}")?;
        }
        for problem in &self.problems {
            writeln!(to, "NOT AS EXPECTED: {problem}")?;
        }
        write!(to, "took             {:>7.0} s", self.took_s)
    }
}

/// Catches so many runs, in as many worlds as that takes; tells on stderr how far it is.
///
/// # Errors
/// The ledger cannot be used.
pub async fn run(product: &Product, means: Means, options: &Options) -> Outcome<Report> {
    let began = Instant::now();
    let mut ledger = Ledger::open(options.ledger.clone(), means, options.seed)?;
    let next_seed = AtomicU64::new(ledger.next_seed());
    let left = AtomicU64::new(options.cycles.saturating_sub(ledger.report().cycles));
    // Time of several worlds at once counts once.
    let counted_s = Mutex::new(0.0);
    {
        let total = Mutex::new(&mut ledger);
        let lane = || async {
            loop {
                let seed = next_seed.fetch_add(1, Ordering::Relaxed);
                let Some(cycles) = take(&left, cycles_of(seed)) else { return Ok(()) };
                let mut report = one_world(product, means, options, seed, cycles).await;
                for problem in &report.problems {
                    eprintln!("  {problem}");
                }
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                let mut counted_s = counted_s.lock().unwrap_or_else(PoisonError::into_inner);
                report.took_s = began.elapsed().as_secs_f64() - *counted_s;
                *counted_s += report.took_s;
                total.add(report, next_seed.load(Ordering::Relaxed))?;
                let Report { cycles, kills, overtaken, took_s, .. } = total.report();
                let caught = if means == Means::Kill { kills } else { overtaken };
                eprintln!("  {cycles} of {} cycles, {caught} caught, {took_s:.0} s", options.cycles);
            }
        };
        // Two cores are the least; most of a world is waiting.
        let lanes = (0..options.worlds).map(|_| lane());
        futures_util::future::join_all(lanes).await.into_iter().collect::<Outcome<Vec<()>>>()?;
    }
    Ok(ledger.into_report())
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

async fn one_world(product: &Product, means: Means, options: &Options, seed: u64, cycles: u64) -> Report {
    let mut report = Report { worlds: 1, ..Report::default() };
    let mut world = match World::open(product, means, options.records as usize, seed).await {
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
