//! Staged records become links, intents and outcomes, some hundreds at a time, each unit all or nothing.

use std::collections::BTreeSet;

use crmsync_core::Side;
use crmsync_core::decide::{Operation, reason};

use super::choice::{Choice, choice_of};
use super::driver::to_json;
use super::journal::{JournalLine, write_journal};
use super::links::{LinkRow, find_link, next_generation, save_link};
use super::outbox::IntentBody;
use super::staging::{
    INBOX_COLUMNS, InboxRow, InboxState, PresenceWord, TOLD, id_column, inbox_row, parse_inbox, read_inbox,
    stage_unseen,
};
use super::{Error, Lease, PairId, Store, Tx};

/// What waits to be decided together: one record, or the two of a link or pairing.
#[derive(Clone, Debug)]
pub struct UnitRow {
    /// The staged left record, if it is staged.
    pub left: Option<InboxRow>,
    /// The staged right record.
    pub right: Option<InboxRow>,
    /// Their link.
    pub link: Option<LinkRow>,
    /// They are a pairing by this match rule, not linked yet.
    pub rule: Option<usize>,
    /// Several records share a match key.
    pub several: bool,
    /// A person said that this unlinked record is not synced.
    pub left_alone: bool,
    /// Our key in an unlinked record belongs to a link already: a late twin of a create that was repeated.
    pub late_twin: bool,
    /// Mapping rows in which the linked records are known to differ.
    pub differs: BTreeSet<String>,
    /// The number of its link; of an unlinked record that of the link to come.
    pub generation: i64,
}

impl UnitRow {
    /// The side whose record is staged; the left one if both are.
    pub fn own_side(&self) -> Side {
        if self.left.is_some() { Side::Left } else { Side::Right }
    }

    /// One side's staged record.
    pub fn side(&self, side: Side) -> Option<&InboxRow> {
        match side {
            Side::Left => self.left.as_ref(),
            Side::Right => self.right.as_ref(),
        }
    }
}

/// A write that was decided (rule 1: stored before it is sent).
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// The side that is written.
    pub side: Side,
    /// What it does.
    pub operation: Operation,
    /// The record on the other side.
    pub source: String,
    /// The inbox row of the source that a create stands for, or the removal that a mark or delete does; of an undo the staged row that
    /// it has looked at; 0 for others.
    pub source_seq: i64,
    /// The record that is written, "" for a create.
    pub target: String,
    /// Our key, "" for an update.
    pub create_key: String,
    /// The values.
    pub body: IntentBody,
}

/// What became of a record or of one of its fields, for people (S17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeNote {
    /// left-out, waiting, needs-attention, failed, out-of-scope, removed or differs.
    pub kind: &'static str,
    /// Stable reason code.
    pub reason: String,
    /// Mapping row, "" for the whole record.
    pub field: String,
    /// Words for people, without credentials.
    pub detail: String,
}

/// Everything that one decided unit changes.
#[derive(Clone, Debug, Default)]
pub struct UnitCommit {
    /// Inbox rows that are done with.
    pub done: Vec<i64>,
    /// Inbox rows that stay, because a person or another record is needed.
    pub held: Vec<i64>,
    /// Inbox rows whose create, mark or delete is on its way.
    pub deciding: Vec<i64>,
    /// Linked records that have to be read before the next decision.
    pub unseen: Vec<(Side, String)>,
    /// The link to make or to save.
    pub link: Option<LinkRow>,
    /// Writes.
    pub intents: Vec<NewIntent>,
    /// The record under which outcomes are kept: of a linked pair the left one.
    pub about: Option<(Side, String)>,
    /// Outcomes; they replace the former ones, notes of differing rows that nothing was decided about aside.
    pub outcomes: Vec<OutcomeNote>,
    /// Mapping rows about which something was decided.
    pub decided_rows: Vec<String>,
    /// Journal lines.
    pub journal: Vec<JournalLine>,
}

