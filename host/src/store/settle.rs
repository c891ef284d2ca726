//! What became of an intent, as one step: the written side's base, the journal line, outcomes, and the end of the intent (rules 3 and 7).

use std::collections::BTreeMap;

use crmsync_core::decide::{Operation, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Away, Base, RemovalReason, Side, Value};

use super::decisions::{OutcomeNote, add_outcome, forget_outcomes};
use super::driver::to_json;
use super::journal::{JournalLine, write_journal};
use super::leaving::{Done, doubt_mark, settle_leaving};
use super::links::{LinkRow, find_link, link_by_id, save_link};
use super::outbox::{IntentBody, IntentRow, RowChange, Settlement, load_intent};
use super::staging::told_version;
use super::staging::{InboxRow, inbox_row, touch};
use super::{Error, Lease, PairId, Store, Tx};

/// Settles one intent.
pub(super) fn settle(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    settlement: Settlement,
    now_ms: i64,
) -> Result<(), Error> {
    let id = match &settlement {
        Settlement::Stored { intent, .. }
        | Settlement::GoneAlready { intent }
        | Settlement::Again { intent, .. }
        | Settlement::Withdraw { intent, .. }
        | Settlement::Unknown { intent, .. }
        | Settlement::LeaveOut { intent, .. }
        | Settlement::Refused { intent, .. }
        | Settlement::Parked { intent, .. } => *intent,
    };
    // Settled already: an arrived create may be found by two ways in one run.
    let Some(intent) = load_intent(tx, id)? else { return Ok(()) };
    match settlement {
        Settlement::Stored { record, version, shown, told, .. } => {
            let answer = Stored { record, version, shown, told };
            match intent.operation {
                Operation::Create => settle_create(tx, lease, pair, run, &intent, &answer, now_ms)?,
                Operation::Update => settle_update(tx, lease, pair, run, &intent, &answer, now_ms)?,
                Operation::Mark | Operation::Unmark | Operation::Delete => {
                    let (version, awaited) = (answer.version.as_str(), answer.awaited());
                    let done = Done { version, awaited, gone_already: false };
                    settle_leaving(tx, lease, pair, run, &intent, &done, now_ms)?;
                }
            }
            end_intent(tx, id)
        }
        Settlement::GoneAlready { .. } => {
            let done = Done { version: "", awaited: "", gone_already: true };
            settle_leaving(tx, lease, pair, run, &intent, &done, now_ms)?;
            end_intent(tx, id)
        }
        Settlement::Again { not_before_ms, attempts, .. } => {
            tx.execute(
                "UPDATE intent SET state = 'planned', not_before_ms = ?2, attempts = ?3 WHERE id = ?1",
                (id, not_before_ms, attempts),
            )?;
            Ok(())
        }
        Settlement::Withdraw { note, counts, .. } => {
            if let Some(note) = note {
                let (side, record) = outcome_place(tx, &intent)?;
                add_outcome(tx, lease, pair, run, side, &record, &note, now_ms)?;
            }
            withdraw(tx, lease, pair, &intent, counts)
        }
        Settlement::Unknown { detail, .. } => {
            tx.execute("UPDATE intent SET state = 'unknown', detail = ?2 WHERE id = ?1", (id, &detail))?;
            match intent.operation {
                Operation::Create => {}
                Operation::Update => doubt_update(tx, &lease.tenant, pair, &intent)?,
                Operation::Mark | Operation::Unmark | Operation::Delete => {
                    doubt_mark(tx, &lease.tenant, pair, &intent)?
                }
            }
            if intent.body.undo && !intent.body.settle && intent.operation == Operation::Update {
                let (_, left_id) = outcome_place(tx, &intent)?;
                note_undone(tx, lease, pair, run, &intent, &left_id, now_ms)?;
            }
            if is_on(Sabotage::UnansweredIsUnlogged) {
                return Ok(());
            }
            write_journal(tx, lease, pair, run, &line(&intent, "unknown", &intent.target, &detail), now_ms)
        }
        Settlement::LeaveOut { row, note, attempts, .. } => {
            leave_out(tx, lease, pair, run, IntentRow { attempts, ..intent }, &row, &note, now_ms)
        }
        Settlement::Refused { note, .. } => {
            refuse(tx, lease, pair, run, &intent, &note, now_ms)?;
            end_intent(tx, id)
        }
        Settlement::Parked { note, candidates, .. } => {
            let body = to_json("intent", &IntentBody { candidates, ..intent.body.clone() })?;
            tx.execute(
                "UPDATE intent SET state = 'parked', reason = ?2, detail = ?3, body = ?4 WHERE id = ?1",
                (id, &note.reason, &note.detail, &body),
            )?;
            let (side, record) = outcome_place(tx, &intent)?;
            add_outcome(tx, lease, pair, run, side, &record, &note, now_ms)?;
            write_journal(tx, lease, pair, run, &line(&intent, "parked", &intent.target, &note.detail), now_ms)
        }
    }
}

