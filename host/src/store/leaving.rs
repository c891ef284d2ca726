//! Settles writes about records that left: deletes, marks, and marks that are taken away again.

use std::collections::BTreeMap;

use crmsync_core::decide::{Operation, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Away, RemovalReason, Side, Value};

use super::choice::{Choice, choose, remember_choice};
use super::decisions::{OutcomeNote, add_outcome, forget_outcomes, forget_passing_outcomes};
use super::driver::to_json;
use super::journal::{JournalLine, write_journal};
use super::links::{LinkRow, link_by_id, save_link};
use super::outbox::IntentRow;
use super::staging::stage_unseen;
use super::{Error, Lease, PairId, Tx};

/// A field of ours in a record whose counterpart was deleted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The side of the record that has it.
    pub side: Side,
    /// What its field showed before.
    pub before: Value,
}

/// What a write about a leaving record carries besides the rows' values.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Leaving {
    /// Why the other side's record left: a word of [`RemovalReason`], or [`reason::LEFT_FILTER`] for one that is there and not meant any
    /// more; "" if it is back.
    pub why: String,
    /// What people read of it: whose record left and how.
    pub told: String,
    /// The field that is set, for a mark or the end of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<MarkField>,
    /// The other side's record left earlier, and a person said that this one goes as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

/// The change of a mark's field.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MarkField {
    /// API name.
    pub name: String,
    /// What it showed.
    pub before: Value,
    /// What it is to show.
    pub after: Value,
}

/// What the CRM made of it.
pub(super) struct Done<'a> {
    /// Version of a record that was written, "" if the CRM did not say or the record shows news besides.
    pub(super) version: &'a str,
    /// The version whose first pull tells what the record shows.
    pub(super) awaited: &'a str,
    /// The record was gone before our delete came.
    pub(super) gone_already: bool,
}

/// The write happened.
pub(super) fn settle_leaving(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    done: &Done<'_>,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(mut link) = link_by_id(tx, intent.link)? else { return Ok(()) };
    link.attempts = 0;
    match intent.operation {
        Operation::Delete if intent.body.undo => {
            settle_taken_back(tx, lease, pair, run, intent, &link, now_ms)?;
            let told = if done.gone_already { "it was gone already" } else { "" };
            return write_journal(tx, lease, pair, run, &line(intent, &link, "undone", told), now_ms);
        }
        Operation::Delete if why(intent) == reason::LEFT_FILTER => {
            settle_recycled(tx, lease, pair, run, intent, &link, now_ms)?;
            return write_journal(tx, lease, pair, run, &line(intent, &link, "deleted", ""), now_ms);
        }
        Operation::Delete => {
            settle_delete(tx, lease, pair, intent, &mut link, now_ms)?;
            let told = if done.gone_already { "it was gone already" } else { "" };
            return write_journal(tx, lease, pair, run, &line(intent, &link, "deleted", told), now_ms);
        }
        Operation::Mark if why(intent) == reason::LEFT_FILTER => put_mark(&mut link, intent),
        Operation::Mark => {
            link.removed = Some(intent.side.other());
            link.away = Away::Kept(RemovalReason::parse(why(intent)));
            put_mark(&mut link, intent);
        }
        Operation::Unmark => link.marks.retain(|mark| mark.side != intent.side),
        Operation::Create | Operation::Update => return Ok(()),
    }
    link.overtake(intent.side);
    link.see(intent.side, done.version, done.awaited);
    save_link(tx, &lease.tenant, pair, &link, now_ms)?;
    let action = match intent.operation {
        Operation::Mark => "marked",
        _ if intent.body.undo => "undone",
        _ => "unmarked",
    };
    if intent.operation == Operation::Mark && link.removed.is_some() {
        tx.execute("DELETE FROM inbox WHERE seq = ?1 AND state = 'deciding'", [intent.source_seq])?;
        match is_on(Sabotage::MarkHidesDifferences) {
            true => forget_outcomes(tx, &lease.tenant, pair, Side::Left, &link.left_id)?,
            false => forget_passing_outcomes(tx, &lease.tenant, pair, Side::Left, &link.left_id)?,
        }
        let detail = intent.body.leaving.as_ref().map(|leaving| leaving.told.clone()).unwrap_or_default();
        let note = OutcomeNote { kind: "removed", reason: reason::REMOVED.into(), field: String::new(), detail };
        add_outcome(tx, lease, pair, run, Side::Left, &link.left_id, &note, now_ms)?;
    }
    write_journal(tx, lease, pair, run, &line(intent, &link, action, ""), now_ms)
}

fn settle_delete(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    intent: &IntentRow,
    link: &mut LinkRow,
    now_ms: i64,
) -> Result<(), Error> {
    tx.execute("DELETE FROM inbox WHERE seq = ?1 AND state = 'deciding'", [intent.source_seq])?;
    tx.execute(
        "DELETE FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (&lease.tenant, pair, intent.side.as_str(), &intent.target),
    )?;
    // S14: the other record may have come back while its counterpart's delete was on its way; then the link lives on with it.
    let came_back = tx.one(
        "SELECT 1 FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND presence = 'live'",
        (&lease.tenant, pair, intent.side.other().as_str(), &intent.source),
        |_| Ok(()),
    )?;
    link.delete_asked = false;
    match came_back {
        Some(()) => (link.removed, link.away) = (Some(intent.side), Away::Both),
        None => link.ended = true,
    }
    for side in Side::BOTH {
        forget_outcomes(tx, &lease.tenant, pair, side, link.id_of(side))?;
    }
    save_link(tx, &lease.tenant, pair, link, now_ms)?;
    Ok(())
}