impl Store {
    /// The next units behind an inbox number, at most so many inbox rows; with the number to go on from. None left: an empty list
    /// and the number unchanged.
    ///
    /// Records whose link or create has an open intent are passed over until it is settled.
    pub async fn next_units(
        &self,
        tenant: &str,
        pair: PairId,
        after_seq: i64,
        most: usize,
    ) -> Result<(Vec<UnitRow>, i64), Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| next_units(tx, &tenant, pair, after_seq, most)).await
    }

    /// Rules 1, 2 and 7: links, bases, intents, outcomes and journal lines of decided units, with the inbox rows that they end.
    pub async fn commit_decisions(
        &self,
        lease: &Lease,
        pair: PairId,
        run: i64,
        units: Vec<UnitCommit>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            units.iter().try_for_each(|unit| commit_unit(tx, &lease, pair, run, unit, now_ms))
        })
        .await
    }

    /// Those of these records of one side that are linked with both records there, or matched.
    pub async fn partnered_records(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        records: Vec<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let mut partnered = BTreeSet::new();
            for record in records {
                let link = find_link(tx, &tenant, pair, side, &record)?;
                let is_linked = link.is_some_and(|link| link.removed.is_none());
                if is_linked || find_pairing(tx, &tenant, pair, side, &record)?.is_some() {
                    partnered.insert(record);
                }
            }
            Ok(partnered)
        })
        .await
    }

    /// How many links of a pair are alive.
    pub async fn link_count(&self, tenant: &str, pair: PairId) -> Result<u64, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let count: Option<i64> = tx.one(
                "SELECT count(*) FROM link WHERE tenant = ?1 AND pair = ?2 AND state <> 'ended'",
                (&tenant, pair),
                |row| row.get(0),
            )?;
            Ok(count.unwrap_or(0) as u64)
        })
        .await
    }
}

fn next_units(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    after_seq: i64,
    most: usize,
) -> Result<(Vec<UnitRow>, i64), Error> {
    let staged = tx
        .all(
            &format!(
                "SELECT {INBOX_COLUMNS} FROM inbox WHERE tenant = ?1 AND pair = ?2 AND seq > ?3 AND state = 'staged' ORDER BY seq LIMIT ?4"
            ),
            (tenant, pair, after_seq, most as i64),
            read_inbox,
        )?
        .into_iter()
        .map(parse_inbox)
        .collect::<Result<Vec<_>, _>>()?;
    let Some(last) = staged.last().map(|row| row.seq) else { return Ok((Vec::new(), after_seq)) };
    let mut units = Vec::with_capacity(staged.len());
    for row in staged {
        if let Some(unit) = unit_of(tx, tenant, pair, row)? {
            units.push(unit);
        }
    }
    Ok((units, last))
}