impl Store {
    /// S1: the first read whose version is the receipt's tells what the CRM made of our values. `shown` gives what a staged record shows, by
    /// mapping row; a record that is not staged at that version is left as it is.
    pub async fn take_receipts(
        &self,
        lease: &Lease,
        pair: PairId,
        side: Side,
        records: Vec<String>,
        shown: impl Fn(&InboxRow) -> BTreeMap<String, Vec<Value>> + Send + 'static,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            for record in &records {
                let link = find_link(tx, &lease.tenant, pair, side, record)?;
                let read = inbox_row(tx, &lease.tenant, pair, side, record)?;
                let (Some(mut link), Some(read)) = (link, read) else { continue };
                if link.receipt_of(side).is_empty() || link.receipt_of(side) != told_version(&read.version) {
                    continue;
                }
                for (row, values) in shown(&read) {
                    let base = link.bases.get_mut(&row).and_then(|bases| bases.side_mut(side).as_mut());
                    if let Some(base) = base.filter(|base| base.awaits_receipt()) {
                        *base = Base::shown(base.row_hash, values);
                    }
                }
                // The link is there, so the time of its beginning is not written.
                save_link(tx, &lease.tenant, pair, &link, 0)?;
            }
            Ok(())
        })
        .await
    }
}

/// What the CRM answered to a write that happened.
struct Stored {
    record: String,
    version: String,
    shown: BTreeMap<String, Vec<Value>>,
    told: bool,
}

impl Stored {
    /// The written side's base after the write (S1).
    fn base(&self, change: &RowChange) -> Base {
        match self.shown.get(&change.row) {
            Some(values) => Base::shown(change.hash, values.clone()),
            None => Base::written(change.hash, change.before.clone(), change.after.clone()),
        }
    }

    /// Whether it shows something in rows that were not written which their bases do not know.
    fn shows_news(&self, intent: &IntentRow, link: &LinkRow) -> bool {
        let unwritten = self.shown.iter().filter(|(row, _)| !intent.body.rows.iter().any(|change| change.row == **row));
        unwritten.into_iter().any(|(row, shown)| {
            let base = link.bases.get(row).and_then(|bases| bases.side(intent.side).as_ref());
            base.is_some_and(|base| base.values != *shown)
        })
    }

    /// The version whose first pull tells what the CRM made of our values; "" if we know already.
    fn awaited(&self) -> &str {
        if self.told { "" } else { &self.version }
    }
}

