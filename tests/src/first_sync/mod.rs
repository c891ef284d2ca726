//! A first sync of thousands of records, judged by the servers: what the preview says against what the histories show, who was joined
//! with whom against those who made the people, edits and deletes afterwards, and runs that have nothing to do.
//!
//! Of the product only the preview with its listing, the losers in the sync log and the listed outcomes are believed, because they are
//! what is promised there; everything else is asked of the two servers. [`planned`] holds the first sync against its preview, [`joined`]
//! finds out who is linked with whom, [`edits`] edits on both sides and restores what lost, [`rest`] lets it run with nothing to do,
//! [`leaving`] takes records away or only from sight.

mod changes;
mod edits;
mod joined;
mod leaving;
mod planned;
mod report;
mod rest;
mod stage;

use std::time::Instant;

use crmsync_sandbox::serve;
use serde::Serialize;

pub use report::{Fact, Report};
use stage::Stage;

use crate::Outcome;
use crate::product::Product;

/// What is asked for.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub struct Options {
    /// Contacts on each side; a fifth of that of organizations and of leads
    #[arg(long, default_value_t = 5_000)]
    pub records: usize,
    /// Families that share an e-mail address
    #[arg(long, default_value_t = 40)]
    pub families: usize,
    /// Contacts that are twice on the other side
    #[arg(long, default_value_t = 96)]
    pub doubles: usize,
    /// Records that are edited on both sides, of each sort
    #[arg(long, default_value_t = 1_000)]
    pub edits: usize,
    /// Runs with nothing to do
    #[arg(long, default_value_t = 20)]
    pub idle_runs: usize,
    /// Decides people, values and edits
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only these parts
    #[arg(long = "part", value_enum)]
    pub parts: Vec<Part>,
}

impl Options {
    /// The people of both sides.
    fn people(&self) -> serve::Options {
        serve::Options {
            records: self.records,
            organizations: Some(self.records / 5),
            leads: Some(self.records / 5),
            families: Some(self.families),
            doubles: Some(self.doubles),
            seed: self.seed,
            ..serve::Options::default()
        }
    }
}

/// The parts of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Part {
    /// The first sync, and on the same records the edits and the runs with nothing to do.
    Sync,
    /// A first sync that lets the winner replace values.
    Replacing,
    /// What left, and what only cannot be seen.
    Leaving,
}

/// All parts, one after the other.
///
/// # Errors
/// Something of the surroundings does not work, or the product refuses what it must do.
pub async fn run(product: &Product, options: &Options) -> Outcome<Report> {
    let mut report = Report::default();
    let all = [Part::Sync, Part::Replacing, Part::Leaving];
    for part in all.into_iter().filter(|part| options.parts.is_empty() || options.parts.contains(part)) {
        run_part(product, options, part, &mut report).await?;
    }
    Ok(report)
}

/// One part, into a report.
///
/// # Errors
/// As [`run`].
pub async fn run_part(product: &Product, options: &Options, part: Part, report: &mut Report) -> Outcome<()> {
    match part {
        Part::Sync => sync(product, options, report).await?,
        Part::Replacing => planned::replacing(product, options, report).await?,
        Part::Leaving => leaving::judge(product, options, report).await?,
    }
    Ok(())
}

async fn sync(product: &Product, options: &Options, report: &mut Report) -> Outcome<()> {
    let began = Instant::now();
    let stage = Stage::open(product, &options.people()).await?;
    report.took("start both CRMs and connect them", began);
    planned::judge(&stage, report).await?;
    let pairs = joined::judge(&stage, report).await?;
    edits::judge(&stage, &pairs, options.edits, report).await?;
    rest::judge(&stage, options.idle_runs, report).await?;
    stage.weigh(report);
    Ok(())
}
