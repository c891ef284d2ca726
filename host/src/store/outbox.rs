//! The outbox: intents wait here, are admitted before their first byte leaves (rule 1), and are settled by what the CRM answered
//! (`settle.rs`).

use std::collections::BTreeMap;

use crmsync_core::decide::Operation;
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Base, Side, Value};
use rusqlite::Row;

use super::decisions::OutcomeNote;
use super::driver::{from_json, to_json};
use super::leaving::Leaving;
use super::settle::{settle, withdraw_unsent};
use super::staging::{inbox_by_seq, unlinked_since};
use super::{Error, InboxRow, Lease, PairId, Store, Tx};

/// How far an intent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentState {
    /// Stored, nothing was sent.
    Planned,
    /// Its first byte may have left.
    Admitted,
    /// Sent, and nobody knows whether it happened.
    Unknown,
    /// A person has to find out.
    Parked,
}

/// One mapping row of a write.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowChange {
    /// The row.
    pub row: String,
    /// Its hash when it was decided.
    pub hash: u64,
    /// What the written side showed.
    pub before: Vec<Value>,
    /// What is written.
    pub after: Vec<Value>,
}

/// The values of an intent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IntentBody {
    /// The rows that are written.
    pub rows: Vec<RowChange>,
    /// For a create: what the source showed in all rows, so that its base can be set when the record exists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source: BTreeMap<String, Base>,
    /// For a create: the source's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_version: String,
    /// For a create: rows that were held back, still owed to the new record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<String>,
    /// For a create: the new record's bases in rows that are not written. What the CRM puts there by itself is no edit (S1).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blank: BTreeMap<String, Base>,
    /// It takes back what was written earlier: the other side is left as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// It takes back how a conflict ended: both sides are written, and agree afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settle: bool,
    /// For a create that a person has to decide about: records that may be what it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// For a write about a record that left. The rows of a delete are all that was known of the record, with nothing after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

impl IntentBody {
    /// Takes a row out of a create: it stays owed to the new record, which shows it blank until it is read.
    pub(super) fn leave_out_of_create(&mut self, row: &str) {
        let Some(at) = self.rows.iter().position(|change| change.row == row) else { return };
        let change = self.rows.remove(at);
        let blank = vec![Value::Empty; change.after.len()];
        let base = Base::written(change.hash, blank.clone(), blank);
        self.blank.insert(change.row.clone(), base);
        self.owed.push(change.row);
    }

    /// Leaves all others out of a create, if one of these is in it; and whether that changed it.
    fn keep_rows(&mut self, rows: &[String]) -> bool {
        let (kept, lost): (Vec<String>, Vec<String>) =
            self.rows.iter().map(|change| change.row.clone()).partition(|row| rows.contains(row));
        if kept.is_empty() || is_on(Sabotage::OldRowsAreSent) {
            return false;
        }
        lost.iter().for_each(|row| self.leave_out_of_create(row));
        !lost.is_empty()
    }
}

/// One intent.
#[derive(Clone, Debug)]
pub struct IntentRow {
    /// Number.
    pub id: i64,
    /// Its link, 0 for a create.
    pub link: i64,
    /// The written side.
    pub side: Side,
    /// What it does.
    pub operation: Operation,
    /// How far it has come.
    pub state: IntentState,
    /// The record on the other side.
    pub source: String,
    /// The inbox row that a create, mark or delete stands for.
    pub source_seq: i64,
    /// The written record, "" for a create.
    pub target: String,
    /// The written record's version last seen, "" for a create.
    pub target_version: String,
    /// Our key, "" for an update.
    pub create_key: String,
    /// Values.
    pub body: IntentBody,
    /// Times it was admitted.
    pub attempts: u32,
    /// Not to be sent before.
    pub not_before_ms: i64,
    /// When it was admitted last.
    pub admitted_at_ms: i64,
}

/// What became of one intent.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// It happened.
    Stored {
        /// The intent.
        intent: i64,
        /// The written record.
        record: String,
        /// Its version after the write, "" if the CRM did not say.
        version: String,
        /// What the CRM says it stored, by mapping row; rows that are missing become provisional (S1).
        shown: BTreeMap<String, Vec<Value>>,
        /// The answer told what was stored, so that nothing is provisional.
        told: bool,
    },
    /// A delete found its record gone: there is nothing left to do.
    GoneAlready {
        /// The intent.
        intent: i64,
    },
    /// Nothing happened; send it again, not before this moment.
    Again {
        /// The intent.
        intent: i64,
        /// Milliseconds since 1970.
        not_before_ms: i64,
        /// Attempts that count (I13): a CRM that asks to wait has used up none.
        attempts: u32,
    },
    /// Nothing happened, and the record is to be decided again from what it shows.
    Withdraw {
        /// The intent.
        intent: i64,
        /// What people see meanwhile, if it does not go on at once.
        note: Option<OutcomeNote>,
        /// It was an attempt without an answer, which counts (I13); a CRM that says no has answered.
        counts: bool,
    },
    /// Nobody knows whether it happened.
    Unknown {
        /// The intent.
        intent: i64,
        /// What is known.
        detail: String,
    },
    /// The CRM refused one mapping row: the rest is sent again without it, and the row stays owed (S17).
    LeaveOut {
        /// The intent.
        intent: i64,
        /// The mapping row.
        row: String,
        /// What people see.
        note: OutcomeNote,
        /// Attempts that count (I13).
        attempts: u32,
    },
    /// It did not happen and a person is needed.
    Refused {
        /// The intent.
        intent: i64,
        /// What people see.
        note: OutcomeNote,
    },
    /// It may have happened and only a person can tell: it stays and blocks.
    Parked {
        /// The intent.
        intent: i64,
        /// Records that may be what it made.
        candidates: Vec<String>,
        /// What people see.
        note: OutcomeNote,
    },
}

