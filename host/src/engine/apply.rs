//! Drains the outbox in the CRM's own portions: whose turn it is, what is looked at once more before it leaves, and how long a run waits.
//! One call is in `push.rs`.

use std::collections::BTreeSet;

use crmsync_core::Side;
use crmsync_core::decide::{Operation, reason};
use crmsync_core::retry::ATTEMPTS_MAX;
use crmsync_core::sabotage::{Sabotage, is_on};

use super::error::Error;
use super::push::{not_found, push};
use super::remote::CreateClass;
use super::setup::{PairSetup, RunSetup};
use super::stage::reread;
use crate::store::{IntentRow, OutcomeNote, Settlement};

/// Rows that are given to a connector whose CRM takes one record a call: it may send them side by side.
const SINGLE_ROW_PORTION: usize = 40;

/// After so many portions in a row of which no write was answered, the rest waits: an outbox full of unknown outcomes helps nobody.
const UNANSWERED_PORTIONS_MAX: u32 = 3;
/// After so many rows in a row that break the connector each on its own, it is not the rows' doing.
const BROKEN_ROWS_MAX: u32 = 3;

/// After so many rows in a row that are refused each on its own in words about the whole call, it is not the rows' doing.
const REFUSED_ROWS_MAX: u32 = 3;

/// A portion of which nothing came to an end counts as so much waiting at least, so that a connector that sends nothing and asks for
/// no pause ends the drain instead of spinning.
const IDLE_PUSH_MS: i64 = 1_000;

/// What draining did.
#[derive(Clone, Debug, Default)]
pub(super) struct Drained {
    /// Records created, left and right.
    pub(super) created: [u64; 2],
    /// Records changed.
    pub(super) updated: [u64; 2],
    /// Records that got or lost a mark.
    pub(super) marked: [u64; 2],
    /// Records deleted.
    pub(super) deleted: [u64; 2],
    /// Records that turned out to have changed under our hands, and are decided again.
    pub(super) again: u64,
    /// Left and right records that were not there when they were to be written.
    pub(super) absent: [Vec<String>; 2],
    /// What people should know.
    pub(super) alarms: Vec<String>,
}

impl Drained {
    pub(super) fn add(&mut self, other: Drained) {
        for side in Side::BOTH {
            self.created[side as usize] += other.created[side as usize];
            self.updated[side as usize] += other.updated[side as usize];
            self.marked[side as usize] += other.marked[side as usize];
            self.deleted[side as usize] += other.deleted[side as usize];
        }
        for (absent, more) in self.absent.iter_mut().zip(other.absent) {
            absent.extend(more);
        }
        self.again += other.again;
        self.alarms.extend(other.alarms);
    }

    /// Writes of all kinds.
    pub(super) fn writes(&self) -> u64 {
        [self.created, self.updated, self.marked, self.deleted].iter().flatten().sum()
    }

    pub(super) fn count(&mut self, side: Side, operation: Operation) {
        let counts = match operation {
            Operation::Create => &mut self.created,
            Operation::Update => &mut self.updated,
            Operation::Mark | Operation::Unmark => &mut self.marked,
            Operation::Delete => &mut self.deleted,
        };
        counts[side as usize] += 1;
    }
}

/// The order in which writes leave: creates first, so that updates can name what exists, and deletes last.
const ORDER: [Operation; 5] =
    [Operation::Create, Operation::Update, Operation::Unmark, Operation::Mark, Operation::Delete];

/// Sends everything that may be sent now.
///
/// `read_at_ms` is, for each side the moment up to which all its changes have been read.
pub(super) async fn drain(run: &RunSetup, pair: &PairSetup, read_at_ms: [i64; 2]) -> Result<Drained, Error> {
    let mut drained = Drained::default();
    for operation in ORDER {
        for side in Side::BOTH {
            drained.add(drain_one(run, pair, side, operation, read_at_ms[side as usize]).await?);
        }
    }
    Ok(drained)
}