/// The copy of a record that left the filter is in the bin: the link is over, and the record that left is one that the filter does not
/// mean. Once it does, it is copied again.
fn settle_recycled(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    link: &LinkRow,
    now_ms: i64,
) -> Result<(), Error> {
    let (tenant, gone, source) = (&lease.tenant, intent.side, intent.side.other());
    end_for_good(tx, tenant, pair, intent, link, now_ms)?;
    stage_unseen(tx, tenant, pair, source, &intent.source)?;
    let detail = format!("its copy {} is in the bin", link.id_of(gone));
    let note =
        OutcomeNote { kind: "out-of-scope", reason: reason::OUTSIDE_FILTER.into(), field: String::new(), detail };
    add_outcome(tx, lease, pair, run, source, &intent.source, &note, now_ms)
}

/// The record that was deleted is in no link any more. Should it come back from the bin, it is not copied next to the one that it was
/// linked to, which may have another copy by then.
fn end_for_good(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    intent: &IntentRow,
    link: &LinkRow,
    now_ms: i64,
) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, intent.side.as_str(), &intent.target),
    )?;
    tx.execute("UPDATE link SET state = 'ended', reopened_by = 'none' WHERE id = ?1", [link.id])?;
    for side in Side::BOTH {
        forget_outcomes(tx, tenant, pair, side, link.id_of(side))?;
    }
    remember_choice(tx, tenant, pair, intent.side, &intent.target, Choice::LeftAlone, now_ms)
}

/// A record that we had created is gone again: its link is over for good, and what it was a copy of is left alone, with a reason that is
/// listed.
fn settle_taken_back(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    intent: &IntentRow,
    link: &LinkRow,
    now_ms: i64,
) -> Result<(), Error> {
    let (tenant, source) = (&lease.tenant, intent.side.other());
    end_for_good(tx, tenant, pair, intent, link, now_ms)?;
    if link.removed == Some(source) {
        return remember_choice(tx, tenant, pair, source, &intent.source, Choice::LeftAlone, now_ms);
    }
    choose(tx, tenant, pair, source, &intent.source, Choice::LeftAlone, now_ms)?;
    let detail = intent.body.leaving.as_ref().map(|leaving| leaving.told.clone()).unwrap_or_default();
    let note = OutcomeNote { kind: "out-of-scope", reason: reason::LEFT_ALONE.into(), field: String::new(), detail };
    add_outcome(tx, lease, pair, run, source, &intent.source, &note, now_ms)
}

/// A mark whose outcome nobody knows: what its field showed before is kept, and the record is staged whatever its version.
pub(super) fn doubt_mark(tx: &Tx<'_>, tenant: &str, pair: PairId, intent: &IntentRow) -> Result<(), Error> {
    let Some(mut link) = link_by_id(tx, intent.link)? else { return Ok(()) };
    if intent.operation == Operation::Mark && link.mark_on(intent.side).is_none() {
        put_mark(&mut link, intent);
    }
    link.see(intent.side, "", "");
    save_link(tx, tenant, pair, &link, 0)?;
    Ok(())
}

/// Keeps what the field of a mark showed before.
fn put_mark(link: &mut LinkRow, intent: &IntentRow) {
    let Some(field) = intent.body.leaving.as_ref().and_then(|leaving| leaving.field.as_ref()) else { return };
    link.marks.retain(|mark| mark.side != intent.side && !is_on(Sabotage::OneMark));
    link.marks.push(Mark { side: intent.side, before: field.before.clone() });
}

fn why(intent: &IntentRow) -> &str {
    intent.body.leaving.as_ref().map_or("", |leaving| leaving.why.as_str())
}

/// The journal's line. Of a deleted record it keeps everything that we knew of it, so that it can be brought back.
fn line(intent: &IntentRow, link: &LinkRow, action: &'static str, told: &str) -> JournalLine {
    let leaving = intent.body.leaving.as_ref();
    let mut before: BTreeMap<&str, Vec<&Value>> =
        intent.body.rows.iter().map(|row| (row.row.as_str(), row.before.iter().collect())).collect();
    let mut after = BTreeMap::new();
    if let Some(field) = leaving.and_then(|leaving| leaving.field.as_ref()) {
        before.insert(&field.name, vec![&field.before]);
        after.insert(&field.name, vec![&field.after]);
    }
    let json = |text: Result<String, Error>| text.unwrap_or_default();
    let told = [leaving.map_or("", |leaving| leaving.told.as_str()), told];
    JournalLine {
        action,
        side: Some(intent.side),
        left_id: link.left_id.clone(),
        right_id: link.right_id.clone(),
        field: String::new(),
        before: json(to_json("journal values", &before)),
        after: if after.is_empty() { String::new() } else { json(to_json("journal values", &after)) },
        reason: match why(intent) {
            _ if action == "undone" => String::new(),
            reason::LEFT_FILTER => reason::LEFT_FILTER.to_owned(),
            _ => reason::REMOVED.to_owned(),
        },
        detail: told.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "),
    }
}