impl Store {
    /// Begins a run's work: what was planned and never sent is withdrawn (the records are decided again from what they show now), what
    /// was admitted and not answered has an unknown outcome (S3), and a line of the log says so (I14). A create that was sent once stays
    /// planned with its key: an earlier attempt may still be committed, and a new create with a new key would make a second record. Of
    /// its rows only those go on that are in the mapping now (`rows`); the others stay owed to the new record.
    pub async fn recover_intents(
        &self,
        lease: &Lease,
        pair: PairId,
        rows: Vec<String>,
        run: i64,
        now_ms: i64,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            withdraw_unsent(tx, &lease.tenant, pair)?;
            if is_on(Sabotage::AdmittedIsUnsent) {
                tx.execute("UPDATE intent SET state = 'planned', attempts = 0 WHERE state = 'admitted'", [])?;
            }
            for intent in intents(tx, &lease.tenant, pair, "i.state = 'admitted' AND i.id > ?4", usize::MAX, 0)? {
                let detail = "the host stopped before the answer came".to_owned();
                settle(tx, &lease, pair, run, Settlement::Unknown { intent: intent.id, detail }, now_ms)?;
            }
            for mut intent in intents(tx, &lease.tenant, pair, "i.operation = 'create' AND i.id > ?4", usize::MAX, 0)? {
                if intent.body.keep_rows(&rows) {
                    let body = to_json("intent", &intent.body)?;
                    tx.execute("UPDATE intent SET body = ?2 WHERE id = ?1", (intent.id, &body))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Planned intents of one side and operation that may be sent now, oldest first.
    pub async fn due_intents(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        operation: Operation,
        now_ms: i64,
        most: usize,
    ) -> Result<Vec<IntentRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let (word, leaving) = match operation {
                Operation::Create | Operation::Update => (operation, ""),
                leaving => (Operation::Update, leaving.as_str()),
            };
            let condition = format!(
                "i.state = 'planned' AND i.side = '{}' AND i.operation = '{}' AND i.leaving = '{leaving}' AND i.not_before_ms <= ?4",
                side.as_str(),
                word.as_str()
            );
            let now_ms = if is_on(Sabotage::SendEarly) { i64::MAX } else { now_ms };
            intents(tx, &tenant, pair, &condition, most, now_ms)
        })
        .await
    }

