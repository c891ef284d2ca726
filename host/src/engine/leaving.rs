//! Records that leave their CRM or the filter: how many may go without consent, what is looked at once more before one is sent, and
//! what is left to do of one.

use std::collections::BTreeSet;

use crmsync_core::decide::{Decision, Operation, Verdict, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Away, Filter, LeavePolicy, Presence, RemovalReason, Side, Value};

use super::apply::leave_out_what_was_looked_at;
use super::error::Error;
use super::setup::{PairSetup, RunSetup};
use super::stage::{reread, reread_whole};
use crate::store::{
    InboxRow, IntentRow, Leaving, LinkRow, MarkField, OutcomeNote, PresenceWord, Settlement, StagedPage, UnitRow,
};

/// What the safety stop says in one walk through the inbox.
#[derive(Default)]
pub(super) struct Weighed {
    /// What would leave waits for consent.
    pub(super) hold: bool,
    /// Sides whose records left and wait.
    pub(super) held: [bool; 2],
    /// What people should know.
    pub(super) alarm: Option<String>,
}

/// Records of one side that left, and for which something would be written on the other one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    removed: u64,
    left_filter: u64,
    asked: u64,
}

impl Waiting {
    pub(super) fn all(self) -> u64 {
        self.removed + self.left_filter + self.asked
    }

    fn told(self) -> String {
        let parts =
            [(self.removed, "deleted"), (self.left_filter, "left the filter"), (self.asked, "to be deleted, too")];
        match self {
            Waiting { removed, left_filter: 0, asked: 0 } if removed > 0 => "were deleted".to_owned(),
            _ => {
                let parts = parts.into_iter().filter(|(count, _)| *count > 0);
                let told: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
                format!("left ({})", told.join(", "))
            }
        }
    }
}

/// How many records of one side left and wait to be decided about.
pub(super) async fn waiting(run: &RunSetup, pair: &PairSetup, side: Side) -> Result<Waiting, Error> {
    let mut waiting = Waiting::default();
    if !pair.policy.direction.writes(side.other()) {
        return Ok(waiting);
    }
    if pair.policy.deletes.writes() {
        waiting.removed = run.store.removal_count(run.tenant(), pair.id, side).await?;
    }
    waiting.asked = run.store.asked_count(run.tenant(), pair.id, side).await?;
    let filter = pair.filters[side as usize].as_ref();
    let Some(filter) = filter.filter(|_| pair.policy.when_it_leaves != LeavePolicy::StopUpdating) else {
        return Ok(waiting);
    };
    let mut after = 0;
    loop {
        let rows = run.store.unmarked_linked(run.tenant(), pair.id, side, after, run.limits.portion_rows).await?;
        let Some(last) = rows.last() else { return Ok(waiting) };
        after = last.seq;
        waiting.left_filter += rows.iter().filter(|row| is_outside(filter, row)).count() as u64;
    }
}

