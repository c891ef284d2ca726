//! One run of one flow, in the order of its steps: recover, pull both sides to their heads, find out, match, decide and commit,
//! write and settle, look for removals; and once more where records changed under our hands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crmsync_core::Side;
use crmsync_core::decide::reason;
use crmsync_core::sabotage::{Sabotage, is_on};

use super::apply::{Drained, drain};
use super::error::Error;
use super::leaving;
use super::listing::hold_back_unlisted;
use super::plan::{Decided, decide_portion, field_label};
use super::references::Planned;
use super::report::{PairReport, PlanCounts, RunReport};
use super::setup::{PairSetup, RunSetup};
use super::stage::{Pulled, match_staged, pull_to_head};
use super::sweep;
use super::trial::Trial;
use super::unknown::{StillUnknown, adopt_arrivals, find_out};

/// What a run is asked for.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Look for removed records now, wherever they are not announced.
    pub sweep: bool,
    /// This is the first sync, and what was approved for it.
    pub first_sync: Option<FirstSync>,
    /// Write at most so many records or pairs of all, a few of each kind, and leave the rest to a later run; none for all.
    pub trial: Option<usize>,
}

/// What a first sync was approved for.
#[derive(Clone, Debug, Default)]
pub struct FirstSync {
    /// Counts by pair and kind: the run stops before its first write when they moved by more than 5 %.
    pub counts: BTreeMap<String, u64>,
    /// The preview whose listing says which values may be replaced.
    pub preview: i64,
}

/// Whether a plan is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Item by item.
    Write,
    /// Only counted.
    No,
}

/// Runs the flow once.
///
/// # Errors
/// Whatever stops a whole run: a lost lease or login, a CRM that cannot be read, a missing approval. Records that only concern
/// themselves end as outcomes.
pub async fn run(setup: &RunSetup, options: &RunOptions) -> Result<RunReport, Error> {
    let started_at_ms = setup.now_ms();
    let mut report = RunReport {
        flow: setup.lease.flow.clone(),
        run: setup.run,
        between: [setup.sides[0].connection.clone(), setup.sides[1].connection.clone()],
        started_at_ms,
        ..RunReport::default()
    };
    for pair in &setup.pairs {
        setup.store.recover_intents(&setup.lease, pair.id, pair.mapping.keys(), setup.run, setup.now_ms()).await?;
        // What may have been a create of ours may be known by now; what was tried in vain is tried again after a while.
        setup.store.touch_left_out(&setup.lease, pair.id, vec![reason::OUTCOME_UNKNOWN], i64::MAX).await?;
        let before_ms = setup.now_ms() - setup.limits.try_again_ms;
        setup.store.touch_left_out(&setup.lease, pair.id, vec![reason::ATTEMPTS_USED_UP], before_ms).await?;
        if pair.records_from_ms.is_some() {
            for side in Side::BOTH {
                setup.store.touch_referenced(&setup.lease, pair.id, side, &pair.module(side).name).await?;
            }
        }
    }
    let mut pulled = Vec::with_capacity(setup.pairs.len());
    for pair in &setup.pairs {
        pulled.push(pull_both(setup, pair).await?);
    }
    for pair in &setup.pairs {
        // Creates of an earlier run whose records have come are no work any more, and an approval does not count them again.
        adopt_arrivals(setup, pair).await?;
    }
    if let Some(approved) = &options.first_sync {
        check_still_as_approved(setup, &approved.counts).await?;
    }
    let mut trial = options.trial.map(|records| Trial::new(records, setup.pairs.len()));
    for (pair, pulled) in setup.pairs.iter().zip(pulled) {
        // S13: a first sync never deletes.
        let careful =
            options.first_sync.as_ref().filter(|_| !is_on(Sabotage::FirstSyncDeletes)).map(|_| pair.without_deletes());
        let ended = run_pair(setup, careful.as_ref().unwrap_or(pair), pulled, options, trial.as_mut()).await?;
        report.pairs.push(ended.report);
        report.alarms.extend(ended.alarms);
        report.unlisted += ended.unlisted;
    }
    if options.first_sync.is_some() && trial.is_none() && !has_planned(setup).await? {
        setup.store.finish_first_sync(&setup.lease, setup.now_ms()).await?;
    }
    add_outcomes(setup, &mut report).await?;
    report.took_ms = setup.now_ms() - started_at_ms;
    Ok(report)
}

