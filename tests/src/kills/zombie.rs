//! Runs that are frozen in the middle, overtaken by a second process, and woken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Report;
use super::disk::{Disk, Held};
use super::world::{Caught, RUN, World};
use crate::Outcome;
use crate::product::{Answer, Ended, Process};
use crate::workplace::now_ms;

/// An unanswered write of a world of zombies is certain after this time. As in the product a process that is frozen for longer sends
/// nothing any more, no zombie here may sleep so long: the time that a call has is five minutes there, and cannot be shortened.
pub(super) const QUIESCE_MS: u64 = 10_000;
/// Whoever is frozen is woken after this time at the latest, so that what it still sends is committed before the other process asks.
const FROZEN_MAX: Duration = Duration::from_millis(QUIESCE_MS - 1_500);
/// How long a lease lasts, for the processes of this loop.
const LEASE: [(&str, &str); 1] = [("CRMSYNC_LEASE_SECONDS", "1")];
/// What the product says when its lease was taken.
const LEASE_LOST: &str = "flow.lease_lost";
/// What the product says when another process holds the flow.
const BUSY: &str = "flow.busy";

impl World {
    /// One run that is to be frozen; its answer if it ended before.
    pub(super) async fn run_and_freeze(&mut self, report: &mut Report) -> Outcome<Caught> {
        let data = self.workplace.data();
        let disk = Disk::open(&data)?;
        let mut zombie = self.product.start(&data, &LEASE, &RUN)?;
        // Half of them between the admission of a write and its answer, most others while they hold the flow, some anywhere.
        let fence = disk.held()?.fence;
        let is_running = match self.rng.below(100) {
            0..50 => zombie.runs_until(disk.until_admitted()).await?,
            50..90 => {
                let delay = self.within_a_run();
                let moment = async {
                    disk.until_held_anew(fence).await;
                    tokio::time::sleep(delay).await;
                };
                zombie.runs_until(moment).await?
            }
            _ => {
                let moment = zombie.moment(self.moment());
                zombie.runs_until(moment).await?
            }
        };
        if !is_running {
            return by_itself(zombie).await;
        }
        zombie.freeze()?;
        let (frozen, frozen_at_ms) = (Instant::now(), now_ms());
        report.frozen += 1;
        let held = disk.held()?;
        let was_done = held.holder.is_empty() || disk.has_ended(held.fence)?;
        // Read past the product: the frozen process may hold the database.
        report.unknown_outcomes += disk.unanswered()?;
        let expires_in_ms = u64::try_from(held.expires_at_ms - now_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(expires_in_ms).min(FROZEN_MAX)).await;
        self.absences.push((frozen_at_ms + self.ahead_ms, now_ms() + self.ahead_ms));

        let left = || FROZEN_MAX.saturating_sub(frozen.elapsed());
        let mut rival = self.product.start(&data, &LEASE, &RUN)?;
        let overtaking = tokio::time::timeout(left(), rival.runs_until(disk.until_held_anew(held.fence))).await;
        let at_work = matches!(overtaking, Ok(Ok(true)));
        let pause = if self.rng.chance(50) { self.within_a_run() } else { FROZEN_MAX };
        let has_ended = !rival.runs_until(tokio::time::sleep(pause.min(left()))).await?;
        let now_held = disk.held()?;
        let is_zombie = !was_done && now_held.fence > held.fence;
        let before = disk.digests()?;
        zombie.wake()?;
        report.overtaken += u64::from(is_zombie);
        report.woken_at_work += u64::from(is_zombie && at_work && !has_ended);
        let (zombie, rival) = tokio::join!(by_itself(zombie), by_itself(rival));
        if let (Caught::Ended(answer, _), true) = (zombie?, is_zombie) {
            let changed = if has_ended { changes(&before, &disk.digests()?) } else { vec![] };
            self.judge_zombie(&held, &answer, &changed, report);
        }
        // What the woken process still sent is committed now, with nobody there to hear of it.
        self.let_them_commit().await;
        match rival? {
            // It came too late, or was overtaken in its turn by one that had been frozen before it held the flow.
            Caught::Ended(answer, _)
                if answer.error_code() == BUSY || !is_zombie && answer.error_code() == LEASE_LOST =>
            {
                report.locked_out += 1;
                Ok(Caught::InTheMiddle)
            }
            Caught::Ended(answer, _) if answer.code == 0 => Ok(Caught::InTheMiddle),
            failed => Ok(failed),
        }
    }

    /// A random part of the time that a run works.
    fn within_a_run(&mut self) -> Duration {
        let span_ms = usize::try_from(self.run_works.as_millis()).unwrap_or(usize::MAX);
        Duration::from_millis(self.rng.below(span_ms.max(1)) as u64)
    }

    /// I9: a zombie has committed nothing, and does not say that it has.
    fn judge_zombie(&self, held: &Held, answer: &Answer, changed: &[String], report: &mut Report) {
        let words = if answer.code == 0 { "done".to_owned() } else { answer.error_code() };
        let mut stale = |story: String| {
            report.stale_commits += 1;
            report.problems.push(format!("world {}: {story}", self.seed));
        };
        if answer.code == 0 {
            stale(format!("the run of lease {} was overtaken and says that it is done", held.fence));
        }
        if !changed.is_empty() {
            stale(format!("a process of the old lease {} changed {} ({words})", held.fence, changed.join(", ")));
        }
        if answer.code != 0 && words != LEASE_LOST {
            // It ended for another reason before it could notice; what it said is worth a look.
            eprintln!("  world {}: a zombie says {}", self.seed, answer.stdout.trim());
        }
        *report.last_words.entry(words).or_default() += 1;
    }
}

async fn by_itself(process: Process) -> Outcome<Caught> {
    match process.end().await? {
        Ended::ByItself { answer, worked } => Ok(Caught::Ended(answer, worked)),
        Ended::Killed => Ok(Caught::InTheMiddle),
    }
}

/// Tables that are not as they were.
fn changes(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    after.iter().filter(|(table, digest)| before.get(*table) != Some(*digest)).map(|(table, _)| table.clone()).collect()
}
