//! The listing of a preview: what a run would do, value by value and record by record. It is written in portions, replaced by the next
//! preview, and goes with the other old rows (`upkeep.rs`); a new preview leaves the one that an approval stands on.

use crmsync_core::Side;
use rusqlite::Row;

use super::{Error, Lease, PairId, Store};

/// One line to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedItem {
    /// linked, created, filled, replaced, or the kind of an outcome.
    pub kind: &'static str,
    /// The side that would be written; none if neither.
    pub side: Option<Side>,
    /// Left record, "" if there is none.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Mapping row, "" for the whole record.
    pub field: String,
    /// What people call the field.
    pub label: String,
    /// What the side shows, as people read it.
    pub before: String,
    /// What it would show.
    pub after: String,
    /// Reason code, "" if it needs none.
    pub reason: String,
    /// Words.
    pub detail: String,
}

/// One listed line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListingRow {
    /// Number; grows along the listing.
    #[serde(skip)]
    pub id: i64,
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// linked, created, filled, replaced, or the kind of an outcome.
    pub kind: String,
    /// left, right or "": the side that would be written.
    pub side: String,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Mapping row.
    pub field: String,
    /// What people call the field.
    pub label: String,
    /// What the side shows.
    pub before: String,
    /// What it would show.
    pub after: String,
    /// Reason code.
    pub reason: String,
    /// Words.
    pub detail: String,
}

/// Lines that are alike, counted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListingCount {
    /// Kind.
    pub kind: String,
    /// Reason code.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A value that a run is about to replace: link, side, field, before and after must have been listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// The side that is written.
    pub side: Side,
    /// Mapping row.
    pub field: String,
    /// What the side shows.
    pub before: String,
    /// What it would show.
    pub after: String,
    /// What a preview listed in its place before the record that it points to was there; "" if that cannot be.
    pub promised: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<ListingRow> {
    Ok(ListingRow {
        id: row.get(0)?,
        left_module: row.get(1)?,
        right_module: row.get(2)?,
        kind: row.get(3)?,
        side: row.get(4)?,
        left_id: row.get(5)?,
        right_id: row.get(6)?,
        field: row.get(7)?,
        label: row.get(8)?,
        before: row.get(9)?,
        after: row.get(10)?,
        reason: row.get(11)?,
        detail: row.get(12)?,
    })
}

impl Store {
    /// Makes room for a new listing: those of earlier previews go, but for the one that the approval stands on (0 for none).
    pub async fn begin_listing(&self, lease: &Lease, approved: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "DELETE FROM listing WHERE tenant = ?1 AND flow = ?2 AND preview <> ?3",
                (&lease.tenant, &lease.flow, approved),
            )?;
            Ok(())
        })
        .await
    }

    /// Adds a portion to a listing.
    pub async fn add_to_listing(
        &self,
        lease: &Lease,
        preview: i64,
        pair: PairId,
        items: Vec<ListedItem>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            for item in &items {
                let side = item.side.map_or("", Side::as_str);
                tx.execute(
                    "INSERT INTO listing (tenant, flow, preview, pair, kind, side, left_id, right_id, field, label, before, after, reason, detail, at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                    rusqlite::params![
                        lease.tenant, lease.flow, preview, pair, item.kind, side, item.left_id, item.right_id, item.field,
                        item.label, item.before, item.after, item.reason, item.detail, now_ms
                    ],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Lines of a listing behind a number, at most so many; all, or those whose kind or reason is `what`.
    pub async fn listing(
        &self,
        tenant: &str,
        flow: &str,
        preview: i64,
        what: &str,
        after: i64,
        most: usize,
    ) -> Result<Vec<ListingRow>, Error> {
        let (tenant, flow, what) = (tenant.to_owned(), flow.to_owned(), what.to_owned());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.step(move |tx| {
            tx.all(
                "SELECT l.id, p.left_module, p.right_module, l.kind, l.side, l.left_id, l.right_id, l.field, l.label, l.before, l.after,
                 l.reason, l.detail
                 FROM listing l JOIN pair p ON p.id = l.pair
                 WHERE l.tenant = ?1 AND l.flow = ?2 AND l.preview = ?3 AND (?4 = '' OR l.kind = ?4 OR l.reason = ?4) AND l.id > ?5
                 ORDER BY l.id LIMIT ?6",
                (&tenant, &flow, preview, &what, after, most),
                read,
            )
        })
        .await
    }

    /// How much of what a listing holds.
    pub async fn listing_counts(&self, tenant: &str, flow: &str, preview: i64) -> Result<Vec<ListingCount>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.all(
                "SELECT kind, reason, count(*) FROM listing WHERE tenant = ?1 AND flow = ?2 AND preview = ?3
                 GROUP BY kind, reason ORDER BY kind, reason",
                (&tenant, &flow, preview),
                |row| {
                    let count = row.get::<_, i64>(2)?;
                    Ok(ListingCount {
                        kind: row.get(0)?,
                        reason: row.get(1)?,
                        count: u64::try_from(count).unwrap_or(0),
                    })
                },
            )
        })
        .await
    }

    /// Of these replacements, the indexes of those that a listing does not have.
    pub async fn not_listed(
        &self,
        lease: &Lease,
        preview: i64,
        pair: PairId,
        wanted: Vec<Replacement>,
    ) -> Result<Vec<usize>, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            let mut missing = Vec::new();
            for (index, value) in wanted.iter().enumerate() {
                let found = tx.one(
                    "SELECT 1 FROM listing WHERE tenant = ?1 AND flow = ?2 AND preview = ?3 AND pair = ?4 AND left_id = ?5 AND field = ?6
                     AND kind = 'replaced' AND right_id = ?7 AND side = ?8 AND before = ?9 AND (after = ?10 OR (?11 <> '' AND after = ?11)) LIMIT 1",
                    rusqlite::params![
                        lease.tenant, lease.flow, preview, pair, value.left_id, value.field, value.right_id,
                        value.side.as_str(), value.before, value.after, value.promised
                    ],
                    |row| row.get::<_, i64>(0),
                )?;
                if found.is_none() {
                    missing.push(index);
                }
            }
            Ok(missing)
        })
        .await
    }
}
