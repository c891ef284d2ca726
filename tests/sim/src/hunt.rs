//! Lives through seeds, one after the other, and keeps the account; a ledger lets the next hunt go on where this one ended.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::plan::{Cut, Kind};
use crate::shrink::shrink;
use crate::world::World;

/// What one seed came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// Events that happened.
    pub events: usize,
    /// Steps and remote calls of all runs.
    pub points: u64,
    /// One number for all that happened, in order.
    pub trace: u64,
    /// What must not happen, and did.
    pub violations: Vec<String>,
    /// Which trouble met which step.
    pub coverage: Coverage,
    /// Everything that happened, if it was asked for.
    pub lines: Vec<String>,
}

/// Lives through one seed. `verbose` keeps every line of its trace.
///
/// # Panics
/// Where the machine gives no folder, file or thread.
pub fn live(seed: u64, cut: &Cut, verbose: bool) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut world = World::new(Kind::of(seed), cut);
        world.log.lock().trace.lines = verbose.then(Vec::new);
        world.live(cut).await;
        let (events, log) = (world.events, world.log.clone());
        let violations = world.end();
        let records = std::mem::take(&mut *log.lock());
        Verdict {
            seed,
            events,
            points: records.trace.points,
            trace: records.trace.hash,
            violations,
            coverage: records.coverage,
            lines: records.trace.lines.unwrap_or_default(),
        }
    })
}

/// How far a hunt goes.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// First seed.
    pub from: u64,
    /// So many seeds at most.
    pub seeds: u64,
    /// So long at most.
    pub time: Option<Duration>,
    /// Tells of each seed as it goes.
    pub tells: bool,
}

/// A seed that failed, made small.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it comes to.
    pub verdict: Verdict,
    /// What of the seed is needed for that.
    pub cut: Cut,
}

/// What a hunt came to.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Seeds that were lived through.
    pub seeds: u64,
    /// The seed after the last one.
    pub next: u64,
    /// Their events.
    pub events: u64,
    /// Steps and remote calls of all runs.
    pub points: u64,
    /// How long it took.
    pub took: Duration,
    /// Which trouble met which step.
    pub coverage: Coverage,
    /// The seed at which the hunt ended early.
    pub failure: Option<Failure>,
}

/// Goes through seeds until one fails, or time is over.
pub fn hunt(hunt: &Hunt) -> Account {
    let started = Instant::now();
    let mut account = Account { next: hunt.from, ..Account::default() };
    while account.seeds < hunt.seeds && hunt.time.is_none_or(|most| started.elapsed() < most) {
        let verdict = live(account.next, &Cut::default(), false);
        account.next += 1;
        account.seeds += 1;
        account.events += verdict.events as u64;
        account.points += verdict.points;
        account.coverage.add(&verdict.coverage);
        if hunt.tells && account.seeds.is_multiple_of(100) {
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{} seeds, {:.2} a second", account.seeds, account.seeds as f64 / seconds);
        }
        if !verdict.violations.is_empty() {
            account.took = started.elapsed();
            let (cut, verdict) = shrink(&verdict, &Cut::default());
            account.failure = Some(Failure { verdict, cut });
            return account;
        }
    }
    account.took = started.elapsed();
    account
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.verdict.violations {
            writeln!(f, "  {violation}")?;
        }
        write!(f, "replay: crmsync-sim --replay {}{}", self.verdict.seed, self.cut.words())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64().max(0.001);
        let (met, possible) = self.coverage.cells();
        writeln!(f, "seeds      {} ({:.2} a second)", self.seeds, self.seeds as f64 / seconds)?;
        writeln!(f, "events     {} ({} of each seed)", self.events, crate::plan::EVENTS)?;
        writeln!(f, "points     {} (steps of the store and remote calls)", self.points)?;
        writeln!(f, "coverage   {met} of {possible} cells")?;
        writeln!(f, "{}", self.coverage)?;
        match &self.failure {
            None => write!(f, "violations: 0"),
            Some(failure) => {
                write!(f, "violations: {}\n{failure}", failure.verdict.violations.len())
            }
        }
    }
}

/// What all hunts of one ledger have come to: a small file outside the tree.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Ledger {
    /// The seed at which the next hunt begins.
    pub next: u64,
    /// Seeds that were lived through.
    pub seeds: u64,
    /// Their events.
    pub events: u64,
    /// Seconds of hunting.
    pub seconds: f64,
    /// Seeds that failed.
    pub failed: Vec<u64>,
}

impl Ledger {
    /// Reads the ledger; one that is not there yet begins with the first seed.
    ///
    /// # Errors
    /// The file is there and is no ledger.
    pub fn read(path: &Path) -> Result<Ledger, String> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
            Err(_) => Ok(Ledger::default()),
        }
    }

    /// Adds a hunt and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, account: &Account, path: &Path) -> Result<(), String> {
        self.next = account.next;
        self.seeds += account.seeds;
        self.events += account.events;
        self.seconds += account.took.as_secs_f64();
        self.failed.extend(account.failure.iter().map(|failure| failure.verdict.seed));
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }
}