/// The unit that a staged row belongs to; none if its turn comes with the other side's row, or if an intent of it is still open.
fn unit_of(tx: &Tx<'_>, tenant: &str, pair: PairId, row: InboxRow) -> Result<Option<UnitRow>, Error> {
    // What a person decided about is decided once it was read: a listing that shows nothing for a while loses no answer.
    if row.presence == PresenceWord::Unseen {
        return Ok(None);
    }
    let (side, own) = (row.side, row.record.clone());
    let link = find_link(tx, tenant, pair, side, &own)?;
    let (other, rule) = match &link {
        Some(link) => (Some(link.id_of(side.other()).to_owned()), None),
        None => match find_pairing(tx, tenant, pair, side, &own)? {
            Some((other, rule)) => (Some(other), Some(rule)),
            None => (None, None),
        },
    };
    let other_row = match &other {
        Some(record) => inbox_row(tx, tenant, pair, side.other(), record)?,
        None => None,
    };
    // A held row never gets a turn of its own: it takes part in that of the other side.
    let other_comes_first =
        other_row.as_ref().is_some_and(|other| other.state == InboxState::Staged && other.seq < row.seq);
    let other_is_unseen = other_row.as_ref().is_some_and(|other| other.presence == PresenceWord::Unseen);
    let create_is_open = other_row.as_ref().is_some_and(|other| other.state == InboxState::Deciding);
    let write_is_open = match &link {
        Some(link) => has_open_intent(tx, tenant, pair, link.id)?,
        None => has_open_create(tx, tenant, pair, side, &own)?,
    };
    if other_comes_first || other_is_unseen || create_is_open || write_is_open {
        return Ok(None);
    }
    let several = link.is_none()
        && tx
            .one(
                "SELECT 1 FROM match_key WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND verdict = 'several'",
                (tenant, pair, side.as_str(), &own),
                |_| Ok(()),
            )?
            .is_some();
    let differs = match &link {
        Some(link) => differing_rows(tx, tenant, pair, &link.left_id)?,
        None => BTreeSet::new(),
    };
    let late_twin = link.is_none() && !row.create_key.is_empty() && key_is_linked(tx, tenant, pair, &row.create_key)?;
    let choice = if link.is_none() { choice_of(tx, tenant, pair, side, &own)? } else { None };
    let left_alone = choice == Some(Choice::LeftAlone);
    let generation = match &link {
        Some(link) => link.generation,
        None => next_generation(tx, tenant, pair, side, &own)?,
    };
    // A row of the other side that only waits for a person is still what the other side shows.
    let (left, right) = match side {
        Side::Left => (Some(row), other_row),
        Side::Right => (other_row, Some(row)),
    };
    Ok(Some(UnitRow { left, right, link, rule, several, left_alone, late_twin, differs, generation }))
}

/// Mapping rows of a pair about which people were told that both sides differ.
fn differing_rows(tx: &Tx<'_>, tenant: &str, pair: PairId, left_id: &str) -> Result<BTreeSet<String>, Error> {
    let rows = tx.all(
        "SELECT field FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = 'left' AND record = ?3 AND kind = 'differs'",
        (tenant, pair, left_id),
        |row| row.get(0),
    )?;
    Ok(rows.into_iter().collect())
}

pub(super) fn find_pairing(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<Option<(String, usize)>, Error> {
    let sql = format!(
        "SELECT {other}, rule FROM pairing WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3",
        own = id_column(side),
        other = id_column(side.other())
    );
    tx.one(&sql, (tenant, pair, record), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize)))
}

