//! One world: its CRMs, its workplace, and runs that are killed.

use std::path::PathBuf;
use std::time::Duration;

use crmsync::app::LOCAL_TENANT;
use crmsync_sandbox::rng::Rng;
use serde_json::json;

use super::Report;
use super::judge::{self, Evidence};
use super::people::People;
use crate::Outcome;
use crate::crms::{Crms, MODULE, SIDES};
use crate::product::{Ended, Moment, Product};
use crate::workplace::{FLOW, Workplace, now_ms};

/// An unanswered write of these CRMs is certain after this time. Longer than every commit delay below.
const QUIESCE_MS: u64 = 700;
/// A write is committed so long after the CRM received it, at least and at most.
const COMMIT_DELAY_MS: (usize, usize) = (30, 300);
/// The CRMs' clocks are moved so far before and behind people's edits: in one second with a write of ours, an edit of the same field
/// cannot be told from what the CRM made of that write (a documented window).
const APART_MS: i64 = 1_300;
/// How long a run works, before the first one was measured.
const RUN_WORKS: Duration = Duration::from_millis(600);
/// How long a process loads its plugins before it begins to work.
const RUN_LOADS: Duration = Duration::from_millis(800);
/// Runs until nothing waits; more means that it never comes to rest.
const CALM_RUNS_MAX: usize = 8;

/// One world.
pub(super) struct World {
    seed: u64,
    rng: Rng,
    product: Product,
    workplace: Workplace,
    people: People,
    /// How long the last run that was not killed worked.
    run_works: Duration,
    delay_ms: usize,
    cycles: u64,
    /// Real moments between a kill and the next run, in which every commit of ours is a late one.
    absences: Vec<(i64, i64)>,
    /// How far the CRMs' clocks were moved.
    ahead_ms: i64,
}

impl World {
    /// Both CRMs with tagged people, connected, and a first sync that is approved.
    pub(super) async fn open(product: &Product, records: usize, seed: u64) -> Outcome<World> {
        let crms = Crms::processes(product, records, seed).await?;
        let people = People::tag(&crms, records, seed).await?;
        let workplace = Workplace::open(crms, QUIESCE_MS).await?;
        workplace.preview_and_approve().await?;
        let rng = Rng::fork(seed, "world");
        let product = product.clone();
        Ok(World {
            seed,
            rng,
            product,
            workplace,
            people,
            run_works: RUN_WORKS,
            delay_ms: 0,
            cycles: 0,
            absences: vec![],
            ahead_ms: 0,
        })
    }

    /// People edit, then a run is killed at a random moment.
    pub(super) async fn cycle(&mut self, report: &mut Report) -> Outcome<()> {
        if self.cycles > 0 {
            self.office_hours().await?;
        }
        self.cycles += 1;
        self.delay_ms = COMMIT_DELAY_MS.0 + self.rng.below(COMMIT_DELAY_MS.1 - COMMIT_DELAY_MS.0);
        for side in SIDES {
            self.workplace.crms.faults(side, &json!({ "commit_delay_ms": self.delay_ms })).await?;
        }
        // A first sync may have to be looked at once more by a person before it goes on.
        const APPROVALS_MAX: usize = 3;
        for _ in 0..APPROVALS_MAX {
            let moment = self.moment();
            match self.product.ask_and_kill(&self.workplace.data(), &["flow", "run", FLOW, "--json"], moment).await? {
                Ended::Killed => return self.died(report).await,
                Ended::ByItself { answer, worked } if answer.code == 0 => {
                    self.run_works = worked.max(RUN_WORKS / 4);
                    return Ok(());
                }
                Ended::ByItself { answer, .. } if answer.error_code() == "flow.not_approved" => {
                    report.approvals_again += 1;
                    self.workplace.preview_and_approve().await?;
                }
                Ended::ByItself { answer, .. } => {
                    return Err(format!(
                        "a run fails: exit {}, {} {}",
                        answer.code,
                        answer.stdout.trim(),
                        answer.stderr.trim()
                    ));
                }
            }
        }
        Err(format!("it is not approved after {APPROVALS_MAX} new previews"))
    }

