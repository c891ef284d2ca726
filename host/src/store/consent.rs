//! What the safety stop holds, and people's consent to it.

use crmsync_core::Side;
use crmsync_core::decide::reason;
use crmsync_core::policy::consent_covers;
use rusqlite::Row;

use super::staging::{INBOX_COLUMNS, id_column, parse_inbox, read_inbox};
use super::{Error, InboxRow, Lease, PairId, Store};

/// A consent is for the day: a later wave of deletes is another matter.
const CONSENT_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Records of one side of a pair that left and wait for consent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HeldRemovals {
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// The side whose records left.
    pub side: Side,
    /// How many left.
    pub removed: u64,
    /// Of so many that were known.
    pub known: u64,
    /// Since when they are held, milliseconds since 1970.
    pub held_at_ms: i64,
    /// How many people consented to; 0 without consent.
    pub consented: u64,
    /// When they did.
    pub consented_at_ms: i64,
}

impl HeldRemovals {
    /// Whether so many removals may be carried out now.
    pub fn covers(&self, removed: u64, now_ms: i64) -> bool {
        self.consented > 0 && now_ms - self.consented_at_ms < CONSENT_LIFE_MS && consent_covers(self.consented, removed)
    }
}

const SELECT_HELD: &str =
    "SELECT p.left_module, p.right_module, h.side, h.removed, h.known, h.held_at_ms, h.consented, h.consented_at_ms
    FROM held_removals h JOIN pair p ON p.id = h.pair WHERE h.tenant = ?1";

fn read_held(row: &Row<'_>) -> rusqlite::Result<HeldRemovals> {
    let count = |index: usize| row.get::<_, i64>(index).map(|count| count as u64);
    Ok(HeldRemovals {
        left_module: row.get(0)?,
        right_module: row.get(1)?,
        side: if row.get::<_, String>(2)? == "left" { Side::Left } else { Side::Right },
        removed: count(3)?,
        known: count(4)?,
        held_at_ms: row.get(5)?,
        consented: count(6)?,
        consented_at_ms: row.get(7)?,
    })
}

