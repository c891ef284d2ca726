//! Deletes that travel: how many may go without consent, what is looked at once more before one is sent, and what is left to do of one.

use std::collections::BTreeSet;

use crmsync_core::decide::{Decision, Operation, Verdict, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{DeletePolicy, Presence, RemovalReason, Side, Value};

use super::error::Error;
use super::setup::{PairSetup, RunSetup};
use super::stage::{reread, reread_whole};
use crate::store::{IntentRow, Leaving, MarkField, OutcomeNote, PresenceWord, Settlement, StagedPage, UnitRow};

/// What deletes mean in one walk through the inbox.
pub(super) struct Weighed {
    /// The flow's choice, or [`DeletePolicy::Hold`].
    pub(super) deletes: DeletePolicy,
    /// Sides whose removals are held.
    pub(super) held: [bool; 2],
    /// What people should know.
    pub(super) alarm: Option<String>,
}

/// Holds the removals that wait in the inbox against the safety stop and people's consent. `done` have been carried out in this run.
pub(super) async fn weigh(run: &RunSetup, pair: &PairSetup, done: u64) -> Result<Weighed, Error> {
    let deletes = pair.policy.deletes;
    let free = |deletes| Weighed { deletes, held: [false; 2], alarm: None };
    run.store.stage_held_removals(&run.lease, pair.id).await?;
    if !deletes.writes() {
        return Ok(free(deletes));
    }
    let (mut waiting, mut known, mut most) = ([0; 2], [0; 2], u64::MAX);
    for side in Side::BOTH.into_iter().filter(|side| pair.policy.direction.writes(side.other())) {
        waiting[side as usize] = run.store.removal_count(run.tenant(), pair.id, side).await?;
        known[side as usize] = run.store.known_records(run.tenant(), pair.id, side).await?;
        if waiting[side as usize] > 0 {
            most = most.min(run.limits.safety_stop().most(known[side as usize]));
        }
    }
    if waiting.iter().sum::<u64>() + done <= most {
        return Ok(free(deletes));
    }
    let mut weighed = Weighed { deletes: DeletePolicy::Hold, ..free(deletes) };
    let mut told = Vec::new();
    for side in Side::BOTH.into_iter().filter(|&side| waiting[side as usize] > 0) {
        let (waiting, known) = (waiting[side as usize], known[side as usize]);
        let held = run.store.held_of(run.tenant(), pair.id, side).await?;
        if held.is_some_and(|held| held.covers(waiting, run.now_ms())) {
            continue;
        }
        weighed.held[side as usize] = true;
        run.store.hold_removals(&run.lease, pair.id, side, waiting, known, run.now_ms()).await?;
        let (connection, other) = (&run.side(side).connection, &run.side(side.other()).connection);
        told.push(format!(
            "{connection}: {waiting} of {known} {} were deleted: the safety stop holds, nothing of it is done in {other}; {}",
            pair.module(side).name,
            how_to_consent(run)
        ));
    }
    if told.is_empty() {
        return Ok(free(deletes));
    }
    weighed.alarm = Some(told.join("; "));
    Ok(weighed)
}

/// What people do if what the safety stop holds is right.
pub(super) fn how_to_consent(run: &RunSetup) -> String {
    format!("if that is right: crmsync flow approve {} --deletes", run.lease.flow)
}

/// Reads the other records of those that left, so that the decision knows what they show now, wholly; and the marked ones of those
/// that came back.
pub(super) async fn look_at_survivors(run: &RunSetup, pair: &PairSetup, deletes: DeletePolicy) -> Result<(), Error> {
    for side in Side::BOTH {
        let mut ids = run.store.marked_and_back(run.tenant(), pair.id, side.other()).await?;
        if deletes.writes() {
            ids.extend(run.store.survivors(run.tenant(), pair.id, side).await?);
        }
        reread_whole(run, pair, side.other(), &ids).await?;
    }
    Ok(())
}

/// Right before a delete or mark is sent: the record that it is for must still be gone, and the one that it is about must show nothing
/// that the decision did not see (S4, S14). A delete whose record is gone already is done. Gives what may be sent.
pub(super) async fn still_to_do(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    due: Vec<IntentRow>,
    absent: &mut Vec<String>,
) -> Result<(Vec<IntentRow>, u64), Error> {
    let sources = look_at_sources(run, pair, side.other(), &due).await?;
    // Last of all, as no CRM makes a delete conditional: what is edited after this read goes with its record.
    let targets: Vec<String> = due.iter().map(|intent| intent.target.clone()).collect();
    let gone: BTreeSet<String> = reread(run, pair, side, &targets).await?.into_iter().collect();
    let changed = run.store.staged_records(run.tenant(), pair.id, side, targets).await?;
    // Where the login may see less than before, what is not there may be hidden only.
    let is_hidden = !gone.is_empty() && super::call::visible_scope(run, side).await? != run.side(side).scope_at_login;
    let (mut kept, mut settlements, mut again) = (Vec::with_capacity(due.len()), Vec::new(), 0);
    for intent in due {
        if (changed.contains(&intent.target) && !is_on(Sabotage::DeleteWhatCameBack))
            || (!sources.left.contains(&intent.source) && !is_on(Sabotage::DeleteWhatCameBack))
        {
            again += 1;
            settlements.push(Settlement::Withdraw { intent: intent.id, note: None, counts: false });
        } else if !gone.contains(&intent.target) {
            kept.push(intent);
        } else if intent.operation == Operation::Delete && !is_hidden {
            settlements.push(Settlement::GoneAlready { intent: intent.id });
        } else {
            absent.push(intent.target.clone());
            settlements.push(Settlement::Withdraw { intent: intent.id, note: Some(not_found()), counts: false });
        }
    }
    run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    if !sources.explained.is_empty() {
        let page = StagedPage { live: vec![], removed: sources.explained, whole: false, cursor: None };
        run.store.stage_page(&run.lease, pair.id, side.other(), page).await?;
    }
    Ok((kept, again))
}

/// The records that deletes and marks are for, looked at once more.
struct Sources {
    /// Those that still count as deleted; of the end of a mark those that it is for.
    left: BTreeSet<String>,
    /// Those that are not there for another reason than a delete.
    explained: Vec<(String, RemovalReason)>,
}

async fn look_at_sources(run: &RunSetup, pair: &PairSetup, source: Side, due: &[IntentRow]) -> Result<Sources, Error> {
    let (back, gone): (Vec<&IntentRow>, _) = due.iter().partition(|intent| intent.operation == Operation::Unmark);
    let ids: Vec<String> = gone.iter().map(|intent| intent.source.clone()).collect();
    // Those that came back are staged as what they show.
    let absent = reread_whole(run, pair, source, &ids).await?;
    let is_delete = |why: RemovalReason| matches!(why, RemovalReason::Deleted | RemovalReason::Unknown);
    let (deleted, explained): (Vec<_>, Vec<_>) = absent.into_iter().partition(|(_, why)| is_delete(*why));
    let deleted = deleted.into_iter().map(|(id, _)| id);
    Ok(Sources { left: deleted.chain(back.into_iter().map(|intent| intent.source.clone())).collect(), explained })
}

/// What became of deletes and marks that nobody answered: a delete has happened if its record is gone. Else they are decided again.
pub(super) async fn find_out(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    intents: &[IntentRow],
) -> Result<Vec<Settlement>, Error> {
    let ids: Vec<String> = intents.iter().map(|intent| intent.target.clone()).collect();
    let gone: BTreeSet<String> = reread(run, pair, side, &ids).await?.into_iter().collect();
    let settlements = intents.iter().map(|intent| match intent.operation {
        Operation::Delete if gone.contains(&intent.target) => Settlement::GoneAlready { intent: intent.id },
        _ => Settlement::Withdraw { intent: intent.id, note: None, counts: true },
    });
    Ok(settlements.collect())
}

fn not_found() -> OutcomeNote {
    OutcomeNote {
        kind: "waiting",
        reason: reason::NOT_FOUND.into(),
        field: String::new(),
        detail: "the record was not there when it was to be written; whether it was removed is looked into".into(),
    }
}

/// Takes out of a decision what stands already: a mark that is there, a mark that a person has replaced.
pub(super) fn leave_out_what_stands(pair: &PairSetup, unit: &UnitRow, decision: &mut Decision) {
    decision.writes.retain(|write| {
        if !matches!(write.operation, Operation::Mark | Operation::Unmark) {
            return true;
        }
        let Some(mark) = pair.mark(write.side) else { return false };
        match shown_mark(pair, unit, write.side) {
            Some(shown) => (*shown == mark.value) == (write.operation == Operation::Unmark),
            // It was not read again: what we wrote last stands, and right before the write it is looked at once more.
            None => true,
        }
    });
    if decision.writes.is_empty() && decision.verdict == Verdict::Write {
        decision.verdict = Verdict::Unchanged;
    }
}

/// What the mark's field shows now, if the record was read.
fn shown_mark<'a>(pair: &PairSetup, unit: &'a UnitRow, side: Side) -> Option<&'a Value> {
    let row = unit.side(side).filter(|row| row.presence == PresenceWord::Live)?;
    row.image.get(&pair.mark(side)?.field)
}

/// What a write about a leaving record carries.
pub(super) fn leaving(
    run: &RunSetup,
    pair: &PairSetup,
    unit: &UnitRow,
    presence: Presence,
    side: Side,
    operation: Operation,
) -> Leaving {
    let why = match presence {
        Presence::Removed(why) => why.as_str(),
        _ => "",
    };
    let connection = &run.side(side.other()).connection;
    let told = if why.is_empty() { format!("{connection}: back again") } else { format!("{connection}: {why}") };
    let shown = || shown_mark(pair, unit, side).cloned().unwrap_or(Value::Empty);
    let field = pair.mark(side).filter(|_| operation != Operation::Delete).map(|mark| {
        let former = unit.link.as_ref().and_then(|link| link.marked.as_ref()).map(|mark| mark.before.clone());
        let (before, after) = match operation {
            Operation::Mark => (shown(), mark.value.clone()),
            _ => (mark.value.clone(), former.filter(Value::is_read).unwrap_or(Value::Empty)),
        };
        MarkField { name: mark.field.clone(), before, after }
    });
    Leaving { why: why.to_owned(), told, field }
}
