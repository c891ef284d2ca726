//! A connector's places in the streams of changes. A cursor moves only together with the staged records of its page (`staging.rs`).

use crmsync_core::Side;

use super::{Error, Lease, PairId, Store, Tx};

/// A connector's place in one stream of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// Plugin that wrote it.
    pub plugin: String,
    /// Hash of the fields that the walk reads.
    pub field_set: String,
    /// The plugin's number of the format.
    pub format: u32,
    /// The place, opaque.
    pub data: Vec<u8>,
    /// It stands at the head of the stream, not in the middle of a walk.
    pub at_head: bool,
    /// When the walk last reached its head; 0 before the first scan was complete.
    pub head_at_ms: i64,
    /// When known ids were last looked for.
    pub swept_at_ms: i64,
}

impl Store {
    /// The cursor of one side of a pair.
    pub async fn cursor(&self, tenant: &str, pair: PairId, side: Side) -> Result<Option<CursorRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            tx.one(
                "SELECT plugin, field_set, format, data, at_head, head_at_ms, swept_at_ms FROM cursor WHERE tenant = ?1 AND pair = ?2 AND side = ?3",
                (&tenant, pair, side.as_str()),
                |row| {
                    Ok(CursorRow {
                        plugin: row.get(0)?,
                        field_set: row.get(1)?,
                        format: row.get(2)?,
                        data: row.get(3)?,
                        at_head: row.get::<_, i64>(4)? != 0,
                        head_at_ms: row.get(5)?,
                        swept_at_ms: row.get(6)?,
                    })
                },
            )
        })
        .await
    }

    /// Forgets the place of a cursor, so that the next pull scans anew against the existing links (S11), and that known ids are looked
    /// for afterwards.
    pub async fn reset_cursor(&self, lease: &Lease, pair: PairId, side: Side) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE cursor SET field_set = '', at_head = 0, head_at_ms = 0, swept_at_ms = 0 WHERE tenant = ?1 AND pair = ?2 AND side = ?3",
                (&lease.tenant, pair, side.as_str()),
            )?;
            Ok(())
        })
        .await
    }

    /// Notes that known ids were looked for.
    pub async fn set_swept(&self, lease: &Lease, pair: PairId, side: Side, now_ms: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE cursor SET swept_at_ms = ?4 WHERE tenant = ?1 AND pair = ?2 AND side = ?3",
                (&lease.tenant, pair, side.as_str(), now_ms),
            )?;
            Ok(())
        })
        .await
    }
}

pub(super) fn save_cursor(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    cursor: &CursorRow,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO cursor (tenant, pair, side, plugin, field_set, format, data, at_head, head_at_ms, swept_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (tenant, pair, side) DO UPDATE SET plugin = excluded.plugin, field_set = excluded.field_set,
         format = excluded.format, data = excluded.data, at_head = excluded.at_head, head_at_ms = excluded.head_at_ms",
        (
            tenant,
            pair,
            side.as_str(),
            &cursor.plugin,
            &cursor.field_set,
            cursor.format,
            &cursor.data,
            i64::from(cursor.at_head),
            cursor.head_at_ms,
            cursor.swept_at_ms,
        ),
    )?;
    Ok(())
}
