//! Both CRMs with their people, and the product as a process of its own that syncs them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::{PairReport, Preview, RunReport};
use crmsync::service;
use crmsync::store::ListingRow;
use crmsync_sandbox::people::Module;
use crmsync_sandbox::scenario::{Holdings, Scenario};
use crmsync_sandbox::serve;
use serde::de::DeserializeOwned;

use super::report::Report;
use crate::Outcome;
use crate::crms::{Crms, SIDES};
use crate::product::Product;
use crate::workplace::{FLOW, Workplace, flow_file_of, told};

/// An unanswered write of these CRMs is certain after this time.
const QUIESCE_MS: u64 = 600;
/// The CRMs' clocks are moved so far between people's work and runs, because a CRM tells times in whole seconds.
const APART_MS: i64 = 1_300;
/// A command that takes longer hangs.
const COMMAND_MAX: Duration = Duration::from_secs(1_800);
/// Runs until nothing is left to do; more means that it never comes to rest.
const CALM_RUNS_MAX: usize = 6;

/// The stage.
pub(super) struct Stage {
    pub(super) workplace: Workplace,
    pub(super) scenario: Scenario,
    product: Product,
    /// The most memory that a command took so far, in MiB, and the command.
    heaviest: Mutex<(f64, String)>,
}

impl Stage {
    /// Both CRMs as processes, connected, with a flow of all modules.
    pub(super) async fn open(product: &Product, people: &serve::Options) -> Outcome<Stage> {
        let crms = Crms::processes_of(product, people).await?;
        let scenario = Scenario::of_all_modules(people.seed, people.counts());
        let workplace = Workplace::with_modules(crms, QUIESCE_MS, &Module::ALL.map(Module::name)).await?;
        Ok(Stage { workplace, scenario, product: product.clone(), heaviest: Mutex::default() })
    }

    /// The same with a flow of contacts alone, and a user who may be no administrator.
    pub(super) async fn of_contacts(product: &Product, people: &serve::Options, administrator: bool) -> Outcome<Stage> {
        let crms = Crms::processes_of(product, people).await?;
        for side in SIDES {
            crms.grant(side, administrator, 0).await?;
        }
        let scenario = Scenario::new(people.seed, people.records);
        let workplace = Workplace::open(crms, QUIESCE_MS).await?;
        Ok(Stage { workplace, scenario, product: product.clone(), heaviest: Mutex::default() })
    }

    pub(super) fn crms(&self) -> &Crms {
        &self.workplace.crms
    }

    /// Applies the flow's file with one line of it changed.
    pub(super) async fn apply_with(&self, line: &str, instead: &str) -> Outcome<()> {
        let file = flow_file_of(&Module::ALL.map(Module::name));
        let changed = file.replacen(line, instead, 1);
        if changed == file {
            return Err(format!("the flow's file has no line `{line}`"));
        }
        service::apply(&self.workplace.app, LOCAL_TENANT, "people.toml", &changed).await.map_err(told)?;
        Ok(())
    }

    /// The most memory that a command took so far, and which one did.
    pub(super) fn weigh(&self, report: &mut Report) {
        let heaviest = self.heaviest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if heaviest.0 > report.peak_rss_mib {
            (report.peak_rss_mib, report.heaviest) = heaviest;
        }
    }

    /// One command of the product, and its answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Outcome<T> {
        let arguments = [arguments, &["--json"]].concat();
        let answer = self.product.ask_within(&self.workplace.data(), &arguments, COMMAND_MAX).await?;
        {
            let mut heaviest = self.heaviest.lock().unwrap_or_else(PoisonError::into_inner);
            if answer.peak_rss_mib > heaviest.0 {
                *heaviest = (answer.peak_rss_mib, arguments.join(" "));
            }
        }
        serde_json::from_str(&answer.stdout).map_err(|error| {
            let text: String = answer.stdout.chars().take(2_000).collect();
            format!("`{}` ends with {} and says {text} {}: {error}", arguments.join(" "), answer.code, answer.stderr)
        })
    }

    pub(super) async fn preview(&self) -> Outcome<Preview> {
        self.ask(&["flow", "preview", FLOW]).await
    }

    pub(super) async fn approve(&self) -> Outcome<Preview> {
        self.ask(&["flow", "approve", FLOW]).await
    }

    /// One run, after the second in which people worked is over.
    pub(super) async fn run(&self, sweep: bool) -> Outcome<RunReport> {
        self.apart().await?;
        let sweep: &[&str] = if sweep { &["--sweep"] } else { &[] };
        self.ask(&[&["flow", "run", FLOW], sweep].concat()).await
    }

    /// Runs until a run writes nothing; gives the reports of all, and notes how long the first one took.
    pub(super) async fn calm(&self, what: &str, report: &mut Report) -> Outcome<Vec<RunReport>> {
        let mut runs = Vec::new();
        for number in 0..CALM_RUNS_MAX {
            let began = Instant::now();
            let run = self.run(false).await?;
            if number == 0 {
                report.took(what, began);
            }
            let is_over = run.pairs.iter().all(|pair| writes(pair) == 0 && pair.waiting == 0);
            runs.push(run);
            if is_over {
                return Ok(runs);
            }
        }
        Err(format!("{what}: it does not come to rest in {CALM_RUNS_MAX} runs: {runs:?}"))
    }

    pub(super) async fn apart(&self) -> Outcome<()> {
        self.crms().advance(APART_MS).await
    }

    /// Everything that the last preview listed.
    pub(super) async fn listing(&self) -> Outcome<Vec<ListingRow>> {
        let page =
            service::listing(&self.workplace.app, LOCAL_TENANT, FLOW, "", usize::MAX >> 1).await.map_err(told)?;
        Ok(page.rows)
    }

    /// All live records of both sides.
    pub(super) async fn holdings(&self) -> Outcome<Holdings> {
        let mut holdings = BTreeMap::new();
        for module in Module::ALL {
            let [left, right] = SIDES.map(|side| self.crms().records_of(side, module.name()));
            holdings.insert(module, [left.await?, right.await?]);
        }
        Ok(holdings)
    }
}

/// Records that a run wrote in a pair.
pub(super) fn writes(pair: &PairReport) -> u64 {
    let PairReport { created_left, created_right, updated_left, updated_right, .. } = pair;
    let PairReport { marked_left, marked_right, deleted_left, deleted_right, .. } = pair;
    let left = marked_left + marked_right + deleted_left + deleted_right;
    created_left + created_right + updated_left + updated_right + left
}