    /// A run was killed a moment ago.
    async fn died(&mut self, report: &mut Report) -> Outcome<()> {
        let killed_at_ms = now_ms();
        report.kills += 1;
        report.unknown_outcomes += self.unanswered().await?;
        // What the CRMs have received is committed now, with nobody there to hear of it.
        tokio::time::sleep(Duration::from_millis(self.delay_ms as u64 + 50)).await;
        self.absences.push((killed_at_ms + self.ahead_ms, now_ms() + self.ahead_ms));
        Ok(())
    }

    /// Edits, in seconds in which no run writes.
    async fn office_hours(&mut self) -> Outcome<()> {
        self.advance().await?;
        self.people.edit(&self.workplace.crms).await?;
        self.advance().await
    }

    async fn advance(&mut self) -> Outcome<()> {
        self.ahead_ms += APART_MS;
        self.workplace.crms.advance(APART_MS).await
    }

    /// A moment within, or shortly behind, a usual run. Most are counted from the first sign of life, so that few kills are spent on a
    /// process that is still loading its plugins.
    fn moment(&mut self) -> Moment {
        let after_sign_of_life = self.rng.chance(85);
        let span = if after_sign_of_life { self.run_works * 5 / 4 } else { RUN_LOADS + self.run_works };
        let span_ms = usize::try_from(span.as_millis()).unwrap_or(usize::MAX);
        Moment { after_sign_of_life, delay: Duration::from_millis(self.rng.below(span_ms) as u64) }
    }

    /// Writes that had left and whose answer nobody has: what the killed process leaves in its outbox.
    async fn unanswered(&self) -> Outcome<u64> {
        let store = self.workplace.app.store();
        let pair = store.pair(LOCAL_TENANT, FLOW, MODULE, MODULE).await.map_err(|error| error.to_string())?;
        let open = store.open_intents(LOCAL_TENANT, pair).await.map_err(|error| error.to_string())?;
        Ok(open.get("admitted").copied().unwrap_or(0))
    }

    /// No kills any more: runs until nothing waits, two runs that must write nothing, then the questions.
    pub(super) async fn settle_and_judge(&mut self, report: &mut Report) -> Outcome<()> {
        self.office_hours().await?;
        for side in SIDES {
            self.workplace.crms.faults(side, &json!({})).await?;
        }
        self.calm(report).await?;
        let before = self.workplace.crms.counts().await?;
        for _ in 0..2 {
            self.advance().await?;
            self.workplace.run(true).await.map_err(|failure| format!("a calm run fails: {failure:?}"))?;
        }
        let after = self.workplace.crms.counts().await?;
        let writes: u64 = before.iter().zip(&after).map(|(before, after)| after.write - before.write).sum();
        if writes > 0 {
            report.problems.push(format!("world {}: two runs with nothing to do made {writes} write calls", self.seed));
        }
        let evidence = Evidence::gather(&self.workplace, &self.people, &self.absences).await?;
        judge::judge(self.seed, &evidence, report);
        Ok(())
    }

    async fn calm(&mut self, report: &mut Report) -> Outcome<()> {
        let mut waiting = Vec::new();
        for _ in 0..CALM_RUNS_MAX {
            self.advance().await?;
            match self.workplace.run(true).await {
                Ok(run) => {
                    let writes = run
                        .pairs
                        .iter()
                        .map(|pair| pair.created_left + pair.created_right + pair.updated_left + pair.updated_right);
                    let open: u64 = run.pairs.iter().map(|pair| pair.waiting).sum();
                    let busy = writes.sum::<u64>() > 0;
                    waiting.push(open);
                    if open == 0 && !busy {
                        return Ok(());
                    }
                }
                Err(failure) if failure.code == "flow.not_approved" => {
                    report.approvals_again += 1;
                    self.workplace.preview_and_approve().await?;
                }
                Err(failure) => return Err(format!("a calm run fails: {failure:?}")),
            }
        }
        Err(format!("it does not come to rest in {CALM_RUNS_MAX} runs; waiting after each: {waiting:?}"))
    }

    /// Leaves the data folder on the disk.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.workplace.folder.keep();
        self.workplace.data()
    }
}