fn settle_create(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    answer: &Stored,
    now_ms: i64,
) -> Result<(), Error> {
    if let Some(taken) = link_in_the_way(tx, &lease.tenant, pair, intent, &answer.record)? {
        return give_to_a_person(tx, lease, pair, run, intent, &answer.record, &taken, now_ms);
    }
    let mut link = match intent.side {
        Side::Right => LinkRow::new(&intent.source, &answer.record),
        Side::Left => LinkRow::new(&answer.record, &intent.source),
    };
    link.create_key.clone_from(&intent.create_key);
    link.see(intent.side.other(), &intent.body.source_version, "");
    link.see(intent.side, &answer.version, answer.awaited());
    for (row, base) in &intent.body.source {
        let bases = link.bases.entry(row.clone()).or_default();
        *bases.side_mut(intent.side.other()) = Some(base.clone());
        let written = intent.body.rows.iter().find(|change| change.row == *row);
        let target = match (written, answer.shown.get(row)) {
            (Some(change), _) => Some(answer.base(change)),
            (None, Some(values)) => Some(Base::shown(base.row_hash, values.clone())),
            (None, None) => intent.body.blank.get(row).cloned(),
        };
        *bases.side_mut(intent.side) = target;
        if intent.body.owed.contains(row) {
            bases.owed = intent.side.into();
        }
    }
    let brought_back = intent.body.leaving.as_ref().filter(|_| intent.body.undo);
    if let Some(leaving) = brought_back {
        // The one that it was deleted for is still away: nothing is deleted for that any more, and it is linked again should it come back.
        link.removed = Some(intent.side.other());
        link.away = Away::Kept(RemovalReason::parse(&leaving.why));
    }
    save_link(tx, &lease.tenant, pair, &link, now_ms)?;
    // The new record may have come by itself and been held back until it was known whose it is.
    tx.execute(
        "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND state = 'held'",
        (&lease.tenant, pair, intent.side.as_str(), &answer.record),
    )?;
    // Rule 2: the source's inbox row goes with its outcome, unless it was staged anew meanwhile; the new one is decided against the link.
    tx.execute("DELETE FROM inbox WHERE seq = ?1", [intent.source_seq])?;
    settle_outcomes(tx, lease, pair, intent, &answer.record, &link.left_id)?;
    if let Some(leaving) = brought_back {
        let (field, detail) = (String::new(), leaving.told.clone());
        let note = OutcomeNote { kind: "removed", reason: reason::REMOVED.into(), field, detail };
        add_outcome(tx, lease, pair, run, Side::Left, &link.left_id, &note, now_ms)?;
        return write_journal(tx, lease, pair, run, &line(intent, "undone", &answer.record, &leaving.told), now_ms);
    }
    write_journal(tx, lease, pair, run, &line(intent, "created", &answer.record, ""), now_ms)
}

/// I3: a link that one of both records has already.
fn link_in_the_way(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    intent: &IntentRow,
    record: &str,
) -> Result<Option<LinkRow>, Error> {
    if is_on(Sabotage::LinkTwice) {
        return Ok(None);
    }
    match find_link(tx, tenant, pair, intent.side, record)? {
        Some(link) => Ok(Some(link)),
        None => find_link(tx, tenant, pair, intent.side.other(), &intent.source),
    }
}

/// A create ends at a record that another link has, or its source was linked otherwise: nothing is joined, a person looks at it.
#[expect(clippy::too_many_arguments, reason = "what a settlement is given, the record and the link in its way")]
fn give_to_a_person(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    record: &str,
    taken: &LinkRow,
    now_ms: i64,
) -> Result<(), Error> {
    let source_is_linked = taken.id_of(intent.side.other()) == intent.source;
    let state = if source_is_linked { "staged" } else { "held" };
    tx.execute("UPDATE inbox SET state = ?2 WHERE seq = ?1 AND state = 'deciding'", (intent.source_seq, state))?;
    if source_is_linked && taken.id_of(intent.side) == record {
        return Ok(());
    }
    let detail = format!("the create led to record {record}; linked already: {} and {}", taken.left_id, taken.right_id);
    let note =
        OutcomeNote { kind: "needs-attention", reason: reason::ALREADY_LINKED.into(), field: String::new(), detail };
    let (side, about) =
        if source_is_linked { (Side::Left, &taken.left_id) } else { (intent.side.other(), &intent.source) };
    add_outcome(tx, lease, pair, run, side, about, &note, now_ms)?;
    write_journal(tx, lease, pair, run, &line(intent, "attention", record, &note.detail), now_ms)
}