/// Whether a decided write still waits to be sent.
async fn has_planned(setup: &RunSetup) -> Result<bool, Error> {
    for pair in &setup.pairs {
        if setup.store.next_due_ms(setup.tenant(), pair.id).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads both sides of one pair to their heads.
pub(super) async fn pull_both(setup: &RunSetup, pair: &PairSetup) -> Result<[Pulled; 2], Error> {
    Ok([pull_to_head(setup, pair, Side::Left).await?, pull_to_head(setup, pair, Side::Right).await?])
}

/// Counts what all staged units would lead to, without committing anything. `planned` is what was planned for the pairs before it.
pub(super) async fn plan(
    setup: &RunSetup,
    pair: &PairSetup,
    listing: Listing,
    planned: &mut Planned,
) -> Result<PlanCounts, Error> {
    match_staged(setup, pair).await?;
    let names = [setup.sides[0].connection.as_str(), setup.sides[1].connection.as_str()];
    let mut counts = PlanCounts::default();
    let mut after = 0;
    loop {
        let (units, last) = setup.store.next_units(setup.tenant(), pair.id, after, setup.limits.portion_rows).await?;
        if last == after {
            let items = planned.end_of_module(&mut counts);
            if listing == Listing::Write && !items.is_empty() {
                setup.store.add_to_listing(&setup.lease, setup.run, pair.id, items, setup.now_ms()).await?;
            }
            return Ok(counts);
        }
        after = last;
        let mut items = Vec::new();
        for unit in decide_portion(setup, pair, units, Some(planned)).await? {
            unit.count_into(&mut counts, pair, names);
            let mut lines = if listing == Listing::Write { unit.listed(setup, pair) } else { vec![] };
            planned.note(&unit, pair, names, &mut lines);
            items.extend(lines);
        }
        if !items.is_empty() {
            setup.store.add_to_listing(&setup.lease, setup.run, pair.id, items, setup.now_ms()).await?;
        }
        setup.progress.step(&format!("plan {}", pair.name()), counts.looked_at, None);
        super::call::renew(setup).await?;
    }
}

/// S6: the world may have changed since the preview, but not by much.
async fn check_still_as_approved(setup: &RunSetup, approved: &BTreeMap<String, u64>) -> Result<(), Error> {
    let mut planned = Planned::default();
    for pair in &setup.pairs {
        let now = plan(setup, pair, Listing::No, &mut planned).await?.approved();
        for (what, &count) in &now {
            let name = format!("{}/{what}", pair.name());
            let then = approved.get(&name).copied().unwrap_or(0);
            // Fewer writes than approved do no harm: an earlier run that was cut short may have done some of them.
            let most = then + (then / 20).max(1);
            if count > most && !is_on(Sabotage::IgnoreApproval) {
                let names = [&setup.sides[0].connection, &setup.sides[1].connection];
                let what = match what.as_str() {
                    "linked" => "records to link".to_owned(),
                    "create_left" => format!("records to create in `{}`", names[0]),
                    "create_right" => format!("records to create in `{}`", names[1]),
                    "update_left" => format!("records to change in `{}`", names[0]),
                    "update_right" => format!("records to change in `{}`", names[1]),
                    other => format!("`{other}`"),
                };
                return Err(Error::NotApproved(format!(
                    "the world changed since the preview: it showed {then} {what} ({pair}), and now it is {count}, which is more than the \
                     5 % that people may have added meanwhile; nothing was written",
                    pair = pair.name()
                )));
            }
        }
    }
    Ok(())
}

async fn run_pair(
    setup: &RunSetup,
    pair: &PairSetup,
    mut pulled: [Pulled; 2],
    options: &RunOptions,
    mut trial: Option<&mut Trial>,
) -> Result<PairEnd, Error> {
    let mut report = PairReport { name: pair.name(), ..PairReport::default() };
    let mut total = Drained::default();
    let mut waited_ms = 0;
    let mut made = 0;
    let mut watch = RemovalWatch::default();
    let mut unlisted = 0;
    for _ in 0..setup.limits.rounds_max {
        report.read_left += pulled[0].read;
        report.read_right += pulled[1].read;
        adopt_arrivals(setup, pair).await?;
        let read_at_ms = [pulled[0].read_at_ms, pulled[1].read_at_ms];
        let still = find_out(setup, pair, read_at_ms).await?;
        let left_so_far = total.marked.iter().chain(&total.deleted).sum();
        let weighed = leaving::weigh(setup, pair, left_so_far).await?;
        watch.note(weighed.held, weighed.alarm);
        leaving::look_at_survivors(setup, pair, weighed.hold).await?;
        let walk = pair.with_hold(weighed.hold);
        let decided = match trial.as_deref_mut() {
            Some(trial) => try_out(setup, &walk, options, trial).await?,
            None => decide_and_commit(setup, &walk, options, None).await?,
        };
        unlisted += decided.unlisted;
        report.conflicts += decided.counts.conflicts;
        let mut drained = drain(setup, pair, read_at_ms).await?;
        made += decided.counts.linked + drained.created.iter().sum::<u64>();
        let again = drained.again > 0;
        let absent = std::mem::take(&mut drained.absent);
        let none_absent = absent.iter().all(Vec::is_empty);
        total.add(drained);
        if trial.is_some() {
            break;
        }
        let mut gone = 0;
        if options.first_sync.is_none() {
            let look = SweepReasons { edits: decided.edits[0] || decided.edits[1], asked: options.sweep, absent };
            gone = sweep_sides(setup, pair, &look, &mut watch).await?;
        }
        let waiting_pays = wait_for_certainty(setup, &still, &mut waited_ms).await?;
        let (ready, _) = setup.store.next_units(setup.tenant(), pair.id, 0, setup.limits.portion_rows).await?;
        if again || waiting_pays {
            tokio::time::sleep(Duration::from_millis(if again { setup.limits.round_pause_ms } else { 0 })).await;
            pulled = pull_both(setup, pair).await?;
        } else if gone > 0 || (!ready.is_empty() && none_absent) {
            // Records that were not found and are not gone for sure would only be looked for again and again: the next run decides.
            pulled = pulled.map(|pulled| Pulled { read: 0, ..pulled });
        } else if look_again(setup, pair, std::mem::take(&mut made) > 0).await? {
            let is_conditional = |side: &Side| pair.module(*side).conditional_updates;
            let mut written = Side::BOTH.into_iter().filter(is_conditional);
            if written.any(|side| total.created[side as usize] + total.updated[side as usize] > 0) {
                // What we wrote ourselves since the last pull would make the CRM refuse the second pass.
                tokio::time::sleep(Duration::from_millis(setup.limits.round_pause_ms)).await;
                pulled = pull_both(setup, pair).await?;
            } else {
                pulled = pulled.map(|pulled| Pulled { read: 0, ..pulled });
            }
        } else {
            break;
        }
    }
    let [created_left, created_right] = total.created;
    let [updated_left, updated_right] = total.updated;
    let [marked_left, marked_right] = total.marked;
    let [deleted_left, deleted_right] = total.deleted;
    let held_removals = watch.settle(setup, pair, &mut total.alarms).await?;
    let open = setup.store.open_intents(setup.tenant(), pair.id).await?;
    let report = PairReport {
        left: setup.store.known_records(setup.tenant(), pair.id, Side::Left).await?,
        right: setup.store.known_records(setup.tenant(), pair.id, Side::Right).await?,
        linked: setup.store.link_count(setup.tenant(), pair.id).await?,
        created_left,
        created_right,
        updated_left,
        updated_right,
        marked_left,
        marked_right,
        deleted_left,
        deleted_right,
        held_removals,
        waiting: open.iter().filter(|(state, _)| *state != "parked").map(|(_, count)| count).sum(),
        ..report
    };
    Ok(PairEnd { report, alarms: total.alarms, unlisted })
}

/// What a run came to in one module pair.
struct PairEnd {
    report: PairReport,
    alarms: Vec<String>,
    /// Values that were not replaced because the approved preview did not list them.
    unlisted: u64,
}

/// Looks again at what was left out of records and may go over now: references to records of this pair that are linked by now, wherever
/// they are. Says whether there are any in this pair; the others take them when it is their turn, in this run or the next one.
async fn look_again(setup: &RunSetup, current: &PairSetup, made: bool) -> Result<bool, Error> {
    let mut here = false;
    if made {
        let reasons = vec![reason::OWNER_UNKNOWN];
        here = setup.store.touch_left_out(&setup.lease, current.id, reasons, i64::MAX).await? > 0;
    }
    for pair in &setup.pairs {
        let modules = Side::BOTH.map(|side| current.module(side).name.clone());
        let touched = setup.store.touch_resolved_references(&setup.lease, pair.id, current.id, modules).await?;
        here |= pair.id == current.id && touched > 0;
    }
    Ok(here)
}

/// What one walk through the inbox decided.
struct Round {
    counts: PlanCounts,
    /// Sides where people changed something.
    edits: [bool; 2],
    /// Values that were not replaced because the approved preview did not list them.
    unlisted: u64,
}

/// Decides and commits a few units of each kind.
async fn try_out(setup: &RunSetup, pair: &PairSetup, options: &RunOptions, trial: &mut Trial) -> Result<Round, Error> {
    trial.begin_pair();
    let first = decide_and_commit(setup, pair, options, Some(trial)).await?;
    trial.lift_kinds();
    let more = decide_and_commit(setup, pair, options, Some(trial)).await?;
    let mut round = first;
    round.counts.linked += more.counts.linked;
    round.counts.conflicts += more.counts.conflicts;
    round.unlisted += more.unlisted;
    Ok(round)
}

async fn decide_and_commit(
    setup: &RunSetup,
    pair: &PairSetup,
    options: &RunOptions,
    mut trial: Option<&mut Trial>,
) -> Result<Round, Error> {
    match_staged(setup, pair).await?;
    let names = [setup.sides[0].connection.as_str(), setup.sides[1].connection.as_str()];
    let mut round = Round { counts: PlanCounts::default(), edits: [false, false], unlisted: 0 };
    let mut after = 0;
    loop {
        let (units, last) = setup.store.next_units(setup.tenant(), pair.id, after, setup.limits.portion_rows).await?;
        if last == after || trial.as_deref().is_some_and(Trial::is_over) {
            return Ok(round);
        }
        after = last;
        let mut decided: Vec<Decided> = decide_portion(setup, pair, units, None).await?;
        if let Some(trial) = trial.as_deref_mut() {
            // What is not tried out stays staged.
            decided.retain(|unit| trial.takes(unit));
        }
        if let Some(approved) = &options.first_sync {
            round.unlisted += hold_back_unlisted(setup, pair, approved.preview, &mut decided).await?;
        }
        let mut commits = Vec::with_capacity(decided.len());
        for unit in decided {
            unit.count_into(&mut round.counts, pair, names);
            for side in Side::BOTH {
                round.edits[side as usize] |= unit.is_edited(side);
            }
            commits.push(unit.commit(setup, pair));
        }
        // Rules 1, 2 and 7.
        setup.store.commit_decisions(&setup.lease, pair.id, setup.run, commits, setup.now_ms()).await?;
        setup.progress.step(&format!("decide {}", pair.name()), round.counts.looked_at, None);
        super::call::renew(setup).await?;
    }
}

/// Why known ids may be looked for in this run.
struct SweepReasons {
    /// People changed something.
    edits: bool,
    /// Somebody asked for it.
    asked: bool,
    /// Left and right records that were not there when they were to be written.
    absent: [Vec<String>; 2],
}

/// Looks for records that were missed, and sweeps the sides that are due, each once in a run.
async fn sweep_sides(
    setup: &RunSetup,
    pair: &PairSetup,
    look: &SweepReasons,
    watch: &mut RemovalWatch,
) -> Result<u64, Error> {
    let mut gone = 0;
    for side in Side::BOTH {
        let missed = &look.absent[side as usize];
        if !missed.is_empty() {
            gone += watch.take(side, sweep::look_for(setup, pair, side, missed.clone()).await?);
        }
        if std::mem::replace(&mut watch.considered[side as usize], true) {
            continue;
        }
        // People consented to what a sweep had found: it is found again.
        let held = setup.store.held_of(setup.tenant(), pair.id, side).await?;
        let consented = pair.module(side).needs_sweep && held.is_some_and(|held| held.consented > 0);
        if sweep::is_due(setup, pair, side, look.edits, look.asked || consented).await? {
            gone += watch.take(side, sweep::sweep(setup, pair, side).await?);
            watch.swept[side as usize] = true;
        }
    }
    Ok(gone)
}

/// What the safety stop did in one run of a pair.
#[derive(Default)]
struct RemovalWatch {
    /// Whether a sweep of the side was thought of in this run.
    considered: [bool; 2],
    /// Sides that were swept.
    swept: [bool; 2],
    /// Sides whose removals are held.
    held: [bool; 2],
    /// What people should know, each once.
    alarms: BTreeSet<String>,
}

impl RemovalWatch {
    fn note(&mut self, held: [bool; 2], alarm: Option<String>) {
        for (known, held) in self.held.iter_mut().zip(held) {
            *known |= held;
        }
        self.alarms.extend(alarm);
    }

    fn take(&mut self, side: Side, swept: sweep::Swept) -> u64 {
        self.held[side as usize] |= swept.held;
        self.alarms.extend(swept.alarm);
        swept.gone
    }

    /// At the end of the run: a consent is used up when nothing is left to do by it, and what is still held is told in every run. Gives
    /// the number of held removals.
    async fn settle(self, setup: &RunSetup, pair: &PairSetup, alarms: &mut Vec<String>) -> Result<u64, Error> {
        let mut count = 0;
        let told = self.held.iter().any(|held| *held);
        alarms.extend(self.alarms);
        for side in Side::BOTH {
            let Some(held) = setup.store.held_of(setup.tenant(), pair.id, side).await? else { continue };
            let waiting = leaving::waiting(setup, pair, side).await?.all();
            // What a sweep found is known to be over only after another one.
            let looked = self.swept[side as usize] || !pair.module(side).needs_sweep;
            if looked && waiting == 0 && !self.held[side as usize] {
                setup.store.release_removals(&setup.lease, pair.id, side).await?;
                continue;
            }
            count += held.removed;
            if !told && held.consented == 0 {
                alarms.push(format!(
                    "{}: the safety stop still holds {} deleted {}; {}",
                    setup.side(side).connection,
                    held.removed,
                    pair.module(side).name,
                    leaving::how_to_consent(setup)
                ));
            }
        }
        Ok(count)
    }
}

/// Waits until unanswered writes can be found out, if that is soon enough.
async fn wait_for_certainty(setup: &RunSetup, still: &StillUnknown, waited_ms: &mut i64) -> Result<bool, Error> {
    let Some(next_at_ms) = still.next_at_ms else { return Ok(false) };
    let wait_ms = (next_at_ms - setup.now_ms()).max(0) + 1;
    if *waited_ms + wait_ms > setup.limits.wait_ms_max {
        return Ok(false);
    }
    *waited_ms += wait_ms;
    setup.progress.step("wait until unanswered writes are certain", 0, Some(still.waiting));
    tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
    super::call::renew(setup).await?;
    Ok(true)
}

async fn add_outcomes(setup: &RunSetup, report: &mut RunReport) -> Result<(), Error> {
    for outcome in setup.store.outcome_counts(setup.tenant(), &setup.lease.flow).await? {
        let pair = setup.pairs.iter().position(|pair| {
            pair.module(Side::Left).name == outcome.left_module && pair.module(Side::Right).name == outcome.right_module
        });
        let Some((mapping, pair)) =
            pair.and_then(|index| Some((&setup.pairs[index].mapping, report.pairs.get_mut(index)?)))
        else {
            continue;
        };
        // People know fields by their labels.
        let row = mapping.rows.iter().position(|row| row.key.0 == outcome.field);
        let field = row.map_or(outcome.field, |row| field_label(mapping, row, Side::Left));
        let named = if field.is_empty() { outcome.reason.clone() } else { format!("{}: {field}", outcome.reason) };
        let (counts, name) = match outcome.kind.as_str() {
            "needs-attention" | "failed" => (&mut pair.needs_attention, outcome.reason),
            "left-out" => (&mut pair.left_out, named),
            "removed" => (&mut pair.removed, outcome.removal),
            "out-of-scope" => (&mut pair.out_of_scope, outcome.reason),
            _ => continue,
        };
        *counts.entry(name).or_default() += outcome.count;
    }
    Ok(())
}