fn has_open_intent(tx: &Tx<'_>, tenant: &str, pair: PairId, link: i64) -> Result<bool, Error> {
    let found = tx.one(
        "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND link = ?3 AND link <> 0",
        (tenant, pair, link),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn has_open_create(tx: &Tx<'_>, tenant: &str, pair: PairId, source_side: Side, source: &str) -> Result<bool, Error> {
    let found = tx.one(
        "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND source = ?4 AND operation = 'create'",
        (tenant, pair, source_side.other().as_str(), source),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn key_is_linked(tx: &Tx<'_>, tenant: &str, pair: PairId, key: &str) -> Result<bool, Error> {
    let found = tx.one(
        "SELECT 1 FROM link WHERE tenant = ?1 AND pair = ?2 AND create_key = ?3 AND create_key <> '' AND state <> 'ended'",
        (tenant, pair, key),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn commit_unit(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    unit: &UnitCommit,
    now_ms: i64,
) -> Result<(), Error> {
    let link = match &unit.link {
        Some(link) => save_link(tx, &lease.tenant, pair, link, now_ms)?,
        None => 0,
    };
    if let Some(new) = unit.link.as_ref().filter(|link| link.id == 0 || link.ended) {
        for side in Side::BOTH {
            forget_outcomes(tx, &lease.tenant, pair, side, new.id_of(side))?;
        }
    }
    for seq in &unit.done {
        tx.execute("DELETE FROM inbox WHERE seq = ?1", [seq])?;
    }
    for (rows, state) in [(&unit.held, "held"), (&unit.deciding, "deciding")] {
        for seq in rows {
            let keep = "UPDATE inbox SET state = ?2, version = CASE WHEN presence IN ('live', 'unread', 'unseen') THEN version ELSE ?3 END
                        WHERE seq = ?1";
            tx.execute(keep, (seq, state, TOLD))?;
        }
    }
    for (side, record) in &unit.unseen {
        stage_unseen(tx, &lease.tenant, pair, *side, record)?;
    }
    for intent in &unit.intents {
        insert_intent(tx, lease, pair, run, link, intent)?;
    }
    if let Some((side, record)) = &unit.about {
        replace_outcomes(tx, lease, pair, run, *side, record, &unit.decided_rows, &unit.outcomes, now_ms)?;
    }
    unit.journal.iter().try_for_each(|line| write_journal(tx, lease, pair, run, line, now_ms))
}

pub(super) fn insert_intent(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    link: i64,
    intent: &NewIntent,
) -> Result<(), Error> {
    let link = if intent.operation == Operation::Create { 0 } else { link };
    // The column `operation` knows two words; what is more than an update says so in `leaving`.
    let (operation, leaving) = match intent.operation {
        Operation::Create | Operation::Update => (intent.operation, ""),
        leaving => (Operation::Update, leaving.as_str()),
    };
    let body = to_json("intent", &intent.body)?;
    // I13: attempts are counted for the record, not for one intent.
    let attempts: Option<i64> = tx.one("SELECT attempts FROM link WHERE id = ?1", [link], |row| row.get(0))?;
    tx.execute(
        "INSERT INTO intent (tenant, pair, link, side, operation, state, source, source_seq, target, create_key, body, attempts,
                             not_before_ms, admitted_at_ms, run, reason, detail, leaving)
         VALUES (?1, ?2, ?3, ?4, ?5, 'planned', ?6, ?7, ?8, ?9, ?10, ?12, 0, 0, ?11, '', '', ?13)",
        (
            &lease.tenant,
            pair,
            link,
            intent.side.as_str(),
            operation.as_str(),
            &intent.source,
            intent.source_seq,
            &intent.target,
            &intent.create_key,
            &body,
            run,
            attempts.unwrap_or(0),
            leaving,
        ),
    )?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one column each")]
pub(super) fn replace_outcomes(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    side: Side,
    record: &str,
    decided_rows: &[String],
    outcomes: &[OutcomeNote],
    now_ms: i64,
) -> Result<(), Error> {
    forget_passing_outcomes(tx, &lease.tenant, pair, side, record)?;
    for row in decided_rows {
        tx.execute(
            "DELETE FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND field = ?5",
            (&lease.tenant, pair, side.as_str(), record, row),
        )?;
    }
    for note in outcomes {
        add_outcome(tx, lease, pair, run, side, record, note, now_ms)?;
    }
    Ok(())
}

/// Forgets what was noted of a record, but for the rows in which it differs from its counterpart: such a note stands until its row is
/// decided about, whatever becomes of the records meanwhile (S17).
pub(super) fn forget_passing_outcomes(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND reason NOT IN (?5, ?6, ?7, ?8)",
        (
            tenant,
            pair,
            side.as_str(),
            record,
            reason::DIFFERS,
            reason::DIFFERS_ASK,
            reason::BOTH_CHANGED_ASK,
            reason::UNDONE,
        ),
    )?;
    Ok(())
}

pub(super) fn forget_outcomes(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
    )?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one column each")]
pub(super) fn add_outcome(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    side: Side,
    record: &str,
    note: &OutcomeNote,
    now_ms: i64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO outcome (tenant, pair, side, record, kind, reason, field, detail, run, at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (tenant, pair, side, record, kind, reason, field) DO UPDATE SET detail = excluded.detail, run = excluded.run, at_ms = excluded.at_ms",
        (&lease.tenant, pair, side.as_str(), record, note.kind, &note.reason, &note.field, &note.detail, run, now_ms),
    )?;
    Ok(())
}