/// Outcomes of a linked pair are kept under its left record; those of the create's own way, and of the new record while it was
/// unlinked, are over.
fn settle_outcomes(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    intent: &IntentRow,
    record: &str,
    left_id: &str,
) -> Result<(), Error> {
    let source_side = intent.side.other();
    forget_outcomes(tx, &lease.tenant, pair, intent.side, record)?;
    tx.execute(
        "DELETE FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND reason = ?5",
        (&lease.tenant, pair, source_side.as_str(), &intent.source, reason::OUTCOME_UNKNOWN),
    )?;
    if source_side == Side::Right {
        tx.execute(
            "UPDATE OR REPLACE outcome SET side = 'left', record = ?4 WHERE tenant = ?1 AND pair = ?2 AND side = 'right' AND record = ?3",
            (&lease.tenant, pair, &intent.source, left_id),
        )?;
    }
    Ok(())
}

fn settle_update(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    answer: &Stored,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(mut link) = link_by_id(tx, intent.link)? else { return Ok(()) };
    link.overtake(intent.side);
    for change in &intent.body.rows {
        let bases = link.bases.entry(change.row.clone()).or_default();
        *bases.side_mut(intent.side) = Some(answer.base(change));
        if !is_on(Sabotage::DebtStays) {
            bases.owed = bases.owed.without(intent.side);
        }
    }
    // The answer shows an edit of another field, made since the record was read: with its version unknown the next pull stages it.
    let version = if answer.shows_news(intent, &link) { "" } else { answer.version.as_str() };
    link.see(intent.side, version, if version.is_empty() { "" } else { answer.awaited() });
    link.attempts = 0;
    save_link(tx, &lease.tenant, pair, &link, now_ms)?;
    if !intent.body.undo {
        return write_journal(tx, lease, pair, run, &line(intent, "updated", &answer.record, ""), now_ms);
    }
    if intent.body.settle {
        return write_journal(tx, lease, pair, run, &line(intent, "settled", &answer.record, ""), now_ms);
    }
    note_undone(tx, lease, pair, run, intent, &link.left_id, now_ms)?;
    write_journal(tx, lease, pair, run, &line(intent, "undone", &answer.record, ""), now_ms)
}

/// S17: both sides differ since somebody took back what was written here.
fn note_undone(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    left_id: &str,
    now_ms: i64,
) -> Result<(), Error> {
    for change in &intent.body.rows {
        let (field, detail) = (change.row.clone(), String::new());
        let note = OutcomeNote { kind: "differs", reason: reason::UNDONE.into(), field, detail };
        add_outcome(tx, lease, pair, run, Side::Left, left_id, &note, now_ms)?;
    }
    Ok(())
}

fn refuse(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    note: &OutcomeNote,
    now_ms: i64,
) -> Result<(), Error> {
    if intent.body.undo && intent.operation != Operation::Update {
        // Nothing waits for it: a record that stays, or that is not brought back, is as it was.
        return write_journal(tx, lease, pair, run, &line(intent, "refused", &intent.target, &note.detail), now_ms);
    }
    if intent.operation != Operation::Update {
        tx.execute("UPDATE inbox SET state = 'held' WHERE seq = ?1", [intent.source_seq])?;
    }
    tx.execute("UPDATE link SET attempts = 0 WHERE id = ?1", [intent.link])?;
    let (side, record) = outcome_place(tx, intent)?;
    // Notes of other fields stand: what they wait for still concerns this record.
    add_outcome(tx, lease, pair, run, side, &record, note, now_ms)?;
    write_journal(tx, lease, pair, run, &line(intent, "refused", &intent.target, &note.detail), now_ms)
}

