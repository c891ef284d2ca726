//! Drains the outbox: intents leave in the CRM's own portions, each admitted before its first byte (rule 1), and what the CRM answers
//! is settled at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crmsync_core::decide::{Operation, reason};
use crmsync_core::retry::{ATTEMPTS_MAX, Next, after_fault};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{DeletePolicy, Fault, MappingRow, Side, Value};
use futures_util::future::BoxFuture;

use super::error::Error;
use super::remote::{CallError, CreateClass, PushOutcome, PushReport, PushRequest, PushRow, Receipt};
use super::setup::{PairSetup, RunSetup};
use super::stage::reread;
use crate::egress::Admissions;
use crate::store::{InboxRow, IntentRow, Lease, OutcomeNote, Settlement, Store, told_version};

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

    fn count(&mut self, side: Side, operation: Operation) {
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

fn not_found() -> OutcomeNote {
    OutcomeNote {
        kind: "waiting",
        reason: reason::NOT_FOUND.into(),
        field: String::new(),
        detail: "the record was not there when it was to be written; whether it was removed is looked into".into(),
    }
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

/// What one portion came to.
struct Pushed {
    /// Milliseconds that the CRM asks to wait.
    wait_ms: i64,
    /// Intents that are not simply to be sent again.
    ended: usize,
    /// Intents whose outcome nobody knows now.
    unanswered: usize,
    /// The connector broke down before anything had left.
    broken: bool,
    /// The CRM refused the call as a whole: it said the same of all rows, and nothing about one of them.
    refused: bool,
}

/// Sends one portion and settles it. A refusal of the whole call is no outcome of its rows if they are sent again by `halves`. Receipts
/// are stored before anything else is asked of the CRM, and a login that does not work any more is reported last: what was written must
/// never be forgotten.
async fn push(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    due: &[IntentRow],
    read_at_ms: i64,
    halves: bool,
    drained: &mut Drained,
) -> Result<Pushed, Error> {
    let fields = push_fields(pair, side);
    let request = PushRequest {
        module: pair.module(side).name.clone(),
        rows: due.iter().map(|intent| push_row(pair, side, &fields, intent)).collect(),
        fields: fields.clone(),
        automations: pair.automations,
        for_good: pair.policy.deletes == DeletePolicy::Delete && due.iter().all(super::leaving::goes_for_good),
        read_at_ms: (read_at_ms > 0 && pair.module(side).conditional_updates && !is_on(Sabotage::NoCondition))
            .then_some(read_at_ms),
    };
    let admitted = Arc::new(OutboxGate::new(run, due));
    let gate: Arc<dyn Admissions> = admitted.clone();
    let mut logged_out = false;
    let answer = super::call::with_lease(run, run.side(side).remote.push(request, gate)).await?;
    let admitted = admitted.admitted();
    let broken = admitted.is_empty() && matches!(answer, Err(CallError::Plugin(_)));
    let report = match answer {
        Ok(report) => report,
        Err(CallError::Plugin(why)) if broken && due.len() == 1 => {
            // I12: this row breaks the connector whatever comes with it. A few more attempts, in case it is not the row's doing.
            PushReport { outcomes: vec![PushOutcome::Failed(Fault::Transient(why))], wait_ms: 0 }
        }
        Err(error) => {
            logged_out = error == CallError::Fault(Fault::LoggedOut);
            let report = whole_call_failed(&error, due.len());
            if !broken && !matches!(error, CallError::Fault(Fault::RateLimited(_) | Fault::LoggedOut)) {
                drained.alarms.push(format!("{}: writing failed: {error}", run.side(side).connection));
            }
            report
        }
    };
    let refused = is_refused_whole(pair, side, &report.outcomes);
    if refused && halves && due.len() > 1 {
        let again =
            |intent: &IntentRow| Settlement::Again { intent: intent.id, not_before_ms: 0, attempts: intent.attempts };
        let settlements = due.iter().map(again).collect();
        run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
        return Ok(Pushed { wait_ms: 0, ended: 0, unanswered: 0, broken, refused });
    }
    let mut settlements = Vec::with_capacity(due.len());
    let (mut changed, mut withdrawals) = (Vec::new(), Vec::new());
    let mut untold = Vec::new();
    for (index, (intent, outcome)) in due.iter().zip(report.outcomes).enumerate() {
        let was_admitted = admitted.contains(&(index as u32));
        match outcome {
            PushOutcome::Stored(receipt) => {
                drained.count(side, intent.operation);
                if receipt.stored.is_none() && !receipt.existed && intent.operation != Operation::Delete {
                    untold.push(receipt.id.clone());
                }
                settlements.push(stored(pair, side, &fields, intent, receipt));
            }
            PushOutcome::NotSent if was_admitted => {
                settlements.push(Settlement::Unknown { intent: intent.id, detail: "no answer came".into() });
            }
            PushOutcome::NotSent => {
                let not_before_ms = run.now_ms() + report.wait_ms as i64;
                settlements.push(Settlement::Again { intent: intent.id, not_before_ms, attempts: intent.attempts });
            }
            // Seen a moment ago, and gone: somebody was faster.
            PushOutcome::Failed(Fault::Gone) if intent.operation == Operation::Delete => {
                settlements.push(Settlement::GoneAlready { intent: intent.id });
            }
            PushOutcome::Failed(fault) => {
                match fault {
                    Fault::Gone => drained.absent[side as usize].push(intent.target.clone()),
                    Fault::Changed => changed.push(intent.target.clone()),
                    Fault::LoggedOut => logged_out = true,
                    _ => {}
                }
                let settlement = failed(run, pair, intent, &fault, was_admitted);
                let list =
                    if matches!(settlement, Settlement::Withdraw { .. }) { &mut withdrawals } else { &mut settlements };
                list.push(settlement);
            }
        }
    }
    drained.again += withdrawals.len() as u64;
    let unanswered = settlements.iter().filter(|settlement| matches!(settlement, Settlement::Unknown { .. })).count();
    let ended = withdrawals.len()
        + settlements.iter().filter(|settlement| !matches!(settlement, Settlement::Again { .. })).count();
    run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    // S1: what a CRM made of our values is told by the first read whose version is the receipt's. Where the receipt does not tell, we read
    // at once: in whole seconds, an edit that follows ours within the same one could otherwise not be told from it.
    changed.extend(untold.iter().cloned());
    if !changed.is_empty() {
        reread(run, pair, side, &changed).await?;
    }
    take_receipts(run, pair, side, untold).await?;
    run.store.settle_intents(&run.lease, pair.id, run.run, withdrawals, run.now_ms()).await?;
    if logged_out {
        return Err(super::stage::failed(run, side, "write".into(), CallError::Fault(Fault::LoggedOut)));
    }
    Ok(Pushed { wait_ms: report.wait_ms as i64, ended, unanswered, broken, refused })
}

/// What was read right after our writes becomes what was agreed at once. Until it is decided, a later read may take its place in the inbox,
/// and a person who sets a field back to what it was before would then be taken for a CRM that did not keep our value.
async fn take_receipts(run: &RunSetup, pair: &PairSetup, side: Side, records: Vec<String>) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let rows = pair.mapping.rows.clone();
    let shown = move |read: &InboxRow| {
        let values = |row: &MappingRow| (row.key.0.clone(), super::view::values_of(&read.image, row, side));
        rows.iter().map(values).filter(|(_, values)| values.iter().all(Value::is_read)).collect()
    };
    Ok(run.store.take_receipts(&run.lease, pair.id, side, records, shown).await?)
}

/// Whether a CRM that takes many rows in one call refused all of them in the same words, which name no row.
fn is_refused_whole(pair: &PairSetup, side: Side, outcomes: &[PushOutcome]) -> bool {
    let refusal = |outcome: &PushOutcome| match outcome {
        PushOutcome::Failed(fault @ (Fault::Other { .. } | Fault::Unsupported(_))) => Some(fault.clone()),
        _ => None,
    };
    let Some(first) = outcomes.first().and_then(refusal) else { return false };
    pair.module(side).push_rows > 1 && outcomes.iter().all(|outcome| refusal(outcome).as_ref() == Some(&first))
}

/// A call that failed as a whole: rows that were admitted are unknown, the others were not sent.
fn whole_call_failed(error: &CallError, rows: usize) -> PushReport {
    let wait_ms = match error {
        CallError::Fault(Fault::RateLimited(wait_ms)) => *wait_ms,
        _ => 0,
    };
    PushReport { outcomes: vec![PushOutcome::NotSent; rows], wait_ms }
}

/// The fields of a push are those of a pull, so that what the CRM says it stored can stand as the record's base.
fn push_fields(pair: &PairSetup, side: Side) -> Vec<(String, u8)> {
    let mapped = pair.mapping.fields(side);
    pair.read_fields(side)
        .into_iter()
        .map(|name| {
            let mark = pair.mark(side).filter(|mark| mark.field == name).map_or(2, |mark| mark.kind);
            let kind = mapped.iter().find(|field| field.name == name).map_or(mark, |field| field.kind);
            (name, kind)
        })
        .collect()
}

fn push_row(pair: &PairSetup, side: Side, fields: &[(String, u8)], intent: &IntentRow) -> PushRow {
    let mut values: HashMap<&str, &Value> = HashMap::new();
    for change in &intent.body.rows {
        if let Some(row) = pair.mapping.rows.iter().find(|row| row.key.0 == change.row) {
            for (field, value) in row.fields(side).iter().zip(&change.after) {
                values.insert(&field.name, value);
            }
        }
    }
    if let Some(mark) = intent.body.leaving.as_ref().and_then(|leaving| leaving.field.as_ref()) {
        values.insert(&mark.name, &mark.after);
    }
    PushRow {
        operation: intent.operation,
        id: intent.target.clone(),
        version: told_version(&intent.target_version).to_owned(),
        key: if is_on(Sabotage::CreateWithoutKey) { String::new() } else { intent.create_key.clone() },
        values: fields
            .iter()
            .map(|(name, _)| values.get(name.as_str()).map_or(Value::Absent, |value| (*value).clone()))
            .collect(),
    }
}

fn stored(pair: &PairSetup, side: Side, fields: &[(String, u8)], intent: &IntentRow, receipt: Receipt) -> Settlement {
    // A create that met its own earlier attempt: somebody may have edited the record since, so nothing of the answer is taken for
    // what the CRM made of our values.
    if receipt.existed {
        return Settlement::Stored {
            intent: intent.id,
            record: receipt.id,
            version: String::new(),
            shown: BTreeMap::new(),
            told: false,
        };
    }
    let told = receipt.stored.is_some();
    let image: BTreeMap<String, Value> = match receipt.stored {
        Some(values) => {
            fields.iter().map(|(name, _)| name.clone()).zip(values).filter(|(_, value)| value.is_read()).collect()
        }
        None => BTreeMap::new(),
    };
    Settlement::Stored {
        intent: intent.id,
        record: receipt.id,
        version: receipt.version,
        shown: shown_rows(pair, side, &image),
        told,
    }
}

/// The mapping rows that an image shows wholly.
fn shown_rows(pair: &PairSetup, side: Side, image: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<Value>> {
    let rows = pair.mapping.rows.iter().map(|row| (row.key.0.clone(), super::view::values_of(image, row, side)));
    rows.filter(|(_, values)| values.iter().all(Value::is_read)).collect()
}

fn failed(run: &RunSetup, pair: &PairSetup, intent: &IntentRow, fault: &Fault, was_admitted: bool) -> Settlement {
    let id = intent.id;
    let attempts = intent.attempts + 1;
    match after_fault(fault, attempts, run.now_ms()) {
        Next::RetryAt(not_before_ms) => {
            let attempts = if matches!(fault, Fault::RateLimited(_)) { intent.attempts } else { attempts };
            Settlement::Again { intent: id, not_before_ms, attempts }
        }
        Next::DecideAgain => Settlement::Withdraw { intent: id, note: None, counts: false },
        // Rule 5: a CRM says so of records that it only hides, too; the run looks again and says what it is.
        Next::Drop => Settlement::Withdraw { intent: id, note: Some(not_found()), counts: false },
        Next::FindOut if was_admitted => Settlement::Unknown { intent: id, detail: fault.to_string() },
        // Nothing was done, neither by a request that never left nor behind a door that is shut.
        Next::FindOut | Next::PauseConnection => {
            Settlement::Again { intent: id, not_before_ms: run.now_ms(), attempts: intent.attempts }
        }
        Next::Park => {
            let why = match fault {
                Fault::Duplicate(_) => reason::DUPLICATE_VALUE,
                Fault::Transient(_) => reason::ATTEMPTS_USED_UP,
                _ => reason::REFUSED,
            };
            let field = match fault {
                Fault::Rejected { field: Some(field), .. } => field.clone(),
                _ => String::new(),
            };
            let note = |kind, field| OutcomeNote { kind, reason: why.into(), field, detail: fault.to_string() };
            match row_to_leave_out(pair, intent, &field) {
                Some(row) => {
                    let note = note("left-out", row.clone());
                    Settlement::LeaveOut { intent: id, row, note, attempts: intent.attempts }
                }
                None => Settlement::Refused { intent: id, note: note("needs-attention", field) },
            }
        }
    }
}

/// The mapping row of a field that the CRM refused, if the record can do without it: others are written as well, and a create does not
/// demand it.
fn row_to_leave_out(pair: &PairSetup, intent: &IntentRow, field: &str) -> Option<String> {
    let row = pair.mapping.rows.iter().find(|row| {
        intent.body.rows.iter().any(|change| change.row == row.key.0)
            && row.fields(intent.side).iter().any(|known| known.name == field)
    })?;
    let demanded = row.fields(intent.side).iter().any(|field| field.mandatory);
    let needed = intent.body.rows.len() == 1 || (demanded && intent.operation == Operation::Create);
    (!needed).then(|| row.key.0.clone())
}

/// Rule 1 at the gate: rows of a push are marked as admitted, on disk, before their request leaves.
struct OutboxGate {
    store: Store,
    lease: Lease,
    intents: Vec<i64>,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    admitted: Mutex<BTreeSet<u32>>,
}

impl OutboxGate {
    fn new(run: &RunSetup, due: &[IntentRow]) -> OutboxGate {
        OutboxGate {
            store: run.store.clone(),
            lease: run.lease.clone(),
            intents: due.iter().map(|intent| intent.id).collect(),
            clock: run.clock.clone(),
            admitted: Mutex::new(BTreeSet::new()),
        }
    }

    fn admitted(&self) -> BTreeSet<u32> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Admissions for OutboxGate {
    fn admit<'a>(&'a self, rows: &'a [u32]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let ids: Option<Vec<i64>> = rows.iter().map(|&row| self.intents.get(row as usize).copied()).collect();
            let ids = ids.ok_or_else(|| "the request names a row that the push does not have".to_owned())?;
            if ids.is_empty() {
                return Err("a write that names no row".to_owned());
            }
            self.store.admit_intents(&self.lease, ids, (self.clock)()).await.map_err(|error| error.to_string())?;
            self.admitted.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
            Ok(())
        })
    }

    fn retract(&self, rows: &[u32]) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            admitted.remove(row);
        }
    }
}