async fn drain_one(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    operation: Operation,
    read_at_ms: i64,
) -> Result<Drained, Error> {
    let mut drained = Drained::default();
    let (mut waited_ms, mut unanswered, mut broken, mut refused_alone) = (0, 0, 0, 0);
    let portion_max = portion_rows(pair.module(side).push_rows);
    let mut portion = portion_max;
    loop {
        let mut due = run.store.due_intents(run.tenant(), pair.id, side, operation, run.now_ms(), portion).await?;
        let found = due.len();
        due = give_up_on_hopeless(run, pair, due).await?;
        if !is_on(Sabotage::CreateWhatIsLinked) {
            due = leave_out_partnered(run, pair, due).await?;
        }
        if due.is_empty() && found > 0 {
            continue;
        }
        if due.is_empty() {
            match wait_for_due(run, pair, &mut waited_ms).await? {
                true => continue,
                false => return Ok(drained),
            }
        }
        if operation.is_about_leaving() {
            let absent = &mut drained.absent[side as usize];
            let (kept, again) = super::leaving::still_to_do(run, pair, side, due, absent).await?;
            (due, drained.again) = (kept, drained.again + again);
        } else if operation == Operation::Update {
            due = still_as_read(run, pair, side, due, &mut drained).await?;
        }
        if due.is_empty() {
            continue;
        }
        let halves = refused_alone < REFUSED_ROWS_MAX;
        let pushed = push(run, pair, side, &due, read_at_ms, halves, &mut drained).await?;
        super::call::renew(run).await?;
        if (pushed.broken || pushed.refused && halves) && due.len() > 1 && !is_on(Sabotage::PoisonStopsAll) {
            // I12: whichever row breaks the connector, or makes the CRM refuse the whole call, is found by halves, and the others go on.
            portion = due.len() / 2;
            continue;
        }
        refused_alone = if pushed.refused { refused_alone + 1 } else { 0 };
        broken = if pushed.broken { broken + 1 } else { 0 };
        if broken == BROKEN_ROWS_MAX {
            drained.alarms.push(format!("{}: the connector breaks on every write", run.side(side).connection));
            return Ok(drained);
        }
        portion = (portion * 2).min(portion_max);
        unanswered = if pushed.unanswered == due.len() { unanswered + 1 } else { 0 };
        if unanswered == UNANSWERED_PORTIONS_MAX {
            let connection = &run.side(side).connection;
            drained.alarms.push(format!("{connection}: no write is answered; the rest waits for the next run"));
            return Ok(drained);
        }
        // I12: a row that broke the connector has been put off by itself, and those behind it go on at once.
        let is_idle = pushed.ended == 0 && (!pushed.broken || is_on(Sabotage::PoisonIsIdle));
        let wait_ms = if is_idle { pushed.wait_ms.max(IDLE_PUSH_MS) } else { pushed.wait_ms };
        let done = drained.writes();
        run.progress.step(&format!("write to {}", run.side(side).connection), done, None);
        // A CRM that lets some writes through at a time is waited for as long as it does.
        waited_ms = if pushed.ended == 0 { waited_ms + wait_ms } else { wait_ms };
        if waited_ms > run.limits.wait_ms_max {
            return Ok(drained);
        }
        if wait_ms > 0 {
            run.progress.step(&format!("wait for {}", run.side(side).connection), done, None);
        }
        super::call::sleep(run, wait_ms).await?;
    }
}

/// Rows that are given to a connector at once, if its CRM takes so many in one call.
pub(super) fn portion_rows(push_rows: usize) -> usize {
    match push_rows {
        0 | 1 => SINGLE_ROW_PORTION,
        rows => rows,
    }
}

/// I13: an intent whose attempts are used up is given to a person instead of being sent once more.
async fn give_up_on_hopeless(run: &RunSetup, pair: &PairSetup, due: Vec<IntentRow>) -> Result<Vec<IntentRow>, Error> {
    // Where the CRM enforces our key a create may be repeated freely; without its key a late one would be taken for somebody else.
    let is_hopeless = |intent: &IntentRow| {
        let safe = intent.operation == Operation::Create && pair.module(intent.side).create_class == CreateClass::A;
        intent.attempts >= ATTEMPTS_MAX && !safe && !is_on(Sabotage::RetryForEver)
    };
    let (hopeless, kept): (Vec<_>, Vec<_>) = due.into_iter().partition(is_hopeless);
    let settlements = hopeless.iter().map(|intent| {
        let detail = format!("tried {} times without an answer", intent.attempts);
        let (kind, reason) = ("needs-attention", reason::ATTEMPTS_USED_UP.to_owned());
        Settlement::Refused { intent: intent.id, note: OutcomeNote { kind, reason, field: String::new(), detail } }
    });
    let settlements: Vec<_> = settlements.collect();
    if !settlements.is_empty() {
        run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    }
    Ok(kept)
}