/// Goes on without one mapping row. The row stays owed on the link, or is noted as owed for the link to come.
#[expect(clippy::too_many_arguments, reason = "what a settlement is given, and the row")]
fn leave_out(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    mut intent: IntentRow,
    row: &str,
    note: &OutcomeNote,
    now_ms: i64,
) -> Result<(), Error> {
    if intent.operation == Operation::Create {
        intent.body.leave_out_of_create(row);
    } else {
        intent.body.rows.retain(|change| change.row != row);
    }
    if intent.body.rows.is_empty() {
        refuse(tx, lease, pair, run, &intent, note, now_ms)?;
        return end_intent(tx, intent.id);
    }
    let body = to_json("intent", &intent.body)?;
    tx.execute(
        "UPDATE intent SET state = 'planned', not_before_ms = 0, body = ?2, attempts = ?3 WHERE id = ?1",
        (intent.id, &body, intent.attempts),
    )?;
    let (side, record) = outcome_place(tx, &intent)?;
    add_outcome(tx, lease, pair, run, side, &record, note, now_ms)?;
    write_journal(tx, lease, pair, run, &line(&intent, "refused", &intent.target, &note.detail), now_ms)
}

fn outcome_place(tx: &Tx<'_>, intent: &IntentRow) -> Result<(Side, String), Error> {
    let link = if intent.link == 0 { None } else { link_by_id(tx, intent.link)? };
    Ok(match link {
        Some(link) => (Side::Left, link.left_id),
        None => (intent.side.other(), intent.source.clone()),
    })
}

fn withdraw(tx: &Tx<'_>, lease: &Lease, pair: PairId, intent: &IntentRow, counts: bool) -> Result<(), Error> {
    end_intent(tx, intent.id)?;
    tx.execute("UPDATE inbox SET state = 'staged' WHERE seq = ?1 AND state = 'deciding'", [intent.source_seq])?;
    match intent.operation {
        _ if is_on(Sabotage::WithdrawnIsForgotten) => Ok(()),
        Operation::Create => Ok(()),
        _ => {
            if counts {
                let raise = "UPDATE link SET attempts = ?2 WHERE id = ?1 AND attempts < ?2";
                tx.execute(raise, (intent.link, intent.attempts))?;
            }
            touch(tx, &lease.tenant, pair, intent.side, &intent.target)
        }
    }
}

/// Withdraws what no attempt was made of, without loading what it would have written.
pub(super) fn withdraw_unsent(tx: &Tx<'_>, tenant: &str, pair: PairId) -> Result<(), Error> {
    let updates: Vec<(String, String)> = tx.all(
        "SELECT side, target FROM intent WHERE tenant = ?1 AND pair = ?2 AND state = 'planned' AND operation = 'update'",
        (tenant, pair),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (side, target) in updates.iter().filter(|_| !is_on(Sabotage::UnsentIsForgotten)) {
        touch(tx, tenant, pair, if side == "left" { Side::Left } else { Side::Right }, target)?;
    }
    // I13: an attempt that failed counts for the record, whatever becomes of this intent.
    tx.execute(
        "UPDATE link SET attempts = (SELECT max(i.attempts) FROM intent i WHERE i.link = link.id AND i.state = 'planned')
         WHERE id IN (SELECT i.link FROM intent i JOIN link l ON l.id = i.link
                      WHERE i.tenant = ?1 AND i.pair = ?2 AND i.state = 'planned' AND i.operation = 'update' AND i.attempts > l.attempts)",
        (tenant, pair),
    )?;
    tx.execute(
        "UPDATE inbox SET state = 'staged' WHERE state = 'deciding' AND seq IN (SELECT source_seq FROM intent
         WHERE tenant = ?1 AND pair = ?2 AND state = 'planned' AND (operation = 'update' OR attempts = 0))",
        (tenant, pair),
    )?;
    tx.execute(
        "DELETE FROM intent WHERE tenant = ?1 AND pair = ?2 AND state = 'planned' AND (operation = 'update' OR attempts = 0)",
        (tenant, pair),
    )?;
    Ok(())
}