    /// When the next planned intent that has to wait may be sent; none if none waits.
    pub async fn next_due_ms(&self, tenant: &str, pair: PairId) -> Result<Option<i64>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            tx.one(
                "SELECT min(not_before_ms) FROM intent WHERE tenant = ?1 AND pair = ?2 AND state = 'planned'",
                (&tenant, pair),
                |row| row.get::<_, Option<i64>>(0),
            )
            .map(Option::flatten)
        })
        .await
    }

    /// Intents whose outcome nobody knows, behind this number, at most so many.
    pub async fn unknown_intents(
        &self,
        tenant: &str,
        pair: PairId,
        after: i64,
        most: usize,
    ) -> Result<Vec<IntentRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| intents(tx, &tenant, pair, "i.state = 'unknown' AND i.id > ?4", most, after)).await
    }

    /// Creates of one side that may have happened, for CRMs that cannot be asked for our key: records that arrive may be theirs.
    pub async fn doubtful_creates(&self, tenant: &str, pair: PairId, side: Side) -> Result<Vec<IntentRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let condition = format!(
                "i.operation = 'create' AND i.side = '{}' AND i.attempts > ?4 AND i.state IN ('admitted', 'unknown', 'parked')",
                side.as_str()
            );
            intents(tx, &tenant, pair, &condition, DOUBTFUL_MAX, 0)
        })
        .await
    }

    /// Live records of one side that are in no link and were changed since this moment of the CRM's clock, at most so many.
    pub async fn unlinked_since(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        since_ms: i64,
        most: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| unlinked_since(tx, &tenant, pair, side, since_ms, most as i64)).await
    }

    /// Rules 1 and 7: marks intents as admitted, before the first byte of their request leaves. Fails if one of them is not planned
    /// any more or the lease is lost; then nothing may be sent.
    pub async fn admit_intents(&self, lease: &Lease, ids: Vec<i64>, now_ms: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            if is_on(Sabotage::DropTheIntent) {
                return Ok(());
            }
            for id in ids {
                let admitted = tx.execute(
                    "UPDATE intent SET state = 'admitted', attempts = attempts + 1, admitted_at_ms = ?2 WHERE id = ?1 AND state = 'planned'",
                    (id, now_ms),
                )?;
                if admitted == 0 {
                    return Err(Error::Refused(format!("write {id} has no stored intent that waits to be sent")));
                }
            }
            Ok(())
        })
        .await
    }

    /// Rules 3 and 7: what the CRM answered becomes bases, journal lines and outcomes, and the intents end.
    pub async fn settle_intents(
        &self,
        lease: &Lease,
        pair: PairId,
        run: i64,
        settlements: Vec<Settlement>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            settlements.into_iter().try_for_each(|settlement| settle(tx, &lease, pair, run, settlement, now_ms))
        })
        .await
    }

    /// Records that arrived in the inbox and carry the key of an open create that was sent: it happened. As (intent, inbox row).
    pub async fn arrived_creates(&self, tenant: &str, pair: PairId) -> Result<Vec<(IntentRow, InboxRow)>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let numbers: Vec<(i64, i64)> = tx.all(
                "SELECT i.id, MIN(b.seq) FROM inbox b JOIN intent i
                 ON i.tenant = b.tenant AND i.pair = b.pair AND i.create_key = b.create_key AND i.create_key <> '' AND i.side = b.side
                 WHERE b.tenant = ?1 AND b.pair = ?2 AND b.create_key <> '' AND b.presence = 'live'
                 AND i.operation = 'create' AND i.state <> 'admitted' AND i.attempts > 0 GROUP BY i.id ORDER BY i.id",
                (&tenant, pair),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut arrived = Vec::with_capacity(numbers.len());
            for (intent, seq) in numbers {
                if let (Some(intent), Some(row)) = (load_intent(tx, intent)?, inbox_by_seq(tx, seq)?) {
                    arrived.push((intent, row));
                }
            }
            Ok(arrived)
        })
        .await
    }

    /// Numbers of intents that are still open, by state word.
    pub async fn open_intents(&self, tenant: &str, pair: PairId) -> Result<BTreeMap<String, u64>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let rows = tx.all(
                "SELECT state, count(*) FROM intent WHERE tenant = ?1 AND pair = ?2 GROUP BY state",
                (&tenant, pair),
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)? as u64)),
            )?;
            Ok(rows.into_iter().collect())
        })
        .await
    }
}

/// Intents that fit a condition, in which `?4` stands for the number: a statement whose text stays is prepared only once.
fn intents(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    condition: &str,
    most: usize,
    number: i64,
) -> Result<Vec<IntentRow>, Error> {
    let sql = format!("{SELECT_INTENT} WHERE i.tenant = ?1 AND i.pair = ?2 AND {condition} ORDER BY i.id LIMIT ?3");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    tx.all(&sql, (tenant, pair, most, number), read_intent)?.into_iter().map(parse_intent).collect()
}

/// Creates that may have happened and are held against each arrival. More of them at once mean that a CRM answers no write at all; the
/// engine stops sending long before.
const DOUBTFUL_MAX: usize = 2_000;

const SELECT_INTENT: &str = "SELECT i.id, i.link, i.side, i.operation, i.state, i.source, i.source_seq, i.target, i.create_key, i.body, i.attempts,
    i.not_before_ms, i.admitted_at_ms, COALESCE((SELECT CASE WHEN i.side = 'left' THEN l.left_version ELSE l.right_version END FROM link l WHERE l.id = i.link), ''), i.leaving
    FROM intent i";

fn read_intent(row: &Row<'_>) -> rusqlite::Result<(IntentRow, String)> {
    let side: String = row.get(2)?;
    let operation: String = row.get(3)?;
    let state: String = row.get(4)?;
    let leaving: String = row.get(14)?;
    let intent = IntentRow {
        id: row.get(0)?,
        link: row.get(1)?,
        side: if side == "left" { Side::Left } else { Side::Right },
        operation: match (operation.as_str(), leaving.as_str()) {
            ("create", _) => Operation::Create,
            (_, "mark") => Operation::Mark,
            (_, "unmark") => Operation::Unmark,
            (_, "delete") => Operation::Delete,
            _ => Operation::Update,
        },
        state: match state.as_str() {
            "planned" => IntentState::Planned,
            "admitted" => IntentState::Admitted,
            "unknown" => IntentState::Unknown,
            _ => IntentState::Parked,
        },
        source: row.get(5)?,
        source_seq: row.get(6)?,
        target: row.get(7)?,
        create_key: row.get(8)?,
        body: IntentBody::default(),
        attempts: row.get(10)?,
        not_before_ms: row.get(11)?,
        admitted_at_ms: row.get(12)?,
        target_version: row.get(13)?,
    };
    Ok((intent, row.get(9)?))
}

fn parse_intent((intent, body): (IntentRow, String)) -> Result<IntentRow, Error> {
    Ok(IntentRow { body: from_json("intent", &body)?, ..intent })
}

pub(super) fn load_intent(tx: &Tx<'_>, id: i64) -> Result<Option<IntentRow>, Error> {
    tx.one(&format!("{SELECT_INTENT} WHERE i.id = ?1"), [id], read_intent)?.map(parse_intent).transpose()
}