/// I2: a create that was sent before and is known not to have happened is decided again if its source has a partner by now, whom a person
/// made. Where the CRM enforces our key nothing is known before it is sent once more.
async fn leave_out_partnered(run: &RunSetup, pair: &PairSetup, due: Vec<IntentRow>) -> Result<Vec<IntentRow>, Error> {
    let is_again = |intent: &IntentRow| {
        let is_known = pair.module(intent.side).create_class != CreateClass::A;
        intent.operation == Operation::Create && intent.attempts > 0 && is_known && !intent.body.undo
    };
    let again: Vec<&IntentRow> = due.iter().filter(|intent| is_again(intent)).collect();
    let Some(side) = again.first().map(|intent| intent.side.other()) else { return Ok(due) };
    let sources = again.iter().map(|intent| intent.source.clone()).collect();
    let partnered = run.store.partnered_records(run.tenant(), pair.id, side, sources).await?;
    let (over, kept): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|intent| is_again(intent) && partnered.contains(&intent.source));
    let settlements: Vec<_> =
        over.iter().map(|intent| Settlement::Withdraw { intent: intent.id, note: None, counts: false }).collect();
    if !settlements.is_empty() {
        run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    }
    Ok(kept)
}

/// Waits for the next intent that was put off, if that is soon enough.
async fn wait_for_due(run: &RunSetup, pair: &PairSetup, waited_ms: &mut i64) -> Result<bool, Error> {
    let Some(due_ms) = run.store.next_due_ms(run.tenant(), pair.id).await? else { return Ok(false) };
    let wait_ms = due_ms - run.now_ms();
    if wait_ms <= 0 || *waited_ms + wait_ms > run.limits.wait_ms_max {
        return Ok(false);
    }
    *waited_ms += wait_ms;
    super::call::sleep(run, wait_ms).await?;
    Ok(true)
}

/// S4: where a CRM has no conditional writes, records are read again right before they are written. Where it has, its condition only
/// knows changes after our last pull, and that pull may have staged an image that the decision never saw. Both ways the records that
/// show something newer than the decision go back to be decided.
async fn still_as_read(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    mut due: Vec<IntentRow>,
    drained: &mut Drained,
) -> Result<Vec<IntentRow>, Error> {
    let ids: Vec<String> = due.iter().map(|intent| intent.target.clone()).collect();
    let absent: BTreeSet<String> = if pair.module(side).conditional_updates || is_on(Sabotage::WriteUnread) {
        BTreeSet::new()
    } else {
        reread(run, pair, side, &ids).await?.into_iter().collect()
    };
    let mut changed = run.store.staged_records(run.tenant(), pair.id, side, ids).await?;
    leave_out_what_was_looked_at(run, pair, side, &mut due, &mut changed).await?;
    let mut kept = Vec::with_capacity(due.len());
    let mut settlements = Vec::new();
    for intent in due {
        if absent.contains(&intent.target) && !changed.contains(&intent.target) {
            // Rule 5: absence alone is no removal; the sweep of this run looks again and says what it is.
            drained.absent[side as usize].push(intent.target.clone());
            settlements.push(Settlement::Withdraw { intent: intent.id, note: Some(not_found()), counts: false });
        } else if changed.contains(&intent.target) {
            drained.again += 1;
            settlements.push(Settlement::Withdraw { intent: intent.id, note: None, counts: false });
        } else {
            kept.push(intent);
        }
    }
    run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    Ok(kept)
}

/// An undo has looked at what is staged: only what was staged anew since is news to it, and it writes over that very version.
pub(super) async fn leave_out_what_was_looked_at(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    due: &mut [IntentRow],
    changed: &mut BTreeSet<String>,
) -> Result<(), Error> {
    for intent in due.iter_mut().filter(|intent| intent.body.undo && intent.source_seq != 0) {
        let staged = run.store.inbox_record(run.tenant(), pair.id, side, &intent.target).await?;
        if let Some(row) = staged.filter(|row| row.seq == intent.source_seq) {
            changed.remove(&intent.target);
            intent.target_version = row.version;
        }
    }
    Ok(())
}