/// An update whose outcome nobody knows: if its values are found later they are ours and no person's edit, and the record is staged
/// whatever its version.
fn doubt_update(tx: &Tx<'_>, tenant: &str, pair: PairId, intent: &IntentRow) -> Result<(), Error> {
    let Some(mut link) = link_by_id(tx, intent.link)? else { return Ok(()) };
    for change in &intent.body.rows {
        let base = link.bases.entry(change.row.clone()).or_default().side_mut(intent.side);
        let base = base.get_or_insert_with(|| Base::shown(change.hash, change.before.clone()));
        (base.sent, base.overtaken) = (Some(change.after.clone()), false);
    }
    link.see(intent.side, "", "");
    // The link exists: the time of its making stays.
    save_link(tx, tenant, pair, &link, 0)?;
    Ok(())
}

fn end_intent(tx: &Tx<'_>, id: i64) -> Result<(), Error> {
    tx.execute("DELETE FROM intent WHERE id = ?1", [id])?;
    Ok(())
}

fn line(intent: &IntentRow, action: &'static str, record: &str, detail: &str) -> JournalLine {
    let (left_id, right_id) = match intent.side {
        Side::Left => (record, intent.source.as_str()),
        Side::Right => (intent.source.as_str(), record),
    };
    let values = |pick: fn(&RowChange) -> &Vec<Value>| {
        let map: BTreeMap<&str, &Vec<Value>> =
            intent.body.rows.iter().map(|change| (change.row.as_str(), pick(change))).collect();
        to_json("journal values", &map).unwrap_or_default()
    };
    JournalLine {
        action,
        side: Some(intent.side),
        left_id: left_id.to_owned(),
        right_id: right_id.to_owned(),
        field: String::new(),
        before: values(|change| &change.before),
        after: values(|change| &change.after),
        reason: String::new(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sealer;

    #[tokio::test]
    async fn what_was_read_back_is_agreed_at_the_receipts_version_only() {
        let folder = std::env::temp_dir().join(format!("crmsync-settle-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let sealer = Sealer::from_file(&folder.join("key")).expect("a key can be made");
        let store = Store::open(&folder.join("state.db"), sealer).expect("a database can be made");
        let lease =
            store.take_lease("t", "f", "here", None, 0, 60_000).await.expect("an answer").expect("nobody has it");
        let check = async |version: &'static str, expected: Base| {
            let provisional = Base::written(1, vec![Value::Empty], vec![Value::text("sent")]);
            let mut link = LinkRow::new("left", "right");
            link.see(Side::Left, "7", "8");
            *link.bases.entry("row".to_owned()).or_default().side_mut(Side::Left) = Some(provisional);
            let save = move |tx: &Tx<'_>| {
                tx.execute("DELETE FROM link", [])?;
                save_link(tx, "t", 1, &link, 0)
            };
            store.step(move |tx| save(tx)).await.expect("a link");
            let stage = move |tx: &Tx<'_>| {
                tx.execute("DELETE FROM inbox", [])?;
                tx.execute(
                    "INSERT INTO inbox (tenant, pair, side, record, state, presence, version, modified_at_ms, create_key, image)
                     VALUES ('t', 1, 'left', 'left', 'staged', 'live', ?1, 0, '', '{}')",
                    [version],
                )
            };
            store.step(move |tx| stage(tx).map(drop)).await.expect("staged");
            let shown = |_: &InboxRow| BTreeMap::from([("row".to_owned(), vec![Value::text("kept")])]);
            store.take_receipts(&lease, 1, Side::Left, vec!["left".to_owned()], shown).await.expect("taken");
            let link = store.link_of("t", 1, Side::Left, "left").await.expect("an answer").expect("the link");
            assert_eq!(link.bases["row"].side(Side::Left).as_ref(), Some(&expected), "{version}");
        };
        check("8", Base::shown(1, vec![Value::text("kept")])).await;
        // Somebody edited it in between: what became of our value is not known.
        let provisional = Base::written(1, vec![Value::Empty], vec![Value::text("sent")]);
        check("9", provisional).await;
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
