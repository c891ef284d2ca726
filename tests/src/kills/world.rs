//! One world: its CRMs, its workplace, and runs that are killed or frozen.

use std::path::PathBuf;
use std::time::Duration;

use crmsync_sandbox::rng::Rng;
use serde_json::json;

use super::disk::Disk;
use super::judge::{self, Evidence};
use super::people::People;
use super::{Means, Report, zombie};
use crate::Outcome;
use crate::crms::{Crms, SIDES};
use crate::product::{Answer, Ended, Moment, Product};
use crate::workplace::{FLOW, Workplace, now_ms};

/// One run, in the machine's words.
pub(super) const RUN: [&str; 4] = ["flow", "run", FLOW, "--json"];
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
const RUN_LOADS: Duration = Duration::from_millis(300);
/// Runs until nothing waits; more means that it never comes to rest.
const CALM_RUNS_MAX: usize = 8;

/// One world.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) product: Product,
    pub(super) workplace: Workplace,
    means: Means,
    people: People,
    /// How long the last run that was not caught worked.
    pub(super) run_works: Duration,
    delay_ms: usize,
    cycles: u64,
    /// Real moments between a kill or a freeze and the next run, in which every commit of ours is a late one.
    pub(super) absences: Vec<(i64, i64)>,
    /// How far the CRMs' clocks were moved.
    pub(super) ahead_ms: i64,
}

/// What became of a run that was to be caught.
pub(super) enum Caught {
    /// It was killed or frozen before it ended.
    InTheMiddle,
    /// It was faster: its answer, and how long it worked.
    Ended(Answer, Duration),
}

impl World {
    /// Both CRMs with tagged people, connected, and a first sync that is approved.
    pub(super) async fn open(product: &Product, means: Means, records: usize, seed: u64) -> Outcome<World> {
        let crms = Crms::processes(product, records, seed).await?;
        let people = People::tag(&crms, records, seed).await?;
        let quiesce_ms = if means == Means::Kill { QUIESCE_MS } else { zombie::QUIESCE_MS };
        let workplace = Workplace::open(crms, quiesce_ms).await?;
        workplace.preview_and_approve().await?;
        let rng = Rng::fork(seed, "world");
        let product = product.clone();
        Ok(World {
            seed,
            rng,
            product,
            workplace,
            means,
            people,
            run_works: RUN_WORKS,
            delay_ms: 0,
            cycles: 0,
            absences: vec![],
            ahead_ms: 0,
        })
    }

    /// People edit, then a run is caught at a random moment.
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
            let caught = match self.means {
                Means::Kill => self.run_and_kill(report).await?,
                Means::Freeze => self.run_and_freeze(report).await?,
            };
            match caught {
                Caught::InTheMiddle => return Ok(()),
                Caught::Ended(answer, worked) if answer.code == 0 => {
                    self.run_works = worked.max(RUN_WORKS / 4);
                    return Ok(());
                }
                Caught::Ended(answer, _) if answer.error_code() == "flow.not_approved" => {
                    report.approvals_again += 1;
                    self.workplace.preview_and_approve().await?;
                }
                Caught::Ended(answer, _) => {
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

    async fn run_and_kill(&mut self, report: &mut Report) -> Outcome<Caught> {
        let moment = self.moment();
        match self.product.ask_and_kill(&self.workplace.data(), &RUN, moment).await? {
            Ended::ByItself { answer, worked } => Ok(Caught::Ended(answer, worked)),
            Ended::Killed => {
                let killed_at_ms = now_ms();
                report.kills += 1;
                report.unknown_outcomes += Disk::open(&self.workplace.data())?.unanswered()?;
                // What the CRMs have received is committed now, with nobody there to hear of it.
                self.let_them_commit().await;
                self.absences.push((killed_at_ms + self.ahead_ms, now_ms() + self.ahead_ms));
                Ok(Caught::InTheMiddle)
            }
        }
    }

    /// Waits until the CRMs have committed what they had received.
    pub(super) async fn let_them_commit(&self) {
        tokio::time::sleep(Duration::from_millis(self.delay_ms as u64 + 50)).await;
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
    pub(super) fn moment(&mut self) -> Moment {
        let after_sign_of_life = self.rng.chance(85);
        let span = if after_sign_of_life { self.run_works * 5 / 4 } else { RUN_LOADS + self.run_works };
        let span_ms = usize::try_from(span.as_millis()).unwrap_or(usize::MAX);
        Moment { after_sign_of_life, delay: Duration::from_millis(self.rng.below(span_ms) as u64) }
    }

    /// Nothing is caught any more: runs until nothing waits, two runs that must write nothing, then the questions.
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
        for story in Disk::open(&self.workplace.data())?.stale_lines()? {
            report.stale_commits += 1;
            report.problems.push(format!("world {}: {story}", self.seed));
        }
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