impl Store {
    /// What is held in a flow.
    pub async fn held_removals(&self, tenant: &str, flow: &str) -> Result<Vec<HeldRemovals>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.all(&format!("{SELECT_HELD} AND p.flow = ?2 ORDER BY h.pair, h.side"), (&tenant, &flow), read_held)
        })
        .await
    }

    /// What is held of one side of a pair.
    pub async fn held_of(&self, tenant: &str, pair: PairId, side: Side) -> Result<Option<HeldRemovals>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            tx.one(&format!("{SELECT_HELD} AND h.pair = ?2 AND h.side = ?3"), (&tenant, pair, side.as_str()), read_held)
        })
        .await
    }

    /// Notes that the safety stop holds so many removals of one side. A consent that does not cover them any more is void.
    pub async fn hold_removals(
        &self,
        lease: &Lease,
        pair: PairId,
        side: Side,
        removed: u64,
        known: u64,
        now_ms: i64,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "INSERT INTO held_removals (tenant, pair, side, removed, known, held_at_ms, consented, consented_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0)
                 ON CONFLICT (tenant, pair, side) DO UPDATE SET removed = excluded.removed, known = excluded.known,
                 held_at_ms = excluded.held_at_ms, consented = 0, consented_at_ms = 0",
                (&lease.tenant, pair, side.as_str(), removed as i64, known as i64, now_ms),
            )?;
            Ok(())
        })
        .await
    }

    /// People say that what is held in a flow is right. Gives what they consented to.
    pub async fn consent_to_removals(&self, tenant: &str, flow: &str, now_ms: i64) -> Result<Vec<HeldRemovals>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.execute(
                "UPDATE held_removals SET consented = removed, consented_at_ms = ?3
                 WHERE tenant = ?1 AND pair IN (SELECT id FROM pair WHERE tenant = ?1 AND flow = ?2)",
                (&tenant, &flow, now_ms),
            )?;
            tx.all(&format!("{SELECT_HELD} AND p.flow = ?2 ORDER BY h.pair, h.side"), (&tenant, &flow), read_held)
        })
        .await
    }

    /// Nothing of one side is held any more: its consent is used up.
    pub async fn release_removals(&self, lease: &Lease, pair: PairId, side: Side) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "DELETE FROM held_removals WHERE tenant = ?1 AND pair = ?2 AND side = ?3",
                (&lease.tenant, pair, side.as_str()),
            )?;
            Ok(())
        })
        .await
    }

    /// Puts the records that the safety stop held before the next decision again.
    pub async fn stage_held_removals(&self, lease: &Lease, pair: PairId) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            for side in Side::BOTH {
                let sql = format!(
                    "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND state = 'held'
                     AND EXISTS (SELECT 1 FROM link l JOIN outcome o
                     ON o.tenant = l.tenant AND o.pair = l.pair AND o.side = 'left' AND o.record = l.left_id AND o.reason = ?4
                     WHERE l.tenant = ?1 AND l.pair = ?2 AND l.state <> 'ended' AND l.{} = inbox.record)",
                    id_column(side)
                );
                tx.execute(&sql, (&lease.tenant, pair, side.as_str(), reason::SAFETY_STOP))?;
            }
            Ok(())
        })
        .await
    }

    /// How many linked records of one side are said to have left for good, without that anybody is asked about it, while the other
    /// side's is there.
    pub async fn removal_count(&self, tenant: &str, pair: PairId, side: Side) -> Result<u64, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!("SELECT count(*) {removals} AND b.state <> 'held'", removals = left_alone(side));
            let count: Option<i64> = tx.one(&sql, (&tenant, pair, side.as_str()), |row| row.get(0))?;
            Ok(count.unwrap_or(0) as u64)
        })
        .await
    }

    /// How many records of one side left while people said that the other side's goes as well.
    pub async fn asked_count(&self, tenant: &str, pair: PairId, side: Side) -> Result<u64, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!(
                "SELECT count(*) FROM link WHERE tenant = ?1 AND pair = ?2 AND delete_asked = 1 AND state = '{}-removed'",
                side.as_str()
            );
            let count: Option<i64> = tx.one(&sql, (&tenant, pair), |row| row.get(0))?;
            Ok(count.unwrap_or(0) as u64)
        })
        .await
    }

    /// Records of one side that were read anew, are linked, and whose counterpart has no mark of ours: behind this inbox number, at most
    /// so many.
    pub async fn unmarked_linked(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        after_seq: i64,
        most: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!(
                "SELECT {INBOX_COLUMNS} FROM inbox i WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND seq > ?4 AND state = 'staged' AND presence = 'live'
                 AND EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.{} = i.record AND l.state = 'active' AND l.marked = '')
                 ORDER BY seq LIMIT ?5",
                id_column(side)
            );
            let rows = tx.all(&sql, (&tenant, pair, side.as_str(), after_seq, most as i64), read_inbox)?;
            rows.into_iter().map(parse_inbox).collect()
        })
        .await
    }

    /// The other side's records of those that are to be decided about.
    pub async fn survivors(&self, tenant: &str, pair: PairId, side: Side) -> Result<Vec<String>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!(
                "SELECT l.{other} {removals} AND b.state = 'staged' ORDER BY b.seq",
                other = id_column(side.other()),
                removals = left_alone(side)
            );
            tx.all(&sql, (&tenant, pair, side.as_str()), |row| row.get(0))
        })
        .await
    }

    /// Marked records whose other record waits in the inbox, as it came back: records of one side.
    pub async fn marked_and_back(&self, tenant: &str, pair: PairId, side: Side) -> Result<Vec<String>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!(
                "SELECT l.{own} FROM link l JOIN inbox b ON b.tenant = l.tenant AND b.pair = l.pair AND b.side = ?3 AND b.record = l.{other}
                 WHERE l.tenant = ?1 AND l.pair = ?2 AND l.marked <> '' AND l.state <> 'ended' AND b.presence = 'live'",
                own = id_column(side),
                other = id_column(side.other())
            );
            tx.all(&sql, (&tenant, pair, side.other().as_str()), |row| row.get(0))
        })
        .await
    }
}

/// Removals of one side (?3) whose link stands, with the link.
fn left_alone(side: Side) -> String {
    format!(
        "FROM inbox b JOIN link l ON l.tenant = b.tenant AND l.pair = b.pair AND l.{} = b.record
         WHERE b.tenant = ?1 AND b.pair = ?2 AND b.side = ?3 AND b.presence IN ('deleted', 'unknown') AND l.state = 'active'",
        id_column(side)
    )
}