/// Holds the records that left, and wait in the inbox, against the safety stop and people's consent. `done` have been carried out in
/// this run.
pub(super) async fn weigh(run: &RunSetup, pair: &PairSetup, done: u64) -> Result<Weighed, Error> {
    run.store.stage_held_removals(&run.lease, pair.id).await?;
    let (mut left, mut known, mut most) = ([Waiting::default(); 2], [0; 2], u64::MAX);
    for side in Side::BOTH {
        left[side as usize] = waiting(run, pair, side).await?;
        if left[side as usize].all() > 0 {
            known[side as usize] = run.store.known_records(run.tenant(), pair.id, side).await?;
            most = most.min(run.limits.safety_stop().most(known[side as usize]));
        }
    }
    if left.iter().map(|left| left.all()).sum::<u64>() + done <= most {
        return Ok(Weighed::default());
    }
    let mut weighed = Weighed { hold: true, ..Weighed::default() };
    let mut told = Vec::new();
    for side in Side::BOTH.into_iter().filter(|&side| left[side as usize].all() > 0) {
        let (left, known) = (left[side as usize], known[side as usize]);
        let waiting = left.all();
        let held = run.store.held_of(run.tenant(), pair.id, side).await?;
        if held.is_some_and(|held| held.covers(waiting, run.now_ms())) {
            continue;
        }
        weighed.held[side as usize] = true;
        run.store.hold_removals(&run.lease, pair.id, side, waiting, known, run.now_ms()).await?;
        let (connection, other) = (&run.side(side).connection, &run.side(side.other()).connection);
        told.push(format!(
            "{connection}: {waiting} of {known} {} {}: the safety stop holds, nothing of it is done in {other}; {}",
            pair.module(side).name,
            left.told(),
            how_to_consent(run)
        ));
    }
    if told.is_empty() {
        return Ok(Weighed::default());
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
pub(super) async fn look_at_survivors(run: &RunSetup, pair: &PairSetup, hold: bool) -> Result<(), Error> {
    for side in Side::BOTH {
        let mut ids = run.store.marked_and_back(run.tenant(), pair.id, side.other()).await?;
        if pair.policy.deletes.writes() && !hold {
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
    mut due: Vec<IntentRow>,
    absent: &mut Vec<String>,
) -> Result<(Vec<IntentRow>, u64), Error> {
    let sources = look_at_sources(run, pair, side.other(), &due).await?;
    // Last of all, as no CRM makes a delete conditional: what is edited after this read goes with its record.
    let targets: Vec<String> = due.iter().map(|intent| intent.target.clone()).collect();
    let gone: BTreeSet<String> = reread(run, pair, side, &targets).await?.into_iter().collect();
    let mut changed = run.store.staged_records(run.tenant(), pair.id, side, targets).await?;
    leave_out_what_was_looked_at(run, pair, side, &mut due, &mut changed).await?;
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
    /// Those that still count as deleted; of the end of a mark, and of what is taken back, those that it is for.
    left: BTreeSet<String>,
    /// Those that are not there for another reason than a delete.
    explained: Vec<(String, RemovalReason)>,
}

async fn look_at_sources(run: &RunSetup, pair: &PairSetup, source: Side, due: &[IntentRow]) -> Result<Sources, Error> {
    // What is taken back is so whatever became of the other record.
    let stands = |intent: &&IntentRow| intent.operation == Operation::Unmark || intent.body.undo;
    let (back, gone): (Vec<&IntentRow>, _) = due.iter().partition(stands);
    let why = |intent: &IntentRow| intent.body.leaving.as_ref().map_or("", |leaving| leaving.why.as_str()).to_owned();
    let (left_filter, gone): (Vec<&IntentRow>, _) = gone.into_iter().partition(|it| why(it) == reason::LEFT_FILTER);
    let asked: BTreeSet<&str> = gone.iter().filter(|it| is_asked(it)).map(|it| it.source.as_str()).collect();
    let ids: Vec<String> = gone.iter().map(|intent| intent.source.clone()).collect();
    // Those that came back are staged as what they show.
    let absent = reread_whole(run, pair, source, &ids).await?;
    let is_delete = |why: RemovalReason| matches!(why, RemovalReason::Deleted | RemovalReason::Unknown);
    // Who said that the other record goes as well knew why this one is away.
    let (deleted, explained): (Vec<_>, Vec<_>) =
        absent.into_iter().partition(|(id, why)| is_delete(*why) || asked.contains(id.as_str()));
    let mut left: BTreeSet<String> = deleted.into_iter().map(|(id, _)| id).collect();
    left.extend(back.into_iter().map(|intent| intent.source.clone()));
    left.extend(still_outside(run, pair, source, &left_filter).await?);
    Ok(Sources { left, explained })
}

/// Whether a delete is one that the flow's own words about deletes are for. What people take back or say of single records, and what
/// left the filter, goes to the bin.
pub(super) fn goes_for_good(intent: &IntentRow) -> bool {
    let leaving = intent.body.leaving.as_ref();
    !intent.body.undo && leaving.is_some_and(|leaving| !leaving.asked && leaving.why != reason::LEFT_FILTER)
}

fn is_asked(intent: &IntentRow) -> bool {
    intent.body.leaving.as_ref().is_some_and(|leaving| leaving.asked)
}

/// Records that left the filter and show nothing new since: an edit may have brought them back into it.
async fn still_outside(
    run: &RunSetup,
    pair: &PairSetup,
    source: Side,
    due: &[&IntentRow],
) -> Result<BTreeSet<String>, Error> {
    let ids: Vec<String> = due.iter().map(|intent| intent.source.clone()).collect();
    let absent: BTreeSet<String> = reread(run, pair, source, &ids).await?.into_iter().collect();
    let changed = run.store.staged_records(run.tenant(), pair.id, source, ids.clone()).await?;
    Ok(ids.into_iter().filter(|id| !absent.contains(id) && !changed.contains(id)).collect())
}

/// Whether the filter of its side does not mean a record.
pub(super) fn is_outside(filter: &Filter, row: &InboxRow) -> bool {
    let value_of = |field: &str| row.image.get(field).cloned().unwrap_or(Value::Absent);
    filter.holds(&value_of) == Some(false)
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
            // It was not read again, so what we wrote last stands: it was marked for an earlier time that the other one left, perhaps, and
            // the other one did not stay for long.
            None => {
                // A mark that nobody answered may not be there: the record is read before it is sent once more.
                let stands = |link: &LinkRow| {
                    let is_known = !link.version_of(write.side).is_empty() || is_on(Sabotage::DoubtedMarkStands);
                    link.mark_on(write.side).is_some() && is_known
                };
                write.operation == Operation::Unmark || !unit.link.as_ref().is_some_and(stands)
            }
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
    let connection = &run.side(side.other()).connection;
    let (why, told) = match presence {
        Presence::Removed(why) => (why.as_str(), format!("{connection}: {}", why.as_str())),
        Presence::Away(Away::Kept(why)) => {
            (why.as_str(), format!("{connection}: {}; a person said that this one goes, too", why.as_str()))
        }
        _ if operation == Operation::Unmark => ("", format!("{connection}: back again")),
        _ => (reason::LEFT_FILTER, format!("{connection}: it left the filter")),
    };
    let shown = || shown_mark(pair, unit, side).cloned().unwrap_or(Value::Empty);
    let field = pair.mark(side).filter(|_| operation != Operation::Delete).map(|mark| {
        let former = unit.link.as_ref().and_then(|link| link.mark_on(side)).map(|mark| mark.before.clone());
        let (before, after) = match operation {
            Operation::Mark => (shown(), mark.value.clone()),
            _ => (mark.value.clone(), former.filter(Value::is_read).unwrap_or(Value::Empty)),
        };
        MarkField { name: mark.field.clone(), before, after }
    });
    Leaving { why: why.to_owned(), told, field, asked: matches!(presence, Presence::Away(_)) }
}
